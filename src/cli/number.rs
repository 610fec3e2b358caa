//! Whole numbers on the command line.

use std::fmt::Display;
use std::str::FromStr;

use crate::config::escaped;

/// A whole number from 1 to `most`, in digits alone.
pub(super) fn whole<N>(text: &str, most: N) -> Result<N, String>
where
    N: FromStr + PartialOrd + From<u8> + Display,
{
    let plain = text.bytes().all(|b| b.is_ascii_digit());
    match text.parse() {
        Ok(number) if plain && number >= N::from(1) && number <= most => Ok(number),
        Ok(_) | Err(_) => Err(format!("`{}` is no whole number from 1 to {most}", escaped(text))),
    }
}
