//! Child processes that end with the test: by their pid, and all of them also when the test process is killed.

use std::{
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};

/// How long a condition may take before a test fails. Generous: it bounds hangs and measures nothing.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// After this long a program that should end is told so again.
const TOLD_AGAIN: Duration = Duration::from_millis(200);

/// A program that is told to end (TERM, so that it ends its own children) and waited for on drop.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
}

impl Process {
    /// Starts it; should the thread that called this die without dropping it, the kernel ends the program.
    pub(crate) fn start(program: &Path, arguments: &[&str]) -> Self {
        Self::start_telling(program, arguments, Stdio::null())
    }

    /// The same, with its standard error to this place.
    pub(crate) fn start_telling(program: &Path, arguments: &[&str], stderr: Stdio) -> Self {
        let child = Command::new("setpriv")
            .args(["--pdeathsig", "TERM", "--"])
            .arg(program)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(stderr)
            .spawn()
            .unwrap();
        Self { child }
    }

    /// How it ended, if it has.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().unwrap()
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        // It may have ended by itself; its pid is still ours until it is waited for.
        let _ = kill_process(Pid::from_child(&self.child), signal);
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Told again from time to time: nginx does not see a signal that comes just before it begins to wait for events.
        let mut told: Option<Instant> = None;
        let gone = becomes_true(|| {
            let ended = self.ended().is_some();
            if !ended && told.is_none_or(|at| at.elapsed() > TOLD_AGAIN) {
                self.signal(Signal::TERM);
                told = Some(Instant::now());
            }
            ended
        });
        if !gone {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// Waits for a condition, at most [`PATIENCE`].
pub(crate) fn becomes_true(mut condition: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        if Instant::now() > deadline {
            return false;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    true
}
