//! What happens to organizations when an account comes or goes.

use async_trait::async_trait;
use mainstay_app::{AccountHook, HookError, NewAccount};
use mainstay_core::UserId;
use mainstay_db::WriteUnit;

use crate::service::Tenancy;

/// Takes part in the life of accounts.
pub(crate) struct Hook {
    pub(crate) tenancy: Tenancy,
}

#[async_trait]
impl AccountHook for Hook {
    async fn invites(&self, token: &str, email: &str) -> Result<bool, HookError> {
        Ok(self.tenancy.invites(token, email).await?)
    }

    async fn registered(&self, unit: &WriteUnit, account: &NewAccount<'_>) -> Result<(), HookError> {
        Ok(self.tenancy.welcome(unit, account).await?)
    }

    async fn removing(&self, unit: &WriteUnit, user: UserId) -> Result<(), HookError> {
        Ok(self.tenancy.farewell(unit, user).await?)
    }
}
