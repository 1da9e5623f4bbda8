use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;

type Hook = Box<dyn Fn() + Send + Sync>;

/// One server's metrics: register what you count, render what `/metrics` shows.
#[derive(Clone, Default)]
pub struct Metrics(Arc<Inner>);

#[derive(Default)]
struct Inner {
    registry: Mutex<Registry>,
    before_render: Mutex<Vec<Hook>>,
}

impl Metrics {
    /// An empty set.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Registers a metric and hands it back. `prometheus_client`'s metrics are
    /// handles: clones count together.
    pub fn register<M>(&self, name: &str, help: &str, metric: M) -> M
    where
        M: prometheus_client::registry::Metric + Clone,
    {
        self.0.registry.lock().unwrap_or_else(PoisonError::into_inner).register(name, help, metric.clone());
        metric
    }

    /// Runs `update` before each rendering: for gauges that are read, not kept, such as pool sizes.
    pub fn before_render(&self, update: impl Fn() + Send + Sync + 'static) {
        self.0.before_render.lock().unwrap_or_else(PoisonError::into_inner).push(Box::new(update));
    }

    /// The OpenMetrics text format.
    #[must_use]
    pub fn render(&self) -> String {
        for update in self.0.before_render.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            update();
        }
        let mut text = String::new();
        encode(&mut text, &self.0.registry.lock().unwrap_or_else(PoisonError::into_inner))
            .expect("a String takes any text");
        text
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Metrics")
    }
}

/// Bounds of latency histograms, in seconds: 0.5 ms to 30 s.
pub fn latency_buckets() -> impl Iterator<Item = f64> {
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0].into_iter()
}

#[cfg(test)]
mod tests {
    use prometheus_client::metrics::counter::Counter;

    use super::*;

    #[test]
    fn two_sets_do_not_see_each_other() {
        let (one, two) = (Metrics::new(), Metrics::new());
        let counter: Counter = one.register("widgets", "Widgets made", Counter::default());
        counter.inc();

        assert!(one.render().contains("widgets_total 1"));
        assert!(!two.render().contains("widgets"));
    }
}
