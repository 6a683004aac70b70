//! What a hold stops, and when.

use archive::testing::TestArchive;
use archive::{Actor, Error};
use tokio::sync::Notify;

use super::fixture::*;

#[tokio::test]
async fn a_held_recording_stays_until_it_is_released() {
    let t = TestArchive::start().await;
    let tenant = t.place("acme").await.tenant;
    let held = record(&t, "acme", "held", 100).await;
    let free = record(&t, "acme", "free", 200).await;
    let hold = t.archive.set_hold(&Actor::command_line(), &hold_on(tenant, Some(held))).await.unwrap();
    t.clock.advance(31 * DAY);
    let rotation = rotation(&t);
    let (report, items) = rotated(&rotation).await;
    assert_eq!((ids(&items), report.pbxs[0].kept_back), (vec![free], 1));
    t.clock.advance(30 * DAY);
    let (report, items) = rotated(&rotation).await;
    assert_eq!((items, report.purged.recordings), (vec![], 1));
    assert!(is_visible(&t, held).await);
    t.archive.release_hold(&Actor::command_line(), hold).await.unwrap();
    assert_eq!(ids(&rotated(&rotation).await.1), [held]);
    t.finish().await;
}

#[tokio::test]
async fn a_hold_between_expiry_and_purge_brings_the_recording_back() {
    let t = TestArchive::start().await;
    let tenant = t.place("acme").await.tenant;
    let (held, free) = (record(&t, "acme", "held", 100).await, record(&t, "acme", "free", 200).await);
    t.clock.advance(31 * DAY);
    let rotation = rotation(&t);
    assert_eq!(rotation.rotate_once().await.unwrap().expired.recordings, 2);
    assert_eq!(visible(&t, [held, free]).await, [false, false]);
    let hold = t.archive.set_hold(&Actor::command_line(), &hold_on(tenant, Some(held))).await.unwrap();
    assert!(is_visible(&t, held).await, "at once");
    t.clock.advance(2 * DAY);
    let report = rotation.rotate_once().await.unwrap();
    assert_eq!((report.expired.recordings, report.purged.recordings, report.purged.stored_bytes), (0, 1, 200));
    assert_eq!(report.pbxs[0].kept_back, 1);
    assert!(is_visible(&t, held).await);

    t.archive.release_hold(&Actor::command_line(), hold).await.unwrap();
    let report = rotation.rotate_once().await.unwrap();
    assert_eq!((report.expired.recordings, report.purged.recordings), (1, 0), "with a whole grace period of its own");
    t.clock.advance(DAY);
    assert_eq!(rotation.rotate_once().await.unwrap().purged.recordings, 1);
    assert_eq!(usage(&t).await, vec![]);
    assert_eq!(t.count_tombstones().await, 2);
    t.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fault_30_a_hold_and_a_rotation_never_pass_each_other() {
    Box::pin(race_holds_against_rotations(TestArchive::start().await)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fault_30_a_hold_and_a_rotation_never_pass_each_other_on_postgres() {
    Box::pin(race_holds_against_rotations(TestArchive::start_on_postgres().await)).await;
}

/// Drives `work`, and notifies once it was woken so many times, at the latest when it is done.
async fn notifying_after<T>(wakes: u64, notify: &Notify, work: impl Future<Output = T>) -> T {
    let mut work = std::pin::pin!(work);
    let mut polls = 0;
    std::future::poll_fn(|context| {
        let poll = work.as_mut().poll(context);
        polls += 1;
        if polls > wakes || poll.is_ready() {
            notify.notify_one();
        }
        poll
    })
    .await
}

/// Whoever was told that a recording is held can hear it from then on, whenever the hold came.
async fn race_holds_against_rotations(t: TestArchive) {
    const ROUNDS: u64 = 300;
    let tenant = t.place("acme").await.tenant;
    set_policy(&t, "acme", Some(1), None).await;
    let other = t.another_instance("test-2").await;
    let rotation = hasty(&t);
    let (mut held, mut gone) = (Vec::new(), 0);
    for round in 0..ROUNDS {
        let id = record(&t, "acme", &round.to_string(), 10).await;
        t.clock.advance(DAY + MS);
        let against_purge = round % 2 == 1;
        if against_purge {
            rotation.rotate_once().await.unwrap();
            t.clock.advance(HOUR);
        }
        let (hold, actor) = (hold_on(tenant, Some(id)), Actor::command_line());
        let (set, report) = match round % 10 {
            // One after the other, both ways round.
            0 | 1 => (other.set_hold(&actor, &hold).await, rotation.rotate_once().await),
            2 | 3 => {
                let report = rotation.rotate_once().await;
                (other.set_hold(&actor, &hold).await, report)
            }
            // And at once, the hold begun after ever more of the answers that the rotation waits for.
            _ => {
                let (answers, begin) = ((round / 10 * 6 + round % 10 - 4) % 75, Notify::new());
                let set = async {
                    begin.notified().await;
                    other.set_hold(&actor, &hold).await
                };
                tokio::join!(set, notifying_after(answers, &begin, rotation.rotate_once()))
            }
        };
        report.unwrap();
        match set {
            Ok(_) => {
                assert!(is_visible(&t, id).await, "round {round}: held and gone");
                held.push(id);
            }
            Err(error) => {
                assert!(against_purge && matches!(error, Error::NotFound(_)), "round {round}: {error}");
                assert!(!is_visible(&t, id).await);
                gone += 1;
            }
        }
    }
    assert!(held.len() >= 150 && gone >= 30, "both orders were met: {} held, {gone} gone", held.len());
    t.clock.advance(DAY);
    rotation.rotate_once().await.unwrap();
    for id in held {
        assert!(is_visible(&t, id).await);
    }
    other.close().await.unwrap();
    t.finish().await;
}
