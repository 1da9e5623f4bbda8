//! The feed's endpoints, under `/api/v1/posts`.

use axum::extract::State;
use axum::response::Response;
use mainstay_auth::{Access, Caller};
use mainstay_core::{Problem, Timestamp};
use mainstay_http::{
    ApiRouter, Created, ETag, Id, IfNoneMatch, Listing, PublicCache, Tag, Tagged, Valid, ValidQuery, routes,
};
use serde::Serialize;
use utoipa::ToSchema;

use crate::domain::{AskedId, NewFeedPost, PageNumber, PageSize, Post, PostId};
use crate::envelope::{self, ManyPosts, OnePost};
use crate::error::FeedError;
use crate::service::Posts;
use crate::settings::FeedSettings;

pub(crate) fn routes(settings: &FeedSettings) -> ApiRouter<Posts> {
    const TAG: Tag = Tag {
        name: "Feed",
        about: "A public feed of short posts. It answers in an envelope, errors included: `success`, `message`, and \
            `data` or `errors`.",
    };
    let access = if settings.require_login { Access::SignedIn } else { Access::Public };
    ApiRouter::new(TAG)
        .errors_as(&envelope::ERRORS)
        .route(routes!(list_feed_posts), access, &[])
        .route(routes!(create_feed_post), access, &[])
        .route(routes!(get_feed_post), access, &[])
}

/// A post of the feed.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = FeedPost)]
pub(crate) struct PostView {
    /// Names it; newer posts have larger ids.
    #[schema(value_type = i64, minimum = 1)]
    id: PostId,
    /// Who posted.
    #[schema(min_length = 1, max_length = 255)]
    name: String,
    /// The name that they go by.
    #[schema(min_length = 1, max_length = 100)]
    username: String,
    /// The text. HTML in it is text like any other: escape it where you show it.
    #[schema(min_length = 1, max_length = 10_000)]
    body: String,
    /// When it was posted.
    created_at: Timestamp,
}

impl From<Post> for PostView {
    fn from(post: Post) -> Self {
        let Post { id, name, username, body, created_at } = post;
        Self { id, name, username, body, created_at }
    }
}

mainstay_core::input! {
    /// Which page of the feed.
    pub(crate) struct ListFeed {
        /// Number of the page, from 1. A page past the end is an empty list.
        page: Option<PageNumber>,
        /// Posts on a page.
        page_size: Option<PageSize>,
    }
}

/// List the feed's posts
///
/// The newest first.
#[utoipa::path(
    get,
    path = "/posts",
    params(ListFeed),
    responses(
        (status = 200, description = "A page of posts", body = ManyPosts),
        (status = 304, description = "The page is as it was at the ETag in If-None-Match"),
    ),
)]
async fn list_feed_posts(
    State(posts): State<Posts>,
    caller: Caller,
    ValidQuery(ListFeed { page, page_size }): ValidQuery<ListFeed>,
) -> Result<Response, Problem> {
    let (PageNumber(page), PageSize(size)) = (page.unwrap_or_default(), page_size.unwrap_or_default());
    let size = u16::try_from(size).unwrap_or(u16::MAX);
    let page = posts.list(&caller.actor(), page, size).await?.map(PostView::from);
    let listing = Listing { page, cache: Some(PublicCache::of(&caller)) };
    Ok(listing.enveloped(|page| ManyPosts::new("Posts retrieved successfully", page)))
}

/// Get a post of the feed
#[utoipa::path(
    get,
    path = "/posts/{id}",
    params(
        ("id" = i64, Path, minimum = 1, description = "Names the post"),
        ("If-None-Match" = Option<String>, Header, description = "The ETag of the post as you have it"),
    ),
    responses(
        (status = 200, description = "The post", body = OnePost, headers(("ETag" = String, description = "Its version"))),
        (status = 304, description = "The post as you have it", headers(("ETag" = String, description = "Its version"))),
    ),
)]
async fn get_feed_post(
    State(posts): State<Posts>,
    caller: Caller,
    Id(AskedId(id)): Id<AskedId>,
    seen: IfNoneMatch,
) -> Result<Tagged<OnePost>, Problem> {
    let post = posts.get(&caller.actor(), id.ok_or(FeedError::NotFound)?).await?;
    let body = OnePost::new("Post retrieved successfully", post.into());
    // Posts do not change.
    Ok(Tagged { body, etag: ETag(1), seen: Some(seen), cache: Some(PublicCache::of(&caller)) })
}

/// Post to the feed
///
/// What is wrong with the input is answered with 400, every fault at once.
#[utoipa::path(
    post,
    path = "/posts",
    request_body = NewFeedPost,
    responses((
        status = 201, description = "The post is in the feed", body = OnePost,
        headers(("ETag" = String, description = "Its version"), ("Location" = String, description = "Its path")),
    )),
)]
async fn create_feed_post(
    State(posts): State<Posts>,
    caller: Caller,
    Valid(new): Valid<NewFeedPost>,
) -> Result<Created<OnePost>, Problem> {
    let post = posts.create(&caller.actor(), &new).await?;
    Ok(Created {
        location: format!("/api/v1/posts/{}", post.id),
        etag: Some(ETag(1)),
        body: OnePost::new("Post created successfully", post.into()),
    })
}
