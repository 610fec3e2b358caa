//! The formats in which both write: between them they have every variable and every escape that both know, in every way in
//! which nginx lets one write them.

use std::{collections::BTreeSet, path::Path};

use phonebook_gateway::access_log::format::{PREDEFINED, names};

use super::differences::OURS;

/// The variables that both have.
const VARIABLES: &str = "remote_addr remote_port remote_user realip_remote_addr realip_remote_port proxy_protocol_addr \
    proxy_protocol_port time_local time_iso8601 msec request request_method request_uri uri document_uri args query_string \
    is_args arg_act arg_search arg_id arg_ACT host hostname server_name server_addr server_port server_protocol scheme https \
    status body_bytes_sent bytes_sent request_length request_time request_id request_completion connection \
    connection_requests connection_time pipe pid ssl_protocol ssl_cipher ssl_server_name ssl_session_reused \
    ssl_client_verify ssl_client_s_dn ssl_client_i_dn ssl_client_serial ssl_client_fingerprint upstream_addr \
    upstream_status upstream_connect_time upstream_header_time upstream_response_time upstream_response_length \
    upstream_bytes_received upstream_bytes_sent upstream_cache_status limit_req_status limit_conn_status";
const FIELDS: &str = "http_host http_user_agent http_referer http_cookie http_x_forwarded_for http_x_a http_x http_x_behind \
    http_authorization http_content_length http_connection http_absent sent_http_content_type sent_http_content_length \
    sent_http_transfer_encoding sent_http_connection sent_http_allow sent_http_retry_after sent_http_x_xivo_ws_version \
    sent_http_absent status";

/// What stands in an nginx.conf behind a name, with pieces in both quotes and every escape that they know, and what nginx
/// makes of it.
const PASTED: (&str, &str) = (
    "'a \\'b\\' \"c\" \\\\ \\t \\x41 ; # {} é 100% '\n    \"$REMOTE_ADDR \\\" 'd' ${Status}s \"\t'[$Time_Local] \"'\n\
     '${request_method}_${request_uri}\" ${http_X_a}$is_args'    '$args|$http_x_behind'\n  '.';",
    "a 'b' \"c\" \\ \t \\x41 ; # {} é 100% $remote_addr \" 'd' ${status}s [$time_local] \"\
     ${request_method}_$request_uri\" $http_x_a$is_args$args|$http_x_behind.",
);

/// Several strings, which are joined with nothing between.
const PIECES: [&str; 4] = [
    "{\"status\": $status, \"addr\": \"$remote_addr",
    "#$remote_port\", \"uri\": \"$uri",
    "\", \"field\": \"${http_x_a}\", ",
    "\"search\": \"$arg_search\"}",
];

/// One format.
pub(super) struct Format {
    pub(super) name: &'static str,
    /// What an nginx.conf has behind the name; none for what nginx has itself.
    nginx: Option<String>,
    /// The value in `[log_format]`; none for what the gateway has itself.
    toml: Option<String>,
    /// Literals and variables by turns, a literal first.
    literals: Vec<String>,
    variables: Vec<String>,
    /// What ends a line.
    end: &'static str,
}

/// What ends a line that may hold a line end.
const END: &str = "~.~\n";

/// All of them.
pub(super) fn formats() -> Vec<Format> {
    let listed = |name, escape: &str, names, between, end: &'static str| {
        let (nginx, text) = list(names, between, end.trim_end());
        let nginx = format!("{escape}{nginx}");
        Format { toml: Some(toml(&nginx)), ..Format::new(name, Some(nginx), &text, end) }
    };
    let predefined = PREDEFINED.map(|(name, text)| {
        let escape = if name == "gateway_json" { "escape=json " } else { "" };
        let text = text.strip_prefix(escape).unwrap();
        let nginx = (name != "combined").then(|| format!("{escape}'{text}'"));
        Format::new(name, nginx, text, "\n")
    });
    let pieces = PIECES.map(|piece| serde_json::to_string(piece).unwrap()).join(", ");
    let quoted = PIECES.map(|piece| format!("'{piece}'")).join("\n ");
    let pasted =
        Format::new("pasted", Some(PASTED.0.trim_end_matches(';').to_owned()), PASTED.1, "\n");
    let joined =
        Format::new("joined", Some(format!("escape=json {quoted}")), &PIECES.concat(), "\n");
    predefined
        .into_iter()
        .chain([
            listed("all", "", VARIABLES, "\t", "\n"),
            listed("all_default", "escape=default", VARIABLES, "\t", "\n"),
            listed("all_json", "escape=json", VARIABLES, "\t", "\n"),
            listed("all_none", "escape=none", VARIABLES, "~|~", END),
            listed("fields", "", FIELDS, "\t", "\n"),
            listed("fields_json", "escape=json", FIELDS, "\t", "\n"),
            listed("fields_none", "escape=none", FIELDS, "~|~", END),
            Format { toml: Some(toml(PASTED.0)), ..pasted },
            Format { toml: Some(format!("[\"escape=json\", {pieces}]")), ..joined },
        ])
        .collect()
}

/// In pieces and as one, with and without brackets.
fn list(names: &str, between: &str, end: &str) -> (String, String) {
    let (mut pieces, mut text) = (String::new(), String::new());
    for (at, name) in names.split_whitespace().enumerate() {
        let between = if at == 0 { "" } else { between };
        let variable = if at % 2 == 0 { format!("${{{name}}}") } else { format!("${name}") };
        pieces.push_str(&format!("\n  '{between}{variable}'"));
        text.push_str(&format!("{between}{variable}"));
    }
    if !end.is_empty() {
        pieces.push_str(&format!("\n  '{end}'"));
    }
    (pieces, text)
}

fn toml(text: &str) -> String {
    serde_json::to_string(text).unwrap()
}

/// A line's values by their names. Each byte is a character of its own.
pub(super) type Line = Vec<(String, String)>;

pub(super) fn value<'l>(line: &'l Line, name: &str) -> &'l str {
    line.iter().find(|(found, _)| found == name).map_or("", |(_, value)| value.as_str())
}

impl Format {
    /// `text` is the whole of it as nginx reads it.
    fn new(name: &'static str, nginx: Option<String>, text: &str, end: &'static str) -> Self {
        let mut pieces = text.split('$');
        let mut literals = vec![latin(pieces.next().unwrap().as_bytes())];
        let mut variables: Vec<String> = Vec::new();
        for piece in pieces {
            let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
            let (name, behind) = match piece.strip_prefix('{') {
                Some(bracketed) => bracketed.split_once('}').unwrap(),
                None => piece.split_at(piece.find(|c| !is_name(c)).unwrap_or(piece.len())),
            };
            // Between two that touch nobody can find the border.
            if !variables.is_empty() && literals.last().is_some_and(String::is_empty) {
                literals.pop();
                variables.last_mut().unwrap().push_str(&format!("+{name}"));
            } else {
                variables.push(name.to_owned());
            }
            literals.push(latin(behind.as_bytes()));
        }
        Self { name, nginx, toml: None, literals, variables, end }
    }

    /// Its variables.
    pub(super) fn variables(&self) -> impl Iterator<Item = String> {
        self.variables.iter().flat_map(|names| names.split('+')).map(str::to_ascii_lowercase)
    }

    /// The line of nginx's configuration, and of the gateway's.
    pub(super) fn configured(&self) -> (String, String) {
        let Self { name, nginx, toml, .. } = self;
        let nginx = nginx.as_ref().map(|text| format!("log_format {name} {text};\n"));
        let toml = toml.as_ref().map(|text| format!("{name} = {text}\n"));
        (nginx.unwrap_or_default(), toml.unwrap_or_default())
    }

    /// The lines of a log.
    pub(super) fn lines(&self, log: &Path) -> Vec<Line> {
        let text = latin(&std::fs::read(log).unwrap_or_default());
        text.split_inclusive(self.end)
            .filter_map(|line| line.strip_suffix(self.end))
            .map(|line| self.read(line))
            .collect()
    }

    fn read(&self, line: &str) -> Line {
        let refuse = || panic!("{}: {line:?}", self.name);
        let mut rest = line.strip_prefix(&self.literals[0]).unwrap_or_else(refuse);
        let mut values = Vec::new();
        for (at, name) in self.variables.iter().enumerate() {
            let behind = self.literals[at + 1].as_str();
            let last = at + 1 == self.variables.len();
            let (value, tail) = if last {
                (rest.strip_suffix(behind).unwrap_or_else(refuse), "")
            } else {
                rest.split_once(behind).unwrap_or_else(|| panic!("{}: {line:?}", self.name))
            };
            values.push((name.clone(), value.to_owned()));
            rest = tail;
        }
        values
    }
}

/// Each byte as a character.
fn latin(bytes: &[u8]) -> String {
    bytes.iter().copied().map(char::from).collect()
}

#[test]
fn the_formats_have_every_variable_that_nginx_has_too() {
    let formats = formats();
    assert!(formats.len() >= 10);
    let used: BTreeSet<String> = formats.iter().flat_map(Format::variables).collect();
    for name in names().filter(|name| !OURS.contains(name)) {
        assert!(used.contains(name), "${name}");
    }
}
