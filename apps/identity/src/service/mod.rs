//! What can be done with accounts.

mod api_keys;
mod browsers;
mod introspection;
mod lockout;
mod one_time;
mod people;
mod recovery;
mod refresh;
mod register;
mod services;
mod sessions;
mod sign_in;

use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use mainstay_app::{AccountHooks, AuthorsSlot, Platform};
use mainstay_auth::{Passwords, Roles, TokenSettings, Tokens};
use mainstay_core::{Actor, ActorKind, Clock, Ids, Rng, UserId};
use mainstay_db::Db;
use mainstay_mail::Mails;
use sea_orm::DbErr;
use tracing::Instrument as _;
use unicode_normalization::UnicodeNormalization as _;

use crate::believed::Believed;
use crate::domain::{SessionId, User};
use crate::error::AccountError;
use crate::gate::Gate;
use crate::keys::{KeyInfo, Keys, LookError, RotateError, Rotation};
use crate::lockout::HEALED;
use crate::mint::Mint;
use crate::refresh::RefreshTokens;
use crate::repo;
use crate::settings::IdentitySettings;

pub(crate) use api_keys::{ApiKeys, MadeApiKey, NewApiKey};
pub(crate) use introspection::{ActiveToken, TokenType, Usernames};
pub(crate) use people::AccountPatch;
pub use register::NewUser;
pub(crate) use register::{Brought, ProfilePatch, Registered};
pub(crate) use services::{MadeService, Services};
pub(crate) use sessions::Logout;
pub(crate) use sign_in::{Device, Grant, LoginName, SignIn};

/// The service of accounts. Cheap to clone: a router clones its state several times a request.
#[derive(Clone, Debug)]
pub struct Accounts(Arc<Parts>);

impl Deref for Accounts {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.0
    }
}

/// What [`Accounts`] is made of.
#[derive(Debug)]
pub struct Parts {
    pub(crate) db: Db,
    pub(crate) clock: Arc<dyn Clock>,
    /// The keys that sign access tokens, and what reads them.
    pub(crate) keys: Keys,
    /// What the database said of sessions.
    pub(crate) sessions: Arc<Believed<SessionId, Option<Roles>>>,
    /// What the database said of browsers' cookies, by their hash.
    browsers: Arc<Believed<String, Option<repo::BrowserSession>>>,
    pub(crate) api_keys: ApiKeys,
    pub(crate) services: Services,
    pub(crate) usernames: Usernames,
    rng: Arc<dyn Rng>,
    ids: Ids,
    passwords: Passwords,
    mails: Mails,
    hooks: AccountHooks,
    /// What people wrote, in the app that keeps it.
    authors: AuthorsSlot,
    gate: Gate,
    refresh_tokens: RefreshTokens,
    pub(crate) mint: Mint,
    settings: Arc<IdentitySettings>,
    public_url: Arc<str>,
}

/// Attempts at once for one account on this node. What all nodes together may exceed the limit by.
const GUESSES_AT_ONCE: usize = 2;
/// Attempts for one account that wait, and for how long.
const GUESSES_WAITING: usize = 64;
const GUESS_PATIENCE: Duration = Duration::from_secs(5);

/// How long a session that is over is kept, so that "who was that" can be answered.
const REMEMBERED: Duration = Duration::from_secs(30 * 24 * 3600);

impl Accounts {
    pub(crate) fn new(platform: &Platform, settings: IdentitySettings) -> Self {
        let tokens = TokenSettings {
            issuer: platform.public_url.clone(),
            audience: settings.audience.clone(),
            lifetime_s: settings.access_token_s,
        };
        Self(Arc::new(Parts {
            db: platform.db.clone(),
            clock: platform.clock.clone(),
            keys: Keys::new(platform, Tokens::new(tokens, platform.clock.clone())),
            sessions: Arc::new(Believed::new()),
            browsers: Arc::new(Believed::new()),
            api_keys: ApiKeys::new(platform),
            services: Services::new(platform),
            usernames: Usernames::new(platform.db.clone()),
            rng: platform.rng.clone(),
            ids: platform.ids.clone(),
            passwords: platform.passwords.clone(),
            mails: platform.mails.clone(),
            hooks: platform.account_hooks.clone(),
            authors: platform.authors.clone(),
            gate: Gate::new(GUESSES_AT_ONCE, GUESSES_WAITING, GUESS_PATIENCE),
            refresh_tokens: RefreshTokens::new(&platform.root_key),
            mint: Mint::new(&platform.root_key),
            settings: Arc::new(settings),
            public_url: platform.public_url.as_str().into(),
        }))
    }

    /// Loads the signing keys, making the first; tells how to make the first
    /// administrator while there is none.
    pub(crate) async fn start(&self) -> anyhow::Result<Vec<String>> {
        self.keys.load_or_make().await?;
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

    /// The account with this id.
    pub(crate) async fn get(&self, id: UserId) -> Result<User, AccountError> {
        repo::find_user(self.db.primary(), id).await?.ok_or(AccountError::Gone)
    }

    /// The public keys of access tokens.
    pub(crate) async fn jwks(&self) -> Result<serde_json::Value, LookError> {
        Ok(self.keys.fresh().await?.jwks())
    }

    /// Makes a new signing key.
    pub(crate) async fn rotate_keys(
        &self,
        actor: &Actor,
        rotation: Rotation,
    ) -> Result<KeyInfo, RotateError> {
        self.keys.rotate(actor, rotation).await
    }

    /// Removes what nobody asks for any more: sessions that were over a month ago with
    /// their refresh tokens, tokens from mails as old, and counters of failures that have healed. Gives how many rows.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn sweep(&self) -> Result<u64, DbErr> {
        let now = self.clock.now().millis();
        let before = |ago: Duration| {
            let ago = i64::try_from(ago.as_millis()).unwrap_or(i64::MAX);
            mainstay_core::Timestamp::from_millis(now.saturating_sub(ago))
        };
        let mut swept = 0;
        loop {
            // Portions, each with its own commit: none holds others up, or takes too long ever to succeed.
            let unit = self.db.write(&Actor::system("sweep")).await?;
            let portion = repo::delete_sessions_before(&unit, before(REMEMBERED)).await?
                + repo::delete_counters_before(&unit, before(HEALED)).await?
                + repo::delete_tokens_before(&unit, before(REMEMBERED)).await?;
            unit.commit().await?;
            if portion == 0 {
                return Ok(swept);
            }
            swept += portion;
        }
    }
}

/// The same request, acting as this user: who proved to be them.
pub(crate) fn acting_as(user: UserId, actor: &Actor) -> Actor {
    Actor { kind: ActorKind::User(user), ..actor.clone() }
}

/// Runs `work` to its end even if the client hangs up.
#[expect(
    clippy::disallowed_methods,
    reason = "what a client can cut off, it could use to guess without being counted; it is short"
)]
pub(crate) async fn to_the_end<T: Send + 'static>(
    work: impl Future<Output = Result<T, AccountError>> + Send + 'static,
) -> Result<T, AccountError> {
    match tokio::spawn(work.in_current_span()).await {
        Ok(outcome) => outcome,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // The server stops.
            Err(_) => Err(AccountError::Crowded),
        },
    }
}

/// A name as the index holds it: composed as at registration, without case.
pub(crate) fn compared(name: &str) -> String {
    name.nfc().collect::<String>().to_lowercase()
}

/// How a token is kept: it has enough randomness of its own for a plain hash.
pub(crate) fn token_hash(token: &str) -> String {
    URL_SAFE_NO_PAD.encode(digest(&SHA256, token.as_bytes()).as_ref())
}
