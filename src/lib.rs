//! An access-control reverse proxy for one endpoint: a XiVO's phonebook.

pub mod address;
pub mod config;
pub mod place;
pub mod policy;
