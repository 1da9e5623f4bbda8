//! From a token to the user as they are now.
//!
//! The token proves who; what they may do, and whether they still may, is asked
//! of the database and believed for a moment: a role taken away or a session
//! ended takes effect on every node within a second, and at once where it was done.

use mainstay_auth::{AuthError, Authenticator, Claims, Credentials, Principal, Roles, SignedIn, Via};
use mainstay_core::{Timestamp, UserId};
use sea_orm::DbErr;

use crate::domain::SessionId;
use crate::keys::ReadError;
use crate::repo;
use crate::service::Accounts;

pub(crate) struct TokenAuthenticator {
    accounts: Accounts,
}

impl TokenAuthenticator {
    pub(crate) fn new(accounts: &Accounts) -> Self {
        Self { accounts: accounts.clone() }
    }
}

#[async_trait::async_trait]
impl Authenticator for TokenAuthenticator {
    async fn authenticate(&self, credentials: Credentials<'_>) -> Result<Principal, AuthError> {
        match credentials {
            Credentials::Bearer(token) => {
                let claims = self.accounts.keys.read(token).await.map_err(|error| match error {
                    ReadError::Refused(_) => AuthError::Refused,
                    ReadError::Unavailable(error) => AuthError::Unavailable(error.into()),
                })?;
                let roles = self.accounts.present_roles(&claims).await;
                let roles = roles.map_err(|error| AuthError::Unavailable(error.into()))?;
                Ok(Principal::User(SignedIn {
                    user_id: claims.sub,
                    roles: roles.ok_or(AuthError::Refused)?,
                    via: Via::Session(claims.sid),
                    ends_at: Some(Timestamp::from_millis(claims.exp * 1000)),
                }))
            }
            Credentials::ApiKey(key) => self.accounts.api_keys.authenticate(key).await.map(Principal::User),
            Credentials::Basic { id, secret } => {
                self.accounts.services.authenticate(id, secret).await.map(Principal::Service)
            }
            Credentials::Cookie(cookie) => match self.accounts.browser_user(cookie).await {
                Ok(user) => user.map(Principal::User).ok_or(AuthError::Refused),
                Err(error) => Err(AuthError::Unavailable(error.into())),
            },
            // A kind that is newer than this.
            _ => Err(AuthError::Refused),
        }
    }

    fn made_here(&self, credentials: Credentials<'_>) -> bool {
        match credentials {
            // Its signature says it. Of one that names a key of which this node has not heard, it would take
            // a look to tell.
            Credentials::Bearer(token) => !self.accounts.keys.names_unknown_key(token),
            Credentials::ApiKey(key) => self.accounts.mint.made_api_key(key),
            Credentials::Basic { id, secret } => self.accounts.mint.made_service(id, secret),
            Credentials::Cookie(cookie) => self.accounts.mint.made_cookie(cookie),
            _ => false,
        }
    }
}

impl Accounts {
    /// What the owner of an access token may do now. `None` if its session, or its
    /// user, may do nothing any more.
    pub(crate) async fn present_roles(&self, claims: &Claims) -> Result<Option<Roles>, DbErr> {
        self.roles_of_session(SessionId::from(claims.sid), claims.sub).await
    }

    /// The same by a session.
    pub(crate) async fn roles_of_session(
        &self,
        session: SessionId,
        user: UserId,
    ) -> Result<Option<Roles>, DbErr> {
        if let Some(roles) = self.sessions.get(&session) {
            return Ok(roles);
        }
        let asked = self.sessions.ask();
        let roles = repo::session_roles(&self.db, session, user, self.clock.now()).await?;
        self.sessions.keep(asked, session, roles);
        Ok(roles)
    }
}
