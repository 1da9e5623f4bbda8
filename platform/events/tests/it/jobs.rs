//! Jobs: each tick once, wherever it runs.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use mainstay_core::{Clock as _, ManualClock};
use mainstay_db::Db;
use mainstay_events::job::status;
use mainstay_events::{Events, Job, JobStatus, Schedule};
use tokio::task::JoinSet;

use crate::support::{ACTOR, Node, clock, database, note, rows, until};

const MINUTE: Duration = Duration::from_secs(60);

fn counting(db: &Db, name: &'static str, schedule: Schedule) -> Job {
    let db = db.clone();
    Job::new(name, schedule, move || {
        let db = db.clone();
        async move {
            let unit = db.write(&ACTOR).await?;
            note(&unit, name, 0, 0).await?;
            Ok(unit.commit().await?)
        }
    })
}

fn node(db: &Db, job: Job) -> Events {
    let mut node = Node::new(db, Vec::new());
    node.jobs = vec![job];
    node.events()
}

async fn find(db: &Db, name: &str) -> JobStatus {
    status(db).await.unwrap().into_iter().find(|job| job.name == name).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_three_nodes_one_runs_each_tick() {
    let database = database().await;
    let clock = clock();
    let dbs: Vec<Db> = (0..3).map(|_| database.open_with(clock.clone())).collect();
    let nodes: Vec<Arc<Events>> =
        dbs.iter().map(|db| Arc::new(node(db, counting(db, "test.job", Schedule::Every(MINUTE))))).collect();
    nodes[0].settle().await.unwrap();
    for tick in 1..=30 {
        clock.advance(MINUTE);
        let mut racing = JoinSet::new();
        for node in nodes.clone() {
            racing.spawn(async move { node.settle().await.unwrap() });
        }
        racing.join_all().await;
        assert_eq!(rows(&dbs[0], "effects").await, tick);
    }
    assert_eq!(find(&dbs[0], "test.job").await.runs, 30);
}

#[tokio::test]
async fn a_run_whose_node_died_is_begun_again() {
    let database = database().await;
    let clock = clock();
    let db = database.open_with(clock.clone());
    let hanging = Job::new("test.job", Schedule::Every(MINUTE), std::future::pending);
    let dying = node(&db, hanging.within(MINUTE));
    dying.settle().await.unwrap();
    clock.advance(MINUTE);
    {
        let run = dying.settle();
        tokio::pin!(run);
        let begun = async || find(&db, "test.job").await.running;
        tokio::select! {
            _ = &mut run => unreachable!("it hangs"),
            () = until("the run has begun", begun) => {}
        }
        // Dropped here: the node is gone.
    }
    let survivor = node(&db, counting(&db, "test.job", Schedule::Every(MINUTE)).within(MINUTE));
    survivor.settle().await.unwrap();
    assert_eq!(rows(&db, "effects").await, 0, "the lease of the run holds");
    clock.advance(MINUTE + Duration::from_secs(11));
    survivor.settle().await.unwrap();
    assert_eq!(rows(&db, "effects").await, 1);
    let job = find(&db, "test.job").await;
    assert_eq!((job.running, job.runs, job.last_error), (false, 1, None));
    assert!(job.due_at > clock.now());
}

#[tokio::test]
async fn a_job_that_fails_says_why_and_runs_again() {
    let database = database().await;
    let clock = clock();
    let db = database.open_with(clock.clone());
    let runs = Arc::new(AtomicI64::new(0));
    let counted = runs.clone();
    let job = Job::new("test.job", Schedule::Every(MINUTE), move || {
        let run = counted.fetch_add(1, Ordering::SeqCst);
        assert!(run != 0, "not at once\0");
        async move { if run == 1 { Err("no luck".into()) } else { Ok(()) } }
    });
    let events = node(&db, job);
    events.settle().await.unwrap();
    let mut errors = Vec::new();
    for _ in 0..3 {
        clock.advance(MINUTE);
        events.settle().await.unwrap();
        errors.push(find(&db, "test.job").await.last_error);
    }
    assert_eq!(errors, [Some("panic: not at once\u{fffd}".to_owned()), Some("no luck".to_owned()), None]);
    let job = find(&db, "test.job").await;
    assert_eq!((job.runs, job.failures), (3, 2));
}

#[tokio::test]
async fn a_job_that_takes_too_long_is_cut_off() {
    let database = database().await;
    let clock = clock();
    let db = database.open_with(clock.clone());
    let job = Job::new("test.job", Schedule::Every(MINUTE), std::future::pending);
    let events = node(&db, job.within(Duration::from_millis(20)));
    events.settle().await.unwrap();
    clock.advance(MINUTE);
    events.settle().await.unwrap();
    let job = find(&db, "test.job").await;
    assert!(job.last_error.unwrap().contains("took longer"));
}

#[tokio::test]
async fn a_cron_job_runs_at_its_times_and_a_new_schedule_takes_over() {
    let database = database().await;
    let clock = clock();
    let db = database.open_with(clock.clone());
    let monthly = node(&db, counting(&db, "test.job", Schedule::cron("0 3 1 * *")));
    monthly.settle().await.unwrap();
    assert_eq!(find(&db, "test.job").await.due_at.to_string(), "2026-02-01T03:00:00.000Z");
    clock.advance(Duration::from_secs(17 * 3600 + 1800));
    monthly.settle().await.unwrap();
    monthly.settle().await.unwrap();
    assert_eq!(rows(&db, "effects").await, 1);
    assert_eq!(find(&db, "test.job").await.due_at.to_string(), "2026-03-01T03:00:00.000Z");

    // The next version runs it daily, and need not wait for the next month.
    let daily = node(&db, counting(&db, "test.job", Schedule::cron("0 3 * * *")));
    daily.settle().await.unwrap();
    assert_eq!(find(&db, "test.job").await.due_at.to_string(), "2026-02-02T03:00:00.000Z");
    assert_eq!(rows(&db, "effects").await, 1);
}

#[tokio::test]
async fn a_clock_that_was_set_back_stops_no_job() {
    let database = database().await;
    let late = clock();
    late.advance(MINUTE * 60 * 24 * 30);
    let db = database.open_with(late);
    node(&db, counting(&db, "test.job", Schedule::Every(MINUTE))).settle().await.unwrap();
    let early: Arc<ManualClock> = clock();
    let db = database.open_with(early.clone());
    let events = node(&db, counting(&db, "test.job", Schedule::Every(MINUTE)));
    events.settle().await.unwrap();
    early.advance(MINUTE * 3);
    events.settle().await.unwrap();
    assert_eq!(rows(&db, "effects").await, 1);
}
