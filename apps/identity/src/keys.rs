//! The keys that sign access tokens: in the database, sealed under `secret_key`.
//!
//! A new key is published before it signs, and an old one verifies until what it
//! signed has expired. So every node has to hear of a rotation in time: it looks
//! again when what it knows is some seconds old, and before it refuses
//! a token for a key that it does not know.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use mainstay_app::Platform;
use mainstay_auth::{Claims, ScheduledKey, SigningKey, TokenError, Tokens};
use mainstay_core::seal::Sealer;
use mainstay_core::{Actor, AuditEntry, Clock, Rng, Timestamp};
use mainstay_db::{Db, UnitWork};
use sea_orm::DbErr;
use tokio::sync::{Mutex, Semaphore};
use tokio::time::Instant;

use crate::entity::signing_key;
use crate::repo;

/// How long others may keep the public keys.
pub(crate) const JWKS_MAX_AGE: Duration = Duration::from_secs(300);
/// What is known is looked up again after this, beside the request that finds it so old.
const STALE: Duration = Duration::from_secs(5);
/// No request goes by anything older.
const TOO_OLD: Duration = Duration::from_secs(30);
/// How long after a change in the database every node that works goes by it, with some reserve.
const SPREAD: Duration = Duration::from_secs(10);
/// Unknown keys make nobody look more often than this.
const PAUSE: Duration = Duration::from_secs(1);
/// Requests with unknown keys that may wait for a look; further ones are refused at once.
const MOST_WAITING: usize = 32;

/// How to rotate.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Rotation {
    /// The new key signs at once, also for those who have not heard of it.
    pub(crate) now: bool,
    /// What the old keys signed is refused at once: somebody else may have them.
    pub(crate) revoke: bool,
}

/// A signing key, to be listed.
#[derive(Clone, Debug)]
pub(crate) struct KeyInfo {
    pub(crate) kid: String,
    pub(crate) created_at: Timestamp,
    pub(crate) active_from: Timestamp,
    pub(crate) retired_at: Option<Timestamp>,
}

/// A rotation can't begin.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RotateError {
    #[error("a rotation is under way: the new key signs from {0} on (--now begins another at once)")]
    UnderWay(Timestamp),
    #[error("the database failed")]
    Db(#[from] DbErr),
}

/// The keys as this node knows them. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Keys(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    db: Db,
    clock: Arc<dyn Clock>,
    rng: Arc<dyn Rng>,
    sealer: Sealer,
    tokens: Tokens,
    /// As of when the keys are known, in milliseconds.
    known: AtomicI64,
    looking: AtomicBool,
    /// When the last look began. Held during a look.
    last_look: Mutex<Option<Instant>>,
    waiting: Semaphore,
}

impl Keys {
    pub(crate) fn new(platform: &Platform, tokens: Tokens) -> Self {
        Self(Arc::new(Inner {
            db: platform.db.clone(),
            clock: platform.clock.clone(),
            rng: platform.rng.clone(),
            sealer: platform.root_key.sealer("signing keys", platform.rng.clone()),
            tokens,
            known: AtomicI64::new(i64::MIN),
            looking: AtomicBool::new(false),
            last_look: Mutex::new(None),
            waiting: Semaphore::new(MOST_WAITING),
        }))
    }

    /// Loads every key that counts. Makes one if there is none: of several nodes
    /// that start together, one makes it.
    pub(crate) async fn load_or_make(&self) -> anyhow::Result<()> {
        let now = self.0.clock.now();
        let rows: Vec<signing_key::Model> = self
            .0
            .db
            .write_retrying(&Actor::system("keys"), |unit| {
                UnitWork::new(async move {
                    let rows = repo::list_keys(unit, now).await?;
                    if rows.iter().any(|row| row.active_from <= now.millis()) {
                        return Ok(rows);
                    }
                    let (_, row) = self.make(now, now);
                    repo::insert_key(unit, row.clone()).await?;
                    unit.audit(AuditEntry::new("signing_key.created", format!("signing_key/{}", row.kid)));
                    Ok::<_, DbErr>(rows.into_iter().chain([row]).collect())
                })
            })
            .await?;
        self.use_rows(&rows, now)
    }

    /// Whether a token names a key that may be another node's newest, of which this one has not heard.
    pub(crate) fn names_unknown_key(&self, token: &str) -> bool {
        self.0.tokens.names_unknown_key(token)
    }

    /// What a token says, if it is good now.
    pub(crate) async fn read(&self, token: &str) -> Result<Arc<Claims>, ReadError> {
        let age = self.age();
        if age >= TOO_OLD {
            self.look().await.map_err(ReadError::Unavailable)?;
        } else if age >= STALE {
            self.look_beside();
        }
        match self.0.tokens.read(token) {
            Err(TokenError::UnknownKey) => {}
            outcome => return Ok(outcome?),
        }
        // Another node may sign with a key already that this one has not heard of.
        let asked = Instant::now();
        let _place = self.0.waiting.try_acquire().map_err(|_| TokenError::UnknownKey)?;
        self.look_since(asked).await.map_err(ReadError::Unavailable)?;
        Ok(self.0.tokens.read(token)?)
    }

    /// The keys' own signer, when it goes by what is known now: for what is signed or published.
    pub(crate) async fn fresh(&self) -> Result<&Tokens, LookError> {
        if self.age() >= STALE {
            self.look().await?;
        }
        Ok(&self.0.tokens)
    }

    fn age(&self) -> Duration {
        let (known, now) = (self.0.known.load(Ordering::Acquire), self.0.clock.now().millis());
        // A clock that was set back makes what is known as old as one that was set forward.
        Duration::from_millis(known.abs_diff(now))
    }

    #[expect(clippy::disallowed_methods, reason = "one short query; cut off at the end, nothing is lost")]
    fn look_beside(&self) {
        if !self.0.looking.swap(true, Ordering::AcqRel) {
            let keys = self.clone();
            tokio::spawn(async move {
                if let Err(error) = keys.look().await {
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "the signing keys could not be looked up"
                    );
                }
                keys.0.looking.store(false, Ordering::Release);
            });
        }
    }

    /// Looks now; of several who want to, one does.
    async fn look(&self) -> Result<(), LookError> {
        let mut last = self.0.last_look.lock().await;
        if self.age() < STALE {
            return Ok(());
        }
        *last = Some(Instant::now());
        self.look_now().await
    }

    /// Goes by what was in the database at `asked` or later, without looking too often.
    async fn look_since(&self, asked: Instant) -> Result<(), LookError> {
        let mut last = self.0.last_look.lock().await;
        if last.is_some_and(|began| began >= asked) {
            return Ok(());
        }
        if let Some(began) = *last {
            tokio::time::sleep_until(began + PAUSE).await;
        }
        *last = Some(Instant::now());
        self.look_now().await
    }

    async fn look_now(&self) -> Result<(), LookError> {
        let now = self.0.clock.now();
        let rows = repo::list_keys(self.0.db.primary(), now).await.map_err(LookError::Db)?;
        self.use_rows(&rows, now).map_err(LookError::Damaged)
    }

    fn use_rows(&self, rows: &[signing_key::Model], now: Timestamp) -> anyhow::Result<()> {
        let keys = rows.iter().map(|row| self.open(row)).collect::<anyhow::Result<Vec<_>>>()?;
        self.0.tokens.use_keys(&keys);
        self.0.known.store(now.millis(), Ordering::Release);
        Ok(())
    }

    /// Makes a new key. It is published at once and signs when every JWKS that somebody
    /// kept is too old; the old ones verify until what they signed has expired.
    pub(crate) async fn rotate(&self, actor: &Actor, rotation: Rotation) -> Result<KeyInfo, RotateError> {
        let now = self.0.clock.now();
        let at_once = rotation.now || rotation.revoke;
        let active_from = if at_once { now } else { now.after(JWKS_MAX_AGE + SPREAD) };
        let accepted = Duration::from_secs(u64::from(self.0.tokens.accepted_s()));
        let old_ends = if rotation.revoke { now } else { active_from.after(accepted + SPREAD) };
        let (_, row) = &self.make(now, active_from);
        let rotate = self.0.db.write_retrying(actor, move |unit| {
            UnitWork::new(async move {
                repo::delete_retired_keys(unit, now).await?;
                let rows = repo::list_keys(unit, now).await?;
                let mut row = row.clone();
                if rows.is_empty() {
                    // The first key waits for nobody's copy of the others.
                    row.active_from = now.millis();
                }
                for old in rows {
                    let has_signed = old.active_from <= now.millis();
                    if !has_signed && !at_once {
                        return Err(RotateError::UnderWay(Timestamp::from_millis(old.active_from)));
                    }
                    let ends = if has_signed { old_ends } else { now };
                    if old.retired_at.is_none_or(|at| at > ends.millis()) {
                        repo::retire_key(unit, &old.kid, ends).await?;
                    }
                }
                repo::insert_key(unit, row.clone()).await?;
                let entry = AuditEntry::new("signing_key.rotated", format!("signing_key/{}", row.kid));
                let from = Timestamp::from_millis(row.active_from);
                unit.audit(entry.note("active_from", from).note("revoked_old", rotation.revoke));
                Ok(row)
            })
        });
        let row = rotate.await?;
        self.0.known.store(i64::MIN, Ordering::Release);
        Ok(info(&row))
    }

    /// Every key that counts, the one that signs last first.
    pub(crate) async fn list(&self) -> Result<Vec<KeyInfo>, DbErr> {
        let rows = repo::list_keys(self.0.db.primary(), self.0.clock.now()).await?;
        Ok(rows.iter().map(info).collect())
    }

    fn make(&self, now: Timestamp, active_from: Timestamp) -> (SigningKey, signing_key::Model) {
        let key = SigningKey::generate(&*self.0.rng);
        let row = signing_key::Model {
            kid: key.kid().to_owned(),
            algorithm: "EdDSA".to_owned(),
            sealed_key: self.0.sealer.seal(key.seed(), key.kid()),
            created_at: now.millis(),
            active_from: active_from.millis(),
            retired_at: None,
        };
        (key, row)
    }

    fn open(&self, row: &signing_key::Model) -> anyhow::Result<ScheduledKey> {
        let seed =
            self.0.sealer.open(&row.sealed_key, &row.kid).context(
                "a signing key can't be opened: secret_key is not the one that it was sealed with",
            )?;
        let seed = seed.try_into().ok().context("a signing key in the database is damaged")?;
        Ok(ScheduledKey {
            key: SigningKey::from_seed(seed),
            active_from: Timestamp::from_millis(row.active_from),
            retired_at: row.retired_at.map(Timestamp::from_millis),
        })
    }
}

fn info(row: &signing_key::Model) -> KeyInfo {
    KeyInfo {
        kid: row.kid.clone(),
        created_at: Timestamp::from_millis(row.created_at),
        active_from: Timestamp::from_millis(row.active_from),
        retired_at: row.retired_at.map(Timestamp::from_millis),
    }
}

/// Why the keys could not be looked up.
#[derive(Debug, thiserror::Error)]
pub enum LookError {
    /// The database failed.
    #[error("the signing keys could not be read")]
    Db(#[source] DbErr),
    /// They are sealed with another secret, or damaged.
    #[error("the signing keys can't be opened: {0:#}")]
    Damaged(anyhow::Error),
}

/// Why a token was not read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReadError {
    #[error(transparent)]
    Refused(#[from] TokenError),
    #[error(transparent)]
    Unavailable(LookError),
}
