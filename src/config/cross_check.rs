//! What can only be seen when two places are held against each other.

pub(crate) mod access_logs;
pub(crate) mod address_lists;
pub(crate) mod certificates;
pub(crate) mod policies;
