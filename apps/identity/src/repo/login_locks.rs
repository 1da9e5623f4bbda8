//! Counters of failed sign-ins.

use mainstay_core::Timestamp;
use sea_orm::sea_query::{Expr, OnConflict};
use sea_orm::{
    ColumnTrait as _, ConnectionTrait, DbErr, EntityTrait as _, IntoActiveModel as _, QueryFilter as _,
    QuerySelect as _,
};

use crate::entity::login_lock::{Column, Entity, Model};
use crate::lockout::Counter;

/// The counters under these keys, as far as there are any.
pub(crate) async fn find_counters(
    connection: &impl ConnectionTrait,
    keys: &[&str],
) -> Result<Vec<Counter>, DbErr> {
    let rows = Entity::find().filter(Column::Key.is_in(keys.iter().copied())).all(connection).await?;
    Ok(rows.iter().map(Counter::from).collect())
}

/// The counter under this key, locked until the transaction ends: others who count wait.
pub(crate) async fn hold_counter(connection: &impl ConnectionTrait, key: &str) -> Result<Counter, DbErr> {
    let empty =
        Model { key: key.to_owned(), recent: String::new(), locks: 0, locked_until: None, updated_at: 0 };
    // It changes nothing of a row that is there, but a change takes the row's lock.
    let keep = OnConflict::column(Column::Key)
        .value(Column::Key, Expr::col((sea_orm::sea_query::Alias::new("excluded"), Column::Key)))
        .to_owned();
    Entity::insert(empty.into_active_model()).on_conflict(keep).exec_without_returning(connection).await?;
    let row = Entity::find_by_id(key).one(connection).await?;
    Ok(row.as_ref().map(Counter::from).unwrap_or_default())
}

pub(crate) async fn write_counter(
    connection: &impl ConnectionTrait,
    key: &str,
    counter: &Counter,
) -> Result<(), DbErr> {
    Entity::update_many()
        .col_expr(Column::Recent, counter.recent_text().into())
        .col_expr(Column::Locks, counter.locks.into())
        .col_expr(Column::LockedUntil, counter.locked_until.map(Timestamp::millis).into())
        .col_expr(Column::UpdatedAt, counter.updated_at.millis().into())
        .filter(Column::Key.eq(key))
        .exec(connection)
        .await?;
    Ok(())
}

/// Forgets recent failures after a success; how often it was locked before stays known.
pub(crate) async fn reset_counter(connection: &impl ConnectionTrait, key: &str) -> Result<(), DbErr> {
    Entity::update_many()
        .col_expr(Column::Recent, String::new().into())
        .filter(Column::Key.eq(key))
        .exec(connection)
        .await?;
    Ok(())
}

/// Ends a lock and forgets everything counted. False if there was nothing.
pub(crate) async fn delete_counter(connection: &impl ConnectionTrait, key: &str) -> Result<bool, DbErr> {
    Ok(Entity::delete_by_id(key).exec(connection).await?.rows_affected > 0)
}

/// Removes counters that nothing was added to since then. Gives how many.
pub(crate) async fn delete_counters_before(
    connection: &impl ConnectionTrait,
    then: Timestamp,
) -> Result<u64, DbErr> {
    const PORTION: u64 = 500;
    let healed = Entity::find().filter(Column::UpdatedAt.lt(then.millis()));
    let keys: Vec<String> =
        healed.limit(PORTION).all(connection).await?.into_iter().map(|row| row.key).collect();
    Ok(Entity::delete_many().filter(Column::Key.is_in(keys)).exec(connection).await?.rows_affected)
}
