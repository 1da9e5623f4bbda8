//! Invitations: `pending` until they are accepted, declined, revoked, or seven days have passed.

use std::time::Duration;

use mainstay_app::Email;
use mainstay_core::input::Text;
use mainstay_core::{Invalid, Sorting, Timestamp, UserId};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::role::MemberRole;
use super::{InvitationId, OrganizationId, WebsiteId};

/// How long an invitation lasts from when it was sent last.
pub const LIFE: Duration = Duration::from_secs(7 * 24 * 3600);

/// How an invitation stands. Only a pending one can be accepted; the others are final.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum InvitationStatus {
    /// It can be accepted, declined, revoked and sent again.
    Pending,
    /// It was accepted.
    Accepted,
    /// Who was invited said no.
    Declined,
    /// It was taken back, or who invited may not invite any more.
    Revoked,
    /// Nobody answered in time.
    Expired,
}

impl InvitationStatus {
    /// Every status.
    pub const ALL: [Self; 5] = [Self::Pending, Self::Accepted, Self::Declined, Self::Revoked, Self::Expired];

    /// Its name on the wire and in the database.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Accepted => "accepted",
            Self::Declined => "declined",
            Self::Revoked => "revoked",
            Self::Expired => "expired",
        }
    }

    /// From the database, where a pending invitation may have expired since. A name that this version
    /// does not know is final.
    #[must_use]
    pub fn from_row(name: &str, expires_at: Timestamp, now: Timestamp) -> Self {
        match Self::ALL.into_iter().find(|status| status.name() == name) {
            Some(Self::Pending) if expires_at <= now => Self::Expired,
            Some(status) => status,
            None => Self::Revoked,
        }
    }
}

impl Text for InvitationStatus {
    fn schema() -> serde_json::Value {
        serde_json::json!({"type": "string", "enum": Self::ALL.map(Self::name)})
    }

    fn parse(text: &str) -> Result<Self, Invalid> {
        Self::ALL.into_iter().find(|status| status.name() == text).ok_or_else(|| {
            let known = Self::ALL.map(Self::name).join(", ");
            Invalid::new("unknown_status", format!("must be one of {known}"))
        })
    }
}

mainstay_core::input! {
    /// Somebody to invite.
    pub struct NewInvitation {
        /// Their e-mail address.
        email: Email,
        /// What they become.
        role: MemberRole,
    }
}

/// An invitation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invitation {
    /// Names it.
    pub id: InvitationId,
    /// The organization, or the one whose website it is.
    pub organization_id: OrganizationId,
    /// The website. `None` if it is to the organization.
    pub website_id: Option<WebsiteId>,
    /// Who is invited, as given.
    pub email: String,
    /// The same, as addresses are compared.
    pub email_norm: String,
    /// What they become.
    pub role: MemberRole,
    /// How it stands now.
    pub status: InvitationStatus,
    /// The hash of its token.
    pub token_hash: String,
    /// How often it was sent; makes the token.
    pub sendings: i64,
    /// Who invited.
    pub invited_by: UserId,
    /// When.
    pub created_at: Timestamp,
    /// When it ends, or ended, if nobody answers.
    pub expires_at: Timestamp,
    /// When it was accepted, declined or revoked. `None` until then.
    pub decided_at: Option<Timestamp>,
    /// Counts its changes.
    pub version: i64,
}

/// An address of which only its owner sees more than a hint: `a…@example.com`.
#[must_use]
pub fn masked(email: &str) -> String {
    let (local, domain) = email.rsplit_once('@').unwrap_or((email, ""));
    let first: String = local.chars().take(1).collect();
    format!("{first}***@{domain}")
}

/// The orders that invitations are listed in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InvitationOrder {
    /// By when they were made.
    CreatedAt,
    /// By when they end.
    ExpiresAt,
    /// By address.
    Email,
}

impl Sorting for InvitationOrder {
    const ALL: &'static [(&'static str, Self)] =
        &[("created_at", Self::CreatedAt), ("expires_at", Self::ExpiresAt), ("email", Self::Email)];
    const DEFAULT: (Self, bool) = (Self::CreatedAt, true);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_invitation_that_nobody_answered_is_expired() {
        let at = Timestamp::from_millis;
        let status = |name, expires, now| InvitationStatus::from_row(name, at(expires), at(now));
        assert_eq!(status("pending", 10, 9), InvitationStatus::Pending);
        assert_eq!(status("pending", 10, 10), InvitationStatus::Expired);
        assert_eq!(status("accepted", 10, 99), InvitationStatus::Accepted);
        assert_eq!(status("of a later version", 10, 9), InvitationStatus::Revoked);
    }

    #[test]
    fn a_masked_address_tells_its_first_letter() {
        assert_eq!(masked("ada@example.com"), "a***@example.com");
        assert_eq!(masked("ü@example.com"), "ü***@example.com");
    }
}
