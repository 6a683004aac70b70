//! `fonoteca demo`: the whole service on embedded defaults, with two core servers whose spools fill with real recordings
//! while it runs. Nothing else needs to be installed, and nothing leaves the machine.

mod feed;
mod platform;
mod secrets;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use archive::{Actor, Archive, Scope, UsageClass};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::cli::Part;
use crate::config::Config;
use crate::demo::secrets::Secrets;
use crate::output::say;
use crate::service::Service;
use crate::{Outcome, WrongUse, logging};

/// How often the demo's operator looks for what is to be confirmed.
const CONFIRM_EVERY: Duration = Duration::from_secs(2);

/// Runs the demo until it is told to stop.
pub(crate) async fn run(dir: &Path, http: SocketAddr, ftp: SocketAddr) -> anyhow::Result<Outcome> {
    std::fs::create_dir_all(dir)
        .map_err(|error| WrongUse::because(format!("cannot create {}: {error}", dir.display())))?;
    let dir = dir.canonicalize().context("resolve the demo's directory")?;
    let config = configuration(&dir, http, ftp)?;
    logging::start(&config)?;
    let service = Service::open(&config, &Part::ALL).await?;
    let secrets = Secrets::load_or_make(&dir)?;
    let actor = Actor::command_line();
    service.archive().apply(&actor, &platform::declaration(&dir, &secrets)?).await?;
    let addresses = service.addresses();
    let address = |door: &str| {
        addresses.iter().find(|(name, _)| *name == door).map(|(_, address)| *address).context("a door did not open")
    };
    let (http, operations, ftp) = (address("http")?, address("operations")?, address("ftp")?);
    secrets.write(&dir, http, ftp)?;
    say(&platform::welcome(&dir, http, operations, ftp, &secrets));

    let stop = CancellationToken::new();
    let feeding = TaskTracker::new();
    feeding.spawn(feed::feed(dir, service.archive().clock().clone(), stop.clone()));
    feeding.spawn(confirm(Arc::clone(service.archive()), stop.clone()));
    let ended = service.run(stop.clone()).await;
    stop.cancel();
    feeding.close();
    feeding.wait().await;
    ended.map(|()| Outcome::Done)
}

/// The demo's operator: some of its calls are from forty days ago, and whoever watches agrees that they rotate.
async fn confirm(archive: Arc<Archive>, stop: CancellationToken) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(CONFIRM_EVERY) => {}
            () = stop.cancelled() => return,
        }
        if let Err(error) = confirm_guarded(&archive).await {
            tracing::warn!("failed to confirm what is older than the demo: {error}");
        }
    }
}

async fn confirm_guarded(archive: &Archive) -> archive::Result<()> {
    let usage = archive.list_usage(Scope::Platform).await?;
    if usage.iter().any(|usage| usage.class == UsageClass::Guarded) {
        for server in archive.list_core_servers().await? {
            archive.confirm_enrolment(&Actor::command_line(), server.id).await?;
        }
    }
    Ok(())
}

/// The demo's configuration, in the words that anybody's would be in.
fn configuration(dir: &Path, http: SocketAddr, ftp: SocketAddr) -> anyhow::Result<Config> {
    let quoted = |path: &Path| toml::Value::String(path.to_string_lossy().into_owned()).to_string();
    let text = format!(
        r#"
        data_dir = {data_dir}
        stores = [{{ name = "disk", url = {store} }}]
        [http]
        listen = "{http}"
        operations_listen = "127.0.0.1:0"
        [ftp]
        listen = "{ftp}"
        tls = "optional"
        [collector]
        scan_interval = "1 s"
        settle = "10 s"
        [rotation]
        # An archive would rather wait for days; whoever watches a demo would not.
        schedule = "*/15 * * * * *"
        min_age = "20 s"
        "#,
        data_dir = quoted(&dir.join("data")),
        store = quoted(&dir.join("store")),
    );
    Config::parse(&text).map_err(|what| anyhow::anyhow!("the demo's configuration: {what}"))
}
