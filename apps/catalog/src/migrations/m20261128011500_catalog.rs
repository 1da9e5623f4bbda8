//! Categories, products, their words and their tags.
//!
//! `price_order` is the number in the price times 10,000, so that prices of all
//! currencies compare as they are written. The words stand in a table of their
//! own: narrow rows, of which a search reads a thousand, and a stock that changes
//! does not touch the index over them. Each order that the list offers has an
//! index that ends with the id; the one over categories and prices holds all that
//! a list of one category is counted, cut and ordered by.

use mainstay_db::{Migration, Steps};
use sea_orm::sea_query::{
    Alias, ColumnDef, Expr, ExprTrait as _, ForeignKey, ForeignKeyAction, ForeignKeyCreateStatement, Index,
    IndexCreateStatement, Table,
};

use crate::dialect::KEEP_WORDS_NARROW;
use crate::repo::WORDS;

pub(super) const MIGRATION: Migration =
    Migration { app: "catalog", version: 20_261_128_011_500, name: "catalog", up, down };

fn up(steps: &mut Steps) {
    let by_code_point = steps.dialect().binary_collation();
    let column = |name: &str| ColumnDef::new(Alias::new(name)).not_null().to_owned();
    let maybe = |name: &str| ColumnDef::new(Alias::new(name));
    let text = |name: &str| column(name).text().extra(by_code_point).to_owned();
    steps.run(
        Table::create()
            .table(Alias::new("categories"))
            .col(column("id").big_integer().auto_increment().primary_key())
            .col(text("slug"))
            .col(text("name"))
            .col(maybe("parent_id").big_integer())
            .col(column("version").big_integer())
            .col(column("created_at").big_integer())
            .col(column("updated_at").big_integer())
            .foreign_key(&mut reference("categories", "parent_id", "categories", ForeignKeyAction::NoAction)),
    );
    steps.run(index("categories", &["slug"]).unique().name("categories_slug_key"));
    steps.run(&index("categories", &["parent_id"]));
    steps.run(
        Table::create()
            .table(Alias::new("products"))
            .col(column("id").big_integer().auto_increment().primary_key())
            .col(maybe("category_id").big_integer())
            .col(column("price_order").big_integer())
            .col(column("price_minor").big_integer())
            .col(column("stock").big_integer().check(Expr::col(Alias::new("stock")).gte(0)))
            .col(column("version").big_integer())
            .col(column("created_at").big_integer())
            .col(column("updated_at").big_integer())
            .col(text("currency"))
            .col(text("sku"))
            .col(text("name"))
            .col(text("tags"))
            .col(text("attributes"))
            .col(text("description"))
            .foreign_key(&mut reference("products", "category_id", "categories", ForeignKeyAction::NoAction)),
    );
    steps.run(index("products", &["sku"]).unique().name("products_sku_key"));
    for columns in [
        &["category_id", "price_order", "id", "created_at"][..],
        // What a search asks of each product that has its words, without the row: half the time on PostgreSQL.
        &["id", "price_order", "stock", "category_id", "currency"],
        &["price_order", "id"],
        &["stock", "id"],
        &["created_at", "id"],
    ] {
        steps.run(&index("products", columns));
    }
    steps.run(
        Table::create()
            .table(Alias::new("product_words"))
            .col(column("product_id").big_integer().primary_key())
            .col(text("name_words"))
            .col(text("description_words"))
            .foreign_key(&mut reference(
                "product_words",
                "product_id",
                "products",
                ForeignKeyAction::Cascade,
            )),
    );
    steps.run(&index("product_words", &["name_words", "product_id"]));
    WORDS.create(steps);
    for sql in steps.dialect().pick(&[][..], KEEP_WORDS_NARROW) {
        steps.raw(*sql);
    }
    steps.run(
        Table::create()
            .table(Alias::new("product_tags"))
            .col(text("tag_norm"))
            .col(column("product_id").big_integer())
            .col(text("tag"))
            .primary_key(Index::create().col(Alias::new("tag_norm")).col(Alias::new("product_id")))
            .foreign_key(&mut reference("product_tags", "product_id", "products", ForeignKeyAction::Cascade)),
    );
    steps.run(&index("product_tags", &["product_id", "tag_norm"]));
}

fn down(steps: &mut Steps) {
    steps.run(Table::drop().table(Alias::new("product_tags")));
    WORDS.drop(steps);
    for table in ["product_words", "products", "categories"] {
        steps.run(Table::drop().table(Alias::new(table)));
    }
}

fn index(table: &'static str, columns: &[&'static str]) -> IndexCreateStatement {
    let mut index = Index::create();
    index.name(format!("{table}_{}_idx", columns.join("_"))).table(Alias::new(table));
    for column in columns {
        index.col(Alias::new(*column));
    }
    index
}

fn reference(
    table: &'static str,
    column: &'static str,
    to: &'static str,
    on_delete: ForeignKeyAction,
) -> ForeignKeyCreateStatement {
    ForeignKey::create()
        .name(format!("{table}_{column}_fkey"))
        .from(Alias::new(table), Alias::new(column))
        .to(Alias::new(to), Alias::new("id"))
        .on_delete(on_delete)
        .to_owned()
}
