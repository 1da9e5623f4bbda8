//! Signing in.

use std::time::Duration;

use mainstay_core::{Actor, AuditEntry, Timestamp};
use mainstay_db::WriteUnit;

use super::lockout::Guess;
use super::{Accounts, acting_as, compared, to_the_end, token_hash};
use crate::domain::{Password, SessionId, User, describe_device};
use crate::error::AccountError;
use crate::events::{SessionCreated, SignInMethod};
use crate::gate::Pass;
use crate::refresh::RefreshTokens;
use crate::repo::{self, Credentials};

/// By what somebody signs in.
#[derive(Clone, Debug)]
pub(crate) enum LoginName {
    Email(String),
    Username(String),
}

/// Where a sign-in comes from, for the list of sessions.
#[derive(Clone, Debug, Default)]
pub(crate) struct Device {
    pub(crate) user_agent: Option<String>,
    pub(crate) address: Option<String>,
}

/// An attempt to sign in.
#[derive(Clone, Debug)]
pub(crate) struct SignIn {
    pub(crate) name: LoginName,
    pub(crate) password: Password,
    pub(crate) method: SignInMethod,
    pub(crate) device: Device,
}

/// What a sign-in gives.
#[derive(Clone, Debug)]
pub(crate) struct Grant {
    pub(crate) access_token: String,
    pub(crate) refresh_token: String,
    pub(crate) expires_in: u32,
}

/// Somebody who may be signed in, the transaction for it open.
struct Proven {
    unit: WriteUnit,
    user: User,
    device: Device,
    method: SignInMethod,
    /// Held until the sign-in is written.
    _inside: Pass,
}

impl Accounts {
    /// Signs somebody in: a new session and its first tokens. An unknown name, a wrong
    /// password and a switched-off account are one answer in one time. Goes on
    /// when the caller is gone: an attempt that was begun counts.
    pub(crate) async fn login(&self, actor: &Actor, sign_in: SignIn) -> Result<Grant, AccountError> {
        let (accounts, actor) = (self.clone(), actor.clone());
        to_the_end(async move {
            let tokens = accounts.keys.fresh().await?;
            let proven = accounts.attempt(&actor, sign_in).await?;
            let Proven { unit, user, device, method, _inside } = proven;
            let (session, refresh_token) = accounts.open_session(&unit, &user, device, method).await?;
            unit.commit().await?;
            let access_token = tokens.issue(user.id, session.uuid(), accounts.ids.make(), user.roles)?;
            Ok(Grant { access_token, refresh_token, expires_in: tokens.lifetime_s() })
        })
        .await
    }

    /// The same for a browser: a new session, whose cookie is its only proof. Gives the cookie's value.
    pub(crate) async fn login_browser(&self, actor: &Actor, sign_in: SignIn) -> Result<String, AccountError> {
        let (accounts, actor) = (self.clone(), actor.clone());
        to_the_end(async move {
            let proven = accounts.attempt(&actor, sign_in).await?;
            let Proven { unit, user, device, method, _inside } = proven;
            let cookie = accounts.new_cookie();
            let life = Duration::from_secs(accounts.settings.web_session_s);
            let ends = accounts.clock.now().after(life);
            let hash = Some(token_hash(&cookie));
            accounts.insert_session(&unit, &user, device, method, ends, hash).await?;
            unit.commit().await?;
            Ok(cookie)
        })
        .await
    }

    async fn attempt(&self, actor: &Actor, sign_in: SignIn) -> Result<Proven, AccountError> {
        let SignIn { name, password, method, device } = sign_in;
        let (name, found) = match name {
            LoginName::Email(email) => {
                let name = compared(&email);
                let found = repo::find_by_email(self.db.primary(), &name).await?;
                (name, found)
            }
            LoginName::Username(username) => {
                let name = compared(&username);
                let found = repo::find_by_username(self.db.primary(), &name).await?;
                (name, found)
            }
        };
        let guess = Guess::login(&name, found.as_ref().map(|found| found.user.id), actor);
        let hash = found.as_ref().and_then(|found| found.password_hash.as_deref());
        // Where accounts are concealed, an unproven one must not tell who registered it just now that the
        // address was free.
        let acceptable = found.as_ref().is_some_and(|found| {
            found.user.is_active && (found.user.email_verified || !self.settings.conceal_accounts)
        });
        let inside = self.check_guess(actor, &guess, &password, hash, acceptable).await?;
        let Some(Credentials { user, password_hash: Some(hash) }) = found else {
            return Err(AccountError::InvalidCredentials);
        };

        // The slow part first: no transaction waits for it.
        // Beyond bcrypt's 72 bytes anything was right, so what was typed proves nothing there.
        let is_whole = !hash.starts_with("$2") || password.expose().len() <= 72;
        let new_hash = match is_whole && self.passwords.needs_rehash(&hash) {
            true => Some(self.passwords.hash(password.expose()).await?),
            false => None,
        };
        let unit = self.db.write(&acting_as(user.id, actor)).await?;
        // The password that was right may have been changed meanwhile, and every session ended: not after this.
        let now_is = repo::hold_credentials(&unit, user.id).await?;
        let Some(Credentials { user, .. }) =
            now_is.filter(|now| now.user.is_active && now.password_hash.as_deref() == Some(hash.as_str()))
        else {
            unit.audit(guess.entry("login.failed").note("reason", "changed_meanwhile"));
            unit.commit().await?;
            return Err(AccountError::InvalidCredentials);
        };
        if let Some(remaining) = self.locked_for(&unit, &guess).await? {
            unit.rollback().await?;
            return Err(self.refuse_locked(actor, &guess, remaining).await?);
        }
        self.reset_failures(&unit, user.id).await?;
        if let Some(new_hash) = new_hash {
            repo::rehash(&unit, user.id, &hash, new_hash).await?;
        }
        if self.settings.require_verified_email && !user.email_verified {
            unit.audit(guess.entry("login.failed").note("reason", "email_not_verified"));
            unit.commit().await?;
            return Err(AccountError::EmailNotVerified);
        }
        unit.audit(guess.entry("login.succeeded").note("method", method));
        Ok(Proven { unit, user, device, method, _inside: inside })
    }

    /// A new session of this user with its first refresh token.
    async fn open_session(
        &self,
        unit: &WriteUnit,
        user: &User,
        device: Device,
        method: SignInMethod,
    ) -> Result<(SessionId, String), AccountError> {
        let now = self.clock.now();
        let ends = now.after(Duration::from_secs(self.settings.session_s));
        let session = self.insert_session(unit, user, device, method, ends, None).await?;
        let refresh_token = RefreshTokens::first(&*self.rng);
        let idle_end = ends.min(now.after(self.idle()));
        repo::insert_refresh_token(unit, token_hash(&refresh_token), session, now, idle_end).await?;
        Ok((session, refresh_token))
    }

    async fn insert_session(
        &self,
        unit: &WriteUnit,
        user: &User,
        device: Device,
        method: SignInMethod,
        ends: Timestamp,
        cookie_hash: Option<String>,
    ) -> Result<SessionId, AccountError> {
        let now = self.clock.now();
        let session: SessionId = self.ids.make();
        let event = SessionCreated {
            session_id: session,
            user_id: user.id,
            method,
            device: describe_device(device.user_agent.as_deref()),
            address: device.address.clone(),
            expires_at: ends,
        };
        let row =
            repo::session_row(session, user.id, device.user_agent, device.address, now, ends, cookie_hash);
        repo::insert_session(unit, row).await?;
        let entry = AuditEntry::new("session.created", format!("session/{session}"));
        unit.audit(entry.set("user_id", user.id).note("method", method).note("device", &event.device));
        unit.emit(&event);
        Ok(session)
    }

    /// How long a session lives without being used.
    pub(super) fn idle(&self) -> Duration {
        Duration::from_secs(self.settings.session_idle_s)
    }
}
