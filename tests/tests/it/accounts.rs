//! From nothing to a signed-in person.

use mainstay_e2e::{PASSWORD, Site, json};
use reqwest::Method;

const REGISTER: &str = "/api/v1/auth/register";
const LOGIN: &str = "/api/v1/auth/login";
const ME: &str = "/api/v1/auth/me";
const SECRET: &str = "f2bb3c3cbd1d0f8ae3c9b5a4f0d7e619";

fn setup_token(banner: &str) -> Option<String> {
    let (_, rest) = banner.split_once("\"token\":\"")?;
    Some(rest.split_once('"')?.0.to_owned())
}

#[tokio::test]
async fn a_person_registers_and_signs_in() {
    let site = Site::new();
    let server = site.serve().await;
    let client = server.client();

    let registered = client.post(REGISTER, json!({"email": "ada@example.com", "password": PASSWORD})).await;
    assert_eq!(registered.status, 201, "{}", registered.text());
    assert_eq!((&registered.json["username"], &registered.json["roles"]), (&json!("ada"), &json!(["user"])));
    assert!(!registered.text().contains(PASSWORD));
    let again = client.post(REGISTER, json!({"email": "ADA@example.com", "password": PASSWORD})).await;
    assert_eq!((again.status.as_u16(), again.code(), again.fields()), (409, "email_taken", vec!["email"]));

    let me = server.sign_in("Ada@Example.com", PASSWORD).await.get(ME).await;
    assert_eq!((me.status.as_u16(), &me.json["email"]), (200, &json!("ada@example.com")));

    let form = [("content-type", "application/x-www-form-urlencoded")];
    let body = "grant_type=password&username=ada&password=correct+horse+battery";
    let grant = client.send(Method::POST, "/api/v1/auth/token", &form, body).await;
    assert_eq!((grant.status.as_u16(), &grant.json["token_type"]), (200, &json!("bearer")));
    let me = client.with_token(grant.json["access_token"].as_str().unwrap()).get(ME).await;
    assert_eq!((me.status.as_u16(), &me.json["username"]), (200, &json!("ada")));
    let refused = client.send(Method::POST, "/api/v1/auth/token", &form, body.replace("horse", "cow")).await;
    assert_eq!((refused.status.as_u16(), &refused.json["error"]), (400, &json!("invalid_grant")));

    let unknown = client.post(LOGIN, json!({"email": "nobody@example.com", "password": PASSWORD})).await;
    let wrong = client.post(LOGIN, json!({"email": "ada@example.com", "password": "wrong password"})).await;
    for reply in [&unknown, &wrong] {
        assert_eq!((reply.status.as_u16(), reply.code()), (401, "invalid_credentials"));
    }
    assert_eq!(unknown.json["detail"], wrong.json["detail"]);
    let log = server.process.stdout() + &server.process.stderr();
    assert!(!log.contains(PASSWORD) && !log.contains("eyJ"), "a secret is in the log:\n{log}");
}

#[tokio::test]
async fn the_first_administrator_comes_from_the_token_that_serve_prints() {
    let site = Site::new();
    let server = site.serve().await;
    let token =
        setup_token(&server.process.stdout()).expect("a token is printed while there is no administrator");
    let client = server.client();
    let setup = |token: &str, email: &str| json!({"token": token, "email": email, "password": PASSWORD});

    let wrong = client.post("/api/v1/setup", setup("guessed", "eve@example.com")).await;
    assert_eq!((wrong.status.as_u16(), wrong.code()), (410, "token_invalid"));
    let made = client.post("/api/v1/setup", setup(&token, "ada@example.com")).await;
    assert_eq!((made.status.as_u16(), &made.json["roles"]), (201, &json!(["admin"])), "{}", made.text());
    let again = client.post("/api/v1/setup", setup(&token, "eve@example.com")).await;
    assert_eq!((again.status.as_u16(), again.code()), (410, "token_invalid"));
    assert_eq!(server.sign_in("ada@example.com", PASSWORD).await.get(ME).await.status, 200);

    drop(server);
    let banner = site.serve().await.process.stdout();
    assert_eq!(setup_token(&banner), None, "there is an administrator now:\n{banner}");
}

#[tokio::test]
async fn the_address_that_serve_prints_for_the_setup_is_its_own() {
    let site = Site::new();
    let server = site.serve().await;
    let banner = server.process.stdout();
    let url = format!("http://{}/api/v1/setup", server.address);
    assert!(banner.contains(&url), "{url} is missing in\n{banner}");
}

#[tokio::test]
async fn an_operator_makes_an_administrator() {
    let site = Site::new();
    let server = site.serve().await;
    site.create_admin();

    let me = server.admin().await.get(ME).await;
    assert_eq!((&me.json["roles"], &me.json["email_verified"]), (&json!(["admin"]), &json!(true)));

    let create = |email: &str, password: &str| {
        let arguments = ["users", "create-admin", "--email", email, "--password-stdin"];
        site.run_with(&arguments, &format!("{password}\n"))
    };
    assert!(create("admin@example.com", PASSWORD).failure().to_lowercase().contains("email"));
    assert!(create("second@example.com", "short").failure().contains("password"));
    assert!(create("no address", PASSWORD).failure().contains("--email"));
    assert!(create("second@example.com", "").failure().contains("password"));
}

#[tokio::test]
async fn another_secret_key_on_an_existing_database_is_a_clear_error() {
    let site = Site::new().set("SECRET_KEY", SECRET);
    drop(site.serve().await);

    let site = site.set("SECRET_KEY", "0123456789abcdef0123456789abcdef");
    let told = site.run(&["serve", "--port", "0"]).failure();
    assert!(told.contains("secret_key"), "{told}");

    drop(site.set("SECRET_KEY", SECRET).serve().await);
}

#[tokio::test]
async fn a_production_site_works() {
    let site = Site::new()
        .set("MAINSTAY__ENVIRONMENT", "production")
        .set("MAINSTAY__HTTP__PUBLIC_URL", "https://library.example.org")
        .set("SECRET_KEY", SECRET);
    let server = site.serve().await;
    site.create_admin();

    let me = server.admin().await.get(ME).await;
    assert_eq!(me.status, 200);
    assert!(me.header("strict-transport-security").contains("max-age"));
    assert!(server.process.stdout().contains("https://library.example.org/api/v1/setup"));
}
