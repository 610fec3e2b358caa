//! Who sent a request, and which peer that is: by the address of its connection or by the word of a proxy
//! that is trusted, and by its certificate.
//!
//! Imports `location`, `net`, `policy`, `x509`. Begin with [`caller`], then [`peers`].

pub(crate) mod address_list;
pub mod caller;
pub(crate) mod certificate;
pub(crate) mod disabled;
pub mod forwarded;
pub(crate) mod peers;
pub(crate) mod resolved;
