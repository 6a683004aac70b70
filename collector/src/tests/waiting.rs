//! A store that takes nothing: what is for it waits, here while there is room for it and else on its core server;
//! everything else goes on.

use std::time::Duration;

use archive::SourceState;
use archive::testing::{Fault, FaultProxy, S3Server, TestArchive, s3_store};

use super::rig::{Rig, wav};

const HOUR: Duration = Duration::from_secs(3600);

/// A call of that PBX, two seconds long: 32 kB.
fn call(pbx: &str, n: u32) -> (String, Vec<u8>) {
    let path = format!("{pbx}/2026/11/21/out-102-101-20261121-073942-{}.{n}.wav", 1_795_246_782 + n);
    (path, wav(2, 200 + n))
}

/// A platform whose PBX `acme-lab` is stored in a bucket behind a proxy, with room for three of its recordings to wait.
async fn start(proxy: &FaultProxy) -> Rig {
    let mut bucket = s3_store("bucket", proxy.address);
    bucket.options.push(("spool_budget".to_owned(), "100 kB".to_owned()));
    let t = TestArchive::start_with(vec![bucket]).await;
    t.store_in("bucket").await;
    Rig::start_on(t)
}

#[tokio::test]
async fn a_dead_store_holds_up_only_its_own_and_beyond_its_budget_they_stay_on_their_core_server() {
    let directory = tempfile::tempdir().unwrap();
    let server = S3Server::start(directory.path()).await;
    let proxy = FaultProxy::start(server.address).await;
    let rig = start(&proxy).await;
    proxy.fail_always(Fault::Reset);
    while rig.t.archive.stores()[1].state().down.is_none() {
        rig.t.archive.watch_stores().await;
    }
    proxy.take_seen();
    for n in 0..10 {
        for pbx in ["acme", "acme-lab"] {
            let (path, bytes) = call(pbx, n);
            rig.put(&path, &bytes);
        }
    }
    let collector = rig.collector();
    let collected = collector.collect_once(None).await.unwrap();
    assert_eq!((collected.archived, collected.quarantined), (10, 0), "those of the other store");
    let (here, there) = (rig.sources(SourceState::Spooled).await, rig.sources(SourceState::Discovered).await);
    assert_eq!((here.len(), there.len(), rig.landed()), (3, 7, 3), "as many as there is room for");
    for source in here.iter().chain(&there) {
        assert_eq!(source.error_code.as_deref(), Some("store"));
        assert!(source.error_detail.as_ref().is_some_and(|it| it.contains("store bucket: ")), "{source:?}");
    }
    // Trying again asks the catalogue and nobody else.
    for _ in 0..3 {
        rig.t.clock.advance(HOUR);
        let collected = collector.collect_once(None).await.unwrap();
        assert_eq!((collected.archived, collected.failed), (0, 10));
        assert_eq!(rig.landed(), 3);
    }
    let seen = proxy.take_seen();
    assert!(seen.len() <= 10, "probes, not an attempt for each recording: {}", seen.len());
    proxy.mend();
    while rig.t.archive.stores()[1].state().down.is_some() {
        rig.t.archive.watch_stores().await;
    }
    rig.t.clock.advance(HOUR);
    assert_eq!(collector.collect_once(None).await.unwrap().archived, 10);
    rig.finish().await;
}
