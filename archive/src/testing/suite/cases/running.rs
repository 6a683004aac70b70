//! What rotation asks of the catalogue: expiring to a quota, rounds of purging, and the record of its runs.

use std::time::Duration;

use serde_json::json;

use crate::testing::{Call, TestArchive};
use crate::{
    Actor, Bound, Error, ExpiryReason, Instant, Level, Measure, PurgeRound, RecordingId, RunEvent, Scope, Sha256,
};

const HOUR: Duration = Duration::from_secs(3600);
const END: Instant = Instant::from_millis(i64::MAX);

async fn record(t: &TestArchive, count: u32, size: usize) -> Vec<RecordingId> {
    let mut ids = Vec::new();
    for n in 0..count {
        ids.push(t.record(&Call::new("acme-lab", &n.to_string(), t.now(), &vec![b'x'; size])).await);
        t.clock.advance(Duration::from_millis(1));
    }
    ids
}

pub async fn expiring_over_a_quota_stops_at_the_quota(t: TestArchive) {
    let (place, ids) = (t.place("acme-lab").await, record(&t, 5, 1000).await);
    let expire = async |most| {
        let bounds = [Bound { level: Level::Pbx(place.pbx), measure: Measure::Bytes, most }];
        let (reason, archive) = (ExpiryReason::Quota, &t.archive);
        archive.expire_over_quota(place.tenant, place.pbx, &ids, END, reason, HOUR, &bounds).await.unwrap()
    };
    assert_eq!(expire(5000).await.ids, vec![], "exactly full is not over");
    assert_eq!(expire(4999).await.ids, ids[..1]);
    assert_eq!(expire(2500).await.ids, ids[1..3], "to the quota or under it, and no further");
    assert_eq!(t.archive.kept_by(Level::Pbx(place.pbx)).await.unwrap().stored_bytes, 2000);
    assert_eq!(expire(u64::MAX).await.recordings, 0);
    let last = expire(0).await;
    assert_eq!((last.ids, last.recordings, last.stored_bytes), (ids[3..].to_vec(), 2, 2000));
    t.finish().await;
}

pub async fn a_round_of_purging_visits_everything_that_is_due_once(t: TestArchive) {
    let (place, ids) = (t.place("acme-lab").await, record(&t, 5, 10).await);
    t.archive.expire(place.tenant, place.pbx, &ids, END, ExpiryReason::Days, HOUR).await.unwrap();
    assert_eq!(t.archive.count_purgeable().await.unwrap().recordings, 0, "the grace period still runs");
    t.clock.advance(HOUR);
    let foretold = t.archive.count_purgeable().await.unwrap();
    assert_eq!((foretold.recordings, foretold.stored_bytes), (5, 50));
    let (mut round, mut batches) = (PurgeRound::default(), Vec::new());
    while !round.is_over() {
        batches.push(t.archive.purge_batch(&mut round, 2).await.unwrap().recordings);
    }
    assert_eq!(batches, [2, 2, 1]);
    assert_eq!(t.archive.count_purgeable().await.unwrap().recordings, 0);
    t.finish().await;
}

pub async fn a_recording_that_cannot_be_purged_keeps_no_other_from_it(t: TestArchive) {
    let (place, ids) = (t.place("acme-lab").await, record(&t, 3, 10).await);
    t.archive.expire(place.tenant, place.pbx, &ids, END, ExpiryReason::Days, HOUR).await.unwrap();
    t.clock.advance(HOUR);
    t.sabotage("UPDATE recordings SET tenant_id = NULL WHERE id IN (SELECT id FROM recordings ORDER BY id LIMIT 1)")
        .await;
    let purged = t.purge().await;
    assert_eq!((purged.recordings, purged.failed), (2, 1));
    assert_eq!(t.purge().await.failed, 1, "and it is asked again");
    t.finish().await;
}

pub async fn a_run_is_finished_once_with_its_report_its_events_and_its_row_of_the_audit(t: TestArchive) {
    let (actor, tenant) = (Actor::system("rotation"), t.tenant("acme").await.id);
    let run = t.archive.start_run("rotation").await.unwrap();
    assert_eq!(t.archive.find_last_run("rotation").await.unwrap(), None, "it still runs");
    t.clock.advance(HOUR);
    let events = [RunEvent { event: "pbx.over-quota", tenant: Some(tenant), payload: json!({ "over_by": 1 }) }];
    let hash = t.archive.finish_run(&actor, run, "rotation", "{}", &events).await.unwrap();
    assert_eq!(hash, Sha256::of(b"{}"));
    let twice = t.archive.finish_run(&actor, run, "rotation", "{}", &events).await;
    assert!(matches!(twice, Err(Error::Conflict(_))));
    let last = t.archive.find_last_run("rotation").await.unwrap().unwrap();
    assert_eq!((last.id, last.finished_at, last.report.as_str()), (run, Some(t.now()), "{}"));
    assert_eq!(last.report_sha256, Some(hash));

    let audit = t.archive.list_audit(Scope::Platform, None, 1).await.unwrap();
    assert_eq!((audit[0].action.as_str(), audit[0].target.clone()), ("run.finish", Some(run.to_string())));
    assert!(audit[0].detail.contains(&hash.to_string()));
    let told = t.archive.list_unsent_events(1000).await.unwrap();
    assert_eq!(told.iter().filter(|it| it.event == "pbx.over-quota" && it.tenant == Some(tenant)).count(), 1);

    let newer = t.archive.start_run("rotation").await.unwrap();
    let listed = async |before, limit| {
        let runs = t.archive.list_runs(Scope::Platform, "rotation", before, limit).await.unwrap();
        runs.into_iter().map(|it| it.id).collect::<Vec<_>>()
    };
    assert_eq!(listed(None, 10).await, [newer, run]);
    assert_eq!((listed(None, 1).await, listed(Some(newer), 10).await), (vec![newer], vec![run]));
    assert_eq!(t.archive.list_runs(Scope::Tenant(tenant), "rotation", None, 10).await.unwrap(), vec![]);
    t.finish().await;
}

pub async fn an_accepted_clock_disowns_the_runs_of_a_later_time(t: TestArchive) {
    let actor = Actor::command_line();
    let right = t.now();
    t.clock.advance(1000 * HOUR);
    let run = t.archive.start_run("rotation").await.unwrap();
    t.archive.finish_run(&actor, run, "rotation", "{}", &[]).await.unwrap();
    t.clock.set(right);
    let stranger = Actor { scope: Scope::Tenant(t.tenant("acme").await.id), ..Actor::command_line() };
    assert!(matches!(t.archive.accept_clock(&stranger, "rotation").await, Err(Error::Forbidden(_))));
    assert_eq!(t.archive.accept_clock(&actor, "rotation").await.unwrap(), 1);
    let last = t.archive.find_last_run("rotation").await.unwrap().unwrap();
    assert_eq!(last.finished_at, Some(right));
    let disowned = t.archive.list_runs(Scope::Platform, "rotation-disowned", None, 10).await.unwrap();
    assert_eq!(disowned.iter().map(|it| it.id).collect::<Vec<_>>(), [run]);
    t.finish().await;
}
