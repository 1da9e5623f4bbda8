//! Tags and how many posts have them.

use mainstay_core::{Page, Paging};
use sea_orm::sea_query::{
    Alias, Asterisk, Expr, ExprTrait as _, Func, IntoColumnRef as _, Query, SelectStatement,
};
use sea_orm::{ConnectionTrait, DbErr, Order};

use super::{number, visible};
use crate::domain::listing::TagOrder;
use crate::entity::{Column, Entity, tag};
use crate::service::Viewer;

/// A tag, and how many of the posts that its reader may know of have it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TagCount {
    pub(crate) tag: String,
    pub(crate) posts: u64,
}

/// A page of the tags of the posts that `viewer` may know of.
pub(crate) async fn list_tags(
    connection: &impl ConnectionTrait,
    viewer: &Viewer,
    paging: &Paging<TagOrder>,
) -> Result<Page<TagCount>, DbErr> {
    let (key, posts) = (Expr::col((tag::Entity, tag::Column::TagKey)), Alias::new("posts"));
    let total = number(connection, &seen(viewer).expr(Func::count_distinct(key.clone())).take()).await?;
    let order = if paging.descending { Order::Desc } else { Order::Asc };
    let mut select = seen(viewer);
    select
        // Spelled differently in different posts, it is one tag.
        .expr(Expr::col((tag::Entity, tag::Column::Tag)).min())
        .expr_as(Func::count(Expr::col(Asterisk)), posts.clone())
        .group_by_col((tag::Entity, tag::Column::TagKey).into_column_ref());
    match paging.sort {
        TagOrder::Posts => {
            select.order_by(posts, order).order_by((tag::Entity, tag::Column::TagKey), Order::Asc)
        }
        TagOrder::Tag => select.order_by((tag::Entity, tag::Column::TagKey), order),
    };
    select.limit(u64::from(paging.page_size) + 1).offset(paging.offset().unwrap_or_default());
    let rows = connection.query_all(&select).await?;
    let counts = rows.iter().map(|row| {
        let posts = u64::try_from(row.try_get_by_index::<i64>(1)?).unwrap_or_default();
        Ok(TagCount { tag: row.try_get_by_index(0)?, posts })
    });
    let counts: Vec<TagCount> = counts.collect::<Result<_, DbErr>>()?;
    Ok(paging.cut(counts, Some(total), |count| (count.posts.into(), count.tag.as_str().into())))
}

fn seen(viewer: &Viewer) -> SelectStatement {
    let of_post = Expr::col((tag::Entity, tag::Column::PostId)).equals((Entity, Column::Id));
    let mut select = Query::select().from(tag::Entity).take();
    select.inner_join(Entity, of_post).cond_where(visible(viewer));
    select
}
