//! Errors in another shape than a problem, for an app whose clients were promised one.
//!
//! A request can fail long before it reaches its app, or without ever doing so: a wrong method, an
//! address that leads nowhere, too large a body, a refused caller, a full server. So the shape goes by
//! the path alone, and the [`Stack`](crate::Stack) gives it to every error there. Headers, status
//! metrics and the log are those of the problem.

use http::StatusCode;
use mainstay_core::{Problem, ProblemKind};
use serde_json::{Map, Value, json};

/// How the errors of one app look: JSON of its own instead of `application/problem+json`.
#[derive(Debug)]
pub struct ErrorShape {
    /// The path that it holds for, with everything under it, as the app declares its routes: `/posts`.
    pub path: &'static str,
    /// The status that a kind of problem is answered with.
    pub status: fn(&ProblemKind) -> u16,
    /// The body.
    pub body: fn(&Problem) -> Value,
    /// The name of the body's schema in the document.
    pub schema_name: &'static str,
    /// The body's schema.
    pub schema: fn() -> Value,
}

/// A shape at the place where its app is mounted.
#[derive(Clone, Debug)]
pub struct PlacedShape {
    prefix: String,
    shape: &'static ErrorShape,
}

impl PlacedShape {
    pub(crate) fn new(shape: &'static ErrorShape) -> Self {
        Self { prefix: shape.path.to_owned(), shape }
    }

    pub(crate) fn under(&mut self, prefix: &str) {
        self.prefix.insert_str(0, prefix);
    }

    pub(crate) fn shape(&self) -> &'static ErrorShape {
        self.shape
    }

    /// Whether errors at this path have the shape.
    pub(crate) fn covers(&self, path: &str) -> bool {
        path.strip_prefix(&*self.prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }

    /// Status, content type and body of the answer.
    pub(crate) fn answer(&self, problem: &Problem) -> (StatusCode, &'static str, Value) {
        let status = (self.shape.status)(problem.kind());
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        (status, "application/json", (self.shape.body)(problem))
    }
}

impl ErrorShape {
    /// The document's response for these kinds, which share a status.
    pub(crate) fn response(&self, kinds: &[&'static ProblemKind]) -> Value {
        let titles: Vec<_> = kinds.iter().map(|kind| kind.title).collect();
        let examples: Map<String, Value> = kinds
            .iter()
            .map(|kind| {
                let mut problem = kind.because(kind.help);
                if kind.status == 422 {
                    problem = problem.with_fault("name", "required", "is required");
                }
                let value = (self.body)(&problem);
                (kind.code.to_owned(), json!({"summary": kind.title, "value": value}))
            })
            .collect();
        let schema = json!({"$ref": format!("#/components/schemas/{}", self.schema_name)});
        json!({
            "description": titles.join(", or "),
            "content": {"application/json": {"schema": schema, "examples": examples}},
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    static PLAIN: ErrorShape = ErrorShape {
        path: "/posts",
        status: |kind| kind.status,
        body: |problem| json!(problem.detail()),
        schema_name: "Plain",
        schema: || json!({"type": "string"}),
    };

    #[test]
    fn a_shape_covers_its_path_and_what_is_under_it() {
        let mut placed = PlacedShape::new(&PLAIN);
        placed.under("/api/v1");
        for (path, covered) in [
            ("/api/v1/posts", true),
            ("/api/v1/posts/", true),
            ("/api/v1/posts/7/nothing", true),
            ("/api/v1/postscript", false),
            ("/api/v1/blog/posts", false),
            ("/posts", false),
        ] {
            assert_eq!(placed.covers(path), covered, "{path}");
        }
    }
}
