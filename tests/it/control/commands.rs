//! Each command against a gateway that runs.

use std::fs;

use rustix::process::Signal;
use serde_json::{Value, json};

use super::{Controlled, ask, main_file};
use crate::support::{
    binary::Binary,
    live::{PATIENT, Setup, policy},
    pki::{Authority, Wanted},
    process::becomes_true,
    raw::Client,
    scripted::Scripted,
    tls::text,
};

fn lyon(controlled: &Controlled) -> Value {
    controlled.told(json!({"command": "peers", "name": "lyon"}))["peers"][0].clone()
}

fn message(answer: &Value) -> (&str, i64) {
    let error = &answer["error"];
    (error["message"].as_str().unwrap_or_default(), error["exit"].as_i64().unwrap_or_default())
}

#[test]
fn status_tells_what_runs_and_counts_what_was_asked() {
    let controlled = Controlled::start();
    let mut client = controlled.client();
    for _ in 0..3 {
        assert_eq!(client.lookup("one").status, 200);
    }
    client.send("GET /private HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(client.answer().status, 404);
    let mut stranger = Client::connect_from(controlled.address, Some("127.0.0.9".parse().unwrap()));
    assert_eq!(stranger.lookup("one").status, 403);
    stranger.send("GET /.well-known/phonebook-gateway/whoami HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(stranger.answer().status, 200);
    let mut status = Value::Null;
    // A request is counted when its record is closed, a moment after its answer.
    assert!(becomes_true(|| {
        status = controlled.told(json!({"command": "status"}));
        status["requests"]["refused"] == 2 && status["requests"]["introduced"] == 1
    }));
    assert_eq!(status["requests"]["answered"], 3);
    assert_eq!(status["requests"]["reasons"], json!({"unknown-path": 1, "unknown-peer": 1}));
    assert_eq!(status["phase"], "serving");
    assert_eq!(status["program"], env!("CARGO_PKG_VERSION"));
    assert_eq!(status["pid"], controlled.gateway.pid());
    assert_eq!(status["listeners"][0]["address"], controlled.address.to_string());
    let workers = status["workers"].as_array().unwrap();
    let sum: u64 = workers.iter().map(|worker| worker["requests"].as_u64().unwrap()).sum();
    assert_eq!((workers.len(), sum), (2, 6));
    assert_eq!(status["connections"]["open"], 2);
    assert_eq!(
        (&status["connections"]["peers"], &status["connections"]["unknown"]),
        (&json!(1), &json!(1))
    );
    let url = format!("http://{}", controlled.upstream.address());
    assert_eq!(
        (&status["upstream"]["url"], &status["upstream"]["answered"]),
        (&json!(url), &json!(3))
    );
    assert_eq!(status["upstream"]["last_failure"], Value::Null);
    assert_eq!(status["peers"], json!({"policies": 1, "in_force": 1}));
    assert!(becomes_true(|| {
        controlled.told(json!({"command": "status"}))["logs"][0]["written"] == 6
    }));
    let file = controlled.gateway.path("gateway.toml");
    assert_eq!(status["configuration"]["file"], file.to_str().unwrap());
}

#[test]
fn peers_tell_what_is_left_of_their_limits_and_why_the_last_was_refused() {
    let controlled = Controlled::with(|setup| {
        let lines = "description = \"The house in Lyon\"\nrate = { per_minute = 1, burst = 5 }\nconcurrent = 3";
        setup.policy("lyon", policy("127.0.0.1", lines))
    });
    let row = lyon(&controlled);
    assert_eq!((&row["rate"]["left"], &row["rate"]["burst"]), (&json!(5), &json!(5)));
    assert_eq!(
        (&row["requests"]["last_seen"], &row["requests"]["last_refusal"]),
        (&Value::Null, &Value::Null)
    );
    assert_eq!(
        (&row["state"], &row["description"]),
        (&json!("allowed"), &json!("The house in Lyon"))
    );
    assert_eq!(row["hosts"][0]["host"], "127.0.0.1");
    assert_eq!(row["actions"], json!(["search", "list", "view"]));
    let mut client = controlled.client();
    for left in (0..5).rev() {
        assert_eq!(client.lookup("one").status, 200);
        assert_eq!(lyon(&controlled)["rate"]["left"], left);
    }
    assert_eq!(client.lookup("one").status, 429);
    assert!(
        becomes_true(|| lyon(&controlled)["requests"]["reasons"] == json!({"rate-limited": 1}))
    );
    let row = lyon(&controlled);
    let last = &row["requests"]["last_refusal"];
    assert_eq!(last["reason"], "rate-limited");
    assert!(last["why"].as_str().unwrap().contains("limit: peer"), "{last}");
    assert_eq!(
        (&row["in_flight"], &row["connections"]["now"]),
        (&json!({"now": 0, "most": 3}), &json!(1))
    );
    let done = controlled.told(json!({"command": "reset", "name": "lyon"}));
    assert!(done["done"].as_str().unwrap().contains("5 times at once"), "{done}");
    assert_eq!(lyon(&controlled)["rate"]["left"], 5);
    assert_eq!(client.lookup("one").status, 200);
    // All of them, and those in no policy.
    let all = controlled.told(json!({"command": "peers"}));
    assert_eq!(
        (all["peers"].as_array().unwrap().len(), &all["unknown"]["answered"]),
        (1, &json!(0))
    );
}

#[test]
fn a_name_that_no_peer_has_is_answered_with_the_nearest() {
    let controlled = Controlled::start();
    for command in ["peers", "disable", "enable", "reset"] {
        let answer = controlled.ask(json!({"command": command, "name": "lyonn"}));
        let (message, exit) = message(&answer);
        assert!(message.contains("no peer `lyonn`; did you mean `lyon`?"), "{command}: {message}");
        assert_eq!(exit, 1);
        let answer = controlled.ask(json!({"command": command, "name": "../x\u{1b}[2J"}));
        let (message, _) = self::message(&answer);
        assert!(
            message.contains("ctl peers` lists them") && !message.contains('\u{1b}'),
            "{message}"
        );
    }
}

#[test]
fn a_peer_that_is_switched_off_is_refused_everywhere_and_says_so_until_it_is_switched_on() {
    let controlled = Controlled::start();
    let mut client = controlled.client();
    assert_eq!(client.lookup("one").status, 200);
    let command = json!({"command": "disable", "name": "lyon", "seconds": 7200, "why": "a \u{1b}virus", "by": "marie"});
    let done = controlled.told(command);
    assert_eq!(done["warning"], Value::Null);
    // Also on a connection that was open before, and on each worker.
    assert_eq!(client.lookup("one").status, 403);
    for _ in 0..8 {
        let answer = controlled.client().lookup("one");
        assert_eq!(answer.status, 403);
        let body = String::from_utf8(answer.body).unwrap();
        assert!(body.contains("Access is switched off") && !body.contains("virus"), "{body}");
    }
    let row = lyon(&controlled);
    assert_eq!(row["state"], "disabled");
    let why = row["why"].as_str().unwrap();
    assert!(why.contains("marie") && why.contains("virus"), "{why}");
    assert!(becomes_true(|| lyon(&controlled)["requests"]["reasons"]["peer-disabled"] == 9));
    assert_eq!(lyon(&controlled)["requests"]["last_refusal"]["reason"], "peer-disabled");
    let status = controlled.told(json!({"command": "status"}));
    assert_eq!(status["peers"], json!({"policies": 1, "in_force": 0}));
    let off = &status["disabled"][0];
    assert_eq!(
        (&off["name"], &off["has_policy"], &off["by"]),
        (&json!("lyon"), &json!(true), &json!("marie"))
    );
    // The kernel knows who this test is.
    assert_eq!(off["uid"], json!(rustix::process::getuid().as_raw()));
    let said = controlled.gateway.stderr();
    assert!(said.contains("`lyon` was switched off at") && said.contains("virus"), "{said}");
    assert!(!said.contains('\u{1b}'), "{said:?}");
    assert!(said.contains("reason=\"peer-disabled\""), "{said}");
    controlled.told(json!({"command": "enable", "name": "lyon"}));
    assert_eq!(controlled.client().lookup("one").status, 200);
    let answer = controlled.ask(json!({"command": "enable", "name": "lyon"}));
    assert!(message(&answer).0.contains("was not switched off"), "{answer}");
}

#[test]
fn it_ends_by_itself() {
    let controlled = Controlled::start();
    controlled.told(json!({"command": "disable", "name": "lyon", "seconds": 1}));
    // A connection that has only been refused is closed.
    assert!(becomes_true(|| controlled.client().lookup("one").status == 200));
    assert!(becomes_true(|| controlled.gateway.stderr().contains("the time is over: `lyon`")));
    assert_eq!(controlled.told(json!({"command": "status"}))["disabled"], json!([]));
    for seconds in [0_u64, u64::MAX] {
        let command = json!({"command": "disable", "name": "lyon", "seconds": seconds});
        assert_eq!(message(&controlled.ask(command)).1, 2);
    }
}

#[test]
fn a_restart_lets_nobody_in_who_is_switched_off() {
    let upstream = Scripted::well();
    let setup = Setup::new(upstream.address()).upstream(PATIENT);
    let state = tempfile::tempdir().unwrap();
    let directory = state.path().join("state");
    let main = main_file(&setup).replace("\"state\"", &format!("{directory:?}"));
    let (name, policy) = &setup.policies[0];
    let start = || {
        let mut gateway = Binary::serve_texts(&main, &[(name, policy)]);
        let address = gateway.address();
        (gateway, address)
    };
    let (mut first, address) = start();
    assert_eq!(Client::connect(address).lookup("one").status, 200);
    let disable = json!({"command": "disable", "name": "lyon", "why": "a virus"});
    ask(&first.path("control.sock"), disable);
    // However it ends.
    first.signal(Signal::KILL);
    first.exit();
    let (mut second, address) = start();
    assert_eq!(Client::connect(address).lookup("one").status, 403);
    let status = ask(&second.path("control.sock"), json!({"command": "status"}));
    assert_eq!(status["ok"]["disabled"][0]["why"], "a virus");
    ask(&second.path("control.sock"), json!({"command": "enable", "name": "lyon"}));
    second.signal(Signal::TERM);
    second.exit();
    let (third, address) = start();
    assert_eq!(Client::connect(address).lookup("one").status, 200);
    drop(third);
    // What cannot be understood lets nobody in by mistake.
    fs::write(directory.join("disabled.json"), "{").unwrap();
    let mut fourth = Binary::serve_texts(&main, &[(name, policy)]);
    assert_eq!(fourth.exit().code(), Some(3));
    assert!(fourth.stderr().contains("disabled.json"), "{}", fourth.stderr());
}

#[test]
fn a_state_directory_that_cannot_be_written_is_said_and_the_peer_is_refused_all_the_same() {
    let upstream = Scripted::well();
    let setup = Setup::new(upstream.address()).upstream(PATIENT);
    // A file in its place.
    let main = main_file(&setup).replace("\"state\"", "\"gateway.toml\"");
    let (name, policy) = &setup.policies[0];
    let controlled = Controlled::of(Binary::serve_texts(&main, &[(name, policy)]), upstream);
    let done = controlled.told(json!({"command": "disable", "name": "lyon"}));
    let warning = done["warning"].as_str().unwrap();
    assert!(warning.contains("disabled.json") && warning.contains("after a restart"), "{warning}");
    assert_eq!(controlled.client().lookup("one").status, 403);
}

#[test]
fn the_last_malformed_heads_are_shown_with_what_is_wrong_in_them() {
    let controlled = Controlled::start();
    controlled.client().send("GET /a HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n");
    let mut heads = Value::Null;
    assert!(becomes_true(|| {
        heads = controlled.told(json!({"command": "errors"}))["heads"].clone();
        heads[0].is_object()
    }));
    let head = &heads[0];
    assert_eq!((&head["address"], &head["peer"]), (&json!("127.0.0.1"), &json!("lyon")));
    assert_eq!(head["reason"], "malformed-request");
    assert!(head["rule"].as_str().unwrap().contains("control byte"), "{head}");
    assert_eq!(head["before"], "GET /a HTTP/1.1\\r\\nHost: a\\r\\nX: a");
    assert_eq!((&head["fault"], &head["hidden"]), (&json!("\\x00"), &json!(false)));
    for number in 0..130 {
        let mut client = controlled.client();
        client.send(format!("GET /{number}#x HTTP/1.1\r\nHost: a\r\n\r\n"));
        assert_eq!(client.answer().status, 400);
    }
    let heads = controlled.told(json!({"command": "errors"}))["heads"].clone();
    let heads = heads.as_array().unwrap();
    assert_eq!(heads.len(), 100);
    assert_eq!(
        (&heads[0]["before"], &heads[99]["before"]),
        (&json!("GET /129"), &json!("GET /30"))
    );
}

#[test]
fn search_terms_are_hidden_in_malformed_heads_where_the_log_hides_them() {
    let upstream = Scripted::well();
    let setup = Setup::new(upstream.address()).upstream(PATIENT);
    let main =
        main_file(&setup).replace("flush = \"10ms\"", "flush = \"10ms\"\nsearch_terms = \"omit\"");
    let (name, policy) = &setup.policies[0];
    let controlled = Controlled::of(Binary::serve_texts(&main, &[(name, policy)]), upstream);
    for head in [
        "GET /x?act=search&search=lefevre#x HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /x?search=lefevre HTTP/1.1\r\nReferer: /?search=lefevre\r\nHost: a\r\nHost: a\r\n\r\n",
        "GET /x HTTP/1.1\r\nHost: le fevre\r\n\r\n",
    ] {
        let mut client = controlled.client();
        client.send(head);
        assert_eq!(client.answer().status, 400);
    }
    let heads = controlled.told(json!({"command": "errors"}))["heads"].clone();
    assert_eq!(heads.as_array().unwrap().len(), 3);
    let shown = heads.to_string();
    assert!(!shown.contains("fevre") && shown.contains("\"hidden\":true"), "{shown}");
}

#[test]
fn connections_are_told_by_holder_and_state() {
    let controlled = Controlled::start();
    let mut idle = controlled.client();
    assert_eq!(idle.lookup("one").status, 200);
    let _new = controlled.client();
    let _unknown = Client::connect_from(controlled.address, Some("127.0.0.9".parse().unwrap()));
    let mut told = Value::Null;
    assert!(becomes_true(|| {
        told = controlled.told(json!({"command": "connections"}));
        told["summary"]["open"] == 3 && told["summary"]["idle"] == 1
    }));
    let holders = told["holders"].as_array().unwrap();
    let find = |kind: &str| holders.iter().find(|holder| holder["kind"] == kind).unwrap();
    let peer = find("peer");
    assert_eq!(
        (&peer["name"], &peer["open"], &peer["new"], &peer["idle"]),
        (&json!("lyon"), &json!(2), &json!(1), &json!(1))
    );
    let unknown = find("unknown");
    assert_eq!((&unknown["name"], &unknown["new"]), (&json!("127.0.0.9"), &json!(1)));
}

#[test]
fn certificates_and_names_are_those_in_use() {
    let upstream = Scripted::well();
    let mut setup = Setup::new(upstream.address()).upstream(PATIENT);
    let certificate = Authority::new("Site CA").issue(&Wanted::server("localhost"));
    let files = tempfile::tempdir().unwrap();
    let (pem, key) = certificate.write(files.path(), "gateway");
    setup.listen =
        format!("tls = {{ certificate = {:?}, private_key = {:?} }}", text(&pem), text(&key));
    // Nobody answers on port 9 of this host.
    let main = main_file(&setup) + "[names]\nresolver = [\"127.0.0.1:9\"]\n";
    let (name, policy) = &setup.policies[0];
    let named = "hosts = [\"xivo.example.org\"]\nactions = [\"search\"]\n";
    let mut gateway = Binary::serve_texts(&main, &[(name, policy), ("named", named)]);
    gateway.address();
    let socket = gateway.path("control.sock");
    let told = |command: &str| ask(&socket, json!({"command": command}))["ok"].clone();
    let certificates = told("certs")["certificates"].clone();
    assert_eq!(certificates[0]["file"], text(&pem));
    assert!(certificates[0]["use_for"].as_str().unwrap().starts_with("listener 127.0.0.1:"));
    assert!(certificates[0]["days_left"].as_i64().unwrap() > 0, "{certificates}");
    let mut names = Value::Null;
    assert!(becomes_true(|| {
        names = told("names")["names"].clone();
        names[0]["failing_since"].is_string()
    }));
    assert_eq!(
        (&names[0]["name"], &names[0]["peer"]),
        (&json!("xivo.example.org"), &json!("named"))
    );
    assert_eq!((&names[0]["addresses"], &names[0]["resolved"]), (&json!([]), &Value::Null));
    let status = told("status");
    assert_eq!(status["names"], json!({"count": 1, "failing": 1}));
    assert_eq!(status["certificates"].as_array().unwrap().len(), 1);
    let peers = told("peers")["peers"].clone();
    assert_eq!(
        peers[1]["hosts"][0],
        json!({"host": "xivo.example.org", "place": names[0]["place"], "addresses": []})
    );
}

#[test]
fn a_level_of_diagnostics_is_chosen_while_it_runs_and_goes_back_by_itself() {
    let controlled = Controlled::start();
    let refusals = || controlled.gateway.stderr().matches("reason=\"unknown-path\"").count();
    let refuse = || {
        let mut client = controlled.client();
        client.send("GET /x HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(client.answer().status, 404);
    };
    refuse();
    assert!(becomes_true(|| refusals() == 1));
    controlled.told(json!({"command": "log-level", "level": "error"}));
    refuse();
    let level = || controlled.told(json!({"command": "status"}))["log_level"].clone();
    assert_eq!(level(), json!({"level": "error", "until": null, "configured": "info"}));
    controlled.told(json!({"command": "log-level", "level": "warn", "seconds": 1}));
    assert!(level()["until"].is_string());
    assert!(becomes_true(|| level()["level"] == "info"));
    refuse();
    // Those that were not told in between are lost, and not late.
    assert!(becomes_true(|| refusals() == 2));
    let said = controlled.gateway.stderr();
    for part in ["diagnostics of `error` are told", "diagnostics of `info` are told again"] {
        assert!(said.contains(part), "{said}");
    }
    let answer = controlled.ask(json!({"command": "log-level", "level": "loud"}));
    assert!(message(&answer).0.contains("known are error, warn, info"), "{answer}");
}

#[test]
fn logs_are_opened_again() {
    let controlled = Controlled::start();
    let log = controlled.gateway.path("access.log");
    assert_eq!(controlled.client().lookup("one").status, 200);
    assert!(becomes_true(|| controlled.gateway.log("access.log").len() == 1));
    fs::rename(&log, controlled.gateway.path("access.log.1")).unwrap();
    controlled.told(json!({"command": "reopen"}));
    assert!(becomes_true(|| log.exists()));
}

#[test]
fn drain_lets_what_is_under_way_finish_and_stop_does_not() {
    for command in ["drain", "stop"] {
        let mut controlled = Controlled::start();
        let mut idle = controlled.client();
        assert_eq!(idle.lookup("one").status, 200);
        let done = controlled.told(json!({"command": command, "by": "marie"}));
        assert!(done["done"].is_string(), "{command}");
        assert_eq!(controlled.gateway.exit().code(), Some(0));
        assert!(!controlled.gateway.path("control.sock").exists());
        let said = controlled.gateway.stderr();
        assert!(said.contains("marie"), "{said}");
    }
}

#[test]
fn a_changed_policy_is_taken_over_shown_and_taken_back() {
    let controlled = Controlled::start();
    let file = controlled.gateway.path("policies/nice.toml");
    let nice = || {
        let mut client =
            Client::connect_from(controlled.address, Some("127.0.0.9".parse().unwrap()));
        client.lookup("one").status
    };
    let mut lyon = controlled.client();
    assert_eq!((lyon.lookup("one").status, nice()), (200, 403));
    fs::write(&file, "hosts = [\"127.0.0.9\"]\nactions = [\"search\"]\n").unwrap();
    let done = controlled.told(json!({"command": "reload", "by": "marie"}));
    assert_eq!((&done["changes"], &done["differs"]), (&json!(["peer `nice` added"]), &Value::Null));
    assert_eq!(nice(), 200);
    let status = controlled.told(json!({"command": "status"}));
    assert_eq!(status["configuration"]["revision"], done["revision"]);
    // A mistake changes nothing, and is shown until it is corrected.
    fs::write(&file, "hosts = [\"127.0.0.9\"]\nacts = [\"search\"]\n").unwrap();
    let answer = controlled.ask(json!({"command": "reload"}));
    let (text, exit) = message(&answer);
    assert!(
        exit == 1 && text.contains("nothing was taken over") && text.contains("nice.toml:2"),
        "{text}"
    );
    assert_eq!(nice(), 200);
    let differs = controlled.told(json!({"command": "status"}))["configuration"]["differs"].clone();
    assert!(differs.as_str().unwrap().contains("nice.toml:2"), "{differs}");
    // Back to what there was before `nice`; and whoever is switched off stays so.
    controlled.told(json!({"command": "disable", "name": "lyon"}));
    let history = controlled.told(json!({"command": "history"}))["configurations"].clone();
    assert_eq!(
        (&history[0]["number"], &history[0]["changes"]),
        (&json!(0), &json!(["peer `nice` added"]))
    );
    assert!(history[0]["by"].as_str().unwrap().contains("marie"), "{history}");
    let would = controlled.told(json!({"command": "rollback-changes", "number": 1}));
    assert_eq!((&would["changes"], nice()), (&json!(["peer `nice` removed"]), 200));
    let done = controlled.told(json!({"command": "rollback", "number": 1}));
    assert!(done["differs"].is_string(), "{done}");
    assert_eq!((nice(), controlled.client().lookup("one").status), (403, 403));
    let answer = controlled.ask(json!({"command": "rollback", "number": 77}));
    assert!(message(&answer).0.contains("there is no configuration 77"), "{answer}");
    // What was counted before counts on, also of a peer that was gone meanwhile.
    fs::write(&file, "hosts = [\"127.0.0.9\"]\nactions = [\"search\"]\n").unwrap();
    controlled.told(json!({"command": "reload"}));
    let peers = controlled.told(json!({"command": "peers"}))["peers"].clone();
    assert_eq!(
        (&peers[0]["requests"]["answered"], &peers[0]["state"]),
        (&json!(1), &json!("disabled"))
    );
    assert_eq!(peers[1]["requests"]["answered"], 3);
    assert_eq!(controlled.client().lookup("one").status, 403);
}
