//! The tree against a real archive, and the door against a real socket, by a small client of our own.

mod client;
mod door;
mod downloads;
mod sessions;
mod stopping;
mod strangers;
mod tls;
mod tree;
