//! What the service's unit hides from it, or lets it only read: what systemd.exec(5) says of `ProtectSystem=` and its
//! kin, for the paths that a configuration names.

use std::collections::HashMap;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// The rules of a unit; none of them says that everything is as it is for everybody.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Sandbox(Vec<Rule>);

/// What a setting makes of a path and of all below it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Rule {
    path: PathBuf,
    what: What,
    /// As the unit says it.
    setting: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
enum What {
    Writable,
    /// Another directory is in its place, which is empty and ends with the service.
    Private,
    ReadOnly,
    Hidden,
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (path, setting) = (self.path.display(), &self.setting);
        match self.what {
            What::Writable => write!(f, "lets the service write below {path} ({setting})"),
            What::Private => {
                write!(f, "gives the service a {path} of its own, which ends with it ({setting})")
            }
            What::ReadOnly if self.path == Path::new("/") => {
                write!(f, "lets the service write to few directories ({setting})")
            }
            What::ReadOnly => write!(f, "lets the service only read below {path} ({setting})"),
            What::Hidden => write!(f, "hides {path} from the service ({setting})"),
        }
    }
}

impl Rule {
    /// Whether the service can make files in `directory`, though they end with it.
    pub(super) fn gives_another(&self, directory: &Path) -> bool {
        self.what == What::Private && real(directory) == self.path
    }
}

impl Sandbox {
    /// That of a unit with these settings, whose directories systemd makes.
    pub(super) fn of(settings: &HashMap<String, String>, directories: &[PathBuf]) -> Self {
        let get = |key: &str| settings.get(key).map_or("", String::as_str);
        if OTHER_VIEWS.iter().any(|key| !matches!(get(key), "" | "no")) {
            return Self::default();
        }
        let mut rules = Vec::new();
        let mut all = |paths: &[&str], what, setting: &str| {
            let rule = |path: &&str| Rule {
                path: real(Path::new(path)),
                what,
                setting: setting.to_owned(),
            };
            rules.extend(paths.iter().map(rule));
        };
        let said = |key: &str| format!("{key}={}", get(key));
        match get("ProtectSystem") {
            "strict" => {
                all(&["/"], What::ReadOnly, &said("ProtectSystem"));
                all(&["/dev", "/proc", "/sys"], What::Writable, "");
            }
            "full" => {
                all(&["/usr", "/boot", "/efi", "/etc"], What::ReadOnly, &said("ProtectSystem"));
            }
            "yes" => all(&["/usr", "/boot", "/efi"], What::ReadOnly, &said("ProtectSystem")),
            _ => {}
        }
        let homes = ["/home", "/root", "/run/user"];
        match get("ProtectHome") {
            "yes" | "tmpfs" => all(&homes, What::Hidden, &said("ProtectHome")),
            "read-only" => all(&homes, What::ReadOnly, &said("ProtectHome")),
            _ => {}
        }
        if matches!(get("PrivateTmp"), "yes" | "disconnected") {
            all(&["/tmp", "/var/tmp"], What::Private, &said("PrivateTmp"));
        }
        let lists = [
            ("ReadWritePaths", What::Writable),
            ("ReadOnlyPaths", What::ReadOnly),
            ("InaccessiblePaths", What::Hidden),
        ];
        for (key, what) in lists {
            let paths: Vec<&str> = get(key)
                .split_whitespace()
                .map(|path| path.trim_start_matches(['-', '+']))
                .collect();
            all(&paths, what, &format!("{key}="));
        }
        for directory in directories {
            rules.push(Rule {
                path: real(directory),
                what: What::Writable,
                setting: String::new(),
            });
        }
        Self(rules)
    }

    /// The rule by which the service cannot see `path`.
    pub(super) fn hides(&self, path: &Path) -> Option<&Rule> {
        self.rule(path).filter(|rule| matches!(rule.what, What::Hidden | What::Private))
    }

    /// The rule by which the service cannot write to the directory `path`, or not to this one.
    pub(super) fn keeps_from_writing(&self, path: &Path) -> Option<&Rule> {
        self.rule(path).filter(|rule| rule.what != What::Writable)
    }

    /// The longest path decides, and of several rules for one path the strictest.
    fn rule(&self, path: &Path) -> Option<&Rule> {
        let path = real(path);
        let rules = self.0.iter().filter(|rule| path.starts_with(&rule.path));
        rules.max_by_key(|rule| (rule.path.components().count(), rule.what))
    }
}

/// The path without symbolic links, as far as it exists.
fn real(path: &Path) -> PathBuf {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let existing =
        path.ancestors().find_map(|ancestor| Some((ancestor, fs::canonicalize(ancestor).ok()?)));
    match existing {
        Some((ancestor, found)) => match path.strip_prefix(ancestor) {
            Ok(rest) if !rest.as_os_str().is_empty() => found.join(rest),
            _ => found,
        },
        None => path,
    }
}

/// The settings that are read.
pub(super) const SETTINGS: [&str; 11] = [
    "ProtectSystem",
    "ProtectHome",
    "PrivateTmp",
    "ReadWritePaths",
    "ReadOnlyPaths",
    "InaccessiblePaths",
    "BindPaths",
    "BindReadOnlyPaths",
    "TemporaryFileSystem",
    "RootDirectory",
    "RootImage",
];

/// With one of these a path is not what it is outside, and nothing is said of any.
const OTHER_VIEWS: [&str; 5] =
    ["BindPaths", "BindReadOnlyPaths", "TemporaryFileSystem", "RootDirectory", "RootImage"];

#[cfg(test)]
mod tests {
    use super::*;

    fn sandbox(settings: &[(&str, &str)], directories: &[&str]) -> Sandbox {
        let settings =
            settings.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let directories: Vec<PathBuf> = directories.iter().map(PathBuf::from).collect();
        Sandbox::of(&settings, &directories)
    }

    #[test]
    fn the_longest_path_decides() {
        let unit = [
            ("ProtectSystem", "strict"),
            ("ProtectHome", "yes"),
            ("PrivateTmp", "yes"),
            ("ReadWritePaths", "-/srv/logs /home/gateway"),
            ("ReadOnlyPaths", "/srv/logs/old"),
        ];
        let sandbox = sandbox(&unit, &["/var/log/phonebook-gateway"]);
        let writes = |path: &str| sandbox.keeps_from_writing(Path::new(path)).is_none();
        let sees = |path: &str| sandbox.hides(Path::new(path)).is_none();
        for path in [
            "/srv/logs",
            "/srv/logs/new",
            "/home/gateway/x",
            "/var/log/phonebook-gateway",
            "/dev/shm",
        ] {
            assert!(writes(path) && sees(path), "{path}");
        }
        for path in
            ["/srv", "/srv/logs/old", "/srv/logs-of-others", "/var/log", "/etc/phonebook-gateway"]
        {
            assert!(!writes(path) && sees(path), "{path}");
        }
        for path in ["/home", "/home/alice/certs", "/root/xivo.pem", "/tmp/a"] {
            assert!(!writes(path) && !sees(path), "{path}");
        }
        let own = sandbox.hides(Path::new("/tmp/a")).unwrap();
        assert_eq!(
            own.to_string(),
            "gives the service a /tmp of its own, which ends with it (PrivateTmp=yes)"
        );
        assert!(own.gives_another(Path::new("/tmp")) && !own.gives_another(Path::new("/tmp/a")));
        assert_eq!(
            sandbox.keeps_from_writing(Path::new("/var/log")).unwrap().to_string(),
            "lets the service write to few directories (ProtectSystem=strict)"
        );
        assert_eq!(
            sandbox.hides(Path::new("/root/a")).unwrap().to_string(),
            "hides /root from the service (ProtectHome=yes)"
        );
    }

    #[test]
    fn what_a_unit_does_not_close_is_open_and_what_it_shows_otherwise_is_not_judged() {
        let everything = [("ProtectSystem", "no"), ("ProtectHome", "no"), ("PrivateTmp", "no")];
        let full = [("ProtectSystem", "full"), ("ProtectHome", "read-only")];
        let bound = [("ProtectSystem", "strict"), ("BindPaths", "/data:/srv")];
        let writes = |unit: &[(&str, &str)], path: &str| {
            sandbox(unit, &[]).keeps_from_writing(Path::new(path)).is_none()
        };
        assert!(
            writes(&everything, "/home/a")
                && writes(&everything, "/tmp")
                && writes(&everything, "/usr")
        );
        assert!(!writes(&full, "/etc/x") && !writes(&full, "/home/a") && writes(&full, "/srv"));
        assert!(writes(&bound, "/srv") && writes(&bound, "/etc"));
    }
}
