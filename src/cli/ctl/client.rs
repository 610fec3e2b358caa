//! One request to a gateway that runs, and its answer; and what to say where there is none.

use std::ffi::OsStr;
use std::fs;
use std::io::{self, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use nix::unistd::{Group, User};
use socket2::{Domain, SockAddr, Socket, Type};

use crate::config::{self, ControlSocketPath};
use crate::control::protocol::{Answer, Command, Request};

/// A gateway's control socket, and why it is the one that is asked.
#[derive(Clone, Debug)]
pub(in crate::cli) struct Target {
    pub(in crate::cli) socket: PathBuf,
    /// Where it is said, in words.
    said: String,
}

/// Why there is no answer.
#[derive(Debug)]
pub(in crate::cli) enum NoAnswer {
    /// Nobody listens.
    NotRunning(String),
    /// This user may not ask.
    Forbidden(String),
    /// Something else.
    Failed(String),
}

impl NoAnswer {
    /// What is wrong, and what to do.
    pub(in crate::cli) fn message(&self) -> &str {
        match self {
            Self::NotRunning(message) | Self::Forbidden(message) | Self::Failed(message) => message,
        }
    }
}

impl Target {
    /// The socket that was named, or the configuration's.
    ///
    /// # Errors
    /// The configuration has none, or cannot be read.
    pub(in crate::cli) fn find(socket: Option<&Path>, config: &Path) -> Result<Self, NoAnswer> {
        if let Some(socket) = socket {
            return Ok(Self { socket: socket.to_owned(), said: "named by --socket".to_owned() });
        }
        match config::control_socket(config) {
            Ok(ControlSocketPath::At { path, location: Some(location) }) => {
                Ok(Self { socket: path, said: format!("the `socket` of [control] at {location}") })
            }
            Ok(ControlSocketPath::At { path, location: None }) => {
                let said = format!("the default, since {} names no other", config.display());
                Ok(Self { socket: path, said })
            }
            Ok(ControlSocketPath::None { location }) => Err(NoAnswer::Failed(format!(
                "this configuration has no control socket ({location} says socket = \"\"): give it \
                 one and restart the gateway, or name another's with --socket PATH"
            ))),
            // Whoever may use the socket need not be allowed to read the configuration.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(Self {
                socket: PathBuf::from(config::DEFAULT_CONTROL_SOCKET),
                said: format!(
                    "the default, since you may not read {}; --socket PATH names another",
                    config.display()
                ),
            }),
            Err(error) => Err(NoAnswer::Failed(format!(
                "cannot find out which socket the gateway has: {}: {error}; name its configuration \
                 with --config FILE, or its socket with --socket PATH",
                config.display()
            ))),
        }
    }

    /// This socket, which the caller knows to be the one.
    pub(in crate::cli) fn at(socket: PathBuf) -> Self {
        Self { socket, said: String::new() }
    }

    /// Asks, and waits up to `patience` for the answer; the line of it as it came, too.
    ///
    /// # Errors
    /// [`NoAnswer`]
    pub(in crate::cli) fn ask(
        &self,
        command: &Command,
        patience: Duration,
    ) -> Result<(Answer, Vec<u8>), NoAnswer> {
        let deadline = Instant::now() + BUSY.min(patience);
        loop {
            let (answer, line) = self.ask_once(command, patience)?;
            let busy = answer.error.as_ref().is_some_and(|refused| refused.busy);
            if !busy || Instant::now() >= deadline {
                return Ok((answer, line));
            }
            thread::sleep(Duration::from_millis(fastrand::u64(5..25)));
        }
    }

    fn ask_once(
        &self,
        command: &Command,
        patience: Duration,
    ) -> Result<(Answer, Vec<u8>), NoAnswer> {
        let mut stream = self.connect(patience)?;
        let request = Request { command: command.clone(), by: user_name() };
        let failed = |error: io::Error| {
            let late = [io::ErrorKind::WouldBlock, io::ErrorKind::TimedOut].contains(&error.kind());
            let why = if late {
                format!("it has not answered within {} s", patience.as_secs_f32())
            } else {
                error.to_string()
            };
            NoAnswer::Failed(format!(
                "the gateway at {} did not answer: {why}. It may be ending or very busy; its \
                 diagnostics say more (`journalctl -u phonebook-gateway`)",
                self.socket.display()
            ))
        };
        stream.set_write_timeout(Some(patience)).map_err(failed)?;
        stream.set_read_timeout(Some(patience)).map_err(failed)?;
        // Who is turned away at once has an answer to read all the same.
        let sent = stream.write_all(request.to_line().as_bytes());
        let mut line = Vec::new();
        let read = (&mut stream).take(MAX_ANSWER).read_to_end(&mut line);
        if !line.ends_with(b"\n") {
            sent.map_err(failed)?;
            read.map_err(failed)?;
            return Err(failed(io::Error::other(
                "it ended the connection before the end of its answer",
            )));
        }
        let answer = Answer::read(&line).map_err(|error| {
            NoAnswer::Failed(format!(
                "what {} answers is not understood: {error}. The gateway that runs may be of another \
                 version than this program ({})",
                self.socket.display(),
                env!("CARGO_PKG_VERSION")
            ))
        })?;
        Ok((answer, line))
    }

    fn connect(&self, patience: Duration) -> Result<UnixStream, NoAnswer> {
        let deadline = Instant::now() + patience;
        loop {
            match connect(&self.socket) {
                Ok(stream) => return Ok(stream),
                Err(error)
                    if error.kind() == io::ErrorKind::WouldBlock && Instant::now() < deadline =>
                {
                    thread::sleep(Duration::from_millis(10));
                }
                Err(error) => return Err(self.unreachable(&error)),
            }
        }
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "the system has more of them")]
    fn unreachable(&self, error: &io::Error) -> NoAnswer {
        let Self { socket, said } = self;
        let at = format!("{} ({said})", socket.display());
        match error.kind() {
            io::ErrorKind::NotFound => NoAnswer::NotRunning(format!(
                "no gateway is running there: there is no socket {at}. Start it (`systemctl start \
                 phonebook-gateway`), or name another configuration with --config FILE"
            )),
            io::ErrorKind::ConnectionRefused => NoAnswer::NotRunning(format!(
                "no gateway is running there: nobody listens on {at}; the one that made it has ended. \
                 Start it (`systemctl start phonebook-gateway`)"
            )),
            io::ErrorKind::PermissionDenied => {
                NoAnswer::Forbidden(format!("you may not use the socket {at}. {}", who_may(socket)))
            }
            io::ErrorKind::WouldBlock => NoAnswer::Failed(format!(
                "the gateway at {at} accepts no connection: more wait already than it takes"
            )),
            _ => NoAnswer::Failed(format!("cannot connect to the socket {at}: {error}")),
        }
    }
}

fn connect(path: &Path) -> io::Result<UnixStream> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    // A blocking one would wait without end while others wait to be accepted.
    socket.set_nonblocking(true)?;
    socket.connect(&SockAddr::unix(path)?)?;
    socket.set_nonblocking(false)?;
    Ok(socket.into())
}

/// Which users may: as far as this one may see that.
fn who_may(socket: &Path) -> String {
    let seen = socket.ancestors().find_map(|path| Some((path, fs::metadata(path).ok()?)));
    let Some((path, found)) = seen else {
        return "Ask as root, or as a member of the gateway's group".to_owned();
    };
    // What cannot be seen stands in a directory that this user may not enter.
    let what = if path == socket { "The socket belongs" } else { "Its directory belongs" };
    let group = Group::from_gid(found.gid().into()).ok().flatten();
    let group = group.map_or_else(|| found.gid().to_string(), |group| group.name);
    let owner = User::from_uid(found.uid().into()).ok().flatten();
    let owner = owner.map_or_else(|| found.uid().to_string(), |owner| owner.name);
    if found.gid() == 0 {
        return format!("{what} to the user `{owner}` and the group `{group}`. Ask as root");
    }
    format!(
        "{what} to the user `{owner}` and the group `{group}`. Ask as root, or become a member of the \
         group (`usermod -aG {group} {}` as root) and log in again",
        match user_name() {
            name if name.is_empty() => "NAME".to_owned(),
            name => name,
        }
    )
}

/// The name of whoever asks, as far as the environment has one.
fn user_name() -> String {
    let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    let name = ["SUDO_USER", "LOGNAME", "USER"].into_iter().find_map(variable);
    name.as_deref().map(OsStr::to_string_lossy).unwrap_or_default().into_owned()
}

/// What a command may take; a reload reads every file.
pub(in crate::cli) const PATIENCE: Duration = Duration::from_secs(70);

/// How long a gateway is asked again that has too many others to answer.
const BUSY: Duration = Duration::from_secs(5);

/// The longest answer that is read.
const MAX_ANSWER: u64 = 256 << 20;
