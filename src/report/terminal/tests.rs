use super::*;
use crate::report::summary::sample;

/// Of `text` whatever is a colour taken away.
fn without_colour(text: &str) -> String {
    ["\x1b[0m", "\x1b[1m", "\x1b[31m", "\x1b[33m"]
        .iter()
        .fold(text.to_owned(), |text, code| text.replace(code, ""))
}

#[test]
fn no_line_is_wider_than_the_screen_or_ends_in_blanks() {
    for width in [40, 60, 80, 120, 200] {
        for unicode in [false, true] {
            let screen = Screen { width, unicode, ..PLAIN };
            for report in [sample::report(), sample::empty()] {
                for text in
                    [render(&report, &screen), live(&report, Recent::default(), &screen, 30)]
                {
                    for line in text.lines() {
                        assert!(line.chars().count() <= width, "{width}: {line}");
                        assert_eq!(line, line.trim_end());
                    }
                    assert!(unicode || text.is_ascii(), "{text}");
                }
            }
        }
    }
}

#[test]
fn colour_adds_nothing_that_is_not_there_without() {
    let report = sample::report();
    let coloured = render(&report, &Screen { colour: true, ..PLAIN });
    assert!(coloured.contains("\x1b[1m"));
    assert_eq!(without_colour(&coloured), render(&report, &PLAIN));
}

#[test]
fn what_needs_somebody_comes_first_and_can_be_pasted() {
    let report = sample::report();
    let text = render(&report, &PLAIN);
    let at = |part: &str| text.find(part).unwrap_or_else(|| panic!("{part} is missing:\n{text}"));
    assert!(at("What needs you") < at("Requests, each"));
    assert!(at("rate = { per_second = ") < at("Requests, each"));
    assert!(at("hosts = [") < at("Requests, each"));
    for peer in report.peers.iter().filter(|peer| peer.name.len() < 20).take(5) {
        at(&peer.name);
    }
    for refused in &report.refusals {
        at(&refused.reason);
    }
}

#[test]
fn nothing_of_a_log_reaches_the_terminal_unescaped() {
    let hostile = "\x1b]0;x\x07\x1b[2J\u{202e}\u{200b}\r\n漢\u{9b}31m";
    let mut report = sample::report();
    for peer in &mut report.peers {
        peer.name = hostile.into();
    }
    for refused in &mut report.refusals {
        refused.reason = hostile.into();
        refused.remedy = hostile.into();
        refused.example = Some(hostile.into());
    }
    for caller in &mut report.unknown.callers {
        caller.address = hostile.into();
        caller.user_agent = Some(hostile.into());
        caller.policy = Some(hostile.into());
    }
    for limited in &mut report.limited {
        limited.peer = hostile.into();
    }
    for harvest in &mut report.harvests {
        harvest.peer = hostile.into();
        harvest.range = Some((hostile.into(), hostile.into()));
    }
    for sample in &mut report.input.unreadable_samples {
        sample.text = hostile.into();
        sample.file = hostile.into();
    }
    report.input.notes.push(hostile.into());
    for text in [render(&report, &PLAIN), live(&report, Recent::default(), &PLAIN, 50)] {
        assert!(text.contains("u{1b}"), "escaped, not dropped");
        assert!(text.chars().all(|c| c == '\n' || !c.is_control()), "{text:?}");
        assert!(!text.contains(['\u{202e}', '\u{200b}', '漢']), "{text:?}");
    }
}

#[test]
fn the_live_view_has_no_more_lines_than_the_screen() {
    for height in [10, 24, 50] {
        let text = live(&sample::report(), RECENT, &PLAIN, height);
        assert!(text.lines().count() <= height, "{text}");
        assert!(text.ends_with("Ctrl-C ends it\n"));
        assert!(
            text.contains("In the last 1 min: 1,200 requests, 3 refused, XiVO failed 0"),
            "{text}"
        );
    }
}

#[test]
fn an_empty_log_says_so() {
    let text = render(&sample::empty(), &PLAIN);
    assert!(text.contains("There is no request in what was read."), "{text}");
    assert!(!text.contains("What needs you"));
    let mut report = sample::empty();
    report.input.filtered = 7;
    report.silent = sample::report().silent;
    report.findings = crate::report::build::findings::of(&report);
    report.input.findings = vec!["1 file could not be read".to_owned()];
    let text = render(&report, &PLAIN);
    assert!(
        text.contains("None of the requests that were read is among those asked for."),
        "{text}"
    );
    let (_, needs) = text.split_once("What needs you").unwrap();
    let at = |part: &str| needs.find(part).unwrap_or_else(|| panic!("{part}: {text}"));
    assert!(at("1 file could not be read") < at(&report.silent[0].peer), "{text}");
}

const RECENT: Recent = Recent { seconds: 60, requests: 1200, refused: 3, failed: 0 };
const PLAIN: Screen = Screen { width: 80, colour: false, unicode: true, all: false };
