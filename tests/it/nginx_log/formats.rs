//! `log_format` is nginx's: both write the same requests in the same formats, which use every variable and every escape, and
//! the lines are compared variable by variable.
//!
//! What is each one's own is compared by its shape ([`SHAPES`]); what differs has its reason in [`OTHERWISE`] and [`CASES`].

use std::{collections::BTreeSet, net::SocketAddr};

use super::{
    Case, NGINX, PEER, Pair, broken_fields, broken_lines, case, cut_off, honest, play, quoted, with,
};
use crate::support::{
    needs::or_left_out,
    process::becomes_true,
    serving::{Serving, loopback_config},
    xivo::{Nginx, RealXivo},
};

/// The variables that both have.
const VARIABLES: &str = "remote_addr remote_port realip_remote_addr realip_remote_port proxy_protocol_addr \
    proxy_protocol_port time_local time_iso8601 msec request request_method request_uri uri document_uri args query_string \
    is_args arg_act arg_search arg_id arg_ACT host hostname server_name server_addr server_port server_protocol scheme https \
    status body_bytes_sent bytes_sent request_length request_time request_id request_completion connection \
    connection_requests connection_time pipe pid ssl_protocol ssl_cipher ssl_server_name ssl_session_reused \
    ssl_client_verify ssl_client_s_dn ssl_client_i_dn ssl_client_serial ssl_client_fingerprint upstream_addr \
    upstream_status upstream_connect_time upstream_header_time upstream_response_time upstream_response_length \
    upstream_bytes_received upstream_bytes_sent upstream_cache_status limit_req_status limit_conn_status";
const FIELDS: &str = "http_host http_user_agent http_referer http_cookie http_x_forwarded_for http_x_a http_x \
    http_content_length http_connection http_absent sent_http_content_type sent_http_content_length \
    sent_http_transfer_encoding sent_http_connection sent_http_allow sent_http_x_xivo_ws_version sent_http_absent status";

/// What is each one's own, or another each time: digits are compared as digits.
const SHAPES: &[(&str, &str)] = &[
    ("remote_port", "each has a connection of its own"),
    ("realip_remote_port", "each has a connection of its own"),
    ("server_port", "each listens on a port of its own"),
    ("time_local", "a second may pass between the two"),
    ("time_iso8601", "a second may pass between the two"),
    ("msec", "time"),
    ("request_time", "time"),
    ("connection_time", "time"),
    ("upstream_connect_time", "time"),
    ("upstream_header_time", "time"),
    ("upstream_response_time", "time"),
    ("connection", "nginx counts the connections to the upstream, too"),
    ("pid", "two processes"),
    ("request_id", "random"),
    ("upstream_bytes_sent", "the gateway writes a head of its own"),
    ("upstream_bytes_received", "XiVO's answer depends on the head that it was sent"),
    ("bytes_sent", "the gateway writes a head of its own"),
];

/// A variable that differs in a kind of request, and why.
struct Otherwise {
    variables: &'static [&'static str],
    when: fn(nginx: &Line, ours: &Line) -> bool,
    why: &'static str,
}

/// A line's values by their names.
pub(super) type Line = Vec<(String, String)>;

pub(super) fn value<'l>(line: &'l Line, name: &str) -> &'l str {
    line.iter().find(|(found, _)| found == name).map_or("", |(_, value)| value.as_str())
}

/// nginx's answer or ours is a refusal, whose body and head are each one's own.
fn refused(nginx: &Line, ours: &Line) -> bool {
    [nginx, ours].iter().any(|line| value(line, "status") >= "400")
}

const OTHERWISE: &[Otherwise] = &[
    Otherwise {
        variables: &[
            "body_bytes_sent",
            "sent_http_content_type",
            "sent_http_content_length",
            "sent_http_transfer_encoding",
            "sent_http_x_xivo_ws_version",
            "sent_http_allow",
        ],
        when: refused,
        why: "an answer of 400 and above is each one's own",
    },
    Otherwise {
        variables: &["sent_http_connection"],
        when: |nginx, ours| {
            value(nginx, "sent_http_connection") == "close"
                && value(ours, "sent_http_connection") == "keep-alive"
        },
        why: "nginx says `close` of every answer: it has forgotten the truth when it logs",
    },
    Otherwise {
        variables: &["sent_http_content_type"],
        when: |nginx, ours| value(nginx, "status") == "204" && value(ours, "status") == "204",
        why: "an answer without a body has no type",
    },
    Otherwise {
        variables: &[
            "upstream_addr",
            "upstream_status",
            "upstream_connect_time",
            "upstream_header_time",
            "upstream_response_time",
            "upstream_response_length",
            "upstream_bytes_received",
            "upstream_bytes_sent",
            "limit_conn_status",
        ],
        when: |_, ours| {
            refused(ours, ours) && value(ours, "upstream_addr") == "-"
                || value(ours, "upstream_addr").is_empty()
        },
        why: "what is refused does not reach XiVO, nor the ceiling of lookups in flight",
    },
    Otherwise {
        variables: &["request_completion"],
        when: |nginx, ours| {
            value(nginx, "body_bytes_sent") == "0" && matches!(value(ours, "status"), "400" | "408")
        },
        why: "to a head that breaks off nginx says nothing",
    },
    Otherwise {
        variables: &["limit_req_status"],
        when: |_, ours| value(ours, "uri").contains("/private/"),
        why: "nginx's `return` comes before its limits",
    },
];
const CASES: &[(&str, &[&str], &str)] = &[
    (
        "head",
        &["upstream_response_length", "sent_http_transfer_encoding"],
        "XiVO is asked with GET, and the client is told what a GET would bring",
    ),
    (
        "http/0.9's version",
        &["server_protocol"],
        "nginx has begun to read a version in the line that it refuses",
    ),
    ("trace", &["limit_req_status"], "nginx refuses TRACE before it comes to its limits"),
];

/// What an answer that is otherwise, or a request that is not read as nginx reads it, may have different.
fn depends_on_reading(name: &str) -> bool {
    const NEVER: [&str; 20] = [
        "remote_addr",
        "remote_port",
        "realip_remote_addr",
        "realip_remote_port",
        "proxy_protocol_addr",
        "time_local",
        "time_iso8601",
        "msec",
        "request",
        "request_time",
        "hostname",
        "server_name",
        "server_addr",
        "scheme",
        "https",
        "connection",
        "connection_requests",
        "connection_time",
        "pipe",
        "pid",
    ];
    !NEVER.contains(&name)
}

/// One format: its name, its escape, what stands between the variables, and these.
pub(super) struct Format {
    pub(super) name: &'static str,
    escape: &'static str,
    between: char,
    variables: &'static str,
}

pub(super) const FORMATS: &[Format] = &[
    Format { name: "all", escape: "", between: '\t', variables: VARIABLES },
    Format { name: "all_default", escape: "escape=default", between: '\t', variables: VARIABLES },
    Format { name: "all_json", escape: "escape=json", between: '\t', variables: VARIABLES },
    Format { name: "all_none", escape: "escape=none", between: '\u{1f}', variables: VARIABLES },
    Format { name: "fields", escape: "", between: '\t', variables: FIELDS },
    Format { name: "fields_json", escape: "escape=json", between: '\t', variables: FIELDS },
    Format { name: "fields_none", escape: "escape=none", between: '\u{1f}', variables: FIELDS },
];

impl Format {
    /// As nginx has it behind the name: in pieces, and with and without brackets.
    fn text(&self) -> String {
        let mut text = self.escape.to_owned();
        for (at, name) in self.variables.split_whitespace().enumerate() {
            let between = if at == 0 { String::new() } else { self.between.to_string() };
            let variable = if at % 2 == 0 { format!("${{{name}}}") } else { format!("${name}") };
            text.push_str(&format!("\n  '{between}{variable}'"));
        }
        text
    }

    fn read(&self, line: &str) -> Line {
        let names = self.variables.split_whitespace();
        let values: Vec<_> = line.split(self.between).collect();
        assert_eq!(values.len(), names.clone().count(), "{}: {line:?}", self.name);
        names.map(str::to_owned).zip(values.into_iter().map(str::to_owned)).collect()
    }
}

/// How long both wait for the upstream.
const PATIENCE: &str = "3s";

/// How the two are reached.
#[derive(Default)]
pub(super) struct Site<'s> {
    /// Options of nginx's `listen`.
    pub(super) options: &'s str,
    /// Further lines of nginx's server.
    pub(super) server: &'s str,
    /// Further lines of the gateway's listener.
    pub(super) listen: &'s str,
}

/// nginx and the gateway before this upstream, each with a log in each format.
pub(super) fn start(upstream: SocketAddr, site: &Site<'_>) -> Option<Pair> {
    let mut http = "limit_req_zone $binary_remote_addr zone=rate:1m rate=10000r/s;\n\
                    limit_conn_zone $binary_remote_addr zone=conn:1m;\n"
        .to_owned();
    let mut formats = "[log_format]\n".to_owned();
    let mut logs = String::new();
    for format in FORMATS {
        let (name, text) = (format.name, format.text());
        http.push_str(&format!("log_format {name} {text};\naccess_log @DIR@/{name}.log {name};\n"));
        let toml = text.replace('\t', "\\t").replace('\u{1f}', "\\u001f");
        formats.push_str(&format!("{name} = \"\"\"{toml}\"\"\"\n"));
        logs.push_str(&format!(
            "[[access_log]]\npath = \"{name}.log\"\nflush = \"10ms\"\nmax_field = 0\nformat = \"{name}\"\n"
        ));
    }
    let server = format!(
        "location / {{ proxy_pass http://{upstream}; proxy_http_version 1.1; \
         limit_req zone=rate burst=10000 nodelay; limit_conn conn 1000; }}\n{}\n{}",
        site.server,
        NGINX.replace("@PATIENCE@", PATIENCE)
    );
    let nginx = or_left_out(Nginx::listening(site.options, &http, &server))?;
    let main = format!(
        "workers = 1\n{}{logs}{formats}[limits]\nhead_timeout = \"1s\"\nmax_uri = \"4k\"\nmax_head = \"16k\"\n\
         rate = {{ per_second = 100000, burst = 100000 }}\n",
        loopback_config(upstream)
            .replace("timeout = \"20s\"", &format!("timeout = \"{PATIENCE}\""))
            .replacen("[[access_log]]", &format!("{}\n[[access_log]]", site.listen), 1)
    );
    let policy = PEER.replace("\"::1\"", "\"::1\", \"192.0.2.7\", \"2001:db8::7\"");
    let gateway = Serving::start(&main, &[("peer", &policy)]).unwrap();
    Some(Pair {
        nginx,
        gateway,
        marks: 0,
        seen: [0, 0],
        differing: Vec::new(),
        otherwise: BTreeSet::new(),
    })
}

/// The lines `from` up to `to` of both logs of this format.
pub(super) fn lines(
    pair: &Pair,
    format: &Format,
    from: [usize; 2],
    to: [usize; 2],
) -> [Vec<Line>; 2] {
    let files = [&pair.nginx.file(""), &pair.gateway.file("")]
        .map(|directory| directory.join(format!("{}.log", format.name)));
    let mut found = [Vec::new(), Vec::new()];
    for (which, found) in found.iter_mut().enumerate() {
        let mut text = String::new();
        assert!(becomes_true(|| {
            text = String::from_utf8_lossy(&std::fs::read(&files[which]).unwrap_or_default())
                .into_owned();
            text.split_terminator('\n').count() >= to[which]
        }));
        let all = text.split_terminator('\n').map(|line| format.read(line));
        *found = all.skip(from[which]).take(to[which] - from[which]).collect();
    }
    found
}

/// The value with each run of digits as one `0`.
fn shape(value: &str) -> String {
    let mut out = String::new();
    for c in value.chars() {
        let digit = c.is_ascii_hexdigit();
        if !(digit && out.ends_with('0')) {
            out.push(if digit { '0' } else { c });
        }
    }
    out
}

/// The differences that nothing excuses.
pub(super) fn compare(
    case: &str,
    nginx: &Line,
    ours: &Line,
    excused: &mut BTreeSet<String>,
) -> Vec<String> {
    let mut differing = Vec::new();
    for ((name, theirs), (_, own)) in nginx.iter().zip(ours) {
        let shaped = SHAPES.iter().any(|(shaped, _)| shaped == name);
        if theirs == own || shaped && shape(theirs) == shape(own) {
            continue;
        }
        let by_kind = OTHERWISE
            .iter()
            .find(|o| o.variables.contains(&name.as_str()) && (o.when)(nginx, ours));
        let answered_otherwise = super::OTHERWISE.iter().any(|(excused, ..)| *excused == case);
        if answered_otherwise && depends_on_reading(name) {
            continue;
        }
        let by_case = CASES
            .iter()
            .find(|(excused, names, _)| *excused == case && names.contains(&name.as_str()));
        match (by_kind, by_case) {
            (Some(kind), _) => drop(excused.insert(kind.why.to_owned())),
            (None, Some((name, ..))) => drop(excused.insert((*name).to_owned())),
            (None, None) => {
                differing.push(format!("{case}: ${name}: nginx {theirs:?}, ours {own:?}"))
            }
        }
    }
    differing
}

/// What the other cases do not have.
fn further() -> Vec<Case> {
    vec![
        case(
            "fields that come twice",
            with(
                "X-Forwarded-For: 192.0.2.1\r\nX-Forwarded-For: 192.0.2.2\r\nCookie: a=1\r\nCookie: b=2\r\nX-A: 1\r\nX-A: 2\r\n",
            ),
        ),
        case("a field with an underscore", with("X_A: 1\r\nx-a: \"2\"\r\n")),
        case("odd bytes in a field", with(b"X-A: \xff\"\\\t\xc3\xa9\r\n")),
    ]
}

#[test]
fn every_variable_in_every_escape_is_nginx_s() {
    let Some(xivo) = or_left_out(RealXivo::start()) else { return };
    let Some(mut pair) = start(xivo.addr(), &Site::default()) else { return };
    let mut cases: Vec<Case> =
        [honest(), quoted(), cut_off(), broken_lines(), broken_fields(), further()]
            .into_iter()
            .flatten()
            .filter(|case| !case.v6 && super::find(&case.bytes, b"@SUM@").is_none())
            .collect();
    let mut excused = BTreeSet::new();
    let mut differing = Vec::new();
    let mut xivo = Some(xivo);
    cases.push(case("no upstream", with("User-Agent: x\r\n")));
    let mut compared = 0;
    for case in &cases {
        if case.name == "no upstream" {
            xivo.take();
        }
        let from = pair.seen;
        std::thread::scope(|both| {
            for to in [pair.nginx.addr(), pair.gateway.addr()] {
                both.spawn(move || play(case, to, None));
            }
        });
        pair.next_lines();
        let to = pair.seen.map(|seen| seen - 1);
        for format in FORMATS {
            let [nginx, ours] = lines(&pair, format, from, to);
            assert_eq!(nginx.len(), ours.len(), "{}", case.name);
            compared += ours.len();
            for (nginx, ours) in nginx.iter().zip(&ours) {
                differing.extend(
                    compare(case.name, nginx, ours, &mut excused)
                        .into_iter()
                        .map(|it| format!("{}: {it}", format.name)),
                );
            }
        }
    }
    assert!(differing.is_empty(), "{}", differing.join("\n"));
    assert!(compared > 60 * FORMATS.len());
    for why in OTHERWISE.iter().map(|o| o.why).chain(CASES.iter().map(|(name, ..)| *name)) {
        assert!(excused.contains(why), "no exception: {why}");
    }
    assert_eq!(pair.gateway.end(), Some(0));
}
