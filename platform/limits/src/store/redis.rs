//! Counters in Redis, shared by all nodes.

use std::fmt::Write;
use std::sync::{Arc, Mutex, PoisonError};

use ::redis::aio::ConnectionManager;
use ::redis::{ErrorKind, RedisResult, Script};
use mainstay_core::Clock;
use mainstay_redis::{AskError, Link, Probe, RedisError, RedisOptions, Refusals};
use mainstay_telemetry::Metrics;
use tokio::task::JoinSet;

use super::{Order, Store, StoreError, Tally};
use crate::key::{Charge, Key};
use crate::metrics::store_metrics;
use crate::policy::Policy;
use crate::state::Kind;

/// What the script says of one key: admitted, left, ms until more, ms until admitted, time, extra.
type Answer = (bool, u32, u64, i64, i64, u32);

/// Counters in Redis 5 or newer, or what speaks its language.
///
/// A call is one script and one round trip, decided by the server's clock. A key takes at most
/// 2 KiB and expires with its window. After three failures in a row Redis is not asked any more, so
/// that one that hangs costs nothing; a task of the store tries to reach it, and it is asked again
/// at most about a second after it came back. The task ends with the store.
pub struct RedisStore {
    link: Arc<Link<Counting>>,
    /// Ends with the store.
    watcher: Mutex<JoinSet<()>>,
}

/// How counters are charged.
struct Counting {
    script: Script,
    prefix: String,
    /// Another time than the server's.
    clock: Option<Arc<dyn Clock>>,
}

impl RedisStore {
    /// A store for this Redis, tried once. It need not answer: then the store is away, and the
    /// task goes on trying.
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
        let script = Script::new(include_str!("charge.lua"));
        let counting = Counting { script, prefix: options.prefix().to_owned(), clock };
        // One that takes no writes (a replica, no memory left) is no use.
        let refusals = Refusals::Count;
        let link = Link::new("the limits' store", options, counting, refusals, store_metrics(metrics))?;
        Ok(Self { link: Arc::new(link), watcher: Mutex::default() })
    }

    /// Tries to reach Redis, once, and begins to watch it. Once more, it does nothing.
    pub async fn start(&self) {
        let is_started = !self.watcher.lock().unwrap_or_else(PoisonError::into_inner).is_empty();
        if is_started {
            return;
        }
        self.link.join().await;
        let mut watcher = self.watcher.lock().unwrap_or_else(PoisonError::into_inner);
        if watcher.is_empty() {
            let link = Arc::clone(&self.link);
            watcher.spawn(async move { link.watch().await });
        }
    }

    /// Whether calls reach Redis, as far as is known.
    #[must_use]
    pub fn is_up(&self) -> bool {
        self.link.is_up()
    }
}

impl Store for RedisStore {
    async fn charge(&self, orders: &[Order]) -> Result<Vec<Tally>, StoreError> {
        let counting = self.link.probe();
        let answer = self.link.ask(async |connection| counting.charge(connection, orders).await).await;
        answer.map_err(|error| match error {
            AskError::Away => StoreError::Away,
            AskError::Failed => StoreError::Failed,
        })
    }
}

impl Counting {
    async fn charge(&self, connection: &mut ConnectionManager, orders: &[Order]) -> RedisResult<Vec<Tally>> {
        let mut call = self.script.prepare_invoke();
        call.arg(self.clock.as_ref().map_or(-1, |clock| clock.now().millis()));
        let mut key = String::with_capacity(self.prefix.len() + 32);
        for order in orders {
            key.clear();
            key.push_str(&self.prefix);
            write!(key, "{:032x}", order.digest).expect("a String takes any text");
            call.key(key.as_str());
            let (kind, one, two) = match order.shape.kind {
                Kind::Log { parts, ahead } => ("l", parts, u32::from(ahead)),
                Kind::Bucket { burst, drain } => ("g", burst, drain),
            };
            call.arg(kind).arg(order.shape.limit).arg(order.shape.window_ms).arg(one).arg(two);
            call.arg(order.cost).arg(order.extra);
        }
        let answer: Vec<Answer> = call.invoke_async(connection).await?;
        if answer.len() != orders.len() {
            let counts = format!("{} answers to {} questions", answer.len(), orders.len());
            return Err((ErrorKind::UnexpectedReturnType, "the script is another", counts).into());
        }
        let tally = |(admitted, remaining, reset_ms, retry_ms, at_ms, granted)| Tally {
            admitted,
            remaining,
            reset_ms,
            retry_ms: u64::try_from(retry_ms).ok(),
            at_ms,
            granted,
        };
        Ok(answer.into_iter().map(tally).collect())
    }
}

impl Probe for Counting {
    async fn probe(&self, connection: &mut ConnectionManager) -> RedisResult<()> {
        self.charge(connection, &[probe()]).await.map(drop)
    }
}

fn probe() -> Order {
    let policy = Policy::parse("probe", "1000000/s").expect("a policy");
    Order::new(Charge::one(&Key::new(&policy, "")))
}

impl std::fmt::Debug for RedisStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Not the address: it may carry a password.
        f.debug_struct("RedisStore").field("is_up", &self.is_up()).finish_non_exhaustive()
    }
}
