//! The catalog from outside: files, lists, and a stock that many want at once.

use std::fmt::Write as _;

use mainstay_e2e::{Client, Reply, Site, json};
use tokio::task::JoinSet;

const PRODUCTS: &str = "/api/v1/products";

/// Products whose texts every form has trouble with.
fn awkward() -> String {
    let names =
        ["Plain", "With, comma", "With \"quotes\"", "=1+1", "ÆØÅ 漢字 😀", "back\\slash", "null", "0123"];
    let mut file = "currency,price,name,sku,category,tags,attributes,description\n".to_owned();
    for (number, name) in names.into_iter().enumerate() {
        let (name, currency) = (name.replace('"', "\"\""), ["EUR", "JPY"][number % 2]);
        let attributes = "\"{\"\"width\"\":12.5,\"\"new\"\":true}\"";
        writeln!(
            file,
            "{currency},{number},\"{name}\",S-{number},things,\"a, b|c\",{attributes},\"two\nlines\""
        )
        .unwrap();
    }
    file
}

async fn export(client: &Client, format: &str) -> String {
    let reply = client.get(&format!("{PRODUCTS}/export?format={format}")).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    reply.text()
}

#[tokio::test]
async fn what_was_exported_makes_the_same_catalog_elsewhere() {
    let site = Site::new();
    let server = site.serve().await;
    site.write("products.csv", &awkward());
    let told = site.run(&["catalog", "import", "products.csv"]).failure();
    assert!(told.contains("line 2: category"), "{told}");
    let told = site.run(&["catalog", "import", "--create-categories", "products.csv"]).success();
    assert!(told.contains("8 created"), "{told}");
    let told = site.run(&["catalog", "import", "products.csv"]).success();
    assert!(told.contains("8 unchanged"), "{told}");
    let (csv, ndjson) = (export(&server.client(), "csv").await, export(&server.client(), "ndjson").await);
    assert_eq!(ndjson.lines().count(), 8);

    for (name, text) in [("export.csv", &csv), ("export.ndjson", &ndjson)] {
        let other = Site::new();
        let server = other.serve().await;
        other.write(name, text);
        let told = other.run(&["catalog", "import", "--create-categories", name]).success();
        assert!(told.contains("8 created"), "{told}");
        assert_eq!(export(&server.client(), "csv").await, csv, "{name}");
        assert_eq!(other.run(&["catalog", "export", "--format", "ndjson"]).success(), ndjson, "{name}");
    }
}

#[tokio::test]
async fn of_many_who_want_the_last_ones_only_so_many_get_one() {
    let site = Site::new();
    let server = site.serve().await;
    site.create_admin();
    let admin = server.admin().await;
    let body = json!({"sku": "a", "name": "Last ones", "price": "1.00", "currency": "EUR", "stock": 5});
    let made = admin.post(PRODUCTS, body).await;
    assert_eq!(made.status, 201, "{}", made.text());

    let mut tasks = JoinSet::new();
    for _ in 0..20 {
        let admin = admin.clone();
        tasks.spawn(async move { admin.post(&format!("{PRODUCTS}/1/stock"), json!({"delta": -1})).await });
    }
    let replies: Vec<Reply> = tasks.join_all().await;

    assert_eq!(replies.iter().filter(|reply| reply.status == 200).count(), 5);
    assert_eq!(replies.iter().filter(|reply| reply.json["code"] == "insufficient_stock").count(), 15);
    let left = server.client().get(&format!("{PRODUCTS}?q=last&in_stock=false")).await;
    assert_eq!((&left.json["total"], &left.json["items"][0]["stock"]), (&json!(1), &json!(0)));
}
