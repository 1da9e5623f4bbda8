//! A gate with a narrow passage for each key.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Lets few pass at a time for one key; the others wait, not too many and not too long.
#[derive(Clone, Debug)]
pub(crate) struct Gate(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    at_once: usize,
    waiting: usize,
    patience: Duration,
    lanes: Mutex<HashMap<String, Lane>>,
}

#[derive(Debug)]
struct Lane {
    passage: Arc<Semaphore>,
    /// Those inside and those who wait.
    present: usize,
}

/// Too many wait, or one waited too long.
#[derive(Debug, thiserror::Error)]
#[error("too many wait for the same thing")]
pub(crate) struct Crowded;

/// The right to be inside. Dropped, the next one enters.
#[derive(Debug)]
pub(crate) struct Pass {
    _permit: OwnedSemaphorePermit,
    _place: Place,
}

#[derive(Debug)]
struct Place {
    gate: Gate,
    key: String,
}

/// Most keys with somebody inside or waiting.
const MOST_LANES: usize = 4096;

impl Gate {
    pub(crate) fn new(at_once: usize, waiting: usize, patience: Duration) -> Self {
        Self(Arc::new(Inner { at_once, waiting, patience, lanes: Mutex::default() }))
    }

    pub(crate) async fn enter(&self, key: &str) -> Result<Pass, Crowded> {
        let (place, passage) = self.line_up(key)?;
        let permit = tokio::time::timeout(self.0.patience, passage.acquire_owned()).await;
        let permit = permit.map_err(|_| Crowded)?.map_err(|_| Crowded)?;
        Ok(Pass { _permit: permit, _place: place })
    }

    fn line_up(&self, key: &str) -> Result<(Place, Arc<Semaphore>), Crowded> {
        let mut lanes = self.0.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        if lanes.len() >= MOST_LANES && !lanes.contains_key(key) {
            return Err(Crowded);
        }
        let empty = || Lane { passage: Arc::new(Semaphore::new(self.0.at_once)), present: 0 };
        let lane = lanes.entry(key.to_owned()).or_insert_with(empty);
        if lane.present >= self.0.at_once + self.0.waiting {
            return Err(Crowded);
        }
        lane.present += 1;
        Ok((Place { gate: self.clone(), key: key.to_owned() }, lane.passage.clone()))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut lanes = self.gate.0.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(lane) = lanes.get_mut(&self.key) {
            lane.present -= 1;
            if lane.present == 0 {
                lanes.remove(&self.key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn few_pass_few_wait_and_nobody_for_ever() {
        let gate = Gate::new(1, 1, Duration::from_secs(5));
        let inside = gate.enter("a").await.unwrap();
        let other = gate.enter("b").await.unwrap();

        let (waits_in_vain, refused) = tokio::join!(gate.enter("a"), gate.enter("a"));
        assert!(waits_in_vain.is_err() && refused.is_err());

        let (next, ()) = tokio::join!(gate.enter("a"), async { drop(inside) });
        assert!(next.is_ok());
        drop((next, other));
        assert!(gate.0.lanes.lock().unwrap().is_empty(), "nothing is kept of those who left");
    }
}
