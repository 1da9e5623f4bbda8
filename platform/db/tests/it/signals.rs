//! Wake-ups between nodes.

use std::time::Duration;

use mainstay_core::Actor;
use mainstay_db::testing::{TestDatabase, dialect};
use mainstay_db::{Db, Dialect, Listener};
use sea_orm::ConnectionTrait as _;

/// Wakes until it is heard: a wake-up alone may be lost.
async fn heard(from: &Db, listener: &mut Listener) {
    for _ in 0..600 {
        from.signals().wake("things");
        if tokio::time::timeout(Duration::from_millis(100), listener.woken()).await.is_ok() {
            return;
        }
    }
    panic!("it was never heard");
}

/// Lets what is under way arrive.
async fn quiet(listener: &mut Listener) {
    while tokio::time::timeout(Duration::from_millis(300), listener.woken()).await.is_ok() {}
}

#[tokio::test]
async fn a_wake_up_reaches_the_other_nodes_and_again_after_the_link_was_cut() {
    if dialect() == Dialect::Sqlite {
        // A file has one node.
        return;
    }
    let database = TestDatabase::empty().await;
    let (one, two) = (database.open(), database.open());
    one.signals().share();
    two.signals().share();
    let (mut at_one, mut at_two) = (one.signals().listen("things"), two.signals().listen("things"));
    heard(&one, &mut at_two).await;
    heard(&two, &mut at_one).await;

    let unit = two.write(&Actor::system("test")).await.unwrap();
    let cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
               WHERE datname = current_database() AND pid <> pg_backend_pid()";
    unit.execute_unprepared(cut).await.unwrap();
    unit.commit().await.unwrap();
    quiet(&mut at_two).await;
    heard(&one, &mut at_two).await;
    quiet(&mut at_one).await;
    heard(&two, &mut at_one).await;
    one.close().await;
    two.close().await;
}

#[tokio::test]
async fn a_node_hears_itself_without_the_database() {
    let database = TestDatabase::empty().await;
    let db = database.open();
    let mut listener = db.signals().listen("things");
    db.signals().wake("things");
    listener.woken().await;
}
