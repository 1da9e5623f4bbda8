use mainstay_testkit::{TestApp, json};

const ME: &str = "/api/v1/auth/me";

#[tokio::test]
async fn one_changes_only_what_one_names() {
    let app = TestApp::boot(|backend| backend).await;
    let ada = app.user().await;
    let before = ada.get(ME).await;

    let named = ada.patch(ME, &[("if-match", before.header("etag"))], json!({"name": "Ada Lovelace"})).await;
    assert_eq!((named.status.as_u16(), &named.json["name"]), (200, &json!("Ada Lovelace")));
    assert_eq!(named.json["username"], before.json["username"]);
    assert_ne!(named.header("etag"), before.header("etag"));

    let stale = ada.patch(ME, &[("if-match", before.header("etag"))], json!({"name": "Somebody else"})).await;
    assert_eq!((stale.status.as_u16(), stale.code()), (412, "stale"));
    assert_eq!(stale.header("etag"), named.header("etag"));

    let cleared = ada.patch(ME, &[], json!({"name": null})).await;
    assert_eq!(cleared.json["name"], json!(null));
    let kept = ada.patch(ME, &[], json!({"username": null})).await;
    assert_eq!(kept.faults(), [("username", "required")]);
}

#[tokio::test]
async fn a_taken_username_is_refused() {
    let app = TestApp::boot(|backend| backend).await;
    let (ada, bob) = (app.user().await, app.user().await);
    let taken = bob.get(ME).await.json["username"].clone();

    let reply = ada.patch(ME, &[], json!({"username": taken})).await;

    assert_eq!((reply.status.as_u16(), reply.code()), (409, "username_taken"));
}

#[tokio::test]
async fn roles_can_not_be_given_to_oneself() {
    let app = TestApp::boot(|backend| backend).await;
    let reply = app.user().await.patch(ME, &[], json!({"roles": ["admin"], "email_verified": true})).await;
    assert_eq!(reply.faults(), [("roles", "unknown_field"), ("email_verified", "unknown_field")]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn changes_without_a_condition_do_not_refuse_each_other() {
    let app = TestApp::boot(|backend| backend).await;
    let ada = app.user().await;
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..8 {
        let ada = ada.clone();
        tasks.spawn(async move {
            ada.patch(ME, &[], json!({"name": format!("Ada {number}")})).await.status.as_u16()
        });
    }
    let statuses = tasks.join_all().await;
    assert!(statuses.iter().all(|status| *status == 200 || *status == 503), "{statuses:?}");
    assert!(statuses.contains(&200));
    assert_eq!(
        ada.get(ME).await.header("etag"),
        format!("\"{}\"", 1 + statuses.iter().filter(|s| **s == 200).count())
    );
}
