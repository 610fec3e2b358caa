//! The `phonebook-gateway` program; everything it does is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    phonebook_gateway::cli::run(std::env::args_os().skip(1)).into()
}
