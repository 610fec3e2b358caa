//! The listener's certificate is renewed each second, and somebody looks whether it is shown.

use std::collections::HashSet;
use std::rc::Rc;
use std::time::Duration;

use tokio::time::{sleep, timeout};

use super::super::net::connect_tls;
use super::{Field, peer};

const PERIOD: Duration = Duration::from_secs(1);

/// Renews, and counts the certificates that are shown.
pub(super) async fn run(field: Rc<Field>) {
    if field.crew != 0 {
        return;
    }
    let mut shown = HashSet::new();
    loop {
        match field.target.renewable.renew() {
            Ok(()) => field.tally.add("renewed", 1),
            Err(_) => field.tally.add("not written", 1),
        }
        sleep(PERIOD).await;
        let shake = connect_tls(peer::LOST, field.target.tls, &field.target.http1);
        let Ok(Ok(stream)) = timeout(PERIOD, shake).await else {
            field.tally.add("no handshake", 1);
            continue;
        };
        let certificate = stream.get_ref().1.peer_certificates().and_then(|all| all.first());
        if certificate.is_some_and(|one| shown.insert(one.to_vec())) {
            field.tally.add("shown", 1);
        }
    }
}
