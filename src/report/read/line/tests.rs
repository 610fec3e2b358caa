use super::*;
use crate::access_log::format::PREDEFINED;
use crate::report::read::formats::Formats;
use crate::report::read::pattern::Pattern;

/// What tells one reading from another.
fn text(entry: &Entry<'_>) -> String {
    format!(
        "{} {:?} {} {} {} {}",
        entry.time.unix,
        entry.who,
        entry.status,
        entry.address.escape_ascii(),
        entry.request.escape_ascii(),
        entry.user_agent.escape_ascii()
    )
}

fn read(reader: &mut LineReader, line: &[u8]) -> Result<Option<String>, Unreadable> {
    match reader.read(line, &mut Vec::new())? {
        Line::Entry(entry) => Ok(Some(text(&entry))),
        Line::Part => Ok(None),
    }
}

fn predefined() -> LineReader {
    Formats::with(Vec::new(), 0).reader()
}

fn only(format: &str) -> LineReader {
    Formats::only("own", &[format], 0).unwrap().reader()
}

/// The line as JSON has it where it stands in some.
fn wrapped(line: &str, (before, behind): (&str, &str)) -> String {
    if before.contains('{') {
        let quoted = serde_json::to_string(line).unwrap();
        format!("{before}{}{behind}", &quoted[1..quoted.len() - 1])
    } else {
        format!("{before}{line}{behind}")
    }
}

/// A line of every predefined format.
fn lines() -> Vec<String> {
    let main = format!("{COMBINED} \"192.0.2.1, 192.0.2.2\"");
    let sample = |name: &str| {
        let format = PREDEFINED.iter().find(|(known, _)| *known == name).unwrap().1;
        String::from_utf8(Pattern::of_text(&[format]).unwrap().sample().to_vec()).unwrap()
    };
    let quoted = sample("gateway_json");
    let quoted = ["request", "user_agent", "args"].iter().fold(quoted, |line, name| {
        let says = format!(r#""{name}":"say \"hi\" \\ \u0007""#);
        line.replace(&format!(r#""{name}":"x-y""#), &says)
    });
    vec![COMBINED.into(), NOBODY.into(), main, sample("gateway"), sample("gateway_json"), quoted]
}

#[test]
fn a_wrapped_line_says_what_it_says_bare() {
    let mut reader = predefined();
    for line in lines() {
        let bare = read(&mut reader, line.as_bytes()).unwrap().unwrap();
        for &around in AROUND {
            let wrapped = wrapped(&line, around);
            reader.begin(0);
            let outcome = read(&mut reader, wrapped.as_bytes());
            assert_eq!(outcome, Ok(Some(bare.clone())), "{wrapped}");
        }
    }
}

#[test]
fn a_wrapping_that_is_not_quite_one_makes_a_line_unreadable_and_never_another() {
    let mut random = fastrand::Rng::with_seed(4);
    let bytes = b" -:[]|x9.\"{}<>\\/";
    let mut reader = predefined();
    let mut counts = (0, 0);
    for line in lines() {
        let bare = read(&mut reader, line.as_bytes()).unwrap();
        for &(before, behind) in AROUND {
            for _ in 0..60 {
                let mut head = before.as_bytes().to_vec();
                let at = random.usize(..head.len());
                match random.u8(..4) {
                    0 => drop(head.remove(at)),
                    1 => head.insert(at, bytes[random.usize(..bytes.len())]),
                    2 => head[at] = bytes[random.usize(..bytes.len())],
                    // A word of it is missing.
                    _ => {
                        let words = head.split(|&byte| byte == b' ');
                        let count = words.clone().count();
                        let missing = random.usize(..count);
                        let left = words.enumerate().filter(|(number, _)| *number != missing);
                        head = left.map(|(_, word)| word).collect::<Vec<_>>().join(&b' ');
                    }
                }
                let body = wrapped(&line, (before, behind)).into_bytes()[before.len()..].to_vec();
                head.extend_from_slice(&body);
                reader.begin(0);
                match read(&mut reader, &head) {
                    Ok(Some(found)) => {
                        assert_eq!(Some(found), bare, "{}", head.escape_ascii());
                        counts.0 += 1;
                    }
                    Ok(None) | Err(_) => counts.1 += 1,
                }
                reader.end();
            }
        }
    }
    assert!(counts.0 > 1000 && counts.1 > 1000, "{counts:?}");
}

#[test]
fn no_line_whatever_it_is_makes_a_reader_panic() {
    let mut random = fastrand::Rng::with_seed(5);
    let formats = [
        Formats::with(Vec::new(), 0),
        Formats::only("a", &["$http_x $remote_addr|$request_time|$status [$time_local]"], 0)
            .unwrap(),
        Formats::only("b", &["escape=none $msec $status $request_time $request"], 0).unwrap(),
    ];
    for formats in formats {
        let mut reader = formats.reader();
        for _ in 0..3000 {
            let lines = lines();
            let around = AROUND[random.usize(..AROUND.len())];
            let mut line = wrapped(&lines[random.usize(..lines.len())], around).into_bytes();
            for _ in 0..random.usize(..8) {
                let at = random.usize(..line.len());
                match random.u8(..3) {
                    0 => line.truncate(at.max(1)),
                    1 => line[at] = random.u8(..),
                    _ => drop(line.drain(..at)),
                }
            }
            let _ = read(&mut reader, &line);
        }
    }
}

#[test]
fn what_only_looks_like_a_wrapping_makes_no_line() {
    let mut reader = predefined();
    for before in [
        "Nov 24 09:00:00: ",
        "Nox 24 09:00:00 pbx gateway: ",
        "Nov 24 9:00:00 pbx gateway: ",
        "Nov 24 09:00:00 pbx ga\"teway: ",
        "<1900>Nov 24 09:00:00 pbx gateway: ",
        "<190>1 2026-11-24T09:00:00Z pbx gateway - - ",
        "2026-11-24T09:00:00Z pbx gateway - - [a ",
        "2026-11-24 09:00:00 pbx gateway: ",
        "gateway-1  / ",
        "pbx.example.org: ",
        "pbx.example.org:443:80 ",
        "-:80 ",
        "x ",
        "{\"log\":\"",
    ] {
        let line = format!("{before}{COMBINED}");
        assert!(read(&mut reader, line.as_bytes()).is_err(), "{line}");
    }
}

#[test]
fn bare_lines_are_read_as_they_are_whatever_stands_in_them() {
    // What clients can write looks like wrappings and like lines.
    for hostile in [
        "Nov 24 09:00:00 pbx gateway: 198.51.100.1 - paris",
        "x [24/Nov/2026:09:00:00 +0100] - 198.51.100.1 - - ",
        "2026-11-24T08:00:00.1Z stdout F 198.51.100.1 - paris",
        "{\\x22log\\x22:\\x22x\\x22}",
        "gateway-1  | 198.51.100.1",
        "h:80 198.51.100.1",
    ] {
        let line = COMBINED.replace("py/2.28", hostile).replace("lyon", hostile);
        let found = read(&mut predefined(), line.as_bytes()).unwrap().unwrap();
        assert!(found.contains(" 200 192.0.2.7 GET /a?x="), "{line}: {found}");
    }
}

#[test]
fn a_format_that_a_wrapping_fits_too_is_told_apart_or_the_line_is_unreadable() {
    // The name of a month could be a host's.
    let format = r#"$remote_addr $http_x_forwarded_for [$time_local] "$request" $status"#;
    let line = r#"192.0.2.7 a, b [24/Nov/2026:09:00:00 +0100] "GET / HTTP/1.1" 200"#;
    let mut reader = only(format);
    let bare = read(&mut reader, line.as_bytes()).unwrap();
    for &around in AROUND {
        assert_eq!(
            read(&mut reader, wrapped(line, around).as_bytes()),
            Ok(bare.clone()),
            "{around:?}"
        );
    }
    // Its own client can have written anything before the address.
    let format = r#"$http_user_agent $remote_addr [$time_local] "$request" $status"#;
    let line = r#"py 192.0.2.7 [24/Nov/2026:09:00:00 +0100] "GET / HTTP/1.1" 200"#;
    let mut reader = only(format);
    let bare = read(&mut reader, line.as_bytes()).unwrap();
    assert!(bare.unwrap().ends_with(" py"));
    for &around in AROUND {
        let wrapped = wrapped(line, around);
        if let Ok(found) = read(&mut reader, wrapped.as_bytes()) {
            assert!(found.unwrap().ends_with(" py"), "{wrapped}");
        }
    }
}

#[test]
fn a_file_may_change_its_format_and_its_wrapping_with_every_line() {
    let lines = lines();
    let mut reader = predefined();
    let bare: Vec<_> = lines.iter().map(|line| read(&mut predefined(), line.as_bytes())).collect();
    let mut random = fastrand::Rng::with_seed(3);
    for _ in 0..2000 {
        let number = random.usize(..lines.len());
        let around = AROUND[random.usize(..AROUND.len())];
        let line = match random.u8(..4) {
            0 => "foreign".to_owned(),
            1 => lines[number].clone(),
            _ => wrapped(&lines[number], around),
        };
        match line.as_str() {
            "foreign" => assert!(read(&mut reader, b"foreign").is_err()),
            line => assert_eq!(read(&mut reader, line.as_bytes()), bare[number], "{line}"),
        }
    }
}

#[test]
fn of_two_formats_that_fit_the_more_exact_one_is_taken_whatever_came_before() {
    let formats = Formats::with(Vec::new(), 0);
    let mut reader = formats.reader();
    let lines = lines();
    let (main, gateway) = (&lines[2], &lines[3]);
    for line in [main, gateway, main, gateway, gateway, main] {
        let _ = read(&mut reader, line.as_bytes()).unwrap();
        let expected = if line == main { "main" } else { "gateway" };
        assert_eq!(formats.name(reader.current()), expected);
    }
}

#[test]
fn a_line_in_parts_is_joined_and_parts_of_none_are_counted() {
    let (first, rest) = COMBINED.split_at(50);
    let (second, third) = rest.split_at(20);
    let cri = |stream: &str, tag: &str, text: &str| {
        format!("2026-11-24T08:00:00.123456789Z {stream} {tag} {text}")
    };
    let docker = |stream: &str, text: &str| {
        format!(
            "{{\"log\":{},\"stream\":\"{stream}\",\"time\":\"x\"}}",
            serde_json::to_string(text).unwrap()
        )
    };
    let bare = read(&mut predefined(), COMBINED.as_bytes()).unwrap();
    let nobody = read(&mut predefined(), NOBODY.as_bytes()).unwrap();
    let mut reader = predefined();
    for (line, expected) in [
        (cri("stdout", "P", first), None),
        (cri("stderr", "F", NOBODY), nobody),
        (cri("stdout", "P", second), None),
        (cri("stdout", "F", third), bare.clone()),
        (docker("stdout", first), None),
        (docker("stdout", second), None),
        (docker("stdout", &format!("{third}\n")), bare.clone()),
        // A part whose rest did not come takes no line with it.
        (cri("stdout", "P", first), None),
        (cri("stdout", "F", COMBINED), bare),
        (docker("stderr", second), None),
    ] {
        assert_eq!(read(&mut reader, line.as_bytes()), Ok(expected), "{line}");
    }
    assert_eq!(reader.end(), 2);
    assert_eq!(reader.end(), 0);
}

const COMBINED: &str = r#"192.0.2.7 - lyon [24/Nov/2026:09:00:00 +0100] "GET /a?x=\x22 HTTP/1.1" 200 565 "-" "py/2.28""#;
const NOBODY: &str = r#"2001:db8::7 - - [24/Nov/2026:09:00:01 +0100] "\x16\x03\x01" 400 0 "-" "-""#;

/// What stands before a line, or around it, for each way in which it may have come.
const AROUND: &[(&str, &str)] = &[
    ("Nov 24 09:00:00 pbx-paris phonebook_gateway: ", ""),
    ("Nov  4 09:00:00 pbx-paris phonebook_gateway[123]: ", ""),
    ("Nov 24 09:00:00 192.0.2.200 nginx:  ", ""),
    ("Nov 24 09:00:00 phonebook_gateway: ", ""),
    ("Nov 24 09:00:00 pbx phonebook_gateway ", ""),
    ("<190>Nov 24 09:00:00 pbx-paris phonebook_gateway: ", ""),
    ("<190>Nov 24 09:00:00 phonebook_gateway: ", ""),
    ("Nov 24 09:00:00.123456 pbx gateway[1]: ", ""),
    ("2026-11-24T09:00:00+01:00 pbx-paris gateway[1]: ", ""),
    ("2026-11-24T09:00:00+0100 pbx-paris gateway[1]: ", ""),
    ("2026-11-24T09:00:00.123456+01:00 pbx-paris phonebook_gateway: ", ""),
    ("2026-11-24T09:00:00.123456+01:00 pbx-paris phonebook_gateway - - - ", ""),
    ("2026-11-24T09:00:00.123456+01:00 pbx-paris phonebook_gateway 123 - - ", ""),
    (
        "2026-11-24T09:00:00.123456Z pbx-paris phonebook_gateway 123 ID47 [a@1 b=\"] x\" c=\"\\\"\"][d] ",
        "",
    ),
    ("2026-11-24T09:00:00Z - - - - - ", ""),
    ("2026-11-24T09:00:00.123456+01:00 pbx-paris phonebook_gateway[123] ", ""),
    ("2026-11-24T09:00:00.123456+01:00 pbx-paris phonebook_gateway ", ""),
    ("<190>1 2026-11-24T09:00:00.123+01:00 pbx phonebook_gateway 123 - - ", ""),
    ("<190>1 2026-11-24T09:00:00.123+01:00 pbx phonebook_gateway - - -  ", ""),
    ("<190>1 - - - - - - ", ""),
    ("<190>1 2026-11-24T09:00:00Z pbx gateway - - - \u{feff}", ""),
    ("<190>2026-11-24T09:00:00+01:00 pbx gateway: ", ""),
    ("Tue 2026-11-24 09:00:00 CET pbx gateway[1]: ", ""),
    ("Tue 2026-11-24 09:00:00.123456 +0530 pbx phonebook-gateway.service[1]: ", ""),
    ("1795404830.123456 pbx gateway[1]: ", ""),
    ("[    5.123456] pbx gateway[1]: ", ""),
    ("2026-11-24T08:00:00.123456789Z stdout F ", ""),
    ("2026-11-24T08:00:00.123456789+01:00 stderr F:x ", ""),
    ("2026-11-24T08:00:00.123456789Z ", ""),
    ("gateway-1  | ", ""),
    ("gateway_1      | 2026-11-24T08:00:00.123456789Z ", ""),
    ("[pod/gateway-7d4/gateway] ", ""),
    ("pbx.example.org:443 ", ""),
    ("192.0.2.9:80 ", ""),
    ("[2001:db8::9]:80 ", ""),
    ("Nov 24 09:00:00 pbx apache: pbx.example.org:443 ", ""),
    ("\u{feff}", ""),
    ("\0\0\0\0\0\0\0", ""),
    (
        "gateway-1  | {\"log\":\"",
        "\\n\",\"stream\":\"stdout\",\"time\":\"2026-11-24T08:00:00.1Z\"}",
    ),
    ("{\"log\":\"", "\\n\",\"stream\":\"stdout\",\"time\":\"2026-11-24T08:00:00.1Z\"}"),
    ("{\"log\":\"", "\\r\\n\",\"stream\":\"stderr\",\"attrs\":{\"a\":\"b\"},\"time\":\"x\"}"),
    ("{\"stream\":\"stdout\",\"log\":\"", "\"}"),
    ("{\"__CURSOR\":\"s=1\",\"PRIORITY\":\"6\",\"MESSAGE\":\"", "\",\"_PID\":\"1\"}"),
];
