//! An access-control reverse proxy for one endpoint: a XiVO's phonebook.

pub mod address;
pub mod answer;
pub mod cli;
pub mod client;
pub mod config;
pub mod connection;
pub mod decide;
pub mod demo;
pub mod diagnostics;
pub mod gateway;
pub mod http1;
pub mod limits;
pub mod listen;
pub mod lookup;
pub mod peers;
pub mod place;
pub mod policy;
pub mod record;
pub mod refusal;
pub mod server;
pub mod upstream;
pub mod worker;
