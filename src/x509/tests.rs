use proptest::prelude::*;
use rcgen::{CertificateParams, DnType, KeyPair, SanType, SerialNumber, date_time_ymd};

use super::*;

fn params() -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::OrganizationName, "Example");
    params.distinguished_name.push(DnType::CommonName, "lyon");
    params.subject_alt_names = vec![
        SanType::DnsName("XiVO.Lyon.Example.ORG".try_into().unwrap()),
        SanType::URI("urn:Phonebook:lyon".try_into().unwrap()),
        SanType::Rfc822Name("admin@example.org".try_into().unwrap()),
        SanType::IpAddress("198.51.100.4".parse().unwrap()),
        SanType::IpAddress("::ffff:198.51.100.5".parse().unwrap()),
    ];
    params.serial_number = Some(SerialNumber::from_slice(&[0, 0xab, 0xc]));
    params.not_before = date_time_ymd(2026, 1, 1);
    params.not_after = date_time_ymd(2026, 12, 31);
    params
}

/// A certificate, for tests that care for some of its fields.
pub(crate) fn some() -> Certificate {
    read(&params())
}

fn changed(change: impl FnOnce(&mut CertificateParams)) -> CertificateParams {
    let mut params = params();
    change(&mut params);
    params
}

fn der(params: &CertificateParams) -> Vec<u8> {
    let key = KeyPair::generate().unwrap();
    params.self_signed(&key).unwrap().der().to_vec()
}

fn read(params: &CertificateParams) -> Certificate {
    Certificate::read(&der(params)).unwrap()
}

#[test]
fn a_certificate_is_read_whole() {
    let read = read(&params());
    assert_eq!(
        (read.subject.as_str(), read.issuer.as_str()),
        ("CN=lyon,O=Example", "CN=lyon,O=Example")
    );
    assert_eq!(read.serial, "AB0C");
    assert_eq!(read.common_name.as_deref(), Some("lyon"));
    assert_eq!(read.dns_names, ["xivo.lyon.example.org"]);
    assert_eq!(read.uris, ["urn:Phonebook:lyon"]);
    let addresses: Vec<IpAddr> =
        ["198.51.100.4", "198.51.100.5"].map(|a| a.parse().unwrap()).into();
    assert_eq!(read.ip_addresses, addresses);
    assert_eq!(read.not_before.to_string(), "2026-01-01T00:00:00Z");
    assert_eq!(read.not_after.to_string(), "2026-12-31T00:00:00Z");
    assert!(!read.is_authority);
}

#[test]
fn the_public_key_keeps_its_digest_in_a_renewal() {
    let key = KeyPair::generate().unwrap();
    let of = |params: CertificateParams| {
        Certificate::read(params.self_signed(&key).unwrap().der()).unwrap()
    };
    let renewed = changed(|params| params.not_after = date_time_ymd(2028, 1, 1));
    let (old, new) = (of(params()), of(renewed));
    assert_eq!(old.spki_sha256, new.spki_sha256);
    assert_ne!(old.sha256, new.sha256);
    assert_ne!(old.sha1, new.sha1);
    assert_ne!(old.spki_sha256, read(&params()).spki_sha256);
}

#[test]
fn validity_includes_both_ends_and_days_are_counted_down() {
    let read = read(&params());
    let at = |text: &str| text.parse::<Timestamp>().unwrap();
    for (now, in_date, days) in [
        ("2025-12-31T23:59:59.999Z", false, 364),
        ("2026-01-01T00:00:00Z", true, 364),
        ("2026-12-16T12:00:00Z", true, 14),
        ("2026-12-31T00:00:00.5Z", true, 0),
        ("2026-12-31T00:00:01Z", false, -1),
    ] {
        assert_eq!((read.is_in_date(at(now)), read.days_left(at(now))), (in_date, days), "{now}");
    }
}

#[test]
fn a_certificate_without_an_end_is_read() {
    let read = read(&changed(|params| params.not_after = date_time_ymd(9999, 12, 31)));
    assert_eq!(read.not_after, Timestamp::MAX);
    assert!(read.is_in_date("2026-11-01T00:00:00Z".parse().unwrap()));
    assert!(read.days_left(Timestamp::MIN) > 365 * 9999);
}

#[test]
fn names_that_could_be_read_in_two_ways_are_left_out() {
    for name in ["a\0.example.org", "a\n", "", "a b", "\u{7f}"] {
        let named = changed(|params| {
            params.subject_alt_names = vec![
                SanType::DnsName(name.try_into().unwrap()),
                SanType::URI(name.try_into().unwrap()),
                SanType::DnsName("b.example.org".try_into().unwrap()),
            ];
        });
        let read = read(&named);
        assert_eq!(
            (read.dns_names, read.uris),
            (vec!["b.example.org".to_owned()], vec![]),
            "{name:?}"
        );
    }
    for name in ["lyon\0", "\u{85}lyon", "", "ly\ton"] {
        let mut named = params();
        named.distinguished_name.push(DnType::CommonName, name);
        assert_eq!(read(&named).common_name, None, "{name:?}");
    }
}

#[test]
fn what_follows_a_certificate_makes_it_unreadable() {
    let mut bytes = der(&params());
    bytes.push(0);
    assert_eq!(Certificate::read(&bytes), Err(UnreadableCertificate::Trailing(1)));
    for end in [0, 1, 4, bytes.len() / 2, bytes.len() - 2] {
        assert!(matches!(
            Certificate::read(&bytes[..end]),
            Err(UnreadableCertificate::Malformed(_))
        ));
    }
}

#[test]
fn two_alternative_names_or_a_broken_one_make_it_unreadable() {
    let extension = |content: &[u8]| {
        rcgen::CustomExtension::from_oid_content(&[2, 5, 29, 17], content.to_vec())
    };
    let one = b"\x30\x03\x82\x01a";
    let with = |extensions| {
        let params = changed(|params| {
            params.custom_extensions = extensions;
            params.subject_alt_names.clear();
        });
        Certificate::read(&der(&params))
    };
    assert_eq!(with(vec![extension(one)]).unwrap().dns_names, ["a"]);
    for bad in [vec![extension(one), extension(one)], vec![extension(b"\x30\x09\x82\x01a")]] {
        assert!(matches!(with(bad), Err(UnreadableCertificate::AlternativeName(_))));
    }
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        let _ = Certificate::read(&bytes);
    }

    #[test]
    fn no_mutation_makes_it_panic(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        cut in any::<prop::sample::Index>(),
        cuts in any::<bool>(),
    ) {
        let mut bytes = template().to_vec();
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if cuts {
            bytes.truncate(cut.index(bytes.len()));
        }
        if let Ok(read) = Certificate::read(&bytes) {
            let plain = |text: &String| text.bytes().all(|b| (b' '..=b'~').contains(&b));
            prop_assert!(plain(&read.subject) && plain(&read.issuer) && plain(&read.serial));
            prop_assert!(read.dns_names.iter().chain(&read.uris).all(plain));
        }
    }
}

/// One certificate, made once.
fn template() -> &'static [u8] {
    static TEMPLATE: std::sync::OnceLock<Vec<u8>> = std::sync::OnceLock::new();
    TEMPLATE.get_or_init(|| der(&params()))
}
