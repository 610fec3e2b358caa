//! The real upstream: Debian's nginx and php-fpm with a page that routes as XiVO does, and nginx as a plain proxy.
//!
//! Each instance has a temporary directory, loopback ports and processes of its own, and leaves nothing of them. They run as
//! the user who runs the tests, root included.

use std::{
    collections::BTreeMap,
    fs,
    io::Write,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener},
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use serde::Deserialize;
use serde_json::Value;
use tempfile::TempDir;

use super::{
    needs::{Missing, php_fpm, program},
    process::{Process, becomes_true},
};

/// The one endpoint, as XiVO's documentation gives it.
pub(crate) const PHONEBOOK: &str = "/service/ipbx/json.php/restricted/pbx_services/phonebook";

/// The stand-in's sources.
const SOURCES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/xivo");

/// How often a port may be lost to another process between finding it free and nginx taking it.
const PORT_RACES: usize = 10;

/// One request as PHP saw it. Argument values are strings, null when absent, arrays for `act[]=…`.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Record {
    pub(crate) method: String,
    /// REQUEST_URI: the target as nginx got it.
    pub(crate) uri: String,
    pub(crate) path_info: String,
    pub(crate) segments: Option<Vec<String>>,
    /// `private`, `restricted`, or none for another place.
    pub(crate) realm: Option<String>,
    pub(crate) act: Value,
    pub(crate) search: Value,
    pub(crate) id: Value,
    pub(crate) sum: Value,
    pub(crate) remote_addr: String,
    /// The request's fields under their CGI names: `HTTP_USER_AGENT`.
    pub(crate) headers: BTreeMap<String, String>,
}

/// nginx and php-fpm standing in for a XiVO. Its Web Services users are 127.0.0.1 and 192.168.1.125 at first.
#[derive(Debug)]
pub(crate) struct RealXivo {
    nginx: Nginx,
    // Dropped after nginx, its client.
    _php: Process,
}

impl RealXivo {
    /// Starts both and waits until a request is answered.
    pub(crate) fn start() -> Result<Self, Missing> {
        Self::start_also_on(&[])
    }

    /// The same, listening on these addresses too.
    pub(crate) fn start_also_on(addresses: &[SocketAddr]) -> Result<Self, Missing> {
        Self::start_with(addresses, None)
    }

    /// The same, and with https on another address, as XiVO has it on port 443.
    pub(crate) fn start_with_https(
        addresses: &[SocketAddr],
        https: (SocketAddr, &Path, &Path),
    ) -> Result<Self, Missing> {
        Self::start_with(addresses, Some(https))
    }

    fn start_with(
        addresses: &[SocketAddr],
        https: Option<(SocketAddr, &Path, &Path)>,
    ) -> Result<Self, Missing> {
        let also: String = addresses.iter().map(|addr| format!(" listen {addr};")).collect();
        let fpm = php_fpm()?;
        let (directory, php) = start_php(&fpm);
        let mut template = fs::read_to_string(format!("{SOURCES}/nginx.conf.in")).unwrap();
        if let Some(https) = https {
            template = with_https(&template, https);
        }
        let nginx = Nginx::start(directory, |directory, listen| {
            fill(&template, directory, &format!("{listen}{also}"))
        })?;
        let xivo = Self { nginx, _php: php };
        xivo.clear();
        Ok(xivo)
    }

    /// Where nginx listens, on 127.0.0.1.
    pub(crate) fn addr(&self) -> SocketAddr {
        self.nginx.addr()
    }

    /// The same port on ::1, where this host has that.
    pub(crate) fn addr6(&self) -> Option<SocketAddr> {
        self.nginx.addr6()
    }

    /// Every request that has reached PHP since the start or [`Self::clear`].
    pub(crate) fn records(&self) -> Vec<Record> {
        let text = fs::read_to_string(self.file("records.jsonl")).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// nginx's access log. A line may come after its answer: see [`Self::access_log_of`].
    pub(crate) fn access_log(&self) -> String {
        self.nginx.access_log()
    }

    /// nginx's access log once it has this many lines.
    pub(crate) fn access_log_of(&self, lines: usize) -> String {
        self.nginx.access_log_of(lines)
    }

    /// Names the hosts of XiVO's Web Services users: IPv4 addresses and prefixes.
    pub(crate) fn set_hosts(&self, hosts: &[&str]) {
        fs::write(self.file("hosts.json"), serde_json::to_vec(hosts).unwrap()).unwrap();
    }

    /// Replaces the phonebook, for instance by a large one.
    pub(crate) fn set_phonebook(&self, entries: &Value) {
        fs::write(self.file("phonebook.json"), serde_json::to_vec(entries).unwrap()).unwrap();
    }

    /// The phonebook as it is now: `add` and `delete` change it.
    pub(crate) fn phonebook(&self) -> Value {
        serde_json::from_slice(&fs::read(self.file("phonebook.json")).unwrap()).unwrap()
    }

    /// Back to the state after the start: no records, an empty log, the first phonebook and hosts.
    pub(crate) fn clear(&self) {
        fs::write(self.file("records.jsonl"), "").unwrap();
        fs::copy(format!("{SOURCES}/phonebook.json"), self.file("phonebook.json")).unwrap();
        self.set_hosts(&["127.0.0.1", "192.168.1.125"]);
        self.nginx.clear();
    }

    /// The directory that everything of it is in.
    pub(crate) fn directory(&self) -> &Path {
        self.nginx.directory.path()
    }

    fn file(&self, name: &str) -> PathBuf {
        self.directory().join(name)
    }
}

/// One nginx.
#[derive(Debug)]
pub(crate) struct Nginx {
    addr: SocketAddr,
    addr6: Option<SocketAddr>,
    _process: Process,
    // Dropped after the process that writes in it.
    directory: TempDir,
}

impl Nginx {
    /// A plain reverse proxy for everything, with `extra_config` in its server block.
    pub(crate) fn proxy(upstream: SocketAddr, extra_config: &str) -> Result<Self, Missing> {
        let pass =
            format!("location / {{ proxy_pass http://{upstream}; proxy_http_version 1.1; }}");
        Self::serving("", &format!("{pass}\n{extra_config}"))
    }

    /// One server, with these directives in its block and those in the http block.
    pub(crate) fn serving(http: &str, server: &str) -> Result<Self, Missing> {
        Self::listening("", http, server)
    }

    /// The same with these options of `listen`, such as `ssl`; `@DIR@` stands for its directory.
    pub(crate) fn listening(options: &str, http: &str, server: &str) -> Result<Self, Missing> {
        let directory = new_directory();
        Self::start(directory, |directory, listen| {
            let directory = directory.display();
            let listen = listen.replace(';', &format!(" {options};"));
            let own = |text: &str| text.replace("@DIR@", &directory.to_string());
            let (http, server) = (own(http), own(server));
            format!(
                "{user}\ndaemon off;\nmaster_process off;\npid {directory}/nginx.pid;\n\
                 error_log {directory}/error.log notice;\nevents {{}}\nhttp {{\n\
                 client_body_temp_path {directory}/tmp/body;\nproxy_temp_path {directory}/tmp/proxy;\n\
                 fastcgi_temp_path {directory}/tmp/fastcgi;\nuwsgi_temp_path {directory}/tmp/uwsgi;\n\
                 scgi_temp_path {directory}/tmp/scgi;\naccess_log {directory}/access.log combined;\n\
                 {http}\nserver {{\n{listen}\n{server}\n}}\n}}\n",
                user = nginx_user(),
            )
        })
    }

    /// Where it listens, on 127.0.0.1.
    pub(crate) fn addr(&self) -> SocketAddr {
        self.addr
    }

    pub(crate) fn addr6(&self) -> Option<SocketAddr> {
        self.addr6
    }

    pub(crate) fn access_log(&self) -> String {
        read_lossy(&self.directory.path().join("access.log"))
    }

    /// The access log once it has this many lines: nginx writes a line when the answer is out, so a client may be ahead.
    pub(crate) fn access_log_of(&self, lines: usize) -> String {
        let mut log = String::new();
        let complete = becomes_true(|| {
            log = self.access_log();
            log.lines().count() >= lines
        });
        assert!(complete, "{lines} lines awaited, the log has:\n{log}");
        log
    }

    /// A file in its directory.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// The lines of another log in its directory once there are so many.
    pub(crate) fn lines_of(&self, name: &str, lines: usize) -> Vec<String> {
        let mut log = String::new();
        let complete = becomes_true(|| {
            log = read_lossy(&self.file(name));
            log.lines().count() >= lines
        });
        assert!(complete, "{lines} lines awaited, {name} has:\n{log}");
        log.lines().map(str::to_owned).collect()
    }

    /// Empties the access log; nginx appends, so it goes on at the beginning.
    pub(crate) fn clear(&self) {
        fs::write(self.directory.path().join("access.log"), "").unwrap();
    }

    /// Finds a free port and starts; another one when that was taken in between.
    fn start(directory: TempDir, config: impl Fn(&Path, &str) -> String) -> Result<Self, Missing> {
        let program = program("nginx", "nginx")?;
        let (conf, log) = (directory.path().join("nginx.conf"), directory.path().join("error.log"));
        fs::create_dir_all(directory.path().join("tmp")).unwrap();
        for _ in 0..PORT_RACES {
            let Some((addr, addr6)) = free_port() else { continue };
            let listen6 = addr6.map(|addr| format!(" listen {addr};")).unwrap_or_default();
            fs::write(&conf, config(directory.path(), &format!("listen {addr};{listen6}")))
                .unwrap();
            fs::write(&log, "").unwrap();
            let arguments = ["-e", log.to_str().unwrap(), "-c", conf.to_str().unwrap()];
            let mut process = Process::start(&program, &arguments);
            // nginx names its event method after it has bound its addresses: that is this nginx, whoever answers there.
            let bound = || read_lossy(&log).contains("event method");
            let settled = becomes_true(|| process.ended().is_some() || bound());
            let errors = read_lossy(&log);
            if settled && bound() {
                return Ok(Self { addr, addr6, _process: process, directory });
            }
            assert!(errors.contains("Address already in use"), "nginx did not start:\n{errors}");
        }
        panic!("no port stayed free for nginx in {PORT_RACES} attempts");
    }
}

/// A port that is free on 127.0.0.1, and on ::1 where this host has that.
fn free_port() -> Option<(SocketAddr, Option<SocketAddr>)> {
    let first = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let addr = first.local_addr().unwrap();
    if TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_err() {
        return Some((addr, None));
    }
    let second = TcpListener::bind((Ipv6Addr::LOCALHOST, addr.port())).ok()?;
    Some((addr, second.local_addr().ok()))
}

/// Lays out the stand-in's directory and starts php-fpm on a socket in it.
fn start_php(fpm: &Path) -> (TempDir, Process) {
    let directory = new_directory();
    let pages = directory.path().join("www/service/ipbx");
    fs::create_dir_all(&pages).unwrap();
    symlink(format!("{SOURCES}/json.php"), pages.join("json.php")).unwrap();
    let template = fs::read_to_string(format!("{SOURCES}/php-fpm.conf.in")).unwrap();
    let user = if is_root() { "user = root" } else { "" };
    let text =
        template.replace("@USER@", user).replace("@DIR@", directory.path().to_str().unwrap());
    let conf = directory.path().join("php-fpm.conf");
    fs::write(&conf, text).unwrap();
    // -R: php-fpm otherwise refuses to run as root.
    let arguments = ["-R", "-F", "-y", conf.to_str().unwrap()];
    let mut php = Process::start(fpm, &arguments);
    let log = directory.path().join("php-fpm.log");
    let ready = becomes_true(|| {
        php.ended().is_some() || read_lossy(&log).contains("ready to handle connections")
    });
    assert!(ready && php.ended().is_none(), "php-fpm did not start:\n{}", read_lossy(&log));
    (directory, php)
}

/// The checksum by which XiVO knows an answer.
pub(crate) fn md5(bytes: &[u8]) -> String {
    let mut child =
        Command::new("md5sum").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(bytes).unwrap();
    let output = child.wait_with_output().unwrap();
    String::from_utf8(output.stdout).unwrap()[..32].to_owned()
}

/// Named so that what a killed test run left behind can be told and removed.
fn new_directory() -> TempDir {
    tempfile::Builder::new().prefix("phonebook-gateway-test-").tempdir().unwrap()
}

/// The configuration with a second server, which speaks https and redirects nobody.
fn with_https(template: &str, (addr, certificate, key): (SocketAddr, &Path, &Path)) -> String {
    let (before, server) = template.split_once("    server {").unwrap();
    let (server, end) = server.rsplit_once("}").unwrap();
    let (first, rest) = server.split_once("if ($host").unwrap();
    let (_, rest) = rest.split_once("        }\n").unwrap();
    let listen = format!(
        "listen {addr} ssl; ssl_certificate {}; ssl_certificate_key {};",
        certificate.display(),
        key.display()
    );
    let second = format!("{}{rest}", first.replace("@LISTEN@", &listen));
    format!("{before}    server {{{server}    server {{{second}}}{end}")
}

fn fill(template: &str, directory: &Path, listen: &str) -> String {
    template
        .replace("@USER@", nginx_user())
        .replace("@LISTEN@", listen)
        .replace("@DIR@", directory.to_str().unwrap())
}

fn nginx_user() -> &'static str {
    if is_root() { "user root;" } else { "" }
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

fn read_lossy(path: &Path) -> String {
    fs::read(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
}
