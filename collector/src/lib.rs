//! Brings recordings in from every core server: lists what is finished, fetches it, transcodes it as its tier says,
//! delivers it to the archive and, when its time has come, removes it from the core server.
//!
//! Reading order: `run` (the rounds), `scan` (spool → discovered; `layout` says what a path means, `settled` whether a
//! recording is finished), `work` (discovered → spooled → done, with `fetch` and `keep` for the bytes), `remove`.
//!
//! The catalogue's states are the only queue; nothing that matters is in memory or in the landing zone alone. A source
//! is claimed by a lease with a fence, so that several instances can share one catalogue and a process that was killed,
//! or only asleep, neither loses nor doubles a recording.

mod collected;
mod config;
mod error;
mod failure;
mod fetch;
mod keep;
mod landing;
mod lane;
mod layout;
mod remove;
mod run;
mod scan;
mod settled;
mod sign;
mod spool;
mod work;
mod workers;
mod writers;

#[cfg(test)]
mod tests;

pub use collected::Collected;
pub use config::Config;
pub use error::Error;
pub use layout::check_layout;
pub use run::Collector;
