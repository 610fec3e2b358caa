use super::*;

#[test]
fn records_say_their_stream_and_whether_they_are_whole() {
    let time = "2026-11-24T08:00:00.123456789Z";
    for (line, stream, form, text) in [
        (format!("{time} stdout F a b"), Stream::Out, Form::Whole, "a b"),
        (format!("{time} stderr P a"), Stream::Err, Form::Part, "a"),
        (format!("{time} stdout F "), Stream::Out, Form::Whole, ""),
        (format!("{time} stdout F:x a"), Stream::Out, Form::Whole, "a"),
        (r#"{"log":"a\u003cb\n","stream":"stderr"}"#.into(), Stream::Err, Form::Whole, "a<b\n"),
        (r#"{"log":"a","stream":"stdout"}"#.into(), Stream::Out, Form::Open, "a"),
        (r#"{"MESSAGE":"a\"b"}"#.into(), Stream::Out, Form::Whole, "a\"b"),
        (r#"{"MESSAGE":[97,27,98]}"#.into(), Stream::Out, Form::Whole, "a\u{1b}b"),
    ] {
        let found = record(line.as_bytes()).unwrap();
        assert_eq!((found.stream, found.form), (stream, form), "{line}");
        assert_eq!(&*found.text, text.as_bytes(), "{line}");
    }
    for line in [
        "",
        "a",
        "2026 stdout F a",
        &format!("{time} stdin F a"),
        &format!("{time} stdout X a"),
        &format!("{time} stdout Fa"),
        r#"{"time":"x","status":200}"#,
        r#"{"log":5}"#,
        r#"{"log":"a"#,
        r#"{"MESSAGE":null}"#,
        r#"{"log":"a\n","MESSAGE":"b"}"#,
    ] {
        assert_eq!(record(line.as_bytes()), None, "{line}");
    }
}

#[test]
fn parts_at_a_block_s_end_are_held_back_until_their_line_is_whole() {
    let line = |stream: &str, tag: &str| format!("2026-11-24T08:00:00.1Z {stream} {tag} a\n");
    let (part, whole) = (line("stdout", "P"), line("stdout", "F"));
    let (other, other_part) = (line("stderr", "F"), line("stderr", "P"));
    for (lines, held) in [
        (vec![&whole, &part], Some(1)),
        (vec![&whole, &part, &part], Some(1)),
        (vec![&whole, &part, &other], Some(1)),
        (vec![&part, &whole, &other_part, &part], Some(2)),
        (vec![&part, &other_part, &whole], Some(1)),
        (vec![&part, &whole], None),
        (vec![&part, &whole, &other], None),
        (vec![&part, &other, &part, &whole], None),
        (vec![&part], Some(0)),
    ] {
        let begin = held.map(|count: usize| lines[..count].iter().map(|line| line.len()).sum());
        let block: String = lines.into_iter().cloned().collect();
        assert_eq!(unfinished(block.as_bytes()), begin, "{block}");
    }
    assert_eq!(unfinished(b"192.0.2.7 - -\n"), None);
    assert_eq!(unfinished(b""), None);
}
