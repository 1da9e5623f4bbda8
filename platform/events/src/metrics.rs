//! What is counted of events and jobs.

use std::time::Duration;

use mainstay_telemetry::{Metrics, latency_buckets};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;

type ByConsumer<M> = Family<[(&'static str, &'static str); 1], M, fn() -> M>;
type Outcomes = Family<[(&'static str, &'static str); 2], Counter>;

#[derive(Clone, Debug)]
pub(crate) struct EventMetrics {
    outcomes: Outcomes,
    lag: ByConsumer<Histogram>,
    jobs: Outcomes,
    pub(crate) outbox_depth: Gauge,
    pub(crate) outbox_age_s: Gauge,
    pub(crate) unsealed: Gauge,
}

fn histogram() -> Histogram {
    Histogram::new(latency_buckets())
}

impl EventMetrics {
    pub(crate) fn new(metrics: &Metrics) -> Self {
        let outcomes = "Events by consumer and outcome: done, retried, dead";
        let lag = ByConsumer::new_with_constructor(histogram as fn() -> Histogram);
        Self {
            outcomes: metrics.register("event_deliveries", outcomes, Outcomes::default()),
            lag: metrics.register("event_lag_seconds", "From an event's recording to its effect", lag),
            jobs: metrics.register("job_runs", "Runs of scheduled jobs by outcome", Outcomes::default()),
            outbox_depth: metrics.register(
                "outbox_events",
                "Events that no broker has yet",
                Gauge::default(),
            ),
            outbox_age_s: metrics.register(
                "outbox_oldest_age_seconds",
                "Age of the oldest event that no broker has yet",
                Gauge::default(),
            ),
            unsealed: metrics.register(
                "audit_unsealed_entries",
                "Audit entries that the last look found unsealed",
                Gauge::default(),
            ),
        }
    }

    pub(crate) fn done(&self, consumer: &'static str, lag: Duration) {
        self.outcome(consumer, "done");
        self.lag.get_or_create(&[("consumer", consumer)]).observe(lag.as_secs_f64());
    }

    pub(crate) fn retried(&self, consumer: &'static str) {
        self.outcome(consumer, "retried");
    }

    pub(crate) fn dead(&self, consumer: &'static str) {
        self.outcome(consumer, "dead");
    }

    fn outcome(&self, consumer: &'static str, outcome: &'static str) {
        self.outcomes.get_or_create(&[("consumer", consumer), ("outcome", outcome)]).inc();
    }

    pub(crate) fn job(&self, job: &'static str, ok: bool) {
        let outcome = if ok { "ok" } else { "failed" };
        self.jobs.get_or_create(&[("job", job), ("outcome", outcome)]).inc();
    }
}
