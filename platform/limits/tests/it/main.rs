//! The limiter against a real Redis and a naive model.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod away;
mod checker;
mod contract;
mod limiter;
mod memory;
mod model;
mod races;
mod together;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use mainstay_core::{Clock, Timestamp};
use mainstay_limits::store::memory::MemoryStore;
use mainstay_limits::store::redis::RedisStore;
use mainstay_limits::store::{Order, Store, Tally};
use mainstay_limits::{Charge, Key, Policy};
use mainstay_redis::testing::RedisServer;
use mainstay_telemetry::Metrics;

/// A clock that goes where it is sent, back too.
#[derive(Debug)]
struct TestClock(AtomicI64);

impl TestClock {
    /// No round number in any window.
    const START: i64 = 1_800_000_012_345;

    fn new() -> Arc<Self> {
        Arc::new(Self(AtomicI64::new(Self::START)))
    }

    fn advance(&self, ms: i64) {
        self.0.fetch_add(ms, Ordering::SeqCst);
    }
}

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.0.load(Ordering::SeqCst))
    }
}

fn policy(text: &str) -> Policy {
    Policy::parse("test", text).unwrap()
}

fn memory_store(clock: &Arc<TestClock>) -> MemoryStore {
    // In a small one two busy keys whose shard happens to be the same have too few slots for both.
    MemoryStore::new(Arc::clone(clock) as Arc<dyn Clock>, MemoryStore::MAX_KEYS)
}

async fn redis_store(server: &RedisServer, clock: &Arc<TestClock>) -> RedisStore {
    let clock = Arc::clone(clock) as Arc<dyn Clock>;
    let store = RedisStore::connect_by(clock, server.options(), &Metrics::new()).await.unwrap();
    assert!(store.is_up());
    store
}

async fn charge(store: &impl Store, key: &Key, cost: u32) -> Tally {
    store.charge(&[Order::new(Charge { key, cost })]).await.unwrap()[0]
}

/// Panics if more than `limit` of these moments lie in any window.
#[track_caller]
fn assert_never_above(limit: u32, window_ms: i64, admissions: &mut [i64]) {
    admissions.sort_unstable();
    let limit = usize::try_from(limit).unwrap();
    for (first, last) in admissions.iter().zip(admissions.iter().skip(limit)) {
        let apart = last - first;
        assert!(apart >= window_ms, "{} admissions within {apart} ms", limit + 1);
    }
}
