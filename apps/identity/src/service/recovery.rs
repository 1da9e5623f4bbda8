//! Proving an address, and passwords that were forgotten or are changed.

use mainstay_core::{Actor, AuditEntry, EventData, UserId};
use mainstay_db::WriteUnit;

use super::{Accounts, acting_as, token_hash};
use crate::domain::{Email, NewPassword, Password, Purpose, SessionId, User, Username};
use crate::error::AccountError;
use crate::events::{
    EmailVerified, PasswordChange, PasswordChanged, PasswordForgotten, RevokeReason, VerificationRequested,
};
use crate::repo::{self, TokenFor};

impl Accounts {
    /// Takes note that the holder of this token owns the account's address.
    pub(crate) async fn verify_email(&self, actor: &Actor, token: &str) -> Result<(), AccountError> {
        let token_hash = token_hash(token);
        let user = self.holder(actor, Purpose::VerifyEmail, &token_hash).await?;
        let now = self.clock.now();
        let unit = self.db.write(&acting_as(user.id, actor)).await?;
        self.hold_active(&unit, user.id).await?;
        if !repo::use_one_time_token(&unit, Purpose::VerifyEmail, &token_hash, now).await? {
            return Err(AccountError::TokenInvalid);
        }
        self.note_verified(&unit, user.id).await?;
        Ok(unit.commit().await?)
    }

    /// Notes that the account's address is proven, and tells so if it was not.
    async fn note_verified(&self, unit: &WriteUnit, id: UserId) -> Result<(), AccountError> {
        if repo::verify_email(unit, id, self.clock.now()).await? {
            let entry = AuditEntry::new("user.email_verified", format!("user/{id}"));
            unit.audit(entry.changed("email_verified", &false, &true));
            unit.emit(&EmailVerified { user_id: id });
        }
        Ok(())
    }

    /// Asks for another mail to prove an address. The same work whether anybody has it.
    pub(crate) async fn resend_verification(&self, actor: &Actor, email: &Email) -> Result<(), AccountError> {
        let event = VerificationRequested { email: email.as_str().to_owned() };
        self.ask(actor, "user.verification_requested", &event).await
    }

    /// Asks for a mail to choose another password. The same work whether anybody has the address.
    pub(crate) async fn forgot_password(&self, actor: &Actor, email: &Email) -> Result<(), AccountError> {
        let event = PasswordForgotten { email: email.as_str().to_owned() };
        self.ask(actor, "user.password_forgotten", &event).await
    }

    async fn ask(
        &self,
        actor: &Actor,
        action: &'static str,
        event: &impl EventData,
    ) -> Result<(), AccountError> {
        let unit = self.db.write(actor).await?;
        // Not which address: whether it is anybody's is not for the log to keep for ever.
        unit.audit(AuditEntry::new(action, "address"));
        unit.emit(event);
        Ok(unit.commit().await?)
    }

    /// The active account that a token was sent to, if the token is good.
    async fn holder(&self, actor: &Actor, purpose: Purpose, token_hash: &str) -> Result<User, AccountError> {
        let primary = self.db.primary();
        let holder = repo::find_one_time_token(primary, purpose, token_hash, self.clock.now()).await?;
        let user = match holder {
            Some(TokenFor::User(id)) => repo::find_user(primary, id).await?.filter(|user| user.is_active),
            _ => None,
        };
        match user {
            Some(user) => Ok(user),
            None => Err(self.refuse_token(actor, purpose).await?),
        }
    }

    /// Notes that somebody came with a token that opens nothing.
    pub(super) async fn refuse_token(
        &self,
        actor: &Actor,
        purpose: Purpose,
    ) -> Result<AccountError, AccountError> {
        let unit = self.db.write(actor).await?;
        unit.audit(AuditEntry::new("token.refused", "token").note("purpose", purpose.name()));
        unit.commit().await?;
        Ok(AccountError::TokenInvalid)
    }

    /// Holds the account before its token: everybody who touches both does it in this order, so that none
    /// waits for another in a circle.
    async fn hold_active(&self, unit: &WriteUnit, id: UserId) -> Result<(), AccountError> {
        let held = repo::hold_credentials(unit, id).await?;
        held.filter(|held| held.user.is_active).map(|_| ()).ok_or(AccountError::TokenInvalid)
    }

    /// Sets another password by a token that was mailed. Every session ends, and so does a
    /// lock; nobody is signed in by it.
    pub(crate) async fn reset_password(
        &self,
        actor: &Actor,
        token: &str,
        password: &NewPassword,
    ) -> Result<(), AccountError> {
        let token_hash = token_hash(token);
        let user = self.holder(actor, Purpose::ResetPassword, &token_hash).await?;
        self.check_new_password(password, &user)?;
        let hash = self.passwords.hash(password.expose()).await?;
        let now = self.clock.now();
        let unit = self.db.write(&acting_as(user.id, actor)).await?;
        self.hold_active(&unit, user.id).await?;
        if !repo::use_one_time_token(&unit, Purpose::ResetPassword, &token_hash, now).await? {
            return Err(AccountError::TokenInvalid);
        }
        // The mail reached its owner: the address is theirs.
        self.note_verified(&unit, user.id).await?;
        self.replace_password(&unit, &user, &hash, PasswordChange::Reset, None).await?;
        self.clear_lock(&unit, user.id).await?;
        unit.commit().await?;
        self.sessions.forget_all();
        Ok(())
    }

    /// Sets another password for somebody who knows the old one. Every other session ends.
    pub(crate) async fn change_password(
        &self,
        actor: &Actor,
        id: UserId,
        session: Option<SessionId>,
        old: &Password,
        password: &NewPassword,
    ) -> Result<(), AccountError> {
        let found =
            self.check_password(actor, id, old).await.map_err(|error| error.in_field("current_password"))?;
        self.check_new_password(password, &found.user)?;
        let hash = self.passwords.hash(password.expose()).await?;
        let unit = self.db.write(actor).await?;
        // Of two changes at once, the second was made with a password that is none any more.
        if !repo::hold_password(&unit, id, found.password_hash.as_deref()).await? {
            return Err(AccountError::WrongPassword("current_password"));
        }
        self.replace_password(&unit, &found.user, &hash, PasswordChange::Change, session).await?;
        unit.commit().await?;
        self.sessions.forget_all();
        Ok(())
    }

    fn check_new_password(&self, password: &NewPassword, user: &User) -> Result<(), AccountError> {
        let (email, username) = (Email::parse(&user.email), Username::parse(&user.username));
        // What is stored was read by the same rules, unless they became stricter since.
        let Ok(email) = email else { return Ok(()) };
        self.check_password_rules(password, &email, username.as_ref().ok(), "new_password")
    }

    async fn replace_password(
        &self,
        unit: &WriteUnit,
        user: &User,
        hash: &str,
        via: PasswordChange,
        but: Option<SessionId>,
    ) -> Result<(), AccountError> {
        let now = self.clock.now();
        repo::set_password(unit, user.id, hash, now).await?;
        // Links that were sent before must not undo it.
        repo::end_one_time_tokens(unit, Purpose::ResetPassword, &TokenFor::User(user.id), now).await?;
        let reason = match via {
            PasswordChange::Change => RevokeReason::PasswordChanged,
            PasswordChange::Reset => RevokeReason::PasswordReset,
        };
        self.revoke_sessions(unit, user.id, but, reason).await?;
        let entry = AuditEntry::new("user.password_changed", format!("user/{}", user.id));
        unit.audit(entry.changed_secret("password").note("via", via));
        unit.emit(&PasswordChanged { user_id: user.id, via });
        Ok(())
    }
}
