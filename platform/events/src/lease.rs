//! Leases: of many nodes, one does it.
//!
//! A lease is taken when there is work, not held in advance, so that an idle
//! server writes nothing. Time decides only who may try: a node whose clock is wrong, or that
//! was asleep while its lease ran out, is stopped by the fence, a number that grows
//! with every change of hands and is checked inside the transaction of the effect.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use mainstay_core::{Actor, RequestId, Rng, Timestamp};
use mainstay_db::{Db, WriteUnit};
use sea_orm::sea_query::OnConflict;
use sea_orm::{
    ColumnTrait as _, DbErr, EntityTrait as _, IntoActiveModel as _, QueryFilter as _, QuerySelect as _,
};

use crate::entity::lease;

/// The leases of one node. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Leases(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    db: Db,
    owner: String,
    life: Duration,
    held: Mutex<HashMap<&'static str, Held>>,
}

#[derive(Clone, Copy, Debug)]
struct Held {
    fence: i64,
    until: Timestamp,
}

/// A lease that this node had when it last looked.
#[derive(Clone, Debug)]
pub struct Lease {
    name: &'static str,
    leases: Leases,
    fence: i64,
    is_new: bool,
}

/// A lease that seems to hold for longer than this was written by a clock that went wrong since: no
/// setting allows a life as long, and the fence protects whoever has it.
const LONGEST_LIFE: Duration = Duration::from_secs(600);

/// Why an effect under a lease did not happen.
#[derive(Debug, thiserror::Error)]
pub enum LeaseError {
    /// Another node has it by now.
    #[error("the lease {0} has passed to another node")]
    Lost(&'static str),
    /// The database failed.
    #[error(transparent)]
    Db(#[from] DbErr),
}

impl Leases {
    /// The leases of a node with a name of its own.
    #[must_use]
    pub fn new(db: Db, rng: &dyn Rng, life: Duration) -> Self {
        let owner = RequestId::from_random(rng.bytes()).to_string();
        Self(Arc::new(Inner { db, owner, life, held: Mutex::default() }))
    }

    /// Takes the lease `name`, or keeps it. `None` while another node has it.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn take(&self, name: &'static str) -> Result<Option<Lease>, DbErr> {
        let now = self.0.db.clock().now();
        let held = self.held().get(name).copied();
        // With half of its life left it need not be written again; with more than a whole one, the
        // clock was set back.
        if let Some(held) = held
            && held.until > now.after(self.0.life / 2)
            && held.until <= now.after(self.0.life)
        {
            return Ok(Some(self.lease(name, held.fence, false)));
        }
        let until = now.after(self.0.life);
        let fence = self.write(name, now, until).await?;
        let before = match fence {
            Some(fence) => self.held().insert(name, Held { fence, until }),
            None => self.held().remove(name),
        };
        Ok(fence.map(|fence| self.lease(name, fence, before.is_none_or(|before| before.fence != fence))))
    }

    async fn write(
        &self,
        name: &'static str,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<Option<i64>, DbErr> {
        let owner = &self.0.owner;
        let row = lease::Entity::find_by_id(name).one(self.0.db.primary()).await?;
        let holds = |row: &lease::Model| {
            row.expires_at > now.millis() && row.expires_at <= now.after(LONGEST_LIFE).millis()
        };
        if row.as_ref().is_some_and(|row| row.owner != *owner && holds(row)) {
            return Ok(None);
        }
        let unit = self.0.db.write(&Actor::system("leases")).await?;
        let fence = match row {
            None => {
                let row = lease::Model {
                    name: name.to_owned(),
                    owner: owner.clone(),
                    fence: 1,
                    expires_at: until.millis(),
                };
                let first = OnConflict::column(lease::Column::Name).do_nothing().to_owned();
                let insert = lease::Entity::insert(row.into_active_model()).on_conflict(first);
                (insert.exec_without_returning(&unit).await? == 1).then_some(1)
            }
            Some(row) => {
                let keeps = row.owner == *owner && holds(&row);
                let fence = if keeps { row.fence } else { row.fence + 1 };
                let update = lease::Entity::update_many()
                    .col_expr(lease::Column::Owner, owner.clone().into())
                    .col_expr(lease::Column::Fence, fence.into())
                    .col_expr(lease::Column::ExpiresAt, until.millis().into())
                    .filter(lease::Column::Name.eq(name))
                    .filter(lease::Column::Fence.eq(row.fence))
                    .filter(lease::Column::ExpiresAt.eq(row.expires_at));
                (update.exec(&unit).await?.rows_affected == 1).then_some(fence)
            }
        };
        unit.commit().await?;
        Ok(fence)
    }

    /// Gives every lease back, so that another node need not wait.
    ///
    /// # Errors
    /// If the database fails; they run out by themselves then.
    pub async fn give_back(&self) -> Result<(), DbErr> {
        if std::mem::take(&mut *self.held()).is_empty() {
            return Ok(());
        }
        let unit = self.0.db.write(&Actor::system("leases")).await?;
        lease::Entity::update_many()
            .col_expr(lease::Column::ExpiresAt, 0_i64.into())
            .filter(lease::Column::Owner.eq(&*self.0.owner))
            .exec(&unit)
            .await?;
        unit.commit().await
    }

    fn lease(&self, name: &'static str, fence: i64, is_new: bool) -> Lease {
        Lease { name, leases: self.clone(), fence, is_new }
    }

    /// Forgets a lease that turned out to be lost, so that the next [`Leases::take`] looks it up.
    fn lost(&self, name: &'static str, fence: i64) {
        let mut held = self.held();
        if held.get(name).is_some_and(|held| held.fence == fence) {
            held.remove(name);
        }
    }

    fn held(&self) -> std::sync::MutexGuard<'_, HashMap<&'static str, Held>> {
        self.0.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lease {
    /// Whether it came to this node just now: what was read before may be done by another.
    #[must_use]
    pub fn is_new(&self) -> bool {
        self.is_new
    }

    /// Makes the effect of `unit` depend on the lease: until it ends, no other node can take it.
    ///
    /// # Errors
    /// [`LeaseError::Lost`] if it has passed to another node already.
    pub async fn guard(&self, unit: &WriteUnit) -> Result<(), LeaseError> {
        let row = lease::Entity::find_by_id(self.name)
            .filter(lease::Column::Owner.eq(&*self.leases.0.owner))
            .filter(lease::Column::Fence.eq(self.fence))
            // SQLite has one writer, and this unit is it.
            .lock_shared()
            .one(unit)
            .await?;
        if row.is_none() {
            self.leases.lost(self.name, self.fence);
            return Err(LeaseError::Lost(self.name));
        }
        Ok(())
    }
}
