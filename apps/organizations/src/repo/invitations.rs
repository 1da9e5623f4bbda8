//! Invitations.

use mainstay_core::{Page, Paging, Problem, Timestamp, UserId};
use mainstay_db::page;
use sea_orm::{
    ColumnTrait as _, Condition, ConnectionTrait, DbErr, EntityTrait as _, IntoActiveModel as _,
    QueryFilter as _, Select,
};

use super::access::{OwnAccess, Place, TokenAccess};
use super::next;
use crate::domain::InvitationId;
use crate::domain::invitation::{Invitation, InvitationOrder, InvitationStatus};
use crate::domain::role::MemberRole;
use crate::entity::invitation::{Column, Entity, Model};

fn read(row: Model, now: Timestamp) -> Invitation {
    let Model {
        id,
        organization_id,
        website_id,
        email,
        email_norm,
        role,
        status,
        token_hash,
        sendings,
        invited_by,
        created_at,
        expires_at,
        decided_at,
        version,
    } = row;
    let expires_at = Timestamp::from_millis(expires_at);
    Invitation {
        id: id.into(),
        organization_id: organization_id.into(),
        website_id: website_id.map(Into::into),
        email,
        email_norm,
        role: MemberRole::from_name(&role),
        status: InvitationStatus::from_row(&status, expires_at, now),
        token_hash,
        sendings,
        invited_by: invited_by.into(),
        created_at: Timestamp::from_millis(created_at),
        expires_at,
        decided_at: decided_at.map(Timestamp::from_millis),
        version,
    }
}

/// Those of this place alone.
fn of(place: &impl Place) -> Select<Entity> {
    let of_organization = Entity::find().filter(Column::OrganizationId.eq(place.organization_id().uuid()));
    match place.website_id() {
        None => of_organization.filter(Column::WebsiteId.is_null()),
        Some(website) => of_organization.filter(Column::WebsiteId.eq(website.uuid())),
    }
}

pub(crate) async fn insert(
    connection: &impl ConnectionTrait,
    place: &impl Place,
    invitation: &Invitation,
) -> Result<(), DbErr> {
    let row = Model {
        id: invitation.id.uuid(),
        organization_id: place.organization_id().uuid(),
        website_id: place.website_id().map(crate::domain::WebsiteId::uuid),
        email: invitation.email.clone(),
        email_norm: invitation.email_norm.clone(),
        role: invitation.role.name().to_owned(),
        status: invitation.status.name().to_owned(),
        token_hash: invitation.token_hash.clone(),
        sendings: invitation.sendings,
        invited_by: invitation.invited_by.uuid(),
        created_at: invitation.created_at.millis(),
        expires_at: invitation.expires_at.millis(),
        decided_at: invitation.decided_at.map(Timestamp::millis),
        version: invitation.version,
    };
    Entity::insert(row.into_active_model()).exec_without_returning(connection).await?;
    Ok(())
}

pub(crate) async fn list(
    connection: &impl ConnectionTrait,
    place: &impl Place,
    status: Option<InvitationStatus>,
    paging: &Paging<InvitationOrder>,
    now: Timestamp,
) -> Result<Page<Invitation>, Problem> {
    let is = |status: InvitationStatus| Column::Status.eq(status.name());
    let (pending, over) = (is(InvitationStatus::Pending), Column::ExpiresAt.lte(now.millis()));
    let mut rows = of(place);
    rows = match status {
        None => rows,
        Some(InvitationStatus::Pending) => rows.filter(pending).filter(Column::ExpiresAt.gt(now.millis())),
        Some(InvitationStatus::Expired) => rows.filter(
            Condition::any().add(is(InvitationStatus::Expired)).add(Condition::all().add(pending).add(over)),
        ),
        Some(decided) => rows.filter(is(decided)),
    };
    let sorted = match paging.sort {
        InvitationOrder::CreatedAt => Column::CreatedAt,
        InvitationOrder::ExpiresAt => Column::ExpiresAt,
        InvitationOrder::Email => Column::EmailNorm,
    };
    Ok(page(connection, rows, paging, sorted, Column::Id).await?.map(|row| read(row, now)))
}

pub(crate) async fn find(
    connection: &impl ConnectionTrait,
    place: &impl Place,
    id: InvitationId,
    now: Timestamp,
) -> Result<Option<Invitation>, DbErr> {
    let row = of(place).filter(Column::Id.eq(id.uuid())).one(connection).await?;
    Ok(row.map(|row| read(row, now)))
}

/// For [`super::access`] alone: what it finds becomes a proof there.
pub(super) async fn find_pending_by_hash(
    connection: &impl ConnectionTrait,
    token_hash: &str,
    now: Timestamp,
) -> Result<Option<Invitation>, DbErr> {
    let row = Entity::find().filter(Column::TokenHash.eq(token_hash)).one(connection).await?;
    Ok(row.map(|row| read(row, now)).filter(|found| found.status == InvitationStatus::Pending))
}

/// As [`find_pending_by_hash`].
pub(super) async fn find_by_id(
    connection: &impl ConnectionTrait,
    id: InvitationId,
    now: Timestamp,
) -> Result<Option<Invitation>, DbErr> {
    let row = Entity::find_by_id(id.uuid()).one(connection).await?;
    Ok(row.map(|row| read(row, now)))
}

/// Marks what has expired of an address's invitations here, so that it can be invited again.
pub(crate) async fn mark_expired(
    connection: &impl ConnectionTrait,
    place: &impl Place,
    email_norm: &str,
    now: Timestamp,
) -> Result<(), DbErr> {
    let website = match place.website_id() {
        None => Column::WebsiteId.is_null(),
        Some(website) => Column::WebsiteId.eq(website.uuid()),
    };
    Entity::update_many()
        .col_expr(Column::Status, InvitationStatus::Expired.name().into())
        .col_expr(Column::Version, next(Column::Version))
        .filter(Column::OrganizationId.eq(place.organization_id().uuid()))
        .filter(website)
        .filter(Column::EmailNorm.eq(email_norm))
        .filter(Column::Status.eq(InvitationStatus::Pending.name()))
        .filter(Column::ExpiresAt.lte(now.millis()))
        .exec(connection)
        .await?;
    Ok(())
}

/// Writes how an invitation was decided. False if it was decided otherwise in the meantime.
pub(crate) async fn decide(
    connection: &impl ConnectionTrait,
    place: &impl Place,
    invitation: &Invitation,
    status: InvitationStatus,
    now: Timestamp,
) -> Result<bool, DbErr> {
    let decided = Entity::update_many()
        .col_expr(Column::Status, status.name().into())
        .col_expr(Column::DecidedAt, now.millis().into())
        .col_expr(Column::Version, next(Column::Version))
        .filter(Column::Id.eq(invitation.id.uuid()))
        .filter(Column::OrganizationId.eq(place.organization_id().uuid()))
        .filter(Column::Version.eq(invitation.version))
        .exec(connection)
        .await?;
    Ok(decided.rows_affected == 1)
}

/// Writes a new token and a new end; the invitation is pending again.
pub(crate) async fn renew(
    connection: &impl ConnectionTrait,
    place: &impl Place,
    renewed: &Invitation,
) -> Result<(), DbErr> {
    Entity::update_many()
        .col_expr(Column::Status, InvitationStatus::Pending.name().into())
        .col_expr(Column::TokenHash, renewed.token_hash.clone().into())
        .col_expr(Column::Sendings, renewed.sendings.into())
        .col_expr(Column::ExpiresAt, renewed.expires_at.millis().into())
        .col_expr(Column::InvitedBy, renewed.invited_by.uuid().into())
        .col_expr(Column::Version, next(Column::Version))
        .filter(Column::Id.eq(renewed.id.uuid()))
        .filter(Column::OrganizationId.eq(place.organization_id().uuid()))
        .exec(connection)
        .await?;
    Ok(())
}

/// The pending invitations that somebody made in the organization of the place and to its websites.
pub(crate) async fn pending_by(
    connection: &impl ConnectionTrait,
    place: &impl Place,
    inviter: UserId,
    now: Timestamp,
) -> Result<Vec<Invitation>, DbErr> {
    let rows = Entity::find()
        .filter(Column::OrganizationId.eq(place.organization_id().uuid()))
        .filter(Column::InvitedBy.eq(inviter.uuid()))
        .filter(Column::Status.eq(InvitationStatus::Pending.name()))
        .all(connection)
        .await?;
    let found = rows.into_iter().map(|row| read(row, now));
    Ok(found.filter(|invitation| invitation.status == InvitationStatus::Pending).collect())
}

/// All invitations to a person's address, wherever to, decided or not.
pub(crate) async fn to_address(
    connection: &impl ConnectionTrait,
    _own: OwnAccess,
    email_norm: &str,
    now: Timestamp,
) -> Result<Vec<Invitation>, DbErr> {
    let rows = Entity::find().filter(Column::EmailNorm.eq(email_norm)).all(connection).await?;
    Ok(rows.into_iter().map(|row| read(row, now)).collect())
}

/// Removes those invitations.
pub(crate) async fn forget_address(
    connection: &impl ConnectionTrait,
    _own: OwnAccess,
    email_norm: &str,
) -> Result<(), DbErr> {
    Entity::delete_many().filter(Column::EmailNorm.eq(email_norm)).exec(connection).await?;
    Ok(())
}

impl TokenAccess {
    /// Writes how the invitation was decided. False if it was decided otherwise in the meantime.
    pub(crate) async fn decide(
        &self,
        connection: &impl ConnectionTrait,
        status: InvitationStatus,
        now: Timestamp,
    ) -> Result<bool, DbErr> {
        decide(connection, self, self.invitation(), status, now).await
    }
}
