//! Very many recordings at once, of a PBX that is at its quota.

use std::collections::HashMap;
use std::time::Duration;

use archive::testing::{Call, TestArchive};
use archive::{Direction, Leg, Level, NewSource, Sha256};
use futures_util::future::join_all;

use super::fixture::*;

const RECORDINGS: u32 = 500;
const SIZE: u64 = 200;
const QUOTA: u64 = RECORDINGS as u64 * SIZE / 2;

#[tokio::test]
async fn fault_29_five_hundred_at_once_at_the_quota_are_counted_exactly_and_no_more_goes_than_must() {
    storm(TestArchive::start_in_memory().await).await;
}

#[tokio::test]
async fn fault_29_five_hundred_at_once_at_the_quota_are_counted_exactly_and_no_more_goes_than_must_on_postgres() {
    storm(TestArchive::start_in_memory_on_postgres().await).await;
}

async fn storm(t: TestArchive) {
    let pbx = t.place("acme-lab").await.pbx;
    set_policy(&t, "acme-lab", None, Some(QUOTA)).await;
    let begun = t.now();
    t.clock.advance(DAY);
    let calls: Vec<Call> = (0..RECORDINGS)
        .map(|n| {
            let bytes = n.to_string().into_bytes().into_iter().cycle().take(SIZE as usize).collect::<Vec<u8>>();
            Call::new("acme-lab", &n.to_string(), begun.plus(n * MS), &bytes)
        })
        .collect();
    let deliveries = spool_all(&t, &calls).await;

    let rotation = hasty(&t);
    let mut expired = 0;
    {
        let deliver = async |delivery| {
            // As the collector does: what fails because so many want the catalogue is tried again.
            while let Err(error) = t.archive.deliver(delivery).await {
                assert!(error.is_transient(), "{error}");
            }
            t.clock.advance(MS);
        };
        let mut arriving = std::pin::pin!(join_all(deliveries.iter().map(deliver)));
        let mut is_arriving = true;
        while is_arriving {
            let mut rotating = std::pin::pin!(async {
                let gone = rotation.rotate_once().await.unwrap().expired.recordings;
                let used = t.archive.kept_by(Level::Pbx(pbx)).await.unwrap().stored_bytes;
                assert!(gone == 0 || used >= QUOTA, "{used} bytes are left: more has gone than must");
                gone
            });
            tokio::select! {
                _ = &mut arriving => {
                    is_arriving = false;
                    expired += rotating.await;
                }
                gone = &mut rotating => expired += gone,
            }
        }
    }
    t.clock.advance(MS);
    let (_, last) = rotated(&rotation).await;
    expired += last.len() as u64;
    assert_eq!(t.archive.kept_by(Level::Pbx(pbx)).await.unwrap().stored_bytes, QUOTA, "kept to the byte");
    assert_eq!(expired, u64::from(RECORDINGS) / 2);
    let counted = usage(&t).await;
    assert_eq!(counted.iter().map(|it| it.recordings).sum::<u64>(), u64::from(RECORDINGS));
    assert_eq!(counted.iter().map(|it| it.stored_bytes).sum::<u64>(), u64::from(RECORDINGS) * SIZE);

    // Now that all are there: the oldest go first.
    let left = visible_call_refs(&t).await;
    t.clock.advance(MS);
    set_policy(&t, "acme-lab", None, Some(QUOTA / 2)).await;
    rotated(&rotation).await;
    assert_eq!(visible_call_refs(&t).await, left[left.len() / 2..]);
    t.finish().await;
}

/// The call references of what is visible, oldest call first.
async fn visible_call_refs(t: &TestArchive) -> Vec<u32> {
    let found =
        t.archive.search(archive::Scope::Platform, &archive::Search::default(), None, RECORDINGS).await.unwrap();
    let mut refs: Vec<u32> = found.items.iter().map(|recording| recording.call_ref.parse().unwrap()).collect();
    refs.sort_unstable();
    refs
}

/// Lists, claims and spools them all.
async fn spool_all(t: &TestArchive, calls: &[Call]) -> Vec<archive::Delivery> {
    let server = t.core_server().await;
    let listed: Vec<NewSource> = calls
        .iter()
        .map(|call| NewSource {
            path: format!("{}/{}.wav", call.pbx, call.call_ref).into(),
            size_bytes: call.bytes.len() as u64,
            mtime: t.now(),
            pbx_token: call.pbx.clone(),
            call_ref: call.call_ref.clone(),
            leg: Leg::Mixed,
            direction: Direction::Out,
            caller: call.caller.clone(),
            callee: call.callee.clone(),
            started_at: call.started_at,
        })
        .collect();
    t.archive.discover(server.id, &listed).await.unwrap();
    let by_ref: HashMap<&str, &Call> = calls.iter().map(|call| (call.call_ref.as_str(), call)).collect();
    let mut deliveries = Vec::new();
    for claim in t.archive.claim_sources(server.id, Duration::from_secs(600), RECORDINGS).await.unwrap() {
        let call = by_ref[claim.source.listed.call_ref.as_str()];
        t.archive.mark_spooled(&claim, Sha256::of(&call.bytes)).await.unwrap();
        deliveries.push(t.delivery(claim, call).await);
    }
    assert_eq!(deliveries.len(), calls.len());
    deliveries
}
