use super::*;

fn read(bytes: &[u8]) -> Result<Option<RequestHead<'_>>, HeadError> {
    let spans = RequestReader::default().advance(bytes, &LIMITS)?;
    Ok(spans.map(|spans| spans.over(bytes)))
}

fn head(bytes: &[u8]) -> RequestHead<'_> {
    read(bytes).unwrap().unwrap()
}

fn malformed(bytes: &[u8]) -> Malformed {
    match read(bytes) {
        Err(HeadError::Malformed(why)) => why,
        other => panic!("{:?}: {other:?}", bytes.escape_ascii().to_string()),
    }
}

#[test]
fn a_head_is_cut_into_its_parts() {
    let bytes =
        b"GET /a/b?c=d?e HTTP/1.1\r\nHost: x:80\r\nUser-Agent: T\xe9l/1\r\nReferer: r\r\n\r\nGET";
    let head = head(bytes);
    assert_eq!(head.method(), b"GET");
    assert_eq!(head.path(), b"/a/b");
    assert_eq!(head.query().unwrap(), b"c=d?e");
    assert_eq!(head.host().unwrap().name(), b"x");
    assert_eq!(head.user_agent().unwrap(), b"T\xe9l/1");
    assert_eq!(&bytes[head.len()..], b"GET");
    assert!(head.persists() && !head.has_body());
}

#[test]
fn a_head_in_one_byte_segments_is_the_same_head() {
    let bytes = b"GET http://x/p HTTP/1.0\r\nHost: x\r\nConnection: keep-alive\r\nA: b\r\n\r\n";
    let mut reader = RequestReader::default();
    for end in 1..bytes.len() {
        assert!(reader.advance(&bytes[..end], &LIMITS).unwrap().is_none(), "{end}");
    }
    let head = reader.advance(bytes, &LIMITS).unwrap().unwrap().over(bytes);
    assert_eq!(head.path(), b"/p");
    assert_eq!(head.len(), bytes.len());
    assert!(head.persists());
}

#[test]
fn the_log_sees_what_came_before_a_fault() {
    let seen = |bytes: &[u8]| {
        let mut reader = RequestReader::default();
        let _ = reader.advance(bytes, &LIMITS);
        let seen = reader.seen(bytes, &LIMITS);
        let text = |text: Option<&[u8]>| text.map(<[u8]>::to_vec);
        (seen.line().to_vec(), text(seen.referer()), text(seen.user_agent()))
    };
    let whole = b"GET  / HTTP/1.1\r\nHost: x\r\n\r\n";
    assert_eq!(seen(whole), (b"GET  / HTTP/1.1".to_vec(), None, None));
    let fields = b"GET / HTTP/1.1\r\nReferer:\r\nReferer: s\r\nUser-Agent: u\r\nbad\r\n\r\n";
    assert_eq!(seen(fields), (b"GET / HTTP/1.1".to_vec(), Some(Vec::new()), Some(b"u".to_vec())));
    assert_eq!(seen(b"\x16\x03\x01").0, b"\x16\x03\x01");
    assert_eq!(seen(b"GET /pa").0, b"GET /pa");
    let long = [b"GET /".as_slice(), &[b'x'; 200]].concat();
    assert_eq!(seen(&long).0, long[..LIMITS.max_uri]);
    let tabs = b"GET / HTTP/1.1\r\nReferer: \t \r\nUser-Agent:  \tu\t  \r\n";
    assert_eq!(seen(tabs), (tabs[..14].to_vec(), Some(b"\t".to_vec()), Some(b"\tu\t".to_vec())));
    // What is wrong with the framing is told when all fields have been read; nothing else waits.
    for framing in ["Transfer-Encoding: chunked", "Content-Length: x"] {
        let agent = |end: &str| {
            let head = format!("GET / HTTP/1.1\r\nHost: x\r\n{framing}\r\nUser-Agent: u\r\n{end}");
            (read(head.as_bytes()).is_err(), seen(head.as_bytes()).2)
        };
        assert_eq!(agent("\r\n"), (true, Some(b"u".to_vec())));
        assert_eq!(agent(""), (false, Some(b"u".to_vec())));
    }
    let host = b"GET / HTTP/1.1\r\nHost: a/b\r\nUser-Agent: u\r\n\r\n";
    assert_eq!(seen(host).2, None);
}

#[test]
fn lines_end_with_cr_lf_only() {
    for bytes in [
        &b"GET / HTTP/1.1\nHost: x\r\n\r\n"[..],
        b"GET / HTTP/1.1\r\nHost: x\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\n\n",
        b"\nGET / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\r\n",
        b"GET / HTTP/1.1\r\nX: y\rHost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost:\r\n x\r\n\r\n",
    ] {
        malformed(bytes);
    }
}

#[test]
fn a_request_line_has_one_form() {
    for line in [
        "GET /",
        "GET  / HTTP/1.1",
        "GET /  HTTP/1.1",
        " GET / HTTP/1.1",
        "GET / HTTP/1.1 ",
        "/ HTTP/1.1",
        " / HTTP/1.1",
        "GET@/ HTTP/1.1",
        "GET / HTTP/1.2",
        "GET / HTTP/2.0",
        "GET / http/1.1",
        "GET / HTTP/1.10",
        "GET / HTTP/01.1",
        "GET\t/\tHTTP/1.1",
        "GET /a b HTTP/1.1",
        "GET /#a HTTP/1.1",
        "G@T / HTTP/1.1",
        "GET /\x7f HTTP/1.1",
        "GET * HTTP/1.1",
        "GET a HTTP/1.1",
        "GET https://x/ HTTP/1.1",
        "GET http:/ HTTP/1.1",
        "GET http:///p HTTP/1.1",
        "GET http://u@x/ HTTP/1.1",
        "GET http://y/ HTTP/1.1",
        "GET ?a HTTP/1.1",
        "CONNECT x:80 HTTP/1.1",
    ] {
        malformed(format!("{line}\r\nHost: x\r\n\r\n").as_bytes());
    }
}

#[test]
fn a_request_line_that_cannot_become_one_is_not_waited_for() {
    for bytes in [&b"\x16\x03\x01"[..], b"\0", b"GET /\x01", b"(", b"\xef\xbb\xbfGET"] {
        malformed(bytes);
    }
    assert!(read(b"GET /a HTTP/1.1\r").unwrap().is_none());
    assert!(read(b"GET /\xc3\xa9").unwrap().is_none());
}

#[test]
fn http_1_1_has_exactly_one_valid_host() {
    malformed(b"GET / HTTP/1.1\r\n\r\n");
    malformed(b"GET / HTTP/1.1\r\nHost:\r\n\r\n");
    malformed(b"GET / HTTP/1.1\r\nHost: x\r\nhOST: x\r\n\r\n");
    malformed(b"GET / HTTP/1.0\r\nHost: x\r\nHost: x\r\n\r\n");
    malformed(b"GET / HTTP/1.0\r\nHost: u@x\r\n\r\n");
    assert!(head(b"GET / HTTP/1.0\r\n\r\n").host().is_none());
    let absolute = b"GET http://x/ HTTP/1.0\r\n\r\n";
    assert_eq!(head(absolute).host().unwrap().name(), b"x");
}

#[test]
fn framing_can_be_read_in_one_way_only() {
    for fields in [
        "Transfer-Encoding: chunked",
        "Transfer-Encoding:",
        "transfer-encoding: identity",
        "Content-Length: 5\r\nContent-Length: 5",
        "Content-Length: 0\r\nContent-Length: 0",
        "Content-Length:",
        "Content-Length: +1",
        "Content-Length: 1, 1",
    ] {
        malformed(format!("GET / HTTP/1.1\r\nHost: x\r\n{fields}\r\n\r\n").as_bytes());
    }
    assert!(head(b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n").has_body());
    assert!(
        head(b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999\r\n\r\n")
            .has_body()
    );
    assert!(!head(b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n").has_body());
}

#[test]
fn close_wins_over_keep_alive() {
    let with = |version: &str, connection: &str| {
        head(format!("GET / HTTP/{version}\r\nHost: x\r\n{connection}\r\n").as_bytes()).persists()
    };
    assert!(with("1.1", ""));
    assert!(!with("1.0", ""));
    assert!(with("1.0", "Connection: Keep-Alive\r\n"));
    assert!(!with("1.1", "Connection: TE, Close\r\n"));
    assert!(!with("1.1", "Connection: close\r\nConnection: keep-alive\r\n"));
    assert!(!with("1.0", "Connection: keep-alive, close\r\n"));
}

#[test]
fn sizes_are_bounded() {
    let long = "a".repeat(64);
    assert_eq!(
        read(format!("GET /{long} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes()).unwrap_err(),
        HeadError::UriTooLong
    );
    assert_eq!(read(format!("GET /{long}").as_bytes()).unwrap_err(), HeadError::UriTooLong);
    let fits = format!("GET /{} HTTP/1.1", "a".repeat(64 - "GET / HTTP/1.1".len()));
    assert!(read(format!("{fits}\r\nHost: x\r\n\r\n").as_bytes()).unwrap().is_some());
    let too_large = |bytes: String| match read(bytes.as_bytes()) {
        Err(HeadError::TooLarge(_)) => {}
        other => panic!("{bytes:?}: {other:?}"),
    };
    too_large("GET / HTTP/1.1\r\nHost: x\r\n1: a\r\n2: a\r\n3: a\r\n4: a\r\n\r\n".into());
    too_large(format!("GET / HTTP/1.1\r\nX: {}", "a".repeat(256)));
    too_large(format!("GET / HTTP/1.1\r\nX: {}\r\n\r\n", "a".repeat(256)));
}

#[test]
fn all_values_of_a_name_are_found_in_their_order() {
    let bytes = b"GET /?X-For:a HTTP/1.1\r\nHost: x\r\nx-for: 1 \r\nX-Forward: 2\r\nX-FOR:\t\xe9:3\r\n\r\nX-For: 4\r\n";
    let head = head(bytes);
    let values: Vec<&[u8]> = head.values("X-For").collect();
    assert_eq!(values, [&b"1"[..], b"\xe9:3"]);
    assert_eq!(head.values("X-For").next_back(), Some(&b"\xe9:3"[..]));
    assert_eq!(head.values("X-Fo").next(), None);
    let bare = b"GET / HTTP/1.0\r\n\r\n";
    assert_eq!(self::head(bare).values("X-For").next(), None);
}

#[test]
fn a_head_may_be_as_long_as_is_said_and_no_longer() {
    let head = |length: usize| {
        let begun = "GET / HTTP/1.1\r\nHost: x\r\nX: ";
        format!("{begun}{}\r\n\r\n", "a".repeat(length - begun.len() - 4)).into_bytes()
    };
    let too_long = HeadError::TooLarge(TooLarge::Bytes);
    assert_eq!(read(&head(256)).unwrap().unwrap().len(), 256);
    assert_eq!(read(&head(257)).unwrap_err(), too_long);
    assert!(read(&head(257)[..255]).unwrap().is_none());
    assert_eq!(read(&head(257)[..256]).unwrap_err(), too_long);
}

#[test]
fn a_request_line_may_be_as_long_as_is_said_and_no_longer() {
    let line = |length: usize| {
        format!("GET /{} HTTP/1.1", "a".repeat(length - "GET / HTTP/1.1".len())).into_bytes()
    };
    assert!(read(&line(64)).unwrap().is_none());
    assert!(read(&[line(64).as_slice(), b"\r"].concat()).unwrap().is_none());
    assert_eq!(read(&line(65)).unwrap_err(), HeadError::UriTooLong);
    assert_eq!(read(&[line(65).as_slice(), b"\r\n"].concat()).unwrap_err(), HeadError::UriTooLong);
    // Where the whole head may be no longer than that, the line is named if it alone is too long.
    let limits = HeadLimits { max_head: 60, ..LIMITS };
    let whole = |length: usize| [line(length).as_slice(), b"\r\nHost: x\r\n\r\n"].concat();
    let read = |bytes: &[u8]| RequestReader::default().advance(bytes, &limits).unwrap_err();
    assert_eq!(read(&whole(64)), HeadError::TooLarge(TooLarge::Bytes));
    assert_eq!(read(&whole(65)), HeadError::UriTooLong);
}

#[test]
fn a_target_holds_no_control_byte_in_a_whole_line_either() {
    for target in ["/\x01", "/\x1f", "/\x7f", "/\t", "\x01", "http://x/\x01"] {
        malformed(format!("GET {target} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes());
    }
}

#[test]
fn a_field_whose_name_is_only_as_long_is_another_one() {
    let bytes = b"GET / HTTP/1.0\r\nDate: u@x\r\nX-Refer: r\r\n\r\n";
    let head = head(bytes);
    assert!(head.host().is_none());
    for (fields, persists) in [
        ("Connectors: close", true),
        ("Connectors: close\r\nUser-Agend: u", true),
        ("Content-Lengts: x", true),
        ("Content-Lengts: 5", true),
        ("Transfer-Codings2: chunked", true),
        ("Connection: close", false),
    ] {
        let bytes = format!("GET / HTTP/1.1\r\nHost: x\r\n{fields}\r\n\r\n").into_bytes();
        let head = self::head(&bytes);
        assert_eq!((head.persists(), head.has_body()), (persists, false), "{fields}");
        assert!(head.user_agent().is_none(), "{fields}");
    }
    let mut reader = RequestReader::default();
    assert!(reader.advance(bytes, &LIMITS).unwrap().is_some());
    assert!(reader.seen(bytes, &LIMITS).referer.is_none());
}

#[test]
fn the_log_sees_the_parts_of_a_line_and_where_the_fields_stand() {
    let seen = |bytes: &'static [u8]| {
        let mut reader = RequestReader::default();
        let _ = reader.advance(bytes, &LIMITS);
        reader.seen(bytes, &LIMITS)
    };
    let bytes = b"GET http://y/p?q HTTP/1.1\r\nHost: x\r\nA: b\r\nbad\r\n\r\n";
    let found = seen(bytes);
    assert_eq!(found.method().unwrap(), b"GET");
    assert_eq!(&found.line()[found.target().unwrap()], b"/p?q");
    assert_eq!(found.version().unwrap(), b"HTTP/1.1");
    assert_eq!(found.host().unwrap().name(), b"y");
    assert_eq!(found.fields(), b"Host: x\r\nA: b\r\n");
    assert_eq!(&bytes[found.length()..], b"bad\r\n\r\n");
    let bytes = b"GET / HTTP/1.1\r\nHost: x\r\n\r\nGET";
    let found = seen(bytes);
    assert_eq!(found.host().unwrap().name(), b"x");
    assert_eq!(found.fields(), b"Host: x\r\n\r\n");
    assert_eq!(&bytes[found.length()..], b"GET");
    let none = seen(b"GET  / HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!((none.length(), none.fields()), (0, &b""[..]));
    assert!(none.method().is_none() && none.target().is_none() && none.version().is_none());
    assert!(none.host().is_none());
    let long = [b'x'; 100];
    for (length, shown) in [(5, 5), (65, 64)] {
        let only = Seen::only(&long, length, &LIMITS);
        assert_eq!((only.line(), only.length()), (&long[..shown], 0));
    }
}

#[test]
fn a_head_of_http_2_has_its_own_version() {
    let read = |bytes: &'static [u8]| {
        let spans = RequestReader::of_http2().advance(bytes, &LIMITS)?;
        Ok::<_, HeadError>(spans.map(|spans| spans.over(bytes)))
    };
    let head = read(b"GET / HTTP/2.0\r\nHost: x\r\n\r\n").unwrap().unwrap();
    assert_eq!(head.version(), Version::Http2);
    assert!(!head.has_body() && head.with_body().has_body() && !head.is_empty());
    assert!(read(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").is_err());
    let told = read(b"GET / HTTP/2.0\r\nHost: x\r\nContent-Length: 7\r\n\r\n").unwrap().unwrap();
    assert_eq!(told.with_body().spans.content_length, Some(7));
}

#[test]
fn a_target_with_a_host_may_have_no_path() {
    for (target, path, query) in [
        ("http://x", "", None),
        ("http://x?a=b", "", Some("a=b")),
        ("HTTP://x:80/p?", "/p", Some("")),
        ("http://X./p?a?b/", "/p", Some("a?b/")),
    ] {
        let bytes = format!("GET {target} HTTP/1.1\r\nHost: x\r\n\r\n").into_bytes();
        let head = head(&bytes);
        assert_eq!(head.path(), path.as_bytes(), "{target}");
        assert_eq!(head.query(), query.map(str::as_bytes), "{target}");
    }
}

const LIMITS: HeadLimits = HeadLimits { max_uri: 64, max_head: 256, max_fields: 4 };
