//! What systemd is told, and what it gives back: the sockets that it keeps.

use std::{
    fs,
    io::IoSliceMut,
    mem::MaybeUninit,
    net::{SocketAddr, TcpListener, TcpStream},
    os::{fd::OwnedFd, unix::net::UnixDatagram},
    path::Path,
    process::{Command, Stdio},
    sync::atomic::Ordering,
};

use rustix::{
    net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg},
    process::Signal,
};

use socket2::{Domain, Socket, Type};

use super::{asking, setup, xivo};
use crate::support::{
    binary::{Binary, address_of_its_own},
    live::Setup,
    network::in_own_network,
    process::{PATIENCE, becomes_true},
    program::run,
    raw::Client,
};

/// The service manager's end of NOTIFY_SOCKET.
struct Manager {
    socket: UnixDatagram,
}

/// A message, and the descriptors that came with it.
type Told = (String, Vec<OwnedFd>);

impl Manager {
    fn at(path: &Path) -> Self {
        let _ = fs::remove_file(path);
        let socket = UnixDatagram::bind(path).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Self { socket }
    }

    fn next(&self) -> Told {
        let mut text = [0; 4096];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(253))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let mut parts = [IoSliceMut::new(&mut text)];
        let got = recvmsg(&self.socket, &mut parts, &mut ancillary, RecvFlags::empty()).unwrap();
        let descriptors = ancillary.drain().filter_map(|message| match message {
            RecvAncillaryMessage::ScmRights(descriptors) => Some(descriptors),
            RecvAncillaryMessage::ScmCredentials(_) | _ => None,
        });
        let descriptors = descriptors.flatten().collect();
        (String::from_utf8_lossy(&text[..got.bytes]).into_owned(), descriptors)
    }

    /// The next one that has this line; what was told before is not looked for.
    fn told(&self, line: &str) -> Told {
        loop {
            let told = self.next();
            if told.0.lines().any(|it| it == line || it.strip_prefix(line).is_some()) {
                return told;
            }
        }
    }
}

/// A gateway that a service manager at `notify` in its directory has started, with these sockets.
fn started(setup: &Setup, sockets: Vec<OwnedFd>) -> (Binary, Manager) {
    let mut manager = None;
    let policies: Vec<(&str, &str)> =
        setup.policies.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
    let gateway =
        Binary::serve_changed(&setup.main_file("access.log"), &policies, |command, directory| {
            let path = directory.join("notify");
            manager = Some(Manager::at(&path));
            passing(&command, directory, sockets, &path)
        });
    (gateway, manager.unwrap())
}

/// The same command with up to two sockets as descriptors 3 and 4, as systemd passes them.
fn passing(command: &Command, directory: &Path, sockets: Vec<OwnedFd>, notify: &Path) -> Command {
    let count = sockets.len();
    let script = format!(
        "exec 3<&0 4<&1 </dev/null >/dev/null; [ {count} = 2 ] || exec 4<&-; [ {count} != 0 ] || exec 3<&-; \
         export LISTEN_PID=$$ LISTEN_FDS={count}; exec \"$@\""
    );
    let stderr = fs::OpenOptions::new().append(true).create(true).open(directory.join("stderr"));
    let mut passing = Command::new("sh");
    passing.args(["-c", &script, "sh"]).arg(command.get_program()).args(command.get_args());
    passing.env_remove("RUST_LOG").env_remove("JOURNAL_STREAM").env("NOTIFY_SOCKET", notify);
    passing.stderr(stderr.unwrap());
    let mut sockets = sockets.into_iter();
    passing.stdin(sockets.next().map_or_else(Stdio::null, Stdio::from));
    passing.stdout(sockets.next().map_or_else(Stdio::null, Stdio::from));
    passing
}

fn stored(address: SocketAddr) -> String {
    format!("FDNAME=listen_{}", address.to_string().replace(':', "_"))
}

#[test]
fn check_knows_the_gateway_behind_sockets_that_the_service_manager_keeps_too() {
    let upstream = xivo();
    let address = address_of_its_own();
    let (gateway, manager) = started(&setup(&upstream, address), Vec::new());
    // This test has them open as systemd would, and is the older of the two processes.
    let (_, kept) = manager.told("FDSTORE=1");
    manager.told("READY=1");
    let check = run(&gateway.path(""), &["check", "-c", "gateway.toml"]);
    let note = format!(
        "note: {address}: another phonebook-gateway is listening there, with this configuration (process {})",
        gateway.pid()
    );
    assert!(check.stderr.contains(&note), "{note}: {}", check.stderr);
    assert_eq!(check.code, Some(0), "{}", check.stderr);
    drop(kept);
}

#[test]
fn it_is_told_of_the_start_of_reloads_and_of_the_end() {
    let upstream = xivo();
    let address = address_of_its_own();
    let (mut gateway, manager) = started(&setup(&upstream, address), Vec::new());
    let (text, sockets) = manager.told("FDSTORE=1");
    assert!(text.contains(&stored(address)) && text.contains("FDPOLL=0"), "{text}");
    assert_eq!(sockets.len(), 2);
    manager.told("READY=1");
    let (status, _) = manager.told("STATUS=");
    let start = format!("STATUS=listening on {address}; 1 peer; revision ");
    assert!(status.starts_with(&start) && !status.contains("differs"), "{status}");
    // A reload that is refused is over, too, and the line says why.
    let policy = gateway.path("policies/nice.toml");
    fs::write(&policy, "hosts = [\"127.0.0.9\"]\nwrong = 1\n").unwrap();
    gateway.signal(Signal::HUP);
    assert!(manager.told("RELOADING=1").0.contains("MONOTONIC_USEC="));
    manager.told("READY=1");
    let (status, _) = manager.told("STATUS=");
    assert!(status.contains("differs from disk: ") && status.contains("nice.toml:2"), "{status}");
    assert_eq!(status.trim_end().lines().count(), 1);
    fs::remove_file(policy).unwrap();
    // A listener that comes and goes is kept as long as it is there.
    let main = fs::read_to_string(gateway.path("gateway.toml")).unwrap();
    let second = address_of_its_own();
    fs::write(gateway.path("gateway.toml"), format!("{main}[[listen]]\naddress = \"{second}\"\n"))
        .unwrap();
    gateway.signal(Signal::HUP);
    let (text, sockets) = manager.told("FDSTORE=1");
    assert!(text.contains(&stored(second)), "{text}");
    assert_eq!(
        sockets[0].try_clone().map(TcpListener::from).unwrap().local_addr().unwrap(),
        second
    );
    manager.told("READY=1");
    fs::write(gateway.path("gateway.toml"), main).unwrap();
    gateway.signal(Signal::HUP);
    assert!(manager.told("FDSTOREREMOVE=1").0.contains(&stored(second)));
    manager.told("READY=1");
    gateway.signal(Signal::TERM);
    manager.told("STOPPING=1");
    assert_eq!(gateway.exit().code(), Some(0));
}

#[test]
fn nobody_is_refused_while_it_restarts_with_the_sockets_that_were_kept() {
    let upstream = xivo();
    let address = address_of_its_own();
    let setup = setup(&upstream, address);
    let (mut gateway, manager) = started(&setup, Vec::new());
    let (_, mut sockets) = manager.told("FDSTORE=1");
    manager.told("READY=1");
    let (asked, ()) = asking(address, |asked| {
        for _ in 0..10 {
            let before = asked.load(Ordering::Relaxed);
            assert!(becomes_true(|| asked.load(Ordering::Relaxed) >= before + 8));
            gateway.signal(Signal::TERM);
            assert_eq!(gateway.exit().code(), Some(0), "{}", gateway.stderr());
            let passed: Vec<OwnedFd> =
                sockets.iter().map(|socket| socket.try_clone().unwrap()).collect();
            let (next, manager) = started(&setup, passed);
            sockets = manager.told("FDSTORE=1").1;
            manager.told("READY=1");
            gateway = next;
        }
    });
    assert!(asked >= 80, "{asked}");
    // As many as there were: none is bound a second time.
    assert_eq!(sockets.len(), 2);
}

#[test]
fn sockets_are_taken_by_their_address_and_one_that_nobody_wants_is_closed() {
    let upstream = xivo();
    let (wanted, unwanted) = (address_of_its_own(), TcpListener::bind("127.7.7.7:0").unwrap());
    // One socket for two workers, as a .socket unit passes it.
    let passed = TcpListener::bind(wanted).unwrap();
    let stale = unwanted.local_addr().unwrap();
    let sockets = vec![OwnedFd::from(unwanted), OwnedFd::from(passed)];
    let (mut gateway, manager) = started(&setup(&upstream, wanted), sockets);
    assert!(manager.told("FDSTOREREMOVE=1").0.contains(&stored(stale)));
    assert_eq!(manager.told("FDSTORE=1").1.len(), 2);
    manager.told("READY=1");
    assert_eq!(gateway.address(), wanted);
    for _ in 0..20 {
        assert_eq!(Client::connect(wanted).lookup("one").status, 200);
    }
    assert!(becomes_true(|| TcpStream::connect(stale).is_err()));
    let stderr = gateway.stderr();
    assert!(
        stderr.contains(&format!("listens on {stale}")) && stderr.contains("no [[listen]]"),
        "{stderr}"
    );
}

#[test]
fn a_socket_of_a_wider_or_narrower_address_is_in_nobodys_way_unless_it_keeps_others_out() {
    // All addresses of a port are asked for, which others may have one of.
    in_own_network(
        "restart::service_manager::a_socket_of_a_wider_or_narrower_address_is_in_nobodys_way_unless_it_keeps_others_out",
        wider_and_narrower,
    );
}

fn wider_and_narrower() {
    let upstream = xivo();
    let wanted = address_of_its_own();
    let everywhere = SocketAddr::from(([0, 0, 0, 0], wanted.port()));
    let shared = |address: SocketAddr| {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.set_reuse_address(true).unwrap();
        // As the gateway's own are, which systemd keeps.
        socket.set_reuse_port(true).unwrap();
        socket.bind(&address.into()).unwrap();
        socket.listen(16).unwrap();
        OwnedFd::from(socket)
    };
    for (kept, now) in [(everywhere, wanted), (wanted, everywhere)] {
        let (mut gateway, manager) = started(&setup(&upstream, now), vec![shared(kept)]);
        assert_eq!(gateway.address(), now);
        assert!(manager.told("FDSTOREREMOVE=1").0.contains(&stored(kept)));
        manager.told("READY=1");
        assert_eq!(Client::connect(wanted).lookup("one").status, 200);
    }
    // As a .socket unit without ReusePort= has it.
    let alone = OwnedFd::from(TcpListener::bind(everywhere).unwrap());
    let (mut gateway, _) = started(&setup(&upstream, wanted), vec![alone]);
    assert_eq!(gateway.exit().code(), Some(3));
    let said = format!("a socket that was passed to the gateway listens on {everywhere}");
    assert!(gateway.stderr().contains(&said), "{}", gateway.stderr());
}

#[test]
fn descriptors_that_are_meant_for_others_are_left_alone() {
    let upstream = xivo();
    let address = address_of_its_own();
    let setup = setup(&upstream, address);
    let policies: Vec<(&str, &str)> =
        setup.policies.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
    let mut gateway =
        Binary::serve_changed(&setup.main_file("access.log"), &policies, |mut command, _| {
            command.env("LISTEN_PID", "1").env("LISTEN_FDS", "2");
            command
        });
    assert_eq!(gateway.address(), address);
    assert!(!gateway.stderr().contains("passed"), "{}", gateway.stderr());
}

#[test]
fn the_watchdog_hears_only_of_a_gateway_whose_threads_answer() {
    if !cfg!(debug_assertions) {
        return;
    }
    let upstream = xivo();
    let address = address_of_its_own();
    let setup = setup(&upstream, address);
    let start = |hangs: &str| {
        let mut manager = None;
        let policies: Vec<(&str, &str)> =
            setup.policies.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
        let gateway = Binary::serve_changed(
            &setup.main_file("access.log"),
            &policies,
            |mut command, directory| {
                let path = directory.join("notify");
                manager = Some(Manager::at(&path));
                command.env("NOTIFY_SOCKET", path).env("WATCHDOG_USEC", "600000");
                command.env("PHONEBOOK_GATEWAY_TEST_END", hangs);
                command
            },
        );
        (gateway, manager.unwrap())
    };
    let (gateway, manager) = start("");
    manager.told("WATCHDOG=1");
    manager.told("WATCHDOG=1");
    drop(gateway);
    let (gateway, manager) = start("accept-0=hang");
    manager.told("READY=1");
    let said = "the thread `worker-0` does not answer";
    assert!(becomes_true(|| gateway.stderr().contains(said)), "{}", gateway.stderr());
    manager.socket.set_nonblocking(true).unwrap();
    let mut text = [0; 4096];
    let mut heard = 0;
    while let Ok(length) = manager.socket.recv(&mut text) {
        heard += String::from_utf8_lossy(&text[..length]).matches("WATCHDOG").count();
    }
    // It may have answered once before it began to hang.
    assert!(heard <= 1, "{heard}");
}
