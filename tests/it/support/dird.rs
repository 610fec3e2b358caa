//! The client of `tests/clients/dird.py`, with the system's Python, for which Debian's python3-requests is.

use std::process::Command;

use serde_json::Value;

use super::needs::{Missing, program};

const PYTHON: &str = "/usr/bin/python3";

/// What the client got for each term: `{"term", "status", "names"}`.
pub(crate) fn lookups(url: &str, terms: &[&str]) -> Result<Vec<Value>, Missing> {
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
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    let text = String::from_utf8(output.stdout).unwrap();
    Ok(text.lines().map(|line| serde_json::from_str(line).unwrap()).collect())
}
