//! What other apps have to do with accounts, without knowing the app that keeps them.

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use async_trait::async_trait;
use mainstay_core::{Problem, UserId};
use mainstay_db::WriteUnit;
use sea_orm::DbErr;

/// An account that is being made.
#[derive(Clone, Copy, Debug)]
pub struct NewAccount<'a> {
    /// Its id.
    pub id: UserId,
    /// Its address, as it was given.
    pub email: &'a str,
    /// The name it goes by.
    pub username: &'a str,
    /// What the person called their organization. `None` if they named none.
    pub organization_name: Option<&'a str>,
    /// The invitation that they came with. `None` if they came without.
    pub invitation_token: Option<&'a str>,
}

/// Why something does not happen to an account.
#[derive(Debug, thiserror::Error)]
pub enum HookError {
    /// The app does not let it happen.
    #[error("an app refuses")]
    Refused(Problem),
    /// The database failed, or the change collided with another and may be tried again.
    #[error("an app's storage failed")]
    Db(#[from] DbErr),
}

/// Takes part in the life of accounts, inside the transactions that make and remove them.
#[async_trait]
pub trait AccountHook: Send + Sync {
    /// Whether `token` is an invitation of this app's to this address. Who registers with one may,
    /// where accounts are made by invitation only, and has proven the address.
    ///
    /// # Errors
    /// If it can't be looked up.
    async fn invites(&self, token: &str, email: &str) -> Result<bool, HookError>;

    /// Adds what belongs to a new account, in its own transaction.
    ///
    /// # Errors
    /// Whatever it must not be made for; then it is not.
    async fn registered(&self, unit: &WriteUnit, account: &NewAccount<'_>) -> Result<(), HookError>;

    /// Removes what goes with an account, in the transaction that removes it.
    ///
    /// # Errors
    /// Whatever it must not be removed for; then it is not.
    async fn removing(&self, unit: &WriteUnit, user: UserId) -> Result<(), HookError>;
}

/// Who takes part in the life of accounts. Cheap to clone; apps add themselves when they are made.
#[derive(Clone, Default)]
pub struct AccountHooks(Arc<RwLock<Vec<Arc<dyn AccountHook>>>>);

impl AccountHooks {
    /// Adds one.
    pub fn add(&self, hook: Arc<dyn AccountHook>) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).push(hook);
    }

    /// All of them, in the order they were added.
    #[must_use]
    pub fn all(&self) -> Vec<Arc<dyn AccountHook>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl fmt::Debug for AccountHooks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AccountHooks({})", self.all().len())
    }
}
