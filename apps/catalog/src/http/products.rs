//! `/products`.

use axum::Extension;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use mainstay_auth::Caller;
use mainstay_core::text::SearchText;
use mainstay_core::{Currency, Many, Paging, Problem};
use mainstay_http::{
    Created, ETag, Id, IdempotencyKey, Idempotent, IfMatch, IfNoneMatch, PublicCache, Tagged, Valid,
    ValidQuery, WrittenListing, WrittenResource,
};

use super::views::{More, ProductPage, ProductView};
use crate::domain::listing::{Facets, Filter, PriceRange, ProductOrder};
use crate::domain::product::{NewProduct, ProductId, ProductPatch, StockChange};
use crate::domain::values::{Slug, Tag};
use crate::error::CatalogError;
use crate::kept::{ListKey, problem};
use crate::service::{Found, Products};

mainstay_core::input! {
    /// Which products to list.
    pub struct ListProducts {
        /// Paging.
        paging: Paging<ProductOrder>,
        /// Only products in whose name or description a word begins with each of these
        /// words. Case, accents and punctuation do not count; the first 16 words do.
        q: Option<SearchText>,
        /// Only products of the category with this slug, or of one below it.
        category: Option<Slug>,
        /// The lowest and the highest price.
        prices: PriceRange,
        /// Only products with prices in this currency.
        currency: Option<Currency>,
        /// `true`: only products of which there are some; `false`: only those sold out.
        in_stock: Option<bool>,
        /// Only products with this tag; given several times, with all of them. Case and accents do not count.
        tags: Many<Tag>,
        /// What to count over everything found: some of `category`, `tags` and `price`, with commas between.
        facets: Option<Facets>,
    }
}

/// List and search products
///
/// A page of the products that pass every filter given. With `q` the best match
/// comes first: the name itself; names that begin with the words; names that hold
/// them as whole words, then as beginnings; words spread over name and description;
/// words in the description. Without `q` the newest come first. By relevance pages
/// go by number only.
#[utoipa::path(
    get,
    path = "/products",
    params(ListProducts),
    responses(
        (status = 200, description = "A page of products", body = ProductPage),
        (status = 304, description = "The page is as it was at the ETag in If-None-Match"),
    ),
)]
pub(super) async fn list_products(
    State(products): State<Products>,
    caller: Caller,
    ValidQuery(query): ValidQuery<ListProducts>,
) -> Result<Response, Problem> {
    let ListProducts { paging, q, category, prices, currency, in_stock, tags, facets } = query;
    let PriceRange { min: min_price, max: max_price } = prices;
    let filter = Filter { q, category, min_price, max_price, currency, in_stock, tags: tags.0 };
    let paging = filter.order(paging);
    let facets = facets.unwrap_or_default();
    let key = ListKey::of(&filter, facets, &paging);
    let kept = products.kept.lists.clone();
    let load = move || async move {
        let Found { page, facets } = products.list(&filter, facets, &paging).await?;
        let written = WrittenListing::with(&page.map(ProductView::from), &More::of(facets));
        Ok::<_, Problem>(Some(written.map_err(Problem::internal)?))
    };
    let fetched = kept.fetch(&key, load).await.map_err(problem)?;
    let written = fetched.value.ok_or_else(|| Problem::internal("a list was kept as absent"))?;
    let answer = written.answer(Some(PublicCache::of(&caller)));
    Ok((Extension(fetched.status), answer).into_response())
}

/// Get a product
#[utoipa::path(
    get,
    path = "/products/{id}",
    params(
        ("id" = i64, Path, minimum = 1, description = "Names the product"),
        ("If-None-Match" = Option<String>, Header, description = "The ETag of the product as you have it"),
    ),
    responses(
        (status = 200, description = "The product", body = ProductView, headers(("ETag" = String, description = "Its version"))),
        (status = 304, description = "The product as you have it", headers(("ETag" = String, description = "Its version"))),
    ),
)]
pub(super) async fn get_product(
    State(products): State<Products>,
    caller: Caller,
    Id(id): Id<ProductId>,
    seen: IfNoneMatch,
) -> Result<Response, Problem> {
    let kept = products.kept.products.clone();
    let load = move || async move {
        let Some(product) = products.find(id).await? else { return Ok(None) };
        let version = product.version;
        let written = WrittenResource::of(&ProductView::from(product), version);
        Ok::<_, Problem>(Some(written.map_err(Problem::internal)?))
    };
    let fetched = kept.fetch(&id, load).await.map_err(problem)?;
    let written = fetched.value.ok_or(CatalogError::NotFound(id))?;
    let answer = written.answer(&seen, PublicCache::of(&caller));
    Ok((Extension(fetched.status), answer).into_response())
}

/// Add a product
#[utoipa::path(
    post,
    path = "/products",
    request_body = NewProduct,
    responses((
        status = 201, description = "The product was added", body = ProductView,
        headers(("ETag" = String, description = "Its version"), ("Location" = String, description = "Its path")),
    )),
)]
pub(super) async fn create_product(
    State(products): State<Products>,
    caller: Caller,
    Valid(new): Valid<NewProduct>,
) -> Result<Created<ProductView>, Problem> {
    let product = products.create(&caller.actor(), new).await?;
    Ok(Created {
        location: format!("/api/v1/products/{}", product.id),
        etag: Some(ETag(product.version)),
        body: product.into(),
    })
}

/// Replace a product
///
/// What the body does not mention is forgotten; the stock too, which becomes 0.
#[utoipa::path(
    put,
    path = "/products/{id}",
    params(
        ("id" = i64, Path, minimum = 1, description = "Names the product"),
        ("If-Match" = Option<String>, Header, description = "The ETag of the state that the change is meant for"),
    ),
    request_body = NewProduct,
    responses((
        status = 200, description = "The product as it is now", body = ProductView,
        headers(("ETag" = String, description = "Its version")),
    )),
)]
pub(super) async fn replace_product(
    State(products): State<Products>,
    caller: Caller,
    Id(id): Id<ProductId>,
    if_match: IfMatch,
    Valid(new): Valid<NewProduct>,
) -> Result<Tagged<ProductView>, Problem> {
    let product = products.replace(&caller.actor(), id, &if_match, new).await?;
    let version = product.version;
    Ok(Tagged::changed(product.into(), version))
}

/// Change a product
///
/// What the body does not mention stays as it is; of `attributes` each by itself.
#[utoipa::path(
    patch,
    path = "/products/{id}",
    params(
        ("id" = i64, Path, minimum = 1, description = "Names the product"),
        ("If-Match" = Option<String>, Header, description = "The ETag of the state that the change is meant for"),
    ),
    request_body = ProductPatch,
    responses((
        status = 200, description = "The product as it is now", body = ProductView,
        headers(("ETag" = String, description = "Its version")),
    )),
)]
pub(super) async fn update_product(
    State(products): State<Products>,
    caller: Caller,
    Id(id): Id<ProductId>,
    if_match: IfMatch,
    Valid(patch): Valid<ProductPatch>,
) -> Result<Tagged<ProductView>, Problem> {
    let product = products.update(&caller.actor(), id, &if_match, patch).await?;
    let version = product.version;
    Ok(Tagged::changed(product.into(), version))
}

/// Delete a product
#[utoipa::path(
    delete,
    path = "/products/{id}",
    params(
        ("id" = i64, Path, minimum = 1, description = "Names the product"),
        ("If-Match" = Option<String>, Header, description = "The ETag of the state that you mean to delete"),
    ),
    responses((status = 204, description = "The product is gone")),
)]
pub(super) async fn delete_product(
    State(products): State<Products>,
    caller: Caller,
    Id(id): Id<ProductId>,
    if_match: IfMatch,
) -> Result<StatusCode, Problem> {
    products.delete(&caller.actor(), id, &if_match).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Add to the stock or take from it
///
/// Whatever others do at the same time, nobody takes what is not there: a change
/// that would leave less than nothing changes nothing. With an `Idempotency-Key` a
/// change that is sent again, because its answer was lost, is made once.
#[utoipa::path(
    post,
    path = "/products/{id}/stock",
    params(("id" = i64, Path, minimum = 1, description = "Names the product"), IdempotencyKey),
    request_body = StockChange,
    responses((
        status = 200, description = "The product as it is now", body = ProductView,
        headers(("ETag" = String, description = "Its version")),
    )),
)]
pub(super) async fn change_stock(
    State(products): State<Products>,
    caller: Caller,
    Id(id): Id<ProductId>,
    request: Idempotent<StockChange>,
) -> Result<Response, Problem> {
    request
        .run(async |change| {
            let (unit, product) = products.stock_changed(&caller.actor(), id, &change).await?;
            let version = product.version;
            Ok::<_, CatalogError>((unit, Tagged::changed(ProductView::from(product), version)))
        })
        .await
}
