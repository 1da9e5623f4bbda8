//! Many products at once.

use std::collections::{BTreeSet, HashMap, HashSet};

use mainstay_core::{Actor, AuditEntry};
use mainstay_db::{UnitWork, WriteUnit};
use mainstay_transfer::{Import, ImportCounts, Mode, Written};
use sea_orm::ConnectionTrait;

use super::audit::updated;
use super::{BATCH_ROWS, Products};
use crate::domain::category::{CategoryId, CategoryRef};
use crate::domain::product::{Details, NewProduct, Product};
use crate::domain::values::Slug;
use crate::error::{CatalogError, unknown_category};
use crate::events::{CategoryChanged, ProductsImported};
use crate::repo;

/// Brings products in from files. The key is the SKU.
#[derive(Clone, Debug)]
pub struct Importer {
    /// Where to.
    pub products: Products,
    /// Whether a category that is not there is made, at the top and called by its
    /// slug. Otherwise the rows that name it are refused.
    pub create_categories: bool,
}

impl Import for Importer {
    type New = NewProduct;
    type Error = CatalogError;
    const BATCH_ROWS: usize = BATCH_ROWS;

    async fn take(&self, actor: &Actor, rows: &[NewProduct], mode: Mode) -> Result<Written, CatalogError> {
        match mode {
            Mode::Write => self.write(actor, rows).await,
            Mode::DryRun => {
                let db = self.products.db.primary();
                let categories = categories(db, rows).await?;
                let batch = Batch::new(stored(db, rows).await?, rows, &categories, self.create_categories);
                Ok(batch.written)
            }
        }
    }
}

impl Importer {
    async fn write(&self, actor: &Actor, rows: &[NewProduct]) -> Result<Written, CatalogError> {
        let db = &self.products.db;
        let create = self.create_categories;
        db.write_retrying(actor, |unit| {
            UnitWork::new(async move {
                let now = db.clock().now();
                let mut categories = categories(unit, rows).await?;
                if create {
                    let missing: BTreeSet<&str> =
                        slugs(rows).filter(|slug| !categories.contains_key(*slug)).collect();
                    for slug in missing {
                        let id = repo::categories::insert(unit, slug, slug, None, now).await?;
                        categories.insert(slug.to_owned(), CategoryRef { id, slug: slug.to_owned() });
                        unit.audit(
                            AuditEntry::new("category.created", format!("category/{}", id.0))
                                .set("slug", slug),
                        );
                        unit.emit(&CategoryChanged { slug: slug.to_owned(), now: Some(slug.to_owned()) });
                    }
                }
                let batch = Batch::new(stored(unit, rows).await?, rows, &categories, false);
                repo::import::upsert(unit, &batch.stored, &batch.changes, now).await?;
                tell(unit, &batch);
                if create {
                    self.products.categories.tree_changes(unit);
                } else {
                    self.products.kept.products_change(unit);
                }
                Ok(batch.written)
            })
        })
        .await
    }
}

fn slugs(rows: &[NewProduct]) -> impl Iterator<Item = &str> + Send {
    rows.iter().filter_map(|row| Some(row.category.as_ref()?.as_str()))
}

async fn categories(
    connection: &impl ConnectionTrait,
    rows: &[NewProduct],
) -> Result<HashMap<String, CategoryRef>, CatalogError> {
    let named: HashSet<&str> = slugs(rows).collect();
    if named.is_empty() {
        return Ok(HashMap::new());
    }
    let found = repo::categories::with_slugs(connection, named.into_iter()).await?;
    Ok(found.into_iter().map(|category| (category.slug.clone(), category)).collect())
}

async fn stored(
    connection: &impl ConnectionTrait,
    rows: &[NewProduct],
) -> Result<Vec<Product>, CatalogError> {
    Ok(repo::import::with_skus(connection, rows.iter().map(|row| row.sku.as_str())).await?)
}

/// What `rows` do to the products that are stored: the counts, as if one row came
/// after the other, and the last word on each product that changes, in the rows' order.
struct Batch {
    stored: Vec<Product>,
    changes: Vec<Details>,
    written: Written,
}

impl Batch {
    /// `lenient`: categories that are not there are taken for there, as they would be made.
    fn new(
        stored: Vec<Product>,
        rows: &[NewProduct],
        categories: &HashMap<String, CategoryRef>,
        lenient: bool,
    ) -> Self {
        let mut written = Written::default();
        let mut latest: HashMap<String, Details> =
            stored.iter().map(|product| (product.sku.clone(), product.details())).collect();
        let mut seen = HashSet::new();
        let mut order = Vec::new();
        for (place, row) in rows.iter().enumerate() {
            let slug = row.category.as_ref().map(Slug::as_str);
            let category = slug.and_then(|slug| categories.get(slug).cloned());
            let category = match (slug, category) {
                (Some(slug), None) if lenient => {
                    Some(CategoryRef { id: CategoryId(0), slug: slug.to_owned() })
                }
                (Some(slug), None) => {
                    written.refused.push((place, unknown_category("category", slug)));
                    continue;
                }
                (_, category) => category,
            };
            let details = row.clone().into_details(category);
            let sku = details.sku.clone();
            let ImportCounts { created, updated, unchanged } = &mut written.counts;
            match latest.get(&sku) {
                Some(before) if *before == details => {
                    *unchanged += 1;
                    continue;
                }
                Some(_) => *updated += 1,
                None => *created += 1,
            }
            latest.insert(sku.clone(), details);
            if seen.insert(sku.clone()) {
                order.push(sku);
            }
        }
        let changes = order.into_iter().filter_map(|sku| latest.remove(&sku)).collect();
        Self { stored, changes, written }
    }
}

/// Products that were changed have an entry of the log each; those that are new share one.
fn tell(unit: &WriteUnit, batch: &Batch) {
    let before: HashMap<&str, &Product> =
        batch.stored.iter().map(|product| (product.sku.as_str(), product)).collect();
    let mut added = Vec::new();
    for after in &batch.changes {
        match before.get(after.sku.as_str()) {
            Some(product) => unit.audit(updated(product.id, &product.details(), after)),
            None => added.push(after.sku.as_str()),
        }
    }
    if !batch.changes.is_empty() {
        let created = added.len() as u64;
        unit.emit(&ProductsImported {
            created,
            updated: batch.changes.len() as u64 - created,
            skus: batch.changes.iter().map(|details| details.sku.clone()).collect(),
        });
    }
    if !added.is_empty() {
        unit.audit(AuditEntry::new("product.imported", "product").note("skus", added));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mainstay_core::input::from_json;
    use serde_json::json;

    fn row(sku: &str, name: &str, category: Option<&str>) -> NewProduct {
        let row = json!({"sku": sku, "name": name, "price": "1.00", "currency": "EUR", "category": category});
        from_json(&row).unwrap()
    }

    #[test]
    fn rows_count_one_by_one_and_the_last_word_is_written() {
        let rows = [
            row("a", "First", None),
            row("b", "Lost", Some("nowhere")),
            row("a", "Second", None),
            row("a", "Second", None),
            row("c", "Other", Some("here")),
        ];
        let here = CategoryRef { id: CategoryId(1), slug: "here".to_owned() };
        let categories = HashMap::from([("here".to_owned(), here)]);

        let Batch { changes, written, .. } = Batch::new(Vec::new(), &rows, &categories, false);

        assert_eq!(written.counts, ImportCounts { created: 2, updated: 1, unchanged: 1 });
        assert_eq!(written.refused.iter().map(|(place, _)| *place).collect::<Vec<_>>(), [1]);
        assert_eq!(
            changes.iter().map(|details| details.name.as_str()).collect::<Vec<_>>(),
            ["Second", "Other"]
        );
        let lenient = Batch::new(Vec::new(), &rows, &categories, true);
        assert_eq!(lenient.written.counts, ImportCounts { created: 3, updated: 1, unchanged: 1 });
    }
}
