//! What decodes beyond the codecs built in: an `ffmpeg`, where one is installed.

use std::path::PathBuf;
use std::str::FromStr;

/// The `ffmpeg` that decodes what nothing here does; it runs as a child process.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Ffmpeg {
    /// None is used.
    #[default]
    Off,
    /// It was looked for, and none is installed.
    Missing,
    /// The program.
    At(PathBuf),
}

impl Ffmpeg {
    /// The one that a shell would start, if there is any.
    pub fn find() -> Self {
        let folders = std::env::var_os("PATH").unwrap_or_default();
        let found = std::env::split_paths(&folders)
            .map(|folder| folder.join("ffmpeg"))
            .find(|program| program.is_absolute() && program.is_file());
        found.map_or(Self::Missing, Self::At)
    }

    /// Why it decodes nothing, for people; `None` if it can be tried.
    pub(crate) fn absence(&self) -> Option<&'static str> {
        match self {
            Self::Off => Some("no ffmpeg is used"),
            Self::Missing => Some("no ffmpeg is installed"),
            Self::At(_) => None,
        }
    }
}

/// The text says neither `auto`, `none` nor an absolute path.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no ffmpeg: write \"auto\", \"none\" or the program's whole path")]
pub struct UnknownFfmpeg(String);

impl FromStr for Ffmpeg {
    type Err = UnknownFfmpeg;

    /// `auto` looks for it now, `none` switches it off, anything else is its path.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "auto" => Ok(Self::find()),
            "none" => Ok(Self::Off),
            path if path.starts_with('/') => Ok(Self::At(path.into())),
            other => Err(UnknownFfmpeg(other.to_owned())),
        }
    }
}
