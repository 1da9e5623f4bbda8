//! What the blog tells the other apps. Titles only of what everybody may read: events are shown and
//! sent to others.

use mainstay_core::UserId;
use mainstay_core::event::EventData;
use serde::{Deserialize, Serialize};

use crate::domain::post::Post;

/// A post can be read by everybody now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PostPublished {
    /// The post.
    pub post_id: i64,
    /// Who wrote it.
    pub author_id: UserId,
    /// Its title.
    pub title: String,
    /// Its slug.
    pub slug: String,
}

impl PostPublished {
    pub(crate) fn of(post: &Post) -> Self {
        let (title, slug) = (post.title.clone(), post.slug.clone());
        Self { post_id: post.id.number(), author_id: post.author_id, title, slug }
    }
}

/// What a published post says changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PostUpdated {
    /// The post.
    pub post_id: i64,
    /// Who wrote it.
    pub author_id: UserId,
    /// Its title now.
    pub title: String,
    /// Its slug now.
    pub slug: String,
}

impl PostUpdated {
    pub(crate) fn of(post: &Post) -> Self {
        let (title, slug) = (post.title.clone(), post.slug.clone());
        Self { post_id: post.id.number(), author_id: post.author_id, title, slug }
    }
}

/// A post is a draft again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PostUnpublished {
    /// The post.
    pub post_id: i64,
    /// Who wrote it.
    pub author_id: UserId,
}

/// A post was deleted, published or not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PostDeleted {
    /// The post.
    pub post_id: i64,
    /// Who wrote it.
    pub author_id: UserId,
}

macro_rules! about_posts {
    ($($event:ty = $kind:literal;)*) => {$(
        impl EventData for $event {
            const KIND: &'static str = $kind;

            fn subject(&self) -> String {
                format!("blog_post/{}", self.post_id)
            }
        }
    )*};
}

about_posts! {
    PostPublished = "blog.post.published";
    PostUpdated = "blog.post.updated";
    PostUnpublished = "blog.post.unpublished";
    PostDeleted = "blog.post.deleted";
}
