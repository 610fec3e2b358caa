//! `/stub_status`: what nginx's `stub_status` says, byte for byte as nginx writes it, for whatever reads that.

use crate::limits::SeatCensus;
use crate::server::Server;

/// The document, as of the moment of `census`.
pub(super) fn stub_status(server: &Server, census: &SeatCensus) -> String {
    let shared = server.shared();
    let counted = shared.all.sum();
    let requests = counted.all_allowed() + counted.all_refused();
    let handled = shared.accepted();
    let accepted = handled + shared.metrics.rejections_at_accept();
    let sum = |of: fn(&crate::limits::HolderSeats) -> usize| -> usize {
        census.holders.iter().map(of).sum()
    };
    let (reading, waiting) = (sum(|seats| seats.new), sum(|seats| seats.idle));
    let writing = sum(|seats| seats.busy + seats.over_limit) + census.leaving;
    let active = reading + writing + waiting;
    format!(
        "Active connections: {active} \nserver accepts handled requests\n {accepted} {handled} {requests} \n\
         Reading: {reading} Writing: {writing} Waiting: {waiting} \n"
    )
}
