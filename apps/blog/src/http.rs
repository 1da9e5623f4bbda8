//! The blog's endpoints, under `/api/v1/blog`.

use std::collections::HashMap;

use axum::extract::State;
use axum::http::StatusCode;
use mainstay_app::Person;
use mainstay_auth::{Access, Caller};
use mainstay_core::problem::FORBIDDEN;
use mainstay_core::text::SearchText;
use mainstay_core::{Page, Paging, Problem, Timestamp, UserId};
use mainstay_http::{
    ApiRouter, Created, ETag, Id, IfMatch, IfNoneMatch, Listing, PublicCache, Tag as Heading, Tagged, Valid,
    ValidQuery, routes,
};
use serde::Serialize;
use utoipa::ToSchema;

use crate::domain::listing::{AuthorId, Filter, PostOrder, Span, TagOrder};
use crate::domain::post::{NewPost, Post, PostId, PostPatch};
use crate::domain::slug::Slug;
use crate::domain::tag::Tag;
use crate::error::{BlogError, POST_NOT_FOUND, SLUG_TAKEN};
use crate::repo::TagCount;
use crate::service::{Blogging, Viewer};

pub(crate) fn routes() -> ApiRouter<Blogging> {
    const TAG: Heading = Heading {
        name: "Blog",
        about: "Posts in Markdown: everybody reads what is published; drafts are their author's and the staff's.",
    };
    ApiRouter::new(TAG)
        .route(routes!(list_blog_posts), Access::Public, &[])
        .route(routes!(create_blog_post), Access::SignedIn, &[&SLUG_TAKEN])
        .route(routes!(get_blog_post), Access::Public, &[&POST_NOT_FOUND])
        .route(routes!(get_blog_post_by_slug), Access::Public, &[&POST_NOT_FOUND])
        .route(routes!(update_blog_post), Access::SignedIn, &[&FORBIDDEN, &POST_NOT_FOUND, &SLUG_TAKEN])
        .route(routes!(delete_blog_post), Access::SignedIn, &[&FORBIDDEN, &POST_NOT_FOUND])
        .route(routes!(list_blog_tags), Access::Public, &[])
}

/// Who wrote a post.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = BlogAuthor)]
pub(crate) struct AuthorView {
    #[schema(inline)]
    id: UserId,
    /// The name the account goes by; `deleted user` if it was removed.
    username: String,
    /// The person's name; `null` if they gave none.
    #[schema(required)]
    name: Option<String>,
}

/// No account can be called this: a username has no space.
const DELETED_USER: &str = "deleted user";

/// A post.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = BlogPost)]
pub(crate) struct PostView {
    /// Names it.
    #[schema(value_type = i64, minimum = 1)]
    id: PostId,
    /// Its title.
    #[schema(min_length = 1, max_length = 200)]
    title: String,
    /// Names it in addresses for people.
    #[schema(min_length = 1, max_length = 100)]
    slug: String,
    /// Its text in Markdown. `null` only in lists, with `content=false` or where it is long: see there.
    #[schema(required)]
    content: Option<String>,
    /// Its text as HTML. Nothing in it can run: a page may show it as it is. `null` where `content` is.
    #[schema(required)]
    content_html: Option<String>,
    /// Whether everybody may read it.
    published: bool,
    /// When it was published; `null` while it is a draft.
    #[schema(required)]
    published_at: Option<Timestamp>,
    /// Who wrote it.
    author: AuthorView,
    /// What it is about, in the author's order.
    tags: Vec<String>,
    /// When it was written first.
    created_at: Timestamp,
    /// When it was changed last.
    updated_at: Timestamp,
}

impl PostView {
    fn of(post: Post, authors: &HashMap<UserId, Person>) -> Self {
        let Post {
            id,
            author_id,
            title,
            slug,
            content,
            content_html,
            published_at,
            tags,
            version: _,
            created_at,
            updated_at,
        } = post;
        let author = match authors.get(&author_id) {
            Some(person) => {
                AuthorView { id: author_id, username: person.username.clone(), name: person.name.clone() }
            }
            None => AuthorView { id: author_id, username: DELETED_USER.to_owned(), name: None },
        };
        let published = published_at.is_some();
        // No post has an empty text: this one was left out.
        let (content, content_html) = (!content.is_empty()).then_some((content, content_html)).unzip();
        Self {
            id,
            title,
            slug,
            content,
            content_html,
            published,
            published_at,
            author,
            tags,
            created_at,
            updated_at,
        }
    }
}

async fn view(blog: &Blogging, post: Post) -> Result<PostView, Problem> {
    let authors = blog.authors_of(std::slice::from_ref(&post)).await.map_err(BlogError::from)?;
    Ok(PostView::of(post, &authors))
}

mainstay_core::input! {
    /// Which posts to list.
    pub(crate) struct ListPosts {
        /// Paging.
        paging: Paging<PostOrder>,
        /// Only published posts, or only drafts: your own, for staff everybody's.
        published: Option<bool>,
        /// Only posts by this account.
        author_id: Option<AuthorId>,
        /// Only posts with this tag. Case and accents do not count.
        tag: Option<Tag>,
        /// Only posts in which each of these words begins a word of the title, a tag or the text. Case, accents and
        /// punctuation do not count; the first 16 words do.
        q: Option<SearchText>,
        /// When they were published.
        span: Span,
        /// `false` leaves the texts out: `content` and `content_html` are `null`.
        content: Option<bool>,
    }
}

/// List posts
///
/// A page of the posts that pass every filter given, the newest first. Whoever asks sees published posts
/// and their own drafts; staff see every draft.
///
/// An answer holds 3 MB of texts at most: where `content` and `content_html` take more than 3,000,000 bytes divided by
/// `page_size` together, both are `null`, and the post itself has them.
#[utoipa::path(
    get,
    path = "/blog/posts",
    params(ListPosts),
    responses(
        (status = 200, description = "A page of posts", body = Page<PostView>),
        (status = 304, description = "The page is as it was at the ETag in If-None-Match"),
    ),
)]
async fn list_blog_posts(
    State(blog): State<Blogging>,
    caller: Caller,
    ValidQuery(query): ValidQuery<ListPosts>,
) -> Result<Listing<PostView>, Problem> {
    let ListPosts { paging, published, author_id, tag, q, span: Span { from, to }, content } = query;
    let author = author_id.map(|AuthorId(id)| id);
    let filter = Filter { published, author, tag, q, from, to };
    let texts = content.unwrap_or(true);
    let page = blog.list(&caller.actor(), &Viewer::of(&caller), &filter, &paging, texts).await?;
    let authors = blog.authors_of(&page.items).await.map_err(BlogError::from)?;
    let page = page.map(|post| PostView::of(post, &authors));
    Ok(Listing { page, cache: Some(PublicCache::of(&caller)) })
}

/// Get a post
#[utoipa::path(
    get,
    path = "/blog/posts/{id}",
    params(
        ("id" = i64, Path, minimum = 1, description = "Names the post"),
        ("If-None-Match" = Option<String>, Header, description = "The ETag of the post as you have it"),
    ),
    responses(
        (status = 200, description = "The post", body = PostView, headers(("ETag" = String, description = "Its version"))),
        (status = 304, description = "The post as you have it", headers(("ETag" = String, description = "Its version"))),
    ),
)]
async fn get_blog_post(
    State(blog): State<Blogging>,
    caller: Caller,
    Id(id): Id<PostId>,
    seen: IfNoneMatch,
) -> Result<Tagged<PostView>, Problem> {
    let post = blog.get(&caller.actor(), &Viewer::of(&caller), id).await?;
    read(&blog, &caller, seen, post).await
}

/// Get a post by its slug
#[utoipa::path(
    get,
    path = "/blog/posts/by-slug/{slug}",
    params(
        ("slug" = String, Path, description = "Names the post in addresses for people"),
        ("If-None-Match" = Option<String>, Header, description = "The ETag of the post as you have it"),
    ),
    responses(
        (status = 200, description = "The post", body = PostView, headers(("ETag" = String, description = "Its version"))),
        (status = 304, description = "The post as you have it", headers(("ETag" = String, description = "Its version"))),
    ),
)]
async fn get_blog_post_by_slug(
    State(blog): State<Blogging>,
    caller: Caller,
    Id(AskedSlug(slug)): Id<AskedSlug>,
    seen: IfNoneMatch,
) -> Result<Tagged<PostView>, Problem> {
    let slug = slug.ok_or(BlogError::NotFound)?;
    let post = blog.get_by_slug(&caller.actor(), &Viewer::of(&caller), &slug).await?;
    read(&blog, &caller, seen, post).await
}

/// What stands in a path where a slug should. `None` if it can't be one: then it names nothing.
struct AskedSlug(Option<Slug>);

impl std::str::FromStr for AskedSlug {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self(<Slug as mainstay_core::input::Text>::parse(text).ok()))
    }
}

async fn read(
    blog: &Blogging,
    caller: &Caller,
    seen: IfNoneMatch,
    post: Post,
) -> Result<Tagged<PostView>, Problem> {
    let etag = ETag(post.version);
    let body = view(blog, post).await?;
    Ok(Tagged { body, etag, seen: Some(seen), cache: Some(PublicCache::of(caller)) })
}

/// Write a post
///
/// Everybody with an account may. It is a draft unless `published` is `true`.
#[utoipa::path(
    post,
    path = "/blog/posts",
    request_body = NewPost,
    responses((
        status = 201, description = "The post was written", body = PostView,
        headers(("ETag" = String, description = "Its version"), ("Location" = String, description = "Its path")),
    )),
)]
async fn create_blog_post(
    State(blog): State<Blogging>,
    caller: Caller,
    Valid(new): Valid<NewPost>,
) -> Result<Created<PostView>, Problem> {
    let author = caller.require_user()?.user_id;
    let post = blog.create(&caller.actor(), author, new).await?;
    let (location, etag) = (format!("/api/v1/blog/posts/{}", post.id), Some(ETag(post.version)));
    Ok(Created { location, etag, body: view(&blog, post).await? })
}

/// Change a post
///
/// Its author and administrators may. What the body does not mention stays as it is.
#[utoipa::path(
    patch,
    path = "/blog/posts/{id}",
    params(
        ("id" = i64, Path, minimum = 1, description = "Names the post"),
        ("If-Match" = Option<String>, Header, description = "The ETag of the state that the change is meant for"),
    ),
    request_body = PostPatch,
    responses((
        status = 200, description = "The post as it is now", body = PostView,
        headers(("ETag" = String, description = "Its version")),
    )),
)]
async fn update_blog_post(
    State(blog): State<Blogging>,
    caller: Caller,
    Id(id): Id<PostId>,
    if_match: IfMatch,
    Valid(patch): Valid<PostPatch>,
) -> Result<Tagged<PostView>, Problem> {
    let post = blog.update(&caller.actor(), &Viewer::of(&caller), id, &if_match, patch).await?;
    let version = post.version;
    Ok(Tagged::changed(view(&blog, post).await?, version))
}

/// Delete a post
///
/// Its author and administrators may.
#[utoipa::path(
    delete,
    path = "/blog/posts/{id}",
    params(
        ("id" = i64, Path, minimum = 1, description = "Names the post"),
        ("If-Match" = Option<String>, Header, description = "The ETag of the state that you mean to delete"),
    ),
    responses((status = 204, description = "The post is gone")),
)]
async fn delete_blog_post(
    State(blog): State<Blogging>,
    caller: Caller,
    Id(id): Id<PostId>,
    if_match: IfMatch,
) -> Result<StatusCode, Problem> {
    blog.delete(&caller.actor(), &Viewer::of(&caller), id, &if_match).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// A tag.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = BlogTag)]
pub(crate) struct TagView {
    /// The tag.
    tag: String,
    /// How many posts have it: published ones and your own drafts, for staff all.
    #[schema(minimum = 1)]
    posts: u64,
}

impl From<TagCount> for TagView {
    fn from(TagCount { tag, posts }: TagCount) -> Self {
        Self { tag, posts }
    }
}

mainstay_core::input! {
    /// Which tags to list.
    pub(crate) struct ListTags {
        /// Paging.
        paging: Paging<TagOrder>,
    }
}

/// List tags
///
/// With the number of posts that have them, the most used first. Tags that differ only in case or accents are one.
#[utoipa::path(
    get,
    path = "/blog/tags",
    params(ListTags),
    responses(
        (status = 200, description = "A page of tags", body = Page<TagView>),
        (status = 304, description = "The page is as it was at the ETag in If-None-Match"),
    ),
)]
async fn list_blog_tags(
    State(blog): State<Blogging>,
    caller: Caller,
    ValidQuery(ListTags { paging }): ValidQuery<ListTags>,
) -> Result<Listing<TagView>, Problem> {
    let page = blog.list_tags(&caller.actor(), &Viewer::of(&caller), &paging).await?;
    Ok(Listing { page: page.map(TagView::from), cache: Some(PublicCache::of(&caller)) })
}
