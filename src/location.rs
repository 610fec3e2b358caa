//! Where in the configuration something was written, so that every decision can name it.
//!
//! Imports nothing of this crate. Begin with [`Location`].

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A line of a configuration file, shown as `policies/lyon.toml:4`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Location {
    file: Arc<PathBuf>,
    line: u32,
}

impl Location {
    /// Line `line` (counted from 1) of `file`.
    pub fn new(file: Arc<PathBuf>, line: u32) -> Self {
        Self { file, line }
    }

    /// The file as the configuration named it.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// The line, counted from 1.
    pub fn line(&self) -> u32 {
        self.line
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file.display(), self.line)
    }
}

/// A value and the place that it was read from. A default has the place of the policy or section
/// that leaves it out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Located<T> {
    /// What was written, or the default.
    pub value: T,
    /// Where it was read.
    pub location: Location,
    /// Whether it was written there, or is the default.
    pub written: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_shown_as_file_and_line() {
        let location = Location::new(Arc::new(PathBuf::from("policies/lyon.toml")), 4);
        assert_eq!(location.to_string(), "policies/lyon.toml:4");
        assert_eq!((location.file(), location.line()), (Path::new("policies/lyon.toml"), 4));
    }
}
