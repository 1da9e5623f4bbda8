//! What a change leaves behind beside its rows: events for other apps (the
//! outbox) and entries of the audit log. Both are written in its own transaction, each with at
//! most one statement, whatever their number.

mod migration;

use std::collections::BTreeSet;

use mainstay_core::{Actor, AuditEntry, Clock, EventData, Ids};
use sea_orm::sea_query::{Alias, Expr, Query};
use sea_orm::{ConnectionTrait, DbErr, Value};
use serde_json::Value as Json;
use uuid::Uuid;

pub use migration::migrations;

/// The topic of [`Signals`](crate::Signals) that is woken when a commit left events.
pub const OUTBOX: &str = "outbox";

/// The topic that is woken when a commit left entries of the audit log.
pub const AUDIT_LOG: &str = "audit_log";

/// The rows that one insert may have: PostgreSQL takes 65,535 values a statement.
const MOST_ROWS: usize = 1000;

/// What was said of one change so far.
#[derive(Debug, Default)]
pub(crate) struct Trail {
    events: Vec<Recorded>,
    entries: Vec<AuditEntry>,
    /// Whom to wake after the commit.
    topics: BTreeSet<&'static str>,
    /// What caches must no longer believe.
    pub(crate) stale: BTreeSet<u32>,
}

#[derive(Debug)]
struct Recorded {
    kind: &'static str,
    subject: String,
    data: Json,
}

impl Trail {
    pub(crate) fn emit(&mut self, event: &impl EventData) {
        let data = serde_json::to_value(event).expect("events are plain data, which serializes");
        self.wake(OUTBOX);
        self.events.push(Recorded { kind: event_kind(event), subject: event.subject(), data });
    }

    pub(crate) fn audit(&mut self, entry: AuditEntry) {
        self.wake(AUDIT_LOG);
        self.entries.push(entry);
    }

    pub(crate) fn wake(&mut self, topic: &'static str) {
        self.topics.insert(topic);
    }

    /// Writes it all. `actor` is who did it, `clock` when. Gives the topics to wake after the commit.
    pub(crate) async fn write(
        self,
        connection: &impl ConnectionTrait,
        actor: &Actor,
        clock: &dyn Clock,
        ids: &Ids,
    ) -> Result<BTreeSet<&'static str>, DbErr> {
        if self.events.is_empty() && self.entries.is_empty() {
            return Ok(self.topics);
        }
        let now = clock.now().millis();
        let who = actor.kind.to_string();
        let request_id = actor.request_id.as_ref().map(|id| id.as_str().to_owned());
        let address = actor.address.map(|address| address.to_string());

        let events = self.events.into_iter().map(|event| {
            let id: Uuid = ids.make();
            let data = event.data.to_string();
            let values: [Value; 7] = [
                id.into(),
                event.kind.into(),
                event.subject.into(),
                who.clone().into(),
                request_id.clone().into(),
                now.into(),
                data.into(),
            ];
            values
        });
        let columns = ["id", "kind", "subject", "actor", "request_id", "occurred_at", "data"];
        insert(connection, "outbox", columns, events).await?;

        let entries = self.entries.into_iter().map(|entry| {
            let id: Uuid = ids.make();
            let object = |map: &serde_json::Map<String, Json>| {
                (!map.is_empty()).then(|| Json::Object(map.clone()).to_string())
            };
            let values: [Value; 9] = [
                id.into(),
                now.into(),
                who.clone().into(),
                request_id.clone().into(),
                address.clone().into(),
                entry.action().into(),
                entry.target().into(),
                object(entry.changes()).into(),
                object(entry.details()).into(),
            ];
            values
        });
        let columns =
            ["id", "at", "actor", "request_id", "address", "action", "target", "changes", "details"];
        insert(connection, "audit_log", columns, entries).await?;
        Ok(self.topics)
    }
}

fn event_kind<E: EventData>(_: &E) -> &'static str {
    E::KIND
}

/// One statement for all rows, or one a thousand.
async fn insert<const N: usize>(
    connection: &impl ConnectionTrait,
    table: &'static str,
    columns: [&'static str; N],
    rows: impl Iterator<Item = [Value; N]>,
) -> Result<(), DbErr> {
    let mut rows = rows.peekable();
    while rows.peek().is_some() {
        let mut insert = Query::insert();
        insert.into_table(Alias::new(table)).columns(columns.map(Alias::new));
        for row in rows.by_ref().take(MOST_ROWS) {
            insert.values_panic(row.map(Expr::value));
        }
        connection.execute(&insert).await?;
    }
    Ok(())
}
