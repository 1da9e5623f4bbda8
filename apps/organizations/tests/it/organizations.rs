//! Organizations as a client meets them.

use std::sync::Mutex;
use std::time::Duration;

use mainstay_app::App as _;
use mainstay_organizations::Organizations;
use mainstay_testkit::{TestApp, json};

use crate::support::{audited, boot, events, join, organization, outcome, people, roles, website};

#[tokio::test]
async fn an_organization_is_made_read_changed_and_deleted() {
    let app = boot().await;
    let [ada] = people(&app).await;

    let made = ada.post("/api/v1/organizations", json!({"name": " Harbor  Works "})).await;
    assert_eq!((made.status.as_u16(), made.header("etag")), (201, "\"1\""));
    assert_eq!((&made.json["name"], &made.json["role"]), (&json!("Harbor Works"), &json!("admin")));
    let path = made.header("location").to_owned();
    assert_eq!(roles(&ada, &path).await, [(ada.id.clone(), "admin".to_owned())]);
    let read = ada.get(&path).await;
    assert_eq!((read.json, read.headers["etag"].to_str().unwrap()), (made.json, "\"1\""));
    assert_eq!(ada.get_with(&path, &[("if-none-match", "\"1\"")]).await.status, 304);

    app.advance(Duration::from_secs(1));
    let changed = ada.patch(&path, &[("if-match", "\"1\"")], json!({"name": "Harbour"})).await;
    assert_eq!((changed.status.as_u16(), changed.header("etag")), (200, "\"2\""));
    assert_eq!(changed.json["updated_at"], "2026-01-31T09:30:01.000Z");
    let entry = audited(&app, &changed).await.remove(0);
    assert_eq!(
        (entry.0.as_str(), &entry.2["name"]),
        ("organization.updated", &json!({"before": "Harbor Works", "after": "Harbour"}))
    );
    let same = ada.patch(&path, &[], json!({"name": "Harbour"})).await;
    assert_eq!(same.header("etag"), "\"2\"");
    let stale = ada.patch(&path, &[("if-match", "\"1\"")], json!({"name": "X"})).await;
    assert_eq!(outcome(&stale), (412, "stale"));

    let unconfirmed = ada.delete(&path, &[]).await;
    assert_eq!(
        (outcome(&unconfirmed), unconfirmed.faults()),
        ((422, "validation_failed"), vec![("confirm", "required")])
    );
    let wrong = ada.delete(&format!("{path}?confirm=harbour"), &[]).await;
    assert_eq!(wrong.faults(), [("confirm", "confirmation_mismatch")]);
    let gone = ada.delete(&format!("{path}?confirm=Harbour"), &[("if-match", "\"2\"")]).await;
    assert_eq!(gone.status, 204);
    assert_eq!(outcome(&ada.get(&path).await), (404, "organization_not_found"));
}

#[tokio::test]
async fn one_account_belongs_to_many_and_lists_its_own() {
    let app = boot().await;
    let [ada, bob] = people(&app).await;
    for name in ["zeta", "Émile's", "beta"] {
        organization(&ada, name).await;
    }
    let of_bob = organization(&bob, "Alpha").await;
    join(&bob, &of_bob, &ada, "user").await;

    let list = ada.get("/api/v1/organizations?page_size=3").await;
    let names = |list: &mainstay_testkit::Reply| -> Vec<(String, String)> {
        let items = list.json["items"].as_array().unwrap();
        items
            .iter()
            .map(|item| (item["name"].as_str().unwrap().into(), item["role"].as_str().unwrap().into()))
            .collect()
    };
    let pair = |name: &str, role: &str| (name.to_owned(), role.to_owned());
    assert_eq!(names(&list), [pair("Alpha", "user"), pair("beta", "admin"), pair("Émile's", "admin")]);
    assert_eq!(list.json["total"], 5);
    let next =
        format!("/api/v1/organizations?page_size=3&cursor={}", list.json["next_cursor"].as_str().unwrap());
    let rest = names(&ada.get(&next).await);
    assert_eq!(rest, [pair("user-0's organization", "admin"), pair("zeta", "admin")]);
    assert_eq!(names(&bob.get("/api/v1/organizations?sort=-created_at").await).len(), 2);
    assert_eq!(ada.get("/api/v1/organizations?sort=owner").await.status, 422);
}

#[tokio::test]
async fn names_are_checked_and_all_faults_told() {
    let app = boot().await;
    let [ada] = people(&app).await;
    let reply = ada.post("/api/v1/organizations", json!({"name": "", "color": "red"})).await;
    assert_eq!(reply.faults(), [("name", "too_short"), ("color", "unknown_field")]);
    let long = ada.post("/api/v1/organizations", json!({"name": "x".repeat(101)})).await;
    assert_eq!(long.faults(), [("name", "too_long")]);
}

#[tokio::test]
async fn deleting_takes_all_that_belongs_to_it() {
    let app = boot().await;
    let [ada, bob] = people(&app).await;
    let path = organization(&ada, "Harbor").await;
    let site = website(&ada, &path, "https://harbor.example/").await;
    join(&ada, &path, &bob, "user").await;
    join(&ada, &site, &bob, "admin").await;
    let token = crate::support::token(&ada, &path, "new@example.com", "user").await;
    let before = events(&app).await.len();

    assert_eq!(ada.delete(&format!("{path}?confirm=Harbor"), &[]).await.status, 204);

    assert_eq!(bob.get(&site).await.status, 404);
    assert_eq!(bob.get("/api/v1/organizations").await.json["total"], 1);
    assert_eq!(app.anonymous().get(&format!("/api/v1/invitations/{token}")).await.status, 410);
    let kinds: Vec<_> = events(&app).await.split_off(before).into_iter().map(|(kind, _)| kind).collect();
    assert_eq!(kinds, ["website.deleted", "organization.deleted"]);
}

#[tokio::test]
async fn demo_data_is_there_once() {
    let made = Mutex::new(None);
    let app = TestApp::boot(|backend| {
        let organizations = Organizations::new(backend.platform());
        *made.lock().unwrap() = Some(organizations.clone());
        backend.with(|_| organizations)
    })
    .await;
    let organizations = made.into_inner().unwrap().unwrap();
    assert!(
        organizations.seed_demo().await.unwrap().is_empty(),
        "without accounts there is nobody to own it"
    );
    app.identity().seed_demo().await.unwrap();

    assert_eq!(organizations.seed_demo().await.unwrap().len(), 1);
    assert!(organizations.seed_demo().await.unwrap().is_empty());

    let body = json!({"email": "user@example.com", "password": "look-around-42"});
    let signed_in = app.anonymous().post("/api/v1/auth/login", body).await;
    let user = app.with_token(signed_in.json["access_token"].as_str().unwrap());
    let list = user.get("/api/v1/organizations").await;
    let names: Vec<_> =
        list.json["items"].as_array().unwrap().iter().map(|item| item["name"].clone()).collect();
    assert_eq!(names, ["Harbor Works", "Orchard & Sons", "user's organization"]);
    assert_eq!(app.mails_to("guest@example.com").await.len(), 1);
}
