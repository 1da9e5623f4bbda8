//! Organizations in a real browser: from the registration to what a colleague may do, in pages alone.

use mainstay_e2e::{Browser, PASSWORD, Server, json};

use crate::pages::{fill_in, inspect, open_mail, sign_in, started, url};

/// The link in the mail that is open.
async fn link_in_mail(staff: &Browser) -> String {
    let link = staff.script("return document.querySelector('.letter a').href", json!([])).await;
    link.as_str().unwrap().to_owned()
}

async fn invite(browser: &Browser, email: &str, role: &str) {
    browser.follow("Invitations").await;
    browser.fill("#invite-email", email).await;
    choose(browser, "#invite-role", role).await;
    browser.click("form[action$='/invitations'] .button").await;
    assert!(browser.text().await.contains(&format!("{email} is invited.")), "{}", browser.text().await);
}

async fn choose(browser: &Browser, selector: &str, value: &str) {
    let script = "document.querySelector(arguments[0]).value = arguments[1]";
    browser.script(script, json!([selector, value])).await;
}

/// What the page that is open lets one send, by the ends of the addresses; the parts that it links to.
async fn offers(browser: &Browser) -> (Vec<String>, Vec<String>) {
    let list = async |script: &str| -> Vec<String> {
        serde_json::from_value(browser.script(script, json!([])).await).unwrap()
    };
    let forms = "return [...document.querySelectorAll('main form')].map(form => form.action.split('/').pop().replace(/^[0-9a-f-]{36}$/, 'save'))";
    let tabs = "return [...document.querySelectorAll('.tabs a')].map(link => link.innerText)";
    (list(forms).await, list(tabs).await)
}

async fn contains(browser: &Browser, text: &str) {
    let found = browser.text().await;
    assert!(found.contains(text), "{text:?} is not on {}: {found}", browser.path().await);
}

fn texts(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

#[tokio::test]
async fn a_colleague_is_invited_and_may_what_the_matrix_says() {
    let (_site, server) = started().await;
    let (ada, bob, staff) = tokio::join!(Browser::start(), Browser::start(), Browser::start());
    sign_in(&staff, &server, "admin@example.com", PASSWORD).await;

    ada.open(&url(&server, "/")).await;
    ada.follow("Make an account").await;
    fill_in(&ada, "ada@example.com", "Ada Lovelace").await;
    open_mail(&staff, &server, "Confirm your e-mail address").await;
    ada.open(&link_in_mail(&staff).await).await;
    ada.click("main .button").await;
    contains(&ada, "your e-mail address is confirmed").await;

    ada.follow("Organizations").await;
    ada.fill("#organization-name", "Harbor Works").await;
    ada.click("form[action='/console/organizations'] .button").await;
    contains(&ada, "Harbor Works is made. You are its admin.").await;
    ada.fill("#website-name", "Ferry times").await;
    ada.fill("#website-url", "https://ferries.example.com").await;
    ada.click("form[action$='/websites'] .button").await;
    contains(&ada, "Ferry times is added.").await;
    ada.follow("Harbor Works").await;
    invite(&ada, "bob@example.com", "user").await;

    // The colleague has no account yet: the link in the mail leads to one.
    open_mail(&staff, &server, "You are invited to Harbor Works").await;
    bob.open(&link_in_mail(&staff).await).await;
    contains(&bob, "Join Harbor Works").await;
    bob.follow("Make an account").await;
    fill_in(&bob, "bob@example.com", "Bob Noyce").await;
    contains(&bob, "Your account is made.").await;
    bob.follow("Organizations").await;
    bob.follow("Harbor Works").await;
    let place = bob.path().await;
    assert_eq!(offers(&bob).await, (texts(&["websites"]), texts(&["Websites", "Members", "Settings"])));
    bob.follow("Settings").await;
    assert_eq!(offers(&bob).await.0, ["settings", "leave"], "no deleting");
    bob.follow("Websites").await;
    bob.follow("Ferry times").await;
    let site = bob.path().await;
    assert_eq!(offers(&bob).await, (texts(&["save"]), texts(&["Overview", "Members"])));
    bob.open(&url(&server, &format!("{place}/invitations"))).await;
    contains(&bob, "You can't open this page").await;

    // A role of his own on the website, by the link that the page shows.
    ada.open(&url(&server, &site)).await;
    invite(&ada, "bob@example.com", "admin").await;
    let link = ada.script("return document.querySelector('#link').innerText", json!([])).await;
    bob.open(link.as_str().unwrap()).await;
    contains(&bob, "to help run it").await;
    bob.click("main .button").await;
    if bob.text().await.contains("Confirm your e-mail address first") {
        open_mail(&staff, &server, "Confirm your e-mail address").await;
        bob.open(&link_in_mail(&staff).await).await;
        bob.click("main .button").await;
        bob.open(link.as_str().unwrap()).await;
        bob.click("main .button").await;
    }
    contains(&bob, "You have joined.").await;
    assert_eq!(bob.path().await, site);
    let parts = texts(&["Overview", "Members", "Invitations"]);
    assert_eq!(offers(&bob).await, (texts(&["save", "leave", "delete"]), parts));
    bob.follow("Harbor Works").await;
    assert_eq!(offers(&bob).await.1, ["Websites", "Members", "Settings"], "the organization is as before");

    // The founder takes him out of the organization; the website's role stays.
    ada.open(&url(&server, &place)).await;
    ada.follow("Members").await;
    ada.follow("Bob Noyce").await;
    ada.click("form[action$='/remove'] .button").await;
    contains(&ada, "Bob Noyce does not belong to the organization any more.").await;
    bob.open(&url(&server, &place)).await;
    contains(&bob, "There is no such page").await;
    bob.open(&url(&server, "/console/organizations")).await;
    contains(&bob, "Websites shared with you").await;
    bob.follow("Ferry times").await;
    bob.fill("#delete-confirm", "Ferry times").await;
    bob.click("form[action$='/delete'] .button").await;
    contains(&bob, "The website is deleted.").await;
    ada.open(&url(&server, &place)).await;
    contains(&ada, "The organization has no website yet.").await;
}

/// An organization with websites, members and invitations, by the API. Its path in the console, and that of
/// a website.
async fn furnish(server: &Server) -> (String, String) {
    let admin = server.admin().await;
    let made = admin.post("/api/v1/organizations", json!({"name": "Harbor Works"})).await;
    let place = made.header("location").to_owned();
    let mut site = String::new();
    for (name, url) in [
        ("Berth booking", "https://berths.example.com/"),
        ("Ferry times", "https://ferries.example.com/timetables/2026/summer?language=en&view=compact"),
    ] {
        let about = "Departures and arrivals of the harbor's ferries, with delays as they are reported.";
        let body = json!({"name": name, "url": url, "description": about});
        site = admin.post(&format!("{place}/websites"), body).await.header("location").to_owned();
    }
    for (base, email, role) in [
        (&place, "grace.hopper@example.com", "admin"),
        (&place, "a-very-long-address-that-does-not-fit-on-a-phone@subdomain.example.com", "user"),
        (&site, "bob@example.com", "user"),
    ] {
        let invitations = format!("{base}/invitations");
        let made = admin.post(&invitations, json!({"email": email, "role": role})).await;
        assert_eq!(made.status, 201, "{}", made.text());
    }
    let declined = admin
        .post(&format!("{place}/invitations"), json!({"email": "eve@example.com", "role": "user"}))
        .await;
    let token = declined.json["token"].clone();
    let answer = server.client().post("/api/v1/invitations/decline", json!({"token": token})).await;
    assert_eq!(answer.status, 204, "{}", answer.text());
    let console = |path: &str| path.replace("/api/v1/", "/console/");
    (console(&place), console(&site))
}

#[tokio::test]
async fn every_page_of_organizations_can_be_used_by_everybody() {
    let (_site, server) = started().await;
    let browser = Browser::start().await;
    let (place, site) = furnish(&server).await;
    sign_in(&browser, &server, "admin@example.com", PASSWORD).await;

    browser.open(&url(&server, "/")).await;
    inspect(&browser, "home-of-staff").await;
    let own = format!("{place}/members");
    for (name, path) in [
        ("organizations", "/console/organizations".to_owned()),
        ("websites", "/console/websites".to_owned()),
        ("organization", place.clone()),
        ("members", own.clone()),
        ("invitations", format!("{place}/invitations")),
        ("settings", format!("{place}/settings")),
        ("leave", format!("{place}/leave")),
        ("website", site.clone()),
        ("website-members", format!("{site}/members")),
        ("website-invitations", format!("{site}/invitations")),
    ] {
        browser.open(&url(&server, &path)).await;
        inspect(&browser, name).await;
    }
    browser.open(&url(&server, &own)).await;
    browser.click("main .rows a").await;
    inspect(&browser, "member").await;
    browser.click("form[action$='/remove'] .button").await;
    contains(&browser, "keeps at least one admin").await;
    inspect(&browser, "member-wrong").await;
    browser.open(&url(&server, &format!("{site}/invitations"))).await;
    browser.click("main .rows a").await;
    inspect(&browser, "invitation-sent").await;
    browser.click("form[action$='/revoke'] .button").await;
    contains(&browser, "The invitation is revoked.").await;
    inspect(&browser, "invitation-revoked").await;
    browser.open(&url(&server, &place)).await;
    browser.fill("#website-name", "Ferries again").await;
    browser.fill("#website-url", "https://berths.example.com").await;
    browser.click("form[action$='/websites'] .button").await;
    contains(&browser, "belongs to another website").await;
    inspect(&browser, "website-wrong").await;
    browser.open(&url(&server, &format!("{place}/settings"))).await;
    browser.fill("#delete-confirm", "Something else").await;
    browser.click("form[action$='/delete'] .button").await;
    contains(&browser, "nothing was deleted").await;
    inspect(&browser, "settings-wrong").await;
}

#[tokio::test]
async fn what_is_shared_with_one_alone_can_be_used_by_everybody() {
    let (_site, server) = started().await;
    let browser = Browser::start().await;
    let (place, site) = furnish(&server).await;
    let admin = server.admin().await;
    // The link of a new invitation to what the console has at this path.
    let invitation = async |path: &str, email: &str| {
        let path = format!("{}/invitations", path.replace("/console/", "/api/v1/"));
        let made = admin.post(&path, json!({"email": email, "role": "user"})).await;
        assert_eq!(made.status, 201, "{}", made.text());
        let token = made.json["token"].as_str().unwrap().to_owned();
        url(&server, &format!("/console/invitations/accept?token={token}"))
    };

    browser.open(&invitation(&site, "guest@example.com").await).await;
    browser.follow("Make an account").await;
    fill_in(&browser, "guest@example.com", "Grace Guest").await;
    browser.open(&url(&server, "/console/organizations")).await;
    contains(&browser, "Websites shared with you").await;
    inspect(&browser, "organizations-shared").await;
    browser.open(&url(&server, "/console/websites")).await;
    inspect(&browser, "websites-shared").await;
    browser.open(&url(&server, &site)).await;
    inspect(&browser, "website-shared").await;

    browser.open(&invitation(&place, "other@example.com").await).await;
    inspect(&browser, "invitation-signed-in").await;
    browser.click("form[action$='/accept'] .button").await;
    contains(&browser, "The invitation is for another address").await;
    inspect(&browser, "invitation-of-another").await;
}
