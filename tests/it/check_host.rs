//! What `check` says of this host, held against what `serve` does on it.

use std::{
    fs,
    io::{BufRead, BufReader},
    net::{SocketAddr, TcpListener},
    os::unix::fs::{PermissionsExt, chown, symlink},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use crate::support::{
    binary::address_of_its_own,
    needs::{Missing, left_out},
    network::in_own_network,
    process::{Process, becomes_true},
    program::{command, run},
    raw::{Client, target},
    scripted::Scripted,
    tls,
};

/// Whom the gateway runs as in these tests.
const NOBODY: u32 = 65534;

/// How many hosts are generated unless the variable says another number.
const CASES: usize = 40;
const MORE: &str = "PHONEBOOK_GATEWAY_TEST_HOSTS";

/// Of each host one: none that connections to XiVO may have, which keep theirs for a minute.
const PORTS: std::ops::Range<u16> = 10_000..30_000;

/// A host that is broken in some ways, or in none.
struct Case {
    directory: tempfile::TempDir,
    /// Where a peer asks, in plain text or with TLS.
    address: SocketAddr,
    tls: bool,
    told: String,
    /// Keep a port from the gateway.
    _taken: Option<TcpListener>,
}

fn mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// Makes the faults, and the list of all.
macro_rules! faults {
    ($($fault:ident,)+) => {
        /// What can be wrong with a host. Up to three of them are at once.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        enum Fault {
            $($fault,)+
        }

        impl Fault {
            const ALL: &[Self] = &[$(Self::$fault,)+];
        }
    };
}

faults! {
    PortTaken,
    PortTakenOnAllAddresses,
    PortLow,
    AddressForeign,
    AddressForeignIpv6,
    SourceForeign,
    SourceLoopback,
    LogDirectoryMissing,
    LogBelowAFile,
    LogIsADirectory,
    LogOfRoot,
    LogDirectoryOfRoot,
    LogDirectoryClosed,
    LogLinkDangles,
    StateClosed,
    StateOfRoot,
    StateIsAFile,
    DisabledFileUnreadable,
    MainUnreadable,
    PolicyUnreadable,
    PoliciesClosed,
    PoliciesMissing,
    PoliciesAreAFile,
    PolicyWrong,
    CertificateMissing,
    CertificateUnreadable,
    CertificateIsADirectory,
    KeyMissing,
    KeyUnreadable,
    KeyOfAnother,
    KeyDirectoryClosed,
    AuthorityMissing,
    AuthorityEmpty,
    ControlDirectoryMissing,
    WayClosed,
}

impl Fault {
    /// Whether it is one of a TLS listener.
    fn is_of_tls(self) -> bool {
        use Fault::*;
        matches!(
            self,
            CertificateMissing
                | CertificateUnreadable
                | CertificateIsADirectory
                | KeyMissing
                | KeyUnreadable
                | KeyOfAnother
                | KeyDirectoryClosed
                | AuthorityMissing
                | AuthorityEmpty
        )
    }
}

fn case(random: &mut fastrand::Rng, upstream: SocketAddr, faults: &[Fault], port: u16) -> Case {
    let directory = tempfile::tempdir().unwrap();
    let has = |fault: Fault| faults.contains(&fault);
    let at = |name: &str| directory.path().join(name);
    mode(directory.path(), 0o755);
    for name in ["policies", "logs", "state", "certs"] {
        fs::create_dir(at(name)).unwrap();
    }
    for name in ["logs", "state"] {
        chown(at(name), Some(NOBODY), Some(NOBODY)).unwrap();
    }
    let taken = if has(Fault::PortTakenOnAllAddresses) {
        Some(TcpListener::bind(("0.0.0.0", port)).unwrap())
    } else {
        has(Fault::PortTaken).then(|| TcpListener::bind(("127.0.0.1", port)).unwrap())
    };
    let port = if has(Fault::PortLow) { 81 } else { port };
    let own = ["127.0.0.1", "192.168.1.125", "0.0.0.0", "[::]", "[::1]"];
    let ip = match () {
        () if has(Fault::AddressForeign) => "192.0.2.77",
        () if has(Fault::AddressForeignIpv6) => "[2001:db8::77]",
        () if has(Fault::PortTaken) => "127.0.0.1",
        () if has(Fault::PortTakenOnAllAddresses) => *random.choice(own[..4].iter()).unwrap(),
        () => *random.choice(own.iter()).unwrap(),
    };
    let source = match () {
        () if has(Fault::SourceForeign) => "source = \"192.0.2.77\"",
        // Which it grants `private`, and which nothing says it is wanted for.
        () if has(Fault::SourceLoopback) => {
            "source = \"127.0.0.1\"\ndanger_loopback_source = false"
        }
        () => "source = \"192.168.1.125\"",
    };
    let log = match () {
        () if has(Fault::LogDirectoryMissing) => "missing/access.log",
        () if has(Fault::LogBelowAFile) => "gateway.toml/access.log",
        () if has(Fault::LogIsADirectory) => "policies",
        () if random.bool()
            || faults.iter().any(|fault| format!("{fault:?}").starts_with("Log")) =>
        {
            "logs/access.log"
        }
        () => "logs/$peer.log",
    };
    let tls = random.u8(..4) == 0 || faults.iter().any(|fault| fault.is_of_tls());
    if tls {
        certificates(&at("certs"));
    }
    let authority = has(Fault::AuthorityMissing) || has(Fault::AuthorityEmpty);
    let section = if tls {
        format!(
            "tls = {{ certificate = \"certs/a.pem\", private_key = \"certs/a.key\"{} }}\n",
            if authority { ", client_ca = \"certs/ca.pem\"" } else { "" }
        )
    } else {
        String::new()
    };
    let control = if has(Fault::ControlDirectoryMissing) { "missing/control.sock" } else { "" };
    let main = format!(
        "state_directory = \"state\"\n[[listen]]\naddress = \"{ip}:{port}\"\n{section}[upstream]\nurl = \"http://{upstream}\"\n\
         {source}\n[[access_log]]\npath = \"{log}\"\n[control]\nsocket = \"{control}\"\n[limits]\nmax_connections = 100\n"
    );
    fs::write(at("gateway.toml"), &main).unwrap();
    fs::write(at("policies/lyon.toml"), "hosts = [\"127.0.0.1\", \"::1\", \"192.168.1.125\"]\n")
        .unwrap();
    for fault in faults {
        break_files(*fault, &at);
    }
    let ip = match ip {
        "0.0.0.0" => "127.0.0.1",
        "[::]" => "[::1]",
        ip => ip,
    };
    let address = format!("{ip}:{port}").parse().unwrap();
    Case { directory, address, tls, told: format!("{faults:?}\n{main}"), _taken: taken }
}

/// A certificate and its key, and a key that is not its.
fn certificates(directory: &Path) {
    for (name, key) in [("a", "a.key"), ("other", "other.key")] {
        let pair = rcgen::generate_simple_self_signed(["xivo".to_owned()]).unwrap();
        fs::write(directory.join(format!("{name}.pem")), pair.cert.pem()).unwrap();
        fs::write(directory.join(key), pair.signing_key.serialize_pem()).unwrap();
    }
}

/// Does to a host's files what is wrong with them.
#[expect(clippy::wildcard_enum_match_arm, reason = "the others are no matter of files")]
fn break_files(fault: Fault, at: &impl Fn(&str) -> PathBuf) {
    let write = |name: &str, text: &str| fs::write(at(name), text).unwrap();
    let of_root = |name: &str| chown(at(name), Some(0), Some(0)).unwrap();
    match fault {
        Fault::LogOfRoot if !at("logs/access.log").is_symlink() => write("logs/access.log", ""),
        Fault::LogDirectoryOfRoot => of_root("logs"),
        Fault::LogDirectoryClosed => {
            of_root("logs");
            mode(&at("logs"), 0o700);
        }
        Fault::LogLinkDangles if !at("logs/access.log").exists() => {
            symlink("nowhere/access.log", at("logs/access.log")).unwrap();
        }
        Fault::StateClosed => {
            of_root("state");
            mode(&at("state"), 0o700);
        }
        Fault::StateOfRoot => of_root("state"),
        Fault::StateIsAFile => {
            fs::remove_dir_all(at("state")).unwrap();
            write("state", "");
        }
        Fault::DisabledFileUnreadable if at("state").is_dir() => {
            write("state/disabled.json", "{\"version\":1,\"peers\":[]}");
            mode(&at("state/disabled.json"), 0o600);
        }
        Fault::MainUnreadable => mode(&at("gateway.toml"), 0o600),
        Fault::PolicyUnreadable if at("policies/lyon.toml").is_file() => {
            mode(&at("policies/lyon.toml"), 0o600);
        }
        Fault::PoliciesClosed if at("policies").exists() => mode(&at("policies"), 0o700),
        Fault::PoliciesMissing if at("policies").is_dir() => {
            fs::remove_dir_all(at("policies")).unwrap();
        }
        Fault::PoliciesAreAFile if at("policies").is_dir() => {
            fs::remove_dir_all(at("policies")).unwrap();
            write("policies", "");
        }
        Fault::PolicyWrong if at("policies").is_dir() => {
            write("policies/nice.toml", "hosts = [\"192.0.2.300\"]\n");
        }
        Fault::CertificateMissing => {
            let _ = fs::remove_file(at("certs/a.pem"));
        }
        Fault::CertificateUnreadable if at("certs/a.pem").is_file() => {
            mode(&at("certs/a.pem"), 0o600);
        }
        Fault::CertificateIsADirectory => {
            let _ = fs::remove_file(at("certs/a.pem"));
            let _ = fs::create_dir(at("certs/a.pem"));
        }
        Fault::KeyMissing => {
            let _ = fs::remove_file(at("certs/a.key"));
        }
        Fault::KeyUnreadable if at("certs/a.key").is_file() => mode(&at("certs/a.key"), 0o600),
        Fault::KeyOfAnother => {
            fs::copy(at("certs/other.key"), at("certs/a.key")).unwrap();
        }
        Fault::KeyDirectoryClosed => mode(&at("certs"), 0o700),
        Fault::AuthorityEmpty => write("certs/ca.pem", ""),
        Fault::WayClosed => mode(&at("."), 0o700),
        _ => {}
    }
}

/// Whether `serve`, as nobody, starts and answers a peer.
fn serves(case: &Case) -> (bool, String) {
    let program = command();
    let mut gateway = Command::new("setpriv")
        .args(["--reuid=65534", "--regid=65534", "--clear-groups", "--pdeathsig=TERM", "--"])
        .arg(program.get_program())
        .args(["serve", "-c", "gateway.toml"])
        .current_dir(case.directory.path())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = String::new();
    let mut lines = BufReader::new(gateway.stderr.take().unwrap());
    // Until it is ready, or has ended.
    while lines.read_line(&mut said).unwrap() > 0 && !said.contains("ready: ") {}
    let answers = said.contains("ready: ") && {
        let status = if case.tls {
            let config = tls::credulous(rustls::ALL_VERSIONS, None);
            tls::get(&mut tls::connect(case.address, &config, "localhost").unwrap(), &target("doe"))
                .status
        } else {
            Client::connect(case.address).lookup("doe").status
        };
        said.push_str(&status.to_string());
        status == 200
    };
    // Our own child, by its pid.
    let _ = gateway.kill();
    gateway.wait().unwrap();
    (answers, said)
}

#[test]
fn what_check_calls_valid_starts_and_answers_and_what_it_calls_an_error_does_not() {
    in_own_network(
        "check_host::what_check_calls_valid_starts_and_answers_and_what_it_calls_an_error_does_not",
        || {
            if !rustix::process::geteuid().is_root() {
                return left_out(&Missing::new("not root, who may be another user", "run as root"));
            }
            let upstream = Scripted::well();
            let cases =
                std::env::var(MORE).ok().and_then(|text| text.parse().ok()).unwrap_or(CASES);
            let mut random = fastrand::Rng::with_seed(13);
            let mut valid = 0;
            let alone = Fault::ALL.iter().map(|fault| vec![*fault]);
            let drawn = (0..cases).map(|_| {
                let count = *random.choice([0_usize, 0, 1, 2, 3].iter()).unwrap();
                random.choose_multiple(Fault::ALL.iter().copied(), count)
            });
            let drawn: Vec<Vec<Fault>> = alone.chain(drawn).collect();
            let cases = drawn.len();
            for (faults, port) in drawn.into_iter().zip(PORTS) {
                let case = case(&mut random, upstream.address(), &faults, port);
                let check =
                    run(case.directory.path(), &["check", "--as", "nobody", "-c", "gateway.toml"]);
                let (answers, said) = serves(&case);
                let told = format!("{}\ncheck: {}\nserve: {said}", case.told, check.stderr);
                assert!(matches!(check.code, Some(0 | 1)), "{told}");
                assert_eq!(check.code == Some(0), answers, "{told}");
                valid += usize::from(answers);
            }
            assert!(valid > cases / 5 && valid < cases, "{valid} of {cases}");
        },
    );
}

#[test]
fn addresses_ports_and_their_holders_are_named() {
    in_own_network("check_host::addresses_ports_and_their_holders_are_named", || {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join("policies")).unwrap();
        let check = |address: &str, source: &str| {
            let main = format!(
                "[[listen]]\naddress = \"{address}\"\n[upstream]\nurl = \"http://192.168.1.125:9\"\nsource = \"{source}\"\n\
                 [[access_log]]\npath = \"access.log\"\n"
            );
            fs::write(directory.path().join("gateway.toml"), main).unwrap();
            run(directory.path(), &["check", "-c", "gateway.toml"])
        };
        let fine = check("127.0.0.1:0", "192.168.1.125");
        assert_eq!(fine.code, Some(0), "{}", fine.stderr);
        assert!(
            fine.stderr.contains("warning: XiVO at http://192.168.1.125:9 takes no connection"),
            "{}",
            fine.stderr
        );
        let wrong = check("192.0.2.9:0", "192.0.2.77");
        assert_eq!(wrong.code, Some(1));
        for part in [
            "192.0.2.77 is no address of this host; it has 192.168.1.125",
            "192.0.2.9 is no address of this host; it has 192.168.1.125",
        ] {
            assert!(wrong.stderr.contains(part), "{part}: {}", wrong.stderr);
        }
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let held = check(&taken.local_addr().unwrap().to_string(), "192.168.1.125");
        assert_eq!(held.code, Some(1));
        let holder = format!("(process {})", std::process::id());
        assert!(held.stderr.contains(&holder), "{holder}: {}", held.stderr);
        let offline = run(directory.path(), &["check", "--offline", "-c", "gateway.toml"]);
        assert_eq!(offline.code, Some(0), "{}", offline.stderr);
    });
}

#[test]
fn a_gateway_is_known_whatever_its_program_is_called() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    fs::create_dir(at("policies")).unwrap();
    fs::copy(command().get_program(), at("g")).unwrap();
    let address = address_of_its_own();
    let main = format!(
        "state_directory = \"state\"\n[[listen]]\naddress = \"{address}\"\n[upstream]\nurl = \"http://127.0.0.1:9\"\n\
         danger_loopback_source = true\n[[access_log]]\npath = \"access.log\"\n[control]\nsocket = \"\"\n"
    );
    fs::write(at("gateway.toml"), main).unwrap();
    let gateway = Process::start(&at("g"), &["serve", "-c", at("gateway.toml").to_str().unwrap()]);
    assert!(becomes_true(|| std::net::TcpStream::connect(address).is_ok()));
    let check = run(directory.path(), &["check", "-c", "gateway.toml"]);
    let note = format!(
        "note: {address}: another phonebook-gateway is listening there, with this configuration"
    );
    assert!(check.stderr.contains(&note), "{}", check.stderr);
    assert_eq!(check.code, Some(0), "{}", check.stderr);
    drop(gateway);
}
