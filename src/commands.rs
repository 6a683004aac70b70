//! The commands: each opens what it needs, asks the crate that decides, and prints the answer.

mod apply;
mod audit;
mod backup;
mod collect;
mod hold;
mod migrate;
mod restore;
mod retry;
mod rotate;
mod stores;
mod verify;

use std::path::Path;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use crate::cli::{AuditCommand, Cli, Command, ConfigFile, Part, StoresCommand};
use crate::config::Config;
use crate::output::{Form, say};
use crate::service::Service;
use crate::{Outcome, WrongUse, demo, instance, logging};

/// Does what the command line says.
pub(crate) async fn run(cli: Cli) -> anyhow::Result<Outcome> {
    match cli.command {
        Command::Demo { dir, http, ftp } => demo::run(&dir, http, ftp).await,
        Command::Serve { config, only } => serve(&config, &only).await,
        Command::Apply { config, file, dry_run: true, .. } => apply::preview(&read(&config)?, &file).await,
        Command::Apply { config, file, dry_run: false, reach } => apply::apply(&read(&config)?, &file, reach).await,
        Command::Collect { config, core_server, .. } => collect::collect(&read(&config)?, core_server.as_deref()).await,
        Command::Rotate { config, dry_run, confirm, accept_clock, confirm_restore, json, .. } => {
            let (config, form) = (read(&config)?, Form::of_flag(json));
            match confirm {
                _ if confirm_restore => restore::confirm(&config).await,
                _ if accept_clock => rotate::accept_clock(&config).await,
                Some(core_server) => rotate::confirm(&config, &core_server).await,
                None if dry_run => rotate::preview(&config, form).await,
                None => rotate::rotate(&config, form).await,
            }
        }
        Command::Verify { config, deep: false, json, .. } => verify::verify(&read(&config)?, Form::of_flag(json)).await,
        Command::Verify { config, resume, json, .. } => {
            verify::verify_deep(&read(&config)?, resume, Form::of_flag(json)).await
        }
        Command::Backup { config, list: true, json } => backup::list(&read(&config)?, Form::of_flag(json)).await,
        Command::Backup { config, list: false, json } => backup::backup(&read(&config)?, Form::of_flag(json)).await,
        Command::Restore { config, backup, catalogue, json } => {
            let wanted = restore::wanted(catalogue.as_deref(), backup.as_deref())?;
            restore::restore(&read(&config)?, wanted, Form::of_flag(json)).await
        }
        Command::Rebuild { config, catalogue, json } => {
            let wanted = archive::Wanted { without_backup: true, ..restore::wanted(catalogue.as_deref(), None)? };
            restore::restore(&read(&config)?, wanted, Form::of_flag(json)).await
        }
        Command::Stores { config, json, command } => {
            let config = read(&config)?;
            match command {
                None => stores::list(&config, Form::of_flag(json)).await,
                Some(StoresCommand::Lost { name, confirm: true }) => stores::lost(&config, &name).await,
                Some(StoresCommand::Lost { name, confirm: false }) => stores::preview_lost(&config, &name).await,
                Some(StoresCommand::Replace { name }) => stores::replace(&config, &name).await,
                Some(StoresCommand::Found { name, new_name }) => stores::found(&config, &name, &new_name).await,
                Some(StoresCommand::LostRecordings) => stores::lost_recordings(&config).await,
            }
        }
        Command::Retry { config, source } => retry::retry(&read(&config)?, source.as_deref()).await,
        Command::Hold { config, tenant, matter, recording, pbx, number, from, until } => {
            let wanted = hold::Wanted { tenant, matter, recording, pbx, number, from, until };
            hold::hold(&read(&config)?, wanted).await
        }
        Command::Release { config, hold } => hold::release(&read(&config)?, &hold).await,
        Command::Undelete { config, recording } => hold::undelete(&read(&config)?, &recording).await,
        Command::Audit { config, command: AuditCommand::Verify } => audit::verify(&read(&config)?).await,
        Command::Audit { config, command: AuditCommand::List { tenant, pbx, limit, json } } => {
            audit::list(&read(&config)?, tenant.as_deref(), pbx.as_deref(), limit, Form::of_flag(json)).await
        }
        Command::CheckConfig { config } => check_config(&config.config).await,
        Command::Migrate { from: Some(from), to: Some(to), .. } => migrate::move_catalogue(&from, &to).await,
        Command::Migrate { config, .. } => migrate::migrate(&read(&config)?).await,
        Command::Version => {
            say(concat!("fonoteca ", env!("CARGO_PKG_VERSION")));
            Ok(Outcome::Done)
        }
    }
}

fn read(config: &ConfigFile) -> anyhow::Result<Config> {
    let config = Config::read(&config.config)?;
    logging::start(&config)?;
    Ok(config)
}

async fn serve(config: &ConfigFile, only: &[Part]) -> anyhow::Result<Outcome> {
    let config = read(config)?;
    let parts = if only.is_empty() { &Part::ALL } else { only };
    let service = Service::open(&config, parts).await?;
    for (door, address) in service.addresses() {
        tracing::info!("{door} listens on {address}");
    }
    service.run(CancellationToken::new()).await?;
    Ok(Outcome::Done)
}

/// Opens everything, as `serve` would, and closes it again. Changes nothing, and disturbs no instance that is running.
async fn check_config(path: &Path) -> anyhow::Result<Outcome> {
    let mut config = Config::read(path)?;
    let _lock = match instance::lock(&config.data_dir) {
        Ok(lock) => Some(lock),
        // The running instance has the ports itself.
        Err(_) => {
            config.http.listen.set_port(0);
            config.http.operations_listen.set_port(0);
            config.ftp.listen.set_port(0);
            None
        }
    };
    let (archive, notes) = instance::open_archive_to_check(&config).await?;
    notes.iter().for_each(|note| say(note));
    api::HttpServer::bind(Arc::clone(&archive), config.http.clone())
        .await
        .map_err(|error| WrongUse::because(format!("http: {error}")))?;
    ftp::FtpServer::bind(Arc::clone(&archive), config.ftp.clone(), &config.data_dir)
        .await
        .map_err(|error| WrongUse::because(format!("ftp: {error}")))?;
    archive.close().await?;
    say(&format!("{}: everything it names can be opened", path.display()));
    Ok(Outcome::Done)
}
