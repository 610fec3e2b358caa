//! Requests that are written without waiting for answers.

use std::io;
use std::net::Ipv4Addr;
use std::rc::Rc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::super::honest::request;
use super::super::net::connect;
use super::super::tally::Statuses;
use super::{Field, Pace, peer, unknown_caller};

const PACE: Pace = Pace::milliseconds(0, 100);

/// So many requests are written at a time, again and again.
const BATCH: usize = 64;

/// Keeps so many connections full of requests.
pub(super) async fn run(field: Rc<Field>, connections: usize, who: &'static str) {
    let (from, request) = match who {
        "flood" => (peer::FLOOD, request("flood")),
        "lost" => (peer::LOST, unknown_path()),
        _ => (unknown_caller(8, 0, 1), request("stranger")),
    };
    let batch: Rc<[u8]> = request.repeat(BATCH).into();
    field.keep(connections, PACE, move |field, _| one(field, from, Rc::clone(&batch)));
}

fn unknown_path() -> Vec<u8> {
    b"GET /service/ipbx/index.php HTTP/1.1\r\nHost: gateway\r\n\r\n".to_vec()
}

async fn one(field: Rc<Field>, from: Ipv4Addr, batch: Rc<[u8]>) -> io::Result<()> {
    let mut stream = connect(from, field.target.plain).await?;
    let _held = field.tally.hold();
    let (mut answers, mut requests) = stream.split();
    let write = async {
        // Once the gateway takes no more, what it still has to say is read.
        while requests.write_all(&batch).await.is_ok() {}
        std::future::pending::<()>().await;
    };
    let read = async {
        let mut statuses = Statuses::new();
        let mut piece = vec![0; 64 * 1024];
        loop {
            match answers.read(&mut piece).await? {
                0 => return Ok(()),
                read => statuses.count(&piece[..read], &field.tally),
            }
        }
    };
    tokio::select! {
        ended = read => ended,
        () = write => Ok(()),
    }
}
