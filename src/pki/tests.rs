use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use jiff::{SignedDuration, Timestamp};
use tempfile::TempDir;

use super::*;

fn now() -> Timestamp {
    "2026-11-22T12:00:00Z".parse().unwrap()
}

fn names(names: &[&str]) -> For {
    For::Server(names.iter().map(|name| ServerName::new(name).unwrap()).collect())
}

/// A directory with an authority.
fn site(days: u32) -> (TempDir, Written) {
    let directory = tempfile::tempdir().unwrap();
    let pair = Authority::create(Some("Test"), days, now()).unwrap();
    let written = write_pair(directory.path(), AUTHORITY, &pair).unwrap();
    (directory, written)
}

fn open(written: &Written) -> Result<Authority, CertsError> {
    Authority::open(&written.certificate, &written.private_key)
}

#[test]
fn an_authority_is_opened_again_and_signs() {
    let (_site, written) = site(3650);
    let pair =
        open(&written).unwrap().issue(&names(&["B.example.org.", "::1"]), 825, now()).unwrap();
    let made = pair.certificate;
    assert_eq!((made.issuer.as_str(), made.subject.as_str()), ("CN=Test", "CN=b.example.org"));
    assert_eq!(made.dns_names, ["b.example.org"]);
    assert_eq!(made.ip_addresses, ["::1".parse::<IpAddr>().unwrap()]);
    assert_eq!(made.not_before, now() - SignedDuration::from_hours(1));
    assert_eq!(made.days_left(now()), 825);
    assert!(!made.is_authority);
}

#[test]
fn a_peer_has_its_name_twice_where_it_is_a_host_name() {
    let (_site, written) = site(3650);
    let authority = open(&written).unwrap();
    for (name, dns) in
        [("lyon", vec!["lyon"]), ("site_2", vec![]), ("7", vec![]), ("a.b", vec!["a.b"])]
    {
        let what = For::Peer(PeerName::new(name).unwrap());
        let made = authority.issue(&what, 1, now()).unwrap().certificate;
        assert_eq!(made.common_name.as_deref(), Some(name));
        assert_eq!(made.dns_names, dns, "{name}");
    }
}

#[test]
fn serial_numbers_are_positive_and_never_the_same() {
    let (_site, written) = site(3650);
    let authority = open(&written).unwrap();
    let mut seen = std::collections::HashSet::new();
    for _ in 0..40 {
        let made = authority.issue(&names(&["a"]), 1, now()).unwrap().certificate;
        assert!(!made.serial.starts_with('-') && made.serial.len() <= 32, "{}", made.serial);
        assert!(seen.insert(made.serial));
    }
}

#[test]
fn nothing_outlives_its_authority() {
    let (_site, written) = site(30);
    let authority = open(&written).unwrap();
    let made = authority.issue(&names(&["a"]), 825, now()).unwrap().certificate;
    assert_eq!(made.days_left(now()), 30);
    let tomorrow_too_late = now() + SignedDuration::from_hours(24 * 29 + 1);
    assert!(matches!(
        authority.issue(&names(&["a"]), 1, tomorrow_too_late),
        Err(CertsError::Expired { .. })
    ));
}

#[test]
fn a_name_that_is_too_long_for_a_subject_stands_among_the_alternative_names() {
    let (_site, written) = site(30);
    let long = format!("{}.{}.example.org", "a".repeat(60), "b".repeat(60));
    let made = open(&written).unwrap().issue(&names(&[&long]), 1, now()).unwrap().certificate;
    assert_eq!((made.subject.as_str(), made.dns_names), ("", vec![long]));
}

#[test]
fn only_a_whole_authority_is_opened() {
    let (site, written) = site(30);
    let missing = Written::named(site.path(), "other");
    assert!(
        matches!(open(&missing), Err(CertsError::NoAuthority(file)) if file == missing.certificate)
    );
    let pair = open(&written).unwrap().issue(&names(&["a"]), 1, now()).unwrap();
    let leaf = write_pair(site.path(), "a", &pair).unwrap();
    assert!(matches!(open(&leaf), Err(CertsError::NotAnAuthority(_))));
    let mixed = Written { private_key: leaf.private_key, ..written.clone() };
    let error = open(&mixed).unwrap_err().to_string();
    assert!(error.contains("a.key: this key is not that of the certificate in"), "{error}");
    fs::remove_file(&written.private_key).unwrap();
    assert!(
        matches!(open(&written), Err(CertsError::NoAuthority(file)) if file == written.private_key)
    );
}

#[test]
fn keys_are_for_their_owner_alone() {
    let (_site, written) = site(30);
    let mode = |file: &std::path::Path| fs::metadata(file).unwrap().permissions().mode() & 0o7777;
    assert_eq!((mode(&written.private_key), mode(&written.certificate)), (0o600, 0o644));
}

#[test]
fn nothing_is_overwritten_and_no_half_is_left() {
    let pair = Authority::create(None, 1, now()).unwrap();
    for (there, other) in [("ca.pem", "ca.key"), ("ca.key", "ca.pem")] {
        let directory = tempfile::tempdir().unwrap();
        let file = |name: &str| directory.path().join(name);
        fs::write(file(there), "mine").unwrap();
        let error = write_pair(directory.path(), AUTHORITY, &pair).unwrap_err();
        assert!(matches!(error, CertsError::Exists(found) if found == file(there)));
        assert_eq!(fs::read_to_string(file(there)).unwrap(), "mine");
        assert!(!file(other).exists(), "{other}");
        // A link to nowhere is there, too, and is not written through.
        fs::remove_file(file(there)).unwrap();
        symlink(file("elsewhere"), file(there)).unwrap();
        assert!(matches!(
            write_pair(directory.path(), AUTHORITY, &pair),
            Err(CertsError::Exists(_))
        ));
        assert!(!file("elsewhere").exists() && !file(other).exists());
    }
    let directory = tempfile::tempdir().unwrap();
    let nowhere = directory.path().join("none");
    assert!(matches!(write_pair(&nowhere, "a", &pair), Err(CertsError::Write { .. })));
}

#[test]
fn two_authorities_without_a_name_are_told_apart() {
    let subject = || Authority::create(None, 1, now()).unwrap().certificate.subject;
    let (one, other) = (subject(), subject());
    assert!(one.starts_with("CN=phonebook-gateway CA ") && one != other, "{one} {other}");
}

#[test]
fn the_state_of_a_file_is_that_of_its_dates_and_its_key() {
    let (site, written) = site(30);
    let pair = open(&written).unwrap().issue(&names(&["a"]), 20, now()).unwrap();
    let leaf = write_pair(site.path(), "a", &pair).unwrap();
    let row = || of_files(std::slice::from_ref(&leaf.certificate)).remove(0);
    let after = |days: i64| now() + SignedDuration::from_hours(24 * days);
    for (at, state) in [
        (after(0), State::Valid),
        (after(5), State::Valid),
        (after(6), State::ExpiresSoon),
        (after(20), State::ExpiresSoon),
        (after(21), State::Expired),
        (after(-1), State::NotYetValid),
    ] {
        assert_eq!(row().state(at), state, "{at}");
    }
    assert_eq!(row().key.unwrap().state, KeyState::Belongs);
    fs::set_permissions(&leaf.private_key, fs::Permissions::from_mode(0o644)).unwrap();
    assert_eq!(row().key.as_ref().unwrap().state, KeyState::Exposed(0o644));
    assert_eq!(row().state(now()), State::Broken);
    fs::copy(&written.private_key, &leaf.private_key).unwrap();
    assert!(matches!(row().key.unwrap().state, KeyState::Broken(_)));
    fs::remove_file(&leaf.private_key).unwrap();
    assert!(row().key.is_none());
    fs::write(&leaf.certificate, "nothing").unwrap();
    assert_eq!(row().state(now()), State::Broken);
}

#[test]
fn a_directory_is_listed_without_its_keys() {
    let (site, written) = site(30);
    let key = fs::read(&written.private_key).unwrap();
    fs::write(site.path().join("only-a-key.pem"), key).unwrap();
    fs::write(site.path().join("README.md"), "text").unwrap();
    assert_eq!(files_in(site.path()).unwrap(), [written.certificate]);
    assert!(files_in(&site.path().join("none")).is_err());
}
