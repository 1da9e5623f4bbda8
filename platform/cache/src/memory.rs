//! The first level: entries in this process, never more bytes than allowed.
//!
//! Sixteen tables, each with its share of the bytes and its own lock, held for a look-up. Who
//! has to go is found by SIEVE (Zhang et al., NSDI 2024): in the order of insertion, and who was used
//! since the hand last came by stays. A use is one bit, so that readers don't wait for each other.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::entry::Entry;

const SHARDS: usize = 16;
const NONE: u32 = u32::MAX;

#[derive(Debug)]
pub(crate) struct Memory {
    shards: Box<[RwLock<Shard>]>,
}

#[derive(Debug)]
struct Shard {
    table: HashMap<u128, u32, BuildHasherDefault<Folded>>,
    nodes: Vec<Option<Node>>,
    free: Vec<u32>,
    newest: u32,
    oldest: u32,
    hand: u32,
    bytes: usize,
    bound: usize,
}

#[derive(Debug)]
struct Node {
    digest: u128,
    entry: Arc<Entry>,
    used: AtomicBool,
    newer: u32,
    older: u32,
}

/// Digests are evenly spread already.
#[derive(Debug, Default)]
struct Folded(u64);

impl Hasher for Folded {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u128(&mut self, digest: u128) {
        let high = u64::try_from(digest >> 64).unwrap_or_default();
        self.0 = high;
    }
}

impl Memory {
    pub(crate) fn new(bound: usize) -> Self {
        let shard = || RwLock::new(Shard::new(bound / SHARDS));
        Self { shards: std::iter::repeat_with(shard).take(SHARDS).collect() }
    }

    pub(crate) fn get(&self, digest: u128) -> Option<Arc<Entry>> {
        let shard = read(self.shard(digest));
        let node = shard.node(*shard.table.get(&digest)?);
        if !node.used.load(Ordering::Relaxed) {
            node.used.store(true, Ordering::Relaxed);
        }
        Some(Arc::clone(&node.entry))
    }

    /// Keeps it, unless it is too large or there is one that was loaded later.
    pub(crate) fn insert(&self, digest: u128, entry: Arc<Entry>) {
        // Dropped when the lock is free again.
        let _gone = write(self.shard(digest)).insert(digest, entry);
    }

    /// Drops this very entry.
    pub(crate) fn remove(&self, digest: u128, entry: &Arc<Entry>) {
        let mut shard = write(self.shard(digest));
        let found = shard.table.get(&digest).copied();
        let _gone = found
            .filter(|index| Arc::ptr_eq(&shard.node(*index).entry, entry))
            .map(|index| shard.remove(index));
    }

    /// What the entries weigh together.
    pub(crate) fn bytes(&self) -> usize {
        self.shards.iter().map(|shard| read(shard).bytes).sum()
    }

    pub(crate) fn entries(&self) -> usize {
        self.shards.iter().map(|shard| read(shard).table.len()).sum()
    }

    pub(crate) fn clear(&self) {
        for shard in &self.shards {
            let mut shard = write(shard);
            let fresh = Shard::new(shard.bound);
            let old = std::mem::replace(&mut *shard, fresh);
            drop(shard);
            for node in old.nodes.iter().flatten() {
                node.entry.forget();
            }
        }
    }

    fn shard(&self, digest: u128) -> &RwLock<Shard> {
        // The table takes the upper half.
        &self.shards[usize::try_from((digest >> 32) % SHARDS as u128).unwrap_or_default()]
    }
}

impl Entry {
    fn keep(&self) {
        self.space.metrics.bytes.inc_by(i64::try_from(self.weight).unwrap_or(i64::MAX));
    }

    fn forget(&self) {
        self.space.metrics.bytes.dec_by(i64::try_from(self.weight).unwrap_or(i64::MAX));
    }
}

impl Shard {
    fn new(bound: usize) -> Self {
        Self {
            table: HashMap::default(),
            nodes: Vec::new(),
            free: Vec::new(),
            newest: NONE,
            oldest: NONE,
            hand: NONE,
            bytes: 0,
            bound,
        }
    }

    fn node(&self, index: u32) -> &Node {
        self.nodes[index as usize].as_ref().expect("indexes in use lead to nodes")
    }

    fn node_mut(&mut self, index: u32) -> &mut Node {
        self.nodes[index as usize].as_mut().expect("indexes in use lead to nodes")
    }

    fn insert(&mut self, digest: u128, entry: Arc<Entry>) -> Vec<Arc<Entry>> {
        let mut gone = Vec::new();
        let mut used = false;
        if let Some(index) = self.table.get(&digest).copied() {
            let old = self.node(index);
            if old.entry.start.seen > entry.start.seen {
                return gone;
            }
            used = old.used.load(Ordering::Relaxed);
            gone.push(self.remove(index));
        }
        if entry.weight > self.bound {
            return gone;
        }
        while self.bytes + entry.weight > self.bound {
            let evicted = self.evict();
            evicted.space.metrics.evictions.inc();
            gone.push(evicted);
        }
        entry.keep();
        self.bytes += entry.weight;
        let node = Node { digest, entry, used: AtomicBool::new(used), newer: NONE, older: self.newest };
        let index = match self.free.pop() {
            Some(index) => {
                self.nodes[index as usize] = Some(node);
                index
            }
            None => {
                self.nodes.push(Some(node));
                u32::try_from(self.nodes.len() - 1).expect("fewer entries than bytes / 400")
            }
        };
        match self.newest {
            NONE => self.oldest = index,
            newest => self.node_mut(newest).newer = index,
        }
        self.newest = index;
        self.table.insert(digest, index);
        gone
    }

    fn evict(&mut self) -> Arc<Entry> {
        let mut index = if self.hand == NONE { self.oldest } else { self.hand };
        while self.node(index).used.swap(false, Ordering::Relaxed) {
            let newer = self.node(index).newer;
            index = if newer == NONE { self.oldest } else { newer };
        }
        self.hand = index;
        // Moves the hand on.
        self.remove(index)
    }

    fn remove(&mut self, index: u32) -> Arc<Entry> {
        let node = self.nodes[index as usize].take().expect("indexes in use lead to nodes");
        self.free.push(index);
        self.table.remove(&node.digest);
        match node.newer {
            NONE => self.newest = node.older,
            newer => self.node_mut(newer).older = node.older,
        }
        match node.older {
            NONE => self.oldest = node.newer,
            older => self.node_mut(older).newer = node.newer,
        }
        if self.hand == index {
            self.hand = node.newer;
        }
        self.bytes -= node.entry.weight;
        node.entry.forget();
        node.entry
    }
}

/// What is under the lock is put right before anything that could panic.
fn read(shard: &RwLock<Shard>) -> RwLockReadGuard<'_, Shard> {
    shard.read().unwrap_or_else(PoisonError::into_inner)
}

fn write(shard: &RwLock<Shard>) -> RwLockWriteGuard<'_, Shard> {
    shard.write().unwrap_or_else(PoisonError::into_inner)
}
