//! What `check` says of this host, held against what `serve` does on it.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    net::{SocketAddr, TcpListener},
    os::unix::fs::{PermissionsExt, chown},
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use crate::support::{
    needs::{Missing, left_out},
    network::in_own_network,
    program::{command, run},
    scripted::Scripted,
};

/// Whom the gateway runs as in these tests.
const NOBODY: u32 = 65534;

/// How many hosts are generated unless the variable says another number.
const CASES: usize = 40;
const MORE: &str = "PHONEBOOK_GATEWAY_TEST_HOSTS";

/// A host that is broken in some ways, or in none.
struct Case {
    directory: tempfile::TempDir,
    address: SocketAddr,
    told: String,
    /// Keeps a port from the gateway.
    _taken: Option<TcpListener>,
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

fn case(random: &mut fastrand::Rng, upstream: SocketAddr) -> Case {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    mode(directory.path(), 0o755);
    for name in ["policies", "logs", "state"] {
        fs::create_dir(at(name)).unwrap();
    }
    chown(at("logs"), Some(NOBODY), Some(NOBODY)).unwrap();
    // Half of the hosts are whole; the others have one fault.
    let fault = if random.bool() { 0 } else { random.usize(1..15) };
    let taken = (fault == 1).then(|| TcpListener::bind("127.0.0.1:0").unwrap());
    let port = taken.as_ref().map_or_else(free_port, |taken| taken.local_addr().unwrap().port());
    let (ip, port) = match fault {
        2 => ("192.0.2.77", port),
        3 => ("127.0.0.1", 81),
        _ => (*random.choice(["127.0.0.1", "192.168.1.125", "0.0.0.0"].iter()).unwrap(), port),
    };
    let source = match fault {
        4 => "source = \"192.0.2.77\"",
        _ if random.bool() => "source = \"192.168.1.125\"",
        _ => "",
    };
    let log = match fault {
        5 => "missing/access.log",
        6 => "gateway.toml/access.log",
        7 => "policies",
        _ if random.bool() => "logs/access.log",
        _ => "logs/$peer.log",
    };
    let log = if matches!(fault, 8 | 9) { "logs/access.log" } else { log };
    let tls = if fault == 10 {
        "tls = { certificate = \"a.pem\", private_key = \"a.key\" }\n"
    } else {
        ""
    };
    let main = format!(
        "state_directory = \"state\"\n[[listen]]\naddress = \"{ip}:{port}\"\n{tls}[upstream]\nurl = \"http://{upstream}\"\n\
         danger_loopback_source = true\n{source}\n[[access_log]]\npath = \"{log}\"\n[control]\nsocket = \"\"\n[limits]\nmax_connections = 100\n"
    );
    fs::write(at("gateway.toml"), &main).unwrap();
    let policy = "hosts = [\"127.0.0.1\", \"192.168.1.125\"]\n";
    fs::write(at("policies/lyon.toml"), policy).unwrap();
    match fault {
        8 => fs::write(at("logs/access.log"), "").unwrap(),
        9 => chown(at("logs"), Some(0), Some(0)).unwrap(),
        11 => mode(&at("gateway.toml"), 0o600),
        12 => mode(&at("policies/lyon.toml"), 0o600),
        13 => mode(&at("policies"), 0o700),
        14 => mode(&at("state"), 0o700),
        _ => {}
    }
    let address =
        SocketAddr::new(if ip == "0.0.0.0" { "127.0.0.1" } else { ip }.parse().unwrap(), port);
    Case { directory, address, told: format!("fault {fault}\n{main}"), _taken: taken }
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
        let mut client = std::net::TcpStream::connect(case.address).unwrap();
        client.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let path = "/service/ipbx/json.php/restricted/pbx_services/phonebook?act=search&search=doe";
        write!(client, "GET {path} HTTP/1.1\r\nHost: xivo\r\n\r\n").unwrap();
        let mut status = String::new();
        BufReader::new(client).read_line(&mut status).unwrap();
        said.push_str(&status);
        status.starts_with("HTTP/1.1 200")
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
            for _ in 0..cases {
                let case = case(&mut random, upstream.address());
                let check =
                    run(case.directory.path(), &["check", "--as", "nobody", "-c", "gateway.toml"]);
                let (answers, said) = serves(&case);
                let told = format!("{}\ncheck: {}\nserve: {said}", case.told, check.stderr);
                assert!(matches!(check.code, Some(0 | 1)), "{told}");
                assert_eq!(check.code == Some(0), answers, "{told}");
                valid += usize::from(answers);
            }
            assert!(valid > cases / 4 && valid < cases, "{valid} of {cases}");
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
