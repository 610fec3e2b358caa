//! What names had outlives a restart, in a file that nobody else reads, and without it nothing is worse.

use std::{fs, os::unix::fs::PermissionsExt};

use domain::base::iana::Rcode;

use super::told::{LYON, Names, hosts};
use crate::support::{
    dns::{NameServer, Says, has},
    process::becomes_true,
};

const HOLDS: &str = "hold_error = \"1h\"";

/// Lets a gateway find `lyon` at 198.51.100.4 and end, and starts one after it.
fn after_a_restart(server: &NameServer, between: impl FnOnce(&Names)) -> Names {
    server.says(LYON, has(&["198.51.100.4"]));
    let mut names = Names::of_lyon(server, HOLDS);
    names.settle();
    between(&names);
    server.says(LYON, Says::Fails(Rcode::SERVFAIL));
    let resolver = format!("resolver = [\"{}\"]\n{HOLDS}", server.address());
    names.restarted(&resolver, &[("lyon", hosts(LYON))])
}

#[test]
fn a_restart_while_no_name_server_answers_lets_the_known_peers_in_for_their_holds() {
    let server = NameServer::start();
    let mut names = after_a_restart(&server, |names| {
        let file = names.directory.path().join("names.json");
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o7777, 0o600);
        let text = fs::read_to_string(file).unwrap();
        assert!(text.contains("\"198.51.100.4\""), "{text}");
    });
    assert_eq!(names.who("198.51.100.4"), "lyon", "before anybody was asked");
    names.settle();
    assert_eq!(names.who("198.51.100.4"), "lyon");
    let told = names.told();
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].contains("its last addresses are used for 35"), "since it resolved: {told:?}");
    names.later(3600);
    assert_eq!(names.who("198.51.100.4"), "-");
}

#[test]
fn a_name_that_was_dropped_is_not_brought_back_by_a_restart() {
    let server = NameServer::start();
    // The next one begins at the true time, at which no other hold of this is over.
    let holds = format!("{HOLDS}\nhold_nx = \"0s\"");
    server.says(LYON, has(&["198.51.100.4"]));
    let mut names = Names::of_lyon(&server, &holds);
    names.settle();
    server.says(LYON, Says::Fails(Rcode::NXDOMAIN));
    names.later(60);
    assert_eq!(names.who("198.51.100.4"), "-");
    let file = names.directory.path().join("names.json");
    let written = becomes_true(|| {
        names.settle();
        fs::read_to_string(&file).unwrap().contains("\"nx\"")
    });
    assert!(written);
    server.says(LYON, Says::Fails(Rcode::SERVFAIL));
    let resolver = format!("resolver = [\"{}\"]\n{holds}", server.address());
    let mut names = names.restarted(&resolver, &[("lyon", hosts(LYON))]);
    assert_eq!(names.who("198.51.100.4"), "-");
    names.settle();
    assert_eq!(names.who("198.51.100.4"), "-");
}

#[test]
fn what_the_file_has_is_judged_by_the_policies_as_they_are_now() {
    let server = NameServer::start();
    server.says(LYON, has(&["198.51.100.4"]));
    let mut names = Names::of_lyon(&server, HOLDS);
    names.settle();
    let resolver = format!("resolver = [\"{}\"]\n{HOLDS}", server.address());
    let policies = [("annecy", hosts("198.51.100.0/24")), ("lyon", hosts(LYON))];
    let names = names.restarted(&resolver, &policies);
    assert_eq!(names.who("198.51.100.4"), "annecy");
    let told = names.told();
    assert!(told.len() == 1 && told[0].contains("what is written wins"), "{told:?}");
}

#[test]
fn a_file_that_is_not_what_the_gateway_writes_is_one_warning_and_is_replaced() {
    for broken in ["", "[]", "{\"version\": 2, \"names\": []}", "{\"version\": 1, \"names\": [{}]}"]
    {
        let server = NameServer::start();
        let mut names = after_a_restart(&server, |names| {
            fs::write(names.directory.path().join("names.json"), broken).unwrap();
        });
        assert_eq!(names.who("198.51.100.4"), "-", "{broken}");
        let told = names.told();
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(
            told[0].starts_with("WARN ")
                && told[0].contains(
                    "names.json: this is no list of names as phonebook-gateway writes it"
                ),
            "{told:?}"
        );
        server.says(LYON, has(&["198.51.100.4"]));
        names.later(60);
        let text = fs::read_to_string(names.directory.path().join("names.json")).unwrap();
        assert!(text.contains("\"198.51.100.4\""), "{text}");
    }
}

#[test]
fn a_state_directory_that_is_not_there_is_one_warning_and_names_resolve_all_the_same() {
    let server = NameServer::start();
    server.says(LYON, has(&["198.51.100.4"]));
    let mut names = Names::of_lyon(&server, "");
    // A file is no directory, for root neither.
    fs::remove_dir(names.directory.path()).unwrap();
    fs::write(names.directory.path(), "").unwrap();
    names.settle();
    assert_eq!(names.who("198.51.100.4"), "lyon");
    server.says(LYON, has(&["198.51.100.9"]));
    // The second attempt is no second warning.
    let before = server.asked_for(LYON);
    assert!(becomes_true(|| {
        names.later(1);
        names.who("198.51.100.9") == "lyon"
    }));
    assert!(server.asked_for(LYON) > before);
    fs::remove_file(names.directory.path()).unwrap();
    let warnings: Vec<_> =
        names.told().into_iter().filter(|line| line.starts_with("WARN")).collect();
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(
        warnings[0].contains("names.json") && warnings[0].contains("after a restart"),
        "{warnings:?}"
    );
}
