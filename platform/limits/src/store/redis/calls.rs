//! Calls under way. Those that come meanwhile wait for a place, and take it together.
//!
//! A call alone goes at once. Under load one round trip, one script and one wake-up serve many calls, which is
//! what most of a call's cost is, for Redis as for the node.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ::redis::aio::ConnectionManager;
use ::redis::{ErrorKind, RedisResult};
use mainstay_redis::Probe;
use tokio::runtime::Handle;
use tokio::sync::oneshot;

use super::script::ChargeScript;
use crate::key::{Charge, Key};
use crate::policy::Policy;
use crate::store::{Order, Tally};

/// So many questions are under way at once. More make smaller questions, fewer make callers wait for a Redis
/// that is far away.
const PLACES: usize = 4;

/// So many keys are in one question, if it is of several calls: a script has Redis for itself, for less than
/// 10 µs a key.
const MOST_KEYS: usize = 128;

pub(super) struct Calls(Arc<Inner>);

struct Inner {
    script: ChargeScript,
    queue: Mutex<Queue>,
}

#[derive(Default)]
struct Queue {
    /// Places taken. All of them, as long as anybody waits.
    taken: usize,
    waiting: VecDeque<Waiting>,
}

struct Waiting {
    orders: Vec<Order>,
    connection: ConnectionManager,
    answer: oneshot::Sender<RedisResult<Vec<Tally>>>,
}

impl Calls {
    pub(super) fn new(script: ChargeScript) -> Self {
        Self(Arc::new(Inner { script, queue: Mutex::default() }))
    }

    /// Decides one call, perhaps together with others.
    pub(super) async fn charge(
        &self,
        connection: &mut ConnectionManager,
        orders: &[Order],
    ) -> RedisResult<Vec<Tally>> {
        match self.place_or_wait(connection, orders) {
            Ok(_place) => self.0.script.charge(connection, &[orders]).await,
            Err(answer) => answer.await.unwrap_or_else(|_| Err(unasked())),
        }
    }

    fn place_or_wait(
        &self,
        connection: &ConnectionManager,
        orders: &[Order],
    ) -> Result<Place, oneshot::Receiver<RedisResult<Vec<Tally>>>> {
        let mut queue = self.0.queue();
        if queue.taken < PLACES {
            queue.taken += 1;
            return Ok(Place(Arc::clone(&self.0)));
        }
        let (answer, receiver) = oneshot::channel();
        queue.waiting.push_back(Waiting { orders: orders.to_vec(), connection: connection.clone(), answer });
        Err(receiver)
    }
}

impl Probe for Calls {
    /// Asks at once, whatever is under way: that may be what nobody answers any more.
    async fn probe(&self, connection: &mut ConnectionManager) -> RedisResult<()> {
        let policy = Policy::parse("probe", "1000000/s").expect("a policy");
        let order = Order::new(Charge::one(&Key::new(&policy, "")));
        self.0.script.charge(connection, &[&[order]]).await.map(drop)
    }
}

impl Inner {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Queue {
    /// Those who are next, without those who gave up.
    fn next(&mut self) -> Vec<Waiting> {
        let (mut next, mut keys) = (Vec::new(), 0);
        while let Some(waiting) = self.waiting.pop_front() {
            if waiting.answer.is_closed() {
                continue;
            }
            keys += waiting.orders.len();
            if keys > MOST_KEYS && !next.is_empty() {
                self.waiting.push_front(waiting);
                break;
            }
            next.push(waiting);
        }
        next
    }
}

/// A place among those under way. Whoever leaves it, whether answered or not, leaves it to those who wait.
struct Place(Arc<Inner>);

impl Drop for Place {
    fn drop(&mut self) {
        let next = {
            let mut queue = self.0.queue();
            let next = queue.next();
            if next.is_empty() {
                queue.taken -= 1;
                return;
            }
            next
        };
        let place = Self(Arc::clone(&self.0));
        // A task of nobody's, since whoever waits may give up: it ends with the client's own patience. Without a
        // runtime they hear nothing, and the next ones are given the place.
        if let Ok(runtime) = Handle::try_current() {
            runtime.spawn(ask_together(place, next));
        }
    }
}

async fn ask_together(place: Place, calls: Vec<Waiting>) {
    // The newest connection there is: an older one may be gone.
    let Some(mut connection) = calls.last().map(|call| call.connection.clone()) else { return };
    let orders: Vec<&[Order]> = calls.iter().map(|call| call.orders.as_slice()).collect();
    let answer = place.0.script.charge(&mut connection, &orders).await;
    // Before the answers: whoever asks again then finds the next question under way.
    drop(place);
    match answer {
        Ok(tallies) => {
            let mut tallies = tallies.into_iter();
            for call in calls {
                let own = tallies.by_ref().take(call.orders.len()).collect();
                // Whoever gave up meanwhile has no use for it.
                let _ = call.answer.send(Ok(own));
            }
        }
        Err(error) => {
            for call in calls {
                let _ = call.answer.send(Err(error.clone()));
            }
        }
    }
}

fn unasked() -> ::redis::RedisError {
    (ErrorKind::Io, "the call was given up").into()
}
