//! The total is exact at every moment.

use std::time::Duration;

use mainstay_core::input::from_json;
use mainstay_core::{Actor, Clock, ManualClock, Timestamp};
use mainstay_db::testing::TestDatabase;
use mainstay_feed::domain::NewFeedPost;
use mainstay_feed::{Posts, migrations};
use mainstay_testkit::json;
use sea_orm::ConnectionTrait as _;
use std::sync::Arc;
use tokio::task::JoinSet;

const ACTOR: Actor = Actor::system("test");

fn new() -> NewFeedPost {
    from_json(&json!({"name": "Ada", "username": "ada", "body": "Hello"})).unwrap()
}

async fn total(posts: &Posts) -> u64 {
    posts.list(&ACTOR, 1, 1).await.unwrap().total.unwrap()
}

#[tokio::test]
async fn it_counts_what_came_before_and_after_it_was_remembered() {
    let database = TestDatabase::migrated(&migrations::all()).await;
    let clock = Arc::new(ManualClock::at(Timestamp::from_millis(1_769_851_800_000)));
    let db = database.open_with(clock.clone() as Arc<dyn Clock>);
    let (one, other) = (Posts::new(db.clone()), Posts::new(db.clone()));
    let mut expected = 0;
    for _ in 0..8 {
        for _ in 0..3 {
            one.create(&ACTOR, &new()).await.unwrap();
            expected += 1;
            assert_eq!((total(&one).await, total(&other).await), (expected, expected));
        }
        clock.advance(Duration::from_secs(70));
        assert_eq!((total(&one).await, total(&other).await), (expected, expected));
    }

    // What somebody removes past us is noticed when the old posts are counted next.
    db.primary().execute_unprepared("DELETE FROM feed_posts WHERE id <= 2").await.unwrap();
    clock.advance(Duration::from_secs(130));
    total(&one).await;
    assert_eq!(total(&one).await, expected - 2);
}

#[tokio::test]
async fn a_post_that_commits_after_newer_ones_is_counted() {
    let database = TestDatabase::migrated(&migrations::all()).await;
    if mainstay_testkit::dialect() == mainstay_db::Dialect::Sqlite {
        // One writer: ids are committed in their order.
        return;
    }
    let clock = Arc::new(ManualClock::at(Timestamp::from_millis(1_769_851_800_000)));
    let db = database.open_with(clock.clone() as Arc<dyn Clock>);
    let posts = Posts::new(db.clone());

    let slow = db.write(&ACTOR).await.unwrap();
    slow.execute_unprepared(
        "INSERT INTO feed_posts (name, username, body, created_at) VALUES ('Ada', 'ada', 'Hello', 0)",
    )
    .await
    .unwrap();
    posts.create(&ACTOR, &new()).await.unwrap();
    assert_eq!(total(&posts).await, 1);
    clock.advance(Duration::from_secs(60));
    assert_eq!(total(&posts).await, 1);
    slow.commit().await.unwrap();
    assert_eq!(total(&posts).await, 2);
    clock.advance(Duration::from_secs(70));
    assert_eq!((total(&posts).await, total(&posts).await), (2, 2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn posts_at_once_are_all_there_and_all_counted() {
    let database = TestDatabase::migrated(&migrations::all()).await;
    let posts = Posts::new(database.open());
    let mut tasks = JoinSet::new();
    for _ in 0..8 {
        let posts = posts.clone();
        tasks.spawn(async move {
            for _ in 0..10 {
                posts.create(&ACTOR, &new()).await.unwrap();
                total(&posts).await;
            }
        });
    }
    tasks.join_all().await;
    let page = posts.list(&ACTOR, 1, 100).await.unwrap();
    assert_eq!((page.total, page.items.len()), (Some(80), 80));
    assert!(page.items.is_sorted_by(|a, b| a.id > b.id));
}
