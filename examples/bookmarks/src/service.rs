//! What can be done with bookmarks. Owns the transactions; knows no routes.

use mainstay::prelude::*;

use crate::domain::{Bookmark, BookmarkId, BookmarkOrder, BookmarkPatch, NewBookmark, Note, SearchText};
use crate::error::Result;
use crate::repo;

/// Everybody's bookmarks, each shown to its owner alone. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Bookmarks {
    db: Db,
    ids: Ids,
}

impl Bookmarks {
    /// The app on this platform.
    #[must_use]
    pub fn new(platform: &Platform) -> Self {
        Self { db: platform.db.clone(), ids: platform.ids.clone() }
    }

    pub(crate) async fn list(
        &self,
        caller: &Caller,
        search: Option<&SearchText>,
        paging: &Paging<BookmarkOrder>,
    ) -> Result<Page<Bookmark>> {
        repo::list(self.db.read(&caller.actor()), owner(caller)?, search, paging).await
    }

    pub(crate) async fn create(&self, caller: &Caller, new: NewBookmark) -> Result<Bookmark> {
        let NewBookmark { url, title, note } = new;
        let now = self.db.clock().now();
        let bookmark = Bookmark {
            id: self.ids.make(),
            url: url.into_string(),
            title: title.into_string(),
            note: note.map(Note::into_string),
            version: 1,
            created_at: now,
            updated_at: now,
        };
        let unit = self.db.write(&caller.actor()).await?;
        repo::insert(&unit, owner(caller)?, &bookmark).await?;
        unit.audit(
            entry("bookmark.created", bookmark.id).set("url", &bookmark.url).set("title", &bookmark.title),
        );
        unit.commit().await?;
        Ok(bookmark)
    }

    pub(crate) async fn get(&self, caller: &Caller, id: BookmarkId) -> Result<Bookmark> {
        repo::get(self.db.read(&caller.actor()), owner(caller)?, id).await
    }

    pub(crate) async fn update(
        &self,
        caller: &Caller,
        id: BookmarkId,
        if_match: &IfMatch,
        patch: &BookmarkPatch,
    ) -> Result<Bookmark> {
        let (owner, now) = (owner(caller)?, self.db.clock().now());
        // It reads, then decides: two of these must not both start from the same state.
        let actor = caller.actor();
        let change = self.db.write_retrying(&actor, move |unit| {
            UnitWork::new(async move {
                let old = repo::get(unit, owner, id).await?;
                if_match.check(ETag(old.version))?;
                let changed = old.clone().patched(patch.clone(), now);
                repo::update(unit, owner, &changed).await?;
                let entry = entry("bookmark.updated", id)
                    .changed("url", &old.url, &changed.url)
                    .changed("title", &old.title, &changed.title)
                    .changed("note", &old.note, &changed.note);
                unit.audit(entry);
                Ok(changed)
            })
        });
        change.await
    }

    pub(crate) async fn delete(&self, caller: &Caller, id: BookmarkId) -> Result<()> {
        let unit = self.db.write(&caller.actor()).await?;
        repo::delete(&unit, owner(caller)?, id).await?;
        unit.audit(entry("bookmark.deleted", id));
        Ok(unit.commit().await?)
    }
}

/// What the audit log says of it. Who, when and from where is added when it is written.
fn entry(action: &'static str, id: BookmarkId) -> AuditEntry {
    AuditEntry::new(action, format!("bookmark/{id}"))
}

fn owner(caller: &Caller) -> Result<UserId, Problem> {
    Ok(caller.require_user()?.user_id)
}
