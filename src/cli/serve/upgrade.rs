//! USR2: another process of the program, of a new version say, takes the place of this one, as nginx does it.
//!
//! It is started with the same command line, checks its configuration, takes the sockets over and says that it
//! serves; only then does this one end. Whatever is wrong with the new one, this one goes on serving.

use std::ffi::OsString;
use std::io;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::Duration;

use tokio::io::Interest;
use tokio::net::UnixStream;
use tokio::time::{Instant, sleep, timeout};

use crate::admin::Admin;
use crate::cli::Exit;
use crate::control::Control;
use crate::net::handover::{self, HandoverError, HandoverSocket, Message};
use crate::net::inherited::Inherited;
use crate::server::Server;

/// The program as it was started; by the path that it had then, since a package puts another file there.
#[derive(Clone, Debug)]
pub(super) struct Program {
    path: PathBuf,
    arguments: Vec<OsString>,
}

impl Program {
    /// The one that this process runs. To be called at its start.
    ///
    /// # Errors
    /// The system does not say.
    pub(super) fn of_this_process() -> io::Result<Self> {
        let arguments = std::env::args_os().skip(1).collect();
        Ok(Self { path: std::env::current_exe()?, arguments })
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.path);
        command.args(&self.arguments).env(SUCCEEDS, std::process::id().to_string());
        // They are meant for this process.
        for name in ["LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES", "WATCHDOG_PID"] {
            command.env_remove(name);
        }
        command
    }
}

/// The gateway whose place this process takes.
#[derive(Debug)]
pub(super) struct Predecessor(HandoverSocket);

impl Predecessor {
    /// It, where there is one.
    ///
    /// # Errors
    /// The environment says that there is one, and nothing comes from it.
    pub(super) fn find() -> Result<Option<(Self, Inherited)>, HandoverError> {
        if std::env::var_os(SUCCEEDS).is_none() {
            return Ok(None);
        }
        let socket = HandoverSocket::from_standard_input()?;
        let inherited = socket.receive_all()?;
        Ok(Some((Self(socket), inherited)))
    }

    /// This process serves; returns when the other one has made way.
    pub(super) fn replace(self) {
        if let Err(error) = self.0.say_ready() {
            tracing::warn!("the gateway that this one replaces may still serve: {error}");
        }
    }
}

/// A process that is about to take the place of this one. Ended when this is dropped before.
#[derive(Debug)]
pub(super) struct Upgrade {
    child: Option<Child>,
    socket: HandoverSocket,
    /// The same socket, to wait for what comes.
    events: UnixStream,
}

/// Why this process goes on.
#[derive(Debug, thiserror::Error)]
pub(super) enum UpgradeFault {
    /// The program could not be started.
    #[error("{} cannot be started: {error}", path.display())]
    Start {
        /// The program.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// It could not be given the sockets, or says something else.
    #[error(transparent)]
    Handover(#[from] HandoverError),
    /// It has ended.
    #[error("the new process ended before it served ({}); what it said stands before this line", ended(*.0))]
    Ended(ExitStatus),
    /// It can no longer say anything.
    #[error(
        "the new process closed its standard input, by which it would have said that it serves, and was ended"
    )]
    Mute,
    /// It hangs.
    #[error("the new process did not serve within {} s, and was ended", UPGRADE_TIMEOUT.as_secs())]
    Late,
}

impl From<io::Error> for UpgradeFault {
    fn from(error: io::Error) -> Self {
        Self::Handover(error.into())
    }
}

fn ended(status: ExitStatus) -> String {
    if status.code() == Some(Exit::BadConfiguration.code().into()) {
        return "the configuration is not valid, or not safe on this host".to_owned();
    }
    status.to_string()
}

impl Upgrade {
    /// Starts the new process, and gives it the sockets.
    ///
    /// # Errors
    /// [`UpgradeFault`]
    pub(super) fn begin(
        program: &Program,
        server: &Server,
        beside: (Option<&Control>, Option<&Admin>),
    ) -> Result<Self, UpgradeFault> {
        let (socket, theirs) = handover::pair()?;
        let events = std::os::unix::net::UnixStream::from(socket.as_fd().try_clone_to_owned()?);
        let events = UnixStream::from_std(events)?;
        let child = program.command().stdin(Stdio::from(theirs)).spawn();
        let child =
            child.map_err(|error| UpgradeFault::Start { path: program.path.clone(), error })?;
        let upgrade = Self { child: Some(child), socket, events };
        match upgrade.offer(server, beside) {
            // Why it has ended is found out where it is waited for.
            Ok(()) | Err(HandoverError::Closed) => Ok(upgrade),
            Err(error) => Err(error.into()),
        }
    }

    fn offer(
        &self,
        server: &Server,
        (control, admin): (Option<&Control>, Option<&Admin>),
    ) -> Result<(), HandoverError> {
        server.hand_over(&self.socket)?;
        if let Some(control) = control {
            control.offer(&self.socket)?;
        }
        if let Some(admin) = admin {
            admin.offer(&self.socket)?;
        }
        self.socket.send(&Message::End, &[])
    }

    /// Waits until the new process serves.
    ///
    /// # Errors
    /// [`UpgradeFault`]
    pub(super) async fn ready(&mut self) -> Result<(), UpgradeFault> {
        match timeout(UPGRADE_TIMEOUT, self.told()).await {
            Err(_) => Err(UpgradeFault::Late),
            Ok(Ok(Message::Ready)) => Ok(()),
            Ok(Ok(other)) => Err(HandoverError::Unknown(format!("{other:?}")).into()),
            Ok(Err(HandoverError::Closed)) => Err(self.ended().await),
            Ok(Err(error)) => Err(error.into()),
        }
    }

    /// Why it has closed its end of the socket: as a rule it has ended, or does so now.
    async fn ended(&mut self) -> UpgradeFault {
        let Some(child) = &mut self.child else { return HandoverError::Closed.into() };
        let until = Instant::now() + ENDING_TIMEOUT;
        loop {
            match child.try_wait() {
                Ok(Some(status)) => return UpgradeFault::Ended(status),
                Ok(None) if Instant::now() < until => sleep(Duration::from_millis(10)).await,
                Ok(None) => return UpgradeFault::Mute,
                Err(error) => return error.into(),
            }
        }
    }

    async fn told(&self) -> Result<Message, HandoverError> {
        loop {
            self.events.readable().await?;
            let received =
                self.events.try_io(Interest::READABLE, || match self.socket.receive_now() {
                    Err(HandoverError::Io(error)) => Err(error),
                    received => Ok(received.map(|(message, _)| message)),
                });
            match received {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                received => return received?,
            }
        }
    }

    /// The new process is the gateway from now on; its pid.
    pub(super) fn pid(&self) -> u32 {
        self.child.as_ref().map(Child::id).unwrap_or_default()
    }

    /// Lets it know.
    pub(super) fn go(mut self) {
        // If it has ended since, this process ends all the same: it cannot know, a moment later.
        let _ = self.socket.send(&Message::Go, &[]);
        self.child = None;
    }
}

impl Drop for Upgrade {
    fn drop(&mut self) {
        let Some(mut child) = self.child.take() else { return };
        // It has ended already, or does so now.
        let _ = child.kill();
        // In a thread of its own: who hangs in the kernel is not waited for.
        let _ = thread::Builder::new().name("ended".to_owned()).spawn(move || child.wait());
    }
}

/// Says to a process that it takes the place of another one, whose pid it has.
const SUCCEEDS: &str = "PHONEBOOK_GATEWAY_SUCCEEDS";

/// How long a process may take to end that has closed its end of the socket.
const ENDING_TIMEOUT: Duration = Duration::from_secs(1);

/// How long a new process may take until it serves: names are waited for a few seconds.
const UPGRADE_TIMEOUT: Duration = Duration::from_secs(20);
