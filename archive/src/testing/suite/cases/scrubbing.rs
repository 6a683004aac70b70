//! What is damaged, missing, or nobody's, and what becomes of it.

use std::time::Duration;

use futures_util::StreamExt;

use crate::db::params;
use crate::id::ObjectId;
use crate::testing::{Call, TestArchive};
use crate::usage::{Count, count};
use crate::{Actor, Delivered, Depth, Error, Finding, RecordingId, Scope, ScrubRound, Scrubbed, UsageClass};

const DAY: Duration = Duration::from_secs(86_400);

async fn scrub(t: &TestArchive) -> Scrubbed {
    t.clock.advance(Duration::from_millis(1));
    let mut round = ScrubRound::through(t.archive.stores()[0].id());
    t.archive.scrub_batch(&mut round, t.now(), 10, 2).await.unwrap()
}

async fn read(t: &TestArchive, id: RecordingId) -> Result<Vec<u8>, Error> {
    let audio = t.archive.open_audio(Scope::Platform, id).await?;
    let mut blocks = audio.read(0, audio.recording.size_bytes);
    let mut bytes = Vec::new();
    while let Some(block) = blocks.next().await {
        bytes.extend(block?);
    }
    Ok(bytes)
}

async fn told(t: &TestArchive, event: &str) -> usize {
    let events = t.archive.list_unsent_events(1000).await.unwrap();
    events.iter().filter(|it| it.event == event).count()
}

fn flip(t: &TestArchive, id: RecordingId) -> Vec<u8> {
    let kept = std::fs::read(t.stored_file(id)).unwrap();
    let mut flipped = kept.clone();
    flipped[kept.len() / 2] ^= 1;
    std::fs::write(t.stored_file(id), flipped).unwrap();
    kept
}

pub async fn fault_26_and_27_what_is_damaged_is_flagged_told_and_never_read_until_it_is_sound(t: TestArchive) {
    let id = t.record(&Call::new("acme", "1.1", t.now(), b"the very bytes")).await;
    let other = t.record(&Call::new("acme", "1.2", t.now(), b"other bytes")).await;
    let kept = flip(&t, id);
    assert_eq!(scrub(&t).await, Scrubbed { objects: 2, stored_bytes: 25, damaged: 1, ..Scrubbed::default() });
    assert!(matches!(read(&t, id).await, Err(Error::Damaged(damaged)) if damaged == id));
    assert_eq!(read(&t, other).await.unwrap(), b"other bytes");
    assert_eq!(t.archive.list_store_health().await.unwrap()[0].damaged, 1);
    assert_eq!(scrub(&t).await.damaged, 0, "it is news once");
    assert_eq!(told(&t, "recording.damaged").await, 1);
    std::fs::write(t.stored_file(id), kept).unwrap();
    assert_eq!(scrub(&t).await.sound_again, 1);
    assert_eq!(read(&t, id).await.unwrap(), b"the very bytes");
    std::fs::rename(t.stored_file(id), t.directory.path().join("aside")).unwrap();
    assert_eq!(scrub(&t).await.damaged, 1, "what is missing is found too");
    assert!(matches!(read(&t, id).await, Err(Error::Damaged(_))));
    let store = t.archive.stores()[0].clone();
    let key: String = t
        .archive
        .db
        .fetch_one("SELECT key FROM objects WHERE damaged_at > 0", vec![])
        .await
        .unwrap()
        .get("key")
        .unwrap();
    store.put_bytes(&key, b"the very bytes".to_vec()).await.unwrap();
    assert_eq!(scrub(&t).await.sound_again, 1);
    t.finish().await;
}

pub async fn a_store_that_is_away_has_not_lost_everything(t: TestArchive) {
    let id = t.record(&Call::new("acme", "1.1", t.now(), b"bytes")).await;
    let (store, away) = (t.directory.path().join("store"), t.directory.path().join("away"));
    std::fs::rename(&store, &away).unwrap();
    std::fs::create_dir(&store).unwrap();
    t.clock.advance(DAY);
    let mut round = ScrubRound::through(t.archive.stores()[0].id());
    let refused = t.archive.scrub_batch(&mut round, t.now(), 10, 2).await;
    assert!(matches!(refused, Err(Error::Marker { .. })), "{refused:?}");
    assert!(t.archive.settle_orphans(&t.archive.stores()[0].clone()).await.is_err());
    std::fs::remove_dir(&store).unwrap();
    std::fs::rename(&away, &store).unwrap();
    assert_eq!(read(&t, id).await.unwrap(), b"bytes");
    assert_eq!(told(&t, "recording.damaged").await, 0);
    t.finish().await;
}

pub async fn scrubbing_reads_what_was_unread_longest_and_only_what_is_due(t: TestArchive) {
    for n in 0..5 {
        t.record(&Call::new("acme", &n.to_string(), t.now(), b"bytes")).await;
        t.clock.advance(DAY);
    }
    // Archived 5, 4, 3, 2 and 1 days ago.
    let store = t.archive.stores()[0].id();
    let scrub = async |due_days: u32, limit| {
        let mut round = ScrubRound::through(store);
        let mut read = Vec::new();
        while !round.is_over() {
            let due = t.now().minus(due_days * DAY);
            read.push(t.archive.scrub_batch(&mut round, due, limit, 2).await.unwrap().objects);
        }
        read
    };
    assert_eq!(scrub(2, 2).await, [2, 1], "those of 5, 4 and 3 days ago");
    assert_eq!(scrub(2, 2).await, [0], "nothing is read twice");
    let oldest = t.archive.list_store_health().await.unwrap()[0].oldest;
    assert_eq!(oldest, Some(t.now().minus(2 * DAY)));
    t.clock.advance(DAY);
    assert_eq!(scrub(1, 10).await, [2]);
    t.finish().await;
}

pub async fn a_recording_is_repaired_from_its_source_by_the_very_same_bytes_only(t: TestArchive) {
    let call = Call::new("acme", "1.1", t.now(), b"the very bytes");
    let id = t.record(&call).await;
    let usage = t.archive.list_usage(Scope::Platform).await.unwrap();
    let server = t.core_server().await;
    let fetch_again = async || {
        let claims = t.archive.claim_sources(server.id, DAY, 1).await.unwrap();
        let claim = claims.into_iter().next().expect("its source is fetched again");
        t.archive.mark_spooled(&claim, crate::Sha256::of(&call.bytes)).await.unwrap();
        let (place, hash) = (t.place("acme").await, crate::Sha256::of(&call.bytes));
        let found = t.archive.find_delivered(&claim, &server, Some(&place), hash).await;
        assert_eq!(found.unwrap(), None, "there is work to do");
        t.delivery(claim, &call).await
    };
    assert!(t.archive.claim_sources(server.id, DAY, 1).await.unwrap().is_empty());
    flip(&t, id);
    assert_eq!(scrub(&t).await.damaged, 1);

    // Another encoder's bytes are not the recording.
    let mut delivery = fetch_again().await;
    assert_eq!(delivery.id, id, "so that the file's own tags are the same");
    std::fs::write(&delivery.file, b"other bytes").unwrap();
    (delivery.size_bytes, delivery.sha256) = (11, crate::Sha256::of(b"other bytes"));
    assert_eq!(t.archive.deliver(&delivery).await.unwrap(), Delivered::Duplicate(id));
    assert!(matches!(read(&t, id).await, Err(Error::Damaged(_))));
    assert_eq!(told(&t, "recording.irreparable").await, 1);

    // The same ones are.
    t.sabotage("UPDATE objects SET damaged_at = NULL WHERE state = 'live'").await;
    assert_eq!(scrub(&t).await.damaged, 1);
    let delivery = fetch_again().await;
    assert_eq!(t.archive.deliver(&delivery).await.unwrap(), Delivered::Archived(id));
    assert_eq!(read(&t, id).await.unwrap(), b"the very bytes");
    assert_eq!(told(&t, "recording.repaired").await, 1);
    assert_eq!(t.archive.list_usage(Scope::Platform).await.unwrap(), usage);
    assert!(t.archive.sweep_objects(10).await.unwrap() > 0, "the damaged bytes go");
    t.finish().await;
}

pub async fn a_recording_that_expires_while_it_is_repaired_counts_as_expired(t: TestArchive) {
    let call = Call::new("acme", "1.1", t.now(), b"the very bytes");
    let id = t.record(&call).await;
    flip(&t, id);
    assert_eq!(scrub(&t).await.damaged, 1);
    let claim = t.archive.claim_sources(t.core_server().await.id, DAY, 1).await.unwrap().remove(0);
    t.archive.mark_spooled(&claim, crate::Sha256::of(&call.bytes)).await.unwrap();
    let delivery = t.delivery(claim, &call).await;
    let (begun, expiring) = tokio::sync::oneshot::channel();
    let expire = async {
        let mut tx = t.archive.db.begin().await.unwrap();
        let sql = "UPDATE recordings SET state = 'expired', purge_after = $1 WHERE id = $2 AND state = 'archived'";
        tx.change_one("recording", sql, params![t.now().plus(DAY), id]).await.unwrap();
        let moved = Count::Move { from: UsageClass::Live, to: UsageClass::Grace };
        count(&mut tx, id, moved).await.unwrap();
        begun.send(()).unwrap();
        // The repair comes as far as it gets meanwhile.
        tokio::time::sleep(Duration::from_millis(300)).await;
        tx.commit().await.unwrap();
    };
    let deliver = async {
        expiring.await.unwrap();
        Box::pin(t.archive.deliver(&delivery)).await.unwrap()
    };
    let (delivered, ()) = futures_util::future::join(deliver, expire).await;
    assert_eq!(delivered, Delivered::Archived(id));
    let classes: Vec<_> =
        t.archive.list_usage(Scope::Platform).await.unwrap().iter().map(|it| (it.class, it.recordings)).collect();
    assert_eq!(classes, [(UsageClass::Grace, 1)]);
    t.archive.sweep_objects(10).await.unwrap();
    t.finish().await;
}

pub async fn a_recording_that_has_a_live_object_is_not_buried(t: TestArchive) {
    let id = t.record(&Call::new("acme", "1.1", t.now(), b"one")).await;
    t.sabotage("UPDATE recordings SET state = 'purging', purge_after = 0").await;
    let purged = t.purge().await;
    assert_eq!((purged.recordings, t.count_tombstones().await), (0, 0));
    t.sabotage("UPDATE recordings SET state = 'archived', purge_after = NULL").await;
    assert_eq!(t.read(id).await.unwrap(), b"one");
    t.finish().await;
}

pub async fn fault_27_an_orphan_is_moved_aside_after_a_day_and_a_live_object_never(t: TestArchive) {
    let id = t.record(&Call::new("acme", "1.1", t.now(), b"bytes")).await;
    let at = t.now();
    let stranger = t.stored_file(id).with_file_name(format!("{}-{}.mp3", RecordingId::new(at), ObjectId::new(at)));
    std::fs::write(&stranger, b"whose?").unwrap();
    let store = t.archive.stores()[0].clone();
    let settle = async || {
        let orphans = t.archive.settle_orphans(&store).await.unwrap();
        (orphans.seen, orphans.moved)
    };
    assert_eq!(settle().await, (1, 0));
    t.clock.advance(DAY - Duration::from_millis(1));
    assert_eq!(settle().await, (1, 0), "not within a day");
    // A listing that missed it once: it begins anew.
    t.clock.advance(Duration::from_millis(1));
    std::fs::rename(&stranger, t.directory.path().join("aside")).unwrap();
    assert_eq!(settle().await, (0, 0));
    std::fs::rename(t.directory.path().join("aside"), &stranger).unwrap();
    t.clock.advance(DAY);
    assert_eq!(settle().await, (1, 0));
    t.clock.advance(DAY);
    assert_eq!(settle().await, (1, 1));
    assert!(!stranger.exists());
    let kept =
        t.directory.path().join("store/orphans").join(stranger.strip_prefix(t.directory.path().join("store")).unwrap());
    assert_eq!(std::fs::read(kept).unwrap(), b"whose?");
    assert_eq!(read(&t, id).await.unwrap(), b"bytes");
    t.clock.advance(2 * DAY);
    assert_eq!(settle().await, (0, 0), "and there it stays");
    t.finish().await;
}

pub async fn fault_27_what_does_not_look_like_ours_is_never_moved_away(t: TestArchive) {
    let id = t.record(&Call::new("acme", "1.1", t.now(), b"bytes")).await;
    let (root, ours) = (t.directory.path().join("store"), t.stored_file(id));
    let key = ours.strip_prefix(&root).unwrap();
    // Another store's object, another's thing, and what stands where an object of ours would but is named like none.
    let theirs = [root.join("cold").join(key), root.join("backup.tar"), ours.with_file_name("stranger.mp3")];
    for file in &theirs {
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, b"theirs").unwrap();
    }
    let store = t.archive.stores()[0].clone();
    for _ in 0..3 {
        let orphans = t.archive.settle_orphans(&store).await.unwrap();
        assert_eq!((orphans.seen, orphans.moved), (0, 0));
        t.clock.advance(2 * DAY);
    }
    for file in &theirs {
        assert_eq!(std::fs::read(file).unwrap(), b"theirs");
    }
    assert_eq!(t.archive.verify(Depth::Fast).await.unwrap().findings.len(), 3, "they are told of");
    for file in &theirs {
        std::fs::remove_file(file).unwrap();
    }
    t.finish().await;
}

pub async fn a_deep_verification_that_was_cut_off_goes_on_where_it_was(t: TestArchive) {
    for n in 0..3 {
        t.record(&Call::new("acme", &n.to_string(), t.now(), b"bytes")).await;
    }
    let actor = Actor::command_line();
    let verify = async |resume| t.archive.verify_deep(&actor, resume, &mut |_| ()).await.unwrap();
    assert_eq!((verify(false).await.objects, verify(true).await.objects), (3, 3), "nothing was cut off");
    // One that ended after its first object.
    t.clock.advance(DAY);
    t.archive.start_run("verify-deep").await.unwrap();
    t.sabotage(
        "UPDATE objects SET verified_at = verified_at + 86400000 WHERE id IN (SELECT id FROM objects ORDER BY id LIMIT 1)",
    )
    .await;
    let mut last = None;
    let report = t.archive.verify_deep(&actor, true, &mut |progress| last = Some(progress)).await.unwrap();
    assert_eq!(report.objects, 2, "the first was read before");
    let progress = last.unwrap();
    assert_eq!((progress.objects, progress.all_objects), (3, 3));
    let id = t.record(&Call::new("acme", "9", t.now(), b"bytes")).await;
    flip(&t, id);
    assert_eq!(verify(false).await.findings, [Finding::Damaged(id)]);
    assert!(matches!(read(&t, id).await, Err(Error::Damaged(_))), "what was found is not served");
    flip(&t, id);
    assert!(verify(false).await.is_clean());
    assert!(t.archive.verify(Depth::Deep).await.unwrap().is_clean());
    t.finish().await;
}

pub async fn what_is_found_damaged_while_it_is_read_stays_flagged(t: TestArchive) {
    let id = t.record(&Call::new("acme", "1.1", t.now(), b"bytes")).await;
    let object = t.object_in("disk", id).await;
    let flagged_at = t.now();
    assert!(t.archive.mark_damaged(object).await.unwrap());
    // It was read before that, when it had no flag, or an older one.
    for before in [None, Some(flagged_at.minus(DAY))] {
        assert_eq!(t.archive.mark_sound(&[(object, before)]).await.unwrap(), 0);
        assert!(matches!(read(&t, id).await, Err(Error::Damaged(_))));
    }
    assert_eq!(t.archive.mark_sound(&[(object, Some(flagged_at))]).await.unwrap(), 1);
    assert_eq!(read(&t, id).await.unwrap(), b"bytes");
    t.finish().await;
}

pub async fn what_a_copy_finds_damaged_is_fetched_again_where_no_other_is_left(t: TestArchive) {
    let t = t.with_stores(&["disk", "second"]).await;
    t.set_tier(&["disk", "second"], None, &[]).await;
    let call = Call::new("acme", "1.1", t.now(), b"the very bytes");
    let id = t.record(&call).await;
    let server = t.core_server().await.id;
    assert!(t.archive.mark_damaged(t.object_in("disk", id).await).await.unwrap());
    assert!(t.archive.claim_sources(server, DAY, 1).await.unwrap().is_empty(), "there is another copy");
    assert!(t.archive.mark_damaged(t.object_in("second", id).await).await.unwrap());
    let claim = t.archive.claim_sources(server, DAY, 1).await.unwrap().remove(0);
    assert_eq!(claim.source.recording, Some(id));
    t.archive.mark_spooled(&claim, crate::Sha256::of(&call.bytes)).await.unwrap();
    let delivery = t.delivery(claim, &call).await;
    assert_eq!(t.archive.deliver(&delivery).await.unwrap(), Delivered::Archived(id));
    assert_eq!(read(&t, id).await.unwrap(), b"the very bytes");
    t.sweep_replaced().await;
    t.finish().await;
}

pub async fn a_store_that_cannot_be_looked_at_is_found_and_the_others_are_verified(t: TestArchive) {
    let t = t.with_stores(&["second", "disk"]).await;
    t.set_tier(&["second", "disk"], None, &[]).await;
    let id = t.record(&Call::new("acme", "1.1", t.now(), b"in both")).await;
    std::fs::remove_file(t.stored_file(id)).unwrap();
    let (second, away) = (t.directory.path().join("second"), t.directory.path().join("away"));
    std::fs::rename(&second, &away).unwrap();
    for depth in [Depth::Fast, Depth::Deep] {
        let findings = t.archive.verify(depth).await.unwrap().findings;
        let [Finding::NotLookedAt { store, why }, missing] = &findings[..] else { panic!("{findings:?}") };
        assert!(store == "second" && why.contains("marker"), "{findings:?}");
        assert_eq!(*missing, Finding::Missing(id));
    }
    std::fs::rename(&away, &second).unwrap();
    assert_eq!(t.archive.verify(Depth::Fast).await.unwrap().findings, [Finding::Missing(id)]);
    t.archive.mark_damaged(t.object_in("disk", id).await).await.unwrap();
    t.make_copies().await;
    t.sweep_replaced().await;
    t.finish().await;
}
