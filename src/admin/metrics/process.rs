//! What the system says of this process, under the names that all exporters have for it.

use std::fs;

use prometheus_client::registry::Unit;
use rustix::process::{Resource, getrlimit};
use rustix::time::{ClockId, clock_gettime};

use super::family::{Family, Labels, Number};

pub(super) fn gather() -> Vec<Family> {
    let stat = fs::read_to_string("/proc/self/stat").ok().and_then(|text| Stat::read(&text));
    // An entry is the descriptor by which the list is read.
    let open = fs::read_dir("/proc/self/fd").ok().map(|entries| entries.count().saturating_sub(1));
    let most = getrlimit(Resource::Nofile).current.map_or(f64::INFINITY, |most| most as f64);
    let of = |value: fn(&Stat) -> Number| stat.as_ref().map(value);
    let cpu = one(of(|stat| Number::Real(stat.cpu_seconds)));
    vec![
        Family::counters("process_cpu", "Time that all threads have had of processors.", cpu)
            .in_unit(Unit::Seconds),
        Family::gauges("process_open_fds", "Open file descriptors.", one(open.map(Number::from))),
        Family::gauge("process_max_fds", "File descriptors that there may be.", most),
        Family::gauges(
            "process_virtual_memory",
            "Size of the address space.",
            one(of(|stat| stat.virtual_bytes.into())),
        )
        .in_unit(Unit::Bytes),
        Family::gauges(
            "process_resident_memory",
            "Memory in use.",
            one(of(|stat| stat.resident_bytes.into())),
        )
        .in_unit(Unit::Bytes),
        Family::gauges(
            "process_start_time",
            "When the process began, in seconds since 1970.",
            one(of(|stat| Number::Real(stat.started))),
        )
        .in_unit(Unit::Seconds),
        Family::gauges("process_threads", "Threads.", one(of(|stat| stat.threads.into()))),
    ]
}

/// A figure, if it is known.
fn one(number: Option<Number>) -> Option<(Labels, Number)> {
    number.map(|number| (Labels::new(), number))
}

/// What `/proc/self/stat` says (proc(5)).
#[derive(Debug)]
struct Stat {
    cpu_seconds: f64,
    threads: u64,
    /// In seconds since 1970.
    started: f64,
    virtual_bytes: u64,
    resident_bytes: u64,
}

impl Stat {
    fn read(text: &str) -> Option<Self> {
        // The program's name is in parentheses, and may have blanks and parentheses itself.
        let (_, rest) = text.rsplit_once(") ")?;
        let fields: Vec<u64> =
            rest.split_whitespace().map(|field| field.parse().unwrap_or_default()).collect();
        // The first of them is the third of all.
        let field = |number: usize| fields.get(number - 3).copied();
        let ticks = |ticks: u64| ticks as f64 / rustix::param::clock_ticks_per_second() as f64;
        let seconds = |clock: ClockId| {
            let time = clock_gettime(clock);
            time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
        };
        let age = seconds(ClockId::Boottime) - ticks(field(22)?);
        Some(Self {
            cpu_seconds: ticks(field(14)? + field(15)?),
            threads: field(20)?,
            started: ((seconds(ClockId::Realtime) - age) * 100.0).round() / 100.0,
            virtual_bytes: field(23)?,
            resident_bytes: field(24)? * rustix::param::page_size() as u64,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_blanks_and_parentheses_does_not_move_the_fields() {
        let text = "7 (a) 1 (b)) S 1 7 7 0 -1 4194560 100 0 0 0 150 50 0 0 20 0 5 0 100 8192 3 18446744073709551615";
        let stat = Stat::read(text).unwrap();
        let ticks = rustix::param::clock_ticks_per_second() as f64;
        assert!((stat.cpu_seconds - 200.0 / ticks).abs() < 1e-9);
        assert_eq!((stat.threads, stat.virtual_bytes), (5, 8192));
        assert_eq!(stat.resident_bytes, 3 * rustix::param::page_size() as u64);
        assert!(Stat::read("7 (a) S 1").is_none() && Stat::read("").is_none());
    }

    #[test]
    fn this_process_is_found() {
        let stat = Stat::read(&fs::read_to_string("/proc/self/stat").unwrap()).unwrap();
        assert!(stat.threads > 0 && stat.resident_bytes > 0 && stat.started > 1e9);
        assert!(gather().len() == 7);
    }
}
