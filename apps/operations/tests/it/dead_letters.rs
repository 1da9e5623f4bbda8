use mainstay_testkit::{Client, Reply, json};
use tokio::task::JoinSet;

use super::support::{Desk, NOBODY, each, is_problem};

const LETTERS: &str = "/api/v1/events/dead-letters";

async fn list(admin: &Client) -> Reply {
    admin.get(&format!("{LETTERS}?sort=died_at")).await
}

async fn ids(admin: &Client) -> Vec<String> {
    each(&list(admin).await, "id").into_iter().map(str::to_owned).collect()
}

#[tokio::test]
async fn what_a_consumer_gave_up_is_shown_with_every_try() {
    let desk = Desk::boot().await;
    let admin = desk.app.admin().await;
    desk.bury("ada").await;

    let letters = list(&admin).await;
    assert_eq!(letters.json["total"], 1);
    let letter = &letters.json["items"][0];
    let user = admin.get("/api/v1/users?q=ada").await.json["items"][0]["id"].as_str().unwrap().to_owned();
    assert_eq!(letter["consumer"], "greetings.greeter");
    assert_eq!((&letter["kind"], &letter["attempts"]), (&json!("user.registered"), &json!(5)));
    assert_eq!(letter["subject"], json!(format!("user/{user}")));
    assert_eq!(letter["error"], "the greeter is out of order");
    assert_eq!(letter["data"], json!({"user_id": user, "email_verified": false}));
    assert_eq!(letter["occurred_at"], "2026-01-31T09:30:00.000Z");
    let history = letter["history"].as_array().unwrap();
    assert_eq!(history.len(), 5);
    assert!(history.iter().all(|attempt| attempt["error"] == "the greeter is out of order"));
    assert_eq!(history[0]["at"], "2026-01-31T09:30:00.000Z");
    assert_eq!(history[4]["at"], letter["died_at"]);

    let path = format!("{LETTERS}/{}", letter["id"].as_str().unwrap());
    assert_eq!(admin.get(&path).await.json, *letter);
    is_problem(&admin.get(&format!("{LETTERS}/{NOBODY}")).await, 404, "dead_letter_not_found");
    assert_eq!(admin.get(&format!("{LETTERS}/abc")).await.status, 404);
    assert_eq!(admin.get(&format!("{LETTERS}?consumer=other")).await.json["total"], 0);
    assert_eq!(admin.get(&format!("{LETTERS}?consumer=greetings.greeter")).await.json["total"], 1);
    assert_eq!(admin.get(&format!("{LETTERS}?sort=kind")).await.faults()[0].0, "sort");
}

#[tokio::test]
async fn a_replayed_letter_is_delivered_once_more() {
    let desk = Desk::boot().await;
    let admin = desk.app.admin().await;
    desk.bury("ada").await;
    let greeted = desk.greeter.greeted();
    let path = format!("{LETTERS}/{}", ids(&admin).await[0]);

    assert_eq!(admin.post(&format!("{path}/replay"), json!(null)).await.status, 204);
    is_problem(&admin.post(&format!("{path}/replay"), json!(null)).await, 404, "dead_letter_not_found");
    assert!(ids(&admin).await.is_empty());
    desk.app.settle().await;
    assert_eq!(desk.greeter.greeted(), greeted + 1);
    let audit = admin.get("/api/v1/audit?action=dead_letter.*").await;
    assert_eq!(each(&audit, "action"), ["dead_letter.replayed"]);

    is_problem(
        &admin.post(&format!("{LETTERS}/{NOBODY}/replay"), json!(null)).await,
        404,
        "dead_letter_not_found",
    );
}

#[tokio::test]
async fn a_letter_that_fails_again_comes_back_with_its_whole_history() {
    let desk = Desk::boot().await;
    let admin = desk.app.admin().await;
    desk.bury("ada").await;
    let id = ids(&admin).await.remove(0);
    assert_eq!(admin.post(&format!("{LETTERS}/{id}/replay"), json!(null)).await.status, 204);
    desk.greeter.set_broken(true);
    for _ in 0..6 {
        desk.app.settle().await;
        desk.app.advance(std::time::Duration::from_secs(20));
    }
    let letters = list(&admin).await;
    assert_eq!(letters.json["total"], 1);
    assert_ne!(letters.json["items"][0]["id"], json!(id));
    assert_eq!(letters.json["items"][0]["history"].as_array().unwrap().len(), 10);
}

#[tokio::test]
async fn all_are_replayed_at_once_or_those_of_one_consumer() {
    let desk = Desk::boot().await;
    let admin = desk.app.admin().await;
    for name in ["ada", "bob", "eve"] {
        desk.bury(name).await;
    }
    let greeted = desk.greeter.greeted();
    let replay = |body: serde_json::Value| {
        let admin = admin.clone();
        async move { admin.post(&format!("{LETTERS}/replay"), body).await }
    };
    let none = replay(json!({"consumer": "other"})).await;
    assert_eq!((none.status.as_u16(), &none.json), (200, &json!({"replayed": 0})));
    assert_eq!(replay(json!({"consumer": "", "x": 1})).await.faults().len(), 2);
    assert_eq!(replay(json!({"consumer": "greetings.greeter"})).await.json, json!({"replayed": 3}));
    assert_eq!(replay(json!({})).await.json, json!({"replayed": 0}));
    desk.app.settle().await;
    assert_eq!(desk.greeter.greeted(), greeted + 3);
}

#[tokio::test]
async fn the_commands_list_replay_and_discard() {
    let desk = Desk::boot().await;
    let admin = desk.app.admin().await;
    for name in ["ada", "bob", "eve", "joe"] {
        desk.bury(name).await;
    }
    let greeted = desk.greeter.greeted();
    let known = ids(&admin).await;
    desk.run(&["events", "dead", "list"]).await.unwrap();
    desk.run(&["events", "dead", "list", "--consumer", "greetings.greeter", "--limit", "1"]).await.unwrap();
    for bad in [
        &["events", "dead", "list", "--limit", "0"][..],
        &["events", "dead", "replay"],
        &["events", "dead", "replay", "abc"],
        &["events", "dead", "replay", "--all", NOBODY],
        &["events", "dead", "replay", "--consumer", "x", NOBODY],
        &["events", "dead", "discard"],
    ] {
        assert!(desk.run(bad).await.is_err(), "{bad:?}");
    }
    assert_eq!(ids(&admin).await, known, "nothing was done");

    // What is there is replayed, and what is not is told.
    assert!(desk.run(&["events", "dead", "replay", NOBODY, &known[0]]).await.is_err());
    assert!(desk.run(&["events", "dead", "discard", NOBODY]).await.is_err());
    desk.run(&["events", "dead", "discard", &known[1]]).await.unwrap();
    desk.run(&["events", "dead", "replay", "--all", "--consumer", "other"]).await.unwrap();
    assert_eq!(ids(&admin).await, known[2..]);
    desk.run(&["events", "dead", "replay", "--all"]).await.unwrap();
    assert!(ids(&admin).await.is_empty());
    desk.app.settle().await;
    assert_eq!(desk.greeter.greeted(), greeted + 3);
    let audit = admin.get("/api/v1/audit?actor=system/cli&sort=seq").await;
    assert_eq!(
        each(&audit, "action"),
        ["dead_letter.replayed", "dead_letter.discarded", "dead_letter.replayed", "dead_letter.replayed"]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_who_replay_and_discard_one_letter_one_does() {
    let desk = Desk::boot().await;
    let admin = desk.app.admin().await;
    for name in ["ada", "bob", "eve"] {
        desk.bury(name).await;
        let greeted = desk.greeter.greeted();
        let path = format!("{LETTERS}/{}", ids(&admin).await[0]);
        let mut tasks = JoinSet::new();
        for number in 0..12 {
            let (admin, path) = (admin.clone(), path.clone());
            tasks.spawn(async move {
                match number % 3 {
                    0 => (admin.delete(&path, &[]).await.status.as_u16(), false),
                    1 => (admin.post(&format!("{path}/replay"), json!(null)).await.status.as_u16(), true),
                    _ => {
                        let all = admin.post(&format!("{LETTERS}/replay"), json!({})).await;
                        let replayed = all.json["replayed"].as_u64().unwrap();
                        (if replayed == 1 { 204 } else { 404 }, true)
                    }
                }
            });
        }
        let outcomes = tasks.join_all().await;
        let done: Vec<bool> =
            outcomes.iter().filter(|(status, _)| *status == 204).map(|(_, replays)| *replays).collect();
        assert_eq!(done.len(), 1, "{outcomes:?}");
        assert!(outcomes.iter().all(|(status, _)| [204, 404].contains(status)), "{outcomes:?}");
        desk.app.settle().await;
        assert_eq!(desk.greeter.greeted(), greeted + usize::from(done[0]));
        assert!(ids(&admin).await.is_empty());
    }
}
