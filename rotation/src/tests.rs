//! Rotation on a real catalogue and a real disk, by a clock that is turned. Batches are three recordings long here, so
//! that their borders are met.

mod clock;
mod days;
mod failing;
mod fixture;
mod holds;
mod keeping;
mod levels;
mod moves;
mod plans;
mod purging;
mod quota;
mod runs;
mod schedule;
mod storm;
