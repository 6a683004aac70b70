//! What only disks do: they hang, and keep folders of their own.

use std::fs::Permissions;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use rustix::fs::{CWD, FileType, Mode};

use super::*;

/// How often a file is open in this process.
fn count_open(path: &Path) -> usize {
    let open = std::fs::read_dir("/proc/self/fd").unwrap().flatten();
    open.filter(|it| std::fs::read_link(it.path()).is_ok_and(|target| target == path)).count()
}

#[tokio::test(start_paused = true)]
async fn a_disk_that_hangs_costs_one_thread_however_often_its_marker_is_looked_at() {
    let t = on_disk().await;
    let ours = CatalogueId::new(Instant::from_millis(1));
    t.store.place_marker(ours).await.unwrap();
    let marker = t.directory.path().join("store").join(marker::KEY);
    let text = std::fs::read(&marker).unwrap();
    std::fs::remove_file(&marker).unwrap();
    // Whoever opens it waits until somebody writes.
    rustix::fs::mknodat(CWD, &marker, FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
    for _ in 0..4 {
        t.store.forget_pauses();
        let (looked, ()) = tokio::join!(t.store.check_marker(ours), tokio::time::advance(MARKER_TIME * 2));
        assert!(matches!(looked, Err(Error::StoreUnavailable { .. })), "{looked:?}");
    }
    let mut answer = std::fs::File::options().write(true).open(&marker).unwrap();
    while t.store.disk_look.available_permits() == 0 && count_open(&marker) < 2 {
        tokio::task::yield_now().await;
    }
    assert_eq!(count_open(&marker), 2, "one who reads, and this one");
    answer.write_all(&text).unwrap();
    drop(answer);
    std::fs::remove_file(&marker).unwrap();
    std::fs::write(&marker, text).unwrap();
    t.store.forget_pauses();
    t.store.check_marker(ours).await.expect("it answers again");
}

#[tokio::test]
async fn the_file_systems_own_lost_and_found_is_not_looked_into() {
    let t = on_disk().await;
    t.put("a/b.mp3", b"ours").await.unwrap();
    let found = t.directory.path().join("store/lost+found");
    std::fs::create_dir(&found).unwrap();
    // Root may look into everything, but nobody gets to the end of this.
    std::os::unix::fs::symlink(&found, found.join("itself")).unwrap();
    std::fs::set_permissions(&found, Permissions::from_mode(0o000)).unwrap();
    std::fs::write(t.directory.path().join("store/stray"), b"whose?").unwrap();
    let mut listed: Vec<_> = t.store.list().try_collect().await.unwrap();
    listed.sort();
    assert_eq!(listed, [("a/b.mp3".to_owned(), 4), ("stray".to_owned(), 6)]);
    std::fs::set_permissions(&found, Permissions::from_mode(0o700)).unwrap();
}
