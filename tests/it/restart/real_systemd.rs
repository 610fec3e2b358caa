//! A real systemd, with the unit of the package: what it is told it believes, and it keeps the sockets.
//!
//! It is the first process of namespaces of its own, over a copy of this machine's files that is gone at the end; the
//! network is the test's, so that lookups come from here.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use tempfile::TempDir;

use super::{asking, setup, xivo};
use crate::support::{
    binary::address_of_its_own,
    needs::{Missing, left_out},
    network::in_own_network,
    process::{Process, becomes_true},
    raw::Client,
};

/// Boots systemd in the directory `$1`, whose `share` is /run/share there.
const BOOT: &str = r#"
trap 'kill -9 $machine' TERM
unshare --mount --pid --fork --uts --ipc --cgroup --kill-child sh -ec '
    mount --make-rprivate /
    mkdir -p "$1/files" "$1/root"
    mount -t tmpfs none "$1/files"
    mkdir "$1/files/upper" "$1/files/work"
    mount -t overlay none "$1/root" -o "lowerdir=/,upperdir=$1/files/upper,workdir=$1/files/work"
    cd "$1/root"
    mount -t proc none proc
    # It would set limits of the kernel at its start.
    mount --bind proc/sys proc/sys
    mount -o remount,bind,ro proc/sys
    mount --rbind /sys sys
    mount -t tmpfs none sys/fs/cgroup
    mount -t cgroup2 none sys/fs/cgroup
    mount -t tmpfs none run
    mount -t tmpfs none tmp
    mount --rbind /dev dev
    mkdir run/share
    mount --bind "$1/share" run/share
    rm -rf etc/systemd/system/*.wants var/log/journal
    cp run/share/orders.service etc/systemd/system/
    cp run/share/phonebook-gateway.service etc/systemd/system/
    mkdir -p etc/systemd/system/phonebook-gateway.service.d
    cp run/share/test.conf etc/systemd/system/phonebook-gateway.service.d/
    cp run/share/phonebook-gateway usr/bin/
    cp -r run/share/etc etc/phonebook-gateway
    exec env -i container=test PATH=/usr/sbin:/usr/bin:/sbin:/bin \
        chroot . /lib/systemd/systemd --system --unit=orders.service --log-target=console --show-status=no
' sh "$1" >"$1/console" 2>&1 </dev/null &
machine=$!
wait $machine
"#;

/// Runs the scripts that come, in turn.
const ORDERS: &str = "[Unit]\nDefaultDependencies=no\n[Service]\nType=exec\nExecStart=/bin/sh -c \"n=0; while :; do \
    if [ -e /run/share/order.$$n ]; then sh /run/share/order.$$n >/run/share/said.$$n 2>&1; \
    echo $$? >/run/share/code.new; mv /run/share/code.new /run/share/code.$$n; n=$$((n + 1)); \
    else sleep 0.02; fi; done\"\n";

/// Namespaces within namespaces are not everywhere allowed; everything else is as the package has it.
const DROP_IN: &str = "[Service]\nPrivateUsers=no\n";

/// A machine that systemd runs.
struct Machine {
    // Ended before its files are removed.
    _process: Process,
    directory: TempDir,
    orders: usize,
}

impl Machine {
    /// One with this configuration; none where this host cannot have one.
    fn boot(main: &str, policies: &[(String, String)]) -> Result<Self, Missing> {
        let missing = |what: &str, remedy: &str| Err(Missing::new(what, remedy));
        if !Path::new("/lib/systemd/systemd").is_file() {
            return missing("no systemd", "apt-get install systemd");
        }
        let mut probe = Command::new("unshare");
        probe.args(["--mount", "--pid", "--fork", "--cgroup", "true"]).stderr(Stdio::null());
        if !probe.status().is_ok_and(|status| status.success()) {
            return missing("no namespaces of its own", "run as root");
        }
        let directory = tempfile::tempdir().unwrap();
        let share = directory.path().join("share");
        fs::create_dir_all(share.join("etc/policies")).unwrap();
        let packaging = Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging");
        for name in ["phonebook-gateway.service", "phonebook-gateway.sysusers"] {
            fs::copy(packaging.join(name), share.join(name)).unwrap();
        }
        let program = env!("CARGO_BIN_EXE_phonebook-gateway");
        fs::copy(program, share.join("phonebook-gateway")).unwrap();
        fs::write(share.join("orders.service"), ORDERS).unwrap();
        fs::write(share.join("test.conf"), DROP_IN).unwrap();
        fs::write(share.join("etc/gateway.toml"), main).unwrap();
        for (name, text) in policies {
            fs::write(share.join(format!("etc/policies/{name}.toml")), text).unwrap();
        }
        let path = directory.path().to_str().unwrap();
        let process = Process::start(Path::new("sh"), &["-c", BOOT, "sh", path]);
        let mut machine = Self { _process: process, directory, orders: 0 };
        machine.order("true");
        if !becomes_true(|| machine.share("code.0").exists()) {
            let console = fs::read_to_string(machine.directory.path().join("console"));
            let what = format!("systemd does not boot: {}", console.unwrap_or_default().trim());
            return Err(Missing::new(what, "a kernel with overlay and cgroup 2, as root"));
        }
        Ok(machine)
    }

    fn share(&self, name: &str) -> PathBuf {
        self.directory.path().join("share").join(name)
    }

    fn order(&mut self, script: &str) -> usize {
        let number = self.orders;
        self.orders += 1;
        fs::write(self.share("order.new"), script).unwrap();
        fs::rename(self.share("order.new"), self.share(&format!("order.{number}"))).unwrap();
        number
    }

    /// Its exit code, and what it has written.
    fn run(&mut self, script: &str) -> (i32, String) {
        let number = self.order(script);
        let code = self.share(&format!("code.{number}"));
        assert!(becomes_true(|| code.exists()), "{script}");
        let said = fs::read_to_string(self.share(&format!("said.{number}"))).unwrap();
        (fs::read_to_string(code).unwrap().trim().parse().unwrap(), said)
    }

    /// What it has written, when it succeeds.
    fn well(&mut self, script: &str) -> String {
        let (code, said) = self.run(script);
        assert_eq!(code, 0, "{script}: {said}");
        said
    }

    /// A property of the unit.
    fn unit(&mut self, property: &str) -> String {
        let said =
            self.well(&format!("systemctl show --property={property} --value phonebook-gateway"));
        said.trim().to_owned()
    }

    fn unit_becomes(&mut self, property: &str, is: impl Fn(&str) -> bool) -> String {
        let mut value = String::new();
        let became = becomes_true(|| {
            value = self.unit(property);
            is(&value)
        });
        if !became {
            let (_, journal) =
                self.run("journalctl --unit=phonebook-gateway --no-pager --output=cat");
            panic!("{property}: {value}: {journal}");
        }
        value
    }
}

/// Not counted by what limits starts in a short time: a test is faster than administrators are.
const RESTART: &str =
    "systemctl reset-failed phonebook-gateway; systemctl restart phonebook-gateway";

#[test]
fn the_unit_of_the_package_reloads_and_restarts_and_nobody_is_refused() {
    // systemd sets limits of its network at its start.
    in_own_network(
        "restart::real_systemd::the_unit_of_the_package_reloads_and_restarts_and_nobody_is_refused",
        reloads_and_restarts,
    );
}

fn reloads_and_restarts() {
    let upstream = xivo();
    let address = address_of_its_own();
    let setup = setup(&upstream, address);
    let main = setup.main_file("/var/log/phonebook-gateway/access.log");
    let mut machine = match Machine::boot(&main, &setup.policies) {
        Ok(machine) => machine,
        Err(missing) => return left_out(&missing),
    };
    machine.well(
        "systemctl start systemd-journald.socket systemd-journald && systemd-sysusers /run/share/phonebook-gateway.sysusers && chgrp -R phonebook-gateway /etc/phonebook-gateway \
         && systemctl start phonebook-gateway",
    );
    // `start` returns when it is ready, and not before.
    let (asked, ()) = asking(address, |_| {
        let status = machine.unit("StatusText");
        assert!(status.starts_with(&format!("listening on {address}; 1 peer; ")), "{status}");
        assert_eq!(machine.unit("NFileDescriptorStore"), "2");
        // Beside the service `check` sees the gateway, and not systemd, which has its sockets too.
        let said = machine.well("phonebook-gateway check");
        let note = format!(
            "note: {address}: another phonebook-gateway is listening there, with this configuration"
        );
        assert!(said.contains(&note), "{said}");
        assert!(
            said.contains("files were read as the service's user, phonebook-gateway"),
            "{said}"
        );
        let first = machine.unit("MainPID");
        machine.well(RESTART);
        machine.well(RESTART);
        let second = machine.unit("MainPID");
        assert_ne!(first, second);
        // Another file in the place of the program.
        machine.well(
            "cp /usr/bin/phonebook-gateway /tmp/new && mv /tmp/new /usr/bin/phonebook-gateway",
        );
        machine.well(RESTART);
        let third = machine.unit("MainPID");
        machine.well(&format!("kill -USR2 {third}"));
        let fourth = machine.unit_becomes("MainPID", |pid| pid != "0" && pid != third);
        assert!(becomes_true(|| machine.run(&format!("kill -0 {third}")).0 != 0));
        assert_eq!(
            (machine.unit("ActiveState"), machine.unit("MainPID")),
            ("active".into(), fourth)
        );
    });
    assert!(asked > 50, "{asked}");
    // Who comes after a crash waits for the next process.
    let crashes = machine.unit("MainPID");
    machine.well(&format!("kill -KILL {crashes}"));
    assert_eq!(Client::connect(address).lookup("one").status, 200);
    machine.unit_becomes("MainPID", |pid| pid != "0" && pid != crashes);
    machine.unit_becomes("ActiveState", |state| state == "active");
    let nice = "/etc/phonebook-gateway/policies/nice.toml";
    machine.well(&format!(
        "echo 'hosts = [\"192.0.2.7\"]' >{nice}; systemctl reload phonebook-gateway"
    ));
    machine.unit_becomes("StatusText", |status| status.contains("; 2 peers; "));
    // A reload that is refused fails at the shell, and a start too, once.
    let (code, said) =
        machine.run(&format!("echo wrong = 1 >>{nice}; systemctl reload phonebook-gateway"));
    assert_ne!(code, 0, "{said}");
    let status = machine.unit_becomes("StatusText", |status| status.contains("differs from disk"));
    assert!(status.contains("nice.toml:2: "), "{status}");
    assert_eq!(machine.unit("ActiveState"), "active");
    let (code, said) = machine.run(RESTART);
    assert_ne!(code, 0, "{said}");
    assert_eq!(
        (machine.unit("ActiveState"), machine.unit("NRestarts")),
        ("failed".into(), "0".into())
    );
    machine.well(&format!(
        "rm {nice}; systemctl start phonebook-gateway && systemctl stop phonebook-gateway"
    ));
    assert_eq!(machine.unit("NFileDescriptorStore"), "0");
    assert!(std::net::TcpStream::connect(address).is_err());
    closes(&mut machine);
    if cfg!(debug_assertions) {
        hangs(&mut machine);
    }
}

/// What the unit closes to the service `check` knows, and a start fails on.
fn closes(machine: &mut Machine) {
    let file = "/etc/phonebook-gateway/gateway.toml";
    let log = "/var/log/phonebook-gateway/access.log";
    machine.well("mkdir -p /srv/logs /home/policies && chown phonebook-gateway /srv/logs && chmod 755 /home/policies");
    let mut is_valid = |change: &str, expected: Result<&str, &str>| {
        machine.well(&format!("cp {file} /tmp/kept; {change}"));
        let (checked, told) = machine.run("phonebook-gateway check");
        let (started, said) = machine.run(RESTART);
        machine.well(&format!("cp /tmp/kept {file}; systemctl stop phonebook-gateway"));
        assert_eq!(checked == 0, started == 0, "{change}: {told}\n{said}");
        assert_eq!(checked == 0, expected.is_ok(), "{change}: {told}");
        let (Ok(part) | Err(part)) = expected;
        assert!(told.contains(part), "{part}: {told}");
    };
    let log_in = |path: &str| format!("sed -i 's#{log}#{path}#' {file}");
    is_valid(&log_in("/srv/logs/access.log"), Err("few directories (ProtectSystem=strict)"));
    is_valid(&log_in("/home/access.log"), Err("hides /home from the service (ProtectHome=yes)"));
    is_valid(
        &log_in("/tmp/access.log"),
        Ok("a /tmp of its own, which ends with it (PrivateTmp=yes)"),
    );
    is_valid(
        &format!("printf '[policies]\\ndirectory = \"/home/policies\"\\n' >>{file}"),
        Err("the service cannot see /home/policies"),
    );
    // As the help says.
    let drop_in = "/etc/systemd/system/phonebook-gateway.service.d/writes.conf";
    let lets = format!(
        "printf '[Service]\\nReadWritePaths=/srv/logs\\n' >{drop_in}; systemctl daemon-reload"
    );
    is_valid(&format!("{lets}; {}", log_in("/srv/logs/access.log")), Ok("is valid"));
}

/// A gateway whose workers hang is ended and started again.
fn hangs(machine: &mut Machine) {
    let conf =
        "[Service]\\nWatchdogSec=1\\nEnvironment=PHONEBOOK_GATEWAY_TEST_END=accept-0=hang\\n";
    machine.well(&format!(
        "printf '{conf}' >/etc/systemd/system/phonebook-gateway.service.d/hangs.conf; systemctl daemon-reload; \
         systemctl start phonebook-gateway"
    ));
    machine.unit_becomes("NRestarts", |restarts| restarts != "0");
    machine
        .well("systemctl kill --signal=KILL phonebook-gateway; systemctl stop phonebook-gateway");
}
