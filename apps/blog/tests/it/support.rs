//! What the tests share.

use mainstay_blog::Blog;
use mainstay_testkit::{Client, Reply, TestApp, json};
use sea_orm::ConnectionTrait as _;
use sea_orm::sea_query::{Alias, Asterisk, Expr, ExprTrait as _, Func, Query};
use serde_json::Value;

pub const POSTS: &str = "/api/v1/blog/posts";

/// Somebody with an account.
#[derive(Clone, Debug)]
pub struct Person {
    pub client: Client,
    pub id: String,
    pub username: String,
}

impl std::ops::Deref for Person {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.client
    }
}

pub async fn boot() -> TestApp {
    TestApp::boot(|backend| backend.with(Blog::new)).await
}

pub async fn who(client: Client) -> Person {
    let me = client.get("/api/v1/auth/me").await.json;
    let text = |name: &str| me[name].as_str().unwrap().to_owned();
    Person { id: text("id"), username: text("username"), client }
}

/// Writes a post and gives what was answered.
pub async fn write(author: &Client, body: Value) -> Reply {
    let reply = author.post(POSTS, body).await;
    assert_eq!(reply.status, 201, "{}", reply.text());
    reply
}

/// Writes a published post with this title; gives its path.
pub async fn publish(author: &Client, title: &str) -> String {
    write(author, json!({"title": title, "content": "Text.", "published": true}))
        .await
        .header("location")
        .to_owned()
}

/// Writes a draft with this title; gives its path.
pub async fn draft(author: &Client, title: &str) -> String {
    write(author, json!({"title": title, "content": "Text."})).await.header("location").to_owned()
}

pub fn titles(reply: &Reply) -> Vec<&str> {
    assert_eq!(reply.status, 200, "{}", reply.text());
    reply.json["items"].as_array().unwrap().iter().map(|post| post["title"].as_str().unwrap()).collect()
}

/// How many statements the server sent so far.
pub async fn statements(app: &TestApp) -> u64 {
    let metrics = app.anonymous().get("/metrics").await.text();
    let line = metrics.lines().find(|line| line.starts_with("mainstay_db_query_duration_seconds_count"));
    let line =
        line.or_else(|| metrics.lines().find(|line| line.starts_with("db_query_duration_seconds_count")));
    line.unwrap().rsplit(' ').next().unwrap().parse().unwrap()
}

/// What the totals say, and what is there: drafts and published posts.
pub async fn totals(app: &TestApp) -> [(i64, i64); 2] {
    let connection = app.db().primary();
    let mut both = [(0, 0); 2];
    for (published, numbers) in [false, true].into_iter().zip(&mut both) {
        let is = Expr::col(Alias::new("published")).eq(published);
        let kept = Query::select().column("posts").from("blog_totals").and_where(is.clone()).take();
        let count = Func::count(Expr::col(Asterisk));
        let there = Query::select().expr(count).from("blog_posts").and_where(is).take();
        let number = async |select| {
            let row = connection.query_one(&select).await.unwrap().unwrap();
            row.try_get_by_index::<i64>(0).unwrap()
        };
        *numbers = (number(kept).await, number(there).await);
    }
    both
}
