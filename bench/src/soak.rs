//! Minutes of everything at once: does memory stay where it is?

use anyhow::{Context, Result};
use serde::Serialize;

use crate::{
    Options, client,
    load::Plan,
    process,
    random::Random,
    run::{self, Subject},
    workload::Workload,
};

/// Each look follows so much load.
const SLICE_S: u64 = 30;

/// Requests of each workload in a slice, which are sent over and over.
const EACH: usize = 4_000;

/// What was seen after one slice.
#[derive(Debug, Serialize)]
pub(crate) struct Look {
    pub(crate) database: &'static str,
    pub(crate) minutes: f64,
    pub(crate) requests_per_s: f64,
    pub(crate) p99_ms: Option<f64>,
    pub(crate) errors: u64,
    pub(crate) rss_bytes: u64,
    /// What the cache in the process says it holds.
    pub(crate) cache_bytes: u64,
}

/// Sends the requests of all `workloads` that are answered with 200, mixed, for `options.soak` minutes.
pub(crate) async fn soak(
    options: &Options,
    subject: &Subject,
    workloads: &[&'static Workload],
) -> Result<Vec<Look>> {
    let target = subject.server.address;
    let slices = (options.soak * 60.0 / SLICE_S as f64).ceil().max(1.0) as u64;
    let mut looks = Vec::new();
    for slice in 0..slices {
        let mut requests: Vec<String> = workloads
            .iter()
            // A password check takes as long as hundreds of the others.
            .filter(|workload| workload.expected_status == 200 && workload.connections.is_none())
            .flat_map(|workload| {
                let requests = workload.requests(target, &subject.facts, 1_000 + slice);
                requests.into_iter().cycle().take(EACH)
            })
            .collect();
        shuffle(&mut requests, slice);
        let plan = Plan {
            target,
            connections: options.connections as usize,
            warmup_ms: 0,
            measured_ms: SLICE_S * 1_000,
            expected_status: 200,
            requests,
        };
        let tally = run::load(&serde_json::to_vec(&plan)?).await.context("soaking")?;
        let look = Look {
            database: subject.database,
            minutes: (slice + 1) as f64 * SLICE_S as f64 / 60.0,
            requests_per_s: tally.requests_per_s,
            p99_ms: tally.p99_ms,
            errors: tally.errors,
            rss_bytes: process::rss(subject.server.pid)?,
            cache_bytes: cache_bytes(subject)?,
        };
        let mib = |bytes: u64| bytes as f64 / (1024.0 * 1024.0);
        eprintln!(
            "{}: {:4.1} min, {:6.0} requests/s, {} errors, {:.1} MiB resident, {:.1} MiB in the cache",
            look.database,
            look.minutes,
            look.requests_per_s,
            look.errors,
            mib(look.rss_bytes),
            mib(look.cache_bytes)
        );
        looks.push(look);
    }
    Ok(looks)
}

/// Fisher and Yates's.
fn shuffle<T>(items: &mut [T], seed: u64) {
    let mut random = Random::seeded(seed);
    for last in (1..items.len()).rev() {
        items.swap(last, random.below(last + 1));
    }
}

fn cache_bytes(subject: &Subject) -> Result<u64> {
    let text = client::get_text(subject.server.address, "/metrics")?;
    let values = text.lines().filter(|line| line.starts_with("cache_memory_bytes"));
    let values = values.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok());
    Ok(values.sum::<f64>() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shuffled_items_are_the_same_ones() {
        let mut items: Vec<u32> = (0..100).collect();
        shuffle(&mut items, 3);
        assert_ne!(items, (0..100).collect::<Vec<_>>());
        items.sort_unstable();
        assert_eq!(items, (0..100).collect::<Vec<_>>());
    }
}
