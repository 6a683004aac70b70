//! A catalogue that grew by real work, moved to another database.

use super::*;
use crate::testing::{Call, TestArchive, new_postgres_database};
use crate::{Depth, Scope, Search};

const LEASE: std::time::Duration = std::time::Duration::from_secs(60);

fn sqlite_in(t: &TestArchive) -> String {
    format!("sqlite:{}", t.directory.path().join("moved.db").display())
}

async fn moves_whole(t: TestArchive, to: String) {
    t.work().await;
    t.archive.seal_audit().await.unwrap();
    let (before, usage) =
        (t.archive.verify_audit().await.unwrap(), t.archive.list_usage(Scope::Platform).await.unwrap());
    t.archive.close().await.unwrap();
    let mut told = Vec::new();
    move_catalogue(t.database_url(), &to, &mut |table| told.push(table.clone())).await.unwrap();
    let rows = |name: &str| told.iter().find(|it| it.table == name).map(|it| it.rows);
    assert_eq!((rows("recordings"), rows("tombstones"), rows("holds")), (Some(3), Some(1), Some(1)), "{told:?}");

    let archive = t.reopen_at(&to).await;
    assert_eq!(archive.verify(Depth::Deep).await.unwrap().findings, vec![]);
    assert_eq!(
        (archive.verify_audit().await.unwrap(), archive.list_usage(Scope::Platform).await.unwrap()),
        (before, usage)
    );
    assert_eq!(archive.search(Scope::Platform, &Search::default(), None, 10).await.unwrap().items.len(), 2);
    archive.close().await.unwrap();

    let again = move_catalogue(t.database_url(), &to, &mut |_| ()).await.unwrap_err().to_string();
    assert!(again.contains("was moved to another database"), "{again}");
}

#[tokio::test]
async fn a_grown_catalogue_moves_from_sqlite_to_postgres() {
    moves_whole(TestArchive::start().await, new_postgres_database().await).await;
}

#[tokio::test]
async fn a_grown_catalogue_moves_from_postgres_to_sqlite() {
    let t = TestArchive::start_on_postgres().await;
    let to = sqlite_in(&t);
    moves_whole(t, to).await;
}

#[tokio::test]
async fn what_is_in_use_or_occupied_or_not_there_is_not_moved() {
    let t = TestArchive::start().await;
    let to = sqlite_in(&t);
    let refused = async |from: &str, to: &str| move_catalogue(from, to, &mut |_| ()).await.unwrap_err().to_string();
    t.archive.announce_instance().await.unwrap();
    let why = refused(t.database_url(), &to).await;
    assert!(why.contains("at work on the catalogue (instance:test-1)"), "{why}");
    t.archive.retire_instance().await.unwrap();
    // It says nothing of itself, but it works.
    t.spool(&Call::new("acme", "1", t.now(), b"x")).await;
    let why = refused(t.database_url(), &to).await;
    assert!(why.contains("sources claimed by test-1"), "{why}");
    t.archive.retire_instance().await.unwrap();
    let why = refused(&format!("{}-typo", t.database_url()), &to).await;
    assert!(why.contains("no catalogue at"), "{why}");

    let occupied = TestArchive::start_on_postgres().await;
    let why = refused(t.database_url(), occupied.database_url()).await;
    assert!(why.contains("has a catalogue already"), "{why}");
    occupied.finish().await;
    // Nothing of it was changed by being refused.
    t.finish().await;
}

#[tokio::test]
async fn what_is_not_written_as_it_was_read_is_not_committed() {
    let t = TestArchive::start().await;
    t.work().await;
    t.archive.close().await.unwrap();
    let to = new_postgres_database().await;
    let target = Db::open(&to, None).await.unwrap();
    // A column that loses what it is given: a trigger of somebody's.
    for statement in [
        "CREATE FUNCTION lose() RETURNS trigger AS 'BEGIN NEW.caller = ''''; RETURN NEW; END' LANGUAGE plpgsql",
        "CREATE TRIGGER lose BEFORE INSERT ON recordings FOR EACH ROW EXECUTE FUNCTION lose()",
    ] {
        target.execute(statement, params![]).await.unwrap();
    }
    let error = move_catalogue(t.database_url(), &to, &mut |_| ()).await.unwrap_err();
    assert!(matches!(&error, Error::Integrity { id, .. } if id == "recordings"), "{error}");
    let left = target.fetch_one("SELECT count(*) AS n FROM recordings", params![]).await.unwrap();
    assert_eq!(left.get::<i64>("n").unwrap(), 0);
    target.execute("DROP TRIGGER lose ON recordings", params![]).await.unwrap();
    move_catalogue(t.database_url(), &to, &mut |_| ()).await.expect("and the next try does it");
    target.close().await;
}

#[tokio::test]
async fn a_chain_that_is_another_one_at_the_other_end_is_not_committed() {
    let t = TestArchive::start().await;
    t.work().await;
    t.archive.seal_audit().await.unwrap();
    t.archive.close().await.unwrap();
    let to = new_postgres_database().await;
    let target = Db::open(&to, None).await.unwrap();
    // Rows that change behind the back of the comparison: when the audit was compared already.
    for statement in [
        "CREATE FUNCTION forge() RETURNS trigger AS 'BEGIN UPDATE audit SET detail = ''{}''; RETURN NEW; END' LANGUAGE plpgsql",
        "CREATE TRIGGER forge AFTER INSERT ON recordings FOR EACH ROW EXECUTE FUNCTION forge()",
    ] {
        target.execute(statement, params![]).await.unwrap();
    }
    let error = move_catalogue(t.database_url(), &to, &mut |_| ()).await.unwrap_err();
    assert!(matches!(&error, Error::Integrity { id, .. } if id == "chain"), "{error}");
    let left = target.fetch_one("SELECT count(*) AS n FROM audit", params![]).await.unwrap();
    assert_eq!(left.get::<i64>("n").unwrap(), 0);
    target.execute("DROP TRIGGER forge ON recordings", params![]).await.unwrap();
    move_catalogue(t.database_url(), &to, &mut |_| ()).await.expect("and the next try does it");
    target.close().await;
}

#[tokio::test]
async fn who_has_the_old_catalogue_open_gets_no_lease_of_it_any_more() {
    let t = TestArchive::start().await;
    t.archive.announce_instance().await.unwrap();
    t.archive.retire_instance().await.unwrap();
    move_catalogue(t.database_url(), &new_postgres_database().await, &mut |_| ()).await.unwrap();
    let why = t.archive.announce_instance().await.unwrap_err().to_string();
    assert!(why.contains("was moved to another database"), "{why}");
    assert!(!t.archive.list_instances().await.unwrap().iter().any(|it| it.at_work));
    assert!(matches!(t.archive.acquire_lease("rotation", LEASE).await, Err(Error::Moved(_))));
}

#[tokio::test]
async fn what_was_in_work_when_the_catalogue_was_moved_is_claimed_committed_and_purged_there_no_more() {
    let t = TestArchive::start().await.with_stores(&["disk", "second"]).await;
    t.set_tier(&["disk", "second"], Some(1), &[]).await;
    let (place, gone) = (t.place("acme").await, t.record(&Call::new("acme", "1", t.now(), b"gone")).await);
    t.record(&Call::new("acme", "2", t.now(), b"to copy")).await;
    let end = Instant::from_millis(i64::MAX);
    t.archive.expire(place.tenant, place.pbx, &[gone], end, crate::ExpiryReason::Days, LEASE).await.unwrap();
    t.clock.advance(LEASE);
    let (pace, call) = (crate::Pace::new(None), Call::new("acme", "3", t.now(), b"asleep over it"));
    let delivery = t.delivery(t.spool(&call).await, &call).await;
    let round = t.archive.begin_copy_round(&pace).await.unwrap();
    t.archive.claim_copy(&round).await.unwrap().expect("one to copy");
    let refused = async || move_catalogue(t.database_url(), &sqlite_in(&t), &mut |_| ()).await.unwrap_err().to_string();
    assert!(refused().await.contains("sources claimed by test-1"));
    t.sabotage("UPDATE sources SET lease_until = 0 WHERE state = 'spooled'").await;
    assert!(refused().await.contains("copies claimed by test-1"));
    t.end_pauses().await;
    move_catalogue(t.database_url(), &sqlite_in(&t), &mut |_| ()).await.unwrap();

    assert!(matches!(t.archive.deliver(&delivery).await, Err(Error::Conflict("source"))));
    let server = t.core_server().await.id;
    assert!(matches!(t.archive.claim_sources(server, LEASE, 1).await, Err(Error::Moved(_))));
    assert!(matches!(t.archive.claim_copy(&round).await, Err(Error::Moved(_))));
    let purged = t.archive.purge_batch(&mut crate::PurgeRound::default(), 10).await;
    assert!(matches!(purged, Err(Error::Moved(_))), "it may be held where the catalogue is now: {purged:?}");
    assert!(t.stored_file(gone).exists());
}
