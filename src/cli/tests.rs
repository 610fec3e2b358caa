use std::os::unix::ffi::OsStringExt;
use std::path::Path;

use super::*;
use crate::config::DEFAULT_FILE;

/// The words of a command line, the program's name first.
fn words(line: &str) -> Vec<OsString> {
    std::iter::once(NAME).chain(line.split_whitespace()).map(OsString::from).collect()
}

fn parse(line: &str) -> Result<Asked, String> {
    read(&words(line)).map_err(|misuse| misuse.to_string())
}

/// What is run, and with which configuration.
fn asked(line: &str) -> (CommandLine, ConfigFile) {
    match parse(line) {
        Ok(Asked::Run(command, config)) => (*command, config),
        Ok(Asked::Help(text)) => panic!("{line}: {text}"),
        Err(error) => panic!("{line}: {error}"),
    }
}

fn help(line: &str) -> String {
    match parse(line) {
        Ok(Asked::Help(text)) => text,
        Ok(Asked::Run(command, _)) => panic!("{line}: {command:?}"),
        Err(error) => panic!("{line}: {error}"),
    }
}

/// Each command that is shown, with those that it is below of.
fn commands() -> Vec<clap::Command> {
    fn below(command: &clap::Command, found: &mut Vec<clap::Command>) {
        found.push(command.clone());
        command.get_subcommands().for_each(|command| below(command, found));
    }
    let mut found = Vec::new();
    below(&usage::command(&[]), &mut found);
    found
}

#[test]
fn the_description_contradicts_itself_nowhere() {
    description().debug_assert();
}

#[test]
fn the_configuration_is_named_before_or_behind_the_command() {
    for line in [
        "--config a.toml check",
        "check --config a.toml",
        "check --config=a.toml",
        "check -ca.toml",
        "-t -c a.toml",
        "-c a.toml -t",
        "-tc a.toml",
        "-T -c a.toml",
        "-c a.toml -T",
        "-c a.toml check -c a.toml",
        "serve -c a.toml",
        "-c a.toml explain --from ::1 /",
        "explain -c a.toml --from ::1 /",
        "certs -c a.toml show",
        "certs show -c a.toml",
        "-c a.toml certs show",
        "-c a.toml report",
        "report -c a.toml",
        "probe -c a.toml",
        "-c a.toml -v",
        "version -c a.toml",
        "help -c a.toml check",
        "completions -c a.toml bash",
    ] {
        assert_eq!(asked(line).1.given(), Some(Path::new("a.toml")), "{line}");
    }
    let (_, config) = asked("serve");
    assert_eq!((config.path(), config.given()), (Path::new(DEFAULT_FILE), None));
    for line in ["-c a check -c b", "-c a -c b check", "check -c a -c b", "certs -c a show -c b"] {
        let error = parse(line).err().unwrap();
        assert!(error.contains("given twice, as `a` and as `b`"), "{line}: {error}");
    }
}

#[test]
fn nginxs_letters_are_a_check() {
    for (line, dump, quiet, strict) in [
        ("check", false, false, false),
        ("-t", false, false, false),
        ("-t -q", false, true, false),
        ("-tq", false, true, false),
        ("-q -t", false, true, false),
        ("-t --strict", false, false, true),
        ("-T", true, false, false),
        ("-Tq", true, true, false),
        ("-q -T", true, true, false),
        ("-t -T", true, false, false),
        ("-T -t", true, false, false),
        ("-tT", true, false, false),
        ("-t -t", false, false, false),
        ("-T check --strict", true, false, true),
        ("check -T", true, false, false),
        ("check --dump -q -q", true, true, false),
    ] {
        let command = asked(line).0.asked();
        let Ok(Command::Check(options)) = command else { panic!("{line}: {command:?}") };
        assert_eq!((options.dump, options.quiet, options.strict), (dump, quiet, strict), "{line}");
    }
    for line in ["-T serve", "-q serve", "-q"] {
        assert!(asked(line).0.asked().is_err(), "{line}");
    }
}

#[test]
fn every_command_has_help_that_fits_a_terminal() {
    for command in commands() {
        let name = command.get_bin_name().unwrap();
        let line = name.split_once(' ').map_or("", |(_, names)| names);
        for flag in ["-h", "--help", "-?"] {
            let text = help(&format!("{line} {flag}"));
            assert!(text.contains(&format!("Usage: {name}")), "{text}");
            assert!(text.contains("Exit codes: 0 "), "{text}");
            assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
            assert!(!text.contains('\x1b'), "{text}");
        }
    }
    let text = help("-h");
    for command in ["serve", "check, -t", "certs", "report", "completions", "help"] {
        assert!(text.contains(&format!("\n  {command} ")), "{command}: {text}");
    }
    assert!(!text.contains("\n  man "), "{text}");
}

#[test]
fn every_option_says_what_it_does_and_every_word_of_a_default_is_one() {
    for command in commands() {
        for argument in command.get_arguments().filter(|argument| !argument.is_hide_set()) {
            let help = argument.get_help().map(ToString::to_string).unwrap_or_default();
            assert!(help.len() > 8, "{}: {argument}", command.get_name());
            assert!(!help.ends_with('.'), "{}: {argument}: {help}", command.get_name());
        }
    }
}

#[test]
fn what_is_unknown_names_the_nearest_and_the_commands_usage() {
    for (line, usage, part) in MISTAKES {
        let error = misuse(line);
        assert!(error.contains(part), "{line}: {error}");
        let name = format!("{NAME} {usage}");
        let name = name.trim_end();
        assert!(error.contains(&format!("\nUsage: {name} ")), "{line}: {error}");
        assert!(error.ends_with(&format!("\nTry `{name} --help`.")), "{line}: {error}");
    }
}

/// What is said of a command line that cannot be.
fn misuse(line: &str) -> String {
    let line_of = match parse(line) {
        Ok(Asked::Run(line, _)) => line,
        Ok(Asked::Help(text)) => panic!("{line}: {text}"),
        Err(error) => return error,
    };
    match line_of.asked() {
        Err(misuse) => misuse.to_string(),
        Ok(Command::Help(options)) => help::command(&options).unwrap_err().to_string(),
        Ok(command) => panic!("{line}: {command:?}"),
    }
}

#[test]
fn what_is_not_utf_8_is_told_and_no_terminal_obeys_what_is_told() {
    for (word, part) in [
        (&b"caf\xe9"[..], "there is no command `caf\u{fffd}`"),
        (b"--caf\xe9", "unknown option `--caf\u{fffd}`"),
        (b"-\xe9", "unknown option `-\u{fffd}`"),
        (b"\x1b[31m", "there is no command `\\x1B[31m`"),
        (b"--\x1b[31m", "unknown option `--\\x1B[31m`"),
    ] {
        let words = [NAME.into(), OsString::from_vec(word.to_vec())];
        let error = read(&words).err().unwrap().to_string();
        assert!(error.contains(part), "{error}");
    }
    let word = |bytes: &[u8]| OsString::from_vec(bytes.to_vec());
    let words = ["report", "--peer"].map(OsString::from).to_vec();
    let words = [vec![NAME.into()], words, vec![word(b"caf\xe9")]].concat();
    let error = read(&words).err().unwrap().to_string();
    assert!(error.contains("`caf\u{fffd}` is not UTF-8, and has to be"), "{error}");
    assert!(error.contains("\nUsage: phonebook-gateway report "), "{error}");
    // Files and the bytes of a request may be anything.
    let words = [NAME.into(), "report".into(), word(b"caf\xe9.log")];
    assert!(matches!(read(&words), Ok(Asked::Run(..))));
    let words = ["explain", "--from", "::1", "-H"].map(OsString::from).to_vec();
    let words = [vec![NAME.into()], words, vec![word(b"A: \xe9"), word(b"/\xe9")]].concat();
    assert!(matches!(read(&words), Ok(Asked::Run(..))));
}

#[test]
fn files_that_look_like_options_have_a_spelling() {
    for line in ["report ./-x", "report -- -x --json", "report --html=-x", "report --html -"] {
        let (command, _) = asked(line);
        assert!(matches!(command.asked(), Ok(Command::Report(_))), "{line}");
    }
}

#[test]
fn the_version_has_the_commit_and_the_profile() {
    let (begin, rest) = version::LINE.split_once(" (commit ").unwrap();
    assert_eq!(begin, concat!("phonebook-gateway ", env!("CARGO_PKG_VERSION")));
    let (commit, profile) = rest.split_once(", ").unwrap();
    let digits = commit.trim_end_matches(" with changes");
    let is_commit = digits.len() == 12 && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    assert!(is_commit || commit == "unknown" || option_env!("PHONEBOOK_GATEWAY_COMMIT").is_some());
    let expected = if cfg!(debug_assertions) { "debug build)\n" } else { "release build)\n" };
    assert_eq!(profile, expected);
    assert!(version::in_full().starts_with(version::LINE));
    assert!(version::in_full().contains("\nbuilt by rustc "), "{}", version::in_full());
}

/// Command lines that cannot be, the command whose usage is shown, and a part of what is said.
const MISTAKES: &[(&str, &str, &str)] = &[
    ("chekc", "", "there is no command `chekc`; did you mean `check`?"),
    ("Serve", "", "did you mean `serve`?"),
    (
        "frobnicate",
        "",
        "known are `serve`, `check`, `explain`, `demo`, `certs`, `probe`, `report`, `ctl`, `completions`, `version` and `help`",
    ),
    ("", "", "which command? Known are `serve`"),
    ("ctl", "ctl", "which ctl command? Known are `status`"),
    ("ctl stauts", "ctl", "there is no `ctl stauts`; did you mean `ctl status`?"),
    ("ctl disable", "ctl disable", "`NAME` is missing: the peer"),
    ("ctl disable lyon --for 2", "ctl disable", "`--for`: \"2\" has no unit"),
    ("ctl disable lyon --for 1500ms", "ctl disable", "no whole number of seconds"),
    ("ctl status lyon", "ctl status", "unexpected argument `lyon`"),
    ("ctl status --why x", "ctl status", "unknown option `--why`; known are"),
    ("ctl log-level loud", "ctl log-level", "there is no `loud`; known are `error`"),
    ("doctor", "", "`doctor` is not available in this version"),
    ("--cnofig a", "", "unknown option `--cnofig`; did you mean `--config`?"),
    ("--strict check", "", "unknown option `--strict`; it goes behind `check`"),
    ("-x", "", "unknown option `-x`"),
    ("-T serve", "", "`-T` goes with `check` and `-t` alone"),
    ("help chekc", "help", "did you mean `check`?"),
    ("help certs shwo", "help", "there is no `certs shwo`; did you mean `certs show`?"),
    ("help check x", "help", "there is no `check x`; `check` has none below it"),
    ("check --srtict", "check", "did you mean `--strict`?"),
    ("check --STRICT", "check", "did you mean `--strict`?"),
    ("-t --srtict", "check", "did you mean `--strict`?"),
    ("serve --colour", "serve", "known are `--log-format`, `--config` and `--help`"),
    ("serve --log-format jsno", "serve", "there is no `jsno`; did you mean `json`?"),
    ("serve --log-format xml", "serve", "known are `text` and `json`"),
    ("serve --log-format", "serve", "`--log-format` needs a FORM, and none is given"),
    ("serve --log-format=", "serve", "`--log-format` needs a FORM, and none is given"),
    ("check -c", "check", "`--config` needs a FILE, and none is given; one whose name begins"),
    ("check -c --strict", "check", "is written `./-…`"),
    ("check --json=yes", "check", "`--json` takes no value, and `yes` is given"),
    ("check --json -T", "check", "exclude each other"),
    ("check more", "check", "unexpected argument `more`: `phonebook-gateway check` takes none"),
    ("demo -x", "demo", "unknown option `-x`"),
    ("demo --listen 0.0.0.0:9480", "demo", "`--listen`: the demo serves this machine alone"),
    ("demo --listen 9480", "demo", "`9480` is not an address with a port"),
    ("probe --from lyon", "probe", "`--from`: `lyon` is not an IPv4 or IPv6 address"),
    ("probe --pni", "probe", "did you mean `--pin`?"),
    ("probe a b", "probe", "unexpected argument `b`"),
    ("explain /x", "explain", "`--from ADDRESS|PEER` is missing: whom the connection comes from"),
    ("explain --peer lyon /x", "explain", "unknown option `--peer`; known are `--from`"),
    ("explain --from ::1 --listen 9480 /x", "explain", "`9480` is not an address with a port"),
    ("explain --from ::1 -H Host /x", "explain", "`--header`: `Host` is no `Name: value`"),
    ("explain --from ::1 -H --json /x", "explain", "`--json` is no `Name: value`"),
    (
        "explain --from ::1 GET / /",
        "explain",
        "unexpected argument `/`: `phonebook-gateway explain` takes nothing more",
    ),
    ("explain --from ::1 --from ::2 /", "explain", "`--from` is given more than once"),
    ("certs", "certs", "which certs command? Known are `init`, `server`, `peer` and `show`"),
    ("certs shwo", "certs", "there is no `certs shwo`; did you mean `certs show`?"),
    ("certs init lyon", "certs init", "unexpected argument `lyon`"),
    ("certs init --days 0", "certs init", "`--days`: `0` is no whole number from 1 to 36500"),
    ("certs init --days +5", "certs init", "`+5` is no whole number from 1 to 36500"),
    ("certs init --json", "certs init", "unknown option `--json`; known are"),
    ("certs init --name ", "certs init", "`--name` needs a TEXT, and none is given"),
    ("certs peer --name x lyon", "certs peer", "unknown option `--name`"),
    ("certs server", "certs server", "`NAME` is missing: the host names and addresses"),
    ("certs server *.example.org", "certs server", "no wildcards"),
    ("certs server 10.1", "certs server", "abbreviated"),
    ("certs server 192.0.2.0/24", "certs server", "no host name and no address"),
    ("certs server https://a.example.org", "certs server", "no host name and no address"),
    ("certs server ../a", "certs server", "no host name"),
    ("certs server CA", "certs server", "the authority's own name"),
    ("certs peer", "certs peer", "`NAME` is missing: the peer"),
    ("certs peer a b", "certs peer", "unexpected argument `b`"),
    ("certs peer Lyon", "certs peer", "`Lyon` is no peer's name"),
    ("certs peer ../lyon", "certs peer", "no peer's name"),
    ("certs peer ca", "certs peer", "the authority's own name"),
    ("certs show -x", "certs show", "a file of this name is written `./-x`"),
    ("report -x", "report", "unknown option `-x`; a file of this name is written `./-x`"),
    ("report --jsno", "report", "did you mean `--json`?; a file of this name"),
    ("report --html --json", "report", "`--html` needs a FILE, and none is given; one whose"),
    ("report --reason rate-limit", "report", "did you mean `rate-limited`?"),
    ("report --peer a,,b", "report", "nothing stands between two commas"),
    ("report --peer=", "report", "`--peer`"),
    ("report --follow --json", "report", "exclude each other"),
    ("report --threads 0", "report", "`0` is no whole number from 1 to 256"),
    ("report --since -5m", "report", "unknown option `-5`; a file of this name is written `./-5m`"),
    ("report -fx.log", "report", "unknown option `-x`; a file of this name is written `./-fx.log`"),
    ("completions powershell", "completions", "known are `bash`, `zsh` and `fish`"),
    ("completions bsah", "completions", "did you mean `bash`?"),
];

#[test]
fn json_holds_nothing_that_a_terminal_obeys() {
    let text = json_text(&"a\u{1b}[2J\u{7f}\u{9b}31m\u{202e}\u{2066}é\u{200f}").unwrap();
    assert_eq!(text, "\"a\\u001b[2J\\u007f\\u009b31m\\u202e\\u2066é\\u200f\"\n");
    let back: String = serde_json::from_str(&text).unwrap();
    assert_eq!(back, "a\u{1b}[2J\u{7f}\u{9b}31m\u{202e}\u{2066}é\u{200f}");
}
