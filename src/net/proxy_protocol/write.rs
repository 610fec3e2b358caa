//! Writes the header of version 2 that tells XiVO's nginx for whom the gateway connects.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::net::client_address::ClientAddress;

/// For whom a connection is made: what the header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Relayed {
    /// The client that XiVO is to see.
    pub client: ClientAddress,
    /// The client's port; 0 where it is not known.
    pub port: u16,
    /// The gateway's own address that the client connected to.
    pub destination: SocketAddr,
}

impl Relayed {
    /// Appends the header (section 2.2): PROXY over TCP, without extensions.
    ///
    /// The client's family decides, since its address is what XiVO is to see; a destination of the
    /// other family, which the header cannot hold beside it, is written as the unspecified address.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(SIGNATURE);
        out.push(VERSION_2_PROXY);
        let destination = self.destination.ip().to_canonical();
        match self.client.ip() {
            IpAddr::V4(client) => {
                let destination = match destination {
                    IpAddr::V4(destination) => destination,
                    IpAddr::V6(_) => Ipv4Addr::UNSPECIFIED,
                };
                out.extend_from_slice(&[TCP_OVER_IPV4, 0, 12]);
                out.extend_from_slice(&client.octets());
                out.extend_from_slice(&destination.octets());
            }
            IpAddr::V6(client) => {
                let destination = match destination {
                    IpAddr::V6(destination) => destination,
                    IpAddr::V4(_) => Ipv6Addr::UNSPECIFIED,
                };
                out.extend_from_slice(&[TCP_OVER_IPV6, 0, 36]);
                out.extend_from_slice(&client.octets());
                out.extend_from_slice(&destination.octets());
            }
        }
        out.extend_from_slice(&self.port.to_be_bytes());
        out.extend_from_slice(&self.destination.port().to_be_bytes());
    }
}

const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
const VERSION_2_PROXY: u8 = 0x21;
const TCP_OVER_IPV4: u8 = 0x11;
const TCP_OVER_IPV6: u8 = 0x21;

#[cfg(test)]
mod tests {
    use super::*;

    fn written(client: &str, port: u16, destination: &str) -> Vec<u8> {
        let client = ClientAddress::new(client.parse().unwrap());
        let mut out = Vec::new();
        Relayed { client, port, destination: destination.parse().unwrap() }.write(&mut out);
        out
    }

    #[test]
    fn the_header_is_that_of_the_specification() {
        let mut expected = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c".to_vec();
        expected.extend_from_slice(&[192, 0, 2, 7, 198, 51, 100, 1, 0x30, 0x39, 0x25, 0x08]);
        assert_eq!(written("192.0.2.7", 12345, "198.51.100.1:9480"), expected);
        assert_eq!(written("::ffff:192.0.2.7", 12345, "[::ffff:198.51.100.1]:9480"), expected);
        let six = written("2001:db8::7", 1, "[2001:db8::1]:2");
        assert_eq!((six.len(), &six[12..16]), (52, &[0x21, 0x21, 0, 36][..]));
        assert_eq!(six[16..32], "2001:db8::7".parse::<Ipv6Addr>().unwrap().octets());
        assert_eq!(six[32..48], "2001:db8::1".parse::<Ipv6Addr>().unwrap().octets());
        assert_eq!(six[48..], [0, 1, 0, 2]);
    }

    #[test]
    fn a_destination_of_the_other_family_is_left_unsaid_and_the_client_is_not() {
        let four = written("192.0.2.7", 1, "[2001:db8::1]:2");
        assert_eq!(four[16..], [192, 0, 2, 7, 0, 0, 0, 0, 0, 1, 0, 2]);
        let six = written("2001:db8::7", 1, "192.0.2.1:2");
        assert_eq!(six[16..32], "2001:db8::7".parse::<Ipv6Addr>().unwrap().octets());
        assert_eq!(six[32..48], [0; 16]);
    }
}
