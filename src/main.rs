//! The `phonebook-gateway` program; everything it does is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    phonebook_gateway::cli::run(std::env::args_os().skip(1)).into()
}

/// Memory of connections that are gone goes back to the system: a storm of 3,000 connections, closed
/// again, left the C library's allocator with all of the 50 MB that it took, and this one, ten seconds
/// later, with 4 MB of them.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;
