//! The n-th statement of the catalogue fails, or the n-th request to a store, for n = 1, 2, 3 … until a run had no failure:
//! as a hiccup, and as an outage that goes on until the run is over. Whatever failed, once all is well again what is due
//! has gone, what moves has moved, what is held is there, and all of it is counted.

use archive::testing::{Failing, Lasting, Operation, TestArchive, fail_each};
use archive::{Actor, Depth, RecordingId};

use super::fixture::*;

#[tokio::test]
async fn fault_nth_whichever_operation_fails_what_is_due_goes_and_nothing_else() {
    let hiccups = [Operation::Statement, Operation::StatementAnswer, Operation::Store, Operation::StoreAnswer];
    let faults = hiccups.map(|it| (it, Lasting::Hiccup)).into_iter().chain([(Operation::Store, Lasting::Outage)]);
    Box::pin(rotate_with(TestArchive::start_in_memory().await, faults)).await;
}

#[tokio::test]
async fn fault_nth_whichever_operation_fails_what_is_due_goes_and_nothing_else_on_postgres() {
    let faults = [(Operation::StatementAnswer, Lasting::Hiccup)].into_iter();
    Box::pin(rotate_with(TestArchive::start_in_memory_on_postgres().await, faults)).await;
}

/// Recordings of acme go to the disk, and after ten days to `second`; those of its laboratory go after a day.
async fn rotate_with(t: TestArchive, faults: impl Iterator<Item = (Operation, Lasting)>) {
    let t = t.with_stores(&["disk", "second"]).await;
    t.set_tier(&["disk"], None, &[(10, &["second"])]).await;
    set_policy(&t, "acme", Some(90_000), None).await;
    set_policy(&t, "acme-lab", Some(1), None).await;
    let held = record(&t, "acme-lab", "held", 100).await;
    let hold = hold_on(t.place("acme-lab").await.tenant, Some(held));
    t.archive.set_hold(&Actor::command_line(), &hold).await.unwrap();
    let mut rounds = 0;
    for (operation, lasting) in faults {
        let rotate = async |failing| {
            rounds += 1;
            rotate_failing(&t, failing, rounds, held).await
        };
        fail_each(operation, lasting, rotate).await;
        assert_eq!(t.archive.verify(Depth::Fast).await.unwrap().findings, vec![], "{operation:?}, {lasting:?}");
    }
    t.finish().await;
}

/// One recording is purged that expired in the round before, another expires, and a third moves while operations fail;
/// says whether any did.
async fn rotate_failing(t: &TestArchive, failing: Failing, round: u64, held: RecordingId) -> bool {
    let rotation = hasty(t);
    let expired = record(t, "acme-lab", &format!("{round}-expired"), 100).await;
    let moved = record(t, "acme", &format!("{round}-moved"), 100).await;
    let bytes = t.read(moved).await.unwrap();
    t.clock.advance(11 * DAY);
    let run = async { (rotation.rotate_once().await, rotation.copy_what_waits().await) };
    let (_, failed) = failing.during(run).await;
    // Catalogue and stores are as they should be again.
    t.end_pauses().await;
    t.archive.watch_stores().await;
    assert_eq!(t.read(moved).await.unwrap(), bytes, "round {round}: it moves and cannot be read");
    assert!(is_visible(t, held).await, "round {round}: held and gone");

    // The next run, when the failed one's lease is over.
    t.sabotage("UPDATE leases SET until = 0 WHERE name = 'rotation'").await;
    let (report, copied) = (rotation.rotate_once().await.unwrap(), rotation.copy_what_waits().await.unwrap());
    assert!(report.is_clean() && copied.is_clean(), "round {round}: {report}, {copied}");
    t.sabotage("UPDATE objects SET lease_until = 0 WHERE state = 'writing'").await;
    t.sweep_replaced().await;
    assert_eq!((t.stores_of(moved).await, t.read(moved).await.unwrap()), (vec!["second".to_owned()], bytes));
    assert_eq!(visible(t, [held, expired]).await, [true, false], "round {round}");
    assert_eq!(t.count_tombstones().await, round - 1, "round {round}: each is purged once");
    let counted: u64 = usage(t).await.iter().map(|it| it.recordings).sum();
    assert_eq!(counted, 2 + round, "round {round}: what is held, what waits for its purge, and what has moved");
    failed
}
