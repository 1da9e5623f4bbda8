//! The workloads: one value each. To add one, write it and put it in [`ALL`].

use std::net::SocketAddr;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use crate::{books, client, random::Random};

/// One kind of request, sent over and over with varying content.
pub(crate) struct Workload {
    /// As in the table and for `--only`.
    pub(crate) name: &'static str,
    /// Any but HEAD.
    pub(crate) method: &'static str,
    /// Path and query, percent-encoded.
    pub(crate) path: fn(&mut Draw<'_>) -> String,
    /// A JSON body.
    pub(crate) body: Option<fn(&mut Draw<'_>) -> String>,
    /// Headers beside `Host` and those that describe the body.
    pub(crate) headers: fn(&Facts) -> Vec<(&'static str, String)>,
    pub(crate) expected_status: u16,
    /// How many different requests to prepare; they are sent in turn.
    pub(crate) variety: usize,
    /// Connections, where the default of the run makes no sense.
    pub(crate) connections: Option<usize>,
    /// Looks at one answer before anything is measured: a server that answers
    /// fast and wrong must not get a figure.
    pub(crate) check: fn(&Value, &Facts) -> Result<()>,
}

/// What the generators may know of the seeded data.
#[derive(Debug, Default)]
pub(crate) struct Facts {
    pub(crate) books: usize,
    /// A random sample of the ids that exist.
    pub(crate) book_ids: Vec<i64>,
}

/// What a generator draws from.
pub(crate) struct Draw<'a> {
    pub(crate) random: Random,
    pub(crate) facts: &'a Facts,
}

/// The yardstick, on the bare server.
pub(crate) const BARE: Workload = Workload { name: "bare GET", path: |_| "/".to_owned(), variety: 1, ..GET };

/// Every workload on Mainstay, in the order of a round.
pub(crate) const ALL: &[Workload] = &[BOOK_BY_ID, BOOK_LIST, BOOK_SEARCH];

const BOOK_BY_ID: Workload = Workload {
    name: "book by id",
    path: |draw| format!("/api/v1/books/{}", draw.random.pick(&draw.facts.book_ids)),
    check: |book, _| {
        ensure!(book["title"].is_string(), "a book without a title");
        Ok(())
    },
    ..GET
};

const BOOK_LIST: Workload = Workload {
    name: "book list",
    path: |_| "/api/v1/books".to_owned(),
    variety: 1,
    check: |page, facts| {
        ensure!(page["total"] == facts.books, "total is {}, not {}", page["total"], facts.books);
        full_page(page)
    },
    ..GET
};

const BOOK_SEARCH: Workload = Workload {
    name: "book search",
    path: |draw| format!("/api/v1/books/search?q={}", draw.random.pick(&books::TOPICS)),
    check: |page, facts| {
        let expected = facts.books / books::TOPICS.len();
        let total = page["total"].as_u64().unwrap_or_default() as usize;
        ensure!(
            total.abs_diff(expected) <= expected / 10,
            "a word found {total} books, about {expected} hold it"
        );
        full_page(page)
    },
    ..GET
};

/// What most workloads share.
const GET: Workload = Workload {
    name: "",
    method: "GET",
    path: |_| String::new(),
    body: None,
    headers: |_| Vec::new(),
    expected_status: 200,
    variety: 10_000,
    connections: None,
    check: |_, _| Ok(()),
};

fn full_page(page: &Value) -> Result<()> {
    let items = page["items"].as_array().map_or(0, Vec::len);
    ensure!(items == 20, "a first page of {items} items, not 20");
    Ok(())
}

impl Workload {
    /// The requests as they go on the wire.
    pub(crate) fn requests(&self, target: SocketAddr, facts: &Facts, seed: u64) -> Vec<String> {
        let mut draw = Draw { random: Random::seeded(seed), facts };
        (0..self.variety).map(|_| self.request(target, &mut draw)).collect()
    }

    fn request(&self, target: SocketAddr, draw: &mut Draw<'_>) -> String {
        let path = (self.path)(draw);
        let mut request = format!("{} {path} HTTP/1.1\r\nHost: {target}\r\n", self.method);
        for (name, value) in (self.headers)(draw.facts) {
            request.push_str(&format!("{name}: {value}\r\n"));
        }
        if let Some(body) = self.body {
            let body = body(draw);
            request.push_str(&format!(
                "Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
                body.len()
            ));
        } else {
            request.push_str("\r\n");
        }
        request
    }

    /// Sends one request and looks at the answer.
    pub(crate) fn try_once(&self, target: SocketAddr, facts: &Facts) -> Result<()> {
        let mut draw = Draw { random: Random::seeded(0), facts };
        let request = self.request(target, &mut draw);
        let attempt = || {
            let (status, body) = client::send(target, &request)?;
            if status != self.expected_status {
                bail!("answered {status}, not {}: {}", self.expected_status, client::excerpt(&body));
            }
            let body = if body.is_empty() {
                Value::Null
            } else {
                serde_json::from_slice(&body).context("the answer is no JSON")?
            };
            (self.check)(&body, facts)
        };
        attempt().with_context(|| {
            let line = request.lines().next().unwrap_or_default();
            format!("workload '{}', tried with: {line}", self.name)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target() -> SocketAddr {
        ([127, 0, 0, 1], 80).into()
    }

    fn facts() -> Facts {
        Facts { books: 2_000, book_ids: vec![11, 22, 33] }
    }

    #[test]
    fn requests_are_whole_and_vary() {
        let requests = BOOK_BY_ID.requests(target(), &facts(), 1);
        assert_eq!(requests.len(), 10_000);
        for id in [11, 22, 33] {
            let wire = format!("GET /api/v1/books/{id} HTTP/1.1\r\nHost: 127.0.0.1:80\r\n\r\n");
            assert!(requests.contains(&wire));
        }
        assert_eq!(requests, BOOK_BY_ID.requests(target(), &facts(), 1));
        assert_ne!(requests, BOOK_BY_ID.requests(target(), &facts(), 2));
    }

    #[test]
    fn a_body_is_described_by_its_headers() {
        let post = Workload {
            method: "POST",
            path: |_| "/api/v1/posts".to_owned(),
            body: Some(|_| r#"{"name":"é"}"#.to_owned()),
            headers: |_| vec![("Authorization", "Bearer t".to_owned())],
            variety: 1,
            ..GET
        };
        assert_eq!(
            post.requests(target(), &facts(), 0)[0],
            "POST /api/v1/posts HTTP/1.1\r\nHost: 127.0.0.1:80\r\nAuthorization: Bearer t\r\n\
             Content-Type: application/json\r\nContent-Length: 13\r\n\r\n{\"name\":\"é\"}"
        );
    }

    #[test]
    fn names_are_distinct() {
        let mut names: Vec<_> = ALL.iter().map(|workload| workload.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), ALL.len());
    }
}
