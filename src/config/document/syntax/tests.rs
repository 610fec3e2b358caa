use std::path::PathBuf;

use super::*;
use crate::config::document::Section;
use crate::config::document::problem::{Document, Problem};
use crate::config::{Config, Problems, read_texts};

fn read(main: &str, policy: &str) -> Result<(Config, Vec<Problem>), Problems> {
    read_texts(("gateway.toml", main), &[("policies/lyon.toml", policy)], &|_| None)
}

/// The single problem of a policy that is one line, and the line that its help writes.
fn help_of(main: &str, policy: &str) -> Problem {
    match read(main, policy) {
        Ok(_) => panic!("valid: {policy}"),
        Err(problems) => match problems.iter().collect::<Vec<_>>().as_slice() {
            [problem] => (*problem).clone(),
            all => panic!("{policy}: {all:#?}"),
        },
    }
}

#[test]
fn what_tired_people_type_is_told_in_one_message_with_the_line_to_write() {
    for &(line, column, message, written) in TYPED {
        // What follows is not swallowed by an open bracket.
        let problem = help_of(MAIN, &format!("{line}\nconcurrent = 3\n"));
        assert_eq!((problem.line(), problem.column()), (1, column), "{problem}");
        assert!(problem.message().contains(message), "{problem}");
        assert!(problem.message().starts_with("`hosts`: ") || column == 1, "{problem}");
        assert!(problem.label().starts_with("allowed: "), "{problem}");
        if !written.is_empty() {
            assert_eq!(problem.help(), Some(format!("write {written}").as_str()), "{problem}");
        }
    }
}

#[test]
fn other_keys_are_understood_by_what_they_take() {
    let cases = [
        ("enabled = yes", "`enabled`: \"yes\" is no value", "enabled = true"),
        ("enabled = True", "\"True\"", "enabled = true"),
        ("enabled: ON", "`:` stands", "enabled = true"),
        ("rate = 10r/s", "`rate`: \"10r/s\"", "rate = { per_second = 10, burst = 20 }"),
        ("rate = 30r/m;", "`rate`: \"30r/m\"", "rate = { per_minute = 30, burst = 60 }"),
        (
            "rate = { per_second: 10, burst: 20 }",
            "`rate.per_second`: `:`",
            "rate = { per_second = 10, burst = 20 }",
        ),
        (
            "rate = { per_second = 10 burst = 20 }",
            "no comma",
            "rate = { per_second = 10, burst = 20 }",
        ),
        (
            "rate = { per_second = 10; burst = 20 }",
            "`;` stands between",
            "rate = { per_second = 10, burst = 20 }",
        ),
        (
            "rate = { per_second = 10, burst = 20",
            "the table is not closed",
            "rate = { per_second = 10, burst = 20 }",
        ),
        (
            "description = The office",
            "`description`: The office stands without quotes",
            "description = \"The office\"",
        ),
        ("description = \"C:\\lyon\"", "a backslash", "description = 'C:\\lyon'"),
        ("description = \"Lyon", "is not closed", "description = \"Lyon\""),
        ("concurrent : 5", "`:` stands", "concurrent = 5"),
        ("description = 'it's late'", "holds the quotes", "description = \"it's late\""),
        (
            "description = \"say \"hi\" to all\"",
            "holds the quotes",
            "description = 'say \"hi\" to all'",
        ),
        ("rate = 0.5/s", "`rate`: \"0.5/s\"", "rate = { per_minute = 30, burst = 60 }"),
        ("rate = 10r/s burst=20 nodelay", "`rate`", "rate = { per_second = 10, burst = 20 }"),
    ];
    for (line, message, written) in cases {
        let problem = help_of(MAIN, &format!("{HOSTS}{line}\n"));
        assert_eq!(problem.line(), 2, "{problem}");
        assert!(problem.message().contains(message), "{problem}");
        assert_eq!(problem.help(), Some(format!("write {written}").as_str()), "{problem}");
    }
    let cases = [
        (
            "timeout = 800ms",
            "`upstream.timeout`: 800ms stands without quotes",
            "timeout = \"800ms\"",
        ),
        ("[limits", "the brackets of [limits do not match", "[limits]"),
        ("[[access_log]", "the brackets of [[access_log] do not match", "[[access_log]]"),
        ("host = xivo.example.org", "`upstream.host`", "host = \"xivo.example.org\""),
        ("source = \u{2018}192.168.1.125\u{2019}", "U+2018", "source = \"192.168.1.125\""),
    ];
    for (line, message, written) in cases {
        let problem = help_of(&format!("{MAIN}{line}\n"), HOSTS);
        assert_eq!(problem.line(), 5, "{problem}");
        assert!(problem.message().contains(message), "{problem}");
        assert_eq!(problem.help(), Some(format!("write {written}").as_str()), "{problem}");
    }
}

#[test]
fn a_line_that_is_right_is_not_recommended_as_it_is() {
    let problem = help_of(MAIN, "hosts = [\n\"192.0.2.1\"\n\"192.0.2.2\"\n]\n");
    assert_eq!(problem.help(), Some("write a comma behind the value before it"), "{problem}");
}

#[test]
fn a_line_that_would_be_wrong_still_is_not_recommended() {
    let problem = help_of(MAIN, "hosts = [192.168.1.1/16]\n");
    let help = problem.help().unwrap();
    assert!(!help.starts_with("write hosts"), "{help}");
    assert!(help.contains("host bits") && help.contains("\"192.168.0.0/16\""), "{help}");
}

#[test]
fn a_byte_order_mark_and_windows_line_ends_are_read() {
    let policy = HOSTS.replace('\n', "\r\n");
    assert!(
        read(&format!("\u{feff}{MAIN}"), &format!("\u{feff}{policy}enabled = true\r\n")).is_ok()
    );
}

/// Mistakes by whoever types `hosts`, in any combination.
fn typed(random: &mut fastrand::Rng) -> String {
    let pick = |random: &mut fastrand::Rng, of: &[&str]| (*random.choice(of).unwrap()).to_owned();
    let blank = |random: &mut fastrand::Rng| {
        pick(random, &["", " ", " ", " ", "\t", "\u{a0}", "\u{202f}", "\u{2003}"])
    };
    let quotes = [
        ("\"", "\""),
        ("", ""),
        ("\u{201c}", "\u{201d}"),
        ("\u{201e}", "\u{201c}"),
        ("\u{2018}", "\u{2019}"),
        ("\u{ab}", "\u{bb}"),
        ("'", "'"),
        ("\u{ff02}", "\u{ff02}"),
        ("\u{2033}", "\u{2033}"),
        ("\"", "\u{201d}"),
        ("\u{201c}", "\""),
    ];
    let mut line = format!("hosts{}", blank(random));
    line += &pick(random, &["=", "=", ":", "=>", "==", ":="]);
    line += &blank(random);
    let (open, close) =
        *random.choice([("[", "]"), ("[", "]"), ("(", ")"), ("[", ""), ("[", ")")].iter()).unwrap();
    line += open;
    for at in 0..random.usize(1..4) {
        if at > 0 {
            line += &pick(random, &[", ", ",", " ", ";", "; ", " ,"]);
        }
        let (before, behind) = *random.choice(quotes.iter()).unwrap();
        line += &format!("{before}192.0.2.{}{behind}", at + 1);
    }
    line += &blank(random);
    line += close;
    line += &pick(random, &["", "", ";", ",", " # Lyon", " // Lyon"]);
    line
}

#[test]
fn the_line_to_write_is_valid_and_one_line_gives_one_message() {
    let mut random = fastrand::Rng::with_seed(13);
    let mut recommended = 0;
    for _ in 0..1500 {
        let line = typed(&mut random);
        let Err(problems) = read(MAIN, &format!("{line}\nconcurrent = 3\n")) else { continue };
        let problems: Vec<_> = problems.iter().collect();
        let [problem] = problems.as_slice() else { panic!("{line}: {problems:#?}") };
        assert!(problem.line() == 1 && !problem.label().is_empty(), "{line}: {problem}");
        let help = problem.help().unwrap_or_else(|| panic!("{line}: {problem}"));
        if let Some(written) = help.strip_prefix("write hosts") {
            let outcome = read(MAIN, &format!("hosts{written}\nconcurrent = 3\n"));
            assert!(outcome.is_ok(), "{line}: {help}: {}", outcome.unwrap_err());
            recommended += 1;
        }
    }
    assert!(recommended > 900, "{recommended}");
}

/// Reads a document in which no key is known.
fn unknown_keys(section: Section<'_>) {
    section.finish();
}

#[test]
fn whatever_is_typed_keeps_its_lines_and_ends() {
    let mut random = fastrand::Rng::with_seed(5);
    let pieces = [
        "[", "]", "{", "}", "(", "\"", "'", "\"\"\"", "=", ":", ",", ";", "\n", "\r\n", " ", "\t",
        "\u{a0}", "a", "hosts", "é", "\u{201c}", "\\", "#", "//", "0", "-", ".", "\u{feff}",
        "rate", "10r/s", "yes", "`",
    ];
    for _ in 0..5_000 {
        let text: String =
            (0..random.usize(1..24)).map(|_| *random.choice(pieces.iter()).unwrap()).collect();
        let repaired = repair(&text);
        let lines = |text: &str| text.matches('\n').count();
        assert_eq!(lines(&repaired.text), lines(&text), "{text:?} became {:?}", repaired.text);
        // Reading it all must not fall over marks and spans, nor drawing them.
        let document = Document::new(PathBuf::from("x.toml"), text.clone());
        let ((), problems) = super::super::read(&document, &|_| None, unknown_keys);
        for problem in problems {
            problem.render(&annotate_snippets::Renderer::plain());
        }
    }
}

const MAIN: &str =
    "[[listen]]\naddress = \"127.0.0.1:0\"\n[upstream]\nurl = \"http://127.0.0.1\"\n";
const HOSTS: &str = "hosts = [\"192.0.2.1\"]\n";

#[rustfmt::skip]
const TYPED: &[(&str, usize, &str, &str)] = &[
        (
            "hosts = [192.168.1.124]",
            10,
            "192.168.1.124 stands without quotes",
            "hosts = [\"192.168.1.124\"]",
        ),
        ("hosts = [192.168.1.124, 10.0.0.0/8x]", 10, "without quotes", ""),
        (
            "hosts = [\u{201c}192.168.1.124\u{201d}]",
            10,
            "(U+201C) is a typographic quote",
            "hosts = [\"192.168.1.124\"]",
        ),
        ("hosts = [\u{201e}192.168.1.124\u{201c}]", 10, "U+201E", "hosts = [\"192.168.1.124\"]"),
        ("hosts = [\u{ab}192.168.1.124\u{bb}]", 10, "U+00AB", "hosts = [\"192.168.1.124\"]"),
        ("hosts = [`192.168.1.124`]", 10, "U+0060", "hosts = [\"192.168.1.124\"]"),
        ("hosts = [\"192.168.1.124\u{201d}]", 24, "U+201D", "hosts = [\"192.168.1.124\"]"),
        (
            "hosts =\u{a0}[\"192.168.1.124\"]",
            8,
            "a no-break space (U+00A0)",
            "hosts = [\"192.168.1.124\"]",
        ),
        (
            "\u{a0}hosts = [\"192.168.1.124\"]",
            1,
            "a no-break space (U+00A0)",
            "hosts = [\"192.168.1.124\"]",
        ),
        (
            "hosts\u{200b} = [\"192.168.1.124\"]",
            6,
            "an invisible character (U+200B)",
            "hosts = [\"192.168.1.124\"]",
        ),
        ("hosts: [\"192.168.1.124\"]", 6, "`:` stands between", "hosts = [\"192.168.1.124\"]"),
        ("hosts: [192.168.1.124]", 6, "`:` stands between", "hosts = [\"192.168.1.124\"]"),
        ("hosts [\"192.168.1.124\"]", 7, "there is no `=`", "hosts = [\"192.168.1.124\"]"),
        ("hosts => [\"192.168.1.124\"]", 7, "`=>` stands", "hosts = [\"192.168.1.124\"]"),
        ("hosts == [\"192.168.1.124\"]", 7, "`==` stands", "hosts = [\"192.168.1.124\"]"),
        ("hosts = 192.168.1.124", 9, "without quotes", "hosts = [\"192.168.1.124\"]"),
        (
            "hosts = 192.168.1.124 192.168.1.125",
            9,
            "without quotes",
            "hosts = [\"192.168.1.124\", \"192.168.1.125\"]",
        ),
        (
            "hosts = \"192.168.1.124\", \"192.168.1.125\"",
            9,
            "is no list",
            "hosts = [\"192.168.1.124\", \"192.168.1.125\"]",
        ),
        (
            "hosts = [\"192.168.1.124\" \"192.168.1.125\"]",
            26,
            "there is no comma",
            "hosts = [\"192.168.1.124\", \"192.168.1.125\"]",
        ),
        (
            "hosts = [\"192.168.1.124\"; \"192.168.1.125\"]",
            25,
            "`;` stands between two values",
            "hosts = [\"192.168.1.124\", \"192.168.1.125\"]",
        ),
        ("hosts = (\"192.168.1.124\")", 9, "`(` begins no list", "hosts = [\"192.168.1.124\"]"),
        ("hosts = [\"192.168.1.124\"", 24, "the list is not closed", "hosts = [\"192.168.1.124\"]"),
        ("hosts = [\"192.168.1.124]", 10, "is not closed", "hosts = [\"192.168.1.124\"]"),
        ("hosts = [\"192.168.1.124\"];", 26, "`;` stands behind", "hosts = [\"192.168.1.124\"]"),
        ("hosts = [\"192.168.1.124\"],", 26, "`,` stands behind", "hosts = [\"192.168.1.124\"]"),
        (
            "hosts = [\"192.168.1.124\"] // Lyon",
            27,
            "`//` begins no comment",
            "hosts = [\"192.168.1.124\"] # Lyon",
        ),
];
