//! The posts of the feed.
//!
//! One index, the primary key: lists go by id, newest first, and every further index would be paid
//! for by each post.

use mainstay_db::{Migration, Steps};
use sea_orm::sea_query::{Alias, ColumnDef, Table};

pub(super) const MIGRATION: Migration =
    Migration { app: "feed", version: 20_261_128_093_000, name: "posts", up, down };

fn up(steps: &mut Steps) {
    let by_code_point = steps.dialect().binary_collation();
    let column = |name: &str| ColumnDef::new(Alias::new(name)).not_null().to_owned();
    let text = |name: &str| column(name).text().extra(by_code_point).to_owned();
    steps.run(
        Table::create()
            .table(Alias::new("feed_posts"))
            .col(column("id").big_integer().auto_increment().primary_key())
            .col(text("name"))
            .col(text("username"))
            .col(column("created_at").big_integer())
            .col(text("body")),
    );
}

fn down(steps: &mut Steps) {
    steps.run(Table::drop().table(Alias::new("feed_posts")));
}
