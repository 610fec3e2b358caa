//! `-T` prints the configuration as it takes effect, and what it prints is a configuration.

use std::{fs, path::Path};

use crate::support::program::{Site, run};

const MAIN: &str = r#"# the cellar's key is 4711
[[listen]]
address = "[::]:9480"
tls = { certificate = "certs/localhost.pem", private_key = "certs/localhost.key", client_ca = "certs/ca.pem" }

[upstream]
url = "http://127.0.0.1:80"
source = "192.168.1.125"

[[access_log]]
path = "log/${peer}.log"
format = "ours"

[log_format]
ours = '$remote_addr "$request" $status'
"#;

const PEER: (&str, &str) =
    ("lyon", "hosts = [\"198.51.100.0/29\"]\n[certificate]\ncommon_name = [\"lyon\"]\n");

fn site() -> Site {
    let site = Site::new(MAIN, &[PEER]);
    for words in [&["init"][..], &["server", "localhost"]] {
        let run = site.run(&[&["certs", "-c", "gateway.toml"], words].concat());
        assert_eq!(run.code, Some(0), "{run:?}");
    }
    site
}

/// Writes the files of a dump below `root`, each where it was: the main file and the policies.
fn unpack(dump: &str, root: &Path) -> Vec<String> {
    let mut names = Vec::new();
    for file in dump.split("# configuration file ").skip(1) {
        let (name, text) = file.split_once(":\n").unwrap();
        let path = root.join(name.strip_prefix('/').unwrap());
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
        names.push(name.to_owned());
    }
    names
}

#[test]
fn a_dump_is_a_configuration_that_takes_the_same_effect() {
    let site = site();
    let directory = site.main_file().parent().unwrap().to_owned();
    let dump = site.run(&["check", "-T", "--offline", "-c", "gateway.toml"]);
    assert_eq!(dump.code, Some(0), "{dump:?}");
    assert!(dump.stderr.ends_with("is valid: 1 peer, 1 listener, no warnings\n"), "{dump:?}");
    let other = tempfile::tempdir().unwrap();
    let names = unpack(&dump.stdout, other.path());
    let expected = ["gateway.toml", "policies/lyon.toml"].map(|name| directory.join(name));
    assert_eq!(names, expected.each_ref().map(|path| path.to_str().unwrap()));
    // Read from elsewhere, with the policies that it names, and then with its own.
    let main = other.path().join(names[0].trim_start_matches('/'));
    let again = run(other.path(), &["check", "--offline", "--dump", "-c", main.to_str().unwrap()]);
    assert_eq!(again.code, Some(0), "{again:?}");
    let renamed = |dump: &str| {
        dump.replace(&format!("file {}:", main.display()), &format!("file {}:", names[0]))
    };
    assert_eq!(renamed(&again.stdout), dump.stdout);
    for name in &names[1..] {
        let unpacked = other.path().join(name.trim_start_matches('/'));
        fs::copy(unpacked, name).unwrap();
    }
    let again =
        run(other.path(), &["check", "-T", "--offline", "-q", "-c", main.to_str().unwrap()]);
    assert_eq!((again.code, again.stderr.as_str()), (Some(0), ""));
    assert_eq!(renamed(&again.stdout), dump.stdout);
}

#[test]
fn keys_are_named_and_neither_they_nor_comments_are_shown() {
    let site = site();
    let directory = site.main_file().parent().unwrap().to_owned();
    let dump = site.run(&["check", "-T", "--offline", "-c", "gateway.toml"]).stdout;
    let key = directory.join("certs/localhost.key");
    assert!(dump.contains(&format!("private_key = [\"{}\"]", key.display())), "{dump}");
    let secret = fs::read_to_string(key).unwrap();
    let secret = secret.lines().nth(1).unwrap();
    assert!(secret.len() > 20 && !dump.contains(secret), "{dump}");
    assert!(!dump.contains("PRIVATE KEY") && !dump.contains("4711"), "{dump}");
}

#[test]
fn what_is_not_valid_is_not_dumped() {
    let site = Site::new(&MAIN.replace("source", "souce"), &[PEER]);
    for words in
        [&["-T", "-c", "gateway.toml"][..], &["check", "-T", "--offline", "-c", "gateway.toml"]]
    {
        let run = site.run(words);
        assert_eq!((run.code, run.stdout.as_str()), (Some(1), ""), "{run:?}");
        assert!(run.stderr.contains("did you mean `source`?"), "{run:?}");
    }
    let run = site.run(&["check", "-T", "--json", "-c", "gateway.toml"]);
    assert_eq!(run.code, Some(2), "{run:?}");
}
