//! Posts, and what may be said of one.

use mainstay_core::input::Text;
use mainstay_core::{Invalid, Patch, Timestamp, UserId};
use serde_json::{Value, json};

use super::slug::Slug;
use super::tag::Tags;

mainstay_core::number_ids! {
    /// Names a post: 1 and up.
    pub struct PostId;
}

mainstay_core::text_type! {
    /// A post's title: one line of 1 to 200 characters.
    pub struct Title(1..=200);
}

/// Most characters of a text.
const MOST_CONTENT: usize = 100_000;

/// The text of a post, in Markdown: 1 to 100,000 characters. What leads a line means something in
/// Markdown, so only white space at the very end goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Content(String);

impl Content {
    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Text for Content {
    fn schema() -> Value {
        json!({
            "type": "string", "minLength": 1, "maxLength": MOST_CONTENT,
            "pattern": r"^[^\x00-\x08\x0B\x0C\x0E-\x1F\x7F-\x9F]*[^\s\x00-\x1F\x7F-\x9F\u200B\u2060\uFEFF][^\x00-\x08\x0B\x0C\x0E-\x1F\x7F-\x9F]*$",
        })
    }

    fn parse(text: &str) -> Result<Self, Invalid> {
        let text = text.trim_end().replace("\r\n", "\n").replace('\r', "\n");
        if text.chars().any(|c| c.is_control() && !matches!(c, '\n' | '\t')) {
            let message = "must not hold control characters other than line breaks and tabs";
            return Err(Invalid::new("control_characters", message));
        }
        let shown = |c: char| !c.is_whitespace() && !matches!(c, '\u{200B}' | '\u{2060}' | '\u{FEFF}');
        if !text.chars().any(shown) {
            return Err(Invalid::new("too_short", "must not be empty"));
        }
        let length = text.chars().count();
        if length > MOST_CONTENT {
            let message = format!("must have at most {MOST_CONTENT} characters, has {length}");
            return Err(Invalid::new("too_long", message));
        }
        Ok(Self(text))
    }
}

mainstay_core::input! {
    /// A post to write.
    pub struct NewPost {
        /// The title: 1 to 200 characters.
        title: Title,
        /// The text in Markdown: 1 to 100,000 characters.
        content: Content,
        /// Names the post in addresses for people; no two posts share one. Made from the title if absent.
        slug: Option<Slug>,
        /// Whether everybody may read it now. A draft if absent.
        published: Option<bool>,
        /// What it is about: at most 20 tags.
        tags: Option<Tags>,
    }
}

mainstay_core::input! {
    /// What is to change about a post. What is absent stays as it is.
    pub struct PostPatch {
        /// The title. The slug stays as it is, so that addresses keep leading here.
        title: Patch<Title>,
        /// The text in Markdown.
        content: Patch<Content>,
        /// Names the post in addresses for people.
        slug: Patch<Slug>,
        /// Whether everybody may read it. `false` makes it a draft again.
        published: Patch<bool>,
        /// All of its tags; an empty list removes them.
        tags: Patch<Tags>,
    }
}

/// A post that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Post {
    /// Names it.
    pub id: PostId,
    /// Who wrote it. Stays when the account goes.
    pub author_id: UserId,
    /// Its title.
    pub title: String,
    /// Names it in addresses for people.
    pub slug: String,
    /// Its text in Markdown.
    pub content: String,
    /// Its text as HTML that a page may show as it is.
    pub content_html: String,
    /// When it was published. `None` while it is a draft.
    pub published_at: Option<Timestamp>,
    /// What it is about.
    pub tags: Vec<String>,
    /// Counts its changes, from 1: the ETag.
    pub version: i64,
    /// When it was written first.
    pub created_at: Timestamp,
    /// When it was changed last.
    pub updated_at: Timestamp,
}

impl Post {
    /// Whether everybody may read it.
    #[must_use]
    pub fn is_published(&self) -> bool {
        self.published_at.is_some()
    }

    /// When it counts as being of: published, or written first while it is a draft.
    #[must_use]
    pub fn dated_at(&self) -> Timestamp {
        self.published_at.unwrap_or(self.created_at)
    }

    /// The post as it is after this change, but for its HTML. `now` is when it is published, if it is.
    #[must_use]
    pub fn patched(&self, patch: PostPatch, now: Timestamp) -> Self {
        let PostPatch { title, content, slug, published, tags } = patch;
        let mut post = self.clone();
        if let Patch::Set(title) = title {
            post.title = title.into_string();
        }
        if let Patch::Set(content) = content {
            post.content = content.0;
        }
        if let Patch::Set(slug) = slug {
            post.slug = slug.as_str().to_owned();
        }
        if let Patch::Set(tags) = tags {
            post.tags = tags.texts();
        }
        // Publishing what is published changes nothing.
        post.published_at = match published {
            Patch::Set(true) => Some(self.published_at.unwrap_or(now)),
            Patch::Set(false) => None,
            Patch::Keep => self.published_at,
        };
        post
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mainstay_core::input::from_json;

    #[test]
    fn a_text_keeps_what_markdown_means_by_white_space() {
        let content = <Content as Text>::parse("    code\r\n\tmore  \rline\n\n ").unwrap();
        assert_eq!(content.as_str(), "    code\n\tmore  \nline");
        for (text, code) in [
            ("", "too_short"),
            (" \n\t", "too_short"),
            ("a\0", "control_characters"),
            ("a\u{1b}", "control_characters"),
        ] {
            assert_eq!(<Content as Text>::parse(text).unwrap_err().code, code, "{text:?}");
        }
        assert!(<Content as Text>::parse(&"語".repeat(100_000)).is_ok());
        assert_eq!(<Content as Text>::parse(&"語".repeat(100_001)).unwrap_err().code, "too_long");
    }

    #[test]
    fn publishing_twice_keeps_the_first_time_and_unpublishing_forgets_it() {
        let at = Timestamp::from_millis;
        let draft = Post {
            id: PostId::new(1),
            author_id: UserId::from(uuid()),
            title: "T".to_owned(),
            slug: "t".to_owned(),
            content: "c".to_owned(),
            content_html: String::new(),
            published_at: None,
            tags: vec!["a".to_owned()],
            version: 1,
            created_at: at(1),
            updated_at: at(1),
        };
        let patch = |post: &Post, body, now| post.patched(from_json(&body).unwrap(), at(now));
        let published = patch(&draft, json!({"published": true}), 5);
        assert_eq!(published.published_at, Some(at(5)));
        assert_eq!(patch(&published, json!({"published": true}), 9), published);
        assert_eq!(patch(&published, json!({"published": false}), 9), draft);
        assert_eq!(patch(&draft, json!({"tags": []}), 9).tags, [""; 0]);
        assert_eq!(patch(&draft, json!({"title": "New"}), 9).slug, "t");
        for cleared in ["title", "content", "slug", "published", "tags"] {
            assert!(from_json::<PostPatch>(&json!({cleared: null})).is_err(), "{cleared}");
        }
    }

    fn uuid() -> sea_orm::prelude::Uuid {
        sea_orm::prelude::Uuid::from_u128(7)
    }
}
