//! What listens on this host, and which program it is, as far as /proc lets this process see.

use std::collections::{HashMap, HashSet};
use std::ffi::{OsStr, OsString};
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::config::DEFAULT_FILE;
use crate::net::listen::LOCK_PREFIX;

/// A listening TCP socket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListeningSocket {
    address: SocketAddr,
    /// Whose it is.
    uid: u32,
    /// `None` where this process may not see it.
    holder: Option<Holder>,
}

/// The program that listens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Holder {
    pub(super) process: u32,
    pub(super) program: String,
    /// Of a gateway, the configuration that it was started with.
    pub(super) configuration: Option<PathBuf>,
}

impl ListeningSocket {
    /// All of this network's. A host without /proc has none to tell of.
    pub fn all() -> Vec<Self> {
        let tables = ["/proc/self/net/tcp", "/proc/self/net/tcp6"];
        let entries: Vec<Entry> = tables
            .iter()
            .filter_map(|table| fs::read_to_string(table).ok())
            .flat_map(|text| text.lines().filter_map(entry).collect::<Vec<_>>())
            .collect();
        let mut holders = holders(&entries.iter().map(|entry| entry.inode).collect(), &locks());
        let of = |entry: Entry| Self {
            address: entry.address,
            uid: entry.uid,
            holder: holders.remove(&entry.inode).or_else(|| gateway_of(entry.uid)),
        };
        entries.into_iter().map(of).collect()
    }

    /// Whether nobody else can listen on `address` beside it.
    pub(super) fn keeps(&self, address: SocketAddr) -> bool {
        let (held, wanted) = (self.address.ip(), address.ip());
        let covers = |wide: IpAddr, narrow: IpAddr| match wide {
            IpAddr::V4(wide) => wide.is_unspecified() && narrow.to_canonical().is_ipv4(),
            IpAddr::V6(wide) => wide.is_unspecified(),
        };
        let same = held.to_canonical() == wanted.to_canonical();
        self.address.port() == address.port()
            && (same || covers(held, wanted) || covers(wanted, held))
    }

    pub(super) fn holder(&self) -> Option<&Holder> {
        self.holder.as_ref()
    }

    /// Whose it is, by number.
    pub(super) fn uid(&self) -> u32 {
        self.uid
    }
}

/// A line of the kernel's table.
struct Entry {
    address: SocketAddr,
    uid: u32,
    inode: u64,
}

/// The listening socket that a line of /proc/net/tcp or tcp6 tells of.
fn entry(line: &str) -> Option<Entry> {
    const LISTEN: &str = "0A";
    let words: Vec<&str> = line.split_whitespace().collect();
    let [_, local, _, state, _, _, _, uid, _, inode, ..] = words.as_slice() else { return None };
    if *state != LISTEN {
        return None;
    }
    let (ip, port) = local.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let address = SocketAddr::new(address(ip)?, port);
    Some(Entry { address, uid: uid.parse().ok()?, inode: inode.parse().ok()? })
}

/// Words of 32 bits as this machine has them in memory.
fn address(hex: &str) -> Option<IpAddr> {
    let words: Vec<[u8; 4]> = (0..hex.len() / 8)
        .map(|at| u32::from_str_radix(hex.get(8 * at..8 * at + 8)?, 16).ok().map(u32::to_ne_bytes))
        .collect::<Option<_>>()?;
    match words.as_slice() {
        [word] => Some(Ipv4Addr::from(*word).into()),
        [_, _, _, _] => {
            let bytes: [u8; 16] = words.concat().try_into().ok()?;
            Some(Ipv6Addr::from(bytes).into())
        }
        _ => None,
    }
}

/// The sockets by which gateways keep each other from their addresses.
fn locks() -> HashSet<u64> {
    let table = fs::read_to_string("/proc/self/net/unix").unwrap_or_default();
    // Num, RefCount, Protocol, Flags, Type, St, Inode and the path, whose first byte is shown as @ where it is abstract.
    let inode = |line: &str| {
        let (before, _) = line.split_once(&format!("@{LOCK_PREFIX}"))?;
        before.split_whitespace().nth(6)?.parse().ok()
    };
    table.lines().filter_map(inode).collect()
}

/// The processes that have these sockets open. One of them is told of each. Who has one of `locks` is a gateway,
/// whatever its program is called.
fn holders(inodes: &HashSet<u64>, locks: &HashSet<u64>) -> HashMap<u64, Holder> {
    let mut found = HashMap::new();
    for process in processes() {
        let Ok(descriptors) = fs::read_dir(format!("/proc/{process}/fd")) else { continue };
        let open: HashSet<u64> =
            descriptors.flatten().filter_map(|entry| socket(&entry.path())).collect();
        let mut held = open.intersection(inodes).peekable();
        if held.peek().is_none() {
            continue;
        }
        let own = holder(process, !open.is_disjoint(locks));
        for inode in held {
            found.entry(*inode).and_modify(|known| prefer(known, &own));
            found.entry(*inode).or_insert_with(|| own.clone());
        }
    }
    found
}

/// The socket behind a descriptor of a process, if it is one.
fn socket(descriptor: &Path) -> Option<u64> {
    let target = fs::read_link(descriptor).ok()?;
    let inode = target.as_os_str().as_bytes().strip_prefix(b"socket:[")?.strip_suffix(b"]")?;
    std::str::from_utf8(inode).ok()?.parse().ok()
}

/// Which of two processes with the same socket is named. The first is the older: of a server with several processes that
/// which started the others. Of a gateway's sockets systemd has them too, as its store or as who passed them, and serves
/// nobody.
fn prefer(known: &mut Holder, other: &Holder) {
    if known.configuration.is_none() && other.configuration.is_some() {
        other.clone_into(known);
    }
}

/// By their numbers.
fn processes() -> Vec<u32> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let number = |name: OsString| name.to_str()?.parse().ok();
    let mut processes: Vec<u32> =
        entries.flatten().filter_map(|entry| number(entry.file_name())).collect();
    processes.sort_unstable();
    processes
}

fn holder(process: u32, is_gateway: bool) -> Holder {
    let file = fs::read_link(format!("/proc/{process}/exe")).ok();
    let name = file.as_deref().and_then(Path::file_name).map(OsStr::to_string_lossy);
    let name = name.map(|name| name.trim_end_matches(" (deleted)").to_owned());
    let short = || fs::read_to_string(format!("/proc/{process}/comm")).ok();
    let program = name.or_else(short).unwrap_or_default().trim().to_owned();
    Holder { process, configuration: configuration(process, is_gateway), program }
}

/// The configuration of the gateway that this process is, if it is one: by its lock, or by its command line.
fn configuration(process: u32, is_gateway: bool) -> Option<PathBuf> {
    let line = fs::read(format!("/proc/{process}/cmdline")).ok()?;
    let words: Vec<&OsStr> = line.split(|&b| b == 0).map(OsStr::from_bytes).collect();
    let (program, words) = words.split_first()?;
    let is_called_so = || {
        Path::new(program).file_name() == Some(OsStr::new("phonebook-gateway"))
            && words.contains(&OsStr::new("serve"))
    };
    if !is_gateway && !is_called_so() {
        return None;
    }
    let file = named_configuration(words).unwrap_or_else(|| DEFAULT_FILE.into());
    if file.is_absolute() {
        return Some(file);
    }
    Some(fs::read_link(format!("/proc/{process}/cwd")).ok()?.join(file))
}

/// What `-c` and `--config` say, in each of their spellings.
pub(super) fn named_configuration(words: &[&OsStr]) -> Option<PathBuf> {
    let at = words.iter().position(|word| {
        word.as_bytes().starts_with(b"-c") || word.as_bytes().starts_with(b"--config")
    })?;
    let word = words.get(at)?.as_bytes();
    let joined = word
        .strip_prefix(b"--config=")
        .or_else(|| word.strip_prefix(b"-c="))
        .or_else(|| word.strip_prefix(b"-c").filter(|rest| !rest.is_empty()));
    let file = match joined {
        Some(file) => file.to_owned(),
        None if matches!(word, b"-c" | b"--config") => words.get(at + 1)?.as_bytes().to_owned(),
        None => return None,
    };
    Some(OsString::from_vec(file).into())
}

/// A gateway of this user, where this process may not see whose a socket is: what a command line says everybody may
/// read.
fn gateway_of(uid: u32) -> Option<Holder> {
    let is_theirs = |process: &u32| {
        fs::metadata(format!("/proc/{process}")).is_ok_and(|metadata| metadata.uid() == uid)
            && fs::read_dir(format!("/proc/{process}/fd")).is_err()
    };
    let mut theirs =
        processes().into_iter().filter(is_theirs).map(|process| holder(process, false));
    theirs.find(|holder| holder.configuration.is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_table_is_read() {
        let v4 = "   0: 0100007F:2508 00000000:0000 0A 00000000:00000000 00:00000000 00000000   104        0 21417 1 0";
        let read = entry(v4).unwrap();
        assert_eq!(
            (read.address.to_string().as_str(), read.uid, read.inode),
            ("127.0.0.1:9480", 104, 21417)
        );
        let v6 = "   1: 0000000000000000FFFF00000100007F:01BB 00000000000000000000000000000000:0000 0A 0:0 0:0 0 0 0 7 1";
        assert_eq!(entry(v6).unwrap().address.to_string(), "[::ffff:127.0.0.1]:443");
        for other in [
            "  sl  local_address rem_address   st",
            "",
            &v4.replace(" 0A ", " 01 "),
            "0: x:y 0 0A 0 0 0 0 0 0",
        ] {
            assert!(entry(other).is_none(), "{other}");
        }
    }

    #[test]
    fn this_process_is_found_behind_its_socket() {
        let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap();
        let all = ListeningSocket::all();
        let mine = all.iter().find(|listening| listening.keeps(address)).unwrap();
        assert_eq!(mine.holder().unwrap().process, std::process::id());
        assert!(mine.keeps(SocketAddr::from(([0, 0, 0, 0], address.port()))));
        assert!(mine.keeps(format!("[::]:{}", address.port()).parse().unwrap()));
        assert!(!mine.keeps(SocketAddr::from(([127, 0, 0, 2], address.port()))));
        drop(socket);
        assert!(!ListeningSocket::all().iter().any(|listening| listening.keeps(address)));
    }

    #[test]
    fn a_configuration_is_found_in_each_spelling_of_a_command_line() {
        let named = |line: &str| {
            let words: Vec<&OsStr> = line.split(' ').map(OsStr::new).collect();
            named_configuration(&words)
        };
        for line in
            ["-c /x serve", "serve --config /x", "serve --config=/x", "-c/x serve", "-c=/x serve"]
        {
            assert_eq!(named(line).as_deref(), Some(Path::new("/x")), "{line}");
        }
        for line in ["serve", "serve --log-format json", "serve -c"] {
            assert_eq!(named(line), None, "{line}");
        }
    }
}
