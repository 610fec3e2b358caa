use std::collections::HashSet;

use proptest::prelude::*;

use super::*;
use crate::upstream::{
    Cause, CertificateFault, ConnectFault, HeadFault, HeadTimeout, InvalidBody, Lack, NotAllowed,
    ResolveFault,
};

const SETTINGS: CircuitSettings = CircuitSettings {
    failures: 5,
    open: Duration::from_secs(1),
    max_open: Duration::from_secs(5),
    timeout: Duration::from_millis(2500),
};

const MILLI: Duration = Duration::from_millis(1);

fn question(peer: u64, lookup: u64) -> Question {
    Question { peer, lookup, kind: QuestionKind::Lookup }
}

/// A circuit and a clock.
struct Rig {
    circuit: Circuit,
    now: Instant,
    answered: Option<Instant>,
}

impl Rig {
    fn new(settings: CircuitSettings) -> Self {
        Self { circuit: Circuit::new(settings), now: Instant::now(), answered: None }
    }

    fn open() -> Self {
        let mut rig = Self::new(SETTINGS);
        for _ in 1..5 {
            assert_eq!(rig.ends(question(1, 1), Outcome::Silent), None);
        }
        assert_eq!(rig.ends(question(1, 1), Outcome::Silent), Some(Turn::Opened));
        rig
    }

    /// A lookup that was asked while the circuit was closed ends so.
    fn ends(&mut self, asked: Question, outcome: Outcome) -> Option<Turn> {
        if outcome == Outcome::Answered {
            self.answered = Some(self.now);
        }
        self.circuit.conclude((asked, None), outcome, self.answered, self.now)
    }

    fn after(&mut self, millis: u64) -> &mut Self {
        self.now += MILLI * u32::try_from(millis).unwrap();
        self
    }

    fn admit(&mut self, asked: Question) -> Admission {
        self.circuit.admit(asked, self.now)
    }

    #[track_caller]
    fn probe(&mut self, asked: Question) -> u64 {
        match self.admit(asked) {
            Admission::Probe(number) => number,
            other @ (Admission::Asked | Admission::Refused(_)) => panic!("{other:?}"),
        }
    }

    #[track_caller]
    fn refused(&mut self, asked: Question) -> u32 {
        match self.admit(asked) {
            Admission::Refused(seconds) => seconds.get(),
            other @ (Admission::Asked | Admission::Probe(_)) => panic!("{other:?}"),
        }
    }

    fn probe_ends(&mut self, asked: Question, number: u64, outcome: Outcome) -> Option<Turn> {
        self.circuit.conclude((asked, Some(number)), outcome, self.answered, self.now)
    }
}

#[test]
fn it_is_open_for_a_second_and_twice_as_long_after_each_failed_probe_up_to_five() {
    let mut rig = Rig::open();
    let mut seconds = Vec::new();
    for wait in [1000, 2000, 4000, 5000, 5000] {
        let asked = question(1, 1);
        seconds.push(rig.refused(asked));
        rig.after(wait - 1);
        assert_eq!(rig.refused(asked), 1);
        let number = rig.after(1).probe(asked);
        assert_eq!(rig.refused(asked), 1, "one at a time");
        assert_eq!(rig.probe_ends(asked, number, Outcome::Silent), None);
    }
    assert_eq!(seconds, [1, 2, 4, 5, 5]);
    let number = rig.after(5000).probe(question(1, 1));
    assert_eq!(rig.probe_ends(question(1, 1), number, Outcome::Answered), Some(Turn::Closed));
    assert_eq!(rig.admit(question(1, 1)), Admission::Asked);
    assert!(rig.circuit.is_at_rest());
}

/// What was asked into the void just before XiVO came back may not delay that this is seen.
#[test]
fn how_long_it_is_open_is_counted_from_where_the_probe_began() {
    let mut rig = Rig::open();
    let asked = question(1, 1);
    let number = rig.after(1000).probe(asked);
    rig.after(1500).probe_ends(asked, number, Outcome::Silent);
    assert_eq!(rig.after(499).refused(asked), 1);
    let number = rig.after(1).probe(asked);
    // Longer than it would have been open.
    rig.after(20_000).probe_ends(asked, number, Outcome::Silent);
    rig.probe(asked);
}

#[test]
fn it_opens_for_as_long_as_at_first_only_after_thirty_seconds_of_health() {
    for (health, seconds) in [(29_999, 2), (30_000, 1)] {
        let mut rig = Rig::open();
        let asked = question(1, 1);
        let number = rig.after(1000).probe(asked);
        rig.probe_ends(asked, number, Outcome::Silent);
        let number = rig.after(2000).probe(asked);
        rig.probe_ends(asked, number, Outcome::Answered);
        rig.after(health);
        for _ in 0..5 {
            rig.ends(asked, Outcome::Silent);
        }
        assert_eq!(rig.refused(asked), seconds, "{health}");
    }
}

#[test]
fn one_answer_between_faults_begins_a_new_count_whoever_was_told_of_it() {
    for told in [true, false] {
        let mut rig = Rig::new(SETTINGS);
        for _ in 0..4 {
            rig.ends(question(1, 1), Outcome::Silent);
        }
        rig.after(1);
        if told {
            rig.ends(question(2, 2), Outcome::Answered);
        } else {
            rig.answered = Some(rig.now);
        }
        for _ in 0..4 {
            assert_eq!(rig.after(1).ends(question(1, 1), Outcome::Silent), None);
        }
        assert_eq!(rig.ends(question(1, 1), Outcome::Silent), Some(Turn::Opened));
    }
}

#[test]
fn what_is_answered_badly_counts_from_two_peers_or_three_lookups() {
    for (asked, opens) in [
        (vec![(1, 1); 100], false),
        ([vec![(1, 1); 50], vec![(1, 2); 50]].concat(), false),
        ((1..=5).map(|lookup| (1, lookup)).collect(), true),
        (vec![(1, 1), (1, 1), (1, 1), (1, 1), (2, 1)], true),
        (vec![(1, 1), (1, 2), (1, 1), (1, 2), (1, 3)], true),
        (vec![(1, 1), (2, 1), (1, 1), (2, 1)], false),
    ] {
        let mut rig = Rig::new(SETTINGS);
        let mut turns = Vec::new();
        for (peer, lookup) in &asked {
            turns.extend(rig.ends(question(*peer, *lookup), Outcome::AnsweredBadly));
        }
        assert_eq!(turns.contains(&Turn::Opened), opens, "{asked:?}");
        let state = rig.circuit.state();
        assert_eq!(state != CircuitState::Closed, opens, "{asked:?}");
    }
}

#[test]
fn an_expired_number_timeout_counts_where_nothing_was_answered_lately() {
    for (since, opens) in [(2499, false), (2500, true)] {
        let mut rig = Rig::new(SETTINGS);
        rig.ends(question(1, 1), Outcome::Answered);
        rig.after(since);
        for _ in 0..5 {
            rig.ends(question(1, 1), Outcome::SilentForNumber);
        }
        assert_eq!(rig.circuit.state() != CircuitState::Closed, opens, "{since}");
    }
}

#[test]
fn a_probe_that_is_given_back_leaves_its_place_to_the_next_at_once() {
    let mut rig = Rig::open();
    let number = rig.after(1000).probe(question(1, 1));
    rig.circuit.give_back(number);
    let next = rig.probe(question(2, 2));
    // Whoever had the place before does not give back another's, nor fails for it.
    rig.circuit.give_back(number);
    rig.probe_ends(question(1, 1), number, Outcome::Silent);
    assert_eq!(rig.refused(question(1, 1)), 1);
    assert_eq!(rig.probe_ends(question(2, 2), next, Outcome::Unknown), None);
    rig.probe(question(1, 1));
}

#[test]
fn what_was_asked_before_it_opened_does_not_keep_it_open_but_can_close_it() {
    let mut rig = Rig::open();
    for _ in 0..100 {
        assert_eq!(rig.ends(question(3, 3), Outcome::Silent), None);
    }
    assert_eq!(rig.refused(question(1, 1)), 1);
    assert_eq!(rig.ends(question(3, 3), Outcome::Answered), Some(Turn::Closed));
}

#[test]
fn a_list_is_a_probe_that_others_wait_for_no_longer_than_for_their_own() {
    let mut rig = Rig::open();
    let list = Question { kind: QuestionKind::List, ..question(1, 1) };
    let number = rig.after(1000).probe(list);
    rig.after(2499);
    rig.refused(question(2, 2));
    rig.after(1);
    rig.refused(list);
    let other = rig.probe(question(2, 2));
    rig.refused(question(2, 2));
    rig.refused(list);
    // One list waits, not two.
    rig.circuit.give_back(other);
    rig.refused(list);
    let other = rig.probe(question(2, 2));
    rig.circuit.give_back(number);
    rig.circuit.give_back(other);
    let number = rig.probe(list);
    // The list may still be answered.
    assert_eq!(rig.probe_ends(list, number, Outcome::Answered), Some(Turn::Closed));
    assert!(rig.circuit.is_at_rest());
}

#[test]
fn who_was_answered_badly_as_a_probe_leaves_the_next_to_others_for_a_moment() {
    let mut rig = Rig::open();
    let number = rig.after(1000).probe(question(1, 1));
    rig.probe_ends(question(1, 1), number, Outcome::AnsweredBadly);
    rig.after(2000);
    for (asked, later) in [(question(1, 1), 200), (question(1, 2), 100), (question(2, 1), 100)] {
        rig.after(later - 1).refused(asked);
        let number = rig.after(1).probe(asked);
        rig.circuit.give_back(number);
        rig.now -= MILLI * u32::try_from(later).unwrap();
    }
    rig.probe(question(2, 2));
}

#[test]
fn the_gateways_own_question_may_come_at_any_time_and_keeps_nobody_from_being_the_next() {
    let check = Question { kind: QuestionKind::Check, ..question(9, 9) };
    let mut rig = Rig::open();
    let number = rig.after(500).probe(check);
    rig.probe_ends(check, number, Outcome::Silent);
    // As if it had not been asked.
    let number = rig.after(500).probe(check);
    rig.probe_ends(check, number, Outcome::AnsweredBadly);
    let number = rig.probe(check);
    rig.refused(check);
    rig.probe_ends(check, number, Outcome::Silent);
    // This time it was due.
    assert_eq!(rig.refused(question(1, 1)), 2);
    let number = rig.probe(check);
    assert_eq!(rig.probe_ends(check, number, Outcome::Answered), Some(Turn::Closed));
}

#[test]
fn settings_change_and_the_state_stays() {
    let mut rig = Rig::open();
    let asked = question(1, 1);
    let shorter = CircuitSettings { max_open: 300 * MILLI, ..SETTINGS };
    assert_eq!(rig.circuit.adopt(shorter, rig.now), None);
    rig.after(299).refused(asked);
    let number = rig.after(1).probe(asked);
    rig.probe_ends(asked, number, Outcome::Silent);
    rig.after(300).probe(asked);
    let never = CircuitSettings { failures: 0, ..SETTINGS };
    assert_eq!(rig.circuit.adopt(never, rig.now), Some(Turn::Closed));
    for _ in 0..100 {
        assert_eq!(rig.ends(asked, Outcome::Silent), None);
    }
    assert!(rig.circuit.is_at_rest());
    assert_eq!(rig.circuit.adopt(SETTINGS, rig.now), None);
    for _ in 0..5 {
        rig.ends(asked, Outcome::Silent);
    }
    assert_eq!(rig.circuit.forget(), Some(Turn::Closed));
    assert_eq!(rig.admit(asked), Admission::Asked);
}

#[test]
fn open_is_not_longer_than_max_open() {
    let settings = CircuitSettings { open: Duration::from_secs(9), ..SETTINGS };
    let mut rig = Rig::new(settings);
    for _ in 0..5 {
        rig.ends(question(1, 1), Outcome::Silent);
    }
    assert_eq!(rig.refused(question(1, 1)), 5);
}

#[test]
fn what_counts_is_what_tells_of_xivo() {
    let cause = || Cause::new(std::fmt::Error);
    let timeout = |key| UpstreamFault::Timeout(HeadTimeout { key, limit: Duration::from_secs(1) });
    let certificate =
        TlsFault::Certificate { why: CertificateFault::Expired, seen: None, cause: cause() };
    for (fault, outcome) in [
        (ConnectFault::TooSlow.into(), Outcome::Silent),
        (ConnectFault::Refused(cause()).into(), Outcome::Silent),
        (HeadFault::Closed.into(), Outcome::Silent),
        (HeadFault::Reset(cause()).into(), Outcome::Silent),
        (TlsFault::Ended(cause()).into(), Outcome::Silent),
        (TlsFault::NotTls(cause()).into(), Outcome::Silent),
        (certificate.into(), Outcome::Unknown),
        (timeout("timeout"), Outcome::Silent),
        (timeout("number_timeout"), Outcome::SilentForNumber),
        (timeout("list_timeout"), Outcome::Unknown),
        (UpstreamFault::Error(500), Outcome::AnsweredBadly),
        (UpstreamFault::Error(599), Outcome::AnsweredBadly),
        (UpstreamFault::Error(404), Outcome::AnsweredOtherwise),
        (UpstreamFault::Redirect(301), Outcome::AnsweredOtherwise),
        (UpstreamFault::RefusedGateway(401), Outcome::AnsweredOtherwise),
        (UpstreamFault::TooLarge, Outcome::AnsweredOtherwise),
        (InvalidBody::Empty.into(), Outcome::AnsweredBadly),
        (Lack::OpenFiles(cause()).into(), Outcome::Unknown),
        (NotAllowed::LoopbackClient.into(), Outcome::Unknown),
        (ResolveFault::NoAddress.into(), Outcome::Unknown),
        (UpstreamFault::Stalled, Outcome::Unknown),
    ] {
        assert_eq!(Outcome::from(&fault), outcome, "{fault:?}");
    }
}

/// The same, told by remembering all that happened.
#[derive(Default)]
struct Model {
    /// What counted since the last answer: who asked what, and whether it was answered badly.
    run: Vec<(Question, bool)>,
    last_fault: Option<Instant>,
    open: bool,
}

impl Model {
    fn opens(&self) -> bool {
        let badly = || self.run.iter().filter(|(_, badly)| *badly);
        let peers: HashSet<u64> = badly().map(|(asked, _)| asked.peer).collect();
        let lookups: HashSet<u64> = badly().map(|(asked, _)| asked.lookup).collect();
        let several = peers.len() >= 2 || lookups.len() >= 3;
        let counted = self.run.iter().filter(|(_, badly)| !*badly || several).count();
        counted >= 5
    }

    /// What is known to have happened, and whether it is open then.
    fn ends(&mut self, asked: Question, outcome: Outcome, answered: Option<Instant>, now: Instant) {
        let lately = answered.is_some_and(|at| now - at < SETTINGS.timeout);
        let counts = match outcome {
            Outcome::Unknown => false,
            Outcome::Answered | Outcome::AnsweredOtherwise => {
                self.run.clear();
                self.last_fault = None;
                self.open = false;
                false
            }
            Outcome::SilentForNumber => !lately,
            Outcome::Silent | Outcome::AnsweredBadly => true,
        };
        if !counts || self.open {
            return;
        }
        if self.last_fault.zip(answered).is_some_and(|(fault, answer)| answer > fault) {
            self.run.clear();
        }
        self.last_fault = Some(now);
        self.run.push((asked, outcome == Outcome::AnsweredBadly));
        if self.opens() {
            self.open = true;
            self.run.clear();
            self.last_fault = None;
        }
    }
}

#[derive(Clone, Debug)]
enum Step {
    Ask(Question),
    /// One of those under way ends so.
    End(prop::sample::Index, Outcome),
    /// The client of one of them leaves.
    Leave(prop::sample::Index),
    Wait(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let kind = prop_oneof![
        8 => Just(QuestionKind::Lookup),
        2 => Just(QuestionKind::List),
        1 => Just(QuestionKind::Check),
    ];
    let asked =
        (0..3_u64, 0..4_u64, kind).prop_map(|(peer, lookup, kind)| Question { peer, lookup, kind });
    let outcome = prop_oneof![
        1 => Just(Outcome::Answered),
        1 => Just(Outcome::AnsweredOtherwise),
        8 => Just(Outcome::Silent),
        4 => Just(Outcome::SilentForNumber),
        8 => Just(Outcome::AnsweredBadly),
        2 => Just(Outcome::Unknown),
    ];
    let step = prop_oneof![
        6 => asked.prop_map(Step::Ask),
        6 => (any::<prop::sample::Index>(), outcome).prop_map(|(index, end)| Step::End(index, end)),
        1 => any::<prop::sample::Index>().prop_map(Step::Leave),
        3 => (0..3000_u64).prop_map(Step::Wait),
    ];
    prop::collection::vec(step, 0..200)
}

proptest! {
    #[test]
    fn it_does_what_the_model_does_and_is_never_stuck(steps in steps()) {
        let mut rig = Rig::new(SETTINGS);
        let mut model = Model::default();
        let mut under_way: Vec<(Question, Option<u64>, Instant)> = Vec::new();
        // The last probe before the circuit was opened last.
        let mut probes_before = 0;
        for step in steps {
            match step {
                Step::Wait(millis) => {
                    rig.after(millis);
                }
                Step::Ask(asked) => {
                    // A probe of a former outage, which another's answer has ended, is a lookup as others.
                    let others = under_way.iter().filter(|(_, probe, _)| {
                        probe.is_some_and(|probe| probe > probes_before)
                    });
                    let others: Vec<_> = others.copied().collect();
                    match rig.admit(asked) {
                        Admission::Asked => {
                            prop_assert!(!model.open);
                            under_way.push((asked, None, rig.now));
                        }
                        Admission::Probe(number) => {
                            prop_assert!(model.open);
                            let list = |kind| kind == QuestionKind::List;
                            prop_assert!(others.iter().all(|(other, _, began)| {
                                list(other.kind)
                                    && !list(asked.kind)
                                    && rig.now - *began >= SETTINGS.timeout
                            }), "{others:?}");
                            under_way.push((asked, Some(number), rig.now));
                        }
                        Admission::Refused(seconds) => {
                            prop_assert!(model.open);
                            prop_assert!(seconds.get() <= 5);
                        }
                    }
                }
                Step::Leave(index) if !under_way.is_empty() => {
                    let (_, probe, _) = under_way.swap_remove(index.index(under_way.len()));
                    probe.into_iter().for_each(|probe| rig.circuit.give_back(probe));
                }
                Step::End(index, outcome) if !under_way.is_empty() => {
                    let (asked, probe, _) = under_way.swap_remove(index.index(under_way.len()));
                    if outcome == Outcome::Answered {
                        rig.answered = Some(rig.now);
                    }
                    let was = model.open;
                    model.ends(asked, outcome, rig.answered, rig.now);
                    let turn =
                        rig.circuit.conclude((asked, probe), outcome, rig.answered, rig.now);
                    let expected = match (was, model.open) {
                        (false, true) => {
                            probes_before = rig.circuit.probes;
                            Some(Turn::Opened)
                        }
                        (true, false) => Some(Turn::Closed),
                        _ => None,
                    };
                    prop_assert_eq!(turn, expected);
                }
                Step::Leave(_) | Step::End(..) => {}
            }
            prop_assert_eq!(rig.circuit.state() != CircuitState::Closed, model.open);
        }
        // Whatever was: when all that was asked is over, somebody is asked within max_open and what it takes.
        for (_, probe, _) in under_way {
            probe.into_iter().for_each(|probe| rig.circuit.give_back(probe));
        }
        rig.after(5200);
        prop_assert!(!matches!(rig.admit(question(0, 0)), Admission::Refused(_)));
    }
}
