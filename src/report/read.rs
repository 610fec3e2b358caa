//! Reading lines as logs really have them: wrapped by what carried them here, in formats that change in the middle.

pub mod entry;
pub(super) mod findings;
pub mod formats;
pub mod input;
pub(super) mod line;
pub mod pattern;
pub mod select;
pub mod time;
pub(super) mod unpack;
pub(super) mod wrapping;
