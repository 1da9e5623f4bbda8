//! Every error on the feed's paths comes in the envelope, wherever it was made.

use std::time::Duration;

use axum::body::Body;
use axum::routing::get;
use http::Method;
use mainstay_app::App;
use mainstay_auth::Access;
use mainstay_core::Problem;
use mainstay_core::problem::OVERLOADED;
use mainstay_db::Migration;
use mainstay_feed::Feed;
use mainstay_http::{ApiRouter, Tag};
use mainstay_testkit::{Config, TestApp, json};
use sea_orm::ConnectionTrait as _;
use tokio::task::JoinSet;

use crate::posts::{POSTS, boot, is_refusal, post};

const JSON: [(&str, &str); 1] = [("content-type", "application/json")];

/// Bad luck under the feed's paths.
struct Unlucky;

impl App for Unlucky {
    fn name(&self) -> &'static str {
        "unlucky"
    }
    fn migrations(&self) -> Vec<Migration> {
        Vec::new()
    }
    fn routes(&self) -> ApiRouter {
        async fn slow() {
            tokio::time::sleep(Duration::from_secs(10)).await;
        }
        async fn panic_now() {
            panic!("a secret of the house");
        }
        async fn limited() -> Problem {
            Problem::retry_later(&OVERLOADED, "Not so fast.", 7).with_header(
                http::HeaderName::from_static("ratelimit"),
                http::HeaderValue::from_static("\"default\";r=0;t=7"),
            )
        }
        ApiRouter::new(Tag { name: "Unlucky", about: "For tests." })
            .page("/posts/x/slow", get(slow), Access::Public)
            .page("/posts/x/panic", get(panic_now), Access::Public)
            .page("/posts/x/limited", get(limited), Access::Public)
    }
}

async fn unlucky(settings: &[(&str, &str)]) -> TestApp {
    let config =
        settings.iter().fold(Config::defaults(), |config, (key, value)| config.set(key, *value, "test"));
    TestApp::boot_with(config, |backend| backend.with(Feed::new).with(|_| Unlucky)).await
}

#[tokio::test]
async fn every_fault_of_the_input_is_a_400_and_all_are_told() {
    let app = boot().await;
    let reply = app.anonymous().post(POSTS, json!({"body": "Hello"})).await;
    assert_eq!(reply.status, 400);
    assert_eq!(
        reply.text(),
        r#"{"success":false,"message":"Validation failed. Missing required fields: name, username","errors":{"name":"Name cannot be empty","username":"Username cannot be empty"}}"#
    );

    let body = json!({"name": "x".repeat(256), "username": true, "body": "\u{7}", "nick": "a"});
    let reply = app.anonymous().post(POSTS, body).await;
    assert_eq!(
        is_refusal(&reply, 400),
        "Validation failed. Invalid fields: name, username, body. Unknown fields: nick"
    );
    assert_eq!(
        reply.json["errors"],
        json!({
            "name": "Name must have at most 255 characters, has 256",
            "username": "Username must be a string, not a boolean",
            "body": "Body must not hold control characters other than line breaks and tabs",
            "nick": "nick is not known here",
        })
    );

    let reply = app.anonymous().get("/api/v1/posts?page=0&page_size=101&sort=name").await;
    assert_eq!(
        is_refusal(&reply, 400),
        "Validation failed. Invalid fields: page, page_size. Unknown fields: sort"
    );
    assert_eq!(reply.json["errors"]["page"], "Page must be a whole number from 1 to 10000000");
    assert_eq!(app.anonymous().get(POSTS).await.json["meta"]["total"], 0, "nothing was posted");
}

#[tokio::test]
async fn bodies_that_cannot_be_read_are_refused_in_the_envelope() {
    let app = unlucky(&[("http.max_body_bytes", "2048")]).await;
    let caller = app.anonymous();
    for (headers, body, status, message) in [
        (&JSON[..], "{\"name\":", 400, "The body is not JSON"),
        (&JSON[..], "", 400, "The body is empty; a JSON object is expected"),
        (&JSON[..], "[]", 400, "Validation failed. The body must be an object, not an array"),
        (&JSON[..], "{\"name\":\"\\ud800\"}", 400, "The body is not JSON"),
        (&[][..], "{}", 415, "The body must be application/json; the Content-Type is none"),
        (&[("content-type", "text/xml")][..], "<a/>", 415, "The body must be application/json"),
    ] {
        let reply = caller.raw(Method::POST, POSTS, headers, body).await;
        assert!(is_refusal(&reply, status).starts_with(message), "{}", reply.text());
        assert_eq!(reply.json["errors"], json!({}));
    }
    let large = caller.raw(Method::POST, POSTS, &JSON, "x".repeat(2049)).await;
    assert_eq!(is_refusal(&large, 413), "The body may have at most 2048 bytes");
    let chunks = futures_util::stream::iter((0..4).map(|_| Ok::<_, std::io::Error>(vec![b'x'; 1024])));
    let unannounced = caller.raw(Method::POST, POSTS, &JSON, Body::from_stream(chunks)).await;
    is_refusal(&unannounced, 413);
}

#[tokio::test]
async fn what_is_not_there_is_a_404_in_the_envelope() {
    let app = boot().await;
    let caller = app.anonymous();
    post(&caller, "Hello").await;
    for id in ["2", "0", "01", "-1", "abc", "1.0", "9223372036854775808", "%00", "1'--"] {
        let reply = caller.get(&format!("{POSTS}/{id}")).await;
        assert_eq!(is_refusal(&reply, 404), "Post not found", "{id}");
    }
    for path in ["/api/v1/posts/", "/api/v1/posts/1/comments", "/api/v1/posts/x/y/z"] {
        assert_eq!(is_refusal(&caller.get(path).await, 404), "Nothing is at this address", "{path}");
    }
    let elsewhere = caller.get("/api/v1/postscript").await;
    assert_eq!(elsewhere.header("content-type"), "application/problem+json");
}

#[tokio::test]
async fn a_wrong_method_is_a_405_in_the_envelope_with_allow() {
    let app = boot().await;
    for (path, method, allow) in [
        (POSTS, Method::DELETE, "GET,HEAD,POST"),
        (POSTS, Method::PUT, "GET,HEAD,POST"),
        ("/api/v1/posts/1", Method::POST, "GET,HEAD"),
        ("/api/v1/posts/1", Method::DELETE, "GET,HEAD"),
    ] {
        let reply = app.anonymous().raw(method.clone(), path, &JSON, "{}").await;
        assert_eq!(is_refusal(&reply, 405), "This address does not take this method");
        assert_eq!(reply.header("allow"), allow, "{method} {path}");
    }
    let options = app.anonymous().raw(Method::OPTIONS, POSTS, &[], "").await;
    assert_eq!((options.status.as_u16(), options.bytes.len()), (204, 0));
    let head = app.anonymous().raw(Method::HEAD, "/api/v1/posts/7", &[], "").await;
    assert_eq!((head.status.as_u16(), head.bytes.len()), (404, 0));
}

#[tokio::test]
async fn a_failure_of_ours_is_a_500_in_the_envelope_that_tells_nothing() {
    let app = unlucky(&[]).await;
    let reply = app.anonymous().get("/api/v1/posts/x/panic").await;
    assert_eq!(is_refusal(&reply, 500), "The request could not be carried out");

    app.db().primary().execute_unprepared("DROP TABLE feed_posts").await.unwrap();
    for reply in [
        app.anonymous().get(POSTS).await,
        app.anonymous().get("/api/v1/posts/1").await,
        app.anonymous().post(POSTS, json!({"name": "a", "username": "b", "body": "c"})).await,
    ] {
        assert_eq!(is_refusal(&reply, 500), "The request could not be carried out");
        assert!(!reply.text().contains("feed_posts"));
    }
}

#[tokio::test]
async fn too_much_and_too_slow_come_in_the_envelope_and_keep_their_headers() {
    let app = unlucky(&[("http.max_in_flight", "1"), ("http.request_timeout_s", "1")]).await;
    let limited = app.anonymous().get("/api/v1/posts/x/limited").await;
    assert_eq!(is_refusal(&limited, 503), "Not so fast");
    assert_eq!((limited.header("retry-after"), limited.header("ratelimit")), ("7", "\"default\";r=0;t=7"));

    let mut slow = JoinSet::new();
    let caller = app.anonymous();
    slow.spawn(async move { caller.get("/api/v1/posts/x/slow").await });
    tokio::time::sleep(Duration::from_millis(200)).await;
    let shed = app.anonymous().get(POSTS).await;
    assert_eq!(is_refusal(&shed, 503), "Too many requests are in progress");
    assert!(!shed.header("retry-after").is_empty());

    let late = slow.join_next().await.unwrap().unwrap();
    assert_eq!(is_refusal(&late, 503), "The request took longer than 1 seconds");
    assert_eq!(late.header("retry-after"), "1");
}

#[tokio::test]
async fn the_document_promises_the_envelope_and_no_problem() {
    let app = boot().await;
    let document = app.contract().document();
    let mut errors = 0;
    for (method, path) in [("GET", POSTS), ("POST", POSTS), ("GET", "/api/v1/posts/{id}")] {
        let operation = document.operation(method, path).unwrap();
        for (status, response) in operation["responses"].as_object().unwrap() {
            if status.as_str() >= "400" {
                let content = response["content"].as_object().unwrap();
                assert_eq!(
                    content.keys().collect::<Vec<_>>(),
                    ["application/json"],
                    "{method} {path} {status}"
                );
                let reference = &content["application/json"]["schema"]["$ref"];
                assert_eq!(reference, "#/components/schemas/FeedError");
                errors += 1;
            }
        }
        assert!(operation["responses"]["422"].is_null(), "{method} {path}");
    }
    assert!(errors > 15, "{errors}");
    assert!(document.json()["components"]["schemas"]["FeedError"].is_object());
}
