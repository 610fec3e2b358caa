//! TLS on listeners: certificates for this gateway by server name, certificates of clients, and
//! sessions that any worker resumes.
//!
//! # Guarantees
//! * TLS 1.2 and 1.3 only, with rustls' suites: all of them give forward secrecy.
//! * A client's certificate is asked for and never demanded. The handshake proves that the client
//!   holds its key, and fails where the certificate or its key is of a kind that cannot be verified
//!   by; what of that depends on the certificate alone is asked by one function
//!   ([`ListenerTls::check_client`]), for `explain` too. Chain, dates and revocation are judged for each request, by what is loaded then
//!   ([`TlsFacts::shown`]), so resumed sessions and connections that are kept are judged like new ones.
//! * Certificate, key, authority and revocation list are loaded as a whole or not at all
//!   ([`Material`]); what was loaded last stays in use as long as the files have a fault.
//!
//! Imports `files`, `identity`, `location`, `x509`. Begin with `listener.rs`, then `handshake.rs`.

mod authority;
mod facts;
mod handshake;
mod listener;
mod load;
mod usable;

pub(crate) use authority::ClientAuthority;
pub(crate) use facts::TlsFacts;
pub(crate) use handshake::{HandshakeFault, Opened, handshake};
pub(crate) use listener::{HandshakeOptions, ListenerTls, Sessions};
pub(crate) use load::{
    EXPIRY_NOTICE, KeyPair, LoadError, Loaded, Material, TlsSettings, read_certificates, read_pem,
};
pub(crate) use usable::{KeySide, UnusableCertificate, check, check_authority};
