//! Refresh tokens. Each belongs to a session, which is their family.

use mainstay_core::Timestamp;
use sea_orm::{
    ColumnTrait as _, ConnectionTrait, DbErr, EntityTrait as _, IntoActiveModel as _, QueryFilter as _,
};

use crate::domain::SessionId;
use crate::entity::{refresh_token, session, user};

pub(crate) async fn insert_refresh_token(
    connection: &impl ConnectionTrait,
    token_hash: String,
    session: SessionId,
    now: Timestamp,
    ends: Timestamp,
) -> Result<(), DbErr> {
    let row = refresh_token::Model {
        token_hash,
        session_id: session.uuid(),
        created_at: now.millis(),
        expires_at: ends.millis(),
        rotated_at: None,
    };
    refresh_token::Entity::insert(row.into_active_model()).exec_without_returning(connection).await?;
    Ok(())
}

/// A refresh token with its session, and whose it is.
pub(crate) struct Family {
    pub(crate) token: refresh_token::Model,
    pub(crate) session: session::Model,
    pub(crate) user: user::Model,
}

pub(crate) async fn find_family(
    connection: &impl ConnectionTrait,
    token_hash: &str,
) -> Result<Option<Family>, DbErr> {
    let Some(token) = find_refresh_token(connection, token_hash).await? else { return Ok(None) };
    let Some(session) = session::Entity::find_by_id(token.session_id).one(connection).await? else {
        return Ok(None);
    };
    let user = user::Entity::find_by_id(session.user_id).one(connection).await?;
    Ok(user.map(|user| Family { token, session, user }))
}

pub(crate) async fn find_refresh_token(
    connection: &impl ConnectionTrait,
    token_hash: &str,
) -> Result<Option<refresh_token::Model>, DbErr> {
    refresh_token::Entity::find_by_id(token_hash).one(connection).await
}

/// Marks a token as exchanged for its child. False if it was before: of many who
/// try at once, one finds it unused.
pub(crate) async fn rotate_refresh_token(
    connection: &impl ConnectionTrait,
    token_hash: &str,
    now: Timestamp,
) -> Result<bool, DbErr> {
    let result = refresh_token::Entity::update_many()
        .col_expr(refresh_token::Column::RotatedAt, now.millis().into())
        .filter(refresh_token::Column::TokenHash.eq(token_hash))
        .filter(refresh_token::Column::RotatedAt.is_null())
        .exec(connection)
        .await?;
    Ok(result.rows_affected == 1)
}
