//! How recordings are seen: by whom, in which order, from which byte.

use std::time::Duration;

use futures_util::TryStreamExt;

use crate::testing::{Call, TestArchive};
use crate::{Actor, Direction, Error, Order, RecordingId, Scope, Search, SourceId, SourceState};

pub async fn a_scope_reaches_its_own_and_nothing_else(t: TestArchive) {
    let mut ids = Vec::new();
    for pbx in ["acme", "acme-lab", "borealis", "cobalt"] {
        ids.push(t.record(&Call::new(pbx, "1.1", t.now(), pbx.as_bytes())).await);
    }
    let (acme, cobalt) = (t.tenant("acme").await, t.tenant("cobalt").await);
    let cases: [(Scope, &[bool; 4]); 6] = [
        (Scope::Platform, &[true, true, true, true]),
        (Scope::Reseller(acme.reseller), &[true, true, true, false]),
        (Scope::Reseller(cobalt.reseller), &[false, false, false, true]),
        (Scope::Tenant(acme.id), &[true, true, false, false]),
        (Scope::Pbx(t.place("acme").await.pbx), &[true, false, false, false]),
        (Scope::Pbx(t.place("borealis").await.pbx), &[false, false, true, false]),
    ];
    for (scope, reached) in cases {
        for (id, reached) in ids.iter().zip(reached) {
            let opened = t.archive.open_audio(scope, *id).await;
            assert_eq!(opened.is_ok(), *reached, "{scope} and {id}");
            if let Err(error) = opened {
                let absent = RecordingId::new(t.now());
                let unknown = t.archive.open_audio(scope, absent).await.unwrap_err();
                assert_eq!(error.to_string(), unknown.to_string(), "foreign and absent look the same");
            }
        }
        let page = t.archive.search(scope, &Search::default(), None, 10).await.unwrap();
        assert_eq!(page.items.len(), reached.iter().filter(|it| **it).count(), "{scope}");
        let counted: u64 = t.archive.list_usage(scope).await.unwrap().iter().map(|usage| usage.recordings).sum();
        assert_eq!(counted, page.items.len() as u64, "{scope}");
        let has = t.archive.has_recordings(scope, t.now(), t.now().plus(Duration::from_millis(1))).await.unwrap();
        assert!(has, "{scope}");
    }
    t.finish().await;
}

pub async fn pages_visit_every_recording_once_in_both_orders(t: TestArchive) {
    let mut ids = Vec::new();
    for n in 0..23_u64 {
        // Several begin in the same millisecond: a cursor by time alone would lose or repeat them.
        let at = t.now().plus(Duration::from_millis(n / 5));
        ids.push(t.record(&Call::new("acme", &n.to_string(), at, &n.to_le_bytes())).await);
    }
    ids.sort_unstable();
    for order in [Order::OldestFirst, Order::NewestFirst] {
        let search = Search { order, ..Search::default() };
        let (mut seen, mut cursor) = (Vec::new(), None);
        loop {
            let page = t.archive.search(Scope::Platform, &search, cursor, 4).await.unwrap();
            seen.extend(page.items.iter().map(|recording| recording.id));
            cursor = page.next.map(|next| next.to_string().parse().unwrap());
            if cursor.is_none() {
                break;
            }
        }
        if order == Order::NewestFirst {
            seen.reverse();
        }
        assert_eq!(seen, ids, "{order:?}");
    }
    t.finish().await;
}

pub async fn every_part_of_a_search_narrows_it(t: TestArchive) {
    let at = t.now();
    let a = Call { caller: "101".to_owned(), callee: "202".to_owned(), ..Call::new("acme", "1.1", at, b"a") };
    let b = Call {
        caller: "202".to_owned(),
        callee: "303".to_owned(),
        ..Call::new("borealis", "1.2", at.plus(Duration::from_secs(60)), b"b")
    };
    let (a, b) = (t.record(&a).await, t.record(&b).await);
    let acme = t.place("acme").await.pbx;
    let search = Search::default;
    let cases = [
        (search(), vec![b, a]),
        (Search { pbx: Some(acme), ..search() }, vec![a]),
        (Search { core_server: Some(t.core_server().await.id), ..search() }, vec![b, a]),
        (Search { from: Some(at.plus(Duration::from_millis(1))), ..search() }, vec![b]),
        (Search { until: Some(at.plus(Duration::from_secs(60))), ..search() }, vec![a]),
        (Search { number: Some("202".to_owned()), ..search() }, vec![b, a]),
        (Search { caller: Some("202".to_owned()), ..search() }, vec![b]),
        (Search { callee: Some("202".to_owned()), ..search() }, vec![a]),
        (Search { direction: Some(Direction::Out), ..search() }, vec![b, a]),
        (Search { direction: Some(Direction::In), ..search() }, vec![]),
        (Search { leg: Some(crate::Leg::Caller), ..search() }, vec![]),
        (Search { call_ref: Some("1.1".to_owned()), ..search() }, vec![a]),
        (Search { min_duration_ms: Some(10_001), ..search() }, vec![]),
        (Search { max_duration_ms: Some(10_000), ..search() }, vec![b, a]),
        (Search { pbx: Some(acme), caller: Some("202".to_owned()), ..search() }, vec![]),
    ];
    for (search, expected) in cases {
        let page = t.archive.search(Scope::Platform, &search, None, 10).await.unwrap();
        assert_eq!(page.items.iter().map(|it| it.id).collect::<Vec<_>>(), expected, "{search:?}");
    }
    t.finish().await;
}

pub async fn lists_stay_in_scope_and_go_on_behind_the_last_row_seen(t: TestArchive) {
    let (acme, cobalt) = (t.tenant("acme").await, t.place("cobalt").await);
    let (own, foreign) = (Scope::Tenant(acme.id), cobalt.pbx.to_string());
    for (scope, asked, found) in [
        (Scope::Platform, "cobalt", true),
        (Scope::Platform, foreign.as_str(), true),
        (Scope::Pbx(cobalt.pbx), foreign.as_str(), true),
        (own, "acme-lab", true),
        (own, "cobalt", false),
        (own, foreign.as_str(), false),
        (Scope::Reseller(acme.reseller), "borealis", true),
        (Scope::Reseller(acme.reseller), "cobalt", false),
        (Scope::Platform, "no-such", false),
    ] {
        assert_eq!(t.archive.find_pbx(scope, asked).await.unwrap().is_some(), found, "{scope} {asked}");
    }
    let mut declaration = t.declaration();
    declaration.tiers[1].reseller = Some("south".to_owned());
    declaration.pbxs[1].tier = None;
    t.archive.apply(&Actor::command_line(), &declaration).await.unwrap();
    for (scope, codes) in [
        (Scope::Platform, &["basic", "small"][..]),
        (Scope::Tenant(cobalt.tenant), &["basic", "small"]),
        (Scope::Pbx(cobalt.pbx), &["basic", "small"]),
        (own, &["basic"]),
        (Scope::Reseller(acme.reseller), &["basic"]),
    ] {
        let tiers = t.archive.list_tiers(scope).await.unwrap();
        assert_eq!(tiers.iter().map(|tier| tier.code.as_str()).collect::<Vec<_>>(), codes, "{scope}");
    }

    let operator = Actor::command_line();
    for n in 0..3 {
        let claim = t.spool(&Call::new("acme", &format!("2.{n}"), t.now(), b"noise")).await;
        t.archive.quarantine(&claim, "not-audio", "no known format").await.unwrap();
    }
    let state = SourceState::Quarantined;
    let all = t.archive.list_sources(state, 10).await.unwrap();
    assert_eq!(t.archive.list_sources_after(state, all[0].id, 10).await.unwrap(), all[1..]);
    for source in &all {
        t.archive.retry_quarantined(&operator, source.id).await.unwrap();
    }
    let refused = t.archive.retry_quarantined(&operator, SourceId::new(t.now())).await;
    assert!(matches!(refused, Err(Error::NotFound(_))), "{refused:?}");
    let tenant = Actor { scope: own, ..operator };
    let refused = t.archive.retry_quarantined(&tenant, all[0].id).await;
    assert!(matches!(refused, Err(Error::Forbidden(_))), "{refused:?}");
    let rows = t.archive.list_audit(Scope::Platform, None, 10).await.unwrap();
    assert_eq!(t.archive.list_audit(Scope::Platform, Some(rows[1].id), 10).await.unwrap(), rows[2..]);
    assert_eq!(t.archive.list_audit(own, Some(rows[0].id), 10).await.unwrap(), []);
    t.finish().await;
}

pub async fn audio_reads_back_from_any_offset(t: TestArchive) {
    // More than two blocks, and not a multiple of one.
    let bytes: Vec<u8> = (0..600_001_u32).map(|n| n.to_le_bytes()[(n % 3) as usize]).collect();
    let id = t.record(&Call::new("acme", "1.1", t.now(), &bytes)).await;
    let audio = t.archive.open_audio(Scope::Platform, id).await.unwrap();
    assert_eq!(audio.recording.size_bytes, bytes.len() as u64);
    let end = bytes.len() as u64;
    for (offset, length) in [(0, end), (0, 0), (0, 1), (1, end - 1), (262_143, 2), (end - 1, 1), (end, 0), (9, end)] {
        let read: Vec<bytes::Bytes> = audio.read(offset, length).try_collect().await.unwrap();
        let stop = (offset + length).min(end);
        assert_eq!(read.concat(), &bytes[offset as usize..stop as usize], "{length} bytes from {offset}");
    }
    assert_eq!(crate::Sha256::of(&bytes), audio.recording.audio_sha256);

    // Bytes that went missing behind the catalogue's back are an error, never a short file.
    std::fs::remove_file(t.stored_file(id)).unwrap();
    let read: Result<Vec<bytes::Bytes>, Error> = audio.read(0, end).try_collect().await;
    assert!(read.is_err());
    let findings = t.archive.verify(crate::Depth::Fast).await.unwrap().findings;
    assert_eq!(findings, vec![crate::Finding::Missing(id)]);
}
