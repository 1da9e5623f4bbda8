#![doc = include_str!("../README.md")]

mod logs;
mod metrics;

pub use logs::{LogFormat, TelemetrySettings, init_logs};
pub use metrics::{Metrics, latency_buckets};
pub use prometheus_client;
