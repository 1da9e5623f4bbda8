//! The mailbox as a page.

use mainstay_testkit::{Browser, Config, Reply};

use super::support::{Desk, PASSWORD, register};

const MAILBOX: &str = "/console/mailbox";

async fn signed_in(desk: &Desk, name: &str, password: &str) -> Browser {
    let mut browser = desk.app.browser();
    browser.open("/login").await;
    let reply = browser.submit("/login", &[("name", name), ("password", password)]).await;
    assert_eq!(reply.status, 303, "{}", reply.text());
    browser
}

fn is_page(reply: &Reply, status: u16, contains: &str) {
    let text = reply.text();
    assert_eq!(reply.status.as_u16(), status, "{text}");
    assert!(reply.header("content-type").starts_with("text/html") && text.contains(contains), "{text}");
}

/// The address of the first mail in the list.
fn first(list: &Reply) -> String {
    let text = list.text();
    let path = text.split("class=\"name\" href=\"").nth(1).unwrap().split('"').next().unwrap();
    path.to_owned()
}

#[tokio::test]
async fn staff_read_mails_and_follow_their_links_and_nobody_else_does() {
    let desk = Desk::boot_with(Config::defaults()).await;
    let caller = desk.app.anonymous();
    desk.app.staff().await;
    let mut staff = signed_in(&desk, "staff-0", "tests only 4711").await;
    desk.app.settle().await;
    register(&caller, "ada").await;
    desk.app.settle().await;

    let list = staff.open(MAILBOX).await;
    is_page(&list, 200, "No mail server is configured");
    is_page(&list, 200, "ada@example.com");
    let mail = staff.open(&first(&list)).await;
    is_page(&mail, 200, "/console/verify-email?token=");
    let text = mail.text();
    let link = text.split("<a href=\"http").nth(1).unwrap().split('"').next().unwrap();
    let path = &link[link.find("/console").unwrap()..];
    is_page(&desk.app.browser().open(path).await, 200, "Confirm the address");
    is_page(&staff.open(&format!("{MAILBOX}/nonsense")).await, 404, "There is no such page");
    is_page(&staff.open("/").await, 200, "href=\"/console/mailbox\"");

    let mut ada = signed_in(&desk, "ada", PASSWORD).await;
    is_page(&ada.open(MAILBOX).await, 403, "You can&#39;t open this page");
    is_page(&ada.open(&first(&list)).await, 403, "You can&#39;t open this page");
    assert!(!ada.open("/").await.text().contains(MAILBOX));
    let reply = desk.app.browser().open(MAILBOX).await;
    assert_eq!((reply.status.as_u16(), reply.header("location")), (303, "/login?next=%2Fconsole%2Fmailbox"));
}

#[tokio::test]
async fn in_production_a_secret_link_is_for_administrators() {
    let config = Config::defaults().set("environment", "production", "test").set(
        "http.public_url",
        "https://mainstay.example",
        "test",
    );
    let desk = Desk::boot_with(config).await;
    register(&desk.app.anonymous(), "ada").await;
    desk.app.settle().await;
    desk.app.staff().await;
    desk.app.admin().await;
    let mut staff = signed_in(&desk, "staff-0", "tests only 4711").await;
    let mut admin = signed_in(&desk, "admin-1", "tests only 4711").await;
    let mail = first(&staff.open(&format!("{MAILBOX}?page=1")).await);
    is_page(&staff.open(&mail).await, 200, "What it says is not kept");
    is_page(&admin.open(&mail).await, 200, "/console/verify-email?token=");
    is_page(&admin.open(&format!("{MAILBOX}?page=99")).await, 200, "No mails yet.");
}
