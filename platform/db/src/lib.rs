#![doc = include_str!("../README.md")]

mod connect;
mod dialect;
mod error;
mod invalidation;
pub mod migrate;
mod page;
mod point;
mod replica;
mod settings;
mod signal;
#[cfg(feature = "testing")]
pub mod testing;
pub mod trail;
mod unit;
pub mod words;

pub use connect::{Db, DbOptions, create_private_folder};
pub use dialect::{Dialect, PgTerms, like_prefix};
pub use error::{DbProblem, foreign_key_violation, is_retryable, unique_violation};
pub use invalidation::{INVALIDATIONS, Invalidation, Logged, Look, Place};
pub use migrate::{Migration, Migrator, Steps};
pub use page::{page, page_of};
pub use point::{PointQuery, PointRow, PointValue};
pub use replica::{Reader, ReplicaState, ReplicaStatus};
pub use settings::{DatabaseSettings, MigrateOnStart};
pub use signal::{Listener, Signals};
pub use unit::{UnitWork, WriteUnit};
pub use words::WordIndex;
