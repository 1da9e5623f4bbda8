//! The row of a mail. Private: others see [`Mail`](crate::Mail).

use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "mails")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    pub cause: Uuid,
    pub template: String,
    pub address: String,
    pub address_norm: String,
    pub name: Option<String>,
    pub reference: Option<Uuid>,
    pub confidential: bool,
    pub subject: String,
    pub sealed_content: Option<String>,
    pub status: String,
    pub attempts: i64,
    pub due_at: i64,
    pub last_error: Option<String>,
    pub created_at: i64,
    pub sent_at: Option<i64>,
}

#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
