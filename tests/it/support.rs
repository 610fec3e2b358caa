//! What the tests stand on: real programs started on free loopback ports, and a client that sends bytes as given.

pub(crate) mod binary;
pub(crate) mod certificates;
#[path = "../../benches/support/credulous.rs"]
pub(crate) mod credulous;
pub(crate) mod dird;
pub(crate) mod dns;
pub(crate) mod haproxy;
pub(crate) mod http;
pub(crate) mod http2;
pub(crate) mod live;
pub(crate) mod log_readers;
pub(crate) mod needs;
pub(crate) mod network;
pub(crate) mod openssl;
pub(crate) mod oracle;
pub(crate) mod peers;
pub(crate) mod pki;
pub(crate) mod process;
pub(crate) mod program;
pub(crate) mod raw;
pub(crate) mod recorder;
pub(crate) mod rig;
pub(crate) mod scripted;
pub(crate) mod serving;
pub(crate) mod tls;
pub(crate) mod xivo;
