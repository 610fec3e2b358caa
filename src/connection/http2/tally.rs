//! Counts the frames of a connection, to detect clients that send many of them but no requests.
//!
//! Every frame costs something and only some are part of a request: PING and SETTINGS want an
//! answer, PRIORITY and unknown frames are read for nothing, a WINDOW_UPDATE may bring one byte along.
//! A number of them is let through in ten seconds, more for those who ask or read much.

use std::time::Duration;

use tokio::time::Instant;

use crate::refusal::Flood;

/// What has passed so far.
#[derive(Debug, Default)]
pub(super) struct Tally {
    since: Option<Instant>,
    /// Frames that are no part of a request.
    idle_frames: u64,
    /// Requests that were taken back.
    resets: u32,
    asked: u64,
    written: u64,
    /// Streams that were refused because too many were open, since the connection began; the client
    /// may ask again.
    refused: u32,
    /// Streams that broke a rule of HTTP/2, since the connection began.
    broken: u32,
    flood: Option<Flood>,
}

impl Tally {
    pub(super) fn idle_frame(&mut self) {
        self.idle_frames += 1;
    }

    pub(super) fn reset(&mut self) {
        self.resets += 1;
    }

    pub(super) fn asked(&mut self) {
        self.asked += 1;
    }

    pub(super) fn wrote(&mut self, bytes: usize) {
        self.written += bytes as u64;
    }

    pub(super) fn refused(&mut self) {
        self.refused += 1;
    }

    pub(super) fn broken(&mut self) {
        self.broken += 1;
    }

    /// Nothing more is to be read from this client.
    pub(super) fn set_flood(&mut self, why: Flood) {
        self.flood = Some(why);
    }

    /// Why nothing more is read from this client, if it has gone too far.
    pub(super) fn judge(&mut self, now: Instant) -> Option<Flood> {
        if self.flood.is_some() {
            return self.flood;
        }
        let allowed = IDLE_FRAMES + IDLE_PER_REQUEST * self.asked + self.written / WINDOW_GRAIN;
        if self.idle_frames > allowed {
            return Some(Flood::IdleFrames);
        }
        if self.resets > RESETS {
            return Some(Flood::TakenBack);
        }
        if self.refused > REFUSED {
            return Some(Flood::RefusedStreams);
        }
        if self.broken > BROKEN {
            return Some(Flood::BrokenStreams);
        }
        if self.since.is_none_or(|since| now.duration_since(since) >= PERIOD) {
            let Self { refused, broken, .. } = *self;
            *self = Self { since: Some(now), refused, broken, ..Self::default() };
        }
        None
    }
}

const PERIOD: Duration = Duration::from_secs(10);

/// Frames that are no part of a request, in [`PERIOD`]: a keep-alive PING comes every few seconds, SETTINGS once.
const IDLE_FRAMES: u64 = 1000;

/// The number that each request adds.
const IDLE_PER_REQUEST: u64 = 16;

/// The number of bytes sent that adds one more: some clients send two WINDOW_UPDATEs for each frame that they
/// read, and frames may be small.
const WINDOW_GRAIN: u64 = 256;

/// Requests that may be taken back in [`PERIOD`]: a search for each letter typed, by a fast hand.
const RESETS: u32 = 100;

/// Streams that may be refused because too many are open. A client that does not know yet how many
/// may be open sends a few hundred at the most.
const REFUSED: u32 = 1000;

/// Streams of a connection that may break a rule of HTTP/2 (CVE-2025-8671). A sound client has none.
const BROKEN: u32 = 16;
