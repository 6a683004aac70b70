//! The program `fonoteca`: command line, configuration, wiring, lifecycle. It knows every crate and decides nothing.

mod cli;
mod commands;
mod config;
mod demo;
mod instance;
mod logging;
mod meter;
mod output;
mod service;

use std::process::ExitCode;

use clap::Parser;

/// What a command ends with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    /// Exit code 0.
    Done,
    /// Exit code 1: what was asked about is not as it should be.
    FoundSomethingWrong,
}

fn main() -> ExitCode {
    // Clap itself answers wrong use with exit code 2.
    let cli = cli::Cli::parse();
    rustls::crypto::aws_lc_rs::default_provider()
        .install_default()
        .expect("nothing has chosen another TLS provider before main");
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            output::complain(&format!("cannot start: {error}"));
            return ExitCode::from(1);
        }
    };
    let outcome = runtime.block_on(commands::run(cli));
    // What still blocks a thread by now (a file server that does not answer, a decoder after a second signal) must not
    // keep the process: nothing that matters is half done.
    runtime.shutdown_background();
    match outcome {
        Ok(Outcome::Done) => ExitCode::SUCCESS,
        Ok(Outcome::FoundSomethingWrong) => ExitCode::from(1),
        Err(error) => {
            output::complain(&format!("{error:#}"));
            ExitCode::from(if error.is::<WrongUse>() { 2 } else { 1 })
        }
    }
}

/// What cannot begin as it was asked for: exit code 2, one clear line.
#[derive(Debug)]
struct WrongUse(String);

impl WrongUse {
    /// Turns whatever kept a command from starting into its one line.
    fn because(error: impl std::fmt::Display) -> anyhow::Error {
        anyhow::Error::new(Self(error.to_string()))
    }
}

impl std::fmt::Display for WrongUse {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for WrongUse {}
