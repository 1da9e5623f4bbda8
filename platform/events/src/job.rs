//! Scheduled jobs: each tick runs once, on one node.
//!
//! A job's row says when it is due. Whoever takes it leases it; it stays due
//! until the run has ended, so that a run whose node died is begun again by another.

use std::fmt;
use std::str::FromStr as _;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use croner::Cron;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use mainstay_core::{Actor, Timestamp};
use mainstay_db::Db;
use sea_orm::sea_query::{Expr, OnConflict};
use sea_orm::{
    ColumnTrait as _, Condition, DbErr, EntityTrait as _, ExprTrait as _, IntoActiveModel as _,
    QueryFilter as _, QueryOrder as _,
};
use serde::Serialize;
use utoipa::ToSchema;

use crate::entity::job;
use crate::metrics::EventMetrics;
use crate::worker::{BoxError, Next, Worker, error_text, panic_text};

/// When a job runs.
#[derive(Clone, Debug)]
pub enum Schedule {
    /// Again and again with this pause from tick to tick.
    Every(Duration),
    /// At the times that a cron pattern names, in UTC.
    Cron(Box<Cron>),
}

impl Schedule {
    /// The times of a cron pattern of five fields, in UTC: `0 3 * * *` is daily at three.
    ///
    /// # Panics
    /// If it is not a pattern: a fault in the code that every start shows.
    #[must_use]
    pub fn cron(pattern: &str) -> Self {
        Self::Cron(Box::new(Cron::from_str(pattern).expect("the pattern is part of the program")))
    }

    /// The first tick after `now`, for a job whose last was at `last`.
    fn next(&self, last: Timestamp, now: Timestamp) -> Timestamp {
        match self {
            Self::Every(pause) => {
                let pause = i64::try_from(pause.as_millis()).unwrap_or(i64::MAX).clamp(1, i64::MAX);
                // In step with the first tick, whatever was missed.
                let missed = (now.millis() - last.millis()).clamp(0, i64::MAX) / pause;
                Timestamp::from_millis(last.millis().saturating_add((missed + 1).saturating_mul(pause)))
            }
            Self::Cron(cron) => {
                // After the last even if the clock was set back: no tick runs twice.
                let from = DateTime::<Utc>::from_timestamp_millis(now.max(last).millis()).unwrap_or_default();
                cron.find_next_occurrence(&from, false)
                    .map_or(now.after(Duration::from_secs(86_400)), |next| {
                        Timestamp::from_millis(next.timestamp_millis())
                    })
            }
        }
    }
}

impl Schedule {
    /// The latest moment for which a job may wait at `now`. One that waits for longer was
    /// put off by another schedule, or by a clock that was set back.
    fn latest(&self, now: Timestamp) -> Timestamp {
        // Clocks of nodes differ a little.
        let soon = now.after(CLOCKS_DIFFER);
        match self {
            Self::Every(pause) => soon.after(*pause),
            Self::Cron(_) => self.next(soon, soon),
        }
    }
}

type Run = Arc<dyn Fn() -> BoxFuture<'static, Result<(), BoxError>> + Send + Sync>;

/// Work on a schedule.
#[derive(Clone)]
pub struct Job {
    name: &'static str,
    schedule: Schedule,
    limit: Duration,
    run: Run,
}

impl Job {
    /// A job. `name` is `app.purpose`. What it does must bear being done again: a
    /// run whose node died is begun anew.
    pub fn new<F>(name: &'static str, schedule: Schedule, run: impl Fn() -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<(), BoxError>> + Send + 'static,
    {
        let run: Run = Arc::new(move || run().boxed());
        Self { name, schedule, limit: Duration::from_secs(300), run }
    }

    /// How long a run may take: five minutes unless said otherwise. After that it is
    /// cut off, and another node may begin it again.
    #[must_use]
    pub fn within(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.name
    }
}

impl fmt::Debug for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Job")
            .field("name", &self.name)
            .field("schedule", &self.schedule)
            .finish_non_exhaustive()
    }
}

/// How a job stands.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct JobStatus {
    /// Its name.
    pub name: String,
    /// When it runs next.
    pub due_at: Timestamp,
    /// Whether a node is at it.
    pub running: bool,
    /// When its last run began. `None`: it never ran.
    pub last_started_at: Option<Timestamp>,
    /// When its last run ended.
    pub last_finished_at: Option<Timestamp>,
    /// Why its last run failed. `None`: it did not.
    pub last_error: Option<String>,
    /// Runs so far.
    pub runs: i64,
    /// Those that failed.
    pub failures: i64,
}

/// How every job stands, by name.
///
/// # Errors
/// If the database fails.
pub async fn status(db: &Db) -> Result<Vec<JobStatus>, DbErr> {
    let now = db.clock().now().millis();
    let rows = job::Entity::find().order_by_asc(job::Column::Name).all(db.primary()).await?;
    let moment = Timestamp::from_millis;
    let status = |row: job::Model| JobStatus {
        name: row.name,
        due_at: moment(row.due_at),
        running: row.leased_until.is_some_and(|until| until > now),
        last_started_at: row.last_started_at.map(moment),
        last_finished_at: row.last_finished_at.map(moment),
        last_error: row.last_error,
        runs: row.runs,
        failures: row.failures,
    };
    Ok(rows.into_iter().map(status).collect())
}

/// How far apart the clocks of two nodes may be.
const CLOCKS_DIFFER: Duration = Duration::from_secs(60);

/// Longest time that a worker sleeps although it knows when its job is due: the
/// clock may be set, and the row changed.
const LONGEST_SLEEP: Duration = Duration::from_secs(60);

/// The worker that runs `job` whenever it is due and no other node is at it.
pub(crate) fn worker(db: Db, job: Job, metrics: EventMetrics) -> Worker {
    Worker::new(job.name, move || {
        let (db, job, metrics) = (db.clone(), job.clone(), metrics.clone());
        async move { run_if_due(&db, &job, &metrics).await }
    })
}

async fn run_if_due(db: &Db, job: &Job, metrics: &EventMetrics) -> Result<Next, BoxError> {
    let now = db.clock().now();
    let Some(row) = job::Entity::find_by_id(job.name).one(db.primary()).await? else {
        insert(db, job, now).await?;
        return Ok(Next::Again);
    };
    let due_at = Timestamp::from_millis(row.due_at);
    if due_at > now {
        let latest = job.schedule.latest(now);
        if due_at > latest && row.leased_until.is_none() {
            bring_forward(db, &row, latest).await?;
            return Ok(Next::Again);
        }
        return Ok(Next::After(due_at.since(now).min(LONGEST_SLEEP)));
    }
    if let Some(until) = row.leased_until.filter(|until| *until > now.millis()) {
        let left = Timestamp::from_millis(until).since(now);
        return Ok(Next::After(left.clamp(Duration::from_millis(100), Duration::from_secs(5))));
    }
    let Some(fence) = claim(db, job, &row, now).await? else { return Ok(Next::Again) };

    let run = std::panic::AssertUnwindSafe(async { (job.run)().await }).catch_unwind();
    let error = match tokio::time::timeout(job.limit, run).await {
        Ok(Ok(Ok(()))) => None,
        Ok(Ok(Err(error))) => Some(error_text(&*error)),
        Ok(Err(panic)) => Some(panic_text(&*panic).replace('\0', "\u{fffd}")),
        Err(_) => Some(format!("it took longer than {} s", job.limit.as_secs())),
    };
    metrics.job(job.name, error.is_none());
    if let Some(error) = &error {
        tracing::warn!(job = job.name, error, "a job failed");
    }
    finish(db, job, due_at, fence, error).await?;
    Ok(Next::Again)
}

async fn insert(db: &Db, job: &Job, now: Timestamp) -> Result<(), DbErr> {
    let first = match &job.schedule {
        // A moment after the start, when there are more urgent things.
        Schedule::Every(pause) => now.after((*pause).min(Duration::from_secs(10))),
        Schedule::Cron(_) => job.schedule.next(now, now),
    };
    let row = job::Model {
        name: job.name.to_owned(),
        due_at: first.millis(),
        fence: 0,
        leased_until: None,
        last_started_at: None,
        last_finished_at: None,
        last_error: None,
        runs: 0,
        failures: 0,
    };
    let unit = db.write(&Actor::system("jobs")).await?;
    let known = OnConflict::column(job::Column::Name).do_nothing().to_owned();
    job::Entity::insert(row.into_active_model()).on_conflict(known).exec_without_returning(&unit).await?;
    unit.commit().await
}

/// Makes a job due at `due_at`, unless it changed meanwhile.
async fn bring_forward(db: &Db, row: &job::Model, due_at: Timestamp) -> Result<(), DbErr> {
    let unit = db.write(&Actor::system("jobs")).await?;
    job::Entity::update_many()
        .col_expr(job::Column::DueAt, due_at.millis().into())
        .filter(job::Column::Name.eq(&*row.name))
        .filter(job::Column::Fence.eq(row.fence))
        .filter(job::Column::DueAt.eq(row.due_at))
        .exec(&unit)
        .await?;
    unit.commit().await
}

/// Leases the run; `None` if another node was faster.
async fn claim(db: &Db, job: &Job, row: &job::Model, now: Timestamp) -> Result<Option<i64>, DbErr> {
    let fence = row.fence + 1;
    let free = Condition::any()
        .add(job::Column::LeasedUntil.is_null())
        .add(job::Column::LeasedUntil.lte(now.millis()));
    let unit = db.write(&Actor::system("jobs")).await?;
    // A little longer than the run may take: it is cut off before another begins.
    let until = now.after(job.limit + Duration::from_secs(10)).millis();
    let claimed = job::Entity::update_many()
        .col_expr(job::Column::Fence, fence.into())
        .col_expr(job::Column::LeasedUntil, until.into())
        .col_expr(job::Column::LastStartedAt, now.millis().into())
        .filter(job::Column::Name.eq(job.name))
        .filter(job::Column::Fence.eq(row.fence))
        .filter(job::Column::DueAt.eq(row.due_at))
        .filter(free)
        .exec(&unit)
        .await?;
    unit.commit().await?;
    Ok((claimed.rows_affected == 1).then_some(fence))
}

async fn finish(
    db: &Db,
    job: &Job,
    due_at: Timestamp,
    fence: i64,
    error: Option<String>,
) -> Result<(), DbErr> {
    let now = db.clock().now();
    let none: Option<i64> = None;
    let failed = i64::from(error.is_some());
    let unit = db.write(&Actor::system("jobs")).await?;
    job::Entity::update_many()
        .col_expr(job::Column::DueAt, job.schedule.next(due_at, now).millis().into())
        .col_expr(job::Column::LeasedUntil, none.into())
        .col_expr(job::Column::LastFinishedAt, now.millis().into())
        .col_expr(job::Column::LastError, error.into())
        .col_expr(job::Column::Runs, Expr::col(job::Column::Runs).add(1))
        .col_expr(job::Column::Failures, Expr::col(job::Column::Failures).add(failed))
        .filter(job::Column::Name.eq(job.name))
        // If the lease ran out, the run belongs to somebody else.
        .filter(job::Column::Fence.eq(fence))
        .exec(&unit)
        .await?;
    unit.commit().await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missed_ticks_are_one_and_the_step_is_kept() {
        let every = Schedule::Every(Duration::from_millis(100));
        let at = Timestamp::from_millis;
        assert_eq!(every.next(at(1000), at(1000)), at(1100));
        assert_eq!(every.next(at(1000), at(1399)), at(1400));
        assert_eq!(every.next(at(1000), at(1400)), at(1500));
        // A clock that was set back must not make it run at once again.
        assert_eq!(every.next(at(1000), at(500)), at(1100));
    }

    #[test]
    fn a_cron_pattern_is_in_utc() {
        let daily = Schedule::cron("0 3 * * *");
        let now: Timestamp = "2026-01-31T09:30:00.000Z".parse().unwrap();
        assert_eq!(daily.next(now, now).to_string(), "2026-02-01T03:00:00.000Z");
    }
}
