//! Figures of one name, in whichever form they are written.

use std::borrow::Cow;

use prometheus_client::registry::Unit;

use crate::worker::metrics::Durations;

/// All figures of one name.
#[derive(Debug)]
pub(in crate::admin) struct Family {
    /// Without its unit and without `_total`.
    pub(super) name: &'static str,
    pub(super) unit: Option<Unit>,
    pub(super) help: &'static str,
    pub(super) samples: Samples,
}

/// The kind of figures, and they.
#[derive(Debug)]
pub(super) enum Samples {
    Counters(Vec<(Labels, Number)>),
    Gauges(Vec<(Labels, Number)>),
    Histogram(Durations),
    /// Always 1; what is to be told is in the labels.
    Info(Labels),
}

/// What tells figures of one name apart.
pub(super) type Labels = Vec<(&'static str, Cow<'static, str>)>;

/// A figure.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Number {
    Whole(u64),
    Real(f64),
}

impl From<u64> for Number {
    fn from(number: u64) -> Self {
        Self::Whole(number)
    }
}

impl From<usize> for Number {
    fn from(number: usize) -> Self {
        Self::Whole(number as u64)
    }
}

impl From<bool> for Number {
    fn from(is: bool) -> Self {
        Self::Whole(is.into())
    }
}

impl From<f64> for Number {
    fn from(number: f64) -> Self {
        Self::Real(number)
    }
}

impl Family {
    fn new(name: &'static str, help: &'static str, samples: Samples) -> Self {
        Self { name, unit: None, help, samples }
    }

    /// One number that only grows.
    pub(super) fn counter(
        name: &'static str,
        help: &'static str,
        value: impl Into<Number>,
    ) -> Self {
        Self::new(name, help, Samples::Counters(vec![(Labels::new(), value.into())]))
    }

    /// Such numbers.
    pub(super) fn counters<N: Into<Number>>(
        name: &'static str,
        help: &'static str,
        samples: impl IntoIterator<Item = (Labels, N)>,
    ) -> Self {
        let samples = samples.into_iter().map(|(labels, value)| (labels, value.into()));
        Self::new(name, help, Samples::Counters(samples.collect()))
    }

    /// One number as it is now.
    pub(super) fn gauge(name: &'static str, help: &'static str, value: impl Into<Number>) -> Self {
        Self::new(name, help, Samples::Gauges(vec![(Labels::new(), value.into())]))
    }

    /// Such numbers.
    pub(super) fn gauges<N: Into<Number>>(
        name: &'static str,
        help: &'static str,
        samples: impl IntoIterator<Item = (Labels, N)>,
    ) -> Self {
        let samples = samples.into_iter().map(|(labels, value)| (labels, value.into()));
        Self::new(name, help, Samples::Gauges(samples.collect()))
    }

    /// Durations; their unit is the second.
    pub(super) fn histogram(name: &'static str, help: &'static str, durations: Durations) -> Self {
        Self::new(name, help, Samples::Histogram(durations)).in_unit(Unit::Seconds)
    }

    /// What is told by labels.
    pub(super) fn info(name: &'static str, help: &'static str, labels: Labels) -> Self {
        Self::new(name, help, Samples::Info(labels))
    }

    /// The same figures in this unit, which ends the name.
    #[must_use]
    pub(super) fn in_unit(self, unit: Unit) -> Self {
        Self { unit: Some(unit), ..self }
    }
}

/// One label.
pub(super) fn label(name: &'static str, value: impl Into<Cow<'static, str>>) -> Labels {
    vec![(name, value.into())]
}
