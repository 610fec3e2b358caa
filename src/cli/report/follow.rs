//! `report --follow`: the report is shown again as the files grow, over rotations, as `tail -F` does.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, IsTerminal, Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::{Context, Options, screen};
use crate::cli::usage::Misuse;
use crate::cli::{Exit, print, print_error};
use crate::report::LocalTime;
use crate::report::build::Material;
use crate::report::count::tally::ThingHasher;
use crate::report::count::{Ledger, Worker};
use crate::report::read::input::{Source, lines, unfinished};
use crate::report::summary::{Input, Totals};
use crate::report::terminal::{self, Recent};

/// Runs until it is interrupted.
pub(super) fn run(options: &Options, context: &Context) -> Exit {
    if !io::stdout().is_terminal() {
        let what = "--follow needs a terminal to show the report in; leave it out to print it once";
        return Misuse::new("report", what).report();
    }
    let mut worker = Worker::new(&context.formats, ThingHasher::default(), &context.selection);
    let mut ledger = Ledger::new();
    let mut files: Vec<Followed> = Vec::new();
    for source in &context.sources {
        let Source::File(path) = source else { continue };
        match Followed::open(path.clone()) {
            Ok(file) => files.push(file),
            Err(error) => {
                print_error(&format!("cannot read {}: {error}", path.display()));
                return Exit::Failed;
            }
        }
        ledger.add_file(source.name(), 0);
    }
    let mut past = VecDeque::new();
    loop {
        for (number, file) in files.iter_mut().enumerate() {
            let read = file.read(|block, format| {
                let format = *format.get_or_insert_with(|| context.formats.detect(lines(block)).0);
                ledger.append(number, worker.count(block, format));
            });
            if let Err(error) = read {
                print_error(&format!("cannot read {}: {error}", file.path.display()));
                return Exit::Failed;
            }
        }
        let exit = redraw(options, context, &ledger, &mut past);
        if exit != Exit::Ok {
            return exit;
        }
        std::thread::sleep(EVERY);
    }
}

/// Shows what is known by now, from the terminal's first line on.
fn redraw(
    options: &Options,
    context: &Context,
    ledger: &Ledger,
    past: &mut VecDeque<(Instant, Totals)>,
) -> Exit {
    let mut timeline = ledger.timeline.clone();
    timeline.finish();
    let now = jiff::Timestamp::now().as_second();
    let material = Material {
        tally: &ledger.tally,
        timeline: &timeline,
        selection: &context.selection,
        config: context.config.as_ref(),
        host: context.host.as_deref(),
        now: LocalTime { unix: now, ..context.now },
    };
    let report = material.report(Input {
        configuration: context.configuration(),
        notes: context.notes.clone(),
        ..ledger.input(&context.formats)
    });
    if past.is_empty()
        && let Some(misuse) = context.misspelt_peer(&report)
    {
        return misuse.report();
    }
    let size = rustix::termios::tcgetwinsize(io::stdout());
    let height = size.map_or(24, |size| usize::from(size.ws_row)).max(10);
    let recent = recent(past, &report.totals);
    let text = terminal::live(&report, recent, &screen(options.plain), height - 1);
    // To the upper left corner; each line and what is below is cleared, so that nothing flickers.
    print(&format!("\x1b[H{}\x1b[J", text.replace('\n', "\x1b[K\n")))
}

/// What has come since the oldest of the totals of the last minute, to which these are added.
fn recent(past: &mut VecDeque<(Instant, Totals)>, totals: &Totals) -> Recent {
    let now = Instant::now();
    past.push_back((now, totals.clone()));
    while past.len() > 2 && past.get(1).is_some_and(|(then, _)| now - *then >= RECENT) {
        past.pop_front();
    }
    let Some((then, before)) = past.front() else { return Recent::default() };
    Recent {
        seconds: (now - *then).as_secs(),
        requests: totals.requests - before.requests,
        refused: totals.refused - before.refused,
        failed: totals.failed - before.failed,
    }
}

/// A file that grows, is truncated, and is replaced.
struct Followed {
    path: PathBuf,
    file: File,
    position: u64,
    /// A line whose end has not come yet.
    held: Vec<u8>,
    format: Option<usize>,
}

impl Followed {
    fn open(path: PathBuf) -> io::Result<Self> {
        let file = File::open(&path)?;
        Ok(Self { path, file, position: 0, held: Vec::new(), format: None })
    }

    /// Shows whatever whole lines have come to `see`.
    fn read(&mut self, mut see: impl FnMut(&[u8], &mut Option<usize>)) -> io::Result<()> {
        loop {
            if self.file.metadata()?.len() < self.position {
                self.file.seek(SeekFrom::Start(0))?;
                self.begin();
            }
            self.read_on(&mut see)?;
            // Another file of this name: the old one was read to its end.
            let Ok(named) = self.path.metadata() else { return Ok(()) };
            let open = self.file.metadata()?;
            if (named.dev(), named.ino()) == (open.dev(), open.ino()) {
                return Ok(());
            }
            let Ok(file) = File::open(&self.path) else { return Ok(()) };
            self.file = file;
            self.begin();
        }
    }

    fn read_on(&mut self, see: &mut impl FnMut(&[u8], &mut Option<usize>)) -> io::Result<()> {
        loop {
            let before = self.held.len();
            let count = (&self.file).take(BLOCK).read_to_end(&mut self.held)?;
            if count == 0 {
                return Ok(());
            }
            self.position += count as u64;
            if let Some(end) = memchr::memrchr(b'\n', &self.held[before..]) {
                let end = before + end + 1;
                let end = unfinished(&self.held[..end]).unwrap_or(end);
                let rest = self.held.split_off(end);
                see(&self.held, &mut self.format);
                self.held = rest;
            }
        }
    }

    fn begin(&mut self) {
        self.position = 0;
        self.held.clear();
    }
}

/// How far "lately" goes back.
const RECENT: Duration = Duration::from_secs(60);
/// Between two looks at the files.
const EVERY: Duration = Duration::from_secs(1);
/// So much is read at once.
const BLOCK: u64 = 4 << 20;

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write;

    use super::*;

    fn seen(file: &mut Followed) -> String {
        let mut text = String::new();
        file.read(|block, _| text.push_str(std::str::from_utf8(block).unwrap())).unwrap();
        text
    }

    #[test]
    fn a_file_is_followed_over_growth_truncation_and_rotation() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.log");
        fs::write(&path, "one\ntw").unwrap();
        let mut file = Followed::open(path.clone()).unwrap();
        let append = |text: &str| {
            let mut file = fs::OpenOptions::new().append(true).create(true).open(&path).unwrap();
            file.write_all(text.as_bytes()).unwrap();
        };
        assert_eq!(seen(&mut file), "one\n");
        append("o\nthree\n");
        assert_eq!(seen(&mut file), "two\nthree\n");
        assert_eq!(seen(&mut file), "");
        fs::write(&path, "four\n").unwrap();
        assert_eq!(seen(&mut file), "four\n");
        append("five\n");
        fs::rename(&path, directory.path().join("a.log.1")).unwrap();
        assert_eq!(seen(&mut file), "five\n");
        append("six\n");
        assert_eq!(seen(&mut file), "six\n");
    }
}
