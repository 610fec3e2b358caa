//! What one access log's thread writes to: a file, a file for each peer, or a syslog receiver.
//!
//! None of it is ever waited for by a worker. What could not be written is counted, line by line.

mod file;
mod per_peer;
mod syslog;

use std::io;
use std::time::Duration;

use crate::access_log::settings::LogSettings;
use crate::access_log::target::LogTarget;
use crate::access_log::writer::advice::advice;

use file::LogFile;
pub(crate) use per_peer::MOST_OPEN;
use per_peer::PeerFiles;
use syslog::Receiver;

/// An open target.
#[derive(Debug)]
pub(crate) struct Output(Kind);

#[derive(Debug)]
enum Kind {
    File(LogFile),
    Peers(PeerFiles),
    Syslog(Receiver),
}

/// Why a part of a batch is not where it should be.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) error: io::Error,
    /// This many lines.
    pub(crate) lost: u64,
    /// Where, if the log has several places.
    pub(crate) target: Option<LogTarget>,
}

impl Output {
    /// Opens the target of `settings`. A syslog receiver may come later.
    pub(crate) fn open(settings: &LogSettings) -> io::Result<Self> {
        let kind = match &settings.target {
            LogTarget::File(path) => Kind::File(LogFile::open(path, settings.gzip)?),
            LogTarget::Stdout => Kind::File(LogFile::stdout()?),
            LogTarget::PerPeer(path) => Kind::Peers(PeerFiles::new(path.clone(), settings.gzip)?),
            LogTarget::Syslog(syslog) => {
                let mut receiver = Receiver::new(syslog.server.clone());
                if let Err(error) = receiver.reopen() {
                    let target = &settings.target;
                    tracing::warn!(
                        log = %target,
                        "nobody takes the lines of the access log {target} yet: {error}. {}",
                        advice(target, &error)
                    );
                }
                Kind::Syslog(receiver)
            }
        };
        Ok(Self(kind))
    }

    /// Writes a batch of `lines` lines.
    pub(crate) fn write(&mut self, batch: &[u8], lines: u64) -> Result<(), Failure> {
        match &mut self.0 {
            Kind::File(file) => file.write(batch, lines),
            Kind::Peers(files) => files.write(batch),
            Kind::Syslog(receiver) => receiver.write(batch),
        }
    }

    /// Reopens the target. Where that fails a file stays open as it was.
    pub(crate) fn reopen(&mut self) -> io::Result<()> {
        match &mut self.0 {
            Kind::File(file) => file.reopen(),
            Kind::Peers(files) => {
                files.close();
                Ok(())
            }
            Kind::Syslog(receiver) => receiver.reopen(),
        }
    }

    /// How long nothing may be lost before losses are said to be over: a datagram that was sent need
    /// not have arrived.
    pub(crate) fn trial(&self) -> Duration {
        match &self.0 {
            Kind::Syslog(receiver) if receiver.is_udp() => UDP_TRIAL,
            Kind::File(_) | Kind::Peers(_) | Kind::Syslog(_) => Duration::ZERO,
        }
    }
}

const UDP_TRIAL: Duration = Duration::from_secs(10);
