//! The service that is to run with a configuration: its user, and what its unit lets it do.

use std::collections::HashMap;
use std::ffi::{CString, OsStr};
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::unistd::{Group, User, getgrouplist};
use serde::{Deserialize, Serialize};

use super::sandbox::{self, Sandbox};
use super::sockets::named_configuration;
use crate::config::DEFAULT_FILE;
use crate::files;

/// Whose rights a configuration is looked at with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Service {
    /// The user's name.
    pub user: String,
    /// Its number.
    pub uid: u32,
    /// The name of its first group.
    pub group: String,
    /// That group's number.
    pub gid: u32,
    /// All its groups by their numbers, with those that the unit adds.
    pub groups: Vec<u32>,
    /// Whether the unit lets it listen on ports that are not for everybody.
    pub may_bind_low_ports: bool,
    /// How many files it may have open, where the unit says so.
    pub descriptors: Option<u64>,
    /// The directories that systemd makes for it.
    directories: Vec<PathBuf>,
    /// Where systemd listens for it, by `.socket` units.
    sockets: Vec<SocketAddr>,
    /// The configuration that the unit starts it with.
    configuration: PathBuf,
    /// What the unit hides, or lets it only read.
    sandbox: Sandbox,
}

/// What is known of the service's user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServiceUser {
    /// All of it.
    Known(Box<Service>),
    /// There is no unit on this host, and nobody was named.
    NoUnit,
    /// Why its rights cannot be looked at.
    Unknown(String),
}

impl ServiceUser {
    /// The unit's user, or the one that is `named`, which the unit says more of where it is the same.
    pub fn find(named: Option<&str>) -> Self {
        let unit = settings_of_systemd().or_else(settings_of_files);
        let get = |settings: &HashMap<String, String>, key: &str| {
            settings.get(key).cloned().unwrap_or_default()
        };
        let of_unit = unit.as_ref().map(|unit| get(unit, "User"));
        let of_unit = of_unit.map(|user| if user.is_empty() { "root".to_owned() } else { user });
        let user = match (named, &of_unit) {
            (Some(named), _) => named.to_owned(),
            (None, Some(user)) => user.clone(),
            (None, None) => return Self::NoUnit,
        };
        let unit = unit.filter(|_| of_unit.as_deref() == Some(&user)).unwrap_or_default();
        match service(&user, &unit) {
            Ok(service) => Self::Known(Box::new(service)),
            Err(_) if get(&unit, "DynamicUser") == "yes" => Self::Unknown(format!(
                "{UNIT} has DynamicUser=yes, and its user is made when it starts"
            )),
            Err(why) => Self::Unknown(why),
        }
    }
}

impl Service {
    /// Whether systemd makes this directory before it starts the service.
    pub(super) fn makes(&self, directory: &Path) -> bool {
        self.directories.iter().any(|made| made == directory)
    }

    /// Whether systemd listens on `address` for it.
    pub(super) fn is_passed(&self, address: SocketAddr) -> bool {
        self.sockets.contains(&address)
    }

    /// What the unit hides, or lets it only read, if it is the unit that starts it with the configuration `file`.
    pub(super) fn sandbox_with(&self, file: &Path) -> Option<&Sandbox> {
        files::are_same(&self.configuration, file).then_some(&self.sandbox)
    }
}

fn service(name: &str, unit: &HashMap<String, String>) -> Result<Service, String> {
    let get = |key: &str| unit.get(key).map_or("", String::as_str);
    let missing = |what: &str, name: &str| format!("there is no {what} {name} on this host");
    let user = match name.parse::<u32>() {
        Ok(number) => User::from_uid(number.into()),
        Err(_) => User::from_name(name),
    };
    let user = user.ok().flatten().ok_or_else(|| missing("user", name))?;
    let group_of = |name: &str| {
        let group = match name.parse::<u32>() {
            Ok(number) => Group::from_gid(number.into()),
            Err(_) => Group::from_name(name),
        };
        group.ok().flatten().ok_or_else(|| missing("group", name))
    };
    let group = match get("Group") {
        "" => Group::from_gid(user.gid).ok().flatten(),
        name => Some(group_of(name)?),
    };
    let gid = group.as_ref().map_or(user.gid, |group| group.gid);
    let name_for_groups = CString::new(user.name.as_str()).map_err(|error| error.to_string())?;
    let mut groups: Vec<u32> = getgrouplist(&name_for_groups, gid)
        .map_err(|error| error.to_string())?
        .into_iter()
        .map(nix::unistd::Gid::as_raw)
        .collect();
    for more in get("SupplementaryGroups").split_whitespace() {
        groups.push(group_of(more)?.gid.as_raw());
    }
    let has = |key: &str| get(key).to_lowercase().contains("cap_net_bind_service");
    let bounded = unit.contains_key("CapabilityBoundingSet") && !has("CapabilityBoundingSet");
    let ambient = has("AmbientCapabilities") || user.uid.is_root();
    let directories = [
        ("LogsDirectory", "/var/log"),
        ("StateDirectory", "/var/lib"),
        ("RuntimeDirectory", "/run"),
    ];
    let directories: Vec<PathBuf> = directories
        .iter()
        .flat_map(|(key, base)| get(key).split_whitespace().map(|name| Path::new(base).join(name)))
        .collect();
    Ok(Service {
        uid: user.uid.as_raw(),
        gid: gid.as_raw(),
        group: group.map_or_else(|| gid.to_string(), |group| group.name),
        user: user.name,
        groups,
        may_bind_low_ports: ambient && !bounded && get("PrivateUsers") != "yes",
        descriptors: get("LimitNOFILE").rsplit(':').next().unwrap_or_default().parse().ok(),
        sockets: socket_units(get("TriggeredBy")),
        configuration: configuration(get("ExecStart")),
        sandbox: Sandbox::of(unit, &directories),
        directories,
    })
}

/// How a unit lets the service write to `directory`, or what else to change.
pub(super) fn let_write(directory: &Path, key: &str) -> String {
    format!(
        "write ReadWritePaths={} into [Service] of the unit (systemctl edit phonebook-gateway), or change {key}",
        directory.display()
    )
}

/// The configuration that a unit starts the gateway with, by its `ExecStart=` or by what `systemctl show` makes of it.
fn configuration(start: &str) -> PathBuf {
    let command = start
        .split_once("argv[]=")
        .map_or(start, |(_, rest)| rest.split(" ; ").next().unwrap_or(rest));
    let words: Vec<&OsStr> = command.split_whitespace().map(OsStr::new).collect();
    named_configuration(&words).unwrap_or_else(|| DEFAULT_FILE.into())
}

/// As systemd itself has them, drop-ins included.
fn settings_of_systemd() -> Option<HashMap<String, String>> {
    let properties = format!("LoadState,{},{}", SETTINGS.join(","), sandbox::SETTINGS.join(","));
    let text = systemctl_show(&[UNIT], &properties)?;
    let settings: HashMap<String, String> = text
        .lines()
        .filter_map(|line| line.split_once('='))
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect();
    settings.get("LoadState").is_some_and(|state| state == "loaded").then_some(settings)
}

/// The addresses on which systemd listens for the service, by these `.socket` units.
fn socket_units(names: &str) -> Vec<SocketAddr> {
    let names: Vec<&str> =
        names.split_whitespace().filter(|name| name.ends_with(".socket")).collect();
    if names.is_empty() {
        return Vec::new();
    }
    let text = systemctl_show(&names, "Listen").unwrap_or_default();
    let address =
        |line: &str| line.strip_prefix("Listen=")?.split_whitespace().next()?.parse().ok();
    text.lines().filter_map(address).collect()
}

/// What `systemctl show` says of the properties of units; `None` where it does not, or not soon.
fn systemctl_show(units: &[&str], properties: &str) -> Option<String> {
    let mut child = Command::new("systemctl")
        .arg("show")
        .args(units)
        .arg(format!("--property={properties}"))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .ok()?;
    let until = Instant::now() + SYSTEMCTL_TIMEOUT;
    while child.try_wait().ok()?.is_none() {
        if Instant::now() > until {
            // It is our own child, and nobody waits for it any longer.
            let _ = child.kill();
            let _ = child.wait();
            return None;
        }
        thread::sleep(Duration::from_millis(5));
    }
    let output = child.wait_with_output().ok().filter(|output| output.status.success())?;
    String::from_utf8(output.stdout).ok()
}

/// As the unit's file and its drop-ins say, where systemd does not run.
fn settings_of_files() -> Option<HashMap<String, String>> {
    let directories = || UNIT_DIRECTORIES.iter().map(Path::new);
    let text = directories().find_map(|directory| fs::read_to_string(directory.join(UNIT)).ok())?;
    let mut settings = HashMap::new();
    read_unit(&text, &mut settings);
    let drop_ins = directories()
        .filter_map(|directory| fs::read_dir(directory.join(format!("{UNIT}.d"))).ok());
    let mut drop_ins: Vec<PathBuf> =
        drop_ins.flat_map(|entries| entries.flatten().map(|entry| entry.path())).collect();
    drop_ins.retain(|path| path.extension().is_some_and(|extension| extension == "conf"));
    drop_ins.sort_by(|a, b| a.file_name().cmp(&b.file_name()));
    for text in drop_ins.iter().filter_map(|path| fs::read_to_string(path).ok()) {
        read_unit(&text, &mut settings);
    }
    Some(settings)
}

/// Reads the settings of `[Service]`. An empty value takes back what a list had.
fn read_unit(text: &str, settings: &mut HashMap<String, String>) {
    let text = text.replace("\\\n", " ");
    let mut in_service = false;
    for line in text.lines().map(str::trim) {
        if line.starts_with('[') {
            in_service = line == "[Service]";
            continue;
        }
        let Some((key, value)) = line.split_once('=').filter(|_| in_service) else { continue };
        let (key, value) = (key.trim(), value.trim());
        if !SETTINGS.contains(&key) && !sandbox::SETTINGS.contains(&key) {
            continue;
        }
        let is_list = LISTS.contains(&key);
        let value = match value {
            "true" | "on" | "1" if !is_list => "yes",
            value => value,
        };
        let entry: &mut String = settings.entry(key.to_owned()).or_default();
        if is_list && !value.is_empty() && !entry.is_empty() {
            entry.push(' ');
            entry.push_str(value);
        } else {
            value.clone_into(entry);
        }
    }
}

/// The unit's name.
pub(super) const UNIT: &str = "phonebook-gateway.service";

/// Where units are, the first of the same name wins.
const UNIT_DIRECTORIES: [&str; 5] = [
    "/etc/systemd/system",
    "/run/systemd/system",
    "/usr/local/lib/systemd/system",
    "/usr/lib/systemd/system",
    "/lib/systemd/system",
];

/// The settings of the unit that matter.
const SETTINGS: [&str; 13] = [
    "TriggeredBy",
    "ExecStart",
    "User",
    "Group",
    "SupplementaryGroups",
    "DynamicUser",
    "PrivateUsers",
    "AmbientCapabilities",
    "CapabilityBoundingSet",
    "LimitNOFILE",
    "LogsDirectory",
    "StateDirectory",
    "RuntimeDirectory",
];

/// Those of all settings that take several values.
const LISTS: [&str; 13] = [
    "ExecStart",
    "SupplementaryGroups",
    "AmbientCapabilities",
    "CapabilityBoundingSet",
    "LogsDirectory",
    "StateDirectory",
    "RuntimeDirectory",
    "ReadWritePaths",
    "ReadOnlyPaths",
    "InaccessiblePaths",
    "BindPaths",
    "BindReadOnlyPaths",
    "TemporaryFileSystem",
];

const SYSTEMCTL_TIMEOUT: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_unit_and_its_drop_ins_are_read_as_systemd_reads_them() {
        let mut settings = HashMap::new();
        read_unit(
            "[Unit]\nUser=no\n[Service]\nUser=gateway\nSupplementaryGroups=adm\nSupplementaryGroups=\\\nssl-cert\nCapabilityBoundingSet=\nPrivateUsers=true\n# User=x\n",
            &mut settings,
        );
        read_unit(
            "[Service]\nUser=other\nLogsDirectory=a b\nSupplementaryGroups=\n",
            &mut settings,
        );
        let get = |key: &str| settings.get(key).map(String::as_str);
        assert_eq!((get("User"), get("PrivateUsers")), (Some("other"), Some("yes")));
        assert_eq!(
            (get("SupplementaryGroups"), get("CapabilityBoundingSet")),
            (Some(""), Some(""))
        );
        assert_eq!(get("LogsDirectory"), Some("a b"));
    }

    #[test]
    fn the_packages_unit_makes_its_log_directory_and_binds_no_low_port() {
        let mut settings = HashMap::new();
        read_unit(include_str!("../../../packaging/phonebook-gateway.service"), &mut settings);
        settings.insert("User".to_owned(), "root".to_owned());
        settings.remove("Group");
        let service = service("root", &settings).unwrap();
        assert!(service.makes(Path::new("/var/log/phonebook-gateway")));
        assert!(!service.may_bind_low_ports);
        assert_eq!(service.descriptors, Some(65536));
        let unit = Path::new(DEFAULT_FILE);
        assert!(service.sandbox_with(Path::new("/etc/other.toml")).is_none());
        let sandbox = service.sandbox_with(unit).unwrap();
        let writes = |path: &str| sandbox.keeps_from_writing(Path::new(path)).is_none();
        assert!(writes("/var/log/phonebook-gateway") && writes("/var/lib/phonebook-gateway"));
        assert!(!writes("/var/log/xivo") && !writes("/etc/phonebook-gateway"));
        assert!(sandbox.hides(Path::new("/root/xivo.pem")).is_some());
    }

    #[test]
    fn the_configuration_is_the_one_that_the_unit_names() {
        for (start, expected) in [
            ("/usr/bin/phonebook-gateway serve", DEFAULT_FILE),
            ("/usr/bin/phonebook-gateway serve -c /srv/g.toml", "/srv/g.toml"),
            (
                "{ path=/usr/bin/phonebook-gateway ; argv[]=/usr/bin/phonebook-gateway serve --config=/srv/g.toml ; ignore_errors=no ; pid=0 }",
                "/srv/g.toml",
            ),
            (
                "{ path=/usr/bin/phonebook-gateway ; argv[]=/usr/bin/phonebook-gateway serve ; pid=7 }",
                DEFAULT_FILE,
            ),
            ("", DEFAULT_FILE),
        ] {
            assert_eq!(configuration(start), Path::new(expected), "{start}");
        }
    }

    #[test]
    fn who_does_not_exist_is_told() {
        let why = service("nobody-of-this-name", &HashMap::new()).unwrap_err();
        assert_eq!(why, "there is no user nobody-of-this-name on this host");
    }
}
