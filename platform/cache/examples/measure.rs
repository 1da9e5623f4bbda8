//! What a hit costs, in this crate and beside it: `cargo run --release -p mainstay-cache --example measure`.
//!
//! Each figure is the median of five runs of a second, in nanoseconds of the processor's time for each
//! hit, so that a machine with other work to do says the same. A hit is one as an app makes it: key
//! hashed, clock read, validity and trust checked, counted.

#![expect(clippy::print_stdout, reason = "a program that prints")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use mainstay_cache::{Body, Cache, CacheOptions, CacheSettings, Cached, Namespace, Steady};
use mainstay_core::{Clock, OsRng, Rng, SystemClock};
use mainstay_db::testing::TestDatabase;
use mainstay_telemetry::Metrics;

const PRODUCTS: Namespace<u64, Body> = Namespace::new("measure.product", 1).ttl(Duration::from_secs(3600));
const KEYS: u64 = 10_000;
const BOUND: usize = 64 << 20;

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.expect("a runtime can be made").block_on(measure());
}

async fn measure() {
    let database = TestDatabase::migrated(&mainstay_db::trail::migrations()).await;
    let cache = Cache::new(CacheOptions {
        settings: CacheSettings { l1_bytes: BOUND, ..CacheSettings::default() },
        clock: Arc::new(SystemClock) as Arc<dyn Clock>,
        steady: Steady::Processor,
        rng: Arc::new(OsRng) as Arc<dyn Rng>,
        metrics: Metrics::new(),
        key: [7; 32],
        db: Some(database.open()),
        redis: None,
    });
    let cache = cache.expect("there is no URL that could be wrong");
    cache.start();
    // What is kept before the first look is not believed after it.
    assert!(cache.catch_up().await, "the log can be read");
    let products = cache.namespace(&PRODUCTS);
    for key in 0..KEYS {
        load(&products, key).await;
    }
    println!("{KEYS} bodies of 300 bytes; {} bytes in memory\n", cache.memory_bytes());
    println!("{:<40} {:>12} {:>12}", "ns of CPU for each hit", "1 thread", "2 threads");

    let (handle, peeked) = (tokio::runtime::Handle::current(), products.clone());
    row("peek", || {
        let products = peeked.clone();
        move |key| assert!(products.peek(&key).is_some())
    });
    row("get_or_load", || {
        let (products, handle) = (products.clone(), handle.clone());
        move |key| {
            let _context = handle.enter();
            // Ready at once: a hit does not wait.
            let mut hit = std::pin::pin!(load(&products, key));
            let mut context = std::task::Context::from_waker(std::task::Waker::noop());
            assert!(hit.as_mut().poll(&mut context).is_ready());
        }
    });

    let moka = moka::sync::Cache::builder()
        .max_capacity(BOUND as u64)
        .weigher(|_: &u64, body: &Arc<Body>| u32::try_from(body.bytes.len() + 400).unwrap_or(u32::MAX))
        .time_to_live(Duration::from_secs(3600))
        .build();
    for key in 0..KEYS {
        moka.insert(key, Arc::new(body()));
    }
    row("(moka with a TTL, no checks)", || {
        let moka = moka.clone();
        move |key| assert!(moka.get(&key).is_some())
    });
    overshoot().await;
}

fn body() -> Body {
    Body {
        bytes: Bytes::from(vec![b'x'; 300]),
        etag: None,
        content_type: http::HeaderValue::from_static("a/b"),
    }
}

async fn load(products: &Cached<u64, Body>, key: u64) {
    let load = || async { Ok::<_, std::io::Error>(Some(body())) };
    products.get_or_load(&key, load).await.expect("it can't fail");
}

fn row<W: FnMut(u64) + Send + 'static>(name: &str, work: impl Fn() -> W) {
    let rate = |threads| {
        let mut runs: Vec<f64> = (0..5).map(|_| run(threads, &work)).collect();
        runs.sort_by(f64::total_cmp);
        runs[2]
    };
    println!("{name:<40} {:>12.0} {:>12.0}", rate(1), rate(2));
}

fn run<W: FnMut(u64) + Send + 'static>(threads: u64, work: &impl Fn() -> W) -> f64 {
    let (stop, count) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let threads: Vec<_> = (0..threads)
        .map(|thread| {
            let (stop, count, mut work) = (Arc::clone(&stop), Arc::clone(&count), work());
            std::thread::spawn(move || {
                let (mut state, mut done, began) = (thread + 1, 0_u64, cpu_ns());
                while !stop.load(Ordering::Relaxed) {
                    for _ in 0..64 {
                        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                        work((state >> 33) % KEYS);
                    }
                    done += 64;
                }
                count.fetch_add(done, Ordering::Relaxed);
                cpu_ns() - began
            })
        })
        .collect();
    std::thread::sleep(Duration::from_secs(1));
    stop.store(true, Ordering::Relaxed);
    let spent: u64 = threads.into_iter().map(|thread| thread.join().expect("it does not panic")).sum();
    spent as f64 / count.load(Ordering::Relaxed) as f64
}

/// How long this thread has been on a processor, as Linux tells.
fn cpu_ns() -> u64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").expect("this runs on Linux");
    text.split(' ').next().and_then(|number| number.parse().ok()).expect("the first number is the time")
}

/// How far above its bound memory goes while values of 256 KiB are put in.
async fn overshoot() {
    const SIZE: usize = 256 << 10;
    let local = Cache::local(Arc::new(SystemClock), Arc::new(OsRng), &Metrics::new());
    let products = local.namespace(&PRODUCTS);
    let large = || Body { bytes: Bytes::from(vec![b'x'; SIZE]), ..body() };
    let (mut ours, mut theirs) = (0, 0);
    let moka = moka::sync::Cache::builder()
        .max_capacity(BOUND as u64)
        .weigher(|_: &u64, body: &Arc<Body>| u32::try_from(body.bytes.len() + 400).unwrap_or(u32::MAX))
        .build();
    for key in 0..2000 {
        let load = move || async move { Ok::<_, std::io::Error>(Some(large())) };
        products.get_or_load(&key, load).await.expect("it can't fail");
        ours = ours.max(local.memory_bytes());
        moka.insert(key, Arc::new(large()));
        theirs = theirs.max(moka.iter().count() * (SIZE + 400));
    }
    println!("\nmost bytes held under a bound of {BOUND}: {ours}; moka {theirs}");
}
