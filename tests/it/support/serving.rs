//! The gateway as its administrator runs it: `phonebook-gateway serve` on files in a temporary directory.

use std::{
    fs::{self, File},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Stdio,
};

use tempfile::TempDir;

use super::{
    binary::with_state,
    process::{Process, becomes_true},
};

/// A gateway that is ready, or one that ended before it was.
#[derive(Debug)]
pub(crate) struct Serving {
    process: Process,
    addresses: Vec<SocketAddr>,
    // Dropped after the process that writes in it.
    directory: TempDir,
}

/// A gateway that did not start: its exit code, and what it said.
#[derive(Debug)]
pub(crate) struct NotStarted {
    pub(crate) code: Option<i32>,
    pub(crate) said: String,
}

/// A configuration that listens on a free port, writes `access.log` beside itself, and asks this XiVO over loopback.
///
/// It waits for XiVO longer than in earnest: what is tested must not depend on how busy this machine is. `upstream` is more
/// of that section.
pub(crate) fn config(url: &str, upstream: &str) -> String {
    format!(
        "state_directory = \"state\"\n[[listen]]\naddress = \"127.0.0.1:0\"\n\
         [[access_log]]\npath = \"access.log\"\nflush = \"10ms\"\nmax_field = 0\n\
         [upstream]\nurl = \"{url}\"\nconnect_timeout = \"5s\"\ntimeout = \"20s\"\n{upstream}\n"
    )
}

/// `config` for a XiVO on a loopback address that is asked from there.
pub(crate) fn loopback_config(xivo: SocketAddr) -> String {
    config(&format!("http://{xivo}"), "host = \"localhost\"\ndanger_loopback_source = true")
}

impl Serving {
    /// Starts a gateway with this main file and these policies (name without `.toml`, text), and waits until it says that
    /// it is ready.
    pub(crate) fn start(main: &str, policies: &[(&str, &str)]) -> Result<Self, NotStarted> {
        let directory =
            tempfile::Builder::new().prefix("phonebook-gateway-test-").tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        fs::write(path("gateway.toml"), with_state(main)).unwrap();
        fs::create_dir(path("policies")).unwrap();
        for (name, text) in policies {
            fs::write(path(&format!("policies/{name}.toml")), text).unwrap();
        }
        let stderr = Stdio::from(File::create(path("stderr")).unwrap());
        let config = path("gateway.toml");
        let arguments = ["serve", "--config", config.to_str().unwrap()];
        let program = Path::new(env!("CARGO_BIN_EXE_phonebook-gateway"));
        let mut process = Process::start_telling(program, &arguments, stderr);
        let said = || String::from_utf8_lossy(&fs::read(path("stderr")).unwrap()).into_owned();
        let mut ended = None;
        let settled = becomes_true(|| {
            ended = process.ended();
            ended.is_some() || said().contains("ready: listening on ")
        });
        assert!(settled, "neither ready nor ended:\n{}", said());
        if let Some(status) = ended {
            return Err(NotStarted { code: status.code(), said: said() });
        }
        let addresses = listed(&said());
        Ok(Self { process, addresses, directory })
    }

    /// Where it listens: the first address.
    pub(crate) fn addr(&self) -> SocketAddr {
        self.addresses[0]
    }

    /// All addresses, in the configuration's order.
    pub(crate) fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// The URL of the path under the gateway's address.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.addr())
    }

    /// What it has told its administrator so far.
    pub(crate) fn said(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.file("stderr")).unwrap()).into_owned()
    }

    /// Waits until it has told this.
    pub(crate) fn says(&self, text: &str) -> bool {
        becomes_true(|| self.said().contains(text))
    }

    /// The access log once it has this many lines.
    pub(crate) fn access_log_of(&self, lines: usize) -> String {
        let mut log = String::new();
        let complete = becomes_true(|| {
            log = fs::read_to_string(self.file("access.log")).unwrap();
            log.lines().count() >= lines
        });
        assert!(complete, "{lines} lines awaited, the log has:\n{log}");
        log
    }

    /// Tells it to end, waits for that, and returns its exit code.
    pub(crate) fn end(&mut self) -> Option<i32> {
        self.process.signal(rustix::process::Signal::TERM);
        let mut status = None;
        assert!(becomes_true(|| {
            status = self.process.ended();
            status.is_some()
        }));
        status.unwrap().code()
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, signal: rustix::process::Signal) {
        self.process.signal(signal);
    }

    /// Its process.
    pub(crate) fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// A file beside its configuration.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }
}

/// The addresses of the line `ready: listening on A, B; …`.
fn listed(said: &str) -> Vec<SocketAddr> {
    let (_, rest) = said.split_once("ready: listening on ").unwrap();
    let (addresses, _) = rest.split_once(';').unwrap();
    addresses.split(", ").map(|address| address.parse().unwrap()).collect()
}
