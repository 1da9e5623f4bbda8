//! What every answer has in common.

use mainstay_e2e::{Backing, Client, PASSWORD, Reply, Server, Site, json, raw};
use reqwest::Method;
use std::io::Write as _;
use std::process::{Command, Stdio};

const LOGIN: &str = "/api/v1/auth/login";
const JSON: [(&str, &str); 1] = [("content-type", "application/json")];

/// Asserts that this is a whole problem of this status and code.
#[track_caller]
fn assert_problem(reply: &Reply, status: u16, code: &str) {
    let text = reply.text();
    assert_eq!((reply.status.as_u16(), reply.code()), (status, code), "{text}");
    assert_eq!(reply.header("content-type"), "application/problem+json");
    assert_eq!(reply.json["status"], status);
    assert_eq!(reply.json["request_id"], reply.header("x-request-id"));
    for field in ["type", "title", "detail", "instance", "request_id"] {
        assert!(
            reply.json[field].as_str().is_some_and(|text| !text.is_empty()),
            "{field} is missing in {text}"
        );
    }
    assert_headers(reply);
}

#[track_caller]
fn assert_headers(reply: &Reply) {
    for (name, value) in [
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "no-referrer"),
        ("permissions-policy", "camera=()"),
        ("cross-origin-opener-policy", "same-origin"),
        ("cross-origin-resource-policy", "same-origin"),
        ("content-security-policy", "default-src 'none'"),
        ("cache-control", ""),
        ("x-request-id", ""),
    ] {
        let given =
            reply.headers.get(name).unwrap_or_else(|| panic!("{name} is missing: {:?}", reply.headers));
        assert!(given.to_str().unwrap().starts_with(value), "{name}: {given:?}");
    }
}

async fn post(client: &Client, body: &str) -> Reply {
    client.send(Method::POST, LOGIN, &JSON, body).await
}

#[tokio::test]
async fn every_refusal_is_a_problem() {
    let site = Site::new();
    let server = site.serve().await;
    let client = server.client();

    for path in ["/nowhere", "/api/v1", "/api/v1/", "/api/v2/books", "/api/v1/books/", "/docs/nothing.js"] {
        assert_problem(&client.get(path).await, 404, "not_found");
    }
    for id in ["abc", "0", "-1", "1.5", "99999999999999999999", "%00", "%FF", "1%2F2"] {
        let reply = client.get(&format!("/api/v1/books/{id}")).await;
        assert_problem(&reply, 404, "not_found");
    }
    assert_problem(&client.get("/api/v1/books/999999999").await, 404, "book_not_found");

    let refused = client.send(Method::DELETE, LOGIN, &[], "").await;
    assert_problem(&refused, 405, "method_not_allowed");
    assert_eq!(refused.header("allow"), "POST");
    let refused = client.send(Method::POST, "/api/v1/books/1", &[], "").await;
    assert_problem(&refused, 405, "method_not_allowed");
    for method in ["GET", "HEAD", "PUT", "PATCH", "DELETE"] {
        assert!(refused.header("allow").contains(method), "{}", refused.header("allow"));
    }

    for kind in ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"] {
        let reply = client.send(Method::POST, LOGIN, &[("content-type", kind)], "{}").await;
        assert_problem(&reply, 415, "unsupported_media_type");
    }
    for body in ["", "{", "{\"email\":}", "nonsense", "{}{}", "{\"email\": \"\u{0}\"}"] {
        assert_problem(&post(&client, body).await, 400, "malformed_body");
    }
    for body in ["[]", "null", "\"text\"", "7"] {
        assert_problem(&post(&client, body).await, 422, "validation_failed");
    }
    let reply = post(&client, &"[".repeat(100_000)).await;
    assert_problem(&reply, 400, "malformed_body");

    let reply = client.get("/api/v1/auth/me").await;
    assert_problem(&reply, 401, "unauthenticated");
    assert!(reply.header("www-authenticate").starts_with("Bearer"), "{:?}", reply.headers);
    let reply = client.with_token("eyJhbGciOiJub25lIn0.e30.").get("/api/v1/auth/me").await;
    assert_problem(&reply, 401, "unauthenticated");
    assert!(reply.header("www-authenticate").starts_with("Bearer"), "{:?}", reply.headers);
}

#[tokio::test]
async fn every_fault_of_a_body_is_told_at_once() {
    let site = Site::new();
    let server = site.serve().await;
    let reply = post(&server.client(), r#"{"email": 7, "nonsense": true}"#).await;

    assert_problem(&reply, 422, "validation_failed");
    let mut fields = reply.fields();
    fields.sort_unstable();
    assert_eq!(fields, ["email", "nonsense", "password"], "{}", reply.text());

    let reply = server.client().get("/api/v1/books?page=0&page_size=101&sort=colour&shelf=3").await;
    assert_problem(&reply, 422, "validation_failed");
    let mut fields = reply.fields();
    fields.sort_unstable();
    assert_eq!(fields, ["page", "page_size", "shelf", "sort"], "{}", reply.text());
    assert!(reply.text().contains("published_date"), "the allowed sorts are named: {}", reply.text());
}

#[tokio::test]
async fn roles_decide_who_may_write() {
    let site = Site::new();
    let server = site.serve().await;
    let register = json!({"email": "uma@example.com", "password": PASSWORD});
    assert_eq!(server.client().post("/api/v1/auth/register", register).await.status, 201);
    let user = server.sign_in("uma@example.com", PASSWORD).await;
    for (method, path) in [
        (Method::POST, "/api/v1/books"),
        (Method::PUT, "/api/v1/books/1"),
        (Method::PATCH, "/api/v1/books/1"),
        (Method::DELETE, "/api/v1/books/1"),
    ] {
        let anonymous = server.client().json(method.clone(), path, &[], json!({})).await;
        assert_problem(&anonymous, 401, "unauthenticated");
        assert_problem(&user.json(method, path, &[], json!({})).await, 403, "forbidden");
    }
}

#[tokio::test]
async fn a_body_over_the_limit_is_refused() {
    let site = Site::new().set("MAINSTAY__HTTP__MAX_BODY_BYTES", "100000");
    let server = site.serve().await;

    let fits = post(&server.client(), &format!("{{\"email\":\"{}\"}}", "x".repeat(90_000))).await;
    assert_problem(&fits, 422, "validation_failed");
    let reply = post(&server.client(), &"x".repeat(100_001)).await;
    assert_problem(&reply, 413, "body_too_large");
    assert!(reply.json["detail"].as_str().unwrap().contains("100000"), "{}", reply.text());

    // The declared length alone is enough: nobody waits for a body that will be refused.
    let head = format!("POST {LOGIN} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n");
    let declared = format!("{head}Content-Length: 900000000\r\n\r\n");
    assert!(raw::exchange(server.address, declared.as_bytes()).await.starts_with("HTTP/1.1 413 "));
    // Without one it is counted.
    let chunk = format!("{:x}\r\n{}\r\n", 60_000, "x".repeat(60_000));
    let chunked =
        format!("{head}Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n{chunk}{chunk}0\r\n\r\n");
    assert!(raw::exchange(server.address, chunked.as_bytes()).await.starts_with("HTTP/1.1 413 "));
}

#[tokio::test]
async fn a_good_request_id_is_kept_and_a_bad_one_replaced() {
    let site = Site::new();
    let server = site.serve().await;
    let client = server.client();

    let longest = "x".repeat(128);
    for id in ["abc-123", "!~", longest.as_str()] {
        for path in ["/healthz", "/nowhere"] {
            let reply = client.get_with(path, &[("x-request-id", id)]).await;
            assert_eq!(reply.header("x-request-id"), id);
        }
        assert_problem(&client.get_with("/nowhere", &[("x-request-id", id)]).await, 404, "not_found");
    }
    let too_long = "x".repeat(129);
    for id in ["", "with space", "tab\there", too_long.as_str()] {
        let reply = client.get_with("/nowhere", &[("x-request-id", id)]).await;
        assert_problem(&reply, 404, "not_found");
        let made = reply.header("x-request-id");
        assert!(made != id && (8..=128).contains(&made.len()), "{made:?}");
    }
    let bytes = b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX-Request-Id: \xff\xfe\r\n\r\n";
    let answer = raw::exchange(server.address, bytes).await;
    assert!(
        answer.starts_with("HTTP/1.1 200 ") && answer.to_lowercase().contains("\r\nx-request-id: "),
        "{answer}"
    );
}

#[tokio::test]
async fn head_is_get_without_the_body() {
    let site = Site::new();
    let server = site.serve().await;
    let client = server.client();
    for path in ["/healthz", "/api/v1/books", "/openapi.json", "/nowhere", "/api/v1/auth/me", "/docs"] {
        let (get, head) = (client.get(path).await, client.send(Method::HEAD, path, &[], "").await);
        assert_eq!((head.status, head.bytes.len()), (get.status, 0), "{path}");
        assert_eq!(head.header("content-type"), get.header("content-type"), "{path}");
        assert_headers(&head);
    }
}

#[tokio::test]
async fn options_names_the_methods() {
    let site = Site::new();
    let server = site.serve().await;
    let reply = server.client().send(Method::OPTIONS, "/api/v1/books", &[], "").await;
    assert_eq!((reply.status.as_u16(), reply.bytes.len()), (204, 0));
    for method in ["GET", "HEAD", "POST"] {
        assert!(reply.header("allow").contains(method), "{}", reply.header("allow"));
    }
    assert_headers(&reply);
    let reply = server.client().send(Method::OPTIONS, "/nowhere", &[], "").await;
    assert_problem(&reply, 404, "not_found");
}

#[tokio::test]
async fn every_answer_carries_the_security_headers() {
    let site = Site::new();
    let server = site.serve().await;
    for path in
        ["/healthz", "/readyz", "/metrics", "/openapi.json", "/docs", "/docs/scalar.js", "/docs/errors"]
    {
        assert_headers(&server.client().get(path).await);
    }
    let reply = server.client().get("/healthz").await;
    assert_eq!(reply.header("strict-transport-security"), "", "there is no TLS here");
    assert_eq!(reply.header("cache-control"), "private, no-store");
}

#[tokio::test]
async fn large_answers_are_compressed_when_asked() {
    let site = Site::new();
    let server = site.serve().await;
    let client = server.client();
    let plain = client.get("/openapi.json").await;
    assert_eq!(plain.header("content-encoding"), "");

    for (accepted, used) in [("gzip", "gzip"), ("br", "br"), ("gzip, br", "br"), ("gzip;q=1, br;q=0", "gzip")]
    {
        let small = client.get_with("/openapi.json", &[("accept-encoding", accepted)]).await;
        assert_eq!(small.header("content-encoding"), used, "{accepted}");
        assert!(small.list("vary").contains("accept-encoding"), "{:?}", small.headers);
        assert!(small.bytes.len() * 3 < plain.bytes.len(), "{} of {}", small.bytes.len(), plain.bytes.len());
        if used == "gzip" {
            assert_eq!(unzip(&small.bytes), plain.bytes);
        }
    }
    for (path, accepted) in
        [("/healthz", "gzip"), ("/nowhere", "br"), ("/openapi.json", "identity"), ("/openapi.json", "zstd")]
    {
        let reply = client.get_with(path, &[("accept-encoding", accepted)]).await;
        assert_eq!(reply.header("content-encoding"), "", "{path} with {accepted}");
    }
}

fn unzip(bytes: &[u8]) -> Vec<u8> {
    let mut gzip =
        Command::new("gzip").arg("-dc").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let (mut input, bytes) = (gzip.stdin.take().unwrap(), bytes.to_vec());
    let writer = std::thread::spawn(move || input.write_all(&bytes).unwrap());
    let output = gzip.wait_with_output().unwrap();
    writer.join().unwrap();
    assert!(output.status.success());
    output.stdout
}

#[tokio::test]
async fn only_listed_origins_may_call_from_a_browser() {
    let site =
        Site::new().set("MAINSTAY__HTTP__CORS_ORIGINS", "https://app.example.com,https://b.example.com");
    let server = site.serve().await;
    let client = server.client();

    let preflight = async |origin: &str| {
        let headers = [
            ("origin", origin),
            ("access-control-request-method", "PATCH"),
            ("access-control-request-headers", "authorization,content-type,if-match"),
        ];
        client.send(Method::OPTIONS, "/api/v1/books/1", &headers, "").await
    };
    let reply = preflight("https://app.example.com").await;
    assert!(reply.status.is_success(), "{}", reply.status);
    assert_eq!(reply.header("access-control-allow-origin"), "https://app.example.com");
    assert!(reply.header("access-control-allow-methods").contains("PATCH"));
    assert!(reply.list("access-control-allow-headers").contains("if-match"));
    for path in ["/api/v1/books", "/nowhere", "/api/v1/auth/me"] {
        let reply = client.get_with(path, &[("origin", "https://b.example.com")]).await;
        assert_eq!(reply.header("access-control-allow-origin"), "https://b.example.com", "{path}");
        assert!(reply.list("access-control-expose-headers").contains("etag"));
        assert!(reply.list("vary").contains("origin"));
    }

    for origin in
        ["https://evil.example", "https://app.example.com.evil.example", "http://app.example.com", "null"]
    {
        for reply in [preflight(origin).await, client.get_with("/api/v1/books", &[("origin", origin)]).await]
        {
            assert_eq!(reply.header("access-control-allow-origin"), "", "{origin}");
        }
    }

    let site = Site::new();
    let server = site.serve().await;
    let reply = server.client().get_with("/api/v1/books", &[("origin", "https://app.example.com")]).await;
    assert_eq!(reply.header("access-control-allow-origin"), "", "none by default");
}

#[tokio::test]
async fn what_is_not_http_is_refused_and_the_connection_closed() {
    let site = Site::new();
    let server = site.serve().await;
    let mut large = b"GET / HTTP/1.1\r\nHost: x\r\nX-Large: ".to_vec();
    large.resize(64 * 1024, b'x');
    for (bytes, status) in [
        (b"nonsense\r\n\r\n".as_slice(), "400"),
        (b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: x\r\n\r\n", "400"),
        (b"GET / HTTP/1.1\r\nBad Header: x\r\n\r\n", "400"),
        (b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", "400"),
        (&large, "431"),
    ] {
        let answer = raw::exchange(server.address, bytes).await;
        let asked = String::from_utf8_lossy(&bytes[..bytes.len().min(60)]).into_owned();
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{asked:?} got {answer:?}");
    }
    assert_alive(&server).await;
}

#[tokio::test]
async fn who_asks_first_is_told_to_go_on() {
    let site = Site::new();
    let server = site.serve().await;
    let mut stream = raw::connect(server.address).await;
    let head = format!(
        "POST {LOGIN} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\
         Expect: 100-continue\r\nConnection: close\r\n\r\n"
    );
    raw::send(&mut stream, head.as_bytes()).await;
    let mut interim = [0; 25];
    tokio::io::AsyncReadExt::read_exact(&mut stream, &mut interim).await.unwrap();
    assert_eq!(&interim, b"HTTP/1.1 100 Continue\r\n\r\n");
    raw::send(&mut stream, b"{}").await;
    assert!(raw::read_to_end(&mut stream).await.starts_with("HTTP/1.1 422 "));
}

async fn assert_alive(server: &Server) {
    assert_eq!(server.client().get("/readyz").await.status, 200);
}

#[tokio::test]
async fn readiness_names_the_part_that_is_away() {
    // A SQLite file can't go away under the server that holds it open.
    if Backing::of_run() == Backing::Sqlite {
        return;
    }
    let site = Site::new();
    let server = site.serve().await;
    assert_eq!(
        server.client().get("/readyz").await.json,
        json!({"status": "ready", "parts": {"database": "ok", "limits": "ok"}})
    );

    site.drop_database();
    let reply = server.client().get("/readyz").await;
    assert_problem(&reply, 503, "unavailable");
    assert_ne!(reply.json["parts"]["database"], "ok", "{}", reply.text());
    assert_eq!(server.client().get("/healthz").await.status, 200);
    let reply = server.client().get("/api/v1/books").await;
    assert_problem(&reply, 503, "unavailable");
    assert!(reply.header("retry-after").parse::<u32>().is_ok(), "{:?}", reply.headers);
}
