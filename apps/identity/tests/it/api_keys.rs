use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use mainstay_testkit::{Client, Reply, TestApp, json};
use sea_orm::ConnectionTrait as _;
use sea_orm::sea_query::{Alias, Expr, ExprTrait as _, Query};
use serde_json::Value;
use tokio::task::JoinSet;

const KEYS: &str = "/api/v1/auth/api-keys";
const ME: &str = "/api/v1/auth/me";

async fn boot() -> TestApp {
    TestApp::boot(|backend| backend).await
}

async fn make(owner: &Client, body: Value) -> Reply {
    let reply = owner.post(KEYS, body).await;
    assert_eq!(reply.status, 201, "{}", reply.text());
    reply
}

/// A key of `owner` with these scopes: the key itself and its path.
async fn key(owner: &Client, scopes: &[&str]) -> (String, String) {
    let reply = make(owner, json!({"name": "robot", "scopes": scopes})).await;
    (reply.json["key"].as_str().unwrap().to_owned(), reply.header("location").to_owned())
}

/// One text column of a table, row by row. NULL is empty.
async fn column(app: &TestApp, table: &'static str, name: &'static str) -> Vec<String> {
    let select = Query::select().column(Alias::new(name)).from(Alias::new(table)).to_owned();
    let rows = app.db().primary().query_all(&select).await.unwrap();
    rows.iter().map(|row| row.try_get::<Option<String>>("", name).unwrap().unwrap_or_default()).collect()
}

/// Switches every account off, past the service that would tell the authenticator.
async fn switch_off_everybody(app: &TestApp) {
    let update = Query::update()
        .table(Alias::new("users"))
        .value(Alias::new("is_active"), false)
        .and_where(Expr::col(Alias::new("is_active")).eq(true))
        .to_owned();
    app.db().primary().execute(&update).await.unwrap();
}

#[tokio::test]
async fn a_key_is_shown_once_and_opens_what_its_owner_may() {
    let app = boot().await;
    let ada = app.user().await;

    let made = make(&ada, json!({"name": " robot ", "expires_at": "2026-02-01T00:00:00Z"})).await;
    let key = made.json["key"].as_str().unwrap();
    assert!(key.starts_with("mst_") && key.len() == 47, "{key}");
    assert_eq!((&made.json["name"], &made.json["scopes"]), (&json!("robot"), &json!(["*"])));
    assert_eq!(made.json["prefix"], key[..12]);
    assert_eq!(made.json["expires_at"], "2026-02-01T00:00:00.000Z");
    assert_eq!(made.json["last_used_at"], json!(null));
    assert_eq!(made.header("cache-control"), "private, no-store");

    let as_bearer = app.with_token(key).get(ME).await;
    let as_header = app.anonymous().get_with(ME, &[("x-api-key", key)]).await;
    assert_eq!((as_bearer.status.as_u16(), as_header.status.as_u16()), (200, 200));
    assert_eq!(as_bearer.json, ada.get(ME).await.json);

    let listed = ada.get(KEYS).await;
    assert_eq!(listed.json["items"][0]["prefix"], key[..12]);
    assert!(listed.json["items"][0].get("key").is_none() && !listed.text().contains(key));
    assert!(column(&app, "api_keys", "key_hash").await.iter().all(|hash| !key.contains(hash)));
}

#[tokio::test]
async fn what_a_key_can_not_be_is_told_at_once() {
    let app = boot().await;
    let ada = app.user().await;
    let scopes = ["identity:read", "root", "identity:all", "nowhere:write"];
    for (body, expected) in [
        (json!({}), vec![("name", "required")]),
        (json!({"name": " "}), vec![("name", "too_short")]),
        (
            json!({"name": "x".repeat(101), "key": "mst_"}),
            vec![("name", "too_long"), ("key", "unknown_field")],
        ),
        (
            json!({"name": "x", "scopes": scopes}),
            vec![("scopes[1]", "invalid_scope"), ("scopes[2]", "invalid_scope")],
        ),
        (json!({"name": "x", "scopes": ["nowhere:write"]}), vec![("scopes[0]", "unknown_area")]),
        (json!({"name": "x", "scopes": []}), vec![("scopes", "too_short")]),
        (json!({"name": "x", "scopes": "read"}), vec![("scopes", "wrong_type")]),
        (json!({"name": "x", "expires_at": "2026-01-31T09:30:00Z"}), vec![("expires_at", "in_the_past")]),
        (json!({"name": "x", "expires_at": "tomorrow"}), vec![("expires_at", "invalid_time")]),
    ] {
        let reply = ada.post(KEYS, body.clone()).await;
        assert_eq!((reply.status.as_u16(), reply.faults()), (422, expected), "{body}");
    }
    let named = ada.post(KEYS, json!({"name": "x", "scopes": ["nowhere:write"]})).await;
    assert!(named.text().contains("identity"), "the areas that are here are named: {}", named.text());
    assert_eq!(ada.get(KEYS).await.json["total"], 0);
}

#[tokio::test]
async fn a_key_ends_with_its_time_and_stays_listed() {
    let app = boot().await;
    let ada = app.user().await;
    let made = make(&ada, json!({"name": "robot", "expires_at": "2026-01-31T09:30:10Z"})).await;
    let robot = app.with_token(made.json["key"].as_str().unwrap());
    assert_eq!(robot.get(ME).await.status, 200);

    app.advance(Duration::from_secs(9));
    assert_eq!(robot.get(ME).await.status, 200);
    app.advance(Duration::from_secs(1));
    let late = robot.get(ME).await;
    assert_eq!((late.status.as_u16(), late.code()), (401, "unauthenticated"));
    assert!(late.header("www-authenticate").contains("invalid_token"));
    assert_eq!(ada.get(KEYS).await.json["total"], 1);
}

#[tokio::test]
async fn a_revoked_key_is_gone_at_once_and_only_its_owner_revokes_it() {
    let app = boot().await;
    let (ada, eve) = (app.user().await, app.user().await);
    let (key, path) = key(&ada, &["*"]).await;
    let robot = app.with_token(&key);
    assert_eq!(robot.get(ME).await.status, 200);

    let foreign = eve.delete(&path, &[]).await;
    assert_eq!((foreign.status.as_u16(), foreign.code()), (404, "api_key_not_found"));
    assert_eq!(eve.get(KEYS).await.json["total"], 0);
    assert_eq!(ada.delete(&format!("{KEYS}/abc"), &[]).await.status, 404);
    assert_eq!(robot.get(ME).await.status, 200);

    assert_eq!(ada.delete(&path, &[]).await.status, 204);
    assert_eq!(robot.get(ME).await.status, 401);
    assert_eq!(ada.get(KEYS).await.json["items"], json!([]));
    let again = ada.delete(&path, &[]).await;
    assert_eq!((again.status.as_u16(), again.code()), (404, "api_key_not_found"));
    assert_eq!(column(&app, "api_keys", "name").await, ["robot"], "the row stays");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_use_that_begins_after_the_revocation_was_answered_is_let_in() {
    let app = boot().await;
    let ada = app.user().await;
    let (key, path) = key(&ada, &["*"]).await;
    let answered = Arc::new(AtomicBool::new(false));
    let mut tasks = JoinSet::new();
    for _ in 0..100 {
        let (robot, answered) = (app.with_token(&key), answered.clone());
        tasks.spawn(async move {
            loop {
                let after = answered.load(Ordering::SeqCst);
                let status = robot.get("/api/v1/auth/verify").await.status.as_u16();
                if after {
                    return status;
                }
                // A believed key is let in without waiting for anything: others must get their turn.
                tokio::task::yield_now().await;
            }
        });
    }
    assert_eq!(ada.delete(&path, &[]).await.status, 204);
    answered.store(true, Ordering::SeqCst);

    let statuses = tasks.join_all().await;
    assert!(statuses.iter().all(|status| *status == 401), "{statuses:?}");
}

#[tokio::test]
async fn a_key_manages_no_credentials() {
    let app = boot().await;
    let admin = app.admin().await;
    let (key, path) = key(&admin, &["*"]).await;
    let robot = app.with_token(&key);
    for reply in [
        robot.get(KEYS).await,
        robot.post(KEYS, json!({"name": "child"})).await,
        robot.delete(&path, &[]).await,
    ] {
        assert_eq!((reply.status.as_u16(), reply.code()), (403, "forbidden"));
    }
    assert_eq!(robot.get(ME).await.status, 200);
}

#[tokio::test]
async fn a_key_does_what_its_scopes_cover() {
    let app = boot().await;
    let admin = app.admin().await;
    for (scopes, reads, writes) in [
        (vec!["*"], 200, 200),
        (vec!["read"], 200, 403),
        (vec!["identity:read"], 200, 403),
        (vec!["identity:write"], 200, 200),
        (vec!["read", "identity:write"], 200, 200),
    ] {
        let (key, _) = key(&admin, &scopes).await;
        let robot = app.with_token(&key);
        let read = robot.get("/api/v1/auth/services").await;
        let write = robot.patch(ME, &[], json!({"name": "x"})).await;
        // What would let it outgrow itself takes a sign-in, whatever its scopes.
        let service = robot.post("/api/v1/auth/services", json!({"name": "x"})).await;
        assert_eq!((service.status.as_u16(), service.code()), (403, "forbidden"));
        // Who it is, every key may ask.
        assert_eq!(robot.get("/api/v1/auth/verify").await.status, 200);
        assert_eq!((read.status.as_u16(), write.status.as_u16()), (reads, writes), "{scopes:?}");
        if writes == 403 {
            assert_eq!(write.code(), "insufficient_scope");
            assert_eq!(
                write.header("www-authenticate"),
                r#"Bearer realm="mainstay", error="insufficient_scope", scope="identity:write""#
            );
        }
    }
}

#[tokio::test]
async fn a_scope_gives_no_role_and_a_switched_off_owner_no_key() {
    let app = boot().await;
    let (key, _) = key(&app.user().await, &["*"]).await;
    let robot = app.with_token(&key);
    let reply = robot.get("/api/v1/auth/services").await;
    assert_eq!((reply.status.as_u16(), reply.code()), (403, "forbidden"));

    let (other, _) = self::key(&app.user().await, &["*"]).await;
    switch_off_everybody(&app).await;
    // Not used before, so that nothing of it is believed.
    assert_eq!(app.with_token(&other).get(ME).await.status, 401);
}

#[tokio::test]
async fn credentials_of_the_wrong_kind_open_nothing() {
    let app = boot().await;
    let admin = app.admin().await;
    let (key, _) = key(&admin, &["*"]).await;
    let token = admin.token().unwrap().to_owned();
    let made = admin.post("/api/v1/auth/services", json!({"name": "gateway"})).await;
    let secret = made.json["client_secret"].as_str().unwrap().to_owned();
    let username = admin.get(ME).await.json["username"].clone();
    let login = json!({"username": username, "password": "tests only 4711"});
    let login = app.anonymous().post("/api/v1/auth/login", login).await;
    let refresh = login.json["refresh_token"].as_str().unwrap().to_owned();

    let mut changed = key.clone();
    changed.replace_range(46..47, if key.ends_with('A') { "B" } else { "A" });
    for header in [
        ("authorization", format!("Bearer {refresh}")),
        ("authorization", format!("Bearer {secret}")),
        ("authorization", format!("Bearer {changed}")),
        ("authorization", format!("Bearer {key}x")),
        ("authorization", format!("Token {key}")),
        ("authorization", key.clone()),
        ("x-api-key", token.clone()),
        ("x-api-key", refresh.clone()),
        ("x-api-key", secret.clone()),
        ("x-api-key", "mst_".to_owned()),
        ("x-api-key", String::new()),
    ] {
        let reply = app.anonymous().get_with(ME, &[(header.0, &header.1)]).await;
        assert_eq!((reply.status.as_u16(), reply.code()), (401, "unauthenticated"), "{header:?}");
        assert!(!reply.text().contains("mst_"), "{}", reply.text());
    }
    let exchange = app.anonymous().post("/api/v1/auth/refresh", json!({"refresh_token": key})).await;
    assert_eq!(exchange.status, 401, "{}", exchange.text());
}

#[tokio::test]
async fn credentials_in_two_places_are_refused() {
    let app = boot().await;
    let ada = app.user().await;
    let (key, _) = key(&ada, &["*"]).await;
    let reply = ada.get_with(ME, &[("x-api-key", &key)]).await;
    assert_eq!((reply.status.as_u16(), reply.code()), (400, "malformed_request"));
}

#[tokio::test]
async fn the_last_use_is_noted_behind_the_requests_back() {
    let app = boot().await;
    let ada = app.user().await;
    let (key, _) = key(&ada, &["read"]).await;
    let robot = app.with_token(&key);
    let noted = async || ada.get(KEYS).await.json["items"][0]["last_used_at"].clone();

    assert_eq!(robot.get(ME).await.status, 200);
    while noted().await == json!(null) {
        tokio::task::yield_now().await;
    }
    assert_eq!(noted().await, "2026-01-31T09:30:00.000Z");

    app.advance(Duration::from_secs(30));
    assert_eq!(robot.get(ME).await.status, 200);
    assert_eq!(noted().await, "2026-01-31T09:30:00.000Z", "once a minute is enough");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn one_has_fifty_keys_and_no_race_makes_more() {
    let app = boot().await;
    let ada = app.user().await;
    let passing = json!({"name": "passing", "expires_at": "2026-01-31T09:30:01Z"});
    make(&ada, passing).await;
    app.advance(Duration::from_secs(1));
    for _ in 0..46 {
        make(&ada, json!({"name": "robot"})).await;
    }
    let mut tasks = JoinSet::new();
    for _ in 0..12 {
        let ada = ada.clone();
        tasks.spawn(async move { ada.post(KEYS, json!({"name": "robot"})).await });
    }
    let replies = tasks.join_all().await;
    let made = replies.iter().filter(|reply| reply.status == 201).count();
    assert_eq!(made, 4);
    for reply in replies.iter().filter(|reply| reply.status != 201) {
        assert_eq!((reply.status.as_u16(), reply.code()), (409, "too_many_api_keys"));
    }
    assert_eq!(ada.get(KEYS).await.json["total"], 51, "one of them has expired");
    assert_eq!(app.user().await.post(KEYS, json!({"name": "robot"})).await.status, 201);
}

#[tokio::test]
async fn the_audit_log_and_the_events_tell_of_it_without_the_secret() {
    let app = boot().await;
    let ada = app.user().await;
    let (key, path) = key(&ada, &["read"]).await;
    assert_eq!(ada.delete(&path, &[]).await.status, 204);

    for (table, name) in [("audit_log", "action"), ("outbox", "kind")] {
        let kinds = column(&app, table, name).await;
        for kind in ["api_key.created", "api_key.revoked"] {
            assert_eq!(kinds.iter().filter(|found| *found == kind).count(), 1, "{table}: {kinds:?}");
        }
    }
    let secret = &key[12..];
    let changes = column(&app, "audit_log", "changes").await;
    assert!(changes.iter().all(|text| !text.contains(secret)));
    assert!(column(&app, "outbox", "data").await.iter().all(|text| !text.contains(secret)));
}
