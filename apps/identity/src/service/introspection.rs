//! What other programs may know of a token: RFC 7662, and the check for gateways.

use std::sync::Arc;

use mainstay_auth::{API_KEY_PREFIX, Roles, Scopes};
use mainstay_core::{Timestamp, UserId};
use mainstay_db::Db;
use sea_orm::DbErr;
use uuid::Uuid;

use super::{Accounts, token_hash};
use crate::believed::Believed;
use crate::error::AccountError;
use crate::keys::ReadError;
use crate::refresh::RefreshTokens;
use crate::repo::{self, LiveKey};

/// What kind of token it is, as far as it matters to whoever is shown one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TokenType {
    Access,
    ApiKey,
    Refresh,
}

impl TokenType {
    /// Its name on the wire; an access token's is the one that it was given out with.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Access => "bearer",
            Self::ApiKey => "api_key",
            Self::Refresh => "refresh_token",
        }
    }
}

/// A token that opens something at this moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ActiveToken {
    pub(crate) token_type: TokenType,
    pub(crate) user_id: UserId,
    pub(crate) username: String,
    pub(crate) roles: Roles,
    pub(crate) scopes: Scopes,
    /// `None` for a refresh token, which has no name of its own.
    pub(crate) id: Option<Uuid>,
    pub(crate) issued_at_s: i64,
    /// `None`: it does not end by itself.
    pub(crate) expires_at_s: Option<i64>,
    pub(crate) issuer: String,
    pub(crate) audience: String,
}

/// A token without what all of them have in common.
struct Found {
    token_type: TokenType,
    user_id: UserId,
    roles: Roles,
    scopes: Scopes,
    id: Option<Uuid>,
    issued_at_s: i64,
    expires_at_s: Option<i64>,
}

impl Accounts {
    /// What a token of any kind opens now. `None` if nothing, for whatever reason:
    /// why is not the asking program's business. Always as the database has it.
    pub(crate) async fn introspect(&self, token: &str) -> Result<Option<ActiveToken>, AccountError> {
        let found = if token.starts_with(API_KEY_PREFIX) {
            self.api_keys.look_up(token).await?.map(Found::of_key)
        } else if token.contains('.') {
            self.look_up_access_token(token).await?
        } else {
            self.look_up_refresh_token(token).await?
        };
        let Some(found) = found else { return Ok(None) };
        let Some(username) = repo::find_username(&self.db, found.user_id).await? else { return Ok(None) };
        let Found { token_type, user_id, roles, scopes, id, issued_at_s, expires_at_s } = found;
        Ok(Some(ActiveToken {
            token_type,
            user_id,
            username,
            roles,
            scopes,
            id,
            issued_at_s,
            expires_at_s,
            issuer: self.public_url.to_string(),
            audience: self.settings.audience.clone(),
        }))
    }

    async fn look_up_access_token(&self, token: &str) -> Result<Option<Found>, AccountError> {
        let now = self.clock.now();
        // No leeway here: who is told "active" must not read a time that is over beside it.
        let claims = match self.keys.read(token).await {
            Ok(claims) if claims.exp > now.seconds() => claims,
            Ok(_) | Err(ReadError::Refused(_)) => return Ok(None),
            Err(ReadError::Unavailable(error)) => return Err(error.into()),
        };
        let roles = repo::session_roles(&self.db, claims.sid.into(), claims.sub, now).await?;
        Ok(roles.map(|roles| Found {
            token_type: TokenType::Access,
            user_id: claims.sub,
            roles,
            scopes: Scopes::all(),
            id: Some(claims.jti),
            issued_at_s: claims.iat,
            expires_at_s: Some(claims.exp),
        }))
    }

    async fn look_up_refresh_token(&self, token: &str) -> Result<Option<Found>, DbErr> {
        if !RefreshTokens::is_one(token) {
            return Ok(None);
        }
        let now = self.clock.now().millis();
        let Some(family) = repo::find_family(self.db.primary(), &token_hash(token)).await? else {
            return Ok(None);
        };
        let repo::Family { token, session, user } = family;
        let fresh = token.rotated_at.is_none() && token.expires_at > now;
        let lives = session.revoked_at.is_none() && session.expires_at > now && user.is_active;
        Ok((fresh && lives).then(|| Found {
            token_type: TokenType::Refresh,
            user_id: user.id.into(),
            roles: Roles::from_text(&user.roles),
            scopes: Scopes::all(),
            id: None,
            issued_at_s: Timestamp::from_millis(token.created_at).seconds(),
            expires_at_s: Some(Timestamp::from_millis(token.expires_at.min(session.expires_at)).seconds()),
        }))
    }
}

impl Found {
    fn of_key(key: LiveKey) -> Self {
        let LiveKey { id, user_id, roles, scopes, created_at, expires_at, last_used_at: _, limit_policy: _ } =
            key;
        Self {
            token_type: TokenType::ApiKey,
            user_id,
            roles,
            scopes,
            id: Some(id),
            issued_at_s: created_at.seconds(),
            expires_at_s: expires_at.map(Timestamp::seconds),
        }
    }
}

/// The names that accounts go by, each believed for a moment. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Usernames {
    db: Db,
    seen: Arc<Believed<UserId, Option<String>>>,
}

impl Usernames {
    pub(crate) fn new(db: Db) -> Self {
        Self { db, seen: Arc::new(Believed::new()) }
    }

    /// The name. `None` if the account is gone.
    pub(crate) async fn get(&self, user: UserId) -> Result<Option<String>, DbErr> {
        if let Some(name) = self.seen.get(&user) {
            return Ok(name);
        }
        let asked = self.seen.ask();
        let name = repo::find_username(&self.db, user).await?;
        self.seen.keep(asked, user, name.clone());
        Ok(name)
    }
}
