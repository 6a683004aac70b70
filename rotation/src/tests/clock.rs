//! A clock that cannot be right stops everything.

use archive::testing::TestArchive;
use archive::{Actor, Scope};

use super::fixture::*;
use crate::{Outcome, Rotation};

async fn refused(rotation: &Rotation) -> String {
    let report = rotation.rotate_once().await.unwrap();
    assert_eq!((report.expired.recordings, report.purged.recordings, report.forgotten_events), (0, 0, 0));
    assert!(!report.is_clean());
    let summary = rotation.plan(&mut |it| panic!("a plan shows {it}")).await.unwrap();
    assert_eq!(summary.purging.recordings, 0);
    match report.outcome {
        Outcome::ClockRefused(why) => {
            assert_eq!(summary.clock_refused, Some(why.clone()));
            why
        }
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn fault_21_a_jump_forward_stops_expiry_and_purge_until_the_clock_is_right_again() {
    let t = TestArchive::start().await;
    let purging = record(&t, "acme", "purging", 100).await;
    t.clock.advance(31 * DAY);
    let rotation = rotation(&t);
    rotation.rotate_once().await.unwrap();
    assert!(!is_visible(&t, purging).await);
    let expiring = record(&t, "acme", "expiring", 100).await;

    let right = t.now();
    t.clock.advance(45 * DAY + MS);
    // Each refused run is recorded, is no evidence for the next, and is told of once a day.
    for round in 0..3 {
        let why = refused(&rotation).await;
        assert!(why.contains("max_clock_jump"), "{why}");
        assert_eq!(troubles(&t).await, ["rotation.refused"], "round {round}");
        t.clock.advance(HOUR);
    }
    t.clock.advance(DAY);
    refused(&rotation).await;
    assert_eq!(troubles(&t).await.len(), 2);
    assert!(is_visible(&t, expiring).await);
    assert_eq!(t.archive.list_runs(Scope::Platform, "rotation-refused", None, 10).await.unwrap().len(), 4);

    t.clock.set(right.plus(HOUR));
    assert_eq!(rotation.rotate_once().await.unwrap().outcome, Outcome::Done);
    t.clock.advance(45 * DAY);
    assert_eq!(rotation.rotate_once().await.unwrap().expired.recordings, 1, "up to the bound it is believed");
    t.finish().await;
}

#[tokio::test]
async fn fault_21_a_step_back_stops_expiry_until_the_clock_is_right_again() {
    let t = TestArchive::start().await;
    let recording = record(&t, "acme", "one", 100).await;
    t.clock.advance(29 * DAY);
    let rotation = rotation(&t);
    rotation.rotate_once().await.unwrap();
    let last = t.now();
    set_policy(&t, "acme", Some(20), None).await;
    t.clock.set(last.minus(5 * 60_000 * MS + MS));
    assert!(refused(&rotation).await.contains("already seen"));
    assert!(is_visible(&t, recording).await);
    t.clock.set(last.minus(5 * 60_000 * MS));
    assert_eq!(rotation.rotate_once().await.unwrap().expired.recordings, 1);
    t.finish().await;
}

#[tokio::test]
async fn an_operator_can_accept_the_clock_either_way() {
    let t = TestArchive::start().await;
    let rotation = rotation(&t);
    rotation.rotate_once().await.unwrap();
    let recording = record(&t, "acme", "one", 100).await;
    // The service was off for a year.
    t.clock.advance(365 * DAY);
    refused(&rotation).await;
    let tenant = Actor { scope: Scope::Tenant(t.place("acme").await.tenant), ..Actor::command_line() };
    assert!(rotation.accept_clock(&tenant).await.is_err());
    rotation.accept_clock(&Actor::command_line()).await.unwrap();
    assert_eq!(rotation.rotate_once().await.unwrap().expired.recordings, 1);
    assert!(!is_visible(&t, recording).await);

    // It was not: the clock had been wrong, and nobody noticed in time.
    t.clock.set(t.now().minus(300 * DAY));
    refused(&rotation).await;
    rotation.accept_clock(&Actor::command_line()).await.unwrap();
    let report = rotation.rotate_once().await.unwrap();
    assert_eq!((report.outcome, report.purged.recordings), (Outcome::Done, 0));
    let audit = t.archive.list_audit(Scope::Platform, None, 100).await.unwrap();
    assert_eq!(audit.iter().filter(|row| row.action == "clock.accept").count(), 2);
    t.finish().await;
}

#[tokio::test]
async fn fault_21_a_clock_that_jumps_inside_a_run_ends_it_and_is_no_evidence() {
    let t = TestArchive::start().await;
    for n in 0..9_u32 {
        record_at(&t, "acme", &n.to_string(), t.now().plus(n * MS), 100).await;
    }
    t.clock.advance(31 * DAY);
    let (right, mut seen) = (t.now(), 0);
    let rotation = rotation(&t);
    let stop = tokio_util::sync::CancellationToken::new();
    let report = rotation
        .rotate(&stop, &mut |_| {
            seen += 1;
            if seen == 3 {
                t.clock.advance(400 * DAY);
            }
        })
        .await
        .unwrap();
    assert!(matches!(report.outcome, Outcome::ClockRefused(_)), "{report}");
    assert_eq!((report.expired.recordings, report.purged.recordings), (3, 0), "the batch at hand, no more");
    t.clock.set(right);
    let report = rotation.rotate_once().await.unwrap();
    assert_eq!((report.outcome, report.expired.recordings), (Outcome::Done, 6));
    t.finish().await;
}
