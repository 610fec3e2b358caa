//! Callers that give the gateway something to tell its administrator.

use std::io;
use std::rc::Rc;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::time::timeout;

use super::super::honest::request;
use super::super::net::connect;
use super::{Field, peer, unknown_caller};

/// None waits longer for its refusal.
const PATIENCE: Duration = Duration::from_secs(3);

/// Sends so many of them per second.
pub(super) async fn run(field: Rc<Field>, per_second: u32) {
    field.begin_at(per_second, one).await;
}

async fn one(field: Rc<Field>, number: usize) -> io::Result<()> {
    let (plain, tls) = (field.target.plain, field.target.tls);
    let unknown = unknown_caller(11, number, 250);
    let (from, to, words) = match Field::turn(number) % 5 {
        0 => (unknown, plain, request("stranger")),
        1 => (unknown, tls, b"\x16\x03\x01\x00\x05garbage that is no TLS".to_vec()),
        2 => (peer::LOST, plain, b"GET /nothing HTTP/1.1\r\nHost: gateway\r\n\r\n".to_vec()),
        3 => (peer::LOST, plain, private()),
        _ => (peer::LOST, plain, b"GET / HTTP/1.1\r\n\r\n".to_vec()),
    };
    let exchange = async {
        let mut stream = connect(from, to).await?;
        let _held = field.tally.hold();
        stream.write_all(&words).await?;
        stream.shutdown().await?;
        field.read_to_end(stream).await
    };
    match timeout(PATIENCE, exchange).await {
        Ok(ended) => ended,
        Err(_) => {
            field.tally.add("not answered", 1);
            Ok(())
        }
    }
}

fn private() -> Vec<u8> {
    b"GET /service/ipbx/json.php/private/pbx_services/phonebook HTTP/1.1\r\nHost: gateway\r\n\r\n"
        .to_vec()
}
