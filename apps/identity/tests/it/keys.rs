use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use mainstay_app::App as _;
use mainstay_identity::Identity;
use mainstay_testkit::{Client, TestApp, json};
use tokio::task::JoinSet;

const ME: &str = "/api/v1/auth/me";

async fn keys_command(identity: &Identity, arguments: &[&str]) {
    let keys =
        identity.commands().into_iter().find(|command| command.arguments.get_name() == "keys").unwrap();
    let matches = keys.arguments.clone().get_matches_from(arguments);
    keys.run(matches).await.unwrap();
}

async fn kids(client: &Client) -> Vec<String> {
    let reply = client.get("/.well-known/jwks.json").await;
    let keys = reply.json["keys"].as_array().unwrap();
    keys.iter().map(|key| key["kid"].as_str().unwrap().to_owned()).collect()
}

async fn sign_in(caller: &Client) -> (String, String) {
    let body = json!({"username": "ada", "password": "a fine engine"});
    let reply = caller.post("/api/v1/auth/login", body).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let text = |field: &str| reply.json[field].as_str().unwrap().to_owned();
    (text("access_token"), text("refresh_token"))
}

async fn boot() -> TestApp {
    let app = TestApp::boot(|backend| backend).await;
    let ada = json!({"email": "ada@example.com", "password": "a fine engine", "username": "ada"});
    assert_eq!(app.anonymous().post("/api/v1/auth/register", ada).await.status, 201);
    app
}

#[tokio::test]
async fn a_new_key_is_published_before_it_signs_and_an_old_one_lives_until_its_tokens_are_over() {
    let app = boot().await;
    let node = app.another_node(|backend| backend).await;
    let caller = app.anonymous();
    let old = kids(&caller).await;
    let (token, _) = sign_in(&caller).await;
    let signed_by = |token: &str, kid: &str| {
        use base64::Engine as _;
        let head = base64::engine::general_purpose::URL_SAFE_NO_PAD
            .decode(token.split('.').next().unwrap())
            .unwrap();
        String::from_utf8(head).unwrap().contains(kid)
    };

    keys_command(app.identity(), &["keys", "rotate"]).await;
    keys_command(app.identity(), &["keys", "list"]).await;
    let both = kids(&caller).await;
    assert_eq!(both.len(), 2);
    assert!(both.contains(&old[0]));
    let new = both.iter().find(|kid| **kid != old[0]).unwrap();
    assert!(signed_by(&sign_in(&caller).await.0, &old[0]), "others may not know the new one yet");

    app.advance(Duration::from_secs(6));
    assert_eq!(kids(&node.anonymous()).await.len(), 2, "within seconds on every node");
    app.advance(Duration::from_secs(304));
    let (of_new, _) = sign_in(&caller).await;
    assert!(signed_by(&of_new, new));
    for token in [&token, &of_new] {
        assert_eq!(node.with_token(token).get(ME).await.status, 200);
    }

    app.advance(Duration::from_secs(890));
    assert_eq!(node.with_token(&of_new).get(ME).await.status, 200);
    app.advance(Duration::from_secs(30));
    assert_eq!(kids(&node.anonymous()).await, [new.as_str()], "it is gone");
}

#[tokio::test]
async fn a_key_that_signs_at_once_is_looked_up_by_the_other_nodes() {
    let app = boot().await;
    let node = app.another_node(|backend| backend).await;
    // Known by both, and just looked up.
    let (before, _) = sign_in(&node.anonymous()).await;
    assert_eq!(app.with_token(&before).get(ME).await.status, 200);

    keys_command(app.identity(), &["keys", "rotate", "--now"]).await;
    let (token, _) = sign_in(&app.anonymous()).await;

    assert_eq!(node.with_token(&token).get(ME).await.status, 200);
    assert_eq!(node.with_token(&before).get(ME).await.status, 200);
}

#[tokio::test]
async fn a_revoked_key_is_refused_within_a_minute_and_nobody_is_signed_out() {
    let app = boot().await;
    let node = app.another_node(|backend| backend).await;
    let (token, refresh_token) = sign_in(&app.anonymous()).await;
    assert_eq!(node.with_token(&token).get(ME).await.status, 200);

    keys_command(app.identity(), &["keys", "rotate", "--revoke-old"]).await;

    assert_eq!(app.with_token(&token).get(ME).await.status, 401, "at once where it was done");
    app.advance(Duration::from_secs(60));
    assert_eq!(node.with_token(&token).get(ME).await.status, 401);
    let refreshed =
        node.anonymous().post("/api/v1/auth/refresh", json!({"refresh_token": refresh_token})).await;
    assert_eq!(refreshed.status, 200);
    let access = refreshed.json["access_token"].as_str().unwrap();
    assert_eq!(app.with_token(access).get(ME).await.status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn rotations_under_load_on_two_nodes_fail_no_request() {
    let app = boot().await;
    let node = app.another_node(|backend| backend).await;
    let nodes = [app.anonymous(), node.anonymous()];
    let bearers = |token: &str| [app.with_token(token), node.with_token(token)];
    let done = Arc::new(AtomicBool::new(false));
    let mut load = JoinSet::new();
    for number in 0..4 {
        let (_, mut refresh_token) = sign_in(&nodes[0]).await;
        let (nodes, done) = (nodes.clone(), done.clone());
        let (here, there) = (app.with_token(""), node.with_token(""));
        load.spawn(async move {
            let mut rounds = 0_usize;
            while !done.load(Ordering::Relaxed) || rounds < 20 {
                let signer = &nodes[(rounds + number) % 2];
                let reply =
                    signer.post("/api/v1/auth/refresh", json!({"refresh_token": refresh_token})).await;
                assert_eq!(reply.status, 200, "{}", reply.text());
                refresh_token = reply.json["refresh_token"].as_str().unwrap().to_owned();
                let access = reply.json["access_token"].as_str().unwrap();
                for reader in [&here, &there] {
                    let reply = reader.clone().bearing(access).get(ME).await;
                    assert_eq!(reply.status, 200, "{}", reply.text());
                }
                rounds += 1;
            }
            rounds
        });
    }
    for round in 0..4 {
        let how: &[&str] = if round % 2 == 0 { &["keys", "rotate"] } else { &["keys", "rotate", "--now"] };
        keys_command(app.identity(), how).await;
        for _ in 0..32 {
            // In steps that a token outlives, as time itself goes.
            app.advance(Duration::from_secs(10));
            tokio::task::yield_now().await;
            let (token, _) = sign_in(&nodes[round % 2]).await;
            for bearer in bearers(&token) {
                assert_eq!(bearer.get(ME).await.status, 200);
            }
        }
    }
    done.store(true, Ordering::Relaxed);
    let rounds: usize = load.join_all().await.iter().sum();
    assert!(rounds >= 80);
    assert_eq!(kids(&nodes[0]).await.len(), kids(&nodes[1]).await.len());
}
