use std::sync::Mutex;
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;

use super::*;
use crate::diagnostics::queue::DiagnosticsQueue;

/// A standard error that does as it is told.
#[derive(Clone, Debug, Default)]
struct Fickle {
    /// What came through.
    taken: Arc<Mutex<Vec<u8>>>,
    /// How many bytes may still be taken; `None`: all.
    room: Arc<Mutex<Option<usize>>>,
}

impl Fickle {
    fn taken(&self) -> String {
        String::from_utf8(self.taken.lock().unwrap().clone()).unwrap()
    }

    fn has_room(&self, room: Option<usize>) {
        *self.room.lock().unwrap() = room;
    }
}

impl Write for Fickle {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut room = self.room.lock().unwrap();
        let count = room.map_or(bytes.len(), |room| room.min(bytes.len()));
        if count == 0 {
            return Err(io::ErrorKind::StorageFull.into());
        }
        *room = room.map(|room| room - count);
        self.taken.lock().unwrap().extend_from_slice(&bytes[..count]);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Stream for Fickle {
    fn wait(&self) -> io::Result<()> {
        Ok(())
    }
}

/// One that takes nothing until it is told to.
struct Stuck {
    inner: Fickle,
    go_on: Receiver<()>,
}

impl Write for Stuck {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // Once nobody is left to hold it back it goes on.
        let _ = self.go_on.recv();
        self.inner.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Stream for Stuck {
    fn wait(&self) -> io::Result<()> {
        Ok(())
    }
}

/// The thread over this standard error, with room for so many lines.
fn started(stderr: impl Stream + 'static, lines: usize) -> (DiagnosticsQueue, JoinHandle<Ending>) {
    let (near, queue) = DiagnosticsQueue::with_room(Form::Text, lines);
    let shared = Arc::clone(near.shared());
    let target = Target::new(Box::new(stderr), None);
    let run = move || WriterThread::new(Form::Text, target, shared, queue).run();
    (near, std::thread::spawn(run))
}

fn say(near: &DiagnosticsQueue, text: &str) {
    near.push(Line::formatted(text.as_bytes()));
}

/// The lines without the times of those that the thread wrote itself.
fn lines(stderr: &Fickle) -> Vec<String> {
    let without_time = |line: &str| match line.split_once("Z  WARN ") {
        Some((_, text)) => text.to_owned(),
        None => line.to_owned(),
    };
    stderr.taken().lines().map(without_time).collect()
}

#[test]
fn what_fails_is_counted_and_told_once_it_works_again_and_the_next_line_is_whole() {
    let stderr = Fickle::default();
    let (near, thread) = started(stderr.clone(), 100);
    say(&near, "one");
    near.flush();
    stderr.has_room(Some(5));
    for text in ["torn line", "two", "three"] {
        say(&near, text);
    }
    near.flush();
    assert_eq!(lines(&stderr), ["one", "torn "]);
    stderr.has_room(None);
    say(&near, "four");
    near.flush();
    let told = "diagnostics are written again; 3 diagnostics were lost";
    assert_eq!(lines(&stderr), ["one", "torn ", "four", told]);
    say(&near, "five");
    drop(near);
    assert_eq!(thread.join().unwrap(), Ending::Expected);
    assert_eq!(lines(&stderr)[4..], ["five"]);
}

#[test]
fn a_count_that_could_not_be_told_is_told_later() {
    let stderr = Fickle::default();
    let (near, _thread) = started(stderr.clone(), 100);
    stderr.has_room(Some(0));
    say(&near, "one");
    near.flush();
    // Room for the line that works again, and not for the count.
    stderr.has_room(Some(4));
    say(&near, "two");
    near.flush();
    stderr.has_room(None);
    say(&near, "six");
    near.flush();
    let told = "diagnostics are written again; 1 diagnostic was lost";
    assert_eq!(lines(&stderr), ["two", "six", told]);
}

#[test]
fn while_it_is_stuck_nobody_waits_and_what_did_not_fit_is_told_when_it_goes_on() {
    let stderr = Fickle::default();
    let (go_on, told): (Sender<()>, _) = channel();
    let (near, _thread) = started(Stuck { inner: stderr.clone(), go_on: told }, 4);
    // The first is taken out of the queue, and then it is stuck.
    say(&near, "0");
    while near.shared().queued.load(Ordering::Relaxed) > 0 {
        std::thread::yield_now();
    }
    for number in 1..=10 {
        say(&near, &number.to_string());
    }
    assert_eq!(stderr.taken(), "");
    drop(go_on);
    near.flush();
    let begun = "6 diagnostics were lost here: they came faster than they were taken; more may be";
    let over = "diagnostics are written again; 6 diagnostics were lost";
    assert_eq!(lines(&stderr), ["0", begun, "1", "2", "3", "4", over]);
}

/// A pipe that others have made non-blocking, with a reader who comes late.
#[test]
fn a_stream_that_would_block_is_waited_for_and_no_line_is_lost() {
    let (mut reader, writer) = io::pipe().unwrap();
    let flags = rustix::fs::fcntl_getfl(&writer).unwrap() | rustix::fs::OFlags::NONBLOCK;
    rustix::fs::fcntl_setfl(&writer, flags).unwrap();
    let (near, _thread) = started(writer, 100);
    let line = "x".repeat(30 << 10);
    (0..20).for_each(|_| say(&near, &line));
    let mut read = Vec::new();
    while read.len() < 20 * (line.len() + 1) {
        let mut chunk = [0; 4096];
        let count = io::Read::read(&mut reader, &mut chunk).unwrap();
        read.extend_from_slice(&chunk[..count]);
    }
    assert!(read.split(|&byte| byte == b'\n').take(20).all(|got| got == line.as_bytes()));
    assert_eq!(near.shared().overrun.load(Ordering::Relaxed), 0);
}
