//! The HTTP door: REST under `/api/v1`, and health and metrics on a listener of their own.
//!
//! The door decides nothing. It finds out who asks (`caller`), reads what is asked (`parameters`, `fields`),
//! passes the caller's scope to the archive, and writes the answer; `problem` turns every failure into problem+json,
//! so that internal text never leaves. [`ROUTES`] is the list of everything there is to ask.
//!
//! Reading order: `routes`, then one file under `routes/`, then `caller` and `problem`.

mod caller;
mod conditions;
mod config;
mod connection;
mod conversion;
mod digest;
mod disposition;
mod door;
mod download;
mod error;
mod fields;
mod listing;
mod metrics;
mod network;
mod observe;
mod operations;
mod parameters;
mod places;
mod problem;
mod range;
mod recording_reader;
mod request;
mod routes;
mod server;

#[cfg(test)]
mod tests;

pub use config::Config;
pub use error::Error;
pub use metrics::metrics_recorder;
pub use network::Network;
pub use routes::{ROUTES, Route};
pub use server::HttpServer;
