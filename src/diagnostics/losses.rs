//! When to report lost lines: at the first, then at intervals, and when the losses are over.

use std::time::{Duration, Instant};

/// The memory between two messages.
#[derive(Debug, Default)]
pub(crate) struct Losses {
    episode: Option<Episode>,
}

#[derive(Debug)]
struct Episode {
    spoke: Instant,
    last: Instant,
    unsaid: u64,
    total: u64,
}

/// What is to be reported now.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Report {
    /// Writing has begun to fail; this many lines are lost.
    Begun { lines: u64 },
    /// Writing still fails; this many lines are lost since the last message.
    Goes { lines: u64 },
    /// Writing works again; this many lines were lost in all.
    Over { lines: u64 },
}

impl Losses {
    /// `lines` were lost at `now`.
    pub(crate) fn lost(&mut self, lines: u64, now: Instant) -> Option<Report> {
        let Some(episode) = &mut self.episode else {
            self.episode = Some(Episode { spoke: now, last: now, unsaid: 0, total: lines });
            return Some(Report::Begun { lines });
        };
        episode.last = now;
        episode.total += lines;
        episode.unsaid += lines;
        if now.saturating_duration_since(episode.spoke) < PAUSE {
            return None;
        }
        episode.spoke = now;
        Some(Report::Goes { lines: std::mem::take(&mut episode.unsaid) })
    }

    /// Notes a pass without loss; reports the end of the losses after `trial` without one.
    pub(crate) fn none(&mut self, now: Instant, trial: Duration) -> Option<Report> {
        let over = |episode: &mut Episode| now.saturating_duration_since(episode.last) >= trial;
        self.episode.take_if(over).map(|episode| Report::Over { lines: episode.total })
    }

    /// Nothing more is to be written; this many lines were lost until now, if that is not over.
    pub(crate) fn end(&mut self) -> Option<u64> {
        self.episode.take().map(|episode| episode.total)
    }
}

/// The interval between two messages that lines are still being lost.
const PAUSE: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_loss_is_said_at_once_and_the_next_after_a_pause_with_all_between() {
        let start = Instant::now();
        let mut losses = Losses::default();
        assert_eq!(losses.lost(3, start), Some(Report::Begun { lines: 3 }));
        assert_eq!(losses.lost(4, start + PAUSE / 2), None);
        assert_eq!(losses.lost(5, start + PAUSE * 9 / 10), None);
        assert_eq!(losses.lost(6, start + PAUSE), Some(Report::Goes { lines: 15 }));
        assert_eq!(losses.lost(7, start + PAUSE * 3 / 2), None);
        assert_eq!(losses.lost(0, start + PAUSE * 2), Some(Report::Goes { lines: 7 }));
    }

    #[test]
    fn the_end_is_said_once_with_the_sum_and_a_new_loss_is_a_first_again() {
        let start = Instant::now();
        let mut losses = Losses::default();
        assert_eq!(losses.none(start, Duration::ZERO), None);
        losses.lost(3, start);
        losses.lost(4, start);
        assert_eq!(losses.none(start, Duration::ZERO), Some(Report::Over { lines: 7 }));
        assert_eq!(losses.none(start, Duration::ZERO), None);
        assert_eq!(losses.lost(1, start), Some(Report::Begun { lines: 1 }));
    }

    #[test]
    fn where_losses_are_known_late_the_end_is_said_after_a_time_without_any() {
        let start = Instant::now();
        let mut losses = Losses::default();
        losses.lost(3, start);
        losses.lost(1, start + PAUSE / 2);
        assert_eq!(losses.none(start + PAUSE, PAUSE), None);
        assert_eq!(losses.lost(2, start + PAUSE), Some(Report::Goes { lines: 3 }));
        assert_eq!(losses.none(start + PAUSE * 2, PAUSE), Some(Report::Over { lines: 6 }));
        assert_eq!(losses.end(), None);
        losses.lost(2, start);
        assert_eq!(losses.end(), Some(2));
    }
}
