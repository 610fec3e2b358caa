//! Lookups that XiVO, or the client, draws out.

use std::io;
use std::rc::Rc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::sleep;

use super::super::honest::request;
use super::super::net::{connect, connect_narrow};
use super::super::tally::Statuses;
use super::{Field, Pace, peer};

const PACE: Pace = Pace::milliseconds(0, 100);

/// Keeps so many lookups that XiVO answers a byte each 0.3 s.
pub(super) async fn run(field: Rc<Field>, connections: usize) {
    field.keep(connections, PACE, one);
}

async fn one(field: Rc<Field>, number: usize) -> io::Result<()> {
    let mut stream = connect(peer::GREEDY, field.target.plain).await?;
    let _held = field.tally.hold();
    stream.write_all(&request(&format!("drip{number}"))).await?;
    let life = field.tally.live();
    let ended = field.read_to_end(stream).await;
    life.over();
    ended
}

/// Keeps so many large answers under way, of which it reads a kilobyte per second.
pub(super) async fn read_slowly(field: Rc<Field>, connections: usize) {
    field.keep(connections, PACE, read_one_slowly);
}

async fn read_one_slowly(field: Rc<Field>, number: usize) -> io::Result<()> {
    let mut stream = connect_narrow(peer::GREEDY, field.target.plain).await?;
    let _held = field.tally.hold();
    stream.write_all(&request(&format!("big{number}"))).await?;
    let life = field.tally.live();
    let mut statuses = Statuses::new();
    let mut piece = [0; 512];
    let ended = loop {
        match stream.read(&mut piece).await {
            Ok(0) => break Ok(()),
            Ok(read) => statuses.count(&piece[..read], &field.tally),
            Err(error) => break Err(error),
        }
        sleep(Duration::from_millis(500)).await;
    };
    life.over();
    ended
}
