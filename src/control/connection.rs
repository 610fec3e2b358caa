//! Connections to the control socket: how many there may be, how long each may take, and who makes room.
//!
//! A client has to send its request at once and to take its answer. One that does not holds one of a few
//! places, and no longer than until somebody else needs it; commands of others go on meanwhile.

use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use super::commands::Commands;
use super::protocol::{Answer, MAX_REQUEST, Refused, Request};
use crate::identity::disabled::Administrator;

/// Serves whoever connects, until `stop` is notified; then lets commands under way end for a moment.
pub(super) async fn serve(listener: UnixListener, commands: Rc<Commands>, stop: &Notify) {
    let places = Rc::new(Places::default());
    let mut clients = JoinSet::new();
    loop {
        tokio::select! {
            biased;
            () = stop.notified() => break,
            // Those that have ended make room in the set.
            Some(_) = clients.join_next() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => match places.take(Instant::now()) {
                    Some(place) => {
                        clients.spawn_local(converse(stream, place, Rc::clone(&commands)));
                    }
                    None => turn_away(&stream),
                },
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                Err(error) => {
                    tracing::warn!("a connection to the control socket could not be accepted: {error}");
                    sleep(ACCEPT_PAUSE).await;
                }
            },
        }
    }
    drop(listener);
    let ended = async { while clients.join_next().await.is_some() {} };
    let _ = timeout(END_TIMEOUT, ended).await;
}

/// Tells a client that there are too many, if it can be told at once.
fn turn_away(stream: &UnixStream) {
    let refused = Refused::busy(format!(
        "{MOST} connections to the control socket are open, which is all that there may be; try again"
    ));
    let _ = stream.try_write(&Answer::of::<()>(Err(refused)).to_line());
}

/// Reads a request, obeys it, and answers.
async fn converse(mut stream: UnixStream, place: Place, commands: Rc<Commands>) {
    let uid = stream.peer_cred().ok().and_then(|found| super::credentials::known_uid(found.uid()));
    let read = tokio::select! {
        biased;
        read = timeout(READ_TIMEOUT, read_line(&mut stream)) => read,
        () = place.displaced() => Ok(Err(Refused::busy("the request did not come at once, and its place was given to another client"))),
    };
    let read = read.unwrap_or_else(|_| {
        let seconds = READ_TIMEOUT.as_secs();
        Err(Refused::usage(format!(
            "the request did not come within {seconds} s; it is one line of JSON"
        )))
    });
    let request = match read {
        Ok(None) => return,
        Ok(Some(line)) => Request::read(&line).map_err(Refused::usage),
        Err(refused) => Err(refused),
    };
    let answer = match request {
        Ok(Request { command, by }) => {
            place.works();
            let answer = commands.obey(command, Administrator { claimed: by, uid }).await;
            place.waits(Instant::now());
            answer
        }
        Err(refused) => Answer::of::<()>(Err(refused)),
    };
    let line = answer.to_line();
    tokio::select! {
        biased;
        _ = timeout(WRITE_TIMEOUT, stream.write_all(&line)) => {}
        () = place.displaced() => {}
    }
}

/// One line without its end; `None` where nothing came.
async fn read_line(stream: &mut UnixStream) -> Result<Option<Vec<u8>>, Refused> {
    let mut line = Vec::new();
    loop {
        let before = line.len();
        let read = stream.read_buf(&mut line).await;
        // A connection that fails is nobody's any longer.
        let Ok(count) = read else { return Ok(None) };
        if let Some(end) = line[before..].iter().position(|&byte| byte == b'\n') {
            let end = before + end;
            if line.len() > end + 1 {
                return Err(Refused::usage("one connection carries one request, and more came"));
            }
            line.truncate(end);
            return Ok(Some(line));
        }
        if line.len() >= MAX_REQUEST {
            return Err(Refused::usage(format!(
                "the request is longer than {MAX_REQUEST} bytes, its line end included"
            )));
        }
        if count == 0 {
            return if line.is_empty() { Ok(None) } else { Ok(Some(line)) };
        }
    }
}

/// The places for connections.
#[derive(Debug, Default)]
struct Places(RefCell<Vec<Rc<Held>>>);

/// A place as those see it who look for one.
#[derive(Debug)]
struct Held {
    /// Since when its client has been waited for; `None` while its command is under way.
    since: Cell<Option<Instant>>,
    displaced: Notify,
}

/// A place, until it is dropped.
#[derive(Debug)]
struct Place {
    places: Rc<Places>,
    held: Rc<Held>,
}

impl Places {
    /// A place for a newcomer. Where all are taken, the client makes room that has been waited for
    /// longest, unless it has come only just now.
    fn take(self: &Rc<Self>, now: Instant) -> Option<Place> {
        let mut all = self.0.borrow_mut();
        if all.len() >= MOST {
            let stalled = all
                .iter()
                .enumerate()
                .filter_map(|(index, held)| Some((held.since.get()?, index)))
                .filter(|(since, _)| now.duration_since(*since) >= FRESH)
                .min();
            let (_, index) = stalled?;
            all.swap_remove(index).displaced.notify_one();
        }
        let held = Rc::new(Held { since: Cell::new(Some(now)), displaced: Notify::new() });
        all.push(Rc::clone(&held));
        Some(Place { places: Rc::clone(self), held })
    }
}

impl Place {
    /// Waits until the place is somebody else's.
    async fn displaced(&self) {
        self.held.displaced.notified().await;
    }

    /// The client waits, and keeps its place.
    fn works(&self) {
        self.held.since.set(None);
    }

    /// The client is waited for.
    fn waits(&self, now: Instant) {
        self.held.since.set(Some(now));
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.0.borrow_mut().retain(|held| !Rc::ptr_eq(held, &self.held));
    }
}

/// Connections at one time.
const MOST: usize = 16;

/// For the whole of a request.
const READ_TIMEOUT: Duration = Duration::from_secs(2);

/// For the whole of an answer.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);

/// Who has been waited for no longer than this does not make room.
const FRESH: Duration = Duration::from_millis(20);

/// How long nobody is accepted after the system refused to.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How long commands under way may take when the gateway ends.
const END_TIMEOUT: Duration = Duration::from_millis(500);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_has_been_waited_for_longest_makes_room_and_who_works_does_not() {
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        runtime.unwrap().block_on(async {
            let now = Instant::now();
            let places = Rc::new(Places::default());
            let mut held: Vec<Place> = (0..MOST).map(|_| places.take(now).unwrap()).collect();
            // All of them have come only just now.
            assert!(places.take(now).is_none());
            let now = now + FRESH;
            held[0].works();
            held[1].waits(now);
            let newcomer = places.take(now).unwrap();
            held[2].displaced().await;
            assert_eq!(places.0.borrow().len(), MOST);
            // Its own end takes nobody's place away.
            drop(held.remove(2));
            assert_eq!(places.0.borrow().len(), MOST);
            drop((newcomer, held));
            assert!(places.0.borrow().is_empty());
        });
    }
}
