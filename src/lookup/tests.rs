use proptest::prelude::*;

use super::*;

fn query(query: &str) -> Result<Lookup, LookupError> {
    let parts = LookupParts {
        method: b"GET",
        path: PATH.as_bytes(),
        query: Some(query.as_bytes()),
        has_body: false,
    };
    Lookup::parse(parts)
}

fn bad(text: &str) -> BadArgument {
    match query(text) {
        Err(LookupError::BadArgument(bad)) => bad,
        other => panic!("{text}: {other:?}"),
    }
}

fn target(lookup: &Lookup) -> String {
    let mut out = Vec::new();
    lookup.write_target(&mut out);
    String::from_utf8(out).unwrap()
}

fn canonical(text: &str) -> String {
    target(&query(text).unwrap()).strip_prefix(PATH).unwrap().to_owned()
}

#[test]
fn lookups_are_written_in_one_form() {
    for (sent, written) in [
        ("act=search&search=doe", "?act=search&search=doe"),
        ("search=doe&act=search", "?act=search&search=doe"),
        ("act=search&search=+Jos%c3%a9++M%2f+", "?act=search&search=Jos%C3%A9%20%20M%2F"),
        ("act=search&search=é*~-._!'()", "?act=search&search=%C3%A9%2A~-._%21%27%28%29"),
        ("act=search&search=x%2526act%253Ddelete", "?act=search&search=x%2526act%253Ddelete"),
        ("act=search&search=a=b=c", "?act=search&search=a%3Db%3Dc"),
        ("act=search&search=", "?act=search&search="),
        ("act=search&search=%20", "?act=search&search="),
        ("act=list", "?act=list"),
        ("", "?act=list"),
        ("act=view&id=0012", "?act=view&id=12"),
        ("act=view&id=9999999999", "?act=view&id=9999999999"),
        (
            "sum=D41D8CD98F00B204E9800998ECF8427E&act=list",
            "?act=list&sum=d41d8cd98f00b204e9800998ecf8427e",
        ),
    ] {
        assert_eq!(canonical(sent), written, "{sent}");
    }
}

#[test]
fn the_checksum_that_the_caller_has_is_told_of_each_lookup() {
    let sum = "&sum=d41d8cd98f00b204e9800998ecf8427e";
    let known = Checksum::read(&sum.as_bytes()["&sum=".len()..]).unwrap();
    for text in ["act=search&search=a", "act=list", "act=view&id=1"] {
        assert_eq!(query(text).unwrap().known(), None, "{text}");
        assert_eq!(query(&format!("{text}{sum}")).unwrap().known(), Some(known), "{text}");
    }
}

#[test]
fn arguments_are_known_and_given_once() {
    for text in [
        "act=search&search=a&page=2",
        "act=search&%20act=delete",
        "act=search&+act=delete",
        "act=search&act%00x=delete",
        "act=search&act[]=delete",
        "act[]=search",
        "act=search&act.=delete",
        "ACT=search&search=a",
        "act=list&",
        "&act=list",
        "=list",
        "?act=list",
        "%2561ct=list",
        "act=search;search=a",
    ] {
        assert!(matches!(bad(text), BadArgument::Unknown | BadArgument::Act), "{text}");
    }
    assert_eq!(bad("act=search&act=delete"), BadArgument::Repeated("act"));
    assert_eq!(bad("act=delete&a%63t=search"), BadArgument::Repeated("act"));
    assert_eq!(bad("act=search&search=a&search=a"), BadArgument::Repeated("search"));
    assert_eq!(bad("act"), BadArgument::Misplaced("act"));
    assert_eq!(bad("act=search&search"), BadArgument::Misplaced("search"));
    assert_eq!(bad("search=doe"), BadArgument::Misplaced("search"));
    assert_eq!(bad("id=1"), BadArgument::Misplaced("id"));
    assert_eq!(bad("act=list&search=a"), BadArgument::Misplaced("search"));
    assert_eq!(bad("act=search"), BadArgument::Missing("search"));
    assert_eq!(bad("act=view"), BadArgument::Missing("id"));
    for text in ["act=search&search=%", "act=search&search=%4", "act=search&search=%zz", "act=lis%"]
    {
        assert_eq!(bad(text), BadArgument::BadEscape, "{text}");
    }
}

#[test]
fn acts_are_exact_and_writing_is_never_granted() {
    for act in
        ["", "Search", "search%20", "%20list", "list%00", "search'", "li%C5%BFt", "%0bview", "x"]
    {
        assert_eq!(bad(&format!("act={act}")), BadArgument::Act, "{act}");
    }
    for act in ["add", "delete", "edit", "del%65te", "deletes", "import"] {
        assert_eq!(query(&format!("act={act}&id=5")), Err(LookupError::Writing), "{act}");
    }
    assert!(matches!(query("act=s%65arch&search=a"), Ok(Lookup::Search { .. })));
}

#[test]
fn values_are_in_range() {
    for id in ["", "-1", "+1", "1.", "0x1", "12345678901", "%201", "1%00", "a"] {
        assert_eq!(bad(&format!("act=view&id={id}")), BadArgument::Id, "{id}");
    }
    for sum in [
        "",
        "d41d8cd98f00b204e9800998ecf8427",
        "d41d8cd98f00b204e9800998ecf8427ee",
        "g41d8cd98f00b204e9800998ecf8427e",
    ] {
        assert_eq!(bad(&format!("act=list&sum={sum}")), BadArgument::Sum, "{sum}");
    }
    assert_eq!(bad("act=search&search=M%FCller"), BadArgument::TermNotUtf8);
    for control in ["%00", "%09", "%0a", "%0D", "%1b", "%7F", "%C2%85"] {
        assert_eq!(bad(&format!("act=search&search=a{control}")), BadArgument::TermControl);
    }
    let long = |count| format!("act=search&search={}", "%C3%A9".repeat(count));
    assert_eq!(bad(&long(257)), BadArgument::TermTooLong);
    assert!(query(&long(256)).is_ok());
    assert!(query(&format!("act=search&search=++{}++", "x".repeat(256))).is_ok());
}

#[test]
fn path_method_and_body_come_before_arguments() {
    let refused = |method: &str, path: &str, has_body| {
        let parts = LookupParts {
            method: method.as_bytes(),
            path: path.as_bytes(),
            query: Some(b"x"),
            has_body,
        };
        Lookup::parse(parts).unwrap_err()
    };
    assert_eq!(refused("POST", "/a.php/private", true), LookupError::PrivatePath);
    assert_eq!(refused("POST", "/", true), LookupError::UnknownPath);
    assert_eq!(refused("POST", PATH, true), LookupError::MethodNotAllowed);
    assert_eq!(refused("get", PATH, true), LookupError::MethodNotAllowed);
    assert_eq!(refused("HEAD", PATH, true), LookupError::BodyNotAllowed);
    assert_eq!(refused("GET", PATH, false), LookupError::BadArgument(BadArgument::Unknown));
}

/// Any lookup.
fn lookups() -> impl Strategy<Value = Lookup> {
    let term = prop::collection::vec(any::<char>(), 0..=256).prop_filter_map("no term", |chars| {
        Term::read(chars.into_iter().collect::<String>().as_bytes()).ok()
    });
    let known = || prop::option::of(any::<[u8; 16]>().prop_map(Checksum));
    prop_oneof![
        (term, known()).prop_map(|(term, known)| Lookup::Search { term, known }),
        known().prop_map(|known| Lookup::List { known }),
        (0..=9_999_999_999_u64, known()).prop_map(|(id, known)| Lookup::View { id, known }),
    ]
}

proptest! {
    #[test]
    fn what_is_written_is_read_as_the_same_lookup(lookup in lookups()) {
        let target = target(&lookup);
        let (path, query) = target.split_once('?').unwrap();
        let parts = LookupParts {
            method: b"GET",
            path: path.as_bytes(),
            query: Some(query.as_bytes()),
            has_body: false,
        };
        prop_assert_eq!(Lookup::parse(parts), Ok(lookup));
    }

    #[test]
    fn what_is_written_is_plain_ascii_without_blanks(lookup in lookups()) {
        prop_assert!(target(&lookup).bytes().all(|b| b.is_ascii_graphic()));
    }

    #[test]
    fn no_bytes_make_the_parser_panic(path in any::<Vec<u8>>(), query in any::<Vec<u8>>()) {
        let parts = |path, query| LookupParts { method: b"GET", path, query: Some(query), has_body: false };
        let _ = Lookup::parse(parts(&path, &query));
        let _ = Lookup::parse(parts(PATH.as_bytes(), &query));
    }
}
