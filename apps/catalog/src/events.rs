//! What the catalog tells the other apps.

use mainstay_core::event::EventData;
use serde::{Deserialize, Serialize};

use crate::domain::product::ProductId;

macro_rules! events {
    ($($(#[doc = $doc:literal])* $kind:literal about $subject:expr, struct $name:ident {
        $($(#[doc = $field_doc:literal])* $field:ident: $type:ty,)*
    })*) => {$(
        $(#[doc = $doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
        pub struct $name {
            $($(#[doc = $field_doc])* pub $field: $type,)*
        }

        impl EventData for $name {
            const KIND: &'static str = $kind;

            fn subject(&self) -> String {
                let subject: fn(&Self) -> String = $subject;
                subject(self)
            }
        }
    )*};
}

events! {
    /// A product was added.
    "catalog.product.created" about |event| format!("product/{}", event.product_id), struct ProductCreated {
        /// The product.
        product_id: ProductId,
        /// The shop's own number of it.
        sku: String,
        /// What it is called.
        name: String,
        /// The slug of its category.
        category: Option<String>,
        /// What it costs, as a decimal number.
        price: String,
        /// Of which currency.
        currency: String,
        /// How many there are.
        stock: i64,
    }
    /// What is said of a product changed.
    "catalog.product.updated" about |event| format!("product/{}", event.product_id), struct ProductUpdated {
        /// The product.
        product_id: ProductId,
        /// Its SKU now.
        sku: String,
        /// The names of the fields that changed.
        fields: Vec<String>,
    }
    /// A product was deleted.
    "catalog.product.deleted" about |event| format!("product/{}", event.product_id), struct ProductDeleted {
        /// The product.
        product_id: ProductId,
        /// The SKU it had.
        sku: String,
    }
    /// There are more or fewer of a product than before.
    "catalog.product.stock_changed" about |event| format!("product/{}", event.product_id), struct StockChanged {
        /// The product.
        product_id: ProductId,
        /// Its SKU.
        sku: String,
        /// How many came (positive) or went (negative).
        delta: i64,
        /// How many there are now.
        stock: i64,
    }
    /// A file brought products in: one event for a batch, not one for each.
    "catalog.products.imported" about |_| "products".to_owned(), struct ProductsImported {
        /// How many are new.
        created: u64,
        /// How many were changed.
        updated: u64,
        /// The SKUs of both.
        skus: Vec<String>,
    }
    /// A category was added, changed or deleted; the tree is not what it was.
    "catalog.category.changed" about |event| format!("category/{}", event.slug), struct CategoryChanged {
        /// Its slug, the one before where that changed.
        slug: String,
        /// Its slug now; `None` if it was deleted.
        now: Option<String>,
    }
}
