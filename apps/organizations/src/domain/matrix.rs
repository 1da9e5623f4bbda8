//! Who may do what: one table.
//!
//! The lookups that hand out proofs of access consult it, the page `docs/access-matrix.md` is printed
//! from it, and a test tries every role on every endpoint against it.

use std::fmt::Write as _;

use super::role::MemberRole;

/// What somebody is to an organization or a website.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// An admin of the organization; system administrators are that everywhere.
    OrganizationAdmin,
    /// A user of the organization.
    OrganizationUser,
    /// An admin of the website.
    WebsiteAdmin,
    /// A user of the website.
    WebsiteUser,
    /// Signed in, and none of these.
    None,
}

impl Standing {
    /// Every standing, in the order of the table's columns.
    pub const ALL: [Self; 5] =
        [Self::OrganizationAdmin, Self::OrganizationUser, Self::WebsiteAdmin, Self::WebsiteUser, Self::None];

    /// A member of the organization.
    #[must_use]
    pub const fn in_organization(role: MemberRole) -> Self {
        match role {
            MemberRole::Admin => Self::OrganizationAdmin,
            MemberRole::User => Self::OrganizationUser,
        }
    }

    /// A member of the website.
    #[must_use]
    pub const fn of_website(role: MemberRole) -> Self {
        match role {
            MemberRole::Admin => Self::WebsiteAdmin,
            MemberRole::User => Self::WebsiteUser,
        }
    }

    const fn title(self) -> &'static str {
        match self {
            Self::OrganizationAdmin => "organization admin",
            Self::OrganizationUser => "organization user",
            Self::WebsiteAdmin => "website admin",
            Self::WebsiteUser => "website user",
            Self::None => "no membership",
        }
    }
}

/// What becomes of an action. Ordered: of several standings the best counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    /// 404: that it exists is not shown.
    Hide,
    /// 403: one sees it, but may not do this.
    Forbid,
    /// It happens.
    Allow,
}

impl Outcome {
    const fn title(self) -> &'static str {
        match self {
            Self::Hide => "404",
            Self::Forbid => "403",
            Self::Allow => "yes",
        }
    }
}

/// What can be done with organizations and websites. Each is one endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the table below says what each is")]
pub enum Action {
    ListOrganizations,
    ListOwnWebsites,
    CreateOrganization,
    ReadOrganization,
    UpdateOrganization,
    DeleteOrganization,
    ListMembers,
    ChangeMember,
    RemoveMember,
    LeaveOrganization,
    Invite,
    ListInvitations,
    RevokeInvitation,
    ResendInvitation,
    CreateWebsite,
    ListWebsites,
    ReadWebsite,
    UpdateWebsite,
    DeleteWebsite,
    ListWebsiteMembers,
    ChangeWebsiteMember,
    RemoveWebsiteMember,
    LeaveWebsite,
    InviteToWebsite,
    ListWebsiteInvitations,
    RevokeWebsiteInvitation,
    ResendWebsiteInvitation,
}

/// One row of the table.
#[derive(Clone, Copy, Debug)]
pub struct Rule {
    /// What is done.
    pub action: Action,
    /// The endpoint's method.
    pub method: &'static str,
    /// The endpoint's path, under `/api/v1`.
    pub path: &'static str,
    /// What it is, for people.
    pub title: &'static str,
    /// What becomes of it, for each of [`Standing::ALL`].
    pub outcomes: [Outcome; 5],
}

use Outcome::{Allow as YES, Forbid as NO, Hide as HIDE};

#[rustfmt::skip]
const fn rule(action: Action, method: &'static str, path: &'static str, title: &'static str, outcomes: [Outcome; 5]) -> Rule {
    Rule { action, method, path, title, outcomes }
}

/// The table. Columns: organization admin, organization user, website admin, website user, no membership.
#[rustfmt::skip]
pub const MATRIX: [Rule; 27] = [
    rule(Action::ListOrganizations, "GET", "/organizations", "list one's own organizations", [YES, YES, YES, YES, YES]),
    rule(Action::ListOwnWebsites, "GET", "/websites", "list one's own websites", [YES, YES, YES, YES, YES]),
    rule(Action::CreateOrganization, "POST", "/organizations", "create an organization of one's own", [YES, YES, YES, YES, YES]),
    rule(Action::ReadOrganization, "GET", "/organizations/{id}", "read the organization", [YES, YES, HIDE, HIDE, HIDE]),
    rule(Action::UpdateOrganization, "PATCH", "/organizations/{id}", "change the organization", [YES, YES, HIDE, HIDE, HIDE]),
    rule(Action::DeleteOrganization, "DELETE", "/organizations/{id}", "delete the organization", [YES, NO, HIDE, HIDE, HIDE]),
    rule(Action::ListMembers, "GET", "/organizations/{id}/members", "list the organization's members", [YES, YES, HIDE, HIDE, HIDE]),
    rule(Action::ChangeMember, "PATCH", "/organizations/{id}/members/{user_id}", "change a member's role", [YES, NO, HIDE, HIDE, HIDE]),
    rule(Action::RemoveMember, "DELETE", "/organizations/{id}/members/{user_id}", "remove a member", [YES, NO, HIDE, HIDE, HIDE]),
    rule(Action::LeaveOrganization, "DELETE", "/organizations/{id}/members/me", "leave the organization", [YES, YES, HIDE, HIDE, HIDE]),
    rule(Action::Invite, "POST", "/organizations/{id}/invitations", "invite to the organization", [YES, NO, HIDE, HIDE, HIDE]),
    rule(Action::ListInvitations, "GET", "/organizations/{id}/invitations", "list the organization's invitations", [YES, NO, HIDE, HIDE, HIDE]),
    rule(Action::RevokeInvitation, "DELETE", "/organizations/{id}/invitations/{invitation_id}", "revoke an invitation", [YES, NO, HIDE, HIDE, HIDE]),
    rule(Action::ResendInvitation, "POST", "/organizations/{id}/invitations/{invitation_id}/resend", "send an invitation again", [YES, NO, HIDE, HIDE, HIDE]),
    rule(Action::CreateWebsite, "POST", "/organizations/{id}/websites", "add a website", [YES, YES, HIDE, HIDE, HIDE]),
    rule(Action::ListWebsites, "GET", "/organizations/{id}/websites", "list the organization's websites", [YES, YES, HIDE, HIDE, HIDE]),
    rule(Action::ReadWebsite, "GET", "/websites/{id}", "read the website", [YES, YES, YES, YES, HIDE]),
    rule(Action::UpdateWebsite, "PATCH", "/websites/{id}", "change the website", [YES, YES, YES, YES, HIDE]),
    rule(Action::DeleteWebsite, "DELETE", "/websites/{id}", "delete the website", [YES, NO, YES, NO, HIDE]),
    rule(Action::ListWebsiteMembers, "GET", "/websites/{id}/members", "list the website's members", [YES, YES, YES, YES, HIDE]),
    rule(Action::ChangeWebsiteMember, "PATCH", "/websites/{id}/members/{user_id}", "change a website member's role", [YES, NO, YES, NO, HIDE]),
    rule(Action::RemoveWebsiteMember, "DELETE", "/websites/{id}/members/{user_id}", "remove a website member", [YES, NO, YES, NO, HIDE]),
    // Who belongs to the organization alone has no membership of the website to give up.
    rule(Action::LeaveWebsite, "DELETE", "/websites/{id}/members/me", "leave the website", [HIDE, HIDE, YES, YES, HIDE]),
    rule(Action::InviteToWebsite, "POST", "/websites/{id}/invitations", "invite to the website", [YES, NO, YES, NO, HIDE]),
    rule(Action::ListWebsiteInvitations, "GET", "/websites/{id}/invitations", "list the website's invitations", [YES, NO, YES, NO, HIDE]),
    rule(Action::RevokeWebsiteInvitation, "DELETE", "/websites/{id}/invitations/{invitation_id}", "revoke an invitation to the website", [YES, NO, YES, NO, HIDE]),
    rule(Action::ResendWebsiteInvitation, "POST", "/websites/{id}/invitations/{invitation_id}/resend", "send an invitation to the website again", [YES, NO, YES, NO, HIDE]),
];

// The row of an action is found by its number.
const _: () = {
    let mut row = 0;
    while row < MATRIX.len() {
        assert!(MATRIX[row].action as usize == row, "a row stands in the wrong place");
        row += 1;
    }
};

impl Action {
    /// Its row of the table.
    #[must_use]
    pub const fn rule(self) -> &'static Rule {
        &MATRIX[self as usize]
    }

    /// What becomes of it for somebody with all of these standings: the best of them counts.
    #[must_use]
    pub fn outcome(self, standings: &[Standing]) -> Outcome {
        let of = |standing: &Standing| self.rule().outcomes[*standing as usize];
        standings.iter().map(of).max().unwrap_or(of(&Standing::None))
    }
}

/// The table as the page `docs/access-matrix.md`.
#[must_use]
pub fn matrix_markdown() -> String {
    let mut page = String::from(
        "# Who may do what with organizations and websites\n\n\
         Printed from the table in `apps/organizations/src/domain/matrix.rs`; a test compares the two, and another\n\
         tries every role on every endpoint.\n\n\
         *yes*: it happens. *403*: one sees it, but may not do this. *404*: that it exists is not shown. Who is\n\
         several of these at once may do what any of them may. A system administrator counts as an admin of every\n\
         organization; each such use stands in the audit log with `via: system_admin`.\n\n\
         | action | endpoint |",
    );
    let mut line = String::from("| --- | --- |");
    for standing in Standing::ALL {
        let _infallible = write!(page, " {} |", standing.title());
        line.push_str(" --- |");
    }
    let _infallible = writeln!(page, "\n{line}");
    for Rule { action: _, method, path, title, outcomes } in &MATRIX {
        let _infallible = write!(page, "| {title} | `{method} {path}` |");
        for outcome in outcomes {
            let _infallible = write!(page, " {} |", outcome.title());
        }
        page.push('\n');
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_two_roles_the_stronger_counts() {
        use Standing::{OrganizationUser, WebsiteAdmin};
        assert_eq!(Action::DeleteWebsite.outcome(&[OrganizationUser]), Outcome::Forbid);
        assert_eq!(Action::DeleteWebsite.outcome(&[OrganizationUser, WebsiteAdmin]), Outcome::Allow);
        assert_eq!(Action::ReadOrganization.outcome(&[WebsiteAdmin]), Outcome::Hide);
        assert_eq!(Action::ReadWebsite.outcome(&[]), Outcome::Hide);
    }

    #[test]
    fn an_admin_may_all_that_a_user_may() {
        for rule in &MATRIX {
            let [admin, user, website_admin, website_user, none] = rule.outcomes;
            assert!(admin >= user && website_admin >= website_user && website_user >= none, "{rule:?}");
        }
    }
}
