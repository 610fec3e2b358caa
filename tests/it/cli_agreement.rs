//! `explain` and `serve` agree: the same requests, explained by the program and sent to a live gateway.

use std::{net::IpAddr, thread};

use phonebook_gateway::{
    config::Config,
    demo::sample_xivo::{Arrival, Recorder, SampleXivo},
    server::Server,
};
use serde_json::Value;
use tokio::sync::oneshot;

use crate::support::{http::exchange, program::Site};

const PHONEBOOK: &str = "/service/ipbx/json.php/restricted/pbx_services/phonebook";

/// A sample XiVO in a thread, until it is dropped.
struct Xivo {
    end: Option<oneshot::Sender<()>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Xivo {
    fn start(recorder: Recorder) -> (Self, std::net::SocketAddr) {
        let xivo = SampleXivo::bind("127.0.0.1:0").unwrap().with_recorder(recorder);
        let address = xivo.local_addr().unwrap();
        let (end, ended) = oneshot::channel::<()>();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let serve = async move {
            xivo.run(async { drop(ended.await) }).await.unwrap();
        };
        let thread = thread::spawn(move || runtime.block_on(serve));
        (Self { end: Some(end), thread: Some(thread) }, address)
    }
}

impl Drop for Xivo {
    fn drop(&mut self) {
        drop(self.end.take());
        self.thread.take().unwrap().join().unwrap();
    }
}

/// A request, as both sides are given it.
struct Case {
    from: &'static str,
    listener: usize,
    method: &'static str,
    target: String,
    lines: Vec<&'static str>,
    http10: bool,
}

impl Case {
    fn new(from: &'static str, target: impl Into<String>) -> Self {
        let target = target.into();
        Self { from, listener: 0, method: "GET", target, lines: Vec::new(), http10: false }
    }

    /// The request with the lines that a client of one exchange sends.
    fn bytes(&self) -> Vec<u8> {
        let version = if self.http10 { "1.0" } else { "1.1" };
        let mut head = format!("{} {} HTTP/{version}\r\n", self.method, self.target);
        for line in self.all_lines() {
            head += &format!("{line}\r\n");
        }
        (head + "\r\n").into_bytes()
    }

    fn all_lines(&self) -> Vec<&'static str> {
        let mut lines = vec!["Connection: close"];
        if !self.lines.iter().any(|line| line.to_lowercase().starts_with("host:")) {
            lines.push("Host: localhost");
        }
        lines.extend(&self.lines);
        lines
    }

    fn words<'a>(&'a self, listeners: &[&'a str]) -> Vec<&'a str> {
        let mut words =
            vec!["explain", "-c", "gateway.toml", "--json", "--from", self.from, "--listen"];
        words.push(listeners[self.listener]);
        for line in self.all_lines() {
            words.extend(["-H", line]);
        }
        if self.http10 {
            words.push("--http1.0");
        }
        words.extend([self.method, &self.target]);
        words
    }
}

/// An ordinary lookup's callers with other targets.
fn targets() -> Vec<Case> {
    let script = "/service/ipbx/json.php";
    let mut cases = Vec::new();
    for query in [
        "",
        "?",
        "?act=list",
        "?act=search&search=doe",
        "?search=doe&act=search",
        "?search=doe",
        "?act=search",
        "?act=search&search=",
        "?act=search&search=%20e%20",
        "?act=search&search=lef%C3%A8vre",
        "?act=search&search=%E8",
        "?act=search&search=a%00b",
        "?act=search&search=do+e",
        "?act=search&search=nobody-at-all",
        "?act=view&id=1",
        "?act=view&id=999",
        "?act=view&id=x",
        "?act=view&id=12345678901",
        "?act=view",
        "?act=delete&id=1",
        "?act=add",
        "?act=import",
        "?act=Search&search=doe",
        "?act=search&act=delete&search=doe",
        "?act=search&%20act=delete",
        "?act[]=search",
        "?act=search&search=doe&sum=0123456789abcdef0123456789abcdef",
        "?act=search&search=doe&sum=1",
        "?act=search&search=%zz",
        "?act=list&x=1",
        "?act=list&",
        "?act=search;search=doe",
    ] {
        for from in ["127.0.0.1", "127.0.0.2"] {
            cases.push(Case::new(from, format!("{PHONEBOOK}{query}")));
        }
    }
    for path in [
        "/",
        "//",
        "/private",
        "/restricted/pbx_services/phonebook/",
        "/private/pbx_services/phonebook",
        "/pri..vate/pbx_services/phonebook",
        "/%70rivate/pbx_services/phonebook",
        "/restricted/../private/pbx_services/phonebook",
        "/restricted/pbx_services/phonebook/x",
        "/restricted/pbx_services/users",
    ] {
        cases.push(Case::new("127.0.0.1", format!("{script}{path}?act=search&search=doe")));
    }
    cases
}

/// Other callers, heads and methods than an ordinary lookup's.
fn odd_cases() -> Vec<Case> {
    let mut cases = Vec::new();
    let good = format!("{PHONEBOOK}?act=search&search=doe");
    for from in ["127.0.0.3", "127.0.0.4", "127.0.0.5", "127.0.0.6", "127.0.0.9"] {
        cases.push(Case::new(from, good.as_str()));
        cases.push(Case::new(from, "/other"));
        cases.push(Case { lines: vec!["Host: a b"], ..Case::new(from, good.as_str()) });
    }
    for lines in [
        vec!["Host: a:b:c"],
        vec!["Host: "],
        vec!["Host: gw", "host: gw"],
        vec!["X y: z"],
        vec!["Content-Length: 0"],
        vec!["Content-Length: x"],
        vec!["Content-Length: 5"],
        vec!["Transfer-Encoding: chunked"],
        vec!["User-Agent: requests/2.31"],
        vec!["X: \u{1}"],
        vec!["Host: LOCALHOST.:80"],
        vec!["Cookie: a=b", "Authorization: Basic YTpi"],
    ] {
        cases.push(Case { lines, ..Case::new("127.0.0.1", good.as_str()) });
    }
    for method in ["HEAD", "POST", "DELETE", "get", "OPTIONS", "G(T"] {
        cases.push(Case { method, ..Case::new("127.0.0.1", good.as_str()) });
    }
    for (lines, from) in [
        (vec!["Host: phonebook.example.org"], "127.0.0.1"),
        (vec!["Host: other.example.org"], "127.0.0.1"),
        (vec!["Host: other.example.org"], "127.0.0.9"),
        (vec!["Host: Phonebook.Example.org.:9481"], "127.0.0.1"),
    ] {
        cases.push(Case { listener: 1, lines, ..Case::new(from, good.as_str()) });
    }
    cases.push(Case { http10: true, ..Case::new("127.0.0.1", good.as_str()) });
    cases.push(Case::new("127.0.0.1", format!("{good}#x")));
    cases.push(Case::new("127.0.0.1", format!("{good} x")));
    cases
        .push(Case::new("127.0.0.1", format!("{PHONEBOOK}?act=search&search={}", "x".repeat(257))));
    cases.push(Case::new(
        "127.0.0.1",
        format!("{PHONEBOOK}?act=search&search={}", "x".repeat(5000)),
    ));
    cases
}

/// What reached XiVO, and what `explain` said would: target and fields without the request's id.
fn question_of(arrival: &Arrival) -> (String, Vec<(String, String)>) {
    let fields = arrival.headers.iter().map(|(name, value)| {
        (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned())
    });
    (arrival.target.clone(), without_id(fields))
}

fn question_told(request: &str) -> (String, Vec<(String, String)>) {
    let (line, fields) = request.split_once("\r\n").unwrap();
    let fields = fields.lines().filter_map(|line| line.split_once(": "));
    let fields = fields.map(|(name, value)| (name.to_lowercase(), value.to_owned()));
    (line.split(' ').nth(1).unwrap().to_owned(), without_id(fields))
}

fn without_id(fields: impl Iterator<Item = (String, String)>) -> Vec<(String, String)> {
    let mut fields: Vec<_> = fields.filter(|(name, _)| name != "x-request-id").collect();
    fields.sort();
    fields
}

#[test]
fn explain_and_serve_agree() {
    const LISTENERS: [&str; 2] = ["127.0.0.1:0", "127.0.0.2:0"];
    let recorder = Recorder::new();
    let (_xivo, xivo) = Xivo::start(recorder.clone());
    let main = format!(
        "[[listen]]\naddress = \"{}\"\n[[listen]]\naddress = \"{}\"\n\
         server_names = [\"phonebook.example.org\"]\n\
         [upstream]\nurl = \"http://{xivo}\"\nhost = \"localhost\"\ndanger_loopback_source = true\n\
         timeout = \"20s\"\nconnect_timeout = \"20s\"\n\
         [limits]\nunknown_rate = {{ per_second = 1000, burst = 1000 }}\n\
         [[access_log]]\npath = \"access.log\"\n",
        LISTENERS[0], LISTENERS[1]
    );
    let rate = "rate = { per_second = 1000, burst = 1000 }\n";
    let policy = |host: &str, more: &str| format!("hosts = [\"{host}\"]\n{rate}{more}\n");
    let policies = [
        ("some", policy("127.0.0.1", "actions = [\"search\", \"view\"]")),
        (
            "all",
            policy(
                "127.0.0.2",
                "actions = [\"search\", \"list\", \"view\"]\nmin_search_length = 0",
            ),
        ),
        ("off", policy("127.0.0.3", "enabled = false")),
        ("late", policy("127.0.0.4", "valid_until = 2020-01-01T00:00:00Z")),
        ("early", policy("127.0.0.5", "valid_from = 2999-01-01T00:00:00Z")),
        ("none", policy("127.0.0.6", "actions = []")),
    ];
    let policies: Vec<_> = policies.iter().map(|(name, text)| (*name, text.as_str())).collect();
    let site = Site::new(&main, &policies);
    let (config, _) = Config::load(&site.main_file()).unwrap();
    let server = Server::start(config).unwrap();
    let (mut allowed, mut refused) = (0, 0);
    for case in targets().into_iter().chain(odd_cases()) {
        let shown = String::from_utf8_lossy(&case.bytes()).into_owned();
        let run = site.run(&case.words(&LISTENERS));
        let told: Value =
            serde_json::from_str(&run.stdout).unwrap_or_else(|_| panic!("{shown}{run:?}"));
        let from: IpAddr = case.from.parse().unwrap();
        let live = exchange(server.addresses()[case.listener], Some(from), &case.bytes());
        let arrivals = recorder.take();
        let context = format!("{shown}{}\n{live:?}", run.stdout);
        if told["verdict"] == "refused" {
            refused += 1;
            assert_eq!(run.code, Some(1), "{context}");
            assert_eq!(told["status"], live.status, "{context}");
            if case.method != "HEAD" {
                let mut answer = live.json();
                answer["request_id"] = told["answer"]["request_id"].clone();
                assert_eq!(told["answer"], answer, "{context}");
                assert_eq!(told["reason"], answer["reason"], "{context}");
            }
            assert!(arrivals.is_empty(), "{context}");
        } else {
            allowed += 1;
            assert_eq!(run.code, Some(0), "{context}");
            let no_contact = live.status == 404 && live.json()["reason"] == "no-contact";
            assert!(matches!(live.status, 200 | 204) || no_contact, "{context}");
            let [arrival] = arrivals.as_slice() else { panic!("{context}{arrivals:?}") };
            let request = told["upstream"]["request"].as_str().unwrap();
            assert_eq!(question_told(request), question_of(arrival), "{context}");
        }
    }
    // Both kinds were there, or the agreement would say little.
    assert!(allowed > 15 && refused > 60, "{allowed} allowed, {refused} refused");
    server.stop(std::time::Duration::ZERO);
}
