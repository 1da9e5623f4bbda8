//! Loads under way: one for each key, however many wait for it.

use std::any::Any;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use crate::entry::Entry;

const SHARDS: usize = 16;

/// How a load ended. A load that panicked has no end.
#[derive(Clone, Debug)]
pub(crate) enum End {
    /// With a value, and whether the second level had it.
    Entry(Arc<Entry>, Level),
    /// With the loader's error.
    Failed(Arc<dyn Any + Send + Sync>),
    /// Another node is at it, and the old value is good for a while.
    Left,
}

/// Who had a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Level {
    Second,
    Source,
}

type Table = HashMap<u128, Flight>;

#[derive(Debug)]
pub(crate) struct Flights {
    shards: Box<[Mutex<Table>]>,
    next: AtomicU64,
}

#[derive(Clone, Debug)]
pub(crate) struct Flight {
    number: u64,
    /// How many invalidations this node had seen when it began.
    pub(crate) seen: u64,
    end: watch::Receiver<Option<End>>,
}

/// The place of whoever loads. Dropped without an end, it tells those who wait that there is none.
#[derive(Debug)]
pub(crate) struct Lead {
    flights: Arc<Flights>,
    digest: u128,
    number: u64,
    end: watch::Sender<Option<End>>,
}

/// Whose load it is.
pub(crate) enum Boarding {
    Joined(Flight),
    Leading(Flight, Lead),
}

impl Flights {
    pub(crate) fn new() -> Self {
        let shards = std::iter::repeat_with(Mutex::default).take(SHARDS).collect();
        Self { shards, next: AtomicU64::new(0) }
    }

    /// Joins the load under way if it is good enough, or else begins one that takes its place.
    pub(crate) fn board(
        self: &Arc<Self>,
        digest: u128,
        seen: u64,
        good: impl FnOnce(&Flight) -> bool,
    ) -> Boarding {
        let mut table = self.table(digest);
        if let Some(flight) = table.get(&digest)
            && good(flight)
        {
            return Boarding::Joined(flight.clone());
        }
        let (sender, end) = watch::channel(None);
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let flight = Flight { number, seen, end };
        table.insert(digest, flight.clone());
        Boarding::Leading(flight, Lead { flights: Arc::clone(self), digest, number, end: sender })
    }

    fn table(&self, digest: u128) -> MutexGuard<'_, Table> {
        let shard = usize::try_from((digest >> 32) % SHARDS as u128).unwrap_or_default();
        self.shards[shard].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Flight {
    /// `None`: the loader panicked.
    pub(crate) async fn ended(mut self) -> Option<End> {
        self.end.wait_for(Option::is_some).await.ok()?.clone()
    }
}

impl Lead {
    /// Tells everybody who waits. What is worth keeping must be kept before.
    pub(crate) fn end(self, end: End) {
        self.leave();
        self.end.send_replace(Some(end));
    }

    fn leave(&self) {
        let mut table = self.flights.table(self.digest);
        if table.get(&self.digest).is_some_and(|flight| flight.number == self.number) {
            table.remove(&self.digest);
        }
    }
}

impl Drop for Lead {
    fn drop(&mut self) {
        self.leave();
    }
}
