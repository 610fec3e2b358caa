//! One worker's idle connections to XiVO.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::time::Instant;

use super::transport::{TlsFacts, Transport};

/// Idle connections, the one used last on top: under light load the others age and are closed.
#[derive(Debug, Default)]
pub struct Pool {
    idle: RefCell<Vec<Connection>>,
}

/// A connection to XiVO.
#[derive(Debug)]
pub struct Connection {
    transport: Transport,
    /// Whether it may carry further requests: one that was opened for a client may not.
    reusable: bool,
    /// The way to XiVO that it took ([`super::Route::way`]).
    way: u64,
    opened: Instant,
    idle_since: Instant,
    exchanges: u32,
}

impl Connection {
    pub(super) fn new(transport: Transport, reusable: bool, way: u64) -> Self {
        let now = Instant::now();
        Self { transport, reusable, way, opened: now, idle_since: now, exchanges: 0 }
    }

    pub(super) fn stream(&mut self) -> &mut Transport {
        &mut self.transport
    }

    /// From where to where it goes; nothing for a unix socket.
    pub fn ends(&self) -> Option<(SocketAddr, SocketAddr)> {
        self.transport.ends()
    }

    /// What its TLS handshake came to, if it has one.
    pub fn tls(&self) -> Option<TlsFacts> {
        match &self.transport {
            Transport::Tls(session) => Some(session.facts()),
            Transport::Plain(_) | Transport::Unix(_) => None,
        }
    }

    pub(super) fn count(&mut self) {
        self.exchanges += 1;
    }
}

impl Pool {
    /// The connection of this way that was used last and is still good. Those of former ways are closed; of a later
    /// one there may be some where a request began before a reload.
    pub(super) fn take(&self, way: u64) -> Option<Connection> {
        let mut idle = self.idle.borrow_mut();
        while let Some(mut connection) = idle.pop_if(|connection| connection.way <= way) {
            if connection.way < way {
                continue;
            }
            if connection.idle_since.elapsed() < MAX_IDLE && connection.transport.is_quiet() {
                return Some(connection);
            }
        }
        None
    }

    /// Keeps a connection whose last answer has been read to its end, for the next request.
    pub fn put(&self, mut connection: Connection) {
        let now = Instant::now();
        let young = now.duration_since(connection.opened) < MAX_AGE;
        let mut idle = self.idle.borrow_mut();
        if connection.reusable
            && young
            && connection.exchanges < MAX_EXCHANGES
            && idle.len() < MAX_IDLE_CONNECTIONS
        {
            connection.idle_since = now;
            idle.push(connection);
        }
    }

    /// Closes what has been idle for too long, or was closed by XiVO. To be called now and then:
    /// the lowest connections may never be taken again.
    pub fn evict_idle(&self) {
        let mut idle = self.idle.borrow_mut();
        idle.retain_mut(|connection| {
            connection.idle_since.elapsed() < MAX_IDLE && connection.transport.is_quiet()
        });
    }

    /// How many connections are idle.
    pub fn len(&self) -> usize {
        self.idle.borrow().len()
    }

    /// Whether no connection is idle.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Below the 75 s after which nginx closes an idle connection (`keepalive_timeout`; Debian's older
/// configurations have 65), so that we close first as a rule.
const MAX_IDLE: Duration = Duration::from_secs(50);

/// Below nginx's `keepalive_time` of an hour.
const MAX_AGE: Duration = Duration::from_secs(30 * 60);

/// Below nginx's `keepalive_requests`, which is 1000 (100 before 1.19.10, where nginx then says
/// `Connection: close` in time).
const MAX_EXCHANGES: u32 = 990;

/// Idle connections that a worker keeps: as many as were needed at once, up to a small part of what
/// nginx takes (`worker_connections`, 512 unless said otherwise, 768 in Debian). Fewer would be
/// closed and opened again under a load that needs more.
const MAX_IDLE_CONNECTIONS: usize = 64;

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::net::TcpListener;

    use tokio::io::AsyncReadExt;
    use tokio::net::TcpStream;

    use super::*;

    /// A connection that was used once, and its far side.
    async fn used() -> (Connection, std::net::TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (mut far, _) = listener.accept().unwrap();
        let mut connection = Connection::new(Transport::Plain(stream), true, 1);
        far.write_all(b"answer").unwrap();
        let mut answer = [0; 6];
        connection.stream().read_exact(&mut answer).await.unwrap();
        (connection, far)
    }

    // The runtime gets no chance to look between what happens on the far side and the next request.
    #[test]
    fn what_came_unasked_or_ended_is_not_used_again_even_before_the_runtime_has_seen_it() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let pool = Pool::default();
            let (connection, mut far) = used().await;
            pool.put(connection);
            let connection = pool.take(1).unwrap();
            far.write_all(b"poison").unwrap();
            pool.put(connection);
            assert!(pool.take(1).is_none());
            let (connection, far) = used().await;
            drop(far);
            pool.put(connection);
            assert!(pool.take(1).is_none());
            let (connection, far) = used().await;
            drop(far);
            pool.put(connection);
            pool.evict_idle();
            assert!(pool.is_empty());
        });
    }

    #[test]
    fn a_connection_of_another_way_is_not_used() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let pool = Pool::default();
            let (first, _far) = used().await;
            let (second, _other) = used().await;
            pool.put(first);
            pool.put(second);
            // Who began before it went another way leaves it to those who did not.
            assert!(pool.take(0).is_none());
            assert_eq!(pool.len(), 2);
            assert!(pool.take(1).is_some());
            assert!(pool.take(2).is_none());
            assert!(pool.is_empty());
        });
    }
}
