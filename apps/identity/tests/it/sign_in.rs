use std::time::Duration;

use http::Method;
use mainstay_testkit::{Client, Reply, TestApp, json};

const LOGIN: &str = "/api/v1/auth/login";
const TOKEN: &str = "/api/v1/auth/token";
const FORM: &[(&str, &str)] = &[("content-type", "application/x-www-form-urlencoded")];

async fn boot() -> (TestApp, Client) {
    let app = TestApp::boot(|backend| backend).await;
    let caller = app.anonymous();
    let ada = json!({"email": "ada@example.com", "password": "a fine engine", "username": "ada"});
    assert_eq!(caller.post("/api/v1/auth/register", ada).await.status, 201);
    (app, caller)
}

async fn form(caller: &Client, body: &'static str) -> Reply {
    caller.raw(Method::POST, TOKEN, FORM, body).await
}

#[tokio::test]
async fn address_and_username_both_sign_in() {
    let (app, caller) = boot().await;
    for name in [json!({"email": "ADA@example.com"}), json!({"username": "Ada"})] {
        let mut body = name;
        body["password"] = "a fine engine".into();
        let reply = caller.post(LOGIN, body).await;

        assert_eq!(reply.status, 200, "{}", reply.text());
        assert_eq!((&reply.json["token_type"], &reply.json["expires_in"]), (&json!("bearer"), &json!(900)));
        assert_eq!(reply.header("cache-control"), "private, no-store");
        let token = reply.json["access_token"].as_str().unwrap();
        let me = app.with_token(token).get("/api/v1/auth/me").await;
        assert_eq!(me.json["username"], "ada");
    }
}

#[tokio::test]
async fn wrong_name_and_wrong_password_are_one_answer() {
    let (_app, caller) = boot().await;
    let wrong_password =
        caller.post(LOGIN, json!({"email": "ada@example.com", "password": "wrong engine"})).await;
    let wrong_name =
        caller.post(LOGIN, json!({"email": "bob@example.com", "password": "wrong engine"})).await;

    assert_eq!((wrong_password.status.as_u16(), wrong_password.code()), (401, "invalid_credentials"));
    let public = |reply: &Reply| {
        let mut json = reply.json.clone();
        json["request_id"] = "".into();
        json
    };
    assert_eq!(public(&wrong_password), public(&wrong_name));
}

#[tokio::test]
async fn a_sign_in_names_exactly_one_account() {
    let (_app, caller) = boot().await;
    let neither = caller.post(LOGIN, json!({"password": "a fine engine"})).await;
    assert_eq!(neither.faults(), [("email", "required")]);
    let both =
        caller.post(LOGIN, json!({"email": "a@b.c", "username": "ada", "password": "a fine engine"})).await;
    assert_eq!(both.faults(), [("username", "exclusive")]);
}

#[tokio::test]
async fn the_password_grant_speaks_oauth() {
    let (_app, caller) = boot().await;

    let good = form(
        &caller,
        "grant_type=password&username=ada%40example.com&password=a+fine+engine&scope=&client_id=x",
    )
    .await;
    assert_eq!((good.status.as_u16(), &good.json["token_type"]), (200, &json!("bearer")));

    for (body, error) in [
        ("grant_type=password&username=ada&password=wrong", "invalid_grant"),
        ("grant_type=client_credentials", "unsupported_grant_type"),
        ("grant_type=password&username=ada", "invalid_request"),
        ("grant_type=password&grant_type=password&username=ada&password=x", "invalid_request"),
        ("", "invalid_request"),
    ] {
        let reply = form(&caller, body).await;
        assert_eq!((reply.status.as_u16(), reply.json["error"].as_str()), (400, Some(error)), "{body}");
        assert!(reply.header("content-type").starts_with("application/json"));
    }
    let json = caller.post(TOKEN, json!({})).await;
    assert_eq!((json.status.as_u16(), json.code()), (415, "unsupported_media_type"));
}

#[tokio::test]
async fn a_token_ends_with_its_time() {
    let (app, caller) = boot().await;
    let reply = caller.post(LOGIN, json!({"username": "ada", "password": "a fine engine"})).await;
    let ada = app.with_token(reply.json["access_token"].as_str().unwrap());
    assert_eq!(ada.get("/api/v1/auth/me").await.status, 200);

    app.advance(Duration::from_secs(906));

    let reply = ada.get("/api/v1/auth/me").await;
    assert_eq!((reply.status.as_u16(), reply.code()), (401, "unauthenticated"));
    assert!(reply.header("www-authenticate").contains("invalid_token"));
}

#[tokio::test]
async fn credentials_that_are_none_are_refused_even_where_none_are_needed() {
    let (app, caller) = boot().await;
    for value in ["Bearer rubbish", "Bearer ", "Basic YTpi", "rubbish"] {
        let reply = caller.get_with("/healthz", &[("authorization", value)]).await;
        assert_eq!(reply.status, 401, "{value}");
    }
    assert_eq!(
        app.anonymous().get("/api/v1/auth/me").await.header("www-authenticate"),
        "Bearer realm=\"mainstay\""
    );
}

#[tokio::test]
async fn the_public_keys_verify_what_was_signed() {
    let (_app, caller) = boot().await;
    let reply = caller.get("/.well-known/jwks.json").await;

    let key = &reply.json["keys"][0];
    assert_eq!((&key["kty"], &key["crv"], &key["alg"]), (&json!("OKP"), &json!("Ed25519"), &json!("EdDSA")));
    assert!(key.get("d").is_none(), "the private half stays private");
    assert!(reply.header("cache-control").contains("public"));
}

#[tokio::test]
async fn a_name_signs_in_however_its_accents_are_composed() {
    let (_app, caller) = boot().await;
    let body = json!({"email": "a@example.com", "password": "a fine engine", "username": "andre\u{301}"});
    assert_eq!(caller.post("/api/v1/auth/register", body).await.status, 201);
    for name in ["andre\u{301}", "andr\u{e9}", "ANDR\u{c9}"] {
        let reply = caller.post(LOGIN, json!({"username": name, "password": "a fine engine"})).await;
        assert_eq!(reply.status, 200, "{name}");
    }
}

#[tokio::test]
async fn odd_forms_are_refused_and_cost_nothing() {
    let (_app, caller) = boot().await;
    let nul = form(&caller, "grant_type=password&username=a%00b&password=x").await;
    assert_eq!((nul.status.as_u16(), nul.json["error"].as_str()), (400, Some("invalid_grant")));

    // So many names, compared pair by pair, would take minutes.
    let many: String = (0..150_000).map(|number| format!("{number:x}&")).collect();
    let reply = caller.raw(Method::POST, TOKEN, FORM, many).await;
    assert_eq!((reply.status.as_u16(), reply.json["error"].as_str()), (400, Some("invalid_request")));
    let key = "x".repeat(900_000);
    let reply = caller.post(LOGIN, json!({ key: 1 })).await;
    assert_eq!(reply.status, 422);
}
