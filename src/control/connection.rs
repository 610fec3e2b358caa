//! Connections to the control socket: how many there may be, how long each may take, and who makes room.
//!
//! A client has to send its request at once and to take its answer. One that does not holds one of a few
//! places, and no longer than until somebody else needs it; commands of others go on meanwhile.

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
use crate::net::places::{Place, Places};

/// Serves whoever connects, until `stop` is notified; then lets commands under way end for a moment.
pub(super) async fn serve(listener: UnixListener, commands: Rc<Commands>, stop: &Notify) {
    let places = Rc::new(Places::new(MOST));
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

/// Connections at one time.
const MOST: usize = 16;

/// For the whole of a request.
const READ_TIMEOUT: Duration = Duration::from_secs(2);

/// For the whole of an answer.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);

/// How long nobody is accepted after the system refused to.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How long commands under way may take when the gateway ends.
const END_TIMEOUT: Duration = Duration::from_millis(500);
