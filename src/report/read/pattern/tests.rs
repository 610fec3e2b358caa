use super::*;
use crate::access_log::format::PREDEFINED;
use crate::access_log::format::kind::{Each, Presence};

fn pattern(format: &str) -> Pattern {
    Pattern::of_text(&[format]).unwrap()
}

fn predefined(name: &str) -> Pattern {
    pattern(PREDEFINED.iter().find(|(known, _)| *known == name).unwrap().1)
}

/// The values of a line, as text.
fn read(pattern: &Pattern, line: &str, slots: &[Slot]) -> Option<Vec<String>> {
    let mut values = Values::default();
    let is_read = pattern.read(line.as_bytes(), &mut values).is_ok();
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
    assert!(read(&combined, &format!("gateway: {line}"), &[]).is_none());
    assert!(read(&combined, "", &[]).is_none());
    let other = pattern("= $status $time_local");
    assert!(read(&other, "200 23/Nov/2026:03:33:50 +0000", &[]).is_none());
    assert!(read(&other, "= 200 23/Nov/2026:03:33:50 +0000", &[]).is_some());
}

#[test]
fn a_list_of_tries_is_one_value() {
    let format = "$status $upstream_response_time $upstream_addr [$time_local]";
    let line = "200 0.001, 0.002 : - 127.0.0.1:80, unix:/a : [::1]:80 [23/Nov/2026:03:33:50 +0000]";
    let values = read(&pattern(format), line, &[Slot::UpstreamResponseTime, Slot::TimeLocal]);
    assert_eq!(values.unwrap(), ["0.001, 0.002 : -", "23/Nov/2026:03:33:50 +0000"]);
}

#[test]
fn json_values_end_at_the_quote_that_is_not_escaped() {
    let format = r#"escape=json {"t":"$time_iso8601","a":"$http_user_agent","s":$status}"#;
    let line = r#"{"t":"2026-11-23T03:33:50+00:00","a":"say \"hi\",\\","s":200}"#;
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
        PatternError::Unsure {
            why: Unsure::Adjacent("scheme".into(), "host".into()),
            corrected: Some("$time_local $status $scheme $host".into()),
        }
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
    let line = "1.25 304 [23/Nov/2026:03:33:50 +0000] CA";
    let values = read(&pattern(format), line, &[Slot::Status]).unwrap();
    assert_eq!(values, ["304"]);
}

/// A value as a hostile client, or the machine, could have it written in this format.
fn value(random: &mut fastrand::Rng, kind: Kind, escape: Escape, hostile: &[&str]) -> Vec<u8> {
    let choice = |random: &mut fastrand::Rng, values: &[&str]| -> Vec<u8> {
        values[random.usize(..values.len())].as_bytes().to_vec()
    };
    let absent: &[u8] = if escape == Escape::Default { b"-" } else { b"" };
    let written = |text: &[u8]| {
        let mut out = Vec::new();
        escape.write(&mut out, text, 0);
        out
    };
    let some = |random: &mut fastrand::Rng, words: &[&str]| {
        let words = (0..random.usize(..6)).map(|_| words[random.usize(..words.len())]);
        words.collect::<String>().replace('\n', "")
    };
    match kind {
        Kind::Address => choice(
            random,
            &["192.0.2.7", "2001:db8::7", "::1", "unix:", "pbx-1.example", "255.0.0.1"],
        ),
        Kind::Status => format!("{:03}", random.u16(..1000)).into(),
        Kind::TimeLocal => {
            choice(random, &["23/Nov/2026:03:33:50 +0000", "01/Jan/1970:00:00:00 -1130"])
        }
        Kind::TimeIso8601 => {
            choice(random, &["2026-11-23T03:33:50+00:00", "1999-12-31T23:59:60-05:30"])
        }
        Kind::Msec => format!("{}.{:03}", random.u32(..), random.u16(..1000)).into(),
        Kind::Number(Presence::Always) => random.u32(..).to_string().into(),
        Kind::Number(Presence::Maybe) => choice(random, &["", "-", "80", "65535"]),
        Kind::Decimal(_) => format!("{}.{:03}", random.u8(..), random.u16(..1000)).into(),
        Kind::Method => choice(random, &["GET", "POST", "M-SEARCH", "-"]),
        Kind::Word => {
            choice(random, &["-", "lyon", "rate-limited", "TLSv1.3", "a_b.c", "http/1.1"])
        }
        Kind::Token => {
            let words = hostile.iter().map(|word| word.replace([' ', '\t'], ""));
            let words: Vec<String> = words.chain(["a".into(), "\"".into(), "|".into()]).collect();
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            written(some(random, &words).as_bytes())
        }
        Kind::Tries(each) => {
            let one = match each {
                Each::Address => &["192.0.2.9:80", "[::1]:80", "unix:/run/x", "-"][..],
                Each::Status => &["200", "502", "-"],
                Each::Number => &["0", "1234", "-"],
                Each::Decimal => &["0.001", "12.345", "-"],
            };
            let tries: Vec<String> = (0..random.usize(1..4))
                .map(|_| String::from_utf8(choice(random, one)).unwrap())
                .collect();
            let joint = if random.bool() { ", " } else { " : " };
            tries.join(joint).into()
        }
        Kind::Text if random.u8(..8) == 0 => absent.to_vec(),
        Kind::Text => {
            let words =
                [hostile, &["a", "\"", "\\", "-", " ", ", ", " : ", "é", "\t", "200", "\u{1}"]]
                    .concat();
            written(some(random, &words).as_bytes())
        }
    }
}

/// Reads lines back that are made of random values by the format's own pieces.
fn read_back(format: &str, random: &mut fastrand::Rng, count: usize) {
    let (escape, pieces) = Format::pieces_of(&[format]).unwrap();
    let pattern = pattern(format);
    let samples: Vec<String> = pieces
        .iter()
        .map(|piece| match piece {
            Piece::Literal(text) => text.clone(),
            Piece::Variable(name) => Kind::of(name).sample().to_owned(),
        })
        .collect();
    let hostile: Vec<&str> = samples.iter().map(String::as_str).collect();
    for _ in 0..count {
        let mut line = Vec::new();
        let mut expected = Values::default();
        let written: Vec<Vec<u8>> = pieces
            .iter()
            .map(|piece| match piece {
                Piece::Literal(text) => text.as_bytes().to_vec(),
                Piece::Variable(name) => value(random, Kind::of(name), escape, &hostile),
            })
            .collect();
        for (piece, text) in pieces.iter().zip(&written) {
            line.extend_from_slice(text);
            if let Piece::Variable(name) = piece {
                expected.slots[slot(name) as usize] = text;
            }
        }
        let mut values = Values::default();
        let outcome = pattern.read(&line, &mut values);
        assert_eq!(outcome, Ok(()), "{format}\n{}", line.escape_ascii());
        for (at, (found, expected)) in values.slots.iter().zip(expected.slots).enumerate().skip(1) {
            assert_eq!(
                found.escape_ascii().to_string(),
                expected.escape_ascii().to_string(),
                "{at}: {format}\n{}",
                line.escape_ascii()
            );
        }
    }
}

#[test]
fn lines_are_read_back_exactly_or_the_format_is_refused() {
    let mut random = fastrand::Rng::with_seed(15);
    for (format, is_readable) in FORMATS {
        match Pattern::of_text(&[format]) {
            Ok(_) => {
                assert!(is_readable, "{format}");
                read_back(format, &mut random, 500);
            }
            Err(PatternError::Unsure { why, corrected }) => {
                assert!(!is_readable, "{format}: {why}");
                read_back(&corrected.expect(format), &mut random, 100);
            }
            Err(error) => panic!("{format}: {error}"),
        }
    }
}

#[test]
fn of_any_format_lines_are_read_back_or_it_is_refused_with_one_that_can_be() {
    let names = [
        "remote_addr",
        "remote_user",
        "peer",
        "time_local",
        "time_iso8601",
        "msec",
        "request",
        "request_method",
        "request_uri",
        "args",
        "body_bytes_sent",
        "http_user_agent",
        "request_time",
        "upstream_response_time",
        "upstream_addr",
        "host",
        "reason",
        "limit",
        "remote_port",
        "http_x_forwarded_for",
        "ssl_cipher",
    ];
    let literals = [
        " ",
        " ",
        "\" \"",
        "\"",
        " - ",
        "-",
        ", ",
        " [",
        "] ",
        "|",
        ":",
        " : ",
        "\t",
        "=",
        "x",
        " \"",
        "\" ",
        ",\"a\":\"",
    ];
    let mut random = fastrand::Rng::with_seed(16);
    let (mut readable, mut refused) = (0, 0);
    for _ in 0..1500 {
        let mut format = String::from(["", "", "escape=json ", "escape=none "][random.usize(..4)]);
        let mut left: Vec<&str> = names.to_vec();
        let mut parts = vec!["${status}".to_owned(), "${msec}".to_owned()];
        left.retain(|name| *name != "msec");
        for _ in 0..random.usize(1..6) {
            let name = left.swap_remove(random.usize(..left.len()));
            parts.insert(random.usize(..=parts.len()), format!("${{{name}}}"));
        }
        for part in parts {
            format += literals[random.usize(..literals.len())];
            format += &part;
        }
        if random.bool() {
            format += literals[random.usize(..literals.len())];
        }
        match Pattern::of_text(&[&format]) {
            Ok(_) => {
                readable += 1;
                read_back(&format, &mut random, 20);
            }
            Err(PatternError::Unsure { corrected, .. }) => {
                refused += 1;
                if let Some(corrected) = corrected {
                    read_back(&corrected, &mut random, 10);
                }
            }
            Err(error) => panic!("{format}: {error}"),
        }
    }
    assert!(readable > 300 && refused > 300, "{readable} {refused}");
}

/// Formats as people have them, and whether their lines can be read back.
const FORMATS: [(&str, bool); 36] = [
    (PREDEFINED[0].1, true),
    (PREDEFINED[1].1, true),
    (PREDEFINED[2].1, true),
    ("$remote_addr [$time_local] \"$request\" $status", true),
    ("$remote_addr - $remote_user [$time_local] $status $body_bytes_sent", true),
    ("$http_x_forwarded_for $remote_addr [$time_local] \"$request\" $status", true),
    ("$http_x_forwarded_for - $remote_user [$time_local] \"$request\" $status", false),
    ("\"$http_x_forwarded_for\" $remote_addr [$time_local] \"$request\" $status", true),
    ("$remote_addr, $http_x_forwarded_for [$time_local] $request $status $body_bytes_sent", false),
    ("$remote_addr $request_method $request_uri $status $request_time [$time_local]", true),
    ("$remote_addr|$peer|$action|$reason|$status|$msec", true),
    ("$remote_addr|$host|$status|$msec", true),
    ("$remote_addr|$host|$remote_user|$status|$msec", false),
    ("$time_iso8601\t$remote_addr\t$request\t$status\t$http_user_agent\t$http_referer", true),
    ("$time_iso8601 $status $request $http_user_agent", false),
    ("$msec,$status,$remote_addr,$request_time,$upstream_response_time,\"$request\"", true),
    ("$msec $status $upstream_response_time $request_time $upstream_addr \"$request\"", true),
    ("$msec $status $upstream_response_time, $request_time", true),
    ("$msec $status $upstream_response_time, $upstream_addr", false),
    ("$msec $status $upstream_response_time : $upstream_addr", false),
    ("$msec $status $upstream_response_time $args", false),
    ("$remote_user-$peer-$status-$msec", false),
    ("$remote_addr-$status-$request_time-$body_bytes_sent-$msec", true),
    ("$status-$msec-$remote_port-$peer", false),
    ("$msec $status$request_time", false),
    (
        "escape=json {\"t\":\"$time_iso8601\",\"s\":$status,\"r\":\"$request\",\"u\":\"$remote_user\"}",
        true,
    ),
    (
        "escape=json {\"t\":$msec,\"s\":\"$status\",\"r\":\"$request_method $request_uri\",\"a\":\"$remote_addr\"}",
        true,
    ),
    ("escape=json {\"t\":$msec,\"s\":$status,\"r\":\"$http_referer $http_user_agent\"}", false),
    ("escape=json $msec\t$status\t$args\t$uri", true),
    ("escape=none $msec $status $remote_addr $request", true),
    ("escape=none $msec $status \"$request\" \"$http_user_agent\"", false),
    ("escape=none $request $status $msec", true),
    ("[$time_local] $status $remote_user@$peer $args=$request_time", false),
    ("reason=$reason limit=$limit user=$remote_user at=$time_local status=$status", true),
    ("$scheme://$host$request_uri $status [$time_local]", false),
    ("$remote_addr - - [$time_local] \"$request_method $uri\" $status $bytes_sent", true),
];
