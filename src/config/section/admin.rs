//! `[admin]`: where the running gateway shows its figures, and to whom.

use std::fmt;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use subtle::ConstantTimeEq;

use crate::config::document::diagnostic::{Diagnostic, shown};
use crate::config::document::{Field, Section};
use crate::config::section::control::socket_path;
use crate::config::section::listen::{Listener, overlap, server_name};
use crate::config::section::listen_tls;
use crate::config::value::authority;
use crate::files::{self, FileFault, Most};
use crate::location::Located;
use crate::tls::TlsSettings;

/// The `[admin]` section.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Admin {
    /// Where it listens; `None`: nowhere.
    pub address: Located<Option<AdminAddress>>,
    /// Who asks has to have the token in this file; `None`: whoever can connect may ask.
    pub token_file: Option<PathBuf>,
    /// The names that requests may have besides addresses and `localhost`, in lower case and without a final dot.
    pub server_names: Vec<String>,
    /// Its certificate, where it speaks TLS.
    pub tls: Option<TlsSettings>,
    /// Whether it may do without TLS beyond this host.
    pub danger_plain_admin: bool,
}

/// Where the admin listener is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AdminAddress {
    /// A unix socket.
    Unix(PathBuf),
    /// An address and a port; port 0 lets the kernel choose.
    Tcp(SocketAddr),
}

impl AdminAddress {
    /// Whether only this host reaches it.
    pub fn is_of_this_host(&self) -> bool {
        match self {
            Self::Unix(_) => true,
            Self::Tcp(address) => address.ip().to_canonical().is_loopback(),
        }
    }
}

/// As the configuration writes it.
impl fmt::Display for AdminAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "{UNIX}{}", path.display()),
            Self::Tcp(address) => write!(f, "{address}"),
        }
    }
}

/// What whoever asks the admin listener has to show.
#[derive(Clone)]
pub struct Token(String);

/// It is a secret.
impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token")
    }
}

/// Why a file holds no token.
#[derive(Debug, thiserror::Error)]
pub enum TokenFault {
    /// It cannot be read.
    #[error(transparent)]
    File(#[from] FileFault),
    /// Everybody on this host may read or write it.
    #[error(
        "everybody on this host may use it (mode {0:04o}): `chmod o=` it, and choose another token if others have read it"
    )]
    Exposed(u32),
    /// It holds something else.
    #[error(
        "it holds no token: needed is one line of {LEAST_TOKEN} to {MOST_TOKEN} letters, digits or `-._~+/=` (`openssl rand -hex 32` makes one)"
    )]
    NoToken,
}

impl Token {
    /// Reads the token in `file`.
    ///
    /// # Errors
    /// [`TokenFault`]
    pub fn read(file: &Path) -> Result<Self, TokenFault> {
        let bytes = files::read(file, Most::TEXT)?;
        let mode = files::open(file)?.metadata().map_err(FileFault::from)?.permissions().mode();
        if mode & 0o007 != 0 {
            return Err(TokenFault::Exposed(mode & 0o777));
        }
        let token = bytes.trim_ascii();
        let fits = (LEAST_TOKEN..=MOST_TOKEN).contains(&token.len());
        if !fits || !token.iter().copied().all(is_of_token) {
            return Err(TokenFault::NoToken);
        }
        String::from_utf8(token.to_vec()).map(Self).map_err(|_| TokenFault::NoToken)
    }

    /// Whether `shown` is this one. How long that takes does not tell how much of it is right.
    pub fn is(&self, shown: &[u8]) -> bool {
        // Of equal length, whatever was shown.
        let digest = |text: &[u8]| ring::digest::digest(&ring::digest::SHA256, text);
        digest(shown).as_ref().ct_eq(digest(self.0.as_bytes()).as_ref()).into()
    }
}

/// Of RFC 6750's `b64token`.
fn is_of_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~+/=".contains(&byte)
}

/// Reads `[admin]`, beside the gateway's listeners.
pub(crate) fn read(mut section: Section<'_>, base: &Path, listeners: &[Listener]) -> Admin {
    let written = section.take("address");
    let location = written.as_ref().map_or_else(|| section.location(), Field::location);
    let default = AdminAddress::Unix(PathBuf::from(DEFAULT_ADMIN_SOCKET));
    let address = match &written {
        Some(field) => address(field, base).unwrap_or(Some(default)),
        None => Some(default),
    };
    let token = section.take("token_file").filter(|field| field.literal() != Some(""));
    let token_file = token.as_ref().and_then(|field| token_file(field, base));
    let names = section.take("server_names").and_then(|field| field.list()).unwrap_or_default();
    let server_names = names.iter().filter_map(server_name).collect();
    let tls = section.take("tls");
    let settings = tls.as_ref().and_then(|field| listen_tls::own_settings(field, base));
    let danger_plain_admin = section.value("danger_plain_admin", false, Field::boolean);
    if let (Some(field), Some(address)) = (&written, &address) {
        if !address.is_of_this_host() {
            require(field, token.is_some(), tls.is_some() || danger_plain_admin);
        }
        if let AdminAddress::Tcp(address) = address {
            apart(field, *address, listeners);
        }
    }
    if let Some(field) = tls.as_ref().filter(|_| matches!(address, Some(AdminAddress::Unix(_)))) {
        let message = "the admin listener is a unix socket, which needs no TLS and speaks none";
        let diagnostic = Diagnostic::new(message, "allowed: beside an address with a port");
        field.error(diagnostic.help("remove tls, or set address = \"127.0.0.1:9481\""));
    }
    let written = written.is_some();
    section.finish();
    Admin {
        address: Located { value: address, location, written },
        token_file,
        server_names,
        tls: settings,
        danger_plain_admin,
    }
}

/// An address of the admin listener's; `Some(None)` where there is to be none.
fn address(field: &Field<'_>, base: &Path) -> Option<Option<AdminAddress>> {
    if field.is_number() {
        field.error(Diagnostic::new(format!("{} is no address", field.written()), FORM));
        return None;
    }
    let text = field.text()?;
    if text.is_empty() {
        return Some(None);
    }
    if let Some(path) = text.strip_prefix(UNIX) {
        return socket_path(field, path, base).map(|path| Some(AdminAddress::Unix(path)));
    }
    if text.contains('/') {
        let message = format!("{} is no address with a port", shown(&text));
        let help = field.line(&format!("\"{UNIX}{text}\""));
        field.error(Diagnostic::new(message, FORM).help(format!("{help} for a unix socket")));
        return None;
    }
    // What is said of a listener that all reach does not fit here.
    let read = authority::socket(&text).map_err(|found| Diagnostic::new(found.message, FORM));
    let address = field.accept(read)?;
    if address.ip().to_canonical().is_multicast() {
        field.error(Diagnostic::new(format!("{} is no address of a host", address.ip()), FORM));
        return None;
    }
    Some(Some(AdminAddress::Tcp(address)))
}

/// What other hosts may reach is not to be read by everybody, nor on its way.
fn require(field: &Field<'_>, token: bool, private: bool) {
    let message = |what: &str| {
        format!("other hosts reach {}, and the admin listener has no {what}", field.written())
    };
    if !token {
        let diagnostic = Diagnostic::new(message("token"), "allowed: with token_file");
        field.error(diagnostic.help(
            "add token_file = \"admin.token\" (`openssl rand -hex 32` makes a token), or listen on 127.0.0.1",
        ));
    }
    if !private {
        let diagnostic = Diagnostic::new(message("TLS"), "allowed: with tls");
        field.error(diagnostic.help(
            "add tls = { certificate = \"…\", private_key = \"…\" }, or listen on 127.0.0.1; \
             danger_plain_admin = true sends the token and all figures readable over the network",
        ));
    }
}

/// The gateway's own listeners have their addresses for themselves.
fn apart(field: &Field<'_>, address: SocketAddr, listeners: &[Listener]) {
    if let Some(other) = listeners.iter().find(|other| overlap(other.address, address)) {
        let message =
            format!("{address} is taken already: {} listens on {}", other.location, other.address);
        let label = "allowed: an address that no [[listen]] has";
        field.error(Diagnostic::new(message, label).help("choose another port, such as 9481"));
    }
}

/// The token's file; what is wrong with it is found now.
fn token_file(field: &Field<'_>, base: &Path) -> Option<PathBuf> {
    let file = field.path(base)?;
    match Token::read(&file) {
        Ok(_) => {}
        Err(TokenFault::File(fault))
            if fault.kind() == Some(std::io::ErrorKind::PermissionDenied) =>
        {
            let message = format!(
                "{}: {fault}; let the gateway's user read it (it may belong to root with the gateway's group, mode 0640)",
                file.display()
            );
            field.error(Diagnostic::new(message, "this file"));
        }
        Err(fault) => {
            field.error(Diagnostic::new(format!("{}: {fault}", file.display()), "this file"));
        }
    }
    Some(file)
}

/// Where the admin listener is unless the configuration says otherwise.
pub const DEFAULT_ADMIN_SOCKET: &str = "/run/phonebook-gateway/admin.sock";

/// What an address that is a unix socket begins with.
const UNIX: &str = "unix:";

const FORM: &str =
    "allowed: an address and a port such as \"127.0.0.1:9481\", \"unix:\" and a path, or \"\"";

/// The length of a token, in bytes.
const LEAST_TOKEN: usize = 16;
const MOST_TOKEN: usize = 1024;

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};

    use super::*;
    use crate::config::Config;

    /// What is said of a main file whose `[admin]` has these lines.
    fn said(lines: &str) -> Vec<String> {
        let main = format!(
            "[[listen]]\naddress = \"127.0.0.1:9480\"\n[upstream]\nurl = \"http://192.0.2.1\"\n\
             source = \"192.0.2.2\"\n[admin]\n{lines}\n"
        );
        match Config::from_texts(("gateway.toml", &main), &[]) {
            Ok(_) => Vec::new(),
            Err(problems) => problems.iter().map(|it| it.message().to_owned()).collect(),
        }
    }

    #[test]
    fn beyond_this_host_it_takes_a_token_and_tls() {
        for address in
            ["127.0.0.1:9481", "127.9.9.9:1", "[::1]:9481", "[::ffff:127.0.0.1]:9481", "unix:a", ""]
        {
            assert_eq!(said(&format!("address = \"{address}\"")), [""; 0], "{address}");
        }
        let taken = said("address = \"127.0.0.1:9480\"");
        assert!(taken[0].contains("taken already: gateway.toml:1 listens on"), "{taken:?}");
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("token");
        fs::write(&file, "0123456789abcdef").unwrap();
        fs::set_permissions(&file, Permissions::from_mode(0o600)).unwrap();
        let token = format!("token_file = {file:?}\n");
        for address in ["[::]:9481", "0.0.0.0:9481", "192.0.2.2:9481", "[2001:db8::1]:9481"] {
            let address = format!("address = \"{address}\"\n");
            let both = said(&address);
            assert!(both.len() == 2 && both[0].contains("no token"), "{both:?}");
            assert!(both[1].contains("no TLS"), "{both:?}");
            assert_eq!(said(&format!("{address}{token}")), both[1..]);
            let plain = "danger_plain_admin = true\n";
            assert_eq!(said(&format!("{address}{plain}")), both[..1]);
            assert_eq!(said(&format!("{address}{token}{plain}")), [""; 0]);
        }
    }

    #[test]
    fn a_token_is_one_line_that_not_everybody_may_read() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("token");
        let read = |text: &str, mode: u32| {
            fs::write(&file, text).unwrap();
            fs::set_permissions(&file, Permissions::from_mode(mode)).unwrap();
            Token::read(&file)
        };
        let token = read("0123456789abcdef\n", 0o640).unwrap();
        assert!(token.is(b"0123456789abcdef"));
        for wrong in ["", "0123456789abcde", "0123456789abcdef\n", "0123456789abcdeF"] {
            assert!(!token.is(wrong.as_bytes()), "{wrong:?}");
        }
        assert_eq!(format!("{token:?}"), "Token");
        for mode in [0o644, 0o602, 0o641] {
            let fault = read("0123456789abcdef", mode);
            assert!(matches!(fault, Err(TokenFault::Exposed(found)) if found == mode));
        }
        for text in ["", "short", "0123456789 abcdef", "0123456789abcdef\n2", "0123456789abcdéf"] {
            assert!(matches!(read(text, 0o600), Err(TokenFault::NoToken)), "{text:?}");
        }
        assert!(matches!(Token::read(directory.path()), Err(TokenFault::File(_))));
    }
}
