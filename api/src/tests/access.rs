//! Who gets in: tokens, logins, the four roles, and how each is out at once.

use std::time::Duration;

use archive::Actor;
use archive::testing::TestArchive;
use axum::body::Body;
use serde_json::json;

use super::{Http, request, with_json};

#[tokio::test]
async fn without_a_good_token_nothing_but_a_challenge_is_answered() {
    let http = Http::start().await;
    let none = http.get("", "/api/v1/recordings").await;
    none.problem(401, "unauthenticated");
    assert_eq!(none.header("www-authenticate"), Some("Bearer realm=\"fonoteca\""));
    for header in ["Bearer nonsense", "Bearer ", "Bearer", "Basic dXNlcjpwYXNz", "é"] {
        let answer =
            http.ask(request("GET", "", "/api/v1/recordings", &[("authorization", header)], Body::empty())).await;
        answer.problem(401, "unauthenticated");
        assert!(answer.header("www-authenticate").expect("a challenge").contains("invalid_token"), "{header}");
    }
    let lower = format!("bearer {}", TestArchive::token("pbx"));
    let answer = http.ask(request("GET", "", "/api/v1/pbxs", &[("authorization", &lower)], Body::empty())).await;
    assert_eq!(answer.status, 200);
    http.finish().await;
}

#[tokio::test]
async fn each_role_sees_its_part_of_the_platform() {
    let http = Http::start().await;
    for (login, resellers, tenants, pbxs) in [
        ("operator", &["north", "south"][..], &["acme", "borealis", "cobalt"][..], 4),
        ("reseller", &["north"], &["acme", "borealis"], 3),
        ("tenant", &[], &["acme"], 2),
        ("pbx", &[], &["acme"], 1),
        ("stranger", &[], &["cobalt"], 1),
    ] {
        assert_eq!(http.get(login, "/api/v1/resellers").await.each("code"), resellers, "{login}");
        assert_eq!(http.get(login, "/api/v1/tenants").await.each("code"), tenants, "{login}");
        assert_eq!(http.get(login, "/api/v1/pbxs").await.items().len(), pbxs, "{login}");
        assert_eq!(http.get(login, "/api/v1/ftp-accounts").await.items().len(), pbxs, "{login}");
    }
    let servers = http.get("operator", "/api/v1/core-servers").await;
    assert_eq!(servers.each("name"), ["core-1"]);
    for login in ["reseller", "tenant", "pbx"] {
        http.get(login, "/api/v1/core-servers").await.problem(403, "forbidden");
        http.get(login, "/api/v1/quarantine").await.problem(403, "forbidden");
    }
    http.finish().await;
}

#[tokio::test]
async fn a_login_gives_a_token_that_works_until_it_is_revoked() {
    let http = Http::start().await;
    let asked = json!({ "login": "tenant", "password": TestArchive::PASSWORD, "name": "laptop", "expires_in_s": 60 });
    let made = http.post("", "/api/v1/tokens", &asked).await;
    assert_eq!(made.status, 201, "{made:?}");
    assert_eq!(made.header("cache-control"), Some("no-store"));
    let made = made.json();
    assert_eq!(made["expires_at"], "2026-11-21T12:01:00.000Z");
    let bearer = format!("Bearer {}", made["token"].as_str().expect("token"));
    let look = || request("GET", "", "/api/v1/pbxs", &[("authorization", &bearer)], Body::empty());
    assert_eq!(http.ask(look()).await.status, 200);

    let path = format!("/api/v1/tokens/{}", made["id"].as_str().expect("id"));
    http.delete("stranger", &path).await.problem(404, "not_found");
    assert_eq!(http.ask(look()).await.status, 200, "nobody else revokes it");
    let revoke = request("DELETE", "", &path, &[("authorization", &bearer)], Body::empty());
    assert_eq!(http.ask(revoke).await.status, 204);
    http.ask(look()).await.problem(401, "unauthenticated");
    http.delete("tenant", &path).await.problem(404, "not_found");
    assert_eq!(http.audited("token.new").await.len(), 1);
    assert_eq!(http.audited("token.revoke").await.len(), 1);
    http.finish().await;
}

#[tokio::test]
async fn a_token_ends_at_its_time() {
    let http = Http::start().await;
    let asked = json!({ "login": "pbx", "password": TestArchive::PASSWORD, "expires_in_s": 60 });
    let made = http.post("", "/api/v1/tokens", &asked).await.json();
    let bearer = format!("Bearer {}", made["token"].as_str().expect("token"));
    let look = || request("GET", "", "/api/v1/pbxs", &[("authorization", &bearer)], Body::empty());
    assert_eq!(http.ask(look()).await.status, 200);
    http.t.clock.advance(Duration::from_secs(61));
    http.ask(look()).await.problem(401, "unauthenticated");
    http.finish().await;
}

#[tokio::test]
async fn too_many_wrong_passwords_ban_the_address_from_the_login_for_a_while() {
    let http = Http::start().await;
    let log_in =
        |password: &str| with_json("POST", "", "/api/v1/tokens", &json!({ "login": "tenant", "password": password }));
    let wrong = http.ask(log_in("wrong")).await;
    let unknown = http.post("", "/api/v1/tokens", &json!({ "login": "nobody", "password": "wrong" })).await;
    assert_eq!(wrong.body, unknown.body, "a wrong password looks like an unknown login");
    assert!(wrong.header("www-authenticate").is_some());
    for _ in 1..10 {
        http.ask(log_in("wrong")).await.problem(401, "wrong_credentials");
    }
    let banned = http.ask(log_in(TestArchive::PASSWORD)).await;
    assert_eq!(banned.body, wrong.body, "a ban looks like a wrong password");
    assert_eq!(http.ask_from("192.0.2.2", log_in(TestArchive::PASSWORD)).await.status, 201, "others may log in");
    http.t.clock.advance(Duration::from_secs(31 * 60));
    assert_eq!(http.ask(log_in(TestArchive::PASSWORD)).await.status, 201);
    http.finish().await;
}

#[tokio::test]
async fn a_disabled_tenant_is_out_at_once_and_so_are_its_pbxs() {
    let http = Http::start().await;
    assert_eq!(http.get("tenant", "/api/v1/recordings").await.status, 200);
    let mut declaration = http.t.declaration();
    declaration.tenants[0].disabled = true;
    http.t.archive.apply(&Actor::command_line(), &declaration).await.expect("apply");
    for login in ["tenant", "pbx"] {
        http.get(login, "/api/v1/recordings").await.problem(401, "unauthenticated");
    }
    assert_eq!(http.get("reseller", "/api/v1/recordings").await.status, 200);
    http.finish().await;
}

#[tokio::test]
async fn a_bad_login_body_is_refused_by_its_field() {
    let http = Http::start().await;
    let password = TestArchive::PASSWORD;
    for (body, code, field) in [
        (json!({ "password": password }), "missing_field", "login"),
        (json!({ "login": "tenant" }), "missing_field", "password"),
        (json!({ "login": null, "password": password }), "missing_field", "login"),
        (json!({ "login": 5, "password": password }), "invalid_value", "login"),
        (json!({ "login": "a\u{0}b", "password": password }), "invalid_value", "login"),
        (json!({ "login": "tenant", "password": "x".repeat(2000) }), "invalid_value", "password"),
        (json!({ "login": "tenant", "password": password, "expires_in_s": 0 }), "invalid_value", "expires_in_s"),
        (json!({ "login": "tenant", "password": password, "expires_in_s": -1 }), "invalid_value", "expires_in_s"),
        (json!({ "login": "tenant", "password": password, "role": "operator" }), "unknown_field", "role"),
    ] {
        let problem = http.post("", "/api/v1/tokens", &body).await.problem(400, code);
        assert_eq!(problem["field"], field, "{body}");
    }
    assert_eq!(http.audited("token.new").await.len(), 0);
    http.finish().await;
}
