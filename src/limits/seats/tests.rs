//! Claims about the seats. The moments are made up; nothing here waits.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::task::{Context, Wake};
use std::time::Duration;

use proptest::prelude::*;

use super::*;

fn at(ms: u64) -> Moment {
    Moment::since_start(Duration::from_millis(ms))
}

fn table(all: usize, unknown_each: usize) -> Arc<SeatTable> {
    Arc::new(SeatTable::new(Ceilings::new(all, unknown_each)))
}

fn peer() -> CallerClass {
    CallerClass::Peer { id: PeerId::next(), share: None }
}

fn peer_with(share: usize) -> CallerClass {
    CallerClass::Peer { id: PeerId::next(), share: Some(share) }
}

fn caller(number: u32) -> IpAddr {
    IpAddr::V4(Ipv4Addr::from_bits(0x0a00_0000 | number))
}

/// One seat of `class` for each number, idle since then (milliseconds).
fn idle(table: &Arc<SeatTable>, class: CallerClass, count: u64) -> Vec<SeatGuard> {
    (0..count)
        .map(|number| {
            let seat = table.enter(class, at(number)).unwrap();
            seat.wait(at(number), false);
            seat
        })
        .collect()
}

/// So many seats of `guest`, on each of which a request is under way.
fn busy(table: &Arc<SeatTable>, class: CallerClass, count: usize) -> Vec<SeatGuard> {
    (0..count).map(|_| table.enter(class, at(0)).unwrap()).collect()
}

fn has_left(seat: &SeatGuard) -> bool {
    seat.poll_left(&Context::from_waker(Waker::noop())).is_ready()
}

fn left(seats: &[SeatGuard]) -> Vec<usize> {
    (0..).zip(seats).filter(|(_, seat)| has_left(seat)).map(|(number, _)| number).collect()
}

#[test]
fn a_peer_over_its_share_loses_its_own_longest_idle_connection_and_nobody_elses() {
    let table = table(1000, 32);
    let (greedy, honest) = (peer_with(10), peer());
    let others = idle(&table, honest, 5);
    let mut seats = idle(&table, greedy, 10);
    seats[0].resume();
    for expected in [vec![1], vec![1, 2], vec![1, 2, 3]] {
        seats.push(table.enter(greedy, at(100)).unwrap());
        assert_eq!(left(&seats), expected);
    }
    assert_eq!(left(&others), Vec::<usize>::new());
}

#[test]
fn a_peer_whose_share_is_busy_meets_its_own_limit_and_the_others_come_in() {
    let table = table(1000, 32);
    let greedy = peer_with(10);
    let _seats = busy(&table, greedy, 10);
    assert_eq!(table.enter(greedy, at(1)).unwrap_err(), NoSeat::Peer(10));
    let _others = busy(&table, peer(), 100);
    assert_eq!(table.open(), 110);
}

#[test]
fn a_full_house_makes_room_from_whoever_has_most_and_never_from_an_equal() {
    let table = table(100, 32);
    let (rich, poor) = (peer_with(60), peer_with(60));
    let rich_seats = idle(&table, rich, 60);
    let poor_seats = idle(&table, poor, 40);
    let newcomer = peer();
    let mut come = Vec::new();
    for number in 0..20 {
        come.push(table.enter(newcomer, at(1000)).unwrap());
        assert_eq!((table.open(), left(&poor_seats).len()), (100 + number + 1, 0));
    }
    // Those that are asked to leave count until they have left, and there is a margin for them.
    assert_eq!(left(&rich_seats), (0..20).collect::<Vec<_>>());
}

#[test]
fn equals_do_not_displace_each_other() {
    let table = table(10, 32);
    let _seats: Vec<SeatGuard> = (0..10).flat_map(|_| idle(&table, peer(), 1)).collect();
    assert_eq!(table.enter(peer(), at(5)).unwrap_err(), NoSeat::Gateway(10));
}

#[test]
fn unknown_callers_make_room_for_peers_and_never_take_any() {
    let table = table(8, 8);
    let _unknown = [1, 2].map(|number| idle(&table, CallerClass::Unknown(caller(number)), 1));
    let _peers = busy(&table, peer(), 6);
    assert_eq!(
        table.enter(CallerClass::Unknown(caller(3)), at(9)).unwrap_err(),
        NoSeat::Unknown(2)
    );
    let _newcomers: Vec<SeatGuard> = (0..2).map(|_| table.enter(peer(), at(9)).unwrap()).collect();
    assert_eq!(
        table.enter(CallerClass::Unknown(caller(3)), at(9)).unwrap_err(),
        NoSeat::Gateway(8)
    );
    assert_eq!(table.enter(peer(), at(9)).unwrap_err(), NoSeat::Gateway(8));
}

#[test]
fn an_unknown_caller_displaces_no_peer_however_many_idle_connections_it_has() {
    let table = table(8, 8);
    let seats = idle(&table, peer_with(8), 8);
    for class in [CallerClass::Unknown(caller(1)), CallerClass::Handshake(caller(1))] {
        assert_eq!(table.enter(class, at(9)).unwrap_err(), NoSeat::Gateway(8));
    }
    assert_eq!(left(&seats), Vec::<usize>::new());
    let _proxy = table.enter(CallerClass::Proxy, at(9)).unwrap();
    assert_eq!(left(&seats), [0]);
}

#[test]
fn an_unknown_caller_has_its_few_and_all_of_them_a_quarter() {
    let table = table(400, 32);
    let one = CallerClass::Unknown(caller(1));
    let _one = busy(&table, one, 32);
    assert_eq!(table.enter(one, at(1)).unwrap_err(), NoSeat::UnknownCaller(32));
    let _others: Vec<SeatGuard> =
        (2..70).map(|n| table.enter(CallerClass::Unknown(caller(n)), at(1)).unwrap()).collect();
    assert_eq!(
        table.enter(CallerClass::Unknown(caller(70)), at(1)).unwrap_err(),
        NoSeat::Unknown(100)
    );
    assert!(table.enter(peer(), at(1)).is_ok());
}

#[test]
fn one_more_unknown_caller_displaces_one_that_has_several() {
    let table = table(400, 32);
    let hoards: Vec<Vec<SeatGuard>> =
        (1..=4).map(|n| idle(&table, CallerClass::Unknown(caller(n)), 25)).collect();
    let _newcomer = table.enter(CallerClass::Unknown(caller(9)), at(5)).unwrap();
    assert_eq!(hoards.iter().map(|hoard| left(hoard).len()).sum::<usize>(), 1);
}

#[test]
fn a_hundred_attackers_leave_room_for_a_handshake_whose_certificate_may_yet_say_whose_it_is() {
    let table = table(10_000, 32);
    let mut attackers = Vec::new();
    let mut now = 0;
    // Each comes again and again, and none of its handshakes ever goes on.
    for round in 0..40 {
        for attacker in 0..100 {
            now += 1;
            if let Ok(seat) = table.enter(CallerClass::Handshake(caller(attacker)), at(now)) {
                seat.wait(at(now), true);
                attackers.push(seat);
            }
        }
        let honest = table.enter(CallerClass::Handshake(caller(5000)), at(now)).expect("room");
        honest.wait(at(now), true);
        attackers.retain(|seat| !has_left(seat));
        assert!(!has_left(&honest), "round {round}");
        assert!(honest.resume());
        honest.reseat(peer(), at(now)).unwrap();
    }
    assert!(table.open() <= 1250 + 1, "{}", table.open());
}

#[test]
fn a_handshake_that_has_just_begun_is_not_displaced_by_its_own() {
    let table = table(1000, 2);
    let one = CallerClass::Handshake(caller(1));
    let seats: Vec<SeatGuard> = (0..2).map(|_| table.enter(one, at(0)).unwrap()).collect();
    seats.iter().for_each(|seat| seat.wait(at(0), true));
    assert_eq!(table.enter(one, at(900)).unwrap_err(), NoSeat::UnknownCaller(2));
    let _third = table.enter(one, at(1100)).unwrap();
    assert_eq!(left(&seats).len(), 1);
}

#[test]
fn a_request_that_comes_as_its_seat_is_given_away_is_the_last_of_its_connection() {
    let table = table(10, 32);
    let class = peer_with(1);
    let first = table.enter(class, at(0)).unwrap();
    first.wait(at(0), false);
    let second = table.enter(class, at(1)).unwrap();
    assert!(!first.resume(), "it was given away");
    first.wait(at(2), false);
    assert!(has_left(&first) && second.resume());
    assert_eq!(table.open(), 2);
    drop(first);
    assert_eq!(table.open(), 1);
}

#[test]
fn who_leaves_is_woken() {
    struct Count(AtomicUsize);
    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
    let table = table(10, 32);
    let class = peer_with(1);
    let seat = table.enter(class, at(0)).unwrap();
    seat.wait(at(0), false);
    let count = Arc::new(Count(AtomicUsize::new(0)));
    let waker = Waker::from(Arc::clone(&count));
    assert!(seat.poll_left(&Context::from_waker(&waker)).is_pending());
    let _other = table.enter(class, at(1)).unwrap();
    assert_eq!(count.0.load(Ordering::Relaxed), 1);
    assert!(seat.poll_left(&Context::from_waker(&waker)).is_ready());
}

#[test]
fn a_few_peers_are_told_that_there_is_no_seat_and_no_unknown_caller_is() {
    let table = table(100, 32);
    let class = peer();
    let told: Vec<SeatGuard> = (0..20).filter_map(|_| table.admit_over_limit(class)).collect();
    assert_eq!(told.len(), 8, "of one holder");
    let others: Vec<SeatGuard> = (0..100).filter_map(|_| table.admit_over_limit(peer())).collect();
    assert_eq!(others.len(), 56, "of all");
    assert!(table.admit_over_limit(CallerClass::Unknown(caller(1))).is_none());
    drop((told, others));
    assert_eq!(table.open(), 0);
}

#[test]
fn a_peer_that_its_certificate_names_is_counted_as_such() {
    let table = table(80, 4);
    let mut seats = busy(&table, CallerClass::Handshake(caller(1)), 4);
    let known = peer_with(3);
    for (number, seat) in (0..).zip(&mut seats) {
        let seated = seat.reseat(known, at(1));
        assert_eq!(seated.is_ok(), number < 3, "{number}");
    }
    assert!(seats[3].admit_over_limit(known) && seats[3].is_over_limit());
    assert!(table.enter(CallerClass::Handshake(caller(1)), at(2)).is_ok());
    assert_eq!(table.open(), 4);
    drop(seats);
    assert_eq!(table.open(), 0);
}

#[test]
fn ceilings_fit_into_each_other() {
    for all in (1..400).chain([1000, 10_000, 1_000_000]) {
        let ceilings = Ceilings::new(all, 32);
        assert!((1..=all).contains(&ceilings.unknown), "{ceilings:?}");
        assert!((1..=all).contains(&ceilings.handshakes), "{ceilings:?}");
        assert!((1..=all).contains(&ceilings.share(None)), "{ceilings:?}");
        assert_eq!(ceilings.share(Some(all + 1)), all);
    }
    assert_eq!(Ceilings::new(10_000, 32).share(None), 1250);
}

#[test]
fn ceilings_are_a_quarter_and_eighths_with_a_least_number() {
    for (all, unknown, handshakes, share) in [
        (1, 1, 1, 1),
        (10, 3, 5, 10),
        (100, 25, 50, 64),
        (400, 100, 128, 64),
        (1000, 250, 128, 125),
        (10_000, 2500, 1250, 1250),
    ] {
        let expected = Ceilings { all, unknown, handshakes, unknown_each: 32 };
        assert_eq!(Ceilings::new(all, 32), expected);
        assert_eq!((expected.share(None), expected.share(Some(1))), (share, 1));
        assert_eq!((unknown_of(all), peer_share(all)), (unknown, share));
        assert_eq!(table(all, 32).ceilings(), expected);
    }
}

#[test]
fn who_gets_no_seat_is_told_which_setting_it_was() {
    for (why, number, names) in [
        (NoSeat::Peer(7), "7", "`connections`"),
        (NoSeat::UnknownCaller(7), "7", "limits.unknown_connections"),
        (NoSeat::Unknown(7), "7", "limits.max_connections"),
        (NoSeat::Handshakes(7), "7 TLS handshakes", "in no policy"),
        (NoSeat::HandshakeRate, "in no policy", "limits.handshake_rate"),
        (NoSeat::Gateway(7), "7", "limits.max_connections"),
    ] {
        let text = why.to_string();
        assert!(text.contains(number) && text.contains(names), "{text}");
    }
}

#[test]
fn no_moment_makes_a_connection_that_waits_look_busy_or_gone() {
    let last = Moment::since_start(Duration::MAX);
    for now in [at(0), at(1), last] {
        for fresh in [true, false] {
            let waiting = Waiting::since(now, fresh);
            assert_eq!(Waiting::of(waiting.0), Some(waiting), "{now:?}");
        }
    }
    assert_eq!((Waiting::of(BUSY), Waiting::of(LEFT)), (None, None));
    assert!(Waiting::since(at(1), true) < Waiting::since(at(2), false));
}

#[test]
fn a_fresh_connection_yields_to_its_own_after_a_second() {
    let nanos = |nanos: u64| Moment::since_start(Duration::from_nanos(nanos));
    let fresh = Waiting::since(nanos(5), true);
    assert!(!fresh.yields_to_its_own(nanos(5 + FRESH)));
    assert!(fresh.yields_to_its_own(nanos(5 + FRESH + 1)));
    assert!(Waiting::since(nanos(5), false).yields_to_its_own(nanos(5)));
}

#[test]
fn those_on_their_way_out_are_counted_up_to_a_margin() {
    let table = table(100, 32);
    let rich = peer_with(100);
    let mut seats = idle(&table, rich, 100);
    let (first, second) = (peer_with(40), peer_with(40));
    for number in 0..64 {
        let newcomer = if number % 2 == 0 { first } else { second };
        seats.push(table.enter(newcomer, at(1000)).unwrap());
    }
    assert_eq!((table.open(), left(&seats).len()), (164, 64));
    assert_eq!(table.enter(first, at(1000)).unwrap_err(), NoSeat::Gateway(100));
    assert!(table.admit_over_limit(first).is_none(), "there is no room to be told either");
    drop(seats.swap_remove(0));
    assert_eq!(table.open(), 163);
    assert!(table.admit_over_limit(first).is_some_and(|stands| stands.is_over_limit()));
    assert!(table.enter(first, at(1000)).is_ok());
}

#[test]
fn whoever_has_two_more_than_the_newcomer_makes_room() {
    let table = table(10, 32);
    let _busy: Vec<SeatGuard> = (0..8).flat_map(|_| busy(&table, peer(), 1)).collect();
    let two = idle(&table, peer(), 2);
    let newcomer = peer();
    let seat = table.enter(newcomer, at(5)).unwrap();
    assert_eq!(left(&two), [0]);
    assert!(!seat.is_over_limit());
    // Now the newcomer has one, and would have two: nobody has three.
    assert_eq!(table.enter(newcomer, at(5)).unwrap_err(), NoSeat::Gateway(10));
}

#[test]
fn a_holder_of_whom_none_waited_is_not_asked_again_for_a_while() {
    let nanos = |nanos: u64| Moment::since_start(Duration::from_nanos(nanos));
    let table = table(2, 32);
    let seats = busy(&table, peer(), 2);
    let newcomer = peer();
    assert_eq!(table.enter(newcomer, nanos(0)).unwrap_err(), NoSeat::Gateway(2));
    seats[1].wait(nanos(1), false);
    assert_eq!(table.enter(newcomer, nanos(9_999_999)).unwrap_err(), NoSeat::Gateway(2));
    assert!(table.enter(newcomer, nanos(10_000_000)).is_ok());
    assert_eq!(left(&seats), [1]);
}

#[test]
fn a_newcomer_of_the_same_holder_waits_as_long() {
    let nanos = |nanos: u64| Moment::since_start(Duration::from_nanos(nanos));
    let table = table(1000, 32);
    let class = peer_with(2);
    let seats = busy(&table, class, 2);
    assert_eq!(table.enter(class, nanos(0)).unwrap_err(), NoSeat::Peer(2));
    seats[1].wait(nanos(1), false);
    assert_eq!(table.enter(class, nanos(9_999_999)).unwrap_err(), NoSeat::Peer(2));
    assert!(table.enter(class, nanos(10_000_000)).is_ok());
    assert_eq!(left(&seats), [1]);
}

#[test]
fn what_is_too_fresh_for_its_own_is_not_so_for_others() {
    let table = table(4, 32);
    let class = peer_with(4);
    let seats = busy(&table, class, 4);
    seats.iter().for_each(|seat| seat.wait(at(0), true));
    assert_eq!(table.enter(class, at(1)).unwrap_err(), NoSeat::Peer(4));
    let other = table.enter(peer(), at(1)).unwrap();
    assert_eq!(left(&seats).len(), 1);
    // The others are known now, and are still too fresh for their own.
    assert_eq!(table.enter(class, at(20)).unwrap_err(), NoSeat::Gateway(4));
    drop(other);
    let _own = table.enter(class, at(20)).unwrap();
    assert_eq!(table.enter(class, at(21)).unwrap_err(), NoSeat::Peer(4));
    assert_eq!(left(&seats).len(), 1);
}

#[test]
fn a_known_connection_that_became_somebody_elses_is_left_alone() {
    let table = table(1000, 32);
    let class = peer_with(4);
    let seats = idle(&table, class, 4);
    let _fifth = table.enter(class, at(10)).unwrap();
    assert_eq!(left(&seats), [0]);
    seats[1].reseat(peer(), at(11)).unwrap();
    let _sixth = table.enter(class, at(12)).unwrap();
    assert_eq!(left(&seats), [0]);
    let _seventh = table.enter(class, at(13)).unwrap();
    assert_eq!(left(&seats), [0, 2]);
}

#[test]
fn a_seat_that_was_given_away_is_counted_as_nobodys() {
    let table = table(10, 32);
    let class = peer_with(1);
    let first = table.enter(class, at(0)).unwrap();
    first.wait(at(0), false);
    let _second = table.enter(class, at(1)).unwrap();
    assert!(has_left(&first));
    first.reseat(peer(), at(2)).unwrap();
    assert_eq!(table.open(), 2);
    drop(first);
    assert_eq!(table.open(), 1);
}

#[test]
fn the_longest_idle_are_found_among_few_and_among_many() {
    for count in [1, 31, 32, 33, 80] {
        let table = table(1000, 32);
        let class = peer_with(count);
        let mut seats = idle(&table, class, count as u64);
        for gone in 1..=count {
            seats.push(table.enter(class, at(1000)).unwrap());
            assert_eq!(left(&seats), (0..gone).collect::<Vec<_>>(), "{count}");
        }
        assert_eq!(table.enter(class, at(1000)).unwrap_err(), NoSeat::Peer(count));
    }
}

#[test]
fn who_is_told_that_there_is_no_seat_has_given_its_own_back() {
    let table = table(10, 32);
    let class = peer();
    let mut seats = busy(&table, class, 9);
    assert!(seats[0].admit_over_limit(class) && seats[0].is_over_limit());
    assert!(seats[0].admit_over_limit(class), "it stands already");
    assert!(seats[1..8].iter_mut().all(|seat| seat.admit_over_limit(class)));
    assert!(!seats[8].admit_over_limit(class) && !seats[8].is_over_limit());
    assert_eq!(table.open(), 9);
    // A seat is free again for each.
    let _others = busy(&table, peer(), 9);
    assert_eq!(table.enter(peer(), at(0)).unwrap_err(), NoSeat::Gateway(10));
}

/// What can happen to a connection.
#[derive(Clone, Copy, Debug)]
enum Step {
    Enter(usize),
    Wait(usize),
    Resume(usize),
    Reseat(usize, usize),
    Leave(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => (0..8_usize).prop_map(Step::Enter),
        4 => any::<usize>().prop_map(Step::Wait),
        2 => any::<usize>().prop_map(Step::Resume),
        1 => (any::<usize>(), 0..8_usize).prop_map(|(seat, class)| Step::Reseat(seat, class)),
        3 => any::<usize>().prop_map(Step::Leave),
    ];
    proptest::collection::vec(step, 1..300)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]
    // Whatever happens, no ceiling is exceeded, no busy connection is ended, and all is empty in the end.
    #[test]
    fn no_ceiling_is_exceeded(all in 1..40_usize, each in 1..6_usize, steps in steps()) {
        let table = table(all, each);
        let ceilings = table.ceilings();
        let classes = [
            peer_with(3), peer_with(5), peer(), CallerClass::Proxy,
            CallerClass::Unknown(caller(1)), CallerClass::Unknown(caller(2)),
            CallerClass::Handshake(caller(1)), CallerClass::Handshake(caller(3)),
        ];
        // Its seat, whose it is, and whether it waits.
        let mut seats: Vec<(SeatGuard, usize, bool)> = Vec::new();
        for (now, step) in (0..).zip(steps) {
            let now = at(now * 7);
            let chosen = |number: usize| (!seats.is_empty()).then(|| number % seats.len());
            match step {
                Step::Enter(class) => {
                    if let Ok(seat) = table.enter(classes[class], now) {
                        seats.push((seat, class, false));
                    }
                }
                Step::Wait(number) => if let Some(at) = chosen(number) {
                    seats[at].0.wait(now, number % 2 == 0);
                    seats[at].2 = true;
                },
                Step::Resume(number) => if let Some(at) = chosen(number) && seats[at].0.resume() {
                    seats[at].2 = false;
                },
                Step::Reseat(number, class) => if let Some(at) = chosen(number)
                    && seats[at].0.reseat(classes[class], now).is_ok()
                {
                    seats[at].1 = class;
                },
                Step::Leave(number) => if let Some(at) = chosen(number) {
                    drop(seats.swap_remove(at));
                },
            }
            for (seat, _, waits) in &seats {
                prop_assert!(*waits || !has_left(seat), "a busy connection was ended");
            }
            let held = |wanted: &[usize]| {
                let counts = |(seat, class, _): &&(SeatGuard, usize, bool)| wanted.contains(class) && !has_left(seat);
                seats.iter().filter(counts).count()
            };
            prop_assert!(held(&[0]) <= 3 && held(&[1]) <= 5);
            prop_assert!(held(&[4, 6]) <= each && held(&[5]) <= each && held(&[7]) <= each);
            prop_assert!(held(&[4, 5]) <= ceilings.unknown);
            prop_assert!(held(&[6, 7]) <= ceilings.handshakes);
            prop_assert!(held(&[0, 1, 2, 3, 4, 5, 6, 7]) <= all);
            prop_assert_eq!(table.open(), seats.len());
        }
        seats.clear();
        prop_assert_eq!(table.open(), 0);
    }
}
