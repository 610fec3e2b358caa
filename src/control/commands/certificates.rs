//! `certs`: the certificates in use, as they were loaded.

use jiff::Timestamp;

use super::View;
use crate::control::documents::{CertificateRow, Certificates};
use crate::tls::Loaded;
use crate::x509::Hex;

impl View<'_> {
    /// Each certificate; who ends first comes first.
    pub(crate) fn certificates(self) -> Certificates {
        let snapshot = self.0.shared().snapshot();
        let now = Timestamp::now();
        let mut rows = Vec::new();
        for listener in snapshot.listeners.iter() {
            let Some(tls) = &listener.tls else { continue };
            let on = listener.section.address;
            let own = tls.certificates.iter().map(|loaded| (format!("listener {on}"), loaded));
            let of_clients = tls
                .client_ca
                .iter()
                .map(|loaded| (format!("clients' authority of listener {on}"), loaded));
            rows.extend(own.chain(of_clients).map(|(use_for, loaded)| row(use_for, loaded, now)));
        }
        rows.sort_by(|a, b| (a.not_after, &a.file).cmp(&(b.not_after, &b.file)));
        Certificates { certificates: rows }
    }
}

fn row(use_for: String, loaded: &Loaded, now: Timestamp) -> CertificateRow {
    let Loaded { file, certificate } = loaded;
    CertificateRow {
        use_for,
        file: file.display().to_string(),
        subject: certificate.subject.clone(),
        sha256: Hex(&certificate.sha256).to_string(),
        not_before: certificate.not_before,
        not_after: certificate.not_after,
        days_left: certificate.days_left(now),
    }
}
