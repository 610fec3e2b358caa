//! What tells a request from all others.

use crate::text::{LOWER_HEX, hex};

/// A request's id.
#[derive(Clone, Copy, Debug)]
pub struct RequestId([u8; 32]);

impl RequestId {
    /// An id that no request has but one in 2^128.
    pub const ZERO: Self = Self([b'0'; 32]);

    /// `number` as an id.
    pub fn new(number: u128) -> Self {
        let mut id = [0; 32];
        let (pairs, _) = id.as_chunks_mut::<2>();
        for (pair, byte) in pairs.iter_mut().zip(number.to_be_bytes()) {
            *pair = hex(byte, LOWER_HEX);
        }
        Self(id)
    }

    /// The id as text.
    #[expect(clippy::expect_used, reason = "an id is written from digits alone")]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("hexadecimal digits")
    }
}
