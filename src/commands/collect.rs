//! `fonoteca collect`: everything that waits, brought in once.

use crate::config::Config;
use crate::output::say;
use crate::{Outcome, WrongUse, instance, service};

pub(super) async fn collect(config: &Config, core_server: Option<&str>) -> anyhow::Result<Outcome> {
    let _lock = instance::lock(&config.data_dir)?;
    let archive = instance::open_archive(config).await?;
    if let Some(name) = core_server
        && !archive.list_core_servers().await?.iter().any(|server| server.name == name)
    {
        return Err(WrongUse::because(format!("there is no core server \"{name}\"")));
    }
    let collector = service::open_collector(config, &archive)?;
    let collected = collector.collect_once(core_server).await?;
    say(&collected.to_string());
    archive.close().await?;
    Ok(if collected.quarantined + collected.failed + collected.unreachable > 0 {
        Outcome::FoundSomethingWrong
    } else {
        Outcome::Done
    })
}
