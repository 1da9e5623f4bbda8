//! What can be done with posts. Owns the transactions; knows neither routes nor commands.

use std::collections::HashMap;
use std::sync::Arc;

use mainstay_app::{People as _, PeopleSlot, Person, Platform};
use mainstay_auth::{Caller, Role};
use mainstay_core::{Actor, AuditEntry, Faults, Page, Paging, Problem, Rng, UserId};
use mainstay_db::{Db, WriteUnit};
use mainstay_http::{ETag, IfMatch};
use sea_orm::DbErr;

use crate::domain::listing::{Filter, PostOrder, TagOrder};
use crate::domain::markdown::{self, MOST_HTML};
use crate::domain::post::{NewPost, Post, PostId, PostPatch};
use crate::domain::slug::Slug;
use crate::entity::search_words;
use crate::error::BlogError;
use crate::events::{PostDeleted, PostPublished, PostUnpublished, PostUpdated};
use crate::repo::{self, TagCount};

/// Who reads or writes, as the blog sees them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Viewer {
    /// Not signed in, or by a key that was not made for the blog.
    Anybody,
    /// Somebody with an account: sees their own drafts and changes their own posts.
    Author(UserId),
    /// Sees every draft, and changes their own posts.
    Staff(UserId),
    /// Sees and changes everything.
    Admin(UserId),
    /// The program itself: a command, the demo data. Sees everything.
    System,
}

impl Viewer {
    /// Who makes this request.
    #[must_use]
    pub fn of(caller: &Caller) -> Self {
        match caller.user() {
            None => Self::Anybody,
            Some(user) if user.roles.grants(Role::Admin) => Self::Admin(user.user_id),
            Some(user) if user.roles.grants(Role::Staff) => Self::Staff(user.user_id),
            Some(user) => Self::Author(user.user_id),
        }
    }

    /// Whether they may know of this post.
    #[must_use]
    pub fn sees(&self, post: &Post) -> bool {
        match self {
            Self::Anybody => post.is_published(),
            Self::Author(id) => post.is_published() || post.author_id == *id,
            Self::Staff(_) | Self::Admin(_) | Self::System => true,
        }
    }

    fn may_change(&self, post: &Post) -> bool {
        match self {
            Self::Anybody => false,
            Self::Author(id) | Self::Staff(id) => post.author_id == *id,
            Self::Admin(_) | Self::System => true,
        }
    }
}

/// The blog's posts. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Blogging {
    pub(crate) db: Db,
    pub(crate) people: PeopleSlot,
    rng: Arc<dyn Rng>,
}

/// How many numbers are tried behind a slug before chance decides.
const NUMBERED: usize = 100;

/// Bytes of texts on a page of a list, so that no list is many megabytes whatever people write. Each
/// post has an equal part: what is shown of it must not depend on its neighbours.
const MOST_LISTED_BYTES: i64 = 3_000_000;

impl Blogging {
    /// The posts of this platform's database.
    #[must_use]
    pub fn new(platform: &Platform) -> Self {
        Self { db: platform.db.clone(), people: platform.people.clone(), rng: platform.rng.clone() }
    }

    /// Writes a post by `author`.
    ///
    /// # Errors
    /// [`BlogError::SlugTaken`] if a slug was asked for that another post has, a text that becomes more HTML
    /// than is shown, or the database's.
    pub async fn create(&self, actor: &Actor, author: UserId, new: NewPost) -> Result<Post, BlogError> {
        let now = self.db.clock().now();
        let NewPost { title, content, slug, published, tags } = new;
        let given = slug.clone();
        let slug = slug.unwrap_or_else(|| Slug::of_title(title.as_str()));
        let post = Post {
            id: PostId::new(0),
            author_id: author,
            title: title.into_string(),
            slug: slug.as_str().to_owned(),
            content_html: String::new(),
            content: content.as_str().to_owned(),
            published_at: published.unwrap_or_default().then_some(now),
            tags: tags.unwrap_or_default().texts(),
            version: 1,
            created_at: now,
            updated_at: now,
        };
        let (mut post, words) = made_ready(post, true).await?;
        let unit = self.db.write(actor).await?;
        post.id = match (repo::insert(&unit, &post, &words).await?, given) {
            (Some(id), _) => id,
            (None, Some(slug)) => return Err(BlogError::taken(&slug)),
            (None, None) => self.insert_numbered(&unit, &slug, &mut post, &words).await?,
        };
        let entry = AuditEntry::new("blog.post.created", target(post.id))
            .set("title", &post.title)
            .set("slug", &post.slug)
            .set("published", post.is_published());
        unit.audit(entry);
        if post.is_published() {
            unit.emit(&PostPublished::of(&post));
        }
        unit.commit().await?;
        Ok(post)
    }

    /// Adds a post whose slug is taken, with the first number behind it that is free: `-2` and on. The
    /// index decides about each, so that of many at once each gets its own.
    async fn insert_numbered(
        &self,
        unit: &WriteUnit,
        slug: &Slug,
        post: &mut Post,
        words: &str,
    ) -> Result<PostId, BlogError> {
        let numbered: Vec<Slug> = (2..=NUMBERED).map(|number| slug.followed_by(number)).collect();
        let taken = repo::taken_slugs(unit, &numbered).await?;
        let free = numbered.into_iter().filter(|slug| !taken.iter().any(|taken| taken == slug.as_str()));
        // Who has a hundred posts of one title finds the next by chance, not by counting.
        let by_chance = (0..8).map(|_| {
            let random = u64::from_le_bytes(self.rng.bytes());
            slug.followed_by(format!("{:08x}", random & 0xffff_ffff))
        });
        let mut last = slug.clone();
        for slug in free.chain(by_chance) {
            post.slug = slug.as_str().to_owned();
            if let Some(id) = repo::insert(unit, post, words).await? {
                return Ok(id);
            }
            last = slug;
        }
        Err(BlogError::taken(&last))
    }

    /// The post with this id. One query, by the primary key.
    ///
    /// # Errors
    /// [`BlogError::NotFound`], also for drafts that are not `viewer`'s to see, or the database's.
    pub async fn get(&self, actor: &Actor, viewer: &Viewer, id: PostId) -> Result<Post, BlogError> {
        repo::look_up(&self.db, actor, viewer, id).await?.ok_or(BlogError::NotFound)
    }

    /// The post with this slug. One query, by its index.
    ///
    /// # Errors
    /// As [`Blogging::get`].
    pub async fn get_by_slug(&self, actor: &Actor, viewer: &Viewer, slug: &Slug) -> Result<Post, BlogError> {
        let found = repo::look_up_by_slug(&self.db, actor, viewer, slug.as_str()).await?;
        found.ok_or(BlogError::NotFound)
    }

    /// Changes what `patch` names. Nothing is written where that changes nothing: the version stays.
    ///
    /// # Errors
    /// [`BlogError::NotFound`], [`BlogError::NotTheirs`], [`BlogError::SlugTaken`], a stale `if_match`, a text
    /// that becomes more HTML than is shown, or the database's.
    pub async fn update(
        &self,
        actor: &Actor,
        viewer: &Viewer,
        id: PostId,
        if_match: &IfMatch,
        patch: PostPatch,
    ) -> Result<Post, BlogError> {
        loop {
            let before = self.present_state(viewer, id, if_match).await?;
            let now = self.db.clock().now();
            let mut after = before.patched(patch.clone(), now);
            if after == before {
                return Ok(before);
            }
            after.version += 1;
            after.updated_at = now;
            let renders = before.content != after.content;
            let mut words = None;
            if renders || before.title != after.title || before.tags != after.tags {
                let (ready, found_by) = made_ready(after, renders).await?;
                (after, words) = (ready, Some(found_by));
            }
            let unit = self.db.write(actor).await?;
            if repo::update(&unit, &before, &after, words).await? {
                unit.audit(updated(&before, &after));
                match (before.is_published(), after.is_published()) {
                    (false, true) => unit.emit(&PostPublished::of(&after)),
                    (true, true) => unit.emit(&PostUpdated::of(&after)),
                    (true, false) => {
                        unit.emit(&PostUnpublished { post_id: id.number(), author_id: after.author_id });
                    }
                    (false, false) => {}
                }
                unit.commit().await?;
                return Ok(after);
            }
            // Somebody was quicker. What they left is now the state that if_match is about.
        }
    }

    /// Deletes a post.
    ///
    /// # Errors
    /// [`BlogError::NotFound`], [`BlogError::NotTheirs`], a stale `if_match`, or the database's.
    pub async fn delete(
        &self,
        actor: &Actor,
        viewer: &Viewer,
        id: PostId,
        if_match: &IfMatch,
    ) -> Result<(), BlogError> {
        loop {
            let post = self.present_state(viewer, id, if_match).await?;
            let unit = self.db.write(actor).await?;
            if repo::delete(&unit, &post).await? {
                let entry = AuditEntry::new("blog.post.deleted", target(id));
                unit.audit(entry.note("title", &post.title).note("author_id", post.author_id));
                unit.emit(&PostDeleted { post_id: id.number(), author_id: post.author_id });
                return Ok(unit.commit().await?);
            }
        }
    }

    /// The state that a change starts from: never a replica's, which may be old.
    async fn present_state(
        &self,
        viewer: &Viewer,
        id: PostId,
        if_match: &IfMatch,
    ) -> Result<Post, BlogError> {
        let post = repo::find(self.db.primary(), id).await?.filter(|post| viewer.sees(post));
        let post = post.ok_or(BlogError::NotFound)?;
        if !viewer.may_change(&post) {
            return Err(BlogError::NotTheirs);
        }
        if_match.check(ETag(post.version))?;
        Ok(post)
    }

    /// A page of the posts that `viewer` may know of and that pass `filter`. Text and HTML are left empty
    /// without `texts`, and of posts where both together take more than the page's part of three megabytes:
    /// 30 KB for a hundred posts, 150 KB for twenty.
    ///
    /// # Errors
    /// A cursor that is none, or the database's.
    pub async fn list(
        &self,
        actor: &Actor,
        viewer: &Viewer,
        filter: &Filter,
        paging: &Paging<PostOrder>,
        texts: bool,
    ) -> Result<Page<Post>, BlogError> {
        let most_bytes = if texts { MOST_LISTED_BYTES / i64::from(paging.page_size) } else { 0 };
        repo::list(&self.db, actor, viewer, filter, paging, most_bytes).await
    }

    /// A page of the tags of the posts that `viewer` may know of, and of how many such posts have each.
    pub(crate) async fn list_tags(
        &self,
        actor: &Actor,
        viewer: &Viewer,
        paging: &Paging<TagOrder>,
    ) -> Result<Page<TagCount>, BlogError> {
        Ok(repo::list_tags(self.db.read(actor), viewer, paging).await?)
    }

    /// Who wrote these posts. One query, however many; accounts that were removed are not among them.
    pub(crate) async fn authors_of(&self, posts: &[Post]) -> Result<HashMap<UserId, Person>, DbErr> {
        let mut ids: Vec<UserId> = posts.iter().map(|post| post.author_id).collect();
        ids.sort_unstable();
        ids.dedup();
        self.people.people(None, &ids).await
    }

    /// Whether there is no post at all.
    pub(crate) async fn is_empty(&self) -> Result<bool, DbErr> {
        repo::is_empty(self.db.primary()).await
    }
}

/// The post with its HTML, if that is to be made, and the words that it is found by. Away from the threads that
/// answer requests, since a long text takes milliseconds; and before the transaction, which others wait for.
async fn made_ready(mut post: Post, renders: bool) -> Result<(Post, String), BlogError> {
    let made = tokio::task::spawn_blocking(move || {
        if renders {
            post.content_html = markdown::render(&post.content).ok_or_else(too_much_html)?;
        }
        let words = search_words(&post);
        Ok((post, words))
    });
    made.await.map_err(|error| BlogError::Refused(Problem::internal(error)))?
}

fn too_much_html() -> BlogError {
    let message = format!("becomes more than {MOST_HTML} bytes of HTML");
    BlogError::Refused(Faults::one("content", "too_much_html", message).into())
}

fn target(id: PostId) -> String {
    format!("blog_post/{id}")
}

fn updated(before: &Post, after: &Post) -> AuditEntry {
    let entry = AuditEntry::new("blog.post.updated", target(after.id))
        .changed("title", &before.title, &after.title)
        .changed("slug", &before.slug, &after.slug)
        .changed("published", &before.is_published(), &after.is_published())
        .changed("tags", &before.tags, &after.tags);
    // The text itself has no place in a log that only grows.
    if before.content == after.content { entry } else { entry.note("content", "changed") }
}
