//! Where somebody is signed in, and ending that.

use std::time::Duration;

use mainstay_core::{Actor, AuditEntry, Page, Paging, Problem, Timestamp, UserId};
use mainstay_db::WriteUnit;
use sea_orm::DbErr;

use super::{Accounts, acting_as, token_hash};
use crate::domain::{Session, SessionId, SessionOrder};
use crate::entity::session;
use crate::error::AccountError;
use crate::events::{RevokeReason, SessionRevoked};
use crate::refresh::RefreshTokens;
use crate::repo;

/// What somebody signs out with.
#[derive(Clone, Debug, Default)]
pub(crate) struct Logout {
    /// The session of their access token.
    pub(crate) signed_in: Option<(UserId, SessionId)>,
    /// A refresh token, whose family ends too.
    pub(crate) refresh_token: Option<String>,
}

impl Accounts {
    /// Ends the session of an access token, of a refresh token, or both. A refresh
    /// token that is unknown, or beside an access token somebody else's, ends nothing.
    pub(crate) async fn logout(&self, actor: &Actor, logout: Logout) -> Result<(), AccountError> {
        let Logout { signed_in, refresh_token } = logout;
        let mut ending = Vec::from_iter(signed_in);
        if let Some(token) = refresh_token.filter(|token| RefreshTokens::is_one(token)) {
            let found = repo::find_family(self.db.primary(), &token_hash(&token)).await?;
            let family = found.map(|found| (UserId::from(found.user.id), SessionId::from(found.session.id)));
            let own = family.filter(|(user, _)| signed_in.is_none_or(|(caller, _)| caller == *user));
            ending.extend(own.filter(|own| Some(own) != signed_in.as_ref()));
        }
        for (user, session) in ending {
            self.end_session(&acting_as(user, actor), user, session, RevokeReason::Logout).await?;
        }
        Ok(())
    }

    /// Ends every session of this user.
    pub(crate) async fn logout_all(&self, actor: &Actor, user: UserId) -> Result<(), AccountError> {
        let unit = self.db.write(actor).await?;
        self.revoke_sessions(&unit, user, None, RevokeReason::LogoutAll).await?;
        unit.commit().await?;
        self.sessions.forget_all();
        Ok(())
    }

    /// Ends the user's live sessions but one, within a larger change. After its commit call
    /// `self.sessions.forget_all()`, so that this node knows at once. Gives how many.
    pub(crate) async fn revoke_sessions(
        &self,
        unit: &WriteUnit,
        user: UserId,
        but: Option<SessionId>,
        reason: RevokeReason,
    ) -> Result<usize, DbErr> {
        let now = self.clock.now();
        let mut ended = 0;
        for session in repo::live_sessions(unit, user, now).await? {
            if Some(session) != but && repo::revoke_session(unit, user, session, now).await? {
                Self::tell_revoked(unit, user, session, reason);
                ended += 1;
            }
        }
        Ok(ended)
    }

    /// Ends one of the user's own sessions.
    pub(crate) async fn revoke_session(
        &self,
        actor: &Actor,
        user: UserId,
        session: SessionId,
    ) -> Result<(), AccountError> {
        match self.end_session(actor, user, session, RevokeReason::Ended).await? {
            true => Ok(()),
            false => Err(AccountError::SessionNotFound),
        }
    }

    async fn end_session(
        &self,
        actor: &Actor,
        user: UserId,
        session: SessionId,
        reason: RevokeReason,
    ) -> Result<bool, AccountError> {
        let unit = self.db.write(actor).await?;
        let ended = repo::revoke_session(&unit, user, session, self.clock.now()).await?;
        if ended {
            Self::tell_revoked(&unit, user, session, reason);
            unit.commit().await?;
            self.sessions.forget(&session);
        }
        Ok(ended)
    }

    pub(super) fn tell_revoked(unit: &WriteUnit, user: UserId, session: SessionId, reason: RevokeReason) {
        let entry = AuditEntry::new("session.revoked", format!("session/{session}"));
        unit.audit(entry.note("user_id", user).note("reason", reason));
        unit.emit(&SessionRevoked { session_id: session, user_id: user, reason });
    }

    /// Where this user is signed in.
    pub(crate) async fn list_sessions(
        &self,
        user: UserId,
        paging: &Paging<SessionOrder>,
    ) -> Result<Page<Session>, Problem> {
        let now = self.clock.now();
        let ago = |idle: Duration| {
            let idle = i64::try_from(idle.as_millis()).unwrap_or(i64::MAX);
            Timestamp::from_millis(now.millis().saturating_sub(idle))
        };
        let used_since = repo::UsedSince { tokens: ago(self.idle()), browsers: ago(self.browser_idle()) };
        // What just ended must not be in it: the latest state, whoever asks.
        let page = repo::list_sessions(self.db.primary(), user, now, used_since, paging).await?;
        Ok(page.map(|row| self.session(row)))
    }

    fn session(&self, row: session::Model) -> Session {
        let session::Model {
            id,
            user_id: _,
            user_agent,
            address,
            created_at,
            last_used_at,
            expires_at,
            revoked_at: _,
            cookie_hash,
        } = row;
        let idle = if cookie_hash.is_some() { self.browser_idle() } else { self.idle() };
        let last_used_at = Timestamp::from_millis(last_used_at);
        Session {
            id: id.into(),
            user_agent,
            address,
            created_at: Timestamp::from_millis(created_at),
            last_used_at,
            expires_at: Timestamp::from_millis(expires_at).min(last_used_at.after(idle)),
        }
    }
}
