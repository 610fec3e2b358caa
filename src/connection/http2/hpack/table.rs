//! The tables that a field may be named by (RFC 7541, section 2.3).

use std::collections::VecDeque;

use crate::connection::http2::hpack::Fault;

/// What a client has put into the table of its connection, the newest first.
///
/// An entry counts 32 bytes besides its own (RFC 7541, section 4.1), which is more than is held for
/// it here: so the table holds no more memory than its size says.
#[derive(Debug)]
pub(super) struct Table {
    /// The oldest first, as the bytes.
    entries: VecDeque<Entry>,
    /// Names and values, one behind the other.
    bytes: VecDeque<u8>,
    size: usize,
    max_size: usize,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    /// Where it begins, counted from the first byte that ever was in the table.
    start: u32,
    name: u16,
    value: u16,
}

impl Table {
    pub(super) fn new(max_size: usize) -> Self {
        Self { entries: VecDeque::new(), bytes: VecDeque::new(), size: 0, max_size }
    }

    /// Bytes of memory that it holds.
    pub(super) fn held(&self) -> usize {
        self.bytes.capacity() + self.entries.capacity() * size_of::<Entry>()
    }

    /// Throws out what does not fit `max_size`.
    pub(super) fn set_max_size(&mut self, max_size: usize) {
        self.max_size = max_size;
        self.make_room(0);
        if max_size == 0 {
            *self = Self::new(0);
        }
    }

    /// Takes a field in, in the place of as many old ones as it needs; one that is larger than the
    /// table empties it.
    pub(super) fn insert(&mut self, name: &[u8], value: &[u8]) {
        let length = name.len() + value.len();
        self.make_room(length + OVERHEAD);
        if length + OVERHEAD > self.max_size {
            return;
        }
        let start = self.entries.back().map_or(0, |newest| newest.end());
        // Tables are small, so both fit.
        let (Ok(name_length), Ok(value_length)) = (name.len().try_into(), value.len().try_into())
        else {
            return;
        };
        let held = self.bytes.len() + length;
        if held > self.bytes.capacity() {
            let wanted = held.next_power_of_two().max(SMALLEST);
            self.bytes.reserve_exact(wanted - self.bytes.len());
        }
        self.entries.push_back(Entry { start, name: name_length, value: value_length });
        self.bytes.extend(name);
        self.bytes.extend(value);
        self.size += length + OVERHEAD;
    }

    fn make_room(&mut self, needed: usize) {
        while self.size + needed > self.max_size {
            let Some(oldest) = self.entries.pop_front() else { return };
            self.bytes.drain(..oldest.length());
            self.size -= oldest.length() + OVERHEAD;
        }
    }

    /// Appends the name, and the value where it is wanted, of the field with this index.
    pub(super) fn copy(
        &self,
        index: usize,
        name: &mut Vec<u8>,
        value: Option<&mut Vec<u8>>,
    ) -> Result<(), Fault> {
        let index = index.checked_sub(1).ok_or(Fault::Broken)?;
        if let Some((static_name, static_value)) = STATIC.get(index) {
            name.extend_from_slice(static_name);
            if let Some(value) = value {
                value.extend_from_slice(static_value);
            }
            return Ok(());
        }
        let age = index - STATIC.len();
        let at = self.entries.len().checked_sub(age + 1).ok_or(Fault::Broken)?;
        let entry = self.entries.get(at).ok_or(Fault::Broken)?;
        let oldest = self.entries.front().map_or(0, |oldest| oldest.start);
        let start = entry.start.wrapping_sub(oldest) as usize;
        let middle = start + usize::from(entry.name);
        name.extend(self.bytes.range(start..middle));
        if let Some(value) = value {
            value.extend(self.bytes.range(middle..middle + usize::from(entry.value)));
        }
        Ok(())
    }
}

impl Entry {
    fn length(self) -> usize {
        usize::from(self.name) + usize::from(self.value)
    }

    fn end(self) -> u32 {
        self.start.wrapping_add(u32::from(self.name) + u32::from(self.value))
    }
}

/// The index of a field in the table of all connections whose value is not there.
pub(super) fn static_name(name: &[u8]) -> Option<u8> {
    let at = STATIC.iter().position(|(known, _)| *known == name)?;
    u8::try_from(at + 1).ok()
}

/// The index of a field in the table of all connections.
pub(super) fn static_field(name: &[u8], value: &[u8]) -> Option<u8> {
    let at = STATIC.iter().position(|known| *known == (name, value))?;
    u8::try_from(at + 1).ok()
}

/// What each entry counts besides its bytes.
const OVERHEAD: usize = 32;

/// What is held at once for a table that is used, in bytes; most clients never use more.
const SMALLEST: usize = 256;

/// The fields that have an index on every connection (RFC 7541, appendix A).
#[rustfmt::skip]
const STATIC: [(&[u8], &[u8]); 61] = [
    (b":authority", b""), (b":method", b"GET"), (b":method", b"POST"), (b":path", b"/"),
    (b":path", b"/index.html"), (b":scheme", b"http"), (b":scheme", b"https"), (b":status", b"200"),
    (b":status", b"204"), (b":status", b"206"), (b":status", b"304"), (b":status", b"400"),
    (b":status", b"404"), (b":status", b"500"), (b"accept-charset", b""),
    (b"accept-encoding", b"gzip, deflate"), (b"accept-language", b""), (b"accept-ranges", b""),
    (b"accept", b""), (b"access-control-allow-origin", b""), (b"age", b""), (b"allow", b""),
    (b"authorization", b""), (b"cache-control", b""), (b"content-disposition", b""),
    (b"content-encoding", b""), (b"content-language", b""), (b"content-length", b""),
    (b"content-location", b""), (b"content-range", b""), (b"content-type", b""), (b"cookie", b""),
    (b"date", b""), (b"etag", b""), (b"expect", b""), (b"expires", b""), (b"from", b""),
    (b"host", b""), (b"if-match", b""), (b"if-modified-since", b""), (b"if-none-match", b""),
    (b"if-range", b""), (b"if-unmodified-since", b""), (b"last-modified", b""), (b"link", b""),
    (b"location", b""), (b"max-forwards", b""), (b"proxy-authenticate", b""),
    (b"proxy-authorization", b""), (b"range", b""), (b"referer", b""), (b"refresh", b""),
    (b"retry-after", b""), (b"server", b""), (b"set-cookie", b""),
    (b"strict-transport-security", b""), (b"transfer-encoding", b""), (b"user-agent", b""),
    (b"vary", b""), (b"via", b""), (b"www-authenticate", b""),
];
