//! The blog's queries. Each takes the connection or the unit it runs in, and begins none.
//!
//! Those that read for somebody begin with [`visible`]: no list, count, search or tag knows of a draft
//! that its reader must not know of.

mod authored;
#[cfg(test)]
mod plan_tests;
mod tags;
mod write;

use std::sync::LazyLock;

use mainstay_core::page::Start;
use mainstay_core::text::SearchText;
use mainstay_core::{Actor, Page, Paging};
use mainstay_db::{Db, Dialect, PointQuery, WordIndex, page_of};
use sea_orm::sea_query::{Asterisk, CaseStatement, Expr, ExprTrait as _, Func, Query, SelectStatement};
use sea_orm::{
    ColumnTrait as _, Condition, ConnectionTrait, DbErr, EntityTrait as _, Iterable as _, QueryFilter as _,
    QuerySelect as _, Select,
};

use crate::domain::listing::{Filter, PostOrder};
use crate::domain::post::{Post, PostId};
use crate::entity::{self, Column, Entity, tag, words};
use crate::error::BlogError;
use crate::service::Viewer;

pub(crate) use authored::written_by;
pub(crate) use tags::{TagCount, list_tags};
pub(crate) use write::{Totals, count_up_all_of, delete, insert, taken_slugs, update};

/// Finds posts by the beginnings of their words.
pub(crate) const WORDS: WordIndex = WordIndex::new("blog_words", "post_id", &["post_words"]);

/// The posts that `viewer` may know of.
fn visible(viewer: &Viewer) -> Condition {
    let published = || Expr::col((Entity, Column::Published)).eq(true);
    match viewer {
        Viewer::Anybody => Condition::all().add(published()),
        Viewer::Author(id) => {
            Condition::any().add(published()).add(Expr::col((Entity, Column::AuthorId)).eq(id.uuid()))
        }
        Viewer::Staff(_) | Viewer::Admin(_) | Viewer::System => Condition::all(),
    }
}

/// The post with this id, whoever asks. For changes, which check for themselves.
pub(crate) async fn find(connection: &impl ConnectionTrait, id: PostId) -> Result<Option<Post>, DbErr> {
    Ok(Entity::find_by_id(id.number()).one(connection).await?.map(Post::from))
}

static BY_ID: LazyLock<PointQuery> = LazyLock::new(|| {
    PointQuery::new(Query::select().columns(Post::COLUMNS).from(Entity).and_where(Column::Id.eq(0_i64)))
});

static BY_SLUG: LazyLock<PointQuery> = LazyLock::new(|| {
    PointQuery::new(Query::select().columns(Post::COLUMNS).from(Entity).and_where(Column::Slug.eq("")))
});

/// The post with this id, as far as `viewer` may know of it.
pub(crate) async fn look_up(
    db: &Db,
    actor: &Actor,
    viewer: &Viewer,
    id: PostId,
) -> Result<Option<Post>, DbErr> {
    let row = db.point(actor, &BY_ID, &[id.number().into()]).await?;
    let post = row.map(|row| Post::try_from(&row)).transpose()?;
    Ok(post.filter(|post| viewer.sees(post)))
}

/// The same by its slug.
pub(crate) async fn look_up_by_slug(
    db: &Db,
    actor: &Actor,
    viewer: &Viewer,
    slug: &str,
) -> Result<Option<Post>, DbErr> {
    let row = db.point(actor, &BY_SLUG, &[slug.into()]).await?;
    let post = row.map(|row| Post::try_from(&row)).transpose()?;
    Ok(post.filter(|post| viewer.sees(post)))
}

/// A page of the posts that `viewer` may know of and that pass `filter`. Text and HTML that take more than
/// `most_bytes` together are left empty, and not read.
pub(crate) async fn list(
    db: &Db,
    actor: &Actor,
    viewer: &Viewer,
    filter: &Filter,
    paging: &Paging<PostOrder>,
    most_bytes: i64,
) -> Result<Page<Post>, BlogError> {
    let connection = db.read(actor);
    let wanted = wanted(db.dialect(), viewer, filter);
    let total = match paging.start {
        Start::Page(_) => Some(total(db, actor, viewer, filter, &wanted).await?),
        Start::After { .. } => None,
    };
    let sorted = match paging.sort {
        PostOrder::PublishedAt => Column::DatedAt,
        PostOrder::CreatedAt => Column::CreatedAt,
        PostOrder::UpdatedAt => Column::UpdatedAt,
        PostOrder::Title => Column::TitleWords,
        PostOrder::Id => Column::Id,
    };
    let rows = listed(most_bytes).filter(wanted);
    let page = page_of(connection, rows, paging, sorted, Column::Id, total).await?;
    Ok(page.map(|row| {
        let mut post = Post::from(row);
        // Newer rules may make more of a text than its row says.
        if entity::text_bytes(&post) > most_bytes {
            post.content.clear();
            post.content_html.clear();
        }
        post
    }))
}

/// Posts without the texts that are too long for a list.
fn listed(most_bytes: i64) -> Select<Entity> {
    let is_text = |column: &Column| matches!(column, Column::Content | Column::ContentHtml);
    let mut rows = Entity::find().select_only().columns(Column::iter().filter(|column| !is_text(column)));
    for (text, name) in [(Column::Content, "content"), (Column::ContentHtml, "content_html")] {
        let fits = Expr::col((Entity, Column::TextBytes)).lte(most_bytes);
        let shown = CaseStatement::new().case(fits, Expr::col((Entity, text))).finally("");
        rows = rows.expr_as(shown, name);
    }
    rows
}

fn wanted(dialect: Dialect, viewer: &Viewer, filter: &Filter) -> Condition {
    Condition::all().add(visible(viewer)).add_option(filtered(dialect, filter))
}

fn filtered(dialect: Dialect, filter: &Filter) -> Option<Condition> {
    let Filter { published, author, tag: wanted_tag, q, from, to } = filter;
    let tagged = wanted_tag.as_ref().map(|wanted| {
        let posts = Query::select()
            .column(tag::Column::PostId)
            .from(tag::Entity)
            .and_where(tag::Column::TagKey.eq(wanted.key()))
            .take();
        Expr::col((Entity, Column::Id)).in_subquery(posts)
    });
    let conditions = [
        published.map(|published| Column::Published.eq(published)),
        author.map(|author| Column::AuthorId.eq(author.uuid())),
        from.map(|from| Column::DatedAt.gte(from.first().millis())),
        to.map(|to| Column::DatedAt.lt(to.after().millis())),
        tagged,
        q.as_ref().map(SearchText::words).map(|words| has_words(dialect, &words)),
    ];
    let conditions: Vec<Expr> = conditions.into_iter().flatten().collect();
    (!conditions.is_empty()).then(|| conditions.into_iter().fold(Condition::all(), Condition::add))
}

/// Posts in which each of `words` begins a word. No words match no post.
fn has_words(dialect: Dialect, words: &[String]) -> Expr {
    let found = Query::select()
        .column(words::Column::PostId)
        .from(words::Entity)
        .and_where(WORDS.matches(dialect, words))
        .take();
    Expr::col((Entity, Column::Id)).in_subquery(found)
}

/// How many posts a list is cut from. The lists that everybody asks for are counted along with each
/// change; for the others the database counts.
async fn total(
    db: &Db,
    actor: &Actor,
    viewer: &Viewer,
    filter: &Filter,
    wanted: &Condition,
) -> Result<u64, DbErr> {
    if !filter.is_plain() {
        return number(db.read(actor), &count(wanted.clone())).await;
    }
    let published = match filter.published {
        Some(false) => 0,
        Some(true) | None => Totals::read(db, actor, true).await?,
    };
    let drafts = match viewer {
        _ if filter.published == Some(true) => 0,
        Viewer::Anybody => 0,
        Viewer::Author(id) => {
            let drafts = Column::Published.eq(false);
            let own = Condition::all().add(Column::AuthorId.eq(id.uuid())).add(drafts);
            number(db.read(actor), &count(own)).await?
        }
        Viewer::Staff(_) | Viewer::Admin(_) | Viewer::System => Totals::read(db, actor, false).await?,
    };
    Ok(published + drafts)
}

fn count(wanted: Condition) -> SelectStatement {
    Query::select().expr(Func::count(Expr::col(Asterisk))).from(Entity).cond_where(wanted).take()
}

async fn number(connection: &impl ConnectionTrait, select: &SelectStatement) -> Result<u64, DbErr> {
    let row = connection.query_one(select).await?;
    let number: i64 = row.map(|row| row.try_get_by_index(0)).transpose()?.unwrap_or_default();
    Ok(u64::try_from(number).unwrap_or_default())
}

/// Whether there is no post at all.
pub(crate) async fn is_empty(connection: &impl ConnectionTrait) -> Result<bool, DbErr> {
    let any = Query::select().column(Column::Id).from(Entity).limit(1).take();
    Ok(connection.query_one(&any).await?.is_none())
}
