//! The gateway as a child process: started, told, looked at, ended by its process id.

use std::fs::{self, File, OpenOptions};
use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::process::{Pid, Signal, kill_process};
use serde::Serialize;

use super::scenario::Stderr;
use crate::support::machine;

/// Longer than a start takes on a busy machine.
const START: Duration = Duration::from_secs(10);
const SETTLED: Duration = Duration::from_millis(500);
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// What a TERM is given, which drains; and a second one, which does not.
const STOP: [Duration; 2] = [Duration::from_secs(8), Duration::from_secs(4)];

/// A gateway that runs; dropped, it is ended.
pub(crate) struct Process {
    child: Child,
    /// Never read; dropped where standard error is to fail.
    unread: Option<PipeReader>,
}

/// What is started.
pub(crate) struct Start<'a> {
    /// The gateway.
    pub(crate) binary: &'a Path,
    /// Its configuration.
    pub(crate) config: &'a Path,
    /// Where its standard error goes, if it goes to a file.
    pub(crate) said: &'a Path,
    /// What it listens on.
    pub(crate) addresses: [SocketAddr; 2],
}

/// What the kernel says of the process.
#[derive(Clone, Copy, Default, Serialize)]
pub(crate) struct Reading {
    /// Resident memory in KB.
    pub(crate) resident: u64,
    /// The most that was resident so far, in KB.
    pub(crate) peak: u64,
    /// Open descriptors.
    pub(crate) descriptors: usize,
    /// Threads.
    pub(crate) threads: u64,
    /// Seconds of CPU time so far.
    pub(crate) cpu: f64,
    /// Seconds that its threads were ready to run, and something else had the core.
    pub(crate) waited: f64,
}

impl Process {
    /// Starts the gateway with its standard error as it is to be. One that does not start so is started
    /// with a pipe that can be written to, and that fails or blocks from then on; what happened
    /// first is told, too.
    pub(crate) fn start(
        start: &Start<'_>,
        stderr: Stderr,
    ) -> Result<(Self, Option<String>), String> {
        let attempt = |to: Stdio, unread| {
            let child = child(start, to)
                .map_err(|error| format!("starting {}: {error}", start.binary.display()))?;
            let mut process = Self { child, unread };
            process.listens(start).map(|()| process)
        };
        let fail = |error: io::Error| format!("making a standard error: {error}");
        let (to, unread) = open(stderr, start.said).map_err(fail)?;
        let why = match attempt(to, unread) {
            Ok(process) => return Ok((process, None)),
            Err(why) if stderr == Stderr::File => return Err(why),
            Err(why) => why,
        };
        let (reader, writer) = page().map_err(fail)?;
        let mut process = attempt(writer.into(), Some(reader))?;
        if stderr != Stderr::Blocked {
            // What it says when it has started is not to be what it fails by.
            thread::sleep(SETTLED);
            process.unread = None;
        }
        Ok((process, Some(why)))
    }

    /// Waits until it listens on all of its addresses.
    fn listens(&mut self, start: &Start<'_>) -> Result<(), String> {
        let deadline = Instant::now() + START;
        for &address in &start.addresses {
            while TcpStream::connect(address).is_err() {
                if let Some(status) = self.ended() {
                    return Err(format!("it ended: {status}\n{}", tail(start.said))
                        .trim()
                        .to_owned());
                }
                if Instant::now() > deadline {
                    return Err(format!("nobody listens on {address} after {START:?}"));
                }
                thread::sleep(LOOK_AGAIN);
            }
        }
        Ok(())
    }

    /// How it ended, if it has.
    pub(crate) fn ended(&mut self) -> Option<String> {
        self.child.try_wait().ok().flatten().map(|status| status.to_string())
    }

    /// Sends it a signal.
    pub(crate) fn tell(&self, signal: Signal) {
        // Until it is waited for, its pid is nobody else's.
        let _ = kill_process(Pid::from_child(&self.child), signal);
    }

    /// What the kernel says of it now; `None` when it has ended.
    pub(crate) fn read(&self) -> Option<Reading> {
        let pid = self.child.id();
        let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        let number = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name))?;
            line.trim_start_matches(':').split_whitespace().next()?.parse().ok()
        };
        let cpu = machine::cpu_time(&[pid]).ok()?;
        Some(Reading {
            resident: number("VmRSS")?,
            peak: number("VmHWM")?,
            descriptors: fs::read_dir(format!("/proc/{pid}/fd")).ok()?.count(),
            threads: number("Threads")?,
            cpu: cpu.running as f64 / 1e9,
            waited: cpu.waiting as f64 / 1e9,
        })
    }

    /// Tells it to end, with more force where it does not, and says how that went.
    pub(crate) fn stop(&mut self) -> String {
        let began = Instant::now();
        for (terms, patience) in STOP.into_iter().enumerate() {
            if let Some(status) = self.ended() {
                return format!("before it was told: {status}");
            }
            self.tell(Signal::TERM);
            if let Some(status) = self.wait(patience) {
                let took = began.elapsed().as_secs_f64();
                return format!("{took:.1} s and {} TERM: {status}", terms + 1);
            }
        }
        self.tell(Signal::KILL);
        let _ = self.child.wait();
        format!("deaf to {} TERM, killed", STOP.len())
    }

    fn wait(&mut self, patience: Duration) -> Option<String> {
        let deadline = Instant::now() + patience;
        while Instant::now() < deadline {
            if let Some(status) = self.ended() {
                return Some(status);
            }
            thread::sleep(LOOK_AGAIN);
        }
        None
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.ended().is_none() {
            self.stop();
        }
    }
}

/// Starts it so that the kernel ends it, should this process be killed, where util-linux is installed.
fn child(start: &Start<'_>, stderr: Stdio) -> io::Result<Child> {
    let guarded = Command::new("setpriv").arg("--version").stdout(Stdio::null()).status().is_ok();
    let mut command = if guarded {
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "--"]).arg(start.binary);
        command
    } else {
        Command::new(start.binary)
    };
    command.args(["serve", "--config"]).arg(start.config);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(stderr).spawn()
}

fn open(stderr: Stderr, file: &Path) -> io::Result<(Stdio, Option<PipeReader>)> {
    match stderr {
        Stderr::File => Ok((File::create(file)?.into(), None)),
        Stderr::Full => Ok((OpenOptions::new().write(true).open("/dev/full")?.into(), None)),
        Stderr::Blocked => {
            let (reader, mut writer) = page()?;
            let blocking = fcntl_getfl(&writer)?;
            fcntl_setfl(&writer, blocking | OFlags::NONBLOCK)?;
            while writer.write(b"\n").is_ok() {}
            fcntl_setfl(&writer, blocking)?;
            Ok((writer.into(), Some(reader)))
        }
        Stderr::Closed => Ok((io::pipe()?.1.into(), None)),
    }
}

/// A pipe that holds no more than a page.
fn page() -> io::Result<(PipeReader, PipeWriter)> {
    let (reader, writer) = io::pipe()?;
    rustix::pipe::fcntl_setpipe_size(&writer, 4096)?;
    Ok((reader, writer))
}

/// The end of what it said, for a message.
fn tail(file: &Path) -> String {
    let mut text = String::new();
    let read = File::open(file).and_then(|file| file.take(64 * 1024).read_to_string(&mut text));
    if read.is_err() {
        return String::new();
    }
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(20)..].join("\n")
}
