//! From a token to the user as they are now.
//!
//! The token proves who; what they may do, and whether they still may, is asked
//! of the database and remembered for one second: a role taken away or a
//! session ended takes effect everywhere within that.

use std::time::Duration;

use mainstay_auth::{AuthError, Authenticator, Credentials, Roles, SignedIn};
use mainstay_core::UserId;
use moka::sync::Cache;
use uuid::Uuid;

use crate::repo;
use crate::service::Accounts;

/// How long what the database said of a session is believed.
const BELIEVED: Duration = Duration::from_secs(1);

pub(crate) struct TokenAuthenticator {
    accounts: Accounts,
    seen: Cache<(Uuid, UserId), Option<Roles>>,
}

impl TokenAuthenticator {
    pub(crate) fn new(accounts: &Accounts) -> Self {
        let seen = Cache::builder().max_capacity(20_000).time_to_live(BELIEVED).build();
        Self { accounts: accounts.clone(), seen }
    }
}

#[async_trait::async_trait]
impl Authenticator for TokenAuthenticator {
    async fn authenticate(&self, credentials: Credentials<'_>) -> Result<SignedIn, AuthError> {
        let Credentials::Bearer(token) = credentials else { return Err(AuthError::Refused) };
        let claims = self.accounts.tokens.read(token).map_err(|_| AuthError::Refused)?;
        let key = (claims.sid, claims.sub);
        let roles = match self.seen.get(&key) {
            Some(roles) => roles,
            None => {
                let (db, now) = (&self.accounts.db, self.accounts.clock.now());
                let roles = repo::session_roles(db, claims.sid.into(), claims.sub, now)
                    .await
                    .map_err(|error| AuthError::Unavailable(error.into()))?;
                self.seen.insert(key, roles);
                roles
            }
        };
        let roles = roles.ok_or(AuthError::Refused)?;
        Ok(SignedIn { user_id: claims.sub, roles, session_id: claims.sid })
    }
}
