//! `fonoteca demo`: the whole service on embedded defaults, with two core servers whose spools fill with real recordings
//! while it runs. Nothing else needs to be installed, and nothing leaves the machine.

mod feed;
mod platform;
mod secrets;

use std::net::SocketAddr;
use std::path::Path;

use anyhow::Context;
use archive::Actor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::cli::Part;
use crate::config::Config;
use crate::demo::secrets::Secrets;
use crate::output::say;
use crate::service::Service;
use crate::{Outcome, WrongUse, logging};

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
    for server in service.archive().list_core_servers().await? {
        // The demo has calls from forty days ago; its operator has looked at them and agreed that they rotate.
        service.archive().confirm_enrolment(&actor, server.id).await?;
    }
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
    service.run(stop.clone()).await?;
    stop.cancel();
    feeding.close();
    feeding.wait().await;
    Ok(Outcome::Done)
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
