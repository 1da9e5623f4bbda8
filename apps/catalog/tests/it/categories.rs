//! The tree.

use mainstay_catalog::CatalogError;
use mainstay_catalog::domain::category::MAX_DEPTH;
use mainstay_catalog::domain::values::Slug;
use mainstay_core::Problem;
use mainstay_core::input::{Text as _, from_json};
use mainstay_http::IfMatch;
use serde_json::{Value, json};

use crate::support::{ACTOR, Fixture, catalog};

async fn patch(fixture: &Fixture, slug: &str, body: Value) -> Result<(), CatalogError> {
    let (slug, patch) = (Slug::parse(slug).unwrap(), from_json(&body).unwrap());
    fixture.categories.update(&ACTOR, &slug, &IfMatch::absent(), &patch).await.map(drop)
}

fn code(outcome: Result<(), CatalogError>) -> &'static str {
    Problem::from(outcome.unwrap_err()).kind().code
}

#[tokio::test]
async fn a_category_never_comes_below_itself() {
    let fixture = catalog().await;
    fixture.category("a", None).await;
    fixture.category("b", Some("a")).await;
    fixture.category("c", Some("b")).await;

    assert_eq!(code(patch(&fixture, "a", json!({"parent": "a"})).await), "category_cycle");
    assert_eq!(code(patch(&fixture, "a", json!({"parent": "c"})).await), "category_cycle");
    assert_eq!(code(patch(&fixture, "a", json!({"parent": "nowhere"})).await), "validation_failed");
    patch(&fixture, "c", json!({"parent": null})).await.unwrap();
    patch(&fixture, "a", json!({"parent": "c"})).await.unwrap();
    let tree = fixture.categories.tree().await.unwrap();
    let above: Vec<_> =
        tree.ancestors(tree.find("b").unwrap()).iter().map(|above| above.slug.clone()).collect();
    assert_eq!(above, ["c", "a"]);
}

#[tokio::test]
async fn a_category_that_moves_takes_along_what_is_below_it() {
    let fixture = catalog().await;
    for (slug, parent) in [("a", None), ("b", Some("a")), ("c", Some("b")), ("z", None)] {
        fixture.category(slug, parent).await;
    }
    fixture.add("one", json!({"category": "c"})).await;
    assert_eq!(fixture.skus(&[("category", "a")]).await, ["one"]);

    patch(&fixture, "b", json!({"parent": "z"})).await.unwrap();
    assert_eq!(fixture.skus(&[("category", "a")]).await, [""; 0]);
    assert_eq!(fixture.skus(&[("category", "z")]).await, ["one"]);
}

#[tokio::test]
async fn the_tree_has_a_bottom() {
    let fixture = catalog().await;
    let slug = |level: usize| format!("l{level}");
    for level in 1..=MAX_DEPTH {
        let parent = (level > 1).then(|| slug(level - 1));
        fixture.category(&slug(level), parent.as_deref()).await;
    }
    let new = json!({"slug": "deeper", "name": "Deeper", "parent": slug(MAX_DEPTH)});
    let error = fixture.categories.create(&ACTOR, &from_json(&new).unwrap()).await.unwrap_err();
    assert_eq!(Problem::from(error).kind().code, "category_limit");
    fixture.category("top", None).await;
    assert_eq!(code(patch(&fixture, "l1", json!({"parent": "top"})).await), "category_limit");
    patch(&fixture, "l2", json!({"parent": "top"})).await.unwrap();
}

#[tokio::test]
async fn what_shows_a_slug_gets_a_new_version_when_that_changes() {
    let fixture = catalog().await;
    fixture.category("old", None).await;
    fixture.category("child", Some("old")).await;
    let product = fixture.add("one", json!({"category": "old"})).await;

    patch(&fixture, "old", json!({"slug": "new"})).await.unwrap();

    let now = fixture.products.get(product.id).await.unwrap();
    assert_eq!((now.category.unwrap().slug, now.version), ("new".to_owned(), 2));
    let tree = fixture.categories.tree().await.unwrap();
    let versions = ["new", "child"].map(|slug| tree.find(slug).unwrap().version);
    assert_eq!(versions, [2, 2]);
    assert_eq!(fixture.skus(&[("category", "new")]).await, ["one"]);
}

#[tokio::test]
async fn a_category_that_moves_leaves_its_products_as_they_were() {
    let fixture = catalog().await;
    for slug in ["top", "moved"] {
        fixture.category(slug, None).await;
    }
    fixture.category("child", Some("moved")).await;
    let product = fixture.add("one", json!({"category": "moved"})).await;

    patch(&fixture, "moved", json!({"parent": "top"})).await.unwrap();

    assert_eq!(fixture.products.get(product.id).await.unwrap().version, 1);
    // What is below shows where it is.
    let tree = fixture.categories.tree().await.unwrap();
    assert_eq!(["moved", "child"].map(|slug| tree.find(slug).unwrap().version), [2, 2]);
}
