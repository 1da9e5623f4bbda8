use std::str::FromStr as _;
use std::time::Duration;

use redis::{Client, ConnectionInfo};

/// How Redis is reached.
#[derive(Clone, Debug)]
pub struct RedisOptions {
    info: ConnectionInfo,
    prefix: String,
    timeout: Duration,
}

/// An URL that does not lead to a Redis.
#[derive(Debug, thiserror::Error)]
#[error("this is no URL of a Redis that is known here (redis://[[user]:password@]host[:port][/database])")]
pub struct RedisError(#[source] redis::RedisError);

impl RedisOptions {
    /// Waits at most 50 ms for Redis. The names of keys begin with `prefix`, so that several uses and
    /// several deployments can share one.
    ///
    /// # Errors
    /// An URL that can't be read, or of a kind that was not compiled in (`rediss`).
    pub fn new(url: &str, prefix: &str) -> Result<Self, RedisError> {
        let info = ConnectionInfo::from_str(url).map_err(RedisError)?;
        Ok(Self { info, prefix: prefix.to_owned(), timeout: Duration::from_millis(50) })
    }

    /// How long a call waits for an answer, and for a connection. While Redis hangs, and until that
    /// is noticed, each call loses so much.
    #[must_use]
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// What the names of keys begin with.
    #[must_use]
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    pub(crate) fn timeout(&self) -> Duration {
        self.timeout
    }

    pub(crate) fn client(&self) -> Result<Client, RedisError> {
        Client::open(self.info.clone()).map_err(RedisError)
    }
}
