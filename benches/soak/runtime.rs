//! Threads with a runtime of their own: what measures is not to wait for what attacks.

use std::io;

use tokio::runtime::{Builder, LocalOptions};

/// Runs a future, and what it spawns locally, to its end on this thread. What is left then is dropped.
pub(crate) fn run<F: Future>(future: F) -> io::Result<F::Output> {
    let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default())?;
    Ok(runtime.block_on(future))
}

/// Makes the calling thread stand back for others.
pub(crate) fn stand_back(nice: i32) -> io::Result<()> {
    // On Linux niceness belongs to the thread.
    let thread = rustix::thread::gettid();
    Ok(rustix::process::setpriority_process(Some(thread), nice)?)
}
