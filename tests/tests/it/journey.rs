//! The whole life of an account, with nothing but HTTP: the mail is read in the mailbox.

use std::time::{Duration, Instant};

use mainstay_e2e::{Client, PASSWORD, Reply, Site, json};
use reqwest::Method;

const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded");
const NEW_PASSWORD: &str = "another long phrase 7";

/// The newest mail of this template to the address, once it is there.
async fn mail(admin: &Client, address: &str, template: &str) -> String {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let path = format!("/api/v1/mailbox?address={address}&template={template}&status=sent");
        let list = admin.get(&path).await;
        assert_eq!(list.status, 200, "{}", list.text());
        if let Some(id) = list.json["items"][0]["id"].as_str() {
            let mail = admin.get(&format!("/api/v1/mailbox/{id}")).await;
            return mail.json["text"].as_str().expect("without SMTP the text stays").to_owned();
        }
        assert!(Instant::now() < deadline, "no mail came: {}", list.text());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// The token that stands alone on an indented line.
fn token(mail: &str) -> String {
    let line = mail.lines().find(|line| line.starts_with("    ") && !line.trim().contains(' '));
    line.expect("the mail holds a token").trim().to_owned()
}

fn text<'a>(reply: &'a Reply, name: &str) -> &'a str {
    reply.json[name].as_str().unwrap_or_else(|| panic!("no {name} in {}", reply.text()))
}

#[tokio::test]
async fn an_account_from_its_making_to_its_end() {
    let site = Site::new();
    let server = site.serve().await;
    site.create_admin();
    let (admin, anybody) = (server.admin().await, server.client());

    // Made, and proven by the mail.
    let body = json!({"email": "ada@example.com", "password": PASSWORD});
    let made = anybody.post("/api/v1/auth/register", body).await;
    assert_eq!((made.status.as_u16(), &made.json["email_verified"]), (201, &json!(false)));
    let mailed = token(&mail(&admin, "ada@example.com", "identity.verify_email").await);
    let page = anybody.get(&format!("/console/verify-email?token={mailed}")).await;
    assert_eq!((page.status.as_u16(), page.header("content-type")), (200, "text/html; charset=utf-8"));
    let verify = json!({"token": mailed});
    assert_eq!(anybody.post("/api/v1/auth/verify-email", verify.clone()).await.status, 204);
    let again = anybody.post("/api/v1/auth/verify-email", verify).await;
    assert_eq!((again.status.as_u16(), again.code()), (410, "token_invalid"));

    // Signed in, and on with a refreshed pair.
    let login = json!({"email": "ada@example.com", "password": PASSWORD});
    let grant = anybody.post("/api/v1/auth/login", login.clone()).await;
    let refresh = json!({"refresh_token": text(&grant, "refresh_token")});
    let next = anybody.post("/api/v1/auth/refresh", refresh.clone()).await;
    let ada = anybody.with_token(text(&next, "access_token"));
    assert_eq!(ada.get("/api/v1/auth/me").await.json["email_verified"], json!(true));

    // A second device, signed out from the first.
    let other = anybody.post("/api/v1/auth/login", login.clone()).await;
    let other = anybody.with_token(text(&other, "access_token"));
    let sessions = ada.get("/api/v1/auth/sessions").await;
    assert_eq!(sessions.json["total"], 2, "{}", sessions.text());
    let items = sessions.json["items"].as_array().unwrap();
    let foreign = items.iter().find(|session| session["current"] == json!(false)).unwrap();
    let path = format!("/api/v1/auth/sessions/{}", foreign["id"].as_str().unwrap());
    assert_eq!(ada.send(Method::DELETE, &path, &[], "").await.status, 204);
    assert_eq!(other.get("/api/v1/auth/me").await.status, 401);

    // An API key, and a service that asks what a token is worth.
    let key = json!({"name": "robot", "scopes": ["identity:read"]});
    let once = [("idempotency-key", "\"robot-1\"")];
    let key = ada.json(Method::POST, "/api/v1/auth/api-keys", &once, key).await;
    assert_eq!(key.status, 201, "{}", key.text());
    let robot = [("x-api-key", text(&key, "key"))];
    assert_eq!(anybody.get_with("/api/v1/auth/me", &robot).await.status, 200);
    let service = admin.post("/api/v1/auth/services", json!({"name": "gateway"})).await;
    let (id, secret) = (text(&service, "client_id"), text(&service, "client_secret"));
    let basic = format!("Basic {}", base64(&format!("{id}:{secret}")));
    let ask = |token: &str| {
        let (client, basic, body) = (anybody.clone(), basic.clone(), format!("token={token}"));
        async move {
            let headers = [FORM, ("authorization", basic.as_str())];
            client.send(Method::POST, "/api/v1/auth/introspect", &headers, body).await
        }
    };
    let active = ask(text(&next, "access_token")).await;
    assert_eq!((active.status.as_u16(), &active.json["active"]), (200, &json!(true)), "{}", active.text());
    assert_eq!(ask("made-up").await.text(), r#"{"active":false}"#);

    // Out everywhere: at once here.
    assert_eq!(ada.post("/api/v1/auth/logout-all", json!({})).await.status, 204);
    assert_eq!(ada.get("/api/v1/auth/me").await.status, 401);
    assert_eq!(ask(text(&next, "access_token")).await.text(), r#"{"active":false}"#);
    let stale = json!({"refresh_token": text(&next, "refresh_token")});
    assert_eq!(anybody.post("/api/v1/auth/refresh", stale).await.code(), "invalid_refresh_token");

    // A forgotten password.
    let forgot = json!({"email": "ada@example.com"});
    assert_eq!(anybody.post("/api/v1/auth/password/forgot", forgot).await.status, 202);
    let mailed = token(&mail(&admin, "ada@example.com", "identity.reset_password").await);
    let reset = json!({"token": mailed, "new_password": NEW_PASSWORD});
    assert_eq!(anybody.post("/api/v1/auth/password/reset", reset).await.status, 204);
    assert_eq!(anybody.post("/api/v1/auth/login", login).await.code(), "invalid_credentials");
    let ada = server.sign_in("ada@example.com", NEW_PASSWORD).await;

    // Gone, and nothing of the person with it.
    let wrong = json!({"password": PASSWORD});
    let refused = ada.json(Method::DELETE, "/api/v1/auth/me", &[], wrong).await;
    assert_eq!((refused.status.as_u16(), refused.fields()), (422, vec!["password"]));
    let right = json!({"password": NEW_PASSWORD});
    assert_eq!(ada.json(Method::DELETE, "/api/v1/auth/me", &[], right).await.status, 204);
    assert_eq!(ada.get("/api/v1/auth/me").await.status, 401);
    let found = admin.get("/api/v1/users?q=ada").await;
    assert_eq!(found.json["total"], 0, "{}", found.text());

    let log = server.process.stdout() + &server.process.stderr();
    for secret in [PASSWORD, NEW_PASSWORD, &mailed, secret, text(&key, "key"), "eyJ", "msr_"] {
        assert!(!log.contains(secret), "a secret is in the log");
    }
    let verdict = site.run(&["audit", "verify"]).success();
    assert!(verdict.contains("as they were sealed"), "{verdict}");
}

/// RFC 4648 §4, for one header.
fn base64(text: &str) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut encoded = String::new();
    for chunk in text.as_bytes().chunks(3) {
        let bits =
            chunk.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for place in 0..4 {
            let sextet = (bits >> (18 - 6 * place)) & 63;
            encoded.push(if place <= chunk.len() { char::from(ALPHABET[sextet as usize]) } else { '=' });
        }
    }
    encoded
}
