//! Who the accounts belong to, for apps that show people and do not keep them.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, OnceLock};

use async_trait::async_trait;
use mainstay_core::UserId;
use mainstay_db::WriteUnit;
use sea_orm::DbErr;

use crate::Email;

/// What other apps may know of an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Person {
    /// Its id.
    pub id: UserId,
    /// The name it goes by.
    pub username: String,
    /// The person's name. `None` if they gave none.
    pub name: Option<String>,
    /// Its address, as given.
    pub email: String,
    /// Whether the address was proven.
    pub email_verified: bool,
    /// Whether it may sign in.
    pub is_active: bool,
}

/// The accounts. Implemented by the app that keeps them.
///
/// `within` is the unit that asks, if one does: it is asked on that unit's own connection. A unit that waited
/// for a second one could wait for others that wait for it. `None`: the latest committed state.
#[async_trait]
pub trait People: Send + Sync {
    /// Those of `ids` that exist. Removed accounts are not among them. One query, however many.
    ///
    /// # Errors
    /// The database's.
    async fn people(
        &self,
        within: Option<&WriteUnit>,
        ids: &[UserId],
    ) -> Result<HashMap<UserId, Person>, DbErr>;

    /// The account with this address, whatever its case. One query.
    ///
    /// # Errors
    /// The database's.
    async fn find_by_email(&self, within: Option<&WriteUnit>, email: &Email)
    -> Result<Option<Person>, DbErr>;

    /// An account as it stays until `unit` ends: whoever changes or removes it waits, and sees what
    /// `unit` did. `None` if it was removed.
    ///
    /// # Errors
    /// The database's.
    async fn hold(&self, unit: &WriteUnit, id: UserId) -> Result<Option<Person>, DbErr>;
}

/// Where apps find the [`People`]. Cheap to clone. Filled while the apps are made, read after that, so
/// their order does not matter.
#[derive(Clone, Default)]
pub struct PeopleSlot(Arc<OnceLock<Arc<dyn People>>>);

impl PeopleSlot {
    /// Puts them there. The first ones stay.
    pub fn fill(&self, people: Arc<dyn People>) {
        // Only a second app that keeps accounts could come too late.
        let _kept = self.0.set(people);
    }
}

/// With no app that keeps accounts, there are none.
#[async_trait]
impl People for PeopleSlot {
    async fn people(
        &self,
        within: Option<&WriteUnit>,
        ids: &[UserId],
    ) -> Result<HashMap<UserId, Person>, DbErr> {
        match self.0.get() {
            Some(people) if !ids.is_empty() => people.people(within, ids).await,
            _ => Ok(HashMap::new()),
        }
    }

    async fn find_by_email(
        &self,
        within: Option<&WriteUnit>,
        email: &Email,
    ) -> Result<Option<Person>, DbErr> {
        match self.0.get() {
            Some(people) => people.find_by_email(within, email).await,
            None => Ok(None),
        }
    }

    async fn hold(&self, unit: &WriteUnit, id: UserId) -> Result<Option<Person>, DbErr> {
        match self.0.get() {
            Some(people) => people.hold(unit, id).await,
            None => Ok(None),
        }
    }
}

impl fmt::Debug for PeopleSlot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PeopleSlot({})", if self.0.get().is_some() { "filled" } else { "empty" })
    }
}
