//! The rows of the blog. Private: the rest of the crate sees [`Post`].

use std::collections::HashSet;

use mainstay_core::{Timestamp, UserId, text};
use mainstay_db::PointRow;
use sea_orm::ActiveValue::{NotSet, Set};
use sea_orm::entity::prelude::*;

use crate::domain::markdown::{self, RENDERER};
use crate::domain::post::{Post, PostId};

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "blog_posts")]
pub(crate) struct Model {
    #[sea_orm(primary_key)]
    pub(crate) id: i64,
    pub(crate) author_id: Uuid,
    pub(crate) title: String,
    pub(crate) title_words: String,
    pub(crate) slug: String,
    pub(crate) published: bool,
    pub(crate) published_at: Option<i64>,
    pub(crate) dated_at: i64,
    pub(crate) tags: String,
    pub(crate) renderer: i32,
    pub(crate) version: i64,
    pub(crate) created_at: i64,
    pub(crate) updated_at: i64,
    pub(crate) text_bytes: i64,
    pub(crate) content: String,
    pub(crate) content_html: String,
}

#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// Which posts have a tag.
pub(crate) mod tag {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "blog_tags")]
    pub(crate) struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub(crate) tag_key: String,
        #[sea_orm(primary_key, auto_increment = false)]
        pub(crate) post_id: i64,
        pub(crate) tag: String,
    }

    #[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
    pub(crate) enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// What a post is found by.
pub(crate) mod words {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "blog_words")]
    pub(crate) struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub(crate) post_id: i64,
        pub(crate) post_words: String,
    }

    #[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
    pub(crate) enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

impl From<Model> for Post {
    fn from(row: Model) -> Self {
        let Model {
            id,
            author_id,
            title,
            title_words: _,
            slug,
            published: _,
            published_at,
            dated_at: _,
            tags,
            renderer,
            version,
            created_at,
            updated_at,
            text_bytes: _,
            content,
            content_html,
        } = row;
        Self {
            id: PostId::new(id),
            author_id: author_id.into(),
            title,
            slug,
            content_html: current_html(renderer, &content, content_html),
            content,
            published_at: published_at.map(Timestamp::from_millis),
            tags: read_tags(&tags),
            version,
            created_at: Timestamp::from_millis(created_at),
            updated_at: Timestamp::from_millis(updated_at),
        }
    }
}

impl Post {
    /// The columns that make one.
    pub(crate) const COLUMNS: [Column; 12] = [
        Column::Id,
        Column::AuthorId,
        Column::Title,
        Column::Slug,
        Column::PublishedAt,
        Column::Tags,
        Column::Renderer,
        Column::Version,
        Column::CreatedAt,
        Column::UpdatedAt,
        Column::Content,
        Column::ContentHtml,
    ];
}

impl TryFrom<&PointRow> for Post {
    type Error = DbErr;

    fn try_from(row: &PointRow) -> Result<Self, DbErr> {
        let author: Uuid = row.get("author_id")?;
        let published_at: Option<i64> = row.get("published_at")?;
        let (content, html): (String, String) = (row.get("content")?, row.get("content_html")?);
        Ok(Self {
            id: PostId::new(row.get("id")?),
            author_id: author.into(),
            title: row.get("title")?,
            slug: row.get("slug")?,
            content_html: current_html(row.get("renderer")?, &content, html),
            content,
            published_at: published_at.map(Timestamp::from_millis),
            tags: read_tags(&row.get::<String>("tags")?),
            version: row.get("version")?,
            created_at: Timestamp::from_millis(row.get("created_at")?),
            updated_at: Timestamp::from_millis(row.get("updated_at")?),
        })
    }
}

/// HTML that older rules made is made anew; it is stored when the text changes next. Nothing is shown of
/// a text that the rules of today would refuse.
fn current_html(renderer: i32, content: &str, html: String) -> String {
    if renderer == RENDERER { html } else { markdown::render(content).unwrap_or_default() }
}

/// The tags of a row.
pub(crate) fn read_tags(tags: &str) -> Vec<String> {
    serde_json::from_str(tags).unwrap_or_default()
}

/// The row of a post, but for its id.
pub(crate) fn row(post: &Post) -> ActiveModel {
    let Post {
        id: _,
        author_id,
        title,
        slug,
        content,
        content_html,
        published_at,
        tags,
        version,
        created_at,
        updated_at,
    } = post;
    ActiveModel {
        id: NotSet,
        author_id: Set(UserId::uuid(*author_id)),
        title: Set(title.clone()),
        title_words: Set(title_words(title)),
        slug: Set(slug.clone()),
        published: Set(published_at.is_some()),
        published_at: Set(published_at.map(Timestamp::millis)),
        dated_at: Set(post.dated_at().millis()),
        tags: Set(serde_json::json!(tags).to_string()),
        renderer: Set(RENDERER),
        version: Set(*version),
        created_at: Set(created_at.millis()),
        updated_at: Set(updated_at.millis()),
        text_bytes: Set(text_bytes(post)),
        content: Set(content.clone()),
        content_html: Set(content_html.clone()),
    }
}

/// How long its text and its HTML are together.
pub(crate) fn text_bytes(post: &Post) -> i64 {
    i64::try_from(post.content.len() + post.content_html.len()).unwrap_or(i64::MAX)
}

/// The folded words of a title. An entry of a PostgreSQL index takes 2,700 bytes, and a few single
/// characters fold to whole sentences.
fn title_words(title: &str) -> String {
    let words = text::words(title);
    text::padded(fitting(&words, 2_000))
}

/// What a post is found by: each word of its title, its tags and its text once. A PostgreSQL `tsvector`
/// takes a megabyte; of texts whose different words fill a quarter of it the last ones are not found.
pub(crate) fn search_words(post: &Post) -> String {
    let mut seen = HashSet::new();
    let texts = [&post.title].into_iter().chain(&post.tags).chain([&post.content]);
    let words: Vec<String> =
        texts.flat_map(|part| text::words(part)).filter(|word| seen.insert(word.clone())).collect();
    text::padded(fitting(&words, 250_000))
}

/// The first words that take at most so many bytes, spaces included.
fn fitting(words: &[String], most_bytes: usize) -> &[String] {
    let mut length = 1;
    let fitting = words.iter().take_while(|word| {
        length += word.len() + 1;
        length <= most_bytes
    });
    &words[..fitting.count()]
}
