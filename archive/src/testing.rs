//! For tests, of this crate and of those above it: a clock that is turned by hand, an archive with a small platform in
//! it, and the suite that every kind of catalogue must pass.

mod clock;
mod fixture;
mod sabotage;
#[macro_use]
mod suite;

pub use clock::TestClock;
pub use fixture::{Call, TestArchive};
pub use suite::cases;
