//! The pages in a real browser, as people use them.

use std::path::Path;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use mainstay_e2e::{Browser, Look, PASSWORD, Server, Site, json};

const NEW_PASSWORD: &str = "another fine engine";
const TAB: &str = "\u{e004}";
const ENTER: &str = "\u{e007}";

const DESKTOP: (u32, u32) = (1280, 900);
const PHONE: (u32, u32) = (390, 844);
/// The narrowest screen, and a wide one at 400 %.
const NARROWEST: (u32, u32) = (320, 640);

pub(crate) fn url(server: &Server, path: &str) -> String {
    format!("http://{}{path}", server.address)
}

pub(crate) async fn started() -> (Site, Server) {
    let site = Site::new();
    let server = site.serve().await;
    site.create_admin();
    (site, server)
}

pub(crate) async fn sign_in(browser: &Browser, server: &Server, name: &str, password: &str) {
    browser.open(&url(server, "/login")).await;
    browser.fill("#login-name", name).await;
    browser.fill("#login-password", password).await;
    browser.click("main .button").await;
}

async fn register(browser: &Browser, server: &Server) {
    browser.open(&url(server, "/register")).await;
    fill_in(browser, "ada@example.com", "Ada Lovelace").await;
}

/// On the page where one registers.
pub(crate) async fn fill_in(browser: &Browser, email: &str, name: &str) {
    browser.fill("#register-email", email).await;
    browser.fill("#register-name", name).await;
    browser.fill("#register-password", PASSWORD).await;
    browser.click("main .button").await;
}

/// Opens the newest mail with this subject, as soon as there is one.
pub(crate) async fn open_mail(staff: &Browser, server: &Server, subject: &str) {
    let began = Instant::now();
    staff.open(&url(server, "/console/mailbox")).await;
    while !staff.text().await.contains(subject) {
        assert!(began.elapsed() < Duration::from_secs(30), "no mail came: {}", staff.text().await);
        tokio::time::sleep(Duration::from_millis(100)).await;
        staff.open(&url(server, "/console/mailbox")).await;
    }
    staff.follow(subject).await;
}

#[tokio::test]
async fn somebody_registers_proves_their_address_and_looks_after_their_account() {
    let (_site, server) = started().await;
    let (ada, staff) = tokio::join!(Browser::start(), Browser::start());

    ada.open(&url(&server, "/")).await;
    ada.follow("Make an account").await;
    assert_eq!(ada.path().await, "/register");
    register(&ada, &server).await;
    assert_eq!(ada.path().await, "/");
    let text = ada.text().await;
    assert!(text.contains("Welcome!") && text.contains("Hello, Ada Lovelace"), "{text}");
    assert!(text.contains("is not confirmed yet"), "{text}");

    sign_in(&staff, &server, "admin@example.com", PASSWORD).await;
    open_mail(&staff, &server, "Confirm your e-mail address").await;
    let link = staff.script("return document.querySelector('.letter a').href", json!([])).await;
    ada.open(link.as_str().unwrap()).await;
    ada.click("main .button").await;
    let text = ada.text().await;
    assert!(
        text.contains("your e-mail address is confirmed") && !text.contains("not confirmed yet"),
        "{text}"
    );

    ada.click("header .link").await;
    assert!(ada.text().await.contains("You are signed out."));
    ada.open(&url(&server, "/console/account")).await;
    assert_eq!(ada.path().await, "/login?next=%2Fconsole%2Faccount");

    // By keyboard alone.
    type_text(&ada, "ada@example.com").await;
    ada.key(TAB).await;
    type_text(&ada, PASSWORD).await;
    ada.key(ENTER).await;
    ada.left("/login?next=%2Fconsole%2Faccount").await;
    assert_eq!(ada.path().await, "/console/account");

    ada.fill("#password-current_password", PASSWORD).await;
    ada.fill("#password-new_password", NEW_PASSWORD).await;
    ada.click("form[action$='/password'] .button").await;
    assert!(ada.text().await.contains("Your password is changed."), "{}", ada.text().await);

    ada.fill("#key-name", "robot").await;
    ada.click("form[action$='/keys'] .button").await;
    let key = ada.script("return document.querySelector('#new-key').innerText", json!([])).await;
    let robot = server.client().with_token(key.as_str().unwrap());
    assert_eq!(robot.get("/api/v1/auth/me").await.json["email"], "ada@example.com");
    ada.follow("Done").await;
    assert!(ada.text().await.contains("robot"));

    ada.click("header .link").await;
    sign_in(&ada, &server, "ada@example.com", PASSWORD).await;
    assert!(ada.text().await.contains("The name or the password is wrong."));
    let focused = ada.script("return document.activeElement.className", json!([])).await;
    assert_eq!(focused, "summary", "what is wrong is read first");
    sign_in(&ada, &server, "ada@example.com", NEW_PASSWORD).await;
    assert_eq!(ada.path().await, "/");
}

async fn type_text(browser: &Browser, text: &str) {
    for key in text.chars() {
        browser.key(&key.to_string()).await;
    }
}

/// Looks at the open page in both schemes and several sizes.
pub(crate) async fn inspect(browser: &Browser, name: &str) {
    for dark in [false, true] {
        for ((width, height), size) in [(DESKTOP, "desktop"), (PHONE, "phone"), (NARROWEST, "narrow")] {
            browser.look(Look { dark, width, height }).await;
            let scheme = if dark { "dark" } else { "light" };
            let what = format!("{name}-{size}-{scheme}");
            let wide = browser.script("return document.documentElement.scrollWidth", json!([])).await;
            assert!(wide.as_u64().unwrap() <= u64::from(width), "{what} scrolls sideways: {wide}");
            if size != "narrow" {
                let violations = browser.violations().await;
                assert!(violations.is_empty(), "{what}:\n{}", violations.join("\n"));
            }
            if let Some(folder) = std::env::var_os("MAINSTAY_TEST_PICTURES") {
                let picture = STANDARD.decode(browser.picture().await).unwrap();
                std::fs::create_dir_all(&folder).unwrap();
                std::fs::write(Path::new(&folder).join(format!("{what}.png")), picture).unwrap();
            }
        }
    }
    let (width, height) = DESKTOP;
    browser.look(Look { dark: false, width, height }).await;
}

#[tokio::test]
async fn every_page_can_be_used_by_everybody() {
    let (_site, server) = started().await;
    let browser = Browser::start().await;
    let admin = server.admin().await;
    let place = admin.post("/api/v1/organizations", json!({"name": "Lovelace Ltd"})).await;
    let invitations = format!("{}/invitations", place.header("location"));
    let invited = admin.post(&invitations, json!({"email": "bob@example.com", "role": "user"})).await;
    let token = invited.json["token"].as_str().unwrap();
    let invitation = format!("/console/invitations/accept?token={token}");

    browser.open(&url(&server, "/login")).await;
    browser.script("document.querySelectorAll('label').forEach(label => label.remove())", json!([])).await;
    assert!(!browser.violations().await.is_empty(), "what finds faults has to find this one");

    for (name, path) in [
        ("landing", "/"),
        ("login", "/login"),
        ("register", "/register"),
        ("invited", "/register?token=sample"),
        ("forgot", "/console/forgot-password"),
        ("reset", "/console/reset-password?token=sample"),
        ("verify", "/console/verify-email?token=sample"),
        ("resend", "/console/resend-verification"),
        ("missing", "/no-such-page"),
        ("invitation", &invitation),
        ("no-invitation", "/console/invitations/accept?token=sample"),
    ] {
        browser.open(&url(&server, path)).await;
        inspect(&browser, name).await;
    }
    browser.open(&url(&server, "/console/verify-email?token=sample")).await;
    browser.click("main .button").await;
    inspect(&browser, "dead-link").await;
    sign_in(&browser, &server, "nobody", "nonsense").await;
    inspect(&browser, "login-wrong").await;
    browser.open(&url(&server, "/register")).await;
    browser.fill("#register-email", "ada@localhost").await;
    browser.fill("#register-password", "short").await;
    browser.click("main .button").await;
    inspect(&browser, "register-wrong").await;

    register(&browser, &server).await;
    inspect(&browser, "home").await;
    browser.open(&url(&server, &invitation)).await;
    browser.click("main .button").await;
    inspect(&browser, "invitation-wrong").await;
    browser.open(&url(&server, "/console/account")).await;
    browser.fill("#key-name", "Nightly import").await;
    browser.click("form[action$='/keys'] .button").await;
    inspect(&browser, "new-key").await;
    let _elsewhere = server.sign_in("ada@example.com", PASSWORD).await;
    browser.open(&url(&server, "/console/account")).await;
    inspect(&browser, "account").await;
    browser.fill("#password-current_password", "nonsense").await;
    browser.fill("#password-new_password", "short").await;
    browser.click("form[action$='/password'] .button").await;
    inspect(&browser, "account-wrong").await;
    browser.open(&url(&server, "/console/mailbox")).await;
    inspect(&browser, "forbidden").await;

    sign_in_as_staff(&browser, &server).await;
    open_mail(&browser, &server, "Confirm your e-mail address").await;
    inspect(&browser, "mail").await;
    browser.open(&url(&server, "/console/mailbox")).await;
    inspect(&browser, "mailbox").await;
}

async fn sign_in_as_staff(browser: &Browser, server: &Server) {
    browser.open(&url(server, "/")).await;
    browser.click("header .link").await;
    sign_in(browser, server, "admin@example.com", PASSWORD).await;
}
