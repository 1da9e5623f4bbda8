//! The connection to Redis, with a breaker that closes again by itself.

use std::str::FromStr;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::{Client, ConnectionInfo, RedisResult};
use tokio::sync::Notify;

use crate::metrics::CacheMetrics;

/// So many failures in a row, and Redis is not asked until it has answered again.
const FAILURES: u32 = 3;

/// How long the pause between two attempts to reach it is at first and at most.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// How Redis is reached.
#[derive(Clone, Debug)]
pub struct RedisOptions {
    info: ConnectionInfo,
    prefix: String,
    timeout: Duration,
}

/// An URL that does not lead to a Redis.
#[derive(Debug, thiserror::Error)]
#[error("this is no URL of a Redis that is known here (redis://[[user]:password@]host[:port][/database])")]
pub struct RedisError(#[source] redis::RedisError);

impl RedisOptions {
    /// Waits at most 50 ms for Redis. The names of keys begin with `mainstay:cache:`.
    ///
    /// # Errors
    /// An URL that can't be read, or of a kind that was not compiled in (`rediss`).
    pub fn new(url: &str) -> Result<Self, RedisError> {
        let info = ConnectionInfo::from_str(url).map_err(RedisError)?;
        Ok(Self { info, prefix: "mainstay:cache:".to_owned(), timeout: Duration::from_millis(50) })
    }

    /// What the names of keys begin with, so that several deployments can share one Redis.
    #[must_use]
    pub fn with_prefix(mut self, prefix: &str) -> Self {
        prefix.clone_into(&mut self.prefix);
        self
    }

    /// How long a read waits for an answer, and for a connection.
    #[must_use]
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }
}

/// Redis can't be asked, or did not do what it was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Away;

pub(crate) struct Link {
    options: RedisOptions,
    client: Client,
    connection: Mutex<Option<ConnectionManager>>,
    /// The breaker: calls fail at once.
    open: AtomicBool,
    opened: Notify,
    failures: AtomicU32,
    /// Counts connections: what was asked of an old one says nothing about the new one.
    generation: AtomicU64,
    metrics: CacheMetrics,
}

impl Link {
    /// A link that is away until [`Link::watch`] has found it.
    pub(crate) fn new(options: RedisOptions, metrics: CacheMetrics) -> Result<Self, RedisError> {
        let client = Client::open(options.info.clone()).map_err(RedisError)?;
        Ok(Self {
            options,
            client,
            connection: Mutex::new(None),
            open: AtomicBool::new(true),
            opened: Notify::new(),
            failures: AtomicU32::new(0),
            generation: AtomicU64::new(0),
            metrics,
        })
    }

    pub(crate) fn prefix(&self) -> &str {
        &self.options.prefix
    }

    pub(crate) fn is_up(&self) -> bool {
        !self.open.load(Ordering::Acquire)
    }

    pub(crate) async fn ask<T>(
        &self,
        question: impl AsyncFnOnce(&mut ConnectionManager) -> RedisResult<T>,
    ) -> Result<T, Away> {
        if self.open.load(Ordering::Acquire) {
            return Err(Away);
        }
        let generation = self.generation.load(Ordering::Acquire);
        let connection = self.connection.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut connection = connection.ok_or(Away)?;
        let started = Instant::now();
        let answer = tokio::time::timeout(self.options.timeout, question(&mut connection)).await;
        self.metrics.round_trips.observe(started.elapsed().as_secs_f64());
        match answer {
            Ok(Ok(answer)) => {
                if self.failures.load(Ordering::Relaxed) != 0 {
                    self.failures.store(0, Ordering::Relaxed);
                }
                Ok(answer)
            }
            // It answered, if only to say no: a full Redis still serves reads.
            Ok(Err(error)) if !error.is_io_error() && !error.is_timeout() => {
                self.metrics.failures.inc();
                tracing::debug!(%error, "Redis refused");
                Err(Away)
            }
            Ok(Err(error)) => self.failed(generation, &error.to_string()),
            Err(_) => self.failed(generation, "no answer in time"),
        }
    }

    fn failed<T>(&self, generation: u64, why: &str) -> Result<T, Away> {
        self.metrics.failures.inc();
        if self.generation.load(Ordering::Acquire) == generation
            && self.failures.fetch_add(1, Ordering::AcqRel) + 1 >= FAILURES
            && !self.open.swap(true, Ordering::AcqRel)
        {
            self.metrics.opened.inc();
            self.metrics.up.set(0);
            tracing::warn!(why, "the cache's Redis is away");
            self.opened.notify_one();
        }
        Err(Away)
    }

    /// Makes a connection, and if it answers, uses it. A new one each time: one that was cut without a
    /// word never answers again.
    async fn rejoin(&self) -> bool {
        let config = ConnectionManagerConfig::new()
            .set_number_of_retries(0)
            .set_connection_timeout(Some(self.options.timeout))
            .set_response_timeout(Some(self.options.timeout));
        let connecting = async {
            let mut connection = ConnectionManager::new_with_config(self.client.clone(), config).await?;
            redis::cmd("PING").exec_async(&mut connection).await?;
            RedisResult::Ok(connection)
        };
        // The client's own limits are for each of several steps.
        let Ok(Ok(connection)) = tokio::time::timeout(self.options.timeout * 2, connecting).await else {
            return false;
        };
        *self.connection.lock().unwrap_or_else(PoisonError::into_inner) = Some(connection);
        self.generation.fetch_add(1, Ordering::AcqRel);
        self.failures.store(0, Ordering::Release);
        self.metrics.up.set(1);
        self.open.store(false, Ordering::Release);
        true
    }

    /// Tries to reach Redis whenever it is away.
    pub(crate) async fn watch(self: Arc<Self>) {
        let mut is_first = true;
        loop {
            let mut pause = FIRST_PAUSE;
            while !self.rejoin().await {
                if std::mem::take(&mut is_first) {
                    tracing::warn!("the cache's Redis can't be reached; trying on");
                }
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
            if !std::mem::take(&mut is_first) {
                tracing::info!("the cache's Redis is back");
            }
            self.opened.notified().await;
            tokio::time::sleep(FIRST_PAUSE).await;
        }
    }
}

impl std::fmt::Debug for Link {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Not the address: it may carry a password.
        f.debug_struct("Link").field("is_up", &self.is_up()).finish_non_exhaustive()
    }
}
