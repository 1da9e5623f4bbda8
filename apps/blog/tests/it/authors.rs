//! Posts with their authors, and people with their posts: in how many queries, and when somebody goes.

use mainstay_app::MOST_EMBEDDED_POSTS;
use mainstay_core::{Actor, UserId};
use mainstay_testkit::{TestApp, json};
use serde_json::Value;

use crate::support::{POSTS, boot, draft, publish, statements, who, write};

const ACTOR: Actor = Actor::system("test");

/// So many accounts with so many posts each, every third a draft.
async fn populate(app: &TestApp, people: usize, posts: usize) -> Vec<UserId> {
    let mut ids = Vec::new();
    for person in 0..people {
        let author = who(app.user().await).await;
        for post in 0..posts {
            let title = format!("Post {post} of {person}");
            write(&author, json!({"title": title, "content": "c", "published": post % 3 != 2})).await;
        }
        ids.push(author.id.parse().unwrap());
    }
    ids
}

#[tokio::test]
async fn fifty_posts_by_fifty_authors_take_as_many_queries_as_one() {
    let app = boot().await;
    let staff = app.staff().await;
    populate(&app, 50, 1).await;
    let mut taken = Vec::new();
    for size in [1, 5, 50] {
        let path = format!("{POSTS}?page_size={size}");
        staff.get(&path).await;
        let before = statements(&app).await;
        let reply = staff.get(&path).await;
        taken.push(statements(&app).await - before);
        let items = reply.json["items"].as_array().unwrap();
        assert_eq!(items.len(), size);
        assert!(items.iter().all(|post| post["author"]["username"].as_str().unwrap().starts_with("user-")));
    }
    assert!(taken[2] <= 4 && taken.iter().all(|queries| *queries == taken[0]), "{taken:?}");
}

#[tokio::test]
async fn people_with_their_posts_take_as_many_queries_for_fifty_as_for_one() {
    let app = boot().await;
    let staff = app.staff().await;
    populate(&app, 50, 3).await;
    let mut taken = Vec::new();
    for size in [1, 5, 50] {
        let path = format!("/api/v1/users?include=posts&page_size={size}");
        staff.get(&path).await;
        let before = statements(&app).await;
        let reply = staff.get(&path).await;
        taken.push(statements(&app).await - before);
        for user in reply.json["items"].as_array().unwrap() {
            if user["roles"] == json!(["user"]) {
                assert_eq!(
                    (&user["post_count"], user["posts"].as_array().unwrap().len()),
                    (&json!(3), 3),
                    "{user}"
                );
            }
        }
    }
    assert!(taken[2] <= 4 && taken.iter().all(|queries| *queries == taken[0]), "{taken:?}");
}

#[tokio::test]
async fn a_person_is_shown_with_what_they_wrote_if_that_is_asked_for() {
    let app = boot().await;
    let (ada, staff) = (who(app.user().await).await, app.staff().await);
    let path = format!("/api/v1/users/{}", ada.id);
    publish(&ada, "First").await;
    draft(&ada, "Second").await;

    let plain = staff.get(&path).await;
    assert!(plain.json.get("posts").is_none() && plain.json.get("post_count").is_none());
    let etag = plain.header("etag").to_owned();
    let with = staff.get(&format!("{path}?include=posts")).await;
    assert_eq!(with.json["post_count"], 2);
    assert_eq!(
        with.json["posts"],
        json!([
            {
                "id": 2, "title": "Second", "slug": "second", "published": false, "published_at": null, "tags": [],
                "created_at": "2026-01-31T09:30:00.000Z", "updated_at": "2026-01-31T09:30:00.000Z",
            },
            {
                "id": 1, "title": "First", "slug": "first", "published": true,
                "published_at": "2026-01-31T09:30:00.000Z", "tags": [],
                "created_at": "2026-01-31T09:30:00.000Z", "updated_at": "2026-01-31T09:30:00.000Z",
            },
        ])
    );
    assert_eq!((with.json["username"].as_str(), with.header("etag")), (Some(ada.username.as_str()), ""));
    publish(&ada, "Third").await;
    let again = staff.get_with(&format!("{path}?include=posts"), &[("if-none-match", &etag)]).await;
    assert_eq!((again.status.as_u16(), &again.json["post_count"]), (200, &json!(3)));

    let list = staff.get("/api/v1/users?include=posts&q=staff").await;
    assert_eq!(
        (&list.json["items"][0]["post_count"], &list.json["items"][0]["posts"]),
        (&json!(0), &json!([]))
    );
    assert_eq!(staff.get("/api/v1/users?include=secrets").await.faults(), [("include", "not_allowed")]);
    assert_eq!(ada.get("/api/v1/users?include=posts").await.status, 403);
    assert!(!staff.get("/api/v1/users").await.text().contains("post_count"));
}

#[tokio::test]
async fn of_somebody_who_wrote_much_the_newest_are_embedded_and_all_are_counted() {
    let app = boot().await;
    let most = usize::from(MOST_EMBEDDED_POSTS);
    let much = populate(&app, 1, most + 3).await[0];
    let written = mainstay_blog::authors(app.db().clone()).written_by(&ACTOR, &[much], true).await.unwrap();
    let theirs = &written[&much];
    assert_eq!((theirs.post_count, theirs.posts.len()), (most as u64 + 3, most));
    assert!(theirs.posts.is_sorted_by(|a, b| (a.published_at.unwrap_or(a.created_at), a.id)
        > (b.published_at.unwrap_or(b.created_at), b.id)));
    assert_eq!(theirs.posts[0].title, format!("Post {} of 0", most + 2));
}

#[tokio::test]
async fn a_key_that_was_not_made_for_the_blog_is_told_of_no_draft() {
    let app = boot().await;
    let (ada, staff) = (who(app.user().await).await, app.staff().await);
    publish(&ada, "In the open").await;
    draft(&ada, "Hidden matter").await;
    let one = format!("/api/v1/users/{}?include=posts", ada.id);
    let all = format!("/api/v1/users?include=posts&q={}", ada.username);
    for (scopes, count) in [
        (json!(["identity:read"]), 1),
        (json!(["identity:read", "blog:read"]), 2),
        (json!(["read"]), 2),
        (json!(["*"]), 2),
    ] {
        let key = staff.post("/api/v1/auth/api-keys", json!({"name": "robot", "scopes": scopes})).await;
        let key = app.with_token(key.json["key"].as_str().unwrap());
        let (one, all) = (key.get(&one).await.json, key.get(&all).await.json["items"][0].clone());
        for person in [one, all] {
            let titles = person["posts"].as_array().unwrap().len();
            assert_eq!((&person["post_count"], titles), (&json!(count), count), "{scopes}: {person}");
            assert_eq!(person.to_string().contains("idden"), count == 2, "{scopes}: {person}");
        }
    }
}

#[tokio::test]
async fn what_somebody_wrote_stays_under_deleted_user() {
    let app = boot().await;
    let (ada, admin) = (who(app.user().await).await, app.admin().await);
    assert_eq!(ada.patch("/api/v1/auth/me", &[], json!({"name": "Ada Lovelace"})).await.status, 200);
    let (public, secret) = (publish(&ada, "Kept").await, draft(&ada, "Draft").await);
    let others = publish(&admin, "Another's").await;
    let cached = app.anonymous().get(&public).await;
    assert_eq!(cached.json["author"]["name"], "Ada Lovelace");
    let cached = cached.header("etag").to_owned();
    assert_eq!(admin.delete(&format!("/api/v1/users/{}", ada.id), &[]).await.status, 204);

    let deleted = json!({"id": ada.id, "username": "deleted user", "name": Value::Null});
    let post = app.anonymous().get(&public).await;
    assert_eq!((post.status.as_u16(), &post.json["author"]), (200, &deleted));
    // A cache that kept the name is told to let it go.
    let asked_again = app.anonymous().get_with(&public, &[("if-none-match", &cached)]).await;
    assert_eq!((asked_again.status.as_u16(), &asked_again.json["author"]), (200, &deleted));
    assert_eq!(app.anonymous().get(&others).await.header("etag"), "\"1\"");
    let list = app.anonymous().get(&format!("{POSTS}?author_id={}", ada.id)).await;
    assert_eq!((&list.json["total"], &list.json["items"][0]["author"]), (&json!(1), &deleted));
    assert!(!list.text().contains("Lovelace") && !list.text().contains(&ada.username));
    assert_eq!(app.anonymous().get(&secret).await.status, 404);
    assert_eq!(admin.get(&secret).await.json["author"], deleted);
    assert_eq!(admin.get(&format!("{POSTS}?author_id={}", ada.id)).await.json["total"], 2);
    assert_eq!(admin.delete(&secret, &[]).await.status, 204);
}
