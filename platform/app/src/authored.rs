//! What people wrote, for the app that shows people and does not keep it.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, OnceLock};

use async_trait::async_trait;
use mainstay_core::{Actor, Timestamp, UserId};
use sea_orm::DbErr;
use serde::Serialize;
use utoipa::ToSchema;

/// Most posts of one person that are embedded: the newest. `post_count` counts all.
pub const MOST_EMBEDDED_POSTS: u16 = 100;

/// A blog post beside its author: what a list shows. Its text is at `/api/v1/blog/posts/{id}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct EmbeddedPost {
    /// Names the post.
    #[schema(minimum = 1)]
    pub id: i64,
    /// Its title.
    pub title: String,
    /// Names it in addresses for people.
    pub slug: String,
    /// Whether everybody may read it.
    pub published: bool,
    /// When it was published; `null` if it is a draft.
    #[schema(required)]
    pub published_at: Option<Timestamp>,
    /// What it is about.
    pub tags: Vec<String>,
    /// When it was written first.
    pub created_at: Timestamp,
    /// When it was changed last.
    pub updated_at: Timestamp,
}

/// What one person wrote.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Authored {
    /// How many posts there are, drafts included if they were asked for.
    pub post_count: u64,
    /// The newest of them, at most [`MOST_EMBEDDED_POSTS`], the newest first.
    pub posts: Vec<EmbeddedPost>,
}

/// The posts of people. Implemented by the app that keeps them.
#[async_trait]
pub trait Authors: Send + Sync {
    /// What each of these people wrote. With `drafts` it is what staff see; without, neither the posts nor
    /// their number tell of any. Who wrote nothing may be absent. The number of queries does not depend on
    /// the number of people.
    ///
    /// # Errors
    /// The database's.
    async fn written_by(
        &self,
        actor: &Actor,
        ids: &[UserId],
        drafts: bool,
    ) -> Result<HashMap<UserId, Authored>, DbErr>;
}

/// Where apps find the [`Authors`]. Cheap to clone. Filled while the apps are made, read after that, so
/// their order does not matter.
#[derive(Clone, Default)]
pub struct AuthorsSlot(Arc<OnceLock<Arc<dyn Authors>>>);

impl AuthorsSlot {
    /// Puts them there. The first ones stay.
    pub fn fill(&self, authors: Arc<dyn Authors>) {
        // Only a second app that keeps posts could come too late.
        let _kept = self.0.set(authors);
    }
}

/// With no app that keeps posts, nobody wrote any.
#[async_trait]
impl Authors for AuthorsSlot {
    async fn written_by(
        &self,
        actor: &Actor,
        ids: &[UserId],
        drafts: bool,
    ) -> Result<HashMap<UserId, Authored>, DbErr> {
        match self.0.get() {
            Some(authors) if !ids.is_empty() => authors.written_by(actor, ids, drafts).await,
            _ => Ok(HashMap::new()),
        }
    }
}

impl fmt::Debug for AuthorsSlot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AuthorsSlot({})", if self.0.get().is_some() { "filled" } else { "empty" })
    }
}
