//! The console's pages of organizations and websites.

use std::time::Duration;

use http::Method;
use mainstay_testkit::{Browser, Reply, TestApp, json};

use crate::pages::{is_page, sign_in};
use crate::support::{Person, boot, invite, join, organization, people, person, roles, website, who};

/// The console's path of what the API has at this one.
fn console(path: &str) -> String {
    path.replace("/api/v1/", "/console/")
}

/// Opens a page and gives its text.
async fn text(browser: &mut Browser, path: &str) -> String {
    let reply = browser.open(path).await;
    assert_eq!(reply.status, 200, "{path}: {}", reply.text());
    reply.text()
}

/// Sends a form that need not be on any page, with a token from one that has one.
async fn refused(browser: &mut Browser, path: &str, fields: &[(&str, &str)], status: u16) {
    browser.open("/console/organizations").await;
    let reply = browser.submit(path, fields).await;
    assert_eq!(reply.status.as_u16(), status, "POST {path}: {}", reply.text());
}

/// Harbor with its founder, and a website; the founder's browser.
async fn harbor(app: &TestApp) -> (Person, Browser, String, String) {
    let ada = person(app).await;
    let place = organization(&ada, "Harbor Works").await;
    let site = website(&ada, &place, "https://ferries.example/").await;
    let browser = sign_in(app, &ada.email).await;
    (ada, browser, place, site)
}

#[tokio::test]
async fn an_organization_is_made_named_and_deleted() {
    let app = boot().await;
    let ada = person(&app).await;
    let mut browser = sign_in(&app, &ada.email).await;
    assert!(text(&mut browser, "/").await.contains("href=\"/console/organizations\""));
    browser.open("/console/organizations").await;

    is_page(&browser.submit("/console/organizations", &[("name", " ")]).await, 422, "Name must not be empty");
    let made = browser.submit("/console/organizations", &[("name", "Harbor <Works>")]).await;
    let path = made.header("location").to_owned();
    is_page(&browser.open(&path).await, 200, "Harbor &#60;Works&#62; is made. You are its admin.");

    let settings = format!("{path}/settings");
    text(&mut browser, &settings).await;
    let fields = [("version", "1"), ("name", "Harbor Works")];
    is_page(&browser.submit_and_follow(&settings, &fields).await, 200, "The name is saved.");
    let delete = format!("{path}/delete");
    let wrong = browser.submit(&delete, &[("version", "2"), ("confirm", "Harbor")]).await;
    is_page(&wrong, 422, "Its name is another one: nothing was deleted.");
    is_page(&wrong, 422, "value=\"Harbor\"");
    let fields = [("version", "2"), ("confirm", "Harbor Works")];
    is_page(&browser.submit_and_follow(&delete, &fields).await, 200, "The organization is deleted");
    assert_eq!(browser.open(&path).await.status, 404);
}

#[tokio::test]
async fn who_saves_what_somebody_else_saved_meanwhile_hears_of_it() {
    let app = boot().await;
    let (ada, mut browser, place, site) = harbor(&app).await;
    let (place, page) = (place, console(&site));

    text(&mut browser, &page).await;
    let seen = browser.hidden("version");
    let theirs = json!({"name": "Boats", "description": "By Bob"});
    assert_eq!(ada.patch(&site, &[], theirs).await.status, 200);
    let mine =
        [("version", &*seen), ("name", "Ferries"), ("url", "https://ferries.example/"), ("description", "")];
    let reply = browser.submit(&page, &mine).await;
    is_page(&reply, 409, "It has the name “Boats”, the description “By Bob”.");
    is_page(&reply, 409, "value=\"Ferries\"");
    assert_eq!(ada.get(&site).await.json["name"], "Boats", "nothing was overwritten");
    let (seen, mut again) = (browser.hidden("version"), mine);
    again[0] = ("version", &seen);
    is_page(&browser.submit_and_follow(&page, &again).await, 200, "The website is saved.");
    assert_eq!(ada.get(&site).await.json["description"], json!(null));
    // What was sent by a form without a version is meant for no state at all.
    refused(&mut browser, &page, &mine[1..], 409).await;

    let settings = format!("{}/settings", console(&place));
    text(&mut browser, &settings).await;
    assert_eq!(ada.patch(&place, &[], json!({"name": "Harbour"})).await.status, 200);
    let reply = browser.submit(&settings, &[("version", "1"), ("name", "Port")]).await;
    is_page(&reply, 409, "It has the name “Harbour”.");

    let bob = person(&app).await;
    join(&ada, &place, &bob, "user").await;
    let member = format!("{}/members/{}", console(&place), bob.id);
    text(&mut browser, &member).await;
    let path = format!("{place}/members/{}", bob.id);
    assert_eq!(ada.patch(&path, &[], json!({"role": "admin"})).await.status, 200);
    let reply = browser.submit(&member, &[("seen", "user"), ("role", "user")]).await;
    is_page(&reply, 409, "Somebody else made them an admin in the meantime.");
}

#[tokio::test]
async fn what_somebody_else_changed_meanwhile_is_not_deleted_unseen() {
    let app = boot().await;
    let (ada, mut browser, place, site) = harbor(&app).await;
    let pages = [(&site, console(&site)), (&place, format!("{}/settings", console(&place)))];
    for (path, page) in pages {
        text(&mut browser, &page).await;
        let seen = browser.hidden("version");
        let name = ada.get(path).await.json["name"].as_str().unwrap().to_owned();
        assert_eq!(ada.patch(path, &[], json!({"name": "Renamed"})).await.status, 200);

        let delete = format!("{}/delete", console(path));
        for typed in [&*name, "Renamed"] {
            let late = browser.submit(&delete, &[("version", &*seen), ("confirm", typed)]).await;
            is_page(&late, 409, "Somebody else changed this in the meantime, and nothing was done.");
            is_page(&late, 409, "Type “Renamed” to confirm that it is meant.");
            is_page(&late, 409, &format!("value=\"{typed}\""));
        }
        refused(&mut browser, &delete, &[("confirm", "Renamed")], 409).await;
        assert_eq!(ada.get(path).await.json["name"], "Renamed", "it is still there");

        text(&mut browser, &page).await;
        let now = browser.hidden("version");
        let done = browser.submit(&delete, &[("version", &*now), ("confirm", "Renamed")]).await;
        assert_eq!(done.status, 303, "{}", done.text());
        assert_eq!(ada.get(path).await.status, 404);
    }
}

#[tokio::test]
async fn websites_are_added_with_what_was_typed_kept() {
    let app = boot().await;
    let (_ada, mut browser, place, site) = harbor(&app).await;
    let (place, add) = (console(&place), format!("{}/websites", console(&place)));
    text(&mut browser, &place).await;

    let bad = [("name", ""), ("url", "ferries"), ("description", "Departures & more")];
    let reply = browser.submit(&add, &bad).await;
    is_page(&reply, 422, "Name must not be empty");
    is_page(&reply, 422, "Address must be an address such as");
    is_page(&reply, 422, "Departures &#38; more</textarea>");
    let taken = [("name", "Two"), ("url", "https://FERRIES.example")];
    is_page(&browser.submit(&add, &taken).await, 422, "Address belongs to another website");
    let good = [("name", "Berths"), ("url", "https://berths.example"), ("description", "")];
    is_page(&browser.submit_and_follow(&add, &good).await, 200, "Berths is added.");
    assert_eq!(browser.open(&add).await.header("location"), place, "a form's address can be opened");

    let delete = format!("{}/delete", console(&site));
    text(&mut browser, &console(&site)).await;
    refused(&mut browser, &delete, &[("version", "1"), ("confirm", "?")], 422).await;
    let fields = [("version", "1"), ("confirm", "Site")];
    let reply = browser.submit_and_follow(&delete, &fields).await;
    is_page(&reply, 200, "The website is deleted.");
    is_page(&reply, 200, "Berths");
}

#[tokio::test]
async fn somebody_is_invited_again_and_uninvited() {
    let app = boot().await;
    let (ada, mut browser, place, site) = harbor(&app).await;
    for base in [&place, &site] {
        let invitations = format!("{}/invitations", console(base));
        text(&mut browser, &invitations).await;
        let reply = browser.submit(&invitations, &[("email", "nobody"), ("role", "owner")]).await;
        is_page(&reply, 422, "E-mail address must be");
        is_page(&reply, 422, "Role must be one of");
        let fields = [("email", "new@example.com"), ("role", "user")];
        let made = browser.submit(&invitations, &fields).await;
        let path = made.header("location").to_owned();
        let page = text(&mut browser, &path).await;
        assert!(
            page.contains("new@example.com is invited.")
                && page.contains("/console/invitations/accept?token=")
        );
        is_page(
            &browser.submit(&invitations, &fields).await,
            422,
            "is invited already: send that invitation again",
        );
        let own = [("email", &*ada.email), ("role", "user")];
        let status = if *base == place { 422 } else { 303 };
        refused(&mut browser, &invitations, &own, status).await;

        text(&mut browser, &path).await;
        let again = browser.submit_and_follow(&format!("{path}/resend"), &[]).await;
        is_page(&again, 200, "It is sent again, with a new link.");
        assert_ne!(link(&page), link(&again.text()));
        let revoked = browser.submit_and_follow(&format!("{path}/revoke"), &[]).await;
        is_page(&revoked, 200, "The invitation is revoked.");
        assert!(!revoked.text().contains("accept?token="), "a dead link is not shown");
        let late = browser.submit_and_follow(&format!("{path}/resend"), &[]).await;
        is_page(&late, 200, "answered or revoked in the meantime");
    }
}

#[tokio::test]
async fn an_invitation_that_expired_says_so_and_can_be_sent_again() {
    let app = boot().await;
    let (ada, mut browser, place, _site) = harbor(&app).await;
    let invitations = format!("{}/invitations", console(&place));
    text(&mut browser, &invitations).await;
    let fields = [("email", "new@example.com"), ("role", "user")];
    let path = browser.submit(&invitations, &fields).await.header("location").to_owned();
    let old = format!("/console/invitations/accept?token={}", link(&text(&mut browser, &path).await));
    assert!(text(&mut browser, &old).await.contains("Join Harbor Works"));

    app.advance(Duration::from_secs(7 * 86_400));
    let mut browser = sign_in(&app, &ada.email).await;
    is_page(&browser.open(&old).await, 410, "This invitation does not work any more");
    assert!(text(&mut browser, &invitations).await.contains("Expired"));
    let page = text(&mut browser, &path).await;
    assert!(page.contains("Expired") && page.contains("Sent again, it comes with a new one"), "{page}");
    assert!(!page.contains("accept?token="), "a dead link is not shown");

    let again = browser.submit_and_follow(&format!("{path}/resend"), &[]).await.text();
    assert!(again.contains("Pending") && !again.contains("Sent again"), "{again}");
    let new = format!("/console/invitations/accept?token={}", link(&again));
    assert!(text(&mut browser, &new).await.contains("Join Harbor Works"));
}

fn link(page: &str) -> &str {
    page.split("accept?token=").nth(1).and_then(|rest| rest.split('<').next()).unwrap_or_default()
}

#[tokio::test]
async fn members_are_changed_removed_and_leave() {
    let app = boot().await;
    let (ada, mut browser, place, site) = harbor(&app).await;
    let (bob, cyd) = (person(&app).await, person(&app).await);
    for (base, noun) in [(&place, "organization"), (&site, "website")] {
        join(&ada, base, &bob, "user").await;
        join(&ada, base, &cyd, "user").await;
        let members = format!("{}/members", console(base));
        let list = text(&mut browser, &members).await;
        let member = format!("{members}/{}", bob.id);
        assert!(list.contains(&bob.email) && list.contains(&format!("href=\"{member}\"")), "{list}");

        text(&mut browser, &member).await;
        let fields = [("seen", "user"), ("role", "admin")];
        is_page(&browser.submit_and_follow(&member, &fields).await, 200, "is an admin now.");
        refused(&mut browser, &member, &[("seen", "admin"), ("role", "owner")], 422).await;
        let gone = browser.submit_and_follow(&format!("{member}/remove"), &[]).await;
        is_page(&gone, 200, &format!("does not belong to the {noun} any more"));
        assert_eq!(browser.open(&member).await.status, 404);

        let mut other = sign_in(&app, &cyd.email).await;
        let leave = format!("{}/leave", console(base));
        assert!(text(&mut other, &leave).await.contains("to be invited again"));
        let reply = other.submit_and_follow(&leave, &[]).await;
        is_page(&reply, 200, &format!("You have left the {noun}."));
        assert_eq!(other.open(&members).await.status, 404);
    }
    let leave = format!("{}/leave", console(&place));
    text(&mut browser, &leave).await;
    is_page(&browser.submit(&leave, &[]).await, 422, "keeps at least one admin");
    let own = format!("{}/members/{}", console(&place), ada.id);
    refused(&mut browser, &own, &[("seen", "admin"), ("role", "user")], 422).await;
    refused(&mut browser, &format!("{own}/remove"), &[], 422).await;
    assert_eq!(roles(&ada, &place).await, [(ada.id.clone(), "admin".to_owned())]);
}

/// Forms of a page, by what they are sent to, below `base`.
fn forms(page: &str, base: &str) -> Vec<String> {
    let forms = page.split("action=\"").skip(1).map(|rest| rest.split('"').next().unwrap().to_owned());
    let mut forms: Vec<_> = forms.filter_map(|action| action.strip_prefix(base).map(str::to_owned)).collect();
    forms.sort();
    forms
}

/// Somebody; the forms on the organization's first page, and what its changes are answered with; the same
/// of the website; whether they may invite to the website.
type Case<'a> = (&'a Person, Option<&'a [&'a str]>, u16, &'a [&'a str], u16, bool);

#[tokio::test]
async fn what_the_matrix_forbids_is_not_offered_and_not_done() {
    let app = boot().await;
    let (ada, _browser, place, site) = harbor(&app).await;
    let [user, site_admin, site_user, stranger] = people(&app).await;
    join(&ada, &place, &user, "user").await;
    join(&ada, &site, &site_admin, "admin").await;
    join(&ada, &site, &site_user, "user").await;
    let invited = |reply: Reply| reply.json["id"].as_str().unwrap().to_owned();
    let to_place = invited(invite(&ada, &place, "new@example.com", "user").await);
    let to_site = invited(invite(&ada, &site, "new@example.com", "user").await);
    let (place, site) = (console(&place), console(&site));

    let cases: [Case<'_>; 4] = [
        (&user, Some(&["/websites"]), 403, &[""], 403, false),
        (&site_admin, None, 404, &["", "/delete", "/leave"], 0, true),
        (&site_user, None, 404, &["", "/leave"], 403, false),
        (&stranger, None, 404, &[], 404, false),
    ];
    for (someone, of_place, place_status, of_site, site_status, invites) in cases {
        let mut browser = sign_in(&app, &someone.email).await;
        match of_place {
            Some(expected) => assert_eq!(forms(&text(&mut browser, &place).await, &place), expected),
            None => assert_eq!(browser.open(&place).await.status, 404),
        }
        if site_status == 404 {
            assert_eq!(browser.open(&site).await.status, 404);
        } else {
            let page = text(&mut browser, &site).await;
            assert_eq!(forms(&page, &site), of_site);
            assert_eq!(page.contains("/invitations\""), invites);
            assert_eq!(
                page.contains("Harbor Works"),
                of_place.is_some(),
                "only its members see the organization"
            );
            let members = text(&mut browser, &format!("{site}/members")).await;
            assert_eq!(members.contains(&format!("{site}/members/{}", site_user.id)), invites);
        }
        for (end, fields) in [
            ("/delete", &[("version", "1"), ("confirm", "Harbor Works")][..]),
            ("/invitations", &[("email", "eve@example.com"), ("role", "admin")]),
            (&format!("/members/{}", ada.id), &[("seen", "admin"), ("role", "user")]),
            (&format!("/members/{}/remove", ada.id), &[]),
            (&format!("/invitations/{to_place}/resend"), &[]),
            (&format!("/invitations/{to_place}/revoke"), &[]),
        ] {
            refused(&mut browser, &format!("{place}{end}"), fields, place_status).await;
        }
        for end in ["/invitations", &format!("/invitations/{to_place}"), &format!("/members/{}", ada.id)] {
            assert_eq!(browser.open(&format!("{place}{end}")).await.status.as_u16(), place_status, "{end}");
        }
        if site_status == 0 {
            continue;
        }
        for (end, fields) in [
            ("/delete", &[("version", "1"), ("confirm", "Site")][..]),
            ("/invitations", &[("email", "eve@example.com"), ("role", "admin")]),
            (&format!("/members/{}", site_admin.id), &[("seen", "admin"), ("role", "user")]),
            (&format!("/members/{}/remove", site_admin.id), &[]),
            (&format!("/invitations/{to_site}/resend"), &[]),
            (&format!("/invitations/{to_site}/revoke"), &[]),
        ] {
            refused(&mut browser, &format!("{site}{end}"), fields, site_status).await;
        }
    }
    let list = text(&mut sign_in(&app, &site_user.email).await, "/console/organizations").await;
    assert!(
        list.contains("Websites shared with you") && list.contains(&format!("href=\"{site}\"")),
        "{list}"
    );
    assert!(!list.contains("Harbor Works"));
}

#[tokio::test]
async fn a_system_admin_may_all_and_leaves_nothing() {
    let app = boot().await;
    let (_ada, _browser, place, site) = harbor(&app).await;
    let system = who(app.admin().await).await;
    let mut browser = sign_in(&app, &system.email).await;
    for base in [console(&place), console(&site)] {
        let page = text(&mut browser, &base).await;
        assert!(page.contains("System administrator") && !page.contains("/leave\""), "{page}");
        assert!(text(&mut browser, &format!("{base}/members")).await.contains("Invite somebody"));
        text(&mut browser, &format!("{base}/invitations")).await;
        refused(&mut browser, &format!("{base}/leave"), &[], 404).await;
    }
}

#[tokio::test]
async fn long_lists_have_pages() {
    let app = boot().await;
    let ada = person(&app).await;
    for number in 0..51 {
        organization(&ada, &format!("Organization {number:02}")).await;
    }
    let mut browser = sign_in(&app, &ada.email).await;
    let first = text(&mut browser, "/console/organizations").await;
    assert!(first.contains("Organization 49") && !first.contains("Organization 50"), "{first}");
    assert!(first.contains("/console/organizations?page=2") && !first.contains("Previous page"));
    let second = text(&mut browser, "/console/organizations?page=2").await;
    assert!(second.contains("Organization 50") && second.contains("Previous page"), "{second}");
    for odd in ["0", "-1", "x", "99999999999999", "1000000"] {
        text(&mut browser, &format!("/console/organizations?page={odd}")).await;
    }
}

#[tokio::test]
async fn ids_that_lead_nowhere_are_not_found() {
    let app = boot().await;
    let (ada, mut browser, place, _site) = harbor(&app).await;
    let place = console(&place);
    for path in [
        "/console/organizations/1".to_owned(),
        "/console/websites/x/members".to_owned(),
        format!("{place}/members/x"),
        format!("{place}/invitations/{}", ada.id),
        place.replace("organizations", "websites"),
    ] {
        is_page(&browser.open(&path).await, 404, "There is no such page");
        let posted = browser.submit(&path, &[]).await;
        assert!([403, 404, 405].contains(&posted.status.as_u16()), "{path}: {}", posted.status);
    }
    let forged = browser.request(Method::POST, &format!("{place}/leave"), &[], String::new()).await;
    assert_eq!(forged.status, 403, "not from a page of ours");
}

#[tokio::test]
async fn of_many_shared_websites_the_list_says_that_there_are_more() {
    let app = boot().await;
    let [ada, guest] = people(&app).await;
    let place = organization(&ada, "Harbor Works").await;
    let mut browser = sign_in(&app, &guest.email).await;
    for number in 0..51 {
        let list = if number < 50 { None } else { Some(text(&mut browser, "/console/organizations").await) };
        assert!(
            list.is_none_or(|list| list.contains("Websites shared") && !list.contains("These are not all"))
        );
        let site = website(&ada, &place, &format!("https://site-{number}.example/")).await;
        join(&ada, &site, &guest, "user").await;
    }
    let list = text(&mut browser, "/console/organizations").await;
    assert!(list.contains("These are not all. <a href=\"/console/websites\">"), "{list}");
}
