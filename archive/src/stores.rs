//! Stores: the disk directories and S3 buckets that hold the objects.
//!
//! A key is written once and never again, each attempt under a new object id, so no write can overwrite whatever a
//! server thinks of conditional puts. A put returns only when the bytes are durable: fsync of file and directory on
//! disk, the server's acknowledgement of a checksummed upload on S3.

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{FutureExt, StreamExt};
use object_store::local::LocalFileSystem;
use object_store::path::Path as Key;
use object_store::{
    Attribute, Attributes, MultipartUpload, ObjectStore, ObjectStoreExt, PutMultipartOptions, PutOptions, PutPayload,
};
use tokio::io::{AsyncRead, AsyncReadExt};

use crate::error::{Error, Result};
use crate::hash::{Sha256, Sha256Hasher};
use crate::id::StoreId;

mod breaker;
mod failure;
mod health;
mod marker;
mod nested;
mod read;
mod s3;
mod secret;
mod settings;
mod side;
mod space;
#[cfg(test)]
mod tests;
mod unfinished;
mod versions;
mod watch;
mod xml;

pub use failure::Trouble;
pub(crate) use nested::refuse_nested;
pub(crate) use read::ByteStream;
pub use secret::look_up;
pub use settings::{nearest_key, store_keys};
pub(crate) use side::{CATALOGUE, LOST_AND_FOUND};

use health::{For, Health};
use s3::Bucket;
use settings::Settings;
use versions::Versioning;
use watch::Told;

/// One upload part; also the most of a recording that is in memory while it is put. S3 takes no smaller ones than 5 MiB.
const PART_BYTES: usize = 8 * 1024 * 1024;
/// Block of a put to disk.
const DISK_BLOCK_BYTES: usize = 1024 * 1024;
/// How long looking at the marker may take, all repetitions included.
const MARKER_TIME: Duration = Duration::from_secs(60);

/// How a store is reached.
#[derive(Clone)]
pub struct StoreConfig {
    /// Its name: what tiers name it by.
    pub name: String,
    /// `file:///srv/fonoteca` (or a plain path), or `s3://bucket/prefix`.
    pub url: String,
    /// Everything else that `[[stores]]` says, as text: see `settings`.
    pub options: Vec<(String, String)>,
}

impl StoreConfig {
    /// Looks whether everything it says can be worked with, without opening anything.
    ///
    /// # Errors
    /// The store, the key, and what to write instead.
    pub fn check(&self) -> Result<()> {
        Settings::read(self).map(|_| ())
    }

    /// The store that takes new recordings while this one is full.
    pub(crate) fn next(&self) -> Result<Option<String>> {
        Ok(Settings::read(self)?.next)
    }

    /// Where its files lie, if it is a disk.
    pub(crate) fn directory(&self) -> Option<PathBuf> {
        (!self.is_s3()).then(|| PathBuf::from(self.url.strip_prefix("file://").unwrap_or(&self.url)))
    }

    fn is_s3(&self) -> bool {
        self.url.starts_with("s3://")
    }
}

/// Without the values of its options: secrets are among them.
impl std::fmt::Debug for StoreConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let keys: Vec<&str> = self.options.iter().map(|(key, _)| key.as_str()).collect();
        f.debug_struct("StoreConfig").field("name", &self.name).field("url", &self.url).field("options", &keys).finish()
    }
}

/// How a store is.
#[derive(Clone, Debug, PartialEq)]
pub struct StoreState {
    /// It cannot be used at all, and why.
    pub down: Option<(Trouble, String)>,
    /// It takes nothing new, and why; reading goes on.
    pub takes_nothing: Option<(Trouble, String)>,
    /// Room on its disk.
    pub free_bytes: Option<u64>,
    /// Size of its disk.
    pub total_bytes: Option<u64>,
    /// When its disk will be down to its watermark, at the rate of the last days; `None` while it does not fill.
    pub days_until_full: Option<f64>,
}

/// Where the bytes of a put come from.
pub(crate) type Reader<'a> = dyn AsyncRead + Send + Unpin + 'a;

/// A store that is open.
#[derive(Debug)]
pub struct Store {
    id: StoreId,
    name: String,
    objects: Arc<dyn ObjectStore>,
    /// Where its files lie, if it is a disk.
    directory: Option<PathBuf>,
    /// Where its objects lie, if it is not.
    bucket: Option<Bucket>,
    settings: Settings,
    health: Health,
    versioning: Mutex<Option<Versioning>>,
    /// Puts were answered with a version, which may mean that it is kept.
    answers_versions: AtomicBool,
    told: Mutex<Told>,
}

impl Store {
    /// Opens the store, without looking at its marker yet.
    pub(crate) fn open(id: StoreId, config: &StoreConfig) -> Result<Self> {
        let settings = Settings::read(config)?;
        let (objects, directory, bucket): (Arc<dyn ObjectStore>, _, _) = match config.directory() {
            None => {
                let bucket = Bucket::open(config, &settings)?;
                (bucket.objects(), None, Some(bucket))
            }
            Some(path) => {
                std::fs::create_dir_all(&path).map_err(|error| {
                    let path = path.display();
                    Error::Invalid(format!("store \"{}\": cannot create directory {path}: {error}", config.name))
                })?;
                (Arc::new(LocalFileSystem::new_with_prefix(&path)?.with_fsync(true)), Some(path), None)
            }
        };
        Ok(Self {
            id,
            name: config.name.clone(),
            objects,
            directory,
            bucket,
            settings,
            health: Health::default(),
            versioning: Mutex::default(),
            answers_versions: AtomicBool::default(),
            told: Mutex::default(),
        })
    }

    /// Its id in the catalogue.
    pub fn id(&self) -> StoreId {
        self.id
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The store that takes new recordings while this one is full.
    pub(crate) fn next_store(&self) -> Option<&str> {
        self.settings.next.as_deref()
    }

    /// How many bytes of a landing zone may wait for it.
    pub(crate) fn spool_budget(&self) -> Option<u64> {
        self.settings.spool_budget
    }

    /// Puts the file at `path` under `key`, durably, and compares what arrived with `size` and `hash`.
    ///
    /// # Errors
    /// [`Error::Integrity`] when what was read or what arrived is not what was meant; [`Error::StoreUnavailable`].
    pub(crate) async fn put_file(&self, key: &str, path: &Path, size: u64, hash: Sha256) -> Result<()> {
        let put = async {
            let mut file = tokio::fs::File::open(path).await.map_err(Error::io(failure::OPEN_LOCAL))?;
            self.put_and_check(key, &mut file, size, hash).await
        };
        self.watched(For::Putting, put).await
    }

    /// As [`Store::put_file`], from whatever can be read.
    pub(crate) async fn put_from(&self, key: &str, bytes: &mut Reader<'_>, size: u64, hash: Sha256) -> Result<()> {
        self.watched(For::Putting, self.put_and_check(key, bytes, size, hash)).await
    }

    async fn put_and_check(&self, key: &str, bytes: &mut Reader<'_>, size: u64, hash: Sha256) -> Result<()> {
        let location = parse_key(key)?;
        let (sent_hash, sent_size) = if size <= PART_BYTES as u64 && self.directory.is_none() {
            self.put_small(&location, bytes).await?
        } else {
            self.put_parts(&location, bytes, size).await?
        };
        if (sent_hash, sent_size) != (hash, size) {
            return Err(Error::integrity("objects", key, "the file changed while it was put"));
        }
        self.check_arrived(key, &location, size, hash).await
    }

    async fn put_small(&self, location: &Key, file: &mut Reader<'_>) -> Result<(Sha256, u64)> {
        let mut bytes = Vec::new();
        file.take(PART_BYTES as u64 + 1).read_to_end(&mut bytes).await.map_err(Error::io(failure::READ_LOCAL))?;
        let mut hasher = Sha256Hasher::default();
        hasher.update(&bytes);
        // Without a condition: the key is this attempt's alone, and a plain put can be repeated when its answer is lost.
        let options = PutOptions { attributes: self.attributes(), ..PutOptions::default() };
        let put = self.objects.put_opts(location, PutPayload::from(bytes), options).await?;
        self.note_version(put.version.as_deref());
        Ok(hasher.finish())
    }

    async fn put_parts(&self, location: &Key, file: &mut Reader<'_>, size: u64) -> Result<(Sha256, u64)> {
        let options = PutMultipartOptions { attributes: self.attributes(), ..PutMultipartOptions::default() };
        let mut upload = self.objects.put_multipart_opts(location, options).await?;
        let sent = match self.send_parts(&mut *upload, file).await {
            Ok(sent) => sent,
            Err(error) => {
                // Whatever an abort leaves, the row in state `writing` outlives it and is swept, and so is the upload.
                let _ = upload.abort().await;
                return Err(error);
            }
        };
        match upload.complete().await {
            Ok(put) => self.note_version(put.version.as_deref()),
            Err(error) => {
                // The answer may be all that was lost: then it is there, whole, and the upload no longer is.
                let arrived = self.objects.head(location).await.is_ok_and(|meta| meta.size == size);
                if self.directory.is_some() || !arrived {
                    let _ = upload.abort().await;
                    return Err(error.into());
                }
            }
        }
        Ok(sent)
    }

    fn attributes(&self) -> Attributes {
        let class = self.settings.storage_class.clone();
        class.map(|class| (Attribute::StorageClass, class)).into_iter().collect()
    }

    async fn send_parts(&self, upload: &mut dyn MultipartUpload, file: &mut Reader<'_>) -> Result<(Sha256, u64)> {
        let block = if self.directory.is_some() { DISK_BLOCK_BYTES } else { PART_BYTES };
        let mut hasher = Sha256Hasher::default();
        loop {
            let mut part = Vec::with_capacity(block);
            (&mut *file).take(block as u64).read_to_end(&mut part).await.map_err(Error::io(failure::READ_LOCAL))?;
            if part.is_empty() {
                return Ok(hasher.finish());
            }
            hasher.update(&part);
            upload.put_part(PutPayload::from(part)).await?;
        }
    }

    /// A disk's bytes are read back and hashed; S3 has checked the upload's checksum itself and is asked for the size.
    async fn check_arrived(&self, key: &str, location: &Key, size: u64, hash: Sha256) -> Result<()> {
        let stored = if self.directory.is_some() {
            self.hash_of(key).await?
        } else {
            (hash, self.objects.head(location).await?.size)
        };
        if stored == (hash, size) {
            Ok(())
        } else {
            Err(Error::integrity("objects", key, "what the store holds is not what was put"))
        }
    }

    /// Reads the whole object and hashes it.
    pub(crate) async fn hash_of(&self, key: &str) -> Result<(Sha256, u64)> {
        let mut stream = self.read(key, 0, None).await?;
        let mut hasher = Sha256Hasher::default();
        while let Some(bytes) = stream.next().await {
            hasher.update(&bytes?);
        }
        Ok(hasher.finish())
    }

    /// The object's size; `None` when the store does not have it.
    pub(crate) async fn size_of(&self, key: &str) -> Result<Option<u64>> {
        let head = async { Ok(self.objects.head(&parse_key(key)?).await?) };
        match self.watched(For::Reading, head).await {
            Ok(meta) => Ok(Some(meta.size)),
            Err(Error::Store(object_store::Error::NotFound { .. })) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Removes the object durably, in every version; that it is not there is as good. On a disk also what a put that was cut off
    /// has left beside it, which no listing shows.
    pub(crate) async fn remove(&self, key: &str) -> Result<()> {
        self.watched(For::Removing, async {
            if let Some(directory) = &self.directory {
                match tokio::fs::remove_file(directory.join(format!("{key}#1"))).await {
                    Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                        return Err(Error::Io { context: "remove an unfinished object", source: error });
                    }
                    _ => {}
                }
            }
            let location = parse_key(key)?;
            if self.removes_versions().await {
                return self.remove_versions(&location).await;
            }
            match self.objects.delete(&location).await {
                Ok(()) | Err(object_store::Error::NotFound { .. }) => {}
                Err(error) => return Err(error.into()),
            }
            match &self.directory {
                Some(directory) => sync_parent(&directory.join(key)).await,
                None => Ok(()),
            }
        })
        .await
    }

    /// Every key of an object in the store, with its size: neither the marker, nor what is kept of the catalogue, nor
    /// lost+found.
    pub(crate) fn list(&self) -> impl futures_util::Stream<Item = Result<(String, u64)>> + '_ {
        self.objects.list(None).filter_map(|meta| async move {
            match meta {
                Ok(meta) if side::is_beside(meta.location.as_ref()) => None,
                Ok(meta) => Some(Ok((meta.location.to_string(), meta.size))),
                Err(error) => Some(Err(error.into())),
            }
        })
    }

    async fn get_bytes(&self, key: &str) -> Result<Option<Bytes>> {
        let get = async {
            let result = self.objects.get(&parse_key(key)?).await?;
            Ok(result.bytes().await?)
        };
        let got = self.watched(For::Marker, tokio::time::timeout(MARKER_TIME, get).map(flatten)).await;
        match got {
            Ok(bytes) => Ok(Some(bytes)),
            Err(Error::Store(object_store::Error::NotFound { .. })) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// Makes durable what was removed from the file's directory: else it would come back after a power failure, as an object
/// of which the catalogue knows no more.
async fn sync_parent(file: &Path) -> Result<()> {
    let Some(parent) = file.parent() else { return Ok(()) };
    let synced = match tokio::fs::File::open(parent).await {
        Ok(directory) => directory.sync_all().await,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    };
    synced.map_err(Error::io("make the removal of an object durable"))
}

/// A disk that hangs (a dead file server's) gives no error.
fn flatten<T>(outcome: Result<Result<T>, tokio::time::error::Elapsed>) -> Result<T> {
    outcome.unwrap_or_else(|elapsed| {
        let source = std::io::Error::new(std::io::ErrorKind::TimedOut, elapsed);
        Err(Error::Io { context: "read the store's marker", source })
    })
}

/// Keys are stored verbatim: ids, digits and an extension need no escaping, and nothing else is ever a key.
fn parse_key(key: &str) -> Result<Key> {
    Key::parse(key).map_err(|error| Error::integrity("objects", key, error.to_string()))
}
