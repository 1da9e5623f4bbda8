//! What differs between the databases, in one place.

use sea_orm::sea_query::{PostgresQueryBuilder, SchemaStatementBuilder, SqliteQueryBuilder};

/// Which database it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// SQLite 3.
    Sqlite,
    /// PostgreSQL 15 or later.
    Postgres,
}

impl Dialect {
    /// Its name for logs and metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sqlite => "sqlite",
            Self::Postgres => "postgres",
        }
    }

    /// One of two values, by database.
    pub fn pick<T>(self, sqlite: T, postgres: T) -> T {
        match self {
            Self::Sqlite => sqlite,
            Self::Postgres => postgres,
        }
    }

    /// SQL of a schema statement.
    #[must_use]
    pub fn schema_sql(self, statement: &impl SchemaStatementBuilder) -> String {
        match self {
            Self::Sqlite => statement.build(SqliteQueryBuilder),
            Self::Postgres => statement.build(PostgresQueryBuilder),
        }
    }

    /// Column suffix that makes text compare and sort by code point on both
    /// databases. SQLite does so by itself; PostgreSQL follows the locale.
    #[must_use]
    pub const fn binary_collation(self) -> &'static str {
        match self {
            Self::Sqlite => "",
            Self::Postgres => "COLLATE \"C\"",
        }
    }
}

/// A `LIKE` pattern for text that begins with `prefix`, in which nothing of
/// `prefix` has a special meaning. Goes with `ESCAPE '\'`.
#[must_use]
pub fn like_prefix(prefix: &str) -> String {
    let mut pattern = String::with_capacity(prefix.len() + 1);
    for character in prefix.chars() {
        if matches!(character, '%' | '_' | '\\') {
            pattern.push('\\');
        }
        pattern.push(character);
    }
    pattern.push('%');
    pattern
}

/// Folded words as a PostgreSQL `tsquery` that wants all of them, each as a prefix.
///
/// Words hold only letters and digits (`mainstay_core::text::words`), so that
/// quoting them is enough and no parser of PostgreSQL's sees them.
#[derive(Clone, Debug)]
pub struct PgTerms(pub String);

impl PgTerms {
    /// All of `words`, each as a prefix.
    #[must_use]
    pub fn prefixes(words: &[String]) -> Self {
        Self(
            words
                .iter()
                .map(|word| format!("'{}':*", word.replace('\'', "''")))
                .collect::<Vec<_>>()
                .join(" & "),
        )
    }
}

/// An FTS5 index over words that stores no text of its own; triggers keep it in step.
///
/// `ascii` takes every character beyond ASCII for part of a word, which leaves
/// the spaces between our words as the only separators. Ranks, phrases and
/// columns are not asked of it (`detail`, `columnsize`).
pub(crate) fn fts5_index(table: &str, id: &str, columns: &[&str]) -> Vec<String> {
    let names = columns.join(", ");
    let each = |write: &dyn Fn(&str) -> String, between: &str| {
        columns.iter().map(|column| write(column)).collect::<Vec<_>>().join(between)
    };
    let (old, new) =
        (each(&|column| format!("old.{column}"), ", "), each(&|column| format!("new.{column}"), ", "));
    let changed = each(&|column| format!("old.{column} <> new.{column}"), " OR ");
    let add = format!("INSERT INTO {table}_fts (rowid, {names}) VALUES (new.{id}, {new});");
    let remove =
        format!("INSERT INTO {table}_fts ({table}_fts, rowid, {names}) VALUES ('delete', old.{id}, {old});");
    vec![
        format!(
            "CREATE VIRTUAL TABLE {table}_fts USING fts5({names}, content = '{table}', content_rowid = '{id}', \
             tokenize = 'ascii', prefix = '1 2 3', detail = none, columnsize = 0)"
        ),
        format!("CREATE TRIGGER {table}_fts_insert AFTER INSERT ON {table} BEGIN {add} END"),
        format!("CREATE TRIGGER {table}_fts_delete AFTER DELETE ON {table} BEGIN {remove} END"),
        format!(
            "CREATE TRIGGER {table}_fts_update AFTER UPDATE OF {names} ON {table} \
             WHEN {changed} BEGIN {remove} {add} END"
        ),
    ]
}

/// A GIN index over the words themselves: no parser, stemmer or dictionary of
/// PostgreSQL sees them. Without `fastupdate`, so that no search pays for the
/// entries that an import left waiting.
pub(crate) fn gin_of_words(table: &str, columns: &[&str]) -> Vec<String> {
    let line = columns.join(" || ");
    vec![
        format!(
            "ALTER TABLE {table} ADD COLUMN words tsvector NOT NULL GENERATED ALWAYS AS \
             (array_to_tsvector(array_remove(string_to_array(btrim({line}), ' '), ''))) STORED"
        ),
        format!("CREATE INDEX {table}_words_idx ON {table} USING gin (words) WITH (fastupdate = off)"),
    ]
}

/// Holds every other migrator off until the transaction ends, however long that takes.
pub(crate) const PG_MIGRATION_LOCK: &str = "SET LOCAL lock_timeout = 0; SET LOCAL statement_timeout = 0; \
     SET LOCAL idle_in_transaction_session_timeout = 0; SELECT pg_advisory_xact_lock(7305808871245341299)";

/// The audit log only grows. The one change that passes is the removal of a row's
/// `changes`, when a person's data must go: the chain holds their digest, not their text.
pub(crate) const fn audit_log_guards(dialect: Dialect) -> &'static [&'static str] {
    match dialect {
        Dialect::Sqlite => &[
            "CREATE TRIGGER audit_log_no_delete BEFORE DELETE ON audit_log \
             BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END",
            "CREATE TRIGGER audit_log_no_update BEFORE UPDATE OF \
             seq, id, at, actor, request_id, address, action, target, details ON audit_log \
             BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END",
            "CREATE TRIGGER audit_log_no_rewrite BEFORE UPDATE OF changes ON audit_log \
             WHEN new.changes IS NOT NULL BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END",
        ],
        Dialect::Postgres => &[
            "CREATE FUNCTION audit_log_is_append_only() RETURNS trigger LANGUAGE plpgsql AS \
             $$ BEGIN RAISE EXCEPTION 'the audit log is append-only'; END $$",
            "CREATE TRIGGER audit_log_no_delete BEFORE DELETE ON audit_log \
             FOR EACH ROW EXECUTE FUNCTION audit_log_is_append_only()",
            "CREATE TRIGGER audit_log_no_update BEFORE UPDATE OF \
             seq, id, at, actor, request_id, address, action, target, details ON audit_log \
             FOR EACH ROW EXECUTE FUNCTION audit_log_is_append_only()",
            "CREATE TRIGGER audit_log_no_rewrite BEFORE UPDATE OF changes ON audit_log \
             FOR EACH ROW WHEN (new.changes IS NOT NULL) EXECUTE FUNCTION audit_log_is_append_only()",
        ],
    }
}

pub(crate) const DROP_PG_AUDIT_LOG_GUARD: &str = "DROP FUNCTION audit_log_is_append_only()";

/// The channel on which nodes that share a PostgreSQL wake each other.
pub(crate) const PG_CHANNEL: &str = "mainstay";

/// Wakes the other nodes: the first value is the channel, the second whom and by whom.
pub(crate) const PG_NOTIFY: &str = "SELECT pg_notify($1, $2)";

/// The channel on which nodes that read from replicas tell each other who wrote.
pub(crate) const PG_REPLICA_CHANNEL: &str = "mainstay_replicas";

/// How far the log of a primary reaches: whatever was committed and answered before is in it.
/// Where a commit waits for no disk, that is what was written to memory.
pub(crate) const PG_PRIMARY_PLACE: &str = "SELECT pg_is_in_recovery() AS in_recovery, \
     CASE WHEN pg_is_in_recovery() THEN NULL ELSE pg_wal_lsn_diff(\
     CASE WHEN current_setting('synchronous_commit') = 'off' THEN pg_current_wal_insert_lsn() \
     ELSE pg_current_wal_flush_lsn() END, '0/0')::bigint END AS lsn, system_identifier AS system, \
     CASE WHEN pg_is_in_recovery() THEN 0 ELSE \
     ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::int END AS timeline, \
     current_database()::text AS database FROM pg_control_system()";

/// How far a replica has replayed it, and of which history. The receiver knows its timeline at once
/// but is shown to monitoring roles only; the control file knows it after the next checkpoint.
pub(crate) const PG_REPLICA_PLACE: &str = "SELECT pg_is_in_recovery() AS in_recovery, \
     pg_wal_lsn_diff(pg_last_wal_replay_lsn(), '0/0')::bigint AS lsn, system_identifier AS system, \
     GREATEST((SELECT timeline_id FROM pg_control_checkpoint()), \
     (SELECT min_recovery_end_timeline FROM pg_control_recovery()), \
     (SELECT received_tli FROM pg_stat_wal_receiver)) AS timeline, \
     current_database()::text AS database FROM pg_control_system()";

/// Gives the log of invalidations a name that no other has.
pub(crate) const fn name_invalidation_log(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::Sqlite => "INSERT INTO invalidation_log (id, name) VALUES (1, randomblob(16))",
        Dialect::Postgres => {
            "INSERT INTO invalidation_log (id, name) VALUES (1, decode(replace(gen_random_uuid()::text, '-', ''), 'hex'))"
        }
    }
}

/// Reads the log of invalidations, its name, whose history it is and where it ends, in one snapshot. The values
/// are the position to begin with and how many rows at most; there is always a row, perhaps with nothing but the end.
pub(crate) const SQLITE_READ_INVALIDATIONS: &str = "SELECT h.name, '', h.place, l.id, l.id, l.hashes \
     FROM (SELECT (SELECT name FROM invalidation_log) AS name, \
     (coalesce(max(id), 0) + 1) || ':' || (coalesce(max(id), 0) + 1) || ':' AS place FROM invalidations) h \
     LEFT JOIN (SELECT id, hashes FROM invalidations WHERE id >= ?1 ORDER BY id DESC LIMIT ?2) l ON TRUE \
     ORDER BY l.id DESC";

/// Which server this is, which of its histories (each promotion begins a new one) and which of its databases.
/// NULL for a standby.
macro_rules! pg_history {
    () => {
        "CASE WHEN pg_is_in_recovery() THEN NULL ELSE \
         (SELECT system_identifier::text FROM pg_control_system()) || ' ' || \
         substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8) || ' ' || \
         (SELECT oid::text FROM pg_database WHERE datname = current_database()) END"
    };
}

/// The second value are the positions that were still open where the last look ended, which lie before the first
/// one; the third is how many rows at most. In two parts, each of which has the index.
macro_rules! pg_read_invalidations {
    ($history:expr) => {
        concat!(
            "SELECT h.name, h.history, h.place, l.id, l.position, l.hashes \
             FROM (SELECT (SELECT name FROM invalidation_log) AS name, pg_current_snapshot()::text AS place, ",
            $history,
            " AS history) h LEFT JOIN (SELECT * FROM (\
             (SELECT id, position, hashes FROM invalidations WHERE position >= $1 ORDER BY position DESC LIMIT $3) \
             UNION ALL (SELECT id, position, hashes FROM invalidations WHERE position = ANY($2))) new \
             ORDER BY position DESC LIMIT $3) l ON TRUE ORDER BY l.position DESC"
        )
    };
}

/// When PostgreSQL last crashed, as far as an ordinary role can tell: what it counts it forgets then, and only then by
/// itself. After a crash it gives the numbers of transactions out again that were not on the disk yet.
pub(crate) const PG_CRASH: &str =
    "SELECT coalesce(extract(epoch FROM stats_reset)::text, '') FROM pg_stat_bgwriter";

/// To find out whether the role may ask.
pub(crate) const PG_HISTORY: &str = concat!("SELECT ", pg_history!());

/// [`SQLITE_READ_INVALIDATIONS`] for PostgreSQL.
pub(crate) const PG_READ_INVALIDATIONS: &str = pg_read_invalidations!(pg_history!());

/// The same for a role that may not ask for the history.
pub(crate) const PG_READ_INVALIDATIONS_ALONE: &str =
    pg_read_invalidations!("CASE WHEN pg_is_in_recovery() THEN NULL ELSE '' END");

/// Writes a row of it: when, and what. Gives its number and position.
pub(crate) const fn write_invalidation(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::Sqlite => "INSERT INTO invalidations (at, hashes) VALUES (?1, ?2) RETURNING id, id",
        Dialect::Postgres => {
            "INSERT INTO invalidations (position, at, hashes) \
             VALUES (pg_current_xact_id()::text::bigint, $1, $2) RETURNING id, position"
        }
    }
}

/// A query with a row if the table exists.
pub(crate) fn has_table(dialect: Dialect, table: &'static str) -> String {
    match dialect {
        Dialect::Sqlite => format!("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = '{table}'"),
        Dialect::Postgres => format!("SELECT 1 WHERE to_regclass('{table}') IS NOT NULL"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_has_no_special_characters() {
        assert_eq!(like_prefix(r"50%_\"), r"50\%\_\\%");
    }
}
