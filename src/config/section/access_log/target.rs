//! `path`: a file, a file for each peer, a syslog receiver or the standard output.

use std::path::Path;

use super::syslog;
use crate::access_log::format::names;
use crate::access_log::{LogTarget, PeerPath};
use crate::config::document::Field;
use crate::config::document::diagnostic::{Diagnostic, nearest, shown};

/// Reads the target; a relative path begins at `base`.
pub(super) fn read(field: &Field<'_>, base: &Path) -> Option<LogTarget> {
    let is_ours =
        |name: &str, set: bool| name == PEER || !set && names().any(|known| known == name);
    let text = field.text_but(&is_ours)?;
    if text == "stdout" {
        return Some(LogTarget::Stdout);
    }
    if let Some(parameters) = text.strip_prefix("syslog:") {
        return field.accept(syslog::read(parameters)).map(LogTarget::Syslog);
    }
    if !text.is_empty() && !text.contains(['/', '.', '$']) {
        field.error(no_target(&text));
        return None;
    }
    if text.ends_with(".toml") {
        let message = format!("{} is named like a file of the configuration", shown(&text));
        field.error(Diagnostic::new(message, "allowed: a path that does not end in .toml"));
        return None;
    }
    let (first, rest) = field.accept(split(&text))?;
    if rest.is_empty() {
        return field.checked_path(first, base).map(LogTarget::File);
    }
    if text.contains('\0') {
        return field.checked_path(&text, base).map(LogTarget::File);
    }
    Some(LogTarget::PerPeer(PeerPath::new(base.join(first), rest)))
}

fn no_target(text: &str) -> Diagnostic {
    let message = format!("{} is no target", shown(text));
    let label = "allowed: a path with a `/` or a `.` in it, \"stdout\", or \"syslog:server=…\"";
    let help = match text.to_lowercase().as_str() {
        "off" => "there is always an access log; for none write \"/dev/null\"".to_owned(),
        "stdout" => "write \"stdout\"".to_owned(),
        "stderr" => "diagnostics go to standard error; for the log write \"stdout\"".to_owned(),
        "syslog" => "write \"syslog:server=unix:/dev/log\", or an address as the server".to_owned(),
        _ => format!("for a file of this name write \"./{text}\""),
    };
    Diagnostic::new(message, label).help(help)
}

/// What stands before the first `$peer` of a path, and behind each.
fn split(text: &str) -> Result<(&str, Vec<String>), Diagnostic> {
    let Some((first, mut rest)) = text.split_once('$') else { return Ok((text, Vec::new())) };
    let mut pieces = Vec::new();
    loop {
        let (name, behind) = name(rest)?;
        if name != PEER {
            return Err(no_variable(name));
        }
        let (piece, next) = match behind.split_once('$') {
            Some((piece, next)) => (piece, Some(next)),
            None => (behind, None),
        };
        pieces.push(piece.to_owned());
        match next {
            Some(next) => rest = next,
            None => return Ok((first, pieces)),
        }
    }
}

/// The variable's name behind a `$`, and what follows.
fn name(text: &str) -> Result<(&str, &str), Diagnostic> {
    let label = "allowed: $peer or ${peer}";
    if let Some(inner) = text.strip_prefix('{') {
        return inner
            .split_once('}')
            .ok_or_else(|| Diagnostic::new("the closing bracket of a variable is missing", label));
    }
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let end = text.find(|c| !is_name(c)).unwrap_or(text.len());
    let (name, behind) = text.split_at(end);
    if name.is_empty() {
        let message = format!("a `$` stands before {}, which begins no variable", shown(text));
        return Err(Diagnostic::new(message, label));
    }
    Ok((name, behind))
}

fn no_variable(name: &str) -> Diagnostic {
    let diagnostic = Diagnostic::new(
        format!("${name} cannot stand in a path"),
        "allowed: $peer, for a file of each peer",
    );
    if nearest(name, [PEER]).is_some() {
        return diagnostic.help("did you mean $peer?");
    }
    match name.strip_prefix("peer_") {
        Some(rest) => diagnostic.help(format!("did you mean ${{peer}}_{rest}?")),
        None => diagnostic.help(
            "a client's words name no files; choose requests by `if`, or split the log by its lines",
        ),
    }
}

const PEER: &str = "peer";
