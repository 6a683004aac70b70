//! What is remembered of changes and reads: for whom, how long, and that nothing happens unremembered. And what the
//! instances know of one another.

use std::time::Duration;

use serde_json::json;

use crate::testing::{Call, TestArchive};
use crate::{Actor, Declaration, Error, ExpiryReason, Instant, NewHold, Principal, PurgeRound, Scope, SourceState};

const DAY: Duration = Duration::from_secs(86_400);
const YEAR: Duration = Duration::from_secs(365 * 86_400);

fn hold_on(t: &crate::PbxPlace) -> NewHold {
    NewHold {
        tenant: t.tenant,
        matter: "a matter".to_owned(),
        recording: None,
        pbx: Some(t.pbx),
        number: None,
        from: None,
        until: None,
    }
}

pub async fn a_pbx_user_reads_what_concerns_its_pbx_and_nothing_else(t: TestArchive) {
    let (acme, lab, cobalt) = (t.place("acme").await, t.place("acme-lab").await, t.place("cobalt").await);
    let operator = Actor::command_line();
    for place in [&acme, &lab, &cobalt] {
        t.archive.set_hold(&operator, &hold_on(place)).await.unwrap();
        let detail = json!({ "pbx": place.pbx.to_string() });
        t.archive.note_read(&operator, "recording.download", Some(place.tenant), None, &detail);
    }
    // A user of the PBX, whatever it does.
    let user = t.archive.authenticate_token(&TestArchive::token("pbx")).await.unwrap();
    t.archive.new_token(&user.actor(None, None), user.id, "a script", None).await.unwrap();
    let login = Actor { principal: Principal::FtpAccount("acme".to_owned()), ..user.actor(None, None) };
    t.archive.note_read(&login, "ftp.login", Some(acme.tenant), None, &json!({}));
    t.archive.flush_reads().await.unwrap();
    let seen = async |scope| {
        let rows = t.archive.list_audit(scope, None, 100).await.unwrap();
        let mut actions: Vec<_> = rows.into_iter().map(|row| row.action).collect();
        actions.sort();
        actions
    };
    let (hold, read, token) = ("hold.set", "recording.download", "token.new");
    // Neither holds nor anybody's tokens.
    assert_eq!(seen(Scope::Pbx(acme.pbx)).await, ["ftp.login", read]);
    assert_eq!(seen(Scope::Pbx(lab.pbx)).await, [read]);
    assert_eq!(
        seen(Scope::Tenant(acme.tenant)).await,
        ["ftp.login", hold, hold, read, read, token],
        "its PBXs' users included"
    );
    assert_eq!(seen(Scope::Tenant(cobalt.tenant)).await, [hold, read]);
    // A program that does not know the column leaves it open; the sealer fills it in.
    t.sabotage("UPDATE audit SET pbx_id = NULL").await;
    assert_eq!(seen(Scope::Pbx(acme.pbx)).await, [""; 0]);
    t.archive.seal_audit().await.unwrap();
    assert_eq!(seen(Scope::Pbx(acme.pbx)).await, ["ftp.login", read]);
    // And nobody moves a row to another PBX.
    t.sabotage("UPDATE audit SET pbx_id = (SELECT id FROM pbxs WHERE code = 'cobalt') WHERE action = 'token.new'")
        .await;
    let error = t.archive.verify_audit().await.unwrap_err().to_string();
    assert!(error.contains("names another PBX"), "{error}");
    t.sabotage("UPDATE audit SET pbx_id = (SELECT id FROM pbxs WHERE code = 'acme') WHERE action = 'token.new'").await;
    t.finish().await;
}

pub async fn what_is_trimmed_of_the_audit_leaves_a_chain_that_can_be_followed(t: TestArchive) {
    let system = Actor::system("rotation");
    let run = async || {
        let run = t.archive.start_run("rotation").await.unwrap();
        t.archive.finish_run(&system, run, "rotation", "{}", &[]).await.unwrap();
        run
    };
    let long_ago = run().await;
    for n in 0..2500 {
        t.archive.note_read(&Actor::command_line(), "recording.download", None, Some(n.to_string()), &json!({}));
    }
    t.archive.flush_reads().await.unwrap();
    while t.archive.seal_audit().await.unwrap() > 0 {}
    let sealed = t.archive.verify_audit().await.unwrap();
    assert_eq!(sealed, 2502, "the fixture's apply, the run and the reads");

    // The clock alone is not believed: rotation, which guards against a wrong one, has finished nothing since.
    t.clock.advance(20 * YEAR);
    assert_eq!(t.archive.trim_audit(10 * YEAR).await.unwrap().rows, 0);
    let last = run().await;
    while t.archive.seal_audit().await.unwrap() > 0 {}
    assert_eq!(t.archive.trim_audit(30 * YEAR).await.unwrap().rows, 0, "nothing is that old");
    // A batch at a call, so that nothing else waits for the last of them.
    let mut trimmed = Vec::new();
    for _ in 0..4 {
        let batch = t.archive.trim_audit(10 * YEAR).await.unwrap();
        trimmed.push((batch.rows, batch.runs, batch.more));
    }
    assert_eq!(trimmed, [(1000, 1, true), (1000, 0, true), (sealed - 2000, 0, true), (0, 0, false)]);
    while t.archive.seal_audit().await.unwrap() > 0 {}
    // Three batches went, and each left a row that says so.
    assert_eq!(t.archive.verify_audit().await.unwrap(), sealed + 4);
    assert_eq!(t.audited("audit.trim").await.len(), 3);
    let runs = t.archive.list_runs(Scope::Platform, "rotation", None, 10).await.unwrap();
    assert_eq!(runs.iter().map(|it| it.id).collect::<Vec<_>>(), [last]);
    assert_ne!(last, long_ago);

    // What is cut off beyond the anchor shows, and a broken chain is not trimmed.
    t.sabotage("UPDATE audit_anchor SET seal_number = seal_number - 1").await;
    assert!(t.archive.verify_audit().await.is_err());
    t.clock.advance(20 * YEAR);
    run().await;
    assert!(matches!(t.archive.trim_audit(10 * YEAR).await, Err(Error::Integrity { .. })));
    t.sabotage("UPDATE audit_anchor SET seal_number = seal_number + 1").await;
    t.finish().await;
}

pub async fn fault_36_a_change_that_cannot_be_audited_does_not_happen(t: TestArchive) {
    let operator = Actor::command_line();
    let claim = t.spool(&Call::new("acme", "odd", t.now(), b"odd")).await;
    t.archive.quarantine(&claim, "not-audio", "").await.unwrap();
    t.work().await;
    let (place, server) = (t.place("acme").await, t.core_server().await);
    let hold = t.archive.list_holds(Scope::Platform).await.unwrap().remove(0).id;
    let expired = {
        let row = t.archive.db.fetch_one("SELECT id FROM recordings WHERE state = 'expired'", vec![]).await.unwrap();
        row.get("id").unwrap()
    };
    let user = t.archive.authenticate_token(&TestArchive::token("tenant")).await.unwrap();
    let token = t.archive.new_token(&operator, user.id, "a script", None).await.unwrap();
    let run = t.archive.start_run("rotation").await.unwrap();
    let mut changed: Declaration = t.declaration();
    changed.tenants[0].name = "Renamed".to_owned();
    let before = t.archive.fingerprint().await;

    t.break_audit().await;
    let a = &t.archive;
    let attempts = [
        ("hold", a.set_hold(&operator, &hold_on(&place)).await.map(|_| ())),
        ("release", a.release_hold(&operator, hold).await),
        ("undelete", a.undelete(&operator, expired).await),
        ("confirm", a.confirm_enrolment(&operator, server.id).await.map(|_| ())),
        ("retry", a.retry_quarantined(&operator, claim.source.id).await),
        ("apply", a.apply(&operator, &changed).await.map(|_| ())),
        ("new token", a.new_token(&operator, user.id, "another", None).await.map(|_| ())),
        ("revoke token", a.revoke_token(&operator, user.id, token.id).await),
        ("accept clock", a.accept_clock(&operator, "rotation").await.map(|_| ())),
        ("finish run", a.finish_run(&operator, run, "rotation", "{}", &[]).await.map(|_| ())),
    ];
    for (what, attempt) in attempts {
        assert!(attempt.unwrap_err().to_string().contains("no room for the audit"), "{what}");
        assert_eq!(t.archive.fingerprint().await, before, "{what}");
    }
    // Reads wait, and are not forgotten: nobody is kept from listening.
    t.archive.note_read(&operator, "recording.download", None, None, &json!({}));
    t.mend_audit().await;
    t.archive.release_hold(&operator, hold).await.unwrap();
    t.archive.flush_reads().await.unwrap();
    assert_eq!(t.audited("recording.download").await.len(), 2, "that of the fixture's work, and this one");
    t.finish().await;
}

pub async fn a_read_that_can_never_be_written_keeps_no_other_from_the_audit(t: TestArchive) {
    let operator = Actor::command_line();
    t.break_audit_for("bad").await;
    for target in ["1", "bad", "2"] {
        t.archive.note_read(&operator, "recording.download", None, Some(target.to_owned()), &json!({}));
    }
    assert_eq!(t.archive.flush_reads().await.unwrap(), 2);
    assert_eq!(t.audited("recording.download").await.len(), 2);
    t.mend_audit().await;
    t.finish().await;
}

pub async fn an_instance_that_retires_gives_back_its_leases_and_its_claims(t: TestArchive) {
    let (server, long) = (t.core_server().await, Duration::from_secs(600));
    let other = t.another_instance("test-2").await;
    t.archive.announce_instance().await.unwrap();
    other.announce_instance().await.unwrap();
    let claim = t.spool(&Call::new("acme", "1", t.now(), b"x")).await;
    let rotation = t.archive.acquire_lease("rotation", long).await.unwrap().unwrap();
    let at_work = async || {
        let instances = other.list_instances().await.unwrap();
        instances.into_iter().map(|it| (it.name, it.at_work)).collect::<Vec<_>>()
    };
    assert_eq!(at_work().await, [("test-1".to_owned(), true), ("test-2".to_owned(), true)]);

    t.archive.retire_instance().await.unwrap();
    assert_eq!(at_work().await, [("test-1".to_owned(), false), ("test-2".to_owned(), true)]);
    let taken = other.acquire_lease("rotation", long).await.unwrap().expect("nobody has it any more");
    assert!(taken.fence > rotation.fence);
    assert!(matches!(t.archive.quarantine(&claim, "late", "").await, Err(Error::Conflict(_))), "a claim given back");
    // One that holds the lease no more commits nothing under it.
    let mut tx = t.archive.db.begin().await.unwrap();
    assert!(matches!(t.archive.check_lease(&mut tx, &rotation).await, Err(Error::Conflict(_))));
    drop(tx);

    // What it has spooled waits for its restart for a while.
    assert_eq!(other.reclaim_spooled(server.id, long, Duration::ZERO).await.unwrap(), 0);
    assert_eq!(t.archive.claim_spooled_sources(server.id, long, 5).await.unwrap().len(), 1);
    t.archive.retire_instance().await.unwrap();
    t.sabotage("UPDATE leases SET until = until - 601000 WHERE name = 'instance:test-1'").await;
    // One that never says that it is at work may have the name now: what was touched lately is somebody's.
    assert_eq!(other.reclaim_spooled(server.id, long, Duration::ZERO).await.unwrap(), 0);
    t.clock.advance(DAY);
    assert_eq!(other.reclaim_spooled(server.id, long, Duration::ZERO).await.unwrap(), 1);
    assert_eq!(t.archive.list_sources(SourceState::Discovered, 5).await.unwrap().len(), 1);
    other.close().await.unwrap();
    t.finish().await;
}

pub async fn what_a_living_instance_has_spooled_stays_its_own_however_long_it_waits(t: TestArchive) {
    let server = t.core_server().await;
    let other = t.another_instance("test-2").await;
    t.archive.announce_instance().await.unwrap();
    t.spool(&Call::new("acme", "1", t.now(), b"x")).await;
    t.archive.release_own_claims().await.unwrap();
    t.clock.advance(DAY);
    // Its store may be down for days: it says itself that it is at work.
    assert_eq!(other.reclaim_spooled(server.id, Duration::ZERO, Duration::ZERO).await.unwrap(), 0);
    other.close().await.unwrap();
    t.finish().await;
}

pub async fn fault_21_an_instance_whose_clock_is_ten_minutes_off_takes_nothing_from_another(t: TestArchive) {
    let (server, minutes) = (t.core_server().await, Duration::from_secs(600));
    for (n, (name, off)) in
        [("ahead", t.now().plus(minutes)), ("behind", t.now().minus(minutes))].into_iter().enumerate()
    {
        let call = Call::new("acme", &n.to_string(), t.now(), b"some audio");
        t.archive.announce_instance().await.unwrap();
        let lease = t.archive.acquire_lease("rotation", Duration::from_secs(60)).await.unwrap().unwrap();
        let claim = t.spool(&call).await;
        // Claims and leases run by the database's clock, whatever an instance's own one shows.
        let other = t.another_instance_at(name, off).await;
        assert_eq!(other.claim_sources(server.id, minutes, 10).await.unwrap().len(), 0, "{name}");
        assert_eq!(other.claim_spooled_sources(server.id, minutes, 10).await.unwrap().len(), 0, "{name}");
        assert_eq!(other.reclaim_spooled(server.id, Duration::ZERO, Duration::ZERO).await.unwrap(), 0, "{name}");
        assert_eq!(other.acquire_lease("rotation", minutes).await.unwrap(), None, "{name}");
        assert_eq!(other.sweep_objects(10).await.unwrap(), 0, "{name}");
        let delivery = t.delivery(claim, &call).await;
        assert!(matches!(t.archive.deliver(&delivery).await, Ok(crate::Delivered::Archived(_))), "{name}");
        t.archive.release_lease(&lease).await.unwrap();
        other.retire_instance().await.unwrap();
        other.close().await.unwrap();
    }
    t.finish().await;
}

pub async fn fault_22_two_instances_that_rotate_and_purge_at_once_take_each_recording_once(t: TestArchive) {
    let place = t.place("acme-lab").await;
    let mut ids = Vec::new();
    for n in 0..12 {
        ids.push(t.record(&Call::new("acme-lab", &n.to_string(), t.now(), b"0123456789")).await);
    }
    let other = t.another_instance("test-2").await;
    let end = Instant::from_millis(i64::MAX);
    let expire = |archive: &std::sync::Arc<crate::Archive>| {
        let (archive, ids) = (std::sync::Arc::clone(archive), ids.clone());
        async move { archive.expire(place.tenant, place.pbx, &ids, end, ExpiryReason::Days, DAY).await.unwrap() }
    };
    let (one, two) = tokio::join!(expire(&t.archive), expire(&other));
    assert_eq!(one.recordings + two.recordings, 12);
    t.clock.advance(2 * DAY);
    let (mut first, mut second) = (PurgeRound::default(), PurgeRound::default());
    let (one, two) = tokio::join!(t.archive.purge_batch(&mut first, 50), other.purge_batch(&mut second, 50));
    assert_eq!(one.unwrap().recordings + two.unwrap().recordings, 12);
    assert_eq!(t.count_tombstones().await, 12);
    other.close().await.unwrap();
    t.finish().await;
}
