use std::time::Duration;

use crate::RedisOptions;

/// What there is to know of a Redis before one relies on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RedisReport {
    /// Its version.
    pub version: String,
    /// What it does when its memory is full. Anything but `noeviction` forgets counters then.
    pub maxmemory_policy: String,
    /// How much memory it may take, in bytes; 0: all there is.
    pub maxmemory_bytes: u64,
    /// Whether it is part of a cluster, which a call under several limits can't be counted in.
    pub is_cluster: bool,
    /// Whether it takes writes: a replica does not.
    pub is_primary: bool,
}

/// Asks a Redis about itself, for at most 5 s.
///
/// # Errors
/// Why it can't be asked, in words.
pub async fn inspect(options: &RedisOptions) -> Result<RedisReport, String> {
    let client = options.client().map_err(|error| error.to_string())?;
    let ask = async {
        let mut connection = client.get_multiplexed_async_connection().await?;
        redis::cmd("INFO").query_async::<String>(&mut connection).await
    };
    let answer = tokio::time::timeout(Duration::from_secs(5), ask).await;
    let text = answer.map_err(|_| "no answer within 5 s".to_owned())?.map_err(|error| error.to_string())?;
    let field = |name: &str| {
        let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        value.unwrap_or_default().trim().to_owned()
    };
    Ok(RedisReport {
        version: field("redis_version"),
        maxmemory_policy: field("maxmemory_policy"),
        maxmemory_bytes: field("maxmemory").parse().unwrap_or(0),
        is_cluster: field("cluster_enabled") == "1",
        is_primary: field("role") != "slave",
    })
}
