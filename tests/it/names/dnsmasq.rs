//! Against dnsmasq as Debian packages it, whose answers are encoded by somebody else.

use std::{
    fs,
    net::{SocketAddr, TcpListener, UdpSocket},
    os::unix::fs::PermissionsExt,
    path::PathBuf,
    process::Stdio,
};

use tempfile::TempDir;

use super::{Names, hosts};
use crate::support::{
    needs::{or_left_out, program},
    process::{Process, becomes_true},
};

/// A dnsmasq that serves a file of hosts and a few aliases.
struct Dnsmasq {
    process: Process,
    address: SocketAddr,
    hosts: PathBuf,
    _directory: TempDir,
}

impl Dnsmasq {
    fn start(known: &str) -> Option<Self> {
        let program = or_left_out(program("dnsmasq", "dnsmasq-base"))?;
        let directory = tempfile::tempdir().unwrap();
        // It drops root's rights, and has to read the file all the same.
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let hosts = directory.path().join("hosts");
        fs::write(&hosts, known).unwrap();
        for _ in 0..20 {
            let address = free_address();
            let (port, file) =
                (format!("--port={}", address.port()), format!("--addn-hosts={}", hosts.display()));
            let arguments = [
                "--conf-file=/dev/null",
                "--keep-in-foreground",
                "--no-resolv",
                "--no-hosts",
                "--no-poll",
                "--pid-file=",
                "--listen-address=127.0.0.1",
                "--bind-interfaces",
                "--local=/example.org/",
                "--local-ttl=120",
                "--cname=alias.example.org,lyon.example.org",
                "--log-facility=-",
                &port,
                &file,
            ];
            let mut process = Process::start_telling(&program, &arguments, Stdio::null());
            let mut served = false;
            // Over TCP it is seen when it is there; over UDP it is there as soon.
            becomes_true(|| {
                served = std::net::TcpStream::connect(address).is_ok();
                served || process.ended().is_some()
            });
            if served && process.ended().is_none() {
                return Some(Self { process, address, hosts, _directory: directory });
            }
        }
        panic!("dnsmasq does not start");
    }

    fn names(&self, more: &str) -> Names {
        let policies = [
            ("alias", hosts("alias.example.org")),
            ("annecy", hosts("annecy.example.org")),
            ("lyon", hosts("lyon.example.org")),
            ("nobody", hosts("nobody.example.org")),
        ];
        let resolver = format!("resolver = [\"{}\"]\n{more}", self.address);
        Names::in_directory(tempfile::tempdir().unwrap(), &resolver, &policies)
    }

    fn now_knows(&self, known: &str) {
        fs::write(&self.hosts, known).unwrap();
        self.process.signal(rustix::process::Signal::HUP);
    }
}

fn free_address() -> SocketAddr {
    loop {
        let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = tcp.local_addr().unwrap();
        if UdpSocket::bind(address).is_ok() {
            return address;
        }
    }
}

#[test]
fn names_of_a_real_name_server_are_found_move_vanish_and_come_back() {
    let known = "198.51.100.4 lyon.example.org\n2001:db8::4 lyon.example.org\n\
                 192.0.2.1 annecy.example.org\n192.0.2.2 annecy.example.org\n";
    let Some(server) = Dnsmasq::start(known) else { return };
    let mut names = server.names("hold_nx = \"200s\"");
    names.settle();
    for (address, peer) in [
        ("2001:db8::4", "alias"),
        ("198.51.100.4", "alias"),
        ("192.0.2.1", "annecy"),
        ("192.0.2.2", "annecy"),
    ] {
        // The alias and what it stands for have one address; who was answered first has it.
        let who = names.who(address);
        assert!(who == peer || (peer == "alias" && who == "lyon"), "{address}: {who}");
    }
    let told = names.told().join("\n");
    assert!(told.contains("nobody.example.org of `nobody` at policies/nobody.toml:1 does not resolve: there is no such name, or it has no address"), "{told}");
    assert!(told.contains("annecy was found: annecy.example.org 192.0.2.1, 192.0.2.2"), "{told}");

    // The answer lives for two minutes, so a change is seen no sooner.
    server.now_knows("198.51.100.9 lyon.example.org\n");
    names.later(100);
    assert_eq!(names.who("192.0.2.1"), "annecy");
    assert!(becomes_true(|| {
        names.later(121);
        names.who("198.51.100.9") != "-"
    }));
    assert_eq!(names.who("198.51.100.4"), "-");
    // There is no annecy any more; its hold is counted from when there was one.
    assert!(becomes_true(|| {
        names.later(60);
        names.who("192.0.2.1") == "-"
    }));
    let told = names.told().join("\n");
    assert!(told.contains("annecy.example.org of `annecy` has not resolved since"), "{told}");

    server.now_knows(known);
    assert!(becomes_true(|| {
        names.later(121);
        names.who("192.0.2.1") == "annecy" && names.who("198.51.100.4") != "-"
    }));
}
