//! The program itself, run to its end, and a configuration for it in a directory of its own.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// What a run left behind.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// The program, not yet started.
pub(crate) fn command() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_phonebook-gateway"));
    command.env_remove("RUST_LOG").stdin(Stdio::null());
    command
}

/// Runs the program with these words, in this directory.
pub(crate) fn run(directory: &Path, words: &[&str]) -> Run {
    let output = command().current_dir(directory).args(words).output().unwrap();
    Run {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// A directory with a `gateway.toml` and policies, gone when it is dropped.
#[derive(Debug)]
pub(crate) struct Site(tempfile::TempDir);

impl Site {
    pub(crate) fn new(main: &str, policies: &[(&str, &str)]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("gateway.toml"), main).unwrap();
        std::fs::create_dir(directory.path().join("policies")).unwrap();
        for (name, text) in policies {
            let file = directory.path().join("policies").join(format!("{name}.toml"));
            std::fs::write(file, text).unwrap();
        }
        Self(directory)
    }

    pub(crate) fn main_file(&self) -> PathBuf {
        self.0.path().join("gateway.toml")
    }

    /// Runs the program there, where `gateway.toml` names the configuration.
    pub(crate) fn run(&self, words: &[&str]) -> Run {
        run(self.0.path(), words)
    }
}
