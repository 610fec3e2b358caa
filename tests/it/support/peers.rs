//! A second network for the callers, joined to the test's own by a cable: packets then arrive from outside, as peers' do.

use std::{
    fs::File,
    io,
    net::{IpAddr, SocketAddr},
    path::Path,
    process::{Command, Output, Stdio},
};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use super::{
    http::{Answer, request},
    needs::{Missing, program},
    network::LAN,
    process::{Process, becomes_true},
};

/// Callers with these addresses in 192.168.1.0/24, on the far end of the cable.
#[derive(Debug)]
pub(crate) struct Callers {
    // Keeps their network alive.
    _holder: Process,
    network: File,
}

impl Callers {
    /// Lays the cable inside [`super::network::in_own_network`]: this host's end gets the LAN's address.
    pub(crate) fn connect(addresses: &[&str]) -> Result<Self, Missing> {
        if !rustix::process::geteuid().is_root() {
            return Err(Missing::new("no right to lay a cable between networks", "run as root"));
        }
        let unshare = program("unshare", "util-linux")?;
        let holder = Process::start(&unshare, &["--net", "sleep", "infinity"]);
        let pid = holder.pid().to_string();
        let theirs = format!("/proc/{pid}/ns/net");
        let own = std::fs::read_link("/proc/self/ns/net").unwrap();
        assert!(becomes_true(|| std::fs::read_link(&theirs).is_ok_and(|theirs| theirs != own)));
        ip(&["address", "delete", &format!("{LAN}/24"), "dev", "lo"]);
        ip(&["link", "add", "lan0", "type", "veth", "peer", "name", "peers0", "netns", &pid]);
        ip(&["address", "add", &format!("{LAN}/24"), "dev", "lan0"]);
        ip(&["link", "set", "lan0", "up"]);
        let network = File::open(&theirs).unwrap();
        let callers = Self { _holder: holder, network };
        callers.inside(|| {
            for address in addresses {
                ip(&["address", "add", &format!("{address}/24"), "dev", "peers0"]);
            }
            ip(&["link", "set", "peers0", "up"]);
        });
        Ok(callers)
    }

    /// One request from one of their addresses.
    pub(crate) fn request(&self, from: &str, to: SocketAddr, target: &str) -> Answer {
        let from: IpAddr = from.parse().unwrap();
        self.inside(|| request(to, Some(from), "GET", target, ""))
    }

    /// Runs a command in their network; unless it says otherwise it comes from the first of their addresses.
    pub(crate) fn run(&self, command: &mut Command) -> Output {
        // A process is in the network of the thread that starts it.
        self.inside(|| command.stdin(Stdio::null()).output().unwrap())
    }

    /// Runs this in their network: a thread can be in another one than its process.
    fn inside<T: Send>(&self, body: impl FnOnce() -> T + Send) -> T {
        use std::os::fd::AsFd;
        std::thread::scope(|scope| {
            let thread = scope.spawn(|| -> io::Result<T> {
                move_into_link_name_space(self.network.as_fd(), Some(LinkNameSpaceType::Network))?;
                Ok(body())
            });
            thread.join().unwrap().unwrap()
        })
    }
}

/// Loads rules of nftables into the network that the test is in.
pub(crate) fn nft(program: &Path, arguments: &[&str]) {
    run(Command::new(program).args(arguments));
}

fn ip(arguments: &[&str]) {
    run(Command::new("ip").args(arguments));
}

fn run(command: &mut Command) {
    let output = command.stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}
