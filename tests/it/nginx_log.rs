//! The access log is nginx's: the same bytes are sent to nginx and to the gateway, both before the same XiVO, and the lines
//! that the two leave, in formats that use every variable and every escape, are compared value by value.
//!
//! What differs stands in the tables of [`differences`], each with its reason.

#[cfg(test)]
mod cases;
#[cfg(test)]
mod differences;
#[cfg(test)]
mod formats;
#[cfg(test)]
mod odd;
#[cfg(test)]
mod transports;
#[cfg(test)]
mod upstream;

use std::{
    collections::BTreeSet,
    fs,
    io::{ErrorKind, Read, Write},
    net::{Shutdown, SocketAddr, TcpStream},
    path::Path,
    process::Command,
    time::Duration,
};

use serde_json::Value;
use socket2::SockRef;

use self::{
    differences::{Excused, compare},
    formats::{Format, Line, formats},
    upstream::Upstream,
};
use crate::support::{
    log_readers::none_refuses_what_it_takes_from_nginx,
    needs::{or_left_out, program},
    process::{PATIENCE, becomes_true},
    serving::{Serving, loopback_config},
    xivo::{Nginx, PHONEBOOK, RealXivo},
};

/// As far as their directives reach, the two are configured alike.
const NGINX: &str = "
    client_header_timeout 1s;
    client_header_buffer_size 1k;
    large_client_header_buffers 4 4k;
    keepalive_timeout 60s;
    proxy_set_header Host localhost;
    proxy_read_timeout 3s;
    location /sentinel { return 204; }
    location /barrier { access_log off; return 204; }
    location /service/ipbx/json.php/private/ { return 403; }
";
const GATEWAY: &str = "
[limits]
head_timeout = \"1s\"
max_uri = \"4k\"
max_head = \"16k\"
rate = { per_second = 100000, burst = 100000 }
";

/// Beside the logs that are compared, two with the default `max_field`: goaccess loses lines of more than 4096 bytes.
const FOR_GOACCESS: &str = "
[[access_log]]
path = \"for-goaccess.log\"
[[access_log]]
path = \"with-more.log\"
format = \"gateway\"
";

const STATUSES: [&str; 14] = [
    "200", "204", "304", "400", "403", "404", "405", "408", "413", "414", "431", "499", "502",
    "504",
];

const PEER: &str = "hosts = [\"127.0.0.1\", \"::1\", \"192.0.2.7\", \"2001:db8::7\"]\n\
                    actions = [\"search\", \"list\", \"view\"]\nrate = { per_second = 100000, burst = 100000 }\n";

/// What one client does on one connection.
struct Case {
    name: &'static str,
    bytes: Vec<u8>,
    then: Then,
    v6: bool,
}

/// What it does when it has sent its bytes.
#[derive(Clone, Copy, PartialEq)]
enum Then {
    /// Reads until the server closes.
    Read,
    /// Sends each of its requests when the one before is answered, and reads until the server closes.
    InTurn,
    /// Says that nothing more comes, and reads until the server closes.
    HalfClose,
    /// Resets the connection once the upstream has been asked.
    ResetWhenAsked,
}

fn case(name: &'static str, bytes: impl AsRef<[u8]>) -> Case {
    Case { name, bytes: bytes.as_ref().to_vec(), then: Then::Read, v6: false }
}

impl Case {
    fn then(self, then: Then) -> Self {
        Self { then, ..self }
    }

    fn over_ipv6(self) -> Self {
        Self { v6: true, ..self }
    }
}

/// A whole last request for `target` with these further field lines.
fn last(method: &str, target: impl AsRef<[u8]>, lines: impl AsRef<[u8]>) -> Vec<u8> {
    let parts: [&[u8]; 6] = [
        method.as_bytes(),
        b" ",
        target.as_ref(),
        b" HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n",
        lines.as_ref(),
        b"\r\n",
    ];
    parts.concat()
}

fn search(term: &str) -> String {
    format!("{PHONEBOOK}?act=search&search={term}")
}

/// A search that finds somebody, with these field lines.
fn with(lines: impl AsRef<[u8]>) -> Vec<u8> {
    last("GET", search("doe"), lines)
}

/// A head of this request line and these fields.
fn head(line: &str, fields: &[&str]) -> String {
    let fields: String = fields.iter().map(|field| format!("{field}\r\n")).collect();
    format!("{line}\r\n{fields}\r\n")
}

/// How the two are reached.
#[derive(Default)]
struct Site<'s> {
    /// Options of nginx's `listen`.
    options: &'s str,
    /// Further lines of nginx's server.
    server: &'s str,
    /// Further lines of the gateway's listener.
    listen: &'s str,
}

/// nginx and the gateway before the same upstream, and how many lines they have written.
struct Pair {
    nginx: Nginx,
    gateway: Serving,
    formats: Vec<Format>,
    lines: usize,
}

impl Pair {
    /// Each has a log in each format.
    fn start(upstream: SocketAddr, site: &Site<'_>) -> Option<Self> {
        let formats = formats();
        let mut http = "limit_req_zone $binary_remote_addr zone=rate:1m rate=10000r/s;\n\
                        limit_conn_zone $binary_remote_addr zone=conn:1m;\n"
            .to_owned();
        for name in differences::OURS {
            http.push_str(&format!("map $remote_addr ${name} {{ default \"-\"; }}\n"));
        }
        let mut log_format = "[log_format]\n".to_owned();
        let mut logs = String::new();
        for format in &formats {
            let name = format.name;
            let (nginx, toml) = format.configured();
            log_format.push_str(&toml);
            http.push_str(&format!("{nginx}access_log @DIR@/{name}.log {name};\n"));
            logs.push_str(&format!(
                "[[access_log]]\npath = \"{name}.log\"\nflush = \"10ms\"\nmax_field = 0\nformat = \"{name}\"\n"
            ));
        }
        let server = format!(
            "location / {{ proxy_pass http://{upstream}; proxy_http_version 1.1; \
             limit_req zone=rate burst=10000 nodelay; limit_conn conn 1000; }}\n{}\n{NGINX}",
            site.server,
        );
        let nginx = or_left_out(Nginx::listening(site.options, &http, &server))?;
        let second = match nginx.addr6() {
            Some(_) if site.listen.is_empty() => "[[listen]]\naddress = \"[::1]:0\"\n",
            _ => "",
        };
        // As nginx with its one server, it asks again whatever came of the last request.
        let circuit = "[upstream.circuit]\nfailures = 0\n";
        let upstream = loopback_config(upstream)
            .replace("timeout = \"20s\"", "timeout = \"3s\"\nstall_timeout = \"3s\"")
            .replacen(
                "[[access_log]]",
                &format!("{}\n{second}{circuit}[[access_log]]", site.listen),
                1,
            );
        // One worker: its lines come in the order of what they tell.
        let main = format!("workers = 1\n{upstream}{logs}{FOR_GOACCESS}{log_format}{GATEWAY}");
        let gateway = Serving::start(&main, &[("peer", PEER)]).unwrap();
        Some(Self { nginx, gateway, formats, lines: 0 })
    }

    /// Plays a case to both, and marks its end in the logs.
    fn play(&self, case: &Case, mark: usize, upstream: Option<&Upstream>) {
        let addresses = if case.v6 {
            let Some(nginx) = self.nginx.addr6() else { return };
            [nginx, self.gateway.addresses()[1]]
        } else {
            [self.nginx.addr(), self.gateway.addr()]
        };
        if case.then == Then::ResetWhenAsked {
            addresses.iter().for_each(|&to| play(case, to, upstream));
        } else {
            std::thread::scope(|both| {
                for to in addresses {
                    both.spawn(move || play(case, to, None));
                }
            });
        }
        // nginx writes the line of a connection that lingers when that is over, which it may learn in the same moment
        // as the next request: what is asked behind the answer to another one comes later in any case.
        play(&barrier(), self.nginx.addr(), None);
        for to in [self.nginx.addr(), self.gateway.addr()] {
            play(&sentinel(mark), to, None);
        }
    }

    /// Where the log in this format is, nginx's and the gateway's.
    fn logs(&self, name: &str) -> [std::path::PathBuf; 2] {
        [self.nginx.file(&format!("{name}.log")), self.gateway.file(&format!("{name}.log"))]
    }

    /// The lines of both once there are `more` further ones.
    fn further_lines(&self, format: &Format, more: usize) -> [Vec<Line>; 2] {
        let wanted = self.lines + more;
        self.logs(format.name).map(|log| {
            let count =
                || fs::read(&log).map_or(0, |it| it.iter().filter(|&&b| b == b'\n').count());
            assert!(
                becomes_true(|| count() >= wanted),
                "{}: {wanted} lines awaited",
                log.display()
            );
            format.lines(&log).split_off(self.lines)
        })
    }
}

/// A request that both refuse or answer, and that the test knows again.
fn sentinel(mark: usize) -> Case {
    case("sentinel", format!("GET /sentinel/{mark} HTTP/1.0\r\n\r\n"))
}

/// A request that nginx answers and does not log.
fn barrier() -> Case {
    case("barrier", "GET /barrier HTTP/1.0\r\n\r\n")
}

#[test]
fn the_log_is_nginx_s_in_every_format_line_for_line() {
    let Some(xivo) = or_left_out(RealXivo::start()) else { return };
    let sum = view_sum(&xivo);
    let upstream = Upstream::before(xivo.addr());
    let Some(pair) = Pair::start(upstream.address, &Site::default()) else { return };
    let mut cases: Vec<Case> =
        [cases::all(), odd::all(), upstream::all()].into_iter().flatten().collect();
    for case in &mut cases {
        if let Some(at) = find(&case.bytes, b"@SUM@") {
            case.bytes.splice(at..at + 5, sum.bytes());
        }
    }
    for (mark, case) in cases.iter().enumerate() {
        pair.play(case, mark, Some(&upstream));
    }
    // Nobody listens any more: both say 502.
    drop(xivo);
    upstream.close();
    cases.push(case("no upstream", with("User-Agent: behind\r\n")));
    pair.play(cases.last().unwrap(), cases.len() - 1, None);
    assert!(cases.len() >= 400 && pair.formats.len() >= 12);
    let found = pair.compare_all(&cases);
    assert!(found.is_empty(), "{} differences:\n{}", found.len(), found.join("\n"));
    let [nginx, ours] = pair.logs("combined");
    let lines = pair.formats[0].lines(&ours);
    let statuses: BTreeSet<_> = lines.iter().map(|line| formats::value(line, "status")).collect();
    assert_eq!(statuses, BTreeSet::from(STATUSES), "what the gateway can answer to one peer");
    // The lines at one place of the two are of one request.
    none_refuses_what_it_takes_from_nginx(&nginx, &ours);
    pair.finish();
}

impl Pair {
    /// Compares all lines of all formats; yields what differs, and the exceptions that nothing needed.
    fn compare_all(&self, cases: &[Case]) -> Vec<String> {
        let ends = |line: &Line, mark: usize| {
            formats::value(line, "request") == format!("GET /sentinel/{mark} HTTP/1.0")
        };
        // How many lines of each log belong to each case is told by `combined`.
        let combined = &self.formats[0];
        let logs = self.logs(combined.name);
        let last = cases.len() - 1;
        let complete = |log: &Path| combined.lines(log).last().is_some_and(|line| ends(line, last));
        assert!(becomes_true(|| logs.iter().all(|log| complete(log))), "a log has no end");
        let logs = logs.map(|log| combined.lines(&log));
        let mut counts = Vec::new();
        let mut at = [0, 0];
        for mark in 0..cases.len() {
            counts.push([0, 1].map(|which| {
                let from = at[which];
                let count = logs[which][from..].iter().take_while(|line| !ends(line, mark)).count();
                at[which] = from + count + 1;
                count
            }));
        }
        let mut found: Vec<String> = Vec::new();
        for (case, [nginx, ours]) in cases.iter().zip(&counts) {
            if nginx != ours {
                found.push(format!(
                    "{}: nginx {nginx} lines, ours {ours}: {:?}",
                    case.name,
                    String::from_utf8_lossy(&case.bytes)
                ));
            }
        }
        if !found.is_empty() {
            return found;
        }
        let mut excused = Excused::default();
        for format in &self.formats {
            let [nginx, ours] = self.further_lines(format, at[0]);
            assert_eq!(nginx.len(), ours.len());
            let (mut nginx, mut ours) = (nginx.iter(), ours.iter());
            for (case, [count, _]) in cases.iter().zip(&counts) {
                for (nginx, ours) in nginx.by_ref().zip(ours.by_ref()).take(*count) {
                    let differing = compare(case.name, nginx, ours, &mut excused);
                    found.extend(differing.into_iter().map(|it| format!("{}: {it}", format.name)));
                }
                let _ = (nginx.next(), ours.next());
            }
        }
        found.extend(excused.stale().into_iter().map(|row| format!("not needed: {row:?}")));
        found
    }

    /// Ends the gateway, and fails if goaccess cannot read a line.
    fn finish(mut self) {
        assert_eq!(self.gateway.end(), Some(0));
        let lines =
            |name: &str| fs::read_to_string(self.gateway.file(name)).unwrap().lines().count();
        assert_eq!(lines("for-goaccess.log"), lines("combined.log"));
        read_by_goaccess(&self.gateway.file("for-goaccess.log"));
        read_by_goaccess(&self.gateway.file("with-more.log"));
    }
}

/// Does what the case says. That the server resets a connection is its right; what counts is its log.
fn play(case: &Case, to: SocketAddr, upstream: Option<&Upstream>) {
    let mut stream = TcpStream::connect(to).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    if case.then == Then::InTurn {
        let mut rest = case.bytes.as_slice();
        while let Some(end) = find(rest, b"\r\n\r\n") {
            let (request, behind) = rest.split_at(end + 4);
            stream.write_all(request).unwrap();
            if !behind.is_empty() {
                read_answer(&mut stream, request.starts_with(b"HEAD "));
            }
            rest = behind;
        }
    } else {
        let _ = stream.write_all(&case.bytes);
    }
    match case.then {
        Then::Read | Then::InTurn => {}
        Then::HalfClose => drop(stream.shutdown(Shutdown::Write)),
        Then::ResetWhenAsked => {
            let upstream = upstream.unwrap();
            upstream.await_question();
            SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
            drop(stream);
            // The upstream stays until the question is given up: its own end would be another story.
            return upstream.await_its_end();
        }
    }
    match stream.read_to_end(&mut Vec::new()) {
        Err(error) if error.kind() == ErrorKind::WouldBlock => panic!("{}: no end", case.name),
        _ => {}
    }
}

/// Reads one answer on a connection that goes on.
fn read_answer(stream: &mut TcpStream, head_only: bool) {
    let (mut answer, mut byte) = (Vec::new(), [0]);
    let mut next = |answer: &mut Vec<u8>| {
        stream.read_exact(&mut byte).unwrap();
        answer.push(byte[0]);
    };
    while !answer.ends_with(b"\r\n\r\n") {
        next(&mut answer);
    }
    let head = String::from_utf8_lossy(&answer).to_ascii_lowercase();
    if head_only || head.starts_with("http/1.1 204") || head.starts_with("http/1.1 304") {
        return;
    }
    let length = head.split_once("content-length: ").and_then(|(_, rest)| rest.lines().next());
    match length {
        Some(length) => (0..length.parse().unwrap()).for_each(|_: usize| next(&mut answer)),
        None => {
            answer.clear();
            while !answer.ends_with(b"0\r\n\r\n") {
                next(&mut answer);
            }
        }
    }
}

/// Fails if goaccess cannot read a line.
fn read_by_goaccess(log: &Path) {
    let Some(goaccess) = or_left_out(program("goaccess", "goaccess")) else { return };
    let report = log.with_extension("json");
    let invalid = log.with_extension("invalid");
    let output = Command::new(goaccess)
        .args([log.to_str().unwrap(), "--log-format=COMBINED", "--no-global-config"])
        .args(["--invalid-requests", invalid.to_str().unwrap(), "-o", report.to_str().unwrap()])
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    // goaccess undoes percents, and cuts what it shows: that is not always UTF-8.
    let text = |path| String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).into_owned();
    let report: Value = serde_json::from_str(&text(report)).unwrap();
    let lost = text(invalid);
    assert_eq!(report["general"]["failed_requests"], 0, "{lost}");
    let lines = fs::read_to_string(log).unwrap().lines().count();
    assert_eq!(report["general"]["total_requests"], lines);
}

/// The checksum that XiVO knows contact 4 by.
fn view_sum(xivo: &RealXivo) -> String {
    let answer = crate::support::http::get(xivo.addr(), &format!("{PHONEBOOK}?act=view&id=4"));
    crate::support::xivo::md5(&answer.body)
}

fn find(bytes: &[u8], part: &[u8]) -> Option<usize> {
    bytes.windows(part.len()).position(|window| window == part)
}
