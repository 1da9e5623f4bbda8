//! Organizations, and what belongs to an account that comes or goes.

use mainstay_app::{Email, NewAccount, People as _};
use mainstay_core::{AuditEntry, Page, Paging, Patch, UserId, text};
use mainstay_db::WriteUnit;
use mainstay_events::AuditLog;
use mainstay_http::{ETag, IfMatch};

use super::{Looked, Tenancy, Who, entry, subject};
use crate::domain::OrganizationId;
use crate::domain::invitation::InvitationStatus;
use crate::domain::matrix::Action;
use crate::domain::organization::{
    Name, NewOrganization, Organization, OrganizationOrder, OrganizationPatch, Standing,
};
use crate::domain::role::MemberRole;
use crate::domain::token::{looks_like_ours, token_hash};
use crate::error::OrganizationError;
use crate::events::{
    InvitationRevoked, MembershipAdded, OrganizationCreated, OrganizationDeleted, OrganizationUpdated,
    RevokeReason, WebsiteDeleted,
};
use crate::repo::access::{self, Asker, OrgAccess, OwnAccess, Place as _};
use crate::repo::{invitations, members, organizations, websites};

impl Tenancy {
    /// An organization of the person's own.
    pub(crate) async fn create(
        &self,
        who: &Who,
        new: NewOrganization,
    ) -> Result<Standing<Organization>, OrganizationError> {
        let unit = self.db.write(&who.actor).await?;
        let of = self.found(&unit, who.asker.user_id, new.name.as_str()).await?;
        unit.commit().await?;
        Ok(Standing { of, role: Some(MemberRole::Admin) })
    }

    /// The same in a unit of the caller's.
    pub(crate) async fn found(
        &self,
        unit: &WriteUnit,
        user_id: UserId,
        name: &str,
    ) -> Result<Organization, OrganizationError> {
        let id: OrganizationId = self.ids.make();
        let organization = organizations::found(unit, OwnAccess::of(user_id), id, name, self.now()).await?;
        let created = AuditEntry::new("organization.created", format!("organization/{id}"));
        unit.audit(created.set("name", name).note("admin", user_id));
        unit.emit(&OrganizationCreated { organization_id: id, name: name.to_owned(), created_by: user_id });
        let role = MemberRole::Admin;
        unit.emit(&MembershipAdded { organization_id: id, website_id: None, user_id, role });
        Ok(organization)
    }

    /// A page of the person's organizations, and what they are in each. Three queries, however many.
    pub(crate) async fn list(
        &self,
        who: &Who,
        paging: &Paging<OrganizationOrder>,
    ) -> Result<Page<Standing<Organization>>, OrganizationError> {
        let own = OwnAccess::of(who.asker.user_id);
        // Who is a member decides what is shown: a replica may not know of a removal yet.
        let page = organizations::list_own(self.db.primary(), own, paging).await?;
        let ids: Vec<_> = page.items.iter().map(|organization| organization.id).collect();
        let roles = organizations::own_roles(self.db.primary(), own, &ids).await?;
        Ok(page.map(|of| Standing { role: roles.get(&of.id).copied(), of }))
    }

    pub(crate) async fn get(
        &self,
        who: &Who,
        id: OrganizationId,
    ) -> Result<Standing<Organization>, OrganizationError> {
        Ok(self.look(who, id).await?.into())
    }

    /// The same, with what else they may do there.
    pub(crate) async fn look(
        &self,
        who: &Who,
        id: OrganizationId,
    ) -> Result<Looked<Organization>, OrganizationError> {
        let access = access::organization(self.db.primary(), who.asker, id, Action::ReadOrganization).await?;
        self.note_reading(who, &access, "organization").await?;
        let of = organizations::get(self.db.primary(), &access).await?;
        Ok(Looked { of: of.ok_or(OrganizationError::OrganizationNotFound)?, rights: access.rights() })
    }

    pub(crate) async fn update(
        &self,
        who: &Who,
        id: OrganizationId,
        if_match: &IfMatch,
        patch: OrganizationPatch,
    ) -> Result<Standing<Organization>, OrganizationError> {
        let unit = self.db.write(&who.actor).await?;
        let access = access::organization_in(&unit, who.asker, id, Action::UpdateOrganization).await?;
        let before = present(&unit, &access).await?;
        if_match.check(ETag(before.version))?;
        let mut of = before.clone();
        if let Patch::Set(name) = patch.name {
            of.name = name.into_string();
        }
        if of != before {
            of.version += 1;
            of.updated_at = self.now();
            organizations::rename(&unit, &access, &of.name, of.updated_at).await?;
            let updated = entry("organization.updated", subject(&access), &access);
            unit.audit(updated.changed("name", &before.name, &of.name));
            unit.emit(&OrganizationUpdated { organization_id: id, name: of.name.clone() });
            unit.commit().await?;
        }
        Ok(Standing { of, role: access.role() })
    }

    /// Deletes an organization with all that belongs to it, if `confirm` is its name.
    pub(crate) async fn delete(
        &self,
        who: &Who,
        id: OrganizationId,
        if_match: &IfMatch,
        confirm: &str,
    ) -> Result<(), OrganizationError> {
        let unit = self.db.write(&who.actor).await?;
        let access = access::organization_in(&unit, who.asker, id, Action::DeleteOrganization).await?;
        let organization = present(&unit, &access).await?;
        if_match.check(ETag(organization.version))?;
        if text::clean_line(confirm) != organization.name {
            return Err(OrganizationError::NotConfirmed);
        }
        self.dissolve(&unit, &access, &organization).await?;
        Ok(unit.commit().await?)
    }

    async fn dissolve(
        &self,
        unit: &WriteUnit,
        access: &OrgAccess,
        organization: &Organization,
    ) -> Result<(), OrganizationError> {
        let website_ids = websites::ids(unit, access).await?;
        organizations::delete(unit, access).await?;
        let deleted = entry("organization.deleted", subject(access), access)
            .changed("name", &Some(&organization.name), &None)
            .note("websites", &website_ids);
        unit.audit(deleted);
        let organization_id = organization.id;
        for website_id in website_ids {
            unit.emit(&WebsiteDeleted { website_id, organization_id });
        }
        unit.emit(&OrganizationDeleted { organization_id, name: organization.name.clone() });
        Ok(())
    }

    /// Whether `token` is a pending invitation to this address.
    pub(crate) async fn invites(&self, token: &str, email: &str) -> Result<bool, OrganizationError> {
        match access::token(self.db.primary(), &token_hash(token), self.now()).await {
            Ok(access) => Ok(Email::parse(email).is_ok_and(|email| is_for(&access, &email))),
            Err(OrganizationError::TokenInvalid) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// What a new account belongs to: what it was invited to, or an organization of its own.
    pub(crate) async fn welcome(
        &self,
        unit: &WriteUnit,
        account: &NewAccount<'_>,
    ) -> Result<(), OrganizationError> {
        let mut joined_organization = false;
        // Identity has invitations too; those are of another form and not ours to judge.
        if let Some(token) = account.invitation_token.filter(|token| looks_like_ours(token)) {
            let access = access::token_in(unit, &token_hash(token), self.now()).await?;
            if !Email::parse(account.email).is_ok_and(|email| is_for(&access, &email)) {
                return Err(OrganizationError::TokenInvalid);
            }
            self.join(unit, &access, account.id).await?;
            joined_organization = access.website_id().is_none();
        }
        let name = match account.organization_name {
            Some(name) => Name::parse(name).map_err(|fault| {
                let faults = mainstay_core::Faults::one("organization_name", fault.code, fault.message);
                OrganizationError::Refused(faults.into())
            })?,
            None if joined_organization => return Ok(()),
            None => Name::of_owner(account.username),
        };
        self.found(unit, account.id, name.as_str()).await?;
        Ok(())
    }

    /// Takes an account out of everything. An organization of its own goes with it.
    pub(crate) async fn farewell(&self, unit: &WriteUnit, user: UserId) -> Result<(), OrganizationError> {
        let (own, now) = (OwnAccess::of(user), self.now());
        let asker = Asker { user_id: user, is_system_admin: false };
        for id in organizations::all_own(unit, own).await? {
            let access = access::organization_in(unit, asker, id, Action::LeaveOrganization).await?;
            let (others, _) = members::others(unit, &access, user).await?;
            if others == 0 {
                let organization = present(unit, &access).await?;
                self.dissolve(unit, &access, &organization).await?;
                // It may be named after the person.
                AuditLog::erase_changes(unit, &subject(&access)).await?;
            } else {
                self.remove(unit, &access, user).await?;
            }
        }
        for id in members::own_websites(unit, own).await? {
            let access = access::website_in(unit, asker, id, Action::LeaveWebsite).await?;
            self.remove(unit, &access, user).await?;
        }
        // After the organizations, in the order in which an acceptance holds them too.
        let Some(person) = self.people.hold(unit, user).await? else { return Ok(()) };
        let Ok(email) = Email::parse(&person.email) else { return Ok(()) };
        for invitation in invitations::to_address(unit, own, &email.normalized(), now).await? {
            if invitation.status == InvitationStatus::Pending {
                unit.emit(&InvitationRevoked {
                    invitation_id: invitation.id,
                    organization_id: invitation.organization_id,
                    website_id: invitation.website_id,
                    reason: RevokeReason::AccountRemoved,
                });
            }
            AuditLog::erase_changes(unit, &format!("invitation/{}", invitation.id)).await?;
        }
        invitations::forget_address(unit, own, &email.normalized()).await?;
        Ok(())
    }
}

/// Whether an invitation is for this address.
pub(super) fn is_for(access: &access::TokenAccess, email: &Email) -> bool {
    access.invitation().email_norm == email.normalized()
}

async fn present(unit: &WriteUnit, access: &OrgAccess) -> Result<Organization, OrganizationError> {
    organizations::get(unit, access).await?.ok_or(OrganizationError::OrganizationNotFound)
}
