//! The front page's demo prints what the page shows.

use std::{
    io::{BufRead, BufReader},
    process::{Command, Stdio},
};

use super::{commands::commands, page::page, shown::is_shown};
use crate::support::{
    needs::{or_left_out, program},
    program::command,
};

/// Where the page's demo listens.
const ADDRESS: &str = "127.0.0.1:9480";

#[test]
fn the_front_pages_demo_answers_as_it_shows() {
    let Some(curl) = or_left_out(program("curl", "curl")) else { return };
    let mut child = command()
        .args(["demo", "--listen", "127.0.0.1:0"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut first = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut first).unwrap();
    let address = first.trim_end_matches(".\n").rsplit(' ').next().unwrap().to_owned();

    let blocks = page("README.md").blocks_of("console", "demo");
    let said: Vec<(String, String, String)> = blocks
        .iter()
        .flat_map(|block| commands(&block.text))
        .map(|(line, shown)| {
            let words = line.strip_prefix("curl ").unwrap().replace(ADDRESS, &address);
            let output = Command::new(&curl)
                .args(["--silent", "--noproxy", "*", words.trim_matches('\'')])
                .output()
                .unwrap();
            (line, shown, String::from_utf8(output.stdout).unwrap())
        })
        .collect();
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(!said.is_empty());
    for (line, shown, printed) in said {
        assert!(is_shown(&shown, &printed), "{line}\n{printed}");
    }
}
