//! An access-control reverse proxy for one endpoint: the phonebook of a XiVO.
//!
//! It stands in front of a XiVO's nginx, lets each *peer* (another XiVO, named by its hosts in one
//! policy file) read that phonebook and nothing else, at its rate, and writes an nginx access log of
//! everything that was asked.
//!
//! # The way of a request
//! [`gateway`] is this table as code. Each step consumes what the previous one yields, so that their order
//! is the compiler's business.
//!
//! | step | yields | where |
//! |---|---|---|
//! | accept | what is known of a connection | [`net::listen`], [`server`], [`connection`], [`gateway::connection_facts`] |
//! | read | a head that is strictly HTTP/1, or came over HTTP/2 and reads the same | [`connection::http1_stream`], [`http1`], [`connection::http2`] |
//! | identify | whom it comes from, and the peer with the longest prefix | [`gateway::request_source`], [`identity`] |
//! | admit | a token of the peer and one of the gateway | [`limits`] |
//! | parse | a [`lookup::Lookup`], which cannot say `private` | [`lookup`] |
//! | decide | a [`policy::decide::Permit`], and the line that granted it | [`policy::decide`], [`policy`] |
//! | forward | XiVO's answer to a request that only a permit can make | [`gateway::forward`], [`upstream`] |
//! | answer | an answer with an allow list of fields, or a [`refusal::Refusal`] | [`gateway::relay`], [`gateway::reply`], [`response`] |
//! | record | exactly one line of the access log | [`gateway::record`], [`access_log`] |
//!
//! # What is trusted
//! The configuration, the kernel's word on whom a connection comes from, the word of the proxies that
//! the configuration lists, and nothing that a client says. XiVO is trusted to be XiVO, but its answers
//! are read as strictly as requests are.
//!
//! # What is not done here
//! Nothing is cached, rewritten, redirected or retried beyond one replay; no body is read from
//! clients; no name is resolved while a request waits.
//!
//! # Layers
//! Each wing imports only what stands below it, and its root says what that is; `tests/it/layering.rs` holds it, and
//! that what judges does no I/O, reads no clock and knows no runtime. [`cli`] is the only module that prints,
//! but for the thread of [`diagnostics`], which writes to standard error or to the journal what all others say.

pub mod admin;
pub mod cli;
pub mod config;
mod connection;
mod control;
pub mod demo;
mod diagnostics;
mod files;
pub mod gateway;
pub mod http1;
pub mod identity;
mod limits;
pub mod lookup;
pub mod net;
mod policy;

pub mod access_log;
mod location;
mod page;
mod pki;
pub mod refusal;
mod report;
pub mod resolver;
mod response;
pub mod server;
mod supervision;
mod text;
mod tls;
pub mod upstream;
pub mod worker;
pub mod x509;
