//! Accounts by invitation.

use std::time::Duration;

use mainstay_testkit::{Client, Reply, TestApp, json};
use tokio::task::JoinSet;

use super::recovery::{PASSWORD, REGISTER, address, boot, boot_with, is_problem, newest_token, templates};

const INVITATIONS: &str = "/api/v1/users/invitations";
const WEEK: Duration = Duration::from_secs(7 * 86_400);

async fn by_invitation() -> TestApp {
    boot_with("identity.registration", "invitation").await
}

async fn invite(admin: &Client, name: &str, key: &str) -> Reply {
    let headers = [("content-type", "application/json"), ("idempotency-key", key)];
    let body = json!({"email": address(name)}).to_string();
    let reply = admin.raw(http::Method::POST, INVITATIONS, &headers, body).await;
    assert_eq!((reply.status.as_u16(), reply.bytes.len()), (202, 0), "{}", reply.text());
    reply
}

async fn accept(caller: &Client, name: &str, token: &str) -> Reply {
    let body = json!({"email": address(name), "password": PASSWORD, "invitation_token": token});
    caller.post(REGISTER, body).await
}

#[tokio::test]
async fn an_account_takes_an_invitation_for_its_address() {
    let app = by_invitation().await;
    let (admin, caller) = (app.admin().await, app.anonymous());
    invite(&admin, "ada", "1").await;
    invite(&admin, "bob", "2").await;
    assert_eq!(templates(&app, "ada").await, ["identity.invited"]);
    let (of_ada, of_bob) = (newest_token(&app, "ada").await, newest_token(&app, "bob").await);

    let without = json!({"email": "ada@example.com", "password": PASSWORD});
    is_problem(&caller.post(REGISTER, without).await, 403, "invitation_required");
    is_problem(&accept(&caller, "ada", "made up").await, 410, "token_invalid");
    is_problem(&accept(&caller, "ada", &of_bob).await, 410, "token_invalid");
    let capitals = json!({"email": "ADA@Example.com", "password": PASSWORD, "invitation_token": of_ada});
    let made = caller.post(REGISTER, capitals).await;
    assert_eq!((made.status.as_u16(), &made.json["email_verified"]), (201, &json!(true)), "{}", made.text());
    assert_eq!(made.json["roles"], json!(["user"]));
    is_problem(&accept(&caller, "ada", &of_ada).await, 410, "token_invalid");
    assert_eq!(templates(&app, "ada").await, ["identity.invited"], "there is nothing to verify");
}

#[tokio::test]
async fn a_refused_registration_does_not_use_the_invitation_up() {
    let app = by_invitation().await;
    let (admin, caller) = (app.admin().await, app.anonymous());
    invite(&admin, "ada", "1").await;
    let token = newest_token(&app, "ada").await;

    let body = json!({
        "email": "ada@example.com", "password": PASSWORD, "username": "admin-0", "invitation_token": token
    });
    is_problem(&caller.post(REGISTER, body).await, 409, "username_taken");
    let body = json!({"email": "ada@example.com", "password": "ada@example.com", "invitation_token": token});
    assert_eq!(caller.post(REGISTER, body).await.status, 422);
    assert_eq!(accept(&caller, "ada", &token).await.status, 201);
}

#[tokio::test]
async fn an_invitation_lives_a_week_and_gives_way_to_a_newer_one() {
    let app = by_invitation().await;
    let (admin, caller) = (app.admin().await, app.anonymous());
    invite(&admin, "ada", "1").await;
    let older = newest_token(&app, "ada").await;
    app.advance(Duration::from_secs(1));
    invite(&admin, "ada", "2").await;
    let newer = newest_token(&app, "ada").await;
    invite(&admin, "bob", "3").await;
    let of_bob = newest_token(&app, "bob").await;

    is_problem(&accept(&caller, "ada", &older).await, 410, "token_invalid");
    app.advance(WEEK - Duration::from_millis(1));
    assert_eq!(accept(&caller, "ada", &newer).await.status, 201);
    app.advance(Duration::from_millis(1));
    is_problem(&accept(&caller, "bob", &of_bob).await, 410, "token_invalid");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_who_use_one_invitation_at_once_one_gets_an_account() {
    let app = by_invitation().await;
    let admin = app.admin().await;
    invite(&admin, "ada", "1").await;
    let token = newest_token(&app, "ada").await;
    let mut tasks = JoinSet::new();
    for _ in 0..20 {
        let (caller, token) = (app.anonymous(), token.clone());
        tasks.spawn(async move { accept(&caller, "ada", &token).await.status.as_u16() });
    }
    let statuses = tasks.join_all().await;
    assert_eq!(statuses.iter().filter(|status| **status == 201).count(), 1, "{statuses:?}");
    assert!(statuses.iter().all(|status| [201, 409, 410].contains(status)), "{statuses:?}");
}

#[tokio::test]
async fn an_invitation_asked_for_twice_under_one_key_is_one() {
    let app = boot().await;
    let admin = app.admin().await;
    assert_eq!(invite(&admin, "ada", "one").await.header("idempotent-replayed"), "");
    assert_eq!(invite(&admin, "ada", "one").await.header("idempotent-replayed"), "true");
    assert_eq!(templates(&app, "ada").await.len(), 1);
    let headers = [("content-type", "application/json"), ("idempotency-key", "one")];
    let body = json!({"email": "bob@example.com"}).to_string();
    let other = admin.raw(http::Method::POST, INVITATIONS, &headers, body).await;
    is_problem(&other, 422, "idempotency_key_reused");

    assert_eq!(
        admin.post(INVITATIONS, json!({"email": "nobody"})).await.faults(),
        [("email", "invalid_email")]
    );
    let body = json!({"email": "ada@example.com"});
    assert_eq!(app.staff().await.post(INVITATIONS, body.clone()).await.status, 403);
    assert_eq!(app.anonymous().post(INVITATIONS, body).await.status, 401);
}

#[tokio::test]
async fn an_invitation_proves_the_address_where_everybody_may_register_too() {
    let app = boot().await;
    let admin = app.admin().await;
    invite(&admin, "ada", "1").await;
    let token = newest_token(&app, "ada").await;
    is_problem(&accept(&app.anonymous(), "eve", &token).await, 410, "token_invalid");
    let made = accept(&app.anonymous(), "ada", &token).await;
    assert_eq!((made.status.as_u16(), &made.json["email_verified"]), (201, &json!(true)));
}
