//! Invitations, for those who invite and for those who are invited.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use mainstay_app::TOKEN_INVALID;
use mainstay_auth::{Access, Caller};
use mainstay_core::problem::FORBIDDEN;
use mainstay_core::{Page, Paging, Problem, ProblemKind, Timestamp, UserId};
use mainstay_http::{ApiRouter, Created, Id, IdempotencyKey, Idempotent, Listing, Valid, ValidQuery, routes};
use serde::Serialize;
use utoipa::ToSchema;

use super::{Within, who};
use crate::domain::invitation::{Invitation, InvitationOrder, InvitationStatus, NewInvitation};
use crate::domain::role::MemberRole;
use crate::domain::token::GivenToken;
use crate::domain::{InvitationId, OrganizationId, WebsiteId};
use crate::error::{
    ALREADY_MEMBER, INVITATION_DECIDED, INVITATION_FOR_ANOTHER_ADDRESS, INVITATION_NEEDS_VERIFIED_EMAIL,
    INVITATION_NOT_FOUND, INVITATION_PENDING, ORGANIZATION_NOT_FOUND, OrganizationError, WEBSITE_NOT_FOUND,
};
use crate::service::{Invited, MadeInvitation, Target, Tenancy};

pub(super) fn routes(router: ApiRouter<Tenancy>) -> ApiRouter<Tenancy> {
    const MAKE: [&ProblemKind; 2] = [&ALREADY_MEMBER, &INVITATION_PENDING];
    const REVOKE: [&ProblemKind; 2] = [&INVITATION_NOT_FOUND, &INVITATION_DECIDED];
    const RESEND: [&ProblemKind; 3] = [&INVITATION_NOT_FOUND, &INVITATION_DECIDED, &INVITATION_PENDING];
    let organization =
        |others: &[&'static ProblemKind]| [&[&FORBIDDEN, &ORGANIZATION_NOT_FOUND], others].concat();
    let website = |others: &[&'static ProblemKind]| [&[&FORBIDDEN, &WEBSITE_NOT_FOUND], others].concat();
    router
        .route(routes!(list_invitations), Access::SignedIn, &organization(&[]))
        .route(routes!(create_invitation), Access::SignedIn, &organization(&MAKE))
        .at_cost(super::A_MAIL)
        .route(routes!(revoke_invitation), Access::SignedIn, &organization(&REVOKE))
        .route(routes!(resend_invitation), Access::SignedIn, &organization(&RESEND))
        .at_cost(super::A_MAIL)
        .route(routes!(list_website_invitations), Access::SignedIn, &website(&[]))
        .route(routes!(create_website_invitation), Access::SignedIn, &website(&MAKE))
        .at_cost(super::A_MAIL)
        .route(routes!(revoke_website_invitation), Access::SignedIn, &website(&REVOKE))
        .route(routes!(resend_website_invitation), Access::SignedIn, &website(&RESEND))
        .at_cost(super::A_MAIL)
        .route(
            routes!(accept_invitation),
            Access::SignedIn,
            &[&TOKEN_INVALID, &INVITATION_FOR_ANOTHER_ADDRESS, &INVITATION_NEEDS_VERIFIED_EMAIL],
        )
        .route(
            routes!(decline_invitation),
            Access::Public,
            &[&TOKEN_INVALID, &INVITATION_FOR_ANOTHER_ADDRESS],
        )
        .route(routes!(get_invitation), Access::Public, &[&TOKEN_INVALID])
}

/// An invitation, for those who invite.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct InvitationView {
    /// Names it.
    id: InvitationId,
    /// The organization, or the one whose website it is to.
    organization_id: OrganizationId,
    /// The website. `null` if it is to the organization itself.
    #[schema(required)]
    website_id: Option<WebsiteId>,
    /// Who is invited.
    email: String,
    /// What they become.
    role: MemberRole,
    /// How it stands.
    status: InvitationStatus,
    /// Who invited, or sent it last.
    invited_by: UserId,
    /// When it was made.
    created_at: Timestamp,
    /// When it ends, or ended, if nobody answers.
    expires_at: Timestamp,
    /// When it was accepted, declined or revoked; `null` until then.
    #[schema(required)]
    decided_at: Option<Timestamp>,
}

impl From<Invitation> for InvitationView {
    fn from(invitation: Invitation) -> Self {
        let Invitation {
            id,
            organization_id,
            website_id,
            email,
            email_norm: _,
            role,
            status,
            token_hash: _,
            sendings: _,
            invited_by,
            created_at,
            expires_at,
            decided_at,
            version: _,
        } = invitation;
        Self {
            id,
            organization_id,
            website_id,
            email,
            role,
            status,
            invited_by,
            created_at,
            expires_at,
            decided_at,
        }
    }
}

/// An invitation with its link, which is shown this once.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct MadeInvitationView {
    /// The invitation.
    #[serde(flatten)]
    invitation: InvitationView,
    /// The token, to accept or decline with.
    token: String,
    /// What to give to the invited, if the mail does not reach them.
    #[schema(format = "uri")]
    link: String,
}

impl From<MadeInvitation> for MadeInvitationView {
    fn from(made: MadeInvitation) -> Self {
        let MadeInvitation { invitation, token, link } = made;
        Self { invitation: invitation.into(), token, link }
    }
}

mainstay_core::input! {
    /// Which invitations to list.
    pub struct ListInvitations {
        /// Paging.
        paging: Paging<InvitationOrder>,
        /// Only those that stand like this.
        status: Option<InvitationStatus>,
    }
}

// What is done is the same for both; the endpoints below differ in their paths and in what they say.

async fn list<T: Target>(
    tenancy: &Tenancy,
    caller: &Caller,
    target: T,
    query: ListInvitations,
) -> Result<Listing<InvitationView>, Problem> {
    let ListInvitations { paging, status } = query;
    let page = tenancy.list_invitations(&who(caller)?, target, status, &paging).await?;
    Ok(Listing { page: page.map(InvitationView::from), cache: None })
}

async fn invite<T: Target>(
    tenancy: &Tenancy,
    caller: &Caller,
    target: T,
    request: Idempotent<NewInvitation>,
) -> Result<Response, Problem> {
    let who = who(caller)?;
    request
        .run(async |new| {
            let unit = tenancy.db.write(&who.actor).await?;
            let made = tenancy.invite(&unit, &who, target, new).await?;
            let (collection, id) = (T::COLLECTION, made.invitation.id);
            let location = format!("/api/v1/{collection}/{target}/invitations/{id}");
            let body = MadeInvitationView::from(made);
            Ok::<_, OrganizationError>((unit, Created { location, etag: None, body }))
        })
        .await
}

/// List an organization's invitations
///
/// To the organization itself; those to its websites are listed there.
#[utoipa::path(get, path = "/organizations/{id}/invitations",
    params(("id" = String, Path, description = "Names the organization", format = "uuid"), ListInvitations),
    responses((status = 200, description = "A page of invitations", body = Page<InvitationView>)),
)]
async fn list_invitations(
    State(tenancy): State<Tenancy>,
    caller: Caller,
    Id(id): Id<OrganizationId>,
    ValidQuery(query): ValidQuery<ListInvitations>,
) -> Result<Listing<InvitationView>, Problem> {
    list(&tenancy, &caller, id, query).await
}

/// Invite to an organization
///
/// They get a mail with a link that works once, for seven days, for an account with this address. The
/// answer holds the link too. An address has one pending invitation at a time.
#[utoipa::path(post, path = "/organizations/{id}/invitations", request_body = NewInvitation,
    params(("id" = String, Path, description = "Names the organization", format = "uuid"), IdempotencyKey),
    responses((
        status = 201, description = "They are invited", body = MadeInvitationView,
        headers(("Location" = String, description = "Its path")),
    )),
)]
async fn create_invitation(
    State(tenancy): State<Tenancy>,
    caller: Caller,
    Id(id): Id<OrganizationId>,
    request: Idempotent<NewInvitation>,
) -> Result<Response, Problem> {
    invite(&tenancy, &caller, id, request).await
}

/// Revoke an invitation
///
/// Its link is dead from here on.
#[utoipa::path(delete, path = "/organizations/{id}/invitations/{invitation_id}",
    params(
        ("id" = String, Path, description = "Names the organization", format = "uuid"),
        ("invitation_id" = String, Path, description = "Names the invitation", format = "uuid"),
    ),
    responses((status = 204, description = "It is revoked")),
)]
async fn revoke_invitation(
    State(tenancy): State<Tenancy>,
    caller: Caller,
    Within(id, invitation): Within<OrganizationId, InvitationId>,
) -> Result<StatusCode, Problem> {
    tenancy.revoke_invitation(&who(&caller)?, id, invitation).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Send an invitation again
///
/// With a new link, for another seven days; the earlier link is dead. An expired one is pending again.
#[utoipa::path(post, path = "/organizations/{id}/invitations/{invitation_id}/resend",
    params(
        ("id" = String, Path, description = "Names the organization", format = "uuid"),
        ("invitation_id" = String, Path, description = "Names the invitation", format = "uuid"),
    ),
    responses((status = 200, description = "The mail is on its way", body = MadeInvitationView)),
)]
async fn resend_invitation(
    State(tenancy): State<Tenancy>,
    caller: Caller,
    Within(id, invitation): Within<OrganizationId, InvitationId>,
) -> Result<Json<MadeInvitationView>, Problem> {
    let made = tenancy.resend_invitation(&who(&caller)?, id, invitation).await?;
    Ok(Json(made.into()))
}

/// List a website's invitations
#[utoipa::path(get, path = "/websites/{id}/invitations",
    params(("id" = String, Path, description = "Names the website", format = "uuid"), ListInvitations),
    responses((status = 200, description = "A page of invitations", body = Page<InvitationView>)),
)]
async fn list_website_invitations(
    State(tenancy): State<Tenancy>,
    caller: Caller,
    Id(id): Id<WebsiteId>,
    ValidQuery(query): ValidQuery<ListInvitations>,
) -> Result<Listing<InvitationView>, Problem> {
    list(&tenancy, &caller, id, query).await
}

/// Invite to a website
///
/// As to an organization, but to this website alone.
#[utoipa::path(post, path = "/websites/{id}/invitations", request_body = NewInvitation,
    params(("id" = String, Path, description = "Names the website", format = "uuid"), IdempotencyKey),
    responses((
        status = 201, description = "They are invited", body = MadeInvitationView,
        headers(("Location" = String, description = "Its path")),
    )),
)]
async fn create_website_invitation(
    State(tenancy): State<Tenancy>,
    caller: Caller,
    Id(id): Id<WebsiteId>,
    request: Idempotent<NewInvitation>,
) -> Result<Response, Problem> {
    invite(&tenancy, &caller, id, request).await
}

/// Revoke an invitation to a website
///
/// Its link is dead from here on.
#[utoipa::path(delete, path = "/websites/{id}/invitations/{invitation_id}",
    params(
        ("id" = String, Path, description = "Names the website", format = "uuid"),
        ("invitation_id" = String, Path, description = "Names the invitation", format = "uuid"),
    ),
    responses((status = 204, description = "It is revoked")),
)]
async fn revoke_website_invitation(
    State(tenancy): State<Tenancy>,
    caller: Caller,
    Within(id, invitation): Within<WebsiteId, InvitationId>,
) -> Result<StatusCode, Problem> {
    tenancy.revoke_invitation(&who(&caller)?, id, invitation).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Send an invitation to a website again
///
/// With a new link, for another seven days; the earlier link is dead. An expired one is pending again.
#[utoipa::path(post, path = "/websites/{id}/invitations/{invitation_id}/resend",
    params(
        ("id" = String, Path, description = "Names the website", format = "uuid"),
        ("invitation_id" = String, Path, description = "Names the invitation", format = "uuid"),
    ),
    responses((status = 200, description = "The mail is on its way", body = MadeInvitationView)),
)]
async fn resend_website_invitation(
    State(tenancy): State<Tenancy>,
    caller: Caller,
    Within(id, invitation): Within<WebsiteId, InvitationId>,
) -> Result<Json<MadeInvitationView>, Problem> {
    let made = tenancy.resend_invitation(&who(&caller)?, id, invitation).await?;
    Ok(Json(made.into()))
}

mainstay_core::input! {
    /// The answer to an invitation.
    pub struct AnswerInvitation {
        /// The token from its link.
        token: GivenToken,
    }
}

/// What somebody is a member of now.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AcceptedView {
    /// The organization, or the one whose website it is.
    organization_id: OrganizationId,
    /// The website. `null`: of the organization itself.
    #[schema(required)]
    website_id: Option<WebsiteId>,
    /// The role that the invitation was for. Who had a stronger one keeps it.
    role: MemberRole,
}

/// Accept an invitation
///
/// Takes an account with the address that it is for, and that address has to be verified. Works once.
#[utoipa::path(post, path = "/invitations/accept", request_body = AnswerInvitation, responses(
    (status = 200, description = "You are a member", body = AcceptedView),
))]
async fn accept_invitation(
    State(tenancy): State<Tenancy>,
    caller: Caller,
    Valid(body): Valid<AnswerInvitation>,
) -> Result<Json<AcceptedView>, Problem> {
    let Invitation { organization_id, website_id, role, .. } =
        tenancy.accept(&who(&caller)?, body.token.as_str()).await?;
    Ok(Json(AcceptedView { organization_id, website_id, role }))
}

/// Decline an invitation
///
/// Without an account, by the token alone; or signed in with the account that it is for.
#[utoipa::path(post, path = "/invitations/decline", request_body = AnswerInvitation, responses(
    (status = 204, description = "It is declined"),
))]
async fn decline_invitation(
    State(tenancy): State<Tenancy>,
    caller: Caller,
    Valid(body): Valid<AnswerInvitation>,
) -> Result<StatusCode, Problem> {
    let by = caller.user().map(|user| user.user_id);
    tenancy.decline(&caller.actor(), by, body.token.as_str()).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// What an invitation is for, as its link shows it.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct InvitedView {
    /// The organization's name.
    organization: String,
    /// The website's name. `null` if it is to the organization itself.
    #[schema(required)]
    website: Option<String>,
    /// What you become.
    role: MemberRole,
    /// The address that it is for, as a hint.
    #[schema(example = "a***@example.com")]
    email: String,
    /// Who invited. `null` if the account is gone.
    #[schema(required)]
    inviter: Option<String>,
    /// Always `pending`: of others nothing is shown.
    status: InvitationStatus,
    /// When it ends.
    expires_at: Timestamp,
}

impl From<Invited> for InvitedView {
    fn from(invited: Invited) -> Self {
        let Invited { organization, website, role, email, inviter, status, expires_at } = invited;
        Self { organization, website, role, email, inviter, status, expires_at }
    }
}

/// See what an invitation is for
///
/// For whoever has its link. Whether an account has the address is not shown.
#[utoipa::path(get, path = "/invitations/{token}",
    params(("token" = String, Path, description = "The token from the link")),
    responses((status = 200, description = "What it is for", body = InvitedView)),
)]
async fn get_invitation(
    State(tenancy): State<Tenancy>,
    Id(token): Id<String>,
) -> Result<Json<InvitedView>, Problem> {
    Ok(Json(tenancy.preview(&token).await?.into()))
}
