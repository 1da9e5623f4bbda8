//! One golden file for both databases: what is found, and in which order.

use std::fmt::Write as _;

use mainstay_core::input::from_json;
use mainstay_core::page::Start;
use mainstay_http::IfMatch;
use mainstay_transfer::{Import as _, Mode};
use serde_json::json;

use crate::support::{ACTOR, Fixture, catalog, catalog_of, product, query};

const GOLDEN: &str = include_str!("../golden/search.txt");

/// Lines `+ name | description` are the catalog, in the order of their ids; a line
/// `? words` is a search, and the lines after it are its answer.
async fn stocked(golden: &str) -> Fixture {
    let fixture = catalog().await;
    for (place, line) in golden.lines().filter_map(|line| line.strip_prefix("+ ")).enumerate() {
        let (name, description) = line.split_once(" | ").unwrap();
        fixture.add(&format!("S-{place}"), json!({"name": name, "description": description})).await;
    }
    fixture
}

async fn answer(fixture: &Fixture, q: &str) -> String {
    let page = fixture.list(&[("q", q), ("page_size", "100")]).await;
    assert_eq!(page.total, Some(page.items.len() as u64));
    page.items.iter().fold(String::new(), |mut text, product| {
        writeln!(text, "  {} | {}", product.name, product.description).unwrap();
        text
    })
}

#[tokio::test]
async fn searches_answer_as_the_golden_file_says_on_both_databases() {
    let fixture = stocked(GOLDEN).await;
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
    let fixture = stocked(GOLDEN).await;
    let long = ["w ".repeat(100), "字".repeat(200), "a".repeat(200)];
    let texts = [
        "%",
        "_",
        "*",
        "\"",
        "'",
        "\\",
        "a' OR 'a'='a",
        "\"lamp",
        "lamp\" OR \"",
        "NEAR(a b)",
        "name_words:lamp",
        "a AND NOT b",
        "a & !b | (c",
        "<->",
        ":*",
        "lamp:*",
        "(",
        ")",
        "-lamp",
        "^lamp",
        "{a b}:c",
        "\u{FDFA}",
        "𝔘𝔫𝔦",
        "日本",
        "e\u{301}",
        "--",
        ";DROP TABLE products",
        "/*",
        "?",
        "$1",
        "\u{200B}a",
        "usb-c",
        "C++",
        "AND",
        "978-3-16",
        "😀",
    ];
    for q in texts.into_iter().chain(long.iter().map(String::as_str)) {
        for sort in ["relevance", "-relevance", "price", "name"] {
            fixture.list(&[("q", q), ("sort", sort), ("page_size", "5")]).await;
        }
    }
}

#[tokio::test]
async fn a_product_is_found_by_what_it_says_now() {
    let fixture = catalog().await;
    let old = fixture.add("a", json!({"name": "Oak desk", "description": "With a drawer"})).await;

    let patch = from_json(&json!({"name": "Walnut desk"})).unwrap();
    fixture.products.update(&ACTOR, old.id, &IfMatch::absent(), patch).await.unwrap();
    assert_eq!(answer(&fixture, "oak").await, "");
    assert_eq!(answer(&fixture, "walnut drawer").await, "  Walnut desk | With a drawer\n");

    let rows = [product("a", json!({"name": "Ash shelf"}))];
    fixture.importer().take(&ACTOR, &rows, Mode::Write).await.unwrap();
    assert_eq!(answer(&fixture, "walnut").await, "");
    assert_eq!(answer(&fixture, "drawer").await, "");
    assert_eq!(answer(&fixture, "ash").await, "  Ash shelf | \n");

    fixture.products.delete(&ACTOR, old.id, &IfMatch::absent()).await.unwrap();
    assert_eq!(answer(&fixture, "ash").await, "");
}

#[tokio::test]
async fn words_and_filters_hold_together() {
    let fixture = catalog().await;
    fixture.category("tables", None).await;
    fixture.category("desks", Some("tables")).await;
    fixture.add("a", json!({"name": "Oak desk", "category": "desks", "stock": 1, "tags": ["Oak"]})).await;
    fixture
        .add(
            "b",
            json!({"name": "Oak table", "category": "tables", "price": "99.00", "tags": ["oak", "new"]}),
        )
        .await;
    fixture.add("c", json!({"name": "Oak", "stock": 5})).await;
    let skus = async |pairs: &[(&str, &str)]| fixture.skus(pairs).await.concat();
    assert_eq!(skus(&[("q", "oak")]).await, "cab");
    assert_eq!(skus(&[("q", "oak"), ("category", "tables")]).await, "ab");
    assert_eq!(skus(&[("q", "oak"), ("category", "desks")]).await, "a");
    assert_eq!(skus(&[("q", "oak"), ("in_stock", "true")]).await, "ca");
    assert_eq!(skus(&[("q", "oak"), ("tags", "OAK")]).await, "ab");
    assert_eq!(skus(&[("q", "oak"), ("tags", "oak"), ("tags", "new")]).await, "b");
    assert_eq!(skus(&[("q", "oak"), ("min_price", "50")]).await, "b");
    assert_eq!(skus(&[("q", "oak"), ("sort", "-price")]).await, "bca");
}

#[tokio::test]
async fn pages_of_a_search_are_cut_from_one_order() {
    let fixture = catalog_of(1_200).await;
    let (filter, mut paging) = query(&[("q", "table"), ("page_size", "20")]);
    let mut ids = Vec::new();
    let total = loop {
        let page = fixture.products.list(&filter, Default::default(), &paging).await.unwrap().page;
        assert_eq!(page.next_cursor, None);
        ids.extend(page.items.iter().map(|product| product.id));
        let Start::Page(number) = paging.start else { unreachable!() };
        paging.start = Start::Page(number + 1);
        if !page.has_next {
            break page.total.unwrap();
        }
    };
    assert_eq!(ids.len() as u64, total);
    assert!(total > 40, "{total}");
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len() as u64, total);
}
