//! Name servers, asked one question at a time.

use phonebook_gateway::names::{Answer, Failure, FailureKind, Family, dns::look_up};

use super::*;

const NAME: &str = "lyon.example.org";

fn addresses(texts: &[&str]) -> Vec<IpAddr> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

/// What comes of a name of which this is said.
fn asked(says: Says) -> Result<Answer, Failure> {
    let server = NameServer::start();
    server.says(NAME, says);
    look_up(&[server.address()], NAME)
}

fn failure(says: Says) -> (FailureKind, String) {
    let failure = asked(says).unwrap_err();
    let (_, detail) = failure.detail.split_once(": ").unwrap_or(("", &failure.detail));
    (failure.kind, detail.to_owned())
}

#[test]
fn both_kinds_of_address_are_found_with_the_shortest_time() {
    let both = addresses(&["198.51.100.4", "198.51.100.5", "2001:db8::4"]);
    let answer = asked(Says::Has(both.clone(), 77)).unwrap();
    assert_eq!(answer, Answer::new(both, Some(Duration::from_secs(77))));
    let one = asked(has(&["2001:db8::4"])).unwrap();
    assert_eq!(one.addresses, addresses(&["2001:db8::4"]).into_iter().collect());
}

#[test]
fn aliases_are_followed_and_what_stands_beside_them_is_not_believed() {
    let answer = asked(Says::Alias(addresses(&["198.51.100.4", "2001:db8::4"]), 45)).unwrap();
    let expected = addresses(&["198.51.100.4", "2001:db8::4"]);
    assert_eq!(answer, Answer::new(expected, Some(Duration::from_secs(45))));
}

#[test]
fn what_does_not_fit_is_fetched_over_tcp() {
    let many: Vec<String> = (1..=100).map(|at| format!("198.51.100.{at}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let answer = asked(Says::TooLong(addresses(&many))).unwrap();
    assert_eq!(answer.addresses.len(), 100);
}

#[test]
fn no_such_name_failure_and_silence_are_told_apart() {
    let nx = (FailureKind::Nx, "there is no such name (NXDOMAIN)".to_owned());
    assert_eq!(failure(Says::Fails(Rcode::NXDOMAIN)), nx);
    let none = (FailureKind::Nx, "the name has neither A nor AAAA".to_owned());
    assert_eq!(failure(has(&[])), none);
    let error = |text: &str| (FailureKind::Error, text.to_owned());
    assert_eq!(failure(Says::Fails(Rcode::SERVFAIL)), error("SERVFAIL"));
    assert_eq!(failure(Says::Fails(Rcode::REFUSED)), error("REFUSED"));
    assert_eq!(failure(Says::Referral), error("a referral to other servers"));
    let silence = (FailureKind::Timeout, "no answer within 2 s".to_owned());
    assert_eq!(failure(Says::Silent), silence);
    let lie = addresses(&["192.0.2.66"]);
    assert_eq!(failure(Says::WrongId(lie.clone())), silence);
    assert_eq!(failure(Says::OtherQuestion(lie)), silence);
    assert_eq!(failure(Says::Garbage), silence);
    let gone = NameServer::start().address();
    assert_eq!(look_up(&[gone], NAME).unwrap_err().kind, FailureKind::Timeout);
}

#[test]
fn one_kind_of_address_that_cannot_be_asked_for_is_said_to_be_unknown() {
    let answer = asked(Says::HalfFails(addresses(&["198.51.100.4"]))).unwrap();
    assert_eq!(answer.addresses, addresses(&["198.51.100.4"]).into_iter().collect());
    let (family, failure) = answer.unknown.unwrap();
    assert_eq!((family, failure.kind), (Family::V6, FailureKind::Error));
}

#[test]
fn servers_are_asked_in_order_until_one_knows() {
    let (first, second) = (NameServer::start(), NameServer::start());
    let servers = [first.address(), second.address()];
    second.says(NAME, has(&["198.51.100.4"]));
    for what in [Says::Fails(Rcode::SERVFAIL), Says::Silent] {
        first.says(NAME, what);
        let answer = look_up(&servers, NAME).unwrap();
        assert_eq!(answer.addresses, addresses(&["198.51.100.4"]).into_iter().collect());
        assert_eq!(answer.unknown, None);
    }
    let asked = second.asked();
    first.says(NAME, Says::Fails(Rcode::NXDOMAIN));
    assert_eq!(look_up(&servers, NAME).unwrap_err().kind, FailureKind::Nx);
    first.says(NAME, has(&["198.51.100.9"]));
    assert!(look_up(&servers, NAME).is_ok());
    assert_eq!(second.asked(), asked, "the first knew");
    // Only what the first does not know is asked of the second.
    first.says(NAME, Says::HalfFails(addresses(&["198.51.100.9"])));
    second.says(NAME, has(&["198.51.100.4", "2001:db8::4"]));
    let answer = look_up(&servers, NAME).unwrap();
    assert_eq!(answer.addresses, addresses(&["198.51.100.9", "2001:db8::4"]).into_iter().collect());
    second.says(NAME, Says::Fails(Rcode::SERVFAIL));
    first.says(NAME, Says::Silent);
    let failure = look_up(&servers, NAME).unwrap_err();
    assert_eq!(failure.kind, FailureKind::Error, "{failure}");
    assert_eq!(
        failure.detail,
        format!("{}: no answer within 2 s; {}: SERVFAIL", servers[0], servers[1])
    );
}
