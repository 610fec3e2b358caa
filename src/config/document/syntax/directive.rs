//! Lines of nginx's and Apache's configurations, which are pasted here by people who know those.

/// What to write in the place of `line`, if it is one.
pub(super) fn instead(line: &str) -> Option<&'static str> {
    let line = line.trim();
    if line == "}" || line == "};" {
        return Some("remove it: a section ends where the next begins");
    }
    let (word, rest) = line.split_once([' ', '\t'])?;
    // A key of ours, whatever stands behind it.
    if rest.trim_start().starts_with(['=', ':']) || word.contains(['"', '=', '.']) {
        return None;
    }
    let word = word.to_ascii_lowercase();
    let known = DIRECTIVES.iter().find(|(words, _)| words.contains(&word.as_str()));
    known.map(|(_, advice)| *advice)
}

/// Their words, and what does the same here.
const DIRECTIVES: [(&[&str], &str); 12] = [
    (
        &["allow", "deny", "require", "satisfy", "order"],
        "write the peer's addresses into its policy: hosts = [\"192.168.1.124\"]; whoever is in none is refused",
    ),
    (&["listen"], "write [[listen]], and below it address = \"[::]:9480\""),
    (&["server_name", "servername"], "write server_names = [\"…\"] below [[listen]]"),
    (
        &["proxy_pass", "proxypass", "upstream", "server", "backend"],
        "write [upstream], and below it url = \"http://127.0.0.1:80\"",
    ),
    (
        &["limit_req", "limit_req_zone"],
        "write rate = { per_second = 10, burst = 20 } in the policy",
    ),
    (&["limit_conn", "limit_conn_zone"], "write connections = 64 in the policy"),
    (
        &["access_log", "customlog", "error_log", "errorlog"],
        "write [[access_log]], and below it path = \"…\"",
    ),
    (&["log_format", "logformat"], "write [log_format], and below it its name = '…'"),
    (&["include"], "remove it: nothing is included; each file in policies/ is one peer's"),
    (&["resolver"], "write [names], and below it resolver = [\"192.168.1.1\"]"),
    (
        &["worker_processes", "worker_connections"],
        "write workers = 0 at the top of the file, for one per core",
    ),
    (
        &[
            "ssl_certificate",
            "ssl_certificate_key",
            "sslcertificatefile",
            "http",
            "events",
            "location",
            "user",
            "proxy_set_header",
            "proxy_read_timeout",
            "keepalive_timeout",
        ],
        "remove it; docs/from-nginx.md says what does the same here",
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_other_programs_are_known_and_our_own_are_not() {
        for line in [
            "allow 192.168.1.0/24;",
            "deny all;",
            "Allow from 10.0.0.1",
            "Require ip 10.0.0.1",
            "listen 80;",
            "server {",
            "proxy_pass http://127.0.0.1;",
            "include policies/*.toml;",
            "}",
        ] {
            assert!(instead(line).is_some(), "{line}");
        }
        for line in [
            "hosts = [\"10.0.0.1\"]",
            "listen = 1",
            "resolver: x",
            "user=x",
            "[listen]",
            "allow",
            "# allow x",
        ] {
            assert!(instead(line).is_none(), "{line}");
        }
    }
}
