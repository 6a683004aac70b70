//! A store whose requests fail when a test has them fail; otherwise it is the store that it stands in front of.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use futures_util::stream::{self, BoxStream, StreamExt};
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result, UploadPart,
};

use crate::fail::{Operation, fail_point};

/// The store, in front of which requests can fail.
pub(crate) fn failing_store(store: Arc<dyn ObjectStore>) -> Arc<dyn ObjectStore> {
    Arc::new(FailingStore(store))
}

fn point(operation: Operation) -> Result<()> {
    fail_point(operation).map_err(|error| Error::Generic { store: "failing", source: error.into() })
}

/// Asks, unless the request fails; and gives the answer, unless that is lost.
async fn ask<T>(request: impl Future<Output = Result<T>>) -> Result<T> {
    point(Operation::Store)?;
    let answer = request.await?;
    point(Operation::StoreAnswer)?;
    Ok(answer)
}

#[derive(Debug)]
struct FailingStore(Arc<dyn ObjectStore>);

impl fmt::Display for FailingStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[async_trait]
impl ObjectStore for FailingStore {
    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        ask(self.0.put_opts(location, payload, options)).await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        let upload = ask(self.0.put_multipart_opts(location, options)).await?;
        Ok(Box::new(FailingUpload(upload)))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        point(Operation::Store)?;
        self.0.get_opts(location, options).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let asked = locations.map(|location| location.and_then(|location| point(Operation::Store).map(|()| location)));
        let gone = self.0.delete_stream(asked.boxed());
        gone.map(|location| location.and_then(|location| point(Operation::StoreAnswer).map(|()| location))).boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        match point(Operation::Store) {
            Ok(()) => self.0.list(prefix),
            Err(error) => stream::once(std::future::ready(Err(error))).boxed(),
        }
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        point(Operation::Store)?;
        self.0.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        ask(self.0.copy_opts(from, to, options)).await
    }
}

#[derive(Debug)]
struct FailingUpload(Box<dyn MultipartUpload>);

#[async_trait]
impl MultipartUpload for FailingUpload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        match point(Operation::Store) {
            Ok(()) => {
                let part = self.0.put_part(data);
                Box::pin(async move {
                    part.await?;
                    point(Operation::StoreAnswer)
                })
            }
            Err(error) => Box::pin(std::future::ready(Err(error))),
        }
    }

    async fn complete(&mut self) -> Result<PutResult> {
        ask(self.0.complete()).await
    }

    async fn abort(&mut self) -> Result<()> {
        ask(self.0.abort()).await
    }
}
