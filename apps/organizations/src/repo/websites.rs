//! Websites.

use std::collections::HashMap;

use mainstay_core::{Page, Paging, Problem, Timestamp};
use mainstay_db::page;
use sea_orm::sea_query::{Expr, ExprTrait as _, Query, SelectStatement, UnionType};
use sea_orm::{
    ColumnTrait as _, ConnectionTrait, DbErr, EntityTrait as _, IntoActiveModel as _, QueryFilter as _,
    QuerySelect as _, Select,
};

use super::access::{OrgAccess, OwnAccess, Place, WebsiteAccess};
use crate::domain::WebsiteId;
use crate::domain::organization::folded;
use crate::domain::role::MemberRole;
use crate::domain::website::{Website, WebsiteOrder};
use crate::entity::{organization_member, website, website_member};

impl From<website::Model> for Website {
    fn from(row: website::Model) -> Self {
        let website::Model {
            id,
            organization_id,
            name,
            name_norm: _,
            url,
            description,
            created_by,
            version,
            created_at,
            updated_at,
        } = row;
        Self {
            id: id.into(),
            organization_id: organization_id.into(),
            name,
            url,
            description,
            created_by: created_by.into(),
            version,
            created_at: Timestamp::from_millis(created_at),
            updated_at: Timestamp::from_millis(updated_at),
        }
    }
}

/// Adds a website to the organization of `access`.
pub(crate) async fn insert(
    connection: &impl ConnectionTrait,
    access: &OrgAccess,
    website: &Website,
) -> Result<(), DbErr> {
    let Website {
        id,
        organization_id: _,
        name,
        url,
        description,
        created_by,
        version,
        created_at,
        updated_at,
    } = website.clone();
    let row = website::Model {
        id: id.uuid(),
        organization_id: access.organization_id().uuid(),
        name_norm: folded(&name),
        name,
        url,
        description,
        created_by: created_by.uuid(),
        version,
        created_at: created_at.millis(),
        updated_at: updated_at.millis(),
    };
    website::Entity::insert(row.into_active_model()).exec_without_returning(connection).await?;
    Ok(())
}

pub(crate) async fn list(
    connection: &impl ConnectionTrait,
    access: &OrgAccess,
    paging: &Paging<WebsiteOrder>,
) -> Result<Page<Website>, Problem> {
    let rows =
        website::Entity::find().filter(website::Column::OrganizationId.eq(access.organization_id().uuid()));
    sorted(connection, rows, paging).await
}

async fn sorted(
    connection: &impl ConnectionTrait,
    rows: Select<website::Entity>,
    paging: &Paging<WebsiteOrder>,
) -> Result<Page<Website>, Problem> {
    let sorted = match paging.sort {
        WebsiteOrder::Name => website::Column::NameNorm,
        WebsiteOrder::CreatedAt => website::Column::CreatedAt,
    };
    Ok(page(connection, rows, paging, sorted, website::Column::Id).await?.map(Into::into))
}

/// A page of those that the person has a role on, or in whose organization.
pub(crate) async fn list_own(
    connection: &impl ConnectionTrait,
    own: OwnAccess,
    paging: &Paging<WebsiteOrder>,
) -> Result<Page<Website>, Problem> {
    let of_organizations = Query::select()
        .column(website::Column::Id)
        .from(website::Entity)
        .and_where(Expr::col(website::Column::OrganizationId).in_subquery(own_organizations(own)))
        .take();
    // A union and not an "or" of two conditions: for that PostgreSQL reads every website there is.
    let ids = own_ids(own).union(UnionType::Distinct, of_organizations).take();
    sorted(connection, website::Entity::find().filter(website::Column::Id.in_subquery(ids)), paging).await
}

/// A page of those that the person has a role on, but none in the organization.
pub(crate) async fn list_shared(
    connection: &impl ConnectionTrait,
    own: OwnAccess,
    paging: &Paging<WebsiteOrder>,
) -> Result<Page<Website>, Problem> {
    let rows = website::Entity::find()
        .filter(website::Column::Id.in_subquery(own_ids(own)))
        .filter(website::Column::OrganizationId.not_in_subquery(own_organizations(own)));
    sorted(connection, rows, paging).await
}

fn own_ids(own: OwnAccess) -> SelectStatement {
    Query::select()
        .column(website_member::Column::WebsiteId)
        .from(website_member::Entity)
        .and_where(website_member::Column::UserId.eq(own.user_id().uuid()))
        .take()
}

fn own_organizations(own: OwnAccess) -> SelectStatement {
    Query::select()
        .column(organization_member::Column::OrganizationId)
        .from(organization_member::Entity)
        .and_where(organization_member::Column::UserId.eq(own.user_id().uuid()))
        .take()
}

/// What the person is on each of these by themselves. One query.
pub(crate) async fn own_roles(
    connection: &impl ConnectionTrait,
    own: OwnAccess,
    ids: &[WebsiteId],
) -> Result<HashMap<WebsiteId, MemberRole>, DbErr> {
    if ids.is_empty() {
        return Ok(HashMap::new());
    }
    let rows = website_member::Entity::find()
        .filter(website_member::Column::UserId.eq(own.user_id().uuid()))
        .filter(website_member::Column::WebsiteId.is_in(ids.iter().map(|id| id.uuid())))
        .all(connection)
        .await?;
    Ok(rows.into_iter().map(|row| (row.website_id.into(), MemberRole::from_name(&row.role))).collect())
}

/// The ids of all websites of the organization.
pub(crate) async fn ids(
    connection: &impl ConnectionTrait,
    access: &OrgAccess,
) -> Result<Vec<WebsiteId>, DbErr> {
    let ids: Vec<sea_orm::prelude::Uuid> = website::Entity::find()
        .select_only()
        .column(website::Column::Id)
        .filter(website::Column::OrganizationId.eq(access.organization_id().uuid()))
        .into_tuple()
        .all(connection)
        .await?;
    Ok(ids.into_iter().map(Into::into).collect())
}

pub(crate) async fn get(
    connection: &impl ConnectionTrait,
    access: &WebsiteAccess,
) -> Result<Option<Website>, DbErr> {
    let row = website::Entity::find_by_id(access.website().uuid()).one(connection).await?;
    Ok(row.map(Into::into))
}

/// The name of the website that a place is. `None` if it is an organization.
pub(crate) async fn name_of(
    connection: &impl ConnectionTrait,
    place: &impl Place,
) -> Result<Option<String>, DbErr> {
    let Some(id) = place.website_id() else { return Ok(None) };
    let row = website::Entity::find_by_id(id.uuid()).one(connection).await?;
    Ok(row.map(|row| row.name))
}

/// Writes what `changed` says. The change holds the organization, so nobody else can have written it.
pub(crate) async fn update(
    connection: &impl ConnectionTrait,
    access: &WebsiteAccess,
    changed: &Website,
) -> Result<(), DbErr> {
    website::Entity::update_many()
        .col_expr(website::Column::Name, changed.name.clone().into())
        .col_expr(website::Column::NameNorm, folded(&changed.name).into())
        .col_expr(website::Column::Url, changed.url.clone().into())
        .col_expr(website::Column::Description, changed.description.clone().into())
        .col_expr(website::Column::Version, changed.version.into())
        .col_expr(website::Column::UpdatedAt, changed.updated_at.millis().into())
        .filter(website::Column::Id.eq(access.website().uuid()))
        .exec(connection)
        .await?;
    Ok(())
}

/// Deletes it with its memberships and invitations.
pub(crate) async fn delete(connection: &impl ConnectionTrait, access: &WebsiteAccess) -> Result<(), DbErr> {
    website::Entity::delete_by_id(access.website().uuid()).exec(connection).await?;
    Ok(())
}
