//! What the tests share.

use mainstay_core::input::{from_json, from_pairs};
use mainstay_core::{Actor, Paging, Sorting};
use mainstay_db::testing::TestDatabase;
use mainstay_library::domain::book::NewBook;
use mainstay_library::{BATCH_ROWS, Books, demo, migrations};
use serde_json::json;

pub const ACTOR: Actor = Actor::system("test");

/// A library of its own.
pub struct Fixture {
    pub books: Books,
    // Last: dropped when nothing uses it any more.
    _database: TestDatabase,
}

pub async fn library() -> Fixture {
    let database = TestDatabase::migrated(&migrations::all()).await;
    let books = Books::new(database.open());
    Fixture { books, _database: database }
}

pub async fn library_of(count: usize) -> Fixture {
    let fixture = library().await;
    let books: Vec<NewBook> = demo::books(count).map(NewBook::from).collect();
    for batch in books.chunks(BATCH_ROWS) {
        fixture.books.import(&ACTOR, batch).await.unwrap();
    }
    fixture
}

pub fn book(title: &str, author: &str, isbn: &str) -> NewBook {
    from_json(&json!({"title": title, "author": author, "isbn": isbn})).unwrap()
}

/// The ISBN of the `place`-th made-up book.
pub fn isbn(place: u64) -> String {
    let digits = format!("978{place:09}");
    mainstay_library::domain::isbn::Isbn::from_digits12(digits.as_bytes().try_into().unwrap())
        .unwrap()
        .to_string()
}

mainstay_core::input! {
    /// The paging of a query string.
    pub struct Query {
        /// Paging.
        paging: Paging<mainstay_library::domain::listing::BookOrder>,
    }
}

pub fn paging(pairs: &[(&str, &str)]) -> Paging<mainstay_library::domain::listing::BookOrder> {
    let pairs: Vec<_> = pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    from_pairs::<Query>(&pairs).unwrap().paging
}

pub fn first<S: Sorting>(page_size: u16) -> Paging<S> {
    Paging::first(page_size)
}
