use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "invitations")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    pub organization_id: Uuid,
    pub website_id: Option<Uuid>,
    pub email: String,
    pub email_norm: String,
    pub role: String,
    pub status: String,
    pub token_hash: String,
    pub sendings: i64,
    pub invited_by: Uuid,
    pub created_at: i64,
    pub expires_at: i64,
    pub decided_at: Option<i64>,
    pub version: i64,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
