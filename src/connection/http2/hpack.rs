//! How HTTP/2 writes fields (RFC 7541), read and written.
//!
//! # Guarantees
//! * A field's bytes are handed on as they were sent, whatever they are: no layer between the client
//!   and the one reader of heads drops, mends or refuses any.
//! * What a block yields is bounded by its own length except for table references, each of which yields at
//!   most [`TABLE_SIZE`] bytes; the caller bounds the total.
//! * What is held for a connection is its table, of [`TABLE_SIZE`] bytes at the most.
//! * No input makes it panic.

mod huffman;
mod table;

use table::Table;

/// Reads blocks of fields, in the order in which they come on a connection.
#[derive(Debug)]
pub(super) struct Decoder {
    table: Table,
}

/// Why a block cannot be read to its end. The table is then not the client's any more, and nothing
/// further can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// It ends within a field.
    Cut,
    /// It is none.
    Broken,
}

impl Decoder {
    pub(super) fn new() -> Self {
        Self { table: Table::new(TABLE_SIZE) }
    }

    /// Bytes of memory that are held between blocks.
    pub(super) fn held(&self) -> usize {
        self.table.held()
    }

    /// Hands the names and values of a whole block on.
    ///
    /// # Errors
    /// [`Fault`]; the fields before it have been handed on, and what there is of a value that is cut.
    pub(super) fn decode(
        &mut self,
        block: &[u8],
        mut field: impl FnMut(&[u8], &[u8]),
    ) -> Result<(), Fault> {
        let mut rest = Input(block);
        let mut at_beginning = true;
        let (mut name, mut value) = (Vec::new(), Vec::new());
        while let Some(&first) = rest.0.first() {
            if first & 0xe0 == 0x20 {
                let size = rest.integer(5)?;
                if !at_beginning || size > TABLE_SIZE {
                    return Err(Fault::Broken);
                }
                self.table.set_max_size(size);
                continue;
            }
            at_beginning = false;
            name.clear();
            value.clear();
            if first & 0x80 != 0 {
                self.table.copy(rest.integer(7)?, &mut name, Some(&mut value))?;
            } else {
                let kept = first & 0x40 != 0;
                match rest.integer(if kept { 6 } else { 4 })? {
                    0 => rest.string(&mut name)?,
                    index => self.table.copy(index, &mut name, None)?,
                }
                if let Err(fault) = rest.string(&mut value) {
                    if fault == Fault::Cut {
                        // As far as it came.
                        field(&name, &value);
                    }
                    return Err(fault);
                }
                if kept {
                    self.table.insert(&name, &value);
                }
            }
            field(&name, &value);
        }
        Ok(())
    }
}

/// What is left of a block.
struct Input<'a>(&'a [u8]);

impl Input<'_> {
    fn byte(&mut self) -> Result<u8, Fault> {
        let (&first, rest) = self.0.split_first().ok_or(Fault::Cut)?;
        self.0 = rest;
        Ok(first)
    }

    /// A number whose first bits are the last `bits` of a byte (RFC 7541, section 5.1). None that
    /// makes sense here has more than four bytes behind that.
    fn integer(&mut self, bits: u8) -> Result<usize, Fault> {
        let most = (1_usize << bits) - 1;
        let mut number = usize::from(self.byte()?) & most;
        if number < most {
            return Ok(number);
        }
        for shift in [0, 7, 14, 21] {
            let byte = self.byte()?;
            number += usize::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err(Fault::Broken)
    }

    /// Appends a string to `out` (RFC 7541, section 5.2).
    fn string(&mut self, out: &mut Vec<u8>) -> Result<(), Fault> {
        let coded = self.0.first().is_some_and(|first| first & 0x80 != 0);
        let length = self.integer(7)?;
        let (bytes, rest) = self.0.split_at(length.min(self.0.len()));
        self.0 = rest;
        let read = if coded {
            huffman::decode(bytes, out)
        } else {
            out.extend_from_slice(bytes);
            Ok(())
        };
        if bytes.len() < length { Err(Fault::Cut) } else { read }
    }
}

/// Appends what tells a client that its table is not used, which holds for every block after it.
pub(super) fn write_no_table(out: &mut Vec<u8>) {
    out.push(0x20);
}

/// Appends a field that neither side is to keep. `name` is in lower case.
pub(super) fn write(name: &[u8], value: &[u8], out: &mut Vec<u8>) {
    if let Some(index) = table::static_field(name, value).filter(|_| !value.is_empty()) {
        return write_integer(0x80, 7, usize::from(index), out);
    }
    match table::static_name(name) {
        Some(index) => write_integer(0, 4, usize::from(index), out),
        None => {
            out.push(0);
            write_string(name, out);
        }
    }
    write_string(value, out);
}

fn write_string(text: &[u8], out: &mut Vec<u8>) {
    write_integer(0, 7, text.len(), out);
    out.extend_from_slice(text);
}

fn write_integer(first: u8, bits: u8, mut number: usize, out: &mut Vec<u8>) {
    let most = (1_usize << bits) - 1;
    let low = |number: usize| u8::try_from(number & 0x7f).unwrap_or_default();
    if number < most {
        return out.push(first | low(number));
    }
    out.push(first | low(most));
    number -= most;
    while number >= 128 {
        out.push(low(number) | 0x80);
        number >>= 7;
    }
    out.push(low(number));
}

/// Bytes of fields that a client may refer to, as RFC 7541 counts them. It is what clients begin with
/// before they are told anything, so no client has to be told.
pub(super) const TABLE_SIZE: usize = 4096;

#[cfg(test)]
mod tests;
