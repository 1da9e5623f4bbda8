//! New accounts, the first administrator, invitations, and what a person changes of their own account.

use mainstay_app::NewAccount;
use mainstay_auth::{Role, Roles};
use mainstay_core::{Actor, AuditEntry, Faults, Patch, UserId};
use mainstay_db::{UnitWork, WriteUnit, unique_violation};
use mainstay_http::{ETag, IfMatch};
use sea_orm::DbErr;

use super::{Accounts, acting_as, token_hash};
use crate::domain::{Email, NewPassword, Purpose, User, Username};
use crate::entity::user;
use crate::error::AccountError;
use crate::events::{RegistrationInvited, RegistrationRepeated, UserRegistered, UserUpdated};
use crate::repo::{self, Credentials, TokenFor};
use crate::settings::Registration;

/// An account to make.
#[derive(Clone, Debug)]
pub struct NewUser {
    /// Its address.
    pub email: Email,
    /// Its password.
    pub password: NewPassword,
    /// The name it goes by. `None`: one is made from the address.
    pub username: Option<Username>,
    /// The person's name.
    pub name: Option<String>,
    /// System roles.
    pub roles: Roles,
    /// Whether the address counts as proven, as for accounts that an operator makes.
    pub email_verified: bool,
}

/// What somebody brings along who makes an account for themselves.
#[derive(Clone, Debug, Default)]
pub(crate) struct Brought {
    /// The token of an invitation.
    pub(crate) invitation: Option<String>,
    /// The name of the organization to make with the account.
    pub(crate) organization: Option<String>,
}

/// The same, looked at.
#[derive(Clone, Debug, Default)]
struct Extras {
    brought: Brought,
    /// The hash of the token, if it is an invitation of ours.
    own_invitation: Option<String>,
    /// Whether another username does if the chosen one is taken.
    may_rename: bool,
}

/// What came of somebody's wish for an account.
#[derive(Debug)]
pub(crate) enum Registered {
    /// They have one.
    Account(User),
    /// They will hear by mail; whether there was one already is not told.
    Concealed,
}

/// What a person may change of their own account.
#[derive(Clone, Debug)]
pub(crate) struct ProfilePatch {
    pub(crate) username: Patch<Username>,
    pub(crate) name: Patch<Option<String>>,
}

impl Accounts {
    /// A new account, made by an operator or a program.
    ///
    /// # Errors
    /// [`AccountError::EmailTaken`], [`AccountError::UsernameTaken`],
    /// [`AccountError::Invalid`] for a password that does not do for this account.
    pub async fn register(&self, actor: &Actor, new: NewUser) -> Result<User, AccountError> {
        self.make(actor, new, &Extras::default()).await
    }

    /// An account that somebody makes for themselves, as the settings allow it.
    pub(crate) async fn sign_up(
        &self,
        actor: &Actor,
        mut new: NewUser,
        brought: Brought,
    ) -> Result<Registered, AccountError> {
        let own_invitation = match &brought.invitation {
            None if self.settings.registration == Registration::Invitation => {
                return Err(AccountError::InvitationRequired);
            }
            None => None,
            Some(token) => {
                let own = self.judge_invitation(token, &new.email).await?;
                // An invitation is for one address, which received it: there is nothing left to prove.
                new.email_verified = true;
                own
            }
        };
        let conceals = self.settings.conceal_accounts;
        // That a username is taken would tell of its owner.
        let extras = &Extras { brought, own_invitation, may_rename: conceals };
        if !conceals {
            return self.make(actor, new, extras).await.map(Registered::Account);
        }
        let email = new.email.clone();
        match self.make(actor, new, extras).await {
            Ok(_) => {}
            Err(AccountError::EmailTaken) => self.tell_owner(actor, &email).await?,
            Err(error) => return Err(error),
        }
        Ok(Registered::Concealed)
    }

    /// The hash of an invitation of ours; `None` for one of another app's.
    async fn judge_invitation(&self, token: &str, email: &Email) -> Result<Option<String>, AccountError> {
        let token_hash = token_hash(token);
        let now = self.clock.now();
        let own = repo::find_one_time_token(self.db.primary(), Purpose::Register, &token_hash, now).await?;
        if own == Some(TokenFor::Address(email.normalized())) {
            return Ok(Some(token_hash));
        }
        for hook in self.hooks.all() {
            if hook.invites(token, email.as_str()).await? {
                return Ok(None);
            }
        }
        Err(AccountError::TokenInvalid)
    }

    /// Tells the owner of an address, by mail, that somebody tried to make an account with it.
    async fn tell_owner(&self, actor: &Actor, email: &Email) -> Result<(), AccountError> {
        let found = repo::find_by_email(self.db.primary(), &email.normalized()).await?;
        let Some(Credentials { user, .. }) = found else { return Ok(()) };
        let unit = self.db.write(actor).await?;
        unit.emit(&RegistrationRepeated { user_id: user.id });
        unit.audit(AuditEntry::new("user.registration_repeated", format!("user/{}", user.id)));
        Ok(unit.commit().await?)
    }

    async fn make(&self, actor: &Actor, new: NewUser, extras: &Extras) -> Result<User, AccountError> {
        self.check_password_rules(&new.password, &new.email, new.username.as_ref(), "password")?;
        // The slow part first: no transaction waits for it.
        let hash = self.passwords.hash(new.password.expose()).await?;
        for attempt in 0..5_u8 {
            let chosen = new.username.as_ref().filter(|_| attempt == 0 || !extras.may_rename);
            let username = match chosen {
                Some(username) => username.clone(),
                None => Username::derive(new.email.local(), (attempt > 0).then(|| self.suffix())),
            };
            match self.insert(actor, &new, &username, &hash, extras).await {
                // A made name may collide; a chosen one is the chooser's to change.
                Err(AccountError::UsernameTaken) if new.username.is_none() || extras.may_rename => {}
                outcome => return outcome,
            }
        }
        Err(AccountError::UsernameTaken)
    }

    /// Whether a new password does for this account. `field` is where a fault is reported.
    pub(super) fn check_password_rules(
        &self,
        password: &NewPassword,
        email: &Email,
        username: Option<&Username>,
        field: &'static str,
    ) -> Result<(), AccountError> {
        let context = [email.as_str(), email.local(), username.map_or("", Username::as_str)];
        password
            .check_for(self.settings.password_min_length, &context)
            .map_err(|invalid| AccountError::Invalid(Faults::one(field, invalid.code, invalid.message)))
    }

    /// Whether everybody may make an account, not only who was invited.
    pub(crate) fn is_open(&self) -> bool {
        self.settings.registration == Registration::Open
    }

    /// Fewest characters of a new password here.
    pub(crate) fn password_min_length(&self) -> usize {
        self.settings.password_min_length
    }

    fn suffix(&self) -> u32 {
        u32::from_le_bytes(self.rng.bytes()) % 1_000_000
    }

    async fn insert(
        &self,
        actor: &Actor,
        new: &NewUser,
        username: &Username,
        hash: &str,
        extras: &Extras,
    ) -> Result<User, AccountError> {
        let now = self.clock.now();
        let row = self.row(new, username, hash);
        let user = Credentials::from(row.clone()).user;
        // Who makes an account for themselves acts as that account from here on.
        let by_themselves = actor.user_id().is_none() && actor.request_id.is_some();
        let actor = if by_themselves { acting_as(user.id, actor) } else { actor.clone() };
        let unit = self.db.write(&actor).await?;
        // The indexes decide, not a SELECT before: two requests can pass that together.
        repo::insert_user(&unit, row).await.map_err(taken)?;
        if let Some(token_hash) = &extras.own_invitation
            && !repo::use_one_time_token(&unit, Purpose::Register, token_hash, now).await?
        {
            return Err(AccountError::TokenInvalid);
        }
        let account = NewAccount {
            id: user.id,
            email: &user.email,
            username: &user.username,
            organization_name: extras.brought.organization.as_deref(),
            invitation_token: extras.brought.invitation.as_deref(),
        };
        for hook in self.hooks.all() {
            hook.registered(&unit, &account).await?;
        }
        tell_registered(&unit, &user);
        unit.commit().await?;
        Ok(user)
    }

    fn row(&self, new: &NewUser, username: &Username, hash: &str) -> user::Model {
        let now = self.clock.now();
        repo::user_row(
            self.ids.make(),
            (new.email.as_str().to_owned(), new.email.normalized()),
            (username.as_str().to_owned(), username.normalized()),
            new.name.clone(),
            hash.to_owned(),
            new.roles,
            new.email_verified.then_some(now),
            now,
        )
    }

    /// Invites somebody to make an account: they get a mail with a token that works once.
    /// Leaves the unit open.
    pub(crate) fn invite(&self, unit: &WriteUnit, email: &Email) {
        let event = RegistrationInvited { email: email.as_str().to_owned() };
        unit.audit(AuditEntry::new("user.invited", "address"));
        unit.emit(&event);
    }

    /// Changes one's own account.
    pub(crate) async fn update_profile(
        &self,
        actor: &Actor,
        id: UserId,
        patch: ProfilePatch,
        condition: &IfMatch,
    ) -> Result<User, AccountError> {
        let (patch, now) = (&patch, self.clock.now());
        // It reads, then decides: of two at once, the second starts again from what the first left.
        let change = self.db.write_retrying(actor, move |unit| {
            UnitWork::new(async move {
                let before = repo::find_user(unit, id).await?.ok_or(AccountError::Gone)?;
                condition.check(ETag(before.version)).map_err(AccountError::Precondition)?;
                let ProfilePatch { username, name } = patch.clone();
                let mut user = before.clone();
                if let Patch::Set(username) = username {
                    user.username = username.as_str().to_owned();
                }
                user.name = name.over(user.name);
                if !repo::update_profile(unit, &user, now).await.map_err(taken)? {
                    return Err(AccountError::Stale);
                }
                user.version += 1;
                let entry = AuditEntry::new("user.updated", format!("user/{id}"))
                    .changed("username", &before.username, &user.username)
                    .changed("name", &before.name, &user.name);
                unit.audit(entry);
                unit.emit(&UserUpdated { user_id: id });
                Ok(user)
            })
        });
        change.await
    }

    pub(super) async fn issue_setup_token(&self) -> Result<String, DbErr> {
        let unit = self.db.write(&Actor::system("setup")).await?;
        let (_, token) = self.issue(&unit, Purpose::Setup, TokenFor::Anybody).await?;
        unit.commit().await?;
        Ok(token)
    }

    /// Makes the first administrator with the token that the server printed.
    /// The token works once, and not at all when there is one already.
    pub(crate) async fn setup(&self, actor: &Actor, token: &str, new: NewUser) -> Result<User, AccountError> {
        self.check_password_rules(&new.password, &new.email, None, "password")?;
        let token_hash = &token_hash(token);
        // A made-up token is not worth a hash; whether a good one is still good is decided below.
        let now = self.clock.now();
        if repo::find_one_time_token(self.db.primary(), Purpose::Setup, token_hash, now).await?.is_none() {
            return Err(self.refuse_token(actor, Purpose::Setup).await?);
        }
        let hash = self.passwords.hash(new.password.expose()).await?;
        let new = NewUser { roles: Roles::of(&[Role::Admin]), email_verified: true, ..new };
        for attempt in 0..5_u8 {
            let username = Username::derive(new.email.local(), (attempt > 0).then(|| self.suffix()));
            let row = &self.row(&new, &username, &hash);
            match self.insert_first_admin(actor, token_hash, row).await {
                // The name was made, not chosen: whoever holds it must not block the setup.
                Err(AccountError::UsernameTaken) => {}
                outcome => return outcome,
            }
        }
        Err(AccountError::UsernameTaken)
    }

    async fn insert_first_admin(
        &self,
        actor: &Actor,
        token_hash: &str,
        row: &user::Model,
    ) -> Result<User, AccountError> {
        let now = self.clock.now();
        let user = &Credentials::from(row.clone()).user;
        // Two tokens of two nodes, used at the same moment, must not make two first administrators.
        let actor = acting_as(user.id, actor);
        let insert = self.db.write_retrying(&actor, move |unit| {
            UnitWork::new(async move {
                let first = !repo::has_admin(unit).await?;
                if !first || !repo::use_one_time_token(unit, Purpose::Setup, token_hash, now).await? {
                    return Err(AccountError::TokenInvalid);
                }
                repo::insert_user(unit, row.clone()).await.map_err(taken)?;
                let account = NewAccount {
                    id: user.id,
                    email: &user.email,
                    username: &user.username,
                    organization_name: None,
                    invitation_token: None,
                };
                for hook in self.hooks.all() {
                    hook.registered(unit, &account).await?;
                }
                tell_registered(unit, user);
                Ok(())
            })
        });
        insert.await?;
        Ok(user.clone())
    }
}

fn tell_registered(unit: &WriteUnit, user: &User) {
    let entry = AuditEntry::new("user.registered", format!("user/{}", user.id))
        .set("email", &user.email)
        .set("username", &user.username)
        .set("name", &user.name)
        .set("roles", user.roles);
    unit.audit(entry);
    unit.emit(&UserRegistered { user_id: user.id, email_verified: user.email_verified });
}

fn taken(error: DbErr) -> AccountError {
    if unique_violation(&error, "users", &["email_norm"]) {
        AccountError::EmailTaken
    } else if unique_violation(&error, "users", &["username_norm"]) {
        AccountError::UsernameTaken
    } else {
        error.into()
    }
}
