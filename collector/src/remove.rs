//! Afterwards: a source whose recording is archived, and whose time has come, leaves its core server or is moved aside.
//!
//! This is the one place where somebody else's file is removed. It must still be the very file that was fetched: same
//! size and time, nobody writing to it, and, before it is deleted, the same bytes.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use archive::{AfterArchive, Sha256Hasher, Source};

use crate::Error;
use crate::lane::{Lane, Server};
use crate::spool::{Spool, Version};
use crate::writers::OpenFiles;

/// Sources looked at in one go. Tests meet its border with a few.
const BATCH: u32 = if cfg!(test) { 2 } else { 500 };
/// When a source that could not be removed is tried again. Until then it is not listed, so that a folder in which nothing
/// can be removed never keeps the rest of the spool from being emptied.
const AGAIN: Duration = Duration::from_secs(600);

/// What became of a source's file. The words are the catalogue's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Left {
    Removed,
    Moved,
    /// It is another file now, and stays.
    Changed,
    /// It was not there any more.
    Gone,
}

impl Left {
    fn as_str(self) -> &'static str {
        match self {
            Self::Removed => "removed",
            Self::Moved => "moved",
            Self::Changed => "changed",
            Self::Gone => "gone",
        }
    }
}

impl Lane {
    /// Removes or moves sources whose time has come, a batch of them.
    ///
    /// # Errors
    /// The spool cannot be reached, or the catalogue fails. A file that cannot be removed is left for the next round.
    pub(crate) async fn remove_sources(&self) -> Result<RemovedBatch, Error> {
        let (archive, server) = (&self.shared.archive, self.server());
        let mut batch = RemovedBatch::default();
        if server.core.after == AfterArchive::Keep {
            return Ok(batch);
        }
        let due = archive.list_sources_to_remove(server.core.id, BATCH).await?;
        if due.is_empty() {
            return Ok(batch);
        }
        let is_full = due.len() == BATCH as usize;
        let ours = Arc::clone(&server);
        let outcomes = tokio::task::spawn_blocking(move || leave_all(&ours, due))
            .await
            .unwrap_or_else(|error| Err(io::Error::other(error)))
            .map_err(|failure| Error::Spool { name: server.core.name.clone(), failure })?;
        let mut failed = 0;
        for (source, left) in outcomes {
            match left {
                Ok(Some(left)) => {
                    archive.mark_source_removed(source.id, left.as_str()).await?;
                    batch.removed += u64::from(matches!(left, Left::Removed | Left::Moved));
                    if left == Left::Changed {
                        tracing::warn!(source.id = %source.id, "source {} has changed and stays", source.id);
                    }
                }
                // Somebody writes to it: it will have changed soon.
                Ok(None) => archive.retry_removal_later(source.id, AGAIN).await?,
                Err(error) => {
                    failed += 1;
                    archive.retry_removal_later(source.id, AGAIN).await?;
                    tracing::debug!(source.id = %source.id, "failed to remove source {}: {error}", source.id);
                }
            }
        }
        if failed > 0 {
            tracing::warn!(core_server = server.core.name, "failed to remove or move {failed} sources");
        }
        batch.more = is_full;
        Ok(batch)
    }
}

/// What a batch of removing came to.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct RemovedBatch {
    /// Sources removed or moved.
    pub(crate) removed: u64,
    /// There may be more.
    pub(crate) more: bool,
}

type Outcomes = Vec<(Source, io::Result<Option<Left>>)>;

fn leave_all(server: &Server, due: Vec<Source>) -> io::Result<Outcomes> {
    let spool = Spool::open(&server.core.spool)?;
    let attic = match &server.core.after {
        AfterArchive::Move { to, .. } => Some(open_attic(&server.core.spool, to)?),
        AfterArchive::Keep | AfterArchive::Delete { .. } => None,
    };
    let names: HashSet<&OsStr> = due.iter().filter_map(|source| source.listed.path.file_name()).collect();
    let open_files = OpenFiles::find(&names);
    let outcomes = due.into_iter().map(|source| {
        let left = leave(&spool, attic.as_ref(), &open_files, &source);
        (source, left)
    });
    Ok(outcomes.collect())
}

/// The directory that sources are moved to. Inside the spool they would be collected again.
fn open_attic(spool: &Path, attic: &Path) -> io::Result<Spool> {
    std::fs::create_dir_all(attic)?;
    if attic.canonicalize()?.starts_with(spool.canonicalize()?) {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "sources would be moved to a place inside the spool"));
    }
    Spool::open(attic)
}

fn leave(spool: &Spool, attic: Option<&Spool>, open_files: &OpenFiles, source: &Source) -> io::Result<Option<Left>> {
    use std::os::unix::fs::MetadataExt;

    let path = &source.listed.path;
    let fetched = Version { size_bytes: source.listed.size_bytes, mtime: source.listed.mtime };
    match spool.find_version(path)? {
        None => return Ok(Some(Left::Gone)),
        Some(version) if version != fetched => return Ok(Some(Left::Changed)),
        Some(_) => {}
    }
    let mut file = spool.open_file(path)?;
    if open_files.is_held(file.metadata()?.ino()) {
        return Ok(None);
    }
    if let Some(attic) = attic {
        spool.move_to(path, attic)?;
        return Ok(Some(Left::Moved));
    }
    let mut hasher = Sha256Hasher::default();
    let mut block = vec![0; 256 * 1024];
    loop {
        match io::Read::read(&mut file, &mut block)? {
            0 => break,
            read => hasher.update(&block[..read]),
        }
    }
    if Some(hasher.finish().0) != source.sha256 || spool.find_version(path)? != Some(fetched) {
        return Ok(Some(Left::Changed));
    }
    spool.remove(path)?;
    Ok(Some(Left::Removed))
}
