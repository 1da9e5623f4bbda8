//! Five hundred sign-ins at once, half of them given up.

use std::time::{Duration, Instant};

use mainstay_e2e::{Client, Server, Site, json};
use reqwest::Method;
use tokio::task::JoinSet;

const STORM: u32 = 500;
/// What one hash takes, in KiB (argon2id, m = 19456).
const HASH_KIB: u64 = 19_456;
/// What five hundred connections, their requests and the allocator's slack may take besides.
const SLACK_KIB: u64 = 64 * 1024;

#[tokio::test(flavor = "multi_thread")]
async fn a_storm_of_sign_ins_takes_no_more_memory_than_the_pool_and_health_is_answered() {
    // Each guess from an address of its own, so that it is the hashing that is stormed.
    let site = Site::new()
        .set("MAINSTAY__HTTP__TRUSTED_PROXIES", "127.0.0.0/8")
        .set("MAINSTAY__HTTP__MAX_CONNECTIONS_PER_ADDRESS", "2000");
    let server = site.serve().await;
    let client = server.client().without_patience(Duration::from_secs(30));
    // The first hash warms the pool up.
    let _first = guess(&client, STORM).await;
    let before = resident_kib(&server);

    let mut storm = JoinSet::new();
    for number in 0..STORM {
        let hasty = number % 2 == 0;
        let limit = Duration::from_millis(if hasty { 10 } else { 30_000 });
        let client = client.without_patience(limit);
        storm.spawn(async move { guess(&client, number).await });
    }
    let (mut answers, mut health, mut peak) = (Vec::new(), Vec::new(), before);
    loop {
        let asked = Instant::now();
        assert_eq!(client.get("/healthz").await.status, 200);
        health.push(asked.elapsed());
        peak = peak.max(resident_kib(&server));
        while let Some(answer) = storm.try_join_next() {
            answers.push(answer.unwrap());
        }
        if storm.is_empty() {
            break;
        }
    }

    health.sort_unstable();
    let p99 = health[health.len() * 99 / 100];
    println!(
        "{} health checks, p99 {p99:?}; memory grew by {} KiB",
        health.len(),
        peak.saturating_sub(before)
    );
    let cores = std::thread::available_parallelism().map_or(2, |cores| cores.get() as u64);
    let grown = peak.saturating_sub(before);
    assert!(grown <= cores * HASH_KIB + SLACK_KIB, "memory grew by {grown} KiB");
    // Who waited was told the truth: wrong, or too busy now.
    let answered: Vec<u16> = answers.into_iter().flatten().collect();
    assert!(answered.iter().all(|status| matches!(status, 401 | 503)), "{answered:?}");
    assert!(answered.contains(&401), "nobody was let through");
    assert_eq!(guess(&client, STORM + 1).await, Some(401), "it is over");
}

/// A wrong password for a name that nobody has. `None` if it was given up.
async fn guess(client: &Client, number: u32) -> Option<u16> {
    let address = format!("10.0.{}.{}", number / 250, number % 250 + 1);
    let headers = [("content-type", "application/json"), ("x-forwarded-for", address.as_str())];
    let body = json!({"username": format!("nobody-{number}"), "password": "wrong password"});
    let reply = client.try_send(Method::POST, "/api/v1/auth/login", &headers, body.to_string()).await;
    reply.ok().map(|reply| reply.status.as_u16())
}

fn resident_kib(server: &Server) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.process.id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}
