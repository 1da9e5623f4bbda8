//! Accounts as those who run the installation see them, and their removal.

use std::time::Duration;

use http::Method;
use mainstay_db::Dialect;
use mainstay_testkit::{Client, Reply, TestApp, dialect, json};
use sea_orm::{ConnectionTrait as _, DatabaseConnection, Statement};
use tokio::task::JoinSet;

use super::recovery::{
    PASSWORD, REGISTER, address, boot, is_problem, register, sign_in, signed_in, templates,
};

const USERS: &str = "/api/v1/users";
const ME: &str = "/api/v1/auth/me";
const KEYS: &str = "/api/v1/auth/api-keys";
/// What the kit gives every account.
const TESTS_OWN: &str = "tests only 4711";

async fn rows(connection: &DatabaseConnection, sql: String) -> Vec<String> {
    let statement = Statement::from_string(connection.get_database_backend(), sql);
    let rows = connection.query_all_raw(statement).await.unwrap();
    rows.iter().map(|row| row.try_get_by_index::<String>(0).unwrap()).collect()
}

/// Every row of every table, as text.
pub(crate) async fn dump(app: &TestApp) -> String {
    let connection = app.db().primary();
    let tables = match dialect() {
        Dialect::Sqlite => "SELECT name FROM sqlite_master WHERE type = 'table'",
        Dialect::Postgres => "SELECT tablename::text FROM pg_tables WHERE schemaname = 'public'",
    };
    let mut dump = String::new();
    for table in rows(connection, tables.to_owned()).await {
        let whole = match dialect() {
            Dialect::Postgres => format!("SELECT t::text FROM \"{table}\" t"),
            Dialect::Sqlite => {
                let columns = format!("SELECT name FROM pragma_table_info('{table}')");
                let texts: Vec<String> = rows(connection, columns)
                    .await
                    .iter()
                    .map(|column| {
                        format!(
                            "coalesce(CASE typeof(\"{column}\") WHEN 'blob' THEN hex(\"{column}\") \
                             ELSE CAST(\"{column}\" AS TEXT) END, '')"
                        )
                    })
                    .collect();
                format!("SELECT {} FROM \"{table}\"", texts.join(" || '|' || "))
            }
        };
        for row in rows(connection, whole).await {
            dump.push_str(&format!("{table}: {row}\n"));
        }
    }
    dump
}

fn names(reply: &Reply) -> Vec<&str> {
    assert_eq!(reply.status, 200, "{}", reply.text());
    reply.json["items"].as_array().unwrap().iter().map(|user| user["username"].as_str().unwrap()).collect()
}

async fn path_of(caller: &Client) -> String {
    format!("{USERS}/{}", caller.get(ME).await.json["id"].as_str().unwrap())
}

async fn verifies(app: &TestApp) {
    app.settle().await;
    let key = mainstay_core::seal::RootKey::new("a secret for tests, and long enough");
    let log = mainstay_events::AuditLog::new(app.db().clone(), key);
    let verdict = log.verify(|_| {}).await.unwrap();
    assert!(verdict.faults.is_empty(), "{:?}", verdict.faults);
    assert!(verdict.good > 0 && verdict.unsealed == 0, "{verdict:?}");
}

#[tokio::test]
async fn staff_list_accounts_by_name_role_and_state() {
    let app = boot().await;
    let admin = app.admin().await;
    app.advance(Duration::from_secs(1));
    let staff = app.staff().await;
    for name in ["Zoe", "ada", "ad_m", "adam"] {
        app.advance(Duration::from_secs(1));
        register(&app.anonymous(), name).await;
    }
    let adam = staff.get(&format!("{USERS}?q=adam")).await;
    let path = format!("{USERS}/{}", adam.json["items"][0]["id"].as_str().unwrap());
    assert_eq!(admin.patch(&path, &[], json!({"is_active": false})).await.status, 200);

    let list = |query: &'static str| {
        let staff = staff.clone();
        async move { staff.get(&format!("{USERS}{query}")).await }
    };
    let all = list("").await;
    assert_eq!(names(&all), ["adam", "ad_m", "ada", "Zoe", "staff-1", "admin-0"], "newest first");
    assert_eq!(all.json["total"], 6);
    assert!(!all.text().contains("argon2") && !all.text().contains("password"));
    assert_eq!(names(&list("?sort=username").await), ["ad_m", "ada", "adam", "admin-0", "staff-1", "Zoe"]);
    assert_eq!(names(&list("?sort=-username&page_size=2").await), ["Zoe", "staff-1"]);
    assert_eq!(names(&list("?sort=-username&page_size=2&page=3").await), ["ada", "ad_m"]);
    assert_eq!(names(&list("?q=%20ADA&sort=username").await), ["ada", "adam"]);
    assert_eq!(names(&list("?q=ad_&sort=username").await), ["ad_m"], "no character is a wildcard");
    assert_eq!(names(&list("?q=%25").await), [""; 0]);
    assert_eq!(names(&list("?q=zoe@example.com").await), ["Zoe"]);
    assert_eq!(names(&list("?role=staff").await), ["staff-1"]);
    assert_eq!(names(&list("?role=admin").await), ["admin-0"]);
    assert_eq!(names(&list("?is_active=false").await), ["adam"]);
    assert_eq!(names(&list("?is_active=true&q=ad&role=user&sort=username").await), ["ad_m", "ada"]);

    let bad = list("?sort=email&role=king&is_active=perhaps").await;
    assert_eq!(bad.status, 422);
    let mut fields: Vec<&str> = bad.faults().into_iter().map(|(field, _)| field).collect();
    fields.sort_unstable();
    assert_eq!(fields, ["is_active", "role", "sort"]);
    assert!(bad.text().contains("created_at"), "the allowed ones are named: {}", bad.text());

    let first = list("?page_size=4").await;
    let cursor = first.json["next_cursor"].as_str().unwrap();
    let rest = staff.get(&format!("{USERS}?page_size=4&cursor={cursor}")).await;
    assert_eq!(names(&rest), ["staff-1", "admin-0"]);
    assert_eq!(app.user().await.get(USERS).await.status, 403);
}

#[tokio::test]
async fn an_account_is_read_by_its_version() {
    let app = boot().await;
    let (staff, user) = (app.staff().await, app.user().await);
    let path = path_of(&user).await;

    let seen = staff.get(&path).await;
    assert_eq!((seen.status.as_u16(), &seen.json["username"]), (200, &json!("user-1")));
    let etag = seen.header("etag");
    assert!(!etag.is_empty());
    let again = staff.get_with(&path, &[("if-none-match", etag)]).await;
    assert_eq!((again.status.as_u16(), again.bytes.len()), (304, 0));
    user.patch(ME, &[], json!({"name": "Ada"})).await;
    assert_eq!(staff.get_with(&path, &[("if-none-match", etag)]).await.status, 200);

    let missing = format!("{USERS}/018f0000-0000-7000-8000-000000000000");
    is_problem(&staff.get(&missing).await, 404, "user_not_found");
    assert_eq!(staff.get(&format!("{USERS}/abc")).await.status, 404);
    assert_eq!(user.get(&path).await.status, 403);
}

#[tokio::test]
async fn only_an_admin_changes_roles_and_it_counts_at_once() {
    let app = boot().await;
    let (admin, staff, user) = (app.admin().await, app.staff().await, app.user().await);
    let path = path_of(&user).await;
    let etag = admin.get(&path).await.header("etag").to_owned();
    assert_eq!(user.get(USERS).await.status, 403);
    assert_eq!(staff.patch(&path, &[], json!({"roles": ["staff"]})).await.status, 403);

    let given = admin.patch(&path, &[("if-match", &etag)], json!({"roles": ["staff"]})).await;
    assert_eq!((given.status.as_u16(), &given.json["roles"]), (200, &json!(["user", "staff"])));
    assert_ne!(given.header("etag"), etag);
    assert_eq!(user.get(USERS).await.status, 200);
    is_problem(&admin.patch(&path, &[("if-match", &etag)], json!({"roles": []})).await, 412, "stale");

    let taken = admin.patch(&path, &[], json!({"roles": []})).await;
    assert_eq!(taken.json["roles"], json!(["user"]));
    assert_eq!(user.get(USERS).await.status, 403);
    for (body, field) in [
        (json!({"roles": ["king"]}), "roles[0]"),
        (json!({"roles": null}), "roles"),
        (json!({"is_active": "no"}), "is_active"),
        (json!({"email": "x@example.com"}), "email"),
    ] {
        let reply = admin.patch(&path, &[], body).await;
        assert_eq!((reply.status.as_u16(), reply.faults()[0].0), (422, field), "{}", reply.text());
    }
    let missing = format!("{USERS}/018f0000-0000-7000-8000-000000000000");
    is_problem(&admin.patch(&missing, &[], json!({"is_active": true})).await, 404, "user_not_found");
}

#[tokio::test]
async fn a_switched_off_account_is_refused_everywhere() {
    let app = boot().await;
    let (admin, caller) = (app.admin().await, app.anonymous());
    register(&caller, "ada").await;
    let (ada, refresh_token) = signed_in(&caller, "ada", PASSWORD).await;
    let key = ada.post(KEYS, json!({"name": "robot"})).await;
    let robot = app.with_token(key.json["key"].as_str().unwrap());
    assert_eq!(robot.get(ME).await.status, 200);
    let path = path_of(&ada).await;

    let off = admin.patch(&path, &[], json!({"is_active": false})).await;
    assert_eq!((off.status.as_u16(), &off.json["is_active"]), (200, &json!(false)));
    let refresh = json!({"refresh_token": refresh_token});
    assert_eq!(ada.get(ME).await.status, 401);
    assert_eq!(robot.get(ME).await.status, 401);
    assert_eq!(caller.post("/api/v1/auth/refresh", refresh.clone()).await.status, 401);
    is_problem(&sign_in(&caller, "ada", PASSWORD).await, 401, "invalid_credentials");

    assert_eq!(admin.patch(&path, &[], json!({"is_active": true})).await.status, 200);
    assert_eq!(ada.get(ME).await.status, 401, "what was ended stays ended");
    assert_eq!(caller.post("/api/v1/auth/refresh", refresh).await.status, 401);
    assert_eq!(robot.get(ME).await.status, 200);
    assert_eq!(sign_in(&caller, "ada", PASSWORD).await.status, 200);
}

#[tokio::test]
async fn the_last_administrator_stays_one() {
    let app = boot().await;
    let admin = app.admin().await;
    let path = path_of(&admin).await;
    for body in [json!({"roles": ["staff"]}), json!({"is_active": false})] {
        is_problem(&admin.patch(&path, &[], body).await, 409, "last_admin");
    }
    is_problem(&admin.delete(&path, &[]).await, 409, "last_admin");
    let body = json!({"password": TESTS_OWN}).to_string();
    let json = [("content-type", "application/json")];
    is_problem(&admin.raw(Method::DELETE, ME, &json, body).await, 409, "last_admin");
    assert_eq!(admin.patch(&path, &[], json!({"roles": ["admin", "staff"]})).await.status, 200);

    // One who can't sign in does not count.
    let other = app.admin().await;
    let of_other = path_of(&other).await;
    assert_eq!(admin.patch(&of_other, &[], json!({"is_active": false})).await.status, 200);
    is_problem(&admin.delete(&path, &[]).await, 409, "last_admin");
    assert_eq!(admin.patch(&of_other, &[], json!({"is_active": true})).await.status, 200);
    assert_eq!(admin.delete(&path, &[]).await.status, 204);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_administrators_who_demote_each_other_at_once_leave_one() {
    let app = boot().await;
    let staff = app.staff().await;
    let first = app.admin().await;
    let mut last = (first.clone(), path_of(&first).await);
    for round in 0..20 {
        let other = app.admin().await;
        let other = (other.clone(), path_of(&other).await);
        let mut tasks = JoinSet::new();
        for ((who, _), (_, whom)) in [(last.clone(), other.clone()), (other.clone(), last.clone())] {
            tasks.spawn(async move {
                match round % 3 {
                    0 => who.patch(&whom, &[], json!({"roles": []})).await,
                    1 => who.patch(&whom, &[], json!({"is_active": false})).await,
                    _ => who.delete(&whom, &[]).await,
                }
                .status
                .as_u16()
            });
        }
        let statuses = tasks.join_all().await;
        let admins = staff.get(&format!("{USERS}?role=admin&is_active=true")).await;
        assert_eq!(admins.json["total"], 1, "{statuses:?}");
        assert!(statuses.iter().all(|s| [200, 204, 409, 403, 401, 503].contains(s)), "{statuses:?}");
        let left = format!("{USERS}/{}", admins.json["items"][0]["id"].as_str().unwrap());
        if left == other.1 {
            last = other;
        }
    }
}

/// An account that left traces everywhere: its caller, its refresh token, its API key.
async fn busy(app: &TestApp, name: &str) -> (Client, String, Client) {
    let caller = app.anonymous();
    let body = json!({
        "email": address(name), "password": PASSWORD, "username": name, "name": "Augusta King"
    });
    assert_eq!(caller.post(REGISTER, body).await.status, 201);
    let (own, refresh_token) = signed_in(&caller, name, PASSWORD).await;
    let key = own.post(KEYS, json!({"name": "robot"})).await;
    let robot = app.with_token(key.json["key"].as_str().unwrap());
    own.patch(ME, &[], json!({"name": "Augusta Ada King"})).await;
    for path in ["/api/v1/auth/password/forgot", "/api/v1/auth/verify-email/resend"] {
        assert_eq!(caller.post(path, json!({"email": address(name)})).await.status, 202);
    }
    sign_in(&caller, name, "wrong engine").await;
    (own, refresh_token, robot)
}

fn holds(dump: &str, what: &str) -> Vec<String> {
    let what = what.to_lowercase();
    dump.lines().filter(|line| line.to_lowercase().contains(&what)).map(str::to_owned).collect()
}

#[tokio::test]
async fn a_removed_account_leaves_nothing_of_the_person() {
    let app = boot().await;
    let (admin, caller) = (app.admin().await, app.anonymous());
    let invited = admin.post("/api/v1/users/invitations", json!({"email": "zuleika@example.com"})).await;
    assert_eq!(invited.status, 202);
    let (zuleika, refresh_token, robot) = busy(&app, "zuleika").await;
    assert_eq!(templates(&app, "zuleika").await.len(), 3);
    // And something that nobody has carried out yet.
    let body = json!({"email": address("zuleika")});
    assert_eq!(caller.post("/api/v1/auth/password/forgot", body).await.status, 202);
    let path = path_of(&zuleika).await;
    assert!(!holds(&dump(&app).await, "zuleika").is_empty());
    assert_eq!(app.staff().await.delete(&path, &[]).await.status, 403);

    assert_eq!(admin.delete(&path, &[]).await.status, 204);

    assert_eq!(zuleika.get(ME).await.status, 401);
    assert_eq!(robot.get(ME).await.status, 401);
    let refresh = json!({"refresh_token": refresh_token});
    assert_eq!(caller.post("/api/v1/auth/refresh", refresh).await.status, 401);
    is_problem(&sign_in(&caller, "zuleika", PASSWORD).await, 401, "invalid_credentials");
    is_problem(&admin.get(&path).await, 404, "user_not_found");
    is_problem(&admin.patch(&path, &[], json!({"is_active": true})).await, 404, "user_not_found");
    is_problem(&admin.delete(&path, &[]).await, 404, "user_not_found");
    assert_eq!(admin.get(&format!("{USERS}?q=deleted")).await.json["total"], 0);
    for round in ["at once", "when all is settled"] {
        let dump = dump(&app).await;
        for what in ["zuleika", "Augusta"] {
            assert_eq!(holds(&dump, what), Vec::<String>::new(), "{what} {round}");
        }
        verifies(&app).await;
    }
    assert!(templates(&app, "zuleika").await.is_empty());

    register(&caller, "zuleika").await;
    assert_eq!(sign_in(&caller, "zuleika", PASSWORD).await.status, 200);
}

#[tokio::test]
async fn one_removes_oneself_with_the_password() {
    let app = boot().await;
    let _admin = app.admin().await;
    let (ada, _, robot) = busy(&app, "ada").await;
    let json = [("content-type", "application/json")];
    let delete = |caller: Client, body: serde_json::Value| async move {
        caller.raw(Method::DELETE, ME, &json, body.to_string()).await
    };

    let wrong = delete(ada.clone(), json!({"password": "wrong engine"})).await;
    assert_eq!((wrong.status.as_u16(), wrong.faults()), (422, vec![("password", "wrong_password")]));
    assert_eq!(delete(ada.clone(), json!({})).await.faults(), [("password", "required")]);
    assert_eq!(delete(robot, json!({"password": PASSWORD})).await.status, 403);
    assert_eq!(delete(ada.clone(), json!({"password": PASSWORD})).await.status, 204);

    assert_eq!(ada.get(ME).await.status, 401);
    assert_eq!(holds(&dump(&app).await, "ada@example.com"), Vec::<String>::new());
    verifies(&app).await;
}

#[tokio::test]
async fn guesses_at_the_password_of_a_removal_are_counted() {
    let app = boot().await;
    register(&app.anonymous(), "ada").await;
    let (ada, _) = signed_in(&app.anonymous(), "ada", PASSWORD).await;
    let json = [("content-type", "application/json")];
    let body = |password: &str| json!({"password": password}).to_string();
    for _ in 0..5 {
        assert_eq!(ada.raw(Method::DELETE, ME, &json, body("wrong engine")).await.status, 422);
    }
    is_problem(&ada.raw(Method::DELETE, ME, &json, body(PASSWORD)).await, 429, "login_locked");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nothing_that_is_made_during_a_removal_outlives_it() {
    let app = std::sync::Arc::new(boot().await);
    let admin = app.admin().await;
    for round in 0..8 {
        let name = format!("zuleika{round}");
        register(&app.anonymous(), &name).await;
        let found = admin.get(&format!("{USERS}?q={name}")).await;
        let path = format!("{USERS}/{}", found.json["items"][0]["id"].as_str().unwrap());
        let id = path.rsplit('/').next().unwrap().to_owned();
        let mut tasks = JoinSet::new();
        for _ in 0..2 {
            let (caller, name) = (app.anonymous(), name.clone());
            tasks.spawn(async move {
                sign_in(&caller, &name, PASSWORD).await;
            });
        }
        let remover = admin.clone();
        tasks.spawn(async move { assert_eq!(remover.delete(&path, &[]).await.status, 204) });
        let settling = app.clone();
        tasks.spawn(async move { settling.settle().await });
        tasks.join_all().await;

        app.settle().await;
        let dump = dump(&app).await;
        assert_eq!(holds(&dump, &name), Vec::<String>::new());
        let id = if dialect() == Dialect::Sqlite { id.replace('-', "") } else { id };
        let sessions: Vec<String> =
            holds(&dump, &id).into_iter().filter(|line| line.starts_with("sessions:")).collect();
        assert_eq!(sessions, Vec::<String>::new());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_session_that_begins_while_its_account_is_switched_off_ends_with_it() {
    let app = boot().await;
    let (admin, caller) = (app.admin().await, app.anonymous());
    register(&caller, "ada").await;
    let (ada, _) = signed_in(&caller, "ada", PASSWORD).await;
    let path = path_of(&ada).await;
    for _ in 0..8 {
        let mut tasks = JoinSet::new();
        for _ in 0..2 {
            let caller = caller.clone();
            tasks.spawn(async move { sign_in(&caller, "ada", PASSWORD).await });
        }
        let off = admin.patch(&path, &[], json!({"is_active": false})).await;
        assert_eq!(off.status, 200, "{}", off.text());
        let replies = tasks.join_all().await;
        assert_eq!(admin.patch(&path, &[], json!({"is_active": true})).await.status, 200);
        for reply in replies.iter().filter(|reply| reply.status == 200) {
            let token = reply.json["access_token"].as_str().unwrap();
            assert_eq!(caller.bearing(token).get(ME).await.status, 401);
        }
        // The failures of those who came too late must not add up to a lock.
        let (own, _) = signed_in(&caller, "ada", PASSWORD).await;
        assert_eq!(own.get(ME).await.status, 200);
    }
}
