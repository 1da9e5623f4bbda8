//! The second level: entries in Redis, shared by all nodes, and the lease of who loads.
//!
//! Redis is believed in nothing but bytes: whether an entry is still good is judged by the horizon
//! that it was loaded behind and the log that this node follows. So a Redis that lost something,
//! was restored from a copy or comes back after hours can't serve what was invalidated.

mod format;
mod link;

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use mainstay_core::Rng;
use redis::Script;

pub(crate) use format::{Stored, horizon, read, write};
pub(crate) use link::Link;

use crate::entry::Space;

/// How long a lease holds without being renewed.
pub(crate) const LEASE: Duration = Duration::from_secs(3);

/// How long one node waits for another's load before it loads itself.
pub(crate) const LONGEST_WAIT: Duration = Duration::from_secs(10);

/// Larger values stay in the process: they would take longer to come than 50 ms allow.
const LARGEST: usize = 1 << 20;

#[derive(Debug)]
pub(crate) struct Second {
    pub(crate) link: Arc<Link>,
    rng: Arc<dyn Rng>,
    store: Script,
    renew: Script,
    give_back: Script,
}

/// That this node loads a key for all others.
#[derive(Clone, Debug)]
pub(crate) struct Lease {
    name: String,
    token: String,
}

impl Second {
    pub(crate) fn new(link: Arc<Link>, rng: Arc<dyn Rng>) -> Self {
        Self {
            link,
            rng,
            store: Script::new(include_str!("store.lua")),
            renew: Script::new(include_str!("renew.lua")),
            give_back: Script::new(include_str!("give_back.lua")),
        }
    }

    pub(crate) fn name(&self, space: &Space, digest: u128) -> String {
        let mut name = String::with_capacity(96);
        let prefix = self.link.prefix();
        write!(name, "{prefix}{}:{}:{digest:032x}", space.rules.name, space.rules.schema)
            .expect("a String takes any text");
        name
    }

    /// `None`: Redis is away. `Some(None)`: it has nothing.
    pub(crate) async fn get(&self, name: &str) -> Option<Option<Bytes>> {
        let found = self.link.ask(async |connection| {
            redis::cmd("GET").arg(name).query_async::<Option<Vec<u8>>>(connection).await
        });
        Some(found.await.ok()?.map(Bytes::from))
    }

    /// Asks for the lease, and once more for the value, in this order: who has the lease and no value
    /// then knows that nobody loaded it meanwhile. `None`: Redis is away, or takes no writes.
    ///
    /// `after` is the last change of the key: who knows of one does not wait for a load that began before it.
    pub(crate) async fn apply(
        &self,
        name: &str,
        after: Option<i64>,
    ) -> Option<(Option<Lease>, Option<Bytes>)> {
        let token: String = self.rng.bytes::<16>().iter().fold(String::new(), |mut text, byte| {
            write!(text, "{byte:02x}").expect("a String takes any text");
            text
        });
        let lease = Lease { name: format!("{name}:lease:{}", after.unwrap_or_default()), token };
        let millis = u64::try_from(LEASE.as_millis()).unwrap_or(u64::MAX);
        let mut both = redis::pipe();
        both.cmd("SET").arg(&lease.name).arg(&lease.token).arg("NX").arg("PX").arg(millis);
        both.cmd("GET").arg(name);
        let answer = self
            .link
            .ask(async |connection| both.query_async::<(Option<String>, Option<Vec<u8>>)>(connection).await);
        let (granted, value) = answer.await.ok()?;
        Some((granted.map(|_| lease), value.map(Bytes::from)))
    }

    pub(crate) async fn renew(&self, lease: &Lease) {
        let mut call = self.renew.key(&lease.name);
        call.arg(&lease.token).arg(u64::try_from(LEASE.as_millis()).unwrap_or(u64::MAX));
        let _late = self.link.ask(async |connection| call.invoke_async::<u8>(connection).await).await;
    }

    pub(crate) async fn give_back(&self, lease: &Lease) {
        let mut call = self.give_back.key(&lease.name);
        call.arg(&lease.token);
        let _it_ends = self.link.ask(async |connection| call.invoke_async::<u8>(connection).await).await;
    }

    /// Keeps the value if the lease is still held, and ends the lease either way. A node that was asleep
    /// for longer than its lease writes nothing.
    pub(crate) async fn store(&self, name: &str, lease: &Lease, bytes: Bytes, kept: Duration) {
        if bytes.len() > LARGEST || kept.is_zero() {
            return self.give_back(lease).await;
        }
        let mut call = self.store.key(&lease.name);
        call.key(name).arg(&lease.token).arg(&bytes[..]);
        call.arg(u64::try_from(kept.as_millis()).unwrap_or(u64::MAX >> 1));
        if self.link.ask(async |connection| call.invoke_async::<u8>(connection).await).await.is_err() {
            self.give_back(lease).await;
        }
    }
}
