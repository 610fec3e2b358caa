//! A network of a test's own, in which this host has the LAN address 192.168.1.125 as in XiVO's documentation.
//!
//! The test binary runs itself again inside a fresh network namespace, for the one test that asked: everything in the
//! test's body, threads and children included, is then in there, and nothing outside changes.

use std::{
    net::{IpAddr, Ipv4Addr},
    process::{Command, Output},
};

use super::needs::{Missing, left_out, or_left_out, program};

/// XiVO 2's address in that network: the host that shares its phonebook.
pub(crate) const LAN: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 168, 1, 125));

/// Names the test that runs inside.
const INSIDE: &str = "PHONEBOOK_GATEWAY_TEST_INSIDE";

/// Addresses the network, then runs the rest of its arguments.
const SET_UP: &str = "ip link set lo up && ip address add 192.168.1.125/24 dev lo && exec \"$@\"";

/// Runs a test's body in a network of its own. `name` is the test's full name, `module::test`.
pub(crate) fn in_own_network(name: &str, body: impl FnOnce()) {
    if std::env::var(INSIDE).is_ok_and(|inside| inside == name) {
        return body();
    }
    if or_left_out(program("unshare", "util-linux").and_then(|_| program("ip", "iproute2")))
        .is_none()
    {
        return;
    }
    // A host that forbids it (many containers do) lacks nothing that could be installed: never a failure.
    let enter = match way_in() {
        Ok(enter) => enter,
        Err(missing) => return left_out(&missing),
    };
    let this = std::env::current_exe().unwrap();
    let output = Command::new(enter[0])
        .args(&enter[1..])
        .arg(this)
        .args(["--exact", name, "--nocapture", "--test-threads=1"])
        .env(INSIDE, name)
        .output()
        .unwrap();
    let text = shown(&output);
    assert!(output.status.success(), "{name} failed in its own network:\n{text}");
    assert!(text.contains("1 passed"), "no test is called {name}:\n{text}");
    // What the test inside said of parts left out is said again.
    for line in text.lines().filter(|line| line.contains("left out: ")) {
        std::io::Write::write_all(&mut std::io::stderr(), format!("{line}\n").as_bytes()).unwrap();
    }
}

/// The command that opens such a network, tried before it is relied on.
fn way_in() -> Result<&'static [&'static str], Missing> {
    // Without root the network is made as root of a user namespace; then that role is given up again, for nginx and
    // php-fpm would, as root, change users, which such a namespace forbids.
    let root: &[&str] = &["unshare", "--net", "sh", "-c", SET_UP, "sh"];
    let user: &[&str] = &[
        "unshare",
        "--map-root-user",
        "--net",
        "sh",
        "-c",
        SET_UP,
        "sh",
        "unshare",
        "--user",
        "--map-user=65534",
        "--",
    ];
    let mut why = String::new();
    for enter in [root, user] {
        match Command::new(enter[0]).args(&enter[1..]).arg("true").output() {
            Ok(output) if output.status.success() => return Ok(enter),
            Ok(output) => why = shown(&output).trim().replace('\n', "; "),
            Err(error) => why = error.to_string(),
        }
    }
    Err(Missing::new(
        format!("no network of its own: {why}"),
        "run as root, or where unprivileged user namespaces are allowed",
    ))
}

fn shown(output: &Output) -> String {
    String::from_utf8_lossy(&[output.stdout.as_slice(), &output.stderr].concat()).into_owned()
}
