//! Websites.

use axum::extract::State;
use axum::http::StatusCode;
use mainstay_auth::{Access, Caller};
use mainstay_core::problem::FORBIDDEN;
use mainstay_core::{Page, Paging, Problem, Timestamp};
use mainstay_http::{
    ApiRouter, Created, ETag, Id, IfMatch, IfNoneMatch, Listing, Tagged, Valid, ValidQuery, routes,
};
use serde::Serialize;
use utoipa::ToSchema;

use super::who;
use crate::domain::organization::Standing;
use crate::domain::role::MemberRole;
use crate::domain::website::{NewWebsite, Website, WebsiteOrder, WebsitePatch};
use crate::domain::{OrganizationId, WebsiteId};
use crate::error::{ORGANIZATION_NOT_FOUND, URL_TAKEN, WEBSITE_NOT_FOUND};
use crate::service::Tenancy;

pub(super) fn routes(router: ApiRouter<Tenancy>) -> ApiRouter<Tenancy> {
    router
        .route(routes!(list_own_websites), Access::SignedIn, &[])
        .route(routes!(list_websites), Access::SignedIn, &[&ORGANIZATION_NOT_FOUND])
        .route(routes!(create_website), Access::SignedIn, &[&ORGANIZATION_NOT_FOUND, &URL_TAKEN])
        .route(routes!(get_website), Access::SignedIn, &[&WEBSITE_NOT_FOUND])
        .route(routes!(update_website), Access::SignedIn, &[&WEBSITE_NOT_FOUND, &URL_TAKEN])
        .route(routes!(delete_website), Access::SignedIn, &[&FORBIDDEN, &WEBSITE_NOT_FOUND])
}

/// A website.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct WebsiteView {
    /// Names it.
    id: WebsiteId,
    /// Whose it is.
    organization_id: OrganizationId,
    /// Its name.
    #[schema(min_length = 1, max_length = 100)]
    name: String,
    /// Its address, in one spelling.
    #[schema(format = "uri", example = "https://www.example.com/")]
    url: String,
    /// What it is about. `null` if nothing is said.
    #[schema(required)]
    description: Option<String>,
    /// The stronger of your roles in its organization and on it. `null` for a system administrator
    /// who is no member.
    #[schema(required)]
    role: Option<MemberRole>,
    /// When it was added.
    created_at: Timestamp,
    /// When it was changed last.
    updated_at: Timestamp,
}

impl From<Standing<Website>> for WebsiteView {
    fn from(standing: Standing<Website>) -> Self {
        let Standing { of, role } = standing;
        let Website {
            id,
            organization_id,
            name,
            url,
            description,
            created_by: _,
            version: _,
            created_at,
            updated_at,
        } = of;
        Self { id, organization_id, name, url, description, role, created_at, updated_at }
    }
}

mainstay_core::input! {
    /// Which websites to list.
    pub struct ListWebsites {
        /// Paging.
        paging: Paging<WebsiteOrder>,
    }
}

/// List your websites
///
/// Those of your organizations, and those that you belong to by yourself, with the stronger of your
/// roles for each.
#[utoipa::path(get, path = "/websites", params(ListWebsites), responses(
    (status = 200, description = "A page of your websites", body = Page<WebsiteView>),
))]
async fn list_own_websites(
    State(tenancy): State<Tenancy>,
    caller: Caller,
    ValidQuery(query): ValidQuery<ListWebsites>,
) -> Result<Listing<WebsiteView>, Problem> {
    let page = tenancy.list_own_websites(&who(&caller)?, false, &query.paging).await?;
    Ok(Listing { page: page.map(WebsiteView::from), cache: None })
}

/// List an organization's websites
#[utoipa::path(get, path = "/organizations/{id}/websites",
    params(("id" = String, Path, description = "Names the organization", format = "uuid"), ListWebsites),
    responses((status = 200, description = "A page of websites", body = Page<WebsiteView>)),
)]
async fn list_websites(
    State(tenancy): State<Tenancy>,
    caller: Caller,
    Id(id): Id<OrganizationId>,
    ValidQuery(query): ValidQuery<ListWebsites>,
) -> Result<Listing<WebsiteView>, Problem> {
    let page = tenancy.list_websites(&who(&caller)?, id, &query.paging).await?;
    Ok(Listing { page: page.map(WebsiteView::from), cache: None })
}

/// Add a website
#[utoipa::path(post, path = "/organizations/{id}/websites", request_body = NewWebsite,
    params(("id" = String, Path, description = "Names the organization", format = "uuid")),
    responses((
        status = 201, description = "The website was added", body = WebsiteView,
        headers(("ETag" = String, description = "Its version"), ("Location" = String, description = "Its path")),
    )),
)]
async fn create_website(
    State(tenancy): State<Tenancy>,
    caller: Caller,
    Id(id): Id<OrganizationId>,
    Valid(new): Valid<NewWebsite>,
) -> Result<Created<WebsiteView>, Problem> {
    let made = tenancy.create_website(&who(&caller)?, id, new).await?;
    Ok(Created {
        location: format!("/api/v1/websites/{}", made.of.id),
        etag: Some(ETag(made.of.version)),
        body: made.into(),
    })
}

/// Get a website
#[utoipa::path(get, path = "/websites/{id}",
    params(
        ("id" = String, Path, description = "Names the website", format = "uuid"),
        ("If-None-Match" = Option<String>, Header, description = "The ETag of the website as you have it"),
    ),
    responses(
        (status = 200, description = "The website", body = WebsiteView, headers(("ETag" = String, description = "Its version"))),
        (status = 304, description = "The website as you have it", headers(("ETag" = String, description = "Its version"))),
    ),
)]
async fn get_website(
    State(tenancy): State<Tenancy>,
    caller: Caller,
    Id(id): Id<WebsiteId>,
    seen: IfNoneMatch,
) -> Result<Tagged<WebsiteView>, Problem> {
    let found = tenancy.get_website(&who(&caller)?, id).await?;
    let version = found.of.version;
    Ok(Tagged { seen: Some(seen), ..Tagged::changed(found.into(), version) })
}

/// Change a website
///
/// What the body does not mention stays as it is.
#[utoipa::path(patch, path = "/websites/{id}", request_body = WebsitePatch,
    params(
        ("id" = String, Path, description = "Names the website", format = "uuid"),
        ("If-Match" = Option<String>, Header, description = "The ETag of the state that the change is meant for"),
    ),
    responses((status = 200, description = "The website as it is now", body = WebsiteView, headers(("ETag" = String, description = "Its version")))),
)]
async fn update_website(
    State(tenancy): State<Tenancy>,
    caller: Caller,
    Id(id): Id<WebsiteId>,
    if_match: IfMatch,
    Valid(patch): Valid<WebsitePatch>,
) -> Result<Tagged<WebsiteView>, Problem> {
    let changed = tenancy.update_website(&who(&caller)?, id, &if_match, patch).await?;
    let version = changed.of.version;
    Ok(Tagged::changed(changed.into(), version))
}

/// Delete a website
///
/// With its memberships and invitations.
#[utoipa::path(delete, path = "/websites/{id}",
    params(
        ("id" = String, Path, description = "Names the website", format = "uuid"),
        ("If-Match" = Option<String>, Header, description = "The ETag of the state that you mean to delete"),
    ),
    responses((status = 204, description = "It is gone")),
)]
async fn delete_website(
    State(tenancy): State<Tenancy>,
    caller: Caller,
    Id(id): Id<WebsiteId>,
    if_match: IfMatch,
) -> Result<StatusCode, Problem> {
    tenancy.delete_website(&who(&caller)?, id, &if_match).await?;
    Ok(StatusCode::NO_CONTENT)
}
