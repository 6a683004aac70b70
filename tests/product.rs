//! The product from outside: the real program with a real database, a real disk, real clients, real recordings.
//!
//! Begin with `one_recording.rs`, the guided tour.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "tests say where they stand, and fail where they fall")]

mod harness;

mod bad_input;
mod crash;
mod demo;
mod isolation;
mod live_call;
mod one_recording;
mod rotation;
mod tidy;
