//! However a head is cut into segments, reading it gives the same result.

#![no_main]

use libfuzzer_sys::fuzz_target;
use phonebook_gateway::http1::request::{HeadLimits, RequestReader};

/// A head of up to so many bytes is cut at every place, a longer one at one in eight.
const EVERY_CUT: usize = 256;

fuzz_target!(|input: (bool, &[u8])| {
    let (small, bytes) = input;
    // Small limits, so that short inputs meet them.
    let limits = match small {
        true => HeadLimits { max_uri: 40, max_head: 120, max_fields: 3 },
        false => HeadLimits { max_uri: 4096, max_head: 16_384, max_fields: 64 },
    };
    let whole = read(bytes, [bytes.len()], &limits);
    assert_eq!(read(bytes, 1..=bytes.len(), &limits), whole, "byte by byte");
    let step = if bytes.len() <= EVERY_CUT { 1 } else { 8 };
    for cut in (1..bytes.len()).step_by(step) {
        assert_eq!(read(bytes, [cut, bytes.len()], &limits), whole, "cut at {cut}");
    }
});

/// All that a head says. Two faults count as one: which of them is met first depends on what has come.
#[derive(Debug, PartialEq)]
enum Outcome {
    Head {
        len: usize,
        parts: [Option<Vec<u8>>; 4],
        has_body: bool,
        persists: bool,
        host: Option<Vec<u8>>,
    },
    More,
    Refused,
}

/// Reads `bytes` as they grow to each of these lengths.
fn read(bytes: &[u8], lengths: impl IntoIterator<Item = usize>, limits: &HeadLimits) -> Outcome {
    let mut reader = RequestReader::default();
    for length in lengths {
        let seen = &bytes[..length];
        let read = reader.advance(seen, limits);
        let _ = reader.seen(seen, limits).line();
        match read {
            Ok(None) => {}
            Ok(Some(spans)) => {
                let head = spans.over(seen);
                assert!(head.len() <= length && head.len() <= limits.max_head);
                return Outcome::Head {
                    len: head.len(),
                    parts: [
                        Some(head.method()),
                        Some(head.path()),
                        head.query(),
                        head.user_agent(),
                    ]
                    .map(|part| part.map(<[u8]>::to_vec)),
                    has_body: head.has_body(),
                    persists: head.persists(),
                    host: head.host().map(|host| host.name().to_vec()),
                };
            }
            Err(_) => return Outcome::Refused,
        }
    }
    Outcome::More
}
