//! Standard error and standard output full, closed, left by their reader, or stuck: diagnostics can be lost, and lines
//! of a log that goes there; never a request, a signal, or a revocation.

use std::{
    fs::{self, File, OpenOptions},
    io::{PipeReader, PipeWriter, Write, pipe},
    net::SocketAddr,
    os::unix::{fs::MetadataExt, net::UnixDatagram},
    path::Path,
    process::{Command, Stdio},
};

use rustix::{
    fs::{OFlags, fcntl_getfl, fcntl_setfl},
    process::{Pid, Resource, Rlimit, Signal, prlimit},
};

use crate::support::{
    binary::{Binary, free_address},
    live::{PATIENT, Setup, policy},
    needs::{Missing, left_out, or_left_out, program},
    pki::{Authority, Wanted, replace},
    process::{PATIENCE, becomes_true},
    raw::{Client, target},
    scripted::Scripted,
    tls::{self, credulous, file, text},
};

/// What may be wrong with a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wrong {
    /// The disk behind it is full.
    Full,
    /// It was closed before the program began.
    Closed,
    /// A pipe whose reader is gone.
    Left,
    /// A pipe that nobody reads, and that is full.
    Stuck,
}

const ALL: [Wrong; 4] = [Wrong::Full, Wrong::Closed, Wrong::Left, Wrong::Stuck];

/// Standard output or standard error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stream {
    Output,
    Error,
}

/// The command with this stream gone wrong; what is to be kept as long as it runs.
fn spoilt(mut command: Command, stream: Stream, wrong: Wrong) -> (Command, Option<PipeReader>) {
    let (to, reader) = match wrong {
        Wrong::Full => {
            (Stdio::from(OpenOptions::new().write(true).open("/dev/full").unwrap()), None)
        }
        Wrong::Left => (Stdio::from(pipe().unwrap().1), None),
        Wrong::Stuck => {
            let (reader, writer) = pipe().unwrap();
            fill(&writer);
            (Stdio::from(writer), Some(reader))
        }
        Wrong::Closed => return (closed(&command, stream), None),
    };
    match stream {
        Stream::Output => command.stdout(to),
        Stream::Error => command.stderr(to),
    };
    (command, reader)
}

/// Writes until the pipe takes no more.
pub(crate) fn fill(mut writer: &PipeWriter) {
    let flags = fcntl_getfl(writer).unwrap();
    fcntl_setfl(writer, flags | OFlags::NONBLOCK).unwrap();
    while writer.write(&[b'x'; 4096]).is_ok() {}
    fcntl_setfl(writer, flags).unwrap();
}

/// The same command by a shell that closes the stream first. The other one is lost as well.
fn closed(command: &Command, stream: Stream) -> Command {
    let script = match stream {
        Stream::Output => "exec \"$0\" \"$@\" >&-",
        Stream::Error => "exec \"$0\" \"$@\" 2>&-",
    };
    let mut shell = Command::new("sh");
    shell.args(["-c", script]).arg(command.get_program()).args(command.get_args());
    shell.env_remove("RUST_LOG").env_remove("RUST_BACKTRACE").env_remove("JOURNAL_STREAM");
    shell.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    shell
}

/// In front of `upstream`, at an address that need not be asked for.
fn setup(upstream: &Scripted) -> (Setup, SocketAddr) {
    let address = free_address();
    let mut setup = Setup::new(upstream.address()).workers(2).upstream(PATIENT);
    setup.address = address.to_string();
    (setup, address)
}

/// `serve` with this setup, its log, and the command changed.
fn serve(setup: &Setup, log: &str, change: impl FnOnce(Command, &Path) -> Command) -> Binary {
    let policies: Vec<(&str, &str)> =
        setup.policies.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
    Binary::serve_changed(&setup.main_file(log), &policies, change)
}

/// Lookups and refused requests on connections of their own, so that each worker has some. Yields how many there were.
fn asks(address: SocketAddr) -> usize {
    for _ in 0..30 {
        let mut client = Client::connect(address);
        assert_eq!(client.lookup("one").status, 200);
        client.send("GET /elsewhere HTTP/1.1\r\nHost: gateway\r\n\r\n");
        assert_eq!(client.answer().status, 404);
    }
    60
}

fn has_lines(gateway: &Binary, name: &str, lines: usize) -> bool {
    becomes_true(|| gateway.log(name).len() >= lines) && gateway.log(name).len() == lines
}

/// Everything that an administrator does with a gateway that runs.
fn serves_and_obeys(gateway: &mut Binary, address: SocketAddr) {
    assert!(gateway.listens(address));
    let before = asks(address);
    assert!(has_lines(gateway, "access.log", before));
    gateway.signal(Signal::HUP);
    fs::rename(gateway.path("access.log"), gateway.path("access.log.1")).unwrap();
    gateway.signal(Signal::USR1);
    assert!(becomes_true(|| gateway.path("access.log").exists()));
    let after = asks(address);
    assert!(has_lines(gateway, "access.log", after));
    gateway.signal(Signal::TERM);
    assert_eq!(gateway.exit().code(), Some(0));
    assert_eq!(gateway.log("access.log.1").len(), before);
}

#[test]
fn whatever_is_wrong_with_standard_error_requests_and_signals_are_served() {
    for wrong in ALL {
        let upstream = Scripted::well();
        let (setup, address) = setup(&upstream);
        let mut kept = None;
        let mut gateway = serve(&setup, "access.log", |command, _| {
            let (command, reader) = spoilt(command, Stream::Error, wrong);
            kept = reader;
            command
        });
        serves_and_obeys(&mut gateway, address);
        println!("{wrong:?}: well");
    }
}

#[test]
fn with_standard_error_closed_no_other_file_becomes_it() {
    let upstream = Scripted::well();
    let (setup, address) = setup(&upstream);
    let mut gateway = serve(&setup, "access.log", |command, _| closed(&command, Stream::Error));
    assert!(gateway.listens(address));
    let second = fs::read_link(format!("/proc/{}/fd/2", gateway.pid())).unwrap();
    assert_eq!(second, Path::new("/dev/null"));
    asks(address);
    assert!(gateway.log("access.log").iter().all(|line| line.starts_with("127.0.0.1 - lyon [")));
}

#[test]
fn whatever_is_wrong_with_standard_output_a_log_that_goes_there_holds_nobody_up() {
    for wrong in ALL {
        let upstream = Scripted::well();
        let (setup, address) = setup(&upstream);
        let mut kept = None;
        let mut gateway = serve(&setup, "stdout", |command, _| {
            let (command, reader) = spoilt(command, Stream::Output, wrong);
            kept = reader;
            command
        });
        assert!(gateway.listens(address), "{wrong:?}");
        asks(address);
        gateway.signal(Signal::USR1);
        gateway.signal(Signal::HUP);
        asks(address);
        gateway.signal(Signal::TERM);
        assert_eq!(gateway.exit().code(), Some(0), "{wrong:?}");
        let told = gateway.stderr();
        match wrong {
            Wrong::Full | Wrong::Left => {
                assert!(told.contains("cannot write to the access log standard output"), "{told}");
            }
            Wrong::Stuck => assert!(told.contains("did not take its last lines in time"), "{told}"),
            // What has been closed is /dev/null.
            Wrong::Closed => {}
        }
    }
}

#[test]
fn a_start_that_fails_ends_in_time_whatever_is_wrong_with_standard_error() {
    for wrong in ALL {
        let mut kept = None;
        let mut gateway = Binary::serve_changed("workerz = 2\n", &[], |command, _| {
            let (command, reader) = spoilt(command, Stream::Error, wrong);
            kept = reader;
            command
        });
        assert_eq!(gateway.exit().code(), Some(78), "{wrong:?}");
    }
}

#[test]
fn a_demo_whose_streams_are_stuck_obeys_signals() {
    let (_output, stuck_output) = pipe().unwrap();
    let (_error, stuck_error) = pipe().unwrap();
    fill(&stuck_output);
    fill(&stuck_error);
    let address = free_address();
    let mut child = Command::new(env!("CARGO_BIN_EXE_phonebook-gateway"))
        .args(["demo", "--listen", &address.to_string()])
        .stdin(Stdio::null())
        .stdout(stuck_output)
        .stderr(stuck_error)
        .spawn()
        .unwrap();
    let listens = becomes_true(|| std::net::TcpStream::connect(address).is_ok());
    let found = listens.then(|| Client::connect(address).lookup("doe").status);
    rustix::process::kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
    let mut status = None;
    becomes_true(|| {
        status = child.try_wait().unwrap();
        status.is_some()
    });
    if status.is_none() {
        child.kill().unwrap();
        child.wait().unwrap();
    }
    assert_eq!((found, status.and_then(|status| status.code())), (Some(200), Some(0)));
}

#[test]
fn a_revocation_takes_place_whatever_is_wrong_with_standard_error() {
    let authority = Authority::new("Site CA");
    let server = authority.issue(&Wanted::server("localhost"));
    let leaving = authority.issue(&Wanted { serial: 99, ..Wanted::client("leaving") });
    let certificate = "[certificate]\ncommon_name = [\"leaving\"]\nrequire = \"both\"\n";
    for wrong in ALL {
        let files = tempfile::tempdir().unwrap();
        let (pem, key) = server.write(files.path(), "gateway");
        let ca = file(files.path(), "clients.pem", authority.pem());
        let day = time::Duration::DAY;
        let crl = file(files.path(), "clients.crl", &authority.revocations(&[], day));
        let upstream = Scripted::well();
        let (mut setup, address) = setup(&upstream);
        setup.listen = format!(
            "tls = {{ certificate = {:?}, private_key = {:?}, client_ca = {:?}, crl = {:?} }}",
            text(&pem),
            text(&key),
            text(&ca),
            text(&crl)
        );
        let rule = policy("127.0.0.1", "") + certificate;
        let setup = setup.policy("lyon", rule);
        let mut kept = None;
        let mut gateway = serve(&setup, "access.log", |command, _| {
            let (command, reader) = spoilt(command, Stream::Error, wrong);
            kept = reader;
            command
        });
        assert!(gateway.listens(address));
        let config = credulous(&[&rustls::version::TLS13], Some(&leaving));
        let asked = || {
            let mut tls = tls::connect(address, &config, "localhost").unwrap();
            tls::get(&mut tls, &target("doe")).status
        };
        assert_eq!(asked(), 200, "{wrong:?}");
        replace(&crl, &authority.revocations(&[99], day));
        assert!(becomes_true(|| asked() == 403), "{wrong:?}: who was revoked is still let in");
    }
}

/// How often the thread of this name has waited for something.
fn waits(gateway: &Binary, thread: &str) -> u64 {
    let tasks = fs::read_dir(format!("/proc/{}/task", gateway.pid())).unwrap();
    let named = |path: &Path| {
        fs::read_to_string(path.join("comm")).is_ok_and(|name| name.trim_end() == thread)
    };
    let task = tasks.map(|task| task.unwrap().path()).find(|path| named(path)).unwrap();
    let status = fs::read_to_string(task.join("status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
    line.unwrap().trim().parse().unwrap()
}

#[test]
fn what_was_lost_is_told_when_it_can_be_written_again() {
    let env = program("env", "coreutils").and_then(|env| {
        let ignores = Command::new(&env).args(["--ignore-signal=XFSZ", "true"]).output();
        if ignores.is_ok_and(|output| output.status.success()) {
            Ok(env)
        } else {
            Err(Missing::new("env has no --ignore-signal", "coreutils 8.31 or later"))
        }
    });
    let Some(env) = or_left_out(env) else { return };
    let upstream = Scripted::well();
    let (setup, address) = setup(&upstream);
    // The log stays small, so that a limit of files' sizes is one of standard error's.
    let mut gateway = serve(&setup, "access.log", |command, directory| {
        let path = directory.join("stderr");
        fs::write(&path, [b'\n'; 1 << 20]).unwrap();
        let mut limited = Command::new(env);
        limited.arg("--ignore-signal=XFSZ").arg(command.get_program()).args(command.get_args());
        limited.env_remove("RUST_LOG").env_remove("RUST_BACKTRACE").env_remove("JOURNAL_STREAM");
        limited.stdin(Stdio::null()).stdout(Stdio::null());
        limited.stderr(OpenOptions::new().append(true).open(path).unwrap());
        limited
    });
    assert!(gateway.listens(address));
    assert!(becomes_true(|| gateway.stderr().contains("ready: listening")));
    let limit = |size: Option<u64>| {
        let pid = i32::try_from(gateway.pid()).unwrap();
        let limit = Rlimit { current: size, maximum: None };
        prlimit(Pid::from_raw(pid), Resource::Fsize, limit).unwrap();
    };
    let before = gateway.stderr();
    limit(Some(before.len() as u64));
    let waited = waits(&gateway, "diagnostics");
    gateway.signal(Signal::HUP);
    assert!(becomes_true(|| waits(&gateway, "diagnostics") > waited));
    assert_eq!(gateway.stderr(), before);
    limit(None);
    let mut client = Client::connect(address);
    client.send("GET /elsewhere HTTP/1.1\r\nHost: gateway\r\n\r\n");
    assert_eq!(client.answer().status, 404);
    let told = "WARN diagnostics are written again; 1 diagnostic was lost\n";
    assert!(becomes_true(|| gateway.stderr().ends_with(told)), "{}", gateway.stderr().trim());
    let stderr = gateway.stderr();
    let since = &stderr[before.len()..];
    assert!(since.contains("unknown-path") && !since.contains("HUP"), "{since}");
}

/// A journal of the test's own, whose socket is in the gateway's directory, and what it takes.
struct Journal {
    socket: UnixDatagram,
}

impl Journal {
    /// The next entry that has this text.
    fn entry_with(&self, part: &str) -> String {
        let mut entry = vec![0; 1 << 18];
        loop {
            let length = self.socket.recv(&mut entry).unwrap();
            let text = String::from_utf8_lossy(&entry[..length]).into_owned();
            if text.contains(part) {
                return text;
            }
        }
    }
}

/// A gateway whose standard error, a file, is said to be the journal's.
fn journalled(main: &str, policies: &[(&str, &str)], arguments: &[&str]) -> (Binary, Journal) {
    let mut journal = None;
    let gateway = Binary::serve_changed(main, policies, |mut command, directory| {
        let path = directory.join("journal");
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        journal = Some(Journal { socket });
        let stderr = File::create(directory.join("stderr")).unwrap();
        let metadata = stderr.metadata().unwrap();
        command.env("JOURNAL_STREAM", format!("{}:{}", metadata.dev(), metadata.ino()));
        command.env("PHONEBOOK_GATEWAY_TEST_JOURNAL", path).args(arguments).stderr(stderr);
        command
    });
    (gateway, journal.unwrap())
}

/// The socket's place can be told to a debug build only.
fn is_debug() -> bool {
    if !cfg!(debug_assertions) {
        left_out(&Missing::new("the program is a release build", "cargo test without --release"));
    }
    cfg!(debug_assertions)
}

#[test]
fn the_journal_gets_fields_and_standard_error_what_it_does_not_take() {
    if !is_debug() {
        return;
    }
    let upstream = Scripted::well();
    let (setup, address) = setup(&upstream);
    let (name, text) = &setup.policies[0];
    let (mut gateway, journal) = journalled(&setup.main_file("access.log"), &[(name, text)], &[]);
    assert!(gateway.listens(address));
    let ready = journal.entry_with("ready: listening on");
    assert!(ready.contains("PRIORITY=6\n"), "{ready}");
    let refuse = || {
        let mut client = Client::connect(address);
        client.send("GET /elsewhere HTTP/1.1\r\nHost: gateway\r\n\r\n");
        assert_eq!(client.answer().status, 404);
    };
    refuse();
    let entry = journal.entry_with("unknown-path");
    for field in [
        "PRIORITY=6",
        "SYSLOG_IDENTIFIER=phonebook-gateway",
        "PHONEBOOK_GATEWAY_CLIENT=127.0.0.1",
        "PHONEBOOK_GATEWAY_PEER=lyon",
        "PHONEBOOK_GATEWAY_REASON=unknown-path",
        "PHONEBOOK_GATEWAY_STATUS=404",
        "CODE_FILE=src/gateway/explain.rs",
    ] {
        assert!(entry.lines().any(|line| line == field), "{field} is missing in {entry}");
    }
    let message = entry.lines().find_map(|line| line.strip_prefix("MESSAGE=")).unwrap();
    assert!(
        message.contains(" client=127.0.0.1 peer=\"lyon\" reason=\"unknown-path\""),
        "{message}"
    );
    assert_eq!(gateway.stderr(), "");
    gateway.signal(Signal::HUP);
    assert!(journal.entry_with("HUP").contains("PRIORITY=6\n"));
    // Where the journal's socket has gone, standard error has the line.
    drop(journal);
    refuse();
    assert!(becomes_true(|| gateway.stderr().contains(" INFO ")), "{}", gateway.stderr());
    let stderr = gateway.stderr();
    let shown = stderr.trim_start().starts_with("INFO ") && stderr.contains("client=127.0.0.1");
    assert!(shown, "{stderr}");
    // And the journal again once it is back.
    fs::remove_file(gateway.path("journal")).unwrap();
    let socket = UnixDatagram::bind(gateway.path("journal")).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let journal = Journal { socket };
    gateway.signal(Signal::TERM);
    journal.entry_with("MESSAGE=ended\n");
    assert_eq!(gateway.exit().code(), Some(0));
}

#[test]
fn several_lines_are_one_entry_of_the_journal() {
    if !is_debug() {
        return;
    }
    let (mut gateway, journal) = journalled("workerz = 2\n", &[], &[]);
    let entry = journal.entry_with("MESSAGE");
    let (_, rest) = entry.split_once("MESSAGE\n").unwrap();
    assert!(rest.contains("phonebook-gateway: the configuration is not valid"), "{entry}");
    assert!(rest.contains("workerz") && rest.contains("\nPRIORITY=3\n"), "{entry}");
    assert_eq!((gateway.exit().code(), gateway.stderr()), (Some(78), String::new()));
}

#[test]
fn a_journal_that_hangs_holds_nobody_up() {
    if !is_debug() {
        return;
    }
    let upstream = Scripted::well();
    let (setup, address) = setup(&upstream);
    let (name, text) = &setup.policies[0];
    let (reader, stuck) = pipe().unwrap();
    fill(&stuck);
    let mut journal = None;
    let main = setup.main_file("access.log");
    let mut gateway = Binary::serve_changed(&main, &[(name, text)], |mut command, directory| {
        let path = directory.join("journal");
        let socket = UnixDatagram::bind(&path).unwrap();
        let filler = UnixDatagram::unbound().unwrap();
        filler.connect(&path).unwrap();
        filler.set_nonblocking(true).unwrap();
        while filler.send(b"MESSAGE=full\n").is_ok() {}
        journal = Some(socket);
        let metadata = File::from(std::os::fd::OwnedFd::from(stuck.try_clone().unwrap()));
        let metadata = metadata.metadata().unwrap();
        command.env("JOURNAL_STREAM", format!("{}:{}", metadata.dev(), metadata.ino()));
        command.env("PHONEBOOK_GATEWAY_TEST_JOURNAL", path).stderr(stuck);
        command
    });
    serves_and_obeys(&mut gateway, address);
    drop((reader, journal));
}

#[test]
fn lines_go_where_standard_error_leads_though_the_journal_was_there_before() {
    if !is_debug() {
        return;
    }
    let upstream = Scripted::well();
    let (setup, address) = setup(&upstream);
    let serve = |stream: &str, arguments: &[&str]| {
        serve(&setup, "access.log", |mut command, directory| {
            let path = directory.join("journal");
            command.env("PHONEBOOK_GATEWAY_TEST_JOURNAL", path).env("JOURNAL_STREAM", stream);
            command.args(arguments);
            command
        })
    };
    // Standard error has been led elsewhere since.
    let mut gateway = serve("8:1", &[]);
    assert_eq!(gateway.address(), address);
    let stderr = gateway.stderr();
    let ready = stderr.lines().find(|line| line.contains("ready: ")).unwrap();
    assert!(ready.starts_with("20") && ready.contains("Z  INFO ready: "), "{ready}");
    drop(gateway);
    // JSON is what was asked for, also in the journal.
    let policies: Vec<(&str, &str)> =
        setup.policies.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
    let arguments = ["--log-format", "json"];
    let (gateway, _journal) = journalled(&setup.main_file("access.log"), &policies, &arguments);
    assert!(becomes_true(|| gateway.stderr().contains("ready: ")));
    let stderr = gateway.stderr();
    let ready = stderr.lines().find(|line| line.contains("ready: ")).unwrap();
    let ready: serde_json::Value = serde_json::from_str(ready).unwrap();
    assert_eq!(ready["level"], "INFO");
}
