use proptest::prelude::*;

use super::ForwardedHeader::{Forwarded, XForwardedFor};
use super::*;

/// The client, where proxies in 10.0.0.0/8 and 2001:db8:a::/48 are trusted.
fn found(header: ForwardedHeader, lines: &[&str]) -> Result<ClientAddress, &'static str> {
    client(header, lines.iter().map(|line| line.as_bytes()), |address| match address.ip() {
        IpAddr::V4(v4) => v4.octets()[0] == 10,
        IpAddr::V6(v6) => v6.segments()[..3] == [0x2001, 0xdb8, 0xa],
    })
}

fn plainly(lines: &[&str]) -> Option<String> {
    found(XForwardedFor, lines).ok().map(|address| address.to_string())
}

fn formally(lines: &[&str]) -> Option<String> {
    found(Forwarded, lines).ok().map(|address| address.to_string())
}

fn some(text: &str) -> Option<String> {
    Some(text.to_owned())
}

#[test]
fn the_first_address_from_the_right_that_is_not_trusted_is_the_client() {
    for (lines, client) in [
        (&["192.0.2.1"][..], "192.0.2.1"),
        (&["203.0.113.9, 192.0.2.1"], "192.0.2.1"),
        (&["203.0.113.9, 192.0.2.1, 10.0.0.2,10.0.0.3"], "192.0.2.1"),
        (&["203.0.113.9", "192.0.2.1"], "192.0.2.1"),
        (&["203.0.113.9, 192.0.2.1", "10.0.0.2"], "192.0.2.1"),
        (&["192.0.2.1", "10.0.0.2", "10.0.0.3, 10.0.0.4"], "192.0.2.1"),
        (&["rubbish, 192.0.2.1"], "192.0.2.1"),
        (&["192.0.2.1,,192.0.2.2"], "192.0.2.2"),
        (&["10.0.0.9, 192.0.2.1, 2001:db8:a::1"], "192.0.2.1"),
        (&["192.0.2.1, ::ffff:10.0.0.2"], "192.0.2.1"),
    ] {
        assert_eq!(plainly(lines), some(client), "{lines:?}");
    }
}

#[test]
fn if_all_are_trusted_the_leftmost_is_the_client() {
    assert_eq!(plainly(&["10.0.0.7, 10.0.0.8", "10.0.0.9"]), some("10.0.0.7"));
    assert_eq!(formally(&["for=10.0.0.7, for=10.0.0.8", "for=10.0.0.9"]), some("10.0.0.7"));
}

#[test]
fn a_proxy_that_says_nothing_of_a_client_yields_none() {
    for lines in [
        &[][..],
        &[""],
        &["", ""],
        &[" \t"],
        &[","],
        &["unknown"],
        &["192.0.2.1, unknown"],
        &["192.0.2.1, unix:"],
        &["192.0.2.1,"],
        &["192.0.2.1, "],
        &["192.0.2.1", ""],
        &["192.0.2.1, rubbish, 10.0.0.2"],
        &["192.0.2.1, , 10.0.0.2"],
        &["", "10.0.0.2"],
        &["192.0.2.1\0"],
    ] {
        assert_eq!(plainly(lines), None, "{lines:?}");
    }
}

#[test]
fn a_plain_entry_may_have_a_port_or_brackets() {
    for (entry, address) in [
        ("192.0.2.1:5678", "192.0.2.1"),
        ("192.0.2.1:0", "192.0.2.1"),
        ("\t192.0.2.1 ", "192.0.2.1"),
        ("2001:db8::1", "2001:db8::1"),
        ("2001:DB8:0::1", "2001:db8::1"),
        ("[2001:db8::1]", "2001:db8::1"),
        ("[2001:db8::1]:80", "2001:db8::1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("[::ffff:192.0.2.1]:65535", "192.0.2.1"),
        ("2001:db8::1:80", "2001:db8::1:80"),
        ("0.0.0.0", "0.0.0.0"),
    ] {
        assert_eq!(plainly(&[entry]), some(address), "{entry}");
    }
    for entry in [
        "192.0.2.01",
        "0300.0.2.1",
        "192.0.513",
        "3221225985",
        "0xc0.0.2.1",
        "192.0.2.1.",
        "192.0.2.1:",
        "192.0.2.1:65536",
        "192.0.2.1:000080",
        "192.0.2.1:+80",
        "192.0.2.1:80:80",
        "192.0.2.1/32",
        "192.0.2.1;",
        "\"192.0.2.1\"",
        "[192.0.2.1]",
        "fe80::1%eth0",
        "[fe80::1%1]:80",
        "[2001:db8::1",
        "2001:db8::1]",
        "[2001:db8::1]80",
        "[2001:db8::1]:",
        "[]",
        "for=192.0.2.1",
        "localhost",
        "192.0.2.1 192.0.2.2",
        "\u{a0}192.0.2.1",
    ] {
        assert_eq!(plainly(&[entry]), None, "{entry}");
    }
    assert!(client(XForwardedFor, [&b"\xff"[..]].into_iter(), |_| false).is_err());
}

#[test]
fn forwarded_is_read_by_its_grammar() {
    for (line, client) in [
        ("for=192.0.2.1", "192.0.2.1"),
        ("For=192.0.2.1;Proto=http;by=203.0.113.43", "192.0.2.1"),
        ("proto=http;by=203.0.113.43;for=192.0.2.1", "192.0.2.1"),
        ("for=\"192.0.2.1\"", "192.0.2.1"),
        ("for=\"192.0.2.1:47011\"", "192.0.2.1"),
        ("for=\"192.0.2.1:_gazonk\"", "192.0.2.1"),
        ("for=\"\\192.0.2.\\1\"", "192.0.2.1"),
        ("for=\"[2001:db8:cafe::17]:4711\"", "2001:db8:cafe::17"),
        ("for=\"[2001:db8:cafe::17]\"", "2001:db8:cafe::17"),
        ("for=\"[::ffff:192.0.2.1]\"", "192.0.2.1"),
        (";for=192.0.2.1;;", "192.0.2.1"),
        ("for=192.0.2.1;host=\"a,b;for=203.0.113.9\"", "192.0.2.1"),
        ("for=192.0.2.1;host=\"a\\\", for=203.0.113.9\"", "192.0.2.1"),
        ("for=203.0.113.9;host=\"a\\\"\", for=192.0.2.1", "192.0.2.1"),
        ("for=203.0.113.9\\, for=192.0.2.1", "192.0.2.1"),
        ("for=203.0.113.9, for=192.0.2.1", "192.0.2.1"),
        ("for=192.0.2.1,for=10.0.0.2 ,\tfor=\"[2001:db8:a::1]\"", "192.0.2.1"),
        ("for=\"x, for=192.0.2.1\", for=192.0.2.2", "192.0.2.2"),
    ] {
        assert_eq!(formally(&[line]), some(client), "{line}");
    }
    for line in [
        "",
        "192.0.2.1",
        "for",
        "for=",
        "for=\"\"",
        "for=unknown",
        "for=_hidden",
        "for=192.0.2.1:80",
        "for=[2001:db8::1]",
        "for=\"2001:db8::1\"",
        "for=\"fe80::1%eth0\"",
        "for=\"192.0.2.1:_\"",
        "for=\"192.0.2.1:x\"",
        "for=\" 192.0.2.1\"",
        "for= 192.0.2.1",
        "for =192.0.2.1",
        "for=192.0.2.1; proto=http",
        "for=192.0.2.1;for=192.0.2.2",
        "for=192.0.2.1;proto",
        "for=192.0.2.1;=http",
        "for=192.0.2.1 x",
        "for=192.0.2.1\"\"",
        "for=\"192.0.2.1\"x",
        "for='192.0.2.1'",
        "by=192.0.2.1",
        "fors=192.0.2.1",
        "for=192.0.2.1,",
    ] {
        assert_eq!(formally(&[line]), None, "{line}");
    }
}

#[test]
fn an_open_quote_does_not_hide_what_a_proxy_appends() {
    for told in ["for=203.0.113.9;x=\"", "for=\"203.0.113.9", "for=203.0.113.9, \"", "\"\\"] {
        for appended in ["for=192.0.2.1", "for=\"[2001:db8::1]\";by=\"[2001:db8::2]\""] {
            assert_eq!(formally(&[&format!("{told}, {appended}")]), None, "{told} {appended}");
            // In a line of its own it is not touched.
            let alone = formally(&[appended]);
            assert!(alone.is_some());
            assert_eq!(formally(&[told, appended]), alone);
        }
    }
}

#[test]
fn a_long_list_is_given_up() {
    let list = |count: usize, each: &str, first: &str| {
        let rest = vec![each; count - 1].join(",");
        format!("{first},{rest}")
    };
    let at_the_limit = list(MOST_ENTRIES, "10.0.0.2", "192.0.2.1");
    assert_eq!(plainly(&[&at_the_limit]), some("192.0.2.1"));
    assert_eq!(plainly(&[&list(MOST_ENTRIES + 1, "10.0.0.2", "192.0.2.1")]), None);
    let at_the_limit = list(MOST_ENTRIES, "for=10.0.0.2", "for=192.0.2.1");
    assert_eq!(formally(&[&at_the_limit]), some("192.0.2.1"));
    assert_eq!(formally(&[&list(MOST_ENTRIES + 1, "for=10.0.0.2", "for=192.0.2.1")]), None);
    // What is never looked at may be as long as it likes.
    assert_eq!(plainly(&[&list(5000, "192.0.2.1", "10.0.0.2")]), some("192.0.2.1"));
    assert_eq!(formally(&[&list(5000, "for=192.0.2.1", "x")]), some("192.0.2.1"));
}

proptest! {
    #[test]
    fn nothing_to_the_left_of_the_client_matters(
        told in prop::collection::vec("[ -~]{0,40}", 0..4),
        proxies in 0..3_usize,
    ) {
        let mut lines: Vec<&str> = told.iter().map(String::as_str).collect();
        lines.push("192.0.2.1");
        lines.extend(vec!["10.0.0.2"; proxies]);
        prop_assert_eq!(plainly(&lines), some("192.0.2.1"));
        prop_assert_eq!(plainly(&[&lines.join(", ")]), some("192.0.2.1"));
        let own: Vec<String> = lines.iter().skip(told.len()).map(|a| format!("for={a}")).collect();
        let mut formal: Vec<&str> = told.iter().map(String::as_str).collect();
        formal.extend(own.iter().map(String::as_str));
        prop_assert_eq!(formally(&formal), some("192.0.2.1"));
        // In one line a client can make its own entry unreadable, and no other be trusted.
        let joined = formally(&[&formal.join(", ")]);
        prop_assert!(joined.is_none() || joined == some("192.0.2.1"), "{:?}", joined);
    }

    #[test]
    fn any_bytes_are_read_without_a_panic(lines in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..80), 0..4)) {
        for header in [XForwardedFor, Forwarded] {
            let _ = client(header, lines.iter().map(Vec::as_slice), |_| true);
        }
    }
}

#[test]
fn headers_have_the_names_that_the_configuration_gives_them() {
    assert_eq!(XForwardedFor.name(), "X-Forwarded-For");
    assert_eq!(Forwarded.name(), "Forwarded");
}
