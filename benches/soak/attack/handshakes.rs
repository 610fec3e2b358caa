//! TLS handshakes that never end.

use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConnection;
use tokio::io::AsyncWriteExt;
use tokio::time::sleep;

use super::super::net::{connect, server_name};
use super::{Field, Pace, unknown_caller};

const PACE: Pace = Pace::milliseconds(0, 1000);

/// Holds so many handshakes; each `slow`-th sends a byte per second, the others nothing.
pub(super) async fn run(field: Rc<Field>, connections: usize, addresses: usize, slow: usize) {
    let Ok(hello) = client_hello(&field) else { return };
    let hello: Rc<[u8]> = hello.into();
    field.keep(connections, PACE, move |field, number| {
        let hello = Field::turn(number).is_multiple_of(slow).then(|| Rc::clone(&hello));
        one(field, unknown_caller(9, number, addresses), hello)
    });
}

/// What a client says first.
fn client_hello(field: &Field) -> io::Result<Vec<u8>> {
    let config = Arc::clone(&field.target.http1);
    let mut session = ClientConnection::new(config, server_name()?).map_err(io::Error::other)?;
    let mut hello = Vec::new();
    session.write_tls(&mut hello)?;
    Ok(hello)
}

async fn one(
    field: Rc<Field>,
    from: std::net::Ipv4Addr,
    hello: Option<Rc<[u8]>>,
) -> io::Result<()> {
    let mut stream = connect(from, field.target.tls).await?;
    let _held = field.tally.hold();
    let (answers, mut words) = stream.split();
    let trickle = async {
        for byte in hello.iter().flat_map(|hello| hello.chunks(1)) {
            if words.write_all(byte).await.is_err() {
                break;
            }
            sleep(Duration::from_secs(1)).await;
        }
        std::future::pending::<()>().await;
    };
    tokio::select! {
        ended = field.read_to_end(answers) => ended,
        () = trickle => Ok(()),
    }
}
