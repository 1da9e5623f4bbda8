//! Writing, reading, changing and deleting, as a client meets them.

use std::time::Duration;

use mainstay_testkit::json;
use serde_json::Value;

use crate::support::{POSTS, boot, draft, publish, totals, who, write};

#[tokio::test]
async fn a_post_is_written_read_changed_and_deleted() {
    let app = boot().await;
    let ada = who(app.user().await).await;
    let body = json!({
        "title": " On  slow trains", "content": "# Hello\r\n*world* <script>alert(1)</script>", "published": true,
        "tags": ["Travel", "trains", "TRAVEL"],
    });

    let created = ada.post(POSTS, body).await;
    assert_eq!(
        (created.status.as_u16(), created.header("location"), created.header("etag")),
        (201, "/api/v1/blog/posts/1", "\"1\"")
    );
    let expected = json!({
        "id": 1, "title": "On slow trains", "slug": "on-slow-trains",
        "content": "# Hello\n*world* <script>alert(1)</script>",
        "content_html": "<h1>Hello</h1>\n<p><em>world</em> </p>\n",
        "published": true, "published_at": "2026-01-31T09:30:00.000Z",
        "author": {"id": ada.id, "username": ada.username, "name": null},
        "tags": ["Travel", "trains"],
        "created_at": "2026-01-31T09:30:00.000Z", "updated_at": "2026-01-31T09:30:00.000Z",
    });
    assert_eq!(created.json, expected);
    for path in ["/api/v1/blog/posts/1", "/api/v1/blog/posts/by-slug/on-slow-trains"] {
        let read = app.anonymous().get(path).await;
        assert_eq!((&read.json, read.header("etag")), (&expected, "\"1\""));
        assert_eq!(read.header("cache-control"), "public, max-age=0, s-maxage=5");
        let again = app.anonymous().get_with(path, &[("if-none-match", "\"1\"")]).await;
        assert_eq!((again.status.as_u16(), again.bytes.len()), (304, 0));
    }

    app.advance(Duration::from_millis(1_500));
    let path = "/api/v1/blog/posts/1";
    let changed =
        ada.patch(path, &[("if-match", "\"1\"")], json!({"title": "On fast trains", "tags": []})).await;
    assert_eq!((changed.status.as_u16(), changed.header("etag")), (200, "\"2\""));
    assert_eq!(changed.json["slug"], "on-slow-trains", "addresses keep leading here");
    assert_eq!(
        (&changed.json["tags"], &changed.json["updated_at"]),
        (&json!([]), &json!("2026-01-31T09:30:01.500Z"))
    );
    assert_eq!(changed.json["created_at"], "2026-01-31T09:30:00.000Z");
    let stale = ada.patch(path, &[("if-match", "\"1\"")], json!({"title": "Else"})).await;
    assert_eq!((stale.status.as_u16(), stale.code()), (412, "stale"));
    let same = ada.patch(path, &[], json!({"title": "On fast trains"})).await;
    assert_eq!(same.header("etag"), "\"2\"", "a change that changes nothing keeps the version");

    assert_eq!(ada.delete(path, &[("if-match", "\"1\"")]).await.status, 412);
    assert_eq!(ada.delete(path, &[("if-match", "\"2\"")]).await.status, 204);
    assert_eq!(ada.delete(path, &[]).await.code(), "post_not_found");
    assert_eq!(app.anonymous().get(path).await.code(), "post_not_found");
    assert_eq!(totals(&app).await, [(0, 0), (0, 0)]);
}

#[tokio::test]
async fn every_fault_is_told_at_once() {
    let app = boot().await;
    let ada = app.user().await;
    let body = json!({
        "title": "x".repeat(201), "content": " \n", "slug": "Not A Slug", "published": "yes",
        "tags": ["", "ok", 7], "author_id": "me",
    });
    let reply = ada.post(POSTS, body).await;
    assert_eq!(reply.status, 422);
    assert_eq!(
        reply.faults(),
        [
            ("title", "too_long"),
            ("content", "too_short"),
            ("slug", "invalid_slug"),
            ("published", "wrong_type"),
            ("tags[0]", "too_short"),
            ("tags[2]", "wrong_type"),
            ("author_id", "unknown_field"),
        ]
    );
    assert_eq!(ada.post(POSTS, json!({"title": "T"})).await.faults(), [("content", "required")]);
    assert_eq!(
        app.anonymous().post(POSTS, json!({"title": "T", "content": "C"})).await.code(),
        "unauthenticated"
    );
    let path = draft(&ada, "T").await;
    let cleared = ada.patch(&path, &[], json!({"title": null, "tags": null, "slug": null})).await;
    assert_eq!(cleared.faults(), [("title", "required"), ("slug", "required"), ("tags", "required")]);
    for id in ["0", "01", "abc", "-1", "9223372036854775808"] {
        assert_eq!(app.anonymous().get(&format!("{POSTS}/{id}")).await.status, 404, "{id}");
    }
}

#[tokio::test]
async fn publishing_and_taking_back_move_a_post_between_the_worlds() {
    let app = boot().await;
    let ada = app.user().await;
    let path = draft(&ada, "Notes").await;
    assert_eq!(totals(&app).await, [(1, 1), (0, 0)]);
    assert_eq!(app.anonymous().get(&path).await.status, 404);

    app.advance(Duration::from_secs(60));
    let published = ada.patch(&path, &[], json!({"published": true})).await;
    assert_eq!(published.json["published_at"], "2026-01-31T09:31:00.000Z");
    assert_eq!(app.anonymous().get(&path).await.status, 200);
    assert_eq!(totals(&app).await, [(0, 0), (1, 1)]);
    app.advance(Duration::from_secs(60));
    let again = ada.patch(&path, &[], json!({"published": true})).await;
    assert_eq!(
        (&again.json["published_at"], again.header("etag")),
        (&json!("2026-01-31T09:31:00.000Z"), "\"2\"")
    );

    let back = ada.patch(&path, &[], json!({"published": false})).await;
    assert_eq!((&back.json["published"], &back.json["published_at"]), (&json!(false), &Value::Null));
    assert_eq!(app.anonymous().get(&path).await.status, 404);
    assert_eq!(app.anonymous().get(POSTS).await.json["total"], 0);
    assert_eq!(totals(&app).await, [(1, 1), (0, 0)]);
}

#[tokio::test]
async fn only_the_author_and_administrators_change_and_delete() {
    let app = boot().await;
    let (ada, other, staff, admin) =
        (app.user().await, app.user().await, app.staff().await, app.admin().await);
    let (public, secret) = (publish(&ada, "Public").await, draft(&ada, "Secret").await);
    for (caller, on_public, on_secret) in
        [(&other, "forbidden", "post_not_found"), (&staff, "forbidden", "forbidden")]
    {
        for (path, code) in [(&public, on_public), (&secret, on_secret)] {
            assert_eq!(caller.patch(path, &[], json!({"title": "Mine"})).await.code(), code, "{path}");
            assert_eq!(caller.delete(path, &[]).await.code(), code, "{path}");
        }
    }
    assert_eq!(app.anonymous().patch(&public, &[], json!({})).await.code(), "unauthenticated");
    assert_eq!(app.anonymous().delete(&secret, &[]).await.code(), "unauthenticated");

    let moderated = admin.patch(&public, &[], json!({"published": false})).await;
    assert_eq!(moderated.status, 200);
    let author = &moderated.json["author"]["username"];
    assert!(author.as_str().unwrap().starts_with("user-"), "it stays the author's: {author}");
    assert_eq!(admin.delete(&secret, &[]).await.status, 204);
    assert_eq!(ada.delete(&public, &[]).await.status, 204);
    // Staff write too, and change what is theirs.
    let own = publish(&staff, "House rules").await;
    assert_eq!(staff.patch(&own, &[], json!({"title": "New house rules"})).await.status, 200);
}

#[tokio::test]
async fn slugs_come_from_titles_in_any_script_and_never_twice() {
    let app = boot().await;
    let ada = app.user().await;
    for (title, slug) in [
        ("Crème brûlée", "creme-brulee"),
        ("Creme Brulee!", "creme-brulee-2"),
        ("CRÈME BRÛLÉE", "creme-brulee-3"),
        ("雪国", "雪国"),
        ("雪国", "雪国-2"),
        ("🎉", "post"),
        ("🎂🎂", "post-2"),
    ] {
        let post = write(&ada, json!({"title": title, "content": "Text.", "published": true})).await;
        assert_eq!(post.json["slug"], slug);
        let encoded: String = slug.bytes().map(|byte| format!("%{byte:02X}")).collect();
        let found = app.anonymous().get(&format!("{POSTS}/by-slug/{encoded}")).await;
        assert_eq!(found.json["id"], post.json["id"]);
    }
    for unknown in ["nothing", "Post", "a%20b", "%F0%9F%8E%89", "%00", "-"] {
        assert_eq!(app.anonymous().get(&format!("{POSTS}/by-slug/{unknown}")).await.code(), "post_not_found");
    }
    let long = write(&ada, json!({"title": "word ".repeat(40).trim(), "content": "Text."})).await;
    assert!(long.json["slug"].as_str().unwrap().len() <= 80);
}

#[tokio::test]
async fn a_slug_of_ones_own_is_kept_or_refused() {
    let app = boot().await;
    let ada = app.user().await;
    let body = |slug: &str| json!({"title": "T", "content": "C", "slug": slug});
    assert_eq!(write(&ada, body("on-trains")).await.json["slug"], "on-trains");
    let taken = ada.post(POSTS, body("on-trains")).await;
    assert_eq!(
        (taken.status.as_u16(), taken.code(), taken.faults()),
        (409, "slug_taken", vec![("slug", "slug_taken")])
    );

    let other = draft(&ada, "Other").await;
    let taken = ada.patch(&other, &[], json!({"slug": "on-trains"})).await;
    assert_eq!((taken.status.as_u16(), taken.code()), (409, "slug_taken"));
    assert_eq!(ada.patch(&other, &[], json!({"slug": "on-ships"})).await.json["slug"], "on-ships");
    let bad = ada.patch(&other, &[], json!({"slug": "On Ships"})).await;
    assert_eq!(bad.faults(), [("slug", "invalid_slug")]);
    assert!(bad.text().contains("such as on-ships"), "{}", bad.text());
    assert_eq!(totals(&app).await, [(2, 2), (0, 0)]);
}

#[tokio::test]
async fn changes_are_told_and_what_a_draft_says_is_not() {
    use sea_orm::ConnectionTrait as _;
    use sea_orm::sea_query::Query;

    let app = boot().await;
    let ada = app.user().await;
    let path = draft(&ada, "Secret plans").await;
    ada.patch(&path, &[], json!({"content": "More secret plans."})).await;
    let kinds = async || {
        let select = Query::select()
            .columns(["kind", "data"])
            .from("outbox")
            .order_by("seq", sea_orm::Order::Asc)
            .take();
        let rows = app.db().primary().query_all(&select).await.unwrap();
        let text = |row: &sea_orm::QueryResult, at| row.try_get_by_index::<String>(at).unwrap();
        rows.iter()
            .map(|row| (text(row, 0), text(row, 1)))
            .filter(|(kind, _)| kind.starts_with("blog."))
            .collect::<Vec<_>>()
    };
    assert_eq!(kinds().await, []);
    ada.patch(&path, &[], json!({"published": true})).await;
    ada.patch(&path, &[], json!({"title": "Open plans"})).await;
    ada.patch(&path, &[], json!({"published": false, "title": "Secret again"})).await;
    ada.delete(&path, &[]).await;
    let told = kinds().await;
    let names: Vec<&str> = told.iter().map(|(kind, _)| kind.as_str()).collect();
    assert_eq!(
        names,
        ["blog.post.published", "blog.post.updated", "blog.post.unpublished", "blog.post.deleted"]
    );
    assert!(told[0].1.contains("Secret plans") && told[1].1.contains("Open plans"));
    assert!(!told[2].1.contains("Secret") && !told[3].1.contains("Secret"));
}

#[tokio::test]
async fn html_that_older_rules_made_is_made_anew() {
    use sea_orm::ConnectionTrait as _;
    let app = boot().await;
    let ada = app.user().await;
    let path = publish(&ada, "Old").await;
    let old = "UPDATE blog_posts SET renderer = 0, content_html = '<script>old</script>'";
    app.db().primary().execute_unprepared(old).await.unwrap();
    for html in [
        &app.anonymous().get(&path).await.json["content_html"],
        &app.anonymous().get(POSTS).await.json["items"][0]["content_html"],
    ] {
        assert_eq!(html, "<p>Text.</p>\n");
    }
}

#[tokio::test]
async fn a_text_that_becomes_a_multiple_of_itself_as_html_is_refused() {
    let app = boot().await;
    let ada = app.user().await;
    let links = "<a@b>".repeat(20_000);
    let refused = ada.post(POSTS, json!({"title": "Links", "content": links, "published": true})).await;
    assert_eq!((refused.status.as_u16(), refused.faults()), (422, vec![("content", "too_much_html")]));
    let path = publish(&ada, "Links").await;
    let refused = ada.patch(&path, &[], json!({"title": "More links", "content": links})).await;
    assert_eq!((refused.status.as_u16(), refused.faults()), (422, vec![("content", "too_much_html")]));
    assert_eq!(ada.get(&path).await.json["title"], "Links");

    let table = format!("{}\n{}\n{}", "|a".repeat(362), "|-".repeat(362), "a\n".repeat(724));
    let tables = table.repeat(34);
    let written = write(&ada, json!({"title": "Tables", "content": tables})).await;
    assert!(written.bytes.len() < 1_000_000, "{}", written.bytes.len());
}
