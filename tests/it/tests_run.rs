//! `tests/run` installs nothing unasked, and what it installs leaves no job or service behind. It runs here in a root of
//! its own, with an apt-get, a cargo and an init that only write down what they are told.

use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use crate::support::needs::{or_left_out, program};

/// What it is given of the real machine.
const REAL: &[&str] =
    &["awk", "chmod", "comm", "dirname", "env", "find", "mkdir", "rm", "sort", "tee", "touch"];

/// All programs that the tests look for.
const TESTED: &[&str] = &[
    "nginx",
    "haproxy",
    "stunnel4",
    "zsh",
    "fish",
    "groff",
    "curl",
    "php-fpm",
    "php",
    "goaccess",
    "zstd",
    "chromium",
    "ip",
    "nft",
    "h2load",
    "openssl",
    "dnsmasq",
    "testssl",
    "hexdump",
    "fail2ban-regex",
    "lnav",
    "logrotate",
    "promtool",
];

/// Notes its words.
const NOTES: &str =
    "#!/bin/bash\necho \"${0##*/} $*${PHONEBOOK_GATEWAY_TEST_ALL:+ all}\" >>\"$LOG\"\n";

/// Knows of one dependency, and installs what starts by itself: in cron, in systemd and in init.
const APT_GET: &str = r#"
case " $* " in
    *" -s "*) printf 'Inst nginx (1)\nInst libexample1 (1)\nConf nginx (1)\n'; exit ;;
    *" update "*) exit ;;
esac
[[ -x $TESTS_RUN_ROOT/usr/sbin/policy-rc.d ]] && echo "policy stands" >>"$LOG"
cd "$TESTS_RUN_ROOT"
mkdir -p usr/sbin usr/bin usr/lib/cgi-bin etc/systemd/user/default.target.wants
for name in $TESTED; do printf '#!/bin/bash\n' >"usr/sbin/$name"; done
printf '#!/bin/bash\n' >usr/bin/python3
touch usr/lib/cgi-bin/awstats.pl etc/cron.d/awstats etc/cron.daily/logrotate etc/rc2.d/S01nginx
touch etc/systemd/system/multi-user.target.wants/nginx.service etc/systemd/user/default.target.wants/x.service
chmod 755 usr/sbin/* usr/bin/*
"#;

/// Disables what init starts.
const UPDATE_RC_D: &str = "rm -f \"$TESTS_RUN_ROOT\"/etc/rc2.d/S??\"$1\"\n";

/// What starts by itself, and has nothing to do with the tests.
const BEFORE: &[&str] = &[
    "etc/cron.d/own",
    "etc/rc2.d/S01ssh",
    "etc/systemd/system/multi-user.target.wants/ssh.service",
];

struct Machine(tempfile::TempDir);

impl Machine {
    fn new() -> Self {
        let machine = Self(tempfile::tempdir().unwrap());
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/run");
        fs::create_dir_all(machine.path("checkout/tests")).unwrap();
        fs::copy(source, machine.path("checkout/tests/run")).unwrap();
        fs::create_dir(machine.path("bin")).unwrap();
        for name in REAL {
            symlink(program(name, "coreutils").unwrap(), machine.path("bin").join(name)).unwrap();
        }
        machine.program("id", "echo 0\n");
        for name in ["cargo", "systemctl"] {
            machine.program(name, NOTES);
        }
        machine.program("apt-get", &format!("{NOTES}{APT_GET}"));
        machine.program("update-rc.d", &format!("{NOTES}{UPDATE_RC_D}"));
        for path in BEFORE {
            let path = machine.path("root").join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        for path in ["root/etc/cron.daily", "root/usr/sbin", "root/run/systemd/system"] {
            fs::create_dir_all(machine.path(path)).unwrap();
        }
        machine
    }

    fn path(&self, path: &str) -> PathBuf {
        self.0.path().join(path)
    }

    fn program(&self, name: &str, text: &str) {
        let path = self.path("bin").join(name);
        fs::write(&path, format!("#!/bin/bash\n{text}")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        command
            .env_clear()
            .env("PATH", self.path("bin"))
            .env("TESTS_RUN_ROOT", self.path("root"))
            .env("TESTED", TESTED.join(" "))
            .env("LOG", self.path("log"))
            .stdin(Stdio::null());
        command
    }

    fn run(&self, words: &[&str], ci: Option<&str>) -> (Option<i32>, String) {
        let mut command = self.command(self.path("checkout/tests/run"));
        said(&command.args(words).envs(ci.map(|value| ("CI", value))).output().unwrap())
    }

    /// The same on a terminal on which `answer` is typed.
    fn on_terminal(&self, answer: &str) -> Option<(Option<i32>, String)> {
        let script = or_left_out(program("script", "bsdutils"))?;
        let words = format!(
            "printf '%s\\n' {answer} | {} -qec checkout/tests/run /dev/null",
            script.display()
        );
        let mut command = self.command("/bin/bash");
        command.env("SHELL", "/bin/bash").current_dir(self.0.path());
        Some(said(&command.args(["-o", "pipefail", "-c", &words]).output().unwrap()))
    }

    /// What the programs were told, but for the lists of what would be installed.
    fn log(&self) -> Vec<String> {
        let text = fs::read_to_string(self.path("log")).unwrap_or_default();
        text.lines().filter(|line| !line.contains(" -s ")).map(str::to_owned).collect()
    }

    fn ran(&self, words: &str) -> bool {
        self.log().iter().any(|line| line == words)
    }

    fn installed(&self) -> bool {
        self.log().iter().any(|line| line.starts_with("apt-get "))
    }

    /// What starts by itself now.
    fn jobs(&self) -> Vec<String> {
        let root = self.path("root");
        let mut found = Vec::new();
        let mut directories = vec![root.join("etc")];
        while let Some(directory) = directories.pop() {
            for entry in directory.read_dir().unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    directories.push(path);
                } else {
                    found.push(path.strip_prefix(&root).unwrap().to_str().unwrap().to_owned());
                }
            }
        }
        found.sort();
        found
    }
}

fn said(output: &Output) -> (Option<i32>, String) {
    let said = [output.stdout.as_slice(), &output.stderr].concat();
    (output.status.code(), String::from_utf8(said).unwrap())
}

#[test]
fn where_nobody_can_be_asked_nothing_is_installed_and_what_would_be_is_listed() {
    for ci in [None, Some("")] {
        let machine = Machine::new();
        let (code, said) = machine.run(&["--test", "it"], ci);
        assert_eq!(code, Some(2), "{said}");
        for part in
            ["nginx haproxy", "fail2ban", ": libexample1\n", "tests/run --yes", "--no-install"]
        {
            assert!(said.contains(part), "{part}: {said}");
        }
        assert_eq!(machine.log(), [""; 0], "{said}");
    }
}

#[test]
fn what_is_installed_starts_nowhere_by_itself() {
    for (words, ci) in [(&["--yes", "--test", "it"][..], None), (&["--test", "it"], Some("true"))] {
        let machine = Machine::new();
        let (code, said) = machine.run(words, ci);
        assert_eq!(code, Some(0), "{said}");
        assert!(said.contains("nginx haproxy") && machine.installed(), "{said}");
        assert!(
            machine.ran("policy stands") && !machine.path("root/usr/sbin/policy-rc.d").exists()
        );
        assert_eq!(machine.jobs(), BEFORE);
        assert!(
            machine.ran("systemctl stop nginx.service") && machine.ran("systemctl daemon-reload")
        );
        assert!(machine.ran("update-rc.d nginx disable"));
        assert!(machine.ran("cargo test --locked --test it all"), "{:?}", machine.log());
        // Now that nothing is missing nobody is asked.
        fs::remove_file(machine.path("log")).unwrap();
        let (code, said) = machine.run(&[], None);
        assert_eq!((code, said.as_str()), (Some(0), ""));
        assert!(!machine.installed() && machine.ran("cargo test --locked all"));
    }
}

#[test]
fn a_policy_that_stands_already_stays() {
    let machine = Machine::new();
    let policy = machine.path("root/usr/sbin/policy-rc.d");
    fs::write(&policy, "#!/bin/sh\n").unwrap();
    assert_eq!(machine.run(&["--yes"], None).0, Some(0));
    assert_eq!(fs::read_to_string(policy).unwrap(), "#!/bin/sh\n");
    assert_eq!(machine.jobs(), BEFORE);
}

#[test]
fn without_an_installation_the_tests_that_need_nothing_run() {
    let machine = Machine::new();
    let (code, said) = machine.run(&["--no-install", "names"], None);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("missing here: nginx"), "{said}");
    assert!(!machine.installed() && machine.ran("cargo test --locked names"));
}

#[test]
fn on_a_terminal_there_is_a_question() {
    for (answer, is_yes) in [("y", true), ("yes", true), ("n", false), ("''", false), ("x", false)]
    {
        let machine = Machine::new();
        let Some((code, said)) = machine.on_terminal(answer) else { return };
        assert_eq!(code, Some(0), "{said}");
        assert!(said.contains("Install them?") && said.contains("libexample1"), "{said}");
        assert_eq!(machine.installed(), is_yes, "{answer}: {said}");
        let ran = if is_yes { "cargo test --locked all" } else { "cargo test --locked" };
        assert!(machine.ran(ran), "{answer}: {:?}", machine.log());
    }
}
