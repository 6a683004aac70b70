//! What can keep the door from opening. What goes wrong with a request is a `problem`.

use std::net::SocketAddr;

/// The door cannot open.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The configuration cannot be used.
    #[error("{0}")]
    Config(String),
    /// An address cannot be listened on.
    #[error("cannot listen on {address} for {what}: {source}; stop what uses it or change [http] {key}")]
    Listen {
        /// What would be served there.
        what: &'static str,
        /// The key of the configuration that says so.
        key: &'static str,
        /// The address.
        address: SocketAddr,
        /// The failure.
        #[source]
        source: std::io::Error,
    },
}
