//! The gateway in this process on files that a test changes, as an administrator does.

use std::{fs, net::SocketAddr, path::PathBuf, time::Duration};

use phonebook_gateway::{
    config::Config,
    server::{ReloadFault, ReloadReport, Server},
};
use tempfile::TempDir;

use super::{live::Setup, process::becomes_true, raw::Client};

/// A gateway that runs, and its files.
#[derive(Debug)]
pub(crate) struct OnDisk {
    server: Option<Server>,
    // Dropped after the server that looks into it.
    directory: TempDir,
}

impl OnDisk {
    /// Starts it with what `setup` says, its log in access.log beside its files.
    pub(crate) fn start(setup: &Setup) -> Self {
        let disk = Self::written(setup);
        disk.started()
    }

    /// Writes the files alone.
    pub(crate) fn written(setup: &Setup) -> Self {
        let directory =
            tempfile::Builder::new().prefix("phonebook-gateway-test-").tempdir().unwrap();
        let disk = Self { server: None, directory };
        fs::create_dir(disk.path("policies")).unwrap();
        disk.write("gateway.toml", &main_file(setup));
        for (name, text) in &setup.policies {
            disk.write(&format!("policies/{name}.toml"), text);
        }
        disk
    }

    /// Starts it with its files as they are.
    pub(crate) fn started(mut self) -> Self {
        let loaded = Config::load_for_start(&self.path("gateway.toml"));
        let (config, _) = loaded.unwrap_or_else(|problems| panic!("{problems}"));
        self.server = Some(Server::start(config).unwrap());
        self
    }

    /// The same after it has ended.
    pub(crate) fn restarted(mut self) -> Self {
        self.server.take().unwrap().stop(Duration::ZERO);
        self.started()
    }

    pub(crate) fn server(&self) -> &Server {
        self.server.as_ref().unwrap()
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Replaces a file as a whole, as editors and package managers do.
    pub(crate) fn write(&self, name: &str, text: &str) {
        let new = self.path(&format!("{name}.new~"));
        fs::write(&new, text).unwrap();
        fs::rename(new, self.path(name)).unwrap();
    }

    pub(crate) fn remove(&self, name: &str) {
        fs::remove_file(self.path(name)).unwrap();
    }

    pub(crate) fn reload(&self) -> ReloadReport {
        self.server().reload("test").unwrap_or_else(|fault| panic!("{}", fault.rendered))
    }

    pub(crate) fn refused(&self) -> ReloadFault {
        self.server().reload("test").unwrap_err()
    }

    /// How what runs differs from what is on disk, in words; empty where it does not.
    pub(crate) fn difference(&self) -> String {
        self.server().differs_from_disk().map(|it| it.to_string()).unwrap_or_default()
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.server().addresses()[0]
    }

    pub(crate) fn client(&self) -> Client {
        Client::connect(self.address())
    }

    pub(crate) fn client_from(&self, from: &str) -> Client {
        Client::connect_from(self.address(), Some(from.parse().unwrap()))
    }

    /// The lines of a log, once there are so many.
    pub(crate) fn log(&self, name: &str, lines: usize) -> Vec<String> {
        let read = || fs::read_to_string(self.path(name)).unwrap_or_default();
        assert!(becomes_true(|| read().lines().count() >= lines), "{lines} in {}", read());
        read().lines().map(str::to_owned).collect()
    }
}

/// The main file of `setup`, with what the gateway remembers beside it.
pub(crate) fn main_file(setup: &Setup) -> String {
    format!("state_directory = \"state\"\n{}", setup.main_file("access.log"))
}

impl Drop for OnDisk {
    fn drop(&mut self) {
        if let Some(server) = self.server.take() {
            server.stop(Duration::ZERO);
        }
    }
}
