//! The configurations that once ran, and going back to one.

use std::{fs, os::unix::fs::PermissionsExt};

use phonebook_gateway::server::DiffersBecause;

use crate::support::{
    live::{Setup, policy},
    on_disk::{OnDisk, main_file},
    scripted::Scripted,
};

#[test]
fn the_last_good_ones_are_kept_with_what_changed_and_only_the_owner_can_read_them() {
    let upstream = Scripted::well();
    let setup = Setup::new(upstream.address());
    let gateway = OnDisk::written(&setup);
    gateway.write("gateway.toml", &format!("{}[reload]\nkeep = 3\n", main_file(&setup)));
    let gateway = gateway.started();
    let number = |number: usize| policy("127.0.0.2", &format!("description = \"{number}\""));
    for round in 1..=4 {
        gateway.write("policies/nice.toml", &number(round));
        gateway.reload();
    }
    gateway.write("policies/nice.toml", "hosts = 1");
    gateway.refused();
    let entries = gateway.server().history().entries;
    let changes = |at: usize| {
        let changes = entries[at].changes.as_ref()?;
        Some(changes.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))
    };
    assert_eq!(entries.iter().map(|entry| entry.number).collect::<Vec<_>>(), [0, 1, 2]);
    assert!(entries.iter().all(|entry| entry.by == "test"), "{entries:?}");
    assert_eq!(changes(0).unwrap(), "peer `nice`: description");
    assert_eq!(changes(2), None, "the one before it is not kept");
    assert_eq!(entries.iter().map(|entry| entry.runs).collect::<Vec<_>>(), [true, false, false]);
    assert_eq!(entries[0].revision, gateway.server().shared().snapshot().config.revision);
    let files: Vec<_> =
        fs::read_dir(gateway.path("state")).unwrap().map(|entry| entry.unwrap()).collect();
    assert_eq!(files.len(), 3);
    for file in files {
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    }
    // After a restart they are there, and what runs again is no other one.
    gateway.write("policies/nice.toml", &number(4));
    let gateway = gateway.restarted();
    assert_eq!(gateway.server().history().entries.len(), 3);
    assert_eq!(gateway.server().history().entries[0].by, "test");
}

#[test]
fn one_runs_again_until_the_next_reload_and_it_is_said_that_the_disk_differs() {
    let upstream = Scripted::well();
    let gateway = OnDisk::start(&Setup::new(upstream.address()));
    gateway.write("policies/nice.toml", &policy("127.0.0.2", ""));
    gateway.reload();
    gateway.remove("policies/lyon.toml");
    gateway.reload();
    let (mut lyon, mut nice) = (gateway.client(), gateway.client_from("127.0.0.2"));
    assert_eq!((lyon.lookup("one").status, nice.lookup("one").status), (403, 200));
    let changes = gateway.server().rollback_changes(None).unwrap();
    assert_eq!(changes.iter().map(ToString::to_string).collect::<Vec<_>>(), ["peer `lyon` added"]);
    assert_eq!(lyon.lookup("one").status, 403, "it was only looked at");
    let report = gateway.server().rollback(None, "test").unwrap();
    assert_eq!(report.changes, changes);
    assert_eq!((lyon.lookup("one").status, nice.lookup("one").status), (200, 200));
    let difference = gateway.server().differs_from_disk().unwrap();
    assert!(matches!(difference.why, DiffersBecause::RolledBack { .. }), "{difference}");
    assert!(difference.to_string().contains("until the next reload or restart"), "{difference}");
    // The oldest has lyon alone.
    let oldest = gateway.server().history().entries.last().unwrap().number;
    gateway.server().rollback(Some(oldest), "test").unwrap();
    assert_eq!((lyon.lookup("one").status, nice.lookup("one").status), (200, 403));
    gateway.reload();
    assert_eq!((lyon.lookup("one").status, nice.lookup("one").status), (403, 200));
    assert_eq!(gateway.difference(), "");
    let fault = gateway.server().rollback(Some(99), "test").unwrap_err();
    assert!(fault.to_string().contains("there is no configuration 99: "), "{fault}");
    assert_eq!(gateway.difference(), "", "{fault}");
}

#[test]
fn who_is_switched_off_stays_so_when_one_goes_back() {
    let upstream = Scripted::well();
    let gateway = OnDisk::start(&Setup::new(upstream.address()));
    let mut lyon = gateway.client();
    assert_eq!(lyon.lookup("one").status, 200);
    let off = policy("127.0.0.1", "enabled = false");
    gateway.write("policies/lyon.toml", &off);
    gateway.reload();
    assert_eq!(lyon.lookup("one").status, 403);
    gateway.write("policies/nice.toml", &policy("127.0.0.2", ""));
    gateway.reload();
    for number in [1, 2, 3] {
        gateway.server().rollback(Some(number), "test").unwrap();
        assert_eq!(gateway.client().lookup("one").status, 403, "after {number}");
    }
    // What is written on disk, though it is the text of one that is kept, is taken at its word.
    gateway.write("policies/lyon.toml", &policy("127.0.0.1", ""));
    gateway.remove("policies/nice.toml");
    let difference = gateway.difference();
    assert!(difference.contains("but for `lyon`, who stays switched off"), "{difference}");
    let report = gateway.reload();
    // The same text as runs, and more of it holds now.
    assert!(!report.is_unchanged(), "{report}");
    assert!(report.to_string().contains("peer `lyon`: enabled"), "{report}");
    assert_eq!(gateway.client().lookup("one").status, 200);
}

#[test]
fn who_is_switched_off_stays_so_over_one_that_does_not_know_the_peer() {
    let upstream = Scripted::well();
    let setup = Setup::new(upstream.address());
    let gateway = OnDisk::written(&setup);
    let lyon = fs::read_to_string(gateway.path("policies/lyon.toml")).unwrap();
    gateway.remove("policies/lyon.toml");
    let gateway = gateway.started();
    gateway.write("policies/lyon.toml", &lyon);
    gateway.reload();
    assert_eq!(gateway.client().lookup("one").status, 200);
    gateway.write("policies/lyon.toml", &policy("127.0.0.1", "enabled = false"));
    gateway.reload();
    // To the one without the peer, and from there to the one that lets it in.
    let without = gateway.server().history().entries[2].number;
    gateway.server().rollback(Some(without), "test").unwrap();
    let revision = &gateway.server().history().entries[2].revision;
    let lets_in = gateway.server().history().entries;
    let lets_in = lets_in.iter().find(|entry| entry.revision == *revision).unwrap().number;
    gateway.server().rollback(Some(lets_in), "test").unwrap();
    assert_eq!(gateway.client().lookup("one").status, 403);
    assert!(gateway.difference().contains("`lyon`"), "{}", gateway.difference());
}

#[test]
fn what_cannot_be_read_has_no_number_and_is_named() {
    let upstream = Scripted::well();
    let gateway = OnDisk::start(&Setup::new(upstream.address()));
    for number in 1..=3 {
        let text = policy("127.0.0.2", &format!("description = \"{number}\""));
        gateway.write("policies/nice.toml", &text);
        gateway.reload();
    }
    gateway.write("state/configuration-00000003.json", "of another version");
    let all = gateway.server().history();
    assert_eq!(all.unreadable.len(), 1, "{all:?}");
    assert!(all.unreadable[0].contains("configuration-00000003.json: "), "{all:?}");
    for entry in &all.entries {
        let changes = gateway.server().rollback_changes(Some(entry.number)).unwrap();
        assert_eq!(changes.is_empty(), entry.runs, "{entry:?}");
    }
    let wanted = all.entries[1].revision.clone();
    assert_eq!(gateway.server().rollback(None, "test").unwrap().revision, wanted);
    let fault = gateway.server().rollback(Some(77), "test").unwrap_err();
    assert!(
        fault.to_string().contains("there is no configuration 77: 4 configurations are kept"),
        "{fault}"
    );
}

#[test]
fn from_a_start_with_a_broken_policy_one_goes_back_to_the_last_good_one() {
    let upstream = Scripted::well();
    let setup = Setup::new(upstream.address());
    let gateway = OnDisk::written(&setup);
    gateway.write("gateway.toml", &format!("{}[reload]\nstrict_boot = false\n", main_file(&setup)));
    let gateway = gateway.started();
    gateway.write("policies/nice.toml", &policy("127.0.0.2", ""));
    let good = gateway.reload().revision;
    gateway.write("policies/nice.toml", "hosts = [\"127.0.0.2\"]\nretry = 3\n");
    let gateway = gateway.restarted();
    assert_eq!(gateway.client_from("127.0.0.2").lookup("one").status, 403);
    assert_eq!(gateway.server().rollback(None, "test").unwrap().revision, good);
    // It was refused for the mistake, and not switched off.
    assert_eq!(gateway.client_from("127.0.0.2").lookup("one").status, 200);
}

#[test]
fn the_environment_is_not_kept_and_without_a_place_nothing_is() {
    let upstream = Scripted::well();
    let setup = Setup::new(upstream.address());
    let gateway = OnDisk::written(&setup);
    let text = policy("127.0.0.1", "description = \"${HOME} is home\"");
    gateway.write("policies/lyon.toml", &text);
    let gateway = gateway.started();
    let home = std::env::var("HOME").unwrap_or_default();
    let entry = fs::read_dir(gateway.path("state")).unwrap().next().unwrap().unwrap();
    let kept = fs::read_to_string(entry.path()).unwrap();
    assert!(kept.contains("${HOME} is home") && !kept.contains(&format!("{home} is home")));
    // A file in the directory's place: nothing is kept, and everything else goes on.
    let elsewhere = OnDisk::written(&setup);
    elsewhere.write("state", "");
    let elsewhere = elsewhere.started();
    elsewhere.write("policies/nice.toml", &policy("127.0.0.2", ""));
    elsewhere.reload();
    assert_eq!(elsewhere.client_from("127.0.0.2").lookup("one").status, 200);
    assert!(elsewhere.server().history().entries.is_empty());
}
