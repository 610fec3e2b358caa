//! What `demo` tells the reader to try does what it says.

use std::{
    io::{BufRead, BufReader, Read},
    net::{SocketAddr, TcpListener},
    process::{Child, Command, Stdio},
    sync::mpsc::{Receiver, channel},
    thread,
};

use rustix::process::{Pid, Signal, kill_process};

use crate::support::{
    http::get,
    process::{PATIENCE, becomes_true},
    program::command,
};

/// A running demo, and the lines of its standard output.
struct Demo {
    child: Child,
    lines: Receiver<String>,
}

impl Demo {
    fn start(listen: &str) -> Self {
        Self::with(listen, None)
    }

    /// The same where the shell lets it open so many files.
    fn with(listen: &str, files: Option<u32>) -> Self {
        let mut command = match files {
            None => command(),
            Some(files) => {
                let mut shell = Command::new("/bin/sh");
                let limited = format!("ulimit -n {files} && exec \"$0\" \"$@\"");
                shell.args(["-c", &limited]).arg(command().get_program()).stdin(Stdio::null());
                shell
            }
        };
        let mut child = command
            .args(["demo", "--listen", listen])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
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

impl Demo {
    /// Ends it, and yields what it wrote to standard error.
    fn ends_well(mut self) -> String {
        kill_process(Pid::from_child(&self.child), Signal::TERM).unwrap();
        assert!(becomes_true(|| self.child.try_wait().unwrap().is_some()));
        assert_eq!(self.child.wait().unwrap().code(), Some(0));
        let mut said = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        said
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
    let demo = Demo::start("127.0.0.1:0");
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
    demo.ends_well();
}

#[test]
fn a_demo_whose_address_is_taken_says_so_and_takes_another_port() {
    for address in ["127.0.0.1:0", "[::1]:0"] {
        let Ok(taken) = TcpListener::bind(address) else { continue };
        let taken = taken.local_addr().unwrap();
        let demo = Demo::start(&taken.to_string());
        let line = demo.line_with("is listening on");
        let (gateway, found) = url_of(&demo.line_with("curl '"));
        let said = format!(
            "Another program is listening on {taken} (`ss -ltnp` names it): the demo took {gateway}."
        );
        assert_eq!(line, said);
        assert!(gateway.ip() == taken.ip() && gateway.port() != taken.port());
        assert_eq!(get(gateway, &found).status, 200);
        demo.ends_well();
    }
}

#[test]
fn a_second_demo_runs_beside_the_first() {
    let first = Demo::start("127.0.0.1:0");
    let (gateway, _) = url_of(&first.line_with("curl '"));
    let second = Demo::start(&gateway.to_string());
    second.line_with(&format!("Another program is listening on {gateway} "));
    let (other, found) = url_of(&second.line_with("curl '"));
    assert_eq!(get(other, &found).status, 200);
    first.ends_well();
    second.ends_well();
}

#[test]
fn a_demo_starts_without_a_warning_also_where_few_files_may_be_open() {
    let demo = Demo::start("127.0.0.1:0");
    let few = Demo::with("127.0.0.1:0", Some(256));
    for demo in [demo, few] {
        demo.line_with("The access log");
        assert_eq!(demo.ends_well(), "");
    }
}
