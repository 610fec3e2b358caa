//! What `explain` says, word for word, of each kind of request.

use serde_json::{Value, json};

use crate::support::program::{Run, Site};

const PHONEBOOK: &str = "/service/ipbx/json.php/restricted/pbx_services/phonebook";

const MAIN: &str = r#"[[listen]]
address = "[::]:9480"

[[listen]]
address = "192.168.1.125:9481"
server_names = ["phonebook.example.org"]

[upstream]
url = "http://127.0.0.1:80"
host = "localhost"
source = "192.168.1.125"
"#;

const POLICIES: &[(&str, &str)] = &[
    (
        "lyon",
        "description = \"Lyon\"\n\nrate = { per_second = 3, burst = 6 }\nhosts = [\"198.51.100.0/29\"]\n",
    ),
    ("off", "hosts = [\"203.0.113.1\"]\nenabled = false\n"),
    ("late", "hosts = [\"203.0.113.2\"]\nvalid_until = 2020-01-01T00:00:00Z\n"),
    ("viewer", "hosts = [\"203.0.113.3\"]\nactions = [\"view\"]\n"),
    ("patient", "hosts = [\"203.0.113.4\"]\nmin_search_length = 4\n"),
];

fn explain(words: &[&str]) -> Run {
    let site = Site::new(MAIN, POLICIES);
    site.run(&[&["explain", "--config", "gateway.toml", "--from"], words].concat())
}

#[test]
fn an_allowed_request_is_told_with_every_line_that_decided() {
    let url = format!("http://192.168.1.125:9480{PHONEBOOK}?search=lef%c3%a8vre&act=search");
    let run = explain(&["198.51.100.3", "-H", "User-Agent: requests/2", &url]);
    assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""));
    assert_eq!(
        run.stdout,
        "\
From 198.51.100.3 to [::]:9480:

    GET /service/ipbx/json.php/restricted/pbx_services/phonebook?search=lef%c3%a8vre&act=search HTTP/1.1
    Host: 192.168.1.125:9480
    User-Agent: requests/2

read      HTTP/1.1, host 192.168.1.125, 154 bytes
identify  198.51.100.3 is in 198.51.100.0/29: peer `lyon` [policies/lyon.toml:4]
          switched on (default)
admit     rate of this peer: 3 per second, 6 at once [policies/lyon.toml:3]
          rate of all peers together: 1000 per second, 2000 at once (default)
          lookups on their way at once: 8 (default)
parse     a search for `lefèvre`, 7 characters
decide    the policy's actions have `search` (default)
          terms have at least 2 characters (default)
forward   to 127.0.0.1:80, from 192.168.1.125, as host `localhost` [gateway.toml:8]
          a search by text: XiVO's answer has to begin within 2.5s (timeout), else it is 504 (default)

allowed

XiVO is sent, with an id of the request's own (lines end with CR LF, and an empty one follows):

    GET /service/ipbx/json.php/restricted/pbx_services/phonebook?act=search&search=lef%C3%A8vre HTTP/1.1
    Host: localhost
    Accept: application/json
    User-Agent: requests/2
    X-Request-Id: 00000000000000000000000000000000
    X-Forwarded-For: 198.51.100.3
    X-Forwarded-Proto: http
    X-Real-IP: 198.51.100.3

If XiVO answers 401 or 403: add a Web Services user for host 192.168.1.125 in XiVO.
"
    );
}

#[test]
fn an_unknown_caller_is_told_apart_from_the_peer_that_was_meant() {
    let run = explain(&["198.51.100.9", "/any"]);
    assert_eq!((run.code, run.stderr.as_str()), (Some(1), ""));
    assert_eq!(
        run.stdout,
        "\
From 198.51.100.9 to [::]:9480:

    GET /any HTTP/1.1
    Host: localhost:9480

read      HTTP/1.1, host localhost, 43 bytes
identify  REFUSED: no peer has 198.51.100.9; the closest is `lyon` at policies/lyon.toml:4, 198.51.100.0/29
          rate of unknown callers: 1 per second, 5 at once (default)

refused: unknown-peer (403)
no peer has 198.51.100.9; the closest is `lyon` at policies/lyon.toml:4, 198.51.100.0/29

The client reads:

    {\"title\":\"Forbidden\",\"status\":403,\"reason\":\"unknown-peer\",\"request_id\":\"00000000000000000000000000000000\"}
"
    );
}

/// The end of what is told: the step that refused, and the lines behind the steps but for the body.
fn refusal(words: &[&str]) -> String {
    let run = explain(words);
    assert_eq!((run.code, run.stderr.as_str()), (Some(1), ""), "{words:?}");
    let step = run.stdout.lines().find(|line| line.contains("REFUSED: ")).unwrap();
    let (_, verdict) = run.stdout.split_once("\n\nrefused: ").unwrap();
    let verdict = verdict.split_once("\n\n").map_or(verdict, |(verdict, _)| verdict);
    format!("{step}\n{}", verdict.trim_end())
}

#[test]
fn each_refusal_names_its_step_its_word_and_the_line_that_decided() {
    let search = format!("{PHONEBOOK}?act=search&search=doe");
    let disguised = search.replace("restricted", "pri%2e%2evate");
    let body = "the phonebook can be read here, not changed.";
    for (words, told) in [
        (
            vec!["198.51.100.1", &disguised],
            "parse     REFUSED: The directory's URL must contain `restricted`, not `private`.\n\
             private-path (403)\nThe directory's URL must contain `restricted`, not `private`."
                .to_owned(),
        ),
        (
            vec!["203.0.113.1", &search],
            "identify  REFUSED: Access is switched off for this peer. Ask the administrator of this \
             gateway. [policies/off.toml:2]\npeer-disabled (403)\nAccess is switched off for this \
             peer. Ask the administrator of this gateway. [policies/off.toml:2]"
                .to_owned(),
        ),
        (
            vec!["203.0.113.2", &search],
            "identify  REFUSED: Access is limited to certain dates for this peer, and now is not \
             within them. Ask the administrator of this gateway. [policies/late.toml:2]\n\
             peer-expired (403)\nAccess is limited to certain dates for this peer, and now is not \
             within them. Ask the administrator of this gateway. [policies/late.toml:2]"
                .to_owned(),
        ),
        (
            vec!["203.0.113.3", &search],
            "decide    REFUSED: This peer may not use `act=search`. Ask the administrator of this \
             gateway to grant it. [policies/viewer.toml:2]\naction-not-granted (403)\nThis peer may \
             not use `act=search`. Ask the administrator of this gateway to grant it. \
             [policies/viewer.toml:2]"
                .to_owned(),
        ),
        (
            vec!["203.0.113.4", &search],
            "decide    REFUSED: The search term has 3 characters; this peer's have at least 4. \
             [policies/patient.toml:2]\naction-not-granted (403)\nThe search term has 3 characters; \
             this peer's have at least 4. [policies/patient.toml:2]"
                .to_owned(),
        ),
        (
            vec!["198.51.100.1", "/service/ipbx/json.php/restricted/pbx_services/phonebook?act=view"],
            "parse     REFUSED: The query lacks `id`, which this `act` needs.\n\
             bad-argument (400)\nThe query lacks `id`, which this `act` needs."
                .to_owned(),
        ),
        (
            vec!["198.51.100.1", "-H", "Host: a b", &search],
            "read      REFUSED: The request is not well-formed HTTP: the Host is not a valid host.\n\
             malformed-request (400)\nThe request is not well-formed HTTP: the Host is not a valid \
             host."
                .to_owned(),
        ),
        (
            vec!["198.51.100.1", "POST", &search],
            format!(
                "parse     REFUSED: Only GET and HEAD are allowed: {body}\n\
                 method-not-allowed (405)\nOnly GET and HEAD are allowed: {body}"
            ),
        ),
        (
            vec!["198.51.100.1", "--listen", "192.168.1.125:9481", "http://other.example.org/"],
            "read      REFUSED: This gateway does not answer for the host in the URL. Use the host \
             name or address that its administrator gave out. [gateway.toml:4]\nmisdirected (421)\n\
             This gateway does not answer for the host in the URL. Use the host name or address \
             that its administrator gave out."
                .to_owned(),
        ),
    ] {
        assert_eq!(refusal(&words), told, "{words:?}");
    }
}

#[test]
fn programs_read_the_same() {
    let url = format!("{PHONEBOOK}?act=view&id=7");
    let run = explain(&["::ffff:203.0.113.3", "--json", "HEAD", &url]);
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    let value: Value = serde_json::from_str(&run.stdout).unwrap();
    let step = |step, place: Value, text| json!({ "step": step, "outcome": "passed", "place": place, "text": text });
    let limit = |limit, text| json!({ "limit": limit, "place": null, "text": text });
    assert_eq!(
        value,
        json!({
            "from": "203.0.113.3",
            "client": { "address": "203.0.113.3", "source": "socket" },
            "peer": "viewer",
            "steps": [
                step("read", Value::Null, "HTTP/1.1, host localhost, 110 bytes"),
                step(
                    "identify",
                    json!("policies/viewer.toml:1"),
                    "203.0.113.3 is in 203.0.113.3/32: peer `viewer`; switched on (default)"
                ),
                step(
                    "admit",
                    Value::Null,
                    "rate of this peer: 10 per second, 20 at once (default); rate of all peers \
                     together: 1000 per second, 2000 at once (default); lookups on their way at \
                     once: 8 (default)"
                ),
                step("parse", Value::Null, "the contact with the id 7"),
                step("decide", json!("policies/viewer.toml:2"), "the policy's actions have `view`"),
                step(
                    "forward",
                    json!("gateway.toml:8"),
                    "to 127.0.0.1:80, from 192.168.1.125, as host `localhost`; a view: XiVO's answer has \
                     to begin within 2.5s (timeout), else it is 504 (default)"
                ),
            ],
            "verdict": "allowed",
            "status": null,
            "reason": null,
            "running": null,
            "limits": [
                limit("peer", "rate of this peer: 10 per second, 20 at once (default)"),
                limit("gateway", "rate of all peers together: 1000 per second, 2000 at once (default)"),
                limit("concurrent", "lookups on their way at once: 8 (default)"),
            ],
            "answer": null,
            "upstream": {
                "address": "127.0.0.1:80",
                "source": "192.168.1.125",
                "request": "GET /service/ipbx/json.php/restricted/pbx_services/phonebook?act=view&id=7 HTTP/1.1\r\n\
                            Host: localhost\r\nAccept: application/json\r\n\
                            X-Request-Id: 00000000000000000000000000000000\r\n\
                            X-Forwarded-For: 203.0.113.3\r\nX-Forwarded-Proto: http\r\n\
                            X-Real-IP: 203.0.113.3\r\n\r\n",
            },
            "hint": "If XiVO answers 401 or 403: add a Web Services user for host 192.168.1.125 in XiVO.",
        })
    );
}

#[test]
fn what_cannot_be_explained_says_why() {
    for (words, part) in [
        (&["192.0.2.1", "https://gw/"][..], "https"),
        (&["192.0.2.1", "gw:9480/x"], "is no URL"),
        (&["192.0.2.1", "--listen", "[::]:1", "/x"], "there are [::]:9480, 192.168.1.125:9481"),
    ] {
        let run = explain(words);
        assert_eq!((run.code, run.stdout.as_str()), (Some(2), ""), "{words:?}");
        assert!(run.stderr.contains(part), "{words:?}: {}", run.stderr);
    }
    let site = Site::new(&MAIN.replace("url", "ulr"), POLICIES);
    let run = site.run(&["explain", "-c", "gateway.toml", "--from", "192.0.2.1", "/"]);
    assert_eq!((run.code, run.stdout.as_str()), (Some(1), ""));
    assert!(run.stderr.contains("did you mean `url`?"), "{}", run.stderr);
}

#[test]
fn without_a_request_a_search_for_a_common_word_is_explained() {
    let run = explain(&["198.51.100.3"]);
    assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""), "{}", run.stdout);
    let line = format!("GET {PHONEBOOK}?act=search&search=martin HTTP/1.1");
    assert!(run.stdout.contains(&line), "{}", run.stdout);
    assert!(run.stdout.contains("a search for `martin`, 6 characters"), "{}", run.stdout);
}

#[test]
fn a_peers_name_stands_for_its_first_host() {
    for (name, told) in [
        (
            "lyon",
            "from      198.51.100.1 is in 198.51.100.0/29, the first host of `lyon` [policies/lyon.toml:4]",
        ),
        ("viewer", "from      203.0.113.3 is the first host of `viewer` [policies/viewer.toml:1]"),
    ] {
        let run = explain(&[name, "--json"]);
        let value: Value = serde_json::from_str(&run.stdout).unwrap();
        assert_eq!((&value["peer"], &value["steps"][0]["step"]), (&json!(name), &json!("from")));
        let run = explain(&[name]);
        assert!(run.stdout.lines().any(|line| line == told), "{}", run.stdout);
    }
    for (name, part) in [
        ("lion", "`lion` is no IPv4 or IPv6 address, and no peer's name: did you mean `lyon`?"),
        ("montreal-and-more", "there are late, lyon, off, patient and viewer"),
    ] {
        let run = explain(&[name]);
        assert_eq!((run.code, run.stdout.as_str()), (Some(2), ""), "{name}");
        assert!(run.stderr.contains(part), "{}", run.stderr);
    }
}

#[test]
fn a_peer_that_is_known_by_its_certificate_alone_is_asked_for_it() {
    let mut policies = POLICIES.to_vec();
    let text = "[certificate]\nsan_dns = [\"roaming.example\"]\nrequire = \"certificate\"\n";
    policies.push(("roaming", text));
    let site = Site::new(MAIN, &policies);
    let run = site.run(&["explain", "-c", "gateway.toml", "--from", "roaming"]);
    assert_eq!((run.code, run.stdout.as_str()), (Some(2), ""), "{}", run.stderr);
    let part = "the peer `roaming` is known by its certificate alone [policies/roaming.toml:1]: \
                write --certificate FILE, too";
    assert!(run.stderr.contains(part), "{}", run.stderr);
}
