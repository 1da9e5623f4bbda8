//! Bookmarks over HTTP, on the database that the run chose.

use std::time::Duration;

use example_bookmarks::Bookmarks;
use mainstay_testkit::{Client, TestApp, json};
use tokio::task::JoinSet;

const BOOKMARKS: &str = "/api/v1/bookmarks";

async fn boot() -> TestApp {
    TestApp::boot(|backend| backend.with(Bookmarks::new)).await
}

/// Keeps a bookmark for each title; gives their paths.
async fn keep(app: &TestApp, owner: &Client, titles: &[&str]) -> Vec<String> {
    let mut paths = Vec::new();
    for (number, title) in titles.iter().enumerate() {
        let body = json!({"url": format!("https://example.com/{number}"), "title": title});
        app.advance(Duration::from_millis(1));
        paths.push(owner.post(BOOKMARKS, body).await.header("location").to_owned());
    }
    paths
}

async fn titles(owner: &Client, query: &str) -> Vec<String> {
    let reply = owner.get(&format!("{BOOKMARKS}?{query}")).await;
    let items = reply.json["items"].as_array().expect("a list has items").clone();
    items.iter().map(|item| item["title"].as_str().unwrap_or_default().to_owned()).collect()
}

#[tokio::test]
async fn a_bookmark_is_kept_changed_and_deleted() {
    let app = boot().await;
    let ada = app.user().await;

    let new = ada.post(BOOKMARKS, json!({"url": "HTTPS://Example.com", "title": " Home  page "})).await;
    assert_eq!((new.status.as_u16(), new.header("etag")), (201, "\"1\""));
    assert_eq!((&new.json["url"], &new.json["title"]), (&json!("https://example.com/"), &json!("Home page")));

    let path = new.header("location");
    let first = [("if-match", "\"1\"")];
    let changed = ada.patch(path, &first, json!({"note": "Read again"})).await;
    assert_eq!((changed.status.as_u16(), &changed.json["note"]), (200, &json!("Read again")));
    assert_eq!(ada.get(path).await.json, changed.json);
    assert_eq!(ada.get_with(path, &[("if-none-match", changed.header("etag"))]).await.status, 304);
    assert_eq!(ada.patch(path, &first, json!({"title": "Too late"})).await.code(), "stale");

    assert_eq!(ada.delete(path, &[]).await.status, 204);
    assert_eq!(ada.delete(path, &[]).await.code(), "bookmark_not_found");
}

#[tokio::test]
async fn every_fault_is_told_at_once() {
    let app = boot().await;
    let reply = app.user().await.post(BOOKMARKS, json!({"url": "ftp://x", "title": " ", "tag": "x"})).await;
    assert_eq!(reply.faults(), [("url", "invalid_url"), ("title", "too_short"), ("tag", "unknown_field")]);
}

#[tokio::test]
async fn somebody_elses_bookmark_does_not_exist() {
    let app = boot().await;
    let (ada, bob) = (app.user().await, app.user().await);
    let path = &keep(&app, &ada, &["Diary"]).await[0];

    assert_eq!(app.anonymous().get(path).await.status, 401);
    assert_eq!(bob.get(path).await.code(), "bookmark_not_found");
    assert_eq!(bob.patch(path, &[], json!({"title": "Mine"})).await.code(), "bookmark_not_found");
    assert_eq!(bob.delete(path, &[]).await.code(), "bookmark_not_found");
    assert!(titles(&bob, "").await.is_empty());
    assert_eq!(titles(&ada, "").await, ["Diary"]);
}

#[tokio::test]
async fn an_address_is_kept_once_however_many_try() {
    let app = boot().await;
    let ada = app.user().await;

    let mut tries = JoinSet::new();
    for _ in 0..20 {
        let ada = ada.clone();
        tries.spawn(
            async move { ada.post(BOOKMARKS, json!({"url": "https://a.example", "title": "A"})).await },
        );
    }
    let replies = tries.join_all().await;

    assert_eq!(replies.iter().filter(|reply| reply.status == 201).count(), 1);
    let refused = replies.iter().filter(|reply| reply.faults() == [("url", "url_taken")]);
    assert_eq!(refused.count(), 19);
    let other = app.user().await.post(BOOKMARKS, json!({"url": "https://a.example", "title": "A"})).await;
    assert_eq!(other.status, 201);
}

#[tokio::test]
async fn words_are_found_by_their_beginnings_without_case_and_accents() {
    let app = boot().await;
    let ada = app.user().await;
    keep(&app, &ada, &["Café Brontë", "The 100% guide", "Émile Zola"]).await;

    assert_eq!(titles(&ada, "q=BRONTE+caf").await, ["Café Brontë"]);
    assert_eq!(titles(&ada, "q=%25&sort=title").await, [""; 0]);
    assert_eq!(titles(&ada, "q=uide").await, [""; 0]);
    assert_eq!(titles(&ada, "q=100%25").await, ["The 100% guide"]);
}

#[tokio::test]
async fn a_cursor_leads_through_the_list_in_every_order() {
    let app = boot().await;
    let ada = app.user().await;
    keep(&app, &ada, &["b", "É", "a", "e", "c"]).await;

    for (sort, expected) in
        [("title", "abcÉe"), ("-title", "eÉcba"), ("created_at", "bÉaec"), ("-created_at", "ceaÉb")]
    {
        let mut page = ada.get(&format!("{BOOKMARKS}?sort={sort}&page_size=2")).await;
        let mut seen = String::new();
        loop {
            let items = page.json["items"].as_array().expect("a list has items");
            seen.extend(items.iter().filter_map(|item| item["title"].as_str()));
            let Some(cursor) = page.json["next_cursor"].as_str() else { break };
            page = ada.get(&format!("{BOOKMARKS}?cursor={cursor}&page_size=2")).await;
        }
        assert_eq!(seen, expected, "{sort}");
    }
    assert_eq!(ada.get(&format!("{BOOKMARKS}?cursor=WyJ0aXRsZSIsMSwyXQ")).await.status, 422);
}
