//! Tier moves: when, where to, and what they leave alone.

use std::time::Duration;

use futures_util::TryStreamExt;
use futures_util::future::join;

use crate::testing::{Call, TestArchive};
use crate::{
    Actor, CopyOutcome, CopyReason, Error, ExpiryReason, Instant, NewHold, Pace, RecordingId, Scope, UsageClass,
};

const MS: Duration = Duration::from_millis(1);
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(86_400);

/// Recordings go to `second` after 30 days.
async fn moving(t: TestArchive) -> TestArchive {
    let t = t.with_stores(&["disk", "second", "third"]).await;
    t.set_tier(&["disk"], None, &[(30, &["second"])]).await;
    t
}

async fn expire(t: &TestArchive, id: RecordingId) -> u64 {
    let (place, end) = (t.place("acme").await, Instant::from_millis(i64::MAX));
    t.archive.expire(place.tenant, place.pbx, &[id], end, ExpiryReason::Days, HOUR).await.unwrap().recordings
}

async fn usage(t: &TestArchive) -> Vec<(String, UsageClass, u64, u64)> {
    let stores = t.archive.list_stores(Scope::Platform).await.unwrap();
    let name = |id| stores.iter().find(|it| it.id == id).unwrap().name.clone();
    let usage = t.archive.list_usage(Scope::Platform).await.unwrap();
    usage.into_iter().map(|it| (name(it.store), it.class, it.recordings, it.stored_bytes)).collect()
}

pub async fn a_recording_moves_when_it_is_old_enough_and_its_old_bytes_wait_for_readers(t: TestArchive) {
    let t = moving(t).await;
    let bytes: Vec<u8> = (0..1_000_000_u32).map(|n| (n % 251) as u8).collect();
    let id = t.record(&Call::new("acme", "1.1", t.now(), &bytes)).await;
    let before = t.archive.get_recording(Scope::Platform, id).await.unwrap();
    t.clock.advance(30 * DAY);
    assert_eq!((t.archive.count_due_moves().await.unwrap(), t.archive.begin_moves(10).await.unwrap()), (0, 0));
    t.clock.advance(MS);
    assert_eq!((t.archive.count_due_moves().await.unwrap(), t.archive.begin_moves(10).await.unwrap()), (1, 1));
    assert_eq!((t.archive.count_due_moves().await.unwrap(), t.archive.begin_moves(10).await.unwrap()), (0, 0));
    // Somebody listens meanwhile, slowly.
    let reader = t.archive.open_audio(Scope::Platform, id).await.unwrap();
    let mut listened = reader.read(0, bytes.len() as u64);
    let mut heard = listened.try_next().await.unwrap().unwrap().to_vec();

    let old = t.stored_file(id);
    let made = t.make_copies().await;
    assert_eq!((made[0].why, made[0].outcome.clone(), made[0].objects), (CopyReason::Move, CopyOutcome::Done, 1));
    assert_eq!(t.stores_of(id).await, ["second"]);
    assert_eq!(usage(&t).await, [("second".to_owned(), UsageClass::Live, 1, 1_000_000)]);
    assert!(t.read(id).await.unwrap() == bytes);
    assert_eq!(t.archive.get_recording(Scope::Platform, id).await.unwrap(), before, "nothing that anybody sees");
    // The old bytes stay for those who read them, and go then.
    assert_eq!(t.archive.sweep_objects(10).await.unwrap(), 0);
    assert!(old.exists());
    assert_eq!(t.sweep_replaced().await, 1);
    assert!(!old.exists());
    while let Some(block) = listened.try_next().await.unwrap() {
        heard.extend(block);
    }
    assert!(heard == bytes);
    let rest: Vec<_> = reader.read(999_000, 1000).try_collect().await.unwrap();
    assert!(rest.concat() == bytes[999_000..]);
    t.finish().await;
}

pub async fn what_is_old_enough_for_several_moves_goes_to_the_last(t: TestArchive) {
    let t = moving(t).await;
    t.set_tier(&["disk"], None, &[(30, &["second"]), (90, &["second", "third"])]).await;
    let id = t.record(&Call::new("acme", "1.1", t.now(), b"one")).await;
    t.clock.advance(60 * DAY);
    let young = t.record(&Call::new("acme", "1.2", t.now(), b"two")).await;
    t.clock.advance(31 * DAY);
    assert_eq!(t.archive.begin_moves(10).await.unwrap(), 3, "two steps of one, one of the other");
    assert_eq!(t.make_copies().await.iter().map(|it| it.objects).collect::<Vec<_>>(), [2, 1]);
    assert_eq!(
        (t.stores_of(id).await, t.stores_of(young).await),
        (vec!["second".to_owned(), "third".to_owned()], vec!["second".to_owned()])
    );
    t.clock.advance(60 * DAY);
    t.archive.begin_moves(10).await.unwrap();
    t.make_copies().await;
    assert_eq!(t.stores_of(young).await, ["second", "third"]);
    t.sweep_replaced().await;
    t.finish().await;
}

pub async fn a_held_recording_moves_and_stays_held_and_an_expired_one_does_not_move(t: TestArchive) {
    let t = moving(t).await;
    let held = t.record(&Call::new("acme", "1.1", t.now(), b"held")).await;
    let expired = t.record(&Call::new("acme", "1.2", t.now(), b"expired before")).await;
    let expiring = t.record(&Call::new("acme", "1.3", t.now(), b"expired meanwhile")).await;
    let place = t.place("acme").await;
    let hold = NewHold {
        tenant: place.tenant,
        matter: "Smith against Jones".to_owned(),
        recording: Some(held),
        pbx: None,
        number: None,
        from: None,
        until: None,
    };
    t.archive.set_hold(&Actor::command_line(), &hold).await.unwrap();
    t.sabotage("UPDATE recordings SET lock_mode = 'compliance' WHERE id IN (SELECT recording_id FROM holds)").await;
    t.clock.advance(31 * DAY);
    assert_eq!(expire(&t, expired).await, 1);
    assert_eq!(t.archive.begin_moves(10).await.unwrap(), 2);
    assert_eq!(expire(&t, expiring).await, 1);
    assert_eq!(t.make_copies().await.len(), 1);
    assert_eq!(t.stores_of(held).await, ["second"]);
    assert_eq!(
        (t.stores_of(expired).await, t.stores_of(expiring).await),
        (vec!["disk".to_owned()], vec!["disk".to_owned()])
    );
    assert!(t.archive.is_held(held).await.unwrap());
    assert_eq!(t.sabotage("UPDATE recordings SET lock_mode = 'none' WHERE lock_mode = 'compliance'").await, 1);
    assert_eq!(expire(&t, held).await, 0);
    // One that comes back moves after all.
    t.archive.undelete(&Actor::command_line(), expiring).await.unwrap();
    assert_eq!(t.make_copies().await.len(), 1);
    assert_eq!(t.stores_of(expiring).await, ["second"]);
    t.sweep_replaced().await;
    t.finish().await;
}

pub async fn a_move_to_a_store_that_is_down_takes_nothing_away(t: TestArchive) {
    let t = moving(t).await;
    let id = t.record(&Call::new("acme", "1.1", t.now(), b"one")).await;
    let marker = t.directory.path().join("second/fonoteca-store.txt");
    let bytes = std::fs::read(&marker).unwrap();
    std::fs::remove_file(&marker).unwrap();
    t.clock.advance(31 * DAY);
    t.archive.begin_moves(10).await.unwrap();
    assert_eq!(t.make_copies().await[0].outcome, CopyOutcome::Waiting("second".to_owned()));
    assert_eq!((t.stores_of(id).await, t.read(id).await.unwrap()), (vec!["disk".to_owned()], b"one".to_vec()));
    std::fs::write(&marker, bytes).unwrap();
    t.end_pauses().await;
    assert_eq!(t.make_copies().await[0].outcome, CopyOutcome::Done);
    assert_eq!(t.stores_of(id).await, ["second"]);
    t.sweep_replaced().await;
    t.finish().await;
}

/// A recording in `disk` and `second` that is due to be in `second` alone.
async fn leaving_disk(t: TestArchive) -> (TestArchive, RecordingId) {
    let t = moving(t).await;
    t.set_tier(&["disk", "second"], None, &[(30, &["second"])]).await;
    let id = t.record(&Call::new("acme", "1.1", t.now(), b"one")).await;
    assert_eq!(t.stores_of(id).await, ["disk", "second"]);
    t.clock.advance(31 * DAY);
    assert_eq!(t.archive.begin_moves(10).await.unwrap(), 1);
    (t, id)
}

pub async fn a_move_whose_target_is_down_takes_nothing_away_even_where_it_has_a_copy(t: TestArchive) {
    let (t, id) = leaving_disk(t).await;
    let (there, away) = (t.directory.path().join("second"), t.directory.path().join("away"));
    std::fs::rename(&there, &away).unwrap();
    std::fs::create_dir(&there).unwrap();
    assert_eq!(t.make_copies().await[0].outcome, CopyOutcome::Waiting("second".to_owned()));
    assert_eq!(t.stores_of(id).await, ["disk", "second"]);
    assert_eq!(t.sweep_replaced().await, 0);
    assert_eq!(t.read(id).await.unwrap(), b"one");
    std::fs::remove_dir(&there).unwrap();
    std::fs::rename(&away, &there).unwrap();
    t.end_pauses().await;
    let made = t.make_copies().await;
    assert_eq!((made[0].outcome.clone(), made[0].objects), (CopyOutcome::Done, 0));
    assert_eq!(t.stores_of(id).await, ["second"]);
    t.sweep_replaced().await;
    assert_eq!(t.read(id).await.unwrap(), b"one");
    t.finish().await;
}

pub async fn a_move_whose_target_lost_the_object_copies_it_again_first(t: TestArchive) {
    let (t, id) = leaving_disk(t).await;
    std::fs::remove_file(t.stored_file_in("second", id)).unwrap();
    let made = t.make_copies().await;
    assert_eq!((made[0].outcome.clone(), made[0].objects), (CopyOutcome::Done, 1));
    assert_eq!(t.stores_of(id).await, ["second"]);
    t.sweep_replaced().await;
    assert_eq!(t.read(id).await.unwrap(), b"one");
    t.finish().await;
}

pub async fn two_instances_move_a_recording_once(t: TestArchive) {
    let t = moving(t).await;
    let mut ids = Vec::new();
    for n in 0..8 {
        ids.push(t.record(&Call::new("acme", &n.to_string(), t.now(), b"the same bytes")).await);
    }
    t.clock.advance(31 * DAY);
    let other = t.another_instance("test-2").await;
    let (here, there) = join(t.archive.begin_moves(100), other.begin_moves(100)).await;
    // Where both saw the same rows, one of them was first.
    assert_eq!(here.unwrap() + there.unwrap() + t.archive.begin_moves(100).await.unwrap(), 8);
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
    assert_eq!(here + there, 8);
    for id in ids {
        assert_eq!(t.stores_of(id).await, ["second"]);
    }
    other.close().await.unwrap();
    assert_eq!(t.sweep_replaced().await, 8);
    t.finish().await;
}

pub async fn a_recording_that_is_purged_while_it_moves_leaves_nothing_behind(t: TestArchive) {
    let t = moving(t).await;
    let id = t.record(&Call::new("acme", "1.1", t.now(), b"one")).await;
    t.clock.advance(31 * DAY);
    t.archive.begin_moves(10).await.unwrap();
    let pace = Pace::new(None);
    let round = t.archive.begin_copy_round(&pace).await.unwrap();
    let claim = t.archive.claim_copy(&round).await.unwrap().unwrap();
    expire(&t, id).await;
    t.clock.advance(HOUR);
    assert_eq!(t.purge().await.recordings, 1);
    assert_eq!(t.archive.make_copies(&claim, &round).await.unwrap().outcome, CopyOutcome::Gone);
    t.sweep_replaced().await;
    assert_eq!(usage(&t).await, []);
    t.finish().await;
}

pub async fn a_tier_says_what_of_its_stores_is_wrong(t: TestArchive) {
    let t = moving(t).await;
    let complaint = async |change: fn(&mut crate::DeclaredTier)| {
        let mut declaration = crate::Declaration { tiers: t.declaration().tiers, ..Default::default() };
        change(&mut declaration.tiers[0]);
        match t.archive.apply(&Actor::command_line(), &declaration).await {
            Err(Error::Invalid(what)) => what,
            other => panic!("expected a complaint, got {other:?}"),
        }
    };
    for (change, expected) in [
        ((|tier| tier.stores = vec!["x".to_owned()]) as fn(&mut crate::DeclaredTier), "\"x\" is not configured"),
        (|tier| tier.stores = vec!["disk".to_owned(); 2], "\"disk\" is named twice"),
        (|tier| tier.copies = Some(0), "copies is 0"),
        (|tier| (tier.stores, tier.copies) = (vec!["disk".to_owned()], Some(2)), "copies is 2, but it has 1 stores"),
        (
            |tier| tier.moves = vec![crate::TierMove { after_days: 30, to: vec!["x".to_owned()] }],
            "\"x\" is not configured",
        ),
        (|tier| tier.moves = vec![crate::TierMove { after_days: 30, to: vec![] }], "names no store"),
        (|tier| tier.moves = vec![crate::TierMove { after_days: 0, to: vec!["disk".to_owned()] }], "0 days"),
        (
            |tier| tier.moves = vec![crate::TierMove { after_days: 30, to: vec!["disk".to_owned()] }; 2],
            "one after the other",
        ),
    ] {
        let said = complaint(change).await;
        assert!(said.starts_with("tier \"basic\": ") && said.contains(expected), "{said}");
    }
    t.finish().await;
}
