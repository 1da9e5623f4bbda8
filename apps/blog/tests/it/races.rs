//! What must hold however many come at once.

use std::collections::BTreeSet;

use mainstay_testkit::json;
use tokio::task::JoinSet;

use crate::support::{POSTS, boot, publish, totals, who};

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_posts_with_one_title_each_gets_a_slug_of_its_own() {
    let app = boot().await;
    let ada = app.user().await;
    let mut tasks = JoinSet::new();
    for _ in 0..24 {
        let ada = ada.clone();
        tasks.spawn(async move { ada.post(POSTS, json!({"title": "Hello", "content": "c"})).await });
    }
    let replies = tasks.join_all().await;
    let slugs: BTreeSet<String> = replies
        .iter()
        .map(|reply| {
            assert_eq!(reply.status, 201, "{}", reply.text());
            reply.json["slug"].as_str().unwrap().to_owned()
        })
        .collect();
    let expected: BTreeSet<String> =
        (1..=24).map(|n| if n == 1 { "hello".to_owned() } else { format!("hello-{n}") }).collect();
    assert_eq!(slugs, expected);
    assert_eq!(totals(&app).await, [(24, 24), (0, 0)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_posts_that_want_one_slug_exactly_one_gets_it() {
    let app = boot().await;
    let ada = app.user().await;
    let mut tasks = JoinSet::new();
    for _ in 0..16 {
        let ada = ada.clone();
        let body = json!({"title": "Hello", "content": "c", "slug": "mine", "tags": ["a"]});
        tasks.spawn(async move { ada.post(POSTS, body).await });
    }
    let replies = tasks.join_all().await;
    assert_eq!(replies.iter().filter(|reply| reply.status == 201).count(), 1);
    assert!(replies.iter().filter(|reply| reply.status != 201).all(|reply| reply.code() == "slug_taken"));
    assert_eq!(totals(&app).await, [(1, 1), (0, 0)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn totals_stay_right_while_posts_come_go_and_change_sides() {
    let app = boot().await;
    let ada = who(app.user().await).await;
    let mut tasks = JoinSet::new();
    for worker in 0..6 {
        let ada = ada.clone();
        tasks.spawn(async move {
            for round in 0..4 {
                let path = publish(&ada, &format!("Post {worker} {round}")).await;
                for published in [false, true, false] {
                    let reply = ada.patch(&path, &[], json!({"published": published})).await;
                    assert_eq!(reply.status, 200, "{}", reply.text());
                }
                if round % 2 == 0 {
                    assert_eq!(ada.delete(&path, &[]).await.status, 204);
                }
            }
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
    }
    assert_eq!(totals(&app).await, [(12, 12), (0, 0)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_changes_of_one_state_exactly_one_takes_effect() {
    let app = boot().await;
    let ada = app.user().await;
    let path = publish(&ada, "Old").await;
    let mut tasks = JoinSet::new();
    for place in 0..8 {
        let (ada, path) = (ada.clone(), path.clone());
        let body = json!({"title": format!("New {place}"), "tags": [format!("t{place}")], "published": place % 2 == 0});
        tasks.spawn(async move { ada.patch(&path, &[("if-match", "\"1\"")], body).await });
    }
    let replies = tasks.join_all().await;
    let winners: Vec<_> = replies.iter().filter(|reply| reply.status == 200).collect();
    assert_eq!(winners.len(), 1);
    assert_eq!(ada.get(&path).await.json, winners[0].json);
    assert!(replies.iter().filter(|reply| reply.status != 200).all(|reply| reply.code() == "stale"));
    let found = ada.get(&format!("{POSTS}?tag={}", winners[0].json["tags"][0].as_str().unwrap())).await;
    assert_eq!(found.json["total"], 1);
}
