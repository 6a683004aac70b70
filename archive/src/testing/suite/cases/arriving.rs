//! How recordings come in.

use std::collections::HashSet;
use std::time::Duration;

use crate::testing::{Call, TestArchive};
use crate::{Actor, Delivered, Error, Instant, Leg, Level, NewSource, Scope, Search, SourceState};

const LEASE: Duration = Duration::from_secs(60);

pub async fn fault_19_a_recording_is_archived_once_whatever_is_replayed(t: TestArchive) {
    let call = Call::new("acme", "1795246782.0", t.now(), b"the one and only");
    let id = t.record(&call).await;
    // The very file again, under another modification time: a restored backup of the core server.
    t.clock.advance(Duration::from_secs(1));
    assert_eq!(t.deliver(&call).await, Delivered::Duplicate(id));
    t.clock.advance(Duration::from_secs(1));
    let claim = t.spool(&call).await;
    let (server, place) = (t.core_server().await, t.place("acme").await);
    let found = t.archive.find_delivered(&claim, &server, Some(&place), crate::Sha256::of(&call.bytes)).await;
    assert_eq!(found.unwrap(), Some(Delivered::Duplicate(id)));
    let page = t.archive.search(Scope::Platform, &Search::default(), None, 10).await.unwrap();
    assert_eq!(page.items.len(), 1);
    t.archive.sweep_objects(10).await.unwrap();
    t.finish().await;
}

pub async fn fault_18_the_same_bytes_in_another_call_or_pbx_are_another_recording(t: TestArchive) {
    let silence = Call::new("acme", "1.1", t.now(), b"silence");
    let mut ids = HashSet::new();
    ids.insert(t.record(&silence).await);
    ids.insert(t.record(&Call { call_ref: "1.2".to_owned(), ..silence.clone() }).await);
    ids.insert(t.record(&Call { pbx: "borealis".to_owned(), ..silence.clone() }).await);
    ids.insert(t.record(&Call { leg: Leg::Caller, ..silence }).await);
    assert_eq!(ids.len(), 4);
    t.finish().await;
}

pub async fn fault_23_a_lost_claim_changes_nothing(t: TestArchive) {
    let call = Call::new("acme", "1.1", t.now(), b"claimed twice");
    let stale = t.spool(&call).await;
    // The process that held it is started anew, and takes the source up again.
    assert_eq!(t.archive.release_own_claims().await.unwrap(), 1);
    let server = t.core_server().await;
    let fresh = t.archive.claim_sources(server.id, LEASE, 1).await.unwrap().remove(0);
    assert_eq!(fresh.source.state, SourceState::Spooled);

    let late = t.delivery(stale.clone(), &call).await;
    assert!(matches!(t.archive.deliver(&late).await, Err(Error::Conflict(_))));
    assert!(matches!(t.archive.quarantine(&stale, "late", "").await, Err(Error::Conflict(_))));
    assert!(matches!(t.archive.prolong_claim(&stale, LEASE).await, Err(Error::Conflict(_))));
    assert!(matches!(t.archive.retry_source_later(&stale, "late", "", t.now()).await, Err(Error::Conflict(_))));

    t.archive.prolong_claim(&fresh, LEASE).await.unwrap();
    let delivery = t.delivery(fresh, &call).await;
    assert!(matches!(t.archive.deliver(&delivery).await, Ok(Delivered::Archived(_))));
    t.archive.sweep_objects(10).await.unwrap();
    t.finish().await;
}

pub async fn a_failed_source_waits_and_a_quarantined_one_can_be_retried(t: TestArchive) {
    let server = t.core_server().await;
    let claim = t.spool(&Call::new("acme", "1.1", t.now(), b"x")).await;
    let later = t.now().plus(Duration::from_secs(30));
    t.archive.retry_source_later(&claim, "store", "the store is down", later).await.unwrap();
    assert_eq!(t.archive.claim_sources(server.id, LEASE, 1).await.unwrap(), vec![]);
    t.clock.advance(Duration::from_secs(30));
    let claim = t.archive.claim_sources(server.id, LEASE, 1).await.unwrap().remove(0);
    assert_eq!((claim.source.attempts, claim.source.error_code.as_deref()), (1, Some("store")));

    t.archive.quarantine(&claim, "not-audio", "it is a text").await.unwrap();
    let quarantined = t.archive.list_sources(SourceState::Quarantined, 10).await.unwrap();
    assert_eq!(quarantined.len(), 1);
    assert_eq!(quarantined[0].error_code.as_deref(), Some("not-audio"));
    assert_eq!(t.archive.claim_sources(server.id, LEASE, 1).await.unwrap(), vec![]);

    t.archive.retry_quarantined(&Actor::command_line(), claim.source.id).await.unwrap();
    let claim = t.archive.claim_sources(server.id, LEASE, 1).await.unwrap().remove(0);
    assert_eq!(claim.source.state, SourceState::Discovered);
    t.finish().await;
}

pub async fn an_unknown_pbx_is_archived_as_unassigned_and_only_operators_see_it(t: TestArchive) {
    let id = t.record(&Call::new("never-heard-of", "1.1", t.now(), b"whose?")).await;
    let recording = t.archive.get_recording(Scope::Platform, id).await.unwrap();
    assert_eq!((recording.tenant, recording.pbx), (None, None));
    for scope in [
        Scope::Tenant(t.tenant("acme").await.id),
        Scope::Reseller(t.tenant("acme").await.reseller),
        Scope::Pbx(t.place("acme").await.pbx),
    ] {
        assert!(matches!(t.archive.get_recording(scope, id).await, Err(Error::NotFound(_))), "{scope}");
        assert_eq!(t.archive.search(scope, &Search::default(), None, 10).await.unwrap().items, vec![]);
    }
    t.finish().await;
}

pub async fn an_implausible_start_counts_retention_from_archiving(t: TestArchive) {
    let year = Duration::from_secs(365 * 86_400);
    let cases = [
        (None, t.now()),
        (Some(Instant::from_millis(0)), t.now()),
        (Some(t.now().plus(year)), t.now()),
        (Some(t.now().minus(year)), t.now().minus(year)),
    ];
    for (n, (started_at, retain_from)) in cases.into_iter().enumerate() {
        let call = Call { started_at, ..Call::new("acme", &n.to_string(), t.now(), b"when?") };
        let id = t.record(&call).await;
        let recording = t.archive.get_recording(Scope::Platform, id).await.unwrap();
        assert_eq!((recording.retain_from, id.instant()), (retain_from, retain_from), "{started_at:?}");
    }
    t.finish().await;
}

pub async fn what_is_older_than_the_enrolment_is_guarded_until_confirmed(t: TestArchive) {
    let (server, place) = (t.core_server().await, t.place("acme").await);
    let old = t.now().minus(Duration::from_secs(400 * 86_400));
    t.record(&Call::new("acme", "1.1", old, b"from before")).await;
    let fresh = t.record(&Call::new("acme", "1.2", t.now(), b"from now")).await;
    t.clock.advance(Duration::from_secs(60 * 86_400));
    let due = async || {
        t.archive.list_expirable(place.pbx, t.now(), Instant::from_millis(0)..t.now(), None, 10).await.unwrap()
    };
    assert_eq!(due().await.iter().map(|it| it.id).collect::<Vec<_>>(), vec![fresh]);
    assert_eq!(t.archive.kept_by(Level::Pbx(place.pbx)).await.unwrap().stored_bytes, b"from now".len() as u64);

    let tenant = Actor { scope: Scope::Tenant(place.tenant), ..Actor::command_line() };
    assert!(matches!(t.archive.confirm_enrolment(&tenant, server.id).await, Err(Error::Forbidden(_))));
    assert_eq!(t.archive.confirm_enrolment(&Actor::command_line(), server.id).await.unwrap(), 1);
    assert_eq!(due().await.len(), 2);
    assert_eq!(
        t.archive.kept_by(Level::Pbx(place.pbx)).await.unwrap().stored_bytes,
        b"from now from before".len() as u64 - 1
    );

    // What comes to light after the confirmation was in no preview, and waits for the next.
    t.clock.advance(Duration::from_secs(1));
    t.record(&Call::new("acme", "1.3", old, b"from an old disk")).await;
    assert_eq!(due().await.len(), 2);
    assert_eq!(t.archive.confirm_enrolment(&Actor::command_line(), server.id).await.unwrap(), 1);
    t.clock.advance(Duration::from_secs(1));
    assert_eq!(due().await.len(), 3);
    t.finish().await;
}

pub async fn an_object_left_in_writing_is_swept_and_never_a_live_one(t: TestArchive) {
    let call = Call::new("acme", "1.1", t.now(), b"put, then the power went");
    let claim = t.spool(&call).await;
    let delivery = t.delivery(claim, &call).await;
    // As if the process had died between the put and the commit.
    t.archive.put_object(&delivery, &t.archive.stores()[0]).await.unwrap();
    assert_eq!(t.archive.sweep_objects(10).await.unwrap(), 0, "its lease still runs");
    assert!(matches!(t.archive.deliver(&delivery).await, Ok(Delivered::Archived(_))));
    t.archive.db.execute("UPDATE objects SET lease_until = 0", vec![]).await.unwrap();
    assert_eq!(t.archive.sweep_objects(10).await.unwrap(), 1);
    assert_eq!(t.archive.verify(crate::Depth::Deep).await.unwrap().objects, 1);
    t.finish().await;
}

pub async fn fault_22_several_claimants_never_get_the_same_source(t: TestArchive) {
    let server = t.core_server().await;
    let listed: Vec<NewSource> = (0..60)
        .map(|n| NewSource {
            path: format!("acme/{n}.wav").into(),
            size_bytes: 1,
            mtime: t.now(),
            pbx_token: "acme".to_owned(),
            call_ref: n.to_string(),
            leg: Leg::Mixed,
            direction: crate::Direction::In,
            caller: String::new(),
            callee: String::new(),
            started_at: None,
        })
        .collect();
    assert_eq!(t.archive.discover(server.id, &listed).await.unwrap(), 60);
    assert_eq!(t.archive.discover(server.id, &listed).await.unwrap(), 0);
    assert!(t.archive.knows_source(server.id, &listed[7].path, 1, t.now()).await.unwrap());
    assert!(!t.archive.knows_source(server.id, &listed[7].path, 2, t.now()).await.unwrap());

    let other = t.another_instance("test-2").await;
    let claim = async |archive: &crate::Archive| {
        let mut mine = Vec::new();
        loop {
            let claims = archive.claim_sources(server.id, LEASE, 7).await.unwrap();
            if claims.is_empty() {
                return mine;
            }
            mine.extend(claims.into_iter().map(|claim| claim.source.id));
        }
    };
    let (ours, theirs) = tokio::join!(claim(&t.archive), claim(&other));
    assert_eq!(ours.len() + theirs.len(), 60);
    assert_eq!(ours.iter().chain(&theirs).collect::<HashSet<_>>().len(), 60);
    other.close().await.unwrap();
    t.finish().await;
}

pub async fn a_collector_learns_what_is_known_what_lies_here_and_what_a_lost_instance_left(t: TestArchive) {
    let server = t.core_server().await;
    let here = t.spool(&Call::new("acme", "1.1", t.now(), b"here")).await.source.listed;
    let elsewhere = std::path::PathBuf::from("acme/elsewhere.wav");
    // More paths than one statement looks up.
    let mut paths: Vec<_> = (0..150).map(|n| std::path::PathBuf::from(format!("acme/new-{n}.wav"))).collect();
    paths.extend([here.path.clone(), elsewhere.clone()]);
    let listed = NewSource { path: elsewhere.clone(), ..here.clone() };
    t.archive.discover(server.id, &[listed]).await.unwrap();
    let known = t.archive.list_known_sources(server.id, &paths).await.unwrap();
    assert_eq!(known, HashSet::from([(here.path.clone(), 4, t.now()), (elsewhere.clone(), 4, t.now())]));
    assert_eq!(t.archive.list_known_sources(server.id, &[]).await.unwrap(), HashSet::new());

    let other = t.another_instance("test-2").await;
    let lost = other.claim_sources(server.id, Duration::ZERO, 1).await.unwrap().remove(0);
    assert_eq!(lost.source.listed.path, elsewhere);
    other.mark_spooled(&lost, crate::Sha256::of(b"here")).await.unwrap();
    let spooled: Vec<_> = t.archive.list_spooled_here().await.unwrap().into_iter().map(|it| it.listed.path).collect();
    assert_eq!(spooled, vec![here.path.clone()]);

    // What was touched within the idle time stays the other's; what is in work here is never taken.
    assert_eq!(t.archive.reclaim_spooled(server.id, LEASE, LEASE).await.unwrap(), 0);
    t.clock.advance(LEASE);
    assert_eq!(t.archive.reclaim_spooled(server.id, Duration::ZERO, Duration::ZERO).await.unwrap(), 1);
    assert!(matches!(other.prolong_claim(&lost, LEASE).await, Err(Error::Conflict(_))));
    assert_eq!(t.archive.claim_spooled_sources(server.id, LEASE, 5).await.unwrap(), vec![]);
    t.archive.release_own_claims().await.unwrap();
    let claims = t.archive.claim_spooled_sources(server.id, LEASE, 5).await.unwrap();
    assert_eq!(claims.iter().map(|claim| &claim.source.listed.path).collect::<Vec<_>>(), vec![&here.path]);
    let claims = t.archive.claim_sources(server.id, LEASE, 5).await.unwrap();
    assert_eq!(claims.iter().map(|claim| claim.source.state).collect::<Vec<_>>(), vec![SourceState::Discovered]);

    t.archive.check_stores(Some(&t.place("acme").await)).await.unwrap();
    std::fs::remove_file(t.directory.path().join("store/fonoteca-store.txt")).unwrap();
    assert!(matches!(t.archive.check_stores(None).await, Err(Error::Marker { .. })));
    other.close().await.unwrap();
    t.archive.close().await.unwrap();
}

pub async fn what_is_delivered_by_two_at_the_same_moment_is_archived_once(t: TestArchive) {
    let other = t.another_instance("test-2").await;
    for n in 0..20_u32 {
        // The very recording by two sources, and two legs of one call: both meet in a unique index.
        let call = Call::new("acme", &n.to_string(), t.now(), &n.to_le_bytes());
        let leg = Call { leg: Leg::Caller, ..call.clone() };
        let mut deliveries = Vec::new();
        for call in [&call, &call, &leg] {
            t.clock.advance(Duration::from_millis(1));
            let claim = t.spool(call).await;
            deliveries.push(t.delivery(claim, call).await);
        }
        let (first, second, leg) = tokio::join!(
            t.archive.deliver(&deliveries[0]),
            other.deliver(&deliveries[1]),
            other.deliver(&deliveries[2])
        );
        assert!(matches!(leg.unwrap(), Delivered::Archived(_)));
        match (first.unwrap(), second.unwrap()) {
            (Delivered::Archived(a), Delivered::Duplicate(b)) | (Delivered::Duplicate(b), Delivered::Archived(a)) => {
                assert_eq!(a, b);
            }
            outcome => panic!("{outcome:?}"),
        }
    }
    let page = t.archive.search(Scope::Platform, &Search::default(), None, 100).await.unwrap();
    assert_eq!(page.items.len(), 40);
    let calls: HashSet<_> = page.items.iter().map(|it| it.call).collect();
    assert_eq!(calls.len(), 20);
    t.archive.sweep_objects(100).await.unwrap();
    other.close().await.unwrap();
    t.finish().await;
}

pub async fn what_arrives_while_an_operator_confirms_is_confirmed_too(t: TestArchive) {
    let (server, actor) = (t.core_server().await, Actor::command_line());
    let other = t.another_instance("test-2").await;
    let old = t.now().minus(Duration::from_secs(400 * 86_400));
    for round in 0..10_u32 {
        t.sabotage("UPDATE core_servers SET confirmed_at = NULL").await;
        let mut deliveries = Vec::new();
        for n in 0..8_u32 {
            let call = Call::new("acme", &format!("{round}.{n}"), old, &(8 * round + n).to_le_bytes());
            let claim = t.spool(&call).await;
            deliveries.push(t.delivery(claim, &call).await);
        }
        // When the first is there, the others are about to be.
        let confirm = async {
            while t.sabotage("UPDATE recordings SET guarded = guarded WHERE guarded = 1").await == 0 {
                tokio::task::yield_now().await;
            }
            other.confirm_enrolment(&actor, server.id).await.unwrap();
        };
        let delivered = futures_util::future::join_all(deliveries.iter().map(|it| t.archive.deliver(it)));
        let (delivered, ()) = tokio::join!(delivered, confirm);
        assert!(delivered.into_iter().all(|it| matches!(it, Ok(Delivered::Archived(_)))));
        // Nobody would ever confirm again what was confirmed.
        let left = t.sabotage("UPDATE recordings SET guarded = guarded WHERE guarded = 1").await;
        assert_eq!(left, 0, "round {round}");
        t.clock.advance(Duration::from_millis(1));
    }
    other.close().await.unwrap();
    t.finish().await;
}
