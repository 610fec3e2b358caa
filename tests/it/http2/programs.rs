//! Other people's clients of HTTP/2, and the gateway as a program of its own.

use std::process::Command;

use super::{floods, target};
use crate::support::{
    binary::Binary,
    http2::{ByHand, RST_STREAM, Sound, certificate, head, setup},
    live::Setup,
    needs::{or_left_out, program},
    process::becomes_true,
    scripted::{Scripted, found_body},
};

/// What counts as flat, in bytes: connections of floods come and go, and leave nothing.
const GRAIN: u64 = 4 << 20;

#[test]
fn curl_is_answered() {
    let Some(curl) = or_left_out(program("curl", "curl")) else { return };
    let upstream = Scripted::well();
    let live = setup(upstream.address()).start();
    let port = live.address.port();
    let output = Command::new(curl)
        .args(["--silent", "--show-error", "--http2", "--noproxy", "*", "--user-agent", "curl"])
        .args(["--write-out", " %{http_version} %{http_code}"])
        .args(["--resolve", &format!("gateway:{port}:127.0.0.1"), "--cacert"])
        .arg(certificate())
        .arg(format!("https://gateway:{port}{}", target("doe")))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(said, format!("{} 2 200", found_body("doe")), "{output:?}");
    assert!(live.short_log(1)[0].contains(" HTTP/2.0\" 200 "));
}

#[test]
fn h2load_is_answered_every_time() {
    let Some(h2load) = or_left_out(program("h2load", "nghttp2-client")) else { return };
    let upstream = Scripted::answering(|_| crate::support::scripted::json("[]"));
    let live = setup(upstream.address()).workers(2).start();
    let output = Command::new(h2load)
        .args(["--requests=8000", "--clients=8", "--max-concurrent-streams=16"])
        .arg(format!("https://127.0.0.1:{}{}", live.address.port(), target("doe")))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let log = live.log_so_far();
    assert!(
        said.contains("8000 succeeded, 0 failed, 0 errored, 0 timeout"),
        "{said} {:?}",
        log.first()
    );
    assert!(said.contains("8000 2xx"), "{said}");
    assert_eq!(live.log(8000).len(), 8000);
}

#[test]
fn memory_is_flat_over_floods() {
    let upstream = Scripted::well();
    let flooded: Setup = setup(upstream.address()).workers(2);
    let mut gateway = Binary::serve(&flooded);
    let address = gateway.address();
    let honest = Sound::connect(address);
    let mut before = 0;
    for round in 0..6 {
        for (what, flood) in floods() {
            for _ in 0..5 {
                let mut client = ByHand::connect(address, &[]);
                let mut sent = 0;
                while sent < 5_000
                    && client.send(&(sent..sent + 50).flat_map(&flood).collect::<Vec<u8>>())
                {
                    sent += 50;
                }
                client.rest();
            }
            assert_eq!(honest.get(&target("honest")).text(), found_body("honest"), "{what}");
        }
        if round == 1 {
            before = gateway.resident();
        }
    }
    let after = gateway.resident();
    assert!(after.saturating_sub(before) < GRAIN, "{before} {after}");
}

#[test]
fn the_administrator_is_told_of_floods_and_of_what_http_2_refuses_in_the_gateways_own_words() {
    let upstream = Scripted::well();
    let mut gateway = Binary::serve(&setup(upstream.address()));
    let address = gateway.address();
    for (what, flood) in floods() {
        let mut client = ByHand::connect(address, &[]);
        client.send(&(0..1200).flat_map(flood).collect::<Vec<u8>>());
        client.rest();
        // One flood's messages are not to keep back those of another here: a few are enough.
        if what == "PING" {
            break;
        }
    }
    let mut broken = ByHand::connect(address, &[]);
    broken.send(&head(1, &[(":path", b"/")]));
    assert!(broken.until(RST_STREAM).is_some());
    assert!(becomes_true(|| gateway
        .stderr()
        .contains("a flood of HTTP/2 frames that ask nothing")));
    assert!(becomes_true(|| gateway.stderr().contains("it has no :method")));
    let said = gateway.stderr();
    assert!(!said.contains("HTTP/1:") && !said.contains("recv_reset"), "{said}");
}
