//! Wake-ups: "there is something new", never what.
//!
//! A signal may be lost, doubled or late; whoever waits for one also looks by
//! itself from time to time. On PostgreSQL they reach the other nodes by NOTIFY, outside of
//! any transaction (inside, it would hold one lock of the whole server at every
//! commit) and gathered: at most one a topic and node in twenty milliseconds.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use mainstay_core::{OsRng, RequestId, Rng};
use sqlx::postgres::{PgConnectOptions, PgListener, PgPoolOptions};
use sqlx::{Connection as _, PgConnection};
use tokio::sync::{Notify, watch};
use tokio::task::AbortHandle;

use crate::dialect::{PG_CHANNEL, PG_NOTIFY};

/// Wakes those who wait for something to be committed. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Signals(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    topics: Mutex<BTreeMap<&'static str, Topic>>,
    remote: Option<Remote>,
}

#[derive(Debug)]
struct Topic {
    wakes: watch::Sender<u64>,
    /// Woken here since the other nodes were last told.
    untold: bool,
}

#[derive(Debug)]
struct Remote {
    options: PgConnectOptions,
    /// Tells our own notifications from those of others.
    node: String,
    something_to_tell: Notify,
    tasks: Mutex<Vec<AbortHandle>>,
}

/// Waits for one topic.
#[derive(Debug)]
pub struct Listener(watch::Receiver<u64>);

/// How long wake-ups of one topic are gathered before the other nodes hear of them.
const GATHER: Duration = Duration::from_millis(20);
/// How long to wait before connecting again.
const PAUSE: Duration = Duration::from_secs(1);

impl Signals {
    /// Within this process alone.
    pub(crate) fn local() -> Self {
        Self(Arc::new(Inner { topics: Mutex::default(), remote: None }))
    }

    /// To every node on this PostgreSQL, once [`Signals::share`] runs.
    pub(crate) fn shared(options: PgConnectOptions) -> Self {
        let remote = Remote {
            options,
            node: RequestId::from_random((&OsRng as &dyn Rng).bytes()).to_string(),
            something_to_tell: Notify::new(),
            tasks: Mutex::default(),
        };
        Self(Arc::new(Inner { topics: Mutex::default(), remote: Some(remote) }))
    }

    /// Wakes everybody who listens to `topic`.
    pub fn wake(&self, topic: &'static str) {
        self.with(topic, |topic| {
            topic.wakes.send_modify(|count| *count += 1);
            topic.untold = true;
        });
        if let Some(remote) = &self.0.remote {
            remote.something_to_tell.notify_one();
        }
    }

    /// Hears of every wake-up of `topic` from now on.
    #[must_use]
    pub fn listen(&self, topic: &'static str) -> Listener {
        Listener(self.with(topic, |topic| topic.wakes.subscribe()))
    }

    /// Exchanges wake-ups with the other nodes from now on. Does nothing where no
    /// other node can be, and the second time.
    #[expect(clippy::disallowed_methods, reason = "these run until the database is closed, which ends them")]
    pub fn share(&self) {
        let Some(remote) = &self.0.remote else { return };
        let mut tasks = remote.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        if tasks.is_empty() {
            let (hearing, telling) = (self.clone(), self.clone());
            tasks.push(tokio::spawn(async move { hearing.hear().await }).abort_handle());
            tasks.push(tokio::spawn(async move { telling.tell().await }).abort_handle());
        }
    }

    pub(crate) fn close(&self) {
        if let Some(remote) = &self.0.remote {
            let tasks = remote.tasks.lock().unwrap_or_else(PoisonError::into_inner);
            tasks.iter().for_each(AbortHandle::abort);
        }
    }

    fn with<T>(&self, topic: &'static str, work: impl FnOnce(&mut Topic) -> T) -> T {
        let mut topics = self.0.topics.lock().unwrap_or_else(PoisonError::into_inner);
        work(topics.entry(topic).or_insert_with(|| Topic { wakes: watch::Sender::new(0), untold: false }))
    }

    fn wake_here(&self, name: Option<&str>) {
        let mut topics = self.0.topics.lock().unwrap_or_else(PoisonError::into_inner);
        for (topic, state) in &mut *topics {
            if name.is_none_or(|name| name == *topic) {
                state.wakes.send_modify(|count| *count += 1);
            }
        }
    }

    async fn hear(&self) {
        loop {
            if let Err(error) = self.hear_until_cut().await {
                tracing::debug!(%error, "not listening to the other nodes");
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn hear_until_cut(&self) -> Result<(), sqlx::Error> {
        let Some(remote) = &self.0.remote else { return Ok(()) };
        let pool = PgPoolOptions::new().max_connections(1).connect_lazy_with(remote.options.clone());
        let mut listener = PgListener::connect_with(&pool).await?;
        listener.listen(PG_CHANNEL).await?;
        loop {
            // What was said before, or while the link was cut, nobody heard.
            self.wake_here(None);
            while let Some(said) = listener.try_recv().await? {
                if let Some((node, topic)) = said.payload().split_once(':')
                    && node != remote.node
                {
                    self.wake_here(Some(topic));
                }
            }
        }
    }

    async fn tell(&self) {
        let mut link: Option<PgConnection> = None;
        let Some(remote) = &self.0.remote else { return };
        loop {
            remote.something_to_tell.notified().await;
            tokio::time::sleep(GATHER).await;
            if let Err(error) = self.tell_once(remote, &mut link).await {
                // The others look by themselves: nothing is lost but time.
                tracing::debug!(%error, "the other nodes were not woken");
                link = None;
                tokio::time::sleep(PAUSE).await;
            }
        }
    }

    async fn tell_once(&self, remote: &Remote, link: &mut Option<PgConnection>) -> Result<(), sqlx::Error> {
        let names: Vec<&'static str> = {
            let mut topics = self.0.topics.lock().unwrap_or_else(PoisonError::into_inner);
            let told = |(name, topic): (&&'static str, &mut Topic)| {
                std::mem::take(&mut topic.untold).then_some(*name)
            };
            topics.iter_mut().filter_map(told).collect()
        };
        for name in names {
            let connection = match link {
                Some(connection) => connection,
                None => link.insert(PgConnection::connect_with(&remote.options).await?),
            };
            let said = format!("{}:{name}", remote.node);
            sqlx::query(PG_NOTIFY).bind(PG_CHANNEL).bind(said).execute(connection).await?;
        }
        Ok(())
    }
}

impl Listener {
    /// Waits until the topic is woken; at once if it was since the last call.
    pub async fn woken(&mut self) {
        // The sender lives as long as the signals; without them there is nothing to hear any more.
        if self.0.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Waits until the topic is woken, at most this long.
    pub async fn woken_within(&mut self, at_most: Duration) {
        let _late = tokio::time::timeout(at_most, self.woken()).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_wake_up_before_the_wait_is_not_missed_and_many_are_one() {
        let signals = Signals::local();
        let mut listener = signals.listen("things");
        signals.wake("things");
        signals.wake("things");
        listener.woken().await;
        assert!(!listener.0.has_changed().unwrap(), "two wake-ups before a look are one");
        signals.wake("others");
        assert!(!listener.0.has_changed().unwrap());
    }
}
