//! Products as rows of files.

use std::borrow::Cow;

use mainstay_transfer::Row;
use serde::Serialize;
use serde_json::{Map, Value};

use crate::domain::product::{NewProduct, Product};

impl Row for Product {
    type New = NewProduct;
    const MANY: &'static str = "products";
    const COLUMNS: &'static [&'static str] =
        &["sku", "name", "description", "category", "price", "currency", "stock", "tags", "attributes"];

    fn cells(&self) -> Vec<Cow<'_, str>> {
        let attributes = match self.attributes.is_empty() {
            true => String::new(),
            false => serde_json::to_string(&self.attributes).expect("an object is JSON"),
        };
        vec![
            self.sku.as_str().into(),
            self.name.as_str().into(),
            self.description.as_str().into(),
            self.category.as_ref().map_or("", |category| &category.slug).into(),
            self.price.amount().into(),
            self.price.currency().code().into(),
            self.stock.to_string().into(),
            self.tags.join("|").into(),
            attributes.into(),
        ]
    }

    fn object(&self) -> impl Serialize {
        #[derive(Serialize)]
        struct Object<'a> {
            sku: &'a str,
            name: &'a str,
            description: &'a str,
            category: Option<&'a str>,
            price: String,
            currency: &'static str,
            stock: i64,
            tags: &'a [String],
            attributes: &'a Map<String, Value>,
        }
        Object {
            sku: &self.sku,
            name: &self.name,
            description: &self.description,
            category: self.category.as_ref().map(|category| category.slug.as_str()),
            price: self.price.amount(),
            currency: self.price.currency().code(),
            stock: self.stock,
            tags: &self.tags,
            attributes: &self.attributes,
        }
    }
}
