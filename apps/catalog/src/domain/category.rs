//! Categories: a tree.

use std::collections::HashMap;

use mainstay_core::{Patch, Timestamp};
use serde::{Deserialize, Serialize};

use super::values::{CategoryName, Slug};

/// How deep the tree goes: a category has at most this many above it, less one.
pub const MAX_DEPTH: usize = 10;

/// How many categories there can be: a node keeps the whole tree in memory.
pub const MAX_CATEGORIES: usize = 10_000;

/// Names a category inside the catalog; clients name it by its slug, which may change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CategoryId(pub i64);

/// A category as a product refers to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CategoryRef {
    /// Which one.
    pub id: CategoryId,
    /// Its slug at the moment.
    pub slug: String,
}

mainstay_core::input! {
    /// A category to add, or what a category is to become.
    pub struct NewCategory {
        /// Names it in addresses: small letters a to z, digits and single hyphens. No two categories share one.
        slug: Slug,
        /// What it is called: 1 to 100 characters.
        name: CategoryName,
        /// The slug of the category above it. At the top if absent or `null`.
        parent: Option<Slug>,
    }
}

mainstay_core::input! {
    /// What is to change about a category. What is absent stays as it is.
    pub struct CategoryPatch {
        /// Names it in addresses.
        slug: Patch<Slug>,
        /// What it is called.
        name: Patch<CategoryName>,
        /// The slug of the category above it; `null` puts it at the top.
        parent: Patch<Option<Slug>>,
    }
}

impl From<NewCategory> for CategoryPatch {
    /// Replacing a category is a change that leaves nothing as it is.
    fn from(new: NewCategory) -> Self {
        let NewCategory { slug, name, parent } = new;
        Self { slug: Patch::Set(slug), name: Patch::Set(name), parent: Patch::Set(parent) }
    }
}

/// A category.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Category {
    /// Which one.
    pub id: CategoryId,
    /// Names it in addresses.
    pub slug: String,
    /// What it is called.
    pub name: String,
    /// The category above it, if it is not at the top.
    pub parent: Option<CategoryId>,
    /// Counts its changes, from 1: the ETag.
    pub version: i64,
    /// When it was added.
    pub created_at: Timestamp,
    /// When it was changed last.
    pub updated_at: Timestamp,
}

/// All categories, in the order of their ids.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(from = "Vec<Category>", into = "Vec<Category>")]
pub struct CategoryTree {
    categories: Vec<Category>,
    by_id: HashMap<CategoryId, usize>,
    by_slug: HashMap<String, usize>,
    children: HashMap<CategoryId, Vec<CategoryId>>,
}

impl From<Vec<Category>> for CategoryTree {
    fn from(categories: Vec<Category>) -> Self {
        Self::new(categories)
    }
}

impl From<CategoryTree> for Vec<Category> {
    fn from(tree: CategoryTree) -> Self {
        tree.categories
    }
}

impl CategoryTree {
    /// The tree of these.
    #[must_use]
    pub fn new(categories: Vec<Category>) -> Self {
        let (mut by_id, mut by_slug) = (HashMap::new(), HashMap::new());
        let mut children: HashMap<_, Vec<_>> = HashMap::new();
        for (place, category) in categories.iter().enumerate() {
            by_id.insert(category.id, place);
            by_slug.insert(category.slug.clone(), place);
            if let Some(parent) = category.parent {
                children.entry(parent).or_default().push(category.id);
            }
        }
        Self { categories, by_id, by_slug, children }
    }

    /// All of them.
    #[must_use]
    pub fn all(&self) -> &[Category] {
        &self.categories
    }

    /// The category with this id.
    #[must_use]
    pub fn get(&self, id: CategoryId) -> Option<&Category> {
        self.by_id.get(&id).map(|place| &self.categories[*place])
    }

    /// The category with this slug.
    #[must_use]
    pub fn find(&self, slug: &str) -> Option<&Category> {
        self.by_slug.get(slug).map(|place| &self.categories[*place])
    }

    /// The category above this one.
    #[must_use]
    pub fn parent(&self, category: &Category) -> Option<&Category> {
        self.get(category.parent?)
    }

    /// The categories above this one, from the top down.
    #[must_use]
    pub fn ancestors(&self, category: &Category) -> Vec<&Category> {
        let above = std::iter::successors(self.parent(category), |above| self.parent(above));
        // More than the depth there are not; a bound in case rows were written past us.
        let mut ancestors: Vec<_> = above.take(MAX_DEPTH).collect();
        ancestors.reverse();
        ancestors
    }

    /// This category and all below it.
    #[must_use]
    pub fn with_descendants(&self, id: CategoryId) -> Vec<CategoryId> {
        let mut found = vec![id];
        let mut next = 0;
        while let Some(id) = found.get(next).copied().filter(|_| next < self.categories.len()) {
            found.extend(self.children.get(&id).into_iter().flatten());
            next += 1;
        }
        found
    }

    /// How many levels this category and those below it are: 1 for a leaf.
    #[must_use]
    pub fn height(&self, id: CategoryId) -> usize {
        let mut level = vec![id];
        let mut height = 0;
        while !level.is_empty() && height <= MAX_DEPTH {
            level =
                level.iter().flat_map(|id| self.children.get(id).into_iter().flatten().copied()).collect();
            height += 1;
        }
        height
    }

    /// How many levels down a category is: 1 at the top.
    #[must_use]
    pub fn depth(&self, id: CategoryId) -> usize {
        self.get(id).map_or(0, |category| self.ancestors(category).len() + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(parents: &[Option<i64>]) -> CategoryTree {
        let category = |(place, parent): (usize, &Option<i64>)| Category {
            id: CategoryId(place as i64 + 1),
            slug: format!("c{}", place + 1),
            name: "C".to_owned(),
            parent: parent.map(CategoryId),
            version: 1,
            created_at: Timestamp::from_millis(0),
            updated_at: Timestamp::from_millis(0),
        };
        CategoryTree::new(parents.iter().enumerate().map(category).collect())
    }

    #[test]
    fn what_is_above_and_below_is_found() {
        let tree = tree(&[None, Some(1), Some(2), Some(1), None]);
        let ids = |id| tree.with_descendants(CategoryId(id)).into_iter().map(|id| id.0).collect::<Vec<_>>();
        assert_eq!(ids(1), [1, 2, 4, 3]);
        assert_eq!(ids(3), [3]);
        assert_eq!((tree.height(CategoryId(1)), tree.height(CategoryId(5))), (3, 1));
        assert_eq!((tree.depth(CategoryId(3)), tree.depth(CategoryId(5))), (3, 1));
        let above: Vec<_> = tree.ancestors(tree.find("c3").unwrap()).iter().map(|c| c.slug.clone()).collect();
        assert_eq!(above, ["c1", "c2"]);
    }

    #[test]
    fn a_cycle_that_was_written_past_us_ends() {
        let tree = tree(&[Some(2), Some(1)]);
        assert!(tree.ancestors(tree.find("c1").unwrap()).len() <= MAX_DEPTH);
        assert!(tree.with_descendants(CategoryId(1)).len() <= 4);
        assert!(tree.height(CategoryId(1)) <= MAX_DEPTH + 1);
    }
}
