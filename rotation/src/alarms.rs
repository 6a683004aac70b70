//! Alarms: who stays over its quota because nothing more of it may go. Recordings go on arriving, and somebody must know.

use archive::{Kept, RunEvent};
use serde_json::{Value as Json, json};

use crate::report::Report;

/// An event for each PBX, tenant and reseller that stays over its quota, and did not after the run whose report is `last`.
pub(crate) fn over_quota(report: &Report, last: &Json) -> Vec<RunEvent> {
    let mut events = Vec::new();
    for it in report.pbxs.iter().filter(|it| it.over_quota_by != Kept::default()) {
        let id = it.pbx.to_string();
        if was_over(&last["pbxs"], "pbx", &id) {
            continue;
        }
        tracing::warn!(pbx.id = %id, "PBX {id} stays over its quota: nothing more of it may go");
        let payload = json!({
            "pbx": id,
            "quota_bytes": it.quota_bytes,
            "quota_audio_ms": it.quota_audio_ms,
            "quota_recordings": it.quota_recordings,
            "over_by": it.over_quota_by,
            "kept_back": it.kept_back,
        });
        events.push(RunEvent { event: "pbx.over-quota", tenant: Some(it.tenant), payload });
    }
    for it in report.levels.iter().filter(|it| it.over_quota_by != Kept::default()) {
        if was_over(&last["levels"], "id", &it.id) {
            continue;
        }
        let (level, id) = (it.level, &it.id);
        tracing::warn!(
            "{level} {id} stays over its quota: nothing more of those who keep more than their share may go"
        );
        let event = if it.tenant.is_some() { "tenant.over-quota" } else { "reseller.over-quota" };
        events.push(RunEvent { event, tenant: it.tenant, payload: json!({ level: id, "over_by": it.over_quota_by }) });
    }
    events
}

fn was_over(before: &Json, key: &str, id: &str) -> bool {
    let before = before.as_array().map(Vec::as_slice).unwrap_or_default();
    let mut those = before.iter().filter(|it| it[key] == id);
    those.any(|it| it["over_quota_by"].as_object().is_some_and(|by| by.values().any(|by| by.as_u64() > Some(0))))
}
