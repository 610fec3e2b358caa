//! What the page says of a document, and that nothing in one becomes markup. How it looks is tested in a browser
//! (tests/it/status_page.rs).

use super::page_of_document;

#[test]
fn the_policy_allows_the_one_style_and_the_one_script_and_nothing_else() {
    let policy = super::page_policy();
    for part in [
        "default-src 'none';",
        "style-src 'sha256-",
        "script-src 'sha256-",
        "frame-ancestors 'none'",
    ] {
        assert!(policy.contains(part), "{part}: {policy}");
    }
    assert!(!policy.contains("unsafe") && !policy.contains('*') && !policy.contains("http"));
}

#[test]
fn what_is_no_document_makes_no_page() {
    assert!(page_of_document("{}").is_err());
}
