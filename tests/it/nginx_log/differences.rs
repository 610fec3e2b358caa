//! Where the gateway's lines are not nginx's, and why. A row that is no longer needed fails the test, as a difference without
//! a row does.

use std::collections::BTreeSet;

use Group::{Asked, Ceiling, Completion, Fields, Host, Length, Path, Rate, Target, Version};

use super::formats::{Line, value};

/// The variables that nginx has not; its configuration gives them a hyphen.
pub(super) const OURS: [&str; 8] = [
    "peer",
    "action",
    "reason",
    "rule",
    "limit",
    "policy_revision",
    "client_source",
    "request_masked",
];

/// What is each one's own, or another each time, and what it must look like all the same.
const OWN: &[(&str, Looks, &str)] = &[
    ("remote_port", Looks::Number, "each has a connection of its own"),
    ("realip_remote_port", Looks::Number, "each has a connection of its own"),
    ("server_port", Looks::Number, "each listens on a port of its own"),
    ("time_local", Looks::Clock, "a second may pass between the two"),
    ("time_iso8601", Looks::Clock, "a second may pass between the two"),
    ("msec", Looks::Seconds, "time"),
    ("request_time", Looks::Seconds, "time"),
    ("connection_time", Looks::Seconds, "time"),
    ("upstream_connect_time", Looks::Seconds, "time"),
    ("upstream_header_time", Looks::Seconds, "time"),
    ("upstream_response_time", Looks::Seconds, "time"),
    ("connection", Looks::Number, "nginx counts the connections to the upstream, too"),
    ("pid", Looks::Number, "two processes"),
    ("request_id", Looks::Hex, "random"),
    ("upstream_bytes_sent", Looks::Number, "the gateway writes a head of its own"),
    (
        "upstream_bytes_received",
        Looks::Number,
        "XiVO's answer depends on the head that it was sent",
    ),
    ("bytes_sent", Looks::Number, "the gateway writes a head of its own"),
];

/// What a value is made of; for each try of the upstream one, with commas between.
#[derive(Clone, Copy)]
enum Looks {
    Number,
    /// To the millisecond.
    Seconds,
    /// A date and a time.
    Clock,
    /// 32 digits.
    Hex,
}

impl Looks {
    fn alike(self, nginx: &str, ours: &str) -> bool {
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        let form = |text: &str| -> String {
            let kind = |c: char| match c {
                _ if c.is_ascii_digit() => '0',
                _ if c.is_ascii_alphabetic() => 'a',
                _ => c,
            };
            text.chars().map(kind).collect()
        };
        let fits = |text: &str| match self {
            Self::Number => digits(text),
            Self::Seconds => text
                .split_once('.')
                .is_some_and(|(whole, part)| digits(whole) && digits(part) && part.len() == 3),
            Self::Clock => text.len() > 20,
            Self::Hex => {
                text.len() == 32 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
            }
        };
        let (theirs, own): (Vec<_>, Vec<_>) =
            (nginx.split(", ").collect(), ours.split(", ").collect());
        theirs.len() == own.len()
            && theirs.iter().zip(own).all(|(theirs, own)| match self {
                _ if *theirs == own => true,
                _ if !fits(theirs) || !fits(own) => false,
                // Nothing and something are no measure of each other.
                Self::Number => (*theirs == "0") == (own == "0"),
                Self::Clock => form(theirs) == form(own),
                Self::Seconds | Self::Hex => true,
            })
    }
}

/// A variable that differs in a kind of request, and why.
struct Otherwise {
    variables: &'static [&'static str],
    /// The lines of both, and the variable's values.
    when: fn(nginx: &Line, ours: &Line, (&str, &str)) -> bool,
    why: &'static str,
}

fn status(line: &Line) -> &str {
    value(line, "status")
}

fn absent(value: &str) -> bool {
    matches!(value, "" | "-")
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
        when: |nginx, ours, _| status(nginx) >= "400" && status(nginx) == status(ours),
        why: "an answer of 400 and above is each one's own",
    },
    Otherwise {
        variables: &["sent_http_connection"],
        when: |_, _, values| values == ("close", "keep-alive"),
        why: "nginx says `close` of every answer: it has forgotten the truth when it logs",
    },
    Otherwise {
        variables: &["sent_http_content_type"],
        when: |nginx, ours, (_, own)| {
            status(nginx) == "204" && status(ours) == "204" && absent(own)
        },
        why: "an answer without a body has no type",
    },
    Otherwise {
        variables: UPSTREAM,
        when: |nginx, ours, (_, own)| {
            status(ours) >= "400" && status(nginx) == status(ours) && absent(own)
        },
        why: "what is refused does not reach XiVO, nor the ceiling of lookups in flight",
    },
    Otherwise {
        variables: &["request_completion", "bytes_sent"],
        when: |nginx, ours, values| {
            matches!(status(ours), "400" | "408")
                && value(nginx, "body_bytes_sent") == "0"
                && matches!(values, ("", "OK") | ("0", _))
        },
        why: "to a head that breaks off nginx says nothing",
    },
    Otherwise {
        variables: &["server_protocol"],
        when: |nginx, ours, values| {
            (status(nginx), status(ours)) == ("400", "400") && values == ("", "-")
        },
        why: "nginx has begun to read a version in the line that it refuses",
    },
];
const UPSTREAM: &[&str] = &[
    "upstream_addr",
    "upstream_status",
    "upstream_connect_time",
    "upstream_header_time",
    "upstream_response_time",
    "upstream_response_length",
    "upstream_bytes_received",
    "upstream_bytes_sent",
    "limit_conn_status",
];

/// A case, variables that differ in it though the status does not, and why.
const CASES: &[(&str, &[&str], &str)] = &[
    (
        "head",
        &["upstream_response_length", "sent_http_transfer_encoding"],
        "XiVO is asked with GET, and the client is told what a GET would bring",
    ),
    (
        "upstream: head of chunks",
        &["upstream_response_length", "sent_http_transfer_encoding"],
        "XiVO is asked with GET, and the client is told what a GET would bring",
    ),
    (
        "a url without a host",
        &[
            "request_method",
            "uri",
            "document_uri",
            "request_uri",
            "server_protocol",
            "request_length",
        ],
        "nginx has read the line when it refuses the host",
    ),
    (
        "upstream: chunks",
        &["body_bytes_sent"],
        "the gateway passes each chunk on as it comes; nginx joins them",
    ),
    ("an expectation", &["body_bytes_sent"], "nginx says `100 Continue`, and counts it as body"),
    ("upstream: cut-body", &["request_completion"], CUT),
    ("upstream: cut-chunk", &["request_completion"], CUT),
    ("private", &["limit_req_status"], "nginx's `return` comes before its limits"),
    ("trace", &["limit_req_status"], "nginx refuses TRACE before it comes to its limits"),
];
const CUT: &str = "nginx calls an answer complete that the upstream has cut";

/// A case that the gateway answers otherwise: nginx's status and the gateway's, what differs besides the answer, and why.
#[rustfmt::skip]
const ANSWERED: &[(&str, &str, &str, &[Group], &str)] = &[
    ("head that finds nobody", "200", "204", &[Asked], ASKED_WITH_GET),
    ("a half-close behind a request", "499", "200", &[Asked, Completion], WAITS),
    ("percents and quotes in the path", "400", "404", &[Rate, Length, Host, Fields, Target], DECODED),
    ("no version", "200", "400", &[Asked, Ceiling, Rate, Length, Path, Target], "HTTP/0.9 is not spoken"),
    ("two blanks", "404", "400", LINE, BLANK),
    ("a blank behind", "404", "400", LINE, BLANK),
    ("http/1.2", "404", "400", LINE, VERSION),
    ("http/2.0", "505", "400", &[Version], VERSION),
    ("a fragment in the target", "200", "400", LINE, "nginx cuts it off; no client may send it"),
    ("a method in small letters", "400", "405", &[Rate, Length, Host, Fields, Path, Target, Version], TOKEN),
    ("an unknown method", "200", "405", NOT_ASKED, METHOD),
    ("a method with a dash", "200", "405", NOT_ASKED, METHOD),
    ("a method with a dot", "400", "405", &[Rate, Length, Host, Fields, Path, Target, Version], TOKEN),
    ("options", "200", "405", NOT_ASKED, METHOD),
    ("delete", "200", "405", NOT_ASKED, METHOD),
    ("a post of a body", "200", "405", &[Asked, Ceiling, Length], METHOD),
    ("a host with odd bytes", "200", "400", HOST, STRICT),
    ("a field without a colon", "200", "400", FIELD, STRICT),
    ("a control byte in a field", "200", "400", FIELD, STRICT),
    ("an unknown coding", "501", "400", &[], "no lookup has a body"),
    ("a get with a body", "200", "413", &[Asked, Ceiling, Length], "no lookup has a body"),
    ("a body in chunks", "200", "400", &[Asked, Ceiling, Rate, Length], "no lookup has a body"),
    ("a bare line feed behind the line", "200", "400", LINE, "a line ends with CRLF"),
    ("a bare line feed behind a field", "200", "400", HOST, "a line ends with CRLF"),
    ("a field that is too long", "400", "200", FIELD, "the limit is the whole head's"),
    ("a head that is too long", "400", "431", &[], "431 is what RFC 6585 made for it"),
    ("a hundred fields", "200", "431", FIELD, "nginx has no limit on their number"),
    ("a control byte in a value", "200", "400", FIELD, STRICT),
    ("a field's name of odd tokens", "200", "400", FIELD, STRICT),
    ("a user and a password", "401", "200", &[Asked], "credentials are not passed on"),
    ("a user of odd bytes", "401", "200", &[Asked], "credentials are not passed on"),
    ("a host with a dot in front", "404", "400", HOST, STRICT),
    ("a host with a star", "404", "400", HOST, STRICT),
    ("a host with a quote", "404", "400", HOST, STRICT),
    ("a host with a backslash", "404", "400", HOST, STRICT),
    ("a host with an escape", "404", "400", HOST, STRICT),
    ("a host with a comma", "404", "400", HOST, STRICT),
    ("a host with a user", "404", "400", HOST, STRICT),
    ("a host with a port that is none", "404", "400", HOST, STRICT),
    ("a host with a port that is too high", "404", "400", HOST, STRICT),
    ("a host with an open bracket", "404", "400", HOST, STRICT),
    ("the root", "403", "404", NOT_ASKED, "XiVO has a root, and the gateway none"),
    ("a path that nginx refuses", "400", "404", &[Rate, Length, Host, Fields, Target], DECODED),
    ("a url of another host", "404", "400", NOT_PARSED, "the target and the Host name two hosts"),
    ("a url in capitals", "404", "400", NOT_PARSED, "the target and the Host name two hosts"),
    ("a url of an address of IPv6", "404", "400", NOT_PARSED, "the target and the Host name two hosts"),
    ("a url without a path and with a query", "403", "404", NOT_ASKED, "XiVO has a root, and the gateway none"),
    ("a url of https", "404", "400", LINE, "nginx takes any scheme"),
    ("a url of ftp", "404", "400", LINE, "nginx takes any scheme"),
    ("an unknown argument", "200", "400", NOT_ASKED, LOOKUP),
    ("an argument that comes twice", "200", "400", NOT_ASKED, LOOKUP),
    ("a search without a term", "204", "400", NOT_ASKED, LOOKUP),
    ("an act that writes", "400", "403", NOT_ASKED, LOOKUP),
    ("an unknown act", "200", "400", NOT_ASKED, LOOKUP),
    ("a view without an id", "404", "400", NOT_ASKED, LOOKUP),
    ("http/1.10", "404", "400", LINE, VERSION),
    ("http/1.01", "404", "400", LINE, VERSION),
    ("http/11", "505", "400", &[Version], VERSION),
    ("http/3.0", "505", "400", &[Version], VERSION),
    ("upstream: no-http", "009", "502", &[Asked], "nginx takes it for HTTP/0.9"),
    ("upstream: 500", "500", "502", &[], XIVO),
    ("upstream: 503", "503", "502", &[], XIVO),
    ("upstream: 302", "302", "502", &[], XIVO),
    ("upstream: 401", "401", "502", &[], XIVO),
    ("upstream: 403", "403", "502", &[], XIVO),
    ("upstream: 404", "404", "502", &[], XIVO),
    ("upstream: 201", "201", "502", &[], XIVO),
    ("upstream: 299", "299", "502", &[], XIVO),
    ("upstream: 418", "418", "502", &[], XIVO),
    ("upstream: 304", "304", "502", &[], XIVO),
    ("upstream: extension", "200", "502", &[], FRAMING),
    ("upstream: html", "200", "502", &[], "a phonebook is JSON"),
    ("upstream: empty", "200", "502", &[], "a phonebook that finds nobody says 204"),
    ("upstream: no-length", "200", "502", &[], FRAMING),
    ("upstream: line-feeds", "200", "502", &[Asked], FRAMING),
    ("upstream: bad-chunk", "200", "502", &[Completion], FRAMING),
    ("upstream: head of a 500", "500", "502", &[Asked], XIVO),
    ("upstream: head of html", "200", "502", &[Asked], "a phonebook is JSON"),
];
const ASKED_WITH_GET: &str =
    "XiVO is asked with GET: for HEAD it reads no arguments and answers with the list";
const WAITS: &str = "who has asked may say that it asks no more, and still waits";
const DECODED: &str = "no path but the phonebook's is decoded";
const VERSION: &str = "there are HTTP/1.0 and HTTP/1.1";
const BLANK: &str = "between the parts of a request line there is one blank";
const TOKEN: &str = "a method is any token; nginx knows capitals, `_` and `-`";
const METHOD: &str = "nginx passes every method on";
const STRICT: &str =
    "nginx leaves such fields out or takes them; two readers could read them in two ways";
const LOOKUP: &str = "what XiVO would read in its own way, or may not do, is not asked";
const FRAMING: &str = "XiVO's nginx never frames an answer so";
const XIVO: &str = "of XiVO's answers only a phonebook's are passed on";

/// Refused for what is asked, or by whom: nginx asks XiVO.
const NOT_ASKED: &[Group] = &[Asked, Ceiling];
/// Refused for its form, which is before any limit.
const NOT_PARSED: &[Group] = &[Asked, Ceiling, Rate];
/// Refused for a field: what stands behind it is not read.
const FIELD: &[Group] = &[Asked, Ceiling, Rate, Length, Fields];
/// The same, and what it is refused for is the Host or stands before it.
const HOST: &[Group] = &[Asked, Ceiling, Rate, Length, Host, Fields];
/// Refused for its first line.
const LINE: &[Group] = &[Asked, Ceiling, Rate, Length, Host, Fields, Path, Target, Version];
/// The answer's head and body, which are never alike where the status is not.
const ANSWER: &[&str] = &[
    "status",
    "body_bytes_sent",
    "bytes_sent",
    "sent_http_content_type",
    "sent_http_content_length",
    "sent_http_transfer_encoding",
    "sent_http_connection",
    "sent_http_allow",
    "sent_http_retry_after",
    "sent_http_x_xivo_ws_version",
];

/// Variables that differ together.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Group {
    /// How XiVO was asked.
    Asked,
    /// The limit of lookups in flight.
    Ceiling,
    /// The limit of requests.
    Rate,
    /// How much was read.
    Length,
    Host,
    /// The request's fields. They are what nginx says, or absent.
    Fields,
    /// The method, and the path as it is understood.
    Path,
    /// The target as it was sent.
    Target,
    Version,
    Completion,
}

impl Group {
    fn has(self, name: &str) -> bool {
        match self {
            Self::Asked => name.starts_with("upstream_"),
            Self::Ceiling => name == "limit_conn_status",
            Self::Rate => name == "limit_req_status",
            Self::Length => name == "request_length",
            Self::Host => name == "host",
            Self::Fields => name.starts_with("http_"),
            Self::Path => matches!(name, "request_method" | "uri" | "document_uri"),
            Self::Target => {
                matches!(name, "request_uri" | "args" | "query_string" | "is_args")
                    || name.starts_with("arg_")
            }
            Self::Version => name == "server_protocol",
            Self::Completion => name == "request_completion",
        }
    }

    /// Whether one of the two says nothing, and not each something else.
    fn is_left_out(self) -> bool {
        matches!(self, Self::Host | Self::Fields | Self::Path | Self::Target | Self::Version)
    }
}

/// What the tables excused: a row's first word, and what of it.
#[derive(Default)]
pub(super) struct Excused(BTreeSet<(&'static str, String)>);

impl Excused {
    fn by(&mut self, row: &'static str, what: impl ToString) -> bool {
        self.0.insert((row, what.to_string()));
        true
    }

    /// The rows and their parts that nothing needed.
    pub(super) fn stale(&self) -> Vec<(&'static str, String)> {
        let own = OWN.iter().map(|(name, ..)| (*name, "own".to_owned()));
        let kinds = OTHERWISE
            .iter()
            .flat_map(|row| row.variables.iter().map(|name| (row.why, (*name).to_owned())));
        let cases = CASES
            .iter()
            .flat_map(|(case, names, _)| names.iter().map(|name| (*case, (*name).to_owned())));
        let answered = ANSWERED.iter().flat_map(|(case, .., groups, _)| {
            let groups = groups.iter().map(|group| (*case, format!("{group:?}")));
            groups.chain([(*case, "status".to_owned())])
        });
        let all = own.chain(kinds).chain(cases).chain(answered);
        all.filter(|row| !self.0.contains(row)).collect()
    }
}

/// The differences that nothing excuses.
pub(super) fn compare(case: &str, nginx: &Line, ours: &Line, excused: &mut Excused) -> Vec<String> {
    let mut differing = Vec::new();
    for ((names, theirs), (_, own)) in nginx.iter().zip(ours) {
        if theirs == own {
            continue;
        }
        let touching = names.contains('+');
        let lines = Lines { case, nginx, ours, values: (theirs, own), touching };
        // Of several that touch it is not known which differs.
        let mut each = names.split('+');
        if !each.any(|name| lines.excuse(name, excused)) {
            let request = value(nginx, "request");
            differing
                .push(format!("{case}: ${names}: nginx {theirs:?}, ours {own:?}, of {request:?}"));
        }
    }
    differing
}

/// A value of two lines.
struct Lines<'l> {
    case: &'l str,
    nginx: &'l Line,
    ours: &'l Line,
    values: (&'l str, &'l str),
    /// The values are those of several variables that touch.
    touching: bool,
}

impl Lines<'_> {
    fn excuse(&self, name: &str, excused: &mut Excused) -> bool {
        let (theirs, own) = self.values;
        match name {
            "remote_user" => return own == "peer",
            _ if OURS.contains(&name) => return true,
            _ => {}
        }
        if let Some((name, looks, _)) = OWN.iter().find(|(own, ..)| *own == name)
            && looks.alike(theirs, own)
        {
            return excused.by(name, "own");
        }
        let statuses = (status(self.nginx), status(self.ours));
        if statuses.0 != statuses.1 {
            let row = ANSWERED.iter().find(|row| row.0 == self.case && (row.1, row.2) == statuses);
            return row.is_some_and(|row| self.answered(name, row, excused));
        }
        for (case, names, _) in CASES {
            if *case == self.case && names.contains(&name) {
                return excused.by(case, name);
            }
        }
        for kind in OTHERWISE {
            if kind.variables.contains(&name) && (kind.when)(self.nginx, self.ours, self.values) {
                return excused.by(kind.why, name);
            }
        }
        false
    }

    fn answered(
        &self,
        name: &str,
        (case, _, _, groups, _): &(&'static str, &str, &str, &[Group], &str),
        excused: &mut Excused,
    ) -> bool {
        if ANSWER.contains(&name) {
            return excused.by(case, "status");
        }
        let left_out = self.touching || absent(self.values.0) || absent(self.values.1);
        let group = groups.iter().find(|group| group.has(name));
        match group {
            Some(group) if left_out || !group.is_left_out() => {
                excused.by(case, format!("{group:?}"))
            }
            _ => false,
        }
    }
}
