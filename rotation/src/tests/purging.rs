//! Purging, and what fails on the way.

use archive::testing::{Call, TestArchive};
use archive::{Delivered, UsageClass};

use super::fixture::*;

#[tokio::test]
async fn fault_20_a_purge_waits_for_the_grace_period_and_its_tombstone_refuses_the_recording() {
    let t = TestArchive::start().await;
    let call = Call::new("acme", "once", t.now(), b"once only");
    let id = t.record(&call).await;
    record(&t, "acme-lab", "other", 50).await;
    t.clock.advance(31 * DAY);
    let rotation = rotation(&t);
    assert_eq!(rotation.rotate_once().await.unwrap().expired.stored_bytes, 9);
    let classes: Vec<_> = usage(&t).await.iter().map(|it| (it.class, it.recordings, it.stored_bytes)).collect();
    assert_eq!(classes.len(), 2);
    assert!(classes.contains(&(UsageClass::Grace, 1, 9)) && classes.contains(&(UsageClass::Live, 1, 50)));
    t.clock.advance(DAY - MS);
    assert_eq!(rotation.rotate_once().await.unwrap().purged.recordings, 0, "its grace period still runs");
    t.clock.advance(MS);
    let report = rotation.rotate_once().await.unwrap();
    assert_eq!((report.purged.recordings, report.purged.stored_bytes), (1, 9));
    assert_eq!(usage(&t).await.len(), 1);
    assert_eq!(t.deliver(&call).await, Delivered::Refused(id));
    // The bytes of that attempt go with the next run.
    assert_eq!(rotation.rotate_once().await.unwrap().swept_objects, 1);
    t.finish().await;
}

#[tokio::test]
async fn the_grace_period_is_an_hour_at_least_whatever_is_configured() {
    let t = TestArchive::start().await;
    record(&t, "acme", "one", 10).await;
    t.clock.advance(31 * DAY);
    let config = crate::Config { grace: std::time::Duration::ZERO, ..crate::Config::default() };
    let rotation = crate::Rotation::new(std::sync::Arc::clone(&t.archive), config);
    rotation.rotate_once().await.unwrap();
    t.clock.advance(HOUR - MS);
    assert_eq!(rotation.rotate_once().await.unwrap().purged.recordings, 0);
    t.clock.advance(MS);
    assert_eq!(rotation.rotate_once().await.unwrap().purged.recordings, 1);
    t.finish().await;
}

#[tokio::test]
async fn fault_28_an_object_that_cannot_be_removed_stops_no_other() {
    let t = TestArchive::start().await;
    let mut recordings = Vec::new();
    for n in 0..8_u32 {
        recordings.push(record(&t, "acme", &n.to_string(), 100).await);
    }
    t.clock.advance(31 * DAY);
    let rotation = rotation(&t);
    rotation.rotate_once().await.unwrap();
    // More than a whole batch that cannot be removed, in front of those that can.
    let mut broken = Vec::new();
    for id in &recordings[..4] {
        let file = t.stored_file(*id);
        std::fs::remove_file(&file).unwrap();
        std::fs::create_dir_all(file.join("in the way")).unwrap();
        broken.push(file);
    }
    let later = record(&t, "cobalt", "later", 100).await;
    t.clock.advance(31 * DAY);
    let report = rotation.rotate_once().await.unwrap();
    assert_eq!((report.purged.recordings, report.purge_failures), (4, 4));
    assert!(!report.is_clean());
    assert!(!is_visible(&t, later).await, "another PBX is rotated as ever");
    for file in broken {
        std::fs::remove_dir_all(file).unwrap();
    }
    t.clock.advance(DAY);
    let report = rotation.rotate_once().await.unwrap();
    assert_eq!((report.purged.recordings, report.purge_failures), (5, 0));
    assert!(report.is_clean());
    assert_eq!(t.count_tombstones().await, 9);
    t.finish().await;
}

#[tokio::test]
async fn nothing_is_purged_from_a_store_whose_marker_is_gone() {
    let t = TestArchive::start().await;
    for n in 0..5_u32 {
        record(&t, "acme", &n.to_string(), 100).await;
    }
    t.clock.advance(31 * DAY);
    let rotation = rotation(&t);
    rotation.rotate_once().await.unwrap();
    let expiring = record(&t, "cobalt", "later", 100).await;
    t.clock.advance(31 * DAY);
    let marker = t.directory.path().join("store/fonoteca-store.txt");
    let bytes = std::fs::read(&marker).unwrap();
    std::fs::remove_file(&marker).unwrap();
    let report = rotation.rotate_once().await.unwrap();
    assert_eq!((report.purged.recordings, report.purge_failures), (0, 5));
    assert!(!is_visible(&t, expiring).await, "expiring needs no store");
    std::fs::write(&marker, bytes).unwrap();
    assert_eq!(rotation.rotate_once().await.unwrap().purged.recordings, 5);
    t.finish().await;
}

#[tokio::test]
async fn a_pbx_that_fails_stops_no_other() {
    let t = TestArchive::start().await;
    let acme = record(&t, "acme", "one", 100).await;
    let borealis = record(&t, "borealis", "two", 100).await;
    let cobalt = record(&t, "cobalt", "three", 100).await;
    t.clock.advance(31 * DAY);
    t.sabotage("UPDATE tenants SET time_zone = 'Atlantis/Capital' WHERE code = 'borealis'").await;
    let rotation = rotation(&t);
    let report = rotation.rotate_once().await.unwrap();
    assert_eq!(visible(&t, [acme, borealis, cobalt]).await, [false, true, false]);
    let failure = report.pbxs[1].failure.as_deref().unwrap();
    assert!(report.pbxs[1].code == "borealis" && failure.contains("Atlantis/Capital"), "{failure}");
    assert!(!report.is_clean());
    t.sabotage("UPDATE tenants SET time_zone = 'UTC' WHERE code = 'borealis'").await;
    assert!(rotation.rotate_once().await.unwrap().is_clean());
    assert!(!is_visible(&t, borealis).await);
    t.finish().await;
}
