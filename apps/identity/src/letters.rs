//! The mails about accounts.

use mainstay_mail::{Body, Letter};

/// Asks the owner of an address to prove that it is theirs.
#[derive(Clone, Debug)]
pub(crate) struct VerifyEmail {
    pub(crate) username: String,
    pub(crate) link: String,
    pub(crate) token: String,
    pub(crate) hours: u64,
}

impl Letter for VerifyEmail {
    const TEMPLATE: &'static str = "identity.verify_email";

    fn subject(&self) -> String {
        "Confirm your e-mail address".to_owned()
    }

    fn body(&self) -> Body {
        Body::new(format!("Hello {},", self.username))
            .paragraph("An account was made with this address. Please confirm that it is yours.")
            .paragraph(format!(
                "The link below works once, for {} hours. A program can send this token instead:",
                self.hours
            ))
            .action("Confirm the address", &self.link)
            .code(&self.token)
            .note(
                "If you made no account, you need not do anything: without the confirmation nothing happens.",
            )
    }

    fn samples() -> Vec<Self> {
        vec![Self {
            username: "ada".to_owned(),
            link: "/console/verify-email?token=sample".to_owned(),
            token: "sample".to_owned(),
            hours: 24,
        }]
    }
}

/// Lets somebody who forgot the password choose another.
#[derive(Clone, Debug)]
pub(crate) struct ResetPassword {
    pub(crate) username: String,
    pub(crate) link: String,
    pub(crate) token: String,
    pub(crate) minutes: u64,
}

impl Letter for ResetPassword {
    const TEMPLATE: &'static str = "identity.reset_password";

    fn subject(&self) -> String {
        "Choose a new password".to_owned()
    }

    fn body(&self) -> Body {
        Body::new(format!("Hello {},", self.username))
            .paragraph("Somebody, most likely you, asked for a new password for your account.")
            .paragraph(format!(
                "The link below works once, for {} minutes. A program can send this token instead:",
                self.minutes
            ))
            .action("Choose a new password", &self.link)
            .code(&self.token)
            .note("If it was not you, you need not do anything: your password stays as it is.")
    }

    fn samples() -> Vec<Self> {
        vec![Self {
            username: "ada".to_owned(),
            link: "/console/reset-password?token=sample".to_owned(),
            token: "sample".to_owned(),
            minutes: 30,
        }]
    }
}

/// Tells the owner that the password was changed, in case it was not them.
#[derive(Clone, Debug)]
pub(crate) struct PasswordWasChanged {
    pub(crate) username: String,
    pub(crate) at: String,
    pub(crate) was_reset: bool,
}

impl Letter for PasswordWasChanged {
    const TEMPLATE: &'static str = "identity.password_changed";

    fn subject(&self) -> String {
        "Your password was changed".to_owned()
    }

    fn body(&self) -> Body {
        let ended = if self.was_reset {
            "You were signed out everywhere."
        } else {
            "You were signed out everywhere else."
        };
        Body::new(format!("Hello {},", self.username))
            .paragraph(format!("The password of your account was changed at {}. {ended}", self.at))
            .note("If it was not you, ask for a new password at once, and tell whoever runs this service.")
    }

    fn samples() -> Vec<Self> {
        let sample = |was_reset| Self {
            username: "ada".to_owned(),
            at: "2026-01-31T09:30:00.000Z".to_owned(),
            was_reset,
        };
        vec![sample(true), sample(false)]
    }
}

/// Tells the owner of an address that somebody tried to make a second account with it.
#[derive(Clone, Debug)]
pub(crate) struct AddressInUse {
    pub(crate) username: String,
}

impl Letter for AddressInUse {
    const TEMPLATE: &'static str = "identity.address_in_use";

    fn subject(&self) -> String {
        "You have an account already".to_owned()
    }

    fn body(&self) -> Body {
        Body::new(format!("Hello {},", self.username))
            .paragraph("Somebody tried to make an account with your address. You have one already.")
            .paragraph("If it was you, sign in. If you forgot the password, ask for a new one.")
            .note("If it was not you, you need not do anything.")
    }

    fn samples() -> Vec<Self> {
        vec![Self { username: "ada".to_owned() }]
    }
}

/// Invites somebody to make an account.
#[derive(Clone, Debug)]
pub(crate) struct InvitedToRegister {
    pub(crate) address: String,
    pub(crate) link: String,
    pub(crate) token: String,
    pub(crate) days: u64,
}

impl Letter for InvitedToRegister {
    const TEMPLATE: &'static str = "identity.invited";

    fn subject(&self) -> String {
        "You are invited to make an account".to_owned()
    }

    fn body(&self) -> Body {
        Body::new(format!("Hello {},", self.address))
            .paragraph("An administrator invited you. Make your account with this address.")
            .paragraph(format!(
                "The link below works once, for {} days. A program can send this token instead:",
                self.days
            ))
            .action("Make an account", &self.link)
            .code(&self.token)
            .note("If you do not know what this is about, you need not do anything.")
    }

    fn samples() -> Vec<Self> {
        vec![Self {
            address: "ada@example.com".to_owned(),
            link: "/register?token=sample".to_owned(),
            token: "sample".to_owned(),
            days: 7,
        }]
    }
}

#[cfg(test)]
mod tests {
    use mainstay_mail::testing::check_letter;

    use super::*;

    #[test]
    fn every_letter_reads_well() {
        check_letter::<VerifyEmail>();
        check_letter::<ResetPassword>();
        check_letter::<PasswordWasChanged>();
        check_letter::<AddressInUse>();
        check_letter::<InvitedToRegister>();
    }
}
