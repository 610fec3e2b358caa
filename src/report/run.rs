//! Reads all sources on several threads, and puts what depends on the order back into it.

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::entry::{Reader, Unreadable};
use super::formats::Formats;
use super::input::{Feed, Place, Planned, lines};
use super::select::Selection;
use super::stretch::Stretch;
use super::summary::{Input, LogFile, Sample};
use super::tally::{Tally, ThingHasher};
use super::timeline::Timeline;

/// What was counted, and what was read.
#[derive(Debug)]
pub struct Counted {
    /// What was counted in any order.
    pub tally: Tally,
    /// What was counted in its order.
    pub timeline: Timeline,
    /// What was read.
    pub input: Input,
}

/// Reads everything that was planned on `threads` threads. `read` counts the bytes that were read.
pub fn run(
    planned: Vec<Planned>,
    formats: &Formats,
    selection: &Selection,
    threads: usize,
    read: &Arc<AtomicU64>,
) -> Counted {
    let mut ledger = Ledger::new();
    for file in &planned {
        ledger.add_file(file.name.clone(), formats.name(file.format).to_owned());
    }
    let feed = Mutex::new(Feed::new(planned, Arc::clone(read)));
    let ledger = Mutex::new(ledger);
    let hasher = ThingHasher::default();
    let tally = std::thread::scope(|scope| {
        let work = || {
            let mut worker = Worker::new(formats, hasher.clone(), selection);
            worker.run(&feed, &ledger);
            worker.tally
        };
        let others: Vec<_> = (1..threads).map(|_| scope.spawn(work)).collect();
        let mut tally = work();
        for other in others {
            match other.join() {
                Ok(theirs) => tally.merge(&theirs),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        tally
    });
    let mut ledger = ledger.into_inner().unwrap_or_else(PoisonError::into_inner);
    ledger.timeline.finish();
    Counted { tally, timeline: ledger.timeline, input: ledger.input }
}

/// One thread's readers and figures.
#[derive(Debug)]
pub struct Worker<'s> {
    readers: Vec<Reader>,
    selection: &'s Selection,
    /// What it has counted.
    pub tally: Tally,
}

impl<'s> Worker<'s> {
    /// A worker that has counted nothing.
    pub fn new(formats: &Formats, hasher: ThingHasher, selection: &'s Selection) -> Self {
        Self { readers: formats.readers(), selection, tally: Tally::new(hasher) }
    }

    fn run(&mut self, feed: &Mutex<Feed>, ledger: &Mutex<Ledger>) {
        let mut block = Vec::new();
        loop {
            let next = locked(feed).next(&mut block);
            match next {
                None => return,
                Some(Ok(place)) => {
                    let told = self.count(&block, place.format);
                    locked(ledger).take(place, told);
                }
                Some(Err((file, error))) => locked(ledger).fail(file, &error),
            }
        }
    }

    /// Counts the lines of a block that is in the format of this number.
    pub fn count(&mut self, block: &[u8], format: usize) -> Told {
        let mut told = Told::default();
        let Some(reader) = self.readers.get_mut(format) else { return told };
        for line in lines(block) {
            told.lines += 1;
            match reader.read(line) {
                Ok(entry) if self.selection.takes(&entry) => {
                    self.tally.count(&entry, &mut told.stretch);
                }
                Ok(_) => self.tally.pass_over(),
                Err(why) => told.cannot_read(line, why),
            }
        }
        self.tally.end(&mut told.stretch);
        told
    }
}

/// What a block tells beside what is in the tally.
#[derive(Debug, Default)]
pub struct Told {
    stretch: Stretch,
    lines: u64,
    unreadable: u64,
    /// The first unreadable lines: the number in the block from 1, the text, and why.
    samples: Vec<(u64, String, Unreadable)>,
}

impl Told {
    #[cold]
    fn cannot_read(&mut self, line: &[u8], why: Unreadable) {
        self.unreadable += 1;
        if self.samples.len() < SAMPLES {
            let text = line[..line.len().min(SAMPLE)].escape_ascii().to_string();
            self.samples.push((self.lines, text, why));
        }
    }
}

/// Puts blocks into their order.
#[derive(Debug)]
pub struct Ledger {
    /// What was counted in its order.
    pub timeline: Timeline,
    /// What was read.
    pub input: Input,
    next: u64,
    waiting: BTreeMap<u64, (Place, Told)>,
}

impl Ledger {
    /// Nothing yet.
    pub fn new() -> Self {
        let input = Input {
            files: Vec::new(),
            lines: 0,
            filtered: 0,
            unreadable: 0,
            unreadable_samples: Vec::new(),
            reasons_inferred: 0,
            configuration: None,
            notes: Vec::new(),
        };
        Self { timeline: Timeline::default(), input, next: 0, waiting: BTreeMap::new() }
    }

    /// A file comes behind those before it.
    pub fn add_file(&mut self, name: String, format: String) {
        self.input.files.push(LogFile { name, format, lines: 0 });
    }

    /// Takes a block, in whichever order they come.
    pub fn take(&mut self, place: Place, told: Told) {
        self.waiting.insert(place.block, (place, told));
        while let Some((place, told)) = self.waiting.remove(&self.next) {
            self.next += 1;
            self.append(place.file, told);
        }
    }

    /// Takes the next block of this file.
    pub fn append(&mut self, file: usize, told: Told) {
        self.timeline.append(told.stretch);
        self.input.lines += told.lines;
        self.input.unreadable += told.unreadable;
        let Some(file) = self.input.files.get_mut(file) else { return };
        for (line, text, why) in told.samples {
            if self.input.unreadable_samples.len() < SAMPLES {
                self.input.unreadable_samples.push(Sample {
                    file: file.name.clone(),
                    line: file.lines + line,
                    text,
                    why: why.to_string(),
                });
            }
        }
        file.lines += told.lines;
    }

    fn fail(&mut self, file: usize, error: &io::Error) {
        let name = self.input.files.get(file).map_or("", |file| file.name.as_str());
        let note =
            format!("{name} could not be read to its end: {error}. What came before is counted.");
        self.input.notes.push(note);
    }
}

impl Default for Ledger {
    fn default() -> Self {
        Self::new()
    }
}

/// A thread that has panicked takes the program down at its end; until then its data will do.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// So many unreadable lines are shown, and so many bytes of each.
const SAMPLES: usize = 10;
const SAMPLE: usize = 200;
