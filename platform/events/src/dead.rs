//! Dead letters: events that a consumer gave up on.

use mainstay_core::page::Sorting;
use mainstay_core::{Actor, AuditEntry, Event, Page, Paging, Problem, Timestamp};
use mainstay_db::{Db, WriteUnit, page};
use sea_orm::{ColumnTrait as _, DbErr, EntityTrait as _, QueryFilter as _};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::DELIVERIES;
use crate::built_in::{Attempt, redeliver};
use crate::entity::{dead_letter, delivery, outbox};

mainstay_core::uuid_ids! {
    /// Names a dead letter.
    pub struct DeadLetterId;
}

/// An event that a consumer gave up on.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct DeadLetter {
    /// Its id.
    #[schema(value_type = String, format = "uuid")]
    pub id: DeadLetterId,
    /// Who gave up.
    pub consumer: String,
    /// The event's id.
    #[schema(value_type = String, format = "uuid")]
    pub event_id: Uuid,
    /// The event's kind.
    pub kind: String,
    /// What the event is about.
    pub subject: String,
    /// The last error.
    pub error: String,
    /// How often it was tried.
    pub attempts: i32,
    /// Every failed try, oldest first.
    #[schema(inline)]
    pub history: Vec<Attempt>,
    /// What happened, as the event says it.
    #[schema(value_type = Object)]
    pub data: serde_json::Value,
    /// When the event happened.
    pub occurred_at: Timestamp,
    /// When it was given up.
    pub died_at: Timestamp,
}

impl From<dead_letter::Model> for DeadLetter {
    fn from(row: dead_letter::Model) -> Self {
        let dead_letter::Model {
            id,
            consumer,
            event_id,
            kind,
            subject,
            event,
            error,
            history,
            attempts,
            died_at,
        } = row;
        let event: Option<Event> = serde_json::from_str(&event).ok();
        let died_at = Timestamp::from_millis(died_at);
        Self {
            id: id.into(),
            consumer,
            event_id,
            kind,
            subject,
            error,
            attempts,
            history: serde_json::from_str(&history).unwrap_or_default(),
            occurred_at: event.as_ref().map_or(died_at, |event| event.time),
            data: event.map(|event| event.data).unwrap_or_default(),
            died_at,
        }
    }
}

/// The dead letters of an installation. Cheap to clone.
#[derive(Clone, Debug)]
pub struct DeadLetters {
    db: Db,
}

impl DeadLetters {
    /// Those in this database.
    #[must_use]
    pub fn new(db: Db) -> Self {
        Self { db }
    }

    /// A page of them, by when they died; of one consumer, if given.
    ///
    /// # Errors
    /// 422 for a foreign cursor, or the database's.
    pub async fn list<S: Sorting>(
        &self,
        paging: &Paging<S>,
        consumer: Option<&str>,
    ) -> Result<Page<DeadLetter>, Problem> {
        let mut rows = dead_letter::Entity::find();
        if let Some(consumer) = consumer {
            rows = rows.filter(dead_letter::Column::Consumer.eq(consumer));
        }
        let sorted = dead_letter::Column::DiedAt;
        let found = page(self.db.primary(), rows, paging, sorted, dead_letter::Column::Id).await?;
        Ok(found.map(DeadLetter::from))
    }

    /// One of them; `None` if it is not there (any more).
    ///
    /// # Errors
    /// If the database fails.
    pub async fn find(&self, id: DeadLetterId) -> Result<Option<DeadLetter>, DbErr> {
        let row = dead_letter::Entity::find_by_id(id.uuid()).one(self.db.primary()).await?;
        Ok(row.map(Into::into))
    }

    /// Delivers it again, as if it had just come. False if it is not there any more:
    /// of two who replay it, one does.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn replay(&self, actor: &Actor, id: DeadLetterId) -> Result<bool, DbErr> {
        let Some(row) = dead_letter::Entity::find_by_id(id.uuid()).one(self.db.primary()).await? else {
            return Ok(false);
        };
        let unit = self.db.write(actor).await?;
        if dead_letter::Entity::delete_by_id(id.uuid()).exec(&unit).await?.rows_affected == 0 {
            return Ok(false);
        }
        redeliver(&unit, &row).await?;
        unit.audit(audit("dead_letter.replayed", &row));
        unit.commit().await?;
        self.db.signals().wake(DELIVERIES);
        Ok(true)
    }

    /// Delivers all of them again, or all of one consumer, oldest first. Returns how many.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn replay_all(&self, actor: &Actor, consumer: Option<&str>) -> Result<u64, DbErr> {
        use sea_orm::{QueryOrder as _, QuerySelect as _};
        let began = self.db.clock().now();
        let mut count = 0;
        loop {
            let mut rows = dead_letter::Entity::find()
                // Those that die again meanwhile had their second chance.
                .filter(dead_letter::Column::DiedAt.lte(began.millis()))
                .order_by_asc(dead_letter::Column::DiedAt)
                .order_by_asc(dead_letter::Column::Id)
                .limit(100);
            if let Some(consumer) = consumer {
                rows = rows.filter(dead_letter::Column::Consumer.eq(consumer));
            }
            let rows = rows.all(self.db.primary()).await?;
            if rows.is_empty() {
                return Ok(count);
            }
            for row in rows {
                count += u64::from(self.replay(actor, row.id.into()).await?);
            }
        }
    }

    /// Removes every event about `subject` that waits for a consumer or was given up, because
    /// it names somebody whose data must go; how many.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn forget_subject(unit: &WriteUnit, subject: &str) -> Result<u64, DbErr> {
        let recorded = outbox::Entity::delete_many().filter(outbox::Column::Subject.eq(subject));
        let waiting = delivery::Entity::delete_many().filter(delivery::Column::Subject.eq(subject));
        let dead = dead_letter::Entity::delete_many().filter(dead_letter::Column::Subject.eq(subject));
        let gone = recorded.exec(unit).await?.rows_affected + waiting.exec(unit).await?.rows_affected;
        Ok(gone + dead.exec(unit).await?.rows_affected)
    }

    /// Throws it away. False if it is not there any more.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn discard(&self, actor: &Actor, id: DeadLetterId) -> Result<bool, DbErr> {
        let Some(row) = dead_letter::Entity::find_by_id(id.uuid()).one(self.db.primary()).await? else {
            return Ok(false);
        };
        let unit = self.db.write(actor).await?;
        if dead_letter::Entity::delete_by_id(id.uuid()).exec(&unit).await?.rows_affected == 0 {
            return Ok(false);
        }
        unit.audit(audit("dead_letter.discarded", &row));
        unit.commit().await?;
        Ok(true)
    }
}

fn audit(action: &'static str, row: &dead_letter::Model) -> AuditEntry {
    AuditEntry::new(action, format!("dead_letter/{}", row.id))
        .note("consumer", &row.consumer)
        .note("kind", &row.kind)
        .note("event_id", row.event_id)
}
