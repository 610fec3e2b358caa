//! What a XiVO reads in a URL: nginx's normalization, its split at `.php`, and XiVO's own path rule.
//!
//! This is the opposite of the gateway's strict parser: it is as lenient as the real thing, so that
//! tests can ask of any bytes *what would XiVO have done with them?* All functions are pure and total.
//!
//! Sources: nginx `ngx_http_parse_complex_uri` with `merge_slashes on`, and
//! `fastcgi_split_path_info ^(.+\.php)(.*)$`; XiVO's web interface, its reading of `PATH_INFO`; for the
//! query see [`php`]. Not imitated: PHP's own `cgi.fix_pathinfo` search for a script on the disk.

pub(crate) mod php;

use php::{PhpQuery, PhpValue, php_query};

/// Why nginx answers 400 to a request target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UrlError {
    /// Neither a path nor an absolute URL.
    #[error("the request target is neither a path nor an absolute URL")]
    Form,
    /// A control byte or a space, written as such.
    #[error("the request target holds a control byte or a space")]
    ControlByte,
    /// `%` without two hexadecimal digits, or `%00`.
    #[error("the request target holds a broken percent-escape or an escaped NUL")]
    Escape,
    /// `..` leads above the root.
    #[error("the request target leads above the root")]
    AboveRoot,
}

/// What a XiVO makes of one request target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reading {
    /// The decoded path: slashes merged, dot segments resolved.
    pub path: Vec<u8>,
    /// The path up to the last `.php`; `None` when there is no script in it.
    pub script: Option<Vec<u8>>,
    /// The path behind the script, as PHP receives it.
    pub path_info: Vec<u8>,
    /// The segments that XiVO acts on, at most three; empty when XiVO refuses the path.
    pub segments: Vec<Vec<u8>>,
    /// The query, undecoded and without its `?`.
    pub query: Vec<u8>,
}

/// Who may use a path, by its first segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// Every connection from 127.0.0.1 or ::1, and no other.
    Private,
    /// Hosts that XiVO's administrator entered.
    Restricted,
}

/// What the phonebook's script does for a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    /// `act=search`: finds contacts by text.
    Search,
    /// Returns the whole phonebook; also for an absent, unknown or array-valued `act`.
    List,
    /// Returns one contact.
    View,
    /// Writes a new contact.
    Add,
    /// Removes a contact.
    Delete,
}

impl Reading {
    /// The place that the path names, if the telephony script is asked for one.
    #[must_use]
    pub fn place(&self) -> Option<Place> {
        if self.script.as_deref() != Some(SCRIPT) {
            return None;
        }
        match self.segments.first()?.as_slice() {
            b"private" => Some(Place::Private),
            b"restricted" => Some(Place::Restricted),
            _ => None,
        }
    }

    /// Whether the path leads to the phonebook, in either place.
    #[must_use]
    pub fn is_phonebook(&self) -> bool {
        self.place().is_some()
            && self.segments.get(1).is_some_and(|s| s == b"pbx_services")
            && self.segments.get(2).is_some_and(|s| s == b"phonebook")
    }

    /// `$_GET` for this target.
    #[must_use]
    pub fn arguments(&self) -> PhpQuery {
        php_query(&self.query)
    }
}

impl Act {
    /// The act that XiVO reads in a request's arguments.
    #[must_use]
    pub fn of(arguments: &PhpQuery) -> Self {
        match arguments.get(b"act") {
            Some(PhpValue::Text(text)) => match php::trim(text) {
                b"search" => Self::Search,
                b"view" => Self::View,
                b"add" => Self::Add,
                b"delete" => Self::Delete,
                _ => Self::List,
            },
            Some(PhpValue::Array) | None => Self::List,
        }
    }
}

/// Reads a request target (origin-form or absolute-form) as a XiVO does.
///
/// # Errors
/// nginx answers 400 to the target; the error says what it does not take.
pub fn read_url(target: &[u8]) -> Result<Reading, UrlError> {
    if target.iter().any(|&byte| byte <= b' ' || byte == 0x7f) {
        return Err(UrlError::ControlByte);
    }
    let target = target.split(|&byte| byte == b'#').next().unwrap_or_default();
    let local = without_authority(target)?;
    let (path, query) = match local.iter().position(|&byte| byte == b'?') {
        Some(at) => (&local[..at], &local[at + 1..]),
        None => (local, &[][..]),
    };
    let path = if path.is_empty() { b"/" } else { path };
    let path = normalize(path)?;
    let (script, path_info) = match split_script(&path) {
        Some((script, info)) => (Some(script.to_vec()), info.to_vec()),
        None => (None, Vec::new()),
    };
    let segments = read_path_info(&path_info).unwrap_or_default();
    Ok(Reading { path, script, path_info, segments, query: query.to_vec() })
}

/// The part of a target behind `scheme://authority`, if it has one.
fn without_authority(target: &[u8]) -> Result<&[u8], UrlError> {
    if target.first() == Some(&b'/') {
        return Ok(target);
    }
    let colon = target.windows(3).position(|window| window == b"://").ok_or(UrlError::Form)?;
    let (scheme, rest) = (&target[..colon], &target[colon + 3..]);
    let scheme_is_valid = scheme.first().is_some_and(u8::is_ascii_alphabetic)
        && scheme.iter().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(byte));
    let end = rest.iter().position(|byte| b"/?".contains(byte)).unwrap_or(rest.len());
    let authority_is_valid =
        rest[..end].iter().all(|byte| byte.is_ascii_alphanumeric() || b".-:[]".contains(byte));
    if !scheme_is_valid || !authority_is_valid || end == 0 {
        return Err(UrlError::Form);
    }
    Ok(&rest[end..])
}

/// Decodes once, then merges slashes and resolves dot segments: an escaped `/` or `.` counts as
/// a written one, as in nginx.
fn normalize(path: &[u8]) -> Result<Vec<u8>, UrlError> {
    let decoded = decode(path)?;
    let mut out: Vec<u8> = Vec::with_capacity(decoded.len());
    let mut segments = decoded.split(|&byte| byte == b'/').skip(1).peekable();
    out.push(b'/');
    // `out` ends with a slash at the top of each turn.
    while let Some(segment) = segments.next() {
        match segment {
            b"" | b"." => {}
            b".." => {
                out.pop();
                let parent = out.iter().rposition(|&byte| byte == b'/');
                out.truncate(parent.ok_or(UrlError::AboveRoot)? + 1);
            }
            _ => {
                out.extend_from_slice(segment);
                if segments.peek().is_some() {
                    out.push(b'/');
                }
            }
        }
    }
    Ok(out)
}

/// nginx's percent-decoding of a path: one pass, strict.
fn decode(path: &[u8]) -> Result<Vec<u8>, UrlError> {
    let mut out = Vec::with_capacity(path.len());
    let mut rest = path.iter();
    while let Some(&byte) = rest.next() {
        if byte != b'%' {
            out.push(byte);
            continue;
        }
        match php::hex_pair(rest.as_slice()) {
            None | Some(0) => return Err(UrlError::Escape),
            Some(decoded) => out.push(decoded),
        }
        rest = rest.as_slice()[2..].iter();
    }
    Ok(out)
}

/// `^(.+\.php)(.*)$`, greedy, with PCRE's meaning of `.` and `$` for line feeds.
fn split_script(path: &[u8]) -> Option<(&[u8], &[u8])> {
    // `$` also matches before one last line feed, and `.` matches no line feed anywhere.
    let line = path.strip_suffix(b"\n").unwrap_or(path);
    if line.contains(&b'\n') {
        return None;
    }
    let dot = line.windows(4).rposition(|window| window == b".php")?;
    // `.+` wants a byte before it. A path begins with a slash, so there is one.
    (dot > 0).then(|| line.split_at(dot + 4))
}

/// XiVO's rule for `PATH_INFO`; `None` when it refuses.
///
/// The order is XiVO's: `..` is deleted after the slashes were merged, so a deletion can make a
/// segment empty, and can make `private` of `pri..vate`.
fn read_path_info(info: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut merged = info.to_vec();
    merged.dedup_by(|a, b| *a == b'/' && *b == b'/');
    let stripped = merged.strip_prefix(b"/").unwrap_or(&merged);
    let stripped = stripped.strip_suffix(b"/").unwrap_or(stripped);
    let cleaned = delete_dot_pairs(stripped);
    let segments: Vec<Vec<u8>> =
        cleaned.split(|&byte| byte == b'/').take(SEGMENTS).map(<[u8]>::to_vec).collect();
    let refused =
        segments.iter().any(|segment| matches!(segment.first(), None | Some(b'_' | b'.')));
    (!refused).then_some(segments)
}

/// `str_replace('..', '', …)`: one pass from the left.
fn delete_dot_pairs(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&byte, tail)) = rest.split_first() {
        if let Some(behind) = rest.strip_prefix(b"..") {
            rest = behind;
        } else {
            out.push(byte);
            rest = tail;
        }
    }
    out
}

/// The script that serves XiVO's telephony web services.
pub const SCRIPT: &[u8] = b"/service/ipbx/json.php";

/// The number of segments of `PATH_INFO` that XiVO looks at; it ignores the rest.
const SEGMENTS: usize = 3;

#[cfg(test)]
mod tests;
