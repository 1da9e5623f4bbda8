//! The feed's queries.

use std::sync::LazyLock;

use mainstay_core::{Actor, Timestamp};
use mainstay_db::{Db, PointQuery, WriteUnit};
use sea_orm::ActiveValue::{NotSet, Set};
use sea_orm::sea_query::{Asterisk, Expr, ExprTrait as _, Func, Query, SelectStatement};
use sea_orm::{
    ColumnTrait as _, ConnectionTrait, DbErr, EntityTrait as _, QueryOrder as _, QuerySelect as _,
};

use crate::domain::{NewFeedPost, Post, PostId};
use crate::entity::{ActiveModel, Column, Entity};

/// Adds a post.
pub(crate) async fn insert(unit: &WriteUnit, new: &NewFeedPost, now: Timestamp) -> Result<PostId, DbErr> {
    let NewFeedPost { name, username, body } = new;
    let row = ActiveModel {
        id: NotSet,
        name: Set(name.as_str().to_owned()),
        username: Set(username.as_str().to_owned()),
        body: Set(body.as_str().to_owned()),
        created_at: Set(now.millis()),
    };
    Ok(PostId::new(Entity::insert(row).exec(unit).await?.last_insert_id))
}

static BY_ID: LazyLock<PointQuery> = LazyLock::new(|| {
    let columns = [Column::Id, Column::Name, Column::Username, Column::Body, Column::CreatedAt];
    PointQuery::new(Query::select().columns(columns).from(Entity).and_where(Column::Id.eq(0_i64)))
});

/// The post with this id.
pub(crate) async fn look_up(db: &Db, actor: &Actor, id: PostId) -> Result<Option<Post>, DbErr> {
    db.point(actor, &BY_ID, &[id.number().into()]).await?.map(|row| Post::try_from(&row)).transpose()
}

/// `most` posts, the newest first, after the first `offset` of them.
pub(crate) async fn newest(
    connection: &impl ConnectionTrait,
    offset: u64,
    most: u64,
) -> Result<Vec<Post>, DbErr> {
    let rows = Entity::find().order_by_desc(Column::Id).offset(offset).limit(most).all(connection).await?;
    Ok(rows.into_iter().map(Post::from).collect())
}

/// The largest id; 0 if there is no post.
pub(crate) async fn last_id(connection: &impl ConnectionTrait) -> Result<i64, DbErr> {
    let last = Query::select()
        .column(Column::Id)
        .from(Entity)
        .order_by(Column::Id, sea_orm::Order::Desc)
        .limit(1)
        .take();
    number(connection, &last).await
}

/// How many posts have larger ids than `after` and, if given, none larger than `up_to`.
pub(crate) async fn count(
    connection: &impl ConnectionTrait,
    after: i64,
    up_to: Option<i64>,
) -> Result<u64, DbErr> {
    let mut select = Query::select().expr(Func::count(Expr::col(Asterisk))).from(Entity).take();
    // Without a condition SQLite counts pages instead of looking at rows.
    if after > 0 {
        select.and_where(Column::Id.gt(after));
    }
    if let Some(up_to) = up_to {
        select.and_where(Expr::col(Column::Id).lte(up_to));
    }
    Ok(u64::try_from(number(connection, &select).await?).unwrap_or_default())
}

async fn number(connection: &impl ConnectionTrait, select: &SelectStatement) -> Result<i64, DbErr> {
    let row = connection.query_one(select).await?;
    Ok(row.map(|row| row.try_get_by_index(0)).transpose()?.unwrap_or_default())
}
