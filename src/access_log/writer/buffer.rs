//! A worker's end of an access log: lines are collected and handed over, never waited for.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::time::Duration;

use crate::access_log::settings::LogSettings;
use crate::access_log::writer::{Shared, framing};

/// A message to a log's thread.
#[derive(Debug)]
pub(crate) enum Message {
    /// Lines to write.
    Lines(Batch),
    /// Look at the flags.
    Wake,
}

/// Whole lines, and the channel on which their memory is returned.
#[derive(Debug)]
pub(crate) struct Batch {
    pub(crate) bytes: Vec<u8>,
    pub(crate) lines: u64,
    pub(crate) home: SyncSender<Vec<u8>>,
}

/// One worker's lines on their way to one log. Dropping it hands over what it holds.
///
/// [`flush`](Self::flush) is the worker's to call, at most [`flush_after`](Self::flush_after) after
/// the push that made it non-empty.
#[derive(Debug)]
pub struct LineBuffer {
    bytes: Vec<u8>,
    lines: u64,
    capacity: usize,
    settings: LogSettings,
    queue: SyncSender<Message>,
    shared: Arc<Shared>,
    returned: Receiver<Vec<u8>>,
    home: SyncSender<Vec<u8>>,
}

impl LineBuffer {
    pub(super) fn new(
        settings: &LogSettings,
        queue: SyncSender<Message>,
        shared: Arc<Shared>,
    ) -> Self {
        let (home, returned) = sync_channel(SPARE);
        Self {
            bytes: Vec::new(),
            lines: 0,
            capacity: settings.buffer,
            settings: settings.clone(),
            queue,
            shared,
            returned,
            home,
        }
    }

    /// Collects the one line that `write` appends, its line end included. Hands over what would no
    /// longer fit the buffer; a line that alone is longer goes by itself.
    pub fn push(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        self.push_in(None, write);
    }

    /// The same with a frame of this name around the line, for a target that has such.
    pub(crate) fn push_in(&mut self, name: Option<&str>, write: impl FnOnce(&mut Vec<u8>)) {
        if self.bytes.capacity() == 0 {
            self.bytes = self.fresh();
        }
        let before = self.bytes.len();
        if let Some(name) = name {
            framing::begin(&mut self.bytes, name);
        }
        let line = self.bytes.len();
        write(&mut self.bytes);
        debug_assert!(self.bytes.len() >= line, "only appends");
        if self.bytes.len() == line {
            self.bytes.truncate(before);
            return;
        }
        if self.bytes.last() != Some(&b'\n') {
            self.bytes.push(b'\n');
        }
        if name.is_some() {
            framing::end(&mut self.bytes, before, line);
        }
        if self.bytes.len() > self.capacity && before > 0 {
            let mut next = self.fresh();
            next.extend_from_slice(&self.bytes[before..]);
            self.bytes.truncate(before);
            self.hand_over(next);
        }
        self.lines += 1;
        if self.bytes.len() >= self.capacity {
            self.flush();
        }
    }

    /// Hands over whatever is held. Never waits: where the log's thread is a whole queue behind, the
    /// lines are lost and counted.
    pub fn flush(&mut self) {
        if !self.is_empty() {
            let next = self.spare().unwrap_or_default();
            self.hand_over(next);
        }
    }

    /// Whether nothing waits for a flush.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// The setting `flush`: how long a line may wait here.
    pub fn flush_after(&self) -> Duration {
        self.settings.flush
    }

    /// All settings of its log.
    pub fn settings(&self) -> &LogSettings {
        &self.settings
    }

    /// The setting `max_field`: where a logged value is cut.
    pub fn max_field(&self) -> usize {
        self.settings.max_field
    }

    /// Sends what is held away and goes on with `next`.
    fn hand_over(&mut self, next: Vec<u8>) {
        let bytes = std::mem::replace(&mut self.bytes, next);
        let lines = std::mem::take(&mut self.lines);
        let weight = bytes.capacity();
        let batch = Batch { bytes, lines, home: self.home.clone() };
        let refused = match self.send(Message::Lines(batch), weight) {
            Ok(()) => return,
            Err(TrySendError::Full(message)) => {
                self.say_overrun();
                message
            }
            Err(TrySendError::Disconnected(message)) => message,
        };
        self.shared.queued.fetch_sub(weight, Ordering::Relaxed);
        self.shared.lost.fetch_add(lines, Ordering::Relaxed);
        if let Message::Lines(batch) = refused {
            batch.go_home();
        }
    }

    /// Queues a message of `weight` bytes, unless too many are queued; one alone always fits.
    fn send(&self, message: Message, weight: usize) -> Result<(), TrySendError<Message>> {
        let before = self.shared.queued.fetch_add(weight, Ordering::Relaxed);
        let most = QUEUED_BYTES.max(2 * self.capacity);
        if before > 0 && before.saturating_add(weight) > most {
            return Err(TrySendError::Full(message));
        }
        self.queue.try_send(message)
    }

    /// Reports that the log's thread is behind and may be stuck: one worker does, once until it moves again.
    fn say_overrun(&self) {
        if !self.shared.overrun.swap(true, Ordering::Relaxed) {
            tracing::error!(
                log = self.shared.name,
                "lines for the access log {} come faster than they are written, and are lost until \
                 that is over. Raise its `buffer`; if that changes nothing, see whether its disk \
                 hangs or its reader has stopped",
                self.shared.name
            );
        }
    }

    /// An empty buffer with room for a full load and the line that overflows it.
    fn fresh(&self) -> Vec<u8> {
        self.spare().unwrap_or_else(|| Vec::with_capacity(self.capacity + self.slack()))
    }

    /// One that came back, unless a huge line has bloated it.
    fn spare(&self) -> Option<Vec<u8>> {
        let bytes = self.returned.try_recv().ok()?;
        (bytes.capacity() <= 2 * (self.capacity + SLACK)).then_some(bytes)
    }

    /// Without a buffer each queued line keeps its own allocation, so that this is small.
    fn slack(&self) -> usize {
        if self.capacity < SLACK { LINE } else { SLACK }
    }
}

impl Drop for LineBuffer {
    fn drop(&mut self) {
        self.flush();
    }
}

impl Batch {
    /// Gives the memory back to its worker, unless it has enough.
    pub(crate) fn go_home(mut self) {
        self.bytes.clear();
        let _ = self.home.try_send(self.bytes);
    }
}

/// How many hand-overs may wait for one log's thread, and how much memory they may hold: what a
/// hanging disk costs. Two buffers may wait in any case.
pub(crate) const QUEUE: usize = 8192;
const QUEUED_BYTES: usize = 8 << 20;
/// How many empty buffers a worker keeps beside the one in use.
const SPARE: usize = 2;
/// Room for one more line, so that the line that overflows a buffer does not make it grow.
const SLACK: usize = 8 << 10;
/// Room for one line of usual length.
const LINE: usize = 512;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access_log::target::LogTarget;

    fn buffer(capacity: usize, queue: usize) -> (LineBuffer, Receiver<Message>) {
        let settings = LogSettings { buffer: capacity, ..LogSettings::to(LogTarget::Stdout) };
        let (sender, messages) = sync_channel(queue);
        (LineBuffer::new(&settings, sender, Arc::new(Shared::new("test".into()))), messages)
    }

    fn push(buffer: &mut LineBuffer, line: &str) {
        buffer.push(|out| out.extend_from_slice(line.as_bytes()));
    }

    fn batch(messages: &Receiver<Message>) -> Option<Batch> {
        match messages.try_recv() {
            Ok(Message::Lines(batch)) => Some(batch),
            Ok(Message::Wake) | Err(_) => None,
        }
    }

    /// The next batch's text and its number of lines.
    fn text(messages: &Receiver<Message>) -> Option<(String, u64)> {
        batch(messages).map(|batch| (String::from_utf8(batch.bytes).unwrap(), batch.lines))
    }

    #[test]
    fn lines_wait_until_one_would_no_longer_fit_and_then_go_without_it() {
        let (mut buffer, messages) = buffer(10, 9);
        push(&mut buffer, "one\n");
        push(&mut buffer, "two\n");
        assert_eq!(text(&messages), None);
        push(&mut buffer, "three\n");
        assert_eq!(text(&messages), Some(("one\ntwo\n".into(), 2)));
        assert!(!buffer.is_empty());
        buffer.flush();
        assert!(buffer.is_empty());
        assert_eq!(text(&messages), Some(("three\n".into(), 1)));
        buffer.flush();
        assert_eq!(text(&messages), None);
    }

    #[test]
    fn a_line_longer_than_the_buffer_goes_by_itself() {
        let (mut buffer, messages) = buffer(10, 9);
        push(&mut buffer, "one\n");
        push(&mut buffer, "a rather long line\n");
        assert_eq!(text(&messages), Some(("one\n".into(), 1)));
        assert_eq!(text(&messages), Some(("a rather long line\n".into(), 1)));
        assert!(buffer.is_empty());
    }

    #[test]
    fn without_a_buffer_every_line_goes_at_once() {
        let (mut buffer, messages) = buffer(0, 9);
        push(&mut buffer, "one\n");
        assert_eq!(text(&messages), Some(("one\n".into(), 1)));
        push(&mut buffer, "two\n");
        assert_eq!(text(&messages), Some(("two\n".into(), 1)));
    }

    #[test]
    fn a_missing_line_end_is_added_and_nothing_is_no_line() {
        let (mut buffer, messages) = buffer(100, 9);
        push(&mut buffer, "");
        assert!(buffer.is_empty());
        push(&mut buffer, "one");
        push(&mut buffer, "");
        drop(buffer);
        assert_eq!(text(&messages), Some(("one\n".into(), 1)));
    }

    #[test]
    fn a_frame_holds_a_line_with_its_end_and_nothing_is_no_frame() {
        let (mut buffer, messages) = buffer(100, 9);
        buffer.push_in(Some("lyon"), |_| {});
        assert!(buffer.is_empty());
        buffer.push_in(Some("lyon"), |out| out.extend_from_slice(b"one"));
        buffer.push_in(Some("-"), |out| out.extend_from_slice(b"two\n"));
        buffer.flush();
        let batch = batch(&messages).unwrap();
        let expected: [(&[u8], &[u8]); 2] = [(b"lyon", b"one\n"), (b"-", b"two\n")];
        assert!(framing::frames(&batch.bytes).eq(expected));
        assert_eq!(batch.lines, 2);
    }

    #[test]
    fn dropping_hands_over_what_is_held() {
        let (mut buffer, messages) = buffer(100, 9);
        push(&mut buffer, "one\n");
        push(&mut buffer, "two\n");
        drop(buffer);
        assert_eq!(text(&messages), Some(("one\ntwo\n".into(), 2)));
    }

    #[test]
    fn a_full_queue_loses_the_lines_counts_them_and_takes_later_ones() {
        let (mut buffer, messages) = buffer(100, 1);
        push(&mut buffer, "one\n");
        buffer.flush();
        push(&mut buffer, "two\n");
        push(&mut buffer, "three\n");
        buffer.flush();
        assert_eq!(buffer.shared.lost.load(Ordering::Relaxed), 2);
        assert!(buffer.shared.overrun.load(Ordering::Relaxed));
        assert_eq!(text(&messages), Some(("one\n".into(), 1)));
        push(&mut buffer, "four\n");
        buffer.flush();
        assert_eq!(text(&messages), Some(("four\n".into(), 1)));
        assert_eq!(buffer.shared.lost.load(Ordering::Relaxed), 2);
    }

    #[test]
    fn lines_for_a_thread_that_has_ended_are_lost_and_counted() {
        let (mut buffer, messages) = buffer(100, 1);
        drop(messages);
        push(&mut buffer, "one\n");
        buffer.flush();
        assert_eq!(buffer.shared.lost.load(Ordering::Relaxed), 1);
        assert!(!buffer.shared.overrun.load(Ordering::Relaxed));
    }

    #[test]
    fn memory_comes_back_and_is_used_again() {
        let (mut buffer, messages) = buffer(100, 9);
        let mut seen = Vec::new();
        for _ in 0..6 {
            push(&mut buffer, "one\n");
            buffer.flush();
            let batch = batch(&messages).unwrap();
            seen.push(batch.bytes.as_ptr());
            batch.go_home();
        }
        assert_eq!(seen[0], seen[1]);
        assert!(seen.iter().all(|at| *at == seen[0]));
    }

    #[test]
    fn memory_that_a_huge_line_has_bloated_is_let_go() {
        let (mut buffer, messages) = buffer(100, 9);
        push(&mut buffer, &"x".repeat(1 << 20));
        batch(&messages).unwrap().go_home();
        push(&mut buffer, "one\n");
        assert!(buffer.bytes.capacity() < 1 << 20);
    }
}
