//! One-time tokens.

use mainstay_core::{Timestamp, UserId};
use sea_orm::{
    ActiveModelTrait as _, ColumnTrait as _, ConnectionTrait, DbErr, EntityTrait as _, IntoActiveModel as _,
    QueryFilter as _, QueryOrder as _, QuerySelect as _, Select,
};
use uuid::Uuid;

use crate::domain::Purpose;
use crate::entity::one_time_token;

/// Whom a one-time token is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum TokenFor {
    /// Whoever holds it.
    Anybody,
    /// An account.
    User(UserId),
    /// Whoever has this address, as it is compared.
    Address(String),
}

pub(crate) async fn insert_one_time_token(
    connection: &impl ConnectionTrait,
    row: one_time_token::Model,
) -> Result<(), DbErr> {
    row.into_active_model().insert(connection).await?;
    Ok(())
}

fn good(purpose: Purpose, token_hash: &str, now: Timestamp) -> Select<one_time_token::Entity> {
    one_time_token::Entity::find()
        .filter(one_time_token::Column::Purpose.eq(purpose.name()))
        .filter(one_time_token::Column::TokenHash.eq(token_hash))
        .filter(one_time_token::Column::UsedAt.is_null())
        .filter(one_time_token::Column::ExpiresAt.gt(now.millis()))
}

/// Whom a one-time token is for, if it would be accepted at this moment.
pub(crate) async fn find_one_time_token(
    connection: &impl ConnectionTrait,
    purpose: Purpose,
    token_hash: &str,
    now: Timestamp,
) -> Result<Option<TokenFor>, DbErr> {
    let row = good(purpose, token_hash, now).one(connection).await?;
    Ok(row.map(|row| match (row.user_id, row.email_norm) {
        (Some(user), _) => TokenFor::User(user.into()),
        (None, Some(address)) => TokenFor::Address(address),
        (None, None) => TokenFor::Anybody,
    }))
}

/// Uses a one-time token up. False if it is unknown, used or expired: of many
/// who try at once, one finds it unused.
pub(crate) async fn use_one_time_token(
    connection: &impl ConnectionTrait,
    purpose: Purpose,
    token_hash: &str,
    now: Timestamp,
) -> Result<bool, DbErr> {
    let result = one_time_token::Entity::update_many()
        .col_expr(one_time_token::Column::UsedAt, now.millis().into())
        .filter(one_time_token::Column::Purpose.eq(purpose.name()))
        .filter(one_time_token::Column::TokenHash.eq(token_hash))
        .filter(one_time_token::Column::UsedAt.is_null())
        .filter(one_time_token::Column::ExpiresAt.gt(now.millis()))
        .exec(connection)
        .await?;
    Ok(result.rows_affected == 1)
}

/// Ends every token of this purpose that is for the same: only the newest works.
pub(crate) async fn end_one_time_tokens(
    connection: &impl ConnectionTrait,
    purpose: Purpose,
    holder: &TokenFor,
    now: Timestamp,
) -> Result<(), DbErr> {
    let update = one_time_token::Entity::update_many()
        .col_expr(one_time_token::Column::UsedAt, now.millis().into())
        .filter(one_time_token::Column::Purpose.eq(purpose.name()))
        .filter(one_time_token::Column::UsedAt.is_null());
    let update = match holder {
        TokenFor::Anybody => return Ok(()),
        TokenFor::User(user) => update.filter(one_time_token::Column::UserId.eq(user.uuid())),
        TokenFor::Address(address) => update.filter(one_time_token::Column::EmailNorm.eq(address)),
    };
    update.exec(connection).await?;
    Ok(())
}

/// When the newest token of this purpose was made for a user. `None`: there is none.
pub(crate) async fn newest_token(
    connection: &impl ConnectionTrait,
    user: UserId,
    purpose: Purpose,
) -> Result<Option<Timestamp>, DbErr> {
    let row = one_time_token::Entity::find()
        .filter(one_time_token::Column::UserId.eq(user.uuid()))
        .filter(one_time_token::Column::Purpose.eq(purpose.name()))
        .order_by_desc(one_time_token::Column::CreatedAt)
        .one(connection)
        .await?;
    Ok(row.map(|row| Timestamp::from_millis(row.created_at)))
}

/// The purpose that a token was made for. `None` if it is not there.
pub(crate) async fn purpose_of(connection: &impl ConnectionTrait, id: Uuid) -> Result<Option<String>, DbErr> {
    Ok(one_time_token::Entity::find_by_id(id).one(connection).await?.map(|row| row.purpose))
}

/// Lets a token end at another time.
pub(crate) async fn expire_at(
    connection: &impl ConnectionTrait,
    id: Uuid,
    ends: Timestamp,
) -> Result<(), DbErr> {
    one_time_token::Entity::update_many()
        .col_expr(one_time_token::Column::ExpiresAt, ends.millis().into())
        .filter(one_time_token::Column::Id.eq(id))
        .exec(connection)
        .await?;
    Ok(())
}

/// Removes tokens that ended before then, a portion at a time. Gives how many.
pub(crate) async fn delete_tokens_before(
    connection: &impl ConnectionTrait,
    then: Timestamp,
) -> Result<u64, DbErr> {
    const PORTION: u64 = 500;
    let over = one_time_token::Entity::find().filter(one_time_token::Column::ExpiresAt.lt(then.millis()));
    let ids: Vec<Uuid> = over.limit(PORTION).all(connection).await?.into_iter().map(|row| row.id).collect();
    let these = one_time_token::Entity::delete_many().filter(one_time_token::Column::Id.is_in(ids));
    Ok(these.exec(connection).await?.rows_affected)
}

/// A new one-time token's row.
pub(crate) fn one_time_row(
    id: Uuid,
    purpose: Purpose,
    holder: &TokenFor,
    token_hash: String,
    now: Timestamp,
    ends: Timestamp,
) -> one_time_token::Model {
    let (user_id, email_norm) = match holder {
        TokenFor::Anybody => (None, None),
        TokenFor::User(user) => (Some(user.uuid()), None),
        TokenFor::Address(address) => (None, Some(address.clone())),
    };
    one_time_token::Model {
        id,
        purpose: purpose.name().to_owned(),
        token_hash,
        user_id,
        email_norm,
        created_at: now.millis(),
        expires_at: ends.millis(),
        used_at: None,
    }
}
