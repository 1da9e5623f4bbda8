use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::Method;
use mainstay_testkit::{Client, Reply, TestApp, json};
use sea_orm::ConnectionTrait as _;
use sea_orm::sea_query::{Alias, Query};
use serde_json::Value;

const SERVICES: &str = "/api/v1/auth/services";
const INTROSPECT: &str = "/api/v1/auth/introspect";
const VERIFY: &str = "/api/v1/auth/verify";
const INACTIVE: &[u8] = br#"{"active":false}"#;

async fn boot() -> (TestApp, Client) {
    let app = TestApp::boot(|backend| backend).await;
    let admin = app.admin().await;
    (app, admin)
}

struct Gateway {
    caller: Client,
    basic: String,
    path: String,
    client_id: String,
    secret: String,
}

fn basic(id: &str, secret: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{id}:{secret}")))
}

async fn gateway(app: &TestApp, admin: &Client) -> Gateway {
    let made = admin.post(SERVICES, json!({"name": "gateway"})).await;
    assert_eq!(made.status, 201, "{}", made.text());
    let text = |name: &str| made.json[name].as_str().unwrap().to_owned();
    let (client_id, secret) = (text("client_id"), text("client_secret"));
    let path = made.header("location").to_owned();
    Gateway { caller: app.anonymous(), basic: basic(&client_id, &secret), path, client_id, secret }
}

impl Gateway {
    async fn ask_as(&self, authorization: &str, body: String) -> Reply {
        let kind = ("content-type", "application/x-www-form-urlencoded");
        let headers = [kind, ("authorization", authorization)];
        let sent = if authorization.is_empty() { &headers[..1] } else { &headers };
        self.caller.raw(Method::POST, INTROSPECT, sent, body).await
    }

    async fn introspect(&self, token: &str) -> Reply {
        let reply = self.ask_as(&self.basic, format!("token={token}&token_type_hint=anything")).await;
        assert_eq!(
            (reply.status.as_u16(), reply.header("cache-control")),
            (200, "no-store"),
            "{}",
            reply.text()
        );
        reply
    }
}

/// A signed-in user with a key: their access token, refresh token and key.
async fn tokens(app: &TestApp) -> (Client, [String; 3], String) {
    let ada = app.user().await;
    let username = ada.get("/api/v1/auth/me").await.json["username"].clone();
    let login = json!({"username": username, "password": "tests only 4711"});
    let login = app.anonymous().post("/api/v1/auth/login", login).await;
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let made = ada
        .post("/api/v1/auth/api-keys", json!({"name": "robot", "scopes": ["read", "identity:write"]}))
        .await;
    let all =
        [text(&login.json["access_token"]), text(&login.json["refresh_token"]), text(&made.json["key"])];
    (ada, all, made.header("location").to_owned())
}

#[tokio::test]
async fn administrators_make_and_revoke_services_and_the_secret_is_shown_once() {
    let (app, admin) = boot().await;
    let gateway = gateway(&app, &admin).await;
    assert!(gateway.client_id.starts_with("svc_") && gateway.secret.starts_with("mss_"));

    let listed = admin.get(SERVICES).await;
    assert_eq!(listed.json["items"][0]["client_id"], gateway.client_id);
    assert!(!listed.text().contains(&gateway.secret) && !listed.text().contains("secret"));
    for caller in [app.user().await, app.staff().await] {
        assert_eq!(caller.get(SERVICES).await.status, 403);
        assert_eq!(caller.post(SERVICES, json!({"name": "x"})).await.status, 403);
        assert_eq!(caller.delete(&gateway.path, &[]).await.status, 403);
    }
    let nameless = admin.post(SERVICES, json!({"name": ""})).await;
    assert_eq!(nameless.faults(), [("name", "too_short")]);

    assert_eq!(gateway.introspect("x").await.bytes, INACTIVE);
    assert_eq!(admin.delete(&gateway.path, &[]).await.status, 204);
    assert_eq!(gateway.ask_as(&gateway.basic, "token=x".to_owned()).await.status, 401);
    let again = admin.delete(&gateway.path, &[]).await;
    assert_eq!((again.status.as_u16(), again.code()), (404, "service_not_found"));
    assert_eq!(admin.get(SERVICES).await.json["total"], 0);
}

#[tokio::test]
async fn every_kind_of_token_is_looked_into() {
    let (app, admin) = boot().await;
    let gateway = gateway(&app, &admin).await;
    let (ada, [access, refresh, key], _) = tokens(&app).await;
    let me = ada.get("/api/v1/auth/me").await.json;
    for (token, kind, scope) in
        [(&access, "bearer", "*"), (&refresh, "refresh_token", "*"), (&key, "api_key", "read identity:write")]
    {
        let found = gateway.introspect(token).await.json;
        assert_eq!((&found["active"], &found["token_type"]), (&json!(true), &json!(kind)));
        assert_eq!((&found["sub"], &found["username"]), (&me["id"], &me["username"]), "{kind}");
        assert_eq!((&found["scope"], &found["roles"]), (&json!(scope), &json!(["user"])), "{kind}");
        assert_eq!(found["iat"], app.now().seconds(), "{kind}");
        assert!(found["iss"].is_string() && found["aud"] == "mainstay", "{kind}");
        assert_eq!(found.get("exp").is_some(), kind != "api_key", "{kind}");
        assert_eq!(found.get("jti").is_some(), kind != "refresh_token", "{kind}");
    }
}

#[tokio::test]
async fn what_opens_nothing_is_one_answer_whatever_it_is() {
    let (app, admin) = boot().await;
    let gateway = gateway(&app, &admin).await;
    let (ada, [access, refresh, key], path) = tokens(&app).await;
    let session = ada.token().unwrap().to_owned();
    let forged = format!("{}A", &access[..access.len() - 2]);
    for token in [
        String::new(),
        "rubbish".to_owned(),
        "%00".to_owned(),
        "a.b.c".to_owned(),
        "mst_".to_owned(),
        format!("mst_{}", "x".repeat(43)),
        "x".repeat(10_000),
        forged,
        gateway.secret.clone(),
        gateway.client_id.clone(),
    ] {
        assert_eq!(gateway.introspect(&token).await.bytes, INACTIVE, "{token}");
    }

    assert_eq!(ada.delete(&path, &[]).await.status, 204);
    assert_eq!(gateway.introspect(&key).await.bytes, INACTIVE, "revoked");

    let logout = app.with_token(&access).post("/api/v1/auth/logout", json!({})).await;
    assert!(logout.status.is_success(), "{}", logout.text());
    assert_eq!(gateway.introspect(&access).await.bytes, INACTIVE, "signed out");
    assert_eq!(gateway.introspect(&refresh).await.bytes, INACTIVE, "signed out");

    assert_eq!(gateway.introspect(&session).await.json["active"], true);
    app.advance(Duration::from_secs(900));
    assert_eq!(gateway.introspect(&session).await.bytes, INACTIVE, "expired");
}

#[tokio::test]
async fn tokens_of_a_switched_off_account_are_inactive() {
    let (app, admin) = boot().await;
    let gateway = gateway(&app, &admin).await;
    let (_, all, _) = tokens(&app).await;
    for token in &all {
        assert_eq!(gateway.introspect(token).await.json["active"], true);
    }
    let off = Query::update().table(Alias::new("users")).value(Alias::new("is_active"), false).to_owned();
    app.db().primary().execute(&off).await.unwrap();
    for token in &all {
        assert_eq!(gateway.introspect(token).await.bytes, INACTIVE);
    }
}

#[tokio::test]
async fn only_services_look_into_tokens_and_they_do_nothing_else() {
    let (app, admin) = boot().await;
    let gateway = gateway(&app, &admin).await;
    let (_, [access, _, key], _) = tokens(&app).await;
    let unknown = format!("svc_{}", "x".repeat(22));
    for authorization in [
        String::new(),
        format!("Bearer {access}"),
        format!("Bearer {key}"),
        format!("Bearer {}", admin.token().unwrap()),
        basic(&gateway.client_id, "mss_wrong"),
        basic(&gateway.client_id, ""),
        basic(&gateway.secret, &gateway.client_id),
        basic(&unknown, &gateway.secret),
        basic("svc_\0", &gateway.secret),
        basic("", ""),
        "Basic !".to_owned(),
    ] {
        let reply = gateway.ask_as(&authorization, format!("token={access}")).await;
        assert_eq!((reply.status.as_u16(), reply.code()), (401, "unauthenticated"), "{authorization}");
        assert_eq!(reply.header("www-authenticate"), "Basic realm=\"mainstay\", charset=\"UTF-8\"");
    }
    for path in [VERIFY, "/api/v1/auth/me", SERVICES] {
        let reply = app.anonymous().get_with(path, &[("authorization", &gateway.basic)]).await;
        assert_eq!((reply.status.as_u16(), reply.code()), (401, "unauthenticated"), "{path}");
        assert!(reply.header("www-authenticate").starts_with("Bearer "), "{path}");
    }
    let public = app.anonymous().get_with("/healthz", &[("authorization", &gateway.basic)]).await;
    assert_eq!(public.status, 200);
}

#[tokio::test]
async fn a_question_without_a_token_is_told_so() {
    let (app, admin) = boot().await;
    let gateway = gateway(&app, &admin).await;
    for (body, code) in [("token_type_hint=x", "required"), ("token=a&token=b", "repeated")] {
        let reply = gateway.ask_as(&gateway.basic, body.to_owned()).await;
        assert_eq!((reply.status.as_u16(), reply.faults()), (422, vec![("token", code)]));
    }
    let headers = [("content-type", "application/json"), ("authorization", gateway.basic.as_str())];
    let json = gateway.caller.raw(Method::POST, INTROSPECT, &headers, "{}").await;
    assert_eq!(json.status, 415);
}

#[tokio::test]
async fn gateways_verify_what_they_are_shown() {
    let (app, _) = boot().await;
    let (ada, [_, _, key], path) = tokens(&app).await;
    let me = ada.get("/api/v1/auth/me").await.json;

    let by_session = ada.get(VERIFY).await;
    assert_eq!((by_session.status.as_u16(), by_session.header("cache-control")), (200, "no-store"));
    let json = &by_session.json;
    assert_eq!((&json["valid"], &json["token_type"]), (&json!(true), &json!("bearer")));
    assert_eq!((&json["user_id"], &json["username"]), (&me["id"], &me["username"]));
    assert_eq!(json["exp"], app.now().seconds() + 900);
    assert!(json["session_id"].is_string() && json.get("scopes").is_none());

    let by_key = app.with_token(&key).get(VERIFY).await.json;
    assert_eq!((&by_key["token_type"], &by_key["exp"]), (&json!("api_key"), &json!(null)));
    assert_eq!(by_key["scopes"], json!(["read", "identity:write"]));
    assert!(by_key.get("session_id").is_none());

    assert_eq!(ada.delete(&path, &[]).await.status, 204);
    for caller in [app.anonymous(), app.with_token(&key), app.with_token("forged")] {
        let reply = caller.get(VERIFY).await;
        assert_eq!((reply.status.as_u16(), reply.code()), (401, "unauthenticated"));
    }
}

#[tokio::test]
async fn the_audit_log_tells_of_services() {
    let (app, admin) = boot().await;
    let gateway = gateway(&app, &admin).await;
    assert_eq!(admin.delete(&gateway.path, &[]).await.status, 204);
    let select = Query::select()
        .columns([Alias::new("action"), Alias::new("changes")])
        .from(Alias::new("audit_log"))
        .to_owned();
    let rows = app.db().primary().query_all(&select).await.unwrap();
    let actions: Vec<String> = rows.iter().map(|row| row.try_get("", "action").unwrap()).collect();
    assert!(
        ["service.created", "service.revoked"]
            .iter()
            .all(|action| actions.iter().any(|found| found == action))
    );
    let changes = rows.iter().map(|row| row.try_get::<Option<String>>("", "changes").unwrap());
    assert!(changes.flatten().all(|text| !text.contains(&gateway.secret)));
}
