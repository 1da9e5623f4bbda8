//! Queries. They take a connection and never begin a transaction.

use std::sync::LazyLock;

use mainstay_auth::{Role, Roles};
use mainstay_core::{Timestamp, UserId};
use mainstay_db::{Db, PointQuery};
use sea_orm::sea_query::{Alias, Expr, ExprTrait as _, JoinType, Query};
use sea_orm::{
    ActiveModelTrait as _, ColumnTrait as _, ConnectionTrait, DbErr, EntityTrait as _, IntoActiveModel as _,
    Order, QueryFilter as _, QueryOrder as _,
};
use uuid::Uuid;

use crate::domain::{SessionId, User};
use crate::entity::{one_time_token, session, signing_key, user};

/// An account with its hash, for the sign-in alone.
pub(crate) struct Credentials {
    pub(crate) user: User,
    pub(crate) password_hash: Option<String>,
}

impl From<user::Model> for Credentials {
    fn from(row: user::Model) -> Self {
        let user::Model {
            id,
            email,
            email_norm: _,
            username,
            username_norm: _,
            name,
            password_hash,
            roles,
            email_verified_at,
            is_active,
            version,
            created_at,
            updated_at: _,
        } = row;
        let user = User {
            id: id.into(),
            email,
            username,
            name,
            roles: Roles::from_text(&roles),
            email_verified: email_verified_at.is_some(),
            is_active,
            version,
            created_at: Timestamp::from_millis(created_at),
        };
        Self { user, password_hash }
    }
}

pub(crate) async fn insert_user(connection: &impl ConnectionTrait, row: user::Model) -> Result<(), DbErr> {
    user::Entity::insert(row.into_active_model()).exec_without_returning(connection).await?;
    Ok(())
}

pub(crate) async fn find_user(connection: &impl ConnectionTrait, id: UserId) -> Result<Option<User>, DbErr> {
    let row = user::Entity::find_by_id(id.uuid()).one(connection).await?;
    Ok(row.map(|row| Credentials::from(row).user))
}

pub(crate) async fn find_by_email(
    connection: &impl ConnectionTrait,
    normalized: &str,
) -> Result<Option<Credentials>, DbErr> {
    let row = user::Entity::find().filter(user::Column::EmailNorm.eq(normalized)).one(connection).await?;
    Ok(row.map(Into::into))
}

pub(crate) async fn find_by_username(
    connection: &impl ConnectionTrait,
    normalized: &str,
) -> Result<Option<Credentials>, DbErr> {
    let row = user::Entity::find().filter(user::Column::UsernameNorm.eq(normalized)).one(connection).await?;
    Ok(row.map(Into::into))
}

/// Sets what a person may change of their own account. False if the account is
/// not in that version any more.
pub(crate) async fn update_profile(
    connection: &impl ConnectionTrait,
    user: &User,
    now: Timestamp,
) -> Result<bool, DbErr> {
    let result = user::Entity::update_many()
        .col_expr(user::Column::Name, user.name.clone().into())
        .col_expr(user::Column::Username, user.username.clone().into())
        .col_expr(user::Column::UsernameNorm, user.username.to_lowercase().into())
        .col_expr(user::Column::Version, (user.version + 1).into())
        .col_expr(user::Column::UpdatedAt, now.millis().into())
        .filter(user::Column::Id.eq(user.id.uuid()))
        .filter(user::Column::Version.eq(user.version))
        .exec(connection)
        .await?;
    Ok(result.rows_affected == 1)
}

/// Whether an active account has the role `admin`.
pub(crate) async fn has_admin(connection: &impl ConnectionTrait) -> Result<bool, DbErr> {
    let rows = user::Entity::find()
        .filter(user::Column::IsActive.eq(true))
        .filter(user::Column::Roles.contains(Role::Admin.name()))
        .all(connection)
        .await?;
    Ok(rows.iter().any(|row| Roles::from_text(&row.roles).grants(Role::Admin)))
}

pub(crate) async fn insert_session(
    connection: &impl ConnectionTrait,
    row: session::Model,
) -> Result<(), DbErr> {
    session::Entity::insert(row.into_active_model()).exec_without_returning(connection).await?;
    Ok(())
}

static SESSION_ROLES: LazyLock<PointQuery> = LazyLock::new(|| {
    let column = |table: &'static str, name: &'static str| Expr::col((Alias::new(table), Alias::new(name)));
    let of_session = column("users", "id").equals((Alias::new("sessions"), Alias::new("user_id")));
    PointQuery::new(
        Query::select()
            .expr(column("users", "roles"))
            .from(Alias::new("sessions"))
            .join(JoinType::InnerJoin, Alias::new("users"), of_session)
            .and_where(column("sessions", "id").eq(Uuid::nil()))
            .and_where(column("sessions", "user_id").eq(Uuid::nil()))
            .and_where(column("sessions", "revoked_at").is_null())
            .and_where(column("sessions", "expires_at").gt(0_i64))
            .and_where(column("users", "is_active").eq(true)),
    )
});

/// What a token's session allows now: the user's roles. `None` if the session
/// or the user may not act any more.
pub(crate) async fn session_roles(
    db: &Db,
    session: SessionId,
    user: UserId,
    now: Timestamp,
) -> Result<Option<Roles>, DbErr> {
    let values = [session.uuid().into(), user.uuid().into(), now.millis().into(), true.into()];
    let row = db.primary_point(&SESSION_ROLES, &values).await?;
    row.map(|row| row.get::<String>("roles").map(|text| Roles::from_text(&text))).transpose()
}

pub(crate) async fn insert_key(
    connection: &impl ConnectionTrait,
    row: signing_key::Model,
) -> Result<(), DbErr> {
    signing_key::Entity::insert(row.into_active_model()).exec_without_returning(connection).await?;
    Ok(())
}

/// Keys that still count, newest first.
pub(crate) async fn list_keys(connection: &impl ConnectionTrait) -> Result<Vec<signing_key::Model>, DbErr> {
    signing_key::Entity::find()
        .filter(signing_key::Column::RetiredAt.is_null())
        .order_by(signing_key::Column::CreatedAt, Order::Desc)
        .order_by(signing_key::Column::Kid, Order::Asc)
        .all(connection)
        .await
}

pub(crate) async fn insert_one_time_token(
    connection: &impl ConnectionTrait,
    row: one_time_token::Model,
) -> Result<(), DbErr> {
    row.into_active_model().insert(connection).await?;
    Ok(())
}

/// Whether a one-time token would be accepted at this moment.
pub(crate) async fn has_one_time_token(
    connection: &impl ConnectionTrait,
    purpose: &str,
    token_hash: &str,
    now: Timestamp,
) -> Result<bool, DbErr> {
    let found = one_time_token::Entity::find()
        .filter(one_time_token::Column::Purpose.eq(purpose))
        .filter(one_time_token::Column::TokenHash.eq(token_hash))
        .filter(one_time_token::Column::UsedAt.is_null())
        .filter(one_time_token::Column::ExpiresAt.gt(now.millis()))
        .one(connection)
        .await?;
    Ok(found.is_some())
}

/// Uses a one-time token up. False if it is unknown, used or expired: of many
/// who try at once, one finds it unused.
pub(crate) async fn use_one_time_token(
    connection: &impl ConnectionTrait,
    purpose: &str,
    token_hash: &str,
    now: Timestamp,
) -> Result<bool, DbErr> {
    let result = one_time_token::Entity::update_many()
        .col_expr(one_time_token::Column::UsedAt, now.millis().into())
        .filter(one_time_token::Column::Purpose.eq(purpose))
        .filter(one_time_token::Column::TokenHash.eq(token_hash))
        .filter(one_time_token::Column::UsedAt.is_null())
        .filter(one_time_token::Column::ExpiresAt.gt(now.millis()))
        .exec(connection)
        .await?;
    Ok(result.rows_affected == 1)
}

/// A new user's row.
#[expect(clippy::too_many_arguments, reason = "one argument a column; the caller names each")]
pub(crate) fn user_row(
    id: UserId,
    (email, email_norm): (String, String),
    (username, username_norm): (String, String),
    name: Option<String>,
    password_hash: String,
    roles: Roles,
    email_verified_at: Option<Timestamp>,
    now: Timestamp,
) -> user::Model {
    user::Model {
        id: id.uuid(),
        email,
        email_norm,
        username,
        username_norm,
        name,
        password_hash: Some(password_hash),
        roles: roles.to_text(),
        email_verified_at: email_verified_at.map(Timestamp::millis),
        is_active: true,
        version: 1,
        created_at: now.millis(),
        updated_at: now.millis(),
    }
}

/// A new session's row.
pub(crate) fn session_row(
    id: SessionId,
    user: UserId,
    user_agent: Option<String>,
    address: Option<String>,
    now: Timestamp,
    ends: Timestamp,
) -> session::Model {
    session::Model {
        id: id.uuid(),
        user_id: user.uuid(),
        user_agent,
        address,
        created_at: now.millis(),
        last_used_at: now.millis(),
        expires_at: ends.millis(),
        revoked_at: None,
    }
}

/// A new one-time token's row.
pub(crate) fn one_time_row(
    id: Uuid,
    purpose: &str,
    token_hash: String,
    now: Timestamp,
    ends: Timestamp,
) -> one_time_token::Model {
    one_time_token::Model {
        id,
        purpose: purpose.to_owned(),
        token_hash,
        user_id: None,
        created_at: now.millis(),
        expires_at: ends.millis(),
        used_at: None,
    }
}
