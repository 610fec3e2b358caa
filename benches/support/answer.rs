//! Recognizes one HTTP/1.1 answer with a Content-Length, and nothing else.

use memchr::memmem::Finder;

/// Where a complete answer ends, and what it says.
pub(crate) struct Answer {
    /// The status code.
    pub(crate) status: u16,
    /// Length of the head with its blank line.
    pub(crate) head: usize,
    /// Length of the body.
    pub(crate) body: usize,
}

/// Finds the head's end; built once, because it is used once per answer.
pub(crate) struct Reader {
    blank_line: Finder<'static>,
}

impl Reader {
    /// A reader.
    pub(crate) fn new() -> Self {
        Self { blank_line: Finder::new(b"\r\n\r\n") }
    }

    /// The answer that `bytes` begin with; `None` while its head or body is incomplete.
    pub(crate) fn read(&self, bytes: &[u8]) -> Result<Option<Answer>, &'static str> {
        let Some(end) = self.blank_line.find(bytes) else { return Ok(None) };
        let head = end + 4;
        let digits = bytes.strip_prefix(b"HTTP/1.1 ").and_then(|rest| rest.get(..3));
        let status = digits.and_then(number).ok_or("no HTTP/1.1 status line")?;
        let body = content_length(&bytes[..end]).ok_or("no valid Content-Length")?;
        if bytes.len() < head + body {
            return Ok(None);
        }
        Ok(Some(Answer { status: status as u16, head, body }))
    }
}

fn content_length(head: &[u8]) -> Option<usize> {
    const NAME: &[u8] = b"content-length:";
    let mut rest = head;
    while let Some(at) = memchr::memchr(b'\n', rest) {
        rest = &rest[at + 1..];
        if let Some((name, value)) = rest.split_at_checked(NAME.len())
            && name.eq_ignore_ascii_case(NAME)
        {
            let end = memchr::memchr(b'\r', value).unwrap_or(value.len());
            return number(value[..end].trim_ascii());
        }
    }
    None
}

fn number(digits: &[u8]) -> Option<usize> {
    std::str::from_utf8(digits).ok()?.parse().ok()
}
