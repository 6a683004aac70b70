//! Between fetching and archiving: what waits for a worker, what rots meanwhile, what is stopped.

use std::fs;
use std::time::Duration;

use archive::{Sha256, SourceState};
use tokio_util::sync::CancellationToken;

use super::rig::{Rig, wav};

const CALL: &str = "acme/2026/11/21/out-102-101-20261121-073942-1795246782.0.wav";

/// In its first byte, by which it is no audio any more, and in its sound; of a PBX that has a tier, and of one that is not
/// known, whose recordings are kept as they came.
#[tokio::test]
async fn a_byte_that_rots_between_fetching_and_transcoding_is_fetched_again_and_never_archived() {
    for (path, at) in [(CALL, 0), (CALL, 20_000), ("nobody/1795246782.0.wav", 20_000)] {
        let rig = Rig::start().await;
        let bytes = wav(2, 300);
        rig.put(path, &bytes);
        rig.scan().await;
        let (lane, stop) = (rig.lane().await, CancellationToken::new());
        let busy = lane.shared.workers.places.acquire_many(rig.config.workers as u32).await.unwrap();
        let rots = async {
            rig.wait_for_spooled(1).await;
            let landed = fs::read_dir(&rig.landing).unwrap().next().unwrap().unwrap().path();
            let mut rotten = fs::read(&landed).unwrap();
            rotten[at] ^= 4;
            fs::write(&landed, rotten).unwrap();
            drop(busy);
        };
        let (collected, ()) = tokio::join!(lane.work_until_idle(&stop), rots);
        let collected = collected.unwrap();
        assert_eq!((collected.archived, collected.quarantined, collected.failed), (1, 0, 0), "{path} {at}");
        let recording = rig.only_recording().await;
        assert_eq!((recording.source_sha256, recording.duration_ms), (Sha256::of(&bytes), 2000), "{path} {at}");
        rig.finish().await;
    }
}

#[tokio::test]
async fn what_is_stopped_in_its_work_goes_on_where_it_was() {
    let mut rig = Rig::start().await;
    rig.config.shutdown_grace = Duration::ZERO;
    let file = rig.put(CALL, &wav(2, 300));
    rig.scan().await;
    let (lane, stop) = (rig.lane().await, CancellationToken::new());
    let busy = lane.shared.workers.places.acquire_many(rig.config.workers as u32).await.unwrap();
    let stops = async {
        rig.wait_for_spooled(1).await;
        stop.cancel();
    };
    let worked = tokio::time::timeout(Duration::from_secs(20), lane.work_until_idle(&stop));
    let (collected, ()) = tokio::join!(worked, stops);
    let collected = collected.expect("nobody waits for what waits").unwrap();
    assert_eq!((collected.archived, collected.quarantined), (0, 0));
    drop(busy);
    let waiting = rig.sources(SourceState::Spooled).await.remove(0);
    assert_eq!((waiting.attempts, waiting.error_code), (0, None));
    // What was fetched is not fetched again.
    fs::remove_file(file).unwrap();
    assert_eq!(rig.collect().await.archived, 1);
    rig.finish().await;
}
