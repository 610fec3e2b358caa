//! What `packaging/` has for Prometheus and Grafana goes by figures that there are, and Prometheus' own tool takes it.

use std::{
    collections::BTreeSet,
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use serde_json::Value;

use super::{SOCKET, ask, exposition::read_prometheus, serve, text, usual};
use crate::support::{
    binary::Binary,
    needs::{or_left_out, program},
    raw::Client,
    scripted::Scripted,
};

fn repository(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

fn read(name: &str) -> String {
    fs::read_to_string(repository(name)).unwrap()
}

/// A gateway that was asked something, and what it shows.
fn shown(upstream: &Scripted) -> (Binary, String) {
    let mut gateway = serve(&usual(upstream), SOCKET);
    assert_eq!(Client::connect(gateway.address()).lookup("one").status, 200);
    let shown = text(ask(&gateway, "/metrics", ""));
    (gateway, shown)
}

/// The names of all figures, with those that Prometheus makes of a histogram.
fn exported(shown: &str) -> BTreeSet<String> {
    let heads = shown.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next());
    let mut names: BTreeSet<String> = heads.map(str::to_owned).collect();
    names.extend(read_prometheus(shown).unwrap().into_iter().map(|sample| sample.name));
    names
}

/// The names of figures in a text, those that rules record among them.
fn named(text: &str) -> BTreeSet<String> {
    let is_of_name = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
    let words = text.split(|c: char| !is_of_name(c));
    let begins = |word: &&str| {
        ["phonebook_gateway_", "phonebook_gateway:", "process_"]
            .iter()
            .any(|it| word.starts_with(it))
    };
    words.filter(begins).map(|word| word.trim_end_matches(':').to_owned()).collect()
}

/// All that a dashboard asks Prometheus for.
fn queries(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(entries) => {
            for (key, value) in entries {
                if let (true, Some(text)) =
                    (["expr", "definition"].contains(&key.as_str()), value.as_str())
                {
                    found.push(text.to_owned());
                }
                queries(value, found);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| queries(item, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[test]
fn rules_and_dashboard_name_figures_that_there_are() {
    let upstream = Scripted::well();
    let (_gateway, shown) = shown(&upstream);
    let mut known = exported(&shown);
    let rules = read("packaging/prometheus-rules.yml");
    let recorded = rules.lines().filter_map(|line| line.trim().strip_prefix("- record: "));
    known.extend(recorded.map(str::to_owned));
    let mut asked = Vec::new();
    queries(&serde_json::from_str(&read("packaging/grafana-dashboard.json")).unwrap(), &mut asked);
    assert!(asked.len() >= 20, "{asked:?}");
    let lines = rules.lines().filter(|line| !line.trim_start().starts_with('#'));
    let lines: Vec<&str> = lines.collect();
    for (file, text) in [
        ("the rules", lines.join("\n")),
        ("the dashboard", asked.join("\n")),
        ("the series of the rules' test", read("tests/prometheus/alerts.yml")),
    ] {
        let named = named(&text);
        assert!(named.len() >= 10, "{file}: {named:?}");
        let unknown: Vec<_> = named.difference(&known).collect();
        assert!(unknown.is_empty(), "{file}: {unknown:?}");
    }
}

#[test]
fn every_alert_says_what_to_do_and_is_tried() {
    let rules = read("packaging/prometheus-rules.yml");
    let tried = read("tests/prometheus/alerts.yml");
    let alerts: Vec<&str> = rules.split("- alert: ").skip(1).collect();
    assert!(alerts.len() >= 12);
    for alert in alerts {
        let name = alert.lines().next().unwrap();
        for key in ["summary: \"", "runbook: \"", "severity: "] {
            assert!(alert.contains(key), "{name}: {key}");
        }
        assert!(tried.contains(&format!("{{alertname=\"{name}\"}}")), "{name} is not tried");
    }
}

/// Runs `promtool`, and tells what it says where it is not content.
fn promtool(promtool: &Path, arguments: &[&str], input: &str) -> Output {
    let mut command = Command::new(promtool);
    command.args(arguments).current_dir(repository("."));
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = [&output.stdout[..], &output.stderr].concat();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&said));
    output
}

#[test]
fn prometheus_own_tool_takes_figures_rules_and_scrape_configuration() {
    let Some(tool) = or_left_out(program("promtool", "prometheus")) else { return };
    let upstream = Scripted::well();
    let (_gateway, shown) = shown(&upstream);
    let said = promtool(&tool, &["check", "metrics"], &shown);
    assert!(said.stdout.is_empty() && said.stderr.is_empty(), "{said:?}");
    promtool(&tool, &["check", "rules", "packaging/prometheus-rules.yml"], "");
    promtool(&tool, &["check", "config", "--syntax-only", "packaging/prometheus.yml"], "");
    promtool(&tool, &["test", "rules", "tests/prometheus/alerts.yml"], "");
}
