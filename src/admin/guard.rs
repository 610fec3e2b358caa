//! Who may ask the admin listener, and how.

use std::sync::Arc;

use hyper::header::{AUTHORIZATION, HOST};
use hyper::{Method, Request, StatusCode};

use super::router::{Answer, refused};
use crate::config::{Admin, Config, Token};
use crate::http1::host::Host;

/// The way on which a request came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// Over the unix socket: whoever may open it.
    Unix,
    /// Over TCP.
    Tcp,
}

/// Lets a request pass, or says why not. Whoever lacks the token learns nothing of what there is.
///
/// # Errors
/// The answer.
pub(super) fn check<B>(
    request: &Request<B>,
    way: Way,
    config: &Arc<Config>,
) -> Result<(), Box<Answer>> {
    let no = |status, why: &str| Err(Box::new(refused(status, why)));
    if way == Way::Tcp && !is_meant(request, &config.admin) {
        return no(
            StatusCode::MISDIRECTED_REQUEST,
            "The Host is no address, not localhost, and not in [admin] server_names.",
        );
    }
    if ![Method::GET, Method::HEAD].contains(request.method()) {
        return no(
            StatusCode::METHOD_NOT_ALLOWED,
            "Nothing can be changed here: GET and HEAD only.",
        );
    }
    let Some(file) = &config.admin.token_file else { return Ok(()) };
    let token = match Token::read(file) {
        Ok(token) => token,
        Err(error) => {
            tracing::error!("nobody can ask the admin listener: {}: {error}", file.display());
            return no(
                StatusCode::SERVICE_UNAVAILABLE,
                "The token cannot be read; see the gateway's journal.",
            );
        }
    };
    match bearer(request) {
        Some(shown) if token.is(shown) => Ok(()),
        _ => no(
            StatusCode::UNAUTHORIZED,
            "The token of [admin] token_file is needed: Authorization: Bearer TOKEN.",
        ),
    }
}

/// Whether a request is for this listener by its name: a browser that was led here by a name of somebody else's
/// sends that.
fn is_meant<B>(request: &Request<B>, admin: &Admin) -> bool {
    let mut hosts = request.headers().get_all(HOST).iter();
    let (Some(host), None) = (hosts.next(), hosts.next()) else { return false };
    let target = request.uri().authority().map(|authority| authority.as_str().as_bytes());
    [Some(host.as_bytes()), target].into_iter().flatten().all(|text| is_own(text, admin))
}

fn is_own(text: &[u8], admin: &Admin) -> bool {
    let Some(host) = Host::read(text) else { return false };
    let name = host.name();
    let is_address = name.starts_with(b"[")
        || std::str::from_utf8(name).is_ok_and(|name| name.parse::<std::net::Ipv4Addr>().is_ok());
    is_address
        || host.is_named("localhost")
        || admin.server_names.iter().any(|own| host.is_named(own))
}

/// The token that a request shows.
fn bearer<B>(request: &Request<B>) -> Option<&[u8]> {
    let mut fields = request.headers().get_all(AUTHORIZATION).iter();
    let (Some(field), None) = (fields.next(), fields.next()) else { return None };
    let (scheme, token) = field.as_bytes().split_at_checked(SCHEME.len())?;
    scheme.eq_ignore_ascii_case(SCHEME).then(|| token.trim_ascii())
}

/// How a token is shown (RFC 6750, section 2.1).
const SCHEME: &[u8] = b"Bearer ";

#[cfg(test)]
mod tests {
    use super::*;

    fn admin(names: &str) -> Admin {
        let main = format!(
            "[[listen]]\naddress = \"127.0.0.1:0\"\n[upstream]\nurl = \"http://192.0.2.1\"\n\
             source = \"192.0.2.2\"\n[admin]\nserver_names = [{names}]\n"
        );
        Config::from_texts(("gateway.toml", &main), &[]).unwrap().0.admin
    }

    fn asked(target: &str, hosts: &[&str]) -> Request<()> {
        let mut request = Request::builder().uri(target);
        for host in hosts {
            request = request.header(HOST, *host);
        }
        request.body(()).unwrap()
    }

    #[test]
    fn only_addresses_localhost_and_own_names_are_meant() {
        let admin = admin("\"Gateway.example.org\", \"[2001:db8::1]\"");
        for host in [
            "127.0.0.1:9481",
            "127.0.0.1",
            "[::1]:9481",
            "10.1.2.3",
            "localhost",
            "LocalHost:9481",
            "gateway.example.org",
            "gateway.EXAMPLE.org.:443",
        ] {
            assert!(is_meant(&asked("/", &[host]), &admin), "{host}");
        }
        for hosts in [
            &[][..],
            &[""],
            &["evil.example"],
            &["127.0.0.1.evil.example"],
            &["localhost.evil.example"],
            &["localhost", "localhost"],
            &["localhost, evil.example"],
            &["evil@localhost"],
            &["127.1"],
            &["0x7f000001"],
            &["[::1"],
            &["example.org"],
        ] {
            assert!(!is_meant(&asked("/", hosts), &admin), "{hosts:?}");
        }
        assert!(!is_meant(&asked("http://evil.example/", &["localhost"]), &admin));
        assert!(is_meant(&asked("http://127.0.0.1:9481/", &["127.0.0.1:9481"]), &admin));
    }

    #[test]
    fn a_token_is_shown_as_rfc_6750_has_it() {
        let shown = |values: &[&str]| {
            let mut request = Request::builder();
            for value in values {
                request = request.header(AUTHORIZATION, *value);
            }
            bearer(&request.body(()).unwrap()).map(<[u8]>::to_vec)
        };
        for value in ["Bearer abc", "bearer abc", "BEARER  abc "] {
            assert_eq!(shown(&[value]).as_deref(), Some(&b"abc"[..]), "{value:?}");
        }
        for values in
            [&[][..], &["Basic abc"], &["Bearer"], &["abc"], &["Bearer abc", "Bearer abc"]]
        {
            assert_eq!(shown(values), None, "{values:?}");
        }
    }
}
