//! The front page's own configuration and the commands that verify that the back door is closed, in a network that has the
//! addresses of the page, with a real nginx and PHP: they print what the page says, and something else while it is open.

use std::{fs, net::SocketAddr, path::Path, process::Command};

use super::page::{Page, page, spans};
use crate::support::{
    needs::{left_out, or_left_out, program},
    network::{LAN, in_own_network},
    peers::Callers,
    program::run,
    serving::Serving,
    xivo::RealXivo,
};

const PEER: &str = "192.168.1.124";

/// The page's commands, without their comments.
fn verifying(page: &Page) -> Vec<String> {
    let [block] = page.blocks_of("sh", "verify").try_into().ok().unwrap();
    let is_command = |line: &&str| line.starts_with("curl ");
    block.text.lines().filter(is_command).map(str::to_owned).collect()
}

fn shell(command: &str) -> Command {
    let mut shell = Command::new("sh");
    shell.args(["-c", command]).env("NO_PROXY", "*");
    shell
}

/// The one file of the page that is called so.
fn file(page: &Page, name: &str) -> String {
    let [block] = page.blocks_of("toml", name).try_into().ok().unwrap();
    block.text
}

/// A certificate for XiVO's https, which nobody verifies.
fn certificate(directory: &Path) {
    for words in [&["certs", "init"][..], &["certs", "server", "xivo.example.org"]] {
        let run = run(directory, &[words, &["--directory", "."]].concat());
        assert_eq!(run.code, Some(0), "{run:?}");
    }
}

#[test]
fn the_commands_that_verify_the_closed_back_door_tell_it_from_an_open_one() {
    in_own_network(
        "documentation::back_door::the_commands_that_verify_the_closed_back_door_tell_it_from_an_open_one",
        || {
            let Some(_curl) = or_left_out(program("curl", "curl")) else { return };
            let callers = match Callers::connect(&[PEER]) {
                Ok(callers) => callers,
                Err(missing) => return left_out(&missing),
            };
            let directory = tempfile::tempdir().unwrap();
            certificate(directory.path());
            let own = |name: &str| directory.path().join(name);
            let web = [SocketAddr::new(LAN, 80), SocketAddr::from(([127, 0, 0, 1], 80))];
            let (pem, key) = (own("xivo.example.org.pem"), own("xivo.example.org.key"));
            let https = (SocketAddr::new(LAN, 443), pem.as_path(), key.as_path());
            let Some(xivo) = or_left_out(RealXivo::start_with_https(&web, https)) else { return };

            // The page's files, but for where they are written to, and for the patience of a busy machine.
            let readme = page("README.md");
            let main = file(&readme, "gateway.toml")
                .replace("/var/log/phonebook-gateway/access.log", "access.log")
                .replace("[upstream]", "[upstream]\nconnect_timeout = \"5s\"\ntimeout = \"20s\"");
            let main = format!("state_directory = \"state\"\n{main}");
            let policy = file(&readme, "policies/xivo-montreal.toml");
            let gateway = Serving::start(&main, &[("xivo-montreal", &policy)]).unwrap();

            let commands = verifying(&readme);
            let print = || -> Vec<String> {
                let said = commands.iter().map(|command| callers.run(&mut shell(command)).stdout);
                said.map(|said| String::from_utf8(said).unwrap().trim().to_owned()).collect()
            };
            xivo.set_hosts(&["192.168.1.125", PEER]);
            assert_eq!(print(), ["200", "200", "403"], "the back door is open");
            xivo.set_hosts(&["192.168.1.0/24"]);
            assert_eq!(print(), ["200", "200", "403"], "a user for the whole network");
            xivo.set_hosts(&["192.168.1.125"]);
            assert_eq!(print(), ["200", "401", "403"], "the back door is closed");
            let log = fs::read_to_string(gateway.file("access.log")).unwrap_or_default();
            assert!(log.lines().all(|line| line.starts_with(&format!("{PEER} - xivo-montreal ["))));

            // The page about deployment has the same commands, and one for the gateway's host.
            let deploy = page("docs/deploy.md");
            let rows = deploy.rows("Verify it");
            let same: Vec<String> = rows.iter().flat_map(|row| spans(&row[0])).collect();
            assert_eq!(same, commands);
            let last = deploy.blocks_of("sh", "").pop().unwrap().text;
            let output = shell(&last).output().unwrap();
            assert_eq!(String::from_utf8(output.stdout).unwrap().trim(), "403", "{last}");
        },
    );
}
