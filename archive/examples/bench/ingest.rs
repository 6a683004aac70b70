//! From a spooled file to an archived recording, on each catalogue and store.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use archive::{
    Archive, CoreServer, Delivered, Delivery, Direction, Leg, NewSource, PbxPlace, Sha256, SourceClaim, SystemClock,
};

use crate::place::{self, Engine, Place, StoreKind};
use crate::{Outcome, bare};

/// Deliveries at a time.
pub(crate) const WRITERS: usize = 8;
/// What a recording weighs: eight seconds of MP3 at 32 kbit/s. Longer ones only measure the disk.
const BYTES: usize = 32_000;
/// Sources that are entered, and claimed, at a time.
const BATCH: usize = 100;
/// A claim outlives the run.
const LEASE: Duration = Duration::from_secs(3600);

/// Runs every combination and prints a table.
pub(crate) async fn report(recordings: usize) -> Outcome<()> {
    println!("{recordings} recordings of {BYTES} bytes, {WRITERS} at a time, everything fsynced");
    println!("| store | catalogue | recordings/s | of the bare writing | the last tenth, of the first |");
    println!("|---|---|---|---|---|");
    let bytes: Vec<u8> = (0..BYTES).map(|n| (n * 7 + n / 251) as u8).collect();
    for kind in StoreKind::ALL {
        let limit = bare_rate(kind, recordings, &bytes).await?;
        println!("| {} | none: bare writing | {limit:.0} | 1 | - |", kind.name());
        for engine in Engine::ALL {
            let directory = tempfile::tempdir()?;
            let database = engine.database(directory.path()).await?;
            let tenths = run(&database, kind, directory.path(), recordings, &bytes).await?;
            place::drop_database(&database).await?;
            let rate = recordings as f64 / tenths.iter().sum::<Duration>().as_secs_f64();
            let growth = tenths[0].as_secs_f64() / tenths[tenths.len() - 1].as_secs_f64();
            println!("| {} | {} | {rate:.0} | {:.2} | {growth:.2} |", kind.name(), engine.name(), rate / limit);
        }
    }
    Ok(())
}

async fn bare_rate(kind: StoreKind, recordings: usize, bytes: &[u8]) -> Outcome<f64> {
    let directory = tempfile::tempdir()?;
    let place = Place::new(kind, directory.path()).await?;
    let took = match kind {
        StoreKind::Disk => bare::to_disk(&directory.path().join("bare"), recordings, bytes)?,
        StoreKind::S3 => bare::to_s3(&place.config, recordings, bytes).await?,
    };
    Ok(recordings as f64 / took.as_secs_f64())
}

/// How long each tenth of the recordings took.
async fn run(
    database: &str,
    kind: StoreKind,
    directory: &Path,
    recordings: usize,
    bytes: &[u8],
) -> Outcome<Vec<Duration>> {
    let place = Place::new(kind, directory).await?;
    let (archive, _) = place::open(database, place.config.clone()).await?;
    let server = archive.list_core_servers().await?.remove(0);
    let encoded = directory.join("encoded.mp3");
    std::fs::write(&encoded, bytes)?;
    let work = Arc::new(Work { archive, server, encoded, sha256: Sha256::of(bytes), size_bytes: bytes.len() as u64 });
    let mut tenths = Vec::new();
    for tenth in 0..10 {
        let begun = Instant::now();
        work.ingest(recordings * tenth / 10..recordings * (tenth + 1) / 10).await?;
        tenths.push(begun.elapsed());
    }
    work.archive.close().await?;
    Ok(tenths)
}

struct Work {
    archive: Arc<Archive>,
    server: CoreServer,
    encoded: PathBuf,
    sha256: Sha256,
    size_bytes: u64,
}

impl Work {
    /// All that the collector asks of the archive: discover, claim, note as spooled, deliver.
    async fn ingest(self: &Arc<Self>, range: std::ops::Range<usize>) -> Outcome<()> {
        let numbers: Vec<usize> = range.collect();
        let batches: Arc<[Vec<usize>]> = numbers.chunks(BATCH).map(<[usize]>::to_vec).collect();
        let next = Arc::new(AtomicUsize::new(0));
        let mut writers = tokio::task::JoinSet::new();
        for _ in 0..WRITERS {
            let (work, batches, next) = (Arc::clone(self), Arc::clone(&batches), Arc::clone(&next));
            writers.spawn(async move {
                while let Some(batch) = batches.get(next.fetch_add(1, Ordering::Relaxed)) {
                    work.ingest_batch(batch).await?;
                }
                Ok::<(), Box<dyn std::error::Error + Send + Sync>>(())
            });
        }
        while let Some(ended) = writers.join_next().await {
            ended??;
        }
        Ok(())
    }

    async fn ingest_batch(&self, batch: &[usize]) -> Outcome<()> {
        let now = archive::Clock::now(&SystemClock);
        let listed: Vec<NewSource> = batch
            .iter()
            .map(|n| NewSource {
                path: format!("{}/{n}.wav", place::pbx_code(n % place::PBXS)).into(),
                size_bytes: self.size_bytes,
                mtime: now,
                pbx_token: place::pbx_code(n % place::PBXS),
                call_ref: format!("1795246782.{n}"),
                leg: Leg::Mixed,
                direction: Direction::Out,
                caller: format!("{}", 100 + n % 400),
                callee: format!("+4930{:07}", n * 7_919 % 10_000_000),
                started_at: Some(now),
            })
            .collect();
        self.archive.discover(self.server.id, &listed).await?;
        for claim in self.archive.claim_sources(self.server.id, LEASE, batch.len() as u32).await? {
            self.archive.mark_spooled(&claim, self.sha256).await?;
            let place = self.archive.find_place(self.server.id, &claim.source.listed.pbx_token).await?;
            match self.archive.deliver(&self.delivery(claim, place)).await? {
                Delivered::Archived(_) => {}
                other => return Err(format!("expected a new recording, got {other:?}").into()),
            }
        }
        Ok(())
    }

    fn delivery(&self, claim: SourceClaim, place: Option<PbxPlace>) -> Delivery {
        Delivery {
            id: self.archive.new_recording_id(&claim),
            claim,
            core_server: self.server.clone(),
            place,
            file: self.encoded.clone(),
            size_bytes: self.size_bytes,
            sha256: self.sha256,
            source_sha256: self.sha256,
            format: "mp3".to_owned(),
            content_type: "audio/mpeg".to_owned(),
            bitrate_bps: 32_000,
            sample_rate: 8_000,
            channels: 1,
            duration_ms: 8_000,
            source_format: "wav/pcm_s16le".to_owned(),
            kept_original: false,
            quality: "{}".to_owned(),
            flags: vec![],
            peaks: vec![0; 256],
        }
    }
}
