use std::time::Duration;

use http::Method;
use mainstay_db::Db;
use mainstay_testkit::{Client, Reply, TestApp, json};
use sea_orm::ConnectionTrait as _;
use sea_orm::sea_query::{Alias, Expr, ExprTrait as _, Query};
use tokio::task::JoinSet;

const LOGIN: &str = "/api/v1/auth/login";
const REFRESH: &str = "/api/v1/auth/refresh";
const ME: &str = "/api/v1/auth/me";

async fn boot() -> (TestApp, Client) {
    let app = TestApp::boot(|backend| backend).await;
    let caller = app.anonymous();
    let ada = json!({"email": "ada@example.com", "password": "a fine engine", "username": "ada"});
    assert_eq!(caller.post("/api/v1/auth/register", ada).await.status, 201);
    (app, caller)
}

fn text(reply: &Reply, field: &str) -> String {
    assert_eq!(reply.status, 200, "{}", reply.text());
    reply.json[field].as_str().unwrap().to_owned()
}

/// Access and refresh token.
fn pair(reply: &Reply) -> (String, String) {
    (text(reply, "access_token"), text(reply, "refresh_token"))
}

async fn login(caller: &Client) -> (String, String) {
    pair(&caller.post(LOGIN, json!({"username": "ada", "password": "a fine engine"})).await)
}

async fn refresh(caller: &Client, token: &str) -> Reply {
    caller.post(REFRESH, json!({"refresh_token": token})).await
}

async fn refused(caller: &Client, token: &str) {
    let reply = refresh(caller, token).await;
    assert_eq!((reply.status.as_u16(), reply.code()), (401, "invalid_refresh_token"), "{}", reply.text());
}

async fn audited(db: &Db, action: &str) -> usize {
    let select = Query::select()
        .column(Alias::new("id"))
        .from(Alias::new("audit_log"))
        .and_where(Expr::col(Alias::new("action")).eq(action))
        .to_owned();
    db.primary().query_all(&select).await.unwrap().len()
}

#[tokio::test]
async fn a_refresh_gives_a_new_pair_and_the_old_token_dies() {
    let (app, caller) = boot().await;
    let (_, first) = login(&caller).await;
    assert!(first.starts_with("msr_") && first.len() == 47);

    app.advance(Duration::from_secs(800));
    let reply = refresh(&caller, &first).await;
    let (access, second) = pair(&reply);
    assert_ne!(first, second);
    assert_eq!((&reply.json["expires_in"], &reply.json["token_type"]), (&json!(900), &json!("bearer")));
    assert_eq!(reply.header("cache-control"), "private, no-store");
    assert_eq!(app.with_token(&access).get(ME).await.status, 200);

    let form = [("content-type", "application/x-www-form-urlencoded")];
    let body = format!("grant_type=refresh_token&refresh_token={second}");
    let (_, third) = pair(&caller.raw(Method::POST, "/api/v1/auth/token", &form, body).await);
    assert_eq!(refresh(&caller, &third).await.status, 200);
    for bad in ["msr_", "x", "msr_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"] {
        refused(&caller, bad).await;
        let body = format!("grant_type=refresh_token&refresh_token={bad}");
        let reply = caller.raw(Method::POST, "/api/v1/auth/token", &form, body).await;
        assert_eq!((reply.status.as_u16(), &reply.json["error"]), (400, &json!("invalid_grant")));
    }
}

#[tokio::test]
async fn a_lost_answer_is_given_again_within_ten_seconds() {
    let (app, caller) = boot().await;
    let (_, parent) = login(&caller).await;
    let first = pair(&refresh(&caller, &parent).await);

    app.advance(Duration::from_secs(10));
    let node = app.another_node(|backend| backend).await;
    let reply = refresh(&node.anonymous(), &parent).await;
    assert_eq!(pair(&reply), first, "the same pair, on another node too");
    assert_eq!(reply.json["expires_in"], 890);
    assert_eq!(audited(app.db(), "session.refresh_reused").await, 0);
}

#[tokio::test]
async fn after_ten_seconds_a_used_token_ends_the_session() {
    let (app, caller) = boot().await;
    let (_, parent) = login(&caller).await;
    let (access, child) = pair(&refresh(&caller, &parent).await);
    assert_eq!(app.with_token(&access).get(ME).await.status, 200);

    app.advance(Duration::from_millis(10_001));
    refused(&caller, &parent).await;

    assert_eq!(app.with_token(&access).get(ME).await.status, 401, "at once");
    refused(&caller, &child).await;
    refused(&caller, &parent).await;
    assert_eq!(audited(app.db(), "session.refresh_reused").await, 1);
    assert_eq!(audited(app.db(), "session.revoked").await, 1);
}

#[tokio::test]
async fn a_used_token_ends_the_session_on_every_node_once_its_child_was_used() {
    let (app, caller) = boot().await;
    let node = app.another_node(|backend| backend).await;
    let (_, parent) = login(&caller).await;
    let (_, child) = pair(&refresh(&caller, &parent).await);
    let (access, grandchild) = pair(&refresh(&caller, &child).await);

    refused(&node.anonymous(), &parent).await;

    refused(&caller, &grandchild).await;
    refused(&node.anonymous(), &child).await;
    assert_eq!(node.with_token(&access).get(ME).await.status, 401);
    // The other sign-ins of the same person live on.
    let (_, other) = login(&caller).await;
    assert_eq!(refresh(&caller, &other).await.status, 200);
}

#[tokio::test]
async fn a_family_ends_when_it_rests_too_long_and_at_its_absolute_end() {
    let (app, caller) = boot().await;
    let days = |days: u64| Duration::from_secs(days * 24 * 3600);
    let (_, resting) = login(&caller).await;
    let (_, mut used) = login(&caller).await;

    app.advance(days(13));
    (_, used) = pair(&refresh(&caller, &used).await);
    app.advance(days(1));
    refused(&caller, &resting).await;
    app.advance(days(12));
    (_, used) = pair(&refresh(&caller, &used).await);
    app.advance(days(4));
    refused(&caller, &used).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_fifty_refreshes_at_once_all_get_the_one_child() {
    let (app, caller) = boot().await;
    let other = app.another_node(|backend| backend).await.anonymous();
    let (_, parent) = login(&caller).await;
    let mut tasks = JoinSet::new();
    for number in 0..50 {
        let (caller, parent) = (if number % 2 == 0 { caller.clone() } else { other.clone() }, parent.clone());
        tasks.spawn(async move { pair(&refresh(&caller, &parent).await) });
    }
    let mut pairs = tasks.join_all().await;
    pairs.sort();
    pairs.dedup();
    assert_eq!(pairs.len(), 1, "{pairs:?}");
    assert_eq!(refresh(&caller, &pairs[0].1).await.status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_thousand_rounds_of_parallel_replay_make_no_fork() {
    let (app, caller) = boot().await;
    let other = app.another_node(|backend| backend).await.anonymous();
    let (_, mut token) = login(&caller).await;
    for round in 0..1000 {
        let replies = tokio::join!(refresh(&caller, &token), refresh(&other, &token));
        let (here, there) = (pair(&replies.0), pair(&replies.1));
        assert_eq!(here, there, "round {round}");
        token = here.1;
    }
    assert_eq!(audited(app.db(), "session.revoked").await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_refresh_that_races_with_the_end_of_the_session_does_not_survive_it() {
    let (app, caller) = boot().await;
    for _ in 0..20 {
        let (access, token) = login(&caller).await;
        let owner = app.with_token(&access);
        let (refreshed, out) =
            tokio::join!(refresh(&caller, &token), owner.raw(Method::POST, "/api/v1/auth/logout", &[], ""));
        assert_eq!(out.status, 204, "{}", out.text());
        if refreshed.status == 200 {
            let (access, token) = pair(&refreshed);
            assert_eq!(app.with_token(&access).get(ME).await.status, 401);
            refused(&caller, &token).await;
        }
    }
}

#[tokio::test]
async fn made_up_tokens_cost_no_transaction_and_a_switched_off_account_no_refresh() {
    let (app, caller) = boot().await;
    let (_, token) = login(&caller).await;
    let off = Query::update().table(Alias::new("users")).value(Alias::new("is_active"), false).to_owned();
    let unit = app.db().write(&mainstay_core::Actor::system("test")).await.unwrap();
    unit.execute(&off).await.unwrap();
    // While the unit is open nobody else could write on SQLite: who is answered did not try.
    refused(&caller, "msr_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA").await;
    unit.commit().await.unwrap();
    refused(&caller, &token).await;
}
