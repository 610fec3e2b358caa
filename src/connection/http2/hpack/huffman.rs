//! The code of HPACK's strings (RFC 7541, appendix B).
//!
//! It is a canonical code: among codes of one length those of smaller bytes come first, and a longer
//! code is larger than all shorter ones. So the lengths alone determine it.

use crate::connection::http2::hpack::Fault;

/// Appends what `input` stands for to `out`.
///
/// # Errors
/// It holds the mark of the end, or does not end with the first bits of that mark, fewer than eight.
pub(super) fn decode(input: &[u8], out: &mut Vec<u8>) -> Result<(), Fault> {
    let (mut bits, mut have) = (0_u64, 0_u32);
    let mut input = input.iter();
    loop {
        while have <= 56 {
            let Some(&byte) = input.next() else { break };
            bits = bits << 8 | u64::from(byte);
            have += 8;
        }
        // Missing bits are read as ones, as padding has to be.
        let top = match have {
            0 => return Ok(()),
            1..64 => bits << (64 - have) | u64::MAX >> have,
            _ => bits,
        } >> 32;
        let length = (SHORTEST..=LONGEST).find(|&length| top < CODE.limits[length]);
        let Some(length) = length.filter(|&length| length as u32 <= have) else {
            // A code that is not complete: the end, or the mark of it.
            let ended = have < 8 && top == u64::from(u32::MAX);
            return if ended { Ok(()) } else { Err(Fault::Broken) };
        };
        let nth = (top >> (32 - length)) as usize - CODE.firsts[length];
        out.push(*CODE.symbols.get(CODE.offsets[length] + nth).ok_or(Fault::Broken)?);
        have -= length as u32;
        bits &= (1 << have) - 1;
    }
}

/// The code, by lengths.
struct Code {
    /// All bytes in the order of their codes.
    symbols: [u8; 256],
    /// The first code of each length.
    firsts: [usize; LONGEST + 1],
    /// Where the bytes with codes of each length begin.
    offsets: [usize; LONGEST + 1],
    /// The exclusive upper bound of codes up to each length, left-aligned in 32 bits.
    limits: [u64; LONGEST + 1],
}

const CODE: Code = {
    let mut code = Code {
        symbols: [0; 256],
        firsts: [0; LONGEST + 1],
        offsets: [0; LONGEST + 1],
        limits: [0; LONGEST + 1],
    };
    let (mut length, mut next, mut sorted) = (SHORTEST, 0, 0);
    while length <= LONGEST {
        next <<= 1;
        code.firsts[length] = next;
        code.offsets[length] = sorted;
        let mut byte = 0;
        while byte < 256 {
            if LENGTHS[byte] as usize == length {
                code.symbols[sorted] = byte as u8;
                sorted += 1;
                next += 1;
            }
            byte += 1;
        }
        code.limits[length] = (next as u64) << (32 - length);
        length += 1;
    }
    code
};

const SHORTEST: usize = 5;
const LONGEST: usize = 30;

/// The length of each byte's code, in bits. The one code beside them, 30 ones, marks the end.
const LENGTHS: [u8; 256] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28,
    28, 28, 28, 28, 28, 28, 28, 28, 6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, 5, 5,
    5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10, 13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7,
    7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6, 15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6,
    6, 5, 6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28, 20, 22, 20, 20, 22, 22, 22, 23, 22,
    23, 23, 23, 23, 23, 24, 23, 24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24, 22,
    21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21, 23, 22, 23, 23, 20,
    22, 22, 22, 23, 22, 22, 23, 26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, 19,
    21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27, 20, 24, 20, 21, 22, 21, 21, 23, 22,
    22, 25, 25, 24, 24, 26, 23, 26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26,
];

#[cfg(test)]
pub(super) mod tests {
    use std::collections::HashMap;
    use std::sync::LazyLock;

    use super::*;

    /// The code of a byte, and its length.
    fn code(byte: u8) -> (u64, usize) {
        let length = usize::from(LENGTHS[usize::from(byte)]);
        let nth = (0..byte).filter(|&other| usize::from(LENGTHS[usize::from(other)]) == length);
        ((CODE.firsts[length] + nth.count()) as u64, length)
    }

    /// The bytes by their codes.
    pub(in crate::connection::http2::hpack) fn codes() -> &'static HashMap<String, u8> {
        static CODES: LazyLock<HashMap<String, u8>> = LazyLock::new(|| {
            let text = |byte| {
                let (code, length) = code(byte);
                format!("{code:0length$b}")
            };
            (0..=255).map(|byte| (text(byte), byte)).collect()
        });
        &CODES
    }

    /// Written bit by bit, and filled up with ones.
    pub(in crate::connection::http2::hpack) fn encode(text: &[u8]) -> Vec<u8> {
        let mut bits = String::new();
        for &byte in text {
            let (code, length) = code(byte);
            bits.push_str(&format!("{code:0length$b}"));
        }
        while !bits.len().is_multiple_of(8) {
            bits.push('1');
        }
        let bytes = bits.as_bytes().chunks(8);
        bytes.map(|bits| u8::from_str_radix(str::from_utf8(bits).unwrap(), 2).unwrap()).collect()
    }

    fn decoded(input: &[u8]) -> Result<Vec<u8>, Fault> {
        let mut out = Vec::new();
        decode(input, &mut out).map(|()| out)
    }

    #[test]
    fn the_code_is_the_one_of_the_rfc() {
        // A few of each length from the table of RFC 7541, appendix B.
        for (byte, wanted, length) in [
            (b'0', 0x0, 5),
            (b't', 0x9, 5),
            (b' ', 0x14, 6),
            (b'u', 0x2d, 6),
            (b':', 0x5c, 7),
            (b'z', 0x7b, 7),
            (b'&', 0xf8, 8),
            (b'Z', 0xfd, 8),
            (b'!', 0x3f8, 10),
            (b'?', 0x3fc, 10),
            (b'\'', 0x7fa, 11),
            (b'|', 0x7fc, 11),
            (b'#', 0xffa, 12),
            (b'>', 0xffb, 12),
            (0, 0x1ff8, 13),
            (b'~', 0x1ffd, 13),
            (b'^', 0x3ffc, 14),
            (b'<', 0x7ffc, 15),
            (b'\\', 0x7fff0, 19),
            (128, 0xfffe6, 20),
            (153, 0x1fffdc, 21),
            (129, 0x3fffd2, 22),
            (1, 0x7fffd8, 23),
            (9, 0xffffea, 24),
            (199, 0x1ffffec, 25),
            (192, 0x3ffffe0, 26),
            (255, 0x3ffffee, 26),
            (203, 0x7ffffde, 27),
            (2, 0xfffffe2, 28),
            (249, 0xffffffe, 28),
            (b'\n', 0x3ffffffc, 30),
            (22, 0x3ffffffe, 30),
        ] {
            assert_eq!(code(byte), (wanted, length), "{byte}");
        }
    }

    #[test]
    fn whatever_is_encoded_is_decoded() {
        let mut random = fastrand::Rng::with_seed(7541);
        for _ in 0..5000 {
            let length = random.usize(..40);
            let odd = random.bool();
            let text: Vec<u8> = (0..length)
                .map(|_| if odd { random.u8(..) } else { random.u8(b' '..0x7f) })
                .collect();
            assert_eq!(decoded(&encode(&text)), Ok(text));
        }
        for byte in 0..=255 {
            assert_eq!(decoded(&encode(&[byte])), Ok(vec![byte]), "{byte}");
        }
    }

    #[test]
    fn what_is_not_filled_up_with_ones_is_broken() {
        // `0` is five zeros; what follows must be ones, and fewer than eight.
        assert_eq!(decoded(&[0b0000_0111]), Ok(b"0".to_vec()));
        assert_eq!(decoded(&[0b0000_0110]), Err(Fault::Broken));
        assert_eq!(decoded(&[0b0000_0000]), Err(Fault::Broken));
        assert_eq!(decoded(&[0b0000_0111, 0xff]), Err(Fault::Broken));
        assert_eq!(decoded(&[0xff]), Err(Fault::Broken));
        assert_eq!(decoded(&[0xff, 0xff, 0xff, 0xff]), Err(Fault::Broken));
        assert_eq!(decoded(&[0xff, 0xff, 0xff, 0xff, 0x00]), Err(Fault::Broken));
        assert_eq!(decoded(&[]), Ok(Vec::new()));
    }
}
