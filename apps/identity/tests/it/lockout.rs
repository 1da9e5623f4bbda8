use std::net::IpAddr;
use std::time::Duration;

use http::Method;
use mainstay_app::App as _;
use mainstay_db::Db;
use mainstay_testkit::{Client, Config, Reply, TestApp, json};
use sea_orm::ConnectionTrait as _;
use sea_orm::sea_query::{Alias, Query};
use tokio::task::JoinSet;

const LOGIN: &str = "/api/v1/auth/login";

async fn register(caller: &Client, name: &str) {
    let body = json!({"email": format!("{name}@example.com"), "password": "a fine engine", "username": name});
    assert_eq!(caller.post("/api/v1/auth/register", body).await.status, 201);
}

async fn boot() -> (TestApp, Client) {
    let app = TestApp::boot(|backend| backend).await;
    let caller = app.anonymous();
    register(&caller, "ada").await;
    (app, caller)
}

async fn try_as(caller: &Client, name: &str, password: &str) -> Reply {
    caller.post(LOGIN, json!({"username": name, "password": password})).await
}

async fn fail(caller: &Client, name: &str, times: usize) {
    for _ in 0..times {
        let reply = try_as(caller, name, "wrong engine").await;
        assert_eq!((reply.status.as_u16(), reply.code()), (401, "invalid_credentials"));
    }
}

fn locked(reply: &Reply) -> String {
    assert_eq!((reply.status.as_u16(), reply.code()), (429, "login_locked"), "{}", reply.text());
    reply.header("retry-after").to_owned()
}

async fn audit(db: &Db) -> Vec<(String, String, String)> {
    let columns = ["action", "target", "details"].map(Alias::new);
    let select = Query::select()
        .columns(columns)
        .from(Alias::new("audit_log"))
        .order_by(Alias::new("seq"), sea_orm::Order::Asc)
        .to_owned();
    let rows = db.primary().query_all(&select).await.unwrap();
    rows.iter()
        .map(|row| {
            let get = |column: &str| row.try_get::<Option<String>>("", column).unwrap().unwrap_or_default();
            (get("action"), get("target"), get("details"))
        })
        .filter(|(action, ..)| action.starts_with("login."))
        .collect()
}

#[tokio::test]
async fn five_failures_lock_an_account_and_the_right_password_too() {
    let (app, caller) = boot().await;
    fail(&caller, "ada", 5).await;
    let before = app.passwords().verifications();

    app.advance(Duration::from_millis(1));
    assert_eq!(locked(&try_as(&caller, "ada", "a fine engine").await), "60", "rounded up");
    let by_address =
        caller.post(LOGIN, json!({"email": "ada@example.com", "password": "a fine engine"})).await;
    locked(&by_address);
    assert_eq!(app.passwords().verifications(), before, "nothing is checked while locked");

    app.advance(Duration::from_secs(60));
    assert_eq!(try_as(&caller, "ada", "a fine engine").await.status, 200);
}

#[tokio::test]
async fn locks_double_and_a_success_forgets_recent_failures() {
    let (app, caller) = boot().await;
    fail(&caller, "ada", 4).await;
    assert_eq!(try_as(&caller, "ada", "a fine engine").await.status, 200);
    fail(&caller, "ada", 5).await;
    assert_eq!(locked(&try_as(&caller, "ada", "x").await), "60");

    app.advance(Duration::from_secs(60));
    fail(&caller, "ada", 5).await;
    assert_eq!(locked(&try_as(&caller, "ada", "x").await), "120");

    app.advance(Duration::from_secs(24 * 3600));
    fail(&caller, "ada", 5).await;
    assert_eq!(locked(&try_as(&caller, "ada", "x").await), "60", "a day without failures heals");
}

#[tokio::test]
async fn unknown_names_lock_in_the_same_way_with_the_same_answers_and_work() {
    let (app, caller) = boot().await;
    let public = |reply: &Reply| {
        let mut json = reply.json.clone();
        json["request_id"] = "".into();
        (reply.status, json, reply.header("retry-after").to_owned())
    };
    for _ in 0..7 {
        let before = app.passwords().verifications();
        let known = try_as(&caller, "ada", "wrong engine").await;
        let after_known = app.passwords().verifications();
        let unknown = try_as(&caller, "nobody-here", "wrong engine").await;
        assert_eq!(public(&known), public(&unknown));
        assert_eq!(after_known - before, app.passwords().verifications() - after_known);
    }
    locked(&try_as(&caller, "nobody-here", "x").await);
    let other = try_as(&caller, "somebody-else", "x").await;
    assert_eq!(other.status, 401, "each name has its own count");
}

#[tokio::test]
async fn twenty_failures_from_one_address_limit_that_address() {
    let (app, caller) = boot().await;
    let bad: IpAddr = "2001:db8:1:2::1".parse().unwrap();
    let neighbor: IpAddr = "2001:db8:1:2::2".parse().unwrap();
    for number in 0..20 {
        let name = format!("guess-{number}");
        assert_eq!(try_as(&caller.from_address(bad), &name, "x").await.status, 401);
    }
    assert_eq!(locked(&try_as(&caller.from_address(neighbor), "ada", "a fine engine").await), "60");
    let elsewhere = caller.from_address("2001:db8:1:3::1".parse().unwrap());
    assert_eq!(try_as(&elsewhere, "ada", "a fine engine").await.status, 200);

    app.advance(Duration::from_secs(60));
    assert_eq!(try_as(&caller.from_address(bad), "ada", "a fine engine").await.status, 200);
}

#[tokio::test]
async fn oauth_clients_are_told_to_slow_down() {
    let (_app, caller) = boot().await;
    fail(&caller, "ada", 5).await;
    let form = [("content-type", "application/x-www-form-urlencoded")];
    let body = "grant_type=password&username=ada&password=a+fine+engine";
    let reply = caller.raw(Method::POST, "/api/v1/auth/token", &form, body).await;
    assert_eq!((reply.status.as_u16(), &reply.json["error"]), (429, &json!("slow_down")));
    assert_eq!(reply.header("retry-after"), "60");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn three_hundred_guesses_at_once_on_two_nodes_check_ten_passwords_at_most() {
    let (app, caller) = boot().await;
    let node = app.another_node(|backend| backend).await;
    let other = node.anonymous();
    for (name, right) in [("ada", "a fine engine"), ("nobody-here", "a fine engine")] {
        let before = app.passwords().verifications() + node.passwords().verifications();
        let mut tasks = JoinSet::new();
        for number in 0..300 {
            let caller = if number % 2 == 0 { caller.clone() } else { other.clone() };
            let password = format!("wrong engine {number}");
            tasks.spawn(async move { try_as(&caller, name, &password).await.status.as_u16() });
        }
        let statuses = tasks.join_all().await;
        let checked = app.passwords().verifications() + node.passwords().verifications() - before;
        assert!((5..=10).contains(&checked), "{checked} passwords were checked");
        assert!(statuses.iter().all(|status| [401, 429, 503].contains(status)), "{statuses:?}");
        assert_eq!(statuses.iter().filter(|status| **status == 401).count() as u64, checked);
        locked(&try_as(&caller, name, right).await);
        locked(&try_as(&other, name, right).await);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn attempts_whose_client_hangs_up_count_all_the_same() {
    let (app, caller) = boot().await;
    for number in 0..5 {
        let caller = caller.clone();
        let password = format!("wrong engine {number}");
        let mut attempt = Box::pin(async move { try_as(&caller, "ada", &password).await });
        // Just begun, and dropped.
        assert!(futures_util::poll!(&mut attempt).is_pending());
        drop(attempt);
    }
    while audit(app.db()).await.len() < 5 {
        tokio::task::yield_now().await;
    }
    locked(&try_as(&caller, "ada", "a fine engine").await);
}

#[tokio::test]
async fn every_attempt_is_audited_and_no_typed_name_is_kept() {
    let (app, caller) = boot().await;
    try_as(&caller, "ada", "wrong engine").await;
    try_as(&caller, "hunter22-in-the-wrong-field", "x").await;
    assert_eq!(try_as(&caller, "ada", "a fine engine").await.status, 200);
    fail(&caller, "ada", 5).await;
    locked(&try_as(&caller, "ada", "a fine engine").await);

    let log = audit(app.db()).await;
    let actions: Vec<&str> = log.iter().map(|(action, ..)| action.as_str()).collect();
    let mut expected = vec!["login.failed", "login.failed", "login.succeeded"];
    expected.extend(["login.failed"; 5]);
    expected.push("login.locked");
    assert_eq!(actions, expected);
    assert!(log[0].1.starts_with("user/") && log[0].2.contains("wrong_password"), "{log:?}");
    assert_eq!(log[1].1, "login");
    assert!(log[7].2.contains("\"locked_for_s\":60"), "{log:?}");
    assert!(!format!("{log:?}").contains("hunter22") && !format!("{log:?}").contains("engine"));
}

#[tokio::test]
async fn an_operator_ends_a_lock() {
    let (app, caller) = boot().await;
    fail(&caller, "ada", 5).await;
    locked(&try_as(&caller, "ada", "a fine engine").await);

    let users = app
        .identity()
        .commands()
        .into_iter()
        .find(|command| command.arguments.get_name() == "users")
        .unwrap();
    let unlock = |name: &str| users.arguments.clone().get_matches_from(["users", "unlock", name]);
    users.run(unlock("ADA@example.com")).await.unwrap();

    assert_eq!(try_as(&caller, "ada", "a fine engine").await.status, 200);
    assert!(users.run(unlock("nobody")).await.is_err());
}

#[tokio::test]
async fn an_address_that_was_not_proven_may_be_kept_out() {
    let config = Config::defaults().set("identity.require_verified_email", "true", "test");
    let app = TestApp::boot_with(config, |backend| backend).await;
    let caller = app.anonymous();
    register(&caller, "ada").await;

    let right = try_as(&caller, "ada", "a fine engine").await;
    assert_eq!((right.status.as_u16(), right.code()), (403, "email_not_verified"));
    let wrong = try_as(&caller, "ada", "wrong engine").await;
    assert_eq!(wrong.code(), "invalid_credentials", "who does not know the password learns nothing");
    assert!(app.user().await.get("/api/v1/auth/me").await.status == 200);
}

#[tokio::test]
async fn an_old_hash_becomes_a_new_one_at_the_next_sign_in() {
    let (app, caller) = boot().await;
    // PBKDF2 as Werkzeug writes it, of "a fine engine".
    let hash = "pbkdf2:sha256:1000$abcdefgh$36239de70d058961fb4cd5114b1a4d4397adac16a4bdf4beffa38235d3f15baa";
    let set = Query::update().table(Alias::new("users")).value(Alias::new("password_hash"), hash).to_owned();
    let unit = app.db().write(&mainstay_core::Actor::system("test")).await.unwrap();
    unit.execute(&set).await.unwrap();
    unit.commit().await.unwrap();

    assert_eq!(try_as(&caller, "ada", "wrong engine").await.status, 401);
    for _ in 0..2 {
        assert_eq!(try_as(&caller, "ada", "a fine engine").await.status, 200);
    }
    let select = Query::select().column(Alias::new("password_hash")).from(Alias::new("users")).to_owned();
    let row = app.db().primary().query_one(&select).await.unwrap().unwrap();
    assert!(row.try_get::<String>("", "password_hash").unwrap().starts_with("$argon2id$"));
}
