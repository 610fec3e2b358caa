//! Targets of access logs, and which requests they take.

use std::path::Path;

use super::*;
use crate::access_log::{LogSettings, LogTarget, PeerPath, Syslog, SyslogRfc, SyslogServer};

/// The one log of a configuration with these lines.
fn log(lines: &str) -> LogSettings {
    let mut config = config(&format!("{MAIN}[[access_log]]\n{lines}\n"), POLICIES);
    assert_eq!(config.access_logs.len(), 1);
    config.access_logs.remove(0)
}

fn syslog(text: &str) -> Syslog {
    let target = log(&format!("path = \"syslog:{text}\"")).target;
    let LogTarget::Syslog(syslog) = target else { panic!("{target:?}") };
    syslog
}

#[test]
fn a_condition_takes_what_all_of_its_keys_say() {
    let takes = |lines: &str, status, peer, reason| {
        let condition = log(lines).condition.unwrap();
        condition.takes(status, peer, reason)
    };
    let text = "if = { status = [\"4xx\", \"5xx\", 200], peer = [\"xivo-montreal\", \"-\"], reason = \"!unknown-peer\" }";
    assert!(takes(text, 404, Some("xivo-montreal"), Some("unknown-path")));
    assert!(takes(text, 200, None, None));
    assert!(!takes(text, 304, None, None));
    assert!(!takes(text, 403, None, Some("unknown-peer")));
    assert!(!takes(text, 404, Some("lyon"), Some("unknown-path")));
    assert!(takes("if.status = 499", 499, None, None));
    assert!(takes("if.status = [\"!2xx\", \"!304\"]", 404, None, None));
    assert!(!takes("if.status = [\"!2xx\", \"!304\"]", 304, None, None));
    assert!(takes("if.reason = \"-\"", 200, Some("lyon"), None));
    assert!(!takes("if.reason = \"!-\"", 200, Some("lyon"), None));
    assert!(log("path = \"./a\"").condition.is_none());
}

#[test]
fn syslog_has_nginxs_words_and_defaults() {
    let default = Syslog {
        server: SyslogServer::Udp("192.168.1.1:514".parse().unwrap()),
        facility: 23,
        severity: 6,
        tag: "phonebook_gateway".to_owned(),
        nohostname: false,
        rfc: SyslogRfc::Rfc3164,
    };
    assert_eq!(syslog("server=192.168.1.1"), default);
    let written = syslog(
        "server=[2001:db8::1]:12345,facility=local0,tag=Tag_1,severity=emerg,nohostname,rfc=5424",
    );
    let server = SyslogServer::Udp("[2001:db8::1]:12345".parse().unwrap());
    let tag = "Tag_1".to_owned();
    let expected = Syslog {
        server,
        facility: 16,
        severity: 0,
        tag,
        nohostname: true,
        rfc: SyslogRfc::Rfc5424,
    };
    assert_eq!(written, expected);
    let unix = SyslogServer::Unix("/dev/log".into());
    assert_eq!(syslog("server=unix:/dev/log"), Syslog { server: unix, ..default });
    assert_eq!(log("path = \"syslog:server=[::1]\"").buffer, 0);
}

#[test]
fn a_path_with_the_peer_is_one_for_each() {
    for text in ["logs/$peer/${peer}_a.log", "logs/${peer}/${peer}_a.log"] {
        let LogTarget::PerPeer(path) = log(&format!("path = \"{text}\"")).target else {
            panic!("{text}")
        };
        assert_eq!(path.of("lyon"), Path::new("logs/lyon/lyon_a.log"));
        assert_eq!(path.of(PeerPath::NOBODY), Path::new("logs/-/-_a.log"));
    }
}

#[test]
fn gzip_is_a_level_and_true_is_nginxs() {
    assert_eq!(log("gzip = 9").gzip, Some(9));
    assert_eq!(log("gzip = true").gzip, Some(1));
    assert_eq!(log("gzip = false\nbuffer = 0").gzip, None);
}

#[test]
fn each_mistake_in_a_log_is_one_error_at_its_place() {
    let policies = [POLICIES, &[("policies/montreal.toml", "hosts = [\"192.0.2.3\"]\n")]].concat();
    for (lines, location, part, advice) in BAD {
        let outcome = texts(&format!("{MAIN}[[access_log]]\n{lines}\n"), &policies);
        assert!(outcome.is_err(), "{lines}");
        assert_one(outcome, &format!("gateway.toml:{location}"), part, advice);
    }
}

#[test]
fn a_peer_that_no_policy_has_is_doubtful() {
    let found =
        |lines: &str| texts(&format!("{MAIN}[[access_log]]\nif.peer = {lines}\n"), POLICIES);
    let location = "gateway.toml:6:";
    let outcome = found("[\"xivo-montral\", \"lyon\"]");
    assert!(outcome.is_ok());
    let part = "warning: `access_log.if.peer`: no policy has the name \"xivo-montral\"";
    assert_one(outcome, location, part, "did you mean \"xivo-montreal\"?");
    let part = "no policy has the name \"nice\"";
    assert_one(found("\"!nice\""), location, part, "there are lyon and xivo-montreal");
    assert!(lines(found("[\"lyon\", \"-\"]")).is_empty());
}

#[test]
fn logs_whose_paths_differ_for_every_peer_stand_beside_each_other() {
    let text = format!(
        "{MAIN}[[access_log]]\npath = \"/x/$peer.log\"\n[[access_log]]\npath = \"/x/access.log\"\n\
         [[access_log]]\npath = \"/x/$peer-errors.log\"\nif.status = \"5xx\"\n\
         [[access_log]]\npath = \"syslog:server=10.0.0.1,tag=a\"\n\
         [[access_log]]\npath = \"syslog:server=10.0.0.1,tag=b\"\n"
    );
    assert_eq!(config(&text, POLICIES).access_logs.len(), 5);
}

const POLICIES: &[(&str, &str)] =
    &[("policies/lyon.toml", HOSTS), ("policies/xivo-montreal.toml", "hosts = [\"192.0.2.2\"]\n")];

/// What is wrong in a log's section, whose first line is the sixth.
#[rustfmt::skip]
const BAD: &[(&str, &str, &str, &str)] = &[
    // `if`.
    ("if = \"4xx\"", "6:6", "`access_log.if`: it is no table", "write if = { status"),
    ("if = {}", "6:6", "`access_log.if`: it is empty", "for all requests leave it out"),
    ("if = { state = 404 }", "6:8", "unknown key \"state\" in [access_log.if]", "did you mean `status`?"),
    ("if = { status = [] }", "6:17", "`access_log.if.status`: found a list", "allowed: \"4xx\""),
    ("if = { status = \"6xx\" }", "6:17", "\"6xx\" is no status", "\"1xx\" to \"5xx\""),
    ("if = { status = [\"200\", \"600\"] }", "6:25", "\"600\" is no status", "\"100\" to \"599\""),
    ("if = { status = 99 }", "6:17", "99 is out of range", "from 100 to 599"),
    ("if = { status = [\"4xx\", \"!499\"] }", "6:25", "\"!499\" stands among others", "before all or before none"),
    ("if = { status = true }", "6:17", "found the boolean true", "a list of such"),
    ("if = { reason = \"unknown_peer\" }", "6:17", "\"unknown_peer\" is no word of a refusal", "did you mean \"unknown-peer\"?"),
    ("if = { reason = [\"!rate-limit\"] }", "6:18", "\"rate-limit\" is no word", "did you mean \"rate-limited\"?"),
    ("if = { reason = \"slow\" }", "6:17", "\"slow\" is no word", "they are malformed-request, "),
    ("if = { peer = \"\" }", "6:15", "\"\" is no peer", "\"-\" for nobody"),
    ("if = { peer = [\"lyon\", \"!-\"] }", "6:24", "\"!-\" stands among others", "without, these"),
    // syslog.
    ("path = \"syslog:\"", "6:8", "unknown syslog parameter \"\"", "server, facility"),
    ("path = \"syslog:tag=a\"", "6:8", "no syslog server is given", "server=unix:/dev/log"),
    ("path = \"syslog:server=a.example.org\"", "6:8", "\"a.example.org\" is no syslog server", "write the host's address"),
    ("path = \"syslog:server=localhost\"", "6:8", "\"localhost\" is no syslog server", "write server=127.0.0.1"),
    ("path = \"syslog:server=2001:db8::1\"", "6:8", "is no syslog server", "write server=[2001:db8::1]"),
    ("path = \"syslog:server=/dev/log\"", "6:8", "is no syslog server", "write server=unix:/dev/log"),
    ("path = \"syslog:server=10.0.0.1:0\"", "6:8", "has port 0", "1 to 65535"),
    ("path = \"syslog:server=0.0.0.0\"", "6:8", "is no host's address", "192.0.2.1"),
    ("path = \"syslog:server=unix:log\"", "6:8", "\"log\" is no path of a socket", "absolute"),
    ("path = \"syslog:server=10.0.0.1,facility=local8\"", "6:8", "unknown syslog facility \"local8\"", "did you mean facility=local"),
    ("path = \"syslog:server=10.0.0.1,severity=err\"", "6:8", "unknown syslog severity \"err\"", "allowed: emerg, alert"),
    ("path = \"syslog:server=10.0.0.1,tag=phonebook-gateway\"", "6:8", "the syslog tag \"phonebook-gateway\" has other characters", "underscores"),
    ("path = \"syslog:server=10.0.0.1,tag=\"", "6:8", "has 0 characters", "1 to 32"),
    ("path = \"syslog:server=10.0.0.1,tag=aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"", "6:8", "has 33 characters", "1 to 32"),
    ("path = \"syslog:server=10.0.0.1,server=10.0.0.2\"", "6:8", "\"server=\" is repeated", "once"),
    ("path = \"syslog:server=10.0.0.1,facilty=cron\"", "6:8", "unknown syslog parameter \"facilty=cron\"", "did you mean facility=…?"),
    ("path = \"syslog:server=10.0.0.1,nohostname=on\"", "6:8", "unknown syslog parameter \"nohostname=on\"", "without a value"),
    ("path = \"syslog:server=10.0.0.1,rfc=5425\"", "6:8", "\"rfc=5425\" is unknown", "rfc=5424"),
    ("path = \"syslog\"", "6:8", "\"syslog\" is no target", "server=unix:/dev/log"),
    ("path = \"syslog:server=10.0.0.1\"\nbuffer = \"64k\"", "7:10", "cannot be buffered", "leave it out"),
    ("path = \"syslog:server=10.0.0.1\"\nflush = \"1s\"", "7:9", "cannot be buffered", "leave it out"),
    ("path = \"syslog:server=10.0.0.1\"\ngzip = 1", "7:8", "cannot be compressed", "leave it out"),
    // gzip.
    ("path = \"stdout\"\ngzip = true", "7:8", "the standard output is not compressed", "pipe it through gzip"),
    ("gzip = 1\nbuffer = 0", "7:10", "gzip compresses what is buffered", "more than 0"),
    ("gzip = 10", "6:8", "10 is out of range", "from 1 to 9"),
    ("gzip = 0", "6:8", "0 is out of range", "from 1 to 9"),
    ("gzip = \"6\"", "6:8", "neither a level nor true or false", "1 (fast) to 9 (small)"),
    // Paths.
    ("path = \"/x/$host.log\"", "6:8", "$host cannot stand in a path", "choose requests by `if`"),
    ("path = \"/x/${status}.log\"", "6:8", "$status cannot stand in a path", "allowed: $peer"),
    ("path = \"/x/$pear.log\"", "6:8", "$pear cannot stand in a path", "did you mean $peer?"),
    ("path = \"/x/$peer_log\"", "6:8", "$peer_log cannot stand in a path", "did you mean ${peer}_log?"),
    ("path = \"/x/$.log\"", "6:8", "a `$` stands before \".log\"", "${peer}"),
    ("path = \"/x/$peer.toml\"", "6:8", "named like a file of the configuration", ".toml"),
    ("path = \"/x/$peer\"\n[[access_log]]\npath = \"/x/${peer}\"", "8:8", "repeated: the log of gateway.toml:5", "once"),
    ("path = \"syslog:server=10.0.0.1\"\n[[access_log]]\npath = \"syslog:server=10.0.0.1:514\"", "8:8", "repeated: the log of gateway.toml:5", "once"),
    ("path = \"/x/lyon.log\"\n[[access_log]]\npath = \"/x/$peer.log\"", "8:8", "for the peer `lyon` this is /x/lyon.log, and the log of gateway.toml:5 goes there too", "rename the peer"),
    ("path = \"/x/$peer\"\n[[access_log]]\npath = \"/x/-\"", "8:8", "this is /x/-, and the log of gateway.toml:5", "change one"),
    ("path = \"/x/xivo-$peer\"\n[[access_log]]\npath = \"/x/$peer\"", "8:8", "for the peer `xivo-montreal` this is /x/xivo-montreal", ""),
];
