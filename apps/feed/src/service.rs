//! What can be done with the feed. Owns the transactions.

use mainstay_core::page::Start;
use mainstay_core::{Actor, AuditEntry, Page, Paging, Sorting};
use mainstay_db::Db;

use crate::domain::{NewFeedPost, Post, PostId};
use crate::error::FeedError;
use crate::repo;
use crate::totals::Totals;

/// The posts of the feed. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Posts {
    db: Db,
    totals: Totals,
}

/// The one order of the feed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Newest {
    First,
}

impl Sorting for Newest {
    const ALL: &'static [(&'static str, Self)] = &[("id", Self::First)];
    const DEFAULT: (Self, bool) = (Self::First, true);

    fn has_cursor(self) -> bool {
        false
    }
}

impl Posts {
    /// The posts in this database.
    #[must_use]
    pub fn new(db: Db) -> Self {
        Self { db, totals: Totals::default() }
    }

    /// Adds a post.
    ///
    /// # Errors
    /// The database's.
    pub async fn create(&self, actor: &Actor, new: &NewFeedPost) -> Result<Post, FeedError> {
        let now = self.db.clock().now();
        let unit = self.db.write(actor).await?;
        let id = repo::insert(&unit, new, now).await?;
        let NewFeedPost { name, username, body } = new;
        unit.audit(
            AuditEntry::new("feed.post_created", format!("feed_post/{id}"))
                .set("username", username.as_str()),
        );
        unit.commit().await?;
        Ok(Post {
            id,
            name: name.as_str().to_owned(),
            username: username.as_str().to_owned(),
            body: body.as_str().to_owned(),
            created_at: now,
        })
    }

    /// A post. One query, by its primary key.
    ///
    /// # Errors
    /// [`FeedError::NotFound`], or the database's.
    pub async fn get(&self, actor: &Actor, id: PostId) -> Result<Post, FeedError> {
        repo::look_up(&self.db, actor, id).await?.ok_or(FeedError::NotFound)
    }

    /// Page `page` (from 1) of the posts, `page_size` (1..=100) on each, the newest first.
    ///
    /// # Errors
    /// The database's.
    pub async fn list(&self, actor: &Actor, page: u32, page_size: u16) -> Result<Page<Post>, FeedError> {
        let paging = Paging { start: Start::Page(page), ..Paging::<Newest>::first(page_size) };
        let total = self.totals.total(&self.db, actor).await?;
        let offset = paging.offset().unwrap_or_default();
        let posts = if offset < total {
            repo::newest(self.db.read(actor), offset, u64::from(page_size) + 1).await?
        } else {
            Vec::new()
        };
        Ok(paging.cut(posts, Some(total), |post| (post.id.number().into(), post.id.number().into())))
    }
}
