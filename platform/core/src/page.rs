//! Lists: which page a client wants, in which order, and the page it gets.
//!
//! Every list is bounded and its order total: a sort ends with the id. A cursor
//! carries the sort it was made for and is refused with any other, because
//! following it there would skip rows without a word.

use std::fmt::Debug;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;

use crate::input::{Field, Invalid, Property, Reader};

/// Rows a page has unless the client says otherwise.
pub const DEFAULT_PAGE_SIZE: u16 = 20;
/// The most rows a page can have.
pub const MAX_PAGE_SIZE: u16 = 100;

/// The orders that one list offers.
pub trait Sorting: Copy + Debug + PartialEq + Send + Sync + 'static {
    /// Each order with its name on the wire.
    const ALL: &'static [(&'static str, Self)];
    /// The order when none is asked for, and whether it is descending.
    const DEFAULT: (Self, bool);

    /// Whether this order can be followed by a cursor. A computed rank can't.
    fn has_cursor(self) -> bool {
        true
    }

    /// The order that a list may take instead, and whether that is descending, where this one has no cursor
    /// and says nothing about the request: without words to look for, none of the rows is more relevant.
    /// The input can't know; it lets a cursor of that order pass, and whoever keeps this order refuses it.
    fn instead(self) -> Option<(Self, bool)> {
        None
    }

    /// Its name on the wire.
    fn name(self) -> &'static str {
        Self::ALL.iter().find(|(_, sort)| *sort == self).map_or("", |(name, _)| name)
    }
}

/// Where a page begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Start {
    /// The n-th page, from 1.
    Page(u32),
    /// Right behind the row with this sort key and id.
    After {
        /// The row's value of the sorted column.
        key: Value,
        /// The row's id.
        id: Value,
    },
}

/// What a client asks of a list: `page` or `cursor`, `page_size` and `sort`.
#[derive(Clone, Debug)]
pub struct Paging<S> {
    /// Where it begins.
    pub start: Start,
    /// Rows a page: 1..=100.
    pub page_size: u16,
    /// By what.
    pub sort: S,
    /// Largest first.
    pub descending: bool,
}

#[derive(Serialize, Deserialize)]
struct CursorText(String, Value, Value);

impl<S: Sorting> Paging<S> {
    /// The first page in the default order.
    #[must_use]
    pub fn first(page_size: u16) -> Self {
        let (sort, descending) = S::DEFAULT;
        Self { start: Start::Page(1), page_size, sort, descending }
    }

    /// How many rows come before this page; `None` with a cursor.
    #[must_use]
    pub fn offset(&self) -> Option<u64> {
        match self.start {
            Start::Page(page) => Some(u64::from(page - 1) * u64::from(self.page_size)),
            Start::After { .. } => None,
        }
    }

    fn sort_text(&self) -> String {
        format!("{}{}", if self.descending { "-" } else { "" }, self.sort.name())
    }

    /// Makes the page out of up to `page_size + 1` rows: the one too many only
    /// proves that there are more. `key` gives a row's value of the sorted column
    /// and its id. `total` is `None` with a cursor.
    pub fn cut<T>(
        &self,
        mut rows: Vec<T>,
        total: Option<u64>,
        key: impl Fn(&T) -> (Value, Value),
    ) -> Page<T> {
        let size = usize::from(self.page_size);
        let more = rows.len() > size;
        rows.truncate(size);
        let next_cursor = rows.last().filter(|_| more && self.sort.has_cursor()).map(|last| {
            let (key, id) = key(last);
            let text =
                serde_json::to_vec(&CursorText(self.sort_text(), key, id)).expect("JSON values serialize");
            URL_SAFE_NO_PAD.encode(text)
        });
        let page = match self.start {
            Start::Page(page) => Some(page),
            Start::After { .. } => None,
        };
        Page {
            items: rows,
            total,
            page,
            page_size: self.page_size,
            pages: total.map(|total| total.div_ceil(u64::from(self.page_size))),
            has_next: more,
            has_prev: page.map(|page| page > 1),
            next_cursor,
        }
    }
}

impl<S: Sorting> Field for Paging<S> {
    fn describe(_: &'static str, _: &str, out: &mut Vec<Property>) {
        let mut add =
            |name, schema, doc: String| out.push(Property { name, schema, required: false, doc: doc.into() });
        add(
            "page",
            json!({"type": "integer", "minimum": 1, "maximum": MAX_PAGE, "default": 1}),
            "Number of the page, from 1. A page past the end is an empty list.".to_owned(),
        );
        add(
            "page_size",
            json!({"type": "integer", "minimum": 1, "maximum": MAX_PAGE_SIZE, "default": DEFAULT_PAGE_SIZE}),
            "Items on a page.".to_owned(),
        );
        if S::ALL.iter().any(|(_, sort)| sort.has_cursor()) {
            add(
                "cursor",
                // Base64url: see `open`.
                json!({"type": "string", "pattern": "^[A-Za-z0-9_-]+$"}),
                "`next_cursor` of the page before, instead of `page`. Stays quick however deep, and misses no item when others are added.".to_owned(),
            );
        }
        let values: Vec<String> =
            S::ALL.iter().flat_map(|(name, _)| [(*name).to_owned(), format!("-{name}")]).collect();
        let (sort, descending) = S::DEFAULT;
        let default = format!("{}{}", if descending { "-" } else { "" }, sort.name());
        add(
            "sort",
            json!({"type": "string", "enum": values, "default": default}),
            "Order; `-` turns it round. Ties are broken by id.".to_owned(),
        );
    }

    fn take(_: &'static str, reader: &mut Reader<'_>) -> Option<Self> {
        let page = number(reader, "page", 1, MAX_PAGE);
        let size = number(reader, "page_size", u32::from(DEFAULT_PAGE_SIZE), u32::from(MAX_PAGE_SIZE));
        let wanted = reader.text("sort");
        let sort = sort_order::<S>(wanted, reader);
        let cursor = reader.text("cursor");
        let (page, given_page) = page?;
        let page_size = u16::try_from(size?.0).unwrap_or(MAX_PAGE_SIZE);
        let start = match cursor {
            None => Start::Page(page),
            Some(_) if given_page => {
                return reader.fault("cursor", Invalid::new("exclusive", "can't be combined with page"));
            }
            Some(cursor) => {
                let Some(CursorText(made_for, key, id)) = open(cursor) else {
                    return reader.fault(
                        "cursor",
                        Invalid::new("invalid_cursor", "is not a cursor that this list gave out"),
                    );
                };
                // Without a sort of its own the request follows the cursor's.
                let Some((sort, descending)) =
                    (if wanted.is_none() { parse_sort::<S>(&made_for) } else { sort })
                else {
                    return reader.fault(
                        "cursor",
                        Invalid::new("invalid_cursor", "is not a cursor that this list gave out"),
                    );
                };
                let paging = Self { start: Start::After { key, id }, page_size, sort, descending };
                let followed = match sort.instead() {
                    Some((sort, turned)) => {
                        Paging { sort, descending: descending != turned, ..paging.clone() }
                    }
                    None => paging.clone(),
                };
                if !followed.sort.has_cursor() || followed.sort_text() != made_for {
                    let message =
                        format!("was made for sort={made_for} and can't be used with another order");
                    return reader.fault("cursor", Invalid::new("invalid_cursor", message));
                }
                return Some(paging);
            }
        };
        let (sort, descending) = sort?;
        Some(Self { start, page_size, sort, descending })
    }
}

/// Deeper pages than this would overflow no database, but serve nobody.
const MAX_PAGE: u32 = 10_000_000;

fn number(reader: &mut Reader<'_>, name: &'static str, default: u32, most: u32) -> Option<(u32, bool)> {
    let Some(text) = reader.text(name) else { return Some((default, false)) };
    match text.parse::<u32>() {
        Ok(number) if (1..=most).contains(&number) => Some((number, true)),
        _ => reader
            .fault(name, Invalid::new("out_of_range", format!("must be a whole number from 1 to {most}"))),
    }
}

fn parse_sort<S: Sorting>(text: &str) -> Option<(S, bool)> {
    let (name, descending) = text.strip_prefix('-').map_or((text, false), |name| (name, true));
    S::ALL.iter().find(|(known, _)| *known == name).map(|(_, sort)| (*sort, descending))
}

fn sort_order<S: Sorting>(text: Option<&str>, reader: &mut Reader<'_>) -> Option<(S, bool)> {
    let Some(text) = text else { return Some(S::DEFAULT) };
    parse_sort(text).or_else(|| {
        let allowed: Vec<_> = S::ALL.iter().map(|(name, _)| *name).collect();
        reader.fault(
            "sort",
            Invalid::new(
                "not_allowed",
                format!("must be one of {}, each also with a leading -", allowed.join(", ")),
            ),
        )
    })
}

fn open(cursor: &str) -> Option<CursorText> {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(cursor).ok()?).ok()
}

/// One page of a list.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Page<T> {
    /// The items of this page.
    pub items: Vec<T>,
    /// How many items there are in all. `null` when paging by cursor.
    pub total: Option<u64>,
    /// Number of this page, from 1. `null` when paging by cursor.
    pub page: Option<u32>,
    /// Items a page.
    pub page_size: u16,
    /// How many pages there are. `null` when paging by cursor.
    pub pages: Option<u64>,
    /// Whether there are items after this page.
    pub has_next: bool,
    /// Whether there is a page before this one. `null` when paging by cursor.
    pub has_prev: Option<bool>,
    /// Leads to the next page as `cursor`. `null` at the end, and where the order has no cursor.
    pub next_cursor: Option<String>,
}

impl<T> Page<T> {
    /// The same page of other items, one for one.
    pub fn map<U>(self, change: impl FnMut(T) -> U) -> Page<U> {
        let Self { items, total, page, page_size, pages, has_next, has_prev, next_cursor } = self;
        let items = items.into_iter().map(change).collect();
        Page { items, total, page, page_size, pages, has_next, has_prev, next_cursor }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::input::from_pairs;

    #[derive(Clone, Copy, Debug, PartialEq)]
    pub enum Order {
        Name,
        Age,
        Rank,
    }
    impl Sorting for Order {
        const ALL: &'static [(&'static str, Self)] =
            &[("name", Self::Name), ("age", Self::Age), ("rank", Self::Rank)];
        const DEFAULT: (Self, bool) = (Self::Age, true);
        fn has_cursor(self) -> bool {
            self != Self::Rank
        }
    }
    crate::input! {
        /// A list.
        pub struct List {
            /// Paging.
            paging: Paging<Order>,
        }
    }

    fn read(pairs: &[(&str, &str)]) -> Result<Paging<Order>, Vec<(String, String)>> {
        let pairs: Vec<_> = pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        from_pairs::<List>(&pairs).map(|list| list.paging).map_err(|faults| {
            faults.as_slice().iter().map(|f| (f.field.clone(), f.message.clone())).collect()
        })
    }

    #[test]
    fn defaults_hold_when_nothing_is_asked() {
        let paging = read(&[]).unwrap();
        assert_eq!(
            (paging.start, paging.page_size, paging.sort, paging.descending),
            (Start::Page(1), 20, Order::Age, true)
        );
    }

    #[test]
    fn out_of_range_is_a_fault_and_all_are_told() {
        let faults = read(&[("page", "0"), ("page_size", "101"), ("sort", "colour")]).unwrap_err();
        assert_eq!(faults.len(), 3);
        assert!(faults[2].1.contains("name, age, rank"), "{faults:?}");
    }

    #[test]
    fn a_cursor_leads_on_and_refuses_another_order() {
        let paging = read(&[("sort", "name"), ("page_size", "2")]).unwrap();
        let page =
            paging.cut(vec![("ann", 1), ("bob", 2), ("cy", 3)], Some(3), |row| (json!(row.0), json!(row.1)));
        let cursor = page.next_cursor.unwrap();
        assert_eq!((page.items.len(), page.pages, page.has_next), (2, Some(2), true));

        let next = read(&[("cursor", &cursor)]).unwrap();
        assert_eq!(next.start, Start::After { key: json!("bob"), id: json!(2) });
        assert_eq!((next.sort, next.descending), (Order::Name, false));

        assert!(read(&[("cursor", &cursor), ("sort", "-name")]).unwrap_err()[0].1.contains("sort=name"));
        assert!(read(&[("cursor", &cursor), ("page", "2")]).is_err());
        assert!(read(&[("cursor", "rubbish")]).is_err());
    }

    #[test]
    fn a_ranked_list_gives_no_cursor() {
        let paging = read(&[("sort", "rank"), ("page_size", "1")]).unwrap();
        let page = paging.cut(vec![1, 2], Some(2), |row| (json!(row), json!(row)));
        assert_eq!((page.next_cursor, page.has_next), (None, true));
    }
}
