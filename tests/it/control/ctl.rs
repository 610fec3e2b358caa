//! `ctl` as an administrator runs it.

use std::{
    fs,
    io::{Read, Write},
    os::unix::{fs::PermissionsExt, net::UnixListener},
    path::Path,
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    thread::{JoinHandle, spawn},
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use super::Controlled;
use crate::support::{
    needs::{Missing, left_out, or_left_out, program},
    process::becomes_true,
    program::{Run, Site, command, run},
    raw::Client,
};

impl Controlled {
    /// Runs `ctl` with these words and the gateway's configuration.
    fn ctl(&self, words: &[&str]) -> Run {
        let config = self.gateway.path("gateway.toml");
        let words = [&["ctl", "--config", config.to_str().unwrap()], words].concat();
        run(Path::new("/"), &words)
    }

    /// What it prints, if all is well.
    fn shown(&self, words: &[&str]) -> String {
        let run = self.ctl(words);
        assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""), "{words:?}: {run:?}");
        run.stdout
    }
}

#[test]
fn each_command_is_shown_for_people() {
    let controlled = Controlled::start();
    let mut client = controlled.client();
    assert_eq!(client.lookup("one").status, 200);
    client.send("GET /x HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(client.answer().status, 404);
    // Of two refusals in one millisecond, by two workers, either is the last.
    let now = || jiff::Timestamp::now().as_millisecond();
    let refused = now();
    assert!(becomes_true(|| now() > refused + 1));
    controlled.client().send("GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(becomes_true(|| controlled.shown(&["status"]).contains("1 answered, 2 refused")));
    let port = controlled.address.to_string();
    let xivo = format!("http://{}", controlled.upstream.address());
    let log = controlled.gateway.path("access.log");
    for (words, parts) in [
        (
            &["status"][..],
            &[
                "gateway        serving (",
                "as on disk, when the files were last looked at",
                &port,
                &xivo,
                "malformed-request 1, unknown-path 1",
                "1 with a policy, 1 of them in force now",
                &format!("{}: ", log.display()),
            ][..],
        ),
        (&["peers"], &["peer  state    left of rate", "lyon  allowed  ", "callers in no policy:"]),
        (
            &["peers", "lyon"],
            &[
                "policies/lyon.toml]",
                "127.0.0.1 [",
                "malformed-request: The request is not well-formed",
            ],
        ),
        (&["names"], &["No policy has a host name."]),
        (&["certs"], &["No listener has TLS."]),
        (&["connections"], &["peers 1, proxies 0", "peer   lyon"]),
        (&["errors"], &["    GET /a#b HTTP/1.1\\r\\nHost: …", "\n          ^\n"]),
        (&["top"], &["serving since ", "lyon  allowed"]),
        (&["log-level", "info", "--for", "10m"], &["diagnostics of `info` are told until "]),
        (
            &["disable", "lyon", "--for", "2h", "--why", "a virus"],
            &["`lyon` is refused (peer-disabled)"],
        ),
        (&["status"], &["disabled       lyon since ", "until ", ": a virus"]),
        (&["peers"], &["lyon  disabled"]),
        (&["peers", "lyon"], &["disabled: `lyon` was switched off at ", "a virus"]),
        (&["enable", "lyon"], &["may come in again"]),
        (&["reset", "lyon"], &["times at once again"]),
        (&["reopen"], &["opened again"]),
        (&["drain"], &["no further connections are taken"]),
    ] {
        let text = controlled.shown(words);
        for part in parts {
            assert!(text.contains(part), "{words:?}: {part:?} is missing in\n{text}");
        }
    }
}

#[test]
fn what_the_gateway_refuses_is_1_and_what_it_does_not_understand_2() {
    let controlled = Controlled::start();
    for (words, code, part) in [
        (&["peers", "lyonn"][..], 1, "did you mean `lyon`?"),
        (&["enable", "lyon"], 1, "was not switched off by `ctl disable`"),
        (&["disable", "lyon", "--for", "2"], 2, "has no unit"),
        (&["stauts"], 2, "did you mean `ctl status`?"),
        (&["log-level", "loud"], 2, "known are `error`"),
    ] {
        let run = controlled.ctl(words);
        assert_eq!((run.code, run.stdout.as_str()), (Some(code), ""), "{run:?}");
        assert!(run.stderr.contains(part), "{run:?}");
    }
    // As JSON it is said there, too.
    let run = controlled.ctl(&["peers", "lyonn", "--json"]);
    let answer: Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!((run.code, &answer["error"]["exit"]), (Some(1), &json!(1)));
}

#[test]
fn a_gateway_that_does_not_run_is_said_not_to_and_where_it_was_looked_for() {
    let site = Site::new("[control]\nsocket = \"control.sock\"\n", &[]);
    let directory = site.main_file().parent().unwrap().to_owned();
    let run = site.run(&["ctl", "--config", "gateway.toml", "status"]);
    assert_eq!(run.code, Some(3));
    for part in ["no gateway is running there", "control.sock", "gateway.toml:2", "systemctl start"]
    {
        assert!(run.stderr.contains(part), "{part}: {run:?}");
    }
    // One that has died.
    drop(UnixListener::bind(directory.join("control.sock")).unwrap());
    let run = site.run(&["ctl", "--config", "gateway.toml", "status"]);
    assert_eq!(run.code, Some(3));
    assert!(run.stderr.contains("nobody listens on control.sock"), "{run:?}");
    let run = site.run(&["ctl", "--socket", "other.sock", "status"]);
    assert!(run.stderr.contains("other.sock (named by --socket)"), "{run:?}");
    // A configuration without a socket, and none.
    fs::write(site.main_file(), "[control]\nsocket = \"\"\n").unwrap();
    let run = site.run(&["ctl", "--config", "gateway.toml", "status"]);
    assert!(
        run.code == Some(3) && run.stderr.contains("has no control socket (gateway.toml:2"),
        "{run:?}"
    );
    let run = site.run(&["ctl", "--config", "none.toml", "status"]);
    assert!(run.code == Some(3) && run.stderr.contains("none.toml: No such file"), "{run:?}");
}

#[test]
fn whoever_answers_something_else_is_not_taken_for_a_gateway() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("control.sock");
    let listener = UnixListener::bind(&socket).unwrap();
    let answers = [
        "HTTP/1.1 200 OK\r\n",
        "{\"version\":7,\"at\":\"2026-01-01T00:00:00Z\",\"ok\":{}}\n",
        "{\"version\":1,\"at\":\"2026-01-01T00:00:00Z\",\"ok\":{\"surprise\":1}}\n",
        "",
    ];
    let serve = spawn(move || {
        for answer in answers {
            let (mut stream, _) = listener.accept().unwrap();
            stream.write_all(answer.as_bytes()).unwrap();
        }
    });
    for part in ["is not understood", "version 7", "missing field", "did not answer"] {
        let run = run(directory.path(), &["ctl", "--socket", "control.sock", "status"]);
        assert!(run.code == Some(3) && run.stderr.contains(part), "{part}: {run:?}");
    }
    serve.join().unwrap();
}

#[test]
fn the_socket_is_found_in_a_configuration_that_is_broken() {
    let controlled = Controlled::start();
    let file = controlled.gateway.path("gateway.toml");
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, text.replace("workers = 2", "workers = = 2\nnonsense")).unwrap();
    assert!(becomes_true(|| {
        let shown = controlled.shown(&["status"]);
        shown.contains("running configuration differs from disk: ")
            && shown.contains("gateway.toml:2")
    }));
}

/// Runs `ctl` as another user, who is in these groups.
fn ctl_as(user: u32, group: u32, socket: &Path, words: &[&str]) -> Run {
    let this = command();
    let output = Command::new("setpriv")
        .args(["--reuid", &user.to_string(), "--regid", &group.to_string(), "--clear-groups", "--"])
        .arg(this.get_program())
        .args(["ctl", "--socket"])
        .arg(socket)
        .args(words)
        .env("USER", "guest")
        .env_remove("SUDO_USER")
        .env_remove("LOGNAME")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    Run {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

#[test]
fn whoever_may_open_the_socket_may_use_it_and_nobody_else() {
    if !rustix::process::geteuid().is_root() {
        return left_out(&Missing::new("another user's rights", "run the tests as root"));
    }
    if or_left_out(program("setpriv", "util-linux")).is_none() {
        return;
    }
    let controlled = Controlled::start();
    let socket = controlled.gateway.path("control.sock");
    let directory = socket.parent().unwrap();
    // As the unit makes it; the program itself has to be reached, too.
    let program = Path::new(env!("CARGO_BIN_EXE_phonebook-gateway"));
    if program
        .ancestors()
        .skip(1)
        .any(|it| fs::metadata(it).is_ok_and(|it| it.permissions().mode() & 1 == 0))
    {
        return left_out(&Missing::new(
            "a program that other users may run",
            "a target directory that they may enter",
        ));
    }
    let (guest, group) = (4_242, 4_243);
    // Nobody is advised to become a member of root's group.
    let run = ctl_as(guest, guest, &socket, &["status"]);
    assert!(run.stderr.ends_with("the group `root`. Ask as root\n"), "{run:?}");
    for path in [directory, &socket] {
        std::os::unix::fs::chown(path, None, Some(group)).unwrap();
    }
    for (mode, what) in [(0o750, "Its directory belongs"), (0o755, "The socket belongs")] {
        fs::set_permissions(directory, fs::Permissions::from_mode(mode)).unwrap();
        let run = ctl_as(guest, guest, &socket, &["status"]);
        assert_eq!(run.code, Some(3), "{run:?}");
        for part in ["you may not use the socket", what, "group `4243`", "usermod -aG 4243 guest"] {
            assert!(run.stderr.contains(part), "{part}: {run:?}");
        }
    }
    fs::set_permissions(directory, fs::Permissions::from_mode(0o750)).unwrap();
    let run = ctl_as(guest, group, &socket, &["disable", "lyon"]);
    assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""), "{run:?}");
    // The kernel knows who it was, and the name is only claimed.
    let off = controlled.told(json!({"command": "status"}))["disabled"][0].clone();
    assert_eq!((&off["uid"], &off["by"]), (&json!(guest), &json!("guest")));
}

#[test]
fn explain_says_when_the_running_gateway_is_older_than_the_files() {
    let controlled = Controlled::start();
    let config = controlled.gateway.path("gateway.toml");
    let config = config.to_str().unwrap();
    let target = "/service/ipbx/json.php/restricted/pbx_services/phonebook?act=search&search=doe";
    let explain = |from: &str, more: &[&str]| {
        let words = [&["explain", "--config", config, "--from", from, target], more].concat();
        run(Path::new("/"), &words)
    };
    let same = explain("127.0.0.1", &[]);
    assert_eq!((same.code, same.stderr.as_str()), (Some(0), ""), "{same:?}");
    // Lyon's neighbour has a policy now, and the running gateway does not know it.
    let policy = controlled.gateway.path("policies/nice.toml");
    fs::write(&policy, "hosts = [\"127.0.0.9\"]\nactions = [\"search\"]\n").unwrap();
    let newer = explain("127.0.0.9", &[]);
    assert_eq!(newer.code, Some(0), "{newer:?}");
    for part in ["the running gateway", "does not go by these files", "ctl reload"] {
        assert!(newer.stderr.contains(part), "{newer:?}");
    }
    let mut stranger = Client::connect_from(controlled.address, Some("127.0.0.9".parse().unwrap()));
    assert_eq!(stranger.lookup("doe").status, 403);
    let as_json: Value = serde_json::from_str(&explain("127.0.0.9", &["--json"]).stdout).unwrap();
    assert!(as_json["running"]["note"].as_str().unwrap().contains("does not go by"), "{as_json}");
    fs::remove_file(&policy).unwrap();
    // Who is switched off is so in `explain`, too.
    controlled.told(json!({"command": "disable", "name": "lyon", "why": "a virus"}));
    let off = explain("127.0.0.1", &[]);
    assert_eq!(off.code, Some(1), "{off:?}");
    for part in ["refused: peer-disabled (403)", "a virus", "ctl enable lyon"] {
        assert!(off.stdout.contains(part), "{off:?}");
    }
}

/// A shell's line on a terminal of its own.
struct Terminal {
    script: Child,
    screen: Arc<Mutex<String>>,
    reader: Option<JoinHandle<()>>,
}

impl Terminal {
    fn run(line: &str) -> Self {
        let mut script = Command::new("script")
            .args(["-qec", line, "/dev/null"])
            .env("TERM", "xterm")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let screen = Arc::new(Mutex::new(String::new()));
        let (mut stdout, seen) = (script.stdout.take().unwrap(), Arc::clone(&screen));
        let reader = spawn(move || {
            let mut chunk = [0; 4096];
            while let Ok(count @ 1..) = stdout.read(&mut chunk) {
                seen.lock().unwrap().push_str(&String::from_utf8_lossy(&chunk[..count]));
            }
        });
        Self { script, screen, reader: Some(reader) }
    }

    fn screen(&self) -> String {
        self.screen.lock().unwrap().clone()
    }

    fn shows(&self, text: &str) -> bool {
        becomes_true(|| self.screen().contains(text))
    }

    fn press(&mut self, key: &str) {
        self.script.stdin.as_mut().unwrap().write_all(key.as_bytes()).unwrap();
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.script.kill();
        let _ = self.script.wait();
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
    }
}

#[test]
fn top_leaves_the_terminal_as_it_was() {
    if or_left_out(program("script", "bsdutils")).is_none() {
        return;
    }
    let controlled = Controlled::start();
    let program = env!("CARGO_BIN_EXE_phonebook-gateway");
    let config = controlled.gateway.path("gateway.toml");
    let pid = controlled.gateway.path("pid");
    let top = format!("exec {program} ctl --config {} top", config.display());
    for how in ["q", "\u{3}", "TERM"] {
        let line = format!(
            "stty -g; sh -c 'echo $$ > {}; {top}'; echo \"code $?\"; stty -g; echo over",
            pid.display()
        );
        let mut terminal = Terminal::run(&line);
        assert!(terminal.shows("q or Ctrl-C ends it"), "{:?}", terminal.screen());
        match how {
            "TERM" => {
                let pid = fs::read_to_string(&pid).unwrap().trim().parse().unwrap();
                kill_process(Pid::from_raw(pid).unwrap(), Signal::TERM).unwrap();
            }
            key => terminal.press(key),
        }
        assert!(terminal.shows("over"), "{how:?}: {:?}", terminal.screen());
        let screen = terminal.screen();
        // A state of `stty -g` is a line of numbers between colons.
        let is_state = |line: &&str| line.matches(':').count() > 10 && !line.contains(' ');
        let states: Vec<&str> = screen.lines().map(str::trim).filter(is_state).collect();
        assert!(matches!(states.as_slice(), [before, after] if before == after), "{states:?}");
        assert!(
            screen.contains("\u{1b}[?1049h") && screen.contains("\u{1b}[?25h\u{1b}[?1049l"),
            "{screen:?}"
        );
        assert!(screen.contains("lyon") && screen.contains("code 0"), "{how:?}: {screen:?}");
    }
}
