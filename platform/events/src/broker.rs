//! Brokers: what carries events from the outbox to the consumers.

use std::fmt;

use async_trait::async_trait;
use mainstay_core::{Actor, Event, Timestamp};
use mainstay_db::{Db, WriteUnit};
use sea_orm::{
    ColumnTrait as _, DbErr, EntityTrait as _, PaginatorTrait as _, QueryFilter as _, QueryOrder as _,
    QuerySelect as _,
};

use crate::entity::outbox;
use crate::lease::{Lease, LeaseError};
use crate::{BoxError, Consumer, Inbox};

/// Carries events from the outbox to the consumers, each at least once and in order
/// for each subject.
///
/// A broker that is a server of its own sends what [`Outbox::peek`] shows, waits until the
/// server has confirmed that it is stored, and only then lets go of it with
/// [`Outbox::forget`]. Built in, both are one transaction.
#[async_trait]
pub trait Broker: Send + Sync + fmt::Debug {
    /// Its name, in logs and metrics.
    fn name(&self) -> &'static str;

    /// Takes over a portion of what the outbox holds. Returns how many events.
    async fn relay(&self, outbox: &Outbox) -> Result<usize, BoxError>;

    /// Applies a portion of what has arrived for `consumer`. Returns how many events.
    ///
    /// An event counts as taken when [`Inbox::apply`] has returned for it: `Done` is
    /// acknowledged; `Failed` and `Waits` come again later, until `Failed` was said often enough for a dead letter.
    async fn deliver(&self, consumer: &Consumer, inbox: &Inbox) -> Result<usize, BoxError>;
}

/// What was recorded and no broker has yet, under the relay's lease.
#[derive(Debug)]
pub struct Outbox {
    db: Db,
    lease: Lease,
}

/// An event in the outbox.
#[derive(Clone, Debug)]
pub struct Recorded {
    /// Its place. Grows, but is no order of commits: a lower one may appear later.
    pub(crate) seq: i64,
    /// The event.
    pub event: Event,
}

impl Outbox {
    pub(crate) fn new(db: Db, lease: Lease) -> Self {
        Self { db, lease }
    }

    /// The oldest events, in the order in which they were recorded.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn peek(&self, limit: u64) -> Result<Vec<Recorded>, DbErr> {
        let rows = outbox::Entity::find()
            .order_by_asc(outbox::Column::Seq)
            .limit(limit)
            .all(self.db.primary())
            .await?;
        Ok(rows.into_iter().map(recorded).collect())
    }

    /// Begins a change that only the holder of the relay's lease can make.
    ///
    /// # Errors
    /// If the lease has passed on, or the database fails.
    pub async fn begin(&self) -> Result<WriteUnit, LeaseError> {
        let unit = self.db.write(&Actor::system("events.relay")).await?;
        self.lease.guard(&unit).await?;
        Ok(unit)
    }

    /// Lets go of events that the broker has.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn forget(&self, unit: &WriteUnit, events: &[Recorded]) -> Result<(), DbErr> {
        outbox::Entity::delete_many()
            .filter(outbox::Column::Seq.is_in(events.iter().map(|event| event.seq)))
            .exec(unit)
            .await?;
        Ok(())
    }
}

fn recorded(row: outbox::Model) -> Recorded {
    let outbox::Model { seq, id, kind, subject, actor, request_id, occurred_at, data } = row;
    // We wrote it as JSON; a text that is none is handed on as text, for the consumer to refuse.
    let data = serde_json::from_str(&data).unwrap_or(serde_json::Value::String(data));
    let time = Timestamp::from_millis(occurred_at);
    Recorded { seq, event: Event { id, kind, subject, time, actor, request_id, data } }
}

/// How many events wait in the outbox. Looks at each.
pub(crate) async fn depth(db: &Db) -> Result<u64, DbErr> {
    outbox::Entity::find().count(db.primary()).await
}

/// Since when the oldest event waits in the outbox. `None`: there is none.
pub(crate) async fn oldest(db: &Db) -> Result<Option<Timestamp>, DbErr> {
    let rows = outbox::Entity::find().select_only().column(outbox::Column::OccurredAt);
    let oldest: Option<i64> =
        rows.order_by_asc(outbox::Column::Seq).limit(1).into_tuple().one(db.primary()).await?;
    Ok(oldest.map(Timestamp::from_millis))
}
