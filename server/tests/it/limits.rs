//! Rate limits, seen from outside: which calls are under which, and what answers say of them.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use http::Method;
use mainstay::prelude::*;
use mainstay_testkit::{Client, Reply, TestApp, default_limits, json};

use crate::stack::Unruly;

async fn boot(config: Config) -> TestApp {
    TestApp::boot_with(config, |backend| backend.with(Organizations::new).with(Library::new).with(|_| Unruly))
        .await
}

async fn boot_with(settings: &[(&str, &str)]) -> TestApp {
    boot(settings.iter().fold(default_limits(), |config, (key, value)| config.set(key, *value, "test"))).await
}

const BOOKS: &str = "/api/v1/books";
const LOGIN: &str = "/api/v1/auth/login";
/// What TestApp gives every account.
const PASSWORD: &str = "tests only 4711";

/// `RateLimit-Policy`, `RateLimit`, and the older three as `limit/remaining/reset`.
fn told(reply: &Reply) -> (String, String, String) {
    let older = ["limit", "remaining", "reset"].map(|name| reply.header(&format!("x-ratelimit-{name}")));
    (reply.header("ratelimit-policy").to_owned(), reply.header("ratelimit").to_owned(), older.join("/"))
}

fn expected(policies: &str, limits: &str, older: &str) -> (String, String, String) {
    (policies.to_owned(), limits.to_owned(), older.to_owned())
}

async fn times(count: usize, mut call: impl AsyncFnMut() -> Reply) -> Vec<u16> {
    let mut statuses = Vec::new();
    for _ in 0..count {
        statuses.push(call().await.status.as_u16());
    }
    statuses
}

async fn sign_in(caller: &Client) -> Reply {
    caller.post(LOGIN, json!({"username": "nobody", "password": "wrong"})).await
}

#[tokio::test]
async fn every_answer_says_what_is_left_and_one_too_many_is_told_how_long_to_wait() {
    let app = boot(default_limits()).await;
    let caller = app.anonymous();
    let policy = r#""default";q=100;w=60"#;
    let reply = caller.get(BOOKS).await;
    assert_eq!(told(&reply), expected(policy, r#""default";r=99;t=60"#, "100/99/60"));
    app.advance(Duration::from_secs(17));
    assert_eq!(times(99, async || caller.get(BOOKS).await).await, [200; 99]);

    let refused = caller.get(BOOKS).await;
    assert_eq!((refused.status.as_u16(), refused.code()), (429, "rate_limited"));
    assert_eq!(refused.json["type"], "https://iana.org/assignments/http-problem-types#quota-exceeded");
    assert_eq!(refused.json["violated-policies"], json!(["default"]));
    assert_eq!(refused.json["detail"], "The limit \"default\" admits 100 calls in 60 s. Try again in 43 s.");
    assert_eq!(
        (refused.header("content-type"), refused.header("retry-after")),
        ("application/problem+json", "43")
    );
    assert_eq!(told(&refused), expected(policy, r#""default";r=0;t=43"#, "100/0/43"));

    // What was refused did not count, and the wait was right to the second.
    assert_eq!(times(5, async || caller.get(BOOKS).await).await, [429; 5]);
    app.advance(Duration::from_secs(42));
    assert_eq!(caller.get(BOOKS).await.status, 429);
    app.advance(Duration::from_secs(1));
    assert_eq!(caller.get(BOOKS).await.status, 200);
    assert_eq!(caller.get(BOOKS).await.status, 429);
}

#[tokio::test]
async fn errors_of_every_kind_say_what_is_left_too() {
    let app = boot_with(&[("http.request_timeout_s", "1")]).await;
    let caller = app.anonymous();
    let mut left = 100;
    for (method, path, status) in [
        (Method::GET, "/api/v1/books?page=0", 422),
        (Method::GET, "/api/v1/books/1", 404),
        (Method::GET, "/api/v1/panic", 500),
        (Method::GET, "/api/v1/slow", 503),
        (Method::POST, BOOKS, 401),
        (Method::GET, "/api/v1/nowhere", 404),
        (Method::DELETE, BOOKS, 405),
        (Method::HEAD, BOOKS, 200),
        (Method::OPTIONS, BOOKS, 204),
    ] {
        let reply = caller.raw(method.clone(), path, &[], "").await;
        left -= 1;
        assert_eq!(reply.status.as_u16(), status, "{method} {path}");
        assert_eq!(reply.header("x-ratelimit-remaining"), left.to_string(), "{method} {path}");
        assert!(
            reply.header("ratelimit").starts_with(&format!("\"default\";r={left};t=")),
            "{method} {path}"
        );
    }
}

#[tokio::test]
async fn callers_count_by_address_user_and_service_each_for_itself() {
    let app = boot(default_limits()).await;
    let (one, two) = (app.admin().await, app.user().await);
    let books = async |caller: &Client| caller.get(BOOKS).await.header("ratelimit").to_owned();
    // Both signed in under the limit of nobody, which is another.
    assert_eq!(books(&app.anonymous()).await, r#""default";r=97;t=60"#);
    assert_eq!(books(&one).await, r#""default";r=999;t=60"#);
    assert_eq!(books(&two).await, r#""default";r=999;t=60"#);
    assert_eq!(books(&one).await, r#""default";r=998;t=60"#);

    let made = one.post("/api/v1/auth/api-keys", json!({"name": "robot"})).await;
    assert_eq!(made.header("ratelimit"), r#""default";r=997;t=60"#);
    let robot = app.with_token(made.json["key"].as_str().expect("a key"));
    // A key is its owner.
    assert_eq!(books(&robot).await, r#""default";r=996;t=60"#);
    assert_eq!(books(&one).await, r#""default";r=995;t=60"#);

    let service = one.post("/api/v1/auth/services", json!({"name": "gateway"})).await;
    let secret = ["client_id", "client_secret"].map(|name| service.json[name].as_str().expect("it is shown"));
    let basic = format!("Basic {}", STANDARD.encode(secret.join(":")));
    let headers = [("authorization", basic.as_str()), ("content-type", "application/x-www-form-urlencoded")];
    let asked = app.anonymous().raw(Method::POST, "/api/v1/auth/introspect", &headers, "token=x").await;
    assert_eq!((asked.status.as_u16(), asked.header("x-ratelimit-limit")), (200, "60000"));
}

#[tokio::test]
async fn what_can_be_guessed_at_is_limited_more_and_by_address() {
    let app = boot(default_limits()).await;
    let caller = app.anonymous();
    let reply = sign_in(&caller).await;
    assert_eq!(reply.status, 401);
    let policies = r#""auth";q=10;w=60, "default";q=100;w=60"#;
    assert_eq!(told(&reply), expected(policies, r#""auth";r=9;t=60, "default";r=99;t=60"#, "10/9/60"));
    // One limit for all that can be guessed at; each call counts once.
    for (path, body) in [
        ("/api/v1/auth/password/forgot", json!({"email": "a@example.com"})),
        ("/api/v1/auth/password/reset", json!({"token": "x", "new_password": "long enough to be one"})),
        ("/api/v1/auth/verify-email", json!({"token": "x"})),
        ("/api/v1/auth/verify-email/resend", json!({"email": "a@example.com"})),
        ("/api/v1/auth/register", json!({})),
        ("/api/v1/setup", json!({})),
        ("/api/v1/auth/login", json!({})),
    ] {
        assert_ne!(caller.post(path, body).await.status, 429, "{path}");
    }
    let form = [("content-type", "application/x-www-form-urlencoded")];
    let token = "grant_type=password&username=nobody&password=wrong";
    let reply = caller.raw(Method::POST, "/api/v1/auth/token", &form, token).await;
    assert_eq!((reply.status.as_u16(), reply.header("x-ratelimit-remaining")), (400, "1"));
    assert_ne!(sign_in(&caller).await.status, 429);

    let refused = sign_in(&caller).await;
    assert_eq!((refused.status.as_u16(), refused.code()), (429, "rate_limited"));
    assert_eq!(refused.json["violated-policies"], json!(["auth"]));
    assert_eq!(refused.header("retry-after"), "60");
    // All or none: the other limit was not charged for it.
    assert_eq!(refused.header("ratelimit"), r#""auth";r=0;t=60, "default";r=90;t=60"#);
    // Everything else goes on, also what a service asks all the time.
    assert_eq!(caller.get(BOOKS).await.status, 200);
    assert_eq!(caller.get("/api/v1/auth/verify").await.status, 401);
    assert_eq!(caller.post("/api/v1/auth/refresh", json!({"refresh_token": "x"})).await.status, 401);
}

#[tokio::test]
async fn looking_at_the_page_of_a_form_is_not_sending_it() {
    let app = boot(default_limits()).await;
    let browser = app.anonymous();
    assert_eq!(times(20, async || browser.get("/login").await).await, [200; 20]);
    let form = [("content-type", "application/x-www-form-urlencoded"), ("sec-fetch-site", "same-origin")];
    let send = async || browser.raw(Method::POST, "/login", &form, "name=a&password=b").await;
    let statuses = times(11, send).await;
    assert!(statuses[..10].iter().all(|status| *status != 429), "{statuses:?}");
    assert_eq!(statuses[10], 429);
    let refused = send().await;
    assert_eq!(refused.header("content-type"), "text/html; charset=utf-8");
    assert_eq!((refused.header("retry-after"), refused.header("x-ratelimit-limit")), ("60", "10"));
    assert!(refused.text().contains("moment"), "{}", refused.text());
    assert_eq!(browser.get("/login").await.status, 200);
}

#[tokio::test]
async fn tokens_that_are_none_are_counted_and_good_ones_go_on() {
    let app = boot(default_limits()).await;
    let good = app.user().await;
    let forged = app.with_token("forged");
    let statuses = times(102, async || forged.get("/api/v1/auth/me").await).await;
    // The sign-in above was the first of the hundred.
    assert_eq!(statuses.iter().filter(|status| **status == 401).count(), 99);
    assert_eq!(forged.get("/api/v1/auth/me").await.status, 429);
    assert_eq!(app.anonymous().get(BOOKS).await.status, 429);
    assert_eq!(good.get("/api/v1/auth/me").await.status, 200);
}

/// How many statements the app has sent to the database.
async fn statements(app: &TestApp) -> u64 {
    let metrics = app.anonymous().get("/metrics").await.text();
    let counts = metrics.lines().filter(|line| line.starts_with("db_query_duration_seconds_count"));
    counts
        .map(|line| line.rsplit(' ').next().and_then(|count| count.parse::<u64>().ok()).expect("a count"))
        .sum()
}

#[tokio::test]
async fn an_address_that_is_refused_has_nothing_looked_up_that_may_be_made_up() {
    let settings = [("limits.anonymous", "60/min"), ("limits.policies.partner.limit", "5000/min")];
    let app = boot_with(&settings).await;
    let (admin, owner) = (app.admin().await, app.user().await);
    let mut keys = Vec::new();
    for name in ["plain", "partner"] {
        let made = owner.post("/api/v1/auth/api-keys", json!({"name": name})).await;
        keys.push((
            made.json["id"].as_str().expect("an id").to_owned(),
            made.json["key"].as_str().expect("a key").to_owned(),
        ));
    }
    let path = format!("/api/v1/auth/api-keys/{}/limit", keys[1].0);
    assert_eq!(admin.put(&path, &[], json!({"policy": "partner"})).await.status, 200);
    let service = admin.post("/api/v1/auth/services", json!({"name": "gateway"})).await;
    let service =
        ["client_id", "client_secret"].map(|name| service.json[name].as_str().expect("it is shown"));
    let email = owner.get("/api/v1/auth/me").await.json["email"].as_str().expect("an address").to_owned();
    let mut browser = app.browser();
    browser.open("/login").await;
    assert_eq!(browser.submit("/login", &[("name", &email), ("password", PASSWORD)]).await.status, 303);

    let introspect = async |id: &str, secret: &str| {
        let basic = format!("Basic {}", STANDARD.encode(format!("{id}:{secret}")));
        let headers =
            [("authorization", basic.as_str()), ("content-type", "application/x-www-form-urlencoded")];
        app.anonymous().raw(Method::POST, "/api/v1/auth/introspect", &headers, "token=x").await
    };
    let page = async |cookie: &str| {
        app.anonymous().get_with("/console/account", &[("cookie", &format!("mainstay={cookie}"))]).await
    };
    let made_up = |prefix: &str, number: u32| format!("{prefix}{number:043}");
    while app.anonymous().get(BOOKS).await.status != 429 {}
    app.settle().await;

    // Whatever is made up is refused, and nobody is asked about it.
    let before = statements(&app).await;
    for number in 0..20 {
        let with_key = app.with_token(&made_up("mst_", number)).get("/api/v1/auth/me").await;
        let with_secret = introspect(&made_up("svc_", number)[..26], &made_up("mss_", number)).await;
        let with_others_secret = introspect(&made_up("svc_", number)[..26], service[1]).await;
        let with_cookie = page(&made_up("", number)).await;
        // A node that has not heard of a key would look for it, and its sender wait for that.
        let head = format!(r#"{{"typ":"at+jwt","alg":"EdDSA","kid":"{number:016}"}}"#);
        let token = format!(
            "{}.{}.{}",
            URL_SAFE_NO_PAD.encode(&head),
            URL_SAFE_NO_PAD.encode("{}"),
            URL_SAFE_NO_PAD.encode("x")
        );
        let with_token = app.with_token(&token).get("/api/v1/auth/me").await;
        for refused in [with_key, with_secret, with_others_secret, with_cookie, with_token] {
            assert_eq!(refused.status.as_u16(), 429);
            assert_eq!(refused.header("ratelimit"), r#""default";r=0;t=60"#);
            assert_eq!(refused.header("retry-after"), "60");
        }
    }
    assert_eq!(statements(&app).await, before);

    // Who is somebody has what is theirs, at this address too.
    for ((_, key), limit) in keys.iter().zip(["1000", "5000"]) {
        let reply = app.with_token(key).get("/api/v1/auth/me").await;
        assert_eq!((reply.status.as_u16(), reply.header("x-ratelimit-limit")), (200, limit));
    }
    assert_eq!(owner.get("/api/v1/auth/me").await.status, 200);
    assert_eq!(introspect(service[0], service[1]).await.status, 200);
    assert_eq!(page(browser.cookie("mainstay").expect("it is signed in")).await.status, 200);

    // When the minute is over, what is made up is looked up again, and counted.
    app.advance(Duration::from_secs(60));
    assert_eq!(app.with_token(&made_up("mst_", 0)).get("/api/v1/auth/me").await.status, 401);
}

#[tokio::test]
async fn whoever_may_not_is_counted_too() {
    let app = boot_with(&[("limits.signed_in", "3/min")]).await;
    let user = app.user().await;
    let statuses = times(5, async || user.post(BOOKS, json!({})).await).await;
    assert_eq!(statuses, [403, 403, 403, 429, 429]);
}

#[tokio::test]
async fn addresses_that_lead_nowhere_are_counted_and_refused() {
    let app = boot_with(&[("limits.anonymous", "3/min")]).await;
    let caller = app.anonymous();
    assert_eq!(times(2, async || caller.get("/api/v1/nowhere").await).await, [404; 2]);
    assert_eq!(caller.raw(Method::PATCH, BOOKS, &[], "").await.status, 405);
    let refused = caller.get("/api/v1/nowhere").await;
    assert_eq!((refused.status.as_u16(), refused.code()), (429, "rate_limited"));
    assert_eq!(caller.raw(Method::PATCH, BOOKS, &[], "").await.status, 429);
    let page = caller.raw(Method::GET, "/nowhere", &[("accept", "text/html")], "").await;
    assert_eq!((page.status.as_u16(), page.header("content-type")), (429, "text/html; charset=utf-8"));
}

#[tokio::test]
async fn monitors_documents_and_what_pages_are_made_of_are_not_limited() {
    let app = boot_with(&[("limits.anonymous", "1/min")]).await;
    let caller = app.anonymous();
    assert_eq!(times(2, async || caller.get(BOOKS).await).await, [200, 429]);
    for path in [
        "/healthz",
        "/readyz",
        "/metrics",
        "/openapi.json",
        "/docs",
        "/docs/errors",
        "/console/assets/none.css",
    ] {
        let reply = caller.get(path).await;
        assert!([200, 404].contains(&reply.status.as_u16()), "{path}: {}", reply.status);
        assert_eq!(reply.header("ratelimit"), "", "{path}");
    }
    assert_eq!(caller.get("/readyz").await.json["parts"]["limits"], "ok");
    let metrics = caller.get("/metrics").await.text();
    let line = r#"limits_decisions_total{policy="anonymous",outcome="refused",answer="memory"} 1"#;
    assert!(metrics.contains(line), "{metrics}");
}

#[tokio::test]
async fn dear_routes_cost_more() {
    let app = boot_with(&[("limits.anonymous", "25/min")]).await;
    let caller = app.anonymous();
    let export = async || caller.get("/api/v1/books/export?format=csv").await;
    assert_eq!(export().await.header("x-ratelimit-remaining"), "15");
    assert_eq!(times(2, export).await, [200, 429]);
    assert_eq!(caller.get(BOOKS).await.status, 200);

    // A limit below the cost is not for ever: it takes all of it.
    let app = boot_with(&[("limits.anonymous", "4/min")]).await;
    let export = app.anonymous().get("/api/v1/books/export?format=csv").await;
    assert_eq!((export.status.as_u16(), export.header("x-ratelimit-remaining")), (200, "0"));
}

#[tokio::test]
async fn policies_of_ones_own_apply_to_groups_areas_operations_and_kinds_of_callers() {
    let app = boot_with(&[
        ("limits.policies.search.limit", "2/min"),
        ("limits.policies.search.routes", "search_books"),
        ("limits.policies.search.callers", "anonymous"),
        ("limits.policies.area.limit", "5/min exact"),
        ("limits.policies.area.routes", "library"),
        ("limits.policies.area.by", "address"),
    ])
    .await;
    let (caller, user) = (app.anonymous(), app.user().await);
    let search = "/api/v1/books/search?q=x";
    let reply = caller.get(search).await;
    let names: Vec<_> = reply.header("ratelimit-policy").split(';').collect();
    assert_eq!(
        reply.header("ratelimit-policy"),
        r#""area";q=5;w=60, "search";q=2;w=60, "default";q=100;w=60"#,
        "{names:?}"
    );
    assert_eq!(caller.get(search).await.status, 200);
    let refused = caller.get(search).await;
    assert_eq!(refused.json["violated-policies"], json!(["search"]));
    // The user is under one of them only, which counts the address: two of five were taken.
    let reply = user.get(search).await;
    assert_eq!(reply.header("ratelimit-policy"), r#""area";q=5;w=60, "default";q=1000;w=60"#);
    assert_eq!(reply.header("x-ratelimit-remaining"), "2");
    assert_eq!(user.get("/api/v1/auth/me").await.header("ratelimit-policy"), r#""default";q=1000;w=60"#);
}

#[tokio::test]
async fn an_administrator_gives_a_key_a_limit_of_its_own() {
    let app =
        boot_with(&[("limits.policies.partner.limit", "5000/min"), ("limits.policies.trial.limit", "2/min")])
            .await;
    let (admin, owner) = (app.admin().await, app.user().await);
    let made = owner.post("/api/v1/auth/api-keys", json!({"name": "robot"})).await;
    assert_eq!(made.json["limit_policy"], json!(null));
    let robot = app.with_token(made.json["key"].as_str().expect("a key"));
    let path = format!("/api/v1/auth/api-keys/{}/limit", made.json["id"].as_str().expect("an id"));
    assert_eq!(robot.get(BOOKS).await.header("x-ratelimit-limit"), "1000");

    let put = async |caller: &Client, policy: &str| caller.put(&path, &[], json!({"policy": policy})).await;
    assert_eq!(put(&owner, "partner").await.status, 403);
    let unknown = put(&admin, "partnre").await;
    assert_eq!(
        (unknown.status.as_u16(), &unknown.json["errors"][0]["code"]),
        (422, &json!("unknown_policy"))
    );
    assert!(unknown.text().contains("there are partner, trial"), "{}", unknown.text());
    let limited = put(&admin, "partner").await;
    assert_eq!((limited.status.as_u16(), &limited.json["limit_policy"]), (200, &json!("partner")));
    assert_eq!(robot.get(BOOKS).await.header("ratelimit-policy"), r#""partner";q=5000;w=60"#);
    assert_eq!(put(&admin, "trial").await.status, 200);
    assert_eq!(times(3, async || robot.get(BOOKS).await).await, [200, 200, 429]);

    let list = owner.get("/api/v1/auth/api-keys").await;
    assert_eq!(list.json["items"][0]["limit_policy"], "trial");
    let back = admin.delete(&path, &[]).await;
    assert_eq!((back.status.as_u16(), &back.json["limit_policy"]), (200, &json!(null)));
    assert_eq!(robot.get(BOOKS).await.header("x-ratelimit-limit"), "1000");
    let nobodys = "/api/v1/auth/api-keys/018f0000-0000-7000-8000-000000000000/limit";
    assert_eq!(admin.delete(nobodys, &[]).await.code(), "api_key_not_found");
}

/// Lines of the log, kept.
#[derive(Clone, Debug, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("nobody panicked").write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn a_key_whose_policy_is_gone_counts_as_its_owner_and_is_warned_of_once() {
    let log = Log::default();
    let writer = log.clone();
    let lines = tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).finish();
    let _guard = tracing::subscriber::set_default(lines);
    let app = boot_with(&[("limits.policies.partner.limit", "5000/min")]).await;
    let (admin, owner) = (app.admin().await, app.user().await);
    let mut keys = Vec::new();
    for name in ["one", "two"] {
        let made = owner.post("/api/v1/auth/api-keys", json!({"name": name})).await;
        let path = format!("/api/v1/auth/api-keys/{}/limit", made.json["id"].as_str().expect("an id"));
        assert_eq!(admin.put(&path, &[], json!({"policy": "partner"})).await.status, 200);
        keys.push(made.json["key"].as_str().expect("a key").to_owned());
    }

    let config = default_limits().set("limits.signed_in", "5/min", "test");
    let node =
        app.another_node_with(config, |backend| backend.with(Organizations::new).with(Library::new)).await;
    let owner = node.with_token(owner.token().expect("signed in"));
    let callers = [node.with_token(&keys[0]), node.with_token(&keys[1]), owner];
    let mut answers = Vec::new();
    for caller in callers.iter().cycle().take(7) {
        let reply = caller.get(BOOKS).await;
        assert_eq!(reply.header("ratelimit-policy"), r#""default";q=5;w=60"#);
        answers.push(reply.status.as_u16());
    }
    assert_eq!(answers, [200, 200, 200, 200, 200, 429, 429]);
    let bytes = log.0.lock().expect("nobody panicked").clone();
    let text = String::from_utf8(bytes).expect("it is text");
    let warnings: Vec<&str> = text.lines().filter(|line| line.contains("no longer have")).collect();
    assert_eq!(warnings.len(), 1, "{text}");
    assert!(warnings[0].contains("WARN") && warnings[0].contains("partner"), "{warnings:?}");
}

#[tokio::test]
async fn keys_do_not_multiply_the_limit_of_whoever_makes_them() {
    let app = boot_with(&[("limits.signed_in", "5/min")]).await;
    let owner = app.user().await;
    let mut robots = Vec::new();
    for name in ["one", "two"] {
        let made = owner.post("/api/v1/auth/api-keys", json!({"name": name})).await;
        robots.push(app.with_token(made.json["key"].as_str().expect("a key")));
    }
    let mut answers = Vec::new();
    for caller in robots.iter().chain([&owner]).cycle().take(6) {
        answers.push(caller.get(BOOKS).await.status.as_u16());
    }
    // Two of the five went into making the keys.
    assert_eq!(answers, [200, 200, 200, 429, 429, 429]);
}

#[tokio::test]
async fn a_policy_of_the_route_and_of_the_key_counts_a_call_once() {
    let policy =
        [("limits.policies.search.limit", "2/min"), ("limits.policies.search.routes", "search_books")];
    let app = boot_with(&policy).await;
    let (admin, owner) = (app.admin().await, app.user().await);
    let made = owner.post("/api/v1/auth/api-keys", json!({"name": "robot"})).await;
    let robot = app.with_token(made.json["key"].as_str().expect("a key"));
    let path = format!("/api/v1/auth/api-keys/{}/limit", made.json["id"].as_str().expect("an id"));
    assert_eq!(admin.put(&path, &[], json!({"policy": "search"})).await.status, 200);
    let search = format!("{BOOKS}/search?q=a");
    assert_eq!(times(3, async || robot.get(&search).await).await, [200, 200, 429]);
}

#[tokio::test]
async fn limits_can_be_switched_off_one_by_one_and_all_together() {
    let app = boot_with(&[("limits.anonymous", "off")]).await;
    assert_eq!(app.anonymous().get(BOOKS).await.header("ratelimit"), "");
    assert_eq!(sign_in(&app.anonymous()).await.header("ratelimit-policy"), r#""auth";q=10;w=60"#);

    let app = boot_with(&[("limits.enabled", "false")]).await;
    assert_eq!(times(150, async || app.anonymous().get(BOOKS).await).await, [200; 150]);
    assert_eq!(app.anonymous().get("/readyz").await.json["parts"]["limits"], json!(null));
}

#[tokio::test]
async fn a_policy_for_what_is_not_there_is_a_fault() {
    let faults = |settings: &[(&str, &str)]| {
        let config = Config::defaults().set("secret_key", "a secret for tests, and long enough", "test");
        let config = config.set("database.url", "sqlite::memory:", "test");
        let config = settings.iter().fold(config, |config, (key, value)| config.set(key, *value, "test"));
        let backend = Backend::new(config).expect("it can be built").with(Identity::new).with(Library::new);
        backend.check_settings().err().map(|error| error.to_string()).unwrap_or_default()
    };
    let text = faults(&[
        ("limits.policies.a.limit", "5/min"),
        ("limits.policies.a.routes", "libary, search_books, *, auth, export_boks"),
        ("limits.signed_in", "lots"),
        ("redis.url", "http://example.com"),
    ]);
    for fault in [
        "\"libary\": there are the groups default, auth, uploads, the areas ",
        "\"export_boks\"",
        "limits.signed_in is no limit",
        "redis.url: this is no URL",
    ] {
        assert!(text.contains(fault), "{fault} in {text}");
    }
    assert!(!text.contains("\"search_books\"") && !text.contains("\"*\""), "{text}");
}

#[tokio::test]
async fn the_document_tells_of_limits_where_there_are_any() {
    let app = boot(default_limits()).await;
    let document = app.contract().document();
    let mut unlimited = 0;
    for route in app.contract().routes().iter().filter(|route| route.documented) {
        let operation = document.operation(route.method.as_str(), &route.path).expect("it is documented");
        let what = format!("{} {}", route.method, route.path);
        let refusal = &operation["responses"]["429"];
        if route.group == RouteGroup::Unlimited {
            unlimited += 1;
            assert!(refusal.is_null() && !operation.to_string().contains("RateLimit"), "{what}");
            continue;
        }
        let problem = &refusal["content"]["application/problem+json"];
        assert!(problem["examples"]["rate_limited"].is_object(), "{what}");
        for (status, response) in operation["responses"].as_object().expect("responses") {
            let told = [
                "RateLimit-Policy",
                "RateLimit",
                "X-RateLimit-Limit",
                "X-RateLimit-Remaining",
                "X-RateLimit-Reset",
            ];
            if status.starts_with('2') || status == "429" {
                assert!(told.iter().all(|name| response["headers"][name].is_object()), "{what} {status}");
            }
        }
    }
    assert_eq!(unlimited, 2);
}

#[tokio::test]
async fn browsers_of_other_origins_may_read_the_headers() {
    let app = boot_with(&[("http.cors_origins", "https://app.example.com")]).await;
    let reply = app.anonymous().raw(Method::GET, BOOKS, &[("origin", "https://app.example.com")], "").await;
    let exposed = reply.header("access-control-expose-headers");
    for name in
        ["ratelimit", "ratelimit-policy", "x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset"]
    {
        assert!(exposed.split(',').any(|exposed| exposed.trim() == name), "{name} in {exposed}");
    }
}
