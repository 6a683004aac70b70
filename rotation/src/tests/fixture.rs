//! What the tests share: recordings of an exact size, a changed platform, and what can be seen of it all.

use std::sync::Arc;
use std::time::Duration;

use archive::testing::{Call, TestArchive};
use archive::{Actor, Declaration, DeclaredPbx, Instant, NewHold, RecordingId, Scope, Usage};
use tokio_util::sync::CancellationToken;

use crate::{Config, PlannedExpiry, Report, Rotation};

pub(super) const MS: Duration = Duration::from_millis(1);
pub(super) const HOUR: Duration = Duration::from_secs(3600);
pub(super) const DAY: Duration = Duration::from_secs(86_400);

pub(super) fn rotation(t: &TestArchive) -> Rotation {
    Rotation::new(Arc::clone(&t.archive), Config::default())
}

/// As [`rotation`], with nothing too young to go, the shortest grace period, and a clock that may jump.
pub(super) fn hasty(t: &TestArchive) -> Rotation {
    let config = Config { min_age: Duration::ZERO, grace: HOUR, max_clock_jump: 9999 * DAY, ..Config::default() };
    Rotation::new(Arc::clone(&t.archive), config)
}

/// Archives a recording of so many bytes whose call begins now; the next one begins a millisecond later.
pub(super) async fn record(t: &TestArchive, pbx: &str, call_ref: &str, size: usize) -> RecordingId {
    let id = record_at(t, pbx, call_ref, t.now(), size).await;
    t.clock.advance(MS);
    id
}

/// As [`record`], of a call that began at `started_at`.
pub(super) async fn record_at(
    t: &TestArchive,
    pbx: &str,
    call_ref: &str,
    started_at: Instant,
    size: usize,
) -> RecordingId {
    let bytes: Vec<u8> = call_ref.bytes().cycle().take(size).collect();
    t.record(&Call::new(pbx, call_ref, started_at, &bytes)).await
}

/// Gives the PBX days and a quota of its own; the other PBXs keep theirs.
pub(super) async fn set_policy(t: &TestArchive, pbx: &str, days: Option<u32>, quota: Option<u64>) {
    let declared = t.declaration().pbxs.into_iter().find(|it| it.code == pbx).expect("the PBX is declared");
    let pbxs = vec![DeclaredPbx { days, quota, ..declared }];
    t.archive.apply(&Actor::command_line(), &Declaration { pbxs, ..Declaration::default() }).await.expect("apply");
}

pub(super) fn hold_on(tenant: archive::TenantId, recording: Option<RecordingId>) -> NewHold {
    NewHold { tenant, matter: "a dispute".to_owned(), recording, pbx: None, number: None, from: None, until: None }
}

pub(super) async fn is_visible(t: &TestArchive, id: RecordingId) -> bool {
    t.archive.get_recording(Scope::Platform, id).await.is_ok()
}

/// Which of them are visible.
pub(super) async fn visible<const N: usize>(t: &TestArchive, ids: [RecordingId; N]) -> [bool; N] {
    let mut seen = [false; N];
    for (seen, id) in seen.iter_mut().zip(ids) {
        *seen = is_visible(t, id).await;
    }
    seen
}

/// What a dry run shows.
pub(super) async fn planned(rotation: &Rotation) -> Vec<PlannedExpiry> {
    let mut items = Vec::new();
    rotation.plan(&mut |it| items.push(it.clone())).await.expect("plan");
    items
}

/// A run, and what expired in it.
pub(super) async fn rotated(rotation: &Rotation) -> (Report, Vec<PlannedExpiry>) {
    let mut items = Vec::new();
    let report = rotation.rotate(&CancellationToken::new(), &mut |it| items.push(it.clone())).await.expect("rotate");
    (report, items)
}

pub(super) fn ids(items: &[PlannedExpiry]) -> Vec<RecordingId> {
    items.iter().map(|it| it.recording).collect()
}

pub(super) async fn usage(t: &TestArchive) -> Vec<Usage> {
    t.archive.list_usage(Scope::Platform).await.expect("usage")
}

/// Names of the events that wait to be sent and tell of rotation's troubles.
pub(super) async fn troubles(t: &TestArchive) -> Vec<String> {
    let events = t.archive.list_unsent_events(10_000).await.expect("events");
    let is_trouble = |event: &String| event == "pbx.over-quota" || event == "rotation.refused";
    events.into_iter().map(|it| it.event).filter(is_trouble).collect()
}
