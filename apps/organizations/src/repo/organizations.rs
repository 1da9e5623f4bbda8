//! Organizations.

use std::collections::HashMap;

use mainstay_core::{Page, Paging, Problem, Timestamp};
use mainstay_db::page;
use sea_orm::sea_query::Query;
use sea_orm::{
    ColumnTrait as _, ConnectionTrait, DbErr, EntityTrait as _, IntoActiveModel as _, QueryFilter as _,
    QueryOrder as _,
};

use super::access::{OrgAccess, OwnAccess, Place as _};
use super::next;
use crate::domain::OrganizationId;
use crate::domain::organization::{Organization, OrganizationOrder, folded};
use crate::domain::role::MemberRole;
use crate::entity::{organization, organization_member};

impl From<organization::Model> for Organization {
    fn from(row: organization::Model) -> Self {
        let organization::Model {
            id,
            name,
            name_norm: _,
            created_by,
            roster: _,
            version,
            created_at,
            updated_at,
        } = row;
        Self {
            id: id.into(),
            name,
            created_by: created_by.into(),
            version,
            created_at: Timestamp::from_millis(created_at),
            updated_at: Timestamp::from_millis(updated_at),
        }
    }
}

/// Adds an organization with the person as its only member: an admin.
pub(crate) async fn found(
    connection: &impl ConnectionTrait,
    own: OwnAccess,
    id: OrganizationId,
    name: &str,
    now: Timestamp,
) -> Result<Organization, DbErr> {
    let row = organization::Model {
        id: id.uuid(),
        name: name.to_owned(),
        name_norm: folded(name),
        created_by: own.user_id().uuid(),
        roster: 0,
        version: 1,
        created_at: now.millis(),
        updated_at: now.millis(),
    };
    organization::Entity::insert(row.clone().into_active_model()).exec_without_returning(connection).await?;
    let member = organization_member::Model {
        organization_id: id.uuid(),
        user_id: own.user_id().uuid(),
        role: MemberRole::Admin.name().to_owned(),
        joined_at: now.millis(),
    };
    organization_member::Entity::insert(member.into_active_model())
        .exec_without_returning(connection)
        .await?;
    Ok(row.into())
}

pub(crate) async fn get(
    connection: &impl ConnectionTrait,
    access: &OrgAccess,
) -> Result<Option<Organization>, DbErr> {
    let row = organization::Entity::find_by_id(access.organization_id().uuid()).one(connection).await?;
    Ok(row.map(Into::into))
}

/// The names of organizations, for the page of an invitation and for mails.
pub(crate) async fn name_of(
    connection: &impl ConnectionTrait,
    place: &impl super::access::Place,
) -> Result<String, DbErr> {
    let row = organization::Entity::find_by_id(place.organization_id().uuid()).one(connection).await?;
    Ok(row.map(|row| row.name).unwrap_or_default())
}

/// A page of those that the person is a member of.
pub(crate) async fn list_own(
    connection: &impl ConnectionTrait,
    own: OwnAccess,
    paging: &Paging<OrganizationOrder>,
) -> Result<Page<Organization>, Problem> {
    let mine = Query::select()
        .column(organization_member::Column::OrganizationId)
        .from(organization_member::Entity)
        .and_where(organization_member::Column::UserId.eq(own.user_id().uuid()))
        .take();
    let rows = organization::Entity::find().filter(organization::Column::Id.in_subquery(mine));
    let sorted = match paging.sort {
        OrganizationOrder::Name => organization::Column::NameNorm,
        OrganizationOrder::CreatedAt => organization::Column::CreatedAt,
    };
    Ok(page(connection, rows, paging, sorted, organization::Column::Id).await?.map(Into::into))
}

/// What the person is in each of these. One query.
pub(crate) async fn own_roles(
    connection: &impl ConnectionTrait,
    own: OwnAccess,
    ids: &[OrganizationId],
) -> Result<HashMap<OrganizationId, MemberRole>, DbErr> {
    if ids.is_empty() {
        return Ok(HashMap::new());
    }
    let rows = organization_member::Entity::find()
        .filter(organization_member::Column::UserId.eq(own.user_id().uuid()))
        .filter(organization_member::Column::OrganizationId.is_in(ids.iter().map(|id| id.uuid())))
        .all(connection)
        .await?;
    Ok(rows.into_iter().map(|row| (row.organization_id.into(), MemberRole::from_name(&row.role))).collect())
}

/// All organizations that the person is a member of, in a fixed order.
pub(crate) async fn all_own(
    connection: &impl ConnectionTrait,
    own: OwnAccess,
) -> Result<Vec<OrganizationId>, DbErr> {
    let rows = organization_member::Entity::find()
        .filter(organization_member::Column::UserId.eq(own.user_id().uuid()))
        .order_by_asc(organization_member::Column::OrganizationId)
        .all(connection)
        .await?;
    Ok(rows.into_iter().map(|row| row.organization_id.into()).collect())
}

/// Writes the name. The change holds the organization, so nobody else can have written it.
pub(crate) async fn rename(
    connection: &impl ConnectionTrait,
    access: &OrgAccess,
    name: &str,
    now: Timestamp,
) -> Result<(), DbErr> {
    organization::Entity::update_many()
        .col_expr(organization::Column::Name, name.into())
        .col_expr(organization::Column::NameNorm, folded(name).into())
        .col_expr(organization::Column::Version, next(organization::Column::Version))
        .col_expr(organization::Column::UpdatedAt, now.millis().into())
        .filter(organization::Column::Id.eq(access.organization_id().uuid()))
        .exec(connection)
        .await?;
    Ok(())
}

/// Deletes it with all that belongs to it.
pub(crate) async fn delete(connection: &impl ConnectionTrait, access: &OrgAccess) -> Result<(), DbErr> {
    organization::Entity::delete_by_id(access.organization_id().uuid()).exec(connection).await?;
    Ok(())
}

/// Whether somebody made an organization of this name. For demo data.
pub(crate) async fn was_founded(
    connection: &impl ConnectionTrait,
    own: OwnAccess,
    name: &str,
) -> Result<bool, DbErr> {
    let row = organization::Entity::find()
        .filter(organization::Column::CreatedBy.eq(own.user_id().uuid()))
        .filter(organization::Column::Name.eq(name))
        .one(connection)
        .await?;
    Ok(row.is_some())
}
