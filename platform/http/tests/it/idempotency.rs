//! Requests that are sent again: one effect, one answer.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use mainstay_core::Actor;
use mainstay_db::testing::dialect;
use mainstay_db::{DatabaseSettings, Dialect};
use mainstay_http::{HttpSettings, purge_idempotency_keys};
use sea_orm::ConnectionTrait as _;
use sea_orm::sea_query::{Alias, Expr, Query};
use serde_json::{Value, json};
use tokio::sync::Barrier;
use tokio::task::JoinSet;

use crate::node::{House, Node, Reply};

const BOXES: &str = "/api/v1/boxes";

async fn post(node: &Node, path: &str, key: &str, body: Value) -> Reply {
    node.post(path, &[("idempotency-key", key)], body).await
}

async fn open(node: &Node, key: &str, label: &str) -> Reply {
    post(node, BOXES, key, json!({"label": label})).await
}

async fn count(node: &Node, table: &'static str) -> usize {
    let mut select = Query::select();
    select.expr(Expr::val(1)).from(Alias::new(table));
    node.db.primary().query_all(&select).await.unwrap().len()
}

fn replayed(reply: &Reply) -> bool {
    reply.header("idempotent-replayed") == "true"
}

/// What must be the same in every answer to a key.
fn essence(reply: &Reply) -> (u16, Vec<u8>, [String; 3]) {
    let headers = ["location", "etag", "content-type"].map(|name| reply.header(name).to_owned());
    (reply.status.as_u16(), reply.bytes.clone(), headers)
}

#[track_caller]
fn assert_same(one: &Reply, other: &Reply) {
    assert_eq!(essence(one), essence(other));
    assert!(one.header("location").starts_with("/api/v1/") && !one.bytes.is_empty());
}

async fn race(nodes: &[&Node]) {
    let mut requests = JoinSet::new();
    for i in 0..200 {
        let node = nodes[i % nodes.len()].clone();
        requests.spawn(async move { open(&node, "race", "A").await });
    }
    let replies = requests.join_all().await;

    assert_eq!(count(nodes[0], "boxes").await, 1);
    for reply in &replies {
        match reply.status.as_u16() {
            201 => {}
            409 => assert_eq!((reply.code(), reply.header("retry-after")), ("idempotency_in_progress", "1")),
            other => panic!("{other}: {}", reply.json),
        }
    }
    let made: Vec<_> = replies.iter().filter(|reply| reply.status == 201).collect();
    assert_eq!(made.iter().filter(|reply| !replayed(reply)).count(), 1, "one of them did it");
    for node in nodes {
        let again = open(node, "race", "A").await;
        assert!(replayed(&again), "{}", again.json);
        made.iter().for_each(|reply| assert_same(reply, &again));
    }
    assert_eq!(count(nodes[0], "boxes").await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_hundred_requests_with_one_key_have_one_effect() {
    let house = House::build().await;
    let node = house.node();
    race(&[&node]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn they_have_one_effect_on_two_nodes_too() {
    let house = House::build().await;
    let (one, two) = (house.node(), house.node());
    race(&[&one, &two]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_two_nodes_that_begin_together_one_gives_the_others_answer() {
    let house = House::build().await;
    let (one, two) = (house.node(), house.node());
    // The second label is refused as taken by the loser's own change: not what happened to the request.
    for (key, label) in [("k1", "A"), ("k2", "only one")] {
        *house.control.meeting.lock().unwrap() = Some(Arc::new(Barrier::new(2)));
        let before = count(&one, "boxes").await;
        let (first, second) = tokio::join!(open(&one, key, label), open(&two, key, label));

        assert_eq!(first.status, 201, "{}", first.json);
        assert_same(&first, &second);
        assert!(replayed(&first) != replayed(&second), "{label}");
        assert_eq!(count(&one, "boxes").await, before + 1, "what the loser did is undone");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn changes_that_may_run_again_take_effect_once_a_key() {
    let house = House::build().await;
    let (one, two) = (house.node(), house.node());
    let mut requests = JoinSet::new();
    for i in 0..40_usize {
        let node = if i % 2 == 0 { one.clone() } else { two.clone() };
        let key = format!("take-{}", i / 2);
        requests.spawn(async move {
            loop {
                let reply = post(&node, "/api/v1/takings", &key, json!({"amount": 1})).await;
                match reply.status.as_u16() {
                    201 | 422 => return (key, reply),
                    409 | 503 => tokio::task::yield_now().await,
                    other => panic!("{other}: {}", reply.json),
                }
            }
        });
    }
    let mut replies = requests.join_all().await;
    replies.sort_by(|one, other| one.0.cmp(&other.0));

    assert_eq!(count(&one, "boxes").await, 10, "twenty keys, and room for ten");
    let sums: BTreeSet<_> = replies
        .iter()
        .filter_map(|(_, reply)| (reply.status == 201).then_some(reply.json.as_i64()))
        .collect();
    assert_eq!(sums.len(), 10, "each key did it by itself");
    for pair in replies.chunks(2) {
        assert_eq!(pair[0].0, pair[1].0);
        if pair[0].1.status == 201 {
            assert_same(&pair[0].1, &pair[1].1);
        } else {
            assert_eq!((pair[0].1.code(), pair[1].1.code()), ("box_empty", "box_empty"));
        }
    }
}

#[tokio::test]
async fn a_key_stands_for_its_body_its_caller_and_its_address() {
    let house = House::build().await;
    let node = house.node();
    let send = async |user: Option<&str>, path: &str, key: &str, body: Value| {
        let token = user.map(|user| format!("Bearer 0192f0c1-2f6e-7cc3-98c4-dc0c0c07398{user}"));
        let mut headers = vec![("idempotency-key", key)];
        headers.extend(token.as_deref().map(|token| ("authorization", token)));
        node.post(path, &headers, body).await
    };
    let first = send(Some("a"), BOXES, "k", json!({"label": "A", "weight": 1})).await;
    assert_eq!((first.status.as_u16(), replayed(&first)), (201, false), "{}", first.json);

    let same = send(Some("a"), BOXES, "\"k\"", json!({"weight": 1, "label": "A"})).await;
    assert_same(&first, &same);
    assert!(replayed(&same));
    for other in [json!({"label": "B", "weight": 1}), json!({"label": "A"})] {
        let reused = send(Some("a"), BOXES, "k", other).await;
        assert_eq!((reused.status.as_u16(), reused.code()), (422, "idempotency_key_reused"));
    }
    assert_eq!(count(&node, "boxes").await, 1);

    for (user, path, key) in [
        (Some("b"), BOXES, "k"),
        (None, BOXES, "k"),
        (Some("a"), "/api/v1/boxes/1/boxes", "k"),
        (Some("a"), "/api/v1/boxes/2/boxes", "k"),
        (Some("a"), BOXES, "K"),
    ] {
        let reply = send(user, path, key, json!({"label": "A", "weight": 1})).await;
        assert_eq!((reply.status.as_u16(), replayed(&reply)), (201, false), "{user:?} {path} {key}");
    }
    assert_eq!(count(&node, "boxes").await, 6);
    let metrics = node.metrics.render();
    for (outcome, times) in [("replayed", 1), ("reused", 2)] {
        let line = format!("idempotency_repeats_total{{outcome=\"{outcome}\"}} {times}");
        assert!(metrics.contains(&line), "{line}: {metrics}");
    }
}

#[tokio::test]
async fn without_a_key_each_request_is_one_of_its_own() {
    let house = House::build().await;
    let node = house.node();
    for _ in 0..2 {
        let reply = node.post(BOXES, &[], json!({"label": "A"})).await;
        assert_eq!((reply.status.as_u16(), replayed(&reply)), (201, false));
        let reply = node.post("/api/v1/takings", &[], json!({"amount": 1})).await;
        assert_eq!(reply.status, 201);
    }
    assert_eq!((count(&node, "boxes").await, count(&node, "idempotency_keys").await), (4, 0));
}

#[tokio::test]
async fn a_key_that_is_none_is_refused_and_one_may_be_required() {
    let house = House::build().await;
    let settings = HttpSettings { require_idempotency_key: true, ..HttpSettings::default() };
    let node = house.node_with(settings, house.database.settings());
    for bad in ["\"k", "a b", "\"\"", &"k".repeat(256)] {
        let reply = open(&node, bad, "A").await;
        assert_eq!((reply.status.as_u16(), reply.code()), (400, "malformed_header"), "{bad}");
    }
    let twice = [("idempotency-key", "k"), ("idempotency-key", "k")];
    let reply = node.post(BOXES, &twice, json!({"label": "A"})).await;
    assert_eq!((reply.status.as_u16(), reply.code()), (400, "malformed_header"));
    let reply = node.post(BOXES, &[], json!({"label": "A"})).await;
    assert_eq!((reply.status.as_u16(), reply.code()), (400, "idempotency_key_required"));

    assert_eq!(count(&node, "boxes").await, 0);
    assert_eq!(open(&node, &"k".repeat(255), "A").await.status, 201);
}

#[tokio::test]
async fn what_an_answer_shows_once_is_sealed_at_rest() {
    let house = House::build().await;
    let node = house.node();
    let reply = open(&node, "k", "A").await;
    let secret = reply.json["secret"].as_str().unwrap();

    let columns = ["scope", "key", "request_hash", "content_type", "sealed_body"];
    let mut select = Query::select();
    select.columns(columns.map(Alias::new)).from(Alias::new("idempotency_keys"));
    let row = node.db.primary().query_one(&select).await.unwrap().unwrap();
    let dump = columns.map(|column| row.try_get::<String>("", column).unwrap()).join("\n");
    assert!(dump.contains("anonymous POST /api/v1/boxes"), "{dump}");
    assert!(!dump.contains(secret) && !dump.contains("label"), "{dump}");

    assert_same(&reply, &open(&node, "k", "A").await);
}

#[tokio::test]
async fn a_request_in_progress_is_waited_for_and_one_that_broke_off_left_nothing() {
    let house = House::build().await;
    let (node, control) = (house.node(), &house.control);
    control.stops.store(true, Ordering::SeqCst);
    let mut broken = JoinSet::new();
    broken.spawn({
        let node = node.clone();
        async move { open(&node, "k", "A").await }
    });
    control.stopped.notified().await;

    let meanwhile = open(&node, "k", "A").await;
    assert_eq!((meanwhile.status.as_u16(), meanwhile.code()), (409, "idempotency_in_progress"));
    assert_eq!(meanwhile.header("retry-after"), "1");
    // As when its client goes away.
    broken.shutdown().await;
    control.stops.store(false, Ordering::SeqCst);

    let again = open(&node, "k", "A").await;
    assert_eq!((again.status.as_u16(), replayed(&again)), (201, false), "{}", again.json);
    assert_eq!((count(&node, "boxes").await, count(&node, "idempotency_keys").await), (1, 1));
}

#[tokio::test]
async fn a_failure_leaves_the_key_free() {
    let house = House::build().await;
    let (node, control) = (house.node(), &house.control);
    let invalid = post(&node, BOXES, "k", json!({"weight": "much"})).await;
    assert_eq!((invalid.status.as_u16(), invalid.code()), (422, "validation_failed"));
    control.fails.store(true, Ordering::SeqCst);
    let failed = open(&node, "k", "A").await;
    assert_eq!((failed.status.as_u16(), failed.code()), (409, "conflict"));
    assert_eq!((count(&node, "boxes").await, count(&node, "idempotency_keys").await), (0, 0));

    control.fails.store(false, Ordering::SeqCst);
    let again = open(&node, "k", "A").await;
    assert_eq!((again.status.as_u16(), replayed(&again)), (201, false));
}

#[tokio::test]
async fn a_final_refusal_is_kept_though_it_would_succeed_now() {
    let house = House::build().await;
    let (node, control) = (house.node(), &house.control);
    let take = async |key: &str| post(&node, "/api/v1/takings", key, json!({"amount": 11})).await;
    let refused = take("k").await;
    assert_eq!((refused.status.as_u16(), refused.code(), replayed(&refused)), (422, "box_empty", false));
    control.capacity.store(100, Ordering::SeqCst);

    let again = take("k").await;
    assert_eq!((again.status.as_u16(), again.code(), replayed(&again)), (422, "box_empty", true));
    let mut expected = refused.json.clone();
    assert_ne!(refused.json["request_id"], again.json["request_id"]);
    assert_eq!(again.json["request_id"], again.header("x-request-id"));
    expected["request_id"] = again.json["request_id"].clone();
    assert_eq!(again.json, expected);
    assert_eq!(again.header("content-type"), refused.header("content-type"));

    assert_eq!(count(&node, "boxes").await, 0, "a refusal changed nothing");
    assert_eq!(take("another").await.status, 201);
}

#[tokio::test]
async fn after_a_day_a_key_is_new_and_the_old_answers_are_purged() {
    let house = House::build().await;
    let node = house.node();
    let day = Duration::from_secs(24 * 60 * 60);
    let first = open(&node, "k", "A").await;
    house.clock.advance(day.checked_sub(Duration::from_millis(1)).unwrap());
    assert_same(&first, &open(&node, "k", "A").await);

    house.clock.advance(Duration::from_millis(1));
    let second = open(&node, "k", "B").await;
    assert_eq!((second.status.as_u16(), replayed(&second)), (201, false), "{}", second.json);
    assert_ne!(first.bytes, second.bytes);
    assert_same(&second, &open(&node, "k", "B").await);
    assert_eq!((count(&node, "boxes").await, count(&node, "idempotency_keys").await), (2, 1));

    for key in ["k2", "k3"] {
        open(&node, key, "A").await;
    }
    house.clock.advance(day);
    open(&node, "k4", "A").await;
    for purged in [2, 1, 0] {
        assert_eq!(purge_idempotency_keys(&node.db, &*house.clock, 2).await.unwrap(), purged);
    }
    assert!(replayed(&open(&node, "k4", "A").await), "what is valid stays");
}

#[tokio::test]
async fn a_row_that_another_node_holds_is_not_waited_for_without_end() {
    if dialect() != Dialect::Postgres {
        return; // On SQLite the whole file is held: the unit does not even begin.
    }
    let house = House::build().await;
    let database = DatabaseSettings { lock_timeout_s: 1, ..house.database.settings() };
    let node = house.node_with(HttpSettings::default(), database);
    let other = node.db.write(&Actor::system("test")).await.unwrap();
    let mut insert = Query::insert();
    insert
        .into_table(Alias::new("idempotency_keys"))
        .columns(
            ["scope", "key", "request_hash", "status", "sealed_body", "created_at", "expires_at"]
                .map(Alias::new),
        )
        .values_panic([
            "anonymous POST /api/v1/boxes".into(),
            "k".into(),
            "hash".into(),
            Expr::val(201),
            "sealed".into(),
            Expr::val(0_i64),
            Expr::val(i64::MAX),
        ]);
    other.execute(&insert).await.unwrap();

    let reply = open(&node, "k", "A").await;
    assert_eq!((reply.status.as_u16(), reply.code()), (409, "idempotency_in_progress"));
    assert_eq!(reply.header("retry-after"), "1");
    other.rollback().await.unwrap();
    assert_eq!(open(&node, "k", "A").await.status, 201);
    assert_eq!(count(&node, "boxes").await, 1);
}
