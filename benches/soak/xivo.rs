//! The XiVO of the soak: fast, and for some terms as slow as a broken one.
//!
//! Every answer has the term that was asked for, so that a client can tell its own answer from
//! another's. A term that begins with `drip` is answered a byte each 0.3 s, one that begins with `big`
//! by [`BIG`] bytes.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::runtime;
use crate::support::upstream;

/// The length of a large answer's body.
pub(crate) const BIG: usize = 4_000_000;

const DRIP: Duration = Duration::from_millis(300);

/// The running XiVO. Its thread ends with the process.
pub(crate) struct Xivo {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    asked: Arc<AtomicU64>,
}

impl Xivo {
    /// Starts its thread.
    pub(crate) fn start() -> Result<Self, String> {
        let fail = |error: io::Error| format!("starting the XiVO: {error}");
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(fail)?;
        listener.set_nonblocking(true).map_err(fail)?;
        let address = listener.local_addr().map_err(fail)?;
        let asked = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&asked);
        let serve = move || {
            // Should it end, every lookup fails, and the figures show it.
            let _ = runtime::run(async move { accept(listener, counter).await });
        };
        thread::Builder::new().name("xivo".to_owned()).spawn(serve).map_err(fail)?;
        Ok(Self { address, asked })
    }

    /// How many requests have come.
    pub(crate) fn asked(&self) -> u64 {
        self.asked.load(Ordering::Relaxed)
    }
}

async fn accept(listener: std::net::TcpListener, asked: Arc<AtomicU64>) -> io::Result<()> {
    let listener = TcpListener::from_std(listener)?;
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        let asked = Arc::clone(&asked);
        tokio::task::spawn_local(async move {
            let _ = serve(stream, &asked).await;
        });
    }
}

async fn serve(mut stream: TcpStream, asked: &AtomicU64) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut head = Vec::with_capacity(2048);
    loop {
        let end = loop {
            if let Some(at) = memchr::memmem::find(&head, b"\r\n\r\n") {
                break at + 4;
            }
            if stream.read_buf(&mut head).await? == 0 {
                return Ok(());
            }
        };
        asked.fetch_add(1, Ordering::Relaxed);
        let term = term(&head[..end]).to_owned();
        head.drain(..end);
        let answer = answer(&term);
        if term.starts_with("drip") {
            drip(&mut stream, &answer).await?;
        } else if term.starts_with("big") {
            pad(&mut stream, &answer).await?;
        } else {
            stream.write_all(&answer).await?;
        }
    }
}

/// What was searched for, as it stands in the request line; empty where nothing was.
pub(crate) fn term(head: &[u8]) -> &str {
    const NAME: &[u8] = b"&search=";
    let Some(at) = memchr::memmem::find(head, NAME) else { return "" };
    let value = &head[at + NAME.len()..];
    let end = value.iter().position(|&byte| matches!(byte, b' ' | b'&')).unwrap_or(value.len());
    std::str::from_utf8(&value[..end]).unwrap_or_default()
}

/// An answer, whose body has the term. One that is [`BIG`] lacks blanks before its last byte.
pub(crate) fn answer(term: &str) -> Vec<u8> {
    let body = upstream::body().replacen(&"x".repeat(term.len().max(4)), term, 1);
    format!(
        "HTTP/1.1 200 OK\r\nServer: nginx\r\nDate: Mon, 02 Nov 2026 08:00:00 GMT\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\
         Connection: keep-alive\r\nX-XIVO-WS-VERSION: 1.0\r\n\r\n{body}",
        if term.starts_with("big") { BIG } else { body.len() }
    )
    .into_bytes()
}

/// Where an answer's body begins.
fn body(answer: &[u8]) -> usize {
    memchr::memmem::find(answer, b"\r\n\r\n").map_or(answer.len(), |at| at + 4)
}

async fn drip(stream: &mut TcpStream, answer: &[u8]) -> io::Result<()> {
    let (head, body) = answer.split_at(body(answer));
    stream.write_all(head).await?;
    for byte in body.chunks(1) {
        stream.write_all(byte).await?;
        tokio::time::sleep(DRIP).await;
    }
    Ok(())
}

/// Writes a large answer, which leaves it JSON: what it lacks are blanks before the last bracket.
async fn pad(stream: &mut TcpStream, answer: &[u8]) -> io::Result<()> {
    static BLANKS: [u8; 16 * 1024] = [b' '; 16 * 1024];
    let (most, last) = answer.split_at(answer.len() - 1);
    let mut missing = BIG.saturating_sub(answer.len() - body(answer));
    stream.write_all(most).await?;
    while missing > 0 {
        let piece = missing.min(BLANKS.len());
        stream.write_all(&BLANKS[..piece]).await?;
        missing -= piece;
    }
    stream.write_all(last).await
}
