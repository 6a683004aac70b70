//! By days.

use archive::testing::TestArchive;
use archive::{Actor, Instant};

use super::fixture::*;

fn at(text: &str) -> Instant {
    Instant::from(text.parse::<jiff::Timestamp>().unwrap())
}

/// Records in each zone at `recorded`, and looks when each goes: a millisecond after `[Berlin, UTC, New York]`.
async fn goes_after_thirty_days_in_its_zone(recorded: &str, stays_at: [&str; 3]) {
    let t = TestArchive::start().await;
    t.clock.set(at(recorded));
    let mut recordings = Vec::new();
    for (pbx, stays_at) in ["acme", "borealis", "cobalt"].into_iter().zip(stays_at) {
        recordings.push((pbx, at(stays_at), record_at(&t, pbx, pbx, at(recorded), 100).await));
    }
    let rotation = rotation(&t);
    let mut moments: Vec<Instant> = stays_at.iter().flat_map(|it| [at(it), at(it).plus(MS)]).collect();
    moments.sort();
    for moment in moments {
        t.clock.set(moment);
        rotation.rotate_once().await.unwrap();
        for (pbx, stays_at, id) in &recordings {
            assert_eq!(is_visible(&t, *id).await, moment <= *stays_at, "{pbx} at {moment}");
        }
    }
    t.finish().await;
}

#[tokio::test]
async fn fault_21_days_end_at_the_same_time_of_day_when_summer_time_begins() {
    // Berlin changes on 2027-03-28, New York on 2027-03-14.
    let stays_at = ["2027-04-09T11:00:00Z", "2027-04-09T12:00:00Z", "2027-04-09T11:00:00Z"];
    goes_after_thirty_days_in_its_zone("2027-03-10T12:00:00Z", stays_at).await;
}

#[tokio::test]
async fn fault_21_days_end_at_the_same_time_of_day_when_summer_time_ends() {
    // Berlin changes on 2027-10-31, New York on 2027-11-07.
    let stays_at = ["2027-11-09T13:00:00Z", "2027-11-09T12:00:00Z", "2027-11-09T13:00:00Z"];
    goes_after_thirty_days_in_its_zone("2027-10-10T12:00:00Z", stays_at).await;
}

#[tokio::test]
async fn what_was_archived_late_stays_for_its_minimum_age() {
    let t = TestArchive::start().await;
    let began = t.now().plus(HOUR);
    t.clock.advance(40 * DAY);
    let late = record_at(&t, "acme", "late", began, 100).await;
    let rotation = rotation(&t);
    t.clock.advance(7 * DAY);
    rotation.rotate_once().await.unwrap();
    assert!(is_visible(&t, late).await, "archived exactly seven days ago");
    t.clock.advance(MS);
    let (report, items) = rotated(&rotation).await;
    assert_eq!(ids(&items), [late]);
    assert_eq!((report.expired.recordings, report.expired.stored_bytes), (1, 100));
    t.finish().await;
}

#[tokio::test]
async fn what_is_older_than_the_enrolment_stays_and_counts_to_no_quota_until_confirmed() {
    let t = TestArchive::start().await;
    let began = t.now().minus(60 * DAY);
    let by_days = record_at(&t, "acme", "old", began, 100).await;
    let by_quota = record_at(&t, "acme-lab", "big", began, 10_001).await;
    t.clock.advance(8 * DAY);
    let rotation = rotation(&t);
    let (report, items) = rotated(&rotation).await;
    assert_eq!((items, report.pbxs), (vec![], vec![]), "not even over its quota");
    assert_eq!(visible(&t, [by_days, by_quota]).await, [true, true]);
    let server = t.core_server().await;
    assert_eq!(t.archive.confirm_enrolment(&Actor::command_line(), server.id).await.unwrap(), 2);
    assert_eq!(ids(&rotated(&rotation).await.1), [by_days, by_quota]);
    t.finish().await;
}

#[tokio::test]
async fn a_quota_alone_never_looks_at_the_age() {
    let t = TestArchive::start().await;
    let lab = record(&t, "acme-lab", "kept", 5000).await;
    t.clock.advance(4000 * DAY);
    let (report, _) = rotated(&rotation(&t)).await;
    assert_eq!(report.pbxs, vec![]);
    assert!(is_visible(&t, lab).await, "there is room for it");
    t.finish().await;
}
