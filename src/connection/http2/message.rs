//! The head of a request as HTTP/2 brings it: its fields as they come, byte for byte, and what in them
//! breaks a rule that only HTTP/2 has (RFC 9113, sections 8.2 and 8.3).

use crate::refusal::Http2Fault;

/// A head, field by field.
#[derive(Debug, Default)]
pub(super) struct Message {
    pub(super) method: Option<Vec<u8>>,
    pub(super) scheme: Option<Vec<u8>>,
    pub(super) authority: Option<Vec<u8>>,
    pub(super) path: Option<Vec<u8>>,
    /// The other fields, as HTTP/1 writes them.
    pub(super) fields: Vec<u8>,
    /// Values of `host` that came beside an `:authority`.
    pub(super) hosts: Vec<Vec<u8>>,
    /// The stream ends with the head.
    pub(super) ends: bool,
    fault: Option<Http2Fault>,
    declared: Option<u64>,
    /// A field that is no pseudo-header has come.
    regular: bool,
    /// Bytes that the head takes in HTTP/1, and how many it may.
    length: usize,
    limit: usize,
    cut: bool,
}

impl Message {
    /// One that may have `limit` bytes.
    pub(super) fn new(limit: usize) -> Self {
        Self { limit, ..Self::default() }
    }

    /// Takes a field as it was sent.
    pub(super) fn add(&mut self, name: &[u8], value: &[u8]) {
        let pseudo = name.first() == Some(&b':');
        let length = if pseudo { value.len() } else { name.len() + value.len() + 4 };
        let room = self.limit.saturating_sub(self.length);
        self.cut |= length > room;
        if pseudo {
            let (value, _) = value.split_at(value.len().min(room));
            self.length += value.len();
            return self.add_pseudo(name, value);
        }
        self.regular = true;
        self.check(name, value);
        if self.cut {
            return;
        }
        self.length += length;
        let is_host = name == b"host" && self.authority.is_some();
        if is_host {
            self.hosts.push(value.to_vec());
        } else if is_name(name) && !value.iter().any(|byte| matches!(byte, b'\r' | b'\n' | 0)) {
            for part in [name, b": ", value, b"\r\n"] {
                self.fields.extend_from_slice(part);
            }
        }
    }

    fn add_pseudo(&mut self, name: &[u8], value: &[u8]) {
        if self.regular {
            self.set_fault(Http2Fault::LatePseudoHeader);
        }
        let slot = match name {
            b":method" => &mut self.method,
            b":scheme" => &mut self.scheme,
            b":authority" => &mut self.authority,
            b":path" => &mut self.path,
            _ => return self.set_fault(Http2Fault::UnknownPseudoHeader),
        };
        match slot {
            Some(_) => self.set_fault(Http2Fault::RepeatedPseudoHeader),
            None => *slot = Some(value.to_vec()),
        }
    }

    /// What only HTTP/2 forbids in a field, and what could not be written as HTTP/1.
    fn check(&mut self, name: &[u8], value: &[u8]) {
        if !is_name(name) {
            self.set_fault(Http2Fault::FieldName);
        }
        let blank = |byte: Option<&u8>| matches!(byte, Some(b' ' | b'\t'));
        if blank(value.first()) || blank(value.last()) {
            self.set_fault(Http2Fault::BlankAroundValue);
        }
        if value.iter().any(|byte| matches!(byte, b'\r' | b'\n' | 0)) {
            self.set_fault(Http2Fault::LineEndInValue);
        }
        if CONNECTION_FIELDS.contains(&name) || name == b"te" && value != b"trailers" {
            self.set_fault(Http2Fault::ConnectionField);
        }
        if name == b"content-length" {
            let digits = std::str::from_utf8(value).ok().and_then(|text| text.parse().ok());
            self.declared = self.declared.or(digits);
        }
    }

    /// The whole head has come.
    pub(super) fn finish(&mut self) {
        self.fields.shrink_to_fit();
        let is_connect = self.method.as_deref() == Some(b"CONNECT");
        let parts = (self.scheme.is_some(), self.path.as_deref());
        let why = match (&self.method, parts) {
            (None, _) => Some(Http2Fault::NoMethod),
            (Some(method), _) if !is_token(method) => Some(Http2Fault::MethodNotToken),
            (_, (false, None)) if is_connect => None,
            _ if is_connect => Some(Http2Fault::ConnectWithTarget),
            (_, (false, _)) => Some(Http2Fault::NoScheme),
            (_, (_, None | Some(b""))) => Some(Http2Fault::NoPath),
            (_, (_, Some(path))) => path_fault(path),
        };
        // What did not come whole may be in what did not come.
        if let Some(why) = why.filter(|_| !self.cut) {
            self.set_fault(why);
        }
    }

    /// A rule that it breaks.
    pub(super) fn set_fault(&mut self, why: Http2Fault) {
        self.fault.get_or_insert(why);
    }

    /// The first rule that it breaks.
    pub(super) fn fault(&self) -> Option<Http2Fault> {
        self.fault
    }

    /// Not all of it has come.
    pub(super) fn set_cut(&mut self) {
        self.cut = true;
    }

    /// Whether it is longer than a head may be.
    pub(super) fn is_cut(&self) -> bool {
        self.cut
    }

    /// How long the body is, where that is said.
    pub(super) fn declared(&self) -> Option<u64> {
        self.declared
    }

    /// Whether a body comes, or is promised. One without a byte is none.
    pub(super) fn has_body(&self) -> bool {
        !self.ends && self.declared != Some(0)
    }
}

fn path_fault(path: &[u8]) -> Option<Http2Fault> {
    if path.first() != Some(&b'/') && path != b"*" {
        return Some(Http2Fault::RelativePath);
    }
    // Beyond what HTTP/1 says of these: there they end the target.
    let odd = path.iter().any(|&byte| byte <= b' ' || byte == 0x7f);
    odd.then_some(Http2Fault::ByteInPath)
}

/// Whether a field may have this name (RFC 9113, section 8.2.1, within RFC 9110, section 5.6.2).
fn is_name(name: &[u8]) -> bool {
    is_token(name) && !name.iter().any(u8::is_ascii_uppercase)
}

fn is_token(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().all(|&byte| crate::http1::field::is_token(byte))
}

const CONNECTION_FIELDS: &[&[u8]] =
    &[b"connection", b"keep-alive", b"proxy-connection", b"transfer-encoding", b"upgrade"];
