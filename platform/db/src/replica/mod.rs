//! Read replicas of PostgreSQL: which reads may go there, and when none may.
//!
//! A read goes to a replica if the replica is known to contain everything that was
//! committed until a bounded time ago ([`watch`]), and if the caller has
//! written nothing in that time, on any node ([`marks`]). Everything else, and
//! everything in doubt, goes to the primary.

mod courier;
mod marks;
mod reader;
mod watch;

use std::future::Future;
use std::str::FromStr as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use mainstay_core::settings::expose;
use mainstay_core::{Actor, ActorKind};
use mainstay_telemetry::Metrics;
use mainstay_telemetry::prometheus_client::metrics::counter::Counter;
use mainstay_telemetry::prometheus_client::metrics::family::Family;
use mainstay_telemetry::prometheus_client::metrics::gauge::Gauge;
use mainstay_telemetry::prometheus_client::metrics::histogram::Histogram;
use sea_orm::{DatabaseConnection, DbErr, SqlxPostgresConnector};
use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection as _, PgConnection, PgPool};
use tokio::task::AbortHandle;

pub use self::reader::Reader;
pub use self::watch::ReplicaState;

use self::courier::Courier;
use self::marks::{Key, Marks};
use self::watch::Health;
use crate::DatabaseSettings;
use crate::connect::{postgres_options, postgres_pool, shares};
use crate::error::{is_connection_lost, is_timeout};
use crate::point::{PointQuery, PointRow, PostgresReader};

/// The longest wait for a connection to a replica; then the primary is asked.
const ACQUIRE: Duration = Duration::from_secs(1);

/// One replica, for `doctor` and `/readyz`.
#[derive(Clone, Debug)]
pub struct ReplicaStatus {
    /// Its place in `database.replica_urls`, from 1.
    pub number: usize,
    /// Host and port.
    pub place: String,
    /// What is known of it.
    pub state: ReplicaState,
    /// The age that its data may have at most. `None` if it was never measured.
    pub age: Option<Duration>,
}

/// Where reads went.
#[derive(Clone, Debug)]
pub(crate) struct ReadCounts {
    /// To a replica.
    replica: Counter,
    /// To the primary, after a replica failed.
    fallback: Counter,
    /// To the primary: it is the system's own work.
    internal: Counter,
    /// To the primary: the caller wrote lately.
    wrote: Counter,
    /// To the primary: this node can't know who wrote lately.
    uninformed: Counter,
    /// To the primary: no replica is fresh enough.
    none: Counter,
}

impl ReadCounts {
    pub(crate) fn new(metrics: &Metrics, wanted: bool) -> Self {
        let family = Family::<[(&'static str, &'static str); 2], Counter>::default();
        if wanted {
            let help = "Reads that a replica may answer, by who was asked and why";
            metrics.register("db_reads", help, family.clone());
        }
        let counter =
            |target, reason| family.get_or_create(&[("target", target), ("reason", reason)]).clone();
        Self {
            replica: counter("replica", "fresh"),
            fallback: counter("primary", "replica_failed"),
            internal: counter("primary", "internal"),
            wrote: counter("primary", "wrote_lately"),
            uninformed: counter("primary", "not_informed"),
            none: counter("primary", "no_fresh_replica"),
        }
    }
}

/// One replica.
#[derive(Debug)]
pub(crate) struct Replica {
    number: usize,
    place: String,
    options: PgConnectOptions,
    pool: PgPool,
    point: PostgresReader,
    health: Health,
}

impl Replica {
    /// What the replica answers. `None` if the primary is to be asked instead.
    async fn attempt<T>(
        &self,
        ask: impl Future<Output = Result<T, DbErr>>,
        now: Instant,
    ) -> Option<Result<T, DbErr>> {
        // Before the look at its health, so that nothing is missed between the two.
        let lost = self.health.lost.notified();
        if !self.health.is_usable(now) {
            return None;
        }
        let answer = tokio::select! {
            biased;
            answer = ask => answer,
            () = lost => return None,
        };
        match answer {
            // Once more would take as long.
            Err(error) if !is_timeout(&error) => {
                tracing::debug!(replica = self.number, %error, "asking the primary instead");
                if is_connection_lost(&error) {
                    self.health.lose();
                }
                None
            }
            answer => Some(answer),
        }
    }
}

/// All replicas, and the knowledge of who wrote lately.
#[derive(Debug)]
pub(crate) struct Replicas {
    replicas: Vec<Arc<Replica>>,
    primary: PgConnectOptions,
    marks: Arc<Marks>,
    courier: Arc<Courier>,
    counts: ReadCounts,
    /// How long answers to writes were held back.
    waits: Histogram,
    /// Answers that were held back to the end, because a node did not confirm.
    unconfirmed: Counter,
    bound: Duration,
    tasks: Mutex<Vec<AbortHandle>>,
}

impl Replicas {
    /// The replicas that `settings` name. `None` if there are none.
    pub(crate) fn open(
        settings: &DatabaseSettings,
        primary: &PgConnectOptions,
        metrics: &Metrics,
        times: &Histogram,
        counts: &ReadCounts,
    ) -> Result<Option<Self>, DbErr> {
        if settings.replica_urls.is_empty() {
            return Ok(None);
        }
        let bound = Duration::from_millis(settings.replica_max_lag_ms);
        let (for_points, others) = shares(settings.replica_connections, 0);
        let patience = ACQUIRE.min(Duration::from_secs(settings.acquire_timeout_s));
        let slow = Duration::from_millis(settings.slow_query_ms);
        let open = |(index, url): (usize, &secrecy::SecretString)| {
            let number = index + 1;
            let options = PgConnectOptions::from_str(expose(url)).map_err(|error| {
                DbErr::Custom(format!("database.replica_urls: the URL number {number}: {error}"))
            })?;
            let place = format!("{}:{}", options.get_host(), options.get_port());
            // Should it ever be a primary, nothing is changed there by mistake.
            let options =
                postgres_options(options, settings).options([("default_transaction_read_only", "on")]);
            let pool = postgres_pool(options.clone(), others, patience);
            Ok(Arc::new(Replica {
                number,
                pool,
                point: PostgresReader::new(
                    options.clone(),
                    for_points as usize,
                    patience,
                    times.clone(),
                    slow,
                ),
                health: Health::new((number, place.clone()), bound),
                place,
                options,
            }))
        };
        let replicas =
            settings.replica_urls.iter().enumerate().map(open).collect::<Result<Vec<_>, DbErr>>()?;
        let marks = Arc::new(Marks::new(Courier::node_name(), bound));
        let waits = metrics.register(
            "db_replica_write_wait_seconds",
            "How long a write was kept from being answered until every node knew of it",
            Histogram::new(mainstay_telemetry::latency_buckets()),
        );
        let unconfirmed = metrics.register(
            "db_replica_writes_unconfirmed",
            "Writes that were answered late because a node did not confirm them",
            Counter::default(),
        );
        health_metrics(metrics, &replicas);
        Ok(Some(Self {
            replicas,
            primary: primary.clone(),
            courier: Arc::new(Courier::new(marks.clone(), primary.clone())),
            marks,
            counts: counts.clone(),
            waits,
            unconfirmed,
            bound,
            tasks: Mutex::default(),
        }))
    }

    /// A connection to each replica, prepared by `prepare`.
    pub(crate) fn connections(
        &self,
        prepare: impl Fn(&mut DatabaseConnection),
    ) -> Vec<(DatabaseConnection, Arc<Replica>)> {
        let connection = |replica: &Arc<Replica>| {
            let mut connection = SqlxPostgresConnector::from_sqlx_postgres_pool(replica.pool.clone());
            prepare(&mut connection);
            (connection, replica.clone())
        };
        self.replicas.iter().map(connection).collect()
    }

    /// Size and idle connections of each pool, by role.
    pub(crate) fn pools(&self) -> Vec<(String, u32, usize)> {
        let pools = self.replicas.iter().flat_map(|replica| {
            let (size, idle) = replica.point.connections();
            [
                (format!("replica_{}", replica.number), replica.pool.size(), replica.pool.num_idle()),
                (format!("replica_{}_point", replica.number), size, idle),
            ]
        });
        pools.collect()
    }

    /// Looks at the replicas from now on, and talks with the other nodes. Until then, and after
    /// [`Replicas::close`], no read goes to a replica. Does nothing the second time.
    #[expect(clippy::disallowed_methods, reason = "these run until the database is closed, which ends them")]
    pub(crate) fn start(&self) {
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        if !tasks.is_empty() {
            return;
        }
        // Often enough that a replica which follows at once is never near its bound.
        let interval = (self.bound / 8).clamp(Duration::from_millis(10), Duration::from_millis(100));
        let patience = self.bound / 2;
        let sightings = tokio::sync::watch::Sender::new(None);
        for replica in &self.replicas {
            let (replica, sightings) = (replica.clone(), sightings.subscribe());
            let watching = async move {
                replica.health.watch(replica.options.clone(), patience, sightings).await;
            };
            tasks.push(tokio::spawn(watching).abort_handle());
        }
        let watching = watch::watch_primary(self.primary.clone(), interval, patience, sightings);
        tasks.push(tokio::spawn(watching).abort_handle());
        let (hearing, telling) = (self.courier.clone(), self.courier.clone());
        tasks.push(tokio::spawn(async move { hearing.hear().await }).abort_handle());
        tasks.push(tokio::spawn(async move { telling.tell().await }).abort_handle());
    }

    pub(crate) async fn close(&self) {
        let tasks = std::mem::take(&mut *self.tasks.lock().unwrap_or_else(PoisonError::into_inner));
        if !tasks.is_empty() {
            tasks.iter().for_each(AbortHandle::abort);
            self.courier.say_goodbye().await;
        }
        for replica in &self.replicas {
            replica.point.close();
            replica.pool.close().await;
        }
    }

    /// Which replica may answer `actor`, if any.
    pub(crate) fn choose(&self, actor: &Actor) -> Option<usize> {
        if matches!(actor.kind, ActorKind::System(_)) {
            // Consumers and jobs follow up what somebody else wrote a moment ago, and decide.
            self.counts.internal.inc();
            return None;
        }
        let now = Instant::now();
        let keys = Key::seen_by(actor);
        if !self.marks.is_informed(now) {
            self.counts.uninformed.inc();
            return None;
        }
        if self.marks.wrote_lately(&keys, now) {
            self.counts.wrote.inc();
            return None;
        }
        // A caller stays with one replica while it is good: from two of them, what was seen could vanish again.
        let count = self.replicas.len();
        let first = usize::try_from(keys[0].spread() % count as u64).unwrap_or(0);
        let chosen = (0..count)
            .map(|step| (first + step) % count)
            .find(|index| self.replicas[*index].health.is_usable(now));
        if chosen.is_some() {
            self.counts.replica.inc()
        } else {
            self.counts.none.inc()
        };
        chosen
    }

    /// The row that `query` finds on the replica of this index. `None` if the primary is to be asked.
    pub(crate) async fn point(
        &self,
        index: usize,
        query: &'static PointQuery,
        values: &[sea_orm::Value],
    ) -> Option<Result<Option<PointRow>, DbErr>> {
        let replica = self.replicas.get(index)?;
        let answer = replica.attempt(replica.point.find(query, values), Instant::now()).await;
        if answer.is_none() {
            self.counts.fallback.inc();
        }
        answer
    }

    /// `actor` is about to commit: from here on their reads go to the primary.
    pub(crate) fn writes(&self, actor: &Actor) {
        if matches!(actor.kind, ActorKind::System(_)) {
            return;
        }
        self.marks.wrote(&[Key::of(actor)], Instant::now());
    }

    /// `actor` committed, or may have. Returns when no node can answer them from a
    /// replica that does not contain it: as soon as every node knows, and at the latest when
    /// every replica in use contains it.
    pub(crate) async fn wrote(&self, actor: &Actor) {
        if matches!(actor.kind, ActorKind::System(_)) {
            // Its reads never go to a replica.
            return;
        }
        let now = Instant::now();
        let key = Key::of(actor);
        self.marks.wrote(&[key], now);
        if self.tasks.lock().unwrap_or_else(PoisonError::into_inner).is_empty() {
            return;
        }
        let mut confirmations = self.marks.confirmations();
        let Some(announcement) = self.marks.announce(key, now) else { return };
        self.courier.hurry();
        let confirmed = async {
            while !self.marks.is_confirmed(&announcement) {
                if confirmations.changed().await.is_err() {
                    std::future::pending::<()>().await;
                }
            }
        };
        let left = self.marks.bound().saturating_sub(now.elapsed());
        if tokio::time::timeout(left, confirmed).await.is_err() {
            self.unconfirmed.inc();
        }
        self.waits.observe(now.elapsed().as_secs_f64());
    }

    pub(crate) fn statuses(&self) -> Vec<ReplicaStatus> {
        let now = Instant::now();
        let status = |replica: &Arc<Replica>| ReplicaStatus {
            number: replica.number,
            place: replica.place.clone(),
            state: replica.health.state(now),
            age: replica.health.age(now),
        };
        self.replicas.iter().map(status).collect()
    }

    /// Asks each replica once, for `doctor`: its place, and how long it took to contain what the primary had,
    /// or what is wrong with it.
    pub(crate) async fn check(&self) -> Vec<(String, Result<Duration, String>)> {
        let mut findings = Vec::new();
        for replica in &self.replicas {
            let check = tokio::time::timeout(Duration::from_secs(5), self.check_one(replica));
            let finding = check.await.unwrap_or_else(|_| Err("does not answer within 5 s".to_owned()));
            findings.push((replica.place.clone(), finding));
        }
        findings
    }

    async fn check_one(&self, replica: &Replica) -> Result<Duration, String> {
        let away = |error: sqlx::Error| format!("does not answer: {error}");
        let no_primary =
            |error: sqlx::Error| format!("can't be compared, the primary does not answer: {error}");
        let mut here = PgConnection::connect_with(&self.primary).await.map_err(no_primary)?;
        let primary = watch::primary_place(&mut here).await.map_err(no_primary)?;
        let asked = Instant::now();
        let mut there = PgConnection::connect_with(&replica.options).await.map_err(away)?;
        let outcome = loop {
            let place = watch::replica_place(&mut there).await.map_err(away)?;
            if let Err(wrong) = watch::verdict(&primary, &place) {
                break Err(wrong);
            }
            let took = asked.elapsed();
            if place.lsn >= primary.lsn {
                break Ok(took);
            }
            if took > Duration::from_secs(3) {
                break Err("has not replayed in 3 s what the primary had at their beginning".to_owned());
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        };
        // What it found is what counts.
        let _closed = (here.close().await, there.close().await);
        outcome
    }
}

fn health_metrics(metrics: &Metrics, replicas: &[Arc<Replica>]) {
    type Ages = Family<[(&'static str, String); 1], Gauge<f64, std::sync::atomic::AtomicU64>>;
    type States = Family<[(&'static str, String); 2], Gauge>;
    let ages = metrics.register(
        "db_replica_lag_seconds",
        "The age that a replica's data may have; grows while it is away",
        Ages::default(),
    );
    let states =
        metrics.register("db_replica_state", "1 for the state that a replica is in", States::default());
    let replicas = replicas.to_vec();
    metrics.before_render(move || {
        let now = Instant::now();
        for replica in &replicas {
            let number = || ("replica", replica.number.to_string());
            if let Some(age) = replica.health.age(now) {
                ages.get_or_create(&[number()]).set(age.as_secs_f64());
            }
            let current = replica.health.state(now);
            for state in ReplicaState::ALL {
                let labels = [number(), ("state", state.as_str().to_owned())];
                states.get_or_create(&labels).set(i64::from(state == current));
            }
        }
    });
}
