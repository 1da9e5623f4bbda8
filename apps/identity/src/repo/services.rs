//! Credentials of other programs.

use std::sync::LazyLock;

use mainstay_core::{Page, Paging, Problem, ServiceId, Sorting, Timestamp};
use mainstay_db::{Db, PointQuery};
use sea_orm::sea_query::{Alias, Expr, ExprTrait as _, Query};
use sea_orm::{
    ColumnTrait as _, Condition, ConnectionTrait, DbErr, EntityTrait as _, IntoActiveModel as _, Order,
    QueryFilter as _, QueryOrder as _, Select,
};
use uuid::Uuid;

use crate::domain::Service;
use crate::entity::service;

impl From<service::Model> for Service {
    fn from(row: service::Model) -> Self {
        let service::Model { id, name, client_id, secret_hash: _, created_at, revoked_at: _ } = row;
        Self { id: id.into(), name, client_id, created_at: Timestamp::from_millis(created_at) }
    }
}

/// By what a service is meant.
#[derive(Clone, Debug)]
pub(crate) enum ServiceName {
    Id(ServiceId),
    ClientId(String),
}

impl From<&ServiceName> for Condition {
    fn from(name: &ServiceName) -> Self {
        Self::all().add(match name {
            ServiceName::Id(id) => service::Column::Id.eq(id.uuid()),
            ServiceName::ClientId(client_id) => service::Column::ClientId.eq(client_id),
        })
    }
}

pub(crate) async fn insert_service(
    connection: &impl ConnectionTrait,
    made: &Service,
    secret_hash: String,
) -> Result<(), DbErr> {
    let Service { id, name, client_id, created_at } = made.clone();
    let row = service::Model {
        id: id.uuid(),
        name,
        client_id,
        secret_hash,
        created_at: created_at.millis(),
        revoked_at: None,
    };
    service::Entity::insert(row.into_active_model()).exec_without_returning(connection).await?;
    Ok(())
}

fn live() -> Select<service::Entity> {
    service::Entity::find().filter(service::Column::RevokedAt.is_null())
}

/// A page of the services that were not revoked.
pub(crate) async fn list_services<S: Sorting>(
    connection: &impl ConnectionTrait,
    paging: &Paging<S>,
) -> Result<Page<Service>, Problem> {
    let columns = (service::Column::CreatedAt, service::Column::Id);
    Ok(mainstay_db::page(connection, live(), paging, columns.0, columns.1).await?.map(Service::from))
}

/// All of them, oldest first, for the terminal.
pub(crate) async fn all_services(connection: &impl ConnectionTrait) -> Result<Vec<Service>, DbErr> {
    let ordered = live().order_by(service::Column::CreatedAt, Order::Asc);
    let rows = ordered.order_by(service::Column::Id, Order::Asc).all(connection).await?;
    Ok(rows.into_iter().map(Service::from).collect())
}

pub(crate) async fn find_service(
    connection: &impl ConnectionTrait,
    name: &ServiceName,
) -> Result<Option<Service>, DbErr> {
    Ok(live().filter(Condition::from(name)).one(connection).await?.map(Service::from))
}

/// Ends a service's credential. False if it was ended before.
pub(crate) async fn revoke_service(
    connection: &impl ConnectionTrait,
    id: ServiceId,
    now: Timestamp,
) -> Result<bool, DbErr> {
    let result = service::Entity::update_many()
        .col_expr(service::Column::RevokedAt, now.millis().into())
        .filter(service::Column::Id.eq(id.uuid()))
        .filter(service::Column::RevokedAt.is_null())
        .exec(connection)
        .await?;
    Ok(result.rows_affected == 1)
}

/// A service that may ask, and the hash of its secret.
#[derive(Clone, Debug)]
pub(crate) struct LiveService {
    pub(crate) id: ServiceId,
    pub(crate) secret_hash: String,
}

static LIVE_SERVICE: LazyLock<PointQuery> = LazyLock::new(|| {
    PointQuery::new(
        Query::select()
            .columns([Alias::new("id"), Alias::new("secret_hash")])
            .from(Alias::new("services"))
            .and_where(Expr::col(Alias::new("client_id")).eq(""))
            .and_where(Expr::col(Alias::new("revoked_at")).is_null()),
    )
});

pub(crate) async fn find_live_service(db: &Db, client_id: &str) -> Result<Option<LiveService>, DbErr> {
    let Some(row) = db.primary_point(&LIVE_SERVICE, &[client_id.into()]).await? else { return Ok(None) };
    let (id, secret_hash) = (row.get::<Uuid>("id")?.into(), row.get("secret_hash")?);
    Ok(Some(LiveService { id, secret_hash }))
}
