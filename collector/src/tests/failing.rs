//! The n-th statement of the catalogue fails, or the n-th request to a store, for n = 1, 2, 3 … until a round of collecting
//! had no failure: as a hiccup, and as an outage that goes on until the round is over. Whatever failed, once all is well
//! again each recording is archived once and whole, and no source went before.

use std::time::Duration;

use archive::testing::{Failing, Lasting, Operation, TestArchive, fail_each};
use archive::{AfterArchive, Depth, Scope, Sha256, SourceState};

use super::rig::{Rig, wav};

const HOUR: Duration = Duration::from_secs(3600);

#[tokio::test]
async fn fault_nth_whichever_operation_fails_each_recording_is_archived_once() {
    let hiccups = [Operation::Statement, Operation::StatementAnswer, Operation::Store, Operation::StoreAnswer];
    let outages = [Operation::Statement, Operation::Store].map(|it| (it, Lasting::Outage));
    let faults = hiccups.map(|it| (it, Lasting::Hiccup)).into_iter().chain(outages);
    collect_with(TestArchive::start_in_memory().await, faults).await;
}

#[tokio::test]
async fn fault_nth_whichever_operation_fails_each_recording_is_archived_once_on_postgres() {
    let faults = [Operation::Statement, Operation::StatementAnswer].map(|it| (it, Lasting::Hiccup));
    collect_with(TestArchive::start_in_memory_on_postgres().await, faults.into_iter()).await;
}

async fn collect_with(t: TestArchive, faults: impl Iterator<Item = (Operation, Lasting)>) {
    let rig = Rig::start_on(t.with_stores(&["disk", "second"]).await);
    rig.set_after(AfterArchive::Delete { after_s: 0 }).await;
    rig.t.set_tier(&["disk", "second"], None, &[]).await;
    let mut rounds = 0;
    for (operation, lasting) in faults {
        fail_each(operation, lasting, async |failing| collect_failing(&rig, failing, &mut rounds).await).await;
        assert_eq!(rig.t.archive.verify(Depth::Fast).await.unwrap().findings, vec![], "{operation:?}, {lasting:?}");
    }
    rig.finish().await;
}

/// A recording comes in while operations fail; says whether any did.
async fn collect_failing(rig: &Rig, failing: Failing, rounds: &mut u32) -> bool {
    // A call that begins now: the newest of all.
    let path = format!("acme/{}.1.wav", rig.t.now().millis() / 1000);
    let file = rig.put(&path, &wav(1, 200 + *rounds));
    let source = Sha256::of_file(&file).unwrap().0;
    let (collected, failed) = failing.during(rig.collector().collect_once(None)).await;
    assert!(failed || collected.is_ok(), "{collected:?}");
    *rounds += 1;

    // A source that is gone has a recording, whatever its collector was told.
    let is_archived = async || rig.newest().await.is_some_and(|recording| recording.source_sha256 == source);
    assert!(file.exists() || is_archived().await, "round {rounds}: the source went too soon");

    // The next processes, with catalogue and stores as they should be.
    for attempt in 1..=3 {
        rig.t.clock.advance(HOUR);
        if attempt == 1 || file.exists() {
            rig.t.end_pauses().await;
            rig.t.archive.watch_stores().await;
            rig.collect().await;
        }
    }
    assert!(!file.exists(), "round {rounds}: the source stayed");
    assert!(is_archived().await, "round {rounds}: it was not archived");
    assert_eq!(rig.landed(), 0, "round {rounds}: leftovers in the landing zone");
    for state in [SourceState::Discovered, SourceState::Spooled, SourceState::Quarantined] {
        assert_eq!(rig.sources(state).await, vec![], "round {rounds}");
    }
    // What was put in vain is nobody's, and goes; the others are there once in each of the tier's two stores.
    rig.t.sabotage("UPDATE objects SET lease_until = 0 WHERE state = 'writing'").await;
    rig.t.archive.sweep_objects(100).await.unwrap();
    let usage = rig.t.archive.list_usage(Scope::Platform).await.unwrap();
    let counted: u64 = usage.iter().map(|it| it.recordings).sum();
    assert_eq!(counted, u64::from(*rounds) * 2, "round {rounds}: each once");
    failed
}
