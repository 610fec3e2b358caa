use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use jiff::tz::TimeZone;

use super::*;
use crate::access_log::{Entry, LocalClock, UnixSeconds, write_combined};
use crate::identity::caller::ClientSource;
use crate::upstream::trace::Attempt;

#[test]
fn what_is_written_of_a_format_is_that_format() {
    let quoted = [r"'$status \\ it\'s' ' $request'"];
    let formats: [&[&str]; 9] = [
        &["$remote_addr [$time_local] \"$request\""],
        &["escape=json {\"a\":\"${http_user_agent}b\",\"c\":$msec}"],
        &["escape=none", "  $status"],
        &["escape=json", r"'\'quoted\' $status'"],
        &["escape=default log_format $status"],
        &["escape=default", "escape=json $status"],
        &["$status\n${status}x\t"],
        &["$arg_name$sent_http_etag é"],
        &quoted,
    ];
    let predefined = PREDEFINED.map(|(_, text)| [text]);
    let formats = formats.into_iter().chain(predefined.iter().map(<[&str; 1]>::as_slice));
    for parts in formats {
        let format = Format::compile(parts).unwrap();
        let written = format.written();
        let parts: Vec<&str> = written.iter().map(String::as_str).collect();
        assert_eq!(Format::compile(&parts).unwrap(), format, "{written:?}");
    }
}

fn facts() -> Facts<'static> {
    let socket: SocketAddr = "192.0.2.7:4711".parse().unwrap();
    Facts {
        entry: Entry {
            remote_addr: IpAddr::V4(Ipv4Addr::LOCALHOST),
            remote_user: Some("lyon"),
            time: UnixSeconds(1_795_383_412),
            request: Some(REQUEST),
            status: 200,
            body_bytes_sent: 2,
            referer: None,
            user_agent: Some(b"a\"b"),
        },
        millis: 7,
        request: RequestFacts {
            method: Some(b"GET"),
            target: Some(4..REQUEST.len() - 9),
            protocol: Some(b"HTTP/1.1"),
            host: Some(b"XiVO.example"),
            fields: b"X-A: 1\r\nX-A: 2\r\nCookie: a\r\nCookie: b\r\n",
        },
        remote_port: Some(4711),
        socket,
        proxied_client: None,
        local: Some("[::1]:80".parse().unwrap()),
        server_name: "first",
        tls: None,
        connection: 12,
        connection_requests: 3,
        connection_time: Duration::from_millis(61_002),
        pipelined: true,
        request_length: 99,
        request_time: Duration::from_micros(1_999),
        bytes_sent: 300,
        completed: true,
        keep_alive: true,
        answer_head: b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n",
        request_id: "00ff",
        hostname: "host",
        pid: 42,
        attempts: &[],
        upstream_socket: None,
        rate: Checked::Passed,
        concurrent: Checked::No,
        action: Some("search"),
        reason: None,
        limit: None,
        rule: None,
        revision: "abc",
        source: ClientSource::Socket,
    }
}

fn line(format: &str, facts: &Facts<'_>) -> String {
    let format = Format::compile(&[format]).unwrap();
    let mut clock = LocalClock::in_zone(TimeZone::UTC);
    let (mut out, mut scratch) = (Vec::new(), Vec::new());
    Writer { clock: &mut clock, scratch: &mut scratch, max_field: 0, masked: false }
        .write(&mut out, &format, facts);
    String::from_utf8(out).unwrap().strip_suffix('\n').unwrap().to_owned()
}

fn written(format: &str) -> String {
    line(format, &facts())
}

#[test]
fn combined_compiled_is_combined_byte_for_byte() {
    let (_, combined) = PREDEFINED[0];
    for (referer, user) in
        [(None, None), (Some(b"x".as_slice()), Some("lyon")), (Some(b""), Some(""))]
    {
        let entry = Entry { referer, remote_user: user, ..facts().entry };
        let mut own = Vec::new();
        write_combined(&mut own, &entry, &mut LocalClock::in_zone(TimeZone::UTC), 0);
        let compiled = line(combined, &Facts { entry, ..facts() });
        assert_eq!(compiled + "\n", String::from_utf8(own).unwrap());
    }
}

#[test]
fn every_predefined_format_compiles_and_json_is_json() {
    for (name, format) in PREDEFINED {
        let format = line(format, &facts());
        if name == "gateway_json" {
            let read: serde_json::Value = serde_json::from_str(&format).unwrap();
            assert_eq!(read["args"], "x=1&Search=D\"oe");
            assert_eq!(read["reason"], "");
        }
    }
}

#[test]
fn variables_are_what_nginx_says() {
    for (format, expected) in [
        (
            "$uri|$request_uri|$args|$query_string|$is_args",
            "/a b|/a%20b?x=1&Search=D\\x22oe|x=1&Search=D\\x22oe|x=1&Search=D\\x22oe|?",
        ),
        ("$arg_search|$arg_y|${arg_X}", "D\\x22oe|-|1"),
        ("$http_x_a|$http_cookie|$http_y|$http_user_agent|$http_referer", "1|a; b|-|a\\x22b|-"),
        ("$host|$server_name|$server_addr|$server_port", "xivo.example|first|::1|80"),
        ("$request_time|$connection_time|$msec", "0.001|61.002|1795383412.007"),
        ("$time_iso8601|$time_local", "2026-11-22T21:36:52+00:00|22/Nov/2026:21:36:52 +0000"),
        (
            "$sent_http_content_type|$sent_http_connection|$sent_http_x",
            "application/json|keep-alive|-",
        ),
        ("$connection/$connection_requests/$pipe/$pid", "12/3/p/42"),
        (
            "$upstream_addr $upstream_status $upstream_connect_time $upstream_cache_status",
            "- - - -",
        ),
        ("$ssl_protocol$ssl_client_verify[$https]$scheme", "--[]http"),
        ("$limit_req_status $limit_conn_status", "PASSED -"),
        (
            "$peer $action $reason $rule $limit $policy_revision $client_source",
            "lyon search - - - abc socket",
        ),
        (
            "$remote_port $realip_remote_addr $realip_remote_port $proxy_protocol_addr",
            "4711 192.0.2.7 4711 -",
        ),
        (
            "$request_completion $request_length $bytes_sent $request_id $hostname",
            "OK 99 300 00ff host",
        ),
        ("$request_masked", "GET /***?*** HTTP/1.1"),
        ("escape=json $http_referer|$http_user_agent|$upstream_addr", "|a\\\"b|"),
        ("escape=none $http_referer|$http_user_agent", "|a\"b"),
    ] {
        assert_eq!(written(format), expected, "{format}");
    }
}

#[test]
fn tries_are_listed_as_nginx_lists_them() {
    let attempts = [
        Attempt {
            address: "127.0.0.1:80".parse().ok(),
            status: 502,
            response: Some(3),
            ..Attempt::default()
        },
        Attempt {
            address: "[::1]:80".parse().ok(),
            status: 200,
            connect: Some(0),
            header: Some(1),
            response: Some(1_234),
            sent: 5,
            received: 70,
            body: 9,
        },
    ];
    let facts = Facts { attempts: &attempts, ..facts() };
    assert_eq!(
        line(
            "$upstream_addr $upstream_status|$upstream_connect_time|$upstream_header_time|$upstream_response_time",
            &facts
        ),
        "127.0.0.1:80, [::1]:80 502, 200|-, 0.000|-, 0.001|0.003, 1.234"
    );
    assert_eq!(
        line("$upstream_response_length|$upstream_bytes_received|$upstream_bytes_sent", &facts),
        "0, 9|0, 70|0, 5"
    );
    let socket = [Attempt::default()];
    let facts = Facts { attempts: &socket, upstream_socket: Some("/run/x"), ..facts };
    assert_eq!(line("$upstream_addr $upstream_status", &facts), "unix:/run/x -");
}

#[test]
fn a_request_that_was_not_read_has_hyphens() {
    let entry = Entry { request: Some(b"\x16\x03"), ..facts().entry };
    let facts = Facts { entry, request: RequestFacts::default(), ..facts() };
    assert_eq!(
        line(
            "$request $request_method $uri $request_uri $args $server_protocol $host $arg_a",
            &facts
        ),
        r"\x16\x03 - - - - - first -"
    );
}

#[test]
fn text_is_read_as_nginx_reads_it() {
    for (parts, expected) in [
        (&["a $status"] as &[&str], "a 200"),
        (&["${status}b"], "200b"),
        (&["$status", "$status"], "200200"),
        (&["  'a ' \"b\"\n 'c \\'\\t\\x' ;"], "a bc '\t\\x"),
        (&["escape=json", "'$http_user_agent'"], "a\\\"b"),
        (&["escape=json\n  '{' '}'"], "{}"),
        (&["escape=none $STATUS"], "200"),
        (&["a\n"], "a"),
    ] {
        let format = Format::compile(parts).unwrap();
        let mut clock = LocalClock::in_zone(TimeZone::UTC);
        let (mut out, mut scratch) = (Vec::new(), Vec::new());
        Writer { clock: &mut clock, scratch: &mut scratch, max_field: 0, masked: false }.write(
            &mut out,
            &format,
            &facts(),
        );
        assert_eq!(String::from_utf8(out).unwrap(), format!("{expected}\n"), "{parts:?}");
    }
}

#[test]
fn each_mistake_has_its_own_error() {
    let error = |text| Format::compile(&[text]).unwrap_err();
    assert_eq!(error("$statsu"), FormatError::Unknown("statsu".into()));
    assert!(
        matches!(error("$gzip_ratio"), FormatError::Unavailable(name, _) if name == "gzip_ratio")
    );
    assert!(matches!(error("$ssl_client_cert"), FormatError::Unavailable(..)));
    assert!(matches!(error("$http_"), FormatError::Unknown(_)));
    assert_eq!(error("5$ and"), FormatError::NoName(" and".into()));
    assert_eq!(error("5$"), FormatError::NoName(String::new()));
    assert_eq!(error("${}"), FormatError::NoName("{}".into()));
    assert_eq!(error("${status"), FormatError::Unclosed("status".into()));
    assert_eq!(error("${status x}"), FormatError::Unclosed("status".into()));
    assert_eq!(error("escape=jsn x"), FormatError::Escape("jsn".into()));
    assert!(matches!(error("'a"), FormatError::Quotes(_)));
    assert!(matches!(error("'a' b"), FormatError::Quotes(_)));
    assert!(matches!(error("'a''b'"), FormatError::Quotes(_)));
    assert_eq!(error("log_format x '$status';"), FormatError::WholeDirective);
    assert_eq!(error(""), FormatError::Empty);
    assert_eq!(error("escape=json"), FormatError::Empty);
}

#[test]
fn only_clients_values_without_escapes_make_a_line_forgeable() {
    let forgeable = |text| Format::compile(&[text]).unwrap().is_forgeable();
    assert!(forgeable("escape=none $uri") && forgeable("escape=none $http_x"));
    assert!(!forgeable("escape=none $status $remote_addr $sent_http_x"));
    assert!(!forgeable("$uri $http_x") && !forgeable("escape=json $uri"));
}

#[test]
fn a_format_needs_what_it_names_and_nothing_else() {
    let needs = |text| Format::compile(&[text]).unwrap().needs();
    let free = "$remote_addr $request $status $http_x $arg_x $uri $request_time";
    assert_eq!(needs(free), Needs::default());
    assert!(needs("$upstream_addr").upstream);
    assert!(needs("$server_port").local_address && needs("$rule").rule);
    assert!(needs("$bytes_sent").answer_head && needs("$sent_http_x").answer_head);
}

const REQUEST: &[u8] = b"GET /a%20b?x=1&Search=D\"oe HTTP/1.1";
