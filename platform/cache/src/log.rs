//! Follows the log of invalidations.

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use mainstay_core::{Actor, Rng};
use mainstay_db::{Db, Logged, Look, Place};
use sea_orm::DbErr;

use crate::metrics::CacheMetrics;
use crate::slots::Slots;
use crate::time::Time;

/// How long this node may not have looked into the log, and still believe what it keeps.
pub(crate) const TRUST_MS: i64 = 1000;

/// How often it looks, woken or not.
pub(crate) const LOOK_EVERY: Duration = Duration::from_millis(250);

/// How long after a look the next one begins at the earliest, however many commits wake this node.
pub(crate) const LEAST_PAUSE: Duration = Duration::from_millis(25);

/// How long a look may take. One that takes longer would not confirm much.
const PATIENCE: Duration = Duration::from_millis(700);

/// So many rows at a time. When a look finds more, this node forgets everything instead.
const MOST_ROWS: u32 = 20_000;

/// Rows are kept for two hours and more. Who has not looked for so long starts over.
const LOST_MS: i64 = 3_600_000;

/// So many invalidations wait for a database that is away; beyond that, everything is invalidated
/// when it is back.
const MOST_PENDING: usize = 10_000;

/// This node's place in the log.
#[derive(Debug)]
pub(crate) struct Log {
    db: Option<Db>,
    rng: Arc<dyn Rng>,
    reading: tokio::sync::Mutex<Reading>,
    /// Looks that were begun.
    begun: AtomicU64,
    /// Rows that this node wrote and has applied, and that were not read yet: their numbers and positions.
    own: Mutex<HashMap<i64, i64>>,
    /// Changes whose row could not be written yet.
    pending: Mutex<BTreeSet<u32>>,
    is_pending: AtomicBool,
    /// Held while they are written.
    telling: tokio::sync::Mutex<()>,
    /// The steady time of the last look.
    confirmed: AtomicI64,
    /// As of the last look.
    horizon: AtomicI64,
    name: Mutex<u128>,
    /// What was loaded behind an older horizon may have been invalidated by a row that is not known here.
    floor: AtomicI64,
}

#[derive(Debug, Default)]
struct Reading {
    /// The number of the last look, and whether it saw the log.
    last: (u64, bool),
    /// Up to where rows are applied. `None`: this node has not joined yet.
    place: Option<Place>,
}

/// The hash that stands for everything.
pub(crate) const EVERYTHING: u32 = u32::MAX;

impl Log {
    pub(crate) fn new(db: Option<Db>, rng: Arc<dyn Rng>) -> Self {
        Self {
            db,
            rng,
            reading: tokio::sync::Mutex::default(),
            begun: AtomicU64::new(0),
            own: Mutex::default(),
            pending: Mutex::default(),
            is_pending: AtomicBool::new(false),
            telling: tokio::sync::Mutex::default(),
            confirmed: AtomicI64::new(i64::MIN / 2),
            horizon: AtomicI64::new(0),
            name: Mutex::new(0),
            floor: AtomicI64::new(i64::MIN),
        }
    }

    pub(crate) fn db(&self) -> Option<&Db> {
        self.db.as_ref()
    }

    pub(crate) fn horizon(&self) -> i64 {
        self.horizon.load(Ordering::SeqCst)
    }

    /// What tells this log from every other.
    pub(crate) fn name(&self) -> u128 {
        *self.name.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether what was known at the steady time `since`, or at the last look, is good enough now.
    pub(crate) fn is_trusted(&self, time: &Time, since: i64) -> bool {
        self.db.is_none() || {
            let now = time.steady();
            now - self.confirmed.load(Ordering::Acquire).max(since) <= TRUST_MS
        }
    }

    /// Whether what was loaded elsewhere can be judged here.
    pub(crate) fn can_judge(&self, time: &Time) -> bool {
        self.db.is_some() && !self.is_pending() && self.is_trusted(time, i64::MIN / 2)
    }

    pub(crate) fn reaches(&self, horizon: i64) -> bool {
        horizon > self.floor.load(Ordering::Acquire)
    }

    /// This node's own row: it need not be applied when it is read.
    pub(crate) fn wrote(&self, logged: Logged) {
        // Before the first look nothing is read that would be applied. Some processes never look.
        if self.horizon() > 0 {
            let mut own = self.own.lock().unwrap_or_else(PoisonError::into_inner);
            own.insert(logged.id, logged.position);
        }
    }

    /// Writes a row of its own for a change that was committed before.
    pub(crate) async fn write(&self, slots: &Slots, hashes: &[u32]) {
        let Some(db) = &self.db else { return };
        match self.try_write(db, slots, hashes.iter().copied()).await {
            Ok(()) => {}
            Err(error) => {
                tracing::warn!(%error, "an invalidation waits for the database");
                let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
                pending.extend(hashes);
                if pending.len() > MOST_PENDING {
                    *pending = BTreeSet::from([EVERYTHING]);
                }
                self.is_pending.store(true, Ordering::Release);
            }
        }
        // Once more: until the row was known here, an old entry out of Redis could pass for a new one.
        if hashes.contains(&EVERYTHING) {
            slots.invalidate_everything();
        } else {
            slots.invalidate(hashes);
        }
    }

    async fn try_write(
        &self,
        db: &Db,
        slots: &Slots,
        hashes: impl IntoIterator<Item = u32>,
    ) -> Result<(), DbErr> {
        let hashes: Vec<u32> = hashes.into_iter().collect();
        let unit = db.write(&Actor::system("cache")).await?;
        unit.invalidate(hashes.iter().copied());
        let (sender, receiver) = std::sync::mpsc::channel();
        unit.after_commit(move |logged| {
            let _nobody_waits = sender.send(logged);
        });
        unit.commit().await?;
        if let Ok(Some(logged)) = receiver.try_recv() {
            slots.log(&hashes, logged.position);
            if hashes.contains(&EVERYTHING) {
                self.floor.fetch_max(logged.position, Ordering::AcqRel);
            }
            self.wrote(logged);
        }
        Ok(())
    }

    /// Looks into the log and applies what is new. One look serves all who began to wait before it.
    pub(crate) async fn look(&self, slots: &Slots, time: &Time, metrics: &CacheMetrics) -> bool {
        let Some(db) = &self.db else { return true };
        let wanted = self.begun.load(Ordering::SeqCst) + 1;
        let mut reading = self.reading.lock().await;
        if reading.last.0 < wanted {
            let number = self.begun.fetch_add(1, Ordering::SeqCst) + 1;
            reading.last = (number, self.look_once(db, &mut reading, slots, time, metrics).await);
        }
        reading.last.1
    }

    async fn look_once(
        &self,
        db: &Db,
        reading: &mut Reading,
        slots: &Slots,
        time: &Time,
        metrics: &CacheMetrics,
    ) -> bool {
        let started = time.steady();
        if reading.place.is_some() && started - self.confirmed.load(Ordering::Acquire) > LOST_MS {
            self.forget(reading, slots);
        }
        metrics.looks.inc();
        let from = reading.place.clone().unwrap_or(Place::START);
        let look = db.invalidations(&from, MOST_ROWS);
        let look = match tokio::time::timeout(time.patience(PATIENCE), look).await {
            Ok(Ok(look)) => look,
            Ok(Err(error)) => {
                metrics.failed_looks.inc();
                tracing::debug!(%error, "the log of invalidations can't be read");
                return false;
            }
            Err(_) => {
                metrics.failed_looks.inc();
                tracing::debug!("the log of invalidations is not read in time");
                return false;
            }
        };
        let has_joined = reading.place.is_some();
        if has_joined && look.log == self.name() && look.place.horizon() < self.horizon() {
            // It only grows. So the database lost its newest changes, as after a change of hands to a copy
            // that lagged, and gives their positions out again.
            tracing::warn!("the database was put back to an earlier state: the cache starts anew");
            let name = u128::from_le_bytes(self.rng.bytes::<16>());
            let renamed =
                tokio::time::timeout(time.patience(PATIENCE), db.rename_invalidation_log(name)).await;
            if !matches!(renamed, Ok(Ok(()))) {
                return false;
            }
            self.forget(reading, slots);
            // The next look finds the new name.
            return false;
        }
        if has_joined && look.log != self.name() {
            self.forget(reading, slots);
            return false;
        }
        self.apply(reading, look, slots, metrics);
        self.confirmed.store(started, Ordering::Release);
        true
    }

    /// Starts over.
    fn forget(&self, reading: &mut Reading, slots: &Slots) {
        reading.place = None;
        self.own.lock().unwrap_or_else(PoisonError::into_inner).clear();
        self.confirmed.store(i64::MIN / 2, Ordering::Release);
        self.horizon.store(0, Ordering::SeqCst);
        self.floor.store(i64::MIN, Ordering::Release);
        slots.forget_log();
        slots.invalidate_everything();
    }

    /// Whether others have yet to be told of something.
    pub(crate) fn is_pending(&self) -> bool {
        self.is_pending.load(Ordering::Acquire)
    }

    /// Tells others what they could not be told before, unless that is under way. Not to be cut off: whoever waits for a
    /// connection that can write would lose their place, and what was committed unheard would be told again.
    pub(crate) async fn deliver(&self, slots: &Slots) {
        let Some(db) = &self.db else { return };
        let Ok(_alone) = self.telling.try_lock() else { return };
        if !self.is_pending() {
            return;
        }
        let waiting = self.pending.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Err(error) = self.try_write(db, slots, waiting.iter().copied()).await {
            tracing::debug!(%error, "an invalidation still waits for the database");
            return;
        }
        let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        pending.retain(|hash| !waiting.contains(hash));
        self.is_pending.store(!pending.is_empty(), Ordering::Release);
    }

    fn apply(&self, reading: &mut Reading, look: Look, slots: &Slots, metrics: &CacheMetrics) {
        let Look { log, place, rows } = look;
        *self.name.lock().unwrap_or_else(PoisonError::into_inner) = log;
        let is_cut_off = rows.len() >= MOST_ROWS as usize;
        let has_joined = reading.place.is_some();
        if !has_joined || is_cut_off {
            // Of rows that are not there any more nothing is known; they were all below the ones that are. Numbers
            // begin with 1.
            let has_all = !is_cut_off && rows.iter().any(|row| row.id == 1);
            let lowest = rows.iter().map(|row| row.position).min().filter(|_| !has_all);
            self.floor.fetch_max(lowest.unwrap_or(i64::MIN), Ordering::AcqRel);
            // Of what was kept before this node joined, the log can't tell whether it was changed since: the row may be
            // gone, and what was loaded a moment before the row came is not told from what was loaded after it.
            slots.invalidate_everything();
        }
        let mut own = self.own.lock().unwrap_or_else(PoisonError::into_inner);
        for row in &rows {
            slots.log(&row.hashes, row.position);
            if row.hashes.contains(&EVERYTHING) {
                self.floor.fetch_max(row.position, Ordering::AcqRel);
            }
            // What was kept before this node joined is not believed anyway.
            if own.remove(&row.id).is_none() && has_joined {
                metrics.invalidations.inc();
                if row.hashes.contains(&EVERYTHING) {
                    slots.invalidate_everything();
                } else {
                    slots.invalidate(&row.hashes);
                }
            }
        }
        // What is settled was read, if only before this node knew that the row is its own.
        own.retain(|_, position| *position >= place.horizon());
        drop(own);
        // After the rows: a load behind this horizon is judged by them.
        self.horizon.fetch_max(place.horizon(), Ordering::SeqCst);
        reading.place = Some(place);
    }
}

#[cfg(test)]
mod tests {
    use mainstay_core::{OsRng, SystemClock};
    use mainstay_db::Invalidation;
    use mainstay_db::testing::TestDatabase;
    use mainstay_telemetry::Metrics;

    use super::*;
    use crate::Steady;

    fn log(db: Option<Db>) -> (Log, Slots, Time, CacheMetrics) {
        let time = Time::new(Arc::new(SystemClock), Steady::Clock);
        (Log::new(db, Arc::new(OsRng)), Slots::new(), time, CacheMetrics::new(&Metrics::new()))
    }

    #[tokio::test]
    async fn own_rows_are_not_remembered_for_ever() {
        let database = TestDatabase::migrated(&mainstay_db::trail::migrations()).await;
        let db = database.open();
        let (log, slots, time, metrics) = log(Some(db.clone()));
        let own = || log.own.lock().unwrap().len();
        log.write(&slots, &[1]).await;
        assert_eq!(own(), 0, "nobody has looked yet");
        assert!(log.look(&slots, &time, &metrics).await);
        log.write(&slots, &[1]).await;
        assert_eq!(own(), 1);
        assert!(log.look(&slots, &time, &metrics).await);
        assert_eq!(own(), 0);

        // One whose row was read before this node knew that it is its own.
        log.wrote(Logged { id: i64::MAX, position: log.horizon() });
        let settled = async {
            while own() > 0 {
                log.write(&slots, &[1]).await;
                log.look(&slots, &time, &metrics).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), settled).await.unwrap();

        log.wrote(Logged { id: i64::MAX, position: i64::MAX });
        db.rename_invalidation_log(7).await.unwrap();
        assert!(!log.look(&slots, &time, &metrics).await);
        assert_eq!(own(), 0);
    }

    #[tokio::test]
    async fn one_look_serves_all_who_began_to_wait_before_it() {
        let database = TestDatabase::migrated(&mainstay_db::trail::migrations()).await;
        let (log, slots, time, metrics) = log(Some(database.open()));
        // The first look has begun when the others come.
        let held = log.reading.lock().await;
        let looks = || log.look(&slots, &time, &metrics);
        let (mut first, mut second) = (std::pin::pin!(looks()), std::pin::pin!(looks()));
        tokio::select! {
            biased;
            _ = &mut first => unreachable!("the lock is held"),
            _ = &mut second => unreachable!("the lock is held"),
            () = std::future::ready(()) => {}
        }
        drop(held);
        assert_eq!(tokio::join!(first, second), (true, true));
        assert_eq!(metrics.looks.get(), 1);
        // Who comes later has another one.
        assert!(looks().await);
        assert_eq!(metrics.looks.get(), 2);
    }

    #[test]
    fn what_may_be_missing_below_the_rows_is_not_judged() {
        let look = |rows: &[(i64, i64)]| {
            let rows = rows.iter().map(|&(id, position)| Invalidation { id, position, hashes: vec![1] });
            Look { log: 7, place: Place::START, rows: rows.collect() }
        };
        let (log_of_all, slots, _, metrics) = log(None);
        log_of_all.apply(&mut Reading::default(), look(&[(1, 10), (2, 5)]), &slots, &metrics);
        assert!(log_of_all.reaches(i64::MIN + 1));
        let (purged, ..) = log(None);
        purged.apply(&mut Reading::default(), look(&[(2, 10), (3, 5)]), &slots, &metrics);
        assert_eq!((purged.reaches(5), purged.reaches(6)), (false, true));
    }
}
