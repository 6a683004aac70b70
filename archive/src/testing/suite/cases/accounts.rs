//! Who may do what, and what is remembered of it.

use std::net::IpAddr;
use std::time::Duration;

use serde_json::json;

use crate::db::params;
use crate::testing::TestArchive;
use crate::{Actor, Declaration, Error, Scope};

const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

pub async fn applying_twice_changes_nothing_and_a_bad_entry_changes_nothing_at_all(t: TestArchive) {
    let actor = Actor::command_line();
    assert_eq!(t.archive.apply(&actor, &t.declaration()).await.unwrap(), vec![]);

    let mut changed = t.declaration();
    changed.tenants[0].name = "Acme International".to_owned();
    changed.pbxs[3].disabled = true;
    let names = |changes: &[crate::Change]| {
        changes.iter().map(|it| format!("{} {} {}", it.what, it.kind, it.name)).collect::<Vec<_>>()
    };
    let expected = ["changed tenant acme", "changed PBX cobalt"];
    assert_eq!(names(&t.archive.preview_apply(&actor, &changed, None).await.unwrap().changes), expected);
    assert_eq!(names(&t.archive.apply(&actor, &changed).await.unwrap()), expected);
    assert_eq!(t.archive.apply(&actor, &changed).await.unwrap(), vec![]);

    let bad = [
        (
            json!({ "tenants": [{ "code": "x", "name": "X", "reseller": "nobody", "tier": "basic" }] }),
            "no reseller \"nobody\"",
        ),
        (
            json!({ "tenants": [{ "code": "x", "name": "X", "reseller": "north", "tier": "basic", "time_zone": "Mars/Base" }] }),
            "IANA",
        ),
        (json!({ "pbxs": [{ "code": "acme", "name": "Acme", "tenant": "cobalt" }] }), "another tenant"),
        (json!({ "pbxs": [{ "code": "../x", "name": "X", "tenant": "acme" }] }), "letters, digits"),
        (json!({ "tiers": [{ "code": "x", "name": "X", "format": "wma" }] }), "\"wma\""),
        (json!({ "tiers": [{ "code": "x", "name": "X", "format": "mp3", "days": 0 }] }), "days is 0"),
        (json!({ "pbxs": [{ "code": "x", "name": "X", "tenant": "acme", "quota": "0 GB" }] }), "quota is 0"),
        (json!({ "tiers": [{ "code": "x", "name": "X", "format": "mp3", "stores": ["moon"] }] }), "\"moon\""),
        (json!({ "users": [{ "login": "x", "role": "emperor", "password": "long enough" }] }), "role"),
        (json!({ "users": [{ "login": "x", "role": "operator" }] }), "password"),
        (json!({ "core_servers": [{ "name": "x", "spool": "relative", "layout": "asterisk" }] }), "absolute"),
    ];
    for (entry, complaint) in bad {
        let mut declaration: Declaration = serde_json::from_value(entry).unwrap();
        declaration.resellers.push(t.declaration().resellers[0].clone());
        declaration.resellers[0].name = "Renamed".to_owned();
        let error = t.archive.apply(&actor, &declaration).await.unwrap_err().to_string();
        assert!(error.contains(complaint), "{error} should say {complaint}");
    }
    let resellers = t.archive.list_resellers(Scope::Platform).await.unwrap();
    assert_eq!(resellers[0].name, "North Telecom", "all of it or nothing");
    t.finish().await;
}

pub async fn a_change_of_retention_or_of_an_alias_is_previewed_and_audited(t: TestArchive) {
    let actor = Actor::command_line();
    let mut changed = t.declaration();
    changed.pbxs[0].days = Some(1);
    changed.core_servers[0].aliases.insert("acme.example".to_owned(), "acme".to_owned());
    let names = |changes: &[crate::Change]| changes.iter().map(|it| it.name.clone()).collect::<Vec<_>>();
    let audited = t.audited("apply").await.len();
    assert_eq!(names(&t.archive.preview_apply(&actor, &changed, None).await.unwrap().changes), ["acme", "core-1"]);
    assert_eq!(names(&t.archive.apply(&actor, &changed).await.unwrap()), ["acme", "core-1"]);
    assert_eq!(t.audited("apply").await.len(), audited + 1);
    assert_eq!(t.archive.apply(&actor, &changed).await.unwrap(), vec![]);
    // Another tenant's recordings from now on: the operator must be told.
    changed.core_servers[0].aliases.insert("acme.example".to_owned(), "cobalt".to_owned());
    assert_eq!(names(&t.archive.preview_apply(&actor, &changed, None).await.unwrap().changes), ["core-1"]);
    // And back to the days of its tier.
    assert_eq!(names(&t.archive.apply(&actor, &t.declaration()).await.unwrap()), ["acme"]);
    t.finish().await;
}

pub async fn a_start_that_was_cut_off_between_marker_and_row_goes_on_with_its_store(t: TestArchive) {
    assert_eq!(t.sabotage("DELETE FROM stores").await, 1);
    let next = t.another_instance("test-2").await;
    assert_eq!(next.stores()[0].id(), t.archive.stores()[0].id());
    next.close().await.unwrap();
    t.finish().await;
}

pub async fn passwords_tokens_and_disabling_take_effect_at_once(t: TestArchive) {
    let archive = &t.archive;
    let user = archive.log_in("tenant", TestArchive::PASSWORD, HERE).await.unwrap();
    assert_eq!(user.scope, Scope::Tenant(t.tenant("acme").await.id));
    for (login, password) in
        [("tenant", "wrong"), ("nobody", TestArchive::PASSWORD), ("ftp-acme", TestArchive::PASSWORD)]
    {
        assert!(matches!(archive.log_in(login, password, HERE).await, Err(Error::NotFound("login"))), "{login}");
    }
    assert_eq!(archive.authenticate_token(&TestArchive::token("tenant")).await.unwrap(), user);
    let actor = user.actor(Some(HERE), None);
    let token = archive.new_token(&actor, user.id, "a script", Some(Duration::from_secs(60))).await.unwrap();
    let brief = archive.new_token(&actor, user.id, "another", Some(Duration::from_secs(60))).await.unwrap();
    assert_eq!(archive.authenticate_token(&token.secret).await.unwrap(), user);
    archive.revoke_token(&actor, user.id, token.id).await.unwrap();
    assert!(archive.authenticate_token(&token.secret).await.is_err());
    t.clock.advance(Duration::from_secs(60));
    assert!(archive.authenticate_token(&brief.secret).await.is_err());

    let login = archive.log_in_ftp("ftp-acme", TestArchive::PASSWORD, HERE).await.unwrap();
    assert_eq!((login.scope(), login.time_zone.as_str()), (Scope::Pbx(t.place("acme").await.pbx), "Europe/Berlin"));
    archive.check_ftp_account(login.account).await.unwrap();
    let mut declaration = t.declaration();
    declaration.resellers[0].disabled = true;
    archive.apply(&Actor::command_line(), &declaration).await.unwrap();
    assert!(archive.check_ftp_account(login.account).await.is_err());
    assert!(archive.log_in_ftp("ftp-acme", TestArchive::PASSWORD, HERE).await.is_err());
    for login in ["reseller", "tenant", "pbx"] {
        assert!(archive.authenticate_token(&TestArchive::token(login)).await.is_err(), "{login}");
    }
    for login in ["operator", "stranger"] {
        assert!(archive.authenticate_token(&TestArchive::token(login)).await.is_ok(), "{login}");
    }
    t.finish().await;
}

pub async fn too_many_failures_ban_the_address_from_the_login_for_a_while(t: TestArchive) {
    let elsewhere: IpAddr = "192.0.2.7".parse().unwrap();
    for _ in 0..10 {
        assert!(t.archive.log_in("tenant", "wrong", HERE).await.is_err());
    }
    assert!(t.archive.log_in("tenant", TestArchive::PASSWORD, HERE).await.is_err(), "banned, though it is right");
    assert!(t.archive.log_in("tenant", TestArchive::PASSWORD, elsewhere).await.is_ok(), "nobody locks others out");
    assert!(t.archive.log_in("operator", TestArchive::PASSWORD, HERE).await.is_ok());
    t.clock.advance(Duration::from_secs(31 * 60));
    assert!(t.archive.log_in("tenant", TestArchive::PASSWORD, HERE).await.is_ok());
    t.clock.advance(Duration::from_secs(31 * 60));
    t.archive.forget_failed_logins().await.unwrap();
    t.finish().await;
}

pub async fn the_audit_chain_shows_a_changed_row(t: TestArchive) {
    let actor = Actor { address: Some(HERE), ..Actor::command_line() };
    for n in 0..5 {
        t.archive.note_read(&actor, "recording.download", None, Some(n.to_string()), &json!({ "bytes": n }));
    }
    assert_eq!(t.archive.flush_reads().await.unwrap(), 5);
    assert_eq!(t.archive.flush_reads().await.unwrap(), 0);
    let sealed = t.archive.seal_audit().await.unwrap();
    assert_eq!(sealed, 6, "five reads and the fixture's apply");
    t.archive.note_read(&actor, "recording.download", None, None, &json!({}));
    t.archive.flush_reads().await.unwrap();
    assert_eq!((t.archive.seal_audit().await.unwrap(), t.archive.verify_audit().await.unwrap()), (1, 7));
    assert_eq!(t.archive.list_audit(Scope::Platform, None, 100).await.unwrap().len(), 7);

    let change = "UPDATE audit SET detail = $1 WHERE seal_number = 3";
    let before: String = {
        let row = t.archive.db.fetch_one("SELECT detail FROM audit WHERE seal_number = 3", params![]).await.unwrap();
        row.get("detail").unwrap()
    };
    t.archive.db.execute(change, params!["{\"bytes\":999}"]).await.unwrap();
    let error = t.archive.verify_audit().await.unwrap_err();
    assert!(error.to_string().contains("breaks at seal 3"), "{error}");
    t.archive.db.execute(change, params![before]).await.unwrap();
    t.finish().await;
}

pub async fn a_lease_has_one_holder_and_a_growing_fence(t: TestArchive) {
    let other = t.another_instance("test-2").await;
    let long = Duration::from_secs(600);
    let ours = t.archive.acquire_lease("rotation", long).await.unwrap().unwrap();
    assert_eq!(t.archive.acquire_lease("rotation", long).await.unwrap(), Some(ours.clone()), "prolonged");
    assert_eq!(other.acquire_lease("rotation", long).await.unwrap(), None);
    assert!(other.acquire_lease("something else", long).await.unwrap().is_some());
    t.archive.release_lease(&ours).await.unwrap();
    let theirs = other.acquire_lease("rotation", long).await.unwrap().unwrap();
    assert!(theirs.fence > ours.fence);
    t.archive.release_lease(&ours).await.unwrap();
    assert_eq!(t.archive.acquire_lease("rotation", long).await.unwrap(), None, "an old lease releases nothing");
    other.close().await.unwrap();
    t.finish().await;
}

pub async fn events_wait_in_the_outbox_until_they_are_sent(t: TestArchive) {
    let call = crate::testing::Call::new("acme", "1.1", t.now(), b"x");
    t.record(&call).await;
    let events = t.archive.list_unsent_events(10).await.unwrap();
    assert_eq!(events.iter().map(|it| it.event.as_str()).collect::<Vec<_>>(), ["recording.archived"]);
    assert!(!events[0].payload.contains("4930"), "no number leaves: {}", events[0].payload);
    t.archive.retry_event_later(events[0].id, Duration::from_secs(30)).await.unwrap();
    assert_eq!(t.archive.list_unsent_events(10).await.unwrap(), vec![]);
    t.clock.advance(Duration::from_secs(30));
    assert_eq!(t.archive.list_unsent_events(10).await.unwrap()[0].attempts, 1);
    t.archive.mark_event_sent(events[0].id).await.unwrap();
    assert_eq!(t.archive.list_unsent_events(10).await.unwrap(), vec![]);
    t.clock.advance(Duration::from_secs(60));
    assert_eq!(t.archive.forget_events(Duration::from_secs(60)).await.unwrap(), 1);
    t.finish().await;
}
