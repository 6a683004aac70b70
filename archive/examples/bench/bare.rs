//! The limit: the same bytes in as many files, written and fsynced as a careful program does it, and nothing else.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use archive::StoreConfig;
use object_store::aws::AmazonS3Builder;
use object_store::path::Path as Key;
use object_store::{ObjectStoreExt, PutPayload};

use crate::Outcome;

/// Files, fsynced, with the directory that names them, by as many threads as there are writers.
pub(crate) fn to_disk(directory: &Path, writers: usize, recordings: usize, bytes: &[u8]) -> Outcome<Duration> {
    let next = AtomicUsize::new(0);
    let begun = Instant::now();
    std::thread::scope(|scope| {
        let threads: Vec<_> =
            (0..writers).map(|_| scope.spawn(|| write_files(directory, &next, recordings, bytes))).collect();
        threads.into_iter().try_for_each(|thread| thread.join().map_err(|_| "a writer panicked")?)
    })?;
    Ok(begun.elapsed())
}

fn write_files(directory: &Path, next: &AtomicUsize, recordings: usize, bytes: &[u8]) -> Outcome<()> {
    loop {
        let n = next.fetch_add(1, Ordering::Relaxed);
        if n >= recordings {
            return Ok(());
        }
        // As many directories as the archive makes: one a PBX and day.
        let directory = directory.join(format!("{:04}", n % crate::place::PBXS));
        fs::create_dir_all(&directory)?;
        let (unfinished, finished) = (directory.join(format!("{n}.part")), directory.join(format!("{n}.mp3")));
        let mut file = File::create(&unfinished)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(unfinished, finished)?;
        File::open(&directory)?.sync_all()?;
    }
}

/// Single puts into the same S3 server, as many at a time as there are writers.
pub(crate) async fn to_s3(config: &StoreConfig, writers: usize, recordings: usize, bytes: &[u8]) -> Outcome<Duration> {
    let mut builder = AmazonS3Builder::new().with_url(&config.url);
    for (key, value) in &config.options {
        builder = builder.with_config(key.parse()?, value);
    }
    let (store, next, payload) =
        (Arc::new(builder.build()?), Arc::new(AtomicUsize::new(0)), PutPayload::from(bytes.to_vec()));
    let begun = Instant::now();
    let mut working = tokio::task::JoinSet::new();
    for _ in 0..writers {
        let (store, next, payload) = (Arc::clone(&store), Arc::clone(&next), payload.clone());
        working.spawn(async move {
            loop {
                let n = next.fetch_add(1, Ordering::Relaxed);
                if n >= recordings {
                    return Ok::<(), object_store::Error>(());
                }
                let key = Key::from(format!("bare/{:04}/{n}.mp3", n % crate::place::PBXS));
                store.put(&key, payload.clone()).await?;
            }
        });
    }
    while let Some(ended) = working.join_next().await {
        ended??;
    }
    Ok(begun.elapsed())
}
