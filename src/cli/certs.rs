//! `certs`: makes certificates, and says what to write where.

use std::path::{Path, PathBuf};

use jiff::Timestamp;

use super::args::{CertsAct, CertsOptions};
use super::{Exit, complain, say};
use crate::pki::{AUTHORITY, Authority, CertsError, For, Written, make_directory, write_pair};
use crate::x509::{Certificate, Hex};

mod show;

/// Runs the command.
pub(super) fn run(options: &CertsOptions) -> Exit {
    let directory = options.directory.clone().unwrap_or_else(|| beside(&options.config));
    let place = Place { directory: &directory, config: &options.config };
    let made = match &options.act {
        CertsAct::Show { files, json } => return show::run(options, &directory, files, *json),
        CertsAct::Init { name, days } => init(&place, name.as_deref(), *days),
        CertsAct::Issue { what, days } => issue(&place, what, *days),
    };
    match made {
        Ok(text) => say(&text),
        Err(error) => {
            complain(&error.to_string());
            Exit::Failed
        }
    }
}

/// The directory `certs` beside the configuration.
fn beside(config: &Path) -> PathBuf {
    config.parent().unwrap_or_else(|| Path::new("")).join("certs")
}

/// Where files are made, and the configuration that will name them.
struct Place<'a> {
    directory: &'a Path,
    config: &'a Path,
}

impl Place<'_> {
    /// How the configuration names a file of the directory: relative to itself where it can.
    fn named(&self, file: &Path) -> String {
        let base = self.config.parent().unwrap_or_else(|| Path::new(""));
        let relative = file.strip_prefix(base).ok().filter(|rest| rest.is_relative());
        let absolute = || std::path::absolute(file).unwrap_or_else(|_| file.to_owned());
        quoted(&relative.map_or_else(absolute, Path::to_owned).to_string_lossy())
    }
}

/// `text` as a TOML string: one of JSON is one.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

fn init(place: &Place<'_>, name: Option<&str>, days: u32) -> Result<String, CertsError> {
    let pair = Authority::create(name, days, Timestamp::now())?;
    let made = make_directory(place.directory)?;
    let written = write_pair(place.directory, AUTHORITY, &pair)?;
    let (certificate, key) = (written.certificate.display(), written.private_key.display());
    let mut text = format!(
        "{certificate} is the new authority, {}, valid until {}.\n\
         {key} is its key. Whoever has it can make certificates that you trust: keep it from\n\
         everybody, the gateway too, and keep a copy where you keep passwords.\n",
        pair.certificate.subject, pair.certificate.not_after
    );
    if made && is_root() {
        text.push_str(&format!(
            "\nThe gateway has to enter the new directory, as its own user:\n\n    chgrp phonebook-gateway {}\n",
            place.directory.display()
        ));
    }
    text.push_str(
        "\nNext: `phonebook-gateway certs server NAME...` for the names by which callers know this\n\
         host, and `phonebook-gateway certs peer NAME` for each peer.\n",
    );
    Ok(text)
}

fn issue(place: &Place<'_>, what: &For, days: u32) -> Result<String, CertsError> {
    let authority = Written::named(place.directory, AUTHORITY);
    let opened = Authority::open(&authority.certificate, &authority.private_key)?;
    let pair = opened.issue(what, days, Timestamp::now())?;
    let name = match what {
        // An IPv6 address has colons, which not every file system takes.
        For::Server(names) => {
            names.first().map(|name| name.to_string().replace(':', "-")).unwrap_or_default()
        }
        For::Peer(name) => name.to_string(),
    };
    let written = write_pair(place.directory, &name, &pair)?;
    let whose = match what {
        For::Server(_) => show::names(&pair.certificate),
        For::Peer(name) => format!("the peer {name}"),
    };
    let made = format!(
        "{} is the new certificate, for {whose}, valid until {}.\n{} is its key.\n",
        written.certificate.display(),
        pair.certificate.not_after,
        written.private_key.display()
    );
    let paste = match what {
        For::Server(_) => for_listener(place, &written, &authority),
        For::Peer(_) => for_peer(place, &name, &pair.certificate, &authority),
    };
    Ok(made + &paste)
}

/// What to do with a listener's certificate.
fn for_listener(place: &Place<'_>, written: &Written, authority: &Written) -> String {
    let mut text = format!(
        "\nIn the [[listen]] section of {}:\n\n\
         tls = {{ certificate = {}, private_key = {}, client_ca = {} }}\n\n\
         client_ca lets policies name peers' certificates; leave it out where they name none.\n\
         Callers trust this certificate once they have {}.\n",
        place.config.display(),
        place.named(&written.certificate),
        place.named(&written.private_key),
        place.named(&authority.certificate),
        authority.certificate.display(),
    );
    if is_root() {
        text.push_str(&format!(
            "\nThe gateway has to read its key, as its own user:\n\n    chown phonebook-gateway {}\n",
            written.private_key.display()
        ));
    }
    text
}

/// What to do with a peer's certificate.
fn for_peer(
    place: &Place<'_>,
    name: &str,
    certificate: &Certificate,
    authority: &Written,
) -> String {
    let (key, by_name) = match certificate.dns_names.first() {
        Some(name) => ("san_dns", name.as_str()),
        None => ("common_name", name),
    };
    format!(
        "\nIn the policy {name}.toml:\n\n\
         [certificate]\n\
         public_key_sha256 = [\"{}\"]\n\n\
         or, for a listener with client_ca = {}, by name, which a renewal with another key keeps:\n\n\
         [certificate]\n\
         {key} = [{}]\n\n\
         Both want its address too; require = \"certificate\" lets it come from anywhere.\n\n\
         Take {name}.pem, {name}.key and {} to the far XiVO, delete {name}.key here, and try there:\n\n\
         curl --cert {name}.pem --key {name}.key --cacert ca.pem \\\n    \
         'https://GATEWAY:9480/service/ipbx/json.php/restricted/pbx_services/phonebook?act=search&search=doe'\n",
        Hex(&certificate.spki_sha256),
        place.named(&authority.certificate),
        quoted(by_name),
        authority.certificate.file_name().unwrap_or_default().display(),
    )
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}
