//! Every role on every endpoint, against the table.

use std::collections::BTreeSet;

use http::Method;
use mainstay_organizations::domain::matrix::{Action, MATRIX, Outcome, Rule, Standing};
use mainstay_testkit::{Reply, TestApp, json};
use serde_json::Value;

use crate::support::{Person, audited, boot, invite, join, organization, outcome, people, website, who};

const NAME: &str = "Harbor Works";

/// An organization with a website, somebody in each, and an invitation to each.
struct Place {
    organization: String,
    website: String,
    organization_invitation: String,
    website_invitation: String,
}

async fn place(owner: &Person, member: &Person) -> Place {
    let organization = organization(owner, NAME).await;
    let website = website(owner, &organization, "https://harbor.example/").await;
    join(owner, &organization, member, "user").await;
    join(owner, &website, member, "user").await;
    let id = |reply: Reply| reply.json["id"].as_str().unwrap().to_owned();
    let organization_invitation = id(invite(owner, &organization, "new@example.com", "user").await);
    let website_invitation = id(invite(owner, &website, "new@example.com", "user").await);
    Place { organization, website, organization_invitation, website_invitation }
}

impl Place {
    /// Carries the action out, on something that it can be carried out on.
    async fn attempt(&self, rule: &Rule, subject: &Person, member: &Person) -> Reply {
        let (base, invitation) = if rule.path.starts_with("/websites") {
            (&self.website, &self.website_invitation)
        } else {
            (&self.organization, &self.organization_invitation)
        };
        let id = base.rsplit('/').next().unwrap();
        let mut path = format!("/api/v1{}", rule.path)
            .replace("{id}", id)
            .replace("{user_id}", &member.id)
            .replace("{invitation_id}", invitation);
        if rule.action == Action::DeleteOrganization {
            path.push_str("?confirm=Harbor%20Works");
        }
        let body = match rule.action {
            Action::CreateOrganization | Action::UpdateOrganization | Action::UpdateWebsite => {
                json!({"name": "Another name"})
            }
            Action::ChangeMember | Action::ChangeWebsiteMember => json!({"role": "admin"}),
            Action::Invite | Action::InviteToWebsite => json!({"email": "other@example.com", "role": "user"}),
            Action::CreateWebsite => json!({"name": "Two", "url": "https://two.example/"}),
            _ => Value::Null,
        };
        let method: Method = rule.method.parse().unwrap();
        if body.is_null() {
            subject.raw(method, &path, &[], "").await
        } else {
            subject.raw(method, &path, &[("content-type", "application/json")], body.to_string()).await
        }
    }
}

async fn try_every_action(app: &TestApp, standing: Standing) {
    let [owner, member, subject] = people(app).await;
    for rule in &MATRIX {
        let place = place(&owner, &member).await;
        match standing {
            Standing::OrganizationAdmin => join(&owner, &place.organization, &subject, "admin").await,
            Standing::OrganizationUser => join(&owner, &place.organization, &subject, "user").await,
            Standing::WebsiteAdmin => join(&owner, &place.website, &subject, "admin").await,
            Standing::WebsiteUser => join(&owner, &place.website, &subject, "user").await,
            Standing::None => {}
        }
        let reply = place.attempt(rule, &subject, &member).await;
        check(rule, standing, &reply);
    }
}

fn check(rule: &Rule, standing: Standing, reply: &Reply) {
    let what = format!("{:?} as {standing:?}: {} {}", rule.action, reply.status, reply.text());
    match rule.outcomes[standing as usize] {
        Outcome::Allow => assert!(reply.status.is_success(), "{what}"),
        Outcome::Forbid => assert_eq!(outcome(reply), (403, "forbidden"), "{what}"),
        Outcome::Hide => {
            let code = if rule.path.starts_with("/websites") {
                "website_not_found"
            } else {
                "organization_not_found"
            };
            assert_eq!(outcome(reply), (404, code), "{what}");
        }
    }
}

#[tokio::test]
async fn an_organization_admin_may_what_the_table_says() {
    try_every_action(&boot().await, Standing::OrganizationAdmin).await;
}

#[tokio::test]
async fn an_organization_user_may_what_the_table_says() {
    try_every_action(&boot().await, Standing::OrganizationUser).await;
}

#[tokio::test]
async fn a_website_admin_may_what_the_table_says() {
    try_every_action(&boot().await, Standing::WebsiteAdmin).await;
}

#[tokio::test]
async fn a_website_user_may_what_the_table_says() {
    try_every_action(&boot().await, Standing::WebsiteUser).await;
}

#[tokio::test]
async fn who_belongs_to_nothing_may_what_the_table_says() {
    try_every_action(&boot().await, Standing::None).await;
}

#[tokio::test]
async fn a_system_admin_may_what_an_organization_admin_may_and_each_use_is_audited() {
    let app = boot().await;
    let [owner, member] = people(&app).await;
    let system = who(app.admin().await).await;
    for rule in &MATRIX {
        let place = place(&owner, &member).await;
        let reply = place.attempt(rule, &system, &member).await;
        if matches!(rule.action, Action::LeaveOrganization | Action::LeaveWebsite) {
            assert_eq!(reply.status, 404, "one leaves what one is a member of: {}", reply.text());
            continue;
        }
        check(rule, Standing::OrganizationAdmin, &reply);
        // What everybody may takes no special right.
        if rule.outcomes[Standing::None as usize] == Outcome::Allow {
            continue;
        }
        let entries = audited(&app, &reply).await;
        let noted = entries.iter().any(|(.., details)| details["via"] == "system_admin");
        assert!(noted, "{:?}: {entries:?}", rule.action);
    }
}

#[tokio::test]
async fn a_system_admin_who_is_a_member_acts_as_one() {
    let app = boot().await;
    let [owner] = people(&app).await;
    let system = who(app.admin().await).await;
    let organization = organization(&owner, NAME).await;
    join(&owner, &organization, &system, "user").await;

    let by_membership = system.patch(&organization, &[], json!({"name": "By membership"})).await;
    assert_eq!((by_membership.status.as_u16(), &by_membership.json["role"]), (200, &json!("user")));
    let entries = audited(&app, &by_membership).await;
    assert!(entries.iter().all(|(.., details)| details["via"].is_null()), "{entries:?}");

    let by_system_role = invite(&system, &organization, "new@example.com", "user").await;
    assert_eq!(by_system_role.status, 201);
    assert_eq!(audited(&app, &by_system_role).await[0].3["via"], "system_admin");
}

#[tokio::test]
async fn the_stronger_of_two_roles_counts() {
    let app = boot().await;
    let [owner, both] = people(&app).await;
    let organization = organization(&owner, NAME).await;
    let website = website(&owner, &organization, "https://harbor.example/").await;
    join(&owner, &organization, &both, "user").await;
    assert_eq!(both.get(&website).await.json["role"], "user");
    join(&owner, &website, &both, "admin").await;

    assert_eq!(both.get(&website).await.json["role"], "admin");
    assert_eq!(both.get(&format!("{organization}/websites")).await.json["items"][0]["role"], "admin");
    assert_eq!(invite(&both, &website, "new@example.com", "user").await.status, 201);
    assert_eq!(outcome(&invite(&both, &organization, "new@example.com", "user").await), (403, "forbidden"));
}

#[tokio::test]
async fn foreign_and_absent_answer_alike() {
    let app = boot().await;
    let [owner, member, stranger] = people(&app).await;
    let place = place(&owner, &member).await;
    let nowhere = "0192f0c1-2f6e-7cc3-98c4-dc0c0c07398f";
    let absent = Place {
        organization: format!("/api/v1/organizations/{nowhere}"),
        website: format!("/api/v1/websites/{nowhere}"),
        organization_invitation: nowhere.to_owned(),
        website_invitation: nowhere.to_owned(),
    };
    for rule in MATRIX.iter().filter(|rule| rule.outcomes[Standing::None as usize] == Outcome::Hide) {
        let mut answers = Vec::new();
        for place in [&place, &absent] {
            let mut reply = place.attempt(rule, &stranger, &member).await;
            for changing in ["instance", "request_id"] {
                reply.json.as_object_mut().unwrap().remove(changing);
            }
            let mut headers: Vec<_> = reply.headers.keys().map(|name| name.as_str().to_owned()).collect();
            headers.sort();
            answers.push((reply.status, reply.json, headers));
        }
        assert_eq!(answers[0], answers[1], "{:?}", rule.action);
        assert_eq!(answers[0].0, 404, "{:?}", rule.action);
    }
    for path in
        ["/api/v1/organizations/1", "/api/v1/websites/abc/members", "/api/v1/organizations/x/members/y"]
    {
        let method = if path.ends_with('y') { Method::DELETE } else { Method::GET };
        assert_eq!(stranger.raw(method, path, &[], "").await.status, 404, "{path}");
    }
}

#[tokio::test]
async fn a_thing_of_one_organization_is_not_found_through_another() {
    let app = boot().await;
    let [owner, member] = people(&app).await;
    let (one, two) = (place(&owner, &member).await, place(&owner, &member).await);
    let (organization, invitation) = (&one.organization, &two.organization_invitation);

    let revoked = owner.delete(&format!("{organization}/invitations/{invitation}"), &[]).await;
    assert_eq!(outcome(&revoked), (404, "invitation_not_found"));
    // Nor one to a website through its organization.
    let resent = format!("{organization}/invitations/{}/resend", one.website_invitation);
    assert_eq!(outcome(&owner.raw(Method::POST, &resent, &[], "").await), (404, "invitation_not_found"));
}

#[tokio::test]
async fn every_endpoint_has_a_row_and_every_row_an_endpoint() {
    let app = boot().await;
    let of_router: BTreeSet<(String, String)> = app
        .contract()
        .routes()
        .iter()
        .filter(|route| route.area == "organizations" && route.documented)
        .map(|route| (route.method.to_string(), route.path.trim_start_matches("/api/v1").to_owned()))
        // What opens by its token.
        .filter(|(_, path)| !path.starts_with("/invitations"))
        .collect();
    let of_table: BTreeSet<_> =
        MATRIX.iter().map(|rule| (rule.method.to_owned(), rule.path.to_owned())).collect();
    assert_eq!(of_router, of_table);
}

#[tokio::test]
async fn without_a_sign_in_only_an_invitations_own_pages_open() {
    let app = boot().await;
    let mut open = Vec::new();
    for route in
        app.contract().routes().iter().filter(|route| route.area == "organizations" && route.documented)
    {
        let path = route.path.replace(['{', '}'], "");
        let reply = app.anonymous().raw(route.method.clone(), &path, &[], "").await;
        if outcome(&reply) != (401, "unauthenticated") {
            open.push((route.method.to_string(), route.path.clone()));
        }
    }
    let expected = [("POST", "/api/v1/invitations/decline"), ("GET", "/api/v1/invitations/{token}")];
    assert_eq!(open, expected.map(|(method, path)| (method.to_owned(), path.to_owned())));
}
