//! The instance: its name, its locks in `data_dir`, and the archive opened under that name.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use archive::{Archive, Options, Restored, Wanted};

use crate::WrongUse;
use crate::config::Config;

/// The right to be this instance, or its one command of a kind: no two processes have it at a time.
pub(crate) struct InstanceLock(#[expect(dead_code, reason = "the lock lasts as long as the file is open")] File);

/// Takes the lock of the instance itself.
pub(crate) fn lock(data_dir: &Path) -> anyhow::Result<InstanceLock> {
    take_lock(data_dir, "lock")
}

/// Takes the named lock in `data_dir`.
fn take_lock(data_dir: &Path, name: &str) -> anyhow::Result<InstanceLock> {
    make_data_dir(data_dir)?;
    let path = data_dir.join(name);
    let file =
        File::create(&path).map_err(|error| WrongUse::because(format!("cannot write {}: {error}", path.display())))?;
    file.try_lock().map_err(|_| {
        WrongUse::because(format!("another fonoteca is at work in {} ({name}): stop it first", data_dir.display()))
    })?;
    Ok(InstanceLock(file))
}

fn make_data_dir(data_dir: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(data_dir)
        .map_err(|error| WrongUse::because(format!("cannot create data_dir {}: {error}", data_dir.display())))
}

/// Opens the archive as the instance itself, whose lock the caller has.
pub(crate) async fn open_archive(config: &Config) -> anyhow::Result<Arc<Archive>> {
    let name = name_in(&config.data_dir)?;
    open_archive_as(config, name).await
}

/// Opens the archive only to see that it can be; says what is worth knowing besides.
pub(crate) async fn open_archive_to_check(config: &Config) -> anyhow::Result<(Arc<Archive>, Vec<String>)> {
    let options = Options::new(config.database_url()?, config.store_configs(), "check-config");
    let (archive, notes) = Archive::open_to_check(options).await.map_err(WrongUse::because)?;
    Ok((Arc::new(archive), notes))
}

/// Opens the archive for a command that works beside the instance.
pub(crate) async fn open_archive_for(config: &Config, command: &str) -> anyhow::Result<Arc<Archive>> {
    let name = name_in(&config.data_dir)?;
    open_archive_as(config, format!("{name}-{command}-{}", std::process::id())).await
}

/// Opens the catalogue, and of its stores those that answer, for a command that looks after stores. Answers also which do
/// not answer.
pub(crate) async fn open_beside_stores(
    config: &Config,
    command: &str,
) -> anyhow::Result<(Archive, Vec<(String, archive::Error)>)> {
    let instance = format!("{}-{command}-{}", name_in(&config.data_dir)?, std::process::id());
    let options = Options::new(config.database_url()?, config.store_configs(), instance);
    Archive::open_beside_stores(options).await.map_err(WrongUse::because)
}

/// Opens the archive for a run of rotation. Its name has no process id: a run that was killed leaves its lease behind,
/// and the next one takes it over without waiting.
pub(crate) async fn open_archive_to_rotate(config: &Config) -> anyhow::Result<(InstanceLock, Arc<Archive>)> {
    let lock = take_lock(&config.data_dir, "rotate.lock")?;
    let name = name_in(&config.data_dir)?;
    Ok((lock, open_archive_as(config, format!("{name}-rotate")).await?))
}

/// Opens the archive for a backup, as [`open_archive_to_rotate`] does for a run.
pub(crate) async fn open_archive_to_back_up(config: &Config) -> anyhow::Result<(InstanceLock, Arc<Archive>)> {
    let lock = take_lock(&config.data_dir, "backup.lock")?;
    let name = name_in(&config.data_dir)?;
    Ok((lock, open_archive_as(config, format!("{name}-backup")).await?))
}

/// Restores the archive under a command's name.
pub(crate) async fn restore_archive(config: &Config, wanted: Wanted) -> anyhow::Result<(Arc<Archive>, Restored)> {
    let name = format!("{}-restore", name_in(&config.data_dir)?);
    let options = Options::new(config.database_url()?, config.store_configs(), name);
    Archive::restore(options, wanted).await.map_err(WrongUse::because)
}

async fn open_archive_as(config: &Config, instance: String) -> anyhow::Result<Arc<Archive>> {
    let options = Options {
        connections: config.database.connections,
        ..Options::new(config.database_url()?, config.store_configs(), instance)
    };
    let archive = Archive::open(options).await.map_err(WrongUse::because)?;
    Ok(Arc::new(archive))
}

/// The instance's name: made once, kept in `data_dir`, so that a restart finds its own spool and claims again.
fn name_in(data_dir: &Path) -> anyhow::Result<String> {
    make_data_dir(data_dir)?;
    let path = data_dir.join("instance");
    // An empty one is of a machine that lost its power while it was made: two of these would be taken for one instance.
    if let Some(name) = std::fs::read_to_string(&path).ok().filter(|name| !name.trim().is_empty()) {
        return Ok(name.trim().to_owned());
    }
    let name = archive::RunId::new(archive::Clock::now(&archive::SystemClock)).to_string();
    std::fs::write(&path, format!("{name}\n"))
        .map_err(|error| WrongUse::because(format!("cannot write {}: {error}", path.display())))?;
    Ok(name)
}
