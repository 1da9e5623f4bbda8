//! The mails about invitations.

use mainstay_mail::{Body, Letter};

use crate::domain::role::MemberRole;

/// What somebody is invited to.
#[derive(Clone, Debug)]
pub(crate) struct Invited {
    pub(crate) organization: String,
    /// `None`: to the organization itself.
    pub(crate) website: Option<String>,
    pub(crate) role: MemberRole,
}

impl Invited {
    fn place(&self) -> String {
        match &self.website {
            None => self.organization.clone(),
            Some(website) => format!("the website {website} of {}", self.organization),
        }
    }

    fn short(&self) -> &str {
        self.website.as_deref().unwrap_or(&self.organization)
    }
}

/// Invites somebody to an organization or a website.
#[derive(Clone, Debug)]
pub(crate) struct Invitation {
    pub(crate) to: Invited,
    pub(crate) address: String,
    /// `None` if the account is gone.
    pub(crate) inviter: Option<String>,
    pub(crate) link: String,
    pub(crate) token: String,
    pub(crate) until: String,
}

impl Letter for Invitation {
    const TEMPLATE: &'static str = "organizations.invitation";

    fn subject(&self) -> String {
        format!("You are invited to {}", shortened(self.to.short()))
    }

    fn body(&self) -> Body {
        let inviter = self.inviter.as_deref().unwrap_or("An administrator");
        Body::new(format!("Hello {},", self.address))
            .paragraph(format!("{inviter} invites you to {} as {}.", self.to.place(), self.to.role))
            .paragraph(format!(
                "Accept with an account that has this address; if you have none, you can make one on the way. The link \
                 works once, until {}. A program can send this token instead:",
                self.until
            ))
            .action("Look at the invitation", &self.link)
            .code(&self.token)
            .note("If you do not know what this is about, you need not do anything.")
    }

    fn samples() -> Vec<Self> {
        let sample = |organization: &str, website: Option<&str>| Self {
            to: Invited {
                organization: organization.to_owned(),
                website: website.map(str::to_owned),
                role: MemberRole::User,
            },
            address: "ada@example.com".to_owned(),
            inviter: website.map(|_| "Grace <b>Hopper</b>".to_owned()),
            link: "/console/invitations/accept?token=sample".to_owned(),
            token: "sample".to_owned(),
            until: "2026-02-07T09:30:00.000Z".to_owned(),
        };
        vec![
            sample("Harbor Works", None),
            sample("Harbor Works", Some("<b>Ferry</b> times")),
            sample(&"x".repeat(100), None),
        ]
    }
}

/// Tells the inviter that somebody came.
#[derive(Clone, Debug)]
pub(crate) struct Accepted {
    pub(crate) to: Invited,
    pub(crate) inviter: String,
    pub(crate) guest: String,
}

impl Letter for Accepted {
    const TEMPLATE: &'static str = "organizations.invitation_accepted";

    fn subject(&self) -> String {
        format!("Your invitation to {} was accepted", shortened(self.to.short()))
    }

    fn body(&self) -> Body {
        Body::new(format!("Hello {},", self.inviter))
            .paragraph(format!("{} accepted your invitation to {}.", self.guest, self.to.place()))
            .fact("Role", self.to.role.name())
    }

    fn samples() -> Vec<Self> {
        let sample = |organization: &str, website: Option<&str>| Self {
            to: Invited {
                organization: organization.to_owned(),
                website: website.map(str::to_owned),
                role: MemberRole::Admin,
            },
            inviter: "Grace".to_owned(),
            guest: "Ada <b>Lovelace</b>".to_owned(),
        };
        vec![sample("Harbor Works", None), sample(&"x".repeat(100), Some("Ferry times"))]
    }
}

/// A name short enough for a subject.
fn shortened(name: &str) -> String {
    const MOST: usize = 60;
    if name.chars().count() <= MOST {
        return name.to_owned();
    }
    name.chars().take(MOST - 1).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use mainstay_mail::testing::check_letter;

    use super::*;

    #[test]
    fn every_letter_reads_well() {
        check_letter::<Invitation>();
        check_letter::<Accepted>();
    }
}
