//! Which products a reader wants to see, and in which order.

use mainstay_core::input::{Field, Property, Reader, Text};
use mainstay_core::text::SearchText;
use mainstay_core::{Currency, Decimal, Invalid, Paging, Sorting};
use serde_json::{Value, json};

use super::values::{Slug, Tag};

/// The orders of the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProductOrder {
    /// The best match first; without words to match, the newest.
    Relevance,
    /// By the moment they were added.
    CreatedAt,
    /// By the number in the price, whatever the currency.
    Price,
    /// By the folded name: without case, accents and punctuation.
    Name,
    /// By how many there are.
    Stock,
}

impl Sorting for ProductOrder {
    const ALL: &'static [(&'static str, Self)] = &[
        ("relevance", Self::Relevance),
        ("created_at", Self::CreatedAt),
        ("price", Self::Price),
        ("name", Self::Name),
        ("stock", Self::Stock),
    ];
    const DEFAULT: (Self, bool) = (Self::Relevance, false);

    fn has_cursor(self) -> bool {
        self != Self::Relevance
    }

    fn instead(self) -> Option<(Self, bool)> {
        (self == Self::Relevance).then_some((Self::CreatedAt, true))
    }
}

/// The orders of the list of categories.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CategoryOrder {
    /// By the folded name.
    Name,
    /// By the slug.
    Slug,
    /// By the moment they were added.
    CreatedAt,
}

impl Sorting for CategoryOrder {
    const ALL: &'static [(&'static str, Self)] =
        &[("name", Self::Name), ("slug", Self::Slug), ("created_at", Self::CreatedAt)];
    const DEFAULT: (Self, bool) = (Self::Name, false);
}

/// What `facets` asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Facets {
    /// Counts by category.
    pub category: bool,
    /// Counts by tag.
    pub tags: bool,
    /// Counts by price band.
    pub price: bool,
}

impl Text for Facets {
    fn schema() -> Value {
        json!({
            "type": "string", "pattern": "^(category|tags|price)(,(category|tags|price))*$",
            "examples": ["category,tags,price"],
        })
    }

    fn parse(text: &str) -> Result<Self, Invalid> {
        let mut facets = Self::default();
        for name in text.split(',') {
            match name {
                "category" => facets.category = true,
                "tags" => facets.tags = true,
                "price" => facets.price = true,
                _ => {
                    return Err(Invalid::new(
                        "not_allowed",
                        "must be some of category, tags and price, with commas between",
                    ));
                }
            }
        }
        Ok(facets)
    }
}

/// Which products the list shows: those that keep every condition.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Each of its words begins a word of name or description.
    pub q: Option<SearchText>,
    /// In this category or one below it.
    pub category: Option<Slug>,
    /// The number in the price is at least this.
    pub min_price: Option<Decimal>,
    /// The number in the price is at most this.
    pub max_price: Option<Decimal>,
    /// The price is in this currency.
    pub currency: Option<Currency>,
    /// Whether there are any. `None`: all the same.
    pub in_stock: Option<bool>,
    /// Has all of these.
    pub tags: Vec<Tag>,
}

/// `min_price` and `max_price`: the lowest is not above the highest.
#[derive(Clone, Copy, Debug, Default)]
pub struct PriceRange {
    /// The number in the price is at least this.
    pub min: Option<Decimal>,
    /// The number in the price is at most this.
    pub max: Option<Decimal>,
}

impl Field for PriceRange {
    fn describe(_: &'static str, _: &str, out: &mut Vec<Property>) {
        let mut add = |name, doc| <Option<Decimal> as Field>::describe(name, doc, out);
        add("min_price", "Only products whose price is at least this number, in their own currency.");
        add("max_price", "Only products whose price is at most this number, in their own currency.");
    }

    fn take(_: &'static str, reader: &mut Reader<'_>) -> Option<Self> {
        let min = <Option<Decimal> as Field>::take("min_price", reader);
        let max = <Option<Decimal> as Field>::take("max_price", reader);
        let (min, max) = (min?, max?);
        match (min, max) {
            (Some(least), Some(most)) if least.ten_thousandths() > most.ten_thousandths() => {
                reader.fault("min_price", Invalid::new("above_max_price", "must not be above max_price"))
            }
            _ => Some(Self { min, max }),
        }
    }
}

impl Filter {
    /// The paging with an order that this filter has: without words nothing is
    /// more relevant than another, and the newest come first.
    #[must_use]
    pub fn order(&self, paging: Paging<ProductOrder>) -> Paging<ProductOrder> {
        match paging.sort.instead() {
            Some((sort, turned)) if self.q.is_none() => {
                Paging { sort, descending: paging.descending != turned, ..paging }
            }
            _ => paging,
        }
    }
}

/// The lower ends of the price bands of `facets=price`: numbers in the currency of the product.
pub const PRICE_BANDS: &[&str] =
    &["0", "10", "25", "50", "100", "250", "500", "1000", "2500", "5000", "10000", "100000"];

#[cfg(test)]
mod tests {
    use mainstay_core::input::from_pairs;

    use super::*;

    #[test]
    fn facets_are_some_of_three() {
        let all = Facets { category: true, tags: true, price: true };
        assert_eq!(Facets::parse("price,category,tags,price"), Ok(all));
        assert_eq!(Facets::parse("tags"), Ok(Facets { tags: true, ..Facets::default() }));
        for bad in ["", ",", "tags,", "colour", "tags category", "Tags"] {
            assert!(Facets::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn prices_are_compared_as_numbers() {
        mainstay_core::input! {
            /// Prices.
            struct Prices {
                /// Both.
                prices: PriceRange,
            }
        }
        let read = |min: &str, max: &str| {
            let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
            from_pairs::<Prices>(&[pair("min_price", min), pair("max_price", max)])
        };
        assert!(read("9.50", "10").is_ok());
        assert!(read("10.0", "10").is_ok());
        assert_eq!(&*read("10.01", "10").unwrap_err().as_slice()[0].field, "min_price");
    }
}
