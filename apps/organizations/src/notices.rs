//! The consumer that writes to people about invitations.

use async_trait::async_trait;
use mainstay_app::People as _;
use mainstay_core::Event;
use mainstay_db::WriteUnit;
use mainstay_events::{BoxError, Handle};
use mainstay_mail::{Mails, NewMail, Recipient};

use crate::domain::InvitationId;
use crate::domain::role::MemberRole;
use crate::events::{InvitationAccepted, InvitationCreated, InvitationResent};
use crate::letters::{Accepted, Invitation, Invited};
use crate::repo::access::{self, Place};
use crate::repo::{members, organizations, websites};
use crate::service::{Tenancy, called, link};

/// Kinds of events that people get a mail about.
pub(crate) const KINDS: &[&str] = &["invitation.created", "invitation.resent", "invitation.accepted"];

pub(crate) struct Notices {
    pub(crate) tenancy: Tenancy,
    pub(crate) mails: Mails,
}

#[async_trait]
impl Handle for Notices {
    async fn handle(&self, unit: &WriteUnit, event: &Event) -> Result<(), BoxError> {
        if let Some(InvitationCreated { invitation_id, sendings, .. }) = event.read()? {
            self.send(unit, event, invitation_id, sendings).await
        } else if let Some(InvitationResent { invitation_id, sendings, .. }) = event.read()? {
            self.send(unit, event, invitation_id, sendings).await
        } else if let Some(accepted) = event.read::<InvitationAccepted>()? {
            self.tell_inviter(unit, event, accepted).await
        } else {
            Ok(())
        }
    }
}

impl Notices {
    /// Sends an invitation, unless it was decided or sent again since.
    async fn send(
        &self,
        unit: &WriteUnit,
        event: &Event,
        id: InvitationId,
        sendings: i64,
    ) -> Result<(), BoxError> {
        let Some(access) = access::pending(unit, id, self.tenancy.now()).await? else { return Ok(()) };
        let invitation = access.invitation();
        if invitation.sendings != sendings {
            return Ok(());
        }
        let inviter = self.tenancy.people.people(Some(unit), &[invitation.invited_by]).await?;
        let token = self.tenancy.tokens.of(id, sendings);
        let letter = Invitation {
            to: self.invited(unit, &access, invitation.role).await?,
            address: invitation.email.clone(),
            inviter: inviter.into_values().next().map(called),
            link: link(&token),
            token,
            until: invitation.expires_at.to_string(),
        };
        let recipient = Recipient { name: None, address: invitation.email.clone() };
        let mail = NewMail { cause: event.id, recipient, reference: None, confidential: true };
        self.mails.queue(unit, mail, &letter).await?;
        Ok(())
    }

    async fn tell_inviter(
        &self,
        unit: &WriteUnit,
        event: &Event,
        accepted: InvitationAccepted,
    ) -> Result<(), BoxError> {
        let InvitationAccepted { invitation_id, user_id, invited_by, .. } = accepted;
        let Some(access) = access::accepted(unit, invitation_id, self.tenancy.now()).await? else {
            return Ok(());
        };
        let mut people = self.tenancy.people.people(Some(unit), &[invited_by, user_id]).await?;
        let (Some(inviter), Some(guest)) = (people.remove(&invited_by), people.remove(&user_id)) else {
            return Ok(());
        };
        let Some(member) = members::find(unit, &access, user_id).await? else { return Ok(()) };
        let recipient = Recipient { name: inviter.name.clone(), address: inviter.email.clone() };
        let letter = Accepted {
            to: self.invited(unit, &access, member.role).await?,
            inviter: called(inviter),
            guest: called(guest),
        };
        let mail = NewMail { cause: event.id, recipient, reference: None, confidential: false };
        self.mails.queue(unit, mail, &letter).await?;
        Ok(())
    }

    async fn invited(
        &self,
        unit: &WriteUnit,
        place: &impl Place,
        role: MemberRole,
    ) -> Result<Invited, BoxError> {
        Ok(Invited {
            organization: organizations::name_of(unit, place).await?,
            website: websites::name_of(unit, place).await?,
            role,
        })
    }
}
