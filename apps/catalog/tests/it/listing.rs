//! Pages, orders and filters.

use std::collections::{BTreeMap, BTreeSet};

use mainstay_catalog::domain::listing::ProductOrder;
use mainstay_core::Problem;
use mainstay_core::page::Start;
use serde_json::json;

use crate::support::{catalog, catalog_of, query};

const ORDERS: [&str; 9] =
    ["created_at", "-created_at", "price", "-price", "name", "-name", "stock", "-stock", ""];

fn sorted<'a>(sort: &'a str, others: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let sort = (!sort.is_empty()).then_some(("sort", sort));
    others.iter().copied().chain(sort).collect()
}

#[tokio::test]
async fn a_cursor_meets_every_row_exactly_once_in_every_order_while_rows_are_added() {
    for sort in ORDERS {
        let fixture = catalog_of(400).await;
        let mut met: BTreeMap<i64, u32> = BTreeMap::new();
        let mut cursor: Option<String> = None;
        for step in 0.. {
            let mut pairs = sorted(sort, &[("page_size", "40")]);
            pairs.extend(cursor.as_deref().map(|cursor| ("cursor", cursor)));
            let page = fixture.list(&pairs).await;
            assert_eq!(page.total.is_some(), cursor.is_none());
            for product in &page.items {
                *met.entry(product.id.number()).or_default() += 1;
            }
            // Before, at and behind the place where the walk is. Few: by time the new
            // ones would otherwise come along for ever.
            if step < 4 {
                for (place, (price, name)) in
                    [("0.01", "0"), ("150.00", "m"), ("999999.00", "zz")].into_iter().enumerate()
                {
                    let more = json!({"price": price, "name": name, "stock": place * 120});
                    fixture.add(&format!("N-{step}-{place}"), more).await;
                }
            }
            cursor = page.next_cursor;
            if cursor.is_none() {
                break;
            }
        }
        assert!(met.values().all(|times| *times == 1), "{sort}");
        let there: BTreeSet<i64> = (1..=400).collect();
        assert!(there.iter().all(|id| met.contains_key(id)), "{sort}");
    }
}

#[tokio::test]
async fn pages_by_number_agree_with_the_cursor_whatever_the_filter() {
    let fixture = catalog_of(600).await;
    for filter in [
        &[][..],
        &[("category", "furniture")],
        &[("category", "furniture"), ("min_price", "50"), ("max_price", "500.00"), ("in_stock", "true")],
        &[("tags", "oak")],
        &[("currency", "JPY")],
        &[("q", "table"), ("sort", "price")],
        &[("q", "oak"), ("category", "tables"), ("sort", "-name")],
    ] {
        for sort in ORDERS {
            let pairs = if filter.iter().any(|(name, _)| *name == "sort") {
                filter.to_vec()
            } else {
                sorted(sort, filter)
            };
            let page = async |extra: &[(&str, &str)]| {
                let pairs: Vec<_> = pairs.iter().chain(extra).copied().collect();
                fixture.list(&pairs).await
            };
            let one = page(&[("page_size", "20")]).await;
            let two = page(&[("page_size", "20"), ("page", "2")]).await;
            let past = page(&[("page_size", "20"), ("page", "1000")]).await;
            assert_eq!((one.total, past.items.len()), (past.total, 0), "{pairs:?}");
            assert_eq!(one.total, two.total, "{pairs:?}");
            let Some(cursor) = one.next_cursor else {
                assert!(one.total.unwrap() <= 20, "{pairs:?}");
                continue;
            };
            let after_one = page(&[("page_size", "20"), ("cursor", &cursor)]).await;
            let ids = |page: &mainstay_core::Page<_>| -> Vec<_> {
                page.items
                    .iter()
                    .map(|product: &mainstay_catalog::domain::product::Product| product.id)
                    .collect()
            };
            assert_eq!(ids(&two), ids(&after_one), "{pairs:?}");
            assert_eq!((after_one.total, after_one.page, after_one.has_prev), (None, None, None));
        }
    }
}

#[tokio::test]
async fn every_filter_finds_what_counting_by_hand_does() {
    let fixture = catalog_of(500).await;
    let all = fixture.list(&[("page_size", "100"), ("sort", "created_at")]).await;
    let mut products = all.items;
    for page in ["2", "3", "4", "5"] {
        products.extend(
            fixture.list(&[("page_size", "100"), ("sort", "created_at"), ("page", page)]).await.items,
        );
    }
    assert_eq!(products.len(), 500);
    type Holds = fn(&mainstay_catalog::domain::product::Product) -> bool;
    let slug = |product: &mainstay_catalog::domain::product::Product| {
        product.category.as_ref().unwrap().slug.clone()
    };
    let filters: [(&[(&str, &str)], Holds); 6] = [
        (&[("in_stock", "true")], |product| product.stock > 0),
        (&[("in_stock", "false")], |product| product.stock == 0),
        (&[("tags", "OAK"), ("tags", "sage")], |product| {
            ["oak", "sage"].iter().all(|tag| product.tags.iter().any(|own| own == tag))
        }),
        (&[("min_price", "100"), ("max_price", "200")], |product| {
            (1_000_000..=2_000_000).contains(&product.price.ten_thousandths())
        }),
        (&[("currency", "USD"), ("in_stock", "true")], |product| {
            product.price.currency().code() == "USD" && product.stock > 0
        }),
        (&[("category", "chairs")], |product| {
            product.category.as_ref().is_some_and(|own| own.slug == "chairs")
        }),
    ];
    for (pairs, holds) in filters {
        let expected = products.iter().filter(|product| holds(product)).count() as u64;
        assert!(expected > 0, "{pairs:?}");
        assert_eq!(fixture.list(pairs).await.total, Some(expected), "{pairs:?}");
    }
    let below = ["seating", "chairs", "armchairs", "sofas"];
    let expected = products.iter().filter(|product| below.contains(&slug(product).as_str())).count() as u64;
    assert_eq!(fixture.list(&[("category", "seating")]).await.total, Some(expected));
}

#[tokio::test]
async fn orders_are_what_they_say() {
    let fixture = catalog().await;
    for (sku, name, price, currency, stock) in [
        ("a", "éclair", "10.00", "EUR", 3),
        ("b", "Zebra", "9.99", "USD", 0),
        ("c", "apple", "10", "JPY", 7),
        ("d", "Żaba", "10.001", "KWD", 3),
        ("e", "日本", "0.00", "EUR", 1),
    ] {
        fixture.add(sku, json!({"name": name, "price": price, "currency": currency, "stock": stock})).await;
    }
    let order = async |sort| fixture.skus(&[("sort", sort)]).await.concat();
    assert_eq!(order("name").await, "cadbe");
    assert_eq!(order("-name").await, "ebdac");
    // As written, whatever the currency; equal ones by id.
    assert_eq!(order("price").await, "ebacd");
    assert_eq!(order("-price").await, "dcabe");
    assert_eq!(order("stock").await, "beadc");
    assert_eq!(order("created_at").await, "abcde");
    // Without words the newest are the most relevant.
    assert_eq!(fixture.skus(&[]).await.concat(), "edcba");
    assert_eq!(order("-relevance").await, "abcde");
    // A price on the edge is inside; another currency's number counts as it is written.
    let between = [("min_price", "10"), ("max_price", "10.00"), ("sort", "price")];
    assert_eq!(fixture.skus(&between).await.concat(), "ac");
}

#[tokio::test]
async fn what_is_not_there_is_an_empty_list() {
    let fixture = catalog_of(30).await;
    for filter in [
        &[("category", "nowhere")][..],
        &[("tags", "no such tag")],
        &[("tags", "%"), ("tags", "' OR 1=1")],
        &[("q", "%")],
        &[("q", "oak"), ("category", "nowhere")],
        &[("min_price", "999999999999.9999")],
    ] {
        let page = fixture.list(filter).await;
        assert_eq!((page.total, page.items.len(), page.has_next), (Some(0), 0, false), "{filter:?}");
    }
}

#[tokio::test]
async fn a_cursor_of_our_form_with_foreign_content_is_refused() {
    let fixture = catalog_of(3).await;
    for (sort, key) in [
        (ProductOrder::Name, json!(5)),
        (ProductOrder::Name, json!("\0")),
        (ProductOrder::Price, json!("x")),
        (ProductOrder::Stock, json!(1.5)),
        (ProductOrder::CreatedAt, json!(null)),
        (ProductOrder::Relevance, json!(null)),
    ] {
        let (filter, mut paging) = query(&[]);
        (paging.sort, paging.start) = (sort, Start::After { key, id: json!(1) });
        let error = fixture.products.list(&filter, Default::default(), &paging).await.unwrap_err();
        assert_eq!(Problem::from(error).faults()[0].code, "invalid_cursor");
    }
}
