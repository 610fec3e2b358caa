//! Debian's `openssl`: what other programs say of a certificate.

use std::{
    io::Write,
    path::PathBuf,
    process::{Command, Output, Stdio},
};

use super::needs::{Missing, program};

/// The program.
#[derive(Clone, Debug)]
pub(crate) struct OpenSsl(PathBuf);

impl OpenSsl {
    pub(crate) fn find() -> Result<Self, Missing> {
        program("openssl", "openssl").map(Self)
    }

    /// Runs it to its end with these bytes as its standard input.
    pub(crate) fn run(&self, arguments: &[&str], input: &[u8]) -> Output {
        let mut child = Command::new(&self.0)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // Not everything has to be read by a program that sees at once that it is wrong.
        let _ = child.stdin.take().unwrap().write_all(input);
        child.wait_with_output().unwrap()
    }

    /// What it writes to standard output, if it ends well.
    pub(crate) fn says(&self, arguments: &[&str], input: &[u8]) -> Option<Vec<u8>> {
        let output = self.run(arguments, input);
        output.status.success().then_some(output.stdout)
    }
}
