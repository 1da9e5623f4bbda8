//! Which posts a reader asks for, and in which order.

use chrono::{Days, NaiveDate, NaiveTime};
use mainstay_core::input::{Field, Property, Reader, Text};
use mainstay_core::text::SearchText;
use mainstay_core::{Invalid, Sorting, Timestamp, UserId};
use serde_json::{Value, json};

use super::tag::Tag;

/// An account's id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AuthorId(pub UserId);

impl Text for AuthorId {
    fn schema() -> Value {
        json!({"type": "string", "format": "uuid"})
    }

    fn parse(text: &str) -> Result<Self, Invalid> {
        text.parse().map(Self).map_err(|_| Invalid::new("invalid_id", "must be the id of an account, a UUID"))
    }
}

/// A day in UTC, or a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// All of it.
    Day(NaiveDate),
    /// Just it.
    At(Timestamp),
}

impl Moment {
    /// Its first millisecond.
    #[must_use]
    pub fn first(self) -> Timestamp {
        match self {
            Self::Day(day) => midnight(day),
            Self::At(at) => at,
        }
    }

    /// The first millisecond that comes after it.
    #[must_use]
    pub fn after(self) -> Timestamp {
        match self {
            Self::Day(day) => {
                day.checked_add_days(Days::new(1)).map_or(Timestamp::from_millis(i64::MAX), midnight)
            }
            Self::At(at) => Timestamp::from_millis(at.millis().saturating_add(1)),
        }
    }
}

fn midnight(day: NaiveDate) -> Timestamp {
    Timestamp::from_millis(day.and_time(NaiveTime::MIN).and_utc().timestamp_millis())
}

impl Text for Moment {
    fn schema() -> Value {
        json!({"oneOf": [{"type": "string", "format": "date"}, {"type": "string", "format": "date-time"}]})
    }

    fn parse(text: &str) -> Result<Self, Invalid> {
        let day = <NaiveDate as Text>::parse(text).map(Self::Day);
        day.or_else(|_| <Timestamp as Text>::parse(text).map(Self::At)).map_err(|_| {
            let message = "must be a day as YYYY-MM-DD or a time as in RFC 3339: 2026-01-31T09:30:00Z";
            Invalid::new("invalid_time", message)
        })
    }
}

/// From when to when: the parameters `from` and `to`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// Then or later.
    pub from: Option<Moment>,
    /// Then or earlier.
    pub to: Option<Moment>,
}

impl Span {
    /// From `from` to `to`; `None` is without end.
    ///
    /// # Errors
    /// If it ends before it begins.
    pub fn new(from: Option<Moment>, to: Option<Moment>) -> Result<Self, Invalid> {
        match (from, to) {
            (Some(from), Some(to)) if from.first() >= to.after() => {
                Err(Invalid::new("before_from", "must not be before from"))
            }
            _ => Ok(Self { from, to }),
        }
    }
}

impl Field for Span {
    fn describe(_: &'static str, _: &str, out: &mut Vec<Property>) {
        let from = "Only posts published then or later; a day begins at midnight UTC. Drafts go by when they were written \
            first.";
        <Option<Moment> as Field>::describe("from", from, out);
        let to = "Only posts published then or earlier; a day counts to its end.";
        <Option<Moment> as Field>::describe("to", to, out);
    }

    fn take(_: &'static str, reader: &mut Reader<'_>) -> Option<Self> {
        let from = <Option<Moment> as Field>::take("from", reader);
        let to = <Option<Moment> as Field>::take("to", reader);
        Self::new(from?, to?).map_or_else(|invalid| reader.fault("to", invalid), Some)
    }
}

/// Which posts the list shows: those that keep every condition.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Published ones, or drafts.
    pub published: Option<bool>,
    /// By this author.
    pub author: Option<UserId>,
    /// With this tag.
    pub tag: Option<Tag>,
    /// Each of its words begins a word of the title, a tag or the text.
    pub q: Option<SearchText>,
    /// Published (or, as a draft, written first) then or later.
    pub from: Option<Moment>,
    /// The same, then or earlier.
    pub to: Option<Moment>,
}

impl Filter {
    /// Whether it asks for nothing but published posts, drafts, or both.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        let Self { published: _, author, tag, q, from, to } = self;
        author.is_none() && tag.is_none() && q.is_none() && from.is_none() && to.is_none()
    }
}

/// The orders of the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PostOrder {
    /// By when it was published; a draft by when it was written first.
    PublishedAt,
    /// By when it was written first.
    CreatedAt,
    /// By when it was changed last.
    UpdatedAt,
    /// By the folded title: without case, accents and punctuation.
    Title,
    /// By id.
    Id,
}

impl Sorting for PostOrder {
    const ALL: &'static [(&'static str, Self)] = &[
        ("published_at", Self::PublishedAt),
        ("created_at", Self::CreatedAt),
        ("updated_at", Self::UpdatedAt),
        ("title", Self::Title),
        ("id", Self::Id),
    ];
    const DEFAULT: (Self, bool) = (Self::PublishedAt, true);
}

/// The orders of tags.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TagOrder {
    /// By the number of posts.
    Posts,
    /// By the folded tag.
    Tag,
}

impl Sorting for TagOrder {
    const ALL: &'static [(&'static str, Self)] = &[("posts", Self::Posts), ("tag", Self::Tag)];
    const DEFAULT: (Self, bool) = (Self::Posts, true);

    fn has_cursor(self) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_is_all_of_it_and_a_moment_just_it() {
        let moment = |text: &str| <Moment as Text>::parse(text).unwrap();
        let day = moment("2026-01-31");
        assert_eq!(day.after().since(day.first()), std::time::Duration::from_secs(86_400));
        let at = moment("2026-01-31T09:30:00Z");
        assert_eq!(at.after().since(at.first()), std::time::Duration::from_millis(1));
        assert!(<Moment as Text>::parse("yesterday").is_err());
    }

    #[test]
    fn a_span_must_not_end_before_it_begins() {
        let moment = |text: &str| Some(<Moment as Text>::parse(text).unwrap());
        let span = |from, to| Span::new(moment(from), moment(to));
        assert!(span("2026-01-31", "2026-01-31").is_ok());
        assert!(span("2026-01-31T23:00:00Z", "2026-01-31").is_ok());
        assert!(span("2026-02-01", "2026-01-31").is_err());
    }
}
