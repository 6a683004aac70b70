//! A plan is what the run then does.

use archive::testing::TestArchive;
use archive::{Actor, Scope};

use super::fixture::*;

#[tokio::test]
async fn a_plan_is_what_the_run_then_does_and_changes_nothing() {
    let t = TestArchive::start().await;
    set_policy(&t, "acme-lab", Some(30), Some(900)).await;
    set_policy(&t, "borealis", None, Some(1000)).await;
    let mut recordings = Vec::new();
    for day in 0..10_u32 {
        for pbx in ["acme", "acme-lab", "borealis", "cobalt"] {
            for n in 0..2 {
                recordings.push(record(&t, pbx, &format!("{pbx} {day} {n}"), 100 + n).await);
            }
        }
        t.clock.advance(4 * DAY);
    }
    let (acme, cobalt) = (t.place("acme").await, t.place("cobalt").await);
    t.archive.set_hold(&Actor::command_line(), &hold_on(acme.tenant, Some(recordings[2]))).await.unwrap();
    t.archive.set_hold(&Actor::command_line(), &hold_on(cobalt.tenant, None)).await.unwrap();

    let rotation = rotation(&t);
    let state = async || {
        let audit = t.archive.list_audit(Scope::Platform, None, 1000).await.unwrap().len();
        let events = t.archive.list_unsent_events(1000).await.unwrap().len();
        let runs = t.archive.list_runs(Scope::Platform, "rotation", None, 10).await.unwrap().len();
        (usage(&t).await, audit, events, runs)
    };
    let before = state().await;
    let plan = planned(&rotation).await;
    assert_eq!(planned(&rotation).await, plan);
    assert_eq!(state().await, before, "a plan changes nothing");
    let summary = rotation.plan(&mut |_| ()).await.unwrap();

    let (report, items) = rotated(&rotation).await;
    assert_eq!(items, plan, "the same recordings, in the same order, for the same reasons");
    assert_eq!((&report.pbxs, report.expired), (&summary.pbxs, summary.expiring));
    assert!(items.len() > 12, "several batches");
    assert_eq!(
        summary.pbxs.iter().map(|it| it.code.as_str()).collect::<Vec<_>>(),
        ["acme", "acme-lab", "borealis", "cobalt"]
    );
    assert!(summary.pbxs[3].kept_back > 0 && summary.pbxs[3].expired().recordings == 0);
    for id in recordings {
        assert_eq!(is_visible(&t, id).await, !ids(&plan).contains(&id));
    }
    assert_eq!(planned(&rotation).await, vec![], "nothing is left");

    // What is to be purged is foretold as well.
    t.clock.advance(DAY);
    let summary = rotation.plan(&mut |_| ()).await.unwrap();
    assert_eq!(rotation.rotate_once().await.unwrap().purged, summary.purging);
    assert_eq!(summary.purging.recordings, plan.len() as u64);
    t.finish().await;
}

#[tokio::test]
async fn a_line_says_what_goes_and_why_without_any_number() {
    let t = TestArchive::start().await;
    let by_days = record(&t, "acme", "one", 1234).await;
    let by_quota = record(&t, "acme-lab", "two", 10_020).await;
    t.clock.advance(31 * DAY);
    let rotation = rotation(&t);
    let plan = planned(&rotation).await;
    assert_eq!(
        plan.iter().map(ToString::to_string).collect::<Vec<_>>(),
        [
            format!("{by_days} acme 2026-11-21 13:00:00+01:00 1234 bytes: older than 30 days"),
            format!(
                "{by_quota} acme-lab 2026-11-21 13:00:00+01:00 10020 bytes: quota 10000 bytes exceeded by 20 \
                 bytes, oldest first"
            ),
        ]
    );
    let pbx = t.place("acme-lab").await.pbx;
    assert_eq!(
        serde_json::to_value(&plan[1]).unwrap(),
        serde_json::json!({
            "recording": by_quota.to_string(),
            "pbx": pbx.to_string(),
            "pbx_code": "acme-lab",
            "started_at": "2026-11-21T13:00:00+01:00",
            "stored_bytes": 10_020,
            "audio_ms": plan[1].audio_ms,
            "reason": "quota",
            "measure": "stored_bytes",
            "quota": 10_000,
            "exceeded_by": 20,
        })
    );
    let summary = rotation.plan(&mut |_| ()).await.unwrap();
    assert_eq!(
        summary.to_string(),
        "acme: 1 recording (1234 bytes) by days\n\
         acme-lab: 1 recording (10020 bytes) by quota\n\
         would expire 2 recordings (11254 bytes), would purge 0 recordings (0 bytes)"
    );
    let report = rotation.rotate_once().await.unwrap();
    let (run, sha256) = (report.run.unwrap(), report.sha256.unwrap());
    assert_eq!(
        report.to_string(),
        format!(
            "acme: 1 recording (1234 bytes) by days\n\
             acme-lab: 1 recording (10020 bytes) by quota\n\
             expired 2 recordings (11254 bytes), purged 0 recordings (0 bytes)\n\
             run {run}, report sha256 {sha256}"
        )
    );
    let said = format!("{report} {summary} {} {}", plan[0], serde_json::to_string(&report).unwrap());
    assert!(!said.contains("4930123456"), "{said}");
    t.finish().await;
}
