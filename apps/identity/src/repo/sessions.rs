//! Sessions.

use std::sync::LazyLock;

use mainstay_auth::Roles;
use mainstay_core::{Page, Paging, Problem, Timestamp, UserId};
use mainstay_db::{Db, PointQuery, PointRow, page};
use sea_orm::sea_query::{Alias, Expr, ExprTrait as _, JoinType, Query};
use sea_orm::{
    ColumnTrait as _, Condition, ConnectionTrait, DbErr, EntityTrait as _, IntoActiveModel as _,
    QueryFilter as _, QuerySelect as _, Select,
};
use uuid::Uuid;

use crate::domain::{SessionId, SessionOrder};
use crate::entity::session;

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

/// Since when a session must have been used, to live still.
#[derive(Clone, Copy, Debug)]
pub(crate) struct UsedSince {
    /// One with tokens: its refresh token lives still.
    pub(crate) tokens: Timestamp,
    /// One of a browser.
    pub(crate) browsers: Timestamp,
}

/// Not ended, and its time is not over.
fn live(user: UserId, now: Timestamp, used_since: UsedSince) -> Select<session::Entity> {
    let UsedSince { tokens, browsers } = used_since;
    let cookie = session::Column::CookieHash;
    let used_after = |then: Timestamp| session::Column::LastUsedAt.gt(then.millis());
    let used = Condition::any()
        .add(cookie.is_null().and(used_after(tokens)))
        .add(cookie.is_not_null().and(used_after(browsers)));
    session::Entity::find()
        .filter(session::Column::UserId.eq(user.uuid()))
        .filter(session::Column::RevokedAt.is_null())
        .filter(session::Column::ExpiresAt.gt(now.millis()))
        .filter(used)
}

pub(crate) async fn list_sessions(
    connection: &impl ConnectionTrait,
    user: UserId,
    now: Timestamp,
    used_since: UsedSince,
    paging: &Paging<SessionOrder>,
) -> Result<Page<session::Model>, Problem> {
    let column = match paging.sort {
        SessionOrder::LastUsedAt => session::Column::LastUsedAt,
    };
    page(connection, live(user, now, used_since), paging, column, session::Column::Id).await
}

/// Notes that a session is used. False if it has ended. Holds the session until
/// the transaction ends.
pub(crate) async fn touch_session(
    connection: &impl ConnectionTrait,
    session: SessionId,
    address: Option<String>,
    now: Timestamp,
) -> Result<bool, DbErr> {
    let mut update = session::Entity::update_many()
        .col_expr(session::Column::LastUsedAt, now.millis().into())
        .filter(session::Column::Id.eq(session.uuid()))
        .filter(session::Column::RevokedAt.is_null())
        .filter(session::Column::ExpiresAt.gt(now.millis()));
    if let Some(address) = address {
        update = update.col_expr(session::Column::Address, address.into());
    }
    Ok(update.exec(connection).await?.rows_affected == 1)
}

/// Ends one of the user's sessions. False if it is not theirs, or has ended already.
pub(crate) async fn revoke_session(
    connection: &impl ConnectionTrait,
    user: UserId,
    session: SessionId,
    now: Timestamp,
) -> Result<bool, DbErr> {
    let result = session::Entity::update_many()
        .col_expr(session::Column::RevokedAt, now.millis().into())
        .filter(session::Column::Id.eq(session.uuid()))
        .filter(session::Column::UserId.eq(user.uuid()))
        .filter(session::Column::RevokedAt.is_null())
        .filter(session::Column::ExpiresAt.gt(now.millis()))
        .exec(connection)
        .await?;
    Ok(result.rows_affected == 1)
}

/// The sessions of a user that have not ended.
pub(crate) async fn live_sessions(
    connection: &impl ConnectionTrait,
    user: UserId,
    now: Timestamp,
) -> Result<Vec<SessionId>, DbErr> {
    let ever = Timestamp::from_millis(i64::MIN);
    let rows = live(user, now, UsedSince { tokens: ever, browsers: ever }).all(connection).await?;
    Ok(rows.into_iter().map(|row| row.id.into()).collect())
}

/// Removes sessions that were over before then, with their refresh tokens, a portion at a time. Gives how many.
pub(crate) async fn delete_sessions_before(
    connection: &impl ConnectionTrait,
    then: Timestamp,
) -> Result<u64, DbErr> {
    // A session may have thousands of refresh tokens.
    const PORTION: u64 = 50;
    let over = session::Entity::find().filter(session::Column::ExpiresAt.lt(then.millis()));
    let ids: Vec<Uuid> = over.limit(PORTION).all(connection).await?.into_iter().map(|row| row.id).collect();
    let these = session::Entity::delete_many().filter(session::Column::Id.is_in(ids));
    Ok(these.exec(connection).await?.rows_affected)
}

/// A new session's row.
pub(crate) fn session_row(
    id: SessionId,
    user: UserId,
    user_agent: Option<String>,
    address: Option<String>,
    now: Timestamp,
    ends: Timestamp,
    cookie_hash: Option<String>,
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
        cookie_hash,
    }
}

/// A browser's session, as it was found by its cookie.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BrowserSession {
    pub(crate) id: SessionId,
    pub(crate) user_id: UserId,
    pub(crate) last_used_at: Timestamp,
    pub(crate) expires_at: Timestamp,
}

static BROWSER_SESSION: LazyLock<PointQuery> = LazyLock::new(|| {
    let column = |name: &'static str| Expr::col(Alias::new(name));
    PointQuery::new(
        Query::select()
            .columns(["id", "user_id", "last_used_at", "expires_at"].map(Alias::new))
            .from(Alias::new("sessions"))
            .and_where(column("cookie_hash").eq(""))
            .and_where(column("revoked_at").is_null()),
    )
});

/// The session with this cookie, unless it was ended. Whether its time is over the caller has to see.
pub(crate) async fn find_browser_session(
    db: &Db,
    cookie_hash: &str,
) -> Result<Option<BrowserSession>, DbErr> {
    let row = db.primary_point(&BROWSER_SESSION, &[cookie_hash.into()]).await?;
    let read = |row: PointRow| {
        Ok(BrowserSession {
            id: row.get::<Uuid>("id")?.into(),
            user_id: row.get::<Uuid>("user_id")?.into(),
            last_used_at: Timestamp::from_millis(row.get("last_used_at")?),
            expires_at: Timestamp::from_millis(row.get("expires_at")?),
        })
    };
    row.map(read).transpose()
}

/// Gives a browser's session another cookie: the old one opens nothing any more. False if it has ended.
pub(crate) async fn replace_cookie(
    connection: &impl ConnectionTrait,
    session: SessionId,
    cookie_hash: String,
) -> Result<bool, DbErr> {
    let result = session::Entity::update_many()
        .col_expr(session::Column::CookieHash, cookie_hash.into())
        .filter(session::Column::Id.eq(session.uuid()))
        .filter(session::Column::CookieHash.is_not_null())
        .filter(session::Column::RevokedAt.is_null())
        .exec(connection)
        .await?;
    Ok(result.rows_affected == 1)
}
