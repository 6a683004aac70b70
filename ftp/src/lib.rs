//! The FTP door: every PBX's recordings as a read-only tree of days, over FTP and explicit FTPS.
//!
//! `tree` makes the tree from the catalogue and knows nothing of FTP; `path` decides what a client's path means;
//! `backend` and `login` answer libunftp's questions from them; `transfer` moves the bytes; `server` accepts the
//! connections, `session` and `slots` bound them, and `certificate` makes the one that nobody gave.
//!
//! What libunftp itself logs is discarded, because it names paths and logins. It also opens `tracing` spans that hold
//! them: a subscriber must leave the targets in [`QUIET_TARGETS`] out.
//!
//! What cannot be mended around the released libunftp: a client that secures its control connection but skips `PROT P`
//! and asks by EPSV gets its own recordings in clear even where TLS is required; some 0.2 % of AUTH TLS fail when many
//! come at once; a syntax error or an over-long line ends the session or costs memory; ABOR waits for its transfer; MLST
//! and STAT take relative paths from the root; a TLS failure on a data connection holds its session until the client
//! leaves; HELP names the library.

mod backend;
mod certificate;
mod config;
mod errors;
mod login;
mod passive;
mod path;
mod server;
mod session;
mod slots;
mod transfer;
mod tree;

#[cfg(test)]
mod tests;

pub use config::{Config, PortRange, TlsMode};
pub use errors::{Error, Result};
pub use server::FtpServer;

/// Targets of `tracing` that no subscriber may record: their spans hold the paths and logins of FTP sessions.
pub const QUIET_TARGETS: &[&str] = &["libunftp", "unftp_core"];
