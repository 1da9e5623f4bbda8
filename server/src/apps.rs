use crate::Backend;

/// The apps of the `mainstay` program on a backend that has identity already. The tests about every route
/// there is start from this list, too.
#[must_use]
pub fn apps(backend: Backend) -> Backend {
    use crate::prelude::{Blog, Catalog, Feed, Library, Operations, Organizations};
    backend
        .with(Organizations::new)
        .with(Library::new)
        .with(Catalog::new)
        .with(Blog::new)
        .with(Feed::new)
        .with(Operations::new)
}
