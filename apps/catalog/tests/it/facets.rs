//! Counts over what was found.

use mainstay_catalog::domain::listing::Facets;
use mainstay_catalog::{FoundFacets, PriceBand};
use mainstay_core::input::Text as _;
use serde_json::json;

use crate::support::{Fixture, catalog, catalog_of, query};

async fn facets(fixture: &Fixture, wanted: &str, pairs: &[(&str, &str)]) -> FoundFacets {
    let (filter, paging) = query(pairs);
    fixture.products.list(&filter, Facets::parse(wanted).unwrap(), &paging).await.unwrap().facets
}

fn counted(values: &[(&str, u64)]) -> Vec<(String, u64)> {
    values.iter().map(|(value, count)| ((*value).to_owned(), *count)).collect()
}

#[tokio::test]
async fn facets_count_all_that_was_found_and_nothing_else() {
    let fixture = catalog().await;
    fixture.category("tables", None).await;
    fixture.category("desks", Some("tables")).await;
    for (sku, name, category, price, tags) in [
        ("a", "Oak desk", Some("desks"), "99.99", &["Oak", "new"][..]),
        ("b", "Oak table", Some("tables"), "100.00", &["oak"]),
        ("c", "Pine desk", Some("desks"), "9.99", &["new"]),
        ("d", "Oak box", None, "0.00", &["oak", "box"]),
    ] {
        fixture.add(sku, json!({"name": name, "category": category, "price": price, "tags": tags})).await;
    }

    let all = facets(&fixture, "category,tags,price", &[("page_size", "1")]).await;
    assert_eq!(
        all.category.unwrap().into_iter().map(|(slug, _, count)| (slug, count)).collect::<Vec<_>>(),
        counted(&[("desks", 2), ("tables", 1)])
    );
    assert_eq!(all.tags.unwrap(), counted(&[("Oak", 3), ("new", 2), ("box", 1)]));
    let band = |from, to, count| PriceBand { from, to, count };
    assert_eq!(
        all.price.unwrap(),
        [band("0", Some("10"), 2), band("50", Some("100"), 1), band("100", Some("250"), 1)]
    );

    let oak = facets(&fixture, "tags", &[("q", "oak"), ("category", "tables")]).await;
    assert_eq!(oak.tags.unwrap(), counted(&[("Oak", 2), ("new", 1)]));
    assert!(oak.category.is_none() && oak.price.is_none());
    let dear = facets(&fixture, "price,category", &[("min_price", "100")]).await;
    assert_eq!(dear.price.unwrap(), [band("100", Some("250"), 1)]);
    let none = facets(&fixture, "price,category,tags", &[("q", "nothing")]).await;
    assert_eq!(
        (none.price.unwrap().len(), none.category.unwrap().len(), none.tags.unwrap().len()),
        (0, 0, 0)
    );
}

#[tokio::test]
async fn facets_sum_up_to_the_total() {
    let fixture = catalog_of(700).await;
    for pairs in
        [&[][..], &[("q", "oak")], &[("category", "furniture"), ("in_stock", "true")], &[("tags", "sale")]]
    {
        let total = fixture.list(pairs).await.total.unwrap();
        let found = facets(&fixture, "price,category", pairs).await;
        assert_eq!(found.price.unwrap().iter().map(|band| band.count).sum::<u64>(), total, "{pairs:?}");
        assert_eq!(found.category.unwrap().iter().map(|(.., count)| count).sum::<u64>(), total, "{pairs:?}");
    }
}
