use mainstay_testkit::{TestApp, json};
use tokio::task::JoinSet;

const REGISTER: &str = "/api/v1/auth/register";

async fn boot() -> TestApp {
    TestApp::boot(|backend| backend).await
}

#[tokio::test]
async fn an_account_is_made_and_says_nothing_of_its_password() {
    let app = boot().await;

    let reply = app
        .anonymous()
        .post(REGISTER, json!({"email": "Ada@Example.com", "password": "a fine engine"}))
        .await;

    assert_eq!(reply.status, 201, "{}", reply.text());
    assert_eq!(reply.header("location"), "/api/v1/auth/me");
    assert_eq!(reply.json["email"], "Ada@Example.com");
    assert_eq!(reply.json["username"], "ada");
    assert_eq!(reply.json["roles"], json!(["user"]));
    assert_eq!(reply.json["email_verified"], false);
    assert_eq!(reply.json["created_at"], "2026-01-31T09:30:00.000Z");
    assert!(!reply.text().contains("engine") && !reply.text().contains("argon2"));
}

#[tokio::test]
async fn every_fault_is_told_at_once() {
    let app = boot().await;

    let body = json!({"email": "nobody", "password": "short", "username": "a b", "nmae": "x"});
    let reply = app.anonymous().post(REGISTER, body).await;

    assert_eq!((reply.status.as_u16(), reply.code()), (422, "validation_failed"));
    let expected = [
        ("email", "invalid_email"),
        ("password", "too_short"),
        ("username", "invalid_username"),
        ("nmae", "unknown_field"),
    ];
    assert_eq!(reply.faults(), expected);
}

#[tokio::test]
async fn addresses_and_names_are_taken_whatever_their_case() {
    let app = boot().await;
    let caller = app.anonymous();
    caller
        .post(REGISTER, json!({"email": "ada@example.com", "password": "a fine engine", "username": "Ada"}))
        .await;

    let same_address = json!({"email": "ADA@example.com", "password": "a fine engine", "username": "other"});
    let reply = caller.post(REGISTER, same_address).await;
    assert_eq!((reply.status.as_u16(), reply.code()), (409, "email_taken"));
    assert_eq!(reply.faults(), [("email", "email_taken")]);

    let same_name = json!({"email": "other@example.com", "password": "a fine engine", "username": "aDA"});
    let reply = caller.post(REGISTER, same_name).await;
    assert_eq!((reply.status.as_u16(), reply.code()), (409, "username_taken"));
}

#[tokio::test]
async fn a_made_name_gives_way_to_a_taken_one() {
    let app = boot().await;
    let caller = app.anonymous();
    for host in ["one", "two"] {
        let body = json!({"email": format!("ada@{host}.example"), "password": "a fine engine"});
        let reply = caller.post(REGISTER, body).await;
        assert_eq!(reply.status, 201);
        assert!(reply.json["username"].as_str().unwrap().starts_with("ada"));
    }
}

#[tokio::test]
async fn a_password_like_the_account_is_refused() {
    let app = boot().await;
    for password in ["ada.lovelace", "Ada.Lovelace@example.com", "password123", "Mainstay"] {
        let body = json!({"email": "ada.lovelace@example.com", "password": password});
        let reply = app.anonymous().post(REGISTER, body).await;
        assert_eq!((reply.status.as_u16(), reply.faults()[0].0), (422, "password"), "{password}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_fifty_who_register_one_address_at_once_one_gets_it() {
    let app = boot().await;
    let mut tasks = JoinSet::new();
    for number in 0..50 {
        let caller = app.anonymous();
        let body = json!({"email": "ada@example.com", "password": "a fine engine", "username": format!("ada{number}")});
        tasks.spawn(async move { caller.post(REGISTER, body).await.status.as_u16() });
    }
    let statuses = tasks.join_all().await;

    assert_eq!(statuses.iter().filter(|status| **status == 201).count(), 1, "{statuses:?}");
    assert!(statuses.iter().all(|status| [201, 409].contains(status)), "{statuses:?}");
}
