//! The programs that administrators read access logs with, each run as they run it, with the files in `packaging/`; and
//! which lines of a log it refuses.

use std::{
    collections::BTreeSet,
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use serde_json::Value;
use tempfile::TempDir;

use super::needs::{Missing, or_left_out, program};

/// A program that reads `combined`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reader {
    Goaccess,
    Fail2ban,
    Lnav,
    Awstats,
    Vector,
}

impl Reader {
    pub(crate) const ALL: [Self; 5] =
        [Self::Goaccess, Self::Fail2ban, Self::Lnav, Self::Awstats, Self::Vector];
}

/// Any line of nginx's, whatever its status: what Debian's filters for nginx have before the status of theirs.
const ANY_STATUS: &str = r#"^<ADDR> - \S+ \[\] "[^"]*" \d{3} "#;

/// The lines that lnav's own format for `combined` fits.
const READ_BY_LNAV: &str = "SELECT log_text FROM access_log WHERE log_level <> 'invalid'";

/// Fails if a reader refuses a line of ours where it takes nginx's. Lines at the same place are of the same request.
pub(crate) fn none_refuses_what_it_takes_from_nginx(nginx: &Path, ours: &Path) {
    let (of_nginx, of_ours) = (lines(nginx), lines(ours));
    assert_eq!(of_nginx.len(), of_ours.len(), "the logs tell of the same requests");
    assert!(!of_ours.is_empty());
    let mut refused = Vec::new();
    for reader in Reader::ALL {
        let Some(theirs) = or_left_out(refused_lines(reader, nginx)) else { continue };
        let Some(own) = or_left_out(refused_lines(reader, ours)) else { continue };
        assert!(theirs.len() < of_nginx.len(), "{reader:?} takes nothing at all from nginx");
        for &line in own.difference(&theirs) {
            refused.push(format!(
                "{reader:?} refuses\n  {}\nand takes\n  {}",
                of_ours[line], of_nginx[line]
            ));
        }
    }
    assert!(refused.is_empty(), "{}", refused.join("\n"));
}

/// Which lines of a log in `combined` this reader cannot make use of, counted from 0.
pub(crate) fn refused_lines(reader: Reader, log: &Path) -> Result<BTreeSet<usize>, Missing> {
    let all = lines(log);
    let among = |refused: &[String]| -> BTreeSet<usize> {
        let refused: BTreeSet<&str> = refused.iter().map(String::as_str).collect();
        (0..all.len()).filter(|&at| refused.contains(all[at].as_str())).collect()
    };
    match reader {
        Reader::Goaccess => {
            let read = goaccess(log, &packaged("goaccess/combined.conf"))?;
            // It reads a line of more than 4095 bytes in pieces.
            let in_pieces = |line: &str| {
                line.len() >= 4095 && read.refused.iter().any(|piece| line.contains(piece.as_str()))
            };
            let mut refused = among(&read.refused);
            refused.extend((0..all.len()).filter(|&at| in_pieces(&all[at])));
            Ok(refused)
        }
        Reader::Fail2ban => Ok(among(&fail2ban_regex(log, ANY_STATUS)?.missed)),
        Reader::Lnav => {
            let rows = lnav(log, None, READ_BY_LNAV)?;
            // It sorts lines by their time.
            let taken: BTreeSet<&str> =
                rows.iter().map(|row| row["log_text"].as_str().unwrap()).collect();
            Ok((0..all.len()).filter(|&at| !taken.contains(all[at].as_str())).collect())
        }
        Reader::Awstats => Ok(among(&awstats(log)?.refused)),
        Reader::Vector => {
            let answers = vector(log)?;
            assert_eq!(answers.len(), all.len());
            Ok((0..all.len()).filter(|&at| answers[at].is_err()).collect())
        }
    }
}

/// A file as it is delivered.
pub(crate) fn packaged(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging").join(name)
}

fn lines(log: &Path) -> Vec<String> {
    let text = fs::read(log).unwrap();
    String::from_utf8_lossy(&text).lines().map(str::to_owned).collect()
}

fn succeeded(output: Output) -> String {
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "{}\n{text}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    text
}

/// What goaccess made of a log.
pub(crate) struct Goaccess {
    pub(crate) report: Value,
    pub(crate) refused: Vec<String>,
}

/// Runs goaccess with this configuration file and nothing else.
pub(crate) fn goaccess(log: &Path, config: &Path) -> Result<Goaccess, Missing> {
    let goaccess = program("goaccess", "goaccess")?;
    let directory = tempfile::tempdir().unwrap();
    let [report, refused] = ["report.json", "refused"].map(|name| directory.path().join(name));
    // Without the test of the first lines, which ends everything if none of them can be read.
    let output = Command::new(goaccess)
        .args([log, Path::new("-p"), config, Path::new("-o"), &report])
        .args(["--no-global-config", "--no-progress", "--num-tests=0"])
        .arg(format!("--invalid-requests={}", refused.display()))
        .output()
        .unwrap();
    succeeded(output);
    // What goaccess cuts, or undoes the percents of, is not always UTF-8.
    let report =
        serde_json::from_str(&String::from_utf8_lossy(&fs::read(report).unwrap())).unwrap();
    let refused = if refused.exists() { lines(&refused) } else { Vec::new() };
    Ok(Goaccess { report, refused })
}

/// What `fail2ban-regex` counts and shows.
#[derive(Debug, PartialEq)]
pub(crate) struct Fail2ban {
    pub(crate) ignored: u64,
    pub(crate) matched: u64,
    pub(crate) missed: Vec<String>,
}

/// Runs it with a filter: a file in a `filter.d`, or an expression.
pub(crate) fn fail2ban_regex(log: &Path, filter: &str) -> Result<Fail2ban, Missing> {
    let program = program("fail2ban-regex", "fail2ban")?;
    let output = Command::new(program)
        .args(["--encoding=utf-8", "--usedns=no", "--print-no-ignored", "--print-all-missed"])
        .arg(log)
        .arg(filter)
        .output()
        .unwrap();
    let text = succeeded(output);
    // `Lines: 7 lines, 0 ignored, 4 matched, 3 missed`
    let counts = text.lines().find(|line| line.starts_with("Lines: ")).unwrap();
    let count = |word: &str| -> u64 {
        let part = counts.split(", ").find_map(|part| part.strip_suffix(word)).unwrap();
        part.parse().unwrap()
    };
    let missed: Vec<String> = text
        .lines()
        .skip_while(|line| !line.starts_with("|- Missed line(s)"))
        .skip(1)
        .map_while(|line| line.strip_prefix("|  "))
        .map(str::to_owned)
        .collect();
    assert_eq!(missed.len() as u64, count(" missed"), "{text}");
    Ok(Fail2ban { ignored: count(" ignored"), matched: count(" matched"), missed })
}

/// The addresses of the failures that a filter finds in a log, in their order.
pub(crate) fn fail2ban_addresses(log: &Path, filter: &Path) -> Result<Vec<String>, Missing> {
    let program = program("fail2ban-regex", "fail2ban")?;
    let output = Command::new(program)
        .args(["--encoding=utf-8", "--usedns=no", "--out", "ip"])
        .args([log, filter])
        .output()
        .unwrap();
    Ok(succeeded(output).lines().map(str::to_owned).collect())
}

/// Runs lnav without a terminal, with this format installed, and returns the rows of a query.
pub(crate) fn lnav(log: &Path, format: Option<&Path>, query: &str) -> Result<Vec<Value>, Missing> {
    let program = program("lnav", "lnav")?;
    let home = tempfile::tempdir().unwrap();
    let lnav = || {
        let mut command = Command::new(&program);
        command.env("HOME", home.path()).env_remove("XDG_CONFIG_HOME").stdin(Stdio::null());
        // It also reads files by the names of formats in the directory it is started in.
        command.current_dir(home.path());
        command
    };
    if let Some(format) = format {
        succeeded(lnav().arg("-i").arg(format).output().unwrap());
        // Checks the formats that are installed, their samples included.
        let checked = lnav().arg("-C").output().unwrap();
        assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
    }
    let query = format!(";{query}");
    let output =
        lnav().args(["-n", "-c", &query, "-c", ":write-json-to -"]).arg(log).output().unwrap();
    let text = succeeded(output);
    let rows: Value =
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{query}: {error}\n{text}"));
    Ok(rows.as_array().unwrap().clone())
}

/// What awstats made of a log.
pub(crate) struct Awstats {
    /// Its data file.
    pub(crate) data: String,
    pub(crate) refused: Vec<String>,
}

/// Runs awstats with the delivered configuration, for this log and a data directory of its own.
pub(crate) fn awstats(log: &Path) -> Result<Awstats, Missing> {
    const PROGRAM: &str = "/usr/lib/cgi-bin/awstats.pl";
    if !Path::new(PROGRAM).is_file() {
        return Err(Missing::new(format!("no {PROGRAM}"), "apt-get install awstats"));
    }
    let directory = tempfile::tempdir().unwrap();
    let name = "awstats.phonebook-gateway.conf";
    let config: String = fs::read_to_string(packaged(name))
        .unwrap()
        .lines()
        .map(|line| match line.split_once('=') {
            Some(("LogFile", _)) => format!("LogFile={log:?}\n"),
            Some(("DirData", _)) => format!("DirData={:?}\n", directory.path()),
            _ => format!("{line}\n"),
        })
        .collect();
    fs::write(directory.path().join(name), config).unwrap();
    let output = Command::new(PROGRAM)
        .args(["-config=phonebook-gateway", "-update", "-showcorrupted", "-showdropped"])
        .arg(format!("-configdir={}", directory.path().display()))
        .env_remove("GATEWAY_INTERFACE")
        .output()
        .unwrap();
    let text = succeeded(output);
    // `Corrupted record line 8 (why): the line`, `Dropped record (why): the line`
    let refused: Vec<String> = text
        .lines()
        .filter(|line| line.starts_with("Corrupted record") || line.starts_with("Dropped record"))
        .map(|line| line.split_once("): ").unwrap().1.to_owned())
        .collect();
    let counted: usize = ["dropped", "corrupted", "old"]
        .map(|word| {
            let end = format!(" {word} records,");
            let line = text.lines().find_map(|line| line.strip_suffix(&end)).unwrap();
            line.trim_start().trim_start_matches("Found ").parse::<usize>().unwrap()
        })
        .into_iter()
        .sum();
    assert_eq!(counted, refused.len(), "{text}");
    Ok(Awstats { data: data_of(&directory), refused })
}

/// The one data file there.
fn data_of(directory: &TempDir) -> String {
    let mut found = fs::read_dir(directory.path())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "txt"));
    let file = found.next().expect("a data file");
    assert_eq!(found.next(), None);
    fs::read_to_string(file).unwrap()
}

/// What Vector's own parser makes of each line with the program in `packaging/vector.toml`: the event, or why not.
pub(crate) fn vector(log: &Path) -> Result<Vec<Result<Value, String>>, Missing> {
    let config = fs::read_to_string(packaged("vector.toml")).unwrap();
    let config: toml::Table = config.parse().unwrap();
    vrl(config["transforms"]["phonebook_gateway_fields"]["source"].as_str().unwrap(), log)
}

/// What it makes of each line with this program.
pub(crate) fn vrl(source: &str, log: &Path) -> Result<Vec<Result<Value, String>>, Missing> {
    let program = vector_lines()?;
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(source.as_bytes()).unwrap();
    let output = Command::new(program)
        .arg(file.path())
        .stdin(fs::File::open(log).unwrap())
        .output()
        .unwrap();
    let answer = |line: &str| -> Result<Value, String> {
        let answer: Value = serde_json::from_str(line).unwrap();
        match answer["refused"].as_str() {
            Some(why) => Err(why.to_owned()),
            None => Ok(answer["event"].clone()),
        }
    };
    Ok(succeeded(output).lines().map(answer).collect())
}

/// The crate in `tests/vector`, built: Vector's parser has more dependencies than the gateway, and none of them is to
/// be one of its own.
fn vector_lines() -> Result<PathBuf, Missing> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let target = root.join("target/vector");
    // Cargo lets one of several builds go first.
    let output = Command::new(env!("CARGO"))
        .args(["build", "--locked", "--quiet", "--manifest-path"])
        .arg(root.join("tests/vector/Cargo.toml"))
        .arg("--target-dir")
        .arg(&target)
        // What a coverage run or the like wants of the gateway is not for this crate.
        .env_remove("RUSTFLAGS")
        .output()
        .unwrap();
    if output.status.success() {
        return Ok(target.join("debug/vector-lines"));
    }
    let why = String::from_utf8_lossy(&output.stderr).into_owned();
    Err(Missing::new(
        format!("tests/vector does not build: {why}"),
        "cargo build --locked --manifest-path tests/vector/Cargo.toml --target-dir target/vector",
    ))
}
