//! Odd bytes in every place that a line can show: fields, targets, paths, arguments, hosts and versions.

use super::{Case, case, head, last, with};

/// All of them.
pub(super) fn all() -> Vec<Case> {
    [fields(), control_bytes(), repeated(), hosts(), paths(), targets(), arguments(), versions()]
        .into_iter()
        .flatten()
        .collect()
}

/// The fields that the formats show.
const SHOWN: [&str; 5] = ["User-Agent", "Referer", "Cookie", "X-Forwarded-For", "X-A"];

fn with_field(name: &str, value: &[u8]) -> Vec<u8> {
    with([name.as_bytes(), b": ", value, b"\r\nX-Behind: 1\r\n"].concat())
}

fn fields() -> Vec<Case> {
    let every_byte: Vec<u8> =
        [b'x', b'\t'].into_iter().chain(0x20..=0x7e).chain(0x80..=0xff).collect();
    let backwards: Vec<u8> = every_byte.iter().rev().copied().collect();
    let long = [b"\"\xff".repeat(900), b"end".to_vec()].concat();
    let values: [(&'static str, &[u8]); 10] = [
        ("a field of every byte", &every_byte),
        ("a field of every byte backwards", &backwards),
        ("a long field of escapes", &long),
        ("a field in UTF-8", "é 電話 \u{10348} \u{feff}\u{202e}\u{7ff}\u{ffff}".as_bytes()),
        ("a field of overlong UTF-8", b"\xc0\x80 \xc1\xbf \xe0\x80\xaf \xf0\x80\x80\x80"),
        (
            "a field of surrogates",
            b"\xed\xa0\x80\xed\xbf\xbf \xf4\x90\x80\x80 \xf8\x88\x80\x80\x80",
        ),
        ("a field of UTF-8 that is cut off", b"\xe2\x82 \xf0\x9f\x98 \xc3"),
        ("a field of quotes", b"\"\"\"'''`"),
        ("a field that ends in a backslash", b"a\\"),
        ("a field of escapes as text", b"\\x22 \\u0022 \\n %22 &quot; ${status} $status"),
    ];
    let each = |name| values.map(|(case, value)| (case, with_field(name, value)));
    SHOWN.into_iter().flat_map(each).map(|(name, bytes)| case(name, bytes)).collect()
}

/// Bytes that no field may hold; NUL is the one that nginx does not take either.
fn control_bytes() -> Vec<Case> {
    let of = |field, byte: u8| {
        let name = if byte == 0 { "a NUL in a value" } else { "a control byte in a value" };
        case(name, with_field(field, &[b'a', byte, b'b']))
    };
    let every = (0..0x20).chain([0x7f]).filter(|byte| !matches!(byte, b'\t' | b'\n' | b'\r'));
    let some = SHOWN[1..].iter().flat_map(|&field| [0, 1, 0x1b, 0x7f].map(|byte| of(field, byte)));
    let in_target = |byte| {
        let target = [b"/nothing/".as_slice(), &[byte], b"x"].concat();
        case("a control byte in a target", last("GET", target, ""))
    };
    let in_query = |byte| {
        let target = [b"/nothing?act=".as_slice(), &[byte], b"x"].concat();
        case("a control byte in a query", last("GET", target, ""))
    };
    every
        .map(|byte| of("User-Agent", byte))
        .chain(some)
        .chain([1, 8, b'\t', 0x0b, 0x1f, 0x7f].map(in_target))
        .chain([0, 2, b'\t', 0x0c, 0x1e, 0x7f].map(in_query))
        .collect()
}

/// Fields that come more than once, that are empty, or whose names are nearly others.
fn repeated() -> Vec<Case> {
    let of = |name, lines: &str| case(name, with(lines.replace('|', "\r\n") + "\r\n"));
    vec![
        of(
            "fields that come twice",
            "X-Forwarded-For: 192.0.2.1|X-Forwarded-For: 192.0.2.2|Cookie: a=1|Cookie: b=2|X-A: 1|X-A: 2",
        ),
        of("a cookie that comes three times", "Cookie: a=1|COOKIE: b=\"2\"|cookie: c=\\"),
        of("an empty cookie before another", "Cookie:|Cookie: b=2"),
        of("an empty cookie behind another", "Cookie: a=1|Cookie:"),
        of("two empty cookies", "Cookie:|Cookie:   "),
        of("an empty X-Forwarded-For before another", "X-Forwarded-For:|X-Forwarded-For: b"),
        of("an empty field before another", "X-A:|X-A: 2"),
        of("an empty referer before another", "Referer:|Referer: 2"),
        of("an empty agent before another", "User-Agent:|User-Agent: 2"),
        of("a field with an underscore", "X_A: 1|x-a: \"2\""),
        of("an agent with an underscore", "User_Agent: 1|User-Agent: 2"),
        of("a field's name with a dot", "X.A: 1|X-A: 2"),
        of("a field's name of odd tokens", "!#$%&'*+.^`|~: 1|X-A: 2"),
        of("a field's name that is another's beginning", "X-AB: 1|X: 2|X-: 3|-X-A: 4"),
        of("a field of blanks", "X-A:    |Cookie:   |X-Forwarded-For:  "),
        of("a field of tabs", "X-A: \t|Cookie:\t|X-Forwarded-For: \t\t"),
        of("tabs around a field", "X-A: \ta\t|Cookie:\tb \t |X-Forwarded-For: \t c \t"),
        of("a colon in a field", "X-A::a:|Cookie: :|Referer::"),
        of("a connection that says it twice", "Connection: close|Connection: close"),
        of("a connection of several words", "Connection: close, X-A|X-A: 1"),
        of("a user and a password", "Authorization: Basic YW5uYTpzZWNyZXQ="),
        of("a user in no base64", "Authorization: Basic !!!"),
        of("a user of odd bytes", "Authorization: Basic IiBcIDo6"),
        of("another kind of credentials", "Authorization: Bearer abc"),
        of("a part that is asked for", "Range: bytes=0-1|If-Range: \"x\""),
        of(
            "what is known already",
            "If-None-Match: \"x\"|If-Modified-Since: Sun, 06 Nov 1994 08:49:37 GMT",
        ),
        of("another protocol", "Upgrade: websocket|X-A: 1"),
        of("an expectation", "Expect: 100-continue"),
        of("an expectation of something else", "Expect: something"),
        of(
            "many codings",
            "Accept-Encoding: gzip, br;q=1.0, *;q=0|TE: trailers|Accept-Language: fr",
        ),
    ]
}

fn hosts() -> Vec<Case> {
    let of = |name, host: &[u8]| {
        let target = "GET /nothing?act=host HTTP/1.1\r\nConnection: close\r\nHost: ";
        let bytes = [target.as_bytes(), host, b"\r\nUser-Agent: behind\r\n\r\n"].concat();
        case(name, bytes)
    };
    vec![
        of("a host in capitals", b"LocalHost"),
        of("a host with a port", b"localhost:8080"),
        of("a host with an empty port", b"localhost:"),
        of("a host with a dot at its end", b"localhost."),
        of("a host with a dot and a port", b"LOCALHOST.:80"),
        of("a host that is an address", b"127.0.0.1"),
        of("a host that is an address of IPv6", b"[::1]"),
        of("a host that is an address of IPv6 with a port", b"[2001:DB8::7]:80"),
        of("a host with a hyphen and an underscore", b"my_host-1.example"),
        of("a host with blanks around it", b"  localhost  "),
        of("a host of two dots", b"a..b"),
        of("a host of one dot", b"."),
        of("a host with a dot in front", b".a"),
        of("a host with a star", b"*.example"),
        of("a host with a quote", b"a\"b"),
        of("a host with a backslash", b"a\\b"),
        of("a host with an escape", b"loc%61lhost"),
        of("a host with a comma", b"a,b"),
        of("a host with a user", b"anna@localhost"),
        of("a host with a port that is none", b"localhost:http"),
        of("a host with a port that is too high", b"localhost:99999"),
        of("a host with an open bracket", b"[::1"),
        of("a host with a tab", b"local\thost"),
        of("a long host", &b"a".repeat(200)),
    ]
}

/// Paths that XiVO does not have: what `$uri` makes of them.
fn paths() -> Vec<Case> {
    let of = |path: &str| case("a path that is not there", last("GET", path, "X-Behind: 1\r\n"));
    // XiVO refuses it with a status of its own.
    let root = |path: &str| case("the root", last("GET", path, "X-Behind: 1\r\n"));
    let bad = |path: &str| case("a path that nginx refuses", last("GET", path, "X-Behind: 1\r\n"));
    let escaped: String = (1..=0xff_u8).map(|byte| format!("%{byte:02x}")).collect();
    let raw = [b"/nothing/", &(0x80..=0xff).collect::<Vec<u8>>()[..], b"?act=\xff"].concat();
    let good = [
        "//nothing",
        "/nothing//x///",
        "/./nothing",
        "/nothing/.",
        "/nothing/x/..",
        "/nothing/../x",
        "/x/.nothing",
        "/nothing/%2e%2e/x",
        "/nothing%2fx",
        "/nothing%252fx",
        "/nothing%3Fx?act=1",
        "/nothing%23x",
        "/nothing+x%20y",
        "/nothing;act=1",
        "/nothing?",
        "/nothing??act=1",
        "/nothing?act=1?id=2",
        "/nothing?&&",
        "/nothing/..;/x",
        "/nothing/...",
        "/nothing./",
        "/nothing/%20",
        "/nothing/%c3%a9%C3%A9",
        "/nothing/%E9",
        "/nothing/%0d%0aX:%20y",
        "/nothing/%22%5c%5C%27",
        "/nothing/%7f%80%ff",
        "/nothing/!$&'()*+,-.:;<=>@[]^_`{|}~\"\\",
        "/x/./y/../../nothing",
        "/nothing%2f..%2fx",
        "/nothing/%2e",
        "/nothing/.%2e/x",
        "/nothing%25",
        "/nothing/.?act=1",
        "/nothing//?act=1",
        "/nothing/x%2f%2fy",
        "/nothing/.//x",
        "/nothing/..//x",
        "/%6eothing",
    ];
    let refused = [
        "/..",
        "/../nothing",
        "/x/../../nothing",
        "/%2e%2e",
        "/%2e%2e/x",
        "/nothing/%zz",
        "/nothing/%4",
        "/nothing/%",
        "/nothing/%00",
        "/nothing%0",
        "/nothing%?act=1",
        "/nothing%4?act=1",
        "/nothing%%20",
        "/nothing/%g0",
        "/..?act=1",
    ];
    let mut cases: Vec<Case> =
        good.into_iter().map(of).chain(refused.into_iter().map(bad)).collect();
    cases.extend(["/x/..", "/nothing/%2E%2e", "/nothing/..?act=1"].map(root));
    cases.push(of(&format!("/nothing/{escaped}")));
    cases.push(case("a path that is not there", last("GET", raw, "X-Behind: 1\r\n")));
    cases
}

/// Targets with a scheme, or that begin otherwise.
fn targets() -> Vec<Case> {
    let of = |name, target: &str| case(name, last("GET", target, "X-Behind: 1\r\n"));
    vec![
        of("a url of a path", "http://localhost/nothing?act=1"),
        of("a url with a port", "http://localhost:80/nothing"),
        of("a url with an empty port", "http://localhost:/nothing"),
        of("a url of another host", "http://other.example/nothing"),
        of("a url in capitals", "HTTP://OTHER.Example/nothing"),
        of("a url of an address of IPv6", "http://[::1]:80/nothing"),
        of("a url with a dot behind its host", "http://localhost./nothing"),
        of("a url of a folder above", "http://localhost/x/../nothing"),
        of("a url without a path and with a query", "http://localhost?act=1"),
        of("a url with a user", "http://anna@localhost/nothing"),
        of("a url without a host", "http:///nothing"),
        of("a url of https", "https://localhost/nothing"),
        of("a url of ftp", "ftp://localhost/nothing"),
        of("a url of one slash", "http:/nothing"),
        of("a url of a port that is none", "http://localhost:x/nothing"),
        of("a star", "*"),
        of("a question mark", "?act=1"),
        of("a target in quotes", "\"/nothing\""),
    ]
}

/// What `$args` and `$arg_…` make of a query; XiVO does not have the path, so that nobody refuses it for its arguments.
fn arguments() -> Vec<Case> {
    let of = |query: &str| {
        let target = format!("/nothing?{query}");
        case("a query", last("GET", target, "X-Behind: 1\r\n"))
    };
    let own = |name, query: &str| {
        let target = format!("{}?{query}", crate::support::xivo::PHONEBOOK);
        case(name, last("GET", target, "X-Behind: 1\r\n"))
    };
    let raw: String = (0x21..=0x7e_u8).map(char::from).filter(|&c| c != '#').collect();
    let long = format!("search={}", "%22".repeat(1000));
    let queries = [
        "act",
        "act=",
        "act=&act=2",
        "act&act=2",
        "ACT=up",
        "aCt=x&act=y",
        "act=a=b",
        "act=%20",
        "act=a+b",
        "xact=1",
        "act%3d1",
        "&act=1",
        "&&act=1&",
        "act=1;search=2",
        "search=%zz",
        "search=%00",
        "id=1?x",
        "=act",
        "?act=1",
        "act=1&act",
        "act=\"q\"",
        "id[]=3",
        "id=3&id=4",
        "search=é",
        "search=\u{7ff}\\",
        "act=/../x",
        "act=1&&id=2",
        "actx=1&act=2",
        "act =1",
        "a%63t=1",
        "act==",
        "search=a&SEARCH=b",
        "act=1&search",
        "search=1=&id==2&act=",
    ];
    let mut cases: Vec<Case> =
        queries.into_iter().filter(|query| !query.contains(' ')).map(of).collect();
    cases.push(of(&raw));
    cases.push(of(&long));
    cases.push(of(&format!("act=1&{raw}&id=2")));
    cases.push(own("an unknown argument", "act=search&search=doe&x=1"));
    cases.push(own("an argument that comes twice", "act=search&search=doe&search=x"));
    cases.push(own("a search without a term", "act=search"));
    cases.push(own("an act that writes", "act=add"));
    cases.push(own("an unknown act", "act=dance"));
    cases.push(own("a view without an id", "act=view"));
    cases
}

fn versions() -> Vec<Case> {
    let of = |name, version: &str| {
        let fields = ["Host: localhost", "Connection: close", "User-Agent: behind"];
        case(name, head(&format!("GET /nothing?act=1 {version}"), &fields))
    };
    vec![
        of("http/1.10", "HTTP/1.10"),
        of("http/1.01", "HTTP/1.01"),
        of("http/01.1", "HTTP/01.1"),
        of("http/1 and a dot", "HTTP/1."),
        of("http/1", "HTTP/1"),
        of("http/11", "HTTP/11"),
        of("http/1.1 and a letter", "HTTP/1.1x"),
        of("http without a number", "HTTP"),
        of("http/3.0", "HTTP/3.0"),
        of("another protocol's name", "HTTQ/1.1"),
        of("http/1.0 that closes", "HTTP/1.0"),
        of("a tab before the version", "\tHTTP/1.1"),
    ]
}
