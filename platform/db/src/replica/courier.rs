//! Carries marks between nodes, over NOTIFY of the primary.

use std::sync::Arc;
use std::time::{Duration, Instant};

use mainstay_core::{OsRng, Rng};
use sqlx::postgres::{PgConnectOptions, PgListener, PgPoolOptions};
use sqlx::{Connection as _, PgConnection};
use tokio::sync::Notify;

use super::marks::{BEAT, Marks, Message};
use crate::dialect::{PG_NOTIFY, PG_REPLICA_CHANNEL};

#[derive(Debug)]
pub(super) struct Courier {
    marks: Arc<Marks>,
    options: PgConnectOptions,
    something_to_say: Notify,
}

/// How long to wait before connecting again.
const PAUSE: Duration = Duration::from_millis(200);
/// The longest wait for the primary to take a message.
const PATIENCE: Duration = Duration::from_secs(1);
/// A listener hears at least its own node many times in this time; else its link is dead.
const DEAD: Duration = Duration::from_secs(3);

impl Courier {
    pub(super) fn new(marks: Arc<Marks>, options: PgConnectOptions) -> Self {
        // What is said here means nothing after a crash of the server: nobody waits for the disk.
        let options = options.options([("synchronous_commit", "off")]);
        Self { marks, options, something_to_say: Notify::new() }
    }

    /// A name for this node that no other has.
    pub(super) fn node_name() -> String {
        format!("{:016x}", u64::from_le_bytes((&OsRng as &dyn Rng).bytes()))
    }

    /// Sends the next message now.
    pub(super) fn hurry(&self) {
        self.something_to_say.notify_one();
    }

    pub(super) async fn hear(&self) {
        loop {
            if let Err(error) = self.hear_until_cut().await {
                tracing::debug!(%error, "not hearing of the other nodes' writes");
            }
            self.marks.deaf();
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn hear_until_cut(&self) -> Result<(), sqlx::Error> {
        let pool = PgPoolOptions::new().max_connections(1).connect_lazy_with(self.options.clone());
        let within = |_| sqlx::Error::PoolTimedOut;
        let connected = tokio::time::timeout(DEAD, PgListener::connect_with(&pool));
        let mut listener = connected.await.map_err(within)??;
        // Left alone, it would connect again by itself, and what was said meanwhile would be missed unnoticed.
        listener.eager_reconnect(false);
        tokio::time::timeout(DEAD, listener.listen(PG_REPLICA_CHANNEL)).await.map_err(within)??;
        loop {
            let said = tokio::time::timeout(DEAD, listener.try_recv()).await.map_err(within)??;
            let Some(said) = said else { return Ok(()) };
            if let Some(message) = Message::parse(said.payload())
                && self.marks.hear(message, Instant::now())
            {
                self.hurry();
            }
        }
    }

    pub(super) async fn tell(&self) {
        let mut link: Option<PgConnection> = None;
        loop {
            let _beat = tokio::time::timeout(BEAT, self.something_to_say.notified()).await;
            let message = self.marks.next_message(Instant::now());
            let sent = tokio::time::timeout(PATIENCE, self.send(&mut link, &message)).await;
            if !matches!(sent, Ok(Ok(()))) {
                tracing::debug!("the other nodes did not hear of writes here");
                self.marks.unsent(message);
                link = None;
                tokio::time::sleep(PAUSE).await;
            }
        }
    }

    /// Says that this node uses no replica any more.
    pub(super) async fn say_goodbye(&self) {
        self.marks.deaf();
        let message = self.marks.goodbye();
        let sent = tokio::time::timeout(PATIENCE, self.send(&mut None, &message)).await;
        if !matches!(sent, Ok(Ok(()))) {
            tracing::debug!("the other nodes find out by themselves that this one is gone");
        }
    }

    async fn send(&self, link: &mut Option<PgConnection>, message: &Message) -> Result<(), sqlx::Error> {
        for text in message.texts() {
            let connection = match link {
                Some(connection) => connection,
                None => link.insert(PgConnection::connect_with(&self.options).await?),
            };
            sqlx::query(PG_NOTIFY).bind(PG_REPLICA_CHANNEL).bind(text).execute(connection).await?;
        }
        Ok(())
    }
}
