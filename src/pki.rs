//! Certificates made easy: a private authority, what it signs, and what is there.
//!
//! # Guarantees
//! * Nothing is overwritten, and there is never a certificate without its key ([`write_pair`]).
//! * Keys are made with P-256, serial numbers of 128 random bits.
//! * A certificate for a listener identifies no client, and one for a peer no server: each has the one
//!   extended key usage that it needs. The authority signs no other authorities.
//!
//! Imports `config`, `files`, `identity`, `location`, `policy`, `tls`, `x509`. Begin with
//! `authority.rs`.

mod authority;
mod files;
mod inventory;

use std::net::IpAddr;
use std::path::PathBuf;

use thiserror::Error;

use crate::config;
use crate::policy::{Host, PeerName};
use crate::tls::LoadError;

pub(crate) use authority::{AUTHORITY_DAYS, Authority, LEAF_DAYS, Pair};
pub(crate) use files::{AUTHORITY, Written, make_directory, write_pair};
pub(crate) use inventory::{Holding, KeyState, Row, State, files_in, of_config, of_files};

/// What a certificate is made for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum For {
    /// A listener that callers know by these names and addresses; at least one.
    Server(Vec<ServerName>),
    /// A peer, which shows it to the gateway.
    Peer(PeerName),
}

/// What callers write in their URL for a listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ServerName {
    /// A host name, in lower case.
    Dns(String),
    /// An IP address (`iPAddress`).
    Ip(IpAddr),
}

impl ServerName {
    /// What `text` names.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn new(text: &str) -> Result<Self, String> {
        if text.contains('/') {
            return Err(format!("`{}` is no host name and no address", text.escape_debug()));
        }
        match config::written_host(text)? {
            Host::Name(name) => Ok(Self::Dns(name)),
            Host::Prefix(prefix) => Ok(Self::Ip(prefix.addr())),
        }
    }
}

impl std::fmt::Display for ServerName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Dns(name) => f.write_str(name),
            Self::Ip(address) => address.fmt(f),
        }
    }
}

/// Why nothing was made.
#[derive(Debug, Error)]
#[non_exhaustive]
pub(crate) enum CertsError {
    /// A file of this name is there.
    #[error("{} exists already and is not overwritten; nothing was made", .0.display())]
    Exists(PathBuf),
    /// No authority has been made.
    #[error("there is no {} to sign with: `phonebook-gateway certs init` makes the authority", .0.display())]
    NoAuthority(PathBuf),
    /// The authority's files cannot be used.
    #[error("{0}")]
    Unusable(#[from] LoadError),
    /// The certificate says that it is no authority, or does not say that it is one.
    #[error("{} is no authority: it may not sign certificates", .0.display())]
    NotAnAuthority(PathBuf),
    /// The authority has expired, or ends before a day has passed.
    #[error("the authority {} ends at {until}: what it signs now would be refused tomorrow", file.display())]
    Expired {
        /// The authority's certificate.
        file: PathBuf,
        /// Its last second.
        until: jiff::Timestamp,
    },
    /// No certificate could be made.
    #[error("the certificate cannot be made: {0}")]
    Making(String),
    /// A file or directory cannot be written.
    #[error("{} cannot be written: {error}; nothing was made", file.display())]
    Write {
        /// The file that was read or written.
        file: PathBuf,
        /// What the system said.
        error: std::io::Error,
    },
}

#[cfg(test)]
mod tests;
