//! What can be done with books. Owns the transactions; knows neither routes nor commands.

use std::collections::{HashMap, HashSet};

use futures_util::{Stream, stream};
use mainstay_core::text::SearchText;
use mainstay_core::{Actor, AuditEntry, Page, Paging};
use mainstay_db::{Db, Dialect, UnitWork, WriteUnit};
use mainstay_http::{ETag, IfMatch};
use mainstay_transfer::ImportCounts;
use sea_orm::{ConnectionTrait, DbErr};

use crate::domain::book::{Book, BookId, BookPatch, Details, NewBook};
use crate::domain::listing::{BookOrder, Filter, SearchOrder};
use crate::error::LibraryError;
use crate::repo;

/// Rows that an import writes in one transaction, and an export reads at once.
pub const BATCH_ROWS: usize = 500;

/// The library's books. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Books {
    db: Db,
}

impl Books {
    /// The books in this database.
    #[must_use]
    pub fn new(db: Db) -> Self {
        Self { db }
    }

    /// Adds a book.
    ///
    /// # Errors
    /// [`LibraryError::IsbnTaken`], or the database's.
    pub async fn create(&self, actor: &Actor, new: &NewBook) -> Result<Book, LibraryError> {
        let now = self.db.clock().now();
        let unit = self.db.write(actor).await?;
        let id = repo::insert(&unit, new.details(), now).await?;
        let Details { title, author, published_date, isbn } = new.details();
        let entry = AuditEntry::new("book.created", target(id))
            .set("title", title)
            .set("author", author)
            .set("published_date", published_date.map(|date| date.to_string()))
            .set("isbn", isbn);
        unit.audit(entry);
        unit.commit().await?;
        Ok(Book {
            id,
            title: title.to_owned(),
            author: author.to_owned(),
            published_date,
            isbn: isbn.to_owned(),
            version: 1,
            created_at: now,
            updated_at: now,
        })
    }

    /// A book. One query, by its primary key.
    ///
    /// # Errors
    /// [`LibraryError::NotFound`], or the database's.
    pub async fn get(&self, actor: &Actor, id: BookId) -> Result<Book, LibraryError> {
        repo::look_up(&self.db, actor, id).await?.ok_or(LibraryError::NotFound(id))
    }

    /// Makes a book what `new` says.
    ///
    /// # Errors
    /// As [`Books::update`].
    pub async fn replace(
        &self,
        actor: &Actor,
        id: BookId,
        if_match: &IfMatch,
        new: NewBook,
    ) -> Result<Book, LibraryError> {
        self.update(actor, id, if_match, new.into()).await
    }

    /// Changes what `patch` names. Nothing is written where that changes nothing:
    /// the version stays.
    ///
    /// # Errors
    /// [`LibraryError::NotFound`], [`LibraryError::IsbnTaken`], a stale `if_match`, or the database's.
    pub async fn update(
        &self,
        actor: &Actor,
        id: BookId,
        if_match: &IfMatch,
        patch: BookPatch,
    ) -> Result<Book, LibraryError> {
        loop {
            let book = self.present_state(id, if_match).await?;
            let mut changed = book.patched(patch.clone());
            if changed == book {
                return Ok(book);
            }
            changed.version += 1;
            changed.updated_at = self.db.clock().now();
            let unit = self.db.write(actor).await?;
            if repo::update(&unit, &changed, book.version).await? {
                unit.audit(updated(target(id), book.details(), changed.details()));
                unit.commit().await?;
                return Ok(changed);
            }
            // Somebody was quicker. What they left is now the state that if_match is
            // about; without one, their change and ours both take effect.
        }
    }

    /// Deletes a book.
    ///
    /// # Errors
    /// [`LibraryError::NotFound`], a stale `if_match`, or the database's.
    pub async fn delete(&self, actor: &Actor, id: BookId, if_match: &IfMatch) -> Result<(), LibraryError> {
        loop {
            let book = self.present_state(id, if_match).await?;
            let unit = self.db.write(actor).await?;
            if repo::delete(&unit, id, book.version).await? {
                let entry = AuditEntry::new("book.deleted", target(id));
                unit.audit(entry.note("title", &book.title).note("isbn", &book.isbn));
                return Ok(unit.commit().await?);
            }
        }
    }

    /// The state that a change starts from: never a replica's, which may be old.
    async fn present_state(&self, id: BookId, if_match: &IfMatch) -> Result<Book, LibraryError> {
        let book = repo::find(self.db.primary(), id).await?.ok_or(LibraryError::NotFound(id))?;
        if_match.check(ETag(book.version))?;
        Ok(book)
    }

    /// A page of the books that pass `filter`.
    ///
    /// # Errors
    /// A cursor that is none, or the database's.
    pub async fn list(
        &self,
        actor: &Actor,
        filter: &Filter,
        paging: &Paging<BookOrder>,
    ) -> Result<Page<Book>, LibraryError> {
        repo::list(self.db.read(actor), self.dialect(), filter, paging).await
    }

    /// A page of the books in whose title or author each word of `text` begins a
    /// word. A text without letters and digits finds nothing.
    ///
    /// # Errors
    /// As [`Books::list`].
    pub async fn search(
        &self,
        actor: &Actor,
        text: &SearchText,
        paging: &Paging<SearchOrder>,
    ) -> Result<Page<Book>, LibraryError> {
        repo::search(self.db.read(actor), self.dialect(), &text.words(), paging).await
    }

    /// Whether there is no book at all.
    ///
    /// # Errors
    /// The database's.
    pub async fn is_empty(&self) -> Result<bool, LibraryError> {
        Ok(repo::after(self.db.primary(), BookId::new(0), 1).await?.is_empty())
    }

    /// Adds these books, or changes those whose ISBN is here already, in one
    /// transaction. Where an ISBN comes twice, the later row changes the earlier.
    ///
    /// # Errors
    /// The database's; then none of them was written.
    pub async fn import(&self, actor: &Actor, rows: &[NewBook]) -> Result<ImportCounts, LibraryError> {
        self.db
            .write_retrying(actor, |unit| {
                UnitWork::new(async move {
                    let stored = stored(unit, rows).await?;
                    let (counts, changes) = changes(&stored, rows);
                    repo::upsert(unit, &changes, self.db.clock().now()).await?;
                    audit_import(unit, &stored, &changes);
                    Ok(counts)
                })
            })
            .await
    }

    /// What [`Books::import`] would do.
    ///
    /// # Errors
    /// The database's.
    pub async fn try_import(&self, rows: &[NewBook]) -> Result<ImportCounts, LibraryError> {
        let stored = stored(self.db.primary(), rows).await?;
        Ok(changes(&stored, rows).0)
    }

    /// All books in the order they were added, in batches. Memory for one of
    /// them; a book that is added or changed meanwhile may show either state.
    pub fn export(&self, actor: Actor) -> impl Stream<Item = Result<Vec<Book>, LibraryError>> + Send + use<> {
        let start = (self.db.clone(), actor, BookId::new(0));
        stream::try_unfold(start, async |(db, actor, last)| {
            let batch = repo::after(db.read(&actor), last, BATCH_ROWS as u64).await?;
            Ok(batch.last().map(|book| book.id).map(|last| (batch, (db, actor, last))))
        })
    }

    fn dialect(&self) -> Dialect {
        self.db.dialect()
    }
}

fn target(id: BookId) -> String {
    format!("book/{id}")
}

fn updated(target: String, before: Details<'_>, after: Details<'_>) -> AuditEntry {
    let date = |details: &Details<'_>| details.published_date.map(|date| date.to_string());
    AuditEntry::new("book.updated", target)
        .changed("title", &before.title, &after.title)
        .changed("author", &before.author, &after.author)
        .changed("published_date", &date(&before), &date(&after))
        .changed("isbn", &before.isbn, &after.isbn)
}

/// Books that were changed have an entry each; those that are new share one.
fn audit_import(unit: &WriteUnit, stored: &[Book], changes: &[Details<'_>]) {
    let before: HashMap<&str, &Book> = stored.iter().map(|book| (book.isbn.as_str(), book)).collect();
    let mut added = Vec::new();
    for after in changes {
        match before.get(after.isbn) {
            Some(book) => unit.audit(updated(target(book.id), book.details(), *after)),
            None => added.push(after.isbn),
        }
    }
    if !added.is_empty() {
        unit.audit(AuditEntry::new("book.imported", "book").note("isbns", added));
    }
}

async fn stored(connection: &impl ConnectionTrait, rows: &[NewBook]) -> Result<Vec<Book>, DbErr> {
    repo::with_isbns(connection, rows.iter().map(|row| row.isbn.hyphenless())).await
}

/// What `rows` do to the books that are stored: the counts, as if one row came
/// after the other, and the last word on each book that changes, in the rows' order.
fn changes<'a>(stored: &'a [Book], rows: &'a [NewBook]) -> (ImportCounts, Vec<Details<'a>>) {
    let mut counts = ImportCounts::default();
    let mut latest: HashMap<&str, Details<'_>> =
        stored.iter().map(|book| (book.isbn.as_str(), book.details())).collect();
    let mut seen = HashSet::new();
    let mut changed = Vec::new();
    for details in rows.iter().map(NewBook::details) {
        match latest.insert(details.isbn, details) {
            Some(before) if before == details => {
                counts.unchanged += 1;
                continue;
            }
            Some(_) => counts.updated += 1,
            None => counts.created += 1,
        }
        if seen.insert(details.isbn) {
            changed.push(details.isbn);
        }
    }
    (counts, changed.into_iter().map(|isbn| latest[isbn]).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use mainstay_core::Timestamp;
    use mainstay_core::input::from_json;
    use serde_json::json;

    fn new(title: &str, isbn: &str) -> NewBook {
        from_json(&json!({"title": title, "author": "Anon", "isbn": isbn})).unwrap()
    }

    #[test]
    fn rows_count_one_by_one_and_the_last_word_is_written() {
        let stored = [Book {
            id: BookId::new(1),
            title: "Old".to_owned(),
            author: "Anon".to_owned(),
            published_date: None,
            isbn: "9780306406157".to_owned(),
            version: 1,
            created_at: Timestamp::from_millis(0),
            updated_at: Timestamp::from_millis(0),
        }];
        let rows = [
            new("Old", "0306406152"),
            new("First", "080442957X"),
            new("New", "0306406152"),
            new("Second", "9780804429573"),
            new("Second", "9780804429573"),
        ];

        let (counts, changes) = changes(&stored, &rows);

        assert_eq!(counts, ImportCounts { created: 1, updated: 2, unchanged: 2 });
        let titles: Vec<_> = changes.iter().map(|details| details.title).collect();
        assert_eq!(titles, ["Second", "New"]);
    }
}
