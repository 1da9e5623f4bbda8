//! Exchanging a refresh token for a new pair.

use std::time::Duration;

use mainstay_core::{Actor, AuditEntry, Timestamp, UserId};

use super::sign_in::{Device, Grant};
use super::{Accounts, acting_as, token_hash};
use crate::domain::{SessionId, User};
use crate::error::AccountError;
use crate::events::RevokeReason;
use crate::refresh::RefreshTokens;
use crate::repo::{self, Credentials, Family};

/// How long after an exchange the same token gives the same pair again: for answers that were lost and for
/// two tabs that refresh together.
const GRACE: Duration = Duration::from_secs(10);

/// A refresh token that was looked at.
struct Presented<'a> {
    text: &'a str,
    hash: String,
    session: SessionId,
    session_ends: Timestamp,
    user: User,
    rotated_at: Option<Timestamp>,
}

impl Accounts {
    /// A new pair for a refresh token, which dies. Within ten seconds, and until the new one is
    /// used, the old one gives the same pair again; any other use of it ends the session:
    /// one of the two who have it stole it.
    pub(crate) async fn refresh(
        &self,
        actor: &Actor,
        token: &str,
        device: Device,
    ) -> Result<Grant, AccountError> {
        let presented = self.look_up(token).await?;
        if presented.rotated_at.is_none() {
            let now = self.clock.now();
            if self.rotate(actor, &presented, device, now).await? {
                return self.pair(&presented, now, now).await;
            }
            // Somebody was quicker with the same token: what they got is what we get.
            let again = self.look_up(token).await?;
            return self.replay(actor, &again).await;
        }
        self.replay(actor, &presented).await
    }

    /// A refresh token of a session that lives. Reads only: what nobody gave out costs no transaction.
    async fn look_up<'a>(&self, token: &'a str) -> Result<Presented<'a>, AccountError> {
        if !RefreshTokens::is_one(token) {
            return Err(AccountError::InvalidRefreshToken);
        }
        let hash = token_hash(token);
        let found = repo::find_family(self.db.primary(), &hash).await?;
        let Family { token: row, session, user } = found.ok_or(AccountError::InvalidRefreshToken)?;
        let now = self.clock.now().millis();
        let Credentials { user, .. } = user.into();
        let idle = row.rotated_at.is_none() && row.expires_at <= now;
        if session.revoked_at.is_some() || session.expires_at <= now || idle || !user.is_active {
            return Err(AccountError::InvalidRefreshToken);
        }
        Ok(Presented {
            text: token,
            hash,
            session: session.id.into(),
            session_ends: Timestamp::from_millis(session.expires_at),
            user,
            rotated_at: row.rotated_at.map(Timestamp::from_millis),
        })
    }

    /// Exchanges the token for its child. False if somebody else did.
    async fn rotate(
        &self,
        actor: &Actor,
        presented: &Presented<'_>,
        device: Device,
        now: Timestamp,
    ) -> Result<bool, AccountError> {
        let unit = self.db.write(&acting_as(presented.user.id, actor)).await?;
        // The session first: it may have been ended since, and everybody who changes the family waits here.
        if !repo::touch_session(&unit, presented.session, device.address, now).await? {
            return Err(AccountError::InvalidRefreshToken);
        }
        if !repo::rotate_refresh_token(&unit, &presented.hash, now).await? {
            unit.rollback().await?;
            return Ok(false);
        }
        let child = token_hash(&self.refresh_tokens.child(presented.text));
        let ends = presented.session_ends.min(now.after(self.idle()));
        repo::insert_refresh_token(&unit, child, presented.session, now, ends).await?;
        unit.commit().await?;
        Ok(true)
    }

    /// A token that was exchanged before comes again.
    async fn replay(&self, actor: &Actor, presented: &Presented<'_>) -> Result<Grant, AccountError> {
        let rotated_at = presented.rotated_at.ok_or(AccountError::InvalidRefreshToken)?;
        let now = self.clock.now();
        if now.since(rotated_at) <= GRACE {
            let child = token_hash(&self.refresh_tokens.child(presented.text));
            let child = repo::find_refresh_token(self.db.primary(), &child).await?;
            if child.is_some_and(|child| child.rotated_at.is_none()) {
                return self.pair(presented, rotated_at, now).await;
            }
        }
        self.end_reused(actor, presented.user.id, presented.session).await?;
        Err(AccountError::InvalidRefreshToken)
    }

    /// The pair that the exchange at `rotated_at` gave: the same whenever it is asked for.
    async fn pair(
        &self,
        presented: &Presented<'_>,
        rotated_at: Timestamp,
        now: Timestamp,
    ) -> Result<Grant, AccountError> {
        let tokens = self.keys.fresh().await?;
        let id = self.refresh_tokens.access_id(presented.text);
        let User { id: user, roles, .. } = presented.user;
        let access_token = tokens.issue_at(rotated_at, user, presented.session.uuid(), id, roles)?;
        let passed = u32::try_from(now.since(rotated_at).as_secs()).unwrap_or(u32::MAX);
        let expires_in = tokens.lifetime_s().saturating_sub(passed);
        Ok(Grant { access_token, refresh_token: self.refresh_tokens.child(presented.text), expires_in })
    }

    async fn end_reused(&self, actor: &Actor, user: UserId, session: SessionId) -> Result<(), AccountError> {
        let now = self.clock.now();
        // Not as the user: who it was is the very question.
        let unit = self.db.write(actor).await?;
        if repo::revoke_session(&unit, user, session, now).await? {
            let entry = AuditEntry::new("session.refresh_reused", format!("session/{session}"));
            unit.audit(entry.note("user_id", user));
            Self::tell_revoked(&unit, user, session, RevokeReason::RefreshReused);
            unit.commit().await?;
        }
        self.sessions.forget(&session);
        Ok(())
    }
}
