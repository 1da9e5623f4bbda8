//! Leases: of two nodes one holds it, and the fence stops the other.

use std::sync::Arc;
use std::time::Duration;

use mainstay_core::{Clock as _, ManualClock, OsRng, Timestamp};
use mainstay_db::Db;
use mainstay_db::testing::TestDatabase;
use mainstay_events::{Lease, LeaseError, Leases};
use tokio::task::JoinSet;

use crate::support::{ACTOR, clock, count_up, database, rows};

const LIFE: Duration = Duration::from_secs(10);

fn leases(database: &TestDatabase, clock: &Arc<ManualClock>) -> (Db, Leases) {
    let db = database.open_with(clock.clone());
    (db.clone(), Leases::new(db, &OsRng, LIFE))
}

async fn effect(db: &Db, lease: &Lease) -> Result<(), LeaseError> {
    let unit = db.write(&ACTOR).await?;
    lease.guard(&unit).await?;
    count_up(&unit, 1, 1).await?;
    Ok(unit.commit().await?)
}

#[tokio::test]
async fn one_holds_it_until_it_runs_out_and_then_the_fence_stops_them() {
    let database = database().await;
    let clock_one = clock();
    let clock_two = clock();
    let (db_one, one) = leases(&database, &clock_one);
    let (db_two, two) = leases(&database, &clock_two);
    let first = one.take("work").await.unwrap().unwrap();
    assert!(first.is_new());
    assert!(two.take("work").await.unwrap().is_none());
    assert!(two.take("other work").await.unwrap().is_some());
    effect(&db_one, &first).await.unwrap();

    // Kept beyond half of its life, it is renewed.
    clock_one.advance(LIFE * 6 / 10);
    clock_two.advance(LIFE * 6 / 10);
    assert!(!one.take("work").await.unwrap().unwrap().is_new());
    clock_two.advance(LIFE * 6 / 10);
    assert!(two.take("work").await.unwrap().is_none());

    // The clock of the first stands still; it does not know that its time is over.
    clock_two.advance(LIFE);
    let second = two.take("work").await.unwrap().unwrap();
    assert!(second.is_new());
    let stale = one.take("work").await.unwrap().unwrap();
    assert!(matches!(effect(&db_one, &stale).await, Err(LeaseError::Lost("work"))));
    assert!(matches!(effect(&db_one, &first).await, Err(LeaseError::Lost("work"))));
    effect(&db_two, &second).await.unwrap();
    // Having noticed, it does not believe in it any more.
    assert!(one.take("work").await.unwrap().is_none());

    // Given back, nobody waits.
    two.give_back().await.unwrap();
    let third = one.take("work").await.unwrap().unwrap();
    assert!(third.is_new());
    effect(&db_one, &third).await.unwrap();
    assert!(matches!(effect(&db_two, &second).await, Err(LeaseError::Lost("work"))));
}

#[tokio::test]
async fn a_lease_that_runs_out_unnoticed_is_a_new_one() {
    let database = database().await;
    let clock = clock();
    let (db, one) = leases(&database, &clock);
    let first = one.take("work").await.unwrap().unwrap();
    clock.advance(LIFE * 2);
    let again = one.take("work").await.unwrap().unwrap();
    assert!(again.is_new(), "somebody else may have had it meanwhile");
    assert!(matches!(effect(&db, &first).await, Err(LeaseError::Lost(_))));
    effect(&db, &again).await.unwrap();
}

#[tokio::test]
async fn a_clock_that_was_set_back_holds_no_lease_for_long() {
    let database = database().await;
    let clock_one = clock();
    clock_one.advance(Duration::from_secs(86_400));
    let (_, one) = leases(&database, &clock_one);
    assert!(one.take("work").await.unwrap().is_some());
    // It died. A day's wait would be no help to anybody.
    let clock_two = Arc::new(ManualClock::at(Timestamp::from_millis(clock_one.now().millis() - 80_000_000)));
    let (db_two, two) = leases(&database, &clock_two);
    let second = two.take("work").await.unwrap().unwrap();
    effect(&db_two, &second).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_who_reach_for_it_at_once_one_gets_it() {
    let database = database().await;
    let clock = clock();
    let nodes: Vec<(Db, Leases)> = (0..8).map(|_| leases(&database, &clock)).collect();
    for round in 0..10 {
        let mut reaching = JoinSet::new();
        for (_, leases) in nodes.clone() {
            reaching.spawn(async move { leases.take("work").await.unwrap().is_some() });
        }
        let got = reaching.join_all().await.into_iter().filter(|got| *got).count();
        assert_eq!(got, 1, "round {round}");
        clock.advance(LIFE * 2);
    }
    assert_eq!(rows(&nodes[0].0, "leases").await, 1);
}
