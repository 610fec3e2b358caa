//! logrotate under load: every request has its line, in one file of all that there are, and no line is torn.
//!
//! logrotate is Debian's, and its configuration the one that is shipped, but for the paths, the signal's way, and that
//! it keeps more files.

use std::{
    collections::HashSet,
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    path::{Path, PathBuf},
    process::Command,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    thread,
    time::{Duration, Instant},
};

use crate::support::{
    needs::{or_left_out, program},
    process::{PATIENCE, becomes_true},
    scripted::Scripted,
    serving::{Serving, config},
};

const SHIPPED: &str =
    include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/packaging/phonebook-gateway.logrotate"));

/// Clients at once, each with a connection of its own.
const CLIENTS: usize = 3;

/// A gateway whose `access.log` is rotated by this logrotate.
struct Rotated {
    gateway: Serving,
    logrotate: PathBuf,
    _upstream: Scripted,
}

impl Rotated {
    /// `change` makes the configuration out of the one that is shipped.
    fn start(logrotate: PathBuf, change: impl Fn(&str, u32) -> String) -> Self {
        let upstream = Scripted::well();
        let main = format!(
            "workers = 2\n{}[limits]\nrate = {{ per_second = 1000000, burst = 1000000 }}\n",
            config(
                &format!("http://{}", upstream.address()),
                "host = \"localhost\"\ndanger_loopback_source = true"
            )
        );
        let policy = "hosts = [\"127.0.0.1\"]\nrate = { per_second = 1000000, burst = 1000000 }\n";
        let gateway = Serving::start(&main, &[("lyon", policy)]).unwrap();
        let text = replaced(
            SHIPPED,
            "/var/log/phonebook-gateway/*.log",
            &gateway.file("access.log").display().to_string(),
        );
        // `su` is for root, who rotates the logs of another user.
        let text = replaced(&text, "    su phonebook-gateway phonebook-gateway\n", "");
        let text = replaced(&text, "rotate 14", "rotate 10000");
        let text = change(&text, gateway.pid());
        fs::write(gateway.file("logrotate.conf"), text).unwrap();
        Self { gateway, logrotate, _upstream: upstream }
    }

    /// Rotates now.
    fn rotate(&self) {
        let output = Command::new(&self.logrotate)
            .arg("--force")
            .arg("--state")
            .arg(self.gateway.file("logrotate.state"))
            .arg(self.gateway.file("logrotate.conf"))
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && said.is_empty(), "{said}");
    }

    /// The log and what has become of it, each read whole, compressed or not.
    fn files(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let directory = self.gateway.file("");
        let paths = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
        let is_log =
            |path: &PathBuf| path.file_name().unwrap().to_str().unwrap().starts_with("access.log");
        paths.filter(is_log).map(|path| (path.clone(), content(&path))).collect()
    }
}

fn content(path: &Path) -> Vec<u8> {
    let bytes = fs::read(path).unwrap();
    if path.extension().is_none_or(|extension| extension != "gz") {
        return bytes;
    }
    let mut text = Vec::new();
    flate2::read::MultiGzDecoder::new(bytes.as_slice()).read_to_end(&mut text).unwrap();
    text
}

fn replaced(text: &str, from: &str, to: &str) -> String {
    assert!(text.contains(from), "the shipped configuration no longer has {from:?}:\n{text}");
    text.replace(from, to)
}

/// With the shipped signal, sent to this process instead of a service's.
fn signalled(text: &str, pid: u32) -> String {
    let line = text.lines().find(|line| line.contains("systemctl kill")).unwrap();
    assert!(line.contains("--signal=USR1"), "{line}");
    text.replace(line, &format!("        kill -USR1 {pid}"))
}

/// In mode `copytruncate`, which needs no signal.
fn copied(text: &str, _pid: u32) -> String {
    let text = replaced(text, "nocreate", "copytruncate");
    let (before, rest) = text.split_once("    sharedscripts").unwrap();
    let (_, after) = rest.split_once("endscript\n").unwrap();
    format!("{before}{after}")
}

/// Asks for `/<client>/<number>` and yields how often, until told to stop.
fn ask(to: SocketAddr, client: usize, stop: &AtomicBool, asked: &AtomicU64) -> u64 {
    let mut number = 0;
    while !stop.load(Ordering::SeqCst) {
        let stream = TcpStream::connect(to).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut stream = BufReader::new(stream);
        let mut goes_on = true;
        while goes_on && !stop.load(Ordering::SeqCst) {
            let request = format!("GET /{client}/{number} HTTP/1.1\r\nHost: localhost\r\n\r\n");
            stream.get_mut().write_all(request.as_bytes()).unwrap();
            goes_on = read_answer(&mut stream);
            number += 1;
            asked.fetch_add(1, Ordering::SeqCst);
        }
    }
    number
}

/// Reads one answer; whether the connection goes on.
fn read_answer(stream: &mut BufReader<TcpStream>) -> bool {
    let (mut length, mut goes_on) = (0, true);
    let mut line = String::new();
    loop {
        line.clear();
        assert!(stream.read_line(&mut line).unwrap() > 0, "an answer ended in its head");
        let lower = line.trim_end().to_ascii_lowercase();
        if lower.is_empty() {
            break;
        }
        if let Some(value) = lower.strip_prefix("content-length: ") {
            length = value.parse().unwrap();
        }
        goes_on &= lower != "connection: close";
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).unwrap();
    goes_on
}

/// The target of a whole line of `combined`.
fn target(line: &str) -> Option<&str> {
    let rest = line.strip_prefix("127.0.0.1 - lyon [")?;
    let (time, rest) = rest.split_once("] \"GET ")?;
    let (target, rest) = rest.split_once(" HTTP/1.1\" 404 ")?;
    let (length, rest) = rest.split_once(' ')?;
    (time.len() == 26 && length.parse::<u32>().is_ok() && rest == "\"-\" \"-\"").then_some(target)
}

/// The targets of all lines of `bytes`, which have to be whole.
fn targets(path: &Path, bytes: &[u8]) -> Vec<String> {
    let text = std::str::from_utf8(bytes).unwrap();
    assert!(text.is_empty() || text.ends_with('\n'), "{} ends torn", path.display());
    text.lines()
        .map(|line| {
            let whole = target(line);
            whole.unwrap_or_else(|| panic!("{}: {line:?}", path.display())).to_owned()
        })
        .collect()
}

/// Runs `rotate` while clients ask; how often each of them did.
fn under_load(rotated: &Rotated, rotate: impl FnOnce(&AtomicU64)) -> Vec<u64> {
    let (stop, asked) = (AtomicBool::new(false), AtomicU64::new(0));
    let to = rotated.gateway.addr();
    thread::scope(|scope| {
        let (stop, asked) = (&stop, &asked);
        let clients: Vec<_> =
            (0..CLIENTS).map(|client| scope.spawn(move || ask(to, client, stop, asked))).collect();
        let rotation = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| rotate(asked)));
        stop.store(true, Ordering::SeqCst);
        let counts = clients.into_iter().map(|client| client.join().unwrap()).collect();
        if let Err(panic) = rotation {
            std::panic::resume_unwind(panic);
        }
        counts
    })
}

/// Waits until so many more requests were answered.
fn wait_for(asked: &AtomicU64, more: u64) {
    let before = asked.load(Ordering::SeqCst);
    assert!(becomes_true(|| asked.load(Ordering::SeqCst) >= before + more), "nobody is served");
}

/// Rotates with USR1 while `pause` says that it is not over, and counts. Yields rotations, requests and files.
fn rotate_by_signal(
    logrotate: PathBuf,
    mut pause: impl FnMut(&AtomicU64) -> bool,
) -> (usize, u64, usize) {
    let mut rotated = Rotated::start(logrotate, signalled);
    let mut rotations = 0;
    let counts = under_load(&rotated, |asked| {
        while pause(asked) {
            rotated.rotate();
            rotations += 1;
            // The shipped `nocreate` leaves it to the gateway to make the new file.
            assert!(becomes_true(|| rotated.gateway.file("access.log").exists()));
        }
    });
    assert_eq!(rotated.gateway.end(), Some(0));
    let mut found = HashSet::new();
    let files = rotated.files();
    let mut lines = 0;
    for (path, bytes) in &files {
        let targets = targets(path, bytes);
        lines += targets.len() as u64;
        found.extend(targets);
    }
    let requests: u64 = counts.iter().sum();
    assert_eq!(lines, requests);
    let asked = counts.iter().enumerate();
    let asked =
        asked.flat_map(|(client, &count)| (0..count).map(move |n| format!("/{client}/{n}")));
    let missing: Vec<String> = asked.filter(|target| !found.contains(target)).take(5).collect();
    assert!(missing.is_empty(), "requests without a line: {missing:?}");
    let compressed = files.iter().filter(|(path, _)| path.extension().is_some_and(|it| it == "gz"));
    assert_eq!(compressed.count() + 1, rotations, "the last one waits, by `delaycompress`");
    assert_eq!(files.len(), rotations + 1);
    (rotations, requests, files.len())
}

#[test]
fn as_shipped_logrotate_takes_no_line_away_and_tears_none() {
    let Some(logrotate) = or_left_out(program("logrotate", "logrotate")) else { return };
    let mut rotations = 0;
    let (_, requests, _) = rotate_by_signal(logrotate, |asked| {
        wait_for(asked, 300);
        rotations += 1;
        rotations <= 12
    });
    assert!(requests >= 12 * 300);
}

/// Run it with `cargo test --test it -- --ignored --nocapture a_minute_of_rotations`.
#[test]
#[ignore = "it takes a minute, and says what came of it"]
fn a_minute_of_rotations_every_second_takes_no_line_away_and_tears_none() {
    let Some(logrotate) = or_left_out(program("logrotate", "logrotate")) else { return };
    let start = Instant::now();
    let mut lasted = Duration::ZERO;
    let (rotations, requests, files) = rotate_by_signal(logrotate, |_| {
        thread::sleep(Duration::from_secs(1));
        lasted = start.elapsed();
        lasted < Duration::from_secs(60)
    });
    println!(
        "{requests} requests in {} s, {rotations} rotations, {files} files: {requests} lines, none torn",
        lasted.as_secs()
    );
}

#[test]
fn a_log_that_is_truncated_by_logrotate_goes_on_at_its_beginning() {
    let Some(logrotate) = or_left_out(program("logrotate", "logrotate")) else { return };
    let rotated = Rotated::start(logrotate, copied);
    let (stop, asked) = (AtomicBool::new(false), AtomicU64::new(0));
    let mut expected = Vec::new();
    for client in 0..6 {
        // Rotated only between requests, so that nothing comes between the copy and the truncation.
        let count = thread::scope(|scope| {
            let asking = scope.spawn(|| ask(rotated.gateway.addr(), client, &stop, &asked));
            wait_for(&asked, 20);
            stop.store(true, Ordering::SeqCst);
            asking.join().unwrap()
        });
        stop.store(false, Ordering::SeqCst);
        let log = rotated.gateway.access_log_of(usize::try_from(count).unwrap());
        let mut asked: Vec<String> =
            (0..count).map(|number| format!("/{client}/{number}")).collect();
        asked.sort_unstable();
        // On several connections, and so perhaps of several workers: all is refused.
        let mut logged = targets(Path::new("access.log"), log.as_bytes());
        logged.sort_unstable();
        assert_eq!(logged, asked);
        expected.extend(asked);
        rotated.rotate();
        assert_eq!(fs::metadata(rotated.gateway.file("access.log")).unwrap().len(), 0);
    }
    let mut found: Vec<String> = Vec::new();
    let mut files = rotated.files();
    assert_eq!(files.len(), 7);
    for (path, bytes) in files.drain(..) {
        found.extend(targets(&path, &bytes));
    }
    found.sort_unstable();
    expected.sort_unstable();
    assert_eq!(found, expected);
}

#[test]
fn truncated_under_load_a_log_has_no_hole_and_every_line_at_most_once() {
    let Some(logrotate) = or_left_out(program("logrotate", "logrotate")) else { return };
    let mut rotated = Rotated::start(logrotate, copied);
    let counts = under_load(&rotated, |asked| {
        for _ in 0..6 {
            wait_for(asked, 300);
            rotated.rotate();
        }
        wait_for(asked, 300);
    });
    assert_eq!(rotated.gateway.end(), Some(0));
    let (mut found, mut lines) = (HashSet::new(), 0);
    for (path, bytes) in rotated.files() {
        assert!(!bytes.contains(&0), "{} has a hole", path.display());
        // logrotate may copy a part of what is being written, and then truncates all of it.
        let is_copy = path.file_name().unwrap() != "access.log";
        let end = memchr::memrchr(b'\n', &bytes).map_or(0, |end| end + 1);
        let targets = targets(&path, if is_copy { &bytes[..end] } else { &bytes });
        lines += targets.len();
        found.extend(targets);
    }
    assert_eq!(found.len(), lines);
    let requests: u64 = counts.iter().sum();
    assert!(lines as u64 <= requests && lines > 0, "{lines} of {requests}");
}
