//! The XiVO of the measurement: one thread that answers every phonebook search with the same 1,500 bytes.
//!
//! It does as little as a keep-alive HTTP/1.1 server can, because it shares a core with the load generator.
//! It answers 404 to anything but the search that the load asks for, so a program that forwards another
//! URL is found out, and it counts, so a program that answers by itself is found out too.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use memchr::memmem;
use rustix::buffer::spare_capacity;
use rustix::event::epoll;

use super::machine;

/// What the load asks for, and the only thing that the upstream answers with 200.
pub(crate) const SEARCH: &str =
    "/service/ipbx/json.php/restricted/pbx_services/phonebook?act=search&search=lovelace";

/// The length of the answer's body.
pub(crate) const BODY_LENGTH: usize = 1500;

const LISTENER: u64 = u64::MAX;

/// The running upstream. Its thread ends with the process.
pub(crate) struct Upstream {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    answered: Arc<AtomicU64>,
}

impl Upstream {
    /// Starts the upstream's thread on `core`.
    pub(crate) fn start(core: usize) -> Result<Self, String> {
        let fail = |error| format!("starting the upstream: {error}");
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(fail)?;
        listener.set_nonblocking(true).map_err(fail)?;
        let address = listener.local_addr().map_err(fail)?;
        let answered = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&answered);
        thread::Builder::new()
            .name("upstream".to_owned())
            .spawn(move || {
                let ended = machine::pin(core).and_then(|()| {
                    serve(&listener, &counter).map_err(|error| format!("the upstream: {error}"))
                });
                if let Err(why) = ended {
                    // The load sees failing answers and stops; this line says why they fail.
                    let _ = writeln!(std::io::stderr(), "side_by_side: {why}");
                }
            })
            .map_err(fail)?;
        Ok(Self { address, answered })
    }

    /// How many searches it has answered.
    pub(crate) fn answered(&self) -> u64 {
        self.answered.load(Ordering::Relaxed)
    }
}

/// The body: a JSON array of one contact as XiVO writes it, padded to [`BODY_LENGTH`].
pub(crate) fn body() -> String {
    let contact = concat!(
        r#"[{"phonebook":{"id":5,"title":"mrs","firstname":"Ada","lastname":"Lovelace","#,
        r#""displayname":"Ada Lovelace","fullname":"Ada Lovelace","society":"Acme","#,
        r#""email":"ada@example.org","url":"","image":null,"description":""#,
    );
    let numbers = concat!(
        r#""},"phonebookaddress":false,"phonebooknumber":{"office":{"id":5,"phonebookid":5,"#,
        r#""type":"office","number":"5551234"}}}]"#,
    );
    let padding = BODY_LENGTH.saturating_sub(contact.len() + numbers.len());
    format!("{contact}{}{numbers}", "x".repeat(padding))
}

fn answer() -> Vec<u8> {
    format!(
        "HTTP/1.1 200 OK\r\nServer: nginx\r\nDate: Mon, 02 Nov 2026 08:00:00 GMT\r\n\
         Content-Type: application/json\r\nContent-Length: {BODY_LENGTH}\r\n\
         Connection: keep-alive\r\nX-XIVO-WS-VERSION: 1.0\r\n\r\n{}",
        body()
    )
    .into_bytes()
}

struct Client {
    stream: TcpStream,
    head: Vec<u8>,
}

fn serve(listener: &TcpListener, answered: &AtomicU64) -> std::io::Result<()> {
    let answer = answer();
    let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    epoll::add(&epoll, listener, epoll::EventData::new_u64(LISTENER), epoll::EventFlags::IN)?;
    let mut clients: Vec<Option<Client>> = Vec::new();
    let mut events = Vec::with_capacity(256);
    let mut chunk = vec![0; 16 * 1024];
    loop {
        if epoll::wait(&epoll, spare_capacity(&mut events), None).is_err() {
            continue; // Interrupted: nothing else makes this wait fail.
        }
        for event in events.drain(..) {
            let data = event.data;
            if data.u64() == LISTENER {
                let Ok((stream, _)) = listener.accept() else { continue };
                stream.set_nonblocking(true)?;
                stream.set_nodelay(true)?;
                let slot = clients.iter().position(Option::is_none).unwrap_or(clients.len());
                let data = epoll::EventData::new_u64(slot as u64);
                epoll::add(&epoll, &stream, data, epoll::EventFlags::IN)?;
                let client = Some(Client { stream, head: Vec::with_capacity(1024) });
                match clients.get_mut(slot) {
                    Some(free) => *free = client,
                    None => clients.push(client),
                }
                continue;
            }
            let Some(slot) = clients.get_mut(data.u64() as usize) else { continue };
            if let Some(client) = slot
                && !client.exchange(&answer, &mut chunk, answered)
            {
                *slot = None;
            }
        }
    }
}

impl Client {
    /// Reads what has come and answers what is complete; `false` when the connection is over.
    fn exchange(&mut self, answer: &[u8], chunk: &mut [u8], answered: &AtomicU64) -> bool {
        match self.stream.read(chunk) {
            Ok(0) => return false,
            Ok(read) => self.head.extend_from_slice(&chunk[..read]),
            Err(error) => return error.kind() == ErrorKind::WouldBlock,
        }
        let mut used = 0;
        while let Some(end) = memmem::find(&self.head[used..], b"\r\n\r\n") {
            let request = self.head[used..].strip_prefix(b"GET ");
            used += end + 4;
            if request.is_none_or(|rest| !rest.starts_with(SEARCH.as_bytes())) {
                let refusal = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n";
                let _ = self.stream.write(refusal);
                return false;
            }
            // A socket that holds no unread answer takes 1.8 KB in one write.
            if self.stream.write(answer).ok() != Some(answer.len()) {
                return false;
            }
            answered.fetch_add(1, Ordering::Relaxed);
        }
        self.head.drain(..used);
        true
    }
}
