//! The request that `explain` is asked about, as a client would send it.

use std::net::{IpAddr, SocketAddr};
use std::os::unix::ffi::OsStrExt;

use super::{Options, show};
use crate::config::{Config, Listener};

/// A request, as it was written on the command line.
#[derive(Debug)]
pub(super) struct AskedRequest {
    method: Vec<u8>,
    /// A URL, or its path and query alone.
    url: Vec<u8>,
    /// `Name: value`, each.
    headers: Vec<Vec<u8>>,
    http10: bool,
    /// Whether the client has a certificate, which it shows in TLS alone.
    shows_certificate: bool,
}

impl AskedRequest {
    /// The request that `options` describe.
    pub(super) fn of(options: &Options) -> Self {
        let (method, url): (&[u8], &[u8]) = match (&options.method, &options.url) {
            (None, None) => (b"GET", USUAL.as_bytes()),
            // The only one of the two is the URL.
            (Some(only), None) | (None, Some(only)) => (b"GET", only.as_bytes()),
            (Some(method), Some(url)) => (method.as_bytes(), url.as_bytes()),
        };
        Self {
            method: method.to_vec(),
            url: url.to_vec(),
            headers: options.headers.iter().map(|line| line.as_bytes().to_vec()).collect(),
            http10: options.http10,
            shows_certificate: options.certificate.is_some(),
        }
    }
}

/// A request, and where it comes to.
#[derive(Debug)]
pub(super) struct ExplainedRequest {
    /// The listener's place in the configuration.
    pub(super) listener: usize,
    /// Whether it comes in TLS.
    pub(super) spoken: Spoken,
    /// What is sent.
    pub(super) head: Vec<u8>,
}

/// What a client begins with.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Spoken {
    /// A request.
    Plain,
    /// A request, where a handshake is waited for.
    PlainOnTls,
    /// A handshake, in which it asks for this name.
    Tls { server_name: Option<String> },
}

impl ExplainedRequest {
    /// `request`, as it comes to the listener that is wanted.
    pub(super) fn of(
        config: &Config,
        request: &AskedRequest,
        wanted: Option<SocketAddr>,
    ) -> Result<Self, String> {
        let url = Url::read(&request.url)?;
        let wants_tls = request.shows_certificate.then_some(Scheme::Https);
        let index = listener(config, wanted, url.scheme.or(wants_tls))?;
        let listener = config.listeners.get(index);
        let has_tls = listener.is_some_and(|listener| listener.tls.is_some());
        let spoken = match (url.scheme, has_tls) {
            (Some(Scheme::Https), false) => {
                return Err("the URL is https, and the listener has no TLS".to_owned());
            }
            (Some(Scheme::Http), true) => Spoken::PlainOnTls,
            (_, true) => Spoken::Tls { server_name: url.server_name() },
            (_, false) => Spoken::Plain,
        };
        Ok(Self { listener: index, spoken, head: head(request, &url, listener) })
    }
}

/// The listener that the request comes to: the one that is named, else the first that speaks as the
/// URL does.
fn listener(
    config: &Config,
    wanted: Option<SocketAddr>,
    scheme: Option<Scheme>,
) -> Result<usize, String> {
    let Some(wanted) = wanted else {
        let speaks = |listener: &Listener| scheme.is_none_or(|s| s.is_of(listener));
        return Ok(config.listeners.iter().position(speaks).unwrap_or(0));
    };
    let found = config.listeners.iter().position(|listener| listener.address == wanted);
    found.ok_or_else(|| {
        let addresses = config.listeners.iter().map(|listener| listener.address.to_string());
        let addresses: Vec<String> = addresses.collect();
        format!("--listen: no [[listen]] has {wanted}; there are {}", addresses.join(", "))
    })
}

/// The head that a client sends for this request.
fn head(request: &AskedRequest, url: &Url<'_>, listener: Option<&Listener>) -> Vec<u8> {
    let is_host = |line: &Vec<u8>| {
        let name = line.split(|&b| b == b':').next().unwrap_or_default();
        name.eq_ignore_ascii_case(b"host")
    };
    let version: &[u8] = if request.http10 { b" HTTP/1.0\r\n" } else { b" HTTP/1.1\r\n" };
    let mut head = [&request.method, b" ".as_slice(), &url.target, version].concat();
    if !request.headers.iter().any(is_host) {
        let host = match url.authority {
            Some(authority) => authority.to_vec(),
            None => listener.map(default_host).unwrap_or_default().into_bytes(),
        };
        head.extend_from_slice(&[b"Host: ", host.as_slice(), b"\r\n"].concat());
    }
    for line in &request.headers {
        head.extend_from_slice(line);
        head.extend_from_slice(b"\r\n");
    }
    head.extend_from_slice(b"\r\n");
    head
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scheme {
    Http,
    Https,
}

impl Scheme {
    fn is_of(self, listener: &Listener) -> bool {
        listener.tls.is_some() == (self == Self::Https)
    }
}

/// A URL, cut and not normalized.
#[derive(Debug)]
struct Url<'a> {
    /// None of a path alone.
    scheme: Option<Scheme>,
    /// What goes into Host.
    authority: Option<&'a [u8]>,
    /// What goes into the request line.
    target: Vec<u8>,
}

impl<'a> Url<'a> {
    fn read(url: &'a [u8]) -> Result<Self, String> {
        if url.first() == Some(&b'/') {
            return Ok(Self { scheme: None, authority: None, target: url.to_vec() });
        }
        let behind = |scheme: &[u8]| {
            let (begin, rest) = url.split_at_checked(scheme.len())?;
            begin.eq_ignore_ascii_case(scheme).then_some(rest)
        };
        let http = behind(b"http://").map(|rest| (Scheme::Http, rest));
        let https = || behind(b"https://").map(|rest| (Scheme::Https, rest));
        let (scheme, rest) = http.or_else(https).ok_or_else(|| {
            format!(
                "`{}` is no URL: it begins with http:// or https://, or with the / of a path",
                show::line(url)
            )
        })?;
        let end = rest.iter().position(|b| b"/?#".contains(b)).unwrap_or(rest.len());
        let (authority, target) = rest.split_at(end);
        let slash: &[u8] = if target.first() == Some(&b'/') { b"" } else { b"/" };
        let target = [slash, target].concat();
        Ok(Self { scheme: Some(scheme), authority: Some(authority), target })
    }

    /// The name that a client with this URL asks for in its handshake: never an address (RFC 6066,
    /// section 3).
    fn server_name(&self) -> Option<String> {
        let text = std::str::from_utf8(self.authority?).ok()?;
        let host = text.rsplit_once(':').map_or(text, |(host, _)| host);
        let is_address = host.starts_with('[') || host.parse::<IpAddr>().is_ok();
        let name = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
        (!is_address && !name.is_empty()).then_some(name)
    }
}

/// The host of a request that names none: the listener's own.
fn default_host(listener: &Listener) -> String {
    match (listener.server_names.first(), listener.address) {
        (Some(name), _) => name.clone(),
        (None, address) if address.ip().is_unspecified() => format!("localhost:{}", address.port()),
        (None, address) => address.to_string(),
    }
}

/// What is asked where nothing else is: a search for a common word, which most peers may make.
const USUAL: &str =
    "/service/ipbx/json.php/restricted/pbx_services/phonebook?act=search&search=martin";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usual_request_is_of_the_phonebook() {
        assert!(USUAL.strip_prefix(crate::lookup::PATH).is_some_and(|rest| rest.starts_with('?')));
    }

    #[test]
    fn a_url_is_cut_and_not_normalized() {
        for (url, authority, target) in [
            ("http://gw:9480/a/../b?c=d", Some("gw:9480"), "/a/../b?c=d"),
            ("HTTPS://gw", Some("gw"), "/"),
            ("http://gw?act=list", Some("gw"), "/?act=list"),
            ("//a//b", None, "//a//b"),
        ] {
            let read = Url::read(url.as_bytes()).unwrap();
            assert_eq!(read.authority, authority.map(str::as_bytes), "{url}");
            assert_eq!(read.target, target.as_bytes(), "{url}");
        }
        for url in ["ftp://gw/", "gw:9480/x", ""] {
            assert!(Url::read(url.as_bytes()).is_err(), "{url}");
        }
    }

    #[test]
    fn the_name_in_a_handshake_is_the_urls_host_unless_that_is_an_address() {
        for (url, name) in [
            ("https://GW.example.:9443/a", Some("gw.example")),
            ("https://192.0.2.1:9443/", None),
            ("https://[2001:db8::1]/", None),
            ("/a", None),
        ] {
            assert_eq!(Url::read(url.as_bytes()).unwrap().server_name().as_deref(), name, "{url}");
        }
    }
}
