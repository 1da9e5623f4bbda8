//! The effect of an event, exactly once.
//!
//! The note that a consumer saw an event is a row in the transaction of its effect:
//! both happen or neither. Several events are applied in one transaction, because its
//! commit costs more than most effects; if one of them fails, all are rolled back and
//! applied one by one, so that it fails alone.

use std::collections::HashSet;
use std::panic::AssertUnwindSafe;
use std::time::{Duration, Instant};

use futures_util::FutureExt as _;
use mainstay_core::{Actor, Event};
use mainstay_db::{Db, WriteUnit};
use sea_orm::sea_query::OnConflict;
use sea_orm::{
    ColumnTrait as _, ConnectionTrait, DbErr, EntityTrait as _, IntoActiveModel as _, QueryFilter as _,
    QueryOrder as _, QuerySelect as _,
};
use uuid::Uuid;

use crate::entity::{delivery, inbox};
use crate::lease::{Lease, LeaseError};
use crate::worker::{error_text, panic_text};
use crate::{BoxError, Consumer};

/// How long one transaction may go on to a further event.
const TOGETHER: Duration = Duration::from_millis(500);

/// Applies events to consumers.
#[derive(Clone, Debug)]
pub struct Inbox {
    db: Db,
    handler_timeout: Duration,
}

/// What became of one event.
#[derive(Clone, Debug)]
pub enum Applied {
    /// It took effect, now or before.
    Done,
    /// It failed; nothing of it happened.
    Failed(String),
    /// An earlier event about the same subject failed, so this one has to wait.
    Waits,
}

/// Why no event was even tried.
pub(crate) enum Stopped {
    Lease(LeaseError),
    /// A consumer failed; which of them is not known.
    Handler,
}

impl From<DbErr> for Stopped {
    fn from(error: DbErr) -> Self {
        Self::Lease(error.into())
    }
}

impl Inbox {
    pub(crate) fn new(db: Db, handler_timeout: Duration) -> Self {
        Self { db, handler_timeout }
    }

    /// Applies `events`, which are in order, to `consumer`: all of them, or as many as there is
    /// time for; the others wait.
    ///
    /// # Errors
    /// If nothing could be tried: the lease has passed on, or the database is away.
    pub async fn apply(
        &self,
        consumer: &Consumer,
        lease: &Lease,
        events: &[Event],
    ) -> Result<Vec<Applied>, LeaseError> {
        if events.len() > 1 {
            match self.apply_together(consumer, lease, events).await {
                Ok(applied) => return Ok(applied),
                Err(Stopped::Lease(error @ LeaseError::Lost(_))) => return Err(error),
                // One of them failed, in its handler or in what the database refused.
                Err(Stopped::Lease(LeaseError::Db(_)) | Stopped::Handler) => {}
            }
        }
        let began = Instant::now();
        let mut failed: HashSet<&str> = HashSet::new();
        let mut applied = Vec::with_capacity(events.len());
        for event in events {
            // Failures must be noted before the lease runs out.
            if failed.contains(&*event.subject) || (!failed.is_empty() && began.elapsed() > TOGETHER) {
                applied.push(Applied::Waits);
                continue;
            }
            let outcome = match self.apply_alone(consumer, lease, event).await {
                Ok(outcome) => outcome,
                Err(error) if applied.is_empty() => return Err(error),
                // What became of the others is known, and must not be forgotten with this one.
                Err(_) => break,
            };
            if matches!(outcome, Applied::Failed(_)) {
                failed.insert(&event.subject);
            }
            applied.push(outcome);
        }
        applied.resize(events.len(), Applied::Waits);
        Ok(applied)
    }

    async fn apply_together(
        &self,
        consumer: &Consumer,
        lease: &Lease,
        events: &[Event],
    ) -> Result<Vec<Applied>, Stopped> {
        let unit = self.begin(consumer, lease).await.map_err(Stopped::Lease)?;
        let ids: Vec<Uuid> = events.iter().map(|event| event.id).collect();
        let seen = seen(&unit, consumer, &ids).await?;
        let began = Instant::now();
        let mut done = 0;
        for event in events {
            // The transaction holds what the effects lock, on SQLite everybody who writes.
            if done > 0 && began.elapsed() > TOGETHER {
                break;
            }
            if !seen.contains(&event.id) {
                self.handle(consumer, &unit, event).await.map_err(|_| Stopped::Handler)?;
            }
            done += 1;
        }
        if !self.finish(unit, consumer, &ids[..done], &seen).await? {
            return Err(Stopped::Handler);
        }
        let mut applied = vec![Applied::Done; done];
        applied.resize(events.len(), Applied::Waits);
        Ok(applied)
    }

    async fn apply_alone(
        &self,
        consumer: &Consumer,
        lease: &Lease,
        event: &Event,
    ) -> Result<Applied, LeaseError> {
        let unit = self.begin(consumer, lease).await?;
        let ids = [event.id];
        let seen = seen(&unit, consumer, &ids).await?;
        if seen.is_empty()
            && let Err(error) = self.handle(consumer, &unit, event).await
        {
            unit.rollback().await?;
            return Ok(Applied::Failed(error_text(&*error)));
        }
        // What the effect is refused for may show only here.
        match self.finish(unit, consumer, &ids, &seen).await {
            Ok(true) => Ok(Applied::Done),
            Ok(false) => Ok(Applied::Waits),
            Err(error) => Ok(Applied::Failed(error_text(&error))),
        }
    }

    async fn begin(&self, consumer: &Consumer, lease: &Lease) -> Result<WriteUnit, LeaseError> {
        let unit = self.db.write(&Actor::system(consumer.name())).await?;
        lease.guard(&unit).await?;
        Ok(unit)
    }

    async fn handle(&self, consumer: &Consumer, unit: &WriteUnit, event: &Event) -> Result<(), BoxError> {
        let handled = AssertUnwindSafe(consumer.handler().handle(unit, event)).catch_unwind();
        match tokio::time::timeout(self.handler_timeout, handled).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(panic)) => Err(panic_text(&*panic).into()),
            Err(_) => Err(format!("took longer than {} s", self.handler_timeout.as_secs()).into()),
        }
    }

    /// Notes what was seen, takes it off the list of deliveries, and commits. False, and nothing
    /// happened, if one of them is not on the list any more: it was given up by a node that had the
    /// lease before, and is a dead letter.
    async fn finish(
        &self,
        unit: WriteUnit,
        consumer: &Consumer,
        ids: &[Uuid],
        seen: &HashSet<Uuid>,
    ) -> Result<bool, DbErr> {
        let seen_at = self.db.clock().now().millis();
        let new = ids.iter().filter(|id| !seen.contains(id)).map(|id| {
            let row = inbox::Model { consumer: consumer.name().to_owned(), event_id: *id, seen_at };
            row.into_active_model()
        });
        let new: Vec<_> = new.collect();
        if !new.is_empty() {
            inbox::Entity::insert_many(new).exec_without_returning(&unit).await?;
        }
        let gone = delivery::Entity::delete_many()
            .filter(delivery::Column::Consumer.eq(consumer.name()))
            .filter(delivery::Column::EventId.is_in(ids.iter().copied()))
            .exec(&unit)
            .await?;
        if gone.rows_affected < ids.len() as u64 {
            unit.rollback().await?;
            return Ok(false);
        }
        unit.commit().await?;
        Ok(true)
    }

    /// Forgets what was seen before `before`, a portion at a time. Returns how much.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn forget(&self, before: mainstay_core::Timestamp) -> Result<u64, DbErr> {
        const PORTION: u64 = 5000;
        // The newest of the oldest: one statement deletes all up to it.
        let oldest = inbox::Entity::find()
            .select_only()
            .column(inbox::Column::SeenAt)
            .filter(inbox::Column::SeenAt.lt(before.millis()))
            .order_by_asc(inbox::Column::SeenAt)
            .limit(PORTION)
            .into_tuple::<i64>()
            .all(self.db.primary())
            .await?;
        let Some(last) = oldest.last() else { return Ok(0) };
        let unit = self.db.write(&Actor::system("events.inbox")).await?;
        let deleted =
            inbox::Entity::delete_many().filter(inbox::Column::SeenAt.lte(*last)).exec(&unit).await?;
        unit.commit().await?;
        Ok(deleted.rows_affected)
    }
}

async fn seen(
    connection: &impl ConnectionTrait,
    consumer: &Consumer,
    ids: &[Uuid],
) -> Result<HashSet<Uuid>, DbErr> {
    let rows = inbox::Entity::find()
        .filter(inbox::Column::Consumer.eq(consumer.name()))
        .filter(inbox::Column::EventId.is_in(ids.iter().copied()))
        .all(connection)
        .await?;
    Ok(rows.into_iter().map(|row| row.event_id).collect())
}

/// Puts events on the list of deliveries of a consumer.
pub(crate) async fn list(connection: &impl ConnectionTrait, rows: Vec<delivery::Model>) -> Result<(), DbErr> {
    if rows.is_empty() {
        return Ok(());
    }
    let known =
        OnConflict::columns([delivery::Column::Consumer, delivery::Column::EventId]).do_nothing().to_owned();
    let rows = rows.into_iter().map(|row| {
        let mut row = row.into_active_model();
        row.seq = sea_orm::ActiveValue::NotSet;
        row
    });
    delivery::Entity::insert_many(rows).on_conflict(known).exec_without_returning(connection).await?;
    Ok(())
}
