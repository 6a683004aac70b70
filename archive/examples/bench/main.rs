//! What it costs to archive a recording whose audio is already encoded, and to find one among many.
//!
//! ```text
//! make bench-archive                            both
//! make bench-archive ARGS="ingest 100000"       recordings archived, on each catalogue and store, beside bare writing
//! make bench-archive ARGS="ingest 100000 4"     the same, from four core servers at a time
//! make bench-archive ARGS="search 10000000"     how long a search takes, at a hundredth, a tenth and all of so many
//! make bench-archive ARGS="search 10000000 PostgreSQL"    the same, on one of the two
//! ```
//!
//! Durations are those of the clock on the wall, because waiting for the disk is what it measures: so every row stands
//! beside a bare one of the same run.

#![expect(clippy::print_stdout, reason = "a program for people at a terminal")]

mod bare;
mod fill;
mod ingest;
mod place;
mod search;

use place::Engine;

type Outcome<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

#[tokio::main]
async fn main() -> Outcome<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => {
            ingest::report(100_000, 1).await?;
            println!();
            search::report(10_000_000, &Engine::ALL).await
        }
        ["ingest"] => ingest::report(100_000, 1).await,
        ["ingest", recordings] => ingest::report(recordings.parse()?, 1).await,
        ["ingest", recordings, core_servers] => match core_servers.parse()? {
            1..=place::CORE_SERVERS => ingest::report(recordings.parse()?, core_servers.parse()?).await,
            _ => Err(format!("1 to {} core servers", place::CORE_SERVERS).into()),
        },
        ["search"] => search::report(10_000_000, &Engine::ALL).await,
        ["search", recordings] => search::report(recordings.parse()?, &Engine::ALL).await,
        ["search", recordings, engine] => {
            let engine = Engine::ALL.into_iter().find(|known| known.name() == engine);
            let engine = engine.ok_or("SQLite or PostgreSQL?")?;
            search::report(recordings.parse()?, &[engine]).await
        }
        _ => Err("use: bench [ingest [RECORDINGS [CORE_SERVERS]] | search [RECORDINGS [ENGINE]]]".into()),
    }
}
