//! Reading lines as logs really have them: wrapped by what carried them here, in formats that change in the middle.

pub(crate) mod entry;
pub(super) mod findings;
pub(crate) mod formats;
pub(crate) mod input;
pub(super) mod line;
pub(crate) mod pattern;
pub(crate) mod select;
pub(crate) mod time;
pub(super) mod unpack;
pub(super) mod wrapping;
