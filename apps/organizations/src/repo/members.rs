//! Who belongs to an organization, or to a website.

use mainstay_core::{Page, Paging, Problem, Timestamp, UserId};
use mainstay_db::page;
use sea_orm::sea_query::Query;
use sea_orm::{
    ColumnTrait as _, ConnectionTrait, DbErr, EntityTrait as _, IntoActiveModel as _, PaginatorTrait as _,
    QueryFilter as _,
};

use super::access::{OrgAccess, OwnAccess, Place};
use crate::domain::WebsiteId;
use crate::domain::role::{Member, MemberOrder, MemberRole};
use crate::entity::{organization_member, website, website_member};

fn member(user_id: sea_orm::prelude::Uuid, role: &str, joined_at: i64) -> Member {
    Member {
        user_id: user_id.into(),
        role: MemberRole::from_name(role),
        joined_at: Timestamp::from_millis(joined_at),
    }
}

impl From<organization_member::Model> for Member {
    fn from(row: organization_member::Model) -> Self {
        member(row.user_id, &row.role, row.joined_at)
    }
}

impl From<website_member::Model> for Member {
    fn from(row: website_member::Model) -> Self {
        member(row.user_id, &row.role, row.joined_at)
    }
}

pub(crate) async fn list(
    connection: &impl ConnectionTrait,
    place: &impl Place,
    role: Option<MemberRole>,
    paging: &Paging<MemberOrder>,
) -> Result<Page<Member>, Problem> {
    match place.website_id() {
        None => {
            use organization_member::{Column, Entity};
            let mut rows = Entity::find().filter(Column::OrganizationId.eq(place.organization_id().uuid()));
            if let Some(role) = role {
                rows = rows.filter(Column::Role.eq(role.name()));
            }
            let sorted = match paging.sort {
                MemberOrder::JoinedAt => Column::JoinedAt,
                MemberOrder::Role => Column::Role,
            };
            Ok(page(connection, rows, paging, sorted, Column::UserId).await?.map(Into::into))
        }
        Some(website) => {
            use website_member::{Column, Entity};
            let mut rows = Entity::find().filter(Column::WebsiteId.eq(website.uuid()));
            if let Some(role) = role {
                rows = rows.filter(Column::Role.eq(role.name()));
            }
            let sorted = match paging.sort {
                MemberOrder::JoinedAt => Column::JoinedAt,
                MemberOrder::Role => Column::Role,
            };
            Ok(page(connection, rows, paging, sorted, Column::UserId).await?.map(Into::into))
        }
    }
}

pub(crate) async fn find(
    connection: &impl ConnectionTrait,
    place: &impl Place,
    user: UserId,
) -> Result<Option<Member>, DbErr> {
    Ok(match place.website_id() {
        None => {
            let key = (place.organization_id().uuid(), user.uuid());
            organization_member::Entity::find_by_id(key).one(connection).await?.map(Into::into)
        }
        Some(website) => {
            let key = (website.uuid(), user.uuid());
            website_member::Entity::find_by_id(key).one(connection).await?.map(Into::into)
        }
    })
}

pub(crate) async fn add(
    connection: &impl ConnectionTrait,
    place: &impl Place,
    user: UserId,
    role: MemberRole,
    now: Timestamp,
) -> Result<(), DbErr> {
    let (user_id, role, joined_at) = (user.uuid(), role.name().to_owned(), now.millis());
    match place.website_id() {
        None => {
            let organization_id = place.organization_id().uuid();
            let row = organization_member::Model { organization_id, user_id, role, joined_at };
            organization_member::Entity::insert(row.into_active_model())
                .exec_without_returning(connection)
                .await?;
        }
        Some(website) => {
            let row = website_member::Model { website_id: website.uuid(), user_id, role, joined_at };
            website_member::Entity::insert(row.into_active_model())
                .exec_without_returning(connection)
                .await?;
        }
    }
    Ok(())
}

pub(crate) async fn set_role(
    connection: &impl ConnectionTrait,
    place: &impl Place,
    user: UserId,
    role: MemberRole,
) -> Result<(), DbErr> {
    match place.website_id() {
        None => {
            use organization_member::{Column, Entity};
            Entity::update_many()
                .col_expr(Column::Role, role.name().into())
                .filter(Column::OrganizationId.eq(place.organization_id().uuid()))
                .filter(Column::UserId.eq(user.uuid()))
                .exec(connection)
                .await?;
        }
        Some(website) => {
            use website_member::{Column, Entity};
            Entity::update_many()
                .col_expr(Column::Role, role.name().into())
                .filter(Column::WebsiteId.eq(website.uuid()))
                .filter(Column::UserId.eq(user.uuid()))
                .exec(connection)
                .await?;
        }
    }
    Ok(())
}

pub(crate) async fn remove(
    connection: &impl ConnectionTrait,
    place: &impl Place,
    user: UserId,
) -> Result<(), DbErr> {
    match place.website_id() {
        None => {
            let key = (place.organization_id().uuid(), user.uuid());
            organization_member::Entity::delete_by_id(key).exec(connection).await?;
        }
        Some(website) => {
            let key = (website.uuid(), user.uuid());
            website_member::Entity::delete_by_id(key).exec(connection).await?;
        }
    }
    Ok(())
}

/// How many members the organization has besides `user`, and how many of those are admins.
pub(crate) async fn others(
    connection: &impl ConnectionTrait,
    access: &OrgAccess,
    user: UserId,
) -> Result<(u64, u64), DbErr> {
    use organization_member::{Column, Entity};
    let others = Entity::find()
        .filter(Column::OrganizationId.eq(access.organization_id().uuid()))
        .filter(Column::UserId.ne(user.uuid()));
    let admins = others.clone().filter(Column::Role.eq(MemberRole::Admin.name()));
    Ok((others.count(connection).await?, admins.count(connection).await?))
}

/// On which websites of the organization somebody has a role of their own.
pub(crate) async fn website_roles(
    connection: &impl ConnectionTrait,
    place: &impl Place,
    user: UserId,
) -> Result<Vec<(WebsiteId, MemberRole)>, DbErr> {
    let websites = Query::select()
        .column(website::Column::Id)
        .from(website::Entity)
        .and_where(website::Column::OrganizationId.eq(place.organization_id().uuid()))
        .take();
    let rows = website_member::Entity::find()
        .filter(website_member::Column::UserId.eq(user.uuid()))
        .filter(website_member::Column::WebsiteId.in_subquery(websites))
        .all(connection)
        .await?;
    Ok(rows.into_iter().map(|row| (row.website_id.into(), MemberRole::from_name(&row.role))).collect())
}

/// What somebody is in the organization that the place belongs to.
pub(crate) async fn organization_role(
    connection: &impl ConnectionTrait,
    place: &impl Place,
    user: UserId,
) -> Result<Option<MemberRole>, DbErr> {
    let key = (place.organization_id().uuid(), user.uuid());
    let row = organization_member::Entity::find_by_id(key).one(connection).await?;
    Ok(row.map(|row| MemberRole::from_name(&row.role)))
}

/// The websites that a person belongs to by themselves, in a fixed order.
pub(crate) async fn own_websites(
    connection: &impl ConnectionTrait,
    own: OwnAccess,
) -> Result<Vec<WebsiteId>, DbErr> {
    let rows = website_member::Entity::find()
        .filter(website_member::Column::UserId.eq(own.user_id().uuid()))
        .all(connection)
        .await?;
    let mut ids: Vec<WebsiteId> = rows.into_iter().map(|row| row.website_id.into()).collect();
    ids.sort();
    Ok(ids)
}
