//! Searching recordings, and the pages of lists.

use std::collections::BTreeSet;
use std::time::Duration;

use archive::Leg;
use archive::testing::Call;

use super::Http;

#[tokio::test]
async fn pages_visit_every_recording_once_in_both_orders_even_at_the_same_instant() {
    let http = Http::start().await;
    let mut recorded = BTreeSet::new();
    for n in 0..17 {
        // Five at the same instant, then the next five.
        if n % 5 == 0 {
            http.t.clock.advance(Duration::from_secs(1));
        }
        recorded.insert(http.record("acme", &format!("1.{n}"), b"audio").await.to_string());
    }
    http.record("cobalt", "1.1", b"audio").await;
    for order in ["newest", "oldest"] {
        let (mut seen, mut starts, mut cursor) = (Vec::new(), Vec::new(), String::new());
        loop {
            let page = http.get("tenant", &format!("/api/v1/recordings?limit=4&order={order}{cursor}")).await;
            seen.extend(page.each("id"));
            starts.extend(page.each("started_at"));
            match page.json()["next"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => break,
            }
        }
        assert_eq!(seen.len(), 17, "{order}: each once");
        assert_eq!(seen.iter().cloned().collect::<BTreeSet<_>>(), recorded, "{order}");
        let mut sorted = starts.clone();
        sorted.sort();
        if order == "newest" {
            sorted.reverse();
        }
        assert_eq!(starts, sorted, "{order}");
    }
    http.finish().await;
}

#[tokio::test]
async fn every_parameter_narrows_the_search() {
    let http = Http::start().await;
    let base = Call::new("acme", "77.1", http.t.now(), b"audio");
    let one = http.t.record(&base).await.to_string();
    http.t.clock.advance(Duration::from_secs(3600));
    let later = Call { call_ref: "77.2".into(), leg: Leg::Caller, started_at: Some(http.t.now()), ..base.clone() };
    let later = Call { pbx: "acme-lab".into(), caller: "+4930999".into(), callee: "102".into(), ..later };
    let other = http.t.record(&later).await.to_string();
    let lab = http.t.place("acme-lab").await.pbx;
    let server = http.t.core_server().await.id;
    let both = [other.as_str(), one.as_str()];
    for (query, expected) in [
        ("".to_owned(), &both[..]),
        ("pbx=acme".to_owned(), &[one.as_str()]),
        (format!("pbx={lab}"), &[other.as_str()]),
        ("from=2026-11-21T13:00:00Z".to_owned(), &[other.as_str()]),
        ("from=2026-11-21T14:00:00+01:00".to_owned(), &[other.as_str()]),
        ("until=2026-11-21T13:00:00Z".to_owned(), &[one.as_str()]),
        ("from=2026-11-21&until=2026-11-22".to_owned(), &both),
        ("until=2026-11-21".to_owned(), &[]),
        ("number=%2B4930123456".to_owned(), &[one.as_str()]),
        ("number=+4930999".to_owned(), &[other.as_str()]),
        ("caller=101".to_owned(), &[one.as_str()]),
        ("callee=101".to_owned(), &[]),
        ("callee=102".to_owned(), &[other.as_str()]),
        ("direction=out".to_owned(), &both),
        ("direction=in".to_owned(), &[]),
        ("leg=caller".to_owned(), &[other.as_str()]),
        ("call=77.1".to_owned(), &[one.as_str()]),
        ("core_server=core-1".to_owned(), &both),
        (format!("core_server={server}"), &both),
        ("min_duration_s=10".to_owned(), &both),
        ("min_duration_s=10.001".to_owned(), &[]),
        ("max_duration_s=9.9".to_owned(), &[]),
        ("order=oldest&limit=1".to_owned(), &[one.as_str()]),
    ] {
        let found = http.get("operator", &format!("/api/v1/recordings?{query}")).await;
        assert_eq!(found.each("id"), expected, "{query}");
    }
    let found = http.get("operator", "/api/v1/recordings").await;
    assert_eq!(found.each("pbx_code"), ["acme-lab", "acme"]);
    assert_eq!(found.each("call"), ["77.2", "77.1"]);
    http.finish().await;
}

#[tokio::test]
async fn bad_parameters_are_refused_by_name() {
    let http = Http::start().await;
    for (query, code, field) in [
        ("colour=red", "unknown_field", "colour"),
        ("limit=10&Limit=10", "unknown_field", "Limit"),
        ("limit=0", "invalid_value", "limit"),
        ("limit=1001", "invalid_value", "limit"),
        ("limit=ten", "invalid_value", "limit"),
        ("limit=1&limit=2", "invalid_value", "limit"),
        ("cursor=x", "invalid_value", "cursor"),
        ("cursor=1-2", "invalid_value", "cursor"),
        ("cursor=99999999999999999999-01ARZ3NDEKTSV4RRFFQ69G5FAV", "invalid_value", "cursor"),
        ("from=yesterday", "invalid_value", "from"),
        ("until=2026-02-30", "invalid_value", "until"),
        ("direction=up", "invalid_value", "direction"),
        ("leg=left", "invalid_value", "leg"),
        ("order=random", "invalid_value", "order"),
        ("min_duration_s=-1", "invalid_value", "min_duration_s"),
        ("max_duration_s=NaN", "invalid_value", "max_duration_s"),
        ("number=", "invalid_value", "number"),
        ("number=1%00", "invalid_value", "number"),
    ] {
        let problem = http.get("tenant", &format!("/api/v1/recordings?{query}")).await.problem(400, code);
        assert_eq!(problem["field"], field, "{query}");
    }
    for list in [
        "usage",
        "resellers",
        "tenants",
        "pbxs",
        "ftp-accounts",
        "core-servers",
        "tiers",
        "stores",
        "holds",
        "quarantine",
        "audit",
    ] {
        let path = format!("/api/v1/{list}");
        let problem = http.get("operator", &format!("{path}?colour=red")).await.problem(400, "unknown_field");
        assert_eq!(problem["field"], "colour", "{list}");
        assert_eq!(
            http.get("operator", &format!("{path}?limit=0")).await.problem(400, "invalid_value")["field"],
            "limit"
        );
    }
    for list in ["quarantine", "audit"] {
        let problem = http.get("operator", &format!("/api/v1/{list}?cursor=x")).await.problem(400, "invalid_value");
        assert_eq!(problem["field"], "cursor", "{list}");
    }
    http.finish().await;
}

#[tokio::test]
async fn short_lists_are_paged_like_long_ones() {
    let http = Http::start().await;
    for (list, key, count) in [("pbxs", "code", 4), ("tenants", "code", 3), ("ftp-accounts", "login", 4)] {
        let (mut seen, mut cursor) = (Vec::new(), String::new());
        loop {
            let page = http.get("operator", &format!("/api/v1/{list}?limit=1{cursor}")).await;
            seen.extend(page.each(key));
            match page.json()["next"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => break,
            }
        }
        let distinct: BTreeSet<_> = seen.iter().collect();
        assert_eq!((seen.len(), distinct.len()), (count, count), "{list}: {seen:?}");
    }
    http.finish().await;
}

#[tokio::test]
async fn an_unassigned_recording_is_seen_by_operators_only() {
    let http = Http::start().await;
    let id = http.record("nobody-knows", "1.1", b"audio").await;
    let path = format!("/api/v1/recordings/{id}");
    let recording = http.get("operator", &path).await.json();
    assert!(recording["pbx"].is_null() && recording["pbx_token"] == "nobody-knows", "{recording}");
    for login in ["reseller", "tenant", "pbx", "stranger"] {
        http.get(login, &path).await.problem(404, "not_found");
        assert!(http.get(login, "/api/v1/recordings").await.items().is_empty());
    }
    let usage = http.get("operator", "/api/v1/usage").await.items();
    assert!(usage[0]["pbx"].is_null() && usage[0]["tenant"].is_null(), "{usage:?}");
    http.finish().await;
}
