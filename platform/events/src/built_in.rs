//! The built-in broker: the database itself.
//!
//! A delivery is a row for one consumer and one event, there until it took effect.
//! Order per subject: a row is due only if no earlier one of its consumer and subject
//! waits for another try.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use mainstay_core::{Actor, Event, Rng, Timestamp};
use mainstay_db::{Db, WriteUnit};
use sea_orm::sea_query::{Alias, Expr, ExprTrait as _, Query};
use sea_orm::{
    ColumnTrait as _, DbErr, EntityTrait as _, IntoActiveModel as _, QueryFilter as _, QueryOrder as _,
    QuerySelect as _,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::broker::{Broker, Outbox};
use crate::entity::{dead_letter, delivery};
use crate::inbox::{self, Applied, Inbox};
use crate::metrics::EventMetrics;
use crate::{BoxError, Consumer, DELIVERIES, EventsSettings, Leases};

/// How many events are relayed at once.
const RELAYED: u64 = 500;
/// How many are applied in one transaction.
const APPLIED: u64 = 50;

/// The database as a broker.
#[derive(Clone, Debug)]
pub struct BuiltIn(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    db: Db,
    leases: Leases,
    rng: Arc<dyn Rng>,
    settings: EventsSettings,
    consumers: Vec<Consumer>,
    metrics: EventMetrics,
}

/// One failed try of a consumer.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Attempt {
    /// When.
    pub at: Timestamp,
    /// What went wrong.
    pub error: String,
}

impl BuiltIn {
    pub(crate) fn new(
        db: Db,
        leases: Leases,
        rng: Arc<dyn Rng>,
        settings: EventsSettings,
        consumers: Vec<Consumer>,
        metrics: EventMetrics,
    ) -> Self {
        Self(Arc::new(Inner { db, leases, rng, settings, consumers, metrics }))
    }

    /// Deliveries of `consumer` that may be tried now, in order.
    async fn due(&self, consumer: &Consumer, now: Timestamp) -> Result<Vec<delivery::Model>, DbErr> {
        // Further off than any pause: the clock was set back since.
        let longest = now.after(Duration::from_secs(self.0.settings.retry_max_s + 60));
        let waits = |due_at: Expr| due_at.between(now.millis() + 1, longest.millis());
        let earlier = Alias::new("earlier");
        let of_earlier = |column: delivery::Column| Expr::col((earlier.clone(), column));
        let of_this = |column: delivery::Column| Expr::col((delivery::Entity, column));
        let blocked = Query::select()
            .expr(Expr::val(1))
            .from_as(delivery::Entity, earlier.clone())
            .and_where(of_earlier(delivery::Column::Consumer).eq(consumer.name()))
            .and_where(of_earlier(delivery::Column::Subject).eq(of_this(delivery::Column::Subject)))
            .and_where(of_earlier(delivery::Column::Seq).lt(of_this(delivery::Column::Seq)))
            .and_where(waits(of_earlier(delivery::Column::DueAt)))
            .to_owned();
        delivery::Entity::find()
            .filter(delivery::Column::Consumer.eq(consumer.name()))
            .filter(waits(of_this(delivery::Column::DueAt)).not())
            .filter(Expr::exists(blocked).not())
            .order_by_asc(delivery::Column::Seq)
            .limit(APPLIED)
            .all(self.0.db.primary())
            .await
    }

    /// Puts a failed delivery off, or gives it up.
    async fn fail(&self, consumer: &Consumer, row: delivery::Model, error: String) -> Result<(), DbErr> {
        let now = self.0.db.clock().now();
        let mut history: Vec<Attempt> =
            row.history.as_deref().and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
        history.push(Attempt { at: now, error: error.clone() });
        let history = serde_json::to_string(&history).unwrap_or_default();
        let attempts = row.attempts + 1;
        let given_up = u32::try_from(attempts).unwrap_or(u32::MAX) >= self.0.settings.max_attempts;

        let unit = self.0.db.write(&Actor::system(consumer.name())).await?;
        if given_up {
            self.bury(&unit, &row, error.clone(), history, attempts, now).await?;
        } else {
            let due_at = now.after(self.pause(attempts)).millis();
            delivery::Entity::update_many()
                .col_expr(delivery::Column::Attempts, attempts.into())
                .col_expr(delivery::Column::DueAt, due_at.into())
                .col_expr(delivery::Column::History, history.into())
                .filter(delivery::Column::Seq.eq(row.seq))
                .filter(delivery::Column::Attempts.eq(row.attempts))
                .exec(&unit)
                .await?;
        }
        unit.commit().await?;
        let (event_id, subject) = (row.event_id, row.subject);
        if given_up {
            self.0.metrics.dead(consumer.name());
            tracing::error!(consumer = consumer.name(), %event_id, subject, attempts, error, "an event became a dead letter");
        } else {
            self.0.metrics.retried(consumer.name());
            tracing::warn!(consumer = consumer.name(), %event_id, subject, attempts, error, "an event will be tried again");
        }
        Ok(())
    }

    async fn bury(
        &self,
        unit: &WriteUnit,
        row: &delivery::Model,
        error: String,
        history: String,
        attempts: i32,
        now: Timestamp,
    ) -> Result<(), DbErr> {
        let gone = delivery::Entity::delete_many()
            .filter(delivery::Column::Seq.eq(row.seq))
            .filter(delivery::Column::Attempts.eq(row.attempts))
            .exec(unit)
            .await?;
        if gone.rows_affected == 0 {
            return Ok(());
        }
        let event: Option<Event> = serde_json::from_str(&row.event).ok();
        let letter = dead_letter::Model {
            id: self.0.db.ids().make(),
            consumer: row.consumer.clone(),
            event_id: row.event_id,
            kind: event.map(|event| event.kind).unwrap_or_default(),
            subject: row.subject.clone(),
            event: row.event.clone(),
            error,
            history,
            attempts,
            died_at: now.millis(),
        };
        dead_letter::Entity::insert(letter.into_active_model()).exec_without_returning(unit).await?;
        Ok(())
    }

    /// Between half and the whole of a bound that doubles with each try.
    fn pause(&self, attempts: i32) -> Duration {
        let EventsSettings { retry_base_ms, retry_max_s, .. } = self.0.settings;
        let doublings = u32::try_from(attempts - 1).unwrap_or(0).clamp(0, 20);
        let bound = (retry_base_ms << doublings).clamp(2, retry_max_s * 1000);
        let random = u64::from_le_bytes(self.0.rng.bytes());
        Duration::from_millis(bound / 2 + random % (bound / 2))
    }
}

#[async_trait]
impl Broker for BuiltIn {
    fn name(&self) -> &'static str {
        "database"
    }

    async fn relay(&self, outbox: &Outbox) -> Result<usize, BoxError> {
        let recorded = outbox.peek(RELAYED).await?;
        if recorded.is_empty() {
            return Ok(0);
        }
        let mut rows = Vec::new();
        for event in recorded.iter().map(|recorded| &recorded.event) {
            let text = serde_json::to_string(event)?;
            rows.extend(self.0.consumers.iter().filter(|consumer| consumer.wants(&event.kind)).map(
                |consumer| delivery::Model {
                    seq: 0,
                    consumer: consumer.name().to_owned(),
                    event_id: event.id,
                    subject: event.subject.clone(),
                    event: text.clone(),
                    attempts: 0,
                    // At once, whatever the clock of the node that applies it says.
                    due_at: 0,
                    history: None,
                },
            ));
        }
        let unit = outbox.begin().await?;
        let listed = !rows.is_empty();
        let mut rows = rows.into_iter().peekable();
        while rows.peek().is_some() {
            inbox::list(&unit, rows.by_ref().take(1000).collect()).await?;
        }
        outbox.forget(&unit, &recorded).await?;
        unit.commit().await?;
        if listed {
            self.0.db.signals().wake(DELIVERIES);
        }
        Ok(recorded.len())
    }

    async fn deliver(&self, consumer: &Consumer, inbox: &Inbox) -> Result<usize, BoxError> {
        let rows = self.due(consumer, self.0.db.clock().now()).await?;
        if rows.is_empty() {
            return Ok(0);
        }
        let Some(lease) = self.0.leases.take(consumer.name()).await? else { return Ok(0) };
        // Another node may have had the lease while these were read, and be done with some.
        let rows = if lease.is_new() { self.due(consumer, self.0.db.clock().now()).await? } else { rows };
        let mut events: Vec<Event> = Vec::with_capacity(rows.len());
        for row in &rows {
            match serde_json::from_str(&row.event) {
                Ok(event) => events.push(event),
                // What stands before it goes first; then it fails by itself, and nobody else with it.
                Err(_) if !events.is_empty() => break,
                Err(error) => {
                    let error = format!("the event can't be read: {error}");
                    self.fail(consumer, row.clone(), error).await?;
                    return Ok(1);
                }
            }
        }
        let applied = inbox.apply(consumer, &lease, &events).await?;
        let now = self.0.db.clock().now();
        for ((row, event), outcome) in rows.into_iter().zip(&events).zip(applied) {
            match outcome {
                Applied::Done => {
                    self.0.metrics.done(consumer.name(), now.since(event.time));
                }
                Applied::Failed(error) => self.fail(consumer, row, error).await?,
                Applied::Waits => {}
            }
        }
        Ok(events.len())
    }
}

/// Puts one event on the list again, as if it had just come.
pub(crate) async fn redeliver(unit: &WriteUnit, letter: &dead_letter::Model) -> Result<(), DbErr> {
    let row = delivery::Model {
        seq: 0,
        consumer: letter.consumer.clone(),
        event_id: letter.event_id,
        subject: letter.subject.clone(),
        event: letter.event.clone(),
        attempts: 0,
        due_at: 0,
        history: Some(letter.history.clone()),
    };
    inbox::list(unit, vec![row]).await
}
