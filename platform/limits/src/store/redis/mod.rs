//! Counters in Redis, shared by all nodes.

mod asker;
mod script;

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use mainstay_core::Clock;
use mainstay_redis::{Link, RedisError, RedisOptions, Refusals};
use mainstay_telemetry::Metrics;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

use self::asker::{Call, ask_for_all};
use self::script::ChargeScript;
use super::{Order, Store, StoreError, Tally};
use crate::metrics::store_metrics;

/// Counters in Redis 5 or newer, or what speaks its language.
///
/// A call is one round trip, decided by the server's clock; calls at the same time share one, each decided
/// for itself. A key takes at most 2 KiB and expires with its window. After three failures in a row Redis is
/// not asked any more, so that one that hangs costs nothing; a task of the store tries to reach it, and it is
/// asked again at most about a second after it came back. The store's tasks end with it.
pub struct RedisStore {
    link: Arc<Link<ChargeScript>>,
    /// To the task that asks, once it runs.
    calls: OnceLock<mpsc::UnboundedSender<Call>>,
    tasks: Mutex<JoinSet<()>>,
}

impl RedisStore {
    /// A store for this Redis, tried once. It need not answer: then the store is away, and a task goes on
    /// trying. Its tasks run in the Tokio runtime of this call, which must run for as long as the store is used.
    ///
    /// # Errors
    /// [`RedisError`] for an URL that never works.
    pub async fn connect(options: RedisOptions, metrics: &Metrics) -> Result<Self, RedisError> {
        let store = Self::new(options, metrics)?;
        store.start().await;
        Ok(store)
    }

    /// The same by another time than the server's, for tests that move it.
    ///
    /// # Errors
    /// As [`RedisStore::connect`].
    #[doc(hidden)]
    pub async fn connect_by(
        clock: Arc<dyn Clock>,
        options: RedisOptions,
        metrics: &Metrics,
    ) -> Result<Self, RedisError> {
        let store = Self::build(options, Some(clock), metrics)?;
        store.start().await;
        Ok(store)
    }

    /// A store that is away until [`RedisStore::start`].
    ///
    /// # Errors
    /// As [`RedisStore::connect`].
    pub fn new(options: RedisOptions, metrics: &Metrics) -> Result<Self, RedisError> {
        Self::build(options, None, metrics)
    }

    fn build(
        options: RedisOptions,
        clock: Option<Arc<dyn Clock>>,
        metrics: &Metrics,
    ) -> Result<Self, RedisError> {
        let script = ChargeScript::new(options.prefix(), clock);
        // One that takes no writes (a replica, no memory left) is no use.
        let refusals = Refusals::Count;
        let link = Link::new("the limits' store", options, script, refusals, store_metrics(metrics))?;
        Ok(Self { link: Arc::new(link), calls: OnceLock::new(), tasks: Mutex::default() })
    }

    /// Tries to reach Redis, once, and begins to watch it and to ask it, in the Tokio runtime of this call.
    /// Once more, it does nothing.
    pub async fn start(&self) {
        if self.calls.get().is_some() {
            return;
        }
        self.link.join().await;
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        let (sender, receiver) = mpsc::unbounded_channel();
        if self.calls.set(sender).is_ok() {
            let (link, watched) = (Arc::clone(&self.link), Arc::clone(&self.link));
            tasks.spawn(ask_for_all(link, receiver));
            tasks.spawn(async move { watched.watch().await });
        }
    }

    /// Whether calls reach Redis, as far as is known.
    #[must_use]
    pub fn is_up(&self) -> bool {
        self.asker().is_some()
    }

    /// The way to Redis, if it is not away.
    fn asker(&self) -> Option<&mpsc::UnboundedSender<Call>> {
        self.calls.get().filter(|calls| self.link.is_up() && !calls.is_closed())
    }
}

impl Store for RedisStore {
    async fn charge(&self, orders: &[Order]) -> Result<Vec<Tally>, StoreError> {
        let Some(calls) = self.asker() else { return Err(StoreError::Away) };
        let (answer, answered) = oneshot::channel();
        calls.send(Call { orders: orders.to_vec(), answer }).map_err(|_| StoreError::Away)?;
        answered.await.unwrap_or(Err(StoreError::Failed))
    }
}

impl std::fmt::Debug for RedisStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Not the address: it may carry a password.
        f.debug_struct("RedisStore").field("is_up", &self.is_up()).finish_non_exhaustive()
    }
}
