//! The TLS handshake that comes before a request: what its verifier says of the client's certificate.

use jiff::Timestamp;
use rustls::pki_types::CertificateDer;

use super::narrator::{Note, StepShown};
use crate::tls::ListenerTls;
use crate::x509::Certificate;

/// What becomes of a handshake.
#[derive(Debug)]
pub(super) struct Shaken {
    /// None where the client shows no certificate, so that there is nothing to tell.
    pub(super) step: Option<StepShown>,
    /// What the gateway sees of the certificates that the client has.
    pub(super) chain: Vec<CertificateDer<'static>>,
    /// Why no request is read.
    pub(super) failed: Option<String>,
}

impl Shaken {
    /// The handshake of a client that has `chain`, its own certificate first, with the listener.
    pub(super) fn of(
        tls: Option<&ListenerTls>,
        chain: Vec<CertificateDer<'static>>,
        listener: Option<String>,
    ) -> Self {
        let Some((tls, leaf)) = tls.zip(chain.first()) else {
            return Self { step: None, chain, failed: None };
        };
        let step = |refused, texts: Vec<String>| {
            let note = |(at, text)| Note { text, location: listener.clone().filter(|_| at == 0) };
            let annotations = texts.into_iter().enumerate().map(note).collect();
            Some(StepShown { step: "handshake", refused, annotations })
        };
        if !tls.asks_clients() {
            let text = "clients are not asked for a certificate, since the listener has no client_ca and no policy a \
                        [certificate]: this one is not shown";
            let step = step(false, vec![text.to_owned()]);
            return Self { step, chain: Vec::new(), failed: None };
        }
        match tls.check_client(&chain, Timestamp::now()) {
            Err(fault) => {
                let why = fault.to_string();
                let mut texts = vec![why.clone()];
                texts.extend(fault.is_of_key().then(|| SHOWS_NONE.to_owned()));
                // It may be one that cannot be read at all, and nobody reads it any more.
                Self { step: step(true, texts), chain: Vec::new(), failed: Some(why) }
            }
            Ok(()) => {
                let described = Certificate::read(leaf).map(|leaf| leaf.described());
                let text = format!(
                    "the client's certificate can be used: {}",
                    described.unwrap_or_default()
                );
                let taken = "that the client holds its key is taken for proven".to_owned();
                Self { step: step(false, vec![text, taken]), chain, failed: None }
            }
        }
    }
}

const SHOWS_NONE: &str = "a client that heeds which signatures this gateway can verify, as OpenSSL's do, may show no \
                          certificate instead: its requests are then those of one without (explain it without \
                          --certificate)";
