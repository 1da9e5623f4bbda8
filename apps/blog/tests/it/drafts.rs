//! No answer knows of a draft that its reader must not know of.

use mainstay_testkit::{Client, json};
use serde_json::Value;

use crate::support::{POSTS, boot, titles, who, write};

/// Everything there is to ask, as one caller: what each answers about the draft.
async fn traces(caller: &Client, author: &str, id: i64) -> Vec<(&'static str, bool)> {
    let list = async |query: String| caller.get(&format!("{POSTS}{query}")).await;
    let mut found = Vec::new();
    found.push(("by id", caller.get(&format!("{POSTS}/{id}")).await.status == 200));
    found.push(("by slug", caller.get(&format!("{POSTS}/by-slug/hidden-matter")).await.status == 200));
    for (what, query) in [
        ("list", String::new()),
        ("list by title", "?sort=title".to_owned()),
        ("list by id", "?sort=id&page_size=1".to_owned()),
        ("drafts", "?published=false".to_owned()),
        ("by author", format!("?author_id={author}")),
        ("drafts by author", format!("?author_id={author}&published=false")),
        ("by tag", "?tag=HUSH".to_owned()),
        ("by words of the title", "?q=hidden".to_owned()),
        ("by words of the text", "?q=whisper".to_owned()),
        ("by words of a tag", "?q=hush".to_owned()),
        ("by time", "?from=2026-01-01&to=2026-12-31".to_owned()),
    ] {
        let reply = list(query.clone()).await;
        let there = titles(&reply).contains(&"Hidden matter");
        let others = if matches!(what, "list" | "list by title" | "list by id" | "by author" | "by time") {
            1
        } else {
            0
        };
        let total = reply.json["total"].as_i64().unwrap();
        assert_eq!(total, others + i64::from(there), "{what}: the total tells: {}", reply.text());
        assert_eq!(
            reply.json["pages"].as_i64().unwrap(),
            if what == "list by id" { total } else { i64::from(total > 0) }
        );
        found.push((what, there));
        // The way of a cursor leads past it too.
        let mut cursor =
            list(if query.is_empty() { "?page_size=1".to_owned() } else { format!("{query}&page_size=1") })
                .await;
        while let Some(next) = cursor.json["next_cursor"].as_str().map(str::to_owned) {
            let sep = if query.is_empty() {
                "?".to_owned()
            } else {
                format!("{}&", query.replace("&page_size=1", ""))
            };
            cursor = list(format!("{sep}page_size=1&cursor={next}")).await;
            assert!(there || !cursor.text().contains("Hidden"), "{what} by cursor");
        }
    }
    let tags = caller.get("/api/v1/blog/tags").await;
    let counts: Vec<(&str, i64)> = tags.json["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|tag| (tag["tag"].as_str().unwrap(), tag["posts"].as_i64().unwrap()))
        .collect();
    let shared = counts.iter().find(|(tag, _)| *tag == "Shared").unwrap().1;
    let hush = counts.iter().any(|(tag, _)| *tag == "Hush");
    assert_eq!((hush, tags.json["total"].as_i64()), (shared == 2, Some(if hush { 2 } else { 1 })));
    found.push(("tags", hush));
    found
}

#[tokio::test]
async fn drafts_are_their_authors_and_the_staffs() {
    let app = boot().await;
    let ada = who(app.user().await).await;
    let secret = json!({"title": "Hidden matter", "content": "a whisper", "tags": ["Shared", "Hush"]});
    let draft = write(&ada, secret).await;
    write(&ada, json!({"title": "In the open", "content": "loud", "tags": ["Shared"], "published": true}))
        .await;
    let id = draft.json["id"].as_i64().unwrap();
    let key = ada.post("/api/v1/auth/api-keys", json!({"name": "a", "scopes": ["identity:read"]})).await;
    let unscoped = app.with_token(key.json["key"].as_str().unwrap());
    let key = ada.post("/api/v1/auth/api-keys", json!({"name": "b", "scopes": ["blog:read"]})).await;
    let scoped = app.with_token(key.json["key"].as_str().unwrap());
    for (who, caller, sees) in [
        ("anybody", app.anonymous(), false),
        ("somebody else", app.user().await, false),
        ("a key of the author's for other things", unscoped, false),
        ("the author", ada.client.clone(), true),
        ("a key of the author's for the blog", scoped, true),
        ("staff", app.staff().await, true),
        ("an administrator", app.admin().await, true),
    ] {
        for (what, found) in traces(&caller, &ada.id, id).await {
            assert_eq!(found, sees, "{what}, asked by {who}");
        }
    }
}

#[tokio::test]
async fn a_slug_that_a_draft_has_is_taken_without_a_word_of_the_draft() {
    let app = boot().await;
    let ada = app.user().await;
    write(&ada, json!({"title": "Hidden matter", "content": "a whisper"})).await;
    let other = app.user().await;
    let body = json!({"title": "Mine", "content": "c", "slug": "hidden-matter"});
    let taken = other.post(POSTS, body).await;
    assert_eq!(taken.code(), "slug_taken");
    assert!(!taken.text().contains("whisper"));
    let own = write(&other, json!({"title": "Hidden matter", "content": "c"})).await;
    assert_eq!(own.json["slug"], "hidden-matter-2");
    assert_eq!(own.json["published_at"], Value::Null);
}
