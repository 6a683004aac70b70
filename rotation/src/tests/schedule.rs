//! When runs happen.

use std::sync::Arc;
use std::time::Duration;

use archive::Scope;
use archive::testing::TestArchive;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::fixture::*;
use crate::{Config, Error, Rotation};

async fn finished_runs(t: &TestArchive) -> usize {
    let runs = t.archive.list_runs(Scope::Platform, "rotation", None, 100).await.unwrap();
    runs.iter().filter(|run| run.finished_at.is_some()).count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn runs_follow_the_schedule_and_end_with_the_stop() {
    let t = TestArchive::start().await;
    let recording = record(&t, "acme", "one", 100).await;
    t.clock.advance(31 * DAY);
    let config = Config { schedule: "* * * * * *".to_owned(), ..Config::default() };
    let rotation = Rotation::new(Arc::clone(&t.archive), config);
    let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
    let runs = tasks.spawn({
        let stop = stop.clone();
        async move { rotation.run(stop).await }
    });
    let scheduled = async {
        let mut look = tokio::time::interval(Duration::from_millis(20));
        while finished_runs(&t).await < 3 {
            look.tick().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), scheduled).await.expect("a run at once, and then one a second");
    assert!(!is_visible(&t, recording).await);
    stop.cancel();
    runs.await.unwrap().unwrap();
    let made = finished_runs(&t).await;
    assert!(t.archive.list_runs(Scope::Platform, "rotation", None, 100).await.unwrap().len() == made, "all finished");
    t.finish().await;
}

#[tokio::test]
async fn a_schedule_that_cannot_be_followed_is_refused_at_once() {
    let t = TestArchive::start().await;
    for schedule in ["*/5 * * * *", "0 0 0 31 2 *"] {
        let config = Config { schedule: schedule.to_owned(), ..Config::default() };
        let error = Rotation::new(Arc::clone(&t.archive), config).run(CancellationToken::new()).await.unwrap_err();
        assert!(matches!(&error, Error::Schedule(what) if what.contains(schedule)), "{error}");
    }
    assert_eq!(finished_runs(&t).await, 0);
    t.finish().await;
}

#[tokio::test]
async fn a_stop_before_the_start_makes_no_run() {
    let t = TestArchive::start().await;
    let stop = CancellationToken::new();
    stop.cancel();
    rotation(&t).run(stop).await.unwrap();
    assert_eq!(finished_runs(&t).await, 0);
    t.finish().await;
}
