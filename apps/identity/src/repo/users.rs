//! Accounts.

use mainstay_auth::{Role, Roles};
use mainstay_core::{Page, Paging, Problem, Timestamp, UserId};
use mainstay_db::{like_prefix, page};
use sea_orm::sea_query::{Expr, ExprTrait as _, LikeExpr};
use sea_orm::{
    ColumnTrait as _, Condition, ConnectionTrait, DbErr, EntityTrait as _, IntoActiveModel as _,
    QueryFilter as _,
};

use crate::domain::{User, UserOrder};
use crate::entity::{api_key, one_time_token, session, user};

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
            deleted_at: _,
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
    let row =
        user::Entity::find_by_id(id.uuid()).filter(user::Column::DeletedAt.is_null()).one(connection).await?;
    Ok(row.map(|row| Credentials::from(row).user))
}

/// Those of `ids` whose accounts were not removed.
pub(crate) async fn find_users(
    connection: &impl ConnectionTrait,
    ids: &[UserId],
) -> Result<Vec<User>, DbErr> {
    let rows = user::Entity::find()
        .filter(user::Column::Id.is_in(ids.iter().map(|id| id.uuid())))
        .filter(user::Column::DeletedAt.is_null())
        .all(connection)
        .await?;
    Ok(rows.into_iter().map(|row| Credentials::from(row).user).collect())
}

/// Holds an account until the transaction ends, changing nothing. False if it was removed.
///
/// A write and not a lock: a transaction that began before and removes the account must collide
/// with it, not just wait.
pub(crate) async fn hold_user(connection: &impl ConnectionTrait, id: UserId) -> Result<bool, DbErr> {
    let result = user::Entity::update_many()
        .col_expr(user::Column::Version, Expr::col(user::Column::Version))
        .filter(user::Column::Id.eq(id.uuid()))
        .filter(user::Column::DeletedAt.is_null())
        .exec(connection)
        .await?;
    Ok(result.rows_affected == 1)
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

pub(crate) async fn find_credentials(
    connection: &impl ConnectionTrait,
    id: UserId,
) -> Result<Option<Credentials>, DbErr> {
    let row = user::Entity::find_by_id(id.uuid()).one(connection).await?;
    Ok(row.map(Into::into))
}

/// The account as it stays until the transaction ends: others who change it wait. `None` if it
/// is not there (any more).
pub(crate) async fn hold_credentials(
    connection: &impl ConnectionTrait,
    id: UserId,
) -> Result<Option<Credentials>, DbErr> {
    // An UPDATE, though it changes nothing: a serializable change that began before this one, such as the
    // account's removal, collides with it and starts again, and then sees what is written here. A lock alone
    // would only let it wait, and then go on without seeing it.
    let held = user::Entity::update_many()
        .col_expr(user::Column::Version, Expr::col(user::Column::Version))
        .filter(user::Column::Id.eq(id.uuid()))
        .filter(user::Column::DeletedAt.is_null())
        .exec(connection)
        .await?;
    if held.rows_affected == 0 {
        return Ok(None);
    }
    find_credentials(connection, id).await
}

/// Replaces a hash by a better one of the same password. Nothing that anybody sees
/// changes, so the version stays.
pub(crate) async fn rehash(
    connection: &impl ConnectionTrait,
    id: UserId,
    old: &str,
    new: String,
) -> Result<(), DbErr> {
    user::Entity::update_many()
        .col_expr(user::Column::PasswordHash, new.into())
        .filter(user::Column::Id.eq(id.uuid()))
        .filter(user::Column::PasswordHash.eq(old))
        .exec(connection)
        .await?;
    Ok(())
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

/// Notes that the account's address is proven. False if it was already.
pub(crate) async fn verify_email(
    connection: &impl ConnectionTrait,
    id: UserId,
    now: Timestamp,
) -> Result<bool, DbErr> {
    let result = user::Entity::update_many()
        .col_expr(user::Column::EmailVerifiedAt, now.millis().into())
        .col_expr(user::Column::UpdatedAt, now.millis().into())
        .col_expr(user::Column::Version, next_version())
        .filter(user::Column::Id.eq(id.uuid()))
        .filter(user::Column::EmailVerifiedAt.is_null())
        .exec(connection)
        .await?;
    Ok(result.rows_affected == 1)
}

fn next_version() -> Expr {
    Expr::col(user::Column::Version).add(1)
}

/// Holds the account until the transaction ends, if its password is still the one with this hash.
pub(crate) async fn hold_password(
    connection: &impl ConnectionTrait,
    id: UserId,
    hash: Option<&str>,
) -> Result<bool, DbErr> {
    let result = user::Entity::update_many()
        .col_expr(user::Column::Version, next_version())
        .filter(user::Column::Id.eq(id.uuid()))
        .filter(user::Column::PasswordHash.eq(hash))
        .exec(connection)
        .await?;
    Ok(result.rows_affected == 1)
}

/// Sets the password's hash.
pub(crate) async fn set_password(
    connection: &impl ConnectionTrait,
    id: UserId,
    hash: &str,
    now: Timestamp,
) -> Result<(), DbErr> {
    user::Entity::update_many()
        .col_expr(user::Column::PasswordHash, hash.into())
        .col_expr(user::Column::UpdatedAt, now.millis().into())
        .col_expr(user::Column::Version, next_version())
        .filter(user::Column::Id.eq(id.uuid()))
        .exec(connection)
        .await?;
    Ok(())
}

/// Which accounts are wanted. `None`: all.
#[derive(Clone, Debug, Default)]
pub(crate) struct PeopleFilter {
    /// Whose address or username begins with this, as they are compared.
    pub(crate) q: Option<String>,
    /// That were given this role.
    pub(crate) role: Option<Role>,
    /// That may sign in, or may not.
    pub(crate) is_active: Option<bool>,
}

pub(crate) async fn list_users(
    connection: &impl ConnectionTrait,
    filter: &PeopleFilter,
    paging: &Paging<UserOrder>,
) -> Result<Page<User>, Problem> {
    let mut rows = user::Entity::find().filter(user::Column::DeletedAt.is_null());
    if let Some(q) = &filter.q {
        let begins = |column| Expr::col(column).like(LikeExpr::new(like_prefix(q)).escape('\\'));
        rows = rows.filter(
            Condition::any().add(begins(user::Column::EmailNorm)).add(begins(user::Column::UsernameNorm)),
        );
    }
    if let Some(role) = filter.role {
        // No role's name is part of another's.
        rows = rows.filter(user::Column::Roles.contains(role.name()));
    }
    if let Some(active) = filter.is_active {
        rows = rows.filter(user::Column::IsActive.eq(active));
    }
    let sorted = match paging.sort {
        UserOrder::CreatedAt => user::Column::CreatedAt,
        UserOrder::Username => user::Column::UsernameNorm,
    };
    Ok(page(connection, rows, paging, sorted, user::Column::Id).await?.map(|row| Credentials::from(row).user))
}

/// Sets an account's roles and state. False if it is not in that version any more.
pub(crate) async fn update_account(
    connection: &impl ConnectionTrait,
    user: &User,
    now: Timestamp,
) -> Result<bool, DbErr> {
    let result = user::Entity::update_many()
        .col_expr(user::Column::Roles, user.roles.to_text().into())
        .col_expr(user::Column::IsActive, user.is_active.into())
        .col_expr(user::Column::Version, (user.version + 1).into())
        .col_expr(user::Column::UpdatedAt, now.millis().into())
        .filter(user::Column::Id.eq(user.id.uuid()))
        .filter(user::Column::Version.eq(user.version))
        .exec(connection)
        .await?;
    Ok(result.rows_affected == 1)
}

/// Active accounts with the role `admin`.
pub(crate) async fn admins(connection: &impl ConnectionTrait) -> Result<Vec<UserId>, DbErr> {
    let rows = user::Entity::find()
        .filter(user::Column::IsActive.eq(true))
        .filter(user::Column::Roles.contains(Role::Admin.name()))
        .all(connection)
        .await?;
    Ok(rows.into_iter().map(|row| row.id.into()).collect())
}

/// Leaves of an account, which has this address as it is compared, only its id: what others refer to.
pub(crate) async fn erase_user(
    connection: &impl ConnectionTrait,
    id: UserId,
    email: &str,
    now: Timestamp,
) -> Result<(), DbErr> {
    let nothing: Option<String> = None;
    let never: Option<i64> = None;
    // Unique as the columns ask for, and nobody's: .invalid is reserved (RFC 2606).
    let (unreachable, username) = (format!("deleted/{id}"), format!("~{id}"));
    user::Entity::update_many()
        .col_expr(user::Column::Email, unreachable.clone().into())
        .col_expr(user::Column::EmailNorm, unreachable.into())
        .col_expr(user::Column::Username, username.clone().into())
        .col_expr(user::Column::UsernameNorm, username.into())
        .col_expr(user::Column::Name, nothing.clone().into())
        .col_expr(user::Column::PasswordHash, nothing.into())
        .col_expr(user::Column::Roles, "".into())
        .col_expr(user::Column::EmailVerifiedAt, never.into())
        .col_expr(user::Column::IsActive, false.into())
        .col_expr(user::Column::DeletedAt, now.millis().into())
        .col_expr(user::Column::UpdatedAt, now.millis().into())
        .col_expr(user::Column::Version, next_version())
        .filter(user::Column::Id.eq(id.uuid()))
        .exec(connection)
        .await?;
    // Where and with what somebody signed in is theirs too.
    session::Entity::delete_many().filter(session::Column::UserId.eq(id.uuid())).exec(connection).await?;
    api_key::Entity::delete_many().filter(api_key::Column::UserId.eq(id.uuid())).exec(connection).await?;
    let theirs = Condition::any()
        .add(one_time_token::Column::UserId.eq(id.uuid()))
        // The invitation that it may have begun with.
        .add(one_time_token::Column::EmailNorm.eq(email));
    one_time_token::Entity::delete_many().filter(theirs).exec(connection).await?;
    Ok(())
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
        deleted_at: None,
    }
}
