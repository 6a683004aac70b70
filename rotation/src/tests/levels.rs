//! Quotas of tenants and resellers, of minutes and of recordings; and whom changed days are for.

use archive::testing::TestArchive;
use archive::{Actor, Declaration, Error, Instant, Level, Reach, RecordingId};

use super::fixture::*;
use crate::{PlannedExpiry, Rotation, Rule};

/// The declaration of the platform, changed.
async fn declare(t: &TestArchive, reach: Reach, change: impl Fn(&mut Declaration)) -> archive::Result<()> {
    let mut declaration = t.declaration();
    // Secrets that are there already need no hashing.
    (declaration.users, declaration.ftp_accounts) = (vec![], vec![]);
    change(&mut declaration);
    t.archive.apply_for(&Actor::command_line(), &declaration, Some(reach)).await.map(|_| ())
}

/// Days and quotas of the fixture's tiers and PBXs would get in the way.
fn without_own_rules(declaration: &mut Declaration) {
    for tier in &mut declaration.tiers {
        (tier.days, tier.quota) = (None, None);
    }
    for pbx in &mut declaration.pbxs {
        (pbx.days, pbx.quota) = (None, None);
    }
}

/// What a run lets expire, having seen that the plan said the same.
async fn rotated_as_planned(rotation: &Rotation) -> Vec<PlannedExpiry> {
    let plan = planned(rotation).await;
    let (report, items) = rotated(rotation).await;
    assert_eq!(plan, items);
    assert!(report.is_clean(), "{report}");
    items
}

#[tokio::test]
async fn point_2_a_tenant_over_its_quota_loses_the_oldest_of_the_pbx_that_keeps_more_than_its_share() {
    let t = TestArchive::start().await;
    declare(&t, Reach::Existing, |it| {
        without_own_rules(it);
        it.tenants.iter_mut().find(|it| it.code == "acme").unwrap().quota = Some(10_000);
    })
    .await
    .unwrap();
    // The quiet neighbour has the oldest recordings of all, and less than half.
    let start = t.now();
    let quiet = record_at(&t, "acme-lab", "q", start, 4000).await;
    let other_tenant = record_at(&t, "borealis", "b", start, 90_000).await;
    let mut busy = Vec::new();
    for n in 1..=8_u32 {
        busy.push(record_at(&t, "acme", &n.to_string(), start.plus(n * HOUR), 1000).await);
    }
    t.clock.advance(8 * DAY);
    let rotation = rotation(&t);
    let items = rotated_as_planned(&rotation).await;
    assert_eq!(ids(&items), busy[..2]);
    assert_eq!(
        items[0].rule.to_string(),
        "quota of tenant acme 10000 bytes exceeded by 2000 bytes, oldest first of those over their share"
    );
    assert_eq!(visible(&t, [quiet, other_tenant]).await, [true, true]);
    assert!(rotated_as_planned(&rotation).await.is_empty());

    // With everything of the busy one held, the quiet one still loses nothing, and somebody is told.
    let acme = t.place("acme").await;
    let hold = archive::NewHold { pbx: Some(acme.pbx), ..hold_on(acme.tenant, None) };
    t.archive.set_hold(&Actor::command_line(), &hold).await.unwrap();
    let late = record(&t, "acme", "late", 3000).await;
    t.clock.advance(8 * DAY);
    let (report, items) = rotated(&rotation).await;
    assert_eq!((items, report.levels[0].over_quota_by.stored_bytes), (vec![], 5000), "the two came back with the hold");
    assert_eq!(visible(&t, [quiet, late]).await, [true, true]);
    let events = t.archive.list_unsent_events(10_000).await.unwrap();
    assert_eq!(events.iter().filter(|it| it.event == "tenant.over-quota").count(), 1);
    rotated(&rotation).await;
    let events = t.archive.list_unsent_events(10_000).await.unwrap();
    assert_eq!(events.iter().filter(|it| it.event == "tenant.over-quota").count(), 1, "told once");
    t.finish().await;
}

#[tokio::test]
async fn point_2_a_reseller_over_its_quota_takes_from_the_tenant_and_pbx_that_keep_more_than_their_share() {
    let t = TestArchive::start().await;
    declare(&t, Reach::Existing, |it| {
        without_own_rules(it);
        it.resellers.iter_mut().find(|it| it.code == "north").unwrap().quota = Some(12_000);
    })
    .await
    .unwrap();
    let start = t.now();
    // acme keeps 9,000 in two PBXs, borealis 5,000: 2,000 too many, and acme's share is 7,000.
    let borealis = record_at(&t, "borealis", "b", start, 5000).await;
    let lab = record_at(&t, "acme-lab", "l", start.plus(HOUR), 2000).await;
    let mut acme = Vec::new();
    for n in 2..9_u32 {
        acme.push(record_at(&t, "acme", &n.to_string(), start.plus(n * HOUR), 1000).await);
    }
    let cobalt = record_at(&t, "cobalt", "c", start, 90_000).await;
    t.clock.advance(8 * DAY);
    let items = rotated_as_planned(&rotation(&t)).await;
    assert_eq!(ids(&items), acme[..2]);
    assert!(matches!(&items[0].rule, Rule::ResellerQuota(it) if it.of.as_deref() == Some("north")));
    assert_eq!(visible(&t, [borealis, lab, cobalt]).await, [true, true, true]);
    let north = Level::Reseller(t.place("acme").await.reseller);
    assert_eq!(t.archive.kept_by(north).await.unwrap().stored_bytes, 12_000);
    t.finish().await;
}

#[tokio::test]
async fn point_2_quotas_are_of_minutes_and_of_recordings_too_each_recording_once() {
    let t = TestArchive::start().await;
    declare(&t, Reach::Existing, |it| {
        without_own_rules(it);
        it.pbxs.iter_mut().find(|it| it.code == "acme-lab").unwrap().recordings = Some(3);
    })
    .await
    .unwrap();
    let mut lab: Vec<RecordingId> = Vec::new();
    for n in 0..5_u32 {
        lab.push(record(&t, "acme-lab", &n.to_string(), 10).await);
    }
    t.clock.advance(8 * DAY);
    let rotation = rotation(&t);
    assert_eq!(ids(&rotated_as_planned(&rotation).await), lab[..2]);
    let kept = t.archive.kept_by(Level::Pbx(t.place("acme-lab").await.pbx)).await.unwrap();
    assert_eq!(kept.recordings, 3);
    let each_ms = kept.audio_ms / 3;
    assert!(each_ms > 0);

    // So many minutes that one of the three is too much.
    let minutes = (2 * each_ms).div_ceil(60_000);
    let needed = minutes * 60_000 / each_ms + 1;
    for n in 3..needed {
        lab.push(record(&t, "acme-lab", &format!("m{n}"), 10).await);
    }
    declare(&t, Reach::Existing, |it| {
        without_own_rules(it);
        it.pbxs.iter_mut().find(|it| it.code == "acme-lab").unwrap().minutes = Some(minutes);
    })
    .await
    .unwrap();
    t.clock.advance(8 * DAY);
    let items = rotated_as_planned(&rotation).await;
    assert_eq!(ids(&items), lab[2..3]);
    assert!(items[0].rule.to_string().starts_with(&format!("quota {minutes} minutes exceeded by ")), "{}", items[0]);
    t.finish().await;
}

#[tokio::test]
async fn point_1_changed_days_are_for_new_recordings_only_or_for_existing_ones_too() {
    let days =
        |days| move |it: &mut Declaration| it.pbxs.iter_mut().find(|it| it.code == "acme").unwrap().days = Some(days);
    for (reach, early_goes) in [(Reach::New, false), (Reach::Existing, true)] {
        let t = TestArchive::start().await;
        declare(&t, Reach::Existing, days(30)).await.unwrap();
        let early = record(&t, "acme", "early", 10).await;
        t.clock.advance(DAY);
        // What either would do is what it then does.
        let rotation = rotation(&t);
        let mut changed = t.declaration();
        (changed.users, changed.ftp_accounts) = (vec![], vec![]);
        days(10)(&mut changed);
        let preview = t.archive.preview_apply(&Actor::command_line(), &changed, Some(reach)).await.unwrap();
        let former = if early_goes { "" } else { "; 30 days for what was archived before 2026-11-22" };
        assert_eq!(preview.changed_terms, [format!("PBX acme: 30 days → 10 days{former}")]);
        declare(&t, reach, days(10)).await.unwrap();
        assert_eq!(t.archive.list_rules().await.unwrap(), preview.rules);
        let late = record(&t, "acme", "late", 10).await;

        t.clock.advance(12 * DAY);
        let expected: Vec<RecordingId> = if early_goes { vec![early, late] } else { vec![late] };
        assert_eq!(ids(&rotated_as_planned(&rotation).await), expected, "{reach:?}");
        t.clock.advance(20 * DAY);
        let rest: Vec<RecordingId> = if early_goes { vec![] } else { vec![early] };
        assert_eq!(ids(&rotated_as_planned(&rotation).await), rest, "{reach:?}");
        t.finish().await;
    }
}

#[tokio::test]
async fn point_1_recordings_under_former_terms_go_by_a_quota_all_the_same() {
    let t = TestArchive::start().await;
    declare(&t, Reach::Existing, |it| {
        without_own_rules(it);
        it.pbxs[0].days = Some(10);
        it.pbxs[0].quota = Some(1000);
    })
    .await
    .unwrap();
    let pbx = t.declaration().pbxs[0].code.clone();
    let kept_long = |it: &mut Declaration| {
        without_own_rules(it);
        it.pbxs[0].days = Some(400);
        it.pbxs[0].quota = Some(1000);
    };
    let early = record(&t, &pbx, "early", 400).await;
    t.clock.advance(DAY);
    declare(&t, Reach::New, kept_long).await.unwrap();
    let mut late = Vec::new();
    for n in 0..4_u32 {
        late.push(record(&t, &pbx, &format!("late {n}"), 400).await);
    }
    t.clock.advance(12 * DAY);
    let items = rotated_as_planned(&rotation(&t)).await;
    assert_eq!(ids(&items), [early, late[0], late[1]]);
    assert_eq!(items[0].rule, Rule::Days { days: 10 });
    assert!(items[1..].iter().all(|it| matches!(it.rule, Rule::Quota(_))));
    t.finish().await;
}

#[tokio::test]
async fn point_1_a_change_is_asked_about_whoever_it_concerns_and_whatever_their_recordings_count_as() {
    let t = TestArchive::start().await;
    let days = |days| {
        move |it: &mut Declaration| {
            without_own_rules(it);
            it.pbxs.iter_mut().find(|it| it.code == "acme").unwrap().days = Some(days);
        }
    };
    let changed_terms = async |change: &dyn Fn(&mut Declaration)| {
        let mut declaration = t.declaration();
        (declaration.users, declaration.ftp_accounts) = (vec![], vec![]);
        change(&mut declaration);
        let preview = t.archive.preview_apply(&Actor::command_line(), &declaration, None).await.unwrap();
        (preview.changed_terms, preview.rules)
    };
    declare(&t, Reach::Existing, days(30)).await.unwrap();
    let quota = |it: &mut Declaration| {
        days(30)(it);
        it.tenants.iter_mut().find(|it| it.code == "acme").unwrap().quota = Some(1);
        it.resellers.iter_mut().find(|it| it.code == "south").unwrap().quota = Some(1);
    };
    assert_eq!(changed_terms(&days(10)).await.0, Vec::<String>::new(), "nothing is kept yet");
    assert_eq!(changed_terms(&quota).await.0, Vec::<String>::new());

    // Older than its core server's enrolment: it counts to no quota yet, and is kept all the same.
    record_at(&t, "acme", "guarded", t.now().minus(40 * DAY), 10).await;
    assert_eq!(changed_terms(&days(10)).await.0, ["PBX acme: 30 days → 10 days"]);
    assert_eq!(changed_terms(&quota).await.0, ["acme: no quota → 1 bytes"]);

    // A tenant that comes to another reseller counts to its quota; what that means is shown before it happens.
    let mut live = Vec::new();
    for n in 0..4_u32 {
        live.push(record(&t, "acme", &n.to_string(), 1000).await);
    }
    t.clock.advance(8 * DAY);
    let full = |it: &mut Declaration| {
        days(30)(it);
        it.resellers.iter_mut().find(|it| it.code == "south").unwrap().quota = Some(2500);
    };
    declare(&t, Reach::Existing, full).await.unwrap();
    let moved = |it: &mut Declaration| {
        full(it);
        it.tenants.iter_mut().find(|it| it.code == "acme").unwrap().reseller = "south".to_owned();
    };
    let (lines, rules) = changed_terms(&moved).await;
    assert_eq!(lines, ["PBX acme: counts to the quotas of another reseller"]);
    assert!(declare(&t, Reach::New, moved).await.is_err(), "it is full at once");
    let (rotation, mut shown) = (rotation(&t), Vec::new());
    rotation.plan_by(rules, &mut |it| shown.push(it.clone())).await.unwrap();
    declare(&t, Reach::Existing, moved).await.unwrap();
    assert_eq!(shown, rotated_as_planned(&rotation).await);
    assert_eq!(ids(&shown), live[..2]);
    t.finish().await;
}

#[tokio::test]
async fn point_1_who_says_for_existing_ends_former_terms_and_who_says_nothing_does_not() {
    let t = TestArchive::start().await;
    let days =
        |days| move |it: &mut Declaration| it.pbxs.iter_mut().find(|it| it.code == "acme").unwrap().days = Some(days);
    declare(&t, Reach::Existing, days(30)).await.unwrap();
    record(&t, "acme", "one", 10).await;
    t.clock.advance(DAY);
    declare(&t, Reach::New, days(365)).await.unwrap();
    let former = async || {
        let rules = t.archive.list_rules().await.unwrap();
        rules.pbxs.iter().find(|it| it.place.code == "acme").unwrap().former.len()
    };
    let mut same = t.declaration();
    (same.users, same.ftp_accounts) = (vec![], vec![]);
    days(365)(&mut same);
    let actor = Actor::command_line();
    assert_eq!(t.archive.apply(&actor, &same).await.unwrap(), vec![]);
    assert_eq!(former().await, 1);
    let preview = t.archive.preview_apply(&actor, &same, Some(Reach::Existing)).await.unwrap();
    assert_eq!(
        preview.changed_terms,
        ["PBX acme: 365 days; 30 days for what was archived before 2026-11-22 → 365 days"]
    );
    assert_eq!(t.archive.apply_for(&actor, &same, Some(Reach::Existing)).await.unwrap().len(), 1);
    assert_eq!(former().await, 0);
    t.finish().await;
}

#[tokio::test]
async fn point_1_a_reseller_sells_no_more_than_it_has_unless_it_may_overbook() {
    let t = TestArchive::start().await;
    let sells = |quota, overbook| {
        move |it: &mut Declaration| {
            without_own_rules(it);
            let north = it.resellers.iter_mut().find(|it| it.code == "north").unwrap();
            (north.quota, north.overbook) = (Some(quota), overbook);
            it.tenants.iter_mut().find(|it| it.code == "acme").unwrap().quota = Some(6000);
            it.tenants.iter_mut().find(|it| it.code == "borealis").unwrap().quota = Some(5000);
        }
    };
    let refused = declare(&t, Reach::Existing, sells(10_999, false)).await.unwrap_err();
    assert_eq!(
        refused.to_string(),
        "reseller \"north\" has 10999 bytes and would have sold 11000 bytes: raise its quota, sell less, or set \
         overbook = true"
    );
    declare(&t, Reach::Existing, sells(11_000, false)).await.unwrap();
    declare(&t, Reach::Existing, sells(10_999, true)).await.unwrap();
    t.finish().await;
}

#[tokio::test]
async fn bad_input_limits_that_contradict_each_other_or_cannot_be_kept_are_refused_with_the_numbers() {
    let t = TestArchive::start().await;
    record(&t, "acme", "one", 5000).await;
    type Change = fn(&mut Declaration);
    let table: [(Reach, Change, &str); 4] = [
        (
            Reach::Existing,
            |it| {
                it.tenants.iter_mut().find(|it| it.code == "acme").unwrap().quota = Some(10_000);
                it.pbxs.iter_mut().find(|it| it.code == "acme").unwrap().quota = Some(10_001);
            },
            "PBX \"acme\" has a quota of 10001 bytes, but its tenant \"acme\" only 10000 bytes",
        ),
        (
            Reach::New,
            |it| it.pbxs.iter_mut().find(|it| it.code == "acme").unwrap().quota = Some(4999),
            "\"acme\" keeps 5000 bytes, its new quota is 4999 bytes: a quota is of everything that is kept",
        ),
        (
            Reach::Existing,
            |it| it.tenants[0].days = Some(0),
            "days is 0, and everything would go: leave it out where there is no limit",
        ),
        (Reach::Existing, |it| it.resellers[0].recordings = Some(0), "recordings is 0, and everything would go"),
    ];
    let before = t.archive.list_rules().await.unwrap();
    for (reach, change, complaint) in table {
        let refused = declare(&t, reach, change).await.unwrap_err();
        assert!(matches!(refused, Error::Invalid(_)) && refused.to_string().contains(complaint), "{refused}");
        assert_eq!(t.archive.list_rules().await.unwrap(), before, "nothing was changed");
    }
    t.finish().await;
}

#[tokio::test]
async fn the_shortest_days_of_all_levels_are_in_force() {
    let t = TestArchive::start().await;
    declare(&t, Reach::Existing, |it| {
        it.tenants.iter_mut().find(|it| it.code == "acme").unwrap().days = Some(20);
        it.resellers.iter_mut().find(|it| it.code == "north").unwrap().days = Some(25);
        it.pbxs.iter_mut().find(|it| it.code == "acme").unwrap().days = Some(40);
        it.pbxs.iter_mut().find(|it| it.code == "acme-lab").unwrap().days = Some(5);
    })
    .await
    .unwrap();
    let rules = t.archive.list_rules().await.unwrap();
    let days = |code: &str| rules.pbxs.iter().find(|it| it.place.code == code).unwrap().place.days;
    assert_eq!(["acme", "acme-lab", "borealis"].map(days), [Some(20), Some(5), Some(25)]);
    let old = record_at(&t, "acme", "old", Instant::from_millis(t.now().millis()), 10).await;
    t.clock.advance(21 * DAY);
    let items = rotated_as_planned(&rotation(&t)).await;
    assert_eq!((ids(&items), &items[0].rule), (vec![old], &Rule::Days { days: 20 }));
    t.finish().await;
}
