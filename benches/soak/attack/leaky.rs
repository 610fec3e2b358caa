//! Peers that keep every connection that they open.

use std::io;
use std::rc::Rc;
use std::time::Duration;

use tokio::io::{AsyncWriteExt, Interest};
use tokio::net::TcpStream;
use tokio::time::sleep;

use super::super::honest::request;
use super::super::net::connect;
use super::{Field, Pace, peer};

const PACE: Pace = Pace::milliseconds(0, 250);

/// Holds as many connections as it gets, with so many lookups on each.
pub(super) async fn run(field: Rc<Field>, connections: usize, requests: usize) {
    let bytes: Rc<[u8]> = request("leaky").repeat(requests).into();
    field.keep(connections, PACE, move |field, _| one(field, Rc::clone(&bytes), requests));
}

async fn one(field: Rc<Field>, bytes: Rc<[u8]>, requests: usize) -> io::Result<()> {
    let mut stream = connect(peer::LEAKY, field.target.plain).await?;
    let _held = field.tally.hold();
    stream.write_all(&bytes).await?;
    match requests {
        0 | 1 => field.read_to_end(stream).await,
        _ => until_closed(&stream).await,
    }
}

/// Waits for the end of a connection without reading what comes before it.
async fn until_closed(stream: &TcpStream) -> io::Result<()> {
    while !stream.ready(Interest::READABLE | Interest::ERROR).await?.is_read_closed() {
        sleep(Duration::from_secs(1)).await;
    }
    Ok(())
}

/// Opens so many connections per second, asks once on each, and keeps them.
pub(super) async fn take_seats(field: Rc<Field>, per_second: u32) {
    field.begin_at(per_second, |field, _| take_seat(field)).await;
}

async fn take_seat(field: Rc<Field>) -> io::Result<()> {
    let mut stream = connect(peer::SEATS, field.target.plain).await?;
    let _held = field.tally.hold();
    stream.write_all(&request("seats")).await?;
    field.read_to_end(stream).await
}
