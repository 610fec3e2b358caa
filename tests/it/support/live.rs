//! The gateway itself, in this process, on a free loopback port, with its access log in a directory of its own.

use std::{fmt::Write, net::SocketAddr, time::Duration};

use phonebook_gateway::{
    config::Config,
    server::{Server, StartError},
};
use tempfile::TempDir;

use super::{
    process::{PATIENCE, becomes_true},
    raw::Client,
};

/// Lines of `[upstream]` for a test that has nothing to do with time: the machine may be busy.
pub(crate) const PATIENT: &str =
    "connect_timeout = \"20s\"\ntimeout = \"20s\"\nnumber_timeout = \"20s\"";

/// What a test changes of the configuration.
#[derive(Clone, Debug)]
pub(crate) struct Setup {
    pub(crate) upstream_url: String,
    /// Lines of their sections.
    pub(crate) upstream: String,
    pub(crate) listen: String,
    pub(crate) limits: String,
    pub(crate) loopback: bool,
    pub(crate) workers: usize,
    pub(crate) address: String,
    /// Name and text.
    pub(crate) policies: Vec<(String, String)>,
}

impl Setup {
    /// In front of `upstream`, with one peer, `lyon`, who is 127.0.0.1 and may do everything.
    pub(crate) fn new(upstream: SocketAddr) -> Self {
        Self {
            upstream_url: format!("http://{upstream}"),
            upstream: String::new(),
            listen: String::new(),
            limits: String::new(),
            loopback: true,
            workers: 1,
            address: "127.0.0.1:0".to_owned(),
            policies: vec![("lyon".to_owned(), policy("127.0.0.1", ""))],
        }
    }

    pub(crate) fn upstream(mut self, lines: &str) -> Self {
        writeln!(self.upstream, "{lines}").unwrap();
        self
    }

    pub(crate) fn limits(mut self, lines: &str) -> Self {
        writeln!(self.limits, "{lines}").unwrap();
        self
    }

    pub(crate) fn workers(mut self, workers: usize) -> Self {
        self.workers = workers;
        self
    }

    /// Replaces the policy of `lyon`, or adds one.
    pub(crate) fn policy(mut self, name: &str, text: String) -> Self {
        self.policies.retain(|(known, _)| known != name);
        self.policies.push((name.to_owned(), text));
        self
    }

    /// The main file, its log at `log`.
    pub(crate) fn main_file(&self, log: &str) -> String {
        let mut limits = self.limits.clone();
        if !limits.contains("\nrate =") && !limits.starts_with("rate =") {
            limits.push_str("rate = { per_second = 1000000, burst = 1000000 }\n");
        }
        format!(
            "workers = {}\n[[listen]]\naddress = \"{}\"\n{}\n[upstream]\nurl = \"{}\"\n\
             danger_loopback_source = {}\n{}\n[limits]\n{limits}\n\
             [[access_log]]\npath = \"{log}\"\nbuffer = \"0\"\nflush = \"10ms\"\n",
            self.workers,
            self.address,
            self.listen,
            self.upstream_url,
            self.loopback,
            self.upstream,
        )
    }

    pub(crate) fn try_start(&self) -> Result<Live, StartError> {
        let directory = tempfile::tempdir().unwrap();
        let log = directory.path().join("access.log");
        let main = self.main_file(log.to_str().unwrap());
        let policies: Vec<(String, &str)> = self
            .policies
            .iter()
            .map(|(name, text)| (format!("policies/{name}.toml"), text.as_str()))
            .collect();
        let policies: Vec<(&str, &str)> =
            policies.iter().map(|(name, text)| (name.as_str(), *text)).collect();
        let (config, _) =
            Config::from_texts(("gateway.toml", &main), &policies).unwrap_or_else(|problems| {
                panic!("{}", problems.render(&annotate_snippets::Renderer::plain()))
            });
        let server = Server::start(config)?;
        Ok(Live { address: server.addresses()[0], server: Some(server), directory })
    }

    pub(crate) fn start(&self) -> Live {
        self.try_start().unwrap()
    }
}

/// A policy that limits nothing, but for `lines`.
pub(crate) fn policy(host: &str, lines: &str) -> String {
    let mut text =
        format!("hosts = [\"{host}\"]\nactions = [\"search\", \"list\", \"view\"]\n{lines}\n");
    if !lines.contains("rate =") {
        text.push_str("rate = { per_second = 1000000, burst = 1000000 }\n");
    }
    if !lines.contains("concurrent =") {
        text.push_str("concurrent = 1000\n");
    }
    text
}

/// A gateway that runs.
#[derive(Debug)]
pub(crate) struct Live {
    pub(crate) address: SocketAddr,
    server: Option<Server>,
    directory: TempDir,
}

impl Live {
    /// In front of `upstream`, otherwise as it comes.
    pub(crate) fn before(upstream: SocketAddr) -> Self {
        Setup::new(upstream).start()
    }

    pub(crate) fn client(&self) -> Client {
        Client::connect(self.address)
    }

    /// A client of another loopback address.
    pub(crate) fn client_from(&self, from: &str) -> Client {
        Client::connect_from(self.address, Some(from.parse().unwrap()))
    }

    pub(crate) fn server(&self) -> &Server {
        self.server.as_ref().unwrap()
    }

    /// Lets it drain for as long as a test has patience.
    pub(crate) fn drain(&mut self) {
        self.drain_for(PATIENCE);
    }

    /// The same with so much time for what is under way.
    pub(crate) fn drain_for(&mut self, grace: Duration) {
        self.server.as_mut().unwrap().drain(grace);
    }

    /// Waits until the log has so many lines, and says them.
    pub(crate) fn log(&self, lines: usize) -> Vec<String> {
        let path = self.directory.path().join("access.log");
        let read = || std::fs::read_to_string(&path).unwrap();
        let came = becomes_true(|| read().lines().count() >= lines);
        let log: Vec<String> = read().lines().map(str::to_owned).collect();
        assert!(came && log.len() == lines, "expected {lines} lines: {log:#?}");
        log
    }

    /// The log's lines without their times.
    pub(crate) fn short_log(&self, lines: usize) -> Vec<String> {
        self.log(lines).iter().map(|line| without_time(line)).collect()
    }

    /// The lines that are in the log by now, without their times.
    pub(crate) fn log_so_far(&self) -> Vec<String> {
        let path = self.directory.path().join("access.log");
        std::fs::read_to_string(path).unwrap().lines().map(without_time).collect()
    }

    /// Whether no client connection and no lookup of `lyon` is left, after waiting for it.
    pub(crate) fn comes_to_rest(&self) -> bool {
        becomes_true(|| self.server().shared().connections() == 0)
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        if let Some(server) = self.server.take() {
            server.stop(Duration::ZERO);
        }
    }
}

/// A combined line with `[-]` for its time.
pub(crate) fn without_time(line: &str) -> String {
    let (before, rest) = line.split_once('[').unwrap();
    let (_, after) = rest.split_once(']').unwrap();
    format!("{before}[-]{after}")
}
