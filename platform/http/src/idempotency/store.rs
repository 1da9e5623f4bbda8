//! The table of answers.

use std::time::Duration;

use mainstay_core::{Actor, Clock, Timestamp};
use mainstay_db::{Db, Migration, Steps, WriteUnit};
use sea_orm::sea_query::{
    Alias, ColumnDef, Expr, ExprTrait as _, Index, LockBehavior, LockType, OnConflict, Query, Table,
};
use sea_orm::{ConnectionTrait, DbErr};

use super::Slot;

const TABLE: &str = "idempotency_keys";

/// How long an answer is kept.
const KEPT: Duration = Duration::from_secs(24 * 60 * 60);

/// The most rows that a purge deletes in one transaction: other writers wait for no more than that.
const BATCH_ROWS: u64 = 500;

/// A row's content. The body is sealed.
#[derive(Debug)]
pub(super) struct Stored {
    pub(super) fingerprint: String,
    pub(super) status: u16,
    pub(super) location: Option<String>,
    pub(super) etag: Option<String>,
    pub(super) content_type: Option<String>,
    pub(super) sealed_body: String,
}

/// The steps of the table that remembers answers by `Idempotency-Key`.
#[must_use]
pub fn migrations() -> Vec<Migration> {
    vec![Migration { app: "platform", version: 20_261_121_140_300, name: "idempotency_keys", up, down }]
}

fn up(steps: &mut Steps) {
    let by_code_point = steps.dialect().binary_collation();
    let column = |name: &str| ColumnDef::new(Alias::new(name));
    let text = |name: &str| column(name).text().extra(by_code_point).to_owned();
    let mut key = Index::create();
    key.name("idempotency_keys_pkey").col(Alias::new("scope")).col(Alias::new("key"));
    steps.run(
        Table::create()
            .table(Alias::new(TABLE))
            .col(text("scope").not_null())
            .col(text("key").not_null())
            .col(text("request_hash").not_null())
            .col(column("status").integer().not_null())
            .col(text("location"))
            .col(text("etag"))
            .col(text("content_type"))
            .col(text("sealed_body").not_null())
            .col(column("created_at").big_integer().not_null())
            .col(column("expires_at").big_integer().not_null())
            .primary_key(&mut key),
    );
    steps.run(
        Index::create()
            .name("idempotency_keys_expires_at_idx")
            .table(Alias::new(TABLE))
            .col(Alias::new("expires_at")),
    );
}

fn down(steps: &mut Steps) {
    steps.run(Table::drop().table(Alias::new(TABLE)));
}

/// The answer in this slot, unless it has expired.
pub(super) async fn find(
    connection: &impl ConnectionTrait,
    slot: &Slot,
    now: Timestamp,
) -> Result<Option<Stored>, DbErr> {
    let mut select = Query::select();
    select
        .columns(
            ["request_hash", "status", "location", "etag", "content_type", "sealed_body"].map(Alias::new),
        )
        .from(Alias::new(TABLE))
        .and_where(Expr::col(Alias::new("scope")).eq(slot.scope.as_str()))
        .and_where(Expr::col(Alias::new("key")).eq(slot.key.as_str()))
        .and_where(Expr::col(Alias::new("expires_at")).gt(now.millis()));
    let Some(row) = connection.query_one(&select).await? else { return Ok(None) };
    Ok(Some(Stored {
        fingerprint: row.try_get("", "request_hash")?,
        status: u16::try_from(row.try_get::<i32>("", "status")?).unwrap_or(500),
        location: row.try_get("", "location")?,
        etag: row.try_get("", "etag")?,
        content_type: row.try_get("", "content_type")?,
        sealed_body: row.try_get("", "sealed_body")?,
    }))
}

/// Puts an answer into its slot, over one that has expired. False if another one
/// is there: somebody was quicker, and the unit must not be committed.
///
/// A row that another transaction has not committed yet is waited for.
pub(super) async fn keep(
    unit: &WriteUnit,
    slot: &Slot,
    answer: &Stored,
    now: Timestamp,
) -> Result<bool, DbErr> {
    const OTHERS: [&str; 8] = [
        "request_hash",
        "status",
        "location",
        "etag",
        "content_type",
        "sealed_body",
        "created_at",
        "expires_at",
    ];
    // One statement that takes no row instead of one that fails: an error would leave nothing
    // of a PostgreSQL transaction to go on with, and a DELETE before could meet another's INSERT.
    let expired = Expr::col((Alias::new(TABLE), Alias::new("expires_at"))).lte(now.millis());
    let replace = OnConflict::columns(["scope", "key"].map(Alias::new))
        .update_columns(OTHERS.map(Alias::new))
        .action_and_where(expired)
        .to_owned();
    let mut insert = Query::insert();
    insert
        .into_table(Alias::new(TABLE))
        .columns(["scope", "key"].into_iter().chain(OTHERS).map(Alias::new))
        .values_panic([
            slot.scope.as_str().into(),
            slot.key.as_str().into(),
            answer.fingerprint.as_str().into(),
            i32::from(answer.status).into(),
            Expr::value(answer.location.clone()),
            Expr::value(answer.etag.clone()),
            Expr::value(answer.content_type.clone()),
            answer.sealed_body.as_str().into(),
            now.millis().into(),
            now.after(KEPT).millis().into(),
        ])
        .on_conflict(replace);
    Ok(unit.execute(&insert).await?.rows_affected() == 1)
}

/// Deletes up to `limit` answers that have expired, in short transactions of their
/// own. Returns how many; as many as `limit` means that there may be more.
///
/// # Errors
/// The database's; what was deleted until then stays deleted.
pub async fn purge_idempotency_keys(db: &Db, clock: &dyn Clock, limit: u64) -> Result<u64, DbErr> {
    let actor = Actor::system("idempotency");
    let now = clock.now();
    let mut purged = 0;
    while purged < limit {
        let batch = std::cmp::min(BATCH_ROWS, limit - purged);
        let unit = db.write(&actor).await?;
        let deleted = delete_expired(&unit, now, batch).await?;
        unit.commit().await?;
        purged += deleted;
        if deleted < batch {
            break;
        }
    }
    Ok(purged)
}

async fn delete_expired(unit: &WriteUnit, now: Timestamp, most: u64) -> Result<u64, DbErr> {
    let expired = || Expr::col(Alias::new("expires_at")).lte(now.millis());
    let key = || Expr::tuple(["scope", "key"].map(|name| Expr::col(Alias::new(name))));
    let mut oldest = Query::select();
    oldest
        .columns(["scope", "key"].map(Alias::new))
        .from(Alias::new(TABLE))
        .and_where(expired())
        .order_by(Alias::new("expires_at"), sea_orm::Order::Asc)
        .limit(most)
        // A request that is replacing an expired row holds it until its own end.
        .lock_with_behavior(LockType::Update, LockBehavior::SkipLocked);
    let mut delete = Query::delete();
    // Asked twice: between the two a row may have been replaced by one that is valid.
    delete.from_table(Alias::new(TABLE)).and_where(key().in_subquery(oldest)).and_where(expired());
    Ok(unit.execute(&delete).await?.rows_affected())
}
