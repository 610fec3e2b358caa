//! Takes the PROXY header off the beginning of a connection, and not a byte more: what follows is the
//! client's, whether it is HTTP or a TLS handshake.

use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout_at};

use crate::gateway::connection_facts::{AwaitingProxyHeader, ConnectionFacts};
use crate::limits::CallerClass;
use crate::net::proxy_protocol::read::{Header, read};
use crate::worker::{ConnectionGuard, DRAIN_FIRST_REQUEST_TIMEOUT};

/// Why there is no header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ReadError {
    /// The connection ended before its first byte: somebody only tries whether the port is open.
    Closed,
    /// The text says why, of the connection.
    Invalid(&'static str),
}

/// Waits for the header of a connection from a sender that has to send one.
///
/// # Errors
/// There is none: the connection is to be closed, since whatever comes on it may be anybody's.
pub(crate) async fn read_header(
    stream: &TcpStream,
    deadline: Instant,
) -> Result<Header, ReadError> {
    let mut bytes = Vec::new();
    let mut chunk = [0; CHUNK];
    loop {
        let seen = match timeout_at(deadline, stream.peek(&mut chunk)).await {
            Ok(Ok(0) | Err(_)) if bytes.is_empty() => return Err(ReadError::Closed),
            Ok(Ok(0) | Err(_)) => {
                return Err(ReadError::Invalid("it ended within its PROXY header"));
            }
            Ok(Ok(seen)) => seen,
            Err(_) => {
                return Err(ReadError::Invalid(
                    "its PROXY header did not come within head_timeout",
                ));
            }
        };
        let before = bytes.len();
        bytes.extend_from_slice(&chunk[..seen]);
        let header = read(&bytes).map_err(ReadError::Invalid)?;
        let mut own = header.map_or(seen, |header| header.len - before);
        while own > 0 {
            // These bytes have been seen; they are there.
            match stream.try_read(&mut chunk[..own]) {
                Ok(taken @ 1..) => own -= taken,
                Ok(0) | Err(_) => return Err(ReadError::Invalid("it failed")),
            }
        }
        if let Some(header) = header {
            return Ok(header);
        }
    }
}

/// Waits for what the sender of a connection has to say of its client; `None` ends the connection.
pub(crate) async fn read_proxy_header(
    guard: &mut ConnectionGuard,
    stream: &TcpStream,
    waiting: AwaitingProxyHeader,
) -> Option<ConnectionFacts> {
    let snapshot = guard.worker().shared.snapshot();
    let deadline = Instant::now() + snapshot.config.limits.head_timeout;
    let header = tokio::select! {
        biased;
        header = read_header(stream, deadline) => header,
        () = drain_grace_over(guard) => return None,
        () = guard.left() => return None,
    };
    let header = match header {
        Ok(header) => header,
        Err(ReadError::Closed) => return None,
        Err(ReadError::Invalid(why)) => {
            let sender = waiting.sender();
            let listener = snapshot.listener(waiting.listener());
            let entry = listener.and_then(|found| found.proxy_protocol_from.find(sender));
            guard.worker().diagnostics.no_proxy_header(
                sender,
                why,
                entry.map(|entry| &entry.location),
            );
            return None;
        }
    };
    let (facts, class) = waiting.with_client(&snapshot, header.client);
    reseat(guard, facts, class)
}

/// Counts a connection as `guest`'s, or ends it (`None`) where there is no room even to say so.
pub(crate) fn reseat(
    guard: &mut ConnectionGuard,
    mut facts: ConnectionFacts,
    class: CallerClass,
) -> Option<ConnectionFacts> {
    if let Err(why) = guard.reclassify(class) {
        guard.worker().diagnostics.connection_rejected(facts.shown_address(), why);
        guard.worker().metrics().inspect(|own| own.rejected(why));
        return None;
    }
    facts.over_ceiling = guard.is_over();
    Some(facts)
}

/// Ends a little after the worker has begun to drain, or the listener was removed: who has said nothing of use by then holds up
/// nobody's restart.
pub(crate) async fn drain_grace_over(guard: &ConnectionGuard) {
    while !guard.is_ending() {
        guard.worker().drain.notified().await;
    }
    sleep(DRAIN_FIRST_REQUEST_TIMEOUT).await;
}

/// So much is looked at a time: a header without additions fits in.
const CHUNK: usize = 256;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;
    use crate::net::proxy_protocol::read::LONGEST;

    /// What becomes of a connection on which these segments come, and what is left on it.
    fn taken(segments: &[&[u8]]) -> (Result<Header, ReadError>, Vec<u8>) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
            client.set_nodelay(true).unwrap();
            let (mut stream, _) = listener.accept().await.unwrap();
            let far = Instant::now() + Duration::from_secs(60);
            let send = async {
                for segment in segments {
                    client.write_all(segment).await.unwrap();
                    tokio::task::yield_now().await;
                }
                client.shutdown().await.unwrap();
            };
            let (found, ()) = tokio::join!(read_header(&stream, far), send);
            let mut rest = Vec::new();
            stream.read_to_end(&mut rest).await.unwrap();
            (found, rest)
        })
    }

    #[test]
    fn what_follows_a_header_stays_on_the_connection() {
        let header = b"PROXY TCP4 192.0.2.7 198.51.100.1 1 2\r\n";
        let long = [b"\r\n\r\n\0\r\nQUIT\n\x20\0\x0f\xf0".as_slice(), &[7; LONGEST - 16]].concat();
        for (header, len) in [(header.as_slice(), header.len()), (&long, LONGEST)] {
            let whole = [header, b"\x16\x03\x01PROXY "].concat();
            let bytes: Vec<&[u8]> = whole.chunks(1).collect();
            for segments in [&[whole.as_slice()][..], &[header, b"\x16\x03\x01PROXY "], &bytes] {
                let (found, rest) = taken(segments);
                assert_eq!(found.unwrap().len, len);
                assert_eq!(rest, b"\x16\x03\x01PROXY ");
            }
        }
    }

    #[test]
    fn a_connection_without_a_header_is_told_apart_from_one_without_a_byte() {
        assert_eq!(taken(&[]).0, Err(ReadError::Closed));
        for segments in [&[&b"PROXY "[..]][..], &[b"GET / HTTP/1.1\r\n"], &[b"PROXY", b" X\r\n"]] {
            assert!(matches!(taken(segments).0, Err(ReadError::Invalid(_))), "{segments:?}");
        }
    }
}
