//! `/metrics`: the gateway's figures, gathered when somebody asks.
//!
//! Values of labels are names of the configuration and words of the contract: nothing that a caller sends makes a
//! series. Counters never go backwards as long as the process lives, whatever is reloaded.

pub(super) mod exposition;
mod family;
mod gateway;
mod process;
mod requests;

use super::tls::AdminTls;
use crate::diagnostics::LostDiagnostics;
use crate::limits::SeatCensus;
use crate::server::Server;

pub(super) use family::Family;

/// What figures are gathered from.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sources<'a> {
    pub(super) server: &'a Server,
    pub(super) lost: &'a LostDiagnostics,
    pub(super) tls: &'a AdminTls,
    pub(super) census: &'a SeatCensus,
}

/// All figures, as of now.
pub(super) fn gather(sources: &Sources<'_>) -> Vec<Family> {
    let mut families = requests::gather(sources);
    families.extend(gateway::gather(sources));
    families.extend(process::gather());
    families
}
