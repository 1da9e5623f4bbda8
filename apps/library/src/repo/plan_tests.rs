//! Every query of a list is served by an index, on both databases.

use mainstay_core::page::Start;
use mainstay_core::text::SearchText;
use mainstay_core::{Actor, text};
use mainstay_db::Db;
use mainstay_db::testing::TestDatabase;
use sea_orm::sea_query::SelectStatement;
use sea_orm::{DbBackend, QueryTrait as _};
use serde_json::json;

use super::page::{count_of, rows_of};
use super::*;
use crate::domain::book::NewBook;
use crate::{BATCH_ROWS, Books, demo, migrations};

struct Library {
    db: Db,
    _database: TestDatabase,
}

/// Large enough for PostgreSQL to prefer an index to reading everything.
async fn library() -> Library {
    let database = TestDatabase::migrated(&migrations::all()).await;
    let db = database.open();
    let rows: Vec<NewBook> = demo::books(5_000).map(NewBook::from).collect();
    for batch in rows.chunks(BATCH_ROWS) {
        Books::new(db.clone()).import(&Actor::system("test"), batch).await.unwrap();
    }
    db.primary().execute_unprepared("ANALYZE").await.unwrap();
    Library { db, _database: database }
}

impl Library {
    async fn plan(&self, select: &SelectStatement) -> String {
        let connection = self.db.primary();
        let backend = connection.get_database_backend();
        let mut statement = backend.build(select);
        let explain = if backend == DbBackend::Sqlite { "EXPLAIN QUERY PLAN" } else { "EXPLAIN" };
        statement.sql = format!("{explain} {}", statement.sql);
        let column = if backend == DbBackend::Sqlite { "detail" } else { "QUERY PLAN" };
        let rows = connection.query_all_raw(statement).await.unwrap();
        rows.iter().map(|row| row.try_get::<String>("", column).unwrap() + "\n").collect()
    }
}

#[tokio::test]
async fn every_order_walks_its_index() {
    let library = library().await;
    for (order, index, key) in [
        (BookOrder::Title, "books_title_words_id_idx", json!(" m ")),
        (BookOrder::Author, "books_author_words_id_idx", json!(" m ")),
        (BookOrder::PublishedDate, "books_published_order_id_idx", json!(19_000_101)),
        (BookOrder::CreatedAt, "books_created_at_id_idx", json!(1)),
    ] {
        for descending in [false, true] {
            for start in [Start::Page(1), Start::After { key: key.clone(), id: json!(7) }] {
                let paging = Paging { start, page_size: 20, sort: order, descending };
                let plan = library
                    .plan(&rows_of(Condition::all(), Key::Order(order), &paging).unwrap().into_query())
                    .await;
                assert!(plan.contains(index), "{order:?}: {plan}");
                assert!(!plan.contains("Sort") && !plan.contains("TEMP B-TREE"), "{order:?}: {plan}");
            }
        }
    }
}

#[tokio::test]
async fn words_are_found_by_their_index() {
    let library = library().await;
    let dialect = library.db.dialect();
    for q in ["sensibility", "sense sensib", "austen"] {
        let words = text::words(q);
        let Wanted { books, count, key } = with_words(dialect, &words, SearchOrder::Relevance);
        let rows = rows_of(books, key, &Paging::<SearchOrder>::first(20)).unwrap();
        let filter = Filter { title: SearchText::parse(q).ok(), ..Filter::default() };
        for select in [rows.into_query(), count, count_of(filtered(dialect, &filter))] {
            let plan = library.plan(&select).await;
            let by_index = match dialect {
                Dialect::Sqlite => {
                    plan.contains("books_fts VIRTUAL TABLE INDEX") && !plan.contains("SCAN books\n")
                }
                Dialect::Postgres => plan.contains("Bitmap Index Scan on books_words_idx"),
            };
            assert!(by_index, "{q}: {plan}");
        }
    }
}

#[tokio::test]
async fn one_book_is_one_look_into_the_primary_key() {
    let library = library().await;
    let plan = library.plan(&Entity::find_by_id(7).into_query()).await;
    assert!(plan.contains("INTEGER PRIMARY KEY") || plan.contains("books_pkey"), "{plan}");
}
