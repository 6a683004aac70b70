//! Logging: to standard error, as configured.

use std::io::IsTerminal;

use crate::WrongUse;
use crate::config::{Config, LogFormat};

/// Logging as configured; `RUST_LOG` overrides the filter, but never brings in what would name paths and logins.
pub(crate) fn start(config: &Config) -> anyhow::Result<()> {
    let filter = std::env::var("RUST_LOG").unwrap_or_else(|_| config.log.filter.clone());
    let mut filter = tracing_subscriber::EnvFilter::try_new(&filter)
        .map_err(|error| WrongUse::because(format!("log filter \"{filter}\": {error}")))?;
    for target in ftp::QUIET_TARGETS {
        filter = filter.add_directive(format!("{target}=off").parse()?);
    }
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        // It would be said on the standard error that takes nothing, by what panics then: a full disk must not end anything.
        .log_internal_errors(false)
        .with_ansi(std::io::stderr().is_terminal());
    // A second call keeps the first subscriber.
    let _ = match config.log.format {
        LogFormat::Text => builder.try_init(),
        LogFormat::Json => builder.json().try_init(),
    };
    Ok(())
}
