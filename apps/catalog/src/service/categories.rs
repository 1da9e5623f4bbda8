//! Categories.
//!
//! The tree is small and asked for often: it is read as a whole. Changes of it wait
//! for each other, so that of two moves that would make a cycle together the second
//! sees the first; they do not wait for products that sell, nor those for them.

use std::sync::Arc;

use mainstay_cache::Cache;
use mainstay_core::page::Start;
use mainstay_core::{Actor, AuditEntry, Faults, Page, Paging, Patch, Problem, text};
use mainstay_db::{Db, DbProblem as _, WriteUnit, is_retryable};
use mainstay_http::{ETag, IfMatch};
use sea_orm::DbErr;
use serde_json::Value;

use super::again;
use crate::domain::category::{
    Category, CategoryId, CategoryPatch, CategoryTree, MAX_CATEGORIES, MAX_DEPTH, NewCategory,
};
use crate::domain::listing::CategoryOrder;
use crate::domain::values::{CategoryName, Slug};
use crate::error::CatalogError;
use crate::events::CategoryChanged;
use crate::kept::{Kept, problem};
use crate::repo;

/// The catalog's categories. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Categories {
    db: Db,
    kept: Kept,
}

impl Categories {
    /// The categories in this database.
    #[must_use]
    pub fn new(db: Db, cache: &Cache) -> Self {
        Self { db, kept: Kept::new(cache) }
    }

    /// With the commit of `unit` the tree is another one.
    pub(super) fn tree_changes(&self, unit: &WriteUnit) {
        self.kept.tree_changes(unit);
    }

    /// All of them, out of the cache.
    ///
    /// # Errors
    /// The database's.
    pub async fn tree(&self) -> Result<Arc<CategoryTree>, CatalogError> {
        let db = self.db.clone();
        let load = || async move {
            let all = repo::categories::all(db.primary()).await.map_err(DbErr::into_problem)?;
            Ok::<_, Problem>(Some(CategoryTree::new(all)))
        };
        Ok(self.kept.tree.get_or_load(&(), load).await.map_err(problem)?.unwrap_or_default())
    }

    /// A page of the categories, of those directly below `parent` if it is given.
    ///
    /// # Errors
    /// [`CatalogError::CategoryNotFound`], a cursor that is none, or the database's.
    pub async fn list(
        &self,
        parent: Option<&Slug>,
        paging: &Paging<CategoryOrder>,
    ) -> Result<(Arc<CategoryTree>, Page<Category>), CatalogError> {
        let tree = self.tree().await?;
        let above = match parent {
            None => None,
            Some(slug) => Some(
                tree.find(slug.as_str()).ok_or_else(|| CatalogError::CategoryNotFound(slug.to_string()))?.id,
            ),
        };
        let wanted = tree.all().iter().filter(|category| above.is_none() || category.parent == above);
        let page = page(wanted.cloned().collect(), paging)?;
        Ok((tree, page))
    }

    /// A category, and the tree it stands in.
    ///
    /// # Errors
    /// [`CatalogError::CategoryNotFound`], or the database's.
    pub async fn get(&self, slug: &Slug) -> Result<(Arc<CategoryTree>, Category), CatalogError> {
        let tree = self.tree().await?;
        let found = tree.find(slug.as_str()).cloned();
        Ok((tree, found.ok_or_else(|| CatalogError::CategoryNotFound(slug.to_string()))?))
    }

    /// Adds a category.
    ///
    /// # Errors
    /// [`CatalogError::SlugTaken`], an unknown parent, too many of them, or the database's.
    pub async fn create(
        &self,
        actor: &Actor,
        new: &NewCategory,
    ) -> Result<(Arc<CategoryTree>, Category), CatalogError> {
        let unit = self.db.write(actor).await?;
        let tree = locked(&unit).await?;
        if tree.all().len() >= MAX_CATEGORIES {
            return Err(CatalogError::TooMany);
        }
        let parent = parent(&tree, new.parent.as_ref())?;
        if parent.is_some_and(|parent| tree.depth(parent) >= MAX_DEPTH) {
            return Err(CatalogError::TooDeep);
        }
        let (slug, name, now) = (new.slug.as_str(), new.name.as_str(), self.db.clock().now());
        let id = repo::categories::insert(&unit, slug, name, parent, now).await?;
        let category = Category {
            id,
            slug: slug.to_owned(),
            name: name.to_owned(),
            parent,
            version: 1,
            created_at: now,
            updated_at: now,
        };
        let entry = AuditEntry::new("category.created", target(id));
        let above = new.parent.as_ref().map(Slug::as_str);
        unit.audit(entry.set("slug", slug).set("name", name).set("parent", above));
        unit.emit(&CategoryChanged { slug: slug.to_owned(), now: Some(slug.to_owned()) });
        self.kept.tree_changes(&unit);
        unit.commit().await?;
        Ok(with(&tree, category))
    }

    /// Makes a category what `new` says.
    ///
    /// # Errors
    /// As [`Categories::update`].
    pub async fn replace(
        &self,
        actor: &Actor,
        slug: &Slug,
        if_match: &IfMatch,
        new: NewCategory,
    ) -> Result<(Arc<CategoryTree>, Category), CatalogError> {
        self.update(actor, slug, if_match, &new.into()).await
    }

    /// Changes what `patch` names. Nothing is written where that changes nothing.
    ///
    /// # Errors
    /// [`CatalogError::CategoryNotFound`], [`CatalogError::SlugTaken`], [`CatalogError::Cycle`], an
    /// unknown parent, too many levels, a stale `if_match`, or the database's.
    pub async fn update(
        &self,
        actor: &Actor,
        slug: &Slug,
        if_match: &IfMatch,
        patch: &CategoryPatch,
    ) -> Result<(Arc<CategoryTree>, Category), CatalogError> {
        again(|| self.change(actor, slug, if_match, patch), is_retryable).await
    }

    async fn change(
        &self,
        actor: &Actor,
        slug: &Slug,
        if_match: &IfMatch,
        patch: &CategoryPatch,
    ) -> Result<(Arc<CategoryTree>, Category), CatalogError> {
        let unit = self.db.write(actor).await?;
        let tree = locked(&unit).await?;
        let before = present(&tree, slug, if_match)?;
        let mut after = patched(&tree, &before, patch)?;
        if after == before {
            return Ok((Arc::new(tree), before));
        }
        after.version += 1;
        after.updated_at = self.db.clock().now();
        let renamed = before.slug != after.slug;
        if renamed {
            // Before the category, as everybody else: whoever puts a product into it has the product first.
            repo::products::lock_category(&unit, after.id).await?;
        }
        repo::categories::update(&unit, &after).await?;
        // The answers about what is below show it, so that their ETags must not stay.
        if renamed || before.parent != after.parent {
            repo::categories::touch(&unit, &tree.with_descendants(after.id)[1..]).await?;
        }
        if renamed {
            repo::categories::touch_products(&unit, after.id).await?;
        }
        let parent = |category: &Category| tree.parent(category).map(|parent| parent.slug.clone());
        unit.audit(
            AuditEntry::new("category.updated", target(after.id))
                .changed("slug", &before.slug, &after.slug)
                .changed("name", &before.name, &after.name)
                .changed("parent", &parent(&before), &parent(&after)),
        );
        unit.emit(&CategoryChanged { slug: before.slug, now: Some(after.slug.clone()) });
        self.kept.tree_changes(&unit);
        unit.commit().await?;
        Ok(with(&tree, after))
    }

    /// Deletes a category in which nothing is.
    ///
    /// # Errors
    /// [`CatalogError::CategoryNotFound`], [`CatalogError::InUse`], a stale `if_match`, or the database's.
    pub async fn delete(&self, actor: &Actor, slug: &Slug, if_match: &IfMatch) -> Result<(), CatalogError> {
        let unit = self.db.write(actor).await?;
        let category = present(&locked(&unit).await?, slug, if_match)?;
        repo::categories::delete(&unit, &category).await?;
        tell_of_deletion(&unit, category);
        self.kept.tree_changes(&unit);
        Ok(unit.commit().await?)
    }
}

/// The tree, which nobody else changes until the unit ends.
async fn locked(unit: &WriteUnit) -> Result<CategoryTree, DbErr> {
    repo::categories::lock_tree(unit).await?;
    Ok(CategoryTree::new(repo::categories::all(unit).await?))
}

fn target(id: CategoryId) -> String {
    format!("category/{}", id.0)
}

fn tell_of_deletion(unit: &WriteUnit, category: Category) {
    let entry = AuditEntry::new("category.deleted", target(category.id));
    unit.audit(entry.note("slug", &category.slug).note("name", &category.name));
    unit.emit(&CategoryChanged { slug: category.slug, now: None });
}

fn present(tree: &CategoryTree, slug: &Slug, if_match: &IfMatch) -> Result<Category, CatalogError> {
    let category =
        tree.find(slug.as_str()).ok_or_else(|| CatalogError::CategoryNotFound(slug.to_string()))?;
    if_match.check(ETag(category.version))?;
    Ok(category.clone())
}

fn parent(tree: &CategoryTree, slug: Option<&Slug>) -> Result<Option<CategoryId>, CatalogError> {
    let Some(slug) = slug else { return Ok(None) };
    let found = tree.find(slug.as_str());
    found.map(|parent| Some(parent.id)).ok_or_else(|| CatalogError::unknown_category("parent", slug.as_str()))
}

fn patched(tree: &CategoryTree, before: &Category, patch: &CategoryPatch) -> Result<Category, CatalogError> {
    let CategoryPatch { slug, name, parent: new_parent } = patch.clone();
    let mut after = before.clone();
    after.slug = slug.map(Slug::into_string).over(after.slug);
    after.name = name.map(CategoryName::into_string).over(after.name);
    if let Patch::Set(above) = new_parent {
        after.parent = parent(tree, above.as_ref())?;
    }
    if let Some(parent) = after.parent.filter(|_| after.parent != before.parent) {
        if tree.with_descendants(before.id).contains(&parent) {
            let parent = tree.get(parent).map_or_else(String::new, |parent| parent.slug.clone());
            return Err(CatalogError::Cycle { slug: before.slug.clone(), parent });
        }
        if tree.depth(parent) + tree.height(before.id) > MAX_DEPTH {
            return Err(CatalogError::TooDeep);
        }
    }
    Ok(after)
}

/// The tree with this category as it is now.
fn with(tree: &CategoryTree, category: Category) -> (Arc<CategoryTree>, Category) {
    let others = tree.all().iter().filter(|other| other.id != category.id).cloned();
    (Arc::new(CategoryTree::new(others.chain([category.clone()]).collect())), category)
}

/// What categories are sorted by, before their id.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Key {
    Number(i64),
    Text(String),
}

fn key(category: &Category, order: CategoryOrder) -> Key {
    match order {
        CategoryOrder::Name => Key::Text(text::padded(&text::words(&category.name))),
        CategoryOrder::Slug => Key::Text(category.slug.clone()),
        CategoryOrder::CreatedAt => Key::Number(category.created_at.millis()),
    }
}

/// A page cut in memory, as the database would.
fn page(categories: Vec<Category>, paging: &Paging<CategoryOrder>) -> Result<Page<Category>, CatalogError> {
    let total = categories.len() as u64;
    let mut sorted: Vec<((Key, CategoryId), Category)> = categories
        .into_iter()
        .map(|category| ((key(&category, paging.sort), category.id), category))
        .collect();
    sorted.sort_by(|(one, _), (other, _)| if paging.descending { other.cmp(one) } else { one.cmp(other) });
    let (from, total) = match &paging.start {
        Start::Page(_) => {
            let offset = usize::try_from(paging.offset().unwrap_or_default()).unwrap_or(usize::MAX);
            (offset.min(sorted.len()), Some(total))
        }
        Start::After { key, id } => {
            let last = read_key(key, paging.sort).zip(id.as_i64().map(CategoryId)).ok_or_else(|| {
                Faults::one("cursor", "invalid_cursor", "is not a cursor that this list gave out")
            })?;
            let behind =
                |place: &(Key, CategoryId)| if paging.descending { *place < last } else { *place > last };
            (sorted.iter().position(|(place, _)| behind(place)).unwrap_or(sorted.len()), None)
        }
    };
    let most = usize::from(paging.page_size) + 1;
    let rows: Vec<_> = sorted.into_iter().skip(from).take(most).collect();
    let page = paging.cut(rows, total, |((key, id), _)| (write_key(key), id.0.into()));
    Ok(page.map(|(_, category)| category))
}

fn write_key(key: &Key) -> Value {
    match key {
        Key::Number(number) => (*number).into(),
        Key::Text(text) => text.as_str().into(),
    }
}

/// The reverse; `None` for what [`write_key`] never wrote, because a cursor comes from outside.
fn read_key(key: &Value, order: CategoryOrder) -> Option<Key> {
    match order {
        CategoryOrder::Name | CategoryOrder::Slug => Some(Key::Text(key.as_str()?.to_owned())),
        CategoryOrder::CreatedAt => Some(Key::Number(key.as_i64()?)),
    }
}
