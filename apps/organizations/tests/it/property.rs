//! Whatever members do, no organization is ever without an admin.

use std::sync::Arc;

use http::Method;
use mainstay_core::{Rng, SeededRng};
use mainstay_testkit::{Reply, TestApp, json};
use sea_orm::ConnectionTrait as _;
use sea_orm::sea_query::{Expr, ExprTrait as _, Query};
use tokio::task::JoinSet;

use crate::support::{Person, accept, boot, invite, join, organization, people};

/// Operations, unless `MAINSTAY_PROPERTY_OPERATIONS` says otherwise: as many as take a few seconds on either
/// database. Ten thousand take under two minutes on PostgreSQL, and a quarter of one on SQLite.
const OPERATIONS: usize = 1_000;
/// As many of them run at once.
const AT_ONCE: usize = 6;

/// One random operation on one of the organizations.
async fn operate(people: Arc<Vec<Person>>, organizations: Arc<Vec<String>>, dice: [u8; 5]) -> Reply {
    let pick = |die: u8, of: usize| usize::from(die) % of;
    let path = &organizations[pick(dice[1], organizations.len())];
    let (me, other) = (&people[pick(dice[2], people.len())], &people[pick(dice[3], people.len())]);
    let role = ["admin", "user"][pick(dice[4], 2)];
    let member = format!("{path}/members/{}", other.id);
    match dice[0] % 8 {
        0 => me.delete(&format!("{path}/members/me"), &[]).await,
        1 => me.delete(&member, &[]).await,
        2 | 3 => me.patch(&member, &[], json!({"role": role})).await,
        4..=6 => {
            let made = invite(me, path, &other.email, role).await;
            match made.json["token"].as_str() {
                Some(token) => accept(other, token).await,
                None => made,
            }
        }
        _ => {
            let list = me.get(&format!("{path}/invitations?status=pending")).await;
            match list.json["items"][0]["id"].as_str() {
                Some(id) if role == "user" => me.delete(&format!("{path}/invitations/{id}"), &[]).await,
                Some(id) => me.raw(Method::POST, &format!("{path}/invitations/{id}/resend"), &[], "").await,
                None => list,
            }
        }
    }
}

async fn without_admin(app: &TestApp) -> usize {
    let administered = Query::select()
        .column("organization_id")
        .from("organization_members")
        .and_where(Expr::col("role").eq("admin"))
        .take();
    let query = Query::select()
        .column("id")
        .from("organizations")
        .and_where(Expr::col("id").not_in_subquery(administered))
        .take();
    app.db().primary().query_all(&query).await.unwrap().len()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_organization_is_ever_without_an_admin() {
    let wanted = std::env::var("MAINSTAY_PROPERTY_OPERATIONS").ok().and_then(|text| text.parse().ok());
    let (operations, seed) = (wanted.unwrap_or(OPERATIONS), 4711);
    let rng = SeededRng::new(seed);
    let app = boot().await;
    let people: [Person; 5] = people(&app).await;
    let mut organizations = Vec::new();
    for (place, founder) in people.iter().take(2).enumerate() {
        let path = organization(founder, &format!("Organization {place}")).await;
        for guest in people.iter().filter(|person| person.id != founder.id) {
            join(founder, &path, guest, "admin").await;
        }
        organizations.push(path);
    }
    let (people, organizations) = (Arc::new(people.to_vec()), Arc::new(organizations));

    let (mut done, mut took_effect) = (0, 0);
    while done < operations {
        let mut tasks = JoinSet::new();
        for _ in 0..AT_ONCE.min(operations - done) {
            let mut dice = [0; 5];
            rng.fill(&mut dice);
            tasks.spawn(operate(people.clone(), organizations.clone(), dice));
            done += 1;
        }
        for reply in tasks.join_all().await {
            assert!(reply.status.as_u16() < 500, "seed {seed}, operation {done}: {}", reply.text());
            took_effect += usize::from(reply.status.is_success());
        }
        assert_eq!(without_admin(&app).await, 0, "seed {seed}, after {done} operations");
    }
    assert!(took_effect > operations / 20, "{took_effect} of {operations} did something");
}
