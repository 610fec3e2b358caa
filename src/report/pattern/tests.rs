use super::*;
use crate::record::format::PREDEFINED;

fn pattern(format: &str) -> Pattern {
    Pattern::of_text(&[format]).unwrap()
}

fn predefined(name: &str) -> Pattern {
    pattern(PREDEFINED.iter().find(|(known, _)| *known == name).unwrap().1)
}

/// The values of a line, as text.
fn read(pattern: &Pattern, line: &str, slots: &[Slot]) -> Option<Vec<String>> {
    let mut values = Values::default();
    let is_read = pattern.read(line.as_bytes(), &mut values);
    let text = |slot: &Slot| String::from_utf8(values.of(*slot).to_vec()).unwrap();
    is_read.then(|| slots.iter().map(text).collect())
}

#[test]
fn combined_is_read_as_nginx_writes_it() {
    let line = r#"192.0.2.7 - lyon [23/Nov/2026:03:33:50 +0000] "GET /a?x=\x22 HTTP/1.1" 200 12 "-" "py\x22 x""#;
    let slots = [Slot::RemoteAddr, Slot::RemoteUser, Slot::TimeLocal, Slot::Request, Slot::Status];
    let values = read(&predefined("combined"), line, &slots).unwrap();
    let expected =
        ["192.0.2.7", "lyon", "23/Nov/2026:03:33:50 +0000", r"GET /a?x=\x22 HTTP/1.1", "200"];
    assert_eq!(values, expected);
}

#[test]
fn what_stands_before_or_behind_makes_it_another_line() {
    let combined = predefined("combined");
    let line = r#"::1 - - [23/Nov/2026:03:33:50 +0000] "" 400 0 "-" "-""#;
    assert!(read(&combined, line, &[]).is_some());
    assert!(read(&combined, &format!("{line} \"more\""), &[]).is_none());
    assert!(read(&combined, &line[..line.len() - 1], &[]).is_none());
    assert!(read(&combined, "", &[]).is_none());
    assert!(read(&pattern("= $status $time_local"), "200 x", &[]).is_none());
}

#[test]
fn a_list_of_tries_is_one_value() {
    let format = "$status $upstream_response_time $upstream_addr [$time_local]";
    let line = "200 0.001, 0.002 : - 127.0.0.1:80, unix:/a : [::1]:80 [t]";
    let values = read(&pattern(format), line, &[Slot::UpstreamResponseTime, Slot::TimeLocal]);
    assert_eq!(values.unwrap(), ["0.001, 0.002 : -", "t"]);
}

#[test]
fn json_values_end_at_the_quote_that_is_not_escaped() {
    let format = r#"escape=json {"t":"$time_iso8601","a":"$http_user_agent","s":$status}"#;
    let line = r#"{"t":"x","a":"say \"hi\",\\","s":200}"#;
    let values = read(&pattern(format), line, &[Slot::UserAgent, Slot::Status]).unwrap();
    assert_eq!(values, [r#"say \"hi\",\\"#, "200"]);
    assert_eq!(&*unescaped(values[0].as_bytes(), Escape::Json), br#"say "hi",\"#);
}

#[test]
fn escapes_are_undone() {
    assert_eq!(&*unescaped(br"a\x22\x5C\xC3\xA9", Escape::Default), "a\"\\é".as_bytes());
    assert_eq!(&*unescaped(br"\u0001\n\\", Escape::Json), b"\x01\n\\");
    assert_eq!(&*unescaped(br"\x2", Escape::Default), b"x2");
    assert_eq!(&*unescaped(br"\x22\", Escape::None), br"\x22\");
    assert_eq!(&*unescaped(b"\\", Escape::Default), b"\\");
}

#[test]
fn formats_that_cannot_be_read_say_why() {
    let error = |format: &str| Pattern::of_text(&[format]).unwrap_err();
    assert_eq!(
        error("$time_local $status $scheme$host"),
        PatternError::Adjacent("scheme".into(), "host".into())
    );
    assert_eq!(error("$status $host"), PatternError::NoTime);
    assert_eq!(error("$msec $host"), PatternError::NoStatus);
}

#[test]
fn arguments_are_found_by_their_whole_name() {
    let search = memmem::Finder::new("search=");
    assert_eq!(argument(b"act=search&search=a%20b&sum=1", &search), Some(&b"a%20b"[..]));
    assert_eq!(argument(b"search=", &search), Some(&b""[..]));
    assert_eq!(argument(b"research=x&search=y", &search), Some(&b"y"[..]));
    assert_eq!(argument(b"research=x", &search), None);
}

#[test]
fn variables_that_only_nginx_has_are_passed_over() {
    let format = "$gzip_ratio $status [$time_local] $geoip2_country";
    let values = read(&pattern(format), "1.25 304 [x] CA", &[Slot::Status]).unwrap();
    assert_eq!(values, ["304"]);
}
