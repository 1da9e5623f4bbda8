//! The shape of every answer of the feed.

use mainstay_core::problem::Fault;
use mainstay_core::{Page, Problem, ProblemKind};
use mainstay_http::ErrorShape;
use serde::Serialize;
use serde_json::{Map, Value, json};
use utoipa::ToSchema;

use crate::http::PostView;

/// One post in its envelope.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = FeedPostEnvelope)]
pub(crate) struct OnePost {
    /// Always true.
    success: bool,
    /// What happened, for a person.
    message: &'static str,
    /// The post.
    data: PostView,
}

impl OnePost {
    pub(crate) fn new(message: &'static str, data: PostView) -> Self {
        Self { success: true, message, data }
    }
}

/// A page of posts in its envelope.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = FeedPostsEnvelope)]
pub(crate) struct ManyPosts {
    /// Always true.
    success: bool,
    /// What happened, for a person.
    message: &'static str,
    /// The posts, the newest first.
    data: Vec<PostView>,
    /// Where the page stands.
    meta: Meta,
}

/// Where a page stands in the list.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = FeedMeta)]
struct Meta {
    /// Number of this page, from 1.
    page: u32,
    /// Posts a page.
    page_size: u16,
    /// How many posts there are in all.
    total: u64,
    /// How many pages there are.
    pages: u64,
    /// Whether there are older posts after this page.
    has_next: bool,
    /// Whether there are newer posts before it.
    has_prev: bool,
}

impl ManyPosts {
    pub(crate) fn new(message: &'static str, page: Page<PostView>) -> Self {
        let Page { items, total, page, page_size, pages, has_next, has_prev, next_cursor: _ } = page;
        // The feed is paged by number, so none of them is absent.
        let (total, page, pages) = (total.unwrap_or_default(), page.unwrap_or(1), pages.unwrap_or_default());
        let meta = Meta { page, page_size, total, pages, has_next, has_prev: has_prev.unwrap_or_default() };
        Self { success: true, message, data: items, meta }
    }
}

/// The shape of the feed's errors.
pub(crate) static ERRORS: ErrorShape = ErrorShape {
    path: "/posts",
    status: |kind: &ProblemKind| if kind.status == 422 { 400 } else { kind.status },
    body,
    schema_name: "FeedError",
    schema: || {
        json!({
            "type": "object",
            "description": "Why a request to the feed failed.",
            "required": ["success", "message", "errors"],
            "properties": {
                "success": {"type": "boolean", "enum": [false]},
                "message": {"type": "string", "description": "What went wrong, for a person."},
                "errors": {
                    "type": "object", "additionalProperties": {"type": "string"},
                    "description": "What is wrong with which field. Empty if no field is to blame.",
                },
            },
        })
    },
};

fn body(problem: &Problem) -> Value {
    let faults = problem.faults();
    let message = if faults.is_empty() { sentence(problem.detail()) } else { summary(faults) };
    let mut errors = Map::new();
    for fault in faults.iter().filter(|fault| !fault.field.is_empty()) {
        // A field that is wrong in two ways is named once, with the first.
        errors.entry(fault.field.clone()).or_insert_with(|| reading(fault).into());
    }
    json!({"success": false, "message": message, "errors": errors})
}

/// A message stands alone, as "Post created successfully" does.
fn sentence(detail: &str) -> String {
    detail.strip_suffix('.').unwrap_or(detail).to_owned()
}

/// Names what is wrong, sort by sort, each field once.
fn summary(faults: &[Fault]) -> String {
    if let Some(whole) = faults.iter().find(|fault| fault.field.is_empty()) {
        return format!("Validation failed. The body {}", sentence(&whole.message));
    }
    let mut named = Vec::new();
    let mut fields = |heading: &str, wanted: Sort| {
        let mut names: Vec<&str> = Vec::new();
        for fault in faults.iter().filter(|fault| sort(fault) == wanted) {
            if !names.contains(&fault.field.as_str()) {
                names.push(&fault.field);
            }
        }
        if !names.is_empty() {
            named.push(format!("{heading}: {}", names.join(", ")));
        }
    };
    fields("Missing required fields", Sort::Missing);
    fields("Invalid fields", Sort::Invalid);
    fields("Unknown fields", Sort::Unknown);
    format!("Validation failed. {}", named.join(". "))
}

#[derive(PartialEq)]
enum Sort {
    Missing,
    Invalid,
    Unknown,
}

fn sort(fault: &Fault) -> Sort {
    match &*fault.code {
        "required" | "too_short" => Sort::Missing,
        "unknown_field" => Sort::Unknown,
        _ => Sort::Invalid,
    }
}

/// `Name cannot be empty`.
fn reading(fault: &Fault) -> String {
    let mut letters = fault.field.chars();
    let label: String = letters.next().into_iter().flat_map(char::to_uppercase).chain(letters).collect();
    match sort(fault) {
        Sort::Missing => format!("{label} cannot be empty"),
        Sort::Invalid => format!("{label} {}", fault.message),
        // Somebody else's word is not dressed up as one of ours.
        Sort::Unknown => format!("{} {}", fault.field, fault.message),
    }
}

#[cfg(test)]
mod tests {
    use mainstay_core::input::from_json;
    use mainstay_core::problem::{INTERNAL, METHOD_NOT_ALLOWED};

    use super::*;
    use crate::domain::NewFeedPost;

    fn refused(sent: &Value) -> Value {
        body(&from_json::<NewFeedPost>(sent).unwrap_err().into())
    }

    #[test]
    fn what_is_missing_empty_wrong_and_unknown_is_told_apart() {
        for (sent, message, errors) in [
            (
                json!({"body": "Hello"}),
                "Validation failed. Missing required fields: name, username",
                json!({"name": "Name cannot be empty", "username": "Username cannot be empty"}),
            ),
            (
                json!({"name": null, "username": "  ", "body": ""}),
                "Validation failed. Missing required fields: name, username, body",
                json!({"name": "Name cannot be empty", "username": "Username cannot be empty", "body": "Body cannot be empty"}),
            ),
            (
                json!({"name": 7, "username": "x".repeat(101), "body": "a\u{0}", "boddy": "b"}),
                "Validation failed. Invalid fields: name, username, body. Unknown fields: boddy",
                json!({
                    "name": "Name must be a string, not a number",
                    "username": "Username must have at most 100 characters, has 101",
                    "body": "Body must not hold control characters other than line breaks and tabs",
                    "boddy": "boddy is not known here; did you mean body?",
                }),
            ),
            (
                json!({"name": "Ada", "username": "ada", "body": "", "id": 7}),
                "Validation failed. Missing required fields: body. Unknown fields: id",
                json!({"body": "Body cannot be empty", "id": "id is not known here"}),
            ),
            (json!([]), "Validation failed. The body must be an object, not an array", json!({})),
        ] {
            assert_eq!(refused(&sent), json!({"success": false, "message": message, "errors": errors}));
        }
    }

    #[test]
    fn other_errors_say_what_went_wrong_and_blame_no_field() {
        let of = |problem: Problem| body(&problem);
        assert_eq!(
            of(METHOD_NOT_ALLOWED.because("This address does not take this method.")),
            json!({"success": false, "message": "This address does not take this method", "errors": {}})
        );
        let internal = INTERNAL.because("The request could not be carried out.");
        assert_eq!(of(internal)["message"], "The request could not be carried out");
    }
}
