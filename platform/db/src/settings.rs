use secrecy::SecretString;

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
        /// Most connections to PostgreSQL, of which a quarter (at most two a core) serve single-row lookups; or most
        /// readers of the SQLite file (at most two a core; it has one writer besides).
        max_connections: u32 = 16, in 2..=500;
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
