#![doc = include_str!("../README.md")]

mod cache;
mod entry;
mod flights;
mod load;
mod log;
mod memory;
mod metrics;
mod namespace;
mod second;
mod settings;
mod slots;
mod stale;
mod status;
mod time;
mod value;
mod walk;

pub use cache::{Cache, CacheOptions, Cached, Fetched, LoadError};
pub use mainstay_redis::{RedisError, RedisOptions};
pub use namespace::Namespace;
pub use settings::CacheSettings;
pub use stale::Stale;
pub use status::{CacheStatus, Source};
pub use time::Steady;
pub use value::{Body, Loaded, Value};
