//! What clients send to both: honest requests, and what is cut off, broken or too much.

use super::{Case, Then, case, head, last, search, with};
use crate::support::xivo::PHONEBOOK;

/// All of them. `@SUM@` stands for the checksum of XiVO's answer to `view` of contact 4.
pub(super) fn all() -> Vec<Case> {
    [honest(), quoted(), cut_off(), broken_lines(), broken_fields(), too_much()]
        .into_iter()
        .flatten()
        .collect()
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
        case("one after another", in_turn()).then(Then::InTurn),
        case(
            "head",
            [
                format!("HEAD {found} HTTP/1.1\r\nHost: localhost\r\n\r\n").into_bytes(),
                last("HEAD", &found, ""),
            ]
            .concat(),
        )
        .then(Then::InTurn),
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

/// One connection with all that can be asked on it.
fn in_turn() -> String {
    let get = |target: &str, fields| {
        format!("GET {target} HTTP/1.1\r\nHost: localhost\r\nUser-Agent: in turn\r\n{fields}\r\n")
    };
    [
        get(&search("doe"), ""),
        get(&search("nobody"), "Referer: 2\r\n"),
        get(&format!("{PHONEBOOK}?act=list"), "Cookie: c=3\r\n"),
        get("/nothing/4?act=x", ""),
        get(&format!("{PHONEBOOK}?act=view&id=4&sum=@SUM@"), "X-A: 6\r\n"),
        get(&format!("{PHONEBOOK}?act=view&id=999"), ""),
        get(&search("zo%c3%ab"), "Connection: close\r\n"),
    ]
    .concat()
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
