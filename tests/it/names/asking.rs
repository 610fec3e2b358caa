//! Name servers, asked one question at a time.

use phonebook_gateway::resolver::{Failure, Family, Outcome, Source};

use super::*;

const NAME: &str = "lyon.example.org";

fn addresses(texts: &[&str]) -> Vec<IpAddr> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

fn ask(servers: &[SocketAddr]) -> Outcome {
    match Source::Servers(servers.to_vec()).ask(NAME) {
        Outcome::Addresses { mut addresses, ttl, missing } => {
            addresses.sort_unstable();
            Outcome::Addresses { addresses, ttl, missing }
        }
        failed @ Outcome::Failed(_) => failed,
    }
}

/// What comes of a name of which this is said.
fn asked(says: Says) -> Outcome {
    let server = NameServer::start();
    server.says(NAME, says);
    ask(&[server.address()])
}

fn found(texts: &[&str], seconds: u64, missing: Option<Family>) -> Outcome {
    let ttl = Some(Duration::from_secs(seconds));
    Outcome::Addresses { addresses: addresses(texts), ttl, missing }
}

#[test]
fn both_kinds_of_address_are_found_with_the_shortest_time() {
    let both = ["198.51.100.4", "198.51.100.5", "2001:db8::4"];
    assert_eq!(asked(Says::Has(addresses(&both), 77)), found(&both, 77, None));
    assert_eq!(asked(has(&["2001:db8::4"])), found(&["2001:db8::4"], 60, None));
}

#[test]
fn aliases_are_followed_and_what_stands_beside_them_is_not_believed() {
    let both = ["198.51.100.4", "2001:db8::4"];
    assert_eq!(asked(Says::Alias(addresses(&both), 45)), found(&both, 45, None));
}

#[test]
fn what_does_not_fit_is_fetched_over_tcp() {
    let many: Vec<String> = (1..=100).map(|at| format!("198.51.100.{at}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let Outcome::Addresses { addresses, .. } = asked(Says::TooLong(addresses(&many))) else {
        panic!()
    };
    assert_eq!(addresses.len(), 100);
}

#[test]
fn no_such_name_failure_and_silence_are_told_apart() {
    let failed = |says: Says| match asked(says) {
        Outcome::Failed(failure) => failure,
        found @ Outcome::Addresses { .. } => panic!("{found:?}"),
    };
    assert_eq!(failed(Says::Fails(Rcode::NXDOMAIN)), Failure::NoSuchName);
    assert_eq!(failed(has(&[])), Failure::NoSuchName);
    for (says, part) in [
        (Says::Fails(Rcode::SERVFAIL), "SERVFAIL"),
        (Says::Fails(Rcode::REFUSED), "REFUSED"),
        // A server that neither knows the name nor asks others does not say that there is none.
        (Says::Referral, "not ask others"),
    ] {
        let failure = failed(says.clone());
        assert!(
            matches!(&failure, Failure::Error(why) if why.contains(part)),
            "{says:?}: {failure:?}"
        );
    }
    let lie = addresses(&["192.0.2.66"]);
    for says in [Says::Silent, Says::WrongId(lie.clone()), Says::OtherQuestion(lie), Says::Garbage]
    {
        assert_eq!(failed(says.clone()), Failure::Timeout, "{says:?}");
    }
    // Where nobody listens, nobody answers.
    let gone = NameServer::start().address();
    assert_eq!(ask(&[gone]), Outcome::Failed(Failure::Timeout));
}

#[test]
fn one_kind_of_address_that_cannot_be_asked_for_is_said_to_be_missing() {
    let half = asked(Says::HalfFails(addresses(&["198.51.100.4"])));
    assert_eq!(half, found(&["198.51.100.4"], 60, Some(Family::V6)));
}

#[test]
fn servers_are_asked_in_order_until_one_knows() {
    let (first, second) = (NameServer::start(), NameServer::start());
    let servers = [first.address(), second.address()];
    second.says(NAME, has(&["198.51.100.4"]));
    for what in [Says::Fails(Rcode::SERVFAIL), Says::Silent, Says::Referral] {
        first.says(NAME, what);
        assert_eq!(ask(&servers), found(&["198.51.100.4"], 60, None));
    }
    let asked = second.asked();
    first.says(NAME, Says::Fails(Rcode::NXDOMAIN));
    assert_eq!(ask(&servers), Outcome::Failed(Failure::NoSuchName));
    first.says(NAME, has(&["198.51.100.9"]));
    assert_eq!(ask(&servers), found(&["198.51.100.9"], 60, None));
    assert_eq!(second.asked(), asked, "the first knew");
    // Only what the first does not know is asked of the second.
    first.says(NAME, Says::HalfFails(addresses(&["198.51.100.9"])));
    second.says(NAME, has(&["198.51.100.4", "2001:db8::4"]));
    assert_eq!(ask(&servers), found(&["198.51.100.9", "2001:db8::4"], 60, None));
}

#[test]
fn an_alias_of_a_real_name_server_is_followed() {
    let Some(server) = or_left_out(Dnsmasq::start("")) else { return };
    let outcome = Source::Servers(vec![server.address()]).ask("alias.example.org");
    let Outcome::Addresses { addresses, ttl, missing: None } = outcome else {
        panic!("{outcome:?}")
    };
    assert_eq!(addresses, self::addresses(&["192.0.2.1"]));
    assert!(ttl.is_some());
}
