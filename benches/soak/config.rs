//! The gateway's configuration: one for all scenarios, but for the lines that they add.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use super::attack::peer;
use super::pki::HONEST_NAME;
use super::scenario::Scenario;

/// Where everything is.
pub(crate) struct Place<'a> {
    /// A directory of its own.
    pub(crate) directory: &'a Path,
    /// The listener without TLS.
    pub(crate) plain: SocketAddr,
    /// The listener with TLS and HTTP/2.
    pub(crate) tls: SocketAddr,
    /// The XiVO.
    pub(crate) xivo: SocketAddr,
}

impl Place<'_> {
    /// A file in the directory.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// Writes the configuration and yields its main file; `old` leaves out what former versions do not know.
    pub(crate) fn write(&self, scenario: &Scenario, old: bool) -> io::Result<PathBuf> {
        fs::create_dir(self.file("state"))?;
        fs::create_dir(self.file("policies"))?;
        for (name, text) in policies() {
            fs::write(self.file("policies").join(format!("{name}.toml")), text)?;
        }
        let main = self.file("gateway.toml");
        fs::write(&main, self.main_file(scenario, old))?;
        Ok(main)
    }

    fn main_file(&self, scenario: &Scenario, old: bool) -> String {
        format!(
            "state_directory = \"{directory}/state\"

[[listen]]
address = \"{plain}\"

[[listen]]
address = \"{tls}\"
tls = {{ certificate = \"server.pem\", private_key = \"server.key\", client_ca = \"ca.pem\" }}
http2 = true

[upstream]
url = \"http://{xivo}\"
danger_loopback_source = true
{upstream}
[policies]
directory = \"policies\"

[limits]
{limits}
[[access_log]]
path = \"{directory}/access.log\"
",
            directory = self.directory.display(),
            plain = self.plain,
            tls = self.tls,
            xivo = self.xivo,
            upstream = if old { "" } else { scenario.new_upstream },
            limits = scenario.limits,
        )
    }
}

/// The policies: name and text.
fn policies() -> Vec<(&'static str, String)> {
    let peer = |address, lines: &str| format!("hosts = [\"{address}\"]\n{lines}");
    let honest = "rate = { per_second = 100, burst = 200 }\n";
    let limited = "rate = { per_second = 10, burst = 20 }\n";
    vec![
        ("honest", peer(peer::HONEST, honest)),
        (
            HONEST_NAME,
            format!(
                "{honest}[certificate]\nsan_dns = [\"{HONEST_NAME}\"]\nrequire = \"certificate\"\n"
            ),
        ),
        ("leaky", peer(peer::LEAKY, limited)),
        ("flood", peer(peer::FLOOD, limited)),
        ("seats", peer(peer::SEATS, "")),
        (
            "greedy",
            peer(peer::GREEDY, "rate = { per_second = 1000, burst = 2000 }\nconcurrent = 128\n"),
        ),
        ("lost", peer(peer::LOST, "rate = { per_second = 1000000, burst = 1000000 }\n")),
    ]
}
