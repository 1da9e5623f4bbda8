//! Which books a reader wants to see, and in which order.

use chrono::NaiveDate;
use mainstay_core::text::SearchText;
use mainstay_core::{Faults, Sorting};

/// The orders of the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BookOrder {
    /// As they were added.
    Id,
    /// By the folded title: without case, accents and punctuation.
    Title,
    /// By the folded author.
    Author,
    /// By the day of publication; books without one come last.
    PublishedDate,
    /// By the moment they were added.
    CreatedAt,
}

impl Sorting for BookOrder {
    const ALL: &'static [(&'static str, Self)] = &[
        ("id", Self::Id),
        ("title", Self::Title),
        ("author", Self::Author),
        ("published_date", Self::PublishedDate),
        ("created_at", Self::CreatedAt),
    ];
    const DEFAULT: (Self, bool) = (Self::Id, false);
}

/// The orders of a search.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SearchOrder {
    /// The best match first.
    Relevance,
    /// As the list.
    By(BookOrder),
}

impl Sorting for SearchOrder {
    const ALL: &'static [(&'static str, Self)] = &[
        ("relevance", Self::Relevance),
        ("id", Self::By(BookOrder::Id)),
        ("title", Self::By(BookOrder::Title)),
        ("author", Self::By(BookOrder::Author)),
        ("published_date", Self::By(BookOrder::PublishedDate)),
        ("created_at", Self::By(BookOrder::CreatedAt)),
    ];
    const DEFAULT: (Self, bool) = (Self::Relevance, false);

    fn has_cursor(self) -> bool {
        self != Self::Relevance
    }
}

/// Which books the list shows: those that keep every condition.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Each of its words begins a word of the title.
    pub title: Option<SearchText>,
    /// Each of its words begins a word of the author.
    pub author: Option<SearchText>,
    /// Published on this day or later.
    pub published_from: Option<NaiveDate>,
    /// Published on this day or earlier.
    pub published_to: Option<NaiveDate>,
}

impl Filter {
    /// The filter itself, if a book could pass it.
    ///
    /// # Errors
    /// If the span of days ends before it begins.
    pub fn checked(self) -> Result<Self, Faults> {
        match (self.published_from, self.published_to) {
            (Some(from), Some(to)) if from > to => {
                Err(Faults::one("published_to", "before_from", "must not be before published_from"))
            }
            _ => Ok(self),
        }
    }
}
