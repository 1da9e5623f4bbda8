//! `/categories`.

use axum::extract::State;
use axum::http::StatusCode;
use mainstay_auth::Caller;
use mainstay_core::{Page, Paging, Problem};
use mainstay_http::{
    Created, ETag, Id, IfMatch, IfNoneMatch, Listing, PublicCache, Tagged, Valid, ValidQuery,
};

use super::views::CategoryView;
use crate::domain::category::{CategoryPatch, NewCategory};
use crate::domain::listing::CategoryOrder;
use crate::domain::values::Slug;
use crate::service::Categories;

mainstay_core::input! {
    /// Which categories to list.
    pub struct ListCategories {
        /// Paging.
        paging: Paging<CategoryOrder>,
        /// Only categories directly below the one with this slug.
        parent: Option<Slug>,
    }
}

/// List categories
///
/// A page of all categories, each with those above it, or of those directly below one.
#[utoipa::path(
    get,
    path = "/categories",
    params(ListCategories),
    responses(
        (status = 200, description = "A page of categories", body = Page<CategoryView>),
        (status = 304, description = "The page is as it was at the ETag in If-None-Match"),
    ),
)]
pub(super) async fn list_categories(
    State(categories): State<Categories>,
    caller: Caller,
    ValidQuery(ListCategories { paging, parent }): ValidQuery<ListCategories>,
) -> Result<Listing<CategoryView>, Problem> {
    let (tree, page) = categories.list(parent.as_ref(), &paging).await?;
    let page = page.map(|category| CategoryView::of(&tree, category));
    Ok(Listing { page, cache: Some(PublicCache::of(&caller)) })
}

/// Get a category
#[utoipa::path(
    get,
    path = "/categories/{slug}",
    params(
        ("slug" = String, Path, description = "Names the category"),
        ("If-None-Match" = Option<String>, Header, description = "The ETag of the category as you have it"),
    ),
    responses(
        (status = 200, description = "The category", body = CategoryView, headers(("ETag" = String, description = "Its version"))),
        (status = 304, description = "The category as you have it", headers(("ETag" = String, description = "Its version"))),
    ),
)]
pub(super) async fn get_category(
    State(categories): State<Categories>,
    caller: Caller,
    Id(slug): Id<Slug>,
    seen: IfNoneMatch,
) -> Result<Tagged<CategoryView>, Problem> {
    let (tree, category) = categories.get(&slug).await?;
    let (etag, cache) = (ETag(category.version), PublicCache::of(&caller));
    Ok(Tagged { body: CategoryView::of(&tree, category), etag, seen: Some(seen), cache: Some(cache) })
}

/// Add a category
#[utoipa::path(
    post,
    path = "/categories",
    request_body = NewCategory,
    responses((
        status = 201, description = "The category was added", body = CategoryView,
        headers(("ETag" = String, description = "Its version"), ("Location" = String, description = "Its path")),
    )),
)]
pub(super) async fn create_category(
    State(categories): State<Categories>,
    caller: Caller,
    Valid(new): Valid<NewCategory>,
) -> Result<Created<CategoryView>, Problem> {
    let (tree, category) = categories.create(&caller.actor(), &new).await?;
    Ok(Created {
        location: format!("/api/v1/categories/{}", category.slug),
        etag: Some(ETag(category.version)),
        body: CategoryView::of(&tree, category),
    })
}

/// Replace a category
///
/// What the body does not mention is forgotten: without `parent` it is at the top.
#[utoipa::path(
    put,
    path = "/categories/{slug}",
    params(
        ("slug" = String, Path, description = "Names the category"),
        ("If-Match" = Option<String>, Header, description = "The ETag of the state that the change is meant for"),
    ),
    request_body = NewCategory,
    responses((
        status = 200, description = "The category as it is now", body = CategoryView,
        headers(("ETag" = String, description = "Its version")),
    )),
)]
pub(super) async fn replace_category(
    State(categories): State<Categories>,
    caller: Caller,
    Id(slug): Id<Slug>,
    if_match: IfMatch,
    Valid(new): Valid<NewCategory>,
) -> Result<Tagged<CategoryView>, Problem> {
    let (tree, category) = categories.replace(&caller.actor(), &slug, &if_match, new).await?;
    let version = category.version;
    Ok(Tagged::changed(CategoryView::of(&tree, category), version))
}

/// Change a category
///
/// What the body does not mention stays as it is. With `parent` it moves, and all
/// below it goes along.
#[utoipa::path(
    patch,
    path = "/categories/{slug}",
    params(
        ("slug" = String, Path, description = "Names the category"),
        ("If-Match" = Option<String>, Header, description = "The ETag of the state that the change is meant for"),
    ),
    request_body = CategoryPatch,
    responses((
        status = 200, description = "The category as it is now", body = CategoryView,
        headers(("ETag" = String, description = "Its version")),
    )),
)]
pub(super) async fn update_category(
    State(categories): State<Categories>,
    caller: Caller,
    Id(slug): Id<Slug>,
    if_match: IfMatch,
    Valid(patch): Valid<CategoryPatch>,
) -> Result<Tagged<CategoryView>, Problem> {
    let (tree, category) = categories.update(&caller.actor(), &slug, &if_match, &patch).await?;
    let version = category.version;
    Ok(Tagged::changed(CategoryView::of(&tree, category), version))
}

/// Delete a category
///
/// Only one in which nothing is: neither products nor categories.
#[utoipa::path(
    delete,
    path = "/categories/{slug}",
    params(
        ("slug" = String, Path, description = "Names the category"),
        ("If-Match" = Option<String>, Header, description = "The ETag of the state that you mean to delete"),
    ),
    responses((status = 204, description = "The category is gone")),
)]
pub(super) async fn delete_category(
    State(categories): State<Categories>,
    caller: Caller,
    Id(slug): Id<Slug>,
    if_match: IfMatch,
) -> Result<StatusCode, Problem> {
    categories.delete(&caller.actor(), &slug, &if_match).await?;
    Ok(StatusCode::NO_CONTENT)
}
