//! API keys: made, listed, revoked and used.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use mainstay_app::Platform;
use mainstay_auth::{AuthError, Scopes, SignedIn, Via};
use mainstay_core::{
    Actor, AuditEntry, Clock, Faults, Ids, Page, Paging, Problem, Rng, Sorting, Timestamp, UserId,
};
use mainstay_db::{Db, WriteUnit};
use moka::sync::Cache;
use sea_orm::DbErr;
use uuid::Uuid;

use super::token_hash;
use crate::believed::Believed;
use crate::domain::{ApiKey, ApiKeyId, CredentialName, MOST_API_KEYS, Secret, is_api_key};
use crate::error::AccountError;
use crate::events::{ApiKeyCreated, ApiKeyRevoked};
use crate::mint::Mint;
use crate::repo::{self, LiveKey};

/// The service of API keys. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct ApiKeys(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    db: Db,
    clock: Arc<dyn Clock>,
    rng: Arc<dyn Rng>,
    mint: Mint,
    ids: Ids,
    /// The names of rate limits that keys can be given.
    limit_policies: Arc<[String]>,
    /// By the hash of the key.
    seen: Believed<String, Option<LiveKey>>,
    uses: Uses,
}

/// A key to make.
#[derive(Clone, Debug)]
pub(crate) struct NewApiKey {
    pub(crate) name: CredentialName,
    pub(crate) scopes: Scopes,
    pub(crate) expires_at: Option<Timestamp>,
}

/// A key just made; the secret is never seen again.
#[derive(Clone, Debug)]
pub(crate) struct MadeApiKey {
    pub(crate) key: ApiKey,
    pub(crate) secret: Secret,
}

impl ApiKeys {
    pub(crate) fn new(platform: &Platform) -> Self {
        Self(Arc::new(Inner {
            db: platform.db.clone(),
            clock: platform.clock.clone(),
            rng: platform.rng.clone(),
            mint: Mint::new(&platform.root_key),
            ids: platform.ids.clone(),
            limit_policies: platform.limit_policies.clone(),
            seen: Believed::new(),
            uses: Uses::new(),
        }))
    }

    /// Makes a key for `user` within `unit`, which the caller commits.
    ///
    /// # Errors
    /// [`AccountError::Invalid`] for an end in the past, [`AccountError::TooManyApiKeys`],
    /// [`AccountError::Gone`] without the account.
    pub(crate) async fn create(
        &self,
        unit: &WriteUnit,
        user: UserId,
        new: NewApiKey,
    ) -> Result<MadeApiKey, AccountError> {
        let (inner, now) = (&*self.0, self.0.clock.now());
        let NewApiKey { name, scopes, expires_at } = new;
        if expires_at.is_some_and(|end| end <= now) {
            return Err(AccountError::Invalid(Faults::one(
                "expires_at",
                "in_the_past",
                "must be in the future",
            )));
        }
        // Of two at once, the second counts what the first made.
        if repo::hold_credentials(unit, user).await?.is_none() {
            return Err(AccountError::Gone);
        }
        if repo::count_live_api_keys(unit, user, now).await? >= MOST_API_KEYS {
            return Err(AccountError::TooManyApiKeys);
        }
        let secret = inner.mint.api_key(&*inner.rng);
        let key = ApiKey {
            id: inner.ids.make(),
            user_id: user,
            name: name.into_string(),
            prefix: secret.prefix().to_owned(),
            scopes,
            created_at: now,
            expires_at,
            last_used_at: None,
            limit_policy: None,
        };
        repo::insert_api_key(unit, &key, token_hash(secret.expose())).await?;
        unit.audit(
            AuditEntry::new("api_key.created", format!("api_key/{}", key.id))
                .set("name", &key.name)
                .set("prefix", &key.prefix)
                .set("scopes", &key.scopes)
                .set("expires_at", key.expires_at),
        );
        unit.emit(&ApiKeyCreated {
            api_key_id: key.id,
            user_id: user,
            name: key.name.clone(),
            prefix: key.prefix.clone(),
            scopes: key.scopes.clone(),
            expires_at: key.expires_at,
        });
        Ok(MadeApiKey { key, secret })
    }

    /// A page of a user's keys, those that have expired included.
    pub(crate) async fn list<S: Sorting>(
        &self,
        actor: &Actor,
        user: UserId,
        paging: &Paging<S>,
    ) -> Result<Page<ApiKey>, Problem> {
        repo::list_api_keys(self.0.db.read(actor), user, paging).await
    }

    /// Revokes a user's key: it opens nothing here from then on, nor elsewhere within a second.
    pub(crate) async fn revoke(&self, actor: &Actor, user: UserId, id: ApiKeyId) -> Result<(), AccountError> {
        let inner = &*self.0;
        let unit = inner.db.write(actor).await?;
        let found = repo::find_api_key(&unit, user, id).await?;
        let (key, key_hash) = found.ok_or(AccountError::ApiKeyNotFound)?;
        // Of two at once, one ends it.
        if !repo::revoke_api_key(&unit, id, inner.clock.now()).await? {
            return Err(AccountError::ApiKeyNotFound);
        }
        unit.audit(
            AuditEntry::new("api_key.revoked", format!("api_key/{id}"))
                .note("name", &key.name)
                .note("prefix", &key.prefix),
        );
        unit.emit(&ApiKeyRevoked { api_key_id: id, user_id: user, name: key.name, prefix: key.prefix });
        unit.commit().await?;
        inner.seen.forget(&key_hash);
        Ok(())
    }

    /// Gives anybody's key a rate limit of its own, by its name in the settings; or, with `None`, takes
    /// it back. It counts here from then on, elsewhere within a second.
    ///
    /// # Errors
    /// [`AccountError::Invalid`] for a name that no policy has, [`AccountError::ApiKeyNotFound`].
    pub(crate) async fn limit(
        &self,
        actor: &Actor,
        id: ApiKeyId,
        policy: Option<&str>,
    ) -> Result<ApiKey, AccountError> {
        let inner = &*self.0;
        if let Some(name) = policy.filter(|name| inner.limit_policies.iter().all(|known| known != name)) {
            let there_are = match &*inner.limit_policies {
                [] => "the settings have none (`[limits.policies.NAME]`)".to_owned(),
                names => format!("there are {}", names.join(", ")),
            };
            let message = format!("is no policy, {name:?}: {there_are}");
            return Err(AccountError::Invalid(Faults::one("policy", "unknown_policy", message)));
        }
        let unit = inner.db.write(actor).await?;
        let found = repo::find_anybodys_api_key(&unit, id).await?;
        let (mut key, key_hash) = found.ok_or(AccountError::ApiKeyNotFound)?;
        if key.limit_policy.as_deref() == policy {
            return Ok(key);
        }
        if !repo::limit_api_key(&unit, id, policy).await? {
            return Err(AccountError::ApiKeyNotFound);
        }
        unit.audit(
            AuditEntry::new("api_key.limited", format!("api_key/{id}"))
                .note("name", &key.name)
                .note("prefix", &key.prefix)
                .note("user_id", key.user_id)
                .changed("limit_policy", &key.limit_policy.as_deref(), &policy),
        );
        unit.commit().await?;
        inner.seen.forget(&key_hash);
        key.limit_policy = policy.map(str::to_owned);
        Ok(key)
    }

    /// Believes nothing of any key any more: call it after the commit that switched an
    /// account off, removed it or gave it other roles.
    pub(crate) fn forget_all(&self) {
        self.0.seen.forget_all();
    }

    /// Who a key belongs to, as they are now.
    pub(crate) async fn authenticate(&self, key: &str) -> Result<SignedIn, AuthError> {
        if !is_api_key(key) {
            return Err(AuthError::Refused);
        }
        let inner = &*self.0;
        let hash = token_hash(key);
        let found = match inner.seen.get(&hash) {
            Some(found) => found,
            None => {
                let asked = inner.seen.ask();
                let found = repo::find_live_key(&inner.db, &hash).await;
                let found = found.map_err(|error| AuthError::Unavailable(error.into()))?;
                inner.seen.keep(asked, hash, found.clone());
                found
            }
        };
        let now = inner.clock.now();
        let live = found.filter(|key| !has_ended(key, now)).ok_or(AuthError::Refused)?;
        self.note_use(&live, now);
        let LiveKey {
            id,
            user_id,
            roles,
            scopes,
            expires_at,
            limit_policy: limit,
            created_at: _,
            last_used_at: _,
        } = live;
        Ok(SignedIn { user_id, roles, via: Via::ApiKey { id, scopes, limit }, ends_at: expires_at })
    }

    /// What is known of a key at this very moment; nothing is believed. `None` if it opens nothing.
    pub(crate) async fn look_up(&self, key: &str) -> Result<Option<LiveKey>, DbErr> {
        if !is_api_key(key) {
            return Ok(None);
        }
        let now = self.0.clock.now();
        let found = repo::find_live_key(&self.0.db, &token_hash(key)).await?;
        Ok(found.filter(|key| !has_ended(key, now)))
    }

    /// Notes the use once a minute, behind the request's back: neither a slow nor a
    /// failed write is the request's trouble.
    #[expect(clippy::disallowed_methods, reason = "a note that the server's end cuts off is no loss")]
    fn note_use(&self, key: &LiveKey, now: Timestamp) {
        let fresh = |at: Option<Timestamp>| at.is_some_and(|at| now.since(at) < PAUSE);
        if !fresh(key.last_used_at) && !fresh(self.0.uses.noted.get(&key.id)) {
            self.0.uses.noted.insert(key.id, now);
            if self.0.uses.add(key.id) {
                let keys = self.clone();
                tokio::spawn(async move { keys.write_uses().await });
            }
        }
    }

    async fn write_uses(&self) {
        let inner = &*self.0;
        while let Some(ids) = inner.uses.take() {
            if let Err(error) = self.write_batch(&ids).await {
                tracing::warn!(%error, keys = ids.len(), "the use of API keys was not noted");
            }
        }
    }

    async fn write_batch(&self, ids: &[Uuid]) -> Result<(), DbErr> {
        let unit = self.0.db.write(&Actor::system("api keys")).await?;
        repo::note_uses(&unit, ids, self.0.clock.now(), PAUSE).await?;
        unit.commit().await
    }
}

fn has_ended(key: &LiveKey, now: Timestamp) -> bool {
    key.expires_at.is_some_and(|end| end <= now)
}

/// How exactly the last use of a key is known.
const PAUSE: Duration = Duration::from_secs(60);

/// Uses to write down.
#[derive(Debug)]
struct Uses {
    /// When this node noted each key's last use, so that its next ones don't ask for a write again.
    noted: Cache<Uuid, Timestamp>,
    due: Mutex<Due>,
}

#[derive(Debug, Default)]
struct Due {
    ids: HashSet<Uuid>,
    /// Whether somebody is writing. One at a time: a slow database must not collect writers.
    writing: bool,
}

impl Uses {
    /// Most keys in one statement.
    const MOST: usize = 500;

    fn new() -> Self {
        let noted = Cache::builder().max_capacity(20_000).time_to_live(PAUSE).build();
        Self { noted, due: Mutex::default() }
    }

    /// True if nobody is writing yet, so that the caller has to.
    fn add(&self, id: Uuid) -> bool {
        let mut due = self.due.lock().unwrap_or_else(PoisonError::into_inner);
        due.ids.insert(id);
        !std::mem::replace(&mut due.writing, true)
    }

    /// What is to be written. `None`: nothing, and the writer is done.
    fn take(&self) -> Option<Vec<Uuid>> {
        let mut due = self.due.lock().unwrap_or_else(PoisonError::into_inner);
        let ids: Vec<_> = due.ids.iter().copied().take(Self::MOST).collect();
        for id in &ids {
            due.ids.remove(id);
        }
        due.writing = !ids.is_empty();
        due.writing.then_some(ids)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_writes_at_a_time_and_nothing_is_left_behind() {
        let uses = Uses::new();
        let ids: Vec<_> = (0..u128::try_from(Uses::MOST).unwrap() + 1).map(Uuid::from_u128).collect();
        let writers = ids.iter().filter(|id| uses.add(**id)).count();
        assert_eq!(writers, 1);

        let first = uses.take().unwrap();
        assert!(!uses.add(ids[0]), "somebody is writing");
        let second = uses.take().unwrap();
        assert_eq!(first.len(), Uses::MOST);
        assert!((1..=2).contains(&second.len()));
        assert_eq!(uses.take(), None);
        assert!(uses.add(ids[0]), "nobody is writing any more");
    }
}
