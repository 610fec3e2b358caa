//! Figures as text: OpenMetrics 1.0, or Prometheus' older form 0.0.4, by what whoever asks accepts.

use std::collections::HashMap;
use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, prometheus_text, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::exemplar::Exemplar;
use prometheus_client::registry::Registry;

use super::family::{Family, Labels, Number, Samples};

/// A form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::admin) enum Exposition {
    /// OpenMetrics 1.0.
    OpenMetrics,
    /// Prometheus' text form 0.0.4.
    Prometheus,
}

impl Exposition {
    /// The one that the values of `Accept` prefer; Prometheus' older one where they know neither.
    pub(in crate::admin) fn accepted_by<'a>(fields: impl Iterator<Item = &'a str>) -> Self {
        let (mut open_metrics, mut prometheus) = (0, 0);
        for range in fields.flat_map(|field| field.split(',')) {
            let mut parts = range.split(';').map(str::trim);
            let kind = parts.next().unwrap_or_default().to_ascii_lowercase();
            let parameter = |wanted: &str| {
                let mut parts = parts.clone().filter_map(|part| part.split_once('='));
                let found = parts.find(|(name, _)| name.trim().eq_ignore_ascii_case(wanted));
                found.map(|(_, value)| value.trim().trim_matches('"'))
            };
            let Some(weight) = parameter("q").map_or(Some(1000), thousandths) else { continue };
            let is_of = |version: &str| parameter("version").is_none_or(|it| it == version);
            match kind.as_str() {
                "application/openmetrics-text" if is_of("1.0.0") => {
                    open_metrics = open_metrics.max(weight);
                }
                "text/plain" if is_of("0.0.4") => prometheus = prometheus.max(weight),
                "text/*" | "*/*" => prometheus = prometheus.max(weight),
                _ => {}
            }
        }
        if open_metrics > 0 && open_metrics >= prometheus {
            Self::OpenMetrics
        } else {
            Self::Prometheus
        }
    }

    /// What it is called. Prometheus takes no other spelling of the first.
    pub(in crate::admin) fn content_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Prometheus => prometheus_text::CONTENT_TYPE,
        }
    }

    /// The text.
    pub(in crate::admin) fn write(self, families: Vec<Family>) -> String {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(Families(families)));
        let mut out = String::new();
        // Writing to a string does not fail.
        let _ = match self {
            Self::OpenMetrics => text::encode(&mut out, &registry),
            Self::Prometheus => prometheus_text::encode(&mut out, &registry),
        };
        out
    }
}

/// The weight of an alternative (RFC 9110, section 12.4.2), in thousandths.
fn thousandths(text: &str) -> Option<u32> {
    let weight: f64 = text.parse().ok()?;
    (0.0..=1.0).contains(&weight).then(|| {
        let steps = (0..=1000).rev();
        steps.into_iter().find(|step| f64::from(*step) <= weight * 1000.0 + 1e-6).unwrap_or(0)
    })
}

#[derive(Debug)]
struct Families(Vec<Family>);

impl Collector for Families {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        for Family { name, unit, help, samples } in &self.0 {
            let kind = match samples {
                Samples::Counters(_) => MetricType::Counter,
                Samples::Gauges(_) => MetricType::Gauge,
                Samples::Histogram(_) => MetricType::Histogram,
                Samples::Info(_) => MetricType::Info,
            };
            write(encoder.encode_descriptor(name, help, unit.as_ref(), kind)?, samples)?;
        }
        Ok(())
    }
}

fn write(mut encoder: MetricEncoder<'_>, samples: &Samples) -> fmt::Result {
    match samples {
        Samples::Counters(samples) => {
            for (labels, number) in samples {
                let mut encoder = encoder.encode_family(labels)?;
                match number {
                    Number::Whole(number) => encoder.encode_counter(number, NO_EXEMPLAR)?,
                    Number::Real(number) => encoder.encode_counter(number, NO_EXEMPLAR)?,
                }
            }
            Ok(())
        }
        Samples::Gauges(samples) => {
            for (labels, number) in samples {
                let mut encoder = encoder.encode_family(labels)?;
                match number {
                    Number::Whole(number) => encoder.encode_gauge(number)?,
                    Number::Real(number) => encoder.encode_gauge(number)?,
                }
            }
            Ok(())
        }
        Samples::Histogram(durations) => {
            let (sum, count) = (durations.sum.as_secs_f64(), durations.count());
            let none: Option<&HashMap<usize, Exemplar<Labels, f64>>> = None;
            encoder.encode_histogram(sum, count, &durations.buckets, none)
        }
        Samples::Info(labels) => encoder.encode_info(labels),
    }
}

const NO_EXEMPLAR: Option<&Exemplar<Labels, f64>> = None;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use prometheus_client::registry::Unit;

    use super::*;
    use crate::admin::metrics::family::label;
    use crate::worker::metrics::Metrics;

    #[test]
    fn the_form_is_the_one_that_is_preferred() {
        let chosen = |field: &str| Exposition::accepted_by([field].into_iter());
        let prometheus = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,\
                          application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;q=0.4,\
                          text/plain;version=0.0.4;q=0.3,*/*;q=0.2";
        for field in [
            prometheus,
            "application/openmetrics-text",
            "Application/OpenMetrics-Text; Version=\"1.0.0\"; charset=utf-8",
            "application/openmetrics-text; version=1.0.0, */*",
        ] {
            assert_eq!(chosen(field), Exposition::OpenMetrics, "{field}");
        }
        for field in [
            "",
            "*/*",
            "text/plain",
            "text/plain;version=0.0.4",
            "text/html, */*;q=0.1",
            "garbage;;q=x,=",
            "application/openmetrics-text;version=0.0.1",
            "application/openmetrics-text;q=0, */*",
            "application/openmetrics-text;q=0",
            "application/openmetrics-text;q=2",
            "application/openmetrics-text;q=0.5, text/plain;q=0.501",
        ] {
            assert_eq!(chosen(field), Exposition::Prometheus, "{field}");
        }
        assert_eq!(Exposition::accepted_by(std::iter::empty()), Exposition::Prometheus);
    }

    fn families() -> Vec<Family> {
        let metrics = Metrics::new(1);
        metrics.of(0).unwrap().request(Duration::from_millis(7));
        let name = "back\\slash \"quote\"\nline";
        let mut durations = metrics.requests();
        durations.buckets.drain(2..14);
        vec![
            Family::counters("lookups", "Lookups.", [(label("file", name), 3_u64)]),
            Family::gauge("age", "How old.", 1.5).in_unit(Unit::Seconds),
            Family::gauges("nobody", "None of them.", Vec::<(Labels, u64)>::new()),
            Family::histogram("took", "How long.", durations),
            Family::info("build", "What it is.", label("version", "1")),
        ]
    }

    #[test]
    fn open_metrics_is_written_as_it_has_to_be() {
        let expected = "# HELP lookups Lookups.\n# TYPE lookups counter\n\
                        lookups_total{file=\"back\\\\slash \\\"quote\\\"\\nline\"} 3\n\
                        # HELP age_seconds How old.\n# TYPE age_seconds gauge\n# UNIT age_seconds seconds\n\
                        age_seconds 1.5\n\
                        # HELP nobody None of them.\n# TYPE nobody gauge\n\
                        # HELP took_seconds How long.\n# TYPE took_seconds histogram\n\
                        # UNIT took_seconds seconds\ntook_seconds_sum 0.007\ntook_seconds_count 1\n\
                        took_seconds_bucket{le=\"0.005\"} 0\ntook_seconds_bucket{le=\"0.01\"} 1\n\
                        took_seconds_bucket{le=\"+Inf\"} 1\n\
                        # HELP build What it is.\n# TYPE build info\nbuild_info{version=\"1\"} 1\n# EOF\n";
        assert_eq!(Exposition::OpenMetrics.write(families()), expected);
    }

    #[test]
    fn the_older_form_is_written_as_it_has_to_be() {
        let expected = "# HELP lookups_total Lookups.\n# TYPE lookups_total counter\n\
                        lookups_total{file=\"back\\\\slash \\\"quote\\\"\\nline\"} 3\n\
                        # HELP age_seconds How old.\n# TYPE age_seconds gauge\nage_seconds 1.5\n\
                        # HELP nobody None of them.\n# TYPE nobody gauge\n\
                        # HELP took_seconds How long.\n# TYPE took_seconds histogram\n\
                        took_seconds_bucket{le=\"0.005\"} 0\ntook_seconds_bucket{le=\"0.01\"} 1\n\
                        took_seconds_bucket{le=\"+Inf\"} 1\ntook_seconds_sum 0.007\ntook_seconds_count 1\n\
                        # HELP build_info What it is.\n# TYPE build_info gauge\nbuild_info{version=\"1\"} 1\n";
        assert_eq!(Exposition::Prometheus.write(families()), expected);
    }
}
