//! A thousand clients that behave badly, and a few that behave well.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use mainstay_e2e::{Client, Process, Server, Site, isbn, json, with_open_files};
use tokio::task::JoinSet;

/// When the last of the crowd must be gone: 15 s, and slack for a slow machine.
const GONE_WITHIN: Duration = Duration::from_secs(25);

/// How long a good client waits for an answer.
const PATIENCE: Duration = Duration::from_secs(5);

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_connections_of_every_bad_kind_disturb_nobody_and_go() {
    withstand(&["silent=250", "head=250", "body=250", "deaf=250"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_dripping_bodies_disturb_nobody_and_go() {
    withstand(&["body=1000"]).await;
}

async fn withstand(kinds: &[&str]) {
    let site = Site::new();
    let server = site.serve().await;
    site.create_admin();
    let good = server.admin().await.without_patience(PATIENCE);
    let before = server.process.sockets();

    let address = server.address.to_string();
    let arguments = [&[address.as_str()], kinds].concat();
    let command = with_open_files(Path::new(env!("CARGO_BIN_EXE_crowd")), &arguments);
    let mut crowd = Process::start(command, "");
    let start = Instant::now();
    while !crowd.stdout().contains("open") {
        assert!(crowd.is_running() && start.elapsed() < GONE_WITHIN, "the crowd can't connect");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    // Connected is one thing, accepted another. The server may turn some away, if that is its defence.
    while server.process.sockets() < before + 500 {
        assert!(start.elapsed() < PATIENCE, "only {} of the crowd are in", server.process.sockets() - before);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }

    let over = Arc::new(AtomicBool::new(false));
    let mut callers = JoinSet::new();
    for number in 0..4 {
        callers.spawn(call(good.clone(), number, over.clone()));
    }
    // Those who behave well hold a few sockets themselves.
    while server.process.sockets() > before + 16 {
        assert!(
            start.elapsed() < GONE_WITHIN,
            "{} sockets are left\n{}",
            server.process.sockets() - before,
            crowd.stdout()
        );
        assert!(crowd.is_running(), "the crowd left by itself");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    println!("the last connection was gone after {:?}", start.elapsed());
    over.store(true, Ordering::Relaxed);
    let answers: usize = callers.join_all().await.into_iter().sum();
    assert!(answers >= 100, "only {answers} good requests were made");
    assert_idle(&server).await;
}

/// Asks for this and that, one after the other; every answer must be good.
async fn call(client: Client, number: u32, over: Arc<AtomicBool>) -> usize {
    let mut answers = 0;
    while !over.load(Ordering::Relaxed) {
        let isbn = isbn(number * 1_000_000 + u32::try_from(answers).unwrap());
        let book = json!({"title": "Patience", "author": "A. Caller", "isbn": isbn});
        let made = client.post("/api/v1/books", book).await;
        assert_eq!(made.status, 201, "{}", made.text());
        let place = made.header("location").to_owned();
        for path in
            [&place, "/readyz", "/api/v1/books?page_size=5", "/api/v1/books/search?q=patience", "/docs"]
        {
            let reply = client.get(path).await;
            assert_eq!(reply.status, 200, "{path}: {}", reply.text());
        }
        answers += 6;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    answers
}

async fn assert_idle(server: &Server) {
    let metrics = server.client().get("/metrics").await.text();
    let in_flight = metrics.lines().find_map(|line| line.strip_prefix("http_requests_in_flight ")).unwrap();
    assert_eq!(in_flight, "1", "requests of the crowd are still counted");
}
