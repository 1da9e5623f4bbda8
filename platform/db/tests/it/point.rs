//! Point reads give on every database what an ordinary read gives.

use std::sync::LazyLock;

use mainstay_core::Actor;
use mainstay_db::testing::TestDatabase;
use mainstay_db::{Migration, PointQuery, Steps};
use sea_orm::prelude::Uuid;
use sea_orm::sea_query::{Alias, ColumnDef, Expr, ExprTrait as _, Query, Table};
use sea_orm::sqlx::types::chrono::NaiveDate;
use sea_orm::{ConnectionTrait as _, Value};

fn column(name: &'static str) -> ColumnDef {
    ColumnDef::new(Alias::new(name))
}

fn up(steps: &mut Steps) {
    let table = Table::create()
        .table(Alias::new("things"))
        .col(column("id").uuid().not_null().primary_key())
        .col(column("name").text().not_null())
        .col(column("note").text())
        .col(column("count").big_integer())
        .col(column("small").integer().not_null())
        .col(column("day").date())
        .col(column("good").boolean().not_null())
        .to_owned();
    steps.run(&table);
}

const THINGS: Migration = Migration {
    app: "test",
    version: 20_260_103_000_000,
    name: "things",
    up,
    down: |steps| {
        steps.run(&Table::drop().table(Alias::new("things")).to_owned());
    },
};

static BY_ID: LazyLock<PointQuery> = LazyLock::new(|| {
    let columns = ["id", "name", "note", "count", "small", "day", "good"].map(Alias::new);
    let by_id = Expr::col(Alias::new("id")).eq(Uuid::nil());
    PointQuery::new(Query::select().columns(columns).from(Alias::new("things")).and_where(by_id))
});

#[tokio::test]
async fn every_type_comes_back_as_it_was_written() {
    let database = TestDatabase::migrated(&[THINGS]).await;
    let db = database.open();
    let (id, day) = (Uuid::from_u128(7), NaiveDate::from_ymd_opt(1813, 1, 28));
    assert!(db.primary_point(&BY_ID, &[id.into()]).await.unwrap().is_none());

    let unit = db.write(&Actor::system("test")).await.unwrap();
    let values: [Value; 7] = [
        id.into(),
        "Ünal 'x'".into(),
        None::<String>.into(),
        i64::MAX.into(),
        3.into(),
        day.into(),
        true.into(),
    ];
    let insert = Query::insert()
        .into_table(Alias::new("things"))
        .columns(["id", "name", "note", "count", "small", "day", "good"].map(Alias::new))
        .values_panic(values.map(Into::into))
        .to_owned();
    unit.execute(&insert).await.unwrap();
    unit.commit().await.unwrap();

    let row = db.primary_point(&BY_ID, &[id.into()]).await.unwrap().unwrap();
    assert_eq!(row.get::<Uuid>("id").unwrap(), id);
    assert_eq!(row.get::<String>("name").unwrap(), "Ünal 'x'");
    assert_eq!(row.get::<Option<String>>("note").unwrap(), None);
    assert_eq!(row.get::<Option<i64>>("count").unwrap(), Some(i64::MAX));
    assert_eq!(row.get::<i32>("small").unwrap(), 3);
    assert_eq!(row.get::<Option<NaiveDate>>("day").unwrap(), day);
    assert!(row.get::<bool>("good").unwrap());

    assert!(row.get::<String>("note").is_err(), "null is no text");
    assert!(row.get::<String>("nothing").is_err(), "there is no such column");

    assert!(db.primary_point(&BY_ID, &[]).await.is_err(), "a value is missing");
}
