//! When to speak of lost lines: at the first, then seldom, and when it is over.

use std::time::{Duration, Instant};

/// The memory between two messages.
#[derive(Debug, Default)]
pub(super) struct Losses {
    episode: Option<Episode>,
}

#[derive(Debug)]
struct Episode {
    spoke: Instant,
    unsaid: u64,
    total: u64,
}

/// What is to be said now.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Report {
    /// Writing has begun to fail; so many lines are lost.
    Begun { lines: u64 },
    /// Writing still fails; so many lines are lost since the last message.
    Goes { lines: u64 },
    /// Writing works again; so many lines were lost in all.
    Over { lines: u64 },
}

impl Losses {
    /// `lines` were lost at `now`.
    pub(super) fn lost(&mut self, lines: u64, now: Instant) -> Option<Report> {
        let Some(episode) = &mut self.episode else {
            self.episode = Some(Episode { spoke: now, unsaid: 0, total: lines });
            return Some(Report::Begun { lines });
        };
        episode.total += lines;
        episode.unsaid += lines;
        if now.saturating_duration_since(episode.spoke) < PAUSE {
            return None;
        }
        episode.spoke = now;
        Some(Report::Goes { lines: std::mem::take(&mut episode.unsaid) })
    }

    /// Everything that was to be written has been.
    pub(super) fn none(&mut self) -> Option<Report> {
        self.episode.take().map(|episode| Report::Over { lines: episode.total })
    }
}

/// Between two messages that lines are still being lost.
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
        assert_eq!(losses.none(), None);
        losses.lost(3, start);
        losses.lost(4, start);
        assert_eq!(losses.none(), Some(Report::Over { lines: 7 }));
        assert_eq!(losses.none(), None);
        assert_eq!(losses.lost(1, start), Some(Report::Begun { lines: 1 }));
    }
}
