//! Where the counters are kept: one trait, memory and Redis behind it.

pub mod memory;
pub mod redis;

pub use crate::key::Order;

/// What a store says to one order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tally {
    /// Whether this counter has room for it.
    pub admitted: bool,
    /// What is left, after the call if it was charged.
    pub remaining: u32,
    /// Milliseconds until there is more left; 0 if nothing is used.
    pub reset_ms: u64,
    /// Milliseconds until it would be admitted, 0 if it is. `None`: never.
    pub retry_ms: Option<u64>,
    /// When it was decided: milliseconds since the Unix epoch by the store's clock.
    pub at_ms: i64,
    /// How many permits were taken ahead.
    pub granted: u32,
}

/// A store that can't be asked now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// It failed so often that it is not asked for now.
    #[error("the store is away")]
    Away,
    /// It failed, or took too long.
    #[error("the store failed")]
    Failed,
}

/// Keeps counters and decides on them.
pub trait Store: Send + Sync {
    /// Charges all orders or none: if one of them finds no room, nothing is counted. In one step:
    /// no other call comes between. Gives one answer for each order. The keys of the orders differ
    /// from each other.
    ///
    /// # Errors
    /// [`StoreError`] when the store can't be asked. What was charged then is unknown, and if it
    /// was, nobody was admitted for it.
    fn charge(&self, orders: &[Order]) -> impl Future<Output = Result<Vec<Tally>, StoreError>> + Send;
}
