//! The connection to Redis, with a breaker that closes again by itself.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use mainstay_telemetry::prometheus_client::metrics::counter::Counter;
use mainstay_telemetry::prometheus_client::metrics::gauge::Gauge;
use mainstay_telemetry::prometheus_client::metrics::histogram::Histogram;
use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::{Client, RedisResult};
use tokio::sync::Notify;

use crate::{RedisError, RedisOptions};

/// So many failures in a row, and Redis is not asked until it has answered again.
const FAILURES: u32 = 3;

/// How long the pause between two attempts to reach it is at first and at most.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// Tells whether a Redis that was reached is of use.
pub trait Probe: Send + Sync {
    /// Asks it for something that its user needs.
    ///
    /// # Errors
    /// It is of no use now.
    fn probe(&self, connection: &mut ConnectionManager) -> impl Future<Output = RedisResult<()>> + Send;
}

/// What it means that Redis answered, but said no.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusals {
    /// A failure as if it had not answered: one that does not do this one thing is no use.
    Count,
    /// It is there: one that takes no writes, for example, still serves reads.
    Bear,
}

/// Where a link counts, under the names of its user.
#[derive(Clone, Debug)]
pub struct LinkMetrics {
    /// 1 while Redis is asked, else 0.
    pub up: Gauge,
    /// How often it was given up on.
    pub opened: Counter,
    /// Questions that failed or took too long.
    pub failures: Counter,
    /// How long questions took, in seconds.
    pub seconds: Histogram,
}

/// Why a question has no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AskError {
    /// Redis failed so often that it is not asked now.
    #[error("Redis is away")]
    Away,
    /// It failed, took too long or said no.
    #[error("Redis failed")]
    Failed,
}

/// A connection to Redis and what is known of it.
pub struct Link<P> {
    /// What it is called in logs.
    name: &'static str,
    options: RedisOptions,
    client: Client,
    probe: P,
    refusals: Refusals,
    connection: Mutex<Option<ConnectionManager>>,
    /// The breaker: calls fail at once.
    open: AtomicBool,
    opened: Notify,
    failures: AtomicU32,
    /// Counts connections: what was asked of an old one says nothing about the new one.
    generation: AtomicU64,
    metrics: LinkMetrics,
}

impl<P: Probe> Link<P> {
    /// A link that is away until [`Link::join`] or [`Link::watch`] has found Redis.
    ///
    /// # Errors
    /// [`RedisError`] for an URL that never works.
    pub fn new(
        name: &'static str,
        options: RedisOptions,
        probe: P,
        refusals: Refusals,
        metrics: LinkMetrics,
    ) -> Result<Self, RedisError> {
        Ok(Self {
            name,
            client: options.client()?,
            options,
            probe,
            refusals,
            connection: Mutex::new(None),
            open: AtomicBool::new(true),
            opened: Notify::new(),
            failures: AtomicU32::new(0),
            generation: AtomicU64::new(0),
            metrics,
        })
    }

    /// What the names of keys begin with.
    #[must_use]
    pub fn prefix(&self) -> &str {
        self.options.prefix()
    }

    /// By what Redis is probed.
    #[must_use]
    pub fn probe(&self) -> &P {
        &self.probe
    }

    /// Whether questions reach Redis, as far as is known.
    #[must_use]
    pub fn is_up(&self) -> bool {
        !self.open.load(Ordering::Acquire)
    }

    /// Asks Redis, and waits for as long as the options say.
    ///
    /// # Errors
    /// [`AskError`].
    pub async fn ask<T>(
        &self,
        question: impl AsyncFnOnce(&mut ConnectionManager) -> RedisResult<T>,
    ) -> Result<T, AskError> {
        if self.open.load(Ordering::Acquire) {
            return Err(AskError::Away);
        }
        let generation = self.generation.load(Ordering::Acquire);
        let connection = self.connection.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut connection = connection.ok_or(AskError::Away)?;
        let started = Instant::now();
        let answer = tokio::time::timeout(self.options.timeout(), question(&mut connection)).await;
        self.metrics.seconds.observe(started.elapsed().as_secs_f64());
        match answer {
            Ok(Ok(answer)) => {
                // Written only if there is something to write: this is every call's way.
                if self.failures.load(Ordering::Relaxed) != 0 {
                    self.failures.store(0, Ordering::Relaxed);
                }
                return Ok(answer);
            }
            Ok(Err(error))
                if self.refusals == Refusals::Bear && !error.is_io_error() && !error.is_timeout() =>
            {
                self.metrics.failures.inc();
                tracing::debug!(%error, "{} refused", self.name);
            }
            Ok(Err(error)) => self.failed(generation, &error.to_string()),
            Err(_) => {
                let waited = self.options.timeout().as_millis();
                self.failed(generation, &format!("no answer within {waited} ms"));
            }
        }
        Err(AskError::Failed)
    }

    fn failed(&self, generation: u64, why: &str) {
        self.metrics.failures.inc();
        if self.generation.load(Ordering::Acquire) == generation
            && self.failures.fetch_add(1, Ordering::AcqRel) + 1 >= FAILURES
            && !self.open.swap(true, Ordering::AcqRel)
        {
            self.metrics.opened.inc();
            self.metrics.up.set(0);
            tracing::warn!(why, "{} is away", self.name);
            self.opened.notify_one();
        }
    }

    /// Tries to reach Redis, once. Whoever does not find it goes on by [`Link::watch`].
    pub async fn join(&self) {
        if !self.rejoin().await {
            tracing::warn!("{} can't be reached; trying on", self.name);
        }
    }

    /// Tries to reach Redis, now and then, whenever it is away. Never ends.
    pub async fn watch(&self) {
        loop {
            while self.is_up() {
                self.opened.notified().await;
            }
            let mut pause = FIRST_PAUSE;
            loop {
                tokio::time::sleep(pause).await;
                if self.rejoin().await {
                    tracing::info!("{} is back", self.name);
                    break;
                }
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
        }
    }

    /// Makes a connection, and if it is of use, uses it. A new one each time: one that was cut without a
    /// word never answers again.
    async fn rejoin(&self) -> bool {
        let timeout = self.options.timeout();
        let config = ConnectionManagerConfig::new()
            .set_number_of_retries(0)
            .set_connection_timeout(Some(timeout))
            .set_response_timeout(Some(timeout));
        let connecting = ConnectionManager::new_with_config(self.client.clone(), config);
        // The client's own limits are for each of several steps.
        let Ok(Ok(mut connection)) = tokio::time::timeout(timeout * 2, connecting).await else {
            return false;
        };
        let probing = self.probe.probe(&mut connection);
        if !matches!(tokio::time::timeout(timeout, probing).await, Ok(Ok(()))) {
            return false;
        }
        *self.connection.lock().unwrap_or_else(PoisonError::into_inner) = Some(connection);
        self.generation.fetch_add(1, Ordering::AcqRel);
        self.failures.store(0, Ordering::Release);
        self.metrics.up.set(1);
        self.open.store(false, Ordering::Release);
        true
    }
}

impl<P> std::fmt::Debug for Link<P> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Not the address: it may carry a password.
        let is_up = !self.open.load(Ordering::Acquire);
        f.debug_struct("Link").field("name", &self.name).field("is_up", &is_up).finish_non_exhaustive()
    }
}
