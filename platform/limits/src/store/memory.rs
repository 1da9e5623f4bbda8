//! Counters in this process.

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use mainstay_core::Clock;

use super::{Order, Store, StoreError, Tally};
use crate::state::{Shape, State};

const SHARDS: usize = 64;

/// How many slots of logs there are for each key, on average.
const SLOTS_PER_KEY: usize = 8;

/// How many counters each shard keeps for all the keys of a policy that found no place.
const CELLS: u64 = 16;

/// How long a full shard waits before it looks for expired keys again.
const SWEEP_PAUSE_MS: i64 = 100;

/// Counters in memory, at most 1 KiB for each of `max_keys` keys.
///
/// Keys whose window has passed are dropped. When all places are taken by keys with a live count,
/// further keys share counters, 1024 for each policy: none of them gets more than its limit, but
/// some may get less because of others. A live count is never dropped, for whoever could make that
/// happen could have their limit twice.
pub struct MemoryStore {
    clock: Arc<dyn Clock>,
    hasher: RandomState,
    shards: Box<[Mutex<Shard>]>,
    overflowed: AtomicU64,
}

#[derive(Debug)]
struct Shard {
    time: SteadyTime,
    max_keys: usize,
    keys: HashMap<u128, Entry>,
    /// By policy and cell. Their number is bounded by the number of policies.
    cells: HashMap<(u64, u64), Entry>,
    slots: usize,
    /// Expired keys are looked for when there are so many keys.
    sweep_at: usize,
    /// When a sweep of a full shard makes sense.
    next_sweep_ms: i64,
}

#[derive(Debug)]
struct Entry {
    state: State,
    shape: Shape,
}

/// Where a key's counter is.
enum Place {
    Own,
    Cell(u64),
    Nowhere,
}

impl MemoryStore {
    /// Places for this many keys unless told otherwise: at most 100 MiB.
    pub const MAX_KEYS: usize = 100_000;

    /// An empty store.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>, max_keys: usize) -> Self {
        let max_keys = max_keys.div_ceil(SHARDS).max(1);
        let shards = std::iter::repeat_with(|| Mutex::new(Shard::new(max_keys))).take(SHARDS).collect();
        Self { clock, hasher: RandomState::new(), shards, overflowed: AtomicU64::new(0) }
    }

    /// How many keys have a place, expired ones included until they are swept.
    #[must_use]
    pub fn keys(&self) -> usize {
        self.shards.iter().map(|shard| lock(shard).keys.len()).sum()
    }

    /// How many calls were counted in a shared counter because there was no place for their key.
    #[must_use]
    pub fn overflowed(&self) -> u64 {
        self.overflowed.load(Ordering::Relaxed)
    }

    /// As [`Store::charge`], for one order, at once.
    #[must_use]
    pub fn charge_one(&self, order: &Order) -> Tally {
        let hash = self.hash(order);
        let mut shard = lock(&self.shards[shard_of(hash)]);
        // The clock is read under the lock: otherwise a slow reader would turn time back.
        let now = shard.time.advance(self.clock.now().millis());
        if let Some(tally) = shard.charge_known(order, now) {
            return tally;
        }
        let mut tally = shard.look(order, hash, now);
        if tally.admitted {
            shard.charge(order, hash, now, &mut tally, &self.overflowed);
        }
        tally
    }

    /// What [`MemoryStore::charge_one`] would say. Counts nothing.
    #[must_use]
    pub fn look(&self, order: &Order) -> Tally {
        let hash = self.hash(order);
        let mut shard = lock(&self.shards[shard_of(hash)]);
        let now = shard.time.advance(self.clock.now().millis());
        shard.look(order, hash, now)
    }

    /// As [`Store::charge`], at once.
    #[must_use]
    pub fn charge_now(&self, orders: &[Order]) -> Vec<Tally> {
        if let [order] = orders {
            return vec![self.charge_one(order)];
        }
        let hashes: Vec<u64> = orders.iter().map(|order| self.hash(order)).collect();
        let mut shards: Vec<usize> = hashes.iter().map(|hash| shard_of(*hash)).collect();
        // Always in the same order, so that two calls can't wait for each other.
        shards.sort_unstable();
        shards.dedup();
        let mut held: Vec<MutexGuard<'_, Shard>> =
            shards.iter().map(|index| lock(&self.shards[*index])).collect();
        let raw = self.clock.now().millis();
        let nows: Vec<i64> = held.iter_mut().map(|shard| shard.time.advance(raw)).collect();
        let place = |hash: u64| {
            shards.binary_search(&shard_of(hash)).expect("the shard of every order is in the list")
        };

        let mut tallies: Vec<Tally> = Vec::with_capacity(orders.len());
        for (order, hash) in orders.iter().zip(&hashes) {
            let index = place(*hash);
            tallies.push(held[index].look(order, *hash, nows[index]));
        }
        if tallies.iter().all(|tally| tally.admitted) {
            for ((order, hash), tally) in orders.iter().zip(&hashes).zip(&mut tallies) {
                let index = place(*hash);
                held[index].charge(order, *hash, nows[index], tally, &self.overflowed);
            }
        }
        tallies
    }

    fn hash(&self, order: &Order) -> u64 {
        self.hasher.hash_one(order.digest)
    }
}

impl Store for MemoryStore {
    async fn charge(&self, orders: &[Order]) -> Result<Vec<Tally>, StoreError> {
        Ok(self.charge_now(orders))
    }
}

impl std::fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MemoryStore").field("keys", &self.keys()).finish_non_exhaustive()
    }
}

impl Shard {
    fn new(max_keys: usize) -> Self {
        Self {
            time: SteadyTime::default(),
            max_keys,
            keys: HashMap::new(),
            cells: HashMap::new(),
            slots: 0,
            sweep_at: 64.min(max_keys),
            next_sweep_ms: i64::MIN,
        }
    }

    /// A key that was counted in a cell stays with it as long as the cell counts anything: with a
    /// place of its own it would have its limit a second time.
    fn place(&self, order: &Order, hash: u64, now: i64) -> Place {
        if self.keys.contains_key(&order.digest) {
            return Place::Own;
        }
        if self.cells.is_empty() {
            return Place::Nowhere;
        }
        let cell = cell_of(hash);
        match self.cells.get(&(order.tag, cell)) {
            Some(entry) if entry.state.empty_at(entry.shape) > now => Place::Cell(cell),
            _ => Place::Nowhere,
        }
    }

    fn entry(&mut self, order: &Order, place: &Place) -> Option<&mut Entry> {
        match place {
            Place::Own => self.keys.get_mut(&order.digest),
            Place::Cell(cell) => self.cells.get_mut(&(order.tag, *cell)),
            Place::Nowhere => None,
        }
    }

    /// Decides and counts with one look-up, for a key that has its place: nearly every call.
    fn charge_known(&mut self, order: &Order, now: i64) -> Option<Tally> {
        let may_grow = self.may_grow();
        let entry = self.keys.get_mut(&order.digest)?;
        let slots = entry.state.slots();
        let at = entry.state.advance(order.shape, now);
        let look = entry.state.look(order.shape, at, order.cost);
        if look.admitted {
            entry.shape = order.shape;
            entry.state.charge(order.shape, at, order.cost, may_grow);
        }
        let (remaining, reset_ms) = entry.state.left(order.shape, at);
        self.slots = self.slots + entry.state.slots() - slots;
        Some(Tally {
            admitted: look.admitted,
            remaining,
            reset_ms,
            retry_ms: look.retry_ms,
            at_ms: at,
            granted: 0,
        })
    }

    fn may_grow(&self) -> bool {
        self.slots < self.max_keys * SLOTS_PER_KEY
    }

    fn look(&mut self, order: &Order, hash: u64, now: i64) -> Tally {
        let place = self.place(order, hash, now);
        let before = self.slots;
        let mut fresh = None;
        let entry = match self.entry(order, &place) {
            Some(entry) => entry,
            None => fresh.insert(Entry { state: State::new(order.shape), shape: order.shape }),
        };
        let slots = entry.state.slots();
        let at = entry.state.advance(order.shape, now);
        let look = entry.state.look(order.shape, at, order.cost);
        let (remaining, reset_ms) = entry.state.left(order.shape, at);
        let after = before + entry.state.slots() - slots;
        self.slots = after;
        Tally { admitted: look.admitted, remaining, reset_ms, retry_ms: look.retry_ms, at_ms: at, granted: 0 }
    }

    /// Counts what `look` found room for, and corrects its answer.
    fn charge(&mut self, order: &Order, hash: u64, now: i64, tally: &mut Tally, overflowed: &AtomicU64) {
        if order.cost == 0 {
            return;
        }
        let mut place = self.place(order, hash, now);
        if matches!(place, Place::Nowhere) {
            place = self.make_place(order, hash, now);
        }
        if matches!(place, Place::Cell(_)) {
            overflowed.fetch_add(1, Ordering::Relaxed);
        }
        let may_grow = self.may_grow();
        let entry = self.entry(order, &place).expect("a place was just made or found");
        let slots = entry.state.slots();
        entry.shape = order.shape;
        let at = entry.state.advance(order.shape, now);
        entry.state.charge(order.shape, at, order.cost, may_grow);
        (tally.remaining, tally.reset_ms) = entry.state.left(order.shape, at);
        let after = entry.state.slots();
        self.slots = self.slots + after - slots;
    }

    fn make_place(&mut self, order: &Order, hash: u64, now: i64) -> Place {
        if self.keys.len() >= self.sweep_at && (self.keys.len() < self.max_keys || now >= self.next_sweep_ms)
        {
            self.sweep(now);
        }
        let entry = Entry { state: State::new(order.shape), shape: order.shape };
        if self.keys.len() < self.max_keys {
            self.keys.insert(order.digest, entry);
            return Place::Own;
        }
        let cell = cell_of(hash);
        // What is there has run empty, or it would have been found.
        if let Some(old) = self.cells.insert((order.tag, cell), entry) {
            self.slots -= old.state.slots();
        }
        Place::Cell(cell)
    }

    /// Drops what counts nothing any more.
    fn sweep(&mut self, now: i64) {
        let Self { keys, cells, slots, .. } = self;
        let mut keep = |entry: &Entry| {
            let live = entry.state.empty_at(entry.shape) > now;
            if !live {
                *slots -= entry.state.slots();
            }
            live
        };
        keys.retain(|_, entry| keep(entry));
        cells.retain(|_, entry| keep(entry));
        // Each sweep is paid for by the keys that came since the last one.
        self.sweep_at = (self.keys.len() * 2).clamp(64.min(self.max_keys), self.max_keys);
        if self.keys.capacity() / 4 > self.sweep_at {
            self.keys.shrink_to(self.sweep_at);
        }
        self.next_sweep_ms = now + SWEEP_PAUSE_MS;
    }
}

/// A clock's time that does not go back.
///
/// When the clock is set back, it stands still and then goes on at the pace of the processor's
/// own clock until the other has caught up: never faster than time, and nobody is blocked for an
/// hour because the clock was wrong by one.
#[derive(Debug)]
struct SteadyTime {
    last: i64,
    behind: Option<(Instant, i64)>,
}

impl Default for SteadyTime {
    fn default() -> Self {
        Self { last: i64::MIN, behind: None }
    }
}

impl SteadyTime {
    fn advance(&mut self, raw: i64) -> i64 {
        if raw >= self.last {
            self.behind = None;
            self.last = raw;
            return raw;
        }
        let (since, from) = *self.behind.get_or_insert_with(|| (Instant::now(), self.last));
        let passed = i64::try_from(since.elapsed().as_millis()).unwrap_or(i64::MAX);
        self.last = self.last.max(from.saturating_add(passed));
        self.last
    }
}

fn shard_of(hash: u64) -> usize {
    // The table inside takes other bits.
    usize::try_from(hash % SHARDS as u64).expect("a small number")
}

fn cell_of(hash: u64) -> u64 {
    hash / SHARDS as u64 % CELLS
}

/// A panic under the lock leaves counters that are still counters.
fn lock(shard: &Mutex<Shard>) -> MutexGuard<'_, Shard> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}
