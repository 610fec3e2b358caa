//! What the measurement asks of the machine: cores to pin to, CPU time of a process tree, free ports.
//!
//! CPU time is the first field of `/proc/PID/task/*/schedstat`, nanoseconds on a CPU: the same quantity
//! as `utime + stime`, without their 10 ms ticks. The second field is the time that the thread was ready and
//! something else had its core.

use std::fs;
use std::io;
use std::net::{Ipv4Addr, TcpListener};

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// One core for the program under test, one for the load and the upstream.
#[derive(Clone, Copy)]
pub(crate) struct Cores {
    /// Where the programs under test run.
    pub(crate) program: usize,
    /// Where the load generator and the upstream run.
    pub(crate) load: usize,
}

/// The first two cores that this process may use.
pub(crate) fn cores() -> Result<Cores, String> {
    let allowed = sched_getaffinity(None).map_err(|error| format!("reading the cores: {error}"))?;
    let mut usable = (0..CpuSet::MAX_CPU).filter(|&core| allowed.is_set(core));
    match (usable.next(), usable.next()) {
        (Some(program), Some(load)) => Ok(Cores { program, load }),
        _ => Err("two cores are needed: one for the programs, one for the load".to_owned()),
    }
}

/// Binds the calling thread, and whatever it starts from now on, to one core.
pub(crate) fn pin(core: usize) -> Result<(), String> {
    let mut only = CpuSet::new();
    only.set(core);
    sched_setaffinity(None, &only).map_err(|error| format!("pinning to core {core}: {error}"))
}

/// A TCP port that was free a moment ago, found by binding port 0.
pub(crate) fn free_port() -> Result<u16, String> {
    let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .and_then(|listener| listener.local_addr())
        .map_err(|error| format!("looking for a free port: {error}"))?;
    Ok(address.port())
}

/// `root` and all its descendants, by the parents that `/proc` names.
pub(crate) fn process_tree(root: u32) -> Result<Vec<u32>, String> {
    let parents = parents().map_err(|error| format!("reading /proc: {error}"))?;
    let mut tree = vec![root];
    let mut next = 0;
    while let Some(&parent) = tree.get(next) {
        tree.extend(parents.iter().filter(|(_, of)| *of == parent).map(|(pid, _)| *pid));
        next += 1;
    }
    Ok(tree)
}

/// Every process with its parent.
fn parents() -> io::Result<Vec<(u32, u32)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let Ok(pid) = entry?.file_name().to_string_lossy().parse::<u32>() else { continue };
        // A process may end while the directory is read.
        let Ok(stat) = fs::read_to_string(format!("/proc/{pid}/stat")) else { continue };
        // The command's name is in parentheses and may hold blanks; the state and the parent follow it.
        let parent = stat
            .rsplit_once(')')
            .and_then(|(_, rest)| rest.split_whitespace().nth(1))
            .and_then(|parent| parent.parse().ok());
        if let Some(parent) = parent {
            found.push((pid, parent));
        }
    }
    Ok(found)
}

/// Nanoseconds of the threads of some processes.
#[derive(Clone, Copy, Default)]
pub(crate) struct CpuTime {
    /// On a CPU.
    pub(crate) running: u64,
    /// Ready to run, while something else had the core.
    pub(crate) waiting: u64,
}

/// What the threads of these processes have used so far.
pub(crate) fn cpu_time(processes: &[u32]) -> Result<CpuTime, String> {
    let mut total = CpuTime::default();
    for pid in processes {
        add_cpu_of(*pid, &mut total)
            .map_err(|error| format!("CPU time of process {pid}: {error}"))?;
    }
    Ok(total)
}

fn add_cpu_of(pid: u32, total: &mut CpuTime) -> io::Result<()> {
    for task in fs::read_dir(format!("/proc/{pid}/task"))? {
        let text = fs::read_to_string(task?.path().join("schedstat"))?;
        let mut fields = text.split_whitespace().map_while(|field| field.parse::<u64>().ok());
        let (Some(running), Some(waiting)) = (fields.next(), fields.next()) else {
            return Err(io::Error::other("schedstat holds no times"));
        };
        total.running += running;
        total.waiting += waiting;
    }
    Ok(())
}
