//! Websites.

use std::collections::HashMap;

use mainstay_core::{Page, Paging};
use mainstay_db::unique_violation;
use mainstay_http::{ETag, IfMatch};
use sea_orm::DbErr;

use super::{Looked, Tenancy, Who, entry, subject};
use crate::domain::matrix::Action;
use crate::domain::organization::Standing;
use crate::domain::website::{Description, NewWebsite, Website, WebsiteOrder, WebsitePatch};
use crate::domain::{OrganizationId, WebsiteId};
use crate::error::OrganizationError;
use crate::events::{WebsiteCreated, WebsiteDeleted, WebsiteUpdated};
use crate::repo::access::{self, OwnAccess};
use crate::repo::{members, organizations, websites};

impl Tenancy {
    pub(crate) async fn create_website(
        &self,
        who: &Who,
        organization_id: OrganizationId,
        new: NewWebsite,
    ) -> Result<Standing<Website>, OrganizationError> {
        let now = self.now();
        let unit = self.db.write(&who.actor).await?;
        let access =
            access::organization_in(&unit, who.asker, organization_id, Action::CreateWebsite).await?;
        let NewWebsite { name, url, description } = new;
        let website = Website {
            id: self.ids.make(),
            organization_id,
            name: name.into_string(),
            url: url.as_str().to_owned(),
            description: description.map(Description::into_string),
            created_by: who.asker.user_id,
            version: 1,
            created_at: now,
            updated_at: now,
        };
        websites::insert(&unit, &access, &website).await.map_err(taken)?;
        let created = entry("website.created", format!("website/{}", website.id), &access)
            .set("name", &website.name)
            .set("url", &website.url)
            .set("description", &website.description);
        unit.audit(created);
        unit.emit(&WebsiteCreated {
            website_id: website.id,
            organization_id,
            name: website.name.clone(),
            url: website.url.clone(),
        });
        unit.commit().await?;
        Ok(Standing { of: website, role: access.role() })
    }

    /// A page of the organization's websites, and what the one who asks is on each: the stronger of
    /// their roles. Four queries, however many.
    pub(crate) async fn list_websites(
        &self,
        who: &Who,
        organization_id: OrganizationId,
        paging: &Paging<WebsiteOrder>,
    ) -> Result<Page<Standing<Website>>, OrganizationError> {
        let primary = self.db.primary();
        let access = access::organization(primary, who.asker, organization_id, Action::ListWebsites).await?;
        self.note_reading(who, &access, "websites").await?;
        let page = websites::list(self.db.read(&who.actor), &access, paging).await?;
        let own: HashMap<_, _> =
            members::website_roles(primary, &access, who.asker.user_id).await?.into_iter().collect();
        Ok(page.map(|of| Standing { role: access.role().max(own.get(&of.id).copied()), of }))
    }

    /// A page of the websites that the person can see, wherever their role comes from; or of those
    /// that were shared with them alone, where they are nothing in the organization. Four queries.
    pub(crate) async fn list_own_websites(
        &self,
        who: &Who,
        shared_only: bool,
        paging: &Paging<WebsiteOrder>,
    ) -> Result<Page<Standing<Website>>, OrganizationError> {
        let (own, connection) = (OwnAccess::of(who.asker.user_id), self.db.primary());
        let page = if shared_only {
            websites::list_shared(connection, own, paging).await?
        } else {
            websites::list_own(connection, own, paging).await?
        };
        let ids: Vec<_> = page.items.iter().map(|website| website.id).collect();
        let mut owners: Vec<_> = page.items.iter().map(|website| website.organization_id).collect();
        owners.sort_unstable();
        owners.dedup();
        let on_website = websites::own_roles(connection, own, &ids).await?;
        let in_organization = organizations::own_roles(connection, own, &owners).await?;
        Ok(page.map(|of| {
            let role = on_website.get(&of.id).max(in_organization.get(&of.organization_id)).copied();
            Standing { role, of }
        }))
    }

    pub(crate) async fn get_website(
        &self,
        who: &Who,
        id: WebsiteId,
    ) -> Result<Standing<Website>, OrganizationError> {
        Ok(self.look_at_website(who, id).await?.into())
    }

    /// The same, with what else they may do with it.
    pub(crate) async fn look_at_website(
        &self,
        who: &Who,
        id: WebsiteId,
    ) -> Result<Looked<Website>, OrganizationError> {
        let access = access::website(self.db.primary(), who.asker, id, Action::ReadWebsite).await?;
        self.note_reading(who, &access, "website").await?;
        let of = websites::get(self.db.primary(), &access).await?;
        Ok(Looked { of: of.ok_or(OrganizationError::WebsiteNotFound)?, rights: access.rights() })
    }

    pub(crate) async fn update_website(
        &self,
        who: &Who,
        id: WebsiteId,
        if_match: &IfMatch,
        patch: WebsitePatch,
    ) -> Result<Standing<Website>, OrganizationError> {
        let unit = self.db.write(&who.actor).await?;
        let access = access::website_in(&unit, who.asker, id, Action::UpdateWebsite).await?;
        let before = websites::get(&unit, &access).await?.ok_or(OrganizationError::WebsiteNotFound)?;
        if_match.check(ETag(before.version))?;
        let mut of = before.patched(patch);
        if of != before {
            of.version += 1;
            of.updated_at = self.now();
            websites::update(&unit, &access, &of).await.map_err(taken)?;
            let updated = entry("website.updated", subject(&access), &access)
                .changed("name", &before.name, &of.name)
                .changed("url", &before.url, &of.url)
                .changed("description", &before.description, &of.description);
            unit.audit(updated);
            unit.emit(&WebsiteUpdated {
                website_id: id,
                organization_id: of.organization_id,
                name: of.name.clone(),
                url: of.url.clone(),
            });
            unit.commit().await?;
        }
        Ok(Standing { of, role: access.role() })
    }

    pub(crate) async fn delete_website(
        &self,
        who: &Who,
        id: WebsiteId,
        if_match: &IfMatch,
    ) -> Result<(), OrganizationError> {
        let unit = self.db.write(&who.actor).await?;
        let access = access::website_in(&unit, who.asker, id, Action::DeleteWebsite).await?;
        let website = websites::get(&unit, &access).await?.ok_or(OrganizationError::WebsiteNotFound)?;
        if_match.check(ETag(website.version))?;
        websites::delete(&unit, &access).await?;
        let deleted = entry("website.deleted", subject(&access), &access)
            .changed("name", &Some(&website.name), &None)
            .changed("url", &Some(&website.url), &None);
        unit.audit(deleted);
        unit.emit(&WebsiteDeleted { website_id: id, organization_id: website.organization_id });
        Ok(unit.commit().await?)
    }
}

fn taken(error: DbErr) -> OrganizationError {
    if unique_violation(&error, "websites", &["organization_id", "url"]) {
        OrganizationError::UrlTaken
    } else {
        error.into()
    }
}
