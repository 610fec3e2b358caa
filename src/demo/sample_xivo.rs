//! A small XiVO on one socket: reads URLs as the real one does, quirks and all, and serves a phonebook.
//!
//! It is what `demo` and the tests put behind the gateway, so it is as open as a XiVO is: `private`
//! is for whoever comes from 127.0.0.1 or ::1, and `act=delete` deletes, by `GET` too.
//!
//! Guarantees: no input makes it panic; what a request did is in the [`Recorder`] before its answer is
//! sent. It is a sample and no security boundary.
//!
//! Unlike the real one it lets every host use `restricted`, ignores credentials and `sum` (it never
//! answers 304), reads no multipart bodies, gives its error answers no body, and sees a URL only after
//! hyper has read it: hyper refuses some that nginx takes (raw bytes that are not UTF-8), and takes off
//! a `#` and what follows.

mod answer;
mod recorder;

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::pin::pin;
use std::sync::{Arc, Mutex};

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::phonebook::Phonebook;

pub use recorder::{Arrival, Recorder};

/// A sample XiVO that listens but does not serve yet.
#[derive(Debug)]
pub struct SampleXivo {
    listener: std::net::TcpListener,
    site: Site,
}

/// What all connections share.
#[derive(Debug, Clone)]
struct Site {
    phonebook: Arc<Mutex<Phonebook>>,
    recorder: Option<Recorder>,
}

impl SampleXivo {
    /// Listens on an address, with the sample phonebook and no recorder. Needs no runtime.
    ///
    /// # Errors
    /// The address cannot be had.
    pub fn bind(address: impl ToSocketAddrs) -> io::Result<Self> {
        let listener = std::net::TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        let site = Site { phonebook: Arc::new(Mutex::new(Phonebook::sample())), recorder: None };
        Ok(Self { listener, site })
    }

    /// Serves another phonebook.
    #[must_use]
    pub fn with_phonebook(mut self, phonebook: Phonebook) -> Self {
        self.site.phonebook = Arc::new(Mutex::new(phonebook));
        self
    }

    /// Writes every request that hyper could read into the recorder.
    #[must_use]
    pub fn with_recorder(mut self, recorder: Recorder) -> Self {
        self.site.recorder = Some(recorder);
        self
    }

    /// Where it listens.
    ///
    /// # Errors
    /// The system does not say.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until `shutdown` is ready, or until this future is dropped; then all connections end.
    ///
    /// Runs in any tokio runtime with I/O enabled. An `accept` that fails (no more descriptors) is
    /// tried again when a connection has ended.
    ///
    /// # Errors
    /// The listener does not fit into the runtime, or accepting failed and there was no connection
    /// whose end could help.
    pub async fn run(self, shutdown: impl Future<Output = ()>) -> io::Result<()> {
        let listener = TcpListener::from_std(self.listener)?;
        let mut shutdown = pin!(shutdown);
        // Dropping the set ends the connections.
        let mut connections = JoinSet::new();
        loop {
            let accepted = tokio::select! {
                () = &mut shutdown => return Ok(()),
                accepted = listener.accept() => accepted,
                Some(_) = connections.join_next() => continue,
            };
            match accepted {
                Ok((stream, from)) => {
                    connections.spawn(serve(stream, from, self.site.clone()));
                }
                Err(error) if is_of_one_connection(&error) => {}
                Err(error) => tokio::select! {
                    () = &mut shutdown => return Ok(()),
                    ended = connections.join_next() => if ended.is_none() { return Err(error) },
                },
            }
        }
    }
}

/// Whether the error tells of the connection that was to be accepted and not of the listener.
fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::Interrupted
    )
}

/// Serves one connection to its end.
async fn serve(stream: TcpStream, from: SocketAddr, site: Site) {
    // Only a matter of speed; a connection that is gone shows in the next read.
    let _ = stream.set_nodelay(true);
    let service = service_fn(|request| {
        let site = site.clone();
        async move { Ok::<_, Infallible>(answer::answer(&site, from, request).await) }
    });
    // Without a timer hyper can keep no deadline. A half-closed connection still gets its answers.
    let connection = http1::Builder::new()
        .header_read_timeout(None)
        .half_close(true)
        .serve_connection(TokioIo::new(stream), service);
    // An error here is the client's: a broken head, or it left. A server has nobody to tell.
    let _ = connection.await;
}

#[cfg(test)]
mod tests;
