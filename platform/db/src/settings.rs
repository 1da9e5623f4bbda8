use std::str::FromStr as _;

use mainstay_core::settings::{Sources, expose};
use secrecy::SecretString;
use sqlx::postgres::PgConnectOptions;

mainstay_core::setting_words! {
    /// Whether `serve` applies migrations before it starts.
    pub enum MigrateOnStart {
        /// On SQLite yes; elsewhere it refuses to start on a database that is behind.
        Auto = "auto",
        /// Yes. Several nodes may start together: each migration runs once.
        Always = "always",
        /// No: it refuses to start on a database that is behind.
        Never = "never",
    }
}

mainstay_core::settings! {
    /// The database.
    pub struct DatabaseSettings in "database" {
        /// `sqlite://PATH?mode=rwc` or `postgres://user:password@host:port/name`.
        url: SecretString = "sqlite://data/mainstay.db?mode=rwc".to_owned().into(), env "DATABASE_URL";
        /// Most connections to PostgreSQL, of which a quarter (at most two a core) serve single-row lookups; wake-ups and
        /// the log of invalidations take up to three more. Or most readers of the SQLite file (at most two a core; it has
        /// a writer and a reader of that log besides).
        max_connections: u32 = 16, in 2..=500;
        /// How many of PostgreSQL's connections are for changes alone, so that reads can't keep them waiting. 0: reads
        /// and changes share what is not for single-row lookups.
        write_connections: u32 = 0, in 0..=400;
        /// Read replicas of the PostgreSQL at `url` (streaming, hot standby), as URLs like it. Every node needs the same
        /// list. Reads go there unless the caller wrote lately; what decides something never does.
        replica_urls: Vec<SecretString> = vec![], env "DATABASE_REPLICA_URLS";
        /// Most connections to each replica, of which a quarter (at most two a core) serve single-row lookups.
        replica_connections: u32 = 16, in 2..=500;
        /// A replica answers only while it is known to contain everything that was committed until so long ago, in
        /// milliseconds.
        replica_max_lag_ms: u64 = 500, in 100..=900;
        /// Longest wait for a free connection, in seconds.
        acquire_timeout_s: u64 = 5, in 1..=60;
        /// Longest run of one statement, in seconds. PostgreSQL only.
        statement_timeout_s: u64 = 15, in 1..=600;
        /// Longest wait for a lock (for SQLite's write lock too), in seconds.
        lock_timeout_s: u64 = 5, in 1..=60;
        /// Statements that take at least this long are logged with their template, in milliseconds.
        slow_query_ms: u64 = 250, in 1..=60_000;
        /// Whether `serve` applies migrations before it starts.
        migrate_on_start: MigrateOnStart = MigrateOnStart::Auto;
    }
}

impl DatabaseSettings {
    /// Reports what concerns several keys, and URLs that are none.
    pub fn check(&self, sources: &mut Sources) {
        for fault in self.faults() {
            sources.fault(fault);
        }
    }

    fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        if !self.replica_urls.is_empty() && !is_postgres(&self.url) {
            faults.push(
                "database.replica_urls is set, but only PostgreSQL has replicas: set database.url to its primary, \
                 or leave database.replica_urls empty"
                    .to_owned(),
            );
        }
        for (number, url) in (1..).zip(&self.replica_urls) {
            if !is_postgres(url) || PgConnectOptions::from_str(expose(url)).is_err() {
                faults.push(format!(
                    "database.replica_urls: the URL number {number} must be like postgres://user:password@host:port/name"
                ));
            }
            if self
                .replica_urls
                .iter()
                .take(number - 1)
                .chain([&self.url])
                .any(|other| expose(other) == expose(url))
            {
                faults.push(format!(
                    "database.replica_urls: the URL number {number} is there twice, or the primary's own"
                ));
            }
        }
        // One for lookups and one for reads must be left.
        if self.write_connections > 0 && self.write_connections + 2 > self.max_connections {
            faults.push(format!(
                "database.write_connections must be at least 2 less than database.max_connections, which is {}",
                self.max_connections
            ));
        }
        faults
    }
}

fn is_postgres(url: &SecretString) -> bool {
    ["postgres:", "postgresql:"].iter().any(|scheme| expose(url).starts_with(scheme))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(url: &str, replicas: &[&str]) -> String {
        let replica_urls = replicas.iter().map(|url| (*url).to_owned().into()).collect();
        let settings =
            DatabaseSettings { url: url.to_owned().into(), replica_urls, ..DatabaseSettings::default() };
        settings.faults().join("; ")
    }

    #[test]
    fn replicas_are_other_servers_of_postgresql() {
        let primary = "postgres://user:hidden@one/db";
        assert_eq!(faults(primary, &["postgres://user:hidden@two/db", "postgresql://three/db"]), "");
        assert!(faults("sqlite://x.db", &["postgres://two/db"]).contains("only PostgreSQL has replicas"));
        for wrong in ["sqlite://two.db", "two", "postgres://two:port/db"] {
            assert!(faults(primary, &[wrong]).contains("URL number 1 must be like"), "{wrong}");
        }
        let twice = faults(primary, &["postgres://two/db", "postgres://two/db", primary]);
        assert!(
            twice.contains("number 2 is there twice") && twice.contains("number 3 is there twice"),
            "{twice}"
        );
        assert!(!twice.contains("hidden"), "{twice}");
    }

    #[test]
    fn connections_for_changes_leave_some_for_reads() {
        let settings =
            DatabaseSettings { max_connections: 4, write_connections: 3, ..DatabaseSettings::default() };
        assert_eq!(settings.faults().len(), 1);
        assert!(DatabaseSettings { write_connections: 2, ..settings }.faults().is_empty());
    }
}
