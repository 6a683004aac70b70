//! The product from outside: the real program with a real database, a real disk, real clients, real recordings.
//!
//! Begin with `one_recording.rs`, the guided tour.

#![expect(clippy::unwrap_used, reason = "a test fails where it falls")]

mod harness;

mod bad_input;
mod catalogue;
mod commands;
mod crash;
mod demo;
mod documents;
mod exhausted;
mod instances;
mod interrupted;
mod isolation;
mod live_call;
mod one_recording;
mod power_loss;
mod recovery;
mod rotation;
mod stopping;
mod stores;
mod tidy;
