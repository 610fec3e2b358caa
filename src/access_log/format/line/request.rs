//! The parts of a request, as nginx names them.

use crate::access_log::format::line::Facts;

/// The target as it was sent, without an absolute one's scheme and host. A URL without a path has `/`.
pub(super) fn target<'a>(facts: &Facts<'a>) -> Option<&'a [u8]> {
    let found = facts.entry.request?.get(facts.request.target.clone()?)?;
    Some(if found.is_empty() { b"/" } else { found })
}

/// The target's path, and what stands behind its `?`.
pub(super) fn split<'a>(facts: &Facts<'a>) -> (Option<&'a [u8]>, Option<&'a [u8]>) {
    let Some(target) = target(facts) else { return (None, None) };
    match memchr::memchr(b'?', target) {
        None => (Some(target), None),
        Some(at) => (Some(&target[..at]), Some(&target[at + 1..])),
    }
}

/// The value of the first argument of this name, as it was sent (`ngx_http_arg`).
pub(super) fn argument<'q>(query: &'q [u8], name: &[u8]) -> Option<&'q [u8]> {
    query.split(|&byte| byte == b'&').find_map(|pair| {
        let (found, value) = pair.split_at_checked(name.len())?;
        found.eq_ignore_ascii_case(name).then(|| value.strip_prefix(b"="))?
    })
}

/// The values of the fields called `name`, with `_` for each `-`, in lines of which each ends with a line
/// feed. As nginx reads them, a name with anything but letters, digits and hyphens is none, and a value
/// loses the spaces around it and keeps tabs.
pub(super) fn values<'f>(fields: &'f [u8], name: &[u8]) -> impl Iterator<Item = &'f [u8]> {
    fields.split(|&byte| byte == b'\n').filter_map(move |line| {
        let (found, rest) = line.split_at_checked(name.len())?;
        let value = rest.strip_prefix(b":")?;
        let same = |(&found, &wanted): (&u8, &u8)| match wanted {
            b'_' => found == b'-',
            _ => found.eq_ignore_ascii_case(&wanted),
        };
        if !found.iter().zip(name).all(same) {
            return None;
        }
        let value = value.strip_suffix(b"\r").unwrap_or(value);
        let start = value.iter().position(|&byte| byte != b' ').unwrap_or(value.len());
        let end = value.iter().rposition(|&byte| byte != b' ').map_or(start, |last| last + 1);
        value.get(start..end)
    })
}

/// Puts nginx's `$uri` for `path` into `out`: escapes decoded once, slashes merged, `.` and `..` followed.
/// Empty where nginx would refuse the path.
pub(super) fn normalize(path: &[u8], out: &mut Vec<u8>) {
    out.clear();
    if path.is_empty() {
        out.push(b'/');
        return;
    }
    let mut rest = path;
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        match (byte, tail) {
            (b'%', [high, low, tail @ ..]) => {
                let digit =
                    |byte: u8| char::from(byte).to_digit(16).and_then(|d| u8::try_from(d).ok());
                let (Some(high), Some(low)) = (digit(*high), digit(*low)) else {
                    return out.clear();
                };
                match high << 4 | low {
                    0 => return out.clear(),
                    byte => push(byte, out),
                }
                rest = tail;
            }
            (b'%', _) => return out.clear(),
            _ => push(byte, out),
        }
        if out.is_empty() {
            return;
        }
    }
    // A last segment of dots ends as if a slash followed.
    if matches!(last_segment(out), b"." | b"..") {
        push(b'/', out);
    }
}

/// Appends a byte; a slash first settles the segment that it ends. Leaves `out` empty beyond the root.
fn push(byte: u8, out: &mut Vec<u8>) {
    if byte != b'/' || out.is_empty() {
        return out.push(byte);
    }
    match last_segment(out) {
        b"" => {}
        b"." => out.truncate(out.len() - 1),
        b".." => {
            out.truncate(out.len().saturating_sub(3));
            match out.iter().rposition(|&byte| byte == b'/') {
                Some(slash) => out.truncate(slash + 1),
                None => out.clear(),
            }
        }
        _ => out.push(b'/'),
    }
}

fn last_segment(path: &[u8]) -> &[u8] {
    let start = path.iter().rposition(|&byte| byte == b'/').map_or(0, |slash| slash + 1);
    path.get(start..).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_normalized_as_nginx_does_it() {
        for (path, uri) in [
            ("", "/"),
            ("/", "/"),
            ("/a%2Fb%3Fc//d/../e", "/a/b?c/e"),
            ("/a/./b/.", "/a/b/"),
            ("/a/b/..", "/a/"),
            ("/a/..", "/"),
            ("//", "/"),
            ("/a+b", "/a+b"),
            ("/%41%25", "/A%"),
            ("/..", ""),
            ("/a/../../b", ""),
            ("/%00", ""),
            ("/%zz", ""),
            ("/%4", ""),
            ("/...", "/..."),
            ("/.a", "/.a"),
        ] {
            let mut out = b"old".to_vec();
            normalize(path.as_bytes(), &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), uri, "{path}");
        }
    }

    #[test]
    fn fields_are_found_as_nginx_finds_them() {
        let fields = b"X-A: \t1 \r\nx-a:2\r\nX_A: 3\r\nX-AB: 4\r\nEmpty:\r\n";
        let found: Vec<_> = values(fields, b"x_a").collect();
        assert_eq!(found, [b"\t1".as_slice(), b"2"]);
        assert_eq!(values(fields, b"empty").next(), Some(b"".as_slice()));
        assert_eq!(values(fields, b"x").next(), None);
    }

    #[test]
    fn an_argument_is_the_first_of_its_name_whatever_its_case() {
        assert_eq!(argument(b"xsearch=1&SEARCH=2&search=3", b"search"), Some(b"2".as_slice()));
        assert_eq!(argument(b"search", b"search"), None);
        assert_eq!(argument(b"search=", b"search"), Some(b"".as_slice()));
    }
}
