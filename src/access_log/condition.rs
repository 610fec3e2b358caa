//! Which requests an access log takes: by status, peer and reason, all of those that are given.
//!
//! It is judged for each request and log, and allocates nothing.

use std::ops::RangeInclusive;

/// What has to be true of a request. What is not given is always true.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Condition {
    /// The statuses.
    pub status: Option<Statuses>,
    /// The peers' names.
    pub peer: Option<Words<Box<str>>>,
    /// The words of refusals.
    pub reason: Option<Words<&'static str>>,
}

impl Condition {
    /// Whether a request with this outcome is taken.
    pub fn takes(&self, status: u16, peer: Option<&str>, reason: Option<&str>) -> bool {
        self.status.as_ref().is_none_or(|statuses| statuses.has(status))
            && self.peer.as_ref().is_none_or(|peers| peers.has(peer))
            && self.reason.as_ref().is_none_or(|reasons| reasons.has(reason))
    }
}

/// Some of the statuses from 100 to 599, or all but some.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statuses {
    bits: [u64; 8],
    negated: bool,
}

impl Statuses {
    /// The statuses that there are.
    pub const ALL: RangeInclusive<u16> = 100..=599;

    /// What a word stands for: `404` for itself, `4xx` for its class.
    pub fn range(word: &str) -> Option<RangeInclusive<u16>> {
        match word.as_bytes() {
            [class @ b'1'..=b'5', b'x', b'x'] => {
                let first = u16::from(class - b'0') * 100;
                Some(first..=first + 99)
            }
            digits if digits.len() == 3 && digits.iter().all(u8::is_ascii_digit) => {
                word.parse().ok().filter(|status| Self::ALL.contains(status)).map(|it| it..=it)
            }
            _ => None,
        }
    }

    /// Those of `ranges`; where `negated`, all others.
    pub fn new(ranges: impl IntoIterator<Item = RangeInclusive<u16>>, negated: bool) -> Self {
        let mut bits = [0; 8];
        for status in ranges.into_iter().flatten() {
            if let Some((word, bit)) = position(status)
                && let Some(word) = bits.get_mut(word)
            {
                *word |= bit;
            }
        }
        Self { bits, negated }
    }

    /// As the configuration writes them.
    pub fn written(&self) -> Vec<String> {
        let listed = Self { negated: false, ..self.clone() };
        let mut words = Vec::new();
        for class in Self::ALL.step_by(100) {
            let of_class = class..class + 100;
            if of_class.clone().all(|status| listed.has(status)) {
                words.push(format!("{}xx", class / 100));
            } else {
                let found = of_class.filter(|&status| listed.has(status));
                words.extend(found.map(|status| status.to_string()));
            }
        }
        negate(words, self.negated)
    }

    /// Whether `status` is one of them.
    pub fn has(&self, status: u16) -> bool {
        let within = position(status)
            .and_then(|(word, bit)| self.bits.get(word).map(|word| word & bit != 0))
            .unwrap_or(false);
        within != self.negated
    }
}

/// With a `!` before each, if all others are meant.
fn negate(words: Vec<String>, negated: bool) -> Vec<String> {
    let before = if negated { "!" } else { "" };
    words.into_iter().map(|word| format!("{before}{word}")).collect()
}

/// Where a status has its bit.
fn position(status: u16) -> Option<(usize, u64)> {
    let at = Statuses::ALL.contains(&status).then(|| status - Statuses::ALL.start())?;
    Some((usize::from(at / 64), 1 << (at % 64)))
}

/// Some words, or all but some; a request may have none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Words<W> {
    words: Box<[W]>,
    /// Whether having none is one of them.
    none: bool,
    negated: bool,
}

impl<W: AsRef<str>> Words<W> {
    /// These, and with `none` also no word at all; where `negated`, all others.
    pub fn new(words: impl IntoIterator<Item = W>, none: bool, negated: bool) -> Self {
        Self { words: words.into_iter().collect(), none, negated }
    }

    /// As the configuration writes them.
    pub fn written(&self) -> Vec<String> {
        let words = self.words.iter().map(|word| word.as_ref().to_owned());
        negate(words.chain(self.none.then(|| "-".to_owned())).collect(), self.negated)
    }

    /// Whether `word` is one of them.
    pub fn has(&self, word: Option<&str>) -> bool {
        let within = match word {
            Some(word) => self.words.iter().any(|known| known.as_ref() == word),
            None => self.none,
        };
        within != self.negated
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_status_is_in_what_names_it_and_in_nothing_else() {
        for status in 0..=u16::MAX {
            let within = (400..=499).contains(&status) || status == 200;
            assert_eq!(Statuses::new([400..=499, 200..=200], false).has(status), within);
            assert_eq!(Statuses::new([400..=499, 200..=200], true).has(status), !within);
        }
        assert!(Statuses::new([Statuses::ALL], false).has(100));
        assert!(Statuses::new([Statuses::ALL], false).has(599));
    }

    #[test]
    fn what_is_written_of_them_means_the_same() {
        for ranges in [vec![400..=499], vec![404..=404, 500..=599], vec![100..=598]] {
            for negated in [false, true] {
                let statuses = Statuses::new(ranges.clone(), negated);
                let written = statuses.written();
                assert!(written.iter().all(|word| word.starts_with('!') == negated));
                let words = written.iter().map(|word| word.trim_start_matches('!'));
                let read = Statuses::new(words.filter_map(Statuses::range), negated);
                assert_eq!(read, statuses, "{written:?}");
            }
        }
        assert_eq!(Statuses::new([400..=499, 204..=204], true).written(), ["!204", "!4xx"]);
        assert_eq!(Words::new(["lyon"], true, false).written(), ["lyon", "-"]);
        assert_eq!(Words::new(["lyon"], false, true).written(), ["!lyon"]);
    }

    #[test]
    fn all_that_is_given_must_be_true_and_what_is_not_given_always_is() {
        let peer = Words::new(["lyon".into(), "metz".into()], false, false);
        let reason = Words::new(["rate-limited"], true, false);
        let condition = Condition {
            status: Some(Statuses::new([200..=200, 429..=429], false)),
            peer: Some(peer),
            reason: Some(reason),
        };
        assert!(condition.takes(200, Some("metz"), None));
        assert!(condition.takes(429, Some("lyon"), Some("rate-limited")));
        assert!(!condition.takes(404, Some("lyon"), None));
        assert!(!condition.takes(200, Some("nice"), None));
        assert!(!condition.takes(200, None, None));
        assert!(!condition.takes(200, Some("lyon"), Some("client-closed")));
        assert!(Condition::default().takes(200, None, None));
    }

    #[test]
    fn negated_words_take_all_others_and_none_can_be_negated_too() {
        let others = Words::new(["lyon"], false, true);
        assert!(others.has(Some("metz")) && others.has(None) && !others.has(Some("lyon")));
        let anybody = Words::<&str>::new([], true, true);
        assert!(anybody.has(Some("metz")) && !anybody.has(None));
    }
}
