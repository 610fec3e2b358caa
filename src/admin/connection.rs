//! Connections to the admin listener: how many there may be, how long each may take, and who makes room.

use std::convert::Infallible;
use std::io;
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use super::guard::Way;
use super::listener::Accepting;
use super::router::Site;
use super::stream::Stream;
use crate::net::places::{Place, Places};

/// Serves whoever connects, until `stop` is notified; then lets answers under way go out for a moment.
pub(super) async fn serve(listener: Accepting, site: Rc<Site>, stop: &Notify) {
    let places = Rc::new(Places::new(MOST));
    let mut clients = JoinSet::new();
    let ends = Rc::new(Notify::new());
    loop {
        tokio::select! {
            biased;
            () = stop.notified() => break,
            // Those that have ended make room in the set.
            Some(_) = clients.join_next() => {}
            accepted = accept(&listener) => match accepted {
                Ok(accepted) => {
                    // Who finds no room is closed at once, and may come again.
                    if let Some(place) = places.take(Instant::now()) {
                        let client = Client { place: Rc::new(place), site: Rc::clone(&site) };
                        clients.spawn_local(client.serve(accepted, Rc::clone(&ends)));
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                Err(error) => {
                    tracing::warn!("a connection to the admin listener could not be accepted: {error}");
                    sleep(ACCEPT_PAUSE).await;
                }
            },
        }
    }
    drop(listener);
    ends.notify_waiters();
    let ended = async { while clients.join_next().await.is_some() {} };
    let _ = timeout(END_TIMEOUT, ended).await;
}

/// A connection that was accepted.
enum Accepted {
    Local(Stream),
    Remote(TcpStream),
}

async fn accept(listener: &Accepting) -> io::Result<Accepted> {
    Ok(match listener {
        Accepting::Unix(listener) => Accepted::Local(Stream::new(listener.accept().await?.0)),
        Accepting::Tcp(listener) => Accepted::Remote(listener.accept().await?.0),
    })
}

/// A client and its place.
struct Client {
    place: Rc<Place>,
    site: Rc<Site>,
}

impl Client {
    /// Serves a connection to its end.
    async fn serve(self, accepted: Accepted, ends: Rc<Notify>) {
        let place = Rc::clone(&self.place);
        let site = Rc::clone(&self.site);
        let opened = async {
            match accepted {
                Accepted::Local(stream) => Some((stream, Way::Unix)),
                Accepted::Remote(stream) => site.tls.open(stream).await.map(|it| (it, Way::Tcp)),
            }
        };
        let serving = async {
            if let Some((stream, way)) = opened.await {
                self.converse(stream, way, &ends).await;
            }
        };
        tokio::select! {
            biased;
            () = place.displaced() => {}
            () = serving => {}
        }
    }

    async fn converse(&self, stream: Stream, way: Way, ends: &Notify) {
        let service = service_fn(|request: Request<Incoming>| async move {
            // It waits for the gateway now, and keeps its place.
            self.place.works();
            let answer = self.site.answer(&request, way).await;
            self.place.waits(Instant::now());
            Ok::<_, Infallible>(answer)
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_TIMEOUT)
            .max_buf_size(MAX_HEAD)
            .serve_connection(TokioIo::new(stream), service);
        let mut connection = pin!(connection);
        tokio::select! {
            // What a client did wrong is its own affair.
            _ = connection.as_mut() => return,
            () = sleep(MAX_AGE) => {}
            () = ends.notified() => {}
        }
        connection.as_mut().graceful_shutdown();
        let _ = timeout(LAST_ANSWER_TIMEOUT, connection).await;
    }
}

/// Connections at one time.
const MOST: usize = 64;

/// For a whole head, and between two requests.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);

/// The least that hyper takes; what a connection holds of what it reads.
const MAX_HEAD: usize = 8192;

/// No connection takes another request when it is so old.
const MAX_AGE: Duration = Duration::from_secs(60);

/// How long the answer under way may take then.
const LAST_ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// How long nobody is accepted after the system refused to.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How long answers under way may take when the gateway ends.
const END_TIMEOUT: Duration = Duration::from_millis(500);
