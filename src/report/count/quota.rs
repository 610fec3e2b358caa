//! Which quota would have sufficed: for each of a few rates, the burst with which nobody would have
//! been refused.
//!
//! A peer's requests fill a bucket that runs out at the rate; what it held at its fullest is the burst
//! that would have been needed. Lines tell seconds, so that the requests of one second count as coming
//! at once: what is said here suffices, and less may have sufficed as well.

use crate::report::summary::Quota;

/// The buckets of one peer.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::report) struct Quotas {
    second: i64,
    levels: [i32; RATES.len()],
    fullest: [i32; RATES.len()],
}

impl Quotas {
    /// Counts the requests of this second. One that is before the last one begins a course of its own.
    #[inline]
    pub(in crate::report) fn ask(&mut self, second: i64, count: u32) {
        let passed = i32::try_from((second - self.second).clamp(0, LONG)).unwrap_or(0);
        let count = i32::try_from(count).unwrap_or(i32::MAX).min(1 << 29);
        if second < self.second {
            self.levels = [0; RATES.len()];
        }
        self.second = second;
        for (at, rate) in RATES.iter().enumerate() {
            let level = (self.levels[at] - rate * passed).max(0) + count;
            self.levels[at] = level.min(1 << 30);
            self.fullest[at] = self.fullest[at].max(level);
        }
    }

    /// The least quotas of all that would have sufficed: a higher rate only where it needs less burst,
    /// from the first whose burst is no more than ten seconds of it to the first that needs no more
    /// burst than one second of it.
    pub(in crate::report) fn sufficient(&self) -> Vec<Quota> {
        let mut quotas: Vec<Quota> = Vec::new();
        for (rate, fullest) in RATES.iter().zip(self.fullest) {
            let quota = Quota { per_second: rate.unsigned_abs(), burst: fullest.unsigned_abs() };
            let is_less = quotas.last().is_none_or(|last| quota.burst < last.burst);
            if quota.burst > 0 && quota.burst <= 10 * quota.per_second && is_less {
                quotas.push(quota);
            }
            if quota.burst <= quota.per_second {
                break;
            }
        }
        quotas
    }
}

/// Requests a second.
const RATES: [i32; 16] = [1, 2, 3, 5, 7, 10, 15, 20, 30, 50, 75, 100, 150, 200, 500, 1000];
/// No bucket holds more than runs out in this number of seconds.
const LONG: i64 = 1 << 20;

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;
    use std::time::Duration;

    use super::*;
    use crate::limits::Moment;
    use crate::limits::bucket::Bucket;
    use crate::policy::Rate;

    fn quotas(seconds: &[(i64, u32)]) -> Vec<Quota> {
        let mut quotas = Quotas::default();
        seconds.iter().for_each(|&(second, count)| quotas.ask(second, count));
        quotas.sufficient()
    }

    #[test]
    fn a_burst_needs_its_size_at_any_rate() {
        let quota = |per_second, burst| Quota { per_second, burst };
        assert_eq!(quotas(&[(1_800_000_000, 20)]), [quota(2, 20)]);
        assert_eq!(
            quotas(&[(100, 20), (101, 20)]),
            [quota(5, 35), quota(7, 33), quota(10, 30), quota(15, 25), quota(20, 20)]
        );
        assert_eq!(quotas(&[(100, 1)]), [quota(1, 1)]);
        assert!(quotas(&[]).is_empty());
    }

    #[test]
    fn with_a_sufficient_quota_the_gateway_refuses_nobody() {
        let mut random = 1_u64;
        let mut next = |below: u64| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (random >> 33) % below
        };
        for _ in 0..50 {
            let mut millis: Vec<u64> = Vec::new();
            let mut second = 0;
            for _ in 0..100 {
                second += next(6);
                let count = next(12);
                millis.extend((0..count).map(|_| second * 1000 + next(1000)));
            }
            millis.sort_unstable();
            let mut counted = Quotas::default();
            for second in 0..=second {
                let count = millis.iter().filter(|time| **time / 1000 == second).count();
                if count > 0 {
                    counted.ask(i64::try_from(second).unwrap(), u32::try_from(count).unwrap());
                }
            }
            for Quota { per_second, burst } in counted.sufficient() {
                let nonzero = |number| NonZeroU32::new(number).unwrap();
                let (requests, burst) = (nonzero(per_second), nonzero(burst));
                let bucket = Bucket::new(&Rate { requests, period: Duration::from_secs(1), burst });
                for &time in &millis {
                    let now = Moment::since_start(Duration::from_millis(time));
                    assert!(
                        bucket.take(now).is_ok_and(|token| {
                            token.spend();
                            true
                        }),
                        "{per_second}/s, burst {burst}, at {time} ms"
                    );
                }
            }
        }
    }
}
