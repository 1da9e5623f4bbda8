//! Changes of posts, each with what stands beside a post: its tags, its words, the totals.

use std::sync::LazyLock;

use mainstay_core::{Actor, UserId};
use mainstay_db::{Db, PointQuery, WriteUnit, unique_violation};
use sea_orm::ActiveValue::{NotSet, Set};
use sea_orm::sea_query::{Alias, Expr, ExprTrait as _, OnConflict, Query};
use sea_orm::{
    ColumnTrait as _, Condition, ConnectionTrait, DbErr, EntityTrait as _, QueryFilter as _, QueryTrait as _,
};

use crate::domain::post::{Post, PostId};
use crate::domain::slug::Slug;
use crate::domain::tag::Tag;
use crate::entity::{self, ActiveModel, Column, Entity, tag, words};
use crate::error::BlogError;

/// How many posts there are, kept in step by every change: a change of one post is a change of a
/// number here, in the same transaction and last, so that it is locked for the moment of the commit alone.
pub(crate) struct Totals;

static TOTAL: LazyLock<PointQuery> = LazyLock::new(|| {
    let is = Expr::col(Alias::new("published")).eq(false);
    PointQuery::new(Query::select().column(Alias::new("posts")).from(Alias::new("blog_totals")).and_where(is))
});

impl Totals {
    /// How many posts are published, or drafts.
    pub(crate) async fn read(db: &Db, actor: &Actor, published: bool) -> Result<u64, DbErr> {
        let row = db.point(actor, &TOTAL, &[published.into()]).await?;
        let posts: i64 = row.map(|row| row.get("posts")).transpose()?.unwrap_or_default();
        Ok(u64::try_from(posts).unwrap_or_default())
    }

    /// Counts a post that was published before the change, or was a draft, or was not there; and is now.
    async fn change(unit: &WriteUnit, before: Option<bool>, after: Option<bool>) -> Result<(), DbErr> {
        if before == after {
            return Ok(());
        }
        // Always in this order: two changes that move posts in opposite directions must not wait for each other.
        for published in [false, true] {
            let by = i64::from(after == Some(published)) - i64::from(before == Some(published));
            if by != 0 {
                let posts = Alias::new("posts");
                let update = Query::update()
                    .table(Alias::new("blog_totals"))
                    .value(posts.clone(), Expr::col(posts).add(by))
                    .and_where(Expr::col(Alias::new("published")).eq(published))
                    .take();
                unit.execute(&update).await?;
            }
        }
        Ok(())
    }
}

/// Adds a post, whatever id it has, to be found by `words`. `None` if another one has its slug: the index decides, and the unit goes on.
pub(crate) async fn insert(unit: &WriteUnit, post: &Post, words: &str) -> Result<Option<PostId>, DbErr> {
    let mut insert = Entity::insert(entity::row(post)).into_query();
    insert.on_conflict(OnConflict::column(Column::Slug).do_nothing().to_owned()).returning_col(Column::Id);
    let Some(row) = unit.query_one(&insert).await? else { return Ok(None) };
    let id = PostId::new(row.try_get_by_index(0)?);
    add_words(unit, id, words).await?;
    add_tags(unit, id, post).await?;
    Totals::change(unit, None, Some(post.is_published())).await?;
    Ok(Some(id))
}

/// Which of these slugs are taken.
pub(crate) async fn taken_slugs(
    connection: &impl ConnectionTrait,
    slugs: &[Slug],
) -> Result<Vec<String>, DbErr> {
    let taken = Query::select()
        .column(Column::Slug)
        .from(Entity)
        .and_where(Column::Slug.is_in(slugs.iter().map(Slug::as_str)))
        .take();
    connection.query_all(&taken).await?.iter().map(|row| row.try_get_by_index(0)).collect()
}

/// Writes `after` over `before`, to be found by `words` if they changed. False if that is no longer there.
pub(crate) async fn update(
    unit: &WriteUnit,
    before: &Post,
    after: &Post,
    words: Option<String>,
) -> Result<bool, BlogError> {
    let row = ActiveModel { author_id: NotSet, created_at: NotSet, ..entity::row(after) };
    let updated =
        Entity::update_many().set(row).filter(in_state(before)).exec(unit).await.map_err(|error| {
            if unique_violation(&error, "blog_posts", &["slug"]) {
                BlogError::SlugTaken(after.slug.clone())
            } else {
                error.into()
            }
        })?;
    if updated.rows_affected == 0 {
        return Ok(false);
    }
    if let Some(words) = words {
        words::Entity::update_many()
            .col_expr(words::Column::PostWords, words.into())
            .filter(words::Column::PostId.eq(after.id.number()))
            .exec(unit)
            .await?;
    }
    if before.tags != after.tags {
        remove_tags(unit, after.id).await?;
        add_tags(unit, after.id, after).await?;
    }
    Totals::change(unit, Some(before.is_published()), Some(after.is_published())).await?;
    Ok(true)
}

/// Deletes a post. False if it is no longer there in this state.
pub(crate) async fn delete(unit: &WriteUnit, post: &Post) -> Result<bool, DbErr> {
    // Its tags and words go with it.
    let deleted = Entity::delete_many().filter(in_state(post)).exec(unit).await?;
    if deleted.rows_affected == 0 {
        return Ok(false);
    }
    Totals::change(unit, Some(post.is_published()), None).await?;
    Ok(true)
}

/// Counts up the version of everything that somebody wrote.
pub(crate) async fn count_up_all_of(unit: &WriteUnit, author: UserId) -> Result<(), DbErr> {
    let next = Expr::col(Column::Version).add(1_i64);
    let theirs = Column::AuthorId.eq(author.uuid());
    Entity::update_many().col_expr(Column::Version, next).filter(theirs).exec(unit).await.map(drop)
}

fn in_state(post: &Post) -> Condition {
    Condition::all().add(Column::Id.eq(post.id.number())).add(Column::Version.eq(post.version))
}

async fn add_words(unit: &WriteUnit, id: PostId, words: &str) -> Result<(), DbErr> {
    let row = words::ActiveModel { post_id: Set(id.number()), post_words: Set(words.to_owned()) };
    words::Entity::insert(row).exec_without_returning(unit).await.map(drop)
}

async fn add_tags(unit: &WriteUnit, id: PostId, post: &Post) -> Result<(), DbErr> {
    // What is stored was read as tags once.
    let tags: Vec<Tag> = post.tags.iter().filter_map(|tag| Tag::parse(tag).ok()).collect();
    if tags.is_empty() {
        return Ok(());
    }
    let rows = tags.into_iter().map(|tag| tag::ActiveModel {
        tag_key: Set(tag.key()),
        post_id: Set(id.number()),
        tag: Set(tag.into_string()),
    });
    tag::Entity::insert_many(rows).exec_without_returning(unit).await.map(drop)
}

async fn remove_tags(unit: &WriteUnit, id: PostId) -> Result<(), DbErr> {
    tag::Entity::delete_many().filter(tag::Column::PostId.eq(id.number())).exec(unit).await.map(drop)
}
