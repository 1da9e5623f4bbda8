//! The workloads: one value each. To add one, write it and put it in [`ALL`].

use std::net::SocketAddr;

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

use crate::seed::{self, POSTS_EACH};
use crate::{books, client, products, random::Random};

/// One kind of request, sent over and over with varying content.
pub(crate) struct Workload {
    /// As in the table and for `--only`.
    pub(crate) name: &'static str,
    /// Any but HEAD.
    pub(crate) method: &'static str,
    /// Path and query, percent-encoded.
    pub(crate) path: fn(&mut Draw<'_>) -> String,
    /// A JSON body.
    pub(crate) body: Option<fn(&mut Draw<'_>) -> Value>,
    /// Headers beside `Host` and those that describe the body.
    pub(crate) headers: fn(&mut Draw<'_>) -> Vec<(&'static str, String)>,
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
    pub(crate) products: usize,
    /// The same of products.
    pub(crate) product_ids: Vec<i64>,
    pub(crate) users: usize,
    /// Addresses of accounts that sign in.
    pub(crate) emails: Vec<String>,
    /// Access tokens of some of them.
    pub(crate) tokens: Vec<String>,
    /// An administrator's.
    pub(crate) staff_token: String,
    /// An API key under a limit that every call is counted for in the store, and never reaches.
    pub(crate) counted_key: String,
    /// An API key under a limit of one call an hour, which is used up.
    pub(crate) blocked_key: String,
}

/// What a generator draws from.
pub(crate) struct Draw<'a> {
    pub(crate) random: Random,
    pub(crate) facts: &'a Facts,
}

/// The yardstick, on the bare server.
pub(crate) const BARE: Workload = Workload { name: "bare GET", path: |_| "/".to_owned(), variety: 1, ..GET };

/// Every workload on Mainstay, in the order of a round.
pub(crate) const ALL: &[Workload] = &[
    BOOK_BY_ID,
    BOOK_LIST,
    BOOK_SEARCH,
    HOT_PRODUCT,
    PRODUCT_SEARCH,
    PRODUCT_SEARCH_BELOW,
    BROWSE,
    LIMITED_ADMITTED,
    LIMITED_REFUSED,
    VERIFY_TOKEN,
    POSTS_LIST,
    USERS_WITH_POSTS,
    FEED_POST,
    LOGIN,
];

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
        about(&page["total"], facts.books / books::TOPICS.len())?;
        full_page(page)
    },
    ..GET
};

/// A thousand products in turn, each from the cache after the first time, as somebody who is signed in.
pub(crate) const HOT_PRODUCT: Workload = Workload {
    name: "product by id, hot",
    path: |draw| {
        let hot = &draw.facts.product_ids[..draw.facts.product_ids.len().min(1_000)];
        format!("/api/v1/products/{}", draw.random.pick(hot))
    },
    headers: signed_in,
    check: |product, _| {
        ensure!(product["sku"].is_string(), "a product without a SKU");
        Ok(())
    },
    ..GET
};

/// Pages and their sizes vary: more of them than are asked for within the minute that the cache keeps one.
const PRODUCT_SEARCH: Workload = Workload {
    name: "product search, uncached",
    path: |draw| {
        let word = draw.random.pick(&books::TOPICS);
        let size = 18 + draw.random.below(5);
        let pages = (draw.facts.products / books::TOPICS.len() / size).max(1);
        format!("/api/v1/products?q={word}&page_size={size}&page={}", 1 + draw.random.below(pages))
    },
    check: |page, facts| {
        about(&page["total"], facts.products / books::TOPICS.len())?;
        ensure!(page["items"].as_array().is_some_and(|items| items.len() >= 18), "not a full page");
        Ok(())
    },
    ..GET
};

/// The price is one that nothing reaches: it costs a look at each product that the word is in.
const PRODUCT_SEARCH_BELOW: Workload = Workload {
    name: "product search, price",
    path: |draw| {
        let word = *draw.random.pick(&books::TOPICS);
        let above = products::PRICES_END + draw.random.below(900_000_000);
        format!("/api/v1/products?q={word}&max_price={}.{:02}", above / 100, above % 100)
    },
    check: |page, facts| {
        about(&page["total"], facts.products / books::TOPICS.len())?;
        full_page(page)
    },
    ..GET
};

/// A category, of which about half passes the prices, the cheapest first.
const BROWSE: Workload = Workload {
    name: "browse category and price",
    path: |draw| {
        let (_, categories) = draw.random.pick(&products::DEPARTMENTS);
        let category = *draw.random.pick(categories);
        let from = draw.random.below(products::PRICES_END / 4);
        let to = from + products::PRICES_END / 2;
        let price = |cents: usize| format!("{}.{:02}", cents / 100, cents % 100);
        format!(
            "/api/v1/products?category={category}&min_price={}&max_price={}&sort=price",
            price(from),
            price(to)
        )
    },
    check: |page, facts| {
        about(&page["total"], facts.products / 48 / 2)?;
        full_page(page)
    },
    // More than are asked for in one turn: none comes twice, so none is from the cache.
    variety: 150_000,
    ..GET
};

/// The cheapest of requests, under a limit without permits taken ahead: what counting costs.
pub(crate) const LIMITED_ADMITTED: Workload = Workload {
    name: "limited, admitted",
    path: |_| "/api/v1/auth/verify".to_owned(),
    headers: |draw| vec![("X-Api-Key", draw.facts.counted_key.clone())],
    variety: 1,
    ..GET
};

pub(crate) const LIMITED_REFUSED: Workload = Workload {
    name: "limited, refused",
    headers: |draw| vec![("X-Api-Key", draw.facts.blocked_key.clone())],
    expected_status: 429,
    check: |problem, _| {
        ensure!(problem["code"] == "rate_limited", "refused with {}", problem["code"]);
        Ok(())
    },
    ..LIMITED_ADMITTED
};

const VERIFY_TOKEN: Workload = Workload {
    name: "verify token",
    path: |_| "/api/v1/auth/verify".to_owned(),
    headers: signed_in,
    check: |answer, _| {
        ensure!(answer["valid"] == true, "a good token is not valid");
        Ok(())
    },
    ..GET
};

const POSTS_LIST: Workload = Workload {
    name: "posts with authors",
    path: |draw| format!("/api/v1/blog/posts?page={}", 1 + draw.random.below(100)),
    check: |page, facts| {
        let expected = facts.users * POSTS_EACH;
        ensure!(page["total"] == expected, "total is {}, not {expected}", page["total"]);
        ensure!(page["items"][0]["author"]["username"].is_string(), "a post without its author");
        full_page(page)
    },
    ..GET
};

const USERS_WITH_POSTS: Workload = Workload {
    name: "users with posts",
    path: |draw| {
        let pages = (draw.facts.users / 20).max(1);
        format!("/api/v1/users?include=posts&page={}", 1 + draw.random.below(pages))
    },
    headers: |draw| vec![("Authorization", format!("Bearer {}", draw.facts.staff_token))],
    check: |page, _| {
        let posts =
            page["items"].as_array().into_iter().flatten().filter(|user| user["post_count"] == POSTS_EACH);
        ensure!(posts.count() >= 18, "users without their posts");
        full_page(page)
    },
    ..GET
};

const FEED_POST: Workload = Workload {
    name: "feed post",
    method: "POST",
    path: |_| "/api/v1/posts".to_owned(),
    body: Some(|draw| {
        let number = draw.random.below(1_000);
        json!({
            "name": format!("Reader {number}"),
            "username": format!("reader{number}"),
            "body": format!("What I read today, in short: {}.", draw.random.pick(&books::TOPICS)),
        })
    }),
    expected_status: 201,
    check: |answer, _| {
        ensure!(answer["success"] == true, "not a success: {answer}");
        Ok(())
    },
    ..GET
};

/// Each checks a password, which is meant to take time: four clients, as many as wait at once in practice.
const LOGIN: Workload = Workload {
    name: "login",
    method: "POST",
    path: |_| "/api/v1/auth/login".to_owned(),
    body: Some(|draw| json!({"email": draw.random.pick(&draw.facts.emails), "password": seed::PASSWORD})),
    variety: 500,
    connections: Some(4),
    check: |answer, _| {
        ensure!(answer["access_token"].is_string(), "no token");
        Ok(())
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

fn signed_in(draw: &mut Draw<'_>) -> Vec<(&'static str, String)> {
    vec![("Authorization", format!("Bearer {}", draw.random.pick(&draw.facts.tokens)))]
}

/// Within a tenth.
fn about(found: &Value, expected: usize) -> Result<()> {
    let found = found.as_u64().and_then(|found| usize::try_from(found).ok()).unwrap_or_default();
    ensure!(found.abs_diff(expected) <= expected.div_ceil(10), "{found} were found, not about {expected}");
    Ok(())
}

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
        for (name, value) in (self.headers)(draw) {
            request.push_str(&format!("{name}: {value}\r\n"));
        }
        if let Some(body) = self.body {
            let body = body(draw).to_string();
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
        Facts { books: 2_000, book_ids: vec![11, 22, 33], ..Facts::default() }
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
            body: Some(|_| json!({"name": "é"})),
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
