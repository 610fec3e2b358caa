//! The dump of a configuration is that configuration.

use super::*;
use crate::limits::Ceilings;

/// The files of a dump, by the names in the lines above them.
fn files(dump: &str) -> Vec<(String, String)> {
    let mut files: Vec<(String, String)> = Vec::new();
    for line in dump.lines() {
        let name = line.strip_prefix("# configuration file ");
        match (name.and_then(|name| name.strip_suffix(':')), files.last_mut()) {
            (Some(name), _) => files.push((name.to_owned(), String::new())),
            (None, Some((_, text))) => *text += &format!("{line}\n"),
            (None, None) => panic!("nothing names the file of {line}"),
        }
    }
    files
}

/// The configuration that is read from a dump.
fn reread(dump: &str) -> (Config, Vec<Problem>) {
    let files = files(dump);
    let ((main, main_text), policies) = files.split_first().unwrap();
    let policies: Vec<(&str, &str)> =
        policies.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
    // Nothing of the environment is left in it.
    read_texts((main, main_text), &policies, &|_| None)
        .unwrap_or_else(|problems| panic!("{problems}\n{dump}"))
}

/// All that there is of a configuration but for where it stands.
fn content(config: &Config) -> String {
    let text = format!("{config:#?}");
    let elsewhere = ["file:", "line:", "written:", "revision:", "\"policies"];
    let lines = text.lines().map(str::trim);
    let lines: Vec<&str> =
        lines.filter(|line| !elsewhere.iter().any(|begin| line.starts_with(begin))).collect();
    let here = std::env::current_dir().unwrap();
    // What is relative has become absolute.
    lines.join("\n").replace(&format!("{}/", here.display()), "").replace(".toml\",", "")
}

#[test]
fn a_dump_read_again_is_the_same_configuration() {
    let defaults = config(MAIN, &[("policies/lyon.toml", HOSTS)]);
    let full = config(FULL, POLICIES);
    for config in [defaults, full] {
        let dump = config.dump();
        let (again, _) = reread(&dump);
        assert_eq!(content(&again), content(&config), "{dump}");
        assert_eq!(again.dump(), dump);
    }
}

#[test]
fn every_key_with_a_default_is_in_a_dump() {
    let dump = config(MAIN, &[("policies/lyon.toml", HOSTS)]).dump();
    let files = files(&dump);
    let here = std::env::current_dir().unwrap();
    let names: Vec<&str> = files.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(
        names,
        ["gateway.toml", "policies/lyon.toml"]
            .map(|name| here.join(name))
            .each_ref()
            .map(|path| path.to_str().unwrap())
    );
    for line in [
        "state_directory = \"/var/lib/phonebook-gateway\"",
        "workers = 0",
        "server_names = []",
        "url = \"http://127.0.0.1\"",
        "host = \"127.0.0.1\"",
        "timeout = \"2500ms\"",
        "number_timeout = \"900ms\"",
        "list_timeout = \"30s\"",
        "max_answer = \"64m\"",
        "hold_timeout = \"1d\"",
        "unknown_rate = { per_second = 1, burst = 5 }",
        "path = \"/var/log/phonebook-gateway/access.log\"",
        "format = \"combined\"",
        "buffer = \"64k\"",
        "enabled = true",
        "actions = [\"search\"]",
        "rate = { per_second = 10, burst = 20 }",
        "concurrent = 8",
        "min_search_length = 2",
    ] {
        assert!(dump.lines().any(|found| found == line), "{line} in\n{dump}");
    }
    let ceilings = Ceilings::new(10_000, 32);
    let share =
        format!("# connections: {}, by max_connections in [limits]\n", ceilings.share(None));
    assert!(dump.contains(&share), "{dump}");
}

#[test]
fn what_the_environment_says_is_in_a_dump_and_comments_are_not() {
    let main = MAIN.replace("[upstream]", "[upstream] # a password, say\nsource = \"${LAN}\"");
    let dump = config(&main, &[("policies/lyon.toml", HOSTS)]).dump();
    assert!(dump.contains("source = \"192.168.1.125\"\n"), "{dump}");
    assert!(!dump.contains("password"), "{dump}");
}

#[test]
fn what_cannot_be_written_is_said() {
    let variables = |name: &str| (name == "ODD").then(|| "a ${LAN} b".to_owned());
    let policy = format!("description = \"${{ODD}}\"\n{HOSTS}");
    let policies = [("policies/lyon.toml", policy.as_str())];
    let (config, _) = read_texts(("gateway.toml", MAIN), &policies, &variables).unwrap();
    let note = "# description holds what reads as a variable, and cannot be read again\n";
    assert!(config.dump().contains(note), "{}", config.dump());
}

/// Every key, with something else than its default.
const FULL: &str = r#"
state_directory = "/state/of \"it\""
workers = 3
[[listen]]
address = "192.168.1.125:9480"
server_names = ["gateway.example.org", "[2001:db8::1]"]
proxy_protocol_from = ["10.0.0.1", "10.1.0.0/16"]
trusted_proxies = ["2001:db8::/32"]
forwarded_header = "Forwarded"
[[listen]]
address = "[::1]:0"
[upstream]
url = "http://xivo.example.org:8080"
host = "phone.example.org:81"
source = "192.168.1.125"
danger_loopback_source = true
connect_timeout = "251ms"
timeout = "901ms"
list_timeout = "29s"
stall_timeout = "4s"
answer_timeout = "1m"
max_answer = "63m"
send_proxy_protocol = true
[upstream.circuit]
failures = 6
open = "2s"
max_open = "6s"
[upstream.check]
interval = "7s"
search = "caf\u00e9 au lait"
[policies]
directory = "/elsewhere/policies"
[names]
resolver = ["192.0.2.53", "[2001:db8::53]:5353"]
refresh = "61s"
hold_nx = "31s"
hold_timeout = "23h"
hold_error = "22h"
hold_obsolete = "1s"
danger_loopback_names = true
[admin]
address = "[::1]:9481"
server_names = ["gateway.example.org"]
danger_plain_admin = true
[limits]
head_timeout = "6s"
idle_timeout = "61s"
write_timeout = "11s"
max_uri = "3k"
max_head = "15k"
max_header_fields = 63
max_requests_per_connection = 999
max_connection_age = "2h"
max_connections = 400
unknown_connections = 9
handshake_rate = { per_minute = 100, burst = 51 }
rate = { per_second = 1001, burst = 2001 }
unknown_rate = { per_minute = 2, burst = 6 }
[[access_log]]
path = "log/access.log"
if = { status = ["!2xx", "!304"], peer = ["lyon", "-"], reason = "unknown-peer" }
format = "ours"
buffer = "32k"
flush = "2s"
gzip = 3
max_field = 0
search_terms = "hash"
[[access_log]]
path = "/log/${peer}/$peer.log"
format = "gateway"
search_terms = "omit"
[[access_log]]
path = "syslog:server=unix:/dev/log,facility=local0,tag=Tag_1,severity=emerg,nohostname,rfc=5424"
format = "gateway_json"
[[access_log]]
path = "stdout"
buffer = 0
[log_format]
ours = ["escape=json", "{\"a\":\"$request\",", "\"b\":\"${http_x_b}\"}"]
"it's" = '$remote_addr "$request"'
[whoami]
enabled = false
"#;

const POLICIES: &[(&str, &str)] = &[
    (
        "policies/lyon.toml",
        r#"
description = "Lyon, \"the\" site\n# configuration file x:\nof 7"
hosts = ["198.51.100.0/29", "2001:db8:7::1", "xivo.lyon.example.org"]
actions = ["view", "list"]
rate = { per_minute = 90, burst = 3 }
concurrent = 2
connections = 33
min_search_length = 3
enabled = false
valid_from = 2026-11-01T00:00:00Z
valid_until = 2036-11-01T01:00:00+01:00
[certificate]
public_key_sha256 = ["47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="]
san_dns = ["Xivo.example.org"]
san_uri = ["spiffe://example.org/lyon"]
common_name = ["Lyon"]
require = "either"
"#,
    ),
    ("policies/xivo-montreal.toml", "hosts = [\"192.0.2.2\"]\nactions = []\n"),
];
