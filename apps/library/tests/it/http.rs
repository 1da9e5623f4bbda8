//! The endpoints as a client meets them.

use axum::http::Method;
use mainstay_library::Library;
use mainstay_testkit::{Client, Reply, TestApp, json};
use serde_json::Value;

use crate::support::isbn;

const BOOKS: &str = "/api/v1/books";

async fn boot() -> TestApp {
    TestApp::boot(|backend| backend.with(Library::new)).await
}

async fn add(staff: &Client, title: &str, author: &str, place: u64) -> Reply {
    let reply = staff.post(BOOKS, json!({"title": title, "author": author, "isbn": isbn(place)})).await;
    assert_eq!(reply.status, 201, "{}", reply.text());
    reply
}

fn titles(reply: &Reply) -> Vec<&str> {
    assert_eq!(reply.status, 200, "{}", reply.text());
    reply.json["items"].as_array().unwrap().iter().map(|book| book["title"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn a_book_is_added_read_changed_and_deleted() {
    let app = boot().await;
    let staff = app.staff().await;
    let body = json!({"title": " Pride  and Prejudice", "author": "Jane Austen", "published_date": "1813-01-28", "isbn": "0-14-143951-3"});

    let created = staff.post(BOOKS, body).await;
    assert_eq!(
        (created.status.as_u16(), created.header("location"), created.header("etag")),
        (201, "/api/v1/books/1", "\"1\"")
    );
    let expected = json!({
        "id": 1, "title": "Pride and Prejudice", "author": "Jane Austen", "published_date": "1813-01-28",
        "isbn": "9780141439518", "created_at": "2026-01-31T09:30:00.000Z", "updated_at": "2026-01-31T09:30:00.000Z",
    });
    assert_eq!(created.json, expected);
    let read = app.anonymous().get("/api/v1/books/1").await;
    assert_eq!((read.json, read.headers["etag"].to_str().unwrap()), (expected, "\"1\""));

    app.advance(std::time::Duration::from_millis(1_500));
    let patched =
        staff.patch("/api/v1/books/1", &[("if-match", "\"1\"")], json!({"published_date": null})).await;
    assert_eq!((patched.status.as_u16(), patched.header("etag")), (200, "\"2\""));
    assert_eq!(
        (&patched.json["published_date"], &patched.json["updated_at"]),
        (&Value::Null, &json!("2026-01-31T09:30:01.500Z"))
    );

    let body = json!({"title": "Emma", "author": "Jane Austen", "isbn": "9780141439587"});
    let replaced = staff.put("/api/v1/books/1", &[], body).await;
    assert_eq!(
        (replaced.status.as_u16(), replaced.header("etag"), &replaced.json["title"]),
        (200, "\"3\"", &json!("Emma"))
    );

    let deleted = staff.delete("/api/v1/books/1", &[("if-match", "\"3\"")]).await;
    assert_eq!((deleted.status.as_u16(), deleted.bytes.len()), (204, 0));
    let gone = staff.delete("/api/v1/books/1", &[]).await;
    assert_eq!((gone.status.as_u16(), gone.code()), (404, "book_not_found"));
}

#[tokio::test]
async fn everybody_reads_and_only_staff_write() {
    let app = boot().await;
    let body = json!({"title": "T", "author": "A", "isbn": isbn(1)});

    assert_eq!(app.anonymous().post(BOOKS, body.clone()).await.status, 401);
    assert_eq!(app.user().await.post(BOOKS, body.clone()).await.status, 403);
    assert_eq!(app.admin().await.post(BOOKS, body.clone()).await.status, 201);
    for method in [Method::PUT, Method::PATCH, Method::DELETE] {
        let reply = app.anonymous().raw(method, "/api/v1/books/1", &[], "").await;
        assert_eq!(reply.status, 401);
    }
    assert_eq!(app.anonymous().get("/api/v1/books/1").await.status, 200);
    assert_eq!(app.anonymous().raw(Method::HEAD, "/api/v1/books/1", &[], "").await.status, 200);
}

#[tokio::test]
async fn every_fault_of_a_body_is_told() {
    let app = boot().await;
    let staff = app.staff().await;

    let reply = staff
        .post(BOOKS, json!({"author": 7, "published_date": "soon", "isbn": "979-0-2600-0043-8", "pages": 9}))
        .await;

    assert_eq!(
        reply.faults(),
        [
            ("title", "required"),
            ("author", "wrong_type"),
            ("published_date", "invalid_date"),
            ("isbn", "isbn_music"),
            ("pages", "unknown_field"),
        ]
    );
}

#[tokio::test]
async fn an_isbn_that_is_taken_is_a_conflict_on_its_field() {
    let app = boot().await;
    let staff = app.staff().await;
    add(&staff, "One", "A", 1).await;

    let reply = staff.post(BOOKS, json!({"title": "Two", "author": "A", "isbn": isbn(1)})).await;

    assert_eq!(
        (reply.status.as_u16(), reply.code(), reply.faults()),
        (409, "isbn_taken", vec![("isbn", "isbn_taken")])
    );
}

#[tokio::test]
async fn conditions_hold() {
    let app = boot().await;
    let staff = app.staff().await;
    add(&staff, "One", "A", 1).await;
    let one = "/api/v1/books/1";

    let stale = staff.patch(one, &[("if-match", "\"9\"")], json!({"title": "Two"})).await;
    assert_eq!((stale.status.as_u16(), stale.code(), stale.header("etag")), (412, "stale", "\"1\""));
    let malformed = staff.patch(one, &[("if-match", "1")], json!({"title": "Two"})).await;
    assert_eq!((malformed.status.as_u16(), malformed.code()), (400, "malformed_header"));
    let seen = app.anonymous().get_with(one, &[("if-none-match", "\"1\"")]).await;
    assert_eq!((seen.status.as_u16(), seen.bytes.len(), seen.header("etag")), (304, 0, "\"1\""));
    assert_eq!(app.anonymous().get_with(one, &[("if-none-match", "\"2\"")]).await.status, 200);
}

#[tokio::test]
async fn what_cannot_be_an_id_names_nothing() {
    let app = boot().await;
    let anonymous = app.anonymous();
    for id in ["abc", "0", "-1", "+1", "01", "9223372036854775808", "1.0", "%20"] {
        let reply = anonymous.get(&format!("{BOOKS}/{id}")).await;
        assert_eq!((reply.status.as_u16(), reply.code()), (404, "not_found"), "{id}");
    }
    assert_eq!(anonymous.get("/api/v1/books/7").await.code(), "book_not_found");
}

#[tokio::test]
async fn a_list_is_paged_sorted_and_filtered() {
    let app = boot().await;
    let staff = app.staff().await;
    for (place, title) in ["Gamma", "alpha", "Béta"].into_iter().enumerate() {
        add(&staff, title, "A", place as u64 + 1).await;
    }
    let anonymous = app.anonymous();

    let page = anonymous.get(&format!("{BOOKS}?sort=title&page_size=2")).await;
    assert_eq!(titles(&page), ["alpha", "Béta"]);
    assert_eq!(
        (&page.json["total"], &page.json["pages"], &page.json["has_next"]),
        (&json!(3), &json!(2), &json!(true))
    );
    assert!(page.header("link").contains("rel=\"next\""), "{:?}", page.headers);
    assert!(page.header("cache-control").contains("public"), "{:?}", page.headers);
    let cursor = page.json["next_cursor"].as_str().unwrap();
    let next = anonymous.get(&format!("{BOOKS}?sort=title&page_size=2&cursor={cursor}")).await;
    assert_eq!(
        (titles(&next), &next.json["total"], &next.json["next_cursor"]),
        (vec!["Gamma"], &Value::Null, &Value::Null)
    );
    assert_eq!(titles(&anonymous.get(&format!("{BOOKS}?title=bet")).await), ["Béta"]);

    let wrong =
        anonymous.get(&format!("{BOOKS}?page=0&page_size=101&sort=colour&published_from=x&tilte=a")).await;
    assert_eq!(
        wrong.faults(),
        [
            ("page", "out_of_range"),
            ("page_size", "out_of_range"),
            ("sort", "not_allowed"),
            ("published_from", "invalid_date"),
            ("tilte", "unknown_field"),
        ]
    );
    let reversed = anonymous.get(&format!("{BOOKS}?published_from=2020-01-02&published_to=2020-01-01")).await;
    assert_eq!(reversed.faults(), [("published_to", "before_from")]);
}

#[tokio::test]
async fn a_search_is_ranked_and_needs_words() {
    let app = boot().await;
    let staff = app.staff().await;
    for (place, title) in ["The Émigré", "Emigre", "Emigrés abroad"].into_iter().enumerate() {
        add(&staff, title, "A", place as u64 + 1).await;
    }
    let search = async |query: &str| app.anonymous().get(&format!("{BOOKS}/search?{query}")).await;

    assert_eq!(titles(&search("q=EMIGRE").await), ["Emigre", "Emigrés abroad", "The Émigré"]);
    assert_eq!(titles(&search("q=emigre&sort=id&page_size=2").await), ["The Émigré", "Emigre"]);
    assert_eq!(titles(&search("q=%22%25_*").await), [""; 0]);
    assert_eq!(search("").await.faults(), [("q", "required")]);
    assert_eq!(search("q=%20").await.faults(), [("q", "too_short")]);
    assert_eq!(search(&format!("q={}", "a".repeat(201))).await.faults(), [("q", "too_long")]);
}

#[tokio::test]
async fn an_export_comes_in_the_form_that_was_asked_for() {
    let app = boot().await;
    add(&app.staff().await, "A \"quoted\", one", "A", 1).await;
    let export = async |query: &str, accept: &str| {
        app.anonymous().get_with(&format!("{BOOKS}/export{query}"), &[("accept", accept)]).await
    };

    let csv = export("", "*/*").await;
    assert_eq!(
        csv.text(),
        format!("title,author,published_date,isbn\r\n\"A \"\"quoted\"\", one\",A,,{}\r\n", isbn(1))
    );
    assert_eq!(csv.header("content-disposition"), "attachment; filename=\"books.csv\"");
    let ndjson = export("", "application/x-ndjson, */*;q=0.1").await;
    assert_eq!(
        ndjson.json,
        json!({"title": "A \"quoted\", one", "author": "A", "published_date": null, "isbn": isbn(1)})
    );
    assert_eq!(export("?format=ndjson", "text/csv").await.header("content-type"), "application/x-ndjson");
    assert_eq!(export("?format=xml", "*/*").await.faults(), [("format", "not_allowed")]);
}

#[tokio::test]
async fn demo_books_come_once() {
    use mainstay_app::App as _;
    let library = std::sync::Mutex::new(None);
    let app = TestApp::boot(|backend| {
        backend.with(|platform| {
            let app = Library::new(platform);
            *library.lock().unwrap() = Some(app.clone());
            app
        })
    })
    .await;
    let library = library.into_inner().unwrap().unwrap();

    assert_eq!(library.seed_demo().await.unwrap(), ["3000 demo books in the library"]);
    assert!(library.seed_demo().await.unwrap().is_empty());

    let page = app.anonymous().get(BOOKS).await;
    assert_eq!((&page.json["total"], titles(&page)[0]), (&json!(3_000), "Pride and Prejudice"));
}
