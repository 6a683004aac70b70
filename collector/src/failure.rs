//! How work on one source can fail, sorted by what becomes of the source.

use archive::Error;

use crate::spool::Version;

/// Why work on a source ended before it was archived.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Trying again may cure it.
    Retry {
        /// A stable word.
        code: &'static str,
        /// A sentence for the operator.
        detail: String,
        /// After so many of these the source is quarantined; what is no fault of the source's never counts.
        counts: bool,
    },
    /// The file is no longer the one that was listed, but this.
    Changed(Option<Version>),
    /// Nothing will cure it.
    Quarantine {
        /// A stable word.
        code: &'static str,
        /// A sentence for the operator.
        detail: String,
    },
    /// What lay in the landing zone is not there, or not what it was: it must be fetched again.
    Unspooled,
    /// Somebody else has the source now.
    Lost,
    /// Told to stop in the middle of it: it goes on where it is when this instance, or another, claims it anew.
    Stopped,
}

impl Failure {
    /// To be tried again until it has failed too often.
    pub(crate) fn again(code: &'static str, detail: impl Into<String>) -> Self {
        Self::Retry { code, detail: detail.into(), counts: true }
    }

    /// To be tried again as often as it takes.
    pub(crate) fn later(code: &'static str, detail: impl Into<String>) -> Self {
        Self::Retry { code, detail: detail.into(), counts: false }
    }

    pub(crate) fn quarantine(code: &'static str, detail: impl Into<String>) -> Self {
        Self::Quarantine { code, detail: detail.into() }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let detail = error.to_string();
        match error {
            Error::Conflict("source") => Self::Lost,
            Error::Conflict(_) => Self::later("busy", detail),
            Error::Store(_) | Error::StoreUnavailable { .. } | Error::Marker { .. } | Error::UnknownStore(_) => {
                Self::later("store", detail)
            }
            // A store that does not give back what it was given has failed like one that says so.
            Error::Integrity { table: "objects", .. } => Self::later("store", detail),
            Error::Io { .. } => Self::later("landing-zone", detail),
            Error::Catalogue(_) if error.is_transient() => Self::later("catalogue", detail),
            Error::Catalogue(_) => Self::again("catalogue", detail),
            _ => Self::again("archive", detail),
        }
    }
}
