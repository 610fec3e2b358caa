use std::time::Duration;

use super::*;
use crate::config::Config;
use crate::lookup::PATH;

fn limits() -> Limits {
    let main = "[[listen]]\naddress = \"127.0.0.1:0\"\n[upstream]\nurl = \"http://192.0.2.1\"\n";
    let (config, _) = Config::from_texts(("gateway.toml", main), &[]).unwrap();
    assert_eq!(config.limits.head_timeout, Duration::from_secs(5));
    (*config.limits).clone()
}

type Fields<'a> = &'a [(&'a str, &'a [u8])];

fn message(fields: Fields<'_>) -> Message {
    let mut message = Message::new(limits().max_head);
    message.ends = true;
    for (name, value) in fields {
        message.add(name.as_bytes(), value);
    }
    message.finish();
    message
}

/// A head in HTTP/2's words.
fn asked(method: &str, authority: Option<&str>, path: &[u8], fields: Fields<'_>) -> Message {
    let mut all: Vec<(&str, &[u8])> = vec![(":method", method.as_bytes()), (":scheme", b"https")];
    all.extend(authority.map(|authority| (":authority", authority.as_bytes())));
    all.push((":path", path));
    message(&[&all[..], fields].concat())
}

/// What becomes of a message's head: what `look` finds in it, or why there is none.
fn read_one<T>(message: &Message, look: impl Fn(RequestHead<'_>) -> T) -> Result<T, Refusal> {
    WrittenHead::of(message).read(message, "https", &limits()).head.map(look)
}

fn why(message: &Message) -> String {
    match read_one(message, |head| head.len()) {
        Err(Refusal::MalformedRequest(why)) => why.to_string(),
        other => panic!("{other:?}"),
    }
}

/// The line that the log shows.
fn line(message: &Message) -> String {
    let written = WrittenHead::of(message);
    written.read(message, "https", &limits()).seen.line().escape_ascii().to_string()
}

#[test]
fn path_and_query_are_read_as_they_were_sent() {
    for target in [
        "/a%2Fb//c/./..;x?act=list&&%41=",
        "/?",
        "/??a=b?c",
        "/\u{e9}?\u{e9}=\u{2028}",
        "/a\"<>[]{}|\\^`?a\"<>[]{}|\\^`",
    ] {
        let message = asked("GET", Some("gw"), target.as_bytes(), &[]);
        let (path, query) = target.split_once('?').unwrap();
        let look = |head: RequestHead<'_>| {
            assert_eq!(head.path(), path.as_bytes(), "{target}");
            assert_eq!(head.query().unwrap(), query.as_bytes(), "{target}");
        };
        read_one(&message, look).unwrap();
    }
}

#[test]
fn a_fragment_is_refused_and_the_log_has_all_of_it() {
    let target = format!("{PATH}?act=list#&act=delete");
    let fragment = asked("GET", Some("gw"), target.as_bytes(), &[]);
    assert_eq!(why(&fragment), "the request target holds a `#`: a fragment is never sent");
    assert_eq!(line(&fragment), format!("GET {target} HTTP/2.0"));
}

/// As over HTTP/1: whatever a byte of a path or a value is, it is read as it was sent or refused, and
/// begins no line of its own.
#[test]
fn no_byte_is_read_otherwise_than_it_was_sent() {
    for byte in 0..=255_u8 {
        let odd = [b'/', byte, b'x'];
        let in_path = asked("GET", Some("gw"), &odd, &[]);
        let length = WrittenHead::of(&in_path).bytes.len();
        let read = read_one(&in_path, |head| {
            assert!(odd.starts_with(head.path()) && head.len() == length, "{byte}");
        });
        assert_eq!(read.is_ok(), byte > b' ' && byte != 0x7f && byte != b'#', "{byte}");
        let shown = [b"GET ", &odd[..], b" HTTP/2.0"].concat();
        assert_eq!(line(&in_path), shown.escape_ascii().to_string(), "{byte}");
        let in_method = asked(&format!("G{}T", char::from(byte & 0x7f)), Some("gw"), b"/x", &[]);
        let token = crate::http1::field::is_token(byte & 0x7f);
        assert_eq!(read_one(&in_method, |_| ()).is_ok(), token, "{byte}");
        let value = [b'a', byte, b'b'];
        let in_value = asked("GET", Some("gw"), b"/x", &[("x-odd", &value)]);
        let read = read_one(&in_value, |head| {
            assert_eq!(head.values("x-odd").collect::<Vec<_>>(), [&value], "{byte}");
        });
        assert_eq!(read.is_ok(), byte == b'\t' || byte >= b' ' && byte != 0x7f, "{byte}");
        let in_name =
            asked("GET", Some("gw"), b"/x", &[(&format!("x{}", char::from(byte & 0x7f)), b"")]);
        let lower = token && !byte.is_ascii_uppercase() && !(byte & 0x7f).is_ascii_uppercase();
        assert_eq!(read_one(&in_name, |_| ()).is_ok(), lower, "{byte}");
    }
}

#[test]
fn a_head_that_http_2_itself_forbids_is_malformed_and_shown() {
    const METHOD: (&str, &[u8]) = (":method", b"GET");
    const SCHEME: (&str, &[u8]) = (":scheme", b"https");
    const AUTHORITY: (&str, &[u8]) = (":authority", b"gw");
    const PATH: (&str, &[u8]) = (":path", b"/x");
    let (method, scheme, authority, path) = (METHOD, SCHEME, AUTHORITY, PATH);
    for (fields, wanted) in [
        (&[scheme, authority, path][..], " /x HTTP/2.0"),
        (&[method, authority, path], "GET /x HTTP/2.0"),
        (&[method, scheme, authority], "GET  HTTP/2.0"),
        (&[method, scheme, authority, (":path", b"")], "GET  HTTP/2.0"),
        (&[method, method, scheme, authority, path], "GET /x HTTP/2.0"),
        (&[method, scheme, authority, path, (":path", b"/y")], "GET /x HTTP/2.0"),
        (&[method, scheme, authority, path, (":status", b"200")], "GET /x HTTP/2.0"),
        (&[method, scheme, authority, path, (":protocol", b"websocket")], "GET /x HTTP/2.0"),
        (&[method, scheme, authority, path, (":odd", b"1")], "GET /x HTTP/2.0"),
        (&[("x", b"y"), method, scheme, authority, path], "GET /x HTTP/2.0"),
        (&[method, scheme, authority, path, ("", b"y")], "GET /x HTTP/2.0"),
        (&[method, scheme, authority, path, ("x:y", b"z")], "GET /x HTTP/2.0"),
        (&[method, scheme, authority, (":path", b"http://other/")], "GET http://other/ HTTP/2.0"),
        (&[method, scheme, authority, (":path", b"/\r\nx: y")], "GET /\\r\\nx: y HTTP/2.0"),
        (&[method, scheme, authority, (":path", b"/ HTTP/2.0")], "GET / HTTP/2.0 HTTP/2.0"),
        (&[(":method", b"GET /"), scheme, authority, path], "GET / /x HTTP/2.0"),
        (&[(":method", b"CONNECT"), scheme, authority], "CONNECT gw HTTP/2.0"),
        (&[(":method", b"CONNECT"), authority, path], "CONNECT /x HTTP/2.0"),
    ] {
        let message = message(fields);
        assert!(message.fault().is_some(), "{fields:?}");
        assert_eq!(Some(why(&message)), message.fault().map(|fault| fault.to_string()));
        assert_eq!(line(&message), wanted, "{fields:?}");
    }
    // What HTTP/1 refuses as well is no fault of HTTP/2.
    for fields in [
        &[(":method", &b"CONNECT"[..]), authority][..],
        &[(":method", b"OPTIONS"), scheme, authority, (":path", b"*")],
        &[method, scheme, path],
        &[method, (":scheme", b"HTTPS"), authority, path],
        &[method, scheme, (":authority", b""), path],
    ] {
        let message = message(fields);
        assert_eq!(message.fault(), None, "{fields:?}");
        assert_ne!(why(&message), "");
    }
}

#[test]
fn the_host_is_the_authority_or_else_the_one_host_field() {
    let host = |message: &Message| {
        let name = |host: Host<'_>| String::from_utf8(host.name().to_vec()).unwrap();
        read_one(message, |head| head.host().map(name)).unwrap()
    };
    assert_eq!(host(&asked("GET", Some("gw:9480"), b"/", &[])).unwrap(), "gw");
    let same: &[(&str, &[u8])] = &[("host", b"GW:443")];
    assert_eq!(host(&asked("GET", Some("gw"), b"/", same)).unwrap(), "gw");
    assert_eq!(host(&asked("GET", None, b"/", same)).unwrap(), "GW");
    assert_eq!(why(&asked("GET", None, b"/", &[])), "there is no Host");
    let twice: &[(&str, &[u8])] = &[("host", b"gw"), ("host", b"gw")];
    assert_eq!(why(&asked("GET", None, b"/", twice)), "there is more than one Host");
    let differ = "its host field is not its :authority";
    assert_eq!(why(&asked("GET", Some("gw"), b"/", twice)), differ);
    let other: &[(&str, &[u8])] = &[("host", b"gw:80")];
    assert_eq!(why(&asked("GET", Some("gw"), b"/", other)), differ);
    let odd: &[(&str, &[u8])] = &[("host", b"g w")];
    assert_eq!(why(&asked("GET", Some("gw"), b"/", odd)), differ);
    for authority in ["user@gw", "gw:65536", "a..b", "gw%41", "", "gw\r\nx: y", "g w"] {
        let odd = asked("GET", Some(authority), b"/", &[]);
        assert_eq!(why(&odd), "its :authority is not a valid host", "{authority}");
    }
}

#[test]
fn fields_are_held_to_the_rules_of_http_2_and_then_to_those_of_http_1() {
    let blank = "a field value begins or ends with a blank";
    let about = "it has a field about the connection";
    for (field, wanted) in [
        (("x", &b" a"[..]), blank),
        (("x", b"a\t"), blank),
        (("x", b"a\r\nb: c"), "a field value holds a line end or a NUL"),
        (("X", b"a"), "a field name is not a token in lower case"),
        (("te", b"gzip"), about),
        (("connection", b"close"), about),
        (("upgrade", b"h2c"), about),
        (("transfer-encoding", b"chunked"), about),
        (("keep-alive", b"1"), about),
        (("proxy-connection", b"close"), about),
    ] {
        assert_eq!(why(&asked("GET", Some("gw"), b"/", &[field])), wanted, "{field:?}");
    }
    let has_body = |lengths: &[(&str, &[u8])]| {
        read_one(&asked("GET", Some("gw"), b"/", lengths), |head| head.has_body())
    };
    assert!(!has_body(&[("content-length", b"0")]).unwrap());
    assert!(has_body(&[("content-length", b"5")]).unwrap());
    for lengths in [
        &[("content-length", &b"0"[..]), ("content-length", b"0")][..],
        &[("content-length", b"+1")],
        &[("content-length", b"0, 0")],
    ] {
        assert!(matches!(has_body(lengths), Err(Refusal::MalformedRequest(_))), "{lengths:?}");
    }
    assert!(read_one(&asked("GET", Some("gw"), b"/", &[("te", b"trailers")]), |_| ()).is_ok());
}

#[test]
fn the_limits_are_those_of_http_1() {
    let long = [b"/".as_slice(), &[b'a'; 4096]].concat();
    let read = read_one(&asked("GET", Some("gw"), &long, &[]), |_| ());
    assert!(matches!(read, Err(Refusal::UriTooLong)));
    let fields: Vec<_> = (0..64).map(|_| ("x", &b"y"[..])).collect();
    let read = read_one(&asked("GET", Some("gw"), b"/", &fields), |_| ());
    assert!(matches!(read, Err(Refusal::HeadersTooLarge(_))));
    let large = vec![b'a'; 16 * 1024];
    let read = read_one(&asked("GET", Some("gw"), b"/", &[("x", &large)]), |_| ());
    assert!(matches!(read, Err(Refusal::HeadersTooLarge(_))));
}

#[test]
fn the_log_sees_the_request_line_of_http_2() {
    let fields: &[(&str, &[u8])] =
        &[("user-agent", b"one"), ("user-agent", b"two"), ("referer", b"r")];
    let message = asked("HEAD", Some("gw"), b"/a?b", fields);
    let written = WrittenHead::of(&message);
    let Request { seen, .. } = written.read(&message, "https", &limits());
    assert_eq!(seen.line(), b"HEAD /a?b HTTP/2.0");
    assert_eq!(seen.user_agent().unwrap(), b"one");
    assert_eq!(seen.referer().unwrap(), b"r");
}
