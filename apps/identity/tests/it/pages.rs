//! The rules of the pages: sessions by cookie, and that nobody else can use them.

use std::time::Duration;

use http::Method;
use mainstay_testkit::{Browser, Config, Reply, TestApp, json};
use sea_orm::ConnectionTrait as _;

use super::recovery::{PASSWORD, address, boot, boot_with, newest_token, register, sign_in};

const ACCOUNT: &str = "/console/account";
const COOKIE: &str = "mainstay";
const HOUR: Duration = Duration::from_secs(3600);

/// A browser of `ada`, signed in by the page.
async fn signed_in(app: &TestApp) -> Browser {
    let mut browser = app.browser();
    enter(&mut browser, PASSWORD).await;
    browser
}

async fn enter(browser: &mut Browser, password: &str) {
    browser.open("/login").await;
    let reply = browser.submit("/login", &[("name", "ada"), ("password", password)]).await;
    assert_eq!((reply.status.as_u16(), reply.header("location")), (303, "/"), "{}", reply.text());
}

async fn with_ada() -> TestApp {
    let app = boot().await;
    register(&app.anonymous(), "ada").await;
    app
}

/// Whether the browser is signed in still.
async fn is_in(browser: &mut Browser) -> bool {
    let reply = browser.open(ACCOUNT).await;
    match reply.status.as_u16() {
        200 => true,
        303 => {
            assert_eq!(reply.header("location"), "/login?next=%2Fconsole%2Faccount");
            false
        }
        status => panic!("{status} {}", reply.text()),
    }
}

fn is_page(reply: &Reply, status: u16, contains: &str) {
    let text = reply.text();
    assert_eq!(
        (reply.status.as_u16(), reply.header("content-type")),
        (status, "text/html; charset=utf-8"),
        "{text}"
    );
    assert!(text.contains(contains), "{contains:?} is not in {text}");
    assert_eq!(reply.header("cache-control"), "private, no-store");
    assert_eq!(
        reply.header("content-security-policy"),
        "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    );
    assert!(!text.contains("style=\"") && !text.contains("<style") && !text.contains("<script"), "{text}");
}

#[tokio::test]
async fn a_sign_in_gives_a_cookie_that_only_pages_take() {
    let app = with_ada().await;
    let mut browser = app.browser();
    is_page(&browser.open("/login").await, 200, "E-mail address or username");
    let reply = browser.submit("/login", &[("name", "ADA@example.com"), ("password", PASSWORD)]).await;
    assert_eq!((reply.status.as_u16(), reply.header("location")), (303, "/"));
    let line = reply.header("set-cookie");
    let value = browser.cookie(COOKIE).unwrap().to_owned();
    assert_eq!(line, format!("mainstay={value}; Path=/; Max-Age=1209600; HttpOnly; SameSite=Lax"));
    assert_eq!(value.len(), 43, "256 bits, 192 of them random");
    is_page(&browser.open("/").await, 200, "Hello, ada");
    is_page(&browser.open(ACCOUNT).await, 200, "This one");

    let api = browser.request(Method::GET, "/api/v1/auth/me", &[], String::new()).await;
    assert_eq!(api.status, 401, "the API never takes the cookie");
    let caller = sign_in(&app.anonymous(), "ada", PASSWORD).await;
    let bearer = format!("Bearer {}", caller.json["access_token"].as_str().unwrap());
    let page = app.anonymous().get_with(ACCOUNT, &[("authorization", &bearer)]).await;
    assert_eq!(page.status, 303, "pages take nothing but the cookie");
    let session = app.with_token(&bearer[7..]).get("/api/v1/auth/sessions").await;
    assert_eq!(session.json["total"], 2, "both are listed");
}

#[tokio::test]
async fn over_tls_the_cookie_is_of_this_host_only() {
    let app = boot_with("http.public_url", "https://app.example.com").await;
    register(&app.anonymous(), "ada").await;
    let browser = signed_in(&app).await;
    assert!(browser.cookie("__Host-mainstay").is_some() && browser.cookie(COOKIE).is_none());
    let mut guest = app.browser();
    let reply = guest.open("/login").await;
    let guest_line = reply.header("set-cookie");
    assert!(
        guest_line.starts_with("__Host-mainstay-guest=") && guest_line.ends_with("; Secure"),
        "{guest_line}"
    );
    assert!(!reply.header("strict-transport-security").is_empty());
}

#[tokio::test]
async fn what_was_planted_before_a_sign_in_opens_nothing_after_it() {
    let app = with_ada().await;
    let mut victim = app.browser();
    let planted = "p".repeat(43);
    victim.set_cookie(COOKIE, &planted);
    enter(&mut victim, PASSWORD).await;
    let first = victim.cookie(COOKIE).unwrap().to_owned();
    assert_ne!(first, planted);
    let mut thief = app.browser();
    thief.set_cookie(COOKIE, &planted);
    assert!(!is_in(&mut thief).await);

    // A second sign-in is another session, and the one before has ended.
    assert!(is_in(&mut victim).await);
    let reply = victim.submit("/login", &[("name", "ada"), ("password", PASSWORD)]).await;
    assert_eq!(reply.status, 303, "{}", reply.text());
    assert_ne!(victim.cookie(COOKIE), Some(&*first));
    thief.set_cookie(COOKIE, &first);
    assert!(!is_in(&mut thief).await && is_in(&mut victim).await);
}

#[tokio::test]
async fn the_password_change_gives_another_cookie_and_ends_other_sessions() {
    let app = with_ada().await;
    let (mut here, mut there) = (signed_in(&app).await, signed_in(&app).await);
    let before = here.cookie(COOKIE).unwrap().to_owned();
    assert!(is_in(&mut here).await && is_in(&mut there).await);
    let change = format!("{ACCOUNT}/password");
    let wrong =
        here.submit(&change, &[("current_password", "nonsense"), ("new_password", "a finer engine")]).await;
    is_page(&wrong, 422, "Present password is not right.");
    assert!(
        wrong.text().contains("aria-describedby=\"password-current_password-fault\""),
        "{}",
        wrong.text()
    );
    let fields = [("current_password", PASSWORD), ("new_password", "a finer engine")];
    is_page(&here.submit_and_follow(&change, &fields).await, 200, "Your password is changed.");
    assert_ne!(here.cookie(COOKIE), Some(&*before));
    assert!(is_in(&mut here).await && !is_in(&mut there).await);
    let mut thief = app.browser();
    thief.set_cookie(COOKIE, &before);
    assert!(!is_in(&mut thief).await, "the old cookie opens nothing");
    let text = here.open(ACCOUNT).await.text();
    assert!(!text.contains("is changed"), "a message is shown once: {text}");
}

#[tokio::test]
async fn sessions_end_by_themselves_and_by_hand() {
    let app = with_ada().await;
    let mut browser = signed_in(&app).await;
    for _ in 0..3 {
        app.advance(23 * HOUR);
        assert!(is_in(&mut browser).await, "it is used");
    }
    app.advance(24 * HOUR);
    assert!(!is_in(&mut browser).await, "it was not used for a day");

    let mut browser = signed_in(&app).await;
    for _ in 0..17 {
        app.advance(20 * HOUR);
        is_in(&mut browser).await;
    }
    assert!(!is_in(&mut browser).await, "two weeks are over");

    let (mut here, mut there) = (signed_in(&app).await, signed_in(&app).await);
    here.open(ACCOUNT).await;
    let id = here.hidden("id");
    is_page(
        &here.submit_and_follow(&format!("{ACCOUNT}/sessions/end"), &[("id", &id)]).await,
        200,
        "is signed out",
    );
    assert!(is_in(&mut here).await && !is_in(&mut there).await);
    let mut there = signed_in(&app).await;
    here.open(ACCOUNT).await;
    let reply = here.submit(&format!("{ACCOUNT}/sessions/end-all"), &[]).await;
    assert_eq!(reply.header("clear-site-data"), "\"cache\", \"storage\"");
    assert!(!is_in(&mut here).await && !is_in(&mut there).await);
}

#[tokio::test]
async fn an_account_that_is_switched_off_is_signed_out() {
    let app = with_ada().await;
    let mut browser = signed_in(&app).await;
    assert!(is_in(&mut browser).await);
    let admin = app.admin().await;
    let users = admin.get("/api/v1/users?q=ada").await;
    let id = users.json["items"][0]["id"].as_str().unwrap();
    let reply = admin.patch(&format!("/api/v1/users/{id}"), &[], json!({"is_active": false})).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert!(!is_in(&mut browser).await);
}

#[tokio::test]
async fn signing_out_leaves_nothing() {
    let app = with_ada().await;
    let mut browser = signed_in(&app).await;
    let value = browser.cookie(COOKIE).unwrap().to_owned();
    browser.open("/").await;
    let reply = browser.submit("/logout", &[]).await;
    assert_eq!((reply.status.as_u16(), reply.header("location")), (303, "/login"));
    assert_eq!(reply.header("clear-site-data"), "\"cache\", \"storage\"");
    assert!(browser.cookie(COOKIE).is_none());
    is_page(&browser.open("/login").await, 200, "You are signed out.");
    let mut thief = app.browser();
    thief.set_cookie(COOKIE, &value);
    assert!(!is_in(&mut thief).await);
    let mut browser = signed_in(&app).await;
    is_page(&browser.open("/logout").await, 200, "Sign out?");
    assert!(is_in(&mut browser).await, "a link signs nobody out");
    assert_eq!(app.browser().open("/logout").await.header("location"), "/");
}

/// {token right, absent, another session's, of before the sign-in} × {same-origin, same-site,
/// cross-site, header absent} × {form, multipart, text}: one of 48 is let in.
#[tokio::test]
async fn what_no_page_of_ours_sent_changes_nothing() {
    let app = with_ada().await;
    let mut browser = signed_in(&app).await;
    browser.open(ACCOUNT).await;
    let stale = browser.form_token();
    browser.submit("/login", &[("name", "ada"), ("password", PASSWORD)]).await;
    let mut other = signed_in(&app).await;
    other.open(ACCOUNT).await;
    browser.open(ACCOUNT).await;
    let (right, version) = (browser.form_token(), browser.hidden("version"));
    let path = format!("{ACCOUNT}/profile");
    let untouched = browser.open("/").await.text();
    let mut passed = 0;
    for token in [Some(&right), None, Some(&other.form_token()), Some(&stale)] {
        for site in [Some("same-origin"), Some("same-site"), Some("cross-site"), None] {
            for kind in ["application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "text/plain"]
            {
                let name = "Mallory";
                let mut fields = vec![("username", "ada"), ("name", name), ("version", &version)];
                fields.extend(token.map(|token| ("form_token", token.as_str())));
                let body = match kind {
                    "application/x-www-form-urlencoded" => serde_urlencoded::to_string(&fields).unwrap(),
                    "text/plain" => fields.iter().map(|(key, value)| format!("{key}={value}\r\n")).collect(),
                    _ => {
                        let part = |(key, value): &(&str, &str)| {
                            format!(
                                "--x\r\nContent-Disposition: form-data; name=\"{key}\"\r\n\r\n{value}\r\n"
                            )
                        };
                        fields.iter().map(part).collect::<String>() + "--x--\r\n"
                    }
                };
                let mut headers = vec![("content-type", kind)];
                headers.extend(site.map(|site| ("sec-fetch-site", site)));
                let what = format!("{:?} {site:?} {kind}", token.map(|token| token == &right));
                let good =
                    token == Some(&right) && site == Some("same-origin") && kind.contains("urlencoded");
                if good {
                    // Last, so that all others find things as they were.
                    passed += 1;
                    continue;
                }
                let reply = browser.request(Method::POST, &path, &headers, body).await;
                let expected: &[u16] = if site == Some("same-origin") { &[403, 415] } else { &[403] };
                assert!(expected.contains(&reply.status.as_u16()), "{what}: {}", reply.status);
                is_page(&reply, reply.status.as_u16(), "<h1>");
                let now = browser.open("/").await.text();
                let name_of =
                    |page: &str| page.split("<h1>").nth(1).unwrap().split("</h1>").next().unwrap().to_owned();
                assert_eq!(name_of(&now), name_of(&untouched), "{what}");
            }
        }
    }
    assert_eq!(passed, 1);
    let fields = [("username", "ada"), ("name", "Ada Lovelace"), ("version", &version)];
    browser.open(ACCOUNT).await;
    is_page(&browser.submit_and_follow(&path, &fields).await, 200, "Your profile is saved.");
    is_page(&browser.open("/").await, 200, "Hello, Ada Lovelace");
    // A browser without that header is known by its origin.
    browser.open(ACCOUNT).await;
    let (token, version) = (browser.form_token(), browser.hidden("version"));
    let body = [("username", "ada"), ("name", "Ada"), ("version", &version), ("form_token", &token)];
    let body = serde_urlencoded::to_string(body).unwrap();
    let form = ("content-type", "application/x-www-form-urlencoded");
    for (origin, status) in [("https://evil.example", 403), ("null", 403), ("http://127.0.0.1:8080", 303)] {
        let reply = browser.request(Method::POST, &path, &[form, ("origin", origin)], body.clone()).await;
        assert_eq!(reply.status.as_u16(), status, "{origin}");
    }
}

#[tokio::test]
async fn after_a_sign_in_one_goes_on_where_one_wanted_to_but_never_elsewhere() {
    let app = with_ada().await;
    for (next, to) in [
        ("/console/account", "/console/account"),
        ("/?a=b", "/?a=b"),
        ("https://evil.example", "/"),
        ("//evil.example", "/"),
        ("/\\evil.example", "/"),
        ("/%0d%0aSet-Cookie:a=b", "/%0d%0aSet-Cookie:a=b"),
        ("javascript:alert(1)", "/"),
        ("", "/"),
    ] {
        let mut browser = app.browser();
        let query = serde_urlencoded::to_string([("next", next)]).unwrap();
        browser.open(&format!("/login?{query}")).await;
        let shown = browser.hidden("next");
        assert!(shown.is_empty() || next.starts_with('/'), "{next} {shown}");
        let reply =
            browser.submit("/login", &[("next", next), ("name", "ada"), ("password", PASSWORD)]).await;
        assert_eq!((reply.status.as_u16(), reply.header("location")), (303, to), "{next}");
        assert_eq!(
            browser.open(&format!("/login?{query}")).await.header("location"),
            to,
            "{next}, signed in"
        );
    }
}

#[tokio::test]
async fn a_wrong_sign_in_is_one_answer_and_is_locked_as_in_the_api() {
    let app = with_ada().await;
    let mut browser = app.browser();
    browser.open("/login").await;
    for (name, password) in [("nobody", PASSWORD), ("ada", "nonsense"), ("ada\0", PASSWORD)] {
        let reply = browser.submit("/login", &[("name", name), ("password", password)]).await;
        is_page(&reply, 422, "The name or the password is wrong.");
        assert!(!reply.text().contains(password), "a password is never shown again");
    }
    for _ in 0..4 {
        browser.submit("/login", &[("name", "ada"), ("password", "nonsense")]).await;
    }
    let locked = browser.submit("/login", &[("name", "ada"), ("password", PASSWORD)]).await;
    is_page(&locked, 429, "too many failed attempts");
    assert_eq!(locked.header("retry-after"), "60");
    let empty = browser.submit("/login", &[("name", " ")]).await;
    is_page(&empty, 422, "Password is needed.");
}

#[tokio::test]
async fn people_see_pages_where_programs_see_problems() {
    let app = with_ada().await;
    let mut browser = app.browser();
    is_page(&browser.open("/nowhere").await, 404, "There is no such page");
    assert_eq!(app.anonymous().get("/nowhere").await.header("content-type"), "application/problem+json");
    let api =
        browser.request(Method::GET, "/api/v1/nowhere", &[("accept", "text/html")], String::new()).await;
    assert_eq!(api.header("content-type"), "application/problem+json");
    let reply =
        browser.request(Method::DELETE, "/login", &[("sec-fetch-site", "same-origin")], String::new()).await;
    is_page(&reply, 405, "<h1>");
    assert!(reply.header("allow").contains("POST"));
    let head = browser.request(Method::HEAD, "/login", &[], String::new()).await;
    assert_eq!((head.status.as_u16(), head.bytes.len()), (200, 0));
}

#[tokio::test]
async fn a_failure_is_a_page_that_tells_nothing_of_its_cause() {
    let app = with_ada().await;
    let mut browser = signed_in(&app).await;
    assert!(is_in(&mut browser).await);
    let rename = "ALTER TABLE users RENAME COLUMN username_norm TO gone";
    app.db().primary().execute_unprepared(rename).await.unwrap();
    for (path, fields) in [("/login", vec![("name", "ada"), ("password", PASSWORD)]), ("/", Vec::new())] {
        let reply =
            if fields.is_empty() { browser.open(path).await } else { browser.submit(path, &fields).await };
        is_page(&reply, 500, "Something went wrong");
        assert!(reply.text().contains(reply.header("x-request-id")), "it can be reported");
        for told in ["username_norm", "SELECT", "database", "{"] {
            assert!(!reply.text().contains(told), "{told}: {}", reply.text());
        }
    }
}

#[tokio::test]
async fn keys_are_made_shown_once_and_revoked() {
    let app = with_ada().await;
    let mut browser = signed_in(&app).await;
    browser.open(ACCOUNT).await;
    let keys = format!("{ACCOUNT}/keys");
    is_page(
        &browser.submit(&keys, &[("name", ""), ("scope", "read"), ("days", "30")]).await,
        422,
        "What it is for",
    );
    let made = browser.submit(&keys, &[("name", "robot <1>"), ("scope", "read"), ("days", "30")]).await;
    is_page(&made, 200, "robot &#60;1&#62;");
    let text = made.text();
    let key = text.split("id=\"new-key\">").nth(1).unwrap().split('<').next().unwrap().to_owned();
    let robot = app.with_token(&key);
    assert_eq!(robot.get("/api/v1/auth/me").await.status, 200);
    assert_eq!(robot.patch("/api/v1/auth/me", &[], json!({"name": "x"})).await.status, 403, "it only reads");
    let page = browser.open(ACCOUNT).await;
    is_page(&page, 200, "Reading only");
    assert!(!page.text().contains(&key));
    let text = page.text();
    let form = text.split("action=\"/console/account/keys/revoke\"").nth(1).unwrap();
    let id = form.split("name=\"id\" value=\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
    is_page(
        &browser.submit_and_follow(&format!("{keys}/revoke"), &[("id", &id)]).await,
        200,
        "The key is revoked.",
    );
    assert_eq!(robot.get("/api/v1/auth/me").await.status, 401);
}

#[tokio::test]
async fn an_account_is_deleted_with_its_password_only() {
    let app = with_ada().await;
    let mut browser = signed_in(&app).await;
    browser.open(ACCOUNT).await;
    let delete = format!("{ACCOUNT}/delete");
    is_page(&browser.submit(&delete, &[("password", "nonsense")]).await, 422, "Your password is not right.");
    is_page(
        &browser.submit_and_follow(&delete, &[("password", PASSWORD)]).await,
        200,
        "Your account is deleted.",
    );
    assert!(!is_in(&mut browser).await);
    assert_eq!(sign_in(&app.anonymous(), "ada", PASSWORD).await.status, 401);
}

#[tokio::test]
async fn two_windows_do_not_overwrite_each_others_profile() {
    let app = with_ada().await;
    let mut browser = signed_in(&app).await;
    browser.open(ACCOUNT).await;
    let version = browser.hidden("version");
    let path = format!("{ACCOUNT}/profile");
    let fields = |name: &'static str| [("username", "ada"), ("name", name), ("version", version.as_str())];
    assert_eq!(browser.submit(&path, &fields("First")).await.status, 303);
    is_page(&browser.submit(&path, &fields("Second")).await, 422, "changed somewhere else");
    is_page(&browser.open("/").await, 200, "Hello, First");
}

#[tokio::test]
async fn who_registers_is_signed_in_unless_a_mail_must_be_answered_first() {
    let app = boot().await;
    let mut browser = app.browser();
    is_page(&browser.open("/register").await, 200, "At least 8 characters");
    let both = browser.submit("/register", &[("email", "nobody"), ("password", "short")]).await;
    is_page(&both, 422, "aria-describedby=\"register-email-fault\"");
    assert!(both.text().contains("aria-describedby=\"register-password-fault register-password-hint\""));
    assert!(both.text().contains("value=\"nobody\"") && !both.text().contains("value=\"short\""));
    let fields = [("email", "ada@example.com"), ("password", PASSWORD), ("name", "Ada")];
    is_page(&browser.submit_and_follow("/register", &fields).await, 200, "Your account is made.");
    is_page(&browser.open("/").await, 200, "is not confirmed yet");
    let token = newest_token(&app, "ada").await;
    browser.open(&format!("/console/verify-email?token={token}")).await;
    let done = browser.submit_and_follow("/console/verify-email", &[("token", &token)]).await;
    is_page(&done, 200, "your e-mail address is confirmed");
    is_page(&browser.submit("/console/verify-email", &[("token", &token)]).await, 410, "Send me another");
    let mut other = app.browser();
    other.open("/register").await;
    is_page(&other.submit("/register", &fields).await, 422, "E-mail address is taken");

    let app = boot_with("identity.require_verified_email", "true").await;
    let mut browser = app.browser();
    browser.open("/register").await;
    is_page(&browser.submit_and_follow("/register", &fields).await, 200, "Open the link in the mail");
    let early =
        browser.submit_and_follow("/login", &[("name", "ada@example.com"), ("password", PASSWORD)]).await;
    is_page(&early, 200, "Please confirm your e-mail address first.");
}

#[tokio::test]
async fn a_forgotten_password_is_replaced_by_the_pages() {
    let app = boot_with("identity.password_min_length", "12").await;
    register(&app.anonymous(), "ada").await;
    let mut browser = app.browser();
    browser.open("/console/forgot-password").await;
    is_page(&browser.submit("/console/forgot-password", &[("email", "nobody")]).await, 422, "E-mail address");
    for email in ["ada@example.com", "nobody@example.com"] {
        let sent = browser.submit_and_follow("/console/forgot-password", &[("email", email)]).await;
        is_page(&sent, 200, "If there is an account with this address");
    }
    let token = newest_token(&app, "ada").await;
    let link = format!("/console/reset-password?token={token}");
    is_page(&browser.open(&link).await, 200, "At least 12 characters");
    for (password, fault) in [
        ("short", "must have at least 8 characters."),
        ("eleven char", "must have at least 12 characters."),
        ("ada@example.com", "must not be your e-mail address"),
    ] {
        let fields = [("token", token.as_str()), ("new_password", password)];
        let reply = browser.submit("/console/reset-password", &fields).await;
        is_page(&reply, 422, fault);
        assert!(reply.text().contains("role=\"alert\"") && reply.text().contains("<title>Error: "));
        assert!(reply.text().contains(&token) && !reply.text().contains(&format!("value=\"{password}\"")));
    }
    let fields = [("token", token.as_str()), ("new_password", "a much finer engine")];
    let done = browser.submit_and_follow("/console/reset-password", &fields).await;
    is_page(&done, 200, "Your password is changed. Sign in with the new one.");
    enter(&mut browser, "a much finer engine").await;
    is_page(&app.browser().open(&link).await, 200, "Choose a new password");
    browser.open(&link).await;
    is_page(&browser.submit("/console/reset-password", &fields).await, 410, "does not work any more");
}

#[tokio::test]
async fn an_invitation_is_accepted_by_the_page() {
    let app = boot_with("identity.registration", "invitation").await;
    let admin = app.admin().await;
    let body = json!({"email": address("ada")});
    assert_eq!(admin.post("/api/v1/users/invitations", body).await.status, 202);
    let token = newest_token(&app, "ada").await;
    let mut browser = app.browser();
    is_page(&browser.open("/register").await, 403, "You need an invitation");
    is_page(
        &browser.open(&format!("/register?token={token}")).await,
        200,
        "The one that the invitation came to.",
    );
    let fields = |email: &'static str| [("token", token.as_str()), ("email", email), ("password", PASSWORD)];
    is_page(
        &browser.submit("/register", &fields("eve@example.com")).await,
        422,
        "The invitation is for another address",
    );
    is_page(
        &browser.submit_and_follow("/register", &fields("ada@example.com")).await,
        200,
        "Your account is made.",
    );
    assert!(!browser.open("/").await.text().contains("not confirmed"));
    let mut other = app.browser();
    other.open(&format!("/register?token={token}")).await;
    let bare = [("email", "bob@example.com"), ("password", PASSWORD)];
    is_page(&other.submit("/register", &bare).await, 403, "You need an invitation");
}

#[tokio::test]
async fn the_page_conceals_accounts_too() {
    let app = boot_with("identity.conceal_accounts", "true").await;
    let mut browser = app.browser();
    for _ in 0..2 {
        browser.open("/register").await;
        let fields = [("email", "ada@example.com"), ("password", PASSWORD)];
        is_page(&browser.submit_and_follow("/register", &fields).await, 200, "Look into your mailbox");
    }
}

#[tokio::test]
async fn markup_in_what_is_sent_is_text() {
    let app = boot().await;
    let evil = "\"><script>alert(1)</script>";
    let query = serde_urlencoded::to_string([("token", evil), ("next", evil)]).unwrap();
    for path in ["/console/verify-email", "/console/reset-password", "/register", "/login"] {
        let reply = app.browser().open(&format!("{path}?{query}")).await;
        is_page(&reply, 200, "<form");
    }
    let mut browser = app.browser();
    browser.open("/register").await;
    let reply = browser.submit("/register", &[("email", evil), ("name", evil), ("password", "x")]).await;
    is_page(&reply, 422, "&#60;script&#62;");
}

#[tokio::test]
async fn the_stylesheet_is_kept_by_browsers_until_it_changes() {
    let app = TestApp::boot_with(Config::defaults(), |backend| backend).await;
    let page = app.browser().open("/login").await.text();
    let path = page.split("rel=\"stylesheet\" href=\"").nth(1).unwrap().split('"').next().unwrap();
    let reply = app.anonymous().get(path).await;
    assert_eq!((reply.status.as_u16(), reply.header("content-type")), (200, "text/css; charset=utf-8"));
    assert_eq!(reply.header("cache-control"), "public, max-age=31536000, immutable");
    assert!(!reply.text().contains("http"), "nothing is fetched from elsewhere");
}
