//! Posting and reading, byte for byte.

use http::Method;
use mainstay_feed::Feed;
use mainstay_testkit::{Client, Config, Reply, TestApp, json};
use sea_orm::ConnectionTrait as _;
use serde_json::Value;

pub const POSTS: &str = "/api/v1/posts";

pub async fn boot() -> TestApp {
    TestApp::boot(|backend| backend.with(Feed::new)).await
}

pub async fn post(caller: &Client, body: &str) -> i64 {
    let reply = caller.post(POSTS, json!({"name": "Ada", "username": "ada", "body": body})).await;
    assert_eq!(reply.status, 201, "{}", reply.text());
    reply.json["data"]["id"].as_i64().unwrap()
}

/// An error in the envelope and nothing else; gives its message.
pub fn is_refusal(reply: &Reply, status: u16) -> String {
    let text = reply.text();
    assert_eq!((reply.status.as_u16(), reply.header("content-type")), (status, "application/json"), "{text}");
    let body = reply.json.as_object().unwrap();
    assert_eq!(body.keys().collect::<Vec<_>>(), ["success", "message", "errors"], "{text}");
    assert_eq!(body["success"], false, "{text}");
    assert!(body["errors"].is_object(), "{text}");
    assert!(!reply.header("x-request-id").is_empty());
    let message = body["message"].as_str().unwrap().to_owned();
    assert!(!message.is_empty() && !message.ends_with('.'), "{text}");
    message
}

#[tokio::test]
async fn a_post_is_created_listed_and_read_in_the_envelope() {
    let app = boot().await;
    let anybody = app.anonymous();

    let body = json!({"name": " Ada Lovelace ", "username": "ada", "body": "Hello\r\n<b>world</b> "});
    let created = anybody.post(POSTS, body).await;
    assert_eq!(
        (created.status.as_u16(), created.header("location"), created.header("content-type")),
        (201, "/api/v1/posts/1", "application/json")
    );
    assert_eq!(
        created.text(),
        r#"{"success":true,"message":"Post created successfully","data":{"id":1,"name":"Ada Lovelace","username":"ada","body":"Hello\n<b>world</b>","created_at":"2026-01-31T09:30:00.000Z"}}"#
    );

    let list = anybody.get(POSTS).await;
    assert_eq!(
        list.text(),
        r#"{"success":true,"message":"Posts retrieved successfully","data":[{"id":1,"name":"Ada Lovelace","username":"ada","body":"Hello\n<b>world</b>","created_at":"2026-01-31T09:30:00.000Z"}],"meta":{"page":1,"page_size":20,"total":1,"pages":1,"has_next":false,"has_prev":false}}"#
    );
    assert_eq!(list.header("cache-control"), "public, max-age=0, s-maxage=5");
    let again = anybody.get_with(POSTS, &[("if-none-match", list.header("etag"))]).await;
    assert_eq!((again.status.as_u16(), again.bytes.len()), (304, 0));

    let one = anybody.get("/api/v1/posts/1").await;
    assert_eq!(
        one.text(),
        r#"{"success":true,"message":"Post retrieved successfully","data":{"id":1,"name":"Ada Lovelace","username":"ada","body":"Hello\n<b>world</b>","created_at":"2026-01-31T09:30:00.000Z"}}"#
    );
    let head = anybody.raw(Method::HEAD, "/api/v1/posts/1", &[], "").await;
    assert_eq!((head.status.as_u16(), head.bytes.len()), (200, 0));
}

#[tokio::test]
async fn an_empty_feed_is_an_empty_list() {
    let reply = boot().await.anonymous().get(POSTS).await;
    assert_eq!(
        reply.text(),
        r#"{"success":true,"message":"Posts retrieved successfully","data":[],"meta":{"page":1,"page_size":20,"total":0,"pages":0,"has_next":false,"has_prev":false}}"#
    );
}

#[tokio::test]
async fn pages_go_from_the_newest_to_the_oldest() {
    let app = boot().await;
    let anybody = app.anonymous();
    for number in 1..=5 {
        post(&anybody, &format!("Post {number}")).await;
    }
    let ids = |reply: &Value| {
        reply["data"].as_array().unwrap().iter().map(|post| post["id"].as_i64().unwrap()).collect::<Vec<_>>()
    };
    for (page, expected, has_next, has_prev) in [
        (1, vec![5, 4], true, false),
        (2, vec![3, 2], true, true),
        (3, vec![1], false, true),
        (4, vec![], false, true),
    ] {
        let reply = anybody.get(&format!("{POSTS}?page={page}&page_size=2")).await;
        assert_eq!(ids(&reply.json), expected);
        let meta = json!({"page": page, "page_size": 2, "total": 5, "pages": 3, "has_next": has_next, "has_prev": has_prev});
        assert_eq!(reply.json["meta"], meta);
        assert!(reply.header("link").contains("rel=\"last\""), "{}", reply.header("link"));
    }
}

#[tokio::test]
async fn with_require_login_only_who_is_signed_in_reads_and_posts() {
    let config = Config::defaults().set("feed.require_login", "true", "test");
    let app = TestApp::boot_with(config, |backend| backend.with(Feed::new)).await;
    let (anybody, user) = (app.anonymous(), app.user().await);

    let shape = |reply: &Reply| {
        is_refusal(reply, 401);
        assert!(!reply.header("www-authenticate").is_empty());
    };
    let body = json!({"name": "Ada", "username": "ada", "body": "Hello"});
    shape(&anybody.get(POSTS).await);
    shape(&anybody.get("/api/v1/posts/1").await);
    shape(&anybody.post(POSTS, body.clone()).await);
    shape(&app.with_token("forged").get(POSTS).await);

    assert_eq!(user.post(POSTS, body).await.status, 201);
    let list = user.get(POSTS).await;
    assert_eq!(
        (list.json["meta"]["total"].as_i64(), list.header("cache-control")),
        (Some(1), "private, no-store")
    );

    let key = user.post("/api/v1/auth/api-keys", json!({"name": "reads", "scopes": ["feed:read"]})).await;
    let robot = app.with_token(key.json["key"].as_str().unwrap());
    assert_eq!(robot.get(POSTS).await.status, 200);
    let refused = robot.post(POSTS, json!({"name": "R", "username": "r", "body": "x"})).await;
    is_refusal(&refused, 403);
}

#[tokio::test]
async fn what_was_posted_is_in_the_audit_log_without_its_text() {
    let app = boot().await;
    post(&app.anonymous(), "a text that is nobody's business").await;
    let rows = app
        .db()
        .primary()
        .query_all_raw(sea_orm::Statement::from_string(
            app.db().primary().get_database_backend(),
            "SELECT action, target, changes FROM audit_log WHERE action = 'feed.post_created'",
        ))
        .await
        .unwrap();
    assert_eq!(rows.len(), 1);
    assert_eq!(rows[0].try_get_by_index::<String>(1).unwrap(), "feed_post/1");
    assert!(!rows[0].try_get_by_index::<String>(2).unwrap().contains("business"));
}
