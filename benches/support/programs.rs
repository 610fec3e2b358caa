//! Starts the programs under test, and ends them by their process ids.

use std::fs::{self, File};
use std::io::Read;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::arguments::{Arguments, Name};
use super::configs::{self, Place};
use super::machine;

const START: Duration = Duration::from_secs(10);
const STOP: Duration = Duration::from_secs(5);
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// A program that is running; dropped, it is ended.
pub(crate) struct Running {
    /// Which one.
    pub(crate) name: Name,
    /// Where it listens.
    pub(crate) address: SocketAddr,
    /// What it calls its version.
    pub(crate) version: String,
    /// Its processes, once it listens.
    pub(crate) processes: Vec<u32>,
    child: Child,
}

/// The binary of a program; `None` if this machine has none.
pub(crate) fn find(name: Name, arguments: &Arguments) -> Option<PathBuf> {
    let own = match name {
        Name::Gateway => Some(Some(&arguments.gateway)),
        Name::Before => Some(arguments.before.as_ref()),
        Name::Nginx | Name::Haproxy => None,
    };
    if let Some(own) = own {
        return own.filter(|file| file.is_file()).cloned();
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        // Debian keeps both where an ordinary user's PATH does not look.
        .chain(["/usr/sbin", "/usr/local/sbin"].map(PathBuf::from))
        .map(|directory| directory.join(name.word()))
        .find(|file| file.is_file())
}

/// Writes a program's configuration below `scratch`, starts it on the calling thread's core, and waits until it listens.
pub(crate) fn start(
    name: Name,
    binary: &Path,
    upstream: SocketAddr,
    scratch: &Path,
) -> Result<Running, String> {
    let directory = scratch.join(name.word());
    let fail = |error| format!("starting {}: {error}", binary.display());
    fs::create_dir(&directory).map_err(fail)?;
    let place = Place { port: machine::free_port()?, upstream, directory: &directory };
    let arguments = configure(name, &place).map_err(fail)?;
    let output = directory.join("output.log");
    let log = File::create(&output).map_err(fail)?;
    let errors = directory.join("errors.log");
    let child = Command::new(binary)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(log)
        .stderr(File::create(&errors).map_err(fail)?)
        .spawn()
        .map_err(fail)?;
    let mut running = Running {
        name,
        address: SocketAddr::from((Ipv4Addr::LOCALHOST, place.port)),
        version: version(name, binary),
        processes: Vec::new(),
        child,
    };
    running
        .wait_until_it_listens()
        .map_err(|why| format!("{} {why}\n{}{}", binary.display(), tail(&output), tail(&errors)))?;
    running.processes = machine::process_tree(running.child.id())?;
    Ok(running)
}

/// Writes the files and gives the command line.
fn configure(name: Name, place: &Place<'_>) -> std::io::Result<Vec<String>> {
    let at = |file: &str| place.directory.join(file);
    let shown = |file: &str| at(file).display().to_string();
    match name {
        Name::Nginx => {
            fs::write(at("nginx.conf"), configs::nginx(place))?;
            // The log of what goes wrong before the configuration is read.
            let early = shown("error.log");
            Ok(vec!["-c".to_owned(), shown("nginx.conf"), "-e".to_owned(), early])
        }
        Name::Haproxy => {
            fs::write(at("haproxy.cfg"), configs::haproxy(place))?;
            fs::write(at("allow.lst"), configs::haproxy_addresses())?;
            Ok(vec!["-db".to_owned(), "-f".to_owned(), shown("haproxy.cfg")])
        }
        Name::Gateway | Name::Before => {
            fs::create_dir(at("policies"))?;
            fs::create_dir(at("state"))?;
            for (file, text) in configs::gateway_policies() {
                fs::write(at("policies").join(file), text)?;
            }
            fs::write(at("gateway.toml"), configs::gateway(place))?;
            Ok(vec!["serve".to_owned(), "--config".to_owned(), shown("gateway.toml")])
        }
    }
}

/// The first line of what the program says about itself.
fn version(name: Name, binary: &Path) -> String {
    let flag = match name {
        Name::Gateway | Name::Before => "--version",
        Name::Nginx | Name::Haproxy => "-v",
    };
    let Ok(output) = Command::new(binary).arg(flag).stdin(Stdio::null()).output() else {
        return String::new();
    };
    // nginx says it on standard error.
    let said = [output.stdout, output.stderr].concat();
    String::from_utf8_lossy(&said).lines().next().unwrap_or_default().trim().to_owned()
}

/// The end of a log, for a message about a program that does not start.
fn tail(file: &Path) -> String {
    let mut text = String::new();
    let read = File::open(file).and_then(|file| file.take(64 * 1024).read_to_string(&mut text));
    if read.is_err() {
        return String::new();
    }
    let lines: Vec<&str> = text.lines().collect();
    let from = lines.len().saturating_sub(20);
    lines[from..].iter().map(|line| format!("  | {line}\n")).collect()
}

impl Running {
    fn wait_until_it_listens(&mut self) -> Result<(), String> {
        let deadline = Instant::now() + START;
        while TcpStream::connect(self.address).is_err() {
            if let Ok(Some(status)) = self.child.try_wait() {
                return Err(format!("ended before it listened: {status}"));
            }
            if Instant::now() > deadline {
                return Err(format!("does not listen on {} after {START:?}", self.address));
            }
            thread::sleep(LOOK_AGAIN);
        }
        Ok(())
    }

    /// Fails if the program has ended or its processes are no longer those that are measured.
    pub(crate) fn still_the_same(&mut self) -> Result<(), String> {
        if let Ok(Some(status)) = self.child.try_wait() {
            return Err(format!("{} ended: {status}", self.name.word()));
        }
        if machine::process_tree(self.child.id())? != self.processes {
            return Err(format!("{} has other processes than before", self.name.word()));
        }
        Ok(())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(Some(_))) {
            return;
        }
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        // A second TERM tells the gateway to end now; nginx and HAProxy end at the first.
        for _ in 0..2 {
            if let Some(pid) = pid {
                let _ = kill_process(pid, Signal::TERM);
            }
            let deadline = Instant::now() + STOP;
            while Instant::now() < deadline {
                if matches!(self.child.try_wait(), Ok(Some(_))) {
                    return;
                }
                thread::sleep(LOOK_AGAIN);
            }
        }
        // The parent was not waited for, so its pid and its children's parents are still what they were.
        for process in machine::process_tree(self.child.id()).unwrap_or_default() {
            if let Some(pid) = i32::try_from(process).ok().and_then(Pid::from_raw) {
                let _ = kill_process(pid, Signal::KILL);
            }
        }
        let _ = self.child.wait();
    }
}
