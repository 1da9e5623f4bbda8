//! Proofs of access. Only the lookups of this module make one, each asks the
//! [matrix](crate::domain::matrix), and no query on what belongs to an organization goes without.
//!
//! A change looks with `…_in`: it holds the organization first, so that what the proof says, and what
//! is read after it, stays true until the change is committed. All changes of one organization
//! wait for each other there; they are short.

use mainstay_core::{Timestamp, UserId};
use mainstay_db::WriteUnit;
use sea_orm::{ColumnTrait as _, ConnectionTrait, DbErr, EntityTrait as _, QueryFilter as _};

use super::{invitations, next};
use crate::domain::invitation::{Invitation, InvitationStatus};
use crate::domain::matrix::{Action, Outcome, Standing};
use crate::domain::role::MemberRole;
use crate::domain::{InvitationId, OrganizationId, WebsiteId};
use crate::entity::{organization, organization_member, website, website_member};
use crate::error::OrganizationError;

/// Who asks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asker {
    /// Their account.
    pub(crate) user_id: UserId,
    /// Whether they administer the installation.
    pub(crate) is_system_admin: bool,
}

/// Where somebody was found to have access: an organization, or one website of it.
pub(crate) trait Place: Sync {
    /// The organization.
    fn organization_id(&self) -> OrganizationId;

    /// The website. `None`: the organization itself.
    fn website_id(&self) -> Option<WebsiteId>;

    /// Whether it is a system administrator's role alone that opens it.
    fn via_system_admin(&self) -> bool;
}

/// What somebody is to a place, and so may do there.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rights {
    in_organization: Option<MemberRole>,
    on_website: Option<MemberRole>,
    is_system_admin: bool,
}

impl Rights {
    /// Whether the matrix lets it happen.
    pub(crate) fn allow(self, action: Action) -> bool {
        self.outcome(action) == Outcome::Allow
    }

    /// Whether it does so without a system administrator's role.
    pub(crate) fn allow_by_membership(self, action: Action) -> bool {
        Self { is_system_admin: false, ..self }.allow(action)
    }

    /// The stronger of the roles in the organization and on the website. `None` for a system
    /// administrator who is no member.
    pub(crate) fn role(self) -> Option<MemberRole> {
        self.in_organization.max(self.on_website)
    }

    fn outcome(self, action: Action) -> Outcome {
        let Self { in_organization, on_website, is_system_admin } = self;
        let standings: Vec<_> = in_organization
            .map(Standing::in_organization)
            .into_iter()
            .chain(on_website.map(Standing::of_website))
            .chain(is_system_admin.then_some(Standing::OrganizationAdmin))
            .collect();
        action.outcome(&standings)
    }

    /// Whether it is a system administrator's role alone that lets it happen; or why it does not.
    fn judge(self, action: Action) -> Result<bool, Outcome> {
        match self.outcome(action) {
            Outcome::Allow => Ok(!self.allow_by_membership(action)),
            refused => Err(refused),
        }
    }
}

/// That somebody may do something in an organization.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OrgAccess {
    organization_id: OrganizationId,
    rights: Rights,
    via_system_admin: bool,
}

/// That somebody may do something with a website.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WebsiteAccess {
    organization_id: OrganizationId,
    website_id: WebsiteId,
    rights: Rights,
    via_system_admin: bool,
}

/// That somebody has the token of a pending invitation, or that an event named the invitation.
#[derive(Clone, Debug)]
pub(crate) struct TokenAccess {
    invitation: Invitation,
}

/// Somebody's access to their own memberships, which everybody has.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OwnAccess {
    user_id: UserId,
}

impl OrgAccess {
    /// What the one who asks is in the organization. `None` for a system administrator who is no member.
    pub(crate) fn role(&self) -> Option<MemberRole> {
        self.rights.role()
    }

    /// What else they may do there.
    pub(crate) fn rights(&self) -> Rights {
        self.rights
    }
}

impl WebsiteAccess {
    /// Which website.
    pub(crate) fn website(&self) -> WebsiteId {
        self.website_id
    }

    /// The stronger of the roles that the one who asks has in the organization and on the website.
    pub(crate) fn role(&self) -> Option<MemberRole> {
        self.rights.role()
    }

    /// What else they may do there.
    pub(crate) fn rights(&self) -> Rights {
        self.rights
    }
}

impl TokenAccess {
    /// The invitation.
    pub(crate) fn invitation(&self) -> &Invitation {
        &self.invitation
    }
}

impl OwnAccess {
    /// A person's access to what they belong to.
    pub(crate) fn of(user_id: UserId) -> Self {
        Self { user_id }
    }

    /// Whose.
    pub(crate) fn user_id(&self) -> UserId {
        self.user_id
    }
}

impl Place for OrgAccess {
    fn organization_id(&self) -> OrganizationId {
        self.organization_id
    }

    fn website_id(&self) -> Option<WebsiteId> {
        None
    }

    fn via_system_admin(&self) -> bool {
        self.via_system_admin
    }
}

impl Place for WebsiteAccess {
    fn organization_id(&self) -> OrganizationId {
        self.organization_id
    }

    fn website_id(&self) -> Option<WebsiteId> {
        Some(self.website_id)
    }

    fn via_system_admin(&self) -> bool {
        self.via_system_admin
    }
}

/// The place that the invitation is to.
impl Place for TokenAccess {
    fn organization_id(&self) -> OrganizationId {
        self.invitation.organization_id
    }

    fn website_id(&self) -> Option<WebsiteId> {
        self.invitation.website_id
    }

    fn via_system_admin(&self) -> bool {
        false
    }
}

/// Looks whether `asker` may do `action` in an organization.
///
/// # Errors
/// [`OrganizationError::OrganizationNotFound`], alike for one that is foreign and one that does not
/// exist; [`OrganizationError::Forbidden`].
pub(crate) async fn organization(
    connection: &impl ConnectionTrait,
    asker: Asker,
    id: OrganizationId,
    action: Action,
) -> Result<OrgAccess, OrganizationError> {
    let Asker { user_id, is_system_admin } = asker;
    let in_organization = organization_role(connection, id, user_id).await?;
    if in_organization.is_none() && is_system_admin && !exists(connection, id).await? {
        return Err(OrganizationError::OrganizationNotFound);
    }
    let rights = Rights { in_organization, on_website: None, is_system_admin };
    let via_system_admin = rights.judge(action).map_err(|outcome| match outcome {
        Outcome::Hide => OrganizationError::OrganizationNotFound,
        Outcome::Forbid | Outcome::Allow => OrganizationError::Forbidden("an admin of the organization"),
    })?;
    Ok(OrgAccess { organization_id: id, rights, via_system_admin })
}

/// The same for a change, which no other of the organization runs beside.
pub(crate) async fn organization_in(
    unit: &WriteUnit,
    asker: Asker,
    id: OrganizationId,
    action: Action,
) -> Result<OrgAccess, OrganizationError> {
    if !hold(unit, id).await? {
        return Err(OrganizationError::OrganizationNotFound);
    }
    organization(unit, asker, id, action).await
}

/// Looks whether `asker` may do `action` with a website: by a role on it, or in its organization.
///
/// # Errors
/// [`OrganizationError::WebsiteNotFound`], alike for one that is foreign and one that does not exist;
/// [`OrganizationError::Forbidden`].
pub(crate) async fn website(
    connection: &impl ConnectionTrait,
    asker: Asker,
    id: WebsiteId,
    action: Action,
) -> Result<WebsiteAccess, OrganizationError> {
    let organization_id = owner(connection, id).await?.ok_or(OrganizationError::WebsiteNotFound)?;
    let in_organization = organization_role(connection, organization_id, asker.user_id).await?;
    let on_website =
        website_member::Entity::find_by_id((id.uuid(), asker.user_id.uuid())).one(connection).await?;
    let on_website = on_website.map(|row| MemberRole::from_name(&row.role));
    let rights = Rights { in_organization, on_website, is_system_admin: asker.is_system_admin };
    let via_system_admin = rights.judge(action).map_err(|outcome| match outcome {
        Outcome::Hide => OrganizationError::WebsiteNotFound,
        Outcome::Forbid | Outcome::Allow => {
            OrganizationError::Forbidden("an admin of the website or of its organization")
        }
    })?;
    Ok(WebsiteAccess { organization_id, website_id: id, rights, via_system_admin })
}

/// The same for a change, which no other of the organization runs beside.
pub(crate) async fn website_in(
    unit: &WriteUnit,
    asker: Asker,
    id: WebsiteId,
    action: Action,
) -> Result<WebsiteAccess, OrganizationError> {
    let organization_id = owner(unit, id).await?.ok_or(OrganizationError::WebsiteNotFound)?;
    if !hold(unit, organization_id).await? {
        return Err(OrganizationError::WebsiteNotFound);
    }
    website(unit, asker, id, action).await
}

/// Looks which pending invitation the token with this hash belongs to.
///
/// # Errors
/// [`OrganizationError::TokenInvalid`], alike for all that is not pending.
pub(crate) async fn token(
    connection: &impl ConnectionTrait,
    token_hash: &str,
    now: Timestamp,
) -> Result<TokenAccess, OrganizationError> {
    let invitation = invitations::find_pending_by_hash(connection, token_hash, now).await?;
    Ok(TokenAccess { invitation: invitation.ok_or(OrganizationError::TokenInvalid)? })
}

/// The same for a change, which no other of the organization runs beside.
pub(crate) async fn token_in(
    unit: &WriteUnit,
    token_hash: &str,
    now: Timestamp,
) -> Result<TokenAccess, OrganizationError> {
    let found = token(unit, token_hash, now).await?;
    if !hold(unit, found.organization_id()).await? {
        return Err(OrganizationError::TokenInvalid);
    }
    // Whoever held the organization before may have decided it.
    token(unit, token_hash, now).await
}

/// What the consumer that writes mails may look at: a pending invitation that an event named.
pub(crate) async fn pending(
    connection: &impl ConnectionTrait,
    id: InvitationId,
    now: Timestamp,
) -> Result<Option<TokenAccess>, DbErr> {
    named(connection, id, InvitationStatus::Pending, now).await
}

/// The same of one that was accepted.
pub(crate) async fn accepted(
    connection: &impl ConnectionTrait,
    id: InvitationId,
    now: Timestamp,
) -> Result<Option<TokenAccess>, DbErr> {
    named(connection, id, InvitationStatus::Accepted, now).await
}

async fn named(
    connection: &impl ConnectionTrait,
    id: InvitationId,
    status: InvitationStatus,
    now: Timestamp,
) -> Result<Option<TokenAccess>, DbErr> {
    let invitation = invitations::find_by_id(connection, id, now).await?;
    let invitation = invitation.filter(|invitation| invitation.status == status);
    Ok(invitation.map(|invitation| TokenAccess { invitation }))
}

/// Makes every other change of the organization wait until the unit ends. False if there is none.
///
/// A write and not a lock: a transaction that saw the state before (the removal of an account runs
/// under SERIALIZABLE) must collide with it, not just wait.
async fn hold(unit: &WriteUnit, id: OrganizationId) -> Result<bool, DbErr> {
    let held = organization::Entity::update_many()
        .col_expr(organization::Column::Roster, next(organization::Column::Roster))
        .filter(organization::Column::Id.eq(id.uuid()))
        .exec(unit)
        .await?;
    Ok(held.rows_affected == 1)
}

async fn exists(connection: &impl ConnectionTrait, id: OrganizationId) -> Result<bool, DbErr> {
    Ok(organization::Entity::find_by_id(id.uuid()).one(connection).await?.is_some())
}

async fn owner(connection: &impl ConnectionTrait, id: WebsiteId) -> Result<Option<OrganizationId>, DbErr> {
    let row = website::Entity::find_by_id(id.uuid()).one(connection).await?;
    Ok(row.map(|row| row.organization_id.into()))
}

async fn organization_role(
    connection: &impl ConnectionTrait,
    id: OrganizationId,
    user: UserId,
) -> Result<Option<MemberRole>, DbErr> {
    let row = organization_member::Entity::find_by_id((id.uuid(), user.uuid())).one(connection).await?;
    Ok(row.map(|row| MemberRole::from_name(&row.role)))
}
