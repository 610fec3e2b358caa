//! Another configuration takes the place of the one that runs: at once, as a whole or not at all, and no request is
//! lost over it.

mod by_hand;
mod history;
mod listeners;
mod logs;
mod under_load;
mod upstream;
mod watched;

use std::{fs, thread, time::Instant};

use phonebook_gateway::server::DiffersBecause;

use crate::support::{
    live::{Setup, policy},
    on_disk::{OnDisk, main_file},
    process::becomes_true,
    raw::{Client, End, reason},
    scripted::{Door, Scripted},
};

fn one_a_minute(burst: u32) -> String {
    format!("rate = {{ per_minute = 1, burst = {burst} }}")
}

#[test]
fn a_policy_that_is_added_changed_and_removed_is_seen_by_the_next_request_of_a_connection_that_stays()
 {
    let upstream = Scripted::well();
    let gateway = OnDisk::start(&Setup::new(upstream.address()).workers(2));
    let mut lyon = gateway.client();
    assert_eq!(lyon.lookup("one").status, 200);
    let mut nice = gateway.client_from("127.0.0.2");
    assert_eq!(nice.lookup("one").status, 403);
    gateway.write("policies/nice.toml", &policy("127.0.0.2", ""));
    assert_eq!(nice.lookup("one").status, 403, "nobody has reloaded");
    let report = gateway.reload();
    assert_eq!(
        report.changes.iter().map(ToString::to_string).collect::<Vec<_>>(),
        ["peer `nice` added"]
    );
    assert_eq!((nice.lookup("one").status, lyon.lookup("one").status), (200, 200));
    gateway.write("policies/nice.toml", &policy("127.0.0.2", "min_search_length = 5"));
    let report = gateway.reload();
    assert_eq!(report.changes[0].to_string(), "peer `nice`: min_search_length");
    let refused = nice.lookup("one");
    assert_eq!((refused.status, reason(&refused).as_str()), (403, "action-not-granted"));
    gateway.remove("policies/nice.toml");
    gateway.reload();
    assert_eq!((nice.lookup("one").status, lyon.lookup("one").status), (403, 200));
    assert_eq!(gateway.difference(), "");
}

#[test]
fn a_request_that_is_under_way_ends_by_the_policy_that_it_began_with() {
    let door = Door::default();
    let upstream = Scripted::slow(&door);
    let gateway = OnDisk::start(&Setup::new(upstream.address()).upstream("timeout = \"1h\""));
    let mut busy = gateway.client();
    busy.search("slow");
    assert!(becomes_true(|| upstream.attempts("slow").len() == 1));
    gateway.remove("policies/lyon.toml");
    gateway.reload();
    door.open();
    assert_eq!(busy.answer().status, 200);
    assert_eq!(busy.lookup("one").status, 403);
}

#[test]
fn a_broken_file_changes_nothing_and_is_told_with_file_and_line_until_it_is_mended() {
    let upstream = Scripted::well();
    let gateway = OnDisk::start(&Setup::new(upstream.address()));
    let good = fs::read_to_string(gateway.path("policies/lyon.toml")).unwrap();
    let mut client = gateway.client();
    let half = &good[..good.len() - 12];
    for (text, line) in [
        (format!("{good}retry = 3\n"), good.lines().count() + 1),
        (half.to_owned(), half.lines().count()),
        ("hosts = [\"127.0.0.1\"]\nactions = [\"erase\"]\n".to_owned(), 2),
        (String::new(), 1),
    ] {
        gateway.write("policies/lyon.toml", &text);
        // Something else that is good is not taken over with it.
        gateway.write("policies/nice.toml", &policy("127.0.0.2", ""));
        let fault = gateway.refused();
        let first = fault.first().unwrap();
        assert!(first.file.ends_with("policies/lyon.toml"), "{fault}");
        assert_eq!(first.line, line, "{fault}");
        let difference = gateway.difference();
        assert!(
            difference.starts_with("running configuration differs from disk: "),
            "{difference}"
        );
        assert!(difference.contains(&format!("policies/lyon.toml:{line}: ")), "{difference}");
        assert_eq!(client.lookup("one").status, 200);
        assert_eq!(gateway.client_from("127.0.0.2").lookup("one").status, 403);
    }
    gateway.write("policies/lyon.toml", &good);
    let report = gateway.reload();
    assert!(!report.is_unchanged());
    assert_eq!(gateway.difference(), "");
    assert_eq!(gateway.client_from("127.0.0.2").lookup("one").status, 200);
}

#[test]
fn a_copy_of_the_same_bytes_changes_nothing() {
    let upstream = Scripted::well();
    let gateway = OnDisk::start(&Setup::new(upstream.address()));
    let before = gateway.server().shared().snapshot();
    for name in ["gateway.toml", "policies/lyon.toml"] {
        gateway.write(name, &fs::read_to_string(gateway.path(name)).unwrap());
    }
    let report = gateway.reload();
    assert!(report.is_unchanged() && report.changes.is_empty());
    assert!(std::sync::Arc::ptr_eq(&before, &gateway.server().shared().snapshot()));
    // Another text with the same meaning is another revision.
    let text = fs::read_to_string(gateway.path("policies/lyon.toml")).unwrap();
    gateway.write("policies/lyon.toml", &format!("# so it is\n{text}"));
    let report = gateway.reload();
    assert!(!report.is_unchanged() && report.changes.is_empty());
    assert!(report.to_string().ends_with("; nothing is different in meaning"), "{report}");
}

#[test]
fn what_needs_a_restart_is_named_and_nothing_is_taken_over_with_it() {
    let upstream = Scripted::well();
    let setup = Setup::new(upstream.address());
    let gateway = OnDisk::start(&setup);
    gateway.write("policies/nice.toml", &policy("127.0.0.2", ""));
    let main = main_file(&setup);
    for (text, key, line) in [
        (main.replace("workers = 1", "workers = 3"), "`workers`", 2),
        (main.replace("\"state\"", "\"elsewhere\""), "`state_directory`", 1),
    ] {
        gateway.write("gateway.toml", &text);
        let fault = gateway.refused();
        let first = fault.first().unwrap();
        assert!(first.message.contains(key) && first.message.contains("restart"), "{fault}");
        assert!(first.file.ends_with("gateway.toml") && first.line == line, "{fault}");
        assert_eq!(gateway.client_from("127.0.0.2").lookup("one").status, 403);
        assert!(gateway.difference().contains(key));
    }
    gateway.write("gateway.toml", &main);
    gateway.reload();
    assert_eq!(gateway.client_from("127.0.0.2").lookup("one").status, 200);
}

#[test]
fn a_source_that_becomes_loopback_is_refused() {
    let upstream = Scripted::well();
    let setup = Setup::new(upstream.address());
    let gateway = OnDisk::start(&setup);
    let main = main_file(&setup).replace("danger_loopback_source = true", "");
    gateway.write("gateway.toml", &main);
    let fault = gateway.refused();
    assert!(fault.to_string().contains("`private`"), "{fault}");
    assert_eq!(gateway.client().lookup("one").status, 200);
}

#[test]
fn what_was_spent_counts_after_reloads_over_all_workers() {
    let upstream = Scripted::well();
    let setup = |description: usize| {
        policy("127.0.0.1", &format!("description = \"{description}\"\n{}", one_a_minute(60)))
    };
    let gateway =
        OnDisk::start(&Setup::new(upstream.address()).workers(4).policy("lyon", setup(0)));
    let address = gateway.address();
    let ask = move || {
        let statuses = (0..20).map(|_| Client::connect(address).lookup("one").status);
        statuses.filter(|status| *status == 200).count()
    };
    let passed: usize = thread::scope(|scope| {
        let clients: Vec<_> = (0..8).map(|_| scope.spawn(ask)).collect();
        let mut number = 0;
        while clients.iter().any(|client| !client.is_finished()) {
            number += 1;
            gateway.write("policies/lyon.toml", &setup(number));
            assert!(!gateway.reload().is_unchanged());
        }
        clients.into_iter().map(|client| client.join().unwrap()).sum()
    });
    assert_eq!(passed, 60);
    // Removed and put back, it has still spent them.
    gateway.remove("policies/lyon.toml");
    gateway.reload();
    gateway.write("policies/lyon.toml", &setup(0));
    gateway.reload();
    assert_eq!(gateway.client().lookup("one").status, 429);
}

#[test]
fn what_was_spent_of_a_rate_that_changes_is_carried_over_in_proportion() {
    let upstream = Scripted::well();
    let setup = Setup::new(upstream.address())
        .workers(4)
        .limits("rate = { per_minute = 1, burst = 200 }")
        .policy("lyon", policy("127.0.0.1", &one_a_minute(20)));
    let gateway = OnDisk::start(&setup);
    let passed = |most: usize| {
        let statuses = (0..most).map(|_| gateway.client().lookup("one").status);
        statuses.take_while(|status| *status == 200).count()
    };
    assert_eq!(passed(10), 10);
    gateway.write("policies/lyon.toml", &policy("127.0.0.1", &one_a_minute(40)));
    gateway.reload();
    assert_eq!(passed(100), 20, "one half of 40 was left");
    gateway.write("policies/lyon.toml", &policy("127.0.0.1", &one_a_minute(50)));
    gateway.reload();
    assert_eq!(passed(100), 0, "used up stays used up");
    // The gateway's own: 30 of 200 are spent, so that 34 of 40 are left.
    let main = main_file(&setup).replace("burst = 200", "burst = 40");
    gateway.write("gateway.toml", &main);
    gateway.write("policies/lyon.toml", &policy("127.0.0.1", ""));
    gateway.remove("policies/lyon.toml");
    gateway.write("policies/new.toml", &policy("127.0.0.1", ""));
    gateway.reload();
    assert_eq!(passed(100), 34);
}

#[test]
fn lookups_in_flight_are_counted_over_a_reload() {
    let door = Door::default();
    let upstream = Scripted::slow(&door);
    let with = |concurrent: u32| policy("127.0.0.1", &format!("concurrent = {concurrent}"));
    let setup = Setup::new(upstream.address()).upstream("timeout = \"1h\"").workers(2);
    let gateway = OnDisk::start(&setup.policy("lyon", with(2)));
    let mut busy: Vec<Client> = (0..2).map(|_| gateway.client()).collect();
    busy.iter_mut().for_each(|client| client.search("slow"));
    assert!(becomes_true(|| upstream.attempts("slow").len() == 2));
    assert_eq!(reason(&gateway.client().lookup("one")), "too-many-concurrent");
    gateway.write("policies/lyon.toml", &with(3));
    gateway.reload();
    assert_eq!(gateway.client().lookup("one").status, 200);
    gateway.write("policies/lyon.toml", &with(1));
    gateway.reload();
    assert_eq!(reason(&gateway.client().lookup("one")), "too-many-concurrent");
    door.open();
    busy.iter_mut().for_each(|client| assert_eq!(client.answer().status, 200));
    assert!(becomes_true(|| gateway.client().lookup("one").status == 200));
}

#[test]
fn a_lower_ceiling_of_connections_is_kept_by_newcomers() {
    let upstream = Scripted::well();
    let with = |most: usize| policy("127.0.0.1", &format!("connections = {most}\nconcurrent = 1"));
    let gateway = OnDisk::start(&Setup::new(upstream.address()).policy("lyon", with(6)));
    let mut kept: Vec<Client> = (0..6).map(|_| gateway.client()).collect();
    kept.iter_mut().for_each(|client| assert_eq!(client.lookup("one").status, 200));
    gateway.write("policies/lyon.toml", &with(2));
    gateway.reload();
    assert_eq!(gateway.client().lookup("one").status, 200);
    // Those that had been idle for longest made room.
    let ended = kept.iter_mut().take(5).map(Client::ended).filter(|end| *end == End::Orderly);
    assert_eq!(ended.count(), 5);
    assert_eq!(kept[5].lookup("one").status, 200);
}

#[test]
fn a_gateway_that_is_older_than_its_files_knows_it() {
    let upstream = Scripted::well();
    let gateway = OnDisk::start(&Setup::new(upstream.address()));
    assert!(gateway.server().differs_from_disk().is_none());
    let began = Instant::now();
    gateway.write("policies/nice.toml", &policy("127.0.0.2", ""));
    assert!(becomes_true(|| gateway.difference().contains("peer `nice` added")), "{began:?}");
    let difference = gateway.server().differs_from_disk().unwrap();
    assert!(matches!(difference.why, DiffersBecause::NotLoaded { .. }));
    gateway.write("policies/nice.toml", "hosts = []\n");
    assert!(becomes_true(|| gateway.difference().contains("policies/nice.toml:1: ")));
    gateway.remove("policies/nice.toml");
    assert!(becomes_true(|| gateway.difference().is_empty()));
}

#[test]
fn a_broken_policy_denies_its_peer_at_the_start_if_that_is_wanted_and_nobody_else() {
    let upstream = Scripted::well();
    let setup = Setup::new(upstream.address())
        .policy("lyon", policy("127.0.0.2", "retry = 3"))
        // It is around lyon's, and is not to let it in.
        .policy("region", policy("127.0.0.0/8", ""));
    let disk = OnDisk::written(&setup);
    let config = disk.path("gateway.toml");
    let load = || phonebook_gateway::config::Config::load_for_start(&config);
    assert!(load().is_err(), "it is strict by default");
    let main = fs::read_to_string(&config).unwrap();
    disk.write("gateway.toml", &format!("{main}[reload]\nstrict_boot = false\n"));
    let gateway = disk.started();
    assert_eq!(gateway.client().lookup("one").status, 200);
    let mut lyon = gateway.client_from("127.0.0.2");
    let refused = lyon.lookup("one");
    assert_eq!((refused.status, reason(&refused).as_str()), (403, "peer-disabled"));
    assert!(gateway.difference().contains("policies/lyon.toml:3: "), "{}", gateway.difference());
    // A reload is as strict as ever, and a corrected file is taken over.
    assert!(gateway.refused().to_string().contains("lyon.toml:3"));
    gateway.write("policies/lyon.toml", &policy("127.0.0.2", ""));
    gateway.reload();
    assert_eq!(lyon.lookup("one").status, 200);
    assert_eq!(gateway.difference(), "");
    // A mistake in the main file is one for all.
    let broken = OnDisk::written(&setup);
    broken.write("gateway.toml", &format!("{main}[reload]\nstrict_boot = false\nwach = true\n"));
    let loaded = phonebook_gateway::config::Config::load_for_start(&broken.path("gateway.toml"));
    assert!(loaded.unwrap_err().to_string().contains("wach"));
}
