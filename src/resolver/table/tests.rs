use super::*;
use crate::location::Located;
use crate::policy::tests::policy_with_hosts;
use crate::resolver::Family;

/// Seconds after an arbitrary beginning.
fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + seconds).unwrap()
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// A policy with these prefixes, and with a name of its own.
fn policy(peer: &str, prefixes: &[&str]) -> Policy {
    let mut policy = policy_with_hosts(peer, prefixes);
    let location = policy.location.clone();
    let value = Host::Name(format!("{peer}.example.org"));
    policy.hosts.push(Located { value, location, written: true });
    policy
}

fn settings() -> Settings {
    Settings {
        resolver: Vec::new(),
        refresh: Duration::from_secs(60),
        hold_nx: Duration::from_secs(30),
        hold_timeout: Duration::from_secs(600),
        hold_error: Duration::from_secs(300),
        hold_obsolete: Duration::ZERO,
        danger_loopback_names: false,
    }
}

fn table(policies: &[Policy]) -> Table {
    Table::new(policies, settings())
}

fn answer(addresses: &[&str]) -> Outcome {
    let addresses = addresses.iter().map(|text| ip(text)).collect();
    Outcome::Addresses { addresses, ttl: None, missing: None }
}

/// What `lyon.example.org` has answered at a second.
fn lyon(table: &mut Table, outcome: &Outcome, seconds: i64) -> Vec<String> {
    let events = table.answer("lyon.example.org", outcome, at(seconds), 0.0);
    events.iter().map(ToString::to_string).collect()
}

/// Who has which address at a second.
fn known(table: &mut Table, seconds: i64) -> Vec<String> {
    let (resolved, ..) = table.resolved(at(seconds));
    resolved.iter().map(|r| format!("{} {}", r.peer, r.address)).collect()
}

fn told(table: &mut Table, seconds: i64) -> Vec<String> {
    let (_, _, events) = table.resolved(at(seconds));
    events.iter().map(ToString::to_string).collect()
}

#[test]
fn an_answer_names_the_peer_and_every_change_is_one_line() {
    let mut table = table(&[policy("lyon", &[])]);
    assert_eq!(
        lyon(&mut table, &answer(&["198.51.100.4", "2001:db8::4"]), 0),
        ["lyon was found: lyon.example.org 198.51.100.4, 2001:db8::4"]
    );
    assert_eq!(known(&mut table, 0), ["lyon 198.51.100.4", "lyon 2001:db8::4"]);
    assert!(lyon(&mut table, &answer(&["2001:db8::4", "198.51.100.4"]), 60).is_empty());
    assert_eq!(
        lyon(&mut table, &answer(&["::ffff:198.51.100.9"]), 120),
        ["lyon moved: lyon.example.org 198.51.100.4, 2001:db8::4 → 198.51.100.9"]
    );
    assert_eq!(known(&mut table, 120), ["lyon 198.51.100.9"]);
}

#[test]
fn each_failure_has_its_hold_and_the_peer_fails_closed_behind_it() {
    for (failure, hold) in [
        (Failure::NoSuchName, 30),
        (Failure::Timeout, 600),
        (Failure::Error("192.0.2.53:53 answered SERVFAIL".to_owned()), 300),
    ] {
        let mut table = table(&[policy("lyon", &[])]);
        lyon(&mut table, &answer(&["198.51.100.4"]), 0);
        let told_first = lyon(&mut table, &Outcome::Failed(failure.clone()), 10);
        assert_eq!(told_first.len(), 1);
        assert!(told_first[0].contains(&format!("for {hold} s more")), "{told_first:?}");
        assert!(lyon(&mut table, &Outcome::Failed(failure.clone()), 15).is_empty());
        assert_eq!(known(&mut table, hold + 9), ["lyon 198.51.100.4"], "{failure}");
        let (resolved, lost, events) = table.resolved(at(hold + 10));
        assert!(resolved.is_empty(), "{failure}");
        assert_eq!(lost[0].why, LostBecause::Failing(at(10), failure.clone()));
        assert!(lost[0].to_string().contains(&failure.to_string()));
        assert!(matches!(events.as_slice(), [Event::Dropped { .. }]), "{events:?}");
        assert!(told(&mut table, hold + 11).is_empty(), "it is told once");
        // The same address again is no move.
        assert_eq!(
            lyon(&mut table, &answer(&["198.51.100.4"]), hold + 15),
            ["lyon.example.org of `lyon` resolves again"]
        );
        assert_eq!(known(&mut table, hold + 15), ["lyon 198.51.100.4"]);
        // A second time is told as the first.
        assert_eq!(lyon(&mut table, &Outcome::Failed(failure), hold + 20).len(), 1);
        assert_eq!(told(&mut table, 3 * hold).len(), 1);
    }
}

#[test]
fn an_address_that_left_is_used_for_the_hold_of_obsolete_ones() {
    let settings = Settings { hold_obsolete: Duration::from_secs(20), ..settings() };
    let mut table = Table::new(&[policy("lyon", &[])], settings);
    lyon(&mut table, &answer(&["198.51.100.4"]), 0);
    lyon(&mut table, &answer(&["198.51.100.9"]), 60);
    assert_eq!(known(&mut table, 79), ["lyon 198.51.100.4", "lyon 198.51.100.9"]);
    let (resolved, lost, _) = table.resolved(at(80));
    assert_eq!((resolved.len(), resolved[0].address), (1, ip("198.51.100.9")));
    // Who still calls from there is told where it went wrong, for a day.
    assert_eq!((lost[0].address, &lost[0].why), (ip("198.51.100.4"), &LostBecause::Moved));
    assert!(table.resolved(at(60 + 86_400)).1.is_empty());
    // Names that move all the time cost no more than so much.
    for second in 0..1000 {
        let address = format!("192.0.2.{}", second % 250);
        lyon(&mut table, &answer(&[&address]), 100 + second);
        table.resolved(at(100 + second));
    }
    assert!(table.resolved(at(1200)).1.len() <= 64);
}

#[test]
fn what_another_policy_writes_and_what_no_peer_can_have_is_refused_once_and_the_rest_stays() {
    let mut table = table(&[
        policy("lyon", &["203.0.113.0/25"]),
        policy_with_hosts("paris", &["203.0.113.0/24", "192.0.2.7/32"]),
    ]);
    let addresses = [
        "192.0.2.7",
        "203.0.113.200",
        "203.0.113.5",
        "127.0.0.1",
        "::1",
        "0.0.0.0",
        "224.0.0.1",
        "255.255.255.255",
        "169.254.1.1",
        "fe80::1",
        "ff02::1",
        "198.51.100.4",
    ];
    lyon(&mut table, &answer(&addresses), 0);
    let events = told(&mut table, 0);
    assert_eq!(events.len(), addresses.len() - 2, "{events:#?}");
    let of = |address: &str| {
        let line = events.iter().find(|line| line.starts_with(&format!("{address},")));
        line.unwrap_or_else(|| panic!("{address}: {events:#?}")).clone()
    };
    assert!(of("192.0.2.7").contains("`paris` has at policies/paris.toml:3"), "{events:#?}");
    assert!(of("203.0.113.200").contains("what is written wins"));
    assert!(of("127.0.0.1").contains("danger_loopback_names"));
    assert!(of("fe80::1").contains("no caller can have"));
    // Its own prefix, which is longer, holds one of them.
    assert_eq!(known(&mut table, 1), ["lyon 198.51.100.4", "lyon 203.0.113.5"]);
    assert!(told(&mut table, 2).is_empty(), "it is told once");
    let dangerous = Settings { danger_loopback_names: true, ..settings() };
    let mut table = Table::new(&[policy("lyon", &[])], dangerous);
    lyon(&mut table, &answer(&["127.0.0.1"]), 0);
    assert_eq!(known(&mut table, 0), ["lyon 127.0.0.1"]);
}

#[test]
fn who_has_an_address_first_keeps_it_for_as_long_as_it_has_it() {
    let mut table = table(&[policy("annecy", &[]), policy("lyon", &[])]);
    lyon(&mut table, &answer(&["198.51.100.4"]), 0);
    assert_eq!(known(&mut table, 0), ["lyon 198.51.100.4"]);
    // `annecy` stands first among the policies, and comes second.
    table.answer("annecy.example.org", &answer(&["198.51.100.4", "198.51.100.5"]), at(1), 0.0);
    let (resolved, lost, events) = table.resolved(at(1));
    let peers: Vec<_> = resolved.iter().map(|r| format!("{} {}", r.peer, r.address)).collect();
    assert_eq!(peers, ["annecy 198.51.100.5", "lyon 198.51.100.4"]);
    assert_eq!((lost.len(), events.len()), (1, 1));
    assert!(events[0].to_string().contains("the name of `lyon`"), "{}", events[0]);
    let mut restarted = Table::new(&[policy("annecy", &[]), policy("lyon", &[])], settings());
    table.remembered().for_each(|remembered| restarted.restore(&remembered));
    let again = answer(&["198.51.100.4", "198.51.100.5"]);
    for second in 2..4 {
        assert_eq!(known(&mut restarted, second), peers, "also after a restart");
        restarted.answer("annecy.example.org", &again, at(second), 0.0);
    }
    lyon(&mut table, &answer(&["198.51.100.6"]), 2);
    assert_eq!(
        known(&mut table, 2),
        ["annecy 198.51.100.4", "annecy 198.51.100.5", "lyon 198.51.100.6"]
    );
}

#[test]
fn more_than_sixteen_addresses_are_no_hosts() {
    let mut table = table(&[policy("lyon", &[])]);
    lyon(&mut table, &answer(&["198.51.100.4"]), 0);
    let many: Vec<String> = (1..=17).map(|n| format!("192.0.2.{n}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let events = lyon(&mut table, &answer(&many), 10);
    assert!(events[0].contains("17 addresses"), "{events:?}");
    assert_eq!(known(&mut table, 309), ["lyon 198.51.100.4"]);
    assert_eq!(known(&mut table, 310), [""; 0]);
    let sixteen = lyon(&mut table, &answer(&many[..16]), 320);
    assert_eq!(sixteen.len(), 2, "{sixteen:?}");
    assert_eq!(known(&mut table, 320).len(), 16);
}

#[test]
fn the_family_that_could_not_be_asked_for_stays_as_it_was() {
    let mut table = table(&[policy("lyon", &[])]);
    lyon(&mut table, &answer(&["198.51.100.4", "2001:db8::4"]), 0);
    let half = Outcome::Addresses {
        addresses: vec![ip("198.51.100.9")],
        ttl: None,
        missing: Some(Family::V6),
    };
    lyon(&mut table, &half, 60);
    assert_eq!(known(&mut table, 60), ["lyon 2001:db8::4", "lyon 198.51.100.9"]);
    // Yet not for longer than the hold.
    lyon(&mut table, &half, 299);
    assert_eq!(known(&mut table, 299).len(), 2);
    lyon(&mut table, &half, 300);
    assert_eq!(known(&mut table, 300), ["lyon 198.51.100.9"]);
}

#[test]
fn names_are_asked_for_when_they_are_due_and_sooner_after_a_failure() {
    let mut table = table(&[policy("lyon", &[])]);
    let due = |table: &mut Table, seconds| table.take_due(at(seconds)).is_some();
    let mut back = Table::new(&[policy("lyon", &[])], settings());
    lyon(&mut back, &answer(&["198.51.100.4"]), 100_000);
    assert!(!due(&mut back, 99_990) && due(&mut back, 90_000), "a clock that was set back");
    assert!(due(&mut table, 0));
    assert!(!due(&mut table, 1000), "it is being asked for");
    let lives = |seconds| Outcome::Addresses {
        addresses: vec![ip("198.51.100.4")],
        ttl: Some(Duration::from_secs(seconds)),
        missing: None,
    };
    let mut now = 1000;
    for (outcome, next) in [
        (answer(&["198.51.100.4"]), 60),
        (lives(120), 120),
        (lives(0), 30),
        (lives(7 * 86_400), 3600),
        (Outcome::Failed(Failure::Timeout), 5),
        (Outcome::Failed(Failure::Timeout), 10),
        (Outcome::Failed(Failure::Timeout), 20),
        (Outcome::Failed(Failure::Timeout), 40),
        (Outcome::Failed(Failure::Timeout), 60),
        (answer(&["198.51.100.4"]), 60),
        (Outcome::Failed(Failure::Timeout), 5),
    ] {
        lyon(&mut table, &outcome, now);
        assert!(!due(&mut table, now + next - 1), "{outcome:?}");
        assert!(due(&mut table, now + next), "{outcome:?}");
        now += next;
    }
}

#[test]
fn what_was_known_before_a_restart_is_used_with_its_age() {
    let mut before = table(&[policy("lyon", &[])]);
    lyon(&mut before, &answer(&["198.51.100.4"]), 0);
    let mut unasked = Table::new(&[policy("lyon", &[])], settings());
    before.remembered().for_each(|remembered| unasked.restore(&remembered));
    assert_eq!(known(&mut unasked, 599), ["lyon 198.51.100.4"]);
    assert_eq!(known(&mut unasked, 600), [""; 0], "nobody has been asked yet");
    // Whatever is said now, only an answer brings it back, after a further restart too.
    let settings = Settings { hold_error: Duration::from_secs(6000), ..settings() };
    let mut again = Table::new(&[policy("lyon", &[])], settings);
    lyon(&mut unasked, &Outcome::Failed(Failure::Error("SERVFAIL".to_owned())), 610);
    unasked.remembered().for_each(|remembered| again.restore(&remembered));
    assert_eq!(known(&mut again, 620), [""; 0]);
    let mut table = table(&[policy("lyon", &[]), policy("annecy", &[])]);
    before.remembered().for_each(|remembered| table.restore(&remembered));
    assert_eq!(known(&mut table, 500), ["lyon 198.51.100.4"]);
    lyon(&mut table, &Outcome::Failed(Failure::Timeout), 500);
    assert_eq!(known(&mut table, 599), ["lyon 198.51.100.4"]);
    assert_eq!(known(&mut table, 600), [""; 0]);
}

#[test]
fn peers_that_certificates_tell_apart_may_have_one_address() {
    let rule = |dns: &str| crate::policy::CertificateRule {
        public_key_sha256: Vec::new(),
        san_dns: vec![dns.to_owned()],
        san_uri: Vec::new(),
        common_name: Vec::new(),
        require: Require::Both,
        location: Location::new(Default::default(), 1),
    };
    let with = |peer: &str| Policy { certificate: Some(rule(peer)), ..policy(peer, &[]) };
    let mut alone = with("alone");
    if let Some(rule) = &mut alone.certificate {
        rule.require = Require::Certificate;
    }
    let mut table = table(&[with("lyon"), with("nice"), alone]);
    lyon(&mut table, &answer(&["198.51.100.4"]), 0);
    table.answer("nice.example.org", &answer(&["198.51.100.4"]), at(0), 0.0);
    assert_eq!(known(&mut table, 0), ["lyon 198.51.100.4", "nice 198.51.100.4"]);
    // The one address that is written is held by both; in a wider prefix the name would push the one
    // that writes it out.
    let wide =
        Policy { hosts: policy_with_hosts("nice", &["203.0.113.0/24"]).hosts, ..with("nice") };
    let one = Policy { hosts: policy_with_hosts("caen", &["192.0.2.7/32"]).hosts, ..with("caen") };
    let mut beside = Table::new(&[with("lyon"), wide, one], settings());
    lyon(&mut beside, &answer(&["203.0.113.5", "192.0.2.7"]), 0);
    assert_eq!(known(&mut beside, 0), ["lyon 192.0.2.7"]);
    let names: Vec<_> = std::iter::from_fn(|| table.take_due(at(1000))).collect();
    assert_eq!(names.len(), 2, "one that is known by its certificate alone has no say: {names:?}");
}

#[test]
fn under_other_policies_a_name_that_stays_is_known_on_and_a_new_one_is_due() {
    let mut table = table(&[policy("nice", &[]), policy("lyon", &[])]);
    assert_eq!(table.take_due(at(0)).as_deref(), Some("nice.example.org"));
    lyon(&mut table, &answer(&["198.51.100.4"]), 0);
    // Another order, another peer, and one less; nice's answer is under way.
    table.follow(&[policy("lyon", &[]), policy("metz", &[])], settings());
    assert_eq!(known(&mut table, 1), ["lyon 198.51.100.4"]);
    assert_eq!(table.take_due(at(1)).as_deref(), Some("metz.example.org"));
    assert_eq!(table.take_due(at(1)), None, "lyon's is good for a while yet");
    assert!(table.answer("nice.example.org", &answer(&["198.51.100.5"]), at(1), 0.0).is_empty());
    // What is written by others wins from now on.
    let written = policy_with_hosts("region", &["198.51.100.0/24"]);
    table.follow(&[policy("lyon", &[]), written], settings());
    assert!(known(&mut table, 2).is_empty());
    table.follow(&[policy("lyon", &[])], settings());
    assert_eq!(known(&mut table, 3), ["lyon 198.51.100.4"]);
}
