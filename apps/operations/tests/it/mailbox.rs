use mainstay_testkit::{Config, json};
use serde_json::Value;

use super::support::{Desk, NOBODY, PASSWORD, each, is_problem, register};

const MAILBOX: &str = "/api/v1/mailbox";

/// A desk at which ada has a mail with a link, and one without.
async fn boot(config: Config) -> Desk {
    let desk = Desk::boot_with(config).await;
    let caller = desk.app.anonymous();
    register(&caller, "ada").await;
    desk.app.settle().await;
    desk.app.advance(std::time::Duration::from_secs(1));
    let signed_in = caller.post("/api/v1/auth/login", json!({"username": "ada", "password": PASSWORD})).await;
    let ada = caller.bearing(signed_in.json["access_token"].as_str().unwrap());
    let body = json!({"current_password": PASSWORD, "new_password": "another fine engine"});
    assert_eq!(ada.post("/api/v1/auth/password/change", body).await.status, 204);
    desk.app.settle().await;
    desk
}

fn production() -> Config {
    Config::defaults().set("environment", "production", "test").set(
        "http.public_url",
        "https://mainstay.example",
        "test",
    )
}

#[tokio::test]
async fn mails_are_listed_by_address_kind_and_state() {
    let desk = boot(Config::defaults()).await;
    register(&desk.app.anonymous(), "bob").await;
    desk.app.settle().await;
    let staff = desk.app.staff().await;
    let list = |query: &'static str| {
        let staff = staff.clone();
        async move { staff.get(&format!("{MAILBOX}{query}")).await }
    };

    let all = list("").await;
    let mut templates = each(&all, "template");
    assert_eq!(templates.len(), 3);
    templates.sort_unstable();
    assert_eq!(templates, ["identity.password_changed", "identity.verify_email", "identity.verify_email"]);
    let of_ada = list("?address=ADA@example.com").await;
    assert_eq!(each(&of_ada, "template"), ["identity.password_changed", "identity.verify_email"]);
    let mail = &of_ada.json["items"][1];
    assert_eq!((&mail["address"], &mail["name"]), (&json!("ada@example.com"), &json!(null)));
    assert_eq!((&mail["status"], &mail["confidential"]), (&json!("sent"), &json!(true)));
    assert_eq!((&mail["attempts"], &mail["last_error"]), (&json!(1), &json!(null)));
    assert_eq!(
        (&mail["created_at"], &mail["sent_at"]),
        (&json!("2026-01-31T09:30:00.000Z"), &json!("2026-01-31T09:30:00.000Z"))
    );
    assert!(mail.get("text").is_none() && mail.get("html").is_none());
    assert_eq!(each(&list("?template=identity.verify_email&status=sent").await, "address").len(), 2);
    assert!(each(&list("?status=failed").await, "address").is_empty());
    assert_eq!(list("?page_size=2").await.json["has_next"], true);
    let bad = list("?status=lost&sort=subject").await;
    let mut fields: Vec<&str> = bad.faults().into_iter().map(|(field, _)| field).collect();
    fields.sort_unstable();
    assert_eq!((bad.status.as_u16(), fields), (422, vec!["sort", "status"]));
}

#[tokio::test]
async fn on_a_laptop_staff_read_every_mail() {
    let desk = boot(Config::defaults()).await;
    let staff = desk.app.staff().await;
    let list = staff.get(MAILBOX).await;
    for id in each(&list, "id") {
        let mail = staff.get(&format!("{MAILBOX}/{id}")).await;
        assert_eq!((mail.status.as_u16(), &mail.json["id"]), (200, &json!(id)));
        assert!(mail.json["text"].as_str().unwrap().contains("Hello ada,"), "{}", mail.text());
        assert!(mail.json["html"].as_str().unwrap().contains("<html"), "{}", mail.text());
        assert_eq!(mail.header("cache-control"), "private, no-store");
    }
    is_problem(&staff.get(&format!("{MAILBOX}/{NOBODY}")).await, 404, "mail_not_found");
    assert_eq!(staff.get(&format!("{MAILBOX}/abc")).await.status, 404);
}

#[tokio::test]
async fn in_production_a_secret_link_is_for_administrators() {
    let desk = boot(production()).await;
    let (admin, staff) = (desk.app.admin().await, desk.app.staff().await);
    let list = staff.get(&format!("{MAILBOX}?address=ada@example.com")).await;
    let [plain, secret] = each(&list, "id")[..] else { panic!("two mails: {}", list.text()) };

    let of_staff = staff.get(&format!("{MAILBOX}/{secret}")).await;
    assert_eq!((of_staff.status.as_u16(), &of_staff.json["confidential"]), (200, &json!(true)));
    assert_eq!((&of_staff.json["text"], &of_staff.json["html"]), (&Value::Null, &Value::Null));
    assert!(!of_staff.text().contains("token="));
    let of_admin = admin.get(&format!("{MAILBOX}/{secret}")).await;
    let text = of_admin.json["text"].as_str().unwrap();
    assert!(text.contains("https://mainstay.example/console/verify-email?token="), "{text}");
    let open = staff.get(&format!("{MAILBOX}/{plain}")).await;
    assert!(open.json["text"].as_str().unwrap().contains("was changed"), "{}", open.text());
}

#[tokio::test]
async fn no_api_key_reads_a_secret_link_though_its_owner_may() {
    let desk = boot(Config::defaults()).await;
    let admin = desk.app.admin().await;
    let key = admin.post("/api/v1/auth/api-keys", json!({"name": "reader", "scopes": ["read"]})).await;
    let robot = desk.app.with_token(key.json["key"].as_str().unwrap());
    let list = robot.get(&format!("{MAILBOX}?template=identity.verify_email")).await;
    let path = format!("{MAILBOX}/{}", list.json["items"][0]["id"].as_str().unwrap());
    assert_eq!(robot.get(&path).await.json["text"], Value::Null);
    assert!(admin.get(&path).await.json["text"].is_string());
}
