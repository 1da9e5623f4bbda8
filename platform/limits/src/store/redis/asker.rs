//! Asks Redis for all calls there are: those that come while it is busy go together.
//!
//! Under load one round trip, one script and a few wake-ups serve many calls, which are most of what a call costs,
//! Redis as well as the node. A call alone goes at once.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use mainstay_redis::{AskError, Link};
use tokio::sync::{mpsc, oneshot};

use super::script::ChargeScript;
use crate::store::{Order, StoreError, Tally};

/// While so many questions are under way, calls gather for the next one.
const BUSY: usize = 2;

/// But hardly longer than this: of a Redis that is far away, answers take longer than it takes to ask it more.
const LONGEST_GATHERING: Duration = Duration::from_millis(2);

/// So many keys are in one question, unless they are of one call. Redis does nothing else meanwhile: for 1 ms, and 2
/// if all of them are full logs of the longest kind.
const MOST_KEYS: usize = 128;

/// A call that waits for its answer.
pub(super) struct Call {
    pub(super) orders: Vec<Order>,
    pub(super) answer: oneshot::Sender<Result<Vec<Tally>, StoreError>>,
}

/// Asks until nobody can call any more. All questions are of this one task: the fewer tasks a call wakes, the less
/// it costs.
pub(super) async fn ask_for_all(link: Arc<Link<ChargeScript>>, mut calls: mpsc::UnboundedReceiver<Call>) {
    let (mut waiting, mut questions) = (Vec::new(), FuturesUnordered::new());
    loop {
        let is_over = tokio::select! {
            Some(()) = questions.next() => continue,
            count = calls.recv_many(&mut waiting, MOST_KEYS) => count == 0,
        };
        if is_over {
            return;
        }
        if questions.len() >= BUSY && waiting.len() < MOST_KEYS {
            let _still_busy = tokio::time::timeout(LONGEST_GATHERING, questions.next()).await;
        }
        while let Ok(call) = calls.try_recv() {
            waiting.push(call);
        }
        // Whoever gave up is not charged.
        let mut waiting = waiting.drain(..).filter(|call| !call.answer.is_closed()).peekable();
        while let Some(first) = waiting.next() {
            let (mut keys, mut together) = (first.orders.len(), vec![first]);
            while let Some(call) = waiting.next_if(|call| keys + call.orders.len() <= MOST_KEYS) {
                keys += call.orders.len();
                together.push(call);
            }
            questions.push(ask(&link, together));
        }
    }
}

async fn ask(link: &Link<ChargeScript>, calls: Vec<Call>) {
    let orders: Vec<&[Order]> = calls.iter().map(|call| call.orders.as_slice()).collect();
    let answer = link.ask(async |connection| link.probe().charge(connection, &orders).await).await;
    let mut tallies = answer.map(Vec::into_iter);
    for call in calls {
        let own = match &mut tallies {
            Ok(tallies) => Ok(tallies.by_ref().take(call.orders.len()).collect()),
            Err(AskError::Away) => Err(StoreError::Away),
            Err(AskError::Failed) => Err(StoreError::Failed),
        };
        // Whoever gave up meanwhile has no use for it.
        let _ = call.answer.send(own);
    }
}
