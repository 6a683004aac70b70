//! Copies and moves between stores of both kinds: a disk, and an S3 server in this process.

use std::time::Duration;

use futures_util::TryStreamExt;

use super::make::Work;
use crate::db::params;
use crate::error::Result;
use crate::testing::{Call, S3Server, TestArchive, s3_store};
use crate::{CopyOutcome, Error, Pace, Scope};

const DAY: Duration = Duration::from_secs(86_400);

/// More than the sockets between swallow. An upload in parts is the store suite's to show: this server names its files by
/// the key, and has no room for ours then.
fn long_recording() -> Vec<u8> {
    (0..8_000_000_u32).map(|n| (n % 251) as u8).collect()
}

/// An archive with a `disk` and a `bucket`, and what keeps the bucket's server alive.
async fn with_bucket() -> (TestArchive, S3Server) {
    let t = TestArchive::start().await;
    let server = S3Server::start(&t.directory.path().join("s3")).await;
    let stores = vec![t.disk(), s3_store("bucket", server.address)];
    (t.with_store_configs(stores).await, server)
}

#[tokio::test]
async fn a_recording_moves_from_disk_to_s3_and_back_byte_for_byte() {
    let (t, _server) = with_bucket().await;
    t.set_tier(&["disk"], None, &[(30, &["bucket"]), (60, &["disk"])]).await;
    let bytes = long_recording();
    let long = t.record(&Call::new("acme", "1.1", t.now(), &bytes)).await;
    let short = t.record(&Call::new("acme", "1.2", t.now(), b"short")).await;
    for (store, left) in [("bucket", "disk"), ("disk", "bucket")] {
        // Somebody listens slowly across the move: the rest comes from where the recording then lies.
        let reader = t.archive.open_audio(Scope::Platform, long).await.unwrap();
        let mut listened = reader.read(1000, 7_000_000);
        let mut heard = listened.try_next().await.unwrap().unwrap().to_vec();
        t.clock.advance(31 * DAY);
        assert_eq!(t.archive.begin_moves(10).await.unwrap(), 2);
        let made = t.make_copies().await;
        assert!(made.iter().all(|it| it.outcome == CopyOutcome::Done), "{made:?}");
        assert_eq!(
            (t.stores_of(long).await, t.stores_of(short).await),
            (vec![store.to_owned()], vec![store.to_owned()])
        );
        assert_eq!(t.sweep_replaced().await, 2, "out of the {left}");
        while let Some(block) = listened.try_next().await.unwrap() {
            heard.extend(block);
        }
        assert!(heard == bytes[1000..7_001_000], "heard across the move to the {store}");
        assert!(t.read(long).await.unwrap() == bytes);
        assert_eq!(t.read(short).await.unwrap(), b"short");
    }
    t.finish().await;
}

#[tokio::test]
async fn what_a_claim_was_for_is_looked_at_again_when_it_commits() {
    let t = TestArchive::start().await.with_stores(&["disk", "second", "third"]).await;
    t.set_tier(&["disk", "second"], Some(1), &[(30, &["third"])]).await;
    let id = t.record(&Call::new("acme", "1.1", t.now(), b"one")).await;
    let pace = Pace::new(None);
    let round = t.archive.begin_copy_round(&pace).await.unwrap();
    // Somebody else has claimed it meanwhile, and is at work.
    let late = t.archive.claim_copy(&round).await.unwrap().unwrap();
    let recording = t.archive.find_to_copy(&late).await.unwrap().unwrap();
    t.end_pauses().await;
    let claim = t.archive.claim_copy(&round).await.unwrap().unwrap();
    let committed = t.archive.commit_copies(&late, &recording, &Work::default()).await;
    assert!(matches!(committed, Err(Error::Conflict(_))));
    // It has begun to move meanwhile: it belongs elsewhere now.
    let recording = t.archive.find_to_copy(&claim).await.unwrap().unwrap();
    t.clock.advance(31 * DAY);
    assert_eq!(t.archive.begin_moves(10).await.unwrap(), 1);
    let committed = t.archive.commit_copies(&claim, &recording, &Work::default()).await;
    assert!(matches!(committed, Err(Error::Conflict(_))));
    t.end_pauses().await;
    assert_eq!(t.make_copies().await[0].outcome, CopyOutcome::Done);
    assert_eq!(t.stores_of(id).await, ["third"]);
    t.sweep_replaced().await;
    t.finish().await;
}

/// What changes the claimed recording's row, and commits a while later.
async fn work_goes_on_while_its_prolonging_waits_for_it(t: TestArchive) {
    let t = t.with_stores(&["disk", "second"]).await;
    t.set_tier(&["disk", "second"], Some(1), &[]).await;
    t.record(&Call::new("acme", "1.1", t.now(), b"one")).await;
    let pace = Pace::new(None);
    let round = t.archive.begin_copy_round(&pace).await.unwrap();
    let claim = t.archive.claim_copy(&round).await.unwrap().unwrap();
    let work = async {
        let mut tx = t.archive.db.begin().await?;
        tx.execute("UPDATE recordings SET copies_store = 'x' WHERE id = $1", params![claim.recording]).await?;
        // Many times as long as it takes until the prolonging waits.
        tokio::time::sleep(Duration::from_millis(200)).await;
        tx.commit().await
    };
    let kept = t.archive.keep_copy_claim(&claim, Duration::from_millis(1), work);
    tokio::time::timeout(Duration::from_secs(20), kept).await.expect("neither waits for the other").unwrap();
    // It ends all the same when somebody else has the claim.
    t.sabotage("UPDATE recordings SET copies_fence = copies_fence + 1").await;
    let kept = t.archive.keep_copy_claim(&claim, Duration::from_millis(1), std::future::pending::<Result<()>>());
    let lost = tokio::time::timeout(Duration::from_secs(20), kept).await.expect("it ends");
    assert!(matches!(lost, Err(Error::Conflict("recording"))), "{lost:?}");
    t.finish().await;
}

#[tokio::test]
async fn work_goes_on_while_the_prolonging_of_its_claim_waits_on_sqlite() {
    work_goes_on_while_its_prolonging_waits_for_it(TestArchive::start().await).await;
}

#[tokio::test]
async fn work_goes_on_while_the_prolonging_of_its_claim_waits_on_postgres() {
    work_goes_on_while_its_prolonging_waits_for_it(TestArchive::start_on_postgres().await).await;
}

#[tokio::test]
async fn a_bucket_that_goes_away_is_read_past_and_written_to_when_it_is_back() {
    let (t, server) = with_bucket().await;
    t.set_tier(&["bucket", "disk"], Some(1), &[]).await;
    let id = t.record(&Call::new("acme", "1.1", t.now(), b"first in the bucket")).await;
    assert_eq!(t.stores_of(id).await, ["bucket"]);
    assert_eq!(t.make_copies().await[0].outcome, CopyOutcome::Done);
    // A bucket whose name is gone from under it: what was there is not, and each call says so at once.
    let (there, away) = (t.directory.path().join("s3/recordings"), t.directory.path().join("s3/away"));
    std::fs::rename(&there, &away).unwrap();
    assert_eq!(t.read(id).await.unwrap(), b"first in the bucket", "from the disk");
    let other = t.record(&Call::new("acme", "1.2", t.now(), b"meanwhile")).await;
    assert_eq!(t.stores_of(other).await, ["disk"]);
    assert_eq!(t.make_copies().await[0].outcome, CopyOutcome::Waiting("bucket".to_owned()));
    std::fs::rename(away, there).unwrap();
    t.end_pauses().await;
    assert_eq!(t.make_copies().await[0].outcome, CopyOutcome::Done);
    assert_eq!(t.stores_of(other).await, ["bucket", "disk"]);
    t.sweep_replaced().await;
    t.finish().await;
    drop(server);
}
