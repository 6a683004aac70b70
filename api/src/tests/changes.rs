//! What callers may change: holds, undeleting, retrying; and what the audit keeps of it.

use std::time::Duration;

use archive::testing::Call;
use archive::{ExpiryReason, RecordingId};
use serde_json::{Value, json};

use super::Http;

const DAY: Duration = Duration::from_secs(86_400);

impl Http {
    /// Expires a recording of the PBX acme, by days; says whether it went.
    async fn expire(&self, id: RecordingId) -> bool {
        let place = self.t.place("acme").await;
        let now = self.t.now();
        let expired = self.t.archive.expire(place.tenant, place.pbx, &[id], now, ExpiryReason::Days, DAY).await;
        expired.expect("expire").recordings == 1
    }

    async fn hold(&self, login: &str, body: &Value) -> String {
        let answer = self.post(login, "/api/v1/holds", body).await;
        assert_eq!(answer.status, 201, "{answer:?}");
        answer.json()["id"].as_str().expect("id").to_owned()
    }
}

#[tokio::test]
async fn a_hold_keeps_a_recording_until_it_is_released() {
    let http = Http::start().await;
    let id = http.record("acme", "1.1", b"audio").await;
    let path = format!("/api/v1/recordings/{id}");
    assert_eq!(http.get("tenant", &path).await.json()["held"], false);
    let hold = http.hold("tenant", &json!({ "matter": "case 7", "recording": id.to_string() })).await;
    assert_eq!(http.get("tenant", &path).await.json()["held"], true);
    http.t.clock.advance(DAY * 40);
    assert!(!http.expire(id).await, "it is held");

    let listed = http.get("tenant", "/api/v1/holds").await.items();
    assert_eq!((listed.len(), &listed[0]["id"], &listed[0]["matter"]), (1, &json!(hold), &json!("case 7")));
    assert!(listed[0]["released_at"].is_null());
    assert!(http.get("stranger", "/api/v1/holds").await.items().is_empty());

    let path = format!("/api/v1/holds/{hold}");
    http.delete("stranger", &path).await.problem(404, "not_found");
    assert_eq!(http.delete("tenant", &path).await.status, 204);
    http.delete("tenant", &path).await.problem(404, "not_found");
    assert!(http.expire(id).await, "nothing holds it any more");
    assert_eq!(http.audited("hold.set").await.len(), 1);
    assert_eq!(http.audited("hold.release").await.len(), 1);
    http.finish().await;
}

#[tokio::test]
async fn a_hold_belongs_to_the_tenant_that_the_request_means() {
    let http = Http::start().await;
    let id = http.record("borealis", "1.1", b"audio").await.to_string();
    let (acme, borealis) = (http.t.tenant("acme").await.id.to_string(), http.t.tenant("borealis").await.id.to_string());
    let matter = "case 8";
    for (login, body, tenant) in [
        ("tenant", json!({ "matter": matter }), &acme),
        ("tenant", json!({ "matter": matter, "pbx": "acme-lab", "number": "+4930123456" }), &acme),
        ("tenant", json!({ "matter": matter, "from": "2026-01-01", "until": "2026-02-01T00:00:00Z" }), &acme),
        ("reseller", json!({ "matter": matter, "recording": id }), &borealis),
        ("reseller", json!({ "matter": matter, "pbx": "borealis" }), &borealis),
        ("operator", json!({ "matter": matter, "tenant": "acme" }), &acme),
        ("operator", json!({ "matter": matter, "tenant": acme }), &acme),
    ] {
        let hold = http.hold(login, &body).await;
        let listed = http.get("operator", "/api/v1/holds").await.items();
        let listed = listed.iter().find(|listed| listed["id"] == hold).expect("listed");
        assert_eq!(listed["tenant"], **tenant, "{login} {body}");
    }
    assert_eq!(http.get("operator", "/api/v1/holds?limit=5").await.items().len(), 5);
    http.finish().await;
}

#[tokio::test]
async fn a_hold_that_may_not_or_cannot_be_set_is_refused() {
    let http = Http::start().await;
    let foreign = http.record("cobalt", "1.1", b"audio").await.to_string();
    let unassigned = http.record("nobody-knows", "1.2", b"audio").await.to_string();
    for (login, body, status, code, field) in [
        ("pbx", json!({ "matter": "m", "pbx": "acme" }), 403, "forbidden", None),
        ("tenant", json!({ "pbx": "acme" }), 400, "missing_field", Some("matter")),
        ("tenant", json!({ "matter": "  " }), 400, "invalid", None),
        ("tenant", json!({ "matter": "m", "from": "then" }), 400, "invalid_value", Some("from")),
        ("tenant", json!({ "matter": "m", "colour": "red" }), 400, "unknown_field", Some("colour")),
        ("reseller", json!({ "matter": "m" }), 400, "missing_field", Some("tenant")),
        ("tenant", json!({ "matter": "m", "recording": foreign }), 404, "not_found", None),
        ("tenant", json!({ "matter": "m", "recording": "nonsense" }), 404, "not_found", None),
        ("tenant", json!({ "matter": "m", "pbx": "cobalt" }), 404, "not_found", None),
        ("reseller", json!({ "matter": "m", "tenant": "cobalt" }), 404, "not_found", None),
        ("reseller", json!({ "matter": "m", "tenant": "acme", "pbx": "borealis" }), 404, "not_found", None),
        ("operator", json!({ "matter": "m", "recording": unassigned }), 400, "invalid_value", Some("recording")),
    ] {
        let problem = http.post(login, "/api/v1/holds", &body).await.problem(status, code);
        assert_eq!(problem["field"].as_str(), field, "{login} {body}");
    }
    let random = RecordingId::new(http.t.now()).to_string();
    http.delete("pbx", &format!("/api/v1/holds/{random}")).await.problem(403, "forbidden");
    assert!(http.get("operator", "/api/v1/holds").await.items().is_empty());
    http.finish().await;
}

#[tokio::test]
async fn an_expired_recording_is_invisible_and_comes_back_by_undelete() {
    let http = Http::start().await;
    let id = http.record("acme", "1.1", b"audio").await;
    let path = format!("/api/v1/recordings/{id}");
    http.t.clock.advance(DAY * 40);
    assert!(http.expire(id).await);
    for suffix in ["", "/audio", "/waveform"] {
        http.get("tenant", &format!("{path}{suffix}")).await.problem(404, "not_found");
    }
    let usage = http.get("tenant", "/api/v1/usage").await.items();
    let of = |class: &str| usage.iter().find(|row| row["class"] == class).map(|row| row["recordings"].clone());
    assert_eq!((of("grace"), of("live")), (Some(json!(1)), None));

    let body = json!({ "recordings": [id.to_string(), "nonsense"] });
    http.post("stranger", "/api/v1/undelete", &body).await.problem(404, "not_found");
    let answer = http.post("tenant", "/api/v1/undelete", &body).await;
    assert_eq!(answer.json(), json!({ "undeleted": [id.to_string()], "not_found": ["nonsense"] }));
    assert_eq!(http.get("tenant", &path).await.status, 200);
    http.post("tenant", "/api/v1/undelete", &body).await.problem(404, "not_found");
    for (body, code) in [
        (json!({}), "missing_field"),
        (json!({ "recordings": "all" }), "invalid_value"),
        (json!({ "recordings": [5] }), "invalid_value"),
        (json!({ "recordings": vec!["x"; 1001] }), "invalid_value"),
    ] {
        let problem = http.post("tenant", "/api/v1/undelete", &body).await.problem(400, code);
        assert_eq!(problem["field"], "recordings");
    }
    assert_eq!(http.audited("recording.undelete").await.len(), 1);
    http.finish().await;
}

#[tokio::test]
async fn usage_names_what_it_counts() {
    let http = Http::start().await;
    http.record("acme", "1.1", b"audio").await;
    http.record("acme-lab", "1.2", b"more audio").await;
    http.record("cobalt", "1.3", b"audio").await;
    let usage = http.get("tenant", "/api/v1/usage").await.items();
    assert_eq!(usage.len(), 2);
    let lab = usage.iter().find(|row| row["pbx_code"] == "acme-lab").expect("acme-lab");
    for (field, value) in [
        ("tenant_code", json!("acme")),
        ("tier_code", json!("small")),
        ("store", json!("disk")),
        ("class", json!("live")),
        ("recordings", json!(1)),
        ("audio_ms", json!(10_000)),
        ("stored_bytes", json!(10)),
    ] {
        assert_eq!(lab[field], value, "{field}");
    }
    assert_eq!(http.get("operator", "/api/v1/usage").await.items().len(), 3);
    http.finish().await;
}

#[tokio::test]
async fn a_quarantined_source_is_listed_with_its_reason_and_can_be_retried() {
    let http = Http::start().await;
    for n in 0..3 {
        let claim = http.t.spool(&Call::new("acme", &format!("1.{n}"), http.t.now(), b"noise")).await;
        http.t.archive.quarantine(&claim, "not-audio", "no known format").await.expect("quarantine");
    }
    let first = http.get("operator", "/api/v1/quarantine?limit=2").await;
    let next = first.json()["next"].as_str().expect("a second page").to_owned();
    let second = http.get("operator", &format!("/api/v1/quarantine?limit=2&cursor={next}")).await;
    assert_eq!((first.items().len(), second.items().len()), (2, 1));
    let source = &first.items()[0];
    for (field, value) in
        [("code", json!("not-audio")), ("detail", json!("no known format")), ("core_server_name", json!("core-1"))]
    {
        assert_eq!(source[field], value, "{field}");
    }
    let path = format!("/api/v1/quarantine/{}/retry", source["id"].as_str().expect("id"));
    let none = json!({});
    http.post("tenant", &path, &none).await.problem(403, "forbidden");
    assert_eq!(http.post("operator", &path, &none).await.status, 204);
    http.post("operator", &path, &none).await.problem(409, "conflict");
    let random = format!("/api/v1/quarantine/{}/retry", RecordingId::new(http.t.now()));
    http.post("operator", &random, &none).await.problem(404, "not_found");
    assert_eq!(http.get("operator", "/api/v1/quarantine").await.items().len(), 2);
    assert_eq!(http.audited("source.retry").await.len(), 1);
    http.finish().await;
}

#[tokio::test]
async fn the_audit_is_paged_newest_first() {
    let http = Http::start().await;
    for n in 0..5 {
        http.t.clock.advance(Duration::from_secs(1));
        http.hold("tenant", &json!({ "matter": format!("case {n}") })).await;
    }
    let (mut seen, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = http.get("tenant", &format!("/api/v1/audit?limit=2{cursor}")).await;
        seen.extend(page.each("at"));
        match page.json()["next"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(seen.len(), 5);
    assert!(seen.is_sorted_by(|a, b| a > b), "{seen:?}");
    http.finish().await;
}
