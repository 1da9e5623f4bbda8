//! Invitations: `pending` → accepted, declined, revoked or expired. Sending one again makes it pending once
//! more if it has expired.

use mainstay_app::{Email, People as _, Person};
use mainstay_core::{Actor, Page, Paging, Timestamp, UserId};
use mainstay_db::{WriteUnit, unique_violation};
use sea_orm::DbErr;

use super::organizations::is_for;
use super::target::{Deed, Target};
use super::{Tenancy, Who, entry};
use crate::domain::InvitationId;
use crate::domain::invitation::{Invitation, InvitationOrder, InvitationStatus, LIFE, NewInvitation, masked};
use crate::domain::role::MemberRole;
use crate::domain::token::token_hash;
use crate::error::OrganizationError;
use crate::events::{
    InvitationAccepted, InvitationCreated, InvitationDeclined, InvitationResent, InvitationRevoked,
    MembershipAdded, RevokeReason,
};
use crate::repo::access::{self, Place, TokenAccess};
use crate::repo::{invitations, members, organizations, websites};

/// An invitation with its secret, for the one who invites.
#[derive(Clone, Debug)]
pub(crate) struct MadeInvitation {
    pub(crate) invitation: Invitation,
    pub(crate) token: String,
    /// What to give to the invited.
    pub(crate) link: String,
}

/// An invitation as the invited sees it.
#[derive(Clone, Debug)]
pub(crate) struct Invited {
    pub(crate) organization: String,
    pub(crate) website: Option<String>,
    pub(crate) role: MemberRole,
    /// Their address, of which a stranger with the link sees only a hint.
    pub(crate) email: String,
    /// Who invited, as they call themselves. `None` if the account is gone.
    pub(crate) inviter: Option<String>,
    pub(crate) status: InvitationStatus,
    pub(crate) expires_at: Timestamp,
}

impl Tenancy {
    /// Invites to an organization or a website. Leaves the unit open.
    pub(crate) async fn invite<T: Target>(
        &self,
        unit: &WriteUnit,
        who: &Who,
        target: T,
        new: NewInvitation,
    ) -> Result<MadeInvitation, OrganizationError> {
        let access = target.access_in(unit, who.asker, Deed::Invite).await?;
        self.invite_to(unit, &access, who.asker.user_id, new).await
    }

    /// The same in a unit of its own.
    pub(crate) async fn invite_now<T: Target>(
        &self,
        who: &Who,
        target: T,
        new: NewInvitation,
    ) -> Result<MadeInvitation, OrganizationError> {
        let unit = self.db.write(&who.actor).await?;
        let made = self.invite(&unit, who, target, new).await?;
        unit.commit().await?;
        Ok(made)
    }

    async fn invite_to(
        &self,
        unit: &WriteUnit,
        place: &impl Place,
        invited_by: UserId,
        new: NewInvitation,
    ) -> Result<MadeInvitation, OrganizationError> {
        let now = self.now();
        let NewInvitation { email, role } = new;
        if let Some(person) = self.people.find_by_email(Some(unit), &email).await?
            && members::find(unit, place, person.id).await?.is_some()
        {
            return Err(OrganizationError::AlreadyMember);
        }
        invitations::mark_expired(unit, place, &email.normalized(), now).await?;
        let id: InvitationId = self.ids.make();
        let token = self.tokens.of(id, 1);
        let invitation = Invitation {
            id,
            organization_id: place.organization_id(),
            website_id: place.website_id(),
            email: email.as_str().to_owned(),
            email_norm: email.normalized(),
            role,
            status: InvitationStatus::Pending,
            token_hash: token_hash(&token),
            sendings: 1,
            invited_by,
            created_at: now,
            expires_at: now.after(LIFE),
            decided_at: None,
            version: 1,
        };
        invitations::insert(unit, place, &invitation).await.map_err(pending)?;
        let created = entry("invitation.created", named(id), place)
            .set("email", &invitation.email)
            .set("role", role)
            .set("expires_at", invitation.expires_at)
            .note("website_id", place.website_id());
        unit.audit(created);
        unit.emit(&InvitationCreated {
            invitation_id: id,
            organization_id: invitation.organization_id,
            website_id: invitation.website_id,
            role,
            invited_by,
            expires_at: invitation.expires_at,
            sendings: 1,
        });
        Ok(self.made(invitation))
    }

    fn made(&self, invitation: Invitation) -> MadeInvitation {
        let token = self.tokens.of(invitation.id, invitation.sendings);
        let link = format!("{}{}", self.public_url, link(&token));
        MadeInvitation { invitation, token, link }
    }

    pub(crate) async fn list_invitations<T: Target>(
        &self,
        who: &Who,
        target: T,
        status: Option<InvitationStatus>,
        paging: &Paging<InvitationOrder>,
    ) -> Result<Page<Invitation>, OrganizationError> {
        let access = target.access(self.db.primary(), who.asker, Deed::ListInvitations).await?;
        self.note_reading(who, &access, "invitations").await?;
        Ok(invitations::list(self.db.read(&who.actor), &access, status, paging, self.now()).await?)
    }

    /// One invitation, with its link. Who may see it may send it again, so the link tells them nothing new.
    pub(crate) async fn get_invitation<T: Target>(
        &self,
        who: &Who,
        target: T,
        id: InvitationId,
    ) -> Result<MadeInvitation, OrganizationError> {
        let access = target.access(self.db.primary(), who.asker, Deed::ListInvitations).await?;
        self.note_reading(who, &access, "invitations").await?;
        let found = invitations::find(self.db.primary(), &access, id, self.now()).await?;
        Ok(self.made(found.ok_or(OrganizationError::InvitationNotFound)?))
    }

    pub(crate) async fn revoke_invitation<T: Target>(
        &self,
        who: &Who,
        target: T,
        id: InvitationId,
    ) -> Result<(), OrganizationError> {
        let unit = self.db.write(&who.actor).await?;
        let access = target.access_in(&unit, who.asker, Deed::RevokeInvitation).await?;
        self.revoke(&unit, &access, id).await?;
        Ok(unit.commit().await?)
    }

    async fn revoke(
        &self,
        unit: &WriteUnit,
        place: &impl Place,
        id: InvitationId,
    ) -> Result<(), OrganizationError> {
        let now = self.now();
        let invitation = invitations::find(unit, place, id, now).await?;
        let invitation = invitation.ok_or(OrganizationError::InvitationNotFound)?;
        let undecided = matches!(invitation.status, InvitationStatus::Pending | InvitationStatus::Expired);
        if !undecided
            || !invitations::decide(unit, place, &invitation, InvitationStatus::Revoked, now).await?
        {
            return Err(OrganizationError::InvitationDecided);
        }
        let revoked = entry("invitation.revoked", named(id), place);
        unit.audit(revoked.changed("status", &invitation.status, &InvitationStatus::Revoked));
        unit.emit(&InvitationRevoked {
            invitation_id: id,
            organization_id: place.organization_id(),
            website_id: place.website_id(),
            reason: RevokeReason::Revoked,
        });
        Ok(())
    }

    pub(crate) async fn resend_invitation<T: Target>(
        &self,
        who: &Who,
        target: T,
        id: InvitationId,
    ) -> Result<MadeInvitation, OrganizationError> {
        let unit = self.db.write(&who.actor).await?;
        let access = target.access_in(&unit, who.asker, Deed::ResendInvitation).await?;
        let made = self.resend(&unit, &access, who.asker.user_id, id).await?;
        unit.commit().await?;
        Ok(made)
    }

    async fn resend(
        &self,
        unit: &WriteUnit,
        place: &impl Place,
        sender: UserId,
        id: InvitationId,
    ) -> Result<MadeInvitation, OrganizationError> {
        let now = self.now();
        let before = invitations::find(unit, place, id, now).await?;
        let before = before.ok_or(OrganizationError::InvitationNotFound)?;
        if !matches!(before.status, InvitationStatus::Pending | InvitationStatus::Expired) {
            return Err(OrganizationError::InvitationDecided);
        }
        let sendings = before.sendings + 1;
        let renewed = Invitation {
            status: InvitationStatus::Pending,
            token_hash: token_hash(&self.tokens.of(id, sendings)),
            sendings,
            // Who sends it answers for it: it is theirs to lose with their role.
            invited_by: sender,
            expires_at: now.after(LIFE),
            version: before.version + 1,
            ..before.clone()
        };
        invitations::renew(unit, place, &renewed).await.map_err(pending)?;
        let resent = entry("invitation.resent", named(id), place)
            .changed("status", &before.status, &renewed.status)
            .changed("expires_at", &before.expires_at, &renewed.expires_at)
            .changed_secret("token");
        unit.audit(resent);
        unit.emit(&InvitationResent {
            invitation_id: id,
            organization_id: renewed.organization_id,
            website_id: renewed.website_id,
            expires_at: renewed.expires_at,
            sendings,
        });
        Ok(self.made(renewed))
    }

    /// What the invitation with this token is for.
    pub(crate) async fn preview(&self, token: &str) -> Result<Invited, OrganizationError> {
        let primary = self.db.primary();
        let access = access::token(primary, &token_hash(token), self.now()).await?;
        let invitation = access.invitation();
        let inviter =
            self.people.people(None, &[invitation.invited_by]).await?.remove(&invitation.invited_by);
        Ok(Invited {
            organization: organizations::name_of(primary, &access).await?,
            website: websites::name_of(primary, &access).await?,
            role: invitation.role,
            email: masked(&invitation.email),
            inviter: inviter.map(called),
            status: invitation.status,
            expires_at: invitation.expires_at,
        })
    }

    /// Makes the person a member, if the invitation is for their proven address.
    pub(crate) async fn accept(&self, who: &Who, token: &str) -> Result<Invitation, OrganizationError> {
        let unit = self.db.write(&who.actor).await?;
        let access = access::token_in(&unit, &token_hash(token), self.now()).await?;
        // Held, so that an account that is being removed joins nothing any more.
        let person = self.people.hold(&unit, who.asker.user_id).await?;
        let person = person.filter(|person| is_theirs(&access, person));
        let person = person.ok_or(OrganizationError::ForAnotherAddress)?;
        if !person.email_verified {
            return Err(OrganizationError::AddressNotVerified);
        }
        self.join(&unit, &access, person.id).await?;
        unit.commit().await?;
        Ok(access.invitation().clone())
    }

    /// Makes somebody a member whose address the invitation is for. A member already stays one, with the
    /// stronger of the two roles.
    pub(super) async fn join(
        &self,
        unit: &WriteUnit,
        access: &TokenAccess,
        user_id: UserId,
    ) -> Result<(), OrganizationError> {
        let (invitation, now) = (access.invitation(), self.now());
        if !access.decide(unit, InvitationStatus::Accepted, now).await? {
            return Err(OrganizationError::TokenInvalid);
        }
        let (organization_id, website_id) = (access.organization_id(), access.website_id());
        let accepted = entry("invitation.accepted", named(invitation.id), access)
            .changed("status", &InvitationStatus::Pending, &InvitationStatus::Accepted)
            .note("user_id", user_id);
        unit.audit(accepted);
        let invited_by = invitation.invited_by;
        let invitation_id = invitation.id;
        unit.emit(&InvitationAccepted { invitation_id, organization_id, website_id, user_id, invited_by });
        match members::find(unit, access, user_id).await? {
            None => {
                members::add(unit, access, user_id, invitation.role, now).await?;
                let added =
                    entry("membership.added", super::subject(access), access).note("user_id", user_id);
                unit.audit(added.set("role", invitation.role));
                unit.emit(&MembershipAdded { organization_id, website_id, user_id, role: invitation.role });
            }
            Some(member) if member.role < invitation.role => {
                members::set_role(unit, access, user_id, invitation.role).await?;
                self.tell_changed(unit, access, member, invitation.role);
            }
            Some(_) => {}
        }
        Ok(())
    }

    /// Says no. Whoever has the link may; somebody else's account may not by accident.
    pub(crate) async fn decline(
        &self,
        actor: &Actor,
        by: Option<UserId>,
        token: &str,
    ) -> Result<(), OrganizationError> {
        let unit = self.db.write(actor).await?;
        let access = access::token_in(&unit, &token_hash(token), self.now()).await?;
        if let Some(user) = by {
            let person = self.people.people(Some(&unit), &[user]).await?.remove(&user);
            if !person.is_some_and(|person| is_theirs(&access, &person)) {
                return Err(OrganizationError::ForAnotherAddress);
            }
        }
        if !access.decide(&unit, InvitationStatus::Declined, self.now()).await? {
            return Err(OrganizationError::TokenInvalid);
        }
        let invitation_id = access.invitation().id;
        let declined = entry("invitation.declined", named(invitation_id), &access);
        unit.audit(declined.changed("status", &InvitationStatus::Pending, &InvitationStatus::Declined));
        unit.emit(&InvitationDeclined {
            invitation_id,
            organization_id: access.organization_id(),
            website_id: access.website_id(),
        });
        Ok(unit.commit().await?)
    }
}

/// Where the link of an invitation leads, under the installation's public URL.
pub(crate) fn link(token: &str) -> String {
    format!("/console/invitations/accept?token={token}")
}

/// What a person is called.
pub(crate) fn called(person: Person) -> String {
    person.name.unwrap_or(person.username)
}

fn is_theirs(access: &TokenAccess, person: &Person) -> bool {
    Email::parse(&person.email).is_ok_and(|email| is_for(access, &email))
}

fn named(id: InvitationId) -> String {
    format!("invitation/{id}")
}

fn pending(error: DbErr) -> OrganizationError {
    let taken = |place| unique_violation(&error, "invitations", &[place, "email_norm"]);
    if taken("organization_id") || taken("website_id") {
        OrganizationError::InvitationPending
    } else {
        error.into()
    }
}
