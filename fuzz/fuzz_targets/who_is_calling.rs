//! What says who is calling never makes its reader panic, and says the same however it comes.

#![no_main]

use libfuzzer_sys::fuzz_target;
use phonebook_gateway::identity::forwarded;
use phonebook_gateway::identity::forwarded::ForwardedHeader;
use phonebook_gateway::net::proxy_protocol::read::read;
use phonebook_gateway::x509::Certificate;

fuzz_target!(|input: (u8, &[u8])| {
    let (what, bytes) = input;
    match what % 3 {
        0 => proxy_header(bytes),
        1 => forwarded(bytes),
        _ => drop(Certificate::read(bytes)),
    }
});

/// A header that is read whole is the same with anything behind it, and no part of it is one.
fn proxy_header(bytes: &[u8]) {
    let Ok(Some(header)) = read(bytes) else { return };
    assert!(header.len <= bytes.len());
    assert_eq!(read(&bytes[..header.len]), Ok(Some(header)));
    for length in 0..header.len {
        assert_eq!(read(&bytes[..length]), Ok(None), "cut at {length}");
    }
}

/// Lines of a header are one list, wherever it is cut between two entries.
fn forwarded(bytes: &[u8]) {
    for header in [ForwardedHeader::XForwardedFor, ForwardedHeader::Forwarded] {
        let trusts = |address: phonebook_gateway::net::client_address::ClientAddress| {
            address.ip().is_loopback()
        };
        let whole = forwarded::client(header, [bytes].into_iter(), trusts);
        if let Ok(client) = whole {
            // Joined to what a trusted proxy added, it says the same.
            let added = match header {
                ForwardedHeader::XForwardedFor => b"127.0.0.1".as_slice(),
                ForwardedHeader::Forwarded => b"for=127.0.0.1",
            };
            let behind = forwarded::client(header, [bytes, added].into_iter(), trusts);
            assert!(behind == Ok(client) || behind.is_err(), "{behind:?} is not {client}");
        }
    }
}
