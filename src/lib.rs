//! An access-control reverse proxy for one endpoint: a XiVO's phonebook.

pub mod address;
pub mod config;
pub mod decide;
pub mod demo;
pub mod http1;
pub mod limits;
pub mod lookup;
pub mod peers;
pub mod place;
pub mod policy;
pub mod record;
pub mod refusal;
pub mod upstream;
