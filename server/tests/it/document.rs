//! The router and the OpenAPI document say the same, both ways.

use std::collections::BTreeSet;

use mainstay::prelude::*;
use mainstay_testkit::TestApp;
use serde_json::Value;

async fn boot() -> TestApp {
    TestApp::boot(mainstay::apps).await
}

#[tokio::test]
async fn every_route_is_documented_and_every_documented_route_exists() {
    let app = boot().await;
    let of_router: BTreeSet<_> = app
        .contract()
        .routes()
        .iter()
        .filter(|route| route.documented)
        .map(|route| (route.path.clone(), route.method.as_str().to_lowercase()))
        .collect();
    let paths = app.contract().document().json()["paths"].as_object().unwrap();
    let of_document: BTreeSet<_> = paths
        .iter()
        .flat_map(|(path, methods)| {
            methods.as_object().unwrap().keys().map(move |method| (path.clone(), method.clone()))
        })
        .collect();
    assert_eq!(of_router, of_document);

    // The record is not the router itself: each path must lead somewhere.
    for (path, method) in of_document {
        let path = path
            .split('/')
            .map(|part| if part.starts_with('{') { "1" } else { part })
            .collect::<Vec<_>>()
            .join("/");
        let reply = app.admin().await.raw(method.to_uppercase().parse().unwrap(), &path, &[], "").await;
        assert_ne!(reply.json["detail"], "Nothing is at this address.", "{method} {path}");
        assert_ne!(reply.status, 405, "{method} {path}");
    }
}

#[tokio::test]
async fn every_operation_tells_its_name_its_errors_and_its_security() {
    let app = boot().await;
    let document = app.contract().document().json();
    let mut names = BTreeSet::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            let what = format!("{method} {path}");
            assert!(
                names.insert(operation["operationId"].as_str().unwrap().to_owned()),
                "{what}: its name is taken"
            );
            assert!(
                operation["summary"].as_str().is_some_and(|text| !text.is_empty()),
                "{what} has no summary"
            );
            assert!(operation["security"].is_array(), "{what}");
            for status in ["500", "503"] {
                assert!(operation["responses"][status].is_object(), "{what} {status}");
            }
        }
    }
}

#[tokio::test]
async fn every_reference_of_the_document_leads_somewhere() {
    fn references(value: &Value, found: &mut BTreeSet<String>) {
        match value {
            Value::Object(map) => {
                if let Some(reference) = map.get("$ref").and_then(Value::as_str) {
                    found.insert(reference.to_owned());
                }
                map.values().for_each(|value| references(value, found));
            }
            Value::Array(items) => items.iter().for_each(|value| references(value, found)),
            _ => {}
        }
    }
    let app = boot().await;
    let document = app.contract().document().json();
    let mut found = BTreeSet::new();
    references(document, &mut found);
    assert!(!found.is_empty());
    for reference in found {
        assert!(document.pointer(reference.trim_start_matches('#')).is_some(), "{reference}");
    }
}

#[tokio::test]
async fn error_codes_are_unique_and_each_is_explained() {
    let backend = Backend::new(Config::defaults().set("secret_key", "for a test", "test").set(
        "database.url",
        "sqlite::memory:",
        "test",
    ))
    .unwrap()
    .with(Identity::new)
    .with(Organizations::new)
    .with(Library::new)
    .with(Blog::new)
    .with(Feed::new);
    let mut codes = BTreeSet::new();
    for kind in backend.problems() {
        assert!(codes.insert(kind.code), "{} is declared twice", kind.code);
        assert!(kind.help.ends_with('.') && !kind.title.ends_with('.'), "{}", kind.code);
    }
}

#[tokio::test]
async fn the_documents_pages_are_served_without_the_network() {
    let app = boot().await;
    let caller = app.anonymous();

    let page = caller.get("/docs").await;
    assert!(page.header("content-type").starts_with("text/html"));
    assert!(!page.text().contains("://"), "nothing is fetched from elsewhere: {}", page.text());
    assert!(!page.header("content-security-policy").contains("script-src 'self' 'unsafe-inline'"));
    assert!(caller.get("/docs/scalar.js").await.bytes.len() > 100_000);

    let errors = caller.get("/docs/errors").await.text();
    assert!(errors.contains("id=\"isbn_taken\"") && errors.contains("id=\"validation_failed\""));
    assert_eq!(caller.get("/openapi.json").await.json, *app.contract().document().json());
}
