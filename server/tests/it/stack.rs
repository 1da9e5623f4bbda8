//! What every request passes, seen from outside.

use std::time::Duration;

use axum::body::Body;
use axum::response::IntoResponse;
use bytes::Bytes;
use http::Method;
use mainstay::prelude::*;
use mainstay_testkit::{TestApp, json};
use tokio::task::JoinSet;

/// An app that behaves badly on demand.
pub(crate) struct Unruly;

const TAG: Tag = Tag { name: "Unruly", about: "For tests." };

mainstay::core::input! {
    /// Something sent.
    pub struct Sent {
        /// Anything.
        word: String,
    }
}

/// Panics.
#[utoipa::path(get, path = "/panic", responses((status = 200, description = "Never")))]
async fn panic_now() {
    panic!("a secret of the house");
}

/// Takes ten seconds.
#[utoipa::path(get, path = "/slow", responses((status = 200, description = "Late")))]
async fn answer_late() {
    tokio::time::sleep(Duration::from_secs(10)).await;
}

/// Fails for a private reason.
#[utoipa::path(get, path = "/broken", responses((status = 200, description = "Never")))]
async fn break_down() -> Result<(), Problem> {
    Err(Problem::internal(std::io::Error::other("password=hunter2")))
}

/// Gives back what it got.
#[utoipa::path(post, path = "/echo", request_body = Sent, responses((status = 200, description = "The word", body = String, content_type = "application/json")))]
async fn echo(Valid(sent): Valid<Sent>) -> impl IntoResponse {
    axum::Json(sent.word)
}

/// Much text, or something that looks compressed.
async fn answer_much(Id(kind): Id<String>) -> impl IntoResponse {
    ([("content-type", kind.replace('_', "/"))], Bytes::from(vec![b'a'; 20_000]))
}

impl App for Unruly {
    fn name(&self) -> &'static str {
        "unruly"
    }
    fn migrations(&self) -> Vec<Migration> {
        Vec::new()
    }
    fn routes(&self) -> ApiRouter {
        ApiRouter::new(TAG)
            .route(routes!(panic_now), Access::Public, &[])
            .route(routes!(answer_late), Access::Public, &[])
            .route(routes!(break_down), Access::Public, &[])
            .route(routes!(echo), Access::Public, &[])
            .page("/much/{kind}", axum::routing::get(answer_much), Access::Public)
    }
}

async fn boot(settings: &[(&str, &str)]) -> TestApp {
    let config =
        settings.iter().fold(Config::defaults(), |config, (key, value)| config.set(key, *value, "test"));
    TestApp::boot_with(config, |backend| backend.with(|_| Unruly)).await
}

#[tokio::test]
async fn a_panic_is_a_500_that_tells_nothing_and_the_server_lives() {
    let app = boot(&[]).await;
    let reply = app.anonymous().get("/api/v1/panic").await;
    assert_eq!((reply.status.as_u16(), reply.code()), (500, "internal"));
    assert!(!reply.text().contains("secret"));
    assert_eq!(app.anonymous().get("/healthz").await.status, 200);
}

#[tokio::test]
async fn a_private_cause_stays_private() {
    let app = boot(&[]).await;
    let reply = app.anonymous().get("/api/v1/broken").await;
    assert_eq!(reply.status, 500);
    assert!(!reply.text().contains("hunter2"));
}

#[tokio::test]
async fn a_request_that_takes_too_long_is_given_up() {
    let app = boot(&[("http.request_timeout_s", "1")]).await;
    let reply = app.anonymous().get("/api/v1/slow").await;
    assert_eq!((reply.status.as_u16(), reply.code()), (503, "timeout"));
    assert_eq!(reply.header("retry-after"), "1");
}

#[tokio::test]
async fn beyond_the_limit_requests_are_shed_but_health_is_answered() {
    let app = boot(&[("http.max_in_flight", "2"), ("http.request_timeout_s", "2")]).await;
    let mut slow = JoinSet::new();
    for _ in 0..2 {
        let caller = app.anonymous();
        slow.spawn(async move { caller.get("/api/v1/slow").await.status.as_u16() });
    }
    tokio::time::sleep(Duration::from_millis(200)).await;

    let shed = app.anonymous().post("/api/v1/echo", json!({"word": "x"})).await;
    assert_eq!((shed.status.as_u16(), shed.code()), (503, "overloaded"));
    assert!(!shed.header("retry-after").is_empty());
    assert_eq!(app.anonymous().get("/healthz").await.status, 200);

    slow.join_all().await;
    assert_eq!(app.anonymous().post("/api/v1/echo", json!({"word": "x"})).await.status, 200);
}

#[tokio::test]
async fn bodies_are_refused_by_size_type_and_form() {
    let app = boot(&[("http.max_body_bytes", "2048")]).await;
    let caller = app.anonymous();
    let json = [("content-type", "application/json")];
    let send = |headers: &'static [(&'static str, &'static str)], body: Body| {
        caller.raw(Method::POST, "/api/v1/echo", headers, body)
    };

    let large = caller.raw(Method::POST, "/api/v1/echo", &json, "x".repeat(2049)).await;
    assert_eq!((large.status.as_u16(), large.code()), (413, "body_too_large"));
    let unannounced = Body::new(http_body_util::Full::new(Bytes::from(vec![b'x'; 4096])));
    let chunked =
        send(&[("content-type", "application/json")], Body::from_stream(into_chunks(unannounced).await))
            .await;
    assert_eq!((chunked.status.as_u16(), chunked.code()), (413, "body_too_large"));
    let lie = send(
        &[("content-type", "application/json"), ("content-length", "99999999999999999999")],
        Body::from("{}"),
    )
    .await;
    assert!([400, 413, 422].contains(&lie.status.as_u16()), "{}", lie.status);

    for (headers, body, status, code) in [
        (&[][..], "{}", 415, "unsupported_media_type"),
        (&[("content-type", "text/xml")][..], "<a/>", 415, "unsupported_media_type"),
        (&[("content-type", "application/json")][..], "", 400, "malformed_body"),
        (&[("content-type", "application/json")][..], "{\"word\":", 400, "malformed_body"),
        (&[("content-type", "application/json")][..], "{\"word\":\"\\ud800\"}", 400, "malformed_body"),
        (&[("content-type", "application/json")][..], "[]", 422, "validation_failed"),
        (&[("content-type", "application/json")][..], "{\"word\":\"a\\u0000b\"}", 422, "validation_failed"),
    ] {
        let reply = send(headers, Body::from(body)).await;
        assert_eq!((reply.status.as_u16(), reply.code()), (status, code), "{body}");
    }
    let nested = "[".repeat(1000);
    assert_eq!(caller.raw(Method::POST, "/api/v1/echo", &json, nested).await.status, 400);
    let vendor =
        send(&[("content-type", "application/vnd.x+json; charset=utf-8")], Body::from("{\"word\":\"ok\"}"))
            .await;
    assert_eq!(vendor.status, 200);
}

async fn into_chunks(body: Body) -> impl futures_util::Stream<Item = Result<Bytes, std::io::Error>> {
    use http_body_util::BodyExt as _;
    let bytes = body.collect().await.unwrap().to_bytes();
    let chunks: Vec<_> = bytes.chunks(512).map(|chunk| Ok(Bytes::copy_from_slice(chunk))).collect();
    futures_util::stream::iter(chunks)
}

#[tokio::test]
async fn a_request_id_is_taken_if_it_is_one_and_told_in_every_answer() {
    let app = boot(&[]).await;
    let caller = app.anonymous();

    let taken = caller.get_with("/nope", &[("x-request-id", "abc-1")]).await;
    assert_eq!((taken.header("x-request-id"), taken.json["request_id"].as_str()), ("abc-1", Some("abc-1")));
    let long = "x".repeat(129);
    for bad in ["a b", long.as_str()] {
        let reply = caller.get_with("/healthz", &[("x-request-id", bad)]).await;
        assert_eq!(reply.header("x-request-id").len(), 32);
    }
}

#[tokio::test]
async fn methods_are_told_apart() {
    let app = boot(&[]).await;
    let caller = app.anonymous();

    let wrong = caller.raw(Method::DELETE, "/api/v1/echo", &[], "").await;
    assert_eq!(
        (wrong.status.as_u16(), wrong.code(), wrong.header("allow")),
        (405, "method_not_allowed", "POST")
    );
    let options = caller.raw(Method::OPTIONS, "/healthz", &[], "").await;
    assert_eq!((options.status.as_u16(), options.header("allow"), options.bytes.len()), (204, "GET,HEAD", 0));
    let head = caller.raw(Method::HEAD, "/healthz", &[], "").await;
    assert_eq!((head.status.as_u16(), head.bytes.len()), (200, 0));
    let head = caller.raw(Method::HEAD, "/nope", &[], "").await;
    assert_eq!((head.status.as_u16(), head.bytes.len()), (404, 0));
}

#[tokio::test]
async fn text_is_compressed_and_what_is_compressed_already_is_not() {
    let app = boot(&[]).await;
    let caller = app.anonymous();
    let ask = |kind: &'static str, accept: &'static str| {
        let caller = caller.clone();
        async move { caller.get_with(&format!("/api/v1/much/{kind}"), &[("accept-encoding", accept)]).await }
    };

    let brotli = ask("text_plain", "gzip, br").await;
    assert_eq!(brotli.header("content-encoding"), "br");
    assert!(brotli.bytes.len() < 1000 && brotli.header("vary").contains("accept-encoding"));
    assert_eq!(ask("text_plain", "gzip").await.header("content-encoding"), "gzip");
    for plain in ["identity", "zstd", "gzip;q=0, identity;q=0"] {
        let plain = ask("text_plain", plain).await;
        assert_eq!((plain.status.as_u16(), plain.header("content-encoding")), (200, ""));
        // A cache that keeps it must not give it to everybody.
        assert_eq!(plain.header("vary"), "accept-encoding");
    }
    for kind in ["image_png", "application_zip", "application_pdf", "video_mp4"] {
        assert_eq!(ask(kind, "gzip, br").await.header("content-encoding"), "", "{kind}");
    }
    let small = caller.get_with("/healthz", &[("accept-encoding", "gzip, br")]).await;
    assert_eq!(small.header("content-encoding"), "");
}

#[tokio::test]
async fn other_origins_are_let_in_only_by_name() {
    let closed = boot(&[]).await;
    let reply = closed.anonymous().get_with("/healthz", &[("origin", "https://app.example.com")]).await;
    assert_eq!(reply.header("access-control-allow-origin"), "");

    let open = boot(&[("http.cors_origins", "https://app.example.com")]).await;
    let caller = open.anonymous();
    let ours = caller.get_with("/healthz", &[("origin", "https://app.example.com")]).await;
    assert_eq!(ours.header("access-control-allow-origin"), "https://app.example.com");
    assert!(ours.header("access-control-expose-headers").contains("etag"));
    let theirs = caller.get_with("/healthz", &[("origin", "https://evil.example")]).await;
    assert_eq!(theirs.header("access-control-allow-origin"), "");
    let preflight = [
        ("origin", "https://app.example.com"),
        ("access-control-request-method", "PATCH"),
        ("access-control-request-headers", "authorization,if-match"),
    ];
    let reply = caller.raw(Method::OPTIONS, "/api/v1/echo", &preflight, "").await;
    assert!(reply.status.is_success() && reply.header("access-control-allow-methods").contains("PATCH"));
}

#[tokio::test]
async fn every_answer_carries_the_security_headers() {
    let app = boot(&[("http.public_url", "https://api.example.com")]).await;
    for path in ["/healthz", "/nope", "/api/v1/panic", "/docs"] {
        let reply = app.anonymous().get(path).await;
        assert_eq!(reply.header("x-content-type-options"), "nosniff", "{path}");
        assert_eq!(reply.header("referrer-policy"), "no-referrer", "{path}");
        assert!(reply.header("content-security-policy").contains("frame-ancestors 'none'"), "{path}");
        assert!(reply.header("strict-transport-security").contains("max-age=63072000"), "{path}");
        assert!(
            !reply.header("permissions-policy").is_empty() && reply.header("server").is_empty(),
            "{path}"
        );
    }
    let plain = boot(&[]).await;
    assert_eq!(plain.anonymous().get("/healthz").await.header("strict-transport-security"), "");
}

#[tokio::test]
async fn requests_are_counted_by_route_and_not_by_path() {
    let app = boot(&[]).await;
    let caller = app.anonymous();
    caller.get("/api/v1/much/text_plain").await;
    caller.get("/anything/at/all").await;
    caller.raw(Method::from_bytes(b"BREW").unwrap(), "/pot", &[], "").await;

    let metrics = caller.get("/metrics").await.text();
    assert!(
        metrics.contains(
            r#"http_request_duration_seconds_count{method="GET",route="/api/v1/much/{kind}",status="200"} 1"#
        ),
        "{metrics}"
    );
    assert!(metrics.contains(r#"route="(none)",status="404""#));
    assert!(
        metrics.contains(r#"method="other""#) && !metrics.contains("BREW") && !metrics.contains("/anything")
    );
    assert!(metrics.contains("db_query_duration_seconds_count") && metrics.contains("db_pool_connections"));
}

/// An app that keeps something.
struct Keeper(Cached<str, String>);

impl Keeper {
    const WORDS: Namespace<str, String> = Namespace::new("keeper.word", 1).jitter(0);
}

impl App for Keeper {
    fn name(&self) -> &'static str {
        "keeper"
    }
    fn migrations(&self) -> Vec<Migration> {
        Vec::new()
    }
    fn routes(&self) -> ApiRouter {
        let words = self.0.clone();
        let answer = move || {
            let words = words.clone();
            async move {
                let load = || async { Ok::<_, std::io::Error>(Some("kept".to_owned())) };
                let fetched = words.fetch("word", load).await.unwrap();
                (axum::Extension(fetched.status), fetched.value.unwrap().to_string())
            }
        };
        ApiRouter::new(TAG).page("/kept", axum::routing::get(answer), Access::Public)
    }
}

#[tokio::test]
async fn who_asks_is_told_what_the_cache_did_and_nobody_else() {
    let make = |platform: &Platform| Keeper(platform.cache.namespace(&Keeper::WORDS));
    let app = TestApp::boot(|backend| backend.with(make)).await;
    let ask = async |value: &str| {
        let reply = app.anonymous().get_with("/api/v1/kept", &[("cache-status", value)]).await;
        reply.header("cache-status").to_owned()
    };
    assert_eq!(ask("?1").await, "mainstay; fwd=uri-miss; ttl=60");
    app.advance(Duration::from_millis(500));
    assert_eq!(ask("?1").await, "mainstay; hit; ttl=59; detail=memory");
    assert_eq!(ask("?0").await, "");
    assert_eq!(app.anonymous().get("/api/v1/kept").await.header("cache-status"), "");
}
