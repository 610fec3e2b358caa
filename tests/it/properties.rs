//! Generated requests, judged by what a XiVO would make of them.
//!
//! Each request is read three times: by the gateway's own head reader and parser, by real PHP with XiVO's rules (the
//! oracle), and, where it was accepted, once more from what the gateway writes, by PHP and by the sample XiVO's routing.
//! `PHONEBOOK_GATEWAY_TEST_REQUESTS` says how many requests are generated, 100,000 if it is not set; each run generates
//! the same ones.

pub(crate) mod generate;

use std::io::Write;

use fastrand::Rng;
use phonebook_gateway::demo::routing;
use phonebook_gateway::demo::routing::{Act, Place};
use phonebook_gateway::gateway::judge::lookup_parts;
use phonebook_gateway::http1::request::{HeadLimits, RequestReader};
use phonebook_gateway::lookup::{Lookup, PATH};
use phonebook_gateway::refusal::Refusal;
use serde_json::Value;

use crate::{
    corpus::verdict::target,
    support::{
        needs::or_left_out,
        oracle::{self, Reading},
        rig::Rig,
    },
};

/// How many requests are generated.
const COUNT: &str = "PHONEBOOK_GATEWAY_TEST_REQUESTS";

/// So many are in memory at a time.
const BATCH: usize = 50_000;

/// Of each batch so many go through a running gateway.
const LIVE: usize = 1_500;

/// The gateway's own limits.
const LIMITS: HeadLimits = HeadLimits { max_uri: 4096, max_head: 16_384, max_fields: 64 };

/// XiVO's acts that write, as its web services have them.
const WRITING: &[&str] = &[
    "add",
    "addmulti",
    "delete",
    "deleteall",
    "deletes",
    "disables",
    "edit",
    "enables",
    "import",
    "importcsv",
    "update",
];

#[test]
fn whatever_is_forwarded_is_a_granted_read_of_the_phonebook_and_nothing_else() {
    let count: usize = std::env::var(COUNT).map_or(100_000, |count| count.parse().unwrap());
    let mut random = Rng::with_seed(0x5849_564f);
    let mut tally = Tally::default();
    let mut rig = Rig::start("60s");
    while tally.generated < count {
        let requests: Vec<_> = (0..BATCH.min(count - tally.generated))
            .map(|_| generate::request(&mut random))
            .collect();
        let Some(readings) =
            or_left_out(oracle::read(requests.iter().map(generate::Request::local)))
        else {
            return;
        };
        let parsed: Vec<_> = requests.iter().map(|request| parse(&request.head())).collect();
        for ((request, parsed), reading) in requests.iter().zip(&parsed).zip(&readings) {
            tally.count(parsed, reading.as_ref());
            check_refusal(request, parsed, reading.as_ref());
        }
        let accepted: Vec<(&Lookup, Vec<u8>)> = parsed
            .iter()
            .filter_map(|parsed| parsed.as_ref().ok())
            .map(|lookup| {
                let mut target = Vec::new();
                lookup.write_target(&mut target);
                (lookup, target)
            })
            .collect();
        let written = oracle::read(accepted.iter().map(|(_, target)| target)).unwrap();
        for ((lookup, target), reading) in accepted.iter().zip(&written) {
            check_written(lookup, target, reading.as_ref());
        }
        for (request, parsed) in requests.iter().zip(&parsed).take(LIVE) {
            check_live(&mut rig, &request.head(), parsed);
        }
        tally.live += requests.len().min(LIVE);
    }
    writeln!(std::io::stderr(), "generated requests: {tally:?}").unwrap();
    // Without enough of each kind the test would say nothing.
    let share = |part: usize| part * 100 / tally.generated;
    assert!(share(tally.accepted) >= 5, "too few were accepted");
    assert!(share(tally.read_as_private) >= 3 && share(tally.read_as_writing) >= 5);
    assert!(tally.searches > 0 && tally.lists > 0 && tally.views > 0);
}

/// What the gateway makes of a head: the way of a request up to the lookup.
fn parse(head: &[u8]) -> Result<Lookup, Option<Refusal>> {
    match RequestReader::default().advance(head, &LIMITS) {
        Ok(Some(read)) => {
            Lookup::parse(lookup_parts(&read.over(head))).map_err(|error| Some(error.into()))
        }
        Ok(None) | Err(_) => Err(None),
    }
}

/// What XiVO would take for private or for writing is refused, and private by its name.
fn check_refusal(
    request: &generate::Request,
    parsed: &Result<Lookup, Option<Refusal>>,
    reading: Option<&Reading>,
) {
    let Some(reading) = reading else { return };
    let shown = || request.head().escape_ascii().to_string();
    if reading.realm.as_deref() == Some("private") {
        // A head that is no HTTP was not read as far as its path.
        let named = matches!(parsed, Err(None | Some(Refusal::PrivatePath)));
        assert!(named, "{} is private, and was read as {parsed:?}", shown());
    }
    if is_writing(reading) {
        assert!(parsed.is_err(), "{} writes, and was read as {parsed:?}", shown());
    }
}

fn is_writing(reading: &Reading) -> bool {
    match &reading.act {
        Value::String(act) => WRITING.contains(&act.as_str()),
        Value::Array(_) | Value::Object(_) => true,
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

/// What is written from a lookup means that lookup, to PHP and to the sample XiVO.
fn check_written(lookup: &Lookup, target: &[u8], php: Option<&Reading>) {
    let shown = String::from_utf8_lossy(target);
    let php = php.unwrap_or_else(|| panic!("{shown} does not reach XiVO's script"));
    assert_eq!(php.realm.as_deref(), Some("restricted"), "{shown}");
    let segments = php.segments.as_deref().unwrap_or_default();
    assert_eq!(segments, ["restricted", "pbx_services", "phonebook"], "{shown}");
    let (act, search, id) = match lookup {
        Lookup::Search { term, .. } => ("search", Value::from(term.as_str()), Value::Null),
        Lookup::List { .. } => ("list", Value::Null, Value::Null),
        Lookup::View { id, .. } => ("view", Value::Null, Value::from(id.to_string())),
    };
    assert_eq!((&php.act, &php.search, &php.id), (&Value::from(act), &search, &id), "{shown}");
    let known = shown.split_once("&sum=").map_or(Value::Null, |(_, sum)| Value::from(sum));
    assert_eq!(php.sum, known, "{shown}");

    let reading = routing::read_url(target).unwrap();
    assert!(reading.place() == Some(Place::Restricted) && reading.is_phonebook(), "{shown}");
    let arguments = reading.arguments();
    let text = |name: &str| arguments.text(name.as_bytes()).map(String::from_utf8_lossy);
    assert_eq!(text("search").as_deref(), search.as_str(), "{shown}");
    assert_eq!(text("id").as_deref(), id.as_str(), "{shown}");
    let act = match lookup {
        Lookup::Search { .. } => Act::Search,
        Lookup::List { .. } => Act::List,
        Lookup::View { .. } => Act::View,
    };
    assert_eq!(Act::of(&arguments), act, "{shown}");
    let (path, query) = shown.split_once('?').unwrap();
    assert_eq!(path, PATH);
    assert_eq!(parse(&generate::head("GET", &format!("{path}?{query}"), "")), Ok(lookup.clone()));
}

/// A running gateway does what the library says, and sends on nothing but what was written.
fn check_live(rig: &mut Rig, head: &[u8], parsed: &Result<Lookup, Option<Refusal>>) {
    let run = rig.run([head], false);
    let shown = || head.escape_ascii().to_string();
    assert!(run.upstream.rest.is_empty(), "{}", shown());
    match parsed {
        Err(_) => assert!(run.upstream.heads.is_empty(), "{} was forwarded", shown()),
        Ok(lookup) => {
            let [upstream] = run.upstream.heads.as_slice() else {
                panic!("{} was forwarded {} times", shown(), run.upstream.heads.len());
            };
            let mut written = Vec::new();
            lookup.write_target(&mut written);
            assert_eq!(
                target(upstream).map(str::as_bytes),
                Some(written.as_slice()),
                "{}",
                shown()
            );
        }
    }
}

/// Whatever head the gateway's reader takes, hyper's takes as well, and reads the same method, target and fields in it.
#[test]
fn the_head_reader_accepts_only_what_httparse_accepts() {
    let mut random = Rng::with_seed(0x4854_5450);
    let (mut accepted, mut refused) = (0, 0);
    for _ in 0..20_000 {
        let bytes = generate::any_head(&mut random);
        let Ok(Some(head)) = RequestReader::default().advance(&bytes, &LIMITS) else {
            refused += 1;
            continue;
        };
        let head = head.over(&bytes);
        // Bytes that are no text are refused where the target is parsed, so that the log has the line; httparse refuses
        // the whole head.
        if std::str::from_utf8(&bytes[..bytes.iter().position(|&b| b == b'\r').unwrap()]).is_err() {
            assert!(parse(&bytes).is_err(), "{}", bytes.escape_ascii());
            refused += 1;
            continue;
        }
        accepted += 1;
        let mut fields = [httparse::EMPTY_HEADER; 65];
        let mut theirs = httparse::Request::new(&mut fields);
        let shown = || bytes.escape_ascii().to_string();
        let status = theirs.parse(&bytes).unwrap_or_else(|error| panic!("{error}: {}", shown()));
        assert_eq!(status, httparse::Status::Complete(head.len()), "{}", shown());
        assert_eq!(theirs.method.map(str::as_bytes), Some(head.method()), "{}", shown());
        let is_11 = head.version() == phonebook_gateway::http1::Version::Http11;
        assert_eq!(theirs.version, Some(u8::from(is_11)), "{}", shown());
        let field = |name: &str| {
            theirs
                .headers
                .iter()
                .find(|field| field.name.eq_ignore_ascii_case(name))
                .map(|field| field.value)
        };
        assert_eq!(field("user-agent"), head.user_agent(), "{}", shown());
        let length = field("content-length").map(<[u8]>::to_vec).unwrap_or_default();
        assert_eq!(length.iter().any(|&digit| digit != b'0'), head.has_body(), "{}", shown());
        assert!(field("transfer-encoding").is_none(), "{}", shown());
    }
    writeln!(std::io::stderr(), "generated heads: {accepted} accepted, {refused} refused").unwrap();
    assert!(accepted >= 2_000 && refused >= 2_000, "{accepted} accepted, {refused} refused");
}

/// What was generated.
#[derive(Debug, Default)]
struct Tally {
    generated: usize,
    accepted: usize,
    searches: usize,
    lists: usize,
    views: usize,
    read_as_private: usize,
    read_as_writing: usize,
    malformed: usize,
    live: usize,
}

impl Tally {
    fn count(&mut self, parsed: &Result<Lookup, Option<Refusal>>, reading: Option<&Reading>) {
        self.generated += 1;
        self.accepted += usize::from(parsed.is_ok());
        match parsed {
            Ok(Lookup::Search { .. }) => self.searches += 1,
            Ok(Lookup::List { .. }) => self.lists += 1,
            Ok(Lookup::View { .. }) => self.views += 1,
            Err(None) => self.malformed += 1,
            Err(Some(_)) => {}
        }
        let is_private = |reading: &Reading| reading.realm.as_deref() == Some("private");
        self.read_as_private += usize::from(reading.is_some_and(is_private));
        self.read_as_writing += usize::from(reading.is_some_and(is_writing));
    }
}
