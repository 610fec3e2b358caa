//! Access-log formats in nginx's `log_format` language, compiled once and run for each request.
//!
//! A [`Format`] is a flat list of literals and variables. Running it appends to the line buffer and
//! allocates nothing, but for values that have to be decoded or put together first, which go through a
//! buffer that is kept. What a format needs to be found out about a request, it says
//! ([`Format::needs`]); what no format needs is not computed.
//!
//! Language, escapes, absent values and precision are those of `ngx_http_log_module` in nginx 1.22,
//! held by a test that compares the lines of both. `$name` and `${name}` are variables; a `$` before
//! anything else is an error, as there.

pub(crate) mod clock;
pub(crate) mod combined;
pub(crate) mod escape;
mod escape_json;
mod facts;
pub(crate) mod kind;
mod line;
mod mask;
mod parse;
pub(crate) mod prefix;
mod reading;
mod variable;

use std::sync::Arc;

pub use escape_json::Escape;
pub use facts::{Checked, Facts, RequestFacts, TlsLine};
pub(crate) use kind::{
    Each, Kind, MOST_DIGITS, address_length, ipv4_length, is_host_name, is_no_name, quote,
};
pub use line::Writer;
pub use mask::{SearchTerms, TermKey};
pub use parse::FormatError;
pub(crate) use parse::Piece;
pub use reading::Unsure;
pub(crate) use reading::{Begin, End, Mark, Reading, Span, Step, Value, corrected, reading};
pub use variable::{Named, Unavailable, Variable, names};

pub(crate) use mask::Masked;
pub(crate) use mask::plain_field;
pub(super) use mask::{shown_method, url};

/// A compiled format.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Format {
    program: Box<[Op]>,
    escape: Escape,
    needs: Needs,
}

/// One step of a format.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Op {
    Literal(Box<[u8]>),
    Variable(Variable),
}

/// What a format needs to know that costs something to find out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// The address that a connection came to.
    pub local_address: bool,
    /// The head of the answer.
    pub answer_head: bool,
    /// How XiVO was asked.
    pub upstream: bool,
    /// The line of the configuration that decided.
    pub rule: bool,
}

impl Needs {
    /// What either needs.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self {
            local_address: self.local_address | other.local_address,
            answer_head: self.answer_head | other.answer_head,
            upstream: self.upstream | other.upstream,
            rule: self.rule | other.rule,
        }
    }
}

impl Format {
    /// Compiles a `log_format`: what stands behind its name in an nginx.conf. `parts` are joined as
    /// nginx joins its parameters, with nothing between; the first may begin with `escape=…`, or be
    /// that. A part that is written in nginx's own single quotes, in several pieces perhaps, is read as
    /// nginx reads it; any other stands for itself.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn compile(parts: &[&str]) -> Result<Self, FormatError> {
        let (escape, text) = parse::text(parts)?;
        let program = parse::program(parse::pieces(&text)?)?;
        let needs = program.iter().fold(Needs::default(), |needs, op| match op {
            Op::Literal(_) => needs,
            Op::Variable(variable) => needs.or(variable.needs()),
        });
        Ok(Self { program: program.into(), escape, needs })
    }

    /// What it needs.
    pub fn needs(&self) -> Needs {
        self.needs
    }

    /// Whether a client can put what it likes into a line: quotes, and with `$uri` line ends.
    pub fn is_forgeable(&self) -> bool {
        self.escape == Escape::None
            && self.program.iter().any(|op| matches!(op, Op::Variable(it) if it.is_the_clients()))
    }

    /// Whether its lines can be read back.
    ///
    /// # Errors
    /// Why nobody can tell where a value ends.
    pub fn readable(&self) -> Result<(), Unsure> {
        reading(self.escape, &self.pieces()).map(|_| ())
    }

    /// The text of a format that says the same and can be read back.
    pub fn corrected(&self) -> Option<String> {
        corrected(self.escape, &self.pieces())
    }

    /// The pieces of what [`compile`](Self::compile) takes, whichever variables it names: for those who
    /// read what others have written.
    pub(crate) fn pieces_of(parts: &[&str]) -> Result<(Escape, Vec<Piece>), FormatError> {
        let (escape, text) = parse::text(parts)?;
        Ok((escape, parse::pieces(&text)?))
    }

    /// Its pieces.
    pub(crate) fn pieces(&self) -> Vec<Piece> {
        let piece = |op: &Op| match op {
            Op::Literal(text) => Piece::Literal(String::from_utf8_lossy(text).into_owned()),
            Op::Variable(variable) => Piece::Variable(variable.name()),
        };
        self.program.iter().map(piece).collect()
    }

    /// What [`compile`](Self::compile) reads as this format.
    pub fn written(&self) -> Vec<String> {
        let pieces = self.pieces();
        let text: String = pieces
            .iter()
            .map(|piece| match piece {
                Piece::Literal(text) => text.clone(),
                Piece::Variable(name) => format!("${{{name}}}"),
            })
            .collect();
        // What begins with a quote is read as nginx's quoted pieces are.
        let text = if text.trim_start().starts_with('\'') {
            format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"))
        } else {
            text
        };
        let word = Escape::WORDS.iter().find(|(_, escape)| *escape == self.escape);
        let escape = word.map(|(word, _)| format!("escape={word}"));
        escape.into_iter().chain([text]).collect()
    }

    pub(super) fn program(&self) -> &[Op] {
        &self.program
    }

    /// How it writes values.
    pub(crate) fn escape(&self) -> Escape {
        self.escape
    }
}

/// The format of an access log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// nginx's predefined one, which has a writer of its own.
    #[default]
    Combined,
    /// Any other.
    Compiled(Arc<Format>),
}

impl LogFormat {
    /// What it needs.
    pub fn needs(&self) -> Needs {
        match self {
            Self::Combined => Needs::default(),
            Self::Compiled(format) => format.needs(),
        }
    }
}

/// The formats that need no `[log_format]`, as they would be written there.
pub const PREDEFINED: [(&str, &str); 3] =
    [("combined", COMBINED), ("gateway", GATEWAY), ("gateway_json", GATEWAY_JSON)];

/// nginx's own.
const COMBINED: &str = concat!(
    r#"$remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent "#,
    r#""$http_referer" "$http_user_agent""#
);

/// `combined`, and one quoted field behind it: goaccess takes anything there, Vector's
/// `parse_nginx_log` exactly that much.
const GATEWAY: &str = concat!(
    r#"$remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent "#,
    r#""$http_referer" "$http_user_agent" "peer=$peer action=$action reason=$reason limit=$limit "#,
    r#"rule=$rule source=$client_source host=$host rt=$request_time uct=$upstream_connect_time "#,
    r#"uht=$upstream_header_time urt=$upstream_response_time us=$upstream_status "#,
    r#"revision=$policy_revision id=$request_id""#
);

/// The same for readers of JSON. What may be absent is a string, so that each line is valid.
const GATEWAY_JSON: &str = concat!(
    r#"escape=json {"time":"$time_iso8601","msec":$msec,"remote_addr":"$remote_addr","#,
    r#""peer":"$peer","client_source":"$client_source","request":"$request","#,
    r#""method":"$request_method","uri":"$uri","args":"$args","action":"$action","#,
    r#""host":"$host","scheme":"$scheme","status":$status,"reason":"$reason","#,
    r#""limit":"$limit","rule":"$rule","policy_revision":"$policy_revision","#,
    r#""body_bytes_sent":$body_bytes_sent,"request_time":$request_time,"#,
    r#""upstream_addr":"$upstream_addr","upstream_status":"$upstream_status","#,
    r#""upstream_connect_time":"$upstream_connect_time","#,
    r#""upstream_header_time":"$upstream_header_time","#,
    r#""upstream_response_time":"$upstream_response_time","referer":"$http_referer","#,
    r#""user_agent":"$http_user_agent","ssl_protocol":"$ssl_protocol","#,
    r#""ssl_client_s_dn":"$ssl_client_s_dn","connection":$connection,"#,
    r#""connection_requests":$connection_requests,"request_id":"$request_id"}"#
);

#[cfg(test)]
mod tests;
