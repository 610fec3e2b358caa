//! Claims about rates that change while they are spent. The moments are made up: nothing here waits.

use std::num::NonZeroU32;
use std::sync::Barrier;
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::limits::{CallerClass, GatewayLimits, Limit, PeerLimits};
use crate::net::client_address::ClientAddress;

fn rate(requests: u32, period: Duration, burst: u32) -> Rate {
    Rate {
        requests: NonZeroU32::new(requests).unwrap(),
        period,
        burst: NonZeroU32::new(burst).unwrap(),
    }
}

fn at_ms(ms: u64) -> Moment {
    Moment::since_start(Duration::from_millis(ms))
}

fn account(rate: &Rate) -> Arc<Account> {
    Arc::new(Account::new(rate))
}

/// Takes until it is refused: how many passed.
fn drain(account: &Account, now: Moment) -> u32 {
    (0..).take_while(|_| account.take(now).is_ok()).count().try_into().unwrap()
}

fn any_rate() -> impl Strategy<Value = Rate> {
    // With a token in a millisecond at the most, rounding to nanoseconds is no token's worth.
    (1..=1000_u32, prop_oneof![Just(SECOND), Just(MINUTE)], 1..=1000_u32)
        .prop_map(|(requests, period, burst)| rate(requests, period, burst))
}

proptest! {
    #[test]
    fn as_large_a_part_is_left_of_the_new_bucket_as_of_the_old(
        before in any_rate(),
        after in any_rate(),
        spent in 0..=1000_u32,
        now in 0..1_000_000_u64,
    ) {
        let now = at_ms(now);
        let old = account(&before);
        let spent = spent.min(before.burst.get());
        prop_assert_eq!((0..spent).filter(|_| old.take(now).is_ok()).count(), spent as usize);
        let new = old.at(&after, now);
        let left = u64::from(before.burst.get() - spent);
        let expected = if old.bucket.has_quota_of(&new.bucket) {
            left
        } else {
            u64::from(after.burst.get()) * left / u64::from(before.burst.get())
        };
        prop_assert_eq!(u64::from(drain(&new, now)), expected);
    }

    #[test]
    fn nothing_is_won_by_changing_the_rate_to_and_fro(
        rates in prop::collection::vec(any_rate(), 2..6),
        spent in 0..=1000_u32,
    ) {
        let now = at_ms(7);
        let first = account(&rates[0]);
        let spent = (0..spent).filter(|_| first.take(now).is_ok()).count();
        let left = rates[0].burst.get() - u32::try_from(spent).unwrap();
        let mut current = Arc::clone(&first);
        for rate in rates.iter().skip(1).chain([&rates[0]]) {
            current = current.at(rate, now);
        }
        prop_assert!(drain(&current, now) <= left);
    }

    #[test]
    fn an_empty_bucket_stays_empty_and_a_full_one_full(before in any_rate(), after in any_rate()) {
        let now = at_ms(1000);
        let empty = account(&before);
        drain(&empty, now);
        prop_assert_eq!(drain(&empty.at(&after, now), now), 0);
        prop_assert_eq!(drain(&account(&before).at(&after, now), now), after.burst.get());
    }

    #[test]
    fn whoever_still_has_the_old_one_spends_of_the_new(
        rates in prop::collection::vec(any_rate(), 2..5),
    ) {
        let now = at_ms(5);
        let mut all = vec![account(&rates[0])];
        for rate in &rates[1..] {
            all.push(all.last().unwrap().at(rate, now));
        }
        let last = rates.last().unwrap().burst.get();
        let passed: u32 = all.iter().map(|account| drain(account, now)).sum();
        prop_assert_eq!(passed, last);
    }
}

/// Rates of the same burst: whatever is spent of one is the same number of the other.
#[test]
fn every_token_counts_once_however_often_the_rate_changes_meanwhile() {
    let rates = [rate(1, MINUTE, 6000), rate(2, MINUTE, 6000)];
    for round in 0..20 {
        let first = account(&rates[0]);
        let start = Barrier::new(THREADS + 1);
        let passed: u32 = std::thread::scope(|scope| {
            let spend = || {
                start.wait();
                let mut passed = 0_u32;
                let mut refused = 0;
                while refused < 10 {
                    match first.take(at_ms(0)) {
                        // Every third is put back, wherever that is by now.
                        Ok(spent) if passed.is_multiple_of(3) && refused == 0 => {
                            spent.give_back();
                            match first.take(at_ms(0)) {
                                Ok(_) => passed += 1,
                                Err(_) => refused += 1,
                            }
                        }
                        Ok(_) => passed += 1,
                        Err(_) => refused += 1,
                    }
                }
                passed
            };
            let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(spend)).collect();
            start.wait();
            let mut current = Arc::clone(&first);
            for at in 1..200 {
                current = current.at(&rates[at % 2], at_ms(0));
            }
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        assert_eq!(passed + drain(&first, at_ms(0)), 6000, "round {round}");
    }
}

#[test]
fn the_same_rate_is_the_same_account_however_it_is_written() {
    let of_a_second = account(&rate(1, SECOND, 5));
    assert!(Arc::ptr_eq(&of_a_second, &of_a_second.at(&rate(60, MINUTE, 5), at_ms(9))));
    assert!(!Arc::ptr_eq(&of_a_second, &of_a_second.at(&rate(60, MINUTE, 6), at_ms(9))));
}

#[test]
fn a_peers_lookups_in_flight_and_seats_are_counted_on_under_another_policy() {
    let limits = Arc::new(PeerLimits::new(&rate(1, SECOND, 4), 3));
    let held: Vec<_> = (0..3).map(|_| limits.slot().unwrap()).collect();
    let same = limits.at(&rate(1, SECOND, 4), 3, None, at_ms(0));
    assert!(Arc::ptr_eq(&limits, &same));
    let wider = limits.at(&rate(1, SECOND, 4), 4, Some(7), at_ms(0));
    assert_eq!(wider.in_flight(), 3);
    let fourth = wider.slot().unwrap();
    assert!(wider.slot().is_err() && limits.slot().is_err());
    drop(held);
    assert_eq!((limits.in_flight(), wider.in_flight()), (1, 1));
    drop(fourth);
    assert!(limits.is_at_rest(at_ms(0)));
    let id = |limits: &PeerLimits| {
        let CallerClass::Peer { id, .. } = limits.class() else { panic!("{:?}", limits.class()) };
        id
    };
    assert_eq!(id(&limits), id(&wider));
}

#[test]
fn the_gateways_and_unknown_callers_rates_are_carried_over() {
    let limits =
        GatewayLimits::new(&rate(1, MINUTE, 10), &rate(1, MINUTE, 4), &rate(1, MINUTE, 8), 100);
    let peer = PeerLimits::new(&rate(1, MINUTE, 1000), 1);
    let caller = ClientAddress::new("192.0.2.7".parse().unwrap());
    let other = ClientAddress::new("192.0.2.8".parse().unwrap());
    let now = at_ms(0);
    for _ in 0..5 {
        let _admitted = limits.admit(&peer, now).unwrap();
    }
    limits.unknown(caller, now).unwrap();
    for _ in 0..6 {
        limits.handshake(caller, now).unwrap();
    }
    let after = limits.at(&rate(1, MINUTE, 20), &rate(1, MINUTE, 8), &rate(1, MINUTE, 4), now);
    let admitted = (0..100).filter(|_| after.admit(&peer, now).is_ok()).count();
    assert_eq!(admitted, 10, "the half that was left");
    assert_eq!(after.admit(&peer, now).unwrap_err().limit, Limit::Gateway);
    assert_eq!((0..100).filter(|_| after.unknown(caller, now).is_ok()).count(), 6);
    assert_eq!((0..100).filter(|_| after.handshake(caller, now).is_ok()).count(), 1);
    assert_eq!((0..100).filter(|_| after.unknown(other, now).is_ok()).count(), 8);
}

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const THREADS: usize = 8;
