//! Pages, orders, filters, words and tags.

use std::time::Duration;

use mainstay_testkit::json;

use crate::support::{POSTS, boot, draft, publish, titles, who, write};

#[tokio::test]
async fn a_list_is_paged_and_goes_from_the_newest_to_the_oldest() {
    let app = boot().await;
    let ada = app.user().await;
    for title in ["One", "two", "Three", "four", "Five"] {
        publish(&ada, title).await;
        app.advance(Duration::from_secs(1));
    }
    let anybody = app.anonymous();
    let first = anybody.get(&format!("{POSTS}?page_size=2")).await;
    assert_eq!(titles(&first), ["Five", "four"]);
    assert_eq!((&first.json["total"], &first.json["pages"]), (&json!(5), &json!(3)));
    let cursor = first.json["next_cursor"].as_str().unwrap();
    publish(&ada, "Six").await;
    let next = anybody.get(&format!("{POSTS}?page_size=2&cursor={cursor}")).await;
    assert_eq!(titles(&next), ["Three", "two"], "nothing comes twice when posts are added");
    assert_eq!(titles(&anybody.get(&format!("{POSTS}?page=3&page_size=2")).await), ["two", "One"]);
    assert_eq!(
        titles(&anybody.get(&format!("{POSTS}?sort=title")).await),
        ["Five", "four", "One", "Six", "Three", "two"]
    );
    assert_eq!(titles(&anybody.get(&format!("{POSTS}?sort=created_at&page_size=2")).await), ["One", "two"]);
    let first = publish(&ada, "Seven").await;
    app.advance(Duration::from_secs(1));
    ada.patch("/api/v1/blog/posts/1", &[], json!({"content": "New."})).await;
    assert_eq!(
        titles(&anybody.get(&format!("{POSTS}?sort=-updated_at&page_size=2")).await),
        ["One", "Seven"]
    );
    assert!(first.ends_with("/7"));
    let bad = anybody.get(&format!("{POSTS}?sort=author&page=0&author_id=7&from=x&published=maybe")).await;
    let mut fields: Vec<&str> = bad.faults().into_iter().map(|(field, _)| field).collect();
    fields.sort_unstable();
    assert_eq!(fields, ["author_id", "from", "page", "published", "sort"]);
    let wrong = anybody.get(&format!("{POSTS}?from=2026-02-01&to=2026-01-31")).await;
    assert_eq!(wrong.faults(), [("to", "before_from")]);
    let wrong = anybody.get(&format!("{POSTS}?from=2026-02-01&to=2026-01-31&page=0&published=maybe")).await;
    let mut faults = wrong.faults();
    faults.sort_unstable();
    assert_eq!(faults, [("page", "out_of_range"), ("published", "wrong_type"), ("to", "before_from")]);
}

#[tokio::test]
async fn a_list_leaves_out_the_texts_that_would_make_it_long() {
    let app = boot().await;
    let ada = app.user().await;
    let long = "word ".repeat(12_000);
    for number in 0..30 {
        let title = format!("Long {number}");
        write(&ada, json!({"title": title, "content": long, "published": true})).await;
    }
    write(&ada, json!({"title": "Short", "content": "A *few* words.", "published": true})).await;
    let list = async |query: &str| {
        let reply = app.anonymous().get(&format!("{POSTS}?{query}")).await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        assert!(reply.bytes.len() < 4_000_000, "{query}: {}", reply.bytes.len());
        reply.json["items"].as_array().unwrap().clone()
    };
    for (query, shown, of_all) in [
        ("page_size=100", 1, 31),
        ("page_size=20&sort=id", 20, 20),
        ("page_size=20", 20, 20),
        ("page_size=100&content=true", 1, 31),
        ("page_size=100&content=false", 0, 31),
        ("page_size=1&content=false", 0, 1),
    ] {
        let items = list(query).await;
        let texts =
            items.iter().filter(|post| post["content"].is_string() && post["content_html"].is_string());
        assert_eq!((texts.count(), items.len()), (shown, of_all), "{query}");
        let left_out =
            items.iter().filter(|post| post["content"].is_null() && post["content_html"].is_null());
        assert_eq!(left_out.count(), of_all - shown, "{query}");
    }
    let short = &list("page_size=100").await[0];
    assert_eq!(
        (&short["content"], &short["content_html"]),
        (&json!("A *few* words."), &json!("<p>A <em>few</em> words.</p>\n"))
    );
    assert_eq!(app.anonymous().get("/api/v1/blog/posts/1").await.json["content"], long.trim_end());
}

#[tokio::test]
async fn filters_combine() {
    let app = boot().await;
    let (ada, bob) = (who(app.user().await).await, app.user().await);
    let post =
        |title: &str, tags: &[&str]| json!({"title": title, "content": "c", "tags": tags, "published": true});
    write(&ada, post("Rust one", &["Rust", "Café"])).await;
    app.advance(Duration::from_secs(60));
    write(&ada, post("Rust two", &["rust"])).await;
    write(&bob, post("Rust three", &["RUST"])).await;
    draft(&ada, "Later").await;
    let list = async |query: &str| {
        let reply = ada.get(&format!("{POSTS}?sort=id&{query}")).await;
        let titles: Vec<String> = titles(&reply).into_iter().map(str::to_owned).collect();
        assert_eq!(reply.json["total"], titles.len(), "{query}");
        titles
    };
    assert_eq!(list("tag=rust").await, ["Rust one", "Rust two", "Rust three"]);
    assert_eq!(list("tag=CAFE").await, ["Rust one"]);
    assert_eq!(list("tag=nobody%27s").await, [""; 0]);
    assert_eq!(list(&format!("tag=rust&author_id={}", ada.id)).await, ["Rust one", "Rust two"]);
    assert_eq!(list(&format!("author_id={}", ada.id)).await, ["Rust one", "Rust two", "Later"]);
    assert_eq!(list(&format!("author_id={}&published=true", ada.id)).await, ["Rust one", "Rust two"]);
    assert_eq!(list("author_id=018f0000-0000-7000-8000-000000000000").await, [""; 0]);
    assert_eq!(list("published=false").await, ["Later"]);
    assert_eq!(list("published=true").await, ["Rust one", "Rust two", "Rust three"]);
    assert_eq!(list("from=2026-01-31T09:31:00Z").await, ["Rust two", "Rust three", "Later"]);
    assert_eq!(list("to=2026-01-31T09:30:59.999Z").await, ["Rust one"]);
    assert_eq!(list("from=2026-01-31&to=2026-01-31&tag=rust").await, ["Rust one", "Rust two", "Rust three"]);
    assert_eq!(list("from=2026-02-01").await, [""; 0]);
    assert_eq!(list("to=2026-01-30").await, [""; 0]);
    assert_eq!(list("from=2026-01-31T09:30:00Z&to=2026-01-31T09:30:00Z").await, ["Rust one"]);
    assert_eq!(list("from=2026-01-31T09:30:00.001Z&published=true&q=three&tag=rust").await, ["Rust three"]);
}

#[tokio::test]
async fn words_are_found_by_their_beginnings_whatever_their_case_and_accents() {
    let app = boot().await;
    let ada = app.user().await;
    let post = |title: &str, content: &str, tags: &[&str]| json!({"title": title, "content": content, "tags": tags, "published": true});
    write(&ada, post("Crème brûlée", "Sugar under the **grill**, O'Brien says.", &["Dessert"])).await;
    write(&ada, post("雪国を読む", "国境の長いトンネル", &["日本"])).await;
    write(&ada, post("50% off", "100% \"quoted\" * ( AND ) NEAR -minus", &[])).await;
    let find = async |q: &str| {
        let q: String = q.bytes().map(|byte| format!("%{byte:02X}")).collect();
        let reply = app.anonymous().get(&format!("{POSTS}?sort=id&q={q}")).await;
        let titles: Vec<String> = titles(&reply).into_iter().map(str::to_owned).collect();
        assert_eq!(reply.json["total"], titles.len());
        titles
    };
    assert_eq!(find("creme").await, ["Crème brûlée"]);
    assert_eq!(find("BRÛL sug").await, ["Crème brûlée"]);
    assert_eq!(find("obrien dess").await, ["Crème brûlée"]);
    assert_eq!(find("雪").await, ["雪国を読む"]);
    assert_eq!(find("日本").await, ["雪国を読む"]);
    assert_eq!(find("quo\"ted OR *").await, [""; 0]);
    for harmless in
        ["\"", "'", "%", "_", "*", "(", "AND", "NEAR(a b)", "a' OR 1=1 --", "\\", ":*", "-minus", "🎉"]
    {
        find(harmless).await;
    }
    assert_eq!(find("and").await, ["50% off"]);
    assert_eq!(find("%").await, [""; 0], "nothing to look for finds nothing");

    ada.patch("/api/v1/blog/posts/1", &[], json!({"content": "Nothing sweet.", "tags": ["Soup"]})).await;
    assert_eq!((find("sugar").await, find("soup").await), (vec![], vec!["Crème brûlée".to_owned()]));
    ada.delete("/api/v1/blog/posts/1", &[]).await;
    assert_eq!(find("creme").await, [""; 0]);
}

#[tokio::test]
async fn tags_are_counted_and_ordered() {
    let app = boot().await;
    let ada = app.user().await;
    for (title, tags) in
        [("A", json!(["Rust", "web"])), ("B", json!(["rust"])), ("C", json!(["Äpfel", "RUST"]))]
    {
        write(&ada, json!({"title": title, "content": "c", "tags": tags, "published": true})).await;
    }
    let list = async |query: &str| {
        let reply = app.anonymous().get(&format!("/api/v1/blog/tags{query}")).await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        assert_eq!(reply.json["total"], 3);
        let items = reply.json["items"].as_array().unwrap().clone();
        items
            .iter()
            .map(|tag| format!("{} {}", tag["tag"].as_str().unwrap(), tag["posts"]))
            .collect::<Vec<_>>()
    };
    assert_eq!(list("").await, ["RUST 3", "Äpfel 1", "web 1"]);
    assert_eq!(list("?sort=-tag&page_size=2").await, ["web 1", "RUST 3"]);
    assert_eq!(list("?page=2&page_size=2").await, ["web 1"]);
}
