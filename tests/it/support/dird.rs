//! The client of `tests/clients/dird.py`, with the system's Python, for which Debian's python3-requests is.

use std::process::Command;

use serde_json::Value;

use super::needs::{Missing, program};

const PYTHON: &str = "/usr/bin/python3";

/// What the client got for each term: `{"term", "status", "names"}`.
pub(crate) fn lookups(url: &str, terms: &[&str]) -> Result<Vec<Value>, Missing> {
    lookups_and_warnings(url, terms).map(|(found, _)| found)
}

/// The same, and what stands in its log.
pub(crate) fn lookups_and_warnings(
    url: &str,
    terms: &[&str],
) -> Result<(Vec<Value>, String), Missing> {
    program(PYTHON, "python3")?;
    let requests = Command::new(PYTHON).args(["-c", "import requests"]).output().unwrap();
    if !requests.status.success() {
        let remedy = "apt-get install python3-requests";
        return Err(Missing::new(format!("no requests module for {PYTHON}"), remedy));
    }
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clients/dird.py");
    // Proxies of the environment are not for loopback addresses.
    let output = Command::new(PYTHON)
        .arg(script)
        .arg(url)
        .args(terms)
        .env("NO_PROXY", "*")
        .env("PYTHONIOENCODING", "utf-8")
        .output()
        .unwrap();
    let warnings = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{warnings}");
    let text = String::from_utf8(output.stdout).unwrap();
    let found = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    Ok((found, warnings))
}
