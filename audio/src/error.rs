//! The ways in which audio can refuse: they differ in what the caller does next.

/// Why a file could not be probed, decoded or encoded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// 0 bytes, or a header and no audio at all. Nothing to keep.
    #[error("there is no audio in the file")]
    Empty,
    /// Neither a known signature nor the extension of a known headerless format.
    #[error("not an audio file")]
    NotAudio,
    /// Audio, but of a kind that is not decoded here: keep it as it came.
    #[error("cannot decode {what}")]
    Unsupported {
        /// The container or codec, for people.
        what: String,
    },
    /// It says that it is audio of a known kind, but not one sample of it can be decoded.
    #[error("damaged: {what}")]
    Damaged {
        /// What was found wrong, for people.
        what: String,
    },
    /// The source is good, but the chosen format cannot carry its rate or channels: keep it as it came.
    #[error("{format} cannot carry {what}")]
    UnsupportedByEncoder {
        /// The chosen format.
        format: crate::Format,
        /// What it cannot carry, such as `44100 Hz` or `4 channels`.
        what: String,
    },
    /// What was asked for the channels cannot be done with these sources.
    #[error("{what}")]
    Channels {
        /// What does not fit, for people, such as `one leg is at 8000 Hz, the other at 16000 Hz`.
        what: String,
    },
    /// The recording goes beyond one of the [`crate::Limits`]: keep it as it came.
    #[error("it {0}")]
    Exceeded(crate::Limit),
    /// [`crate::Limits::stop`] was set: nothing is known of the recording.
    #[error("told to stop")]
    Stopped,
    /// The source could not be read or the sink could not be written.
    #[error(transparent)]
    Io(std::io::Error),
}

impl From<std::io::Error> for Error {
    /// Readers and sinks can say only by an I/O error that a limit is reached: it comes out of there again.
    fn from(error: std::io::Error) -> Self {
        error.downcast().unwrap_or_else(Self::Io)
    }
}

impl Error {
    pub(crate) fn unsupported(what: impl Into<String>) -> Self {
        Self::Unsupported { what: what.into() }
    }

    pub(crate) fn damaged(what: impl Into<String>) -> Self {
        Self::Damaged { what: what.into() }
    }
}
