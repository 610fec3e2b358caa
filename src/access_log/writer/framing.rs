//! Lines with their length and a name, for targets that need to know where each begins and whose it is.
//!
//! A frame is the line's length (4 bytes), the name's (1 byte), the name, and the line with its line end.

/// Begins a frame; the line is to be appended, and then [`end`] called.
pub(crate) fn begin(out: &mut Vec<u8>, name: &str) {
    // A peer's name has 64 characters at most.
    let name = name.get(..name.len().min(usize::from(u8::MAX))).unwrap_or_default();
    out.extend_from_slice(&[0, 0, 0, 0, name.len() as u8]);
    out.extend_from_slice(name.as_bytes());
}

/// Ends the frame that began at `start`, its line at `line`.
pub(crate) fn end(out: &mut [u8], start: usize, line: usize) {
    let length = u32::try_from(out.len() - line).unwrap_or(u32::MAX);
    if let Some(field) = out.get_mut(start..start + LENGTH) {
        field.copy_from_slice(&length.to_le_bytes());
    }
}

/// The names and lines of whole frames.
pub(crate) fn frames(mut bytes: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    std::iter::from_fn(move || {
        let (length, rest) = bytes.split_first_chunk::<LENGTH>()?;
        let (name_length, rest) = rest.split_first()?;
        let (name, rest) = rest.split_at_checked(usize::from(*name_length))?;
        let length = usize::try_from(u32::from_le_bytes(*length)).unwrap_or(usize::MAX);
        let (line, rest) = rest.split_at_checked(length)?;
        bytes = rest;
        Some((name, line))
    })
}

const LENGTH: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_framed_comes_out_again() {
        let mut out = Vec::new();
        for (name, line) in [("lyon", "one\n"), ("", "two\nhalves\n"), ("-", "\n")] {
            let start = out.len();
            begin(&mut out, name);
            let at = out.len();
            out.extend_from_slice(line.as_bytes());
            end(&mut out, start, at);
        }
        let found: Vec<_> = frames(&out).collect();
        let expected: [(&[u8], &[u8]); 3] =
            [(b"lyon", b"one\n"), (b"", b"two\nhalves\n"), (b"-", b"\n")];
        assert_eq!(found, expected);
        assert_eq!(frames(&out[..out.len() - 1]).count(), 2);
    }
}
