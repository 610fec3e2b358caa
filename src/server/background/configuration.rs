//! Keeps an eye on the configuration's files: says whether what runs is what is on disk, and takes it over where
//! somebody asks for that, or `[reload] watch` does.
//!
//! The files are looked at every few seconds, and where they are watched also when the kernel tells of a change.
//! What counts is how they are found then, and not what was told: so renames, links that lead elsewhere and
//! editors' temporary files need no rules of their own.

use std::collections::BTreeSet;
use std::ffi::CStr;
use std::fs;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, Weak};
use std::time::{Duration, Instant};

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::fs::inotify;

use crate::config::{Config, DiskStamps, changes};
use crate::server::reload::{BY_WATCH, Finding, lock};
use crate::server::{DiffersBecause, Inner, StartError};
use crate::supervision::{Ending, waits, works};

/// Wakes the thread, and says what for.
#[derive(Debug)]
pub(in crate::server) struct Bell {
    wanted: Mutex<Wanted>,
    eventfd: OwnedFd,
}

#[derive(Debug, Default)]
struct Wanted {
    reload: Option<&'static str>,
    end: bool,
}

impl Bell {
    /// One that nobody has rung.
    pub(in crate::server) fn new() -> io::Result<Self> {
        let eventfd = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        Ok(Self { wanted: Mutex::default(), eventfd })
    }

    /// The files are to be taken over. Several wishes that come together are one.
    pub(in crate::server) fn ring_for_reload(&self, by: &'static str) {
        lock(&self.wanted).reload = Some(by);
        self.ring();
    }

    /// The thread is to end.
    pub(in crate::server) fn ring_for_end(&self) {
        lock(&self.wanted).end = true;
        self.ring();
    }

    fn ring(&self) {
        // It can only be full, and then it rings.
        let _ = rustix::io::write(&self.eventfd, &1_u64.to_ne_bytes());
    }

    fn take(&self) -> Wanted {
        let _ = rustix::io::read(&self.eventfd, &mut [0_u8; 8]);
        std::mem::take(&mut *lock(&self.wanted))
    }
}

/// Starts the thread.
pub(in crate::server) fn start_configuration(inner: &Arc<Inner>) -> Result<(), StartError> {
    let (bell, weak) = (Arc::clone(&inner.bell), Arc::downgrade(inner));
    let seen = inner.shared.snapshot().config.stamps.clone();
    let compared = Arc::downgrade(&inner.shared.snapshot().config);
    let mut watch =
        ConfigurationWatch { bell, inner: weak, seen, compared, watching: None, failed: None };
    inner
        .supervisor
        .spawn(THREAD, move || watch.run())
        .map(drop)
        .map_err(StartError::thread(THREAD))
}

struct ConfigurationWatch {
    bell: Arc<Bell>,
    /// The gateway may end without having told so.
    inner: Weak<Inner>,
    /// The files as they were looked at last; `None` for a configuration that is in no file.
    seen: Option<DiskStamps>,
    /// What ran then.
    compared: Weak<Config>,
    watching: Option<Watching>,
    /// When files that are watched were last found unusable: what they name may be corrected, and they not.
    failed: Option<Instant>,
}

impl ConfigurationWatch {
    fn run(&mut self) -> Ending {
        loop {
            let Some(inner) = self.inner.upgrade() else { return Ending::Expected };
            let fresh = self.follow(&inner);
            drop(inner);
            // Nobody has told of what changed before the watch began.
            let changed = self.wait(if fresh { Duration::ZERO } else { LOOK });
            let wanted = self.bell.take();
            if wanted.end {
                return Ending::Expected;
            }
            if changed && wanted.reload.is_none() {
                self.settle();
            }
            let Some(inner) = self.inner.upgrade() else { return Ending::Expected };
            match wanted.reload {
                Some(by) => self.reload(&inner, by),
                None => self.look(&inner),
            }
        }
    }

    /// Watches what the running configuration wants to be watched; says whether a watch has begun.
    fn follow(&mut self, inner: &Inner) -> bool {
        let config = &inner.shared.snapshot().config;
        if !config.reload.watch || self.seen.is_none() {
            self.watching = None;
            return false;
        }
        let directories = directories(config);
        let watches =
            self.watching.as_ref().is_some_and(|it| it.directories == directories && !it.stale);
        if watches {
            return false;
        }
        let told = self.watching.as_ref().is_some_and(|watching| watching.inotify.is_none());
        let watching = Watching::of(directories, config);
        if let (None, false) = (&watching.inotify, told) {
            tracing::warn!(
                "the kernel tells of no change of the configuration's files ({}); they are looked at every \
                 {} s instead",
                watching.why,
                LOOK.as_secs()
            );
        }
        self.watching = Some(watching);
        true
    }

    /// Waits for the bell, or for what the kernel tells; says whether it told of one of the files.
    fn wait(&mut self, timeout: Duration) -> bool {
        let inotify = self.watching.as_ref().and_then(|watching| watching.inotify.as_ref());
        let mut fds = vec![PollFd::new(&self.bell.eventfd, PollFlags::IN)];
        fds.extend(inotify.map(|inotify| PollFd::new(inotify, PollFlags::IN)));
        let timeout = Timespec::try_from(timeout).ok();
        waits();
        // Interrupted or not, what there is is looked at.
        let _ = poll(&mut fds, timeout.as_ref());
        works();
        drop(fds);
        self.watching.as_mut().is_some_and(Watching::take)
    }

    /// Waits until nothing more changes for a moment: files are seldom written in one go, nor one alone.
    fn settle(&mut self) {
        let until = Instant::now() + MOST_SETTLING;
        while Instant::now() < until && self.wait(SETTLING) {}
    }

    fn reload(&mut self, inner: &Inner, by: &'static str) {
        let config = Arc::clone(&inner.shared.snapshot().config);
        let stamps = self.seen.as_ref().map(|_| DiskStamps::of(&config));
        self.failed = inner.reload(by).is_err().then(Instant::now);
        self.seen = stamps;
        self.compared = Arc::downgrade(&inner.shared.snapshot().config);
    }

    /// Looks whether the files are others than when they were looked at last, or something else runs.
    fn look(&mut self, inner: &Inner) {
        // What a reload has read a moment ago is not what is compared with what it replaces.
        let alone = inner.one_at_a_time();
        let config = Arc::clone(&inner.shared.snapshot().config);
        let Some(seen) = &self.seen else { return };
        let stamps = DiskStamps::of(&config);
        let runs_on = std::ptr::eq(self.compared.as_ptr(), Arc::as_ptr(&config));
        if !runs_on {
            self.failed = None;
        }
        let again = self.failed.is_some_and(|failed| failed.elapsed() >= AGAIN);
        let changed = *seen != stamps;
        if config.reload.watch && (changed || again) {
            drop(alone);
            return self.reload(inner, BY_WATCH);
        }
        if !changed && runs_on {
            return;
        }
        let known = lock(&inner.refused).as_ref() == Some(&stamps);
        self.seen = Some(stamps);
        self.compared = Arc::downgrade(&config);
        if !known {
            compare(inner, &config);
        }
    }
}

/// Notes whether what is on disk is what runs, which does not change meanwhile.
fn compare(inner: &Inner, running: &Arc<Config>) {
    let rolled_back = |inner: &Inner| {
        let difference = inner.difference();
        difference.is_some_and(|it| matches!(it.why, DiffersBecause::RolledBack { .. }))
    };
    let (difference, newer) = match Config::load(&running.file) {
        Ok((config, _)) if config.revision == running.revision && running.is_as_written() => {
            (None, None)
        }
        Ok((config, _)) => {
            let (revision, changes) = (config.revision.clone(), changes(running, &config));
            (Some(DiffersBecause::NotLoaded { revision, changes }), Some(config))
        }
        Err(problems) => {
            let findings = problems.iter().map(Finding::from).collect();
            (Some(DiffersBecause::Broken { findings }), None)
        }
    };
    inner.shared.set_newer(newer);
    if difference.is_none() || !rolled_back(inner) {
        inner.set_difference(difference);
    }
}

/// The directories whose entries decide what is read.
fn directories(config: &Config) -> BTreeSet<PathBuf> {
    let mut directories = BTreeSet::new();
    let parent = |path: &Path| match path.parent() {
        Some(parent) if parent.as_os_str().is_empty() => PathBuf::from("."),
        Some(parent) => parent.to_owned(),
        None => path.to_owned(),
    };
    // By its own name: where a link leads elsewhere, it is another one.
    let real = |path: PathBuf| fs::canonicalize(&path).unwrap_or(path);
    let mut add_file = |file: &Path| {
        directories.insert(real(parent(file)));
        if let Ok(file) = fs::canonicalize(file) {
            directories.insert(parent(&file));
        }
    };
    add_file(&config.file);
    // The directory may be a link itself.
    add_file(&config.policies_directory);
    for source in &config.sources.policies {
        add_file(&source.file);
    }
    directories.insert(real(config.policies_directory.clone()));
    directories
}

/// What the kernel was asked to tell of.
struct Watching {
    directories: BTreeSet<PathBuf>,
    inotify: Option<OwnedFd>,
    /// Why there is none.
    why: String,
    /// The names that matter in directories that hold others, too.
    names: BTreeSet<Vec<u8>>,
    /// A directory was renamed or removed: another may be there now.
    stale: bool,
}

impl Watching {
    fn of(directories: BTreeSet<PathBuf>, config: &Config) -> Self {
        let name = |path: &Path| path.file_name().map(|name| name.as_bytes().to_vec());
        let mut names: BTreeSet<Vec<u8>> =
            name(&config.file).into_iter().chain(name(&config.policies_directory)).collect();
        names.extend(fs::canonicalize(&config.file).ok().as_deref().and_then(name));
        let watch = || -> io::Result<OwnedFd> {
            let flags = inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK;
            let inotify = inotify::init(flags)?;
            for directory in &directories {
                inotify::add_watch(&inotify, directory, wanted())?;
            }
            Ok(inotify)
        };
        let (inotify, why) = match watch() {
            Ok(inotify) => (Some(inotify), String::new()),
            Err(error) => (None, error.to_string()),
        };
        Self { directories, inotify, why, names, stale: false }
    }

    /// Takes what the kernel has told; says whether it may concern the configuration.
    fn take(&mut self) -> bool {
        let Some(inotify) = &self.inotify else { return false };
        let mut buffer = [MaybeUninit::uninit(); 4096];
        let mut reader = inotify::Reader::new(inotify, &mut buffer);
        let mut concerned = false;
        while let Ok(event) = reader.next() {
            let name = event.file_name().map(CStr::to_bytes);
            // Of a directory itself, or too many to be told.
            self.stale |= name.is_none();
            concerned |= name.is_none_or(|name| concerns(name, &self.names));
        }
        concerned
    }
}

/// Whether an entry of this name may decide what is read.
fn concerns(name: &[u8], names: &BTreeSet<Vec<u8>>) -> bool {
    // `..data` is the link by which Kubernetes replaces a whole directory.
    names.contains(name) || name.ends_with(b".toml") || name.starts_with(b"..")
}

fn wanted() -> inotify::WatchFlags {
    use inotify::WatchFlags as F;
    F::CREATE
        | F::CLOSE_WRITE
        | F::MOVED_FROM
        | F::MOVED_TO
        | F::DELETE
        | F::ATTRIB
        | F::DELETE_SELF
        | F::MOVE_SELF
        | F::ONLYDIR
}

/// The thread's name.
const THREAD: &str = "configuration";

/// How often the files are looked at.
const LOOK: Duration = Duration::from_secs(2);

/// How long nothing has to change before files that are watched are taken over, and how long that is waited for.
const SETTLING: Duration = Duration::from_millis(100);
const MOST_SETTLING: Duration = Duration::from_millis(500);

/// When files that are watched and could not be taken over are tried again, though they have not changed.
const AGAIN: Duration = Duration::from_secs(10);
