//! The cache, and how it is read.

use std::fmt;
use std::marker::PhantomData;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use mainstay_core::{Clock, Rng};
use mainstay_db::{Db, INVALIDATIONS, WriteUnit};
use mainstay_telemetry::Metrics;
use serde::Serialize;
use siphasher::sip128::SipHasher13;
use tokio::task::JoinSet;
use tokio_util::task::TaskTracker;

use crate::entry::{AnyValue, Entry, Space, Start, Worth};
use crate::flights::{Boarding, End, Flight, Flights, Level};
use crate::load::{Trip, fly};
use crate::log::{EVERYTHING, LEAST_PAUSE, LOOK_EVERY, Log};
use crate::memory::Memory;
use crate::metrics::CacheMetrics;
use crate::second::{Link, Second};
use crate::slots::Slots;
use crate::status::Source;
use crate::time::Time;
use crate::walk::{Digester, Sink as _, Walk};
use crate::{CacheSettings, CacheStatus, Loaded, Namespace, RedisError, RedisOptions, Stale, Steady, Value};

/// How long the next look waits for others to be told what they could not be told before.
const PATIENCE_TO_TELL: Duration = Duration::from_millis(100);

/// What a [`Cache`] is made from.
#[derive(Clone, Debug)]
pub struct CacheOptions {
    /// The `[cache]` section.
    pub settings: CacheSettings,
    /// By which values are fresh.
    pub clock: Arc<dyn Clock>,
    /// By which this node counts as cut off.
    pub steady: Steady,
    /// For jitter, early refresh and the names of leases.
    pub rng: Arc<dyn Rng>,
    /// Where to count.
    pub metrics: Metrics,
    /// Secret to the deployment and the same on all its nodes: nobody can make two keys collide.
    pub key: [u8; 32],
    /// The database with the log of invalidations. `None`: nobody but this cache changes anything.
    pub db: Option<Db>,
    /// The second level. It needs the log.
    pub redis: Option<RedisOptions>,
}

/// The cache of one node. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Cache(pub(crate) Arc<Core>);

#[derive(Debug)]
pub(crate) struct Core {
    pub(crate) is_on: bool,
    pub(crate) time: Time,
    pub(crate) rng: Arc<dyn Rng>,
    pub(crate) slots: Slots,
    pub(crate) memory: Memory,
    pub(crate) flights: Arc<Flights>,
    pub(crate) log: Log,
    pub(crate) second: Option<Second>,
    pub(crate) metrics: CacheMetrics,
    hasher: Hashing,
    /// Loads, which nobody cuts off.
    pub(crate) loads: TaskTracker,
    background: Mutex<JoinSet<()>>,
}

struct Hashing(SipHasher13);

impl fmt::Debug for Hashing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hashing")
    }
}

/// A namespace of a cache: what apps keep. Cheap to clone.
pub struct Cached<K: ?Sized, V> {
    core: Arc<Core>,
    space: Arc<Space>,
    /// Has the namespace's name in it already.
    digester: Digester,
    _types: PhantomData<fn(&K) -> V>,
}

/// A value and how it was come by.
#[derive(Debug)]
pub struct Fetched<V> {
    /// `None`: there is nothing under this key.
    pub value: Option<Arc<V>>,
    /// How it was served.
    pub status: CacheStatus,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum LoadError<E> {
    /// The loader's own error, the same for everybody who waited for this load.
    #[error(transparent)]
    Loader(Arc<E>),
    /// The loader panicked, or did not end within 20 s.
    #[error("loading a value panicked or took too long")]
    Abandoned,
}

impl<E> Clone for LoadError<E> {
    fn clone(&self) -> Self {
        match self {
            Self::Loader(error) => Self::Loader(Arc::clone(error)),
            Self::Abandoned => Self::Abandoned,
        }
    }
}

impl Cache {
    /// A cache. Call [`Cache::start`] when the runtime is there.
    ///
    /// # Errors
    /// [`RedisError`] for an URL that never works.
    pub fn new(options: CacheOptions) -> Result<Self, RedisError> {
        let CacheOptions { settings, clock, steady, rng, metrics, key, db, redis } = options;
        let metrics_of_all = CacheMetrics::new(&metrics);
        let second = match redis.filter(|_| db.is_some() && settings.enabled) {
            None => None,
            Some(redis) => {
                let link = Arc::new(Link::new(redis, metrics_of_all.clone())?);
                Some(Second::new(link, rng.clone()))
            }
        };
        let half = key.first_chunk::<16>().expect("32 bytes have 16");
        let core = Core {
            is_on: settings.enabled,
            time: Time::new(clock, steady),
            slots: Slots::new(),
            memory: Memory::new(settings.l1_bytes),
            flights: Arc::new(Flights::new()),
            log: Log::new(db, rng.clone()),
            rng,
            second,
            metrics: metrics_of_all,
            hasher: Hashing(SipHasher13::new_with_key(half)),
            loads: TaskTracker::new(),
            background: Mutex::default(),
        };
        Ok(Self(Arc::new(core)))
    }

    /// A cache for one process and nobody beside it: no log, no Redis.
    #[must_use]
    pub fn local(clock: Arc<dyn Clock>, rng: Arc<dyn Rng>, metrics: &Metrics) -> Self {
        let key = rng.bytes();
        let options = CacheOptions {
            settings: CacheSettings::default(),
            clock,
            steady: Steady::Processor,
            rng,
            metrics: metrics.clone(),
            key,
            db: None,
            redis: None,
        };
        Self::new(options).expect("there is no URL that could be wrong")
    }

    /// Follows the log of invalidations and reaches for Redis from now on, until the cache is dropped
    /// or [`Cache::stop`]ped. Without it, what was loaded is believed for a second.
    pub fn start(&self) {
        let mut background = self.0.background.lock().unwrap_or_else(PoisonError::into_inner);
        if !background.is_empty() {
            return;
        }
        if let Some(db) = self.0.log.db() {
            let listener = db.signals().listen(INVALIDATIONS);
            background.spawn(follow(Arc::downgrade(&self.0), listener));
        }
        if let Some(second) = &self.0.second {
            background.spawn(Arc::clone(&second.link).watch());
        }
    }

    /// Ends what [`Cache::start`] began. What is kept is believed for one more second.
    pub fn stop(&self) {
        self.0.background.lock().unwrap_or_else(PoisonError::into_inner).abort_all();
    }

    /// Looks into the log once: what other nodes changed before this call is not believed after it. Gives
    /// whether that could be done.
    pub async fn catch_up(&self) -> bool {
        self.0.catch_up().await
    }

    /// A typed handle. Make it once, in an app's constructor.
    #[must_use]
    pub fn namespace<K: ?Sized, V>(&self, namespace: &Namespace<K, V>) -> Cached<K, V> {
        let rules = namespace.rules;
        let digester = self.0.digester("namespace", rules.name);
        let space =
            Space { rules, hash: low(digester.finish()), metrics: self.0.metrics.namespace(rules.name) };
        Cached { core: Arc::clone(&self.0), space: Arc::new(space), digester, _types: PhantomData }
    }

    /// The value of `make` under `key`, made at most once in `ttl`: for what is needed in one place and
    /// deserves no namespace. A key always has the same type.
    ///
    /// # Errors
    /// What `make` returned.
    pub async fn attempt<V, E>(
        &self,
        key: &str,
        ttl: Duration,
        make: impl Future<Output = Result<V, E>> + Send + 'static,
    ) -> Result<Arc<V>, LoadError<E>>
    where
        V: Value,
        E: Send + Sync + 'static,
    {
        let attempts = Namespace::<str, V>::new("attempt", 1).ttl(ttl).jitter(0);
        let make = async move { make.await.map(Loaded::new) };
        let value = self.namespace(&attempts).get_or_load(key, || make).await?;
        Ok(value.expect("what was made is there"))
    }

    /// Says that everything with one of these tags has changed. Call it after the commit. When it
    /// returns, this node does not believe it any more; all others within a second.
    ///
    /// Better [`Cache::stale`], which tells the others with the commit itself.
    pub async fn invalidate_tags(&self, tags: &[&str]) {
        tags.iter().fold(self.stale(), |stale, tag| stale.tag(tag)).after_commit().await;
    }

    /// Begins a list of what has changed.
    pub fn stale(&self) -> Stale {
        Stale::new(self.clone())
    }

    /// Invalidates everything, on all nodes.
    pub async fn clear(&self) {
        self.0.slots.invalidate_everything();
        self.0.memory.clear();
        self.0.log.write(&self.0.slots, &[EVERYTHING]).await;
        // What is loaded from now on should be behind it.
        self.0.catch_up().await;
    }

    /// What entries in this process weigh.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        self.0.memory.bytes()
    }

    /// How many entries are in this process.
    #[must_use]
    pub fn memory_entries(&self) -> usize {
        self.0.memory.entries()
    }

    /// Whether Redis is asked. `None`: there is none.
    #[must_use]
    pub fn is_redis_up(&self) -> Option<bool> {
        self.0.second.as_ref().map(|second| second.link.is_up())
    }

    pub(crate) fn tag(&self, tag: &str) -> u32 {
        self.0.tag(tag)
    }
}

async fn follow(core: Weak<Core>, mut listener: mainstay_db::Listener) {
    loop {
        // Commits may come in a stream. The first one is looked for at once.
        let pause = tokio::time::sleep(LEAST_PAUSE);
        let Some(core) = core.upgrade() else { return };
        core.catch_up().await;
        drop(core);
        listener.woken_within(LOOK_EVERY).await;
        pause.await;
    }
}

/// The bits by which something is invalidated.
pub(crate) fn low(digest: u128) -> u32 {
    let low = u32::try_from(digest & u128::from(u32::MAX)).unwrap_or_default();
    // The highest one stands for everything.
    if low == EVERYTHING { 0 } else { low }
}

impl Core {
    fn digester(&self, kind: &str, name: &str) -> Digester {
        let mut digester = Digester(self.hasher.0);
        digester.text(kind.as_bytes());
        digester.text(name.as_bytes());
        digester
    }

    pub(crate) fn tag(&self, tag: &str) -> u32 {
        low(self.digester("tag", tag).finish())
    }

    pub(crate) async fn catch_up(self: &Arc<Self>) -> bool {
        let has_seen = self.log.look(&self.slots, &self.time, &self.metrics).await;
        if has_seen && self.log.is_pending() {
            let core = Arc::clone(self);
            let telling = self.loads.spawn(async move { core.log.deliver(&core.slots).await });
            // It goes on by itself. The next look does not wait for a connection that can write.
            let _late = tokio::time::timeout(self.time.patience(PATIENCE_TO_TELL), telling).await;
        }
        has_seen
    }

    /// For a load that would like to: it does not wait for a database that is slow.
    pub(crate) async fn catch_up_soon(self: &Arc<Self>) {
        let patience = self.time.patience(Duration::from_millis(50));
        // A task of its own: others may wait for the same look.
        let core = Arc::clone(self);
        let look = self.loads.spawn(async move { core.catch_up().await });
        let _late = tokio::time::timeout(patience, look).await;
    }

    /// What is known now, before the source is asked.
    pub(crate) fn start(&self) -> Start {
        Start { seen: self.slots.begun(), horizon: self.log.horizon(), steady: self.time.steady() }
    }

    /// Evenly spread over `0.0..1.0`.
    pub(crate) fn random(&self) -> f64 {
        // 53 bits are what a float holds.
        let bits = (u64::from_le_bytes(self.rng.bytes::<8>()) >> 11) as f64;
        bits / 9_007_199_254_740_992.0
    }

    fn worth(&self, entry: &Entry, now: i64) -> Worth {
        if !entry.is_valid(&self.slots) {
            return Worth::Nothing;
        }
        let times = &entry.times;
        if now >= times.error_until {
            return Worth::Nothing;
        }
        if !self.log.is_trusted(&self.time, entry.start.steady) {
            // Others may have changed it. It is good again when the log says that nobody did.
            return if entry.space.rules.stale_if_error.is_zero() { Worth::Doubtful } else { Worth::Spare };
        }
        if now >= times.stale_until {
            return Worth::Spare;
        }
        if now >= times.expires {
            return Worth::Stale;
        }
        if entry.space.rules.early && times.is_early(now, || self.random()) {
            return Worth::Early;
        }
        Worth::Fresh
    }
}

impl<K: Serialize + ?Sized, V: Value> Cached<K, V> {
    /// The value under `key`, from memory, from Redis or from `load`. `None`: there is nothing.
    ///
    /// `load` runs once however many ask, in a task of its own: nobody who hangs up cuts it off. It must
    /// read the primary (`Db::primary`): a copy that lags would put back what was just
    /// invalidated. When a change was committed and invalidated on this node before this call, the answer has
    /// it; a change of another node after at most a second.
    ///
    /// # Errors
    /// What `load` returned; errors are not kept.
    pub async fn get_or_load<L, E, F, Fut>(&self, key: &K, load: F) -> Result<Option<Arc<V>>, LoadError<E>>
    where
        L: Into<Loaded<V>> + Send + 'static,
        E: Send + Sync + 'static,
        F: FnOnce() -> Fut + Send + 'static,
        Fut: Future<Output = Result<L, E>> + Send + 'static,
    {
        Ok(self.fetch(key, load).await?.value)
    }

    /// The same, and how it was come by.
    ///
    /// # Errors
    /// As [`Cached::get_or_load`].
    pub async fn fetch<L, E, F, Fut>(&self, key: &K, load: F) -> Result<Fetched<V>, LoadError<E>>
    where
        L: Into<Loaded<V>> + Send + 'static,
        E: Send + Sync + 'static,
        F: FnOnce() -> Fut + Send + 'static,
        Fut: Future<Output = Result<L, E>> + Send + 'static,
    {
        let (core, digest) = (&self.core, self.digest(key));
        // Before anything is looked at: what was invalidated before must not be in the answer.
        let seen = core.slots.begun();
        let mut spare = None;
        if core.is_on
            && let Some(entry) = core.memory.get(digest)
        {
            let now = core.time.now();
            let worth = core.worth(&entry, now);
            match worth {
                Worth::Fresh => {
                    if let Some(fetched) = self.hit(&entry, Source::Memory, now) {
                        return Ok(fetched);
                    }
                }
                Worth::Early | Worth::Stale => {
                    if let Some(fetched) = self.hit(&entry, Source::Memory, now) {
                        if entry.may_refresh(now) {
                            self.refresh(digest, entry, load);
                        }
                        return Ok(fetched);
                    }
                }
                Worth::Spare => {
                    // Who waited for a source that takes long to fail would wait each time.
                    if entry.has_failed(now)
                        && let Some(fetched) = self.spare(&entry, now, false)
                    {
                        if entry.may_try_again(now) {
                            self.refresh(digest, entry, load);
                        }
                        return Ok(fetched);
                    }
                    spare = Some(entry);
                }
                Worth::Doubtful => {}
                Worth::Nothing => core.memory.remove(digest, &entry),
            }
        }
        // Boxed: the way of a hit is not made longer by it.
        Box::pin(self.wait(digest, seen, spare, load)).await
    }

    /// The value in this process if it is fresh: no wait, no load. `Some(None)`: fresh, and there is nothing.
    #[must_use]
    pub fn peek(&self, key: &K) -> Option<Option<Arc<V>>> {
        if !self.core.is_on {
            return None;
        }
        let entry = self.core.memory.get(self.digest(key))?;
        let now = self.core.time.now();
        match self.core.worth(&entry, now) {
            Worth::Fresh => Some(self.hit(&entry, Source::Memory, now)?.value),
            Worth::Early | Worth::Stale | Worth::Spare | Worth::Doubtful | Worth::Nothing => None,
        }
    }

    /// Says that what is under `key` has changed, or that there is something now. Call it after the
    /// commit. When it returns, this node does not believe it any more; all others within a second.
    ///
    /// If the process dies between the commit and the end of this call, other nodes may believe the old value
    /// until its time is over. [`Cached::invalidate_with`] can't lose it.
    pub async fn invalidate(&self, key: &K) {
        Stale::new(Cache(Arc::clone(&self.core))).key(self, key).after_commit().await;
    }

    /// Says that `unit` changes what is under `key`: with its commit, no node that hears of it
    /// believes the old value any more, this one before the commit returns, all others within a second.
    pub fn invalidate_with(&self, unit: &WriteUnit, key: &K) {
        Stale::new(Cache(Arc::clone(&self.core))).key(self, key).with(unit);
    }

    /// Says that everything in the namespace has changed, as [`Cached::invalidate`] does for one key.
    pub async fn invalidate_all(&self) {
        Stale::new(Cache(Arc::clone(&self.core))).namespace(self).after_commit().await;
    }

    pub(crate) fn digest(&self, key: &K) -> u128 {
        let mut digester = self.digester.clone();
        key.serialize(Walk(&mut digester)).expect("keys are plain data");
        digester.finish()
    }

    pub(crate) fn hash(&self) -> u32 {
        self.space.hash
    }

    fn hit(&self, entry: &Entry, source: Source, now: i64) -> Option<Fetched<V>> {
        let value = typed::<V>(entry.value.as_ref())?;
        let ttl_ms = entry.times.expires - now;
        let metrics = &self.space.metrics;
        match (ttl_ms > 0, &value) {
            (false, _) => metrics.stale.inc(),
            (true, None) => metrics.negative.inc(),
            (true, Some(_)) => metrics.memory.inc(),
        };
        Some(Fetched { value, status: CacheStatus { source, ttl_ms, collapsed: false } })
    }

    /// The value that is served because no new one can be had.
    fn spare(&self, entry: &Entry, now: i64, collapsed: bool) -> Option<Fetched<V>> {
        let value = typed::<V>(entry.value.as_ref())?;
        self.space.metrics.stale.inc();
        let status = CacheStatus { source: Source::Spare, ttl_ms: entry.times.expires - now, collapsed };
        Some(Fetched { value, status })
    }

    /// Loads in the background, unless that is under way.
    fn refresh<L, E, F, Fut>(&self, digest: u128, old: Arc<Entry>, load: F)
    where
        L: Into<Loaded<V>> + Send + 'static,
        E: Send + Sync + 'static,
        F: FnOnce() -> Fut + Send + 'static,
        Fut: Future<Output = Result<L, E>> + Send + 'static,
    {
        if let Boarding::Leading(_, lead) = self.core.flights.board(digest, self.core.slots.begun(), |_| true)
        {
            self.space.metrics.refreshes.inc();
            let trip = Trip { digest, space: Arc::clone(&self.space), old: Some(old), is_awaited: false };
            self.core.loads.spawn(fly::<V, L, E, F, Fut>(Arc::clone(&self.core), lead, trip, load));
        }
    }

    async fn wait<L, E, F, Fut>(
        &self,
        digest: u128,
        seen: u64,
        spare: Option<Arc<Entry>>,
        load: F,
    ) -> Result<Fetched<V>, LoadError<E>>
    where
        L: Into<Loaded<V>> + Send + 'static,
        E: Send + Sync + 'static,
        F: FnOnce() -> Fut + Send + 'static,
        Fut: Future<Output = Result<L, E>> + Send + 'static,
    {
        let core = &self.core;
        let own = [low(digest), self.space.hash];
        let is_good = |flight: &Flight| core.slots.is_valid(&own, flight.seen);
        let mut boarding = core.flights.board(digest, core.slots.begun(), is_good);
        // At most twice: with one that may be too old, and with one that is not.
        for is_certain in [false, true] {
            let Boarding::Joined(flight) = boarding else { break };
            let end = flight.ended().await;
            // Its tags are only known now. If one was invalidated while it was under way, that may have been
            // before this read began; and an error of another type is of no use here.
            let good = match &end {
                Some(End::Entry(entry, _)) => entry.start.seen >= seen || entry.is_valid(&core.slots),
                Some(End::Failed(error)) => error.is::<E>(),
                Some(End::Left) => false,
                None => true,
            };
            if good && let Some(answer) = self.answer(end, spare.as_ref(), true) {
                return answer;
            }
            boarding =
                core.flights.board(digest, core.slots.begun(), |flight| !is_certain && flight.seen >= seen);
        }
        let Boarding::Leading(flight, lead) = boarding else { unreachable!("nothing else was good enough") };
        let trip = Trip { digest, space: Arc::clone(&self.space), old: spare.clone(), is_awaited: true };
        core.loads.spawn(fly::<V, L, E, F, Fut>(Arc::clone(core), lead, trip, load));
        let end = flight.ended().await;
        self.answer(end, spare.as_ref(), false).unwrap_or(Err(LoadError::Abandoned))
    }

    /// `None`: that is no answer to this question.
    fn answer<E: Send + Sync + 'static>(
        &self,
        end: Option<End>,
        spare: Option<&Arc<Entry>>,
        collapsed: bool,
    ) -> Option<Result<Fetched<V>, LoadError<E>>> {
        let metrics = &self.space.metrics;
        let now = self.core.time.now();
        let error = match end {
            Some(End::Entry(entry, level)) => {
                let value = typed::<V>(entry.value.as_ref())?;
                let (source, counter) = match (self.core.is_on, level, spare) {
                    (false, _, _) => (Source::Bypass, &metrics.miss),
                    (true, Level::Second, _) => (Source::Redis, &metrics.redis),
                    (true, Level::Source, None) => (Source::Loader, &metrics.miss),
                    (true, Level::Source, Some(_)) => (Source::LoaderAgain, &metrics.miss),
                };
                if collapsed {
                    metrics.joined.inc()
                } else {
                    counter.inc()
                };
                let status = CacheStatus { source, ttl_ms: entry.times.expires - now, collapsed };
                return Some(Ok(Fetched { value, status }));
            }
            Some(End::Failed(error)) => LoadError::Loader(error.downcast::<E>().ok()?),
            Some(End::Left) => return None,
            None => LoadError::Abandoned,
        };
        // Meanwhile it may have been invalidated.
        if let Some(spare) = spare.filter(|spare| spare.is_valid(&self.core.slots))
            && let Some(fetched) = self.spare(spare, now, collapsed)
        {
            return Some(Ok(fetched));
        }
        metrics.failed.inc();
        Some(Err(error))
    }
}

/// `None`: it is of another type, so that it was kept for somebody else under the same name.
fn typed<V: Value>(value: Option<&AnyValue>) -> Option<Option<Arc<V>>> {
    match value {
        None => Some(None),
        Some(value) => Some(Some(Arc::clone(value).downcast::<V>().ok()?)),
    }
}

impl<K: ?Sized, V> Clone for Cached<K, V> {
    fn clone(&self) -> Self {
        Self {
            core: Arc::clone(&self.core),
            space: Arc::clone(&self.space),
            digester: self.digester.clone(),
            _types: PhantomData,
        }
    }
}

impl<K: ?Sized, V> fmt::Debug for Cached<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Cached({})", self.space.rules.name)
    }
}
