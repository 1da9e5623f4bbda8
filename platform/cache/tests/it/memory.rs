//! What entries in this process may take.

use std::sync::Arc;

use mainstay_cache::{Cache, CacheOptions, CacheSettings, Namespace, Steady};
use mainstay_core::{Clock, OsRng, Rng, SystemClock};
use mainstay_telemetry::Metrics;
use proptest::prelude::*;
use tokio::task::JoinSet;

use crate::{Nodes, SourceFailed, number};

const BLOBS: Namespace<u64, String> = Namespace::new("test.blob", 1);
const BOUND: usize = 1 << 20;

fn settings() -> CacheSettings {
    CacheSettings { l1_bytes: BOUND, ..CacheSettings::default() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn entries_never_weigh_more_than_the_bound_whatever_their_sizes() {
    let nodes = Nodes::new().await;
    let node = nodes.node_with(settings());
    let mut clients = JoinSet::new();
    for client in 0..8_u64 {
        let (cache, blobs) = (node.cache.clone(), node.cache.namespace(&BLOBS));
        clients.spawn(async move {
            let mut state = client + 1;
            for _ in 0..2000 {
                // A generator of the test's own, so that a failure comes again.
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                let (key, size) = ((state >> 33) % 5000, 1_usize << ((state >> 50) % 17));
                let load = move || async move { Ok::<_, SourceFailed>(Some("x".repeat(size))) };
                blobs.get_or_load(&key, load).await.unwrap();
                assert!(cache.memory_bytes() <= BOUND, "{}", cache.memory_bytes());
            }
        });
    }
    clients.join_all().await;
    // It is used, too.
    assert!(node.cache.memory_bytes() > BOUND / 2, "{}", node.cache.memory_bytes());
    assert!(number(&node.metrics, r#"cache_evictions_total{namespace="test.blob"}"#) > 100);
    let counted = number(&node.metrics, r#"cache_memory_bytes{namespace="test.blob"}"#);
    assert_eq!(usize::try_from(counted).unwrap(), node.cache.memory_bytes());
}

#[tokio::test]
async fn what_is_used_stays_when_others_must_go() {
    let nodes = Nodes::new().await;
    let node = nodes.node_with(settings());
    let blobs = node.cache.namespace(&BLOBS);
    let load = || async { Ok::<_, SourceFailed>(Some("x".repeat(1000))) };
    for key in 0..20 {
        blobs.get_or_load(&key, load).await.unwrap();
    }
    // A hundred times more than there is room for, each used once.
    for key in 1000..70_000 {
        blobs.get_or_load(&key, load).await.unwrap();
        if key % 10 == 0 {
            blobs.get_or_load(&(key / 10 % 20), load).await.unwrap();
        }
    }
    let kept = (0..20).filter(|key| blobs.peek(key).is_some()).count();
    assert_eq!(kept, 20);
}

#[tokio::test]
async fn what_is_larger_than_its_share_is_served_and_not_kept() {
    let nodes = Nodes::new().await;
    let node = nodes.node_with(settings());
    let blobs = node.cache.namespace(&BLOBS);
    let load = || async { Ok::<_, SourceFailed>(Some("x".repeat(BOUND / 16))) };
    assert_eq!(blobs.get_or_load(&1, load).await.unwrap().unwrap().len(), BOUND / 16);
    assert_eq!((blobs.peek(&1), node.cache.memory_entries()), (None, 0));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Against a model: whatever is kept is what was loaded last.
    #[test]
    fn keys_do_not_mix(steps in prop::collection::vec((0_u64..40, 0_usize..6000, any::<bool>()), 1..400)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let cache = Cache::new(CacheOptions {
                settings: CacheSettings { l1_bytes: 65_536, ..CacheSettings::default() },
                clock: Arc::new(SystemClock) as Arc<dyn Clock>,
                steady: Steady::Processor,
                rng: Arc::new(OsRng) as Arc<dyn Rng>,
                metrics: Metrics::new(),
                key: [7; 32],
                db: None,
                redis: None,
            });
            let cache = cache.unwrap();
            let blobs = cache.namespace(&BLOBS);
            let mut model = std::collections::HashMap::new();
            for (key, size, invalidate) in steps {
                if invalidate {
                    model.remove(&key);
                    blobs.invalidate(&key).await;
                    continue;
                }
                let load = move || async move { Ok::<_, SourceFailed>(Some("x".repeat(size))) };
                let got = blobs.get_or_load(&key, load).await.unwrap().unwrap().len();
                if got == size {
                    model.insert(key, size);
                }
                assert_eq!(Some(&got), model.get(&key), "key {key}");
                assert!(cache.memory_bytes() <= 65_536);
            }
        });
    }
}
