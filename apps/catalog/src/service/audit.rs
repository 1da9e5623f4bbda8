//! What the audit log says of changes to products.

use mainstay_core::AuditEntry;

use crate::domain::product::{Details, ProductId};

pub(super) fn target(id: ProductId) -> String {
    format!("product/{id}")
}

pub(super) fn created(id: ProductId, details: &Details) -> AuditEntry {
    let Details { sku, name, description, category, price, stock, tags, attributes } = details;
    AuditEntry::new("product.created", target(id))
        .set("sku", sku)
        .set("name", name)
        .set("description", description)
        .set("category", category.as_ref().map(|category| &category.slug))
        .set("price", price.to_string())
        .set("stock", stock)
        .set("tags", tags)
        .set("attributes", attributes)
}

pub(super) fn updated(id: ProductId, before: &Details, after: &Details) -> AuditEntry {
    let slug = |details: &Details| details.category.as_ref().map(|category| category.slug.clone());
    AuditEntry::new("product.updated", target(id))
        .changed("sku", &before.sku, &after.sku)
        .changed("name", &before.name, &after.name)
        .changed("description", &before.description, &after.description)
        .changed("category", &slug(before), &slug(after))
        .changed("price", &before.price.to_string(), &after.price.to_string())
        .changed("stock", &before.stock, &after.stock)
        .changed("tags", &before.tags, &after.tags)
        .changed("attributes", &before.attributes, &after.attributes)
}
