//! The books, their words for comparing and an index over these.
//!
//! `title_words` and `author_words` are folded and split by the program, so
//! that both databases find and order alike; `published_order` puts unknown
//! days last, where the databases disagree about NULL. Each order that the list
//! offers has an index that ends with the id.

use mainstay_db::{Migration, Steps};
use sea_orm::sea_query::{Alias, ColumnDef, Index, Table};

use crate::repo::WORDS;

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
    WORDS.create(steps);
}

fn down(steps: &mut Steps) {
    WORDS.drop(steps);
    steps.run(Table::drop().table(Alias::new("books")));
}
