//! Stores: the disk directories and S3 buckets that hold the objects.
//!
//! A key is written once and never again, each attempt under a new object id, so no write can overwrite whatever a
//! server thinks of conditional puts. A put returns only when the bytes are durable: fsync of file and directory on
//! disk, the server's acknowledgement of a checksummed upload on S3.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use object_store::aws::{AmazonS3Builder, Checksum};
use object_store::local::LocalFileSystem;
use object_store::path::Path as Key;
use object_store::prefix::PrefixStore;
use object_store::{
    BackoffConfig, ClientOptions, MultipartUpload, ObjectStore, ObjectStoreExt, PutMode, PutOptions, PutPayload,
    RetryConfig,
};
use tokio::io::AsyncReadExt;

use crate::error::{Error, Result};
use crate::hash::{Sha256, Sha256Hasher};
use crate::id::StoreId;

mod marker;
mod read;
#[cfg(test)]
mod tests;

pub(crate) use read::ByteStream;

/// One upload part; also the most of a recording that is in memory while it is put. S3 takes no smaller ones than 5 MiB.
const PART_BYTES: usize = 8 * 1024 * 1024;
/// Block of a put to disk.
const DISK_BLOCK_BYTES: usize = 1024 * 1024;
/// How long one call to a store may be retried before it fails as transient.
const RETRY_TIMEOUT: Duration = Duration::from_secs(20);

/// How a store is reached.
#[derive(Clone, Debug)]
pub struct StoreConfig {
    /// Its name: what tiers name it by.
    pub name: String,
    /// `file:///srv/fonoteca` (or a plain path), or `s3://bucket/prefix`.
    pub url: String,
    /// For S3: object_store's own keys (`endpoint`, `region`, `access_key_id` …); credentials come from the environment
    /// or the instance's role where they are not here.
    pub options: Vec<(String, String)>,
}

/// A store that is open.
#[derive(Debug)]
pub struct Store {
    id: StoreId,
    name: String,
    objects: Arc<dyn ObjectStore>,
    /// Where its files lie, if it is a disk.
    directory: Option<PathBuf>,
}

impl Store {
    /// Opens the store, without looking at its marker yet.
    pub(crate) fn open(id: StoreId, config: &StoreConfig) -> Result<Self> {
        let (objects, directory): (Arc<dyn ObjectStore>, Option<PathBuf>) = if config.url.starts_with("s3://") {
            (open_s3(config)?, None)
        } else {
            let path = config.url.strip_prefix("file://").unwrap_or(&config.url);
            std::fs::create_dir_all(path).map_err(|error| {
                Error::Invalid(format!("store \"{}\": cannot create directory {path}: {error}", config.name))
            })?;
            (Arc::new(LocalFileSystem::new_with_prefix(path)?.with_fsync(true)), Some(PathBuf::from(path)))
        };
        Ok(Self { id, name: config.name.clone(), objects, directory })
    }

    /// Its id in the catalogue.
    pub fn id(&self) -> StoreId {
        self.id
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Puts the file at `path` under `key`, durably, and compares what arrived with `size` and `hash`.
    ///
    /// # Errors
    /// [`Error::Integrity`] when what was read or what arrived is not what was meant; a store's own failures.
    pub(crate) async fn put_file(&self, key: &str, path: &Path, size: u64, hash: Sha256) -> Result<()> {
        let location = parse_key(key)?;
        let mut file = tokio::fs::File::open(path).await.map_err(Error::io("open the file to archive"))?;
        let (sent_hash, sent_size) = if size <= PART_BYTES as u64 && self.directory.is_none() {
            self.put_small(&location, &mut file).await?
        } else {
            self.put_parts(&location, &mut file).await?
        };
        if (sent_hash, sent_size) != (hash, size) {
            return Err(Error::integrity("objects", key, "the file changed while it was put"));
        }
        self.check_arrived(key, &location, size, hash).await
    }

    async fn put_small(&self, location: &Key, file: &mut tokio::fs::File) -> Result<(Sha256, u64)> {
        let mut bytes = Vec::new();
        file.take(PART_BYTES as u64 + 1)
            .read_to_end(&mut bytes)
            .await
            .map_err(Error::io("read the file to archive"))?;
        let mut hasher = Sha256Hasher::default();
        hasher.update(&bytes);
        let options = PutOptions { mode: PutMode::Create, ..PutOptions::default() };
        match self.objects.put_opts(location, PutPayload::from(bytes), options).await {
            // The key is this attempt's alone: a retried request whose first answer was lost finds itself.
            Ok(_) | Err(object_store::Error::AlreadyExists { .. }) => Ok(hasher.finish()),
            Err(error) => Err(error.into()),
        }
    }

    async fn put_parts(&self, location: &Key, file: &mut tokio::fs::File) -> Result<(Sha256, u64)> {
        let mut upload = self.objects.put_multipart(location).await?;
        match self.send_parts(&mut *upload, file).await {
            Ok(sent) => {
                upload.complete().await?;
                Ok(sent)
            }
            Err(error) => {
                // Whatever an abort leaves, the row in state `writing` outlives it and is swept.
                let _ = upload.abort().await;
                Err(error)
            }
        }
    }

    async fn send_parts(&self, upload: &mut dyn MultipartUpload, file: &mut tokio::fs::File) -> Result<(Sha256, u64)> {
        let block = if self.directory.is_some() { DISK_BLOCK_BYTES } else { PART_BYTES };
        let mut hasher = Sha256Hasher::default();
        loop {
            let mut part = Vec::with_capacity(block);
            (&mut *file)
                .take(block as u64)
                .read_to_end(&mut part)
                .await
                .map_err(Error::io("read the file to archive"))?;
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
        match self.objects.head(&parse_key(key)?).await {
            Ok(meta) => Ok(Some(meta.size)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Removes the object, durably; that it is not there is as good. On a disk also what a put that was cut off has left
    /// beside it, which no listing shows.
    pub(crate) async fn remove(&self, key: &str) -> Result<()> {
        if let Some(directory) = &self.directory {
            match tokio::fs::remove_file(directory.join(format!("{key}#1"))).await {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(Error::Io { context: "remove an unfinished object", source: error });
                }
                _ => {}
            }
        }
        match self.objects.delete(&parse_key(key)?).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => {}
            Err(error) => return Err(error.into()),
        }
        match &self.directory {
            Some(directory) => sync_parent(&directory.join(key)).await,
            None => Ok(()),
        }
    }

    /// Every key in the store but the marker, with its size.
    pub(crate) fn list(&self) -> impl futures_util::Stream<Item = Result<(String, u64)>> + '_ {
        self.objects.list(None).filter_map(|meta| async move {
            match meta {
                Ok(meta) if meta.location.as_ref() == marker::KEY => None,
                Ok(meta) => Some(Ok((meta.location.to_string(), meta.size))),
                Err(error) => Some(Err(error.into())),
            }
        })
    }

    async fn get_bytes(&self, key: &str) -> Result<Option<Bytes>> {
        match self.objects.get(&parse_key(key)?).await {
            Ok(result) => Ok(Some(result.bytes().await?)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(error.into()),
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

fn open_s3(config: &StoreConfig) -> Result<Arc<dyn ObjectStore>> {
    let mut builder = AmazonS3Builder::from_env()
        .with_url(&config.url)
        // Buckets with Object Lock refuse uploads without a checksum.
        .with_checksum_algorithm(Checksum::SHA256)
        .with_client_options(ClientOptions::new().with_timeout(Duration::from_secs(60)))
        .with_retry(RetryConfig { backoff: BackoffConfig::default(), max_retries: 4, retry_timeout: RETRY_TIMEOUT });
    for (key, value) in &config.options {
        let key = key.parse().map_err(|_| {
            Error::Invalid(format!("store \"{}\": \"{key}\" is not an option of an S3 store", config.name))
        })?;
        builder = builder.with_config(key, value);
    }
    let bucket = builder.build()?;
    let prefix = config.url.trim_start_matches("s3://").split_once('/').map_or("", |(_, prefix)| prefix);
    Ok(match prefix.trim_matches('/') {
        "" => Arc::new(bucket),
        prefix => Arc::new(PrefixStore::new(bucket, prefix)),
    })
}

/// Keys are stored verbatim: ids, digits and an extension need no escaping, and nothing else is ever a key.
fn parse_key(key: &str) -> Result<Key> {
    Key::parse(key).map_err(|error| Error::integrity("objects", key, error.to_string()))
}
