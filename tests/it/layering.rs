//! The pure core stays pure: what judges a request can be run, tested and proven without a network, files or a clock.
//!
//! The sources are scanned as text, their comments left out, and without the part behind `#[cfg(test)]`.

use std::path::Path;

/// The core: single files, and directories with all that is in them.
const CORE: &[&str] = &[
    "net/client_address.rs",
    "identity.rs",
    "x509.rs",
    "x509",
    "identity",
    "http1.rs",
    "http1",
    "limits.rs",
    "limits",
    "resolver.rs",
    "resolver/event.rs",
    "resolver/table.rs",
    "lookup.rs",
    "lookup",
    "location.rs",
    "policy.rs",
    "policy",
    "net/proxy_protocol.rs",
    "net/proxy_protocol",
    "access_log/format.rs",
    "access_log/condition.rs",
    "access_log/format",
    "access_log/writer/frame.rs",
    "refusal.rs",
    "report/entry.rs",
    "report/findings.rs",
    "report/formats.rs",
    "report/html.rs",
    "report/html",
    "report/mend.rs",
    "report/moment.rs",
    "report/pattern.rs",
    "report/quota.rs",
    "report/read/findings.rs",
    "report/read/line.rs",
    "report/read/wrapping.rs",
    "report/select.rs",
    "report/sketch.rs",
    "report/outages.rs",
    "report/patience.rs",
    "report/repeats.rs",
    "report/stretch.rs",
    "report/sweep.rs",
    "report/tally.rs",
    "report/terminal.rs",
    "report/terminal",
    "report/time.rs",
    "report/timeline.rs",
    "report/typing.rs",
    "report/words.rs",
];

/// What none of it may name: runtimes, files, sockets, threads, processes, and clocks.
const FORBIDDEN: &[&str] = &[
    "tokio",
    "hyper",
    "hyper_util",
    "http_body_util",
    "mio",
    "socket2",
    "rustix",
    "if_addrs",
    "tracing",
    "std::fs",
    "std::io",
    "std::env",
    "std::process",
    "std::thread",
    "std::os",
    "TcpStream",
    "TcpListener",
    "UdpSocket",
    "UnixStream",
    "UnixListener",
    "ToSocketAddrs",
    "File",
    "Instant::now",
    "SystemTime::now",
    "Timestamp::now",
    "Zoned::now",
    "fastrand",
];

/// The core's modules must not come by any of it through another module of this crate either.
const OUTSIDE: &[&str] = &[
    "response",
    "cli",
    "config",
    "connection",
    "demo",
    "diagnostics",
    "gateway",
    "net::listen",
    "server",
    "supervision",
    "upstream",
    "worker",
];

/// Places that are known and named: the clock's one reading of the time, which its callers ask for.
const EXCEPTIONS: &[(&str, &str)] = &[
    ("access_log/format/clock.rs", "SystemTime::now"),
    // A kind of log target.
    ("access_log/format/prefix.rs", "File"),
];

#[test]
fn the_core_names_no_runtime_no_file_no_socket_and_no_clock() {
    let mut found = Vec::new();
    let files = core_files();
    assert!(files.len() > 15, "the core's files were not found: {files:?}");
    let mut excused = 0;
    for name in &files {
        let source = std::fs::read_to_string(source_directory().join(name)).unwrap();
        // A module of tests within the file is not looked at: there must be one at the most, at the end.
        let tests: Vec<&str> = source.split("#[cfg(test)]").skip(1).collect();
        assert!(tests.len() <= 1 && tests.iter().all(|rest| is_tests(rest)), "{name}");
        let code = code_of(&source);
        for &word in FORBIDDEN {
            if !names(&code, word) {
                continue;
            }
            if EXCEPTIONS.contains(&(name, word)) {
                excused += 1;
            } else {
                found.push(format!("src/{name} names {word}"));
            }
        }
        for module in OUTSIDE {
            if names(&code, &format!("crate::{module}")) {
                found.push(format!("src/{name} uses crate::{module}"));
            }
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
    assert_eq!(excused, EXCEPTIONS.len(), "an exception that nothing needs any more");
}

#[test]
fn the_scan_sees_what_it_looks_for() {
    let code = code_of(
        "//! tokio\nuse std::{fs, time::Instant}; // hyper\nuse tokio::net::{self};\nlet a = Instant ::\n now();\n\
         use crate::{address, server};\n#[cfg(test)]\nmod tests { use std::io; }",
    );
    for word in ["tokio", "std::fs", "Instant::now", "crate::server", "crate::address"] {
        assert!(names(&code, word), "{word} in {code}");
    }
    for word in ["hyper", "std::io", "std::process", "toki", "okio", "crate::serve"] {
        assert!(!names(&code, word), "{word} in {code}");
    }
}

/// `mod tests` and nothing behind it that is code of the crate: `mod tests;` anywhere, or a block that ends the file.
fn is_tests(rest: &str) -> bool {
    let block = rest.trim_start();
    block.starts_with("mod tests;")
        || block.starts_with("pub(crate) mod tests;")
        || block.starts_with("mod tests {")
            && block.find("\n}").is_some_and(|end| end + 3 >= block.len())
        || block.starts_with("pub(crate) mod tests {")
}

fn source_directory() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/src"))
}

/// The names of the core's files, relative to `src`.
fn core_files() -> Vec<String> {
    let mut files = Vec::new();
    let mut open: Vec<String> = CORE.iter().map(|&name| name.to_owned()).collect();
    while let Some(name) = open.pop() {
        let path = source_directory().join(&name);
        if path.is_dir() {
            let entries = path.read_dir().unwrap().map(|entry| entry.unwrap().file_name());
            open.extend(entries.map(|entry| format!("{name}/{}", entry.to_str().unwrap())));
        } else if path.file_name().is_none_or(|name| name != "tests.rs") {
            files.push(name);
        }
    }
    files
}

/// The code without comments, tests and blanks, and each grouped path (`std::{fs, io}`) written out as well.
fn code_of(source: &str) -> String {
    let (before, tests) = source.split_once("#[cfg(test)]").unwrap_or((source, ""));
    let tests = tests.trim_start();
    let after = tests.strip_prefix("pub(crate) ").unwrap_or(tests);
    let after = after.strip_prefix("mod tests;").unwrap_or_default();
    let source = format!("{before}\n{after}");
    let lines = source.lines().map(|line| line.split("//").next().unwrap_or_default());
    let mut code = String::new();
    for word in lines.flat_map(str::split_whitespace) {
        // Two words that would run together stay apart; everything else is without blanks.
        if code.ends_with(is_word) && word.starts_with(is_word) {
            code.push(' ');
        }
        code.push_str(word);
    }
    let mut written_out = String::new();
    for (at, _) in code.match_indices("::{") {
        let start = code[..at].rfind(|c| !is_word(c) && c != ':').map_or(0, |before| before + 1);
        let group = group_at(&code[at + 3..]);
        let mut depth = 0;
        for member in group.split(|c| {
            depth += i32::from(c == '{') - i32::from(c == '}');
            c == ',' && depth == 0
        }) {
            written_out.push_str(&format!(" {}::{member};", &code[start..at]));
        }
    }
    code + &written_out
}

/// What stands before the brace that closes the group.
fn group_at(text: &str) -> &str {
    let mut depth = 1;
    let end = text.find(|c| {
        depth += i32::from(c == '{') - i32::from(c == '}');
        depth == 0
    });
    &text[..end.unwrap_or(text.len())]
}

/// Whether `word` stands in `code` as a whole word.
fn names(code: &str, word: &str) -> bool {
    code.match_indices(word).any(|(at, _)| {
        !code[..at].ends_with(is_word) && !code[at + word.len()..].starts_with(is_word)
    })
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}
