//! The pages that links in mails lead to.

use std::time::Duration;

use http::Method;
use mainstay_testkit::{Reply, TestApp, json};

use super::recovery::{PASSWORD, address, boot, boot_with, newest_token, register, sign_in, templates};

const VERIFY: &str = "/console/verify-email";
const RESET: &str = "/console/reset-password";
const REGISTER: &str = "/register";

async fn submit(app: &TestApp, path: &str, fields: &[(&str, &str)]) -> Reply {
    let body = serde_urlencoded::to_string(fields).unwrap();
    let headers = [("content-type", "application/x-www-form-urlencoded")];
    app.anonymous().raw(Method::POST, path, &headers, body).await
}

fn is_page(reply: &Reply, status: u16, contains: &str) {
    let text = reply.text();
    assert_eq!((reply.status.as_u16(), reply.header("content-type")), (status, "text/html; charset=utf-8"));
    assert!(text.contains(contains), "{contains:?} is not in {text}");
    assert_eq!(reply.header("cache-control"), "private, no-store");
    assert_eq!(reply.header("referrer-policy"), "no-referrer");
    let policy = reply.header("content-security-policy");
    let nonce = policy.split("'nonce-").nth(1).unwrap().split('\'').next().unwrap();
    assert!(nonce.len() >= 22 && text.contains(&format!("<style nonce=\"{nonce}\">")));
    assert!(!policy.contains("unsafe") && policy.starts_with("default-src 'none'"), "{policy}");
    assert!(!text.contains(" style=") && !text.contains("<script"), "{text}");
}

#[tokio::test]
async fn a_link_that_is_only_looked_at_stays_good() {
    let app = boot().await;
    register(&app.anonymous(), "ada").await;
    let token = newest_token(&app, "ada").await;
    let link = format!("{VERIFY}?token={token}");
    let first = app.anonymous().get(&link).await;
    is_page(&first, 200, &format!("value=\"{token}\""));
    let again = app.anonymous().get(&link).await;
    assert_ne!(first.header("content-security-policy"), again.header("content-security-policy"));
    assert_eq!(app.anonymous().raw(Method::HEAD, &link, &[], "").await.status, 200);

    is_page(&submit(&app, VERIFY, &[("token", &token)]).await, 200, "Your address is confirmed");
    let dead = submit(&app, VERIFY, &[("token", &token)]).await;
    is_page(&dead, 410, "This link does not work any more");
    assert!(!dead.text().contains("<form"));
    is_page(&submit(&app, VERIFY, &[]).await, 410, "This link does not work any more");
}

#[tokio::test]
async fn a_password_is_reset_by_the_page() {
    let app = boot_with("identity.password_min_length", "12").await;
    register(&app.anonymous(), "ada").await;
    app.settle().await;
    app.advance(Duration::from_secs(1));
    let body = json!({"email": "ada@example.com"});
    app.anonymous().post("/api/v1/auth/password/forgot", body).await;
    let token = newest_token(&app, "ada").await;
    let page = app.anonymous().get(&format!("{RESET}?token={token}")).await;
    is_page(&page, 200, "At least 12 characters");
    assert!(!page.text().contains("aria-invalid=\"true\""));

    for (password, fault) in [
        ("short", "must have at least 8 characters."),
        ("eleven char", "must have at least 12 characters."),
        ("ada@example.com", "must not be your e-mail address"),
    ] {
        let reply = submit(&app, RESET, &[("token", &token), ("new_password", password)]).await;
        is_page(&reply, 422, fault);
        let text = reply.text();
        assert!(text.contains("aria-invalid=\"true\" aria-describedby=\"new_password-fault\""), "{text}");
        assert!(text.contains("id=\"new_password-fault\"") && text.contains("role=\"alert\""), "{text}");
        assert!(text.contains(&token) && !text.contains(&format!("value=\"{password}\"")), "{text}");
    }
    let new = "a much finer engine";
    is_page(&submit(&app, RESET, &[("token", &token), ("new_password", new)]).await, 200, "is changed");
    assert_eq!(sign_in(&app.anonymous(), "ada", new).await.status, 200);
    is_page(&submit(&app, RESET, &[("token", &token), ("new_password", new)]).await, 410, "does not work");
}

#[tokio::test]
async fn an_invitation_is_accepted_by_the_page() {
    let app = boot_with("identity.registration", "invitation").await;
    let admin = app.admin().await;
    let body = json!({"email": address("ada")});
    assert_eq!(admin.post("/api/v1/users/invitations", body).await.status, 202);
    let token = newest_token(&app, "ada").await;
    is_page(&app.anonymous().get(&format!("{REGISTER}?token={token}")).await, 200, &token);

    let form = |email: &'static str, password: &'static str| {
        [("token", token.clone()), ("email", email.to_owned()), ("new_password", password.to_owned())]
    };
    let send = |fields: [(&'static str, String); 3]| {
        let app = &app;
        async move {
            let fields: Vec<(&str, &str)> = fields.iter().map(|(key, value)| (*key, &**value)).collect();
            submit(app, REGISTER, &fields).await
        }
    };
    let both = send(form("nobody", "short")).await;
    is_page(&both, 422, "aria-describedby=\"email-fault\"");
    assert!(both.text().contains("aria-describedby=\"new_password-fault\""));
    assert!(both.text().contains("value=\"nobody\""), "what was typed is still there");
    is_page(&send(form("eve@example.com", PASSWORD)).await, 422, "The invitation is for another address");
    let guessable = send(form("ada@example.com", "ada@example.com")).await;
    is_page(&guessable, 422, "aria-describedby=\"new_password-fault\"");
    is_page(&send(form("ada@example.com", PASSWORD)).await, 200, "Your account is made");
    assert_eq!(sign_in(&app.anonymous(), "ada", PASSWORD).await.status, 200);
    let without = submit(&app, REGISTER, &[("email", "bob@example.com"), ("new_password", PASSWORD)]).await;
    is_page(&without, 410, "does not work any more");
}

#[tokio::test]
async fn the_page_conceals_accounts_too() {
    let app = boot_with("identity.conceal_accounts", "true").await;
    let fields = [("email", "ada@example.com"), ("new_password", PASSWORD)];
    for _ in 0..2 {
        is_page(&submit(&app, REGISTER, &fields).await, 200, "Look into your mailbox");
        app.settle().await;
        app.advance(Duration::from_secs(1));
    }
    assert_eq!(templates(&app, "ada").await, ["identity.verify_email", "identity.address_in_use"]);

    let app = boot().await;
    register(&app.anonymous(), "ada").await;
    is_page(&submit(&app, REGISTER, &fields).await, 422, "An account with this address exists already.");
}

#[tokio::test]
async fn markup_in_what_is_sent_is_text() {
    let app = boot().await;
    let evil = "\"><script>alert(1)</script>";
    let query = serde_urlencoded::to_string([("token", evil)]).unwrap();
    for path in [VERIFY, RESET, REGISTER] {
        let reply = app.anonymous().get(&format!("{path}?{query}")).await;
        is_page(&reply, 200, "&#60;script&#62;");
    }
    let reply = submit(&app, REGISTER, &[("token", evil), ("email", evil), ("new_password", "x")]).await;
    is_page(&reply, 422, "&#60;script&#62;");
    // An address may hold an apostrophe or an ampersand.
    let reply = submit(&app, REGISTER, &[("email", "o'neil&sons@example.com"), ("new_password", "x")]).await;
    assert!(!reply.text().contains("o'neil&sons"), "{}", reply.text());
    is_page(&reply, 422, "sons@example.com");
}

#[tokio::test]
async fn a_form_of_another_kind_is_refused() {
    let app = boot().await;
    let json = [("content-type", "application/json")];
    let reply = app.anonymous().raw(Method::POST, VERIFY, &json, "{}").await;
    assert_eq!(reply.status, 415);
}
