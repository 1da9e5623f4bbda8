//! Counters in Redis, shared by all nodes.

use std::fmt::Write;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use ::redis::aio::{ConnectionManager, ConnectionManagerConfig};
use ::redis::{Client, ConnectionInfo, RedisResult, Script};
use mainstay_core::Clock;
use mainstay_telemetry::Metrics;
use tokio::sync::Notify;
use tokio::task::JoinSet;

use super::{Order, Store, StoreError, Tally};
use crate::key::{Charge, Key};
use crate::metrics::StoreMetrics;
use crate::policy::Policy;
use crate::state::Kind;

/// So many failures in a row, and the store is not asked until it has answered again.
const FAILURES: u32 = 3;

/// How long the pause between two attempts to reach Redis is at first and at most.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// What the script says of one key: admitted, left, ms until more, ms until admitted, time, extra.
type Answer = (bool, u32, u64, i64, i64, u32);

/// How Redis is reached.
#[derive(Clone, Debug)]
pub struct RedisOptions {
    info: ConnectionInfo,
    prefix: String,
    timeout: Duration,
    clock: Option<Arc<dyn Clock>>,
}

/// An URL that does not lead to a Redis.
#[derive(Debug, thiserror::Error)]
#[error("this is no URL of a Redis that is known here (redis://[[user]:password@]host[:port][/database])")]
pub struct RedisError(#[source] ::redis::RedisError);

impl RedisOptions {
    /// Waits at most 50 ms for Redis. The names of keys begin with `mainstay:limits:`.
    ///
    /// # Errors
    /// An URL that can't be read, or of a kind that was not compiled in (`rediss`).
    pub fn new(url: &str) -> Result<Self, RedisError> {
        let info = ConnectionInfo::from_str(url).map_err(RedisError)?;
        Ok(Self {
            info,
            prefix: "mainstay:limits:".to_owned(),
            timeout: Duration::from_millis(50),
            clock: None,
        })
    }

    /// What the names of keys begin with, so that several deployments can share one Redis.
    #[must_use]
    pub fn with_prefix(mut self, prefix: &str) -> Self {
        prefix.clone_into(&mut self.prefix);
        self
    }

    /// How long a call waits for an answer, and for a connection. While Redis hangs, and until that
    /// is noticed, each call loses so much.
    #[must_use]
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Another time than the server's, for tests that move it.
    #[doc(hidden)]
    #[must_use]
    pub fn with_clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = Some(clock);
        self
    }
}

/// Counters in Redis 5 or newer, or what speaks its language.
///
/// A call is one script and one round trip, decided by the server's clock. A key takes at most
/// 2 KiB and expires with its window. After three failures in a row Redis is not asked any more, so
/// that one that hangs costs nothing; a task of the store tries to reach it, and it is asked again
/// at most about a second after it came back. The task ends with the store.
pub struct RedisStore {
    link: Arc<Link>,
    script: Script,
    /// Ends with the store.
    watcher: Mutex<JoinSet<()>>,
}

/// The connection and what is known of it.
struct Link {
    options: RedisOptions,
    client: Client,
    connection: Mutex<Option<ConnectionManager>>,
    /// The breaker: calls fail at once.
    open: AtomicBool,
    opened: Notify,
    failures: AtomicU32,
    /// Counts connections: what was asked of an old one says nothing about the new one.
    generation: AtomicU64,
    metrics: StoreMetrics,
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

    /// A store that is away until [`RedisStore::start`].
    ///
    /// # Errors
    /// As [`RedisStore::connect`].
    pub fn new(options: RedisOptions, metrics: &Metrics) -> Result<Self, RedisError> {
        let client = Client::open(options.info.clone()).map_err(RedisError)?;
        let link = Arc::new(Link {
            options,
            client,
            connection: Mutex::new(None),
            open: AtomicBool::new(true),
            opened: Notify::new(),
            failures: AtomicU32::new(0),
            generation: AtomicU64::new(0),
            metrics: StoreMetrics::new(metrics),
        });
        Ok(Self { link, script: script(), watcher: Mutex::default() })
    }

    /// Tries to reach Redis, once, and begins to watch it. Once more, it does nothing.
    pub async fn start(&self) {
        let is_started = !self.watcher.lock().unwrap_or_else(PoisonError::into_inner).is_empty();
        if is_started {
            return;
        }
        if !self.link.rejoin(&self.script).await {
            tracing::warn!(store = "redis", "the limits' store can't be reached; trying on");
            self.link.opened.notify_one();
        }
        let mut watcher = self.watcher.lock().unwrap_or_else(PoisonError::into_inner);
        if watcher.is_empty() {
            watcher.spawn(watch(Arc::clone(&self.link), self.script.clone()));
        }
    }

    /// Whether calls reach Redis, as far as is known.
    #[must_use]
    pub fn is_up(&self) -> bool {
        !self.link.open.load(Ordering::Acquire)
    }
}

impl Store for RedisStore {
    async fn charge(&self, orders: &[Order]) -> Result<Vec<Tally>, StoreError> {
        let link = &self.link;
        if link.open.load(Ordering::Acquire) {
            return Err(StoreError::Away);
        }
        let generation = link.generation.load(Ordering::Acquire);
        let connection = link.connection.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut connection = connection.ok_or(StoreError::Away)?;
        let started = Instant::now();
        let answer = link.ask(&mut connection, &self.script, orders).await;
        link.metrics.seconds.observe(started.elapsed().as_secs_f64());
        match answer {
            Ok(tallies) => {
                // Written only if there is something to write: this is every call's way.
                if link.failures.load(Ordering::Relaxed) != 0 {
                    link.failures.store(0, Ordering::Relaxed);
                }
                Ok(tallies)
            }
            Err(why) => {
                link.failed(generation, &why);
                Err(StoreError::Failed)
            }
        }
    }
}

impl Link {
    async fn ask(
        &self,
        connection: &mut ConnectionManager,
        script: &Script,
        orders: &[Order],
    ) -> Result<Vec<Tally>, String> {
        let mut call = script.prepare_invoke();
        call.arg(self.options.clock.as_ref().map_or(-1, |clock| clock.now().millis()));
        let mut key = String::with_capacity(self.options.prefix.len() + 32);
        for order in orders {
            key.clear();
            key.push_str(&self.options.prefix);
            write!(key, "{:032x}", order.digest).expect("a String takes any text");
            call.key(key.as_str());
            let (kind, one, two) = match order.shape.kind {
                Kind::Log { parts, ahead } => ("l", parts, u32::from(ahead)),
                Kind::Bucket { burst, drain } => ("g", burst, drain),
            };
            call.arg(kind).arg(order.shape.limit).arg(order.shape.window_ms).arg(one).arg(two);
            call.arg(order.cost).arg(order.extra);
        }
        let answer: RedisResult<Vec<Answer>> =
            match tokio::time::timeout(self.options.timeout, call.invoke_async(connection)).await {
                Ok(answer) => answer,
                Err(_) => return Err(format!("no answer within {} ms", self.options.timeout.as_millis())),
            };
        let answer = answer.map_err(|error| error.to_string())?;
        if answer.len() != orders.len() {
            return Err(format!("{} answers to {} questions", answer.len(), orders.len()));
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

    fn failed(&self, generation: u64, why: &str) {
        self.metrics.failures.inc();
        if self.generation.load(Ordering::Acquire) != generation {
            return;
        }
        if self.failures.fetch_add(1, Ordering::AcqRel) + 1 >= FAILURES
            && !self.open.swap(true, Ordering::AcqRel)
        {
            self.metrics.opened.inc();
            self.metrics.up.set(0);
            tracing::warn!(store = "redis", why, "the limits' store is away");
            self.opened.notify_one();
        }
    }

    /// Makes a connection, and if counting works through it, uses it.
    ///
    /// A new connection each time: one that was cut without a word never answers again.
    async fn rejoin(&self, script: &Script) -> bool {
        let config = ConnectionManagerConfig::new()
            .set_number_of_retries(0)
            .set_connection_timeout(Some(self.options.timeout))
            .set_response_timeout(Some(self.options.timeout));
        let connecting = ConnectionManager::new_with_config(self.client.clone(), config);
        // The client's own limits are for each of several steps.
        let Ok(Ok(mut connection)) = tokio::time::timeout(self.options.timeout * 2, connecting).await else {
            return false;
        };
        // One that takes no writes (a replica, no memory left) is no use.
        if self.ask(&mut connection, script, &[probe()]).await.is_err() {
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

async fn watch(link: Arc<Link>, script: Script) {
    loop {
        link.opened.notified().await;
        let mut pause = FIRST_PAUSE;
        loop {
            tokio::time::sleep(pause).await;
            if link.rejoin(&script).await {
                tracing::info!(store = "redis", "the limits' store is back");
                break;
            }
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }
}

/// What there is to know of a Redis before one relies on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RedisReport {
    /// Its version.
    pub version: String,
    /// What it does when its memory is full. Anything but `noeviction` forgets counters then.
    pub maxmemory_policy: String,
    /// How much memory it may take, in bytes; 0: all there is.
    pub maxmemory_bytes: u64,
    /// Whether it is part of a cluster, which a call under several policies can't be counted in.
    pub is_cluster: bool,
    /// Whether it takes writes: a replica does not.
    pub is_primary: bool,
}

/// Asks a Redis about itself, for at most 5 s.
///
/// # Errors
/// Why it can't be asked, in words.
pub async fn inspect(options: &RedisOptions) -> Result<RedisReport, String> {
    let ask = async {
        let client = Client::open(options.info.clone())?;
        let mut connection = client.get_multiplexed_async_connection().await?;
        ::redis::cmd("INFO").query_async::<String>(&mut connection).await
    };
    let answer = tokio::time::timeout(Duration::from_secs(5), ask).await;
    let text = answer.map_err(|_| "no answer within 5 s".to_owned())?.map_err(|error| error.to_string())?;
    let field = |name: &str| {
        let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        value.unwrap_or_default().trim().to_owned()
    };
    Ok(RedisReport {
        version: field("redis_version"),
        maxmemory_policy: field("maxmemory_policy"),
        maxmemory_bytes: field("maxmemory").parse().unwrap_or(0),
        is_cluster: field("cluster_enabled") == "1",
        is_primary: field("role") != "slave",
    })
}

fn script() -> Script {
    Script::new(include_str!("charge.lua"))
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
