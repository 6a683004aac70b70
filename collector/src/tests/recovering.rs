//! What happens when something dies: the store, the process, another instance.

use std::fs;
use std::time::Duration;

use archive::{Sha256, SourceState};
use tokio_util::sync::CancellationToken;

use super::rig::{Rig, wav};

const CALL: &str = "acme/2026/11/21/out-102-101-20261121-073942-1795246782.0.wav";
const HOUR: Duration = Duration::from_secs(3600);

#[tokio::test]
async fn a_store_that_is_down_never_quarantines_and_nothing_is_fetched_twice() {
    let mut rig = Rig::start().await;
    rig.config.max_attempts = 1;
    let file = rig.put(CALL, &wav(2, 300));
    rig.unmount_store();
    for _ in 0..3 {
        let collected = rig.collect().await;
        assert_eq!((collected.failed, collected.quarantined, collected.archived), (1, 0, 0));
        rig.t.clock.advance(HOUR);
    }
    let waiting = rig.sources(SourceState::Spooled).await.remove(0);
    assert_eq!((waiting.attempts, waiting.error_code.as_deref()), (3, Some("store")));
    rig.mount_store();
    fs::remove_file(file).unwrap();
    assert_eq!(rig.collect().await.archived, 1);
    rig.finish().await;
}

#[tokio::test]
async fn a_failed_source_waits_for_its_time() {
    let rig = Rig::start().await;
    rig.put(CALL, &wav(2, 300));
    rig.unmount_store();
    assert_eq!(rig.collect().await.failed, 1);
    rig.mount_store();
    assert_eq!(rig.collect().await.archived, 0);
    rig.t.clock.advance(rig.config.first_retry);
    assert_eq!(rig.collect().await.archived, 1);
    rig.finish().await;
}

#[tokio::test]
async fn what_is_lost_or_damaged_in_the_landing_zone_is_fetched_again() {
    let rig = Rig::start().await;
    rig.put(CALL, &wav(2, 300));
    rig.put(&CALL.replace("782.0", "783.0"), &wav(2, 400));
    rig.unmount_store();
    assert_eq!(rig.collect().await.failed, 2);
    let landed: Vec<_> = fs::read_dir(&rig.landing).unwrap().map(|entry| entry.unwrap().path()).collect();
    fs::remove_file(&landed[0]).unwrap();
    fs::write(&landed[1], b"torn").unwrap();
    rig.mount_store();
    rig.t.clock.advance(HOUR);
    let collected = rig.collect().await;
    assert_eq!((collected.archived, collected.failed, collected.quarantined), (2, 0, 0));
    rig.finish().await;
}

#[tokio::test]
async fn fault_01_a_killed_process_is_taken_over_at_once_wherever_it_was() {
    let rig = Rig::start().await;
    let bytes = wav(2, 300);
    for n in 0..4 {
        rig.put(&format!("acme/1795246782.{n}.wav"), &[bytes.as_slice(), &[0; 0]].concat());
    }
    rig.scan().await;
    let server = rig.t.core_server().await;
    // Claimed; fetched; spooled; and one whose object was put when the power went (see the archive's own tests).
    let claims = rig.t.archive.claim_sources(server.id, HOUR, 4).await.unwrap();
    for (step, claim) in claims.iter().enumerate() {
        if step >= 1 {
            fs::write(rig.landing.join(claim.source.id.to_string()), &bytes).unwrap();
        }
        if step >= 2 {
            rig.t.archive.mark_spooled(claim, Sha256::of(&bytes)).await.unwrap();
        }
    }
    fs::write(rig.landing.join(format!("{}.7.part", claims[0].source.id)), b"half").unwrap();
    fs::write(rig.landing.join(format!("{}.8.out.mp3", claims[3].source.id)), b"half").unwrap();
    let collected = rig.collect().await;
    assert_eq!((collected.archived, collected.failed), (4, 0));
    assert_eq!(rig.recordings().await.len(), 4);
    // What the dead process still held is good for nothing.
    assert!(matches!(rig.t.archive.mark_spooled(&claims[0], Sha256::of(b"")).await, Err(archive::Error::Conflict(_))));
    rig.finish().await;
}

#[tokio::test]
async fn what_a_lost_instance_had_spooled_is_fetched_again_when_it_stays_away() {
    let rig = Rig::start().await;
    rig.put(CALL, &wav(2, 300));
    rig.scan().await;
    let other = rig.t.another_instance("lost").await;
    let server = rig.t.core_server().await;
    let claim = other.claim_sources(server.id, Duration::ZERO, 1).await.unwrap().remove(0);
    other.mark_spooled(&claim, Sha256::of(b"on another disk")).await.unwrap();
    assert_eq!(rig.collect().await.archived, 0);
    // Leases run by the database's clock, which no test turns: so the idle time is asked for directly.
    rig.t.clock.advance(HOUR);
    assert_eq!(rig.t.archive.reclaim_spooled(server.id, Duration::ZERO, Duration::ZERO).await.unwrap(), 1);
    assert_eq!(rig.collect().await.archived, 1);
    assert!(matches!(other.quarantine(&claim, "late", "").await, Err(archive::Error::Conflict(_))));
    other.close().await.unwrap();
    rig.finish().await;
}

#[tokio::test]
async fn a_full_landing_zone_pauses_fetching_and_drains_first() {
    let mut rig = Rig::start().await;
    let put = |n: u32| rig.put(&format!("acme/1795246782.{n}.wav"), &wav(1, 300 + n));
    put(0);
    rig.unmount_store();
    assert_eq!(rig.collect().await.failed, 1);
    (1..3).for_each(|n| drop(put(n)));
    // A process that is started anew counts what it finds there.
    rig.config.spool_budget = 1;
    rig.config.claims_per_core_server = 1;
    let collector = rig.collector();
    assert_eq!(collector.collect_once(None).await.unwrap().failed, 0);
    assert_eq!((rig.landed(), rig.sources(SourceState::Discovered).await.len()), (1, 2));
    rig.mount_store();
    assert_eq!(collector.collect_once(None).await.unwrap().archived, 0);
    rig.t.clock.advance(HOUR);
    assert_eq!(collector.collect_once(None).await.unwrap().archived, 3);
    rig.finish().await;
}

#[tokio::test]
async fn what_another_instance_took_over_stays_here_until_that_one_has_ended_it() {
    let mut rig = Rig::start().await;
    let put = |n: u32| rig.put(&format!("acme/1795246782.{n}.wav"), &wav(1, 300 + n));
    put(0);
    rig.unmount_store();
    assert_eq!(rig.collect().await.failed, 1);
    drop(put(1));
    rig.config.spool_budget = 1;
    let collector = rig.collector();
    assert_eq!(collector.collect_once(None).await.unwrap().failed, 0);
    // Its core server may have removed the file meanwhile: then this copy is the only one.
    let taken_over = "UPDATE sources SET instance = 'other', fence = fence + 1, lease_until = 9000000000000000 WHERE state = 'spooled'";
    assert_eq!(rig.t.sabotage(taken_over).await, 1);
    rig.mount_store();
    rig.t.clock.advance(HOUR);
    assert_eq!(collector.collect_once(None).await.unwrap().archived, 0, "the landing zone is full");
    assert_eq!(rig.landed(), 1);
    assert_eq!(rig.t.sabotage("UPDATE sources SET state = 'quarantined' WHERE instance = 'other'").await, 1);
    assert_eq!(collector.collect_once(None).await.unwrap().archived, 1);
    assert_eq!(rig.landed(), 0);
    rig.finish().await;
}

#[tokio::test]
async fn fault_22_two_instances_share_the_work_and_archive_each_recording_once() {
    let rig = Rig::start().await;
    for n in 0..20 {
        rig.put(&format!("acme/1795246782.{n}.wav"), &wav(1, 300 + n));
    }
    let other = rig.t.another_instance("test-2").await;
    let landing = rig.t.directory.path().join("landing-2");
    let second = crate::Collector::new(std::sync::Arc::clone(&other), rig.config.clone(), landing).unwrap();
    let first = rig.collector();
    let (ours, theirs) = tokio::join!(first.collect_once(None), second.collect_once(None));
    let (ours, theirs) = (ours.unwrap(), theirs.unwrap());
    assert_eq!(ours.discovered + theirs.discovered, 20);
    assert_eq!(ours.archived + theirs.archived, 20, "{ours} / {theirs}");
    assert_eq!(rig.recordings().await.len(), 20);
    other.close().await.unwrap();
    rig.finish().await;
}

#[tokio::test]
async fn a_recording_that_takes_long_leaves_the_places_beside_it_to_others() {
    let rig = Rig::start().await;
    rig.put(CALL, &wav(1, 300));
    rig.scan().await;
    let lane = rig.lane().await;
    // Nobody is free to encode: what is in work stays in work.
    let busy = lane.shared.workers.places.acquire_many(rig.config.workers as u32).await.unwrap();
    let stop = CancellationToken::new();
    let arrives = async {
        rig.wait_for_spooled(1).await;
        rig.put(&CALL.replace("782.0", "783.0"), &wav(1, 400));
        lane.scan(&stop).await.unwrap();
        rig.wait_for_spooled(2).await;
        drop(busy);
    };
    let (collected, ()) = tokio::join!(lane.work_until_idle(&stop), arrives);
    assert_eq!(collected.unwrap().archived, 2);
    rig.finish().await;
}

#[tokio::test]
async fn an_outage_does_not_count_against_what_fails_after_it() {
    let mut rig = Rig::start().await;
    rig.config.max_attempts = 2;
    rig.put(CALL, &wav(2, 300));
    rig.scan().await;
    let elsewhere = rig.t.directory.path().join("elsewhere");
    fs::rename(&rig.spool, &elsewhere).unwrap();
    for _ in 0..3 {
        assert_eq!(rig.collect().await.unreachable, 1);
        rig.t.clock.advance(HOUR);
    }
    // The spool is there again, but not yet all of it.
    fs::create_dir(&rig.spool).unwrap();
    fs::write(rig.spool.join("a.lock"), b"").unwrap();
    let collected = rig.collect().await;
    assert_eq!((collected.failed, collected.quarantined), (1, 0));
    fs::rename(elsewhere.join("acme"), rig.spool.join("acme")).unwrap();
    rig.t.clock.advance(HOUR);
    assert_eq!(rig.collect().await.archived, 1);
    rig.finish().await;
}

#[tokio::test]
async fn fault_21_what_was_discovered_while_the_clock_was_ahead_does_not_wait_for_that_time() {
    let rig = Rig::start().await;
    rig.put(CALL, &wav(2, 300));
    let right = rig.t.now();
    rig.t.clock.advance(1000 * HOUR);
    rig.scan().await;
    rig.t.clock.set(right);
    assert_eq!(rig.collect().await.archived, 1);
    rig.finish().await;
}

#[tokio::test]
async fn what_another_instance_took_over_makes_room_in_the_landing_zone() {
    let mut rig = Rig::start().await;
    rig.put(CALL, &wav(1, 300));
    rig.unmount_store();
    assert_eq!(rig.collect().await.failed, 1);
    rig.config.spool_budget = 1;
    let first = rig.collector();
    assert_eq!(first.collect_once(None).await.unwrap().failed, 0);
    rig.mount_store();
    rig.t.clock.advance(HOUR);
    let other = rig.t.another_instance("test-2").await;
    let server = rig.t.core_server().await;
    assert_eq!(other.reclaim_spooled(server.id, Duration::ZERO, Duration::ZERO).await.unwrap(), 1);
    let landing = rig.t.directory.path().join("landing-2");
    let second = crate::Collector::new(std::sync::Arc::clone(&other), rig.config.clone(), landing).unwrap();
    assert_eq!(second.collect_once(None).await.unwrap().archived, 1);
    rig.put(&CALL.replace("782.0", "783.0"), &wav(1, 400));
    assert_eq!(first.collect_once(None).await.unwrap().archived, 1);
    other.close().await.unwrap();
    rig.finish().await;
}

#[tokio::test]
async fn a_claim_that_went_to_this_instance_again_leaves_it_the_copy() {
    let rig = Rig::start().await;
    let file = rig.put(CALL, &wav(1, 300));
    rig.scan().await;
    let (lane, server) = (rig.lane().await, rig.t.core_server().await);
    rig.unmount_store();
    let stop = CancellationToken::new();
    assert_eq!(lane.work_until_idle(&stop).await.unwrap().failed, 1);
    rig.t.clock.advance(HOUR);
    let stale = rig.t.archive.claim_sources(server.id, HOUR, 1).await.unwrap().remove(0);
    rig.t.archive.release_own_claims().await.unwrap();
    rig.mount_store();
    assert_eq!(Box::pin(std::sync::Arc::clone(&lane).work(stale, stop.clone())).await, crate::work::Ended::Lost);
    // The core server has let go of it meanwhile.
    fs::remove_file(file).unwrap();
    assert_eq!(lane.work_until_idle(&stop).await.unwrap().archived, 1);
    rig.finish().await;
}

#[tokio::test]
async fn what_another_instance_took_over_stays_in_the_landing_zone_until_it_is_done() {
    let rig = Rig::start().await;
    let other = rig.t.another_instance("test-2").await;
    rig.put(CALL, &wav(1, 300));
    rig.unmount_store();
    assert_eq!(rig.collect().await.failed, 1);
    rig.t.clock.advance(HOUR);
    let server = rig.t.core_server().await;
    assert_eq!(other.reclaim_spooled(server.id, Duration::ZERO, Duration::ZERO).await.unwrap(), 1);
    // The other one has not fetched it yet, and its store may be away: this may be the last copy.
    let claim = other.claim_sources(server.id, HOUR, 1).await.unwrap().remove(0);
    assert_eq!(rig.collect().await.failed, 0);
    assert_eq!(rig.landed(), 1);
    rig.mount_store();
    other.retry_source_later(&claim, "", "", rig.t.now()).await.unwrap();
    let landing = rig.t.directory.path().join("landing-2");
    let second = crate::Collector::new(std::sync::Arc::clone(&other), rig.config.clone(), landing).unwrap();
    assert_eq!(second.collect_once(None).await.unwrap().archived, 1);
    rig.collect().await;
    assert_eq!(rig.landed(), 0);
    other.close().await.unwrap();
    rig.finish().await;
}
