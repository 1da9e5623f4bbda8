//! How many posts there are: exactly, and without counting them all for every list.
//!
//! PostgreSQL counts by looking at every row. A counter row would be cheap to read, but every post
//! would wait for the one before to let go of it, which is what makes posting quick now. So each node
//! remembers a count of the old posts, and a list only counts those that came after.
//!
//! **Old** means: their number can't change any more. Ids are given out in order but committed in any,
//! so the posts up to an id are complete only when no transaction that got a smaller one can still
//! commit. A node notes the largest id, waits for longer than any transaction lives ([`SETTLED`]), and
//! then counts what is up to it. It does so anew each time, so that what an operator removes by
//! hand is noticed too.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use mainstay_core::{Actor, Timestamp};
use mainstay_db::Db;
use sea_orm::DbErr;

use crate::repo;

/// No transaction that adds a post is older: requests are given up after half a minute, statements and
/// idle transactions ended by the database.
const SETTLED: Duration = Duration::from_secs(120);

/// What this node knows. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Totals(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    known: Mutex<Known>,
    /// Held by the one who counts anew; the others go on with what is known.
    counting: tokio::sync::Mutex<()>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Known {
    /// How many posts have no larger id than `up_to`.
    count: u64,
    up_to: i64,
    /// The largest id at a time. `None`: none was noted yet.
    noted: Option<(i64, Timestamp)>,
}

impl Totals {
    /// How many posts there are.
    pub(crate) async fn total(&self, db: &Db, actor: &Actor) -> Result<u64, DbErr> {
        self.settle(db).await?;
        let Known { count, up_to, .. } = self.known();
        Ok(count + repo::count(db.read(actor), up_to, None).await?)
    }

    async fn settle(&self, db: &Db) -> Result<(), DbErr> {
        let now = db.clock().now();
        let is_due = |known: &Known| known.noted.is_none_or(|(_, at)| now.since(at) >= SETTLED);
        if !is_due(&self.known()) {
            return Ok(());
        }
        let Ok(_alone) = self.0.counting.try_lock() else { return Ok(()) };
        let known = self.known();
        if !is_due(&known) {
            return Ok(());
        }
        let (count, up_to) = match known.noted {
            Some((id, _)) => (repo::count(db.primary(), 0, Some(id)).await?, id),
            None => (0, 0),
        };
        let noted = Some((repo::last_id(db.primary()).await?, now));
        *self.0.known.lock().unwrap_or_else(PoisonError::into_inner) = Known { count, up_to, noted };
        Ok(())
    }

    fn known(&self) -> Known {
        *self.0.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
