//! Read replicas, seen from outside. What they guarantee is tested where they are built (`platform/db`).

use std::process::Command;
use std::time::{Duration, Instant};

use mainstay_e2e::{Backing, Site};
use serde_json::json;

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
