//! The page that an invitation's mail links to.

use mainstay_testkit::{Browser, Reply, TestApp, json};

use crate::support::{boot, invite, organization, person};

const ACCEPT: &str = "/console/invitations/accept";
const PASSWORD: &str = "tests only 4711";

pub async fn sign_in(app: &TestApp, email: &str) -> Browser {
    let mut browser = app.browser();
    browser.open("/login").await;
    assert_eq!(browser.submit("/login", &[("name", email), ("password", PASSWORD)]).await.status, 303);
    browser
}

pub fn is_page(reply: &Reply, status: u16, contains: &str) {
    let text = reply.text();
    assert!(reply.status.as_u16() == status && text.contains(contains), "{} {text}", reply.status);
}

#[tokio::test]
async fn a_newcomer_makes_an_account_and_has_joined() {
    let app = boot().await;
    let founder = person(&app).await;
    let place = organization(&founder, "Lovelace <Ltd>").await;
    let made = invite(&founder, &place, "ada@example.com", "user").await;
    let token = made.json["token"].as_str().unwrap();
    let link = made.json["link"].as_str().unwrap();
    let mut browser = app.browser();
    let page = browser.open(&link[link.find("/console").unwrap()..]).await;
    is_page(&page, 200, "Join Lovelace &#60;Ltd&#62;");
    is_page(&page, 200, &format!("href=\"/register?token={token}\""));
    assert!(!page.text().contains("ada@example.com"), "a stranger sees a hint only");
    browser.open(&format!("/register?token={token}")).await;
    let fields = [("token", token), ("email", "ada@example.com"), ("password", PASSWORD)];
    is_page(&browser.submit_and_follow("/register", &fields).await, 200, "Your account is made.");
    assert_eq!(founder.get(&format!("{place}/members")).await.json["total"], 2);
    is_page(&browser.open(&format!("{ACCEPT}?token={token}")).await, 410, "does not work any more");
}

#[tokio::test]
async fn who_has_an_account_accepts_or_declines_and_only_what_is_theirs() {
    let app = boot().await;
    let (founder, guest, other) = (person(&app).await, person(&app).await, person(&app).await);
    let place = organization(&founder, "Lovelace Ltd").await;
    let made = invite(&founder, &place, &guest.email, "admin").await;
    let token = made.json["token"].as_str().unwrap().to_owned();
    let path = format!("{ACCEPT}?token={token}");
    let mut wrong = sign_in(&app, &other.email).await;
    is_page(&wrong.open(&path).await, 200, "to help run it");
    is_page(&wrong.submit(ACCEPT, &[("token", &token)]).await, 422, "for another address");
    is_page(
        &wrong.submit("/console/invitations/decline", &[("token", &token)]).await,
        422,
        "another address",
    );
    let mut right = sign_in(&app, &guest.email).await;
    right.open(&path).await;
    is_page(&right.submit_and_follow(ACCEPT, &[("token", &token)]).await, 200, "You have joined.");
    is_page(&right.submit(ACCEPT, &[("token", &token)]).await, 410, "does not work any more");

    let body = json!({"email": "eve@example.com", "role": "user"});
    let made = founder.post(&format!("{place}/invitations"), body).await;
    let token = made.json["token"].as_str().unwrap();
    let mut nobody = app.browser();
    nobody.open(&format!("{ACCEPT}?token={token}")).await;
    let reply = nobody.submit(ACCEPT, &[("token", token)]).await;
    assert_eq!((reply.status.as_u16(), reply.header("location")), (303, "/login"));
    let done = nobody.submit_and_follow("/console/invitations/decline", &[("token", token)]).await;
    is_page(&done, 200, "The invitation is declined.");
}
