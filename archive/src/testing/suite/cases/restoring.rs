//! The catalogue is lost, and comes back.

use std::path::PathBuf;
use std::time::Duration;

use crate::testing::{Call, TestArchive};
use crate::{Actor, Backup, Delivered, Error, ExpiryReason, NewHold, Reach, RecordingId, Scope, Wanted};

const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(86_400);

async fn back_up(t: &TestArchive) -> Backup {
    t.archive.back_up(&Actor::command_line(), None, 2).await.unwrap().expect("nobody else is at it")
}

async fn visible(t: &TestArchive, id: RecordingId) -> bool {
    t.archive.get_recording(Scope::Platform, id).await.is_ok()
}

async fn expire(t: &TestArchive, id: RecordingId) -> crate::Result<u64> {
    let place = t.place("acme").await;
    let end = crate::Instant::from_millis(i64::MAX);
    let expired = t.archive.expire(place.tenant, place.pbx, &[id], end, ExpiryReason::Days, HOUR).await?;
    Ok(expired.recordings)
}

async fn hold(t: &TestArchive, recording: RecordingId) -> crate::HoldId {
    let tenant = t.tenant("acme").await.id;
    let recording = Some(recording);
    let rule =
        NewHold { tenant, matter: "a dispute".to_owned(), recording, pbx: None, number: None, from: None, until: None };
    t.archive.set_hold(&Actor::command_line(), &rule).await.unwrap()
}

/// Every file below a directory of the store.
fn files(t: &TestArchive, below: &str) -> Vec<PathBuf> {
    let (mut directories, mut files) = (vec![t.directory.path().join("store").join(below)], Vec::new());
    while let Some(directory) = directories.pop() {
        for entry in std::fs::read_dir(directory).into_iter().flatten() {
            let path = entry.unwrap().path();
            if path.is_dir() { directories.push(path) } else { files.push(path) }
        }
    }
    files.sort();
    files
}

fn call(name: &str, t: &TestArchive) -> Call {
    Call::new("acme", name, t.now(), format!("the bytes of {name}").as_bytes())
}

pub async fn backups_are_kept_by_number_and_the_journal_as_long_as_one_needs_it(t: TestArchive) {
    t.record(&call("1", &t)).await;
    let mut made = Vec::new();
    for _ in 0..4 {
        made.push(back_up(&t).await.id);
        t.clock.advance(3 * DAY);
        t.record(&call(&format!("after {}", made.len()), &t)).await;
    }
    made.reverse();
    let kept: Vec<_> = t.archive.list_backups().await.unwrap().iter().map(|it| it.id).collect();
    assert_eq!(kept, made[..2]);
    let texts: Vec<String> = files(&t, "catalogue").iter().map(|it| it.display().to_string()).collect();
    assert!(texts.iter().all(|it| !it.contains(&made[2].to_string())), "parts go with their manifest: {texts:?}");
    let journal = texts.iter().filter(|it| it.contains("/journal/recordings/")).count();
    assert_eq!(journal, 3, "what came after the third backup, or a day before it: {texts:?}");
    t.finish().await;
}

pub async fn a_lost_catalogue_comes_back_with_all_that_happened_since_the_backup(mut t: TestArchive) {
    let before = t.record(&call("before", &t)).await;
    back_up(&t).await;
    t.clock.advance(HOUR);
    let after = t.record(&call("after", &t)).await;
    let unassigned = t.record(&Call { pbx: "nobody-knows".to_owned(), ..call("unassigned", &t) }).await;
    let tenant = crate::DeclaredTenant {
        code: "young".to_owned(),
        name: "Young".to_owned(),
        ..t.declaration().tenants.remove(0)
    };
    let pbx =
        crate::DeclaredPbx { code: "young".to_owned(), tenant: "young".to_owned(), ..t.declaration().pbxs.remove(0) };
    let declaration = crate::Declaration { tenants: vec![tenant], pbxs: vec![pbx], ..crate::Declaration::default() };
    t.archive.apply(&Actor::command_line(), &declaration).await.unwrap();
    assert!(t.archive.journal_organisation().await.unwrap());
    assert!(!t.archive.journal_organisation().await.unwrap(), "nothing has changed");
    let young = t.record(&Call { pbx: "young".to_owned(), ..call("young", &t) }).await;
    let held = hold(&t, after).await;
    let was = t.archive.get_recording(Scope::Platform, after).await.unwrap();
    let usage = t.archive.list_usage(Scope::Platform).await.unwrap();

    t.lose_the_catalogue().await;
    let restored = t.restore(Wanted::default()).await.unwrap();
    assert_eq!((restored.recordings, restored.holds, restored.rebuilt, restored.purged), (3, 1, 0, 0), "{restored:?}");
    assert_eq!(restored.notes, Vec::<String>::new());
    for id in [before, after, unassigned, young] {
        assert!(visible(&t, id).await);
    }
    let is = t.archive.get_recording(Scope::Platform, after).await.unwrap();
    assert_eq!(crate::Recording { archived_at: was.archived_at, call: was.call, ..is }, was, "with all its facts");
    assert_eq!(t.archive.list_usage(Scope::Platform).await.unwrap(), usage);
    assert_eq!(t.tenant("young").await.name, "Young");
    let holds = t.archive.list_holds(Scope::Platform).await.unwrap();
    assert_eq!((holds.len(), holds[0].id, holds[0].released_at), (1, held, None));
    assert!(t.archive.is_held(after).await.unwrap());
    let token = t.archive.authenticate_token(&TestArchive::token("tenant")).await;
    token.expect("logins work as before");

    // Its source, should the core server list it again, is done; one offered anew is the same recording.
    assert_eq!(t.archive.claim_sources(t.core_server().await.id, HOUR, 10).await.unwrap(), vec![]);
    t.clock.advance(DAY);
    assert_eq!(
        t.deliver(&Call { started_at: Some(was.started_at), ..call("after", &t) }).await,
        Delivered::Duplicate(after)
    );
    t.finish().await;
}

pub async fn rules_come_back_as_they_were_last_and_those_that_were_taken_away_do_not(mut t: TestArchive) {
    let actor = Actor::command_line();
    let platform = t.declaration();
    let declared = |days: u32, tenants_quota: Option<u64>, resellers_minutes: Option<u64>| {
        let mut declaration = platform.clone();
        (declaration.users, declaration.ftp_accounts) = (vec![], vec![]);
        declaration.pbxs[0].days = Some(days);
        declaration.tenants[0].quota = tenants_quota;
        declaration.resellers[0].minutes = resellers_minutes;
        declaration
    };
    for without_backup in [false, true] {
        // A quota and former terms that the backup has, and that are taken away after it.
        t.archive.apply_for(&actor, &declared(40, Some(1 << 40), None), Some(Reach::Existing)).await.unwrap();
        t.archive.apply_for(&actor, &declared(30, Some(1 << 40), None), Some(Reach::New)).await.unwrap();
        let old = t.record(&call(&format!("old {without_backup}"), &t)).await;
        back_up(&t).await;
        t.clock.advance(HOUR);
        t.archive.apply_for(&actor, &declared(30, None, Some(600)), Some(Reach::Existing)).await.unwrap();
        // And some that it does not have.
        t.archive.apply_for(&actor, &declared(20, None, Some(600)), Some(Reach::New)).await.unwrap();
        let rules = t.archive.list_rules().await.unwrap();
        assert_eq!((rules.pbxs[0].former.len(), rules.levels.len()), (1, 1), "{rules:?}");
        t.archive.journal_organisation().await.unwrap();
        let archived_at = t.archive.get_recording(Scope::Platform, old).await.unwrap().archived_at;

        t.lose_the_catalogue().await;
        t.clock.advance(HOUR);
        t.restore(Wanted { without_backup, ..Wanted::default() }).await.unwrap();
        assert_eq!(t.archive.list_rules().await.unwrap(), rules, "without a backup: {without_backup}");
        let restored = t.archive.get_recording(Scope::Platform, old).await.unwrap();
        assert!(restored.archived_at <= archived_at, "it is under the terms that it was archived under");
        t.archive.confirm_restore(&actor).await.unwrap();
        t.clock.advance(HOUR);
    }
    t.finish().await;
}

pub async fn nothing_goes_after_a_restore_until_an_operator_has_confirmed_it(mut t: TestArchive) {
    let id = t.record(&call("1", &t)).await;
    assert_eq!(expire(&t, id).await.unwrap(), 1);
    back_up(&t).await;
    t.lose_the_catalogue().await;
    t.restore(Wanted::default()).await.unwrap();
    t.clock.advance(2 * HOUR);
    let stays = t.record(&call("2", &t)).await;
    let purge = async || t.archive.purge_batch(&mut crate::PurgeRound::default(), 10).await;
    assert!(matches!(expire(&t, stays).await, Err(Error::Forbidden(_))));
    assert!(matches!(purge().await, Err(Error::Forbidden(_))));
    assert!(matches!(t.archive.sweep_objects(10).await, Err(Error::Forbidden(_))));
    assert!(matches!(t.archive.settle_orphans(&t.archive.stores()[0].clone()).await, Err(Error::Forbidden(_))));
    let tenant = Actor { scope: Scope::Tenant(t.tenant("acme").await.id), ..Actor::command_line() };
    assert!(matches!(t.archive.confirm_restore(&tenant).await, Err(Error::Forbidden(_))));
    assert_eq!(t.archive.confirm_restore(&Actor::command_line()).await.unwrap(), 1);
    assert_eq!(t.archive.confirm_restore(&Actor::command_line()).await.unwrap(), 0);
    assert_eq!(purge().await.unwrap().recordings, 1);
    assert_eq!(expire(&t, stays).await.unwrap(), 1);
    t.finish().await;
}

pub async fn the_lost_catalogue_is_refused_where_another_was_restored(mut t: TestArchive) {
    let id = t.record(&call("1", &t)).await;
    assert_eq!(expire(&t, id).await.unwrap(), 1);
    back_up(&t).await;
    let lost = t.lose_the_catalogue().await;
    t.restore(Wanted::default()).await.unwrap();
    t.clock.advance(2 * HOUR);
    // It runs on somewhere, and its purge is due.
    let purged = lost.purge_batch(&mut crate::PurgeRound::default(), 10).await.unwrap();
    assert_eq!((purged.recordings, purged.failed), (0, 1));
    assert!(t.stored_file(id).exists());
    assert!(matches!(lost.back_up(&Actor::command_line(), None, 2).await, Err(Error::Marker { .. })));
    assert!(lost.check_ready().await.is_err());
    t.finish().await;
}

pub async fn what_was_purged_after_the_backup_does_not_come_back(mut t: TestArchive) {
    let (gone, young) = (call("gone", &t), call("young", &t));
    let id = t.record(&gone).await;
    back_up(&t).await;
    t.clock.advance(Duration::from_millis(1));
    let young_id = t.record(&young).await;
    assert_eq!((expire(&t, id).await.unwrap(), expire(&t, young_id).await.unwrap()), (1, 1));
    t.clock.advance(HOUR);
    assert_eq!(t.purge().await.recordings, 2);
    t.lose_the_catalogue().await;
    let restored = t.restore(Wanted::default()).await.unwrap();
    assert_eq!((restored.purged, restored.recordings, restored.rebuilt), (2, 0, 0), "{restored:?}");
    assert_eq!(t.count_tombstones().await, 2);
    t.clock.advance(DAY);
    assert_eq!(t.deliver(&gone).await, Delivered::Refused(id), "though it is offered again");
    assert_eq!(t.deliver(&young).await, Delivered::Refused(young_id), "also what no backup ever had");
    t.finish().await;
}

pub async fn a_hold_that_was_released_after_the_backup_is_released(mut t: TestArchive) {
    let id = t.record(&call("1", &t)).await;
    let (first, second) = (hold(&t, id).await, hold(&t, id).await);
    back_up(&t).await;
    t.clock.advance(HOUR);
    t.archive.release_hold(&Actor::command_line(), first).await.unwrap();
    t.lose_the_catalogue().await;
    t.restore(Wanted::default()).await.unwrap();
    let holds = t.archive.list_holds(Scope::Platform).await.unwrap();
    let released: Vec<_> = holds.iter().filter(|it| it.released_at.is_some()).map(|it| it.id).collect();
    assert_eq!(released, [first]);
    assert!(holds.iter().any(|it| it.id == second && it.released_at.is_none()));
    t.finish().await;
}

pub async fn a_damaged_backup_names_the_one_before_it(mut t: TestArchive) {
    let id = t.record(&call("1", &t)).await;
    let first = back_up(&t).await.id;
    t.clock.advance(HOUR);
    let second = back_up(&t).await.id;
    let part = files(&t, "catalogue").into_iter().find(|it| {
        let path = it.display().to_string();
        path.contains(&second.to_string()) && path.contains("recordings")
    });
    let (part, mut bytes) = (part.clone().unwrap(), std::fs::read(part.unwrap()).unwrap());
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(part, bytes).unwrap();
    t.lose_the_catalogue().await;
    let refused = t.restore(Wanted::default()).await.unwrap_err().to_string();
    assert!(refused.contains(&second.to_string()) && refused.contains(&format!("--backup {first}")), "{refused}");
    assert!(!refused.contains('\n'));
    let restored = t.restore(Wanted { backup: Some(first), ..Wanted::default() }).await.unwrap();
    assert_eq!(restored.backup, Some(first.to_string()));
    assert!(visible(&t, id).await);
    t.finish().await;
}

pub async fn what_cannot_be_restored_is_refused_in_one_line(mut t: TestArchive) {
    t.record(&call("1", &t)).await;
    let refused = t.restore(Wanted::default()).await.unwrap_err().to_string();
    assert!(refused.contains("not empty"), "{refused}");
    t.lose_the_catalogue().await;
    let refused = t.restore(Wanted::default()).await.unwrap_err().to_string();
    assert!(refused.contains("no backup") && refused.contains("rebuild"), "{refused}");
    let another = crate::CatalogueId::new(t.now());
    let refused = t.restore(Wanted { catalogue: Some(another), ..Wanted::default() }).await.unwrap_err().to_string();
    assert!(refused.contains("keep nothing of catalogue"), "{refused}");
    let backup = back_up(&t).await;
    let wanted = Wanted { backup: Some(crate::BackupId::new(t.now())), ..Wanted::default() };
    let refused = t.restore(wanted).await.unwrap_err().to_string();
    assert!(refused.contains(&format!("there are: {}", backup.id)), "{refused}");

    // A backup that a newer program made.
    let manifest = files(&t, "catalogue").into_iter().find(|it| it.extension().is_some_and(|it| it == "json")).unwrap();
    let text = std::fs::read_to_string(&manifest).unwrap();
    let (text, _) = text.rsplit_once("sha256 ").unwrap();
    let mut newer: serde_json::Value = serde_json::from_str(text).unwrap();
    newer["schema"] = 9999.into();
    std::fs::write(&manifest, crate::journal::seal(format!("{newer}\n"))).unwrap();
    let refused = t.restore(Wanted::default()).await.unwrap_err().to_string();
    assert!(refused.contains("newer fonoteca"), "{refused}");

    // A store whose disk is not mounted.
    let (store, away) = (t.directory.path().join("store"), t.directory.path().join("away"));
    std::fs::rename(&store, &away).unwrap();
    let refused = t.restore(Wanted::default()).await.unwrap_err();
    assert!(matches!(refused, Error::Marker { .. }), "{refused}");
    std::fs::remove_dir(&store).unwrap();
    std::fs::rename(&away, &store).unwrap();
    t.finish().await;
}

pub async fn a_catalogue_is_rebuilt_without_a_backup(mut t: TestArchive) {
    let one = t.record(&call("1", &t)).await;
    assert!(t.archive.journal_organisation().await.unwrap());
    hold(&t, one).await;
    t.clock.advance(30 * DAY);
    let two = t.record(&call("2", &t)).await;
    t.lose_the_catalogue().await;
    let restored = t.restore(Wanted { without_backup: true, ..Wanted::default() }).await.unwrap();
    assert_eq!((restored.recordings, restored.rebuilt, restored.holds), (2, 0, 1), "{restored:?}");
    assert!(t.archive.is_held(one).await.unwrap());
    let recording = t.archive.get_recording(Scope::Tenant(t.tenant("acme").await.id), two).await.unwrap();
    assert_eq!((recording.call_ref.as_str(), recording.flags.len()), ("2", 0));
    t.finish().await;
}

pub async fn without_a_journal_keys_and_bytes_bring_recordings_back_guarded(mut t: TestArchive) {
    let one = t.record(&call("1", &t)).await;
    let unassigned = t.record(&Call { pbx: "nobody-knows".to_owned(), ..call("2", &t) }).await;
    let tenant = t.tenant("acme").await.id;
    t.lose_the_catalogue().await;
    std::fs::remove_dir_all(t.directory.path().join("store/catalogue")).unwrap();
    let wanted = Wanted { without_backup: true, ..Wanted::default() };
    let restored = t.restore(wanted).await.unwrap();
    assert_eq!((restored.recordings, restored.rebuilt), (0, 2), "{restored:?}");
    let recording = t.archive.get_recording(Scope::Tenant(tenant), one).await.unwrap();
    assert_eq!((recording.flags, recording.guarded), (vec!["rebuilt".to_owned()], true));
    assert_eq!(recording.retain_from, one.instant());
    let recording = t.archive.get_recording(Scope::Platform, unassigned).await.unwrap();
    assert_eq!((recording.tenant, recording.guarded), (None, true));
    t.finish().await;
}

pub async fn what_was_moved_or_copied_since_the_backup_is_found_under_its_new_key(mut t: TestArchive) {
    let known = t.record(&call("known", &t)).await;
    back_up(&t).await;
    t.clock.advance(Duration::from_millis(1));
    let young = t.record(&call("young", &t)).await;
    t.clock.advance(HOUR);
    // A move: the same bytes under another object's name, and the first ones gone. A copy: both.
    for (id, is_moved) in [(known, true), (young, true), (known, false)] {
        let file = t.stored_file(id);
        let extension = file.extension().unwrap().to_str().unwrap();
        let new = file.with_file_name(format!("{id}-{}.{extension}", crate::ObjectId::new(t.now())));
        std::fs::copy(&file, &new).unwrap();
        if is_moved {
            std::fs::remove_file(file).unwrap();
        }
    }
    let was = t.archive.get_recording(Scope::Platform, young).await.unwrap();
    t.lose_the_catalogue().await;
    let restored = t.restore(Wanted::default()).await.unwrap();
    assert_eq!((restored.recordings, restored.copies, restored.rebuilt), (1, 2, 0), "{restored:?}");
    assert_eq!(t.archive.get_recording(Scope::Platform, young).await.unwrap().call_ref, was.call_ref);
    t.finish().await;
}

pub async fn an_entry_whose_change_failed_does_no_harm(mut t: TestArchive) {
    back_up(&t).await;
    t.clock.advance(Duration::from_millis(1));
    // Its facts were written down, and its bytes put; then another delivery of the same recording was first.
    let first = call("1", &t);
    let claim = t.spool(&first).await;
    let delivery = t.delivery(claim, &first).await;
    let id = match t.archive.deliver(&delivery).await.unwrap() {
        Delivered::Archived(id) => id,
        other => panic!("{other:?}"),
    };
    t.clock.advance(Duration::from_millis(1));
    let again = t.spool(&first).await;
    let late = crate::Delivery { id: RecordingId::new(t.now()), ..t.delivery(again, &first).await };
    assert_eq!(t.archive.deliver(&late).await.unwrap(), Delivered::Duplicate(id));
    t.archive.sweep_objects(10).await.unwrap();
    // A purge was written down, and then a hold came.
    let kept = t.record(&call("2", &t)).await;
    assert_eq!(expire(&t, kept).await.unwrap(), 1);
    let row = crate::db::params![kept];
    let sql = format!("SELECT {} FROM recordings WHERE id = $1", crate::purge::TOMBSTONE_COLUMNS);
    let row = t.archive.db.fetch_one(sql, row).await.unwrap();
    let values = crate::backup::row_to_json(&row).unwrap();
    let entry = serde_json::json!({ "recording": kept.to_string(), "columns": row.columns(), "values": values });
    t.archive.journal(crate::journal::JournalKind::Purges, &[entry]).await.unwrap();
    hold(&t, kept).await;
    t.lose_the_catalogue().await;
    let restored = t.restore(Wanted::default()).await.unwrap();
    assert_eq!((restored.recordings, restored.purged, restored.rebuilt), (2, 0, 0), "{restored:?}");
    assert!(visible(&t, id).await && visible(&t, kept).await);
    t.finish().await;
}

pub async fn a_copy_brings_back_its_recording_with_all_its_facts_where_every_other_store_is_lost_too(t: TestArchive) {
    let mut t = t.with_stores(&["disk", "second"]).await;
    t.set_tier(&["disk", "second"], Some(1), &[]).await;
    let id = t.record(&call("1", &t)).await;
    assert!(t.archive.journal_organisation().await.unwrap());
    assert_eq!(t.make_copies().await[0].outcome, crate::CopyOutcome::Done);
    let was = t.archive.get_recording(Scope::Platform, id).await.unwrap();
    t.lose_the_catalogue().await;
    t.forget_store("disk");
    let restored = t.restore(Wanted { without_backup: true, ..Wanted::default() }).await.unwrap();
    assert_eq!((restored.recordings, restored.rebuilt), (1, 0), "{restored:?}");
    let is = t.archive.get_recording(Scope::Platform, id).await.unwrap();
    assert_eq!(crate::Recording { archived_at: was.archived_at, call: was.call, ..is }, was);
    assert_eq!(t.read(id).await.unwrap(), b"the bytes of 1");
    t.finish().await;
}
