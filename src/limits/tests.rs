//! Claims about the limits. The moments are made up: nothing here waits, and nothing measures time.

use std::net::IpAddr;
use std::sync::Barrier;
use std::time::Duration;

use proptest::prelude::*;

use super::bucket::Bucket;
use super::bucket::Token;
use super::*;

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

fn at_ns(ns: u64) -> Moment {
    Moment::since_start(Duration::from_nanos(ns))
}

fn passes(bucket: &Bucket, now: Moment) -> bool {
    bucket.take(now).map(Token::spend).is_ok()
}

/// Takes until it is refused: how many passed, and how long the next would have to wait.
fn drain(bucket: &Bucket, now: Moment) -> (u32, Duration) {
    let mut passed = 0;
    loop {
        match bucket.take(now) {
            Ok(token) => token.spend(),
            Err(refused) => return (passed, refused.retry_after),
        }
        passed += 1;
    }
}

/// The same of an account: how many passed.
fn drain_account(account: &Account, now: Moment) -> u32 {
    (0..).take_while(|_| account.take(now).is_ok()).count().try_into().unwrap()
}

fn client(text: &str) -> ClientAddress {
    ClientAddress::new(text.parse().unwrap())
}

/// Runs `work` on all threads at once and returns what each made of it.
fn on_threads<T: Send>(work: impl Fn() -> T + Sync) -> Vec<T> {
    let start = Barrier::new(THREADS);
    std::thread::scope(|scope| {
        let started: Vec<_> = (0..THREADS)
            .map(|_| {
                scope.spawn(|| {
                    start.wait();
                    work()
                })
            })
            .collect();
        started.into_iter().map(|thread| thread.join().unwrap()).collect()
    })
}

/// nginx's `limit_req` with `nodelay`, as `ngx_http_limit_req_module` reckons: time in milliseconds,
/// requests in thousandths, a first request that is not counted, and a refusal that changes nothing.
struct NginxLimitReq {
    /// Thousandths of a request in a second. nginx cuts `r/m` to this.
    rate: u64,
    burst: u64,
    state: Option<(u64, u64)>,
}

impl NginxLimitReq {
    fn per_second(requests: u64, burst: u64) -> Self {
        Self { rate: requests * 1000, burst, state: None }
    }

    fn per_minute(requests: u64, burst: u64) -> Self {
        Self { rate: requests * 1000 / 60, burst, state: None }
    }

    fn passes(&mut self, now_ms: u64) -> bool {
        let excess = match self.state {
            None => 0,
            Some((excess, last_ms)) => {
                (excess + 1000).saturating_sub(self.rate * (now_ms - last_ms) / 1000)
            }
        };
        let passes = excess <= self.burst * 1000;
        if passes {
            self.state = Some((excess, now_ms));
        }
        passes
    }
}

#[test]
fn nginx_model_lets_one_more_than_its_burst_come_at_once() {
    let mut nginx = NginxLimitReq::per_second(1, 5);
    let passed = (0..20).filter(|_| nginx.passes(7_000)).count();
    assert_eq!(passed, 6);
    assert!(!nginx.passes(7_999));
    assert!(nginx.passes(8_000));
}

/// Gaps between arrivals, in steps of a grid: many at once, some close, a few long pauses.
fn gaps() -> impl Strategy<Value = Vec<u64>> {
    let gap =
        prop_oneof![4 => Just(0_u64), 4 => 1..20_u64, 2 => 20..1500_u64, 1 => 1500..70_000_u64];
    proptest::collection::vec(gap, 1..200)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    // nginx reckons whole requests per second exactly at whole milliseconds, so there is no tolerance
    // here, also where the interval between two tokens is no whole number of milliseconds: the bucket
    // cuts the interval to nanoseconds, and for up to 1000 requests per second no edge comes nearer than
    // a microsecond to a millisecond without lying on it. 200 arrivals gather at most 200 ns.
    #[test]
    fn burst_is_nginx_burst_plus_one_per_second(
        requests in prop_oneof![1..=20_u32, 1..=1000_u32],
        burst in prop_oneof![1..=3_u32, 1..=60_u32],
        first in 0..100_000_u64,
        gaps in gaps(),
    ) {
        let bucket = Bucket::new(&rate(requests, SECOND, burst));
        let mut nginx = NginxLimitReq::per_second(requests.into(), u64::from(burst) - 1);
        let mut now = first;
        for gap in gaps {
            now += gap;
            prop_assert_eq!(passes(&bucket, at_ms(now)), nginx.passes(now), "at {} ms", now);
        }
    }

    // nginx cuts requests per minute to thousandths of a request per second, and what was earned to
    // thousandths of a request. Multiples of 3 and steps of 20 ms are where nothing is cut.
    #[test]
    fn burst_is_nginx_burst_plus_one_per_minute(
        thirds in 1..=400_u32,
        burst in prop_oneof![1..=3_u32, 1..=60_u32],
        gaps in gaps(),
    ) {
        let requests = 3 * thirds;
        let bucket = Bucket::new(&rate(requests, MINUTE, burst));
        let mut nginx = NginxLimitReq::per_minute(requests.into(), u64::from(burst) - 1);
        let mut now = 0;
        for gap in gaps {
            now += 20 * gap;
            prop_assert_eq!(passes(&bucket, at_ms(now)), nginx.passes(now), "at {} ms", now);
        }
    }

    #[test]
    fn waiting_as_long_as_told_admits_and_a_nanosecond_less_does_not(
        requests in 1..=5000_u32,
        burst in 1..=50_u32,
        start in 0..10_000_000_000_u64,
        gaps in proptest::collection::vec(0..300_000_000_u64, 1..100),
    ) {
        let bucket = Bucket::new(&rate(requests, SECOND, burst));
        let mut now = start;
        for gap in gaps {
            now += gap;
            if let Err(refused) = bucket.take(at_ns(now)).map(Token::spend) {
                let wait = u64::try_from(refused.retry_after.as_nanos()).unwrap();
                prop_assert!(wait > 0);
                prop_assert!(!passes(&bucket, at_ns(now + wait - 1)));
                prop_assert!(passes(&bucket, at_ns(now + wait)));
                now += wait;
            }
        }
    }

    #[test]
    fn a_token_given_back_was_never_spent(
        requests in 1..=1000_u32,
        burst in 1..=10_u32,
        steps in proptest::collection::vec((0..400_000_000_u64, any::<bool>()), 1..150),
    ) {
        let with = Bucket::new(&rate(requests, SECOND, burst));
        let without = Bucket::new(&rate(requests, SECOND, burst));
        let mut now = 0;
        for (gap, keep) in steps {
            now += gap;
            if keep {
                prop_assert_eq!(
                    with.take(at_ns(now)).map(Token::spend),
                    without.take(at_ns(now)).map(Token::spend)
                );
            } else if let Ok(token) = with.take(at_ns(now)) {
                token.give_back();
            }
        }
        prop_assert_eq!(drain(&with, at_ns(now)), drain(&without, at_ns(now)));
    }

    #[test]
    fn a_give_back_after_somebody_later_gains_at_most_the_time_between(
        spent_before in 0..5_u32,
        own in 0..2_000_000_000_u64,
        later in 0..1_000_000_000_u64,
    ) {
        let (interval, burst) = (100_000_000_u64, 10);
        let with = Bucket::new(&rate(10, SECOND, burst));
        let without = Bucket::new(&rate(10, SECOND, burst));
        for _ in 0..spent_before {
            prop_assert!(passes(&with, at_ns(0)) && passes(&without, at_ns(0)));
        }
        let token = with.take(at_ns(own)).unwrap();
        prop_assert!(passes(&with, at_ns(own + later)) && passes(&without, at_ns(own + later)));
        token.give_back();

        let waiting = |bucket: &Bucket| {
            let (passed, wait) = drain(bucket, at_ns(own + later));
            // Each one that passed is an interval less of waiting.
            i128::try_from(wait.as_nanos()).unwrap() - i128::from(passed) * i128::from(interval)
        };
        let gained = waiting(&without) - waiting(&with);
        prop_assert!((0..=i128::from(later.min(interval))).contains(&gained), "gained {gained} ns");
    }

    #[test]
    fn no_rate_and_no_moment_panics(
        requests in prop_oneof![1..=10_u32, 1..=u32::MAX],
        period in prop_oneof![any::<u64>().prop_map(Duration::from_nanos), any::<Duration>()],
        burst in prop_oneof![1..=10_u32, 1..=u32::MAX],
        moments in proptest::collection::vec(
            prop_oneof![4 => any::<u64>().prop_map(Duration::from_nanos), 1 => any::<Duration>()],
            1..30,
        ),
    ) {
        let bucket = Bucket::new(&rate(requests, period, burst));
        for moment in moments {
            let now = Moment::since_start(moment);
            if let Ok(token) = bucket.take(now) {
                token.give_back();
                prop_assert!(passes(&bucket, now), "the token is there again");
            }
        }
    }
}

#[test]
fn extreme_rates_keep_their_meaning() {
    let slowest = Bucket::new(&rate(1, Duration::MAX, u32::MAX));
    assert_eq!(drain(&slowest, at_ms(0)).0, 1, "a burst that takes ages to earn is cut");

    let fastest = Bucket::new(&rate(u32::MAX, Duration::from_nanos(1), 3));
    assert_eq!(drain(&fastest, at_ns(5)), (3, Duration::from_nanos(1)));

    let last = Moment::since_start(Duration::MAX);
    let bucket = Bucket::new(&rate(1, MINUTE, 2));
    assert_eq!(drain(&bucket, last), (2, MINUTE));
}

#[test]
fn a_minute_rate_earns_over_a_minute() {
    let bucket = Bucket::new(&rate(6, MINUTE, 1));
    assert_eq!(drain(&bucket, at_ms(0)), (1, Duration::from_secs(10)));
    assert!(!passes(&bucket, at_ms(9_999)));
    assert!(passes(&bucket, at_ms(10_000)));
}

#[test]
fn a_caller_that_keeps_exactly_to_an_uneven_rate_is_never_refused() {
    let bucket = Bucket::new(&rate(3, SECOND, 1));
    for second in 0..10_000 {
        for third in [0, 333_333_334, 666_666_667] {
            assert!(passes(&bucket, at_ns(second * 1_000_000_000 + third)));
        }
    }
}

#[test]
fn a_hammering_caller_is_not_punished_further() {
    let bucket = Bucket::new(&rate(1, SECOND, 2));
    assert_eq!(drain(&bucket, at_ms(0)).0, 2);
    for ms in 0..1000 {
        assert!(!passes(&bucket, at_ms(ms)));
    }
    assert!(passes(&bucket, at_ms(1000)));
    assert!(!passes(&bucket, at_ms(1000)));
}

#[test]
fn an_older_moment_never_sees_more_than_a_newer_one() {
    let bucket = Bucket::new(&rate(1, SECOND, 3));
    assert!(passes(&bucket, at_ms(5000)));
    assert_eq!(drain(&bucket, at_ms(4500)), (1, Duration::from_millis(500)));
}

#[test]
fn all_threads_together_get_exactly_the_burst() {
    let bucket = Bucket::new(&rate(1, SECOND, 1000));
    let passed = on_threads(|| (0..1000).filter(|_| passes(&bucket, at_ms(50_000))).count());
    assert_eq!(passed.iter().sum::<usize>(), 1000);
}

#[test]
fn all_threads_together_get_exactly_the_gateways_burst_and_peers_pay_for_no_more() {
    let (of_gateway, of_peer) = (500, 2000);
    let limits = GatewayLimits::new(
        &rate(1, SECOND, of_gateway),
        &rate(1, SECOND, 1),
        &rate(1, SECOND, 1),
        10,
    );
    let peer = PeerLimits::new(&rate(1, SECOND, of_peer), 1);
    let refusals = on_threads(|| {
        let all = (0..1000).filter_map(|_| limits.admit(&peer, at_ms(0)).err());
        let refused: Vec<RateLimited> = all.collect();
        assert!(refused.iter().all(|e| e.limit == Limit::Gateway));
        refused.len()
    });
    assert_eq!(refusals.iter().sum::<usize>(), 1000 * THREADS - 500);
    assert_eq!(drain_account(&peer.account, at_ms(0)), of_peer - of_gateway);
}

#[test]
fn a_refusal_by_the_gateway_leaves_the_peer_its_tokens() {
    let peer = PeerLimits::new(&rate(1, SECOND, 4), 1);
    let empty =
        GatewayLimits::new(&rate(1, MINUTE, 1), &rate(1, SECOND, 1), &rate(1, SECOND, 1), 10);
    let _spent = empty.admit(&PeerLimits::new(&rate(1, SECOND, 1), 1), at_ms(0)).unwrap();
    for _ in 0..100 {
        let refused = empty.admit(&peer, at_ms(0)).unwrap_err();
        assert_eq!((refused.limit, refused.retry_after_seconds.get()), (Limit::Gateway, 60));
    }

    let fresh =
        GatewayLimits::new(&rate(1, SECOND, 100), &rate(1, SECOND, 1), &rate(1, SECOND, 1), 10);
    let admitted = (0..100).filter(|_| fresh.admit(&peer, at_ms(0)).is_ok()).count();
    assert_eq!(admitted, 4);
}

#[test]
fn a_refusal_by_the_peers_rate_leaves_the_gateway_its_tokens() {
    let limits =
        GatewayLimits::new(&rate(1, SECOND, 5), &rate(1, SECOND, 1), &rate(1, SECOND, 1), 10);
    let greedy = PeerLimits::new(&rate(1, MINUTE, 2), 1);
    let admitted = (0..100).filter(|_| limits.admit(&greedy, at_ms(0)).is_ok()).count();
    assert_eq!(admitted, 2);
    assert_eq!(limits.admit(&greedy, at_ms(0)).unwrap_err().limit, Limit::Peer);
    assert_eq!(drain_account(&limits.gateway, at_ms(0)), 3);
}

#[test]
fn retry_after_is_rounded_up_and_at_least_one() {
    let seconds = |wait| {
        RateLimited::new(Limit::Peer, TooSoon { retry_after: wait }).retry_after_seconds.get()
    };
    assert_eq!(seconds(Duration::ZERO), 1);
    assert_eq!(seconds(Duration::from_nanos(1)), 1);
    assert_eq!(seconds(Duration::from_secs(1)), 1);
    assert_eq!(seconds(Duration::from_nanos(1_000_000_001)), 2);
    assert_eq!(seconds(Duration::MAX), u32::MAX);
}

#[test]
fn who_waits_for_retry_after_is_admitted() {
    let limits =
        GatewayLimits::new(&rate(100, SECOND, 100), &rate(1, SECOND, 1), &rate(1, SECOND, 1), 10);
    let peer = PeerLimits::new(&rate(7, MINUTE, 3), 1);
    let mut now = 123;
    let mut refusals = 0;
    for _ in 0..100 {
        now += 1;
        if let Err(refused) = limits.admit(&peer, at_ms(now)) {
            refusals += 1;
            now += u64::from(refused.retry_after_seconds.get()) * 1000;
            assert!(limits.admit(&peer, at_ms(now)).is_ok());
        }
    }
    assert!(refusals > 50, "{refusals}");
}

#[test]
fn a_peer_has_no_more_in_flight_than_its_ceiling() {
    let peer = Arc::new(PeerLimits::new(&rate(1, SECOND, 1), 3));
    let held: Vec<Slot> = (0..3).map(|_| peer.slot().unwrap()).collect();
    let refused = peer.slot().unwrap_err();
    assert_eq!((refused, refused.retry_after_seconds().get()), (TooMany { concurrent: 3 }, 1));
    assert_eq!(peer.in_flight(), 3);
    drop(held);
    assert_eq!(peer.in_flight(), 0);
    assert!(peer.slot().is_ok());
}

#[test]
fn all_threads_together_hold_no_more_slots_than_the_ceiling_and_return_all() {
    let peer = Arc::new(PeerLimits::new(&rate(1, SECOND, 1), 3));
    let inside = AtomicU32::new(0);
    let highest = AtomicU32::new(0);
    let got = on_threads(|| {
        let mut got = 0_u32;
        // Until each has had its share, so that all of them do compete.
        while got < 2000 {
            let Ok(_slot) = peer.slot() else {
                std::thread::yield_now();
                continue;
            };
            let now_inside = inside.fetch_add(1, Ordering::SeqCst) + 1;
            highest.fetch_max(now_inside, Ordering::SeqCst);
            got += 1;
            if got.is_multiple_of(16) {
                std::thread::yield_now();
            }
            inside.fetch_sub(1, Ordering::SeqCst);
        }
        got
    });
    assert_eq!(got, vec![2000; THREADS]);
    assert!((1..=3).contains(&highest.into_inner()));
    assert_eq!(peer.in_flight(), 0);
}

#[test]
fn the_slot_of_a_lookup_that_panics_is_free_again() {
    let peer = Arc::new(PeerLimits::new(&rate(1, SECOND, 1), 1));
    let thread = std::thread::spawn({
        let peer = Arc::clone(&peer);
        move || {
            let _slot = peer.slot().unwrap();
            std::panic::resume_unwind(Box::new("a lookup that fails"));
        }
    });
    assert!(thread.join().is_err());
    assert_eq!(peer.in_flight(), 0);
}

#[test]
fn unknown_callers_have_a_bucket_per_address_or_per_64() {
    let limits =
        GatewayLimits::new(&rate(1, SECOND, 1), &rate(1, SECOND, 2), &rate(1, SECOND, 2), 100);
    let asks = |text: &str| limits.unknown(client(text), at_ms(0));
    assert!(asks("192.0.2.1").is_ok() && asks("::ffff:192.0.2.1").is_ok());
    let refused = asks("192.0.2.1").unwrap_err();
    assert_eq!((refused.limit, refused.retry_after_seconds.get()), (Limit::Unknown, 1));
    assert!(asks("192.0.2.2").is_ok());

    assert!(asks("2001:db8:0:7::1").is_ok() && asks("2001:db8:0:7:ffff::2").is_ok());
    assert!(asks("2001:db8:0:7:1:2:3:4").is_err());
    assert!(asks("2001:db8:0:8::1").is_ok());
    assert_eq!(limits.unknown_callers(), 4);

    assert!(limits.unknown(client("192.0.2.1"), at_ms(1000)).is_ok());
}

#[test]
fn unknown_callers_spend_nothing_of_the_gateways() {
    let limits =
        GatewayLimits::new(&rate(1, SECOND, 3), &rate(1, SECOND, 1), &rate(1, SECOND, 1), 100);
    for host in 0..200 {
        let _refusal = limits.unknown(client(&format!("192.0.2.{host}")), at_ms(0));
    }
    let peer = PeerLimits::new(&rate(1, SECOND, 10), 1);
    let admitted = (0..10).filter(|_| limits.admit(&peer, at_ms(0)).is_ok()).count();
    assert_eq!(admitted, 3);
}

#[test]
fn all_threads_together_get_exactly_the_burst_of_a_new_unknown_caller() {
    let limits = GatewayLimits::new(
        &rate(1, SECOND, 1),
        &rate(1, SECOND, 5),
        &rate(1, SECOND, 5),
        UNKNOWN_CALLERS,
    );
    for host in 0..100 {
        let unknown = client(&format!("198.51.100.{host}"));
        let passed =
            on_threads(|| (0..5).filter(|_| limits.unknown(unknown, at_ms(0)).is_ok()).count());
        assert_eq!(passed.iter().sum::<usize>(), 5);
    }
}

#[test]
fn the_table_of_unknown_callers_is_bounded_and_the_evicted_start_anew() {
    let capacity = 256;
    let limits =
        GatewayLimits::new(&rate(1, SECOND, 1), &rate(1, MINUTE, 1), &rate(1, MINUTE, 1), capacity);
    let unknown_callers: Vec<ClientAddress> =
        (0..20_000_u32).map(|n| ClientAddress::new(IpAddr::V4(n.into()))).collect();
    let mut most = 0;
    for unknown in &unknown_callers {
        assert!(limits.unknown(*unknown, at_ms(0)).is_ok(), "newcomers are always let in");
        most = most.max(limits.unknown_callers());
    }
    // The table is shared out evenly over shards of at least 32; each may round up by one.
    assert!((capacity / 2..=capacity + capacity / 32).contains(&most), "{most}");

    let refused = unknown_callers.iter().filter(|s| limits.unknown(**s, at_ms(0)).is_err()).count();
    assert!(refused <= most, "{refused} are remembered where {most} have a place");
}

#[test]
fn a_peers_handshake_is_given_back_and_counts_for_no_request() {
    let limits =
        GatewayLimits::new(&rate(1, SECOND, 1), &rate(1, SECOND, 1), &rate(1, SECOND, 2), 100);
    let caller = client("192.0.2.1");
    let begins = || limits.handshake(caller, at_ms(0));
    assert!(begins().is_ok() && begins().is_ok());
    assert_eq!(begins().unwrap_err().limit, Limit::Unknown);
    limits.credit_handshake(caller);
    assert!(begins().is_ok() && begins().is_err());
    // Of another caller there is nothing to give back, and nobody has one more for it.
    limits.credit_handshake(client("192.0.2.2"));
    assert!(begins().is_err());
    assert_eq!(limits.unknown_callers(), 0);
    assert!(limits.unknown(caller, at_ms(0)).is_ok());
    assert_eq!(limits.unknown_callers(), 1);
}

#[test]
fn a_peer_is_counted_as_itself_and_with_its_own_share() {
    let peer = || PeerLimits::new(&rate(1, SECOND, 1), 1);
    let (one, other) = (peer(), peer().with_connections(Some(7)));
    let (
        CallerClass::Peer { id: first, share: None },
        CallerClass::Peer { id: second, share: Some(7) },
    ) = (one.class(), other.class())
    else {
        panic!("{:?} {:?}", one.class(), other.class());
    };
    assert_ne!(first, second);
    assert_eq!(one.class(), one.class());
}

#[test]
fn refusals_say_which_limit_it_was() {
    let limits = [Limit::Peer, Limit::Gateway, Limit::Unknown];
    assert_eq!(limits.map(Limit::as_str), ["peer", "gateway", "unknown"]);
    let refused = RateLimited::new(Limit::Gateway, TooSoon { retry_after: 3 * SECOND });
    assert_eq!(refused.to_string(), "the gateway rate is used up; try again in 3 s");
    assert_eq!(
        TooMany { concurrent: 3 }.to_string(),
        "3 lookups are in flight, which is all that `concurrent` allows"
    );
}

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const THREADS: usize = 8;
