//! What RFC 9113 and RFC 7541 say of frames that are odd or wrong, one by one.

use super::{code, field, status};
use crate::support::{
    http2::{
        ByHand, CONTINUATION, DATA, END_HEADERS, END_STREAM, Frame, GOAWAY, HEADERS, PING,
        PRIORITY, RST_STREAM, SETTINGS, Sound, WINDOW_UPDATE, block, certificate, frame, pseudo,
        request, setup,
    },
    live::{Live, policy},
    needs::{or_left_out, program},
    process::becomes_true,
    raw::{list, target},
    scripted::{Door, Scripted, found_body},
    xivo::PHONEBOOK,
};

const NO_ERROR: u32 = 0;
const PROTOCOL_ERROR: u32 = 1;
const FLOW_CONTROL_ERROR: u32 = 3;
const STREAM_CLOSED: u32 = 5;
const FRAME_SIZE_ERROR: u32 = 6;
const REFUSED_STREAM: u32 = 7;
const COMPRESSION_ERROR: u32 = 9;
const PUSH_PROMISE: u8 = 5;
const PADDED: u8 = 8;
const WITH_PRIORITY: u8 = 0x20;
const ACK: u8 = 1;
const ALL: u8 = END_STREAM | END_HEADERS;

fn before(upstream: &Scripted) -> Live {
    setup(upstream.address()).upstream("timeout = \"1m\"").start()
}

fn setting(id: u16, value: u32) -> Vec<u8> {
    frame(SETTINGS, 0, 0, &[&id.to_be_bytes()[..], &value.to_be_bytes()].concat())
}

fn number(kind: u8, stream: u32, number: u32) -> Vec<u8> {
    frame(kind, 0, stream, &number.to_be_bytes())
}

fn well() -> Vec<u8> {
    block(&pseudo("GET", &target("doe")))
}

/// A stream that stays open, for the answer to it does not come.
fn open(stream: u32) -> Vec<u8> {
    request(stream, &target("slow"))
}

/// What it is, its bytes, and the reason that it is told.
type Wrong = (&'static str, Vec<u8>, u32);

/// Frames about the connection, or about no stream that is open.
fn wrong_frames() -> Vec<Wrong> {
    vec![
        ("SETTINGS of a stream", frame(SETTINGS, 0, 1, b""), PROTOCOL_ERROR),
        ("a reply with settings", frame(SETTINGS, ACK, 0, &[0; 6]), FRAME_SIZE_ERROR),
        ("half a setting", frame(SETTINGS, 0, 0, &[0; 5]), FRAME_SIZE_ERROR),
        ("a push setting of 2", setting(2, 2), PROTOCOL_ERROR),
        ("a window too wide", setting(4, 1 << 31), FLOW_CONTROL_ERROR),
        ("frames too short", setting(5, 16_383), PROTOCOL_ERROR),
        ("frames too long", setting(5, 1 << 24), PROTOCOL_ERROR),
        ("a short PING", frame(PING, 0, 0, &[0; 7]), FRAME_SIZE_ERROR),
        ("a PING of a stream", frame(PING, 0, 1, &[0; 8]), PROTOCOL_ERROR),
        ("GOAWAY of a stream", frame(GOAWAY, 0, 1, &[0; 8]), PROTOCOL_ERROR),
        ("a short GOAWAY", frame(GOAWAY, 0, 0, &[0; 7]), FRAME_SIZE_ERROR),
        ("no more window", number(WINDOW_UPDATE, 0, 0), PROTOCOL_ERROR),
        ("half a window", frame(WINDOW_UPDATE, 0, 0, &[0; 3]), FRAME_SIZE_ERROR),
        ("a window of an idle stream", number(WINDOW_UPDATE, 1, 1), PROTOCOL_ERROR),
        ("too much window", number(WINDOW_UPDATE, 0, 0x7fff_ffff), FLOW_CONTROL_ERROR),
        ("a reset of the connection", number(RST_STREAM, 0, 8), PROTOCOL_ERROR),
        ("a reset of an idle stream", number(RST_STREAM, 1, 8), PROTOCOL_ERROR),
        ("half a reset", frame(RST_STREAM, 0, 1, &[0; 3]), FRAME_SIZE_ERROR),
        ("a priority of the connection", frame(PRIORITY, 0, 0, &[0; 5]), PROTOCOL_ERROR),
        ("a short priority", frame(PRIORITY, 0, 1, &[0; 4]), FRAME_SIZE_ERROR),
        ("a knot", frame(PRIORITY, 0, 1, &[0, 0, 0, 1, 0]), PROTOCOL_ERROR),
    ]
}

/// Frames that carry heads and bodies.
fn wrong_messages() -> Vec<Wrong> {
    let mut longer = block(&pseudo("GET", "/x"));
    longer.extend([0x00, 0x7f]);
    vec![
        ("DATA of the connection", frame(DATA, 0, 0, b"x"), PROTOCOL_ERROR),
        ("DATA of an idle stream", frame(DATA, 0, 1, b"x"), PROTOCOL_ERROR),
        (
            "more padding than DATA",
            [open(1), frame(DATA, PADDED, 1, &[2, 0])].concat(),
            PROTOCOL_ERROR,
        ),
        ("padding of no length", [open(1), frame(DATA, PADDED, 1, b"")].concat(), FRAME_SIZE_ERROR),
        ("a head of the connection", frame(HEADERS, ALL, 0, &well()), PROTOCOL_ERROR),
        ("an even stream", frame(HEADERS, ALL, 2, &well()), PROTOCOL_ERROR),
        ("more padding than head", frame(HEADERS, ALL | PADDED, 1, &[9, 0x82]), PROTOCOL_ERROR),
        ("no room for a priority", frame(HEADERS, ALL | WITH_PRIORITY, 1, &[0; 4]), PROTOCOL_ERROR),
        ("a stream below the last", [open(5), open(3)].concat(), PROTOCOL_ERROR),
        ("a CONTINUATION of nothing", frame(CONTINUATION, END_HEADERS, 1, b""), PROTOCOL_ERROR),
        (
            "a CONTINUATION of another stream",
            [frame(HEADERS, END_STREAM, 1, &well()), frame(CONTINUATION, END_HEADERS, 3, b"")]
                .concat(),
            PROTOCOL_ERROR,
        ),
        (
            "a PING within a head",
            [frame(HEADERS, END_STREAM, 1, &well()), frame(PING, 0, 0, &[0; 8])].concat(),
            PROTOCOL_ERROR,
        ),
        (
            "an unknown frame within a head",
            [frame(HEADERS, END_STREAM, 1, &well()), frame(0xbe, 0, 1, b"")].concat(),
            PROTOCOL_ERROR,
        ),
        ("PUSH_PROMISE", frame(PUSH_PROMISE, END_HEADERS, 1, &[0, 0, 0, 2, 0x82]), PROTOCOL_ERROR),
        ("DATA that is too long", frame(DATA, 0, 1, &[0; 16_385]), FRAME_SIZE_ERROR),
        ("a head that is too long", frame(HEADERS, ALL, 1, &[0; 16_385]), FRAME_SIZE_ERROR),
        ("no such field", frame(HEADERS, ALL, 1, &[0xc6]), COMPRESSION_ERROR),
        ("field 0", frame(HEADERS, ALL, 1, &[0x80]), COMPRESSION_ERROR),
        ("a table too large", frame(HEADERS, ALL, 1, &[0x3f, 0xe2, 0x1f]), COMPRESSION_ERROR),
        ("a late table size", frame(HEADERS, ALL, 1, &[0x82, 0x20]), COMPRESSION_ERROR),
        (
            "the end within Huffman's code",
            frame(HEADERS, ALL, 1, &[0, 0x84, 0xff, 0xff, 0xff, 0xff, 0]),
            COMPRESSION_ERROR,
        ),
        ("half a field", frame(HEADERS, ALL, 1, &longer), COMPRESSION_ERROR),
    ]
}

#[test]
fn what_breaks_the_connection_is_told_in_the_words_of_the_rfc() {
    let door = Door::default();
    let upstream = Scripted::slow(&door);
    let live = before(&upstream);
    for (what, bytes, wanted) in wrong_frames().into_iter().chain(wrong_messages()) {
        let mut client = ByHand::connect(live.address, &[]);
        client.send(&bytes);
        let goaway = client.until(GOAWAY).unwrap_or_else(|| panic!("{what}"));
        assert_eq!(code(&goaway), wanted, "{what}");
        client.rest();
    }
    // The preface is followed by SETTINGS, and a head does not come again on a stream that is closed.
    let mut other = ByHand::silent(live.address);
    other.send(&[b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", &frame(PING, 0, 0, &[0; 8])[..]].concat());
    assert_eq!(code(&other.until(GOAWAY).unwrap()), PROTOCOL_ERROR);
    let mut again = ByHand::connect(live.address, &[]);
    again.send(&request(1, "/nothing"));
    assert!(again.until(DATA).is_some());
    again.send(&request(1, "/nothing"));
    assert_eq!(code(&again.until(GOAWAY).unwrap()), STREAM_CLOSED);
    door.open();
    drop((other, again));
    assert!(live.comes_to_rest());
}

#[test]
fn what_breaks_a_stream_ends_it_and_not_the_connection() {
    let door = Door::default();
    let upstream = Scripted::slow(&door);
    let live = before(&upstream);
    let cases: Vec<(&str, Vec<u8>, u32)> = vec![
        ("no more window", number(WINDOW_UPDATE, 1, 0), PROTOCOL_ERROR),
        ("too much window", number(WINDOW_UPDATE, 1, 0x7fff_ffff), FLOW_CONTROL_ERROR),
        ("DATA behind the end", frame(DATA, END_STREAM, 1, b"x"), STREAM_CLOSED),
        ("a head behind the end", frame(HEADERS, ALL, 1, &block(&[("x", b"y")])), STREAM_CLOSED),
    ];
    let count = cases.len();
    for (what, bytes, wanted) in cases {
        let mut client = ByHand::connect(live.address, &[]);
        client.send(&[open(1), bytes].concat());
        let reset = client.until(RST_STREAM).unwrap_or_else(|| panic!("{what}"));
        assert_eq!((reset.stream, code(&reset)), (1, wanted), "{what}");
        assert!(client.send(&request(3, &target("quick"))), "{what}");
        assert_eq!(client.until(HEADERS).map(|head| status(&head)), Some(200), "{what}");
    }
    let lines = live.short_log(2 * count);
    assert_eq!(
        lines.iter().filter(|line| line.contains("search=slow HTTP/2.0\" 499 0 ")).count(),
        count
    );
    door.open();
}

#[test]
fn what_is_odd_and_well_is_answered() {
    let upstream = Scripted::well();
    let live = before(&upstream);
    let head = well();
    let padded = [&[3, 0, 0, 0, 5, 7][..], &head, &[0; 3]].concat();
    let pieces = |size: usize| {
        let mut out = Vec::new();
        let chunks: Vec<_> = head.chunks(size).collect();
        for (at, piece) in chunks.iter().enumerate() {
            let last = if at + 1 == chunks.len() { END_HEADERS } else { 0 };
            out.extend(match at {
                0 => frame(HEADERS, END_STREAM | last, 1, piece),
                _ => frame(CONTINUATION, last, 1, piece),
            });
        }
        out
    };
    let again = |first: &[u8]| [first, &request(1, &target("doe"))].concat();
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("padding and a priority", frame(HEADERS, ALL | PADDED | WITH_PRIORITY, 1, &padded)),
        ("a head in pieces", pieces(7)),
        ("a head and nothing more", [pieces(head.len() - 1), Vec::new()].concat()),
        ("an unknown frame", again(&frame(0xbe, 0xff, 9, &[1; 300]))),
        ("an unknown setting", again(&setting(0x99, 7))),
        ("a priority of an idle stream", again(&frame(PRIORITY, 0, 9, &[0, 0, 0, 3, 1]))),
        ("a window too wide for one frame", again(&setting(4, 0x7fff_ffff))),
        ("flags that mean nothing", again(&frame(PING, 0xfe, 0, &[0; 8]))),
        ("a table of no size", again(&setting(1, 0))),
        ("a stream far away", frame(HEADERS, ALL, 0x7fff_ffff, &head)),
        (
            "the table's own size",
            frame(HEADERS, ALL, 1, &[&[0x3f, 0xe1, 0x1f, 0x20][..], &head].concat()),
        ),
    ];
    let count = cases.len();
    for (what, bytes) in cases {
        let mut client = ByHand::connect(live.address, &[]);
        // However the bytes are cut.
        for piece in bytes.chunks(11) {
            assert!(client.send(piece), "{what}");
        }
        let answer = client.until(HEADERS).unwrap_or_else(|| panic!("{what}"));
        assert_eq!(status(&answer), 200, "{what}");
        assert_eq!(client.until(DATA).unwrap().payload, found_body("doe").into_bytes(), "{what}");
    }
    assert_eq!(live.log(count).len(), count);
    let mut client = ByHand::connect(live.address, &[]);
    client.send(&frame(PING, 0, 0, b"12345678"));
    let pong = client.until(PING).unwrap();
    assert_eq!((pong.flags, pong.payload.as_slice()), (ACK, &b"12345678"[..]));
    client.send(&setting(3, 9));
    assert!(std::iter::from_fn(|| client.frame()).any(|it| it.kind == SETTINGS && it.flags == ACK));
}

/// Frames of an answer: its head's flags, its body, and whether the stream came to its end.
fn answer(client: &mut ByHand) -> (Frame, Vec<u8>, u32) {
    let head = client.until(HEADERS).unwrap();
    let (mut body, mut ended) = (Vec::new(), head.flags & END_STREAM != 0);
    loop {
        let next = client.frame().unwrap_or_else(|| panic!("{head:?}"));
        match next.kind {
            DATA => {
                body.extend(&next.payload);
                ended |= next.flags & END_STREAM != 0;
            }
            // The answer was read; what else the client has to say is not wanted.
            PING if next.flags & ACK == 0 => {
                assert!(client.send(&frame(PING, ACK, 0, &next.payload)));
            }
            RST_STREAM => {
                assert!(ended || code(&next) != NO_ERROR, "{head:?}");
                return (head, body, code(&next));
            }
            _ => {}
        }
    }
}

#[test]
fn a_body_of_any_size_and_pace_is_answered_and_then_not_wanted() {
    let upstream = Scripted::well();
    let live = before(&upstream);
    let cases = [
        ("GET", "5", vec![5], 413),
        ("POST", "5", vec![5], 405),
        ("POST", "1025", vec![1025], 405),
        ("GET", "65535", vec![16_384, 16_384, 16_384, 16_383], 413),
        // The client has promised more than it may send without a window, or more than it ever sends.
        ("PUT", "10000000", vec![16_384, 16_384], 405),
        ("POST", "10000000", vec![], 405),
        ("GET", "", vec![], 413),
        ("GET", "", vec![3, 4], 413),
    ];
    for (method, length, sizes, wanted) in &cases {
        let mut client = ByHand::connect(live.address, &[]);
        let mut fields = pseudo(method, "").to_vec();
        let target = list();
        fields[3].1 = target.as_bytes();
        fields.push(("expect", b"100-continue"));
        fields.push(("user-agent", b"tests/1"));
        if !length.is_empty() {
            fields.push(("content-length", length.as_bytes()));
        }
        assert!(client.send(&frame(HEADERS, END_HEADERS, 1, &block(&fields))));
        for size in sizes {
            client.send(&frame(DATA, 0, 1, &vec![b'x'; *size]));
        }
        let (head, body, reset) = answer(&mut client);
        assert_eq!((status(&head), reset), (*wanted, NO_ERROR), "{method} {length}");
        assert!(String::from_utf8(body).unwrap().contains("\"reason\":"), "{method} {length}");
    }
    for (line, (method, _, _, status)) in live.short_log(cases.len()).iter().zip(&cases) {
        let wanted = format!("127.0.0.1 - lyon [-] \"{method} {} HTTP/2.0\" {status} ", list());
        assert!(line.starts_with(&wanted) && line.ends_with("\"-\" \"tests/1\""), "{line}");
    }
    assert!(upstream.requests().is_empty());
}

#[test]
fn a_body_that_is_not_as_long_as_it_says_is_answered_and_reset_for_it() {
    let upstream = Scripted::well();
    let live = before(&upstream);
    let length = |text: &'static str| {
        let mut fields = pseudo("GET", PHONEBOOK).to_vec();
        fields.push(("content-length", text.as_bytes()));
        block(&fields)
    };
    let trailers = |fields: &[(&str, &[u8])], flags| {
        let head = frame(HEADERS, END_HEADERS, 1, &block(&pseudo("GET", PHONEBOOK)));
        [head, frame(HEADERS, END_HEADERS | flags, 1, &block(fields))].concat()
    };
    let knotted = [&[0, 0, 0, 1, 0][..], &well()].concat();
    let cases: Vec<(&str, Vec<u8>, u16)> = vec![
        ("none of five", frame(HEADERS, ALL, 1, &length("5")), 413),
        (
            "four of five",
            [frame(HEADERS, END_HEADERS, 1, &length("5")), frame(DATA, END_STREAM, 1, b"abcd")]
                .concat(),
            413,
        ),
        (
            "six of five",
            [frame(HEADERS, END_HEADERS, 1, &length("5")), frame(DATA, 0, 1, b"abcdef")].concat(),
            413,
        ),
        ("a pseudo-header behind a body", trailers(&[(":path", b"/")], END_STREAM), 413),
        ("trailers that do not end", trailers(&[("x", b"y")], 0), 413),
        ("a stream that depends on itself", frame(HEADERS, ALL | WITH_PRIORITY, 1, &knotted), 400),
    ];
    for (what, bytes, wanted) in cases {
        let mut client = ByHand::connect(live.address, &[]);
        assert!(client.send(&bytes));
        let head = client.until(HEADERS).unwrap_or_else(|| panic!("{what}"));
        assert_eq!(status(&head), wanted, "{what}");
        let reset = client.until(RST_STREAM).unwrap_or_else(|| panic!("{what}"));
        assert_eq!(code(&reset), PROTOCOL_ERROR, "{what}");
    }
}

#[test]
fn curl_is_content_with_the_answer_to_a_body() {
    let Some(curl) = or_left_out(program("curl", "curl")) else { return };
    let upstream = Scripted::well();
    let live = before(&upstream);
    let directory = tempfile::tempdir().unwrap();
    let port = live.address.port();
    let sizes = [1, 1024, 1025, 70_000, 3_000_000];
    for size in sizes {
        let file = directory.path().join("body");
        std::fs::write(&file, vec![b'x'; size]).unwrap();
        let output = std::process::Command::new(&curl)
            .args(["--silent", "--show-error", "--http2", "--noproxy", "*", "--user-agent", "curl"])
            .args(["--write-out", " %{http_version} %{http_code}", "--data-binary"])
            .arg(format!("@{}", file.display()))
            .args(["--resolve", &format!("gateway:{port}:127.0.0.1"), "--cacert"])
            .arg(certificate())
            .arg(format!("https://gateway:{port}{}", target("doe")))
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{size}: {output:?}");
        assert!(said.contains("method-not-allowed") && said.ends_with(" 2 405"), "{size}: {said}");
    }
    for line in live.short_log(sizes.len()) {
        assert!(line.contains(&format!("\"POST {} HTTP/2.0\" 405 ", target("doe"))), "{line}");
    }
}

#[test]
fn a_window_is_kept_to_when_it_changes_and_when_it_is_below_zero() {
    let upstream = Scripted::well();
    let live = before(&upstream);
    let body = found_body("doe").into_bytes();
    let mut client = ByHand::connect(live.address, &[(4, 3)]);
    client.send(&request(1, &target("doe")));
    assert_eq!(client.until(DATA).unwrap().payload, body[..3]);
    // Three less than nothing: two more bring nothing, and one more than that one byte.
    client.send(&[setting(4, 0), number(WINDOW_UPDATE, 1, 3), frame(PING, 0, 0, &[1; 8])].concat());
    assert!(client.until(PING).is_some_and(|it| it.payload == [1; 8]));
    client.send(&number(WINDOW_UPDATE, 1, 1));
    assert_eq!(client.until(DATA).unwrap().payload, body[3..4]);
    client.send(&setting(4, 2));
    assert_eq!(client.until(DATA).unwrap().payload, body[4..6]);
    client.send(&number(WINDOW_UPDATE, 1, 1000));
    let rest = client.until(DATA).unwrap();
    assert_eq!((rest.payload.as_slice(), rest.flags), (&body[6..], END_STREAM));
}

#[test]
fn a_caller_in_no_policy_has_two_streams_and_a_peer_thirty_two() {
    let door = Door::default();
    let upstream = Scripted::slow(&door);
    let live = setup(upstream.address())
        .limits("unknown_rate = { per_second = 1000, burst = 1000 }")
        .upstream("timeout = \"1m\"")
        .start();
    let unknown_caller = Sound::connect_from(live.address, Some("127.0.0.9"));
    let said = unknown_caller.get(&list());
    assert_eq!((said.status.as_u16(), field(&said, "retry-after")), (403, None));
    for (from, most) in [(Some("127.0.0.9"), 2), (None, 32)] {
        let mut client = ByHand::connect_from(live.address, from, &[(4, 0)]);
        let told = client.until(SETTINGS).unwrap();
        let streams = told.payload.chunks(6).find(|setting| setting[1] == 3).unwrap();
        assert_eq!(streams[5], most);
        let requests: Vec<u8> = (0..40).flat_map(|at| open(2 * at + 1)).collect();
        client.send(&requests);
        let refused = client.until(RST_STREAM).unwrap();
        assert_eq!(code(&refused), REFUSED_STREAM);
    }
    door.open();
}

/// Each unknown caller's refusal goes out without its body, and nothing is held for it.
#[test]
fn who_gives_no_window_is_refused_all_the_same() {
    let upstream = Scripted::well();
    let live = setup(upstream.address())
        .limits("unknown_rate = { per_second = 1000, burst = 1000 }")
        .start();
    let mut client = ByHand::connect_from(live.address, Some("127.0.0.9"), &[(4, 0)]);
    for at in 0..20 {
        assert!(client.send(&request(2 * at + 1, &list())));
        let head = client.until(HEADERS).unwrap();
        assert_eq!((status(&head), head.flags & END_STREAM), (403, END_STREAM));
    }
    for line in live.short_log(20) {
        assert!(line.contains("\" 403 0 "), "{line}");
    }
    let known = setup(upstream.address())
        .policy("lyon", policy("127.0.0.1", "rate = { per_minute = 1, burst = 1 }"))
        .start();
    let mut peer = ByHand::connect(known.address, &[(4, 0)]);
    peer.send(&[request(1, "/nothing"), request(3, "/nothing")].concat());
    assert_eq!(peer.until(HEADERS).map(|head| status(&head)), Some(404));
    assert_eq!(peer.until(HEADERS).map(|head| status(&head)), Some(429));
    drop((peer, client));
    assert!(becomes_true(|| known.server().shared().connections() == 0));
}
