//! Whom the kernel says that a client is.

use std::fs;
use std::sync::LazyLock;

/// The user id of a client, unless it stands for all those that this process's user name space has no id
/// for: inside systemd's `PrivateUsers=` the kernel says so of every user but root and the service's own.
pub(super) fn known_uid(uid: u32) -> Option<u32> {
    (uid != OVERFLOW || *ALL_KNOWN).then_some(uid)
}

/// Whether a map (user_namespaces(7)) has all ids as they are outside.
fn is_whole(map: &str) -> bool {
    map.split_whitespace().eq(["0", "0", "4294967295"])
}

/// The kernel's default of `/proc/sys/kernel/overflowuid`.
const OVERFLOW: u32 = 65534;

/// Whether the name space has every user.
static ALL_KNOWN: LazyLock<bool> =
    LazyLock::new(|| fs::read_to_string("/proc/self/uid_map").is_ok_and(|map| is_whole(&map)));

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_map_of_all_users_is_told_from_one_of_some() {
        assert!(is_whole("         0          0 4294967295\n"));
        for map in ["", "0 0 1\n", "0 0 1\n998 998 1\n", "0 100000 65536\n"] {
            assert!(!is_whole(map), "{map}");
        }
        assert_eq!(known_uid(1000), Some(1000));
    }
}
