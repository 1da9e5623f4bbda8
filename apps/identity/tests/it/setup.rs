use std::time::Duration;

use mainstay_identity::Identity;
use mainstay_testkit::{TestApp, json};
use tokio::task::JoinSet;

/// Boots, and takes the token out of what the server would print.
async fn boot() -> (TestApp, String) {
    let app = TestApp::boot(|backend| backend).await;
    let lines = app.start_lines().join("\n");
    let token = lines
        .split("\"token\":\"")
        .nth(1)
        .and_then(|rest| rest.split('"').next())
        .expect("the token is printed");
    (app, token.to_owned())
}

#[tokio::test]
async fn the_printed_token_makes_one_administrator() {
    let (app, token) = boot().await;
    let body = |email: &str| json!({"token": token, "email": email, "password": "a fine engine"});

    let first = app.anonymous().post("/api/v1/setup", body("ada@example.com")).await;
    assert_eq!((first.status.as_u16(), &first.json["roles"]), (201, &json!(["admin"])));

    let second = app.anonymous().post("/api/v1/setup", body("eve@example.com")).await;
    assert_eq!((second.status.as_u16(), second.code()), (410, "token_invalid"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_who_race_with_the_token_one_becomes_administrator() {
    let (app, token) = boot().await;
    let mut tasks = JoinSet::new();
    for number in 0..10 {
        let caller = app.anonymous();
        let body =
            json!({"token": token, "email": format!("ada{number}@example.com"), "password": "a fine engine"});
        tasks.spawn(async move { caller.post("/api/v1/setup", body).await.status.as_u16() });
    }
    let statuses = tasks.join_all().await;
    assert_eq!(statuses.iter().filter(|status| **status == 201).count(), 1, "{statuses:?}");
}

#[tokio::test]
async fn the_token_ends_after_half_an_hour_and_a_wrong_one_opens_nothing() {
    let (app, token) = boot().await;
    let body = |token: &str| json!({"token": token, "email": "ada@example.com", "password": "a fine engine"});

    assert_eq!(app.anonymous().post("/api/v1/setup", body("wrong")).await.status, 410);
    app.advance(Duration::from_secs(1801));
    assert_eq!(app.anonymous().post("/api/v1/setup", body(&token)).await.status, 410);
}

#[tokio::test]
async fn no_token_is_printed_while_there_is_an_administrator() {
    let app = TestApp::boot(|backend| backend).await;
    app.admin().await;
    let again = app.boot_again(|backend| backend.with(Identity::new)).await;
    assert!(again.is_empty(), "{again:?}");
}

#[tokio::test]
async fn whoever_holds_the_derived_name_does_not_block_the_setup() {
    let (app, token) = boot().await;
    let stranger = json!({"email": "x@example.com", "password": "a fine engine", "username": "ada"});
    assert_eq!(app.anonymous().post("/api/v1/auth/register", stranger).await.status, 201);

    let body = json!({"token": token, "email": "ada@example.com", "password": "a fine engine"});
    let reply = app.anonymous().post("/api/v1/setup", body).await;

    assert_eq!(reply.status, 201, "{}", reply.text());
    assert_ne!(reply.json["username"], "ada");
}
