//! What can only be seen when two places are held against each other.

pub(crate) mod policies;
