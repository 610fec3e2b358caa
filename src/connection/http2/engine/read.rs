//! What comes of a client's bytes, frame by frame.

use std::mem;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;

use crate::connection::http2::engine::{
    CHUNK, Engine, Fatal, GOAWAY_PING, GoAway, Heading, Input, Opened,
};
use crate::connection::http2::frames::{
    self, ACK, CONTINUATION, DATA, END_HEADERS, END_STREAM, Frame, GOAWAY, HEADERS, MAX_LENGTH,
    PADDED, PING, PRIORITY, PUSH_PROMISE, RST_STREAM, Reason, SETTINGS, WINDOW_UPDATE,
    WITH_PRIORITY,
};
use crate::connection::http2::hpack;
use crate::connection::http2::message::Message;
use crate::refusal::Http2Fault;

impl<S: AsyncRead + AsyncWrite + Unpin> Engine<S> {
    /// Reads what came.
    pub(super) fn feed(&mut self, mut bytes: &[u8]) -> Result<(), Fatal> {
        while !bytes.is_empty() && !self.deaf {
            let Some((frame, left)) = self.input.frame else {
                let missing = frames::HEADER - self.input.have;
                let (came, rest) = bytes.split_at(bytes.len().min(missing));
                for &byte in came {
                    if let Some(slot) = self.input.header.get_mut(self.input.have) {
                        *slot = byte;
                    }
                    self.input.have += 1;
                }
                bytes = rest;
                if self.input.have == frames::HEADER {
                    self.input.have = 0;
                    self.input.small_have = 0;
                    let frame = Frame::read(self.input.header);
                    self.begin(frame)?;
                    self.input.frame = Some((frame, frame.length));
                    self.end_if_whole(frame, frame.length)?;
                }
                continue;
            };
            let (came, rest) = bytes.split_at(bytes.len().min(left as usize));
            bytes = rest;
            self.payload(frame, came)?;
            let left = left.saturating_sub(u32::try_from(came.len()).unwrap_or(u32::MAX));
            self.input.frame = Some((frame, left));
            self.end_if_whole(frame, left)?;
        }
        Ok(())
    }

    fn end_if_whole(&mut self, frame: Frame, left: u32) -> Result<(), Fatal> {
        if left == 0 && !self.deaf {
            self.input.frame = None;
            self.end(frame)?;
        }
        Ok(())
    }

    /// A frame begins: what its header alone says has to be possible.
    fn begin(&mut self, frame: Frame) -> Result<(), Fatal> {
        let Frame { length, kind, stream, .. } = frame;
        let first = !self.input.settings_came;
        if first && (kind != SETTINGS || frame.has(ACK)) {
            return Err(PROTOCOL);
        }
        if length > MAX_LENGTH {
            return Err(Fatal(Reason::FrameSize));
        }
        let continued = match self.input.heading {
            Some(heading) => kind == CONTINUATION && stream == heading.stream,
            None => kind != CONTINUATION,
        };
        if !continued {
            return Err(PROTOCOL);
        }
        let on_connection = matches!(kind, SETTINGS | PING | GOAWAY);
        let on_stream = matches!(kind, DATA | HEADERS | PRIORITY | RST_STREAM | CONTINUATION);
        if on_connection && stream != 0 || on_stream && stream == 0 || kind == PUSH_PROMISE {
            return Err(PROTOCOL);
        }
        let well_sized = match kind {
            PRIORITY => length == 5,
            RST_STREAM | WINDOW_UPDATE => length == 4,
            PING => length == 8,
            GOAWAY => length >= 8,
            SETTINGS if frame.has(ACK) => length == 0,
            SETTINGS => length.is_multiple_of(6),
            _ => true,
        };
        if !well_sized {
            return Err(Fatal(Reason::FrameSize));
        }
        let is_idle = stream > self.last || stream.is_multiple_of(2) && stream != 0;
        match kind {
            DATA | RST_STREAM | WINDOW_UPDATE if is_idle && stream != 0 => Err(PROTOCOL),
            HEADERS => self.begin_head(frame),
            CONTINUATION => {
                self.tally.idle_frame();
                self.make_room(frame)
            }
            _ => {
                self.tally.idle_frame();
                if kind == RST_STREAM {
                    self.tally.reset();
                }
                self.input.settings_came = true;
                Ok(())
            }
        }
    }

    fn begin_head(&mut self, frame: Frame) -> Result<(), Fatal> {
        if frame.stream.is_multiple_of(2) {
            return Err(PROTOCOL);
        }
        if frame.stream <= self.last {
            self.tally.idle_frame();
        }
        self.head_began = Some(Instant::now());
        self.input.heading = Some(Heading {
            stream: frame.stream,
            ends: frame.has(END_STREAM),
            knotted: false,
            frames: 0,
        });
        self.make_room(frame)
    }

    /// Makes room for what comes of a head, or as much as a head may take.
    fn make_room(&mut self, frame: Frame) -> Result<(), Fatal> {
        if let Some(heading) = &mut self.input.heading {
            heading.frames += 1;
            if heading.frames > MAX_HEAD_FRAMES {
                return Err(Fatal(Reason::EnhanceYourCalm));
            }
        }
        let wanted = (frame.length as usize).min(CHUNK);
        self.input.block.reserve_exact(wanted);
        Ok(())
    }

    /// A part of a frame's payload.
    fn payload(&mut self, frame: Frame, bytes: &[u8]) -> Result<(), Fatal> {
        match frame.kind {
            HEADERS | CONTINUATION => {
                let most = self.caps.block + MAX_PADDING;
                let room = most.saturating_sub(self.input.block.len());
                let (taken, over) = bytes.split_at(bytes.len().min(room));
                self.input.block.reserve_exact(taken.len());
                self.input.block.extend_from_slice(taken);
                if !over.is_empty() {
                    // It is truncated, so that its padding cannot be located; the head is too long
                    // either way.
                    if frame.kind == HEADERS {
                        self.strip(frame, true)?;
                    }
                    self.end_head(true)?;
                }
                Ok(())
            }
            SETTINGS if !frame.has(ACK) => {
                for &byte in bytes {
                    self.input.put(byte);
                    if self.input.small_have == 6 {
                        self.input.small_have = 0;
                        self.setting()?;
                    }
                }
                Ok(())
            }
            _ => {
                let missing = self.input.small.len() - self.input.small_have;
                for &byte in bytes.iter().take(missing) {
                    self.input.put(byte);
                }
                Ok(())
            }
        }
    }

    fn setting(&self) -> Result<(), Fatal> {
        let [a, b, c, d, e, f, ..] = self.input.small;
        let value = u32::from_be_bytes([c, d, e, f]);
        let state = &mut *self.wire.state();
        match u16::from_be_bytes([a, b]) {
            frames::HEADER_TABLE_SIZE => state.tell_no_table(),
            frames::ENABLE_PUSH if value > 1 => return Err(PROTOCOL),
            frames::INITIAL_WINDOW_SIZE => state.set_initial_window(value).map_err(Fatal)?,
            frames::MAX_FRAME_SIZE if !(MAX_LENGTH..1 << 24).contains(&value) => {
                return Err(PROTOCOL);
            }
            _ => {}
        }
        Ok(())
    }

    /// A frame has come whole.
    fn end(&mut self, frame: Frame) -> Result<(), Fatal> {
        let Frame { kind, stream, length, .. } = frame;
        let [a, b, c, d, ..] = self.input.small;
        let number = u32::from_be_bytes([a, b, c, d]);
        match kind {
            DATA => self.data(frame),
            HEADERS => {
                self.strip(frame, false)?;
                self.end_head_if_whole(frame)
            }
            CONTINUATION => self.end_head_if_whole(frame),
            PRIORITY if number & 0x7fff_ffff == stream => Err(PROTOCOL),
            RST_STREAM => {
                let mut state = self.wire.state();
                match state.entry(stream) {
                    Some(entry) => entry.taken_back(),
                    None => state.has_ended(stream),
                }
                Ok(())
            }
            SETTINGS if !frame.has(ACK) => {
                self.wire.state().reply(|out| frames::write(out, SETTINGS, ACK, 0, b""));
                Ok(())
            }
            PING if !frame.has(ACK) => {
                let payload = self.input.small;
                self.wire.state().reply(|out| frames::write(out, PING, ACK, 0, &payload));
                Ok(())
            }
            PING if self.input.small == GOAWAY_PING && self.goaway == GoAway::Announced => {
                self.send_goaway(Reason::NoError);
                Ok(())
            }
            GOAWAY => {
                // It asks no more; what it has asked it still waits for.
                self.send_goaway(Reason::NoError);
                Ok(())
            }
            WINDOW_UPDATE => {
                debug_assert_eq!(length, 4, "the size was looked at first");
                self.window_update(stream, number & 0x7fff_ffff)
            }
            _ => Ok(()),
        }
    }

    fn window_update(&mut self, stream: u32, by: u32) -> Result<(), Fatal> {
        let widened = match by {
            0 => Err(Reason::Protocol),
            by => self.wire.state().widen(stream, by),
        };
        match widened {
            Err(reason) if stream == 0 => Err(Fatal(reason)),
            Err(reason) => {
                self.break_stream(stream, reason);
                Ok(())
            }
            Ok(()) => Ok(()),
        }
    }

    /// An error in a stream that ends it at once.
    fn break_stream(&mut self, stream: u32, reason: Reason) {
        self.tally.broken();
        self.wire.state().reset(stream, reason);
    }

    /// A part of a body has come.
    fn data(&mut self, frame: Frame) -> Result<(), Fatal> {
        let padding = match (frame.has(PADDED), frame.length) {
            (false, _) => 0,
            (true, 0) => return Err(Fatal(Reason::FrameSize)),
            (true, _) => 1 + u32::from(self.input.small[0]),
        };
        let data = frame.length.checked_sub(padding).ok_or(PROTOCOL)?;
        let last = frame.has(END_STREAM);
        let mut state = self.wire.state();
        let closed_by_us = state.closed_by_us(frame.stream);
        let taken = match state.entry(frame.stream) {
            Some(entry) => {
                let before = entry.has_fault();
                let taken = entry.body(frame.length, data, last);
                if entry.has_fault() && !before {
                    self.tally.broken();
                }
                taken
            }
            None if closed_by_us == Some(true) => {
                if last {
                    state.has_ended(frame.stream);
                }
                Ok(())
            }
            None => Err(Reason::StreamClosed),
        };
        drop(state);
        if let Err(reason) = taken {
            self.break_stream(frame.stream, reason);
        }
        Ok(())
    }

    /// Takes off what a HEADERS frame has besides its part of the head.
    fn strip(&mut self, frame: Frame, cut: bool) -> Result<(), Fatal> {
        let block = &mut self.input.block;
        let mut padding = 0;
        let mut before = 0;
        if frame.has(PADDED) {
            padding = usize::from(*block.first().ok_or(PROTOCOL)?);
            before = 1;
        }
        if frame.has(WITH_PRIORITY) {
            let dependency = block.get(before..before + 5).ok_or(PROTOCOL)?;
            if let (&[a, b, c, d, _], Some(heading)) = (dependency, &mut self.input.heading) {
                heading.knotted = u32::from_be_bytes([a & 0x7f, b, c, d]) == heading.stream;
            }
            before += 5;
        }
        if !cut {
            let end = block.len().checked_sub(padding).filter(|&end| end >= before);
            block.truncate(end.ok_or(PROTOCOL)?);
        }
        block.drain(..before);
        Ok(())
    }

    fn end_head_if_whole(&mut self, frame: Frame) -> Result<(), Fatal> {
        if self.input.block.len() > self.caps.block {
            return self.end_head(true);
        }
        if frame.has(END_HEADERS) { self.end_head(false) } else { Ok(()) }
    }

    /// A head has come, or as much of it as may come.
    fn end_head(&mut self, cut: bool) -> Result<(), Fatal> {
        let Some(heading) = self.input.heading.take() else { return Err(PROTOCOL) };
        self.head_began = None;
        let block = mem::take(&mut self.input.block);
        if heading.stream <= self.last {
            return self.trailers(heading, &block, cut);
        }
        self.last = heading.stream;
        self.tally.asked();
        let mut message = Message::new(self.caps.head);
        message.ends = heading.ends;
        if heading.knotted {
            message.set_fault(Http2Fault::DependsOnItself);
        }
        match self.decoder.decode(&block, |name, value| message.add(name, value)) {
            Ok(()) if !cut => {}
            Ok(()) | Err(hpack::Fault::Cut) if cut => message.set_cut(),
            Ok(()) | Err(_) => return Err(Fatal(Reason::Compression)),
        }
        if heading.stream > self.allowed {
            self.ignored = self.ignored.saturating_add(1);
            return Ok(());
        }
        self.open(heading, message);
        if cut {
            // What follows cannot be read: the table is not the client's any more.
            self.give_up(Reason::NoError);
        }
        Ok(())
    }

    fn open(&mut self, heading: Heading, mut message: Message) {
        let mut state = self.wire.state();
        if state.streams.len() >= self.caps.streams as usize {
            self.tally.refused();
            state.reset(heading.stream, Reason::RefusedStream);
            return;
        }
        message.finish();
        state.open(heading.stream, heading.ends, message.declared());
        if message.fault().is_some() {
            self.tally.broken();
            if let Some(entry) = state.entry(heading.stream) {
                entry.set_fault();
            }
        }
        drop(state);
        self.requests.push_back(Opened { stream: heading.stream, message });
    }

    /// A head on a stream that had one.
    fn trailers(&mut self, heading: Heading, block: &[u8], cut: bool) -> Result<(), Fatal> {
        let mut well = true;
        let read = self.decoder.decode(block, |name, _| well &= name.first() != Some(&b':'));
        if cut || read.is_err() {
            return Err(Fatal(Reason::Compression));
        }
        let mut state = self.wire.state();
        let closed_by_us = state.closed_by_us(heading.stream);
        let taken = match (state.entry(heading.stream), closed_by_us) {
            (Some(entry), _) => {
                let taken = entry.trailers(heading.ends, well);
                if entry.has_fault() {
                    self.tally.broken();
                }
                taken
            }
            (None, Some(true)) => Ok(()),
            (None, Some(false)) => return Err(Fatal(Reason::StreamClosed)),
            (None, None) => return Err(PROTOCOL),
        };
        drop(state);
        if let Err(reason) = taken {
            self.break_stream(heading.stream, reason);
        }
        Ok(())
    }
}

impl Input {
    fn put(&mut self, byte: u8) {
        if let Some(slot) = self.small.get_mut(self.small_have) {
            *slot = byte;
            self.small_have += 1;
        }
    }
}

const PROTOCOL: Fatal = Fatal(Reason::Protocol);

/// What a HEADERS frame may have besides its part of a head, in bytes.
const MAX_PADDING: usize = 262;

/// Frames that a head may come in.
const MAX_HEAD_FRAMES: u32 = 64;
