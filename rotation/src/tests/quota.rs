//! By quota, and by both.

use archive::testing::TestArchive;
use archive::{Actor, Bound, ExpiryReason, Instant, Level, Measure};

use super::fixture::*;
use crate::{PlannedExpiry, Rule};

fn exceeded(items: &[PlannedExpiry]) -> Vec<u64> {
    let by = |it: &PlannedExpiry| match &it.rule {
        Rule::Quota(exceeded) => exceeded.exceeded_by,
        _ => panic!("not by quota: {it}"),
    };
    items.iter().map(by).collect()
}

#[tokio::test]
async fn the_oldest_go_until_the_quota_is_kept_to_the_byte() {
    let t = TestArchive::start().await;
    let pbx = t.place("acme-lab").await.pbx;
    // The order of age is not the order in which they were archived.
    let start = t.now();
    let third = record_at(&t, "acme-lab", "3", start.plus(3 * HOUR), 3000).await;
    let first = record_at(&t, "acme-lab", "1", start.plus(HOUR), 2000).await;
    let second = record_at(&t, "acme-lab", "2", start.plus(2 * HOUR), 3000).await;
    let neighbour = record_at(&t, "acme", "n", start, 50_000).await;
    let fourth = record_at(&t, "acme-lab", "4", start.plus(4 * HOUR), 2000).await;
    t.clock.advance(8 * DAY);
    let rotation = rotation(&t);
    assert_eq!(planned(&rotation).await, vec![], "10,000 bytes of 10,000 are not too many");

    // One byte more: the oldest goes, and no other though 1,999 bytes too many went with it.
    let fifth = record(&t, "acme-lab", "5", 1).await;
    let (_, items) = rotated(&rotation).await;
    assert_eq!((ids(&items), exceeded(&items)), (vec![first], vec![1]));
    assert_eq!(t.archive.kept_by(Level::Pbx(pbx)).await.unwrap().stored_bytes, 8001);

    // 3,001 bytes too many: one of 3,000 does not do, the next goes as well.
    let sixth = record(&t, "acme-lab", "6", 5000).await;
    let (report, items) = rotated(&rotation).await;
    assert_eq!((ids(&items), exceeded(&items)), (vec![second, third], vec![3001, 1]));
    assert_eq!(t.archive.kept_by(Level::Pbx(pbx)).await.unwrap().stored_bytes, 7001);
    assert_eq!((report.pbxs[0].by_quota.stored_bytes, report.pbxs[0].over_quota_by.stored_bytes), (6000, 0));

    // Exactly as much as is too much.
    record(&t, "acme-lab", "7", 4999).await;
    let (_, items) = rotated(&rotation).await;
    assert_eq!((ids(&items), exceeded(&items)), (vec![fourth], vec![2000]));
    assert_eq!(t.archive.kept_by(Level::Pbx(pbx)).await.unwrap().stored_bytes, 10_000);
    assert_eq!(visible(&t, [fifth, sixth, neighbour]).await, [true, true, true]);
    t.finish().await;
}

#[tokio::test]
async fn many_small_ones_go_over_several_batches() {
    let t = TestArchive::start().await;
    set_policy(&t, "acme-lab", None, Some(100)).await;
    let mut recordings = Vec::new();
    for n in 0..11_u32 {
        recordings.push(record_at(&t, "acme-lab", &n.to_string(), t.now().plus(n * MS), 20).await);
    }
    t.clock.advance(8 * DAY);
    let (_, items) = rotated(&rotation(&t)).await;
    assert_eq!(ids(&items), recordings[..6]);
    assert_eq!(exceeded(&items), [120, 100, 80, 60, 40, 20]);
    t.finish().await;
}

#[tokio::test]
async fn days_go_first_and_the_quota_takes_what_is_still_too_much() {
    for (newest, also_by_quota) in [(4000, 0), (4001, 1)] {
        let t = TestArchive::start().await;
        set_policy(&t, "acme-lab", Some(30), Some(10_000)).await;
        let old = record(&t, "acme-lab", "old", 6000).await;
        t.clock.advance(20 * DAY);
        let middle = record(&t, "acme-lab", "middle", 6000).await;
        let young = record(&t, "acme-lab", "young", newest).await;
        t.clock.advance(11 * DAY);
        let rotation = rotation(&t);
        let plan = planned(&rotation).await;
        let (report, items) = rotated(&rotation).await;
        assert_eq!(plan, items);
        assert_eq!(items[0].rule, Rule::Days { days: 30 });
        assert_eq!(ids(&items), [old, middle][..1 + also_by_quota]);
        assert_eq!(exceeded(&items[1..]), [1][..also_by_quota]);
        let figures = &report.pbxs[0];
        assert_eq!((figures.by_days.recordings, figures.by_quota.recordings), (1, also_by_quota as u64));
        assert!(is_visible(&t, young).await);
        t.finish().await;
    }
}

#[tokio::test]
async fn what_is_too_young_stays_though_the_quota_is_exceeded() {
    let t = TestArchive::start().await;
    let recording = record_at(&t, "acme-lab", "big", t.now(), 10_020).await;
    let rotation = rotation(&t);
    t.clock.advance(7 * DAY);
    let (report, items) = rotated(&rotation).await;
    assert_eq!((items, report.pbxs[0].over_quota_by.stored_bytes, report.pbxs[0].kept_back), (vec![], 20, 0));
    t.clock.advance(MS);
    assert_eq!(ids(&rotated(&rotation).await.1), [recording]);
    t.finish().await;
}

#[tokio::test]
async fn with_all_held_the_pbx_stays_over_its_quota_and_goes_on_archiving() {
    let t = TestArchive::start().await;
    let place = t.place("acme-lab").await;
    let first = record(&t, "acme-lab", "1", 8000).await;
    let second = record(&t, "acme-lab", "2", 4000).await;
    let hold = t.archive.set_hold(&Actor::command_line(), &hold_on(place.tenant, None)).await.unwrap();
    t.clock.advance(8 * DAY);
    let rotation = rotation(&t);
    for round in 0..3 {
        let (report, items) = rotated(&rotation).await;
        assert_eq!(items, vec![]);
        assert_eq!((report.pbxs[0].over_quota_by.stored_bytes, report.pbxs[0].kept_back), (2000, 2), "round {round}");
        assert!(report.is_clean());
        assert_eq!(troubles(&t).await, ["pbx.over-quota"], "told once, not with every run");
        t.clock.advance(MS);
    }
    let third = record(&t, "acme-lab", "3", 500).await;
    assert_eq!(visible(&t, [first, second, third]).await, [true, true, true]);
    assert_eq!(rotated(&rotation).await.0.pbxs[0].over_quota_by.stored_bytes, 2500);

    t.archive.release_hold(&Actor::command_line(), hold).await.unwrap();
    t.clock.advance(MS);
    assert_eq!(ids(&rotated(&rotation).await.1), [first]);
    // Over it again later is another event.
    t.archive.set_hold(&Actor::command_line(), &hold_on(place.tenant, None)).await.unwrap();
    record(&t, "acme-lab", "4", 9000).await;
    rotated(&rotation).await;
    assert_eq!(troubles(&t).await, ["pbx.over-quota", "pbx.over-quota"]);
    t.finish().await;
}

#[tokio::test]
async fn expiring_by_quota_stops_at_the_quota_whatever_was_decided_before() {
    let t = TestArchive::start().await;
    let place = t.place("acme-lab").await;
    let mut listed = Vec::new();
    for n in 0..4_u32 {
        listed.push(record_at(&t, "acme-lab", &n.to_string(), t.now().plus(n * MS), 4000).await);
    }
    t.clock.advance(8 * DAY);
    let end = Instant::from_millis(i64::MAX);
    // A late rotation that believes that all four have to go, while two suffice.
    let bounds = [Bound { level: Level::Pbx(place.pbx), measure: Measure::Bytes, most: 10_000 }];
    let (grace, reason) = (24 * HOUR, ExpiryReason::Quota);
    let expired = t.archive.expire_over_quota(place.tenant, place.pbx, &listed, end, reason, grace, &bounds);
    let expired = expired.await.unwrap();
    assert_eq!((expired.ids, expired.recordings, expired.stored_bytes), (listed[..2].to_vec(), 2, 8000));
    let by_days = t.archive.expire(place.tenant, place.pbx, &listed, end, ExpiryReason::Days, HOUR).await.unwrap();
    assert_eq!(by_days.ids, listed[2..]);
    t.finish().await;
}
