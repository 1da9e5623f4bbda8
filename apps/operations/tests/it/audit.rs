use std::time::Duration;

use http::Method;
use mainstay_testkit::json;
use sea_orm::ConnectionTrait as _;

use super::support::{Desk, NOBODY, each, is_problem, register};

const AUDIT: &str = "/api/v1/audit";

#[tokio::test]
async fn the_log_is_listed_by_who_what_whom_and_when() {
    let desk = Desk::boot().await;
    let admin = desk.app.admin().await;
    let ada = register(&desk.app.anonymous(), "ada").await;
    let id = ada.json["id"].as_str().unwrap();
    desk.app.advance(Duration::from_secs(1));
    let wrong = json!({"username": "ada", "password": "wrong engine"});
    desk.app.anonymous().post("/api/v1/auth/login", wrong).await;
    desk.app.advance(Duration::from_secs(1));
    let path = format!("/api/v1/users/{id}");
    let updated = admin.patch(&path, &[], json!({"roles": ["staff"]})).await;
    assert_eq!(updated.status, 200);

    let list = |query: String| {
        let admin = admin.clone();
        async move { admin.get(&format!("{AUDIT}?{query}")).await }
    };
    let newest = list("page_size=1".to_owned()).await;
    let entry = &newest.json["items"][0];
    assert_eq!((&entry["action"], &entry["target"]), (&json!("user.updated"), &json!(format!("user/{id}"))));
    let me = admin.get("/api/v1/auth/me").await.json["id"].as_str().unwrap().to_owned();
    assert_eq!(entry["actor"], json!(format!("user/{me}")));
    assert_eq!(entry["request_id"], updated.header("x-request-id"));
    assert_eq!(entry["at"], "2026-01-31T09:30:02.000Z");
    assert!(
        entry["changes"]["roles"]["before"].is_array() || entry["changes"]["roles"]["before"].is_string()
    );
    assert!(newest.json["total"].as_u64().unwrap() >= 5);

    let about = list(format!("target=user/{id}&sort=seq")).await;
    assert_eq!(each(&about, "action"), ["user.registered", "login.failed", "user.updated"]);
    assert_eq!(each(&list(format!("target=user/{id}&action=user.*")).await, "action").len(), 2);
    assert_eq!(each(&list("action=login.failed".to_owned()).await, "action"), ["login.failed"]);
    assert_eq!(
        each(&list("action=login.*&sort=seq".to_owned()).await, "action").first(),
        Some(&"login.succeeded")
    );
    assert!(each(&list("action=login_failed".to_owned()).await, "action").is_empty());
    assert!(each(&list("action=%25".to_owned()).await, "action").is_empty());
    assert_eq!(each(&list(format!("actor=user/{me}&action=user.updated")).await, "action").len(), 1);
    let request = format!("request_id={}", updated.header("x-request-id"));
    assert_eq!(each(&list(request).await, "action"), ["user.updated"]);
    let during = "from=2026-01-31T09:30:01Z&to=2026-01-31T09:30:02Z";
    assert_eq!(each(&list(during.to_owned()).await, "action"), ["login.failed"]);

    let first = list("page_size=2&sort=seq".to_owned()).await;
    let cursor = first.json["next_cursor"].as_str().unwrap();
    let second = list(format!("page_size=2&sort=seq&cursor={cursor}")).await;
    let number = |item: &serde_json::Value| item["seq"].as_i64().unwrap();
    let numbers: Vec<i64> = [&first, &second]
        .iter()
        .flat_map(|page| page.json["items"].as_array().unwrap().iter().map(number))
        .collect();
    assert!(numbers.len() == 4 && numbers.is_sorted(), "{numbers:?}");
    let bad = list("sort=at&from=yesterday&actor=".to_owned()).await;
    let mut fields: Vec<&str> = bad.faults().into_iter().map(|(field, _)| field).collect();
    fields.sort_unstable();
    assert_eq!((bad.status.as_u16(), fields), (422, vec!["actor", "from", "sort"]));
}

#[tokio::test]
async fn each_may_see_what_is_for_them() {
    let desk = Desk::boot().await;
    let (admin, staff, user) = (desk.app.admin().await, desk.app.staff().await, desk.app.user().await);
    let letters = "/api/v1/events/dead-letters";
    let of_admins =
        [AUDIT.to_owned(), letters.to_owned(), format!("{letters}/{NOBODY}"), "/api/v1/jobs".to_owned()];
    for path in of_admins {
        assert_ne!(admin.get(&path).await.status, 403, "{path}");
        for caller in [&staff, &user] {
            is_problem(&caller.get(&path).await, 403, "forbidden");
        }
        assert_eq!(desk.app.anonymous().get(&path).await.status, 401, "{path}");
    }
    let json = [("content-type", "application/json")];
    for (method, path) in [
        (Method::POST, format!("{letters}/{NOBODY}/replay")),
        (Method::POST, format!("{letters}/replay")),
        (Method::DELETE, format!("{letters}/{NOBODY}")),
    ] {
        for caller in [&staff, &user] {
            is_problem(&caller.raw(method.clone(), &path, &json, "{}").await, 403, "forbidden");
        }
    }
    for path in ["/api/v1/mailbox".to_owned(), format!("/api/v1/mailbox/{NOBODY}")] {
        assert_ne!(staff.get(&path).await.status, 403);
        is_problem(&user.get(&path).await, 403, "forbidden");
    }
}

#[tokio::test]
async fn the_command_finds_what_was_changed() {
    let desk = Desk::boot().await;
    for name in ["ada", "bob"] {
        register(&desk.app.anonymous(), name).await;
    }
    desk.run(&["audit", "verify"]).await.unwrap();
    desk.app.settle().await;
    desk.run(&["audit", "verify"]).await.unwrap();
    let admin = desk.app.admin().await;
    let found = admin.get("/api/v1/users?q=bob").await;
    let path = format!("/api/v1/users/{}", found.json["items"][0]["id"].as_str().unwrap());
    assert_eq!(admin.delete(&path, &[]).await.status, 204);
    desk.app.settle().await;
    desk.run(&["audit", "verify"]).await.unwrap();

    let cut = "DELETE FROM audit_seals WHERE position = 2";
    desk.app.db().primary().execute_unprepared(cut).await.unwrap();
    let error = desk.run(&["audit", "verify"]).await.unwrap_err();
    assert_eq!(error.to_string(), "the audit log is not as it was sealed; faults: 1");
}

#[tokio::test]
async fn jobs_are_listed_with_how_they_went() {
    let desk = Desk::boot().await;
    desk.app.settle().await;
    desk.app.advance(Duration::from_secs(2 * 3600));
    desk.app.settle().await;

    let jobs = desk.app.admin().await.get("/api/v1/jobs").await;
    let names = each(&jobs, "name");
    for name in ["events.purge", "http.purge_idempotency_keys", "identity.sweep", "mail.purge"] {
        assert!(names.contains(&name), "{name}: {names:?}");
    }
    assert!(names.is_sorted());
    let sweep =
        jobs.json["items"].as_array().unwrap().iter().find(|job| job["name"] == "identity.sweep").unwrap();
    assert!(sweep["runs"].as_i64().unwrap() >= 1, "{sweep}");
    assert_eq!((&sweep["failures"], &sweep["last_error"]), (&json!(0), &json!(null)));
    assert_eq!(
        (&sweep["running"], &sweep["last_finished_at"]),
        (&json!(false), &json!("2026-01-31T11:30:00.000Z"))
    );
    assert!(sweep["due_at"].as_str().unwrap() > "2026-01-31T11:30:00.000Z");
}
