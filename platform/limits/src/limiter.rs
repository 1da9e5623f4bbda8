use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Instant;

use mainstay_core::Clock;
use mainstay_redis::{RedisError, RedisOptions};
use mainstay_telemetry::Metrics;
use mainstay_telemetry::prometheus_client::metrics::gauge::Gauge;

use crate::decision::{Answer, Decision, Verdict};
use crate::key::{Charge, Key, Order};
use crate::local::{BlockedKeys, Leases};
use crate::metrics::DecisionMetrics;
use crate::store::memory::MemoryStore;
use crate::store::redis::RedisStore;
use crate::store::{Store, Tally};

mainstay_core::setting_words! {
    /// What happens to calls while Redis is away.
    #[derive(Default)]
    pub enum Fail {
        /// Each node admits its share, the limit divided by the number of nodes and at least 1.
        #[default]
        Local = "local",
        /// Everything is admitted; but strict policies are treated as under [`Fail::Local`], and so is
        /// a call that has one of them among others.
        Open = "open",
        /// Nothing is admitted.
        Closed = "closed",
    }
}

/// How nodes limit together.
#[derive(Clone, Debug)]
pub struct Shared {
    /// Where Redis is.
    pub redis: RedisOptions,
    /// What happens while it is away.
    pub fail: Fail,
    /// How many nodes there are, for their shares then.
    pub nodes: NonZeroU32,
}

/// Whether the limiter has its store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreState {
    /// The store is this process's memory.
    Memory,
    /// Redis answers.
    Up,
    /// Redis is away; it is tried at least once a second.
    Away,
}

/// Decides which calls are admitted. Cheap to clone.
///
/// ```
/// use std::sync::Arc;
/// use mainstay_core::SystemClock;
/// use mainstay_limits::{Key, Limiter, Policy};
/// use mainstay_telemetry::Metrics;
///
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// let limiter = Limiter::memory(Arc::new(SystemClock), &Metrics::new());
/// let policy = Policy::parse("login", "2/min exact").unwrap();
/// let key = Key::new(&policy, "203.0.113.7");
///
/// assert!(limiter.check(&key, 1).await.admitted);
/// assert!(limiter.check(&key, 1).await.admitted);
/// let refused = limiter.check(&key, 1).await;
/// assert_eq!((refused.admitted, refused.retry_after), (false, Some(60)));
/// # });
/// ```
#[derive(Clone)]
pub struct Limiter(Arc<Inner>);

struct Inner {
    memory: MemoryStore,
    shared: Option<SharedStore>,
    decisions: DecisionMetrics,
}

struct SharedStore {
    store: RedisStore,
    fail: Fail,
    nodes: AtomicU32,
    blocked: BlockedKeys,
    leases: Leases,
}

impl SharedStore {
    /// Whether this node would decide by its own counters now.
    fn counts_alone(&self, strict: bool) -> bool {
        !self.store.is_up()
            && match self.fail {
                Fail::Local => true,
                Fail::Open => strict,
                Fail::Closed => false,
            }
    }

    /// Makes of an order under the whole limit one under this node's share of it.
    fn reduce(&self, order: &mut Order) {
        let affordable = order.cost <= order.shape.capacity();
        order.shape = order.shape.share(self.nodes.load(Ordering::Relaxed));
        // What the whole limit has room for, a share must not refuse for ever.
        if affordable {
            order.cost = order.cost.min(order.shape.capacity());
        }
    }
}

impl Limiter {
    /// For one node: counters in its memory.
    #[must_use]
    pub fn memory(clock: Arc<dyn Clock>, metrics: &Metrics) -> Self {
        Self::assemble(clock, metrics, None)
    }

    /// For several nodes: counters in Redis. It need not be there yet.
    ///
    /// `clock` is for what this node decides alone while Redis is away; Redis decides by its own.
    ///
    /// # Errors
    /// [`RedisError`] for an address that can never work.
    pub async fn shared(
        options: Shared,
        clock: Arc<dyn Clock>,
        metrics: &Metrics,
    ) -> Result<Self, RedisError> {
        let limiter = Self::to_be_shared(options, clock, metrics)?;
        limiter.start().await;
        Ok(limiter)
    }

    /// As [`Limiter::shared`], but Redis counts as away until [`Limiter::start`].
    ///
    /// # Errors
    /// As [`Limiter::shared`].
    pub fn to_be_shared(
        options: Shared,
        clock: Arc<dyn Clock>,
        metrics: &Metrics,
    ) -> Result<Self, RedisError> {
        let shared = SharedStore {
            store: RedisStore::new(options.redis, metrics)?,
            fail: options.fail,
            nodes: AtomicU32::new(options.nodes.get()),
            blocked: BlockedKeys::new(),
            leases: Leases::new(),
        };
        Ok(Self::assemble(clock, metrics, Some(shared)))
    }

    /// Tries to reach Redis, once, and goes on watching it, in the Tokio runtime of this call. Does nothing for a
    /// limiter in memory.
    pub async fn start(&self) {
        if let Some(shared) = &self.0.shared {
            shared.store.start().await;
        }
    }

    fn assemble(clock: Arc<dyn Clock>, metrics: &Metrics, shared: Option<SharedStore>) -> Self {
        let inner = Arc::new(Inner {
            memory: MemoryStore::new(clock, MemoryStore::MAX_KEYS),
            shared,
            decisions: DecisionMetrics::new(metrics),
        });
        let keys = metrics.register("limits_memory_keys", "Keys counted in memory", Gauge::<i64>::default());
        let overflowed = metrics.register(
            "limits_memory_overflowed",
            "Calls so far whose key found no place in memory and shared a counter",
            Gauge::<i64>::default(),
        );
        let weak = Arc::downgrade(&inner);
        metrics.before_render(move || {
            if let Some(inner) = weak.upgrade() {
                keys.set(i64::try_from(inner.memory.keys()).unwrap_or(i64::MAX));
                overflowed.set(i64::try_from(inner.memory.overflowed()).unwrap_or(i64::MAX));
            }
        });
        Self(inner)
    }

    /// Takes `cost` permits from a counter, if it has as many. A refused call takes nothing.
    ///
    /// For what a cost of 0, or one beyond the limit, means see [`Charge::cost`].
    pub async fn check(&self, key: &Key, cost: u32) -> Decision {
        let order = Order::new(Charge { key, cost });
        let (tally, limit, answer) = match &self.0.shared {
            None => (self.0.memory.charge_one(&order), order.shape.limit, Answer::Memory),
            Some(shared) => self.check_shared(shared, key, order).await,
        };
        let decision = Decision::new(key.policy(), limit, &tally, answer);
        self.0.decisions.count(&decision);
        decision
    }

    async fn check_shared(&self, shared: &SharedStore, key: &Key, mut order: Order) -> (Tally, u32, Answer) {
        let policy = key.policy();
        let asked = Instant::now();
        if let Some(tally) = shared.blocked.refusal(&order, asked) {
            return (tally, order.shape.limit, Answer::Blocked);
        }
        if policy.lease() > 0 {
            if let Some(tally) = shared.leases.spend(&order, asked) {
                return (tally, order.shape.limit, Answer::Lease);
            }
            order.extra = policy.lease();
        }
        match shared.store.charge(&[order]).await.map(|tallies| tallies[0]) {
            Ok(tally) => {
                let answered = Instant::now();
                if tally.admitted {
                    shared.leases.keep(&order, &tally, asked, answered);
                } else {
                    shared.blocked.remember(&order, &tally, asked, answered);
                }
                (tally, order.shape.limit, Answer::Shared)
            }
            Err(_) => {
                let (mut tallies, answer) = self.alone(shared, &mut [order], policy.is_strict());
                let limit = limit_of(shared, &order, answer);
                (tallies.remove(0), limit, answer)
            }
        }
    }

    /// The refusal of a call that is known here to be refused: without asking anybody, and without
    /// counting it. `None`: it would be admitted, or only [`Limiter::check`] can tell. Whoever refuses by it
    /// says so to [`Limiter::refused`].
    #[must_use]
    pub fn known_refusal(&self, key: &Key, cost: u32) -> Option<Decision> {
        let mut order = Order::new(Charge { key, cost });
        let (tally, answer) = match &self.0.shared {
            None => (self.0.memory.look(&order), Answer::Memory),
            Some(shared) => match shared.blocked.refusal(&order, Instant::now()) {
                Some(tally) => (tally, Answer::Blocked),
                None if shared.counts_alone(key.policy().is_strict()) => {
                    shared.reduce(&mut order);
                    (self.0.memory.look(&order), Answer::Local)
                }
                None => return None,
            },
        };
        if tally.admitted {
            return None;
        }
        Some(Decision::new(key.policy(), order.shape.limit, &tally, answer))
    }

    /// Counts a decision of [`Limiter::known_refusal`] among those that were made.
    pub fn refused(&self, decision: &Decision) {
        self.0.decisions.count(decision);
    }

    /// Takes from several counters for one call, from all or from none.
    ///
    /// Charges of the same counter are added up and answered once, where the first of them stands; under the
    /// lower limit, if they name the counter by policies that differ.
    pub async fn check_all(&self, charges: &[Charge<'_>]) -> Verdict {
        let mut merged: Vec<Charge<'_>> = Vec::with_capacity(charges.len());
        for charge in charges {
            match merged.iter_mut().find(|known| known.key.digest() == charge.key.digest()) {
                Some(known) => {
                    known.cost = known.cost.saturating_add(charge.cost);
                    let strictness = |key: &Key| (key.policy().limit(), !key.policy().is_strict());
                    if strictness(charge.key) < strictness(known.key) {
                        known.key = charge.key;
                    }
                }
                None => merged.push(*charge),
            }
        }
        if merged.is_empty() {
            return Verdict { decisions: Vec::new(), unasked: Vec::new() };
        }
        let mut orders: Vec<Order> = merged.iter().copied().map(Order::new).collect();
        let verdict = match &self.0.shared {
            None => {
                let tallies = self.0.memory.charge_now(&orders);
                decide(&merged, &tallies, |order| order.shape.limit, Answer::Memory)
            }
            Some(shared) => self.check_all_shared(shared, &merged, &mut orders).await,
        };
        for decision in &verdict.decisions {
            self.0.decisions.count(decision);
        }
        verdict
    }

    async fn check_all_shared(
        &self,
        shared: &SharedStore,
        charges: &[Charge<'_>],
        orders: &mut [Order],
    ) -> Verdict {
        let asked = Instant::now();
        let tallies: Vec<Option<Tally>> =
            orders.iter().map(|order| shared.blocked.refusal(order, asked)).collect();
        if tallies.iter().any(Option::is_some) {
            return blocked(charges, &tallies);
        }
        match shared.store.charge(orders).await {
            Ok(tallies) => {
                let answered = Instant::now();
                for (order, tally) in orders.iter().zip(&tallies).filter(|(_, tally)| !tally.admitted) {
                    shared.blocked.remember(order, tally, asked, answered);
                }
                decide(charges, &tallies, |order| order.shape.limit, Answer::Shared)
            }
            Err(_) => {
                let strict = charges.iter().any(|charge| charge.key.policy().is_strict());
                let (tallies, answer) = self.alone(shared, orders, strict);
                decide(charges, &tallies, |order| limit_of(shared, order, answer), answer)
            }
        }
    }

    /// Decides without Redis.
    fn alone(&self, shared: &SharedStore, orders: &mut [Order], strict: bool) -> (Vec<Tally>, Answer) {
        let nobody = |order: &Order, admitted: bool| Tally {
            admitted,
            remaining: if admitted { order.shape.limit } else { 0 },
            reset_ms: if admitted { 0 } else { REJOIN_MS },
            retry_ms: Some(if admitted { 0 } else { REJOIN_MS }),
            at_ms: 0,
            granted: 0,
        };
        match shared.fail {
            Fail::Open if !strict => (orders.iter().map(|order| nobody(order, true)).collect(), Answer::Open),
            Fail::Closed => (orders.iter().map(|order| nobody(order, false)).collect(), Answer::Closed),
            Fail::Open | Fail::Local => {
                orders.iter_mut().for_each(|order| shared.reduce(order));
                (self.0.memory.charge_now(orders), Answer::Local)
            }
        }
    }

    /// How many nodes there are from now on, for their shares while Redis is away.
    pub fn set_nodes(&self, nodes: NonZeroU32) {
        if let Some(shared) = &self.0.shared {
            shared.nodes.store(nodes.get(), Ordering::Relaxed);
        }
    }

    /// What happens to calls while Redis is away. `None` for a limiter in memory.
    #[must_use]
    pub fn fail(&self) -> Option<Fail> {
        self.0.shared.as_ref().map(|shared| shared.fail)
    }

    /// Whether the store is there.
    #[must_use]
    pub fn store_state(&self) -> StoreState {
        match &self.0.shared {
            None => StoreState::Memory,
            Some(shared) if shared.store.is_up() => StoreState::Up,
            Some(_) => StoreState::Away,
        }
    }
}

/// After this a closed limiter is worth another call: the store is tried more often.
const REJOIN_MS: u64 = 5000;

fn limit_of(shared: &SharedStore, order: &Order, answer: Answer) -> u32 {
    match answer {
        Answer::Local => order.shape.share(shared.nodes.load(Ordering::Relaxed)).limit,
        _ => order.shape.limit,
    }
}

fn decide(
    charges: &[Charge<'_>],
    tallies: &[Tally],
    limit: impl Fn(&Order) -> u32,
    answer: Answer,
) -> Verdict {
    let decide = |(charge, tally): (&Charge<'_>, &Tally)| {
        Decision::new(charge.key.policy(), limit(&Order::new(*charge)), tally, answer)
    };
    Verdict { decisions: charges.iter().zip(tallies).map(decide).collect(), unasked: Vec::new() }
}

/// What this node says by itself to a call of which it knows that one of these keys is blocked.
fn blocked(charges: &[Charge<'_>], tallies: &[Option<Tally>]) -> Verdict {
    let mut verdict = Verdict { decisions: Vec::new(), unasked: Vec::new() };
    for (place, (charge, tally)) in charges.iter().zip(tallies).enumerate() {
        let policy = charge.key.policy();
        match tally {
            Some(tally) => {
                verdict.decisions.push(Decision::new(policy, policy.limit(), tally, Answer::Blocked));
            }
            None => verdict.unasked.push((place, policy.clone())),
        }
    }
    verdict
}

impl std::fmt::Debug for Limiter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Limiter").field("store", &self.store_state()).finish_non_exhaustive()
    }
}
