//! What can be done with accounts.

use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use mainstay_app::Platform;
use mainstay_auth::{Passwords, Role, Roles, TokenSettings, Tokens};
use mainstay_core::{Actor, Clock, Faults, Ids, Patch, Rng, UserId};
use mainstay_db::{Db, UnitWork, unique_violation};
use mainstay_http::{ETag, IfMatch};
use sea_orm::DbErr;
use unicode_normalization::UnicodeNormalization as _;
use uuid::Uuid;

use crate::domain::{Email, NewPassword, Password, SessionId, User, Username};
use crate::entity::user;
use crate::error::AccountError;
use crate::keys::KeyStore;
use crate::repo::{self, Credentials};
use crate::settings::IdentitySettings;

/// The service of accounts. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Accounts {
    pub(crate) db: Db,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) tokens: Tokens,
    rng: Arc<dyn Rng>,
    ids: Ids,
    passwords: Passwords,
    keys: KeyStore,
    settings: Arc<IdentitySettings>,
    public_url: Arc<str>,
}

/// An account to make.
#[derive(Clone, Debug)]
pub struct NewUser {
    /// Its address.
    pub email: Email,
    /// Its password.
    pub password: NewPassword,
    /// The name it goes by. `None`: one is made from the address.
    pub username: Option<Username>,
    /// The person's name.
    pub name: Option<String>,
    /// System roles.
    pub roles: Roles,
    /// Whether the address counts as proven, as for accounts that an operator makes.
    pub email_verified: bool,
}

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

/// What a sign-in gives.
#[derive(Clone, Debug)]
pub(crate) struct Grant {
    pub(crate) access_token: String,
    pub(crate) expires_in: u32,
}

/// What a person may change of their own account.
#[derive(Clone, Debug)]
pub(crate) struct ProfilePatch {
    pub(crate) username: Patch<Username>,
    pub(crate) name: Patch<Option<String>>,
}

const SETUP: &str = "setup";
const SETUP_LIFETIME: Duration = Duration::from_secs(30 * 60);

impl Accounts {
    pub(crate) fn new(platform: &Platform, settings: IdentitySettings) -> Self {
        let tokens = TokenSettings {
            issuer: platform.public_url.clone(),
            audience: settings.audience.clone(),
            lifetime_s: settings.access_token_s,
        };
        Self {
            db: platform.db.clone(),
            clock: platform.clock.clone(),
            tokens: Tokens::new(tokens, platform.clock.clone()),
            rng: platform.rng.clone(),
            ids: platform.ids.clone(),
            passwords: platform.passwords.clone(),
            keys: KeyStore::new(platform),
            settings: Arc::new(settings),
            public_url: platform.public_url.as_str().into(),
        }
    }

    /// Loads the signing keys, making the first; tells how to make the first
    /// administrator while there is none.
    pub(crate) async fn start(&self) -> anyhow::Result<Vec<String>> {
        self.tokens.use_keys(&self.keys.load_or_make().await?);
        if repo::has_admin(self.db.primary()).await? {
            return Ok(Vec::new());
        }
        let token = self.issue_setup_token().await?;
        Ok(vec![
            "No administrator yet. Create one within 30 minutes (this works once):".to_owned(),
            format!("  curl -X POST {}/api/v1/setup -H 'content-type: application/json' \\", self.public_url),
            format!("    -d '{{\"token\":\"{token}\",\"email\":\"you@example.com\",\"password\":\"…\"}}'"),
            "or at any time:  mainstay users create-admin --email you@example.com".to_owned(),
        ])
    }

    /// A new account.
    ///
    /// # Errors
    /// [`AccountError::EmailTaken`], [`AccountError::UsernameTaken`],
    /// [`AccountError::Invalid`] for a password that does not do for this account.
    pub async fn register(&self, actor: &Actor, new: NewUser) -> Result<User, AccountError> {
        let context =
            [new.email.as_str(), new.email.local(), new.username.as_ref().map_or("", Username::as_str)];
        new.password.check_for(self.settings.password_min_length, &context).map_err(|invalid| {
            AccountError::Invalid(Faults::one("password", invalid.code, invalid.message))
        })?;
        // The slow part first: no transaction waits for it.
        let hash = self.passwords.hash(new.password.expose()).await?;
        for attempt in 0..5_u8 {
            let username = match &new.username {
                Some(username) => username.clone(),
                None => Username::derive(new.email.local(), (attempt > 0).then(|| self.suffix())),
            };
            match self.insert(actor, &new, &username, &hash).await {
                // A made name may collide; a chosen one is the chooser's to change.
                Err(AccountError::UsernameTaken) if new.username.is_none() => {}
                outcome => return outcome,
            }
        }
        Err(AccountError::UsernameTaken)
    }

    fn suffix(&self) -> u32 {
        u32::from_le_bytes(self.rng.bytes()) % 1_000_000
    }

    async fn insert(
        &self,
        actor: &Actor,
        new: &NewUser,
        username: &Username,
        hash: &str,
    ) -> Result<User, AccountError> {
        let now = self.clock.now();
        let id: UserId = self.ids.make();
        let row = repo::user_row(
            id,
            (new.email.as_str().to_owned(), new.email.normalized()),
            (username.as_str().to_owned(), username.normalized()),
            new.name.clone(),
            hash.to_owned(),
            new.roles,
            new.email_verified.then_some(now),
            now,
        );
        let user = Credentials::from(row.clone()).user;
        let unit = self.db.write(actor).await?;
        // The indexes decide, not a SELECT before: two requests can pass that together.
        repo::insert_user(&unit, row).await.map_err(taken)?;
        unit.commit().await?;
        Ok(user)
    }

    /// Signs somebody in: a new session and its first access token. An unknown
    /// name, a wrong password and a switched-off account are one answer in one time.
    pub(crate) async fn login(
        &self,
        actor: &Actor,
        name: &LoginName,
        password: &Password,
        device: Device,
    ) -> Result<Grant, AccountError> {
        let found = match name {
            LoginName::Email(email) => repo::find_by_email(self.db.primary(), &compared(email)).await?,
            LoginName::Username(name) => repo::find_by_username(self.db.primary(), &compared(name)).await?,
        };
        let hash = found.as_ref().and_then(|found| found.password_hash.as_deref());
        let right = self.passwords.verify(password.expose(), hash).await?;
        let user = found.map(|found| found.user).filter(|user| right && user.is_active);
        let user = user.ok_or(AccountError::InvalidCredentials)?;

        let now = self.clock.now();
        let session: SessionId = self.ids.make();
        let ends = now.after(Duration::from_secs(self.settings.session_s));
        let unit = self.db.write(actor).await?;
        let row = repo::session_row(session, user.id, device.user_agent, device.address, now, ends);
        repo::insert_session(&unit, row).await?;
        unit.commit().await?;

        let access_token = self.tokens.issue(user.id, session.uuid(), self.ids.make(), user.roles)?;
        Ok(Grant { access_token, expires_in: self.tokens.lifetime_s() })
    }

    /// The account with this id.
    pub(crate) async fn get(&self, id: UserId) -> Result<User, AccountError> {
        repo::find_user(self.db.primary(), id).await?.ok_or(AccountError::Gone)
    }

    /// Changes one's own account.
    pub(crate) async fn update_profile(
        &self,
        actor: &Actor,
        id: UserId,
        patch: ProfilePatch,
        condition: &IfMatch,
    ) -> Result<User, AccountError> {
        let (patch, now) = (&patch, self.clock.now());
        // It reads, then decides: of two at once, the second starts again from what the first left.
        let change = self.db.write_retrying(actor, move |unit| {
            UnitWork::new(async move {
                let mut user = repo::find_user(unit, id).await?.ok_or(AccountError::Gone)?;
                condition.check(ETag(user.version)).map_err(AccountError::Precondition)?;
                let ProfilePatch { username, name } = patch.clone();
                if let Patch::Set(username) = username {
                    user.username = username.as_str().to_owned();
                }
                user.name = name.over(user.name);
                if !repo::update_profile(unit, &user, now).await.map_err(taken)? {
                    return Err(AccountError::Stale);
                }
                user.version += 1;
                Ok(user)
            })
        });
        change.await
    }

    /// The public keys of access tokens.
    pub(crate) fn jwks(&self) -> serde_json::Value {
        self.tokens.jwks()
    }

    async fn issue_setup_token(&self) -> Result<String, DbErr> {
        let token = URL_SAFE_NO_PAD.encode(self.rng.bytes::<24>());
        let now = self.clock.now();
        let id: Uuid = self.ids.make();
        let unit = self.db.write(&Actor::system("setup")).await?;
        let row = repo::one_time_row(id, SETUP, token_hash(&token), now, now.after(SETUP_LIFETIME));
        repo::insert_one_time_token(&unit, row).await?;
        unit.commit().await?;
        Ok(token)
    }

    /// Makes the first administrator with the token that the server printed.
    /// The token works once, and not at all when there is one already.
    pub(crate) async fn setup(&self, actor: &Actor, token: &str, new: NewUser) -> Result<User, AccountError> {
        new.password
            .check_for(self.settings.password_min_length, &[new.email.as_str(), new.email.local()])
            .map_err(|invalid| AccountError::Invalid(Faults::one("password", invalid.code, invalid.message)))?;
        let token_hash = &token_hash(token);
        // A made-up token is not worth a hash; whether a good one is still good is decided below.
        if !repo::has_one_time_token(self.db.primary(), SETUP, token_hash, self.clock.now()).await? {
            return Err(AccountError::TokenInvalid);
        }
        let hash = self.passwords.hash(new.password.expose()).await?;
        for attempt in 0..5_u8 {
            let username = Username::derive(new.email.local(), (attempt > 0).then(|| self.suffix()));
            let row = &repo::user_row(
                self.ids.make(),
                (new.email.as_str().to_owned(), new.email.normalized()),
                (username.as_str().to_owned(), username.normalized()),
                new.name.clone(),
                hash.clone(),
                Roles::of(&[Role::Admin]),
                Some(self.clock.now()),
                self.clock.now(),
            );
            match self.insert_first_admin(actor, token_hash, row).await {
                // The name was made, not chosen: whoever holds it must not block the setup.
                Err(AccountError::UsernameTaken) => {}
                outcome => return outcome,
            }
        }
        Err(AccountError::UsernameTaken)
    }

    async fn insert_first_admin(
        &self,
        actor: &Actor,
        token_hash: &str,
        row: &user::Model,
    ) -> Result<User, AccountError> {
        let now = self.clock.now();
        // Two tokens of two nodes, used at the same moment, must not make two first administrators.
        let insert = self.db.write_retrying(actor, move |unit| {
            UnitWork::new(async move {
                let first = !repo::has_admin(unit).await?;
                if !first || !repo::use_one_time_token(unit, SETUP, token_hash, now).await? {
                    return Err(AccountError::TokenInvalid);
                }
                repo::insert_user(unit, row.clone()).await.map_err(taken)
            })
        });
        insert.await?;
        Ok(Credentials::from(row.clone()).user)
    }
}

fn taken(error: DbErr) -> AccountError {
    if unique_violation(&error, "users", &["email_norm"]) {
        AccountError::EmailTaken
    } else if unique_violation(&error, "users", &["username_norm"]) {
        AccountError::UsernameTaken
    } else {
        error.into()
    }
}

/// A name as the index holds it: composed as at registration, without case.
fn compared(name: &str) -> String {
    name.nfc().collect::<String>().to_lowercase()
}

/// How a one-time token is kept: it has enough randomness of its own for a plain hash.
fn token_hash(token: &str) -> String {
    URL_SAFE_NO_PAD.encode(digest(&SHA256, token.as_bytes()).as_ref())
}
