//! Whatever stands in the place of a file that the gateway reads, it is not waited for and does not fill the memory.

use std::{
    fs::{self, File},
    os::unix::{
        fs::{PermissionsExt, symlink},
        net::UnixListener,
    },
    path::Path,
    process::Stdio,
};

use rustix::fs::{CWD, FileType, mknodat};
use rustls::version;
use time::Duration;

use crate::support::{
    binary::Binary,
    live::Setup,
    pki::{Authority, Wanted, replace},
    process::becomes_true,
    program::{Run, command},
    scripted::Scripted,
    tls::{self, credulous, file, text},
};

/// What may stand in the place of a file, and what is said of it.
const ODD: [(&str, &str); 6] = [
    ("pipe", "it is a pipe; allowed: a regular file"),
    ("device", "it is a device; allowed: a regular file"),
    ("socket", "it is a socket; allowed: a regular file"),
    ("directory", "it is a directory; allowed: a regular file"),
    ("endless", "it is too large; allowed: up to "),
    ("nothing", "it cannot be read: No such file"),
];

/// Puts something odd at `path`.
fn put(odd: &str, path: &Path) {
    let _ = fs::remove_file(path);
    let _ = fs::remove_dir(path);
    match odd {
        "pipe" => mknodat(CWD, path, FileType::Fifo, 0o600.into(), 0).unwrap(),
        "device" => symlink("/dev/zero", path).unwrap(),
        "socket" => drop(UnixListener::bind(path).unwrap()),
        "directory" => fs::create_dir(path).unwrap(),
        // Sparse: it takes no room on the disk.
        "endless" => File::create(path).unwrap().set_len(1 << 40).unwrap(),
        _ => {}
    }
}

/// Runs the program, which may take no longer than a test has patience.
fn run(directory: &Path, words: &[&str]) -> Run {
    let file = |name: &str| File::create(directory.join(name)).unwrap();
    let mut child = command()
        .current_dir(directory)
        .args(words)
        .stdout(file("stdout"))
        .stderr(Stdio::from(file("stderr")))
        .spawn()
        .unwrap();
    let mut status = None;
    becomes_true(|| {
        status = child.try_wait().unwrap();
        status.is_some()
    });
    if status.is_none() {
        child.kill().unwrap();
        child.wait().unwrap();
        panic!("{words:?} does not end");
    }
    let read = |name: &str| fs::read_to_string(directory.join(name)).unwrap();
    Run { code: status.unwrap().code(), stdout: read("stdout"), stderr: read("stderr") }
}

/// A directory with a whole configuration, and the files that it names.
fn site() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    let authority = Authority::new("CA");
    authority.issue(&Wanted::server("localhost")).write(at, "gateway");
    file(at, "ca.pem", authority.pem());
    file(at, "clients.crl", &authority.revocations(&[], Duration::DAY));
    file(at, "xivo.pem", authority.pem());
    let token = file(at, "admin.token", "0123456789abcdef");
    fs::set_permissions(token, fs::Permissions::from_mode(0o600)).unwrap();
    let tls = "certificate = \"gateway.pem\", private_key = \"gateway.key\", client_ca = \"ca.pem\", \
               crl = \"clients.crl\"";
    let main = format!(
        "state_directory = \"state\"\n[[listen]]\naddress = \"127.0.0.1:0\"\ntls = {{ {tls} }}\n\
         [upstream]\nurl = \"https://192.0.2.80\"\nca = \"xivo.pem\"\n\
         [[access_log]]\npath = \"access.log\"\nsearch_terms = \"hash\"\n\
         [names]\nresolver = [\"127.0.0.1\"]\n[admin]\ntoken_file = \"admin.token\"\n"
    );
    file(at, "gateway.toml", &main);
    fs::create_dir(at.join("policies")).unwrap();
    file(&at.join("policies"), "lyon.toml", "hosts = [\"192.0.2.1\", \"lyon.example\"]\n");
    fs::create_dir(at.join("state")).unwrap();
    directory
}

#[test]
fn whatever_stands_in_the_place_of_a_file_is_an_error_that_names_it() {
    let check: &[&str] = &["check", "--offline", "--config", "gateway.toml"];
    let shown: &[&str] = &["certs", "show", "gateway.pem", "--config", "gateway.toml"];
    let explain = |certificate| {
        let url =
            "https://localhost/service/ipbx/json.php/restricted/pbx_services/phonebook?act=list";
        [
            "explain",
            "--config",
            "gateway.toml",
            "--from",
            "192.0.2.1",
            "--certificate",
            certificate,
            url,
        ]
    };
    for (name, words, codes) in [
        ("gateway.pem", check, [1, 1]),
        ("gateway.key", check, [1, 1]),
        ("ca.pem", check, [1, 1]),
        ("clients.crl", check, [1, 1]),
        ("xivo.pem", check, [1, 1]),
        ("admin.token", check, [1, 1]),
        ("gateway.toml", check, [1, 1]),
        ("gateway.pem", shown, [1, 1]),
        ("who.pem", &explain("who.pem"), [2, 2]),
    ] {
        for (odd, what) in ODD {
            let site = site();
            put(odd, &site.path().join(name));
            let run = run(site.path(), words);
            let said = format!("{}{}", run.stdout, run.stderr);
            let case = format!("{name} is {odd}: {said}");
            assert!(codes.contains(&run.code.unwrap()), "{case}");
            assert!(said.contains(name), "{case}");
            let what = if name == "gateway.toml" {
                what.replace("it cannot be read: ", "")
            } else {
                what.to_owned()
            };
            assert!(said.contains(&what), "{case}");
        }
    }
}

#[test]
fn a_policy_that_is_no_regular_file_lets_nobody_in_and_is_told() {
    for (odd, _) in ODD.iter().filter(|(odd, _)| *odd != "nothing") {
        let site = site();
        put(odd, &site.path().join("policies/metz.toml"));
        let run = run(site.path(), &["check", "--offline", "--config", "gateway.toml"]);
        let said = format!("{}{}", run.stdout, run.stderr);
        assert!(said.contains("policies/metz.toml"), "{odd}: {said}");
        let (code, what) = match *odd {
            "endless" => (1, "it is too large; allowed: up to 1 MiB"),
            _ => (0, "this is no regular file, and not read as a policy"),
        };
        assert_eq!(run.code, Some(code), "{odd}: {said}");
        assert!(said.contains(what), "{odd}: {said}");
    }
}

#[test]
fn the_state_is_not_waited_for_and_a_gateway_starts_without_it() {
    for (odd, what) in ODD {
        for name in ["names.json", "search-terms.key"] {
            let upstream = Scripted::well();
            let directory = tempfile::tempdir().unwrap();
            let state = directory.path().join("state");
            fs::create_dir(&state).unwrap();
            put(odd, &state.join(name));
            let mut setup = Setup::new(upstream.address());
            setup.policies.push(("named".to_owned(), "hosts = [\"gateway.invalid\"]\n".to_owned()));
            let main = setup
                .main_file("access.log")
                .replace("path = \"access.log\"", "path = \"access.log\"\nsearch_terms = \"hash\"");
            let main = format!(
                "state_directory = {:?}\n{main}\n[names]\nresolver = [\"127.0.0.1:9\"]\n",
                text(&state)
            );
            let policies: Vec<(&str, &str)> =
                setup.policies.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
            let mut gateway = Binary::serve_texts(&main, &policies);
            gateway.address();
            let stderr = gateway.stderr();
            if odd != "nothing" {
                assert!(stderr.contains(what) && stderr.contains(name), "{odd}, {name}: {stderr}");
            }
        }
    }
}

#[test]
fn a_pipe_in_the_place_of_a_certificate_holds_nothing_up() {
    let authority = Authority::new("CA");
    let directory = tempfile::tempdir().unwrap();
    let first = authority.issue(&Wanted::server("localhost"));
    let (pem, key) = first.write(directory.path(), "gateway");
    let crl = file(directory.path(), "clients.crl", &authority.revocations(&[], Duration::DAY));
    let ca = file(directory.path(), "ca.pem", authority.pem());
    let upstream = Scripted::well();
    let mut setup = Setup::new(upstream.address());
    setup.listen = format!(
        "tls = {{ certificate = {:?}, private_key = {:?}, client_ca = {:?}, crl = {:?} }}\n",
        text(&pem),
        text(&key),
        text(&ca),
        text(&crl)
    );
    let mut gateway = Binary::serve(&setup);
    let address = gateway.address();
    let config = credulous(&[&version::TLS13], None);
    let shown = || tls::shown(&tls::connect(address, &config, "localhost").unwrap());
    assert!(shown() == first.der);
    let loads = |gateway: &Binary| gateway.stderr().matches("was reloaded").count();
    for (at, (path, odd)) in
        [(&pem, "pipe"), (&key, "endless"), (&ca, "device"), (&crl, "pipe")].into_iter().enumerate()
    {
        let kept = path.with_extension("kept");
        fs::rename(path, &kept).unwrap();
        put(odd, path);
        let name = path.file_name().unwrap().to_str().unwrap();
        let (_, what) = ODD.into_iter().find(|(known, _)| *known == odd).unwrap();
        let told = || {
            let stderr = gateway.stderr();
            stderr.lines().any(|line| line.contains(name) && line.contains(what))
        };
        assert!(becomes_true(told), "{name} is {odd}: {}", gateway.stderr());
        assert!(shown() == first.der, "what was loaded last stays in use");
        fs::rename(&kept, path).unwrap();
        assert!(becomes_true(|| loads(&gateway) > at), "{name}: {}", gateway.stderr());
    }
    // The thread is still there, and takes what is well again.
    let second = authority.issue(&Wanted::server("localhost"));
    replace(&key, &second.key);
    replace(&pem, &second.certificate);
    assert!(becomes_true(|| shown() == second.der), "{}", gateway.stderr());
}

#[test]
fn the_state_directory_and_what_is_in_it_are_for_the_gateway_and_its_group() {
    let upstream = Scripted::well();
    let directory = tempfile::tempdir().unwrap();
    let state = directory.path().join("state");
    let main = Setup::new(upstream.address()).main_file("access.log");
    let main =
        main.replace("path = \"access.log\"", "path = \"access.log\"\nsearch_terms = \"hash\"");
    let main = format!("state_directory = {:?}\n{main}", text(&state));
    let mut gateway =
        Binary::serve_texts(&main, &[("lyon", "hosts = [\"127.0.0.1\", \"localhost\"]\n")]);
    gateway.address();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
    assert!(becomes_true(|| state.join("search-terms.key").exists()));
    assert_eq!(mode(&state) & !0o750, 0, "{:o}", mode(&state));
    for entry in fs::read_dir(&state).unwrap() {
        let path = entry.unwrap().path();
        assert_eq!(mode(&path) & !0o640, 0, "{path:?}: {:o}", mode(&path));
    }
}
