//! Values that stand in several places of the configuration: addresses, authorities, rates, fingerprints.

pub(crate) mod address;
pub(crate) mod address_list;
pub(crate) mod authority;
pub(crate) mod fingerprint;
pub(crate) mod rate;
