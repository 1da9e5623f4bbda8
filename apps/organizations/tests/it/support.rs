//! What the tests share.

use mainstay_organizations::Organizations;
use mainstay_testkit::{Client, Reply, TestApp, json};
use sea_orm::sea_query::{Expr, ExprTrait as _, Query};
use sea_orm::{ConnectionTrait as _, QueryResult};
use serde_json::Value;

/// Somebody with an account.
#[derive(Clone, Debug)]
pub struct Person {
    pub client: Client,
    pub id: String,
    pub email: String,
}

impl std::ops::Deref for Person {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.client
    }
}

pub async fn boot() -> TestApp {
    TestApp::boot(|backend| backend.with(Organizations::new)).await
}

pub async fn who(client: Client) -> Person {
    let me = client.get("/api/v1/auth/me").await.json;
    let text = |name: &str| me[name].as_str().unwrap().to_owned();
    Person { id: text("id"), email: text("email"), client }
}

pub async fn person(app: &TestApp) -> Person {
    who(app.user().await).await
}

pub async fn people<const N: usize>(app: &TestApp) -> [Person; N] {
    let mut people = Vec::new();
    for _ in 0..N {
        people.push(person(app).await);
    }
    people.try_into().unwrap()
}

/// A new organization's path.
pub async fn organization(founder: &Person, name: &str) -> String {
    let made = founder.post("/api/v1/organizations", json!({"name": name})).await;
    assert_eq!(made.status, 201, "{}", made.text());
    made.header("location").to_owned()
}

/// A new website's path.
pub async fn website(member: &Person, organization: &str, url: &str) -> String {
    let made = member.post(&format!("{organization}/websites"), json!({"name": "Site", "url": url})).await;
    assert_eq!(made.status, 201, "{}", made.text());
    made.header("location").to_owned()
}

/// An invitation to an organization or a website.
pub async fn invite(admin: &Person, place: &str, email: &str, role: &str) -> Reply {
    admin.post(&format!("{place}/invitations"), json!({"email": email, "role": role})).await
}

/// The token of a new invitation.
pub async fn token(admin: &Person, place: &str, email: &str, role: &str) -> String {
    let made = invite(admin, place, email, role).await;
    assert_eq!(made.status, 201, "{}", made.text());
    made.json["token"].as_str().unwrap().to_owned()
}

pub async fn accept(guest: &Person, token: &str) -> Reply {
    guest.post("/api/v1/invitations/accept", json!({"token": token})).await
}

/// Makes somebody a member, as in life.
pub async fn join(admin: &Person, place: &str, guest: &Person, role: &str) {
    let accepted = accept(guest, &token(admin, place, &guest.email, role).await).await;
    assert_eq!(accepted.status, 200, "{}", accepted.text());
}

/// Who is a member as what, by user id.
pub async fn roles(member: &Person, place: &str) -> Vec<(String, String)> {
    let list = member.get(&format!("{place}/members?page_size=100")).await;
    assert_eq!(list.status, 200, "{}", list.text());
    let text = |item: &Value, name: &str| item[name].as_str().unwrap().to_owned();
    list.json["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| (text(item, "user_id"), text(item, "role")))
        .collect()
}

pub fn outcome(reply: &Reply) -> (u16, &str) {
    (reply.status.as_u16(), reply.code())
}

/// The events so far that nobody has read yet, as kind and data, the oldest first.
pub async fn events(app: &TestApp) -> Vec<(String, Value)> {
    let query =
        Query::select().columns(["kind", "data"]).from("outbox").order_by("seq", sea_orm::Order::Asc).take();
    let rows = app.db().primary().query_all(&query).await.unwrap();
    let text = |row: &QueryResult, name: &str| row.try_get::<String>("", name).unwrap();
    rows.iter().map(|row| (text(row, "kind"), serde_json::from_str(&text(row, "data")).unwrap())).collect()
}

/// The audit entries of one request: action, target, changes and details.
pub async fn audited(app: &TestApp, reply: &Reply) -> Vec<(String, String, Value, Value)> {
    let query = Query::select()
        .columns(["action", "target", "changes", "details"])
        .from("audit_log")
        .and_where(Expr::col("request_id").eq(reply.header("x-request-id")))
        .order_by("seq", sea_orm::Order::Asc)
        .take();
    let rows = app.db().primary().query_all(&query).await.unwrap();
    let text = |row: &QueryResult, name: &str| row.try_get::<Option<String>>("", name).unwrap();
    let parsed = |row: &QueryResult, name: &str| {
        text(row, name).map_or(Value::Null, |text| serde_json::from_str(&text).unwrap())
    };
    rows.iter()
        .map(|row| {
            let plain = |name| text(row, name).unwrap();
            (plain("action"), plain("target"), parsed(row, "changes"), parsed(row, "details"))
        })
        .collect()
}
