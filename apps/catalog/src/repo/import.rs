//! Many products at once.

use std::collections::HashMap;

use mainstay_core::Timestamp;
use mainstay_db::WriteUnit;
use sea_orm::sea_query::{Expr, ExprTrait as _, OnConflict};
use sea_orm::{
    ColumnTrait as _, ConnectionTrait, DbErr, EntityTrait as _, QueryFilter as _, QuerySelect as _,
};

use super::products::{insert_tags, select, tags, words};
use crate::domain::product::{Details, Product, ProductId};
use crate::entity::products::{Column, Entity, row};
use crate::entity::{product_tags, product_words};

/// The products with one of these SKUs.
pub(crate) async fn with_skus(
    connection: &impl ConnectionTrait,
    skus: impl Iterator<Item = &str> + Send,
) -> Result<Vec<Product>, DbErr> {
    let query = select().and_where(Expr::col((Entity, Column::Sku)).is_in(skus)).take();
    connection.query_all(&query).await?.iter().map(Product::try_from).collect()
}

/// Adds these products; one of those `stored` is changed instead. No SKU twice, and the stored ones locked.
///
/// # Errors
/// A unique violation if somebody else added one of them meanwhile.
pub(crate) async fn upsert(
    unit: &WriteUnit,
    stored: &[Product],
    products: &[Details],
    now: Timestamp,
) -> Result<(), DbErr> {
    if products.is_empty() {
        return Ok(());
    }
    let change = OnConflict::column(Column::Sku)
        .update_columns([
            Column::CategoryId,
            Column::PriceOrder,
            Column::PriceMinor,
            Column::Stock,
            Column::Currency,
            Column::Name,
            Column::Tags,
            Column::Attributes,
            Column::Description,
            Column::UpdatedAt,
        ])
        .value(Column::Version, Expr::col((Entity, Column::Version)).add(1))
        .to_owned();
    let there: HashMap<&str, ProductId> =
        stored.iter().map(|product| (product.sku.as_str(), product.id)).collect();
    let (old, new): (Vec<_>, Vec<_>) =
        products.iter().partition(|details| there.contains_key(details.sku.as_str()));
    let rows =
        |details: Vec<&Details>| details.into_iter().map(|details| row(details, now)).collect::<Vec<_>>();
    if !old.is_empty() {
        Entity::insert_many(rows(old)).on_conflict(change).exec_without_returning(unit).await?;
    }
    if !new.is_empty() {
        Entity::insert_many(rows(new)).exec_without_returning(unit).await?;
    }

    let ids = ids(unit, products).await?;
    let of_product = |details: &Details| ids.get(&details.sku).copied();
    let changed: Vec<i64> =
        products.iter().filter_map(|details| Some(there.get(details.sku.as_str())?.number())).collect();
    if !changed.is_empty() {
        let old = product_words::Column::ProductId.is_in(changed.iter().copied());
        product_words::Entity::delete_many().filter(old).exec(unit).await?;
        let old = product_tags::Column::ProductId.is_in(changed);
        product_tags::Entity::delete_many().filter(old).exec(unit).await?;
    }
    let rows = products.iter().filter_map(|details| Some(words(of_product(details)?, details)));
    product_words::Entity::insert_many(rows).exec_without_returning(unit).await?;
    let rows = products.iter().filter_map(|details| Some(tags(of_product(details)?, details)));
    insert_tags(unit, rows.flatten().collect()).await
}

async fn ids(unit: &WriteUnit, products: &[Details]) -> Result<HashMap<String, ProductId>, DbErr> {
    let rows: Vec<(String, i64)> = Entity::find()
        .select_only()
        .columns([Column::Sku, Column::Id])
        .filter(Column::Sku.is_in(products.iter().map(|details| details.sku.as_str())))
        .into_tuple()
        .all(unit)
        .await?;
    Ok(rows.into_iter().map(|(sku, id)| (sku, ProductId::new(id))).collect())
}
