//! Whoever has no business with a tenant reads nothing of it and changes nothing, on any route there is.
//!
//! The routes come from the router, so those of a new app are tried without a word here: ids in their paths are
//! the tenant's real ones (from the tables in `Tenant`, else from the list at the same path, else something is
//! made there), bodies are made up from the document. What an app keeps that nobody can make like that, a line
//! in `Tenant::settle_in` makes.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use http::Method;
use mainstay::http::RouteInfo;
use mainstay::identity::{Email, NewPassword, NewUser, Username};
use mainstay::organizations::domain::matrix::{MATRIX, Outcome, Standing};
use mainstay::prelude::*;
use mainstay_testkit::{Browser, Client, Reply, TestApp, json};
use sea_orm::sea_query::{Alias, Asterisk, Expr, ExprTrait as _, Query};
use sea_orm::{ConnectionTrait as _, QueryResult};
use serde_json::{Map, Value};

const PASSWORD: &str = "tests only 4711";
/// In made-up bodies: no attempt may succeed in removing who makes it.
const WRONG_PASSWORD: &str = "a wrong password 1";
const NOWHERE: &str = "0192f0c1-2f6e-7cc3-98c4-dc0c0c07398f";
const ORGANIZATION: &str = "Quayside Treasures";

/// Tables that note what was tried, or what the machinery does.
const LOGS: [&str; 3] = ["audit_log", "outbox", "login_locks"];

/// Somebody with an account.
struct Person {
    email: String,
    name: String,
    id: String,
    client: Client,
}

async fn person(app: &TestApp, username: &str, name: &str, roles: &[Role]) -> Person {
    let email = format!("{username}@people.example");
    let new = NewUser {
        email: Email::parse(&email).unwrap(),
        password: NewPassword::parse(PASSWORD).unwrap(),
        username: Some(Username::parse(username).unwrap()),
        name: Some(name.to_owned()),
        roles: Roles::of(roles),
        email_verified: true,
    };
    app.identity().accounts().register(&Actor::system("test"), new).await.unwrap();
    let client = sign_in(app, &email).await;
    let id = text(&client.get("/api/v1/auth/me").await, "id");
    Person { email, name: name.to_owned(), id, client }
}

async fn sign_in(app: &TestApp, email: &str) -> Client {
    let reply = pair(app, email).await;
    app.with_token(&text(&reply, "access_token"))
}

async fn pair(app: &TestApp, email: &str) -> Reply {
    app.anonymous().post("/api/v1/auth/login", json!({"email": email, "password": PASSWORD})).await
}

fn text(reply: &Reply, name: &str) -> String {
    reply.json[name]
        .as_str()
        .unwrap_or_else(|| panic!("no {name}: {} {}", reply.status, reply.text()))
        .to_owned()
}

async fn created(client: &Client, path: &str, body: Value) -> Reply {
    let reply = client.post(path, body).await;
    assert_eq!(reply.status, 201, "{path}: {}", reply.text());
    reply
}

/// The one whose things are at stake.
struct Tenant {
    /// An admin of the organization.
    vera: Person,
    /// Another one, whose account is disabled later.
    otto: Person,
    /// A user of the organization.
    uma: Person,
    /// A user of one website.
    wanda: Person,
    /// Runs the installation.
    root: Person,
    organization: String,
    website: String,
    /// Ids by where they stand: the segment before and the parameter's name, most special first.
    ids: Vec<(&'static str, &'static str, String)>,
    /// What nobody else may read.
    secrets: BTreeSet<String>,
    /// Those that a user of the website sees.
    of_website: BTreeSet<String>,
}

impl Tenant {
    async fn settle_in(app: &TestApp) -> Self {
        let vera = person(app, "vera-markham", "Vera Markham", &[Role::User]).await;
        let otto = person(app, "otto-brandt", "Otto Brandt", &[Role::User]).await;
        let uma = person(app, "uma-keller", "Uma Keller", &[Role::User]).await;
        let wanda = person(app, "wanda-novak", "Wanda Novak", &[Role::User]).await;
        let root = person(app, "root-of-all", "Root", &[Role::Admin]).await;

        let made = created(&vera.client, "/api/v1/organizations", json!({"name": ORGANIZATION})).await;
        let (place, organization) = (made.header("location").to_owned(), text(&made, "id"));
        let site = async |name: &str, url: &str| {
            let body = json!({"name": name, "url": url});
            created(&vera.client, &format!("{place}/websites"), body).await
        };
        let (first, second) = (
            site("Lantern Ledger", "https://lantern.quay.example/").await,
            site("Hidden Cove", "https://cove.quay.example/").await,
        );
        let (website, cove) = (text(&first, "id"), text(&second, "id"));
        let (lantern, hidden) = (first.header("location"), second.header("location"));
        let invite = async |base: &str, email: &str, role: &str| {
            created(&vera.client, &format!("{base}/invitations"), json!({"email": email, "role": role})).await
        };
        for (base, guest, role) in
            [(&*place, &otto, "admin"), (&place, &uma, "user"), (lantern, &wanda, "user")]
        {
            let token = text(&invite(base, &guest.email, role).await, "token");
            let reply = guest.client.post("/api/v1/invitations/accept", json!({"token": token})).await;
            assert_eq!(reply.status, 200, "{}", reply.text());
        }
        let to_place = text(&invite(&place, "first-guest@quay.example", "user").await, "id");
        let to_site = text(&invite(lantern, "second-guest@quay.example", "user").await, "id");
        let to_cove = text(&invite(hidden, "third-guest@quay.example", "user").await, "id");
        let key = text(
            &created(&vera.client, "/api/v1/auth/api-keys", json!({"name": "Harbor robot"})).await,
            "id",
        );
        let draft = json!({"title": "Quayside murmurs", "content": "Not for everybody yet."});
        let draft = created(&vera.client, "/api/v1/blog/posts", draft).await.json["id"].to_string();
        let session = vera.client.get("/api/v1/auth/sessions").await.json["items"][0]["id"].clone();

        let ids = vec![
            ("organizations", "id", organization.clone()),
            ("websites", "id", website.clone()),
            ("users", "id", vera.id.clone()),
            ("sessions", "id", session.as_str().unwrap().to_owned()),
            ("api-keys", "id", key.clone()),
            ("posts of the blog", "id", draft),
            ("members", "user_id", uma.id.clone()),
            ("invitations", "invitation_id", to_place.clone()),
            // Whoever has the token may read what it is for.
            ("invitations", "token", "a-token-that-nobody-has".to_owned()),
        ];
        let set = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<BTreeSet<_>>();
        let secrets = set(&[
            ORGANIZATION,
            "Lantern Ledger",
            "Hidden Cove",
            "lantern.quay.example",
            "cove.quay.example",
            "first-guest@quay.example",
            "second-guest@quay.example",
            "third-guest@quay.example",
            "Vera Markham",
            "Otto Brandt",
            "Uma Keller",
            "Wanda Novak",
            "Harbor robot",
            "Quayside murmurs",
            "quayside-murmurs",
            "Not for everybody yet",
            &vera.email,
            &otto.email,
            &uma.email,
            &wanda.email,
            &organization,
            &website,
            &cove,
            &to_place,
            &to_site,
            &to_cove,
            &key,
            &vera.id,
            &otto.id,
            &uma.id,
            &wanda.id,
        ]);
        let of_website = set(&[
            "Lantern Ledger",
            "lantern.quay.example",
            &organization,
            &website,
            "Wanda Novak",
            &wanda.email,
            &wanda.id,
        ]);
        let mut tenant =
            Self { vera, otto, uma, wanda, root, organization, website, ids, secrets, of_website };
        tenant.ids.push(("invitations of a website", "invitation_id", to_site));
        tenant
    }

    /// What is at stake when somebody tries: all but what says no more than who they are.
    fn without(&self, someone: Option<&Person>) -> BTreeSet<String> {
        let is_theirs = |secret: &String| {
            someone.is_some_and(|person| [&person.id, &person.email, &person.name].contains(&secret))
        };
        self.secrets.iter().filter(|secret| !is_theirs(secret)).cloned().collect()
    }

    fn known(&self, path: &str, segment: &str, parameter: &str) -> Option<String> {
        let of_website = path.contains("/websites/{id}");
        if of_website && parameter == "user_id" {
            return Some(self.wanda.id.clone());
        }
        let segment = match segment {
            "invitations" if of_website && parameter == "invitation_id" => "invitations of a website",
            "posts" if path.contains("/blog/posts") => "posts of the blog",
            segment => segment,
        };
        let found = self.ids.iter().find(|(of, name, _)| *of == segment && *name == parameter);
        found.map(|(_, _, id)| id.clone())
    }
}

/// What belongs to the tenant, row by row: all rows of all tables that name one of theirs.
async fn rows(app: &TestApp, secrets: &BTreeSet<String>) -> BTreeMap<String, Vec<String>> {
    let query = match app.db().dialect() {
        Dialect::Sqlite => Query::select()
            .column("name")
            .from("sqlite_master")
            .and_where(Expr::col("type").eq("table"))
            .take(),
        Dialect::Postgres => Query::select()
            .expr_as(Expr::col("table_name"), "name")
            .from((Alias::new("information_schema"), Alias::new("tables")))
            .and_where(Expr::col("table_type").eq("BASE TABLE"))
            .and_where(Expr::col("table_schema").is_not_in(["pg_catalog", "information_schema"]))
            .take(),
    };
    let connection = app.db().primary();
    let mut found = BTreeMap::new();
    for table in connection.query_all(&query).await.unwrap() {
        let table: String = table.try_get("", "name").unwrap();
        if LOGS.contains(&&*table) || table.starts_with("sqlite_") {
            continue;
        }
        let query = Query::select().column(Asterisk).from(Alias::new(&table)).take();
        // What an index of words keeps for itself; the words are in the table that it is over.
        if table.ends_with("_fts") || table.contains("_fts_") {
            continue;
        }
        let all = connection.query_all(&query).await;
        let all = all.unwrap_or_else(|error| panic!("what {table} holds can't be compared: {error}"));
        let mut rows: Vec<_> = all
            .iter()
            .map(shown)
            .filter(|row| secrets.iter().any(|secret| row.contains(&**secret)))
            .collect();
        rows.sort();
        found.insert(table, rows);
    }
    found
}

/// A row as text. That a credential was used is no change.
fn shown(row: &QueryResult) -> String {
    let mut columns = row.column_names();
    columns.sort();
    columns.retain(|name| !name.starts_with("last_used"));
    let value = |name: &str| {
        let uuid = row
            .try_get::<Option<sea_orm::prelude::Uuid>>("", name)
            .map(|value| value.map(|id| id.to_string()));
        let text = || row.try_get::<Option<String>>("", name);
        let number =
            || row.try_get::<Option<i64>>("", name).map(|value| value.map(|number| number.to_string()));
        let flag = || row.try_get::<Option<bool>>("", name).map(|value| value.map(|flag| flag.to_string()));
        let bytes =
            || row.try_get::<Option<Vec<u8>>>("", name).map(|value| value.map(|bytes| format!("{bytes:?}")));
        uuid.or_else(|_| text())
            .or_else(|_| number())
            .or_else(|_| flag())
            .or_else(|_| bytes())
            .unwrap_or_default()
    };
    columns.iter().map(|name| format!("{name}={:?}", value(name))).collect::<Vec<_>>().join(" ")
}

/// Makes a value that a schema allows, if it is not too particular.
fn made_up(document: &Value, schema: &Value, name: &str) -> Value {
    if let Some(path) = schema["$ref"].as_str() {
        let target = document.pointer(path.trim_start_matches('#')).unwrap_or(&Value::Null);
        return made_up(document, target, name);
    }
    for several in ["oneOf", "anyOf"] {
        if let Some(options) = schema[several].as_array() {
            let option = options.iter().find(|option| option["type"] != "null").unwrap_or(&Value::Null);
            return made_up(document, option, name);
        }
    }
    if let Some(parts) = schema["allOf"].as_array() {
        let mut all = Map::new();
        for part in parts {
            if let Value::Object(part) = made_up(document, part, name) {
                all.extend(part);
            }
        }
        return all.into();
    }
    // The last: of two roles that is the stronger one.
    if let Some(last) = schema["enum"].as_array().and_then(|values| values.last()) {
        return last.clone();
    }
    let kind = match &schema["type"] {
        Value::Array(kinds) => kinds.iter().find(|kind| **kind != "null").cloned().unwrap_or_default(),
        kind => kind.clone(),
    };
    match kind.as_str().unwrap_or("object") {
        "string" => made_up_text(schema, name).into(),
        "integer" | "number" => schema["minimum"].as_i64().filter(|least| *least > 1).unwrap_or(1).into(),
        "boolean" => true.into(),
        "array" => {
            let least = schema["minItems"].as_u64().unwrap_or(0);
            (0..least).map(|_| made_up(document, &schema["items"], name)).collect()
        }
        _ => {
            let required: Vec<_> =
                schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
            let properties = schema["properties"].as_object().into_iter().flatten();
            // A patch requires nothing, and should change something.
            let wanted =
                properties.filter(|(name, _)| required.is_empty() || required.contains(&name.as_str()));
            wanted
                .map(|(name, schema)| (name.clone(), made_up(document, schema, name)))
                .collect::<Map<_, _>>()
                .into()
        }
    }
}

fn made_up_text(schema: &Value, name: &str) -> String {
    let example = schema["examples"][0].as_str().or(schema["example"].as_str());
    match (schema["format"].as_str().unwrap_or_default(), name) {
        (_, "confirm") => ORGANIZATION.to_owned(),
        (_, "password" | "current_password") | ("password", _) => WRONG_PASSWORD.to_owned(),
        ("email", _) => "eve@attacker.example".to_owned(),
        ("uri", _) => "https://attacker.example/".to_owned(),
        ("uuid", _) => NOWHERE.to_owned(),
        ("date", _) => "2026-01-02".to_owned(),
        ("date-time", _) => "2999-01-02T03:04:05Z".to_owned(),
        _ => example.unwrap_or("attack").to_owned(),
    }
}

/// One request that can be made on a route.
#[derive(Clone, Debug)]
struct Request {
    route: RouteInfo,
    path: String,
    kind: &'static str,
    body: String,
}

/// A request to every route of the API.
async fn requests(app: &TestApp, tenant: &Tenant) -> Vec<Request> {
    let mut requests = Vec::new();
    for route in app.contract().routes().iter().filter(|route| !route.by_cookie) {
        let path = filled(app, tenant, &route.path, route.method == Method::GET || !route.documented).await;
        requests.push(request_to(app, route, path));
    }
    requests
}

fn request_to(app: &TestApp, route: &RouteInfo, mut path: String) -> Request {
    let document = app.contract().document().json();
    let nothing = Value::Null;
    let operation =
        app.contract().document().operation(route.method.as_str(), &route.path).unwrap_or(&nothing);
    let parameters = operation["parameters"].as_array().into_iter().flatten();
    let query: Vec<_> = parameters
        .filter(|parameter| parameter["in"] == "query" && parameter["required"] == true)
        .map(|parameter| {
            let name = parameter["name"].as_str().unwrap();
            let value = made_up(document, &parameter["schema"], name);
            (name, value.as_str().map_or_else(|| value.to_string(), str::to_owned))
        })
        .collect();
    if !query.is_empty() {
        path = format!("{path}?{}", encoded(&query));
    }
    let content = operation["requestBody"]["content"].as_object().and_then(|content| content.iter().next());
    let (kind, body) = match content {
        None => ("", String::new()),
        Some((kind, content)) => {
            let body = made_up(document, &content["schema"], "");
            if kind == "application/x-www-form-urlencoded" {
                let fields = body.as_object().cloned().unwrap_or_default();
                let pairs: Vec<_> = fields
                    .iter()
                    .map(|(name, value)| (name.as_str(), value.as_str().unwrap_or_default().to_owned()))
                    .collect();
                ("application/x-www-form-urlencoded", encoded(&pairs))
            } else {
                ("application/json", body.to_string())
            }
        }
    };
    Request { route: route.clone(), path, kind, body }
}

fn encoded(pairs: &[(&str, String)]) -> String {
    let plain = |text: &str| {
        text.bytes()
            .map(|byte| match byte {
                b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' | b'-' | b'_' | b'.' => char::from(byte).to_string(),
                _ => format!("%{byte:02X}"),
            })
            .collect::<String>()
    };
    pairs
        .iter()
        .map(|(name, value)| format!("{}={}", plain(name), plain(value)))
        .collect::<Vec<_>>()
        .join("&")
}

/// A route's path with ids of the tenant in it.
async fn filled(app: &TestApp, tenant: &Tenant, template: &str, may_be_unknown: bool) -> String {
    let mut path = String::new();
    let mut segment = "";
    for part in template.split('/').skip(1) {
        let Some(parameter) = part.strip_prefix('{').and_then(|part| part.strip_suffix('}')) else {
            segment = part;
            path = format!("{path}/{part}");
            continue;
        };
        let id = match tenant.known(template, segment, parameter) {
            Some(id) => Some(id),
            None => found_or_made(app, tenant, &path.replacen("/console/", "/api/v1/", 1), parameter).await,
        };
        assert!(
            id.is_some() || may_be_unknown || UNMAKEABLE.contains(&segment),
            "no {parameter} for {template}: let `Tenant::settle_in` make something that has one"
        );
        path = format!("{path}/{}", id.as_deref().unwrap_or(NOWHERE));
    }
    if template == "/" { template.to_owned() } else { path }
}

/// What is only there after something failed.
const UNMAKEABLE: [&str; 1] = ["dead-letters"];

/// The id of something in the collection at this path. It belongs to the tenant, or to the installation.
async fn found_or_made(app: &TestApp, tenant: &Tenant, collection: &str, parameter: &str) -> Option<String> {
    let id = |item: &Value| {
        let value = if item[parameter].is_null() { &item["id"] } else { &item[parameter] };
        value.as_str().map(str::to_owned).or_else(|| value.as_i64().map(|number| number.to_string()))
    };
    app.settle().await;
    for owner in [&tenant.vera, &tenant.root] {
        let list = owner.client.get(collection).await;
        let items = if list.json["items"].is_null() { &list.json["data"] } else { &list.json["items"] };
        if let Some(id) = id(&items[0]) {
            return Some(id);
        }
    }
    let routes = app.contract().routes();
    let route = routes.iter().find(|route| route.path == collection && route.method == Method::POST)?;
    let request = request_to(app, route, collection.to_owned());
    for owner in [&tenant.vera, &tenant.root] {
        let made = owner
            .client
            .raw(Method::POST, collection, &[("content-type", request.kind)], request.body.clone())
            .await;
        if let Some(id) = id(&made.json).or_else(|| id(&made.json["data"])) {
            return Some(id);
        }
    }
    None
}

/// Fails if an answer has something of the tenant that was not in the request.
fn keeps_secrets(what: &str, path: &str, reply: &Reply, secrets: &BTreeSet<String>) {
    let headers =
        reply.headers.iter().map(|(_, value)| String::from_utf8_lossy(value.as_bytes()).into_owned());
    let all = headers.chain([reply.text()]).collect::<Vec<_>>().join("\n");
    for secret in secrets.iter().filter(|secret| !path.contains(&***secret)) {
        assert!(!all.contains(&**secret), "{what} shows {secret:?}: {all}");
    }
}

async fn send(client: &Client, request: &Request, credentials: &[(&str, &str)]) -> Reply {
    let mut headers = credentials.to_vec();
    if !request.kind.is_empty() {
        headers.push(("content-type", request.kind));
    }
    client.raw(request.route.method.clone(), &request.path, &headers, request.body.clone()).await
}

async fn boot() -> (TestApp, Tenant) {
    let app = TestApp::boot(mainstay::apps).await;
    let tenant = Tenant::settle_in(&app).await;
    (app, tenant)
}

/// Fails if something of the tenant is not as it was.
async fn unchanged(
    what: &str,
    app: &TestApp,
    secrets: &BTreeSet<String>,
    before: &BTreeMap<String, Vec<String>>,
) {
    let after = rows(app, secrets).await;
    for (table, rows) in before {
        assert_eq!(&after[table], rows, "{what} changed the table {table}");
    }
}

#[tokio::test]
async fn credentials_that_are_not_good_open_nothing() {
    let (app, tenant) = boot().await;
    let (vera, root) = (&tenant.vera, &tenant.root);
    let requests = requests(&app, &tenant).await;
    assert!(requests.len() > 60, "{}", requests.len());
    let expired = vera.client.token().unwrap().to_owned();
    let of_root = root.client.token().unwrap().to_owned();
    app.advance(Duration::from_secs(20 * 60));

    let in_use = pair(&app, &vera.email).await;
    let signed_out = sign_in(&app, &vera.email).await;
    assert_eq!(signed_out.post("/api/v1/auth/logout", json!({})).await.status, 204);
    let disabled = sign_in(&app, &tenant.otto.email).await;
    let admin = sign_in(&app, &root.email).await;
    let off = admin
        .patch(
            &format!("/api/v1/users/{}", tenant.otto.id),
            &[("if-match", "*")],
            json!({"is_active": false}),
        )
        .await;
    assert_eq!(off.status, 200, "{}", off.text());
    let service = created(&admin, "/api/v1/auth/services", json!({"name": "gateway"})).await;
    let pair_of_service = format!("{}:{}", text(&service, "client_id"), text(&service, "client_secret"));
    let basic = format!("Basic {}", STANDARD.encode(pair_of_service));
    let elsewhere = TestApp::boot(mainstay::apps).await;
    let foreign = person(&elsewhere, "vera-markham", "Vera Markham", &[Role::Admin]).await.client;
    let good = text(&in_use, "access_token");

    let bearer = |token: &str| format!("Bearer {token}");
    let bad = [
        ("an expired token", bearer(&expired)),
        ("an expired token of an admin", bearer(&of_root)),
        ("a token that was signed out", bearer(signed_out.token().unwrap())),
        ("the token of a disabled account", bearer(disabled.token().unwrap())),
        ("a refresh token", bearer(&text(&in_use, "refresh_token"))),
        ("the token of another installation", bearer(foreign.token().unwrap())),
        ("an unsigned token", bearer(&resigned(&good, |header, _| header["alg"] = json!("none"), false))),
        ("a token of another kind", bearer(&resigned(&good, |header, _| header["typ"] = json!("JWT"), true))),
        (
            "a token of another issuer",
            bearer(&resigned(&good, |_, claims| claims["iss"] = json!("https://evil.example"), true)),
        ),
        (
            "a token for somebody else",
            bearer(&resigned(&good, |_, claims| claims["aud"] = json!("another"), true)),
        ),
        (
            "a token whose user was changed",
            bearer(&resigned(&good, |_, claims| claims["sub"] = json!(root.id), true)),
        ),
        ("a service's credential", basic),
    ];
    let before = rows(&app, &tenant.secrets).await;
    for (who, header) in &bad {
        for request in &requests {
            let what = format!("{} {} with {who}", request.route.method, request.path);
            let reply = send(&app.anonymous(), request, &[("authorization", header)]).await;
            keeps_secrets(&what, &request.path, &reply, &tenant.secrets);
            // The way to new credentials passes over old ones; a service's own routes take its credential.
            let passes = request.route.access.is_open()
                || (request.route.access == Access::Service && header.starts_with("Basic"));
            assert!(passes || reply.status == 401, "{what}: {} {}", reply.status, reply.text());
        }
        unchanged(who, &app, &tenant.secrets, &before).await;
    }

    // A key can't be used for what would let it outgrow itself.
    let key = text(
        &created(&app.with_token(&good), "/api/v1/auth/api-keys", json!({"name": "Robot"})).await,
        "key",
    );
    let before = rows(&app, &tenant.secrets).await;
    let mut tried = 0;
    for request in requests
        .iter()
        .filter(|request| matches!(request.route.access, Access::Session | Access::AdminSession))
    {
        let reply = send(&app.with_token(&key), request, &[]).await;
        assert_eq!(
            (reply.status.as_u16(), reply.code()),
            (403, "forbidden"),
            "{} {}",
            request.route.method,
            request.path
        );
        tried += 1;
    }
    assert!(tried > 5, "{tried}");
    unchanged("an API key", &app, &tenant.secrets, &before).await;
}

/// The token with something else in it. What is signed is another text then, whatever the signature.
fn resigned(token: &str, change: impl Fn(&mut Value, &mut Value), signature: bool) -> String {
    let parts: Vec<_> = token.split('.').collect();
    let read = |part: &str| serde_json::from_slice::<Value>(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap();
    let (mut header, mut claims) = (read(parts[0]), read(parts[1]));
    change(&mut header, &mut claims);
    let write = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    format!("{}.{}.{}", write(&header), write(&claims), if signature { parts[2] } else { "" })
}

/// Whether the matrix lets somebody do this.
fn allowed(route: &RouteInfo, standing: Standing) -> bool {
    let path = route.path.trim_start_matches("/api/v1");
    let rule = MATRIX.iter().find(|rule| rule.method == route.method.as_str() && rule.path == path);
    rule.is_some_and(|rule| rule.outcomes[standing as usize] == Outcome::Allow)
}

#[tokio::test]
async fn nobody_reads_or_changes_what_is_another_tenants() {
    let (app, tenant) = boot().await;
    let mallory = person(&app, "mallory-quick", "Mallory", &[Role::User]).await;
    created(&mallory.client, "/api/v1/organizations", json!({"name": "Mallory's own"})).await;
    let requests = requests(&app, &tenant).await;
    let hidden_from_wanda: BTreeSet<_> = tenant.secrets.difference(&tenant.of_website).cloned().collect();
    let none = BTreeSet::new();

    let cases = [
        ("nobody", None, None, &tenant.secrets),
        ("another tenant", Some(&mallory), Some(Standing::None), &tenant.secrets),
        ("a user of the website", Some(&tenant.wanda), Some(Standing::WebsiteUser), &hidden_from_wanda),
        ("a user of the organization", Some(&tenant.uma), Some(Standing::OrganizationUser), &none),
    ];
    let whole = rows(&app, &tenant.secrets).await;
    for (who, someone, standing, secrets) in cases {
        let stake = tenant.without(someone);
        let before = rows(&app, &stake).await;
        let mut client = app.anonymous();
        for request in &requests {
            let reads = matches!(request.route.method, Method::GET | Method::HEAD);
            let about_it =
                [&tenant.organization, &tenant.website].iter().any(|id| request.path.contains(&***id));
            // What they may do is theirs to do; and what they do to their own account is no attack.
            let may = standing.is_some_and(|standing| allowed(&request.route, standing));
            let own = request.path.ends_with("/auth/me")
                && matches!(who, "a user of the website" | "a user of the organization");
            if !reads && ((may && about_it) || own) {
                continue;
            }
            if let Some(Person { email, .. }) = someone
                && client.get("/api/v1/auth/me").await.status != 200
            {
                client = sign_in(&app, email).await;
            }
            let reply = send(&client, request, &[]).await;
            let what = format!("{} {} as {who}", request.route.method, request.path);
            keeps_secrets(&what, &request.path, &reply, secrets);
            if about_it && !may {
                let refused = if standing.is_none() { &[401][..] } else { &[403, 404, 405] };
                assert!(
                    refused.contains(&reply.status.as_u16()),
                    "{what}: {} {}",
                    reply.status,
                    reply.text()
                );
            }
        }
        unchanged(who, &app, &stake, &before).await;
    }

    // The same requests of one who may: they do read and change, so that nothing above is idle. Who has left
    // may nothing any more, so what takes away comes last.
    let mut seen = BTreeSet::new();
    let (last, first): (Vec<_>, Vec<_>) =
        requests.iter().partition(|request| request.route.method == Method::DELETE);
    let all: Vec<_> = first.into_iter().chain(last).collect();
    for (owner, request) in
        [&tenant.vera, &tenant.root].iter().flat_map(|owner| all.iter().map(move |request| (owner, request)))
    {
        let client = sign_in(&app, &owner.email).await;
        let reply = send(&client, request, &[]).await;
        seen.extend(tenant.secrets.iter().filter(|secret| reply.text().contains(&***secret)).cloned());
    }
    assert!(seen.len() > tenant.secrets.len() / 2, "{seen:?}");
    let after = rows(&app, &tenant.secrets).await;
    for table in [
        "organizations",
        "websites",
        "organization_members",
        "website_members",
        "invitations",
        "api_keys",
        "users",
        "blog_posts",
    ] {
        assert_ne!(after[table], whole[table], "{table} was at stake");
    }
}

/// Somebody's browser, signed in.
async fn browser(app: &TestApp, email: &str) -> Browser {
    let mut browser = app.browser();
    browser.open("/login").await;
    let reply = browser.submit("/login", &[("name", email), ("password", PASSWORD)]).await;
    assert_eq!(reply.status, 303, "{}", reply.text());
    browser
}

/// A form that asks for anything.
fn attempt(id: &str) -> [(&'static str, &str); 17] {
    [
        ("name", "attack"),
        ("url", "https://attacker.example/"),
        ("description", ""),
        ("email", "eve@attacker.example"),
        ("role", "user"),
        ("seen", "user"),
        ("version", "1"),
        ("confirm", ORGANIZATION),
        ("id", id),
        ("token", "x"),
        ("password", WRONG_PASSWORD),
        ("current_password", WRONG_PASSWORD),
        ("new_password", "another fine engine"),
        ("username", "attacker-9"),
        ("scope", "*"),
        ("days", "30"),
        ("organization_name", "Attackers"),
    ]
}

#[tokio::test]
async fn no_page_shows_or_changes_what_is_another_tenants() {
    let (app, tenant) = boot().await;
    let mallory = person(&app, "mallory-quick", "Mallory", &[Role::User]).await;
    let hidden_from_wanda: BTreeSet<_> = tenant.secrets.difference(&tenant.of_website).cloned().collect();
    let mut pages = Vec::new();
    for route in app.contract().routes().iter().filter(|route| route.by_cookie) {
        pages.push((route.clone(), filled(&app, &tenant, &route.path, true).await));
    }
    assert!(pages.len() > 40, "{}", pages.len());
    let of_tenant =
        |segment| tenant.ids.iter().find(|(of, ..)| *of == segment).map(|(.., id)| id.clone()).unwrap();

    let mut ended = browser(&app, &tenant.vera.email).await;
    ended.open("/console/account").await;
    let cookie = ended.cookie("mainstay").unwrap().to_owned();
    ended.submit("/logout", &[]).await;
    ended.set_cookie("mainstay", &cookie);
    let disabled = browser(&app, &tenant.otto.email).await;
    let off = json!({"is_active": false});
    let path = format!("/api/v1/users/{}", tenant.otto.id);
    assert_eq!(tenant.root.client.patch(&path, &[("if-match", "*")], off).await.status, 200);
    let mut with_token = app.browser();
    with_token.set_cookie("mainstay", tenant.vera.client.token().unwrap());

    let website = format!("/console/websites/{}", tenant.website);
    let cases = [
        ("nobody", app.browser(), None, &tenant.secrets),
        ("a session that ended", ended, None, &tenant.secrets),
        ("a disabled account", disabled, None, &tenant.secrets),
        ("an access token for a cookie", with_token, None, &tenant.secrets),
        ("another tenant", browser(&app, &mallory.email).await, Some(&mallory), &tenant.secrets),
        (
            "a user of the website",
            browser(&app, &tenant.wanda.email).await,
            Some(&tenant.wanda),
            &hidden_from_wanda,
        ),
    ];
    for (who, mut one, someone, secrets) in cases {
        let stake = tenant.without(someone);
        let before = rows(&app, &stake).await;
        let email = someone.map(|person| &person.email);
        for (route, path) in &pages {
            let reply = one.open(path).await;
            let what = format!("GET {path} as {who}");
            keeps_secrets(&what, path, &reply, secrets);
            let closed = email.is_none() && !route.access.is_open();
            assert!(!closed || reply.header("location").starts_with("/login"), "{what}: {}", reply.status);
            // Theirs to do.
            if who == "a user of the website"
                && (path == &website
                    || path == &format!("{website}/leave")
                    || path.starts_with("/console/account/profile"))
            {
                continue;
            }
            if one.open("/console/account").await.status != 200 {
                match email {
                    Some(email) => one = browser(&app, email).await,
                    None => drop(one.open("/login").await),
                }
                if email.is_some() {
                    one.open("/console/account").await;
                }
            }
            let id = of_tenant(if path.contains("/keys") { "api-keys" } else { "sessions" });
            let fields = attempt(&id);
            let reply = one.submit(path, &fields).await;
            let what = format!("POST {path} as {who}");
            keeps_secrets(&what, path, &reply, secrets);
            let about_it = [&tenant.organization, &tenant.website].iter().any(|id| path.contains(&***id));
            if about_it {
                let signed_out = email.is_none() && reply.header("location").starts_with("/login");
                let refused = [403, 404, 405].contains(&reply.status.as_u16()) || signed_out;
                assert!(refused, "{what}: {} {}", reply.status, reply.text());
            }
        }
        unchanged(who, &app, &stake, &before).await;
    }

    // The same of one who may: their pages do show and change, so that nothing above is idle. What takes away
    // comes last.
    let whole = rows(&app, &tenant.secrets).await;
    let mut vera = browser(&app, &tenant.vera.email).await;
    let mut seen = BTreeSet::new();
    for (_, path) in &pages {
        let shown = vera.open(path).await.text();
        seen.extend(tenant.secrets.iter().filter(|secret| shown.contains(&***secret)).cloned());
    }
    assert!(seen.len() > tenant.secrets.len() / 2, "{seen:?}");
    let takes_away = |path: &str| {
        ["delete", "leave", "remove", "revoke", "logout", "sessions"].iter().any(|end| path.contains(end))
    };
    let (last, first): (Vec<_>, Vec<_>) = pages.iter().partition(|(_, path)| takes_away(path));
    for (_, path) in first.into_iter().chain(last) {
        if vera.open("/console/account").await.status != 200 {
            vera = browser(&app, &tenant.vera.email).await;
            vera.open("/console/account").await;
        }
        let id = of_tenant(if path.contains("/keys") { "api-keys" } else { "sessions" });
        vera.submit(path, &attempt(&id)).await;
    }
    let after = rows(&app, &tenant.secrets).await;
    for table in ["organizations", "websites", "organization_members", "invitations", "api_keys"] {
        assert_ne!(after[table], whole[table], "{table} was at stake");
    }
}
