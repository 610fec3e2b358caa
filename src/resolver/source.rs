//! Who is asked for names: the system's resolver, or name servers that the configuration lists.

use std::net::{SocketAddr, ToSocketAddrs};

use crate::resolver::{Failure, Outcome, dns};

/// Who is asked for names. Asking blocks.
#[derive(Clone, Debug)]
pub enum Source {
    /// getaddrinfo(3): nsswitch.conf, /etc/hosts, resolv.conf. Answers have no time to live.
    System,
    /// These name servers, the next one where one does not answer.
    Servers(Vec<SocketAddr>),
}

impl Source {
    /// Asks for all addresses of `name`.
    pub fn ask(&self, name: &str) -> Outcome {
        match self {
            Self::System => system(name),
            Self::Servers(servers) => dns::ask(servers, name),
        }
    }
}

fn system(name: &str) -> Outcome {
    match (name, 0).to_socket_addrs() {
        Ok(found) => {
            let addresses: Vec<_> = found.map(|address| address.ip()).collect();
            if addresses.is_empty() {
                Outcome::Failed(Failure::NoSuchName)
            } else {
                Outcome::Addresses { addresses, ttl: None, missing: None }
            }
        }
        // The standard library keeps nothing of getaddrinfo's error but its text.
        Err(error) => {
            let text = error.to_string();
            let is = |part: &str| text.contains(part);
            Outcome::Failed(
                if is("Name or service not known") || is("No address associated with hostname") {
                    Failure::NoSuchName
                } else if is("Temporary failure in name resolution") {
                    Failure::Error("the system's resolver got no answer (EAI_AGAIN)".to_owned())
                } else {
                    Failure::Error(text)
                },
            )
        }
    }
}
