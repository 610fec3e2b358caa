//! `/metrics` in both of its forms, read by strict readers, and the page that lists the figures.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use super::{SOCKET, ask, serve, text, usual};
use crate::support::{raw::Client, scripted::Scripted};

/// One figure.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Sample {
    pub(super) name: String,
    pub(super) labels: BTreeMap<String, String>,
    pub(super) value: f64,
}

impl fmt::Display for Sample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let labels = self.labels.iter().map(|(name, value)| format!("{name}={value}"));
        write!(f, "{}{{{}}}", self.name, labels.collect::<Vec<_>>().join(","))
    }
}

/// What stands above figures of one name.
#[derive(Clone, Debug, Default, PartialEq)]
struct Head {
    name: String,
    help: String,
    kind: String,
    unit: Option<String>,
}

/// Reads OpenMetrics 1.0, as strictly as the figures are to be.
fn read_open_metrics(text: &str) -> Result<Vec<Sample>, String> {
    let text = text.strip_suffix("# EOF\n").ok_or("no end")?;
    let (heads, samples) = read(text, &["counter", "gauge", "histogram", "info"])?;
    for (head, samples) in heads.iter().zip(&samples) {
        for sample in samples {
            let suffix = sample.name.strip_prefix(&head.name).ok_or("another name")?;
            let allowed: &[&str] = match head.kind.as_str() {
                "counter" => &["_total"],
                "gauge" => &[""],
                "info" => &["_info"],
                _ => &["_bucket", "_sum", "_count"],
            };
            if !allowed.contains(&suffix) {
                return Err(format!("{sample}: {suffix} of a {}", head.kind));
            }
        }
        let ends = head.unit.as_ref().is_none_or(|unit| head.name.ends_with(&format!("_{unit}")));
        if !ends || head.name.ends_with("_total") || head.name.ends_with("_info") {
            return Err(format!("the name {}", head.name));
        }
    }
    Ok(samples.into_iter().flatten().collect())
}

/// Reads Prometheus' form 0.0.4.
pub(super) fn read_prometheus(text: &str) -> Result<Vec<Sample>, String> {
    let (heads, samples) = read(text, &["counter", "gauge", "histogram"])?;
    for (head, samples) in heads.iter().zip(&samples) {
        if head.unit.is_some() {
            return Err(format!("{} has a unit", head.name));
        }
        for sample in samples {
            let suffix = sample.name.strip_prefix(&head.name).ok_or("another name")?;
            let fits = match head.kind.as_str() {
                "histogram" => ["_bucket", "_sum", "_count"].contains(&suffix),
                _ => suffix.is_empty(),
            };
            if !fits {
                return Err(format!("{sample}: {suffix} of a {}", head.kind));
            }
        }
        if (head.kind == "counter") != head.name.ends_with("_total") {
            return Err(format!("{} is a {}", head.name, head.kind));
        }
    }
    Ok(samples.into_iter().flatten().collect())
}

/// What both forms have in common: heads, each with its figures behind it, and none of them twice.
fn read(text: &str, kinds: &[&str]) -> Result<(Vec<Head>, Vec<Vec<Sample>>), String> {
    let (mut heads, mut all): (Vec<Head>, Vec<Vec<Sample>>) = (Vec::new(), Vec::new());
    if !text.ends_with('\n') {
        return Err("the last line has no end".to_owned());
    }
    for line in text.lines() {
        let Some(rest) = line.strip_prefix("# ") else {
            all.last_mut().ok_or("a figure without a head")?.push(sample(line)?);
            continue;
        };
        let mut words = rest.splitn(3, ' ');
        let (Some(what), Some(name), Some(said)) = (words.next(), words.next(), words.next())
        else {
            return Err(format!("half a line: {line}"));
        };
        let name = name.to_owned();
        if what == "HELP" {
            if heads.iter().any(|head| head.name == name) || said.is_empty() {
                return Err(format!("{name} again, or without a sentence"));
            }
            heads.push(Head { name, help: said.to_owned(), ..Head::default() });
            all.push(Vec::new());
            continue;
        }
        let head = heads.last_mut().filter(|head| head.name == name).ok_or(line)?;
        match what {
            "TYPE" if head.kind.is_empty() && kinds.contains(&said) => head.kind = said.to_owned(),
            "UNIT" if head.unit.is_none() => head.unit = Some(said.to_owned()),
            _ => return Err(format!("what is {line}")),
        }
    }
    let mut seen = BTreeSet::new();
    for (head, samples) in heads.iter().zip(&all) {
        for sample in samples {
            if !seen.insert(sample.to_string()) || sample.value.is_nan() || sample.value < 0.0 {
                return Err(format!("{sample} again, or it is {}", sample.value));
            }
        }
        if head.kind == "histogram" {
            check_histogram(&head.name, samples)?;
        }
    }
    Ok((heads, all))
}

fn check_histogram(name: &str, samples: &[Sample]) -> Result<(), String> {
    let bounds: Vec<(f64, f64)> = samples
        .iter()
        .filter(|sample| sample.name == format!("{name}_bucket"))
        .map(|sample| (sample.labels["le"].parse().unwrap(), sample.value))
        .collect();
    let count = samples.iter().find(|sample| sample.name == format!("{name}_count"));
    let grows = bounds.windows(2).all(|pair| pair[0].0 < pair[1].0 && pair[0].1 <= pair[1].1);
    let last = bounds.last().ok_or("no bucket")?;
    if !grows || last.0 != f64::INFINITY || Some(last.1) != count.map(|count| count.value) {
        return Err(format!("{name}: {bounds:?}"));
    }
    Ok(())
}

/// `name{label="value"} 1`.
fn sample(line: &str) -> Result<Sample, String> {
    let wrong = || format!("no figure: {line}");
    let (what, value) = line.rsplit_once(' ').ok_or_else(wrong)?;
    let (name, labels) = match what.split_once('{') {
        Some((name, labels)) => (name, labels.strip_suffix('}').ok_or_else(wrong)?),
        None => (what, ""),
    };
    let is_name = |name: &str| {
        let mut bytes = name.bytes();
        bytes.next().is_some_and(|byte| byte.is_ascii_lowercase())
            && bytes.all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
    };
    let mut found = BTreeMap::new();
    let mut rest = labels;
    while !rest.is_empty() {
        let (label, after) = rest.split_once("=\"").ok_or_else(wrong)?;
        let mut value = String::new();
        let mut characters = after.char_indices();
        let end = loop {
            match characters.next().ok_or_else(wrong)? {
                (end, '"') => break end,
                (_, '\\') => value.push(match characters.next().ok_or_else(wrong)?.1 {
                    'n' => '\n',
                    escaped @ ('\\' | '"') => escaped,
                    _ => return Err(wrong()),
                }),
                (_, other) => value.push(other),
            }
        };
        if !is_name(label) || found.insert(label.to_owned(), value).is_some() {
            return Err(wrong());
        }
        rest = &after[end + 1..];
        if let Some(after) = rest.strip_prefix(',') {
            rest = after;
        } else if !rest.is_empty() {
            return Err(wrong());
        }
    }
    if !is_name(name) {
        return Err(wrong());
    }
    let value = value.parse().map_err(|_| wrong())?;
    Ok(Sample { name: name.to_owned(), labels: found, value })
}

const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const PROMETHEUS: &str = "text/plain; version=0.0.4; charset=utf-8";

#[test]
fn the_readers_refuse_what_is_wrong() {
    let head = "# HELP a_total A.\n# TYPE a_total counter\n";
    let well = format!("{head}a_total{{x=\"\\\"\\\\\\n\",y=\"\"}} 1\n");
    let read = read_prometheus(&well).unwrap();
    assert_eq!((read[0].labels["x"].as_str(), read[0].value), ("\"\\\n", 1.0));
    for wrong in [
        "a_total 1\n".to_owned(),
        format!("{head}b_total 1\n"),
        format!("{head}a_total 1\na_total 1\n"),
        format!("{head}a_total 1"),
        format!("{head}a_total{{x=\"1\",x=\"2\"}} 1\n"),
        format!("{head}a_total{{x=\"1}} 1\n"),
        format!("{head}a_total one\n"),
        format!("{head}a_total NaN\n"),
        format!("{head}{head}"),
        head.replace("counter", "gauge"),
        head.replace("a_total", "a"),
        "# HELP h H.\n# TYPE h histogram\nh_bucket{le=\"1\"} 2\nh_bucket{le=\"+Inf\"} 1\nh_count 1\n".to_owned(),
    ] {
        assert!(read_prometheus(&wrong).is_err(), "{wrong}");
    }
    for wrong in [
        "# HELP a A.\n# TYPE a counter\na_total 1\n",
        "# HELP a A.\n# TYPE a counter\na 1\n# EOF\n",
        "# HELP a A.\n# TYPE a counter\na_total 1\n# EOF\n# EOF\n",
        "# HELP a A.\n# TYPE a gauge\n# UNIT a seconds\na 1\n# EOF\n",
    ] {
        assert!(read_open_metrics(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn both_forms_say_the_same_by_what_is_accepted() {
    let upstream = Scripted::well();
    let mut gateway = serve(&usual(&upstream), SOCKET);
    let mut client = Client::connect(gateway.address());
    assert_eq!(client.lookup("one").status, 200);
    let older = ask(&gateway, "/metrics", "");
    assert_eq!((older.status, older.header("content-type")), (200, Some(PROMETHEUS)));
    assert_eq!(older.header("vary"), Some("Accept"));
    let newer = ask(&gateway, "/metrics", "Accept: application/openmetrics-text\r\n");
    assert_eq!((newer.status, newer.header("content-type")), (200, Some(OPEN_METRICS)));
    let older = read_prometheus(&text(older)).unwrap_or_else(|why| panic!("{why}"));
    let newer = read_open_metrics(&text(newer)).unwrap_or_else(|why| panic!("{why}"));
    let names = |samples: &[Sample]| -> BTreeSet<String> {
        let of_one = |sample: &Sample| {
            // One writes 1.0 where the other writes 1.
            let bound = sample.labels.get("le").map(|le| le.parse::<f64>().unwrap().to_string());
            format!("{sample} {bound:?}").replace(".0", "")
        };
        samples.iter().map(of_one).collect()
    };
    assert_eq!(names(&older), names(&newer));
    let asked = "phonebook_gateway_requests_total{peer=lyon,reason=,verdict=allow}";
    for samples in [older, newer] {
        assert!(samples.iter().any(|it| it.to_string() == asked && it.value >= 1.0));
    }
}

#[test]
fn every_figure_has_a_row_on_the_page_and_every_row_a_figure() {
    let upstream = Scripted::well();
    let mut gateway = serve(&usual(&upstream), SOCKET);
    gateway.address();
    let shown = text(ask(&gateway, "/metrics", ""));
    let (heads, samples) = read(&shown, &["counter", "gauge", "histogram"]).unwrap();
    let mut exported = BTreeMap::new();
    for (head, samples) in heads.iter().zip(&samples) {
        let labels = samples.iter().flat_map(|sample| sample.labels.keys());
        let labels: BTreeSet<&String> = labels.filter(|label| *label != "le").collect();
        let labels: Vec<&str> = labels.iter().map(|label| label.as_str()).collect();
        exported.insert(head.name.clone(), (head.kind.clone(), labels.join(", ")));
    }
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/operations.md");
    let page = std::fs::read_to_string(page).unwrap();
    let section = page.split_once("\n## Metrics\n").unwrap().1.split_once("\n## ").unwrap().0;
    let mut written = BTreeMap::new();
    for row in section.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        let [name, kind, labels, meaning] = cells.try_into().unwrap_or_else(|_| panic!("{row}"));
        assert!(!meaning.is_empty(), "{row}");
        let mut labels: Vec<&str> = labels.split('`').skip(1).step_by(2).collect();
        labels.sort_unstable();
        let row = (kind.to_owned(), labels.join(", "));
        assert!(written.insert(name.trim_matches('`').to_owned(), row).is_none(), "{name}");
    }
    // These have no figure here, as there is no certificate.
    for (name, labels) in [
        ("phonebook_gateway_certificate_expiry_timestamp_seconds", "file, use"),
        ("phonebook_gateway_crl_next_update_timestamp_seconds", "file"),
    ] {
        exported.get_mut(name).unwrap().1 = labels.to_owned();
    }
    assert_eq!(written, exported);
}
