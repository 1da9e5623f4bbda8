//! Signing keys.

use mainstay_core::Timestamp;
use sea_orm::{
    ColumnTrait as _, Condition, ConnectionTrait, DbErr, EntityTrait as _, IntoActiveModel as _, Order,
    QueryFilter as _, QueryOrder as _,
};

use crate::entity::signing_key;

pub(crate) async fn insert_key(
    connection: &impl ConnectionTrait,
    row: signing_key::Model,
) -> Result<(), DbErr> {
    signing_key::Entity::insert(row.into_active_model()).exec_without_returning(connection).await?;
    Ok(())
}

/// Keys that still count at this moment, the one that signs last first.
pub(crate) async fn list_keys(
    connection: &impl ConnectionTrait,
    now: Timestamp,
) -> Result<Vec<signing_key::Model>, DbErr> {
    let counting = Condition::any()
        .add(signing_key::Column::RetiredAt.is_null())
        .add(signing_key::Column::RetiredAt.gt(now.millis()));
    signing_key::Entity::find()
        .filter(counting)
        .order_by(signing_key::Column::ActiveFrom, Order::Desc)
        .order_by(signing_key::Column::Kid, Order::Desc)
        .all(connection)
        .await
}

pub(crate) async fn retire_key(
    connection: &impl ConnectionTrait,
    kid: &str,
    at: Timestamp,
) -> Result<(), DbErr> {
    signing_key::Entity::update_many()
        .col_expr(signing_key::Column::RetiredAt, at.millis().into())
        .filter(signing_key::Column::Kid.eq(kid))
        .exec(connection)
        .await?;
    Ok(())
}

/// Destroys the keys that are retired at this moment.
pub(crate) async fn delete_retired_keys(
    connection: &impl ConnectionTrait,
    now: Timestamp,
) -> Result<(), DbErr> {
    let retired = signing_key::Column::RetiredAt.lte(now.millis());
    signing_key::Entity::delete_many().filter(retired).exec(connection).await?;
    Ok(())
}
