//! `upstream.url`: where XiVO's web server is, and whether TLS is spoken with it.

use std::path::PathBuf;

use crate::config::UpstreamHost;
use crate::config::document::Field;
use crate::config::document::diagnostic::{Diagnostic, shown};
use crate::config::value::authority;

/// A URL that names a host and a port, or a socket, and nothing else.
pub(super) struct Url {
    pub(super) text: String,
    pub(super) host: UpstreamHost,
    /// 0 for a socket, which has none.
    pub(super) port: u16,
    pub(super) is_https: bool,
}

impl Url {
    pub(super) fn default_host_header(&self) -> String {
        match (&self.host, self.port, self.is_https) {
            // Which XiVO's nginx serves without a redirect.
            (UpstreamHost::Socket(_), ..) => "localhost".to_owned(),
            (host, 80, false) | (host, 443, true) => host.to_string(),
            (host, port, _) => format!("{host}:{port}"),
        }
    }
}

/// Reads the URL.
pub(super) fn read(field: &Field<'_>) -> Option<Url> {
    let text = field.text()?;
    field.accept(parse(&text))
}

/// The host and the port of an https URL, whose scheme may be left out.
///
/// # Errors
/// What is wrong with it, as a sentence.
pub fn read_https_url(text: &str) -> Result<(UpstreamHost, u16), String> {
    let written = if text.contains("://") || text.starts_with("unix:") {
        text.to_owned()
    } else {
        format!("https://{text}")
    };
    match parse(&written) {
        Ok(url) if url.is_https => Ok((url.host, url.port)),
        Ok(_) => Err(format!("{} is no https URL", shown(text))),
        Err(Diagnostic { message, help: Some(help), .. }) => Err(format!("{message}; {help}")),
        Err(Diagnostic { message, .. }) => Err(message),
    }
}

fn parse(text: &str) -> Result<Url, Diagnostic> {
    let refusal = |what: &str| Diagnostic::new(format!("{} {what}", shown(text)), URL_FORM);
    if let Some(path) = text.strip_prefix("unix:").filter(|path| !path.starts_with("//")) {
        return socket(text, path);
    }
    let Some((scheme, rest)) = text.split_once("://") else {
        return Err(match authority::authority(text.trim_end_matches('/')) {
            _ if text.starts_with('/') => refusal("has no scheme")
                .help(format!("write {} for a unix socket", shown(&format!("unix:{text}")))),
            Ok(_) => {
                refusal("has no scheme").help(format!("write {}", shown(&format!("http://{text}"))))
            }
            Err(_) => refusal("is no URL"),
        });
    };
    let is_https = match scheme.to_ascii_lowercase().as_str() {
        "http" => false,
        "https" => true,
        "unix" | "http+unix" => {
            let path = format!("unix:/{}", rest.trim_start_matches('/'));
            return Err(refusal("is no URL").help(format!("write {}", shown(&path))));
        }
        _ => return Err(refusal("has an unknown scheme")),
    };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    let bare = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let write = format!("write {}", shown(&format!("{scheme}://{bare}")));
    if bare != authority {
        let what = "has a user name: XiVO's phonebook takes no login";
        return Err(refusal(what).help(write));
    }
    if !matches!(path, "" | "/") {
        let what = "has a path: the gateway knows the phonebook's path";
        return Err(refusal(what).help(write));
    }
    let (host, port) = authority::authority(authority)?;
    if port == Some(0) {
        return Err(refusal("has port 0, which cannot be connected to"));
    }
    let default = if is_https { 443 } else { 80 };
    Ok(Url { text: text.to_owned(), host, port: port.unwrap_or(default), is_https })
}

fn socket(text: &str, path: &str) -> Result<Url, Diagnostic> {
    const FORM: &str = "allowed: an absolute path, such as \"unix:/run/xivo-nginx.sock\"";
    let refusal = |what: &str| Diagnostic::new(format!("{} {what}", shown(text)), FORM);
    if !path.starts_with('/') || path.contains('\0') {
        return Err(refusal("does not name a socket by its absolute path"));
    }
    if path.len() > LONGEST_SOCKET {
        return Err(refusal("is too long: the kernel takes socket paths of up to 107 bytes"));
    }
    let host = UpstreamHost::Socket(PathBuf::from(path));
    Ok(Url { text: text.to_owned(), host, port: 0, is_https: false })
}

/// `sun_path` without its final NUL (`unix(7)`).
const LONGEST_SOCKET: usize = 107;

const URL_FORM: &str = "allowed: http or https, a host and perhaps a port, such as \"http://127.0.0.1:80\"; or unix:/path";
