//! The tree: which folder a recording is in, and which paths lead to it.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use archive::testing::{Call, TestArchive};
use archive::{Error, ExpiryReason, Instant, RecordingId, Scope};
use futures_util::TryStreamExt;

use crate::tree::{Node, Tree};

fn at(text: &str) -> Instant {
    text.parse::<jiff::Timestamp>().unwrap().into()
}

async fn record(t: &TestArchive, pbx: &str, started_at: &str) -> RecordingId {
    t.record(&Call::new(pbx, started_at, at(started_at), started_at.as_bytes())).await
}

async fn name(t: &TestArchive, id: RecordingId) -> String {
    t.archive.get_recording(Scope::Platform, id).await.unwrap().file_name
}

fn tree(t: &TestArchive, scope: Scope, zone: &str) -> Tree {
    Tree::new(t.archive.clone(), scope, zone)
}

async fn names(tree: &Tree, path: &str) -> Vec<String> {
    let node = tree.resolve(Path::new(path)).await.unwrap();
    tree.list(&node).await.unwrap().into_iter().map(|entry| entry.name).collect()
}

/// Every recording in the tree, by the folder it is listed in.
async fn walk(tree: &Tree) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for year in names(tree, "/").await {
        for month in names(tree, &format!("/{year}")).await {
            for day in names(tree, &format!("/{year}/{month}")).await {
                let folder = format!("/{year}/{month}/{day}");
                let recordings = names(tree, &folder).await;
                assert!(!recordings.is_empty(), "{folder} is empty");
                for recording in recordings {
                    assert!(found.insert(recording.clone(), folder.clone()).is_none(), "{recording} is there twice");
                }
            }
        }
    }
    found
}

#[tokio::test]
async fn each_recording_is_in_the_one_folder_of_its_day_in_the_tenants_zone() {
    let t = TestArchive::start().await;
    // Instant, and the days it falls on in Berlin, New York, Apia, Havana, Kolkata and UTC.
    let table = [
        // The turn of a year, a month, a leap day.
        ("2025-12-31T22:59:59.999Z", "2025/12/31 2025/12/31 2026/01/01 2025/12/31 2026/01/01 2025/12/31"),
        ("2025-12-31T23:00:00Z", "2026/01/01 2025/12/31 2026/01/01 2025/12/31 2026/01/01 2025/12/31"),
        ("2026-01-01T04:59:59.999Z", "2026/01/01 2025/12/31 2026/01/01 2025/12/31 2026/01/01 2026/01/01"),
        ("2026-01-01T05:00:00Z", "2026/01/01 2026/01/01 2026/01/01 2026/01/01 2026/01/01 2026/01/01"),
        ("2024-02-28T23:30:00Z", "2024/02/29 2024/02/28 2024/02/29 2024/02/28 2024/02/29 2024/02/28"),
        ("2026-04-30T18:30:00Z", "2026/04/30 2026/04/30 2026/05/01 2026/04/30 2026/05/01 2026/04/30"),
        // Berlin's day of 23 hours begins at 23:00Z and ends at 22:00Z.
        ("2026-03-28T23:00:00Z", "2026/03/29 2026/03/28 2026/03/29 2026/03/28 2026/03/29 2026/03/28"),
        ("2026-03-29T21:59:59.999Z", "2026/03/29 2026/03/29 2026/03/30 2026/03/29 2026/03/30 2026/03/29"),
        ("2026-03-29T22:00:00Z", "2026/03/30 2026/03/29 2026/03/30 2026/03/29 2026/03/30 2026/03/29"),
        // Its day of 25 hours begins at 22:00Z and ends at 23:00Z; 02:30 is there twice.
        ("2026-10-24T22:00:00Z", "2026/10/25 2026/10/24 2026/10/25 2026/10/24 2026/10/25 2026/10/24"),
        ("2026-10-25T00:30:00Z", "2026/10/25 2026/10/24 2026/10/25 2026/10/24 2026/10/25 2026/10/25"),
        ("2026-10-25T01:30:00Z", "2026/10/25 2026/10/24 2026/10/25 2026/10/24 2026/10/25 2026/10/25"),
        ("2026-10-25T22:59:59.999Z", "2026/10/25 2026/10/25 2026/10/26 2026/10/25 2026/10/26 2026/10/25"),
        ("2026-10-25T23:00:00Z", "2026/10/26 2026/10/25 2026/10/26 2026/10/25 2026/10/26 2026/10/25"),
        // Havana's clocks skip midnight itself: 2026-03-08 begins at 01:00, at 05:00Z.
        ("2026-03-08T04:59:59.999Z", "2026/03/08 2026/03/07 2026/03/08 2026/03/07 2026/03/08 2026/03/08"),
        ("2026-03-08T05:00:00Z", "2026/03/08 2026/03/08 2026/03/08 2026/03/08 2026/03/08 2026/03/08"),
        // Apia never had 2011-12-30.
        ("2011-12-30T09:59:59.999Z", "2011/12/30 2011/12/30 2011/12/29 2011/12/30 2011/12/30 2011/12/30"),
        ("2011-12-30T10:00:00Z", "2011/12/30 2011/12/30 2011/12/31 2011/12/30 2011/12/30 2011/12/30"),
    ];
    let zones =
        ["Europe/Berlin", "America/New_York", "Pacific/Apia", "America/Havana", "Asia/Kolkata", "Mars/Olympus_Mons"];
    let mut listed = Vec::new();
    for (started_at, days) in table {
        let id = record(&t, "acme", started_at).await;
        listed.push((name(&t, id).await, started_at, days.split(' ').collect::<Vec<_>>()));
    }
    for (n, zone) in zones.into_iter().enumerate() {
        let tree = tree(&t, Scope::Platform, zone);
        let found = walk(&tree).await;
        assert_eq!(found.len(), table.len(), "{zone}");
        for (name, started_at, days) in &listed {
            assert_eq!(found[name], format!("/{}", days[n]), "{started_at} in {zone}");
        }
    }
    let apia = tree(&t, Scope::Platform, "Pacific/Apia");
    assert!(apia.resolve(Path::new("/2011/12/30")).await.is_err());
    t.finish().await;
}

#[tokio::test]
async fn a_path_leads_to_what_its_id_says() {
    let t = TestArchive::start().await;
    let id = record(&t, "acme", "2026-11-21T08:39:42Z").await;
    let name = name(&t, id).await;
    let tree = tree(&t, Scope::Pbx(t.place("acme").await.pbx), "Europe/Berlin");
    let lower = id.to_string().to_lowercase();
    for path in [
        format!("/2026/11/21/{name}"),
        format!("2026/11/21/{name}"),
        format!("//2026/./11/x/../21//{name}"),
        format!("/../2026/11/21/{name}"),
        format!("/2026/11/21/renamed_{id}.mp3"),
        format!("/2026/11/21/{id}"),
        format!("/2026/11/20/{name}"),
        format!("/2026/11/21/{lower}.mp3"),
    ] {
        match tree.resolve(Path::new(&path)).await {
            Ok(Node::Recording(recording)) => assert_eq!(recording.id, id, "{path}"),
            other => panic!("{path}: {other:?}"),
        }
    }
    for path in ["/", "", "..", "/2026", "/2026/11", "/2026/11/21", "/2026/11/../11/21/"] {
        assert!(!matches!(tree.resolve(Path::new(path)).await, Ok(Node::Recording(_)) | Err(_)), "{path}");
    }
    let absent = RecordingId::new(t.now());
    for path in [
        "/2025".to_owned(),
        "/2026/10".to_owned(),
        "/2026/11/20".to_owned(),
        "/2026/13".to_owned(),
        "/2026/11/31".to_owned(),
        "/2026/00/00".to_owned(),
        "/0000".to_owned(),
        "/9999".to_owned(),
        "/26/11/21".to_owned(),
        "/2026/11/1".to_owned(),
        "/-026".to_owned(),
        format!("/{name}"),
        format!("/2026/{name}"),
        format!("/2026/11/{name}"),
        format!("/2026/11/32/{name}"),
        format!("/2026/11/21/{name}/{name}"),
        format!("/2026/11/21\\{name}"),
        "/2026/11/21/x.mp3".to_owned(),
        format!("/2026/11/21/x_{absent}.mp3"),
        format!("/2026/11/21/x_{}.mp3", "Z".repeat(26)),
        format!("/2026/11/21/x_{}.mp3", "é".repeat(13)),
    ] {
        let refused = tree.resolve(Path::new(&path)).await;
        assert!(matches!(refused, Err(Error::NotFound(_))), "{path}: {refused:?}");
    }
    t.finish().await;
}

#[tokio::test]
async fn fault_38_a_foreign_recording_is_nowhere_in_the_tree() {
    let t = TestArchive::start().await;
    let own = record(&t, "acme", "2026-11-20T08:00:00Z").await;
    for pbx in ["acme-lab", "borealis", "cobalt", "nobody-knows"] {
        let id = record(&t, pbx, "2026-11-21T08:00:00Z").await;
        let path = format!("/2026/11/21/{}", name(&t, id).await);
        let tree = tree(&t, Scope::Pbx(t.place("acme").await.pbx), "UTC");
        for path in [path.as_str(), "/2026/11/21"] {
            assert!(matches!(tree.resolve(Path::new(path)).await, Err(Error::NotFound(_))), "{path}");
            assert!(matches!(tree.open(Path::new(path), 0).await, Err(Error::NotFound(_))), "{path}");
        }
        assert_eq!(walk(&tree).await.into_keys().collect::<Vec<_>>(), [name(&t, own).await]);
    }
    t.finish().await;
}

#[tokio::test]
async fn a_recording_opens_at_any_offset_and_a_folder_not_at_all() {
    let t = TestArchive::start().await;
    let bytes: Vec<u8> = (0..600_000_u32).map(|n| n.to_le_bytes()[0] ^ n.to_le_bytes()[1]).collect();
    let id = t.record(&Call::new("acme", "1.1", at("2026-11-21T08:39:42Z"), &bytes)).await;
    let path = format!("/2026/11/21/{}", name(&t, id).await);
    let tree = tree(&t, Scope::Platform, "UTC");
    for offset in [0, 1, 262_143, 262_144, 262_145, 599_999, 600_000] {
        let reader = tree.open(Path::new(&path), offset).await.unwrap();
        let blocks: Vec<_> = reader.read(offset, 600_000 - offset).try_collect().await.unwrap();
        assert!(blocks.concat() == bytes[usize::try_from(offset).unwrap()..], "{offset}");
    }
    for (path, offset) in [(path.as_str(), 600_001), ("/2026/11/21", 0), ("/", 0)] {
        assert!(matches!(tree.open(Path::new(path), offset).await, Err(Error::NotFound(_))), "{path} at {offset}");
    }
    let node = tree.resolve(Path::new(&path)).await.unwrap();
    let entry = tree.entry(&node).unwrap();
    assert_eq!((entry.size_bytes, entry.modified), (Some(600_000), at("2026-11-21T08:39:52Z")));
    assert_eq!(tree.list(&node).await.unwrap(), [entry]);
    t.finish().await;
}

#[tokio::test]
async fn an_expired_recording_vanishes_with_its_folders_at_once() {
    let t = TestArchive::start().await;
    let id = record(&t, "acme", "2026-11-20T08:00:00Z").await;
    record(&t, "acme", "2026-10-20T08:00:00Z").await;
    let (path, ids) = (format!("/2026/11/20/{}", name(&t, id).await), [id]);
    let place = t.place("acme").await;
    let tree = tree(&t, Scope::Pbx(place.pbx), "UTC");
    assert_eq!(names(&tree, "/2026").await, ["10", "11"]);
    let soon = t.now().plus(Duration::from_secs(1));
    let expire = || t.archive.expire(place.tenant, place.pbx, &ids, soon, ExpiryReason::Days, Duration::ZERO);
    // What is older than the core server's enrolment is guarded until an operator confirms it.
    assert_eq!(expire().await.unwrap().recordings, 0);
    let server = t.core_server().await;
    t.archive.confirm_enrolment(&archive::Actor::command_line(), server.id).await.unwrap();
    expire().await.unwrap();
    assert_eq!(names(&tree, "/2026").await, ["10"]);
    for path in [path.as_str(), "/2026/11/20", "/2026/11"] {
        assert!(matches!(tree.resolve(Path::new(path)).await, Err(Error::NotFound(_))), "{path}");
    }
    t.finish().await;
}
