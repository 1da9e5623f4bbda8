//! Proving an address, and passwords that were forgotten or are changed.

use std::time::Duration;

use mainstay_mail::StoredMail;
use mainstay_testkit::{Client, Config, Reply, TestApp, json};
use sea_orm::{ConnectionTrait as _, Statement};
use tokio::task::JoinSet;

pub(crate) const PASSWORD: &str = "a fine engine";
pub(crate) const REGISTER: &str = "/api/v1/auth/register";
const LOGIN: &str = "/api/v1/auth/login";
const ME: &str = "/api/v1/auth/me";
const VERIFY: &str = "/api/v1/auth/verify-email";
const RESEND: &str = "/api/v1/auth/verify-email/resend";
const FORGOT: &str = "/api/v1/auth/password/forgot";
const RESET: &str = "/api/v1/auth/password/reset";
const CHANGE: &str = "/api/v1/auth/password/change";
const NEW: &str = "another fine engine";
const DAY: Duration = Duration::from_secs(86_400);
const MINUTE: Duration = Duration::from_secs(60);

pub(crate) async fn boot() -> TestApp {
    TestApp::boot(|backend| backend).await
}

pub(crate) async fn boot_with(key: &str, value: &str) -> TestApp {
    TestApp::boot_with(Config::defaults().set(key, value, "test"), |backend| backend).await
}

/// Makes the account `name` with the address `name@example.com`.
pub(crate) async fn register(caller: &Client, name: &str) -> Reply {
    let body = json!({"email": address(name), "password": PASSWORD, "username": name});
    let reply = caller.post(REGISTER, body).await;
    assert_eq!(reply.status, 201, "{}", reply.text());
    reply
}

pub(crate) fn address(name: &str) -> String {
    format!("{name}@example.com")
}

pub(crate) async fn sign_in(caller: &Client, name: &str, password: &str) -> Reply {
    caller.post(LOGIN, json!({"username": name, "password": password})).await
}

/// A caller who has signed in, and the refresh token.
pub(crate) async fn signed_in(caller: &Client, name: &str, password: &str) -> (Client, String) {
    let reply = sign_in(caller, name, password).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let text = |field: &str| reply.json[field].as_str().unwrap().to_owned();
    (caller.bearing(&text("access_token")), text("refresh_token"))
}

/// The token in a mail: it stands on a line of its own.
pub(crate) fn token(mail: &StoredMail) -> String {
    let text = &mail.content.as_ref().unwrap().text;
    let is_token = |line: &&str| {
        line.len() == 32 && line.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
    };
    text.lines().map(str::trim).find(is_token).unwrap_or_else(|| panic!("no token in {text}")).to_owned()
}

/// What the mails to somebody are, the oldest first.
pub(crate) async fn templates(app: &TestApp, name: &str) -> Vec<String> {
    app.mails_to(&address(name)).await.into_iter().map(|mail| mail.mail.template).collect()
}

/// The token of the newest mail to somebody.
pub(crate) async fn newest_token(app: &TestApp, name: &str) -> String {
    token(app.mails_to(&address(name)).await.last().unwrap())
}

pub(crate) fn is_problem(reply: &Reply, status: u16, code: &str) {
    assert_eq!((reply.status.as_u16(), reply.code()), (status, code), "{}", reply.text());
}

async fn verify(app: &TestApp, token: &str) -> Reply {
    app.anonymous().post(VERIFY, json!({"token": token})).await
}

async fn forget(app: &TestApp, name: &str) -> String {
    // So that its mail is the newest.
    app.settle().await;
    app.advance(Duration::from_secs(1));
    let reply = app.anonymous().post(FORGOT, json!({"email": address(name)})).await;
    assert_eq!(reply.status, 202, "{}", reply.text());
    newest_token(app, name).await
}

async fn reset(app: &TestApp, token: &str, password: &str) -> Reply {
    app.anonymous().post(RESET, json!({"token": token, "new_password": password})).await
}

async fn run(app: &TestApp, sql: &str) {
    app.db().primary().execute_unprepared(sql).await.unwrap();
}

/// How many statements this node has sent to the database.
async fn statements(app: &TestApp) -> u64 {
    let metrics = app.anonymous().get("/metrics").await.text();
    let line = metrics.lines().find(|line| line.contains("db_query_duration_seconds_count")).unwrap();
    line.rsplit(' ').next().unwrap().parse().unwrap()
}

/// An answer without what differs from request to request.
pub(crate) fn looks_like(reply: &Reply) -> (u16, Vec<(String, String)>, Vec<u8>) {
    let mut headers: Vec<(String, String)> = reply
        .headers
        .iter()
        // Each call has an id, and is counted: whoever asks, whatever for.
        .filter(|(name, _)| *name != "x-request-id" && !name.as_str().contains("ratelimit"))
        .map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()))
        .collect();
    headers.sort();
    (reply.status.as_u16(), headers, reply.bytes.clone())
}

#[tokio::test]
async fn registering_sends_one_mail_however_often_its_event_comes() {
    let app = boot().await;
    register(&app.anonymous(), "ada").await;
    run(&app, "CREATE TABLE copy AS SELECT * FROM outbox").await;
    assert_eq!(templates(&app, "ada").await, ["identity.verify_email"]);

    for _ in 0..2 {
        run(
            &app,
            "INSERT INTO outbox (id, kind, subject, actor, request_id, occurred_at, data) \
             SELECT id, kind, subject, actor, request_id, occurred_at, data FROM copy",
        )
        .await;
        app.settle().await;
    }

    assert_eq!(templates(&app, "ada").await.len(), 1);
    assert_eq!(verify(&app, &newest_token(&app, "ada").await).await.status, 204);
}

#[tokio::test]
async fn an_address_is_verified_once_by_the_token_from_its_mail() {
    let app = boot().await;
    let ada = app.anonymous();
    register(&ada, "ada").await;
    let token = newest_token(&app, "ada").await;
    let (ada, _) = signed_in(&ada, "ada", PASSWORD).await;
    let before = ada.get(ME).await;
    assert_eq!(before.json["email_verified"], false);

    is_problem(&verify(&app, "unknown").await, 410, "token_invalid");
    is_problem(&verify(&app, &token.to_lowercase()).await, 410, "token_invalid");
    is_problem(&reset(&app, &token, NEW).await, 410, "token_invalid");
    assert_eq!(verify(&app, &token).await.status, 204);
    is_problem(&verify(&app, &token).await, 410, "token_invalid");

    let after = ada.get(ME).await;
    assert_eq!(after.json["email_verified"], true);
    assert_ne!(before.header("etag"), after.header("etag"));
    assert_eq!(verify(&app, "").await.faults(), [("token", "too_short")]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_who_verify_at_once_one_does() {
    let app = boot().await;
    register(&app.anonymous(), "ada").await;
    let token = newest_token(&app, "ada").await;
    let mut tasks = JoinSet::new();
    for _ in 0..20 {
        let (caller, body) = (app.anonymous(), json!({"token": token}));
        tasks.spawn(async move { caller.post(VERIFY, body).await.status.as_u16() });
    }
    let mut statuses = tasks.join_all().await;
    statuses.sort_unstable();
    assert_eq!((statuses[0], &statuses[1..]), (204, &[410; 19][..]));
}

#[tokio::test]
async fn a_token_lives_a_day_from_when_its_mail_was_sent() {
    let app = boot().await;
    register(&app.anonymous(), "ada").await;
    // The mail waits for half a day: nothing runs in the background.
    app.advance(DAY / 2);
    let token = newest_token(&app, "ada").await;

    app.advance(DAY - Duration::from_millis(1));
    register(&app.anonymous(), "bob").await;
    let of_bob = newest_token(&app, "bob").await;
    assert_eq!(verify(&app, &token).await.status, 204);

    app.advance(DAY);
    is_problem(&verify(&app, &of_bob).await, 410, "token_invalid");
}

#[tokio::test]
async fn only_the_newest_token_works_and_one_mail_a_minute_is_sent() {
    let app = boot().await;
    let caller = app.anonymous();
    register(&caller, "ada").await;
    let first = newest_token(&app, "ada").await;
    let resend = || async {
        let reply = caller.post(RESEND, json!({"email": "ADA@example.com"})).await;
        assert_eq!(reply.status, 202);
        app.mails_to("ada@example.com").await.len()
    };

    app.advance(MINUTE - Duration::from_millis(1));
    assert_eq!(resend().await, 1, "the first mail is not a minute old");
    app.advance(Duration::from_millis(1));
    assert_eq!(resend().await, 2);
    assert_eq!(resend().await, 2);

    is_problem(&verify(&app, &first).await, 410, "token_invalid");
    assert_eq!(verify(&app, &newest_token(&app, "ada").await).await.status, 204);
    app.advance(MINUTE);
    assert_eq!(resend().await, 2, "there is nothing left to verify");
}

#[tokio::test]
async fn asking_for_a_mail_is_the_same_work_and_answer_for_everybody() {
    let app = boot().await;
    let (caller, admin) = (app.anonymous(), app.admin().await);
    for name in ["ada", "bob", "eve"] {
        register(&caller, name).await;
    }
    let token = newest_token(&app, "bob").await;
    assert_eq!(verify(&app, &token).await.status, 204);
    let users = admin.get("/api/v1/users?q=eve").await;
    let eve = format!("/api/v1/users/{}", users.json["items"][0]["id"].as_str().unwrap());
    assert_eq!(admin.patch(&eve, &[], json!({"is_active": false})).await.status, 200);
    app.advance(MINUTE);
    app.settle().await;

    for path in [RESEND, FORGOT] {
        let mut seen = Vec::new();
        for name in ["ada", "bob", "eve", "nobody"] {
            let before = statements(&app).await;
            let reply = caller.post(path, json!({"email": address(name)})).await;
            seen.push((statements(&app).await - before, looks_like(&reply)));
        }
        assert_eq!(seen[0].1.0, 202);
        assert!(seen.iter().all(|one| *one == seen[0]), "{path}: {seen:?}");
    }

    let [of_ada, of_bob, of_eve, of_nobody] = [
        templates(&app, "ada").await,
        templates(&app, "bob").await,
        templates(&app, "eve").await,
        templates(&app, "nobody").await,
    ];
    assert_eq!((of_ada.len(), &*of_ada[0]), (3, "identity.verify_email"));
    assert!(of_ada[1..].contains(&"identity.verify_email".to_owned()));
    assert!(of_ada[1..].contains(&"identity.reset_password".to_owned()));
    assert_eq!(of_bob, ["identity.verify_email", "identity.reset_password"]);
    assert_eq!(of_eve, ["identity.verify_email"]);
    assert!(of_nobody.is_empty());
}

#[tokio::test]
async fn where_addresses_must_be_verified_signing_in_waits_for_it() {
    let app = boot_with("identity.require_verified_email", "true").await;
    let caller = app.anonymous();
    register(&caller, "ada").await;

    is_problem(&sign_in(&caller, "ada", PASSWORD).await, 403, "email_not_verified");
    is_problem(&sign_in(&caller, "ada", "wrong engine").await, 401, "invalid_credentials");
    assert_eq!(verify(&app, &newest_token(&app, "ada").await).await.status, 204);
    assert_eq!(sign_in(&caller, "ada", PASSWORD).await.status, 200);

    register(&caller, "bob").await;
    app.advance(MINUTE);
    let token = forget(&app, "bob").await;
    assert_eq!(reset(&app, &token, NEW).await.status, 204);
    assert_eq!(sign_in(&caller, "bob", NEW).await.status, 200, "the mail reached its owner");
    let dump = super::people::dump(&app).await;
    let told =
        dump.lines().filter(|line| line.starts_with("audit_log") && line.contains("user.email_verified"));
    assert_eq!(told.count(), 2, "of ada and of bob");
}

#[tokio::test]
async fn a_reset_ends_every_session_and_lock_and_signs_nobody_in() {
    let app = boot().await;
    let node = app.another_node(|backend| backend).await;
    let caller = app.anonymous();
    register(&caller, "ada").await;
    let (ada, refresh_token) = signed_in(&caller, "ada", PASSWORD).await;
    let elsewhere = node.with_token(ada.token().unwrap());
    assert_eq!(elsewhere.get(ME).await.status, 200);
    let key = ada.post("/api/v1/auth/api-keys", json!({"name": "robot"})).await;
    let robot = app.with_token(key.json["key"].as_str().unwrap());
    let older = forget(&app, "ada").await;
    // Whoever asks again and again in somebody else's name ends no link that is on its way.
    app.advance(9 * MINUTE);
    assert_eq!(forget(&app, "ada").await, older);
    app.advance(MINUTE);
    let newer = forget(&app, "ada").await;
    assert_ne!(newer, older);
    app.advance(Duration::from_secs(1));
    for _ in 0..5 {
        sign_in(&caller, "ada", "wrong engine").await;
    }
    is_problem(&sign_in(&caller, "ada", PASSWORD).await, 429, "login_locked");

    is_problem(&reset(&app, &older, NEW).await, 410, "token_invalid");
    let done = reset(&app, &newer, NEW).await;
    assert_eq!((done.status.as_u16(), done.bytes.len()), (204, 0));
    assert!(!done.headers.contains_key("set-cookie"));

    is_problem(&ada.get(ME).await, 401, "unauthenticated");
    let refreshed = caller.post("/api/v1/auth/refresh", json!({"refresh_token": refresh_token})).await;
    assert_eq!(refreshed.status, 401);
    // What the other node believes, it believes for less than a second.
    tokio::time::timeout(Duration::from_secs(30), async {
        while elsewhere.get(ME).await.status == 200 {
            tokio::task::yield_now().await;
        }
    })
    .await
    .unwrap();
    assert_eq!(robot.get(ME).await.status, 200, "API keys are not sessions");
    is_problem(&sign_in(&caller, "ada", PASSWORD).await, 401, "invalid_credentials");
    assert_eq!(sign_in(&caller, "ada", NEW).await.status, 200, "the lock has ended");
    is_problem(&reset(&app, &newer, PASSWORD).await, 410, "token_invalid");
    let mails = app.mails_to("ada@example.com").await;
    let notice = mails.last().unwrap();
    assert_eq!(notice.mail.template, "identity.password_changed");
    assert!(!notice.mail.confidential);
    assert!(notice.content.as_ref().unwrap().text.contains("You were signed out everywhere."));
}

#[tokio::test]
async fn a_reset_link_lives_half_an_hour_from_when_it_was_sent() {
    let app = boot().await;
    register(&app.anonymous(), "ada").await;
    app.settle().await;
    app.anonymous().post(FORGOT, json!({"email": "ada@example.com"})).await;
    app.advance(DAY);
    let token = newest_token(&app, "ada").await;

    app.advance(30 * MINUTE - Duration::from_millis(1));
    assert_eq!(reset(&app, &token, "short").await.faults(), [("new_password", "too_short")]);
    app.advance(Duration::from_millis(1));
    is_problem(&reset(&app, &token, NEW).await, 410, "token_invalid");
}

#[tokio::test]
async fn a_new_password_is_held_to_the_rules_and_the_token_survives_a_fault() {
    let app = boot_with("identity.password_min_length", "12").await;
    let body =
        json!({"email": "ada.lovelace@example.com", "password": "a fine engine", "username": "countess.ada"});
    assert_eq!(app.anonymous().post(REGISTER, body).await.status, 201);
    let token = forget(&app, "ada.lovelace").await;

    let missing = app.anonymous().post(RESET, json!({})).await;
    assert_eq!(missing.faults(), [("token", "required"), ("new_password", "required")]);
    for (password, code) in [
        ("eleven char", "too_short"),
        ("Ada.Lovelace", "guessable_password"),
        ("Countess.Ada", "guessable_password"),
        ("ADA.LOVELACE@example.com", "guessable_password"),
    ] {
        let reply = reset(&app, &token, password).await;
        assert_eq!(
            (reply.status.as_u16(), reply.faults()),
            (422, vec![("new_password", code)]),
            "{password}"
        );
    }
    assert_eq!(reset(&app, &token, "long enough, and mine").await.status, 204);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_fifty_uses_of_one_reset_link_one_succeeds() {
    let app = boot().await;
    register(&app.anonymous(), "ada").await;
    let token = forget(&app, "ada").await;
    let mut tasks = JoinSet::new();
    for number in 0..50 {
        let caller = app.anonymous();
        let password = format!("engine number {number}");
        let body = json!({"token": token, "new_password": password});
        tasks.spawn(async move { (caller.post(RESET, body).await.status.as_u16(), password) });
    }
    let (good, bad): (Vec<_>, Vec<_>) =
        tasks.join_all().await.into_iter().partition(|(status, _)| *status == 204);

    assert_eq!(good.len(), 1, "{good:?}");
    assert!(bad.iter().all(|(status, _)| *status == 410), "{bad:?}");
    assert_eq!(sign_in(&app.anonymous(), "ada", &good[0].1).await.status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_reset_beside_the_making_of_another_link_is_done_or_too_late() {
    let app = std::sync::Arc::new(boot().await);
    register(&app.anonymous(), "ada").await;
    for round in 0..10 {
        app.advance(10 * MINUTE);
        let token = forget(&app, "ada").await;
        app.advance(10 * MINUTE);
        let asked = app.anonymous().post(FORGOT, json!({"email": "ada@example.com"})).await;
        assert_eq!(asked.status, 202);
        let (settling, resetting) = (app.clone(), app.clone());
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            settling.settle().await;
            204
        });
        let password = format!("engine number {round}");
        tasks.spawn(async move { reset(&resetting, &token, &password).await.status.as_u16() });
        let statuses = tasks.join_all().await;
        assert!(statuses.iter().all(|status| [204, 410].contains(status)), "{statuses:?}");
        let dead = app.db().primary().query_all_raw(Statement::from_string(
            app.db().primary().get_database_backend(),
            "SELECT 1 FROM event_deliveries WHERE attempts > 0",
        ));
        assert!(dead.await.unwrap().is_empty(), "nothing had to be tried twice");
    }
}

#[tokio::test]
async fn no_header_of_a_request_gets_into_a_mail() {
    let app = boot().await;
    let caller = app.anonymous();
    let evil = [
        ("content-type", "application/json"),
        ("host", "evil.example"),
        ("x-forwarded-host", "evil.example"),
        ("forwarded", "host=evil.example"),
        ("origin", "https://evil.example"),
        ("referer", "https://evil.example"),
    ];
    let body = json!({"email": "ada@example.com", "password": PASSWORD, "username": "ada"});
    assert_eq!(caller.raw(http::Method::POST, REGISTER, &evil, body.to_string()).await.status, 201);
    let body = json!({"email": "ada@example.com"});
    assert_eq!(caller.raw(http::Method::POST, FORGOT, &evil, body.to_string()).await.status, 202);

    let mails = app.mails_to("ada@example.com").await;
    assert_eq!(mails.len(), 2);
    for mail in mails {
        let content = mail.content.unwrap();
        assert!(!content.text.contains("evil") && !content.html.contains("evil"), "{}", content.text);
        assert!(content.text.contains("http://127.0.0.1:8080/console/"), "{}", content.text);
        assert!(mail.mail.confidential);
    }
}

async fn change(caller: &Client, current: &str, new: &str) -> Reply {
    caller.post(CHANGE, json!({"current_password": current, "new_password": new})).await
}

#[tokio::test]
async fn a_changed_password_ends_the_other_sessions_and_reset_links() {
    let app = boot().await;
    let caller = app.anonymous();
    register(&caller, "ada").await;
    let (here, _) = signed_in(&caller, "ada", PASSWORD).await;
    let (there, refresh_token) = signed_in(&caller, "ada", PASSWORD).await;
    let link = forget(&app, "ada").await;

    let reply = change(&here, "wrong engine", "short").await;
    assert_eq!(reply.faults(), [("new_password", "too_short")]);
    let reply = change(&here, "wrong engine", NEW).await;
    assert_eq!((reply.status.as_u16(), reply.faults()), (422, vec![("current_password", "wrong_password")]));
    let reply = change(&here, PASSWORD, "ada@example.com").await;
    assert_eq!(reply.faults(), [("new_password", "guessable_password")]);
    assert_eq!(there.get(ME).await.status, 200, "nothing happened yet");

    app.advance(Duration::from_secs(1));
    assert_eq!(change(&here, PASSWORD, NEW).await.status, 204);
    assert_eq!(here.get(ME).await.status, 200);
    is_problem(&there.get(ME).await, 401, "unauthenticated");
    let refreshed = caller.post("/api/v1/auth/refresh", json!({"refresh_token": refresh_token})).await;
    assert_eq!(refreshed.status, 401);
    is_problem(&reset(&app, &link, "yet another engine").await, 410, "token_invalid");
    assert_eq!(sign_in(&caller, "ada", PASSWORD).await.status, 401);
    assert_eq!(sign_in(&caller, "ada", NEW).await.status, 200);
    assert_eq!(templates(&app, "ada").await.last().unwrap(), "identity.password_changed");
}

#[tokio::test]
async fn a_wrong_present_password_counts_toward_the_lock() {
    let app = boot().await;
    let caller = app.anonymous();
    register(&caller, "ada").await;
    let (ada, _) = signed_in(&caller, "ada", PASSWORD).await;
    for _ in 0..5 {
        assert_eq!(change(&ada, "wrong engine", NEW).await.status, 422);
    }
    is_problem(&change(&ada, PASSWORD, NEW).await, 429, "login_locked");
    is_problem(&sign_in(&caller, "ada", PASSWORD).await, 429, "login_locked");
    app.advance(MINUTE);
    assert_eq!(change(&ada, PASSWORD, NEW).await.status, 204);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_two_changes_at_once_one_wins() {
    let app = boot().await;
    let caller = app.anonymous();
    register(&caller, "ada").await;
    let mut present = PASSWORD.to_owned();
    for round in 0..10 {
        let mut tasks = JoinSet::new();
        let (first, _) = signed_in(&caller, "ada", &present).await;
        let (second, _) = signed_in(&caller, "ada", &present).await;
        for (number, ada) in [first, second].into_iter().enumerate() {
            let (old, new) = (present.clone(), format!("engine {round} {number}"));
            tasks.spawn(async move { (change(&ada, &old, &new).await.status.as_u16(), new) });
        }
        let outcomes = tasks.join_all().await;
        let winners: Vec<&String> =
            outcomes.iter().filter(|(status, _)| *status == 204).map(|(_, new)| new).collect();
        assert_eq!(winners.len(), 1, "{outcomes:?}");
        // The other one's password was wrong by then, or its session had ended.
        assert!(outcomes.iter().all(|(status, _)| [204, 422, 401].contains(status)), "{outcomes:?}");
        present = winners[0].clone();
    }
}

#[tokio::test]
async fn an_api_key_changes_no_password() {
    let app = boot().await;
    let ada = app.user().await;
    let key = ada.post("/api/v1/auth/api-keys", json!({"name": "robot"})).await;
    let robot = app.with_token(key.json["key"].as_str().unwrap());
    assert_eq!(change(&robot, "tests only 4711", NEW).await.status, 403);
    assert_eq!(change(&app.anonymous(), "tests only 4711", NEW).await.status, 401);
}

#[tokio::test]
async fn no_token_stands_in_an_event_or_in_the_log() {
    let app = boot().await;
    register(&app.anonymous(), "ada").await;
    let verification = newest_token(&app, "ada").await;
    let link = forget(&app, "ada").await;
    let dump = super::people::dump(&app).await;
    assert!(dump.contains("ada@example.com"), "the dump holds what it should");
    for secret in [verification, link, PASSWORD.to_owned()] {
        assert!(!dump.contains(&secret));
    }
}
