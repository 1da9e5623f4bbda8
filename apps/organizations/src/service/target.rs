//! What somebody can belong to: an organization or a website. What is done with members and invitations
//! is the same for both, so it is written once, over the kind of id.

use std::fmt::Display;
use std::str::FromStr;

use mainstay_core::UserId;
use mainstay_db::WriteUnit;
use sea_orm::ConnectionTrait;

use crate::domain::matrix::Action;
use crate::domain::{OrganizationId, WebsiteId};
use crate::error::OrganizationError;
use crate::repo::access::{self, Asker, OrgAccess, Place, WebsiteAccess};
use crate::repo::members;

/// What can be done with members and invitations of either.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Deed {
    ListMembers,
    ChangeMember,
    RemoveMember,
    Leave,
    Invite,
    ListInvitations,
    RevokeInvitation,
    ResendInvitation,
}

/// The id of something that one can belong to.
#[async_trait::async_trait]
pub(crate) trait Target: Copy + Display + FromStr + Send + Sync + 'static {
    /// The proof that somebody may do something there.
    type Access: Membership;

    /// Its collection, as it stands in paths.
    const COLLECTION: &'static str;

    /// The row of the matrix that decides about a deed here.
    fn action(deed: Deed) -> Action;

    /// Looks whether `asker` may.
    async fn access<C: ConnectionTrait>(
        self,
        connection: &C,
        asker: Asker,
        deed: Deed,
    ) -> Result<Self::Access, OrganizationError>;

    /// The same for a change, which no other of the organization runs beside.
    async fn access_in(
        self,
        unit: &WriteUnit,
        asker: Asker,
        deed: Deed,
    ) -> Result<Self::Access, OrganizationError>;
}

/// A place, with what has to hold after a role was lost there.
#[async_trait::async_trait]
pub(crate) trait Membership: Place + Send {
    /// Whether `user` may stop being an admin here.
    async fn may_lose_admin(&self, unit: &WriteUnit, user: UserId) -> Result<(), OrganizationError>;
}

#[async_trait::async_trait]
impl Target for OrganizationId {
    type Access = OrgAccess;

    const COLLECTION: &'static str = "organizations";

    fn action(deed: Deed) -> Action {
        match deed {
            Deed::ListMembers => Action::ListMembers,
            Deed::ChangeMember => Action::ChangeMember,
            Deed::RemoveMember => Action::RemoveMember,
            Deed::Leave => Action::LeaveOrganization,
            Deed::Invite => Action::Invite,
            Deed::ListInvitations => Action::ListInvitations,
            Deed::RevokeInvitation => Action::RevokeInvitation,
            Deed::ResendInvitation => Action::ResendInvitation,
        }
    }

    async fn access<C: ConnectionTrait>(
        self,
        connection: &C,
        asker: Asker,
        deed: Deed,
    ) -> Result<OrgAccess, OrganizationError> {
        access::organization(connection, asker, self, Self::action(deed)).await
    }

    async fn access_in(
        self,
        unit: &WriteUnit,
        asker: Asker,
        deed: Deed,
    ) -> Result<OrgAccess, OrganizationError> {
        access::organization_in(unit, asker, self, Self::action(deed)).await
    }
}

#[async_trait::async_trait]
impl Target for WebsiteId {
    type Access = WebsiteAccess;

    const COLLECTION: &'static str = "websites";

    fn action(deed: Deed) -> Action {
        match deed {
            Deed::ListMembers => Action::ListWebsiteMembers,
            Deed::ChangeMember => Action::ChangeWebsiteMember,
            Deed::RemoveMember => Action::RemoveWebsiteMember,
            Deed::Leave => Action::LeaveWebsite,
            Deed::Invite => Action::InviteToWebsite,
            Deed::ListInvitations => Action::ListWebsiteInvitations,
            Deed::RevokeInvitation => Action::RevokeWebsiteInvitation,
            Deed::ResendInvitation => Action::ResendWebsiteInvitation,
        }
    }

    async fn access<C: ConnectionTrait>(
        self,
        connection: &C,
        asker: Asker,
        deed: Deed,
    ) -> Result<WebsiteAccess, OrganizationError> {
        access::website(connection, asker, self, Self::action(deed)).await
    }

    async fn access_in(
        self,
        unit: &WriteUnit,
        asker: Asker,
        deed: Deed,
    ) -> Result<WebsiteAccess, OrganizationError> {
        access::website_in(unit, asker, self, Self::action(deed)).await
    }
}

#[async_trait::async_trait]
impl Membership for OrgAccess {
    async fn may_lose_admin(&self, unit: &WriteUnit, user: UserId) -> Result<(), OrganizationError> {
        let (_, other_admins) = members::others(unit, self, user).await?;
        if other_admins == 0 { Err(OrganizationError::LastAdmin) } else { Ok(()) }
    }
}

/// A website needs no admin of its own: its organization has one.
#[async_trait::async_trait]
impl Membership for WebsiteAccess {
    async fn may_lose_admin(&self, _: &WriteUnit, _: UserId) -> Result<(), OrganizationError> {
        Ok(())
    }
}
