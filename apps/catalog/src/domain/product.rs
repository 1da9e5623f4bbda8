//! Products, and what may be said of one.

use mainstay_core::{Currency, Decimal, Faults, Money, Patch, Timestamp};
use serde_json::{Map, Value};

use super::attributes::{Attributes, AttributesPatch};
use super::category::CategoryRef;
use super::values::{Delta, Description, Name, Price, Sku, Slug, Stock, Tags};

mainstay_core::number_ids! {
    /// Names a product: 1 and up, in the order they were added.
    pub struct ProductId;
}

mainstay_core::input! {
    /// A product to add, or what a product is to become.
    pub struct NewProduct {
        /// The shop's own number of it: 1 to 64 characters. No two products share one.
        sku: Sku,
        /// What it is called: 1 to 200 characters.
        name: Name,
        /// What is said of it: up to 5,000 characters. Empty if absent.
        description: Option<Description>,
        /// The slug of the category it is in. In none if absent or `null`.
        category: Option<Slug>,
        /// Price and currency.
        price: Price,
        /// How many there are. 0 if absent.
        stock: Option<Stock>,
        /// Words that products share. None if absent.
        tags: Option<Tags>,
        /// Further facts by name: texts, numbers, true and false. None if absent.
        attributes: Option<Attributes>,
    }
}

mainstay_core::input! {
    /// What is to change about a product. What is absent stays as it is.
    pub struct ProductPatch {
        /// The shop's own number of it.
        sku: Patch<Sku>,
        /// What it is called.
        name: Patch<Name>,
        /// What is said of it; `null` empties it.
        description: Patch<Option<Description>>,
        /// The slug of the category it is in; `null` takes it out.
        category: Patch<Option<Slug>>,
        /// What it costs.
        price: Patch<Decimal>,
        /// The currency of the price.
        currency: Patch<Currency>,
        /// How many there are. To add or take away whatever others do meanwhile, post to `/stock`.
        stock: Patch<Stock>,
        /// All tags; `null` removes them.
        tags: Patch<Option<Tags>>,
        /// Facts to set, or with `null` to remove, each by itself; `null` removes all.
        attributes: Patch<Option<AttributesPatch>>,
    }
}

mainstay_core::input! {
    /// A change of the stock.
    pub struct StockChange {
        /// How many come (positive) or go (negative).
        delta: Delta,
    }
}

/// A product that the catalog has.
#[derive(Clone, Debug, PartialEq)]
pub struct Product {
    /// Names it.
    pub id: ProductId,
    /// The shop's own number.
    pub sku: String,
    /// What it is called.
    pub name: String,
    /// What is said of it. May be empty.
    pub description: String,
    /// The category it is in, if it is in one.
    pub category: Option<CategoryRef>,
    /// What it costs.
    pub price: Money,
    /// How many there are: never negative.
    pub stock: i64,
    /// Its tags, as they were written.
    pub tags: Vec<String>,
    /// Further facts.
    pub attributes: Map<String, Value>,
    /// Counts its changes, from 1: the ETag.
    pub version: i64,
    /// When it was added.
    pub created_at: Timestamp,
    /// When it was changed last.
    pub updated_at: Timestamp,
}

/// What is said of a product, apart from where and when we keep it: equal details
/// mean that there is nothing to change.
#[derive(Clone, Debug, PartialEq)]
pub struct Details {
    /// The shop's own number.
    pub sku: String,
    /// What it is called.
    pub name: String,
    /// What is said of it.
    pub description: String,
    /// The category it is in.
    pub category: Option<CategoryRef>,
    /// What it costs.
    pub price: Money,
    /// How many there are.
    pub stock: i64,
    /// Its tags.
    pub tags: Vec<String>,
    /// Further facts.
    pub attributes: Map<String, Value>,
}

impl NewProduct {
    /// What it says of the product. Its slug was looked up already.
    #[must_use]
    pub fn into_details(self, category: Option<CategoryRef>) -> Details {
        let Self { sku, name, description, category: _, price, stock, tags, attributes } = self;
        Details {
            sku: sku.into_string(),
            name: name.into_string(),
            description: description.map(Description::into_string).unwrap_or_default(),
            category,
            price: price.0,
            stock: stock.map_or(0, Stock::count),
            tags: tags.unwrap_or_default().into_strings(),
            attributes: attributes.unwrap_or_default().into_map(),
        }
    }
}

impl Product {
    /// What is said of it.
    #[must_use]
    pub fn details(&self) -> Details {
        let Self { sku, name, description, category, price, stock, tags, attributes, .. } = self.clone();
        Details { sku, name, description, category, price, stock, tags, attributes }
    }

    /// The product that says this.
    #[must_use]
    pub fn with(&self, details: Details) -> Self {
        let Self { id, version, created_at, updated_at, .. } = *self;
        let Details { sku, name, description, category, price, stock, tags, attributes } = details;
        Self {
            id,
            sku,
            name,
            description,
            category,
            price,
            stock,
            tags,
            attributes,
            version,
            created_at,
            updated_at,
        }
    }
}

impl Details {
    /// What is said after this change. The category, if it changes, was looked up already.
    ///
    /// # Errors
    /// If the price does not fit the currency, or there are too many attributes.
    pub fn patched(self, patch: ProductPatch, category: Patch<Option<CategoryRef>>) -> Result<Self, Faults> {
        let ProductPatch { sku, name, description, category: _, price, currency, stock, tags, attributes } =
            patch;
        let mut faults = Faults::default();
        let attributes = match attributes {
            Patch::Keep => self.attributes,
            Patch::Set(None) => Map::new(),
            Patch::Set(Some(patch)) => patch.over(&self.attributes).unwrap_or_else(|late| {
                faults = late;
                Map::new()
            }),
        };
        let price = repriced(self.price, &price, currency).unwrap_or_else(|late| {
            late.as_slice()
                .iter()
                .for_each(|fault| faults.add(&fault.field, "too_many_decimals", &fault.message));
            self.price
        });
        faults.into_result()?;
        Ok(Self {
            sku: sku.map(Sku::into_string).over(self.sku),
            name: name.map(Name::into_string).over(self.name),
            description: description
                .map(|text| text.map(Description::into_string).unwrap_or_default())
                .over(self.description),
            category: category.over(self.category),
            price,
            stock: stock.map(Stock::count).over(self.stock),
            tags: tags.map(|tags| tags.unwrap_or_default().into_strings()).over(self.tags),
            attributes,
        })
    }
}

/// A new number keeps the currency, a new currency the number.
fn repriced(old: Money, price: &Patch<Decimal>, currency: Patch<Currency>) -> Result<Money, Faults> {
    let field = if price.is_set() { "price" } else { "currency" };
    let target = currency.over(old.currency());
    let money = match price {
        Patch::Keep if target == old.currency() => return Ok(old),
        Patch::Keep => plain(&old.amount()).of(target),
        Patch::Set(price) => price.of(target),
    };
    money.map_err(|invalid| Faults::one(field, invalid.code, invalid.message))
}

/// A stored amount without the zeros that only its currency asks for: 12.00 EUR may become 12 JPY.
fn plain(amount: &str) -> Decimal {
    let amount = match amount.split_once('.') {
        Some(_) => amount.trim_end_matches('0').trim_end_matches('.'),
        None => amount,
    };
    mainstay_core::input::Text::parse(amount).expect("an amount is a decimal number")
}

#[cfg(test)]
mod tests {
    use super::*;
    use mainstay_core::input::from_json;
    use serde_json::json;

    fn details(price: &str, currency: &str) -> Details {
        let new = json!({"sku": "A", "name": "Lamp", "price": price, "currency": currency, "tags": ["a"],
            "attributes": {"colour": "red"}, "stock": 3});
        from_json::<NewProduct>(&new).unwrap().into_details(None)
    }

    fn patched(details: Details, patch: Value) -> Result<Details, Vec<(String, String)>> {
        let given = patch;
        details.patched(from_json(&given).unwrap(), Patch::Keep).map_err(|faults| {
            faults.as_slice().iter().map(|fault| (fault.field.clone(), fault.code.to_string())).collect()
        })
    }

    #[test]
    fn an_id_has_one_spelling() {
        assert_eq!("7".parse::<ProductId>().unwrap(), ProductId::new(7));
        for bad in ["", "0", "07", "+7", "-7", "7.0", " 7", "abc", "9223372036854775808", "７"] {
            assert!(bad.parse::<ProductId>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn every_fault_of_a_body_is_told() {
        let body = json!({"name": "", "price": 12.5, "currency": "eur", "stock": -1, "tags": "a", "attributes": [],
            "category": "No Slug", "colour": 1});
        let faults = from_json::<NewProduct>(&body).unwrap_err();
        let found: Vec<_> = faults.as_slice().iter().map(|f| (f.field.as_str(), &*f.code)).collect();
        assert_eq!(
            found,
            [
                ("sku", "required"),
                ("name", "too_short"),
                ("category", "invalid_slug"),
                ("price", "wrong_type"),
                ("currency", "invalid_currency"),
                ("stock", "out_of_range"),
                ("tags", "wrong_type"),
                ("attributes", "wrong_type"),
                ("colour", "unknown_field"),
            ]
        );
        let body = json!({"sku": "A", "name": "L", "price": "1.5", "currency": "JPY"});
        let faults = from_json::<NewProduct>(&body).unwrap_err();
        assert_eq!(&*faults.as_slice()[0].code, "too_many_decimals");
    }

    #[test]
    fn a_patch_changes_what_it_names_and_null_clears() {
        let old = details("12.50", "EUR");
        assert_eq!(patched(old.clone(), json!({})).unwrap(), old);
        let new =
            patched(old.clone(), json!({"description": null, "tags": null, "attributes": null, "stock": 0}));
        assert_eq!(new.unwrap(), Details { tags: vec![], attributes: Map::new(), stock: 0, ..old.clone() });
        assert!(from_json::<ProductPatch>(&json!({"price": null})).is_err());
        let new = patched(old, json!({"attributes": {"size": 3}})).unwrap();
        assert_eq!(Value::Object(new.attributes), json!({"colour": "red", "size": 3}));
    }

    #[test]
    fn a_price_must_fit_the_currency_it_ends_up_with() {
        let amount = |details: Result<Details, _>| details.map(|details| details.price.to_string());
        assert_eq!(
            amount(patched(details("12.50", "EUR"), json!({"currency": "KWD"}))).unwrap(),
            "12.500 KWD"
        );
        assert_eq!(amount(patched(details("12.00", "EUR"), json!({"currency": "JPY"}))).unwrap(), "12 JPY");
        assert_eq!(
            amount(patched(details("1200", "JPY"), json!({"currency": "EUR"}))).unwrap(),
            "1200.00 EUR"
        );
        let fault = |field: &str| vec![(field.to_owned(), "too_many_decimals".to_owned())];
        assert_eq!(
            amount(patched(details("12.50", "EUR"), json!({"currency": "JPY"}))).unwrap_err(),
            fault("currency")
        );
        assert_eq!(
            amount(patched(details("12", "JPY"), json!({"price": "1.5"}))).unwrap_err(),
            fault("price")
        );
    }
}
