//! Members of organizations and websites.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use mainstay_app::LAST_ADMIN;
use mainstay_auth::{Access, Caller};
use mainstay_core::problem::FORBIDDEN;
use mainstay_core::{Page, Paging, Problem, ProblemKind, Timestamp, UserId};
use mainstay_http::{ApiRouter, Id, Listing, Valid, ValidQuery, routes};
use serde::Serialize;
use utoipa::ToSchema;

use super::{Within, who};
use crate::domain::role::{MemberOrder, MemberRole};
use crate::domain::{OrganizationId, WebsiteId};
use crate::error::{MEMBER_NOT_FOUND, ORGANIZATION_NOT_FOUND, WEBSITE_NOT_FOUND};
use crate::service::{self, Tenancy};

pub(super) fn routes(router: ApiRouter<Tenancy>) -> ApiRouter<Tenancy> {
    const ORGANIZATION: [&ProblemKind; 4] =
        [&FORBIDDEN, &ORGANIZATION_NOT_FOUND, &MEMBER_NOT_FOUND, &LAST_ADMIN];
    const WEBSITE: [&ProblemKind; 3] = [&FORBIDDEN, &WEBSITE_NOT_FOUND, &MEMBER_NOT_FOUND];
    router
        .route(routes!(list_members), Access::SignedIn, &[&ORGANIZATION_NOT_FOUND])
        .route(routes!(leave_organization), Access::SignedIn, &ORGANIZATION[1..])
        .route(routes!(update_member), Access::SignedIn, &ORGANIZATION)
        .route(routes!(remove_member), Access::SignedIn, &ORGANIZATION)
        .route(routes!(list_website_members), Access::SignedIn, &[&WEBSITE_NOT_FOUND])
        .route(routes!(leave_website), Access::SignedIn, &WEBSITE[1..])
        .route(routes!(update_website_member), Access::SignedIn, &WEBSITE)
        .route(routes!(remove_website_member), Access::SignedIn, &WEBSITE)
}

/// A member of an organization or a website.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct MemberView {
    /// Whose account it is.
    user_id: UserId,
    /// The name that the account goes by. `null` if the account is gone.
    #[schema(required)]
    username: Option<String>,
    /// The person's name. `null` if they gave none.
    #[schema(required)]
    name: Option<String>,
    /// The account's e-mail address. `null` if the account is gone.
    #[schema(required)]
    email: Option<String>,
    /// What they are.
    role: MemberRole,
    /// Since when.
    joined_at: Timestamp,
}

impl From<service::MemberView> for MemberView {
    fn from(view: service::MemberView) -> Self {
        let service::MemberView { member, person } = view;
        let (username, name, email) = match person {
            Some(person) => (Some(person.username), person.name, Some(person.email)),
            None => (None, None, None),
        };
        Self {
            user_id: member.user_id,
            username,
            name,
            email,
            role: member.role,
            joined_at: member.joined_at,
        }
    }
}

mainstay_core::input! {
    /// Which members to list.
    pub struct ListMembers {
        /// Paging.
        paging: Paging<MemberOrder>,
        /// Only those with this role.
        role: Option<MemberRole>,
    }
}

mainstay_core::input! {
    /// What a member is to be.
    pub struct MemberPatch {
        /// The role.
        role: MemberRole,
    }
}

/// List an organization's members
///
/// Every member may.
#[utoipa::path(get, path = "/organizations/{id}/members",
    params(("id" = String, Path, description = "Names the organization", format = "uuid"), ListMembers),
    responses((status = 200, description = "A page of members", body = Page<MemberView>)),
)]
async fn list_members(
    State(tenancy): State<Tenancy>,
    caller: Caller,
    Id(id): Id<OrganizationId>,
    ValidQuery(query): ValidQuery<ListMembers>,
) -> Result<Listing<MemberView>, Problem> {
    let ListMembers { paging, role } = query;
    let page = tenancy.list_members(&who(&caller)?, id, role, &paging).await?;
    Ok(Listing { page: page.map(MemberView::from), cache: None })
}

/// Change a member's role
///
/// The last admin stays one. Pending invitations of somebody who may not invite any more are revoked.
#[utoipa::path(patch, path = "/organizations/{id}/members/{user_id}", request_body = MemberPatch,
    params(
        ("id" = String, Path, description = "Names the organization", format = "uuid"),
        ("user_id" = String, Path, description = "Names the member's account", format = "uuid"),
    ),
    responses((status = 200, description = "The member as it is now", body = MemberView)),
)]
async fn update_member(
    State(tenancy): State<Tenancy>,
    caller: Caller,
    Within(id, user): Within<OrganizationId, UserId>,
    Valid(patch): Valid<MemberPatch>,
) -> Result<Json<MemberView>, Problem> {
    let member = tenancy.change_member(&who(&caller)?, id, user, patch.role, None).await?;
    Ok(Json(member.into()))
}

/// Remove a member
///
/// What they have on single websites of the organization by an invitation of their own stays; remove
/// it there. Their pending invitations are revoked.
#[utoipa::path(delete, path = "/organizations/{id}/members/{user_id}",
    params(
        ("id" = String, Path, description = "Names the organization", format = "uuid"),
        ("user_id" = String, Path, description = "Names the member's account", format = "uuid"),
    ),
    responses((status = 204, description = "They are no member any more")),
)]
async fn remove_member(
    State(tenancy): State<Tenancy>,
    caller: Caller,
    Within(id, user): Within<OrganizationId, UserId>,
) -> Result<StatusCode, Problem> {
    tenancy.remove_member(&who(&caller)?, id, user).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Leave an organization
///
/// The last admin can't: give somebody else the role first, or delete the organization.
#[utoipa::path(delete, path = "/organizations/{id}/members/me",
    params(("id" = String, Path, description = "Names the organization", format = "uuid")),
    responses((status = 204, description = "You are no member any more")),
)]
async fn leave_organization(
    State(tenancy): State<Tenancy>,
    caller: Caller,
    Id(id): Id<OrganizationId>,
) -> Result<StatusCode, Problem> {
    tenancy.leave(&who(&caller)?, id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// List a website's members
///
/// Those who were invited to this website. The members of its organization are not among them unless
/// they were.
#[utoipa::path(get, path = "/websites/{id}/members",
    params(("id" = String, Path, description = "Names the website", format = "uuid"), ListMembers),
    responses((status = 200, description = "A page of members", body = Page<MemberView>)),
)]
async fn list_website_members(
    State(tenancy): State<Tenancy>,
    caller: Caller,
    Id(id): Id<WebsiteId>,
    ValidQuery(query): ValidQuery<ListMembers>,
) -> Result<Listing<MemberView>, Problem> {
    let ListMembers { paging, role } = query;
    let page = tenancy.list_members(&who(&caller)?, id, role, &paging).await?;
    Ok(Listing { page: page.map(MemberView::from), cache: None })
}

/// Change a website member's role
///
/// Pending invitations of somebody who may not invite any more are revoked.
#[utoipa::path(patch, path = "/websites/{id}/members/{user_id}", request_body = MemberPatch,
    params(
        ("id" = String, Path, description = "Names the website", format = "uuid"),
        ("user_id" = String, Path, description = "Names the member's account", format = "uuid"),
    ),
    responses((status = 200, description = "The member as it is now", body = MemberView)),
)]
async fn update_website_member(
    State(tenancy): State<Tenancy>,
    caller: Caller,
    Within(id, user): Within<WebsiteId, UserId>,
    Valid(patch): Valid<MemberPatch>,
) -> Result<Json<MemberView>, Problem> {
    let member = tenancy.change_member(&who(&caller)?, id, user, patch.role, None).await?;
    Ok(Json(member.into()))
}

/// Remove a website member
#[utoipa::path(delete, path = "/websites/{id}/members/{user_id}",
    params(
        ("id" = String, Path, description = "Names the website", format = "uuid"),
        ("user_id" = String, Path, description = "Names the member's account", format = "uuid"),
    ),
    responses((status = 204, description = "They are no member any more")),
)]
async fn remove_website_member(
    State(tenancy): State<Tenancy>,
    caller: Caller,
    Within(id, user): Within<WebsiteId, UserId>,
) -> Result<StatusCode, Problem> {
    tenancy.remove_member(&who(&caller)?, id, user).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Leave a website
#[utoipa::path(delete, path = "/websites/{id}/members/me",
    params(("id" = String, Path, description = "Names the website", format = "uuid")),
    responses((status = 204, description = "You are no member any more")),
)]
async fn leave_website(
    State(tenancy): State<Tenancy>,
    caller: Caller,
    Id(id): Id<WebsiteId>,
) -> Result<StatusCode, Problem> {
    tenancy.leave(&who(&caller)?, id).await?;
    Ok(StatusCode::NO_CONTENT)
}
