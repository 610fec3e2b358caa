//! By the signal, as an administrator does it, and what the journal then says.

use rustix::process::Signal;

use crate::support::{
    binary::Binary,
    live::{Setup, policy},
    on_disk::main_file,
    process::becomes_true,
    raw::Client,
    scripted::{Connection, Scripted, found, term},
};

fn serve(setup: &Setup) -> Binary {
    let policies: Vec<(&str, &str)> =
        setup.policies.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
    Binary::serve_texts(&main_file(setup), &policies)
}

/// Tells it to reload, and waits until it has told of it once more.
fn hang_up(gateway: &Binary) -> String {
    let told = |stderr: &str| stderr.lines().filter(|line| line.contains("HUP: ")).count();
    let before = told(&gateway.stderr());
    gateway.signal(Signal::HUP);
    assert!(becomes_true(|| told(&gateway.stderr()) > before), "{}", gateway.stderr());
    gateway.stderr().lines().rfind(|line| line.contains("HUP: ")).unwrap().to_owned()
}

#[test]
fn hup_reloads_and_the_journal_says_what_changed_or_why_nothing_did() {
    let upstream = Scripted::well();
    let mut gateway = serve(&Setup::new(upstream.address()));
    let address = gateway.address();
    let mut nice = Client::connect_from(address, Some("127.0.0.2".parse().unwrap()));
    assert_eq!(nice.lookup("one").status, 403);
    std::fs::write(gateway.path("policies/nice.toml"), policy("127.0.0.2", "")).unwrap();
    assert!(hang_up(&gateway).contains("peer `nice` added"), "{}", gateway.stderr());
    assert_eq!(nice.lookup("one").status, 200);
    std::fs::write(gateway.path("policies/nice.toml"), "hosts = [\"127.0.0.2\"]\n\nretry = 3\n")
        .unwrap();
    let line = hang_up(&gateway);
    assert!(line.contains(" ERROR ") && line.contains("nothing was taken over"), "{line}");
    assert!(line.contains("running configuration differs from disk: "), "{line}");
    assert!(line.contains("policies/nice.toml:3: unknown key \"retry\""), "{line}");
    assert_eq!(nice.lookup("one").status, 200);
    std::fs::write(gateway.path("policies/nice.toml"), policy("127.0.0.2", "")).unwrap();
    assert!(hang_up(&gateway).contains("unchanged: "), "{}", gateway.stderr());
}

#[test]
fn a_refusal_that_the_newer_files_would_not_have_made_says_so_once() {
    let upstream = Scripted::well();
    let setup = Setup::new(upstream.address())
        .workers(2)
        .limits("unknown_rate = { per_second = 1000, burst = 1000 }")
        .policy("lyon", policy("127.0.0.1", "min_search_length = 5"));
    let mut gateway = serve(&setup);
    let address = gateway.address();
    let told = |gateway: &Binary| {
        let stderr = gateway.stderr();
        stderr.lines().filter(|line| line.contains("was not reloaded")).count()
    };
    let nice = || Client::connect_from(address, Some("127.0.0.2".parse().unwrap()));
    std::fs::write(gateway.path("policies/nice.toml"), policy("127.0.0.2", "")).unwrap();
    assert!(becomes_true(|| {
        // Somebody whom the files do not know either is no reason to say so.
        assert_eq!(
            Client::connect_from(address, Some("127.0.0.3".parse().unwrap())).lookup("one").status,
            403
        );
        assert_eq!(Client::connect(address).lookup("one").status, 403);
        assert_eq!(nice().lookup("one").status, 403);
        told(&gateway) > 0
    }));
    let stderr = gateway.stderr();
    let line = stderr.lines().find(|line| line.contains("was not reloaded")).unwrap();
    assert!(line.contains("client=127.0.0.2") && line.contains("peer=\"nice\""), "{line}");
    for _ in 0..20 {
        assert_eq!(nice().lookup("one").status, 403);
    }
    assert_eq!(told(&gateway), 1);
    // Another change is another reason.
    std::fs::write(gateway.path("policies/lyon.toml"), policy("127.0.0.1", "")).unwrap();
    assert!(becomes_true(|| {
        assert_eq!(Client::connect(address).lookup("one").status, 403);
        told(&gateway) > 1
    }));
    let line = hang_up(&gateway);
    assert!(line.contains("peer `nice` added"), "{line}");
    assert_eq!(nice().lookup("one").status, 200);
}

#[test]
fn at_the_start_a_broken_policy_is_told_of_loudly() {
    let upstream = Scripted::well();
    let setup = Setup::new(upstream.address()).policy("nice", policy("127.0.0.2", "retry = 3"));
    let policies: Vec<(&str, &str)> =
        setup.policies.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
    let main = main_file(&setup);
    let mut strict = Binary::serve_texts(&main, &policies);
    assert_eq!(strict.exit().code(), Some(78));
    let main = format!("{main}[reload]\nstrict_boot = false\n");
    let mut gateway = Binary::serve_texts(&main, &policies);
    assert_eq!(Client::connect(gateway.address()).lookup("one").status, 200);
    let stderr = gateway.stderr();
    let loud = stderr.lines().filter(|line| line.contains(" ERROR ")).collect::<Vec<_>>();
    assert!(
        loud.iter().any(|line| line.contains("policies/nice.toml:3:1: error: unknown key")),
        "{stderr}"
    );
    assert!(loud.iter().any(|line| line.contains("the peer `nice` is refused until")), "{stderr}");
}

#[test]
fn the_time_for_what_is_under_way_is_what_the_configuration_says() {
    let upstream = Scripted::start(|connection: &mut Connection| {
        connection.request();
        connection.until_ended();
    });
    let setup = Setup::new(upstream.address())
        .upstream("timeout = \"1h\"")
        .limits("drain_timeout = \"30ms\"");
    let mut gateway = serve(&setup);
    let mut client = Client::connect(gateway.address());
    client.search("slow");
    assert!(becomes_true(|| upstream.requests().len() == 1));
    gateway.signal(Signal::TERM);
    assert_eq!(gateway.exit().code(), Some(0));
    assert!(gateway.stderr().contains("for 30ms at the most"), "{}", gateway.stderr());
}

#[test]
fn it_is_told_that_xivo_answers_again_and_nothing_is_counted_where_nothing_was() {
    let upstream = Scripted::start(|connection: &mut Connection| {
        while let Some(head) = connection.request() {
            let answer = match term(&head) {
                "bad" => b"HTTP/1.1 500 Oh\r\nContent-Length: 0\r\n\r\n".to_vec(),
                term => found(term),
            };
            connection.send(&answer);
        }
    });
    let mut gateway = serve(&Setup::new(upstream.address()));
    let mut client = Client::connect(gateway.address());
    assert_eq!(client.lookup("good").status, 200);
    for _ in 0..3 {
        assert_eq!(client.lookup("bad").status, 502);
    }
    for _ in 0..3 {
        assert_eq!(client.lookup("good").status, 200);
    }
    assert!(becomes_true(|| gateway.stderr().contains("XiVO answers again after ")));
    let stderr = gateway.stderr();
    let again: Vec<&str> = stderr.lines().filter(|line| line.contains("answers again")).collect();
    assert!(again.len() == 1 && again[0].contains("; 3 lookups failed"), "{stderr}");
    assert!(!stderr.contains("suppressed"), "{stderr}");
}
