//! What a bookmark is, and what may be said of one. Knows neither HTTP nor the database.

use mainstay::prelude::*;
use serde::Serialize;
use serde_json::{Value, json};
use url::Url;
use utoipa::ToSchema;

uuid_ids! {
    /// Names a bookmark.
    pub struct BookmarkId;
}

text_type! {
    /// What a bookmark is called: one line of 1 to 200 characters.
    pub struct Title(1..=200);
}

text_type! {
    /// A remark: one line of 1 to 2,000 characters.
    pub struct Note(1..=2000);
}

text_type! {
    /// Words to look for: 1 to 100 characters. Nothing in it has a special meaning.
    pub struct SearchText(1..=100);
}

/// An `http` or `https` address as browsers write it: all ASCII, at most 2,000 characters.
#[derive(Clone, Debug)]
pub struct Link(String);

impl Link {
    pub fn into_string(self) -> String {
        self.0
    }
}

impl input::Text for Link {
    fn schema() -> Value {
        json!({"type": "string", "format": "uri", "pattern": "^https?://", "maxLength": 2000})
    }

    fn parse(text: &str) -> Result<Self, Invalid> {
        let url = Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
        match url.map(String::from) {
            None => Err(Invalid::new("invalid_url", "must be an http or https address")),
            Some(url) if url.len() > 2000 => {
                Err(Invalid::new("too_long", "must have at most 2000 characters"))
            }
            Some(url) => Ok(Self(url)),
        }
    }
}

input! {
    /// A bookmark to keep.
    pub struct NewBookmark {
        /// Where it leads. You can keep each address once.
        url: Link,
        /// What it is called.
        title: Title,
        /// A remark.
        note: Option<Note>,
    }
}

input! {
    /// What to change about a bookmark. What is absent stays as it is.
    pub struct BookmarkPatch {
        /// Where it leads.
        url: Patch<Link>,
        /// What it is called.
        title: Patch<Title>,
        /// A remark; `null` removes it.
        note: Patch<Option<Note>>,
    }
}

/// A bookmark.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Bookmark {
    /// Names it.
    pub id: BookmarkId,
    /// Where it leads.
    pub url: String,
    /// What it is called.
    pub title: String,
    /// A remark; `null` if there is none.
    #[schema(required)]
    pub note: Option<String>,
    /// Counts its changes, from 1: the ETag.
    #[serde(skip)]
    pub version: i64,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
}

impl Bookmark {
    /// The bookmark as it is after this change.
    pub fn patched(self, patch: BookmarkPatch, now: Timestamp) -> Self {
        let BookmarkPatch { url, title, note } = patch;
        Self {
            url: url.map(Link::into_string).over(self.url),
            title: title.map(Title::into_string).over(self.title),
            note: note.map(|note| note.map(Note::into_string)).over(self.note),
            version: self.version + 1,
            updated_at: now,
            ..self
        }
    }
}

/// The orders of the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BookmarkOrder {
    /// By the moment they were made.
    CreatedAt,
    /// By the title, without case, accents and punctuation.
    Title,
}

impl Sorting for BookmarkOrder {
    const ALL: &'static [(&'static str, Self)] = &[("created_at", Self::CreatedAt), ("title", Self::Title)];
    const DEFAULT: (Self, bool) = (Self::CreatedAt, true);
}
