//! What can go wrong at this door, and which reply a failure of the archive becomes.

use std::io;
use std::net::SocketAddr;

use unftp_core::storage::{Error as Refusal, ErrorKind};

/// The result of starting the server.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why the server cannot start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A key of the configuration cannot work.
    #[error("{0}")]
    Config(String),
    /// The address cannot be listened on.
    #[error("listen on {address}: {source}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// The failure.
        #[source]
        source: io::Error,
    },
    /// The certificate or its key cannot be made, read or used.
    #[error("ftp certificate: {0}")]
    Certificate(String),
}

/// A path that leads nowhere, to nobody's knowledge anywhere, or to somebody else's recording: one reply for all.
pub(crate) fn not_found() -> Refusal {
    Refusal::from(ErrorKind::PermanentFileNotAvailable)
}

/// A command that changes something; nothing here does.
pub(crate) fn read_only() -> Refusal {
    Refusal::from(ErrorKind::PermissionDenied)
}

/// Not now, but perhaps later: the server is stopping.
pub(crate) fn stopping() -> Refusal {
    Refusal::from(ErrorKind::TransientFileNotAvailable)
}

/// The connection is gone, or is being given up.
pub(crate) fn cut_off() -> Refusal {
    Refusal::from(ErrorKind::ConnectionClosed)
}

/// The reply for a failure of the archive. The failure itself is logged here, once; clients see its kind only.
pub(crate) fn refusal(error: &archive::Error) -> Refusal {
    if let archive::Error::NotFound(_) = error {
        return not_found();
    }
    if let archive::Error::Damaged(id) = error {
        tracing::error!(parent: None, recording.id = %id, "asked for recording {id}, of which no sound copy is left");
        // 450, not 550: a mirror that is told that a file is gone for good may remove its own copy.
        return Refusal::from(ErrorKind::TransientFileNotAvailable);
    }
    // Without a parent: libunftp's spans around this hold the client's path and login.
    tracing::error!(parent: None, "failed to answer an FTP client: {error:#}");
    let transient = error.is_transient();
    Refusal::from(if transient { ErrorKind::TransientFileNotAvailable } else { ErrorKind::LocalError })
}
