//! What `demo` tells the reader to try does what it says.

use std::{
    io::{BufRead, BufReader},
    net::SocketAddr,
    process::{Child, Stdio},
    sync::mpsc::{Receiver, channel},
    thread,
};

use rustix::process::{Pid, Signal, kill_process};

use crate::support::{
    http::get,
    process::{PATIENCE, becomes_true},
    program::{command, run},
};

/// A running demo, and the lines of its standard output.
struct Demo {
    child: Child,
    lines: Receiver<String>,
}

impl Demo {
    fn start(listen: &str) -> Self {
        let mut child = command()
            .args(["demo", "--listen", listen])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = channel();
        thread::spawn(move || {
            stdout.lines().map_while(Result::ok).try_for_each(|line| sender.send(line))
        });
        Self { child, lines }
    }

    /// The next line that holds `part`.
    fn line_with(&self, part: &str) -> String {
        loop {
            let line = self.lines.recv_timeout(PATIENCE).unwrap();
            if line.contains(part) {
                return line;
            }
        }
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        // It has ended already unless the test failed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Where a line's URL leads.
fn url_of(line: &str) -> (SocketAddr, String) {
    let url = line.split("'http://").nth(1).unwrap().split('\'').next().unwrap();
    let (address, path) = url.split_once('/').unwrap();
    (address.parse().unwrap(), format!("/{path}"))
}

#[test]
fn the_demo_does_what_it_says_and_ends_well() {
    let mut demo = Demo::start("127.0.0.1:0");
    let (gateway, found) = url_of(&demo.line_with("curl '"));
    let (_, refused) = url_of(&demo.line_with("curl '"));
    let limited = demo.line_with("for i in");
    assert!(!limited.contains('\x1b'), "a pipe is no terminal: {limited}");
    let (_, limited) = url_of(&limited);

    let contact = get(gateway, &found);
    assert_eq!(contact.status, 200);
    assert_eq!(contact.json()[0]["phonebook"]["lastname"], "Lefèvre");
    let wall = get(gateway, &refused);
    assert_eq!((wall.status, &wall.json()["reason"]), (403, &"private-path".into()));
    let over =
        (0..100).map(|_| get(gateway, &limited)).find(|answer| answer.status != 200).unwrap();
    assert_eq!((over.status, &over.json()["reason"]), (429, &"rate-limited".into()));

    for (target, status) in [(found, 200), (refused, 403), (limited, 429)] {
        let line = demo.line_with(&format!("\"GET {target} HTTP/1.1\" {status} "));
        assert!(line.starts_with("127.0.0.1 - demo ["), "{line}");
    }
    kill_process(Pid::from_child(&demo.child), Signal::TERM).unwrap();
    assert!(becomes_true(|| demo.child.try_wait().unwrap().is_some()));
    assert_eq!(demo.child.wait().unwrap().code(), Some(0));
}

#[test]
fn a_taken_address_is_named_with_the_way_out() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let run = run(std::path::Path::new("/"), &["demo", "--listen", &address]);
    assert_eq!((run.code, run.stdout.as_str()), (Some(3), ""));
    let way_out = "phonebook-gateway demo --listen 127.0.0.1:0";
    assert!(run.stderr.contains(&address) && run.stderr.contains(way_out), "{}", run.stderr);
}
