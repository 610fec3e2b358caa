//! How a gateway hands its sockets over to the process that replaces it: over a pair of unix sockets, a message
//! each, which say what the descriptors are that come with them.
//!
//! The new process says that it is ready when it serves; only then does the old one end. Whichever of the two
//! ends before is seen by the other, since the socket is closed then.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketFlags, SocketType, recvmsg, sendmsg, socketpair,
};

use super::inherited::Inherited;
use super::listen::Lock;

/// The old gateway's end, and the one that is the new process's standard input.
///
/// # Errors
/// The system has no descriptors left.
pub(crate) fn pair() -> io::Result<(HandoverSocket, OwnedFd)> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let (ours, theirs) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?;
    Ok((HandoverSocket(ours), theirs))
}

/// One end.
#[derive(Debug)]
pub(crate) struct HandoverSocket(OwnedFd);

/// What one message says of its descriptors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Message {
    /// Sockets that listen; the address as the configuration has it.
    Listener(SocketAddr),
    /// The lock on an address.
    Lock,
    /// The control socket; its path.
    Control(String),
    /// The socket of the admin listener; its address as the configuration has it.
    Admin(String),
    /// That was all.
    End,
    /// The new process serves.
    Ready,
    /// It is the gateway now.
    Go,
}

/// Why sockets were not handed over.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HandoverError {
    /// The other one has ended.
    #[error("the other process has ended")]
    Closed,
    /// It did not say anything in time.
    #[error("the other process has said nothing for {} s", .0.as_secs())]
    Late(Duration),
    /// It is another program, or another version of this one.
    #[error("the other process says {0:?}, which this version does not know")]
    Unknown(String),
    /// The system refused.
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl From<rustix::io::Errno> for HandoverError {
    fn from(errno: rustix::io::Errno) -> Self {
        Self::Io(errno.into())
    }
}

impl HandoverSocket {
    /// The new process's end, which is its standard input; from then on that is /dev/null.
    ///
    /// # Errors
    /// Standard input is something else.
    pub(crate) fn from_standard_input() -> io::Result<Self> {
        let socket = rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stdin(), 3)?;
        if rustix::net::sockopt::socket_type(&socket)? != SocketType::SEQPACKET {
            return Err(io::Error::other("it is no socket of a gateway's"));
        }
        rustix::stdio::dup2_stdin(std::fs::File::open("/dev/null")?)?;
        Ok(Self(socket))
    }

    /// Sends a message; never waits.
    ///
    /// # Errors
    /// [`HandoverError`]
    pub(crate) fn send(
        &self,
        message: &Message,
        descriptors: &[BorrowedFd<'_>],
    ) -> Result<(), HandoverError> {
        let text = message.to_text();
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_AT_ONCE))];
        // An empty list still is one message.
        let mut chunks: Vec<&[BorrowedFd<'_>]> = descriptors.chunks(MOST_AT_ONCE).collect();
        if chunks.is_empty() {
            chunks.push(&[]);
        }
        for chunk in chunks {
            let mut ancillary = SendAncillaryBuffer::new(&mut space);
            if !chunk.is_empty() && !ancillary.push(SendAncillaryMessage::ScmRights(chunk)) {
                return Err(io::Error::other("too many descriptors").into());
            }
            let parts = [IoSlice::new(text.as_bytes())];
            match sendmsg(&self.0, &parts, &mut ancillary, SendFlags::NOSIGNAL) {
                Ok(_) => {}
                Err(rustix::io::Errno::PIPE | rustix::io::Errno::CONNRESET) => {
                    return Err(HandoverError::Closed);
                }
                Err(errno) => return Err(errno.into()),
            }
        }
        Ok(())
    }

    /// The next message that is there now.
    ///
    /// # Errors
    /// [`HandoverError`]; would-block where there is none.
    pub(crate) fn receive_now(&self) -> Result<(Message, Vec<OwnedFd>), HandoverError> {
        let mut text = [0; MESSAGE_SIZE];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_AT_ONCE))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let mut parts = [IoSliceMut::new(&mut text)];
        let received = match recvmsg(&self.0, &mut parts, &mut ancillary, RecvFlags::CMSG_CLOEXEC) {
            Err(rustix::io::Errno::CONNRESET) => return Err(HandoverError::Closed),
            received => received?,
        };
        let descriptors = ancillary.drain().filter_map(|message| match message {
            RecvAncillaryMessage::ScmRights(descriptors) => Some(descriptors),
            RecvAncillaryMessage::ScmCredentials(_) | _ => None,
        });
        let descriptors: Vec<OwnedFd> = descriptors.flatten().collect();
        match text.get(..received.bytes) {
            None | Some([]) => Err(HandoverError::Closed),
            Some(text) => Ok((Message::read(text)?, descriptors)),
        }
    }

    /// The next message; waits for it until `deadline`.
    fn receive(&self, deadline: Instant) -> Result<(Message, Vec<OwnedFd>), HandoverError> {
        loop {
            match self.receive_now() {
                Err(HandoverError::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => {}
                received => return received,
            }
            let left = deadline.saturating_duration_since(Instant::now());
            let mut wanted = [PollFd::new(&self.0, PollFlags::IN)];
            let timeout = Timespec::try_from(left).ok();
            match poll(&mut wanted, timeout.as_ref()) {
                Ok(0) => return Err(HandoverError::Late(MESSAGE_TIMEOUT)),
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
    }

    /// All that the old gateway hands over.
    ///
    /// # Errors
    /// [`HandoverError`]
    pub(crate) fn receive_all(&self) -> Result<Inherited, HandoverError> {
        let mut inherited = Inherited::default();
        let deadline = Instant::now() + MESSAGE_TIMEOUT;
        loop {
            match self.receive(deadline)? {
                (Message::Listener(wanted), descriptors) => {
                    for descriptor in descriptors {
                        inherited.add(Some(wanted), TcpListener::from(descriptor))?;
                    }
                }
                (Message::Lock, descriptors) => {
                    let locks =
                        descriptors.into_iter().map(|it| Lock::from(UnixListener::from(it)));
                    locks.for_each(|lock| inherited.add_lock(lock));
                }
                (Message::Control(path), descriptors) => {
                    let listener = descriptors.into_iter().next().map(UnixListener::from);
                    inherited.control = listener.map(|listener| (listener, path));
                }
                (Message::Admin(address), descriptors) => {
                    inherited.admin = descriptors.into_iter().next().map(|it| (it, address));
                }
                (Message::End, _) => return Ok(inherited),
                (message @ (Message::Ready | Message::Go), _) => {
                    return Err(HandoverError::Unknown(message.to_text()));
                }
            }
        }
    }

    /// Says that this process serves, and waits until the old one has made way. One that has ended meanwhile
    /// has made way, too.
    ///
    /// # Errors
    /// [`HandoverError`]: the old one says nothing.
    pub(crate) fn say_ready(&self) -> Result<(), HandoverError> {
        let told = self.send(&Message::Ready, &[]);
        match told.and_then(|()| self.receive(Instant::now() + MESSAGE_TIMEOUT)) {
            Ok((Message::Go, _)) | Err(HandoverError::Closed) => Ok(()),
            Ok((other, _)) => Err(HandoverError::Unknown(other.to_text())),
            Err(error) => Err(error),
        }
    }
}

impl AsFd for HandoverSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl Message {
    fn to_text(&self) -> String {
        match self {
            Self::Listener(address) => format!("{VERSION} listener {address}"),
            Self::Lock => format!("{VERSION} lock"),
            Self::Control(path) => format!("{VERSION} control {path}"),
            Self::Admin(address) => format!("{VERSION} admin {address}"),
            Self::End => format!("{VERSION} end"),
            Self::Ready => format!("{VERSION} ready"),
            Self::Go => format!("{VERSION} go"),
        }
    }

    fn read(text: &[u8]) -> Result<Self, HandoverError> {
        let text = String::from_utf8_lossy(text);
        let unknown = || HandoverError::Unknown(text.clone().into_owned());
        let rest = text.strip_prefix(VERSION).and_then(|rest| rest.strip_prefix(' '));
        let rest = rest.ok_or_else(unknown)?;
        Ok(match rest.split_once(' ').unwrap_or((rest, "")) {
            ("listener", address) => Self::Listener(address.parse().map_err(|_| unknown())?),
            ("control", path) => Self::Control(path.to_owned()),
            ("admin", address) => Self::Admin(address.to_owned()),
            ("lock", "") => Self::Lock,
            ("end", "") => Self::End,
            ("ready", "") => Self::Ready,
            ("go", "") => Self::Go,
            _ => return Err(unknown()),
        })
    }
}

/// What each message begins with; another number where another version could not read it.
const VERSION: &str = "phonebook-gateway/1";

/// The longest message has a path of a unix socket, 108 bytes.
const MESSAGE_SIZE: usize = 512;

/// Descriptors of one message. The kernel takes 253.
const MOST_AT_ONCE: usize = 128;

/// How long either process may take for what it has at hand.
const MESSAGE_TIMEOUT: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sockets_arrive_as_what_they_were_sent() {
        let (ours, theirs) = pair().unwrap();
        let theirs = HandoverSocket(theirs);
        let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
        let sockets: Vec<TcpListener> =
            (0..=MOST_AT_ONCE).map(|_| TcpListener::bind(any).unwrap()).collect();
        let descriptors: Vec<_> = sockets.iter().map(AsFd::as_fd).collect();
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("control.sock");
        let control = UnixListener::bind(&path).unwrap();
        ours.send(&Message::Listener(any), &descriptors).unwrap();
        let message = Message::Control(path.display().to_string());
        ours.send(&message, &[control.as_fd()]).unwrap();
        let admin = Message::Admin("unix:/run/admin.sock".to_owned());
        ours.send(&admin, &[control.as_fd()]).unwrap();
        ours.send(&Message::End, &[]).unwrap();
        let mut inherited = theirs.receive_all().unwrap();
        let (_, received) = inherited.take(any).unwrap();
        let addresses = |all: &[TcpListener]| -> Vec<SocketAddr> {
            all.iter().map(|it| it.local_addr().unwrap()).collect()
        };
        assert_eq!(addresses(&received), addresses(&sockets));
        assert_eq!(inherited.control.unwrap().1, path.display().to_string());
        assert_eq!(inherited.admin.unwrap().1, "unix:/run/admin.sock");
    }

    #[test]
    fn an_end_and_another_version_are_told() {
        let (ours, theirs) = pair().unwrap();
        let theirs = HandoverSocket(theirs);
        rustix::net::send(&ours.0, b"phonebook-gateway/2 end", SendFlags::NOSIGNAL).unwrap();
        let error = theirs.receive_all().unwrap_err();
        assert!(error.to_string().contains("phonebook-gateway/2 end"), "{error}");
        drop(ours);
        assert!(matches!(theirs.receive_all(), Err(HandoverError::Closed)));
        // Nobody is left who has to make way.
        theirs.say_ready().unwrap();
    }

    #[test]
    fn the_new_one_waits_until_the_old_one_has_made_way() {
        let (ours, theirs) = pair().unwrap();
        let theirs = HandoverSocket(theirs);
        ours.send(&Message::Go, &[]).unwrap();
        theirs.say_ready().unwrap();
        assert_eq!(ours.receive_now().unwrap().0, Message::Ready);
    }
}
