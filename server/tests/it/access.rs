//! Every route's access rule holds, whatever its handler does.

use http::Method;
use mainstay::prelude::*;
use mainstay_testkit::{TestApp, json};
use serde_json::Value;

/// The route's path with something that looks like an id in it.
fn concrete(path: &str) -> String {
    path.split('/').map(|part| if part.starts_with('{') { "1" } else { part }).collect::<Vec<_>>().join("/")
}

#[tokio::test]
async fn every_route_refuses_those_it_is_not_for() {
    let app = TestApp::boot(mainstay::apps).await;
    let (anonymous, user, staff) = (app.anonymous(), app.user().await, app.staff().await);
    let routes: Vec<_> = app.contract().routes().iter().filter(|route| !route.by_cookie).cloned().collect();
    assert!(routes.iter().any(|route| route.access == Access::Staff), "there is something to refuse");

    for route in routes {
        let path = concrete(&route.path);
        let what = format!("{} {path}", route.method);
        if !route.access.is_open() {
            let reply = anonymous.raw(route.method.clone(), &path, &[], "").await;
            assert_eq!((reply.status.as_u16(), reply.code()), (401, "unauthenticated"), "{what}");
            let reply = app.with_token("forged").raw(route.method.clone(), &path, &[], "").await;
            assert_eq!(reply.status.as_u16(), 401, "{what} with a forged token");
        }
        for (caller, role) in [(&user, Role::User), (&staff, Role::Staff)] {
            if route.access.role().is_some_and(|needed| needed > role) {
                let reply = caller.raw(route.method.clone(), &path, &[], "").await;
                assert_eq!((reply.status.as_u16(), reply.code()), (403, "forbidden"), "{what} as {role}");
            }
        }
    }
}

/// Whether a key with one scope may be used for a route, written as a table of its own.
fn covers(scope: &str, area: &str, reads: bool) -> bool {
    match scope.split_once(':') {
        None => scope == "*" || (scope == "read" && reads),
        Some((of, verb)) => of == area && (verb == "write" || reads),
    }
}

#[tokio::test]
async fn every_route_holds_api_keys_to_their_scopes() {
    let app = TestApp::boot(mainstay::apps).await;
    let admin = app.admin().await;
    let mut refused = 0;
    for scope in ["*", "read", "library:read", "library:write", "identity:read", "identity:write"] {
        let body = json!({"name": scope, "scopes": [scope]});
        let made = admin.post("/api/v1/auth/api-keys", body).await;
        let robot = app.with_token(made.json["key"].as_str().expect("a key"));
        for route in app.contract().routes().iter().filter(|route| !route.by_cookie) {
            let path = concrete(&route.path);
            let what = format!("{} {path} with {scope}", route.method);
            let reply = robot.raw(route.method.clone(), &path, &[], "").await;
            let expected = match route.access {
                // Those that take something else say themselves what is missing.
                Access::Anybody => continue,
                Access::Public | Access::Identified => "",
                Access::Session | Access::AdminSession => "forbidden",
                Access::Service => "unauthenticated",
                Access::SignedIn | Access::Staff | Access::Admin => {
                    if covers(scope, &route.area, route.method == Method::GET) {
                        ""
                    } else {
                        "insufficient_scope"
                    }
                }
            };
            let code = reply.code();
            let refusal = if ["forbidden", "unauthenticated", "insufficient_scope"].contains(&code) {
                code
            } else {
                ""
            };
            assert_eq!(refusal, expected, "{what}: {}", reply.text());
            refused += usize::from(expected == "insufficient_scope");
        }
    }
    assert!(refused > 10, "{refused}");
}

#[tokio::test]
async fn every_route_that_a_key_may_need_a_scope_for_says_so() {
    let app = TestApp::boot(mainstay::apps).await;
    for route in app.contract().routes().iter().filter(|route| route.documented) {
        let operation = app.contract().document().operation(route.method.as_str(), &route.path);
        let operation = operation.expect("it is documented");
        let verb = if route.method == Method::GET { "read" } else { "write" };
        let expected = match route.access {
            Access::Public
            | Access::Anybody
            | Access::Identified
            | Access::Session
            | Access::AdminSession
            | Access::Service => Value::Null,
            Access::SignedIn | Access::Staff | Access::Admin => format!("{}:{verb}", route.area).into(),
        };
        assert_eq!(operation["x-required-scope"], expected, "{} {}", route.method, route.path);
    }
}

#[tokio::test]
async fn a_refusal_comes_before_the_body_is_looked_at() {
    let app = TestApp::boot(mainstay::apps).await;
    let reply = app.anonymous().raw(Method::POST, "/api/v1/books", &[], "not even JSON").await;
    assert_eq!(reply.status, 401);
}

#[tokio::test]
async fn every_page_wants_the_cookie_and_every_change_a_page_of_ours() {
    let app = TestApp::boot(mainstay::apps).await;
    let (anonymous, admin) = (app.anonymous(), app.admin().await);
    let pages: Vec<_> = app.contract().routes().iter().filter(|route| route.by_cookie).cloned().collect();
    assert!(pages.len() > 10, "{}", pages.len());
    let mut changing = 0;
    for page in pages {
        let path = concrete(&page.path);
        for caller in [&anonymous, &admin, &app.with_token("forged")] {
            let reply = caller.get(&path).await;
            if !page.access.is_open() {
                assert_eq!(reply.status, 303, "{path}");
                assert!(reply.header("location").starts_with("/login?next="), "{path}");
            }
            assert_ne!(reply.header("content-type"), "application/problem+json", "{path}");
            let form = [("content-type", "application/x-www-form-urlencoded")];
            let reply = caller.raw(Method::POST, &path, &form, "form_token=x").await;
            assert!([403, 405].contains(&reply.status.as_u16()), "POST {path}: {}", reply.status);
            assert_eq!(reply.header("content-type"), "text/html; charset=utf-8", "POST {path}");
            changing += usize::from(reply.status == 403);
        }
    }
    assert!(changing > 20, "{changing}");
}

#[tokio::test]
async fn every_page_carries_the_one_policy_and_needs_no_other() {
    let app = TestApp::boot(mainstay::apps).await;
    app.admin().await;
    let mut browser = app.browser();
    browser.open("/login").await;
    let fields = [("name", "admin-0"), ("password", "tests only 4711")];
    assert_eq!(browser.submit("/login", &fields).await.status, 303);
    let policy = browser.open("/console/account").await.header("content-security-policy").to_owned();
    assert!(policy.starts_with("default-src 'none';"), "{policy}");
    let mut shown = 0;
    for page in app.contract().routes().iter().filter(|route| route.by_cookie) {
        let path = concrete(&page.path);
        for reply in [browser.open(&path).await, app.anonymous().get(&path).await] {
            if !reply.header("content-type").starts_with("text/html") {
                continue;
            }
            assert_eq!(reply.header("content-security-policy"), policy, "{path}");
            let text = reply.text();
            for inline in
                ["<script", "<style", " style=", " onclick=", " onload=", " onerror=", "javascript:", "data:"]
            {
                assert!(!text.contains(inline), "{path} has {inline}");
            }
            shown += 1;
        }
    }
    assert!(shown > 30, "{shown}");
}
