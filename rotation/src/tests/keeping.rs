//! Reading everything again, and what waits for an operator after a restore.

use std::sync::Arc;
use std::time::Duration;

use archive::testing::TestArchive;
use archive::{Lease, Scrubbed};
use tokio_util::sync::CancellationToken;

use super::fixture::{DAY, hasty, record};
use crate::{BackupConfig, Backups, Outcome, Scrub, ScrubConfig};

async fn lease(t: &TestArchive) -> Lease {
    t.archive.acquire_lease("scrub", Duration::from_secs(60)).await.unwrap().expect("nobody else has it")
}

#[tokio::test]
async fn everything_is_read_again_when_half_of_the_time_is_over() {
    let t = TestArchive::start().await;
    let ids = [record(&t, "acme", "1", 100).await, record(&t, "acme", "2", 100).await];
    let scrub = Scrub::new(Arc::clone(&t.archive), ScrubConfig::default());
    let (lease, stop) = (lease(&t).await, CancellationToken::new());
    t.clock.advance(15 * DAY - DAY);
    assert_eq!(scrub.scrub_once(&lease, &stop).await.objects, 0, "nothing is due yet");
    let mut bytes = std::fs::read(t.stored_file(ids[0])).unwrap();
    bytes[50] ^= 1;
    std::fs::write(t.stored_file(ids[0]), &bytes).unwrap();
    t.clock.advance(DAY);
    let expected = Scrubbed { objects: 2, stored_bytes: 200, damaged: 1, ..Scrubbed::default() };
    assert_eq!(scrub.scrub_once(&lease, &stop).await, expected);
    assert_eq!(scrub.scrub_once(&lease, &stop).await, Scrubbed::default());
    bytes[50] ^= 1;
    std::fs::write(t.stored_file(ids[0]), &bytes).unwrap();
    t.clock.advance(16 * DAY);
    assert_eq!(scrub.scrub_once(&lease, &stop).await.sound_again, 1);
    t.finish().await;
}

#[tokio::test]
async fn scrubbing_keeps_to_its_pace_and_ends_when_asked_to() {
    let t = TestArchive::start().await;
    record(&t, "acme", "1", 1000).await;
    t.clock.advance(16 * DAY);
    // A thousand bytes would take a quarter of an hour.
    let config = ScrubConfig { bytes_per_second: 1, ..ScrubConfig::default() };
    let scrub = Scrub::new(Arc::clone(&t.archive), config);
    let (lease, stop) = (lease(&t).await, CancellationToken::new());
    let stopping = async {
        while t.archive.list_store_health().await.unwrap()[0].oldest < Some(t.now()) {
            tokio::task::yield_now().await;
        }
        stop.cancel();
    };
    let paused = tokio::time::timeout(Duration::from_secs(60), async {
        tokio::join!(scrub.scrub_once(&lease, &stop), stopping)
    });
    assert_eq!(paused.await.expect("it does not wait for the pause to end").0.objects, 1);
    t.finish().await;
}

#[tokio::test]
async fn an_orphan_is_looked_for_once_a_day_and_moved_on_the_second() {
    let t = TestArchive::start().await;
    let (store, at) = (t.directory.path().join("store"), t.now());
    let id = archive::RecordingId::new(at);
    let key = format!("{id}/{id}/2026/11/21/{id}-{id}.mp3");
    let stranger = store.join(&key);
    std::fs::create_dir_all(stranger.parent().unwrap()).unwrap();
    std::fs::write(&stranger, b"whose?").unwrap();
    let scrub = Scrub::new(Arc::clone(&t.archive), ScrubConfig::default());
    let (lease, stop) = (lease(&t).await, CancellationToken::new());
    for _ in 0..2 {
        scrub.scrub_once(&lease, &stop).await;
        t.clock.advance(DAY / 2);
        assert!(stranger.exists());
    }
    scrub.scrub_once(&lease, &stop).await;
    assert!(!stranger.exists());
    assert!(store.join("orphans").join(key).exists());
    t.finish().await;
}

#[tokio::test]
async fn nothing_rotates_while_a_restore_waits_for_its_confirmation() {
    let t = TestArchive::start().await;
    record(&t, "acme", "1", 100).await;
    t.clock.advance(31 * DAY);
    t.sabotage("INSERT INTO restores (id, from_catalogue, since, started_at, finished_at, report) VALUES (x'01', x'02', 0, 1, 2, '')")
        .await;
    let rotation = hasty(&t);
    let report = rotation.rotate_once().await.unwrap();
    assert_eq!((report.outcome.clone(), report.expired.recordings), (Outcome::RestoreUnconfirmed, 0));
    assert!(!report.is_clean() && report.to_string().contains("--confirm-restore"), "{report}");
    t.archive.confirm_restore(&archive::Actor::command_line()).await.unwrap();
    assert_eq!(rotation.rotate_once().await.unwrap().expired.recordings, 1);
    t.finish().await;
}

#[tokio::test]
async fn backups_come_by_their_schedule() {
    let t = TestArchive::start().await;
    let config = BackupConfig { schedule: "* * * * * *".to_owned(), ..BackupConfig::default() };
    let backups = Backups::new(Arc::clone(&t.archive), config);
    let stop = CancellationToken::new();
    let seen = async {
        while t.archive.list_backups().await.unwrap().is_empty() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        stop.cancel();
    };
    let both = tokio::time::timeout(Duration::from_secs(60), async { tokio::join!(backups.run(stop.clone()), seen) });
    both.await.expect("a backup comes").0.unwrap();
    t.finish().await;
}

#[test]
fn each_bad_value_is_named() {
    assert_eq!((ScrubConfig::default().validate(), BackupConfig::default().validate()), (Ok(()), Ok(())));
    for (config, key) in [
        (ScrubConfig { within: Duration::from_secs(60), ..ScrubConfig::default() }, "within"),
        (ScrubConfig { bytes_per_second: 0, ..ScrubConfig::default() }, "bytes_per_second"),
        (ScrubConfig { readers: 0, ..ScrubConfig::default() }, "readers"),
    ] {
        assert!(config.validate().unwrap_err().starts_with(key));
    }
    for (config, key) in [
        (BackupConfig { schedule: "now and then".to_owned(), ..BackupConfig::default() }, "schedule"),
        (BackupConfig { keep: 1, ..BackupConfig::default() }, "keep"),
    ] {
        assert!(config.validate().unwrap_err().starts_with(key));
    }
}
