//! `Idempotency-Key` (draft-ietf-httpapi-idempotency-key-header): a request that
//! is sent again has its effect once, and is answered alike each time.
//!
//! The answer is a row in the effect's own transaction. Whoever comes second, on
//! whichever node, finds the row taken, loses everything it did and gives the
//! first answer. The set of running keys in memory only saves work.

mod answer;
mod extract;
mod key;
mod store;

use std::collections::HashSet;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use mainstay_core::seal::{RootKey, Sealer};
use mainstay_core::{Problem, Rng};
use mainstay_db::Db;
use mainstay_telemetry::Metrics;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;

pub use extract::Idempotent;
pub use key::IdempotencyKey;
pub(crate) use key::{KEY_PATTERN, is_key_parameter};
pub use store::{migrations, purge_idempotency_keys};

mainstay_core::problems! {
    /// No key where one is required.
    pub IDEMPOTENCY_KEY_REQUIRED = 400 "idempotency_key_required", "Idempotency-Key is required",
        "This installation refuses this request without an `Idempotency-Key`. Send a key of your own, new for each thing you want done and the same when you try again.";
    /// The first request with the key is not answered yet.
    pub IDEMPOTENCY_IN_PROGRESS = 409 "idempotency_in_progress", "Still in progress",
        "A request with this `Idempotency-Key` is being carried out. Wait as long as `Retry-After` says, then send the same request with the same key again.";
    /// The key was used for something else.
    pub IDEMPOTENCY_KEY_REUSED = 422 "idempotency_key_reused", "Idempotency-Key used for another request",
        "An earlier request had this `Idempotency-Key` and another body. Send a new key for a new request, and the very same body to try an old one again.";
}

/// What remembers the answers. One for each server; cheap to clone.
#[derive(Clone)]
pub struct Idempotency(Arc<Inner>);

struct Inner {
    db: Db,
    sealer: Sealer,
    running: Mutex<HashSet<Arc<Slot>>>,
    outcomes: Family<[(&'static str, &'static str); 1], Counter>,
}

/// What a key names: it means nothing beyond its caller and route.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Slot {
    scope: String,
    key: String,
}

impl Idempotency {
    /// Keeps the answers in `db`, sealed under a key from `root_key`: some show a
    /// secret that is shown once.
    #[must_use]
    pub fn new(db: Db, root_key: &RootKey, rng: Arc<dyn Rng>, metrics: &Metrics) -> Self {
        let outcomes = metrics.register(
            "idempotency_repeats",
            "Requests whose Idempotency-Key was known, by what they were told",
            Family::default(),
        );
        let sealer = root_key.sealer("idempotency", rng);
        Self(Arc::new(Inner { db, sealer, running: Mutex::default(), outcomes }))
    }

    /// Marks the slot as running. `None` if it is.
    fn claim(&self, slot: &Arc<Slot>) -> Option<Running> {
        let mut running = self.0.running.lock().unwrap_or_else(PoisonError::into_inner);
        running.insert(slot.clone()).then(|| Running { idempotency: self.clone(), slot: slot.clone() })
    }

    fn in_progress(&self) -> Problem {
        self.count("in_progress");
        let detail = "A request with this Idempotency-Key is being carried out.";
        Problem::retry_later(&IDEMPOTENCY_IN_PROGRESS, detail, 1)
    }

    fn reused(&self) -> Problem {
        self.count("reused");
        IDEMPOTENCY_KEY_REUSED.because("This Idempotency-Key was sent with another body before.")
    }

    fn count(&self, outcome: &'static str) {
        self.0.outcomes.get_or_create(&[("outcome", outcome)]).inc();
    }
}

impl fmt::Debug for Idempotency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Idempotency").finish_non_exhaustive()
    }
}

/// A slot that is running on this node. Dropped, whichever way the request ended, it no longer is.
struct Running {
    idempotency: Idempotency,
    slot: Arc<Slot>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.idempotency.0.running.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.slot);
    }
}
