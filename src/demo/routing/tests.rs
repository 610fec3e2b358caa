use proptest::prelude::*;

use super::*;

fn read(target: &str) -> Reading {
    read_url(target.as_bytes()).unwrap_or_else(|error| panic!("{target:?}: {error}"))
}

fn behind_script(rest: &str) -> Reading {
    read(&format!("{PREFIX}{rest}"))
}

#[test]
fn every_spelling_of_private_is_private() {
    for rest in [
        "private/pbx_services/phonebook",
        "pri..vate/pbx_services/phonebook",
        "pri%2e%2evate/pbx_services/phonebook",
        "..private/pbx_services/phonebook",
        "private../pbx_services/phonebook",
        "p..r..i..v..a..t..e/pbx_services/phonebook",
        "....private/pbx_services/phonebook",
        "%70rivate/pbx_services/phonebook",
        "/////private/pbx_services/phonebook",
        "/private//pbx_services/phonebook//",
        "private/pbx_services/phonebook/x/y/z",
        "restricted/../private/pbx_services/phonebook",
        "restricted%2f..%2fprivate/pbx_services/phonebook",
        "private/pbx_ser..vices/pho..nebook",
    ] {
        let reading = behind_script(rest);
        assert_eq!(reading.place(), Some(Place::Private), "{rest}");
        assert!(reading.is_phonebook(), "{rest}");
    }
}

#[test]
fn restricted_phonebook_is_found_with_anything_behind_it() {
    for rest in [
        "restricted/pbx_services/phonebook",
        "restricted/pbx_services/phonebook/",
        "restricted/pbx_services/phonebook/any/thing",
        "restricted/pbx_services/phonebook?act=list",
        "restricted/pbx_services/phonebook/_a/.b//",
    ] {
        let reading = behind_script(rest);
        assert_eq!(reading.place(), Some(Place::Restricted), "{rest}");
        assert!(reading.is_phonebook(), "{rest}");
    }
}

#[test]
fn other_paths_are_not_the_phonebook() {
    for target in [
        "/",
        "/service/ipbx/json.php",
        "/service/ipbx/json.php/",
        "/service/ipbx/json.php/restricted",
        "/service/ipbx/json.php/restricted/pbx_services",
        "/service/ipbx/json.php/restricted/pbx_services/phonebooks",
        "/service/ipbx/json.php/Restricted/pbx_services/phonebook",
        "/service/ipbx/json.php/_restricted/pbx_services/phonebook",
        "/service/ipbx/json.php/restricted/.pbx_services/phonebook",
        // Three dots lose two, and the one that stays begins a segment.
        "/service/ipbx/json.php/.../pbx_services/phonebook",
        // `..` in the middle is deleted after slashes were merged: an empty segment is left.
        "/service/ipbx/json.php/restricted/..../pbx_services/phonebook",
        "/service/ipbx/JSON.php/restricted/pbx_services/phonebook",
        "/service//ipbx/json.phprestricted/x",
        "/other.php/restricted/pbx_services/phonebook",
        // The split is greedy: the last `.php` names the script.
        "/service/ipbx/json.php/x.php/restricted/pbx_services/phonebook",
        "/service/ipbx/json%252ephp/restricted/pbx_services/phonebook",
    ] {
        assert!(!read(target).is_phonebook(), "{target}");
    }
}

#[test]
fn script_may_be_spelt_in_any_way_that_normalizes_to_it() {
    for target in [
        "//service/./ipbx//json.php/restricted/pbx_services/phonebook",
        "/x/../service/ipbx/json%2ephp/restricted/pbx_services/phonebook",
        "/%73ervice%2fipbx%2Fjson.php%2frestricted/pbx_services/phonebook",
        "http://any.host:80/service/ipbx/json.php/restricted/pbx_services/phonebook",
    ] {
        let reading = read(target);
        assert_eq!(reading.script.as_deref(), Some(SCRIPT), "{target}");
        assert!(reading.is_phonebook(), "{target}");
    }
}

#[test]
fn normalized_path_and_split_are_as_nginx_said() {
    // What an nginx 1.22 gave as $uri, script and PATH_INFO.
    for (target, path, script, info) in [
        ("/j.php/a/./b", "/j.php/a/b", Some("/j.php"), "/a/b"),
        ("/j.php/a/.", "/j.php/a/", Some("/j.php"), "/a/"),
        ("/j.php/a/..", "/j.php/", Some("/j.php"), "/"),
        ("/j.php/a//", "/j.php/a/", Some("/j.php"), "/a/"),
        ("/j.php/a%252e", "/j.php/a%2e", Some("/j.php"), "/a%2e"),
        ("/j.php/x.php/y", "/j.php/x.php/y", Some("/j.php/x.php"), "/y"),
        ("/j.php/a%0Ab", "/j.php/a\nb", None, ""),
        ("/j.php/a%0A", "/j.php/a\n", Some("/j.php"), "/a"),
        ("/j.php/a%3Fb", "/j.php/a?b", Some("/j.php"), "/a?b"),
        ("/j.php/a%23b", "/j.php/a#b", Some("/j.php"), "/a#b"),
        ("/j.php/a#b", "/j.php/a", Some("/j.php"), "/a"),
        ("/j.php/a/.../b", "/j.php/a/.../b", Some("/j.php"), "/a/.../b"),
        ("/j.php/%2e%2e/%2e", "/", None, ""),
        ("/j.php/a%5Cb", "/j.php/a\\b", Some("/j.php"), "/a\\b"),
        ("/j.php/.%2f", "/j.php/", Some("/j.php"), "/"),
        ("/j.php/..%23/x", "/j.php/..#/x", Some("/j.php"), "/..#/x"),
        ("/x.PHP/a", "/x.PHP/a", None, ""),
        ("/.php/a", "/.php/a", Some("/.php"), "/a"),
        ("/a.phpx/b", "/a.phpx/b", Some("/a.php"), "x/b"),
        ("http://h?c", "/", None, ""),
        ("http://h", "/", None, ""),
        ("h+t://h/a", "/a", None, ""),
    ] {
        let reading = read(target);
        assert_eq!(reading.path, path.as_bytes(), "{target}");
        assert_eq!(reading.script.as_deref(), script.map(str::as_bytes), "{target}");
        assert_eq!(reading.path_info, info.as_bytes(), "{target}");
    }
}

#[test]
fn targets_that_nginx_refuses_are_refused() {
    for (target, error) in [
        ("*", UrlError::Form),
        ("", UrlError::Form),
        ("a", UrlError::Form),
        ("http:/a", UrlError::Form),
        ("http:///a", UrlError::Form),
        ("1ttp://h/a", UrlError::Form),
        ("http://u@h:1/z", UrlError::Form),
        ("/..", UrlError::AboveRoot),
        ("/a/../..", UrlError::AboveRoot),
        ("/a%2f..%2f..%2fb", UrlError::AboveRoot),
        ("/a%00", UrlError::Escape),
        ("/a%zz", UrlError::Escape),
        ("/a%2", UrlError::Escape),
        ("/a b", UrlError::ControlByte),
        ("/a\tb", UrlError::ControlByte),
        ("/a?b\x7f", UrlError::ControlByte),
    ] {
        assert_eq!(read_url(target.as_bytes()), Err(error), "{target:?}");
    }
}

#[test]
fn escapes_in_the_query_are_not_checked_by_nginx() {
    assert_eq!(read("/a?b=%zz%00?c").query, b"b=%zz%00?c");
}

#[test]
fn every_spelling_of_delete_is_delete() {
    for query in [
        "act=delete",
        "act=search&act=delete",
        "act=search&%20act=delete",
        "act=search&+act=delete",
        "act=search&act%00x=delete",
        "act=%20delete",
        "act=%0Bdelete",
        "act=delete%00",
        "%61ct=%64elete",
        "&&act=delete&&",
    ] {
        let reading = behind_script(&format!("restricted/pbx_services/phonebook?{query}"));
        assert_eq!(Act::of(&reading.arguments()), Act::Delete, "{query}");
    }
}

#[test]
fn absent_unknown_and_array_acts_list() {
    for query in [
        "",
        "act=",
        "act=Delete",
        "act=delet",
        "act=search&act[]=delete",
        "act=search&act=list",
        "act=search;act=delete",
        "act.=delete",
        "%09act=delete",
    ] {
        assert_eq!(Act::of(&php_query(query.as_bytes())), Act::List, "{query}");
    }
    assert_eq!(Act::of(&php_query(b"act=search")), Act::Search);
    assert_eq!(Act::of(&php_query(b"act=view")), Act::View);
    assert_eq!(Act::of(&php_query(b"act=add")), Act::Add);
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(target in prop::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(reading) = read_url(&target) {
            let _ = (reading.place(), reading.is_phonebook(), reading.arguments());
        }
    }

    #[test]
    fn a_normalized_path_has_nothing_left_to_normalize(path in "/([a-c./%25ef]|\\.php){0,30}") {
        if let Ok(reading) = read_url(path.as_bytes()) {
            prop_assert!(reading.path.starts_with(b"/"));
            prop_assert!(!reading.path.windows(2).any(|pair| pair == b"//"));
            let mut segments = reading.path.split(|&byte| byte == b'/');
            prop_assert!(!segments.any(|segment| segment == b"." || segment == b".."));
        }
    }

    #[test]
    fn segments_are_plain(info in "(\\.{1,3}|/|_|private|a){0,12}") {
        if let Ok(reading) = read_url(format!("{PREFIX}{info}").as_bytes()) {
            prop_assert!(reading.segments.len() <= 3);
            for segment in &reading.segments {
                prop_assert!(!matches!(segment.first(), None | Some(b'_' | b'.')));
                prop_assert!(!segment.contains(&b'/'));
            }
        }
    }
}

const PREFIX: &str = "/service/ipbx/json.php/";
