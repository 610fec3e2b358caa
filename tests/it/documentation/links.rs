//! Links between pages, and to files of the repository, lead somewhere; and each page is near the front page.

use std::collections::{BTreeSet, HashMap};

use super::page::{Page, page, pages, pieces, repository};

/// The targets of a page's links.
fn targets(page: &Page) -> Vec<String> {
    let mut found = Vec::new();
    for line in page.prose() {
        // Code is no link, and yet may be what a link shows.
        let text: String = pieces(line)
            .into_iter()
            .filter(|(is_code, _)| !is_code)
            .map(|(_, text)| text)
            .collect();
        let mut rest = text.as_str();
        while let Some((_, after)) = rest.split_once("](") {
            let (target, behind) = after.split_once(')').unwrap_or((after, ""));
            found.push(target.to_owned());
            rest = behind;
        }
    }
    found
}

/// The anchors of a page's headings, as GitHub makes them.
fn anchors(page: &Page) -> BTreeSet<String> {
    let mut seen: HashMap<String, usize> = HashMap::new();
    let anchor = |heading: &str| {
        let kept = |c: &char| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_');
        let slug: String = heading.to_lowercase().chars().filter(kept).collect();
        let slug = slug.replace(' ', "-");
        let count = seen.entry(slug.clone()).or_default();
        *count += 1;
        if *count == 1 { slug } else { format!("{slug}-{}", *count - 1) }
    };
    page.headings().into_iter().map(anchor).collect()
}

/// What a link within the repository names: the file, relative to it, and the anchor.
fn resolved(page: &Page, target: &str) -> (String, Option<String>) {
    let (path, anchor) = match target.split_once('#') {
        Some((path, anchor)) => (path, Some(anchor.to_owned())),
        None => (target, None),
    };
    if path.is_empty() {
        return (page.name.clone(), anchor);
    }
    let mut parts: Vec<&str> = page.name.split('/').collect();
    parts.pop();
    for part in path.split('/').filter(|part| !part.is_empty() && *part != ".") {
        if part == ".." {
            assert!(parts.pop().is_some(), "{}: {target} leads out of the repository", page.name);
        } else {
            parts.push(part);
        }
    }
    (parts.join("/"), anchor)
}

fn is_elsewhere(target: &str) -> bool {
    target.contains("://")
}

#[test]
fn links_lead_somewhere() {
    let pages = pages();
    let anchors: HashMap<&str, BTreeSet<String>> =
        pages.iter().map(|page| (page.name.as_str(), anchors(page))).collect();
    let mut wrong = Vec::new();
    let mut count = 0;
    for page in &pages {
        for target in targets(page) {
            count += 1;
            if is_elsewhere(&target) {
                if !target.starts_with("https://") {
                    wrong.push(format!("{}: {target} is not https", page.name));
                }
                continue;
            }
            let (file, anchor) = resolved(page, &target);
            if !repository().join(&file).exists() {
                wrong.push(format!("{}: {target}: there is no {file}", page.name));
            } else if let Some(anchor) = anchor
                && !anchors.get(file.as_str()).is_some_and(|known| known.contains(&anchor))
            {
                wrong.push(format!("{}: {target}: {file} has no heading #{anchor}", page.name));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(count > 100, "{count} links");
}

#[test]
fn the_front_page_is_short_and_leads_to_every_page() {
    let readme = page("README.md");
    assert!(readme.text.lines().count() <= 150, "{} lines", readme.text.lines().count());
    let linked: BTreeSet<String> =
        targets(&readme).iter().map(|target| resolved(&readme, target).0).collect();
    for page in pages().iter().filter(|page| page.name.starts_with("docs/")) {
        assert!(linked.contains(&page.name), "README.md does not link {}", page.name);
    }
}

/// What readers ask, and where the answer is.
const QUESTIONS: &[(&str, &str)] = &[
    ("how do I let Lyon in?", "docs/identity.md#let-a-site-in"),
    ("why 502?", "docs/troubleshooting.md#why-502"),
    ("what does `hold_nx` do?", "docs/configuration.md#names"),
    ("what is logged of a person?", "docs/access-log.md#what-is-logged-of-a-person"),
    ("how do I withdraw a certificate?", "docs/tls.md#withdraw-a-certificate"),
    ("how do I see who is refused?", "docs/report.md#commands"),
    ("does a restart lose lookups?", "docs/operations.md#what-a-restart-costs"),
    ("what must the far side enter?", "docs/far-side.md#step-by-step"),
    ("how much memory does it need?", "docs/operations.md#memory"),
    ("how do I get around a proxy in front?", "docs/identity.md#behind-proxies"),
    ("why does it not start?", "docs/troubleshooting.md#it-does-not-start"),
    ("who can still go around it?", "docs/deploy.md#close-the-back-door"),
];

#[test]
fn answers_are_two_links_from_the_front_page() {
    let readme = page("README.md");
    let linked = |from: &Page| -> BTreeSet<String> {
        let joined = |(file, anchor): (String, Option<String>)| match anchor {
            Some(anchor) => format!("{file}#{anchor}"),
            None => file,
        };
        targets(from)
            .iter()
            .filter(|target| !is_elsewhere(target))
            .map(|target| joined(resolved(from, target)))
            .collect()
    };
    let first = linked(&readme);
    for (question, answer) in QUESTIONS {
        let (file, _) = answer.split_once('#').unwrap();
        let second = || first.contains(file) && linked(&page(file)).contains(*answer);
        assert!(first.contains(*answer) || second(), "{question}: {answer}");
    }
}

#[test]
fn pages_that_the_program_and_its_files_name_exist() {
    let mut open: Vec<_> =
        ["src", "packaging", "policies"].map(|name| repository().join(name)).into();
    let mut named = BTreeSet::new();
    while let Some(path) = open.pop() {
        if path.is_dir() {
            open.extend(path.read_dir().unwrap().map(|entry| entry.unwrap().path()));
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap();
        let is_name = |c: char| c.is_ascii_alphanumeric() || "-_/.".contains(c);
        let words = text.split(|c: char| !is_name(c)).map(|word| word.trim_end_matches('.'));
        named.extend(words.filter(|word| word.starts_with("docs/")).map(str::to_owned));
    }
    for name in &named {
        assert!(repository().join(name).is_file(), "there is no {name}");
    }
    assert!(named.len() >= 6, "{named:?}");
}

#[test]
fn each_page_lists_its_headings() {
    for page in pages().iter().filter(|page| page.name.starts_with("docs/")) {
        let Some(contents) = page.text.split_once("Contents: ") else { continue };
        let contents = contents.1.split_once("\n\n").unwrap().0;
        let listed = Page { name: page.name.clone(), text: contents.to_owned() };
        let listed: BTreeSet<String> =
            targets(&listed).into_iter().map(|target| target[1..].to_owned()).collect();
        let second = page.text.lines().filter_map(|line| line.strip_prefix("## "));
        let text: String = second.map(|heading| format!("## {heading}\n")).collect();
        let missing: Vec<_> = anchors(&Page { name: String::new(), text })
            .into_iter()
            .filter(|anchor| !listed.contains(anchor))
            .collect();
        assert!(missing.is_empty(), "{}: its contents lack {missing:?}", page.name);
    }
}

#[test]
fn anchors_are_githubs() {
    let text = "# Why there is no …\n## `[[access_log]]`\n## HTTP/1, twice\n## HTTP/1, twice\n## XiVO's own\n";
    let found = anchors(&Page { name: String::new(), text: text.to_owned() });
    let expected = ["access_log", "http1-twice", "http1-twice-1", "why-there-is-no-", "xivos-own"];
    assert_eq!(found.into_iter().collect::<Vec<_>>(), expected);
    let page = Page {
        name: "docs/a.md".to_owned(),
        text: "[`[[x]]`](#x) and [b](../b.md#c), `[no](link)`\n```\n[no](link)\n```\n".to_owned(),
    };
    assert_eq!(targets(&page), ["#x", "../b.md#c"]);
    assert_eq!(resolved(&page, "../b.md#c"), ("b.md".to_owned(), Some("c".to_owned())));
}
