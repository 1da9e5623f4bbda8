//! What a change leaves behind: everything of it, with who did it and in which request.

use mainstay_core::{Actor, ActorKind, AuditEntry, EventData, RequestId};
use mainstay_db::testing::TestDatabase;
use mainstay_db::{Db, trail};
use sea_orm::sea_query::{Alias, Expr, Order, Query};
use sea_orm::{ConnectionTrait as _, QueryResult};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

#[derive(Serialize, Deserialize)]
struct Opened {
    door: i64,
    said: String,
}

impl EventData for Opened {
    const KIND: &'static str = "door.opened";

    fn subject(&self) -> String {
        format!("door/{}", self.door)
    }
}

async fn rows(db: &Db, table: &str) -> Vec<QueryResult> {
    let select = Query::select()
        .expr(Expr::cust("*"))
        .from(Alias::new(table))
        .order_by(Alias::new("seq"), Order::Asc)
        .to_owned();
    db.primary().query_all(&select).await.unwrap()
}

fn text(row: &QueryResult, column: &str) -> Option<String> {
    row.try_get("", column).unwrap()
}

#[tokio::test]
async fn it_says_who_in_which_request_and_from_where_in_the_order_of_the_telling() {
    let database = TestDatabase::migrated(&trail::migrations()).await;
    let db = database.open();
    let actor = Actor {
        kind: ActorKind::Anonymous,
        request_id: RequestId::accept("r-1"),
        address: Some("192.0.2.7".parse().unwrap()),
    };
    let unit = db.write(&actor).await.unwrap();
    for door in [3, 1, 2] {
        unit.emit(&Opened { door, said: "a \0 is text here".to_owned() });
        unit.audit(
            AuditEntry::new("door.opened", format!("door/{door}")).set("open", true).note("by", "hand"),
        );
    }
    unit.commit().await.unwrap();

    let events = rows(&db, "outbox").await;
    let subjects: Vec<_> = events.iter().filter_map(|row| text(row, "subject")).collect();
    assert_eq!(subjects, ["door/3", "door/1", "door/2"]);
    let event = &events[0];
    assert_eq!(text(event, "actor").as_deref(), Some("anonymous"));
    assert_eq!(text(event, "request_id").as_deref(), Some("r-1"));
    let data: Opened = serde_json::from_str(&text(event, "data").unwrap()).unwrap();
    assert_eq!(data.said, "a \0 is text here");

    let entries = rows(&db, "audit_log").await;
    let targets: Vec<_> = entries.iter().filter_map(|row| text(row, "target")).collect();
    assert_eq!(targets, ["door/3", "door/1", "door/2"]);
    let entry = &entries[0];
    assert_eq!(text(entry, "address").as_deref(), Some("192.0.2.7"));
    let json = |column| serde_json::from_str::<Value>(&text(entry, column).unwrap()).unwrap();
    assert_eq!(json("changes"), json!({"open": {"before": null, "after": true}}));
    assert_eq!(json("details"), json!({"by": "hand"}));
}

#[tokio::test]
async fn more_than_one_statement_can_hold_is_written_whole() {
    let database = TestDatabase::migrated(&trail::migrations()).await;
    let db = database.open();
    let unit = db.write(&Actor::system("test")).await.unwrap();
    for door in 0..2500 {
        unit.emit(&Opened { door, said: String::new() });
        unit.audit(AuditEntry::new("door.opened", format!("door/{door}")));
    }
    unit.commit().await.unwrap();
    assert_eq!((rows(&db, "outbox").await.len(), rows(&db, "audit_log").await.len()), (2500, 2500));
}

#[tokio::test]
async fn a_commit_wakes_those_who_wait_and_a_rollback_nobody() {
    let database = TestDatabase::migrated(&trail::migrations()).await;
    let db = database.open();
    let (mut outbox, mut audit_log) =
        (db.signals().listen(trail::OUTBOX), db.signals().listen(trail::AUDIT_LOG));
    let unit = db.write(&Actor::system("test")).await.unwrap();
    unit.emit(&Opened { door: 1, said: String::new() });
    unit.rollback().await.unwrap();
    assert!(is_silent(&mut outbox).await && is_silent(&mut audit_log).await);

    let unit = db.write(&Actor::system("test")).await.unwrap();
    unit.emit(&Opened { door: 1, said: String::new() });
    unit.commit().await.unwrap();
    outbox.woken().await;
    assert!(is_silent(&mut audit_log).await);
}

async fn is_silent(listener: &mut mainstay_db::Listener) -> bool {
    tokio::time::timeout(std::time::Duration::ZERO, listener.woken()).await.is_err()
}
