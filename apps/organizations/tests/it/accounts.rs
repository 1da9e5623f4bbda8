//! What happens to organizations when accounts come and go.

use mainstay_organizations::Organizations;
use mainstay_testkit::{Config, Reply, TestApp, json};
use serde_json::Value;

use crate::support::{
    Person, audited, boot, events, invite, join, organization, outcome, people, roles, token, website, who,
};

const PASSWORD: &str = "a fine engine";

async fn register(app: &TestApp, body: Value) -> Reply {
    app.anonymous().post("/api/v1/auth/register", body).await
}

async fn sign_in(app: &TestApp, email: &str) -> Person {
    let reply =
        app.anonymous().post("/api/v1/auth/login", json!({"email": email, "password": PASSWORD})).await;
    who(app.with_token(reply.json["access_token"].as_str().unwrap())).await
}

async fn own(person: &Person) -> Vec<(String, String)> {
    let list = person.get("/api/v1/organizations").await;
    let text = |item: &Value, name: &str| item[name].as_str().unwrap().to_owned();
    list.json["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| (text(item, "name"), text(item, "role")))
        .collect()
}

fn pair(name: &str, role: &str) -> (String, String) {
    (name.to_owned(), role.to_owned())
}

#[tokio::test]
async fn who_registers_gets_an_organization_in_the_same_transaction() {
    let app = boot().await;
    let body = json!({"email": "ada@example.com", "password": PASSWORD});
    let made = register(&app, body).await;
    assert_eq!(made.status, 201);
    let actions: Vec<_> = audited(&app, &made).await.into_iter().map(|(action, ..)| action).collect();
    assert_eq!(actions, ["organization.created", "user.registered"]);
    assert_eq!(own(&sign_in(&app, "ada@example.com").await).await, [pair("ada's organization", "admin")]);

    let named =
        json!({"email": "bob@example.com", "password": PASSWORD, "organization_name": "Harbor Works"});
    register(&app, named).await;
    assert_eq!(own(&sign_in(&app, "bob@example.com").await).await, [pair("Harbor Works", "admin")]);

    // No account, no organization.
    let before = events(&app).await.len();
    let taken = json!({"email": "ada@example.com", "password": PASSWORD, "organization_name": "Lost"});
    assert_eq!(outcome(&register(&app, taken).await), (409, "email_taken"));
    assert_eq!(events(&app).await.len(), before);
}

#[tokio::test]
async fn the_first_administrator_has_an_organization_too() {
    let app = boot().await;
    let lines = app.start_lines().join("\n");
    let setup = lines.split("\"token\":\"").nth(1).unwrap().split('"').next().unwrap();
    let body = json!({"token": setup, "email": "root@example.com", "password": PASSWORD});
    let made = app.anonymous().post("/api/v1/setup", body).await;
    assert_eq!(made.status, 201, "{}", made.text());
    assert_eq!(own(&sign_in(&app, "root@example.com").await).await, [pair("root's organization", "admin")]);
}

#[tokio::test]
async fn who_was_invited_joins_by_registering() {
    let app = TestApp::boot_with(
        Config::defaults().set("identity.registration", "invitation", "test"),
        |backend| backend.with(Organizations::new),
    )
    .await;
    let [ada] = people(&app).await;
    let path = organization(&ada, "Harbor").await;
    let site = website(&ada, &path, "https://harbor.example/").await;
    let made = token(&ada, &path, "new@example.com", "user").await;
    let body =
        |email: &str, token: &str| json!({"email": email, "password": PASSWORD, "invitation_token": token});

    assert_eq!(outcome(&register(&app, body("other@example.com", &made)).await), (410, "token_invalid"));
    assert_eq!(outcome(&register(&app, body("new@example.com", "made up")).await), (410, "token_invalid"));
    let joined = register(&app, body("NEW@example.com", &made)).await;
    assert_eq!(
        (joined.status.as_u16(), &joined.json["email_verified"]),
        (201, &json!(true)),
        "{}",
        joined.text()
    );
    let new = sign_in(&app, "new@example.com").await;
    assert_eq!(own(&new).await, [pair("Harbor", "user")]);
    assert_eq!(roles(&new, &path).await.len(), 2);
    assert_eq!(outcome(&register(&app, body("new2@example.com", &made)).await), (410, "token_invalid"));
    let told = app.mails_to(&ada.email).await;
    assert!(told.iter().any(|mail| mail.mail.template == "organizations.invitation_accepted"));

    // Who names an organization gets it besides.
    let second = token(&ada, &path, "two@example.com", "admin").await;
    let mut named = body("two@example.com", &second);
    named["organization_name"] = json!("Also mine");
    register(&app, named).await;
    let two = sign_in(&app, "two@example.com").await;
    assert_eq!(own(&two).await, [pair("Also mine", "admin"), pair("Harbor", "admin")]);

    // Who came for a website has an organization of their own, as everybody.
    let third = token(&ada, &site, "three@example.com", "user").await;
    register(&app, body("three@example.com", &third)).await;
    let three = sign_in(&app, "three@example.com").await;
    assert_eq!(own(&three).await, [pair("three's organization", "admin")]);
    assert_eq!(three.get(&site).await.status, 200);
}

async fn remove(app: &TestApp, person: &Person) -> Reply {
    app.admin().await.delete(&format!("/api/v1/users/{}", person.id), &[]).await
}

#[tokio::test]
async fn a_removed_account_leaves_everything_and_takes_its_own_along() {
    let app = boot().await;
    let [ada, bob] = people(&app).await;
    let harbor = organization(&ada, "Harbor").await;
    let site = website(&ada, &harbor, "https://harbor.example/").await;
    join(&ada, &harbor, &bob, "admin").await;
    join(&ada, &site, &bob, "user").await;
    let own = organization(&bob, "Bob's own").await;
    let of_bob = token(&bob, &harbor, "x@example.com", "user").await;
    let to_bob = {
        let [cyd] = people(&app).await;
        let other = organization(&cyd, "Other").await;
        token(&cyd, &other, &bob.email, "user").await
    };
    let system = who(app.admin().await).await;

    let gone = remove(&app, &bob).await;
    assert_eq!(gone.status, 204, "{}", gone.text());

    assert_eq!(roles(&ada, &harbor).await, [pair(&ada.id, "admin")]);
    assert_eq!(roles(&ada, &site).await, []);
    assert_eq!(outcome(&system.get(&own).await), (404, "organization_not_found"));
    for token in [&of_bob, &to_bob] {
        assert_eq!(app.anonymous().get(&format!("/api/v1/invitations/{token}")).await.status, 410);
    }
    let actions: Vec<_> = audited(&app, &gone).await.into_iter().map(|(action, ..)| action).collect();
    assert_eq!(actions.iter().filter(|action| *action == "organization.deleted").count(), 2, "{actions:?}");
    assert_eq!(actions.iter().filter(|action| *action == "membership.removed").count(), 2, "{actions:?}");
    // What was said of their own organization, which may be named after them, is forgotten.
    let entries = audited(&app, &gone).await;
    assert!(
        entries.iter().any(|(action, _, _, details)| action == "invitation.revoked"
            && details["reason"] == "inviter_lost_role")
    );
}

#[tokio::test]
async fn the_last_admin_of_others_can_not_be_removed() {
    let app = boot().await;
    let [ada, bob] = people(&app).await;
    let harbor = organization(&ada, "Harbor").await;
    join(&ada, &harbor, &bob, "user").await;

    assert_eq!(outcome(&remove(&app, &ada).await), (409, "last_admin"));
    let by_herself = ada.raw(
        http::Method::DELETE,
        "/api/v1/auth/me",
        &[("content-type", "application/json")],
        json!({"password": "tests only 4711"}).to_string(),
    );
    assert_eq!(outcome(&by_herself.await), (409, "last_admin"));
    assert_eq!(own(&ada).await.len(), 2, "nothing happened");

    ada.patch(&format!("{harbor}/members/{}", bob.id), &[], json!({"role": "admin"})).await;
    assert_eq!(remove(&app, &ada).await.status, 204);
    assert_eq!(roles(&bob, &harbor).await, [pair(&bob.id, "admin")]);
}

#[tokio::test]
async fn an_invitation_is_forgotten_with_the_account_that_it_was_for() {
    let app = boot().await;
    let [ada, bob] = people(&app).await;
    let harbor = organization(&ada, "Harbor").await;
    let made = invite(&ada, &harbor, &bob.email, "user").await;

    remove(&app, &bob).await;

    assert_eq!(ada.get(&format!("{harbor}/invitations")).await.json["total"], 0);
    assert!(!format!("{:?}", audited(&app, &made).await).contains(&bob.email));
    let (kind, data) =
        events(&app).await.into_iter().rfind(|(kind, _)| kind == "invitation.revoked").unwrap();
    assert_eq!((kind.as_str(), &data["reason"]), ("invitation.revoked", &json!("account_removed")));
}
