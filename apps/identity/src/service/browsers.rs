//! Sessions of browsers: from a cookie to its owner.

use std::time::Duration;

use mainstay_auth::{SignedIn, Via};
use mainstay_core::{Actor, Timestamp};
use sea_orm::DbErr;

use super::{Accounts, token_hash};
use crate::domain::SessionId;
use crate::error::AccountError;
use crate::repo::{self, BrowserSession};

/// A use is noted at most so often.
const PAUSE: Duration = Duration::from_secs(60);

/// Characters of a cookie's value.
const COOKIE: usize = 43;

impl Accounts {
    /// How long a browser's session lives without being used.
    pub(crate) fn browser_idle(&self) -> Duration {
        Duration::from_secs(self.settings.web_idle_s)
    }

    /// How long it lives at most, in seconds.
    pub(crate) fn browser_session_s(&self) -> u64 {
        self.settings.web_session_s
    }

    /// A cookie that nobody has.
    pub(super) fn new_cookie(&self) -> String {
        self.mint.cookie(&*self.rng).expose().to_owned()
    }

    /// Who a cookie belongs to. `None` if it opens nothing, or nothing any more.
    pub(crate) async fn browser_user(&self, cookie: &str) -> Result<Option<SignedIn>, DbErr> {
        if cookie.len() != COOKIE {
            return Ok(None);
        }
        let hash = token_hash(cookie);
        let Some(found) = self.browser_session(&hash).await? else { return Ok(None) };
        let now = self.clock.now();
        let BrowserSession { id, user_id, last_used_at, expires_at } = found;
        let ends = expires_at.min(last_used_at.after(self.browser_idle()));
        if now >= ends {
            return Ok(None);
        }
        let Some(roles) = self.roles_of_session(id, user_id).await? else { return Ok(None) };
        if now.since(last_used_at) >= PAUSE {
            self.note_browser(id, &hash, now).await;
        }
        Ok(Some(SignedIn { user_id, roles, via: Via::Session(id.uuid()), ends_at: Some(ends) }))
    }

    async fn browser_session(&self, hash: &str) -> Result<Option<BrowserSession>, DbErr> {
        let key = hash.to_owned();
        if let Some(found) = self.browsers.get(&key) {
            return Ok(found);
        }
        let asked = self.browsers.ask();
        let found = repo::find_browser_session(&self.db, hash).await?;
        self.browsers.keep(asked, key, found);
        Ok(found)
    }

    /// Notes that a browser's session is used: it ends when that has not happened for long. A note
    /// that fails is not the visitor's trouble.
    async fn note_browser(&self, session: SessionId, hash: &str, now: Timestamp) {
        let written = async {
            let unit = self.db.write(&Actor::system("browser sessions")).await?;
            repo::touch_session(&unit, session, None, now).await?;
            unit.commit().await
        };
        match written.await {
            Ok(()) => self.browsers.forget(&hash.to_owned()),
            Err(error) => tracing::warn!(%error, "the use of a session was not noted"),
        }
    }

    /// Gives a browser's session another cookie, after what a thief of the old one must not share.
    pub(crate) async fn replace_cookie(
        &self,
        actor: &Actor,
        session: SessionId,
    ) -> Result<String, AccountError> {
        let cookie = self.new_cookie();
        let unit = self.db.write(actor).await?;
        if !repo::replace_cookie(&unit, session, token_hash(&cookie)).await? {
            return Err(AccountError::SessionNotFound);
        }
        unit.commit().await?;
        self.browsers.forget_all();
        Ok(cookie)
    }
}
