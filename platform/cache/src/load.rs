//! One load, from its beginning to its end: in Redis, by another node, or from the source.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::cache::{Core, low};
use crate::entry::{AnyValue, Entry, Space, Start, Times};
use crate::flights::{End, Lead, Level};
use crate::second::{self, LEASE, LONGEST_WAIT, Lease, Second, Stored};
use crate::{Loaded, Value};

/// A load that takes longer is given up: a source that hangs would keep the key, its lease and a connection for
/// as long as it hangs. Above what a statement may take, below what a request may.
const LONGEST_LOAD: Duration = Duration::from_secs(20);

/// How long an old value is served while another node loads, before the next look at it, in milliseconds.
const PAUSE_FOR_OTHERS_MS: i64 = 100;

/// What a load is for.
pub(crate) struct Trip {
    pub(crate) digest: u128,
    pub(crate) space: Arc<Space>,
    /// The value that there is.
    pub(crate) old: Option<Arc<Entry>>,
    /// Whether somebody waits, or the old value is served meanwhile.
    pub(crate) is_awaited: bool,
}

/// How the second level answers.
enum Found {
    Entry(Arc<Entry>),
    /// This node loads, for all.
    Lease(Lease),
    /// This node loads, for itself.
    Nothing,
    /// Another node loads, and the old value is good for a while.
    Left,
}

/// The task of a load.
pub(crate) async fn fly<V, L, E, F, Fut>(core: Arc<Core>, lead: Lead, trip: Trip, load: F)
where
    V: Value,
    L: Into<Loaded<V>> + Send + 'static,
    E: Send + Sync + 'static,
    F: FnOnce() -> Fut + Send + 'static,
    Fut: Future<Output = Result<L, E>> + Send + 'static,
{
    let second = core.second.as_ref().filter(|_| core.is_on && trip.space.rules.shared);
    let name = second.map(|second| second.name(&trip.space, trip.digest)).unwrap_or_default();
    let found = match second {
        Some(second) => seek::<V>(&core, second, &name, &trip).await,
        None => Found::Nothing,
    };
    let lease = match found {
        Found::Entry(entry) => {
            core.memory.insert(trip.digest, Arc::clone(&entry));
            return lead.end(End::Entry(entry, Level::Second));
        }
        Found::Left => {
            if let Some(old) = &trip.old {
                old.refresh_not_before(core.time.now() + PAUSE_FOR_OTHERS_MS);
            }
            return lead.end(End::Left);
        }
        Found::Lease(lease) => Some(lease),
        Found::Nothing => None,
    };

    // Before the source is asked: what changes from now on may be missing in the value.
    let start = core.start();
    let (began, timer) = (core.time.steady(), Instant::now());
    let holding = Holding { core: &core, lease };
    let loaded = tokio::select! {
        loaded = tokio::time::timeout(core.time.patience(LONGEST_LOAD), load()) => loaded,
        never = holding.renew() => match never {},
    };
    let delta = core.time.steady() - began;
    let metrics = &trip.space.metrics;
    metrics.seconds.observe(timer.elapsed().as_secs_f64());
    let loaded: Loaded<V> = match loaded {
        Ok(Ok(loaded)) => loaded.into(),
        failed => {
            metrics.errors.inc();
            if let Some(old) = &trip.old {
                old.failed(core.time.now());
            }
            match failed {
                Ok(Err(error)) => lead.end(End::Failed(Arc::new(error))),
                // Without an end, whoever waits takes what there was before or fails.
                _ => drop(lead),
            }
            return holding.give_back().await;
        }
    };
    let (entry, value) = make::<V>(&core, &trip, start, delta, loaded);
    let is_kept = core.is_on && entry.times.error_until > core.time.now() && entry.is_valid(&core.slots);
    if is_kept {
        core.memory.insert(trip.digest, Arc::clone(&entry));
    } else if let Some(old) = &trip.old {
        // The source answered: it is no spare any more.
        core.memory.remove(trip.digest, old);
    }
    lead.end(End::Entry(Arc::clone(&entry), Level::Source));
    // Nobody waits for the rest.
    match (second, &holding.lease) {
        (Some(second), Some(lease)) if is_kept => {
            store::<V>(&core, second, &name, lease, &entry, value).await;
        }
        _ => holding.give_back().await,
    }
}

fn make<V: Value>(
    core: &Core,
    trip: &Trip,
    start: Start,
    delta: i64,
    loaded: Loaded<V>,
) -> (Arc<Entry>, Option<Arc<V>>) {
    let Loaded { value, tags } = loaded;
    let mut hashes = vec![low(trip.digest), trip.space.hash];
    hashes.extend(tags.iter().map(|tag| core.tag(tag)));
    let value = value.map(Arc::new);
    let weighed = value.as_ref().map(|value| {
        let any: AnyValue = Arc::clone(value) as AnyValue;
        (any, value.weight())
    });
    let times = Times::new(&trip.space.rules, value.is_none(), core.time.now(), delta, core.random());
    let entry = Entry::new(Arc::clone(&trip.space), weighed, start, times, hashes.into());
    (Arc::new(entry), value)
}

async fn store<V: Value>(
    core: &Core,
    second: &Second,
    name: &str,
    lease: &Lease,
    entry: &Entry,
    value: Option<Arc<V>>,
) {
    let encoded = value.as_deref().map(V::encode);
    let stored = Stored {
        horizon: entry.start.horizon,
        times: entry.times,
        hashes: entry.hashes.clone(),
        value: encoded.clone().flatten(),
    };
    let bytes = second::write(core.log.name(), &stored);
    // No node takes it once it is no longer fresh: then it only takes room, which others may need.
    let left = Duration::from_millis(u64::try_from(entry.times.expires - core.time.now()).unwrap_or(0));
    match bytes.filter(|_| !matches!(encoded, Some(None)) && core.log.can_judge(&core.time)) {
        Some(bytes) => second.store(name, lease, bytes, left).await,
        None => second.give_back(lease).await,
    }
}

/// Looks in Redis, asks for the lease, and waits for whoever has it.
async fn seek<V: Value>(core: &Arc<Core>, second: &Second, name: &str, trip: &Trip) -> Found {
    if !second.link.is_up() {
        return Found::Nothing;
    }
    if !core.log.can_judge(&core.time) {
        return Found::Nothing;
    }
    if !core.slots.has_seen(&[low(trip.digest)], core.log.horizon()) {
        // Loaded behind the horizon of the last look, it could not be told from what was there before the change.
        core.catch_up_soon().await;
    }
    let judge = |seen, bytes: Option<bytes::Bytes>| {
        let entry = bytes.and_then(|bytes| adopt::<V>(core, trip, seen, bytes))?;
        let is_newer =
            trip.is_awaited || trip.old.as_ref().is_none_or(|old| entry.times.expires > old.times.expires);
        is_newer.then(|| Found::Entry(Arc::new(entry)))
    };
    let seen = core.slots.begun();
    match second.get(name).await {
        None => return Found::Nothing,
        Some(bytes) => {
            // Another node looked into the log later than this one.
            if bytes.as_ref().is_some_and(|bytes| second::horizon(bytes) > core.log.horizon()) {
                core.catch_up_soon().await;
            }
            if let Some(found) = judge(seen, bytes) {
                return found;
            }
        }
    }
    let after = core.slots.last(&[low(trip.digest), trip.space.hash]);
    let mut waited = Duration::ZERO;
    let mut pause = Duration::from_millis(5);
    loop {
        let seen = core.slots.begun();
        let Some((lease, bytes)) = second.apply(name, after).await else { return Found::Nothing };
        if bytes.as_ref().is_some_and(|bytes| second::horizon(bytes) > core.log.horizon()) {
            core.catch_up_soon().await;
        }
        if let Some(found) = judge(seen, bytes) {
            if let Some(lease) = &lease {
                second.give_back(lease).await;
            }
            return found;
        }
        match lease {
            Some(lease) => return Found::Lease(lease),
            None if !trip.is_awaited => return Found::Left,
            None if waited >= LONGEST_WAIT || !core.log.can_judge(&core.time) => return Found::Nothing,
            None => {}
        }
        tokio::time::sleep(pause).await;
        waited += pause;
        pause = (pause * 2).min(Duration::from_millis(50));
    }
}

/// An entry out of Redis, if it is good: fresh, behind every invalidation of it, and readable.
fn adopt<V: Value>(core: &Core, trip: &Trip, seen: u64, bytes: bytes::Bytes) -> Option<Entry> {
    let stored = second::read(core.log.name(), bytes)?;
    let good = stored.times.expires > core.time.now()
        && stored.hashes.starts_with(&[low(trip.digest), trip.space.hash])
        && core.log.reaches(stored.horizon)
        // Ahead of the log there is nothing, unless it was put back.
        && stored.horizon <= core.log.horizon()
        && core.slots.has_seen(&stored.hashes, stored.horizon);
    if !good {
        return None;
    }
    let value = match stored.value {
        None => None,
        Some(bytes) => {
            let value = V::decode(bytes)?;
            let weight = value.weight();
            Some((Arc::new(value) as AnyValue, weight))
        }
    };
    // It was judged by the last look, so its trust counts from there.
    let start = Start { seen, horizon: stored.horizon, steady: i64::MIN / 2 };
    Some(Entry::new(Arc::clone(&trip.space), value, start, stored.times, stored.hashes))
}

/// The lease during a load.
struct Holding<'a> {
    core: &'a Core,
    lease: Option<Lease>,
}

/// What never comes.
enum Never {}

impl Holding<'_> {
    /// Keeps the lease as long as it is polled.
    async fn renew(&self) -> Never {
        let (Some(lease), Some(second)) = (&self.lease, &self.core.second) else {
            return std::future::pending().await;
        };
        loop {
            tokio::time::sleep(LEASE / 3).await;
            second.renew(lease).await;
        }
    }

    async fn give_back(&self) {
        if let (Some(lease), Some(second)) = (&self.lease, &self.core.second) {
            second.give_back(lease).await;
        }
    }
}
