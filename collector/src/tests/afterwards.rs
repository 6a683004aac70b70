//! What becomes of a source once its recording is archived.

use std::fs;
use std::time::Duration;

use archive::{Actor, AfterArchive};

use super::rig::{Rig, wav};

const CALL: &str = "acme/2026/11/21/out-102-101-20261121-073942-1795246782.0.wav";
const DAY: Duration = Duration::from_secs(86_400);

/// A rig with one archived recording that no enrolment guards.
async fn archived(after: AfterArchive) -> (Rig, std::path::PathBuf) {
    let rig = Rig::start().await;
    let file = rig.put(CALL, &wav(1, 300));
    rig.set_after(after).await;
    assert_eq!(rig.collect().await.archived, 1);
    let server = rig.t.core_server().await;
    rig.t.archive.confirm_enrolment(&Actor::command_line(), server.id).await.unwrap();
    (rig, file)
}

#[tokio::test]
async fn a_kept_source_stays_for_ever() {
    let (rig, file) = archived(AfterArchive::Keep).await;
    rig.t.clock.advance(400 * DAY);
    assert_eq!(rig.collect().await.removed, 0);
    assert!(file.exists());
    rig.finish().await;
}

#[tokio::test]
async fn a_source_is_deleted_when_its_time_has_come_and_not_before() {
    let (rig, file) = archived(AfterArchive::Delete { after_s: 86_400 }).await;
    rig.t.clock.advance(DAY - Duration::from_secs(1));
    assert_eq!(rig.collect().await.removed, 0);
    assert!(file.exists());
    rig.t.clock.advance(Duration::from_secs(1));
    assert_eq!(rig.collect().await.removed, 1);
    assert!(!file.exists());
    assert_eq!(rig.collect().await.removed, 0);
    assert_eq!(rig.recordings().await.len(), 1);
    rig.finish().await;
}

#[tokio::test]
async fn a_source_older_than_the_enrolment_stays_until_an_operator_confirms() {
    let rig = Rig::start().await;
    let file = rig.put(CALL, &wav(1, 300));
    rig.set_after(AfterArchive::Delete { after_s: 0 }).await;
    let collected = rig.collect().await;
    assert_eq!((collected.archived, collected.removed), (1, 0));
    assert!(file.exists());
    let server = rig.t.core_server().await;
    rig.t.archive.confirm_enrolment(&Actor::command_line(), server.id).await.unwrap();
    assert_eq!(rig.collect().await.removed, 1);
    assert!(!file.exists());
    rig.finish().await;
}

#[tokio::test]
async fn fault_15_a_source_that_has_changed_since_it_was_fetched_stays() {
    let (rig, file) = archived(AfterArchive::Delete { after_s: 60 }).await;
    let (listed, _) = (fs::metadata(&file).unwrap(), rig.t.clock.advance(DAY));
    // Other bytes under the same name, size and time.
    fs::write(&file, wav(1, 301)).unwrap();
    fs::File::options().append(true).open(&file).unwrap().set_modified(listed.modified().unwrap()).unwrap();
    assert_eq!(rig.collect().await.removed, 0);
    assert_eq!(fs::read(&file).unwrap(), wav(1, 301));
    rig.finish().await;
}

#[tokio::test]
async fn fault_15_a_source_that_somebody_writes_to_stays_and_what_is_added_is_another_recording() {
    let (rig, file) = archived(AfterArchive::Delete { after_s: 60 }).await;
    rig.t.clock.advance(DAY);
    let writer = fs::File::options().append(true).open(&file).unwrap();
    assert_eq!(rig.collect().await.removed, 0);
    assert!(file.exists());
    drop(writer);
    fs::write(&file, wav(3, 300)).unwrap();
    rig.age(&file, Duration::from_secs(3600));
    let collected = rig.collect().await;
    assert_eq!((collected.archived, collected.removed), (1, 0));
    let server = rig.t.core_server().await;
    rig.t.archive.confirm_enrolment(&Actor::command_line(), server.id).await.unwrap();
    rig.t.clock.advance(DAY);
    assert_eq!(rig.collect().await.removed, 1);
    assert!(!file.exists());
    assert_eq!(rig.recordings().await.len(), 2);
    rig.finish().await;
}

#[tokio::test]
async fn a_moved_source_keeps_its_path_and_replaces_nothing() {
    let rig = Rig::start().await;
    let attic = rig.t.directory.path().join("attic");
    let file = rig.put(CALL, &wav(1, 300));
    rig.set_after(AfterArchive::Move { after_s: 0, to: attic.clone() }).await;
    fs::create_dir_all(attic.join(CALL).parent().unwrap()).unwrap();
    fs::write(attic.join(CALL), b"was here first").unwrap();
    let server = rig.t.core_server().await;
    rig.t.archive.confirm_enrolment(&Actor::command_line(), server.id).await.unwrap();
    let collected = rig.collect().await;
    assert_eq!((collected.archived, collected.removed), (1, 1));
    assert!(!file.exists());
    assert_eq!(fs::read(attic.join(CALL)).unwrap(), b"was here first");
    assert_eq!(fs::read(attic.join(CALL.replace(".wav", "-1.wav"))).unwrap(), wav(1, 300));
    rig.finish().await;
}

#[tokio::test]
async fn a_quarantined_source_never_leaves() {
    let rig = Rig::start().await;
    rig.set_after(AfterArchive::Delete { after_s: 0 }).await;
    let file = rig.put("acme/1795246782.3.wav", &b"no audio at all\n".repeat(99));
    assert_eq!(rig.collect().await.quarantined, 1);
    rig.t.clock.advance(400 * DAY);
    assert_eq!(rig.collect().await.removed, 0);
    assert!(file.exists());
    rig.finish().await;
}

#[tokio::test]
async fn a_duplicate_leaves_as_its_twin_does() {
    let (rig, _) = archived(AfterArchive::Delete { after_s: 60 }).await;
    let twin = rig.put(&CALL.replace("/2026/11/21/", "/restored/"), &wav(1, 300));
    assert_eq!(rig.collect().await.duplicates, 1);
    rig.t.clock.advance(DAY);
    assert_eq!(rig.collect().await.removed, 2);
    assert!(!twin.exists());
    rig.finish().await;
}

#[tokio::test]
async fn sources_that_cannot_be_removed_keep_no_other_from_being_removed() {
    let rig = Rig::start().await;
    rig.set_after(AfterArchive::Delete { after_s: 60 }).await;
    let server = rig.t.core_server().await;
    // They fill a batch, and have been due the longest.
    let stuck: Vec<_> = (0..2).map(|n| rig.put(&format!("acme/1795246782.{n}.wav"), &wav(1, 300 + n))).collect();
    assert_eq!(rig.collect().await.archived, 2);
    rig.t.clock.advance(Duration::from_secs(1));
    let others: Vec<_> = (2..5).map(|n| rig.put(&format!("acme/1795246782.{n}.wav"), &wav(1, 300 + n))).collect();
    assert_eq!(rig.collect().await.archived, 3);
    rig.t.archive.confirm_enrolment(&Actor::command_line(), server.id).await.unwrap();
    rig.t.clock.advance(DAY);
    let writers: Vec<_> = stuck.iter().map(|file| fs::File::options().append(true).open(file).unwrap()).collect();
    assert_eq!(rig.collect().await.removed, 3);
    assert!(stuck.iter().all(|file| file.exists()) && !others.iter().any(|file| file.exists()));
    drop(writers);
    rig.t.clock.advance(Duration::from_secs(600));
    assert_eq!(rig.collect().await.removed, 2);
    rig.finish().await;
}
