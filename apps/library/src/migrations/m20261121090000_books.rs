//! The books, their words for comparing and an index over these.
//!
//! `title_words` and `author_words` are folded and split by the program, so
//! that both databases find and order alike; `published_order` puts unknown
//! days last, where the databases disagree about NULL. Each order that the list
//! offers has an index that ends with the id.

use mainstay_db::{Dialect, Migration, Steps};
use sea_orm::sea_query::{Alias, ColumnDef, Index, Table};

pub(super) const MIGRATION: Migration =
    Migration { app: "library", version: 20_261_121_090_000, name: "books", up, down };

fn up(steps: &mut Steps) {
    let by_code_point = steps.dialect().binary_collation();
    let column = |name: &str| ColumnDef::new(Alias::new(name)).not_null().to_owned();
    let text = |name: &str| column(name).text().extra(by_code_point).to_owned();
    steps.run(
        Table::create()
            .table(Alias::new("books"))
            .col(column("id").big_integer().auto_increment().primary_key())
            .col(text("title"))
            .col(text("author"))
            .col(text("title_words"))
            .col(text("author_words"))
            .col(ColumnDef::new(Alias::new("published_date")).date())
            .col(column("published_order").integer())
            .col(text("isbn"))
            .col(column("version").big_integer())
            .col(column("created_at").big_integer())
            .col(column("updated_at").big_integer()),
    );
    let index = |name: &str| Index::create().name(name).table(Alias::new("books")).to_owned();
    steps.run(index("books_isbn_key").unique().col(Alias::new("isbn")));
    for sorted in ["title_words", "author_words", "published_order", "created_at"] {
        let name = format!("books_{sorted}_id_idx");
        steps.run(index(&name).col(Alias::new(sorted)).col(Alias::new("id")));
    }
    for sql in word_index(steps.dialect()) {
        steps.raw(*sql);
    }
}

fn down(steps: &mut Steps) {
    if steps.dialect() == Dialect::Sqlite {
        steps.run(Table::drop().table(Alias::new("books_fts")));
    }
    steps.run(Table::drop().table(Alias::new("books")));
}

/// An index that finds books by the beginnings of their words.
const fn word_index(dialect: Dialect) -> &'static [&'static str] {
    match dialect {
        Dialect::Sqlite => SQLITE,
        Dialect::Postgres => POSTGRES,
    }
}

/// An FTS5 index that stores no text of its own; triggers keep it in step.
/// `ascii` takes every character beyond ASCII for part of a word, which leaves
/// the spaces between our words as the only separators. Ranks, phrases and
/// columns are not asked of it (`detail`, `columnsize`).
const SQLITE: &[&str] = &[
    "CREATE VIRTUAL TABLE books_fts USING fts5(title_words, author_words, content = 'books', content_rowid = 'id', \
     tokenize = 'ascii', prefix = '1 2 3', detail = none, columnsize = 0)",
    "CREATE TRIGGER books_fts_insert AFTER INSERT ON books BEGIN \
     INSERT INTO books_fts (rowid, title_words, author_words) VALUES (new.id, new.title_words, new.author_words); END",
    "CREATE TRIGGER books_fts_delete AFTER DELETE ON books BEGIN \
     INSERT INTO books_fts (books_fts, rowid, title_words, author_words) \
     VALUES ('delete', old.id, old.title_words, old.author_words); END",
    "CREATE TRIGGER books_fts_update AFTER UPDATE OF title_words, author_words ON books \
     WHEN old.title_words <> new.title_words OR old.author_words <> new.author_words BEGIN \
     INSERT INTO books_fts (books_fts, rowid, title_words, author_words) \
     VALUES ('delete', old.id, old.title_words, old.author_words); \
     INSERT INTO books_fts (rowid, title_words, author_words) VALUES (new.id, new.title_words, new.author_words); END",
];

/// A GIN index over the words themselves: no parser, stemmer or dictionary of
/// PostgreSQL sees them. Without `fastupdate`, so that no search pays for the
/// entries that an import left waiting.
const POSTGRES: &[&str] = &[
    "ALTER TABLE books ADD COLUMN words tsvector NOT NULL GENERATED ALWAYS AS \
     (array_to_tsvector(array_remove(string_to_array(btrim(title_words || author_words), ' '), ''))) STORED",
    "CREATE INDEX books_words_idx ON books USING gin (words) WITH (fastupdate = off)",
];
