//! What `explain` says of a caller whom a name makes a peer, or made one before.

use std::path::Path;

use serde_json::json;

use super::told::{LYON, Names, hosts};
use crate::support::{
    dns::{NameServer, has},
    process::becomes_true,
    program::{Run, Site},
};

const URL: &str = "http://127.0.0.1:9480/service/ipbx/json.php/restricted/pbx_services/phonebook?act=search&search=one";

/// A main file with this state directory, whose names this server resolves.
fn main_file(state: &Path, server: &NameServer) -> String {
    format!(
        "state_directory = {state:?}\n[[listen]]\naddress = \"127.0.0.1:9480\"\n[upstream]\nurl = \"http://127.0.0.1:9\"\n\
         danger_loopback_source = true\n[names]\nresolver = [\"{}\"]\n",
        server.address()
    )
}

/// A site whose gateway writes its names into `names`' directory.
fn site(names: &Names, server: &NameServer) -> Site {
    let main = main_file(names.directory.path(), server);
    let (annecy, lyon) = (hosts("192.0.2.0/24"), hosts(LYON));
    Site::new(&main, &[("annecy", &annecy), ("lyon", &lyon)])
}

fn explain(site: &Site, from: &str) -> Run {
    site.run(&["explain", "--config", "gateway.toml", "--from", from, URL])
}

#[test]
fn explain_says_which_name_since_when_and_until_when() {
    let server = NameServer::start();
    server.says(LYON, has(&["198.51.100.4"]));
    let mut names = Names::of_lyon(&server, "");
    names.settle();
    let asked = server.asked();
    let site = site(&names, &server);
    let run = explain(&site, "198.51.100.4");
    assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""));
    for part in [
        "lyon.example.org has 198.51.100.4 ",
        " s at the latest, and is asked for again in ",
        "as the running gateway wrote into ",
        "peer `lyon`",
        "[policies/lyon.toml:1]",
    ] {
        assert!(run.stdout.contains(part), "{part}: {}", run.stdout);
    }
    let run = explain(&site, "203.0.113.1");
    assert_eq!(run.code, Some(1));
    assert!(
        run.stdout.contains("host names are as the running gateway wrote into"),
        "{}",
        run.stdout
    );
    assert_eq!(server.asked(), asked, "the file is enough");
}

#[test]
fn explain_says_that_an_address_was_a_names_before() {
    let server = NameServer::start();
    server.says(LYON, has(&["198.51.100.4"]));
    let mut names = Names::of_lyon(&server, "");
    names.settle();
    server.says(LYON, has(&["198.51.100.9"]));
    names.later(60);
    let file = names.directory.path().join("names.json");
    assert!(becomes_true(|| {
        names.settle();
        std::fs::read_to_string(&file).unwrap().contains("198.51.100.9")
    }));
    let site = site(&names, &server);
    let run = explain(&site, "198.51.100.4");
    assert!(
        run.stdout.contains("lyon.example.org of `lyon` at")
            && run.stdout.contains("and has others now"),
        "{}",
        run.stdout
    );
}

#[test]
fn explain_says_which_names_have_no_address() {
    let server = NameServer::start();
    let directory = tempfile::tempdir().unwrap();
    let main = main_file(directory.path(), &server);
    server.says("paris.example.org", has(&["198.51.100.9"]));
    let (lyon, paris) = (hosts(LYON), hosts("paris.example.org"));
    let alone = explain(&Site::new(&main, &[("lyon", &lyon)]), "198.51.100.4");
    let said = "no peer has 198.51.100.4; no policy has an IPv4 address; `lyon` is known by the name \
                lyon.example.org at policies/lyon.toml:1, which has no address now\n";
    assert_eq!(alone.code, Some(1));
    assert!(alone.stdout.contains(said), "{}", alone.stdout);
    let site = Site::new(
        &main,
        &[("lyon", &lyon), ("nice", &hosts("nice.example.org")), ("paris", &paris)],
    );
    let run = explain(&site, "198.51.100.4");
    let said = "198.51.100.9/32; `lyon` is known by the name lyon.example.org at policies/lyon.toml:1, \
                which has no address now, and 1 other name has none\n";
    assert!(run.stdout.contains(said), "{}", run.stdout);
}

#[test]
fn explain_resolves_all_names_where_no_gateway_has_and_writes_nothing() {
    let server = NameServer::start();
    let directory = tempfile::tempdir().unwrap();
    let main = main_file(directory.path(), &server);
    let peers: Vec<(String, String)> = (0..40)
        .map(|number| (format!("peer-{number}"), hosts(&format!("peer-{number}.example.org"))))
        .collect();
    for number in 0..40 {
        let address = format!("198.51.100.{number}");
        server.says(&format!("peer-{number}.example.org"), has(&[&address]));
    }
    let policies: Vec<(&str, &str)> =
        peers.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
    let site = Site::new(&main, &policies);
    for number in [0, 39] {
        let run = explain(&site, &format!("198.51.100.{number}"));
        assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""));
        let said = "resolved now, since no gateway has written its names";
        assert!(run.stdout.contains(said), "{}", run.stdout);
        assert!(run.stdout.contains(&format!("peer `peer-{number}`")), "{}", run.stdout);
    }
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
    // A file that cannot be read is said, and left alone.
    let file = directory.path().join("names.json");
    std::fs::write(&file, "no list").unwrap();
    let run = explain(&site, "198.51.100.7");
    assert_eq!(run.code, Some(0));
    assert!(
        run.stdout.contains("resolved now: ") && run.stdout.contains("this is no list of names"),
        "{}",
        run.stdout
    );
    assert_eq!(std::fs::read_to_string(file).unwrap(), "no list");
    let run =
        site.run(&["explain", "--config", "gateway.toml", "--json", "--from", "198.51.100.7", URL]);
    let value: serde_json::Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!(value["peer"], json!("peer-7"));
}
