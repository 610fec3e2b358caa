//! Tests that need more than Rust: what is missing, how to get it, and what a test does without it.
//!
//! Without the variable [`ALL`] such a test says that it was left out and passes; with it set to 1 (as `tests/run` does
//! once everything is installed) a missing program is a failure, so that nothing is left out unseen.

use std::{fmt, io::Write, path::PathBuf, process::Command};

/// Set to 1, it turns "left out" into a failure.
const ALL: &str = "PHONEBOOK_GATEWAY_TEST_ALL";

/// Something that a test needs and this machine does not have.
#[derive(Debug)]
pub(crate) struct Missing {
    what: String,
    remedy: String,
}

impl Missing {
    pub(crate) fn new(what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { what: what.into(), remedy: remedy.into() }
    }
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "left out: {} ({})", self.what, self.remedy)
    }
}

/// The value, or none after it was said what is missing; fails instead where nothing may be left out.
pub(crate) fn or_left_out<T>(needed: Result<T, Missing>) -> Option<T> {
    match needed {
        Ok(value) => Some(value),
        Err(missing) if all_required() => {
            panic!("{missing}; {ALL}=1 allows no test to be left out")
        }
        Err(missing) => {
            left_out(&missing);
            None
        }
    }
}

/// Says that a test was left out. Written to stderr itself: the print macros are swallowed when a test passes.
pub(crate) fn left_out(missing: &Missing) {
    let test = std::thread::current().name().unwrap_or("a test").to_owned();
    writeln!(std::io::stderr(), "{test}: {missing}").unwrap();
}

fn all_required() -> bool {
    std::env::var(ALL).is_ok_and(|value| value == "1")
}

/// Finds a program on the path or where Debian keeps those of the administrator.
pub(crate) fn program(name: &str, package: &str) -> Result<PathBuf, Missing> {
    directories().map(|directory| directory.join(name)).find(|path| path.is_file()).ok_or_else(
        || Missing::new(format!("no program {name}"), format!("apt-get install {package}")),
    )
}

/// Finds php-fpm, whose name carries its version on Debian; the highest one is taken.
pub(crate) fn php_fpm() -> Result<PathBuf, Missing> {
    let version = |path: &PathBuf| -> Option<(u32, u32)> {
        let version = path.file_name()?.to_str()?.strip_prefix("php-fpm")?;
        let (major, minor) = version.split_once('.')?;
        Some((major.parse().ok()?, minor.parse().ok()?))
    };
    directories()
        .filter_map(|directory| directory.read_dir().ok())
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| version(path).is_some())
        .max_by_key(version)
        .map_or_else(|| program("php-fpm", "php-fpm"), Ok)
}

fn directories() -> impl Iterator<Item = PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let path: Vec<_> = std::env::split_paths(&path).collect();
    path.into_iter().chain(["/usr/local/sbin", "/usr/sbin", "/sbin"].map(PathBuf::from))
}

/// Debian's Python, where it has the library that knows JSON Schema.
pub(crate) fn python_with_jsonschema() -> Result<&'static str, Missing> {
    let has = Command::new("/usr/bin/python3").args(["-c", "import jsonschema"]).output();
    if has.is_ok_and(|output| output.status.success()) {
        Ok("/usr/bin/python3")
    } else {
        Err(Missing::new("no python3-jsonschema", "apt-get install python3-jsonschema"))
    }
}
