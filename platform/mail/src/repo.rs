//! Queries. They take a connection and never begin a transaction.

use mainstay_core::Timestamp;
use sea_orm::sea_query::{Expr, OnConflict};
use sea_orm::{
    ColumnTrait as _, ConnectionTrait, DbErr, EntityTrait as _, IntoActiveModel as _, QueryFilter as _,
    QueryOrder as _, QuerySelect as _, Value,
};
use uuid::Uuid;

use crate::MailStatus;
use crate::entity::{Column, Entity, Model};

/// Adds a mail. False if one of its cause, template and address is there.
pub(crate) async fn insert(connection: &impl ConnectionTrait, row: Model) -> Result<bool, DbErr> {
    let known =
        OnConflict::columns([Column::Cause, Column::Template, Column::AddressNorm]).do_nothing().to_owned();
    let added =
        Entity::insert(row.into_active_model()).on_conflict(known).exec_without_returning(connection).await?;
    Ok(added == 1)
}

pub(crate) async fn find(connection: &impl ConnectionTrait, id: Uuid) -> Result<Option<Model>, DbErr> {
    Entity::find_by_id(id).one(connection).await
}

/// When the newest mail of this template to this address was queued.
pub(crate) async fn newest(
    connection: &impl ConnectionTrait,
    address: &str,
    template: &str,
) -> Result<Option<Timestamp>, DbErr> {
    let row = Entity::find()
        .filter(Column::AddressNorm.eq(address))
        .filter(Column::Template.eq(template))
        .order_by_desc(Column::CreatedAt)
        .one(connection)
        .await?;
    Ok(row.map(|row| Timestamp::from_millis(row.created_at)))
}

/// Mails to be sent by `now`, the longest due first.
pub(crate) async fn due(
    connection: &impl ConnectionTrait,
    now: Timestamp,
    limit: u64,
) -> Result<Vec<Model>, DbErr> {
    Entity::find()
        .filter(Column::Status.eq(MailStatus::Queued.name()))
        .filter(Column::DueAt.lte(now.millis()))
        .order_by_asc(Column::DueAt)
        .order_by_asc(Column::Id)
        .limit(limit)
        .all(connection)
        .await
}

/// Takes a mail for one attempt, until `until`. False if another sender was faster.
pub(crate) async fn claim(
    connection: &impl ConnectionTrait,
    row: &Model,
    until: Timestamp,
) -> Result<bool, DbErr> {
    let changes = vec![(Column::Attempts, (row.attempts + 1).into()), (Column::DueAt, until.millis().into())];
    change(connection, row.id, row.attempts, changes).await
}

/// Changes a mail that waits and of which that many attempts began. False if it is not in
/// that state any more.
pub(crate) async fn change(
    connection: &impl ConnectionTrait,
    id: Uuid,
    attempts: i64,
    changes: Vec<(Column, Value)>,
) -> Result<bool, DbErr> {
    let update = changes
        .into_iter()
        .fold(Entity::update_many(), |update, (column, value)| update.col_expr(column, Expr::value(value)));
    let result = update
        .filter(Column::Id.eq(id))
        .filter(Column::Status.eq(MailStatus::Queued.name()))
        .filter(Column::Attempts.eq(attempts))
        .exec(connection)
        .await?;
    Ok(result.rows_affected == 1)
}

/// Removes mails that nobody waits for and that were queued before `before`.
pub(crate) async fn purge(connection: &impl ConnectionTrait, before: Timestamp) -> Result<u64, DbErr> {
    const PORTION: u64 = 500;
    let old = Entity::find()
        .filter(Column::Status.ne(MailStatus::Queued.name()))
        .filter(Column::CreatedAt.lt(before.millis()))
        .limit(PORTION)
        .all(connection)
        .await?;
    let ids: Vec<Uuid> = old.into_iter().map(|row| row.id).collect();
    Ok(Entity::delete_many().filter(Column::Id.is_in(ids)).exec(connection).await?.rows_affected)
}
