//! What nginx and PHP would read in request targets, by the hundred thousand: `tests/oracle/parse.php` in one process.

use std::{
    fs::File,
    io::{BufRead, BufReader, Seek, Write},
    process::{Command, Stdio},
};

use serde::Deserialize;
use serde_json::Value;

use super::needs::{Missing, program};

/// What was read in one target. Values are strings, null when absent, arrays for `act[]=…`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(crate) struct Reading {
    pub(crate) realm: Option<String>,
    pub(crate) segments: Option<Vec<String>>,
    pub(crate) act: Value,
    pub(crate) search: Value,
    pub(crate) id: Value,
    pub(crate) sum: Value,
}

/// One reading per target, in order; none where the target never reaches json.php.
pub(crate) fn read(
    targets: impl IntoIterator<Item = impl AsRef<[u8]>>,
) -> Result<Vec<Option<Reading>>, Missing> {
    let php = program("php", "php-cli")?;
    // A file, not a pipe: PHP may stop reading until its own output is read.
    let mut input = tempfile::tempfile().unwrap();
    let count = write_lines(&input, targets).unwrap();
    input.rewind().unwrap();
    let mut child = Command::new(php)
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/oracle/parse.php"))
        .stdin(input)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let readings: Vec<_> = BufReader::new(child.stdout.take().unwrap())
        .lines()
        .map(|line| line.unwrap())
        .map(|line| serde_json::from_str(&line).unwrap_or_else(|error| panic!("{line}: {error}")))
        .collect();
    assert!(child.wait().unwrap().success());
    assert_eq!(readings.len(), count, "one reading per target");
    Ok(readings)
}

fn write_lines(
    file: &File,
    targets: impl IntoIterator<Item = impl AsRef<[u8]>>,
) -> std::io::Result<usize> {
    let mut writer = std::io::BufWriter::new(file);
    let mut count = 0;
    for target in targets {
        assert!(!target.as_ref().contains(&b'\n'), "a request target is one line");
        writer.write_all(target.as_ref())?;
        writer.write_all(b"\n")?;
        count += 1;
    }
    writer.flush()?;
    Ok(count)
}
