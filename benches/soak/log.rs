//! The access log: rotated as logrotate does it, counted, and removed, so that a flood fills no disk.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde::Serialize;

use super::process::Process;
use super::runtime;

const EACH: Duration = Duration::from_secs(5);

/// The access log of a gateway that runs.
pub(crate) struct AccessLog {
    path: PathBuf,
    /// What was renamed last, and is perhaps still written to.
    renamed: Option<PathBuf>,
    rotated: Instant,
    seen: Rotations,
    count: mpsc::Sender<PathBuf>,
    counter: JoinHandle<Lines>,
}

/// How the log was rotated.
#[derive(Clone, Copy, Default, Serialize)]
pub(crate) struct Rotations {
    /// How often the gateway was told to open it anew (USR1).
    pub(crate) asked: u32,
    /// It did not, and was not told again.
    pub(crate) unanswered: bool,
}

/// What stands in the log.
#[derive(Default, Serialize, Debug)]
pub(crate) struct Lines {
    /// Lines.
    pub(crate) all: u64,
    /// Lines by their user, which is the peer.
    pub(crate) by_peer: BTreeMap<String, u64>,
    /// Lines that do not begin as they should, or have no end.
    pub(crate) torn: u64,
}

impl AccessLog {
    /// The log at `path`, which the gateway has opened.
    pub(crate) fn new(path: PathBuf, nice: i32) -> Result<Self, String> {
        let (count, counted) = mpsc::channel::<PathBuf>();
        let work = move || {
            let _ = runtime::stand_back(nice);
            let mut lines = Lines::default();
            for file in counted {
                // A file that cannot be read shows as missing lines.
                let _ = File::open(&file).and_then(|file| lines.count(BufReader::new(file)));
                let _ = fs::remove_file(&file);
            }
            lines
        };
        let counter = thread::Builder::new()
            .name("log".to_owned())
            .spawn(work)
            .map_err(|error| format!("starting the log's reader: {error}"))?;
        let (rotated, seen) = (Instant::now(), Rotations::default());
        Ok(Self { path, renamed: None, rotated, seen, count, counter })
    }

    /// Rotates it if it is time to.
    pub(crate) fn look(&mut self, gateway: &Process) {
        if self.rotated.elapsed() < EACH || self.seen.unanswered {
            return;
        }
        self.rotated = Instant::now();
        if let Some(renamed) = self.renamed.take() {
            if !self.path.exists() {
                // It still writes to the former file, which gets its name back.
                let _ = fs::rename(&renamed, &self.path);
                self.seen.unanswered = true;
                return;
            }
            let _ = self.count.send(renamed);
        }
        let renamed = self.path.with_extension(format!("log.{}", self.seen.asked));
        if fs::rename(&self.path, &renamed).is_ok() {
            gateway.tell(Signal::USR1);
            self.seen.asked += 1;
            self.renamed = Some(renamed);
        }
    }

    /// Bytes that it takes on the disk now.
    pub(crate) fn size(&self) -> u64 {
        let size = |path: &Path| path.metadata().map_or(0, |file| file.len());
        size(&self.path) + self.renamed.as_deref().map_or(0, size)
    }

    /// Counts what is left, once the gateway has ended.
    pub(crate) fn finish(self) -> (Lines, Rotations) {
        for file in self.renamed.into_iter().chain([self.path]) {
            let _ = self.count.send(file);
        }
        drop(self.count);
        (self.counter.join().unwrap_or_default(), self.seen)
    }
}

impl Lines {
    /// Counts the lines of a log in nginx's `combined`.
    pub(crate) fn count(&mut self, mut log: impl BufRead) -> io::Result<()> {
        let mut line = Vec::new();
        loop {
            line.clear();
            if log.read_until(b'\n', &mut line)? == 0 {
                return Ok(());
            }
            self.all += 1;
            match peer(&line) {
                None => self.torn += 1,
                Some(peer) => match self.by_peer.get_mut(peer) {
                    Some(lines) => *lines += 1,
                    None => drop(self.by_peer.insert(peer.to_owned(), 1)),
                },
            }
        }
    }
}

/// The third field of a line that begins with a loopback address and ends as it should.
fn peer(line: &[u8]) -> Option<&str> {
    line.strip_suffix(b"\"\n")?;
    let mut fields = line.strip_prefix(b"127.")?.splitn(4, |&byte| byte == b' ').skip(2);
    std::str::from_utf8(fields.next()?).ok()
}
