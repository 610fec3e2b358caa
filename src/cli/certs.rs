//! `certs`: makes certificates, and says what to write where.

use std::path::{Path, PathBuf};

use jiff::Timestamp;

use super::config_file::ConfigFile;
use super::{Exit, number, print, print_error, print_json};
use crate::config::escaped;
use crate::pki::{
    AUTHORITY, AUTHORITY_DAYS, Authority, CertsError, For, LEAF_DAYS, ServerName, Written,
    make_directory, write_pair,
};
use crate::policy::PeerName;
use crate::x509::{Certificate, Hex};

mod show;

/// make certificates for the gateway and its peers, and show them
#[derive(Debug, clap::Args)]
#[command(
    before_help = "Makes certificates for the gateway and its peers with a private authority, and shows which there \
                   are. Nothing is ever overwritten; keys have mode 0600.",
    after_help = "Exit codes: 0 success, 1 `show`: something is expired or broken, or the configuration cannot be read, 2 \
                  the command line is wrong, 3 nothing was made (a file exists, say).",
    subcommand_value_name = "COMMAND"
)]
pub(super) struct Options {
    #[command(subcommand)]
    act: Act,
}

/// What to do with certificates.
#[derive(Debug, clap::Subcommand)]
enum Act {
    Init(Init),
    Server(Server),
    Peer(Peer),
    Show(Show),
}

/// make the authority: ca.pem and ca.key
#[derive(Debug, clap::Args)]
#[command(before_help = "Makes the authority that signs all others: ca.pem and ca.key.", after_help = MADE)]
struct Init {
    /// what the authority is called
    #[arg(long, value_name = "TEXT", value_parser = authority_name)]
    name: Option<String>,
    /// for how long it is valid
    #[arg(long, value_name = "N", value_parser = days, default_value_t = AUTHORITY_DAYS)]
    days: u32,
    #[command(flatten)]
    place: Directory,
}

/// make NAME.pem and NAME.key for a listener
#[derive(Debug, clap::Args)]
#[command(
    before_help = "Makes NAME.pem and NAME.key for a listener that callers know by these names and addresses.",
    after_help = MADE
)]
struct Server {
    /// the host names and addresses that callers use, such as gateway.example.org 192.0.2.1; the first names the files
    #[arg(value_name = "NAME", required = true, value_parser = server_name)]
    names: Vec<ServerName>,
    #[command(flatten)]
    made: Issued,
}

/// make NAME.pem and NAME.key for a peer
#[derive(Debug, clap::Args)]
#[command(
    before_help = "Makes NAME.pem and NAME.key for the peer whose policy is NAME.toml.",
    after_help = MADE
)]
struct Peer {
    /// the peer: the name of its policy file, without .toml
    #[arg(value_parser = peer_name)]
    name: PeerName,
    #[command(flatten)]
    made: Issued,
}

/// What both certificates that the authority issues are made with.
#[derive(Debug, clap::Args)]
struct Issued {
    /// for how long it is valid, and no longer than the authority
    #[arg(long, value_name = "N", value_parser = days, default_value_t = LEAF_DAYS)]
    days: u32,
    #[command(flatten)]
    place: Directory,
}

/// list what the configuration uses, and what else is in the directory
#[derive(Debug, clap::Args)]
#[command(
    before_help = "Lists what the configuration uses, and what else is in the directory: for whom, until when, and the \
                   SHA-256 to pin. With FILE or --directory what is there alone.",
    after_help = "Exit codes: 0 success, 1 something is expired or broken, or the configuration cannot be read, 2 the \
                  command line is wrong, 3 the directory cannot be read."
)]
struct Show {
    /// certificates and keys
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,
    /// as a JSON array: file, used_by, state (valid, expires-soon, expired, not-yet-valid, broken), and what the file
    /// holds
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    place: Directory,
}

/// Where certificates are.
#[derive(Debug, clap::Args)]
struct Directory {
    /// where the files are, `certs` beside the configuration unless given
    #[arg(long, value_name = "DIR")]
    directory: Option<PathBuf>,
}

fn days(text: &str) -> Result<u32, String> {
    number::whole(text, MOST_DAYS)
}

fn authority_name(text: &str) -> Result<String, String> {
    let length = text.chars().count();
    if text.trim() != text || !(1..=64).contains(&length) || text.chars().any(char::is_control) {
        let text = escaped(text);
        return Err(format!("`{text}` is not 1 to 64 characters without blanks around them"));
    }
    Ok(text.to_owned())
}

fn server_name(text: &str) -> Result<ServerName, String> {
    ServerName::new(not_reserved(text)?)
}

fn peer_name(text: &str) -> Result<PeerName, String> {
    PeerName::new(not_reserved(text)?).ok_or_else(|| {
        format!(
            "`{}` is no peer's name: a small letter or digit, then up to 63 small letters, digits, `.`, `_` and `-`, as in the name of its policy file",
            escaped(text)
        )
    })
}

/// The authority's own files have this name.
fn not_reserved(name: &str) -> Result<&str, String> {
    if name.eq_ignore_ascii_case(AUTHORITY) {
        Err(format!("`{AUTHORITY}` is the authority's own name; choose another"))
    } else {
        Ok(name)
    }
}

/// Runs the command.
pub(super) fn run(options: &Options, config: &ConfigFile) -> Exit {
    let config = config.path();
    let at = |given: &Directory| given.directory.clone().unwrap_or_else(|| beside(config));
    let made = match &options.act {
        Act::Show(options) => return show::run(options, config, &at(&options.place)),
        Act::Init(Init { name, days, place }) => {
            init(&Place { directory: &at(place), config }, name.as_deref(), *days)
        }
        Act::Server(Server { names, made: Issued { days, place } }) => {
            let mut once: Vec<ServerName> = Vec::with_capacity(names.len());
            for name in names {
                if !once.contains(name) {
                    once.push(name.clone());
                }
            }
            issue(&Place { directory: &at(place), config }, &For::Server(once), *days)
        }
        Act::Peer(Peer { name, made: Issued { days, place } }) => {
            issue(&Place { directory: &at(place), config }, &For::Peer(name.clone()), *days)
        }
    };
    match made {
        Ok(text) => print(&text),
        Err(error) => {
            print_error(&error.to_string());
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
        For::Server(_) => pair.certificate.names(),
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

const MADE: &str = "Exit codes: 0 created, 2 the command line is wrong, 3 nothing was created (such as where a file exists).";

/// The most days that may be asked for: a hundred years.
const MOST_DAYS: u32 = 36_500;
