//! `check` shows everything that is wrong with its place, and its exit code is what scripts rely on.

use std::path::Path;

use serde_json::Value;

use crate::support::program::{Site, run};

const MAIN: &str = r#"[[listen]]
address = "[::]:9480"

[upstream]
url = "http://127.0.0.1:80"
source = "192.168.1.125"
"#;

const PEER: (&str, &str) = ("lyon", "hosts = [\"198.51.100.0/29\"]\n");

/// A port and a log that any host has room for.
fn on_this_host(main: &str) -> String {
    main.replace("[::]:9480", "127.0.0.1:0")
        + "[[access_log]]\npath = \"access.log\"\n[limits]\nmax_connections = 100\n"
}

fn broken() -> Site {
    let main = MAIN.replace("source", "souce");
    let lyon = "description = \"Lyon\"\nhosts = [\"198.51.100.9/29\", \"10.1\"]\n";
    let paris = "hosts = [\"203.0.113.17\"]\nactions = [\"search\", \"list\"]\n";
    Site::new(&main, &[("lyon", lyon), ("paris", paris)])
}

#[test]
fn all_problems_of_all_files_are_shown_at_once() {
    let run = broken().run(&["check", "--offline", "--config", "gateway.toml"]);
    assert_eq!((run.code, run.stdout.as_str()), (Some(1), ""));
    assert_eq!(
        run.stderr,
        r#"error: unknown key "souce" in [upstream]
 --> gateway.toml:6:1
  |
6 | souce = "192.168.1.125"
  | ^^^^^ no such key
  |
  = help: did you mean `source`?

error: `hosts`: "198.51.100.9/29" has host bits set
 --> policies/lyon.toml:2:10
  |
2 | hosts = ["198.51.100.9/29", "10.1"]
  |          ^^^^^^^^^^^^^^^^^ allowed: a prefix whose remaining bits are zero
  |
  = help: write "198.51.100.8/29" for the network, or "198.51.100.9" for the one host

error: `hosts`: "10.1" is abbreviated
 --> policies/lyon.toml:2:29
  |
2 | hosts = ["198.51.100.9/29", "10.1"]
  |                             ^^^^^^ allowed: four numbers from 0 to 255, such as 192.168.1.124
  |
  = help: write all four numbers; for the whole network write "10.1.0.0/16"

warning: `actions`: list gives away the whole phonebook in one request
 --> policies/paris.toml:2:22
  |
2 | actions = ["search", "list"]
  |                      ^^^^^^ granted here
  |
  = help: XiVO's own lookups need search only

phonebook-gateway: the configuration gateway.toml has 3 errors and 1 warning
"#
    );
}

#[test]
fn programs_read_the_problems_as_json() {
    let run =
        broken().run(&["check", "--offline", "--config", "gateway.toml", "--json", "--quiet"]);
    assert_eq!((run.code, run.stderr.as_str()), (Some(1), ""));
    let problems: Value = serde_json::from_str(&run.stdout).unwrap();
    let places: Vec<_> = problems
        .as_array()
        .unwrap()
        .iter()
        .map(|problem| {
            let text = |key: &str| problem[key].as_str().unwrap().to_owned();
            (text("severity"), text("file"), problem["line"].as_u64(), problem["column"].as_u64())
        })
        .collect();
    let place = |severity: &str, file: &str, line, column| {
        (severity.to_owned(), file.to_owned(), Some(line), Some(column))
    };
    assert_eq!(
        places,
        [
            place("error", "gateway.toml", 6, 1),
            place("error", "policies/lyon.toml", 2, 10),
            place("error", "policies/lyon.toml", 2, 29),
            place("warning", "policies/paris.toml", 2, 22),
        ]
    );
}

#[test]
fn a_valid_configuration_is_said_to_be_valid_under_each_name_of_the_command() {
    let site = Site::new(MAIN, &[PEER]);
    let valid = "phonebook-gateway: client connections at once: 10000 in all, of them 1250 of a peer; callers in no \
                 policy 2500 together, 32 from one address\n\
                 phonebook-gateway: the configuration gateway.toml is valid: 1 peer, 1 listener, no warnings\n";
    for words in [
        ["check", "--offline", "--config", "gateway.toml"],
        ["--config", "gateway.toml", "check", "--offline"],
        ["-t", "--offline", "-c", "gateway.toml"],
        ["-c", "gateway.toml", "-t", "--offline"],
        ["check", "--offline", "--strict", "--config=gateway.toml"],
    ] {
        let run = site.run(&words);
        assert_eq!((run.code, run.stderr.as_str()), (Some(0), valid), "{words:?}");
    }
    let json = site.run(&["check", "--offline", "--config", "gateway.toml", "--json", "-q"]);
    assert_eq!((json.code, json.stdout.as_str(), json.stderr.as_str()), (Some(0), "[]\n", ""));
}

#[test]
fn what_the_numbers_of_connections_come_to_is_said() {
    let (name, hosts) = PEER;
    let main = MAIN.to_owned() + "[limits]\nmax_connections = 400\nunknown_connections = 9\n";
    let site = Site::new(&main, &[(name, &format!("{hosts}connections = 300\n"))]);
    let run = site.run(&["check", "--offline", "-c", "gateway.toml"]);
    let said = format!(
        "client connections at once: 400 in all, of them 64 of a peer ({name} 300); callers in no policy 100 together, 9 \
         from one address\n"
    );
    assert!(run.code == Some(0) && run.stderr.contains(&said), "{run:?}");
}

#[test]
fn warnings_are_findings_only_when_strict() {
    let all = ("all", "hosts = [\"203.0.113.17\"]\nactions = [\"list\"]\n");
    let site = Site::new(MAIN, &[PEER, all]);
    let lenient = site.run(&["check", "--offline", "--config", "gateway.toml"]);
    assert_eq!(lenient.code, Some(0));
    assert!(lenient.stderr.contains("is valid: 2 peers, 1 listener, 1 warning\n"), "{lenient:?}");
    let strict = site.run(&["check", "--offline", "--config", "gateway.toml", "--strict"]);
    assert_eq!(strict.code, Some(1));
    assert!(strict.stderr.contains("warning: `actions`: list"), "{strict:?}");
}

#[test]
fn what_serve_would_refuse_check_refuses() {
    let site = Site::new(&on_this_host(&MAIN.replace("source", "# source")), &[PEER]);
    let check = site.run(&["check", "--config", "gateway.toml"]);
    assert_eq!(check.code, Some(1));
    for part in [
        "error: connections to XiVO at 127.0.0.1:80 would come from 127.0.0.1",
        "gateway.toml:4",
        "has 1 error\n",
    ] {
        assert!(check.stderr.contains(part), "{part}: {}", check.stderr);
    }
    let json = site.run(&["check", "--config", "gateway.toml", "--json"]);
    let problems: Value = serde_json::from_str(&json.stdout).unwrap();
    assert_eq!((json.code, problems[0]["line"].as_u64()), (Some(1), Some(4)), "{problems}");
    let serve = site.run(&["serve", "--config", "gateway.toml"]);
    assert_eq!(serve.code, Some(78));
    assert!(serve.stderr.contains("would come from 127.0.0.1"), "{}", serve.stderr);
}

#[test]
fn what_serve_would_refuse_of_a_name_check_and_explain_refuse() {
    let url = "/service/ipbx/json.php/restricted/pbx_services/phonebook?act=search&search=doe";
    for name in ["localhost", "LOCALHOST"] {
        let main = MAIN.replace("127.0.0.1", name).replace("source", "# source");
        let site = Site::new(&on_this_host(&main), &[PEER]);
        let check = site.run(&["check", "--config", "gateway.toml"]);
        assert_eq!(check.code, Some(1), "{}", check.stderr);
        for part in ["error: connections to XiVO at ", "gateway.toml:4", "has 1 error\n"] {
            assert!(check.stderr.contains(part), "{part}: {}", check.stderr);
        }
        let explain = ["explain", "-c", "gateway.toml", "--from", "198.51.100.1", url];
        let explain = site.run(&explain);
        assert_eq!(explain.code, Some(1), "{}", explain.stderr);
        assert!(explain.stderr.contains("`serve` does not start"), "{}", explain.stderr);
        assert!(explain.stdout.contains("into [upstream]: "), "{}", explain.stdout);
        assert!(!explain.stdout.contains("Web Services user"), "{}", explain.stdout);
        let serve = site.run(&["serve", "--config", "gateway.toml"]);
        assert_eq!(serve.code, Some(78), "{}", serve.stderr);
        assert!(serve.stderr.contains("connections to XiVO at "), "{}", serve.stderr);
    }
}

#[test]
fn a_loopback_source_that_is_wanted_becomes_no_web_services_user() {
    let main = MAIN.replace("source = \"192.168.1.125\"", "danger_loopback_source = true");
    let url = "/service/ipbx/json.php/restricted/pbx_services/phonebook?act=search&search=doe";
    let explain = ["explain", "-c", "gateway.toml", "--from", "198.51.100.1", url];
    let run = Site::new(&main, &[PEER]).run(&explain);
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    let hint =
        "XiVO grants everything to 127.0.0.1 without a Web Services user: add none for it.\n";
    assert!(run.stdout.ends_with(hint), "{}", run.stdout);
}

#[test]
fn a_name_that_does_not_resolve_is_a_warning() {
    let main = MAIN.replace("127.0.0.1", "xivo.invalid").replace("source", "# source");
    let site = Site::new(&on_this_host(&main), &[PEER]);
    let check = site.run(&["check", "--config", "gateway.toml"]);
    assert_eq!(check.code, Some(0), "{}", check.stderr);
    for part in ["warning: xivo.invalid ", "502", "gateway.toml:4", "1 warning\n"] {
        assert!(check.stderr.contains(part), "{part}: {}", check.stderr);
    }
    let strict = site.run(&["check", "--config", "gateway.toml", "--strict", "--json"]);
    let problems: Value = serde_json::from_str(&strict.stdout).unwrap();
    assert_eq!((strict.code, problems[0]["severity"].as_str()), (Some(1), Some("warning")));
}

#[test]
fn a_missing_configuration_is_a_finding() {
    let none =
        run(Path::new("/"), &["check", "--offline", "--config", "/nonexistent/gateway.toml"]);
    assert_eq!(none.code, Some(1));
    assert!(none.stderr.contains("/nonexistent/gateway.toml cannot be read"), "{}", none.stderr);
}
