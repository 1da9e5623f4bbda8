//! Commands and configuration.

use mainstay_e2e::{Backing, Site, Value};

/// A URL that nobody listens at, and a password that nobody may see.
const NOWHERE: &str = "postgres://mainstay:hunter2hunter2@127.0.0.1:1/nowhere";
const SECRET: &str = "f2bb3c3cbd1d0f8ae3c9b5a4f0d7e619";

/// A site whose database does not answer.
fn away() -> Site {
    Site::bare().set("DATABASE_URL", NOWHERE).set("MAINSTAY__DATABASE__ACQUIRE_TIMEOUT_S", "1")
}

fn production() -> Site {
    Site::new()
        .set("MAINSTAY__ENVIRONMENT", "production")
        .set("MAINSTAY__HTTP__PUBLIC_URL", "https://library.example.org")
}

#[test]
fn without_a_command_it_lists_them() {
    let shown = Site::bare().run(&[]);

    let text = shown.stdout + &shown.stderr;
    for word in ["Usage: mainstay", "serve", "migrate", "config", "doctor", "users", "library", "catalog"] {
        assert!(text.contains(word), "{word} is missing in\n{text}");
    }
}

#[test]
fn every_fault_of_the_configuration_is_told_at_once_with_the_nearest_right_key() {
    let site = Site::bare().set("MAINSTAY__HTTP__PROT", "1").set("MAINSTAY__DATABASE__MAX_CONNECTIONS", "0");
    site.write(
        "mainstay.toml",
        "[http]\ncors_orgins = []\nkeep_alive_s = \"soon\"\n\n[databse]\nurl = \"x\"\n",
    );

    for command in [&["config", "check"][..], &["serve"], &["doctor"], &["migrate", "status"]] {
        let told = site.run(command).failure();
        for part in [
            "http.prot is not a known setting (environment MAINSTAY__HTTP__PROT); did you mean http.port?",
            "http.cors_orgins is not a known setting (mainstay.toml); did you mean http.cors_origins?",
            "databse.url is not a known setting (mainstay.toml); did you mean database.url?",
            "http.keep_alive_s must be a whole number",
            "database.max_connections must be from 2 to 500",
        ] {
            assert!(told.contains(part), "{command:?} does not say: {part}\n{told}");
        }
    }
}

#[test]
fn a_good_configuration_passes() {
    assert!(Site::new().run(&["config", "check"]).success().contains("good"));
}

#[test]
fn later_layers_win() {
    let site = Site::bare();
    let port = |site: &Site| -> String {
        let shown = site.run(&["config", "show"]).success();
        shown.lines().find_map(|line| line.strip_prefix("port = ")).unwrap().to_owned()
    };
    assert_eq!(port(&site), "8080");
    site.write("mainstay.toml", "[http]\nport = 9001\n");
    assert_eq!(port(&site), "9001");
    site.write(".env", "MAINSTAY__HTTP__PORT=9002\n");
    assert_eq!(port(&site), "9002");
    let site = site.set("MAINSTAY__HTTP__PORT", "9003");
    assert_eq!(port(&site), "9003", "what is set already wins over .env");

    site.write("other.toml", "[http]\nmax_connections = 77\n");
    let shown = site.run(&["--config", "other.toml", "config", "show"]).success();
    assert!(shown.contains("max_connections = 77"), "{shown}");
    let told = site.run(&["--config", "missing.toml", "config", "show"]).failure();
    assert!(told.contains("missing.toml"), "{told}");
}

#[test]
fn the_env_file_of_a_folder_above_is_somebody_elses() {
    let site = Site::bare();
    site.write(".env", "MAINSTAY__HTTP__PORT=9002\n");
    let below = site.below("below");
    let shown = below.run(&["config", "show"]).success();
    assert!(shown.contains("port = 8080"), "{shown}");
}

#[test]
fn secrets_are_never_shown() {
    let site = away().set("SECRET_KEY", SECRET);
    for command in
        [&["config", "show"][..], &["config", "check"], &["doctor"], &["migrate", "up"], &["serve"]]
    {
        let ended = site.run(command);
        let text = ended.stdout + &ended.stderr;
        assert!(!text.contains("hunter2"), "{command:?} shows the database's password:\n{text}");
        assert!(!text.contains(SECRET), "{command:?} shows the secret key:\n{text}");
    }
}

#[test]
fn what_only_describes_needs_no_configuration_and_leaves_nothing_behind() {
    let site = Site::bare();

    let reference = site.run(&["config", "reference"]).success();
    assert!(reference.contains("`http.port`") && reference.contains("`DATABASE_URL`"), "{reference}");
    let routes = site.run(&["routes"]).success();
    assert!(routes.contains("/api/v1/books/{id}") && routes.contains("/readyz"), "{routes}");
    let document: Value = serde_json::from_str(&site.run(&["openapi"]).success()).unwrap();
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1"));
    let errors = site.run(&["errors"]).success();
    assert!(errors.contains("`isbn_taken`") && errors.contains("`validation_failed`"), "{errors}");

    assert_eq!(std::fs::read_dir(site.folder()).unwrap().count(), 0);
}

#[test]
fn what_only_describes_works_beside_a_broken_configuration() {
    let site = Site::bare().set("MAINSTAY__NOPE", "1").set("DATABASE_URL", NOWHERE);
    site.write("mainstay.toml", "this is not TOML");
    for command in [&["config", "reference"][..], &["routes"], &["openapi"], &["errors"]] {
        let _ = site.run(command).success();
    }
}

#[test]
fn production_starts_only_with_a_secret_of_its_own_behind_tls() {
    let good = || production().set("SECRET_KEY", SECRET);
    let _ = good().run(&["config", "check"]).success();

    for (site, word) in [
        (production(), "secret_key is missing"),
        (production().set("SECRET_KEY", ""), "secret_key is missing"),
        (production().set("SECRET_KEY", "too-short"), "secret_key has fewer than 32 characters"),
        (production().set("SECRET_KEY", &"a".repeat(40)), "secret_key is an example's"),
        (
            production().set("SECRET_KEY", "change-me-to-something-long-and-random"),
            "secret_key is an example's",
        ),
        (good().set("MAINSTAY__HTTP__PUBLIC_URL", "http://library.example.org"), "http.public_url"),
        (good().set("MAINSTAY__HTTP__PUBLIC_URL", ""), "http.public_url"),
    ] {
        for command in [&["config", "check"][..], &["serve", "--port", "0"]] {
            let told = site.run(command).failure();
            assert!(told.contains(word), "{command:?} does not say {word}:\n{told}");
        }
    }
}

#[test]
fn production_refuses_demo_data() {
    let told = production().set("SECRET_KEY", SECRET).run(&["serve", "--demo", "--port", "0"]).failure();
    assert!(told.contains("--demo"), "{told}");
}

#[test]
fn a_secret_can_come_from_a_file() {
    let site = production().set("SECRET_KEY_FILE", "key");
    let told = site.run(&["config", "check"]).failure();
    assert!(told.contains("\"key\""), "{told}");

    site.write("key", &format!("{SECRET}\n"));
    let _ = site.run(&["config", "check"]).success();
}

#[test]
fn doctor_tells_what_is_wrong_by_its_exit_code() {
    let site = Site::new();
    let before = site.run(&["doctor"]);
    match Backing::of_run() {
        Backing::Sqlite => assert!(before.success().contains("serve applies them")),
        Backing::Postgres => {
            assert!(before.stdout.contains("mainstay migrate up"), "{}", before.stdout);
            let _ = before.failure();
        }
    }
    let _ = site.run(&["migrate", "up"]).success();
    let after = site.run(&["doctor"]).success();
    assert!(after.contains("up to date") && !after.contains("BAD"), "{after}");

    let away = away().run(&["doctor"]);
    assert!(away.stdout.contains("BAD   database"), "{}", away.stdout);
    let _ = away.failure();
}

#[tokio::test]
async fn healthcheck_asks_a_running_server() {
    let site = Site::new();
    let server = site.serve().await;
    let address = server.address.to_string();
    let port = server.address.port().to_string();

    let _ = site.run(&["healthcheck", "--address", &address]).success();
    let site = site.set("PORT", &port);
    let _ = site.run(&["healthcheck"]).success();
    drop(server);
    let told = site.run(&["healthcheck"]).failure();
    assert!(told.contains(&address), "{told}");
}

#[tokio::test]
async fn a_taken_port_is_a_clear_error() {
    let site = Site::new();
    let server = site.serve().await;
    let address = server.address;
    let told = site.run(&["serve", "--port", &address.port().to_string()]).failure();
    assert!(told.contains(&address.to_string()), "{told}");
}

#[test]
fn a_database_url_of_another_kind_is_a_clear_error() {
    let told =
        Site::bare().set("DATABASE_URL", "mongodb://127.0.0.1/x").run(&["migrate", "status"]).failure();
    assert!(told.to_lowercase().contains("database"), "{told}");
}

#[tokio::test]
async fn the_demo_is_ready_to_look_around_in_and_leaves_nothing_behind() {
    let site = Site::bare();
    let server = site.serve_with(&["--demo"]).await;
    let banner = server.process.stdout();
    let words: Vec<_> = banner.split_whitespace().collect();
    let password = words[words.iter().position(|word| *word == "password").unwrap() + 1];

    let staff = server.sign_in("staff@example.com", password).await;
    assert_eq!(staff.get("/api/v1/auth/me").await.json["roles"], mainstay_e2e::json!(["staff"]));
    let books = staff.get("/api/v1/books").await;
    assert!(books.json["total"].as_u64().unwrap() >= 2000, "{}", books.json["total"]);
    let found = staff.get("/api/v1/books/search?q=a").await;
    assert!(found.json["total"].as_u64().unwrap() > 0);
    drop(server);

    let left: Vec<_> =
        std::fs::read_dir(site.folder()).unwrap().flatten().map(|entry| entry.file_name()).collect();
    assert!(left.is_empty(), "{left:?}");
}
