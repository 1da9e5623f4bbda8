//! The limits of this server: where they are counted, and how that shows.

use std::num::NonZeroU32;
use std::sync::Arc;

use mainstay_core::Clock;
use mainstay_core::settings::{Sources, expose};
use mainstay_http::{Probe, RateLimits};
use mainstay_limits::{Fail, Limiter, LimitsConfig, RedisOptions, Shared, StoreState};
use mainstay_telemetry::Metrics;

use crate::config::RedisSettings;

/// How Redis is reached for limits. `None`: it is not used. A fault of its address goes into `sources`.
pub(crate) fn redis_options(redis: &RedisSettings, sources: &mut Sources) -> Option<RedisOptions> {
    match RedisOptions::new(expose(redis.url.as_ref()?), &format!("{}:limits:", redis.prefix)) {
        Ok(options) => Some(options),
        Err(error) => {
            sources.fault(format!("redis.url: {error}"));
            None
        }
    }
}

/// The limits as configured. Redis is not asked before they are started.
pub(crate) fn build(
    config: &LimitsConfig,
    redis: &RedisSettings,
    offline: bool,
    clock: &Arc<dyn Clock>,
    metrics: &Metrics,
    sources: &mut Sources,
) -> anyhow::Result<Option<RateLimits>> {
    if !config.settings.enabled {
        return Ok(None);
    }
    let options = redis_options(redis, sources).filter(|_| !offline);
    let limiter = match options {
        None => Limiter::memory(clock.clone(), metrics),
        Some(redis) => {
            let nodes = NonZeroU32::new(config.settings.nodes).unwrap_or(NonZeroU32::MIN);
            let shared = Shared { redis, fail: config.settings.fail, nodes };
            Limiter::to_be_shared(shared, clock.clone(), metrics)?
        }
    };
    Ok(RateLimits::new(config, limiter)?)
}

/// Whether the store of the limits is there. Without it the server goes on.
pub(crate) fn probe(limits: &RateLimits) -> Probe {
    let limiter = limits.limiter().clone();
    let look = move || {
        // What that means for calls stands in the log and in what the doctor says: whoever asks here may be anybody.
        let state = match limiter.store_state() {
            StoreState::Away => "Redis is away",
            StoreState::Memory | StoreState::Up => "ok",
        };
        std::future::ready(state.to_owned())
    };
    Probe::note("limits", look)
}

/// What happens to calls while Redis is away.
pub(crate) fn meanwhile(fail: Fail) -> &'static str {
    match fail {
        Fail::Local => "this node admits its share",
        Fail::Open => "calls are admitted uncounted, but for signing in and resets",
        Fail::Closed => "no limited call is admitted",
    }
}
