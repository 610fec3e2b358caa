//! The expected lines and addresses are what nginx 1.22 wrote when it was sent the same.

use jiff::tz::TimeZone;

use super::*;

fn line(entry: &Entry<'_>) -> String {
    limited(entry, 0)
}

fn limited(entry: &Entry<'_>, max_field: usize) -> String {
    let mut out = b"before\n".to_vec();
    write_combined(&mut out, entry, &mut LocalClock::in_zone(TimeZone::UTC), max_field);
    String::from_utf8(out).unwrap().strip_prefix("before\n").unwrap().to_owned()
}

#[test]
fn absent_values_are_a_hyphen() {
    assert_eq!(
        line(&ENTRY),
        "127.0.0.1 - - [22/Nov/2026:21:36:52 +0000] \"GET / HTTP/1.1\" 200 2 \"-\" \"-\"\n"
    );
}

#[test]
fn fields_that_came_empty_stay_empty() {
    assert_eq!(
        line(&Entry { referer: Some(b""), user_agent: Some(b""), ..ENTRY }),
        "127.0.0.1 - - [22/Nov/2026:21:36:52 +0000] \"GET / HTTP/1.1\" 200 2 \"\" \"\"\n"
    );
}

#[test]
fn a_request_of_line_ends_only_is_empty_and_no_request_is_a_hyphen() {
    let empty = Entry { request: Some(b""), status: 408, body_bytes_sent: 0, ..ENTRY };
    assert_eq!(line(&empty), "127.0.0.1 - - [22/Nov/2026:21:36:52 +0000] \"\" 408 0 \"-\" \"-\"\n");
    assert!(line(&Entry { request: None, ..empty }).contains("] \"-\" 408 0 "));
}

#[test]
fn an_empty_user_is_a_hyphen_and_a_user_is_escaped() {
    let with_user = |user| line(&Entry { remote_user: Some(user), ..ENTRY });
    assert!(with_user("").starts_with("127.0.0.1 - - ["));
    assert!(with_user("xivo-lyon").starts_with("127.0.0.1 - xivo-lyon ["));
    assert!(with_user("a \"b\u{e9}").starts_with("127.0.0.1 - a \\x22b\\xC3\\xA9 ["));
}

#[test]
fn clients_bytes_are_escaped_in_every_quoted_value() {
    let entry = Entry {
        request: Some(b"\x16\x03\x01\x00garbage"),
        status: 400,
        body_bytes_sent: 157,
        referer: Some(b"-"),
        user_agent: Some(b"a\"b\\c\tde\xc3\xa9\x7f\xff~ !"),
        ..ENTRY
    };
    let expected = concat!(
        r#"127.0.0.1 - - [22/Nov/2026:21:36:52 +0000] "\x16\x03\x01\x00garbage" 400 157 "-" "#,
        r#""a\x22b\x5Cc\x09de\xC3\xA9\x7F\xFF~ !""#,
        "\n"
    );
    assert_eq!(line(&entry), expected);
}

#[test]
fn no_value_can_start_a_line_of_its_own() {
    let evil = b"x\"\r\n127.0.0.1 - - [";
    let entry = Entry {
        request: Some(evil),
        referer: Some(evil),
        user_agent: Some(evil),
        remote_user: Some("x\n"),
        ..ENTRY
    };
    let line = line(&entry);
    assert_eq!(line.matches('\n').count(), 1);
    assert_eq!(line.matches('"').count(), 6);
}

#[test]
fn each_value_is_cut_on_its_own_and_a_limit_of_zero_cuts_nothing() {
    let entry = Entry {
        remote_user: Some("montreal"),
        request: Some(b"GET /\xe9\xe9 HTTP/1.1"),
        referer: Some(b"http"),
        user_agent: Some(b"xivo-dird"),
        ..ENTRY
    };
    assert_eq!(
        limited(&entry, 8),
        "127.0.0.1 - montreal [22/Nov/2026:21:36:52 +0000] \"GET /\" 200 2 \"http\" \"xivo-dir\"\n"
    );
    let long = vec![b'r'; 9_000];
    assert_eq!(line(&Entry { referer: Some(&long), ..ENTRY }).matches('r').count(), 9_000);
}

#[test]
fn status_has_three_digits_and_sizes_have_all_of_theirs() {
    assert!(line(&Entry { status: 9, ..ENTRY }).contains("\" 009 2 \""));
    assert!(line(&Entry { status: 0, body_bytes_sent: 0, ..ENTRY }).contains("\" 000 0 \""));
    assert!(
        line(&Entry { status: 499, body_bytes_sent: u64::MAX, ..ENTRY })
            .contains("\" 499 18446744073709551615 \"")
    );
    assert!(line(&Entry { body_bytes_sent: 10_203_040, ..ENTRY }).contains(" 200 10203040 "));
}

const ENTRY: Entry<'static> = Entry {
    remote_addr: IpAddr::V4(std::net::Ipv4Addr::LOCALHOST),
    remote_user: None,
    time: UnixSeconds(1_795_383_412),
    request: Some(b"GET / HTTP/1.1"),
    status: 200,
    body_bytes_sent: 2,
    referer: None,
    user_agent: None,
};
