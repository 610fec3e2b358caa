//! What about a log itself needs somebody: what cannot be read of it, and what its format does not say.

use crate::report::read::formats::Formats;
use crate::report::read::pattern::Slot;
use crate::report::summary::Input;
use crate::report::summary::wording::{count, percent, plural};

/// Puts the sentences into `input`; `fitting` says how many lines were in the format of each number.
pub(in crate::report) fn add(input: &mut Input, fitting: &[u64], formats: &Formats) {
    if input.is_unreadable_in_good_part() {
        input.findings.push(unreadable(input));
    }
    let lacking = lacking(fitting, formats);
    input.lacking = lacking.len();
    input.findings.extend(lacking);
}

fn unreadable(input: &Input) -> String {
    let why = match input.unreadable_samples.first() {
        Some(sample) => format!(" The first is {}:{}: {}.", sample.file, sample.line, sample.why),
        None => String::new(),
    };
    format!(
        "{} of {} ({}) could not be read and are in none of these figures: what is said here holds of the others \
         alone.{why} If they are in another format, name it with `--log-format`.",
        count(input.unreadable),
        plural(input.lines, "line", "lines"),
        percent(input.unreadable, input.lines)
    )
}

/// What advice needs.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Need {
    /// How the format would say it.
    name: &'static str,
    slot: Slot,
    /// What is not known without.
    unknown: &'static str,
}

/// One sentence for all formats that lack the same.
fn lacking(fitting: &[u64], formats: &Formats) -> Vec<String> {
    let total: u64 = fitting.iter().sum();
    let mut found: Vec<(Vec<Need>, u64, Vec<&str>)> = Vec::new();
    for (number, &lines) in fitting.iter().enumerate().filter(|(_, lines)| **lines > 0) {
        let lacks = |need: &Need| !formats.has(number, need.slot);
        let needs: Vec<Need> = NEEDS.into_iter().filter(lacks).collect();
        if needs.is_empty() {
            continue;
        }
        let at = found.iter().position(|(known, ..)| *known == needs).unwrap_or_else(|| {
            found.push((needs, 0, Vec::new()));
            found.len() - 1
        });
        found[at].1 += lines;
        found[at].2.push(formats.name(number));
    }
    found.iter().map(|(needs, lines, names)| sentence(needs, *lines, total, names)).collect()
}

fn sentence(needs: &[Need], lines: u64, total: u64, names: &[&str]) -> String {
    let whose = match names {
        [name] => format!("The format `{name}`"),
        names => format!("The formats `{}`", names.join("`, `")),
    };
    let share = if lines == total {
        String::new()
    } else {
        format!(" of {} of {}", count(lines), plural(total, "line", "lines"))
    };
    let lack = if names.len() == 1 { "lacks" } else { "lack" };
    let missing: Vec<&str> = needs.iter().map(|need| need.name).collect();
    let unknown: Vec<&str> = needs.iter().map(|need| need.unknown).collect();
    // nginx knows no reasons.
    let of_nginx: Vec<&str> = missing.iter().copied().filter(|name| *name != "$reason").collect();
    let mut text = format!(
        "{whose}{share} {lack} {}: {}. The gateway's `format = \"gateway\"` has all of it",
        missing.join(", "),
        unknown.join("; ")
    );
    if !of_nginx.is_empty() {
        text += &format!("; to nginx's `log_format` add {}", of_nginx.join(", "));
    }
    text + "."
}

const NEEDS: [Need; 3] = [
    Need {
        name: "$remote_addr",
        slot: Slot::RemoteAddr,
        unknown: "which addresses asked is not known, and whom a new policy would have to let in",
    },
    Need {
        name: "$request_time",
        slot: Slot::RequestTime,
        unknown: "whether answers came in time is not known",
    },
    Need {
        name: "$reason",
        slot: Slot::Reason,
        unknown: "why something was refused is concluded from its status, peer and target, as far as they tell it",
    },
];
