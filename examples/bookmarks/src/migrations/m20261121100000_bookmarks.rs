//! The bookmarks.
//!
//! `title_words` is the title folded and split by the program, so that both
//! databases find and order alike. No index holds it: a search reads the rows of
//! one owner, who are few, and a folded title can be too long for an index.

use mainstay::prelude::{Migration, Steps};
use sea_orm::sea_query::{Alias, ColumnDef, Index, Table};

pub(super) fn migration() -> Migration {
    Migration { app: "bookmarks", version: 20_261_121_100_000, name: "bookmarks", up, down }
}

fn up(steps: &mut Steps) {
    let by_code_point = steps.dialect().binary_collation();
    let column = |name: &'static str| ColumnDef::new(Alias::new(name)).not_null().to_owned();
    steps.run(
        Table::create()
            .table(Alias::new("bookmarks"))
            .col(column("id").uuid().primary_key())
            .col(column("owner_id").uuid())
            .col(column("url").text())
            .col(column("title").text())
            .col(column("title_words").text().extra(by_code_point))
            .col(ColumnDef::new(Alias::new("note")).text())
            .col(column("version").big_integer())
            .col(column("created_at").big_integer())
            .col(column("updated_at").big_integer()),
    );
    let index = |name: &'static str| Index::create().name(name).table(Alias::new("bookmarks")).to_owned();
    let [owner, url, made, id] = ["owner_id", "url", "created_at", "id"].map(Alias::new);
    steps.run(index("bookmarks_owner_id_url_key").unique().col(owner.clone()).col(url));
    steps.run(index("bookmarks_owner_id_created_at_id_idx").col(owner).col(made).col(id));
}

fn down(steps: &mut Steps) {
    steps.run(Table::drop().table(Alias::new("bookmarks")));
}
