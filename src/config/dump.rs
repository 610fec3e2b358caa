//! The configuration as it takes effect, as text that can be read again: what the files say, what the environment says
//! in them, and every default. As `nginx -T` it has each file under a line that names it.
//!
//! Structures are taken apart key by key, so that a new one that is not written here does not compile. No file that is
//! named is opened: of a private key the name stands here and nothing else. A key whose *value* is a secret must not be
//! written here.

use std::fmt::Display;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::access_log::format::PREDEFINED;
use crate::access_log::{Condition, Format, LogFormat, LogSettings, LogTarget, SearchTerms};
use crate::config::document::literal::string;
use crate::config::document::units::{show_duration, show_size};
use crate::config::section::access_log::syslog;
use crate::config::value::address_list;
use crate::config::{
    Admin, AdminAddress, CheckSection, CircuitSection, Config, Limits, Listener, Reload, Upstream,
};
use crate::identity::address_list::Senders;
use crate::limits::Ceilings;
use crate::policy::{Action, CertificateRule, Host, Policy, Rate};
use crate::resolver::Settings;
use crate::tls::TlsSettings;
use crate::x509::Hex;

impl Config {
    /// All files, as they take effect.
    pub fn dump(&self) -> String {
        let ceilings = Ceilings::new(self.limits.max_connections, self.limits.unknown_connections);
        let mut text = Text::default();
        text.file(&self.file);
        self.write_main(&mut text);
        for policy in &self.policies {
            text.0.push('\n');
            text.file(policy.location.file());
            write_policy(&mut text, policy, ceilings.share(None));
        }
        text.0
    }

    fn write_main(&self, text: &mut Text) {
        let Self {
            file: _,
            state_directory,
            state_directory_location: _,
            workers,
            workers_location: _,
            listeners,
            upstream,
            limits,
            access_logs,
            access_log_locations: _,
            log_formats,
            policies_directory,
            policies: _,
            broken: _,
            whoami,
            names,
            control_socket,
            admin,
            reload,
            revision: _,
            sources: _,
            stamps: _,
            off: _,
            kept_off: _,
        } = self;
        text.expanded("state_directory", &absolute(state_directory));
        text.key("workers", workers);
        listeners.iter().for_each(|listener| write_listener(text, listener));
        write_upstream(text, upstream);
        text.section("[policies]");
        text.expanded("directory", &absolute(policies_directory));
        write_reload(text, *reload);
        write_names(text, names);
        text.section("[control]");
        let socket = control_socket.value.as_deref().map(absolute).unwrap_or_default();
        text.expanded("socket", &socket);
        write_admin(text, admin);
        write_limits(text, limits);
        access_logs.iter().for_each(|log| write_log(text, log, log_formats));
        if !log_formats.is_empty() {
            text.section("[log_format]");
        }
        for (name, format) in log_formats {
            text.key(&string(name), strings(format.written()));
        }
        text.section("[whoami]");
        text.key("enabled", whoami);
    }
}

/// Lines of TOML.
#[derive(Default)]
struct Text(String);

impl Text {
    /// The line above a file, as nginx writes it.
    fn file(&mut self, path: &Path) {
        let path = absolute(path);
        self.0.push_str(&format!("# configuration file {}:\n", path.escape_debug()));
    }

    fn section(&mut self, header: &str) {
        self.0.push_str(&format!("\n{header}\n"));
    }

    fn key(&mut self, key: &str, value: impl Display) {
        let value = value.to_string();
        self.0.push_str(&format!("{key} = {value}\n"));
    }

    /// A text in which a variable may stand. What one holds is not expanded again, and there is no way to write it.
    fn expanded(&mut self, key: &str, value: &str) {
        if value.contains("${") {
            self.note(&format!("{key} holds what reads as a variable, and cannot be read again"));
        }
        self.key(key, string(value));
    }

    fn note(&mut self, note: &str) {
        self.0.push_str(&format!("# {note}\n"));
    }
}

fn write_listener(text: &mut Text, listener: &Listener) {
    let Listener {
        address,
        server_names,
        proxy_protocol_from,
        trusted_proxies,
        forwarded_header,
        tls,
        http2,
        location: _,
    } = listener;
    text.section("[[listen]]");
    text.key("address", string(&address.to_string()));
    text.key("server_names", strings(server_names));
    text.key("proxy_protocol_from", senders(proxy_protocol_from));
    text.key("trusted_proxies", senders(trusted_proxies));
    text.key("forwarded_header", string(forwarded_header.name()));
    if let Some(tls) = tls {
        if tls.files().any(|file| absolute(file).contains("${")) {
            text.note("tls holds what reads as a variable, and cannot be read again");
        }
        text.key("tls", tls_files(tls));
    }
    text.key("http2", http2);
}

fn write_admin(text: &mut Text, admin: &Admin) {
    let Admin { address, token_file, server_names, tls, danger_plain_admin } = admin;
    text.section("[admin]");
    let address = match &address.value {
        Some(AdminAddress::Unix(path)) => AdminAddress::Unix(absolute(path).into()).to_string(),
        Some(address @ AdminAddress::Tcp(_)) => address.to_string(),
        None => String::new(),
    };
    text.expanded("address", &address);
    let token_file = token_file.as_deref().map(absolute).unwrap_or_default();
    text.expanded("token_file", &token_file);
    text.key("server_names", strings(server_names));
    if let Some(tls) = tls {
        text.key("tls", tls_files(tls));
    }
    text.key("danger_plain_admin", danger_plain_admin);
}

fn tls_files(tls: &TlsSettings) -> String {
    let TlsSettings { certificates, client_ca, crl, location: _ } = tls;
    let (chains, keys): (Vec<_>, Vec<_>) =
        certificates.iter().map(|pair| (path(&pair.certificate), path(&pair.private_key))).unzip();
    let mut entries =
        vec![format!("certificate = {}", list(chains)), format!("private_key = {}", list(keys))];
    entries.extend(client_ca.iter().map(|file| format!("client_ca = {}", path(file))));
    entries.extend(crl.iter().map(|file| format!("crl = {}", path(file))));
    format!("{{ {} }}", entries.join(", "))
}

fn write_upstream(text: &mut Text, upstream: &Upstream) {
    let Upstream {
        // The URL says them.
        host: _,
        port: _,
        url_text,
        host_header,
        source,
        danger_loopback_source,
        connect_timeout,
        timeout,
        number_timeout,
        list_timeout,
        stall_timeout,
        answer_timeout,
        max_answer,
        tls,
        ca,
        ca_stamp: _,
        pins,
        danger_accept_any_certificate,
        send_proxy_protocol,
        circuit: CircuitSection { failures, open, max_open },
        check: CheckSection { interval, search },
        location: _,
    } = upstream;
    text.section("[upstream]");
    text.key("url", string(url_text));
    text.key("host", string(host_header));
    if let Some(source) = source {
        text.key("source", string(&source.value.to_string()));
    }
    text.key("danger_loopback_source", danger_loopback_source);
    text.key("connect_timeout", duration(*connect_timeout));
    text.key("timeout", duration(timeout.value));
    text.key("number_timeout", duration(number_timeout.value));
    text.key("list_timeout", duration(list_timeout.value));
    text.key("stall_timeout", duration(*stall_timeout));
    text.key("answer_timeout", duration(*answer_timeout));
    text.key("max_answer", size(*max_answer));
    // Without TLS these keys are errors.
    if let Some(tls) = tls {
        if let Some(ca) = ca {
            text.expanded("ca", &absolute(ca));
        }
        if !pins.is_empty() {
            text.key("pin_sha256", list(pins.iter().map(|pin| string(&pin.to_string()))));
        }
        text.key("server_name", string(&tls.server_name()));
        if *danger_accept_any_certificate {
            text.key("danger_accept_any_certificate", true);
        }
    }
    text.key("send_proxy_protocol", send_proxy_protocol);
    text.section("[upstream.circuit]");
    text.key("failures", failures);
    text.key("open", duration(*open));
    text.key("max_open", duration(*max_open));
    text.section("[upstream.check]");
    text.key("interval", duration(*interval));
    text.expanded("search", search);
}

fn write_names(text: &mut Text, names: &Settings) {
    let Settings {
        resolver,
        refresh,
        hold_nx,
        hold_timeout,
        hold_error,
        hold_obsolete,
        danger_loopback_names,
    } = names;
    text.section("[names]");
    text.key("resolver", strings(resolver.iter().map(ToString::to_string)));
    text.key("refresh", duration(*refresh));
    text.key("hold_nx", duration(*hold_nx));
    text.key("hold_timeout", duration(*hold_timeout));
    text.key("hold_error", duration(*hold_error));
    text.key("hold_obsolete", duration(*hold_obsolete));
    text.key("danger_loopback_names", danger_loopback_names);
}

fn write_reload(text: &mut Text, reload: Reload) {
    let Reload { watch, strict_boot, keep } = reload;
    text.section("[reload]");
    text.key("watch", watch);
    text.key("strict_boot", strict_boot);
    text.key("keep", keep);
}

fn write_limits(text: &mut Text, limits: &Limits) {
    let Limits {
        head_timeout,
        idle_timeout,
        write_timeout,
        max_uri,
        max_head,
        max_header_fields,
        max_requests_per_connection,
        max_connection_age,
        max_connections,
        unknown_connections,
        handshake_rate,
        drain_timeout,
        rate: gateway_rate,
        unknown_rate,
    } = limits;
    text.section("[limits]");
    text.key("head_timeout", duration(*head_timeout));
    text.key("idle_timeout", duration(*idle_timeout));
    text.key("write_timeout", duration(*write_timeout));
    text.key("max_uri", bytes(*max_uri));
    text.key("max_head", bytes(*max_head));
    text.key("max_header_fields", max_header_fields);
    text.key("max_requests_per_connection", max_requests_per_connection);
    text.key("max_connection_age", duration(*max_connection_age));
    text.key("max_connections", max_connections);
    text.key("unknown_connections", unknown_connections);
    text.key("handshake_rate", rate(handshake_rate.value));
    text.key("drain_timeout", duration(*drain_timeout));
    text.key("rate", rate(gateway_rate.value));
    text.key("unknown_rate", rate(unknown_rate.value));
}

fn write_log(text: &mut Text, log: &LogSettings, formats: &[(String, Arc<Format>)]) {
    let LogSettings { target, condition, buffer, flush, gzip, max_field, format, search_terms } =
        log;
    text.section("[[access_log]]");
    if let LogTarget::File(file) = target
        && absolute(file).contains('$')
    {
        text.note("path holds what reads as a variable, and cannot be read again");
    }
    text.key("path", log_target(target));
    if let Some(condition) = condition {
        text.key("if", log_condition(condition));
    }
    text.key("format", string(format_name(format, formats)));
    text.key("buffer", bytes(*buffer));
    // What is sent as it comes waits for nothing.
    if !matches!(target, LogTarget::Syslog(_)) {
        text.key("flush", duration(*flush));
    }
    match gzip {
        Some(level) => text.key("gzip", level),
        None => text.key("gzip", false),
    }
    text.key("max_field", bytes(*max_field));
    let word = SearchTerms::WORDS.iter().find(|(_, terms)| terms == search_terms);
    text.key("search_terms", string(word.map(|(word, _)| *word).unwrap_or_default()));
}

fn log_target(target: &LogTarget) -> String {
    match target {
        LogTarget::File(file) => path(file),
        LogTarget::PerPeer(file) => path(Path::new(&file.to_string())),
        LogTarget::Syslog(syslog) => string(&format!("syslog:{}", syslog::write(syslog))),
        LogTarget::Stdout => string("stdout"),
    }
}

fn log_condition(condition: &Condition) -> String {
    let Condition { status, peer, reason } = condition;
    let status = status.as_ref().map(|statuses| ("status", statuses.written()));
    let peer = peer.as_ref().map(|peers| ("peer", peers.written()));
    let reason = reason.as_ref().map(|reasons| ("reason", reasons.written()));
    let entries = [status, peer, reason].into_iter().flatten();
    let entries = entries.map(|(key, words)| format!("{key} = {}", strings(words)));
    format!("{{ {} }}", entries.collect::<Vec<_>>().join(", "))
}

/// The name by which a log's format is known.
fn format_name<'f>(format: &LogFormat, formats: &'f [(String, Arc<Format>)]) -> &'f str {
    let LogFormat::Compiled(format) = format else { return "combined" };
    let is_it = |other: &Format| other == &**format;
    let own = formats.iter().find(|(_, own)| is_it(own)).map(|(name, _)| name.as_str());
    let predefined = || {
        let compiled = |text| Format::compile(&[text]).is_ok_and(|known| is_it(&known));
        PREDEFINED.iter().find(|(_, text)| compiled(text)).map(|(name, _)| *name)
    };
    own.or_else(predefined).unwrap_or_default()
}

fn write_policy(text: &mut Text, policy: &Policy, share: usize) {
    let Policy {
        name: _,
        location: _,
        description,
        hosts,
        actions,
        rate: own_rate,
        concurrent,
        connections,
        min_search_length,
        enabled,
        valid_from,
        valid_until,
        certificate,
    } = policy;
    text.expanded("description", description);
    if !hosts.is_empty() {
        text.key("hosts", strings(hosts.iter().map(|host| self::host(&host.value))));
    }
    let granted = Action::ALL.into_iter().filter(|action| actions.value.contains(*action));
    text.key("actions", strings(granted.map(Action::as_str)));
    text.key("rate", rate(own_rate.value));
    text.key("concurrent", concurrent.value);
    match connections {
        Some(connections) => text.key("connections", connections.value),
        None => text.note(&format!("connections: {share}, by max_connections in [limits]")),
    }
    text.key("min_search_length", min_search_length.value);
    text.key("enabled", enabled.value);
    for (key, moment) in [("valid_from", valid_from), ("valid_until", valid_until)] {
        if let Some(moment) = moment {
            text.key(key, moment.value);
        }
    }
    if let Some(certificate) = certificate {
        write_certificate(text, certificate);
    }
}

fn write_certificate(text: &mut Text, rule: &CertificateRule) {
    let CertificateRule { public_key_sha256, san_dns, san_uri, common_name, require, location: _ } =
        rule;
    text.section("[certificate]");
    let digests = public_key_sha256.iter().map(|digest| Hex(digest).to_string()).collect();
    let lists = [
        ("public_key_sha256", &digests),
        ("san_dns", san_dns),
        ("san_uri", san_uri),
        ("common_name", common_name),
    ];
    for (key, entries) in lists {
        if !entries.is_empty() {
            text.key(key, strings(entries));
        }
    }
    text.key("require", string(require.as_str()));
}

fn host(host: &Host) -> String {
    match host {
        Host::Prefix(prefix) => address_list::show(*prefix),
        Host::Name(name) => name.clone(),
    }
}

fn senders(senders: &Senders) -> String {
    strings(senders.iter().map(|sender| address_list::show(sender.value)))
}

fn path(path: &Path) -> String {
    string(&absolute(path))
}

/// A path that leads to the same file wherever this text is read.
fn absolute(path: &Path) -> String {
    let absolute = std::path::absolute(path);
    absolute.as_deref().unwrap_or(path).to_string_lossy().into_owned()
}

fn duration(duration: Duration) -> String {
    string(&show_duration(duration))
}

fn size(size: u64) -> String {
    string(&show_size(size))
}

fn bytes(count: usize) -> String {
    size(u64::try_from(count).unwrap_or(u64::MAX))
}

fn rate(rate: Rate) -> String {
    let key = if rate.period == Duration::from_secs(1) { "per_second" } else { "per_minute" };
    format!("{{ {key} = {}, burst = {} }}", rate.requests, rate.burst)
}

fn strings(texts: impl IntoIterator<Item = impl AsRef<str>>) -> String {
    list(texts.into_iter().map(|text| string(text.as_ref())))
}

fn list(values: impl IntoIterator<Item = String>) -> String {
    format!("[{}]", values.into_iter().collect::<Vec<_>>().join(", "))
}
