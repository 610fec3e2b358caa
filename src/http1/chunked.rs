//! The `chunked` coding, read strictly (RFC 9112, section 7.1).

use std::ops::Range;

/// Reads a chunked body from the pieces in which it arrives.
///
/// Chunk extensions and trailer fields are refused: XiVO's nginx sends none, and both have carried
/// attacks on readers that skipped them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ChunkedReader {
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// In a chunk's size, of which this many digits have come.
    Size {
        size: u64,
        digits: u8,
    },
    /// After the carriage return behind a size.
    SizeLf {
        size: u64,
    },
    /// In a chunk's data.
    Data {
        left: u64,
    },
    /// After a chunk's data.
    DataCr,
    DataLf,
    /// After the last chunk's size line.
    EndCr,
    EndLf,
    Done,
}

/// What was found at the beginning of the input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Piece {
    /// This part of the input is data; reading goes on at its end.
    Data(Range<usize>),
    /// All of the input has been used up; more is needed.
    More,
    /// The body ended; this many bytes of the input belonged to it.
    End(usize),
}

/// The bytes are not the chunked coding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NotChunked;

impl ChunkedReader {
    /// A reader at the beginning of a body.
    pub(crate) fn new() -> Self {
        Self { state: State::Size { size: 0, digits: 0 } }
    }

    /// Finds the next piece in `input` from `at` on.
    ///
    /// # Errors
    /// [`NotChunked`] where a byte is not what the coding has there.
    pub(crate) fn next(&mut self, input: &[u8], mut at: usize) -> Result<Piece, NotChunked> {
        loop {
            if self.state == State::Done {
                return Ok(Piece::End(at));
            }
            let rest = input.get(at..).unwrap_or_default();
            let Some(&byte) = rest.first() else {
                return Ok(Piece::More);
            };
            if let State::Data { left } = self.state {
                let here = usize::try_from(left).unwrap_or(usize::MAX).min(rest.len());
                let left = left - here as u64;
                self.state = if left == 0 { State::DataCr } else { State::Data { left } };
                return Ok(Piece::Data(at..at + here));
            }
            self.state = self.state.after(byte)?;
            at += 1;
        }
    }
}

impl Default for ChunkedReader {
    fn default() -> Self {
        Self::new()
    }
}

impl State {
    /// The state after a byte of framing.
    fn after(self, byte: u8) -> Result<Self, NotChunked> {
        Ok(match (self, byte) {
            (Self::Size { size, digits }, b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F')
                if digits < MAX_SIZE_DIGITS =>
            {
                let digit = char::from(byte).to_digit(16).map_or(0, u64::from);
                Self::Size { size: size << 4 | digit, digits: digits + 1 }
            }
            (Self::Size { size, digits: 1.. }, b'\r') => Self::SizeLf { size },
            (Self::SizeLf { size: 0 }, b'\n') => Self::EndCr,
            (Self::SizeLf { size }, b'\n') => Self::Data { left: size },
            (Self::DataCr, b'\r') => Self::DataLf,
            (Self::DataLf, b'\n') => Self::Size { size: 0, digits: 0 },
            (Self::EndCr, b'\r') => Self::EndLf,
            (Self::EndLf, b'\n') => Self::Done,
            _ => return Err(NotChunked),
        })
    }
}

/// Digits of a chunk's size, leading zeros included: enough for 2^60 bytes, so that no size overflows.
const MAX_SIZE_DIGITS: u8 = 15;

#[cfg(test)]
mod tests {
    use super::*;

    /// The data of `body`, fed in pieces of `step` bytes, and how much follows its end.
    fn read(body: &[u8], step: usize) -> Result<Option<(Vec<u8>, usize)>, NotChunked> {
        let mut reader = ChunkedReader::new();
        let mut data = Vec::new();
        for (index, input) in body.chunks(step).enumerate() {
            let mut at = 0;
            loop {
                match reader.next(input, at)? {
                    Piece::Data(range) => {
                        at = range.end;
                        data.extend_from_slice(&input[range]);
                    }
                    Piece::More => break,
                    Piece::End(end) => return Ok(Some((data, body.len() - index * step - end))),
                }
            }
        }
        Ok(None)
    }

    #[test]
    fn a_body_is_the_same_however_it_is_cut() {
        let body = b"5\r\nhello\r\n00A\r\n, world. !\r\n0\r\n\r\nextra";
        for step in 1..=body.len() {
            assert_eq!(read(body, step), Ok(Some((b"hello, world. !".to_vec(), 5))), "{step}");
        }
    }

    #[test]
    fn a_size_may_have_several_digits_of_either_case() {
        for (size, length) in [("10", 16), ("1f", 31), ("0001F", 31), ("123", 0x123)] {
            let data = vec![b'x'; length];
            let body = [size.as_bytes(), b"\r\n", &data, b"\r\n0\r\n\r\n"].concat();
            assert_eq!(read(&body, 64), Ok(Some((data, 0))), "{size}");
        }
        // The largest size that is read: as much of it as has come is data.
        let mut reader = ChunkedReader::new();
        assert_eq!(reader.next(b"FFFFFFFFFFFFFFF\r\nab", 0), Ok(Piece::Data(17..19)));
        assert_eq!(reader.state, State::Data { left: (1 << 60) - 3 });
    }

    #[test]
    fn a_body_without_its_last_chunk_has_not_ended() {
        for body in
            [&b""[..], b"5", b"5\r\nhel", b"5\r\nhello\r\n", b"5\r\nhello\r\n0\r\n", b"0\r\n\r"]
        {
            assert_eq!(read(body, 64), Ok(None), "{:?}", body.escape_ascii().to_string());
        }
    }

    #[test]
    fn what_is_not_the_coding_is_refused() {
        for body in [
            &b"\r\n"[..],
            b"g\r\n",
            b"0x5\r\nhello\r\n",
            b"+5\r\nhello",
            b"-5\r\n",
            b" 5\r\n",
            b"5 \r\n",
            b"5;a=b\r\nhello\r\n",
            b"5\nhello\r\n",
            b"5\r\rhello",
            b"5\r\nhelloWORLD\r\n",
            b"5\r\nhello\n0\r\n\r\n",
            b"0\r\nX: y\r\n\r\n",
            b"0\r\n\n",
            b"0000000000000005\r\nhello\r\n",
            b"FFFFFFFFFFFFFFFF\r\n",
            b"\xef\xbc\x95\r\nhello",
        ] {
            for step in [1, 64] {
                assert_eq!(
                    read(body, step),
                    Err(NotChunked),
                    "{:?}",
                    body.escape_ascii().to_string()
                );
            }
        }
    }
}
