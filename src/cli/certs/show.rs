//! `certs show`: what is there, for whom, until when.

use std::io::{self, IsTerminal};
use std::path::Path;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::super::check::show as show_problems;
use super::super::serve::renderer;
use super::super::usage::Misuse;
use super::{Exit, Show, print, print_error, print_json};
use crate::config::Config;
use crate::pki::{Holding, KeyState, Row, State, files_in, of_config, of_files};
use crate::x509::{Certificate, Hex};

/// Runs the command. `directory` is the one that was given, or the usual one.
pub(super) fn run(options: &Show, config: &Path, directory: &Path) -> Exit {
    let Show { files, json, place } = options;
    let is_given = place.directory.is_some();
    if is_given && !files.is_empty() {
        let what = "`certs show` takes files or --directory, not both";
        return Misuse::new("certs show", what).report();
    }
    let now = Timestamp::now();
    let (rows, mut finding) = match () {
        () if !files.is_empty() => (of_files(files), false),
        () if is_given => match files_in(directory) {
            Ok(files) => (of_files(&files), false),
            Err(error) => {
                print_error(&format!("{} cannot be read: {error}", directory.display()));
                return Exit::Failed;
            }
        },
        () => configured(config, directory),
    };
    let alone = !files.is_empty() || is_given || finding;
    // What nothing uses harms nobody, unless it was asked for.
    finding |= rows
        .iter()
        .filter(|row| alone || !row.purposes.is_empty())
        .any(|row| row.state(now).is_finding());
    let exit = if *json {
        print_json(&rows.iter().map(|row| as_json(row, now)).collect::<Value>())
    } else if rows.is_empty() {
        print("no certificates\n")
    } else {
        print(&rows.iter().map(|row| as_text(row, now)).collect::<Vec<_>>().join("\n"))
    };
    if finding && exit == Exit::Ok { Exit::Findings } else { exit }
}

/// What the configuration uses. Where it cannot be read that is said, and the directory shown.
fn configured(config: &Path, directory: &Path) -> (Vec<Row>, bool) {
    match Config::load(config) {
        Ok((config, _)) => (of_config(&config, directory), false),
        Err(problems) => {
            let stderr = renderer(io::stderr().is_terminal());
            show_problems(&format!("{}\n", problems.render(&stderr)));
            print_error(&format!(
                "the configuration cannot be read; what is in {} follows",
                directory.display()
            ));
            (of_files(&files_in(directory).unwrap_or_default()), true)
        }
    }
}

fn as_text(row: &Row, now: Timestamp) -> String {
    let mut lines = Vec::new();
    let mut file = row.file.display().to_string();
    if let Holding::Certificate { number, of: of @ 2.., .. } = row.holding {
        file.push_str(&format!(" ({number} of {of})"));
    }
    let mut line = |what: &str, text: &str| lines.push(format!("    {what:<9} {text}\n"));
    for purpose in &row.purposes {
        line("used by", purpose);
    }
    match &row.holding {
        Holding::Broken(why) => line("BROKEN", why),
        Holding::Certificate { certificate, .. } => {
            line("subject", &certificate.subject);
            match certificate.names() {
                none if none.is_empty() => {}
                names => line("names", &names),
            }
            line("issuer", &certificate.issuer);
            line("until", &until(certificate, now));
            line("SHA-256", &Hex(&certificate.sha256).to_string());
            line("key", &format!("public_key_sha256 = [\"{}\"]", Hex(&certificate.spki_sha256)));
        }
        Holding::Pin { of_key, sha256 } => {
            let what = if *of_key { "public key" } else { "SHA-256" };
            line("pins", &format!("{what} {}; its certificate is in no file here", Hex(sha256)));
        }
        Holding::Revocations(list) => {
            line("issuer", &list.issuer);
            line("revokes", &list.revoked.to_string());
            line("made", &list.this_update.to_string());
            let next = list.next_update.map_or_else(|| "never".to_owned(), |next| next.to_string());
            let late = if row.state(now) == State::Expired { ", EXPIRED" } else { "" };
            line("next", &format!("{next}{late}"));
        }
    }
    if let Some(fault) = &row.fault {
        line("BROKEN", fault);
    }
    if let Some(key) = &row.key {
        let file = key.file.display();
        line(
            "",
            &match &key.state {
                KeyState::Belongs => format!("{file} is its private key"),
                KeyState::Unread => {
                    format!("{file} may not be read by you, so it was not compared")
                }
                KeyState::Uncompared => {
                    format!("{file} lies beside it, and was not compared with it")
                }
                KeyState::Exposed(mode) => format!(
                    "EXPOSED: {file} is its private key, and has mode {mode:04o}: everybody on this host may read it"
                ),
                KeyState::Broken(why) => format!("BROKEN: {file}: {why}"),
            },
        );
    }
    format!("{file}\n{}", lines.concat())
}

/// A certificate's end, and what there is to say of its dates.
fn until(certificate: &Certificate, now: Timestamp) -> String {
    let (end, days) = (certificate.not_after, certificate.days_left(now));
    let days = format!("{days} {} left", if days == 1 { "day" } else { "days" });
    let left = match certificate.is_in_date(now) {
        false if now < certificate.not_before => {
            return format!("{end}; NOT VALID before {}", certificate.not_before);
        }
        false => "EXPIRED".to_owned(),
        true if end.duration_since(now) <= crate::tls::EXPIRY_NOTICE => {
            format!("EXPIRES SOON: {days}")
        }
        true => days,
    };
    format!("{end}, {left}")
}

fn as_json(row: &Row, now: Timestamp) -> Value {
    let mut object = json!({
        "file": row.file.to_string_lossy(),
        "used_by": row.purposes,
        "state": row.state(now).as_str(),
        "certificate": null,
        "revocation_list": null,
        "pin": null,
        "error": row.fault,
        "private_key": null,
    });
    match &row.holding {
        Holding::Broken(why) => object["error"] = json!(why),
        Holding::Certificate { certificate, number, of } => {
            object["certificate"] = json!({
                "number": number,
                "of": of,
                "subject": certificate.subject,
                "issuer": certificate.issuer,
                "serial": certificate.serial,
                "common_name": certificate.common_name,
                "dns_names": certificate.dns_names,
                "uris": certificate.uris,
                "ip_addresses": certificate.ip_addresses,
                "other_names": certificate.other_names,
                "is_authority": certificate.is_authority,
                "not_before": certificate.not_before.to_string(),
                "not_after": certificate.not_after.to_string(),
                "days_left": certificate.days_left(now),
                "sha256": Hex(&certificate.sha256).to_string(),
                "public_key_sha256": Hex(&certificate.spki_sha256).to_string(),
            });
        }
        Holding::Pin { of_key, sha256 } => {
            let key = if *of_key { "public_key_sha256" } else { "sha256" };
            object["pin"] = json!({ key: Hex(sha256).to_string() });
        }
        Holding::Revocations(list) => {
            object["revocation_list"] = json!({
                "issuer": list.issuer,
                "this_update": list.this_update.to_string(),
                "next_update": list.next_update.map(|next| next.to_string()),
                "revoked": list.revoked,
            });
        }
    }
    if let Some(key) = &row.key {
        let (belongs, fault) = match &key.state {
            KeyState::Belongs => (Some(true), None),
            KeyState::Exposed(mode) => (Some(true), Some(format!("mode {mode:04o}"))),
            KeyState::Unread | KeyState::Uncompared => (None, None),
            KeyState::Broken(why) => (Some(false), Some(why.clone())),
        };
        object["private_key"] =
            json!({ "file": key.file.to_string_lossy(), "belongs": belongs, "fault": fault });
    }
    object
}
