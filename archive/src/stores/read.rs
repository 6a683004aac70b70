//! Reading an object: large blocks, one hop to the blocking threads for each, and never more than one block in memory.

use std::os::unix::fs::FileExt;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream::{self, BoxStream, StreamExt};
use object_store::{GetOptions, GetRange, GetResultPayload, ObjectStore};

use super::health::For;
use super::{Store, parse_key};
use crate::error::{Error, Result};

/// The bytes of an object, block by block.
pub(crate) type ByteStream = BoxStream<'static, Result<Bytes>>;

/// What is read at once. Smaller blocks cost a hop each (8 KiB ones, ten times the CPU); larger ones only memory.
const BLOCK_BYTES: u64 = 256 * 1024;

impl Store {
    /// Streams `key` from `offset` on; `length` bytes, or to the end.
    pub(crate) async fn read(&self, key: &str, offset: u64, length: Option<u64>) -> Result<ByteStream> {
        if length == Some(0) {
            return Ok(stream::empty().boxed());
        }
        // An empty range is an error to object_store, and the whole object needs none.
        let range = match length {
            Some(length) => Some(GetRange::Bounded(offset..offset + length)),
            None if offset > 0 => Some(GetRange::Offset(offset)),
            None => None,
        };
        let options = GetOptions { range, ..GetOptions::default() };
        let get = async { Ok(self.objects.get_opts(&parse_key(key)?, options).await?) };
        let result = self.watched(For::Reading, get).await?;
        let range = result.range.clone();
        Ok(match result.payload {
            GetResultPayload::File(file, _) => read_file(Arc::new(file), range.start, range.end),
            GetResultPayload::Stream(stream) => stream.map(|bytes| bytes.map_err(Error::from)).boxed(),
        })
    }
}

fn read_file(file: Arc<std::fs::File>, from: u64, to: u64) -> ByteStream {
    stream::try_unfold(from, move |at| {
        let file = Arc::clone(&file);
        async move {
            if at >= to {
                return Ok(None);
            }
            let length = usize::try_from((to - at).min(BLOCK_BYTES)).expect("no block is longer than BLOCK_BYTES");
            let block = tokio::task::spawn_blocking(move || {
                let mut block = vec![0; length];
                file.read_exact_at(&mut block, at).map(|()| block)
            })
            .await
            .map_err(|error| Error::Io { context: "read an object", source: std::io::Error::other(error) })?
            .map_err(Error::io("read an object"))?;
            Ok(Some((Bytes::from(block), at + length as u64)))
        }
    })
    .boxed()
}
