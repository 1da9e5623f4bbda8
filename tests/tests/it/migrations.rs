//! `mainstay migrate`, and what `serve` does with a database that is behind.

use mainstay_e2e::{Backing, Server, Site};

/// Version and state of each migration.
fn status(site: &Site) -> Vec<(String, String)> {
    let shown = site.run(&["migrate", "status"]).success();
    let words = shown.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    words.map(|words| (words[0].to_owned(), words[2].to_owned())).collect()
}

/// How many migrations are applied; they must be the first ones.
fn applied(site: &Site) -> usize {
    let states: Vec<_> = status(site).into_iter().map(|(_, state)| state == "applied").collect();
    assert!(states.is_sorted_by(|a, b| a >= b), "{states:?}");
    states.into_iter().filter(|applied| *applied).count()
}

/// Direction and version of everything that ran.
fn history(site: &Site) -> Vec<(String, String)> {
    let shown = site.run(&["migrate", "history"]).success();
    let words = shown.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    words.map(|words| (words[1].to_owned(), words[2].to_owned())).collect()
}

#[tokio::test]
async fn the_schema_goes_forward_and_back() {
    let site = Site::new();
    let versions: Vec<String> = status(&site).into_iter().map(|(version, _)| version).collect();
    let (all, first) = (versions.len(), versions[0].as_str());
    assert!(versions.is_sorted() && all >= 2, "{versions:?}");
    assert_eq!((applied(&site), history(&site).len()), (0, 0));

    let run = |arguments: &[&str]| site.run(&[&["migrate"], arguments].concat()).success();
    run(&["up"]);
    assert_eq!(applied(&site), all);
    assert!(run(&["up"]).contains("Nothing to do"));
    run(&["down"]);
    assert_eq!(applied(&site), all - 1);
    run(&["up"]);
    run(&["down", "--steps", &all.to_string()]);
    assert_eq!(applied(&site), 0);
    run(&["up", "--to", first]);
    assert_eq!(applied(&site), 1);
    run(&["up"]);
    run(&["down", "--to", first]);
    assert_eq!(applied(&site), 1);
    run(&["down", "--to", "0"]);
    assert_eq!(applied(&site), 0);
    run(&["up"]);
    assert_eq!(applied(&site), all);

    let history = history(&site);
    let count = |wanted: &str| history.iter().filter(|(direction, _)| direction == wanted).count();
    assert_eq!(count("up") - count("down"), all);
    for command in [["up", "--to", "123"], ["down", "--to", "123"]] {
        let told = site.run(&[&["migrate"], &command[..]].concat()).failure();
        assert!(told.contains("123"), "{told}");
    }
    let server = site.serve().await;
    assert_eq!(server.client().get("/api/v1/books").await.status, 200);
}

#[tokio::test]
async fn serve_on_a_database_that_is_behind() {
    let site = Site::new();
    if Backing::of_run() == Backing::Postgres {
        let told = site.run(&["serve", "--port", "0"]).failure();
        assert!(told.contains("mainstay migrate up"), "{told}");
        assert_eq!(applied(&site), 0);
    } else {
        let server = Server::started(site.start(&["serve", "--port", "0"], "")).await;
        assert_eq!(server.client().get("/api/v1/books").await.status, 200);
    }
}

#[test]
fn serve_does_not_migrate_when_told_not_to() {
    let site = Site::new().set("MAINSTAY__DATABASE__MIGRATE_ON_START", "never");
    let told = site.run(&["serve", "--port", "0"]).failure();
    assert!(told.contains("mainstay migrate up"), "{told}");
    assert_eq!(applied(&site), 0);
}

#[tokio::test]
async fn of_four_servers_that_start_together_each_migration_runs_once() {
    let site = Site::new()
        .set("MAINSTAY__DATABASE__MIGRATE_ON_START", "always")
        // Nodes behind one balancer have one address, whatever ports they listen on.
        .set("MAINSTAY__HTTP__PUBLIC_URL", "http://nodes.example.com");
    let started: Vec<_> = (0..4).map(|_| site.start(&["serve", "--port", "0"], "")).collect();
    let mut servers = Vec::new();
    for process in started {
        servers.push(Server::started(process).await);
    }

    let expected: Vec<_> = status(&site).into_iter().map(|(version, _)| ("up".to_owned(), version)).collect();
    assert_eq!(history(&site), expected);

    // They share one set of signing keys: what one issues the others accept.
    site.create_admin();
    let token = {
        let body = mainstay_e2e::json!({"email": "admin@example.com", "password": mainstay_e2e::PASSWORD});
        let reply = servers[0].client().post("/api/v1/auth/login", body).await;
        reply.json["access_token"].as_str().unwrap().to_owned()
    };
    for server in &servers {
        let me = server.client().with_token(&token).get("/api/v1/auth/me").await;
        assert_eq!(me.status, 200, "{}", me.text());
    }
}
