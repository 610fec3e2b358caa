//! How a body begins: its first byte that is not white space, wherever the pieces are cut in which it comes.

use super::chunked::{ChunkedReader, NotChunked, Piece};
use super::response::Framing;

/// Looks for the first byte of a body that is no white space of JSON's (RFC 8259, section 2), and looks at
/// each byte once.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BodyStart {
    framing: Inner,
    /// How much of what has come was looked at.
    at: usize,
}

#[derive(Clone, Copy, Debug)]
enum Inner {
    Length(u64),
    Chunked(ChunkedReader),
}

/// What a body begins with, as far as it has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Start {
    /// With this byte, white space before it left out.
    Byte(u8),
    /// With nothing: it ended, and there was at most white space.
    Empty,
    /// That has not come yet.
    More,
}

impl BodyStart {
    /// At the beginning of a body that is framed so.
    pub(crate) fn new(framing: Framing) -> Self {
        let framing = match framing {
            Framing::Empty => Inner::Length(0),
            Framing::Length(length) => Inner::Length(length),
            // Whatever comes belongs to it.
            Framing::UntilClose => Inner::Length(u64::MAX),
            Framing::Chunked => Inner::Chunked(ChunkedReader::new()),
        };
        Self { framing, at: 0 }
    }

    /// Looks on in `came`: all that has come of the body, with its framing, from its beginning.
    ///
    /// # Errors
    /// [`NotChunked`] where a byte is not what the chunked coding has there.
    pub(crate) fn find(&mut self, came: &[u8]) -> Result<Start, NotChunked> {
        match &mut self.framing {
            Inner::Length(length) => {
                let whole = usize::try_from(*length).unwrap_or(usize::MAX);
                let body = came.get(..whole).unwrap_or(came);
                if let Some(byte) = first(body.get(self.at..)) {
                    return Ok(Start::Byte(byte));
                }
                self.at = body.len();
                Ok(if body.len() == whole { Start::Empty } else { Start::More })
            }
            Inner::Chunked(reader) => loop {
                match reader.next(came, self.at)? {
                    Piece::Data(range) => {
                        self.at = range.end;
                        if let Some(byte) = first(came.get(range)) {
                            return Ok(Start::Byte(byte));
                        }
                    }
                    Piece::End(_) => return Ok(Start::Empty),
                    Piece::More => {
                        self.at = came.len();
                        return Ok(Start::More);
                    }
                }
            },
        }
    }
}

/// The first byte that is no white space.
fn first(bytes: Option<&[u8]>) -> Option<u8> {
    bytes.unwrap_or_default().iter().copied().find(|byte| !is_white_space(*byte))
}

/// Whether this is white space in JSON.
pub(crate) fn is_white_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What is found when the body comes in pieces of `step` bytes, and after how many bytes.
    fn found(framing: Framing, body: &[u8], step: usize) -> (Result<Start, NotChunked>, usize) {
        let mut start = BodyStart::new(framing);
        let mut came = 0;
        loop {
            let outcome = start.find(&body[..came]);
            if outcome != Ok(Start::More) || came == body.len() {
                return (outcome, came);
            }
            came = (came + step).min(body.len());
        }
    }

    fn chunks(parts: &[&str]) -> Vec<u8> {
        let mut body = String::new();
        for part in parts {
            body += &format!("{:x}\r\n{part}\r\n", part.len());
        }
        (body + "0\r\n\r\n").into_bytes()
    }

    #[test]
    fn the_first_byte_that_is_no_white_space_is_found_in_each_framing() {
        for (body, start) in [
            ("[]", Start::Byte(b'[')),
            (" \t\r\n{}", Start::Byte(b'{')),
            ("\u{feff}[]", Start::Byte(0xef)),
            ("\u{a0}[]", Start::Byte(0xc2)),
            ("\x0b[]", Start::Byte(0x0b)),
            ("\0[]", Start::Byte(0)),
            (" \n ", Start::Empty),
            ("", Start::Empty),
        ] {
            for step in 1..6 {
                let length = Framing::Length(body.len() as u64);
                assert_eq!(found(length, body.as_bytes(), step).0, Ok(start), "{body:?}");
                let (one, rest) = body.split_at(body.char_indices().nth(1).map_or(0, |at| at.0));
                let parts: Vec<&str> =
                    [one, rest].into_iter().filter(|part| !part.is_empty()).collect();
                let body = chunks(&parts);
                assert_eq!(found(Framing::Chunked, &body, step).0, Ok(start), "{parts:?}");
            }
        }
    }

    #[test]
    fn what_comes_behind_a_body_is_none_of_it() {
        assert_eq!(found(Framing::Length(2), b"  [", 9).0, Ok(Start::Empty));
        assert_eq!(found(Framing::Length(0), b"[", 9).0, Ok(Start::Empty));
        assert_eq!(found(Framing::Chunked, b"0\r\n\r\n[", 9).0, Ok(Start::Empty));
        assert_eq!(found(Framing::Chunked, b"1\r\n \r\n[", 9).0, Err(NotChunked));
    }

    proptest! {
        #[test]
        fn it_is_found_wherever_it_is_cut_and_no_later_than_it_came(
            white in "[ \t\r\n]{0,40}",
            rest in prop::collection::vec(any::<u8>(), 0..40),
            cuts in prop::collection::vec(1_usize..9, 0..20),
            step in 1_usize..50,
        ) {
            let body = [white.as_bytes(), &rest].concat();
            let expected = body.iter().copied().find(|byte| !b" \t\r\n".contains(byte));
            let expected = expected.map_or(Start::Empty, Start::Byte);
            let length = Framing::Length(body.len() as u64);
            let (start, came) = found(length, &body, step);
            prop_assert_eq!(start, Ok(expected));
            let at = body.iter().position(|byte| !b" \t\r\n".contains(byte)).unwrap_or(body.len());
            prop_assert!(came < at + 1 + step);

            let mut chunked = Vec::new();
            let mut left = body.as_slice();
            for cut in cuts {
                let (chunk, after) = left.split_at(cut.min(left.len()));
                if chunk.is_empty() {
                    break;
                }
                chunked.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
                chunked.extend_from_slice(chunk);
                chunked.extend_from_slice(b"\r\n");
                left = after;
            }
            if !left.is_empty() {
                chunked.extend_from_slice(format!("{:x}\r\n", left.len()).as_bytes());
                chunked.extend_from_slice(left);
                chunked.extend_from_slice(b"\r\n");
            }
            chunked.extend_from_slice(b"0\r\n\r\n");
            prop_assert_eq!(found(Framing::Chunked, &chunked, step).0, Ok(expected));
        }
    }
}
