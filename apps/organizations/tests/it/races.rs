//! What must hold however many come at once.

use std::collections::HashMap;

use mainstay_testkit::{Reply, json};
use tokio::task::JoinSet;

use crate::support::{Person, accept, boot, invite, join, organization, outcome, people, roles, token, who};

/// How often each outcome came.
async fn count(tasks: JoinSet<Reply>) -> HashMap<(u16, String), usize> {
    let mut counts = HashMap::new();
    for reply in tasks.join_all().await {
        let (status, code) = outcome(&reply);
        *counts.entry((status, code.to_owned())).or_default() += 1;
    }
    counts
}

fn of(counts: &HashMap<(u16, String), usize>, status: u16, code: &str) -> usize {
    counts.get(&(status, code.to_owned())).copied().unwrap_or(0)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_a_hundred_tries_none_takes_the_last_admin_away() {
    let app = boot().await;
    let [ada, bob] = people(&app).await;
    let path = organization(&ada, "Harbor").await;
    join(&ada, &path, &bob, "admin").await;
    let mut tasks = JoinSet::new();
    for number in 0..100 {
        let (me, other) =
            if number % 2 == 0 { (ada.clone(), bob.clone()) } else { (bob.clone(), ada.clone()) };
        let path = path.clone();
        tasks.spawn(async move {
            match number % 6 {
                0 | 1 => me.delete(&format!("{path}/members/me"), &[]).await,
                2 | 3 => me.delete(&format!("{path}/members/{}", other.id), &[]).await,
                _ => me.patch(&format!("{path}/members/{}", other.id), &[], json!({"role": "user"})).await,
            }
        });
    }
    let counts = count(tasks).await;

    let known = [
        (204, ""),
        (200, ""),
        (409, "last_admin"),
        (404, "organization_not_found"),
        (404, "member_not_found"),
        (403, "forbidden"),
    ];
    let all: usize = known.iter().map(|(status, code)| of(&counts, *status, code)).sum();
    assert_eq!(all, 100, "{counts:?}");
    let system = who(app.admin().await).await;
    let left = roles(&system, &path).await;
    assert!(left.iter().any(|(_, role)| role == "admin"), "{left:?} after {counts:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_a_hundred_acceptances_one_makes_a_membership() {
    let app = boot().await;
    let [ada, bob] = people(&app).await;
    let path = organization(&ada, "Harbor").await;
    let secret = token(&ada, &path, &bob.email, "user").await;
    let mut tasks = JoinSet::new();
    for _ in 0..100 {
        let (bob, secret) = (bob.clone(), secret.clone());
        tasks.spawn(async move { accept(&bob, &secret).await });
    }
    let counts = count(tasks).await;

    assert_eq!((of(&counts, 200, ""), of(&counts, 410, "token_invalid")), (1, 99), "{counts:?}");
    assert_eq!(roles(&ada, &path).await.len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_fifty_invitations_of_one_address_one_is_pending() {
    let app = boot().await;
    let [ada] = people(&app).await;
    let path = organization(&ada, "Harbor").await;
    let mut tasks = JoinSet::new();
    for _ in 0..50 {
        let (ada, path) = (ada.clone(), path.clone());
        tasks.spawn(async move { invite(&ada, &path, "new@example.com", "user").await });
    }
    let counts = count(tasks).await;

    assert_eq!((of(&counts, 201, ""), of(&counts, 409, "invitation_pending")), (1, 49), "{counts:?}");
    assert_eq!(ada.get(&format!("{path}/invitations")).await.json["total"], 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_invitation_is_decided_once() {
    let app = boot().await;
    let [ada, bob] = people(&app).await;
    let path = organization(&ada, "Harbor").await;
    for round in 0..10 {
        let made = invite(&ada, &path, &bob.email, "user").await;
        let (secret, location) = (made.json["token"].as_str().unwrap(), made.header("location"));
        let answer = json!({"token": secret});
        let (accepted, declined, revoked) = tokio::join!(
            accept(&bob, secret),
            bob.post("/api/v1/invitations/decline", answer),
            ada.delete(location, &[]),
        );
        let won = [&accepted, &declined, &revoked].iter().filter(|reply| reply.status.is_success()).count();
        assert_eq!(won, 1, "round {round}: {} {} {}", accepted.text(), declined.text(), revoked.text());
        let member = roles(&ada, &path).await.len() == 2;
        assert_eq!(member, accepted.status == 200);
        if member {
            assert_eq!(bob.delete(&format!("{path}/members/me"), &[]).await.status, 204);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_two_admins_one_may_leave_while_the_other_is_removed() {
    let app = boot().await;
    let system = who(app.admin().await).await;
    for round in 0..8 {
        let [ada, bob, cyd] = people(&app).await;
        let path = organization(&ada, "Harbor").await;
        join(&ada, &path, &bob, "admin").await;
        join(&ada, &path, &cyd, "user").await;
        let (account, leave) = (format!("/api/v1/users/{}", bob.id), format!("{path}/members/me"));
        let (removed, left) = tokio::join!(system.delete(&account, &[]), ada.delete(&leave, &[]));

        let what =
            format!("round {round}: {} {} / {} {}", removed.status, removed.text(), left.status, left.text());
        assert!(
            [204, 409].contains(&removed.status.as_u16()) && [204, 409].contains(&left.status.as_u16()),
            "{what}"
        );
        let members = roles(&cyd, &path).await;
        assert!(members.iter().any(|(_, role)| role == "admin"), "{members:?} {what}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_removed_account_joins_nothing() {
    let app = boot().await;
    let system = who(app.admin().await).await;
    let [ada] = people(&app).await;
    let path = organization(&ada, "Harbor").await;
    for round in 0..8 {
        let [bob]: [Person; 1] = people(&app).await;
        let secret = token(&ada, &path, &bob.email, "user").await;
        let account = format!("/api/v1/users/{}", bob.id);
        let (removed, accepted) = tokio::join!(system.delete(&account, &[]), accept(&bob, &secret));

        let what = format!("round {round}: {} {}, {}", removed.status, removed.text(), accepted.text());
        assert_eq!(removed.status, 204, "{what}");
        assert!([200, 401, 403, 410].contains(&accepted.status.as_u16()), "{what}");
        assert_eq!(roles(&ada, &path).await, [(ada.id.clone(), "admin".to_owned())], "{what}");
    }
}
