//! Names step by step, with times of the test's own: what is asked when, who is let in by it, and each line that is told.

use std::{
    io,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use domain::base::{Rtype, iana::Rcode};
use jiff::{SignedDuration, Timestamp};
use phonebook_gateway::{config::Config, server::NameRefresher, worker::Shared};
use tempfile::TempDir;

use crate::support::{
    dns::{Answers, NameServer, Question, Says, has},
    process::PATIENCE,
};

/// What is told to the administrator in this thread.
#[derive(Clone, Debug, Default)]
struct Journal(Arc<Mutex<Vec<u8>>>);

impl io::Write for Journal {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A keeper of names and what it fills.
pub(super) struct Names {
    pub(super) directory: TempDir,
    shared: Arc<Shared>,
    keeper: NameRefresher,
    pub(super) now: Timestamp,
    journal: Journal,
    _subscriber: tracing::subscriber::DefaultGuard,
}

const MAIN: &str = "[[listen]]\naddress = \"127.0.0.1:0\"\n[upstream]\nurl = \"http://127.0.0.1:9\"\ndanger_loopback_source = true\n";

/// A policy with these hosts.
pub(super) fn hosts(hosts: &str) -> String {
    let hosts: Vec<String> = hosts.split_whitespace().map(|host| format!("{host:?}")).collect();
    format!("hosts = [{}]\n", hosts.join(", "))
}

fn config(directory: &TempDir, names: &str, policies: &[(&str, String)]) -> Config {
    let main = format!(
        "state_directory = \"{}\"\n{MAIN}[names]\n{names}\n",
        directory.path().to_str().unwrap()
    );
    let files: Vec<(String, &str)> = policies
        .iter()
        .map(|(name, text)| (format!("policies/{name}.toml"), text.as_str()))
        .collect();
    let files: Vec<(&str, &str)> =
        files.iter().map(|(name, text)| (name.as_str(), *text)).collect();
    let read = Config::from_texts(("gateway.toml", &main), &files);
    let (config, _) = read.unwrap_or_else(|problems| {
        panic!("{}", problems.render(&annotate_snippets::Renderer::plain()))
    });
    config
}

impl Names {
    /// Names that this server is asked for; nothing has been asked yet.
    pub(super) fn new(server: &NameServer, names: &str, policies: &[(&str, String)]) -> Self {
        let names = format!("resolver = [\"{}\"]\n{names}", server.address());
        Self::in_directory(tempfile::tempdir().unwrap(), &names, policies)
    }

    pub(super) fn in_directory(
        directory: TempDir,
        names: &str,
        policies: &[(&str, String)],
    ) -> Self {
        let config = config(&directory, names, policies);
        let journal = Journal::default();
        let writer = journal.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_writer(move || writer.clone())
            .with_ansi(false)
            .with_target(false)
            .without_time()
            .finish();
        let _subscriber = tracing::subscriber::set_default(subscriber);
        let shared = Arc::new(Shared::new(Arc::new(config), Vec::new(), 1 << 20));
        let keeper = NameRefresher::new(&shared).unwrap();
        Self { directory, shared, keeper, now: Timestamp::now(), journal, _subscriber }
    }

    /// `lyon`, whose only host is a name, and `annecy`, who is written.
    pub(super) fn of_lyon(server: &NameServer, names: &str) -> Self {
        let policies = [("annecy", hosts("192.0.2.0/24")), ("lyon", hosts("lyon.example.org"))];
        Self::new(server, names, &policies)
    }

    /// The same in a gateway that is started later in the same directory.
    pub(super) fn restarted(self, names: &str, policies: &[(&str, String)]) -> Self {
        let Self { directory, _subscriber, .. } = self;
        drop(_subscriber);
        Self::in_directory(directory, names, policies)
    }

    /// Lets it ask for what is due until it has what comes of it.
    pub(super) fn settle(&mut self) -> &mut Self {
        let deadline = Instant::now() + 3 * PATIENCE;
        // A step that begins with nothing due and nothing under way ends so.
        let mut idle = 0;
        while idle < 3 {
            self.keeper.poll(self.now, Duration::from_millis(5));
            idle = if self.keeper.is_asking() { 0 } else { idle + 1 };
            assert!(Instant::now() < deadline, "names never settle");
        }
        self
    }

    /// The same so many seconds later.
    pub(super) fn later(&mut self, seconds: i64) -> &mut Self {
        self.now += SignedDuration::from_secs(seconds);
        self.settle()
    }

    /// Whose an address is; `-` for nobody.
    pub(super) fn who(&self, address: &str) -> String {
        super::whose(&self.shared, address).unwrap_or_else(|| "-".to_owned())
    }

    /// What has been told since this was asked last.
    pub(super) fn told(&self) -> Vec<String> {
        let told = std::mem::take(&mut *self.journal.0.lock().unwrap());
        let told = String::from_utf8(told).unwrap();
        told.lines().map(|line| line.trim().to_owned()).collect()
    }
}

fn addresses(texts: &[&str]) -> Vec<std::net::IpAddr> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

pub(super) const LYON: &str = "lyon.example.org";

#[test]
fn a_name_that_moves_takes_its_peer_along_and_each_change_is_one_line() {
    let server = NameServer::start();
    server.says(LYON, has(&["198.51.100.4", "2001:db8::4"]));
    let mut names = Names::of_lyon(&server, "");
    assert_eq!(names.who("198.51.100.4"), "-");
    names.settle();
    assert_eq!(
        (names.who("198.51.100.4"), names.who("2001:db8::4")),
        ("lyon".into(), "lyon".into())
    );
    assert_eq!(names.who("::ffff:198.51.100.4"), "lyon");
    assert_eq!(names.told(), ["INFO lyon was found: lyon.example.org 198.51.100.4, 2001:db8::4"]);
    assert_eq!(server.asked_for(LYON), 2, "for each family");
    server.says(LYON, has(&["198.51.100.9"]));
    names.later(53);
    assert_eq!((server.asked_for(LYON), names.who("198.51.100.4")), (2, "lyon".into()));
    names.later(7);
    assert_eq!(server.asked_for(LYON), 4, "a minute is over");
    assert_eq!(
        ["198.51.100.4", "2001:db8::4", "198.51.100.9"].map(|address| names.who(address)),
        ["-", "-", "lyon"]
    );
    assert_eq!(
        names.told(),
        ["INFO lyon moved: lyon.example.org 198.51.100.4, 2001:db8::4 → 198.51.100.9"]
    );
    names.later(60);
    assert_eq!(names.told(), [""; 0], "the same again is no news");
}

#[test]
fn an_answer_is_good_for_its_time_to_live_within_half_a_minute_and_an_hour() {
    for (ttl, not_yet, by_then) in [(0, 26, 4), (45, 39, 6), (86_400, 3239, 361)] {
        let server = NameServer::start();
        server.says(LYON, Says::Has(addresses(&["198.51.100.4"]), ttl));
        let mut names = Names::of_lyon(&server, "refresh = \"5s\"");
        names.settle().later(not_yet);
        assert_eq!(server.asked_for(LYON), 2, "{ttl}: too early");
        names.later(by_then);
        assert_eq!(server.asked_for(LYON), 4, "{ttl}: too late");
    }
}

#[test]
fn a_name_that_fails_keeps_its_addresses_for_its_hold_and_then_its_peer_is_refused() {
    let holds =
        "refresh = \"10s\"\nhold_nx = \"100s\"\nhold_timeout = \"200s\"\nhold_error = \"300s\"";
    for (say, hold, why) in [
        (Says::Fails(Rcode::NXDOMAIN), 100, "there is no such name, or it has no address"),
        (has(&[]), 100, "there is no such name, or it has no address"),
        (Says::Silent, 200, "no name server answered in time"),
        (Says::Fails(Rcode::SERVFAIL), 300, "answered SERVFAIL"),
        (Says::Fails(Rcode::REFUSED), 300, "answered REFUSED"),
        (Says::Raw(|question| vec![unreadable(question)]), 300, "cannot be read"),
    ] {
        let server = NameServer::start();
        server.says(LYON, Says::Has(addresses(&["198.51.100.4"]), 30));
        let mut names = Names::of_lyon(&server, holds);
        names.settle();
        names.told();
        server.says(LYON, say);
        names.later(40);
        let told = names.told();
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(
            told[0].starts_with(
                "WARN lyon.example.org of `lyon` at policies/lyon.toml:1 does not resolve: "
            ),
            "{told:?}"
        );
        assert!(told[0].contains(why), "{told:?}");
        assert!(told[0].ends_with(&format!("are used for {hold} s more")), "{told:?}");
        assert_eq!((names.who("198.51.100.4"), names.told()), ("lyon".into(), vec![]));
        // Not asked again on the way: a lookup that nobody answers takes its time.
        names.now += SignedDuration::from_secs(hold - 1);
        names.keeper.poll(names.now, Duration::ZERO);
        assert_eq!(names.who("198.51.100.4"), "lyon", "{why}");
        names.now += SignedDuration::from_secs(1);
        names.keeper.poll(names.now, Duration::ZERO);
        assert_eq!(names.who("198.51.100.4"), "-", "{why}");
        assert!(names.told().concat().contains("its hold is over"));
        assert_eq!(names.who("192.0.2.7"), "annecy", "nobody else is touched");
        server.says(LYON, has(&["198.51.100.4"]));
        names.settle().later(60);
        assert_eq!(names.who("198.51.100.4"), "lyon", "{why}");
        assert_eq!(names.told(), ["INFO lyon.example.org of `lyon` resolves again"]);
    }
}

#[test]
fn a_name_that_never_resolved_is_told_once_and_lets_nobody_in() {
    let server = NameServer::start();
    let mut names = Names::of_lyon(&server, "");
    for _ in 0..5 {
        names.later(60);
    }
    let told = names.told();
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].contains("it has no address, and the peer is not let in by it"), "{told:?}");
    // There is no such name whatever its records.
    assert!(server.questions().iter().all(|question| question.rtype != Rtype::AAAA));
    server.says(LYON, has(&["2001:db8::4"]));
    names.later(60);
    assert_eq!(names.who("2001:db8::4"), "lyon");
}

/// Another address than the one that is the truth.
fn lie(question: &Question) -> Vec<u8> {
    question.answer(&["203.0.113.66", "2001:db8:666::66"])
}

/// An answer whose record ends before its data.
fn unreadable(question: &Question) -> Vec<u8> {
    let mut answer = question.answer(&["198.51.100.4", "2001:db8::4"]);
    answer.truncate(answer.len() - 2);
    answer
}

fn wrong_id(question: &Question) -> Vec<u8> {
    let mut answer = lie(question);
    answer[0] ^= 0xff;
    answer
}

fn other_question(question: &Question) -> Vec<u8> {
    let mut answer = lie(question);
    answer[13] = b'x';
    answer
}

fn no_answer(question: &Question) -> Vec<u8> {
    let mut answer = lie(question);
    answer[2] &= 0x7f;
    answer
}

fn without_question(question: &Question) -> Vec<u8> {
    let mut answer = lie(question)[..12].to_vec();
    answer[4..8].fill(0);
    answer
}

#[test]
fn what_is_no_answer_to_the_question_is_dropped_and_the_answer_that_follows_is_taken() {
    let lies: [Answers; 7] = [
        |question| vec![wrong_id(question), question.answer(&["198.51.100.4"])],
        |question| vec![other_question(question), question.answer(&["198.51.100.4"])],
        |question| vec![no_answer(question), question.answer(&["198.51.100.4"])],
        |question| vec![without_question(question), question.answer(&["198.51.100.4"])],
        |question| vec![Vec::new(), question.answer(&["198.51.100.4"])],
        |question| vec![vec![0; 11], question.answer(&["198.51.100.4"])],
        |question| vec![wrong_id(question)[..20].to_vec(), question.answer(&["198.51.100.4"])],
    ];
    for (number, lie) in lies.into_iter().enumerate() {
        let server = NameServer::start();
        server.says(LYON, Says::Raw(lie));
        let mut names = Names::of_lyon(&server, "");
        names.settle();
        assert_eq!(names.who("198.51.100.4"), "lyon", "{number}");
        assert_eq!(names.who("203.0.113.66"), "-", "{number}");
    }
    // Alone they are as good as nothing.
    let server = NameServer::start();
    server.says(LYON, Says::Raw(|question| vec![wrong_id(question)]));
    let mut names = Names::of_lyon(&server, "");
    names.settle();
    assert!(names.told().concat().contains("no name server answered in time"));
}

const CHAIN: [&str; 2] = ["lyon.dyn.example.net", "host-4.provider.example"];

#[test]
fn aliases_are_followed_and_addresses_of_anybody_else_in_the_answer_are_not_taken() {
    let server = NameServer::start();
    server.says(
        LYON,
        Says::Raw(|question| vec![question.chain(&CHAIN, &["198.51.100.4", "2001:db8::4"])]),
    );
    let mut names = Names::of_lyon(&server, "");
    names.settle();
    assert_eq!(
        (names.who("198.51.100.4"), names.who("2001:db8::4")),
        ("lyon".into(), "lyon".into())
    );
    // An alias of what has no address.
    server.says(LYON, Says::Raw(|question| vec![question.chain(&CHAIN, &[])]));
    names.told();
    names.later(60);
    assert!(names.told().concat().contains("there is no such name, or it has no address"));
    // A ring, and an unknown caller's record beside the right one.
    server.says(
        LYON,
        Says::Raw(|question| vec![question.chain(&["a.example.org", LYON], &["203.0.113.66"])]),
    );
    names.later(60);
    assert_eq!(names.who("203.0.113.66"), "-");
    server.says(
        LYON,
        Says::Raw(|question| {
            let others = ("bank.example.org", ["203.0.113.66"].as_slice());
            vec![question.answer_of(&[others, (LYON, &["203.0.113.5"])])]
        }),
    );
    names.later(60);
    assert_eq!((names.who("203.0.113.5"), names.who("203.0.113.66")), ("lyon".into(), "-".into()));
}

#[test]
fn an_answer_that_is_too_long_for_udp_is_asked_for_over_tcp() {
    let server = NameServer::start();
    server.says(
        LYON,
        Says::Raw(|question| {
            let mut answer = question.answer(&["198.51.100.4", "2001:db8::4"]);
            if !question.over_tcp {
                // Cut off, and other than it should be.
                answer = question.answer(&["203.0.113.66"]);
                answer[2] |= 2;
            }
            vec![answer]
        }),
    );
    let mut names = Names::of_lyon(&server, "");
    names.settle();
    assert_eq!(
        (names.who("198.51.100.4"), names.who("2001:db8::4")),
        ("lyon".into(), "lyon".into())
    );
    assert_eq!(server.questions().iter().filter(|question| question.over_tcp).count(), 2);
}

#[test]
fn a_family_that_cannot_be_asked_for_keeps_what_it_had_for_its_hold() {
    let server = NameServer::start();
    server.says(LYON, has(&["198.51.100.4", "2001:db8::4"]));
    let mut names = Names::of_lyon(&server, "hold_error = \"200s\"");
    names.settle();
    server.says(LYON, Says::HalfFails(addresses(&["198.51.100.9"])));
    names.later(60);
    assert_eq!(
        (names.who("198.51.100.9"), names.who("2001:db8::4")),
        ("lyon".into(), "lyon".into())
    );
    assert_eq!(names.who("198.51.100.4"), "-");
    for _ in 0..3 {
        names.later(60);
    }
    assert_eq!((names.who("198.51.100.9"), names.who("2001:db8::4")), ("lyon".into(), "-".into()));
    // The other one alone is as good.
    server.says(
        LYON,
        Says::Raw(|question| {
            vec![match question.rtype {
                Rtype::AAAA => question.answer(&["2001:db8::5"]),
                _ => question.fails(Rcode::SERVFAIL),
            }]
        }),
    );
    names.later(60);
    assert_eq!(
        (names.who("198.51.100.9"), names.who("2001:db8::5")),
        ("lyon".into(), "lyon".into())
    );
}

#[test]
fn an_address_that_no_peer_can_have_or_that_is_anothers_is_refused_and_reported() {
    let server = NameServer::start();
    let policies = [
        ("annecy", hosts("192.0.2.0/24 annecy.example.org 127.9.0.0/16")),
        ("lyon", hosts("lyon.example.org 198.51.100.128/25")),
        ("paris", hosts("paris.example.org")),
    ];
    let mut names = Names::new(&server, "", &policies);
    let annecys = "192.0.2.9";
    server.says("annecy.example.org", has(&["203.0.113.1"]));
    names.settle();
    names.told();
    let bad = "127.0.0.1 ::1 0.0.0.0 224.0.0.1 255.255.255.255 169.254.1.1 fe80::1 ff02::1 192.0.2.9 203.0.113.1";
    let all: Vec<&str> = bad.split(' ').chain(["198.51.100.200", "203.0.113.4"]).collect();
    server.says(LYON, has(&all));
    names.later(60);
    for address in bad.split(' ').filter(|address| ![annecys, "203.0.113.1"].contains(address)) {
        assert_eq!(names.who(address), "-", "{address}");
    }
    assert_eq!((names.who(annecys), names.who("203.0.113.1")), ("annecy".into(), "annecy".into()));
    assert_eq!(
        (names.who("203.0.113.4"), names.who("198.51.100.200")),
        ("lyon".into(), "lyon".into())
    );
    let told = names.told();
    for (address, why) in [
        ("127.0.0.1", "danger_loopback_names is not set"),
        ("::1", "danger_loopback_names is not set"),
        ("fe80::1", "no caller can have such an address"),
        ("255.255.255.255", "no caller can have such an address"),
        (
            annecys,
            "it lies in what `annecy` has at policies/annecy.toml:1, and what is written wins",
        ),
        ("203.0.113.1", "the name of `annecy` at policies/annecy.toml:1 has it already"),
    ] {
        let line = format!(
            "WARN {address}, which lyon.example.org of `lyon` at policies/lyon.toml:1 has, is not trusted: "
        );
        let count =
            told.iter().filter(|told| told.starts_with(&line) && told.contains(why)).count();
        assert_eq!(count, 1, "{address}: {told:#?}");
    }
    names.later(60);
    assert_eq!(names.told(), [""; 0], "it is reported once");
    // Who has it gives it up: then it is free.
    server.says("annecy.example.org", has(&["203.0.113.2"]));
    names.later(60);
    names.later(60);
    assert_eq!(names.who("203.0.113.1"), "lyon");
}

#[test]
fn loopback_addresses_that_are_allowed_are_still_nobody_elses() {
    let server = NameServer::start();
    let policies = [
        ("annecy", hosts("127.9.0.0/16")),
        ("lyon", hosts("lyon.example.org")),
        ("paris", hosts("paris.example.org")),
    ];
    server.says(LYON, has(&["127.9.0.1", "127.0.0.3"]));
    let mut names = Names::new(&server, "danger_loopback_names = true", &policies);
    names.settle();
    server.says("paris.example.org", has(&["127.0.0.3"]));
    names.later(60);
    assert_eq!((names.who("127.9.0.1"), names.who("127.0.0.3")), ("annecy".into(), "lyon".into()));
    let told = names.told().join("\n");
    assert!(told.contains("127.9.0.1, which lyon.example.org of `lyon` at policies/lyon.toml:1 has, is not trusted: it lies in what `annecy` has"), "{told}");
    assert!(told.contains("127.0.0.3, which paris.example.org of `paris` at policies/paris.toml:1 has, is not trusted: the name of `lyon`"), "{told}");
}

#[test]
fn a_name_whose_hold_is_over_keeps_its_address_from_nobody() {
    let server = NameServer::start();
    let policies = [("lyon", hosts("lyon.example.org")), ("paris", hosts("paris.example.org"))];
    server.says(LYON, has(&["198.51.100.4"]));
    let mut names = Names::new(&server, "", &policies);
    names.settle();
    server.says(LYON, Says::Fails(Rcode::NXDOMAIN));
    server.says("paris.example.org", has(&["198.51.100.4"]));
    names.later(60);
    names.later(60);
    assert_eq!(names.who("198.51.100.4"), "paris");
    // It is not taken back either.
    server.says(LYON, has(&["198.51.100.4"]));
    names.later(60);
    assert_eq!(names.who("198.51.100.4"), "paris");
}

#[test]
fn a_name_that_was_dropped_stays_so_whatever_fails_next_until_it_resolves() {
    let server = NameServer::start();
    server.says(LYON, has(&["198.51.100.4"]));
    let mut names = Names::of_lyon(&server, "");
    names.settle();
    server.says(LYON, Says::Fails(Rcode::NXDOMAIN));
    names.later(60).later(60);
    assert_eq!(names.who("198.51.100.4"), "-");
    server.says(LYON, Says::Fails(Rcode::SERVFAIL));
    names.later(60);
    assert_eq!(names.who("198.51.100.4"), "-", "held for a day, but dropped already");
    server.says(LYON, has(&["198.51.100.4"]));
    names.later(60);
    assert_eq!(names.who("198.51.100.4"), "lyon");
}

#[test]
fn a_name_with_more_than_sixteen_addresses_has_none_of_them() {
    let many =
        |count: u8| -> Vec<_> { (1..=count).map(|last| [203, 0, 113, last].into()).collect() };
    let server = NameServer::start();
    server.says(LYON, Says::Has(many(16), 60));
    let mut names = Names::of_lyon(&server, "");
    names.settle();
    assert_eq!(names.who("203.0.113.16"), "lyon");
    server.says(LYON, Says::Has(many(17), 60));
    names.told();
    names.later(60);
    assert_eq!((names.who("203.0.113.16"), names.who("203.0.113.17")), ("lyon".into(), "-".into()));
    let told = names.told().concat();
    assert!(told.contains("it has 17 addresses, and a host has at most 16"), "{told}");
}

#[test]
fn the_next_name_server_is_asked_where_one_fails_and_none_where_one_says_that_there_is_no_name() {
    let (first, second) = (NameServer::start(), NameServer::start());
    second.says(LYON, has(&["198.51.100.4"]));
    let names = format!("resolver = [\"{}\", \"{}\"]", first.address(), second.address());
    for (say, found) in [
        (Says::Silent, "lyon"),
        (Says::Fails(Rcode::SERVFAIL), "lyon"),
        (Says::Fails(Rcode::REFUSED), "lyon"),
        (Says::Fails(Rcode::NXDOMAIN), "-"),
    ] {
        first.says(LYON, say.clone());
        let policies = [("lyon", hosts(LYON))];
        let mut names = Names::in_directory(tempfile::tempdir().unwrap(), &names, &policies);
        names.settle();
        assert_eq!(names.who("198.51.100.4"), found, "{say:?}");
    }
    // One that is not there at all.
    let gone = NameServer::start().address();
    let names = format!("resolver = [\"{gone}\", \"{}\"]", second.address());
    let policies = [("lyon", hosts(LYON))];
    let mut names = Names::in_directory(tempfile::tempdir().unwrap(), &names, &policies);
    names.settle();
    assert_eq!(names.who("198.51.100.4"), "lyon");
}

#[test]
fn a_thousand_names_are_asked_for_sixteen_at_a_time_and_none_is_lost() {
    let server = NameServer::start();
    let peers: Vec<String> = (0..1000).map(|number| format!("peer-{number:03}")).collect();
    let policies: Vec<(&str, String)> =
        peers.iter().map(|peer| (peer.as_str(), hosts(&format!("{peer}.example.org")))).collect();
    let address = |number: usize| format!("10.0.{}.{}", number / 250, number % 250);
    for (number, peer) in peers.iter().enumerate() {
        // Some fail, and three get no answer.
        let say = match number {
            7 | 500 | 999 => Says::Silent,
            _ if number % 50 == 9 => Says::Fails(Rcode::SERVFAIL),
            _ => Says::Has(addresses(&[&address(number)]), 3600),
        };
        server.says(&format!("{peer}.example.org"), say);
    }
    let mut names = Names::new(&server, "", &policies);
    // Nothing is answered for a while: no more than sixteen wait for it.
    server.hold();
    while server.held() < 16 {
        names.keeper.poll(names.now, Duration::from_millis(1));
        assert!(names.keeper.is_asking());
    }
    for _ in 0..20 {
        names.keeper.poll(names.now, Duration::from_millis(1));
    }
    assert_eq!((server.held(), server.asked()), (16, 0));
    server.release();
    names.settle();
    let failed = |number: usize| matches!(number, 7 | 500 | 999) || number % 50 == 9;
    for (number, peer) in peers.iter().enumerate() {
        let expected = if failed(number) { "-" } else { peer };
        assert_eq!(names.who(&address(number)), expected);
    }
    // Those that failed are asked for again, and come in.
    for (number, peer) in peers.iter().enumerate().filter(|(number, _)| failed(*number)) {
        server
            .says(&format!("{peer}.example.org"), Says::Has(addresses(&[&address(number)]), 3600));
    }
    names.later(60);
    for (number, peer) in peers.iter().enumerate() {
        assert_eq!(&names.who(&address(number)), peer);
    }
    assert_eq!(server.asked_for("peer-000.example.org"), 2);
}

#[test]
fn a_clock_that_is_set_back_or_forward_keeps_no_name_from_being_asked_for() {
    let server = NameServer::start();
    server.says(LYON, has(&["198.51.100.4"]));
    let mut names = Names::of_lyon(&server, "hold_nx = \"1h\"");
    names.settle();
    server.says(LYON, has(&["198.51.100.9"]));
    names.later(-86_400);
    assert_eq!((names.who("198.51.100.4"), names.who("198.51.100.9")), ("-".into(), "lyon".into()));
    server.says(LYON, has(&["198.51.100.4"]));
    names.later(10 * 365 * 86_400);
    assert_eq!(names.who("198.51.100.4"), "lyon");
    // A hold that began in the future is over an hour after the clock was set back.
    server.says(LYON, Says::Fails(Rcode::NXDOMAIN));
    names.later(-86_400);
    names.later(1800);
    assert_eq!(names.who("198.51.100.4"), "lyon");
    names.later(1800);
    assert_eq!(names.who("198.51.100.4"), "-");
}
