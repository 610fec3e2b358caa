//! What a log says of TLS and of proxies in front is what nginx says, with OpenSSL as the client.

use std::net::SocketAddr;

use super::{
    Pair, Site, case,
    differences::{Excused, compare},
    formats::{Line, value},
    play, search,
};
use crate::support::{
    needs::or_left_out,
    pki::{Authority, Wanted},
    scripted::Scripted,
    tls::{curl, file, s_client, text},
};

/// Cases in which only what is said of TLS can be compared, and why.
const REFUSED_BY_NGINX: &[(&str, &str)] = &[
    ("an old one", "nginx refuses every certificate that is not valid; here the policy decides"),
    ("a server's", "nginx refuses every certificate that is not valid; here the policy decides"),
];

/// Over HTTP/2 nginx counts the compressed frames; the gateway counts the head that they stand for.
const FRAMED: &str = ": $request_length:";

/// The format in which a test looks at a line itself.
const FORMAT: &str = "all";

/// The lines that `each` leaves, one in each log, compared in every format. Yields the gateway's in one that has all.
fn one_line(pair: &mut Pair, name: &str, each: impl Fn(SocketAddr)) -> Line {
    for to in [pair.nginx.addr(), pair.gateway.addr()] {
        each(to);
    }
    let mut differing = Vec::new();
    let mut written = Line::new();
    for format in &pair.formats {
        let [nginx, mut ours] = pair.further_lines(format, 1);
        assert_eq!((nginx.len(), ours.len()), (1, 1), "{name}");
        let found = compare(name, &nginx[0], &ours[0], &mut Excused::default());
        let refused = REFUSED_BY_NGINX.iter().any(|(refused, _)| *refused == name);
        let framed = |it: &str| name == "http/2" && it.contains(FRAMED);
        let found =
            found.into_iter().filter(|it| !framed(it) && (!refused || it.contains(": $ssl_")));
        differing.extend(found.map(|it| format!("{}: {it}", format.name)));
        if format.name == FORMAT {
            written = ours.remove(0);
        }
    }
    pair.lines += 1;
    assert!(differing.is_empty(), "{}", differing.join("\n"));
    written
}

fn finish(mut pair: Pair) {
    assert_eq!(pair.gateway.end(), Some(0));
}

#[test]
fn what_a_handshake_brought_is_logged_as_nginx_logs_it() {
    let directory = tempfile::tempdir().unwrap();
    let authority = Authority::new("Site CA");
    let (certificate, key) =
        authority.issue(&Wanted::server("localhost")).write(directory.path(), "server");
    let ca = file(directory.path(), "ca.pem", authority.pem());
    let (certificate, key, ca) = (text(&certificate), text(&key), text(&ca));
    let client = authority.issue(&Wanted::client("lyon, \"1\"")).write(directory.path(), "client");
    let old = Wanted { ends: -time::Duration::MINUTE, ..Wanted::client("old") };
    let old = authority.issue(&old).write(directory.path(), "old");
    let other = Authority::new("Another CA").issue(&Wanted::client("other"));
    let other = other.write(directory.path(), "other");
    let server_s = authority.issue(&Wanted::server("lyon")).write(directory.path(), "server-s");
    let foreign = Wanted::client("nobody").self_signed().write(directory.path(), "foreign");
    let upstream = Scripted::well();
    let site = Site {
        options: "ssl http2",
        server: &format!(
            "ssl_certificate {certificate}; ssl_certificate_key {key}; ssl_client_certificate {ca};\n\
             ssl_verify_client optional_no_ca; ssl_session_cache shared:tls:1m;\n\
             ssl_ciphers ECDHE-ECDSA-AES256-GCM-SHA384; ssl_protocols TLSv1.2 TLSv1.3;\n"
        ),
        listen: &format!(
            "tls = {{ certificate = \"{certificate}\", private_key = \"{key}\", client_ca = \"{ca}\" }}\nhttp2 = true"
        ),
    };
    let Some(mut pair) = Pair::start(upstream.address(), &site) else { return };
    let request =
        format!("GET {} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", search("doe"));
    let session = directory.path().join("session");
    let session = text(&session);
    let shown = |files: &(std::path::PathBuf, std::path::PathBuf)| {
        [text(&files.0).to_owned(), text(&files.1).to_owned()]
    };
    let ([client, client_key], [foreign, foreign_key]) = (shown(&client), shown(&foreign));
    let ([old, old_key], [other, other_key]) = (shown(&old), shown(&other));
    let [server_s, server_key] = shown(&server_s);
    let name = ["-servername", "localhost"];
    let suite = ["-tls1_2", "-cipher", "ECDHE-ECDSA-AES256-GCM-SHA384"];
    let kinds: [(&'static str, Vec<&str>); 8] = [
        ("tls 1.3", name.to_vec()),
        ("no name", vec!["-noservername", "-tls1_3"]),
        ("tls 1.2", [name.as_slice(), &suite].concat()),
        ("a certificate", [name.as_slice(), &["-cert", &client, "-key", &client_key]].concat()),
        ("an old one", [name.as_slice(), &["-cert", &old, "-key", &old_key]].concat()),
        ("another's", [name.as_slice(), &["-cert", &other, "-key", &other_key]].concat()),
        ("a server's", [name.as_slice(), &["-cert", &server_s, "-key", &server_key]].concat()),
        (
            "an unknown caller's",
            [name.as_slice(), &["-cert", &foreign, "-key", &foreign_key]].concat(),
        ),
    ];
    for (kind, arguments) in kinds {
        let written = one_line(&mut pair, kind, |to| {
            let _ = or_left_out(s_client(to, &arguments, &request));
        });
        assert_eq!(value(&written, "scheme"), "https", "{kind}");
        assert_eq!(value(&written, "status"), "200", "{kind}");
    }
    let written = one_line(&mut pair, "http/2", |to| {
        let url = format!("https://{to}{}", search("doe"));
        let host = ["-H", "Host: localhost"];
        let _ = or_left_out(curl(&[["--insecure", "--http2", &url].as_slice(), &host].concat()));
    });
    assert_eq!(value(&written, "server_protocol"), "HTTP/2.0");
    // A session of TLS 1.2 is resumed, by each server's own.
    let resumed = one_line_after_another(&mut pair, session, &request);
    assert_eq!(value(&resumed, "ssl_session_reused"), "r");
    finish(pair);
}

/// A first connection to each that keeps the session, and a second that shows it.
fn one_line_after_another(pair: &mut Pair, session: &str, request: &str) -> Line {
    let connect = |to: SocketAddr, option: &str| {
        let session = format!("{session}-{}", to.port());
        let arguments = ["-servername", "localhost", "-tls1_2", option, &session];
        let _ = or_left_out(s_client(to, &arguments, request));
    };
    one_line(pair, "a first session", |to| connect(to, "-sess_out"));
    one_line(pair, "a second session", |to| connect(to, "-sess_in"))
}

#[test]
fn clients_behind_proxies_are_logged_as_nginx_logs_them() {
    let upstream = Scripted::well();
    let request =
        format!("GET {} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n", search("doe"));
    let site = Site {
        options: "proxy_protocol",
        server: "set_real_ip_from 127.0.0.1; real_ip_header proxy_protocol;",
        listen: "proxy_protocol_from = [\"127.0.0.1\"]",
    };
    let Some(mut pair) = Pair::start(upstream.address(), &site) else { return };
    for (name, header) in [
        ("a proxy's client", "PROXY TCP4 192.0.2.7 192.0.2.8 4711 80\r\n"),
        ("a proxy's client over ipv6", "PROXY TCP6 2001:db8::7 2001:db8::8 4711 80\r\n"),
    ] {
        let case = case(name, format!("{header}{request}\r\n"));
        let written = one_line(&mut pair, name, |to| play(&case, to, None));
        assert_eq!(value(&written, "remote_port"), "4711");
        assert_eq!(value(&written, "realip_remote_addr"), "127.0.0.1");
    }
    finish(pair);
    let site = Site {
        options: "",
        server: "set_real_ip_from 127.0.0.1; real_ip_header X-Forwarded-For;",
        listen: "trusted_proxies = [\"127.0.0.1\"]",
    };
    let Some(mut pair) = Pair::start(upstream.address(), &site) else { return };
    let forwarded = "X-Forwarded-For: 192.0.2.7\r\n\r\n";
    let case = case("forwarded", format!("{request}{forwarded}"));
    let written = one_line(&mut pair, "forwarded", |to| play(&case, to, None));
    assert_eq!(value(&written, "remote_addr"), "192.0.2.7");
    assert_eq!(value(&written, "remote_port"), "");
    finish(pair);
}
