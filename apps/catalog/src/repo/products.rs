//! Products one by one.

use std::sync::LazyLock;

use mainstay_core::Timestamp;
use mainstay_db::words::line_of_words;
use mainstay_db::{Db, PointQuery, WriteUnit, foreign_key_violation, unique_violation};
use sea_orm::sea_query::{Alias, Expr, ExprTrait as _, Query, SelectStatement};
use sea_orm::{
    ColumnTrait as _, Condition, ConnectionTrait, DbErr, EntityTrait as _, NotSet, QueryFilter as _, Set,
};

use crate::dialect::row_lock;
use crate::domain::category::CategoryId;
use crate::domain::product::{Details, Product, ProductId};
use crate::domain::values::{Stock, norm_of_tag};
use crate::entity::products::{ActiveModel, CATEGORY_SLUG, COLUMNS, Column, Entity, row};
use crate::entity::{categories, product_tags, product_words};
use crate::error::CatalogError;

const TABLE: &str = "products";

/// Adds a product, its words and its tags.
pub(crate) async fn insert(
    unit: &WriteUnit,
    details: &Details,
    now: Timestamp,
) -> Result<ProductId, CatalogError> {
    let inserted =
        Entity::insert(row(details, now)).exec(unit).await.map_err(|error| refused(error, details))?;
    let id = ProductId::new(inserted.last_insert_id);
    product_words::Entity::insert(words(id, details)).exec_without_returning(unit).await?;
    insert_tags(unit, tags(id, details)).await?;
    Ok(id)
}

/// All products with their category's slug, for conditions to be added.
pub(crate) fn select() -> SelectStatement {
    Query::select()
        .columns(COLUMNS.map(|column| (Entity, column)))
        .expr_as(Expr::col((categories::Entity, categories::Column::Slug)), Alias::new(CATEGORY_SLUG))
        .from(Entity)
        .left_join(
            categories::Entity,
            Expr::col((categories::Entity, categories::Column::Id)).equals((Entity, Column::CategoryId)),
        )
        .take()
}

fn by_id(id: ProductId) -> SelectStatement {
    select().and_where(Expr::col((Entity, Column::Id)).eq(id.number())).take()
}

/// The product with this id.
pub(crate) async fn find(connection: &impl ConnectionTrait, id: ProductId) -> Result<Option<Product>, DbErr> {
    connection.query_one(&by_id(id)).await?.map(|row| Product::try_from(&row)).transpose()
}

static BY_ID: LazyLock<PointQuery> = LazyLock::new(|| PointQuery::new(&by_id(ProductId::new(0))));

/// The same on the hottest path: outside of a unit, one lookup by the primary key.
pub(crate) async fn look_up(db: &Db, id: ProductId) -> Result<Option<Product>, DbErr> {
    db.primary_point(&BY_ID, &[id.number().into()]).await?.map(|row| Product::try_from(&row)).transpose()
}

/// Writes `product` over the state `before`. False if it is no longer there.
pub(crate) async fn update(
    unit: &WriteUnit,
    before: &Product,
    product: &Product,
) -> Result<bool, CatalogError> {
    let (id, old, new) = (product.id, before.details(), product.details());
    let row =
        ActiveModel { version: Set(product.version), created_at: NotSet, ..row(&new, product.updated_at) };
    let updated = Entity::update_many()
        .set(row)
        .filter(in_state(id, before.version))
        .exec(unit)
        .await
        .map_err(|error| refused(error, &new))?;
    if updated.rows_affected != 1 {
        return Ok(false);
    }
    if (&old.name, &old.description) != (&new.name, &new.description) {
        product_words::Entity::update(words(id, &new)).exec(unit).await?;
    }
    if old.tags != new.tags {
        let of_it = product_tags::Column::ProductId.eq(id.number());
        product_tags::Entity::delete_many().filter(of_it).exec(unit).await?;
        insert_tags(unit, tags(id, &new)).await?;
    }
    Ok(true)
}

/// Deletes the product in the state that has `version`, with its words and tags.
/// False if it is no longer there.
pub(crate) async fn delete(unit: &WriteUnit, id: ProductId, version: i64) -> Result<bool, DbErr> {
    let deleted = Entity::delete_many().filter(in_state(id, version)).exec(unit).await?;
    Ok(deleted.rows_affected == 1)
}

/// Adds `delta` to the stock, if it stays within its bounds. One statement: between
/// looking and changing nobody comes.
pub(crate) async fn change_stock(
    unit: &WriteUnit,
    id: ProductId,
    delta: i64,
    now: Timestamp,
) -> Result<bool, DbErr> {
    let after = || Expr::col(Column::Stock).add(delta);
    let changed = Entity::update_many()
        .col_expr(Column::Stock, after())
        .col_expr(Column::Version, Expr::col(Column::Version).add(1))
        .col_expr(Column::UpdatedAt, Expr::val(now.millis()))
        .filter(Column::Id.eq(id.number()))
        .filter(after().between(0, Stock::MOST))
        .exec(unit)
        .await?;
    Ok(changed.rows_affected == 1)
}

/// Keeps this product from others' changes until the unit ends, and waits for who changes it now.
pub(crate) async fn lock(unit: &WriteUnit, id: ProductId) -> Result<(), DbErr> {
    lock_those(unit, Column::Id.eq(id.number())).await
}

/// The same for the products in this category.
pub(crate) async fn lock_category(unit: &WriteUnit, category: CategoryId) -> Result<(), DbErr> {
    lock_those(unit, Column::CategoryId.eq(category.0)).await
}

/// The same for the products with one of these SKUs, as far as there are any.
pub(crate) async fn lock_skus(
    unit: &WriteUnit,
    skus: impl Iterator<Item = &str> + Send,
) -> Result<(), DbErr> {
    lock_those(unit, Column::Sku.is_in(skus)).await
}

/// In the order of their ids, so that of two who lock many none waits for what the other has.
async fn lock_those(unit: &WriteUnit, which: Expr) -> Result<(), DbErr> {
    let Some(lock) = row_lock(unit.dialect()) else { return Ok(()) };
    let query = Query::select()
        .column(Column::Id)
        .from(Entity)
        .and_where(which)
        .order_by(Column::Id, sea_orm::Order::Asc)
        .lock(lock)
        .take();
    unit.query_all(&query).await.map(drop)
}

/// Up to `most` products with larger ids than `last`, ascending.
pub(crate) async fn after(
    connection: &impl ConnectionTrait,
    last: ProductId,
    most: u64,
) -> Result<Vec<Product>, DbErr> {
    let query = select()
        .and_where(Expr::col((Entity, Column::Id)).gt(last.number()))
        .order_by((Entity, Column::Id), sea_orm::Order::Asc)
        .limit(most)
        .take();
    connection.query_all(&query).await?.iter().map(Product::try_from).collect()
}

fn in_state(id: ProductId, version: i64) -> Condition {
    Condition::all().add(Column::Id.eq(id.number())).add(Column::Version.eq(version))
}

// The index and the reference decide, not a SELECT before: two requests can pass that together.
fn refused(error: DbErr, details: &Details) -> CatalogError {
    if unique_violation(&error, TABLE, &["sku"]) {
        return CatalogError::SkuTaken(details.sku.clone());
    }
    match &details.category {
        Some(category) if foreign_key_violation(&error) => {
            CatalogError::unknown_category("category", &category.slug)
        }
        _ => error.into(),
    }
}

/// The row of a product's words.
pub(super) fn words(id: ProductId, details: &Details) -> product_words::ActiveModel {
    product_words::ActiveModel {
        product_id: Set(id.number()),
        name_words: Set(line_of_words(&details.name)),
        description_words: Set(mainstay_core::text::padded(&mainstay_core::text::words(
            &details.description,
        ))),
    }
}

/// The rows of a product's tags.
pub(super) fn tags(id: ProductId, details: &Details) -> Vec<product_tags::ActiveModel> {
    let row = |tag: &String| product_tags::ActiveModel {
        tag_norm: Set(norm_of_tag(tag)),
        product_id: Set(id.number()),
        tag: Set(tag.clone()),
    };
    details.tags.iter().map(row).collect()
}

/// Adds these, as many at once as a statement takes values.
pub(super) async fn insert_tags(unit: &WriteUnit, tags: Vec<product_tags::ActiveModel>) -> Result<(), DbErr> {
    for rows in tags.chunks(5_000) {
        product_tags::Entity::insert_many(rows.iter().cloned()).exec_without_returning(unit).await?;
    }
    Ok(())
}
