//! The frames of a connection, told apart without reading what is in them (RFC 9113, section 4.1).

/// Follows one direction of a connection, however it is cut.
#[derive(Debug, Default)]
pub(super) struct Frames {
    /// Bytes before the first frame that are still to come: a client's preface.
    before: usize,
    header: [u8; HEADER],
    /// How much of the header has come, or of the payload's first four bytes.
    have: usize,
    /// The frame whose payload is passing, and how much of that is to come.
    current: Option<(Frame, u32)>,
}

/// A frame as its header describes it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Frame {
    pub(super) kind: u8,
    pub(super) flags: u8,
    pub(super) stream: u32,
    /// The first four bytes of its payload, as far as there are any: the code of a RST_STREAM.
    pub(super) code: u32,
}

/// What passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Passed {
    /// A frame's header.
    Begun(Frame),
    /// The last byte of a frame.
    Ended(Frame),
}

pub(super) const HEADERS: u8 = 1;
pub(super) const RST_STREAM: u8 = 3;
pub(super) const CONTINUATION: u8 = 9;
pub(super) const END_HEADERS: u8 = 4;
pub(super) const REFUSED_STREAM: u32 = 7;

/// `PRI * HTTP/2.0` and what belongs to it.
const PREFACE: usize = 24;
const HEADER: usize = 9;

impl Frames {
    /// What a client sends.
    pub(super) fn of_client() -> Self {
        Self { before: PREFACE, ..Self::default() }
    }

    /// Says what has passed with `bytes`.
    pub(super) fn feed(&mut self, mut bytes: &[u8], mut passed: impl FnMut(Passed)) {
        let preface = self.before.min(bytes.len());
        self.before -= preface;
        bytes = bytes.get(preface..).unwrap_or_default();
        while let Some((&first, rest)) = bytes.split_first() {
            let Some((mut frame, left)) = self.current else {
                if let Some(slot) = self.header.get_mut(self.have) {
                    *slot = first;
                }
                self.have += 1;
                bytes = rest;
                if self.have == HEADER {
                    self.have = 0;
                    self.begin(&mut passed);
                }
                continue;
            };
            let here = bytes.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            let (payload, rest) = bytes.split_at(here);
            for &byte in payload.iter().take(4_usize.saturating_sub(self.have)) {
                frame.code = frame.code << 8 | u32::from(byte);
                self.have += 1;
            }
            bytes = rest;
            // `here` is at most `left`.
            let left = left.saturating_sub(u32::try_from(here).unwrap_or(u32::MAX));
            self.current = Some((frame, left));
            if left == 0 {
                self.end(frame, &mut passed);
            }
        }
    }

    fn begin(&mut self, passed: &mut impl FnMut(Passed)) {
        let [a, b, c, kind, flags, w, x, y, z] = self.header;
        let length = u32::from_be_bytes([0, a, b, c]);
        let stream = u32::from_be_bytes([w & 0x7f, x, y, z]);
        let frame = Frame { kind, flags, stream, code: 0 };
        self.current = Some((frame, length));
        passed(Passed::Begun(frame));
        if length == 0 {
            self.end(frame, passed);
        }
    }

    fn end(&mut self, frame: Frame, passed: &mut impl FnMut(Passed)) {
        self.current = None;
        self.have = 0;
        passed(Passed::Ended(frame));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
        let mut out = u32::try_from(payload.len()).unwrap().to_be_bytes()[1..].to_vec();
        out.extend([kind, flags]);
        out.extend(stream.to_be_bytes());
        out.extend(payload);
        out
    }

    fn ended(bytes: &[u8], step: usize) -> Vec<Frame> {
        let mut frames = Frames::of_client();
        let (mut begun, mut ended) = (0, Vec::new());
        for piece in bytes.chunks(step) {
            frames.feed(piece, |passed| match passed {
                Passed::Begun(_) => begun += 1,
                Passed::Ended(frame) => ended.push(frame),
            });
        }
        assert_eq!(begun, ended.len());
        ended
    }

    #[test]
    fn frames_are_the_same_however_they_are_cut() {
        let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
        bytes.extend(frame(4, 0, 0, b""));
        bytes.extend(frame(HEADERS, END_HEADERS, 1, &[0x82; 300]));
        bytes.extend(frame(0, 1, 0x8000_0001, b"ab"));
        bytes.extend(frame(RST_STREAM, 0, 1, &[0, 0, 0, 8]));
        bytes.extend(frame(6, 0, 0, &[0; 8]));
        for step in 1..bytes.len() {
            let seen: Vec<_> =
                ended(&bytes, step).iter().map(|frame| (frame.kind, frame.stream)).collect();
            assert_eq!(seen, [(4, 0), (HEADERS, 1), (0, 1), (RST_STREAM, 1), (6, 0)], "{step}");
            assert_eq!(ended(&bytes, step)[3].code, 8, "{step}");
        }
    }
}
