//! How copies follow, and what is read when one is bad.

use std::path::PathBuf;

use futures_util::future::join;

use crate::testing::{Call, TestArchive};
use crate::{CopiesWaiting, CopyOutcome, CopyReason, Delivered, Error, Pace, Scope};

/// Stores `disk` and `second` (and `third`), in a tier that requires so many copies.
async fn with_stores(t: TestArchive, names: &[&str], copies: Option<u32>) -> TestArchive {
    let t = t.with_stores(names).await;
    t.set_tier(names, copies, &[]).await;
    t
}

/// Takes a disk out: its marker is not there. Answers where to put it back, and what it was.
fn unmount(t: &TestArchive, directory: &str) -> (PathBuf, Vec<u8>) {
    let marker = t.directory.path().join(directory).join("fonoteca-store.txt");
    let bytes = std::fs::read(&marker).unwrap();
    std::fs::remove_file(&marker).unwrap();
    (marker, bytes)
}

fn outcomes(made: &[crate::Copied]) -> Vec<CopyOutcome> {
    made.iter().map(|it| it.outcome.clone()).collect()
}

async fn stored_bytes(t: &TestArchive) -> u64 {
    t.archive.list_usage(Scope::Platform).await.unwrap().iter().map(|it| it.stored_bytes).sum()
}

pub async fn archived_needs_the_copies_it_requires_and_the_others_follow(t: TestArchive) {
    let t = with_stores(t, &["disk", "second"], Some(1)).await;
    let id = t.record(&Call::new("acme", "1.1", t.now(), b"12345678")).await;
    assert_eq!(t.stores_of(id).await, ["disk"]);
    assert_eq!(stored_bytes(&t).await, 8);
    let waiting = CopiesWaiting { why: CopyReason::Copy, store: None, recordings: 1, oldest: t.now() };
    assert_eq!(t.archive.list_copies_waiting().await.unwrap(), [waiting]);
    let made = t.make_copies().await;
    assert_eq!((outcomes(&made), made[0].objects, made[0].stored_bytes), (vec![CopyOutcome::Done], 1, 8));
    assert_eq!(t.stores_of(id).await, ["disk", "second"]);
    assert_eq!(stored_bytes(&t).await, 16);
    assert_eq!(t.archive.list_copies_waiting().await.unwrap(), []);
    assert_eq!(t.make_copies().await, []);
    // Without a number, all of them are required.
    t.set_tier(&["disk", "second"], None, &[]).await;
    let both = t.record(&Call::new("acme", "1.2", t.now(), b"both")).await;
    assert_eq!(t.stores_of(both).await, ["disk", "second"]);
    assert_eq!(t.archive.list_copies_waiting().await.unwrap(), []);
    t.finish().await;
}

pub async fn another_store_that_is_named_stands_in_for_one_that_is_down(t: TestArchive) {
    let t = with_stores(t, &["disk", "second"], Some(1)).await;
    let (marker, bytes) = unmount(&t, "store");
    t.archive.check_stores(Some(&t.place("acme").await)).await.unwrap();
    let id = t.record(&Call::new("acme", "1.1", t.now(), b"one")).await;
    assert_eq!(t.stores_of(id).await, ["second"]);
    assert_eq!(t.read(id).await.unwrap(), b"one");
    // Where both are required, nothing is archived, and nothing is left.
    t.set_tier(&["disk", "second"], Some(2), &[]).await;
    assert!(t.archive.check_stores(Some(&t.place("acme").await)).await.is_err());
    let call = Call::new("acme", "1.2", t.now(), b"two");
    let delivery = t.delivery(t.spool(&call).await, &call).await;
    assert!(matches!(t.archive.deliver(&delivery).await, Err(Error::Marker { .. })));
    std::fs::write(&marker, bytes).unwrap();
    assert!(matches!(t.archive.deliver(&delivery).await.unwrap(), Delivered::Archived(_)));
    assert_eq!(outcomes(&t.make_copies().await), [CopyOutcome::Done]);
    assert_eq!(t.stores_of(id).await, ["disk", "second"]);
    t.finish().await;
}

pub async fn a_store_that_is_down_holds_up_no_copy_for_another(t: TestArchive) {
    let t = with_stores(t, &["disk", "second", "third"], Some(1)).await;
    let (marker, bytes) = unmount(&t, "second");
    let id = t.record(&Call::new("acme", "1.1", t.now(), b"one")).await;
    assert_eq!(outcomes(&t.make_copies().await), [CopyOutcome::Waiting("second".to_owned())]);
    assert_eq!(t.stores_of(id).await, ["disk", "third"], "what can be made is made");
    // It is shown for which store it waits, and not asked for while that is down, also when its pause is over.
    let waiting = t.archive.list_copies_waiting().await.unwrap();
    assert_eq!((waiting.len(), waiting[0].store.as_deref()), (1, Some("second")));
    t.end_pauses().await;
    assert_eq!(t.make_copies().await, []);
    let other = t.record(&Call::new("acme", "1.2", t.now(), b"two")).await;
    assert_eq!(t.make_copies().await.len(), 1);
    assert_eq!(t.stores_of(other).await, ["disk", "third"]);
    std::fs::write(&marker, bytes).unwrap();
    assert_eq!(t.make_copies().await.len(), 1, "the pause of the other still lasts");
    t.end_pauses().await;
    assert_eq!(outcomes(&t.make_copies().await), [CopyOutcome::Done]);
    assert_eq!((t.stores_of(id).await.len(), t.stores_of(other).await.len()), (3, 3));
    t.finish().await;
}

pub async fn a_copier_that_lost_its_claim_changes_nothing(t: TestArchive) {
    let t = with_stores(t, &["disk", "second"], Some(1)).await;
    let id = t.record(&Call::new("acme", "1.1", t.now(), b"one")).await;
    let pace = Pace::new(None);
    let round = t.archive.begin_copy_round(&pace).await.unwrap();
    let late = t.archive.claim_copy(&round).await.unwrap().unwrap();
    assert_eq!((late.recording, late.why), (id, CopyReason::Copy));
    assert!(t.archive.claim_copy(&round).await.unwrap().is_none(), "one has it");
    t.end_pauses().await;
    assert_eq!(outcomes(&t.make_copies().await), [CopyOutcome::Done]);
    assert_eq!(t.archive.make_copies(&late, &round).await.unwrap().outcome, CopyOutcome::Gone);
    assert_eq!(t.stores_of(id).await, ["disk", "second"]);
    // A process that comes back under its name takes up what it had begun.
    let other = t.record(&Call::new("acme", "1.2", t.now(), b"two")).await;
    t.archive.claim_copy(&t.archive.begin_copy_round(&pace).await.unwrap()).await.unwrap().unwrap();
    assert_eq!(t.make_copies().await, []);
    assert_eq!(t.archive.release_own_copy_claims().await.unwrap(), 1);
    assert_eq!(outcomes(&t.make_copies().await), [CopyOutcome::Done]);
    assert_eq!(t.stores_of(other).await, ["disk", "second"]);
    t.finish().await;
}

pub async fn two_copiers_at_once_make_each_copy_once(t: TestArchive) {
    let t = with_stores(t, &["disk", "second"], Some(1)).await;
    let mut ids = Vec::new();
    for n in 0..12 {
        ids.push(t.record(&Call::new("acme", &n.to_string(), t.now(), b"the same bytes")).await);
    }
    let other = t.another_instance("test-2").await;
    let work = async |archive: &std::sync::Arc<crate::Archive>| {
        let pace = Pace::new(None);
        let round = archive.begin_copy_round(&pace).await.unwrap();
        let mut objects = 0;
        while let Some(claim) = archive.claim_copy(&round).await.unwrap() {
            objects += archive.make_copies(&claim, &round).await.unwrap().objects;
        }
        objects
    };
    let (here, there) = Box::pin(join(work(&t.archive), work(&other))).await;
    assert_eq!(here + there, 12);
    for id in ids {
        assert_eq!(t.stores_of(id).await, ["disk", "second"]);
    }
    other.close().await.unwrap();
    t.finish().await;
}

pub async fn a_damaged_copy_is_never_read_and_is_replaced_by_another(t: TestArchive) {
    let t = with_stores(t, &["disk", "second"], None).await;
    let id = t.record(&Call::new("acme", "1.1", t.now(), b"as it was")).await;
    let damaged = t.stored_file(id);
    std::fs::write(&damaged, b"as it is!").unwrap();
    let object = t.object_in("disk", id).await;
    assert!(t.archive.mark_damaged(object).await.unwrap());
    assert!(!t.archive.mark_damaged(object).await.unwrap(), "no news");
    assert_eq!(t.read(id).await.unwrap(), b"as it was");
    assert_eq!(t.archive.list_copies_waiting().await.unwrap()[0].why, CopyReason::Repair);
    assert_eq!(outcomes(&t.make_copies().await), [CopyOutcome::Done]);
    assert_eq!((t.stores_of(id).await.len(), stored_bytes(&t).await), (2, 18));
    assert_ne!(t.object_in("disk", id).await, object);
    assert_eq!(t.sweep_replaced().await, 1);
    assert!(!damaged.exists());
    // Where it is the only one, it is listed, kept, and not read.
    t.set_tier(&["disk"], None, &[]).await;
    let only = t.record(&Call::new("acme", "1.2", t.now(), b"the only one")).await;
    let file = t.stored_file(only);
    std::fs::rename(&file, t.directory.path().join("aside")).unwrap();
    std::fs::write(&file, b"the only zero").unwrap();
    t.archive.mark_damaged(t.object_in("disk", only).await).await.unwrap();
    assert!(matches!(t.read(only).await, Err(Error::Damaged(_))));
    assert_eq!(outcomes(&t.make_copies().await), [CopyOutcome::Lost]);
    assert_eq!(t.archive.list_lost_recordings(Scope::Platform, None, 10).await.unwrap(), [only]);
    assert_eq!(t.make_copies().await, [], "it waits for somebody");
    assert!(t.archive.get_recording(Scope::Platform, only).await.is_ok(), "and is not deleted");
    std::fs::rename(t.directory.path().join("aside"), file).unwrap();
    // Whoever finds it sound again need only say so.
    assert_eq!(t.archive.queue_repairs(10).await.unwrap(), 0);
    t.sabotage("UPDATE objects SET damaged_at = NULL").await;
    assert_eq!(t.archive.queue_repairs(10).await.unwrap(), 1);
    assert_eq!(outcomes(&t.make_copies().await), [CopyOutcome::Done]);
    assert_eq!(t.read(only).await.unwrap(), b"the only one");
    // And whoever finds damage need only mark it.
    t.sabotage("UPDATE objects SET damaged_at = 1 WHERE state = 'live'").await;
    assert_eq!(t.archive.queue_repairs(10).await.unwrap(), 2);
    assert_eq!(t.archive.queue_repairs(10).await.unwrap(), 0);
    t.sabotage("UPDATE objects SET damaged_at = NULL").await;
    t.make_copies().await;
    t.finish().await;
}

pub async fn damage_that_copying_meets_is_found_and_not_copied_on(t: TestArchive) {
    let t = with_stores(t, &["disk", "second", "third"], Some(2)).await;
    let id = t.record(&Call::new("acme", "1.1", t.now(), b"as it was")).await;
    assert_eq!(t.stores_of(id).await, ["disk", "second"]);
    std::fs::write(t.stored_file(id), b"as it is!").unwrap();
    let damaged = t.object_in("disk", id).await;
    // The third copy comes from the second, and the first is known to be bad from then on.
    t.make_copies().await;
    assert_eq!(t.sweep_replaced().await, 1, "what was begun of the bad one");
    assert_eq!(std::fs::read(t.stored_file_in("third", id)).unwrap(), b"as it was");
    assert_eq!(t.read(id).await.unwrap(), b"as it was");
    t.end_pauses().await;
    assert_eq!(outcomes(&t.make_copies().await), [CopyOutcome::Done]);
    assert_ne!(t.object_in("disk", id).await, damaged);
    t.sweep_replaced().await;
    t.finish().await;
}

pub async fn a_reader_goes_on_with_another_copy_where_one_breaks_off(t: TestArchive) {
    let t = with_stores(t, &["disk", "second"], None).await;
    let bytes: Vec<u8> = (0..1_000_000_u32).map(|n| (n % 251) as u8).collect();
    let id = t.record(&Call::new("acme", "1.1", t.now(), &bytes)).await;
    let cut = |path: PathBuf, length| {
        let file = std::fs::File::options().write(true).open(path).unwrap();
        file.set_len(length).unwrap();
    };
    cut(t.stored_file(id), 600_000);
    assert!(t.read(id).await.unwrap() == bytes, "the second copy has the rest");
    cut(t.stored_file_in("second", id), 700_000);
    assert!(t.read(id).await.is_err(), "a recording that is cut short is not passed off as whole");
    for path in [t.stored_file(id), t.stored_file_in("second", id)] {
        std::fs::write(path, &bytes).unwrap();
    }
    std::fs::remove_file(t.stored_file(id)).unwrap();
    assert!(t.read(id).await.unwrap() == bytes);
    t.archive.mark_damaged(t.object_in("disk", id).await).await.unwrap();
    assert_eq!(outcomes(&t.make_copies().await), [CopyOutcome::Done]);
    t.sweep_replaced().await;
    t.finish().await;
}
