//! What can be done with organizations. Owns the transactions.

mod invitations;
mod members;
mod organizations;
mod target;
mod websites;

use std::sync::Arc;

use mainstay_app::{PeopleSlot, Platform};
use mainstay_core::{Actor, AuditEntry, Ids, Timestamp};
use mainstay_db::Db;

use crate::domain::organization::Standing;
use crate::domain::token::InvitationTokens;
use crate::error::OrganizationError;
use crate::repo::access::{Asker, Place, Rights};

pub(crate) use invitations::{Invited, MadeInvitation, called, link};
pub(crate) use members::MemberView;
pub(crate) use target::{Deed, Target};

/// The service of organizations. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Tenancy {
    pub(crate) db: Db,
    pub(crate) people: PeopleSlot,
    pub(crate) tokens: InvitationTokens,
    ids: Ids,
    public_url: Arc<str>,
}

/// Something, with what the one who asks may do about it.
#[derive(Clone, Debug)]
pub(crate) struct Looked<T> {
    pub(crate) of: T,
    pub(crate) rights: Rights,
}

impl<T> From<Looked<T>> for Standing<T> {
    fn from(looked: Looked<T>) -> Self {
        Self { of: looked.of, role: looked.rights.role() }
    }
}

/// Who asks, and in which request.
#[derive(Clone, Debug)]
pub(crate) struct Who {
    pub(crate) actor: Actor,
    pub(crate) asker: Asker,
}

impl Tenancy {
    pub(crate) fn new(platform: &Platform) -> Self {
        Self {
            db: platform.db.clone(),
            people: platform.people.clone(),
            tokens: InvitationTokens::new(&platform.root_key),
            ids: platform.ids.clone(),
            public_url: platform.public_url.as_str().into(),
        }
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.db.clock().now()
    }

    /// Notes that a system administrator looked where they are no member: reading changes nothing, but each
    /// use of that role is in the audit log.
    async fn note_reading(
        &self,
        who: &Who,
        place: &impl Place,
        what: &'static str,
    ) -> Result<(), OrganizationError> {
        if place.via_system_admin() {
            let unit = self.db.write(&who.actor).await?;
            unit.audit(entry("organization.viewed", subject(place), place).note("what", what));
            unit.commit().await?;
        }
        Ok(())
    }
}

/// The place as the audit log names it.
fn subject(place: &impl Place) -> String {
    match place.website_id() {
        None => format!("organization/{}", place.organization_id()),
        Some(website) => format!("website/{website}"),
    }
}

/// An entry of the audit log about something in this place.
fn entry(action: &'static str, target: String, place: &impl Place) -> AuditEntry {
    let entry = AuditEntry::new(action, target).note("organization_id", place.organization_id());
    if place.via_system_admin() { entry.note("via", "system_admin") } else { entry }
}
