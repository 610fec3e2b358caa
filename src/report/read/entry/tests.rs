use super::*;
use crate::access_log::format::PREDEFINED;

fn reader(name: &str) -> Reader {
    let text = PREDEFINED.iter().find(|(known, _)| *known == name).unwrap().1;
    Reader::new(Pattern::of_text(&[text]).unwrap(), 0)
}

fn combined(user: &str, request: &str, status: u16) -> String {
    format!(
        r#"192.0.2.7 - {user} [23/Nov/2026:03:33:50 +0000] "{request}" {status} 12 "-" "python-requests/2.28""#
    )
}

#[test]
fn a_lookup_is_told_with_its_peer_and_its_term() {
    let line = combined("lyon", &format!("GET {LOOKUP} HTTP/1.1"), 200);
    let mut reader = reader("combined");
    let entry = reader.read(line.as_bytes()).unwrap();
    assert_eq!(entry.who, Who::Peer(b"lyon"));
    assert_eq!(entry.term, Some(&b"dupont"[..]));
    assert_eq!((entry.status, entry.body_bytes, entry.action), (200, 12, Action::Search));
    assert_eq!((entry.reason, entry.time.unix), (None, 1_795_404_830));
    assert_eq!(entry.user_agent, b"python-requests/2.28");
}

#[test]
fn who_is_nobody_is_an_unknown_caller_when_refused_and_an_address_when_let_in() {
    let mut reader = reader("combined");
    let mut who = |target: &str, status| {
        let line = combined("-", &format!("GET {target} HTTP/1.1"), status);
        let entry = reader.read(line.as_bytes()).unwrap();
        match entry.who {
            Who::Peer(_) => "peer",
            Who::Address(_) => "address",
            Who::Unknown(_) => "unknown",
            Who::Other => "other",
        }
    };
    assert_eq!(who(LOOKUP, 403), "unknown");
    assert_eq!(who(LOOKUP, 204), "address");
    assert_eq!(who("/index.html", 200), "other");
    assert_eq!(who("/index.html", 404), "unknown");
}

#[test]
fn a_host_is_one_however_its_address_is_written() {
    let mut reader = reader("combined");
    let line = combined("-", &format!("GET {LOOKUP} HTTP/1.1"), 200);
    for (written, address) in [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("::FFFF:192.0.2.7", "192.0.2.7"),
        ("::ffff:c000:207", "::ffff:c000:207"),
        ("::1", "::1"),
        ("2001:db8::192.0.2.7", "2001:db8::192.0.2.7"),
        ("unix:", "unix:"),
    ] {
        let line = line.replacen("192.0.2.7", written, 1);
        let entry = reader.read(line.as_bytes()).unwrap();
        assert_eq!(entry.address, address.as_bytes(), "{written}");
        assert_eq!(entry.who, Who::Address(address.as_bytes()), "{written}");
    }
}

#[test]
fn reasons_are_inferred_as_far_as_the_line_tells_them() {
    let mut reader = reader("combined");
    let private = LOOKUP.replace("restricted", "private");
    for (user, request, status, expected) in [
        ("-", format!("GET {LOOKUP} HTTP/1.1"), 403, "unknown-peer"),
        ("-", format!("GET {LOOKUP} HTTP/1.1"), 429, "unknown-peer"),
        ("lyon", format!("GET {LOOKUP} HTTP/1.1"), 429, "rate-limited"),
        ("lyon", format!("GET {private} HTTP/1.1"), 403, "private-path"),
        ("lyon", format!("GET {LOOKUP} HTTP/1.1"), 403, "403"),
        ("lyon", "GET /a?act=delete&id=1 HTTP/1.1".into(), 403, "action-not-granted"),
        ("lyon", "GET /a?act=x HTTP/1.1".into(), 400, "bad-argument"),
        ("lyon", format!("GET {LOOKUP} HTTP/1.1"), 599, "5xx"),
        ("lyon", format!("GET {LOOKUP} HTTP/1.1"), 600, "no-status"),
        ("-", format!("GET {LOOKUP} HTTP/1.1"), 999, "no-status"),
        ("-", r"\x16\x03\x01".into(), 400, "malformed-request"),
        ("lyon", "GET /a HTTP/1.1".into(), 404, "unknown-path"),
        ("lyon", format!("GET {LOOKUP} HTTP/1.1"), 504, "upstream-timeout"),
        ("lyon", format!("GET {LOOKUP} HTTP/1.1"), 502, "502"),
    ] {
        let line = combined(user, &request, status);
        let reason = reader.read(line.as_bytes()).unwrap().reason.unwrap();
        assert_eq!(reason, Reason::Inferred(expected), "{line}");
    }
}

#[test]
fn a_written_reason_is_taken_as_it_is() {
    let mut reader = reader("gateway");
    let line = format!(
        "{} \"peer=lyon action=search reason=rate-limited limit=peer rule=- source=socket host=x rt=0.002 \
         uct=- uht=- urt=- us=- revision=1 id=2\"",
        combined("lyon", &format!("GET {LOOKUP} HTTP/1.1"), 429)
    );
    let entry = reader.read(line.as_bytes()).unwrap();
    assert_eq!(entry.reason, Some(Reason::Written(b"rate-limited")));
    assert_eq!(
        (entry.limit, entry.request_time, entry.upstream_time),
        (&b"peer"[..], Some(2), None)
    );
}

#[test]
fn what_cannot_be_read_says_why() {
    let mut reader = reader("combined");
    let line = combined("-", "GET / HTTP/1.1", 200);
    let mut why = |line: &str| reader.read(line.as_bytes()).unwrap_err().to_string();
    assert_eq!(why("? - - ["), "not in this format: an address is missing");
    assert_eq!(why(&line.replace("Nov", "Nox")), "its time cannot be read");
    for wrong in ["2000", "20", "2x0", "-", ""] {
        let line = line.replace(" 200 ", &format!(" {wrong} "));
        assert!(why(&line).starts_with("not in this format: "), "{line}");
    }
    assert_eq!(
        why(&line.replace(" 12 ", " 1.5 ")),
        "not in this format: the text between two values is missing"
    );
    assert_eq!(why(&line.replace(" 12 ", " x ")), "not in this format: a whole number is missing");
    assert_eq!(why(&format!("{line} x")), "not in this format: its end is missing");
}

#[test]
fn a_status_is_three_digits_and_nginx_writes_000_and_009_too() {
    let mut reader = reader("combined");
    for (written, status) in [("000", 400), ("009", 9), ("101", 101), ("429", 429), ("599", 599)] {
        let line = combined("-", "", 200).replace(" 200 ", &format!(" {written} "));
        assert_eq!(reader.read(line.as_bytes()).unwrap().status, status);
    }
}

#[test]
fn a_request_is_whatever_came() {
    let mut reader = reader("combined");
    for request in
        ["", "-", r"\x16\x03\x01\x02", "GET", "GET / HTTP/1.1 [x] - -", r#"\x22 200 5 \x22"#]
    {
        let line = combined("-", request, 400);
        let entry = reader.read(line.as_bytes()).unwrap();
        assert_eq!((entry.request, entry.status), (request.as_bytes(), 400));
    }
}

const LOOKUP: &str =
    "/service/ipbx/json.php/restricted/pbx_services/phonebook?act=search&search=dupont";
