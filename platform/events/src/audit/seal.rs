use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use mainstay_core::Actor;
use mainstay_core::seal::RootKey;
use mainstay_db::{Db, WriteUnit};
use sea_orm::sea_query::{Expr, ExprTrait, OnConflict, Query};
use sea_orm::{
    ColumnTrait as _, DbErr, EntityTrait as _, IntoActiveModel as _, QueryFilter as _, QueryOrder as _,
    QuerySelect as _,
};

use super::{Chain, ORIGIN};
use crate::Leases;
use crate::entity::{audit_anchor, audit_entry, audit_seal};
use crate::lease::LeaseError;
use crate::metrics::EventMetrics;
use crate::worker::{BoxError, Next, Worker};

/// Seals at once.
const PORTION: u64 = 500;

/// An entry that has not appeared after this long was rolled back: its number stays unused.
const LATE: Duration = Duration::from_secs(120);

/// Chains new entries of the audit log.
#[derive(Clone, Debug)]
pub struct Sealer {
    db: Db,
    leases: Leases,
    chain: Chain,
    metrics: EventMetrics,
    /// No unsealed entry is expected at or below this number.
    sealed_through: Arc<AtomicI64>,
    /// When that was found out, in milliseconds since 1970.
    start_found_at: Arc<AtomicI64>,
}

impl Sealer {
    pub(crate) fn new(db: Db, leases: Leases, root_key: &RootKey, metrics: EventMetrics) -> Self {
        let chain = Chain::new(&root_key.derive("audit chain"));
        Self {
            db,
            leases,
            chain,
            metrics,
            sealed_through: Arc::default(),
            start_found_at: Arc::new(AtomicI64::new(i64::MIN)),
        }
    }

    /// Seals what is there.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn seal_some(&self) -> Result<usize, BoxError> {
        self.find_start().await?;
        let entries = self.unsealed(self.sealed_through.load(Ordering::Relaxed)).await?;
        self.metrics.unsealed.set(i64::try_from(entries.len()).unwrap_or(i64::MAX));
        if entries.is_empty() {
            return Ok(0);
        }
        let Some(lease) = self.leases.take("audit.sealer").await? else { return Ok(0) };
        let unit = self.db.write(&Actor::system("audit.sealer")).await?;
        lease.guard(&unit).await?;
        // Read again under the guard: another node may have sealed some of them.
        let entries = if lease.is_new() {
            drop(entries);
            self.unsealed_in(&unit, self.sealed_through.load(Ordering::Relaxed)).await?
        } else {
            entries
        };
        if entries.is_empty() {
            return Ok(0);
        }
        let now = self.db.clock().now();
        let (mut position, mut hash) = self.end(&unit).await?;
        let mut seals = Vec::with_capacity(entries.len());
        for entry in &entries {
            position += 1;
            let changes_digest = entry.changes.as_deref().map(|changes| self.chain.digest(changes));
            hash = self.chain.seal(&hash, position, entry, changes_digest.as_deref());
            seals.push(audit_seal::Model {
                position,
                entry_seq: entry.seq,
                changes_digest,
                hash: hash.clone(),
                sealed_at: now.millis(),
            });
        }
        let rows = seals.into_iter().map(sea_orm::IntoActiveModel::into_active_model);
        audit_seal::Entity::insert_many(rows).exec_without_returning(&unit).await?;
        let anchor = audit_anchor::Model { id: 1, position, mac: self.chain.anchor(position, &hash) };
        let replace = OnConflict::column(audit_anchor::Column::Id)
            .update_columns([audit_anchor::Column::Position, audit_anchor::Column::Mac])
            .to_owned();
        audit_anchor::Entity::insert(anchor.into_active_model())
            .on_conflict(replace)
            .exec_without_returning(&unit)
            .await?;
        unit.commit().await?;
        Ok(entries.len())
    }

    /// What the next seal follows. Where the end is not what was anchored, a position stays free, so
    /// that going on does not hide for good that something was cut off.
    async fn end(&self, unit: &WriteUnit) -> Result<(i64, String), DbErr> {
        let last = audit_seal::Entity::find().order_by_desc(audit_seal::Column::Position).one(unit).await?;
        let (position, hash) = last.map_or((0, ORIGIN.to_owned()), |last| (last.position, last.hash));
        let anchor = audit_anchor::Entity::find_by_id(1).one(unit).await?;
        if self.chain.ends_at(position, &hash, anchor.as_ref()) {
            return Ok((position, hash));
        }
        let anchored = anchor.map_or(0, |anchor| anchor.position);
        tracing::error!(position, anchored, "the end of the audit log's chain is not what was sealed");
        // An anchor that somebody else wrote may say anything.
        let skipped = if anchored > position && anchored < i64::MAX / 2 { anchored } else { position + 1 };
        Ok((skipped, hash))
    }

    /// Looks from time to time where to look from: what was sealed long ago leaves nothing behind it.
    async fn find_start(&self) -> Result<(), DbErr> {
        let now = self.db.clock().now().millis();
        let found_at = self.start_found_at.load(Ordering::Relaxed);
        if (found_at..found_at.saturating_add(millis(LATE))).contains(&now) {
            return Ok(());
        }
        let old = audit_seal::Entity::find()
            .filter(audit_seal::Column::SealedAt.lt(now - millis(LATE)))
            .order_by_desc(audit_seal::Column::Position)
            .one(self.db.primary())
            .await?;
        let start = old.map_or(0, |seal| Ord::max(seal.entry_seq - 10_000, 0));
        self.sealed_through.store(start, Ordering::Relaxed);
        self.start_found_at.store(now, Ordering::Relaxed);
        Ok(())
    }

    async fn unsealed(&self, after: i64) -> Result<Vec<audit_entry::Model>, DbErr> {
        self.unsealed_in(self.db.primary(), after).await
    }

    async fn unsealed_in(
        &self,
        connection: &impl sea_orm::ConnectionTrait,
        after: i64,
    ) -> Result<Vec<audit_entry::Model>, DbErr> {
        unsealed(after).limit(PORTION).all(connection).await
    }

    pub(crate) fn worker(&self) -> Worker {
        let sealer = self.clone();
        let seal = move || {
            let sealer = sealer.clone();
            async move {
                let sealed = sealer.seal_some().await.or_else(|error| match error.downcast_ref() {
                    Some(LeaseError::Lost(_)) => Ok(0),
                    _ => Err(error),
                })?;
                Ok(if sealed as u64 == PORTION { Next::Again } else { Next::Wait })
            }
        };
        Worker::new("audit.sealer", seal).woken_by(mainstay_db::trail::AUDIT_LOG)
    }
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// Entries after this number that no seal names, oldest first.
pub(super) fn unsealed(after: i64) -> sea_orm::Select<audit_entry::Entity> {
    let seal = Query::select()
        .expr(Expr::val(1))
        .from(audit_seal::Entity)
        .and_where(
            Expr::col((audit_seal::Entity, audit_seal::Column::EntrySeq))
                .eq(Expr::col((audit_entry::Entity, audit_entry::Column::Seq))),
        )
        .to_owned();
    audit_entry::Entity::find()
        .filter(audit_entry::Column::Seq.gt(after))
        .filter(Expr::exists(seal).not())
        .order_by_asc(audit_entry::Column::Seq)
}
