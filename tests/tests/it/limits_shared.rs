//! Rate limits of whole servers: three nodes and one Redis, stormed, and Redis taken away.

use std::time::{Duration, Instant};

use mainstay_e2e::checker::{Call, Findings, Outcome, Promise, replay};
use mainstay_e2e::{Client, Redis, Reply, Server, Site, json};
use tokio::task::JoinSet;

const CLIENTS: usize = 64;

async fn three_nodes(site: &Site) -> Vec<Server> {
    let mut nodes = Vec::new();
    for _ in 0..3 {
        nodes.push(site.serve().await);
    }
    nodes
}

fn limits_part(reply: &Reply) -> &str {
    reply.json["parts"]["limits"].as_str().unwrap_or_default()
}

/// Each algorithm has an operation of its own, so that one storm tests all three.
const STORMED: [(&str, &str, Promise); 3] = [
    ("/api/v1/books/1", "exact", Promise { limit: 100, window_us: 2_000_000, grain_us: 0 }),
    // A part is a 120th of the window: what a client may miss is less than a hundredth.
    ("/api/v1/books", "sliding", Promise { limit: 300, window_us: 2_000_000, grain_us: 2_000_000 / 120 }),
    ("/api/v1/books/search?q=x", "gcra", Promise { limit: 200, window_us: 2_000_000, grain_us: 0 }),
];

#[tokio::test(flavor = "multi_thread")]
async fn three_nodes_admit_never_more_than_the_limit_together_and_refuse_nobody_without_cause() {
    let redis = Redis::start();
    let site = Site::new().set("REDIS_URL", &redis.url()).with_own_limits();
    site.write(
        "mainstay.toml",
        "[limits]\nanonymous = \"off\"\nfail = \"closed\"\n\
         [limits.policies.exact]\nlimit = \"100/2s exact\"\nroutes = [\"get_book\"]\n\
         [limits.policies.sliding]\nlimit = \"300/2s\"\nroutes = [\"list_books\"]\n\
         [limits.policies.gcra]\nlimit = \"200/2s gcra burst=50\"\nroutes = [\"search_books\"]\n",
    );
    let nodes = three_nodes(&site).await;
    let began = Instant::now();
    let until = began + Duration::from_millis(6200);
    let mut clients = JoinSet::new();
    for number in 0..CLIENTS {
        let client = nodes[number % nodes.len()].client();
        clients.spawn(async move { storm(&client, number, began, until).await });
    }
    let logs = clients.join_all().await;
    for (index, (path, name, promise)) in STORMED.into_iter().enumerate() {
        let log: Vec<Call> = logs.iter().flat_map(|log| log[index].iter().copied()).collect();
        let found = replay(promise, &log);
        println!("{path}: {found:?} of {} calls", log.len());
        let Findings { admitted, most_in_a_window, refused_without_cause, .. } = found;
        assert!(most_in_a_window <= promise.limit, "{name}: {found:?}");
        assert!(admitted >= promise.limit, "{name} was not stormed: {found:?}");
        // GCRA paces: it refuses where the window has room.
        assert!(name == "gcra" || refused_without_cause == 0, "{name}: {found:?}");
    }
}

/// Asks for all three in turns; gives the log of each.
async fn storm(client: &Client, number: usize, began: Instant, until: Instant) -> [Vec<Call>; 3] {
    let now_us = || i64::try_from(began.elapsed().as_micros()).unwrap();
    let mut logs = [const { Vec::new() }; 3];
    let mut turn = number;
    while Instant::now() < until {
        let index = turn % STORMED.len();
        turn += 1;
        let asked_us = now_us();
        let reply = client.get(STORMED[index].0).await;
        let answered_us = now_us();
        let outcome = match reply.status.as_u16() {
            200 | 404 => Outcome::Admitted,
            429 => Outcome::Refused,
            // Closed for a moment: Redis did not answer in time on a busy machine.
            503 => Outcome::Unknown,
            other => panic!("{other}: {}", reply.text()),
        };
        logs[index].push(Call { asked_us, answered_us, outcome });
    }
    logs
}

/// Waits for what the state of the limits must become. Five seconds are the promise; on a machine with more
/// to do it may take longer.
async fn until_limits(nodes: &[Server], wanted: fn(&str) -> bool) -> Duration {
    let began = Instant::now();
    for node in nodes {
        loop {
            let ready = node.client().get("/readyz").await;
            // The server goes on without it.
            assert_eq!((ready.status.as_u16(), &ready.json["status"]), (200, &json!("ready")));
            if wanted(limits_part(&ready)) {
                break;
            }
            assert!(began.elapsed() < Duration::from_secs(30), "{}", ready.text());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    began.elapsed()
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_hangs_dies_and_returns_and_no_request_fails_but_guessing_stays_limited() {
    const LIMIT: usize = 6;
    let mut redis = Redis::start();
    let site = Site::new()
        .set("REDIS_URL", &redis.url())
        .set("MAINSTAY__LIMITS__AUTH", "6/h")
        .set("MAINSTAY__LIMITS__NODES", "3")
        // What the auth group is never, whatever this says.
        .set("MAINSTAY__LIMITS__FAIL", "open");
    let nodes = three_nodes(&site).await;
    until_limits(&nodes, |state| state == "ok").await;

    let (stop, mut readers) = (std::sync::Arc::new(tokio::sync::Notify::new()), JoinSet::new());
    for node in &nodes {
        let (client, stop) = (node.client(), stop.clone());
        readers.spawn(async move {
            let (stopped, mut count) = (stop.notified(), 0_usize);
            tokio::pin!(stopped);
            loop {
                tokio::select! {
                    () = &mut stopped => return count,
                    reply = client.get("/api/v1/books") => {
                        assert_eq!(reply.status, 200, "{}", reply.text());
                        count += 1;
                    }
                }
            }
        });
    }

    let mut admitted = guesses(&nodes).await;
    assert!(admitted >= 1, "nobody is let through");
    let away = |state: &str| state.starts_with("Redis is away");
    redis.freeze();
    // Reads make it noticed.
    until_limits(&nodes, away).await;
    admitted += guesses(&nodes).await;
    redis.thaw();
    println!("back after a pause: {:?}", until_limits(&nodes, |state| state == "ok").await);
    admitted += guesses(&nodes).await;
    // What Redis admitted, and each node its share, however often it comes and goes.
    assert!(admitted <= 2 * LIMIT, "{admitted} guesses");

    redis.kill();
    until_limits(&nodes, away).await;
    admitted += guesses(&nodes).await;
    assert!(admitted <= 2 * LIMIT, "{admitted} guesses: nodes remember what they admitted alone");
    assert!(redis.launch());
    println!("back after a restart: {:?}", until_limits(&nodes, |state| state == "ok").await);
    admitted += guesses(&nodes).await;
    // It came back without what it knew.
    assert!(admitted <= 3 * LIMIT, "{admitted} guesses");

    stop.notify_waiters();
    let reads: usize = readers.join_all().await.into_iter().sum();
    assert!(reads > 100, "{reads}");
}

/// Guesses at every node until it refuses; how many were let through.
async fn guesses(nodes: &[Server]) -> usize {
    let mut admitted = 0;
    for node in nodes {
        let client = node.client();
        for number in 0.. {
            let body = json!({"username": format!("nobody-{number}"), "password": "wrong password"});
            let reply = client.post("/api/v1/auth/login", body).await;
            match (reply.status.as_u16(), reply.code()) {
                (401, _) => admitted += 1,
                (429, "rate_limited") => {
                    assert!(!reply.header("retry-after").is_empty());
                    break;
                }
                _ => panic!("{}: {}", reply.status, reply.text()),
            }
            assert!(number < 100, "guessing is open");
        }
    }
    admitted
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_starts_without_redis_and_finds_it_later() {
    let mut redis = Redis::start();
    redis.kill();
    let site = Site::new().set("REDIS_URL", &redis.url());
    let server = site.serve().await;
    let ready = server.client().get("/readyz").await;
    assert_eq!(limits_part(&ready), "Redis is away");
    assert_eq!(server.client().get("/api/v1/books").await.status, 200);
    assert!(redis.launch());
    until_limits(&[server], |state| state == "ok").await;
}

#[test]
fn the_doctor_looks_at_the_store_of_the_limits() {
    let redis = Redis::start();
    let site = Site::new().set("REDIS_URL", &redis.url());
    let line = |site: &Site| {
        let said = site.run(&["doctor"]).stdout;
        said.lines().find(|line| line.contains("limits ")).unwrap_or_default().to_owned()
    };
    assert!(line(&Site::new()).contains("this process's memory"));
    assert!(line(&site).contains("limits.nodes is 1"), "{}", line(&site));
    let site = site.set("MAINSTAY__LIMITS__NODES", "3");
    assert!(line(&site).starts_with("ok") && line(&site).contains("by 3 nodes"), "{}", line(&site));
    let _ = redis.say("CONFIG SET maxmemory-policy allkeys-lru").unwrap();
    assert!(line(&site).starts_with("note"), "{}", line(&site));
    let _ = redis.say("CONFIG SET maxmemory 100mb").unwrap();
    assert!(line(&site).starts_with("BAD") && line(&site).contains("noeviction"), "{}", line(&site));
    drop(redis);
    assert!(line(&site).starts_with("BAD") && line(&site).contains("does not answer"), "{}", line(&site));
}
