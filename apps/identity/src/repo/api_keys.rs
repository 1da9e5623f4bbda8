//! API keys.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use mainstay_auth::{Roles, Scopes};
use mainstay_core::{Page, Paging, Problem, Sorting, Timestamp, UserId};
use mainstay_db::{Db, PointQuery, PointRow};
use sea_orm::sea_query::{Alias, Expr, ExprTrait as _, JoinType, Query};
use sea_orm::{
    ColumnTrait as _, ConnectionTrait, DbErr, EntityTrait as _, IntoActiveModel as _, PaginatorTrait as _,
    QueryFilter as _, Select,
};
use uuid::Uuid;

use crate::domain::{ApiKey, ApiKeyId};
use crate::entity::api_key;

impl From<api_key::Model> for ApiKey {
    fn from(row: api_key::Model) -> Self {
        let api_key::Model {
            id,
            user_id,
            name,
            prefix,
            key_hash: _,
            scopes,
            created_at,
            expires_at,
            last_used_at,
            revoked_at: _,
            limit_policy,
        } = row;
        Self {
            id: id.into(),
            user_id: user_id.into(),
            name,
            prefix,
            scopes: Scopes::from_text(&scopes),
            created_at: Timestamp::from_millis(created_at),
            expires_at: expires_at.map(Timestamp::from_millis),
            last_used_at: last_used_at.map(Timestamp::from_millis),
            limit_policy,
        }
    }
}

/// Adds a key whose secret has this hash.
pub(crate) async fn insert_api_key(
    connection: &impl ConnectionTrait,
    key: &ApiKey,
    key_hash: String,
) -> Result<(), DbErr> {
    let ApiKey { id, user_id, name, prefix, scopes, created_at, expires_at, last_used_at, limit_policy } =
        key.clone();
    let row = api_key::Model {
        id: id.uuid(),
        user_id: user_id.uuid(),
        name,
        prefix,
        key_hash,
        scopes: scopes.to_text(),
        created_at: created_at.millis(),
        expires_at: expires_at.map(Timestamp::millis),
        last_used_at: last_used_at.map(Timestamp::millis),
        revoked_at: None,
        limit_policy,
    };
    api_key::Entity::insert(row.into_active_model()).exec_without_returning(connection).await?;
    Ok(())
}

fn of_user(user: UserId) -> Select<api_key::Entity> {
    api_key::Entity::find()
        .filter(api_key::Column::UserId.eq(user.uuid()))
        .filter(api_key::Column::RevokedAt.is_null())
}

/// How many of a user's keys could be used at this moment.
pub(crate) async fn count_live_api_keys(
    connection: &impl ConnectionTrait,
    user: UserId,
    now: Timestamp,
) -> Result<u64, DbErr> {
    let ends_later = api_key::Column::ExpiresAt.gt(now.millis()).or(api_key::Column::ExpiresAt.is_null());
    of_user(user).filter(ends_later).count(connection).await
}

/// A page of a user's keys that were not revoked.
pub(crate) async fn list_api_keys<S: Sorting>(
    connection: &impl ConnectionTrait,
    user: UserId,
    paging: &Paging<S>,
) -> Result<Page<ApiKey>, Problem> {
    let columns = (api_key::Column::CreatedAt, api_key::Column::Id);
    let page = mainstay_db::page(connection, of_user(user), paging, columns.0, columns.1).await?;
    Ok(page.map(ApiKey::from))
}

/// A user's key that was not revoked, with the hash of its secret.
pub(crate) async fn find_api_key(
    connection: &impl ConnectionTrait,
    user: UserId,
    id: ApiKeyId,
) -> Result<Option<(ApiKey, String)>, DbErr> {
    let row = of_user(user).filter(api_key::Column::Id.eq(id.uuid())).one(connection).await?;
    Ok(row.map(|row| (row.key_hash.clone(), row)).map(|(hash, row)| (row.into(), hash)))
}

/// Anybody's key that was not revoked, with the hash of its secret.
pub(crate) async fn find_anybodys_api_key(
    connection: &impl ConnectionTrait,
    id: ApiKeyId,
) -> Result<Option<(ApiKey, String)>, DbErr> {
    let found = api_key::Entity::find()
        .filter(api_key::Column::Id.eq(id.uuid()))
        .filter(api_key::Column::RevokedAt.is_null());
    let row = found.one(connection).await?;
    Ok(row.map(|row| (row.key_hash.clone(), row)).map(|(hash, row)| (row.into(), hash)))
}

/// Gives a key a rate limit of its own, or takes it back. False if the key was revoked.
pub(crate) async fn limit_api_key(
    connection: &impl ConnectionTrait,
    id: ApiKeyId,
    policy: Option<&str>,
) -> Result<bool, DbErr> {
    let result = api_key::Entity::update_many()
        .col_expr(api_key::Column::LimitPolicy, Expr::value(policy))
        .filter(api_key::Column::Id.eq(id.uuid()))
        .filter(api_key::Column::RevokedAt.is_null())
        .exec(connection)
        .await?;
    Ok(result.rows_affected == 1)
}

/// Ends a key. False if it was ended before.
pub(crate) async fn revoke_api_key(
    connection: &impl ConnectionTrait,
    id: ApiKeyId,
    now: Timestamp,
) -> Result<bool, DbErr> {
    let result = api_key::Entity::update_many()
        .col_expr(api_key::Column::RevokedAt, now.millis().into())
        .filter(api_key::Column::Id.eq(id.uuid()))
        .filter(api_key::Column::RevokedAt.is_null())
        .exec(connection)
        .await?;
    Ok(result.rows_affected == 1)
}

/// Notes that keys were used just now, where the last note is older than `pause`.
pub(crate) async fn note_uses(
    connection: &impl ConnectionTrait,
    ids: &[Uuid],
    now: Timestamp,
    pause: Duration,
) -> Result<(), DbErr> {
    let pause_ms = i64::try_from(pause.as_millis()).unwrap_or(i64::MAX);
    let due = api_key::Column::LastUsedAt
        .lte(now.millis().saturating_sub(pause_ms))
        .or(api_key::Column::LastUsedAt.is_null());
    api_key::Entity::update_many()
        .col_expr(api_key::Column::LastUsedAt, now.millis().into())
        .filter(api_key::Column::Id.is_in(ids.iter().copied()))
        .filter(due)
        .exec(connection)
        .await?;
    Ok(())
}

/// A key that may be used, with what its owner may do now.
#[derive(Clone, Debug)]
pub(crate) struct LiveKey {
    pub(crate) id: Uuid,
    pub(crate) user_id: UserId,
    pub(crate) roles: Roles,
    pub(crate) scopes: Scopes,
    pub(crate) created_at: Timestamp,
    pub(crate) expires_at: Option<Timestamp>,
    pub(crate) last_used_at: Option<Timestamp>,
    pub(crate) limit_policy: Option<Arc<str>>,
}

impl LiveKey {
    fn read(row: &PointRow) -> Result<Self, DbErr> {
        Ok(Self {
            id: row.get("id")?,
            user_id: row.get::<Uuid>("user_id")?.into(),
            roles: Roles::from_text(&row.get::<String>("roles")?),
            scopes: Scopes::from_text(&row.get::<String>("scopes")?),
            created_at: Timestamp::from_millis(row.get("created_at")?),
            expires_at: row.get::<Option<i64>>("expires_at")?.map(Timestamp::from_millis),
            last_used_at: row.get::<Option<i64>>("last_used_at")?.map(Timestamp::from_millis),
            limit_policy: row.get::<Option<String>>("limit_policy")?.map(Arc::from),
        })
    }
}

static LIVE_KEY: LazyLock<PointQuery> = LazyLock::new(|| {
    let column = |table: &'static str, name: &'static str| Expr::col((Alias::new(table), Alias::new(name)));
    let of_key = column("users", "id").equals((Alias::new("api_keys"), Alias::new("user_id")));
    let mut select = Query::select();
    for name in ["id", "user_id", "scopes", "created_at", "expires_at", "last_used_at", "limit_policy"] {
        select.expr(column("api_keys", name));
    }
    PointQuery::new(
        select
            .expr(column("users", "roles"))
            .from(Alias::new("api_keys"))
            .join(JoinType::InnerJoin, Alias::new("users"), of_key)
            .and_where(column("api_keys", "key_hash").eq(""))
            .and_where(column("api_keys", "revoked_at").is_null())
            .and_where(column("users", "is_active").eq(true)),
    )
});

/// The key with this hash, if it was not revoked and its owner may act. Whether
/// it has expired the caller has to see: the answer may be remembered.
pub(crate) async fn find_live_key(db: &Db, key_hash: &str) -> Result<Option<LiveKey>, DbErr> {
    let row = db.primary_point(&LIVE_KEY, &[key_hash.into(), true.into()]).await?;
    row.as_ref().map(LiveKey::read).transpose()
}

static USERNAME: LazyLock<PointQuery> = LazyLock::new(|| {
    let by_id = Expr::col(Alias::new("id")).eq(Uuid::nil());
    PointQuery::new(Query::select().column(Alias::new("username")).from(Alias::new("users")).and_where(by_id))
});

/// The name that an account goes by.
pub(crate) async fn find_username(db: &Db, user: UserId) -> Result<Option<String>, DbErr> {
    let row = db.primary_point(&USERNAME, &[user.uuid().into()]).await?;
    row.map(|row| row.get("username")).transpose()
}
