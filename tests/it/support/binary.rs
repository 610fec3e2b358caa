//! The built program, as an administrator starts it.

use std::{
    fs::File,
    net::{SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use super::{live::Setup, process::becomes_true};

/// `phonebook-gateway serve` in a process of its own, ended by its pid on drop.
#[derive(Debug)]
pub(crate) struct Binary {
    child: Child,
    directory: TempDir,
}

impl Binary {
    /// Starts it with `setup`, its log at access.log beside the configuration.
    pub(crate) fn serve(setup: &Setup) -> Self {
        Self::serve_logging(setup, "access.log")
    }

    /// The same with the log elsewhere.
    pub(crate) fn serve_logging(setup: &Setup, log: &str) -> Self {
        let policies: Vec<(&str, &str)> =
            setup.policies.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
        Self::serve_texts(&setup.main_file(log), &policies)
    }

    /// Starts it with these files.
    pub(crate) fn serve_texts(main: &str, policies: &[(&str, &str)]) -> Self {
        Self::serve_changed(main, policies, |command, _| command)
    }

    /// The same, with this much of diagnostics (`RUST_LOG`).
    pub(crate) fn serve_telling(main: &str, policies: &[(&str, &str)], level: &str) -> Self {
        Self::serve_changed(main, policies, |mut command, _| {
            command.env("RUST_LOG", level);
            command
        })
    }

    /// The same by a command that is changed; its directory is there already.
    pub(crate) fn serve_changed(
        main: &str,
        policies: &[(&str, &str)],
        change: impl FnOnce(Command, &Path) -> Command,
    ) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let config = directory.path().join("gateway.toml");
        std::fs::write(&config, with_state(main)).unwrap();
        std::fs::create_dir(directory.path().join("policies")).unwrap();
        for (name, text) in policies {
            let file = directory.path().join("policies").join(format!("{name}.toml"));
            std::fs::write(file, text).unwrap();
        }
        let file = |name| File::create(directory.path().join(name)).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_phonebook-gateway"));
        command
            .args(["serve", "--config"])
            .arg(&config)
            .env_remove("RUST_LOG")
            .env_remove("RUST_BACKTRACE")
            .env_remove("JOURNAL_STREAM")
            .env_remove("NOTIFY_SOCKET")
            .stdin(Stdio::null())
            .stdout(file("stdout"))
            .stderr(file("stderr"));
        let child = change(command, directory.path()).spawn().unwrap();
        Self { child, directory }
    }

    /// Waits for the ready line; the first address in it.
    pub(crate) fn address(&mut self) -> SocketAddr {
        let mut ready = None;
        becomes_true(|| {
            let stderr = self.stderr();
            ready = stderr
                .lines()
                .find_map(|line| line.split_once("ready: listening on "))
                .and_then(|(_, rest)| rest.split([',', ';']).next()?.parse().ok());
            ready.is_some() || self.child.try_wait().unwrap().is_some()
        });
        ready.unwrap_or_else(|| panic!("not ready: {}", self.stderr()))
    }

    /// Waits until somebody listens at `address`, where nothing says that it is ready.
    pub(crate) fn listens(&mut self, address: SocketAddr) -> bool {
        becomes_true(|| TcpStream::connect(address).is_ok() || !self.runs()) && self.runs()
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        Path::join(self.directory.path(), name)
    }

    pub(crate) fn stderr(&self) -> String {
        std::fs::read_to_string(self.path("stderr")).unwrap()
    }

    pub(crate) fn stdout(&self) -> String {
        std::fs::read_to_string(self.path("stdout")).unwrap()
    }

    pub(crate) fn log(&self, name: &str) -> Vec<String> {
        let text = std::fs::read_to_string(self.path(name)).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Waits for its end.
    pub(crate) fn exit(&mut self) -> ExitStatus {
        let mut status = None;
        becomes_true(|| {
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        status.unwrap_or_else(|| panic!("it does not end: {}", self.stderr()))
    }

    pub(crate) fn runs(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// What it holds of the machine's memory, in bytes.
    pub(crate) fn resident(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        let kilobytes: u64 = line.trim().trim_end_matches(" kB").parse().unwrap();
        kilobytes * 1024
    }
}

/// `main`, and what the gateway remembers beside it unless it says where.
pub(crate) fn with_state(main: &str) -> String {
    if main.contains("state_directory = ") || main.is_empty() {
        return main.to_owned();
    }
    format!("state_directory = \"state\"\n{main}")
}

/// An address of this host that was free just now.
pub(crate) fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// The same, and nobody's connection will come from it: those of other tests come from 127.0.0.1 and its neighbours.
pub(crate) fn address_of_its_own() -> SocketAddr {
    TcpListener::bind("127.7.7.7:0").unwrap().local_addr().unwrap()
}

impl Drop for Binary {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
