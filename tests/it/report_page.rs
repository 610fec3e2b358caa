//! The report's page in a real browser: Chromium lays it out at the widths of phones, tablets and desks, light and
//! dark, and prints it.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::support::{
    needs::{or_left_out, program as needed},
    program,
};

/// Measures the page in a frame of each width, and writes what it finds into the document.
const MEASURE: &str = include_str!("report_page/measure.js");

pub(crate) const WIDTHS: [u32; 4] = [360, 390, 768, 1280];

/// What would be markup or a script, as a log holds it: nginx's escape leaves angle brackets as they are.
pub(crate) const HOSTILE: &str =
    "</pre><script>top.harmed=1</script><img src=x onerror=top.harmed=1><b>'&amp;";

/// A log with something of everything, and hostile text wherever a client can put it.
fn log() -> String {
    let phonebook = crate::support::xivo::PHONEBOOK;
    let mut log = format!("no line of a log {HOSTILE}\n");
    for hour in 0..120_u32 {
        let (day, of_day) = (16 + hour / 24, hour % 24);
        for number in 0..40_u32 {
            let time = format!("{day}/Nov/2026:{of_day:02}:{:02}:{:02} +0100", number, hour % 60);
            let (peer, address) = match number % 4 {
                0 => ("montreal", "192.0.2.10"),
                1 => (
                    "xivo-of-a-branch-office-with-a-name-of-sixty-four-characters-long",
                    "2001:db8:1:2:3:4:5:6",
                ),
                2 => ("lyon", "2001:db8::7"),
                _ => ("-", "198.51.100.23"),
            };
            let (status, reason, limit) = match (peer, number) {
                ("-", _) => (403, "unknown-peer", "-"),
                (_, 4..9) if hour % 9 == 0 => (502, "upstream-unreachable", "-"),
                (_, 12..=19) if hour % 5 == 0 => (429, "rate-limited", "peer"),
                (_, 21) => (403, "action-not-granted", "-"),
                (_, 22) => (400, "bad-argument", "-"),
                _ => (200, "-", "-"),
            };
            let agent = if peer == "-" { HOSTILE } else { "python-requests/2.28.1" };
            let target = match number {
                22 => format!("{phonebook}?{HOSTILE}").replace(' ', "%20"),
                _ => format!("{phonebook}?act=search&search=p{}", hour * number),
            };
            let rt = if number == 30 { "1.504" } else { "0.031" };
            log += &format!(
                "{address} - {peer} [{time}] \"GET {target} HTTP/1.1\" {status} 812 \"{HOSTILE}\" \"{agent}\" \
                 \"peer={peer} action=search reason={reason} limit={limit} rule=- source=socket host=gw rt={rt} uct=0.000 \
                 uht={rt} urt={rt} us=200 revision=a id=1\"\n"
            );
        }
    }
    for (number, pair) in
        (0..600_u32).zip('a'..='z').flat_map(|(n, a)| ('a'..='z').map(move |b| (n, (a, b))))
    {
        let time = format!("21/Nov/2026:{:02}:{:02}:00 +0100", number / 60, number % 60);
        let (a, b) = pair;
        log += &format!(
            "2001:db8::7 - lyon [{time}] \"GET {phonebook}?act=search&search={a}{b} HTTP/1.1\" 200 9 \"-\" \"-\" \
             \"peer=lyon action=search reason=- limit=- rule=- source=socket host=gw rt=0.010 uct=0.000 uht=0.010 urt=0.010 \
             us=200 revision=a id=1\"\n"
        );
    }
    log
}

/// The page of that log.
fn page(directory: &Path) -> PathBuf {
    fs::write(directory.join("access.log"), log()).unwrap();
    let run = program::run(directory, &["report", "access.log", "--html", "report.html"]);
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    directory.join("report.html")
}

/// Runs Chromium to its end, with these arguments.
pub(crate) fn chromium(browser: &Path, directory: &Path, arguments: &[&str]) -> Vec<u8> {
    const PATIENCE: Duration = Duration::from_secs(120);
    let out = directory.join("out");
    let mut child = std::process::Command::new(browser)
        .args(["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"])
        .args(["--no-first-run", "--disable-background-networking", "--hide-scrollbars"])
        .arg(format!("--user-data-dir={}", directory.join("profile").display()))
        .args(arguments)
        .env("HOME", directory)
        .stdin(Stdio::null())
        .stdout(fs::File::create(&out).unwrap())
        .stderr(fs::File::create(directory.join("err")).unwrap())
        .spawn()
        .unwrap();
    let begin = Instant::now();
    while child.try_wait().unwrap().is_none() {
        if begin.elapsed() > PATIENCE {
            child.kill().unwrap();
            child.wait().unwrap();
            panic!("chromium did not end: {}", fs::read_to_string(directory.join("err")).unwrap());
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    fs::read(&out).unwrap()
}

fn attribute(text: &str) -> String {
    text.replace('&', "&amp;").replace('"', "&quot;")
}

/// What the browser measures in each width.
pub(crate) fn measured(browser: &Path, directory: &Path, page: &Path, scheme: &str) -> Vec<Value> {
    let text = fs::read_to_string(page).unwrap();
    let frames: String = WIDTHS
        .iter()
        .map(|width| {
            format!(
                "<iframe style=\"width:{width}px;height:900px;border:0\" srcdoc=\"{}\"></iframe>\n",
                attribute(&text)
            )
        })
        .collect();
    let wrapper = directory.join("wrapper.html");
    fs::write(
        &wrapper,
        format!("<!DOCTYPE html><meta charset=utf-8><body>{frames}<pre id=\"out\"></pre><script>{MEASURE}</script>"),
    )
    .unwrap();
    let url = format!("file://{}", wrapper.display());
    let dom = chromium(
        browser,
        directory,
        &[scheme, "--window-size=1400,1000", "--virtual-time-budget=20000", "--dump-dom", &url],
    );
    let dom = String::from_utf8(dom).unwrap();
    let begin = dom.rfind("<pre id=\"out\">").map(|at| at + "<pre id=\"out\">".len());
    let out = begin.and_then(|at| dom.get(at..)?.split("</pre>").next());
    let out = out.unwrap_or_else(|| panic!("{dom}"));
    let out = out.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&");
    serde_json::from_str(&out).unwrap_or_else(|error| panic!("{error}: {out}"))
}

#[test]
fn the_page_can_be_read_on_a_phone_and_on_a_desk_by_day_and_by_night() {
    let Some(browser) = or_left_out(needed("chromium", "chromium")) else { return };
    let directory = tempfile::tempdir().unwrap();
    let page = page(directory.path());
    let schemes =
        ["--blink-settings=preferredColorScheme=1", "--blink-settings=preferredColorScheme=0"];
    let mut grounds = Vec::new();
    for scheme in schemes {
        let frames = measured(&browser, directory.path(), &page, scheme);
        assert_eq!(frames.len(), WIDTHS.len());
        for (width, frame) in WIDTHS.iter().zip(&frames) {
            let at = format!("{width} px, {scheme}");
            assert_eq!(frame["width"], *width, "{at}");
            assert_eq!(frame["overflow"], 0, "{at}: the page is wider than the screen");
            assert_eq!(frame["harmed"], false, "{at}: a script of the log has run");
            assert!(frame["texts"].as_u64().unwrap() > 200, "{at}: {frame}");
            for fault in ["small", "outside", "pale"] {
                let list = frame[fault].as_array().unwrap();
                assert!(list.is_empty(), "{at}: {fault}: {list:#?}");
            }
            let headings = frame["headings"].to_string();
            for part in [
                "What needs you",
                "over time",
                "Peers",
                "Refusals",
                "Unknown callers",
                "Answer times",
            ] {
                assert!(headings.contains(part), "{at}: {part}: {headings}");
            }
        }
        grounds.push(frames[0]["ground"].as_str().unwrap().to_owned());
    }
    assert_ne!(grounds[0], grounds[1], "light and dark differ");
}

#[test]
fn the_browser_sees_what_is_wrong_with_a_page() {
    let Some(browser) = or_left_out(needed("chromium", "chromium")) else { return };
    let directory = tempfile::tempdir().unwrap();
    let page = directory.path().join("bad.html");
    let bad = "<!DOCTYPE html><body style='background:#fff'><p style='font-size:8px'>small</p>\
               <p style='color:#bbb'>pale</p><p style='width:1500px;text-align:right'>outside</p>\
               <script>top.harmed = 1</script>";
    fs::write(&page, bad).unwrap();
    let scheme = "--blink-settings=preferredColorScheme=1";
    for frame in measured(&browser, directory.path(), &page, scheme) {
        for fault in ["small", "pale", "outside"] {
            let list = frame[fault].to_string();
            assert!(list.contains(fault), "{fault}: {list}");
        }
        assert_ne!(frame["overflow"], 0);
        assert_eq!(frame["harmed"], true);
    }
}

#[test]
fn the_page_can_be_printed() {
    let Some(browser) = or_left_out(needed("chromium", "chromium")) else { return };
    let directory = tempfile::tempdir().unwrap();
    let page = page(directory.path());
    let paper = directory.path().join("report.pdf");
    let url = format!("file://{}", page.display());
    let to = format!("--print-to-pdf={}", paper.display());
    chromium(&browser, directory.path(), &[&to, "--no-pdf-header-footer", &url]);
    let paper = fs::read(paper).unwrap();
    let text = String::from_utf8_lossy(&paper);
    let pages = text.matches("/Type /Page\n").count();
    assert!((2..=30).contains(&pages), "{pages} pages");
}
