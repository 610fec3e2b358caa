//! What a server does beside answering: names, XiVO's addresses and certificates, each in a thread of its own
//! that is supervised.

pub(super) mod certificates;
pub(super) mod peer_names;
pub(super) mod upstream_addresses;
