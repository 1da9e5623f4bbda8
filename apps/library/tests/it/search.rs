//! One golden file for both databases: what is found, and in which order.

use std::fmt::Write as _;

use mainstay_core::text::SearchText;

use crate::support::{ACTOR, Fixture, book, first, isbn, library};

const GOLDEN: &str = include_str!("../golden/search.txt");

/// Lines `+ title | author` are the library, in the order of their ids; a line
/// `? words` is a search, and the lines after it are its answer.
async fn shelve(golden: &str) -> Fixture {
    let fixture = library().await;
    for (place, line) in golden.lines().filter_map(|line| line.strip_prefix("+ ")).enumerate() {
        let (title, author) = line.split_once(" | ").unwrap();
        fixture.books.create(&ACTOR, &book(title, author, &isbn(place as u64 + 1))).await.unwrap();
    }
    fixture
}

async fn answer(fixture: &Fixture, q: &str) -> String {
    let page = fixture.books.search(&ACTOR, &SearchText::parse(q).unwrap(), &first(100)).await.unwrap();
    assert_eq!(page.total, Some(page.items.len() as u64));
    page.items.iter().fold(String::new(), |mut text, book| {
        writeln!(text, "  {} | {}", book.title, book.author).unwrap();
        text
    })
}

#[tokio::test]
async fn searches_answer_as_the_golden_file_says_on_both_databases() {
    let fixture = shelve(GOLDEN).await;
    let mut found = String::new();
    for line in GOLDEN.lines().filter(|line| !line.starts_with("  ")) {
        writeln!(found, "{line}").unwrap();
        if let Some(q) = line.strip_prefix("? ") {
            found.push_str(&answer(&fixture, q).await);
        }
    }
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/search.txt"), &found).unwrap();
    }
    assert!(found == GOLDEN, "the golden file says otherwise (UPDATE_GOLDEN=1 rewrites it):\n{found}");
}

#[tokio::test]
async fn no_text_has_a_special_power() {
    let fixture = shelve(GOLDEN).await;
    for q in [
        "%",
        "_",
        "*",
        "\"",
        "'",
        "\\",
        "a' OR 'a'='a",
        "\"emma",
        "emma\" OR \"",
        "NEAR(a b)",
        "title:emma",
        "a AND NOT b",
        "a & !b | (c",
        "<->",
        ":*",
        "emma:*",
        "(",
        ")",
        "-emma",
        "^emma",
        "{a b}:c",
        "\u{FDFA}",
        "𝔘𝔫𝔦",
        "日本",
        "e\u{301}",
        "--",
        ";DROP TABLE books",
        "/*",
        "?",
        "$1",
        "\u{200B}a",
        &"w ".repeat(100),
        &"字".repeat(200),
    ] {
        fixture
            .books
            .search(&ACTOR, &SearchText::parse(q).unwrap(), &first(5))
            .await
            .unwrap_or_else(|e| panic!("{q}: {e:?}"));
    }
}

#[tokio::test]
async fn a_book_is_found_by_what_it_says_now() {
    let fixture = library().await;
    let books = &fixture.books;
    let old = books.create(&ACTOR, &book("Emma", "Jane Austen", &isbn(1))).await.unwrap();

    books
        .replace(&ACTOR, old.id, &mainstay_http::IfMatch::absent(), book("Persuasion", "Austen", &isbn(1)))
        .await
        .unwrap();
    assert_eq!(answer(&fixture, "emma").await, "");
    assert_eq!(answer(&fixture, "persu").await, "  Persuasion | Austen\n");

    books.import(&ACTOR, &[book("Sanditon", "Austen", &isbn(1))]).await.unwrap();
    assert_eq!(answer(&fixture, "persuasion").await, "");
    assert_eq!(answer(&fixture, "sanditon austen").await, "  Sanditon | Austen\n");

    books.delete(&ACTOR, old.id, &mainstay_http::IfMatch::absent()).await.unwrap();
    assert_eq!(answer(&fixture, "austen").await, "");
}

#[tokio::test]
async fn pages_of_a_search_are_cut_from_one_order() {
    let fixture = crate::support::library_of(1_500).await;
    let text = SearchText::parse("the").unwrap();
    let mut paging = first(100);
    let mut ids = Vec::new();
    let total = loop {
        let page = fixture.books.search(&ACTOR, &text, &paging).await.unwrap();
        assert_eq!(page.next_cursor, None);
        ids.extend(page.items.iter().map(|book| book.id));
        let mainstay_core::page::Start::Page(number) = paging.start else { unreachable!() };
        paging.start = mainstay_core::page::Start::Page(number + 1);
        if !page.has_next {
            break page.total.unwrap();
        }
    };
    assert_eq!(ids.len() as u64, total);
    assert!(total > 100, "{total}");
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len() as u64, total);
}
