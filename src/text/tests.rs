//! The expected addresses are what nginx 1.22 wrote when it was sent the same.

use super::*;

fn address(text: &str) -> String {
    let mut out = Vec::new();
    write_address(&mut out, text.parse().unwrap());
    String::from_utf8(out).unwrap()
}

#[test]
fn numbers_are_written_in_decimal() {
    for number in [0, 7, 10, 1500, u64::MAX] {
        let mut out = Vec::new();
        write_number(&mut out, number, 1);
        assert_eq!(String::from_utf8(out).unwrap(), number.to_string());
    }
}

#[test]
fn ipv4_addresses_are_dotted() {
    for text in ["192.0.2.7", "0.0.0.0", "255.255.255.255", "10.20.30.40"] {
        assert_eq!(address(text), text);
    }
}

#[test]
fn ipv6_addresses_are_compressed_without_brackets_as_nginx_does() {
    for (given, logged) in [
        ("::1", "::1"),
        ("::", "::"),
        ("1::", "1::"),
        ("2001:db8::1", "2001:db8::1"),
        ("2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1"),
        ("2001:0:0:1:0:0:0:1", "2001:0:0:1::1"),
        ("2001:db8:0:0:1:0:0:1", "2001:db8::1:0:0:1"),
        ("::1:2:3", "::1:2:3"),
        ("64:ff9b::1.2.3.4", "64:ff9b::102:304"),
        ("fe80::1", "fe80::1"),
        ("0:0:1::", "0:0:1::"),
        ("1:0:2:0:3:0:4:0", "1:0:2:0:3:0:4:0"),
        ("::fffe:1.2.3.4", "::fffe:102:304"),
        ("::ffff:0:1.2.3.4", "::ffff:0:102:304"),
        ("ABCD:EF01:10:100:1000:f:0:0", "abcd:ef01:10:100:1000:f::"),
    ] {
        assert_eq!(address(given), logged);
    }
}

#[test]
fn ipv6_addresses_that_nginx_ends_in_dotted_decimals_end_so() {
    for (given, logged) in [
        ("::ffff:1.2.3.4", "::ffff:1.2.3.4"),
        ("::1.2.3.4", "::1.2.3.4"),
        ("::1:0", "::0.1.0.0"),
        ("::0.1.0.5", "::0.1.0.5"),
        ("::abcd:ef01", "::171.205.239.1"),
        ("::102", "::0.0.1.2"),
        ("::100", "::0.0.1.0"),
        ("::2", "::2"),
        ("::ff01", "::ff01"),
    ] {
        assert_eq!(address(given), logged);
    }
}
