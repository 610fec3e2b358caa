//! The access log is nginx's: the same bytes are sent to nginx and to the gateway, both before the same XiVO, and the lines
//! that the two leave are compared byte for byte.
//!
//! What may differ: the time, `$remote_user` (nginx has none, the gateway writes the peer), and the size of an answer with a
//! status of 400 and above, whose body is each one's own. Everything else that differs is in [`OTHERWISE`], with its reason.

#[cfg(test)]
mod formats;
#[cfg(test)]
mod transports;

use std::{
    collections::BTreeSet,
    fs,
    io::{ErrorKind, Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    path::Path,
    process::Command,
    time::Duration,
};

use serde_json::Value;
use socket2::SockRef;

use crate::support::{
    needs::{or_left_out, program},
    process::PATIENCE,
    serving::{Serving, loopback_config},
    xivo::{Nginx, PHONEBOOK, RealXivo},
};

/// Where the gateway answers otherwise than nginx: the case, what nginx and what the gateway write for it (status, referer
/// and agent; the rest of the line is equal all the same), and why.
#[rustfmt::skip]
const OTHERWISE: &[(&str, &str, &str, &str)] = &[
    ("head that finds nobody", r#"200 "-" "python-requests/2.28.1""#, r#"204 "-" "python-requests/2.28.1""#, ASKED),
    ("a half-close behind a request", r#"499 "-" "python-requests/2.28.1""#, r#"200 "-" "python-requests/2.28.1""#, "who has asked may say that it asks no more, and still waits"),
    ("percents and quotes in the path", r#"400 "-" "-""#, r#"404 "-" "-""#, "no path but the phonebook's is decoded"),
    ("no version", r#"200 "-" "-""#, r#"400 "-" "-""#, "HTTP/0.9 is not spoken"),
    ("two blanks", r#"404 "-" "-""#, r#"400 "-" "-""#, LINE),
    ("a blank behind", r#"404 "-" "-""#, r#"400 "-" "-""#, LINE),
    ("http/1.2", r#"404 "-" "-""#, r#"400 "-" "-""#, "there are HTTP/1.0 and HTTP/1.1"),
    ("http/2.0", r#"505 "-" "-""#, r#"400 "-" "-""#, "there are HTTP/1.0 and HTTP/1.1"),
    ("a method in small letters", r#"400 "-" "-""#, r#"405 "-" "behind""#, TOKEN),
    ("a method with a dot", r#"400 "-" "-""#, r#"405 "-" "behind""#, TOKEN),
    ("an unknown method", r#"200 "-" "behind""#, r#"405 "-" "behind""#, METHOD),
    ("a method with a dash", r#"200 "-" "behind""#, r#"405 "-" "behind""#, METHOD),
    ("options", r#"200 "-" "behind""#, r#"405 "-" "behind""#, METHOD),
    ("delete", r#"200 "-" "behind""#, r#"405 "-" "behind""#, METHOD),
    ("a post of a body", r#"200 "-" "behind""#, r#"405 "-" "behind""#, METHOD),
    ("a get with a body", r#"200 "-" "-""#, r#"413 "-" "-""#, "no lookup has a body"),
    ("a body in chunks", r#"200 "-" "behind""#, r#"400 "-" "behind""#, "no lookup has a body"),
    ("an unknown coding", r#"501 "-" "behind""#, r#"400 "-" "behind""#, "no lookup has a body"),
    ("a host with odd bytes", r#"200 "-" "behind""#, r#"400 "-" "-""#, FIELD),
    ("a field without a colon", r#"200 "-" "behind""#, r#"400 "-" "-""#, FIELD),
    ("a control byte in a field", r#"200 "-" "behind""#, r#"400 "-" "-""#, FIELD),
    ("a bare line feed behind the line", r#"200 "-" "-""#, r#"400 "-" "-""#, "a line ends with CRLF"),
    ("a bare line feed behind a field", r#"200 "-" "-""#, r#"400 "-" "-""#, "a line ends with CRLF"),
    ("a fragment in the target", r#"200 "-" "behind""#, r#"400 "-" "-""#, "nginx cuts it off; no client may send it"),
    ("a field that is too long", r#"400 "-" "before""#, r#"200 "behind" "before""#, "the limit is the whole head's"),
    ("a head that is too long", r#"400 "-" "before""#, r#"431 "-" "before""#, "431 is what RFC 6585 made for it"),
    ("a hundred fields", r#"200 "behind" "before""#, r#"431 "-" "before""#, "nginx has no limit on their number"),
];
const ASKED: &str =
    "XiVO is asked with GET: for HEAD it reads no arguments and answers with the list";
const LINE: &str = "between the parts of a request line there is one blank";
const TOKEN: &str = "a method is any token; nginx knows capitals, `_` and `-`";
const METHOD: &str = "nginx passes every method on";
const FIELD: &str =
    "nginx leaves such fields out or takes them; two readers could read them in two ways";

/// As far as their directives reach, the two are configured alike.
const NGINX: &str = "
    client_header_timeout 1s;
    client_header_buffer_size 1k;
    large_client_header_buffers 4 4k;
    keepalive_timeout 60s;
    proxy_set_header Host localhost;
    proxy_read_timeout @PATIENCE@;
    location /sentinel { return 204; }
    location /service/ipbx/json.php/private/ { return 403; }
";

/// Beside the log that is compared, one with the default `max_field`: goaccess loses lines of more than 4096 bytes.
const LIMITS: &str = "
[[access_log]]
path = \"for-goaccess.log\"
[[access_log]]
path = \"with-more.log\"
format = \"gateway\"
[limits]
head_timeout = \"1s\"
max_uri = \"4k\"
max_head = \"16k\"
rate = { per_second = 100000, burst = 100000 }
";

const PEER: &str = "hosts = [\"127.0.0.1\", \"::1\"]\nactions = [\"search\", \"list\", \"view\"]\n\
                    rate = { per_second = 100000, burst = 100000 }\n";

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

/// Honest requests: what XiVO's users cause all day.
fn honest() -> Vec<Case> {
    let agent =
        "User-Agent: python-requests/2.28.1\r\nAccept-Encoding: gzip, deflate\r\nAccept: */*\r\n";
    let found = search("doe");
    vec![
        case("a search", with(agent)),
        case("nothing found is 204", last("GET", search("nobody"), agent)),
        case("accents, encoded", last("GET", search("l%C3%A9ve+%c3%a9"), agent)),
        case("accents, as raw bytes", last("GET", search("lefèvre"), agent)),
        case("a list in chunks", last("GET", format!("{PHONEBOOK}?act=list"), agent)),
        case("no act", last("GET", PHONEBOOK, agent)),
        case("a slash at the end", last("GET", format!("{PHONEBOOK}/?act=list"), "")),
        case("a view", last("GET", format!("{PHONEBOOK}?act=view&id=4"), "")),
        case("a view of nobody is 404", last("GET", format!("{PHONEBOOK}?act=view&id=999"), "")),
        case("a known sum is 304", last("GET", format!("{PHONEBOOK}?act=view&id=4&sum=@SUM@"), "")),
        case("head", last("HEAD", &found, agent)),
        case("head that finds nobody", last("HEAD", search("nobody"), agent)),
        case("http/1.0", format!("GET {found} HTTP/1.0\r\n\r\n")),
        case("http/1.0 with a host", format!("GET {found} HTTP/1.0\r\nHost: localhost\r\n\r\n")),
        case(
            "http/1.0 that wants to go on, and does with a 204",
            [
                format!("GET {} HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", search("nobody")),
                format!("GET {found} HTTP/1.0\r\nUser-Agent: second\r\n\r\n"),
            ]
            .concat(),
        ),
        case("an absolute target", last("GET", format!("http://localhost{found}"), agent)),
        case("an absolute target in capitals", last("GET", format!("HTTP://LOCALHOST{found}"), "")),
        case(
            "a method in its own words",
            last("GET", &found, "X-HTTP-Method-Override: DELETE\r\n"),
        ),
        case(
            "a line end in front",
            ["\r\n\r\n", &String::from_utf8(with(agent)).unwrap()].concat(),
        ),
        case("a body of no bytes", with("Content-Length: 0\r\n")),
        case(
            "three in a pipeline",
            [
                format!("GET {found} HTTP/1.1\r\nHost: localhost\r\nUser-Agent: one\r\n\r\n"),
                format!(
                    "GET {} HTTP/1.1\r\nHost: localhost\r\nReferer: two\r\n\r\n",
                    search("nobody")
                ),
                format!("GET {found} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"),
            ]
            .concat(),
        ),
        case(
            "a good one, a bad one, and one that is not read",
            [
                format!("GET {found} HTTP/1.1\r\nHost: localhost\r\nUser-Agent: one\r\n\r\n"),
                format!("GET {found} HTTP/1.1\r\nUser-Agent: two\r\n\r\n"),
                format!("GET {found} HTTP/1.1\r\nHost: localhost\r\nUser-Agent: three\r\n\r\n"),
            ]
            .concat(),
        ),
        case(
            "a request, then half of one that never ends",
            format!("GET {found} HTTP/1.1\r\nHost: localhost\r\n\r\nGET /serv"),
        ),
        case("a half-close behind a request", with(agent)).then(Then::HalfClose),
        case("over ipv6", with(agent)).over_ipv6(),
        case("a bad request over ipv6", "GET\r\n\r\n").over_ipv6(),
        case("an unknown path", last("GET", "/nothing/here", agent)),
        case("private", last("GET", PHONEBOOK.replace("restricted", "private"), agent)),
    ]
}

/// What may stand in a line's quotes.
fn quoted() -> Vec<Case> {
    let every_byte: Vec<u8> = (0x20..=0x7e).chain(0x80..=0xff).collect();
    let agent = |value: &[u8]| with([b"User-Agent: ", value, b"\r\n"].concat());
    vec![
        case("an agent with quotes", agent(br#"a "quoted" one"#)),
        case("an agent with backslashes", agent(br"C:\x22\n\")),
        case("an agent with a tab", agent(b"one\ttwo")),
        case("an agent of every byte", agent(&every_byte)),
        case("an agent in UTF-8", agent("téléphone 電話".as_bytes())),
        case("an empty agent", with("User-Agent:\r\n")),
        case("an agent of blanks", with("User-Agent:    \r\n")),
        case("an agent of a tab", with("User-Agent: \t \r\n")),
        case("an agent with blanks around it", with("User-Agent:   curl  \r\n")),
        case("an agent with tabs around it", with("User-Agent:\tcurl\t\r\n")),
        case("an agent without a blank before it", with("User-Agent:curl/8\r\n")),
        case("two agents", with("User-Agent: one\r\nUser-Agent: two\r\n")),
        case("an agent in capitals", with("USER-AGENT: LOUD\r\n")),
        case("a long agent", agent("long ".repeat(500).as_bytes())),
        case("a referer", with("Referer: http://example.org/?a=\"b\"\r\n")),
        case("an empty referer", with("Referer:\r\n")),
        case("two referers", with("Referer: one\r\nReferer: two\r\n")),
        case("a referer of odd bytes", with(b"Referer: \xff\xfe\\\x22\r\n")),
        case("a dash as agent and referer", with("User-Agent: -\r\nReferer: -\r\n")),
        case("a log line in the agent", with("User-Agent: x\" 200 1 \"-\" \"-\r\n")),
        case("a quote in the target", last("GET", search("a\"b"), "")),
        case("a backslash in the target", last("GET", search("a\\b"), "")),
        case("bytes above 127 in the target", last("GET", b"/nothing/\xff\xfe\x80", "")),
        case("percents and quotes in the path", last("GET", "/no%00thing/%22\"%zz", "")),
    ]
}

/// Connections that bring no whole head, and first bytes that are not HTTP.
fn cut_off() -> Vec<Case> {
    let line = line();
    let slow = format!("{line}\r\nUser-Agent: slow\r\n");
    let cut = format!("{line}\r\nUser-Agent: x\r\nRef");
    let hello = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\"\\abc";
    let hello_with_a_line = b"\x16\x03\x01\x00\x05\x01\r\nGET / HTTP/1.1\r\n\r\n";
    vec![
        case("nothing", "").then(Then::HalfClose),
        case("line ends only", "\r\n\r\n").then(Then::HalfClose),
        case("a carriage return only", "\r").then(Then::HalfClose),
        case("line ends only, and no close", "\r\n"),
        case("one byte", "G").then(Then::HalfClose),
        case("a head that is cut off in its line", "GET /service").then(Then::HalfClose),
        case("a head that is cut off at a line end", format!("{line}\r\n")).then(Then::HalfClose),
        case("a head that is cut off in a field", cut).then(Then::HalfClose),
        case("a head that does not come in time", slow),
        case("a line that does not come in time", "GET /slow"),
        case("a tls greeting", hello),
        case("a tls greeting with a line end in it", hello_with_a_line),
        case("an http/2 preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
        case("a word", "hello\r\n\r\n"),
        case("odd bytes", b"\x00\x01\x80\xff\r\n\r\n"),
    ]
}

/// Request lines that are none, or none of a lookup.
fn broken_lines() -> Vec<Case> {
    let of = |name, line: &str| case(name, head(line, &["Host: localhost", CLOSE]));
    let method = |name, method| case(name, last(method, search("doe"), "User-Agent: behind\r\n"));
    let body = "Content-Length: 3\r\nUser-Agent: behind\r\n\r\nabc";
    let fragment = format!("{}#x", search("doe"));
    let bad_host = head("GET http://a\\b/ HTTP/1.1", &["Host: localhost", AGENT]);
    vec![
        of("a NUL in the target", "GET /a\0b HTTP/1.1"),
        of("a control byte in the target", "GET /a\u{1}b HTTP/1.1"),
        of("no version", &format!("GET {PHONEBOOK}")),
        of("a third blank", "GET /a b HTTP/1.1"),
        of("two blanks", "GET  /nothing HTTP/1.1"),
        of("a blank in front", " GET / HTTP/1.1"),
        of("a blank behind", "GET /nothing HTTP/1.1 "),
        of("http/1.2", "GET /nothing HTTP/1.2"),
        of("http/2.0", "GET /nothing HTTP/2.0"),
        of("http/0.9's version", "GET /nothing HTTP/0.9"),
        of("http in small letters", "GET / http/1.1"),
        of("a target that is no path", "GET nothing HTTP/1.1"),
        of("options for the server", "OPTIONS * HTTP/1.1"),
        of("connect", "CONNECT localhost:443 HTTP/1.1"),
        case("a target's host that is not a host", bad_host),
        case("a fragment in the target", last("GET", fragment, "User-Agent: behind\r\n")),
        method("a method in small letters", "get"),
        method("an unknown method", "FOO"),
        method("a method with a dash", "M-SEARCH"),
        method("a method with a dot", "A.B"),
        method("options", "OPTIONS"),
        method("trace", "TRACE"),
        method("delete", "DELETE"),
        case("a post of a body", last("POST", search("doe"), body)),
    ]
}

/// Fields that may not be there, or not so.
fn broken_fields() -> Vec<Case> {
    let of = |name, fields: &[&str]| case(name, head(&line(), fields));
    // With a Host in front and an agent behind.
    let field = |name, field| of(name, &["Host: localhost", CLOSE, field, AGENT]);
    let host = |name, host| of(name, &[CLOSE, host, AGENT]);
    let line = line();
    let odd_host = [line.as_bytes(), b"\r\nHost: \xff\xfe\r\n", BEHIND];
    vec![
        of("no host", &[AGENT, CLOSE]),
        host("an empty host", "Host:"),
        host("two hosts", "Host: localhost\r\nHost: localhost"),
        host("a host with a slash", "Host: local/host"),
        host("a host with a blank", "Host: local host"),
        case("a host with odd bytes", odd_host.concat()),
        field("a field without a colon", "nonsense"),
        field("a field without a name", ": x"),
        field("a blank before the colon", "X : y"),
        field("a folded field", "X: y\r\n z"),
        field("a NUL in a field", "Referer: before\r\nX: a\0b"),
        field("a control byte in a field", "X: a\u{1}b"),
        field("a bare carriage return in a field", "X: a\rb"),
        field("a length that is no number", "Content-Length: x"),
        field("a length below zero", "Content-Length: -1"),
        field("two lengths", "Content-Length: 0\r\nContent-Length: 0"),
        field("an unknown coding", "Transfer-Encoding: gzip"),
        field("chunks and a length", "Content-Length: 3\r\nTransfer-Encoding: chunked"),
        case("a get with a body", [with("Content-Length: 3\r\n"), b"abc".to_vec()].concat()),
        case("a body in chunks", [with(CHUNKED), b"0\r\n\r\n".to_vec()].concat()),
        case(
            "a bare line feed behind the line",
            format!("{line}\nHost: localhost\r\n{CLOSE}\r\n\r\n"),
        ),
        case(
            "a bare line feed behind a field",
            format!("{line}\r\nHost: localhost\n{CLOSE}\r\n\r\n"),
        ),
    ]
}

/// What is too much.
fn too_much() -> Vec<Case> {
    let long = "x".repeat(5000);
    let field = format!("X: {long}");
    let fits = format!("X: {}", &long[..3900]);
    let fits = fits.as_str();
    let many: Vec<String> = (0..100).map(|number| format!("X-{number}: 1")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let between = |fields: &[&str]| {
        let (first, behind) =
            (["Host: localhost", CLOSE, "User-Agent: before"], ["Referer: behind"]);
        head(&line(), &[&first, fields, &behind].concat())
    };
    vec![
        case("a target that is too long", last("GET", search(&long), "")),
        case("a target that is too long and never ends", format!("GET {long}")),
        case("a field that is too long", between(&[&field])),
        case("a head that is too long", between(&[fits, fits, fits, fits, fits])),
        case("a hundred fields", between(&many)),
    ]
}

/// An honest request line.
fn line() -> String {
    format!("GET {} HTTP/1.1", search("doe"))
}

const BEHIND: &[u8] = b"User-Agent: behind\r\nConnection: close\r\n\r\n";
const AGENT: &str = "User-Agent: behind";
const CLOSE: &str = "Connection: close";
const CHUNKED: &str = "Transfer-Encoding: chunked\r\nUser-Agent: behind\r\n";

#[test]
fn the_log_is_nginx_s_line_for_line() {
    let Some(xivo) = or_left_out(RealXivo::start()) else { return };
    let sum = view_sum(&xivo);
    let Some(mut pair) = Pair::start(xivo.addr(), "20s") else { return };
    let mut cases: Vec<Case> =
        [honest(), quoted(), cut_off(), broken_lines(), broken_fields(), too_much()]
            .into_iter()
            .flatten()
            .collect();
    assert!(cases.len() >= 60);
    for case in &mut cases {
        if let Some(at) = find(&case.bytes, b"@SUM@") {
            case.bytes.splice(at..at + 5, sum.bytes());
        }
    }
    pair.run(&cases, None);
    // XiVO is gone: both say 502.
    drop(xivo);
    pair.run(&[case("no upstream", with(format!("{AGENT}\r\n")))], None);
    let excused: BTreeSet<_> = OTHERWISE.iter().map(|(name, ..)| *name).collect();
    let unused: Vec<_> = excused.difference(&pair.otherwise).collect();
    assert!(unused.is_empty(), "no exceptions: {unused:?}; {}", pair.differing.join("\n"));
    pair.finish();
}

/// nginx and the gateway before the same upstream, and how far their logs have been compared.
struct Pair {
    nginx: Nginx,
    gateway: Serving,
    marks: usize,
    seen: [usize; 2],
    differing: Vec<String>,
    otherwise: BTreeSet<&'static str>,
}

impl Pair {
    /// Both wait so long for the upstream.
    fn start(upstream: SocketAddr, patience: &str) -> Option<Self> {
        let nginx = or_left_out(Nginx::proxy(upstream, &NGINX.replace("@PATIENCE@", patience)))?;
        let main = loopback_config(upstream).replacen(
            "[[access_log]]",
            "[[listen]]\naddress = \"[::1]:0\"\n[[access_log]]",
            usize::from(nginx.addr6().is_some()),
        );
        // One worker: its lines come in the order of what they tell.
        let main = main.replace("timeout = \"20s\"", &format!("timeout = \"{patience}\""));
        let main = format!("workers = 1\n{main}{LIMITS}");
        let gateway = Serving::start(&main, &[("peer", PEER)]).unwrap();
        Some(Self {
            nginx,
            gateway,
            marks: 0,
            seen: [0, 0],
            differing: Vec::new(),
            otherwise: BTreeSet::new(),
        })
    }

    /// Plays each case to both, and compares the lines that it left.
    fn run(&mut self, cases: &[Case], upstream: Option<&TcpListener>) {
        for case in cases {
            let addresses = match case.v6 {
                false => [self.nginx.addr(), self.gateway.addr()],
                true => match self.nginx.addr6() {
                    Some(nginx) => [nginx, self.gateway.addresses()[1]],
                    None => continue,
                },
            };
            match upstream {
                Some(_) => addresses.iter().for_each(|&to| play(case, to, upstream)),
                None => std::thread::scope(|both| {
                    for to in addresses {
                        both.spawn(move || play(case, to, None));
                    }
                }),
            }
            let lines = self.next_lines();
            self.compare(case.name, &lines[0], &lines[1]);
        }
    }

    /// The lines that have come since the last call: a request of our own marks where they end.
    fn next_lines(&mut self) -> [Vec<String>; 2] {
        self.marks += 1;
        let mark = format!("GET /sentinel/{} HTTP/1.0", self.marks);
        for to in [self.nginx.addr(), self.gateway.addr()] {
            play(&case("mark", format!("{mark}\r\n\r\n")), to, None);
        }
        let mut found = [Vec::new(), Vec::new()];
        for (which, found) in found.iter_mut().enumerate() {
            let mark = format!("\"{mark}\"");
            loop {
                let log = self.log_of(which, self.seen[which] + 1);
                let line = log.lines().nth(self.seen[which]).unwrap().to_owned();
                self.seen[which] += 1;
                if line.contains(&mark) {
                    break;
                }
                found.push(line);
            }
        }
        found
    }

    fn log_of(&self, which: usize, lines: usize) -> String {
        if which == 0 { self.nginx.access_log_of(lines) } else { self.gateway.access_log_of(lines) }
    }

    fn compare(&mut self, name: &'static str, nginx: &[String], ours: &[String]) {
        let nginx: Vec<_> = nginx.iter().map(|line| Line::read(line)).collect();
        let mut ours: Vec<_> = ours.iter().map(|line| Line::read(line)).collect();
        for (nginx, ours) in nginx.iter().zip(&mut ours) {
            assert_eq!(ours.user, "peer", "{name}: the log names the peer");
            ours.user.clone_from(&nginx.user);
            let excused = OTHERWISE.iter().find(|(excused, ..)| *excused == name);
            if let Some((name, theirs, own, _)) = excused
                && nginx.answered() == *theirs
                && ours.answered() == *own
            {
                ours.status.clone_from(&nginx.status);
                ours.size.clone_from(&nginx.size);
                ours.fields.clone_from(&nginx.fields);
                self.otherwise.insert(name);
            }
            if ours.status.as_str() >= "400" {
                ours.size.clone_from(&nginx.size);
            }
        }
        if nginx != ours {
            self.differing.push(format!("{name}:\n  nginx {nginx:?}\n  ours  {ours:?}"));
        }
    }

    /// Fails if a line differed, or if goaccess cannot read one of the gateway's.
    fn finish(mut self) {
        assert!(self.differing.is_empty(), "{}", self.differing.join("\n"));
        assert_eq!(self.gateway.end(), Some(0));
        let lines =
            |name: &str| fs::read_to_string(self.gateway.file(name)).unwrap().lines().count();
        assert_eq!(lines("access.log"), self.seen[1], "no line came late");
        assert_eq!(lines("for-goaccess.log"), self.seen[1]);
        read_by_goaccess(&self.gateway.file("for-goaccess.log"));
        read_by_goaccess(&self.gateway.file("with-more.log"));
    }
}

/// A line without its time.
#[derive(Debug, PartialEq)]
struct Line {
    before: String,
    user: String,
    request: String,
    status: String,
    size: String,
    fields: String,
}

impl Line {
    /// What the table of exceptions names.
    fn answered(&self) -> String {
        format!("{} \"{}\"", self.status, self.fields)
    }

    /// A quoted value holds no quote: both write it as an escape.
    fn read(line: &str) -> Self {
        let parts: Vec<&str> = line.split('"').collect();
        let [start, request, numbers, _, _, _, ""] = parts[..] else { panic!("{line}") };
        let [address, "-", user, time, offset] = start.split(' ').collect::<Vec<_>>()[..5] else {
            panic!("{line}")
        };
        assert!(time.starts_with('[') && time.len() == "[01/Jan/2026:00:00:00".len(), "{line}");
        assert!(offset.ends_with(']') && offset.len() == "+0000]".len(), "{line}");
        let ["", status, size, ""] = numbers.split(' ').collect::<Vec<_>>()[..] else {
            panic!("{line}")
        };
        Self {
            before: address.to_owned(),
            user: user.to_owned(),
            request: request.to_owned(),
            status: status.to_owned(),
            size: size.to_owned(),
            fields: parts[3..6].join("\""),
        }
    }
}

/// Does what the case says. That the server resets a connection is its right; what counts is its log.
fn play(case: &Case, to: SocketAddr, upstream: Option<&TcpListener>) {
    let mut stream = TcpStream::connect(to).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let _ = stream.write_all(&case.bytes);
    let asked = match case.then {
        Then::Read => None,
        Then::HalfClose => {
            let _ = stream.shutdown(Shutdown::Write);
            None
        }
        Then::ResetWhenAsked => Some(await_question(upstream.unwrap())),
    };
    if let Some(mut asked) = asked {
        SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
        drop(stream);
        // The upstream stays until the question is given up: its own end would be another story.
        asked.set_read_timeout(Some(PATIENCE)).unwrap();
        let _ = asked.read(&mut [0]);
        return;
    }
    let mut answer = Vec::new();
    match stream.read_to_end(&mut answer) {
        Err(error) if error.kind() == ErrorKind::WouldBlock => panic!("{}: no end", case.name),
        _ => {}
    }
}

/// Takes a connection and reads the head of a question on it.
fn await_question(upstream: &TcpListener) -> TcpStream {
    let (mut stream, _) = upstream.accept().unwrap();
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).unwrap();
        head.extend_from_slice(&byte);
    }
    stream
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
    let report: Value = serde_json::from_str(&fs::read_to_string(report).unwrap()).unwrap();
    let lost = fs::read_to_string(invalid).unwrap_or_default();
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

#[test]
fn an_upstream_that_is_slow_and_a_client_that_leaves_are_logged_as_nginx_logs_them() {
    let upstream = TcpListener::bind("127.0.0.1:0").unwrap();
    let Some(mut pair) = Pair::start(upstream.local_addr().unwrap(), "1s") else { return };
    let request = with(format!("{AGENT}\r\n"));
    pair.run(&[case("a client that leaves", &request).then(Then::ResetWhenAsked)], Some(&upstream));
    pair.run(&[case("no answer in time", &request)], None);
    pair.finish();
}
