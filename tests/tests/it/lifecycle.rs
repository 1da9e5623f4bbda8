//! Stopping and being stopped.

use std::time::Duration;

use mainstay_e2e::{PASSWORD, Signal, Site, isbn, json, raw};
use reqwest::Method;
use tokio::task::JoinSet;

const LIMIT: Duration = Duration::from_secs(20);
const BODY: &str = r#"{"email": "nobody@example.com", "password": "whatever it is"}"#;

/// The beginning of a sign-in, whose last bytes are to come.
fn begun() -> (String, &'static str) {
    let (first, rest) = BODY.split_at(20);
    let head = format!(
        "POST /api/v1/auth/login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        BODY.len()
    );
    (head + first, rest)
}

#[tokio::test]
async fn a_request_in_progress_is_finished_before_the_server_stops() {
    let site = Site::new().set("MAINSTAY__HTTP__DRAIN_DELAY_S", "2");
    let server = site.serve().await;
    let client = server.client();
    let mut slow = raw::connect(server.address).await;
    let (first, rest) = begun();
    raw::send(&mut slow, first.as_bytes()).await;
    assert_eq!(client.get("/readyz").await.status, 200);

    server.process.signal(Signal::Term);
    let draining = loop {
        let reply = client.get("/readyz").await;
        if reply.status != 200 {
            break reply;
        }
    };
    assert_eq!((draining.status.as_u16(), draining.code()), (503, "unavailable"));
    assert_eq!(draining.json["readiness"], "draining", "{}", draining.text());
    assert_eq!(client.get("/api/v1/books").await.status, 200, "until balancers notice, requests are served");
    assert_eq!(client.get("/healthz").await.status, 200, "it lives");

    // Past the delay nobody new is let in, but who is inside stays.
    tokio::time::sleep(Duration::from_millis(2500)).await;
    assert!(client.without_patience(LIMIT).try_send(Method::GET, "/healthz", &[], "").await.is_err());
    raw::send(&mut slow, rest.as_bytes()).await;
    let answer = raw::read_to_end(&mut slow).await;
    assert!(answer.starts_with("HTTP/1.1 401 ") && answer.contains("invalid_credentials"), "{answer}");
    let ended = server.process.finish(LIMIT).await;
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
}

#[tokio::test]
async fn a_second_signal_cuts_the_wait() {
    let site = Site::new()
        .set("MAINSTAY__HTTP__BODY_IDLE_TIMEOUT_S", "120")
        .set("MAINSTAY__HTTP__BODY_TIMEOUT_S", "600")
        .set("MAINSTAY__HTTP__REQUEST_TIMEOUT_S", "600")
        .set("MAINSTAY__HTTP__DRAIN_GRACE_S", "600");
    let mut server = site.serve().await;
    let mut slow = raw::connect(server.address).await;
    raw::send(&mut slow, begun().0.as_bytes()).await;
    assert_eq!(server.client().get("/readyz").await.status, 200);

    server.process.signal(Signal::Term);
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(server.process.is_running(), "it waits for the request in progress");
    server.process.signal(Signal::Term);
    let ended = server.process.finish(LIMIT).await;
    assert!(ended.code.is_some(), "a second signal must end it, not kill it");
}

#[tokio::test]
async fn an_idle_server_stops_at_once() {
    let site = Site::new();
    let server = site.serve().await;
    let client = server.client();
    // Its connection stays open, as browsers' do.
    assert_eq!(client.get("/readyz").await.status, 200);
    server.process.signal(Signal::Term);
    let ended = server.process.finish(LIMIT).await;
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
}

#[tokio::test]
async fn what_was_acknowledged_survives_a_kill() {
    let site = Site::new();
    let server = site.serve().await;
    site.create_admin();
    let admin = server.admin().await;
    let me = admin.get("/api/v1/auth/me").await;

    let mut writers = JoinSet::new();
    for writer in 0..4 {
        let admin = admin.clone();
        writers.spawn(async move {
            let mut kept = Vec::new();
            for number in 0.. {
                let isbn = isbn(writer * 1_000_000 + number);
                let book =
                    json!({"title": format!("Book {isbn}"), "author": "A. Writer", "isbn": isbn}).to_string();
                let headers = [("content-type", "application/json")];
                let Ok(reply) = admin.try_send(Method::POST, "/api/v1/books", &headers, book).await else {
                    break;
                };
                assert_eq!(reply.status, 201, "{}", reply.text());
                kept.push((reply.header("location").to_owned(), reply.json));
            }
            kept
        });
    }
    tokio::time::sleep(Duration::from_millis(1500)).await;
    server.process.signal(Signal::Kill);
    let kept: Vec<_> = writers.join_all().await.into_iter().flatten().collect();
    assert_eq!(server.process.finish(LIMIT).await.code, None);
    assert!(kept.len() >= 20, "too few writes to tell anything: {}", kept.len());

    let server = site.serve().await;
    let reader = server.client();
    for (place, book) in &kept {
        assert_eq!(&reader.get(place).await.json, book);
    }
    // At most the writes that were under way are there besides.
    let total = reader.get("/api/v1/books?page_size=1").await.json["total"].as_u64().unwrap();
    let acknowledged = u64::try_from(kept.len()).unwrap();
    assert!((acknowledged..=acknowledged + 4).contains(&total), "{total} books, {acknowledged} acknowledged");
    // Accounts and signing keys are there, too.
    assert_eq!(
        server.sign_in("admin@example.com", PASSWORD).await.get("/api/v1/auth/me").await.json,
        me.json
    );
}
