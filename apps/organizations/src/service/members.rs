//! Who belongs to an organization or a website.

use mainstay_app::{People as _, Person};
use mainstay_core::problem::STALE;
use mainstay_core::{Actor, Page, Paging, UserId};
use mainstay_db::WriteUnit;

use super::target::{Deed, Membership, Target};
use super::{Tenancy, Who, entry, subject};
use crate::domain::invitation::InvitationStatus;
use crate::domain::matrix::{Action, Outcome, Standing};
use crate::domain::role::{Member, MemberOrder, MemberRole};
use crate::error::OrganizationError;
use crate::events::{InvitationRevoked, MembershipChanged, MembershipRemoved, RevokeReason};
use crate::repo::access::{Asker, Place};
use crate::repo::{invitations, members};

/// A member with who they are. `None` if the account is gone.
#[derive(Clone, Debug)]
pub(crate) struct MemberView {
    pub(crate) member: Member,
    pub(crate) person: Option<Person>,
}

impl Tenancy {
    pub(crate) async fn list_members<T: Target>(
        &self,
        who: &Who,
        target: T,
        role: Option<MemberRole>,
        paging: &Paging<MemberOrder>,
    ) -> Result<Page<MemberView>, OrganizationError> {
        let access = target.access(self.db.primary(), who.asker, Deed::ListMembers).await?;
        self.note_reading(who, &access, "members").await?;
        self.page_of_members(&who.actor, &access, role, paging).await
    }

    /// One member, for those who may change what they are.
    pub(crate) async fn get_member<T: Target>(
        &self,
        who: &Who,
        target: T,
        user: UserId,
    ) -> Result<MemberView, OrganizationError> {
        let access = target.access(self.db.primary(), who.asker, Deed::ChangeMember).await?;
        self.note_reading(who, &access, "members").await?;
        let member = members::find(self.db.primary(), &access, user).await?;
        self.shown(member.ok_or(OrganizationError::MemberNotFound)?).await
    }

    /// Three queries, however many members the page has.
    async fn page_of_members(
        &self,
        actor: &Actor,
        place: &impl Place,
        role: Option<MemberRole>,
        paging: &Paging<MemberOrder>,
    ) -> Result<Page<MemberView>, OrganizationError> {
        let page = members::list(self.db.read(actor), place, role, paging).await?;
        let ids: Vec<_> = page.items.iter().map(|member| member.user_id).collect();
        let mut people = self.people.people(None, &ids).await?;
        Ok(page.map(|member| MemberView { person: people.remove(&member.user_id), member }))
    }

    /// Gives a member another role. `seen` is the one that the change was meant for, where that is known.
    pub(crate) async fn change_member<T: Target>(
        &self,
        who: &Who,
        target: T,
        user: UserId,
        role: MemberRole,
        seen: Option<MemberRole>,
    ) -> Result<MemberView, OrganizationError> {
        let unit = self.db.write(&who.actor).await?;
        let access = target.access_in(&unit, who.asker, Deed::ChangeMember).await?;
        if let Some(seen) = seen
            && members::find(&unit, &access, user).await?.is_some_and(|member| member.role != seen)
        {
            return Err(OrganizationError::Refused(STALE.because("The member has another role by now.")));
        }
        let member = self.change_role(&unit, &access, user, role).await?;
        unit.commit().await?;
        self.shown(member).await
    }

    async fn shown(&self, member: Member) -> Result<MemberView, OrganizationError> {
        let person = self.people.people(None, &[member.user_id]).await?.remove(&member.user_id);
        Ok(MemberView { member, person })
    }

    pub(crate) async fn remove_member<T: Target>(
        &self,
        who: &Who,
        target: T,
        user: UserId,
    ) -> Result<(), OrganizationError> {
        let unit = self.db.write(&who.actor).await?;
        let access = target.access_in(&unit, who.asker, Deed::RemoveMember).await?;
        self.remove(&unit, &access, user).await?;
        Ok(unit.commit().await?)
    }

    pub(crate) async fn leave<T: Target>(&self, who: &Who, target: T) -> Result<(), OrganizationError> {
        let unit = self.db.write(&who.actor).await?;
        let access = target.access_in(&unit, by_themselves(who), Deed::Leave).await?;
        self.remove(&unit, &access, who.asker.user_id).await?;
        Ok(unit.commit().await?)
    }

    pub(super) async fn change_role(
        &self,
        unit: &WriteUnit,
        access: &impl Membership,
        user_id: UserId,
        role: MemberRole,
    ) -> Result<Member, OrganizationError> {
        let member = members::find(unit, access, user_id).await?.ok_or(OrganizationError::MemberNotFound)?;
        if member.role == role {
            return Ok(member);
        }
        if member.role == MemberRole::Admin {
            access.may_lose_admin(unit, user_id).await?;
        }
        members::set_role(unit, access, user_id, role).await?;
        self.tell_changed(unit, access, member, role);
        self.revoke_without_right(unit, access, user_id).await?;
        Ok(Member { role, ..member })
    }

    pub(super) fn tell_changed(
        &self,
        unit: &WriteUnit,
        place: &impl Place,
        before: Member,
        role: MemberRole,
    ) {
        let changed = entry("membership.changed", subject(place), place).note("user_id", before.user_id);
        unit.audit(changed.changed("role", &before.role, &role));
        unit.emit(&MembershipChanged {
            organization_id: place.organization_id(),
            website_id: place.website_id(),
            user_id: before.user_id,
            before: before.role,
            role,
        });
    }

    pub(super) async fn remove(
        &self,
        unit: &WriteUnit,
        access: &impl Membership,
        user_id: UserId,
    ) -> Result<(), OrganizationError> {
        let member = members::find(unit, access, user_id).await?.ok_or(OrganizationError::MemberNotFound)?;
        if member.role == MemberRole::Admin {
            access.may_lose_admin(unit, user_id).await?;
        }
        members::remove(unit, access, user_id).await?;
        let removed = entry("membership.removed", subject(access), access).note("user_id", user_id);
        unit.audit(removed.changed("role", &Some(member.role), &None));
        unit.emit(&MembershipRemoved {
            organization_id: access.organization_id(),
            website_id: access.website_id(),
            user_id,
        });
        self.revoke_without_right(unit, access, user_id).await
    }

    /// Takes back what somebody invited to who may not invite there any more.
    async fn revoke_without_right(
        &self,
        unit: &WriteUnit,
        place: &impl Place,
        inviter: UserId,
    ) -> Result<(), OrganizationError> {
        let now = self.now();
        let pending = invitations::pending_by(unit, place, inviter, now).await?;
        if pending.is_empty() {
            return Ok(());
        }
        let in_organization = members::organization_role(unit, place, inviter).await?;
        let on_websites = members::website_roles(unit, place, inviter).await?;
        for invitation in pending {
            let on_website = on_websites.iter().find(|(id, _)| Some(*id) == invitation.website_id);
            let standings: Vec<_> = in_organization
                .map(Standing::in_organization)
                .into_iter()
                .chain(on_website.map(|(_, role)| Standing::of_website(*role)))
                .collect();
            let action = match invitation.website_id {
                None => Action::Invite,
                Some(_) => Action::InviteToWebsite,
            };
            if action.outcome(&standings) == Outcome::Allow {
                continue;
            }
            invitations::decide(unit, place, &invitation, InvitationStatus::Revoked, now).await?;
            let revoked = entry("invitation.revoked", format!("invitation/{}", invitation.id), place)
                .changed("status", &InvitationStatus::Pending, &InvitationStatus::Revoked)
                .note("reason", RevokeReason::InviterLostRole);
            unit.audit(revoked);
            unit.emit(&InvitationRevoked {
                invitation_id: invitation.id,
                organization_id: invitation.organization_id,
                website_id: invitation.website_id,
                reason: RevokeReason::InviterLostRole,
            });
        }
        Ok(())
    }
}

/// Nobody leaves by a right that they have everywhere: only where they are a member.
fn by_themselves(who: &Who) -> Asker {
    Asker { is_system_admin: false, ..who.asker }
}
