//! The API's document and its pages, and whether the server is what they say.

use mainstay_e2e::{Site, Value};
use reqwest::Method;

const METHODS: [Method; 5] = [Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE];

#[tokio::test]
async fn the_document_is_the_same_from_the_server_and_from_the_command() {
    let site = Site::new();
    let server = site.serve().await;

    let served = server.client().get("/openapi.json").await;
    assert_eq!((served.status.as_u16(), served.header("content-type")), (200, "application/json"));
    let printed: Value = serde_json::from_str(&site.run(&["openapi"]).success()).unwrap();
    assert_eq!(served.json, printed);
}

/// The path with an id that no row has for each parameter.
fn concrete(template: &str) -> String {
    let part = |part: &str| if part.starts_with('{') { "999999999".to_owned() } else { part.to_owned() };
    template.split('/').map(part).collect::<Vec<_>>().join("/")
}

#[tokio::test]
async fn every_documented_operation_is_there_and_answers_what_its_document_says() {
    let server_site = Site::new();
    let server = server_site.serve().await;
    let client = server.client();
    let document = client.get("/openapi.json").await.json;

    let mut asked = 0;
    for (template, operations) in document["paths"].as_object().unwrap() {
        let path = concrete(template);
        for method in METHODS {
            let operation = &operations[method.as_str().to_lowercase()];
            if operation.is_null() {
                continue;
            }
            asked += 1;
            let reply = client.send(method.clone(), &path, &[], "").await;
            let what = format!("{method} {template}: {} {}", reply.status, reply.text());
            assert!(reply.json["detail"] != "Nothing is at this address.", "{what}");
            let documented = &operation["responses"][reply.status.as_str()];
            assert!(!documented.is_null(), "the document does not have this status\n{what}");
            let kind = reply.header("content-type").split(';').next().unwrap();
            let kinds = documented["content"].as_object().unwrap();
            assert!(kinds.contains_key(kind), "the document does not have {kind}\n{what}");
        }
    }
    assert!(asked >= 15, "{asked}");
}

#[tokio::test]
async fn every_listed_route_is_there() {
    let site = Site::new();
    let server = site.serve().await;
    for line in site.run(&["routes"]).success().lines() {
        let words: Vec<_> = line.split_whitespace().collect();
        let (method, path) = (words[0].parse().unwrap(), concrete(words[1]));
        let reply = server.client().send(method, &path, &[], "").await;
        assert!(reply.json["detail"] != "Nothing is at this address.", "{line}");
        assert_ne!(reply.status, 405, "{line}");
    }
}

#[tokio::test]
async fn the_reference_needs_no_network() {
    let site = Site::new();
    let server = site.serve().await;
    let client = server.client();

    let page = client.get("/docs").await;
    assert_eq!((page.status.as_u16(), page.header("content-type")), (200, "text/html; charset=utf-8"));
    let text = page.text();
    assert!(text.contains("/docs/scalar.js") && text.contains("/openapi.json"));
    assert!(!text.contains("src=\"http") && !text.contains("href=\"http"), "{text}");
    let policy = page.header("content-security-policy");
    assert!(policy.contains("default-src 'none'") && policy.contains("script-src 'self';"), "{policy}");

    let program = client.get("/docs/scalar.js").await;
    assert_eq!(program.status, 200);
    assert!(program.header("content-type").starts_with("text/javascript"));
    assert!(program.bytes.len() > 100_000, "{}", program.bytes.len());
}

#[tokio::test]
async fn the_type_of_a_problem_leads_to_its_description() {
    let site = Site::new();
    let server = site.serve().await;
    let client = server.client();

    let problem = client.get("/api/v1/auth/me").await;
    let (page, anchor) = problem.json["type"].as_str().unwrap().split_once('#').unwrap();
    let page = client.get(page).await;
    assert_eq!(page.status, 200);
    assert!(page.text().contains(&format!("id=\"{anchor}\"")));
}

#[tokio::test]
async fn requests_are_measured_by_route_and_not_by_path() {
    let site = Site::new();
    let server = site.serve().await;
    let client = server.client();
    for id in [1, 2, 3] {
        client.get(&format!("/api/v1/books/{id}")).await;
    }
    client.get("/made/up/by/a/client").await;

    let metrics = client.get("/metrics").await.text();
    let counted =
        r#"http_request_duration_seconds_count{method="GET",route="/api/v1/books/{id}",status="404"} 3"#;
    assert!(metrics.contains(counted), "{metrics}");
    assert!(!metrics.contains("made/up") && !metrics.contains("/books/2"), "{metrics}");
}
