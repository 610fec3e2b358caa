//! A SHA-256 as people write it: of XiVO's certificate, or of a peer's key.

use crate::config::document::Field;
use crate::config::document::diagnostic::{Diagnostic, shown};
use crate::x509::{Fingerprint, NoFingerprint};

/// Reads the SHA-256 of `what`; `help` says where to get it.
pub(crate) fn read(field: &Field<'_>, what: &str, help: &str) -> Option<Fingerprint> {
    let text = field.text()?;
    field.accept(Fingerprint::read(&text).map_err(|wrong| {
        let message = match wrong {
            NoFingerprint::Unreadable => {
                format!("{} is neither hexadecimal nor base64", shown(&text))
            }
            NoFingerprint::Length(20) => format!("{} has 20 bytes, as a SHA-1 has", shown(&text)),
            NoFingerprint::Length(1) => format!("{} has 1 byte, and not 32", shown(&text)),
            NoFingerprint::Length(length) => {
                format!("{} has {length} bytes, and not 32", shown(&text))
            }
        };
        let form = format!(
            "allowed: the SHA-256 of {what}, as 64 hexadecimal digits (colons may stand between) or \
             base64"
        );
        Diagnostic::new(message, form).help(help)
    }))
}
