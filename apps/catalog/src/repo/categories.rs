//! Categories.

use mainstay_core::Timestamp;
use mainstay_db::{WriteUnit, foreign_key_violation, unique_violation};
use sea_orm::sea_query::{Expr, ExprTrait as _, OnConflict};
use sea_orm::{
    ColumnTrait as _, ConnectionTrait, DbErr, EntityTrait as _, NotSet, PaginatorTrait as _,
    QueryFilter as _, QueryOrder as _, Set,
};

use crate::domain::category::{Category, CategoryId, CategoryRef};
use crate::entity::categories::{ActiveModel, Column, Entity};
use crate::entity::{category_tree, products};
use crate::error::CatalogError;

const TABLE: &str = "categories";

/// All of them, in the order of their ids.
pub(crate) async fn all(connection: &impl ConnectionTrait) -> Result<Vec<Category>, DbErr> {
    let rows = Entity::find().order_by_asc(Column::Id).all(connection).await?;
    Ok(rows.into_iter().map(Category::from).collect())
}

/// Waits until nobody else changes the tree, and keeps it so until the unit ends. Every change of it
/// begins here and looks at the tree after that: it sees what the others left.
pub(crate) async fn lock_tree(unit: &WriteUnit) -> Result<(), DbErr> {
    let row = category_tree::ActiveModel { id: Set(1), changes: Set(1) };
    let changes = (category_tree::Entity, category_tree::Column::Changes);
    let count = OnConflict::column(category_tree::Column::Id)
        .value(category_tree::Column::Changes, Expr::col(changes).add(1))
        .to_owned();
    category_tree::Entity::insert(row).on_conflict(count).exec_without_returning(unit).await.map(drop)
}

/// How many there are.
pub(crate) async fn count(connection: &impl ConnectionTrait) -> Result<usize, DbErr> {
    Ok(usize::try_from(Entity::find().count(connection).await?).unwrap_or(usize::MAX))
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

/// Writes `category` over what it was. The tree is locked, so nobody changed it meanwhile.
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

/// Counts a change of these categories: they show the slug or the place of one above them.
pub(crate) async fn touch(unit: &WriteUnit, categories: &[CategoryId]) -> Result<(), DbErr> {
    if !categories.is_empty() {
        Entity::update_many()
            .col_expr(Column::Version, Expr::col(Column::Version).add(1))
            .filter(Column::Id.is_in(categories.iter().map(|id| id.0)))
            .exec(unit)
            .await?;
    }
    Ok(())
}

/// Counts a change of the products in this category: they show its slug.
pub(crate) async fn touch_products(unit: &WriteUnit, category: CategoryId) -> Result<(), DbErr> {
    products::Entity::update_many()
        .col_expr(products::Column::Version, Expr::col(products::Column::Version).add(1))
        .filter(products::Column::CategoryId.eq(category.0))
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
