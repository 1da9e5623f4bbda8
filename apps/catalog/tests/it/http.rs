//! The endpoints as a client meets them.

use std::sync::Mutex;

use axum::http::Method;
use mainstay_catalog::domain::listing::Facets;
use mainstay_catalog::{Catalog, Importer};
use mainstay_core::input::Text as _;
use mainstay_testkit::{Client, Reply, TestApp, json};
use mainstay_transfer::{Import as _, Mode};
use serde_json::Value;

use crate::support::{ACTOR, product, query};

const PRODUCTS: &str = "/api/v1/products";
const CATEGORIES: &str = "/api/v1/categories";

async fn boot() -> TestApp {
    TestApp::boot(|backend| backend.with(Catalog::new)).await
}

/// The same, with what goes past HTTP.
async fn boot_with_catalog() -> (TestApp, Catalog) {
    let catalog = Mutex::new(None);
    let app = TestApp::boot(|backend| {
        backend.with(|platform| {
            let app = Catalog::new(platform);
            *catalog.lock().unwrap() = Some(app.clone());
            app
        })
    })
    .await;
    let catalog = catalog.into_inner().unwrap().unwrap();
    (app, catalog)
}

async fn add(staff: &Client, sku: &str, more: Value) -> Reply {
    let mut body = json!({"sku": sku, "name": "Thing", "price": "10.00", "currency": "EUR"});
    if let Value::Object(more) = more {
        body.as_object_mut().unwrap().extend(more);
    }
    let reply = staff.post(PRODUCTS, body).await;
    assert_eq!(reply.status, 201, "{}", reply.text());
    reply
}

fn skus(reply: &Reply) -> Vec<&str> {
    assert_eq!(reply.status, 200, "{}", reply.text());
    reply.json["items"].as_array().unwrap().iter().map(|product| product["sku"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn a_product_is_added_read_changed_and_deleted() {
    let app = boot().await;
    let staff = app.staff().await;
    let category = staff.post(CATEGORIES, json!({"slug": "desks", "name": "Desks"})).await;
    assert_eq!((category.status.as_u16(), category.header("location")), (201, "/api/v1/categories/desks"));
    let body = json!({
        "sku": " D-1 ", "name": "Walnut  desk", "description": "Solid.\r\nMade to last.", "category": "desks",
        "price": "1249.5", "currency": "EUR", "stock": 3, "tags": ["Walnut", "walnut", "new"],
        "attributes": {"width_cm": 140, "colour": "brown", "assembled": false, "weight": 31.5},
    });

    let created = staff.post(PRODUCTS, body).await;
    assert_eq!(
        (created.status.as_u16(), created.header("location"), created.header("etag")),
        (201, "/api/v1/products/1", "\"1\"")
    );
    let expected = json!({
        "id": 1, "sku": "D-1", "name": "Walnut desk", "description": "Solid.\nMade to last.", "category": "desks",
        "price": "1249.50", "currency": "EUR", "stock": 3, "tags": ["Walnut", "new"],
        "attributes": {"width_cm": 140, "colour": "brown", "assembled": false, "weight": 31.5},
        "created_at": "2026-01-31T09:30:00.000Z", "updated_at": "2026-01-31T09:30:00.000Z",
    });
    assert_eq!(created.json, expected);
    let read = app.anonymous().get("/api/v1/products/1").await;
    assert_eq!((&read.json, read.header("etag")), (&expected, "\"1\""));
    assert!(read.header("cache-control").contains("public"), "{:?}", read.headers);

    app.advance(std::time::Duration::from_millis(1_500));
    let patch = json!({"price": "999.00", "category": null, "attributes": {"colour": null, "legs": 4}});
    let patched = staff.patch("/api/v1/products/1", &[("if-match", "\"1\"")], patch).await;
    assert_eq!((patched.status.as_u16(), patched.header("etag")), (200, "\"2\""));
    assert_eq!(
        patched.json["attributes"],
        json!({"width_cm": 140, "assembled": false, "weight": 31.5, "legs": 4})
    );
    assert_eq!(
        (&patched.json["price"], &patched.json["category"], &patched.json["updated_at"]),
        (&json!("999.00"), &Value::Null, &json!("2026-01-31T09:30:01.500Z"))
    );

    let body = json!({"sku": "D-2", "name": "Desk", "price": "100", "currency": "JPY"});
    let replaced = staff.put("/api/v1/products/1", &[], body).await;
    assert_eq!((replaced.status.as_u16(), replaced.header("etag")), (200, "\"3\""));
    assert_eq!(
        (
            &replaced.json["stock"],
            &replaced.json["tags"],
            &replaced.json["attributes"],
            &replaced.json["description"]
        ),
        (&json!(0), &json!([]), &json!({}), &json!(""))
    );

    let deleted = staff.delete("/api/v1/products/1", &[("if-match", "\"3\"")]).await;
    assert_eq!((deleted.status.as_u16(), deleted.bytes.len()), (204, 0));
    let gone = staff.delete("/api/v1/products/1", &[]).await;
    assert_eq!((gone.status.as_u16(), gone.code()), (404, "product_not_found"));
}

#[tokio::test]
async fn everybody_reads_and_only_staff_write() {
    let app = boot().await;
    let body = json!({"sku": "a", "name": "T", "price": "1", "currency": "EUR"});

    assert_eq!(app.anonymous().post(PRODUCTS, body.clone()).await.status, 401);
    assert_eq!(app.user().await.post(PRODUCTS, body.clone()).await.status, 403);
    assert_eq!(app.admin().await.post(PRODUCTS, body.clone()).await.status, 201);
    assert_eq!(app.user().await.post("/api/v1/products/1/stock", json!({"delta": 1})).await.status, 403);
    assert_eq!(app.user().await.post(CATEGORIES, json!({"slug": "a", "name": "A"})).await.status, 403);
    for path in ["/api/v1/products/1", "/api/v1/categories/a"] {
        for method in [Method::PUT, Method::PATCH, Method::DELETE] {
            assert_eq!(app.anonymous().raw(method, path, &[], "").await.status, 401);
        }
    }
    assert_eq!(app.anonymous().get("/api/v1/products/1").await.status, 200);
    assert_eq!(app.anonymous().raw(Method::HEAD, "/api/v1/products/1", &[], "").await.status, 200);
    assert_eq!(app.anonymous().get(CATEGORIES).await.status, 200);
}

#[tokio::test]
async fn every_fault_is_told() {
    let app = boot().await;
    let staff = app.staff().await;

    let body = json!({"price": "12.505", "currency": "EUR", "stock": -1, "tags": ["a|b"], "attributes": {"x": null}, "sise": 1});
    assert_eq!(
        staff.post(PRODUCTS, body).await.faults(),
        [
            ("sku", "required"),
            ("name", "required"),
            ("price", "too_many_decimals"),
            ("stock", "out_of_range"),
            ("tags[0]", "not_allowed"),
            ("attributes.x", "wrong_type"),
            ("sise", "unknown_field"),
        ]
    );
    let float = json!({"sku": "a", "name": "A", "price": 12.5, "currency": "EUR"});
    assert_eq!(staff.post(PRODUCTS, float).await.faults(), [("price", "wrong_type")]);
    let nowhere = json!({"sku": "a", "name": "A", "price": "1", "currency": "EUR", "category": "nowhere"});
    assert_eq!(staff.post(PRODUCTS, nowhere).await.faults(), [("category", "unknown_category")]);
    add(&staff, "a", json!({"price": "12.50"})).await;
    let reply = staff.patch("/api/v1/products/1", &[], json!({"currency": "JPY"})).await;
    assert_eq!((reply.status.as_u16(), reply.faults()), (422, vec![("currency", "too_many_decimals")]));

    let wrong = app
        .anonymous()
        .get(&format!(
            "{PRODUCTS}?page=0&page_size=101&sort=colour&category=No+Slug&min_price=-1&max_price=1e9&currency=eur\
             &in_stock=maybe&tags=&facets=size&categry=a"
        ))
        .await;
    assert_eq!(
        wrong.faults(),
        [
            ("page", "out_of_range"),
            ("page_size", "out_of_range"),
            ("sort", "not_allowed"),
            ("category", "invalid_slug"),
            ("min_price", "out_of_range"),
            ("max_price", "invalid_decimal"),
            ("currency", "invalid_currency"),
            ("in_stock", "wrong_type"),
            ("tags", "too_short"),
            ("facets", "not_allowed"),
            ("categry", "unknown_field"),
        ]
    );
    let both = format!("{PRODUCTS}?page=0&min_price=10.01&max_price=10&currency=eur");
    assert_eq!(
        app.anonymous().get(&both).await.faults(),
        [("page", "out_of_range"), ("min_price", "above_max_price"), ("currency", "invalid_currency")]
    );
    let crossed = app.anonymous().get(&format!("{PRODUCTS}?min_price=10.01&max_price=10")).await;
    assert_eq!((crossed.status.as_u16(), crossed.faults()), (422, vec![("min_price", "above_max_price")]));
}

#[tokio::test]
async fn a_sku_or_slug_that_is_taken_is_a_conflict_on_its_field() {
    let app = boot().await;
    let staff = app.staff().await;
    add(&staff, "a", json!({})).await;
    add(&staff, "b", json!({})).await;

    let body = json!({"sku": "a", "name": "Two", "price": "1", "currency": "EUR"});
    let reply = staff.post(PRODUCTS, body).await;
    assert_eq!(
        (reply.status.as_u16(), reply.code(), reply.faults()),
        (409, "sku_taken", vec![("sku", "sku_taken")])
    );
    assert_eq!(staff.patch("/api/v1/products/2", &[], json!({"sku": "a"})).await.code(), "sku_taken");

    let body = json!({"slug": "desks", "name": "Desks"});
    assert_eq!(staff.post(CATEGORIES, body.clone()).await.status, 201);
    assert_eq!(staff.post(CATEGORIES, body).await.faults(), [("slug", "slug_taken")]);
}

#[tokio::test]
async fn stock_comes_and_goes_and_says_when_it_is_not_there() {
    let app = boot().await;
    let staff = app.staff().await;
    add(&staff, "a", json!({"stock": 2})).await;
    let stock = async |delta: Value| staff.post("/api/v1/products/1/stock", json!({"delta": delta})).await;

    let more = stock(json!(5)).await;
    assert_eq!((more.status.as_u16(), &more.json["stock"], more.header("etag")), (200, &json!(7), "\"2\""));
    assert_eq!(stock(json!(-7)).await.json["stock"], 0);
    let none = stock(json!(-1)).await;
    assert_eq!(
        (none.status.as_u16(), none.code(), &none.json["available"]),
        (409, "insufficient_stock", &json!(0))
    );
    assert_eq!(stock(json!(0)).await.faults(), [("delta", "out_of_range")]);
    assert_eq!(stock(json!("1")).await.faults(), [("delta", "wrong_type")]);
    assert_eq!(stock(json!(1_000_000_000)).await.json["stock"], 1_000_000_000);
    assert_eq!(stock(json!(1)).await.faults(), [("delta", "out_of_range")]);
    assert_eq!(staff.post("/api/v1/products/9/stock", json!({"delta": 1})).await.code(), "product_not_found");
    assert_eq!(app.anonymous().get("/api/v1/products/1").await.header("etag"), "\"4\"");
}

#[tokio::test]
async fn a_stock_change_that_is_sent_again_under_its_key_is_made_once() {
    let app = boot().await;
    let staff = app.staff().await;
    add(&staff, "a", json!({"stock": 5})).await;
    let send = async |key: &str, delta: i64| {
        let headers = [("idempotency-key", key), ("content-type", "application/json")];
        let body = json!({"delta": delta}).to_string();
        staff.raw(Method::POST, "/api/v1/products/1/stock", &headers, body).await
    };

    let (first, again) = (send("one", -2).await, send("one", -2).await);
    assert_eq!((first.status.as_u16(), &first.json["stock"]), (200, &json!(3)));
    assert_eq!((again.json, again.headers["idempotent-replayed"].to_str().unwrap()), (first.json, "true"));
    assert_eq!(send("one", -1).await.code(), "idempotency_key_reused");
    // A refusal is no effect: the key may be used when there is enough.
    assert_eq!(send("two", -4).await.code(), "insufficient_stock");
    assert_eq!(send("three", 1).await.json["stock"], 4);
    assert_eq!(send("two", -4).await.json["stock"], 0);
}

#[tokio::test]
async fn conditions_hold() {
    let app = boot().await;
    let staff = app.staff().await;
    add(&staff, "a", json!({})).await;
    staff.post(CATEGORIES, json!({"slug": "desks", "name": "Desks"})).await;

    for (one, patch) in
        [("/api/v1/products/1", json!({"name": "Two"})), ("/api/v1/categories/desks", json!({"name": "D"}))]
    {
        let stale = staff.patch(one, &[("if-match", "\"9\"")], patch).await;
        assert_eq!((stale.status.as_u16(), stale.code(), stale.header("etag")), (412, "stale", "\"1\""));
        let stale = staff.delete(one, &[("if-match", "\"9\"")]).await;
        assert_eq!(stale.code(), "stale");
        let seen = app.anonymous().get_with(one, &[("if-none-match", "\"1\"")]).await;
        assert_eq!((seen.status.as_u16(), seen.bytes.len(), seen.header("etag")), (304, 0, "\"1\""));
        assert_eq!(app.anonymous().get_with(one, &[("if-none-match", "\"2\"")]).await.status, 200);
    }
    let list = app.anonymous().get(PRODUCTS).await;
    let seen = app.anonymous().get_with(PRODUCTS, &[("if-none-match", list.header("etag"))]).await;
    assert_eq!(seen.status, 304);
}

#[tokio::test]
async fn what_cannot_be_an_id_names_nothing() {
    let app = boot().await;
    let anonymous = app.anonymous();
    for id in ["abc", "0", "-1", "+1", "01", "9223372036854775808", "1.0", "%20"] {
        let reply = anonymous.get(&format!("{PRODUCTS}/{id}")).await;
        assert_eq!((reply.status.as_u16(), reply.code()), (404, "not_found"), "{id}");
    }
    assert_eq!(anonymous.get(&format!("{PRODUCTS}/7")).await.code(), "product_not_found");
    assert_eq!(anonymous.get(&format!("{CATEGORIES}/No%20Slug")).await.code(), "not_found");
    assert_eq!(anonymous.get(&format!("{CATEGORIES}/nowhere")).await.code(), "category_not_found");
    assert_eq!(anonymous.get(&format!("{CATEGORIES}?parent=nowhere")).await.code(), "category_not_found");
}

#[tokio::test]
async fn a_list_is_paged_sorted_and_searched_in_one_shape() {
    let app = boot().await;
    let staff = app.staff().await;
    staff.post(CATEGORIES, json!({"slug": "desks", "name": "Desks"})).await;
    for (sku, name, price) in [("a", "Café desk", "30.00"), ("b", "Desk", "20.00"), ("c", "Lamp", "10.00")] {
        add(&staff, sku, json!({"name": name, "price": price, "category": "desks", "tags": ["new", sku]}))
            .await;
    }
    let get = async |query: &str| app.anonymous().get(&format!("{PRODUCTS}?{query}")).await;

    let page = get("sort=price&page_size=2").await;
    assert_eq!(skus(&page), ["c", "b"]);
    assert_eq!(
        (&page.json["total"], &page.json["pages"], &page.json["has_next"]),
        (&json!(3), &json!(2), &json!(true))
    );
    assert_eq!((&page.json["suggestions"], page.json.get("facets")), (&json!([]), None));
    assert!(page.header("link").contains("rel=\"next\""), "{:?}", page.headers);
    assert!(page.header("cache-control").contains("public"), "{:?}", page.headers);
    let cursor = page.json["next_cursor"].as_str().unwrap();
    let next = get(&format!("page_size=2&cursor={cursor}")).await;
    assert_eq!(
        (skus(&next), &next.json["total"], &next.json["next_cursor"]),
        (vec!["a"], &Value::Null, &Value::Null)
    );
    assert_eq!(get(&format!("sort=name&cursor={cursor}")).await.faults(), [("cursor", "invalid_cursor")]);
    // Plain, the newest come first, with a cursor that leads on.
    let plain = get("page_size=1").await;
    let next = get(&format!("page_size=1&cursor={}", plain.json["next_cursor"].as_str().unwrap())).await;
    assert_eq!((skus(&plain), skus(&next)), (vec!["c"], vec!["b"]));

    // The same where it is asked for by name; the other way round is another order, and words to look for
    // bring back a relevance that has no cursor.
    for (sort, expected) in [("relevance", ["c", "b"]), ("-relevance", ["a", "b"])] {
        let first = get(&format!("page_size=1&sort={sort}")).await;
        let cursor = first.json["next_cursor"].as_str().unwrap();
        let next = get(&format!("page_size=1&sort={sort}&cursor={cursor}")).await;
        assert_eq!([skus(&first), skus(&next)].concat(), expected);
        for query in [
            format!("sort={}&cursor={cursor}", if sort == "relevance" { "-relevance" } else { "relevance" }),
            format!("sort={sort}&q=desk&cursor={cursor}"),
        ] {
            assert_eq!(get(&query).await.faults(), [("cursor", "invalid_cursor")], "{query}");
        }
    }

    let found = get("q=DESK&tags=new&page_size=1&facets=tags,price,category").await;
    assert_eq!(
        (skus(&found), &found.json["total"], &found.json["next_cursor"]),
        (vec!["b"], &json!(2), &Value::Null)
    );
    assert_eq!(
        found.json["facets"],
        json!({
            "category": [{"value": "desks", "name": "Desks", "count": 2}],
            "tags": [{"value": "new", "count": 2}, {"value": "a", "count": 1}, {"value": "b", "count": 1}],
            "price": [{"from": "10", "to": "25", "count": 1}, {"from": "25", "to": "50", "count": 1}],
        })
    );
    assert_eq!(skus(&get("tags=NEW&tags=a").await), ["a"]);
    let nothing = get("q=sofa").await;
    assert_eq!((&nothing.json["total"], &nothing.json["suggestions"]), (&json!(0), &json!([])));
}

#[tokio::test]
async fn categories_are_a_tree_over_http() {
    let app = boot().await;
    let staff = app.staff().await;
    for (slug, parent) in [("home", None), ("desks", Some("home")), ("small-desks", Some("desks"))] {
        let reply = staff.post(CATEGORIES, json!({"slug": slug, "name": slug, "parent": parent})).await;
        assert_eq!(reply.status, 201, "{}", reply.text());
    }
    let anonymous = app.anonymous();
    let small = anonymous.get(&format!("{CATEGORIES}/small-desks")).await;
    assert_eq!(
        (&small.json["parent"], &small.json["ancestors"]),
        (&json!("desks"), &json!(["home", "desks"]))
    );
    let slugs = |reply: &Reply| -> Vec<String> {
        let items = reply.json["items"].as_array().unwrap();
        items.iter().map(|category| category["slug"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(slugs(&anonymous.get(CATEGORIES).await), ["desks", "home", "small-desks"]);
    assert_eq!(slugs(&anonymous.get(&format!("{CATEGORIES}?parent=home")).await), ["desks"]);
    let first = anonymous.get(&format!("{CATEGORIES}?sort=-slug&page_size=1")).await;
    assert_eq!((slugs(&first), &first.json["total"]), (vec!["small-desks".to_owned()], &json!(3)));
    let cursor = first.json["next_cursor"].as_str().unwrap();
    assert_eq!(
        slugs(&anonymous.get(&format!("{CATEGORIES}?page_size=5&cursor={cursor}")).await),
        ["home", "desks"]
    );

    let home = format!("{CATEGORIES}/home");
    let cycle = staff.patch(&home, &[], json!({"parent": "small-desks"})).await;
    assert_eq!(
        (cycle.status.as_u16(), cycle.code(), cycle.faults()),
        (409, "category_cycle", vec![("parent", "category_cycle")])
    );
    assert_eq!(staff.delete(&home, &[]).await.code(), "category_in_use");
    let unknown = staff.patch(&home, &[], json!({"parent": "nowhere"})).await;
    assert_eq!((unknown.status.as_u16(), unknown.faults()), (422, vec![("parent", "unknown_category")]));
    add(&staff, "a", json!({"category": "small-desks"})).await;
    assert_eq!(staff.delete(&format!("{CATEGORIES}/small-desks"), &[]).await.code(), "category_in_use");
    let moved =
        staff.put(&format!("{CATEGORIES}/desks"), &[], json!({"slug": "desks", "name": "Desks"})).await;
    assert_eq!((&moved.json["parent"], moved.header("etag")), (&Value::Null, "\"2\""));
    assert_eq!(staff.delete(&home, &[]).await.status, 204);
}

#[tokio::test]
async fn an_export_comes_in_the_form_that_was_asked_for() {
    let app = boot().await;
    add(
        &app.staff().await,
        "a",
        json!({"name": "A \"quoted\", one", "tags": ["x", "y"], "attributes": {"w": 3}}),
    )
    .await;
    let export = async |query: &str, accept: &str| {
        app.anonymous().get_with(&format!("{PRODUCTS}/export{query}"), &[("accept", accept)]).await
    };

    let csv = export("", "*/*").await;
    assert_eq!(
        csv.text(),
        "sku,name,description,category,price,currency,stock,tags,attributes\r\n\
         a,\"A \"\"quoted\"\", one\",,,10.00,EUR,0,x|y,\"{\"\"w\"\":3}\"\r\n"
    );
    assert_eq!(csv.header("content-disposition"), "attachment; filename=\"products.csv\"");
    let ndjson = export("", "application/x-ndjson, */*;q=0.1").await;
    assert_eq!(
        ndjson.json,
        json!({
            "sku": "a", "name": "A \"quoted\", one", "description": "", "category": null, "price": "10.00",
            "currency": "EUR", "stock": 0, "tags": ["x", "y"], "attributes": {"w": 3},
        })
    );
    assert_eq!(export("?format=xml", "*/*").await.faults(), [("format", "not_allowed")]);
}

#[tokio::test]
async fn other_apps_hear_of_every_change() {
    use mainstay_core::Actor;
    use sea_orm::ConnectionTrait as _;
    use sea_orm::sea_query::{Order, Query};
    let app = boot().await;
    let staff = app.staff().await;
    add(&staff, "a", json!({})).await;
    staff.patch("/api/v1/products/1", &[], json!({"name": "New", "stock": 4})).await;
    staff.post("/api/v1/products/1/stock", json!({"delta": -1})).await;
    staff.delete("/api/v1/products/1", &[]).await;

    let query = Query::select().columns(["kind"]).from("outbox").order_by("seq", Order::Asc).to_owned();
    let rows = app.db().read(&Actor::system("test")).query_all(&query).await.unwrap();
    let kinds = rows.iter().map(|row| row.try_get::<String>("", "kind").unwrap());
    assert_eq!(
        kinds.filter(|kind| kind.starts_with("catalog.")).collect::<Vec<_>>(),
        [
            "catalog.product.created",
            "catalog.product.stock_changed",
            "catalog.product.updated",
            "catalog.product.stock_changed",
            "catalog.product.deleted",
        ]
    );
}

#[tokio::test]
async fn demo_products_come_once() {
    use mainstay_app::App as _;
    let (app, catalog) = boot_with_catalog().await;

    assert_eq!(catalog.seed_demo().await.unwrap(), ["400 demo products in the catalog"]);
    assert!(catalog.seed_demo().await.unwrap().is_empty());

    let page = app.anonymous().get(&format!("{PRODUCTS}?category=furniture&q=oak")).await;
    assert!(page.json["total"].as_u64().unwrap() > 5, "{}", page.text());
}

#[tokio::test]
async fn what_is_kept_ready_never_hides_a_change() {
    let app = boot().await;
    let (staff, anonymous) = (app.staff().await, app.anonymous());
    let other = app.another_node(|backend| backend.with(Catalog::new)).await;
    staff.post(CATEGORIES, json!({"slug": "desks", "name": "Desks"})).await;
    add(&staff, "a", json!({"category": "desks", "stock": 1})).await;
    let one = "/api/v1/products/1";
    let list = "/api/v1/products?category=desks&q=thing";
    let categories = "/api/v1/categories/desks";
    let look = async |client: &Client| {
        let (product, found, category) =
            (client.get(one).await, client.get(list).await, client.get(categories).await);
        (
            product.json["stock"].clone(),
            found.json["items"][0]["stock"].clone(),
            category.json["name"].clone(),
        )
    };

    for client in [&anonymous, &other.anonymous()] {
        let first = look(client).await;
        assert_eq!(first, (json!(1), json!(1), json!("Desks")));
        assert_eq!(look(client).await, first);
        for path in [one, list] {
            let reply = client.get_with(path, &[("cache-status", "?1")]).await;
            assert!(reply.header("cache-status").contains("hit"), "{:?}", reply.headers);
        }
    }
    staff.post("/api/v1/products/1/stock", json!({"delta": 4})).await;
    staff.patch(categories, &[], json!({"name": "Tables"})).await;
    let now = (json!(5), json!(5), json!("Tables"));
    assert_eq!(look(&anonymous).await, now);
    // The other node hears of it within a second.
    app.advance(std::time::Duration::from_millis(1_100));
    assert_eq!(look(&other.anonymous()).await, now);

    // That something is not there is kept too, until it is.
    assert_eq!(anonymous.get("/api/v1/products/2").await.status, 404);
    add(&staff, "b", json!({})).await;
    assert_eq!(anonymous.get("/api/v1/products/2").await.status, 200);
    staff.patch(categories, &[], json!({"slug": "tables"})).await;
    assert_eq!(anonymous.get(one).await.json["category"], "tables");
    assert_eq!(anonymous.get(list).await.json["total"], 0);
    staff.delete(one, &[]).await;
    assert_eq!(anonymous.get(one).await.status, 404);
    assert_eq!(skus(&anonymous.get(PRODUCTS).await), ["b"]);
}

#[tokio::test]
async fn every_kind_of_change_is_seen_on_every_node() {
    let (app, catalog) = boot_with_catalog().await;
    let other = app.another_node(|backend| backend.with(Catalog::new)).await;
    let staff = app.staff().await;
    for slug in ["desks", "empty"] {
        staff.post(CATEGORIES, json!({"slug": slug, "name": slug})).await;
    }
    add(&staff, "a", json!({"category": "desks", "stock": 1, "tags": ["old"]})).await;
    let one = "/api/v1/products/1";
    // The product's stock, tags, name and category; how many are found in two categories and by two tags, how
    // often the tree's slugs are "empty".
    let look = async |client: &Client| {
        let product = client.get(one).await.json;
        let mut seen = ["stock", "tags", "name", "category"].map(|field| product[field].clone()).to_vec();
        for query in ["category=desks", "category=tables", "tags=old", "tags=new"] {
            let list = client.get(&format!("{PRODUCTS}?{query}")).await;
            seen.push(list.json["total"].clone());
        }
        let tree = client.get(CATEGORIES).await.json;
        let empty = |category: &&Value| category["slug"] == "empty";
        seen.push(tree["items"].as_array().unwrap().iter().filter(empty).count().into());
        Value::Array(seen)
    };
    let on_both = async |expected: Value| {
        app.settle().await;
        assert!(other.cache().catch_up().await);
        for client in [app.anonymous(), other.anonymous()] {
            // The second time it is kept.
            for _ in 0..2 {
                assert_eq!(look(&client).await, expected);
            }
        }
    };

    on_both(json!([1, ["old"], "Thing", "desks", 1, 0, 1, 0, 1])).await;
    staff.post("/api/v1/products/1/stock", json!({"delta": 4})).await;
    on_both(json!([5, ["old"], "Thing", "desks", 1, 0, 1, 0, 1])).await;
    staff.patch(one, &[], json!({"tags": ["new"]})).await;
    on_both(json!([5, ["new"], "Thing", "desks", 1, 0, 0, 1, 1])).await;
    let rows = [
        product("a", json!({"name": "Brought", "category": "desks", "stock": 7})),
        product("b", json!({"category": "desks", "tags": ["new"]})),
    ];
    Importer::new(catalog.products().clone(), false).take(&ACTOR, &rows, Mode::Write).await.unwrap();
    on_both(json!([7, [], "Brought", "desks", 2, 0, 0, 1, 1])).await;
    staff.patch("/api/v1/categories/desks", &[], json!({"slug": "tables"})).await;
    on_both(json!([7, [], "Brought", "tables", 0, 2, 0, 1, 1])).await;
    staff.delete("/api/v1/categories/empty", &[]).await;
    on_both(json!([7, [], "Brought", "tables", 0, 2, 0, 1, 0])).await;
    let rows = [product("a", json!({"category": "empty"}))];
    Importer::new(catalog.products().clone(), true).take(&ACTOR, &rows, Mode::Write).await.unwrap();
    on_both(json!([0, [], "Thing", "empty", 0, 1, 0, 1, 1])).await;
}

#[tokio::test]
async fn lists_that_differ_in_one_parameter_are_kept_apart() {
    use mainstay_app::App as _;
    let (app, catalog) = boot_with_catalog().await;
    catalog.seed_demo().await.unwrap();
    let anonymous = app.anonymous();
    let first = anonymous.get(&format!("{PRODUCTS}?sort=price&page_size=5")).await;
    let cursor = first.json["next_cursor"].as_str().unwrap();
    let second = anonymous.get(&format!("{PRODUCTS}?page_size=5&cursor={cursor}")).await;
    let later = second.json["next_cursor"].as_str().unwrap();
    type Pairs<'a> = Vec<(&'a str, &'a str)>;
    /// The other parameters, and the one that differs, with its values.
    type Case<'a> = (&'a [(&'a str, &'a str)], &'a str, &'a [&'a str]);
    let cases: [Case<'_>; 13] = [
        (&[], "q", &["oak", "desk", "oak desk"]),
        (&[], "category", &["furniture", "seating", "nowhere"]),
        (&[], "min_price", &["50", "100", "300"]),
        (&[], "max_price", &["100", "300", "1000"]),
        (&[("min_price", "50")], "max_price", &["100", "500"]),
        (&[], "currency", &["EUR", "USD"]),
        (&[], "in_stock", &["true", "false"]),
        (&[], "tags", &["oak", "sage"]),
        (&[("tags", "oak")], "tags", &["sage", "black"]),
        (&[], "facets", &["tags", "price", "category", "tags,price"]),
        (&[], "sort", &["price", "-price", "name", "-name", "stock", "created_at"]),
        (&[], "page", &["1", "2", "3"]),
        (&[("page_size", "5")], "cursor", &[cursor, later]),
    ];
    for (others, name, values) in cases {
        let mut variants: Vec<Pairs<'_>> =
            values.iter().map(|value| others.iter().copied().chain([(name, *value)]).collect()).collect();
        if name != "page" {
            variants.push(others.to_vec());
        }
        let mut expected = Vec::new();
        for pairs in &variants {
            let asked: Vec<_> = pairs.iter().copied().filter(|(name, _)| *name != "facets").collect();
            let facets = pairs.iter().find(|(name, _)| *name == "facets");
            let facets = facets.map_or_else(Facets::default, |(_, value)| Facets::parse(value).unwrap());
            let (filter, paging) = query(&asked);
            let found = catalog.products().list(&filter, facets, &paging).await.unwrap();
            let ids: Vec<i64> = found.page.items.iter().map(|product| product.id.number()).collect();
            let facets = [
                ("category", found.facets.category.map(|counts| counts.len())),
                ("price", found.facets.price.map(|counts| counts.len())),
                ("tags", found.facets.tags.map(|counts| counts.len())),
            ];
            let facets: Value =
                facets.into_iter().map(|(name, count)| (name.to_owned(), json!(count))).collect();
            expected.push(json!([ids, found.page.total, found.page.next_cursor, facets]));
        }
        for (place, one) in expected.iter().enumerate() {
            assert!(!expected[..place].contains(one), "{name}: {:?} tells nothing apart", variants[place]);
        }
        // Each is kept when it is asked for again, after the others.
        for _ in 0..2 {
            for (pairs, expected) in variants.iter().zip(&expected) {
                let query: Vec<_> =
                    pairs.iter().map(|(name, value)| format!("{name}={}", value.replace(' ', "+"))).collect();
                let reply = anonymous.get(&format!("{PRODUCTS}?{}", query.join("&"))).await;
                let items = reply.json["items"].as_array().unwrap();
                let ids: Vec<_> = items.iter().map(|product| product["id"].clone()).collect();
                let count = |name: &str| json!(reply.json["facets"][name].as_array().map(Vec::len));
                let facets =
                    json!({"category": count("category"), "price": count("price"), "tags": count("tags")});
                let got = json!([ids, reply.json["total"], reply.json["next_cursor"], facets]);
                assert_eq!(got, *expected, "{pairs:?}");
            }
        }
    }
}

#[tokio::test]
async fn a_kept_answer_is_shared_by_those_who_are_not_signed_in_alone() {
    let app = boot().await;
    let (staff, anonymous) = (app.staff().await, app.anonymous());
    for sku in ["a", "b"] {
        add(&staff, sku, json!({})).await;
    }
    let control = async |client: &Client, path: &str, kept: bool| {
        let reply = client.get_with(path, &[("cache-status", "?1")]).await;
        assert_eq!(reply.header("cache-status").contains("hit"), kept, "{path}: {:?}", reply.headers);
        assert!(reply.header("vary").contains("authorization"), "{path}: {:?}", reply.headers);
        reply.header("cache-control").to_owned()
    };
    for [by_anonymous, by_staff] in [
        ["/api/v1/products/1", "/api/v1/products/2"],
        ["/api/v1/products?page_size=1", "/api/v1/products?page_size=2"],
    ] {
        assert!(control(&anonymous, by_anonymous, false).await.starts_with("public"));
        assert_eq!(control(&staff, by_anonymous, true).await, "private, no-store");
        assert_eq!(control(&staff, by_staff, false).await, "private, no-store");
        assert!(control(&anonymous, by_staff, true).await.starts_with("public"));
    }
}
