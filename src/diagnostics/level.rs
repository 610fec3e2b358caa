//! Which diagnostics are told, and another choice while the gateway runs.

use std::sync::{Arc, Mutex, PoisonError};

use tracing_subscriber::{EnvFilter, Registry, reload};

/// Changes which diagnostics are told.
#[derive(Clone, Debug)]
pub(crate) struct LevelSwitch {
    handle: reload::Handle<EnvFilter, Registry>,
    /// What the process was started with, in RUST_LOG's language.
    configured: Arc<str>,
    chosen: Arc<Mutex<Option<&'static str>>>,
}

impl LevelSwitch {
    /// The filter that `configured` says in RUST_LOG's language, and the switch for it.
    pub(crate) fn new(configured: &str) -> (reload::Layer<EnvFilter, Registry>, Self) {
        let (layer, handle) = reload::Layer::new(filter(configured));
        let chosen = Arc::new(Mutex::new(None));
        (layer, Self { handle, configured: configured.into(), chosen })
    }

    /// Tells what this level has, or what the process was started with.
    ///
    /// # Errors
    /// There is no such level, or nothing is told any longer.
    pub(crate) fn set(&self, level: Option<&str>) -> Result<(), String> {
        let level = match level {
            None => None,
            Some(word) => Some(*LEVELS.iter().find(|level| **level == word).ok_or_else(|| {
                format!("`{}` is no level; known are {}", word.escape_debug(), LEVELS.join(", "))
            })?),
        };
        let text = level.unwrap_or(&self.configured);
        self.handle.reload(filter(text)).map_err(|error| error.to_string())?;
        *self.chosen.lock().unwrap_or_else(PoisonError::into_inner) = level;
        Ok(())
    }

    /// What is told now.
    pub(crate) fn current(&self) -> String {
        let chosen = *self.chosen.lock().unwrap_or_else(PoisonError::into_inner);
        chosen.unwrap_or(&self.configured).to_owned()
    }

    /// What the process was started with.
    pub(crate) fn configured(&self) -> &str {
        &self.configured
    }
}

fn filter(text: &str) -> EnvFilter {
    let filter = EnvFilter::new(text);
    match format!("{ALWAYS}=info").parse() {
        Ok(directive) => filter.add_directive(directive),
        Err(_) => filter,
    }
}

/// Whatever the level, what has this target is told: scripts wait for it.
pub(crate) const ALWAYS: &str = "phonebook_gateway::ready";

/// The levels that can be chosen.
pub(crate) const LEVELS: [&str; 5] = ["error", "warn", "info", "debug", "trace"];
