//! The command line as a whole: help, versions, completions, manual pages, and what is said of mistakes.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    os::unix::ffi::OsStrExt,
    path::Path,
    process::{Command, Stdio},
};

use crate::support::{
    needs::{or_left_out, program},
    program::{Site, command, run},
};

const MAIN: &str = r#"[[listen]]
address = "[::]:9480"

[upstream]
url = "http://127.0.0.1:80"
source = "192.168.1.125"
"#;

/// Those below `ctl`.
const CTL: [&str; 17] = [
    "status",
    "peers",
    "disable",
    "enable",
    "reset",
    "names",
    "certs",
    "connections",
    "errors",
    "log-level",
    "top",
    "reload",
    "history",
    "rollback",
    "reopen",
    "drain",
    "stop",
];

const COMMANDS: [&str; 11] = [
    "serve",
    "check",
    "explain",
    "demo",
    "certs",
    "probe",
    "report",
    "ctl",
    "completions",
    "version",
    "help",
];

#[test]
fn help_is_printed_in_every_spelling_and_is_the_same() {
    let here = Path::new("/");
    let whole = run(here, &["--help"]);
    assert_eq!((whole.code, whole.stderr.as_str()), (Some(0), ""));
    for words in [&["-h"][..], &["help"], &["-?"]] {
        assert_eq!(run(here, words).stdout, whole.stdout, "{words:?}");
    }
    for command in COMMANDS {
        assert!(whole.stdout.contains(&format!("\n  {command}")), "{}", whole.stdout);
        let help = run(here, &[command, "--help"]);
        assert_eq!((help.code, help.stderr.as_str()), (Some(0), ""), "{command}");
        assert!(help.stdout.contains(&format!("Usage: phonebook-gateway {command}")));
        for words in [&[command, "-h"][..], &["help", command], &["-c", "x", command, "-h"]] {
            assert_eq!(run(here, words).stdout, help.stdout, "{words:?}");
        }
    }
    let show = run(here, &["help", "certs", "show"]);
    assert_eq!(run(here, &["certs", "show", "--help"]).stdout, show.stdout);
    assert!(show.stdout.contains("Usage: phonebook-gateway certs show [OPTIONS] [FILE]..."));
}

#[test]
fn mistakes_go_to_standard_error_with_2_and_the_commands_usage() {
    for (words, usage, part) in [
        (&["chekc"][..], "[-c FILE] COMMAND", "did you mean `check`?"),
        (&[], "[-c FILE] COMMAND", "which command?"),
        (&["doctor", "--help"], "[-c FILE] COMMAND", "`doctor` is not available in this version"),
        (&["check", "--srtict"], "check [OPTIONS]", "did you mean `--strict`?"),
        (&["report", "--jsno"], "report [OPTIONS] [FILE]...", "did you mean `--json`?"),
        (&["report", "-x"], "report [OPTIONS] [FILE]...", "is written `./-x`"),
        (
            &["report", "--since", "soon"],
            "report [OPTIONS] [FILE]...",
            "`soon` is no time; allowed:",
        ),
        (
            &["report", "--since", "2026-11-02", "--until", "2026-11-01", "-"],
            "report [OPTIONS] [FILE]...",
            "is not before --until",
        ),
        (&["report", "--status", "4x", "-"], "report [OPTIONS]", "`4x` is no status"),
        (&["report", "--status", "!4xx,200", "-"], "report", "before all statuses or before none"),
        (&["report", "--follow", "-"], "report", "cannot follow the standard input"),
        (&["report", "-", "-"], "report", "can be read once"),
        (&["report", "--json", "--html", "-", "-"], "report", "give --html a file"),
        (&["certs", "new"], "certs [OPTIONS] <COMMAND>", "there is no `certs new`"),
        (&["certs", "show", "--directory", "x", "a.pem"], "certs show", "not both"),
        (
            &["explain", "/x"],
            "explain [OPTIONS] --from <ADDRESS|PEER> [[METHOD] URL]",
            "is missing",
        ),
        (&["explain", "--from", "::1", "GET", "/x", "y"], "explain", "unexpected argument `y`"),
        (&["probe", "https://xivo"], "probe [OPTIONS] [URL]", "--pin"),
        (&["-c", "a", "demo"], "demo [OPTIONS]", "brings its own configuration"),
        (&["demo", "-c", "a"], "demo [OPTIONS]", "brings its own configuration"),
        (&["-c", "a", "check", "-c", "b"], "check [OPTIONS]", "given twice, as `a` and as `b`"),
        (&["-T", "serve"], "[-c FILE] COMMAND", "`-T` goes with `check` and `-t` alone"),
        (&["help", "chekc"], "help", "did you mean `check`?"),
    ] {
        let run = run(Path::new("/"), words);
        assert_eq!((run.code, run.stdout.as_str()), (Some(2), ""), "{words:?}");
        assert!(run.stderr.starts_with("phonebook-gateway: "), "{words:?}: {}", run.stderr);
        assert!(run.stderr.contains(part), "{words:?}: {}", run.stderr);
        let usage = format!("\nUsage: phonebook-gateway {usage}");
        assert!(run.stderr.contains(&usage), "{words:?}: {}", run.stderr);
        assert!(run.stderr.ends_with(" --help`.\n"), "{words:?}: {}", run.stderr);
    }
}

#[test]
fn the_version_is_printed_in_every_spelling() {
    let line = run(Path::new("/"), &["--version"]);
    let begin = concat!("phonebook-gateway ", env!("CARGO_PKG_VERSION"), " (commit ");
    assert!(line.code == Some(0) && line.stdout.starts_with(begin), "{line:?}");
    assert!(line.stdout.ends_with(" build)\n") && line.stderr.is_empty(), "{line:?}");
    for words in [&["-v"][..], &["version"], &["-c", "x", "-v"], &["-v", "-c", "x"]] {
        let run = run(Path::new("/"), words);
        assert_eq!((run.code, run.stdout.as_str()), (Some(0), line.stdout.as_str()), "{words:?}");
    }
    let full = run(Path::new("/"), &["-V"]);
    let rest = full.stdout.strip_prefix(&line.stdout).unwrap();
    assert!(full.code == Some(0) && rest.starts_with("built by rustc "), "{full:?}");
}

#[test]
fn a_reader_that_has_seen_enough_is_no_failure_and_a_full_disk_is_one() {
    for words in [&["--help"][..], &["-V"], &["help", "report"], &["completions", "bash"]] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let gone = command().args(words).stdout(writer).stderr(Stdio::piped()).output().unwrap();
        assert_eq!((gone.status.code(), gone.stderr.as_slice()), (Some(0), &[][..]), "{words:?}");
        let full = File::options().write(true).open("/dev/full").unwrap();
        let full = command().args(words).stdout(full).stderr(Stdio::piped()).output().unwrap();
        assert_eq!(full.status.code(), Some(3), "{words:?}");
        assert!(full.stderr.starts_with(b"phonebook-gateway: cannot write to standard output: "));
    }
}

#[test]
fn words_that_are_not_utf_8_are_told_and_files_may_be_such() {
    let word = std::ffi::OsStr::from_bytes(b"caf\xe9");
    let run = |words: &[&str]| command().args(words).arg(word).output().unwrap();
    for words in [&[][..], &["report", "--peer"], &["serve", "--log-format"], &["help"]] {
        let output = run(words);
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0), "{words:?}");
        assert!(stderr.contains("caf\u{fffd}") && stderr.contains("\nUsage: "), "{stderr}");
    }
    for words in [&["-t", "-c"][..], &["check", "--config"]] {
        let output = run(words);
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{words:?}: {stderr}");
        assert!(stderr.contains("caf\u{fffd} cannot be read"), "{stderr}");
    }
}

#[test]
fn a_misspelt_peer_is_told_from_one_that_had_a_policy() {
    let peer = "hosts = [\"192.0.2.1\"]\n";
    let other = "hosts = [\"192.0.2.2\"]\n";
    let site = Site::new(MAIN, &[("bordeaux", peer), ("lyon", other)]);
    let directory = site.main_file();
    let directory = directory.parent().unwrap();
    let line = |peer: &str| {
        format!(
            "192.0.2.1 - {peer} [23/Nov/2026:03:50:01 +0000] \"GET /?act=search HTTP/1.1\" 200 2 \"-\" \"-\"\n"
        )
    };
    fs::write(directory.join("a.log"), line("bordeaux") + &line("former")).unwrap();
    let report = |words: &[&str]| {
        let before = ["report", "-c", "gateway.toml", "--plain"];
        site.run(&[&before, words, &["a.log"]].concat())
    };
    for known in ["bordeaux", "lyon", "former", "-", "192.0.2.9", "bordeaux,lyon"] {
        assert_eq!(report(&["--peer", known]).code, Some(0), "{known}");
    }
    for (unknown, part) in [
        (
            "bordo",
            "no policy is called `bordo`, and no line that counts is of such a peer; did you mean `bordeaux`?",
        ),
        ("bordeaux,lion", "did you mean `lyon`?"),
        ("zzz", "the configuration has `bordeaux` and `lyon`"),
    ] {
        let run = report(&["--peer", unknown]);
        assert_eq!((run.code, run.stdout.as_str()), (Some(2), ""), "{run:?}");
        assert!(run.stderr.contains(part), "{run:?}");
        assert!(run.stderr.contains("\nUsage: phonebook-gateway report "), "{run:?}");
    }
    // Without a configuration nobody knows which peers there are.
    let alone = run(directory, &["report", "--plain", "--peer", "bordo", "a.log"]);
    assert!(alone.code == Some(0) || Path::new("/etc/phonebook-gateway").exists(), "{alone:?}");
}

#[test]
fn shells_take_the_completions_and_bash_completes_by_them() {
    let directory = tempfile::tempdir().unwrap();
    for shell in ["bash", "zsh", "fish"] {
        let run = run(directory.path(), &["completions", shell]);
        assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""), "{shell}");
        for command in COMMANDS {
            assert!(run.stdout.contains(command), "{shell}: {command}");
        }
        let file = directory.path().join(shell);
        fs::write(&file, &run.stdout).unwrap();
        let Some(shell) = or_left_out(program(shell, shell)) else { continue };
        let read = Command::new(shell).arg("-n").arg(&file).output().unwrap();
        assert!(read.status.success() && read.stderr.is_empty(), "{read:?}");
    }
    for (words, expected) in [
        ("che", "check"),
        ("expl", "explain"),
        ("check --st", "--strict"),
        ("certs sh", "show"),
        ("serve --log-f", "--log-format"),
    ] {
        let script = format!(
            "source ./bash; COMP_WORDS=(phonebook-gateway {words}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))
             last=${{COMP_WORDS[COMP_CWORD]}}; before=${{COMP_WORDS[COMP_CWORD - 1]}}
             set -- $(complete -p phonebook-gateway); while [[ $1 != -F ]]; do shift; done
             \"$2\" phonebook-gateway \"$last\" \"$before\"; echo \"${{COMPREPLY[*]}}\""
        );
        let Some(bash) = or_left_out(program("bash", "bash")) else { return };
        let run = Command::new(bash)
            .arg("-c")
            .arg(script)
            .current_dir(directory.path())
            .output()
            .unwrap();
        let completed = String::from_utf8(run.stdout).unwrap();
        assert_eq!(completed.trim(), expected, "{words}: {:?}", String::from_utf8(run.stderr));
    }
}

#[test]
fn there_is_a_manual_page_for_each_command_and_it_says_what_the_help_says() {
    let directory = tempfile::tempdir().unwrap();
    let made = run(directory.path(), &["man", "."]);
    assert_eq!((made.code, made.stdout.as_str(), made.stderr.as_str()), (Some(0), "", ""));
    let entries = directory.path().read_dir().unwrap();
    let found: BTreeSet<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    let certs = ["init", "server", "peer", "show"].map(|name| format!("certs-{name}"));
    let ctl = CTL.map(|name| format!("ctl-{name}"));
    let commands = COMMANDS.map(str::to_owned).into_iter().chain(certs).chain(ctl);
    let expected = commands.map(|name| format!("phonebook-gateway-{name}.1"));
    let expected = expected.chain(["phonebook-gateway.1".to_owned()]).collect();
    assert_eq!(found, expected);
    for name in found {
        let page = fs::read_to_string(directory.path().join(&name)).unwrap();
        assert!(page.contains("\n.SH NAME\n") && page.contains("Exit codes: 0"), "{name}: {page}");
        let Some(groff) = or_left_out(program("groff", "groff")) else { continue };
        let mut groff = Command::new(groff);
        groff.args(["-man", "-Tutf8", "-ww", "-rLL=72n", &name]);
        let shown = groff.current_dir(directory.path()).output().unwrap();
        assert!(shown.status.success() && shown.stderr.is_empty(), "{name}: {shown:?}");
    }
    let page = fs::read_to_string(directory.path().join("phonebook-gateway-report.1")).unwrap();
    let help = run(directory.path(), &["report", "--help"]).stdout;
    let options = help.split_whitespace().filter_map(|word| word.strip_prefix("--"));
    let options = options.filter(|word| word.bytes().all(|b| b.is_ascii_lowercase() || b == b'-'));
    for option in options {
        let written = option.replace('-', "\\-");
        assert!(page.contains(&format!("\\-\\-{written}")), "--{option}: {page}");
    }
    let none = run(directory.path(), &["man", "nowhere"]);
    assert!(none.code == Some(3) && none.stderr.contains("cannot be written"), "{none:?}");
}
