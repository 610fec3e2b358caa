//! The `phonebook-gateway` program: see the library's documentation.

use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::SUCCESS
}
