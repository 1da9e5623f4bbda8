//! Watches each replica: how old its data is, and whether it is one at all.
//!
//! Age is not what a replica says of itself: an idle primary and a dead link look the same
//! there. The primary is asked how far its log reaches; once a replica has replayed as far, it
//! is known to contain whatever was committed *before the question*. So its age
//! at any moment is at most the time since that question.

use std::collections::VecDeque;
use std::sync::{PoisonError, RwLock};
use std::time::{Duration, Instant};

use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection as _, PgConnection};
use tokio::sync::{Notify, watch};

use crate::dialect::{PG_PRIMARY_PLACE, PG_REPLICA_PLACE};

/// What is known of a replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ReplicaState {
    /// Not looked at yet.
    Unknown,
    /// Reads go to it.
    InUse,
    /// It answers, but its data may be older than the bound.
    Lagging,
    /// It does not answer.
    Down,
    /// It follows no primary: it is one itself.
    Promoted,
    /// It follows another primary, or the URL leads to another database.
    Foreign,
}

impl ReplicaState {
    /// Every state.
    pub const ALL: [Self; 6] =
        [Self::Unknown, Self::InUse, Self::Lagging, Self::Down, Self::Promoted, Self::Foreign];

    /// As metrics name it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::InUse => "in_use",
            Self::Lagging => "lagging",
            Self::Down => "down",
            Self::Promoted => "promoted",
            Self::Foreign => "foreign",
        }
    }
}

/// A place in the log of a server, and which server that is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) in_recovery: bool,
    /// `None` if it has none: a primary in recovery, a replica that replayed nothing yet.
    pub(super) lsn: Option<i64>,
    pub(super) system: i64,
    pub(super) timeline: i32,
    pub(super) database: String,
}

impl Place {
    /// What this replica is to that primary, its age aside.
    fn judged_by(&self, primary: &Self) -> Option<ReplicaState> {
        let same = self.system == primary.system && self.database == primary.database;
        match self.in_recovery {
            _ if !same => Some(ReplicaState::Foreign),
            false => Some(ReplicaState::Promoted),
            true if self.timeline != primary.timeline => Some(ReplicaState::Foreign),
            true => None,
        }
    }
}

/// Where the primary was, when it was asked.
#[derive(Clone, Debug)]
pub(super) struct Sighting {
    asked: Instant,
    place: Place,
}

pub(super) async fn primary_place(link: &mut PgConnection) -> Result<Place, sqlx::Error> {
    place(PG_PRIMARY_PLACE, link).await
}

pub(super) async fn replica_place(link: &mut PgConnection) -> Result<Place, sqlx::Error> {
    place(PG_REPLICA_PLACE, link).await
}

async fn place(sql: &'static str, link: &mut PgConnection) -> Result<Place, sqlx::Error> {
    let (in_recovery, lsn, system, timeline, database) = sqlx::query_as(sql).fetch_one(link).await?;
    Ok(Place { in_recovery, lsn, system, timeline, database })
}

/// In one sentence what `doctor` says of a replica; an error if it can't be used.
pub(super) fn verdict(primary: &Place, replica: &Place) -> Result<(), String> {
    if replica.system != primary.system {
        return Err("is a copy of another server".to_owned());
    }
    if replica.database != primary.database {
        return Err(format!("its URL names the database {}, not {}", replica.database, primary.database));
    }
    match replica.judged_by(primary) {
        None => Ok(()),
        Some(ReplicaState::Promoted) => {
            Err("is not in recovery: it was promoted, or is the primary".to_owned())
        }
        Some(_) => Err(format!(
            "is on timeline {}, the primary on {}: it follows another primary, or has replayed nothing of this one yet",
            replica.timeline, primary.timeline
        )),
    }
}

/// Asks the primary again and again where it is.
pub(super) async fn watch_primary(
    options: PgConnectOptions,
    interval: Duration,
    patience: Duration,
    sightings: watch::Sender<Option<Sighting>>,
) {
    let mut link = None;
    loop {
        let asked = Instant::now();
        let place = tokio::time::timeout(patience, async {
            primary_place(connected(&mut link, &options).await?).await
        });
        match place.await {
            Ok(Ok(place)) if !place.in_recovery => {
                sightings.send_replace(Some(Sighting { asked, place }));
            }
            Ok(Ok(_)) => tracing::debug!("database.url leads to a replica; no replica can be measured by it"),
            Ok(Err(error)) => {
                tracing::debug!(%error, "the primary does not say where it is");
                link = None;
            }
            Err(_) => link = None,
        }
        tokio::time::sleep(interval).await;
    }
}

async fn connected<'a>(
    link: &'a mut Option<PgConnection>,
    options: &PgConnectOptions,
) -> Result<&'a mut PgConnection, sqlx::Error> {
    match link {
        Some(link) => Ok(link),
        None => Ok(link.insert(PgConnection::connect_with(options).await?)),
    }
}

/// The health of one replica.
#[derive(Debug)]
pub(super) struct Health {
    /// Its number, from 1, and where it is: for the log.
    name: (usize, String),
    bound: Duration,
    known: RwLock<Known>,
    /// Wakes whoever waits for an answer of a replica that is lost.
    pub(super) lost: Notify,
}

#[derive(Clone, Copy, Debug)]
struct Known {
    state: ReplicaState,
    /// Whatever was committed before this moment is there. Forgotten when it is lost: after a crash it
    /// may begin again further back.
    contains: Option<Instant>,
    /// The same, not forgotten.
    contained: Option<Instant>,
    /// How many good answers came in a row.
    good: u32,
}

/// A replica that was out comes back after so many good answers, so that one at the edge does not
/// come and go.
const GOOD: u32 = 3;

impl Health {
    pub(super) fn new(name: (usize, String), bound: Duration) -> Self {
        let known = Known { state: ReplicaState::Unknown, contains: None, contained: None, good: 0 };
        Self { name, bound, known: RwLock::new(known), lost: Notify::new() }
    }

    fn known(&self) -> Known {
        *self.known.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_fresh(&self, known: Known, now: Instant) -> bool {
        known.contains.is_some_and(|at| now.saturating_duration_since(at) <= self.bound)
    }

    /// Whether reads may go there.
    pub(super) fn is_usable(&self, now: Instant) -> bool {
        let known = self.known();
        known.state == ReplicaState::InUse && self.is_fresh(known, now)
    }

    pub(super) fn state(&self, now: Instant) -> ReplicaState {
        let known = self.known();
        if known.state == ReplicaState::InUse && !self.is_fresh(known, now) {
            return ReplicaState::Lagging;
        }
        known.state
    }

    /// The age that its data may have. `None` if nothing is known.
    pub(super) fn age(&self, now: Instant) -> Option<Duration> {
        self.known().contained.map(|at| now.saturating_duration_since(at))
    }

    /// It does not answer: whoever waits for it asks the primary instead.
    pub(super) fn lose(&self) {
        self.set(ReplicaState::Down, None);
        self.lost.notify_waiters();
    }

    fn set(&self, state: ReplicaState, contains: Option<Instant>) {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        let before = known.state;
        let good = if state == ReplicaState::InUse { known.good.saturating_add(1) } else { 0 };
        let state = match state {
            // On its way back.
            ReplicaState::InUse if before != ReplicaState::InUse && good < GOOD => before,
            state => state,
        };
        let kept = known.contains.filter(|_| state != ReplicaState::Down);
        *known = Known { state, contains: contains.or(kept), contained: contains.or(known.contained), good };
        drop(known);
        let (replica, place) = (self.name.0, &self.name.1);
        match state {
            _ if state == before => {}
            ReplicaState::InUse => tracing::info!(replica, place, "reads go to the replica"),
            _ => tracing::warn!(replica, place, state = state.as_str(), "no reads go to the replica"),
        }
    }

    /// Asks the replica each time that the primary was seen.
    pub(super) async fn watch(
        &self,
        options: PgConnectOptions,
        patience: Duration,
        mut sightings: watch::Receiver<Option<Sighting>>,
    ) {
        let mut link = None;
        let mut awaited: VecDeque<Sighting> = VecDeque::new();
        while sightings.changed().await.is_ok() {
            let Some(sighting) = sightings.borrow_and_update().clone() else { continue };
            let primary = sighting.place.clone();
            awaited.push_back(sighting);
            let place = tokio::time::timeout(patience, async {
                replica_place(connected(&mut link, &options).await?).await
            });
            let Ok(Ok(place)) = place.await else {
                link = None;
                self.lose();
                continue;
            };
            if let Some(state) = place.judged_by(&primary) {
                awaited.clear();
                self.set(state, None);
                continue;
            }
            let mut contains = None;
            while let Some(reached) = awaited.front().filter(|sighting| {
                sighting.place.timeline == place.timeline && sighting.place.lsn <= place.lsn
            }) {
                contains = Some(reached.asked);
                awaited.pop_front();
            }
            // Sightings older than the bound would tell nothing new.
            let now = Instant::now();
            awaited.retain(|sighting| now.saturating_duration_since(sighting.asked) <= self.bound);
            let known = contains.or(self.known().contains);
            let fresh = known.is_some_and(|at| now.saturating_duration_since(at) <= self.bound);
            self.set(if fresh { ReplicaState::InUse } else { ReplicaState::Lagging }, contains);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(in_recovery: bool) -> Place {
        Place { in_recovery, lsn: Some(1), system: 7, timeline: 1, database: "mainstay".to_owned() }
    }

    #[test]
    fn only_a_copy_of_this_primary_that_still_follows_it_is_a_replica() {
        let primary = place(false);
        assert_eq!(place(true).judged_by(&primary), None);
        assert_eq!(primary.judged_by(&primary), Some(ReplicaState::Promoted));
        for other in [
            Place { system: 8, ..place(true) },
            Place { timeline: 2, ..place(true) },
            Place { database: "other".to_owned(), ..place(true) },
        ] {
            assert_eq!(other.judged_by(&primary), Some(ReplicaState::Foreign), "{other:?}");
            assert!(verdict(&primary, &other).is_err());
        }
    }

    #[test]
    fn a_replica_is_dropped_at_its_bound_and_at_once_when_lost_and_comes_back_after_a_while() {
        let bound = Duration::from_millis(500);
        let health = Health::new((1, "here".to_owned()), bound);
        let now = Instant::now();
        assert_eq!(health.state(now), ReplicaState::Unknown);
        for _ in 0..GOOD {
            assert!(!health.is_usable(now));
            health.set(ReplicaState::InUse, Some(now));
        }
        assert!(health.is_usable(now + bound));
        let late = now + bound + Duration::from_millis(1);
        assert!(!health.is_usable(late));
        assert_eq!(health.state(late), ReplicaState::Lagging);
        health.set(ReplicaState::InUse, Some(late));
        assert!(health.is_usable(late));
        health.lose();
        assert_eq!((health.is_usable(late), health.state(late)), (false, ReplicaState::Down));
    }
}
