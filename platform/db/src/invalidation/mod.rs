//! The log of invalidations: what caches must no longer believe, committed with the change.
//!
//! A row names things by 32 bits of a digest, never by name. Rows are read by their *position*,
//! which is such that all rows below a look's horizon are final: on PostgreSQL it is the number of
//! the transaction, and the horizon the lowest one that still runs; SQLite has one writer, so
//! there the row's own number will do. A look reads what was committed since another one, however far
//! back a transaction that stays open holds the horizon.

mod reader;

use mainstay_core::Timestamp;
use sea_orm::sea_query::{Alias, Expr, ExprTrait as _, Query};
use sea_orm::{ConnectionTrait, DbErr, QueryResult, Statement};

use self::reader::Found;
pub(crate) use self::reader::{LogLink, LogReader};

use crate::{Db, dialect};

/// The topic of [`Signals`](crate::Signals) that is woken when a commit left invalidations.
pub const INVALIDATIONS: &str = "invalidations";

/// A row of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invalidation {
    /// Its number. No order of commits.
    pub id: i64,
    /// Its place among the commits: see [`Place::horizon`].
    pub position: i64,
    /// What must no longer be believed.
    pub hashes: Vec<u32>,
}

/// A place in the log: what was committed when a look was made, and what was not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// All positions below were settled.
    horizon: i64,
    /// No position from here on was.
    end: i64,
    /// Between the two, these were not.
    open: Vec<i64>,
}

impl Place {
    /// Before everything.
    pub const START: Self = Self { horizon: i64::MIN, end: i64::MIN, open: Vec::new() };

    /// Every change whose position is below this was committed before the look, or never will be. So
    /// what is read from the primary after a look holds all of them.
    #[must_use]
    pub fn horizon(&self) -> i64 {
        self.horizon
    }

    /// From the form in which PostgreSQL writes a snapshot: `horizon:end:open,open`.
    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.splitn(3, ':');
        let (horizon, end, open) = (parts.next()?, parts.next()?, parts.next()?);
        let open = open.split(',').filter(|number| !number.is_empty());
        let open = open.map(str::parse).collect::<Result<_, _>>().ok()?;
        Some(Self { horizon: horizon.parse().ok()?, end: end.parse().ok()?, open })
    }
}

/// What was found in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Look {
    /// What tells this log from every other: positions of different logs can't be compared. On PostgreSQL a
    /// standby that was promoted, another server that a copy was brought to, and one that crashed have another log.
    pub log: u128,
    /// Where the next look begins.
    pub place: Place,
    /// The newest first.
    pub rows: Vec<Invalidation>,
}

/// That a unit left a row in the log: its number and position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Logged {
    /// Its number.
    pub id: i64,
    /// Its position.
    pub position: i64,
}

impl Db {
    /// The rows that were committed since the look that ended at `from`, each of them once and the newest `most` of them.
    /// Read on a connection of its own, so that it does not wait for one when all are busy.
    ///
    /// # Errors
    /// If the query fails, or is answered by a standby.
    pub async fn invalidations(&self, from: &Place, most: u32) -> Result<Look, DbErr> {
        let Found { rows: found, crash } = self.log().read(from, most.into()).await?;
        let first = found.first().ok_or_else(|| DbErr::RecordNotFound("the horizon".to_owned()))?;
        let name: Vec<u8> = first.try_get_by_index(0)?;
        let name = name.try_into().map_err(|_| DbErr::Type("the log's name has 16 bytes".to_owned()))?;
        let history: Option<String> = first.try_get_by_index(1)?;
        let history = history.ok_or_else(|| {
            DbErr::Custom("database.url leads to a standby, whose log of invalidations lags".to_owned())
        })?;
        let place: String = first.try_get_by_index(2)?;
        let place =
            Place::parse(&place).ok_or_else(|| DbErr::Type(format!("no place in the log: {place}")))?;
        let rows = found.iter().filter_map(|row| read(row).transpose()).collect::<Result<_, _>>()?;
        Ok(Look { log: u128::from_le_bytes(mixed(name, &history, &crash)), place, rows })
    }

    /// Gives the log a new name, after which nothing that any node has kept by its positions counts. For a
    /// database that was put back to an earlier state.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn rename_invalidation_log(&self, name: u128) -> Result<(), DbErr> {
        let mut update = Query::update();
        let name = name.to_le_bytes().to_vec();
        update.table(Alias::new("invalidation_log")).value(Alias::new("name"), name);
        let unit = self.write(&mainstay_core::Actor::system("cache.log")).await?;
        unit.execute(&update).await?;
        unit.commit().await
    }

    /// Removes rows from before `before`, but never the newest 1000 nor what lies above a row that stays. Gives
    /// their number.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn purge_invalidations(&self, before: Timestamp) -> Result<u64, DbErr> {
        const KEPT: i64 = 1000;
        let log = || Alias::new("invalidations");
        let id = || Expr::col(Alias::new("id"));
        let position = || Expr::col(Alias::new(self.dialect().pick("id", "position")));
        let newest = Query::select().expr(id().max()).from(log()).take();
        let is_new = Expr::col(Alias::new("at")).gte(before.millis());
        // By position: of whatever lies above a row that is there, nothing may be missing.
        let first_kept = Query::select()
            .expr(position().min())
            .from(log())
            .and_where(is_new.or(id().gt(Expr::SubQuery(None, Box::new(newest.into())).sub(KEPT))))
            .take();
        // One statement, which does not see what is committed while it runs.
        let mut delete = Query::delete();
        delete.from_table(log()).and_where(position().lt(Expr::SubQuery(None, Box::new(first_kept.into()))));
        let unit = self.write(&mainstay_core::Actor::system("cache.purge")).await?;
        let done = unit.execute(&delete).await?;
        unit.commit().await?;
        Ok(done.rows_affected())
    }
}

/// The name of a log in one history of one database, up to its next crash.
fn mixed(name: [u8; 16], history: &str, crash: &str) -> [u8; 16] {
    if history.is_empty() && crash.is_empty() {
        return name;
    }
    let all = [&name[..], history.as_bytes(), b" ", crash.as_bytes()].concat();
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &all);
    *digest.as_ref().first_chunk().expect("a digest of 32 bytes has 16")
}

fn read(row: &QueryResult) -> Result<Option<Invalidation>, DbErr> {
    let Some(id) = row.try_get_by_index::<Option<i64>>(3)? else { return Ok(None) };
    let position = row.try_get_by_index(4)?;
    let bytes: Vec<u8> = row.try_get_by_index(5)?;
    let hashes = bytes.chunks_exact(4).map(|four| u32::from_le_bytes([four[0], four[1], four[2], four[3]]));
    Ok(Some(Invalidation { id, position, hashes: hashes.collect() }))
}

/// Writes one row for all of `hashes`; none if there are none.
pub(crate) async fn write(
    transaction: &impl ConnectionTrait,
    dialect: crate::Dialect,
    at: Timestamp,
    hashes: &std::collections::BTreeSet<u32>,
) -> Result<Option<Logged>, DbErr> {
    if hashes.is_empty() {
        return Ok(None);
    }
    let bytes: Vec<u8> = hashes.iter().flat_map(|hash| hash.to_le_bytes()).collect();
    let values = [at.millis().into(), bytes.into()];
    let sql = dialect::write_invalidation(dialect);
    let statement = Statement::from_sql_and_values(transaction.get_database_backend(), sql, values);
    let row = transaction.query_one_raw(statement).await?;
    let row = row.ok_or_else(|| DbErr::RecordNotFound("the row that was written".to_owned()))?;
    Ok(Some(Logged { id: row.try_get_by_index(0)?, position: row.try_get_by_index(1)? }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_what_a_snapshot_says() {
        let place = |horizon, end, open: &[i64]| Some(Place { horizon, end, open: open.to_vec() });
        assert_eq!(Place::parse("7:7:"), place(7, 7, &[]));
        assert_eq!(Place::parse("7:12:7,9"), place(7, 12, &[7, 9]));
        for wrong in ["", "7", "7:7", "7:x:", "7:9:8,x"] {
            assert_eq!(Place::parse(wrong), None, "{wrong}");
        }
    }
}
