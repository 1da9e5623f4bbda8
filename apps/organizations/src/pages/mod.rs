//! The console's pages about organizations and websites. They call the service that the API calls, so the
//! same matrix decides; what it does not allow is not offered.

mod invitations;
mod invited;
mod list;
mod members;
mod organization;
mod place;
mod website;

use axum::extract::FromRef;
use http::StatusCode;
use mainstay_auth::Access;
use mainstay_core::Problem;
use mainstay_core::problem::STALE;
use mainstay_http::ApiRouter;
use mainstay_web::{Form, NavLink, Web};

use crate::domain::role::MemberRole;
use crate::domain::{OrganizationId, WebsiteId};
use crate::error::OrganizationError;
use crate::http::TAG;
use crate::service::Tenancy;

/// What the pages work with.
#[derive(Clone)]
pub(crate) struct Pages {
    pub(crate) tenancy: Tenancy,
    pub(crate) web: Web,
}

impl FromRef<Pages> for Web {
    fn from_ref(pages: &Pages) -> Self {
        pages.web.clone()
    }
}

impl FromRef<Pages> for Tenancy {
    fn from_ref(pages: &Pages) -> Self {
        pages.tenancy.clone()
    }
}

pub(crate) fn links(web: &Web) {
    web.link(NavLink {
        label: "Organizations",
        path: list::ORGANIZATIONS,
        also: &[list::WEBSITES],
        about: "Your organizations and websites, who belongs to them, and whom you invite.",
        access: Access::Session,
    });
}

pub(crate) fn routes() -> ApiRouter<Pages> {
    let router = invited::routes(ApiRouter::new(TAG));
    let router = list::routes(router);
    let router = organization::routes(router);
    let router = website::routes(router);
    let router = members::routes::<OrganizationId>(router);
    let router = members::routes::<WebsiteId>(router);
    let router = invitations::routes::<OrganizationId>(router);
    invitations::routes::<WebsiteId>(router)
}

/// Items on a page of a list.
const PAGE: u16 = 50;

/// What a role is called. `None` is a system administrator who is no member.
fn role_text(role: Option<MemberRole>) -> &'static str {
    match role {
        Some(MemberRole::Admin) => "Admin",
        Some(MemberRole::User) => "User",
        None => "System administrator",
    }
}

/// How it is marked.
fn role_class(role: Option<MemberRole>) -> &'static str {
    if role == Some(MemberRole::Admin) { "tag" } else { "tag plain" }
}

/// The roles to choose from, the weaker first.
const ROLES: [(&str, &str); 2] = [("user", "User"), ("admin", "Admin")];

/// Says in a form what was wrong, and gives the answer's status. Other errors come back.
fn explain(form: &mut Form, error: OrganizationError) -> Result<StatusCode, Problem> {
    use OrganizationError as E;
    match error {
        E::UrlTaken => form.blame("url", "belongs to another website of the organization"),
        E::AlreadyMember => form.blame("email", "belongs to a member already"),
        E::InvitationPending => {
            form.blame("email", "is invited already: send that invitation again, or revoke it first");
        }
        E::NotConfirmed => form.blame("confirm", "is another one: nothing was deleted"),
        E::LastAdmin => {
            form.fail("An organization keeps at least one admin. Make somebody else an admin first.");
        }
        E::InvitationDecided => form.fail("The invitation was answered or revoked already."),
        E::Refused(problem) if problem.kind().code == STALE.code => {
            form.fail("Somebody else changed this in the meantime, and nothing was done. Look at it again.");
            return Ok(StatusCode::CONFLICT);
        }
        E::Refused(problem) if problem.kind().status == 422 => form.fail(problem.detail()),
        other => return Err(other.into()),
    }
    Ok(StatusCode::UNPROCESSABLE_ENTITY)
}

fn is_stale(error: &OrganizationError) -> bool {
    matches!(error, OrganizationError::Refused(problem) if problem.kind().code == STALE.code)
}

/// What somebody else changed while a form was open: a label with what is there now, for each field
/// that was sent with something else.
fn overtaken(fields: &[(&str, &str, &str)]) -> String {
    let changed: Vec<_> = fields
        .iter()
        .filter(|(_, sent, now)| sent != now)
        .map(
            |(label, _, now)| {
                if now.is_empty() { format!("no {label}") } else { format!("the {label} “{now}”") }
            },
        )
        .collect();
    let now = if changed.is_empty() { "what you sent, too".to_owned() } else { changed.join(", ") };
    format!("Somebody else saved this in the meantime. It has {now}. Save again to put yours in its place.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_was_overtaken_hears_by_what() {
        let text =
            overtaken(&[("name", "Mine", "Theirs"), ("address", "same", "same"), ("description", "x", "")]);
        assert!(text.contains("It has the name “Theirs”, no description."), "{text}");
        assert!(overtaken(&[("name", "same", "same")]).contains("what you sent, too"));
    }
}
