//! `version`: which version this is, and how it was built.

use crate::config::DEFAULT_FILE;

/// print the version, its commit and how it was built
#[derive(Debug, clap::Args)]
#[command(
    before_help = "Prints the version, the commit that it was built from and the build's profile, in one line as -v \
                   and --version do. -V says more.",
    after_help = "Exit codes: 0 printed, 2 the command line is wrong, 3 the standard output cannot be written."
)]
pub(super) struct Options {}

/// That line, and what nginx's `-V` says besides of nginx.
pub(super) fn in_full() -> String {
    format!(
        "{LINE}built by {} for {}\nTLS by rustls and ring\nconfiguration: {} unless -c names another\n",
        env!("BUILD_COMPILER"),
        env!("BUILD_TARGET"),
        DEFAULT_FILE
    )
}

/// The version, in one line.
pub(super) const LINE: &str = concat!(
    "phonebook-gateway ",
    env!("CARGO_PKG_VERSION"),
    " (commit ",
    env!("BUILD_COMMIT"),
    ", ",
    env!("BUILD_PROFILE"),
    " build)\n"
);
