//! Isolation: generated from the table of routes, so that a new route is tried from foreign tenants without anybody
//! thinking of it. What is foreign must look exactly like what does not exist.

use archive::testing::{Call, TestArchive};
use archive::{HoldId, RecordingId, SourceId, TokenId};
use axum::body::Body;
use axum::http::Request;
use serde_json::{Value, json};

use super::{Http, request, with_json};
use crate::routes::ROUTES;

/// Something of each kind that belongs to the tenant cobalt, or to nobody.
struct Foreign {
    recording: String,
    unassigned: String,
    expired: String,
    hold: String,
    token: String,
    source: String,
}

impl Foreign {
    async fn make(http: &Http) -> Self {
        let stranger = json!({ "login": "stranger", "password": TestArchive::PASSWORD });
        let token = http.post("", "/api/v1/tokens", &stranger).await.json()["id"].as_str().expect("id").to_owned();
        let expired = http.record("cobalt", "1.3", b"old").await;
        http.t.clock.advance(std::time::Duration::from_secs(40 * 86_400));
        let (place, now) = (http.t.place("cobalt").await, http.t.now());
        let reason = archive::ExpiryReason::Days;
        let grace = std::time::Duration::from_secs(86_400);
        http.t.archive.expire(place.tenant, place.pbx, &[expired], now, reason, grace).await.expect("expire");
        let recording = http.record("cobalt", "1.1", b"audio").await.to_string();
        let unassigned = http.record("nobody-knows", "1.2", b"audio").await.to_string();
        let hold = http.post("stranger", "/api/v1/holds", &json!({ "matter": "m", "recording": recording })).await;
        let hold = hold.json()["id"].as_str().expect("id").to_owned();
        let claim = http.t.spool(&Call::new("cobalt", "1.4", http.t.now(), b"noise")).await;
        http.t.archive.quarantine(&claim, "not-audio", "no known format").await.expect("quarantine");
        let source = claim.source.id.to_string();
        Self { recording, unassigned, expired: expired.to_string(), hold, token, source }
    }

    /// The foreign ids that a route's `{id}` may stand for, each with a random one of its kind.
    fn ids(&self, http: &Http, path: &str) -> Vec<(String, String)> {
        let now = http.t.now();
        if path.contains("/tokens/") {
            vec![(self.token.clone(), TokenId::new(now).to_string())]
        } else if path.contains("/holds/") {
            vec![(self.hold.clone(), HoldId::new(now).to_string())]
        } else if path.contains("/quarantine/") {
            vec![(self.source.clone(), SourceId::new(now).to_string())]
        } else {
            assert!(path.contains("/recordings/"), "{path}: say here what its id is of");
            let random = || RecordingId::new(now).to_string();
            [&self.recording, &self.unassigned, &self.expired].map(|id| (id.clone(), random())).into()
        }
    }
}

fn ask_with_id(method: &str, login: &str, path: &str, id: &str) -> Request<Body> {
    request(method, login, &path.replace("{id}", id), &[], Body::empty())
}

#[tokio::test]
async fn fault_38_no_route_tells_a_foreign_id_from_one_that_does_not_exist() {
    let http = Http::start().await;
    let foreign = Box::pin(Foreign::make(&http)).await;
    let mut tried = 0;
    for route in ROUTES.iter().filter(|route| route.path.contains("{id}")) {
        for (id, random) in foreign.ids(&http, route.path) {
            for login in ["reseller", "tenant", "pbx"] {
                let theirs = http.ask(ask_with_id(route.method, login, route.path, &id)).await;
                let absent = http.ask(ask_with_id(route.method, login, route.path, &random)).await;
                let malformed = http.ask(ask_with_id(route.method, login, route.path, "nonsense")).await;
                let what = format!("{} {} as {login}", route.method, route.path);
                assert!(theirs.status == 404 || theirs.status == 403, "{what}: {theirs:?}");
                assert_eq!((theirs.status, &theirs.body), (absent.status, &absent.body), "{what}");
                assert_eq!(malformed.status, 404, "{what}");
                if absent.status == 404 {
                    assert_eq!(malformed.body, absent.body, "{what}");
                }
                let headers = |answer: &super::Answered| {
                    let mut headers = answer.headers.clone();
                    headers.remove("x-request-id");
                    headers
                };
                assert_eq!(headers(&theirs), headers(&absent), "{what}");
                tried += 1;
            }
        }
    }
    assert!(tried >= 3 * 3 * 4, "only {tried} were tried");
    assert_eq!(http.get("stranger", &format!("/api/v1/recordings/{}", foreign.recording)).await.status, 200);
    http.finish().await;
}

#[tokio::test]
async fn fault_38_no_list_shows_or_admits_anything_foreign() {
    let http = Http::start().await;
    let foreign = Box::pin(Foreign::make(&http)).await;
    let cobalt = http.t.tenant("cobalt").await.id.to_string();
    let place = http.t.place("cobalt").await.pbx.to_string();
    for route in ROUTES.iter().filter(|route| route.method == "GET" && route.needs_token && !route.path.contains('{')) {
        for login in ["reseller", "tenant", "pbx"] {
            let text = String::from_utf8(http.get(login, route.path).await.body.to_vec()).expect("UTF-8");
            for secret in [&foreign.recording, &foreign.unassigned, &foreign.expired, &foreign.hold, &cobalt, &place] {
                assert!(!text.contains(secret.as_str()), "{} shows {secret} to {login}: {text}", route.path);
            }
        }
    }
    for login in ["reseller", "tenant", "pbx"] {
        for (theirs, absent) in [("cobalt", "no-such"), (place.as_str(), "01ARZ3NDEKTSV4RRFFQ69G5FAV")] {
            let theirs = http.get(login, &format!("/api/v1/recordings?pbx={theirs}")).await;
            let absent = http.get(login, &format!("/api/v1/recordings?pbx={absent}")).await;
            theirs.problem(404, "not_found");
            assert_eq!(theirs.body, absent.body, "{login}");
        }
        http.get(login, "/api/v1/recordings?core_server=core-1").await.problem(404, "not_found");
    }
    http.finish().await;
}

#[tokio::test]
async fn fault_38_no_body_reaches_anything_foreign() {
    let http = Http::start().await;
    let foreign = Box::pin(Foreign::make(&http)).await;
    let cobalt = http.t.tenant("cobalt").await.id.to_string();
    let random = RecordingId::new(http.t.now()).to_string();
    let hold = |field: &str, value: &str| ("/api/v1/holds", json!({ "matter": "m", field: value }));
    let undelete = |id: &str| ("/api/v1/undelete", json!({ "recordings": [id] }));
    let pairs: Vec<[(&str, Value); 2]> = vec![
        [hold("recording", &foreign.recording), hold("recording", &random)],
        [hold("recording", &foreign.unassigned), hold("recording", &random)],
        [hold("recording", &foreign.expired), hold("recording", &random)],
        [hold("pbx", "cobalt"), hold("pbx", "no-such")],
        [hold("tenant", "cobalt"), hold("tenant", "no-such")],
        [hold("tenant", &cobalt), hold("tenant", &random)],
        [undelete(&foreign.expired), undelete(&random)],
        [undelete(&foreign.recording), undelete(&random)],
    ];
    for [(path, theirs), (_, absent)] in pairs {
        for login in ["reseller", "tenant", "pbx"] {
            let theirs_answer = http.ask(with_json("POST", login, path, &theirs)).await;
            let absent_answer = http.ask(with_json("POST", login, path, &absent)).await;
            assert!(theirs_answer.status.is_client_error(), "{login} {theirs}: {theirs_answer:?}");
            assert_eq!(theirs_answer.status, absent_answer.status, "{login} {theirs}");
            assert_eq!(theirs_answer.body, absent_answer.body, "{login} {theirs}");
        }
    }
    http.finish().await;
}

#[tokio::test]
async fn every_route_that_needs_a_token_refuses_whoever_has_none() {
    let http = Http::start().await;
    for route in ROUTES.iter().filter(|route| route.needs_token) {
        let answer = http.ask(ask_with_id(route.method, "", route.path, "01ARZ3NDEKTSV4RRFFQ69G5FAV")).await;
        assert_eq!(answer.status, 401, "{} {}", route.method, route.path);
        assert!(answer.header("www-authenticate").is_some(), "{} {}", route.method, route.path);
    }
    http.finish().await;
}
