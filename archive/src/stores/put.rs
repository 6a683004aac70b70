//! Putting an object: streamed, hashed on its way, and compared with what was meant before anybody relies on it.

use std::path::Path;

use object_store::path::Path as Key;
use object_store::{
    Attribute, Attributes, MultipartUpload, ObjectStore, ObjectStoreExt, PutMultipartOptions, PutOptions, PutPayload,
};
use tokio::io::{AsyncRead, AsyncReadExt};

use super::health::For;
use super::{Store, failure, parse_key};
use crate::crash::crash_point;
use crate::error::{Error, Result};
use crate::hash::{Sha256, Sha256Hasher};

/// One upload part; also the most of a recording that is in memory while it is put. S3 takes no smaller ones than 5 MiB.
pub(super) const PART_BYTES: usize = 8 * 1024 * 1024;
/// Block of a put to disk.
const DISK_BLOCK_BYTES: usize = 1024 * 1024;

/// Where the bytes of a put come from.
pub(crate) type Reader<'a> = dyn AsyncRead + Send + Unpin + 'a;

impl Store {
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
        crash_point("parts put");
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
        crash_point("upload completed");
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
            crash_point("part put");
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
}
