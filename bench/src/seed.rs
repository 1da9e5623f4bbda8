//! Fills a database: books and products by the program's own commands, people and posts over HTTP.

use std::{
    net::SocketAddr,
    path::Path,
    sync::atomic::{AtomicUsize, Ordering},
};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::{
    books, client,
    random::Random,
    server::{Mainstay, Server},
    workload::Facts,
};

/// How much there is of everything.
#[derive(Debug, Clone, Copy, serde::Serialize)]
pub(crate) struct Amounts {
    pub(crate) books: usize,
    pub(crate) products: usize,
    pub(crate) users: usize,
}

/// Blog posts of each user.
pub(crate) const POSTS_EACH: usize = 20;

/// Everybody's.
pub(crate) const PASSWORD: &str = "benchmark phrase 4711";

const ADMIN: &str = "admin@bench.example";

/// Accounts whose tokens the workloads use, and that sign in.
const SIGNED_IN: usize = 100;

/// Requests at once while seeding: enough for commits to share a flush of the disk.
const AT_ONCE: usize = 16;

/// Tenths of a second that a request is tried for while the server is too busy for it.
const PATIENCE: u32 = 300;

/// Pages of a hundred whose ids are asked for.
const SAMPLED_PAGES: usize = 50;

/// How long the imports took.
#[derive(Debug, Clone, Copy, Default, serde::Serialize)]
pub(crate) struct Imports {
    pub(crate) books_s: f64,
    pub(crate) products_s: f64,
}

/// Migrates, imports books and products, makes the administrator.
pub(crate) async fn import(mainstay: &Mainstay, folder: &Path, amounts: Amounts) -> Result<Imports> {
    let scheme = mainstay.database_url.split(':').next().unwrap_or_default();
    eprintln!("importing {} books and {} products ({scheme})", amounts.books, amounts.products);
    mainstay.run(&["migrate", "up"]).await?;
    let file = |name: &str| {
        let path = folder.join(name);
        path.to_str().map(str::to_owned).context("the folder's name is not UTF-8")
    };
    let books = mainstay.run(&["library", "import", &file("books.csv")?]).await?;
    let products =
        mainstay.run(&["catalog", "import", &file("products.csv")?, "--create-categories"]).await?;
    mainstay.run(&["users", "create-admin", "--email", ADMIN, "--password", PASSWORD]).await?;
    Ok(Imports { books_s: books.as_secs_f64(), products_s: products.as_secs_f64() })
}

/// Registers the people, has each write their posts, and signs some of them in.
pub(crate) fn people(server: &Server, amounts: Amounts) -> Result<()> {
    eprintln!("registering {} people with {POSTS_EACH} posts each", amounts.users);
    let target = server.address;
    at_once(amounts.users, |number| {
        let email = email(number);
        let account = json!({"email": email, "password": PASSWORD, "name": format!("Person {number}")});
        call(target, "POST", "/api/v1/auth/register", &account, None, 201)?;
        let token = sign_in(target, &email)?;
        let mut random = Random::seeded(number as u64);
        for post in 0..POSTS_EACH {
            let (topic, other) = (random.pick(&books::TOPICS), random.pick(&books::TOPICS));
            let body = json!({
                "title": format!("{topic} and {other}, part {post} of {number}"),
                "content": format!("## On {topic}\n\n{}\n\nMore about *{other}* next time.", PARAGRAPH.repeat(3)),
                "published": true,
                "tags": [topic],
            });
            call(target, "POST", "/api/v1/blog/posts", &body, Some(&token), 201)?;
        }
        Ok(())
    })
}

const PARAGRAPH: &str = "It began with a question that nobody had asked before, and the answer was longer \
than anybody had time for. So it was written down, put aside, found again and made shorter. ";

/// What the workloads have to know of what is in the server's database.
pub(crate) fn facts(server: &Server, amounts: Amounts) -> Result<Facts> {
    let target = server.address;
    let emails: Vec<String> = (0..amounts.users.min(SIGNED_IN)).map(email).collect();
    let staff_token = sign_in(target, ADMIN)?;
    let key = |policy: &str| -> Result<String> {
        let body = json!({"name": policy, "scopes": ["read"]});
        let made = call(target, "POST", "/api/v1/auth/api-keys", &body, Some(&staff_token), 201)?;
        let path = format!("/api/v1/auth/api-keys/{}/limit", made["id"].as_str().unwrap_or_default());
        call(target, "PUT", &path, &json!({"policy": policy}), Some(&staff_token), 200)?;
        Ok(made["key"].as_str().context("no key")?.to_owned())
    };
    let (counted_key, blocked_key) = (key("counted")?, key("blocked")?);
    Ok(Facts {
        books: amounts.books,
        book_ids: sample(target, "/api/v1/books", amounts.books)?,
        products: amounts.products,
        product_ids: sample(target, "/api/v1/products", amounts.products)?,
        users: amounts.users,
        tokens: emails.iter().map(|email| sign_in(target, email)).collect::<Result<_>>()?,
        emails,
        staff_token,
        counted_key,
        blocked_key,
    })
}

/// Ids from random pages of a list whose length is known.
fn sample(target: SocketAddr, path: &str, count: usize) -> Result<Vec<i64>> {
    const PAGE_SIZE: usize = 100;
    let mut random = Random::seeded(7);
    let mut ids = Vec::with_capacity(SAMPLED_PAGES * PAGE_SIZE);
    for _ in 0..SAMPLED_PAGES {
        let page = 1 + random.below((count / PAGE_SIZE).max(1));
        let answer = client::get_json(target, &format!("{path}?page={page}&page_size={PAGE_SIZE}"))?;
        ensure!(
            answer["total"] == count,
            "{path} holds {}, not the {count} that were imported",
            answer["total"]
        );
        ids.extend(answer["items"].as_array().into_iter().flatten().filter_map(|item| item["id"].as_i64()));
    }
    ensure!(!ids.is_empty(), "GET {path} gave no ids");
    Ok(ids)
}

fn email(number: usize) -> String {
    format!("person{number}@bench.example")
}

fn sign_in(target: SocketAddr, email: &str) -> Result<String> {
    let body = json!({"email": email, "password": PASSWORD});
    let answer = call(target, "POST", "/api/v1/auth/login", &body, None, 200)?;
    Ok(answer["access_token"].as_str().context("no token")?.to_owned())
}

fn call(
    target: SocketAddr,
    method: &str,
    path: &str,
    body: &Value,
    token: Option<&str>,
    expected: u16,
) -> Result<Value> {
    let body = body.to_string();
    let authorization = token.map(|token| format!("Authorization: Bearer {token}\r\n")).unwrap_or_default();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: {target}\r\nConnection: close\r\n{authorization}\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let send = || client::send(target, &request).with_context(|| format!("{method} {path}"));
    let (mut status, mut answer) = send()?;
    // Passwords are checked a few at a time, and who would wait too long is told to come again.
    for _ in 0..PATIENCE {
        if status != 503 {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(100));
        (status, answer) = send()?;
    }
    ensure!(status == expected, "{method} {path} answered {status}: {}", client::excerpt(&answer));
    serde_json::from_slice(&answer).with_context(|| format!("{method} {path} answered no JSON"))
}

/// Does `count` things, several at once, until one fails.
fn at_once(count: usize, work: impl Fn(usize) -> Result<()> + Sync) -> Result<()> {
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..AT_ONCE)
            .map(|_| {
                scope.spawn(|| {
                    loop {
                        let number = next.fetch_add(1, Ordering::Relaxed);
                        if number >= count {
                            return Ok(());
                        }
                        if let Err(error) = work(number) {
                            // The others end too.
                            next.store(count, Ordering::Relaxed);
                            return Err(error);
                        }
                    }
                })
            })
            .collect();
        workers.into_iter().try_for_each(|worker| worker.join().expect("seeding does not panic"))
    })
}
