//! The collector as a whole: real files of real core servers, in a real catalogue and store.

mod afterwards;
mod arriving;
mod failing;
mod hanging;
mod killing;
mod recovering;
mod refusing;
pub(crate) mod rig;
mod transcoding;
mod waiting;
