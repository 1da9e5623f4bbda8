//! What must hold however many come at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::SeqCst};

use mainstay_catalog::CatalogError;
use mainstay_catalog::domain::product::Product;
use mainstay_catalog::domain::values::Slug;
use mainstay_core::Problem;
use mainstay_core::input::{Text as _, from_json};
use mainstay_http::{ETag, IfMatch};
use mainstay_transfer::{Import as _, ImportCounts, Mode};
use serde_json::json;
use tokio::task::JoinSet;

use crate::support::{ACTOR, catalog, product};

fn slug(text: &str) -> Slug {
    Slug::parse(text).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nobody_takes_what_is_not_there() {
    let fixture = catalog().await;
    let lamp = fixture.add("lamp", json!({"stock": 10})).await;
    let mut tasks = JoinSet::new();
    for _ in 0..30 {
        let products = fixture.products.clone();
        tasks.spawn(async move {
            products.change_stock(&ACTOR, lamp.id, &from_json(&json!({"delta": -1})).unwrap()).await
        });
    }
    let outcomes = tasks.join_all().await;

    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 10);
    let mut left: Vec<_> = outcomes.iter().flatten().map(|product| product.stock).collect();
    left.sort_unstable();
    assert_eq!(left, (0..10).collect::<Vec<_>>());
    for error in outcomes.into_iter().filter_map(Result::err) {
        assert!(matches!(error, CatalogError::InsufficientStock { available: 0, .. }), "{error:?}");
    }
    let lamp = fixture.products.get(lamp.id).await.unwrap();
    assert_eq!((lamp.stock, lamp.version), (0, 11));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_change_of_a_stock_is_lost_while_the_product_is_edited() {
    let fixture = catalog().await;
    let lamp = fixture.add("lamp", json!({"stock": 0})).await;
    let mut tasks = JoinSet::new();
    for round in 0..10 {
        let products = fixture.products.clone();
        tasks.spawn(async move {
            products.change_stock(&ACTOR, lamp.id, &from_json(&json!({"delta": 3})).unwrap()).await
        });
        let products = fixture.products.clone();
        tasks.spawn(async move {
            let patch = from_json(&json!({"name": format!("Lamp {round}")})).unwrap();
            products.update(&ACTOR, lamp.id, &IfMatch::absent(), patch).await
        });
    }
    tasks.join_all().await.into_iter().for_each(|outcome| drop(outcome.unwrap()));
    assert_eq!(fixture.products.get(lamp.id).await.unwrap().stock, 30);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_fifty_products_with_one_sku_exactly_one_is_added() {
    let fixture = catalog().await;
    let mut tasks = JoinSet::new();
    for place in 0..50 {
        let products = fixture.products.clone();
        let new = product("one", json!({"name": format!("Thing {place}"), "tags": ["a", "b"]}));
        tasks.spawn(async move { products.create(&ACTOR, new).await });
    }
    let outcomes = tasks.join_all().await;

    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 1);
    for error in outcomes.into_iter().filter_map(Result::err) {
        let problem = Problem::from(error);
        assert_eq!((problem.kind().code, &*problem.faults()[0].field), ("sku_taken", "sku"));
    }
    assert_eq!(fixture.skus(&[("tags", "a")]).await, ["one"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_updates_for_one_state_exactly_one_takes_effect() {
    let fixture = catalog().await;
    for round in 0..5 {
        let old = fixture.add(&format!("p{round}"), json!({})).await;
        let mut tasks = JoinSet::new();
        for place in 0..8 {
            let products = fixture.products.clone();
            tasks.spawn(async move {
                let patch =
                    from_json(&json!({"name": format!("New {place}"), "tags": [format!("t{place}")]}))
                        .unwrap();
                products.update(&ACTOR, old.id, &IfMatch::exactly(ETag(1)), patch).await
            });
        }
        let outcomes = tasks.join_all().await;

        let winners: Vec<_> = outcomes.iter().flatten().collect();
        assert_eq!(winners.len(), 1);
        assert_eq!(fixture.products.get(old.id).await.unwrap(), *winners[0]);
        for error in outcomes.iter().filter_map(|outcome| outcome.as_ref().err()) {
            assert!(matches!(error, CatalogError::Refused(problem) if problem.kind().code == "stale"));
        }
        // Of the tags the winner's alone are left.
        let tags = (0..8).map(|place| format!("t{place}"));
        let mut with_tag = 0;
        for tag in tags {
            with_tag += fixture
                .list(&[("tags", &tag), ("q", "new")])
                .await
                .items
                .iter()
                .filter(|p| p.id == old.id)
                .count();
        }
        assert_eq!(with_tag, 1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_moves_at_once_never_make_a_cycle() {
    for _ in 0..8 {
        let fixture = catalog().await;
        for slug in ["a", "b", "c"] {
            fixture.category(slug, None).await;
        }
        let mut tasks = JoinSet::new();
        for (moved, parent) in [("a", "b"), ("b", "c"), ("c", "a")] {
            let categories = fixture.categories.clone();
            tasks.spawn(async move {
                let patch = from_json(&json!({"parent": parent})).unwrap();
                categories.update(&ACTOR, &slug(moved), &IfMatch::absent(), &patch).await
            });
        }
        let outcomes = tasks.join_all().await;

        assert!(outcomes.iter().any(Result::is_err), "{outcomes:?}");
        for error in outcomes.into_iter().filter_map(Result::err) {
            assert!(matches!(error, CatalogError::Cycle { .. }), "{error:?}");
        }
        let tree = fixture.categories.tree().await.unwrap();
        assert!(tree.all().iter().any(|category| category.parent.is_none()), "{tree:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_category_is_not_deleted_from_under_a_product() {
    for round in 0..8 {
        let fixture = catalog().await;
        fixture.category("shelf", None).await;
        let (products, categories) = (fixture.products.clone(), fixture.categories.clone());
        let adding = async { products.create(&ACTOR, product("a", json!({"category": "shelf"}))).await };
        let deleting = async { categories.delete(&ACTOR, &slug("shelf"), &IfMatch::absent()).await };
        let (added, deleted) = if round % 2 == 0 {
            tokio::join!(adding, deleting)
        } else {
            let (deleted, added) = tokio::join!(deleting, adding);
            (added, deleted)
        };

        match (added, deleted) {
            (Ok(_), Err(error)) => assert_eq!(Problem::from(error).kind().code, "category_in_use"),
            (Err(error), Ok(())) => assert_eq!(Problem::from(error).faults()[0].code, "unknown_category"),
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn imports_of_the_same_products_at_once_add_each_once() {
    let fixture = catalog().await;
    let rows: Arc<Vec<_>> =
        Arc::new((1..=200).map(|place| product(&format!("p{place}"), json!({"tags": ["t"]}))).collect());
    let mut tasks = JoinSet::new();
    for _ in 0..4 {
        let (importer, rows) = (fixture.importer(), rows.clone());
        tasks.spawn(async move { importer.take(&ACTOR, &rows, Mode::Write).await });
    }
    let counts: Vec<ImportCounts> =
        tasks.join_all().await.into_iter().map(|written| written.unwrap().counts).collect();

    assert_eq!(counts.iter().map(|counts| counts.created).sum::<u64>(), 200, "{counts:?}");
    assert_eq!(counts.iter().map(|counts| counts.unchanged).sum::<u64>(), 600, "{counts:?}");
    assert_eq!(fixture.list(&[("tags", "t")]).await.total, Some(200));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_category_is_renamed_and_a_file_imported_while_products_sell() {
    for _ in 0..3 {
        let fixture = catalog().await;
        fixture.category("old", None).await;
        fixture.category("other", None).await;
        let mut products = Vec::new();
        for place in 0..4 {
            products.push(fixture.add(&format!("p{place}"), json!({"category": "old"})).await.id);
        }
        let (stop, sold) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU32::new(0)));
        let mut shops = JoinSet::new();
        for _ in 0..4 {
            let (service, products) = (fixture.products.clone(), products.clone());
            let (stop, sold) = (stop.clone(), sold.clone());
            shops.spawn(async move {
                let mut changed: Vec<Product> = Vec::new();
                for id in products.iter().cycle() {
                    if stop.load(SeqCst) {
                        break;
                    }
                    let one = from_json(&json!({"delta": 1})).unwrap();
                    changed.push(service.change_stock(&ACTOR, *id, &one).await.unwrap());
                    sold.fetch_add(1, SeqCst);
                }
                changed
            });
        }
        while sold.load(SeqCst) < 20 {
            tokio::task::yield_now().await;
        }

        // One is new in the category that gets another name: refused if that comes first.
        let rows: Vec<_> = (0..4)
            .map(|place| product(&format!("p{place}"), json!({"category": "other", "stock": 100_000})))
            .chain([product("new", json!({"category": "old", "stock": 1}))])
            .collect();
        let importer = fixture.importer();
        let patch = from_json(&json!({"slug": "new"})).unwrap();
        let old = slug("old");
        let (renamed, imported) = tokio::join!(
            async { fixture.categories.update(&ACTOR, &old, &IfMatch::absent(), &patch).await },
            async { importer.take(&ACTOR, &rows, Mode::Write).await }
        );
        stop.store(true, SeqCst);
        let changed = shops.join_all().await.concat();

        renamed.unwrap();
        assert_eq!(imported.unwrap().counts.updated, 4);
        for id in products {
            let of_it: Vec<_> = changed.iter().filter(|product| product.id == id).collect();
            let after_import = of_it.iter().filter(|product| product.stock > 100_000).count() as i64;
            let now = fixture.products.get(id).await.unwrap();
            assert_eq!(now.stock, 100_000 + after_import);
            // The import changed it, and the rename too if that came first.
            let others = now.version - 1 - of_it.len() as i64;
            assert!((1..=2).contains(&others), "{others}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_refusal_for_want_of_stock_says_a_number_that_is_too_small() {
    let fixture = catalog().await;
    let lamp = fixture.add("lamp", json!({"stock": 1})).await;
    let mut tasks = JoinSet::new();
    for _ in 0..6 {
        let products = fixture.products.clone();
        tasks.spawn(async move {
            for _ in 0..60 {
                let by = |delta: i64| from_json(&json!({"delta": delta})).unwrap();
                match products.change_stock(&ACTOR, lamp.id, &by(-1)).await {
                    Ok(_) => drop(products.change_stock(&ACTOR, lamp.id, &by(1)).await.unwrap()),
                    Err(CatalogError::InsufficientStock { available, .. }) => assert_eq!(available, 0),
                    Err(error) => panic!("{error:?}"),
                }
            }
        });
    }
    tasks.join_all().await;
    assert_eq!(fixture.products.get(lamp.id).await.unwrap().stock, 1);
}
