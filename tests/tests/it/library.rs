//! Books over HTTP.

use std::collections::BTreeSet;

use mainstay_e2e::{Client, Reply, Server, Site, isbn, json};
use reqwest::Method;
use tokio::task::JoinSet;

const BOOKS: &str = "/api/v1/books";

async fn boot() -> (Site, Server, Client) {
    let site = Site::new();
    let server = site.serve().await;
    site.create_admin();
    let admin = server.admin().await;
    (site, server, admin)
}

/// Imports so many books, with titles that repeat.
fn import(site: &Site, count: u32) {
    let mut file = "title,author,isbn\n".to_owned();
    for number in 0..count {
        file += &format!("Title {},Author {},{}\n", number * 7 % 40, number % 13, isbn(number));
    }
    site.write("books.csv", &file);
    let _ = site.run(&["library", "import", "books.csv"]).success();
}

#[tokio::test]
async fn a_book_lives_from_its_making_to_its_end() {
    let (_site, server, admin) = boot().await;
    let reader = server.client();

    let made = admin
        .post(
            BOOKS,
            json!({"title": "Persuasion", "author": "Jane Austen",
        "published_date": "1817-12-20", "isbn": "0-14-143968-8"}),
        )
        .await;
    assert_eq!(made.status, 201, "{}", made.text());
    assert_eq!(made.json["isbn"], "9780141439686");
    let (place, first) = (made.header("location").to_owned(), made.header("etag").to_owned());
    let got = reader.get(&place).await;
    assert_eq!((got.status.as_u16(), &got.json, got.header("etag")), (200, &made.json, first.as_str()));

    let unchanged = reader.get_with(&place, &[("if-none-match", &first)]).await;
    assert_eq!(
        (unchanged.status.as_u16(), unchanged.bytes.len(), unchanged.header("etag")),
        (304, 0, first.as_str())
    );

    let book = json!({"title": "Emma", "author": "Jane Austen", "isbn": "9780141439587"});
    let put = admin.json(Method::PUT, &place, &[("if-match", &first)], book.clone()).await;
    assert_eq!((put.status.as_u16(), &put.json["published_date"]), (200, &json!(null)), "{}", put.text());
    let second = put.header("etag").to_owned();
    assert_ne!(first, second);
    for (method, body) in
        [(Method::PUT, book), (Method::PATCH, json!({"title": "Mine"})), (Method::DELETE, json!(null))]
    {
        let stale = admin.json(method.clone(), &place, &[("if-match", &first)], body).await;
        assert_eq!((stale.status.as_u16(), stale.code()), (412, "stale"), "{method}");
    }
    let changed = reader.get_with(&place, &[("if-none-match", &first)]).await;
    assert_eq!((changed.status.as_u16(), &changed.json["title"]), (200, &json!("Emma")));

    let patch = json!({"published_date": "1815-12-23"});
    let patched = admin.json(Method::PATCH, &place, &[("if-match", &second)], patch).await;
    assert_eq!(
        (&patched.json["title"], &patched.json["published_date"]),
        (&json!("Emma"), &json!("1815-12-23"))
    );
    let patched = admin.json(Method::PATCH, &place, &[], json!({"published_date": null})).await;
    assert_eq!((patched.status.as_u16(), &patched.json["published_date"]), (200, &json!(null)));

    assert_eq!(admin.send(Method::DELETE, &place, &[], "").await.status, 204);
    for gone in [reader.get(&place).await, admin.send(Method::DELETE, &place, &[], "").await] {
        assert_eq!((gone.status.as_u16(), gone.code()), (404, "book_not_found"));
    }
}

#[tokio::test]
async fn if_match_can_be_made_a_duty() {
    let site = Site::new().set("MAINSTAY__HTTP__REQUIRE_IF_MATCH", "true");
    let server = site.serve().await;
    site.create_admin();
    let admin = server.admin().await;
    let made = admin.post(BOOKS, json!({"title": "A", "author": "B", "isbn": isbn(1)})).await;
    assert_eq!(made.status, 201);

    let blind = admin.json(Method::PATCH, made.header("location"), &[], json!({"title": "C"})).await;
    assert_eq!((blind.status.as_u16(), blind.code()), (428, "precondition_required"));
    let seen = [("if-match", made.header("etag"))];
    let seeing = admin.json(Method::PATCH, made.header("location"), &seen, json!({"title": "C"})).await;
    assert_eq!(seeing.status, 200);
}

#[tokio::test]
async fn of_books_with_one_isbn_added_at_once_one_is_made() {
    let (_site, server, admin) = boot().await;
    let mut callers = JoinSet::new();
    for number in 0..16 {
        let admin = admin.clone();
        let book = json!({"title": format!("Title {number}"), "author": "A", "isbn": isbn(5)});
        callers.spawn(async move { admin.post(BOOKS, book).await });
    }
    let replies: Vec<Reply> = callers.join_all().await;

    let made = replies.iter().filter(|reply| reply.status == 201).count();
    let told =
        |reply: &&Reply| reply.status == 409 && reply.code() == "isbn_taken" && reply.fields() == ["isbn"];
    assert_eq!((made, replies.iter().filter(told).count()), (1, 15), "{replies:?}");
    assert_eq!(server.client().get(BOOKS).await.json["total"], 1);
}

#[tokio::test]
async fn faults_of_a_book_come_with_their_reasons() {
    let (_site, _server, admin) = boot().await;
    let book = json!({"title": "", "author": "x".repeat(101), "published_date": "1817-02-30",
        "isbn": "9780306406158", "pages": 3});
    let reply = admin.post(BOOKS, book).await;

    assert_eq!((reply.status.as_u16(), reply.code()), (422, "validation_failed"));
    let mut fields = reply.fields();
    fields.sort_unstable();
    assert_eq!(fields, ["author", "isbn", "pages", "published_date", "title"], "{}", reply.text());
    assert!(reply.text().contains('7'), "the expected check digit is named: {}", reply.text());
}

#[tokio::test]
async fn cursor_and_pages_and_links_walk_over_the_same_books() {
    let (site, server, _admin) = boot().await;
    import(&site, 250);
    let reader = server.client();
    for sort in ["id", "-title", "author", "-published_date", "created_at"] {
        let ids = |reply: &Reply| -> Vec<i64> {
            assert_eq!(reply.status, 200, "{}", reply.text());
            reply.json["items"].as_array().unwrap().iter().map(|book| book["id"].as_i64().unwrap()).collect()
        };
        let start = format!("{BOOKS}?page_size=30&sort={sort}");
        let mut by_page = Vec::new();
        for page in 1..=9 {
            let reply = reader.get(&format!("{start}&page={page}")).await;
            assert_eq!((&reply.json["total"], &reply.json["pages"]), (&json!(250), &json!(9)));
            assert_eq!(reply.json["has_next"], page < 9);
            by_page.extend(ids(&reply));
        }
        assert_eq!(by_page.iter().collect::<BTreeSet<_>>().len(), 250, "{sort}");
        assert!(ids(&reader.get(&format!("{start}&page=10")).await).is_empty());

        let (mut by_cursor, mut path) = (Vec::new(), start.clone());
        loop {
            let reply = reader.get(&path).await;
            by_cursor.extend(ids(&reply));
            if path.contains("cursor") {
                let none =
                    ["page", "pages", "total", "has_prev"].iter().all(|name| reply.json[*name].is_null());
                assert!(none, "{}", reply.text());
            }
            let Some(cursor) = reply.json["next_cursor"].as_str() else { break };
            path = format!("{start}&cursor={cursor}");
        }
        assert_eq!(by_cursor, by_page, "{sort}");

        let (mut by_link, mut next) = (Vec::new(), Some(start.clone()));
        while let Some(path) = next {
            let reply = reader.get(&path).await;
            by_link.extend(ids(&reply));
            let links = reply.header("link").split(", ");
            let link = links.filter_map(|link| link.strip_suffix("; rel=\"next\"")).next();
            next = link.map(|link| link.trim_matches(['<', '>']).to_owned());
        }
        assert_eq!(by_link, by_page, "{sort}");
    }

    let cursor = reader.get(&format!("{BOOKS}?page_size=30&sort=title")).await;
    let cursor = cursor.json["next_cursor"].as_str().unwrap();
    for query in [
        format!("sort=author&cursor={cursor}"),
        "cursor=nonsense".to_owned(),
        format!("page=2&cursor={cursor}"),
    ] {
        let reply = reader.get(&format!("{BOOKS}?{query}")).await;
        assert_eq!((reply.status.as_u16(), reply.code()), (422, "validation_failed"), "{query}");
    }
}

#[tokio::test]
async fn a_search_finds_words_and_their_beginnings_without_accents() {
    let (_site, server, admin) = boot().await;
    for (number, (title, author)) in [
        ("Les Misérables", "Victor Hugo"),
        ("The Hugo Winners", "Isaac Asimov"),
        ("Hugo", "Someone Else"),
        ("100% Wolf_cub *and* \"more\"", "O'Neil"),
        ("Straße nach Ödenburg", "Šime Žižek"),
    ]
    .into_iter()
    .enumerate()
    {
        let book = json!({"title": title, "author": author, "isbn": isbn(u32::try_from(number).unwrap())});
        assert_eq!(admin.post(BOOKS, book).await.status, 201);
    }
    let reader = server.client();
    let titles = async |q: &str| -> Vec<String> {
        let q: String = q.bytes().map(|byte| format!("%{byte:02x}")).collect();
        let reply = reader.get(&format!("{BOOKS}/search?q={q}")).await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        let items = reply.json["items"].as_array().unwrap();
        items.iter().map(|book| book["title"].as_str().unwrap().to_owned()).collect()
    };

    assert_eq!(titles("hugo").await, ["Hugo", "The Hugo Winners", "Les Misérables"]);
    assert_eq!(titles("MISERAB hug").await, ["Les Misérables"]);
    assert_eq!(titles("odenb zizek").await, ["Straße nach Ödenburg"]);
    assert_eq!(titles("wolf").await.len(), 1);
    for odd in [
        "%",
        "_",
        "*",
        "\"",
        "'",
        "hugo OR 1=1",
        "NEAR(a b)",
        "-hugo",
        "title:hugo",
        "(",
        "\\",
        "a AND",
        "😀",
    ] {
        titles(odd).await;
    }
    assert!(titles("%").await.is_empty() && titles("_").await.is_empty());
}
