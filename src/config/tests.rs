use std::fs;
use std::net::{IpAddr, Ipv4Addr};

use annotate_snippets::Renderer;

use super::*;
use crate::access_log::LogTarget;
use crate::policy::{Action, Host};

type Outcome = Result<(Config, Vec<Problem>), Problems>;

fn variables(name: &str) -> Option<String> {
    (name == "LAN").then(|| "192.168.1.125".to_owned())
}

fn texts(main: &str, policies: &[(&str, &str)]) -> Outcome {
    read_texts(("gateway.toml", main), policies, &variables)
}

fn config(main: &str, policies: &[(&str, &str)]) -> Config {
    texts(main, policies).unwrap_or_else(|problems| panic!("{problems}")).0
}

fn problems(outcome: Outcome) -> Vec<Problem> {
    match outcome {
        Ok((_, warnings)) => warnings,
        Err(problems) => problems.iter().cloned().collect(),
    }
}

/// Every problem of an outcome in one line each, whether there was an error or not.
fn lines(outcome: Outcome) -> Vec<String> {
    problems(outcome).iter().map(ToString::to_string).collect()
}

/// Asserts that exactly one problem is found: it begins with `place` and contains `part`, and its
/// label and help together contain `advice`.
fn assert_one(outcome: Outcome, location: &str, part: &str, advice: &str) {
    // That a section has no effect yet is said beside whatever is wrong in it.
    let mut problems = problems(outcome);
    problems.retain(|problem| problem.message() != "this section has no effect yet");
    let [problem] = problems.as_slice() else {
        let all: Vec<_> = problems.iter().map(ToString::to_string).collect();
        panic!("{location}: {part}: found {all:#?}");
    };
    let line = problem.to_string();
    assert!(line.starts_with(location), "{location}: {part}: found {line}");
    assert!(line.contains(part), "{location}: {part}: found {line}");
    let given = format!("{} / {}", problem.label(), problem.help().unwrap_or_default());
    assert!(given.contains(advice), "{line}: {advice}: found {given}");
}

#[test]
fn what_is_left_out_has_the_default_of_the_contract() {
    let config = config(MAIN, &[("policies/lyon.toml", HOSTS)]);
    assert_eq!(config.file, Path::new("gateway.toml"));
    assert_eq!(config.state_directory, Path::new("/var/lib/phonebook-gateway"));
    assert_eq!(config.policies_directory, Path::new("policies"));
    assert_eq!((config.workers, config.whoami), (0, true));
    assert_eq!(config.listeners.len(), 1);
    assert!(config.listeners[0].server_names.is_empty());
    let upstream = &config.upstream;
    assert_eq!(upstream.host, UpstreamHost::Ip(Ipv4Addr::LOCALHOST.into()));
    assert_eq!((upstream.port, upstream.host_header.as_str()), (80, "127.0.0.1"));
    assert_eq!((&upstream.source, upstream.danger_loopback_source), (&None, false));
    let timeouts = [
        upstream.connect_timeout,
        upstream.timeout.value,
        upstream.number_timeout.value,
        upstream.list_timeout.value,
        upstream.stall_timeout,
        config.limits.head_timeout,
        config.limits.idle_timeout,
        config.limits.write_timeout,
        config.limits.max_connection_age,
    ];
    let millis = timeouts.map(|timeout| timeout.as_millis());
    assert_eq!(millis, [250, 2500, 900, 30_000, 5000, 5000, 60_000, 10_000, 3_600_000]);
    assert_eq!(upstream.max_answer, 64 * 1024 * 1024);
    let limits = &config.limits;
    assert_eq!((limits.max_uri, limits.max_head, limits.max_header_fields), (4096, 16_384, 64));
    assert_eq!((limits.max_requests_per_connection, limits.max_connections), (1000, 10_000));
    assert_eq!(limits.rate.value, value::rate::per_second(1000, 2000));
    assert_eq!(limits.unknown_rate.value, value::rate::per_second(1, 5));
    assert!(!limits.rate.written);
    let [log] = config.access_logs.as_slice() else { panic!("{:?}", config.access_logs) };
    let default = PathBuf::from("/var/log/phonebook-gateway/access.log");
    assert_eq!(log.target, LogTarget::File(default));
    assert_eq!((log.buffer, log.flush.as_millis(), log.max_field), (65_536, 1000, 2048));
}

#[test]
fn what_a_policy_leaves_out_has_the_default_of_the_contract() {
    let config = config(MAIN, &[("policies/lyon.toml", HOSTS)]);
    let [policy] = config.policies.as_slice() else { panic!("{:?}", config.policies) };
    assert_eq!(policy.name.as_str(), "lyon");
    assert_eq!(policy.location.to_string(), "policies/lyon.toml:1");
    assert_eq!(policy.description, "");
    let granted = Action::ALL.map(|action| policy.actions.value.contains(action));
    assert_eq!(granted, [true, false, false]);
    assert_eq!(policy.rate.value, value::rate::per_second(10, 20));
    assert_eq!((policy.concurrent.value, policy.min_search_length.value), (8, 2));
    assert!(policy.enabled.value && !policy.enabled.written);
    assert!(policy.valid_from.is_none() && policy.valid_until.is_none());
}

#[test]
fn every_value_that_is_written_arrives_with_its_place() {
    let text = "description = \"Lyon ${LAN}\"\nhosts = [\n  \"192.0.2.1\",\n  \"2001:db8::/64\",\n]\n\
                actions = [\"view\", \"search\"]\nrate = { per_minute = 3, burst = 4 }\n\
                concurrent = 5\nmin_search_length = 6\nenabled = true\n\
                valid_from = 2020-01-01 00:00:00+01:00\nvalid_until = 9000-01-01T00:00:00Z\n";
    let (config, warnings) = texts(MAIN, &[("policies/lyon.toml", text)]).unwrap();
    assert!(warnings.is_empty(), "{warnings:?}");
    let policy = &config.policies[0];
    assert_eq!(policy.description, "Lyon 192.168.1.125");
    let places: Vec<_> = policy.hosts.iter().map(|host| host.location.to_string()).collect();
    assert_eq!(places, ["policies/lyon.toml:3", "policies/lyon.toml:4"]);
    assert_eq!(policy.hosts[1].value, Host::Prefix("2001:db8::/64".parse().unwrap()));
    let granted = Action::ALL.map(|action| policy.actions.value.contains(action));
    assert_eq!(granted, [true, false, true]);
    let rate = policy.rate.value;
    assert_eq!((rate.requests.get(), rate.period.as_secs(), rate.burst.get()), (3, 60, 4));
    assert_eq!(policy.rate.location.line(), 7);
    assert_eq!((policy.concurrent.value, policy.concurrent.location.line()), (5, 8));
    assert_eq!(policy.min_search_length.value, 6);
    let from = policy.valid_from.as_ref().unwrap();
    assert_eq!(from.value, "2019-12-31T23:00:00Z".parse().unwrap());
    assert_eq!(policy.valid_until.as_ref().unwrap().location.line(), 12);
}

#[test]
fn every_written_value_of_the_main_file_arrives() {
    let text = "state_directory = \"state\"\nworkers = 3\n\
        [[listen]]\naddress = \"127.0.0.1:9480\"\nserver_names = [\"XiVO.example.org.\", \"[2001:DB8::1]\"]\n\
        [[listen]]\naddress = \"[::1]:9480\"\nhttp2 = false\nproxy_protocol_from = []\ntrusted_proxies = []\n\
        [upstream]\nurl = \"HTTP://XiVO.Example.org.:8080/\"\nsource = \"${LAN}\"\n\
        connect_timeout = \"1s\"\ntimeout = \"2s\"\nnumber_timeout = \"800ms\"\nlist_timeout = \"1m\"\nstall_timeout = \"3s\"\n\
        max_answer = \"1m\"\ndanger_accept_any_certificate = false\nsend_proxy_protocol = false\n\
        [limits]\nhead_timeout = \"1s\"\nmax_uri = 2048\nmax_head = \"8k\"\nmax_header_fields = 32\n\
        max_requests_per_connection = 1\nmax_connections = 7\n\
        rate = { per_minute = 600, burst = 20 }\nunknown_rate = { per_second = 2, burst = 3 }\n\
        [names]\nresolver = [\"192.0.2.53\", \"[2001:db8::53]:5353\"]\nhold_obsolete = \"0s\"\n\
        [[access_log]]\npath = \"logs/access.log\"\nbuffer = 0\nflush = \"100ms\"\nmax_field = 0\n\
        [[access_log]]\npath = \"stdout\"\nformat = \"combined\"\nsearch_terms = \"full\"\n\
        [[access_log]]\npath = \"./own\"\nformat = \"own\"\nsearch_terms = \"hash\"\n\
        [log_format]\nown = [\"escape=json\", \"'${status}' '$peer'\"]\n[whoami]\nenabled = false\n";
    let config = config(text, &[("policies/lyon.toml", HOSTS)]);
    assert_eq!((config.state_directory.as_path(), config.workers), (Path::new("state"), 3));
    assert_eq!(config.listeners[0].server_names, ["xivo.example.org", "[2001:db8::1]"]);
    assert_eq!(config.listeners[1].location.to_string(), "gateway.toml:6");
    let upstream = &config.upstream;
    assert_eq!(upstream.host, UpstreamHost::Name("xivo.example.org".to_owned()));
    assert_eq!((upstream.port, upstream.host_header.as_str()), (8080, "xivo.example.org:8080"));
    assert_eq!(upstream.url_text, "HTTP://XiVO.Example.org.:8080/");
    let source = upstream.source.as_ref().unwrap();
    assert_eq!(source.value.to_string(), "192.168.1.125");
    let millis = [&upstream.timeout, &upstream.number_timeout, &upstream.list_timeout]
        .map(|timeout| (timeout.value.as_millis(), timeout.location.line()));
    assert_eq!(millis, [(2000, 15), (800, 16), (60_000, 17)]);
    assert_eq!(upstream.max_answer, 1 << 20);
    assert_eq!((config.limits.max_uri, config.limits.max_head), (2048, 8192));
    assert_eq!(config.limits.rate.value.period.as_secs(), 60);
    assert_eq!(config.limits.unknown_rate.value, value::rate::per_second(2, 3));
    assert_eq!(config.access_logs[0].target, LogTarget::File("logs/access.log".into()));
    assert_eq!((config.access_logs[0].buffer, config.access_logs[0].max_field), (0, 0));
    assert_eq!(config.access_logs[1].target, LogTarget::Stdout);
    assert!(!config.whoami);
}

#[test]
fn all_variables_that_are_none_are_told_at_once_and_each_once() {
    let text = format!(
        "{MAIN}[log_format]\na = '$statsu $peer $wat $statsu $proxy_add_x_forwarded_for $gzip_ratio'\n"
    );
    let found = problems(texts(&text, &[("policies/lyon.toml", HOSTS)]));
    let names = ["$statsu", "$wat", "$proxy_add_x_forwarded_for", "$gzip_ratio"];
    assert_eq!(found.len(), names.len(), "{found:#?}");
    for (problem, name) in found.iter().zip(names) {
        assert!(problem.message().contains(name), "{problem}");
        assert!(problem.help().is_some(), "{problem}");
    }
}

#[test]
fn a_format_that_lets_clients_write_lines_is_doubtful() {
    let text = format!("{MAIN}[log_format]\na = 'escape=none $uri'\nb = 'escape=none $status'\n");
    let found = lines(texts(&text, &[("policies/lyon.toml", HOSTS)]));
    let [warning] = found.as_slice() else { panic!("{found:?}") };
    assert!(
        warning.contains("warning: `log_format.a`: with escape=none a client writes"),
        "{warning}"
    );
}

#[test]
fn each_mistake_in_the_main_file_is_one_error_at_its_place() {
    for (added, location, part, advice) in BAD_MAIN {
        let outcome = texts(&format!("{MAIN}{added}\n"), &[("policies/lyon.toml", HOSTS)]);
        assert!(outcome.is_err(), "{added}");
        assert_one(outcome, &format!("gateway.toml:{location}"), part, advice);
    }
}

#[test]
fn urls_name_a_host_and_a_port_and_nothing_else() {
    let cases = [
        ("", "is no URL", ""),
        ("127.0.0.1:80", "has no scheme", "write \"http://127.0.0.1:80\""),
        ("ftp://127.0.0.1", "unknown scheme", "allowed: http"),
        (
            "unix:/run/xivo.sock",
            "a unix socket tells XiVO no address",
            "send_proxy_protocol = true",
        ),
        ("unix:run/xivo.sock", "by its absolute path", "unix:/run/"),
        ("unix:///run/xivo.sock", "is no URL", "write \"unix:/run/xivo.sock\""),
        ("/run/xivo.sock", "has no scheme", "write \"unix:/run/xivo.sock\""),
        ("http://", "is no host name", ""),
        ("http://user:pass@xivo", "has a user name", "write \"http://xivo\""),
        ("http://xivo/service/ipbx", "has a path", "write \"http://xivo\""),
        ("http://xivo:81?a=b", "has a path", "write \"http://xivo:81\""),
        ("http://xivo#a", "has a path", "write \"http://xivo\""),
        ("http://xivo:0", "has port 0", ""),
        ("http://xivo:65536", "no valid port", "allowed: a port"),
        ("http://::1", "IPv6 address without brackets", "write \"[::1]\""),
        ("http://127.1", "abbreviated", ""),
        ("http://xivo%2e", "no host name", ""),
        ("http://xi vo", "no host name", ""),
    ];
    for (url, part, advice) in cases {
        let main = format!("[[listen]]\naddress = \"127.0.0.1:0\"\n[upstream]\nurl = \"{url}\"\n");
        let outcome = texts(&main, &[("policies/lyon.toml", HOSTS)]);
        assert_one(outcome, "gateway.toml:4:7: error: `upstream.url`", part, advice);
    }
}

#[test]
fn the_upstream_may_be_mapped_or_ipv6_or_have_an_empty_port() {
    let cases = [
        ("http://[::ffff:127.0.0.1]:8080", "127.0.0.1:8080", 8080),
        ("http://[2001:DB8::1]/", "[2001:db8::1]", 80),
        ("http://xivo:", "xivo", 80),
        ("http://xivo:443", "xivo:443", 443),
    ];
    for (url, header, port) in cases {
        let main = format!("[[listen]]\naddress = \"127.0.0.1:0\"\n[upstream]\nurl = \"{url}\"\n");
        let upstream = config(&main, &[]).upstream;
        assert_eq!((upstream.host_header.as_str(), upstream.port), (header, port), "{url}");
    }
}

#[test]
fn each_mistake_in_a_policy_is_one_problem_at_its_place() {
    for (text, location, part, advice) in BAD_POLICIES {
        let complete = text.is_empty() || text.contains("hosts") || text.contains("[certificate]");
        let text = if complete { (*text).to_owned() } else { format!("{text}\n{HOSTS}") };
        let outcome = texts(MAIN, &[("policies/lyon.toml", &text)]);
        assert_eq!(outcome.is_err(), !location.ends_with("warning"), "{text}");
        assert_one(outcome, &format!("policies/lyon.toml:{location}"), part, advice);
    }
}

#[test]
fn a_certificate_that_nobody_can_show_or_trust_is_doubtful() {
    let directory = tempfile::tempdir().unwrap();
    let made = rcgen::generate_simple_self_signed(vec!["gateway".to_owned()]).unwrap();
    let path = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    fs::write(path("cert"), made.cert.pem()).unwrap();
    fs::write(path("key"), made.signing_key.serialize_pem()).unwrap();
    let tls = format!("certificate = \"{}\", private_key = \"{}\"", path("cert"), path("key"));
    let with = |tls: &str| MAIN.replace("[upstream]", &format!("tls = {{ {tls} }}\n[upstream]"));
    let (plain, authority) =
        (with(&tls), with(&format!("{tls}, client_ca = \"{}\"", path("cert"))));
    let key = format!("public_key_sha256 = [\"{}\"]\n", "ab".repeat(32));
    let name = "common_name = [\"a\"]\n";
    for (main, rule, expected) in [
        (MAIN, name, Some("no listener has TLS")),
        (MAIN, &key, Some("no listener has TLS")),
        (&plain, name, Some("no listener has a `client_ca`")),
        (&plain, &format!("{name}{key}"), Some("no listener has a `client_ca`")),
        (&plain, &key, None),
        (&authority, name, None),
    ] {
        let policy = format!("{HOSTS}[certificate]\n{rule}");
        let found = lines(texts(main, &[("policies/lyon.toml", &policy)]));
        assert_eq!(found.len(), usize::from(expected.is_some()), "{found:#?}");
        let told = found.iter().all(|line| {
            line.starts_with("policies/lyon.toml:2:1: warning") && line.contains(expected.unwrap())
        });
        assert!(told, "{found:#?}");
    }
    let policy = format!("{HOSTS}[certificate]\n{name}require = \"certificate\"");
    let found = lines(texts(&authority, &[("policies/lyon.toml", &policy)]));
    assert!(matches!(&found[..], [line] if line.contains("the hosts have no say")), "{found:#?}");
}

#[test]
fn an_empty_rate_lacks_both_of_its_numbers() {
    let found = lines(texts(MAIN, &[("policies/lyon.toml", &format!("rate = {{}}\n{HOSTS}"))]));
    let expected = [
        "policies/lyon.toml:1:8: error: `rate.burst` is missing",
        "policies/lyon.toml:1:8: error: `rate.per_second` is missing",
    ];
    assert_eq!(found, expected);
}

#[test]
fn a_rate_may_be_a_section() {
    let text = format!("{HOSTS}[rate]\nper_minute = 6\nburst = 7\n");
    let rate = &config(MAIN, &[("policies/lyon.toml", &text)]).policies[0].rate;
    assert_eq!((rate.value.requests.get(), rate.value.burst.get()), (6, 7));
    assert_eq!(rate.location.line(), 2);
}

#[test]
fn missing_sections_are_errors_of_the_file() {
    let found = lines(texts("", &[("policies/lyon.toml", HOSTS)]));
    let expected = [
        "gateway.toml:1:1: error: `listen` is missing",
        "gateway.toml:1:1: error: `upstream.url` is missing",
    ];
    assert_eq!(found, expected);
    let found = lines(texts("[upstream]\n", &[("policies/lyon.toml", HOSTS)]));
    assert!(found.contains(&"gateway.toml:1:1: error: `upstream.url` is missing".to_owned()));
}

#[test]
fn all_problems_of_all_files_are_found_in_one_run() {
    let main = format!("{MAIN}timeout = 5\nfoo = 1\n[limits]\nmax_uri = \"x\"\n");
    let lyon = "hosts = [\"10.1\", \"192.0.2.1\", \"a/b\"]\nconcurrent = 0\nbar = 1\n";
    let nice = "hosts = [\"192.0.2.1\"]\nrate = 1\n";
    let found = lines(texts(&main, &[("policies/nice.toml", nice), ("policies/lyon.toml", lyon)]));
    let places: Vec<_> = found.iter().map(|line| line.split(": ").next().unwrap()).collect();
    let expected = [
        "gateway.toml:5:11",
        "gateway.toml:6:1",
        "gateway.toml:8:11",
        "policies/lyon.toml:1:10",
        "policies/lyon.toml:1:31",
        "policies/lyon.toml:2:14",
        "policies/lyon.toml:3:1",
        "policies/nice.toml:1:10",
        "policies/nice.toml:2:8",
    ];
    assert_eq!(places, expected, "{found:#?}");
}

#[test]
fn several_syntax_errors_hide_neither_each_other_nor_the_mistakes_between_them() {
    let text = "hosts = [\"192.0.2.1\"]\nconcurrent = 0\nenabled = tru\nrate = { burst = 1 \n\
                min_search_length = 99\n[oops\n";
    let found = lines(texts(MAIN, &[("policies/lyon.toml", text)]));
    for location in ["2:14", "3:11", "6:"] {
        let location = format!("policies/lyon.toml:{location}");
        assert!(found.iter().any(|line| line.starts_with(&location)), "{location}: {found:#?}");
    }
}

#[test]
fn a_broken_line_does_not_make_its_key_missing() {
    let main = MAIN.replace("url = \"http", "url \"http");
    let outcome = texts(&main, &[("policies/lyon.toml", HOSTS)]);
    assert_one(outcome, "gateway.toml:4:5", "there is no `=`", "write url = \"http://127.0.0.1\"");
}

#[test]
fn columns_count_characters() {
    let text = "hosts = [\"192.0.2.1\"]\nrate = { \"é\" = 1, per_second = 1, burst = 1, z = 1 }\n";
    let found = lines(texts(MAIN, &[("policies/lyon.toml", text)]));
    assert!(found[0].starts_with("policies/lyon.toml:2:10:"), "{found:?}");
    assert!(found[1].starts_with("policies/lyon.toml:2:46:"), "{found:?}");
}

#[test]
fn the_same_host_in_two_policies_is_an_error_that_names_both_places() {
    let hosts = [("10.0.0.0/24", "::ffff:10.0.0.0/120"), ("xivo.example.org", "XIVO.example.org.")];
    for (first, again) in hosts {
        let first = format!("hosts = [\n\"{first}\"]\n");
        let again = format!("\n\nhosts = [\"{again}\"]\n");
        let policies = [("policies/b.toml", again.as_str()), ("policies/a.toml", first.as_str())];
        let problems = problems(texts(MAIN, &policies));
        let errors: Vec<_> =
            problems.iter().filter(|problem| problem.severity() == Severity::Error).collect();
        let [problem] = errors.as_slice() else { panic!("{problems:?}") };
        let line = problem.to_string();
        assert!(line.starts_with("policies/b.toml:3:10: error"), "{line}");
        assert!(line.contains("is already a host of `a` at policies/a.toml:2"), "{line}");
        let rendered = problem.render(&Renderer::plain());
        assert!(rendered.contains("policies/b.toml:3:10"), "{rendered}");
        assert!(rendered.contains("policies/a.toml:2:1"), "{rendered}");
    }
}

#[test]
fn a_prefix_inside_another_policys_is_a_warning_that_says_who_wins() {
    let policies = [
        ("policies/a.toml", "hosts = [\"10.0.0.0/16\", \"2001:db8::/32\"]"),
        ("policies/b.toml", "hosts = [\"10.0.1.0/24\", \"10.0.1.7\", \"192.0.2.0/24\"]"),
    ];
    let outcome = texts(MAIN, &policies);
    assert!(outcome.is_ok());
    assert_one(
        outcome,
        "policies/b.toml:1:10: warning",
        "10.0.1.0/24 lies inside 10.0.0.0/16 of `a`: the longer prefix wins, and callers in it are `b`",
        "",
    );
}

#[test]
fn only_a_few_overlaps_of_a_policy_are_listed() {
    let around = "hosts = [\"10.0.0.0/9\"]";
    let inner: Vec<_> = (0..44).map(|n| format!("\"10.0.0.{n}\"")).collect();
    let inner = format!("hosts = [{}]", inner.join(","));
    let policies = [("policies/around.toml", around), ("policies/inner.toml", inner.as_str())];
    let found = lines(texts(MAIN, &policies));
    assert_eq!(found.len(), 4, "{found:#?}");
    assert!(found[3].contains("and 41 more hosts of `inner`"), "{}", found[3]);
}

#[test]
fn a_default_rate_above_the_whole_gateways_is_doubtful_too() {
    let main = format!("{MAIN}[limits]\nrate = {{ per_second = 5, burst = 100 }}\n");
    let outcome = texts(&main, &[("policies/lyon.toml", HOSTS)]);
    assert_one(
        outcome,
        "policies/lyon.toml:1:1: warning",
        "(10 per second, burst 20) can never",
        "",
    );
}

#[test]
fn doubtful_settings_of_the_main_file_are_warnings() {
    let cases = [
        ("danger_loopback_source = true", "5:26", "only the gateway's own rules"),
        ("[limits]\nmax_head = \"2k\"", "6:12", "a head of 2k never holds"),
        ("[limits]\nmax_uri = \"16k\"", "5:1", "a head of 16k never holds"),
    ];
    for (added, location, part) in cases {
        let outcome = texts(&format!("{MAIN}{added}\n"), &[("policies/lyon.toml", HOSTS)]);
        assert!(outcome.is_ok(), "{added}");
        assert_one(outcome, &format!("gateway.toml:{location}: warning"), part, "");
    }
}

#[test]
fn a_loopback_source_is_possible_with_the_dangerous_key() {
    let main = format!("{MAIN}source = \"127.0.0.1\"\ndanger_loopback_source = true\n");
    let upstream = config(&main, &[]).upstream;
    assert!(upstream.danger_loopback_source);
    assert_eq!(upstream.source.unwrap().value, IpAddr::V4(Ipv4Addr::LOCALHOST));
}

#[test]
fn file_names_that_are_no_peers_are_refused_with_the_rule() {
    let name = |name: &str| texts(MAIN, &[(name, HOSTS)]);
    let found = problems(name("policies/Lyon Est.toml"));
    assert_eq!(found.len(), 1);
    assert!(found[0].message().contains("\"Lyon Est\""), "{}", found[0]);
    assert!(found[0].message().contains("1 to 64 of a to z"), "{}", found[0]);
    assert_eq!(found[0].help(), Some("rename the file to lyon-est.toml"));
    assert!(name("policies/été.toml").is_err());
    assert!(name("policies/a.b_c-1.toml").is_ok());
}

#[test]
fn policies_are_in_the_byte_order_of_their_file_names() {
    let hosts = ["hosts = [\"192.0.2.1\"]", "hosts = [\"192.0.2.2\"]", "hosts = [\"192.0.2.3\"]"];
    let policies = [
        ("policies/b.toml", hosts[0]),
        ("policies/a_.toml", hosts[1]),
        ("policies/a-.toml", hosts[2]),
    ];
    let config = config(MAIN, &policies);
    let names: Vec<_> = config.policies.iter().map(|policy| policy.name.as_str()).collect();
    assert_eq!(names, ["a-", "a_", "b"]);
}

#[test]
fn an_error_is_drawn_with_its_line_a_caret_and_the_help() {
    let text = "hosts = [\"192.168.1.124/24\"]\n";
    let problems = texts(MAIN, &[("policies/lyon.toml", text)]).unwrap_err();
    let expected = "\
error: `hosts`: \"192.168.1.124/24\" has host bits set
 --> policies/lyon.toml:1:10
  |
1 | hosts = [\"192.168.1.124/24\"]
  |          ^^^^^^^^^^^^^^^^^^ allowed: a prefix whose remaining bits are zero
  |
  = help: write \"192.168.1.0/24\" for the network, or \"192.168.1.124\" for the one host";
    assert_eq!(problems.render(&Renderer::plain()), expected);
    assert!(problems.render(&Renderer::styled()).contains("\u{1b}["));
}

#[test]
fn problems_are_json_for_programs() {
    let text = "hosts = [\"10.1\"]\nenabled = false\n";
    let problems = texts(MAIN, &[("policies/lyon.toml", text)]).unwrap_err();
    assert_eq!(problems.errors(), 1);
    let json = serde_json::to_value(&problems).unwrap();
    assert_eq!(json[0]["severity"], "error");
    assert_eq!(json[0]["file"], "policies/lyon.toml");
    assert_eq!((&json[0]["line"], &json[0]["column"]), (&1.into(), &10.into()));
    assert_eq!(json[0]["message"], "`hosts`: \"10.1\" is abbreviated");
    assert_eq!(json[0]["source"], "hosts = [\"10.1\"]");
    assert_eq!(json[1]["severity"], "warning");
}

#[test]
fn a_hundred_thousand_prefixes_load_and_overlaps_among_them_are_found() {
    let policy = |first: u32| {
        let hosts: Vec<String> = (0..1000)
            .map(|n| format!("\"{}/28\"", Ipv4Addr::from_bits((10 << 24) + (first + n) * 16)))
            .collect();
        format!("hosts = [{}]\n", hosts.join(",\n"))
    };
    let mut policies: Vec<(String, String)> =
        (0..100).map(|n| (format!("policies/p{n:03}.toml"), policy(n * 1000))).collect();
    policies.push(("policies/z.toml".to_owned(), "hosts = [\"10.0.0.1\"]".to_owned()));
    let policies: Vec<(&str, &str)> =
        policies.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
    let (config, warnings) = texts(MAIN, &policies).unwrap();
    assert_eq!(config.policies.iter().map(|policy| policy.hosts.len()).sum::<usize>(), 100_001);
    let [warning] = warnings.as_slice() else { panic!("{}", warnings.len()) };
    assert!(warning.message().contains("10.0.0.1 lies inside 10.0.0.0/28 of `p000`"), "{warning}");
}

/// A directory with a main file and an empty policies directory, removed when dropped.
fn on_disk(main: &str) -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("gateway.toml");
    fs::write(&file, main).unwrap();
    fs::create_dir(directory.path().join("policies")).unwrap();
    (directory, file)
}

#[test]
fn paths_are_relative_to_the_file_that_names_them() {
    let main = format!(
        "state_directory = \"s\"\n{MAIN}[policies]\ndirectory = \"../etc/peers\"\n\
         [[access_log]]\npath = \"logs/a.log\"\n[[access_log]]\npath = \"/var/log/b.log\"\n"
    );
    let (directory, file) = on_disk(&main);
    let peers = directory.path().join("../etc/peers");
    let found = Config::load(&file).unwrap_err();
    assert!(found.to_string().contains("../etc/peers cannot be read: No such file"), "{found}");
    assert!(found.to_string().contains("gateway.toml:7:13: error"), "{found}");
    let main = main.replace("../etc/peers", "policies");
    fs::write(&file, main).unwrap();
    let (config, _) = Config::load(&file).unwrap();
    assert_eq!(config.state_directory, directory.path().join("s"));
    assert_eq!(config.policies_directory, directory.path().join("policies"));
    assert_eq!(config.access_logs[0].target, LogTarget::File(directory.path().join("logs/a.log")));
    assert_eq!(config.access_logs[1].target, LogTarget::File("/var/log/b.log".into()));
    assert!(!peers.exists());
}

#[test]
fn only_visible_regular_files_that_end_in_toml_are_policies() {
    let (directory, file) = on_disk(MAIN);
    let policies = directory.path().join("policies");
    let broken = [".hidden.toml", "a.toml~", "a.toml.dpkg-old", "a.dpkg-new.toml", "README.md"];
    for name in broken {
        fs::write(policies.join(name), "not a policy").unwrap();
    }
    fs::create_dir(policies.join("directory.toml")).unwrap();
    fs::write(policies.join("b.toml"), "hosts = [\"192.0.2.2\"]").unwrap();
    fs::write(policies.join("a.toml"), "hosts = [\"192.0.2.1\"]").unwrap();
    let (config, warnings) = Config::load(&file).unwrap();
    let names: Vec<_> = config.policies.iter().map(|policy| policy.name.as_str()).collect();
    assert_eq!(names, ["a", "b"]);
    let [backups, warning] = warnings.as_slice() else { panic!("{warnings:?}") };
    assert!(backups.message().contains("3 files in "), "{backups}");
    assert!(warning.to_string().contains("directory.toml:1:1: warning: this is no regular file"));
}

#[test]
fn an_empty_policies_directory_is_doubtful() {
    let (_directory, file) = on_disk(MAIN);
    let (config, warnings) = Config::load(&file).unwrap();
    assert!(config.policies.is_empty());
    let [warning] = warnings.as_slice() else { panic!("{warnings:?}") };
    assert!(warning.message().ends_with("nobody is let in"), "{warning}");
}

#[test]
fn unreadable_files_are_named_with_the_systems_error() {
    let (directory, file) = on_disk(MAIN);
    let policies = directory.path().join("policies");
    std::os::unix::fs::symlink("nowhere", policies.join("a.toml")).unwrap();
    fs::write(policies.join("b.toml"), b"hosts = [\"192.0.2.1\"]\ndescription = \"\xe9\"\n")
        .unwrap();
    let found = Config::load(&file).unwrap_err();
    let found: Vec<_> = found.iter().map(ToString::to_string).collect();
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(found[0].contains("a.toml cannot be read: No such file or directory"), "{found:?}");
    assert!(found[1].contains("b.toml:2:16: error: this file is not UTF-8"), "{found:?}");
    let missing = Config::load(&directory.path().join("none.toml")).unwrap_err();
    assert!(missing.to_string().contains("none.toml cannot be read: No such file"), "{missing}");
}

#[test]
fn the_repositorys_examples_load() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let main = fs::read_to_string(root.join("packaging/gateway.toml")).unwrap();
    let (directory, file) = on_disk(&main);
    let mut copied = 0;
    for entry in fs::read_dir(root.join("policies")).unwrap() {
        let entry = entry.unwrap();
        copied += usize::from(entry.path().extension().is_some_and(|end| end == "toml"));
        fs::copy(entry.path(), directory.path().join("policies").join(entry.file_name())).unwrap();
    }
    let (loaded, warnings) = Config::load(&file).unwrap_or_else(|problems| panic!("{problems}"));
    assert!(warnings.is_empty(), "{warnings:?}");
    assert!(copied >= 3 && loaded.policies.len() == copied);
}

#[test]
fn the_commented_main_file_shows_the_defaults() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let main = fs::read_to_string(root.join("packaging/gateway.toml")).unwrap();
    let commented = config(&main, &[]);
    let least = "[[listen]]\naddress = \"[::]:9480\"\n[upstream]\nurl = \"http://127.0.0.1:80\"\n\
                 host = \"localhost\"\n";
    let without_places = |config: &Config| {
        // Places, whether a value was written, and the files' digits are the only difference.
        let text = format!("{config:?}");
        let text = text.replace("written: true", "written: false");
        let text = text.replace(&config.revision, "");
        let mut rest = text.as_str();
        let mut kept = String::new();
        while let Some((before, after)) = rest.split_once("line: ") {
            kept.push_str(before);
            rest = after.trim_start_matches(|c: char| c.is_ascii_digit());
        }
        kept + rest
    };
    assert_eq!(without_places(&commented), without_places(&config(least, &[])));
}

#[test]
fn a_long_line_is_shown_around_what_is_wrong_in_it() {
    let hosts: Vec<String> =
        (0..500).map(|i| format!("\"10.{}.{}.1/24\"", i / 250, i % 250)).collect();
    let text = format!("hosts = [{}]\n", hosts.join(", "));
    let outcome = Config::from_texts(("gateway.toml", MAIN), &[("policies/long.toml", &text)]);
    let problems = outcome.unwrap_err();
    assert_eq!(problems.errors(), 500);
    let rendered = problems.render(&Renderer::plain());
    assert!(rendered.lines().all(|line| line.len() < 400));
    let column = text.find("\"10.1.249.1/24\"").unwrap() + 1;
    assert!(
        rendered.contains(&format!("policies/long.toml:1:{column}")),
        "{}",
        &rendered[rendered.len() - 600..]
    );
    assert!(rendered.contains("write \"10.1.249.0/24\""));
}

#[test]
fn name_servers_have_port_53_unless_another_is_written() {
    let main = format!(
        "{MAIN}[names]\nresolver = [\"10.0.0.53\", \"10.0.0.54:5353\", \"2001:db8::53\", \"[::1]:54\"]\n"
    );
    let (config, found) = texts(&main, &[("policies/lyon.toml", HOSTS)]).unwrap();
    assert!(found.is_empty(), "{found:?}");
    let servers: Vec<String> = config.names.resolver.iter().map(ToString::to_string).collect();
    assert_eq!(servers, ["10.0.0.53:53", "10.0.0.54:5353", "[2001:db8::53]:53", "[::1]:54"]);
}

#[test]
#[rustfmt::skip]
fn times_that_cannot_be_meant_are_warned_of() {
    for (line, location, part, advice) in [
        ("timeout = \"2900ms\"", "gateway.toml:5:11", "warning: `upstream.timeout`: a far XiVO in which somebody types a name waits 2.9 s", "write \"2500ms\""),
        ("timeout = \"1m\"", "gateway.toml:5:11", "warning: `upstream.timeout`: a far XiVO in which somebody types a name waits 2.9 s", "nobody sees it"),
        ("number_timeout = \"1s\"", "gateway.toml:5:18", "warning: `upstream.number_timeout`: a far XiVO that looks for the name of who calls waits 1 s", "write \"900ms\""),
        ("number_timeout = \"2s\"", "gateway.toml:5:18", "warning: `upstream.number_timeout`: a far XiVO that looks for the name of who calls waits 1 s", "shows no name"),
        ("timeout = \"899ms\"", "gateway.toml:5:11", "warning: `upstream.timeout`: shorter than `number_timeout`", "2500ms"),
        ("timeout = \"500ms\"\nnumber_timeout = \"600ms\"", "gateway.toml:5:11", "warning: `upstream.timeout`: shorter than `number_timeout`", "2500ms"),
        ("connect_timeout = \"2s\"", "gateway.toml:5:19", "warning: `upstream.connect_timeout`: longer than `number_timeout`", "ends first"),
        ("connect_timeout = \"801ms\"\ntimeout = \"800ms\"\nnumber_timeout = \"800ms\"", "gateway.toml:5:19", "warning: `upstream.connect_timeout`: longer than `timeout`", "ends first"),
        ("list_timeout = \"100ms\"", "gateway.toml:5:16", "warning: `upstream.list_timeout`: shorter than `timeout`", "whole list"),
    ] {
        let text = format!("{MAIN}{line}\n");
        assert_one(Config::from_texts(("gateway.toml", &text), &[("policies/lyon.toml", HOSTS)]), location, part, advice);
    }
    for line in [
        "timeout = \"2899ms\"",
        "number_timeout = \"999ms\"",
        "timeout = \"900ms\"",
        "timeout = \"500ms\"\nnumber_timeout = \"500ms\"",
        "connect_timeout = \"900ms\"",
    ] {
        let text = format!("{MAIN}{line}\n");
        let (_, found) = texts(&text, &[("policies/lyon.toml", HOSTS)]).unwrap();
        assert!(found.is_empty(), "{line}: {found:?}");
    }
}

mod access_logs;
mod dump;
mod upstream_tls;

const MAIN: &str =
    "[[listen]]\naddress = \"127.0.0.1:0\"\n[upstream]\nurl = \"http://127.0.0.1\"\n";
const HOSTS: &str = "hosts = [\"192.0.2.1\"]\n";

/// What is wrong with lines added to the end of a main file that was well: they begin on line 5,
/// inside `[upstream]`.
#[rustfmt::skip]
const BAD_MAIN: &[(&str, &str, &str, &str)] = &[
    // Keys and sections.
    ("timeuot = \"1s\"", "5:1", "unknown key \"timeuot\" in [upstream]", "did you mean `timeout`?"),
    ("list-timeout = \"1s\"", "5:1", "unknown key \"list-timeout\"", "did you mean `list_timeout`?"),
    ("zzz = 1", "5:1", "unknown key \"zzz\"", "known here: answer_timeout, ca,"),
    ("[limit]\nx = 1", "5:2", "unknown section \"limit\" at the top of the file", "`limits`"),
    ("[limits]\nrate = { per_second = 99, brst = 2, burst = 99 }", "6:27", "unknown key \"brst\" in [limits.rate]", "`burst`"),
    ("[whoami]\nenable = true", "6:1", "unknown key \"enable\"", "`enabled`"),
    ("[policies]\ndirectry = \"x\"", "6:1", "unknown key \"directry\"", "`directory`"),
    ("[admin]\naddress = 9481", "6:11", "9481 is no address", "127.0.0.1:9481"),
    ("[admin]\naddress = \"127.0.0.1\"", "6:11", "\"127.0.0.1\" is no address with a port", "\"unix:\" and a path"),
    ("[admin]\naddress = \"/run/a.sock\"", "6:11", "\"/run/a.sock\" is no address", "write address = \"unix:/run/a.sock\""),
    ("[admin]\naddress = \"unix:\"", "6:11", "\"\" is no path", "a path"),
    ("[admin]\naddress = \"192.0.2.1:9481\"\ndanger_plain_admin = true", "6:11", "has no token", "token_file = "),
    ("[admin]\nserver_names = [\"a:80\"]", "6:17", "has a port", "without a port"),
    ("[admin]\ntoken_file = \"none\"", "6:14", "none: it cannot be read: No such file", "this file"),
    ("[[policies]]\ndirectory = \"x\"", "5:1", "`policies`: found a list", "[policies]"),
    ("[upstream.circuit]\nfailure = 1", "6:1", "unknown key \"failure\" in [upstream.circuit]", "did you mean `failures`?"),
    ("[upstream.check]\ninterval = \"10s\"", "5:1", "`upstream.check.search` is missing", "add search"),
    ("[upstream.check]\ninterval = \"10s\"\nsearch = \" \"", "5:1", "`upstream.check.search` is missing", "add search"),
    ("[upstream.check]\ninterval = \"10ms\"", "6:12", "10ms is out of range", "\"0s\", or \"1s\" to \"1h\""),
    ("[upstream.check]\nsearch = \"a\\u0000\"", "6:10", "cannot be searched for", "no control character"),
    ("[upstream.circuit]\nfailures = 1001", "6:12", "out of range", "from 0 to 1000"),
    ("circuit = 5", "5:11", "`upstream.circuit`: found the number 5", "a section"),
    ("failures = 5", "5:1", "unknown key \"failures\" in [upstream]", "belongs in [upstream.circuit]"),
    // Types.
    ("timeout = true", "5:11", "`upstream.timeout`: found the boolean true", "allowed: a duration"),
    ("timeout = 1.5", "5:11", "found the number 1.5", "allowed: a duration"),
    ("timeout = [\"1s\"]", "5:11", "found a list", "allowed: a duration"),
    ("host = 5", "5:8", "`upstream.host`: found the number 5", "allowed: a string"),
    ("danger_loopback_source = \"true\"", "5:26", "found the string \"true\"", "true or false"),
    ("[limits]\nmax_connections = \"5\"", "6:19", "found the string \"5\"", "a whole number from 1"),
    ("[limits]\nmax_connections = 2026-01-01", "6:19", "found the date 2026-01-01", "a whole number"),
    ("[limits]\nrate = 5", "6:8", "`limits.rate`: found the number 5", "write rate = { per_second = 5, burst = 10 }"),
    ("[limits]\nrate = \"10r/s\"", "6:8", "found the string \"10r/s\"", "write rate = { per_second = 10, burst = 20 }"),
    ("[limits]\nunknown_rate = \"30 per minute\"", "6:16", "found the string", "write unknown_rate = { per_minute = 30, burst = 60 }"),
    ("[limits]\nmax_connections = \"5\"", "6:19", "found the string \"5\"", "write max_connections = 5"),
    ("url_ = [\"x\"]", "5:1", "unknown key \"url_\"", "did you mean `url`?"),
    ("host = [\"xivo\"]", "5:8", "found a list", "write host = \"xivo\""),
    ("rate = 5", "5:1", "unknown key \"rate\" in [upstream]", "`rate` belongs in [limits] or at the top of a policy's file, before any section"),
    ("enabled = true", "5:1", "unknown key \"enabled\"", "belongs in [whoami] or at the top of a policy"),
    ("[[listen]]\naddress = 9580", "6:11", "found the number 9580", "write address = \"[::]:9580\""),
    ("[[listen]]\naddress = \":::9580\"", "6:11", "\":::9580\" is no address", "write \"[::]:9580\""),
    ("[[listen]]\naddress = \"*:9580\"", "6:11", "is no address", "write \"[::]:9580\""),
    ("[[listen]]\naddress = \"localhost:9580\"", "6:11", "is no address", "write \"127.0.0.1:9580\" or \"[::1]:9580\""),
    ("[[listen]]\naddress = \"xivo.example.org:9580\"", "6:11", "is no address", "write the address of xivo.example.org, or \"[::]:9580\""),
    ("source = \"xivo.example.org\"", "5:10", "is a name, and a connection comes from an address", "LAN address"),
    ("source = \"192.168.1.125:80\"", "5:10", "has a port, and the kernel chooses it", "write source = \"192.168.1.125\""),
    ("source = \"[2001:db8::1]:80\"", "5:10", "has a port", "write source = \"2001:db8::1\""),
    ("source = \"[2001:db8::1]\"", "5:10", "is no address alone", "write source = \"2001:db8::1\""),
    ("source = \"192.168.1.125/24\"", "5:10", "is no address alone", "write source = \"192.168.1.125\""),
    ("source = \"http://192.168.1.125/\"", "5:10", "is no address alone", "write source = \"192.168.1.125\""),
    ("source = \" 192.168.1.125\"", "5:10", "is no address alone", "write source = \"192.168.1.125\""),
    ("source = \"http://xivo/\"", "5:10", "has a word before its host", "allowed: one of this host's LAN addresses"),
    ("source = \"fe80::1%eth0\"", "5:10", "has a zone", "LAN address"),
    ("[[listen]]\naddress = \"::9580\"", "6:11", "is no address", "write \"[::]:9580\", or \"[::9580]:9480\" where all of it is the address"),
    ("[[listen]]\naddress = \"::1:9580\"", "6:11", "is no address", "write \"[::1]:9580\", or"),
    ("[[listen]]\naddress = \"[::1:9580\"", "6:11", "is no address", "write \"[::1]:9580\""),
    ("[[listen]]\naddress = \"2001:db8::1\"", "6:11", "is no address", "write \"[2001:db8::1]:9480\""),
    ("[[listen]]\naddress = \"2001:db8:1:2:3:4:5:6:9580\"", "6:11", "is no address", "write \"[2001:db8:1:2:3:4:5:6]:9580\""),
    ("[[listen]]\naddress = \"9580 ssl\"", "6:11", "is no address", "write \"[::]:9580\"; for TLS add tls"),
    ("[[listen]]\naddress = \"[::]:9580 default_server\"", "6:11", "is no address", "write \"[::]:9580\""),
    ("[[listen]]\naddress = \"127.0.0.1 9580\"", "6:11", "is no address", "write \"127.0.0.1:9580\""),
    ("[[listen]]\naddress = \"http://0.0.0.0:9580/\"", "6:11", "is no address", "write \"0.0.0.0:9580\""),
    ("[[listen]]\naddress = \"all:9580\"", "6:11", "is no address", "write \"[::]:9580\""),
    ("[[listen]]\naddress = \"0.0.0.0:99999\"", "6:11", "is no address", "\"99999\" is no port: allowed are 0 to 65535"),
    ("[[listen]]\naddress = \"[fe80::1%eth0]:9580\"", "6:11", "has a zone", "write \"[::]:9580\""),
    ("[[listen]]\naddress = [::]:9580", "6:11", "[::]:9580 stands without quotes", "write address = \"[::]:9580\""),
    ("[limits]\nrate = 0.5", "6:8", "found the number 0.5", "write rate = { per_minute = 30, burst = 60 }"),
    ("[limits]\nrate = \"10r/s burst=20 nodelay\"", "6:8", "found the string", "write rate = { per_second = 10, burst = 20 }"),
    ("timeout = 0.25", "5:11", "found the number 0.25", "write timeout = \"250ms\""),
    ("danger_loopback_source = \"off\"", "5:26", "found the string \"off\"", "write danger_loopback_source = false"),
    ("danger_loopback_source = 1", "5:26", "found the number 1", "write danger_loopback_source = true"),
    ("[log_format]\na = '$proxy_add_x_forwarded_for'", "6:5", "means nothing here", "$http_x_forwarded_for"),
    ("[names]\nresolver = \"192.0.2.53\"", "6:12", "found the string", "write [\"192.0.2.53\"]"),
    // Durations and sizes.
    ("timeout = 900", "5:11", "`upstream.timeout`: 900 has no unit", "write \"900ms\" or \"900s\""),
    ("timeout = \"900\"", "5:11", "\"900\" has no unit", "write \"900ms\""),
    ("timeout = \"1sec\"", "5:11", "unknown unit", "write \"1s\""),
    ("timeout = \"0ms\"", "5:11", "0ms is out of range", "allowed: \"1ms\" to \"1h\""),
    ("timeout = \"2h\"", "5:11", "2h is out of range", "allowed: \"1ms\" to \"1h\""),
    ("timeout = -1", "5:11", "-1 has no unit", "allowed: a whole number and ms"),
    ("max_answer = \"64mb\"", "5:14", "unknown unit", "write \"64m\""),
    ("max_answer = -1", "5:14", "\"-1\" is not a size", "allowed: bytes"),
    ("max_answer = \"1\"", "5:14", "1 is out of range", "\"1k\" to \"64g\""),
    ("max_answer = 0x400", "5:14", "found the number 0x400", "a size"),
    ("[limits]\nmax_uri = \"2m\"", "6:11", "2m is out of range", "\"128\" to \"1m\""),
    // Numbers.
    ("[limits]\nmax_header_fields = 0", "6:21", "0 is out of range", "from 1 to 1024"),
    ("[limits]\nmax_requests_per_connection = 4294967296", "6:31", "out of range", "from 1 to"),
    ("[limits]\nmax_connections = 99999999999999999999999", "6:19", "out of range", "from 1 to"),
    ("[limits]\nrate = { per_second = 0, burst = 1 }", "6:23", "`limits.rate.per_second`: 0 is out of range", "from 1"),
    ("[limits]\nrate = { per_second = 1 }", "6:8", "`limits.rate.burst` is missing", "burst = 20"),
    ("[limits]\nrate = { burst = 1 }", "6:8", "`limits.rate.per_second` is missing", "per_minute"),
    ("[limits]\nrate = { per_second = 10, per_minute = 2, burst = 20 }", "6:40", "stands beside `per_second`", "one of"),
    // Listening.
    ("[[listen]]", "5:1", "`listen.address` is missing", "[::]:9480"),
    ("[[listen]]\naddress = \"9480\"", "6:11", "\"9480\" is no address with a port", "[::]:9480"),
    ("[[listen]]\naddress = \"[::1]:80\"\n[[listen]]\naddress = \"[::1]:80\"", "8:11", "taken already: gateway.toml:6", "once"),
    ("[[listen]]\naddress = \"[::]:80\"\n[[listen]]\naddress = \"0.0.0.0:80\"", "8:11", "gateway.toml:6 listens on [::]:80", "IPv4 too"),
    ("[[listen]]\naddress = \"127.0.0.1:80\"\n[[listen]]\naddress = \"[::]:80\"", "8:11", "gateway.toml:6 listens on 127.0.0.1:80", "one section"),
    ("[[listen]]\naddress = \"0.0.0.0:80\"\n[[listen]]\naddress = \"[::ffff:10.0.0.1]:80\"", "8:11", "taken already", "once"),
    ("[[listen]]\naddress = \"255.255.255.255:80\"", "6:11", "no address of a host", "[::] for all"),
    ("[[listen]]\naddress = \"[::1]:80\"\nserver_names = [\"a:80\"]", "7:17", "has a port", "write \"a\""),
    ("[[listen]]\naddress = \"[::1]:80\"\nserver_names = [\"ok\", \"*.a\"]", "7:23", "no host name", "no wildcards"),
    // The upstream.
    ("host = \"a b\"", "5:8", "\"a b\" is no host name", "allowed"),
    ("source = \"10.1\"", "5:10", "\"10.1\" is abbreviated", "allowed: four numbers"),
    ("source = \"0.0.0.0\"", "5:10", "no host's address", "LAN"),
    ("source = \"127.0.0.1\"", "5:10", "\"127.0.0.1\" is a loopback address", "danger_loopback_source = true"),
    ("source = \"::ffff:127.0.0.1\"", "5:10", "loopback address", "192.168.1.125"),
    ("source = \"2001:db8::1\"", "5:10", "can never connect to 127.0.0.1", "family"),
    ("source = \"${NOBODY_SETS_THIS}\"", "5:10", "the environment variable NOBODY_SETS_THIS is not set", "${NAME}"),
    // Logs.
    ("[[access_log]]\npath = \"\"", "6:8", "\"\" is no path", "allowed: a path"),
    ("[[access_log]]\npath = \"./a\"\n[[access_log]]\npath = \"./a\"", "8:8", "repeated: the log of gateway.toml:5", "once"),
    ("[[access_log]]\n[[access_log]]\n", "6:1", "`access_log.path` is missing", "repeated: the log of gateway.toml:5"),
    ("[[access_log]]\npath = \"off\"", "6:8", "\"off\" is no target", "/dev/null"),
    ("[[access_log]]\npath = \"Stdout\"", "6:8", "\"Stdout\" is no target", "write \"stdout\""),
    ("[[access_log]]\npath = \"access\"", "6:8", "\"access\" is no target", "\"./access\""),
    ("[[access_log]]\npath = \"gateway.toml\"", "6:8", "named like a file of the configuration", ".toml"),
    ("[[access_log]]\npath = \"${LOGS:-x}/a.log\"", "6:8", "\"${LOGS:-x}\" is no variable", "${NAME}"),
    ("workers = 4", "5:1", "unknown key \"workers\" in [upstream]", "belongs at the top of gateway.toml, before the first section"),
    ("idle_timeout = \"1s\"", "5:1", "unknown key \"idle_timeout\"", "belongs in [limits]"),
    ("[[access_log]]\nmax_field = 10", "6:13", "10 is out of range", "0 (never cut)"),
    ("[[access_log]]\nsearch_terms = \"hsh\"", "6:16", "\"hsh\" is unknown", "did you mean \"hash\"?"),
    ("[[access_log]]\nformat = \"gatway\"", "6:10", "there is no format \"gatway\"", "did you mean \"gateway\"?"),
    ("[[access_log]]\nformat = \"$status\"", "6:10", "is no name of a format", "write the format in [log_format]"),
    ("[log_format]\ncombined = '$status'", "6:12", "`log_format.combined`: \"combined\" is predefined", "another name"),
    ("[log_format]\na = '$remot_addr'", "6:5", "`log_format.a`: there is no variable $remot_addr", "did you mean $remote_addr?"),
    ("[log_format]\na = '$gzip_ratio'", "6:5", "$gzip_ratio is a variable of nginx that means nothing here", "compresses no answer"),
    ("[log_format]\na = ['$status', ' 5$']", "6:5", "a `$` stands before \"\"", "$name or ${name}"),
    ("[log_format]\na = '${status'", "6:5", "the closing bracket in \"status\" variable is missing", "${status}"),
    ("[log_format]\na = 'escape=jsn $status'", "6:5", "escape=jsn is unknown", "did you mean escape=json?"),
    ("[log_format]\na = \"'$status' x\"", "6:5", "it begins with nginx's quotes", "with blanks between"),
    ("[log_format]\na = \"log_format a '$status';\"", "6:5", "it holds the directive's name", "leave `log_format`"),
    ("[log_format]\na = ''", "6:5", "the format is empty", ""),
    ("[log_format]\na = 5", "6:5", "found the number 5", "a list of them"),
    ("[access_log]\npath = \"a\"", "5:1", "`access_log`: found a table", "[[access_log]], with two brackets"),
    ("[names]\nresolver = [\"10.1\"]", "6:13", "`names.resolver`: \"10.1\" is abbreviated", ""),
    ("[names]\nrefresh = 60", "6:11", "60 has no unit", ""),
    // What this version cannot do.
    ("[[listen]]\naddress = \"[::1]:80\"\ntls = { certificate = \"a\", private_key = \"b\" }", "7:23", "`listen.tls.certificate`: a: it cannot be read", ""),
    ("[[listen]]\naddress = \"[::1]:80\"\nhttp2 = true", "7:9", "this listener has no TLS", "add tls to this [[listen]]"),
    // Syntax.
    ("timeout 5", "5:9", "`upstream.timeout`: there is no `=`", "besides, `upstream.timeout`: 5 has no unit"),
    ("timeout = ", "5:", "not valid TOML", ""),
    ("timeout = \"2s\"\ntimeout = \"2s\"", "6:1", "is there twice", ""),
    ("host = 'é", "5:8", "`upstream.host`: the string 'é is not closed", "xn--"),
];

/// What is wrong or doubtful in a policy. Where it has no `hosts` of its own, a line is added.
#[rustfmt::skip]
const BAD_POLICIES: &[(&str, &str, &str, &str)] = &[
    ("", "1:1: error", "`hosts` is missing", "192.168.1.124"),
    ("hosts = []", "1:9: error", "empty", "one host or more"),
    ("hosts = \"192.0.2.1\"", "1:9: error", "found the string", "write [\"192.0.2.1\"]"),
    ("hosts = [\"192.0.2.1\", 7]", "1:23: error", "`hosts`: found the number 7", "a string"),
    ("hosts = [\n  \"192.0.2.1\",\n  \"10.1\",\n]", "3:3: error", "\"10.1\" is abbreviated", "\"10.1.0.0/16\""),
    ("hosts = [\"192.168.1.124/24\"]", "1:10: error", "host bits set", "\"192.168.1.0/24\""),
    ("hosts = [\"é\"]", "1:10: error", "\"é\" is no host name", "xn--"),
    ("hosts = [\"::ffff:0:0/90\"]", "1:10: error", "beyond the IPv4-mapped block", "/96 and longer"),
    ("host = [\"192.0.2.1\"]\nhosts = [\"192.0.2.1\"]", "1:1: error", "unknown key \"host\"", "`hosts`"),
    ("hosts = [\"192.0.2.1\", \"192.0.2.1/32\"]", "1:23: error", "192.0.2.1 is already a host in this policy at policies/lyon.toml:1", "remove one"),
    ("hosts = [\"192.0.2.1\", \"::ffff:192.0.2.1\"]", "1:23: error", "already a host in this policy", ""),
    ("hosts = [\"0.0.0.0/0\"]", "1:10: warning", "0.0.0.0/0 is a large part", "everybody"),
    ("hosts = [\"10.0.0.0/8\"]", "1:10: warning", "large part", ""),
    ("hosts = [\"2000::/16\"]", "1:10: warning", "large part", ""),
    ("hosts = [\"::/0\"]", "1:10: warning", "large part", ""),
    ("hosts = [\"::/64\"]", "1:10: warning", "holds the IPv4-mapped addresses", "IPv4 prefixes"),
    ("hosts = [\"127.0.0.0/8\"]", "1:10: warning", "this host itself", "every program"),
    ("hosts = [\"::1\"]", "1:10: warning", "this host itself", ""),
    ("hosts = [\"0.0.0.0\"]", "1:10: warning", "never a caller's address", ""),
    ("actions = [\"serach\"]", "1:12: error", "\"serach\" is unknown", "did you mean \"search\"?"),
    ("actions = [\"Search\"]", "1:12: error", "\"Search\" is unknown", "did you mean \"search\"?"),
    ("actions = [\"private\"]", "1:12: error", "\"private\" is unknown", "\"search\", \"list\" and \"view\""),
    ("actions = [\"delete\"]", "1:12: error", "\"delete\" is never granted by this gateway", "read only"),
    ("actions = [\"search\", \"add\"]", "1:22: error", "\"add\" is never granted by this gateway", "read only"),
    ("actions = \"search\"", "1:11: error", "found the string", "write [\"search\"]"),
    ("actions = [\"list\"]", "1:12: warning", "list gives away the whole phonebook", "search only"),
    ("actions = [\"view\", \"view\"]", "1:20: warning", "\"view\" is repeated", ""),
    ("actions = []", "1:11: warning", "may ask for nothing", ""),
    ("rate = { per_second = 1.5, burst = 2 }", "1:23: error", "found the number 1.5", "a whole number"),
    ("rate = { per_second = 0.5, burst = 2 }", "1:23: error", "found the number 0.5", "write { per_minute = 30, burst = 2 }"),
    ("rate = { per_second = 0.01, burst = 2 }", "1:23: error", "found the number 0.01", "at least 1"),
    ("rate = 50", "1:8: error", "found the number 50", "write rate = { per_second = 50, burst = 100 }"),
    ("rate = { per_minute = 6, burst = 0 }", "1:34: error", "`rate.burst`: 0 is out of range", "from 1"),
    ("rate = { per_second = 1001, burst = 20 }", "1:8: warning", "can never be met: the whole gateway's is 1000 per second", "[limits]"),
    ("rate = { per_second = 1, burst = 2001 }", "1:8: warning", "can never be met", ""),
    ("rate = { per_minute = 60001, burst = 1 }", "1:8: warning", "(60001 per minute, burst 1)", ""),
    ("concurrent = 0", "1:14: error", "0 is out of range", "from 1"),
    ("concurrent = -3", "1:14: error", "-3 is out of range", "from 1"),
    ("min_search_length = 65", "1:21: error", "65 is out of range", "from 0 to 64"),
    ("min_search_length = 1", "1:21: warning", "a term of 1", "2 is the default"),
    ("min_search_length = 0", "1:21: warning", "a term of 0", ""),
    ("enabled = \"no\"", "1:11: error", "found the string \"no\"", "true or false"),
    ("enabled = false", "1:11: warning", "this peer is refused", "switched off"),
    ("valid_from = \"2026-11-01T00:00:00Z\"", "1:14: error", "found the string", "without quotes"),
    ("valid_from = 2026-11-01T00:00:00", "1:14: error", "2026-11-01T00:00:00 needs an offset such as Z", "write valid_from = 2026-11-01T00:00:00"),
    ("valid_from = 2026-11-01", "1:14: error", "needs an offset such as Z", "write valid_from = 2026-11-01T00:00:00"),
    ("valid_until = 8999-12-31", "1:15: error", "needs an offset such as Z", "write valid_until = 9000-01-01T00:00:00"),
    ("valid_until = never", "1:15: error", "`valid_until`: never is no date", "leave `valid_until` out"),
    ("valid_until = 05/06/8999", "1:15: error", "05/06/8999 is no date", "write a date, a time and an offset"),
    ("valid_until = 31/12/8999", "1:15: error", "\"31/12/8999\" is no value", "write valid_until = 9000-01-01T00:00:00"),
    ("valid_until = 31.12.8999", "1:15: error", "\"31.12.8999\" is no value", "write valid_until = 9000-01-01T00:00:00"),
    ("valid_until = \"8999-12-31\"", "1:15: error", "found the string", "write valid_until = 9000-01-01T00:00:00"),
    ("trusted_proxies = []", "1:1: error", "unknown key \"trusted_proxies\"", "belongs in [[listen]]"),
    ("valid_from = 07:32:00", "1:14: error", "needs an offset", ""),
    ("valid_from = 2026-02-30T00:00:00Z", "1:14: error", "no date and time", "day"),
    ("valid_from = 9000-01-02T00:00:00Z\nvalid_until = 9000-01-02T00:00:00Z", "2:15: error", "is not after `valid_from`", "later"),
    ("valid_until = 2001-01-01T00:00:00Z", "1:15: warning", "expired at 2001-01-01T00:00:00Z", "in the past"),
    ("hosts = [\"10.0.0.1\"]\n[certificate]", "2:1: error", "no certificate is named", "certs show"),
    ("hosts = [\"10.0.0.1\"]\n[certificate]\nsan_dns = []", "3:11: error", "empty", ""),
    ("hosts = [\"10.0.0.1\"]\n[certificate]\nsan_dns = [\"*.a\"]", "3:12: error", "is no host name", "wildcards"),
    ("hosts = [\"10.0.0.1\"]\n[certificate]\npublic_key_sha256 = [\"DA39A3EE5E6B4B0D3255BFEF95601890AFD80709\"]", "3:22: error", "as a SHA-1 has", "certs show"),
    ("hosts = [\"10.0.0.1\"]\n[certificate]\npublic_key_sha256 = [\"12:+4\"]", "3:22: error", "is neither hexadecimal nor base64", "certs show"),
    ("hosts = [\"10.0.0.1\"]\n[certificate]\nsan_uri = [\"lyon\"]", "3:12: error", "is no URI", ""),
    ("hosts = [\"10.0.0.1\"]\n[certificate]\ncommon_name = [\" a\"]", "3:16: error", "is no common name", ""),
    ("hosts = [\"10.0.0.1\"]\n[certificate]\ncommon_name = [\"a\"]\nrequire = \"any\"", "4:11: error", "\"any\" is unknown", ""),
    ("[certificate]\ncommon_name = [\"a\"]", "1:1: error", "`hosts` is missing", ""),
    ("description = [", "1:15: error", "`description`: the list is not closed", "besides, `description`: found a list"),
];
