use std::sync::Arc;

use mainstay_db::WriteUnit;
use serde::Serialize;

use crate::cache::low;
use crate::{Cache, Cached, Value};

/// What a change makes stale: keys, tags, whole namespaces.
///
/// ```ignore
/// let unit = db.write(&actor).await?;
/// repo::update(&unit, &product).await?;
/// cache.stale().key(&products, &product.id).tag("catalog.search").with(&unit);
/// unit.commit().await?;
/// ```
#[derive(Debug)]
#[must_use = "nothing is invalidated before with() or after_commit()"]
pub struct Stale {
    cache: Cache,
    hashes: Vec<u32>,
}

impl Stale {
    pub(crate) fn new(cache: Cache) -> Self {
        Self { cache, hashes: Vec::new() }
    }

    /// What is under this key, or that there is nothing.
    pub fn key<K: Serialize + ?Sized, V: Value>(mut self, namespace: &Cached<K, V>, key: &K) -> Self {
        self.hashes.push(low(namespace.digest(key)));
        self
    }

    /// Everything with this tag.
    pub fn tag(mut self, tag: &str) -> Self {
        self.hashes.push(self.cache.tag(tag));
        self
    }

    /// Everything in a namespace.
    pub fn namespace<K: Serialize + ?Sized, V: Value>(mut self, namespace: &Cached<K, V>) -> Self {
        self.hashes.push(namespace.hash());
        self
    }

    /// With the commit of `unit`: it is written in the same transaction, so that no other node can miss
    /// it, and this node does not believe it any more when the commit returns.
    pub fn with(self, unit: &WriteUnit) {
        let Self { cache, hashes } = self;
        unit.invalidate(hashes.iter().copied());
        unit.after_commit(move |logged| {
            let core = &cache.0;
            if let Some(logged) = logged {
                core.slots.log(&hashes, logged.position);
            }
            core.slots.invalidate(&hashes);
            core.metrics.invalidations.inc();
            // Without a row that is known, it is applied once more when it is read.
            if let Some(logged) = logged {
                core.log.wrote(logged);
            }
        });
    }

    /// For a change that was committed before. This node does not believe it any more when this
    /// returns; other nodes hear of it by a row of its own, which waits if the database is away.
    pub async fn after_commit(self) {
        let Self { cache, hashes } = self;
        let core = cache.0;
        core.slots.invalidate(&hashes);
        core.metrics.invalidations.inc();
        // A task of its own: who hangs up does not keep the news from other nodes.
        let telling = Arc::clone(&core);
        let told = core.loads.spawn(async move { telling.log.write(&telling.slots, &hashes).await });
        if let Err(error) = told.await {
            tracing::error!(%error, "other nodes were not told of a change");
        }
    }
}
