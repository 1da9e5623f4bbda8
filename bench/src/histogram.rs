//! Latencies in log-linear buckets: recording is two shifts and an addition,
//! whatever the value, so that the load generator spends its time on requests.

use std::time::Duration;

/// Buckets per power of two: 64, so a value is off by at most 1/64 (1.6 %).
const SUB_BITS: u32 = 6;
const SUB: usize = 1 << SUB_BITS;
/// Values from 2^40 ns (about 18 minutes) on share the last bucket.
const TOP_BIT: u32 = 40;
const BUCKETS: usize = SUB * (TOP_BIT - SUB_BITS + 1) as usize;

/// A histogram of durations with nanosecond input and 1.6 % resolution.
#[derive(Clone)]
pub(crate) struct Histogram {
    counts: Vec<u64>,
    total: u64,
    max_ns: u64,
}

impl Histogram {
    pub(crate) fn new() -> Self {
        Self { counts: vec![0; BUCKETS], total: 0, max_ns: 0 }
    }

    pub(crate) fn record(&mut self, latency: Duration) {
        let ns = u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX);
        self.counts[bucket_of(ns)] += 1;
        self.total += 1;
        self.max_ns = self.max_ns.max(ns);
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        for (mine, theirs) in self.counts.iter_mut().zip(&other.counts) {
            *mine += theirs;
        }
        self.total += other.total;
        self.max_ns = self.max_ns.max(other.max_ns);
    }

    /// The smallest bucket edge that at least `quantile` (0.0..=1.0) of the
    /// values do not exceed: it overstates by up to 1.6 % and never understates.
    /// `None` when nothing was recorded.
    pub(crate) fn quantile(&self, quantile: f64) -> Option<Duration> {
        let wanted = ((self.total as f64 * quantile).ceil() as u64).clamp(1, self.total.max(1));
        let mut seen = 0;
        for (bucket, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= wanted {
                return Some(Duration::from_nanos(upper_edge_of(bucket).min(self.max_ns)));
            }
        }
        None
    }

    /// The longest latency, exact.
    pub(crate) fn max(&self) -> Duration {
        Duration::from_nanos(self.max_ns)
    }
}

fn bucket_of(ns: u64) -> usize {
    let ns = ns.min((1 << TOP_BIT) - 1);
    if ns < SUB as u64 {
        return ns as usize;
    }
    let octave = ns.ilog2() - SUB_BITS;
    // The shifted value lies in SUB..2*SUB: the leading bit selects the next row.
    (octave as usize) * SUB + (ns >> octave) as usize
}

/// The largest value that falls into `bucket`; the last one has no edge.
fn upper_edge_of(bucket: usize) -> u64 {
    if bucket + 1 == BUCKETS {
        return u64::MAX;
    }
    if bucket < SUB {
        return bucket as u64;
    }
    let octave = (bucket / SUB - 1) as u32;
    let leading = (bucket % SUB + SUB) as u64;
    ((leading + 1) << octave) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_lies_within_its_bucket_and_buckets_are_narrow() {
        let mut ns = 1_u64;
        while ns < 1 << 39 {
            for value in [ns - 1, ns, ns + 1, ns + ns / 3] {
                let bucket = bucket_of(value);
                let upper = upper_edge_of(bucket);
                assert!(upper >= value, "{value} above its bucket's edge {upper}");
                assert!((upper - value) as f64 <= value as f64 / 64.0, "{value} -> {upper}");
                if bucket > 0 {
                    assert!(upper_edge_of(bucket - 1) < value, "{value} fits the bucket before");
                }
            }
            ns *= 2;
        }
    }

    #[test]
    fn the_largest_values_share_the_last_bucket() {
        assert_eq!(bucket_of(u64::MAX), BUCKETS - 1);
        assert_eq!(bucket_of(1 << TOP_BIT), BUCKETS - 1);
        let mut histogram = Histogram::new();
        histogram.record(Duration::from_secs(86_400));
        assert_eq!(histogram.quantile(0.5), Some(Duration::from_secs(86_400)));
    }

    #[test]
    fn quantiles_of_a_known_distribution() {
        let mut histogram = Histogram::new();
        for us in 1..=10_000 {
            histogram.record(Duration::from_micros(us));
        }
        for (quantile, us) in [(0.5, 5_000.0), (0.99, 9_900.0), (0.001, 10.0)] {
            let got = histogram.quantile(quantile).unwrap().as_secs_f64() * 1e6;
            assert!(got >= us && got <= us * (1.0 + 1.0 / 64.0), "{quantile}: {got}, wanted {us}");
        }
        assert_eq!(histogram.quantile(1.0), Some(Duration::from_millis(10)));
        assert_eq!(histogram.max(), Duration::from_millis(10));
    }

    #[test]
    fn merging_is_recording_into_one() {
        let (mut left, mut right, mut both) = (Histogram::new(), Histogram::new(), Histogram::new());
        for us in 1..1_000 {
            let latency = Duration::from_micros(us * us);
            if us % 3 == 0 {
                left.record(latency);
            } else {
                right.record(latency);
            }
            both.record(latency);
        }
        left.merge(&right);
        assert_eq!(left.counts, both.counts);
        assert_eq!(left.quantile(0.9), both.quantile(0.9));
        assert_eq!(left.max(), both.max());
    }

    #[test]
    fn nothing_recorded_has_no_quantile() {
        assert_eq!(Histogram::new().quantile(0.5), None);
    }
}
