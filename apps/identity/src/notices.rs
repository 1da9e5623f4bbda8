//! The consumer that writes to people about their accounts.
//!
//! Tokens are made here, not where a mail is asked for: no event holds a secret, and
//! a request for an address that nobody has is the same work as any other.

use std::time::Duration;

use async_trait::async_trait;
use mainstay_core::{Event, UserId};
use mainstay_db::WriteUnit;
use mainstay_events::{BoxError, Handle};
use mainstay_mail::{Letter, Mails, NewMail, Recipient};
use sea_orm::DbErr;

use crate::domain::{Purpose, User};
use crate::events::{
    PasswordChange, PasswordChanged, PasswordForgotten, RegistrationInvited, RegistrationRepeated,
    UserRegistered, VerificationRequested,
};
use crate::letters::{AddressInUse, InvitedToRegister, PasswordWasChanged, ResetPassword, VerifyEmail};
use crate::repo::{self, TokenFor};
use crate::service::{Accounts, compared};

/// Kinds of events that people get a mail about.
pub(crate) const KINDS: &[&str] = &[
    "user.registered",
    "user.registration_repeated",
    "user.invited",
    "user.verification_requested",
    "user.password_forgotten",
    "user.password_changed",
];

/// Asking again within this time sends no second mail: nobody's mailbox is filled by a stranger.
const PATIENCE: Duration = Duration::from_secs(60);

/// The same for a link that resets a password. Longer, because a new link ends the one before: whoever asks again and
/// again in somebody else's name must leave them the time to use it.
const RESET_PATIENCE: Duration = Duration::from_secs(600);

pub(crate) struct Notices {
    pub(crate) accounts: Accounts,
    pub(crate) mails: Mails,
}

#[async_trait]
impl Handle for Notices {
    async fn handle(&self, unit: &WriteUnit, event: &Event) -> Result<(), BoxError> {
        if let Some(UserRegistered { user_id, email_verified: false }) = event.read()? {
            if let Some(user) = hold(unit, user_id).await?
                && !user.email_verified
            {
                self.ask_to_verify(unit, event, &user).await?;
            }
        } else if let Some(VerificationRequested { email }) = event.read()? {
            if let Some(user) = self.owner(unit, &email).await?
                && !user.email_verified
                && !self.was_just_sent(unit, &user, Purpose::VerifyEmail).await?
            {
                self.ask_to_verify(unit, event, &user).await?;
            }
        } else if let Some(PasswordForgotten { email }) = event.read()? {
            if let Some(user) = self.owner(unit, &email).await?
                && !self.was_just_sent(unit, &user, Purpose::ResetPassword).await?
            {
                self.offer_reset(unit, event, &user).await?;
            }
        } else if let Some(PasswordChanged { user_id, via }) = event.read()? {
            if let Some(user) = hold(unit, user_id).await? {
                let was_reset = via == PasswordChange::Reset;
                let at = event.time.to_string();
                let letter = PasswordWasChanged { username: user.username.clone(), at, was_reset };
                self.queue(unit, event, &user, None, &letter).await?;
            }
        } else if let Some(RegistrationRepeated { user_id }) = event.read()? {
            if let Some(user) = hold(unit, user_id).await?
                && !self.was_just_told(unit, &user, AddressInUse::TEMPLATE).await?
            {
                let letter = AddressInUse { username: user.username.clone() };
                self.queue(unit, event, &user, None, &letter).await?;
            }
        } else if let Some(RegistrationInvited { email }) = event.read()? {
            self.invite(unit, event, email).await?;
        }
        Ok(())
    }
}

/// The account as it stays until its mail is queued: its removal waits, and takes the mail with it.
async fn hold(unit: &WriteUnit, id: UserId) -> Result<Option<User>, DbErr> {
    Ok(repo::hold_credentials(unit, id).await?.map(|found| found.user))
}

impl Notices {
    /// The active account with this address.
    async fn owner(&self, unit: &WriteUnit, email: &str) -> Result<Option<User>, DbErr> {
        let Some(found) = repo::find_by_email(unit, &compared(email)).await? else { return Ok(None) };
        Ok(hold(unit, found.user.id).await?.filter(|user| user.is_active))
    }

    /// Whether a mail of this template, which holds no token, went to somebody a moment ago.
    async fn was_just_told(&self, unit: &WriteUnit, user: &User, template: &str) -> Result<bool, DbErr> {
        let newest = self.mails.newest(unit, &user.email, template).await?;
        let now = self.accounts.clock.now();
        Ok(newest.is_some_and(|queued| now.since(queued) < PATIENCE))
    }

    async fn was_just_sent(&self, unit: &WriteUnit, user: &User, purpose: Purpose) -> Result<bool, DbErr> {
        let newest = repo::newest_token(unit, user.id, purpose).await?;
        let now = self.accounts.clock.now();
        let patience = if purpose == Purpose::ResetPassword { RESET_PATIENCE } else { PATIENCE };
        Ok(newest.is_some_and(|made| now.since(made) < patience))
    }

    async fn ask_to_verify(&self, unit: &WriteUnit, event: &Event, user: &User) -> Result<(), DbErr> {
        let life = self.accounts.life_of(Purpose::VerifyEmail);
        let (id, token) = self.accounts.issue(unit, Purpose::VerifyEmail, TokenFor::User(user.id)).await?;
        let letter = VerifyEmail {
            username: user.username.clone(),
            link: format!("/console/verify-email?token={token}"),
            token,
            hours: life.as_secs() / 3600,
        };
        self.queue(unit, event, user, Some(id), &letter).await
    }

    async fn offer_reset(&self, unit: &WriteUnit, event: &Event, user: &User) -> Result<(), DbErr> {
        let life = self.accounts.life_of(Purpose::ResetPassword);
        let (id, token) = self.accounts.issue(unit, Purpose::ResetPassword, TokenFor::User(user.id)).await?;
        let letter = ResetPassword {
            username: user.username.clone(),
            link: format!("/console/reset-password?token={token}"),
            token,
            minutes: life.as_secs() / 60,
        };
        self.queue(unit, event, user, Some(id), &letter).await
    }

    async fn invite(&self, unit: &WriteUnit, event: &Event, email: String) -> Result<(), DbErr> {
        let life = self.accounts.life_of(Purpose::Register);
        let for_address = TokenFor::Address(compared(&email));
        let (id, token) = self.accounts.issue(unit, Purpose::Register, for_address).await?;
        let letter = InvitedToRegister {
            address: email.clone(),
            link: format!("/register?token={token}"),
            token,
            days: life.as_secs() / 86_400,
        };
        let recipient = Recipient { name: None, address: email };
        let mail = NewMail { cause: event.id, recipient, reference: Some(id), confidential: true };
        self.mails.queue(unit, mail, &letter).await?;
        Ok(())
    }

    async fn queue(
        &self,
        unit: &WriteUnit,
        event: &Event,
        user: &User,
        token: Option<uuid::Uuid>,
        letter: &impl Letter,
    ) -> Result<(), DbErr> {
        let recipient = Recipient { name: user.name.clone(), address: user.email.clone() };
        let confidential = token.is_some();
        let mail = NewMail { cause: event.id, recipient, reference: token, confidential };
        self.mails.queue(unit, mail, letter).await?;
        Ok(())
    }
}

/// The consumer that starts a token's life when its mail was handed over: a link that
/// waited for a mail server must not be dead when it arrives.
pub(crate) struct TokenLives {
    pub(crate) accounts: Accounts,
}

#[async_trait]
impl Handle for TokenLives {
    async fn handle(&self, unit: &WriteUnit, event: &Event) -> Result<(), BoxError> {
        if let Some(sent) = event.read::<mainstay_mail::MailSent>()?
            && let Some(id) = sent.reference
        {
            self.accounts.start_life(unit, id, event.time).await?;
        }
        Ok(())
    }
}
