//! What a run of rotation and the copier do together: moves, copies, and what a lost store leaves to do.

use std::sync::Arc;

use archive::Actor;
use archive::testing::{Call, TestArchive};
use tokio_util::sync::CancellationToken;

use super::fixture::*;
use crate::{Config, Rotation};

/// Recordings go to the disk, and after ten days to `second`.
async fn moving() -> TestArchive {
    let t = TestArchive::start().await.with_stores(&["disk", "second"]).await;
    t.set_tier(&["disk"], None, &[(10, &["second"])]).await;
    t
}

#[tokio::test]
async fn a_run_begins_what_is_due_and_the_copier_moves_it() {
    let t = moving().await;
    let mut recordings = Vec::new();
    for n in 0..7_u32 {
        recordings.push(record(&t, "acme", &n.to_string(), 100).await);
    }
    let rotation = rotation(&t);
    assert_eq!(rotation.rotate_once().await.unwrap().moves_begun, 0);
    t.clock.advance(10 * DAY);
    let young = record(&t, "acme", "young", 100).await;
    let foretold = rotation.plan(&mut |_| ()).await.unwrap();
    assert_eq!(foretold.moving, 7);
    assert!(foretold.to_string().ends_with("would begin to move 7 to other stores"), "{foretold}");
    let report = rotation.rotate_once().await.unwrap();
    assert_eq!((report.moves_begun, report.is_clean()), (7, true), "more than one batch");
    assert!(report.to_string().contains("began to move 7 recordings"), "{report}");
    let copied = rotation.copy_what_waits().await.unwrap();
    assert_eq!((copied.moved, copied.copied, copied.stored_bytes, copied.is_clean()), (7, 0, 700, true));
    for id in recordings {
        assert_eq!(t.stores_of(id).await, ["second"]);
    }
    assert_eq!(t.stores_of(young).await, ["disk"]);
    assert_eq!(rotation.copy_what_waits().await.unwrap(), crate::CopyFigures::default());
    t.sweep_replaced().await;
    t.finish().await;
}

#[tokio::test]
async fn nothing_moves_by_a_clock_that_is_not_believed() {
    let t = moving().await;
    let id = record(&t, "acme", "one", 100).await;
    let rotation = rotation(&t);
    rotation.rotate_once().await.unwrap();
    t.clock.advance(4000 * DAY);
    assert_eq!(rotation.rotate_once().await.unwrap().moves_begun, 0);
    assert_eq!(rotation.copy_what_waits().await.unwrap(), crate::CopyFigures::default());
    assert_eq!(t.stores_of(id).await, ["disk"]);
    t.finish().await;
}

#[tokio::test]
async fn while_it_serves_copies_follow_by_themselves() {
    let t = moving().await;
    t.set_tier(&["disk", "second"], Some(1), &[]).await;
    let config = Config { copy_interval: 10 * MS, copy_workers: 3, ..Config::default() };
    let rotation = Rotation::new(Arc::clone(&t.archive), config);
    let stop = CancellationToken::new();
    let use_it = async {
        let mut recordings = Vec::new();
        for n in 0..5_u32 {
            recordings.push(record(&t, "acme", &n.to_string(), 100).await);
        }
        while !t.archive.list_copies_waiting().await.unwrap().is_empty() {
            tokio::task::yield_now().await;
        }
        stop.cancel();
        recordings
    };
    let (ran, recordings) = tokio::join!(rotation.run(stop.clone()), use_it);
    ran.unwrap();
    for id in recordings {
        assert_eq!(t.stores_of(id).await, ["disk", "second"]);
    }
    t.finish().await;
}

#[tokio::test]
async fn one_slow_copy_keeps_no_other_waiting() {
    let t = moving().await;
    t.set_tier(&["disk", "second"], Some(1), &[]).await;
    let slow = record(&t, "acme", "slow", 100).await;
    // A disk that hangs: whoever opens the file waits until somebody writes.
    let (file, whole) = (t.stored_file(slow), t.directory.path().join("whole"));
    std::fs::rename(&file, &whole).unwrap();
    assert!(std::process::Command::new("mkfifo").arg(&file).status().unwrap().success());
    let config = Config { copy_interval: 10 * MS, copy_workers: 2, ..Config::default() };
    let rotation = Rotation::new(Arc::clone(&t.archive), config);
    let stop = CancellationToken::new();
    let use_it = async {
        for n in 0..4_u32 {
            let id = record(&t, "acme", &n.to_string(), 100).await;
            let copied = async {
                while t.stores_of(id).await != ["disk", "second"] {
                    tokio::task::yield_now().await;
                }
            };
            tokio::time::timeout(std::time::Duration::from_secs(30), copied).await.expect("it does not wait");
        }
        assert_eq!(t.stores_of(slow).await, ["disk"], "it hangs still");
        let hanging = t.directory.path().join("hanging");
        std::fs::rename(&file, &hanging).unwrap();
        std::fs::rename(&whole, &file).unwrap();
        drop(std::fs::File::options().write(true).open(hanging).unwrap());
        stop.cancel();
    };
    let (ran, ()) = tokio::join!(rotation.run(stop.clone()), use_it);
    ran.unwrap();
    t.end_pauses().await;
    rotation.copy_what_waits().await.unwrap();
    assert_eq!(t.stores_of(slow).await, ["disk", "second"]);
    t.finish().await;
}

#[tokio::test]
async fn what_a_lost_store_had_is_copied_again_by_the_next_run() {
    let t = moving().await;
    t.set_tier(&["disk", "second"], None, &[]).await;
    let mut recordings = Vec::new();
    for n in 0..5_u32 {
        recordings.push(t.record(&Call::new("acme", &n.to_string(), t.now(), b"in both")).await);
    }
    std::fs::remove_dir_all(t.directory.path().join("second")).unwrap();
    t.archive.declare_store_lost(&Actor::command_line(), "second").await.unwrap();
    t.archive.replace_lost_store(&Actor::command_line(), "second").await.unwrap();
    let t = t.with_stores(&["disk", "second"]).await;
    let rotation = rotation(&t);
    assert_eq!(rotation.rotate_once().await.unwrap().lost_objects, 5);
    let copied = rotation.copy_what_waits().await.unwrap();
    assert_eq!((copied.repaired, copied.stored_bytes), (5, 35));
    for id in recordings {
        assert_eq!(t.stores_of(id).await, ["disk", "second"]);
    }
    t.sweep_replaced().await;
    t.finish().await;
}
