//! Members: shown, changed, removed, leaving.

use mainstay_testkit::json;

use crate::support::{
    audited, boot, events, invite, join, organization, outcome, people, roles, token, website,
};

#[tokio::test]
async fn members_are_shown_with_who_they_are() {
    let app = boot().await;
    let [ada, bob] = people(&app).await;
    bob.patch("/api/v1/auth/me", &[], json!({"name": "Bob Builder"})).await;
    let path = organization(&ada, "Harbor").await;
    join(&ada, &path, &bob, "user").await;

    let list = bob.get(&format!("{path}/members?sort=-role")).await;
    let shown = json!({
        "user_id": bob.id, "username": "user-1", "name": "Bob Builder", "email": bob.email,
        "role": "user", "joined_at": "2026-01-31T09:30:00.000Z",
    });
    assert_eq!(list.json["items"][0], shown);
    assert_eq!((&list.json["items"][1]["user_id"], &list.json["total"]), (&json!(ada.id), &json!(2)));
    let admins = ada.get(&format!("{path}/members?role=admin")).await;
    assert_eq!(admins.json["total"], 1);
    assert_eq!(ada.get(&format!("{path}/members?role=king")).await.faults(), [("role", "unknown_role")]);
}

#[tokio::test]
async fn roles_change_and_members_go() {
    let app = boot().await;
    let [ada, bob, cyd] = people(&app).await;
    let path = organization(&ada, "Harbor").await;
    join(&ada, &path, &bob, "user").await;
    join(&ada, &path, &cyd, "user").await;
    let before = events(&app).await.len();

    let raised = ada.patch(&format!("{path}/members/{}", bob.id), &[], json!({"role": "admin"})).await;
    assert_eq!((raised.status.as_u16(), &raised.json["role"]), (200, &json!("admin")));
    let entry = audited(&app, &raised).await.remove(0);
    assert_eq!(
        (entry.0.as_str(), &entry.2["role"]),
        ("membership.changed", &json!({"before": "user", "after": "admin"}))
    );
    assert_eq!(bob.delete(&format!("{path}/members/{}", ada.id), &[]).await.status, 204);
    assert_eq!(cyd.delete(&format!("{path}/members/me"), &[]).await.status, 204);

    assert_eq!(roles(&bob, &path).await, [(bob.id.clone(), "admin".to_owned())]);
    assert_eq!(outcome(&ada.get(&path).await), (404, "organization_not_found"));
    let absent = bob.patch(&format!("{path}/members/{}", ada.id), &[], json!({"role": "user"})).await;
    assert_eq!(outcome(&absent), (404, "member_not_found"));
    let kinds: Vec<_> = events(&app).await.split_off(before).into_iter().map(|(kind, _)| kind).collect();
    assert_eq!(kinds, ["membership.changed", "membership.removed", "membership.removed"]);
}

#[tokio::test]
async fn the_last_admin_stays() {
    let app = boot().await;
    let [ada, bob] = people(&app).await;
    let path = organization(&ada, "Harbor").await;
    join(&ada, &path, &bob, "user").await;
    let me = format!("{path}/members/{}", ada.id);

    assert_eq!(outcome(&ada.delete(&format!("{path}/members/me"), &[]).await), (409, "last_admin"));
    assert_eq!(outcome(&ada.delete(&me, &[]).await), (409, "last_admin"));
    assert_eq!(outcome(&ada.patch(&me, &[], json!({"role": "user"})).await), (409, "last_admin"));
    // Nor may a system administrator take the last one away.
    assert_eq!(outcome(&app.admin().await.delete(&me, &[]).await), (409, "last_admin"));

    ada.patch(&format!("{path}/members/{}", bob.id), &[], json!({"role": "admin"})).await;
    assert_eq!(ada.delete(&format!("{path}/members/me"), &[]).await.status, 204);
}

#[tokio::test]
async fn a_website_may_be_without_an_admin_of_its_own() {
    let app = boot().await;
    let [ada, bob] = people(&app).await;
    let path = organization(&ada, "Harbor").await;
    let site = website(&ada, &path, "https://harbor.example/").await;
    join(&ada, &site, &bob, "admin").await;

    assert_eq!(bob.delete(&format!("{site}/members/me"), &[]).await.status, 204);
    assert_eq!(outcome(&bob.get(&site).await), (404, "website_not_found"));
    assert_eq!(roles(&ada, &site).await, []);
}

#[tokio::test]
async fn invitations_of_somebody_who_may_not_invite_any_more_are_revoked() {
    let app = boot().await;
    let [ada, bob] = people(&app).await;
    let path = organization(&ada, "Harbor").await;
    let (one, two) = (
        website(&ada, &path, "https://one.example/").await,
        website(&ada, &path, "https://two.example/").await,
    );
    join(&ada, &path, &bob, "admin").await;
    join(&ada, &one, &bob, "admin").await;
    let of_bob = [
        token(&bob, &path, "x@example.com", "user").await,
        token(&bob, &one, "x@example.com", "user").await,
        token(&bob, &two, "x@example.com", "user").await,
    ];
    let of_ada = token(&ada, &path, "y@example.com", "user").await;

    let lowered = ada.patch(&format!("{path}/members/{}", bob.id), &[], json!({"role": "user"})).await;
    assert_eq!(lowered.status, 200);

    let caller = app.anonymous();
    let mut statuses = Vec::new();
    for token in of_bob.iter().chain([&of_ada]) {
        statuses.push(caller.get(&format!("/api/v1/invitations/{token}")).await.status.as_u16());
    }
    // On the first website bob is an admin still.
    assert_eq!(statuses, [410, 200, 410, 200]);
    let revoked: Vec<_> =
        events(&app).await.into_iter().filter(|(kind, _)| kind == "invitation.revoked").collect();
    assert_eq!(revoked.len(), 2);
    assert!(revoked.iter().all(|(_, data)| data["reason"] == "inviter_lost_role"));

    ada.delete(&format!("{one}/members/{}", bob.id), &[]).await;
    assert_eq!(caller.get(&format!("/api/v1/invitations/{}", of_bob[1])).await.status, 410);
    // The address can be invited again.
    assert_eq!(invite(&ada, &one, "x@example.com", "user").await.status, 201);
}
