//! Organizations.

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
use crate::domain::OrganizationId;
use crate::domain::organization::{
    NewOrganization, Organization, OrganizationOrder, OrganizationPatch, Standing,
};
use crate::domain::role::MemberRole;
use crate::error::ORGANIZATION_NOT_FOUND;
use crate::service::Tenancy;

pub(super) fn routes(router: ApiRouter<Tenancy>) -> ApiRouter<Tenancy> {
    router
        .route(routes!(list_organizations), Access::SignedIn, &[])
        .route(routes!(create_organization), Access::SignedIn, &[])
        .route(routes!(get_organization), Access::SignedIn, &[&ORGANIZATION_NOT_FOUND])
        .route(routes!(update_organization), Access::SignedIn, &[&ORGANIZATION_NOT_FOUND])
        .route(routes!(delete_organization), Access::SignedIn, &[&FORBIDDEN, &ORGANIZATION_NOT_FOUND])
}

/// An organization.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct OrganizationView {
    /// Names it.
    id: OrganizationId,
    /// Its name.
    #[schema(min_length = 1, max_length = 100)]
    name: String,
    /// What you are in it. `null` for a system administrator who is no member.
    #[schema(required)]
    role: Option<MemberRole>,
    /// When it was made.
    created_at: Timestamp,
    /// When it was changed last.
    updated_at: Timestamp,
}

impl From<Standing<Organization>> for OrganizationView {
    fn from(standing: Standing<Organization>) -> Self {
        let Standing { of, role } = standing;
        let Organization { id, name, created_by: _, version: _, created_at, updated_at } = of;
        Self { id, name, role, created_at, updated_at }
    }
}

mainstay_core::input! {
    /// Which organizations to list.
    pub struct ListOrganizations {
        /// Paging.
        paging: Paging<OrganizationOrder>,
    }
}

/// List your organizations
///
/// Those that you are a member of, with your role in each.
#[utoipa::path(get, path = "/organizations", params(ListOrganizations), responses(
    (status = 200, description = "A page of your organizations", body = Page<OrganizationView>),
))]
async fn list_organizations(
    State(tenancy): State<Tenancy>,
    caller: Caller,
    ValidQuery(query): ValidQuery<ListOrganizations>,
) -> Result<Listing<OrganizationView>, Problem> {
    let page = tenancy.list(&who(&caller)?, &query.paging).await?;
    Ok(Listing { page: page.map(OrganizationView::from), cache: None })
}

/// Create an organization
///
/// You are its first member: an admin.
#[utoipa::path(post, path = "/organizations", request_body = NewOrganization, responses((
    status = 201, description = "The organization was made", body = OrganizationView,
    headers(("ETag" = String, description = "Its version"), ("Location" = String, description = "Its path")),
)))]
async fn create_organization(
    State(tenancy): State<Tenancy>,
    caller: Caller,
    Valid(new): Valid<NewOrganization>,
) -> Result<Created<OrganizationView>, Problem> {
    let made = tenancy.create(&who(&caller)?, new).await?;
    Ok(Created {
        location: format!("/api/v1/organizations/{}", made.of.id),
        etag: Some(ETag(made.of.version)),
        body: made.into(),
    })
}

/// Get an organization
#[utoipa::path(get, path = "/organizations/{id}",
    params(
        ("id" = String, Path, description = "Names the organization", format = "uuid"),
        ("If-None-Match" = Option<String>, Header, description = "The ETag of the organization as you have it"),
    ),
    responses(
        (status = 200, description = "The organization", body = OrganizationView, headers(("ETag" = String, description = "Its version"))),
        (status = 304, description = "The organization as you have it", headers(("ETag" = String, description = "Its version"))),
    ),
)]
async fn get_organization(
    State(tenancy): State<Tenancy>,
    caller: Caller,
    Id(id): Id<OrganizationId>,
    seen: IfNoneMatch,
) -> Result<Tagged<OrganizationView>, Problem> {
    let found = tenancy.get(&who(&caller)?, id).await?;
    let version = found.of.version;
    Ok(Tagged { seen: Some(seen), ..Tagged::changed(found.into(), version) })
}

/// Change an organization
///
/// What the body does not mention stays as it is.
#[utoipa::path(patch, path = "/organizations/{id}", request_body = OrganizationPatch,
    params(
        ("id" = String, Path, description = "Names the organization", format = "uuid"),
        ("If-Match" = Option<String>, Header, description = "The ETag of the state that the change is meant for"),
    ),
    responses((status = 200, description = "The organization as it is now", body = OrganizationView, headers(("ETag" = String, description = "Its version")))),
)]
async fn update_organization(
    State(tenancy): State<Tenancy>,
    caller: Caller,
    Id(id): Id<OrganizationId>,
    if_match: IfMatch,
    Valid(patch): Valid<OrganizationPatch>,
) -> Result<Tagged<OrganizationView>, Problem> {
    let changed = tenancy.update(&who(&caller)?, id, &if_match, patch).await?;
    let version = changed.of.version;
    Ok(Tagged::changed(changed.into(), version))
}

mainstay_core::input! {
    /// That it is meant.
    pub struct DeleteOrganization {
        /// The organization's name, exactly: `?confirm=Harbor%20Works`.
        confirm: String,
    }
}

/// Delete an organization
///
/// With its websites, memberships and invitations, for good. `confirm` is its name.
#[utoipa::path(delete, path = "/organizations/{id}",
    params(
        ("id" = String, Path, description = "Names the organization", format = "uuid"),
        DeleteOrganization,
        ("If-Match" = Option<String>, Header, description = "The ETag of the state that you mean to delete"),
    ),
    responses((status = 204, description = "It is gone")),
)]
async fn delete_organization(
    State(tenancy): State<Tenancy>,
    caller: Caller,
    Id(id): Id<OrganizationId>,
    if_match: IfMatch,
    ValidQuery(query): ValidQuery<DeleteOrganization>,
) -> Result<StatusCode, Problem> {
    tenancy.delete(&who(&caller)?, id, &if_match, &query.confirm).await?;
    Ok(StatusCode::NO_CONTENT)
}
