//! What happens to posts when their author's account goes.

use async_trait::async_trait;
use mainstay_app::{AccountHook, HookError, NewAccount};
use mainstay_core::UserId;
use mainstay_db::WriteUnit;

use crate::repo;

/// Takes part in the life of accounts.
pub(crate) struct Hook;

#[async_trait]
impl AccountHook for Hook {
    async fn invites(&self, _: &str, _: &str) -> Result<bool, HookError> {
        Ok(false)
    }

    async fn registered(&self, _: &WriteUnit, _: &NewAccount<'_>) -> Result<(), HookError> {
        Ok(())
    }

    /// The posts stay, under another name. A cache that asks whether its copy is still good must be told
    /// that it is not, or the erased name would live on there.
    async fn removing(&self, unit: &WriteUnit, user: UserId) -> Result<(), HookError> {
        Ok(repo::count_up_all_of(unit, user).await?)
    }
}
