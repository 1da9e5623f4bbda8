//! Categories.

use mainstay_core::Timestamp;
use mainstay_db::{WriteUnit, foreign_key_violation, unique_violation};
use sea_orm::sea_query::{Expr, ExprTrait as _};
use sea_orm::{
    ColumnTrait as _, ConnectionTrait, DbErr, EntityTrait as _, NotSet, QueryFilter as _, QueryOrder as _,
    Set,
};

use crate::domain::category::{Category, CategoryId, CategoryRef};
use crate::entity::categories::{ActiveModel, Column, Entity};
use crate::entity::products;
use crate::error::CatalogError;

const TABLE: &str = "categories";

/// All of them, in the order of their ids.
pub(crate) async fn all(connection: &impl ConnectionTrait) -> Result<Vec<Category>, DbErr> {
    let rows = Entity::find().order_by_asc(Column::Id).all(connection).await?;
    Ok(rows.into_iter().map(Category::from).collect())
}

/// Those with these slugs.
pub(crate) async fn with_slugs(
    connection: &impl ConnectionTrait,
    slugs: impl Iterator<Item = &str> + Send,
) -> Result<Vec<CategoryRef>, DbErr> {
    let rows = Entity::find().filter(Column::Slug.is_in(slugs)).all(connection).await?;
    Ok(rows.into_iter().map(|row| CategoryRef { id: CategoryId(row.id), slug: row.slug }).collect())
}

/// Adds a category.
pub(crate) async fn insert(
    unit: &WriteUnit,
    slug: &str,
    name: &str,
    parent: Option<CategoryId>,
    now: Timestamp,
) -> Result<CategoryId, CatalogError> {
    let row = ActiveModel {
        id: NotSet,
        slug: Set(slug.to_owned()),
        name: Set(name.to_owned()),
        parent_id: Set(parent.map(|parent| parent.0)),
        version: Set(1),
        created_at: Set(now.millis()),
        updated_at: Set(now.millis()),
    };
    let inserted = Entity::insert(row).exec(unit).await.map_err(|error| taken(error, slug))?;
    Ok(CategoryId(inserted.last_insert_id))
}

/// Writes `category` over what it was. The unit is alone, so nobody changed it meanwhile.
pub(crate) async fn update(unit: &WriteUnit, category: &Category) -> Result<(), CatalogError> {
    let row = ActiveModel {
        id: Set(category.id.0),
        slug: Set(category.slug.clone()),
        name: Set(category.name.clone()),
        parent_id: Set(category.parent.map(|parent| parent.0)),
        version: Set(category.version),
        created_at: NotSet,
        updated_at: Set(category.updated_at.millis()),
    };
    Entity::update(row).exec(unit).await.map_err(|error| taken(error, &category.slug))?;
    Ok(())
}

/// Counts a change of all that show this category's slug or place: what is in `below`,
/// and the products of the category itself.
pub(crate) async fn touch(unit: &WriteUnit, category: &Category, below: &[CategoryId]) -> Result<(), DbErr> {
    if !below.is_empty() {
        Entity::update_many()
            .col_expr(Column::Version, Expr::col(Column::Version).add(1))
            .filter(Column::Id.is_in(below.iter().map(|id| id.0)))
            .exec(unit)
            .await?;
    }
    products::Entity::update_many()
        .col_expr(products::Column::Version, Expr::col(products::Column::Version).add(1))
        .filter(products::Column::CategoryId.eq(category.id.0))
        .exec(unit)
        .await?;
    Ok(())
}

/// Deletes a category in which nothing is: the references to it decide.
pub(crate) async fn delete(unit: &WriteUnit, category: &Category) -> Result<(), CatalogError> {
    let deleted = Entity::delete_by_id(category.id.0).exec(unit).await;
    deleted.map(drop).map_err(|error| {
        if foreign_key_violation(&error) { CatalogError::InUse(category.slug.clone()) } else { error.into() }
    })
}

fn taken(error: DbErr, slug: &str) -> CatalogError {
    if unique_violation(&error, TABLE, &["slug"]) {
        CatalogError::SlugTaken(slug.to_owned())
    } else {
        error.into()
    }
}
