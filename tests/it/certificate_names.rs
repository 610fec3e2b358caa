//! Subjects, serial numbers and fingerprints are those that OpenSSL shows, and with it nginx.
//!
//! The certificates are written byte by byte, so that they can have names that no library would make.

use phonebook_gateway::x509::{Certificate, Hex};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use rcgen::{KeyPair, PublicKeyData};

use crate::support::needs::or_left_out;
use crate::support::openssl::OpenSsl;

const UTF8: u8 = 0x0c;
const NUMERIC: u8 = 0x12;
const PRINTABLE: u8 = 0x13;
const TELETEX: u8 = 0x14;
const IA5: u8 = 0x16;
const UNIVERSAL: u8 = 0x1c;
const BMP: u8 = 0x1e;
const BIT_STRING: u8 = 0x03;
const SEQUENCE: u8 = 0x30;

/// An attribute: the type's encoded arcs, the value's tag and content.
type Attribute = (Vec<u8>, u8, Vec<u8>);

/// One element in DER.
fn element(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len();
    let mut out = vec![tag];
    match u8::try_from(length) {
        Ok(short @ ..128) => out.push(short),
        Ok(byte) => out.extend([0x81, byte]),
        _ => out.extend([0x82, (length >> 8) as u8, length as u8]),
    }
    out.extend(content);
    out
}

fn sequence(parts: &[&[u8]]) -> Vec<u8> {
    element(SEQUENCE, &parts.concat())
}

/// A name of parts, each a set of attributes in the order given.
fn name(parts: &[Vec<Attribute>]) -> Vec<u8> {
    let attribute =
        |(oid, tag, value): &Attribute| sequence(&[&element(6, oid), &element(*tag, value)]);
    let part = |part: &Vec<Attribute>| {
        element(0x31, &part.iter().flat_map(attribute).collect::<Vec<u8>>())
    };
    element(SEQUENCE, &parts.iter().flat_map(part).collect::<Vec<u8>>())
}

/// A certificate that nobody has signed.
fn certificate(subject: &[u8], serial: &[u8]) -> Vec<u8> {
    static KEY: std::sync::OnceLock<Vec<u8>> = std::sync::OnceLock::new();
    let key = KEY.get_or_init(|| KeyPair::generate().unwrap().subject_public_key_info());
    let algorithm = sequence(&[b"\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x02"]);
    let validity = sequence(&[&element(0x17, b"260101000000Z"), &element(0x17, b"270101000000Z")]);
    let version = b"\xa0\x03\x02\x01\x02";
    let serial = element(2, serial);
    let unsigned = sequence(&[version, &serial, &algorithm, subject, &validity, subject, key]);
    sequence(&[&unsigned, &algorithm, &element(BIT_STRING, &[0; 9])])
}

/// Subject, issuer and serial number as OpenSSL writes them, or none if it does not read the certificate.
fn as_openssl(openssl: &OpenSsl, der: &[u8]) -> Option<[String; 3]> {
    let words = [
        "x509", "-inform", "DER", "-noout", "-subject", "-issuer", "-serial", "-nameopt", "RFC2253",
    ];
    let text = String::from_utf8(openssl.says(&words, der)?).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let value = |line: &str| line.split_once('=').unwrap().1.to_owned();
    Some(lines.try_into().map(|lines: [&str; 3]| lines.map(value)).unwrap())
}

fn as_read(der: &[u8]) -> [String; 3] {
    let read = Certificate::read(der).unwrap();
    [read.subject, read.issuer, read.serial]
}

fn x520(arc: u8) -> Vec<u8> {
    vec![0x55, 4, arc]
}

fn utf8(arc: u8, text: &str) -> Vec<Attribute> {
    vec![(x520(arc), UTF8, text.into())]
}

fn awkward_names() -> Vec<Vec<Vec<Attribute>>> {
    let unknown = |tag, value: &[u8]| vec![(vec![0x2a, 3, 4, 5], tag, value.to_vec())];
    let email = vec![0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 1];
    let pilot = |arc| vec![0x09, 0x92, 0x26, 0x89, 0x93, 0xf2, 0x2c, 0x64, 1, arc];
    let texts = [
        "", " ", "#", "##", "  ", " #", "# ", "a ", " a", "#a", "a#", "a b", "a,b", "a+b", "\"q\"",
        "a\\b", "a\\", "<x>", "x;y", "a=b", "a/b", "é", "€", "😀", "a\u{0}b", "a\nb", "\u{7f}",
        "\u{85}", " é", "é ",
    ];
    let mut names: Vec<_> = texts.map(|text| vec![utf8(3, text), utf8(10, text)]).into();
    names.extend([
        vec![],
        vec![utf8(6, "FR"), utf8(10, "A"), utf8(3, "b"), utf8(3, "c")],
        vec![vec![(x520(3), UTF8, b"a".into()), (x520(11), UTF8, b"b".into())], utf8(10, "c")],
        vec![
            utf8(10, "c"),
            vec![(x520(11), PRINTABLE, b"x y".into()), (x520(3), IA5, b"z".into())],
        ],
        vec![unknown(UTF8, b"odd"), unknown(PRINTABLE, b"odd"), unknown(SEQUENCE, b"\x02\x01\x05")],
        vec![vec![(x520(3), TELETEX, b"caf\xe9".into())], vec![(x520(3), NUMERIC, b"12 3".into())]],
        vec![vec![(x520(3), BMP, vec![0, b'#', 0x20, 0xac])], vec![(x520(3), BMP, vec![0, 0xe9])]],
        vec![vec![(x520(3), UNIVERSAL, vec![0, 1, 0xf6, 0, 0, 0, 0, b' '])]],
        vec![vec![(x520(45), BIT_STRING, vec![0, 0xff])], vec![(x520(3), SEQUENCE, vec![2, 1, 5])]],
        vec![vec![(email, IA5, b"a@example.org".into())], vec![(pilot(1), UTF8, b"u".into())]],
        vec![vec![(vec![0x88, 0x37, 0x84, 0x80, 0x80, 0x00], UTF8, vec![b'a'; 300])]],
    ]);
    // Every short name of X.520 and RFC 4524, and numbers without one.
    names.push((0..=120).map(|arc| utf8(arc, "v")).collect());
    names.push((1..=60).map(|arc| vec![(pilot(arc), UTF8, b"v".into())]).collect());
    names
}

#[test]
fn awkward_names_are_written_as_openssl_writes_them() {
    let Some(openssl) = or_left_out(OpenSsl::find()) else { return };
    let mut compared = 0;
    for parts in awkward_names() {
        let der = certificate(&name(&parts), &[7]);
        // Some of them are no names for OpenSSL either, such as countries of one letter.
        if let Some(theirs) = as_openssl(&openssl, &der) {
            assert_eq!(as_read(&der), theirs, "{parts:?}");
            compared += 1;
        }
    }
    assert!(compared > 35, "only {compared} of the names were readable for openssl");
}

#[test]
fn serial_numbers_are_written_as_openssl_writes_them() {
    let Some(openssl) = or_left_out(OpenSsl::find()) else { return };
    let subject = name(&[utf8(3, "a")]);
    let serials: [&[u8]; 8] =
        [&[0], &[1], &[0x0a], &[0x7f, 0xff], &[0, 0xff], &[0xff], &[0x80, 0], &[0, 0x80, 0, 0x0b]];
    for serial in serials {
        let der = certificate(&subject, serial);
        assert_eq!(as_read(&der), as_openssl(&openssl, &der).unwrap(), "{serial:?}");
    }
}

#[test]
fn digests_are_those_that_openssl_shows() {
    let Some(openssl) = or_left_out(OpenSsl::find()) else { return };
    let der = certificate(&name(&[utf8(3, "a")]), &[1]);
    let read = Certificate::read(&der).unwrap();
    for (digest, ours) in [("-sha256", &read.sha256[..]), ("-sha1", &read.sha1[..])] {
        let words = ["x509", "-inform", "DER", "-noout", "-fingerprint", digest];
        let text = String::from_utf8(openssl.says(&words, &der).unwrap()).unwrap();
        let theirs = text.trim().split_once('=').unwrap().1.replace(':', "").to_lowercase();
        assert_eq!(Hex(ours).to_string(), theirs);
    }
    let key = openssl.says(&["x509", "-inform", "DER", "-noout", "-pubkey"], &der).unwrap();
    let key = openssl.says(&["pkey", "-pubin", "-outform", "DER"], &key).unwrap();
    let digest = openssl.says(&["dgst", "-sha256", "-r"], &key).unwrap();
    let theirs = String::from_utf8(digest).unwrap();
    assert_eq!(Hex(&read.spki_sha256).to_string(), theirs.split_whitespace().next().unwrap());
}

fn attribute() -> impl Strategy<Value = Attribute> {
    let tags = prop::sample::select(vec![UTF8, PRINTABLE, TELETEX, IA5, BMP, UNIVERSAL]);
    let bytes = prop_oneof![
        "[ -~]{0,8}".prop_map(String::into_bytes),
        "\\PC{0,4}".prop_map(String::into_bytes),
        prop::collection::vec(0..128_u8, 0..6),
    ];
    (any::<u8>(), tags, bytes).prop_map(|(arc, tag, bytes)| {
        let wide = |width: usize| {
            let pad = vec![0; width - 1];
            bytes.iter().flat_map(|&byte| [pad.as_slice(), &[byte]].concat()).collect()
        };
        let value = match tag {
            BMP => wide(2),
            UNIVERSAL => wide(4),
            _ => bytes,
        };
        (x520(arc % 128), tag, value)
    })
}

#[test]
fn random_names_are_written_as_openssl_writes_them() {
    let Some(openssl) = or_left_out(OpenSsl::find()) else { return };
    let parts = prop::collection::vec(prop::collection::vec(attribute(), 1..4), 0..4);
    let config =
        ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() };
    let compared = std::cell::Cell::new(0);
    TestRunner::new(config)
        .run(&parts, |parts| {
            let der = certificate(&name(&parts), &[7]);
            if let Some(theirs) = as_openssl(&openssl, &der) {
                prop_assert_eq!(as_read(&der), theirs);
                compared.set(compared.get() + 1);
            }
            Ok(())
        })
        .unwrap();
    let compared = compared.get();
    assert!(compared > 30, "only {compared} of the names were readable for openssl");
}
