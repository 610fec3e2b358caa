//! Frames (RFC 9113, sections 4.1 and 6): their kinds, their flags, and how they are written.

/// What a frame's first nine bytes say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Frame {
    pub(super) length: u32,
    pub(super) kind: u8,
    pub(super) flags: u8,
    pub(super) stream: u32,
}

/// Why a stream or a connection ends (RFC 9113, section 7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reason {
    NoError = 0,
    Protocol = 1,
    Internal = 2,
    FlowControl = 3,
    StreamClosed = 5,
    FrameSize = 6,
    RefusedStream = 7,
    Compression = 9,
    EnhanceYourCalm = 11,
}

impl Frame {
    /// What nine bytes say.
    pub(super) fn read([a, b, c, kind, flags, w, x, y, z]: [u8; HEADER]) -> Self {
        let stream = u32::from_be_bytes([w & 0x7f, x, y, z]);
        Self { length: u32::from_be_bytes([0, a, b, c]), kind, flags, stream }
    }

    pub(super) fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }
}

/// Appends a frame's header; its payload, of `length` bytes, is to follow.
pub(super) fn write_header(out: &mut Vec<u8>, kind: u8, flags: u8, stream: u32, length: usize) {
    // Nothing longer than `MAX_LENGTH` is sent.
    let [_, a, b, c] = u32::try_from(length).unwrap_or_default().to_be_bytes();
    let [w, x, y, z] = stream.to_be_bytes();
    out.extend_from_slice(&[a, b, c, kind, flags, w, x, y, z]);
}

/// Appends a frame.
pub(super) fn write(out: &mut Vec<u8>, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
    write_header(out, kind, flags, stream, payload.len());
    out.extend_from_slice(payload);
}

pub(super) fn write_reset(out: &mut Vec<u8>, stream: u32, reason: Reason) {
    write(out, RST_STREAM, 0, stream, &(reason as u32).to_be_bytes());
}

pub(super) fn write_goaway(out: &mut Vec<u8>, last: u32, reason: Reason) {
    let mut payload = [0; 8];
    let (first, second) = payload.split_at_mut(4);
    first.copy_from_slice(&last.to_be_bytes());
    second.copy_from_slice(&(reason as u32).to_be_bytes());
    write(out, GOAWAY, 0, 0, &payload);
}

pub(super) fn write_settings(out: &mut Vec<u8>, settings: &[(u16, u32)]) {
    write_header(out, SETTINGS, 0, 0, 6 * settings.len());
    for (id, value) in settings {
        out.extend_from_slice(&id.to_be_bytes());
        out.extend_from_slice(&value.to_be_bytes());
    }
}

/// Length of a frame's header, in bytes.
pub(super) const HEADER: usize = 9;

/// The longest frame that any side takes without having said that it takes longer ones, and the
/// longest that this side sends or takes at all.
pub(super) const MAX_LENGTH: u32 = 16_384;

/// The window that any side gives before it has said otherwise, and the one that is given here: a
/// client's body is counted and thrown away.
pub(super) const DEFAULT_WINDOW: u32 = 65_535;

/// A window can be no larger.
pub(super) const MAX_WINDOW: i64 = 0x7fff_ffff;

pub(super) const DATA: u8 = 0;
pub(super) const HEADERS: u8 = 1;
pub(super) const PRIORITY: u8 = 2;
pub(super) const RST_STREAM: u8 = 3;
pub(super) const SETTINGS: u8 = 4;
pub(super) const PUSH_PROMISE: u8 = 5;
pub(super) const PING: u8 = 6;
pub(super) const GOAWAY: u8 = 7;
pub(super) const WINDOW_UPDATE: u8 = 8;
pub(super) const CONTINUATION: u8 = 9;

pub(super) const END_STREAM: u8 = 0x1;
pub(super) const ACK: u8 = 0x1;
pub(super) const END_HEADERS: u8 = 0x4;
pub(super) const PADDED: u8 = 0x8;
pub(super) const WITH_PRIORITY: u8 = 0x20;

/// Settings (RFC 9113, section 6.5.2).
pub(super) const HEADER_TABLE_SIZE: u16 = 1;
pub(super) const ENABLE_PUSH: u16 = 2;
pub(super) const MAX_CONCURRENT_STREAMS: u16 = 3;
pub(super) const INITIAL_WINDOW_SIZE: u16 = 4;
pub(super) const MAX_FRAME_SIZE: u16 = 5;
pub(super) const MAX_HEADER_LIST_SIZE: u16 = 6;
