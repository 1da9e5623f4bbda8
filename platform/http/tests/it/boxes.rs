//! An app whose handlers do what a test has them do.

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex};

use axum::extract::State;
use axum::response::Response;
use mainstay_auth::{Access, Caller};
use mainstay_core::problem::CONFLICT;
use mainstay_core::{OsRng, Problem, Rng};
use mainstay_db::{Db, DbProblem as _, Migration, Steps, UnitWork, WriteUnit, unique_violation};
use mainstay_http::{ApiRouter, Created, ETag, Id, IdempotencyKey, Idempotent, Tag, routes};
use sea_orm::sea_query::{Alias, ColumnDef, Index, Query, Table};
use sea_orm::{ConnectionTrait, DbErr};
use serde_json::json;
use tokio::sync::{Barrier, Notify, Semaphore};

/// An app whose boxes have each a secret that is shown once.
#[derive(Clone)]
struct Boxes {
    db: Db,
    control: Arc<Control>,
}

/// What a test has the handlers do.
pub struct Control {
    /// Where they meet before they begin: by then none can have been quicker.
    pub meeting: Mutex<Option<Arc<Barrier>>>,
    /// Whether they stop when their row is written, and tell so.
    pub stops: AtomicBool,
    pub stopped: Notify,
    pub gate: Semaphore,
    /// Whether they fail after that.
    pub fails: AtomicBool,
    /// How much may be taken out in all.
    pub capacity: AtomicI64,
}

impl Default for Control {
    fn default() -> Self {
        Self {
            meeting: Mutex::default(),
            stops: AtomicBool::new(false),
            stopped: Notify::new(),
            gate: Semaphore::new(0),
            fails: AtomicBool::new(false),
            capacity: AtomicI64::new(10),
        }
    }
}

mainstay_core::problems! {
    /// There is not so much in it.
    pub BOX_EMPTY = 422 "box_empty", "Not enough in the box", "Take less.";
}

mainstay_core::input! {
    /// A new box.
    pub struct NewBox {
        /// What is written on it. One that begins with `only` can be there once.
        label: String,
        /// How heavy it is.
        weight: Option<i64>,
    }
}

mainstay_core::input! {
    /// Something to take out.
    pub struct Taking {
        /// How much.
        amount: i64,
    }
}

#[derive(Debug)]
enum TakingError {
    Empty,
    Db(DbErr),
}

impl std::fmt::Display for TakingError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("nothing was taken")
    }
}

impl std::error::Error for TakingError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Empty => None,
            Self::Db(error) => Some(error),
        }
    }
}

impl From<DbErr> for TakingError {
    fn from(error: DbErr) -> Self {
        Self::Db(error)
    }
}

impl From<TakingError> for Problem {
    fn from(error: TakingError) -> Self {
        match error {
            TakingError::Empty => BOX_EMPTY.because("There is not so much in the box."),
            TakingError::Db(error) => error.into_problem(),
        }
    }
}

impl Boxes {
    async fn open(&self, unit: &WriteUnit, label: &str) -> Result<Created<serde_json::Value>, Problem> {
        let secret = random();
        let label = if label.starts_with("only") { label.to_owned() } else { format!("{label} {secret}") };
        insert(unit, &label, 0).await.map_err(|error| {
            let taken = unique_violation(&error, "boxes", &["label"]);
            if taken { CONFLICT.because("The label is taken.") } else { error.into_problem() }
        })?;
        if self.control.stops.load(Ordering::SeqCst) {
            self.control.stopped.notify_one();
            self.control.gate.acquire().await.unwrap().forget();
        }
        if self.control.fails.load(Ordering::SeqCst) {
            return Err(CONFLICT.because("Not now."));
        }
        let location = format!("/api/v1/boxes/{secret}");
        Ok(Created { location, etag: Some(ETag(1)), body: json!({"label": label, "secret": secret}) })
    }

    async fn take(&self, unit: &WriteUnit, amount: i64) -> Result<Created<i64>, TakingError> {
        let mut taken = Query::select();
        taken.column(Alias::new("taken")).from(Alias::new("boxes"));
        let rows = unit.query_all(&taken).await?;
        let mut sum = amount;
        for row in rows {
            sum += row.try_get::<i64>("", "taken")?;
        }
        // The unit is to be rolled back with the refusal.
        let label = random();
        insert(unit, &label, amount).await?;
        if sum > self.control.capacity.load(Ordering::SeqCst) {
            return Err(TakingError::Empty);
        }
        Ok(Created { location: format!("/api/v1/boxes/{label}"), etag: None, body: sum })
    }
}

fn random() -> String {
    let rng: &dyn Rng = &OsRng;
    format!("{:032x}", u128::from_le_bytes(rng.bytes()))
}

async fn insert(connection: &impl ConnectionTrait, label: &str, taken: i64) -> Result<(), DbErr> {
    let mut insert = Query::insert();
    insert
        .into_table(Alias::new("boxes"))
        .columns(["label", "taken"].map(Alias::new))
        .values_panic([label.into(), taken.into()]);
    connection.execute(&insert).await.map(drop)
}

/// Opens a box
#[utoipa::path(post, path = "/boxes", params(IdempotencyKey), request_body = NewBox,
    responses((status = 201, description = "The box", body = String, content_type = "application/json")))]
async fn open_box(
    State(boxes): State<Boxes>,
    caller: Caller,
    request: Idempotent<NewBox>,
) -> Result<Response, Problem> {
    let boxes = &boxes;
    request
        .run(async |new| {
            let meeting = boxes.control.meeting.lock().unwrap().clone();
            if let Some(meeting) = meeting {
                meeting.wait().await;
            }
            let unit = boxes.db.write(&caller.actor()).await.map_err(DbErr::into_problem)?;
            let made = boxes.open(&unit, &new.label).await?;
            Ok::<_, Problem>((unit, made))
        })
        .await
}

/// Opens a box inside of another one
#[utoipa::path(post, path = "/boxes/{id}/boxes", params(IdempotencyKey, ("id" = String, Path)), request_body = NewBox,
    responses((status = 201, description = "The box", body = String, content_type = "application/json")))]
async fn open_inner_box(
    State(boxes): State<Boxes>,
    caller: Caller,
    Id(outer): Id<String>,
    request: Idempotent<NewBox>,
) -> Result<Response, Problem> {
    request
        .run(async |new| {
            let unit = boxes.db.write(&caller.actor()).await.map_err(DbErr::into_problem)?;
            let made = boxes.open(&unit, &format!("{} in {outer}", new.label)).await?;
            Ok::<_, Problem>((unit, made))
        })
        .await
}

/// Takes something out
#[utoipa::path(post, path = "/takings", params(IdempotencyKey), request_body = Taking,
    responses((status = 201, description = "How much was taken in all", body = i64)))]
async fn take_out(State(boxes): State<Boxes>, request: Idempotent<Taking>) -> Result<Response, Problem> {
    let boxes = &boxes;
    request
        .keeping(&[&BOX_EMPTY])
        .run_retrying(|unit, taking| UnitWork::new(boxes.take(unit, taking.amount)))
        .await
}

pub const MIGRATION: Migration =
    Migration { app: "boxes", version: 20_261_122_000_000, name: "boxes", up, down };

fn up(steps: &mut Steps) {
    let column = |name: &str| ColumnDef::new(Alias::new(name)).not_null().to_owned();
    steps.run(
        Table::create()
            .table(Alias::new("boxes"))
            .col(column("id").big_integer().auto_increment().primary_key())
            .col(column("label").text())
            .col(column("taken").big_integer()),
    );
    steps.run(
        Index::create().name("boxes_label_key").table(Alias::new("boxes")).unique().col(Alias::new("label")),
    );
}

fn down(steps: &mut Steps) {
    steps.run(Table::drop().table(Alias::new("boxes")));
}

pub fn routes(db: Db, control: Arc<Control>) -> ApiRouter {
    ApiRouter::new(Tag { name: "Boxes", about: "For tests." })
        .route(routes!(open_box), Access::Public, &[&CONFLICT])
        .route(routes!(open_inner_box), Access::Public, &[&CONFLICT])
        .route(routes!(take_out), Access::Public, &[&BOX_EMPTY])
        .with_state(Boxes { db, control })
}
