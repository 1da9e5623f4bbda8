use askama::Template;
use mainstay_core::Page;

/// The links to the pages of a list beside the one that is open. Empty if there are none.
#[derive(Clone, Debug, Template)]
#[template(path = "pager.html")]
pub struct Pager {
    path: String,
    before: Option<u32>,
    after: Option<u32>,
}

impl Pager {
    /// For this page of the list that is shown at `path`.
    pub fn of<T>(path: impl Into<String>, page: &Page<T>) -> Self {
        let number = page.page.unwrap_or(1);
        let before = (number > 1).then(|| number - 1);
        Self { path: path.into(), before, after: page.has_next.then(|| number + 1) }
    }
}

/// Its own template escapes what it holds.
impl askama::filters::HtmlSafe for Pager {}

#[cfg(test)]
mod tests {
    use mainstay_core::Page;

    use super::*;

    #[test]
    fn it_leads_to_what_there_is() {
        let shown = |page, has_next| {
            let page = Page {
                items: vec![1],
                total: None,
                page,
                page_size: 1,
                pages: None,
                has_next,
                has_prev: None,
                next_cursor: None,
            };
            Pager::of("/console/x", &page).render().unwrap()
        };
        assert_eq!(shown(Some(1), false), "");
        let both = shown(Some(2), true);
        assert!(both.contains("/console/x?page=1") && both.contains("/console/x?page=3"), "{both}");
        assert!(!shown(Some(2), false).contains("page=3"));
    }
}
