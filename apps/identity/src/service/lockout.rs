//! One guess at a password: few at once, counted, and none while locked.

use std::time::Duration;

use mainstay_core::{Actor, AuditEntry, UserId};
use mainstay_db::WriteUnit;
use sea_orm::{ConnectionTrait, DbErr};

use super::{Accounts, compared, to_the_end};
use crate::domain::{Password, User};
use crate::error::AccountError;
use crate::gate::Pass;
use crate::lockout::{Keys, account_key};
use crate::repo::{self, Credentials};

/// A guess, and how it is counted and told of.
#[derive(Debug)]
pub(super) struct Guess {
    keys: Keys,
    user: Option<UserId>,
    /// `login` or `password_check`.
    purpose: &'static str,
}

impl Guess {
    /// A sign-in by `name`, as it is compared, which is `user`'s if anybody's.
    pub(super) fn login(name: &str, user: Option<UserId>, actor: &Actor) -> Self {
        Self { keys: Keys::of(user, name, actor.address), user, purpose: "login" }
    }

    /// Somebody who is signed in proves that it is still them.
    fn check(user: UserId, actor: &Actor) -> Self {
        let keys = Keys::of(Some(user), "", actor.address);
        Self { keys, user: Some(user), purpose: "password_check" }
    }

    pub(super) fn entry(&self, action: &'static str) -> AuditEntry {
        let target = self.user.map_or_else(|| "login".to_owned(), |user| format!("user/{user}"));
        AuditEntry::new(action, target).note("purpose", self.purpose)
    }
}

impl Accounts {
    /// Whether `password` is the user's own, for what needs it again. Counted and
    /// locked like a sign-in. Gives the account as it was checked, its hash for a compare-and-set.
    pub(crate) async fn check_password(
        &self,
        actor: &Actor,
        user: UserId,
        password: &Password,
    ) -> Result<Credentials, AccountError> {
        let (accounts, actor, password) = (self.clone(), actor.clone(), password.clone());
        to_the_end(async move {
            let found = repo::find_credentials(accounts.db.primary(), user).await?;
            let found = found.ok_or(AccountError::Gone)?;
            let guess = Guess::check(user, &actor);
            let hash = found.password_hash.as_deref();
            let _inside = accounts.check_guess(&actor, &guess, &password, hash, true).await?;
            Ok(found)
        })
        .await
    }

    /// Checks a guess. Right and `acceptable`: whoever asks holds the place at the gate until the sign-in is
    /// written. Everything else is counted, in the same steps whether the name is anybody's or not.
    pub(super) async fn check_guess(
        &self,
        actor: &Actor,
        guess: &Guess,
        password: &Password,
        hash: Option<&str>,
        acceptable: bool,
    ) -> Result<Pass, AccountError> {
        let pass = self.gate.enter(&guess.keys.account).await.map_err(|_| AccountError::Crowded)?;
        // Only now: those who were before at the gate may have been the last ones.
        if let Some(remaining) = self.locked_for(self.db.primary(), guess).await? {
            return Err(self.refuse_locked(actor, guess, remaining).await?);
        }
        let right = self.passwords.verify(password.expose(), hash).await?;
        if right && acceptable {
            return Ok(pass);
        }
        let reason = match guess.user {
            None => "unknown_name",
            Some(_) if right => "inactive",
            Some(_) => "wrong_password",
        };
        self.count_failure(actor, guess, reason).await?;
        Err(AccountError::InvalidCredentials)
    }

    pub(super) async fn locked_for(
        &self,
        connection: &impl ConnectionTrait,
        guess: &Guess,
    ) -> Result<Option<Duration>, DbErr> {
        let now = self.clock.now();
        let keys: Vec<&str> = guess.keys.limits().map(|(key, _)| key).collect();
        let counters = repo::find_counters(connection, &keys).await?;
        Ok(counters.iter().filter_map(|counter| counter.locked_for(now)).max())
    }

    /// Notes that somebody tried while it was locked.
    pub(super) async fn refuse_locked(
        &self,
        actor: &Actor,
        guess: &Guess,
        remaining: Duration,
    ) -> Result<AccountError, DbErr> {
        let unit = self.db.write(actor).await?;
        unit.audit(guess.entry("login.locked").note("remaining_s", remaining.as_secs()));
        unit.commit().await?;
        Ok(AccountError::Locked(remaining))
    }

    async fn count_failure(&self, actor: &Actor, guess: &Guess, reason: &'static str) -> Result<(), DbErr> {
        let now = self.clock.now();
        let unit = self.db.write(actor).await?;
        let mut locked = None;
        for (key, limit) in guess.keys.limits() {
            let mut counter = repo::hold_counter(&unit, key).await?;
            locked = locked.max(counter.fail(now, limit));
            repo::write_counter(&unit, key, &counter).await?;
        }
        let entry = guess.entry("login.failed").note("reason", reason);
        unit.audit(match locked {
            Some(lasts) => entry.note("locked_for_s", lasts.as_secs()),
            None => entry,
        });
        unit.commit().await
    }

    /// Forgets the account's recent failures: somebody knew the password.
    pub(super) async fn reset_failures(&self, unit: &WriteUnit, user: UserId) -> Result<(), DbErr> {
        repo::reset_counter(unit, &account_key(user)).await
    }

    /// Ends the account's lock and forgets every failure. False if there was nothing to forget.
    pub(crate) async fn clear_lock(&self, unit: &WriteUnit, user: UserId) -> Result<bool, DbErr> {
        let cleared = repo::delete_counter(unit, &account_key(user)).await?;
        if cleared {
            unit.audit(AuditEntry::new("user.unlocked", format!("user/{user}")));
        }
        Ok(cleared)
    }

    /// Ends the lock of the account with this address or username. Gives the account, and
    /// whether there was anything to end. `None` if nobody has this name.
    pub(crate) async fn unlock(
        &self,
        actor: &Actor,
        name: &str,
    ) -> Result<Option<(User, bool)>, AccountError> {
        let name = compared(name.trim());
        let found = match repo::find_by_email(self.db.primary(), &name).await? {
            Some(found) => Some(found),
            None => repo::find_by_username(self.db.primary(), &name).await?,
        };
        let Some(Credentials { user, .. }) = found else { return Ok(None) };
        let unit = self.db.write(actor).await?;
        let cleared = self.clear_lock(&unit, user.id).await?;
        unit.commit().await?;
        Ok(Some((user, cleared)))
    }
}
