//! Whether there is an account is not told.

use std::time::Duration;

use mainstay_testkit::{Reply, TestApp, json};
use tokio::task::JoinSet;

use super::recovery::{
    PASSWORD, REGISTER, address, boot_with, is_problem, looks_like, sign_in, templates, token,
};

async fn boot() -> TestApp {
    boot_with("identity.conceal_accounts", "true").await
}

async fn register(app: &TestApp, name: &str, username: Option<&str>) -> Reply {
    let mut body = json!({"email": address(name), "password": PASSWORD});
    if let Some(username) = username {
        body["username"] = json!(username);
    }
    app.anonymous().post(REGISTER, body).await
}

#[tokio::test]
async fn free_and_taken_names_get_one_answer_and_the_owner_a_mail() {
    let app = boot().await;
    let free = register(&app, "ada", Some("ada")).await;
    assert_eq!((free.status.as_u16(), free.bytes.len(), free.header("location")), (202, 0, ""));
    assert_eq!(templates(&app, "ada").await, ["identity.verify_email"]);
    app.advance(Duration::from_secs(1));

    let hashed = app.passwords().verifications();
    let taken_address = register(&app, "ada", Some("other")).await;
    let taken_both = register(&app, "ada", Some("ADA")).await;
    let taken_username = register(&app, "bob", Some("Ada")).await;
    let derived = register(&app, "ada", None).await;
    for reply in [&taken_address, &taken_both, &taken_username, &derived] {
        assert_eq!(looks_like(reply), looks_like(&free));
    }
    assert_eq!(app.passwords().verifications(), hashed);

    // However often somebody tries: one mail a minute.
    assert_eq!(templates(&app, "ada").await, ["identity.verify_email", "identity.address_in_use"]);
    app.advance(Duration::from_secs(60));
    register(&app, "ada", None).await;
    assert_eq!(templates(&app, "ada").await.len(), 3);
    assert_eq!(templates(&app, "bob").await, ["identity.verify_email"]);

    // Signing in tells nothing either: who registered an address just now hears the same whether it was free.
    let login = |name: &str| {
        let (caller, body) = (app.anonymous(), json!({"email": address(name), "password": PASSWORD}));
        async move { caller.post("/api/v1/auth/login", body).await }
    };
    for name in ["ada", "bob", "nobody"] {
        is_problem(&login(name).await, 401, "invalid_credentials");
    }

    // Proven, they sign in. Another name was made for the second one; the first one's is untouched.
    for name in ["ada", "bob"] {
        let mails = app.mails_to(&address(name)).await;
        let proof = json!({"token": token(&mails[0])});
        assert_eq!(app.anonymous().post("/api/v1/auth/verify-email", proof).await.status, 204);
        assert_eq!(login(name).await.status, 200);
    }
    assert_eq!(sign_in(&app.anonymous(), "ada", PASSWORD).await.status, 200);
}

#[tokio::test]
async fn faults_are_told_as_ever_and_nothing_of_the_account_changes() {
    let app = boot().await;
    register(&app, "ada", None).await;
    for name in ["ada", "free"] {
        let body = json!({"email": address(name), "password": address(name)});
        let reply = app.anonymous().post(REGISTER, body).await;
        assert_eq!(reply.faults(), [("password", "guessable_password")]);
    }
    let body = json!({"email": "ada@example.com", "password": "somebody else's engine"});
    assert_eq!(app.anonymous().post(REGISTER, body.clone()).await.status, 202);
    is_problem(&app.anonymous().post("/api/v1/auth/login", body).await, 401, "invalid_credentials");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_at_once_one_account_comes_and_all_hear_the_same() {
    let app = boot().await;
    let mut tasks = JoinSet::new();
    for number in 0..20 {
        let caller = app.anonymous();
        let body = json!({"email": "ada@example.com", "password": format!("engine number {number}")});
        tasks.spawn(async move { caller.post(REGISTER, body).await.status.as_u16() });
    }
    assert_eq!(tasks.join_all().await, [202; 20]);
    let found = app.admin().await.get("/api/v1/users?q=ada").await;
    assert_eq!(found.json["total"], 1);
}
