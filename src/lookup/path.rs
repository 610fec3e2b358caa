//! What a path means: the phonebook, the `private` realm, or nothing that is served here.

use std::borrow::Cow;

use crate::text::unhex;

/// Where a path leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Endpoint {
    /// The shared phonebook, in its one spelling.
    Phonebook,
    /// Anything that XiVO would read as its `private` realm.
    Private,
    /// Any other path, which is refused as `unknown-path`.
    Other,
}

/// Reads a path as it was sent.
///
/// Only the exact path is the phonebook. Whether any other path means `private` is found by reading
/// it as XiVO's nginx and PHP would; this names the refusal and can let nothing through.
pub(crate) fn read(path: &[u8]) -> Endpoint {
    if path.strip_suffix(b"/").unwrap_or(path) == super::PATH.as_bytes() {
        return Endpoint::Phonebook;
    }
    if means_private(path) { Endpoint::Private } else { Endpoint::Other }
}

/// nginx decodes once, merges slashes and resolves dot segments; what follows the last `.php` is
/// the PATH_INFO. XiVO merges slashes again, strips one at each end, then deletes every `..`
/// wherever it stands, and takes the first segment for the realm.
///
/// Where that `.php` is not a file, PHP (`cgi.fix_pathinfo`) goes up to the script that is one, and
/// takes as PATH_INFO the last bytes of what follows, as many as it cut off the script's name.
fn means_private(path: &[u8]) -> bool {
    let Some(resolved) = decode(path).and_then(|decoded| resolve(&decoded)) else {
        return false;
    };
    let mut ends = memchr::memmem::find_iter(&resolved, b".php").map(|at| at + b".php".len());
    let is_file = |end: &usize| matches!(resolved.get(*end), None | Some(b'/'));
    let Some(last) = ends.clone().last() else {
        return false;
    };
    let info = resolved.get(last..).unwrap_or_default();
    // nginx's `$` matches before a last line feed too.
    let info = info.strip_suffix(b"\n").unwrap_or(info);
    // No directory of XiVO's is called `….php`, so that the first existing file is the script.
    let cut = ends.find(is_file).map_or(0, |first| last - first);
    let climbed = info.get(info.len().saturating_sub(cut)..).unwrap_or_default();
    is_private_realm(info) || is_private_realm(climbed)
}

fn is_private_realm(info: &[u8]) -> bool {
    let mut realm = Vec::with_capacity(PRIVATE.len());
    // A first segment of dots alone (`/..../private`) is empty once they are deleted. XiVO refuses
    // it; who spells it so means `private` all the same, and is told so.
    for segment in info.split(|&b| b == b'/') {
        realm.clear();
        let mut rest = segment;
        while let Some((&byte, tail)) = rest.split_first() {
            if let Some(after) = rest.strip_prefix(b"..") {
                rest = after;
            } else {
                realm.push(byte);
                rest = tail;
            }
        }
        if !realm.is_empty() {
            break;
        }
    }
    realm == PRIVATE
}

/// nginx decodes a path once and refuses a broken escape and NUL (400): such a path means nothing.
fn decode(path: &[u8]) -> Option<Cow<'_, [u8]>> {
    if memchr::memchr2(b'%', 0, path).is_none() {
        return Some(Cow::Borrowed(path));
    }
    let mut decoded = Vec::with_capacity(path.len());
    let mut rest = path;
    while let Some((&byte, tail)) = rest.split_first() {
        let (byte, behind) = match (byte, tail) {
            (b'%', [high, low, behind @ ..]) => (unhex(*high, *low)?, behind),
            (b'%', _) => return None,
            _ => (byte, tail),
        };
        decoded.push(byte);
        rest = behind;
    }
    (!decoded.contains(&0)).then_some(Cow::Owned(decoded))
}

/// Merges slashes and resolves `.` and `..` segments; `None` above the root, which nginx refuses.
fn resolve(path: &[u8]) -> Option<Vec<u8>> {
    let mut segments: Vec<&[u8]> = Vec::new();
    for segment in path.split(|&b| b == b'/') {
        match segment {
            b"" | b"." => {}
            b".." => {
                segments.pop()?;
            }
            segment => segments.push(segment),
        }
    }
    let is_directory = path.ends_with(b"/") || path.ends_with(b"/.") || path.ends_with(b"/..");
    let mut resolved = Vec::with_capacity(path.len());
    for segment in segments {
        resolved.push(b'/');
        resolved.extend_from_slice(segment);
    }
    if is_directory {
        resolved.push(b'/');
    }
    Some(resolved)
}

const PRIVATE: &[u8] = b"private";

#[cfg(test)]
mod tests {
    use super::*;

    fn after_script(rest: &str) -> Endpoint {
        read(format!("/service/ipbx/json.php{rest}").as_bytes())
    }

    #[test]
    fn the_phonebook_has_one_spelling_and_xivos_trailing_slash() {
        assert_eq!(after_script("/restricted/pbx_services/phonebook"), Endpoint::Phonebook);
        assert_eq!(after_script("/restricted/pbx_services/phonebook/"), Endpoint::Phonebook);
        for rest in [
            "/restricted/pbx_services/phonebook//",
            "/restricted/pbx_services/phonebook/any/thing",
            "/restricted/pbx_services/phonebook%2f",
            "/restricted/pbx_services/phonebook%00",
            "/restricted/pbx_services/PHONEBOOK",
            "/restricted/pbx_services/./phonebook",
            "//restricted/pbx_services/phonebook",
            "/restr..icted/pbx_services/phonebook",
            "/restricted/pbx_services/phoneboo%6b",
            "/restricted/pbx_services/phonebook;x",
            "",
        ] {
            assert_eq!(after_script(rest), Endpoint::Other, "{rest}");
        }
    }

    #[test]
    fn private_is_seen_however_it_is_spelt() {
        for rest in [
            "/private/pbx_services/phonebook",
            "/pri..vate/pbx_services/phonebook",
            "/pri%2e%2evate/pbx_services/phonebook",
            "/%70rivate/pbx_services/phonebook",
            "/////private/pbx_services/phonebook",
            "/restricted%2f..%2fprivate/pbx_services/phonebook",
            "/restricted/../private/pbx_services/phonebook",
            "/restricted/./../private",
            "/....private",
            "/p..r..i..v..a..t..e/x",
            "%2fprivate",
            "/private/ctiserver/configuration",
            "/x.php/private/y",
            "/..../private/x",
            "/0123456789012345678901234567890123456789.php/private/pbx_services/phonebook",
            // PHP goes up to json.php and keeps as many bytes as `/123456789.php` has: `private/a/b/c`.
            "/123456789.php/zzzz/private/a/b/c",
            "/12345678.php/zzzz/private/a/b/",
            "/12345678.php/zzzz/private/a/b/.",
            "/12345678.php/zzzz/private/a/b/x/..",
            "/123456789.php/zzzz/private/a/b/c%0a",
        ] {
            assert_eq!(after_script(rest), Endpoint::Private, "{rest}");
        }
        assert_eq!(read(b"/xivo/configuration/json.php/private/network"), Endpoint::Private);
    }

    #[test]
    fn what_xivo_would_not_read_as_private_is_just_unknown() {
        for rest in [
            "/restricted/private/x",
            "/privat/x",
            "/PRIVATE/x",
            "/restricted/%252e%252e/private/x",
            "/restricted/..\\private",
            "/private%",
            "/private/x%",
            "/private/x%4",
            "/private%00/x",
            "/../../../../private",
            "/12345678.php/zzzz/private/a/b",
        ] {
            assert_eq!(after_script(rest), Endpoint::Other, "{rest}");
        }
        assert_eq!(read(b"/private/pbx_services/phonebook"), Endpoint::Other);
        assert_eq!(read(b""), Endpoint::Other);
        assert_eq!(read(b"/"), Endpoint::Other);
    }
}
