use std::time::Duration;

use http::Method;
use mainstay_testkit::{Client, TestApp, json};
use tokio::task::JoinSet;

const LOGIN: &str = "/api/v1/auth/login";
const LOGOUT: &str = "/api/v1/auth/logout";
const SESSIONS: &str = "/api/v1/auth/sessions";
const ME: &str = "/api/v1/auth/me";

async fn boot() -> (TestApp, Client) {
    let app = TestApp::boot(|backend| backend).await;
    let caller = app.anonymous();
    for name in ["ada", "bob"] {
        let body =
            json!({"email": format!("{name}@example.com"), "password": "a fine engine", "username": name});
        assert_eq!(caller.post("/api/v1/auth/register", body).await.status, 201);
    }
    (app, caller)
}

/// A signed-in caller and their refresh token.
async fn sign_in(app: &TestApp, name: &str, agent: &str) -> (Client, String) {
    let body = json!({"username": name, "password": "a fine engine"}).to_string();
    let headers = [("content-type", "application/json"), ("user-agent", agent)];
    let address = "192.0.2.7".parse().unwrap();
    let reply = app.anonymous().from_address(address).raw(Method::POST, LOGIN, &headers, body).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let client = app.with_token(reply.json["access_token"].as_str().unwrap());
    (client, reply.json["refresh_token"].as_str().unwrap().to_owned())
}

async fn bare_logout(client: &Client) -> u16 {
    client.raw(Method::POST, LOGOUT, &[], "").await.status.as_u16()
}

#[tokio::test]
async fn signing_out_ends_the_session_at_once() {
    let (app, caller) = boot().await;
    let (ada, refresh_token) = sign_in(&app, "ada", "curl/8").await;
    let (elsewhere, _) = sign_in(&app, "ada", "curl/8").await;
    assert_eq!(ada.get(ME).await.status, 200, "and the answer is remembered");

    assert_eq!(bare_logout(&ada).await, 204);

    assert_eq!(ada.get(ME).await.status, 401);
    let refreshed = caller.post("/api/v1/auth/refresh", json!({"refresh_token": refresh_token})).await;
    assert_eq!(refreshed.status, 401);
    assert_eq!(elsewhere.get(ME).await.status, 200);
}

#[tokio::test]
async fn a_refresh_token_alone_signs_out_too() {
    let (app, caller) = boot().await;
    let (ada, refresh_token) = sign_in(&app, "ada", "curl/8").await;

    let out = caller.post(LOGOUT, json!({"refresh_token": refresh_token})).await;
    assert_eq!((out.status.as_u16(), ada.get(ME).await.status.as_u16()), (204, 401));

    let unknown = json!({"refresh_token": "msr_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"});
    assert_eq!(caller.post(LOGOUT, unknown).await.status, 204, "it is not told whether it was one");
    let nothing = caller.post(LOGOUT, json!({})).await;
    assert_eq!((nothing.status.as_u16(), nothing.code()), (401, "unauthenticated"));
    assert_eq!(bare_logout(&caller).await, 401);
    let odd = caller.post(LOGOUT, json!({"refresh_tokn": "x"})).await;
    assert_eq!(odd.faults(), [("refresh_tokn", "unknown_field")]);
}

#[tokio::test]
async fn nobody_signs_somebody_else_out() {
    let (app, _) = boot().await;
    let (ada, of_ada) = sign_in(&app, "ada", "curl/8").await;
    let (bob, _) = sign_in(&app, "bob", "curl/8").await;
    let id = ada.get(SESSIONS).await.json["items"][0]["id"].as_str().unwrap().to_owned();

    let foreign = bob.delete(&format!("{SESSIONS}/{id}"), &[]).await;
    assert_eq!((foreign.status.as_u16(), foreign.code()), (404, "not_found"));
    assert_eq!(bob.post(LOGOUT, json!({"refresh_token": of_ada})).await.status, 204);

    assert_eq!(ada.get(ME).await.status, 200);
    assert_eq!(bob.get(ME).await.status, 401, "their own ended");
}

#[tokio::test]
async fn the_list_shows_where_one_is_signed_in() {
    let (app, caller) = boot().await;
    let firefox = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0";
    let (laptop, refresh_token) = sign_in(&app, "ada", firefox).await;
    app.advance(Duration::from_secs(60));
    let (phone, _) = sign_in(&app, "ada", "curl/8.5.0").await;
    sign_in(&app, "bob", "curl/8").await;

    let list = phone.get(SESSIONS).await;
    assert_eq!((&list.json["total"], &list.json["page"]), (&json!(2), &json!(1)), "{}", list.text());
    let (newest, oldest) = (&list.json["items"][0], &list.json["items"][1]);
    assert_eq!((&newest["device"], &newest["current"]), (&json!("curl"), &json!(true)));
    assert_eq!((&oldest["device"], &oldest["current"]), (&json!("Firefox on Linux"), &json!(false)));
    assert_eq!((&oldest["user_agent"], &oldest["address"]), (&json!(firefox), &json!("192.0.2.7")));
    assert_eq!(oldest["last_used_at"], "2026-01-31T09:30:00.000Z");
    assert_eq!(oldest["expires_at"], "2026-02-14T09:30:00.000Z", "a fortnight unused");

    app.advance(Duration::from_secs(60));
    let refreshed = caller.post("/api/v1/auth/refresh", json!({"refresh_token": refresh_token})).await;
    assert_eq!(refreshed.status, 200);
    let list = phone.get(SESSIONS).await;
    assert_eq!(list.json["items"][0]["device"], "Firefox on Linux", "used last");
    assert_eq!(list.json["items"][0]["last_used_at"], "2026-01-31T09:32:00.000Z");

    let id = list.json["items"][0]["id"].as_str().unwrap();
    let path = format!("{SESSIONS}/{id}");
    assert_eq!(phone.delete(&path, &[]).await.status, 204);
    assert_eq!(laptop.get(ME).await.status, 401);
    assert_eq!(phone.delete(&path, &[]).await.status, 404);
    assert_eq!(phone.delete(&format!("{SESSIONS}/x"), &[]).await.status, 404);
    assert_eq!(phone.get(SESSIONS).await.json["total"], 1);
}

#[tokio::test]
async fn signing_out_everywhere_ends_all_sessions_of_one_person() {
    let (app, _) = boot().await;
    let (first, _) = sign_in(&app, "ada", "a").await;
    let (second, _) = sign_in(&app, "ada", "b").await;
    let (bob, _) = sign_in(&app, "bob", "c").await;
    assert_eq!(second.get(ME).await.status, 200);

    assert_eq!(first.raw(Method::POST, "/api/v1/auth/logout-all", &[], "").await.status, 204);

    for client in [&first, &second] {
        assert_eq!(client.get(ME).await.status, 401);
    }
    assert_eq!(bob.get(ME).await.status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_read_that_began_before_the_end_brings_a_session_back() {
    let (app, _) = boot().await;
    for _ in 0..20 {
        let (ada, _) = sign_in(&app, "ada", "a").await;
        let mut readers = JoinSet::new();
        for _ in 0..8 {
            let ada = ada.clone();
            readers.spawn(async move {
                while ada.get(ME).await.status == 200 {
                    tokio::task::yield_now().await;
                }
            });
        }
        assert_eq!(bare_logout(&ada).await, 204);
        // Each request from now on is refused, however many were in the middle of theirs.
        for _ in 0..20 {
            assert_eq!(ada.get(ME).await.status, 401);
        }
        readers.join_all().await;
    }
}
