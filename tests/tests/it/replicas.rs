//! Read replicas, seen from outside. What they guarantee is tested where they are built (`platform/db`).

use std::process::Command;
use std::time::{Duration, Instant};

use mainstay_e2e::{Backing, Client, PASSWORD, Server, Site};
use reqwest::Method;
use serde_json::{Value, json};

#[test]
fn replicas_beside_sqlite_are_a_fault_of_the_configuration_that_tells_no_password() {
    let site = Site::bare().set("DATABASE_REPLICA_URLS", "postgres://user:hidden@db-2/mainstay");
    let told = site.run(&["config", "check"]).failure();
    assert!(told.contains("database.replica_urls is set, but only PostgreSQL has replicas"), "{told}");
    assert!(!told.contains("hidden"), "{told}");
    let shown = site.run(&["config", "show"]);
    assert!(!format!("{shown:?}").contains("hidden"), "{shown:?}");
}

/// Runs the program that starts PostgreSQLs with standbys.
fn replication(arguments: &[&str]) -> String {
    let program = std::env::var("MAINSTAY_TEST_REPLICATION").unwrap();
    let output = Command::new(program).args(arguments).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test]
async fn a_server_reads_from_its_replica_says_when_it_is_out_and_serves_on() {
    if Backing::of_run() == Backing::Sqlite {
        return;
    }
    let name = format!("e{}", std::process::id());
    let printed = replication(&["up", &name, "1"]);
    let [primary, standby] = printed.lines().collect::<Vec<_>>()[..] else { panic!("{printed}") };
    let site = Site::bare().set("DATABASE_URL", primary).set("DATABASE_REPLICA_URLS", standby);
    let _ = site.run(&["migrate", "up"]).success();
    let server = site.serve().await;
    let client = server.client();
    let readiness = async |wanted: &str| {
        let began = Instant::now();
        loop {
            let reply = client.get("/readyz").await;
            assert_eq!(reply.status, 200, "without replicas it is as ready as ever: {}", reply.text());
            if reply.json["parts"]["replicas"] == json!(wanted) {
                return;
            }
            assert!(began.elapsed() < Duration::from_secs(30), "{}", reply.text());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    readiness("ok").await;
    let began = Instant::now();
    loop {
        assert_eq!(client.get("/api/v1/books").await.status, 200);
        let metrics = client.get("/metrics").await.text();
        if metrics.contains(r#"db_reads_total{target="replica",reason="fresh"}"#)
            && !metrics.contains(r#"db_reads_total{target="replica",reason="fresh"} 0"#)
        {
            break;
        }
        assert!(began.elapsed() < Duration::from_secs(30), "{metrics}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let told = site.run(&["doctor"]).stdout;
    assert!(told.contains("replicas") && told.contains("has all within"), "{told}");

    replication(&["stop", &name, "standby1"]);
    for _ in 0..20 {
        assert_eq!(client.get("/api/v1/books").await.status, 200);
    }
    readiness("out of use: replica 1 is down").await;
    let told = site.run(&["doctor"]).stdout;
    assert!(told.contains("BAD") && told.contains("does not answer"), "{told}");
    replication(&["start", &name, "standby1"]);
    readiness("ok").await;
    drop(server);
    replication(&["down", &name]);
}

/// A new account, signed in, and its id.
async fn person(server: &Server, email: &str, invitation: Option<&Value>) -> (Client, String) {
    let body = json!({"email": email, "password": PASSWORD, "invitation_token": invitation});
    let made = server.client().post("/api/v1/auth/register", body).await;
    assert_eq!(made.status, 201, "{}", made.text());
    (server.sign_in(email, PASSWORD).await, made.json["id"].as_str().unwrap().to_owned())
}

/// The ids of what a list shows.
async fn listed(client: &Client, path: &str) -> Vec<Value> {
    let reply = client.get(path).await;
    assert_eq!(reply.status, 200, "{path}: {}", reply.text());
    reply.json["items"].as_array().unwrap().iter().map(|item| item["id"].clone()).collect()
}

/// How many reads a replica has answered.
async fn replica_reads(client: &Client) -> f64 {
    let metrics = client.get("/metrics").await.text();
    let reads = metrics.lines().filter(|line| line.starts_with(r#"db_reads_total{target="replica""#));
    reads.map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()).sum()
}

#[tokio::test]
async fn the_websites_that_one_has_are_never_those_of_a_replica_that_lags() {
    if Backing::of_run() == Backing::Sqlite {
        return;
    }
    let name = format!("w{}", std::process::id());
    // Never caught up, and never so late that it is left.
    let printed = replication(&["up", &name, "1", "250ms"]);
    let [primary, standby] = printed.lines().collect::<Vec<_>>()[..] else { panic!("{printed}") };
    let site = Site::bare()
        .set("DATABASE_URL", primary)
        .set("DATABASE_REPLICA_URLS", standby)
        .set("MAINSTAY__DATABASE__REPLICA_MAX_LAG_MS", "900");
    let _ = site.run(&["migrate", "up"]).success();
    let server = site.serve().await;
    let (ada, _) = person(&server, "ada@example.com", None).await;
    let organization = ada.post("/api/v1/organizations", json!({"name": "Harbor"})).await;
    let place = format!("/api/v1/organizations/{}", organization.json["id"].as_str().unwrap());

    let mut guests = Vec::new();
    for number in 0..3 {
        let new = json!({"name": "Ferries", "url": format!("https://ferries-{number}.example/")});
        let made = ada.post(&format!("{place}/websites"), new).await;
        assert_eq!(made.status, 201, "{}", made.text());
        let id = made.json["id"].clone();
        let website = format!("/api/v1/websites/{}", id.as_str().unwrap());
        for list in ["/api/v1/websites", &format!("{place}/websites")] {
            assert!(listed(&ada, list).await.contains(&id), "{list}");
        }
        assert_eq!(ada.get(&website).await.status, 200);

        let email = format!("guest-{number}@example.com");
        let invitation = json!({"email": email, "role": "user"});
        let invited = ada.post(&format!("{website}/invitations"), invitation).await;
        let (guest, user_id) = person(&server, &email, Some(&invited.json["token"])).await;
        assert_eq!(listed(&guest, "/api/v1/websites").await, [id]);
        guests.push((guest, user_id, website));
    }
    for (guest, user_id, website) in guests {
        // Who wrote a moment ago reads nothing from a replica, which would prove nothing.
        let began = Instant::now();
        loop {
            let before = replica_reads(&guest).await;
            assert_eq!(guest.get("/api/v1/books").await.status, 200);
            if replica_reads(&guest).await > before {
                break;
            }
            assert!(began.elapsed() < Duration::from_secs(30), "nothing is read from the replica");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let member = format!("{website}/members/{user_id}");
        assert_eq!(ada.send(Method::DELETE, &member, &[], "").await.status, 204);
        let left = listed(&guest, "/api/v1/websites").await;
        assert!(left.is_empty(), "who was turned out sees it no more: {left:?}");
        assert_eq!(guest.get(&website).await.status, 404);
    }
    drop(server);
    replication(&["down", &name]);
}
