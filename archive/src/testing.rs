//! For tests, of this crate and of those above it: a clock that is turned by hand, an archive with a small platform in
//! it, the suite that every kind of catalogue must pass, operations that fail, and an S3 server with its faults.

mod clock;
mod failing;
mod failing_store;
mod fixture;
mod recovery;
mod s3;
mod sabotage;
mod stores;
#[macro_use]
mod suite;

pub use clock::TestClock;
pub use failing::{Failing, Lasting, Operation, fail_each};
pub use fixture::{Call, TestArchive};
pub use s3::{Fault, FaultProxy, S3Server, s3_store};
pub use suite::cases;

pub(crate) use failing::come_by;
pub(crate) use failing_store::failing_store;
#[cfg(test)]
pub(crate) use fixture::new_postgres_database;
