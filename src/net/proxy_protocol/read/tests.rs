use proptest::prelude::*;

use super::*;

fn socket(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

/// A header of version 2 with these bytes behind the length.
fn v2(command: u8, kind: u8, block: &[u8]) -> Vec<u8> {
    let length = u16::try_from(block.len()).unwrap().to_be_bytes();
    [V2_SIGNATURE, &[command, kind], &length, block].concat()
}

fn client(bytes: &[u8]) -> Option<SocketAddr> {
    let header = read(bytes).unwrap().unwrap();
    assert_eq!(header.len, bytes.len());
    header.client
}

#[test]
fn version_1_says_both_ends() {
    for (line, from, to) in [
        ("PROXY TCP4 192.0.2.7 198.51.100.1 40000 443\r\n", "192.0.2.7:40000", "198.51.100.1:443"),
        ("PROXY TCP4 255.255.255.255 0.0.0.0 65535 0\r\n", "255.255.255.255:65535", "0.0.0.0:0"),
        ("PROXY TCP6 2001:db8::7 ::1 1 2\r\n", "[2001:db8::7]:1", "[::1]:2"),
        ("PROXY TCP6 ::ffff:192.0.2.7 ::1 1 2\r\n", "[::ffff:192.0.2.7]:1", "[::1]:2"),
    ] {
        let whole = [line.as_bytes(), b"GET / HTTP/1.1\r\n"].concat();
        let header = read(&whole).unwrap().unwrap();
        let (client, destination) = (Some(socket(from)), Some(socket(to)));
        assert_eq!(header, Header { client, destination, len: line.len() }, "{line}");
    }
}

#[test]
fn the_longest_line_is_107_bytes() {
    let v6 = "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff";
    let longest = format!("PROXY TCP6 {v6} {v6} 65535 65535\r\n");
    assert_eq!(longest.len(), 104);
    assert!(client(longest.as_bytes()).is_some());
    let unknown = |length: usize| [b"PROXY UNKNOWN ".as_slice(), &vec![b'x'; length]].concat();
    let line = |length: usize| [unknown(length), b"\r\n".to_vec()].concat();
    assert_eq!(line(91).len(), LONGEST_V1);
    assert_eq!(client(&line(91)), None);
    assert!(read(&line(92)).is_err());
    assert_eq!(read(&unknown(92)), Ok(None));
    assert!(read(&unknown(93)).is_err());
}

#[test]
fn who_speaks_for_itself_or_does_not_know_yields_no_address() {
    for bytes in [
        b"PROXY UNKNOWN\r\n".to_vec(),
        b"PROXY UNKNOWN 192.0.2.7 198.51.100.1 1 2\r\n".to_vec(),
        b"PROXY UNKNOWN \xff\xff\r\n".to_vec(),
        v2(0x20, 0x00, b""),
        v2(0x20, 0x11, INET),
        v2(0x20, 0x11, b"abc"),
        v2(0x20, 0xff, b"abc"),
        v2(0x21, 0x00, b""),
        v2(0x21, 0x00, INET),
        v2(0x21, 0x12, INET),
        v2(0x21, 0x22, &[0; 36]),
        v2(0x21, 0x31, &[0; 216]),
        v2(0x21, 0x32, &[0; 216]),
    ] {
        assert_eq!(client(&bytes), None, "{}", bytes.escape_ascii());
    }
}

#[test]
fn version_2_says_both_ends() {
    let header = read(&v2(0x21, 0x11, INET)).unwrap().unwrap();
    assert_eq!(header.client, Some(socket("192.0.2.7:40000")));
    assert_eq!(header.destination, Some(socket("198.51.100.1:443")));
    let (from, to): (Ipv6Addr, Ipv6Addr) = ("2001:db8::7".parse().unwrap(), "::1".parse().unwrap());
    let block = [from.octets().as_slice(), &to.octets(), &[0, 1, 0, 2]].concat();
    assert_eq!(client(&v2(0x21, 0x21, &block)), Some(socket("[2001:db8::7]:1")));
}

#[test]
fn what_only_looks_like_version_1_is_refused() {
    for line in [
        "",
        "TCP4",
        "TCP4 ",
        "TCP4 192.0.2.7 198.51.100.1 1",
        "TCP4 192.0.2.7 198.51.100.1 1 ",
        "TCP4 192.0.2.7 198.51.100.1 1 2 ",
        "TCP4 192.0.2.7 198.51.100.1 1 2 3",
        "TCP4  192.0.2.7 198.51.100.1 1 2",
        " TCP4 192.0.2.7 198.51.100.1 1 2",
        "TCP4\t192.0.2.7 198.51.100.1 1 2",
        "TCP4 192.0.2.07 198.51.100.1 1 2",
        "TCP4 0192.0.2.7 198.51.100.1 1 2",
        "TCP4 192.0.7 198.51.100.1 1 2",
        "TCP4 0xc0000207 198.51.100.1 1 2",
        "TCP4 192.0.2.7/32 198.51.100.1 1 2",
        "TCP4 192.0.2.256 198.51.100.1 1 2",
        "TCP4 2001:db8::7 ::1 1 2",
        "TCP4 192.0.2.7 198.51.100.1 01 2",
        "TCP4 192.0.2.7 198.51.100.1 +1 2",
        "TCP4 192.0.2.7 198.51.100.1 -1 2",
        "TCP4 192.0.2.7 198.51.100.1 65536 2",
        "TCP4 192.0.2.7 198.51.100.1 1 00",
        "TCP4 192.0.2.7 198.51.100.1 1 2\0",
        "TCP6 192.0.2.7 198.51.100.1 1 2",
        "TCP6 fe80::1%eth0 ::1 1 2",
        "TCP6 [::1] ::1 1 2",
        "TCP6 1::2::3 ::1 1 2",
        "tcp4 192.0.2.7 198.51.100.1 1 2",
        "UDP4 192.0.2.7 198.51.100.1 1 2",
        "UNKNOWNX",
        "unknown",
        "UNKNOWN\n",
        "UNKNOWN\rX",
    ] {
        assert!(read(format!("PROXY {line}\r\n").as_bytes()).is_err(), "{line:?}");
    }
    for bytes in
        [&b"GET / HTTP/1.1\r\n"[..], b"proxy", b"PROXX", b"\x16\x03\x01", b"\r\n\r\nG", b" "]
    {
        assert!(read(bytes).is_err(), "{}", bytes.escape_ascii());
    }
    assert!(read(b"PROXY UNKNOWN\n").is_err());
}

#[test]
fn what_only_looks_like_version_2_is_refused() {
    for (command, kind, block) in [
        (0x11, 0x11, INET),
        (0x31, 0x11, INET),
        (0x22, 0x11, INET),
        (0x2f, 0x11, INET),
        (0x21, 0x10, INET),
        (0x21, 0x13, INET),
        (0x21, 0x01, INET),
        (0x21, 0x41, INET),
        (0x21, 0xff, INET),
        (0x21, 0x11, &INET[..11]),
        (0x21, 0x12, &INET[..11]),
        (0x21, 0x11, b""),
        (0x21, 0x21, INET),
        (0x21, 0x21, b""),
        (0x21, 0x21, &[0; 35]),
        (0x21, 0x22, INET),
        (0x21, 0x22, &[0; 35]),
        (0x21, 0x31, INET),
        (0x21, 0x32, &[0; 215]),
        (0x21, 0x11, &[0; LONGEST - V2_FIXED + 1]),
    ] {
        assert!(read(&v2(command, kind, block)).is_err(), "{command:x} {kind:x} {block:?}");
    }
    // Found before the whole of it has come.
    assert!(read(&v2(0x21, 0x11, &[0; LONGEST])[..V2_FIXED]).is_err());
}

#[test]
fn the_longest_header_of_version_2_is_read() {
    let longest = v2(0x21, 0x00, &[0; LONGEST - V2_FIXED]);
    assert_eq!((longest.len(), client(&longest)), (LONGEST, None));
    assert!(read(&v2(0x21, 0x00, &[0; LONGEST - V2_FIXED + 1])).is_err());
}

#[test]
fn additions_fit_in_and_are_skipped() {
    let with = |additions: &[u8]| v2(0x21, 0x11, &[INET, additions].concat());
    for additions in [
        &[0x04, 0, 0][..],
        &[0x04, 0, 2, 9, 9],
        &[0x01, 0, 2, b'h', b'2', 0x05, 0, 1, 7],
        &[0xea, 0, 1, 0xff],
    ] {
        assert_eq!(client(&with(additions)), Some(socket("192.0.2.7:40000")), "{additions:?}");
    }
    for additions in [&[0x04][..], &[0x04, 0], &[0x04, 0, 1], &[0x04, 0, 0, 1], &[4, 0xff, 0xff, 1]]
    {
        assert!(read(&with(additions)).is_err(), "{additions:?}");
    }
}

#[test]
fn a_checksum_has_to_be_right() {
    // RFC 3720, appendix B.4: 32 bytes of zeros, of ones, and the numbers from 0 up.
    assert_eq!(crc32c_without(&[0; 32], 0..0), 0x8a91_36aa);
    assert_eq!(crc32c_without(&[0xff; 32], 0..0), 0x62a8_ab43);
    assert_eq!(crc32c_without(&[0xff; 32], 0..32), 0x8a91_36aa);
    assert_eq!(crc32c_without(&(0..32).collect::<Vec<u8>>(), 0..0), 0x46dd_794e);
    let with = |crc: &[u8]| {
        let length = u8::try_from(crc.len()).unwrap();
        v2(0x21, 0x11, &[INET, &[0x04, 0, 1, 9], &[TYPE_CRC32C, 0, length], crc].concat())
    };
    let right = crc32c_without(&with(&[0; 4]), 0..0).to_be_bytes();
    let followed = |crc: &[u8]| {
        v2(0x21, 0x11, &[INET, &[TYPE_CRC32C, 0, 4], crc, &[0x04, 0, 2, 8, 9]].concat())
    };
    let crc = crc32c_without(&followed(&[0; 4]), 0..0).to_be_bytes();
    assert!(client(&followed(&crc)).is_some());
    assert!(client(&with(&right)).is_some());
    for wrong in [&[0; 4][..], &right[..3], &[&right[..], &[0]].concat(), &[]] {
        assert!(read(&with(wrong)).is_err(), "{wrong:?}");
    }
    let mut other = with(&right);
    other[V2_FIXED] ^= 1;
    assert!(read(&other).is_err());
}

#[test]
fn each_byte_of_a_header_is_waited_for() {
    let v6 = v2(0x21, 0x21, &[7; 36 + 3 + 0x0707]);
    for header in [
        b"PROXY TCP4 192.0.2.7 198.51.100.1 40000 443\r\n".to_vec(),
        b"PROXY UNKNOWN\r\n".to_vec(),
        v2(0x21, 0x11, INET),
        v2(0x20, 0x00, b""),
        v6,
    ] {
        for cut in 0..header.len() {
            assert_eq!(read(&header[..cut]), Ok(None), "{cut} of {}", header.escape_ascii());
        }
        let whole = read(&header).unwrap();
        assert!(whole.is_some());
        assert_eq!(read(&[header.as_slice(), b"PROXY \r\n\r\n"].concat()), Ok(whole));
    }
}

/// Bytes that are likely to be read for a while.
fn headers() -> impl Strategy<Value = Vec<u8>> {
    let any = || prop::collection::vec(any::<u8>(), 0..300);
    let words = prop::sample::select(vec![
        "TCP4",
        "TCP6",
        "UNKNOWN",
        "192.0.2.7",
        "::1",
        "0",
        "443",
        " ",
        " ",
        " ",
        "\r\n",
        "\r",
        "\n",
    ]);
    let text = prop::collection::vec(words, 0..14).prop_map(|words| words.concat());
    let kinds = prop::sample::select(vec![0x00_u8, 0x11, 0x12, 0x21, 0x22, 0x31, 0x41]);
    prop_oneof![
        any(),
        text.prop_map(|text| format!("PROXY {text}").into_bytes()),
        (0x20..=0x22_u8, kinds, any()).prop_map(|(command, kind, block)| v2(command, kind, &block)),
    ]
}

proptest! {
    /// Once a verdict is found it stays, whatever else comes; until then nothing is taken.
    #[test]
    fn a_header_that_comes_in_pieces_is_the_same_header(bytes in headers()) {
        let whole = read(&bytes);
        let first = (0..=bytes.len()).map(|cut| (cut, read(&bytes[..cut]))).find(|(_, r)| *r != Ok(None));
        match first {
            Some((cut, verdict)) => {
                if let Ok(Some(header)) = verdict {
                    prop_assert_eq!(header.len, cut);
                    prop_assert_eq!(verdict, whole);
                } else {
                    prop_assert!(whole.is_err());
                }
            }
            None => prop_assert_eq!(whole, Ok(None)),
        }
    }
}

/// 192.0.2.7:40000 to 198.51.100.1:443.
const INET: &[u8] = &[192, 0, 2, 7, 198, 51, 100, 1, 0x9c, 0x40, 0x01, 0xbb];
