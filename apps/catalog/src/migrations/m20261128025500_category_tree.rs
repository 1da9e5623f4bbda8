//! One row that every change of the tree writes first, so that they wait for each other.

use mainstay_db::{Migration, Steps};
use sea_orm::sea_query::{Alias, ColumnDef, Table};

pub(super) const MIGRATION: Migration =
    Migration { app: "catalog", version: 20_261_128_025_500, name: "category_tree", up, down };

fn up(steps: &mut Steps) {
    let column = |name: &str| ColumnDef::new(Alias::new(name)).big_integer().not_null().to_owned();
    steps.run(
        Table::create()
            .table(Alias::new("category_tree"))
            .col(column("id").primary_key())
            .col(column("changes")),
    );
}

fn down(steps: &mut Steps) {
    steps.run(Table::drop().table(Alias::new("category_tree")));
}
