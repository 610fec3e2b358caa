//! Unknown callers who speak HTTP/2.

use std::io;
use std::net::Ipv4Addr;
use std::rc::Rc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::super::honest::PHONEBOOK;
use super::super::net::connect_tls;
use super::frames::{
    ACK, END_HEADERS, END_STREAM, HEADERS, INITIAL_WINDOW, PREFACE, SETTINGS, frame, head, setting,
};
use super::{Field, Pace, unknown_caller};

/// A handshake costs both sides a millisecond or so: 400 per second are what an unknown caller gets done.
const PACE: Pace = Pace::milliseconds(5, 1000);

/// Requests on each connection.
const STREAMS: u32 = 32;

/// Holds so many connections from so many addresses.
pub(super) async fn run(
    field: Rc<Field>,
    connections: usize,
    addresses: usize,
    kind: &'static str,
) {
    let words: Rc<[u8]> = words(kind).into();
    field.keep(connections, PACE, move |field, number| {
        one(field, unknown_caller(10, number, addresses), Rc::clone(&words))
    });
}

/// All that is said on a connection.
fn words(kind: &str) -> Vec<u8> {
    let target = format!("{PHONEBOOK}?act=search&search=stranger");
    let mut words = PREFACE.to_vec();
    let large = "a".repeat(1000);
    let more = [("x-large", large.as_str()); 15];
    let (window, heads, fields): (u32, u32, &[(&str, &str)]) = match kind {
        "idle" => (65_535, 0, &[]),
        "large-heads" | "unfinished" => (0, STREAMS, &more),
        _ => (0, STREAMS, &[]),
    };
    words.extend(frame(SETTINGS, 0, 0, &setting(INITIAL_WINDOW, window)));
    let head = head(&target, fields);
    for number in 0..heads {
        let unfinished = number + 1 == heads && kind == "unfinished";
        let end = if unfinished { 0 } else { END_HEADERS };
        words.extend(frame(HEADERS, END_STREAM | end, number * 2 + 1, &head));
    }
    words
}

async fn one(field: Rc<Field>, from: Ipv4Addr, words: Rc<[u8]>) -> io::Result<()> {
    let mut stream = connect_tls(from, field.target.tls, &field.target.http2).await?;
    if stream.get_ref().1.alpn_protocol() != Some(b"h2") {
        return Err(io::Error::other("the listener speaks no HTTP/2"));
    }
    let _held = field.tally.hold();
    stream.write_all(&words).await?;
    stream.flush().await?;
    let mut piece = [0; 2048];
    let mut acknowledged = false;
    while stream.read(&mut piece).await? > 0 {
        if !acknowledged {
            acknowledged = true;
            stream.write_all(&frame(SETTINGS, ACK, 0, &[])).await?;
            stream.flush().await?;
        }
    }
    Ok(())
}
