//! Reads all sources on several threads, and puts what depends on the order back into it.

pub(crate) mod block;
pub(super) mod enumeration;
pub(super) mod outages;
pub(super) mod patience;
pub(super) mod quota;
pub(super) mod repeats;
pub(super) mod sketch;
pub(crate) mod tally;
pub(crate) mod timeline;
pub(super) mod typing;

use std::collections::BTreeMap;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::read::findings;
use super::read::line::{Line, LineReader};
use super::summary::{Input, LogFile, Sample};
use crate::report::count::block::BlockSummary;
use crate::report::count::tally::{Tally, ThingHasher};
use crate::report::count::timeline::{Timeline, put_in_order};
use crate::report::read::entry::Unreadable;
use crate::report::read::formats::Formats;
use crate::report::read::input::{Block, Feed, Place, Planned, lines};
use crate::report::read::select::{Choice, Selection};

/// What was counted, and what was read.
#[derive(Debug)]
pub(crate) struct Counted {
    /// What was counted in any order.
    pub tally: Tally,
    /// What was counted in its order.
    pub timeline: Timeline,
    /// The files and lines that were read.
    pub input: Input,
}

/// Reads everything that was planned on `threads` threads. `read` counts the bytes that were read.
pub(crate) fn run(
    planned: Vec<Planned>,
    formats: &Formats,
    selection: &Selection,
    threads: usize,
    read: &Arc<AtomicU64>,
) -> Counted {
    let mut ledger = Ledger::new();
    for file in &planned {
        ledger.add_file(file.name.clone(), file.format);
    }
    let feed = Mutex::new(Feed::new(planned, Arc::clone(read)));
    let ledger = Mutex::new(ledger);
    let taken = Condvar::new();
    std::thread::scope(|scope| {
        let work =
            || Worker::new(formats, ThingHasher::default(), selection).run(&feed, &ledger, &taken);
        let others: Vec<_> = (1..threads).map(|_| scope.spawn(work)).collect();
        work();
        for other in others {
            if let Err(panic) = other.join() {
                std::panic::resume_unwind(panic);
            }
        }
    });
    let mut ledger = ledger.into_inner().unwrap_or_else(PoisonError::into_inner);
    finish(&mut ledger.timeline, threads);
    Counted { input: ledger.input(formats), tally: ledger.tally, timeline: ledger.timeline }
}

/// Looks at what the timeline has not looked at yet, on this number of threads.
fn finish(timeline: &mut Timeline, threads: usize) {
    let (mut hours, names) = timeline.take_hours();
    let part = hours.len().div_ceil(threads.max(1)).max(1);
    std::thread::scope(|scope| {
        for hours in hours.chunks_mut(part) {
            scope.spawn(|| {
                let mut room = Vec::new();
                hours.iter_mut().for_each(|(_, events)| put_in_order(events, names, &mut room));
            });
        }
    });
    let mut lanes = timeline.lanes(threads);
    std::thread::scope(|scope| {
        for lane in &mut lanes {
            scope.spawn(|| hours.iter().for_each(|(hour, events)| lane.look_at(*hour, events)));
        }
    });
    timeline.join(lanes);
}

/// One thread's reader.
#[derive(Debug)]
pub(crate) struct Worker<'s> {
    reader: LineReader,
    /// What of a line had to be decoded.
    scratch: Vec<u8>,
    selection: &'s Selection,
    hasher: ThingHasher,
}

impl<'s> Worker<'s> {
    /// A worker that has read nothing yet.
    pub(crate) fn new(formats: &Formats, hasher: ThingHasher, selection: &'s Selection) -> Self {
        Self { reader: formats.reader(), scratch: Vec::new(), selection, hasher }
    }

    fn run(&mut self, feed: &Mutex<Feed>, ledger: &Mutex<Ledger>, taken: &Condvar) {
        let mut block = Block::default();
        loop {
            let next = locked(feed).next(&mut block);
            match next {
                None => return,
                Some(Ok(place)) => {
                    let result = self.count(&block, place.format);
                    let mut ledger = locked(ledger);
                    // Whose block is next never waits; and if that one has panicked, this ends all the same.
                    while ledger.waiting.len() >= MOST_WAITING && place.block != ledger.next {
                        let waited = taken.wait_timeout(ledger, Duration::from_secs(1));
                        let timeout;
                        (ledger, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
                        if timeout.timed_out() {
                            break;
                        }
                    }
                    ledger.take(place, result);
                    taken.notify_all();
                }
                Some(Err((file, why))) => locked(ledger).fail(file, why),
            }
        }
    }

    /// Counts the lines of a block of a file that is in the format of this number, as far as is known.
    pub(crate) fn count(&mut self, block: &[u8], format: usize) -> BlockResult {
        let mut result = BlockResult::new(self.hasher.clone());
        self.reader.begin(format);
        let takes_all = !self.selection.is_choosy();
        let (mut current, mut fitting) = (format, 0);
        for line in lines(block) {
            result.lines += 1;
            match self.reader.read(line, &mut self.scratch) {
                Ok(Line::Entry(entry)) => {
                    if self.reader.current() != current {
                        result.fit(current, std::mem::take(&mut fitting));
                        current = self.reader.current();
                    }
                    fitting += 1;
                    if self.selection.takes_time(&entry) {
                        let choice =
                            if takes_all { Choice::Asked } else { self.selection.choice(&entry) };
                        result.tally.count(&entry, &mut result.summary, choice);
                    } else {
                        let is_before = self.selection.takes_time_before(&entry);
                        result.tally.pass_over(&entry, is_before && self.selection.takes(&entry));
                    }
                }
                Ok(Line::Part) => {}
                Err(why) => result.cannot_read(line, why),
            }
        }
        result.fit(current, fitting);
        result.unreadable += self.reader.end();
        result
    }
}

/// What was counted in a block.
#[derive(Debug)]
pub(crate) struct BlockResult {
    tally: Box<Tally>,
    summary: BlockSummary,
    lines: u64,
    unreadable: u64,
    /// How many lines were in the format of each number.
    fitting: Vec<u64>,
    /// The first unreadable lines: the number in the block from 1, the text, and why.
    samples: Vec<(u64, String, Unreadable)>,
}

impl BlockResult {
    fn new(hasher: ThingHasher) -> Self {
        Self {
            tally: Box::new(Tally::new(hasher)),
            summary: BlockSummary::default(),
            lines: 0,
            unreadable: 0,
            fitting: Vec::new(),
            samples: Vec::new(),
        }
    }

    fn fit(&mut self, format: usize, count: u64) {
        if count > 0 {
            add(&mut self.fitting, format, count);
        }
    }

    #[cold]
    fn cannot_read(&mut self, line: &[u8], why: Unreadable) {
        self.unreadable += 1;
        if self.samples.len() < SAMPLES {
            let text = line[..line.len().min(SAMPLE)].escape_ascii().to_string();
            self.samples.push((self.lines, text, why));
        }
    }
}

fn add(counts: &mut Vec<u64>, number: usize, count: u64) {
    if counts.len() <= number {
        counts.resize(number + 1, 0);
    }
    counts[number] += count;
}

/// Puts blocks into their order.
#[derive(Debug)]
pub(crate) struct Ledger {
    /// What was counted in any order.
    pub tally: Tally,
    /// What was counted in its order.
    pub timeline: Timeline,
    input: Input,
    /// For each file the format that it seemed to be in, and how many lines were in the format of each number.
    fitting: Vec<(usize, Vec<u64>)>,
    /// What could not be read: of which file, and why.
    failures: Vec<(usize, String)>,
    next: u64,
    waiting: BTreeMap<u64, (Place, BlockResult)>,
}

impl Ledger {
    /// A ledger of no files.
    pub(crate) fn new() -> Self {
        let input = Input {
            files: Vec::new(),
            lines: 0,
            filtered: 0,
            unreadable: 0,
            unreadable_samples: Vec::new(),
            reasons_inferred: 0,
            configuration: None,
            findings: Vec::new(),
            lacking: 0,
            notes: Vec::new(),
        };
        Self {
            tally: Tally::new(ThingHasher::default()),
            timeline: Timeline::default(),
            input,
            fitting: Vec::new(),
            failures: Vec::new(),
            next: 0,
            waiting: BTreeMap::new(),
        }
    }

    /// A file comes behind those before it; it seems to be in this format.
    pub(crate) fn add_file(&mut self, name: String, format: usize) {
        self.input.files.push(LogFile { name, format: String::new(), lines: 0 });
        self.fitting.push((format, Vec::new()));
    }

    /// The files and lines that were read so far.
    pub(crate) fn input(&self, formats: &Formats) -> Input {
        let mut input = self.input.clone();
        let mut total = Vec::new();
        for (file, (planned, fitting)) in input.files.iter_mut().zip(&self.fitting) {
            let found: Vec<usize> = (0..fitting.len()).filter(|&it| fitting[it] > 0).collect();
            let found = if found.is_empty() { vec![*planned] } else { found };
            let names: Vec<&str> = found.iter().map(|&number| formats.name(number)).collect();
            file.format = names.join(", ");
            fitting.iter().enumerate().for_each(|(number, count)| add(&mut total, number, *count));
        }
        // Threads meet them in any order.
        let mut failures = self.failures.clone();
        failures.sort();
        input.notes.extend(failures.into_iter().map(|(_, why)| why));
        findings::add(&mut input, &total, formats);
        input
    }

    /// Takes a block, in whichever order they come.
    pub(crate) fn take(&mut self, place: Place, result: BlockResult) {
        self.waiting.insert(place.block, (place, result));
        while let Some((place, result)) = self.waiting.remove(&self.next) {
            self.next += 1;
            self.append(place.file, result);
        }
    }

    /// Takes the next block of this file.
    pub(crate) fn append(&mut self, file: usize, mut result: BlockResult) {
        if let Some((_, fitting)) = self.fitting.get_mut(file) {
            result
                .fitting
                .iter()
                .enumerate()
                .for_each(|(number, count)| add(fitting, number, *count));
        }
        let numbers = self.tally.merge(&result.tally);
        self.timeline.append(&mut result.summary, &numbers, self.tally.names());
        self.input.lines += result.lines;
        self.input.unreadable += result.unreadable;
        let Some(file) = self.input.files.get_mut(file) else { return };
        for (line, text, why) in result.samples {
            if self.input.unreadable_samples.len() < SAMPLES {
                self.input.unreadable_samples.push(Sample {
                    file: file.name.clone(),
                    line: file.lines + line,
                    text,
                    why: why.to_string(),
                });
            }
        }
        file.lines += result.lines;
    }

    fn fail(&mut self, file: usize, why: String) {
        self.failures.push((file, why));
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

/// The number of unreadable lines that are shown.
const SAMPLES: usize = 10;
/// The number of blocks that wait for one before them.
const MOST_WAITING: usize = 8;
/// The number of bytes of an unreadable line that are shown.
const SAMPLE: usize = 200;
