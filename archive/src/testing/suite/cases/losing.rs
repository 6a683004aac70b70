//! Stores that are lost, and found again.

use crate::testing::{Call, TestArchive};
use crate::{Actor, CopyOutcome, CopyReason, Depth, Error, ExpiryReason, Finding, Instant, Scope};

const HOUR: std::time::Duration = std::time::Duration::from_secs(3600);

async fn mark_all(t: &TestArchive) -> u64 {
    let mut marked = 0;
    loop {
        match t.archive.mark_lost_objects().await.unwrap() {
            0 => return marked,
            more => marked += more,
        }
    }
}

async fn usage(t: &TestArchive) -> Vec<(String, u64, u64)> {
    let stores = t.archive.list_stores(Scope::Platform).await.unwrap();
    stores.into_iter().map(|it| (it.name, it.recordings, it.stored_bytes)).collect()
}

pub async fn a_lost_store_is_survived_shown_and_repaired(t: TestArchive) {
    let t = t.with_stores(&["disk", "second"]).await;
    t.set_tier(&["second"], None, &[]).await;
    let only = t.record(&Call::new("acme", "1.0", t.now(), b"only there")).await;
    t.set_tier(&["second", "disk"], None, &[]).await;
    let mut both = Vec::new();
    for n in 1..4 {
        both.push(t.record(&Call::new("acme", &format!("1.{n}"), t.now(), b"in both")).await);
    }
    let tenant = Actor { scope: Scope::Tenant(t.tenant("acme").await.id), ..Actor::command_line() };
    assert!(matches!(t.archive.declare_store_lost(&tenant, "second").await, Err(Error::Forbidden(_))));
    assert!(matches!(t.archive.declare_store_lost(&Actor::command_line(), "x").await, Err(Error::NotFound(_))));
    std::fs::remove_dir_all(t.directory.path().join("second")).unwrap();
    let lost = t.archive.declare_store_lost(&Actor::command_line(), "second").await.unwrap();
    assert_eq!((lost.recordings, lost.without_copy), (4, 1));
    assert_eq!(t.audited("store.lost").await.len(), 1);
    // Survived: what has another copy is read from there, what has none is not passed off as anything.
    for id in &both {
        assert_eq!(t.read(*id).await.unwrap(), b"in both");
    }
    assert!(matches!(t.read(only).await, Err(Error::Damaged(_))));
    // Shown: in usage it stays until it is replaced, and what is gone is a finding.
    assert_eq!(mark_all(&t).await, 4);
    assert_eq!(usage(&t).await, [("disk".to_owned(), 3, 21), (lost.name.clone(), 4, 31)]);
    assert!(t.make_copies().await.iter().all(|it| it.outcome != CopyOutcome::Done));
    assert_eq!(t.archive.list_lost_recordings(Scope::Platform, None, 10).await.unwrap(), [only]);
    assert_eq!(t.archive.list_lost_recordings(Scope::Platform, Some(only), 10).await.unwrap(), []);
    let waiting = t.archive.list_copies_waiting().await.unwrap();
    let figures: Vec<_> = waiting.iter().map(|it| (it.why, it.store.as_deref(), it.recordings)).collect();
    assert_eq!(figures, [(CopyReason::Lost, None, 1), (CopyReason::Repair, Some("second"), 3)]);
    // What is there now may be the mount point of the lost one: nothing is read or written there.
    let t = t.with_stores(&["disk", "second"]).await;
    t.end_pauses().await;
    assert!(t.make_copies().await.iter().all(|it| it.outcome != CopyOutcome::Done));
    t.archive.watch_stores().await;
    t.archive.settle_orphans(&t.archive.stores()[0].clone()).await.unwrap();
    assert_eq!(t.archive.stores().len(), 1);
    assert!(!t.directory.path().join("second").exists(), "not even made");
    let alone = t.archive.replace_lost_store(&tenant, "second").await;
    assert!(matches!(alone, Err(Error::Forbidden(_))));
    assert!(matches!(t.archive.replace_lost_store(&Actor::command_line(), "disk").await, Err(Error::NotFound(_))));
    // Repaired: an empty disk takes the lost one's place under its name.
    t.archive.replace_lost_store(&Actor::command_line(), "second").await.unwrap();
    assert_eq!(t.audited("store.replaced").await.len(), 1);
    let t = t.with_stores(&["disk", "second"]).await;
    t.end_pauses().await;
    assert_eq!(t.make_copies().await.iter().filter(|it| it.outcome == CopyOutcome::Done).count(), 3);
    for id in &both {
        assert_eq!(t.stores_of(*id).await, ["disk", "second"]);
    }
    assert_eq!(usage(&t).await, [("disk".to_owned(), 3, 21), ("second".to_owned(), 3, 21), (lost.name.clone(), 1, 10)]);
    assert_eq!(t.sweep_replaced().await, 3, "rows of objects whose bytes nobody can remove");
    let report = t.archive.verify(Depth::Deep).await.unwrap();
    assert_eq!(report.findings, [Finding::WithoutObject(only)]);
    assert!(t.archive.get_recording(Scope::Platform, only).await.is_ok(), "it is listed, never deleted");
    t.archive.close().await.unwrap();
}

pub async fn a_store_that_was_declared_lost_can_be_found_again(t: TestArchive) {
    let t = t.with_stores(&["disk", "second"]).await;
    t.set_tier(&["second", "disk"], None, &[]).await;
    let both = t.record(&Call::new("acme", "1.1", t.now(), b"in both")).await;
    t.set_tier(&["second"], None, &[]).await;
    let only = t.record(&Call::new("acme", "1.2", t.now(), b"only there")).await;
    let lost = t.archive.declare_store_lost(&Actor::command_line(), "second").await.unwrap();
    mark_all(&t).await;
    t.make_copies().await;
    assert!(t.read(only).await.is_err());
    // A store that is lost takes nothing, even where it still answers.
    let call = Call::new("acme", "1.3", t.now(), b"later");
    let delivery = t.delivery(t.spool(&call).await, &call).await;
    assert!(matches!(t.archive.deliver(&delivery).await, Err(Error::Marker { .. })));

    // Restarted as it was configured before: it is left alone, and its tier's recordings wait.
    let t = t.with_stores(&["disk", "second"]).await;
    assert!(matches!(t.archive.deliver(&delivery).await, Err(Error::StoreUnavailable { .. })));
    assert!(matches!(t.archive.replace_lost_store(&Actor::command_line(), "second").await, Err(Error::Marker { .. })));
    let found = async |name: &str| t.archive.declare_store_found(&Actor::command_line(), &lost.name, name).await;
    assert!(matches!(found("disk").await, Err(Error::Invalid(_))));
    assert!(matches!(found("elsewhere").await, Err(Error::Invalid(_))), "nothing is configured under that name");
    found("second").await.unwrap();
    assert!(matches!(found("third").await, Err(Error::NotFound(_))));
    let t = t.with_stores(&["disk", "second"]).await;
    assert_eq!(t.read(both).await.unwrap(), b"in both");
    assert_eq!(mark_all(&t).await, 2);
    t.end_pauses().await;
    t.make_copies().await;
    assert_eq!(t.read(only).await.unwrap(), b"only there");
    assert_eq!(t.archive.list_copies_waiting().await.unwrap(), []);
    t.archive.deliver(&delivery).await.unwrap();
    assert_eq!(t.audited("store.found").await.len(), 1);
    t.finish().await;
}

pub async fn a_found_store_that_is_empty_takes_no_other_copy_away(t: TestArchive) {
    let t = t.with_stores(&["disk", "second"]).await;
    t.set_tier(&["disk", "second"], None, &[(30, &["second"])]).await;
    let id = t.record(&Call::new("acme", "1.1", t.now(), b"in both")).await;
    let lost = t.archive.declare_store_lost(&Actor::command_line(), "second").await.unwrap();
    assert_eq!(mark_all(&t).await, 1);
    std::fs::remove_file(t.stored_file_in("second", id)).unwrap();
    let marker = t.directory.path().join("second/fonoteca-store.txt");
    let bytes = std::fs::read(&marker).unwrap();
    std::fs::remove_file(&marker).unwrap();
    let found = async || t.archive.declare_store_found(&Actor::command_line(), &lost.name, "second").await;
    assert!(matches!(found().await, Err(Error::Marker { .. })), "an empty disk");
    std::fs::write(&marker, bytes).unwrap();
    found().await.unwrap();
    assert_eq!(mark_all(&t).await, 1);
    t.clock.advance(31 * 24 * HOUR);
    assert_eq!(t.archive.begin_moves(10).await.unwrap(), 1);
    t.end_pauses().await;
    let made = t.make_copies().await;
    assert_eq!((made[0].outcome.clone(), made[0].objects), (CopyOutcome::Done, 1));
    assert_eq!(t.stores_of(id).await, ["second"]);
    t.sweep_replaced().await;
    assert_eq!(t.read(id).await.unwrap(), b"in both");
    t.finish().await;
}

pub async fn what_is_delivered_into_a_store_that_is_declared_lost_meanwhile_goes_elsewhere(t: TestArchive) {
    let t = t.with_stores(&["disk", "second"]).await;
    t.set_tier(&["second", "disk"], Some(1), &[]).await;
    let call = Call::new("acme", "1.1", t.now(), b"one");
    let delivery = t.delivery(t.spool(&call).await, &call).await;
    let mut objects = Vec::new();
    let further = t.archive.put_objects(&delivery, &mut objects).await.unwrap();
    std::fs::remove_file(t.stored_file_in("second", delivery.id)).unwrap();
    t.archive.declare_store_lost(&Actor::command_line(), "second").await.unwrap();
    let committed = t.archive.commit_delivery(&delivery, &objects, further).await;
    assert!(matches!(committed, Err(Error::Marker { .. })), "{committed:?}");
    t.archive.drop_written(&objects).await.unwrap();
    t.archive.deliver(&delivery).await.unwrap();
    assert_eq!(t.stores_of(delivery.id).await, ["disk"]);
    assert_eq!(t.read(delivery.id).await.unwrap(), b"one");
    t.sweep_replaced().await;
    t.finish().await;
}

pub async fn a_purge_needs_nothing_of_a_lost_store(t: TestArchive) {
    let t = t.with_stores(&["disk", "second"]).await;
    t.set_tier(&["second", "disk"], None, &[]).await;
    let id = t.record(&Call::new("acme", "1.1", t.now(), b"in both")).await;
    std::fs::remove_dir_all(t.directory.path().join("second")).unwrap();
    t.archive.declare_store_lost(&Actor::command_line(), "second").await.unwrap();
    let t = t.with_stores(&["disk"]).await;
    let (place, end) = (t.place("acme").await, Instant::from_millis(i64::MAX));
    t.archive.expire(place.tenant, place.pbx, &[id], end, ExpiryReason::Days, HOUR).await.unwrap();
    t.clock.advance(HOUR);
    assert_eq!(t.purge().await.recordings, 1);
    t.finish().await;
}
