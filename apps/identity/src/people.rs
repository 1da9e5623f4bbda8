//! Accounts, as other apps may know them.

use std::collections::HashMap;

use async_trait::async_trait;
use mainstay_app::{Email, People, Person};
use mainstay_core::UserId;
use mainstay_db::{Db, WriteUnit};
use sea_orm::DbErr;

use crate::domain::User;
use crate::repo;

/// The accounts of this database.
pub(crate) struct Directory {
    pub(crate) db: Db,
}

impl From<User> for Person {
    fn from(user: User) -> Self {
        let User {
            id,
            email,
            username,
            name,
            roles: _,
            email_verified,
            is_active,
            version: _,
            created_at: _,
        } = user;
        Self { id, username, name, email, email_verified, is_active }
    }
}

#[async_trait]
impl People for Directory {
    async fn people(
        &self,
        within: Option<&WriteUnit>,
        ids: &[UserId],
    ) -> Result<HashMap<UserId, Person>, DbErr> {
        let users = match within {
            Some(unit) => repo::find_users(unit, ids).await?,
            None => repo::find_users(self.db.primary(), ids).await?,
        };
        Ok(users.into_iter().map(|user| (user.id, user.into())).collect())
    }

    async fn find_by_email(
        &self,
        within: Option<&WriteUnit>,
        email: &Email,
    ) -> Result<Option<Person>, DbErr> {
        let found = match within {
            Some(unit) => repo::find_by_email(unit, &email.normalized()).await?,
            None => repo::find_by_email(self.db.primary(), &email.normalized()).await?,
        };
        Ok(found.map(|found| found.user.into()))
    }

    async fn hold(&self, unit: &WriteUnit, id: UserId) -> Result<Option<Person>, DbErr> {
        if !repo::hold_user(unit, id).await? {
            return Ok(None);
        }
        Ok(repo::find_user(unit, id).await?.map(Into::into))
    }
}
