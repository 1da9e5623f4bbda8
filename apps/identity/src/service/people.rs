//! Accounts as those who run the installation see them, and their removal.

use std::collections::HashMap;

use mainstay_app::{Authored, Authors as _};
use mainstay_auth::{Role, Roles};
use mainstay_core::{Actor, AuditEntry, Page, Paging, Patch, Problem, UserId};
use mainstay_db::{UnitWork, WriteUnit};
use mainstay_events::{AuditLog, DeadLetters};
use mainstay_http::{ETag, IfMatch};

use super::{Accounts, compared};
use crate::domain::{Password, User, UserOrder};
use crate::error::AccountError;
use crate::events::{RevokeReason, UserDeleted, UserUpdated, address_subject};
use crate::repo::{self, PeopleFilter};

/// What an administrator may change of an account.
#[derive(Clone, Debug)]
pub(crate) struct AccountPatch {
    pub(crate) roles: Patch<Roles>,
    pub(crate) is_active: Patch<bool>,
}

impl Accounts {
    /// A page of accounts.
    pub(crate) async fn list_users(
        &self,
        actor: &Actor,
        mut filter: PeopleFilter,
        paging: &Paging<UserOrder>,
    ) -> Result<Page<User>, Problem> {
        filter.q = filter.q.map(|q| compared(q.trim()));
        repo::list_users(self.db.read(actor), &filter, paging).await
    }

    /// One account.
    pub(crate) async fn get_user(&self, actor: &Actor, id: UserId) -> Result<User, AccountError> {
        repo::find_user(self.db.read(actor), id).await?.ok_or(AccountError::NotFound)
    }

    /// What each of these people wrote, with or without drafts. A fixed number of queries, however many.
    pub(crate) async fn written_by(
        &self,
        actor: &Actor,
        ids: &[UserId],
        drafts: bool,
    ) -> Result<HashMap<UserId, Authored>, AccountError> {
        Ok(self.authors.written_by(actor, ids, drafts).await?)
    }

    /// Changes an account's roles or switches it on or off.
    pub(crate) async fn update_user(
        &self,
        actor: &Actor,
        id: UserId,
        patch: AccountPatch,
        condition: &IfMatch,
    ) -> Result<User, AccountError> {
        let (patch, now) = (&patch, self.clock.now());
        let change = self.db.write_retrying(actor, move |unit| {
            UnitWork::new(async move {
                let before = repo::find_user(unit, id).await?.ok_or(AccountError::NotFound)?;
                condition.check(ETag(before.version)).map_err(AccountError::Precondition)?;
                let mut user = before.clone();
                user.roles = patch.roles.clone().over(user.roles);
                user.is_active = patch.is_active.clone().over(user.is_active);
                if is_admin(&before) && !is_admin(&user) {
                    self.keep_an_admin(unit, id).await?;
                }
                if !repo::update_account(unit, &user, now).await? {
                    return Err(AccountError::Stale);
                }
                user.version += 1;
                if before.is_active && !user.is_active {
                    self.revoke_sessions(unit, id, None, RevokeReason::Deactivated).await?;
                }
                let entry = AuditEntry::new("user.updated", format!("user/{id}"))
                    .changed("roles", &before.roles, &user.roles)
                    .changed("is_active", &before.is_active, &user.is_active);
                unit.audit(entry);
                unit.emit(&UserUpdated { user_id: id });
                Ok(user)
            })
        });
        let user = change.await?;
        // A role that was taken away must not work on this node for another moment.
        self.sessions.forget_all();
        self.api_keys.forget_all();
        Ok(user)
    }

    /// Whether somebody else administers the installation.
    async fn keep_an_admin(&self, unit: &WriteUnit, id: UserId) -> Result<(), AccountError> {
        let others = repo::admins(unit).await?.into_iter().filter(|admin| *admin != id).count();
        if others == 0 { Err(AccountError::LastAdmin) } else { Ok(()) }
    }

    /// Removes one's own account.
    pub(crate) async fn delete_oneself(
        &self,
        actor: &Actor,
        id: UserId,
        password: &Password,
    ) -> Result<(), AccountError> {
        self.check_password(actor, id, password).await.map_err(|error| error.in_field("password"))?;
        self.delete_user(actor, id).await
    }

    /// Removes an account: what belongs to the person goes, what they wrote stays.
    pub(crate) async fn delete_user(&self, actor: &Actor, id: UserId) -> Result<(), AccountError> {
        let now = self.clock.now();
        let removal = self.db.write_retrying(actor, move |unit| {
            UnitWork::new(async move {
                // Held before anything of it is touched, as everywhere.
                let user = repo::hold_credentials(unit, id).await?.ok_or(AccountError::NotFound)?.user;
                if is_admin(&user) {
                    self.keep_an_admin(unit, id).await?;
                }
                for hook in self.hooks.all() {
                    hook.removing(unit, id).await?;
                }
                self.revoke_sessions(unit, id, None, RevokeReason::Deleted).await?;
                repo::erase_user(unit, id, &compared(&user.email), now).await?;
                self.clear_lock(unit, id).await?;
                self.mails.forget_recipient(unit, &user.email).await?;
                // Requests that name the address and were not carried out yet, or given up.
                DeadLetters::forget_subject(unit, &address_subject(&user.email)).await?;
                // The log keeps what was done, and loses what it says of the person.
                AuditLog::erase_changes(unit, &format!("user/{id}")).await?;
                unit.audit(AuditEntry::new("user.deleted", format!("user/{id}")));
                unit.emit(&UserDeleted { user_id: id });
                Ok::<_, AccountError>(())
            })
        });
        removal.await?;
        self.sessions.forget_all();
        self.api_keys.forget_all();
        Ok(())
    }
}

fn is_admin(user: &User) -> bool {
    user.is_active && user.roles.grants(Role::Admin)
}
