//! The status page in a real browser, and the status document of a real gateway.

mod documents;

use std::{
    env, fs,
    io::{Read, Write},
    net::TcpListener,
    path::Path,
    process::Command,
    sync::Arc,
    sync::atomic::{AtomicUsize, Ordering},
};

use phonebook_gateway::admin::{StatusSource, page_of_document, page_policy};
use serde_json::Value;

use crate::report_page::{HOSTILE, WIDTHS, chromium, measured};
use crate::support::{
    live::{PATIENT, Setup, policy},
    needs::{or_left_out, program as needed, python_with_jsonschema},
    raw::Client,
    scripted::Scripted,
    xivo::PHONEBOOK,
};

/// A directory to leave the pages in, for whoever wants to look at them.
const PAGES: &str = "PHONEBOOK_GATEWAY_TEST_PAGES";

const LIGHT: &str = "--blink-settings=preferredColorScheme=1";
const DARK: &str = "--blink-settings=preferredColorScheme=0";

fn all() -> [(&'static str, Value); 4] {
    [
        ("fresh", documents::fresh()),
        ("busy", documents::busy()),
        ("troubled", documents::troubled()),
        ("crowded", documents::crowded()),
    ]
}

fn page(document: &Value) -> String {
    page_of_document(&document.to_string()).unwrap()
}

#[test]
fn the_page_can_be_read_on_a_phone_and_on_a_wall_by_day_and_by_night() {
    if let Some(directory) = env::var_os(PAGES) {
        for (name, document) in all() {
            fs::write(Path::new(&directory).join(format!("{name}.html")), page(&document)).unwrap();
        }
    }
    let Some(browser) = or_left_out(needed("chromium", "chromium")) else { return };
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("status.html");
    for (name, document) in all() {
        fs::write(&file, page(&document)).unwrap();
        for scheme in [LIGHT, DARK] {
            let frames = measured(&browser, directory.path(), &file, scheme);
            assert_eq!(frames.len(), WIDTHS.len());
            for (width, frame) in WIDTHS.iter().zip(&frames) {
                let at = format!("{name}, {width} px, {scheme}");
                assert_eq!(frame["overflow"], 0, "{at}: the page is wider than the screen");
                assert_eq!(frame["harmed"], false, "{at}: a script from outside has run");
                assert!(frame["texts"].as_u64().unwrap() > 50, "{at}: {frame}");
                for fault in ["small", "outside", "pale"] {
                    let list = frame[fault].as_array().unwrap();
                    assert!(list.is_empty(), "{at}: {fault}: {list:#?}");
                }
            }
        }
    }
}

#[test]
fn the_page_says_what_is_wrong_and_escapes_what_comes_from_outside() {
    let page = page(&documents::troubled());
    assert!(!page.contains(HOSTILE) && !page.contains("<img") && !page.contains("<b>'"));
    for part in [
        "<title>Ill – phonebook gateway on gw.lyon.example.org</title>",
        "lookups are refused at once until it does",
        "policies/xivo-lyon.toml:7",
        "hosts = [&quot;192.0.2.7&quot;]",
        "ends soon",
        "there is no such name",
        "until 2026-11-28 12:00 UTC",
        "and 7 more",
    ] {
        assert!(page.contains(part), "{part}: {page}");
    }
    let crowded = page_of_document(&documents::crowded().to_string()).unwrap();
    assert!(crowded.contains("950 more are in"));
    assert!(crowded.len() < 200_000, "{}", crowded.len());
}

#[test]
fn the_page_takes_over_what_changes_by_its_own_script() {
    let Some(browser) = or_left_out(needed("chromium", "chromium")) else { return };
    let directory = tempfile::tempdir().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let mut later = documents::troubled();
    later["at"] = "2026-11-28T10:12:05Z".into();
    let pages = [page(&documents::busy()), page(&later)];
    let asked = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&asked);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { continue };
            let mut head = [0; 4096];
            let length = stream.read(&mut head).unwrap_or(0);
            let is_page = head[..length].starts_with(b"GET / ");
            let nth = if is_page { counted.fetch_add(1, Ordering::Relaxed) } else { 0 };
            let body = if is_page { &*pages[nth.min(1)] } else { "" };
            let _ = write!(
                stream,
                "HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\nContent-Security-Policy: {}\r\n\
                 Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
                page_policy(),
                body.len()
            );
        }
    });
    let dump = ["--virtual-time-budget=9000", "--dump-dom", &url];
    let dom = String::from_utf8(chromium(&browser, directory.path(), &dump)).unwrap();
    assert!(asked.load(Ordering::Relaxed) >= 2, "{dom}");
    assert!(dom.contains("Live, as of 10:12:05 UTC"), "{dom}");
    assert!(dom.contains("lookups are refused at once until it does"), "{dom}");
    assert!(dom.contains("<title>Ill – "), "{dom}");
    assert!(!dom.contains("<img"), "{dom}");
}

/// What is wrong with a document by the schema.
fn faults(python: &str, document: &Value) -> String {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("status.json");
    fs::write(&file, document.to_string()).unwrap();
    let validate = "import json, sys\n\
        from jsonschema import Draft202012Validator as V\n\
        schema = json.load(open(sys.argv[1])); V.check_schema(schema)\n\
        for error in V(schema).iter_errors(json.load(open(sys.argv[2]))): print(error.json_path, error.message)\n";
    let schema = concat!(env!("CARGO_MANIFEST_DIR"), "/packaging/status.schema.json");
    let output = Command::new(python).args(["-c", validate, schema]).arg(&file).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_real_document_is_what_the_schema_says_and_names_who_is_refused_and_who_is_unknown() {
    let upstream = Scripted::well();
    let live = Setup {
        listen: "trusted_proxies = [\"127.0.0.1\"]\n".to_owned(),
        ..Setup::new(upstream.address()).workers(2).upstream(PATIENT)
    };
    let search = "hosts = [\"192.0.2.10\"]\nactions = [\"search\"]\n".to_owned();
    let live = live.policy("lyon", policy("192.0.2.1", "")).policy("nice", search).start();
    let source = StatusSource::new(live.server().clone());
    let document = || serde_json::from_str::<Value>(&source.json().unwrap()).unwrap();
    let fresh = document();
    assert_eq!(fresh["verdict"]["state"], "well", "{fresh}");
    assert_eq!(fresh["verdict"]["sentence"], "All is well, and nobody has asked since the start.");
    let ask = |address: &str, target: &str| {
        let request = format!(
            "GET {target} HTTP/1.1\r\nHost: localhost\r\nX-Forwarded-For: {address}\r\nUser-Agent: {HOSTILE}\r\n\
             Connection: close\r\n\r\n"
        );
        Client::connect(live.address).send(&request);
    };
    let lookup = format!("{PHONEBOOK}?act=search&search=abc");
    ask("192.0.2.1", &lookup);
    ask("192.0.2.10", &format!("{PHONEBOOK}?act=list"));
    ask("198.51.100.7", &lookup);
    ask("198.51.100.7", &lookup.replace("restricted", "private"));
    ask("198.51.100.8", "/wp-login.php");
    assert!(crate::support::process::becomes_true(|| {
        let document = document();
        document["requests"]["answered"] == 1 && document["requests"]["refused"] == 4
    }));
    let document = document();
    let callers = document["unknown_callers"].as_array().unwrap();
    assert_eq!(callers.len(), 1, "{document}");
    assert_eq!(callers[0]["address"], "198.51.100.7");
    assert_eq!((&callers[0]["lookups"], &callers[0]["private"]), (&2.into(), &1.into()));
    assert!(callers[0]["policy"].as_str().unwrap().contains("hosts = [\"198.51.100.7\"]"));
    let findings = document["findings"].to_string();
    assert!(findings.contains("`nice` was refused"), "{findings}");
    assert!(findings.contains("198.51.100.7 is in no policy"), "{findings}");
    assert_eq!(document["verdict"]["state"], "attention");
    assert_eq!(
        document["history"]["hour"]["slots"].as_array().unwrap().last().unwrap()["answered"],
        1
    );
    assert!(source.page().contains("198.51.100.7"));
    let Some(python) = or_left_out(python_with_jsonschema()) else { return };
    for document in [fresh, document].iter().chain(all().iter().map(|(_, document)| document)) {
        assert_eq!(faults(python, document), "");
        // The schema holds something, and no key may be missing.
        for key in ["verdict", "outage"] {
            let mut less = document.clone();
            less.as_object_mut().unwrap().remove(key);
            assert_ne!(faults(python, &less), "", "{key}");
        }
    }
}

#[test]
fn what_ctl_tells_too_has_the_same_schema() {
    let read = |name: &str| -> Value {
        let path = format!("{}/packaging/{name}.schema.json", env!("CARGO_MANIFEST_DIR"));
        serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
    };
    let (status, control) = (read("status"), read("control"));
    let of_control = control["$defs"].as_object().unwrap();
    let mut shared = 0;
    for (name, definition) in status["$defs"].as_object().unwrap() {
        if let Some(other) = of_control.get(name) {
            assert_eq!(definition, other, "{name}");
            shared += 1;
        }
    }
    assert!(shared >= 15, "{shared}");
}
