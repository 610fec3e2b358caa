use proptest::prelude::*;

use super::*;

/// A variable as a test writes it; `None` is an array.
type Expected = &'static [(&'static str, Option<&'static str>)];

fn as_expected(query: &PhpQuery) -> Vec<(String, Option<String>)> {
    query
        .iter()
        .map(|(name, value)| {
            let value = match value {
                PhpValue::Text(text) => Some(String::from_utf8_lossy(text).into_owned()),
                PhpValue::Array => None,
            };
            (String::from_utf8_lossy(name).into_owned(), value)
        })
        .collect()
}

#[test]
fn every_query_yields_what_php_said() {
    for (query, expected) in SEEN {
        let expected: Vec<_> = expected
            .iter()
            .map(|(name, value)| ((*name).to_owned(), value.map(str::to_owned)))
            .collect();
        assert_eq!(as_expected(&php_query(query.as_bytes())), expected, "{query:?}");
    }
}

#[test]
fn the_first_thousand_variables_count() {
    let fillers = |count: usize| (0..count).map(|n| format!("f{n}=1&")).collect::<String>();
    let past = format!("act=delete&{}act=search", fillers(999));
    assert_eq!(php_query(past.as_bytes()).text(b"act"), Some(&b"delete"[..]));
    let within = format!("act=delete&{}act=search", fillers(998));
    assert_eq!(php_query(within.as_bytes()).text(b"act"), Some(&b"search"[..]));
}

#[test]
fn dropped_variables_count_and_empty_pieces_do_not() {
    let nameless = format!("{}act=delete", "=1&".repeat(1000));
    assert_eq!(php_query(nameless.as_bytes()).text(b"act"), None);
    let separators = format!("{}act=delete", "&".repeat(2000));
    assert_eq!(php_query(separators.as_bytes()).text(b"act"), Some(&b"delete"[..]));
}

#[test]
fn too_many_brackets_remove_the_variable() {
    let deep = |count| "[a]".repeat(count);
    for (query, expected) in [
        (format!("a{}=1", deep(64)), vec![("a".to_owned(), None)]),
        (format!("a{}=1", deep(65)), vec![]),
        (format!("a=1&a{}=1", deep(65)), vec![]),
        (format!("a{}[x=1", deep(64)), vec![]),
        (format!("a{}[x=1", deep(63)), vec![("a".to_owned(), None)]),
    ] {
        assert_eq!(as_expected(&php_query(query.as_bytes())), expected, "{query}");
    }
}

#[test]
fn trim_takes_six_bytes_and_no_others() {
    assert_eq!(trim(b" \t\n\r\0\x0bdelete \t\n\r\0\x0b"), b"delete");
    assert_eq!(trim(b"\x0cdelete\x0c"), b"\x0cdelete\x0c");
    assert_eq!(trim("\u{a0}a".as_bytes()), "\u{a0}a".as_bytes());
    assert_eq!(trim(b"a b"), b"a b");
    assert_eq!(trim(b" \0 "), b"");
    assert_eq!(trim(b""), b"");
}

#[test]
fn overlay_wins_over_the_query() {
    let mut query = php_query(b"act=search&search=a");
    query.overlay(php_query(b"act=delete&id=1"));
    assert_eq!(query.text(b"act"), Some(&b"delete"[..]));
    assert_eq!(query.text(b"search"), Some(&b"a"[..]));
    assert_eq!(query.text(b"id"), Some(&b"1"[..]));
}

proptest! {
    #[test]
    fn names_are_unique_and_have_no_byte_that_php_replaces(query in ".{0,80}") {
        let query = php_query(query.as_bytes());
        let mut names: Vec<_> = query.iter().map(|(name, _)| name.to_vec()).collect();
        for name in &names {
            prop_assert!(!name.is_empty() && !name.iter().any(|byte| b" .[\0".contains(byte)));
        }
        let count = names.len();
        names.sort();
        names.dedup();
        prop_assert_eq!(names.len(), count);
    }

    #[test]
    fn any_bytes_are_read(query in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = php_query(&query).text(b"act");
    }
}

/// What PHP 8.2 said (`parse_str`, the code behind `$_GET`).
const SEEN: &[(&str, Expected)] = &[
    ("act=search&act=delete", &[("act", Some("delete"))]),
    ("a=1&%20act=delete", &[("a", Some("1")), ("act", Some("delete"))]),
    ("+act=delete", &[("act", Some("delete"))]),
    ("%09act=d", &[("\tact", Some("d"))]),
    ("%0aact=d", &[("\nact", Some("d"))]),
    ("act%00x=delete", &[("act", Some("delete"))]),
    ("%00act=d", &[]),
    ("%20%20%00a=1", &[]),
    ("act[]=delete", &[("act", None)]),
    ("act=search&act[]=delete", &[("act", None)]),
    ("act[0]=d", &[("act", None)]),
    ("act%5B%5D=d", &[("act", None)]),
    ("act[=d", &[("act_", Some("d"))]),
    ("act.=d", &[("act_", Some("d"))]),
    ("act%20=d", &[("act_", Some("d"))]),
    ("act%20x=1", &[("act_x", Some("1"))]),
    ("a.b.c=1", &[("a_b_c", Some("1"))]),
    ("a[b.c]=1", &[("a", None)]),
    ("a[b]c=1", &[("a", None)]),
    ("a[x=1", &[("a_x", Some("1"))]),
    ("a[x[y]=1", &[("a", None)]),
    ("a[b[c=1", &[("a_b_c", Some("1"))]),
    ("a[b=1&a_b=2", &[("a_b", Some("2"))]),
    ("a[ .b=1", &[("a___b", Some("1"))]),
    ("a[[=1", &[("a__", Some("1"))]),
    ("a[b][c=1", &[("a", None)]),
    ("a [b]=1", &[("a_", None)]),
    ("[=1", &[]),
    ("[]=1", &[]),
    ("[a]=1", &[]),
    ("%20[a]=1", &[]),
    ("%20=1", &[]),
    ("=1", &[]),
    ("&&a=1&", &[("a", Some("1"))]),
    ("a", &[("a", Some(""))]),
    ("a&b=", &[("a", Some("")), ("b", Some(""))]),
    ("a;b=1", &[("a;b", Some("1"))]),
    ("a=1;b=2", &[("a", Some("1;b=2"))]),
    ("%61ct=x", &[("act", Some("x"))]),
    ("a=%zz%4", &[("a", Some("%zz%4"))]),
    ("a%=1", &[("a%", Some("1"))]),
    ("a=b=c", &[("a", Some("b=c"))]),
    ("a=1+2%2B3", &[("a", Some("1 2+3"))]),
    ("a=1&a[]=2", &[("a", None)]),
    ("a[]=2&a=1", &[("a", Some("1"))]),
    (".a=1", &[("_a", Some("1"))]),
    ("a].b=1", &[("a]_b", Some("1"))]),
    ("a%00[]=1", &[("a", Some("1"))]),
    ("a[b%00]=1", &[("a_b", Some("1"))]),
    ("a=%00b%00", &[("a", Some("\0b\0"))]),
    ("a=1&b=2&a=3", &[("a", Some("3")), ("b", Some("2"))]),
];
