//! The newest posts of many people, in one query.

use std::collections::HashMap;

use mainstay_app::{Authored, EmbeddedPost, MOST_EMBEDDED_POSTS};
use mainstay_core::{Timestamp, UserId};
use sea_orm::prelude::Uuid;
use sea_orm::sea_query::{
    Alias, Asterisk, Expr, ExprTrait as _, Func, Query, SelectStatement, WindowStatement,
};
use sea_orm::{ColumnTrait as _, ConnectionTrait, DbErr, Order};

use crate::entity::{Column, Entity, read_tags};

/// What each of `people` wrote, with or without drafts.
///
/// The inner query numbers each person's posts by the index over (author, date, id) alone; only those
/// that are shown are then read.
pub(crate) async fn written_by(
    connection: &impl ConnectionTrait,
    people: &[UserId],
    drafts: bool,
) -> Result<HashMap<UserId, Authored>, DbErr> {
    let mut authored: HashMap<UserId, Authored> = HashMap::new();
    for row in connection.query_all(&newest_of_each(people, drafts)).await? {
        let author: Uuid = row.try_get_by_index(0)?;
        let published_at: Option<i64> = row.try_get_by_index(4)?;
        let post = EmbeddedPost {
            id: row.try_get_by_index(1)?,
            title: row.try_get_by_index(2)?,
            slug: row.try_get_by_index(3)?,
            published: published_at.is_some(),
            published_at: published_at.map(Timestamp::from_millis),
            tags: read_tags(&row.try_get_by_index::<String>(5)?),
            created_at: Timestamp::from_millis(row.try_get_by_index(6)?),
            updated_at: Timestamp::from_millis(row.try_get_by_index(7)?),
        };
        let theirs = authored.entry(author.into()).or_default();
        theirs.post_count = u64::try_from(row.try_get_by_index::<i64>(8)?).unwrap_or_default();
        theirs.posts.push(post);
    }
    Ok(authored)
}

/// The newest posts of each of `people`, each row with the number of all of its author's.
pub(super) fn newest_of_each(people: &[UserId], drafts: bool) -> SelectStatement {
    let [numbered, shown, place, all] = ["numbered", "shown", "place", "all_posts"].map(Alias::new);
    let of_author = || WindowStatement::partition_by(Column::AuthorId);
    let mut newest_first = of_author();
    newest_first.order_by(Column::DatedAt, Order::Desc).order_by(Column::Id, Order::Desc);
    let inner = Query::select()
        .column(Column::Id)
        .expr_window_as(Func::cust(Alias::new("ROW_NUMBER")), newest_first, place.clone())
        .expr_window_as(Func::count(Expr::col(Asterisk)), of_author(), all.clone())
        .from(Entity)
        .and_where(Column::AuthorId.is_in(people.iter().map(|id| id.uuid())))
        .and_where_option((!drafts).then(|| Column::Published.eq(true)))
        .take();
    let inner = Query::select()
        .columns([Alias::new("id"), all.clone()])
        .from_subquery(inner, numbered)
        .and_where(Expr::col(place).lte(i64::from(MOST_EMBEDDED_POSTS)))
        .take();
    let columns = [
        Column::AuthorId,
        Column::Id,
        Column::Title,
        Column::Slug,
        Column::PublishedAt,
        Column::Tags,
        Column::CreatedAt,
        Column::UpdatedAt,
    ];
    Query::select()
        .columns(columns.map(|column| (Entity, column)))
        .column((shown.clone(), all))
        .from(Entity)
        .join_subquery(
            sea_orm::JoinType::InnerJoin,
            inner,
            shown.clone(),
            Expr::col((Entity, Column::Id)).equals((shown, Alias::new("id"))),
        )
        .order_by((Entity, Column::DatedAt), Order::Desc)
        .order_by((Entity, Column::Id), Order::Desc)
        .take()
}
