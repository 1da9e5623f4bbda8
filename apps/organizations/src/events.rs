//! What organizations tell the other apps.
//!
//! Every event names its organization, so that what an organization may hear of can be told.

use mainstay_core::event::EventData;
use mainstay_core::{Timestamp, UserId};
use serde::{Deserialize, Serialize};

use crate::domain::role::MemberRole;
use crate::domain::{InvitationId, OrganizationId, WebsiteId};

macro_rules! events {
    ($($(#[doc = $doc:literal])* $kind:literal about $subject:ident = $prefix:literal struct $name:ident {
        $($(#[doc = $field_doc:literal])* $field:ident: $type:ty,)*
    })*) => {$(
        $(#[doc = $doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
        pub struct $name {
            $($(#[doc = $field_doc])* pub $field: $type,)*
        }

        impl EventData for $name {
            const KIND: &'static str = $kind;

            fn subject(&self) -> String {
                format!(concat!($prefix, "/{}"), self.$subject)
            }
        }
    )*};
}

events! {
    /// An organization was made.
    "organization.created" about organization_id = "organization" struct OrganizationCreated {
        /// The organization.
        organization_id: OrganizationId,
        /// Its name.
        name: String,
        /// Who made it.
        created_by: UserId,
    }
    /// An organization's name changed.
    "organization.updated" about organization_id = "organization" struct OrganizationUpdated {
        /// The organization.
        organization_id: OrganizationId,
        /// Its name now.
        name: String,
    }
    /// An organization was deleted, with its websites, memberships and invitations. Of the websites
    /// there are events of their own.
    "organization.deleted" about organization_id = "organization" struct OrganizationDeleted {
        /// The organization.
        organization_id: OrganizationId,
        /// The name it had.
        name: String,
    }
    /// A website was added.
    "website.created" about website_id = "website" struct WebsiteCreated {
        /// The website.
        website_id: WebsiteId,
        /// Whose it is.
        organization_id: OrganizationId,
        /// Its name.
        name: String,
        /// Its address.
        url: String,
    }
    /// A website changed.
    "website.updated" about website_id = "website" struct WebsiteUpdated {
        /// The website.
        website_id: WebsiteId,
        /// Whose it is.
        organization_id: OrganizationId,
        /// Its name now.
        name: String,
        /// Its address now.
        url: String,
    }
    /// A website was deleted, with its memberships and invitations.
    "website.deleted" about website_id = "website" struct WebsiteDeleted {
        /// The website.
        website_id: WebsiteId,
        /// Whose it was.
        organization_id: OrganizationId,
    }
    /// Somebody became a member.
    "membership.added" about organization_id = "organization" struct MembershipAdded {
        /// Of this organization, or of a website of it.
        organization_id: OrganizationId,
        /// The website. `None`: of the organization itself.
        website_id: Option<WebsiteId>,
        /// Who.
        user_id: UserId,
        /// As what.
        role: MemberRole,
    }
    /// A member's role changed.
    "membership.changed" about organization_id = "organization" struct MembershipChanged {
        /// Of this organization, or of a website of it.
        organization_id: OrganizationId,
        /// The website. `None`: of the organization itself.
        website_id: Option<WebsiteId>,
        /// Whose.
        user_id: UserId,
        /// What they were.
        before: MemberRole,
        /// What they are.
        role: MemberRole,
    }
    /// Somebody left or was removed. What goes with an organization or a website has no event of its own.
    "membership.removed" about organization_id = "organization" struct MembershipRemoved {
        /// Of this organization, or of a website of it.
        organization_id: OrganizationId,
        /// The website. `None`: of the organization itself.
        website_id: Option<WebsiteId>,
        /// Who.
        user_id: UserId,
    }
    /// Somebody was invited.
    "invitation.created" about invitation_id = "invitation" struct InvitationCreated {
        /// The invitation.
        invitation_id: InvitationId,
        /// To this organization, or to a website of it.
        organization_id: OrganizationId,
        /// The website. `None`: to the organization itself.
        website_id: Option<WebsiteId>,
        /// What they become.
        role: MemberRole,
        /// Who invited.
        invited_by: UserId,
        /// Until when.
        expires_at: Timestamp,
        /// How often it was sent: 1.
        sendings: i64,
    }
    /// An invitation was sent again: the earlier link is dead, and it lasts longer.
    "invitation.resent" about invitation_id = "invitation" struct InvitationResent {
        /// The invitation.
        invitation_id: InvitationId,
        /// To this organization, or to a website of it.
        organization_id: OrganizationId,
        /// The website. `None`: to the organization itself.
        website_id: Option<WebsiteId>,
        /// Until when.
        expires_at: Timestamp,
        /// How often it was sent.
        sendings: i64,
    }
    /// An invitation was accepted.
    "invitation.accepted" about invitation_id = "invitation" struct InvitationAccepted {
        /// The invitation.
        invitation_id: InvitationId,
        /// To this organization, or to a website of it.
        organization_id: OrganizationId,
        /// The website. `None`: to the organization itself.
        website_id: Option<WebsiteId>,
        /// Who accepted.
        user_id: UserId,
        /// Who had invited.
        invited_by: UserId,
    }
    /// Who was invited said no.
    "invitation.declined" about invitation_id = "invitation" struct InvitationDeclined {
        /// The invitation.
        invitation_id: InvitationId,
        /// To this organization, or to a website of it.
        organization_id: OrganizationId,
        /// The website. `None`: to the organization itself.
        website_id: Option<WebsiteId>,
    }
    /// An invitation was taken back.
    "invitation.revoked" about invitation_id = "invitation" struct InvitationRevoked {
        /// The invitation.
        invitation_id: InvitationId,
        /// To this organization, or to a website of it.
        organization_id: OrganizationId,
        /// The website. `None`: to the organization itself.
        website_id: Option<WebsiteId>,
        /// Why.
        reason: RevokeReason,
    }
}

/// Why an invitation was taken back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RevokeReason {
    /// Somebody revoked it.
    Revoked,
    /// Who had invited may not invite any more.
    InviterLostRole,
    /// The account that it was for was removed.
    AccountRemoved,
}
