//! What the cache counts of itself.

use mainstay_telemetry::prometheus_client::encoding::{EncodeLabelSet, LabelSetEncoder};
use mainstay_telemetry::prometheus_client::metrics::counter::Counter;
use mainstay_telemetry::prometheus_client::metrics::family::Family;
use mainstay_telemetry::prometheus_client::metrics::gauge::Gauge;
use mainstay_telemetry::prometheus_client::metrics::histogram::Histogram;
use mainstay_telemetry::{Metrics, latency_buckets};

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Read {
    namespace: &'static str,
    result: &'static str,
}

impl EncodeLabelSet for Read {
    fn encode(&self, encoder: &mut LabelSetEncoder<'_>) -> Result<(), std::fmt::Error> {
        [("namespace", self.namespace), ("result", self.result)].encode(encoder)
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Name(&'static str);

impl EncodeLabelSet for Name {
    fn encode(&self, encoder: &mut LabelSetEncoder<'_>) -> Result<(), std::fmt::Error> {
        [("namespace", self.0)].encode(encoder)
    }
}

type Seconds = Family<Name, Histogram, fn() -> Histogram>;

/// All of it.
#[derive(Clone, Debug)]
pub(crate) struct CacheMetrics {
    reads: Family<Read, Counter>,
    seconds: Seconds,
    errors: Family<Name, Counter>,
    refreshes: Family<Name, Counter>,
    evictions: Family<Name, Counter>,
    bytes: Family<Name, Gauge>,
    pub(crate) invalidations: Counter,
    pub(crate) looks: Counter,
    pub(crate) failed_looks: Counter,
    pub(crate) up: Gauge,
    pub(crate) opened: Counter,
    pub(crate) failures: Counter,
    pub(crate) round_trips: Histogram,
}

/// One namespace's, looked up once.
#[derive(Clone, Debug)]
pub(crate) struct NamespaceMetrics {
    /// Served from memory.
    pub(crate) memory: Counter,
    /// From Redis.
    pub(crate) redis: Counter,
    /// From the source.
    pub(crate) miss: Counter,
    /// After its time, while a new one is loaded or because none could be.
    pub(crate) stale: Counter,
    /// That there is nothing, without a load.
    pub(crate) negative: Counter,
    /// With another's load.
    pub(crate) joined: Counter,
    /// With the loader's error.
    pub(crate) failed: Counter,
    pub(crate) seconds: Histogram,
    pub(crate) errors: Counter,
    pub(crate) refreshes: Counter,
    pub(crate) evictions: Counter,
    pub(crate) bytes: Gauge,
}

impl CacheMetrics {
    pub(crate) fn new(metrics: &Metrics) -> Self {
        let histogram: fn() -> Histogram = || Histogram::new(latency_buckets());
        Self {
            reads: metrics.register(
                "cache_reads",
                "Reads by namespace and what served them",
                Family::default(),
            ),
            seconds: metrics.register(
                "cache_load_seconds",
                "Time of one load from the source",
                Family::new_with_constructor(histogram),
            ),
            errors: metrics.register("cache_load_errors", "Loads that failed or panicked", Family::default()),
            refreshes: metrics.register(
                "cache_refreshes",
                "Loads in the background, while the old value was served",
                Family::default(),
            ),
            evictions: metrics.register(
                "cache_evictions",
                "Entries that had to go for others",
                Family::default(),
            ),
            bytes: metrics.register("cache_memory_bytes", "What entries in memory weigh", Family::default()),
            invalidations: metrics.register(
                "cache_invalidations",
                "Rows of the log of invalidations that were written or heard of",
                Counter::default(),
            ),
            looks: metrics.register(
                "cache_log_looks",
                "Looks into the log of invalidations",
                Counter::default(),
            ),
            failed_looks: metrics.register(
                "cache_log_failures",
                "Looks into it that failed or took too long",
                Counter::default(),
            ),
            up: metrics.register("cache_redis_up", "1 while Redis is asked, else 0", Gauge::default()),
            opened: metrics.register(
                "cache_breaker_opened",
                "How often Redis was given up on",
                Counter::default(),
            ),
            failures: metrics.register(
                "cache_redis_failures",
                "Round trips to Redis that failed or took too long",
                Counter::default(),
            ),
            round_trips: metrics.register(
                "cache_redis_seconds",
                "Time of a round trip to Redis",
                Histogram::new(latency_buckets()),
            ),
        }
    }

    pub(crate) fn namespace(&self, namespace: &'static str) -> NamespaceMetrics {
        let read = |result| self.reads.get_or_create_owned(&Read { namespace, result });
        let name = Name(namespace);
        NamespaceMetrics {
            memory: read("memory"),
            redis: read("redis"),
            miss: read("miss"),
            stale: read("stale"),
            negative: read("negative"),
            joined: read("joined"),
            failed: read("failed"),
            seconds: self.seconds.get_or_create_owned(&name),
            errors: self.errors.get_or_create_owned(&name),
            refreshes: self.refreshes.get_or_create_owned(&name),
            evictions: self.evictions.get_or_create_owned(&name),
            bytes: self.bytes.get_or_create_owned(&name),
        }
    }
}
