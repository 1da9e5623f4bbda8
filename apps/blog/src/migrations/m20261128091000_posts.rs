//! Posts, and beside them what only some questions need: their tags, their words, how many there are.
//!
//! Every order of the list has an index that ends with the id. The usual list, the newest of the
//! published ones, has one of its own; so has a person's posts. The long texts come last in the row, where
//! SQLite does not read them for the columns before.

use mainstay_db::{Migration, Steps};
use sea_orm::sea_query::{Alias, ColumnDef, ForeignKey, ForeignKeyAction, Index, Table};

use crate::repo::WORDS;

pub(super) const MIGRATION: Migration =
    Migration { app: "blog", version: 20_261_128_091_000, name: "posts", up, down };

fn column(name: &str) -> ColumnDef {
    ColumnDef::new(Alias::new(name)).not_null().to_owned()
}

fn up(steps: &mut Steps) {
    let by_code_point = steps.dialect().binary_collation();
    let text = |name: &str| column(name).text().extra(by_code_point).to_owned();
    steps.run(
        Table::create()
            .table(Alias::new("blog_posts"))
            .col(column("id").big_integer().auto_increment().primary_key())
            .col(column("author_id").uuid())
            .col(text("title"))
            .col(text("title_words"))
            .col(text("slug"))
            .col(column("published").boolean())
            .col(ColumnDef::new(Alias::new("published_at")).big_integer())
            .col(column("dated_at").big_integer())
            .col(text("tags"))
            .col(column("renderer").integer())
            .col(column("version").big_integer())
            .col(column("created_at").big_integer())
            .col(column("updated_at").big_integer())
            .col(column("text_bytes").big_integer())
            .col(text("content"))
            .col(text("content_html")),
    );
    let index = |name: &str| Index::create().name(name).table(Alias::new("blog_posts")).to_owned();
    steps.run(index("blog_posts_slug_key").unique().col(Alias::new("slug")));
    for columns in [
        &["published", "dated_at", "id"][..],
        &["author_id", "dated_at", "id"],
        &["dated_at", "id"],
        &["created_at", "id"],
        &["updated_at", "id"],
        &["title_words", "id"],
    ] {
        let mut index = index(&format!("blog_posts_{}_idx", columns.join("_")));
        columns.iter().for_each(|column| {
            index.col(Alias::new(*column));
        });
        steps.run(&index);
    }

    steps.run(
        Table::create()
            .table(Alias::new("blog_tags"))
            .col(text("tag_key"))
            .col(column("post_id").big_integer())
            .col(text("tag"))
            .primary_key(Index::create().col(Alias::new("tag_key")).col(Alias::new("post_id")))
            .foreign_key(&mut of_post("blog_tags")),
    );
    steps.run(
        Index::create()
            .name("blog_tags_post_id_idx")
            .table(Alias::new("blog_tags"))
            .col(Alias::new("post_id")),
    );
    steps.run(
        Table::create()
            .table(Alias::new("blog_words"))
            .col(column("post_id").big_integer().primary_key())
            .col(text("post_words"))
            .foreign_key(&mut of_post("blog_words")),
    );
    WORDS.create(steps);
    steps.run(
        Table::create()
            .table(Alias::new("blog_totals"))
            .col(column("published").boolean().primary_key())
            .col(column("posts").big_integer()),
    );
    steps.raw("INSERT INTO blog_totals (published, posts) VALUES (FALSE, 0), (TRUE, 0)");
}

fn of_post(table: &str) -> sea_orm::sea_query::ForeignKeyCreateStatement {
    ForeignKey::create()
        .name(format!("{table}_post_id_fkey"))
        .from(Alias::new(table), Alias::new("post_id"))
        .to(Alias::new("blog_posts"), Alias::new("id"))
        .on_delete(ForeignKeyAction::Cascade)
        .to_owned()
}

fn down(steps: &mut Steps) {
    WORDS.drop(steps);
    for table in ["blog_totals", "blog_words", "blog_tags", "blog_posts"] {
        steps.run(Table::drop().table(Alias::new(table)));
    }
}
