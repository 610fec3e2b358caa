//! The formats that lines may be in.

use crate::access_log::{Format, LogFormat};
use crate::cli::Exit;
use crate::cli::usage::Misuse;
use crate::config::{Config, escaped, nearest};
use crate::report::read::formats::Formats;
use crate::report::read::pattern::Pattern;

/// Those of the configuration and the predefined ones, or the one that was given. What the configuration's logs are
/// written in and cannot be read back is noted.
pub(super) fn of(
    given: Option<&str>,
    config: Option<&Config>,
    offset: i16,
    mut note: impl FnMut(String),
) -> Result<Formats, Exit> {
    let mut own = Vec::new();
    // A line that two of them fit is taken for one of the format that a log is written in.
    for is_used in [true, false] {
        for (name, format) in config.iter().flat_map(|config| &config.log_formats) {
            if config.is_some_and(|config| uses(config, format)) != is_used {
                continue;
            }
            match Pattern::of_format(format) {
                Ok(pattern) => own.push((name.clone(), pattern)),
                Err(error) if given == Some(name) => {
                    return Err(refused(&format!("{name}: {error}")));
                }
                Err(error) if is_used && given.is_none() => {
                    note(format!("Lines in the format `{name}` cannot be read: {error}."));
                }
                Err(_) => {}
            }
        }
    }
    let formats = Formats::with(own, offset);
    let Some(given) = given else { return Ok(formats) };
    if let Some(named) = formats.named(given) {
        return Ok(named);
    }
    if !given.contains('$') {
        let known: Vec<&str> = formats.names().collect();
        let hint = match nearest(given, known.iter().copied()) {
            Some(near) => {
                format!("did you mean `{near}`? A format's text, with its $variables, is taken too")
            }
            None => {
                format!("known are {}, or give the text, with its $variables", known.join(", "))
            }
        };
        let given = escaped(given);
        return Err(refused(&format!("there is no format `{given}`; {hint}")));
    }
    Formats::only("--log-format", &[given], offset).map_err(|error| refused(&error.to_string()))
}

/// Says why the format that was given cannot be.
fn refused(why: &str) -> Exit {
    Misuse::new("report", format!("--log-format: {why}")).report()
}

fn uses(config: &Config, format: &Format) -> bool {
    let formats = config.access_logs.iter().map(|log| &log.format);
    formats.into_iter().any(|used| matches!(used, LogFormat::Compiled(used) if **used == *format))
}
