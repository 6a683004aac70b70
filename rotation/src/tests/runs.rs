//! Runs: recorded, one at a time, and resumed wherever they ended.

use std::sync::Arc;
use std::task::Poll;

use archive::testing::TestArchive;
use archive::{Level, RecordingId, Scope, Sha256};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::fixture::*;
use crate::pulse::{Halt, RunLease};
use crate::{Config, Outcome, Rotation};

/// So many recordings of acme that are due by days, oldest first.
async fn due(t: &TestArchive, count: u32) -> Vec<RecordingId> {
    let mut recordings = Vec::new();
    for n in 0..count {
        recordings.push(record_at(t, "acme", &n.to_string(), t.now().plus(n * MS), 100).await);
    }
    t.clock.advance(31 * DAY);
    recordings
}

#[tokio::test]
async fn a_run_is_recorded_with_its_report_and_one_row_of_the_audit() {
    let t = TestArchive::start().await;
    due(&t, 2).await;
    let report = rotation(&t).rotate_once().await.unwrap();
    let runs = t.archive.list_runs(Scope::Platform, "rotation", None, 10).await.unwrap();
    let [run] = runs.as_slice() else { panic!("{runs:?}") };
    assert_eq!((Some(run.id), run.finished_at), (report.run, Some(t.now())));
    assert_eq!(run.report_sha256, Some(Sha256::of(run.report.as_bytes())));
    assert_eq!(run.report_sha256, report.sha256);
    let kept: serde_json::Value = serde_json::from_str(&run.report).unwrap();
    assert_eq!((&kept["outcome"], &kept["expired"]["recordings"]), (&"done".into(), &2.into()));
    let tenant = Scope::Tenant(t.place("acme").await.tenant);
    assert_eq!(t.archive.list_runs(tenant, "rotation", None, 10).await.unwrap(), vec![]);

    t.archive.seal_audit().await.unwrap();
    let audit = t.archive.list_audit(Scope::Platform, None, 100).await.unwrap();
    let rows: Vec<_> = audit.iter().filter(|row| row.principal == "system:rotation").collect();
    assert_eq!(rows.len(), 1);
    assert_eq!((rows[0].action.as_str(), rows[0].target.clone()), ("run.finish", Some(run.id.to_string())));
    assert!(rows[0].detail.contains(&report.sha256.unwrap().to_string()));
    t.finish().await;
}

#[tokio::test]
async fn one_instance_rotates_at_a_time() {
    let t = TestArchive::start().await;
    due(&t, 10).await;
    let other = t.another_instance("test-2").await;
    let theirs = RunLease::take(&other).await.unwrap().expect("it is free");
    let report = rotation(&t).rotate_once().await.unwrap();
    assert_eq!((report.outcome, report.run), (Outcome::Busy, None));
    theirs.release(&other).await;

    let (ours, theirs) = (rotation(&t), Rotation::new(Arc::clone(&other), Config::default()));
    let (a, b) = tokio::join!(ours.rotate_once(), theirs.rotate_once());
    let (a, b) = (a.unwrap(), b.unwrap());
    assert_eq!(a.expired.recordings + b.expired.recordings, 10, "{a}\n{b}");
    assert!(a.outcome == Outcome::Done || b.outcome == Outcome::Done);
    // And of one instance, one run.
    let (a, b) = tokio::join!(ours.rotate_once(), ours.rotate_once());
    assert_eq!((a.unwrap().outcome, b.unwrap().outcome), (Outcome::Done, Outcome::Busy));
    other.close().await.unwrap();
    t.finish().await;
}

#[tokio::test]
async fn fault_22_two_instances_at_once_keep_the_quota_to_the_byte() {
    race_two_rotations(TestArchive::start().await).await;
}

#[tokio::test]
async fn fault_22_two_instances_at_once_keep_the_quota_to_the_byte_on_postgres() {
    race_two_rotations(TestArchive::start_on_postgres().await).await;
}

async fn race_two_rotations(t: TestArchive) {
    for n in 0..30_u32 {
        record_at(&t, "acme-lab", &n.to_string(), t.now().plus(n * MS), 1000).await;
    }
    t.clock.advance(8 * DAY);
    let other = t.another_instance("test-2").await;
    let place = t.place("acme-lab").await;
    for quota in [25_000, 20_500, 11_000, 3_000] {
        set_policy(&t, "acme-lab", None, Some(quota)).await;
        let (ours, theirs) = (rotation(&t), Rotation::new(Arc::clone(&other), Config::default()));
        let (a, b) = tokio::join!(ours.rotate_once(), theirs.rotate_once());
        assert!(a.is_ok() && b.is_ok());
        assert_eq!(t.archive.kept_by(Level::Pbx(place.pbx)).await.unwrap().stored_bytes, quota / 1000 * 1000);
    }
    other.close().await.unwrap();
    t.finish().await;
}

#[tokio::test]
async fn a_lost_lease_ends_the_run() {
    let t = TestArchive::start().await;
    let mut ours = RunLease::take(&t.archive).await.unwrap().expect("it is free");
    ours.prolong(&t.archive).await.expect("it is ours");
    t.sabotage("UPDATE leases SET until = 0 WHERE name = 'rotation'").await;
    let other = t.another_instance("test-2").await;
    let theirs = RunLease::take(&other).await.unwrap().expect("ours was over");
    assert!(matches!(ours.prolong(&t.archive).await, Err(Halt::Run(Outcome::LeaseLost))));
    // Giving up what was lost takes nothing from the new holder.
    ours.release(&t.archive).await;
    assert!(RunLease::take(&t.archive).await.unwrap().is_none());
    theirs.release(&other).await;
    other.close().await.unwrap();
    t.finish().await;
}

#[tokio::test]
async fn a_stop_ends_the_run_after_the_batch_at_hand() {
    let t = TestArchive::start().await;
    let recordings = due(&t, 8).await;
    let rotation = rotation(&t);
    let stop = CancellationToken::new();
    let report = rotation.rotate(&stop, &mut |_| stop.cancel()).await.unwrap();
    assert_eq!((report.outcome, report.expired.recordings), (Outcome::Stopped, 3));
    let report = rotation.rotate(&stop, &mut |_| ()).await.unwrap();
    assert_eq!((report.outcome, report.expired.recordings), (Outcome::Stopped, 0), "nothing after the stop");
    assert_eq!(ids(&rotated(&rotation).await.1), recordings[3..]);
    t.finish().await;
}

/// Drops the run after the n-th recording expired: for each n the next run goes on where it ended.
#[tokio::test]
async fn fault_28_a_run_that_ends_in_the_middle_is_resumed() {
    let t = TestArchive::start().await;
    let recordings = due(&t, 14).await;
    let mut expired = Vec::new();
    for after in [1, 3, 4] {
        let (rotation, stop, enough) = (rotation(&t), CancellationToken::new(), Notify::new());
        let mut seen = 0;
        let mut visit = |it: &crate::PlannedExpiry| {
            expired.push(it.recording);
            seen += 1;
            if seen == after {
                enough.notify_one();
            }
        };
        tokio::select! {
            biased;
            () = enough.notified() => {}
            report = rotation.rotate(&stop, &mut visit) => panic!("the run came to its end: {}", report.unwrap()),
        }
    }
    assert!(expired.len() < recordings.len());
    let (report, rest) = rotated(&rotation(&t)).await;
    expired.extend(ids(&rest));
    assert_eq!((report.outcome, expired), (Outcome::Done, recordings), "each once, oldest first");
    t.finish().await;
}

/// Drops runs at ever later moments, through expiring and purging, until one comes to its end: after each answer that
/// they waited for.
#[tokio::test]
async fn fault_28_a_run_can_be_dropped_at_any_point() {
    let t = TestArchive::start().await;
    set_policy(&t, "acme", Some(1), None).await;
    let (mut recordings, mut ended, mut purged_by_dropped) = (0, false, 0);
    for answers in 0..1000 {
        if ended {
            break;
        }
        purged_by_dropped = t.count_tombstones().await;
        record(&t, "acme", &answers.to_string(), 50).await;
        recordings += 1;
        t.clock.advance(DAY + MS);
        let rotation = hasty(&t);
        let mut run = std::pin::pin!(rotation.rotate_once());
        let mut polls = 0;
        // Nothing else wakes this task, so each poll is an answer of the catalogue or the store.
        let end = std::future::poll_fn(|context| {
            polls += 1;
            if polls > answers + 1 { Poll::Ready(None) } else { run.as_mut().poll(context).map(Some) }
        });
        if let Some(report) = end.await {
            assert_eq!(report.unwrap().outcome, Outcome::Done);
            ended = true;
        }
    }
    assert!(ended && recordings > 30, "{recordings} runs were begun");
    assert!(purged_by_dropped > 0, "the dropped runs came as far as purging");
    for _ in 0..2 {
        assert_eq!(hasty(&t).rotate_once().await.unwrap().outcome, Outcome::Done);
        t.clock.advance(DAY);
    }
    assert_eq!(t.count_tombstones().await, recordings);
    assert_eq!(usage(&t).await, vec![]);
    t.finish().await;
}
