use std::time::Duration;

use http::Request as HttpRequest;
use http::uri::{Authority, PathAndQuery, Scheme, Uri};

use super::*;
use crate::config::Config;
use crate::lookup::PATH;

fn limits() -> Limits {
    let main = "[[listen]]\naddress = \"127.0.0.1:0\"\n[upstream]\nurl = \"http://192.0.2.1\"\n";
    let (config, _) = Config::from_texts(("gateway.toml", main), &[]).unwrap();
    assert_eq!(config.limits.head_timeout, Duration::from_secs(5));
    config.limits
}

/// A head as the HTTP/2 layer hands it over; no text is taken here that it would refuse.
fn parts(method: &str, authority: Option<&str>, path: &[u8], fields: &[(&str, &[u8])]) -> Parts {
    let mut uri = http::uri::Parts::default();
    uri.path_and_query = Some(PathAndQuery::try_from(path).unwrap());
    if let Some(authority) = authority {
        uri.authority = Some(Authority::try_from(authority).unwrap());
        uri.scheme = Some(Scheme::HTTPS);
    }
    let mut request = HttpRequest::builder().method(method).uri(Uri::from_parts(uri).unwrap());
    for (name, value) in fields {
        request = request.header(*name, HeaderValue::from_bytes(value).unwrap());
    }
    request.body(()).unwrap().into_parts().0
}

fn read_one(parts: &Parts) -> (Result<RequestHead, Refusal>, Vec<u8>) {
    let mut bytes = Vec::new();
    let request = read(parts, "https", false, &mut bytes, &limits());
    (request.head, bytes)
}

fn why(parts: &Parts) -> &'static str {
    match read_one(parts).0 {
        Err(Refusal::MalformedRequest(why)) => why,
        other => panic!("{other:?}"),
    }
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
        let Ok(path) = PathAndQuery::try_from(target) else {
            continue;
        };
        let (head, bytes) = read_one(&parts("GET", Some("gw"), target.as_bytes(), &[]));
        let head = head.unwrap();
        assert_eq!(path.as_str(), target);
        let (path, query) = target.split_once('?').unwrap();
        assert_eq!(head.path().of(&bytes), path.as_bytes(), "{target}");
        assert_eq!(head.query().unwrap().of(&bytes), query.as_bytes(), "{target}");
    }
}

/// No lookup has one, and nothing of the client's target goes to XiVO; the log does not show it.
#[test]
fn the_http_2_layer_takes_a_fragment_off() {
    let target = format!("{PATH}?act=list#&act=delete");
    let (head, bytes) = read_one(&parts("GET", Some("gw"), target.as_bytes(), &[]));
    assert_eq!(head.unwrap().query().unwrap().of(&bytes), b"act=list");
}

#[test]
fn no_byte_that_the_layer_lets_through_in_a_path_ends_the_request_line() {
    for byte in 0..=255_u8 {
        let target = [b'/', byte, b'x'];
        if PathAndQuery::try_from(&target[..]).is_ok() {
            assert!(byte > b' ' && byte != 0x7f, "{byte}");
        }
        if let Ok(value) = HeaderValue::from_bytes(&[b'a', byte, b'b']) {
            let fields = [("x-odd", value.as_bytes())];
            let (head, bytes) = read_one(&parts("GET", Some("gw"), b"/x", &fields));
            assert_eq!(head.unwrap().len(), bytes.len(), "{byte}");
        }
    }
}

#[test]
fn the_host_is_the_authority_or_else_the_one_host_field() {
    let host = |parts: &Parts| {
        let (head, bytes) = read_one(parts);
        head.unwrap().host(&bytes).map(|host| String::from_utf8(host.name().to_vec()).unwrap())
    };
    assert_eq!(host(&parts("GET", Some("gw:9480"), b"/", &[])).unwrap(), "gw");
    let same: &[(&str, &[u8])] = &[("host", b"GW:443")];
    assert_eq!(host(&parts("GET", Some("gw"), b"/", same)).unwrap(), "gw");
    assert_eq!(host(&parts("GET", None, b"/", same)).unwrap(), "GW");
    assert_eq!(why(&parts("GET", None, b"/", &[])), "there is no Host");
    let twice: &[(&str, &[u8])] = &[("host", b"gw"), ("host", b"gw")];
    assert_eq!(why(&parts("GET", None, b"/", twice)), "there is more than one Host");
    let differ = "its host field is not its :authority";
    assert_eq!(why(&parts("GET", Some("gw"), b"/", twice)), differ);
    let other: &[(&str, &[u8])] = &[("host", b"gw:80")];
    assert_eq!(why(&parts("GET", Some("gw"), b"/", other)), differ);
    let odd: &[(&str, &[u8])] = &[("host", b"g w")];
    assert_eq!(why(&parts("GET", Some("gw"), b"/", odd)), differ);
    for authority in ["user@gw", "gw:65536", "a..b", "gw%41"] {
        if Authority::try_from(authority).is_ok() {
            let parts = parts("GET", Some(authority), b"/", &[]);
            assert_eq!(why(&parts), "its :authority is not a valid host", "{authority}");
        }
    }
}

#[test]
fn fields_are_held_to_the_rules_of_http_2_and_then_to_those_of_http_1() {
    let broken = "a field breaks a rule of HTTP/2 (RFC 9113, section 8.2)";
    for field in [
        ("x", &b" a"[..]),
        ("x", b"a\t"),
        ("te", b"gzip"),
        ("connection", b"close"),
        ("upgrade", b"h2c"),
        ("transfer-encoding", b"chunked"),
        ("keep-alive", b"1"),
        ("proxy-connection", b"close"),
    ] {
        assert_eq!(why(&parts("GET", Some("gw"), b"/", &[field])), broken, "{field:?}");
    }
    let length = |lengths: &[(&str, &[u8])]| read_one(&parts("GET", Some("gw"), b"/", lengths)).0;
    assert!(!length(&[("content-length", b"0")]).unwrap().has_body());
    assert!(length(&[("content-length", b"5")]).unwrap().has_body());
    for lengths in [
        &[("content-length", &b"0"[..]), ("content-length", b"0")][..],
        &[("content-length", b"+1")],
        &[("content-length", b"0, 0")],
    ] {
        assert!(matches!(length(lengths), Err(Refusal::MalformedRequest(_))), "{lengths:?}");
    }
    assert!(read_one(&parts("GET", Some("gw"), b"/", &[("te", b"trailers")])).0.is_ok());
}

#[test]
fn the_limits_are_those_of_http_1() {
    let long = [b"/".as_slice(), &[b'a'; 4096]].concat();
    assert!(matches!(read_one(&parts("GET", Some("gw"), &long, &[])).0, Err(Refusal::UriTooLong)));
    let fields: Vec<_> = (0..64).map(|_| ("x", &b"y"[..])).collect();
    let (head, _) = read_one(&parts("GET", Some("gw"), b"/", &fields));
    assert!(matches!(head, Err(Refusal::HeadersTooLarge(_))));
    let large = vec![b'a'; 16 * 1024];
    let (head, _) = read_one(&parts("GET", Some("gw"), b"/", &[("x", &large)]));
    assert!(matches!(head, Err(Refusal::HeadersTooLarge(_))));
}

#[test]
fn the_log_sees_the_request_line_of_http_2() {
    let fields: &[(&str, &[u8])] =
        &[("user-agent", b"one"), ("user-agent", b"two"), ("referer", b"r")];
    let parts = parts("HEAD", Some("gw"), b"/a?b", fields);
    let mut bytes = Vec::new();
    let Request { seen, .. } = read(&parts, "https", false, &mut bytes, &limits());
    assert_eq!(seen.line.of(&bytes), b"HEAD /a?b HTTP/2.0");
    assert_eq!(seen.user_agent.unwrap().of(&bytes), b"one");
    assert_eq!(seen.referer.unwrap().of(&bytes), b"r");
}
