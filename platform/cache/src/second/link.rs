//! The cache's connection to Redis.

use std::sync::Arc;

use mainstay_redis::{AskError, LinkMetrics, Probe, RedisError, RedisOptions, Refusals};
use redis::RedisResult;
use redis::aio::ConnectionManager;

use crate::metrics::CacheMetrics;

/// Any Redis that answers is of use: one that takes no writes still serves what it has.
pub(crate) struct Link(mainstay_redis::Link<Ping>);

struct Ping;

impl Probe for Ping {
    async fn probe(&self, connection: &mut ConnectionManager) -> RedisResult<()> {
        redis::cmd("PING").exec_async(connection).await
    }
}

impl Link {
    /// A link that is away until [`Link::watch`] has found it.
    pub(crate) fn new(options: RedisOptions, metrics: CacheMetrics) -> Result<Self, RedisError> {
        let CacheMetrics { up, opened, failures, round_trips: seconds, .. } = metrics;
        let metrics = LinkMetrics { up, opened, failures, seconds };
        let link = mainstay_redis::Link::new("the cache's Redis", options, Ping, Refusals::Bear, metrics)?;
        Ok(Self(link))
    }

    pub(crate) fn prefix(&self) -> &str {
        self.0.prefix()
    }

    pub(crate) fn is_up(&self) -> bool {
        self.0.is_up()
    }

    pub(crate) async fn ask<T>(
        &self,
        question: impl AsyncFnOnce(&mut ConnectionManager) -> RedisResult<T>,
    ) -> Result<T, AskError> {
        self.0.ask(question).await
    }

    /// Tries to reach Redis, now and whenever it is away.
    pub(crate) async fn watch(self: Arc<Self>) {
        self.0.join().await;
        self.0.watch().await;
    }
}

impl std::fmt::Debug for Link {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}
