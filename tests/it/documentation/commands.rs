//! Configurations that pages show are accepted, commands that they show exist, and what those print is what is shown.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use super::{
    page::{Block, Page, pages, repository},
    shown::is_shown,
};
use crate::support::{
    network::in_own_network,
    program::{Run, Site, run},
};

const LISTEN: &str = "[[listen]]\naddress = \"[::]:9480\"\n";
const UPSTREAM: &str = "[upstream]\nurl = \"http://127.0.0.1:80\"\nsource = \"192.168.1.125\"\n";

/// Where pages have their configuration.
const DIRECTORY: &str = "/etc/phonebook-gateway/";

/// A configuration of a page: its files, and the commands that are shown with them.
struct Example {
    main: String,
    policies: BTreeMap<String, String>,
    commands: Vec<(String, String)>,
    place: String,
}

impl Example {
    fn new(main: String, place: String) -> Self {
        Self { main, policies: BTreeMap::new(), commands: Vec::new(), place }
    }

    fn site(&self) -> Site {
        let policies: Vec<(&str, &str)> =
            self.policies.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
        let site = Site::new(&complete(&self.main), &policies);
        let directory = site.main_file().parent().unwrap().to_owned();
        fs::create_dir(directory.join("certs")).unwrap();
        if self.main.contains("certs/") {
            // What the pages name, made as they say.
            for words in [
                &["certs", "init"][..],
                &["certs", "server", "gateway.example.org", "192.168.1.125"],
                &["certs", "peer", "lyon"],
            ] {
                let run = site.run(&[words, &["--directory", "certs"]].concat());
                assert_eq!(run.code, Some(0), "{run:?}");
            }
        }
        site
    }

    /// Runs a shown command, with this configuration in its place.
    fn run(&self, command: &str) -> String {
        let site = self.site();
        let file = site.main_file();
        let mut words = words(command);
        assert_eq!(words.remove(0), "phonebook-gateway", "{}: {command}", self.place);
        if words.first().is_some_and(|command| command == "check") {
            // What it says of the host differs from host to host.
            words.push("--offline".to_owned());
        }
        words.extend(["--config".to_owned(), file.to_str().unwrap().to_owned()]);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let Run { stdout, stderr, .. } = site.run(&words);
        let here = format!("{}/", file.parent().unwrap().display());
        format!("{stdout}{stderr}").replace(&here, DIRECTORY)
    }
}

/// A main file with the sections that it lacks.
fn complete(main: &str) -> String {
    let mut main = main.to_owned();
    for (header, text) in [("[[listen]]", LISTEN), ("[upstream]", UPSTREAM)] {
        if !main.contains(header) {
            main = format!("{main}\n{text}");
        }
    }
    main
}

/// The words of a command line, as far as a shell's single quotes go.
fn words(command: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    for (at, piece) in command.split('\'').enumerate() {
        if at % 2 == 1 {
            words.last_mut().unwrap().push_str(piece);
            continue;
        }
        let mut parts = piece.split(' ');
        words.last_mut().unwrap().push_str(parts.next().unwrap_or_default());
        words.extend(parts.map(str::to_owned));
    }
    words.retain(|word| !word.is_empty());
    words
}

/// The page's configurations. A new main file begins a new one; a policy without one stands beside the smallest.
fn examples(page: &Page) -> Vec<Example> {
    let mut found: Vec<Example> = Vec::new();
    let needs_tls = |block: &Block| block.text.contains("[certificate]");
    for block in page.blocks() {
        let place = format!("{}:{}", page.name, block.line);
        match (block.language.as_str(), block.label.as_str()) {
            ("toml", "gateway.toml") => found.push(Example::new(block.text, place)),
            ("toml", label) if label.starts_with("policies/") => {
                let name = label.trim_start_matches("policies/").trim_end_matches(".toml");
                let fresh = match found.last() {
                    None => true,
                    Some(last) => last.policies.contains_key(name),
                };
                if fresh {
                    found.push(Example::new(String::new(), place));
                }
                let last = found.last_mut().unwrap();
                if needs_tls(&block) {
                    last.main = TLS.to_owned();
                }
                last.policies.insert(name.to_owned(), block.text);
            }
            ("toml", "") => found.push(Example::new(block.text, place)),
            ("console", "") => {
                let last = found.last_mut().unwrap_or_else(|| panic!("{place}: no configuration"));
                last.commands.extend(commands(&block.text));
            }
            _ => {}
        }
    }
    found
}

const TLS: &str = "[[listen]]\naddress = \"[::]:9443\"\ntls = { certificate = \"certs/gateway.example.org.pem\", \
                   private_key = \"certs/gateway.example.org.key\", client_ca = \"certs/ca.pem\" }\n";

/// The commands of a `console` block, each with what it is said to print.
pub(super) fn commands(text: &str) -> Vec<(String, String)> {
    let mut found: Vec<(String, String)> = Vec::new();
    for line in text.lines() {
        match (line.strip_prefix("$ "), found.last_mut()) {
            (Some(command), _) => found.push((command.to_owned(), String::new())),
            (None, Some((_, printed))) => *printed += &format!("{line}\n"),
            (None, None) => panic!("no command stands before {line:?}"),
        }
    }
    found
}

/// Runs the shown commands that `is_wanted`, and says which print something else than is shown, and the number of those run.
fn compare(is_wanted: impl Fn(&str) -> bool) -> (Vec<String>, usize) {
    let mut count = 0;
    let mut wrong = Vec::new();
    for page in pages() {
        for example in examples(&page) {
            for (command, shown) in example.commands.iter().filter(|(it, _)| is_wanted(it)) {
                let printed = example.run(command);
                if !is_shown(shown, &printed) {
                    wrong.push(format!("{}: $ {command}\n{printed}", example.place));
                }
                count += 1;
            }
        }
    }
    (wrong, count)
}

/// Whether a command looks at this host's addresses.
fn is_of_this_host(command: &str) -> bool {
    command.starts_with("phonebook-gateway serve")
}

#[test]
fn shown_commands_print_what_is_shown() {
    let (wrong, count) = compare(|command| !is_of_this_host(command));
    assert!(wrong.is_empty(), "these print something else than is shown:\n{}", wrong.join("\n"));
    assert!(count >= 4, "{count} commands");
}

#[test]
fn shown_commands_print_what_is_shown_on_the_host_of_the_pages() {
    in_own_network(
        "documentation::commands::shown_commands_print_what_is_shown_on_the_host_of_the_pages",
        || {
            let (wrong, count) = compare(is_of_this_host);
            assert!(wrong.is_empty(), "something else than is shown:\n{}", wrong.join("\n"));
            assert!(count >= 1, "{count} commands");
        },
    );
}

#[test]
fn shown_configurations_are_valid() {
    let mut count = 0;
    for page in pages() {
        for example in examples(&page) {
            // Some show what is refused, and then say so; of what only a host refuses the files are good.
            let shows_errors = example
                .commands
                .iter()
                .any(|(command, printed)| printed.contains("error: ") && !is_of_this_host(command));
            let run = example.site().run(&["check", "--offline", "--config", "gateway.toml"]);
            let expected = if shows_errors { 1 } else { 0 };
            assert_eq!(run.code, Some(expected), "{}: {}", example.place, run.stderr);
            count += 1;
        }
    }
    assert!(count >= 10, "{count} configurations");
}

/// What a line calls the program for: its command, and the options.
struct Call {
    place: String,
    command: Vec<String>,
    options: Vec<String>,
}

/// Calls of the program in a line of shell.
fn calls(line: &str, place: &str) -> Vec<Call> {
    let line = line.split(" #").next().unwrap_or_default();
    let mut found = Vec::new();
    for part in line.split(['|', '&', ';']) {
        let words = words(part.trim().trim_start_matches("$ "));
        let Some((program, rest)) = words.split_first() else { continue };
        if program != "phonebook-gateway" {
            continue;
        }
        let is_option = |word: &&String| word.starts_with('-') && word.len() > 1;
        let options: Vec<String> = rest.iter().filter(is_option).cloned().collect();
        let mut command: Vec<String> =
            rest.iter().take_while(|word| !word.starts_with('-')).cloned().collect();
        // Of `certs` and `ctl` the second word is a command, too.
        let is_outer = |word: &String| matches!(word.as_str(), "certs" | "ctl");
        let depth = if command.first().is_some_and(is_outer) { 2 } else { 1 };
        command.truncate(depth);
        found.push(Call { place: place.to_owned(), command, options });
    }
    found
}

fn all_calls() -> Vec<Call> {
    let mut found = Vec::new();
    for page in pages().iter().filter(|page| page.name != "CHANGELOG.md") {
        for block in page.blocks() {
            if !matches!(block.language.as_str(), "sh" | "console") {
                continue;
            }
            for (at, line) in block.text.lines().enumerate() {
                found.extend(calls(line, &format!("{}:{}", page.name, block.line + at + 1)));
            }
        }
        for span in page.spans() {
            found.extend(calls(&span, &page.name));
        }
    }
    // Without a command there are options alone, as nginx has them.
    found.retain(|call| !call.command.is_empty());
    found
}

#[test]
fn shown_commands_and_their_options_exist() {
    let mut helps: BTreeMap<Vec<String>, String> = BTreeMap::new();
    let mut seen = BTreeSet::new();
    for call in all_calls() {
        let help = helps.entry(call.command.clone()).or_insert_with(|| {
            let mut words: Vec<&str> = call.command.iter().map(String::as_str).collect();
            words.push("--help");
            let run = run(Path::new("/"), &words);
            assert_eq!(run.code, Some(0), "{}: {:?}: {}", call.place, call.command, run.stderr);
            run.stdout
        });
        for option in &call.options {
            let name = option.split('=').next().unwrap();
            let known =
                help.split(|c: char| c.is_whitespace() || matches!(c, ',' | '[' | ']' | '=' | '|'));
            assert!(known.into_iter().any(|word| word == name), "{}: {name}\n{help}", call.place);
        }
        seen.insert(call.command);
    }
    for command in ["serve", "check", "explain", "report", "probe"] {
        assert!(seen.contains(&vec![command.to_owned()]), "no page shows `{command}`");
    }
}

#[test]
fn named_files_and_benchmarks_exist() {
    let mut count = 0;
    for page in pages().iter().filter(|page| page.name != "CHANGELOG.md") {
        let shell = page.blocks().into_iter().filter(|block| block.language == "sh");
        let lines: Vec<String> = shell
            .flat_map(|block| block.text.lines().map(str::to_owned).collect::<Vec<_>>())
            .chain(page.spans())
            .collect();
        for line in lines {
            let words: Vec<&str> = line.split(' ').collect();
            for pair in words.windows(2) {
                if pair[0] == "--bench" {
                    let program = repository().join("benches").join(pair[1]);
                    assert!(
                        program.is_dir() || program.with_extension("rs").is_file(),
                        "{}: {line}",
                        page.name
                    );
                    count += 1;
                }
            }
            for word in words {
                let is_ours = ["packaging/", "src/", "tests/", "docs/", "fuzz/", "benches/"]
                    .iter()
                    .any(|directory| word.starts_with(directory));
                if is_ours && !word.contains(['*', '…', '{', '$', '<']) && word != "packaging/" {
                    let path = word.trim_end_matches([',', '.', ':']);
                    assert!(repository().join(path).exists(), "{}: {line}: no {path}", page.name);
                    count += 1;
                }
            }
        }
    }
    assert!(count > 30, "{count} files");
}

#[test]
fn a_line_of_shell_is_taken_apart() {
    let line = "x && phonebook-gateway certs peer lyon --days 9   # makes `it`";
    let [call] = calls(line, "here").try_into().ok().unwrap();
    assert_eq!(
        (call.command.join(" "), call.options.join(" ")),
        ("certs peer".into(), "--days".into())
    );
    assert_eq!(words("a 'b c'  d'e f'g"), ["a", "b c", "de fg"]);
    assert!(calls("cargo run -- demo", "here").is_empty());
}
