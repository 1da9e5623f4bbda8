//! What the limiter counts of itself.

use std::sync::Arc;

use mainstay_redis::LinkMetrics;
use mainstay_telemetry::prometheus_client::encoding::{EncodeLabelSet, LabelSetEncoder};
use mainstay_telemetry::prometheus_client::metrics::counter::Counter;
use mainstay_telemetry::prometheus_client::metrics::family::Family;
use mainstay_telemetry::prometheus_client::metrics::gauge::Gauge;
use mainstay_telemetry::prometheus_client::metrics::histogram::Histogram;
use mainstay_telemetry::{Metrics, latency_buckets};

use crate::decision::{Answer, Decision};

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Labels {
    policy: Arc<str>,
    admitted: bool,
    answer: Answer,
}

impl EncodeLabelSet for Labels {
    fn encode(&self, encoder: &mut LabelSetEncoder<'_>) -> Result<(), std::fmt::Error> {
        let outcome = if self.admitted { "admitted" } else { "refused" };
        [("policy", &*self.policy), ("outcome", outcome), ("answer", self.answer.name())].encode(encoder)
    }
}

/// Decisions by policy, outcome and who answered.
#[derive(Clone, Debug)]
pub(crate) struct DecisionMetrics(Family<Labels, Counter>);

impl DecisionMetrics {
    pub(crate) fn new(metrics: &Metrics) -> Self {
        let help = "Decisions by policy, outcome and who answered";
        Self(metrics.register("limits_decisions", help, Family::default()))
    }

    pub(crate) fn count(&self, decision: &Decision) {
        let labels = Labels {
            policy: decision.policy.shared_name(),
            admitted: decision.admitted,
            answer: decision.answer,
        };
        self.0.get_or_create(&labels).inc();
    }
}

/// The shared store, seen from this node.
pub(crate) fn store_metrics(metrics: &Metrics) -> LinkMetrics {
    LinkMetrics {
        up: metrics.register(
            "limits_store_up",
            "1 while the shared store is asked, else 0",
            Gauge::default(),
        ),
        opened: metrics.register(
            "limits_breaker_opened",
            "How often the shared store was given up on",
            Counter::default(),
        ),
        failures: metrics.register(
            "limits_store_failures",
            "Round trips to the shared store that failed or took too long",
            Counter::default(),
        ),
        seconds: metrics.register(
            "limits_store_seconds",
            "Time of a round trip to the shared store",
            Histogram::new(latency_buckets()),
        ),
    }
}
