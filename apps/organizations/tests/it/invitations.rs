//! Invitations: from the mail to the membership, and every other end.

use std::time::Duration;

use http::Method;
use mainstay_testkit::{TestApp, json};
use sea_orm::ConnectionTrait as _;
use sea_orm::sea_query::Query;

use crate::support::{
    Person, accept, audited, boot, events, invite, join, organization, outcome, people, person, roles, token,
    website, who,
};

const WEEK: Duration = Duration::from_secs(7 * 24 * 3600);

async fn preview(app: &TestApp, token: &str) -> mainstay_testkit::Reply {
    app.anonymous().get(&format!("/api/v1/invitations/{token}")).await
}

async fn decline(person: &Person, token: &str) -> mainstay_testkit::Reply {
    person.post("/api/v1/invitations/decline", json!({"token": token})).await
}

#[tokio::test]
async fn an_invitation_is_mailed_shown_and_accepted_once() {
    let app = boot().await;
    let [ada, bob] = people(&app).await;
    ada.patch("/api/v1/auth/me", &[], json!({"name": "Ada Lovelace"})).await;
    let path = organization(&ada, "Harbor").await;

    let made = invite(&ada, &path, &bob.email.to_uppercase(), "user").await;
    assert_eq!(made.status, 201, "{}", made.text());
    let (id, token) = (made.json["id"].as_str().unwrap(), made.json["token"].as_str().unwrap());
    assert_eq!(made.header("location"), format!("{path}/invitations/{id}"));
    assert_eq!(
        (&made.json["status"], &made.json["expires_at"]),
        (&json!("pending"), &json!("2026-02-07T09:30:00.000Z"))
    );
    let link = made.json["link"].as_str().unwrap();
    assert!(
        link.starts_with("http") && link.ends_with(&format!("/console/invitations/accept?token={token}"))
    );

    let mails = app.mails_to(&bob.email).await;
    let mail = mails.iter().find(|mail| mail.mail.template == "organizations.invitation").unwrap();
    assert!(mail.mail.confidential && mail.mail.subject == "You are invited to Harbor");
    let text = mail.content.as_ref().unwrap().text.replace('\n', " ");
    assert!(text.contains(token) && text.contains("Ada Lovelace invites you to Harbor as user"), "{text}");

    let shown = preview(&app, token).await;
    let expected = json!({
        "organization": "Harbor", "website": null, "role": "user", "email": "U***@EXAMPLE.COM",
        "inviter": "Ada Lovelace", "status": "pending", "expires_at": "2026-02-07T09:30:00.000Z",
    });
    assert_eq!((shown.status.as_u16(), shown.json), (200, expected));

    let accepted = accept(&bob, token).await;
    let organization_id = path.rsplit('/').next().unwrap();
    assert_eq!(
        accepted.json,
        json!({"organization_id": organization_id, "website_id": null, "role": "user"})
    );
    assert_eq!(roles(&bob, &path).await.len(), 2);
    let actions: Vec<_> = audited(&app, &accepted).await.into_iter().map(|(action, ..)| action).collect();
    assert_eq!(actions, ["invitation.accepted", "membership.added"]);
    let told = app.mails_to(&ada.email).await;
    assert!(told.iter().any(|mail| mail.mail.subject == "Your invitation to Harbor was accepted"));

    for reply in [accept(&bob, token).await, decline(&bob, token).await, preview(&app, token).await] {
        assert_eq!(outcome(&reply), (410, "token_invalid"));
    }
    let list = ada.get(&format!("{path}/invitations?status=accepted")).await;
    assert_eq!((&list.json["total"], &list.json["items"][0]["id"]), (&json!(1), &json!(id)));
    assert!(!list.text().contains("token") && !list.text().contains("link\""));
}

#[tokio::test]
async fn whether_an_account_has_the_address_is_not_shown() {
    let app = boot().await;
    let [ada, bob] = people(&app).await;
    let path = organization(&ada, "Harbor").await;
    let known = token(&ada, &path, &bob.email, "user").await;
    let unknown = token(&ada, &path, "user-x@example.com", "user").await;
    assert_eq!(preview(&app, &known).await.json, preview(&app, &unknown).await.json);
}

#[tokio::test]
async fn to_a_website_one_is_invited_to_it_alone() {
    let app = boot().await;
    let [ada, bob] = people(&app).await;
    let path = organization(&ada, "Harbor").await;
    let site = website(&ada, &path, "https://harbor.example/").await;

    let made = token(&ada, &site, &bob.email, "admin").await;
    assert_eq!(preview(&app, &made).await.json["website"], "Site");
    assert_eq!(ada.get(&format!("{path}/invitations")).await.json["total"], 0);
    let mails = app.mails_to(&bob.email).await;
    assert!(mails.iter().any(|mail| mail.mail.subject == "You are invited to Site"));
    let accepted = accept(&bob, &made).await;
    assert_eq!(accepted.json["website_id"].as_str().unwrap(), site.rsplit('/').next().unwrap());

    assert_eq!(bob.get(&site).await.json["role"], "admin");
    assert_eq!(outcome(&bob.get(&path).await), (404, "organization_not_found"));
}

#[tokio::test]
async fn dead_tokens_of_every_kind_answer_alike() {
    let app = boot().await;
    let [ada, bob] = people(&app).await;
    let path = organization(&ada, "Harbor").await;

    let revoked = invite(&ada, &path, &bob.email, "user").await;
    let id = revoked.json["id"].as_str().unwrap();
    assert_eq!(ada.delete(&format!("{path}/invitations/{id}"), &[]).await.status, 204);
    let again = ada.delete(&format!("{path}/invitations/{id}"), &[]).await;
    assert_eq!(outcome(&again), (409, "invitation_decided"));
    let resent = ada.raw(Method::POST, &format!("{path}/invitations/{id}/resend"), &[], "").await;
    assert_eq!(outcome(&resent), (409, "invitation_decided"));

    let declined = token(&ada, &path, &bob.email, "user").await;
    let reply = app.anonymous().post("/api/v1/invitations/decline", json!({"token": declined})).await;
    assert_eq!(reply.status, 204);

    let expired = token(&ada, &path, &bob.email, "user").await;
    app.advance(WEEK);
    let bob = Person { client: app.with_token(&sign_in(&app, &bob).await), ..bob };

    let mut answers = Vec::new();
    for token in [revoked.json["token"].as_str().unwrap(), &declined, &expired, "never given"] {
        let reply = accept(&bob, token).await;
        assert_eq!(outcome(&reply), (410, "token_invalid"));
        answers.push(reply.json["detail"].clone());
        assert_eq!(outcome(&preview(&app, &token.replace(' ', "%20")).await), (410, "token_invalid"));
    }
    assert!(answers.iter().all(|answer| *answer == answers[0]));
}

/// Sessions end; a week later one signs in again.
async fn sign_in(app: &TestApp, person: &Person) -> String {
    let body = json!({"email": person.email, "password": "tests only 4711"});
    let reply = app.anonymous().post("/api/v1/auth/login", body).await;
    reply.json["access_token"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn one_is_pending_for_an_address_and_place() {
    let app = boot().await;
    let [ada, bob] = people(&app).await;
    let path = organization(&ada, "Harbor").await;
    let site = website(&ada, &path, "https://harbor.example/").await;

    assert_eq!(invite(&ada, &path, "new@example.com", "user").await.status, 201);
    let second = invite(&ada, &path, "NEW@example.com", "admin").await;
    assert_eq!(
        (outcome(&second), second.faults()),
        ((409, "invitation_pending"), vec![("email", "invitation_pending")])
    );
    assert_eq!(invite(&ada, &site, "new@example.com", "user").await.status, 201);
    assert_eq!(outcome(&invite(&ada, &site, "new@example.com", "user").await), (409, "invitation_pending"));

    join(&ada, &path, &bob, "user").await;
    let member = invite(&ada, &path, &bob.email, "admin").await;
    assert_eq!(
        (outcome(&member), member.faults()),
        ((409, "already_member"), vec![("email", "already_member")])
    );

    app.advance(WEEK);
    let ada = Person { client: app.with_token(&sign_in(&app, &ada).await), ..ada };
    let expired = ada.get(&format!("{path}/invitations?status=expired")).await;
    assert_eq!((&expired.json["total"], &expired.json["items"][0]["status"]), (&json!(1), &json!("expired")));
    assert_eq!(ada.get(&format!("{path}/invitations?status=pending")).await.json["total"], 0);
    assert_eq!(invite(&ada, &path, "new@example.com", "user").await.status, 201, "the first one has expired");
    // Which stands in the way of the first one now.
    let first = expired.json["items"][0]["id"].as_str().unwrap();
    let resent = ada.raw(Method::POST, &format!("{path}/invitations/{first}/resend"), &[], "").await;
    assert_eq!(outcome(&resent), (409, "invitation_pending"));
}

#[tokio::test]
async fn sending_again_renews_the_time_and_the_link() {
    let app = boot().await;
    let [ada, bob] = people(&app).await;
    let path = organization(&ada, "Harbor").await;
    let made = invite(&ada, &path, &bob.email, "user").await;
    let (id, first) = (made.json["id"].as_str().unwrap(), made.json["token"].as_str().unwrap());
    app.settle().await;
    app.advance(WEEK);
    let ada = Person { client: app.with_token(&sign_in(&app, &ada).await), ..ada };
    let bob = Person { client: app.with_token(&sign_in(&app, &bob).await), ..bob };

    let resent = ada.raw(Method::POST, &format!("{path}/invitations/{id}/resend"), &[], "").await;
    assert_eq!((resent.status.as_u16(), &resent.json["status"]), (200, &json!("pending")));
    assert_eq!(resent.json["expires_at"], "2026-02-14T09:30:00.000Z");
    let second = resent.json["token"].as_str().unwrap();
    let mails = app.mails_to(&bob.email).await;
    let texts: Vec<_> = mails
        .iter()
        .filter(|mail| mail.mail.template == "organizations.invitation")
        .map(|mail| mail.content.as_ref().unwrap().text.clone())
        .collect();
    assert!(texts.len() == 2 && texts[1].contains(second), "{texts:?}");

    assert_eq!(outcome(&accept(&bob, first).await), (410, "token_invalid"));
    assert_eq!(accept(&bob, second).await.status, 200);
}

#[tokio::test]
async fn it_is_for_its_address_and_the_address_must_be_proven() {
    let app = boot().await;
    let [ada, bob] = people(&app).await;
    let path = organization(&ada, "Harbor").await;
    let for_cyd = token(&ada, &path, "cyd@example.com", "user").await;

    assert_eq!(outcome(&accept(&bob, &for_cyd).await), (403, "invitation_for_another_address"));
    assert_eq!(outcome(&decline(&bob, &for_cyd).await), (403, "invitation_for_another_address"));
    assert_eq!(
        outcome(&app.anonymous().post("/api/v1/invitations/accept", json!({"token": for_cyd})).await),
        (401, "unauthenticated")
    );

    let body = json!({"email": "cyd@example.com", "password": "a fine engine"});
    app.anonymous().post("/api/v1/auth/register", body.clone()).await;
    let signed_in = app.anonymous().post("/api/v1/auth/login", body).await;
    let cyd = who(app.with_token(signed_in.json["access_token"].as_str().unwrap())).await;
    assert_eq!(outcome(&accept(&cyd, &for_cyd).await), (403, "invitation_needs_verified_email"));

    let mails = app.mails_to("cyd@example.com").await;
    let verify = mails.iter().find(|mail| mail.mail.template == "identity.verify_email").unwrap();
    let text = &verify.content.as_ref().unwrap().text;
    let verification = text.split("token=").nth(1).unwrap().split_whitespace().next().unwrap();
    app.anonymous().post("/api/v1/auth/verify-email", json!({"token": verification})).await;
    assert_eq!(accept(&cyd, &for_cyd).await.status, 200);
}

#[tokio::test]
async fn a_member_who_accepts_keeps_the_stronger_role() {
    let app = boot().await;
    let [ada, bob, cyd] = people(&app).await;
    let path = organization(&ada, "Harbor").await;
    // Invited before they joined by another way.
    let as_admin = token(&ada, &path, &bob.email, "admin").await;
    let as_user = token(&ada, &path, &cyd.email, "user").await;
    let site = website(&ada, &path, "https://harbor.example/").await;
    join(&ada, &site, &bob, "user").await;
    accept(&bob, &as_admin).await;
    accept(&cyd, &as_user).await;
    assert_eq!(bob.get(&path).await.json["role"], "admin");

    // A second way in: the address is not a member's while it is invited.
    let again = invite(&ada, &site, &cyd.email, "admin").await;
    accept(&cyd, again.json["token"].as_str().unwrap()).await;
    assert_eq!(cyd.get(&site).await.json["role"], "admin");
    assert_eq!(cyd.get(&path).await.json["role"], "user");
}

#[tokio::test]
async fn the_secret_is_kept_nowhere_but_in_the_mail_and_the_answer() {
    let app = boot().await;
    let [ada] = people(&app).await;
    let path = organization(&ada, "Harbor").await;
    let made = invite(&ada, &path, "new@example.com", "user").await;
    let secret = made.json["token"].as_str().unwrap();

    for (kind, data) in events(&app).await {
        assert!(
            !data.to_string().contains(secret) && !data.to_string().contains("new@example.com"),
            "{kind}"
        );
    }
    for entry in audited(&app, &made).await {
        assert!(!format!("{entry:?}").contains(secret));
    }
    let query = Query::select().column("token_hash").from("invitations").take();
    let row = app.db().primary().query_one(&query).await.unwrap().unwrap();
    assert_ne!(row.try_get::<String>("", "token_hash").unwrap(), secret);
}

#[tokio::test]
async fn a_request_that_is_sent_again_invites_once() {
    let app = boot().await;
    let [ada] = people(&app).await;
    let path = format!("{}/invitations", organization(&ada, "Harbor").await);
    let headers = [("content-type", "application/json"), ("idempotency-key", "once")];
    let body = json!({"email": "new@example.com", "role": "user"}).to_string();

    let first = ada.raw(Method::POST, &path, &headers, body.clone()).await;
    let second = ada.raw(Method::POST, &path, &headers, body).await;

    assert_eq!((first.status.as_u16(), second.status.as_u16()), (201, 201));
    assert_eq!((first.json, second.header("idempotent-replayed")), (second.json.clone(), "true"));
    assert_eq!(app.mails_to("new@example.com").await.len(), 1);
    let faults = ada.post(&path, json!({"email": "nobody", "role": "king", "x": 1})).await;
    assert_eq!(
        faults.faults(),
        [("email", "invalid_email"), ("role", "unknown_role"), ("x", "unknown_field")]
    );
}

#[tokio::test]
async fn a_mail_is_not_sent_for_an_invitation_that_was_revoked_before() {
    let app = boot().await;
    let ada = person(&app).await;
    let path = organization(&ada, "Harbor").await;
    let made = invite(&ada, &path, "new@example.com", "user").await;
    ada.delete(made.header("location"), &[]).await;
    assert!(app.mails_to("new@example.com").await.is_empty());
}
