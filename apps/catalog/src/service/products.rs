//! Products.

use futures_util::{Stream, stream};
use mainstay_cache::Cache;
use mainstay_core::{Actor, AuditEntry, Page, Paging, Patch};
use mainstay_db::{Db, WriteUnit};
use mainstay_http::{ETag, IfMatch};

use super::audit::{created, target, updated};
use super::{BATCH_ROWS, Categories};
use crate::domain::category::CategoryRef;
use crate::domain::listing::{Facets, Filter, PRICE_BANDS, ProductOrder};
use crate::domain::product::{Details, NewProduct, Product, ProductId, ProductPatch, StockChange};
use crate::domain::values::{Slug, Stock};
use crate::error::CatalogError;
use crate::events::{ProductCreated, ProductDeleted, ProductUpdated, StockChanged};
use crate::kept::Kept;
use crate::repo::list::Conditions;
use crate::repo::{self, facets};

/// The catalog's products. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Products {
    pub(super) db: Db,
    pub(super) categories: Categories,
    pub(crate) kept: Kept,
}

/// What a list gives.
#[derive(Clone, Debug)]
pub struct Found {
    /// The page.
    pub page: Page<Product>,
    /// How all that was found spreads, as far as it was asked for.
    pub facets: FoundFacets,
}

/// Counts over everything that a list found. `None` where they were not asked for.
#[derive(Clone, Debug, Default)]
pub struct FoundFacets {
    /// Slug, name and count of each category that has any itself, the fullest first.
    pub category: Option<Vec<(String, String, u64)>>,
    /// The most frequent tags, 50 at most.
    pub tags: Option<Vec<(String, u64)>>,
    /// The price bands in which there are any, the cheapest first.
    pub price: Option<Vec<PriceBand>>,
}

/// Prices from one number up to another, which is no longer in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PriceBand {
    /// The lowest.
    pub from: &'static str,
    /// The first that is too high. `None`: the band has no end.
    pub to: Option<&'static str>,
    /// How many.
    pub count: u64,
}

impl Products {
    /// The products in this database.
    #[must_use]
    pub fn new(db: Db, cache: &Cache, categories: Categories) -> Self {
        Self { db, categories, kept: Kept::new(cache) }
    }

    /// Adds a product.
    ///
    /// # Errors
    /// [`CatalogError::SkuTaken`], an unknown category, or the database's.
    pub async fn create(&self, actor: &Actor, new: NewProduct) -> Result<Product, CatalogError> {
        let now = self.db.clock().now();
        let unit = self.db.write(actor).await?;
        let category = category(&unit, new.category.as_ref()).await?;
        let details = new.into_details(category);
        let id = repo::products::insert(&unit, &details, now).await?;
        unit.audit(created(id, &details));
        unit.emit(&ProductCreated {
            product_id: id,
            sku: details.sku.clone(),
            name: details.name.clone(),
            category: details.category.as_ref().map(|category| category.slug.clone()),
            price: details.price.amount(),
            currency: details.price.currency().to_string(),
            stock: details.stock,
        });
        self.kept.product_changes(&unit, id);
        unit.commit().await?;
        let Details { sku, name, description, category, price, stock, tags, attributes } = details;
        Ok(Product {
            id,
            sku,
            name,
            description,
            category,
            price,
            stock,
            tags,
            attributes,
            version: 1,
            created_at: now,
            updated_at: now,
        })
    }

    /// A product. One query, by its primary key.
    ///
    /// # Errors
    /// [`CatalogError::NotFound`], or the database's.
    pub async fn get(&self, id: ProductId) -> Result<Product, CatalogError> {
        self.find(id).await?.ok_or(CatalogError::NotFound(id))
    }

    /// The same where there may be none. In its latest state: the cache asks.
    pub(crate) async fn find(&self, id: ProductId) -> Result<Option<Product>, CatalogError> {
        Ok(repo::products::look_up(&self.db, id).await?)
    }

    /// Makes a product what `new` says.
    ///
    /// # Errors
    /// As [`Products::update`].
    pub async fn replace(
        &self,
        actor: &Actor,
        id: ProductId,
        if_match: &IfMatch,
        new: NewProduct,
    ) -> Result<Product, CatalogError> {
        let slug = new.category.clone();
        self.change(actor, id, if_match, |_, category| Ok(new.clone().into_details(category)), Some(slug))
            .await
    }

    /// Changes what `patch` names. Nothing is written where that changes nothing:
    /// the version stays.
    ///
    /// # Errors
    /// [`CatalogError::NotFound`], [`CatalogError::SkuTaken`], an unknown category, a price that does
    /// not fit its currency, a stale `if_match`, or the database's.
    pub async fn update(
        &self,
        actor: &Actor,
        id: ProductId,
        if_match: &IfMatch,
        patch: ProductPatch,
    ) -> Result<Product, CatalogError> {
        let slug = match &patch.category {
            Patch::Keep => None,
            Patch::Set(slug) => Some(slug.clone()),
        };
        let patched = |old: Details, category| {
            let category = if patch.category.is_set() { Patch::Set(category) } else { Patch::Keep };
            Ok(old.patched(patch.clone(), category)?)
        };
        self.change(actor, id, if_match, patched, slug).await
    }

    /// Makes `change` of the present state, again where somebody else was quicker.
    /// `slug` is the category it names: `None` if it leaves that alone.
    async fn change(
        &self,
        actor: &Actor,
        id: ProductId,
        if_match: &IfMatch,
        change: impl Fn(Details, Option<CategoryRef>) -> Result<Details, CatalogError> + Send + Sync,
        slug: Option<Option<Slug>>,
    ) -> Result<Product, CatalogError> {
        loop {
            let before = self.present_state(id, if_match).await?;
            let unit = self.db.write(actor).await?;
            let category = category(&unit, slug.as_ref().and_then(Option::as_ref)).await?;
            let details = change(before.details(), category)?;
            if details == before.details() {
                return Ok(before);
            }
            let mut after = before.with(details);
            after.version += 1;
            after.updated_at = self.db.clock().now();
            if repo::products::update(&unit, &before, &after).await? {
                tell_of_update(&unit, &before, &after);
                self.kept.product_changes(&unit, id);
                unit.commit().await?;
                return Ok(after);
            }
            // What they left is now the state that if_match is about; without one,
            // their change and ours both take effect.
        }
    }

    /// Adds to the stock or takes away from it. Of those who take at once, only as
    /// many get some as there are: the database compares and changes in one step.
    ///
    /// # Errors
    /// [`CatalogError::NotFound`], [`CatalogError::InsufficientStock`], or the database's.
    pub async fn change_stock(
        &self,
        actor: &Actor,
        id: ProductId,
        change: &StockChange,
    ) -> Result<Product, CatalogError> {
        let (unit, product) = self.stock_changed(actor, id, change).await?;
        unit.commit().await?;
        Ok(product)
    }

    /// The same, not committed yet.
    pub(crate) async fn stock_changed(
        &self,
        actor: &Actor,
        id: ProductId,
        change: &StockChange,
    ) -> Result<(WriteUnit, Product), CatalogError> {
        let delta = change.delta.count();
        let unit = self.db.write(actor).await?;
        let now = self.db.clock().now();
        if !repo::products::change_stock(&unit, id, delta, now).await? {
            // Others may have changed it since, so that what is looked at now must not be blamed before it
            // was tried: from here on it stays.
            repo::products::lock(&unit, id).await?;
            if !repo::products::change_stock(&unit, id, delta, now).await? {
                let product = repo::products::find(&unit, id).await?.ok_or(CatalogError::NotFound(id))?;
                let available = product.stock;
                return Err(if available + delta > Stock::MOST {
                    CatalogError::stock_out_of_range()
                } else {
                    CatalogError::InsufficientStock { id, available }
                });
            }
        }
        let product = repo::products::find(&unit, id).await?.ok_or(CatalogError::NotFound(id))?;
        let entry = AuditEntry::new("product.stock_changed", target(id));
        unit.audit(entry.changed("stock", &(product.stock - delta), &product.stock));
        unit.emit(&StockChanged { product_id: id, sku: product.sku.clone(), delta, stock: product.stock });
        self.kept.product_changes(&unit, id);
        Ok((unit, product))
    }

    /// Deletes a product.
    ///
    /// # Errors
    /// [`CatalogError::NotFound`], a stale `if_match`, or the database's.
    pub async fn delete(&self, actor: &Actor, id: ProductId, if_match: &IfMatch) -> Result<(), CatalogError> {
        loop {
            let product = self.present_state(id, if_match).await?;
            let unit = self.db.write(actor).await?;
            if repo::products::delete(&unit, id, product.version).await? {
                let entry = AuditEntry::new("product.deleted", target(id));
                unit.audit(entry.note("sku", &product.sku).note("name", &product.name));
                unit.emit(&ProductDeleted { product_id: id, sku: product.sku });
                self.kept.product_changes(&unit, id);
                return Ok(unit.commit().await?);
            }
        }
    }

    /// The state that a change starts from: never a replica's, which may be old.
    async fn present_state(&self, id: ProductId, if_match: &IfMatch) -> Result<Product, CatalogError> {
        let product = repo::products::find(self.db.primary(), id).await?.ok_or(CatalogError::NotFound(id))?;
        if_match.check(ETag(product.version))?;
        Ok(product)
    }

    /// A page of the products that pass `filter`, in an order that it has
    /// ([`Filter::order`]). A category that is not there has no products.
    ///
    /// # Errors
    /// A cursor that is none, or the database's.
    pub async fn list(
        &self,
        filter: &Filter,
        wanted: Facets,
        paging: &Paging<ProductOrder>,
    ) -> Result<Found, CatalogError> {
        // Its answers go into the cache, which must not take back an older state from a replica.
        let (db, dialect) = (self.db.primary(), self.db.dialect());
        let tree = match filter.category.is_some() || wanted.category {
            true => Some(self.categories.tree().await?),
            false => None,
        };
        let categories = match (&filter.category, &tree) {
            (Some(slug), Some(tree)) => {
                Some(tree.find(slug.as_str()).map_or_else(Vec::new, |above| tree.with_descendants(above.id)))
            }
            _ => None,
        };
        let conditions = Conditions::new(filter, categories.as_deref());
        let page = repo::list::list(db, dialect, &conditions, paging).await?;
        let mut found = FoundFacets::default();
        if let Some(tree) = tree.filter(|_| wanted.category) {
            let mut counts: Vec<_> = facets::categories(db, dialect, &conditions)
                .await?
                .into_iter()
                .filter_map(|(id, count)| Some((tree.get(id)?, count)))
                .map(|(category, count)| (category.slug.clone(), category.name.clone(), count))
                .collect();
            counts.sort_by(|one, other| other.2.cmp(&one.2).then_with(|| one.0.cmp(&other.0)));
            found.category = Some(counts);
        }
        if wanted.tags {
            found.tags = Some(facets::tags(db, dialect, &conditions).await?);
        }
        if wanted.price {
            let bands = facets::prices(db, dialect, &conditions).await?.into_iter();
            let band = |(place, count)| PriceBand {
                from: PRICE_BANDS[place],
                to: PRICE_BANDS.get(place + 1).copied(),
                count,
            };
            found.price = Some(bands.map(band).collect());
        }
        Ok(Found { page, facets: found })
    }

    /// Whether there is no product at all.
    ///
    /// # Errors
    /// The database's.
    pub async fn is_empty(&self, actor: &Actor) -> Result<bool, CatalogError> {
        Ok(repo::products::after(self.db.read(actor), ProductId::new(0), 1).await?.is_empty())
    }

    /// All products in the order they were added, in batches. Memory for one of
    /// them; a product that is added or changed meanwhile may show either state.
    pub fn export(
        &self,
        actor: Actor,
    ) -> impl Stream<Item = Result<Vec<Product>, CatalogError>> + Send + use<> {
        let start = (self.db.clone(), actor, ProductId::new(0));
        stream::try_unfold(start, async |(db, actor, last)| {
            let batch = repo::products::after(db.read(&actor), last, BATCH_ROWS as u64).await?;
            Ok(batch.last().map(|product| product.id).map(|last| (batch, (db, actor, last))))
        })
    }
}

/// The category that a request names, in the state that the unit sees.
async fn category(unit: &WriteUnit, slug: Option<&Slug>) -> Result<Option<CategoryRef>, CatalogError> {
    let Some(slug) = slug else { return Ok(None) };
    let found = repo::categories::with_slugs(unit, std::iter::once(slug.as_str())).await?;
    match found.into_iter().next() {
        Some(category) => Ok(Some(category)),
        None => Err(CatalogError::unknown_category("category", slug.as_str())),
    }
}

fn tell_of_update(unit: &WriteUnit, before: &Product, after: &Product) {
    let entry = updated(after.id, &before.details(), &after.details());
    let fields: Vec<String> = entry.changes().keys().cloned().collect();
    unit.audit(entry);
    let delta = after.stock - before.stock;
    if delta != 0 {
        let event = StockChanged { product_id: after.id, sku: after.sku.clone(), delta, stock: after.stock };
        unit.emit(&event);
    }
    if fields.iter().any(|field| field != "stock") {
        unit.emit(&ProductUpdated { product_id: after.id, sku: after.sku.clone(), fields });
    }
}
