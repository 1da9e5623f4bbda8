//! Many products at once.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use mainstay_core::{Actor, AuditEntry, Faults};
use mainstay_db::{WriteUnit, foreign_key_violation, is_retryable, unique_violation};
use mainstay_transfer::{Import, ImportCounts, Mode, Written};
use sea_orm::{ConnectionTrait, DbErr};

use super::audit::updated;
use super::{BATCH_ROWS, Products, again};
use crate::domain::category::{CategoryId, CategoryRef, MAX_CATEGORIES};
use crate::domain::product::{Details, NewProduct, Product};
use crate::domain::values::Slug;
use crate::error::{CATEGORY_LIMIT, CatalogError, unknown_category};
use crate::events::{CategoryChanged, ProductsImported};
use crate::repo;

/// Brings products in from files. The key is the SKU.
#[derive(Clone, Debug)]
pub struct Importer {
    products: Products,
    create_categories: bool,
    /// Slugs that a dry run would have made categories of so far: no more than there can be.
    planned: Arc<Mutex<HashSet<String>>>,
}

impl Import for Importer {
    type New = NewProduct;
    type Error = CatalogError;
    const BATCH_ROWS: usize = BATCH_ROWS;

    async fn take(&self, actor: &Actor, rows: &[NewProduct], mode: Mode) -> Result<Written, CatalogError> {
        match mode {
            Mode::Write => again(|| self.write(actor, rows), was_slower).await,
            Mode::DryRun => self.try_out(rows).await,
        }
    }
}

impl Importer {
    /// Brings products into this catalog. With `create_categories` a category that is not there is
    /// made, at the top and called by its slug, as long as there can be more; otherwise the rows that
    /// name it are refused.
    #[must_use]
    pub fn new(products: Products, create_categories: bool) -> Self {
        Self { products, create_categories, planned: Arc::default() }
    }

    async fn try_out(&self, rows: &[NewProduct]) -> Result<Written, CatalogError> {
        let db = self.products.db.primary();
        let mut categories = categories(db, rows).await?;
        if self.create_categories {
            let room = room(db).await?;
            let mut planned = self.planned.lock().unwrap_or_else(PoisonError::into_inner);
            for slug in missing(rows, &categories) {
                if planned.contains(slug) || planned.len() < room {
                    planned.insert(slug.to_owned());
                    let category = CategoryRef { id: CategoryId(0), slug: slug.to_owned() };
                    categories.insert(slug.to_owned(), category);
                }
            }
        }
        let batch = Batch::new(stored(db, rows).await?, rows, &categories, self.create_categories);
        Ok(batch.written)
    }

    async fn write(&self, actor: &Actor, rows: &[NewProduct]) -> Result<Written, CatalogError> {
        let db = &self.products.db;
        let unit = db.write(actor).await?;
        let now = db.clock().now();
        let mut categories = categories(&unit, rows).await?;
        let mut made = 0;
        if self.create_categories && !missing(rows, &categories).is_empty() {
            repo::categories::lock_tree(&unit).await?;
            categories = self::categories(&unit, rows).await?;
            let room = room(&unit).await?;
            for slug in missing(rows, &categories).into_iter().take(room) {
                let id = repo::categories::insert(&unit, slug, slug, None, now).await?;
                categories.insert(slug.to_owned(), CategoryRef { id, slug: slug.to_owned() });
                let entry = AuditEntry::new("category.created", format!("category/{}", id.0));
                unit.audit(entry.set("slug", slug));
                unit.emit(&CategoryChanged { slug: slug.to_owned(), now: Some(slug.to_owned()) });
                made += 1;
            }
        }
        repo::products::lock_skus(&unit, skus(rows)).await?;
        let batch = Batch::new(stored(&unit, rows).await?, rows, &categories, self.create_categories);
        repo::import::upsert(&unit, &batch.stored, &batch.changes, now).await?;
        tell(&unit, &batch);
        if made > 0 {
            self.products.categories.tree_changes(&unit);
        } else {
            self.products.kept.products_change(&unit);
        }
        unit.commit().await?;
        Ok(batch.written)
    }
}

/// Whether somebody else was quicker: added one of the products, or deleted one of the categories.
fn was_slower(error: &DbErr) -> bool {
    is_retryable(error) || unique_violation(error, "products", &["sku"]) || foreign_key_violation(error)
}

fn skus(rows: &[NewProduct]) -> impl Iterator<Item = &str> + Send {
    rows.iter().map(|row| row.sku.as_str())
}

/// The slugs that are not among these categories, in the rows' order.
fn missing<'a>(rows: &'a [NewProduct], categories: &HashMap<String, CategoryRef>) -> Vec<&'a str> {
    let mut seen = HashSet::new();
    slugs(rows).filter(|slug| !categories.contains_key(*slug) && seen.insert(*slug)).collect()
}

/// How many more categories there can be.
async fn room(connection: &impl ConnectionTrait) -> Result<usize, DbErr> {
    Ok(MAX_CATEGORIES.saturating_sub(repo::categories::count(connection).await?))
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
    Ok(repo::import::with_skus(connection, skus(rows)).await?)
}

/// What `rows` do to the products that are stored: the counts, as if one row came
/// after the other, and the last word on each product that changes, in the rows' order.
struct Batch {
    stored: Vec<Product>,
    changes: Vec<Details>,
    written: Written,
}

impl Batch {
    /// `made`: categories that are not there could not be made.
    fn new(
        stored: Vec<Product>,
        rows: &[NewProduct],
        categories: &HashMap<String, CategoryRef>,
        made: bool,
    ) -> Self {
        let mut written = Written::default();
        let mut latest: HashMap<String, Details> =
            stored.iter().map(|product| (product.sku.clone(), product.details())).collect();
        let mut seen = HashSet::new();
        let mut order = Vec::new();
        for (place, row) in rows.iter().enumerate() {
            let slug = row.category.as_ref().map(Slug::as_str);
            let category = slug.and_then(|slug| categories.get(slug).cloned());
            if let (Some(slug), None) = (slug, &category) {
                let faults = if made { no_room() } else { unknown_category("category", slug) };
                written.refused.push((place, faults));
                continue;
            }
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

fn no_room() -> Faults {
    let message = format!("can't be made: there can be at most {MAX_CATEGORIES} categories");
    Faults::one("category", CATEGORY_LIMIT.code, message)
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
    }
}
