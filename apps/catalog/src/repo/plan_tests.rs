//! Every hot query of a list is served by an index, on both databases.

use std::sync::Arc;

use mainstay_cache::Cache;
use mainstay_core::input::Text as _;
use mainstay_core::page::Start;
use mainstay_core::text::SearchText;
use mainstay_core::{Actor, Decimal, OsRng, Paging, SystemClock};
use mainstay_db::testing::TestDatabase;
use mainstay_db::{Db, Dialect};
use mainstay_telemetry::Metrics;
use mainstay_transfer::{Import as _, Mode};
use sea_orm::{ConnectionTrait as _, DbBackend, Statement};
use serde_json::json;

use super::list::{Conditions, statement};
use super::products::select;
use crate::domain::category::CategoryId;
use crate::domain::listing::{Filter, ProductOrder};
use crate::domain::product::NewProduct;
use crate::domain::values::Tag;
use crate::service::{BATCH_ROWS, Categories, Importer, Products};
use crate::{demo, migrations};

struct Catalog {
    db: Db,
    _database: TestDatabase,
}

/// Large enough for PostgreSQL to prefer an index to reading everything.
async fn catalog() -> Catalog {
    catalog_of(6_000).await
}

async fn catalog_of(count: usize) -> Catalog {
    let database = TestDatabase::migrated(&migrations::all()).await;
    let db = database.open();
    let actor = Actor::system("test");
    let cache = Cache::local(Arc::new(SystemClock), Arc::new(OsRng), &Metrics::new());
    let categories = Categories::new(db.clone(), &cache);
    for category in demo::categories() {
        categories.create(&actor, &category).await.unwrap();
    }
    let rows: Vec<NewProduct> = demo::products(count).collect();
    let importer = Importer::new(Products::new(db.clone(), &cache, categories), false);
    for batch in rows.chunks(BATCH_ROWS) {
        importer.take(&actor, batch, Mode::Write).await.unwrap();
    }
    // A commit that drops a table waits for those before it to be on the disk: where commits do not wait by
    // themselves, VACUUM would not yet count the last rows as seen by all.
    let tidy = db
        .dialect()
        .pick(&["ANALYZE"][..], &["CREATE TABLE dropped ()", "DROP TABLE dropped", "VACUUM ANALYZE"]);
    for sql in tidy {
        db.primary().execute_unprepared(sql).await.unwrap();
    }
    Catalog { db, _database: database }
}

impl Catalog {
    async fn plan(&self, mut statement: Statement, analyze: bool) -> String {
        let connection = self.db.primary();
        let sqlite = connection.get_database_backend() == DbBackend::Sqlite;
        let (explain, column) = match (sqlite, analyze) {
            (true, _) => ("EXPLAIN QUERY PLAN", "detail"),
            (false, false) => ("EXPLAIN", "QUERY PLAN"),
            (false, true) => ("EXPLAIN (ANALYZE, BUFFERS)", "QUERY PLAN"),
        };
        statement.sql = format!("{explain} {}", statement.sql);
        let rows = connection.query_all_raw(statement).await.unwrap();
        rows.iter().map(|row| row.try_get::<String>("", column).unwrap() + "\n").collect()
    }

    async fn page(
        &self,
        filter: &Filter,
        categories: Option<&[CategoryId]>,
        paging: &Paging<ProductOrder>,
    ) -> String {
        let conditions = Conditions::new(filter, categories);
        let backend = self.db.primary().get_database_backend();
        self.plan(statement(backend, self.db.dialect(), &conditions, paging).unwrap(), false).await
    }
}

fn paging(sort: ProductOrder) -> Paging<ProductOrder> {
    Paging { sort, ..Paging::first(20) }
}

/// Whether the plan reads all rows of a large table.
fn reads_everything(plan: &str) -> bool {
    let scans = |line: &str| {
        let line = line.trim();
        ["products", "product_words", "product_tags"]
            .iter()
            .any(|table| line.contains(&format!("Seq Scan on {table}")) || line == format!("SCAN {table}"))
    };
    plan.lines().any(scans)
}

#[tokio::test]
async fn every_order_walks_its_index() {
    let catalog = catalog().await;
    for (order, index, key) in [
        (ProductOrder::CreatedAt, "products_created_at_id_idx", json!(1)),
        (ProductOrder::Price, "products_price_order_id_idx", json!(500_000)),
        (ProductOrder::Stock, "products_stock_id_idx", json!(100)),
        (ProductOrder::Name, "product_words_name_words_product_id_idx", json!(" m ")),
    ] {
        for descending in [false, true] {
            let start = Start::After { key: key.clone(), id: json!(7) };
            let paging = Paging { start, descending, ..paging(order) };
            let plan = catalog.page(&Filter::default(), None, &paging).await;
            assert!(plan.contains(index) && !reads_everything(&plan), "{order:?}: {plan}");
        }
    }
}

#[tokio::test]
async fn a_category_and_prices_are_counted_and_cut_by_one_index() {
    let catalog = catalog().await;
    let filter = Filter {
        min_price: Decimal::parse("100").ok(),
        max_price: Decimal::parse("150").ok(),
        ..Filter::default()
    };
    for categories in [&[CategoryId(3)][..], &[CategoryId(3), CategoryId(4), CategoryId(5)]] {
        for order in [ProductOrder::Price, ProductOrder::CreatedAt] {
            let plan = catalog.page(&filter, Some(categories), &paging(order)).await;
            let index = "products_category_id_price_order_id_created_at_idx";
            // Whether PostgreSQL leaves the rows alone depends on what VACUUM could mark as visible to all, and
            // transactions of other tests may keep it from that.
            let covering = match catalog.db.dialect() {
                Dialect::Sqlite => format!("USING COVERING INDEX {index}"),
                Dialect::Postgres => index.to_owned(),
            };
            // The count and the page. PostgreSQL guesses by a sample which of its indexes is the best for either: for
            // the page it may walk the order, for several categories the prices.
            let times = match (catalog.db.dialect(), categories.len()) {
                (Dialect::Sqlite, 1) => 2,
                (Dialect::Sqlite, _) | (Dialect::Postgres, 1) => 1,
                (Dialect::Postgres, _) => 0,
            };
            assert!(
                plan.matches(&covering).count() >= times && !reads_everything(&plan),
                "{order:?}: {plan}"
            );
        }
    }
}

#[tokio::test]
async fn words_are_found_by_their_index() {
    let catalog = catalog().await;
    for q in ["alberg", "alberg oak", "berg table"] {
        for (order, categories) in
            [(ProductOrder::Relevance, None), (ProductOrder::Price, Some(&[CategoryId(3)][..]))]
        {
            let filter = Filter { q: SearchText::parse(q).ok(), ..Filter::default() };
            let plan = catalog.page(&filter, categories, &paging(order)).await;
            let by_index = match catalog.db.dialect() {
                Dialect::Sqlite => plan.contains("product_words_fts VIRTUAL TABLE INDEX"),
                Dialect::Postgres => plan.contains("Bitmap Index Scan on product_words_words_idx"),
            };
            assert!(by_index && !reads_everything(&plan), "{q}: {plan}");
        }
    }
}

#[tokio::test]
async fn what_has_the_words_is_looked_up_by_the_product_and_never_joined_with_all() {
    let catalog = catalog().await;
    for filter in [
        Filter { max_price: price("100"), ..Filter::default() },
        Filter { in_stock: Some(true), min_price: price("10"), ..Filter::default() },
    ] {
        let filter = Filter { q: SearchText::parse("alberg").ok(), ..filter };
        for order in [ProductOrder::Relevance, ProductOrder::Name] {
            let plan = catalog.page(&filter, None, &paging(order)).await;
            // Whatever PostgreSQL knows of the word and the price when it plans.
            let (lookup, by_id) = match catalog.db.dialect() {
                Dialect::Sqlite => {
                    ("CORRELATED SCALAR SUBQUERY", "SEARCH products USING INTEGER PRIMARY KEY (rowid=?)")
                }
                Dialect::Postgres => ("(SubPlan ", "Index Cond: ((id = product_words.product_id)"),
            };
            assert!(plan.contains(lookup) && plan.contains(by_id), "{order:?}: {plan}");
            assert!(!reads_everything(&plan), "{order:?}: {plan}");
        }
    }
}

#[tokio::test]
async fn tags_are_found_by_their_index() {
    let catalog = catalog().await;
    let tags = ["brass", "sage"].map(|tag| Tag::parse(tag).unwrap()).to_vec();
    let plan =
        catalog.page(&Filter { tags, ..Filter::default() }, None, &paging(ProductOrder::CreatedAt)).await;
    assert!(plan.contains("product_tags_pkey") || plan.contains("sqlite_autoindex_product_tags_1"), "{plan}");
    assert!(!plan.contains("SCAN product_tags\n") && !plan.contains("Seq Scan on product_tags"), "{plan}");
}

#[tokio::test]
async fn one_product_is_one_look_into_the_primary_key() {
    let catalog = catalog().await;
    use sea_orm::sea_query::{Expr, ExprTrait as _};
    let by_id = select().and_where(Expr::col(("products", "id")).eq(7_i64)).take();
    let backend = catalog.db.primary().get_database_backend();
    let plan = catalog.plan(backend.build(&by_id), false).await;
    assert!(!reads_everything(&plan), "{plan}");
}

fn price(text: &str) -> Option<Decimal> {
    Decimal::parse(text).ok()
}

/// One word that a hundredth of the products have, or more.
fn words(turn: usize, more: &str) -> Option<SearchText> {
    let name = demo::product(turn)["name"].as_str().unwrap().to_owned();
    SearchText::parse(&format!("{} {more}", name.split(' ').next().unwrap())).ok()
}

/// What the hot queries cost over 100,000 products, and why:
///
/// ```text
/// scripts/services --durable with env MAINSTAY_TEST_DATABASE=postgres \\
///     cargo nextest run -p mainstay-catalog --release --run-ignored only --no-capture figures
/// ```
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement: prints figures, proves nothing"]
async fn figures_over_a_hundred_thousand_products() {
    use std::time::Instant;

    use tokio::task::JoinSet;

    use super::list::list;

    let seeding = Instant::now();
    let catalog = catalog_of(100_000).await;
    println!("100,000 products were imported in {:.1} s", seeding.elapsed().as_secs_f64());
    type Case = (&'static str, Box<dyn Fn(usize) -> (Filter, Option<Vec<CategoryId>>, Paging<ProductOrder>)>);
    let cases: [Case; 7] = [
        (
            "browse: one category and prices, by price",
            Box::new(|turn| {
                let filter = Filter { min_price: price("80"), max_price: price("100"), ..Filter::default() };
                (filter, Some(vec![CategoryId(3 + (turn % 20) as i64)]), paging(ProductOrder::Price))
            }),
        ),
        (
            "browse: one category and prices, the newest",
            Box::new(|turn| {
                let filter = Filter { min_price: price("80"), max_price: price("100"), ..Filter::default() };
                let newest = Paging { descending: true, ..paging(ProductOrder::CreatedAt) };
                (filter, Some(vec![CategoryId(3 + (turn % 20) as i64)]), newest)
            }),
        ),
        (
            "browse: a category with those below and prices, the newest",
            Box::new(|_| {
                let filter = Filter { min_price: price("95"), max_price: price("105"), ..Filter::default() };
                let newest = Paging { descending: true, ..paging(ProductOrder::CreatedAt) };
                (filter, Some((1..=11).map(CategoryId).collect()), newest)
            }),
        ),
        (
            "search: one word of 1,000 rows",
            Box::new(|turn| {
                (Filter { q: words(turn, ""), ..Filter::default() }, None, paging(ProductOrder::Relevance))
            }),
        ),
        (
            "search: two words",
            Box::new(|turn| {
                (Filter { q: words(turn, "oak"), ..Filter::default() }, None, paging(ProductOrder::Relevance))
            }),
        ),
        (
            "search: one word, in stock, with a price",
            Box::new(|turn| {
                let filter = Filter {
                    q: words(turn, ""),
                    in_stock: Some(true),
                    min_price: price("50"),
                    ..Filter::default()
                };
                (filter, None, paging(ProductOrder::Relevance))
            }),
        ),
        (
            "everything, the newest",
            Box::new(|_| {
                (Filter::default(), None, Paging { descending: true, ..paging(ProductOrder::CreatedAt) })
            }),
        ),
    ];
    let dialect = catalog.db.dialect();
    for (name, case) in &cases {
        let (filter, categories, paging) = case(0);
        let conditions = Conditions::new(&filter, categories.as_deref());
        let backend = catalog.db.primary().get_database_backend();
        let explained = statement(backend, dialect, &conditions, &paging).unwrap();
        println!("\n## {name}\n{}", catalog.plan(explained, true).await);
        let mut found = 0;
        let mut tasks = JoinSet::new();
        let started = Instant::now();
        for worker in 0..8 {
            let turns: Vec<_> = (0..50).map(|turn| case(worker * 50 + turn)).collect();
            let db = catalog.db.clone();
            tasks.spawn(async move {
                let mut found = 0;
                for (filter, categories, paging) in turns {
                    let conditions = Conditions::new(&filter, categories.as_deref());
                    found += list(db.primary(), dialect, &conditions, &paging).await.unwrap().total.unwrap();
                }
                found
            });
        }
        while let Some(one) = tasks.join_next().await {
            found += one.unwrap();
        }
        let each = started.elapsed().as_secs_f64() / 400.0;
        println!(
            "{:.2} ms each, 8 at a time: {:.0} a second; {} rows found on average",
            each * 1e3,
            1.0 / each,
            found / 400
        );
    }
}
