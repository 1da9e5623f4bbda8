//! Websites as a client meets them.

use std::time::Duration;

use mainstay_testkit::json;
use serde_json::Value;

use crate::support::{Person, audited, boot, events, join, organization, outcome, people, website};

#[tokio::test]
async fn a_website_is_added_read_changed_and_deleted() {
    let app = boot().await;
    let [ada] = people(&app).await;
    let path = organization(&ada, "Harbor").await;
    let body =
        json!({"name": "Ferries", "url": "HTTPS://Ferries.Example:443/a#times", "description": "Departures"});

    let made = ada.post(&format!("{path}/websites"), body).await;
    assert_eq!((made.status.as_u16(), made.header("etag")), (201, "\"1\""));
    assert_eq!(made.json["url"], "https://ferries.example/a");
    let site = made.header("location").to_owned();
    assert_eq!(ada.get(&site).await.json, made.json);
    assert_eq!(ada.get_with(&site, &[("if-none-match", "\"1\"")]).await.status, 304);

    let changed =
        ada.patch(&site, &[("if-match", "\"1\"")], json!({"description": null, "name": "Boats"})).await;
    assert_eq!((changed.status.as_u16(), changed.header("etag")), (200, "\"2\""));
    assert_eq!((&changed.json["description"], &changed.json["name"]), (&json!(null), &json!("Boats")));
    let entry = audited(&app, &changed).await.remove(0);
    assert_eq!(entry.2["description"], json!({"before": "Departures", "after": null}));
    assert_eq!(
        outcome(&ada.patch(&site, &[("if-match", "\"1\"")], json!({"name": "X"})).await),
        (412, "stale")
    );
    assert_eq!(ada.patch(&site, &[], json!({"url": null})).await.faults(), [("url", "required")]);

    assert_eq!(outcome(&ada.delete(&site, &[("if-match", "\"1\"")]).await), (412, "stale"));
    assert_eq!(ada.delete(&site, &[]).await.status, 204);
    assert_eq!(outcome(&ada.get(&site).await), (404, "website_not_found"));
    let kinds: Vec<_> = events(&app).await.into_iter().map(|(kind, _)| kind).collect();
    assert!(
        kinds.ends_with(&["website.created", "website.updated", "website.deleted"].map(str::to_owned)),
        "{kinds:?}"
    );
}

#[tokio::test]
async fn an_address_is_taken_within_its_organization_only() {
    let app = boot().await;
    let [ada] = people(&app).await;
    let (one, two) = (organization(&ada, "One").await, organization(&ada, "Two").await);
    website(&ada, &one, "https://harbor.example/").await;
    website(&ada, &two, "https://harbor.example/").await;
    let other = website(&ada, &one, "https://other.example/").await;

    let body = json!({"name": "Again", "url": "https://HARBOR.example#x"});
    let taken = ada.post(&format!("{one}/websites"), body).await;
    assert_eq!((outcome(&taken), taken.faults()), ((409, "url_taken"), vec![("url", "url_taken")]));
    let moved = ada.patch(&other, &[], json!({"url": "https://harbor.example/"})).await;
    assert_eq!(outcome(&moved), (409, "url_taken"));
}

#[tokio::test]
async fn every_fault_is_told_at_once() {
    let app = boot().await;
    let [ada] = people(&app).await;
    let path = organization(&ada, "One").await;
    let body = json!({"name": "x".repeat(101), "url": "ftp://x", "description": "x".repeat(2001), "logo": 1});
    let reply = ada.post(&format!("{path}/websites"), body).await;
    let expected = [
        ("name", "too_long"),
        ("url", "invalid_url"),
        ("description", "too_long"),
        ("logo", "unknown_field"),
    ];
    assert_eq!(reply.faults(), expected);
}

#[tokio::test]
async fn websites_are_listed_in_order_and_by_page() {
    let app = boot().await;
    let [ada] = people(&app).await;
    let path = organization(&ada, "One").await;
    for place in ["c", "a", "b"] {
        website(&ada, &path, &format!("https://{place}.example/")).await;
    }
    let list = ada.get(&format!("{path}/websites?sort=-created_at&page_size=2")).await;
    assert_eq!((&list.json["total"], &list.json["has_next"]), (&json!(3), &json!(true)));
    let cursor = list.json["next_cursor"].as_str().unwrap();
    let rest = ada.get(&format!("{path}/websites?page_size=2&cursor={cursor}")).await;
    assert_eq!(rest.json["items"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn ones_websites_are_those_of_ones_organizations_and_those_one_was_let_onto() {
    let app = boot().await;
    let [ada, bob, eve] = people(&app).await;
    let (harbor, orchard) = (organization(&ada, "Harbor").await, organization(&bob, "Orchard").await);
    let ferries = website(&ada, &harbor, "https://ferries.example/").await;
    app.advance(Duration::from_secs(1));
    let berths = website(&ada, &harbor, "https://berths.example/").await;
    app.advance(Duration::from_secs(1));
    let cider = website(&bob, &orchard, "https://cider.example/").await;
    join(&ada, &ferries, &bob, "admin").await;
    join(&bob, &orchard, &ada, "user").await;
    join(&bob, &cider, &ada, "admin").await;

    let listed = async |person: &Person, query: &str| {
        let list = person.get(&format!("/api/v1/websites{query}")).await;
        assert_eq!(list.status, 200, "{}", list.text());
        let row = |item: &Value| {
            let path = format!("/api/v1/websites/{}", item["id"].as_str().unwrap());
            (path, item["role"].as_str().unwrap().to_owned())
        };
        list.json["items"].as_array().unwrap().iter().map(row).collect::<Vec<_>>()
    };
    let rows = |rows: &[(&String, &str)]| -> Vec<(String, String)> {
        rows.iter().map(|(path, role)| ((*path).clone(), (*role).to_owned())).collect()
    };
    let by_age = "?sort=created_at";
    assert_eq!(
        listed(&ada, by_age).await,
        rows(&[(&ferries, "admin"), (&berths, "admin"), (&cider, "admin")]),
        "the stronger role counts, and each stands there once"
    );
    assert_eq!(listed(&bob, by_age).await, rows(&[(&ferries, "admin"), (&cider, "admin")]));
    assert_eq!(listed(&eve, "").await, []);

    let first = ada.get("/api/v1/websites?page_size=2&sort=created_at").await;
    assert_eq!((&first.json["total"], &first.json["has_next"]), (&json!(3), &json!(true)));
    let cursor = first.json["next_cursor"].as_str().unwrap();
    assert_eq!(
        listed(&ada, &format!("?page_size=2&cursor={cursor}")).await,
        rows(&[(&cider, "admin")]),
        "the cursor goes on where the page ended"
    );
    assert_eq!(ada.get("/api/v1/websites?sort=url").await.faults(), [("sort", "not_allowed")]);
    assert_eq!(app.anonymous().get("/api/v1/websites").await.status, 401);
}
