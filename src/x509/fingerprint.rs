//! The SHA-256 of a certificate or of a public key, as tools print it and as the configuration takes
//! it.

use std::fmt;

use crate::text::unhex;

/// A SHA-256, of a whole certificate or of a public key, in DER.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    /// That of `der`.
    pub fn of(der: &[u8]) -> Self {
        Self(crate::x509::sha256(der))
    }

    /// The digest itself.
    pub fn bytes(&self) -> [u8; 32] {
        self.0
    }

    /// Reads 64 hexadecimal digits, with or without colons between the bytes, or base64 (RFC 4648,
    /// section 4; its final `=` may be left out).
    ///
    /// # Errors
    /// [`NoFingerprint`].
    pub fn read(text: &str) -> Result<Self, NoFingerprint> {
        let bytes = hexadecimal(text).or_else(|| base64(text)).ok_or(NoFingerprint::Unreadable)?;
        let length = bytes.len();
        bytes.try_into().map(Self).map_err(|_| NoFingerprint::Length(length))
    }
}

/// Why a text is no fingerprint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoFingerprint {
    /// Neither hexadecimal nor base64.
    Unreadable,
    /// This many bytes, and not 32.
    Length(usize),
}

/// As openssl prints it.
impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, byte) in self.0.iter().enumerate() {
            let colon = if at == 0 { "" } else { ":" };
            write!(f, "{colon}{byte:02X}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

fn hexadecimal(text: &str) -> Option<Vec<u8>> {
    let pair = |pair: &[u8]| match *pair {
        [high, low] => unhex(high, low),
        _ => None,
    };
    if text.contains(':') {
        text.split(':').map(|part| pair(part.as_bytes())).collect()
    } else {
        text.as_bytes().chunks(2).map(pair).collect()
    }
}

fn base64(text: &str) -> Option<Vec<u8>> {
    let digits = text.strip_suffix('=').unwrap_or(text).as_bytes();
    let mut bytes = Vec::new();
    let (mut held, mut bits) = (0_u32, 0);
    for &digit in digits {
        let value = match digit {
            b'A'..=b'Z' => digit - b'A',
            b'a'..=b'z' => digit - b'a' + 26,
            b'0'..=b'9' => digit - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        held = (held << 6) | u32::from(value);
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            bytes.extend(u8::try_from(held >> bits));
            held &= (1 << bits) - 1;
        }
    }
    // What is left over of the last digit says nothing, and must not differ between two spellings.
    (held == 0 && bits < 6).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_spellings_are_the_same_fingerprint() {
        let empty = Fingerprint::of(b"");
        let shown = empty.to_string();
        assert!(shown.starts_with("E3:B0:C4:42:") && shown.ends_with(":52:B8:55"), "{shown}");
        for text in [
            shown.as_str(),
            &shown.to_lowercase(),
            &shown.replace(':', ""),
            "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=",
            "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU",
        ] {
            assert_eq!(Fingerprint::read(text), Ok(empty), "{text}");
        }
    }

    #[test]
    fn nothing_else_is_one() {
        let sha1 = "DA:39:A3:EE:5E:6B:4B:0D:32:55:BF:EF:95:60:18:90:AF:D8:07:09";
        assert_eq!(Fingerprint::read(sha1), Err(NoFingerprint::Length(20)));
        let last_bits_set = "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFV=";
        for text in ["é", "a:b", last_bits_set, "sha256//47DEQ", "+1:02"] {
            assert_eq!(Fingerprint::read(text), Err(NoFingerprint::Unreadable), "{text}");
        }
        assert_eq!(Fingerprint::read(""), Err(NoFingerprint::Length(0)));
    }
}
