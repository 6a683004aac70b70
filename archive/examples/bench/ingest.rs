//! From a spooled file to an archived recording, on each catalogue and store.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use archive::{Archive, CoreServer, Delivered, Delivery, Direction, Leg, NewSource, PbxPlace, Sha256, SourceClaim};
use tokio::task::JoinSet;

use crate::place::{self, Engine, Place, StoreKind};
use crate::{Outcome, bare};

/// Sources of a core server that are in work at a time: the collector's `claims_per_core_server`.
const CLAIMS: usize = 8;
/// What a recording weighs: eight seconds of MP3 at 32 kbit/s. Longer ones only measure the disk.
const BYTES: usize = 32_000;
/// A claim outlives the run.
const LEASE: Duration = Duration::from_secs(3600);

/// Runs every combination with so many core servers, and prints a table.
pub(crate) async fn report(recordings: usize, core_servers: usize) -> Outcome<()> {
    let at_a_time = core_servers * CLAIMS;
    println!("{recordings} recordings of {BYTES} bytes from {core_servers} core servers, {at_a_time} at a time");
    println!("| store | catalogue | recordings/s | of the bare writing | the last tenth, of the first |");
    println!("|---|---|---|---|---|");
    let bytes: Vec<u8> = (0..BYTES).map(|n| (n * 7 + n / 251) as u8).collect();
    // Nothing is removed before the end: a file system that has just lost many files is slow to make others.
    let everything = tempfile::tempdir()?;
    for kind in StoreKind::ALL {
        let directory = everything.path().join(kind.name()).join("bare");
        let limit = bare_rate(kind, &directory, at_a_time, recordings, &bytes).await?;
        println!("| {} | none: bare writing | {limit:.0} | 1 | - |", kind.name());
        for engine in Engine::ALL {
            let directory = everything.path().join(kind.name()).join(engine.name());
            std::fs::create_dir_all(&directory)?;
            let database = engine.database(&directory).await?;
            let tenths = run(&database, kind, &directory, core_servers, recordings, &bytes).await?;
            place::drop_database(&database).await?;
            let rate = recordings as f64 / tenths.iter().sum::<Duration>().as_secs_f64();
            let growth = tenths[0].as_secs_f64() / tenths[tenths.len() - 1].as_secs_f64();
            println!("| {} | {} | {rate:.0} | {:.2} | {growth:.2} |", kind.name(), engine.name(), rate / limit);
        }
    }
    Ok(())
}

async fn bare_rate(kind: StoreKind, directory: &Path, writers: usize, recordings: usize, bytes: &[u8]) -> Outcome<f64> {
    let place = Place::new(kind, directory).await?;
    let took = match kind {
        StoreKind::Disk => bare::to_disk(&directory.join("bare"), writers, recordings, bytes)?,
        StoreKind::S3 => bare::to_s3(&place.config, writers, recordings, bytes).await?,
    };
    Ok(recordings as f64 / took.as_secs_f64())
}

/// How long each tenth of the recordings took.
async fn run(
    database: &str,
    kind: StoreKind,
    directory: &Path,
    core_servers: usize,
    recordings: usize,
    bytes: &[u8],
) -> Outcome<Vec<Duration>> {
    let place = Place::new(kind, directory).await?;
    let (archive, _) = place::open(database, place.config.clone()).await?;
    let encoded = directory.join("encoded.mp3");
    std::fs::write(&encoded, bytes)?;
    let mut lanes = Vec::new();
    for server in archive.list_core_servers().await?.into_iter().take(core_servers) {
        let (archive, encoded) = (Arc::clone(&archive), encoded.clone());
        let (sha256, size_bytes) = (Sha256::of(bytes), bytes.len() as u64);
        lanes.push(Arc::new(Lane { archive, server, encoded, sha256, size_bytes }));
    }
    let mut tenths = Vec::new();
    for tenth in 0..10 {
        let (begun, mut working) = (Instant::now(), JoinSet::new());
        for (n, lane) in lanes.iter().enumerate() {
            let of_lane = recordings / lanes.len();
            let first = n * of_lane;
            let numbers = first + of_lane * tenth / 10..first + of_lane * (tenth + 1) / 10;
            working.spawn(Arc::clone(lane).collect(numbers));
        }
        while let Some(ended) = working.join_next().await {
            ended??;
        }
        tenths.push(begun.elapsed());
    }
    archive.close().await?;
    Ok(tenths)
}

/// All that the collector asks of the archive for the recordings of one core server.
struct Lane {
    archive: Arc<Archive>,
    server: CoreServer,
    encoded: PathBuf,
    sha256: Sha256,
    size_bytes: u64,
}

impl Lane {
    /// Scans, then works on what it found until nothing waits.
    async fn collect(self: Arc<Self>, numbers: std::ops::Range<usize>) -> Outcome<()> {
        let listed: Vec<NewSource> = numbers.map(|n| self.listed(n)).collect();
        self.archive.discover(self.server.id, &listed).await?;
        let mut in_work = JoinSet::new();
        loop {
            let room = CLAIMS - in_work.len();
            for claim in self.archive.claim_sources(self.server.id, LEASE, room as u32).await? {
                in_work.spawn(Arc::clone(&self).work(claim));
            }
            match in_work.join_next().await {
                Some(ended) => ended??,
                None => return Ok(()),
            }
            while let Some(ended) = in_work.try_join_next() {
                ended??;
            }
        }
    }

    fn listed(&self, n: usize) -> NewSource {
        let now = self.archive.clock().now();
        NewSource {
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
        }
    }

    async fn work(self: Arc<Self>, claim: SourceClaim) -> Outcome<()> {
        let (archive, sha256) = (&self.archive, self.sha256);
        let place = archive.find_place(self.server.id, &claim.source.listed.pbx_token).await?;
        archive.list_shut_stores(place.as_ref()).await?;
        archive.mark_spooled(&claim, sha256).await?;
        if archive.find_delivered(&claim, &self.server, place.as_ref(), sha256).await?.is_some() {
            return Err("a recording that is here already".into());
        }
        let place = archive.place_to_repair(&claim, place).await?;
        archive.check_stores(place.as_ref()).await?;
        match archive.deliver(&self.delivery(claim, place)).await? {
            Delivered::Archived(_) => Ok(()),
            other => Err(format!("expected a new recording, got {other:?}").into()),
        }
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
