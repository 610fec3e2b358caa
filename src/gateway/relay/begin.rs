//! A phonebook's answer begins as one: a 200 is held back until the first byte of its body that is not white
//! space has come, and is no phonebook's unless that byte is the one of its JSON.

use std::io;

use super::beginning::shown;
use crate::http1::body_start::{BodyStart, Start};
use crate::lookup::Lookup;
use crate::upstream::trace::Trace;
use crate::upstream::{BodyFault, HeadDeadline, InvalidBody, UpstreamFault, UpstreamResponse};

/// Waits until the body of `answer` has begun, which has mostly come with its head.
///
/// # Errors
/// It is no phonebook's, or did not begin until `deadline`.
pub(super) async fn begin(
    lookup: &Lookup,
    answer: &mut UpstreamResponse,
    deadline: HeadDeadline,
    trace: Option<&Trace>,
) -> Result<(), UpstreamFault> {
    let mut start = BodyStart::new(answer.received.head().framing());
    let expected = first_byte(lookup);
    loop {
        let head = answer.received.head();
        let came = head.behind();
        match start.find(came).map_err(|_| InvalidBody::Chunks)? {
            Start::Byte(byte) if byte == expected => return Ok(()),
            Start::Byte(_) => {
                let begins = shown(head.framing(), came, lookup);
                return Err(InvalidBody::Foreign { begins, expected: expected.into() }.into());
            }
            Start::Empty => return Err(InvalidBody::Empty.into()),
            Start::More if came.len() >= MAX_WHITE_SPACE => {
                return Err(InvalidBody::WhiteSpace.into());
            }
            Start::More => read_on(answer, deadline, trace).await?,
        }
    }
}

/// XiVO answers a view with an object, and else with an array.
fn first_byte(lookup: &Lookup) -> u8 {
    match lookup {
        Lookup::Search { .. } | Lookup::List { .. } => b'[',
        Lookup::View { .. } => b'{',
    }
}

/// Reads what comes next of the body, behind what has come.
async fn read_on(
    answer: &mut UpstreamResponse,
    deadline: HeadDeadline,
    trace: Option<&Trace>,
) -> Result<(), UpstreamFault> {
    match answer.read_on(READ, deadline.at).await {
        Ok(0) => Err(InvalidBody::Short.into()),
        Ok(count) => {
            if let Some(trace) = trace {
                trace.received_body(count);
            }
            Ok(())
        }
        Err(error) if error.kind() == io::ErrorKind::TimedOut => Err(deadline.into()),
        Err(error) => Err(BodyFault::Reset(error.into()).into()),
    }
}

/// Up to so much white space, in bytes and with its framing, is held back with the head. PHP's files have a
/// few lines of it at most.
const MAX_WHITE_SPACE: usize = 32 * 1024;

/// How much is read at once.
const READ: usize = 4 * 1024;
