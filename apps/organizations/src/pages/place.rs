//! What stands above every page of an organization or a website.

use askama::Template;
use mainstay_core::Problem;

use super::{role_class, role_text};
use crate::domain::matrix::Action;
use crate::domain::organization::Organization;
use crate::domain::website::Website;
use crate::domain::{OrganizationId, WebsiteId};
use crate::repo::access::Rights;
use crate::service::{Deed, Looked, Target, Tenancy, Who};

/// The parts that a place has pages for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// Its first page.
    Start,
    Members,
    Invitations,
    Settings,
}

/// The head of the pages, and what may be done there.
#[derive(Clone, Debug, Template)]
#[template(path = "frame.html")]
pub(super) struct Frame {
    pub(super) kind: &'static str,
    pub(super) name: String,
    /// The organization of a website, for who may see it: name and path.
    pub(super) parent: Option<(String, String)>,
    pub(super) path: String,
    pub(super) rights: Rights,
    tabs: Vec<(Part, &'static str, String)>,
    current: Part,
}

impl Frame {
    fn is_current(&self, part: &Part) -> bool {
        *part == self.current
    }

    fn role_text(&self) -> &'static str {
        role_text(self.rights.role())
    }

    fn role_class(&self) -> &'static str {
        role_class(self.rights.role())
    }
}

/// Its own template escapes what it holds.
impl askama::filters::HtmlSafe for Frame {}

/// Where the pages of one kind of place are.
pub(super) struct Paths {
    pub(super) members: &'static str,
    pub(super) member: &'static str,
    pub(super) remove: &'static str,
    pub(super) leave: &'static str,
    pub(super) invitations: &'static str,
    pub(super) invitation: &'static str,
    pub(super) resend: &'static str,
    pub(super) revoke: &'static str,
}

macro_rules! paths {
    ($place:literal) => {
        Paths {
            members: concat!($place, "/members"),
            member: concat!($place, "/members/{user_id}"),
            remove: concat!($place, "/members/{user_id}/remove"),
            leave: concat!($place, "/leave"),
            invitations: concat!($place, "/invitations"),
            invitation: concat!($place, "/invitations/{invitation_id}"),
            resend: concat!($place, "/invitations/{invitation_id}/resend"),
            revoke: concat!($place, "/invitations/{invitation_id}/revoke"),
        }
    };
}

/// A place with pages.
#[async_trait::async_trait]
pub(super) trait Room: Target {
    const PATHS: Paths;
    /// What it is called: "organization".
    const NOUN: &'static str;

    /// Its first page.
    fn path(self) -> String {
        format!("/console/{}/{self}", Self::COLLECTION)
    }

    /// The head of a page of it.
    async fn frame(self, tenancy: &Tenancy, who: &Who, current: Part) -> Result<Frame, Problem>;
}

#[async_trait::async_trait]
impl Room for OrganizationId {
    const PATHS: Paths = paths!("/console/organizations/{id}");
    const NOUN: &'static str = "organization";

    async fn frame(self, tenancy: &Tenancy, who: &Who, current: Part) -> Result<Frame, Problem> {
        Ok(of_organization(&tenancy.look(who, self).await?, current))
    }
}

#[async_trait::async_trait]
impl Room for WebsiteId {
    const PATHS: Paths = paths!("/console/websites/{id}");
    const NOUN: &'static str = "website";

    async fn frame(self, tenancy: &Tenancy, who: &Who, current: Part) -> Result<Frame, Problem> {
        of_website(tenancy, who, &tenancy.look_at_website(who, self).await?, current).await
    }
}

pub(super) fn of_organization(looked: &Looked<Organization>, current: Part) -> Frame {
    let Looked { of, rights } = looked;
    let tabs = [(Part::Start, "Websites", "")];
    Frame {
        kind: "Organization",
        name: of.name.clone(),
        parent: None,
        path: of.id.path(),
        rights: *rights,
        tabs: tabs_of(of.id, *rights, &tabs, &[(Part::Settings, "Settings", "/settings")]),
        current,
    }
}

pub(super) async fn of_website(
    tenancy: &Tenancy,
    who: &Who,
    looked: &Looked<Website>,
    current: Part,
) -> Result<Frame, Problem> {
    let Looked { of, rights } = looked;
    // Who was let onto the website alone does not hear what organization it belongs to.
    let parent = if rights.allow(Action::ReadOrganization) {
        let organization = tenancy.get(who, of.organization_id).await?.of;
        Some((organization.name, of.organization_id.path()))
    } else {
        None
    };
    Ok(Frame {
        kind: "Website",
        name: of.name.clone(),
        parent,
        path: of.id.path(),
        rights: *rights,
        tabs: tabs_of(of.id, *rights, &[(Part::Start, "Overview", "")], &[]),
        current,
    })
}

type Tab = (Part, &'static str, &'static str);

fn tabs_of<R: Room>(id: R, rights: Rights, first: &[Tab], last: &[Tab]) -> Vec<(Part, &'static str, String)> {
    let mut tabs = first.to_vec();
    tabs.push((Part::Members, "Members", "/members"));
    if rights.allow(R::action(Deed::ListInvitations)) {
        tabs.push((Part::Invitations, "Invitations", "/invitations"));
    }
    tabs.extend_from_slice(last);
    tabs.into_iter().map(|(part, text, end)| (part, text, format!("{}{end}", id.path()))).collect()
}
