//! A full disk, on a small file system of its own: what is for it waits, nothing is lost, everything else goes on.

use std::process::Command;

use super::*;
use crate::testing::{Call, TestArchive};

const MIB: usize = 1 << 20;

/// A file system of so many MiB, in memory; gone when dropped.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn mount(mebibytes: usize) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let size = format!("size={mebibytes}m");
        let mut command = Command::new("mount");
        let mounted = command.args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(directory.path()).status().unwrap();
        assert!(mounted.success(), "a full disk is tested on a small tmpfs, and only root may mount one: run as root");
        Self(directory)
    }

    fn url(&self) -> String {
        self.0.path().join("store").display().to_string()
    }

    /// Leaves so many bytes free.
    fn fill_up_to(&self, free: usize) {
        let space = space::Space::of(self.0.path()).unwrap();
        let filling = usize::try_from(space.free_bytes).unwrap().saturating_sub(free);
        std::fs::write(self.0.path().join("filling"), vec![0; filling]).unwrap();
    }

    fn empty(&self) {
        std::fs::remove_file(self.0.path().join("filling")).unwrap();
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(self.0.path()).status();
    }
}

fn disk(name: &str, url: String, options: &[(&str, &str)]) -> StoreConfig {
    StoreConfig { name: name.to_owned(), ..config(url, options) }
}

#[tokio::test]
async fn fault_04_a_disk_that_fills_in_mid_put_loses_nothing_and_recovers_by_itself() {
    let small = SmallDisk::mount(8);
    let t = TestArchive::start_with(vec![disk("small", small.url(), &[("low_space", "0 B")])]).await;
    t.store_in("small").await;
    small.fill_up_to(2 * MIB);
    let call = Call::new("acme-lab", "1", t.now(), &some_bytes(3 * MIB));
    let delivery = t.delivery(t.spool(&call).await, &call).await;
    let error = t.archive.deliver(&delivery).await.unwrap_err();
    let Error::StoreUnavailable { trouble: Trouble::Full, what, .. } = &error else { panic!("{error}") };
    assert!(what.contains("it is full: make room") && error.is_transient(), "{what}");
    // What was half written takes no room, and no row.
    while t.archive.sweep_objects(10).await.unwrap() > 0 {}
    assert!(space::Space::of(small.0.path()).unwrap().free_bytes >= MIB as u64);
    // It is full, and not down: what is in it is read.
    let state = t.archive.store_named("small").unwrap().state();
    assert!(state.down.is_none() && state.takes_nothing.is_some(), "{state:?}");
    let shut = t.archive.list_shut_stores(Some(&t.place("acme-lab").await)).await.unwrap();
    assert_eq!(shut.iter().map(|it| (it.name.as_str(), it.trouble)).collect::<Vec<_>>(), [("small", Trouble::Full)]);
    // What is for other stores goes on meanwhile.
    t.record(&Call::new("acme", "2", t.now(), b"for the other disk")).await;
    small.empty();
    t.archive.store_named("small").unwrap().health.forget_pauses();
    t.archive.deliver(&delivery).await.unwrap();
    assert_eq!(t.archive.list_shut_stores(Some(&t.place("acme-lab").await)).await.unwrap(), []);
    t.finish().await;
}

#[tokio::test]
async fn a_disk_below_its_watermark_takes_nothing_new_and_its_next_store_does() {
    let small = SmallDisk::mount(16);
    let other = tempfile::tempdir().unwrap();
    let t = TestArchive::start_with(vec![
        disk("small", small.url(), &[("low_space", "4 MiB"), ("next", "other")]),
        disk("other", other.path().join("store").display().to_string(), &[]),
    ])
    .await;
    t.store_in("small").await;
    let stored_in = async |id: crate::RecordingId| {
        let sql = "SELECT s.name FROM objects o JOIN stores s ON s.id = o.store_id WHERE o.recording_id = $1";
        let rows = t.archive.db.fetch_all(sql, crate::db::params![id]).await.unwrap();
        rows.iter().map(|row| row.get::<String>("name").unwrap()).collect::<Vec<_>>()
    };
    let first = t.record(&Call::new("acme-lab", "1", t.now(), b"there is room")).await;
    assert_eq!(stored_in(first).await, ["small"]);
    small.fill_up_to(3 * MIB);
    t.archive.store_named("small").unwrap().ask_for_room().await;
    let second = t.record(&Call::new("acme-lab", "2", t.now(), b"there is too little")).await;
    assert_eq!(stored_in(second).await, ["other"]);
    t.archive.watch_stores().await;
    let events = t.archive.list_unsent_events(100).await.unwrap();
    let down: Vec<_> = events.iter().filter(|it| it.event == "store.down").collect();
    assert_eq!(down.len(), 1);
    assert!(down[0].payload.contains("low_space is 4 MB"), "{}", down[0].payload);
    small.empty();
    t.archive.store_named("small").unwrap().ask_for_room().await;
    let third = t.record(&Call::new("acme-lab", "3", t.now(), b"there is room again")).await;
    assert_eq!(stored_in(third).await, ["small"]);
    t.finish().await;
}

#[tokio::test]
async fn fault_05_a_disk_that_turns_read_only_takes_nothing_new_and_is_read() {
    let small = SmallDisk::mount(8);
    let t = TestArchive::start_with(vec![disk("small", small.url(), &[])]).await;
    t.store_in("small").await;
    let before = t.record(&Call::new("acme-lab", "1", t.now(), b"kept before")).await;
    let remount = |how: &str| {
        let status = Command::new("mount").args(["-o", how]).arg(small.0.path()).status().unwrap();
        assert!(status.success());
    };
    remount("remount,ro");
    let call = Call::new("acme-lab", "2", t.now(), b"for later");
    let delivery = t.delivery(t.spool(&call).await, &call).await;
    let error = t.archive.deliver(&delivery).await.unwrap_err();
    assert!(error.to_string().contains("store small: it is read-only"), "{error}");
    assert!(t.archive.store_named("small").unwrap().state().down.is_none());
    let reader = t.archive.open_audio(crate::Scope::Platform, before).await.unwrap();
    let read: Vec<Bytes> = reader.read(0, reader.recording.size_bytes).try_collect().await.unwrap();
    assert_eq!(read.concat(), b"kept before");
    remount("remount,rw");
    t.archive.store_named("small").unwrap().health.forget_pauses();
    t.archive.deliver(&delivery).await.unwrap();
    t.finish().await;
}

#[tokio::test]
async fn days_until_full_are_reckoned_from_what_the_last_days_took() {
    let small = SmallDisk::mount(100);
    let t = TestArchive::start_with(vec![disk("small", small.url(), &[("low_space", "10 MiB")])]).await;
    let store = Arc::clone(t.archive.store_named("small").unwrap());
    let note = async || {
        store.ask_for_room().await;
        assert!(store.state().free_bytes.is_some());
        t.archive.note_space(&store).await.unwrap();
        store.state().days_until_full
    };
    assert_eq!(note().await, None, "nothing is known yet");
    t.clock.advance(Duration::from_secs(2 * 86_400));
    small.fill_up_to(50 * MIB);
    let days = note().await.unwrap();
    // 100 MiB became 50 in two days, and 40 are left above the watermark.
    assert!((1.4..=1.8).contains(&days), "{days}");
    // A week later nothing of that is remembered.
    t.clock.advance(Duration::from_secs(8 * 86_400));
    assert_eq!(note().await, None);
    t.finish().await;
}
