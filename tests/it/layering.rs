//! The house keeps its floors, and the pure core stays pure: what judges a request can be run, tested and
//! proven without a network, files or a clock.
//!
//! The sources are scanned as text, their comments left out, and without the part behind `#[cfg(test)]`.

use std::path::Path;

/// The core: single files, and directories with all that is in them.
const CORE: &[&str] = &[
    "admin/ring.rs",
    "admin/status.rs",
    "admin/status/findings.rs",
    "admin/status_page",
    "admin/status_page.rs",
    "access_log/condition.rs",
    "access_log/format.rs",
    "access_log/format",
    "access_log/writer/framing.rs",
    "http1.rs",
    "http1",
    "identity.rs",
    "identity",
    "limits.rs",
    "limits",
    "location.rs",
    "lookup.rs",
    "lookup",
    "net/client_address.rs",
    "net/proxy_protocol.rs",
    "net/proxy_protocol",
    "page.rs",
    "page",
    "policy.rs",
    "policy",
    "refusal.rs",
    "report/read/entry.rs",
    "report/build/findings.rs",
    "report/read/formats.rs",
    "report/html",
    "report/html.rs",
    "report/build/remedy.rs",
    "report/summary/local_time.rs",
    "report/count/outages.rs",
    "report/count/patience.rs",
    "report/read/pattern.rs",
    "report/count/quota.rs",
    "report/read/findings.rs",
    "report/read/line.rs",
    "report/read/wrapping.rs",
    "report/count/repeats.rs",
    "report/read/select.rs",
    "report/count/sketch.rs",
    "report/count/block.rs",
    "report/count/enumeration.rs",
    "report/count/tally.rs",
    "report/terminal",
    "report/terminal.rs",
    "report/read/time.rs",
    "report/count/timeline.rs",
    "report/count/typing.rs",
    "report/summary/wording.rs",
    "resolver.rs",
    "resolver/event.rs",
    "resolver/table.rs",
    "response.rs",
    "response",
    "text.rs",
    "text",
    "upstream/circuit.rs",
    "upstream/fault.rs",
    "x509.rs",
    "x509",
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

/// Places that are known and named: the clock's one reading of the time, which its callers ask for.
const EXCEPTIONS: &[(&str, &str)] = &[
    ("access_log/format/clock.rs", "SystemTime::now"),
    // A kind of log target.
    ("access_log/format/prefix.rs", "File"),
];

/// The wings of `src`, from the ground up: each with the wings that it imports. A wing imports only what
/// stands before it in this table, so no two can import each other. docs/design.md has the same table.
const WINGS: &[(&str, &[&str])] = &[
    ("text", &[]),
    ("location", &[]),
    ("files", &[]),
    ("supervision", &[]),
    ("net", &[]),
    ("http1", &[]),
    ("x509", &["text"]),
    ("lookup", &["text"]),
    ("page", &["text"]),
    ("demo", &[]),
    ("diagnostics", &["net", "supervision"]),
    ("policy", &["location", "lookup"]),
    ("limits", &["net", "policy"]),
    ("identity", &["location", "net", "policy", "x509"]),
    ("resolver", &["files", "identity", "location", "net", "policy"]),
    ("tls", &["files", "identity", "location", "x509"]),
    ("upstream", &["http1", "net", "policy", "text", "x509"]),
    ("refusal", &["http1", "identity", "limits", "location", "lookup", "policy", "upstream"]),
    ("response", &["http1", "refusal", "text"]),
    (
        "access_log",
        &[
            "diagnostics",
            "files",
            "identity",
            "limits",
            "location",
            "lookup",
            "net",
            "supervision",
            "text",
            "upstream",
            "x509",
        ],
    ),
    (
        "config",
        &[
            "access_log",
            "files",
            "identity",
            "limits",
            "location",
            "policy",
            "refusal",
            "resolver",
            "tls",
            "upstream",
            "x509",
        ],
    ),
    (
        "worker",
        &[
            "access_log",
            "config",
            "identity",
            "limits",
            "location",
            "lookup",
            "net",
            "policy",
            "refusal",
            "resolver",
            "response",
            "tls",
            "upstream",
        ],
    ),
    (
        "gateway",
        &[
            "access_log",
            "config",
            "http1",
            "identity",
            "limits",
            "location",
            "lookup",
            "net",
            "policy",
            "refusal",
            "response",
            "tls",
            "upstream",
            "worker",
            "x509",
        ],
    ),
    (
        "connection",
        &[
            "config",
            "gateway",
            "http1",
            "limits",
            "net",
            "refusal",
            "response",
            "supervision",
            "tls",
            "worker",
        ],
    ),
    (
        "server",
        &[
            "access_log",
            "config",
            "connection",
            "files",
            "gateway",
            "identity",
            "location",
            "net",
            "policy",
            "resolver",
            "supervision",
            "text",
            "tls",
            "upstream",
            "worker",
            "x509",
        ],
    ),
    (
        "control",
        &[
            "config",
            "diagnostics",
            "gateway",
            "identity",
            "limits",
            "location",
            "net",
            "policy",
            "refusal",
            "server",
            "supervision",
            "tls",
            "upstream",
            "worker",
            "x509",
        ],
    ),
    (
        "admin",
        &[
            "access_log",
            "config",
            "control",
            "diagnostics",
            "files",
            "http1",
            "identity",
            "limits",
            "net",
            "page",
            "policy",
            "refusal",
            "server",
            "supervision",
            "text",
            "tls",
            "worker",
        ],
    ),
    ("pki", &["config", "files", "identity", "location", "policy", "tls", "x509"]),
    ("report", &["access_log", "config", "lookup", "net", "page", "policy", "refusal", "text"]),
    (
        "cli",
        &[
            "access_log",
            "admin",
            "config",
            "connection",
            "control",
            "demo",
            "diagnostics",
            "files",
            "gateway",
            "http1",
            "identity",
            "limits",
            "location",
            "lookup",
            "net",
            "pki",
            "policy",
            "refusal",
            "report",
            "response",
            "server",
            "supervision",
            "text",
            "tls",
            "upstream",
            "worker",
            "x509",
        ],
    ),
];

#[test]
fn each_wing_imports_only_what_stands_below_it() {
    let mut wrong = Vec::new();
    let mut below: Vec<&str> = Vec::new();
    for &(wing, allowed) in WINGS {
        wrong.extend(allowed.iter().filter(|name| !below.contains(name)).map(|name| {
            format!("the row of `{wing}` names `{name}`, which does not stand before it")
        }));
        let imports = imports_of(wing);
        let unused = allowed.iter().filter(|&&name| !imports.iter().any(|it| it.wing == name));
        wrong.extend(unused.map(|name| format!("the row of `{wing}` names `{name}` for nothing")));
        let surplus = imports.iter().filter(|it| !allowed.contains(&it.wing.as_str()));
        wrong.extend(surplus.map(|it| {
            format!("{} imports `{}`; the row of `{wing}` allows {allowed:?}", it.place, it.wing)
        }));
        below.push(wing);
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_table_has_every_wing() {
    let entries = source_directory().read_dir().unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut found: Vec<String> =
        names.filter_map(|name| name.strip_suffix(".rs").map(str::to_owned)).collect();
    found.retain(|name| name != "lib" && name != "main");
    found.sort();
    let mut table: Vec<&str> = WINGS.iter().map(|(wing, _)| *wing).collect();
    table.sort_unstable();
    assert_eq!(found, table);
}

#[test]
fn each_root_says_what_it_imports() {
    for (wing, allowed) in WINGS {
        let source =
            std::fs::read_to_string(source_directory().join(format!("{wing}.rs"))).unwrap();
        let comment = source.lines().map_while(|line| line.strip_prefix("//!"));
        let words: Vec<&str> = comment.flat_map(str::split_whitespace).collect();
        let quoted: Vec<String> = allowed.iter().map(|name| format!("`{name}`")).collect();
        let row =
            if quoted.is_empty() { "nothing of this crate".to_owned() } else { quoted.join(", ") };
        let sentence = format!("Imports {row}. Begin with ");
        assert!(words.join(" ").contains(&sentence), "src/{wing}.rs does not say: {sentence}");
    }
}

#[test]
fn the_page_has_the_same_table() {
    let page =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/design.md")).unwrap();
    let rows = page.lines().skip_while(|line| !line.starts_with("| wing |")).skip(2);
    let rows: Vec<(&str, Vec<&str>)> = rows
        .map_while(|line| line.strip_prefix("| `")?.strip_suffix(" |"))
        .map(|row| {
            let (wing, rest) = row.split_once("` | ").unwrap();
            let (_, imports) = rest.rsplit_once('|').unwrap();
            (wing, imports.split(',').map(str::trim).filter(|name| !name.is_empty()).collect())
        })
        .collect();
    let table: Vec<(&str, Vec<&str>)> =
        WINGS.iter().map(|(wing, imports)| (*wing, imports.to_vec())).collect();
    assert_eq!(rows, table);
}

#[test]
fn imports_are_seen_however_they_are_written() {
    let source = "use super::worker;\nuse crate::{net::{self}, text};\nfn f() { crate::tls::g(); }\n\
                  // crate::cli\n#[cfg(test)]\nmod tests { use crate::server; }";
    let root: Vec<_> = imports_in(source, 1).collect();
    assert_eq!(root, ["net", "text", "tls", "worker"]);
    // In a room of a wing, one `super` stays inside.
    assert_eq!(imports_in(source, 2).collect::<Vec<_>>(), ["net", "text", "tls"]);
    assert_eq!(imports_in("use super::super::cli::Exit;", 2).collect::<Vec<_>>(), ["cli"]);
}

/// One wing's import of another.
struct Import {
    wing: String,
    /// The file, and the first line that names the wing.
    place: String,
}

/// What the files of a wing import of other wings, tests left out.
fn imports_of(wing: &str) -> Vec<Import> {
    let mut found = Vec::new();
    for name in files_of(&[format!("{wing}.rs"), wing.to_owned()]) {
        let source = std::fs::read_to_string(source_directory().join(&name)).unwrap();
        let depth = name.split('/').count();
        for other in imports_in(&source, depth).filter(|other| other != wing) {
            let said = |line: &str| names(line, &other) && !line.trim_start().starts_with("//");
            let line = source.lines().position(said).map_or(0, |at| at + 1);
            found.push(Import { wing: other, place: format!("src/{name}:{line}") });
        }
    }
    found
}

/// The wings that a file names whose module is `depth` below the crate, sorted.
fn imports_in(source: &str, depth: usize) -> impl Iterator<Item = String> {
    let code = code_of(source);
    let supers = "super::".repeat(depth);
    let wings = WINGS.iter().map(|(wing, _)| (*wing).to_owned());
    let mut found: Vec<String> = wings
        .filter(|wing| {
            let out = format!("{supers}{wing}");
            let is_out = |at: usize| !code[..at].ends_with("super::");
            names(&code, &format!("crate::{wing}"))
                || code
                    .match_indices(&out)
                    .any(|(at, _)| is_out(at) && !code[at + out.len()..].starts_with(is_word))
        })
        .collect();
    found.sort();
    found.into_iter()
}

#[test]
fn the_core_names_no_runtime_no_file_no_socket_and_no_clock() {
    let mut found = Vec::new();
    let files = core_files();
    // One that was renamed would be looked at no more.
    let is_there = |name: &&&str| source_directory().join(name).exists();
    let missing: Vec<_> = CORE.iter().filter(|name| !is_there(name)).collect();
    assert!(missing.is_empty(), "the core's files are not there: {missing:?}");
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

#[test]
fn templates_escape_everything_but_the_stylesheet() {
    // What of `maud` is written without being escaped, and the one file that may do so.
    const AS_IT_STANDS: [(&str, &str); 3] = [
        ("PreEscaped", "page/document.rs"),
        ("into_string", "page/document.rs"),
        ("render_to", "page/value.rs"),
    ];
    let mut used = 0;
    for name in files_of(&["admin", "page.rs", "page", "report.rs", "report"].map(str::to_owned)) {
        let code = code_of(&std::fs::read_to_string(source_directory().join(&name)).unwrap());
        for (word, place) in AS_IT_STANDS {
            assert!(!names(&code, word) || name == place, "src/{name} names {word}");
            used += usize::from(names(&code, word));
        }
        let raw = code.matches("PreEscaped(").count();
        assert_eq!(raw, code.matches("PreEscaped(include_str!(").count(), "src/{name}");
    }
    assert_eq!(used, AS_IT_STANDS.len(), "the files that it stands in were not found");
}

/// Who looks for a limit or a default finds it at the end of its file, before the tests.
#[test]
fn constants_stand_at_the_end_of_a_file() {
    let mut wings: Vec<String> = vec!["lib.rs".to_owned(), "main.rs".to_owned()];
    wings.extend(WINGS.iter().flat_map(|(wing, _)| [format!("{wing}.rs"), (*wing).to_owned()]));
    let files = files_of(&wings);
    assert!(files.len() > 200, "{}", files.len());
    let misplaced = files.iter().filter_map(|name| {
        let source = std::fs::read_to_string(source_directory().join(name)).unwrap();
        let line = constant_before_code(&source)?;
        Some(format!("src/{name}:{line}: this constant belongs to the end of the file"))
    });
    let misplaced: Vec<String> = misplaced.collect();
    assert!(misplaced.is_empty(), "{}", misplaced.join("\n"));
}

#[test]
fn a_constant_before_code_is_seen() {
    let at_end = "const fn f() {}\n\npub(crate) const A: u8 = 1;\nstatic B: u8 = 2;\n\n#[cfg(test)]\nmod tests {}\n";
    assert_eq!(constant_before_code(at_end), None);
    assert_eq!(constant_before_code("const A: u8 = 1;\n"), None);
    for code in [
        "fn f() {}",
        "pub fn f(a: (A, B)) -> C {}",
        "pub(in crate::a) async fn f() {}",
        "impl A {}",
        "pub struct A;",
    ] {
        assert_eq!(
            constant_before_code(&format!("//! A.\n\npub const A: u8 = 1;\n\n{code}\n")),
            Some(3)
        );
    }
}

/// The line of a constant or a static behind which other code stands than constants, statics and tests.
fn constant_before_code(source: &str) -> Option<usize> {
    let mut constant = None;
    for (at, line) in source.lines().enumerate().take_while(|(_, line)| *line != "#[cfg(test)]") {
        let line = line.strip_prefix("pub ").unwrap_or(line);
        let inner = line.strip_prefix("pub(").and_then(|inner| inner.split_once(") "));
        let item = inner.map_or(line, |(_, item)| item);
        let begins = |words: &[&str]| words.iter().any(|word| item.starts_with(word));
        if begins(&[
            "const fn ",
            "fn ",
            "async fn ",
            "struct ",
            "enum ",
            "trait ",
            "impl ",
            "impl<",
        ]) {
            if constant.is_some() {
                return constant;
            }
        } else if begins(&["const ", "static "]) {
            constant = Some(at + 1);
        }
    }
    None
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
    files_of(&CORE.iter().map(|&name| name.to_owned()).collect::<Vec<_>>())
}

/// The files of these names, and of directories all that are in them, but tests; relative to `src`.
fn files_of(names: &[String]) -> Vec<String> {
    let mut files = Vec::new();
    let mut open = names.to_vec();
    while let Some(name) = open.pop() {
        let path = source_directory().join(&name);
        if path.is_dir() {
            let entries = path.read_dir().unwrap().map(|entry| entry.unwrap().file_name());
            open.extend(entries.map(|entry| format!("{name}/{}", entry.to_str().unwrap())));
        } else if path.is_file()
            && !name.split('/').any(|part| matches!(part, "tests" | "tests.rs"))
        {
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
