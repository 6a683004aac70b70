//! How recordings go, and what stops that.

use std::time::Duration;

use crate::testing::{Call, TestArchive};
use crate::{
    Actor, Delivered, Error, ExpiryReason, Instant, Level, NewHold, PbxPlace, RecordingId, Scope, SweepRound,
    UsageClass,
};

const HOUR: Duration = Duration::from_secs(3600);

async fn expire(t: &TestArchive, place: &PbxPlace, ids: &[RecordingId]) -> u64 {
    let end = Instant::from_millis(i64::MAX);
    let expired = t.archive.expire(place.tenant, place.pbx, ids, end, ExpiryReason::Days, HOUR).await;
    expired.unwrap().recordings
}

fn hold(place: &PbxPlace) -> NewHold {
    NewHold {
        tenant: place.tenant,
        matter: "Smith against Jones".to_owned(),
        recording: None,
        pbx: Some(place.pbx),
        number: None,
        from: None,
        until: None,
    }
}

async fn usage(t: &TestArchive, class: UsageClass) -> (u64, u64, u64) {
    let usage = t.archive.list_usage(Scope::Platform).await.unwrap();
    usage
        .iter()
        .filter(|it| it.class == class)
        .fold((0, 0, 0), |sum, it| (sum.0 + it.recordings, sum.1 + it.audio_ms, sum.2 + it.stored_bytes))
}

pub async fn a_held_recording_neither_expires_nor_is_purged(t: TestArchive) {
    let place = t.place("acme").await;
    let number = |number: &str| Call { caller: number.to_owned(), ..Call::new("acme", number, t.now(), b"x") };
    let (held, free) = (t.record(&number("700")).await, t.record(&number("800")).await);
    let matter = NewHold { pbx: None, number: Some("700".to_owned()), ..hold(&place) };
    let id = t.archive.set_hold(&Actor::command_line(), &matter).await.unwrap();
    assert!(t.archive.is_held(held).await.unwrap() && !t.archive.is_held(free).await.unwrap());
    assert_eq!(expire(&t, &place, &[held, free]).await, 1);
    assert!(t.archive.get_recording(Scope::Platform, held).await.is_ok());
    // A recording that arrives later and fits the rule is held as well.
    let later = t.record(&Call { callee: "700".to_owned(), ..number("801") }).await;
    assert_eq!(expire(&t, &place, &[later]).await, 0);
    assert_eq!(
        t.archive
            .count_kept_back(place.pbx, t.now().plus(HOUR), Instant::from_millis(0)..t.now().plus(HOUR))
            .await
            .unwrap(),
        2
    );

    t.archive.release_hold(&Actor::command_line(), id).await.unwrap();
    assert!(matches!(t.archive.release_hold(&Actor::command_line(), id).await, Err(Error::NotFound(_))));
    assert_eq!(expire(&t, &place, &[held, later]).await, 2);
    t.finish().await;
}

pub async fn a_hold_set_between_expiry_and_purge_brings_back_what_it_reaches(t: TestArchive) {
    let place = t.place("acme").await;
    let reached = t.record(&Call::new("acme", "1.1", t.now(), b"reached")).await;
    let other = t.record(&Call::new("acme", "1.2", t.now().plus(HOUR), b"not reached")).await;
    assert_eq!(expire(&t, &place, &[reached, other]).await, 2);
    let matter = NewHold { until: Some(t.now().plus(HOUR)), ..hold(&place) };
    t.archive.set_hold(&Actor::command_line(), &matter).await.unwrap();
    assert!(t.archive.get_recording(Scope::Platform, reached).await.is_ok(), "visible again at once");
    t.clock.advance(HOUR);
    assert_eq!(t.purge().await.recordings, 1);
    assert!(t.archive.get_recording(Scope::Platform, reached).await.is_ok());
    assert_eq!(usage(&t, UsageClass::Live).await.0, 1);
    t.finish().await;
}

pub async fn usage_follows_a_recording_through_its_life(t: TestArchive) {
    let place = t.place("acme").await;
    let id = t.record(&Call::new("acme", "1.1", t.now(), b"12345678")).await;
    assert_eq!(usage(&t, UsageClass::Live).await, (1, 10_000, 8));
    assert_eq!(t.archive.kept_by(Level::Pbx(place.pbx)).await.unwrap().stored_bytes, 8);
    expire(&t, &place, &[id]).await;
    assert_eq!((usage(&t, UsageClass::Live).await.0, usage(&t, UsageClass::Grace).await), (0, (1, 10_000, 8)));
    assert_eq!(t.archive.kept_by(Level::Pbx(place.pbx)).await.unwrap().stored_bytes, 0);
    t.archive.undelete(&Actor::command_line(), id).await.unwrap();
    assert_eq!((usage(&t, UsageClass::Live).await, usage(&t, UsageClass::Grace).await.0), ((1, 10_000, 8), 0));
    expire(&t, &place, &[id]).await;
    t.clock.advance(HOUR);
    let purged = t.purge().await;
    assert_eq!((purged.recordings, purged.stored_bytes, purged.failed), (1, 8, 0));
    assert_eq!(t.archive.list_usage(Scope::Platform).await.unwrap(), vec![]);
    t.finish().await;
}

pub async fn fault_20_a_purged_recording_leaves_a_tombstone_that_refuses_it(t: TestArchive) {
    let place = t.place("acme").await;
    let call = Call::new("acme", "1.1", t.now(), b"once only");
    let id = t.record(&call).await;
    expire(&t, &place, &[id]).await;
    assert_eq!(t.purge().await.recordings, 0, "its grace period still runs");
    t.clock.advance(HOUR);
    assert_eq!(t.purge().await.recordings, 1);
    assert_eq!(t.count_tombstones().await, 1);
    assert_eq!(t.deliver(&call).await, Delivered::Refused(id));
    t.archive.sweep_objects(10).await.unwrap();
    t.finish().await;
}

pub async fn undelete_works_until_the_purge_and_only_in_scope(t: TestArchive) {
    let place = t.place("acme").await;
    let id = t.record(&Call::new("acme", "1.1", t.now(), b"x")).await;
    let owner = Actor { scope: Scope::Tenant(place.tenant), ..Actor::command_line() };
    let stranger = Actor { scope: Scope::Tenant(t.tenant("cobalt").await.id), ..Actor::command_line() };
    assert!(matches!(t.archive.undelete(&owner, id).await, Err(Error::NotFound(_))), "it is not expired");
    expire(&t, &place, &[id]).await;
    assert!(t.archive.get_recording(Scope::Platform, id).await.is_err(), "invisible at once, even to an operator");
    assert!(matches!(t.archive.undelete(&stranger, id).await, Err(Error::NotFound(_))));
    t.archive.undelete(&owner, id).await.unwrap();
    assert!(t.archive.get_recording(owner.scope, id).await.is_ok());
    expire(&t, &place, &[id]).await;
    t.clock.advance(HOUR);
    t.purge().await;
    assert!(matches!(t.archive.undelete(&owner, id).await, Err(Error::NotFound(_))));
    t.finish().await;
}

pub async fn fault_30_a_hold_and_a_purge_never_pass_each_other(t: TestArchive) {
    let place = t.place("acme").await;
    let other = t.another_instance("test-2").await;
    let (mut held, mut gone) = (0, 0);
    for n in 0..20_u64 {
        let id = t.record(&Call::new("acme", &n.to_string(), t.now(), &n.to_le_bytes())).await;
        expire(&t, &place, &[id]).await;
        t.clock.advance(HOUR);
        let matter = NewHold { pbx: None, recording: Some(id), ..hold(&place) };
        let actor = Actor::command_line();
        let set = async {
            // Begun at different moments, so that both orders happen.
            for _ in 0..n % 5 {
                tokio::task::yield_now().await;
            }
            other.set_hold(&actor, &matter).await
        };
        let (hold, _) = tokio::join!(set, t.purge());
        let visible = t.archive.get_recording(Scope::Platform, id).await.is_ok();
        match hold {
            // Whoever was told that it is held can still hear it.
            Ok(_) => assert!(visible, "held and gone"),
            Err(error) => assert!(matches!(error, Error::NotFound(_)) && !visible, "{error}"),
        }
        if visible { held += 1 } else { gone += 1 }
    }
    assert_eq!(held + gone, 20);
    other.close().await.unwrap();
    t.finish().await;
}

pub async fn a_store_that_is_away_keeps_no_other_from_being_swept(t: TestArchive) {
    let t = t.with_stores(&["disk", "second"]).await;
    for n in 0..6 {
        // Five in the second store, and then one on the disk.
        t.set_tier(&[if n < 5 { "second" } else { "disk" }], None, &[]).await;
        let call = Call::new("acme", &n.to_string(), t.now(), b"bytes");
        let id = t.record(&call).await;
        // What its second attempt put is to be swept.
        t.clock.advance(Duration::from_millis(1));
        assert_eq!(t.deliver(&call).await, Delivered::Duplicate(id));
        t.clock.advance(HOUR);
    }
    let (second, away) = (t.directory.path().join("second"), t.directory.path().join("away"));
    std::fs::rename(&second, &away).unwrap();
    let sweep = async || {
        let (mut round, mut swept) = (SweepRound::default(), 0);
        while !round.is_over() {
            swept += t.archive.sweep_batch(&mut round, 2).await.unwrap();
        }
        swept
    };
    assert_eq!(sweep().await, 1);
    std::fs::rename(&away, &second).unwrap();
    assert_eq!(t.sweep_replaced().await, 5);
    t.finish().await;
}
