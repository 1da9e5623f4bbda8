#![doc = include_str!("../README.md")]

pub mod audit;
mod broker;
mod built_in;
mod consumer;
mod dead;
mod entity;
mod inbox;
pub mod job;
mod lease;
mod metrics;
mod migrations;
mod settings;
mod worker;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use mainstay_core::Rng;
use mainstay_core::seal::RootKey;
use mainstay_db::Db;
use mainstay_telemetry::Metrics;

pub use audit::{AuditFilter, AuditLog, AuditRecord};
pub use broker::{Broker, Outbox, Recorded};
pub use built_in::Attempt;
pub use consumer::{Consumer, Handle};
pub use dead::{DeadLetter, DeadLetterId, DeadLetters};
pub use inbox::{Applied, Inbox};
pub use job::{Job, JobStatus, Schedule};
pub use lease::{Lease, LeaseError, Leases};
pub use migrations::migrations;
pub use settings::EventsSettings;
pub use worker::{BoxError, Next, Running, Worker};

use audit::Sealer;
use broker::{depth, oldest};
use built_in::BuiltIn;
use metrics::EventMetrics;

/// The topic that is woken when events have arrived for consumers.
pub const DELIVERIES: &str = "deliveries";

/// What [`Events`] are built from.
#[derive(Debug)]
pub struct EventsOptions {
    /// The `[events]` section.
    pub settings: EventsSettings,
    /// The database.
    pub db: Db,
    /// Randomness, for the jitter of retries.
    pub rng: Arc<dyn Rng>,
    /// Where to count.
    pub metrics: Metrics,
    /// The audit log's chain is made under a key derived from it.
    pub root_key: RootKey,
    /// Every app's consumers.
    pub consumers: Vec<Consumer>,
    /// Every app's jobs.
    pub jobs: Vec<Job>,
    /// Further background work.
    pub workers: Vec<Worker>,
}

/// The background work of one node: the relay, the consumers, the jobs, the sealer
/// of the audit log, and whatever else apps do on the side.
#[derive(Debug)]
pub struct Events {
    db: Db,
    leases: Leases,
    poll: Duration,
    workers: Vec<Worker>,
}

impl Events {
    /// Nothing runs until [`Events::start`].
    ///
    /// # Panics
    /// If two consumers or two jobs have one name: a fault in the code that every start shows.
    #[must_use]
    pub fn new(options: EventsOptions) -> Self {
        let EventsOptions { settings, db, rng, metrics, root_key, consumers, jobs, workers: others } =
            options;
        assert_unique("consumers", consumers.iter().map(Consumer::name));
        assert_unique("jobs", jobs.iter().map(Job::name));
        let counts = EventMetrics::new(&metrics);
        let leases = Leases::new(db.clone(), &*rng, Duration::from_secs(settings.lease_s));
        let inbox = Inbox::new(db.clone(), Duration::from_secs(settings.handler_timeout_s));
        let poll = Duration::from_millis(settings.poll_ms);
        let broker: Arc<dyn Broker> = Arc::new(BuiltIn::new(
            db.clone(),
            leases.clone(),
            rng,
            settings.clone(),
            consumers.clone(),
            counts.clone(),
        ));

        let mut workers = vec![relay(&db, &leases, &broker, &counts)];
        workers.extend(consumers.into_iter().map(|consumer| deliver(consumer, &broker, &inbox)));
        workers.push(Sealer::new(db.clone(), leases.clone(), &root_key, counts.clone()).worker());
        let jobs = jobs.into_iter().chain([purge(&db, inbox, settings.inbox_days)]);
        workers.extend(jobs.map(|job| job::worker(db.clone(), job, counts.clone())));
        workers.extend(others);
        Self { db, leases, poll, workers }
    }

    /// Runs everything in the background until it is stopped.
    #[must_use]
    pub fn start(self) -> Running {
        let Self { db, leases, poll, workers } = self;
        db.join_nodes();
        worker::start(workers, &db, leases, poll)
    }

    /// Does all the work that is there now, here, and returns when there is none left
    /// that could be done at this moment. For tests, whose clock stands still.
    ///
    /// # Errors
    /// The first failure of the work itself. What a consumer fails at is its own affair.
    pub async fn settle(&self) -> Result<(), BoxError> {
        loop {
            let mut worked = false;
            for worker in &self.workers {
                while worker.run_once().await? == Next::Again {
                    worked = true;
                }
            }
            if !worked {
                return Ok(());
            }
        }
    }
}

fn assert_unique(what: &str, names: impl Iterator<Item = &'static str>) {
    let mut seen = std::collections::HashSet::new();
    for name in names {
        assert!(seen.insert(name), "two {what} are named {name}");
    }
}

/// An event is never lost for a lease that passed on: whoever has it now goes on.
fn unless_lost(result: Result<usize, BoxError>) -> Result<usize, BoxError> {
    result.or_else(|error| match error.downcast_ref() {
        Some(LeaseError::Lost(name)) => {
            tracing::debug!(name, "a lease passed to another node");
            Ok(0)
        }
        _ => Err(error),
    })
}

fn relay(db: &Db, leases: &Leases, broker: &Arc<dyn Broker>, metrics: &EventMetrics) -> Worker {
    let (db, leases, broker, metrics) = (db.clone(), leases.clone(), broker.clone(), metrics.clone());
    let counted_at = Arc::new(AtomicI64::new(0));
    let relay = move || {
        let (db, leases, broker, metrics) = (db.clone(), leases.clone(), broker.clone(), metrics.clone());
        let counted_at = counted_at.clone();
        async move {
            let oldest = oldest(&db).await?;
            let age = oldest.map_or(0, |oldest| db.clock().now().since(oldest).as_secs());
            metrics.outbox_age_s.set(i64::try_from(age).unwrap_or(i64::MAX));
            if oldest.is_none() {
                metrics.outbox_depth.set(0);
                return Ok(Next::Wait);
            }
            // Counting looks at every row: of a backlog, only now and then.
            let now = db.clock().now().millis();
            if now.abs_diff(counted_at.load(Ordering::Relaxed)) >= 5000 {
                counted_at.store(now, Ordering::Relaxed);
                metrics.outbox_depth.set(i64::try_from(depth(&db).await?).unwrap_or(i64::MAX));
            }
            let Some(lease) = leases.take("events.relay").await? else { return Ok(Next::Wait) };
            let relayed = unless_lost(broker.relay(&Outbox::new(db, lease)).await)?;
            Ok(if relayed > 0 { Next::Again } else { Next::Wait })
        }
    };
    Worker::new("events.relay", relay).woken_by(mainstay_db::trail::OUTBOX)
}

fn deliver(consumer: Consumer, broker: &Arc<dyn Broker>, inbox: &Inbox) -> Worker {
    let (broker, inbox) = (broker.clone(), inbox.clone());
    Worker::new(consumer.name(), move || {
        let (consumer, broker, inbox) = (consumer.clone(), broker.clone(), inbox.clone());
        async move {
            let applied = unless_lost(broker.deliver(&consumer, &inbox).await)?;
            Ok(if applied > 0 { Next::Again } else { Next::Wait })
        }
    })
    .woken_by(DELIVERIES)
}

fn purge(db: &Db, inbox: Inbox, days: u64) -> Job {
    let clock = db.clone();
    Job::new("events.purge", Schedule::Every(Duration::from_secs(3600)), move || {
        let (clock, inbox) = (clock.clone(), inbox.clone());
        async move {
            let kept = i64::try_from(days * 86_400_000).unwrap_or(i64::MAX);
            let before = clock.clock().now().millis().saturating_sub(kept);
            while inbox.forget(mainstay_core::Timestamp::from_millis(before)).await? > 0 {}
            Ok(())
        }
    })
}
