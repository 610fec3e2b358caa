//! `[reload]`: how the configuration is taken over while the gateway runs.

use crate::config::document::{Field, Section};

/// The `[reload]` section.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Reload {
    /// Whether a changed file is taken over without being told to.
    pub watch: bool,
    /// Whether a broken policy keeps the gateway from starting. Where not, it denies its peer.
    pub strict_boot: bool,
    /// How many good configurations are kept to go back to.
    pub keep: usize,
}

/// Reads `[reload]`.
pub(crate) fn read(mut section: Section<'_>) -> Reload {
    let watch = section.value("watch", false, Field::boolean);
    let strict_boot = section.value("strict_boot", true, Field::boolean);
    let keep = section.value("keep", KEEP, |field| field.whole(0, MOST_KEPT));
    section.finish();
    Reload { watch, strict_boot, keep: usize::try_from(keep).unwrap_or_default() }
}

const KEEP: u32 = 10;
const MOST_KEPT: u32 = 1000;
