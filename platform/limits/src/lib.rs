#![doc = include_str!("../README.md")]

mod decision;
pub mod headers;
mod key;
mod limiter;
mod local;
mod metrics;
mod policy;
mod settings;
mod simulate;
mod state;
pub mod store;

pub use decision::{Answer, Decision, Verdict};
pub use key::{Charge, Key};
pub use limiter::{Fail, Limiter, Shared, StoreState};
pub use mainstay_redis::{RedisError, RedisOptions, RedisReport, inspect};
pub use policy::{Algorithm, MAX_EXACT, MAX_WINDOW, Policy, PolicyError, SUB_BUCKETS};
pub use settings::{Callers, CountBy, LimitText, LimitsConfig, LimitsSettings, PolicySettings};
pub use simulate::{Simulation, simulate};
