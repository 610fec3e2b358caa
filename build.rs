//! Tells the program from which commit and how it is built, for `-v` and `-V`.
//!
//! Neither the time nor a directory goes in, so that the same sources, built again, are the same program. In a tarball,
//! where there is no repository, `PHONEBOOK_GATEWAY_COMMIT` may say which commit it was made of; else it is unknown.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What the program is compiled from. Of these files alone changes are looked for.
const SOURCES: [&str; 5] = ["build.rs", "Cargo.lock", "Cargo.toml", "policies", "src"];

/// The commit, where it is known better than git knows it.
const COMMIT: &str = "PHONEBOOK_GATEWAY_COMMIT";

fn main() {
    for source in SOURCES {
        println!("cargo::rerun-if-changed={source}");
    }
    println!("cargo::rerun-if-env-changed={COMMIT}");
    let profile = variable("PROFILE");
    let commit = match env::var(COMMIT) {
        Ok(given) if is_word(&given) => Some(given),
        Ok(given) => {
            println!("cargo::warning={COMMIT} is no commit's name: {given:?}");
            None
        }
        Err(_) if !is_repository() => None,
        Err(_) => {
            // What is released names the commit that is checked out. Another build is not made again because what it
            // was made of has been committed since.
            if profile == "release" {
                watch_commits();
            }
            commit()
        }
    };
    let commit = commit.as_deref().unwrap_or("unknown");
    println!("cargo::rustc-env=BUILD_COMMIT={commit}");
    println!("cargo::rustc-env=BUILD_PROFILE={profile}");
    println!("cargo::rustc-env=BUILD_TARGET={}", variable("TARGET"));
    println!("cargo::rustc-env=BUILD_COMPILER={}", compiler().as_deref().unwrap_or("unknown"));
}

/// Whether these are the sources of a repository. A tarball that is unpacked within another one is not of its commit.
fn is_repository() -> bool {
    let here = PathBuf::from(variable("CARGO_MANIFEST_DIR")).canonicalize();
    let top = git(&["rev-parse", "--show-toplevel"]).map(|top| PathBuf::from(top).canonicalize());
    matches!((here, top), (Ok(here), Some(Ok(top))) if here == top)
}

/// Makes cargo build again when another commit is checked out, or a further one made.
fn watch_commits() {
    let files = ["HEAD", "logs/HEAD"].map(|name| git(&["rev-parse", "--git-path", name]));
    for path in files.into_iter().flatten().filter(|path| Path::new(path).exists()) {
        println!("cargo::rerun-if-changed={path}");
    }
}

/// The commit that is checked out, and whether the sources differ from it.
fn commit() -> Option<String> {
    let commit = git(&["rev-parse", "--short=12", "HEAD"])?;
    let changed = git(&[["status", "--porcelain", "--"].as_slice(), &SOURCES].concat())?;
    Some(if changed.is_empty() { commit } else { format!("{commit} with changes") })
}

/// What git says, if there is git and a repository.
fn git(words: &[&str]) -> Option<String> {
    let mut git = Command::new("git");
    // Nothing is written, and a hook's repository is not this one.
    git.arg("--no-optional-locks").args(words).current_dir(variable("CARGO_MANIFEST_DIR"));
    for name in ["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"] {
        git.env_remove(name);
    }
    said(&mut git)
}

fn compiler() -> Option<String> {
    said(Command::new(variable("RUSTC")).arg("--version"))
}

/// What a command prints, if it ends well.
fn said(command: &mut Command) -> Option<String> {
    let output = command.output().ok().filter(|output| output.status.success())?;
    Some(String::from_utf8(output.stdout).ok()?.trim().to_owned())
}

/// Whether this can stand in a line as one word.
fn is_word(text: &str) -> bool {
    (1..=64).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// A variable that cargo sets.
fn variable(name: &str) -> String {
    env::var(name).unwrap_or_default()
}
