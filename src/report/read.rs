//! Reading lines as logs really have them: wrapped by what carried them here, in formats that change in the middle.

pub(super) mod findings;
pub(super) mod line;
pub(super) mod unpack;
pub(super) mod wrapping;
