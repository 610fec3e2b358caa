//! The configurations: the same job in three languages.
//!
//! Each program allows the same 50 client networks and refuses every other with 403, counts each client
//! against a rate that is never reached, serves exactly the phonebook's path, keeps connections to the
//! upstream, and writes one access line in combined form per request.

use std::fmt::Write;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;

const PHONEBOOK: &str = "/service/ipbx/json.php/restricted/pbx_services/phonebook";

/// The networks that every program allows: one rule, or one policy, each.
fn allowed() -> impl Iterator<Item = String> {
    (1..=NETWORKS).map(|network| format!("127.1.{network}.0/24"))
}

const NETWORKS: u8 = 50;

/// Client addresses: four in each of the allowed networks, or as many that no program allows.
///
/// Four, because each holds 28,000 ports, and a closed connection keeps its port for a minute.
pub(crate) fn clients(allowed: bool) -> Vec<Ipv4Addr> {
    let second = if allowed { 1 } else { 2 };
    (1..=4)
        .flat_map(|last| (1..=NETWORKS).map(move |net| Ipv4Addr::new(127, second, net, last)))
        .collect()
}

/// Where a program listens, whom it asks and where it may write.
pub(crate) struct Place<'a> {
    /// The port on 127.0.0.1.
    pub(crate) port: u16,
    /// The upstream.
    pub(crate) upstream: SocketAddr,
    /// The program's own directory.
    pub(crate) directory: &'a Path,
}

/// `nginx.conf`.
pub(crate) fn nginx(place: &Place<'_>) -> String {
    let directory = place.directory.display();
    let mut rules = String::new();
    for network in allowed() {
        let _ = writeln!(rules, "      allow {network};");
    }
    format!(
        "daemon off;
worker_processes 1;
pid {directory}/pid;
error_log {directory}/error.log crit;
events {{ worker_connections 16384; }}
http {{
  client_body_temp_path {directory}/body; proxy_temp_path {directory}/proxy;
  fastcgi_temp_path {directory}/fastcgi; uwsgi_temp_path {directory}/uwsgi;
  scgi_temp_path {directory}/scgi;
  access_log {directory}/access.log combined buffer=64k flush=1s;
  keepalive_requests 100000000; keepalive_timeout 600s;
  limit_req_zone $binary_remote_addr zone=perip:10m rate=100000r/s;
  upstream xivo {{
    server {upstream};
    keepalive 256; keepalive_requests 100000000; keepalive_timeout 600s;
  }}
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    location = {PHONEBOOK} {{
{rules}      deny all;
      limit_req zone=perip burst=100000 nodelay;
      proxy_pass http://xivo;
      proxy_http_version 1.1;
      proxy_set_header Connection \"\";
      proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
      proxy_max_temp_file_size 0;
    }}
    location / {{ return 404; }}
  }}
}}
",
        upstream = place.upstream,
        port = place.port,
    )
}

/// `haproxy.cfg`. HAProxy writes no log file; its standard output is one, a write per line.
pub(crate) fn haproxy(place: &Place<'_>) -> String {
    format!(
        "global
  nbthread 1
  maxconn 9900
  log stdout format raw local0
defaults
  mode http
  log global
  timeout connect 5s
  timeout client 600s
  timeout server 60s
  timeout http-keep-alive 600s
  option http-keep-alive
  option forwardfor
frontend phonebook
  bind 127.0.0.1:{port} backlog 4096
  capture request header Referer len 128
  capture request header User-Agent len 128
  log-format '%ci - - [%t] \"%HM %HU %HV\" %ST %B \"%[capture.req.hdr(0)]\" \"%[capture.req.hdr(1)]\"'
  stick-table type ip size 100k expire 60s store http_req_rate(10s)
  http-request track-sc0 src
  http-request deny deny_status 403 unless {{ src -f {directory}/allow.lst }}
  http-request deny deny_status 429 if {{ sc_http_req_rate(0) gt 100000000 }}
  http-request deny deny_status 404 unless {{ path {PHONEBOOK} }}
  default_backend xivo
backend xivo
  http-reuse always
  server xivo {upstream} pool-max-conn 256
",
        port = place.port,
        directory = place.directory.display(),
        upstream = place.upstream,
    )
}

/// HAProxy's `allow.lst`.
pub(crate) fn haproxy_addresses() -> String {
    allowed().map(|network| format!("{network}\n")).collect()
}

/// `gateway.toml`.
pub(crate) fn gateway(place: &Place<'_>) -> String {
    format!(
        "state_directory = \"{directory}/state\"
workers = 1

[[listen]]
address = \"127.0.0.1:{port}\"

[upstream]
url = \"http://{upstream}\"
danger_loopback_source = true
connect_timeout = \"5s\"
timeout = \"10s\"

[policies]
directory = \"policies\"

[limits]
max_requests_per_connection = 100000000
max_connections = 10000
rate = {{ per_second = 1000000, burst = 1000000 }}
unknown_rate = {{ per_second = 1000000, burst = 1000000 }}

[[access_log]]
path = \"{directory}/access.log\"
format = \"combined\"
buffer = \"64k\"
flush = \"1s\"
",
        directory = place.directory.display(),
        port = place.port,
        upstream = place.upstream,
    )
}

/// The gateway's policies: file name and text.
pub(crate) fn gateway_policies() -> Vec<(String, String)> {
    let policy = |(number, network): (usize, String)| {
        let text = format!(
            "hosts = [\"{network}\"]
actions = [\"search\"]
rate = {{ per_second = 1000000, burst = 1000000 }}
concurrent = 10000
"
        );
        (format!("peer-{:02}.toml", number + 1), text)
    };
    allowed().enumerate().map(policy).collect()
}
